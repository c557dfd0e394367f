package registry

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Activity implements [storage.Registry].
func (r *Registry) Activity(ctx context.Context, scope storage.Scope, from time.Time, days int) (storage.Activity, error) {
	a := storage.Activity{Registered: make([]int, days), Open: map[storage.AlertState]int{}, Decided: map[storage.AlertState]int{}}
	err := r.view(ctx, func(tx *sql.Tx) error {
		if err := countDocuments(ctx, tx, scope, from, &a); err != nil {
			return err
		}
		return countAlerts(ctx, tx, scope, from, &a)
	})
	return a, r.explain("count what happened", err)
}

func countDocuments(ctx context.Context, tx *sql.Tx, scope storage.Scope, from time.Time, a *storage.Activity) error {
	var all condition
	all.scope("department", scope)
	withdrawn := condition{slices.Clone(all.terms), all.args}
	withdrawn.where("withdrawn_at > 0")
	err := tx.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM documents`+all.String()+`) - (SELECT COUNT(*) FROM documents`+withdrawn.String()+`),
		(SELECT COUNT(*) FROM gaps`+all.String()+`)`, all.args...).Scan(number[int]{&a.Documents}, number[int]{&a.Gaps})
	if err != nil {
		return err
	}
	const day = 24 * time.Hour / time.Microsecond
	var c condition
	since := c.arg(micros(from))
	c.where("created_at >= " + since)
	c.where("created_at < " + c.arg(micros(from.Add(time.Duration(len(a.Registered))*24*time.Hour))))
	c.scope("department", scope)
	rows, err := tx.QueryContext(ctx, `SELECT (created_at - `+since+`) / `+c.arg(int64(day))+` AS day, COUNT(*) FROM documents`+c.String()+` GROUP BY day`, c.args...)
	if err != nil {
		return err
	}
	counts, err := collect(rows, func(n *[2]int) []any { return []any{number[int]{&n[0]}, number[int]{&n[1]}} })
	for _, n := range counts {
		a.Registered[n[0]] = n[1]
	}
	return err
}

func countAlerts(ctx context.Context, tx *sql.Tx, scope storage.Scope, from time.Time, a *storage.Activity) error {
	type count struct {
		state  storage.AlertState
		n      int
		oldest time.Time
	}
	scan := func(n *count) []any { return []any{(*string)(&n.state), number[int]{&n.n}, (*scanTime)(&n.oldest)} }
	const undecided = `('` + string(storage.AlertNew) + `', '` + string(storage.AlertTriage) + `')`

	var open condition
	open.where("state IN " + undecided)
	open.scope("department", scope)
	rows, err := tx.QueryContext(ctx, `SELECT state, COUNT(*), MIN(created_at) FROM alerts`+open.String()+` GROUP BY state`, open.args...)
	if err != nil {
		return err
	}
	counts, err := collect(rows, scan)
	if err != nil {
		return err
	}
	for _, n := range counts {
		a.Open[n.state] = n.n
		if a.OldestOpen.IsZero() || n.oldest.Before(a.OldestOpen) {
			a.OldestOpen = n.oldest
		}
	}

	// Whatever changed an alert last made it what it is.
	var decided condition
	decided.where("c.at >= " + decided.arg(micros(from)))
	decided.where("a.state NOT IN " + undecided)
	decided.scope("a.department", scope)
	rows, err = tx.QueryContext(ctx, `SELECT a.state, COUNT(DISTINCT a.id), 0 FROM alert_changes c JOIN alerts a ON a.id = c.alert`+decided.String()+` GROUP BY a.state`, decided.args...)
	if err != nil {
		return err
	}
	if counts, err = collect(rows, scan); err != nil {
		return err
	}
	for _, n := range counts {
		a.Decided[n.state] = n.n
	}
	return nil
}
