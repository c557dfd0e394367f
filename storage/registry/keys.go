package registry

import (
	"context"
	"fmt"

	"github.com/sealprint/sealprint/storage"
)

// AddKey implements [storage.Registry]. A credential that is stored already, with
// the same secret, only takes over the time of its revocation; with another
// secret it is a conflict.
func (r *Registry) AddKey(ctx context.Context, key storage.APIKey) error {
	doing := fmt.Sprintf("add credential %s", key.ID)
	result, err := r.write.ExecContext(ctx, `INSERT INTO api_keys (id, secret_hash, role, department, created_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at WHERE api_keys.secret_hash = excluded.secret_hash`,
		key.ID, blob(key.SecretHash), key.Role, key.Department, micros(key.CreatedAt), micros(key.RevokedAt))
	if err != nil {
		return r.explain(doing, err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = storage.ErrConflict
	}
	return r.explain(doing, err)
}

// Key implements [storage.Registry].
func (r *Registry) Key(ctx context.Context, id string) (storage.APIKey, error) {
	var k storage.APIKey
	err := r.read.QueryRowContext(ctx, `SELECT id, secret_hash, role, department, created_at, revoked_at FROM api_keys WHERE id = $1`, id).
		Scan(&k.ID, (*scanBytes)(&k.SecretHash), &k.Role, &k.Department, (*scanTime)(&k.CreatedAt), (*scanTime)(&k.RevokedAt))
	if err != nil {
		return storage.APIKey{}, r.explain(fmt.Sprintf("credential %s", id), err)
	}
	return k, nil
}
