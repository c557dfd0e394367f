package index

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// bitmap is a set of slots.
type bitmap []uint64

func newBitmap(n int) bitmap    { return make(bitmap, (n+63)/64) }
func (b bitmap) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitmap) has(i int) bool { return b != nil && b[i/64]&(1<<(i%64)) != 0 }
func (b bitmap) count() (total int) {
	for _, word := range b {
		total += bits.OnesCount64(word)
	}
	return total
}

// part is a segment as one view sees it.
type part struct {
	*segment
	// log is the number of the log that holds the same postings, zero for a
	// segment on disk.
	log uint64
	// dead holds the slots of deleted documents; nil for none. It is shared
	// between views and never changed.
	dead     bitmap
	deadRows int
}

func (p part) alive() int { return p.documents - p.dead.count() }

// bury returns the part with more slots dead.
func (p part) bury(slots []int) part {
	dead := newBitmap(p.documents)
	copy(dead, p.dead)
	for _, slot := range slots {
		if !dead.has(slot) {
			dead.set(slot)
			p.deadRows += p.size(slot)
		}
	}
	p.dead = dead
	return p
}

// view is one state of the index. It never changes: a writer makes the next
// one and publishes it, readers stay with the one they began with.
type view struct {
	refs  atomic.Int64
	parts []part // in ascending order of their first ordinal

	deleted   []storage.Ordinal // all that ever were, ascending
	seq       uint64            // changes in the log so far
	direct    uint64            // changes that went past it
	collected uint64            // merges so far that dropped postings
	broken    []string          // segments that could not be opened
}

func (v *view) next() *view {
	return &view{parts: v.parts, deleted: v.deleted, seq: v.seq, direct: v.direct, collected: v.collected, broken: v.broken}
}

// retain reports whether the view could be kept; it cannot once its last
// reader and the index have let go of it.
func (v *view) retain() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		for _, p := range v.parts {
			p.release()
		}
	}
}

func (v *view) isDeleted(o storage.Ordinal) bool {
	_, found := slices.BinarySearch(v.deleted, o)
	return found
}

// locate finds a stored sheet that is not deleted.
func (v *view) locate(o storage.Ordinal) (index, slot int, ok bool) {
	for i, p := range v.parts {
		if slot, ok := p.slot(o); ok && !p.dead.has(slot) {
			return i, slot, true
		}
	}
	return 0, 0, false
}

// adopt makes a part of a segment; what was deleted before is dead in it.
func (v *view) adopt(s *segment, log uint64) part {
	p := part{segment: s, log: log}
	var slots []int
	if len(v.deleted) > 0 {
		for slot := range s.documents {
			if v.isDeleted(s.document(slot).ordinal) {
				slots = append(slots, slot)
			}
		}
	}
	if len(slots) > 0 {
		p = p.bury(slots)
	}
	return p
}

// replace returns the next view, with s (which may be nil) in the place of old.
func (v *view) replace(old []part, s *segment, log uint64) *view {
	n := v.next()
	n.parts = slices.DeleteFunc(slices.Clone(v.parts), func(p part) bool {
		return slices.ContainsFunc(old, func(o part) bool { return o.segment == p.segment })
	})
	if s != nil {
		n.parts = append(n.parts, v.adopt(s, log))
		n.sortParts()
	}
	return n
}

func (v *view) sortParts() {
	slices.SortStableFunc(v.parts, func(a, b part) int {
		return cmp.Compare(a.first, b.first)
	})
}

// bury returns the next view, in which ordinals, ascending, are deleted.
// Ordinals that are not stored are left out, unless a segment that cannot be
// read may hold them. It returns nil when that leaves nothing.
func (v *view) bury(ordinals []storage.Ordinal) (*view, []storage.Ordinal) {
	var buried []storage.Ordinal
	slots := make(map[int][]int)
	for _, o := range ordinals {
		i, slot, stored := v.locate(o)
		if stored {
			slots[i] = append(slots[i], slot)
		}
		if stored || len(v.broken) > 0 && !v.isDeleted(o) {
			buried = append(buried, o)
		}
	}
	if buried == nil {
		return nil, nil
	}
	n := v.next()
	n.parts = slices.Clone(v.parts)
	for i, dead := range slots {
		n.parts[i] = n.parts[i].bury(dead)
	}
	n.deleted = union(v.deleted, buried)
	return n, buried
}

// union merges two ascending lists without duplicates.
func union(a, b []storage.Ordinal) []storage.Ordinal {
	out := make([]storage.Ordinal, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0], b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// missing names the parts that cannot, or not reliably, be read.
func (v *view) missing() []string {
	missing := slices.Clone(v.broken)
	for _, p := range v.parts {
		if p.damaged.Load() {
			missing = append(missing, p.name)
		}
	}
	slices.Sort(missing)
	return missing
}

// version names what the view answers: which index, after how many changes,
// after how many merges that dropped postings of deleted documents (they lower
// totals), and without which parts.
func (v *view) version(identity string, missing []string) string {
	version := fmt.Sprintf("%s-%d-%d", identity, v.seq+v.direct, v.collected)
	if len(missing) > 0 {
		sum := xxhash.New()
		for _, name := range missing {
			sum.WriteString(name)
			sum.WriteString("\n")
		}
		version += fmt.Sprintf("-without-%x", sum.Sum64())
	}
	return version
}

// lookup adds what the part holds to lists. It stops at the first sign of
// damage.
func (p part) lookup(hashes []fingerprint.Hash, limit int, lists []storage.List) error {
	return guard(func() error {
		return p.find(hashes, func(i int, numbers list) error { return p.read(&lists[i], numbers, limit) })
	})
}

// read adds what is in a list to what other parts gave, at most limit.
func (p part) read(to *storage.List, from list, limit int) error {
	to.Total += from.left
	before := len(to.Postings)
	if before == limit && (limit == 0 || to.Postings[limit-1].Ordinal < p.first) {
		// Parts come in the order of their first ordinals: nothing here can come
		// before what is there already.
		return nil
	}
	if before == 0 {
		to.Postings = make([]storage.Posting, 0, min(from.left, limit))
	}
	for taken := 0; taken < limit; {
		number, ok := from.next()
		if !ok {
			break
		}
		slot := p.owner(number)
		if slot == p.documents || number < p.start(slot) {
			return damage(p.name, fmt.Sprintf("posting number %d", number))
		}
		if p.dead.has(slot) {
			continue
		}
		d := p.document(slot)
		to.Postings = append(to.Postings, storage.Posting{
			Ordinal:  d.ordinal,
			Position: (number - p.start(slot)) * d.window,
			Window:   fingerprint.Window(d.window),
		})
		taken++
	}
	if from.short {
		return damage(p.name, "list")
	}
	if before > 0 && len(to.Postings) > before {
		trim(to, limit)
	}
	return nil
}

// trim puts what two parts gave into order and cuts it to the limit.
func trim(list *storage.List, limit int) {
	compare := func(a, b storage.Posting) int {
		return cmp.Or(cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.Position, b.Position))
	}
	if !slices.IsSortedFunc(list.Postings, compare) {
		slices.SortFunc(list.Postings, compare)
	}
	if len(list.Postings) > limit {
		list.Postings = list.Postings[:limit:limit]
	}
}
