package api

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/sealprint/sealprint/api/auth"
)

// maxThreads bounds the texts that a batch keeps for its threads, in bytes.
const maxThreads = maxJSON

// waitingAhead is how many lines of a batch are on their way if each waits until it may be
// answered: complete says why.
const waitingAhead = 16

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
}

// thread is what the lines of one thread said.
type thread struct {
	name   string
	texts  []string
	seenAt time.Time // of the last line that says so
	failed error     // why it cannot be judged
}

// VisitMatchBatchResponse implements MatchBatchResponseObject.
func (b *batch) VisitMatchBatchResponse(w http.ResponseWriter) error {
	l := &lines[BatchLine]{
		Server: b.Server, schema: "BatchLine", action: "matchBatch", limit: maxJSON, ahead: runtime.GOMAXPROCS(0),
		id: func(what *BatchLine) *string { return &what.ID }, read: b.remember, answer: b.answer,
	}
	if !scope(b.ctx).All() {
		l.ahead = waitingAhead
	}
	l.end = func(ctx context.Context, write func(any) error) error {
		for _, t := range b.began {
			if err := write(b.judge(ctx, t, l)); err != nil {
				return err
			}
		}
		return nil
	}
	return l.serve(b.ctx, b.body, w)
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

// answer looks a line up.
func (b *batch) answer(ctx context.Context, what BatchLine) (any, error) {
	seenAt := what.SeenAt
	if seenAt.IsZero() {
		seenAt = b.params.SeenAt
	}
	if err := b.quotas.wait(ctx, auth.From(ctx)); err != nil {
		return nil, err
	}
	answer, err := b.lookUp(ctx, suspect{text: what.Text}, time.Now(), seenAt, b.params.Suppressed, b.params.Explain)
	if err != nil {
		return nil, err
	}
	if what.ID != "" {
		answer.ID = what.ID
	}
	return answer, nil
}

// judge looks up what a thread says as a whole.
func (b *batch) judge(ctx context.Context, t *thread, l *lines[BatchLine]) any {
	if t.failed != nil {
		return l.failure("", t.name, t.failed)
	}
	seenAt := t.seenAt
	if seenAt.IsZero() {
		seenAt = b.params.SeenAt
	}
	answer, err := b.lookUp(ctx, suspect{text: strings.Join(t.texts, "\n")}, time.Now(), seenAt, b.params.Suppressed, false)
	if err != nil {
		return l.failure("", t.name, err)
	}
	return ThreadAnswer{Thread: t.name, Verdict: answer.Verdict, Matches: answer.Matches}
}
