package match

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage"
)

// dispositions is what became of each document.
func dispositions(r *Report) map[storage.DocumentID]Disposition {
	found := map[storage.DocumentID]Disposition{}
	for _, m := range r.Matches {
		found[m.Document.ID] = m.Disposition
	}
	return found
}

// TestPublic: what stands in public text too does not count and leaves the
// denominator; what a document says of its own does.
func TestPublic(t *testing.T) {
	l := newLibrary()
	law, own := prose(1, 300), prose(2, 300)
	l.add(t, "doc_memo", "cabinet", 1, fingerprint.Dense, own[:900]+law[300:900]+own[900:])
	l.add(t, "doc_law", "law", 1, fingerprint.Dense, law)
	l.file(storage.Public, time.Time{})

	quoted := l.match(t, Query{Text: "As the law says: " + law[350:800], Suppressed: true})
	if d := dispositions(quoted); quoted.Verdict != Public || d["doc_memo"] != PublicText || d["doc_law"] != PublicText {
		t.Errorf("a quotation of the law is %s, %v", quoted.Verdict, d)
	}
	if quoted.Explanation.Public < 300 {
		t.Errorf("%d characters are explained as public", quoted.Explanation.Public)
	}
	leak := l.match(t, Query{Text: own[700:900] + law[300:900], Suppressed: true})
	if d := dispositions(leak); leak.Verdict != Unauthorized || d["doc_memo"] != Alert || d["doc_law"] != PublicText {
		t.Errorf("own text beside the law is %s, %v", leak.Verdict, d)
	}
	n := len(normal(own[700:900]))
	for _, m := range leak.Matches {
		if m.Document.ID == "doc_memo" && (m.Characters > n+10 || m.Characters < n-10 || m.Query < .9) {
			t.Errorf("%d characters of own text count as %d, a share of %.2f", n, m.Characters, m.Query)
		}
	}
	if r := l.match(t, Query{Text: law[:250]}); r.Verdict != Public || len(r.Matches) != 0 {
		t.Errorf("the law alone is %s with %d matches", r.Verdict, len(r.Matches))
	}
}

// TestPublication: a text is public from its publication on, and a leak before.
func TestPublication(t *testing.T) {
	published := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	for _, kind := range []storage.CollectionKind{storage.Public, storage.Protected} {
		l := newLibrary()
		gazette := prose(1, 200)
		l.add(t, "doc_a", "law", 1, fingerprint.Dense, gazette)
		l.file(kind, published)
		for seen, want := range map[time.Time]Verdict{
			published.Add(-time.Second): Unauthorized, published: Public, published.AddDate(1, 0, 0): Public,
		} {
			if r := l.match(t, Query{Text: gazette[100:500], SeenAt: seen}); r.Verdict != want {
				t.Errorf("%s, seen at %s: %s, want %s", kind, seen, r.Verdict, want)
			}
		}
	}
}

// form is a template with other particulars for each seed.
func form(seed uint64) string {
	fill := func(i, n int) string { return prose(seed*100+uint64(i), 10)[:n] }
	return "GOVERNMENT OF PAKISTAN. No. " + fill(1, 12) + ". Office memorandum. The undersigned is directed to refer to the subject noted above and to say that " +
		fill(2, 25) + " has been pleased to approve with immediate effect and until further orders the posting of Mr. " + fill(3, 18) +
		" as Section Officer in the office of " + fill(4, 20) + " on the terms and conditions laid down in the rules. He shall report for duty to " +
		fill(5, 18) + " not later than the date given below, failing which the orders shall be treated as withdrawn. Copy for information to " + fill(6, 20) + "."
}

// TestBoilerplate: a template that is registered never alarms, filled in by
// whomever, and slightly edited either; what was filled in does.
func TestBoilerplate(t *testing.T) {
	l := newLibrary()
	for i := range uint64(3) {
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, form(i)+" "+prose(500+i, 100))
	}
	l.add(t, "doc_form", "cabinet", 1, fingerprint.Dense, form(77))
	l.file(storage.Boilerplate, time.Time{})
	edited := strings.NewReplacer("pleased to approve", "pleased to sanction", "failing which", "without which").Replace(form(900))
	for name, text := range map[string]string{"another copy": form(901), "an edited copy": edited, "its beginning": form(902)[:300]} {
		r := l.match(t, Query{Text: text, Suppressed: true})
		if r.Verdict != Public || dispositions(r)["doc_0"] != Boilerplate {
			t.Errorf("%s of the form is %s, %v", name, r.Verdict, dispositions(r))
		}
	}
	if r := l.match(t, Query{Text: form(903) + " " + prose(501, 100)[:300]}); r.Verdict != Unauthorized || r.Matches[0].Document.ID != "doc_1" || len(r.Matches) != 1 {
		t.Errorf("a form with the text of a document is %s, %v", r.Verdict, dispositions(r))
	}
}

// TestCommon: what stands in five documents of different origin is boilerplate;
// in four it is not. Five drafts of one document have the same origin.
func TestCommon(t *testing.T) {
	common := prose(1, 60)
	for n := 3; n < 8; n++ {
		l := newLibrary()
		for i := range n {
			l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, prose(uint64(100+i), 200)+common+prose(uint64(200+i), 200))
		}
		want := Unauthorized
		if n >= commonOrigins {
			want = Public
		}
		if r := l.match(t, Query{Text: common, Suppressed: true}); r.Verdict != want {
			t.Errorf("in %d documents: %s, want %s; %v", n, r.Verdict, want, dispositions(r))
		}
		if r := l.match(t, Query{Text: common + prose(102, 200)[:200]}); r.Verdict != Unauthorized || r.Matches[0].Document.ID != "doc_2" {
			t.Errorf("in %d documents: own text beside what is common is %s", n, r.Verdict)
		}
	}
}

// drafts are states of one document: each replaces one more of the paragraphs.
// What lies around the border between new and old is in one draft only.
func drafts(n int) (texts, own []string) {
	var paragraphs []string
	for i := range n + 3 {
		paragraphs = append(paragraphs, fingerprinttest.Prose(uint64(1+i), 600))
	}
	for i := range n {
		if i > 0 {
			paragraphs[i-1] = fingerprinttest.Prose(uint64(50+i), 600)
			own = append(own, paragraphs[i-1][400:]+" "+paragraphs[i][:200])
		} else {
			own = append(own, paragraphs[0][200:])
		}
		texts = append(texts, strings.Join(paragraphs, " "))
	}
	return texts, own
}

// TestFamily: drafts and finals are one alert, of the closest.
func TestFamily(t *testing.T) {
	l := newLibrary()
	texts, own := drafts(7)
	for i, text := range texts {
		l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, text)
	}
	for i := range texts {
		r := l.match(t, Query{Text: own[i]})
		if len(r.Matches) != 1 || r.Matches[0].Document.ID != storage.DocumentID(fmt.Sprint("doc_", i)) {
			t.Errorf("draft %d: alerts of %v", i, dispositions(r))
		}
	}
	// What all of them say is a leak as well, though it stands in seven documents.
	r := l.match(t, Query{Text: texts[0][len(texts[0])-900:]})
	if r.Verdict != Unauthorized || len(r.Matches) != 1 || len(r.Matches[0].Versions) != len(texts)-1 {
		t.Errorf("common text of drafts is %s, %v", r.Verdict, dispositions(r))
	}
}

// TestForms: when a form was registered a few times, filled in, other copies of it
// are no leak, however alike its copies are. The registered ones are, by what was
// filled in.
func TestForms(t *testing.T) {
	long := prose(9, 1000)
	for name, make := range map[string]func(seed uint64) string{
		"short": form,
		"long":  func(seed uint64) string { return form(seed) + " " + long },
	} {
		l := newLibrary()
		for i := range uint64(6) {
			l.add(t, fmt.Sprint("doc_", i), "cabinet", 1, fingerprint.Dense, make(i))
		}
		for i := range uint64(100) {
			text := make(100 + i)
			for _, part := range []string{text, text[:280], text[200:480], text[len(text)-280:]} {
				if r := l.match(t, Query{Text: part, Suppressed: true}); r.Verdict != Public {
					t.Errorf("%s: copy %d is %s, %v", name, i, r.Verdict, dispositions(r))
				}
			}
		}
		for i := range uint64(6) {
			r := l.match(t, Query{Text: make(i), Suppressed: true})
			if d := dispositions(r); r.Verdict != Unauthorized || d[storage.DocumentID(fmt.Sprint("doc_", i))] != Alert || d["doc_0"] == d["doc_1"] && i < 2 {
				t.Errorf("%s: registered copy %d is %s, %v", name, i, r.Verdict, d)
			}
		}
	}
}

// TestScope: public text outside the caller's branch suppresses, and is not told.
func TestScope(t *testing.T) {
	l := newLibrary()
	law := prose(1, 200)
	l.add(t, "doc_memo", "finance", 1, fingerprint.Dense, prose(2, 100)+law)
	l.add(t, "doc_law", "law", 1, fingerprint.Dense, law)
	l.file(storage.Public, time.Time{})
	r := l.match(t, Query{Text: law[200:600], Scope: storage.Branches("finance"), Suppressed: true})
	if d := dispositions(r); r.Verdict != Public || len(d) != 1 || d["doc_memo"] != PublicText {
		t.Errorf("%s, %v", r.Verdict, d)
	}
}
