package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/storage"
)

// Drawing is the version of how pages are drawn and what is kept of their look. Pages
// drawn by an earlier one are drawn again.
const Drawing = 1

// notKept is why pages are not drawn of a file that nobody has any more.
const notKept = "the file was not kept until its pages were drawn; register it again"

// A registered file is looked at twice. Its text is found as soon as it is registered;
// behind that its pages are drawn, which takes longer, and known by their look from then
// on. The registry says which versions are still to be drawn, so that none is forgotten.
//
// Until then the file is held in memory, if there is room. One that was uploaded waits
// for room, since nobody may send it again; others are fetched again.
type drawer struct {
	room *semaphore.Weighted
	wake chan struct{}
	slot chan struct{} // held by each file that is being drawn
	wait sync.WaitGroup

	storing sync.Mutex // held while what was drawn is stored: sheets are appended in the order of their ordinals

	mu     sync.Mutex
	coming map[storage.Ordinal]bool // versions whose files are about to be kept
	kept   map[storage.Ordinal]kept
	round  int // of going through all that is to be drawn
	busy   map[storage.Ordinal]bool
	later  map[storage.Ordinal]time.Time // when to try again what cannot be fetched
}

// kept is a file that waits, since a round.
type kept struct {
	spooled
	round int
}

// spooled is a file in memory; the zero one is none.
type spooled struct {
	*os.File
	size int64
	sum  sums   // if it was read for something else
	free func() // gives its room back; nil: it has none
}

func (s spooled) close() {
	if s.File != nil {
		s.Close()
	}
	if s.free != nil {
		s.free()
	}
}

func newDrawer(atATime int) *drawer {
	return &drawer{
		room: semaphore.NewWeighted(MaxKeptBytes), wake: make(chan struct{}, 1), slot: make(chan struct{}, atATime),
		coming: map[storage.Ordinal]bool{}, kept: map[storage.Ordinal]kept{}, busy: map[storage.Ordinal]bool{}, later: map[storage.Ordinal]time.Time{},
	}
}

// awake has the drawer look what there is to draw.
func (d *drawer) awake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// expect has nobody draw a version before its file is kept or given up. The version may be
// seen as soon as it is committed.
func (d *drawer) expect(o storage.Ordinal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.coming[o] = true
}

// giveUp ends the wait for a file.
func (d *drawer) giveUp(o storage.Ordinal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.coming, o)
}

// keep takes over a file until its version is drawn.
func (r *Registrar) keep(ctx context.Context, p *prepared) {
	d, file := r.drawer, p.spool
	p.spool = spooled{}
	defer d.awake()
	defer d.giveUp(p.ordinal)
	again := p.file.Archive && r.archive == nil // nobody can be asked for it again
	switch {
	case !again && !d.room.TryAcquire(file.size), again && d.room.Acquire(ctx, file.size) != nil:
		file.close()
	default:
		file.free = func() { d.room.Release(file.size) }
		d.put(p.ordinal, file)
	}
}

func (d *drawer) put(o storage.Ordinal, file spooled) {
	d.mu.Lock()
	old := d.kept[o]
	d.kept[o] = kept{file, d.round}
	d.mu.Unlock()
	old.close()
}

// take returns the file of a version, if it was kept.
func (d *drawer) take(o storage.Ordinal) (file spooled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file = d.kept[o].spooled
	delete(d.kept, o)
	return file
}

// nextRound closes the files that nobody needs: those that waited through a whole round
// in which their versions were not to be drawn.
func (d *drawer) nextRound(seen map[storage.Ordinal]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for o, file := range d.kept {
		if file.round < d.round && !seen[o] && !d.busy[o] {
			file.close()
			delete(d.kept, o)
		}
	}
	d.round++
}

// begin reports whether a version is to be drawn now, by the caller.
func (d *drawer) begin(o storage.Ordinal) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[o] || d.coming[o] || time.Now().Before(d.later[o]) {
		return false
	}
	delete(d.later, o)
	d.busy[o] = true
	return true
}

func (d *drawer) end(o storage.Ordinal, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, o)
	if err != nil {
		d.later[o] = time.Now().Add(drawAgainAfter)
	}
}

// close gives back what is kept.
func (d *drawer) close() {
	d.wait.Wait()
	for _, file := range d.kept {
		file.close()
	}
	clear(d.kept)
}

// drawAll draws what is to be drawn until ctx ends.
func (r *Registrar) drawAll(ctx context.Context) {
	const some = 100
	var after storage.Ordinal
	seen := map[storage.Ordinal]bool{} // in this round
	for ctx.Err() == nil {
		versions, err := r.registry.Undrawn(ctx, Drawing, after, some)
		if err != nil {
			versions = nil // the registry tells those who ask it
		}
		for _, v := range versions {
			after, seen[v.Ordinal] = v.Ordinal, true
			if !r.drawer.begin(v.Ordinal) {
				continue
			}
			select {
			case r.drawer.slot <- struct{}{}:
			case <-ctx.Done():
				return
			}
			r.drawer.wait.Go(func() {
				// It may have been drawn since it was listed.
				left, err := r.registry.Undrawn(ctx, Drawing, v.Ordinal-1, 1)
				if err == nil && len(left) > 0 && left[0].Ordinal == v.Ordinal {
					err = r.draw(ctx, v)
				}
				r.drawer.end(v.Ordinal, err)
				<-r.drawer.slot
			})
		}
		if len(versions) > 0 {
			continue
		}
		if err == nil {
			r.drawer.nextRound(seen)
		}
		after = 0
		clear(seen)
		select {
		case <-ctx.Done():
		case <-r.drawer.wake:
		case <-time.After(drawAgainAfter):
		}
	}
}

// draw draws a version and stores what comes of it. An error means that it is to be tried
// again.
func (r *Registrar) draw(ctx context.Context, v storage.Version) (err error) {
	file := r.drawer.take(v.Ordinal)
	if file.File != nil {
		defer func() {
			if err != nil {
				r.drawer.put(v.Ordinal, file)
			} else {
				file.close()
			}
		}()
	} else {
		file, err = r.fetchAgain(ctx, v)
		if err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrConflict) {
			return err
		}
		defer file.close()
	}
	looks := Looks{Undrawn: notKept}
	if file.File != nil {
		if looks, err = r.looks(ctx, file.File, file.size, v.MediaType); err != nil {
			return err
		}
	}
	return r.storeDrawn(context.WithoutCancel(ctx), v.Ordinal, looks)
}

// storeDrawn stores fingerprints first and what is said about them second, as attempt
// does.
func (r *Registrar) storeDrawn(ctx context.Context, version storage.Ordinal, looks Looks) error {
	r.drawer.storing.Lock()
	defer r.drawer.storing.Unlock()
	drawn := storage.Drawn{Version: version, By: Drawing, Undrawn: looks.Undrawn, Drawings: looks.Drawings}
	var laidOut []storage.Ordinal
	if len(looks.Drawings) > 0 {
		first, err := r.registry.ReserveOrdinals(ctx, len(looks.Drawings))
		if err != nil {
			return fmt.Errorf("reserve %d ordinals: %w", len(looks.Drawings), err)
		}
		var sheets []storage.Sheet
		for i := range looks.Drawings {
			o := first + storage.Ordinal(i)
			drawn.Drawings[i].Ordinal, drawn.Drawings[i].Version = o, version
			if hashes := looks.Layouts[i]; hashes != nil {
				sheets = append(sheets, storage.Sheet{Ordinal: o, Window: 1, Hashes: hashes})
				laidOut = append(laidOut, o)
			}
		}
		if err := r.pages.Append(ctx, sheets); err != nil {
			return fmt.Errorf("append %d sheets: %w", len(sheets), err)
		}
	}
	before, err := r.registry.DrawingsOf(ctx, true, drawn.Version)
	if err == nil {
		err = r.registry.Commit(ctx, storage.Changes{Drawn: []storage.Drawn{drawn}})
	}
	gone := before
	if err != nil {
		gone = laidOut
	}
	// If this fails, they are left to reconcile.
	_ = r.pages.Delete(ctx, gone)
	if errors.Is(err, storage.ErrConflict) {
		return nil // the version was deleted, or read again: there is nothing to draw, or it comes anew
	}
	return err
}

// drawing is what is kept of a page or picture, before it has an ordinal.
type drawing struct {
	storage.Drawing
	layout *page.Sheet
}

// seal makes the fingerprints of a page; nil if it has no layout.
func (d *drawing) seal(key *fingerprint.Key) []fingerprint.Hash {
	if d.layout == nil {
		return nil
	}
	return key.SealAll(d.layout.Hashes())
}

// drawings returns what is kept of a page, and of the pictures on it.
func drawings(l Look) []drawing {
	if l.W == 0 || l.H == 0 {
		return nil
	}
	whole := drawing{Drawing: storage.Drawing{Page: l.Number, Part: l.Part, Hash: hashOf(l.Picture)}, layout: page.Read(l.Picture)}
	if whole.layout != nil {
		whole.Layout = whole.layout.Encode()
	}
	all := []drawing{whole}
	for _, region := range l.Pictures {
		if region.Width*region.Height > fullPage {
			continue // the page is a scan
		}
		if h := hashOf(l.Crop(region.X, region.Y, region.Width, region.Height)); h != nil {
			all = append(all, drawing{Drawing: storage.Drawing{Page: l.Number, Part: l.Part, Region: region, Hash: h}})
		}
	}
	return slices.DeleteFunc(all, func(d drawing) bool { return d.Layout == nil && d.Hash == nil })
}

// fullPage is the share of a page from which on a picture on it is the page.
const fullPage = 0.9

// hashOf returns the perceptual hash of a picture; nil if there is too little to see.
func hashOf(p Picture) []byte {
	h, quality := pdq.Of(p)
	if quality < pdq.Good {
		return nil
	}
	return h[:]
}

// redraw has versions drawn again whose layouts are not all in the index of pages.
func (r *Registrar) redraw(ctx context.Context, lost []storage.Ordinal) error {
	found, err := r.registry.Drawings(ctx, lost)
	if err != nil {
		return fmt.Errorf("look up drawings: %w", err)
	}
	var changes storage.Changes
	for _, d := range found {
		changes.Drawn = append(changes.Drawn, storage.Drawn{Version: d.Version})
	}
	slices.SortFunc(changes.Drawn, func(a, b storage.Drawn) int { return cmp.Compare(a.Version, b.Version) })
	changes.Drawn = slices.CompactFunc(changes.Drawn, func(a, b storage.Drawn) bool { return a.Version == b.Version })
	if err := r.registry.Commit(ctx, changes); err != nil {
		return fmt.Errorf("have %d versions drawn again: %w", len(changes.Drawn), err)
	}
	return nil
}
