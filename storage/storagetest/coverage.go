package storagetest

import (
	"time"

	"github.com/sealprint/sealprint/storage"
)

func gap(department, source, status string) storage.Gap {
	return storage.Gap{
		SourceKey: storage.SourceKey{Department: department, Collection: "papers", Source: source},
		Outcome:   "failed", Status: status, Reason: "because", Revision: []byte("state"), Since: aMoment, TriedAt: aMoment,
	}
}

// scheduled: of jobs that nobody asked for the last is kept, and those that somebody asked
// for keep their items.
func (s *registrySuite) scheduled() {
	begin := func(id storage.JobID, scheduled bool, state storage.JobState) {
		s.put(storage.Changes{Jobs: []storage.Job{{ID: id, Source: "archive", Prefix: "x/", State: state, Scheduled: scheduled}}})
		s.put(storage.Changes{Items: []storage.Item{{Job: id, Source: "object", Outcome: "registered"}}})
	}
	begin("job_asked", false, storage.JobDone)
	begin("job_first", true, storage.JobDone)
	begin("job_running", true, storage.JobRunning)
	begin("job_second", true, storage.JobDone)
	for id, want := range map[storage.JobID]int{"job_asked": 1, "job_first": 0, "job_running": 1, "job_second": 1} {
		items, err := s.r.Items(s.Context(), id, 0, 10)
		s.ok(err)
		if len(items) != want {
			s.Errorf("%s has %d items, want %d", id, len(items), want)
		}
	}
	_, err := s.r.Job(s.Context(), everywhere, "job_first")
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Job(s.Context(), everywhere, "job_asked")
	s.ok(err)
}

// gaps: what made no document is told with its tries until it makes one.
func (s *registrySuite) gaps() {
	ctx := s.Context()
	a, b, c := gap("finance", "s3://bucket/a", "damaged"), gap("finance/budget", "s3://bucket/sub/b", "limit"), gap("foreign", "s3://bucket/sub/c", "damaged")
	s.put(storage.Changes{Gaps: []storage.Gap{a, b}})
	s.put(storage.Changes{Gaps: []storage.Gap{c}})
	again := a
	again.Status, again.Reason, again.Revision, again.Since, again.TriedAt = "not_fetched", "refused", nil, aMoment.Add(time.Hour), aMoment.Add(time.Hour)
	s.put(storage.Changes{Gaps: []storage.Gap{again}})
	s.crash()
	again.Tries, again.Since, b.Tries, c.Tries = 2, a.Since, 1, 1
	got, err := s.r.Gap(ctx, a.SourceKey)
	s.ok(err)
	s.equal(got, again)
	list := func(scope storage.Scope, filter storage.GapFilter) (all []storage.Gap) {
		for cursor := ""; ; {
			gaps, next, err := s.r.Gaps(ctx, scope, filter, cursor, 1)
			s.ok(err)
			all = append(all, gaps...)
			if cursor = next; next == "" {
				return all
			}
		}
	}
	s.equal(list(everywhere, storage.GapFilter{}), []storage.Gap{again, b, c})
	s.equal(list(storage.Branches("finance"), storage.GapFilter{}), []storage.Gap{again, b})
	s.equal(list(storage.Scope{}, storage.GapFilter{}), []storage.Gap(nil))
	s.equal(list(everywhere, storage.GapFilter{Under: "s3://bucket/sub/"}), []storage.Gap{b, c})
	s.equal(list(everywhere, storage.GapFilter{Under: "s3://bucket/s", Status: "damaged"}), []storage.Gap{c})
	s.equal(list(everywhere, storage.GapFilter{Department: "finance/budget"}), []storage.Gap{b})
	s.equal(list(everywhere, storage.GapFilter{Under: "s3://bucket/sub/d"}), []storage.Gap(nil))
	_, _, err = s.r.Gaps(ctx, everywhere, storage.GapFilter{}, "foreign", 1)
	s.kind(err, storage.ErrNotFound)

	s.put(storage.Changes{Filled: []storage.SourceKey{a.SourceKey, {Department: "nobody", Source: "nothing"}}})
	_, err = s.r.Gap(ctx, a.SourceKey)
	s.kind(err, storage.ErrNotFound)
	s.equal(list(everywhere, storage.GapFilter{}), []storage.Gap{b, c})
}

// coverage counts what is protected and what is not, in a scope.
func (s *registrySuite) coverage() {
	for _, d := range []struct{ id, department string }{{"doc_a", "finance"}, {"doc_b", "finance"}, {"doc_c", "foreign"}, {"doc_w", "finance"}} {
		c := s.register(d.id, d.department)
		if d.id == "doc_b" {
			c.Versions[0].Drawn = 1
		}
		s.put(c)
	}
	// What counts is the newest version.
	second := s.register("doc_b", "finance")
	second.Documents[0].Version, second.Versions[0].Number, second.Versions[0].Status = 2, 2, "ok"
	second.Versions[0].Drawn, second.Versions[0].Undrawn = 1, "page 2"
	second.Versions[0].Content = []byte("second")
	s.put(storage.Changes{Documents: second.Documents, Versions: second.Versions})
	_, err := s.r.Withdraw(s.Context(), everywhere, "doc_w", storage.Withdrawal{At: aMoment, By: "key1", Reason: "superseded"})
	s.ok(err)
	_, err = s.r.Gone(s.Context(), "/share/doc_a", aMoment)
	s.ok(err)
	s.put(storage.Changes{Gaps: []storage.Gap{gap("finance", "x", "damaged"), gap("finance", "y", "damaged"), gap("foreign", "z", "partial")}})
	all := []storage.Covered{
		{Department: "finance", Status: "damaged", Gaps: 2},
		{Department: "finance", Status: "ok", Documents: 1, Pages: 2, Undrawn: 1},
		{Department: "finance", Status: "partial", Documents: 1, Pages: 2, Undrawn: 1, Gone: 1},
		{Department: "foreign", Status: "partial", Documents: 1, Pages: 2, Undrawn: 1, Gaps: 1},
	}
	for _, test := range []struct {
		scope storage.Scope
		want  []storage.Covered
	}{{everywhere, all}, {storage.Branches("finance"), all[:3]}, {storage.Branches("foreign", "nobody"), all[3:]}, {storage.Scope{}, nil}} {
		got, err := s.r.Coverage(s.Context(), test.scope)
		s.ok(err)
		s.equal(got, test.want)
	}
}

// gone: what is at none of its sources any more is told, until it is found again. What was
// withdrawn for that reason is registered anew then.
func (s *registrySuite) gone() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	d := c.Documents[0]
	c.Sources = []storage.Source{source(d, 1, "s3://b/1"), source(d, 1, "s3://b/2"), source(d, 1, "s3://c/1")}
	s.put(c)
	s.put(storage.Changes{Gaps: []storage.Gap{gap("finance", "s3://b/1", "damaged")}})
	known := func(prefix, after string) []string {
		uris, err := s.r.SourcesAfter(ctx, prefix, after, 2)
		s.ok(err)
		return uris
	}
	s.equal(known("s3://b/", ""), []string{"s3://b/1", "s3://b/2"})
	s.equal(known("s3://b/", "s3://b/1"), []string{"s3://b/2"})
	s.equal(known("s3://", ""), []string{"s3://b/1", "s3://b/2"})
	s.equal(known("s3://d", ""), []string(nil))
	for i, uri := range []string{"s3://b/1", "s3://nowhere", "s3://c/1", "s3://c/1", "s3://b/2"} {
		left, err := s.r.Gone(ctx, uri, aMoment.Add(time.Hour))
		s.ok(err)
		s.equal(len(left), map[bool]int{true: 1}[i == 4])
	}
	s.crash()
	s.equal(known("s3://", ""), []string(nil))
	_, err := s.r.Gap(ctx, storage.SourceKey{Department: "finance", Collection: "papers", Source: "s3://b/1"})
	s.kind(err, storage.ErrNotFound)
	sources, err := s.r.SourcesAt(ctx, "s3://b/2")
	s.ok(err)
	want := source(d, 1, "s3://b/2")
	want.GoneAt = aMoment.Add(time.Hour)
	s.equal(sources, []storage.Source{want})

	back := source(d, 1, "s3://b/2")
	s.put(storage.Changes{Sources: []storage.Source{back}})
	got, _, err := s.r.Source(ctx, back.SourceKey)
	s.ok(err)
	s.equal(got, back)

	_, err = s.r.Gone(ctx, "s3://b/2", aMoment)
	s.ok(err)
	_, err = s.r.Withdraw(ctx, everywhere, "doc_a", storage.Withdrawal{At: aMoment, By: storage.BySource, Reason: "removed"})
	s.ok(err)
	left, err := s.r.Gone(ctx, "s3://b/2", aMoment)
	s.ok(err)
	s.equal(len(left), 0)
	_, _, err = s.r.Source(ctx, back.SourceKey)
	s.kind(err, storage.ErrNotFound)
	anew := s.register("doc_b", "finance")
	anew.Sources = []storage.Source{source(anew.Documents[0], 1, "s3://b/2")}
	s.put(anew)
	got, _, err = s.r.Source(ctx, back.SourceKey)
	s.ok(err)
	s.equal(got.Document, storage.DocumentID("doc_b"))
}

// notices: one for each object, until it was looked at as it was told last.
func (s *registrySuite) notices() {
	ctx := s.Context()
	s.ok(s.r.Notice(ctx, "records", []string{"a", "b%20c", "a"}))
	s.ok(s.r.Notice(ctx, "other", []string{"a"}))
	keys := func(place string, after int64) (notices []storage.Notice, keys []string) {
		notices, err := s.r.Notices(ctx, place, after, 10)
		s.ok(err)
		for _, n := range notices {
			s.equal(n.Place, place)
			keys = append(keys, n.Key)
		}
		return notices, keys
	}
	first, all := keys("records", 0)
	s.equal(all, []string{"b%20c", "a"})
	_, rest := keys("records", first[0].Sequence)
	s.equal(rest, []string{"a"})
	s.ok(s.r.Notice(ctx, "records", []string{"b%20c"})) // meanwhile
	s.ok(s.r.Noticed(ctx, first))
	s.crash()
	_, all = keys("records", 0)
	s.equal(all, []string{"b%20c"})
	_, all = keys("other", 0)
	s.equal(all, []string{"a"})
}
