package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// memoryFanOut is how many runs of about the same size the memtable may hold.
// Fewer make look-ups faster, more make appending cheaper.
const memoryFanOut = 4

// change is an Append or a Delete on its way into the index.
type change struct {
	sheets  []storage.Sheet   // ascending, no ordinal twice
	deletes []storage.Ordinal // ascending, no ordinal twice

	record []byte   // as in the log
	run    *segment // the sheets, sorted
	done   bool
	err    error
}

func (c *change) prepare(ctx context.Context, params fingerprint.Params) (err error) {
	c.run, err = newRun(ctx, params, c.sheets)
	return err
}

// apply makes a change durable and visible. Changes that arrive while the disk
// is busy wait in a queue; the first to get hold of the index takes all of them
// along, in one frame of the log and with one sync, and the others find
// themselves done.
func (ix *Index) apply(c *change) error {
	ix.queueMu.Lock()
	ix.queue = append(ix.queue, c)
	ix.queueMu.Unlock()

	ix.mu.Lock()
	defer ix.mu.Unlock()
	for !c.done {
		ix.commitGroup()
	}
	return c.err
}

func (ix *Index) commitGroup() {
	err := ix.makeRoom()
	group := ix.takeGroup()
	if err == nil {
		err = ix.commit(group)
	}
	for _, c := range group {
		c.done = true
		if c.err == nil {
			c.err = err
		}
	}
}

// takeGroup takes changes from the queue, as many as one frame holds.
func (ix *Index) takeGroup() []*change {
	ix.queueMu.Lock()
	defer ix.queueMu.Unlock()
	n, size := 0, 0
	for n < len(ix.queue) {
		size += len(ix.queue[n].record) + 5 + 4*len(ix.queue[n].deletes)
		if n > 0 && size > maxFrame {
			break
		}
		n++
	}
	group := ix.queue[:n:n]
	ix.queue = ix.queue[n:]
	return group
}

// makeRoom waits until the memtable can take more.
func (ix *Index) makeRoom() error {
	for {
		switch {
		case ix.closed:
			return storage.ErrClosed
		case ix.failed != nil:
			return fmt.Errorf("the index takes no changes since %w", ix.failed)
		case ix.log != nil && !ix.full():
			return nil
		case ix.frozen == 0 || ix.log == nil:
			return ix.rotate()
		case ix.flushErr != nil:
			return fmt.Errorf("memory is full and cannot be flushed: %w", ix.flushErr)
		}
		ix.cond.Wait()
	}
}

// full reports whether the memtable has reached its budget. Deletes take room
// in the log only, and a log should not grow for ever either.
func (ix *Index) full() bool {
	return max(ix.memtable(), ix.log.durable) >= ix.options.MemoryBudget
}

// memtable is how many bytes the runs in memory are.
func (ix *Index) memtable() (size int64) {
	for _, p := range ix.view.Load().parts {
		if p.log == ix.log.number {
			size += int64(len(p.data))
		}
	}
	return size
}

// A memtable that has a part of its budget, one in quietShare, is flushed once nothing has
// come for some time: a look-up asks each of its runs, which may be a dozen, and the next
// start has the log to read. What is smaller is not worth a segment.
const (
	quiet      = 2 * time.Second
	quietShare = 16
)

// flushQuiet has such a memtable flushed.
func (ix *Index) flushQuiet() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.closed || ix.failed != nil || ix.log == nil || ix.frozen != 0 || ix.memtable() < ix.options.MemoryBudget/quietShare {
		return
	}
	if err := ix.rotate(); err != nil { // whoever appends next goes on with the log that there is
		ix.options.Events(Event{Kind: Failed, File: fileName(ix.lastNumber, logSuffix), Err: err})
	}
}

// directShare is the part of the memory budget, one in so many, from which on an
// Append is large enough to be a segment of its own.
const directShare = 4

// appendSegment stores a large run as a segment, past the log and the memtable: a
// bulk registration is an external sort then, whose runs the merges put together.
// Done is false if some of the sheets turn out to be stored already.
func (ix *Index) appendSegment(ctx context.Context, c *change) (done bool, err error) {
	began := time.Now()
	ix.mu.Lock()
	ix.lastNumber++
	name := fileName(ix.lastNumber, segSuffix)
	ix.mu.Unlock()
	s, err := ix.writeSegment(ctx, nil, name, func(f io.Writer) error {
		_, err := f.Write(c.run.data)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("write segment %s: %w", name, err)
	}
	// Once it is installed, a merge may take it away.
	event := Event{Kind: Flushed, File: name, Postings: s.postings, Bytes: int64(len(s.data))}
	stored := false
	err = ix.install(nil, s, func(next *view, m *manifest) error {
		next.direct++
		m.Direct = next.direct
		for _, sheet := range c.sheets {
			if next.isDeleted(sheet.Ordinal) {
				return deletedSheet(sheet.Ordinal)
			}
			_, _, found := ix.view.Load().locate(sheet.Ordinal)
			stored = stored || found
		}
		if stored {
			return storage.ErrConflict
		}
		return nil
	})
	if stored || errors.Is(err, storage.ErrConflict) {
		s.close()
		_ = ix.disk.remove(name)
		if stored {
			err = nil
		}
		return false, err
	}
	if err != nil {
		s.close() // the file stays: the manifest may have reached the disk
		return false, err
	}
	ix.merger.wake()
	event.Took = time.Since(began)
	ix.options.Events(event)
	return true, nil
}

func deletedSheet(o storage.Ordinal) error {
	return fmt.Errorf("sheet %d has been deleted: %w", o, storage.ErrConflict)
}

// rotate begins a new log, and with it a new memtable, and has the old ones
// flushed.
func (ix *Index) rotate() error {
	ix.lastNumber++
	log, err := createLog(ix.disk, ix.lastNumber)
	if err != nil {
		return err
	}
	if ix.log != nil {
		ix.frozen, ix.frozenSeq = ix.log.number, ix.view.Load().seq
		// All that was written to it has been synced.
		_ = ix.log.file.Close()
		ix.flusher.wake()
	}
	ix.log = log
	return nil
}

// commit stages a group on the current view, writes what it comes to into the
// log and publishes the outcome. An error of its own is set in a change; the
// error returned is everybody's, even of those that changed nothing, because
// they may have found what another change of the group was about to store.
func (ix *Index) commit(group []*change) error {
	before := ix.view.Load()
	staged := before
	var records [][]byte
	for _, c := range group {
		var next *view
		err := guard(func() (err error) {
			next, err = ix.stage(staged, c)
			return err
		})
		if err != nil {
			c.err = err
			continue
		}
		if next != nil {
			next.seq++
			staged = next
			records = append(records, c.record)
		}
	}
	if len(records) == 0 {
		return nil
	}
	if err := ix.log.append(before.seq+1, records); err != nil {
		ix.refuse(fileName(ix.log.number, logSuffix), err)
		return err
	}
	ix.publish(settle(staged, ix.log.number, ix.params))
	ix.quiet.Reset(quiet)
	return nil
}

// refuse has every later change fail: what is on disk is no longer known for
// sure, and only opening the index again finds out.
func (ix *Index) refuse(file string, err error) {
	ix.failed = err
	ix.cond.Broadcast()
	ix.options.Events(Event{Kind: Refused, File: file, Err: err})
}

// stage returns the view after a change, or nil when it changes nothing.
func (ix *Index) stage(v *view, c *change) (*view, error) {
	if c.run == nil {
		next, buried := v.bury(c.deletes)
		if next != nil {
			c.record = encodeRecord(record{deleted: buried})
		}
		return next, nil
	}
	fresh := make([]storage.Sheet, 0, len(c.sheets))
	for _, s := range c.sheets {
		if v.isDeleted(s.Ordinal) {
			return nil, deletedSheet(s.Ordinal)
		}
		if _, _, stored := v.locate(s.Ordinal); !stored {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	if len(fresh) < len(c.sheets) {
		c.sheets = fresh
		if err := c.prepare(context.Background(), ix.params); err != nil {
			return nil, err
		}
		c.record = encodeRecord(record{sheets: c.sheets})
	}
	return v.replace(nil, c.run, ix.log.number), nil
}

// settle merges the runs of a memtable until no memoryFanOut of them are of
// about the same size. Dead documents stay until the flush: without it, a look-up
// must not be able to tell.
func settle(v *view, log uint64, params fingerprint.Params) *view {
	for {
		tiers := make(map[int][]part)
		var crowd []part
		for _, p := range v.parts {
			if p.log != log {
				continue
			}
			tier := bits.Len(uint(len(p.data))) / 2
			tiers[tier] = append(tiers[tier], p)
			if len(tiers[tier]) == memoryFanOut {
				crowd = tiers[tier]
			}
		}
		if crowd == nil {
			return v
		}
		pl, err := planMerge(crowd, true)
		if err != nil {
			return v // too large to be one; they may stay apart
		}
		run, err := newSegment(params, pl.documents, func(sw *segmentWriter) error { return pl.merge(context.Background(), sw) })
		if err != nil {
			return v
		}
		v = v.replace(crowd, run, log)
	}
}
