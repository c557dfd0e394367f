package match

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// library is a small index with its registry. It also counts what it is asked.
type library struct {
	*storagetest.Memory
	key     *fingerprint.Key
	entries map[storage.Ordinal]storage.Match
	places  map[storage.Ordinal][]byte
	pages   map[storage.Ordinal][]string
	next    storage.Ordinal

	missing []string // what the index pretends not to have
	fail    error
}

func newLibrary() *library {
	key := fingerprint.NewKey()
	return &library{
		Memory: storagetest.NewMemory(key.Params()), key: key,
		entries: map[storage.Ordinal]storage.Match{}, places: map[storage.Ordinal][]byte{}, pages: map[storage.Ordinal][]string{},
	}
}

func (l *library) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	if l.fail != nil {
		return nil, l.fail
	}
	a, err := l.Memory.Lookup(ctx, hashes, limit)
	if err == nil {
		a.Missing = l.missing
	}
	return a, err
}

func (l *library) Matches(_ context.Context, scope storage.Scope, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Match, error) {
	found := map[storage.Ordinal]storage.Match{}
	for _, o := range ordinals {
		if m, ok := l.entries[o]; ok && scope.Covers(m.Document.Department) {
			found[o] = m
		}
	}
	return found, nil
}

func (l *library) Places(_ context.Context, o storage.Ordinal) ([]byte, error) {
	return l.places[o], nil
}

// add registers a version of a document.
func (l *library) add(t testing.TB, id, department string, version int, w fingerprint.Window, pages ...string) {
	t.Helper()
	l.next++
	b := fingerprint.NewBuilder(l.key, w)
	for i, p := range pages {
		b.AddPage(i+1, p)
	}
	if err := l.Append(t.Context(), []storage.Sheet{{Ordinal: l.next, Window: w, Hashes: b.Hashes()}}); err != nil {
		t.Fatal(err)
	}
	l.entries[l.next] = storage.Match{
		Document: storage.Document{ID: storage.DocumentID(id), Title: id, Department: department, Version: version},
		Version:  storage.Version{Document: storage.DocumentID(id), Number: version, Ordinal: l.next, Window: w},
		Source:   "s3://records/" + id,
	}
	l.places[l.next] = b.Places()
	l.pages[l.next] = pages
}

func (l *library) match(t testing.TB, q Query) *Report {
	t.Helper()
	if reflect.DeepEqual(q.Scope, storage.Scope{}) {
		q.Scope = storage.Everywhere()
	}
	m := Matcher{Key: l.key, Index: l, Documents: l}
	r, err := m.Match(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// prose makes a text of about n words that no other seed makes.
func prose(seed uint64, n int) string { return fingerprinttest.Prose(seed, 6*n) }

// run is the text that holds exactly n normalized characters of a source, from
// the start-th on.
func run(source string, start, n int) string {
	text := fingerprint.Normalize(source)
	s := text.Source(fingerprint.Span{Start: start, End: start + n})
	return string([]rune(source)[s.Start:s.End])
}

func normal(s string) string { return string(fingerprint.Normalize(s).Chars) }

// TestGuarantee: a run of fingerprint.Guarantee characters of any document is
// found, at both densities, however it is dressed up; and in a dense document
// it is an alert.
func TestGuarantee(t *testing.T) {
	for _, w := range []fingerprint.Window{fingerprint.Dense, fingerprint.Sparse} {
		l := newLibrary()
		var documents []string
		for i := range 100 {
			documents = append(documents, prose(uint64(i), 400))
			l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, w, documents[i])
		}
		dress := []func(string) string{
			func(s string) string { return s },
			strings.ToUpper,
			func(s string) string { return strings.Join(strings.Fields(s), "\n\n") },
			func(s string) string { return strings.ReplaceAll(s, " ", " \u200b🙂 — ") },
			func(s string) string { return prose(7777, 30) + s + prose(8888, 30) },
		}
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 400 {
			d := r.IntN(len(documents))
			start := r.IntN(fingerprint.Normalize(documents[d]).Len() - fingerprint.Guarantee)
			text := dress[i%len(dress)](run(documents[d], start, fingerprint.Guarantee))
			report := l.match(t, Query{Text: text, Suppressed: true})
			if len(report.Matches) == 0 || report.Matches[0].Document.ID != storage.DocumentID(fmt.Sprint("doc_", d)) {
				t.Fatalf("window %d: %q of document %d is not found: %+v", w, text, d, report)
			}
			if w == fingerprint.Dense && report.Verdict != Unauthorized {
				t.Fatalf("window %d: %q of document %d is %s", w, text, d, report.Verdict)
			}
		}
	}
}

// alike reports whether two texts are the same but for a few characters at the
// ends, which a gram that hits by its class may add.
func alike(a, b string) bool {
	if len(a) != len(b) || len(a) < 2*fingerprint.GramSpan {
		return a == b
	}
	different := 0
	for i := range len(a) {
		if a[i] != b[i] {
			different++
		}
	}
	return different <= 3 && a[fingerprint.GramSpan:len(a)-fingerprint.GramSpan] == b[fingerprint.GramSpan:len(b)-fingerprint.GramSpan]
}

// TestSpans: what the spans of a passage delimit is the same text on both sides,
// and all of the excerpt but less than a window at its ends.
func TestSpans(t *testing.T) {
	l := newLibrary()
	pages := []string{prose(1, 300), "", prose(2, 300), prose(3, 300)}
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, pages...)
	whole := strings.Join(pages, "")
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		n := 100 + r.IntN(900)
		excerpt := run(whole, r.IntN(fingerprint.Normalize(whole).Len()-n), n)
		text := "Look at this! " + strings.ToUpper(excerpt) + " 🙂 And what now?"
		report := l.match(t, Query{Text: text})
		if len(report.Matches) != 1 {
			t.Fatalf("%d matches", len(report.Matches))
		}
		covered := 0
		for _, p := range report.Matches[0].Passages {
			query := normal(string([]rune(text)[p.Query.Start:p.Query.End]))
			document := normal(string([]rune(pages[p.Place.Page-1])[p.Place.Start:p.Place.End]))
			if !alike(query, document) {
				t.Fatalf("passage %+v:\nsuspect  %q\ndocument %q", p, query, document)
			}
			if p.Similarity != 1 {
				t.Fatalf("similarity %v of a verbatim passage", p.Similarity)
			}
			covered += len(query)
		}
		if covered < n-2*int(fingerprint.Dense) || covered != report.Matches[0].Characters {
			t.Fatalf("%d of %d characters covered, %d counted", covered, n, report.Matches[0].Characters)
		}
	}
}

func TestVerdicts(t *testing.T) {
	l := newLibrary()
	memo := prose(1, 200)
	l.add(t, "doc_a", "finance/budget-wing", 1, fingerprint.Dense, memo)
	for _, c := range []struct {
		name    string
		text    string
		scope   storage.Scope
		missing []string
		want    Verdict
	}{
		{"leak", memo[300:700], storage.Everywhere(), nil, Unauthorized},
		{"leak in scope", memo[300:700], storage.Branches("finance"), nil, Unauthorized},
		{"leak of another department", memo[300:700], storage.Branches("foreign"), nil, NoMatch},
		{"leak, part of the index missing", memo[300:700], storage.Everywhere(), []string{"segment 7"}, Unauthorized},
		{"stranger", prose(2, 200), storage.Everywhere(), nil, NoMatch},
		{"stranger, part of the index missing", prose(2, 200), storage.Everywhere(), []string{"segment 7"}, Incomplete},
		{"short", "a few words", storage.Everywhere(), nil, TooShort},
		{"short, part of the index missing", "a few words", storage.Everywhere(), []string{"segment 7"}, Incomplete},
		{"empty", "", storage.Everywhere(), nil, TooShort},
		{"nothing but signs", "!!! ... 🙂", storage.Everywhere(), nil, TooShort},
	} {
		l.missing = c.missing
		r := l.match(t, Query{Text: c.text, Scope: c.scope})
		if r.Verdict != c.want {
			t.Errorf("%s: %s, want %s", c.name, r.Verdict, c.want)
		}
		if (len(r.Matches) > 0) != (c.want == Unauthorized) {
			t.Errorf("%s: %d matches", c.name, len(r.Matches))
		}
	}
}

// TestFailure: an index that fails is an error, never a verdict.
func TestFailure(t *testing.T) {
	l := newLibrary()
	l.fail = errors.New("disk on fire")
	m := Matcher{Key: l.key, Index: l, Documents: l}
	if r, err := m.Match(t.Context(), Query{Text: prose(1, 50), Scope: storage.Everywhere()}); !errors.Is(err, l.fail) || r != nil {
		t.Fatalf("%v, %v", r, err)
	}
}

// TestVersions: the versions of a document are one match, of the version that
// the suspect shows most of.
func TestVersions(t *testing.T) {
	l := newLibrary()
	common, draft, final := prose(1, 300), prose(2, 60), prose(3, 60)
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, common+draft)
	l.add(t, "doc_a", "cabinet", 2, fingerprint.Dense, common+final)
	for _, c := range []struct {
		text string
		want int
	}{{common[500:900] + draft, 1}, {common[500:900] + final, 2}} {
		r := l.match(t, Query{Text: c.text})
		if len(r.Matches) != 1 || r.Matches[0].Version != c.want {
			t.Errorf("want one match of version %d, have %+v", c.want, r.Matches)
		}
	}
}

// TestContainment: shares are of the suspect and of the document.
func TestContainment(t *testing.T) {
	l := newLibrary()
	document := prose(1, 1000)
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, document)
	n := fingerprint.Normalize(document).Len()
	quote := run(document, 100, 500)
	r := l.match(t, Query{Text: quote + run(prose(2, 400), 0, 500)})
	m := r.Matches[0]
	if m.Query < 0.48 || m.Query > 0.52 {
		t.Errorf("%.2f of the suspect, want half", m.Query)
	}
	if want := 500 / float64(n); m.InDocument < 0.95*want || m.InDocument > 1.05*want {
		t.Errorf("%.3f of the document, want %.3f", m.InDocument, want)
	}
	if m.Score < 0.5 || m.Score > 1 || m.ExpectedByChance > ChanceThreshold {
		t.Errorf("score %v, expected by chance %v", m.Score, m.ExpectedByChance)
	}
}

// TestWholeDocument: the more leaks, the higher the score, to the very end of
// what numbers hold.
func TestWholeDocument(t *testing.T) {
	l := newLibrary()
	document := prose(1, 20_000)
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, document)
	last := 0.0
	for _, n := range []int{300, 1000, 3000, 10_000, 50_000, len(document)} {
		m := l.match(t, Query{Text: document[:n]}).Matches[0]
		if !(m.Score > last && m.Score <= 1) || !(m.ExpectedByChance > 0 && m.ExpectedByChance < 1e-9) {
			t.Errorf("%d bytes: score %v after %v, expected by chance %v", n, m.Score, last, m.ExpectedByChance)
		}
		last = m.Score
	}
}

// TestScattered: pieces of a document that are put together in another order,
// with gaps, are all found.
func TestScattered(t *testing.T) {
	l := newLibrary()
	document := prose(1, 2000)
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, document)
	var pieces []string
	for _, at := range []int{4000, 100, 8000, 2500, 6000} {
		pieces = append(pieces, run(document, at, 150))
	}
	text := strings.Join(pieces, " "+prose(5, 20)+" ")
	m := l.match(t, Query{Text: text}).Matches[0]
	if len(m.Passages) != len(pieces) {
		t.Fatalf("%d passages, want %d: %+v", len(m.Passages), len(pieces), m.Passages)
	}
	for i, p := range m.Passages {
		got := normal(string([]rune(text)[p.Query.Start:p.Query.End]))
		if len(got) < 140 || len(got) > 160 || !strings.Contains(normal(pieces[i]), got[10:len(got)-10]) {
			t.Errorf("passage %d is %q, want %q", i, got, normal(pieces[i]))
		}
	}
}

// TestDeterministic: the same question on the same index has the same answer.
func TestDeterministic(t *testing.T) {
	l := newLibrary()
	memo := prose(1, 500)
	for i := range 20 { // all the same, so that every order would do
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, memo)
	}
	first := l.match(t, Query{Text: memo[200:1200], Suppressed: true})
	for range 20 {
		if again := l.match(t, Query{Text: memo[200:1200], Suppressed: true}); !reflect.DeepEqual(again, first) {
			t.Fatal("two answers differ")
		}
	}
}

// TestRepetitive: texts that repeat themselves, on both sides, stay within the
// limit of hits, and are still found.
func TestRepetitive(t *testing.T) {
	l := newLibrary()
	texts := []string{
		strings.Repeat("a", 1<<20),
		strings.Repeat("the quick brown fox. ", 50_000),
		"x" + strings.Repeat("\u0301", 1<<20),
		strings.Repeat("0 0 0 1 ", 1<<17),
	}
	for i, text := range texts {
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, text)
	}
	m := Matcher{Key: l.key, Index: l, Documents: l}
	for i, text := range texts {
		s, err := m.search(t.Context(), fingerprint.Normalize(text))
		if err != nil {
			t.Fatal(err)
		}
		if most := 25 * maxRepeats * maxPostings; len(s.hits) > most {
			t.Errorf("text %d: %d hits, at most %d expected", i, len(s.hits), most)
		}
		l.match(t, Query{Text: text, Suppressed: true})
	}
}

func FuzzMatch(f *testing.F) {
	l := newLibrary()
	memo := prose(1, 300)
	l.add(f, "doc_a", "cabinet", 1, fingerprint.Dense, memo, strings.Repeat("ab ", 400))
	f.Add(memo[100:500])
	f.Add(strings.Repeat("ab ", 100))
	f.Add("x\u0301\u200b" + memo[:80])
	f.Fuzz(func(t *testing.T, text string) {
		r := l.match(t, Query{Text: text, Suppressed: true})
		length := len([]rune(text))
		for _, m := range r.Matches {
			if m.Score < 0 || m.Score > 1 || m.Query < 0 || m.Query > 1 || m.InDocument < 0 || m.InDocument > 1 || m.ExpectedByChance < 0 {
				t.Fatalf("%+v", m)
			}
			for _, p := range m.Passages {
				page := []rune(l.pages[1][p.Place.Page-1])
				if p.Query.Start < 0 || p.Query.Start >= p.Query.End || p.Query.End > length ||
					p.Place.Start < 0 || p.Place.Start >= p.Place.End || p.Place.End > len(page) || p.Similarity < 0 || p.Similarity > 1 {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}

// TestStrangers: texts of the same vocabulary that are not registered are no
// alerts.
func TestStrangers(t *testing.T) {
	l := newLibrary()
	for i := range 100 {
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, prose(uint64(i), 500))
	}
	for i := range 300 {
		if r := l.match(t, Query{Text: prose(uint64(100_000+i), 60)}); r.Verdict != NoMatch {
			t.Fatalf("stranger %d is %s: %+v", i, r.Verdict, r.Matches)
		}
	}
}

// TestChance: the longer the run, the less likely by chance; a gap makes it
// likelier, and so does a larger index.
func TestChance(t *testing.T) {
	const w = fingerprint.Dense
	evidence := func(postings int64, gap, n int) float64 {
		s := &search{grams: 300, postings: postings, bits: make([]float32, 300)}
		var r region
		for i := range n {
			at := uint32(i * int(w))
			if i >= n/2 {
				at += uint32(gap)
			}
			r.hits = append(r.hits, hit{1, 1000 + at, at})
			s.bits[at] = maxRarity
		}
		return chance(candidate{passages: []region{r}}, w, s)
	}
	last := 1.0
	for n := 4; n < 30; n++ {
		whole := evidence(1e6, 0, n)
		if whole >= last {
			t.Errorf("%d fingerprints in line: %v, one less: %v", n, whole, last)
		}
		if broken := evidence(1e6, 2*int(w), n); n >= 8 && broken <= whole {
			t.Errorf("%d fingerprints: %v with a gap, %v without", n, broken, whole)
		}
		if larger := evidence(1e9, 0, n); larger <= whole {
			t.Errorf("%d fingerprints: %v in a large index, %v in a small one", n, larger, whole)
		}
		last = whole
	}
	// What the guarantee leaves is enough in an index of a million documents.
	if c := expected(evidence(1.6e9, 0, w.Hits(fingerprint.Guarantee))); c > ChanceThreshold {
		t.Errorf("a run of %d characters in a large index: %v", fingerprint.Guarantee, c)
	}
}

// hitsOf are hits of one document at pairs of suspect gram and document position.
func hitsOf(o storage.Ordinal, pairs ...[2]uint32) []hit {
	var hits []hit
	for _, p := range pairs {
		hits = append(hits, hit{o, p[1], p[0]})
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.diagonal(), b.diagonal()), cmp.Compare(a.query, b.query))
	})
	return hits
}

func rareSearch(hits []hit) *search {
	s := &search{grams: 1000, postings: 1e6, hits: hits, bits: make([]float32, 1000)}
	for i := range s.bits {
		s.bits[i] = maxRarity
	}
	return s
}

// TestIndependent: what a document shows does not depend on the documents that
// were weighed before it.
func TestIndependent(t *testing.T) {
	// The first document has hits over the same grams that come to nothing: too far
	// apart to be one passage.
	stray := hitsOf(1, [2]uint32{100, 5100}, [2]uint32{200, 5200})
	real := hitsOf(2, [2]uint32{100, 900}, [2]uint32{105, 905}, [2]uint32{200, 1000}, [2]uint32{205, 1005})
	alone := rareSearch(real).candidates()
	after := rareSearch(slices.Concat(stray, real)).candidates()
	if len(alone) != 1 || len(after) != 1 || !reflect.DeepEqual(alone, after) {
		t.Errorf("alone %+v, after another document %+v", alone, after)
	}
}

// TestEmptyBand: a band that says much but comes to nothing does not hide
// passages elsewhere in the document.
func TestEmptyBand(t *testing.T) {
	hits := hitsOf(1, [2]uint32{100, 5100}, [2]uint32{200, 5200}, [2]uint32{300, 5300}, [2]uint32{400, 5400},
		[2]uint32{600, 20_000}, [2]uint32{620, 20_020})
	found := rareSearch(hits).candidates()
	if len(found) != 1 || len(found[0].passages) != 1 || found[0].passages[0].query.Start != 600 {
		t.Errorf("%+v", found)
	}
}
