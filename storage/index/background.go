package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/sealprint/sealprint/storage"
)

const (
	// mergeFanOut is how many segments of about the same size make one of the
	// next size. A posting is rewritten once per size: with eight, a hundred
	// million postings are three writes of each and at most a dozen segments.
	mergeFanOut = 8
	// tierBits is how much longer, in bits, the size of the next tier is.
	tierBits = 3
	// deadShare is the part of a segment, one in so many, that deleted documents
	// may take before it is rewritten without them.
	deadShare = 4
	// mergeRate is how many bytes a second merges write, so that look-ups and the log
	// have the rest of the disk; it allows for registering five million postings a
	// second. Where more than hurry segments wait, each look-up pays for every one of
	// them, and merges take what they can get.
	mergeRate = 64 << 20
	hurry     = 3 * mergeFanOut
	// syncEvery is how many bytes of a segment are written before they are synced, so
	// that no sync takes long: others wait for it.
	syncEvery = 8 << 20
	// retryDelay is how long after a failure the work is tried again; what it
	// waits for is mostly that somebody makes room on the disk.
	retryDelay = 5 * time.Second
)

// worker repeats a task whenever it is woken.
type worker struct{ signal chan struct{} }

func (w *worker) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// start runs a task in the background: at once, when woken, and again after
// retryDelay when it failed. A task reports whether there may be more to do.
func (ix *Index) start(ctx context.Context, task func(context.Context) (more bool, err error)) *worker {
	w := &worker{signal: make(chan struct{}, 1)}
	w.wake()
	ix.finished.Go(func() {
		var retry <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.signal:
			case <-retry:
			}
			retry = nil
			for more := true; more; {
				var err error
				if more, err = task(ctx); err != nil {
					more = false
					retry = time.After(retryDelay)
				}
			}
		}
	})
	return w
}

// flush makes a segment of the frozen memtable.
func (ix *Index) flush(ctx context.Context) (more bool, err error) {
	ix.mu.Lock()
	frozen, frozenSeq, failed := ix.frozen, ix.frozenSeq, ix.failed
	ix.lastNumber++
	number := ix.lastNumber
	ix.mu.Unlock()
	if frozen == 0 || failed != nil {
		return false, failed
	}
	err = ix.rewrite(ctx, Flushed, number, nil, func(v *view) []part {
		return slices.DeleteFunc(slices.Clone(v.parts), func(p part) bool { return p.log == 0 || p.log > frozen })
	}, func(m *manifest) { m.Flushed, m.Seq = frozen, frozenSeq })

	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.flushErr = err
	if err == nil {
		ix.frozen = 0
		ix.removeLogs(frozen)
		ix.merger.wake()
	}
	ix.cond.Broadcast()
	return false, err
}

// removeLogs removes the logs up to a number.
func (ix *Index) removeLogs(last uint64) {
	files, err := ix.disk.list()
	if err != nil {
		return // they are removed when the index is opened
	}
	for _, f := range files {
		if n, ok := fileNumber(f.name, logSuffix); ok && n <= last {
			_ = ix.disk.remove(f.name)
		}
	}
}

// mergeTier merges the segments that most deserve it.
func (ix *Index) mergeTier(ctx context.Context) (more bool, err error) {
	v, err := ix.acquire(ctx)
	if err != nil {
		return false, err
	}
	limit := rate.NewLimiter(mergeRate, syncEvery)
	if len(v.parts) > hurry {
		limit = nil
	}
	v.release()
	return ix.mergeSegments(ctx, limit, chooseMerge)
}

func (ix *Index) mergeSegments(ctx context.Context, limit *rate.Limiter, choose func([]part) []part) (merged bool, err error) {
	ix.merging.Lock()
	defer ix.merging.Unlock()
	ix.mu.Lock()
	ix.lastNumber++
	number, failed := ix.lastNumber, ix.failed
	ix.mu.Unlock()
	if failed != nil {
		return false, failed
	}
	err = ix.rewrite(ctx, Merged, number, limit, func(v *view) []part {
		chosen := choose(slices.DeleteFunc(slices.Clone(v.parts), func(p part) bool {
			return p.log != 0 || p.damaged.Load()
		}))
		merged = len(chosen) > 0
		return chosen
	}, func(*manifest) {})
	return merged, err
}

// chooseMerge chooses among healthy segments: mergeFanOut of one tier, or one
// of which too large a part is dead.
func chooseMerge(parts []part) []part {
	tiers := make(map[int][]part)
	for _, p := range parts {
		if p.dead != nil && (p.deadRows*deadShare > p.postings || p.alive() == 0) {
			return []part{p}
		}
		tier := bits.Len(uint(p.postings)) / tierBits
		tiers[tier] = append(tiers[tier], p)
		if crowd := tiers[tier]; len(crowd) == mergeFanOut && postings(crowd) <= maxPostings {
			return crowd
		}
	}
	return nil
}

// chooseAll chooses what has to be merged so that one segment without dead
// documents remains, or as few as the limit of postings allows.
func chooseAll(parts []part) []part {
	var chosen []part
	for _, p := range parts {
		if postings(chosen)+p.postings <= maxPostings {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 1 && chosen[0].dead == nil {
		return nil
	}
	return chosen
}

func postings(parts []part) (total int) {
	for _, p := range parts {
		total += p.postings
	}
	return total
}

// rewrite makes one segment of some parts of the current view and puts it in
// their place. Nothing is lost when it fails: the parts stay where they are,
// and what has been written of the segment goes.
func (ix *Index) rewrite(ctx context.Context, kind Kind, number uint64, limit *rate.Limiter, choose func(*view) []part, update func(*manifest)) (err error) {
	began := time.Now()
	name := fileName(number, segSuffix)
	event := Event{Kind: kind, File: name}
	defer func() {
		if err != nil && ctx.Err() == nil {
			ix.options.Events(Event{Kind: Failed, File: name, Took: time.Since(began), Err: err})
		}
	}()
	v, err := ix.acquire(ctx)
	if err != nil {
		return err
	}
	defer v.release()
	inputs := choose(v)
	if len(inputs) == 0 && kind == Merged {
		return nil
	}
	pl, err := planMerge(inputs, false)
	if err != nil {
		return err
	}
	var s *segment
	if len(pl.documents) > 0 {
		if s, err = ix.writeSegment(ctx, limit, name, ix.rows(pl.documents, func(sw *segmentWriter) error { return pl.merge(ctx, sw) })); err != nil {
			if errors.Is(err, storage.ErrCorrupt) {
				ix.blame(ctx, inputs)
			}
			return fmt.Errorf("write segment %s: %w", name, err)
		}
		event.Postings, event.Bytes = s.postings, int64(len(s.data))
	}
	err = ix.install(inputs, s, func(next *view, m *manifest) error {
		if pl.dropped > 0 {
			next.collected++
		}
		update(m)
		return nil
	})
	if err != nil {
		// The manifest may or may not have reached the disk, so the file stays.
		if s != nil {
			s.close()
		}
		return err
	}
	event.Took = time.Since(began)
	ix.options.Events(event)
	return nil
}

// blame finds out which of some parts are damaged.
func (ix *Index) blame(ctx context.Context, parts []part) {
	for _, p := range parts {
		if err := p.verify(ctx); errors.Is(err, storage.ErrCorrupt) {
			ix.reportDamage(p.segment, err)
		}
	}
}

// rows writes a segment of documents, whose rows add adds.
func (ix *Index) rows(documents []document, add func(*segmentWriter) error) func(io.Writer) error {
	return func(w io.Writer) error {
		sw, err := newSegmentWriter(w, ix.params, documents)
		if err == nil {
			err = add(sw)
		}
		if err == nil {
			err = sw.finish()
		}
		return err
	}
}

// paced is a file that is written as fast as a limit allows, if there is one.
type paced struct {
	file
	ctx      context.Context
	limit    *rate.Limiter
	unsynced int
}

func (p *paced) Write(b []byte) (int, error) {
	for left := len(b); left > 0 && p.limit != nil; left -= p.limit.Burst() {
		if err := p.limit.WaitN(p.ctx, min(left, p.limit.Burst())); err != nil {
			return 0, err
		}
	}
	n, err := p.file.Write(b)
	if p.unsynced += n; err == nil && p.unsynced >= syncEvery {
		p.unsynced = 0
		err = p.Sync()
	}
	return n, err
}

// writeSegment makes a segment file of what write writes.
func (ix *Index) writeSegment(ctx context.Context, limit *rate.Limiter, name string, write func(io.Writer) error) (*segment, error) {
	f, err := ix.disk.create(name)
	if err != nil {
		return nil, err
	}
	err = write(&paced{file: f, ctx: ctx, limit: limit})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		var s *segment
		if s, err = openSegment(ix.disk, name, ix.params); err == nil {
			return s, nil
		}
	}
	_ = ix.disk.remove(name)
	return nil, err
}

// install commits a manifest in which s stands in the place of the inputs, and
// publishes the same. Before that update is told of both and may change its mind.
func (ix *Index) install(inputs []part, s *segment, update func(*view, *manifest) error) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	switch {
	case ix.closed:
		return storage.ErrClosed
	case ix.failed != nil:
		return fmt.Errorf("the index takes no changes since %w", ix.failed)
	}
	next := ix.view.Load().replace(inputs, s, 0)
	m := ix.manifest
	if err := update(next, &m); err != nil {
		return err
	}
	m.Collected = next.collected
	m.Deleted = encodeOrdinals(next.deleted)
	m.Segments = nil
	for _, entry := range ix.manifest.Segments {
		if slices.Contains(next.broken, entry.name()) {
			m.Segments = append(m.Segments, entry)
		}
	}
	for _, p := range next.parts {
		if number, ok := fileNumber(p.name, segSuffix); ok {
			m.Segments = append(m.Segments, manifestSegment{number, int64(len(p.data)), p.documents, p.postings})
		}
	}
	// Later segments are newer copies of what several hold.
	slices.SortFunc(m.Segments, func(a, b manifestSegment) int { return int(a.Number) - int(b.Number) })
	if err := m.commit(ix.disk); err != nil {
		// Which manifest the next start will find is not known. Both are good
		// for what has been acknowledged so far, but only for that.
		ix.refuse(manifestName, err)
		return err
	}
	ix.manifest = m
	for _, p := range inputs {
		p.obsolete.Store(true)
	}
	ix.publish(next)
	return nil
}

// Compact flushes the memtable and merges all segments into one, so that
// look-ups are fastest and nothing of deleted documents is left on disk. It
// needs room for a second copy of the index. Reading and writing go on
// meanwhile; what is written may stay outside.
func (ix *Index) Compact(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ix.lifetime, cancel)()
	if err := ix.flushNow(ctx); err != nil {
		return fmt.Errorf("compact index: %w", err)
	}
	if _, err := ix.mergeSegments(ctx, nil, chooseAll); err != nil {
		return fmt.Errorf("compact index: %w", err)
	}
	return nil
}

// flushNow has everything flushed that was written before.
func (ix *Index) flushNow(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		ix.cond.Broadcast()
	})()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	rotated := false
	for {
		switch {
		case ix.closed:
			return storage.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case ix.failed != nil:
			return ix.failed
		case ix.frozen != 0 && ix.flushErr != nil:
			return ix.flushErr
		case ix.frozen != 0:
			ix.cond.Wait()
		case rotated || ix.log == nil || ix.log.durable == preambleSize:
			return nil
		default:
			if err := ix.rotate(); err != nil {
				return err
			}
			rotated = true
		}
	}
}
