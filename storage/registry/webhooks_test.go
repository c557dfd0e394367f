package registry

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

func TestWebhooks(t *testing.T) {
	storagetest.Webhooks(t, func(t *testing.T) func(*fingerprint.Key) (storagetest.WebhooksStore, error) {
		path := filepath.Join(t.TempDir(), "registry.db")
		return func(key *fingerprint.Key) (storagetest.WebhooksStore, error) { return Open(t.Context(), path, key) }
	})
}

// emit emits events in a transaction, which the failure of what comes after them undoes, and
// fails unless the transaction fails with that error.
func emit(t testing.TB, r *Registry, after error, events ...storage.Event) {
	t.Helper()
	err := r.explain("emit", r.update(t.Context(), func(tx *sql.Tx) error {
		w := &writer{ctx: t.Context(), tx: tx, statements: &r.statements}
		if err := w.emit(events...); err != nil {
			return err
		}
		return after
	}))
	if !errors.Is(err, after) {
		t.Fatal(err)
	}
}

func subscribe(t testing.TB, r *Registry, w storage.Webhook) {
	t.Helper()
	if err := r.AddWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

func eventRows(t *testing.T, r *Registry) (n int) {
	t.Helper()
	if err := r.read.QueryRow(`SELECT COUNT(*) FROM events`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// An event is delivered to those who cover it, a paused one later and a disabled one not at
// all; what nobody covers, or was not committed, is not stored.
func TestEmit(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	alerts := []storage.EventType{storage.AlertCreated, storage.AlertUpdated}
	event := func(n int, kind storage.EventType, department string, alert storage.AlertID) storage.Event {
		return storage.Event{ID: storage.EventID(fmt.Sprint("evt_", n)), Type: kind, Department: department, Alert: alert, Document: "doc_a", At: time.Unix(int64(n), 0).UTC()}
	}
	emit(t, r, nil)
	emit(t, r, nil, event(1, storage.AlertCreated, "finance", "alr_1"))
	subscribe(t, r, storage.Webhook{ID: "whk_off", Events: alerts, Disabled: "answered 410"})
	emit(t, r, nil, event(2, storage.AlertCreated, "finance", "alr_1"))
	subscribe(t, r, storage.Webhook{ID: "whk_finance", Events: alerts, Department: "finance"})
	subscribe(t, r, storage.Webhook{ID: "whk_documents", Events: []storage.EventType{storage.DocumentRegistered}})
	paused := storage.Webhook{ID: "whk_paused", Events: alerts, Paused: true}
	subscribe(t, r, paused)
	emit(t, r, nil, event(3, storage.DocumentFailed, "finance", ""), event(4, storage.WebhookTest, "finance", ""))
	emit(t, r, os.ErrDeadlineExceeded, event(5, storage.AlertCreated, "finance", "alr_1"))
	if n := eventRows(t, r); n != 0 {
		t.Errorf("%d events stored that nobody is to be told", n)
	}
	emit(t, r, nil,
		event(6, storage.AlertCreated, "finance/wing", "alr_1"),
		event(7, storage.AlertUpdated, "finance/wing", "alr_1"),
		event(8, storage.AlertCreated, "works", "alr_2"), // nobody but the paused one
		event(9, storage.DocumentRegistered, "works", ""),
		event(10, storage.DocumentFailed, "finance", "")) // nobody
	if n := eventRows(t, r); n != 4 {
		t.Errorf("%d events stored of 4", n)
	}
	due := func() (ids []string) {
		t.Helper()
		deliveries, err := r.Due(t.Context(), time.Now(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries {
			ids = append(ids, fmt.Sprintf("%s %s", d.Webhook, d.Event.ID))
			if d.State != storage.DeliveryPending || d.Event.Document != "doc_a" || d.Event.At.IsZero() {
				t.Errorf("%+v", d)
			}
		}
		return ids
	}
	if got, want := due(), []string{"whk_finance evt_6", "whk_documents evt_9"}; !reflect.DeepEqual(got, want) {
		t.Errorf("due are %v, want %v", got, want)
	}
	paused.Paused = false
	if err := r.UpdateWebhook(t.Context(), storage.Everywhere(), paused); err != nil {
		t.Fatal(err)
	}
	if got, want := due(), []string{"whk_finance evt_6", "whk_paused evt_6", "whk_paused evt_8", "whk_documents evt_9"}; !reflect.DeepEqual(got, want) {
		t.Errorf("due are %v, want %v", got, want)
	}
	// An event that was emitted before is a mistake of the caller.
	emit(t, r, storage.ErrConflict, event(9, storage.DocumentRegistered, "works", ""))
}

// Numbers of events do not disturb those that the transaction took for other things.
func TestEmitNumbers(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	subscribe(t, r, storage.Webhook{ID: "whk_a", Events: []storage.EventType{storage.AlertCreated}})
	err := r.update(t.Context(), func(tx *sql.Tx) error {
		w := &writer{ctx: t.Context(), tx: tx, statements: &r.statements}
		if err := w.reserve(2); err != nil {
			return err
		}
		first := w.next()
		if err := w.emit(storage.Event{ID: "evt_a", Type: storage.AlertCreated, Alert: "alr_a"}); err != nil {
			return err
		}
		if second := w.next(); second != first+1 {
			t.Errorf("number %d after %d", second, first)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	due, err := r.Due(t.Context(), time.Now(), 1)
	if err != nil || len(due) != 1 || due[0].Event.Sequence != 4 { // after the webhook and the two
		t.Errorf("%+v, %v", due, err)
	}
}

// A secret is found nowhere in the files, is not another webhook's, and damage is noticed.
func TestSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	r := open(t, path, fingerprint.NewKey())
	const canary = "canary-in-a-secret"
	subscribe(t, r, storage.Webhook{ID: "whk_a", URL: "https://canary.example.com/", Secret: []byte(canary), Previous: []byte("old " + canary)})
	subscribe(t, r, storage.Webhook{ID: "whk_b", Secret: []byte("other")})
	found := map[string]bool{}
	for _, name := range []string{path, path + "-wal"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{canary, "canary.example.com"} {
			found[text] = found[text] || bytes.Contains(content, []byte(text))
		}
	}
	if found[canary] || !found["canary.example.com"] {
		t.Errorf("found in the files: %v", found)
	}
	for _, change := range []string{
		`UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = 'whk_a') WHERE id = 'whk_b'`,
		`UPDATE webhooks SET secret = x'00' WHERE id = 'whk_b'`,
	} {
		if _, err := r.write.Exec(change); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Webhook(t.Context(), storage.Everywhere(), "whk_b"); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", change, err)
		}
		if _, _, err := r.Webhooks(t.Context(), storage.Everywhere(), "", 10); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// What is asked at every delivery finds its rows by index, however many are pending.
func TestWebhookPlans(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	for name, query := range map[string]string{
		"due": dueQuery, "leave": leaveLine + `alert = $2`, "line up": fmt.Sprintf(lineUp, `alert = $2`),
	} {
		rows, err := r.write.Query("EXPLAIN QUERY PLAN "+query, make([]any, 2)...)
		if err != nil {
			t.Fatal(err)
		}
		type step struct {
			id, parent, other int
			detail            string
		}
		steps, err := collect(rows, func(s *step) []any { return []any{&s.id, &s.parent, &s.other, &s.detail} })
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			t.Log(name, s.detail)
			if strings.HasPrefix(s.detail, "SCAN ") && s.detail != "SCAN w" {
				t.Errorf("%s: %s", name, s.detail)
			}
		}
	}
}

// BenchmarkWebhooks has 100,000 deliveries pending: of 10,000 alerts, to one of 20 webhooks.
func BenchmarkWebhooks(b *testing.B) {
	const pending, batch = 100_000, 1_000
	ctx := b.Context()
	r := open(b, filepath.Join(b.TempDir(), "registry.db"), fingerprint.NewKey())
	for i := range 20 {
		subscribe(b, r, storage.Webhook{ID: storage.WebhookID(fmt.Sprint("whk_", i)), Department: fmt.Sprint("department-", i), Secret: make([]byte, 32),
			Events: []storage.EventType{storage.AlertCreated, storage.AlertUpdated}})
	}
	n := 0
	event := func() storage.Event {
		n++
		return storage.Event{ID: storage.EventID(storage.NewID("evt")), Type: storage.AlertUpdated, Department: "department-7",
			Alert: storage.AlertID(fmt.Sprintf("alr_%08x", uint32(n%10_000)*2654435761)), At: time.Now()}
	}
	for n < pending {
		events := make([]storage.Event, batch)
		for i := range events {
			events[i] = event()
		}
		emit(b, r, nil, events...)
	}
	for _, test := range []struct {
		name string
		call func() error
	}{
		{"Due", func() error {
			due, err := r.Due(ctx, time.Now(), 2)
			if err == nil && len(due) != 2 {
				err = fmt.Errorf("%d due", len(due))
			}
			return err
		}},
		{"Attempted", func() error {
			due, err := r.Due(ctx, time.Now(), 2)
			if err != nil || len(due) == 0 {
				return errors.Join(err, errors.New("nothing due"))
			}
			d := due[0]
			d.State, d.DoneAt, d.Tries = storage.DeliveryDelivered, time.Now(), 1
			return r.Attempted(ctx, storage.Attempt{Webhook: d.Webhook, Event: d.Event.ID, Number: 1, At: d.DoneAt, Status: 200}, d, "")
		}},
		{"Backlog", func() error {
			_, _, err := r.Backlog(ctx)
			return err
		}},
		{"Replay", func() error {
			_, err := r.Replay(ctx, storage.Everywhere(), "whk_7", time.Time{}, time.Now())
			return err
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				if err := test.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("emit", func(b *testing.B) {
		for b.Loop() {
			emit(b, r, nil, event())
		}
	})
}
