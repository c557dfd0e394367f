package registry

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sealprint/sealprint/storage"
)

// sweepChunk is how many items one transaction removes. A bulk registration may
// leave millions; others write in between.
const sweepChunk = 10_000

// Job implements [storage.Registry].
func (r *Registry) Job(ctx context.Context, scope storage.Scope, id storage.JobID) (storage.Job, error) {
	var j storage.Job
	err := r.read.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id).Scan(scanJob(&j)...)
	if err == nil && !scope.Covers(j.Department) {
		err = sql.ErrNoRows
	}
	if err != nil {
		return storage.Job{}, r.explain(fmt.Sprintf("job %s", id), err)
	}
	return j, nil
}

// Jobs implements [storage.Registry].
func (r *Registry) Jobs(ctx context.Context, scope storage.Scope, running bool, cursor string, limit int) ([]storage.Job, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("list %d jobs: need at least 1", limit)
	}
	before, ok := r.cursor.decode(cursor)
	if !ok {
		return nil, "", fmt.Errorf("list jobs: cursor: %w", storage.ErrNotFound)
	}
	var c condition
	if cursor != "" {
		c.where("sequence < " + c.arg(before))
	}
	c.scope("department", scope)
	if running {
		c.where("state = " + c.arg(storage.JobRunning))
	}
	query := `SELECT sequence, ` + jobColumns + ` FROM jobs` + c.String() + ` ORDER BY sequence DESC`
	jobs, next, err := list(ctx, r, query, c, limit, scanJob)
	return jobs, next, r.explain("list jobs", err)
}

// Items implements [storage.Registry]. A job that does not exist has no items.
func (r *Registry) Items(ctx context.Context, id storage.JobID, after int64, limit int) ([]storage.Item, error) {
	if limit < 1 {
		return nil, fmt.Errorf("list %d items: need at least 1", limit)
	}
	doing := fmt.Sprintf("items of job %s", id)
	rows, err := r.read.QueryContext(ctx, `SELECT i.job, i.sequence, i.source, i.document, i.outcome, i.status, i.reason, i.pages, i.characters
		FROM items i JOIN jobs j ON j.id = i.job
		WHERE i.job = $1 AND i.sequence > $2 AND j.retired = 0 ORDER BY i.sequence LIMIT $3`, id, after, limit)
	if err != nil {
		return nil, r.explain(doing, err)
	}
	items, err := collect(rows, scanItem)
	return items, r.explain(doing, err)
}

// retire makes the items of the jobs before j invisible. What is scheduled comes so often
// that only the last is kept, and it retires no other.
func (w *writer) retire(j storage.Job) error {
	if j.Scheduled {
		_, err := w.tx.ExecContext(w.ctx, `DELETE FROM jobs WHERE source = $1 AND prefix = $2 AND scheduled = 1 AND state <> $3 AND id <> $4`,
			j.Source, j.Prefix, storage.JobRunning, j.ID)
		return err
	}
	_, err := w.tx.ExecContext(w.ctx, `UPDATE jobs SET retired = 1 WHERE source = $1 AND prefix = $2 AND id <> $3`, j.Source, j.Prefix, j.ID)
	return err
}

// sweep removes the items of retired jobs in small transactions. It may be
// broken off at any point: a later sweep goes on.
func (r *Registry) sweep(ctx context.Context) error {
	rows, err := r.read.QueryContext(ctx, `SELECT id, items FROM jobs
		WHERE retired = 1 AND EXISTS (SELECT 1 FROM items WHERE items.job = jobs.id)`)
	if err != nil {
		return fmt.Errorf("find old items: %w", err)
	}
	type job struct {
		id    storage.JobID
		items int64
	}
	jobs, err := collect(rows, func(j *job) []any { return []any{&j.id, &j.items} })
	if err != nil {
		return fmt.Errorf("find old items: %w", err)
	}
	for _, j := range jobs {
		for last := int64(sweepChunk); last < j.items+sweepChunk; last += sweepChunk {
			if _, err := r.write.ExecContext(ctx, `DELETE FROM items WHERE job = $1 AND sequence <= $2`, j.id, last); err != nil {
				return fmt.Errorf("remove old items: %w", err)
			}
		}
	}
	return nil
}
