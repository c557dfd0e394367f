package match

import (
	"context"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

const (
	// coverBits is how much a chain has to say before what it covers is
	// suppressed: two grams apart from each other.
	coverBits = 30

	// fillGap is the longest gap between two hits of public text or boilerplate that
	// still belongs to it: a name or a sum that was filled in. It is shorter than
	// fingerprint.Guarantee, so that a guaranteed run is never swallowed.
	fillGap = 40

	// border is how many characters of a hit may be suppressed before it does not
	// count: so many of its own may happen to agree with what stands elsewhere.
	border = 3

	// commonOrigins is in how many documents of different origin a passage stands
	// that is boilerplate though nobody registered it as such.
	commonOrigins = 5

	// commonPassage is how long such a passage is at least, in characters. Shorter
	// ones are phrases, which the calculation of chance accounts for.
	commonPassage = 36

	// maxOrigins bounds the comparisons: this many documents that cover the same
	// characters are compared, best first.
	maxOrigins = 64

	// filledIn is how many characters of what was filled into a form a document has
	// to share before it is more than another copy of the form, and filledInShare is
	// which share of it.
	filledIn      = 40
	filledInShare = .8
)

// suppression says for each character of the suspect why it does not count;
// empty if it counts.
type suppression struct {
	why []Disposition
	// filled marks the characters among them that do not stand in the public text or
	// the boilerplate itself, but were filled in.
	filled []bool
}

// suppress finds out which characters of the suspect do not count, and what is left
// of each candidate.
func (m *Matcher) suppress(ctx context.Context, s *search, candidates []*candidate, seenAt time.Time) (*suppression, error) {
	n := s.grams + fingerprint.GramSpan
	sup := &suppression{why: make([]Disposition, n), filled: make([]bool, n)}
	solid := make([]bool, n)
	depth := make([]int, n) // protected documents that cover a character
	for _, c := range candidates {
		c.harmless = harmless(c.known, seenAt)
		if c.harmless == "" {
			c.cover(fillGap, func(i int) { depth[i]++ })
			continue
		}
		c.cover(fillGap, func(i int) {
			if sup.why[i] != PublicText { // of both, public says more
				sup.why[i] = c.harmless
			}
		})
		c.cover(0, func(i int) { solid[i] = true })
	}
	if err := m.common(ctx, sup, solid, depth, candidates); err != nil {
		return nil, err
	}
	for i, why := range sup.why {
		sup.filled[i] = why != "" && !solid[i]
	}
	for _, c := range candidates {
		c.sup = sup
		c.filledIn = sup.fills(c)
		c.rest = sup.rest(c)
		c.own = s.together(c.rest)
	}
	return sup, nil
}

// common suppresses what stands in many documents of different origin. Depth is
// how many cover each character, whatever their origin.
func (m *Matcher) common(ctx context.Context, sup *suppression, solid []bool, depth []int, candidates []*candidate) error {
	var common []*candidate
	for _, c := range candidates {
		deep := false
		c.cover(fillGap, func(i int) { deep = deep || depth[i] >= commonOrigins })
		if deep && len(common) < maxOrigins && c.known.Kind != storage.Boilerplate {
			common = append(common, c)
		}
	}
	if len(common) < commonOrigins {
		return nil
	}
	sketches, err := m.sketches(ctx, common)
	if err != nil {
		return err
	}
	all := origins(common, sketches)
	deep := func(gap int) []int { // in how many origins each character stands
		clear(depth)
		last := make([]int, len(depth)) // that was counted
		for i, members := range all {
			for _, c := range members {
				c.cover(gap, func(at int) {
					if last[at] != i+1 {
						last[at] = i + 1
						depth[at]++
					}
				})
			}
		}
		return depth
	}
	for start, in := 0, deep(fillGap); start < len(in); start++ {
		end := start
		for end < len(in) && in[end] >= commonOrigins {
			end++
		}
		if end-start >= commonPassage {
			for i := start; i < end; i++ {
				if sup.why[i] == "" {
					sup.why[i] = Boilerplate
				}
			}
		}
		start = end
	}
	for i, n := range deep(0) {
		solid[i] = solid[i] || n >= commonOrigins
	}
	return nil
}

// origins groups candidates whose documents are states of one text.
func origins(candidates []*candidate, sketches map[storage.Ordinal]fingerprint.Sketch) (all [][]*candidate) {
	for _, family := range families(candidates, sketches) {
		documents := map[storage.DocumentID][]*candidate{}
		var one []fingerprint.Sketch // of each document
		for _, c := range family {
			id := c.known.Document.ID
			if documents[id] == nil {
				one = append(one, sketches[c.ordinal])
			}
			documents[id] = append(documents[id], c)
		}
		if len(documents) == 1 || fingerprint.Drafts(one) {
			all = append(all, family)
			continue
		}
		for _, versions := range documents {
			all = append(all, versions)
		}
	}
	return all
}

// covering reports whether a chain says enough for what it covers to be
// suppressed.
func (c chain) covering() bool { return c.bits >= coverBits }

// cover visits the characters of the suspect that a candidate covers, gaps of a
// length filled.
func (c *candidate) cover(gap int, visit func(i int)) {
	c.coverBy(gap, func(hit) bool { return true }, visit)
}

// coverBy is cover by some hits alone.
func (c *candidate) coverBy(gap int, by func(hit) bool, visit func(i int)) {
	for _, l := range c.chains {
		if !l.covering() {
			continue
		}
		end := int(l.hits[0].query)
		for _, h := range l.hits {
			if !by(h) {
				continue
			}
			start := int(h.query)
			if start-end > gap {
				end = start
			}
			for ; end < start+fingerprint.GramSpan; end++ {
				visit(end)
			}
		}
	}
}

// fills reports whether a candidate shares what was filled into a form, as only
// the copy itself does: other copies share an office or a place.
func (s *suppression) fills(c *candidate) bool {
	filled, shared := 0, 0
	for _, l := range c.chains {
		for i := l.query().Start; i < min(l.query().End, len(s.filled)); i++ {
			if s.filled[i] {
				filled++
			}
		}
	}
	c.cover(0, func(i int) {
		if s.filled[i] {
			shared++
		}
	})
	return shared >= filledIn && float64(shared) >= filledInShare*float64(filled)
}

// counts reports whether a hit is evidence: no more than a border of what it
// spans is suppressed. If the document shares what was filled into a form, that
// counts, too.
func (s *suppression) counts(h hit, filledIn bool) bool {
	suppressed := 0
	for i := int(h.query); i < int(h.query)+fingerprint.GramSpan; i++ {
		if s.why[i] == "" {
			continue
		}
		if filledIn && s.filled[i] {
			return true
		}
		suppressed++
	}
	return suppressed <= border
}

// rest is what is left of a candidate's chains without the hits that do not count.
func (s *suppression) rest(c *candidate) []chain {
	var rest []chain
	for _, l := range c.chains {
		if own := l.without(s, c.filledIn); len(own.hits) > 1 {
			rest = append(rest, own)
		}
	}
	return rest
}

// within is how many characters of a span are suppressed.
func (s *suppression) within(span fingerprint.Span) int {
	n := 0
	for i := span.Start; i < min(span.End, len(s.why)); i++ {
		if s.why[i] != "" {
			n++
		}
	}
	return n
}

// count is how many characters are suppressed for a reason.
func (s *suppression) count(d Disposition) int {
	n := 0
	for _, why := range s.why {
		if why == d {
			n++
		}
	}
	return n
}

// most is the reason for which most of some chains is suppressed.
func (s *suppression) most(chains []chain) Disposition {
	released, public, boilerplate := 0, 0, 0
	for _, c := range chains {
		for i := c.query().Start; i < min(c.query().End, len(s.why)); i++ {
			switch s.why[i] {
			case AuthorizedRelease:
				released++
			case PublicText:
				public++
			case Boilerplate:
				boilerplate++
			}
		}
	}
	switch {
	case released > 0:
		return AuthorizedRelease
	case public == 0 && boilerplate == 0:
		return BelowThreshold
	case boilerplate > public:
		return Boilerplate
	}
	return PublicText
}
