package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// The columns of records, in the order in which they are scanned. Queries call
// documents d, versions v and sources s.
const (
	documentColumns = `d.id, d.title, d.department, d.classification, d.collection, d.version, d.published_at, d.created_at, d.updated_at, d.recipient, d.withdrawn_at, d.withdrawn_by, d.withdrawn_reason`
	versionColumns  = `v.document, v.number, v.ordinal, v.content, v.size, v.media_type, v.density, v.status, v.reason, v.text_bytes, v.created_at, v.pages, v.drawn, v.undrawn`
	sourceColumns   = `s.department, s.collection, s.source, s.document, s.version, s.revision, s.seen_at, s.gone_at`
	jobColumns      = `id, source, prefix, department, classification, collection, state, error, checkpoint, outcomes, listed, bytes, created_at, updated_at, ended_at, again,
	kind, scheduled, expected, expected_bytes, rate, estimate`
	gapColumns = `department, collection, source, outcome, status, reason, revision, tries, since, tried_at`

	collectionColumns = `name, kind, department, density, created_at`

	// firstSource is the first source of version v, or else of its document.
	firstSource = `COALESCE(
	(SELECT s.source FROM sources s WHERE s.document = v.document AND s.version = v.number ORDER BY s.sequence LIMIT 1),
	(SELECT s.source FROM sources s WHERE s.document = v.document ORDER BY s.sequence LIMIT 1),
	'')`

	// collectionKind is the kind of the collection of document d.
	collectionKind = `COALESCE((SELECT c.kind FROM collections c WHERE c.name = d.collection), 'protected')`

	matchColumns = documentColumns + `, ` + versionColumns + `, ` + firstSource + `, ` + collectionKind

	matchQuery = `SELECT ` + matchColumns + `
FROM versions v JOIN documents d ON d.id = v.document
WHERE d.withdrawn_at = 0 AND v.ordinal`

	sketchQuery = `SELECT ordinal, CASE WHEN length(second) > 0 THEN second ELSE sealed END FROM sketches WHERE ordinal`

	drawingQuery = `SELECT ordinal, version, page, part, region, layout FROM drawings WHERE ordinal`

	collectionQuery = `SELECT ` + collectionColumns + ` FROM collections WHERE name = $1`

	sourceQuery = `SELECT ` + sourceColumns + `, ` + versionColumns + `, d.withdrawn_at
FROM sources s JOIN versions v ON v.document = s.document AND v.number = s.version JOIN documents d ON d.id = s.document
WHERE s.source = $1 AND s.department = $2 AND s.collection = $3 AND (d.withdrawn_at = 0 OR d.withdrawn_by NOT IN ('` + storage.BySource + `', '` + storage.ByRotation + `'))`

	contentQuery = `SELECT ` + versionColumns + `
FROM versions v JOIN documents d ON d.id = v.document
WHERE v.content = $1 AND d.department = $2 AND d.collection = $3 AND d.withdrawn_at = 0 ORDER BY v.ordinal LIMIT 1`
)

// A query by ordinals asks for as many as its statement has parameters; the rest
// are 0, which nothing has. Two sizes do: most look-ups find a handful of
// documents.
const (
	fewOrdinals  = 16
	manyOrdinals = 256
)

type byOrdinals struct{ few, many *sql.Stmt }

// statements are those that run for every document or look-up. SQLite takes as
// long to plan them as to run them, so they are prepared once.
type statements struct {
	// Of the writer.
	count, putDocument, addVersion, replaceVersion, ordinalOf, addPlaces, addSketch, addGates, hasVersion, markDrawn, addDrawing, addHash, putSource, putJob, numberItems, addItem *sql.Stmt
	gapStatus, putGap, dropGap                                                                                                                                                     *sql.Stmt
	addPost, addFingerprints, putAlert, addAlertPost, dropAlertPosts, setPostAlerts                                                                                                *sql.Stmt
	// Of the writer, about webhooks; those of lines are for one alert.
	subscribers, addEvent, queueDelivery, leaveLine, lineUp, noteWebhook, noteDelivery, addAttempt, dropAttempts *sql.Stmt
	// Of the readers.
	source, gap, content, places, collection, key, post, prints, due *sql.Stmt
	matches, sketches, drawings                                      byOrdinals
}

func (s *statements) prepare(ctx context.Context, write, read *sql.DB) error {
	for _, p := range []struct {
		db    *sql.DB
		to    **sql.Stmt
		query string
	}{
		{write, &s.count, `UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value`},
		{write, &s.putDocument, `INSERT INTO documents
			(id, sequence, title, department, classification, collection, version, published_at, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at`},
		{write, &s.addVersion, `INSERT INTO versions
			(ordinal, document, number, content, size, media_type, density, status, reason, text_bytes, created_at, page_count, pages, drawn, undrawn)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`},
		{write, &s.ordinalOf, `SELECT ordinal FROM versions WHERE document = $1 AND number = $2`},
		{write, &s.replaceVersion, `UPDATE versions SET ordinal = $1, media_type = $2, density = $3, status = $4, reason = $5,
			text_bytes = $6, page_count = $7, pages = $8, drawn = $9, undrawn = $10, content = $11 WHERE document = $12 AND number = $13`},
		{write, &s.addPlaces, `INSERT INTO places (ordinal, sealed) VALUES ($1, $2)`},
		{write, &s.addSketch, `INSERT INTO sketches (ordinal, sealed, second) VALUES ($1, $2, $3)`},
		{write, &s.addGates, `INSERT INTO gates (ordinal, gates) VALUES ($1, $2)`},
		{write, &s.markDrawn, `UPDATE versions SET drawn = $1, undrawn = $2
			WHERE ordinal = $3 AND (SELECT d.withdrawn_at FROM documents d WHERE d.id = versions.document) = 0`},
		{write, &s.addDrawing, `INSERT INTO drawings (ordinal, version, page, part, region, layout) VALUES ($1, $2, $3, $4, $5, $6)`},
		{write, &s.addHash, `INSERT INTO hashes (ordinal, sealed) VALUES ($1, $2)`},
		{write, &s.hasVersion, `SELECT COUNT(*) FROM versions v JOIN documents d ON d.id = v.document
			WHERE v.document = $1 AND v.number = $2 AND d.withdrawn_at = 0`},
		{write, &s.putSource, `INSERT INTO sources
			(source, department, collection, sequence, document, version, revision, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (source, department, collection) DO UPDATE SET document = excluded.document,
			version = excluded.version, revision = excluded.revision, seen_at = excluded.seen_at, gone_at = 0`},
		{write, &s.putJob, `INSERT INTO jobs
			(id, sequence, source, prefix, department, classification, collection,
			state, error, checkpoint, outcomes, listed, bytes, created_at, updated_at, ended_at, again,
			kind, scheduled, expected, expected_bytes, rate, estimate)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
			ON CONFLICT (id) DO UPDATE SET source = excluded.source, prefix = excluded.prefix,
			department = excluded.department, classification = excluded.classification, collection = excluded.collection,
			state = excluded.state, error = excluded.error, checkpoint = excluded.checkpoint, outcomes = excluded.outcomes,
			listed = excluded.listed, bytes = excluded.bytes,
			expected = excluded.expected, expected_bytes = excluded.expected_bytes, rate = excluded.rate, estimate = excluded.estimate,
			created_at = excluded.created_at, updated_at = excluded.updated_at, ended_at = excluded.ended_at
			RETURNING sequence`},
		{write, &s.numberItems, `UPDATE jobs SET items = items + $1 WHERE id = $2 RETURNING items`},
		{write, &s.addItem, `INSERT INTO items
			(job, sequence, source, document, outcome, status, reason, pages, characters)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`},
		{write, &s.gapStatus, `SELECT status FROM gaps WHERE source = $1 AND department = $2 AND collection = $3`},
		{write, &s.putGap, `INSERT INTO gaps
			(source, department, collection, sequence, outcome, status, reason, revision, tries, since, tried_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10)
			ON CONFLICT (source, department, collection) DO UPDATE SET outcome = excluded.outcome, status = excluded.status,
			reason = excluded.reason, revision = excluded.revision, tries = gaps.tries + 1, tried_at = excluded.tried_at`},
		{write, &s.dropGap, `DELETE FROM gaps WHERE source = $1 AND department = $2 AND collection = $3`},
		{write, &s.addPost, `INSERT INTO posts (id, sequence, content, thread, verdict, alerts, seen_at, taken_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`},
		{write, &s.addFingerprints, `INSERT INTO post_fingerprints (sequence, taken_at, sealed) VALUES ($1, $2, $3)`},
		{write, &s.setPostAlerts, `UPDATE posts SET alerts = $1 WHERE id = $2`},
		{write, &s.putAlert, `INSERT INTO alerts
			(id, sequence, department, document, version, state, channel, score, expected, characters, regions, flood, late, posts,
			first_seen_at, last_seen_at, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, channel = excluded.channel, score = excluded.score, expected = excluded.expected,
			characters = excluded.characters, regions = excluded.regions, posts = excluded.posts,
			first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at, updated_at = excluded.updated_at`},
		{write, &s.addAlertPost, `INSERT INTO alert_posts (alert, number, post, thread, seen_at, score, passages) VALUES ($1, $2, $3, $4, $5, $6, $7)`},
		{write, &s.dropAlertPosts, `DELETE FROM alert_posts WHERE alert = $1 AND number <= $2`},

		{write, &s.subscribers, `SELECT id, events, department FROM webhooks WHERE disabled = ''`},
		{write, &s.addEvent, `INSERT INTO events (sequence, id, type, department, alert, document, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`},
		{write, &s.queueDelivery, queueDelivery + `VALUES ($1, $2, $3, 'pending', $4, 0, $5, $5, 0)` + queueAgain},
		{write, &s.leaveLine, leaveLine + `alert = $2`},
		{write, &s.lineUp, fmt.Sprintf(lineUp, `alert = $2`)},
		{write, &s.noteWebhook, `UPDATE webhooks SET attempts = attempts + 1,
			failing_since = CASE WHEN $1 = 0 THEN 0 WHEN failing_since = 0 THEN $2 ELSE failing_since END,
			updated_at = CASE WHEN disabled = '' AND $3 <> '' THEN $2 ELSE updated_at END,
			disabled = CASE WHEN disabled = '' THEN $3 ELSE disabled END
			WHERE id = $4 RETURNING attempts`},
		{write, &s.noteDelivery, `UPDATE deliveries SET state = $1, ready = CASE WHEN $1 = 'pending' THEN ready ELSE 0 END,
			tries = $2, due_at = $3, done_at = $4 WHERE webhook = $5 AND event = $6 AND state = 'pending'`},
		{write, &s.addAttempt, `INSERT INTO attempts (webhook, sequence, event, number, at, took, status, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`},
		{write, &s.dropAttempts, `DELETE FROM attempts WHERE webhook = $1 AND sequence <= $2`},

		{read, &s.due, dueQuery},
		{read, &s.source, sourceQuery},
		{read, &s.gap, `SELECT ` + gapColumns + ` FROM gaps WHERE source = $1 AND department = $2 AND collection = $3`},
		{read, &s.content, contentQuery},
		{read, &s.matches.few, ofOrdinals(matchQuery, fewOrdinals)},
		{read, &s.matches.many, ofOrdinals(matchQuery, manyOrdinals)},
		{read, &s.places, `SELECT sealed FROM places WHERE ordinal = $1`},
		{read, &s.sketches.few, ofOrdinals(sketchQuery, fewOrdinals)},
		{read, &s.sketches.many, ofOrdinals(sketchQuery, manyOrdinals)},
		{read, &s.drawings.few, ofOrdinals(drawingQuery, fewOrdinals)},
		{read, &s.drawings.many, ofOrdinals(drawingQuery, manyOrdinals)},
		{read, &s.collection, collectionQuery},
		{read, &s.key, keyQuery},
		{read, &s.post, postQuery},
		{read, &s.prints, `SELECT sequence, sealed FROM post_fingerprints WHERE sequence > $1 ORDER BY sequence LIMIT $2`},
	} {
		var err error
		if *p.to, err = p.db.PrepareContext(ctx, p.query); err != nil {
			return fmt.Errorf("prepare statement: %w", err)
		}
	}
	return nil
}

// ofOrdinals ends a query that asks for n ordinals.
func ofOrdinals(query string, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "$" + strconv.Itoa(i+1)
	}
	return query + ` IN (` + strings.Join(names, ", ") + `)`
}

// condition collects the conditions of a query with their arguments.
type condition struct {
	terms []string
	args  []any
}

// arg adds an argument and returns the name of its parameter.
func (c *condition) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

func (c *condition) where(term string) { c.terms = append(c.terms, term) }

// scope limits a column to departments of a scope, as Scope.Covers does.
func (c *condition) scope(column string, scope storage.Scope) {
	if !scope.All() {
		c.where(c.covers(column, scope))
	}
}

// covers is the condition that a column is of the branches of a scope. What
// begins with "finance/" stands from there up to "finance0", as '0' is the
// character after '/'; unlike LIKE that heeds case, and an index can answer it.
func (c *condition) covers(column string, scope storage.Scope) string {
	terms := []string{"1 = 0"}
	for _, branch := range scope.Departments() {
		terms = append(terms, fmt.Sprintf("%s = %s OR (%s >= %s AND %s < %s)",
			column, c.arg(branch), column, c.arg(branch+"/"), column, c.arg(branch+"0")))
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

func (c *condition) String() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// Targets of Scan, in the order of the columns.

func scanDocument(d *storage.Document) []any {
	return []any{(*string)(&d.ID), &d.Title, &d.Department, &d.Classification, &d.Collection, number[int]{&d.Version},
		(*scanTime)(&d.PublishedAt), (*scanTime)(&d.CreatedAt), (*scanTime)(&d.UpdatedAt), &d.Recipient,
		(*scanTime)(&d.Withdrawn.At), &d.Withdrawn.By, &d.Withdrawn.Reason}
}

func scanVersion(v *storage.Version) []any {
	return []any{(*string)(&v.Document), number[int]{&v.Number}, number[storage.Ordinal]{&v.Ordinal}, (*scanBytes)(&v.Content),
		number[int64]{&v.Size}, &v.MediaType, number[fingerprint.Window]{&v.Window}, &v.Status, &v.Reason,
		number[int64]{&v.TextBytes}, (*scanTime)(&v.CreatedAt), (*scanPages)(&v.Pages), number[int]{&v.Drawn}, &v.Undrawn}
}

func scanSource(s *storage.Source) []any {
	return []any{&s.Department, &s.Collection, &s.Source, (*string)(&s.Document), number[int]{&s.Version},
		(*scanBytes)(&s.Revision), (*scanTime)(&s.SeenAt), (*scanTime)(&s.GoneAt)}
}

func scanJob(j *storage.Job) []any {
	return []any{(*string)(&j.ID), &j.Source, &j.Prefix, &j.Department, &j.Classification, &j.Collection,
		(*string)(&j.State), &j.Error, &j.Checkpoint, (*scanOutcomes)(&j.Outcomes), number[int]{&j.Listed}, number[int64]{&j.Bytes},
		(*scanTime)(&j.CreatedAt), (*scanTime)(&j.UpdatedAt), (*scanTime)(&j.EndedAt), flag{&j.Again},
		(*string)(&j.Kind), flag{&j.Scheduled}, number[int]{&j.Expected}, number[int64]{&j.ExpectedBytes}, &j.Rate, scanJSON{&j.Estimate}}
}

func scanItem(i *storage.Item) []any {
	return []any{(*string)(&i.Job), number[int64]{&i.Sequence}, &i.Source, (*string)(&i.Document), &i.Outcome, &i.Status, &i.Reason,
		number[int]{&i.Pages}, number[int]{&i.Characters}}
}

func scanMatch(m *storage.Match) []any {
	return append(append(scanDocument(&m.Document), scanVersion(&m.Version)...), &m.Source, (*string)(&m.Kind))
}

func scanCollection(c *storage.Collection) []any {
	return []any{&c.Name, (*string)(&c.Kind), &c.Department, number[fingerprint.Window]{&c.Window}, (*scanTime)(&c.CreatedAt)}
}

func scanOrdinal(o *storage.Ordinal) []any { return []any{number[storage.Ordinal]{o}} }

// number reads an integer. Package sql would print it and parse what it printed.
type number[T ~int | ~int64 | ~uint32] struct{ to *T }

func (n number[T]) Scan(value any) error {
	stored, ok := value.(int64)
	if *n.to = T(stored); !ok || int64(*n.to) != stored {
		return fmt.Errorf("%w: not a number, or too large a one", storage.ErrCorrupt)
	}
	return nil
}

// bit is how a truth value is stored.
func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// flag reads a truth value.
type flag struct{ to *bool }

func (f flag) Scan(value any) error {
	n, ok := value.(int64)
	if *f.to = n == 1; !ok || n != 0 && n != 1 {
		return fmt.Errorf("%w: neither 0 nor 1", storage.ErrCorrupt)
	}
	return nil
}

// micros is how a time is stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// stored is a time as it will be read back.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

type scanTime time.Time

func (t *scanTime) Scan(value any) error {
	n, ok := value.(int64)
	switch {
	case !ok:
		return fmt.Errorf("%w: a time is not a number", storage.ErrCorrupt)
	case n == 0:
		*t = scanTime{}
	default:
		*t = scanTime(time.UnixMicro(n).UTC())
	}
	return nil
}

// blob is how bytes are stored: no bytes are an empty value rather than NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

type scanBytes []byte

func (b *scanBytes) Scan(value any) error {
	stored, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("%w: a hash is not a binary value", storage.ErrCorrupt)
	}
	*b = append([]byte(nil), stored...) // the driver reuses its memory
	return nil
}

// scanOutcomes reads the outcomes of a job, which are stored as JSON.
type scanOutcomes map[string]int

func (o *scanOutcomes) Scan(value any) error { return decode(value, o) }

// scanPages reads the pages of a version.
type scanPages []storage.Page

func (p *scanPages) Scan(value any) error {
	var c pageColumns
	if err := decode(value, &c); err != nil {
		return err
	}
	pages, ok := c.pages()
	if !ok {
		return fmt.Errorf("%w: pages have columns of different lengths", storage.ErrCorrupt)
	}
	*p = pages
	return nil
}

// pageColumns is how the pages of a version are stored: as JSON, by columns.
// That takes a quarter of the space and about half of the time of a list of
// pages with named fields; look-ups read it for every document that they find.
type pageColumns struct {
	Numbers []int    `json:"numbers"`          // of each page: number, characters, code points
	Reader  []string `json:"reader,omitempty"` // one if it is the same for all, none if it is empty for all
	Reason  []string `json:"reason,omitempty"` // likewise
	Part    []string `json:"part,omitempty"`   // likewise
	OCR     []int    `json:"ocr,omitempty"`    // which of the pages, from 0, need it
}

const pageNumbers = 3

func columns(pages []storage.Page) pageColumns {
	var c pageColumns
	for i, p := range pages {
		c.Numbers = append(c.Numbers, p.Number, p.Characters, p.CodePoints)
		c.Reader = append(c.Reader, p.Reader)
		c.Reason = append(c.Reason, p.Reason)
		c.Part = append(c.Part, p.Part)
		if p.NeedsOCR {
			c.OCR = append(c.OCR, i)
		}
	}
	c.Reader, c.Reason, c.Part = shorten(c.Reader), shorten(c.Reason), shorten(c.Part)
	return c
}

func shorten(column []string) []string {
	same := slices.Compact(slices.Clone(column))
	switch {
	case len(same) != 1:
		return column
	case same[0] == "":
		return nil
	default:
		return same
	}
}

// pages undoes columns, unless the columns are not of one length.
func (c *pageColumns) pages() (pages []storage.Page, ok bool) {
	n := len(c.Numbers) / pageNumbers
	if len(c.Numbers)%pageNumbers != 0 || !fits(c.Reader, n) || !fits(c.Reason, n) || !fits(c.Part, n) {
		return nil, false
	}
	if n == 0 {
		return nil, true
	}
	pages = make([]storage.Page, n)
	for i := range pages {
		numbers := c.Numbers[i*pageNumbers:]
		pages[i] = storage.Page{
			Number: numbers[0], Characters: numbers[1], CodePoints: numbers[2],
			Reader: at(c.Reader, i), Reason: at(c.Reason, i), Part: at(c.Part, i),
		}
	}
	for _, i := range c.OCR {
		if i < 0 || i >= n {
			return nil, false
		}
		pages[i].NeedsOCR = true
	}
	return pages, true
}

func fits(column []string, n int) bool { return len(column) <= 1 || len(column) == n }

func at(column []string, i int) string {
	switch len(column) {
	case 0:
		return ""
	case 1:
		return column[0]
	default:
		return column[i]
	}
}

// encode is how pages and outcomes are stored: as JSON.
func encode(value any) (string, error) {
	b, err := json.Marshal(value)
	return string(b), err
}

func decode(value, to any) error {
	text, ok := value.(string)
	if !ok || json.Unmarshal([]byte(text), to) != nil {
		return fmt.Errorf("%w: not JSON, or of another shape", storage.ErrCorrupt)
	}
	return nil
}
