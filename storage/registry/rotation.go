package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// The names of what is kept in the table meta.
const (
	metaParams   = "params"
	metaRotation = "rotation"
)

// earlier counts the versions of which something is kept under the previous key: their text,
// or what was drawn of them. Of the drawings only those of versions that have moved are read.
func (r *Registry) earlier(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (n int64, err error) {
	if r.rotation.Previous == "" {
		return 0, nil
	}
	err = db.QueryRowContext(ctx, `SELECT
		(SELECT COUNT(*) FROM versions WHERE ordinal <= $1) - (SELECT COUNT(*) FROM versions WHERE ordinal <= $1 AND `+ofWithdrawn+`) +
		(SELECT COUNT(DISTINCT version) FROM drawings WHERE version > $1 AND +ordinal <= $1)`, r.rotation.Last).Scan(&n)
	return n, err
}

// isEarlier tells of document d whether something of it is kept under the previous key, which
// holds up to an ordinal.
const isEarlier = `EXISTS (SELECT 1 FROM versions o WHERE o.document = d.id
	AND (o.ordinal <= $1 OR EXISTS (SELECT 1 FROM drawings w WHERE w.version = o.ordinal AND w.ordinal <= $1)))`

// loadRotation reads the rotation that is under way; the zero one is none.
func loadRotation(ctx context.Context, db *sql.DB) (r storage.Rotation, err error) {
	var value string
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, metaRotation).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read rotation: %w", err)
	}
	if json.Unmarshal([]byte(value), &r) != nil || r.Previous == "" {
		return r, fmt.Errorf("read rotation: %w", storage.ErrCorrupt)
	}
	return r, nil
}

// Rotation is the rotation that was under way when the registry was opened; the zero one if
// there was none.
func (r *Registry) Rotation() storage.Rotation { return r.rotation }

// Rotate begins a rotation to another key. The registry is to be closed then, and opened with
// both. While another is under way it is [storage.ErrConflict].
func (r *Registry) Rotate(ctx context.Context, to *fingerprint.Key) error {
	sealer, err := newSealer(to)
	if err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	return r.explain("rotate key", r.update(ctx, func(tx *sql.Tx) error {
		rotation := storage.Rotation{Previous: r.seal.ids[0], At: time.Now().UTC()}
		for name, to := range map[string]any{"ordinal": &rotation.Last, "sequence": &rotation.Sequence} {
			if err := tx.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = $1`, name).Scan(to); err != nil {
				return err
			}
		}
		value, err := encode(rotation)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, metaRotation, value); err != nil {
			return err
		}
		params, err := encode(to.Params())
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE meta SET value = $1 WHERE name = $2`, params, metaParams); err != nil {
			return err
		}
		return r.sealSecrets(ctx, tx, sealer)
	}))
}

// sealSecrets seals the secrets of webhooks with another key.
func (r *Registry) sealSecrets(ctx context.Context, tx *sql.Tx, sealer *sealer) error {
	rows, err := tx.QueryContext(ctx, `SELECT `+webhookColumns+` FROM webhooks`)
	if err != nil {
		return err
	}
	webhooks, err := collect(rows, scanWebhook)
	if err != nil {
		return err
	}
	for _, w := range webhooks {
		if err := r.openSecrets(&w); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE webhooks SET secret = $1, previous = $2 WHERE id = $3`, sealer.secret(w.ID, w.Secret), sealer.secret(w.ID, w.Previous), w.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

// EndRotation ends a rotation: the previous key is not needed any more. It is
// [storage.ErrConflict] while anything is kept under it but what is kept of posts for some
// days: their fingerprints are forgotten, and with which content they came.
func (r *Registry) EndRotation(ctx context.Context) error {
	return r.explain("end rotation", r.update(ctx, func(tx *sql.Tx) error {
		left, err := r.earlier(ctx, tx)
		if err != nil {
			return err
		}
		if left > 0 {
			return fmt.Errorf("%w: %d versions are kept under the previous key", storage.ErrConflict, left)
		}
		for _, change := range []struct {
			statement string
			args      []any
		}{
			{`DELETE FROM post_fingerprints WHERE sequence <= $1`, []any{r.rotation.Sequence}},
			{`UPDATE posts SET content = $1 WHERE sequence <= $2`, []any{[]byte{}, r.rotation.Sequence}},
			{`UPDATE sketches SET second = $1 WHERE length(second) > 0`, []any{[]byte{}}},
			{`DELETE FROM meta WHERE name = $1`, []any{metaRotation}},
		} {
			if _, err := tx.ExecContext(ctx, change.statement, change.args...); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Earlier implements [storage.Registry].
func (r *Registry) Earlier(ctx context.Context, after storage.Ordinal, limit int) ([]storage.Version, error) {
	rows, err := r.read.QueryContext(ctx, `SELECT `+versionColumns+` FROM versions v JOIN documents d ON d.id = v.document
		WHERE v.ordinal > $1 AND v.ordinal <= $2 AND d.withdrawn_at = 0 ORDER BY v.ordinal LIMIT $3`, after, r.rotation.Last, limit)
	if err != nil {
		return nil, r.explain("list versions under the previous key", err)
	}
	versions, err := collect(rows, scanVersion)
	return versions, r.explain("list versions under the previous key", err)
}
