package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxThreads bounds the texts that a batch keeps for its threads, in bytes.
const maxThreads = maxJSON

// MatchBatch implements POST /v1/match/batch.
func (s *Server) MatchBatch(ctx context.Context, request MatchBatchRequestObject) (MatchBatchResponseObject, error) {
	return &batch{Server: s, ctx: ctx, params: request.Params, body: request.Body, threads: map[string]*thread{}}, nil
}

// batch answers lines while it reads more of them.
type batch struct {
	*Server
	ctx     context.Context // of the request: the answer is written after the handler returned
	params  MatchBatchParams
	body    io.Reader
	threads map[string]*thread
	began   []*thread // in the order of their first lines
	kept    int       // bytes of texts of threads

	requestID string
}

// thread is what the lines of one thread said.
type thread struct {
	name   string
	texts  []string
	seenAt time.Time // of the last line that says so
	failed error     // why it cannot be judged
}

// batchProblem is a line that could not be answered.
type batchProblem struct {
	ID     string `json:"id,omitempty"`
	Thread string `json:"thread,omitempty"`
	Problem
}

// VisitMatchBatchResponse implements MatchBatchResponseObject.
func (b *batch) VisitMatchBatchResponse(w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	if err := out.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("answer while reading: %w", err)
	}
	b.requestID = w.Header().Get("X-Request-Id")
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	// A line's answer comes through a channel of its own, and the channels come in
	// the order of the lines.
	answers := make(chan chan any, runtime.GOMAXPROCS(0))
	go func() {
		defer close(answers)
		lines := bufio.NewReader(b.body)
		for number := 1; ; number++ {
			line, err := readLine(lines, maxJSON)
			if errors.Is(err, io.EOF) {
				return
			}
			answer := make(chan any, 1)
			select {
			case answers <- answer:
			case <-ctx.Done():
				return
			}
			if err != nil {
				answer <- b.failure("", "", fmt.Errorf("line %d: %w", number, err))
				return
			}
			what, err := b.parse(line, number)
			if err != nil {
				answer <- b.failure(what.ID, "", err)
				continue
			}
			b.remember(what)
			go func() { answer <- b.answer(ctx, what) }()
		}
	}()
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	write := func(v any) error {
		if err := encoder.Encode(v); err != nil {
			return err
		}
		return out.Flush()
	}
	for answer := range answers {
		if err := write(<-answer); err != nil {
			return err
		}
	}
	for _, t := range b.began {
		if err := write(b.judge(ctx, t)); err != nil {
			return err
		}
	}
	return nil
}

// readLine returns the next line that is not blank, at most limit bytes long.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	for {
		var line []byte
		for {
			part, err := r.ReadSlice('\n')
			if len(line)+len(part) > limit {
				return nil, &tooLarge{int64(limit)}
			}
			line = append(line, part...)
			if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// parse holds a line to what the specification says.
func (b *batch) parse(line []byte, number int) (what BatchLine, err error) {
	where := fmt.Sprintf("/%d", number)
	if err := strictJSON(line); err != nil {
		return what, fieldError(where, "is not valid JSON in UTF-8, or a name stands twice")
	}
	var value any
	if err := json.Unmarshal(line, &value); err != nil {
		return what, fieldError(where, "is not valid JSON")
	}
	if m, ok := value.(map[string]any); ok {
		what.ID, _ = m["id"].(string) // so that the problem can name the line
	}
	schema := b.spec.Components.Schemas["BatchLine"].Value
	if err := schema.VisitJSON(value, openapi3.MultiErrors(), dateTimeFormat); err != nil {
		var fields []FieldError
		collect(&fields, where, err)
		if len(fields) == 0 {
			fields = []FieldError{{Pointer: where, Detail: "is not a line of a batch"}}
		}
		return what, &invalid{fields}
	}
	if err := json.Unmarshal(line, &what); err != nil {
		return what, fieldError(where, "is not a line of a batch")
	}
	return what, nil
}

// remember keeps a line for its thread.
func (b *batch) remember(what BatchLine) {
	if what.Thread == "" {
		return
	}
	t := b.threads[what.Thread]
	if t == nil {
		t = &thread{name: what.Thread}
		b.threads[what.Thread] = t
		b.began = append(b.began, t)
	}
	if b.kept += len(what.Text); b.kept > maxThreads {
		t.failed = &tooLarge{maxThreads}
		return
	}
	t.texts = append(t.texts, what.Text)
	if !what.SeenAt.IsZero() {
		t.seenAt = what.SeenAt
	}
}

// answer looks a line up. It runs beside the handler, where nobody else would
// catch a panic.
func (b *batch) answer(ctx context.Context, what BatchLine) (result any) {
	defer func() {
		if r := recover(); r != nil {
			result = b.failure(what.ID, "", panicked(r))
		}
	}()
	seenAt := what.SeenAt
	if seenAt.IsZero() {
		seenAt = b.params.SeenAt
	}
	answer, err := b.lookUp(ctx, suspect{text: what.Text}, time.Now(), seenAt, b.params.Suppressed, b.params.Explain)
	if err != nil {
		return b.failure(what.ID, "", err)
	}
	if what.ID != "" {
		answer.ID = what.ID
	}
	return answer
}

// judge looks up what a thread says as a whole.
func (b *batch) judge(ctx context.Context, t *thread) any {
	if t.failed != nil {
		return b.failure("", t.name, t.failed)
	}
	seenAt := t.seenAt
	if seenAt.IsZero() {
		seenAt = b.params.SeenAt
	}
	answer, err := b.lookUp(ctx, suspect{text: strings.Join(t.texts, "\n")}, time.Now(), seenAt, b.params.Suppressed, false)
	if err != nil {
		return b.failure("", t.name, err)
	}
	return ThreadAnswer{Thread: t.name, Verdict: answer.Verdict, Matches: answer.Matches}
}

// failure is the problem that a line or a thread is answered with.
func (b *batch) failure(id, thread string, err error) batchProblem {
	p := toProblem(err)
	if p.Status == http.StatusInternalServerError {
		b.Log.Error("batch line failed", "error", err)
	}
	p.Type = "/problems/" + p.Type
	p.RequestID = b.requestID
	return batchProblem{ID: id, Thread: thread, Problem: p}
}
