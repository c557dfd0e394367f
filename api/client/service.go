package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// Page is one part of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor"` // the cursor of the next part; empty: there is none
}

// PageOf asks for one part of the list at a path such as /v1/alerts. Query selects, as the
// specification says for each list, with limit and cursor among it.
func PageOf[T any](ctx context.Context, c *Client, path string, query url.Values) (p Page[T], err error) {
	return p, c.get(ctx, path+"?"+query.Encode(), &p)
}

// list asks for one part of a list after the other. Query selects, and may be nil; the
// error, if there is one, comes last.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := url.Values{"limit": {"1000"}}
		for name, values := range query {
			q[name] = values
		}
		for {
			part, err := PageOf[T](ctx, c, path, q)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range part.Items {
				if !yield(item, nil) {
					return
				}
			}
			if part.Next == "" {
				return
			}
			q.Set("cursor", part.Next)
		}
	}
}

func (c *Client) patch(ctx context.Context, path string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return c.call(ctx, http.MethodPatch, path, "application/json", bytes.NewReader(encoded), answer)
}

// queryOf is a query of the values that are not empty.
func queryOf(values map[string]string) url.Values {
	query := url.Values{}
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// ImportBundle registers the fingerprints of a bundle and calls item with what became of
// each file. To import it again is safe.
func (c *Client) ImportBundle(ctx context.Context, p ImportBundleParams, bundle io.Reader, item func(RegistrationItem) error) error {
	query := queryOf(map[string]string{"department": p.Department, "classification": p.Classification, "collection": p.Collection})
	r, err := c.send(ctx, http.MethodPost, "/v1/bundles?"+query.Encode(), "application/octet-stream", bundle)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	in := bufio.NewScanner(r.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var last struct {
			Summary *Outcomes `json:"summary"`
			Type    string    `json:"type"`
		}
		var i RegistrationItem
		if err := json.Unmarshal(in.Bytes(), &last); err != nil {
			return fmt.Errorf("read answer of /v1/bundles: %w", err)
		}
		switch {
		case last.Summary != nil:
			return nil
		case last.Type != "":
			problem := &ProblemError{}
			if err := json.Unmarshal(in.Bytes(), &problem.Problem); err != nil {
				return fmt.Errorf("read answer of /v1/bundles: %w", err)
			}
			return problem
		}
		if err := json.Unmarshal(in.Bytes(), &i); err != nil {
			return fmt.Errorf("read answer of /v1/bundles: %w", err)
		}
		if err := item(i); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: the answer of /v1/bundles broke off", ErrUnavailable)
}

// Coverage tells what is protected and what is not.
func (c *Client) Coverage(ctx context.Context) (*Coverage, error) {
	var answer Coverage
	return &answer, c.get(ctx, "/v1/coverage", &answer)
}

// GapFilter selects gaps; zero fields select all.
type GapFilter struct {
	Department string // a branch
	Source     string // what it begins with
	Status     Status
}

// Gaps lists files that made no document, in the order in which that began.
func (c *Client) Gaps(ctx context.Context, f GapFilter) iter.Seq2[Gap, error] {
	query := queryOf(map[string]string{"department": f.Department, "source": f.Source, "status": string(f.Status)})
	return list[Gap](ctx, c, "/v1/coverage/gaps", query)
}

// Whoami tells who calls, and what they may do.
func (c *Client) Whoami(ctx context.Context) (*Caller, error) {
	var answer Caller
	return &answer, c.get(ctx, "/v1/whoami", &answer)
}

// Keys lists API keys, oldest first.
func (c *Client) Keys(ctx context.Context) iter.Seq2[Key, error] {
	return list[Key](ctx, c, "/v1/keys", nil)
}

// CreateKey makes an API key.
func (c *Client) CreateKey(ctx context.Context, r CreateKeyJSONRequestBody) (*NewKey, error) {
	var answer NewKey
	return &answer, c.post(ctx, "/v1/keys", r, &answer)
}

// RevokeKey ends an API key.
func (c *Client) RevokeKey(ctx context.Context, id string) (*Key, error) {
	var answer Key
	return &answer, c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(id), "", nil, &answer)
}

// PatchDocument changes what is said about a document.
func (c *Client) PatchDocument(ctx context.Context, id string, r PatchDocumentJSONRequestBody) (*DocumentDetail, error) {
	var answer DocumentDetail
	return &answer, c.patch(ctx, "/v1/documents/"+url.PathEscape(id), r, &answer)
}

// Releases lists the releases of a document.
func (c *Client) Releases(ctx context.Context, document string) iter.Seq2[Release, error] {
	return func(yield func(Release, error) bool) {
		var answer ReleaseList
		if err := c.get(ctx, "/v1/documents/"+url.PathEscape(document)+"/releases", &answer); err != nil {
			yield(Release{}, err)
			return
		}
		for _, r := range answer.Items {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Release releases a document, or part of it.
func (c *Client) Release(ctx context.Context, document string, r ReleaseRequest) (*Release, error) {
	var answer Release
	return &answer, c.post(ctx, "/v1/documents/"+url.PathEscape(document)+"/releases", r, &answer)
}

// RevokeRelease ends a release.
func (c *Client) RevokeRelease(ctx context.Context, document, release string) (*Release, error) {
	var answer Release
	return &answer, c.call(ctx, http.MethodDelete, "/v1/documents/"+url.PathEscape(document)+"/releases/"+url.PathEscape(release), "", nil, &answer)
}

// Withdraw ends the registration of a document.
func (c *Client) Withdraw(ctx context.Context, document, reason string) (*DocumentDetail, error) {
	var answer DocumentDetail
	return &answer, c.post(ctx, "/v1/documents/"+url.PathEscape(document)+"/withdraw", WithdrawDocumentJSONRequestBody{Reason: reason}, &answer)
}

// Collections lists collections in the order of their names.
func (c *Client) Collections(ctx context.Context) iter.Seq2[Collection, error] {
	return list[Collection](ctx, c, "/v1/collections", nil)
}

// CreateCollection creates a collection.
func (c *Client) CreateCollection(ctx context.Context, r CreateCollectionJSONRequestBody) (*Collection, error) {
	var answer Collection
	return &answer, c.post(ctx, "/v1/collections", r, &answer)
}

// Registrations lists bulk registrations, newest first.
func (c *Client) Registrations(ctx context.Context) iter.Seq2[Registration, error] {
	return list[Registration](ctx, c, "/v1/registrations", nil)
}

// CancelRegistration stops a bulk registration.
func (c *Client) CancelRegistration(ctx context.Context, id string) (*Registration, error) {
	var answer Registration
	return &answer, c.call(ctx, http.MethodDelete, "/v1/registrations/"+url.PathEscape(id), "", nil, &answer)
}

// Post takes a post in. To send it again is safe: it is answered as before.
func (c *Client) Post(ctx context.Context, p Post) (*PostAnswer, error) {
	var answer PostAnswer
	return &answer, repeat(ctx, func() error { return c.post(ctx, "/v1/posts", p, &answer) })
}

// PostResult is what became of a line of a stream: an answer, or a problem.
type PostResult struct {
	PostAnswer
	Problem *ProblemError
}

// Posts takes a stream of posts in. Results come in the order of the posts, while more are
// sent; the error, if there is one, comes last, and then nothing is known about posts
// without a result. To send those again is safe.
func (c *Client) Posts(ctx context.Context, posts iter.Seq[Post]) iter.Seq2[PostResult, error] {
	return func(yield func(PostResult, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		reader, writer := io.Pipe()
		defer reader.Close() // ends the writer, if it is not done
		go func() {
			encoder := json.NewEncoder(writer)
			for p := range posts {
				if err := encoder.Encode(p); err != nil {
					return // the reader has the cause
				}
			}
			_ = writer.Close() // never fails
		}()
		r, err := c.send(ctx, http.MethodPost, "/v1/posts", "application/x-ndjson", reader)
		if err != nil {
			yield(PostResult{}, err)
			return
		}
		defer r.Body.Close()
		in := bufio.NewScanner(r.Body)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			var line struct {
				PostAnswer
				Problem
			}
			var result PostResult
			if err := json.Unmarshal(in.Bytes(), &line); err != nil {
				yield(result, fmt.Errorf("read answer of /v1/posts: %w", err))
				return
			}
			if result.PostAnswer = line.PostAnswer; line.Status != 0 {
				result.Problem = &ProblemError{line.Problem}
			}
			if !yield(result, nil) {
				return
			}
		}
		if err := in.Err(); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			yield(PostResult{}, fmt.Errorf("%w: the answer of /v1/posts broke off: %w", ErrUnavailable, err))
		}
	}
}

// Alerts lists alerts, newest first. Query selects: department, document, state.
func (c *Client) Alerts(ctx context.Context, query url.Values) iter.Seq2[Alert, error] {
	return list[Alert](ctx, c, "/v1/alerts", query)
}

// Alert returns an alert with its history and its newest posts.
func (c *Client) Alert(ctx context.Context, id string) (*AlertDetail, error) {
	var answer AlertDetail
	return &answer, c.get(ctx, "/v1/alerts/"+url.PathEscape(id), &answer)
}

// Decide changes the state of an alert.
func (c *Client) Decide(ctx context.Context, id string, r DispositionRequest) (*AlertDetail, error) {
	var answer AlertDetail
	return &answer, c.post(ctx, "/v1/alerts/"+url.PathEscape(id)+"/disposition", r, &answer)
}

// Removal writes to a platform that a post of an alert is to be taken down. Nothing is sent.
func (c *Client) Removal(ctx context.Context, alert string, r RemovalRequest) (*Removal, error) {
	var answer Removal
	return &answer, c.post(ctx, "/v1/alerts/"+url.PathEscape(alert)+"/removal", r, &answer)
}

// Activity tells what has been going on.
func (c *Client) Activity(ctx context.Context) (*Activity, error) {
	var answer Activity
	return &answer, c.get(ctx, "/v1/activity", &answer)
}

// Webhooks lists subscriptions, oldest first.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[Webhook, error] {
	return list[Webhook](ctx, c, "/v1/webhooks", nil)
}

// Webhook reads a subscription.
func (c *Client) Webhook(ctx context.Context, id string) (*Webhook, error) {
	var answer Webhook
	return &answer, c.get(ctx, "/v1/webhooks/"+url.PathEscape(id), &answer)
}

// CreateWebhook subscribes.
func (c *Client) CreateWebhook(ctx context.Context, r CreateWebhookJSONRequestBody) (*NewWebhook, error) {
	var answer NewWebhook
	return &answer, c.post(ctx, "/v1/webhooks", r, &answer)
}

// PatchWebhook changes, pauses or goes on with a subscription.
func (c *Client) PatchWebhook(ctx context.Context, id string, r PatchWebhookJSONRequestBody) (*Webhook, error) {
	var answer Webhook
	return &answer, c.patch(ctx, "/v1/webhooks/"+url.PathEscape(id), r, &answer)
}

// DeleteWebhook ends a subscription.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/webhooks/"+url.PathEscape(id), "", nil, nil)
}

// RotateWebhook makes a new secret; the old one holds for a day.
func (c *Client) RotateWebhook(ctx context.Context, id string) (*NewWebhook, error) {
	var answer NewWebhook
	return &answer, c.post(ctx, "/v1/webhooks/"+url.PathEscape(id)+"/rotate", struct{}{}, &answer)
}

// TestWebhook sends an event for a test.
func (c *Client) TestWebhook(ctx context.Context, id string) (*Queued, error) {
	var answer Queued
	return &answer, c.post(ctx, "/v1/webhooks/"+url.PathEscape(id)+"/test", struct{}{}, &answer)
}

// ReplayWebhook sends again what happened in a time.
func (c *Client) ReplayWebhook(ctx context.Context, id string, r ReplayWebhookJSONRequestBody) (*Queued, error) {
	var answer Queued
	return &answer, c.post(ctx, "/v1/webhooks/"+url.PathEscape(id)+"/replay", r, &answer)
}

// Attempts lists what came of deliveries, newest first.
func (c *Client) Attempts(ctx context.Context, id string) iter.Seq2[Attempt, error] {
	return list[Attempt](ctx, c, "/v1/webhooks/"+url.PathEscape(id)+"/attempts", nil)
}

// Audit lists the audit log, oldest first. Query selects: principal, action, target, from,
// until.
func (c *Client) Audit(ctx context.Context, query url.Values) iter.Seq2[AuditRecord, error] {
	return list[AuditRecord](ctx, c, "/v1/audit", query)
}

// VerifyAudit verifies the audit log.
func (c *Client) VerifyAudit(ctx context.Context) (*AuditReport, error) {
	var answer AuditReport
	return &answer, c.post(ctx, "/v1/audit/verify", struct{}{}, &answer)
}
