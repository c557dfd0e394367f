// Package webhook tells other systems what happened: it sends the events that wait in
// the registry to the addresses that subscribed to them, as Standard Webhooks
// (https://www.standardwebhooks.com) has it, or by mail.
//
// # What is promised
//
// Every event is delivered at least once, or has failed as often as the schedule allows. An
// attempt whose outcome was not noted, because the program ended, is made again; receivers
// tell repetitions by the webhook-id header, which is the event's id over all attempts, or by
// the Message-ID, which is made of it. What happened to one alert is told in order: the next
// event waits until the one before it is delivered or has failed. Events of different alerts
// overtake each other.
//
// # What is sent
//
// A POST of a small JSON object: the type and time of the event, and ids of what it is
// about. Nothing of what documents or posts say leaves the service this way; the receiver
// asks for it with a key of its own. The signature, an HMAC-SHA256 with the webhook's
// secret, is over the id, the time of the attempt and the body. While a secret is being
// changed there are two signatures. A mail says as much, in plain text, in English and in
// Urdu. Nothing is signed with a secret then: who wrote it is for the mail servers to tell.
//
// # What counts
//
// A status of 2xx is success, everything else is failure: redirects, too, which are not
// followed. After a failure the delivery is due again by the schedule of the specification,
// which spans three days, or later if the receiver asks for that. A receiver that answers
// 410, or nothing but failures for five days, is disabled. Of mail, what the SMTP server took
// is success; what becomes of it then, nobody tells this service. That there is no such
// mailbox (5.1.1) is what 410 is. Whatever else the server refuses, for good or for a while,
// is a failure like others: mail servers say "for good" of what their operators repair.
//
// # Where it may be sent
//
// Who may subscribe names an address that this service then connects to, from inside the
// network that it stands in. So the address of every connection is judged after the name was
// resolved and before the first packet: it has to be public and spoken to by TLS, or
// lie in a network that the operator allowed. What a name resolved to before, at the
// time of the subscription or in a check, does not matter. Proxies of the environment are not
// used, since they would resolve names where nobody judges. Mail goes to one server, which the
// operator chose, and for domains that the operator allowed.
package webhook

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/sealprint/sealprint/storage"
)

const (
	// concurrent is how many deliveries are under way. They wait for the receivers most of
	// the time.
	concurrent = 8
	// perWebhook leaves room for others when a receiver does not answer, and spares one that is
	// slow.
	perWebhook = 2
)

// Store is what the deliverer needs of [storage.Webhooks].
type Store interface {
	Webhook(ctx context.Context, scope storage.Scope, id storage.WebhookID) (storage.Webhook, error)
	Enqueue(ctx context.Context, id storage.WebhookID, e storage.Event) error
	Due(ctx context.Context, now time.Time, limit int) ([]storage.Delivery, error)
	Attempted(ctx context.Context, a storage.Attempt, d storage.Delivery, disable string) error
}

// Options change a deliverer; the zero value is usual.
type Options struct {
	// Allowed are networks that are not public and may be delivered to nevertheless, by plain
	// HTTP, too.
	Allowed []netip.Prefix
	// Mail sends to addresses of mail; without one there are none.
	Mail *Mailer
	// Observe, if there is one, is told every attempt after it was noted. It is called from
	// several goroutines.
	Observe func(Result)
	// Log is told when the store fails; nobody is if it is nil.
	Log *slog.Logger
}

// Result is what came of an attempt.
type Result struct {
	Attempt  storage.Attempt
	Delivery storage.Delivery // as it is afterwards
	Disabled string           // why the webhook was disabled by this attempt; empty: it was not
}

// timing is when what is done. Tests have less patience.
type timing struct {
	// waits are the pauses before attempts, of which there are as many. Each is longer or
	// shorter by up to a tenth, so that what failed together is not tried together.
	waits   []time.Duration
	attempt time.Duration // how long one may take
	later   time.Duration // the longest that a receiver may ask for
	giveUp  time.Duration // after this long of nothing but failures a webhook is disabled
	poll    time.Duration // how often the store is asked without a reason
}

// standard is as the specification advises. It proposes attempts of 15 to 30 seconds: longer
// ones would keep the service from stopping.
var standard = timing{
	waits: []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour},
	attempt: 15 * time.Second,
	later:   24 * time.Hour,
	giveUp:  5 * 24 * time.Hour,
	poll:    time.Second,
}

// Deliverer sends what is due. Make one with [New]; there is one for a registry.
type Deliverer struct {
	store   Store
	allowed []netip.Prefix
	client  *http.Client
	mail    *Mailer // nil: none is sent
	observe func(Result)
	log     *slog.Logger
	timing  timing
	wake    chan struct{}
}

// New makes a deliverer of what waits in a store.
func New(store Store, o Options) *Deliverer {
	d := &Deliverer{
		store: store, allowed: o.Allowed, client: newClient(o.Allowed), mail: o.Mail, observe: o.Observe, log: o.Log, timing: standard, wake: make(chan struct{}, 1),
	}
	if d.observe == nil {
		d.observe = func(Result) {}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// CheckURL reports whether a webhook may have an address, in words for whoever subscribes.
func (d *Deliverer) CheckURL(raw string) error {
	if ByMail(raw) {
		_, err := d.mail.recipient(raw)
		return err
	}
	return checkURL(raw, d.allowed)
}

// Wake says that there are new events. It does not wait; without it they are found within a
// second.
func (d *Deliverer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // it was said already
	}
}

// TestFire sends a test to a webhook and returns the event.
func (d *Deliverer) TestFire(ctx context.Context, w storage.Webhook) (storage.Event, error) {
	e := storage.Event{ID: storage.EventID(storage.NewID("evt")), Type: storage.WebhookTest, Department: w.Department, At: time.Now()}
	if err := d.store.Enqueue(ctx, w.ID, e); err != nil {
		return storage.Event{}, err
	}
	d.Wake()
	return e, nil
}

// flight is a delivery that is under way.
type flight struct {
	webhook storage.WebhookID
	event   storage.EventID
}

// flights are what is under way. Only Run touches them, and it asks the store for more after
// those that landed are out: what the store answers may be old, but then it is still here.
type flights struct {
	under map[flight]bool
	busy  map[storage.WebhookID]int
	turn  map[storage.WebhookID]int // when a webhook had its last turn
	turns int
}

// Run delivers until ctx ends and returns after the attempts under way were noted, at the
// latest when they time out. It is an error if the store is closed before that.
func (d *Deliverer) Run(ctx context.Context) error {
	defer d.client.CloseIdleConnections()
	f := &flights{make(map[flight]bool), make(map[storage.WebhookID]int), make(map[storage.WebhookID]int), 0}
	landed := make(chan flight)
	tick := time.NewTicker(d.timing.poll)
	defer tick.Stop()
	// After a failure of the store the next tick is waited for, whatever happens until then.
	var failed error
	for ctx.Err() == nil {
		if failed == nil {
			failed = d.launch(ctx, f, landed)
		}
		if errors.Is(failed, storage.ErrClosed) {
			break
		}
		select {
		case <-ctx.Done():
		case l := <-landed:
			f.land(l)
		case <-d.wake:
		case <-tick.C:
			failed = nil
		}
	}
	for len(f.under) > 0 {
		f.land(<-landed)
	}
	if ctx.Err() != nil {
		return nil
	}
	return failed
}

func (f *flights) land(l flight) {
	delete(f.under, l)
	f.busy[l.webhook]--
}

// launch starts what is due as long as there is room. The webhook with the fewest deliveries
// under way comes first, and of several the one that waited for its turn: receivers that do
// not answer cannot take all the room from one that does.
func (d *Deliverer) launch(ctx context.Context, f *flights, landed chan<- flight) error {
	if len(f.under) == concurrent {
		return nil
	}
	due, err := d.store.Due(ctx, time.Now(), perWebhook)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Error("webhooks: nothing is delivered", "error", err)
		}
		return err
	}
	for len(f.under) < concurrent {
		due = slices.DeleteFunc(due, func(n storage.Delivery) bool {
			return f.busy[n.Webhook] == perWebhook || f.under[flight{n.Webhook, n.Event.ID}]
		})
		if len(due) == 0 {
			return nil
		}
		next := slices.MinFunc(due, func(a, b storage.Delivery) int {
			return cmp.Or(cmp.Compare(f.busy[a.Webhook], f.busy[b.Webhook]), cmp.Compare(f.turn[a.Webhook], f.turn[b.Webhook]))
		})
		l := flight{next.Webhook, next.Event.ID}
		f.turns++
		f.under[l], f.turn[l.webhook] = true, f.turns
		f.busy[l.webhook]++
		go func() {
			d.deliver(ctx, next)
			landed <- l
		}()
	}
	return nil
}

// deliver makes an attempt and notes it. The end of ctx does not break it off.
func (d *Deliverer) deliver(ctx context.Context, delivery storage.Delivery) {
	going := context.WithoutCancel(ctx)
	w, err := d.store.Webhook(going, storage.Everywhere(), delivery.Webhook)
	switch {
	case errors.Is(err, storage.ErrNotFound) || err == nil && (w.Paused || w.Disabled != ""):
		return // since it was found to be due
	case err != nil:
		d.log.Error("webhooks: an event is not delivered", "webhook", delivery.Webhook, "event", delivery.Event.ID, "error", err)
		d.rest(ctx)
		return
	}
	at := time.Now()
	a := d.attempt(going, &w, delivery.Event, at)
	r := d.decide(&w, delivery, a, at)
	for {
		err := d.store.Attempted(going, r.Attempt, r.Delivery, r.Disabled)
		if err == nil {
			d.observe(r)
			return
		}
		if errors.Is(err, storage.ErrNotFound) {
			return // the webhook was deleted meanwhile
		}
		// Until it is noted the delivery stays under way, so that the receiver is not sent
		// again and again what it has.
		d.log.Error("webhooks: an attempt is not noted", "webhook", delivery.Webhook, "event", delivery.Event.ID, "error", err)
		if errors.Is(err, storage.ErrClosed) || !d.rest(ctx) {
			return
		}
	}
}

// rest waits a moment after a failure of the store; not when ctx ends.
func (d *Deliverer) rest(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d.timing.poll):
		return true
	}
}

// decide says what becomes of a delivery after an attempt.
func (d *Deliverer) decide(w *storage.Webhook, delivery storage.Delivery, a answer, at time.Time) Result {
	now := at.Add(a.took)
	delivery.Tries++
	r := Result{Attempt: storage.Attempt{
		Webhook: w.ID, Event: delivery.Event.ID, Number: delivery.Tries, At: at, Took: a.took, Status: a.status, Error: a.failure,
	}}
	switch {
	case a.failure == "":
		delivery.State, delivery.DoneAt = storage.DeliveryDelivered, now
	case delivery.Tries >= len(d.timing.waits):
		delivery.State, delivery.DoneAt = storage.DeliveryFailed, now
	default:
		// Never sooner than by the schedule: answers that ask for a second would use up all
		// attempts within seconds.
		delivery.DueAt = now.Add(max(jitter(d.timing.waits[delivery.Tries]), min(a.later, d.timing.later)))
	}
	switch {
	case a.failure == "":
	case a.gone:
		r.Disabled = a.failure
	case !w.FailingSince.IsZero() && now.Sub(w.FailingSince) >= d.timing.giveUp:
		r.Disabled = "nothing but failures since " + w.FailingSince.UTC().Format(time.RFC3339)
	}
	r.Delivery = delivery
	return r
}

// jitter makes a pause longer or shorter, by up to a tenth.
func jitter(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
}
