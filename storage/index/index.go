package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// DefaultMemoryBudget is 9.4 million postings. Two memtables may be in memory
// at a time, the one being flushed and the one being filled.
const DefaultMemoryBudget = 64 << 20

// Options tune an index; the zero value is good.
type Options struct {
	// MemoryBudget is how large, in bytes, the memtable may become before it is
	// flushed to a segment. Zero means DefaultMemoryBudget.
	MemoryBudget int64
	// Events, when set, is told what happens in the background. It may be
	// called by several goroutines at once, must be quick, and must not call the
	// index.
	Events func(Event)
}

func (o Options) withDefaults() Options {
	o.MemoryBudget = cmp.Or(o.MemoryBudget, DefaultMemoryBudget)
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	return o
}

// Index is an index in a folder. It implements [storage.Index].
type Index struct {
	disk    disk
	options Options
	lock    io.Closer

	// identity and params are those of the manifest, which never change.
	identity string
	params   fingerprint.Params

	// view is what readers see; nil once the index is closed. It is only
	// stored to with mu held.
	view atomic.Pointer[view]

	queueMu sync.Mutex
	queue   []*change

	// mu is held by whoever changes the index, across the writes that make the
	// change durable. Readers never take it.
	mu         sync.Mutex
	cond       sync.Cond // of mu: a flush has ended or failed, or the index closes
	manifest   manifest
	log        *writeLog // nil until the first write
	lastNumber uint64    // the last number given to a file
	frozen     uint64    // logs up to this number are to be flushed; zero for none
	frozenSeq  uint64    // changes up to the end of that log
	flushErr   error     // of the last flush, nil once one succeeded
	failed     error     // why no more changes are taken
	closed     bool

	merging  sync.Mutex // held while segments on disk are merged
	flusher  *worker
	merger   *worker
	quiet    *time.Timer // runs out when nothing is appended
	finished sync.WaitGroup
	lifetime context.Context // ends with Close
	end      context.CancelFunc
}

var _ storage.Index = (*Index)(nil)

// Open opens the index in a folder, or makes one there. The folder belongs to
// this index alone until it is closed; a second Open fails.
//
// Params that differ from those the index was made with are an error of kind
// [fingerprint.ErrParams]. A damaged manifest or log is one of kind
// [storage.ErrCorrupt]. Damaged segments do not keep the index from opening:
// every Answer names them, until the files are restored or given up by
// [Forget].
func Open(dir string, params fingerprint.Params, options Options) (*Index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	// A new index is to be found after a crash.
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	ix, err := openOn(folder(dir), params, options)
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", dir, err)
	}
	return ix, nil
}

func openOn(d disk, params fingerprint.Params, options Options) (*Index, error) {
	if options.MemoryBudget < 0 {
		return nil, fmt.Errorf("memory budget %d is negative", options.MemoryBudget)
	}
	lock, err := d.lock()
	if err != nil {
		return nil, err
	}
	ix := &Index{disk: d, options: options.withDefaults(), lock: lock}
	ix.cond.L = &ix.mu
	if err := ix.load(params); err != nil {
		if v := ix.view.Load(); v != nil {
			v.release()
		}
		if ix.log != nil {
			ix.log.file.Close()
		}
		lock.Close()
		return nil, err
	}
	ix.lifetime, ix.end = context.WithCancel(context.Background())
	ix.merger = ix.start(ix.lifetime, ix.mergeTier) // first: the flusher wakes it
	ix.flusher = ix.start(ix.lifetime, ix.flush)
	ix.quiet = time.AfterFunc(quiet, ix.flushQuiet)
	ix.finished.Go(func() { ix.scrub(ix.lifetime) })
	return ix, nil
}

// load brings the state from disk.
func (ix *Index) load(params fingerprint.Params) error {
	files, err := ix.disk.list()
	if err != nil {
		return err
	}
	ix.manifest, err = readManifest(ix.disk)
	if os.IsNotExist(err) {
		// The manifest is the first file that an index writes. Where there are
		// others, it was lost, and to begin anew would throw them away.
		for _, f := range files {
			_, isLog := fileNumber(f.name, logSuffix)
			_, isSeg := fileNumber(f.name, segSuffix)
			if isLog || isSeg {
				return fmt.Errorf("manifest: gone, but %s is there: %w", f.name, storage.ErrCorrupt)
			}
		}
		ix.manifest = newManifest(params)
		err = ix.manifest.commit(ix.disk)
	}
	if err != nil {
		return err
	}
	if err := params.Check(ix.manifest.Params); err != nil {
		return err
	}
	ix.identity, ix.params = ix.manifest.Identity, ix.manifest.Params
	deleted, err := decodeOrdinals(ix.manifest.Deleted)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	for _, f := range files {
		if n, ok := fileNumber(f.name, segSuffix); ok {
			ix.lastNumber = max(ix.lastNumber, n)
		}
	}
	if err := ix.migrate(); err != nil {
		return err
	}
	v := &view{deleted: deleted, seq: ix.manifest.Seq, direct: ix.manifest.Direct, collected: ix.manifest.Collected}
	if err := ix.loadSegments(v); err != nil {
		return err
	}
	ix.publish(v)
	logs := ix.sweep(files)
	return ix.replay(logs)
}

// loadSegments opens the segments that the manifest names.
func (ix *Index) loadSegments(v *view) error {
	closeAll := func() {
		for _, p := range v.parts {
			p.close()
		}
	}
	for _, entry := range ix.manifest.Segments {
		ix.lastNumber = max(ix.lastNumber, entry.Number)
		s, err := openSegment(ix.disk, entry.name(), ix.params)
		if err == nil && (int64(len(s.data)) != entry.Bytes || s.documents == 0) {
			s.close()
			err = fmt.Errorf("segment %s: not the one in the manifest: %w", entry.name(), storage.ErrCorrupt)
		}
		if isNewer(err) {
			closeAll()
			return err
		}
		if err != nil {
			v.broken = append(v.broken, entry.name())
			ix.options.Events(Event{Kind: Damaged, File: entry.name(), Err: err})
			continue
		}
		v.parts = append(v.parts, v.adopt(s, 0))
	}
	v.hideDuplicates()
	v.sortParts()
	return nil
}

// hideDuplicates buries all but the newest copy of sheets that several segments
// hold. That comes of a damaged segment whose sheets were appended anew and
// that was restored afterwards.
func (v *view) hideDuplicates() {
	// Segments follow each other, mostly, and then there is nothing to compare.
	sorted := slices.Clone(v.parts)
	slices.SortFunc(sorted, func(a, b part) int { return cmp.Compare(a.first, b.first) })
	apart := true
	for i := 1; i < len(sorted); i++ {
		apart = apart && sorted[i-1].last < sorted[i].first
	}
	if apart {
		return
	}
	type copies struct {
		ordinal    storage.Ordinal
		part, slot int
	}
	var all []copies
	for i, p := range v.parts {
		for slot := range p.documents {
			if !p.dead.has(slot) {
				all = append(all, copies{p.document(slot).ordinal, i, slot})
			}
		}
	}
	slices.SortFunc(all, func(a, b copies) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.part, b.part))
	})
	for i, c := range all {
		if i+1 < len(all) && all[i+1].ordinal == c.ordinal {
			v.parts[c.part] = v.parts[c.part].bury([]int{c.slot})
		}
	}
}

// sweep removes what a crash left behind and returns the numbers of the logs
// to replay.
func (ix *Index) sweep(files []fileInfo) (logs []uint64) {
	for _, f := range files {
		name := f.name
		if n, ok := fileNumber(name, logSuffix); ok {
			ix.lastNumber = max(ix.lastNumber, n)
			if n > ix.manifest.Flushed {
				logs = append(logs, n)
				continue
			}
		} else if n, ok := fileNumber(name, segSuffix); ok {
			ix.lastNumber = max(ix.lastNumber, n)
			if slices.ContainsFunc(ix.manifest.Segments, func(s manifestSegment) bool { return s.Number == n }) {
				continue
			}
		} else if name != manifestName+tempSuffix {
			continue
		}
		// A file that stays is in nobody's way and goes the next time.
		_ = ix.disk.remove(name)
	}
	ix.lastNumber = max(ix.lastNumber, ix.manifest.Flushed)
	slices.Sort(logs)
	return logs
}

// replay brings back the memtable and has it flushed. Nothing is added to a log that
// was there before: if its last sync failed, its end is in memory only, whatever
// another sync says, and what came behind it would be lost with it.
func (ix *Index) replay(logs []uint64) error {
	for _, number := range logs {
		name := fileName(number, logSuffix)
		data, err := ix.disk.load(name)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		v := ix.view.Load()
		var sound int
		err = guard(func() (err error) {
			sound, err = readLog(data, v.seq+1, func(r record) error {
				v, err = ix.replayRecord(v, number, r)
				return err
			})
			return err
		})
		size := len(data)
		ix.disk.unload(data)
		if err != nil {
			return fmt.Errorf("log %s: %w", name, err)
		}
		if v != ix.view.Load() {
			ix.publish(v)
		}
		// The numbers of changes tell whether a log that ends too soon lacks any.
		if sound < size {
			ix.options.Events(Event{Kind: Cut, File: name, Bytes: int64(size - sound)})
		}
		ix.frozen, ix.frozenSeq = number, v.seq
	}
	return nil
}

func (ix *Index) replayRecord(v *view, log uint64, r record) (*view, error) {
	if r.sheets == nil {
		slices.Sort(r.deleted)
		next, _ := v.bury(r.deleted)
		if next == nil {
			next = v.next() // deleted before, by the manifest
		}
		next.deleted = union(next.deleted, r.deleted)
		next.seq++
		return next, nil
	}
	next := v
	// A segment that was missing when the record was written may be back.
	sheets := slices.DeleteFunc(r.sheets, func(s storage.Sheet) bool {
		_, _, stored := v.locate(s.Ordinal)
		return stored
	})
	if len(sheets) == 0 {
		next = v.next()
	} else {
		run, err := newRun(context.Background(), ix.params, sheets)
		if err != nil {
			return nil, err
		}
		next = v.replace(nil, run, log)
	}
	next.seq++
	return settle(next, log, ix.params), nil
}

// publish makes v, a new view, what readers see. mu is held, or nobody else knows the index.
func (ix *Index) publish(v *view) {
	v.refs.Store(1)
	for _, p := range v.parts {
		p.retain()
	}
	if old := ix.view.Swap(v); old != nil {
		old.release()
	}
}

// acquire returns the current view, to be released after use.
func (ix *Index) acquire(ctx context.Context) (*view, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		v := ix.view.Load()
		if v == nil {
			return nil, storage.ErrClosed
		}
		if v.retain() {
			return v, nil
		}
	}
}

// Lookup implements [storage.Index].
func (ix *Index) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	v, err := ix.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	defer v.release()
	answer := &storage.Answer{Lists: make([]storage.List, len(hashes))}
	limit = max(0, limit)
	for _, p := range v.parts {
		answer.Postings += int64(p.postings)
		if err := p.lookup(hashes, limit, answer.Lists); err != nil {
			ix.reportDamage(p.segment, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("look up: %w", err)
		}
	}
	answer.Missing = v.missing()
	answer.Version = v.version(ix.identity, answer.Missing)
	return answer, nil
}

// reportDamage notes that a segment turned out to be damaged while in use. It
// goes on answering as well as it can, but every answer names it, and merges
// leave it alone.
func (ix *Index) reportDamage(s *segment, err error) {
	if s.damaged.CompareAndSwap(false, true) {
		ix.options.Events(Event{Kind: Damaged, File: s.name, Err: err})
	}
}

// Ordinals implements [storage.Index].
func (ix *Index) Ordinals(ctx context.Context) ([]storage.Ordinal, error) {
	v, err := ix.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ordinals: %w", err)
	}
	defer v.release()
	ordinals := []storage.Ordinal{}
	for _, p := range v.parts {
		err := guard(func() error {
			for slot := range p.documents {
				if !p.dead.has(slot) {
					ordinals = append(ordinals, p.document(slot).ordinal)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list ordinals of %s: %w", p.name, err)
		}
	}
	slices.Sort(ordinals)
	return ordinals, nil
}

// Stats implements [storage.Index]. Segments that could not be opened count as
// segments, but nothing is known of what is in them.
func (ix *Index) Stats(ctx context.Context) (storage.IndexStats, error) {
	v, err := ix.acquire(ctx)
	if err != nil {
		return storage.IndexStats{}, fmt.Errorf("index stats: %w", err)
	}
	defer v.release()
	stats := storage.IndexStats{
		Segments: len(v.broken),
		Version:  v.version(ix.identity, v.missing()),
		Params:   ix.params,
	}
	for _, p := range v.parts {
		stats.Documents += p.alive()
		stats.Postings += int64(p.postings - p.deadRows)
		if p.log == 0 {
			stats.Segments++
		}
	}
	files, err := ix.disk.list()
	if err != nil {
		return storage.IndexStats{}, fmt.Errorf("index stats: %w", err)
	}
	for _, f := range files {
		stats.Bytes += f.size
	}
	return stats, nil
}

// Append implements [storage.Index].
func (ix *Index) Append(ctx context.Context, sheets []storage.Sheet) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for _, s := range sheets {
		if err := checkSheet(s); err != nil {
			return fmt.Errorf("append sheet %d: %w", s.Ordinal, err)
		}
	}
	// Within one call, too, the first sheet of an ordinal is the one that counts.
	sheets = slices.Clone(sheets)
	slices.SortStableFunc(sheets, func(a, b storage.Sheet) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	sheets = slices.CompactFunc(sheets, func(a, b storage.Sheet) bool { return a.Ordinal == b.Ordinal })
	if size := recordSize(record{sheets: sheets}); size > maxRecord {
		return fmt.Errorf("append: %d bytes at once, at most %d", size, maxRecord)
	}
	if err := ix.append(ctx, sheets); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

func (ix *Index) append(ctx context.Context, sheets []storage.Sheet) error {
	c := &change{sheets: sheets}
	if len(sheets) > 0 {
		// Sorting is most of the work of an Append; here several do it at the same time.
		if err := c.prepare(ctx, ix.params); err != nil {
			return err
		}
		if int64(len(c.run.data)) >= ix.options.MemoryBudget/directShare {
			if done, err := ix.appendSegment(ctx, c); done || err != nil {
				return err
			}
		}
		c.record = encodeRecord(record{sheets: sheets})
	}
	return ix.apply(c)
}

func checkSheet(s storage.Sheet) error {
	if err := s.Window.Validate(); err != nil {
		return err
	}
	if uint64(len(s.Hashes))*uint64(s.Window) > math.MaxUint32 {
		return fmt.Errorf("%d fingerprints, the last of them at a position beyond 32 bits", len(s.Hashes))
	}
	for i, h := range s.Hashes {
		if h>>fingerprint.HashBits != 0 {
			return fmt.Errorf("fingerprint %d: wider than %d bits", i, fingerprint.HashBits)
		}
	}
	return nil
}

// Delete implements [storage.Index].
func (ix *Index) Delete(ctx context.Context, ordinals []storage.Ordinal) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	ordinals = slices.Clone(ordinals)
	slices.Sort(ordinals)
	if err := ix.apply(&change{deletes: slices.Compact(ordinals)}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Close implements [storage.Index]. The memtable stays in the log.
func (ix *Index) Close() error {
	ix.mu.Lock()
	if ix.closed {
		ix.mu.Unlock()
		return fmt.Errorf("close index: %w", storage.ErrClosed)
	}
	ix.closed = true
	ix.quiet.Stop()
	ix.cond.Broadcast()
	ix.mu.Unlock()

	ix.end()
	ix.finished.Wait()
	ix.merging.Lock() // a Compact may be under way
	defer ix.merging.Unlock()
	ix.view.Swap(nil).release()
	var err error
	if ix.log != nil {
		err = ix.log.file.Close()
	}
	if err = errors.Join(err, ix.lock.Close()); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

func isNewer(err error) bool { return errors.Is(err, errNewer) }
