package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/sealprint/sealprint/storage"
)

// yieldInterval is how many rows or fingerprints a long loop handles before it gives
// way: tens of microseconds' worth.
const yieldInterval = 1 << 10

// yield lets others have the processor, look-ups above all: without it they would
// wait until the scheduler takes it away from a merge, ten milliseconds later. It
// reports whether the work has become pointless.
func yield(ctx context.Context) error {
	runtime.Gosched()
	return ctx.Err()
}

// plan is the outcome of merging the document tables of some parts: the new
// table, and how posting numbers move.
type plan struct {
	documents []document
	dropped   int // postings of dead documents
	inputs    []mergeInput
}

type mergeInput struct {
	part
	// shift is, for each slot, what has to be added to its posting numbers,
	// modulo 2^32. uniform says that it is the same for all, and nothing dead.
	shift   []uint32
	uniform bool
}

// planMerge merges document tables. Documents that are dead are dropped, unless
// keepDead.
func planMerge(parts []part, keepDead bool) (plan, error) {
	type source struct {
		ordinal     storage.Ordinal
		input, slot int
	}
	var pl plan
	var sources []source
	postings := 0
	for i, p := range parts {
		in := mergeInput{part: p, shift: make([]uint32, p.documents), uniform: true}
		if keepDead {
			in.dead = nil
		}
		for slot := range p.documents {
			if in.dead.has(slot) {
				pl.dropped += p.size(slot)
				in.uniform = false
				continue
			}
			sources = append(sources, source{p.document(slot).ordinal, i, slot})
			postings += p.size(slot)
		}
		pl.inputs = append(pl.inputs, in)
	}
	if postings > maxPostings {
		return plan{}, fmt.Errorf("%d postings, a segment holds at most %d", postings, uint32(maxPostings))
	}
	slices.SortFunc(sources, func(a, b source) int { return cmp.Compare(a.ordinal, b.ordinal) })
	pl.documents = make([]document, 0, len(sources))
	end := uint32(0)
	for _, src := range sources {
		in := &pl.inputs[src.input]
		in.shift[src.slot] = end - in.start(src.slot)
		if in.shift[src.slot] != in.shift[0] {
			in.uniform = false
		}
		d := in.document(src.slot)
		end += uint32(in.size(src.slot))
		d.end = end
		pl.documents = append(pl.documents, d)
	}
	return pl, nil
}

// merge adds the rows of the planned segment. They stream from the inputs; what is
// held back is a frame and the longest list. Every frame of an input is compared with its
// checksum before it is read, so that damage is not copied under a fresh one.
func (pl plan) merge(ctx context.Context, sw *segmentWriter) error {
	return guard(func() error {
		// The next row of every input; with the dozen inputs of a merge looking
		// through all of them beats a heap.
		const exhausted = math.MaxUint64
		cursors := make([]cursor, len(pl.inputs))
		hashes := make([]uint64, len(pl.inputs))
		advance := func(i int) {
			if hashes[i] = exhausted; cursors[i].next() {
				hashes[i] = cursors[i].hash
			}
		}
		for i, in := range pl.inputs {
			cursors[i].segment = in.segment
			advance(i)
		}
		var numbers []uint32
		for rows := 1; ; rows++ {
			least := uint64(exhausted)
			for _, h := range hashes {
				least = min(least, h)
			}
			if least == exhausted {
				break
			}
			numbers = numbers[:0]
			for i, h := range hashes {
				if h == least {
					numbers = pl.inputs[i].moved(numbers, cursors[i].numbers())
					advance(i)
				}
			}
			if len(numbers) > 0 {
				if !slices.IsSorted(numbers) {
					slices.Sort(numbers)
				}
				sw.add(least, numbers...)
			}
			if rows%yieldInterval == 0 {
				if err := yield(ctx); err != nil {
					return err
				}
			}
		}
		var errs []error
		for i := range cursors {
			errs = append(errs, cursors[i].err)
		}
		return errors.Join(errs...)
	})
}

// moved appends the numbers that postings of the input have in the merged segment.
func (in *mergeInput) moved(to, numbers []uint32) []uint32 {
	for _, n := range numbers {
		if in.uniform {
			to = append(to, n+in.shift[0])
		} else if slot := in.owner(n); slot < in.documents && !in.dead.has(slot) {
			to = append(to, n+in.shift[slot])
		}
	}
	return to
}
