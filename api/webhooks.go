package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/webhook"
	"github.com/sealprint/sealprint/storage"
)

// secretOverlap is how long deliveries are signed by the secret before, too.
const secretOverlap = 24 * time.Hour

// ListWebhooks implements GET /v1/webhooks.
func (s *Server) ListWebhooks(ctx context.Context, request ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	hooks, next, err := s.Webhooks.Webhooks(ctx, scope(ctx), request.Params.Cursor, limit(request.Params.Limit))
	if err != nil {
		return nil, listError(request.Params.Cursor, err)
	}
	list := WebhookList{Items: make([]Webhook, 0, len(hooks)), NextCursor: next}
	for _, w := range hooks {
		list.Items = append(list.Items, toWebhook(w))
	}
	return ListWebhooks200JSONResponse(list), nil
}

// CreateWebhook implements POST /v1/webhooks.
func (s *Server) CreateWebhook(ctx context.Context, request CreateWebhookRequestObject) (CreateWebhookResponseObject, error) {
	b, caller := request.Body, auth.From(ctx)
	w := storage.Webhook{
		ID: storage.WebhookID(storage.NewID("whk")), URL: b.URL, Events: eventTypes(b.Events), Department: cmp.Or(b.Department, caller.Department()),
		CreatedAt: time.Now().UTC().Truncate(time.Microsecond), CreatedBy: caller.ID,
	}
	w.UpdatedAt = w.CreatedAt
	switch {
	case w.Department == "" && !scope(ctx).All():
		return nil, fieldError("/department", "is required: the caller reaches several")
	case w.Department != "" && !scope(ctx).Covers(w.Department):
		return nil, auth.ErrForbidden
	}
	if err := s.CheckWebhook(w.URL); err != nil {
		return nil, fieldError("/url", err.Error())
	}
	if !webhook.ByMail(w.URL) {
		w.Secret = webhook.NewSecret()
	}
	if err := s.Webhooks.AddWebhook(ctx, w); err != nil {
		return nil, err
	}
	noteOf(ctx).about(string(w.ID))
	return CreateWebhook201JSONResponse(withSecret(w)), nil
}

// GetWebhook implements GET /v1/webhooks/{id}.
func (s *Server) GetWebhook(ctx context.Context, request GetWebhookRequestObject) (GetWebhookResponseObject, error) {
	w, err := s.Webhooks.Webhook(ctx, scope(ctx), storage.WebhookID(request.ID))
	if err != nil {
		return nil, err
	}
	return GetWebhook200JSONResponse(toWebhook(w)), nil
}

// PatchWebhook implements PATCH /v1/webhooks/{id}.
func (s *Server) PatchWebhook(ctx context.Context, request PatchWebhookRequestObject) (PatchWebhookResponseObject, error) {
	b := request.Body
	if b.URL != "" {
		if err := s.CheckWebhook(b.URL); err != nil {
			return nil, fieldError("/url", err.Error())
		}
	}
	w, err := s.changeWebhook(ctx, request.ID, func(w *storage.Webhook) error {
		if b.URL != "" && webhook.ByMail(b.URL) != webhook.ByMail(w.URL) {
			return fieldError("/url", "one for mails and one that is not do not become each other: make another subscription")
		}
		w.URL = cmp.Or(b.URL, w.URL)
		if b.Events != nil {
			w.Events = eventTypes(b.Events)
		}
		if b.Paused != nil {
			if w.Paused = *b.Paused; !w.Paused {
				w.Disabled = ""
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return PatchWebhook200JSONResponse(toWebhook(w)), nil
}

// DeleteWebhook implements DELETE /v1/webhooks/{id}.
func (s *Server) DeleteWebhook(ctx context.Context, request DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	if err := s.Webhooks.DeleteWebhook(ctx, scope(ctx), storage.WebhookID(request.ID)); err != nil {
		return nil, err
	}
	return DeleteWebhook204Response{}, nil
}

// RotateWebhook implements POST /v1/webhooks/{id}/rotate.
func (s *Server) RotateWebhook(ctx context.Context, request RotateWebhookRequestObject) (RotateWebhookResponseObject, error) {
	w, err := s.changeWebhook(ctx, request.ID, func(w *storage.Webhook) error {
		if webhook.ByMail(w.URL) {
			return fieldError("id", "has no secret: mails are not signed with one")
		}
		w.Previous, w.PreviousUntil = w.Secret, time.Now().UTC().Add(secretOverlap)
		w.Secret = webhook.NewSecret()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return RotateWebhook200JSONResponse(withSecret(w)), nil
}

func (s *Server) changeWebhook(ctx context.Context, id string, change func(*storage.Webhook) error) (storage.Webhook, error) {
	w, err := s.Webhooks.Webhook(ctx, scope(ctx), storage.WebhookID(id))
	if err != nil {
		return w, err
	}
	if err := change(&w); err != nil {
		return w, err
	}
	w.UpdatedAt = time.Now().UTC()
	if err := s.Webhooks.UpdateWebhook(ctx, scope(ctx), w); err != nil {
		return w, err
	}
	s.Wake() // it may have been paused
	return w, nil
}

// TestWebhook implements POST /v1/webhooks/{id}/test.
func (s *Server) TestWebhook(ctx context.Context, request TestWebhookRequestObject) (TestWebhookResponseObject, error) {
	w, err := s.Webhooks.Webhook(ctx, scope(ctx), storage.WebhookID(request.ID))
	if err != nil {
		return nil, err
	}
	event := storage.Event{ID: storage.EventID(storage.NewID("evt")), Type: storage.WebhookTest, Department: w.Department, At: time.Now().UTC()}
	if err := s.Webhooks.Enqueue(ctx, w.ID, event); err != nil {
		return nil, err
	}
	s.Wake()
	return TestWebhook202JSONResponse{Deliveries: 1}, nil
}

// ReplayWebhook implements POST /v1/webhooks/{id}/replay.
func (s *Server) ReplayWebhook(ctx context.Context, request ReplayWebhookRequestObject) (ReplayWebhookResponseObject, error) {
	from, until := request.Body.From.UTC(), request.Body.Until.UTC()
	if request.Body.Until.IsZero() {
		until = time.Now().UTC()
	}
	if !until.After(from) {
		return nil, fieldError("/until", "must be after from")
	}
	n, err := s.Webhooks.Replay(ctx, scope(ctx), storage.WebhookID(request.ID), from, until)
	if err != nil {
		return nil, err
	}
	s.Wake()
	return ReplayWebhook202JSONResponse{Deliveries: n}, nil
}

// ListAttempts implements GET /v1/webhooks/{id}/attempts.
func (s *Server) ListAttempts(ctx context.Context, request ListAttemptsRequestObject) (ListAttemptsResponseObject, error) {
	id := storage.WebhookID(request.ID)
	attempts, next, err := s.Webhooks.Attempts(ctx, scope(ctx), id, request.Params.Cursor, limit(request.Params.Limit))
	if err != nil {
		if _, absent := s.Webhooks.Webhook(ctx, scope(ctx), id); errors.Is(absent, storage.ErrNotFound) {
			return nil, absent
		}
		return nil, listError(request.Params.Cursor, err)
	}
	list := AttemptList{Items: make([]Attempt, 0, len(attempts)), NextCursor: next}
	for _, a := range attempts {
		list.Items = append(list.Items, Attempt{
			EventID: string(a.Event), Number: a.Number, At: a.At, TookMs: milliseconds(a.Took), Status: a.Status, Error: a.Error,
		})
	}
	return ListAttempts200JSONResponse(list), nil
}

func eventTypes(names []string) []storage.EventType {
	types := make([]storage.EventType, len(names))
	for i, n := range names {
		types[i] = storage.EventType(n)
	}
	slices.Sort(types)
	return types
}

func toWebhook(w storage.Webhook) Webhook {
	out := Webhook{ID: string(w.ID), URL: w.URL, Department: cmp.Or(w.Department, everything), Paused: w.Paused, Disabled: w.Disabled, CreatedAt: w.CreatedAt}
	for _, t := range w.Events {
		out.Events = append(out.Events, string(t))
	}
	return out
}

func withSecret(w storage.Webhook) NewWebhook {
	plain := toWebhook(w)
	out := NewWebhook{
		ID: plain.ID, URL: plain.URL, Events: plain.Events, Department: plain.Department, Paused: plain.Paused, Disabled: plain.Disabled,
		CreatedAt: plain.CreatedAt,
	}
	if len(w.Secret) > 0 {
		out.Secret = webhook.EncodeSecret(w.Secret)
	}
	return out
}

// Attempted counts an attempt of a webhook.
func (s *Server) Attempted(r webhook.Result) {
	result := "failed"
	switch {
	case r.Disabled != "":
		result = "disabled"
	case r.Attempt.Error == "":
		result = "delivered"
	}
	s.metrics.attempts.WithLabelValues(result).Inc()
}
