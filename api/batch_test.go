package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// batchLine is any line of the answer to a batch.
type batchLine struct {
	ID, Thread, Verdict, Title string
	Status                     int
	RequestID                  string `json:"request_id"`
	Matches                    []Match
	Errors                     []FieldError
	Explanation                *Explanation
}

// batch sends lines and reads those of the answer.
func (h *house) batch(query string, lines ...string) (answers []batchLine) {
	h.t.Helper()
	r := h.request("POST", "/v1/match/batch"+query, strings.NewReader(strings.Join(lines, "\n")), "Content-Type", "application/x-ndjson")
	answer := do(h.t, h.http, r).want(200)
	for line := range strings.Lines(string(answer.body)) {
		var l batchLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			h.t.Fatalf("%q: %v", line, err)
		}
		answers = append(answers, l)
	}
	return answers
}

func asked(id, thread, text string) string {
	line, err := json.Marshal(map[string]string{"id": id, "thread": thread, "text": text})
	if err != nil {
		panic(err)
	}
	return string(line)
}

// TestBatch: every line is answered in order, by its id, whatever is wrong with
// others.
func TestBatch(t *testing.T) {
	h := newHouse(t, options{})
	memo := prose(50, 300)
	d := h.register("memo.txt", memo)
	var lines []string
	for i := range 40 {
		text := prose(uint64(600+i), 60)
		if i%4 == 0 {
			text = memo[10*i : 10*i+400]
		}
		lines = append(lines, asked(fmt.Sprint("post-", i), "", text))
	}
	lines[5] = `{"id":"post-5","text":1}`
	lines[6] = `{"id":"post-6","text":"a","author":"b"}`
	lines[7] = `{"id":"post-7",`
	answers := h.batch("?explain=true", lines...)
	if len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(answers), len(lines))
	}
	for i, a := range answers {
		switch {
		case i == 5 || i == 6 || i == 7:
			if a.Status != 400 || a.RequestID == "" || len(a.Errors) == 0 || i != 7 && a.ID != fmt.Sprint("post-", i) {
				t.Errorf("line %d: %+v", i, a)
			}
		case i%4 == 0:
			if a.ID != fmt.Sprint("post-", i) || a.Verdict != "unauthorized" || a.Matches[0].Document.ID != d.ID || a.Explanation == nil {
				t.Errorf("line %d: %+v", i, a)
			}
		default:
			if a.ID != fmt.Sprint("post-", i) || a.Verdict != "no_match" {
				t.Errorf("line %d: %+v", i, a)
			}
		}
	}
}

// TestBatchStreams: a line is answered before the next is sent.
func TestBatchStreams(t *testing.T) {
	h := newHouse(t, options{})
	r, w := io.Pipe()
	request := h.request("POST", "/v1/match/batch", r, "Content-Type", "application/x-ndjson")
	go func() { _, _ = io.WriteString(w, asked("first", "", "a few words")+"\n") }()
	answer, err := h.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	for _, id := range []string{"first", "second"} {
		line, err := lines.ReadString('\n')
		if err != nil || !strings.Contains(line, `"id":"`+id+`"`) {
			t.Fatalf("%q, %v", line, err)
		}
		if id == "first" {
			go func() { _, _ = io.WriteString(w, asked("second", "", "a few words")+"\n"); w.Close() }()
		}
	}
}

// TestThread: posts that each fall short are a leak together; two threads are
// not mixed up.
func TestThread(t *testing.T) {
	h := newHouse(t, options{})
	memo := prose(51, 400)
	d := h.register("memo.txt", memo)
	var lines []string
	for i := range 6 {
		lines = append(lines, asked(fmt.Sprint("a", i), "a", memo[600+36*i:600+36*i+36]))
		lines = append(lines, asked(fmt.Sprint("b", i), "b", prose(uint64(900+i), 5)))
	}
	answers := h.batch("", lines...)
	if len(answers) != len(lines)+2 {
		t.Fatalf("%d lines", len(answers))
	}
	for i, a := range answers[:len(lines)] {
		if a.Verdict == "unauthorized" {
			t.Errorf("line %d alone: %+v", i, a)
		}
	}
	a, b := answers[len(lines)], answers[len(lines)+1]
	if a.Thread != "a" || a.Verdict != "unauthorized" || len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID {
		t.Errorf("thread a: %+v", a)
	}
	if b.Thread != "b" || b.Verdict == "unauthorized" || b.Matches == nil {
		t.Errorf("thread b: %+v", b)
	}
}

// TestCompare: two texts are compared, and neither is kept.
func TestCompare(t *testing.T) {
	h := newHouse(t, options{})
	document := prose(52, 200)
	ask := func(text, document string) MatchAnswer {
		body, err := json.Marshal(map[string]string{"text": text, "document": document})
		if err != nil {
			t.Fatal(err)
		}
		return read[MatchAnswer](h.json("POST", "/v1/compare", string(body)).want(200))
	}
	for range 2 {
		a := ask("Look: "+document[200:600], document)
		if a.Verdict != "unauthorized" || a.Matches[0].Containment.Query < .9 || a.Explanation.NormalizedCharacters == 0 || a.Explanation.Fingerprints.Found == 0 {
			t.Errorf("%+v", a)
		}
		if a := h.lookUpText(h.http, document, "?suppressed=true"); a.Verdict != "no_match" || len(a.Matches) != 0 {
			t.Errorf("a compared text is registered: %+v", a)
		}
	}
	if a := ask(prose(53, 60), document); a.Verdict != "no_match" || a.Explanation.Threshold == 0 {
		t.Errorf("%+v", a)
	}
	if a := ask("", document); a.Verdict != "too_short" {
		t.Errorf("%+v", a)
	}
}

// TestExplain: an answer says how it came about, on request.
func TestExplain(t *testing.T) {
	h := newHouse(t, options{})
	memo := prose(54, 300)
	h.register("memo.txt", memo)
	if a := h.lookUpText(h.http, memo[:300], ""); a.Explanation.NormalizedCharacters != 0 {
		t.Errorf("explained without being asked: %+v", a.Explanation)
	}
	near := prose(55, 20) + memo[500:540] + prose(56, 20)
	a := h.lookUpText(h.http, near, "?explain=true")
	e := a.Explanation
	if a.Verdict != "no_match" || e.Fingerprints.Asked < 100 || e.Fingerprints.Found == 0 || e.Nearest.Document.ID == "" || e.Nearest.Lacks == "" || e.Nearest.ExpectedByChance <= e.Threshold {
		t.Errorf("%s: %+v", a.Verdict, e)
	}
}

// TestObfuscation: a disguised text is found, and the disguise is told.
func TestObfuscation(t *testing.T) {
	h := newHouse(t, options{})
	memo := "The Cabinet Division has decided that the release of the second tranche shall be postponed until the audit of the first is complete, and that the provinces shall not be informed before the meeting in October."
	d := h.register("memo.txt", memo+" "+prose(57, 200))
	for kind, disguised := range map[string]string{
		"zero_width":   strings.ReplaceAll(memo, "e", "e\u200b"),
		"look_alike":   strings.NewReplacer("a", "\u0430", "o", "\u043e").Replace(memo),
		"mixed_script": strings.NewReplacer("a", "\u0430", "o", "\u043e").Replace(memo),
		"spaced_out":   strings.ReplaceAll(memo, "postponed", "p o s t p o n e d"),
		"soft_hyphen":  strings.ReplaceAll(memo, "postponed", strings.Join(strings.Split("postponed", ""), "\u00ad")),
	} {
		a := h.lookUpText(h.http, disguised, "")
		if a.Verdict != "unauthorized" || a.Matches[0].Document.ID != d.ID {
			t.Errorf("%s: %s", kind, a.Verdict)
		}
		counts := map[string]int{}
		encoded, err := json.Marshal(a.Obfuscation)
		if err != nil || json.Unmarshal(encoded, &counts) != nil || counts[kind] == 0 {
			t.Errorf("%s: %s", kind, encoded)
		}
	}
	if a := h.lookUpText(h.http, memo, ""); a.Obfuscation != (Obfuscation{}) {
		t.Errorf("a plain text: %+v", a.Obfuscation)
	}
}
