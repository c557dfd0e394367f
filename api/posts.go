package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/intake"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/storage"
)

const (
	// maxPost bounds a post: some pictures, in base64.
	maxPost = 48 << 20

	// postsAhead is how many posts of one stream may be on their way. Most of them wait for
	// the disk, together.
	postsAhead = 128

	// maxPostsAhead bounds what all posts that are on their way hold, in bytes.
	maxPostsAhead = 4 * maxPost
)

// TakePosts implements POST /v1/posts.
func (s *Server) TakePosts(ctx context.Context, request TakePostsRequestObject) (TakePostsResponseObject, error) {
	if request.JSONBody == nil {
		return &postStream{s, ctx, request.Body}, nil
	}
	answer, err := s.takePost(ctx, *request.JSONBody, s.examining)
	if err != nil {
		return nil, err
	}
	return TakePosts200JSONResponse(answer), nil
}

// postStream answers posts while it reads more of them.
type postStream struct {
	*Server
	ctx  context.Context // of the request: the answer is written after the handler returned
	body io.Reader
}

// VisitTakePostsResponse implements TakePostsResponseObject.
func (p *postStream) VisitTakePostsResponse(w http.ResponseWriter) error {
	held := semaphore.NewWeighted(maxPostsAhead)
	// Of all that is on its way little waits to be looked up, so that others need not wait for
	// the rest.
	turn := semaphore.NewWeighted(atATime())
	l := p.postLines(nil)
	// Nothing more is read while what is on its way is too large.
	l.read = func(post Post) { _ = held.Acquire(p.ctx, post.weight()) }
	l.answer = func(ctx context.Context, post Post) (any, error) {
		defer held.Release(post.weight())
		return p.takePost(ctx, post, turn)
	}
	return l.serve(p.ctx, p.body, w)
}

// postLines are posts, as lines of a stream have them.
func (s *Server) postLines(answer func(context.Context, Post) (any, error)) *lines[Post] {
	return &lines[Post]{
		Server: s, schema: "Post", action: "takePosts", limit: maxPost, ahead: postsAhead, inTurn: true, answer: answer,
		id: func(post *Post) *string { return &post.ID },
	}
}

// TakePost takes in a post that was fed to the server, as JSON, like a line of POST
// /v1/posts. Without refusal or error, whatever came of it is durable. Refused is the
// problem, in JSON, if it would be the same at any time; the error is everything that may
// pass.
func (s *Server) TakePost(ctx context.Context, post []byte) (refused string, err error) {
	l := s.postLines(func(ctx context.Context, post Post) (any, error) { return s.takePost(ctx, post, s.feeding) })
	id := storage.NewID("req")
	// Nobody sent it with a key: the audit log names the way that it came.
	ctx = auth.With(ctx, auth.Principal{ID: "jetstream", Grants: []auth.Grant{{Role: auth.Monitor}}})
	ctx = context.WithValue(ctx, requestIDKey{}, id)
	if len(post) > l.limit {
		err = &tooLarge{int64(l.limit)}
	} else {
		var what Post
		if what, err = l.parse(post, ""); err == nil {
			_, err = l.one(ctx, what)
		}
	}
	if err == nil {
		return "", nil
	}
	p := toProblem(err)
	if p.Status == http.StatusBadRequest || p.Status == http.StatusRequestEntityTooLarge ||
		p.Status == http.StatusConflict && errors.Is(err, intake.ErrOtherPost) {
		p.Type, p.RequestID = "/problems/"+p.Type, id
		content, err := json.Marshal(p)
		return string(content), err
	}
	return "", fmt.Errorf("request %s: %w", id, err)
}

// Fed counts what became of a post that was fed to the server: taken, refused or retried.
func (s *Server) Fed(result string) { s.metrics.fed.WithLabelValues(result).Inc() }

func (p *Post) weight() int64 {
	n := len(p.Text)
	for _, m := range p.Media {
		n += len(m.Data)
	}
	return min(int64(n), maxPostsAhead)
}

// takePost looks a post up when it is its turn, and takes it in.
func (s *Server) takePost(ctx context.Context, post Post, turn *semaphore.Weighted) (PostAnswer, error) {
	content := contentOf(post, s.postKey)
	n := noteOf(ctx)
	before, known, err := s.Intake.Known(ctx, post.ID, content)
	if errors.Is(err, intake.ErrOtherPost) && s.previousPostKey != nil {
		before, known, err = s.Intake.Known(ctx, post.ID, contentOf(post, s.previousPostKey))
	}
	if err != nil || known {
		n.of(int(post.weight()), before.Verdict)
		return toPostAnswer(before, ""), err
	}
	seen := intake.Seen{Post: storage.Post{ID: post.ID, Content: content, Thread: post.Thread, SeenAt: post.SeenAt.UTC()}}
	if post.SeenAt.IsZero() {
		seen.SeenAt = time.Now().UTC()
	}
	if err := turn.Acquire(ctx, 1); err != nil {
		return PostAnswer{}, err
	}
	verdict, reason, err := func() (Verdict, string, error) {
		defer turn.Release(1)
		return s.examine(ctx, post, &seen)
	}()
	if err != nil {
		return PostAnswer{}, err
	}
	seen.Verdict = string(verdict)
	taken, err := s.Intake.Take(ctx, seen)
	if err != nil {
		return PostAnswer{}, err
	}
	n.of(int(post.weight()), taken.Verdict)
	for _, f := range seen.Found {
		n.about(string(f.Document.ID))
	}
	for _, id := range taken.Alerts {
		n.about(string(id))
	}
	s.metrics.posts.WithLabelValues(taken.Verdict).Inc()
	s.tally.post(taken.Verdict, time.Now())
	return toPostAnswer(taken, reason), nil
}

// examine looks the text and the media of a post up, whatever department a match belongs
// to.
func (s *Server) examine(ctx context.Context, post Post, seen *intake.Seen) (verdict Verdict, reason string, err error) {
	count := func(medium int, v Verdict, matches []match.Match) {
		if verdict == "" || slices.Index(precedence, v) < slices.Index(precedence, verdict) {
			verdict = v
		}
		for _, m := range matches {
			seen.Found = append(seen.Found, intake.Found{Medium: medium, Match: m})
		}
	}
	keep := func(medium int, recognized bool, r *match.Report) {
		if s.KeepGrams {
			seen.Keep(medium, recognized, r.Grams)
		}
	}
	if post.Text != "" || len(post.Media) == 0 {
		v, report, err := s.examineText(ctx, suspect{text: post.Text}, seen.SeenAt)
		if err != nil {
			return "", "", err
		}
		keep(0, false, report)
		count(0, v, report.Matches)
	}
	var reasons []string
	for i, m := range post.Media {
		what, err := s.readFile(ctx, bytes.NewReader(m.Data), int64(len(m.Data)))
		if err != nil {
			return "", "", fmt.Errorf("read medium %d: %w", i+1, err)
		}
		if what.reason != "" {
			reasons = append(reasons, fmt.Sprintf("medium %d: %s", i+1, what.reason))
		}
		if len(what.pictures) == 0 {
			v, report, err := s.examineText(ctx, what, seen.SeenAt)
			if err != nil {
				return "", "", err
			}
			keep(i+1, false, report)
			count(i+1, v, report.Matches)
		}
		for _, p := range what.pictures {
			report, err := s.lookAtPicture(ctx, match.PictureQuery{Picture: p, SeenAt: seen.SeenAt, Scope: storage.Everywhere()})
			if err != nil {
				return "", "", err
			}
			if report.Unread != "" && !slices.Contains(reasons, report.Unread) && report.Verdict != match.Unreadable {
				reasons = append(reasons, fmt.Sprintf("medium %d: %s", i+1, report.Unread))
			}
			keep(i+1, true, report)
			count(i+1, Verdict(report.Verdict), report.Matches)
		}
	}
	return verdict, strings.Join(reasons, "; "), nil
}

// examineText looks a text up, or that of a file, in all departments.
func (s *Server) examineText(ctx context.Context, what suspect, seenAt time.Time) (Verdict, *match.Report, error) {
	release, err := s.takeText(ctx, len(what.text))
	if err != nil {
		return "", nil, err
	}
	defer release()
	start := time.Now()
	report, err := s.Matcher.Match(ctx, match.Query{Text: what.text, SeenAt: seenAt, Scope: storage.Everywhere()})
	if err != nil {
		return "", nil, err
	}
	s.metrics.matched(string(report.Verdict), time.Since(start))
	return toAnswer(report, what).Verdict, report, nil
}

// contentOf is a keyed hash of all that a post shows: when it was seen does not belong to
// it.
func contentOf(post Post, key []byte) []byte {
	h := hmac.New(sha256.New, key)
	part := func(b []byte) {
		_ = binary.Write(h, binary.LittleEndian, int64(len(b))) // a hash never fails
		h.Write(b)
	}
	part([]byte(post.Text))
	for _, m := range post.Media {
		part(m.Data)
	}
	return h.Sum(nil)
}

func toPostAnswer(p storage.Post, reason string) PostAnswer {
	answer := PostAnswer{ID: p.ID, Verdict: Verdict(p.Verdict), AlertIds: make([]string, 0, len(p.Alerts)), Reason: reason}
	for _, id := range p.Alerts {
		answer.AlertIds = append(answer.AlertIds, string(id))
	}
	return answer
}

// atATime is how many posts of one stream are looked up at a time, and how many that came
// alone: more would not be done sooner, and look-ups of others would wait longer.
func atATime() int64 { return int64(runtime.GOMAXPROCS(0)) }
