package registry

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Source implements [storage.Registry].
func (r *Registry) Source(ctx context.Context, key storage.SourceKey) (storage.Source, storage.Version, error) {
	var s storage.Source
	var v storage.Version
	var withdrawn time.Time
	err := r.source.QueryRowContext(ctx, key.Source, key.Department, key.Collection).
		Scan(append(append(scanSource(&s), scanVersion(&v)...), (*scanTime)(&withdrawn))...)
	if err != nil {
		return storage.Source{}, storage.Version{}, r.explain("look up source", err)
	}
	s.Withdrawn = !withdrawn.IsZero()
	return s, v, nil
}

// Content implements [storage.Registry].
func (r *Registry) Content(ctx context.Context, department, collection string, content []byte) (storage.Version, error) {
	var v storage.Version
	if err := r.content.QueryRowContext(ctx, blob(content), department, collection).Scan(scanVersion(&v)...); err != nil {
		return storage.Version{}, r.explain("look up content", err)
	}
	return v, nil
}

// Matches implements [storage.Registry].
func (r *Registry) Matches(ctx context.Context, scope storage.Scope, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Match, error) {
	matches, err := queryOrdinals(ctx, r.matches, ordinals, scanMatch)
	if err != nil {
		return nil, r.explain("look up ordinals", err)
	}
	found := make(map[storage.Ordinal]storage.Match, len(matches))
	for _, m := range matches {
		if scope.Covers(m.Document.Department) {
			found[m.Version.Ordinal] = m
		}
	}
	return found, nil
}

// queryOrdinals asks for any number of ordinals, by as many at a time as the
// statements take.
func queryOrdinals[T any](ctx context.Context, query byOrdinals, ordinals []storage.Ordinal, targets func(*T) []any) ([]T, error) {
	var all []T
	ctx, err := short(ctx)
	if err != nil {
		return nil, err
	}
	for len(ordinals) > 0 {
		statement, size := query.few, fewOrdinals
		if len(ordinals) > fewOrdinals {
			statement, size = query.many, manyOrdinals
		}
		chunk := ordinals[:min(size, len(ordinals))]
		ordinals = ordinals[len(chunk):]
		args := make([]any, size)
		for i := range args {
			args[i] = int64(0)
			if i < len(chunk) {
				args[i] = int64(chunk[i])
			}
		}
		rows, err := statement.QueryContext(ctx, args...)
		if err != nil {
			return nil, err
		}
		found, err := collect(rows, targets)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// short is the context of queries that take microseconds: the driver watches a
// context that can be canceled from a goroutine of its own, and starting that
// takes as long again.
func short(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// Places implements [storage.Registry]. A version that was stored without
// places has none: nil.
func (r *Registry) Places(ctx context.Context, ordinal storage.Ordinal) ([]byte, error) {
	doing := fmt.Sprintf("places of ordinal %d", ordinal)
	var sealed []byte
	ctx, err := short(ctx)
	if err != nil {
		return nil, r.explain(doing, err)
	}
	if err := r.places.QueryRowContext(ctx, ordinal).Scan(&sealed); err != nil {
		return nil, r.explain(doing, err)
	}
	places, err := r.seal.openPlaces(ordinal, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s: %w", doing, storage.ErrCorrupt, r.path, err)
	}
	if len(places) == 0 {
		return nil, nil
	}
	return places, nil
}

// Sketches implements [storage.Registry].
func (r *Registry) Sketches(ctx context.Context, ordinals []storage.Ordinal) (map[storage.Ordinal][]byte, error) {
	type row struct {
		ordinal storage.Ordinal
		sealed  []byte
	}
	rows, err := queryOrdinals(ctx, r.sketches, ordinals, func(s *row) []any { return []any{number[storage.Ordinal]{&s.ordinal}, &s.sealed} })
	if err != nil {
		return nil, r.explain("look up sketches", err)
	}
	sketches := make(map[storage.Ordinal][]byte, len(rows))
	for _, s := range rows {
		if sketches[s.ordinal], err = r.seal.openSketch(s.ordinal, s.sealed); err != nil {
			return nil, fmt.Errorf("sketch of ordinal %d: %w: %s: %w", s.ordinal, storage.ErrCorrupt, r.path, err)
		}
	}
	return sketches, nil
}

// Ordinals implements [storage.Registry].
func (r *Registry) Ordinals(ctx context.Context) ([]storage.Ordinal, error) {
	// All of them stand in an index, and few documents are withdrawn: so no row of a version is
	// read, which takes seconds at a cold start.
	rows, err := r.read.QueryContext(ctx, `SELECT ordinal FROM versions EXCEPT
		SELECT ordinal FROM versions WHERE document IN (SELECT id FROM documents WHERE withdrawn_at > 0) ORDER BY ordinal`)
	if err != nil {
		return nil, r.explain("list ordinals", err)
	}
	ordinals, err := collect(rows, scanOrdinal)
	return ordinals, r.explain("list ordinals", err)
}

// Document implements [storage.Registry].
func (r *Registry) Document(ctx context.Context, scope storage.Scope, id storage.DocumentID) (storage.Document, []storage.Version, []storage.Source, error) {
	var d storage.Document
	var versions []storage.Version
	var sources []storage.Source
	err := r.view(ctx, func(tx *sql.Tx) error {
		var err error
		if d, err = document(ctx, tx, scope, id); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT `+versionColumns+` FROM versions v WHERE v.document = $1 ORDER BY v.number`, id)
		if err != nil {
			return err
		}
		if versions, err = collect(rows, scanVersion); err != nil {
			return err
		}
		if err := gates(ctx, tx, id, versions); err != nil {
			return err
		}
		rows, err = tx.QueryContext(ctx, `SELECT `+sourceColumns+` FROM sources s WHERE s.document = $1 ORDER BY s.sequence`, id)
		if err != nil {
			return err
		}
		sources, err = collect(rows, scanSource)
		return err
	})
	if err != nil {
		return storage.Document{}, nil, nil, r.explain(fmt.Sprintf("document %s", id), err)
	}
	return d, versions, sources, nil
}

// gates adds what was measured of their pages to the versions of a document.
func gates(ctx context.Context, tx *sql.Tx, id storage.DocumentID, versions []storage.Version) error {
	type row struct {
		ordinal storage.Ordinal
		text    string
	}
	rows, err := tx.QueryContext(ctx, `SELECT g.ordinal, g.gates FROM gates g JOIN versions v ON v.ordinal = g.ordinal WHERE v.document = $1`, id)
	if err != nil {
		return err
	}
	stored, err := collect(rows, func(r *row) []any { return []any{number[storage.Ordinal]{&r.ordinal}, &r.text} })
	if err != nil {
		return err
	}
	for _, r := range stored {
		i := slices.IndexFunc(versions, func(v storage.Version) bool { return v.Ordinal == r.ordinal })
		var gates []*storage.Gate
		if err := decode(r.text, &gates); err != nil {
			return err
		}
		if i < 0 || len(gates) != len(versions[i].Pages) {
			return fmt.Errorf("%w: pages and what was measured of them differ in number", storage.ErrCorrupt)
		}
		for p, g := range gates {
			versions[i].Pages[p].Gate = g
		}
	}
	return nil
}

// document reads a document in a scope.
func document(ctx context.Context, tx *sql.Tx, scope storage.Scope, id storage.DocumentID) (storage.Document, error) {
	var d storage.Document
	err := tx.QueryRowContext(ctx, `SELECT `+documentColumns+` FROM documents d WHERE d.id = $1`, id).Scan(scanDocument(&d)...)
	if err != nil {
		return storage.Document{}, err
	}
	if !scope.Covers(d.Department) {
		return storage.Document{}, sql.ErrNoRows // so that both read the same
	}
	return d, nil
}

// Documents implements [storage.Registry].
func (r *Registry) Documents(ctx context.Context, scope storage.Scope, filter storage.DocumentFilter, cursor string, limit int) ([]storage.Match, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d documents: need at least 1", limit)
	}
	after, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("list documents: cursor: %w", storage.ErrNotFound)
	}
	var c condition
	c.where("d.sequence > " + c.arg(after))
	c.scope("d.department", scope)
	if filter.Department != "" {
		c.scope("d.department", storage.Branches(filter.Department))
	}
	if filter.Collection != "" {
		c.where("d.collection = " + c.arg(filter.Collection))
	}
	if filter.Source != "" {
		c.where("d.id IN (SELECT s.document FROM sources s WHERE s.source = " + c.arg(filter.Source) + ")")
	}
	if filter.Status != "" {
		c.where("v.status = " + c.arg(filter.Status))
	}
	for _, word := range filter.Words {
		like := ` LIKE ` + c.arg("%"+literal.Replace(strings.ToLower(word))+"%") + ` ESCAPE '\'`
		c.where(`(lower(d.title)` + like + ` OR EXISTS (SELECT 1 FROM sources s WHERE s.document = d.id AND lower(s.source)` + like + `))`)
	}
	query := `SELECT d.sequence, ` + matchColumns + `
		FROM documents d JOIN versions v ON v.document = d.id AND v.number = d.version` + c.String() + ` ORDER BY d.sequence`
	matches, next, err := list(ctx, r, query, c, limit, scanMatch)
	return matches, next, r.explain("list documents", err)
}

// literal takes from a word what LIKE would make of it.
var literal = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// list reads a part of a list, at most limit rows, and the cursor of the next part;
// empty if this is the last. The first column of the query is a sequence, and the
// others go where targets says.
func list[T any](ctx context.Context, r *Registry, query string, c condition, limit int, targets func(*T) []any) (all []T, next string, err error) {
	// One more than asked for tells whether there are more.
	rows, err := r.read.QueryContext(ctx, query+` LIMIT `+c.arg(int64(limit)+1), c.args...)
	if err != nil {
		return nil, "", err
	}
	var sequences []int64
	all, err = collect(rows, func(row *T) []any {
		sequences = append(sequences, 0)
		return append([]any{&sequences[len(sequences)-1]}, targets(row)...)
	})
	if err != nil {
		return nil, "", err
	}
	if len(all) > limit {
		all, next = all[:limit], r.cursor.encode(sequences[limit-1])
	}
	return all, next, nil
}

// collect reads all rows and closes them. The columns of a row go where targets
// says.
func collect[T any](rows *sql.Rows, targets func(*T) []any) ([]T, error) {
	defer func() { _ = rows.Close() }() // Err has told before
	var all []T
	for rows.Next() {
		all = append(all, *new(T))
		if err := rows.Scan(targets(&all[len(all)-1])...); err != nil {
			return nil, err
		}
	}
	return all, rows.Err()
}
