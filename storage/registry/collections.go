package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// AddCollection implements [storage.Registry].
func (r *Registry) AddCollection(ctx context.Context, c storage.Collection) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("add collection: %w", err)
	}
	return r.explain("add collection", r.update(ctx, func(tx *sql.Tx) error {
		var there storage.Collection
		err := tx.QueryRowContext(ctx, collectionQuery, c.Name).Scan(scanCollection(&there)...)
		switch {
		case err == nil && there.Kind == c.Kind && there.Department == c.Department && there.Window == c.Window:
			return nil
		case err == nil:
			return storage.ErrConflict
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if err := w.reserve(1); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO collections (name, sequence, kind, department, density, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			c.Name, w.next(), c.Kind, c.Department, int64(c.Window), micros(c.CreatedAt))
		return err
	}))
}

// Collection implements [storage.Registry].
func (r *Registry) Collection(ctx context.Context, name string) (storage.Collection, error) {
	var c storage.Collection
	err := r.collection.QueryRowContext(ctx, name).Scan(scanCollection(&c)...)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Collection{Name: name, Kind: storage.Protected, Window: fingerprint.Dense}, nil
	}
	if err != nil {
		return storage.Collection{}, r.explain("look up collection", err)
	}
	return c, nil
}

// Collections implements [storage.Registry].
func (r *Registry) Collections(ctx context.Context, scope storage.Scope, cursor string, limit int) ([]storage.Collection, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d collections: need at least 1", limit)
	}
	after, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("list collections: cursor: %w", storage.ErrNotFound)
	}
	var c condition
	if cursor != "" {
		// The cursor holds the number of the last collection listed. Collections are
		// never removed; a number that none has is a cursor of another list.
		var name string
		if err := r.read.QueryRowContext(ctx, `SELECT name FROM collections WHERE sequence = $1`, after).Scan(&name); err != nil {
			return nil, "", r.explain("list collections: cursor", err)
		}
		c.where("name > " + c.arg(name))
	}
	switch {
	case scope.All():
	case len(scope.Departments()) == 0:
		c.where("1 = 0") // who sees nothing sees nothing of everybody's either
	default:
		c.where("(" + c.covers("department", scope) + " OR department = " + c.arg(storage.DefaultDepartment) + " OR kind <> " + c.arg(storage.Protected) + ")")
	}
	query := `SELECT sequence, ` + collectionColumns + ` FROM collections` + c.String() + ` ORDER BY name`
	collections, next, err := list(ctx, r, query, c, limit, scanCollection)
	return collections, next, r.explain("list collections", err)
}
