package storagetest

import (
	"fmt"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// keyList: a scope shows the keys of its branches, and ends no others.
func (s *registrySuite) keyList() {
	departments := []string{"", "finance", "finance/budget", "foreign"}
	for i, d := range departments {
		s.ok(s.r.AddKey(s.Context(), storage.APIKey{
			ID: fmt.Sprint("key", i), SecretHash: []byte{byte(i)}, Label: "for tests", Role: "analyst", Department: d, CreatedAt: aMoment,
			CreatedBy: "key0", ExpiresAt: aMoment.Add(time.Hour),
		}))
	}
	list := func(scope storage.Scope) (ids []string) {
		for cursor := ""; ; {
			keys, next, err := s.r.Keys(s.Context(), scope, cursor, 1)
			s.ok(err)
			for _, k := range keys {
				ids = append(ids, k.ID)
			}
			if cursor = next; next == "" {
				return ids
			}
		}
	}
	s.equal(list(everywhere), []string{"key0", "key1", "key2", "key3"})
	s.equal(list(storage.Branches("finance")), []string{"key1", "key2"})
	s.equal(list(storage.Scope{}), []string(nil))
	_, err := s.r.RevokeKey(s.Context(), storage.Branches("finance"), "key3", aMoment)
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.RevokeKey(s.Context(), storage.Branches("finance"), "key0", aMoment)
	s.kind(err, storage.ErrNotFound)
	k, err := s.r.RevokeKey(s.Context(), storage.Branches("finance"), "key2", aMoment)
	s.ok(err)
	again, err := s.r.RevokeKey(s.Context(), everywhere, "key2", aMoment.Add(time.Hour))
	s.ok(err)
	s.crash()
	stored, err := s.r.Key(s.Context(), "key2")
	s.ok(err)
	want := storage.APIKey{
		ID: "key2", SecretHash: []byte{2}, Label: "for tests", Role: "analyst", Department: "finance/budget", CreatedAt: aMoment,
		CreatedBy: "key0", ExpiresAt: aMoment.Add(time.Hour), RevokedAt: aMoment,
	}
	s.equal([]storage.APIKey{k, again, stored}, []storage.APIKey{want, want, want})
}

// withdraw: a withdrawn document is not looked for, and what it was stays.
func (s *registrySuite) withdraw() {
	c := s.register("doc_a", "finance")
	o := c.Versions[0].Ordinal
	drawing := s.ordinal()
	s.put(c)
	s.put(storage.Changes{Drawn: []storage.Drawn{{Version: o, By: 1, Drawings: []storage.Drawing{{
		Ordinal: drawing, Version: o, Page: 1, Layout: []byte("layout"), Hash: make([]byte, 32),
	}}}}})
	other := s.register("doc_b", "finance")
	s.put(other)
	w := storage.Withdrawal{At: aMoment, By: "key1", Reason: "superseded"}
	_, err := s.r.Withdraw(s.Context(), storage.Branches("foreign"), "doc_a", w)
	s.kind(err, storage.ErrNotFound)
	ordinals, err := s.r.Withdraw(s.Context(), storage.Branches("finance"), "doc_a", w)
	s.ok(err)
	s.equal(ordinals, []storage.Ordinal{o, drawing})
	_, err = s.r.Withdraw(s.Context(), everywhere, "doc_a", w)
	s.kind(err, storage.ErrConflict)
	s.crash()

	d, versions, sources, err := s.r.Document(s.Context(), everywhere, "doc_a")
	s.ok(err)
	s.equal(d.Withdrawn, w)
	s.equal([]int{len(versions), len(sources)}, []int{1, 1})
	found, err := s.r.Matches(s.Context(), everywhere, []storage.Ordinal{o, other.Versions[0].Ordinal})
	s.ok(err)
	if _, there := found[o]; there || len(found) != 1 {
		s.Errorf("a withdrawn document is found: %v", found)
	}
	all, err := s.r.Ordinals(s.Context())
	s.ok(err)
	s.equal(all, []storage.Ordinal{other.Versions[0].Ordinal})
	s.equal(len(s.drawingsOf(false)), 0)
	s.equal(len(s.near(make([]byte, 32), 0)), 0)
	_, err = s.r.Content(s.Context(), "finance", "papers", c.Versions[0].Content)
	s.kind(err, storage.ErrNotFound)
	source, _, err := s.r.Source(s.Context(), c.Sources[0].SourceKey)
	s.ok(err)
	s.equal(source.Withdrawn, true)
	undrawn, err := s.r.Undrawn(s.Context(), 2, 0, 10)
	s.ok(err)
	s.equal(len(undrawn), 1)
	stats, err := s.r.Stats(s.Context())
	s.ok(err)
	s.equal(stats.Documents, 1)
	// What was on its way to it comes too late.
	s.kind(s.r.Commit(s.Context(), storage.Changes{Drawn: []storage.Drawn{{Version: o, By: 1}}}), storage.ErrConflict)
	next := c.Versions[0]
	next.Number, next.Ordinal = 2, s.ordinal()
	d.Version = 2
	s.kind(s.r.Commit(s.Context(), storage.Changes{Documents: []storage.Document{d}, Versions: []storage.Version{next}}), storage.ErrConflict)
}

// releases: what was released stays on record, and what is revoked is not in force.
func (s *registrySuite) releases() {
	s.put(s.register("doc_a", "finance"))
	s.put(s.register("doc_b", "foreign"))
	release := func(id, document string) storage.Release {
		return storage.Release{
			ID: storage.ReleaseID(id), Document: storage.DocumentID(document), Kind: storage.Authorized, From: aMoment, Until: aMoment.Add(time.Hour),
			Pages: []storage.PageRange{{First: 1, Last: 2}}, Passages: []storage.PageSpan{{Page: 3, Start: 4, End: 50}},
			Authority: "press wing", Instrument: "No. 5", Alert: "alr_1", CreatedBy: "key1", CreatedAt: aMoment,
		}
	}
	finance := storage.Branches("finance")
	a, b := release("rel_a", "doc_a"), release("rel_b", "doc_a")
	s.ok(s.r.AddRelease(s.Context(), finance, a))
	s.ok(s.r.AddRelease(s.Context(), finance, b))
	s.kind(s.r.AddRelease(s.Context(), finance, release("rel_c", "doc_b")), storage.ErrNotFound)
	s.kind(s.r.AddRelease(s.Context(), everywhere, release("rel_c", "doc_none")), storage.ErrNotFound)
	s.ok(s.r.AddRelease(s.Context(), everywhere, release("rel_c", "doc_b")))
	_, err := s.r.RevokeRelease(s.Context(), finance, "doc_b", "rel_c", "key2", aMoment)
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.RevokeRelease(s.Context(), finance, "doc_a", "rel_c", "key2", aMoment)
	s.kind(err, storage.ErrNotFound)
	b.RevokedAt, b.RevokedBy = aMoment.Add(time.Minute), "key2"
	for range 2 {
		revoked, err := s.r.RevokeRelease(s.Context(), finance, "doc_a", "rel_b", "key2", b.RevokedAt)
		s.ok(err)
		s.equal(revoked, b)
	}
	s.crash()
	all, err := s.r.Releases(s.Context(), finance, "doc_a")
	s.ok(err)
	s.equal(all, []storage.Release{a, b})
	_, err = s.r.Releases(s.Context(), finance, "doc_b")
	s.kind(err, storage.ErrNotFound)
	of, err := s.r.ReleasesOf(s.Context(), []storage.DocumentID{"doc_a", "doc_b", "doc_none"})
	s.ok(err)
	s.equal(of, map[storage.DocumentID][]storage.Release{"doc_a": {a}, "doc_b": {release("rel_c", "doc_b")}})
	of, err = s.r.ReleasesOf(s.Context(), nil)
	s.ok(err)
	s.equal(len(of), 0)
	_, err = s.r.Delete(s.Context(), everywhere, "doc_a")
	s.ok(err)
	of, err = s.r.ReleasesOf(s.Context(), []storage.DocumentID{"doc_a"})
	s.ok(err)
	s.equal(len(of), 0)
}

func post(id string, at time.Time, fingerprints string) storage.Post {
	p := storage.Post{ID: id, Content: []byte("hash of " + id), Thread: "t", Verdict: "unauthorized", Alerts: []storage.AlertID{"alr_1"}, SeenAt: at.Add(-time.Hour), TakenAt: at}
	if fingerprints != "" {
		p.Fingerprints = []byte(fingerprints)
	}
	return p
}

// posts: a post is taken in once, its fingerprints are forgotten before it is.
func (s *registrySuite) posts() {
	at := func(minutes int) time.Time { return aMoment.Add(time.Duration(minutes) * time.Minute) }
	s.ok(s.r.TakeIn(s.Context(), storage.Intake{Posts: []storage.Post{post("p1", at(1), "one"), post("p2", at(2), ""), post("p3", at(3), "three")}}))
	s.kind(s.r.TakeIn(s.Context(), storage.Intake{Posts: []storage.Post{post("p4", at(4), "four"), post("p1", at(5), "")}}), storage.ErrConflict)
	s.crash()
	_, err := s.r.Post(s.Context(), "p4")
	s.kind(err, storage.ErrNotFound)
	p, err := s.r.Post(s.Context(), "p3")
	s.ok(err)
	want := post("p3", at(3), "")
	want.Sequence = p.Sequence
	s.equal(p, want)
	s.ok(s.r.TakeIn(s.Context(), storage.Intake{Late: []storage.LateAlerts{{Post: "p3", Alerts: []storage.AlertID{"alr_1", "alr_2"}}}}))
	kept := func() (ids []string) {
		for after := int64(0); ; {
			prints, err := s.r.Prints(s.Context(), after, 1)
			s.ok(err)
			if len(prints) == 0 {
				return ids
			}
			after = prints[0].Sequence
			p, err := s.r.PostAt(s.Context(), after)
			s.ok(err)
			ids = append(ids, p.ID+" "+string(prints[0].Fingerprints)+fmt.Sprint(len(p.Alerts)))
		}
	}
	s.equal(kept(), []string{"p1 one1", "p3 three2"})
	n, err := s.r.ForgetPosts(s.Context(), at(3), true, 10)
	s.ok(err)
	s.equal(n, 1)
	s.equal(kept(), []string{"p3 three2"})
	for _, want := range []int{1, 1, 0} {
		n, err := s.r.ForgetPosts(s.Context(), at(3), false, 1)
		s.ok(err)
		s.equal(n, want)
	}
	_, err = s.r.Post(s.Context(), "p1")
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.PostAt(s.Context(), p.Sequence-1)
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Post(s.Context(), "p3")
	s.ok(err)
	for _, until := range []storage.Ordinal{0, 7, 12} {
		if until > 0 {
			s.ok(s.r.LookBack(s.Context(), until))
			s.crash()
		}
		back, err := s.r.LookedBack(s.Context())
		s.ok(err)
		s.equal(back, until)
	}
}

func alert(id, department, document string) storage.Alert {
	return storage.Alert{
		ID: storage.AlertID(id), Department: department, Document: storage.DocumentID(document), Version: 2, State: storage.AlertNew,
		Channel: "text", Score: 0.9, Expected: 1e-9, Characters: 212, Regions: []storage.PageSpan{{Page: 1, Start: 2, End: 300}}, Posts: 1,
		FirstSeenAt: aMoment, LastSeenAt: aMoment, CreatedAt: aMoment, UpdatedAt: aMoment,
	}
}

// alerts: an alert counts its posts, and names the newest.
func (s *registrySuite) alerts() {
	a := alert("alr_1", "finance", "doc_a")
	passages := []storage.AlertPassage{
		{Start: 1, End: 90, Document: storage.PageSpan{Page: 1, Start: 2, End: 91}, Similarity: 0.97},
		{Medium: 1, Box: &storage.Region{X: 0.1, Y: 0.2, Width: 0.3, Height: 0.4}, Document: storage.PageSpan{Page: 2}, OnPage: &storage.Region{Width: 1, Height: 1}},
	}
	of := func(n int) storage.AlertPost {
		return storage.AlertPost{Alert: "alr_1", Post: fmt.Sprint("p", n), Thread: "t", SeenAt: aMoment, Score: 0.9, Passages: passages}
	}
	s.ok(s.r.TakeIn(s.Context(), storage.Intake{Alerts: []storage.Alert{a}, AlertPosts: []storage.AlertPost{of(1)}}))
	a.Posts, a.LastSeenAt, a.Late, a.Flood = 3, aMoment.Add(time.Hour), false, false
	// The state belongs to those who decide.
	changed := a
	changed.State, changed.Department = storage.AlertConfirmed, "foreign"
	s.ok(s.r.TakeIn(s.Context(), storage.Intake{Alerts: []storage.Alert{changed}, AlertPosts: []storage.AlertPost{of(2), of(3)}}))
	s.crash()
	got, changes, posts, err := s.r.Alert(s.Context(), storage.Branches("finance"), "alr_1")
	s.ok(err)
	s.equal(got, a)
	s.equal(len(changes), 0)
	s.equal(posts, []storage.AlertPost{of(3), of(2), of(1)})
	one, err := s.r.PostOf(s.Context(), storage.Branches("finance"), "alr_1", "p2")
	s.ok(err)
	s.equal(one, of(2))
	for _, absent := range [][3]string{{"finance", "alr_1", "p4"}, {"finance", "alr_2", "p2"}, {"foreign", "alr_1", "p2"}, {"finance", "alr_1", ""}} {
		_, err := s.r.PostOf(s.Context(), storage.Branches(absent[0]), storage.AlertID(absent[1]), absent[2])
		s.kind(err, storage.ErrNotFound)
	}
	_, _, _, err = s.r.Alert(s.Context(), storage.Branches("foreign"), "alr_1")
	s.kind(err, storage.ErrNotFound)
	same, err := s.r.AlertsOf(s.Context(), []storage.DocumentID{"doc_a", "doc_b"})
	s.ok(err)
	s.equal(same, []storage.Alert{a})
	all := []storage.DocumentID{"doc_a"}
	for i := range 5000 {
		all = append(all, storage.DocumentID(fmt.Sprint("doc_", i)))
	}
	if same, err = s.r.AlertsOf(s.Context(), all); err != nil || len(same) != 1 {
		s.Fatalf("of many documents: %v, %d alerts", err, len(same))
	}
	// Only the newest posts of many are named.
	const many = 2500
	for a.Posts < many {
		var more []storage.AlertPost
		for range 500 {
			a.Posts++
			more = append(more, of(a.Posts))
		}
		s.ok(s.r.TakeIn(s.Context(), storage.Intake{Alerts: []storage.Alert{a}, AlertPosts: more}))
	}
	_, _, posts, err = s.r.Alert(s.Context(), everywhere, "alr_1")
	s.ok(err)
	s.equal(posts[0], of(a.Posts))
	one, err = s.r.PostOf(s.Context(), everywhere, "alr_1", fmt.Sprint("p", a.Posts-900)) // more than are read with the alert
	s.ok(err)
	s.equal(one, of(a.Posts-900))
}

// alertList: a list is what the filter says of what the scope covers.
func (s *registrySuite) alertList() {
	var changes storage.Intake
	for i, department := range []string{"finance", "foreign", "finance/budget", "finance"} {
		a := alert(fmt.Sprint("alr_", i), department, fmt.Sprint("doc_", i%2))
		if i == 3 {
			a.State = storage.AlertTriage
		}
		changes.Alerts = append(changes.Alerts, a)
	}
	s.ok(s.r.TakeIn(s.Context(), changes))
	list := func(scope storage.Scope, filter storage.AlertFilter) (ids []storage.AlertID) {
		for cursor := ""; ; {
			alerts, next, err := s.r.Alerts(s.Context(), scope, filter, cursor, 2)
			s.ok(err)
			for _, a := range alerts {
				ids = append(ids, a.ID)
			}
			if cursor = next; next == "" {
				return ids
			}
		}
	}
	finance := storage.Branches("finance")
	s.equal(list(everywhere, storage.AlertFilter{}), []storage.AlertID{"alr_3", "alr_2", "alr_1", "alr_0"})
	s.equal(list(finance, storage.AlertFilter{}), []storage.AlertID{"alr_3", "alr_2", "alr_0"})
	s.equal(list(finance, storage.AlertFilter{Department: "finance/budget"}), []storage.AlertID{"alr_2"})
	s.equal(list(finance, storage.AlertFilter{Department: "foreign"}), []storage.AlertID(nil))
	s.equal(list(everywhere, storage.AlertFilter{Document: "doc_1"}), []storage.AlertID{"alr_3", "alr_1"})
	s.equal(list(everywhere, storage.AlertFilter{States: []storage.AlertState{storage.AlertTriage, storage.AlertConfirmed}}), []storage.AlertID{"alr_3"})
	s.equal(list(storage.Scope{}, storage.AlertFilter{}), []storage.AlertID(nil))
	_, _, err := s.r.Alerts(s.Context(), everywhere, storage.AlertFilter{}, "made up", 2)
	s.kind(err, storage.ErrNotFound)
}

// decide: a decision changes the state it was made on, and keeps its history.
func (s *registrySuite) decide() {
	s.put(s.register("doc_a", "finance"))
	s.ok(s.r.TakeIn(s.Context(), storage.Intake{Alerts: []storage.Alert{alert("alr_1", "finance", "doc_a")}}))
	change := func(n int, from, to storage.AlertState) storage.AlertChange {
		return storage.AlertChange{Alert: "alr_1", Sequence: n, At: aMoment, Actor: "key1", From: from, To: to, Reason: "because"}
	}
	event := storage.Event{ID: "evt_1", Type: storage.AlertUpdated, Department: "finance", Alert: "alr_1", At: aMoment}
	first, second := change(1, storage.AlertNew, storage.AlertTriage), change(2, storage.AlertTriage, storage.AlertPublicQuotation)
	second.Release = "rel_1"
	finance := storage.Branches("finance")
	_, err := s.r.Decide(s.Context(), storage.Branches("foreign"), first, nil, event)
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Decide(s.Context(), finance, second, nil, event)
	s.kind(err, storage.ErrConflict)
	_, err = s.r.Decide(s.Context(), finance, first, nil, event)
	s.ok(err)
	exclusion := storage.Release{ID: "rel_1", Document: "doc_a", Kind: storage.Excluded, Until: aMoment.Add(time.Hour), Alert: "alr_1", CreatedBy: "key1", CreatedAt: aMoment}
	lost := exclusion
	lost.Document = "doc_none"
	_, err = s.r.Decide(s.Context(), finance, second, &lost, event)
	s.kind(err, storage.ErrConflict)
	a, err := s.r.Decide(s.Context(), finance, second, &exclusion, event)
	s.ok(err)
	s.equal(a.State, storage.AlertPublicQuotation)
	s.crash()
	a, changes, _, err := s.r.Alert(s.Context(), finance, "alr_1")
	s.ok(err)
	s.equal(a.State, storage.AlertPublicQuotation)
	s.equal(changes, []storage.AlertChange{first, second})
	of, err := s.r.ReleasesOf(s.Context(), []storage.DocumentID{"doc_a"})
	s.ok(err)
	s.equal(of["doc_a"], []storage.Release{exclusion})
}
