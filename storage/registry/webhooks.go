package registry

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/sealprint/sealprint/storage"
)

var _ storage.Webhooks = (*Registry)(nil)

// forgetChunk is how many rows one transaction forgets; others write in between.
const forgetChunk = 10_000

const (
	webhookColumns = `id, url, events, department, secret, previous, previous_until, paused, disabled, failing_since, created_at, created_by, updated_at`
	attemptColumns = `webhook, event, number, at, took, status, error`

	// dueQuery takes the first of each webhook by index, so that it does not matter how
	// many are pending. CROSS JOIN has SQLite begin with the webhooks, which it would not
	// find out by itself.
	dueQuery = `SELECT d.webhook, d.state, d.tries, d.due_at, d.done_at, e.sequence, e.id, e.type, e.department, e.alert, e.document, e.at
FROM webhooks w CROSS JOIN deliveries d JOIN events e ON e.sequence = d.event
WHERE w.paused = 0 AND w.disabled = '' AND d.webhook = w.id AND d.event IN (
	SELECT event FROM deliveries WHERE webhook = w.id AND ready = 1 AND due_at <= $1 ORDER BY due_at, event LIMIT $2)
ORDER BY d.due_at, d.event`

	// What stands in line is not ready when it is queued: who is first is decided afterwards.
	queueDelivery = `INSERT INTO deliveries (webhook, event, alert, state, ready, tries, since, due_at, done_at) `
	queueAgain    = ` ON CONFLICT (webhook, event) DO UPDATE SET state = excluded.state, ready = excluded.ready, tries = excluded.tries,
	since = excluded.since, due_at = excluded.due_at, done_at = excluded.done_at`

	// The first pending delivery of each line is made ready, after none is. Both end with
	// which lines.
	leaveLine = `UPDATE deliveries SET ready = 0 WHERE webhook = $1 AND ready = 1 AND alert <> '' AND `
	lineUp    = `UPDATE deliveries SET ready = 1 WHERE webhook = $1 AND event IN (
	SELECT MIN(event) FROM deliveries WHERE webhook = $1 AND state = 'pending' AND alert <> '' AND %s GROUP BY alert)`
)

// AddWebhook implements [storage.Webhooks].
func (r *Registry) AddWebhook(ctx context.Context, w storage.Webhook) error {
	doing := fmt.Sprintf("add webhook %s", w.ID)
	events, err := encode(w.Events)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return r.explain(doing, r.update(ctx, func(tx *sql.Tx) error {
		writer := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if err := writer.reserve(1); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO webhooks
			(id, sequence, url, events, department, secret, previous, previous_until, paused, disabled, created_at, created_by, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			w.ID, writer.next(), w.URL, events, w.Department, r.seal.secret(w.ID, w.Secret), r.seal.secret(w.ID, w.Previous), micros(w.PreviousUntil),
			bit(w.Paused), w.Disabled, micros(w.CreatedAt), w.CreatedBy, micros(w.UpdatedAt))
		return err
	}))
}

// Webhook implements [storage.Webhooks].
func (r *Registry) Webhook(ctx context.Context, scope storage.Scope, id storage.WebhookID) (storage.Webhook, error) {
	w, err := r.webhook(ctx, r.read, scope, id)
	if err != nil {
		return storage.Webhook{}, r.explain(fmt.Sprintf("webhook %s", id), err)
	}
	return w, nil
}

// Webhooks implements [storage.Webhooks].
func (r *Registry) Webhooks(ctx context.Context, scope storage.Scope, cursor string, limit int) ([]storage.Webhook, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d webhooks: need at least 1", limit)
	}
	after, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("list webhooks: cursor: %w", storage.ErrNotFound)
	}
	var c condition
	c.where("sequence > " + c.arg(after))
	c.scope("department", scope)
	if !scope.All() {
		c.where("department <> ''")
	}
	query := `SELECT sequence, ` + webhookColumns + ` FROM webhooks` + c.String() + ` ORDER BY sequence`
	webhooks, next, err := list(ctx, r, query, c, limit, scanWebhook)
	for i := range webhooks {
		if err == nil {
			err = r.openSecrets(&webhooks[i])
		}
	}
	if err != nil {
		return nil, "", r.explain("list webhooks", err)
	}
	return webhooks, next, nil
}

// UpdateWebhook implements [storage.Webhooks].
func (r *Registry) UpdateWebhook(ctx context.Context, scope storage.Scope, w storage.Webhook) error {
	doing := fmt.Sprintf("update webhook %s", w.ID)
	events, err := encode(w.Events)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return r.explain(doing, r.update(ctx, func(tx *sql.Tx) error {
		if _, err := r.webhook(ctx, tx, scope, w.ID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE webhooks SET url = $1, events = $2, secret = $3, previous = $4, previous_until = $5,
			paused = $6, disabled = $7, failing_since = 0, updated_at = $8 WHERE id = $9`,
			w.URL, events, r.seal.secret(w.ID, w.Secret), r.seal.secret(w.ID, w.Previous), micros(w.PreviousUntil),
			bit(w.Paused), w.Disabled, micros(w.UpdatedAt), w.ID)
		return err
	}))
}

// DeleteWebhook implements [storage.Webhooks]. Deliveries and attempts go with it.
func (r *Registry) DeleteWebhook(ctx context.Context, scope storage.Scope, id storage.WebhookID) error {
	return r.explain(fmt.Sprintf("delete webhook %s", id), r.update(ctx, func(tx *sql.Tx) error {
		if _, err := r.webhook(ctx, tx, scope, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, id)
		return err
	}))
}

// webhook reads a webhook in a scope. The scope of a branch holds none that is for all
// departments.
func (r *Registry) webhook(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, scope storage.Scope, id storage.WebhookID) (storage.Webhook, error) {
	var w storage.Webhook
	if err := db.QueryRowContext(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE id = $1`, id).Scan(scanWebhook(&w)...); err != nil {
		return storage.Webhook{}, err
	}
	if !scope.All() && (w.Department == "" || !scope.Covers(w.Department)) {
		return storage.Webhook{}, sql.ErrNoRows // so that both read the same
	}
	return w, r.openSecrets(&w)
}

// openSecrets decrypts the secrets of a webhook as it was scanned.
func (r *Registry) openSecrets(w *storage.Webhook) error {
	for _, secret := range []*[]byte{&w.Secret, &w.Previous} {
		var err error
		if *secret, err = r.seal.openSecret(w.ID, *secret); err != nil {
			return fmt.Errorf("secret of webhook %s: %w: %s: %w", w.ID, storage.ErrCorrupt, r.path, err)
		}
	}
	return nil
}

// secret seals a secret of a webhook; none stays none.
func (s *sealer) secret(id storage.WebhookID, secret []byte) []byte {
	if len(secret) == 0 {
		return []byte{}
	}
	return sealAs(s.webhooks, []byte(id), secret)
}

func (s *sealer) openSecret(id storage.WebhookID, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	secret, _, err := unsealAs(s.webhooks, []byte(id), sealed)
	return secret, err
}

// emit stores events for the webhooks that cover them, in the order in which they are
// given, to be delivered once the transaction is committed. An event that nobody is to be
// told is not stored. Who disabled a webhook is told nothing of what happens meanwhile; who
// paused one, later.
func (w *writer) emit(events ...storage.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows, err := w.tx.StmtContext(w.ctx, w.subscribers).QueryContext(w.ctx)
	if err != nil {
		return fmt.Errorf("find webhooks: %w", err)
	}
	webhooks, err := collect(rows, func(h *storage.Webhook) []any { return []any{(*string)(&h.ID), (*scanTypes)(&h.Events), &h.Department} })
	if err != nil {
		return fmt.Errorf("find webhooks: %w", err)
	}
	now := time.Now()
	for _, e := range events {
		kept := false
		for i := range webhooks {
			if !webhooks[i].Covers(e) {
				continue
			}
			if !kept {
				if e.Sequence, err = w.event(e); err != nil {
					return fmt.Errorf("event %s: %w", e.ID, err)
				}
				kept = true
			}
			if err := w.queue(webhooks[i].ID, e, now); err != nil {
				return fmt.Errorf("event %s: %w", e.ID, err)
			}
		}
	}
	return nil
}

// event stores an event and returns its number. That is none of those that reserve took:
// nobody knows beforehand how many events are stored.
func (w *writer) event(e storage.Event) (sequence int64, err error) {
	if err := w.row(w.count, 1, "sequence").Scan(&sequence); err != nil {
		return 0, fmt.Errorf("take number: %w", err)
	}
	return sequence, w.exec(w.addEvent, sequence, e.ID, e.Type, e.Department, e.Alert, e.Document, micros(e.At))
}

// queue has an event that is stored delivered to a webhook as of now.
func (w *writer) queue(id storage.WebhookID, e storage.Event, now time.Time) error {
	if err := w.exec(w.queueDelivery, id, e.Sequence, e.Alert, bit(e.Alert == ""), micros(now)); err != nil {
		return err
	}
	return w.advance(id, e.Alert)
}

// advance makes ready what is first in the line of an alert now.
func (w *writer) advance(id storage.WebhookID, alert storage.AlertID) error {
	if alert == "" {
		return nil
	}
	if err := w.exec(w.leaveLine, id, alert); err != nil {
		return err
	}
	return w.exec(w.lineUp, id, alert)
}

// Enqueue implements [storage.Webhooks].
func (r *Registry) Enqueue(ctx context.Context, id storage.WebhookID, e storage.Event) error {
	return r.explain(fmt.Sprintf("enqueue event %s for webhook %s", e.ID, id), r.update(ctx, func(tx *sql.Tx) error {
		if _, err := r.webhook(ctx, tx, storage.Everywhere(), id); err != nil {
			return err
		}
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		err := tx.QueryRowContext(ctx, `SELECT sequence, alert FROM events WHERE id = $1`, e.ID).Scan(number[int64]{&e.Sequence}, (*string)(&e.Alert))
		if err == sql.ErrNoRows {
			e.Sequence, err = w.event(e)
		}
		if err != nil {
			return err
		}
		return w.queue(id, e, time.Now())
	}))
}

// Replay implements [storage.Webhooks].
func (r *Registry) Replay(ctx context.Context, scope storage.Scope, id storage.WebhookID, from, until time.Time) (int, error) {
	var deliveries int64
	err := r.update(ctx, func(tx *sql.Tx) error {
		w, err := r.webhook(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		// As Webhook.Covers decides.
		var c condition
		what := fmt.Sprintf("%s, sequence, alert, 'pending', CASE WHEN alert = '' THEN 1 ELSE 0 END, 0, %s, %[2]s, 0", c.arg(id), c.arg(micros(time.Now())))
		c.where("at >= " + c.arg(micros(from)))
		c.where("at < " + c.arg(micros(until)))
		types := []string{"''"} // which no event has
		for _, t := range w.Events {
			types = append(types, c.arg(t))
		}
		c.where("type IN (" + strings.Join(types, ", ") + ")")
		if w.Department != "" {
			c.scope("department", storage.Branches(w.Department))
		}
		result, err := tx.ExecContext(ctx, queueDelivery+`SELECT `+what+` FROM events`+c.String()+queueAgain, c.args...)
		if err != nil {
			return err
		}
		if deliveries, err = result.RowsAffected(); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, leaveLine+`1 = 1`, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf(lineUp, `1 = 1`), id)
		return err
	})
	if err != nil {
		return 0, r.explain(fmt.Sprintf("replay to webhook %s", id), err)
	}
	return int(deliveries), nil
}

// Due implements [storage.Webhooks].
func (r *Registry) Due(ctx context.Context, now time.Time, limit int) ([]storage.Delivery, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list %d deliveries: need at least 1", limit)
	}
	rows, err := r.due.QueryContext(ctx, micros(now), limit)
	if err != nil {
		return nil, r.explain("find deliveries", err)
	}
	due, err := collect(rows, scanDelivery)
	return due, r.explain("find deliveries", err)
}

// Attempted implements [storage.Webhooks].
func (r *Registry) Attempted(ctx context.Context, a storage.Attempt, d storage.Delivery, disable string) error {
	return r.explain(fmt.Sprintf("note attempt %d of event %s to webhook %s", a.Number, a.Event, a.Webhook), r.update(ctx, func(tx *sql.Tx) error {
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		result, err := tx.StmtContext(ctx, w.noteDelivery).ExecContext(ctx, d.State, d.Tries, micros(d.DueAt), micros(d.DoneAt), d.Webhook, d.Event.Sequence)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return sql.ErrNoRows
		}
		if d.State != storage.DeliveryPending {
			if err := w.advance(d.Webhook, d.Event.Alert); err != nil {
				return err
			}
		}
		var sequence int64
		if err := w.row(w.noteWebhook, bit(a.Error != ""), micros(a.At), disable, d.Webhook).Scan(&sequence); err != nil {
			return err
		}
		if err := w.exec(w.addAttempt, a.Webhook, sequence, a.Event, a.Number, micros(a.At), a.Took.Microseconds(), a.Status, a.Error); err != nil {
			return err
		}
		return w.exec(w.dropAttempts, a.Webhook, sequence-storage.MaxAttempts)
	}))
}

// Attempts implements [storage.Webhooks].
func (r *Registry) Attempts(ctx context.Context, scope storage.Scope, id storage.WebhookID, cursor string, limit int) ([]storage.Attempt, string, error) {
	doing := fmt.Sprintf("list attempts of webhook %s", id)
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d attempts: need at least 1", limit)
	}
	before, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("%s: cursor: %w", doing, storage.ErrNotFound)
	}
	if _, err := r.webhook(ctx, r.read, scope, id); err != nil {
		return nil, "", r.explain(doing, err)
	}
	var c condition
	c.where("webhook = " + c.arg(id))
	if cursor != "" {
		c.where("sequence < " + c.arg(before))
	}
	query := `SELECT sequence, ` + attemptColumns + ` FROM attempts` + c.String() + ` ORDER BY sequence DESC`
	attempts, next, err := list(ctx, r, query, c, limit, scanAttempt)
	return attempts, next, r.explain(doing, err)
}

// Backlog implements [storage.Webhooks].
func (r *Registry) Backlog(ctx context.Context) (pending int, oldest time.Time, err error) {
	err = r.read.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(MIN(d.since), 0) FROM webhooks w JOIN deliveries d ON d.webhook = w.id
		WHERE w.paused = 0 AND w.disabled = '' AND d.state = 'pending'`).Scan(number[int]{&pending}, (*scanTime)(&oldest))
	return pending, oldest, r.explain("count deliveries", err)
}

// ForgetDeliveries implements [storage.Webhooks], in small transactions. It may be broken
// off at any point.
func (r *Registry) ForgetDeliveries(ctx context.Context, before time.Time) error {
	for _, query := range []string{
		`DELETE FROM deliveries WHERE (webhook, event) IN (
			SELECT webhook, event FROM deliveries WHERE done_at > 0 AND done_at < $1 LIMIT $2)`,
		`DELETE FROM events WHERE sequence IN (
			SELECT e.sequence FROM events e WHERE e.at < $1 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = e.sequence) LIMIT $2)`,
		`DELETE FROM attempts WHERE (webhook, sequence) IN (SELECT webhook, sequence FROM attempts WHERE at < $1 LIMIT $2)`,
	} {
		for {
			result, err := r.write.ExecContext(ctx, query, micros(before), forgetChunk)
			if err != nil {
				return r.explain("forget deliveries", err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return r.explain("forget deliveries", err)
			}
			if n < forgetChunk {
				break
			}
		}
	}
	return nil
}

// scanWebhook scans a webhook whose secrets are yet to be decrypted.
func scanWebhook(w *storage.Webhook) []any {
	return []any{(*string)(&w.ID), &w.URL, (*scanTypes)(&w.Events), &w.Department, (*scanBytes)(&w.Secret), (*scanBytes)(&w.Previous),
		(*scanTime)(&w.PreviousUntil), flag{&w.Paused}, &w.Disabled, (*scanTime)(&w.FailingSince),
		(*scanTime)(&w.CreatedAt), &w.CreatedBy, (*scanTime)(&w.UpdatedAt)}
}

func scanDelivery(d *storage.Delivery) []any {
	return []any{(*string)(&d.Webhook), (*string)(&d.State), number[int]{&d.Tries}, (*scanTime)(&d.DueAt), (*scanTime)(&d.DoneAt),
		number[int64]{&d.Event.Sequence}, (*string)(&d.Event.ID), (*string)(&d.Event.Type), &d.Event.Department,
		(*string)(&d.Event.Alert), (*string)(&d.Event.Document), (*scanTime)(&d.Event.At)}
}

func scanAttempt(a *storage.Attempt) []any {
	return []any{(*string)(&a.Webhook), (*string)(&a.Event), number[int]{&a.Number}, (*scanTime)(&a.At), scanMicros{&a.Took},
		number[int]{&a.Status}, &a.Error}
}

// scanTypes reads the types of events of a webhook, which are stored as JSON.
type scanTypes []storage.EventType

func (t *scanTypes) Scan(value any) error { return decode(value, t) }

// scanMicros reads a duration, which is stored in microseconds.
type scanMicros struct{ to *time.Duration }

func (m scanMicros) Scan(value any) error {
	var n int64
	err := number[int64]{&n}.Scan(value)
	*m.to = time.Duration(n) * time.Microsecond
	return err
}
