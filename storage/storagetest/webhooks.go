package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// WebhooksStore is a [storage.Webhooks] that can be closed, as a registry is.
type WebhooksStore interface {
	storage.Webhooks
	Close() error
}

// WebhooksPlace is a [RegistryPlace] of webhooks.
type WebhooksPlace func(t *testing.T) (open func(key *fingerprint.Key) (WebhooksStore, error))

// Webhooks runs the suite that states the contract of [storage.Webhooks], but for the events
// that other calls cause.
func Webhooks(t *testing.T, place WebhooksPlace) {
	for _, test := range []struct {
		name string
		run  func(*webhookSuite)
	}{
		{"Absent", (*webhookSuite).absent},
		{"Keep", (*webhookSuite).keep},
		{"Scopes", (*webhookSuite).scopes},
		{"List", (*webhookSuite).list},
		{"Order", (*webhookSuite).order},
		{"DueAt", (*webhookSuite).dueAt},
		{"Limit", (*webhookSuite).limit},
		{"Silent", (*webhookSuite).silent},
		{"Failing", (*webhookSuite).failing},
		{"Attempts", (*webhookSuite).attempts},
		{"Enqueue", (*webhookSuite).enqueue},
		{"Replay", (*webhookSuite).replay},
		{"Backlog", (*webhookSuite).backlog},
		{"Forget", (*webhookSuite).forget},
		{"Delete", (*webhookSuite).delete},
		{"Model", (*webhookSuite).model},
		{"Concurrent", (*webhookSuite).concurrent},
		{"Closed", (*webhookSuite).closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &webhookSuite{T: t, key: fingerprint.NewKey(), open: place(t)}
			s.crash()
			test.run(s)
		})
	}
}

type webhookSuite struct {
	*testing.T
	open func(*fingerprint.Key) (WebhooksStore, error)
	key  *fingerprint.Key
	w    WebhooksStore
	n    int // events made
}

// crash opens the store anew and leaves the old one as it is.
func (s *webhookSuite) crash() {
	s.Helper()
	w, err := s.open(s.key)
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.Cleanup(func() { _ = w.Close() })
	s.w = w
}

func (s *webhookSuite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *webhookSuite) kind(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("got error %v, want %v", err, want)
	}
}

func (s *webhookSuite) equal(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("got\n%+v, want\n%+v", got, want)
	}
}

// subscribe stores a webhook for the alerts of a department.
func (s *webhookSuite) subscribe(id, department string) storage.Webhook {
	s.Helper()
	w := storage.Webhook{
		ID: storage.WebhookID(id), URL: "https://example.com/" + id, Events: []storage.EventType{storage.AlertCreated, storage.AlertUpdated},
		Department: department, Secret: []byte("secret of " + id), CreatedAt: aMoment, CreatedBy: "key", UpdatedAt: aMoment,
	}
	s.ok(s.w.AddWebhook(s.Context(), w))
	return w
}

// event makes an event, of an alert in finance unless the alert is empty.
func (s *webhookSuite) event(alert string) storage.Event {
	s.n++
	e := storage.Event{ID: storage.EventID(fmt.Sprintf("evt_%03d", s.n)), Type: storage.DocumentRegistered, Department: "finance",
		Document: "doc_a", At: aMoment.Add(time.Duration(s.n) * time.Second)}
	if alert != "" {
		e.Type, e.Alert = storage.AlertUpdated, storage.AlertID(alert)
	}
	return e
}

func (s *webhookSuite) enqueued(id storage.WebhookID, alert string) storage.Event {
	s.Helper()
	e := s.event(alert)
	s.ok(s.w.Enqueue(s.Context(), id, e))
	return e
}

// late is when all is due that was enqueued before.
func late() time.Time { return time.Now().Add(time.Hour) }

func (s *webhookSuite) due() []storage.Delivery {
	s.Helper()
	due, err := s.w.Due(s.Context(), late(), 1000)
	s.ok(err)
	return due
}

// dueIDs is which events are due to which webhooks.
func (s *webhookSuite) dueIDs() []string {
	s.Helper()
	ids := []string{}
	for _, d := range s.due() {
		ids = append(ids, fmt.Sprintf("%s %s", d.Webhook, d.Event.ID))
	}
	return ids
}

// attempt notes what came of trying a delivery. What is to be tried again is due then.
func (s *webhookSuite) attempt(d storage.Delivery, state storage.DeliveryState, again time.Time) {
	s.Helper()
	a, d := tried(d, state, again)
	s.ok(s.w.Attempted(s.Context(), a, d, ""))
}

func tried(d storage.Delivery, state storage.DeliveryState, again time.Time) (storage.Attempt, storage.Delivery) {
	d.Tries++
	a := storage.Attempt{Webhook: d.Webhook, Event: d.Event.ID, Number: d.Tries, At: aMoment, Took: 1500 * time.Microsecond, Status: 204}
	if state != storage.DeliveryDelivered {
		a.Status, a.Error = 500, "answered 500"
	}
	d.State, d.DueAt = state, again
	if state != storage.DeliveryPending {
		d.DoneAt = aMoment
	}
	return a, d
}

func (s *webhookSuite) absent() {
	ctx := s.Context()
	_, err := s.w.Webhook(ctx, everywhere, "whk_a")
	s.kind(err, storage.ErrNotFound)
	s.kind(s.w.UpdateWebhook(ctx, everywhere, storage.Webhook{ID: "whk_a"}), storage.ErrNotFound)
	s.kind(s.w.DeleteWebhook(ctx, everywhere, "whk_a"), storage.ErrNotFound)
	s.kind(s.w.Enqueue(ctx, "whk_a", s.event("")), storage.ErrNotFound)
	_, err = s.w.Replay(ctx, everywhere, "whk_a", aMoment, late())
	s.kind(err, storage.ErrNotFound)
	_, _, err = s.w.Attempts(ctx, everywhere, "whk_a", "", 10)
	s.kind(err, storage.ErrNotFound)
	a, d := tried(storage.Delivery{Webhook: "whk_a", Event: storage.Event{ID: "evt_a", Sequence: 1}}, storage.DeliveryDelivered, time.Time{})
	s.kind(s.w.Attempted(ctx, a, d, ""), storage.ErrNotFound)
	s.equal(len(s.due()), 0)
	pending, oldest, err := s.w.Backlog(ctx)
	s.ok(err)
	s.equal(pending, 0)
	s.equal(oldest.IsZero(), true)
	s.ok(s.w.ForgetDeliveries(ctx, late()))
	webhooks, next, err := s.w.Webhooks(ctx, everywhere, "", 10)
	s.ok(err)
	s.equal(len(webhooks), 0)
	s.equal(next, "")
}

// What is stored is told as it was said, secrets too, also after a crash.
func (s *webhookSuite) keep() {
	ctx := s.Context()
	s.subscribe("whk_other", "works")
	w := s.subscribe("whk_a", "finance")
	s.kind(s.w.AddWebhook(ctx, w), storage.ErrConflict)
	told := func() {
		s.Helper()
		s.crash()
		got, err := s.w.Webhook(ctx, everywhere, "whk_a")
		s.ok(err)
		s.equal(got, w)
	}
	told()
	w.URL, w.Events, w.Previous, w.Secret = "http://10.0.0.1/", []storage.EventType{storage.DocumentFailed}, w.Secret, []byte("another")
	w.PreviousUntil, w.Paused, w.Disabled, w.UpdatedAt = aMoment.Add(time.Hour), true, "answered 410", aMoment.Add(time.Minute)
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	told()
	// What an update does not change stays.
	changed := w
	changed.Department, changed.CreatedAt, changed.CreatedBy = "works", aMoment.Add(time.Hour), "other"
	s.ok(s.w.UpdateWebhook(ctx, everywhere, changed))
	told()
	w.Previous, w.PreviousUntil, w.Paused, w.Disabled = nil, time.Time{}, false, ""
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	told()
	w.Secret = nil // as one has that signs nothing
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	told()
}

// A webhook outside the scope does not exist; one for all departments is in no branch.
func (s *webhookSuite) scopes() {
	ctx := s.Context()
	for _, w := range []struct{ id, department string }{{"whk_all", ""}, {"whk_finance", "finance"}, {"whk_wing", "finance/wing"}, {"whk_works", "works"}} {
		s.subscribe(w.id, w.department)
	}
	for _, test := range []struct {
		scope storage.Scope
		want  []storage.WebhookID
	}{
		{everywhere, []storage.WebhookID{"whk_all", "whk_finance", "whk_wing", "whk_works"}},
		{storage.Branches("finance"), []storage.WebhookID{"whk_finance", "whk_wing"}},
		{storage.Branches("finance/wing", "works"), []storage.WebhookID{"whk_wing", "whk_works"}},
		{storage.Branches(""), nil},
		{storage.Branches("fin"), nil},
		{storage.Scope{}, nil},
	} {
		webhooks, _, err := s.w.Webhooks(ctx, test.scope, "", 10)
		s.ok(err)
		var got []storage.WebhookID
		for _, w := range webhooks {
			got = append(got, w.ID)
		}
		s.equal(got, test.want)
		for _, id := range []storage.WebhookID{"whk_all", "whk_finance", "whk_wing", "whk_works"} {
			w, err := s.w.Webhook(ctx, test.scope, id)
			_, err2 := s.w.Replay(ctx, test.scope, id, aMoment, aMoment)
			_, _, err3 := s.w.Attempts(ctx, test.scope, id, "", 1)
			if slices.Contains(test.want, id) {
				s.ok(errors.Join(err, err2, err3, s.w.UpdateWebhook(ctx, test.scope, w)))
				continue
			}
			w.ID = id
			for _, err := range []error{err, err2, err3, s.w.UpdateWebhook(ctx, test.scope, w), s.w.DeleteWebhook(ctx, test.scope, id)} {
				s.kind(err, storage.ErrNotFound)
			}
		}
	}
}

// Lists come in pages, oldest first.
func (s *webhookSuite) list() {
	ctx := s.Context()
	var want, got []storage.Webhook
	for i := range 7 {
		want = append(want, s.subscribe(fmt.Sprint("whk_", 9-i), []string{"finance", ""}[i%2]))
	}
	cursor := ""
	for {
		webhooks, next, err := s.w.Webhooks(ctx, everywhere, cursor, 3)
		s.ok(err)
		got = append(got, webhooks...)
		if cursor = next; cursor == "" {
			break
		}
	}
	s.equal(got, want)
	_, _, err := s.w.Webhooks(ctx, everywhere, "x", 3)
	s.kind(err, storage.ErrNotFound)
	_, _, err = s.w.Attempts(ctx, everywhere, "whk_9", "x", 3)
	s.kind(err, storage.ErrNotFound)
	for _, limit := range []int{0, -1} {
		_, _, err := s.w.Webhooks(ctx, everywhere, "", limit)
		_, _, err2 := s.w.Attempts(ctx, everywhere, "whk_9", "", limit)
		_, err3 := s.w.Due(ctx, late(), limit)
		if err == nil || err2 == nil || err3 == nil {
			s.Fatalf("listed with limit %d", limit)
		}
	}
}

// The events of an alert are due one after the other, to each webhook. Others do not wait.
func (s *webhookSuite) order() {
	s.subscribe("whk_a", "")
	s.subscribe("whk_b", "")
	first := s.enqueued("whk_a", "alr_1") // 1
	s.ok(s.w.Enqueue(s.Context(), "whk_b", first))
	s.enqueued("whk_a", "alr_1") // 2
	s.enqueued("whk_a", "alr_2") // 3
	s.enqueued("whk_a", "")      // 4
	s.enqueued("whk_a", "")      // 5
	s.enqueued("whk_a", "alr_1") // 6
	s.equal(s.dueIDs(), []string{"whk_a evt_001", "whk_b evt_001", "whk_a evt_003", "whk_a evt_004", "whk_a evt_005"})
	d := s.due()[0]
	first.Sequence = d.Event.Sequence
	s.equal(d, storage.Delivery{Event: first, Webhook: "whk_a", State: storage.DeliveryPending, DueAt: d.DueAt})
	s.attempt(d, storage.DeliveryPending, late().Add(time.Minute))
	s.crash()
	s.equal(s.dueIDs(), []string{"whk_b evt_001", "whk_a evt_003", "whk_a evt_004", "whk_a evt_005"})
	d.Tries = 1
	s.attempt(d, storage.DeliveryDelivered, d.DueAt)
	s.equal(s.dueIDs(), []string{"whk_b evt_001", "whk_a evt_002", "whk_a evt_003", "whk_a evt_004", "whk_a evt_005"})
	s.attempt(s.due()[1], storage.DeliveryFailed, d.DueAt)
	s.equal(s.dueIDs(), []string{"whk_b evt_001", "whk_a evt_003", "whk_a evt_004", "whk_a evt_005", "whk_a evt_006"})
	sequence := int64(0)
	for _, d := range s.due() {
		if d.Event.Sequence < sequence {
			s.Fatalf("event %s has number %d after %d", d.Event.ID, d.Event.Sequence, sequence)
		}
		sequence = d.Event.Sequence
	}
}

// A delivery is due from its time on, and those that wait longest come first.
func (s *webhookSuite) dueAt() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	s.enqueued("whk_a", "alr_1")
	s.enqueued("whk_a", "alr_2")
	now := time.Now().UTC().Truncate(time.Microsecond)
	s.attempt(s.due()[0], storage.DeliveryPending, now.Add(time.Minute))
	s.equal(s.dueIDs(), []string{"whk_a evt_002", "whk_a evt_001"})
	s.equal(s.due()[1].DueAt, now.Add(time.Minute))
	for _, test := range []struct {
		at   time.Time
		want int
	}{{now.Add(-time.Minute), 0}, {now.Add(time.Minute - time.Microsecond), 1}, {now.Add(time.Minute), 2}} {
		due, err := s.w.Due(ctx, test.at, 10)
		s.ok(err)
		s.equal(len(due), test.want)
	}
}

// The limit is of each webhook.
func (s *webhookSuite) limit() {
	s.subscribe("whk_a", "")
	s.subscribe("whk_b", "")
	for range 5 {
		s.enqueued("whk_a", "")
	}
	s.enqueued("whk_b", "")
	due, err := s.w.Due(s.Context(), late(), 2)
	s.ok(err)
	var got []storage.EventID
	for _, d := range due {
		got = append(got, d.Event.ID)
	}
	s.equal(got, []storage.EventID{"evt_001", "evt_002", "evt_006"})
}

// A webhook that is paused or disabled is sent nothing, and what it missed afterwards.
func (s *webhookSuite) silent() {
	ctx := s.Context()
	w := s.subscribe("whk_a", "")
	s.enqueued("whk_a", "alr_1")
	w.Paused = true
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	s.enqueued("whk_a", "alr_2")
	s.equal(s.dueIDs(), []string{})
	w.Paused = false
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	s.equal(s.dueIDs(), []string{"whk_a evt_001", "whk_a evt_002"})

	a, d := tried(s.due()[0], storage.DeliveryPending, late())
	s.ok(s.w.Attempted(ctx, a, d, "answered 410"))
	s.equal(s.dueIDs(), []string{})
	got, err := s.w.Webhook(ctx, everywhere, "whk_a")
	s.ok(err)
	s.equal(got.Disabled, "answered 410")
	// The first reason counts: of attempts at once, one that was late says nothing new.
	a, d = tried(d, storage.DeliveryPending, aMoment)
	s.ok(s.w.Attempted(ctx, a, d, "another"))
	got, err = s.w.Webhook(ctx, everywhere, "whk_a")
	s.ok(err)
	s.equal(got.Disabled, "answered 410")
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	s.equal(s.dueIDs(), []string{"whk_a evt_001", "whk_a evt_002"})
}

// FailingSince is the first failure after a success, or after an update.
func (s *webhookSuite) failing() {
	ctx := s.Context()
	w := s.subscribe("whk_a", "")
	for i := range 6 {
		s.enqueued("whk_a", fmt.Sprint("alr_", i))
	}
	since := func(want time.Time) {
		s.Helper()
		got, err := s.w.Webhook(ctx, everywhere, "whk_a")
		s.ok(err)
		s.equal(got.FailingSince, want)
	}
	attempt := func(at time.Time, state storage.DeliveryState) {
		s.Helper()
		a, d := tried(s.due()[0], state, aMoment)
		a.At = at
		s.ok(s.w.Attempted(ctx, a, d, ""))
	}
	since(time.Time{})
	attempt(aMoment, storage.DeliveryPending)
	since(aMoment)
	attempt(aMoment.Add(time.Hour), storage.DeliveryFailed)
	since(aMoment)
	attempt(aMoment.Add(2*time.Hour), storage.DeliveryDelivered)
	since(time.Time{})
	attempt(aMoment.Add(3*time.Hour), storage.DeliveryPending)
	since(aMoment.Add(3 * time.Hour))
	w.FailingSince = aMoment // is not stored
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	since(time.Time{})
}

// Attempts are told newest first, and the newest are kept.
func (s *webhookSuite) attempts() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	s.subscribe("whk_b", "")
	s.enqueued("whk_b", "")
	s.attempt(s.due()[0], storage.DeliveryFailed, aMoment)
	e := s.enqueued("whk_a", "")
	for i := range storage.MaxAttempts + 5 {
		d := s.due()[0]
		s.equal(d.Tries, i)
		s.attempt(d, storage.DeliveryPending, aMoment)
	}
	s.crash()
	var got []storage.Attempt
	cursor := ""
	for {
		attempts, next, err := s.w.Attempts(ctx, everywhere, "whk_a", cursor, 300)
		s.ok(err)
		got = append(got, attempts...)
		if cursor = next; cursor == "" {
			break
		}
	}
	s.equal(len(got), storage.MaxAttempts)
	for i, a := range got {
		s.equal(a, storage.Attempt{Webhook: "whk_a", Event: e.ID, Number: storage.MaxAttempts + 5 - i, At: aMoment,
			Took: 1500 * time.Microsecond, Status: 500, Error: "answered 500"})
	}
	others, _, err := s.w.Attempts(ctx, everywhere, "whk_b", "", 300)
	s.ok(err)
	s.equal(len(others), 1)
}

// An event is delivered again on request, and takes its place in line again.
func (s *webhookSuite) enqueue() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	first := s.enqueued("whk_a", "alr_1")
	s.attempt(s.due()[0], storage.DeliveryDelivered, aMoment)
	s.enqueued("whk_a", "alr_1")
	sequence := s.due()[0].Event.Sequence
	s.ok(s.w.Enqueue(ctx, "whk_a", first))
	s.equal(s.dueIDs(), []string{"whk_a evt_001"})
	s.equal(s.due()[0].Tries, 0)
	if got := s.due()[0].Event.Sequence; got >= sequence {
		s.Fatalf("the first event has number %d, after %d", got, sequence)
	}
	// What waits for another attempt does not wait any more.
	s.attempt(s.due()[0], storage.DeliveryPending, late().Add(time.Hour))
	s.equal(s.dueIDs(), []string{})
	s.ok(s.w.Enqueue(ctx, "whk_a", storage.Event{ID: first.ID})) // the id is enough
	d := s.due()[0]
	first.Sequence = d.Event.Sequence
	s.equal(d.Event, first)
	s.equal(d.Tries, 0)
	// Nor is noted what came of an attempt after all was told.
	s.attempt(d, storage.DeliveryDelivered, aMoment)
	a, late := tried(d, storage.DeliveryPending, aMoment)
	s.kind(s.w.Attempted(ctx, a, late, ""), storage.ErrNotFound)
	s.equal(s.dueIDs(), []string{"whk_a evt_002"})
}

// A replay is of the events that the webhook covers, in a span of time.
func (s *webhookSuite) replay() {
	ctx := s.Context()
	s.subscribe("whk_from", "") // to have the events stored
	w := s.subscribe("whk_a", "finance")
	for i := range 8 {
		e := s.event([]string{"alr_1", "alr_2"}[i%2])
		switch i {
		case 2:
			e.Department = "finances"
		case 3:
			e.Department = "finance/wing"
		case 4:
			e.Type = storage.DocumentRegistered
		}
		s.ok(s.w.Enqueue(ctx, "whk_from", e))
	}
	for _, d := range s.due() {
		s.attempt(d, storage.DeliveryFailed, aMoment)
	}
	replayed := func(scope storage.Scope, from, until, want int) {
		s.Helper()
		n, err := s.w.Replay(ctx, scope, "whk_a", aMoment.Add(time.Duration(from)*time.Second), aMoment.Add(time.Duration(until)*time.Second))
		s.ok(err)
		s.equal(n, want)
	}
	replayed(everywhere, 100, 200, 0)
	replayed(storage.Branches("finance"), 2, 8, 4) // 2, 4, 6, 7: not 3 and 5, and not 8
	mine := func() (ids []storage.EventID) {
		for _, d := range s.due() {
			if d.Webhook == "whk_a" {
				ids = append(ids, d.Event.ID)
			}
		}
		return ids
	}
	s.equal(mine(), []storage.EventID{"evt_002", "evt_007"}) // 4 and 6 stand behind 2
	for _, d := range s.due() {
		s.attempt(d, storage.DeliveryDelivered, aMoment)
	}
	s.equal(mine(), []storage.EventID{"evt_004"})
	replayed(everywhere, 0, 8, 5) // those that are pending, too
	s.equal(mine(), []storage.EventID{"evt_001", "evt_002"})
	w.Events = nil
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	replayed(everywhere, 0, 100, 0)
}

func (s *webhookSuite) backlog() {
	ctx := s.Context()
	w := s.subscribe("whk_a", "")
	s.subscribe("whk_b", "")
	before := time.Now().Truncate(time.Microsecond)
	s.enqueued("whk_a", "alr_1")
	s.enqueued("whk_a", "alr_1")
	s.enqueued("whk_b", "alr_1")
	after := time.Now()
	is := func(want int) {
		s.Helper()
		pending, oldest, err := s.w.Backlog(ctx)
		s.ok(err)
		s.equal(pending, want)
		if want > 0 && (oldest.Before(before) || oldest.After(after)) {
			s.Fatalf("the oldest was due first at %v, enqueued from %v to %v", oldest, before, after)
		}
	}
	is(3)
	s.attempt(s.due()[0], storage.DeliveryPending, late()) // is pending since it was due first
	is(3)
	s.attempt(s.due()[0], storage.DeliveryDelivered, aMoment) // to whk_b
	is(2)
	w.Paused = true
	s.ok(s.w.UpdateWebhook(ctx, everywhere, w))
	is(0)
}

// What was done before a time is forgotten, and what is pending is not, however old.
func (s *webhookSuite) forget() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	for _, alert := range []string{"alr_1", "alr_2", "alr_3", "alr_4"} {
		s.enqueued("whk_a", alert)
	}
	due := s.due()
	s.attempt(due[0], storage.DeliveryDelivered, aMoment)
	s.attempt(due[1], storage.DeliveryFailed, aMoment)
	s.attempt(due[2], storage.DeliveryPending, aMoment)
	left := func(attempts, events int) {
		s.Helper()
		got, _, err := s.w.Attempts(ctx, everywhere, "whk_a", "", 10)
		s.ok(err)
		s.equal(len(got), attempts)
		s.equal(len(s.due()), 2)
		n, err := s.w.Replay(ctx, everywhere, "whk_a", aMoment, late())
		s.ok(err)
		s.equal(n, events)
	}
	s.ok(s.w.ForgetDeliveries(ctx, aMoment)) // they were done at that moment, not before
	left(3, 4)
	for _, d := range s.due()[:2] { // replayed
		s.attempt(d, storage.DeliveryDelivered, aMoment)
	}
	s.ok(s.w.ForgetDeliveries(ctx, aMoment.Add(time.Minute)))
	left(0, 2)
}

// A webhook goes with its deliveries and attempts, and nobody else's.
func (s *webhookSuite) delete() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	s.subscribe("whk_b", "")
	for _, id := range []storage.WebhookID{"whk_a", "whk_b"} {
		s.enqueued(id, "alr_1")
		s.attempt(s.due()[len(s.due())-1], storage.DeliveryPending, aMoment)
	}
	d := s.due()[0]
	s.ok(s.w.DeleteWebhook(ctx, everywhere, "whk_a"))
	a, d := tried(d, storage.DeliveryDelivered, aMoment)
	s.kind(s.w.Attempted(ctx, a, d, ""), storage.ErrNotFound)
	s.equal(s.dueIDs(), []string{"whk_b evt_002"})
	s.subscribe("whk_a", "")
	attempts, _, err := s.w.Attempts(ctx, everywhere, "whk_a", "", 10)
	s.ok(err)
	s.equal(len(attempts), 0)
	s.equal(s.dueIDs(), []string{"whk_b evt_002"})
}

// Whatever happens, what is due is of each line the first that is pending.
func (s *webhookSuite) model() {
	ctx := s.Context()
	rng := rand.New(rand.NewPCG(1, 2))
	webhooks := []storage.Webhook{s.subscribe("whk_a", ""), s.subscribe("whk_b", "")}
	type key struct {
		webhook storage.WebhookID
		event   storage.EventID
	}
	var events []storage.Event    // in order
	pending := make(map[key]bool) // of those that were ever enqueued
	for step := range 400 {
		w := &webhooks[rng.IntN(2)]
		due := s.due()
		switch n := rng.IntN(10); {
		case n < 4:
			e := s.event([]string{"", "alr_1", "alr_2", "alr_3"}[rng.IntN(4)])
			if len(events) > 0 && rng.IntN(3) == 0 {
				e = events[rng.IntN(len(events))]
			} else {
				events = append(events, e)
			}
			s.ok(s.w.Enqueue(ctx, w.ID, e))
			pending[key{w.ID, e.ID}] = true
		case n < 8 && len(due) > 0:
			d := due[rng.IntN(len(due))]
			state := []storage.DeliveryState{storage.DeliveryPending, storage.DeliveryDelivered, storage.DeliveryFailed}[rng.IntN(3)]
			s.attempt(d, state, aMoment)
			pending[key{d.Webhook, d.Event.ID}] = state == storage.DeliveryPending
		case n == 8:
			w.Paused = !w.Paused
			s.ok(s.w.UpdateWebhook(ctx, everywhere, *w))
		case n == 9 && len(events) > 0:
			from := events[rng.IntN(len(events))].At
			_, err := s.w.Replay(ctx, everywhere, w.ID, from, from.Add(5*time.Second))
			s.ok(err)
			for _, e := range events {
				if w.Covers(e) && !e.At.Before(from) && e.At.Before(from.Add(5*time.Second)) {
					pending[key{w.ID, e.ID}] = true
				}
			}
		}
		var want []string
		for i := range webhooks {
			taken := make(map[storage.AlertID]bool)
			for _, e := range events {
				if webhooks[i].Paused || !pending[key{webhooks[i].ID, e.ID}] || e.Alert != "" && taken[e.Alert] {
					continue
				}
				taken[e.Alert] = true
				want = append(want, fmt.Sprintf("%s %s", webhooks[i].ID, e.ID))
			}
		}
		got := s.dueIDs()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			s.Fatalf("step %d: due are\n%v, want\n%v", step, got, want)
		}
	}
}

// All methods may be called at once, and nothing is lost.
func (s *webhookSuite) concurrent() {
	ctx := s.Context()
	const workers, each = 4, 20
	s.subscribe("whk_a", "")
	var events [workers * each]storage.Event
	for i := range events {
		events[i] = s.event(fmt.Sprint("alr_", i%7))
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := s.w.Enqueue(ctx, "whk_a", events[w*each+i]); err != nil {
					s.Errorf("enqueue: %v", err)
				}
				if _, _, err := s.w.Backlog(ctx); err != nil {
					s.Errorf("backlog: %v", err)
				}
			}
		})
	}
	var told []storage.EventID
	delivered := func() {
		for _, d := range s.due() {
			s.attempt(d, storage.DeliveryDelivered, aMoment)
			told = append(told, d.Event.ID)
		}
	}
	for range 20 {
		delivered()
	}
	wg.Wait()
	for len(told) < len(events) && len(s.due()) > 0 {
		delivered()
	}
	slices.Sort(told)
	if len(told) != len(events) || len(slices.Compact(told)) != len(events) {
		s.Fatalf("%d deliveries of %d events", len(told), len(events))
	}
}

func (s *webhookSuite) closed() {
	ctx := s.Context()
	s.subscribe("whk_a", "")
	s.ok(s.w.Close())
	_, err := s.w.Webhook(ctx, everywhere, "whk_a")
	s.kind(err, storage.ErrClosed)
	s.kind(s.w.AddWebhook(ctx, storage.Webhook{ID: "whk_b"}), storage.ErrClosed)
	s.kind(s.w.Enqueue(ctx, "whk_a", s.event("")), storage.ErrClosed)
	_, err = s.w.Due(ctx, late(), 1)
	s.kind(err, storage.ErrClosed)
	_, _, err = s.w.Backlog(ctx)
	s.kind(err, storage.ErrClosed)
	s.kind(s.w.ForgetDeliveries(ctx, late()), storage.ErrClosed)
}
