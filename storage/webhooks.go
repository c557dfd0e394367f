package storage

import (
	"context"
	"time"
)

// WebhookID names a subscription: "whk_" and random letters.
type WebhookID string

// EventID names an event: "evt_" and random letters.
type EventID string

// EventType says what happened.
type EventType string

// The events that a webhook can subscribe to.
const (
	AlertCreated       EventType = "alert.created"
	AlertUpdated       EventType = "alert.updated"
	DocumentRegistered EventType = "document.registered"
	DocumentFailed     EventType = "document.failed"
	// WebhookTest is sent on request, to one webhook, whatever it subscribed to.
	WebhookTest EventType = "webhook.test"
)

// Event is something that departments are told about: which, never what it says.
type Event struct {
	ID         EventID
	Sequence   int64 // in the order of the events; the registry gives it
	Type       EventType
	Department string // that is told
	Alert      AlertID
	Document   DocumentID
	At         time.Time
}

// Webhook is a subscription: the events of a branch of departments, to one address.
type Webhook struct {
	ID         WebhookID
	URL        string
	Events     []EventType // ascending
	Department string      // and everything below it; empty: all
	// Secret signs deliveries; Previous does, too, until PreviousUntil, so that receivers
	// can change over. Both are encrypted at rest, and empty if deliveries are not signed.
	Secret, Previous []byte
	PreviousUntil    time.Time
	Paused           bool
	// Disabled says why nothing is sent any more: the receiver is gone, or nothing but failures
	// for too long. Empty while it holds.
	Disabled string
	// FailingSince is the first failure since anything was delivered, or since the last
	// update; zero if there was none. The registry keeps it, by the attempts.
	FailingSince time.Time
	CreatedAt    time.Time
	CreatedBy    string // id of the principal
	UpdatedAt    time.Time
}

// Covers reports whether an event is for the webhook.
func (w *Webhook) Covers(e Event) bool {
	if w.Department != "" && !Branches(w.Department).Covers(e.Department) {
		return false
	}
	for _, t := range w.Events {
		if t == e.Type {
			return true
		}
	}
	return false
}

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // after the last attempt; it can be replayed
)

// Delivery is an event on its way to a webhook.
type Delivery struct {
	Event   Event
	Webhook WebhookID
	State   DeliveryState
	Tries   int       // attempts so far, since it was enqueued
	DueAt   time.Time // the next attempt
	DoneAt  time.Time // zero while pending
}

// Attempt is what came of one try to deliver.
type Attempt struct {
	Webhook WebhookID
	Event   EventID
	Number  int // from 1
	At      time.Time
	Took    time.Duration
	Status  int    // of HTTP or SMTP; 0 if there was no answer
	Error   string // in words of ours; empty if it was delivered
}

// MaxAttempts is how many attempts of a webhook are kept: some days of a busy receiver, and
// weeks of one that fails, as retries are far apart.
const MaxAttempts = 1_000

// Webhooks keeps subscriptions and what is to be told to them. Events are added by the
// calls that cause them, in the same transaction: see [Registry].
type Webhooks interface {
	// AddWebhook stores a webhook.
	AddWebhook(ctx context.Context, w Webhook) error

	// Webhook returns a webhook whose department lies in the scope. One for all
	// departments is in the scope of Everywhere only.
	Webhook(ctx context.Context, scope Scope, id WebhookID) (Webhook, error)

	// Webhooks lists those in a scope, oldest first. Limit and cursors are as in
	// Registry.Documents.
	Webhooks(ctx context.Context, scope Scope, cursor string, limit int) (webhooks []Webhook, next string, err error)

	// UpdateWebhook changes address, events, secrets, and whether it is paused or disabled.
	// Failures are counted anew from then on.
	UpdateWebhook(ctx context.Context, scope Scope, w Webhook) error

	// DeleteWebhook forgets a webhook with its deliveries.
	DeleteWebhook(ctx context.Context, scope Scope, id WebhookID) error

	// Enqueue has an event delivered at once to one webhook, whatever that subscribed to:
	// a new event, such as a test, or again one that is stored under the id.
	Enqueue(ctx context.Context, id WebhookID, e Event) error

	// Replay has the stored events that a webhook covers delivered at once, and again if they
	// were delivered before: those from one time until before another.
	Replay(ctx context.Context, scope Scope, id WebhookID, from, until time.Time) (deliveries int, err error)

	// Due returns deliveries whose time has come, those that were due first before others, and
	// the oldest events first among those that were due together. There is at most one of
	// each webhook and alert: a later event waits until the earlier one is delivered or failed,
	// so that what happened to an alert is told in order. Events about no alert do not wait for
	// each other. Those of webhooks that are paused or disabled are not due. The limit is of
	// each webhook, so that the deliveries of one do not hide those of others.
	Due(ctx context.Context, now time.Time, limit int) ([]Delivery, error)

	// Attempted notes an attempt and what is to become of the delivery, which Due returned.
	// With disable, the webhook is disabled for that reason; what is pending stays so. It is
	// [ErrNotFound] if the delivery is not pending any more. The newest MaxAttempts attempts of
	// a webhook are kept.
	Attempted(ctx context.Context, a Attempt, d Delivery, disable string) error

	// Attempts lists attempts of a webhook in a scope, newest first.
	Attempts(ctx context.Context, scope Scope, id WebhookID, cursor string, limit int) (attempts []Attempt, next string, err error)

	// Backlog is how many deliveries are pending, and when the oldest was due first: of webhooks
	// that are neither paused nor disabled, whose deliveries are meant to wait.
	Backlog(ctx context.Context) (pending int, oldest time.Time, err error)

	// ForgetDeliveries forgets what was delivered or failed before a time, events that nobody is
	// to be told any more, and attempts. What is pending stays.
	ForgetDeliveries(ctx context.Context, before time.Time) error
}
