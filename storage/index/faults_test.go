package index

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// faultRuns is how often TestFaults has something fail.
var faultRuns = flag.Int("faults", 3000, "operations of the disk that TestFaults has fail, one in each run")

// inode is a file of a simulated disk.
type inode struct {
	content []byte // as processes see it
	synced  []byte // as it is after a crash, at least
	// What a failed sync was to write is never written, whatever later syncs say.
	lost []span
}

type span struct{ from, to int }

// simulated is a disk in memory. One of its operations fails, or is the last before
// the power does.
type simulated struct {
	mu      sync.Mutex
	rng     *rand.Rand
	files   map[string]*inode
	durable map[string]*inode
	pending []func(map[string]*inode) // changes of names that are not synced

	countdown int // operations up to the fault; negative: none
	power     bool
	dead      bool
	failed    string // the operation that did
	locked    bool
}

func newSimulated(rng *rand.Rand) *simulated {
	return &simulated{rng: rng, files: map[string]*inode{}, durable: map[string]*inode{}, countdown: -1}
}

var errPower = errors.New("no power")

// step counts an operation; hit is true if it is the one to fail.
func (d *simulated) step(operation string) (hit bool, err error) {
	if d.dead {
		return false, errPower
	}
	d.countdown--
	if d.countdown != 0 {
		return false, nil
	}
	d.failed = operation
	if d.power {
		d.dead = true
		return false, errPower
	}
	return true, []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT}[d.rng.IntN(3)]
}

// intact reports whether the fault is still to come.
func (d *simulated) intact() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.countdown > 0
}

// simple is an operation that happens or does not.
func (d *simulated) simple(operation string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.step(operation); err != nil {
		return err
	}
	return do()
}

// names changes which files there are.
func (d *simulated) names(change func(map[string]*inode)) {
	change(d.files)
	d.pending = append(d.pending, change)
}

func notExist(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
}

func (d *simulated) create(name string) (f file, err error) {
	err = d.simple("create "+name, func() error {
		node := &inode{}
		d.names(func(files map[string]*inode) { files[name] = node })
		f = &simulatedFile{d, name, node}
		return nil
	})
	return f, err
}

func (d *simulated) read(name string) ([]byte, error) { return d.load(name) }

func (d *simulated) load(name string) (content []byte, err error) {
	err = d.simple("read "+name, func() error {
		node, ok := d.files[name]
		if !ok {
			return notExist(name)
		}
		content = bytes.Clone(node.content)
		return nil
	})
	return content, err
}

func (d *simulated) unload([]byte) {}

func (d *simulated) readAhead([]byte) {}

func (d *simulated) rename(from, to string) error {
	return d.simple("rename "+from, func() error {
		node, ok := d.files[from]
		if !ok {
			return notExist(from)
		}
		d.names(func(files map[string]*inode) {
			delete(files, from)
			files[to] = node
		})
		return nil
	})
}

func (d *simulated) remove(name string) error {
	return d.simple("remove "+name, func() error {
		d.names(func(files map[string]*inode) { delete(files, name) })
		return nil
	})
}

func (d *simulated) list() (files []fileInfo, err error) {
	err = d.simple("list", func() error {
		for name, node := range d.files {
			files = append(files, fileInfo{name, int64(len(node.content))})
		}
		slices.SortFunc(files, func(a, b fileInfo) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
		return nil
	})
	return files, err
}

func (d *simulated) sync() error {
	return d.simple("sync of the folder", func() error {
		for _, change := range d.pending {
			change(d.durable)
		}
		d.pending = nil
		return nil
	})
}

func (d *simulated) lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, errors.New("open already")
	}
	d.locked = true
	return simulatedLock{d}, nil
}

type simulatedLock struct{ d *simulated }

func (l simulatedLock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.d.locked = false
	return nil
}

type simulatedFile struct {
	d    *simulated
	name string
	node *inode
}

func (f *simulatedFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	alive := !f.d.dead
	_, err := f.d.step("write " + f.name)
	if err != nil && alive { // in the middle of it
		b = b[:f.d.rng.IntN(len(b)+1)]
	} else if err != nil {
		b = nil
	}
	f.node.content = append(f.node.content, b...)
	return len(b), err
}

func (f *simulatedFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	hit, err := f.d.step("sync " + f.name)
	if hit {
		f.node.lost = append(f.node.lost, span{len(f.node.synced), len(f.node.content)})
	}
	if err == nil {
		f.node.synced = bytes.Clone(f.node.content)
		for _, l := range f.node.lost {
			clear(f.node.synced[l.from:l.to])
		}
	}
	return err
}

func (f *simulatedFile) Close() error { return nil }

// afterCrash is the disk as it may be found when the power is back: of what was not
// synced a part is there, in pieces.
func (d *simulated) afterCrash() *simulated {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := newSimulated(d.rng)
	for _, change := range d.pending {
		if d.rng.IntN(2) == 0 {
			change(d.durable)
		}
	}
	for name, node := range d.durable {
		left := node.synced
		if same := len(left); d.rng.IntN(2) == 0 {
			end := same + d.rng.IntN(len(node.content)-same+1)
			left = append(bytes.Clone(left), node.content[same:end]...)
			for at := same; at < end && d.rng.IntN(2) == 0; at += 64 {
				clear(left[at:min(end, at+64)])
			}
		}
		kept := &inode{content: bytes.Clone(left), synced: bytes.Clone(left)}
		n.files[name], n.durable[name] = kept, kept
	}
	return n
}

// truth is what an index has been told, and what it said to that.
type truth struct {
	sheets map[storage.Ordinal]storage.Sheet
	group  map[storage.Ordinal]int // the Append that a sheet was in
	stored map[int]bool            // Appends that were acknowledged
	gone   map[storage.Ordinal]bool
	maybe  map[storage.Ordinal]bool // a Delete that failed
	next   storage.Ordinal
	groups int
}

// TestFaults has one operation of the disk fail in each of many short lives of an
// index, in every way that disks fail, and opens it again: what was acknowledged is
// there, of what was not either all or nothing, and no file is damaged.
func TestFaults(t *testing.T) {
	var all sync.WaitGroup
	seeds := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := range seeds {
				if err := faultyLife(t, seed); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	first := rand.Uint64() >> 1
	for run := range uint64(*faultRuns) {
		if t.Failed() {
			break
		}
		seeds <- first + run
	}
	close(seeds)
	all.Wait()
}

func faultyLife(t *testing.T, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := newSimulated(rand.New(rand.NewPCG(seed, 2)))
	// A life has a hundred operations or two.
	d.countdown, d.power = 1+rng.IntN(200), rng.IntN(2) == 0
	facts := &truth{
		sheets: map[storage.Ordinal]storage.Sheet{}, group: map[storage.Ordinal]int{}, stored: map[int]bool{},
		gone: map[storage.Ordinal]bool{}, maybe: map[storage.Ordinal]bool{}, next: 1,
	}
	options := Options{MemoryBudget: 1 << (8 + rng.IntN(6))}
	for d.intact() {
		ix, err := openOn(d, storagetest.Params, options)
		if err != nil {
			if d.intact() || errors.Is(err, storage.ErrCorrupt) {
				return fmt.Errorf("open: %w", err)
			}
			break
		}
		for range 1 + rng.IntN(25) {
			if facts.change(t, rng, ix); !d.intact() {
				break
			}
		}
		// What was acknowledged is seen at once, whatever failed.
		err = facts.check(t, ix, false)
		ix.Close()
		if err != nil {
			return fmt.Errorf("after %q failed, still open: %w", d.failed, err)
		}
	}
	// The disk works again, or the power is back; or first one and then the other.
	d.countdown = -1
	after := d
	for range 3 {
		if after.dead || rng.IntN(2) == 0 {
			after = after.afterCrash()
		}
		ix, err := openOn(after, storagetest.Params, options)
		if err != nil {
			return fmt.Errorf("after %q failed, opened again: %w", d.failed, err)
		}
		if err := facts.check(t, ix, true); err != nil {
			return fmt.Errorf("after %q failed, opened again: %w", d.failed, err)
		}
		sheet := facts.sheet(rng)
		if err := ix.Append(t.Context(), []storage.Sheet{sheet}); err != nil {
			return fmt.Errorf("after %q failed, opened again: %w", d.failed, err)
		}
		facts.stored[facts.group[sheet.Ordinal]] = true
		if err := ix.Compact(t.Context()); err != nil {
			return fmt.Errorf("after %q failed, opened again: %w", d.failed, err)
		}
		if report, err := checkOnce(t.Context(), after); err != nil || len(report.Damage) > 0 {
			return fmt.Errorf("after %q failed, checked: %v, %v", d.failed, err, report.Damage)
		}
		ix.Close()
	}
	return nil
}

// sheet makes a sheet in a group of its own.
func (f *truth) sheet(rng *rand.Rand) storage.Sheet {
	s := storagetest.RandomSheet(rng, f.next, 100, 1<<rng.IntN(10))
	f.sheets[s.Ordinal], f.group[s.Ordinal] = s, f.groups
	f.next++
	f.groups++
	return s
}

// change does something to an index.
func (f *truth) change(t *testing.T, rng *rand.Rand, ix *Index) {
	switch p := rng.IntN(20); {
	case p < 14:
		var sheets []storage.Sheet
		group := f.groups
		for range 1 + rng.IntN(3) {
			s := f.sheet(rng)
			f.group[s.Ordinal] = group
			sheets = append(sheets, s)
		}
		f.stored[group] = ix.Append(t.Context(), sheets) == nil
	case p < 17:
		var ordinals []storage.Ordinal
		for range 1 + rng.IntN(3) {
			ordinals = append(ordinals, storage.Ordinal(rng.IntN(int(f.next))))
		}
		err := ix.Delete(t.Context(), ordinals)
		for _, o := range ordinals {
			switch {
			case !f.stored[f.group[o]] || f.sheets[o].Window == 0:
				f.maybe[o] = true // it may not have been there to be deleted
			case err == nil:
				f.gone[o] = true
			default:
				f.maybe[o] = true
			}
		}
	case p < 18:
		_ = ix.flushNow(t.Context())
	default:
		_ = ix.Compact(t.Context())
	}
}

// check compares an index with what it was told.
func (f *truth) check(t *testing.T, ix *Index, whole bool) error {
	// A segment that could not be read is missing, and everybody is told.
	unread, err := ix.Lookup(t.Context(), nil, 1)
	if err != nil {
		return err
	}
	if whole && len(unread.Missing) > 0 {
		return fmt.Errorf("missing %v", unread.Missing)
	}
	ordinals, err := ix.Ordinals(t.Context())
	if err != nil {
		return err
	}
	there := map[storage.Ordinal]bool{}
	present := map[int]bool{} // of the Appends that failed
	for _, o := range ordinals {
		there[o] = true
		if f.gone[o] {
			return fmt.Errorf("sheet %d was deleted and is back", o)
		}
		if f.sheets[o].Window == 0 {
			return fmt.Errorf("sheet %d was never appended", o)
		}
		present[f.group[o]] = true
	}
	var hashes []fingerprint.Hash
	var want []storage.Posting
	for o, s := range f.sheets {
		if !there[o] {
			if len(unread.Missing) == 0 && (f.stored[f.group[o]] || present[f.group[o]]) && !f.gone[o] && !f.maybe[o] {
				return fmt.Errorf("sheet %d is gone, its Append was acknowledged: %t", o, f.stored[f.group[o]])
			}
			continue
		}
		for i, h := range s.Hashes {
			hashes = append(hashes, h)
			want = append(want, storage.Posting{Ordinal: o, Position: uint32(i * int(s.Window)), Window: s.Window})
		}
	}
	answer, err := ix.Lookup(t.Context(), hashes, 1<<20)
	if err != nil {
		return err
	}
	for i, list := range answer.Lists {
		if !slices.Contains(list.Postings, want[i]) {
			return fmt.Errorf("posting %+v is gone", want[i])
		}
		for _, p := range list.Postings {
			if !there[p.Ordinal] || f.sheets[p.Ordinal].Hashes[p.Position/uint32(p.Window)] != hashes[i] {
				return fmt.Errorf("posting %+v was never appended", p)
			}
		}
	}
	return nil
}
