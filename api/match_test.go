package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// sample reads a file of testdata/documents.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "testdata", "documents", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pagesOf reads a file as the server does.
func pagesOf(t testing.TB, content []byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reading, err := readers.Extract(context.Background(), f, int64(len(content)))
	if err != nil || reading.Status != ingest.StatusOK {
		t.Fatalf("%v %+v", err, reading)
	}
	var pages []string
	for i, p := range reading.Pages {
		if p.Number != i+1 {
			t.Fatalf("page %d stands at place %d", p.Number, i+1)
		}
		pages = append(pages, p.Text)
	}
	return pages
}

// cut returns a span of code points, normalized.
func cut(t testing.TB, text string, start, end int) string {
	t.Helper()
	points := []rune(text)
	if start < 0 || start >= end || end > len(points) {
		t.Fatalf("span %d to %d in %d code points", start, end, len(points))
	}
	var b strings.Builder
	for _, c := range fingerprint.Normalize(string(points[start:end])).Chars {
		fmt.Fprintf(&b, "%c", c)
	}
	return b.String()
}

// agree checks that the two sides of every passage hold the same normalized
// text. Passages end where their last gram does, so both sides are cut alike.
func agree(t testing.TB, m Match, query func(page int) string, pages []string) {
	t.Helper()
	if len(m.Passages) == 0 {
		t.Error("a match without passages")
	}
	for _, p := range m.Passages {
		q := cut(t, query(p.Query.Page), *p.Query.Start, *p.Query.End)
		d := cut(t, pages[p.Document.Page-1], *p.Document.Start, *p.Document.End)
		if q != d {
			t.Errorf("passage %+v:\nsubmitted %q\non the page %q", p, q, d)
		}
	}
}

// TestSpans: the spans of both sides hold the same text, in scripts of any
// direction, behind characters that do not count, over the ends of pages.
func TestSpans(t *testing.T) {
	h := newHouse(t, options{})
	for _, name := range []string{"finance-budget-call-circular.pdf", "interior-visa-circular.txt", "health-vaccine-ijlas.txt", "railways-track-renewal.html"} {
		content := sample(t, name)
		pages := pagesOf(t, content)
		d := h.register(name, string(content))
		points := []rune(strings.Join(pages, "\n"))
		if len(points) < 800 {
			t.Fatalf("%s has only %d code points", name, len(points))
		}
		excerpt := string(points[len(points)/4 : len(points)/4+600])
		for _, before := range []string{"", "𝒳 \u200b\ufeff é nota bene ", strings.Repeat("\u0640\u064b ", 50)} {
			text := before + excerpt + " — " + prose(3, 20)
			a := h.lookUpText(h.http, text, "")
			if a.Verdict != "unauthorized" || len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID {
				t.Errorf("%s: %+v", name, a)
				continue
			}
			agree(t, a.Matches[0], func(int) string { return text }, pages)
		}
	}
}

// TestFiles: a file is looked up by what it reads as, and its spans count from
// the beginning of its own pages.
func TestFiles(t *testing.T) {
	h := newHouse(t, options{})
	name := "finance-budget-call-circular.pdf"
	content := sample(t, name)
	pages := pagesOf(t, content)
	d := h.register(name, string(content))

	a := read[MatchAnswer](h.upload(h.http, "/v1/match", field{"file", string(content), "a.pdf"}).want(200))
	if a.Verdict != "unauthorized" || a.Partial || a.Reason != "" || len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || a.Matches[0].Containment.Query < 0.9 {
		t.Fatalf("%+v", a)
	}
	seen := map[int]bool{}
	for _, p := range a.Matches[0].Passages {
		if p.Query.Page < 1 || p.Query.Page > len(pages) || *p.Query.Start < 0 || *p.Query.End > len([]rune(pages[p.Query.Page-1])) || *p.Query.Start >= *p.Query.End {
			t.Errorf("a span that is not on its page: %+v", p)
		}
		seen[p.Query.Page] = true
	}
	if len(seen) != len(pages) {
		t.Errorf("passages on pages %v of %d", seen, len(pages))
	}
	// The same as a text file is one page.
	text := strings.Join(pages, "\n")
	a = read[MatchAnswer](h.upload(h.http, "/v1/match", field{"seen_at", "2026-01-01T00:00:00Z", ""}, field{"file", text, "a.txt"}).want(200))
	if a.Verdict != "unauthorized" || len(a.Matches) != 1 {
		t.Fatalf("%+v", a)
	}
	for _, p := range a.Matches[0].Passages {
		if p.Query.Page != 1 {
			t.Errorf("%+v", p)
		}
	}
	agree(t, a.Matches[0], func(int) string { return text }, pages)
}

// TestRead: an answer has, if asked, what was read of the submitted file, page by page, and
// the spans of its passages count there; else it is the same.
func TestRead(t *testing.T) {
	h := newHouse(t, options{})
	name := "finance-budget-call-circular.pdf"
	content := sample(t, name)
	pages := pagesOf(t, content)
	h.register(name, string(content))
	for file, want := range map[string][]string{string(content): pages, strings.Join(pages, "\n"): {strings.Join(pages, "\n")}} {
		ask := func(query string) MatchAnswer {
			a := read[MatchAnswer](h.upload(h.http, "/v1/match"+query, field{"file", file, "a"}).want(200))
			a.ID, a.TookMs = "", 0
			return a
		}
		a, plain := ask("?read=true"), ask("")
		var texts []string
		for i, p := range a.Read {
			if texts = append(texts, p.Text); p.Page != i+1 {
				t.Errorf("page %d stands at place %d", p.Page, i+1)
			}
		}
		if !slices.Equal(texts, want) || len(a.Matches) != 1 {
			t.Fatalf("%d pages of %d: %+v", len(texts), len(want), a.Matches)
		}
		if len(pages) == len(texts) {
			for _, p := range a.Matches[0].Passages { // spans end on any page of the file
				cut(t, texts[p.Query.Page-1], *p.Query.Start, *p.Query.End)
			}
		} else {
			agree(t, a.Matches[0], func(page int) string { return texts[page-1] }, pages)
		}
		if a.Read = nil; !same(a, plain) || plain.Read != nil {
			t.Errorf("%+v, and without what was read %+v", a, plain)
		}
	}
}

// TestUnreadable: what gives no text is never "no match".
func TestUnreadable(t *testing.T) {
	h := newHouse(t, options{})
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]reply{
		"image":        do(t, h.http, h.request("POST", "/v1/match", bytes.NewReader(picture.Bytes()), "Content-Type", "image/png")),
		"image, mixed": do(t, h.http, h.request("POST", "/v1/match?suppressed=true", bytes.NewReader(picture.Bytes()), "Content-Type", "Image/PNG")),
		"no image":     do(t, h.http, h.request("POST", "/v1/match", strings.NewReader("\x00\x01"), "Content-Type", "image/png")),
		"image part":   h.upload(h.http, "/v1/match", field{"file", picture.String(), "a.png"}),
		"broken PDF":   h.upload(h.http, "/v1/match", field{"file", "%PDF-1.4\nnothing\nstartxref\n0\n%%EOF", "a.pdf"}),
		"empty file":   h.upload(h.http, "/v1/match", field{"file", "", "a.txt"}),
		"blank file":   h.upload(h.http, "/v1/match", field{"file", " \n ", "a.txt"}),
	} {
		if a := read[MatchAnswer](r.want(200)); a.Verdict != "unreadable" || a.Reason == "" || len(a.Matches) != 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestSeenAt: the time of the post is taken from wherever it stands, and the
// body's is the last word.
func TestSeenAt(t *testing.T) {
	recorded := &recorder{}
	h := newHouse(t, options{match: func(m Matcher) Matcher { recorded.Matcher = m; return recorded }})
	const inQuery, inBody = "2026-01-01T00:00:00Z", "2026-02-02T07:00:00+05:00"
	check := func(name, want string) {
		t.Helper()
		if got := recorded.last.SeenAt.UTC().Format("2006-01-02"); got != want {
			t.Errorf("%s: seen at %s, want %s", name, got, want)
		}
	}
	h.json("POST", "/v1/match?seen_at="+inQuery, `{"text":"a"}`).want(200)
	check("query", "2026-01-01")
	h.json("POST", "/v1/match", `{"text":"a","seen_at":"`+inBody+`"}`).want(200)
	check("body", "2026-02-02")
	h.json("POST", "/v1/match?seen_at="+inQuery, `{"text":"a","seen_at":"`+inBody+`"}`).want(200)
	check("both", "2026-02-02")
	h.upload(h.http, "/v1/match?seen_at="+inQuery, field{"file", "a", "a.txt"}).want(200)
	check("query beside a form", "2026-01-01")
	h.upload(h.http, "/v1/match?seen_at="+inQuery, field{"file", "a", "a.txt"}, field{"seen_at", inBody, ""}).want(200)
	check("field behind the file", "2026-02-02")
	do(t, h.http, h.request("POST", "/v1/match?seen_at="+inQuery, strings.NewReader("a"), "Content-Type", "image/png")).want(200)
	check("query beside an image", "2026-01-01")
	h.json("POST", "/v1/match", `{"text":"a"}`).want(200)
	if recorded.last.SeenAt.IsZero() {
		t.Error("a post without a time was not seen now")
	}
}

// recorder keeps the last query.
type recorder struct {
	Matcher
	last match.Query
}

func (r *recorder) Match(ctx context.Context, q match.Query) (*match.Report, error) {
	r.last = q
	return r.Matcher.Match(ctx, q)
}

// TestSuppressed: a match below the threshold is answered on request only, and
// never makes the verdict.
func TestSuppressed(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(70, 300)
	h.register("a.txt", text)
	points := []rune(text)
	for n := 30; n < 64; n++ {
		fragment := string(points[100 : 100+n])
		plain, all := h.lookUpText(h.http, fragment, ""), h.lookUpText(h.http, fragment, "?suppressed=true")
		if plain.Verdict != all.Verdict {
			t.Errorf("%d: %s, %s with the suppressed", n, plain.Verdict, all.Verdict)
		}
		for _, m := range plain.Matches {
			if m.Disposition != "alert" {
				t.Errorf("%d: a suppressed match without being asked for: %+v", n, m)
			}
		}
		if len(all.Matches) == 1 && all.Matches[0].Disposition == "below_threshold" {
			if all.Verdict == "unauthorized" || len(plain.Matches) != 0 || all.Matches[0].Score >= 0.5 {
				t.Errorf("%d: %+v", n, all)
			}
			return
		}
	}
	t.Error("no length is below the threshold")
}

// TestSameAnswer: the same input on the same index gives the same answer.
func TestSameAnswer(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(80, 300)
	for i := range 3 { // three documents that match equally well
		h.register(fmt.Sprint(i), text+" "+prose(uint64(81+i), 100), field{"department", fmt.Sprint("d", i), ""})
	}
	body, _ := json.Marshal(map[string]string{"text": text})
	answer := func() map[string]any {
		a := read[map[string]any](h.json("POST", "/v1/match?suppressed=true", string(body)).want(200))
		delete(a, "id")
		delete(a, "took_ms")
		return a
	}
	first := answer()
	for range 10 {
		if next := answer(); !reflect.DeepEqual(first, next) {
			t.Fatalf("%v\n%v", first, next)
		}
	}
	h.register("more", prose(90, 50))
	if next := answer(); next["index_version"] == first["index_version"] {
		t.Error("another index of the same version")
	}
}

// flaky is an index whose look-ups fail, or lack parts.
type flaky struct {
	storage.Index
	err     error
	missing []string
}

func (f *flaky) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	if f.err != nil {
		return nil, f.err
	}
	answer, err := f.Index.Lookup(ctx, hashes, limit)
	if err == nil {
		answer.Missing = f.missing
	}
	return answer, err
}

// TestFailingIndex: an index that does not answer is a problem, and one that
// answers in part is incomplete: neither is ever "no match".
func TestFailingIndex(t *testing.T) {
	f := &flaky{}
	h := newHouse(t, options{index: func(ix storage.Index) storage.Index { f.Index = ix; return f }})
	text := prose(95, 200)
	h.register("a.txt", text)
	for err, status := range map[error]int{
		errors.New("disk gone"): 500, fmt.Errorf("read: %w", storage.ErrCorrupt): 500, fmt.Errorf("read: %w", storage.ErrClosed): 503,
		context.DeadlineExceeded: 503,
	} {
		f.err = err
		for _, body := range []string{`{"text":""}`, `{"text":"` + canary + `"}`, `{"text":"` + text + `"}`} {
			r := h.json("POST", "/v1/match", body)
			h.refused(err.Error(), r, complaint{status, ""})
		}
		if r := h.upload(h.http, "/v1/match", field{"file", canary, "a.txt"}); r.status != status {
			t.Errorf("%v: %d", err, r.status)
		}
	}
	f.err, f.missing = nil, []string{"segment 7"}
	for text, verdict := range map[string]Verdict{text: "unauthorized", prose(96, 200): "incomplete", "": "incomplete", "short": "incomplete"} {
		a := h.lookUpText(h.http, text, "")
		if a.Verdict != verdict || !a.Partial || !reflect.DeepEqual(a.Missing, f.missing) {
			t.Errorf("%+v, want %s", a, verdict)
		}
	}
	a := read[MatchAnswer](h.upload(h.http, "/v1/match", field{"file", "", "a.txt"}).want(200))
	if a.Verdict != "incomplete" || !a.Partial {
		t.Errorf("%+v", a)
	}
	f.missing = nil
	if a := h.lookUpText(h.http, prose(96, 200), ""); a.Verdict != "no_match" || a.Partial || a.Missing != nil {
		t.Errorf("%+v", a)
	}
	if strings.Contains(h.log.String(), canary) {
		t.Error("the log repeats what was submitted")
	}
}

// panicking is a matcher with a mistake.
type panicking struct{ Matcher }

func (p panicking) Match(ctx context.Context, q match.Query) (*match.Report, error) {
	if strings.Contains(q.Text, canary) {
		panic("cannot read " + q.Text)
	}
	return p.Matcher.Match(ctx, q)
}

// TestPanic: a mistake in a handler is a problem for its own request only, and
// what it was about is neither answered nor logged.
func TestPanic(t *testing.T) {
	h := newHouse(t, options{match: func(m Matcher) Matcher { return panicking{m} }})
	for range 3 {
		r := h.json("POST", "/v1/match", `{"text":"`+canary+`"}`)
		h.refused("panic", r, complaint{500, ""})
		id := read[Problem](r).RequestID
		if log := h.log.String(); strings.Contains(log, canary) || !strings.Contains(log, id) || !strings.Contains(log, "match_test.go") {
			t.Errorf("the log does not say where, or says too much:\n%s", log)
		}
	}
	if a := h.lookUpText(h.http, "", ""); a.Verdict != "too_short" {
		t.Errorf("%+v", a)
	}
}

// A passage over the end of a page of a submitted file is a passage on each, on
// both sides, without a gap between them.
func TestOnPages(t *testing.T) {
	p := match.Passage{
		Query: fingerprint.Span{Start: 80, End: 130}, Place: fingerprint.Place{Page: 7, Span: fingerprint.Span{Start: 1000, End: 1050}}, Similarity: 1,
	}
	got := onPages(p, []int{0, 101, 200})
	want := []Passage{
		{Query: QuerySpan{Page: 1, Start: new(80), End: new(100)}, Document: DocumentSpan{Page: 7, Start: new(1000), End: new(1020)}, Similarity: 1},
		{Query: QuerySpan{Page: 2, Start: new(0), End: new(29)}, Document: DocumentSpan{Page: 7, Start: new(1021), End: new(1050)}, Similarity: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := onPages(p, nil); len(got) != 1 || *got[0].Query.Start != 80 || *got[0].Query.End != 130 {
		t.Errorf("a text that is no file: %+v", got)
	}
}

// TestFingerprints: a text is found by its fingerprints as by itself, and they have to be
// made with this deployment's key.
func TestFingerprints(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(81, 400)
	d := h.register("memo.txt", text)
	excerpt := "Seen today: " + text[700:1000] + " and more."
	normalized := fingerprint.Normalize(excerpt)
	grams := fingerprint.Grams(h.server.Key, normalized)
	ask := func(keyID string, grams []byte, more string) reply {
		return h.json("POST", "/v1/match", fmt.Sprintf(`{"fingerprints":{"key_id":%q,"grams":%q}%s}`, keyID, base64.StdEncoding.EncodeToString(grams), more))
	}
	a := read[MatchAnswer](ask(h.server.Key.ID(), fingerprint.AppendHashes(nil, grams), "").want(200))
	b := h.lookUpText(h.http, excerpt, "")
	if a.Verdict != "unauthorized" || len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || a.Matches[0].MatchedCharacters < 200 {
		t.Fatalf("%+v", a)
	}
	p, q := a.Matches[0].Passages[0], b.Matches[0].Passages[0]
	if here := normalized.Source(fingerprint.Span{Start: *p.Query.Start, End: *p.Query.End}); here.Start < *q.Query.Start-30 || here.End > *q.Query.End+30 || *p.Document.Start < *q.Document.Start-30 {
		t.Errorf("by fingerprints %v in %v, by text %v in %v", here, p.Document, q.Query, q.Document)
	}
	if a := read[MatchAnswer](ask(h.server.Key.ID(), fingerprint.AppendHashes(nil, fingerprint.Grams(h.server.Key, fingerprint.Normalize(prose(82, 100)))), "").want(200)); a.Verdict != "no_match" {
		t.Errorf("another text: %+v", a)
	}
	if a := read[MatchAnswer](ask(h.server.Key.ID(), nil, "").want(200)); a.Verdict != "too_short" {
		t.Errorf("no fingerprints: %+v", a)
	}
	ask("another", nil, "").want(400)
	ask(h.server.Key.ID(), []byte{1, 2, 3}, "").want(400)
	ask(h.server.Key.ID(), nil, `,"text":"a"`).want(400)
	h.json("POST", "/v1/match", `{}`).want(400)
	h.json("POST", "/v1/match", `{"fingerprints":{"key_id":"a","grams":"no base64!"}}`).want(400)
}
