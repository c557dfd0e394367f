package match

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// diagonal is what hits of one copied passage have in common.
func (h hit) diagonal() int { return int(h.position) - int(h.query) }

// search is the state of one look-up.
type search struct {
	version  string
	missing  []string
	grams    int
	postings int64
	hits     []hit
	bits     []float32 // what a hit of the suspect's gram i says, by its rarity
}

// search looks all grams of a text up and collects the hits.
func (m *Matcher) search(ctx context.Context, text *fingerprint.Text) (*search, error) {
	grams := fingerprint.Grams(m.Key, text)
	hashes := slices.Clone(grams)
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	answer, err := m.Index.Lookup(ctx, hashes, maxPostings)
	if err != nil {
		return nil, fmt.Errorf("look up %d fingerprints: %w", len(hashes), err)
	}
	s := &search{version: answer.Version, missing: answer.Missing, grams: len(grams), postings: answer.Postings, bits: make([]float32, len(grams))}
	repeats := make([]uint8, len(hashes))
	for q, h := range grams {
		i, _ := slices.BinarySearch(hashes, h)
		list := answer.Lists[i]
		if list.Total == 0 || repeats[i] == maxRepeats || len(s.hits) >= maxHits {
			continue
		}
		repeats[i]++
		s.bits[q] = float32(rarity(list.Total, answer.Postings))
		for _, p := range list.Postings {
			s.hits = append(s.hits, hit{p.Ordinal, p.Position, uint32(q)})
		}
	}
	slices.SortFunc(s.hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), cmp.Compare(a.diagonal(), b.diagonal()), cmp.Compare(a.query, b.query))
	})
	return s, nil
}

// Geometry of a copied passage, in normalized characters.
const (
	// bandWidth is how far a passage may drift off its diagonal: characters that
	// were lost or gained on the way.
	bandWidth = 32

	// maxGap is the longest stretch without a hit inside a passage: what an
	// inserted or replaced sentence leaves.
	maxGap = fingerprint.Guarantee
)

// region is a passage before it is mapped to the source, in normalized
// characters of both texts.
type region struct {
	query, document fingerprint.Span
	hits            []hit // in the order of the suspect
	grams           int   // of the suspect that hit
	bits            float64
}

// project maps a part of the document's side to the suspect's side.
func (r region) project(part fingerprint.Span) fingerprint.Span {
	scale := float64(r.query.Len()) / float64(r.document.Len())
	at := func(p int) int { return r.query.Start + int(math.Round(float64(p-r.document.Start)*scale)) }
	return fingerprint.Span{Start: at(part.Start), End: at(part.End)}
}

// similarity estimates the share of identical characters from the share of the
// document's fingerprints in the region that the suspect holds: a gram survives
// if all the characters that it samples do.
func (r region) similarity(w fingerprint.Window) float64 {
	kept := (r.document.Len()-fingerprint.GramSpan)/int(w) + 1
	survived := min(1, float64(r.grams)/float64(kept))
	return math.Pow(survived, 1/float64(fingerprint.GramWeight))
}

// candidate is a document that shares regions with the suspect.
type candidate struct {
	ordinal  storage.Ordinal
	bits     float64 // of its best band
	passages []region
}

// candidates weighs every document that has hits in line, best first.
func (s *search) candidates() []candidate {
	var found []candidate
	a := aligner{search: s, seed: fingerprint.SeedOffsets(), covered: make([]bool, s.grams+fingerprint.GramSpan)}
	for start := 0; start < len(s.hits); {
		end := start + 1
		for end < len(s.hits) && s.hits[end].ordinal == s.hits[start].ordinal {
			end++
		}
		if end-start > 1 {
			if c, ok := a.align(s.hits[start:end]); ok {
				found = append(found, c)
			}
		}
		start = end
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.bits, a.bits), cmp.Compare(a.ordinal, b.ordinal))
	})
	return found[:min(len(found), maxCandidates)]
}

// aligner finds the passages of one document after the other.
type aligner struct {
	*search
	seed    []int
	covered []bool // characters of the suspect that count already
	marked  []int  // which those are, in the order in which they were marked
	used    []bool
	band    []hit
}

// align finds the passages that hits of one document form. What decides is the
// band that says most, not the sum of all: lists and indexes of strangers share
// many phrases, each in another place.
func (a *aligner) align(hits []hit) (candidate, bool) {
	c := candidate{ordinal: hits[0].ordinal}
	a.used = append(a.used[:0], make([]bool, len(hits))...)
	for bands := 0; bands < maxBands && len(c.passages) < maxPassages; bands++ {
		from, to, ok := a.bestBand(hits)
		if !ok {
			break
		}
		a.band = a.band[:0]
		for i := from; i < to; i++ {
			if !a.used[i] {
				a.used[i] = true
				a.band = append(a.band, hits[i])
			}
		}
		slices.SortFunc(a.band, func(a, b hit) int {
			return cmp.Or(cmp.Compare(a.query, b.query), cmp.Compare(a.position, b.position))
		})
		sum := 0.0 // of the band
		for start := 0; start < len(a.band); {
			end := start + 1
			for end < len(a.band) && a.band[end].query-a.band[end-1].query <= maxGap {
				end++
			}
			before := len(a.marked)
			if r := a.weigh(a.band[start:end]); r.grams > 1 && r.bits >= minPassageBits {
				c.passages = append(c.passages, r)
				sum += r.bits
			} else {
				a.unmark(before) // what is no passage covers nothing
			}
			start = end
		}
		c.bits = max(c.bits, sum)
	}
	a.unmark(0)
	c.passages = c.passages[:min(len(c.passages), maxPassages)]
	slices.SortFunc(c.passages, func(a, b region) int { return cmp.Compare(a.query.Start, b.query.Start) })
	return c, len(c.passages) > 0
}

// unmark takes back what was marked from the n-th mark on.
func (a *aligner) unmark(n int) {
	for _, at := range a.marked[n:] {
		a.covered[at] = false
	}
	a.marked = a.marked[:n]
}

// bestBand returns the range of hits within bandWidth diagonals that says most.
func (a *aligner) bestBand(hits []hit) (from, to int, ok bool) {
	best, sum, count, start := 0.0, 0.0, 0, 0
	for i, h := range hits {
		if a.used[i] {
			continue
		}
		sum += float64(a.bits[h.query])
		count++
		for hits[start].diagonal() < h.diagonal()-bandWidth {
			if !a.used[start] {
				sum -= float64(a.bits[hits[start].query])
				count--
			}
			start++
		}
		if sum > best && count > 1 {
			best, from, to, ok = sum, start, i+1, true
		}
	}
	return from, to, ok
}

// weigh makes a region of hits in the order of the suspect and marks what it
// covers of it.
func (a *aligner) weigh(hits []hit) region {
	r := region{
		hits:     slices.Clone(hits),
		query:    fingerprint.Span{Start: int(hits[0].query), End: int(hits[len(hits)-1].query) + fingerprint.GramSpan},
		document: fingerprint.Span{Start: int(hits[0].position), End: int(hits[0].position)},
	}
	for i, h := range hits {
		r.document.Start = min(r.document.Start, int(h.position))
		r.document.End = max(r.document.End, int(h.position)+fingerprint.GramSpan)
		if i == 0 || h.query != hits[i-1].query {
			r.grams++
		}
		fresh := 0
		for _, offset := range a.seed {
			if at := int(h.query) + offset; !a.covered[at] {
				a.covered[at] = true
				a.marked = append(a.marked, at)
				fresh++
			}
		}
		r.bits += float64(a.bits[h.query]) * float64(fresh) / float64(fingerprint.GramWeight)
	}
	return r
}
