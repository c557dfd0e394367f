package registry

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/storage"
)

// draw stores what was drawn, in the place of what was drawn before.
func (w *writer) draw(drawn []storage.Drawn, seal *sealer) error {
	for _, d := range drawn {
		if err := w.erase(d.Version); err != nil {
			return fmt.Errorf("drawings of ordinal %d: %w", d.Version, err)
		}
		marked, err := w.tx.StmtContext(w.ctx, w.markDrawn).ExecContext(w.ctx, d.By, d.Undrawn, d.Version)
		if err != nil {
			return fmt.Errorf("drawings of ordinal %d: %w", d.Version, err)
		}
		if n, err := marked.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fmt.Errorf("drawings of ordinal %d: %w: it is not stored", d.Version, storage.ErrConflict), err)
		}
		for _, one := range d.Drawings {
			if err := w.drawing(d.Version, one, seal); err != nil {
				return fmt.Errorf("drawing %d of ordinal %d: %w", one.Ordinal, d.Version, err)
			}
		}
	}
	return nil
}

func (w *writer) drawing(version storage.Ordinal, d storage.Drawing, sealer *sealer) error {
	region, err := encode(d.Region)
	if err != nil {
		return err
	}
	layout := []byte{}
	if d.Layout != nil {
		layout = seal(sealer.layouts, d.Ordinal, d.Layout)
	}
	if err := w.exec(w.addDrawing, d.Ordinal, version, d.Page, d.Part, region, layout); err != nil || d.Hash == nil {
		return err
	}
	if len(d.Hash) != pdq.Size {
		return fmt.Errorf("a hash of %d bytes, need %d", len(d.Hash), pdq.Size)
	}
	return w.exec(w.addHash, d.Ordinal, seal(sealer.hashes, d.Ordinal, d.Hash))
}

// erase removes the drawings of a version.
func (w *writer) erase(version storage.Ordinal) error {
	old, err := drawingsOf(w.ctx, w.tx, false, version)
	if err != nil || len(old) == 0 {
		return err
	}
	w.gone = append(w.gone, old...)
	_, err = w.tx.ExecContext(w.ctx, `DELETE FROM drawings WHERE version = $1`, version)
	return err
}

// querier is a database, or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func drawingsOf(ctx context.Context, db querier, laidOut bool, versions ...storage.Ordinal) ([]storage.Ordinal, error) {
	var ordinals []storage.Ordinal
	for _, v := range versions {
		rows, err := db.QueryContext(ctx, `SELECT ordinal FROM drawings WHERE version = $1 AND (length(layout) > 0 OR $2 = 0)`, v, bit(laidOut))
		if err != nil {
			return nil, err
		}
		some, err := collect(rows, scanOrdinal)
		if err != nil {
			return nil, err
		}
		ordinals = append(ordinals, some...)
	}
	slices.Sort(ordinals)
	return ordinals, nil
}

// DrawingsOf implements [storage.Registry].
func (r *Registry) DrawingsOf(ctx context.Context, laidOut bool, versions ...storage.Ordinal) (ordinals []storage.Ordinal, err error) {
	if len(versions) > 0 {
		ordinals, err = drawingsOf(ctx, r.read, laidOut, versions...)
		return ordinals, r.explain("list drawings", err)
	}
	rows, err := r.read.QueryContext(ctx, `SELECT ordinal FROM drawings WHERE length(layout) > 0 OR $1 = 0 ORDER BY ordinal`, bit(laidOut))
	if err == nil {
		ordinals, err = collect(rows, scanOrdinal)
	}
	return ordinals, r.explain("list drawings", err)
}

// Drawings implements [storage.Registry].
func (r *Registry) Drawings(ctx context.Context, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Drawing, error) {
	rows, err := queryOrdinals(ctx, r.drawings, ordinals, func(d *storage.Drawing) []any {
		return []any{number[storage.Ordinal]{&d.Ordinal}, number[storage.Ordinal]{&d.Version}, number[int]{&d.Page}, &d.Part, (*scanRegion)(&d.Region), (*scanBytes)(&d.Layout)}
	})
	if err != nil {
		return nil, r.explain("look up drawings", err)
	}
	found := make(map[storage.Ordinal]storage.Drawing, len(rows))
	for _, d := range rows {
		if len(d.Layout) == 0 {
			d.Layout = nil
		} else if d.Layout, err = unseal(r.seal.layouts, d.Ordinal, d.Layout); err != nil {
			return nil, fmt.Errorf("drawing %d: %w: %s: %w", d.Ordinal, storage.ErrCorrupt, r.path, err)
		}
		found[d.Ordinal] = d
	}
	return found, nil
}

type scanRegion storage.Region

func (s *scanRegion) Scan(value any) error { return decode(value, (*storage.Region)(s)) }

// Undrawn implements [storage.Registry].
func (r *Registry) Undrawn(ctx context.Context, by int, after storage.Ordinal, limit int) ([]storage.Version, error) {
	rows, err := r.read.QueryContext(ctx, `SELECT `+versionColumns+` FROM versions v JOIN documents d ON d.id = v.document
		WHERE v.drawn < $1 AND v.ordinal > $2 AND d.withdrawn_at = 0 ORDER BY v.ordinal LIMIT $3`, by, after, limit)
	if err != nil {
		return nil, r.explain("list versions to draw", err)
	}
	versions, err := collect(rows, scanVersion)
	return versions, r.explain("list versions to draw", err)
}

// UndrawnPages implements [storage.Registry].
func (r *Registry) UndrawnPages(ctx context.Context, scope storage.Scope, by int) (pages int64, err error) {
	var c condition
	c.where("v.drawn < " + c.arg(int64(by)))
	c.scope("d.department", scope)
	query := `SELECT COALESCE(SUM(v.page_count), 0) FROM versions v JOIN documents d ON d.id = v.document` + c.String()
	if err := r.read.QueryRowContext(ctx, query, c.args...).Scan(&pages); err != nil {
		return 0, r.explain("count pages to draw", err)
	}
	return pages, nil
}

// Near implements [storage.Registry].
func (r *Registry) Near(ctx context.Context, hash []byte, distance, limit int) ([]storage.Near, error) {
	if err := ctx.Err(); err != nil {
		return nil, r.explain("compare hashes", err)
	}
	if r.closed.Load() {
		return nil, r.explain("compare hashes", storage.ErrClosed)
	}
	if len(hash) != pdq.Size {
		return nil, fmt.Errorf("compare hashes: %d bytes, need %d", len(hash), pdq.Size)
	}
	return r.hashes.near((*pdq.Hash)(hash), distance, limit), nil
}

// hashes are those of all drawings, in memory. Comparing one with a million of them takes
// some milliseconds.
type hashes struct {
	changing sync.Mutex // held from before a transaction until what it did is done here, too
	mu       sync.RWMutex
	ordinals []storage.Ordinal
	all      []pdq.Hash
	at       map[storage.Ordinal]int
}

// load reads all hashes.
func (h *hashes) load(ctx context.Context, db *sql.DB, seal *sealer) (err error) {
	rows, err := db.QueryContext(ctx, `SELECT ordinal, sealed FROM hashes`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	h.at = map[storage.Ordinal]int{}
	for rows.Next() {
		var ordinal storage.Ordinal
		var sealed sql.RawBytes
		if err := rows.Scan(number[storage.Ordinal]{&ordinal}, &sealed); err != nil {
			return err
		}
		hash, err := unseal(seal.hashes, ordinal, sealed)
		if err != nil || len(hash) != pdq.Size {
			return fmt.Errorf("hash of drawing %d: %w: %w", ordinal, storage.ErrCorrupt, cmp.Or(err, errSeal))
		}
		h.add(ordinal, pdq.Hash(hash))
	}
	return rows.Err()
}

func (h *hashes) add(ordinal storage.Ordinal, hash pdq.Hash) {
	h.at[ordinal] = len(h.all)
	h.ordinals, h.all = append(h.ordinals, ordinal), append(h.all, hash)
}

// change follows what was committed.
func (h *hashes) change(gone []storage.Ordinal, drawn []storage.Drawn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range gone {
		i, there := h.at[o]
		if !there {
			continue
		}
		last := len(h.all) - 1
		h.ordinals[i], h.all[i] = h.ordinals[last], h.all[last]
		h.at[h.ordinals[i]] = i
		delete(h.at, o)
		h.ordinals, h.all = h.ordinals[:last], h.all[:last]
	}
	for _, d := range drawn {
		for _, one := range d.Drawings {
			if one.Hash != nil {
				h.add(one.Ordinal, pdq.Hash(one.Hash))
			}
		}
	}
}

func (h *hashes) near(hash *pdq.Hash, distance, limit int) []storage.Near {
	h.mu.RLock()
	var found []storage.Near
	for i := range h.all {
		if d := hash.Distance(&h.all[i]); d <= distance {
			found = append(found, storage.Near{Ordinal: h.ordinals[i], Distance: d})
		}
	}
	h.mu.RUnlock()
	slices.SortFunc(found, func(a, b storage.Near) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	return found[:min(len(found), limit)]
}
