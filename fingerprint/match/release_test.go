package match

import (
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// TestRelease: what was released when it was seen is authorized, and nothing else is.
func TestRelease(t *testing.T) {
	noon := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	first, second, third := prose(1, 120), prose(2, 120), prose(3, 120)
	own := prose(4, 120)
	l := newLibrary()
	l.add(t, "doc_paper", "finance", 1, fingerprint.Dense, first, second, third)
	l.add(t, "doc_paper", "finance", 2, fingerprint.Dense, first, second, third+" "+prose(5, 30))
	l.add(t, "doc_draft", "finance", 1, fingerprint.Dense, own, second)
	l.add(t, "doc_copy", "foreign", 1, fingerprint.Dense, second)
	release := func(r storage.Release) { l.released = map[storage.DocumentID][]storage.Release{"doc_paper": {r}} }
	finance := storage.Branches("finance")
	ask := func(text string, at time.Time, scope storage.Scope) *Report {
		return l.match(t, Query{Text: text, SeenAt: at, Scope: scope, Suppressed: true})
	}
	check := func(what, text string, at time.Time, scope storage.Scope, want Verdict) {
		t.Helper()
		if r := ask(text, at, scope); r.Verdict != want {
			t.Errorf("%s is %s, not %s: %v", what, r.Verdict, want, dispositions(r))
		}
	}
	check("without a release", first, noon, finance, Unauthorized)

	whole := storage.Release{Kind: storage.Authorized, From: noon, Until: noon.Add(time.Hour)}
	release(whole)
	for _, text := range []string{first, first[100:400], second, first + " " + third} {
		check("before it", text, noon.Add(-time.Second), finance, Unauthorized)
		check("from then on", text, noon, finance, Authorized)
		check("to the end", text, noon.Add(time.Hour-1), finance, Authorized)
		check("after it", text, noon.Add(time.Hour), finance, Unauthorized)
	}
	check("what the draft adds", second+" "+own, noon, finance, Unauthorized)
	check("the copy of another department", second, noon, storage.Branches("foreign"), Unauthorized)
	if d := dispositions(ask(second, noon, storage.Everywhere())); d["doc_copy"] != Alert || d["doc_paper"] != AuthorizedRelease || d["doc_draft"] == Alert {
		t.Errorf("of two departments: %v", d)
	}
	revoked := whole
	revoked.RevokedAt = noon
	release(revoked)
	check("revoked", first, noon, finance, Unauthorized)

	excluded := whole
	excluded.Kind = storage.Excluded
	release(excluded)
	check("an exclusion", first, noon, finance, Public)

	pages := whole
	pages.Pages = []storage.PageRange{{First: 1, Last: 1}, {First: 3, Last: 3}}
	release(pages)
	check("a released page", first, noon, finance, Authorized)
	check("two released pages", first+" "+third, noon, finance, Authorized)
	check("a page that is not", second, noon, finance, Unauthorized)
	// The end of a released page runs a few characters into the next one, and more.
	both := first + " " + second
	check("a few characters of the next", both[200:len(first)+20], noon, finance, Authorized)
	r := ask(both, noon, finance)
	if r.Verdict != Unauthorized {
		t.Errorf("both pages: %s", r.Verdict)
	}
	for _, m := range r.Matches {
		if m.Document.ID == "doc_paper" && m.Disposition == Alert && m.Characters > len(normal(second)) {
			t.Errorf("what is released counts: %d characters", m.Characters)
		}
	}

	passage := whole
	passage.Passages = []storage.PageSpan{{Page: 2, Start: 0, End: 300}}
	release(passage)
	check("a released passage", second[20:280], noon, finance, Authorized)
	check("more than the passage", second[20:600], noon, finance, Unauthorized)
}
