package match

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
)

// A second look. Of the grams of a bad copy, more have one misread character than
// none. They are too many to ask for: each has a hundred and sixty neighbors. But
// once a chain nearly convinces, it says which gram of the document each gram of
// the suspect should be, and a neighbor that stands exactly there is no
// coincidence. Texts that merely share a phrase have few such near hits, next to
// the phrase.
const (
	// lookAgain is the chance up to which a document gets a second look, and
	// maxLooks is how many do: one text in twenty of the trade has one.
	lookAgain = .01
	maxLooks  = 2

	// maxMissing bounds what is looked for, in fingerprints of the document.
	maxMissing = 64

	// nearFrom near hits are what strangers have, too; each further one makes a match
	// unlikelier by nearGain, in decades. Of chains of strangers that were looked at
	// twice, one in seven had two near hits, one in twenty-five three, one in a
	// hundred four; of chains of bad copies, half had four. The gain is less than
	// that justifies, because texts that resemble each other line by line have many.
	nearFrom = 2
	nearGain = .4
)

// lookTwice adds near hits to the evidence of the candidates that nearly convince.
func (m *Matcher) lookTwice(ctx context.Context, s *search, text *fingerprint.Text, candidates []*candidate, sup *suppression) error {
	var unsure []*candidate
	for _, c := range candidates {
		if c.own > threshold && c.own <= math.Log10(lookAgain) && c.harmless == "" {
			unsure = append(unsure, c)
		}
	}
	slices.SortStableFunc(unsure, func(a, b *candidate) int { return cmp.Compare(a.own, b.own) })
	for _, c := range unsure[:min(len(unsure), maxLooks)] {
		near, err := m.nearHits(ctx, s, text, c, sup)
		if err != nil {
			return err
		}
		c.own -= nearGain * float64(max(0, near-nearFrom))
	}
	return nil
}

// nearHits counts the fingerprints of a document, along its best chain, that the
// suspect holds but for one character.
func (m *Matcher) nearHits(ctx context.Context, s *search, text *fingerprint.Text, c *candidate, sup *suppression) (int, error) {
	if len(c.rest) == 0 {
		return 0, nil
	}
	missing := s.missingIn(c.rest[0])
	missing = slices.DeleteFunc(missing, func(h hit) bool { return !sup.counts(h, c.filledIn) })
	misreader := fingerprint.NewMisreader(text)
	var hashes []uint64
	var ends []int // of what each asks for
	for _, h := range missing {
		hashes = misreader.Append(hashes, int(h.query))
		ends = append(ends, len(hashes))
	}
	asked := m.seal(hashes)
	answer, err := asked.lookUp(ctx, maxPostings)
	if err != nil {
		return 0, fmt.Errorf("look up %d fingerprints once more: %w", len(hashes), err)
	}
	near := map[uint32]bool{} // positions of the document
	start := 0
	for i, h := range missing {
		for _, list := range answer.Lists[start:ends[i]] {
			for _, p := range list.Postings {
				if p.Ordinal == h.ordinal && p.Position == h.position {
					near[h.position] = true
				}
			}
		}
		start = ends[i]
	}
	return len(near), nil
}

// missingIn lists the hits that would be on the diagonals of a chain, inside and
// around it, and are not. Grams that the suspect repeats are left out, as lists
// have them.
func (s *search) missingIn(c chain) (missing []hit) {
	window, first, last := int(c.window), c.hits[0], c.hits[len(c.hits)-1]
	at := max(int(first.position)-maxLink, int(first.position)-int(first.query), 0)
	end := min(int(last.position)+maxLink, int(last.position)+s.grams-1-int(last.query))
	next := 0 // hit of the chain at or behind the position
	for at = (at + window - 1) / window * window; at <= end && len(missing) < maxMissing; at += window {
		for next < len(c.hits) && int(c.hits[next].position) < at {
			next++
		}
		if next < len(c.hits) && int(c.hits[next].position) == at {
			continue
		}
		// Of the hit before and of the hit behind.
		for _, i := range []int{next - 1, next} {
			if i < 0 || i == len(c.hits) {
				continue
			}
			h := hit{first.ordinal, uint32(at), uint32(at - int(c.hits[i].position) + int(c.hits[i].query))}
			if int(h.query) < s.grams && !s.repeated[h.query] && (len(missing) == 0 || missing[len(missing)-1] != h) {
				missing = append(missing, h)
			}
		}
	}
	return missing
}
