package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// office is a deployment without readers: documents are texts.
type office struct {
	*registry.Registry
	index  *index.Index
	key    *fingerprint.Key
	intake *Intake
	dir    string

	previous *match.Generation // after rotate
}

func newOffice(t testing.TB) *office {
	t.Helper()
	dir := t.TempDir()
	o := &office{key: fingerprint.NewKey(), dir: dir}
	var err error
	if o.Registry, err = registry.Open(t.Context(), filepath.Join(dir, "registry.db"), o.key); err != nil {
		t.Fatal(err)
	}
	if o.index, err = index.Open(filepath.Join(dir, "index"), o.key.Params(), index.Options{}); err != nil {
		t.Fatal(err)
	}
	o.intake = New(o.Registry, func() {})
	t.Cleanup(func() {
		if err := errors.Join(o.intake.Close(), o.index.Close(), o.Registry.Close()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// register registers a document and returns its sheet.
func (o *office) register(t testing.TB, id, department, text string) storage.Sheet {
	t.Helper()
	ordinal, err := o.ReserveOrdinals(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	b := fingerprint.NewBuilder(o.key, fingerprint.Dense)
	b.AddPage(1, text)
	sheet := storage.Sheet{Ordinal: ordinal, Window: fingerprint.Dense, Hashes: b.Hashes()}
	if err := o.index.Append(t.Context(), []storage.Sheet{sheet}); err != nil {
		t.Fatal(err)
	}
	d := storage.Document{ID: storage.DocumentID(id), Department: department, Collection: "default", Version: 1, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	v := storage.Version{
		Document: d.ID, Number: 1, Ordinal: ordinal, Content: []byte(id), Window: fingerprint.Dense, Status: "ok", CreatedAt: time.Now(),
		Pages: []storage.Page{{Number: 1, Characters: 100}}, Places: b.Places(), Sketch: b.Sketch().Bytes(),
	}
	if err := o.Commit(t.Context(), storage.Changes{Documents: []storage.Document{d}, Versions: []storage.Version{v}}); err != nil {
		t.Fatal(err)
	}
	return sheet
}

// post takes a text in that was looked up.
func (o *office) post(t testing.TB, id, text string) storage.Post {
	t.Helper()
	report, err := o.matcher().Match(t.Context(), match.Query{Text: text, SeenAt: time.Now(), Scope: storage.Everywhere()})
	if err != nil {
		t.Fatal(err)
	}
	s := seen(id)
	s.Keep(0, false, report.Grams)
	for _, m := range report.Matches {
		s.Found = append(s.Found, Found{Match: m})
	}
	p, err := o.intake.Take(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (o *office) matcher() *match.Matcher {
	return &match.Matcher{Key: o.key, Index: o.index, Documents: o.Registry, Previous: o.previous}
}

// rotate changes the key of an office.
func (o *office) rotate(t testing.TB) {
	t.Helper()
	before, previous := o.key, o.index
	o.key = fingerprint.NewKey()
	if err := errors.Join(o.Registry.Rotate(t.Context(), o.key), o.intake.Close(), o.Registry.Close()); err != nil {
		t.Fatal(err)
	}
	var err error
	if o.Registry, err = registry.Open(t.Context(), filepath.Join(o.dir, "registry.db"), o.key, before); err != nil {
		t.Fatal(err)
	}
	if o.index, err = index.Open(filepath.Join(o.dir, "next"), o.key.Params(), index.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = previous.Close() })
	o.previous = &match.Generation{Key: before, Index: previous}
	o.intake = New(o.Registry, func() {})
}

func (o *office) late(t testing.TB) *Late {
	l := NewLate(o.Registry, o.matcher(), o.intake, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// alerts waits until there are so many alerts about a document.
func (o *office) alerts(t testing.TB, id storage.DocumentID, n int) []storage.Alert {
	t.Helper()
	var all []storage.Alert
	for range 200 {
		var err error
		if all, err = o.AlertsOf(t.Context(), []storage.DocumentID{id}); err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return all
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d alerts about %s, not %d", len(all), id, n)
	return nil
}

func prose(seed uint64, letters int) string { return fingerprinttest.Prose(seed, letters) }

// TestLookBack: a document is found in posts that were there before it, in none of the
// others, once, and the alert says that it came late.
func TestLookBack(t *testing.T) {
	o := newOffice(t)
	memo := prose(1, 3000)
	known := o.register(t, "doc_known", "finance", prose(2, 3000))
	l := o.late(t)
	l.Registered([]storage.Sheet{known})
	for i := range 200 {
		o.post(t, fmt.Sprint("other", i), prose(100+uint64(i), 250))
	}
	early := o.post(t, "early", "heard in the corridor: "+memo[700:1100])
	both := o.post(t, "both", prose(2, 3000)[300:700]+" "+memo[1500:1900])
	if len(early.Alerts) != 0 || len(both.Alerts) != 1 {
		t.Fatalf("%v %v", early.Alerts, both.Alerts)
	}
	sheet := o.register(t, "doc_memo", "foreign", memo)
	after := o.post(t, "after", memo[700:1100])
	l.Registered([]storage.Sheet{sheet})
	all := o.alerts(t, "doc_memo", 2)
	posts := 0
	for _, a := range all {
		posts += a.Posts
		if a.Department != "foreign" || slices.Contains(after.Alerts, a.ID) == a.Late {
			t.Errorf("%+v", a)
		}
	}
	if posts != 3 {
		t.Errorf("%d posts in the alerts: %+v", posts, all)
	}
	p, err := o.Post(t.Context(), "both")
	if err != nil || len(p.Alerts) != 2 || p.Alerts[0] != both.Alerts[0] {
		t.Errorf("%v %v", err, p.Alerts)
	}
	// The same again finds nothing more.
	if _, err := l.search(t.Context(), []storage.Sheet{sheet}, 0); err != nil {
		t.Fatal(err)
	}
	for _, a := range o.alerts(t, "doc_memo", 2) {
		posts -= a.Posts
	}
	if posts != 0 {
		t.Error("posts were counted twice")
	}
}

// TestLookBackAfterStop: what was registered before a stop and not searched for is searched
// for after the next start.
func TestLookBackAfterStop(t *testing.T) {
	o := newOffice(t)
	memo := prose(1, 3000)
	o.post(t, "early", memo[700:1100])
	o.register(t, "doc_memo", "foreign", memo) // and the program ends here
	l := o.late(t)
	o.alerts(t, "doc_memo", 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if until, err := o.LookedBack(ctx); err != nil || until == 0 {
		t.Errorf("%v %v", until, err)
	}
	o.late(t)
	time.Sleep(200 * time.Millisecond)
	if a := o.alerts(t, "doc_memo", 1); a[0].Posts != 1 {
		t.Errorf("%+v", a)
	}
}

// TestSearchAgain: what a bulk registration registers is searched for once more in few passes,
// each document among no fewer posts than its own, not too soon, and soon.
func TestSearchAgain(t *testing.T) {
	l := &Late{}
	begin := time.Now()
	const calls = 200
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * 100 * time.Millisecond) }
	for i := range calls {
		l.searchAgain(at(i), int64(10*i), []storage.Sheet{{Ordinal: storage.Ordinal(i)}})
	}
	if n := len(l.again); n > 1 {
		t.Errorf("%d passes", n)
	}
	for i := range calls {
		found := slices.ContainsFunc(l.again, func(p pass) bool {
			soonest := at(i).Add(onTheirWay)
			return p.after <= int64(10*i) && !p.at.Before(soonest) && !p.at.After(soonest.Add(together)) &&
				slices.ContainsFunc(p.sheets, func(s storage.Sheet) bool { return s.Ordinal == storage.Ordinal(i) })
		})
		if !found {
			t.Errorf("document %d is in no pass that would do", i)
		}
	}
}

// TestParts: what is kept of texts is read back as it was.
func TestParts(t *testing.T) {
	key := fingerprint.NewKey()
	s := Seen{}
	var want []part
	for i := range 4 {
		p := part{i, i%2 == 1, fingerprint.Grams(key, fingerprint.Normalize(prose(uint64(i), 2000)))}
		s.Keep(p.medium, p.recognized, p.grams)
		want = append(want, p)
	}
	s.Keep(4, true, nil) // nothing was read
	same := func(parts []part) bool {
		return slices.EqualFunc(parts, want, func(a, b part) bool {
			return a.medium == b.medium && a.recognized == b.recognized && slices.Equal(a.grams, b.grams)
		})
	}
	parts, ok := parseParts(nil, s.Fingerprints)
	if !ok || !same(parts) {
		t.Errorf("%v, %d parts", ok, len(parts))
	}
	// In the room of other ones, and of fewer.
	for _, room := range [][]part{parts[1:], append(slices.Clone(parts), parts...)} {
		if again, ok := parseParts(room, s.Fingerprints); !ok || !same(again) {
			t.Errorf("%v, %d parts", ok, len(again))
		}
	}
	if parts, ok := parseParts(nil, nil); !ok || len(parts) != 0 {
		t.Errorf("of nothing: %v, %v", parts, ok)
	}
	for cut := 1; cut < partHead+fingerprint.HashBytes; cut++ {
		if _, ok := parseParts(nil, s.Fingerprints[:cut]); ok {
			t.Errorf("%d bytes are fingerprints", cut)
		}
	}
	s = Seen{}
	for i := range 3 {
		s.Keep(i, false, make([]fingerprint.Hash, maxKept-10))
	}
	if n := len(s.Fingerprints) - 2*partHead; n > maxKept*fingerprint.HashBytes {
		t.Errorf("%d bytes are kept", n)
	}
}

// TestLookBackOverRotation: what is kept of posts finds what is kept under the same key.
func TestLookBackOverRotation(t *testing.T) {
	o := newOffice(t)
	old, fresh := prose(1, 3000), prose(2, 3000)
	o.post(t, "post_old", old[500:900])
	o.post(t, "post_old_of_new", fresh[500:900])
	o.register(t, "doc_old", "finance", old) // and nobody has looked back when the key is changed
	o.rotate(t)
	l := o.late(t)
	if a := o.alerts(t, "doc_old", 1); !a[0].Late || a[0].Posts != 1 {
		t.Errorf("%+v", a)
	}
	o.post(t, "post_new", fresh[500:900])
	l.Registered([]storage.Sheet{o.register(t, "doc_new", "finance", fresh)})
	if a := o.alerts(t, "doc_new", 1); a[0].Posts != 1 {
		t.Errorf("%+v", a)
	}
	if p, err := o.Post(t.Context(), "post_new"); err != nil || len(p.Alerts) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// BenchmarkLookBack: one document against 100,000 posts of 280 characters.
func BenchmarkLookBack(b *testing.B) {
	o := newOffice(b)
	const n = 100_000
	for i := 0; i < n; i += 500 {
		var changes storage.Intake
		for j := i; j < i+500; j++ {
			p := seen(fmt.Sprint("p", j))
			p.TakenAt = time.Now()
			p.Keep(0, false, fingerprint.Grams(o.key, fingerprint.Normalize(prose(uint64(j), 280))))
			changes.Posts = append(changes.Posts, p.Post)
		}
		if err := o.TakeIn(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	sheet := o.register(b, "doc_memo", "foreign", prose(1_000_000, 30_000))
	l := &Late{store: o.Registry, matcher: o.matcher(), intake: o.intake}
	for b.Loop() {
		if _, err := l.search(b.Context(), []storage.Sheet{sheet}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
