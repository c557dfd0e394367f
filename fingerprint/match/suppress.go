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

	// commonOrigins is in how many documents of different origin a passage stands
	// that is boilerplate though nobody registered it as such.
	commonOrigins = 5

	// commonPassage is how long such a passage is at least, in characters. Shorter
	// ones are phrases, which the calculation of chance accounts for.
	commonPassage = 36

	// originResemblance is the share of their text from which on documents have the
	// same origin. It is strict, because common passages of different origin are no
	// evidence: drafts of one paper resemble each other more than copies of a form.
	originResemblance = .8

	// maxOrigins bounds the comparisons: this many documents that cover the same
	// characters are compared, best first.
	maxOrigins = 64
)

// suppression says for each character of the suspect why it does not count;
// empty if it counts.
type suppression struct {
	why []Disposition
}

// suppress finds out which characters of the suspect do not count.
func (m *Matcher) suppress(ctx context.Context, s *search, candidates []*candidate, seenAt time.Time) (*suppression, error) {
	sup := &suppression{why: make([]Disposition, s.grams+fingerprint.GramSpan)}
	depth := make([]int, len(sup.why)) // protected documents that cover a character
	var common []*candidate
	for _, c := range candidates {
		d, ok := harmless(c.known, seenAt)
		for _, l := range c.chains {
			if l.bits < coverBits {
				continue
			}
			for _, span := range l.covers() {
				for i := span.Start; i < span.End; i++ {
					if !ok {
						depth[i]++
					} else if sup.why[i] != PublicText { // of both, public says more
						sup.why[i] = d
					}
				}
			}
		}
	}
	for _, c := range candidates {
		if len(common) < maxOrigins && c.known.Kind != storage.Boilerplate && c.touches(depth, commonOrigins) {
			common = append(common, c)
		}
	}
	if len(common) < commonOrigins {
		return sup, nil
	}
	sketches, err := m.sketches(ctx, common)
	if err != nil {
		return nil, err
	}
	var origins [][]*candidate
	for _, c := range common {
		i := 0
		for ; i < len(origins); i++ {
			first := origins[i][0]
			if first.known.Document.ID == c.known.Document.ID || sketches[first.ordinal].Resemblance(sketches[c.ordinal]) >= originResemblance {
				break
			}
		}
		if i == len(origins) {
			origins = append(origins, nil)
		}
		origins[i] = append(origins[i], c)
	}
	clear(depth)
	stamp := make([]int, len(depth)) // the last origin that was counted
	for i, members := range origins {
		for _, c := range members {
			for _, l := range c.chains {
				if l.bits < coverBits {
					continue
				}
				for _, span := range l.covers() {
					for at := span.Start; at < span.End; at++ {
						if stamp[at] != i+1 {
							stamp[at] = i + 1
							depth[at]++
						}
					}
				}
			}
		}
	}
	for start := 0; start < len(depth); start++ {
		end := start
		for end < len(depth) && depth[end] >= commonOrigins {
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
	return sup, nil
}

// touches reports whether a candidate covers a character of at least some depth.
func (c *candidate) touches(depth []int, least int) bool {
	for _, l := range c.chains {
		if l.bits < coverBits {
			continue
		}
		for _, span := range l.covers() {
			for i := span.Start; i < span.End; i++ {
				if depth[i] >= least {
					return true
				}
			}
		}
	}
	return false
}

// covers lists the stretches of the suspect that a chain covers, short gaps
// between hits filled.
func (c chain) covers() []fingerprint.Span {
	var spans []fingerprint.Span
	for _, h := range c.hits {
		from, to := int(h.query), int(h.query)+fingerprint.GramSpan
		if n := len(spans); n > 0 && from-spans[n-1].End <= fillGap {
			spans[n-1].End = to
		} else {
			spans = append(spans, fingerprint.Span{Start: from, End: to})
		}
	}
	return spans
}

// counts reports whether a hit is evidence: most of what it spans is not
// suppressed.
func (s *suppression) counts(h hit) bool {
	return 2*s.within(fingerprint.Span{Start: int(h.query), End: int(h.query) + fingerprint.GramSpan}) < fingerprint.GramSpan
}

// rest is what is left of chains without the hits that do not count.
func (s *suppression) rest(chains []chain) []chain {
	var rest []chain
	for _, c := range chains {
		if own := c.without(s); len(own.hits) > 1 {
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
	public, boilerplate := 0, 0
	for _, c := range chains {
		for i := c.query().Start; i < min(c.query().End, len(s.why)); i++ {
			switch s.why[i] {
			case PublicText:
				public++
			case Boilerplate:
				boilerplate++
			}
		}
	}
	switch {
	case public == 0 && boilerplate == 0:
		return BelowThreshold
	case boilerplate > public:
		return Boilerplate
	}
	return PublicText
}
