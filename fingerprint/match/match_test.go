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
	"time"
	"unicode/utf8"

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
	sketch  map[storage.Ordinal][]byte
	pages   map[storage.Ordinal][]string
	next    storage.Ordinal

	released map[storage.DocumentID][]storage.Release

	missing []string // what the index pretends not to have
	fail    error
}

func newLibrary() *library { return libraryWith(fingerprint.NewKey()) }

func libraryWith(key *fingerprint.Key) *library {
	return &library{
		Memory: storagetest.NewMemory(key.Params()), key: key,
		entries: map[storage.Ordinal]storage.Match{}, places: map[storage.Ordinal][]byte{}, sketch: map[storage.Ordinal][]byte{}, pages: map[storage.Ordinal][]string{},
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

func (l *library) Sketches(_ context.Context, ordinals []storage.Ordinal) (map[storage.Ordinal][]byte, error) {
	found := map[storage.Ordinal][]byte{}
	for _, o := range ordinals {
		found[o] = l.sketch[o]
	}
	return found, nil
}

func (l *library) ReleasesOf(_ context.Context, ids []storage.DocumentID) (map[storage.DocumentID][]storage.Release, error) {
	return l.released, nil
}

// file puts the document that was added last into a collection of a kind.
func (l *library) file(kind storage.CollectionKind, published time.Time) {
	e := l.entries[l.next]
	e.Kind, e.Document.PublishedAt = kind, published
	l.entries[l.next] = e
}

// add registers a version of a document.
func (l *library) add(t testing.TB, id, department string, version int, w fingerprint.Window, pages ...string) {
	t.Helper()
	if err := l.Append(t.Context(), []storage.Sheet{l.enter(id, department, version, w, pages...)}); err != nil {
		t.Fatal(err)
	}
}

// enter is add without the index: it returns what the index has to hold.
func (l *library) enter(id, department string, version int, w fingerprint.Window, pages ...string) storage.Sheet {
	l.next++
	b := fingerprint.NewBuilder(l.key, w)
	for i, p := range pages {
		b.AddPage(i+1, p)
	}
	l.entries[l.next] = storage.Match{
		Document: storage.Document{ID: storage.DocumentID(id), Title: id, Department: department, Version: version},
		Version:  storage.Version{Document: storage.DocumentID(id), Number: version, Ordinal: l.next, Window: w},
		Source:   "s3://records/" + id,
	}
	l.places[l.next] = b.Places()
	l.sketch[l.next] = b.Sketch().Bytes()
	l.pages[l.next] = pages
	return storage.Sheet{Ordinal: l.next, Window: w, Hashes: b.Hashes()}
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

// inLine is a chain of n hits in line, the second half of them further on.
func inLine(w fingerprint.Window, n, gap int) chain {
	c := chain{window: w}
	for i := range n {
		at := uint32(i * int(w))
		if i >= n/2 {
			at += uint32(gap)
		}
		c.hits = append(c.hits, hit{1, 1000 + at, at})
	}
	return c
}

func rareSearch(grams int) *search {
	s := &search{grams: grams, opportunities: 1, bits: make([]float32, grams), repeated: make([]bool, grams)}
	for i := range s.bits {
		s.bits[i] = maxRarity
	}
	return s
}

// TestChance: the longer the run, and the more islands there are, the less
// likely by chance; the more documents have something in line, the likelier.
func TestChance(t *testing.T) {
	const w = fingerprint.Dense
	s := rareSearch(1000)
	last := 1.0
	for n := 5; n < 30; n++ {
		whole := s.chance(inLine(w, n, 0))
		if whole >= last {
			t.Errorf("%d fingerprints in line: %v, one less: %v", n, whole, last)
		}
		crowded := *s
		crowded.opportunities = 50
		if c := crowded.chance(inLine(w, n, 0)); c <= whole {
			t.Errorf("%d fingerprints: %v among 50 documents, %v alone", n, c, whole)
		}
		last = whole
	}
	if one, two := s.chance(inLine(w, 4, 0)), s.chance(inLine(w, 4, 60)); two >= one {
		t.Errorf("two islands %v, one %v", two, one)
	}
	// What the guarantee leaves is enough, though fifty other documents have something
	// in line.
	s.opportunities = 50
	if c := expected(s.chance(inLine(w, w.Hits(fingerprint.Guarantee), 0))); c > ChanceThreshold {
		t.Errorf("a run of %d characters: %v", fingerprint.Guarantee, c)
	}
}

// TestChains: hits that are in line are one chain; too far apart, two; those of a
// chain that says more are not told twice.
func TestChains(t *testing.T) {
	line := func(query, position uint32, n int) (hits []hit) {
		for i := range uint32(n) {
			hits = append(hits, hit{1, position + 5*i, query + 5*i})
		}
		return hits
	}
	for _, c := range []struct {
		name string
		hits []hit
		want []int // hits of each chain
	}{
		{"a run", line(100, 900, 6), []int{6}},
		{"a replaced sentence", slices.Concat(line(100, 900, 6), line(220, 1020, 4)), []int{10}},
		{"characters lost", slices.Concat(line(100, 900, 6), line(145, 940, 6)), []int{12}},
		{"another place", slices.Concat(line(100, 900, 6), line(160, 5000, 4)), []int{6, 4}},
		{"the other way around", slices.Concat(line(100, 900, 6), line(160, 700, 4)), []int{6, 4}},
		{"too far apart", slices.Concat(line(100, 900, 2), line(400, 1200, 2)), []int{2, 2}},
		{"a passage that stands twice", slices.Concat(line(100, 900, 8), line(100, 3000, 6)), []int{8}},
		{"a single hit", line(100, 900, 1), nil},
	} {
		slices.SortFunc(c.hits, func(a, b hit) int {
			return cmp.Or(cmp.Compare(a.query, b.query), cmp.Compare(a.position, b.position))
		})
		s := rareSearch(1000)
		found := (&chainer{bits: s.bits}).chains(c.hits, fingerprint.Dense)
		var have []int
		for _, l := range found {
			have = append(have, len(l.hits))
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: chains of %v hits, want %v", c.name, have, c.want)
		}
	}
}

// TestCompare: one text stands in another or does not, and it says how much.
func TestCompare(t *testing.T) {
	m := Matcher{Key: fingerprint.NewKey()}
	document := prose(1, 300)
	r, err := m.Compare(t.Context(), "They say: "+document[300:700], document)
	if err != nil || r.Verdict != Unauthorized || r.Matches[0].Query < 0.9 {
		t.Errorf("an excerpt: %+v, %v", r, err)
	}
	r, err = m.Compare(t.Context(), prose(2, 80), document)
	if err != nil || r.Verdict != NoMatch || r.Explanation.Asked == 0 || r.Characters == 0 {
		t.Errorf("another text: %+v, %v", r, err)
	}
}

// TestExplanation: a no says what was asked, what was found, and what came
// nearest.
func TestExplanation(t *testing.T) {
	l := newLibrary()
	memo := prose(1, 300)
	l.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, memo)
	near := prose(2, 40) + run(memo, 500, 30) + prose(3, 40)
	r := l.match(t, Query{Text: near, Explain: true})
	e := r.Explanation
	if r.Verdict != NoMatch || e.Nearest == nil || e.Nearest.Document.ID != "doc_a" || e.Nearest.ExpectedByChance <= ChanceThreshold {
		t.Fatalf("%s, %+v", r.Verdict, e)
	}
	if grams := fingerprint.Normalize(near).Len() - fingerprint.GramSpan + 1; e.Asked > grams || e.Asked < grams-10 || e.Found < 2 || e.Found > 10 {
		t.Errorf("%d grams: %d asked, %d found", grams, e.Asked, e.Found)
	}
	if len(r.Matches) != 0 {
		t.Errorf("%d matches", len(r.Matches))
	}
}

// TestSecondLook: a bad copy leaves few grams whole and many with one misread
// character. These make it an alert; without them it would not be one.
func TestSecondLook(t *testing.T) {
	l := newLibrary()
	for i := range uint64(40) {
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, prose(i, 1500))
	}
	alerts, gained := 0, 0
	for i := range uint64(40) {
		r := rand.New(rand.NewPCG(i, 1))
		text := fingerprint.Normalize(misread(r, run(prose(i, 1500), 300, 220), .2, false))
		m := Matcher{Key: l.key, Index: l, Documents: l}
		s, err := m.search(t.Context(), m.seal(fingerprint.GramHashes(text)))
		if err != nil {
			t.Fatal(err)
		}
		candidates := s.candidates()
		sure := len(candidates) > 0 && candidates[0].whole <= threshold
		report := l.match(t, Query{Text: string(text.Chars)})
		if report.Verdict != Unauthorized {
			if sure {
				t.Errorf("copy %d was an alert at first sight, and is none", i)
			}
			continue
		}
		alerts++
		if !sure {
			gained++
		}
		if report.Matches[0].Document.ID != storage.DocumentID(fmt.Sprint("doc_", i)) {
			t.Errorf("copy %d is taken for %s", i, report.Matches[0].Document.ID)
		}
	}
	if gained == 0 {
		t.Errorf("%d alerts, none by the second look", alerts)
	}
}

// TestRepetition: a megabyte that says one thing again and again, asked of
// documents that do the same, is answered with work in proportion to its length.
// Work is counted, not timed: what the index is asked for, and hits that are
// chained.
func TestRepetition(t *testing.T) {
	const size = 1 << 20
	gram := "abcdefghijklmnop"
	texts := map[string]string{
		"one character":     strings.Repeat("x", size),
		"one gram":          strings.Repeat(gram, size/len(gram)),
		"combining marks":   "a" + strings.Repeat("\u0301", size/2),
		"marks on letters":  strings.Repeat("e\u0301\u0323\u0307", size/7),
		"a word and a line": strings.Repeat("section 1\n", size/10),
		"zero-width":        strings.Repeat("n\u200b\u200d", size/7),
		"a sentence":        strings.Repeat("the quick brown fox. ", size/21),
		"digits":            strings.Repeat("0 0 0 1 ", size/8),
	}
	l := newLibrary()
	secret := prose(1, 300)
	l.add(t, "doc_secret", "cabinet", 1, fingerprint.Dense, secret)
	for name, text := range texts {
		for i := range 3 {
			l.add(t, fmt.Sprint("doc ", name, i), "cabinet", 1, fingerprint.Dense, strings.ToValidUTF8(text[:size/10], ""))
		}
	}
	for name, text := range texts {
		if !utf8.ValidString(text) {
			t.Fatal(name)
		}
		m := Matcher{Key: l.key, Index: l, Documents: l}
		s, err := m.search(t.Context(), m.seal(fingerprint.GramHashes(fingerprint.Normalize(text))))
		if err != nil {
			t.Fatal(err)
		}
		hits := 0
		for _, g := range s.groups {
			hits += len(g.hits)
		}
		if most := s.asked * maxRepeats * maxPostings; s.asked > 1000 || hits > most {
			t.Errorf("%s: %d fingerprints asked, %d hits, at most %d", name, s.asked, hits, most)
		}
		r := l.match(t, Query{Text: text, Suppressed: true, Explain: true})
		for _, match := range r.Matches {
			if len(match.Passages) > 2*maxPassages {
				t.Errorf("%s: %d passages", name, len(match.Passages))
			}
		}
		// What stands beside it is still found.
		r = l.match(t, Query{Text: strings.ToValidUTF8(text[:size/20], "") + " " + secret[100:400]})
		if r.Verdict != Unauthorized || r.Matches[0].Document.ID != "doc_secret" {
			t.Errorf("a leak beside %s: %s, %v", name, r.Verdict, dispositions(r))
		}
	}
}

// TestGrams: the fingerprints of a text find what the text finds, but for what only its
// characters can tell.
func TestGrams(t *testing.T) {
	l := newLibrary()
	memo := prose(1, 300)
	l.add(t, "doc_memo", "finance", 1, fingerprint.Dense, memo[:700], memo[700:])
	l.add(t, "doc_other", "finance", 1, fingerprint.Sparse, prose(2, 300))
	for _, text := range []string{memo, "leaked: " + memo[650:900], prose(3, 50), memo[:70], "a", ""} {
		whole := l.match(t, Query{Text: text})
		blind := l.match(t, Query{Text: "nothing of this counts", Grams: append([]fingerprint.Hash{}, whole.Grams...)})
		if len(whole.Grams) == 0 {
			continue
		}
		if whole.Verdict != blind.Verdict || len(whole.Matches) != len(blind.Matches) {
			t.Errorf("%.20q is %s, its grams are %s", text, whole.Verdict, blind.Verdict)
			continue
		}
		for i, m := range whole.Matches {
			if b := blind.Matches[i]; m.Document.ID != b.Document.ID || m.ExpectedByChance != b.ExpectedByChance || !reflect.DeepEqual(m.Passages[0].Place, b.Passages[0].Place) {
				t.Errorf("%.20q: %+v and %+v", text, m, b)
			}
		}
	}
}
