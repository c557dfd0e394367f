// Package intake turns posts that show registered documents into alerts.
//
// A post has been looked up already when it comes here. One writer takes posts in, in
// groups, each group in one transaction: the posts, the alerts that they make or add to, and
// the events that tell departments about them. What it has acknowledged survives a crash.
//
// # One alert for one leak
//
// A leak is shared a thousand times. All posts that show the same part of a document are
// one alert, which counts them: a post joins an alert of its document if at least half of
// what it shows lies in what the posts of that alert show together. A match of two
// departments' documents is two alerts, and neither knows of the other.
//
// If more than [maxPerDay] different parts of one document come up in a day, somebody
// posts it piece by piece. Then one last alert is made, and counts all that follows: a
// queue of a thousand alerts about one document would hide all others.
package intake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/storage"
)

const (
	// maxGroup is how many posts share a transaction. They wait for no one: a group is what
	// has come in while the group before was written. With more, a stream would be taken in a
	// little faster, and who comes alone beside it wait four times as long.
	maxGroup = 64

	// maxPerDay is how many alerts one document makes in 24 hours before it is a flood.
	maxPerDay = 20

	// maxRegions bounds what an alert remembers of where in the document it is.
	maxRegions = 64

	// maxPassages is how many passages of one post are kept.
	maxPassages = 64

	// pageEnd stands for the end of a page that was recognized by its look.
	pageEnd = 1 << 30
)

// ErrOtherPost is the error for an id that a post with other content has. It is of kind
// storage.ErrConflict; other conflicts may pass, this one does not.
var ErrOtherPost = fmt.Errorf("%w: another post has this id", storage.ErrConflict)

// Store is the part of storage.Registry that intake needs.
type Store interface {
	Post(ctx context.Context, id string) (storage.Post, error)
	TakeIn(ctx context.Context, changes storage.Intake) error
	AlertsOf(ctx context.Context, ids []storage.DocumentID) ([]storage.Alert, error)
}

// Found is a match in a post: 0 for its text, else in which of its media, from 1.
type Found struct {
	Medium int
	match.Match
}

// Seen is a post that was looked up.
type Seen struct {
	storage.Post
	Found []Found // alerts only
}

// Intake takes posts in. Make one with [New].
type Intake struct {
	store   Store
	queue   chan *waiting
	stop    context.CancelFunc
	stopped chan struct{}
	told    func() // that there are events
}

type waiting struct {
	seen   Seen
	late   bool // the post is stored already
	answer chan result
}

type result struct {
	post storage.Post
	err  error
}

// New starts an intake. Told is called when there are new events; it must not block.
func New(store Store, told func()) *Intake {
	in := &Intake{store: store, queue: make(chan *waiting), stopped: make(chan struct{}), told: told}
	ctx, stop := context.WithCancel(context.Background())
	in.stop = stop
	go in.write(ctx)
	return in
}

// Close waits for what is being written. Posts that are on their way get an error.
func (in *Intake) Close() error {
	in.stop()
	<-in.stopped
	return nil
}

// Known returns what was answered about a post before, if it was taken in; ErrOtherPost if
// that had other content. Of one from before a rotation of the secret key that has ended, only
// the id is known.
func (in *Intake) Known(ctx context.Context, id string, content []byte) (p storage.Post, known bool, err error) {
	p, err = in.store.Post(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return p, false, nil
	case err != nil:
		return p, false, err
	case len(p.Content) > 0 && !bytes.Equal(p.Content, content):
		return p, false, ErrOtherPost
	}
	return p, true, nil
}

// Take takes a post in and returns it with its alerts. It is durable then. A post that was
// taken in before is returned as it was; with other content it is ErrOtherPost.
func (in *Intake) Take(ctx context.Context, seen Seen) (storage.Post, error) {
	return in.pass(ctx, &waiting{seen: seen, answer: make(chan result, 1)})
}

// TakeLate adds alerts to a post that was taken in before the document was registered
// that it shows.
func (in *Intake) TakeLate(ctx context.Context, seen Seen) (storage.Post, error) {
	return in.pass(ctx, &waiting{seen: seen, late: true, answer: make(chan result, 1)})
}

func (in *Intake) pass(ctx context.Context, w *waiting) (storage.Post, error) {
	select {
	case in.queue <- w:
	case <-in.stopped:
		return storage.Post{}, storage.ErrClosed
	case <-ctx.Done():
		return storage.Post{}, ctx.Err()
	}
	// Whoever asked waits to the end: what is in the queue will be written.
	r := <-w.answer
	return r.post, r.err
}

// write takes groups in, one after the other.
func (in *Intake) write(ctx context.Context) {
	defer close(in.stopped)
	for {
		var group []*waiting
		select {
		case w := <-in.queue:
			group = append(group, w)
		case <-ctx.Done():
			return
		}
	more:
		for len(group) < maxGroup {
			select {
			case w := <-in.queue:
				group = append(group, w)
			default:
				break more
			}
		}
		in.commit(context.WithoutCancel(ctx), group)
	}
}

// commit writes a group. If that fails each post is tried alone, so that one bad post does
// not take the others along.
func (in *Intake) commit(ctx context.Context, group []*waiting) {
	err := in.try(ctx, group)
	if err == nil || len(group) == 1 {
		for _, w := range group {
			w.answer <- result{w.seen.Post, err}
		}
		return
	}
	for _, w := range group {
		w.answer <- result{w.seen.Post, in.try(ctx, []*waiting{w})}
	}
}

func (in *Intake) try(ctx context.Context, group []*waiting) error {
	d := draft{now: time.Now().UTC(), posts: map[string]*waiting{}}
	var ids []storage.DocumentID
	for _, w := range group {
		for _, f := range w.seen.Found {
			ids = append(ids, f.Document.ID)
		}
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		alerts, err := in.store.AlertsOf(ctx, slices.Compact(ids))
		if err != nil {
			return err
		}
		for i := range alerts {
			d.alerts = append(d.alerts, &alerts[i])
		}
	}
	for _, w := range group {
		if err := in.add(ctx, &d, w); err != nil {
			return err
		}
	}
	changes := d.changes()
	if len(changes.Posts)+len(changes.Late) == 0 {
		return nil
	}
	if err := in.store.TakeIn(ctx, changes); err != nil {
		return err
	}
	if len(changes.Events) > 0 {
		in.told()
	}
	return nil
}

// add adds a post to what is to be written, unless it is there already.
func (in *Intake) add(ctx context.Context, d *draft, w *waiting) error {
	p := &w.seen.Post
	before, known, err := in.Known(ctx, p.ID, p.Content)
	if err != nil {
		return err
	}
	if twin := d.posts[p.ID]; twin != nil && !known {
		if !bytes.Equal(twin.seen.Content, p.Content) {
			return ErrOtherPost
		}
		before, known = twin.seen.Post, true
	}
	switch {
	case w.late && !known:
		return nil // forgotten meanwhile
	case w.late:
		*p = before
		p.Alerts = slices.Clone(before.Alerts)
		for _, id := range d.alert(w) {
			if !slices.Contains(p.Alerts, id) {
				p.Alerts = append(p.Alerts, id)
			}
		}
		d.late = append(d.late, storage.LateAlerts{Post: p.ID, Alerts: p.Alerts})
	case known:
		*p = before
	default:
		p.TakenAt = d.now
		p.Alerts = d.alert(w)
		d.posts[p.ID] = w
		d.order = append(d.order, w)
	}
	return nil
}

// draft is what is to be written.
type draft struct {
	now     time.Time
	posts   map[string]*waiting
	order   []*waiting
	alerts  []*storage.Alert // of the documents that were found, stored and new
	changed []*storage.Alert
	linked  []storage.AlertPost
	events  []storage.Event
	late    []storage.LateAlerts
}

func (d *draft) changes() storage.Intake {
	c := storage.Intake{AlertPosts: d.linked, Events: d.events, Late: d.late}
	for _, w := range d.order {
		c.Posts = append(c.Posts, w.seen.Post)
	}
	for _, a := range d.changed {
		c.Alerts = append(c.Alerts, *a)
	}
	return c
}

// alert finds or makes the alerts of a post.
func (d *draft) alert(w *waiting) []storage.AlertID {
	var ids []storage.AlertID
	linked := map[storage.AlertID]int{} // in d.linked
	for _, f := range w.seen.Found {
		if w.late && d.alerted(w, &f) {
			continue // found before
		}
		regions := regionsOf(f.Match)
		a := d.join(&f, regions, w)
		if i, counted := linked[a.ID]; counted { // in the text and in a picture
			l := &d.linked[i]
			l.Passages = append(l.Passages, passagesOf(f)...)
			l.Passages, l.Score = l.Passages[:min(len(l.Passages), maxPassages)], max(l.Score, f.Score)
			continue
		}
		a.Posts++
		ids = append(ids, a.ID)
		linked[a.ID] = len(d.linked)
		d.linked = append(d.linked, storage.AlertPost{
			Alert: a.ID, Post: w.seen.ID, Thread: w.seen.Thread, SeenAt: w.seen.SeenAt, Score: f.Score, Passages: passagesOf(f),
		})
		if a.Posts > 1 && power(a.Posts) {
			d.tell(storage.AlertUpdated, a)
		}
	}
	return ids
}

// alerted reports whether a post that was taken in before counts in an alert about the document
// of a match. Meanwhile others may have come up that it would join as well.
func (d *draft) alerted(w *waiting, f *Found) bool {
	return slices.ContainsFunc(d.alerts, func(a *storage.Alert) bool {
		return a.Document == f.Document.ID && slices.Contains(w.seen.Alerts, a.ID)
	})
}

// join returns the alert that a match belongs to, brought up to date.
func (d *draft) join(f *Found, regions []storage.PageSpan, w *waiting) *storage.Alert {
	recipient := cmp.Or(f.Document.Recipient, f.Document.Department)
	var flood *storage.Alert
	today := 0
	for _, a := range d.alerts {
		switch {
		case a.Document != f.Document.ID || a.Department != recipient:
			continue
		case a.Flood:
			flood = a
		case within(regions, a.Regions):
			d.update(a, f, regions, w)
			return a
		}
		if d.now.Sub(a.CreatedAt) < 24*time.Hour {
			today++
		}
	}
	if flood != nil && d.now.Sub(flood.CreatedAt) < 24*time.Hour {
		d.update(flood, f, regions, w)
		return flood
	}
	a := &storage.Alert{
		ID: storage.AlertID(storage.NewID("alr")), Department: recipient, Document: f.Document.ID, State: storage.AlertNew,
		Flood: today >= maxPerDay, Late: w.late, FirstSeenAt: w.seen.SeenAt, LastSeenAt: w.seen.SeenAt, CreatedAt: d.now,
	}
	d.alerts = append(d.alerts, a)
	d.update(a, f, regions, w)
	d.tell(storage.AlertCreated, a)
	return a
}

func (d *draft) update(a *storage.Alert, f *Found, regions []storage.PageSpan, w *waiting) {
	if f.Score > a.Score {
		a.Version, a.Channel, a.Score, a.Expected, a.Characters = f.Version, string(f.Channel), f.Score, f.ExpectedByChance, f.Characters
	}
	a.Regions = union(a.Regions, regions)
	if w.seen.SeenAt.Before(a.FirstSeenAt) {
		a.FirstSeenAt = w.seen.SeenAt
	}
	if w.seen.SeenAt.After(a.LastSeenAt) {
		a.LastSeenAt = w.seen.SeenAt
	}
	a.UpdatedAt = d.now
	if !slices.Contains(d.changed, a) {
		d.changed = append(d.changed, a)
	}
}

func (d *draft) tell(what storage.EventType, a *storage.Alert) {
	d.events = append(d.events, storage.Event{
		ID: storage.EventID(storage.NewID("evt")), Type: what, Department: a.Department, Alert: a.ID, Document: a.Document, At: d.now,
	})
}

// power reports whether n is a power of ten: of an alert that a thousand posts join,
// departments are told three times more.
func power(n int) bool {
	for n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// regionsOf is where in the document a match is, page by page.
func regionsOf(m match.Match) []storage.PageSpan {
	var all []storage.PageSpan
	for _, p := range m.Passages {
		all = append(all, spanOf(p))
	}
	return union(nil, all)
}

func spanOf(p match.Passage) storage.PageSpan {
	if p.OnPage == (storage.Region{}) {
		return storage.PageSpan{Page: p.Place.Page, Start: p.Place.Start, End: p.Place.End}
	}
	return storage.PageSpan{Page: p.Place.Page, End: pageEnd}
}

func passagesOf(f Found) []storage.AlertPassage {
	var all []storage.AlertPassage
	for _, p := range f.Passages[:min(len(f.Passages), maxPassages)] {
		out := storage.AlertPassage{Medium: f.Medium, Start: p.Query.Start, End: p.Query.End, Document: storage.PageSpan{Page: p.Place.Page, Start: p.Place.Start, End: p.Place.End}, Similarity: p.Similarity}
		if p.Box != (storage.Region{}) {
			out.Box = &p.Box
		}
		if p.OnPage != (storage.Region{}) {
			out.OnPage = &p.OnPage
		}
		all = append(all, out)
	}
	return all
}

// union returns regions without overlaps, in the order of the document. Of more than are
// remembered the nearest are joined.
func union(a, b []storage.PageSpan) []storage.PageSpan {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b storage.PageSpan) int {
		return cmp.Or(cmp.Compare(a.Page, b.Page), cmp.Compare(a.Start, b.Start))
	})
	var out []storage.PageSpan
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].Page == s.Page && s.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out = append(out, s)
	}
	for len(out) > maxRegions {
		at, least := 0, pageEnd+1
		for i := range len(out) - 1 {
			if gap := out[i+1].Start - out[i].End; out[i].Page == out[i+1].Page && gap < least {
				at, least = i, gap
			}
		}
		if least > pageEnd { // all on pages of their own
			return out[:maxRegions]
		}
		out[at].End = out[at+1].End
		out = slices.Delete(out, at+1, at+2)
	}
	return out
}

// within reports whether at least half of some regions lies in others.
func within(some, others []storage.PageSpan) bool {
	both, length := 0, 0
	for _, s := range some {
		length += s.End - s.Start
		for _, o := range others {
			if o.Page == s.Page {
				both += max(min(s.End, o.End)-max(s.Start, o.Start), 0)
			}
		}
	}
	return both > 0 && 2*both >= length
}
