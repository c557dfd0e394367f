package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sealprint/sealprint/storage"
)

const keyColumns = `id, secret_hash, label, role, department, created_at, created_by, expires_at, revoked_at`

func scanKey(k *storage.APIKey) []any {
	return []any{&k.ID, (*scanBytes)(&k.SecretHash), &k.Label, &k.Role, &k.Department, (*scanTime)(&k.CreatedAt), &k.CreatedBy,
		(*scanTime)(&k.ExpiresAt), (*scanTime)(&k.RevokedAt)}
}

// AddKey implements [storage.Registry]. A credential that is stored already, with
// the same secret, only takes over the time of its revocation; with another
// secret it is a conflict.
func (r *Registry) AddKey(ctx context.Context, key storage.APIKey) error {
	doing := fmt.Sprintf("add credential %s", key.ID)
	return r.explain(doing, r.update(ctx, func(tx *sql.Tx) error {
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if err := w.reserve(1); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO api_keys (sequence, `+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at WHERE api_keys.secret_hash = excluded.secret_hash`,
			w.next(), key.ID, blob(key.SecretHash), key.Label, key.Role, key.Department, micros(key.CreatedAt), key.CreatedBy,
			micros(key.ExpiresAt), micros(key.RevokedAt))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = storage.ErrConflict
		}
		return err
	}))
}

// Key implements [storage.Registry].
func (r *Registry) Key(ctx context.Context, id string) (storage.APIKey, error) {
	var k storage.APIKey
	if err := r.key.QueryRowContext(ctx, id).Scan(scanKey(&k)...); err != nil {
		return storage.APIKey{}, r.explain(fmt.Sprintf("credential %s", id), err)
	}
	return k, nil
}

// Keys implements [storage.Registry].
func (r *Registry) Keys(ctx context.Context, scope storage.Scope, cursor string, limit int) ([]storage.APIKey, string, error) {
	c, err := r.after(cursor, limit, "sequence")
	if err != nil {
		return nil, "", fmt.Errorf("list credentials: %w", err)
	}
	c.scope("department", scope)
	keys, next, err := list(ctx, r, `SELECT sequence, `+keyColumns+` FROM api_keys`+c.String()+` ORDER BY sequence`, *c, limit, scanKey)
	return keys, next, r.explain("list credentials", err)
}

// RevokeKey implements [storage.Registry].
func (r *Registry) RevokeKey(ctx context.Context, scope storage.Scope, id string, at time.Time) (storage.APIKey, error) {
	var k storage.APIKey
	err := r.update(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, keyQuery, id).Scan(scanKey(&k)...)
		if err == nil && !scope.Covers(k.Department) {
			err = sql.ErrNoRows
		}
		if err != nil || !k.RevokedAt.IsZero() {
			return err
		}
		k.RevokedAt = stored(at)
		_, err = tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $1 WHERE id = $2`, micros(at), id)
		return err
	})
	if err != nil {
		return storage.APIKey{}, r.explain(fmt.Sprintf("revoke credential %s", id), err)
	}
	return k, nil
}

const keyQuery = `SELECT ` + keyColumns + ` FROM api_keys WHERE id = $1`

// after begins the conditions of a list that goes up from a cursor.
func (r *Registry) after(cursor string, limit int, column string) (*condition, error) {
	return r.from(cursor, limit, column, " > ")
}

// before is after for a list that goes down.
func (r *Registry) before(cursor string, limit int, column string) (*condition, error) {
	return r.from(cursor, limit, column, " < ")
}

func (r *Registry) from(cursor string, limit int, column, order string) (*condition, error) {
	if limit < 1 {
		return nil, fmt.Errorf("a limit of %d: need at least 1", limit)
	}
	at, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, fmt.Errorf("cursor: %w", storage.ErrNotFound)
	}
	c := &condition{}
	if cursor != "" {
		c.where(column + order + c.arg(at))
	}
	return c, nil
}
