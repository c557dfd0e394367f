package index

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// contextInterval is how many rows a long loop handles between two looks at
// its context: a few milliseconds' worth.
const contextInterval = 1 << 16

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
				pl.dropped += p.count(slot)
				in.uniform = false
				continue
			}
			sources = append(sources, source{p.document(slot).ordinal, i, slot})
			postings += p.count(slot)
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
		end += uint32(in.count(src.slot))
		d.end = end
		pl.documents = append(pl.documents, d)
	}
	return pl, nil
}

// merge writes the planned segment. Rows stream from the inputs to w; nothing
// but the directory is held back.
func (pl plan) merge(ctx context.Context, w io.Writer, params fingerprint.Params) error {
	return guard(func() error {
		sw, err := newSegmentWriter(w, params, pl.documents)
		if err != nil {
			return err
		}
		// The next row of every input; with the dozen inputs of a merge looking
		// through all of them beats a heap.
		const exhausted = math.MaxUint64
		cursors := make([]cursor, len(pl.inputs))
		hashes := make([]uint64, len(pl.inputs))
		numbers := make([]uint32, len(pl.inputs))
		advance := func(i int) error {
			in, c := &pl.inputs[i], &cursors[i]
			for {
				hash, number, ok := c.read()
				if !ok {
					hashes[i] = exhausted
					return nil
				}
				if in.uniform {
					hashes[i], numbers[i] = hash, number+in.shift[0]
					return nil
				}
				slot := in.owner(number)
				if slot == in.documents {
					return fmt.Errorf("segment %s: row %d: %w", in.name, c.next-1, storage.ErrCorrupt)
				}
				if !in.dead.has(slot) {
					hashes[i], numbers[i] = hash, number+in.shift[slot]
					return nil
				}
			}
		}
		for i, in := range pl.inputs {
			cursors[i].segment = in.segment
			if err := advance(i); err != nil {
				return err
			}
		}
		for {
			least := 0
			for i := 1; i < len(hashes); i++ {
				if hashes[i] < hashes[least] || hashes[i] == hashes[least] && numbers[i] < numbers[least] {
					least = i
				}
			}
			if len(hashes) == 0 || hashes[least] == exhausted {
				return sw.finish()
			}
			sw.add(hashes[least], numbers[least])
			if err := advance(least); err != nil {
				return err
			}
			if sw.added%contextInterval == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
}
