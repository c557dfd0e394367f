package match

import (
	"cmp"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
)

// Geometry of a passage, in normalized characters.
const (
	// maxLink is how far apart two hits of a passage may be: what an inserted or
	// replaced sentence leaves between them.
	maxLink = 150

	// maxDrift is how many characters may be lost or gained between two hits.
	maxDrift = 24

	// maxLook is how many hits are tried for the one before. Only texts that
	// repeat themselves have more.
	maxLook = 32
)

// Prices on the way from one hit to the next, in bits: they choose between
// alignments. What an alignment proves is weighed by evidence.
const (
	driftBits     = 2 // for each character that is lost or gained
	mostDriftBits = 12
	missBits      = .5 // for each fingerprint of the document that the suspect does not hold

	// minPassageBits is the least evidence for a passage to be told: that of two
	// grams that do not overlap and are not all too common.
	minPassageBits = 12
)

// chain is a sequence of hits that advance in both texts: a passage before it is
// mapped to the source.
type chain struct {
	window fingerprint.Window
	hits   []hit // in the order of the suspect
	bits   float64
}

// query and document are what a chain covers of both texts, from its first gram
// to the end of its last.
func (c chain) query() fingerprint.Span {
	return fingerprint.Span{Start: int(c.hits[0].query), End: int(c.hits[len(c.hits)-1].query) + fingerprint.GramSpan}
}

func (c chain) document() fingerprint.Span {
	return fingerprint.Span{Start: int(c.hits[0].position), End: int(c.hits[len(c.hits)-1].position) + fingerprint.GramSpan}
}

// step is what lies between two hits of a chain.
type step struct {
	forward int // characters of the suspect
	drift   int // by how many characters the document advances more or less
	missed  int // fingerprints of the document that were passed over
}

// stepBetween returns the step from a to b, and whether a chain may take it.
func stepBetween(a, b hit, window fingerprint.Window) (step, bool) {
	forward, advance := int(b.query)-int(a.query), int(b.position)-int(a.position)
	s := step{forward: forward, drift: max(forward-advance, advance-forward)}
	if forward <= 0 || advance <= 0 || forward > maxLink || advance > maxLink || s.drift > maxDrift {
		return s, false
	}
	s.missed = max(0, advance/int(window)-1)
	return s, true
}

// unbroken reports whether a step leads to the very next fingerprint in line.
func (s step) unbroken() bool { return s.drift == 0 && s.missed == 0 }

// fresh is the share of the sampled characters of the gram at the end of the
// step that the gram at its start did not sample.
func (s step) fresh() float64 {
	switch {
	case s.forward >= fingerprint.GramSpan:
		return 1
	case s.drift > 0:
		return float64(s.forward) / float64(fingerprint.GramSpan)
	}
	return freshOnDiagonal[s.forward]
}

// freshOnDiagonal follows from the seed.
var freshOnDiagonal = func() (share [fingerprint.GramSpan]float64) {
	offsets := fingerprint.SeedOffsets()
	for forward := range share {
		for _, o := range offsets {
			if !slices.Contains(offsets, o+forward) {
				share[forward] += 1 / float64(fingerprint.GramWeight)
			}
		}
	}
	return share
}()

// chainer finds the chains of one document after the other.
type chainer struct {
	bits    []float32 // of the suspect's grams
	score   []float64 // of the best chain that ends at a hit
	before  []int     // the hit before it in that chain, or -1
	used    []bool
	order   []int
	covered []fingerprint.Span
}

// chains returns the chains of one document's hits, which are in the order of
// the suspect, best first. Each hit belongs to one chain at most, and what one
// chain covers of the suspect no other covers again. It is the chaining of
// sparse dynamic programming that aligners of genomes use (Li, "Minimap2",
// Bioinformatics 34, 2018).
func (c *chainer) chains(hits []hit, window fingerprint.Window) []chain {
	n := len(hits)
	c.score, c.before = slices.Grow(c.score[:0], n)[:n], slices.Grow(c.before[:0], n)[:n]
	for j, h := range hits {
		own := float64(c.bits[h.query])
		c.score[j], c.before[j] = own, -1
		for i := j - 1; i >= max(0, j-maxLook) && h.query-hits[i].query <= maxLink; i-- {
			s, ok := stepBetween(hits[i], h, window)
			if !ok {
				continue
			}
			sum := c.score[i] + own*s.fresh() - missBits*float64(s.missed) - min(mostDriftBits, driftBits*float64(s.drift))
			if sum > c.score[j] {
				c.score[j], c.before[j] = sum, i
			}
		}
	}
	c.used, c.order = slices.Grow(c.used[:0], n)[:n], slices.Grow(c.order[:0], n)[:n]
	for i := range c.order {
		c.order[i], c.used[i] = i, false
	}
	slices.SortFunc(c.order, func(a, b int) int { return cmp.Or(cmp.Compare(c.score[b], c.score[a]), cmp.Compare(a, b)) })
	var found []chain
	c.covered = c.covered[:0]
	for _, end := range c.order {
		if c.score[end] < minPassageBits || len(found) == maxPassages {
			break
		}
		if c.used[end] {
			continue
		}
		l := chain{window: window}
		at := end
		for ; at >= 0 && !c.used[at]; at = c.before[at] {
			c.used[at] = true
			l.hits = append(l.hits, hits[at])
		}
		l.bits = c.score[end]
		if at >= 0 {
			l.bits -= c.score[at] // belongs to a better chain
		}
		slices.Reverse(l.hits)
		if l.bits < minPassageBits || len(l.hits) < 2 || c.covers(l.query()) {
			continue
		}
		c.covered = append(c.covered, l.query())
		found = append(found, l)
	}
	return found
}

// covers reports whether half of a span is told by other chains.
func (c *chainer) covers(s fingerprint.Span) bool {
	common := 0
	for _, o := range c.covered {
		common += intersection(s, o)
	}
	return 2*common > s.Len()
}

// intersection is how many characters two spans have in common.
func intersection(a, b fingerprint.Span) int {
	return max(0, min(a.End, b.End)-max(a.Start, b.Start))
}

// without is the chain without the hits that do not count.
func (c chain) without(s *suppression, filledIn bool) chain {
	own := c
	own.hits = nil
	for _, h := range c.hits {
		if s.counts(h, filledIn) {
			own.hits = append(own.hits, h)
		}
	}
	return own
}

// missed is how many fingerprints of the document, inside the chain, the suspect
// does not hold.
func (c chain) missed() int {
	return (int(c.hits[len(c.hits)-1].position)-int(c.hits[0].position))/int(c.window) + 1 - len(c.hits)
}

// similarity estimates the share of identical characters from the share of the
// document's fingerprints that the suspect holds: a gram survives if all the
// characters that it samples do.
func (c chain) similarity() float64 {
	kept := c.missed() + len(c.hits)
	return min(1, math.Pow(float64(len(c.hits))/float64(kept), 1/float64(fingerprint.GramWeight)))
}

// region is where a passage lies in both texts.
type region struct{ query, document fingerprint.Span }

// extended estimates where a passage begins and ends. A verbatim one is told as
// far as it is sure. Around a noisy one lies, on each side, about half of what
// lies between two hits. And what is left of the suspect, or of the document, but
// is too short to have had a hit of its own, belongs to it.
func (c chain) extended(suspect, document int) region {
	r := region{c.query(), c.document()}
	reach, margin := int(c.window)-1, 0
	if c.missed() > 0 {
		gap := (r.document.Len() - fingerprint.GramSpan) / (len(c.hits) - 1)
		reach, margin = max(reach, 2*gap), gap/2
	}
	by := func(room int) int {
		if room <= reach {
			return room
		}
		return margin
	}
	before := by(min(r.query.Start, r.document.Start))
	after := by(min(suspect-r.query.End, max(0, document-r.document.End)))
	r.query.Start, r.document.Start = r.query.Start-before, r.document.Start-before
	r.query.End, r.document.End = r.query.End+after, r.document.End+after
	return r
}

// project maps a part of the document's side to the suspect's side.
func (r region) project(part fingerprint.Span) fingerprint.Span {
	scale := float64(r.query.Len()) / float64(r.document.Len())
	at := func(p int) int { return r.query.Start + int(math.Round(float64(p-r.document.Start)*scale)) }
	return fingerprint.Span{Start: at(part.Start), End: at(part.End)}
}
