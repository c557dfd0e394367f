package match

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// rotated is a library whose key is changed after some documents.
type rotated struct {
	*library
	old *library
}

// rotate gives a library a new key: what is there stays under the old one.
func (l *library) rotate() *rotated {
	r := &rotated{library: libraryWith(fingerprint.NewKey()), old: l}
	// What is said about documents stands in one place.
	r.entries, r.places, r.sketch, r.pages, r.next = l.entries, l.places, l.sketch, l.pages, l.next
	return r
}

// add registers a document, with the sketch by which it is compared with older ones.
func (r *rotated) add(t testing.TB, id, department string, pages ...string) {
	t.Helper()
	r.library.add(t, id, department, 1, fingerprint.Dense, pages...)
	b := fingerprint.NewBuilder(r.key, fingerprint.Dense)
	b.SketchWith(r.old.key)
	for i, p := range pages {
		b.AddPage(i+1, p)
	}
	r.sketch[r.next] = b.SecondSketch().Bytes()
}

func (r *rotated) match(t testing.TB, q Query) *Report {
	t.Helper()
	q.Scope = storage.Everywhere()
	m := Matcher{Key: r.key, Index: r.library, Documents: r.library, Previous: &Generation{Key: r.old.key, Index: r.old}}
	report, err := m.Match(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestGenerations: documents are found under either key, in one answer, as if there were one
// key.
func TestGenerations(t *testing.T) {
	one, all := newLibrary(), newLibrary()
	first, second := prose(1, 300), prose(2, 300)
	for _, l := range []*library{one, all} {
		l.add(t, "doc_old", "cabinet", 1, fingerprint.Dense, first)
	}
	two := one.rotate()
	two.add(t, "doc_new", "cabinet", second)
	all.add(t, "doc_new", "cabinet", 1, fingerprint.Dense, second)
	for name, text := range map[string]string{
		"old": first[300:700], "new": second[300:700], "both": first[300:600] + second[600:900], "none": prose(3, 60), "empty": "",
		"noisy": noisy(first[300:700]),
	} {
		got, want := two.match(t, Query{Text: text, Suppressed: true}), all.match(t, Query{Text: text, Suppressed: true})
		if fmt.Sprint(got.Verdict, got.Matches, got.Explanation) != fmt.Sprint(want.Verdict, want.Matches, want.Explanation) {
			t.Errorf("%s: under two keys\n%+v\nunder one\n%+v", name, got, want)
		}
	}
	one.missing = []string{"segment-1"}
	if r := two.match(t, Query{Text: prose(3, 60)}); !slices.Equal(r.Missing, one.missing) || r.Verdict != Incomplete {
		t.Errorf("the previous index lacks a part: %s, %v", r.Verdict, r.Missing)
	}
}

// noisy misreads every ninth character.
func noisy(text string) string {
	b := []byte(text)
	for i := 4; i < len(b); i += 9 {
		if b[i] != ' ' {
			b[i] = 'q'
		}
	}
	return string(b)
}

// TestSealedGeneration: fingerprints that were made elsewhere find what is kept under their key,
// and that they find nothing else is no answer about the rest.
func TestSealedGeneration(t *testing.T) {
	one := newLibrary()
	first, second := prose(1, 300), prose(2, 300)
	one.add(t, "doc_old", "cabinet", 1, fingerprint.Dense, first)
	two := one.rotate()
	two.add(t, "doc_new", "cabinet", second)
	text := fingerprint.Normalize(first[300:700] + second[300:700])
	for _, test := range []struct {
		key   *fingerprint.Key
		keyID string
		want  storage.DocumentID
	}{
		{one.key, one.key.ID(), "doc_old"}, {two.key, two.key.ID(), "doc_new"}, {two.key, "", "doc_new"},
	} {
		r := two.match(t, Query{Grams: fingerprint.Grams(test.key, text), KeyID: test.keyID})
		if len(r.Matches) != 1 || r.Matches[0].Document.ID != test.want {
			t.Errorf("key %q: %+v", test.keyID, r.Matches)
		}
		other := map[storage.DocumentID]*fingerprint.Key{"doc_old": two.key, "doc_new": one.key}[test.want]
		if !slices.Equal(r.Missing, []string{"key-" + other.ID()}) {
			t.Errorf("key %q: %v is missing", test.keyID, r.Missing)
		}
		nothing := fingerprint.Grams(test.key, fingerprint.Normalize(prose(3, 60)))
		if r := two.match(t, Query{Grams: nothing, KeyID: test.keyID}); r.Verdict != Incomplete {
			t.Errorf("key %q, of nothing registered: %s", test.keyID, r.Verdict)
		}
	}
}

// TestCommonOverGenerations: what stands in five documents of different origin is boilerplate
// whatever keys they are kept under; states of one text are one origin, whatever keys.
func TestCommonOverGenerations(t *testing.T) {
	one := newLibrary()
	clause := prose(100, 60)
	for i := range 3 {
		one.add(t, fmt.Sprint("doc_", i), "works", 1, fingerprint.Dense, prose(uint64(i), 150)+clause+prose(uint64(10+i), 150))
	}
	two := one.rotate()
	two.add(t, "doc_3", "works", prose(3, 150)+clause+prose(13, 150))
	if r := two.match(t, Query{Text: clause}); r.Verdict != Unauthorized {
		t.Errorf("in four documents: %s", r.Verdict)
	}
	two.add(t, "doc_4", "works", prose(4, 150)+clause+prose(14, 150))
	if r := two.match(t, Query{Text: clause}); r.Verdict != Public {
		t.Errorf("in five documents under two keys: %s", r.Verdict)
	}

	texts, _ := drafts(8)
	one = newLibrary()
	for i, text := range texts[:4] {
		one.add(t, fmt.Sprint("doc_", i), "works", 1, fingerprint.Dense, text)
	}
	two = one.rotate()
	for i, text := range texts[4:] {
		two.add(t, fmt.Sprint("doc_", 4+i), "works", text)
	}
	if r := two.match(t, Query{Text: texts[6][len(texts[6])-900:]}); r.Verdict != Unauthorized || len(r.Matches) != 1 {
		t.Errorf("eight drafts under two keys: %s, %d matches", r.Verdict, len(r.Matches))
	}
}

// moving is an index after whose first answer something happens.
type moving struct {
	Index
	then func()
}

func (m *moving) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	answer, err := m.Index.Lookup(ctx, hashes, limit)
	if m.then != nil {
		m.then()
		m.then = nil
	}
	return answer, err
}

// TestMovedMeanwhile: a document that is moved to the current key while a text is looked up
// is found.
func TestMovedMeanwhile(t *testing.T) {
	for _, where := range []string{"before the previous index", "between the indexes", "behind both"} {
		one := newLibrary()
		text := prose(1, 300)
		one.add(t, "doc_a", "cabinet", 1, fingerprint.Dense, text)
		old := one.next
		two := one.rotate()
		move := func() {
			two.add(t, "doc_a", "cabinet", text)
			delete(two.entries, old)
			if err := one.Delete(t.Context(), []storage.Ordinal{old}); err != nil {
				t.Error(err)
			}
		}
		before, after := &moving{Index: one}, &moving{Index: two.library}
		switch where {
		case "before the previous index":
			move()
		case "between the indexes":
			before.then = move
		default:
			after.then = move
		}
		m := Matcher{Key: two.key, Index: after, Documents: two.library, Previous: &Generation{Key: one.key, Index: before}}
		r, err := m.Match(t.Context(), Query{Text: text[300:700], Scope: storage.Everywhere()})
		if err != nil || len(r.Matches) != 1 || r.Matches[0].Document.ID != "doc_a" {
			t.Errorf("moved %s: %+v, %v", where, r, err)
		}
	}
}
