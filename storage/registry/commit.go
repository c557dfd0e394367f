package registry

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// ReserveOrdinals implements [storage.Registry].
func (r *Registry) ReserveOrdinals(ctx context.Context, n int) (storage.Ordinal, error) {
	if n < 1 {
		return 0, fmt.Errorf("reserve %d ordinals: need at least 1", n)
	}
	var last int64
	err := r.update(ctx, func(tx *sql.Tx) error {
		err := tx.StmtContext(ctx, r.count).QueryRowContext(ctx, n, "ordinal").Scan(&last)
		if err == nil && last > math.MaxUint32 {
			return fmt.Errorf("all %d have been given out", int64(math.MaxUint32))
		}
		return err
	})
	if err != nil {
		return 0, r.explain("reserve ordinals", err)
	}
	return storage.Ordinal(last - int64(n) + 1), nil
}

// Commit implements [storage.Registry]. A document needs its newest version,
// stored before or in the same changes; a source needs its version, and an item
// its job. Otherwise it is a conflict.
func (r *Registry) Commit(ctx context.Context, changes storage.Changes) error {
	// Sealing takes longer than storing: others may write meanwhile.
	sealed, err := r.seal.versions(changes.Versions)
	if err != nil {
		return fmt.Errorf("seal versions: %w", err)
	}
	reread, err := r.seal.versions(changes.Rereads)
	if err != nil {
		return fmt.Errorf("seal versions: %w", err)
	}
	if len(changes.Drawn)+len(changes.Rereads) > 0 {
		r.hashes.changing.Lock()
		defer r.hashes.changing.Unlock()
	}
	retired := false
	var gone []storage.Ordinal
	err = r.update(ctx, func(tx *sql.Tx) error {
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		var err error
		if retired, err = w.commit(changes, sealed, reread); err != nil {
			return err
		}
		if err = w.draw(changes.Drawn, r.seal); err != nil {
			return err
		}
		gone = w.gone
		return w.emit(changes.Events...)
	})
	if err != nil {
		return r.explain("commit to registry", err)
	}
	r.hashes.change(gone, changes.Drawn)
	if retired {
		// The items of older jobs are invisible already. If removing them fails,
		// the changes stand nevertheless, and the next sweep removes them.
		_ = r.sweep(ctx)
	}
	return nil
}

// writer carries out changes in a transaction.
type writer struct {
	ctx      context.Context
	tx       *sql.Tx
	sequence int64             // the last number taken
	gone     []storage.Ordinal // drawings that were removed
	*statements
}

// commit stores changes, each after what it refers to. It reports whether it
// retired jobs.
func (w *writer) commit(changes storage.Changes, sealed, reread []sealedVersion) (retired bool, err error) {
	if err := w.reserve(len(changes.Documents) + len(changes.Sources) + len(changes.Jobs) + len(changes.Gaps)); err != nil {
		return false, err
	}
	for _, d := range changes.Documents {
		err := w.exec(w.putDocument, d.ID, w.next(), d.Title, d.Department, d.Classification, d.Collection, d.Version,
			micros(d.PublishedAt), micros(d.CreatedAt), micros(d.UpdatedAt))
		if err != nil {
			return false, fmt.Errorf("document %s: %w", d.ID, err)
		}
	}
	for i, v := range changes.Versions {
		if err := w.version(v, sealed[i]); err != nil {
			return false, fmt.Errorf("document %s version %d: %w", v.Document, v.Number, err)
		}
	}
	for i, v := range changes.Rereads {
		if err := w.reread(v, reread[i]); err != nil {
			return false, fmt.Errorf("document %s version %d: %w", v.Document, v.Number, err)
		}
	}
	for _, d := range changes.Documents {
		// Without its first version a document was deleted after the caller read it.
		for _, version := range []int{1, d.Version} {
			var n int
			if err := w.row(w.hasVersion, d.ID, version).Scan(&n); err != nil {
				return false, fmt.Errorf("document %s: %w", d.ID, err)
			}
			if n == 0 {
				return false, fmt.Errorf("document %s: %w: its version %d is not stored", d.ID, storage.ErrConflict, version)
			}
		}
	}
	for _, s := range changes.Sources {
		err := w.exec(w.putSource, s.Source, s.Department, s.Collection, w.next(), s.Document, s.Version, blob(s.Revision), micros(s.SeenAt))
		if err != nil {
			return false, fmt.Errorf("source of document %s version %d: %w", s.Document, s.Version, err)
		}
	}
	for _, j := range changes.Jobs {
		inserted, err := w.job(j)
		if err == nil && inserted {
			err = w.retire(j)
			retired = true
		}
		if err != nil {
			return false, fmt.Errorf("job %s: %w", j.ID, err)
		}
	}
	if err := w.items(changes.Items); err != nil {
		return false, err
	}
	for _, key := range changes.Filled {
		if err := w.exec(w.dropGap, key.Source, key.Department, key.Collection); err != nil {
			return false, fmt.Errorf("gap: %w", err)
		}
	}
	for _, g := range changes.Gaps {
		if err := w.gap(g); err != nil {
			return false, fmt.Errorf("gap: %w", err)
		}
	}
	return retired, nil
}

// reserve takes n numbers of the sequence for next. The counter stays locked
// until the transaction ends, so numbers appear to readers in their order.
func (w *writer) reserve(n int) error {
	if n == 0 {
		return nil
	}
	var last int64
	if err := w.row(w.count, n, "sequence").Scan(&last); err != nil {
		return fmt.Errorf("take numbers: %w", err)
	}
	w.sequence = last - int64(n)
	return nil
}

func (w *writer) next() int64 {
	w.sequence++
	return w.sequence
}

func (w *writer) version(v storage.Version, sealed sealedVersion) error {
	pages, err := encode(columns(v.Pages))
	if err != nil {
		return err
	}
	err = w.exec(w.addVersion, v.Ordinal, v.Document, v.Number, blob(v.Content), v.Size, v.MediaType, int64(v.Window),
		v.Status, v.Reason, v.TextBytes, micros(v.CreatedAt), len(v.Pages), pages, v.Drawn, v.Undrawn)
	if err != nil {
		return err
	}
	return w.apart(v, sealed)
}

// apart stores what stands apart from the row of a version.
func (w *writer) apart(v storage.Version, sealed sealedVersion) error {
	if err := w.exec(w.addPlaces, v.Ordinal, sealed.places); err != nil {
		return err
	}
	if gates := gatesOf(v.Pages); gates != nil {
		text, err := encode(gates)
		if err != nil {
			return err
		}
		if err := w.exec(w.addGates, v.Ordinal, text); err != nil {
			return err
		}
	}
	if sealed.sketch == nil {
		return nil
	}
	return w.exec(w.addSketch, v.Ordinal, sealed.sketch, sealed.second)
}

// gatesOf returns what was measured of each page; nil if nothing was.
func gatesOf(pages []storage.Page) []*storage.Gate {
	gates := make([]*storage.Gate, len(pages))
	some := false
	for i, p := range pages {
		gates[i] = p.Gate
		some = some || p.Gate != nil
	}
	if !some {
		return nil
	}
	return gates
}

// reread replaces what was read of a version.
func (w *writer) reread(v storage.Version, sealed sealedVersion) error {
	var old storage.Ordinal
	err := w.row(w.ordinalOf, v.Document, v.Number).Scan(number[storage.Ordinal]{&old})
	if err == sql.ErrNoRows {
		return fmt.Errorf("%w: it is not stored", storage.ErrConflict)
	}
	if err != nil {
		return err
	}
	if v.Drawn != 0 {
		if err := w.erase(old); err != nil {
			return err
		}
	}
	for _, table := range []string{"places", "sketches", "gates"} {
		if _, err := w.tx.ExecContext(w.ctx, `DELETE FROM `+table+` WHERE ordinal = $1`, old); err != nil {
			return err
		}
	}
	pages, err := encode(columns(v.Pages))
	if err != nil {
		return err
	}
	// The same bytes look the same: until they are drawn again they are known by what was drawn
	// before, which refers to the old ordinal for a moment longer than there is one.
	if _, err := w.tx.ExecContext(w.ctx, `PRAGMA defer_foreign_keys = 1`); err != nil {
		return err
	}
	err = w.exec(w.replaceVersion, v.Ordinal, v.MediaType, int64(v.Window), v.Status, v.Reason, v.TextBytes, len(v.Pages), pages, v.Drawn, v.Undrawn,
		blob(v.Content), v.Document, v.Number)
	if err != nil {
		return err
	}
	if _, err := w.tx.ExecContext(w.ctx, `UPDATE drawings SET version = $1 WHERE version = $2`, v.Ordinal, old); err != nil {
		return err
	}
	if _, err := w.tx.ExecContext(w.ctx, `PRAGMA defer_foreign_keys = 0`); err != nil {
		return err
	}
	return w.apart(v, sealed)
}

// job stores a job and reports whether it is new.
func (w *writer) job(j storage.Job) (inserted bool, err error) {
	if j.Outcomes == nil {
		j.Outcomes = map[string]int{} // so that who reads the job can count on
	}
	outcomes, err := encode(j.Outcomes)
	if err != nil {
		return false, err
	}
	estimate, err := encode(j.Estimate)
	if err != nil {
		return false, err
	}
	mine := w.next()
	var sequence int64
	err = w.row(w.putJob, j.ID, mine, j.Source, j.Prefix, j.Department, j.Classification, j.Collection, j.State, j.Error, j.Checkpoint, outcomes,
		j.Listed, j.Bytes, micros(j.CreatedAt), micros(j.UpdatedAt), micros(j.EndedAt), bit(j.Again),
		j.Kind, bit(j.Scheduled), j.Expected, j.ExpectedBytes, j.Rate, estimate).Scan(&sequence)
	return sequence == mine, err
}

// items numbers and stores items. Numbers go up by one within a job, even when
// its first items are gone.
func (w *writer) items(items []storage.Item) error {
	counts := make(map[storage.JobID]int64)
	for _, item := range items {
		counts[item.Job]++
	}
	for job, n := range counts {
		var last int64
		err := w.row(w.numberItems, n, job).Scan(&last)
		if err == sql.ErrNoRows {
			err = fmt.Errorf("%w: no such job", storage.ErrConflict)
		}
		if err != nil {
			return fmt.Errorf("items of job %s: %w", job, err)
		}
		counts[job] = last - n
	}
	for _, item := range items {
		counts[item.Job]++
		err := w.exec(w.addItem, item.Job, counts[item.Job], item.Source, item.Document, item.Outcome, item.Status, item.Reason, item.Pages, item.Characters)
		if err != nil {
			return fmt.Errorf("items of job %s: %w", item.Job, err)
		}
	}
	return nil
}

func (w *writer) exec(s *sql.Stmt, args ...any) error {
	_, err := w.tx.StmtContext(w.ctx, s).ExecContext(w.ctx, args...)
	return err
}

func (w *writer) row(s *sql.Stmt, args ...any) *sql.Row {
	return w.tx.StmtContext(w.ctx, s).QueryRowContext(w.ctx, args...)
}

// Patch implements [storage.Registry].
func (r *Registry) Patch(ctx context.Context, scope storage.Scope, id storage.DocumentID, patch storage.DocumentPatch) (storage.Document, error) {
	var d storage.Document
	err := r.update(ctx, func(tx *sql.Tx) error {
		var err error
		if d, err = document(ctx, tx, scope, id); err != nil {
			return err
		}
		if patch.Title != nil {
			d.Title = *patch.Title
		}
		if patch.Classification != nil {
			d.Classification = *patch.Classification
		}
		if patch.PublishedAt != nil {
			d.PublishedAt = stored(*patch.PublishedAt)
		}
		if patch.Recipient != nil {
			d.Recipient = *patch.Recipient
		}
		d.UpdatedAt = stored(time.Now())
		_, err = tx.ExecContext(ctx, `UPDATE documents SET title = $1, classification = $2, published_at = $3, recipient = $4, updated_at = $5 WHERE id = $6`,
			d.Title, d.Classification, micros(d.PublishedAt), d.Recipient, micros(d.UpdatedAt), d.ID)
		return err
	})
	if err != nil {
		return storage.Document{}, r.explain(fmt.Sprintf("patch document %s", id), err)
	}
	return d, nil
}

// Delete implements [storage.Registry]. Versions, places, sketches, drawings and sources
// go with the document.
func (r *Registry) Delete(ctx context.Context, scope storage.Scope, id storage.DocumentID) ([]storage.Ordinal, error) {
	ordinals, err := r.retract(ctx, scope, id, func(tx *sql.Tx, _ storage.Document) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM documents WHERE id = $1`, id)
		return err
	})
	return ordinals, r.explain(fmt.Sprintf("delete document %s", id), err)
}

// Withdraw implements [storage.Registry]. Whatever look-ups need goes; what the versions
// were stays.
func (r *Registry) Withdraw(ctx context.Context, scope storage.Scope, id storage.DocumentID, w storage.Withdrawal) ([]storage.Ordinal, error) {
	ordinals, err := r.retract(ctx, scope, id, func(tx *sql.Tx, d storage.Document) error {
		if !d.Withdrawn.At.IsZero() {
			return fmt.Errorf("%w: it was withdrawn before", storage.ErrConflict)
		}
		for _, table := range []string{"places", "sketches"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE ordinal IN (SELECT ordinal FROM versions WHERE document = $1)`, id); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM drawings WHERE version IN (SELECT ordinal FROM versions WHERE document = $1)`, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE documents SET withdrawn_at = $1, withdrawn_by = $2, withdrawn_reason = $3, updated_at = $1 WHERE id = $4`,
			micros(w.At), w.By, w.Reason, id)
		return err
	})
	return ordinals, r.explain(fmt.Sprintf("withdraw document %s", id), err)
}

// retract takes a document of a scope out of what is looked up, and returns the ordinals of
// its versions and drawings.
func (r *Registry) retract(ctx context.Context, scope storage.Scope, id storage.DocumentID, change func(*sql.Tx, storage.Document) error) ([]storage.Ordinal, error) {
	r.hashes.changing.Lock()
	defer r.hashes.changing.Unlock()
	var ordinals, drawn []storage.Ordinal
	err := r.update(ctx, func(tx *sql.Tx) error {
		d, err := document(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT ordinal FROM versions WHERE document = $1 ORDER BY ordinal`, id)
		if err != nil {
			return err
		}
		if ordinals, err = collect(rows, scanOrdinal); err != nil {
			return err
		}
		if drawn, err = drawingsOf(ctx, tx, false, ordinals...); err != nil {
			return err
		}
		return change(tx, d)
	})
	if err != nil {
		return nil, err
	}
	r.hashes.change(drawn, nil)
	ordinals = append(ordinals, drawn...)
	slices.Sort(ordinals)
	return ordinals, nil
}
