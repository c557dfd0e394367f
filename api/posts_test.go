package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// TestPosts: what a pipeline sees becomes alerts, the same post again does not, and nobody
// is told who posted it.
func TestPosts(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(80, 200)
	d := h.register("a.txt", text, field{"department", "finance", ""}, field{"title", "Circular debt", ""})
	monitor := h.as(h.keyOf(auth.Monitor, ""))
	post := func(body string) reply {
		return do(t, monitor, h.request("POST", "/v1/posts", strings.NewReader(body), "Content-Type", "application/json"))
	}
	first := read[PostAnswer](post(fmt.Sprintf(`{"id":"p1","text":%q,"seen_at":"2026-05-06T07:08:09Z"}`, "leaked! "+text)).want(200))
	if first.Verdict != "unauthorized" || len(first.AlertIds) != 1 || first.ID != "p1" {
		t.Fatalf("%+v", first)
	}
	// Seen again, an hour later.
	again := read[PostAnswer](post(fmt.Sprintf(`{"id":"p1","text":%q,"seen_at":"2026-05-06T08:08:09Z"}`, "leaked! "+text)).want(200))
	if !slices.Equal(again.AlertIds, first.AlertIds) || again.Verdict != first.Verdict {
		t.Errorf("%+v", again)
	}
	post(`{"id":"p1","text":"something else"}`).want(409)
	for _, body := range []string{`{"id":"p2","text":"a","author":"somebody"}`, `{"id":"p2","text":"a","user":{"name":"a"}}`, `{"text":"a"}`, `{"id":""}`, `{"id":"p2","media":[{"data":"AA=="}]}`} {
		post(body).want(400)
	}
	if harmless := read[PostAnswer](post(fmt.Sprintf(`{"id":"p3","text":%q}`, prose(81, 60))).want(200)); harmless.Verdict != "no_match" || len(harmless.AlertIds) != 0 {
		t.Errorf("%+v", harmless)
	}
	if empty := read[PostAnswer](post(`{"id":"p4"}`).want(200)); empty.Verdict != "too_short" {
		t.Errorf("%+v", empty)
	}
	// A file among the media.
	file := read[PostAnswer](post(fmt.Sprintf(`{"id":"p5","text":"look","media":[{"content_type":"text/plain","data":%q}]}`, base64.StdEncoding.EncodeToString([]byte(text)))).want(200))
	if file.Verdict != "unauthorized" || !slices.Equal(file.AlertIds, first.AlertIds) {
		t.Errorf("%+v", file)
	}
	broken := read[PostAnswer](post(`{"id":"p6","text":"look","media":[{"content_type":"image/png","data":"iVBORw0KGgo="}]}`).want(200))
	if broken.Verdict != "unreadable" && broken.Verdict != "incomplete" || broken.Reason == "" {
		t.Errorf("%+v", broken)
	}
	analyst := h.as(h.keyOf(auth.Analyst, "finance"))
	detail := read[AlertDetail](do(t, analyst, h.request("GET", "/v1/alerts/"+first.AlertIds[0], nil)).want(200))
	if detail.Posts != 2 || detail.Document.ID != d.ID || detail.Document.Title != "Circular debt" || detail.State != "new" || len(detail.NewestPosts) != 2 ||
		detail.NewestPosts[1].ID != "p1" || detail.NewestPosts[0].Passages[0].Medium != 1 || detail.FirstSeenAt.Format(time.RFC3339) != "2026-05-06T07:08:09Z" {
		t.Errorf("%+v", detail)
	}
	if p := detail.NewestPosts[1].Passages[0]; *p.Query.Start < 8 || *p.Query.End > len(text)+8 || p.Document.Page != 1 {
		t.Errorf("%+v", p)
	}
}

// TestPostStream: a line for each line, in order, each with its own fate; and a reader that
// takes its time makes the writer wait.
func TestPostStream(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(82, 200)
	h.register("a.txt", text)
	var lines []string
	for i := range 3000 {
		body := fmt.Sprintf("post number %d is about nothing", i)
		if i%100 == 7 {
			body = text
		}
		lines = append(lines, fmt.Sprintf(`{"id":"p%d","text":%q}`, i, body))
	}
	lines[50] = `{"id":"p50","text":"a","author":"b"}`
	lines[51] = `{"id":`
	lines[52] = `{"id":"p1","text":"another"}`
	request := h.request("POST", "/v1/posts", strings.NewReader(strings.Join(lines, "\n")), "Content-Type", "application/x-ndjson")
	r, err := h.http.Do(request)
	if err != nil || r.StatusCode != 200 {
		t.Fatal(err, r)
	}
	defer r.Body.Close()
	in := bufio.NewScanner(r.Body)
	alerts := map[string]bool{}
	n := 0
	for ; in.Scan(); n++ {
		var line struct {
			PostAnswer
			Status int `json:"status"`
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		wantID, wantStatus := fmt.Sprint("p", n), 0
		switch n {
		case 50:
			wantStatus = 400
		case 51:
			wantID, wantStatus = "", 400
		case 52:
			wantID, wantStatus = "p1", 409
		}
		if line.ID != wantID || line.Status != wantStatus || (wantStatus == 0) != (line.Verdict != "") {
			t.Fatalf("line %d: %s", n, in.Bytes())
		}
		for _, id := range line.AlertIds {
			alerts[id] = true
		}
		if n%100 == 7 && len(line.AlertIds) != 1 {
			t.Errorf("line %d: %s", n, in.Bytes())
		}
	}
	if in.Err() != nil || n != len(lines) || len(alerts) != 1 {
		t.Errorf("%v, %d lines, %v", in.Err(), n, alerts)
	}

	// Nobody reads the answers: after some hundred posts nothing more is taken.
	reader, writer := io.Pipe()
	slow := h.request("POST", "/v1/posts", reader, "Content-Type", "application/x-ndjson")
	slow.Header.Set("Authorization", "Bearer "+h.keyOf(auth.Monitor, ""))
	sent := make(chan int, 1)
	go func() {
		n := 0
		defer func() { sent <- n }()
		for ; n < 200_000; n++ {
			if _, err := fmt.Fprintf(writer, `{"id":"slow %d %s","text":"nothing"}`+"\n", n, strings.Repeat("x", 150)); err != nil {
				return
			}
		}
	}()
	answer, err := h.bare.Transport.(*inspector).next.RoundTrip(slow)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	_ = reader.CloseWithError(io.ErrClosedPipe)
	if n := <-sent; n > 100_000 {
		t.Errorf("%d posts were taken that nobody read the answers of", n)
	}
	answer.Body.Close()
}

// TestPostTurns: of posts of a stream with one id the first one counts, however long it takes
// to look it up; those of other ids do not wait for it.
func TestPostTurns(t *testing.T) {
	h := newHouse(t, options{})
	long := prose(83, 20_000)
	var lines strings.Builder
	const ids = 100
	for i := range ids {
		fmt.Fprintf(&lines, `{"id":"p%d","text":%q}`+"\n", i, long[:100*(i+1)])
		fmt.Fprintf(&lines, `{"id":"p%d","text":"something else"}`+"\n", i)
		fmt.Fprintf(&lines, `{"id":"p%d","text":%q}`+"\n", i, long[:100*(i+1)])
	}
	request := h.request("POST", "/v1/posts", strings.NewReader(lines.String()), "Content-Type", "application/x-ndjson")
	answers := bytes.Split(bytes.TrimSpace(do(t, h.http, request).want(200).body), []byte("\n"))
	if len(answers) != 3*ids {
		t.Fatalf("%d answers", len(answers))
	}
	for i, answer := range answers {
		line := read[struct{ Status int }](reply{t: t, body: answer})
		if (line.Status == 409) != (i%3 == 1) || line.Status != 0 && line.Status != 409 {
			t.Errorf("line %d: %s", i, answer)
		}
	}
}

// TestTakePost: a post that is fed to the server is held to what a line of a stream is held
// to, and recorded; what is wrong with it at any time is told from what may pass.
func TestTakePost(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(84, 200)
	h.register("a.txt", text)
	ctx := t.Context()
	for range 2 {
		if refused, err := h.server.TakePost(ctx, fmt.Appendf(nil, "{\"id\":\"p1\",\n\"text\":%q}\n", text)); refused != "" || err != nil {
			t.Fatal(refused, err)
		}
	}
	list := read[AlertList](h.get("/v1/alerts").want(200))
	if len(list.Items) != 1 || list.Items[0].Posts != 1 {
		t.Errorf("%+v", list)
	}
	for body, want := range map[string]string{
		"":                                     "invalid-request",
		`{"id":`:                               "invalid-request",
		`[]`:                                   "invalid-request",
		`{"id":"p2","author":"somebody"}`:      "invalid-request",
		`{"id":"p2","id":"p3"}`:                "invalid-request",
		"{\"id\":\"p2\"}\n{\"id\":\"p3\"}":     "invalid-request",
		`{"id":"p1","text":"something else"}`:  "conflict",
		strings.Repeat(" ", maxPost) + `{"a":`: "too-large",
	} {
		refused, err := h.server.TakePost(ctx, []byte(body))
		var p Problem
		if err != nil || json.Unmarshal([]byte(refused), &p) != nil || p.Type != "/problems/"+want || p.RequestID == "" ||
			strings.Contains(refused, "some") || strings.Contains(refused, "\n") {
			t.Errorf("%.40s: %v %s", body, err, refused)
		}
	}
	records := read[AuditList](h.get("/v1/audit?action=takePosts&principal=jetstream").want(200)).Items
	if len(records) != 3 || records[0].Outcome != "unauthorized" || records[2].Outcome != "conflict" || records[0].Role != "monitor" || records[0].RequestID == "" {
		t.Errorf("%+v", records)
	}
	h.server.Feeding = func() bool { return false }
	h.server.Fed("taken")
	if said := string(do(t, h.bare, h.request("GET", "/readyz?verbose", nil)).want(200).body); !strings.Contains(said, "posts from JetStream: not taken") {
		t.Error(said)
	}
	if figures := string(do(t, h.bare, h.request("GET", "/metrics", nil)).want(200).body); !strings.Contains(figures, `sealprint_jetstream_posts_total{result="taken"} 1`) {
		t.Error("the metrics lack what was fed")
	}

	// What may pass is no reason to refuse a post: a server that stops, a log that is not written.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if refused, err := h.server.TakePost(gone, []byte(`{"id":"p4"}`)); refused != "" || err == nil {
		t.Error(refused, err)
	}
	if err := h.audit.Close(); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"id":"p5"}`, `{"id":"p1","text":"something else"}`} {
		if refused, err := h.server.TakePost(ctx, []byte(body)); refused != "" || !errors.Is(err, errAudit) {
			t.Error(refused, err)
		}
	}
}

// TestDisposition: decisions change the state with a reason, and an exclusion lets the
// passages pass for a time.
func TestDisposition(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(83, 300)
	h.register("a.txt", text, field{"department", "finance", ""})
	quote := text[200:600]
	posted := read[PostAnswer](h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p","text":%q}`, quote)).want(200))
	path := "/v1/alerts/" + posted.AlertIds[0] + "/disposition"
	analyst := h.as(h.keyOf(auth.Analyst, "finance"))
	decide := func(body string) reply {
		return do(t, analyst, h.request("POST", path, strings.NewReader(body), "Content-Type", "application/json"))
	}
	until := time.Now().Add(30 * 24 * time.Hour).UTC().Format(time.RFC3339)
	for body, want := range map[string]int{
		`{"state":"confirmed"}`: 400, `{"state":"confirmed","reason":""}`: 400, `{"state":"sold","reason":"a"}`: 400,
		`{"state":"confirmed","from":"triage","reason":"a"}`:                               409,
		fmt.Sprintf(`{"state":"confirmed","reason":"a","exclude_until":%q}`, until):        400,
		`{"state":"public_quotation","reason":"a","exclude_until":"2020-01-01T00:00:00Z"}`: 400,
		`{"state":"public_quotation","reason":"a","exclude_until":"2099-01-01T00:00:00Z"}`: 400,
	} {
		decide(body).want(want)
	}
	decide(`{"state":"triage","reason":"looking"}`).want(200)
	detail := read[AlertDetail](decide(fmt.Sprintf(`{"state":"public_quotation","from":"triage","reason":"the minister read it out","exclude_until":%q}`, until)).want(200))
	if detail.State != "public_quotation" || len(detail.History) != 2 || detail.History[1].Reason != "the minister read it out" || detail.History[1].ReleaseID == "" || detail.History[0].From != "new" {
		t.Errorf("%+v", detail)
	}
	if a := h.lookUpText(h.http, quote, ""); a.Verdict != "public" {
		t.Errorf("what was excluded is %s", a.Verdict)
	}
	if a := h.lookUpText(h.http, text, ""); a.Verdict != "unauthorized" {
		t.Errorf("more than what was excluded is %s", a.Verdict)
	}
	if a := h.lookUpText(h.http, quote, "?seen_at="+time.Now().Add(31*24*time.Hour).UTC().Format(time.RFC3339)); a.Verdict != "unauthorized" {
		t.Errorf("after the exclusion it is %s", a.Verdict)
	}
	if back := read[AlertDetail](decide(`{"state":"new","reason":"undone"}`).want(200)); back.State != "new" || len(back.History) != 3 {
		t.Errorf("%+v", back)
	}
}

// TestRemoval: what a platform is asked says which post shows how much of which document, that
// a person decided, who asks and under what; and nothing else of the document, to anybody.
func TestRemoval(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(88, 200)
	d := h.register("canary-source.txt", text, field{"department", "finance/canary-wing", ""}, field{"title", "Canary title", ""}, field{"classification", "canary-secret", ""})
	part := text[100:700]
	const id = "x/187 \"quoted\"\nSeen: never"
	alert := read[PostAnswer](h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":%q,"text":%q,"seen_at":"2026-05-06T07:08:09Z"}`, id, "look: "+part)).want(200)).AlertIds[0]
	h.json("POST", "/v1/posts", `{"id":"another","text":"nothing"}`).want(200)
	analyst := h.as(h.keyOf(auth.Analyst, "finance"))
	ask := func(client *http.Client, fields map[string]string) reply {
		all := map[string]string{"post": id, "requester": "Press Wing, دفتر", "instrument": "section 5, Official Secrets Act"}
		maps.Copy(all, fields)
		body, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, client, h.request("POST", "/v1/alerts/"+alert+"/removal", bytes.NewReader(body), "Content-Type", "application/json"))
	}
	decide := func(state string) AlertDetail {
		return read[AlertDetail](h.json("POST", "/v1/alerts/"+alert+"/disposition", fmt.Sprintf(`{"state":%q,"reason":"canary-reason"}`, state)).want(200))
	}
	for _, state := range []string{"", "triage", "authorized", "public_quotation", "boilerplate", "false_match", "duplicate"} {
		if state != "" {
			decide(state)
		}
		if p := read[Problem](ask(analyst, nil).want(409)); !strings.Contains(p.Detail, "confirmed or in legal review") {
			t.Errorf("%q: %+v", state, p)
		}
	}
	for state, says := range map[string]string{"legal_review": "referred it to legal review on ", "confirmed": "confirmed it on "} {
		decided := decide(state)
		r := ask(analyst, map[string]string{"reference": "https://example.org/x/187"}).want(200)
		got := read[Removal](r)
		shown := 0
		for _, p := range decided.NewestPosts[0].Passages {
			shown += *p.Document.End - *p.Document.Start
		}
		want := Removal{
			Text: got.Text, AlertID: alert, State: AlertState(state), DecidedAt: decided.History[len(decided.History)-1].At, Post: id, Reference: "https://example.org/x/187",
			SeenAt: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC), DocumentID: d.ID, Version: 1, Characters: shown, Pages: 1,
			Requester: "Press Wing, دفتر", Instrument: "section 5, Official Secrets Act",
		}
		if got != want || shown < 500 || shown > len(part) {
			t.Errorf("%+v, want %+v", got, want)
		}
		for _, said := range []string{
			`Post: "x/187 \"quoted\"\nSeen: never"` + "\n", "Address: https://example.org/x/187\n", "Seen: 2026-05-06T07:08:09Z\n", "Requested by: Press Wing, دفتر\n",
			"Under: section 5, Official Secrets Act\n", d.ID + ", version 1: " + fmt.Sprint(shown) + " characters on 1 page.", says + got.DecidedAt.Format(time.RFC3339), alert,
		} {
			if !strings.Contains(got.Text, said) {
				t.Errorf("%q is not in %s", said, got.Text)
			}
		}
		for _, secret := range append(strings.Fields(text), "anary", "finance") {
			if len(secret) > 5 && strings.Contains(string(r.body), secret) {
				t.Errorf("%s tells %q", r.body, secret)
			}
		}
	}
	if plain := read[Removal](ask(analyst, nil).want(200)); strings.Contains(plain.Text, "Address") || plain.Reference != "" {
		t.Errorf("%+v", plain)
	}
	for _, fields := range []map[string]string{
		{"post": "another"}, {"post": "none"}, {"post": ""}, {"requester": " "}, {"requester": "a\nSeen: never"}, {"instrument": "a\u2028b"},
		{"reference": "javascript:alert(1)"}, {"reference": "https://example.org/a b"}, {"author": "somebody"},
	} {
		ask(analyst, fields).want(400)
	}
	ask(h.as(h.keyOf(auth.Analyst, "foreign")), nil).want(404)
	ask(h.as(h.keyOf(auth.Registrar, "finance")), nil).want(403)
	decide("triage")
	ask(analyst, nil).want(409)

	records := h.get("/v1/audit?action=requestRemoval").want(200)
	made := 0
	for _, r := range read[AuditList](records).Items {
		if r.Outcome == "ok" {
			made++
			if !slices.Equal(r.Targets, []string{alert, d.ID}) {
				t.Errorf("%+v", r)
			}
		}
	}
	if made != 3 || strings.Contains(string(records.body), "Press") || strings.Contains(string(records.body), "x/187") {
		t.Errorf("%d are recorded: %s", made, records.body)
	}
}

// TestShown: overlapping passages count once, and a page that is known by its look has no
// characters.
func TestShown(t *testing.T) {
	chance := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		var passages []storage.AlertPassage
		pages, characters := map[int]bool{}, map[[2]int]bool{}
		for range chance.IntN(8) {
			start := chance.IntN(30)
			p := storage.AlertPassage{Document: storage.PageSpan{Page: 1 + chance.IntN(3), Start: start, End: start + 1 + chance.IntN(15)}}
			if pages[p.Document.Page] = true; chance.IntN(4) == 0 {
				p.OnPage = &storage.Region{Width: 1, Height: 1}
			} else {
				for at := p.Document.Start; at < p.Document.End; at++ {
					characters[[2]int{p.Document.Page, at}] = true
				}
			}
			passages = append(passages, p)
		}
		if n, m := shown(passages); n != len(pages) || m != len(characters) {
			t.Fatalf("%d pages, %d characters of %+v", n, m, passages)
		}
	}
	if text := removalText(Removal{Pages: 2, Version: 1}); !strings.Contains(text, "version 1: 2 pages.") {
		t.Error(text)
	}
}
