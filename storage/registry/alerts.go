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

const (
	releaseColumns = `id, document, kind, since, until, pages, passages, authority, instrument, alert, created_by, created_at, revoked_at, revoked_by`
	alertColumns   = `id, department, document, version, state, channel, score, expected, characters, regions, flood, late, posts,
	first_seen_at, last_seen_at, created_at, updated_at`
	alertPostColumns = `alert, post, thread, seen_at, score, passages`

	postColumns = `id, sequence, content, thread, verdict, alerts, seen_at, taken_at`
	postQuery   = `SELECT ` + postColumns + ` FROM posts WHERE id = $1`

	// keptPosts is how many posts of an alert are named: the newest.
	keptPosts = 1000
	// shownPosts is how many of them are read with the alert.
	shownPosts = 100
)

func scanRelease(r *storage.Release) []any {
	return []any{(*string)(&r.ID), (*string)(&r.Document), (*string)(&r.Kind), (*scanTime)(&r.From), (*scanTime)(&r.Until),
		scanJSON{&r.Pages}, scanJSON{&r.Passages}, &r.Authority, &r.Instrument, (*string)(&r.Alert), &r.CreatedBy, (*scanTime)(&r.CreatedAt),
		(*scanTime)(&r.RevokedAt), &r.RevokedBy}
}

func scanAlert(a *storage.Alert) []any {
	return []any{(*string)(&a.ID), &a.Department, (*string)(&a.Document), number[int]{&a.Version}, (*string)(&a.State), &a.Channel,
		&a.Score, &a.Expected, number[int]{&a.Characters}, scanJSON{&a.Regions}, flag{&a.Flood}, flag{&a.Late}, number[int]{&a.Posts},
		(*scanTime)(&a.FirstSeenAt), (*scanTime)(&a.LastSeenAt), (*scanTime)(&a.CreatedAt), (*scanTime)(&a.UpdatedAt)}
}

func scanChange(c *storage.AlertChange) []any {
	return []any{(*string)(&c.Alert), number[int]{&c.Sequence}, (*scanTime)(&c.At), &c.Actor, (*string)(&c.From), (*string)(&c.To), &c.Reason, (*string)(&c.Release)}
}

func scanAlertPost(p *storage.AlertPost) []any {
	return []any{(*string)(&p.Alert), &p.Post, &p.Thread, (*scanTime)(&p.SeenAt), &p.Score, scanJSON{&p.Passages}}
}

func scanPost(p *storage.Post) []any {
	return []any{&p.ID, number[int64]{&p.Sequence}, (*scanBytes)(&p.Content), &p.Thread, &p.Verdict, scanJSON{&p.Alerts}, (*scanTime)(&p.SeenAt), (*scanTime)(&p.TakenAt)}
}

// scanJSON reads what encode wrote.
type scanJSON struct{ to any }

func (s scanJSON) Scan(value any) error { return decode(value, s.to) }

// AddRelease implements [storage.Registry].
func (r *Registry) AddRelease(ctx context.Context, scope storage.Scope, release storage.Release) error {
	return r.explain(fmt.Sprintf("release document %s", release.Document), r.update(ctx, func(tx *sql.Tx) error {
		if _, err := document(ctx, tx, scope, release.Document); err != nil {
			return err
		}
		return (&writer{ctx: ctx, tx: tx, statements: &r.statements}).release(release)
	}))
}

func (w *writer) release(r storage.Release) error {
	pages, err := encode(r.Pages)
	if err != nil {
		return err
	}
	passages, err := encode(r.Passages)
	if err != nil {
		return err
	}
	if err := w.reserve(1); err != nil {
		return err
	}
	_, err = w.tx.ExecContext(w.ctx, `INSERT INTO releases (sequence, `+releaseColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		w.next(), r.ID, r.Document, r.Kind, micros(r.From), micros(r.Until), pages, passages, r.Authority, r.Instrument, r.Alert, r.CreatedBy,
		micros(r.CreatedAt), micros(r.RevokedAt), r.RevokedBy)
	return err
}

// Releases implements [storage.Registry].
func (r *Registry) Releases(ctx context.Context, scope storage.Scope, id storage.DocumentID) ([]storage.Release, error) {
	var all []storage.Release
	err := r.view(ctx, func(tx *sql.Tx) error {
		if _, err := document(ctx, tx, scope, id); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT `+releaseColumns+` FROM releases WHERE document = $1 ORDER BY sequence`, id)
		if err != nil {
			return err
		}
		all, err = collect(rows, scanRelease)
		return err
	})
	return all, r.explain(fmt.Sprintf("list releases of document %s", id), err)
}

// ReleasesOf implements [storage.Registry].
func (r *Registry) ReleasesOf(ctx context.Context, ids []storage.DocumentID) (map[storage.DocumentID][]storage.Release, error) {
	var c condition
	c.where("revoked_at = 0")
	c.among("document", ids)
	rows, err := r.read.QueryContext(ctx, `SELECT `+releaseColumns+` FROM releases`+c.String()+` ORDER BY sequence`, c.args...)
	if err != nil {
		return nil, r.explain("look up releases", err)
	}
	all, err := collect(rows, scanRelease)
	if err != nil {
		return nil, r.explain("look up releases", err)
	}
	of := map[storage.DocumentID][]storage.Release{}
	for _, release := range all {
		of[release.Document] = append(of[release.Document], release)
	}
	return of, nil
}

// among limits a column to some values.
func (c *condition) among(column string, ids []storage.DocumentID) {
	if len(ids) == 0 {
		c.where("1 = 0")
		return
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = c.arg(string(id))
	}
	c.where(column + " IN (" + strings.Join(names, ", ") + ")")
}

// RevokeRelease implements [storage.Registry].
func (r *Registry) RevokeRelease(ctx context.Context, scope storage.Scope, id storage.DocumentID, which storage.ReleaseID, by string, at time.Time) (storage.Release, error) {
	var release storage.Release
	err := r.update(ctx, func(tx *sql.Tx) error {
		if _, err := document(ctx, tx, scope, id); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `SELECT `+releaseColumns+` FROM releases WHERE id = $1 AND document = $2`, which, id).Scan(scanRelease(&release)...)
		if err != nil || !release.RevokedAt.IsZero() {
			return err
		}
		release.RevokedAt, release.RevokedBy = stored(at), by
		_, err = tx.ExecContext(ctx, `UPDATE releases SET revoked_at = $1, revoked_by = $2 WHERE id = $3`, micros(at), by, which)
		return err
	})
	if err != nil {
		return storage.Release{}, r.explain(fmt.Sprintf("revoke release %s", which), err)
	}
	return release, nil
}

// Post implements [storage.Registry].
func (r *Registry) Post(ctx context.Context, id string) (storage.Post, error) {
	var p storage.Post
	if err := r.post.QueryRowContext(ctx, id).Scan(scanPost(&p)...); err != nil {
		return storage.Post{}, r.explain("look up post", err)
	}
	return p, nil
}

// Prints implements [storage.Registry].
func (r *Registry) Prints(ctx context.Context, after int64, limit int) ([]storage.Print, error) {
	ctx, err := short(ctx)
	if err != nil {
		return nil, r.explain("list fingerprints of posts", err)
	}
	rows, err := r.prints.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, r.explain("list fingerprints of posts", err)
	}
	prints, err := collect(rows, func(p *storage.Print) []any { return []any{number[int64]{&p.Sequence}, (*scanBytes)(&p.Fingerprints)} })
	if err != nil {
		return nil, r.explain("list fingerprints of posts", err)
	}
	for i := range prints {
		p := &prints[i]
		if p.Fingerprints, p.KeyID, err = r.seal.openPost(p.Sequence, p.Fingerprints); err != nil {
			return nil, fmt.Errorf("fingerprints of post %d: %w: %s: %w", p.Sequence, storage.ErrCorrupt, r.path, err)
		}
	}
	return prints, nil
}

// PostAt implements [storage.Registry].
func (r *Registry) PostAt(ctx context.Context, sequence int64) (storage.Post, error) {
	var p storage.Post
	err := r.read.QueryRowContext(ctx, `SELECT `+postColumns+` FROM posts WHERE sequence = $1`, sequence).Scan(scanPost(&p)...)
	if err != nil {
		return storage.Post{}, r.explain("look up post", err)
	}
	return p, nil
}

// ForgetPosts implements [storage.Registry].
func (r *Registry) ForgetPosts(ctx context.Context, before time.Time, fingerprintsOnly bool, limit int) (int, error) {
	table := "posts"
	if fingerprintsOnly {
		table = "post_fingerprints"
	}
	var n int64
	err := r.update(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE sequence IN (SELECT sequence FROM `+table+` WHERE taken_at < $1 ORDER BY taken_at LIMIT $2)`,
			micros(before), limit)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return int(n), r.explain("forget posts", err)
}

// LookedBack implements [storage.Registry].
func (r *Registry) LookedBack(ctx context.Context) (storage.Ordinal, error) {
	var until storage.Ordinal
	err := r.read.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = 'looked back'`).Scan(number[storage.Ordinal]{&until})
	return until, r.explain("ask how far posts were searched", err)
}

// LookBack implements [storage.Registry].
func (r *Registry) LookBack(ctx context.Context, until storage.Ordinal) error {
	_, err := r.write.ExecContext(ctx, `UPDATE counters SET value = $1 WHERE name = 'looked back'`, int64(until))
	return r.explain("note how far posts were searched", err)
}

// TakeIn implements [storage.Registry].
func (r *Registry) TakeIn(ctx context.Context, changes storage.Intake) error {
	return r.explain("take posts in", r.update(ctx, func(tx *sql.Tx) error {
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if err := w.reserve(len(changes.Posts) + len(changes.Alerts)); err != nil {
			return err
		}
		for _, p := range changes.Posts {
			if err := w.takePost(p, r.seal); err != nil {
				return fmt.Errorf("post: %w", err)
			}
		}
		for _, a := range changes.Alerts {
			if err := w.alert(a); err != nil {
				return fmt.Errorf("alert %s: %w", a.ID, err)
			}
		}
		posts := map[storage.AlertID]int{}
		for _, a := range changes.Alerts {
			posts[a.ID] = a.Posts
		}
		for _, p := range slices.Backward(changes.AlertPosts) { // the last is the alert's newest
			passages, err := encode(p.Passages)
			if err != nil {
				return err
			}
			if err := w.exec(w.addAlertPost, p.Alert, posts[p.Alert], p.Post, p.Thread, micros(p.SeenAt), p.Score, passages); err != nil {
				return fmt.Errorf("post of alert %s: %w", p.Alert, err)
			}
			posts[p.Alert]--
		}
		for _, a := range changes.Alerts {
			if a.Posts > keptPosts {
				if err := w.exec(w.dropAlertPosts, a.ID, a.Posts-keptPosts); err != nil {
					return err
				}
			}
		}
		for _, late := range changes.Late {
			alerts, err := encode(late.Alerts)
			if err != nil {
				return err
			}
			if err := w.exec(w.setPostAlerts, alerts, late.Post); err != nil {
				return err
			}
		}
		return w.emit(changes.Events...)
	}))
}

func (w *writer) takePost(p storage.Post, seal *sealer) error {
	alerts, err := encode(p.Alerts)
	if err != nil {
		return err
	}
	sequence := w.next()
	if err := w.exec(w.addPost, p.ID, sequence, blob(p.Content), p.Thread, p.Verdict, alerts, micros(p.SeenAt), micros(p.TakenAt)); err != nil {
		return err
	}
	if p.Fingerprints == nil {
		return nil
	}
	return w.exec(w.addFingerprints, sequence, micros(p.TakenAt), seal.post(sequence, p.Fingerprints))
}

func (w *writer) alert(a storage.Alert) error {
	regions, err := encode(a.Regions)
	if err != nil {
		return err
	}
	return w.exec(w.putAlert, a.ID, w.next(), a.Department, a.Document, a.Version, a.State, a.Channel, a.Score, a.Expected, a.Characters, regions,
		bit(a.Flood), bit(a.Late), a.Posts, micros(a.FirstSeenAt), micros(a.LastSeenAt), micros(a.CreatedAt), micros(a.UpdatedAt))
}

// AlertsOf implements [storage.Registry].
func (r *Registry) AlertsOf(ctx context.Context, ids []storage.DocumentID) ([]storage.Alert, error) {
	var c condition
	c.among("document", ids)
	rows, err := r.read.QueryContext(ctx, `SELECT `+alertColumns+` FROM alerts`+c.String()+` ORDER BY sequence`, c.args...)
	if err != nil {
		return nil, r.explain("look up alerts", err)
	}
	alerts, err := collect(rows, scanAlert)
	return alerts, r.explain("look up alerts", err)
}

// Alert implements [storage.Registry].
func (r *Registry) Alert(ctx context.Context, scope storage.Scope, id storage.AlertID) (storage.Alert, []storage.AlertChange, []storage.AlertPost, error) {
	var a storage.Alert
	var changes []storage.AlertChange
	var posts []storage.AlertPost
	err := r.view(ctx, func(tx *sql.Tx) error {
		var err error
		if a, err = alertOf(ctx, tx, scope, id); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT alert, sequence, at, actor, from_state, to_state, reason, release FROM alert_changes WHERE alert = $1 ORDER BY sequence`, id)
		if err != nil {
			return err
		}
		if changes, err = collect(rows, scanChange); err != nil {
			return err
		}
		rows, err = tx.QueryContext(ctx, `SELECT `+alertPostColumns+` FROM alert_posts WHERE alert = $1 ORDER BY number DESC LIMIT $2`, id, shownPosts)
		if err != nil {
			return err
		}
		posts, err = collect(rows, scanAlertPost)
		return err
	})
	if err != nil {
		return storage.Alert{}, nil, nil, r.explain(fmt.Sprintf("alert %s", id), err)
	}
	return a, changes, posts, nil
}

// PostOf implements [storage.Registry].
func (r *Registry) PostOf(ctx context.Context, scope storage.Scope, id storage.AlertID, post string) (storage.AlertPost, error) {
	var p storage.AlertPost
	err := r.view(ctx, func(tx *sql.Tx) error {
		if _, err := alertOf(ctx, tx, scope, id); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT `+alertPostColumns+` FROM alert_posts WHERE alert = $1 AND post = $2`, id, post).Scan(scanAlertPost(&p)...)
	})
	if err != nil {
		return storage.AlertPost{}, r.explain(fmt.Sprintf("post of alert %s", id), err)
	}
	return p, nil
}

// alertOf reads an alert in a scope.
func alertOf(ctx context.Context, tx *sql.Tx, scope storage.Scope, id storage.AlertID) (storage.Alert, error) {
	var a storage.Alert
	err := tx.QueryRowContext(ctx, `SELECT `+alertColumns+` FROM alerts WHERE id = $1`, id).Scan(scanAlert(&a)...)
	if err == nil && !scope.Covers(a.Department) {
		err = sql.ErrNoRows // so that both read the same
	}
	return a, err
}

// Alerts implements [storage.Registry].
func (r *Registry) Alerts(ctx context.Context, scope storage.Scope, filter storage.AlertFilter, cursor string, limit int) ([]storage.Alert, string, error) {
	c, err := r.before(cursor, limit, "sequence")
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	c.scope("department", scope)
	if filter.Department != "" {
		c.scope("department", storage.Branches(filter.Department))
	}
	if filter.Document != "" {
		c.where("document = " + c.arg(string(filter.Document)))
	}
	if len(filter.States) > 0 {
		terms := "(1 = 0"
		for _, s := range filter.States {
			terms += " OR state = " + c.arg(string(s))
		}
		c.where(terms + ")")
	}
	alerts, next, err := list(ctx, r, `SELECT sequence, `+alertColumns+` FROM alerts`+c.String()+` ORDER BY sequence DESC`, *c, limit, scanAlert)
	return alerts, next, r.explain("list alerts", err)
}

// Decide implements [storage.Registry].
func (r *Registry) Decide(ctx context.Context, scope storage.Scope, change storage.AlertChange, exclusion *storage.Release, event storage.Event) (storage.Alert, error) {
	var a storage.Alert
	err := r.update(ctx, func(tx *sql.Tx) error {
		var err error
		if a, err = alertOf(ctx, tx, scope, change.Alert); err != nil {
			return err
		}
		if a.State != change.From {
			return fmt.Errorf("%w: it is %s by now", storage.ErrConflict, a.State.Words())
		}
		w := &writer{ctx: ctx, tx: tx, statements: &r.statements}
		if exclusion != nil {
			if err := w.release(*exclusion); err != nil {
				return err
			}
		}
		a.State, a.UpdatedAt = change.To, stored(change.At)
		if _, err := tx.ExecContext(ctx, `UPDATE alerts SET state = $1, updated_at = $2 WHERE id = $3`, a.State, micros(a.UpdatedAt), a.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO alert_changes (alert, sequence, at, actor, from_state, to_state, reason, release)
			VALUES ($1, 1 + (SELECT COUNT(*) FROM alert_changes WHERE alert = $1), $2, $3, $4, $5, $6, $7)`,
			a.ID, micros(change.At), change.Actor, change.From, change.To, change.Reason, change.Release)
		if err != nil {
			return err
		}
		return w.emit(event)
	})
	if err != nil {
		return storage.Alert{}, r.explain(fmt.Sprintf("decide on alert %s", change.Alert), err)
	}
	return a, nil
}
