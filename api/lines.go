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
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// lines answers NDJSON, a line for each line and in their order, while it reads more. As
// many as may be ahead are worked on; when they are, nothing more is read, so that whoever
// sends faster, or takes answers more slowly, waits.
type lines[T any] struct {
	*Server
	schema string // of a line
	action string // that the audit log has for each
	limit  int    // of a line, in bytes
	ahead  int
	inTurn bool // of lines with one id, each waits for the answer to the one before
	id     func(*T) *string
	read   func(T)                               // each line, in their order; may be nil
	answer func(context.Context, T) (any, error) // several at a time
	// end writes what follows the last answer; may be nil.
	end func(ctx context.Context, write func(any) error) error

	requestID string
}

// lineProblem is a line that could not be answered.
type lineProblem struct {
	ID     string `json:"id,omitempty"`
	Thread string `json:"thread,omitempty"`
	Problem
}

// serve answers all lines of a body.
func (l *lines[T]) serve(ctx context.Context, body io.Reader, w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	if err := out.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("answer while reading: %w", err)
	}
	l.requestID = w.Header().Get("X-Request-Id")
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A line's answer comes through a channel of its own, and the channels come in
	// the order of the lines.
	answers := make(chan chan any, l.ahead)
	turns := turns{last: map[string]chan struct{}{}}
	go func() {
		defer close(answers)
		in := bufio.NewReaderSize(body, 64<<10)
		for number := 1; ; number++ {
			line, err := readLine(in, l.limit)
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
				answer <- l.failure("", "", fmt.Errorf("line %d: %w", number, err))
				return
			}
			what, err := l.parse(line, fmt.Sprintf("/%d", number))
			if err != nil {
				answer <- l.failure(*l.id(&what), "", err)
				continue
			}
			if l.read != nil {
				l.read(what)
			}
			wait, done := func() {}, func() {}
			if l.inTurn {
				wait, done = turns.of(*l.id(&what))
			}
			go func() {
				defer done()
				wait()
				value, err := l.one(ctx, what)
				if err != nil {
					value = l.failure(*l.id(&what), "", err)
				}
				answer <- value
			}()
		}
	}()
	buffered := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	flush := func() error {
		if err := buffered.Flush(); err != nil {
			return err
		}
		return out.Flush()
	}
	for answer := range answers {
		var value any
		select {
		case value = <-answer:
		default: // what is answered goes out before anybody waits
			if err := flush(); err != nil {
				return err
			}
			value = <-answer
		}
		if err := encoder.Encode(value); err != nil {
			return err
		}
		if len(answers) == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if l.end != nil {
		if err := l.end(ctx, encoder.Encode); err != nil {
			return err
		}
	}
	return flush()
}

// turns are those of lines that are on their way, by their ids.
type turns struct {
	mu   sync.Mutex
	last map[string]chan struct{} // closed when the last line with an id was answered
}

// of returns what waits for all lines with an id that came before, and what lets the next
// one go on.
func (t *turns) of(id string) (wait, done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, own := t.last[id], make(chan struct{})
	t.last[id] = own
	wait = func() {
		if before != nil {
			<-before
		}
	}
	done = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		close(own)
		if t.last[id] == own {
			delete(t.last, id)
		}
	}
	return wait, done
}

// one answers a line. It runs beside the handler, where nobody else would catch a panic.
func (l *lines[T]) one(ctx context.Context, what T) (answer any, err error) {
	defer func() {
		if r := recover(); r != nil {
			answer, err = nil, panicked(r)
		}
	}()
	n := &note{}
	ctx = context.WithValue(ctx, noteKey{}, n)
	answer, err = l.answer(ctx, what)
	if err != nil {
		n.outcome = toProblem(err).Type
	}
	return answer, errors.Join(err, l.record(ctx, l.action, n))
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

// parse holds a line to what the specification says. Where it stands begins the pointers to
// its fields.
func (l *lines[T]) parse(line []byte, where string) (what T, err error) {
	if err := strictJSON(line); err != nil {
		return what, fieldError(where, "is not valid JSON in UTF-8, or a name stands twice")
	}
	var value any
	if err := json.Unmarshal(line, &value); err != nil {
		return what, fieldError(where, "is not valid JSON")
	}
	if m, ok := value.(map[string]any); ok {
		*l.id(&what), _ = m["id"].(string) // so that the problem can name the line
	}
	schema := l.spec.Components.Schemas[l.schema].Value
	if err := schema.VisitJSON(value, openapi3.MultiErrors(), dateTimeFormat); err != nil {
		var fields []FieldError
		collect(&fields, where, err)
		if len(fields) == 0 {
			fields = []FieldError{{Pointer: where, Detail: "is not a line as it should be"}}
		}
		return what, &invalid{fields}
	}
	if err := json.Unmarshal(line, &what); err != nil {
		return what, fieldError(where, "is not a line as it should be")
	}
	return what, nil
}

// failure is the problem that a line or a thread is answered with.
func (l *lines[T]) failure(id, thread string, err error) lineProblem {
	p := toProblem(err)
	if p.Status == http.StatusInternalServerError {
		l.Log.Error("line failed", "request_id", l.requestID, "error", err)
	}
	p.Type = "/problems/" + p.Type
	p.RequestID = l.requestID
	return lineProblem{ID: id, Thread: thread, Problem: p}
}
