package intake

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/registry"
)

func open(t *testing.T) (*Intake, *registry.Registry) {
	t.Helper()
	r, err := registry.Open(t.Context(), filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	in := New(r, func() {})
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
	return in, r
}

// found is a match of a passage on a page.
func found(document, department string, page, start, end int) Found {
	return Found{Match: match.Match{
		Document: storage.Document{ID: storage.DocumentID(document), Department: department}, Version: 1, Channel: match.Text, Score: 0.8,
		Disposition: match.Alert, Characters: end - start, ExpectedByChance: 1e-9,
		Passages: []match.Passage{{Query: fingerprint.Span{Start: 5, End: 5 + end - start}, Place: fingerprint.Place{Page: page, Span: fingerprint.Span{Start: start, End: end}}, Similarity: 1}},
	}}
}

func seen(id string, found ...Found) Seen {
	return Seen{Post: storage.Post{ID: id, Content: []byte("content of " + id), Verdict: "unauthorized", SeenAt: time.Now().UTC().Truncate(time.Microsecond)}, Found: found}
}

func (in *Intake) take(t *testing.T, s Seen) storage.Post {
	t.Helper()
	p, err := in.Take(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOneAlert: a leak that is shared a thousand times, by many at once, is one alert with
// a counter, and another part of the document is another.
func TestOneAlert(t *testing.T) {
	in, r := open(t)
	var wait sync.WaitGroup
	for i := range 1000 {
		wait.Go(func() {
			if _, err := in.Take(t.Context(), seen(fmt.Sprint("p", i), found("doc_a", "finance", 2, 100+i%50, 400+i%50))); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	whole := in.take(t, seen("whole", found("doc_a", "finance", 2, 0, 3000)))
	other := in.take(t, seen("other", found("doc_a", "finance", 3, 100, 400)))
	alerts, _, err := r.Alerts(t.Context(), storage.Everywhere(), storage.AlertFilter{}, "", 10)
	if err != nil || len(alerts) != 3 || alerts[2].Posts != 1000 || alerts[0].Posts != 1 || alerts[1].Posts != 1 {
		t.Fatalf("%v: %+v", err, alerts)
	}
	if !slices.Equal(whole.Alerts, []storage.AlertID{alerts[1].ID}) || !slices.Equal(other.Alerts, []storage.AlertID{alerts[0].ID}) {
		t.Errorf("%v, %v", whole.Alerts, other.Alerts)
	}
	_, _, posts, err := r.Alert(t.Context(), storage.Everywhere(), alerts[2].ID)
	if err != nil || len(posts) == 0 || len(posts[0].Passages) != 1 {
		t.Errorf("%v: %+v", err, posts)
	}
}

// TestTwice: the same post again, at the same time or later, is answered as before; another
// with its id is a conflict.
func TestTwice(t *testing.T) {
	in, r := open(t)
	s := seen("p", found("doc_a", "finance", 1, 0, 300))
	answers := make(chan storage.Post, 50)
	var wait sync.WaitGroup
	for range cap(answers) {
		wait.Go(func() { answers <- in.take(t, s) })
	}
	wait.Wait()
	close(answers)
	first := in.take(t, s)
	for p := range answers {
		if !slices.Equal(p.Alerts, first.Alerts) {
			t.Errorf("%v and %v", p.Alerts, first.Alerts)
		}
	}
	alerts, _, err := r.Alerts(t.Context(), storage.Everywhere(), storage.AlertFilter{}, "", 10)
	if err != nil || len(alerts) != 1 || alerts[0].Posts != 1 {
		t.Errorf("%v: %+v", err, alerts)
	}
	other := s
	other.Content = []byte("other")
	if _, err := in.Take(t.Context(), other); !errors.Is(err, storage.ErrConflict) {
		t.Error(err)
	}
	// One that fails takes no other along.
	good := make(chan error, 20)
	for i := range cap(good) {
		wait.Go(func() {
			if i%2 == 0 {
				if _, err := in.Take(t.Context(), other); !errors.Is(err, storage.ErrConflict) {
					t.Error(err)
				}
			}
			_, err := in.Take(t.Context(), seen(fmt.Sprint("good", i)))
			good <- err
		})
	}
	wait.Wait()
	close(good)
	for err := range good {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestDepartments: a post about two departments is an alert of each; a recipient of the
// document's own gets it instead of the department.
func TestDepartments(t *testing.T) {
	in, r := open(t)
	a, b := found("doc_a", "finance", 1, 0, 300), found("doc_b", "foreign", 1, 0, 300)
	b.Document.Recipient = "inspector"
	in.take(t, seen("p", a, b))
	for department, want := range map[string]storage.DocumentID{"finance": "doc_a", "inspector": "doc_b", "foreign": ""} {
		alerts, _, err := r.Alerts(t.Context(), storage.Branches(department), storage.AlertFilter{}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case want == "" && len(alerts) == 0:
		case len(alerts) != 1 || alerts[0].Document != want:
			t.Errorf("%s sees %+v", department, alerts)
		}
	}
}

// TestFlood: a document that is posted piece by piece makes some alerts and one that
// counts the rest.
func TestFlood(t *testing.T) {
	in, r := open(t)
	const pieces = 100
	for i := range pieces {
		in.take(t, seen(fmt.Sprint("p", i), found("doc_a", "finance", i+1, 0, 300)))
	}
	in.take(t, seen("another", found("doc_b", "finance", 1, 0, 300)))
	alerts, _, err := r.Alerts(t.Context(), storage.Everywhere(), storage.AlertFilter{Document: "doc_a"}, "", 1000)
	if err != nil || len(alerts) != maxPerDay+1 || !alerts[0].Flood || alerts[0].Posts != pieces-maxPerDay {
		t.Fatalf("%v: %d alerts, %+v", err, len(alerts), alerts[0])
	}
}

// TestLate: what is found in a post later is an alert that says so, once.
func TestLate(t *testing.T) {
	in, r := open(t)
	first := in.take(t, seen("p", found("doc_a", "finance", 1, 0, 300)))
	later := seen("p", found("doc_new", "foreign", 1, 0, 300))
	p, err := in.TakeLate(t.Context(), later)
	if err != nil || len(p.Alerts) != 2 || p.Alerts[0] != first.Alerts[0] {
		t.Fatalf("%v: %v", err, p.Alerts)
	}
	a, _, _, err := r.Alert(t.Context(), storage.Everywhere(), p.Alerts[1])
	if err != nil || !a.Late || a.Posts != 1 {
		t.Errorf("%v: %+v", err, a)
	}
	if again := in.take(t, seen("p")); !slices.Equal(again.Alerts, p.Alerts) {
		t.Errorf("%v, then %v", p.Alerts, again.Alerts)
	}
	if p, err := in.TakeLate(t.Context(), seen("forgotten", found("doc_new", "foreign", 1, 0, 300))); err != nil || len(p.Alerts) != 0 {
		t.Errorf("%v: %v", err, p.Alerts)
	}
}

// TestLateAgain: a post that is found again for a document that it counts for stays where it
// counts, although others have made an alert since that it would join.
func TestLateAgain(t *testing.T) {
	in, r := open(t)
	in.take(t, seen("start", found("doc_a", "finance", 1, 0, 300)))
	first := in.take(t, seen("p", found("doc_a", "finance", 1, 200, 500)))
	in.take(t, seen("middle", found("doc_a", "finance", 1, 50, 350)))
	in.take(t, seen("end", found("doc_a", "finance", 1, 100, 450)))
	if len(first.Alerts) != 1 {
		t.Fatalf("%v", first.Alerts)
	}
	if p, err := in.TakeLate(t.Context(), seen("p", found("doc_a", "finance", 1, 200, 500))); err != nil || !slices.Equal(p.Alerts, first.Alerts) {
		t.Errorf("%v, then %v: %v", first.Alerts, p.Alerts, err)
	}
	alerts, err := r.AlertsOf(t.Context(), []storage.DocumentID{"doc_a"})
	posts := 0
	for _, a := range alerts {
		posts += a.Posts
	}
	if err != nil || posts != 4 || len(alerts) != 2 {
		t.Errorf("%d posts of 4 are counted, in %d alerts: %v", posts, len(alerts), err)
	}
}

// TestUnion: regions joined in any order are the same, cover what they were made of and
// stay few.
func TestUnion(t *testing.T) {
	var all []storage.PageSpan
	for i := range 500 {
		all = append(all, storage.PageSpan{Page: 1 + i%3, Start: i * 37 % 9000, End: i*37%9000 + 20})
	}
	joined := union(nil, all)
	if len(joined) > maxRegions || !within(all, joined) {
		t.Errorf("%d regions", len(joined))
	}
	for i := 1; i < len(joined); i++ {
		if a, b := joined[i-1], joined[i]; a.Page > b.Page || a.Page == b.Page && a.End >= b.Start {
			t.Errorf("%+v before %+v", a, b)
		}
	}
	few := all[:40]
	slices.Reverse(few)
	if a, b := union(few[:20], few[20:]), union(few[20:], few[:20]); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}
