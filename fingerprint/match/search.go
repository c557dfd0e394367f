package match

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// hit is one agreement: gram query of the suspect stands at character position
// of a document.
type hit struct {
	ordinal         storage.Ordinal
	position, query uint32
}

// search is the state of one look-up.
type search struct {
	version  string
	missing  []string
	grams    int
	asked    int // different fingerprints
	found    int // of them stand in the index
	common   int // of those stand in more places than were read
	postings int64
	bits     []float32 // what a hit of the suspect's gram i says, by its rarity
	repeated []bool    // gram i stands in the suspect more than once
	groups   []group
	// opportunities is how many documents hold anything in line with the suspect.
	opportunities int
}

// group is the hits of one document that may be in line with others, in the order
// of the suspect.
type group struct {
	ordinal storage.Ordinal
	window  fingerprint.Window
	hits    []hit
}

// search looks all grams of a text up and collects the hits.
func (m *Matcher) search(ctx context.Context, suspect sealed) (*search, error) {
	unique := suspect.unique()
	grams, hashes := suspect.hashes, unique.hashes
	answer, err := unique.lookUp(ctx, maxPostings)
	if err != nil {
		return nil, fmt.Errorf("look up %d fingerprints: %w", len(hashes), err)
	}
	s := &search{
		version: answer.Version, missing: answer.Missing, grams: len(grams), asked: len(hashes), postings: answer.Postings,
		bits: make([]float32, len(grams)), repeated: make([]bool, len(grams)),
	}
	for _, l := range answer.Lists {
		if l.Total > 0 {
			s.found++
		}
		if len(l.Postings) < l.Total {
			s.common++
		}
	}
	places := make([]uint8, len(hashes)) // of the suspect that ask for each
	lists := make([]*storage.List, len(grams))
	at := make([]int, len(grams))
	total := 0
	for q, h := range grams {
		i, _ := slices.BinarySearch(hashes, h)
		at[q], places[i] = i, min(places[i]+1, maxRepeats+1)
		if l := &answer.Lists[i]; l.Total > 0 && places[i] <= maxRepeats && total < maxHits {
			lists[q] = l
			total += len(l.Postings)
			s.bits[q] = float32(rarity(l.Total, answer.Postings))
		}
	}
	for q, i := range at {
		s.repeated[q] = places[i] > 1
	}
	s.group(lists, total)
	return s, nil
}

// group collects, document by document, the hits that may be in line with
// another one. Lists hold the postings of the suspect's grams, total of them in
// all.
//
// Most hits are alone in their document, and sorting them all would be most of
// the work. So they are counted first, by the document and the band of diagonals
// that they are in: hits in line are in the same band or in neighboring ones. Two
// bands that happen to share a counter do no harm.
func (s *search) group(lists []*storage.List, total int) {
	const band = 32
	var _ [band - maxDrift]struct{} // so that neighbors are enough
	counters := make([]uint8, 1<<bits.Len(uint(4*total)))
	counter := func(p storage.Posting, q int) int {
		diagonal := p.Position + uint32(len(lists)) - uint32(q) // not below zero
		return int(uint32(p.Ordinal)*0x9E3779B1+diagonal/band) & (len(counters) - 1)
	}
	for q, l := range lists {
		if l == nil {
			continue
		}
		for _, p := range l.Postings {
			if n := &counters[counter(p, q)]; *n < 2 {
				*n++
			}
		}
	}
	var hits []hit
	var windows []fingerprint.Window
	var order []uint64 // the document of a hit, and its number
	for q, l := range lists {
		if l == nil {
			continue
		}
		for _, p := range l.Postings {
			i := counter(p, q)
			before, after := (i-1)&(len(counters)-1), (i+1)&(len(counters)-1)
			if counters[before]+counters[i]+counters[after] < 2 {
				continue
			}
			order = append(order, uint64(p.Ordinal)<<32|uint64(len(hits)))
			hits = append(hits, hit{p.Ordinal, p.Position, uint32(q)})
			windows = append(windows, p.Window)
		}
	}
	// The hits of a document stay in the order of the suspect.
	slices.Sort(order)
	sorted := make([]hit, len(hits))
	for i, o := range order {
		sorted[i] = hits[uint32(o)]
	}
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && sorted[end].ordinal == sorted[start].ordinal {
			end++
		}
		if end-start > 1 {
			s.groups = append(s.groups, group{sorted[start].ordinal, windows[uint32(order[start])], sorted[start:end:end]})
		}
		start = end
	}
}
