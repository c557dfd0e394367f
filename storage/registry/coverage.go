package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sealprint/sealprint/storage"
)

func scanGap(g *storage.Gap) []any {
	return []any{&g.Department, &g.Collection, &g.Source, &g.Outcome, &g.Status, &g.Reason, (*scanBytes)(&g.Revision), number[int]{&g.Tries},
		(*scanTime)(&g.Since), (*scanTime)(&g.TriedAt)}
}

// gap stores a file that made no document.
func (w *writer) gap(g storage.Gap) error {
	var status string
	err := w.row(w.gapStatus, g.Source, g.Department, g.Collection).Scan(&status)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	known := err == nil
	if err := w.exec(w.putGap, g.Source, g.Department, g.Collection, w.next(), g.Outcome, g.Status, g.Reason, blob(g.Revision),
		micros(g.Since), micros(g.TriedAt)); err != nil {
		return err
	}
	if known && status == g.Status {
		return nil
	}
	return w.emit(storage.Event{ID: storage.EventID(storage.NewID("evt")), Type: storage.DocumentFailed, Department: g.Department, At: g.TriedAt})
}

// Gap implements [storage.Registry].
func (r *Registry) Gap(ctx context.Context, key storage.SourceKey) (storage.Gap, error) {
	var g storage.Gap
	err := r.gap.QueryRowContext(ctx, key.Source, key.Department, key.Collection).Scan(scanGap(&g)...)
	if err != nil {
		return storage.Gap{}, r.explain("look up gap", err)
	}
	return g, nil
}

// Gaps implements [storage.Registry].
func (r *Registry) Gaps(ctx context.Context, scope storage.Scope, filter storage.GapFilter, cursor string, limit int) ([]storage.Gap, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d gaps: need at least 1", limit)
	}
	after, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("list gaps: cursor: %w", storage.ErrNotFound)
	}
	var c condition
	c.where("sequence > " + c.arg(after))
	c.scope("department", scope)
	if filter.Department != "" {
		c.scope("department", storage.Branches(filter.Department))
	}
	if filter.Under != "" {
		c.where("source >= " + c.arg(filter.Under))
		if end := following(filter.Under); end != "" {
			c.where("source < " + c.arg(end))
		}
	}
	if filter.Status != "" {
		c.where("status = " + c.arg(filter.Status))
	}
	gaps, next, err := list(ctx, r, `SELECT sequence, `+gapColumns+` FROM gaps`+c.String()+` ORDER BY sequence`, c, limit, scanGap)
	return gaps, next, r.explain("list gaps", err)
}

// following is what follows all that begins with a prefix, in the order of bytes; empty if
// nothing does.
func following(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return ""
	}
	b[len(b)-1]++
	return string(b)
}

// Coverage implements [storage.Registry].
func (r *Registry) Coverage(ctx context.Context, scope storage.Scope) ([]storage.Covered, error) {
	var c condition
	c.arg(r.rotation.Last) // $1
	c.where("d.withdrawn_at = 0")
	c.scope("d.department", scope)
	documents := `SELECT d.department AS department, v.status AS status, 1 AS documents, v.page_count AS pages,
		CASE WHEN v.drawn = 0 OR v.undrawn <> '' THEN 1 ELSE 0 END AS undrawn,
		CASE WHEN EXISTS (SELECT 1 FROM sources s WHERE s.document = d.id)
			AND NOT EXISTS (SELECT 1 FROM sources s WHERE s.document = d.id AND s.gone_at = 0) THEN 1 ELSE 0 END AS gone, 0 AS gaps,
		CASE WHEN $1 > 0 AND ` + isEarlier + ` THEN 1 ELSE 0 END AS earlier
		FROM documents d JOIN versions v ON v.document = d.id AND v.number = d.version` + c.String()
	g := condition{args: c.args}
	g.scope("department", scope)
	gaps := `SELECT department, status, 0, 0, 0, 0, 1, 0 FROM gaps` + g.String()
	rows, err := r.read.QueryContext(ctx, `SELECT department, status, SUM(documents), SUM(pages), SUM(undrawn), SUM(gone), SUM(gaps), SUM(earlier)
		FROM (`+documents+` UNION ALL `+gaps+`) AS what GROUP BY department, status ORDER BY department, status`, g.args...)
	if err != nil {
		return nil, r.explain("count what is covered", err)
	}
	covered, err := collect(rows, func(c *storage.Covered) []any {
		return []any{&c.Department, &c.Status, number[int]{&c.Documents}, number[int64]{&c.Pages}, number[int]{&c.Undrawn}, number[int]{&c.Gone}, number[int]{&c.Gaps}, number[int]{&c.Earlier}}
	})
	return covered, r.explain("count what is covered", err)
}

// SourcesAfter implements [storage.Registry].
func (r *Registry) SourcesAfter(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	var c condition
	c.where("gone_at = 0")
	c.where("source >= " + c.arg(prefix))
	c.where("source > " + c.arg(after))
	if end := following(prefix); end != "" {
		c.where("source < " + c.arg(end))
	}
	rows, err := r.read.QueryContext(ctx, `SELECT DISTINCT source FROM sources`+c.String()+` ORDER BY source LIMIT `+c.arg(limit), c.args...)
	if err != nil {
		return nil, r.explain("list sources", err)
	}
	sources, err := collect(rows, func(s *string) []any { return []any{s} })
	return sources, r.explain("list sources", err)
}

// SourcesAt implements [storage.Registry].
func (r *Registry) SourcesAt(ctx context.Context, uri string) ([]storage.Source, error) {
	rows, err := r.read.QueryContext(ctx, `SELECT `+sourceColumns+` FROM sources s WHERE s.source = $1 ORDER BY s.sequence`, uri)
	if err != nil {
		return nil, r.explain("look up source", err)
	}
	sources, err := collect(rows, scanSource)
	return sources, r.explain("look up source", err)
}

// Gone implements [storage.Registry].
func (r *Registry) Gone(ctx context.Context, uri string, at time.Time) ([]storage.DocumentID, error) {
	var left []storage.DocumentID
	err := r.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE sources SET gone_at = $1 WHERE source = $2 AND gone_at = 0`, micros(at), uri); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM gaps WHERE source = $1`, uri); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT DISTINCT s.document FROM sources s JOIN documents d ON d.id = s.document
			WHERE s.source = $1 AND d.withdrawn_at = 0
			AND NOT EXISTS (SELECT 1 FROM sources o WHERE o.document = s.document AND o.gone_at = 0) ORDER BY s.document`, uri)
		if err != nil {
			return err
		}
		left, err = collect(rows, func(id *storage.DocumentID) []any { return []any{(*string)(id)} })
		return err
	})
	return left, r.explain("note what is gone", err)
}

// Notice implements [storage.Registry].
func (r *Registry) Notice(ctx context.Context, place string, keys []string) error {
	return r.explain("keep notices", r.update(ctx, func(tx *sql.Tx) error {
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if err := w.reserve(len(keys)); err != nil {
			return err
		}
		for _, key := range keys {
			_, err := tx.ExecContext(ctx, `INSERT INTO notices (place, object, sequence) VALUES ($1, $2, $3)
				ON CONFLICT (place, object) DO UPDATE SET sequence = excluded.sequence`, place, key, w.next())
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Notices implements [storage.Registry].
func (r *Registry) Notices(ctx context.Context, place string, after int64, limit int) ([]storage.Notice, error) {
	rows, err := r.read.QueryContext(ctx, `SELECT sequence, place, object FROM notices WHERE place = $1 AND sequence > $2 ORDER BY sequence LIMIT $3`, place, after, limit)
	if err != nil {
		return nil, r.explain("list notices", err)
	}
	notices, err := collect(rows, func(n *storage.Notice) []any { return []any{number[int64]{&n.Sequence}, &n.Place, &n.Key} })
	return notices, r.explain("list notices", err)
}

// Noticed implements [storage.Registry].
func (r *Registry) Noticed(ctx context.Context, notices []storage.Notice) error {
	return r.explain("forget notices", r.update(ctx, func(tx *sql.Tx) error {
		for _, n := range notices {
			if _, err := tx.ExecContext(ctx, `DELETE FROM notices WHERE place = $1 AND object = $2 AND sequence = $3`, n.Place, n.Key, n.Sequence); err != nil {
				return err
			}
		}
		return nil
	}))
}
