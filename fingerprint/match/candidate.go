package match

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// candidate is a document that shares passages with the suspect.
type candidate struct {
	ordinal storage.Ordinal
	chains  []chain // best first
	whole   float64 // chance of all it shares, as a decimal logarithm
	known   storage.Match

	sup      *suppression
	harmless Disposition // why all of the document may be seen; empty if it may not
	filledIn bool        // shares what was filled into a form
	rest     []chain     // what counts of the chains
	own      float64     // chance of that
	// What judge finds:
	chance      float64 // that goes with the disposition
	disposition Disposition
	versions    []Relative
	because     string // of the disposition, if it is not plain
}

// candidates weighs every document that has hits in line and returns the best.
func (s *search) candidates() []*candidate {
	var found []*candidate
	c := chainer{bits: s.bits}
	for _, g := range s.groups {
		if chains := c.chains(g.hits, g.window); len(chains) > 0 {
			found = append(found, &candidate{ordinal: g.ordinal, chains: chains})
		}
	}
	s.opportunities = len(found)
	for _, c := range found {
		c.whole = s.together(c.chains)
	}
	slices.SortFunc(found, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.whole, b.whole), cmp.Compare(b.chains[0].bits, a.chains[0].bits), cmp.Compare(a.ordinal, b.ordinal))
	})
	return found[:min(len(found), maxCandidates)]
}

// decisive leaves the candidates on which the verdict rests: those that may be
// more than chance, and if there are any, those that cover what suppression
// needs to know. Most texts have none, and then nobody asks who the candidates are.
func decisive(candidates []*candidate) []*candidate {
	unsure := math.Log10(lookAgain)
	if len(candidates) == 0 || candidates[0].whole > unsure {
		return nil
	}
	return slices.DeleteFunc(candidates, func(c *candidate) bool {
		return c.whole > unsure && !slices.ContainsFunc(c.chains, chain.covering)
	})
}

func (c *candidate) below() bool { return c.disposition == BelowThreshold }

// judge decides what becomes of a candidate.
func (c *candidate) judge(sup *suppression) {
	switch {
	case c.harmless == "" && c.own <= threshold:
		c.chance, c.disposition = c.own, Alert
	case c.whole > threshold:
		c.chance, c.disposition = c.own, BelowThreshold
	case c.harmless != "":
		c.chance, c.disposition = c.whole, c.harmless
	default:
		c.chance, c.disposition = c.whole, sup.most(c.chains)
	}
}

// harmless says why all of a document may be seen; nothing if it may not.
func harmless(m storage.Match, seenAt time.Time) Disposition {
	published := !m.Document.PublishedAt.IsZero() && !seenAt.Before(m.Document.PublishedAt)
	switch {
	case m.Kind == storage.Boilerplate:
		return Boilerplate
	case published, m.Kind == storage.Public && m.Document.PublishedAt.IsZero():
		return PublicText
	}
	return ""
}

// closeness is how many characters of the suspect stand in the candidate: what
// only one version has makes it closer than the others.
func (c *candidate) closeness() int {
	sum := 0
	for _, l := range c.chains {
		sum += l.query().Len() - l.missed()*int(l.window)
	}
	return sum
}

// familyResemblance is the share of their text that documents of one family have
// in common at least with another of it: drafts, finals, revisions, copies of a
// form.
const familyResemblance = .4

// families groups candidates whose documents resemble each other, directly or by
// way of others.
func families(candidates []*candidate, sketches map[storage.Ordinal]fingerprint.Sketch) (all [][]*candidate) {
	for _, c := range candidates {
		family := []*candidate{c}
		all = slices.DeleteFunc(all, func(other []*candidate) bool {
			near := slices.ContainsFunc(other, func(o *candidate) bool {
				return o.known.Document.ID == c.known.Document.ID || sketches[o.ordinal].Resemblance(sketches[c.ordinal]) >= familyResemblance
			})
			if near {
				family = append(family, other...)
			}
			return near
		})
		all = append(all, family)
	}
	return all
}

// gather leaves, of each family, the closest of the alerts about the same
// characters.
func (m *Matcher) gather(ctx context.Context, candidates []*candidate) error {
	var alerts []*candidate
	for _, c := range candidates {
		if c.disposition == Alert {
			alerts = append(alerts, c)
		}
	}
	if len(alerts) < 2 {
		return nil
	}
	sketches, err := m.sketches(ctx, alerts)
	if err != nil {
		return err
	}
	for _, family := range families(alerts, sketches) {
		slices.SortStableFunc(family, func(a, b *candidate) int {
			return cmp.Or(cmp.Compare(b.closeness(), a.closeness()), cmp.Compare(a.chance, b.chance), b.known.Version.CreatedAt.Compare(a.known.Version.CreatedAt), cmp.Compare(b.ordinal, a.ordinal))
		})
		var heads []*candidate
		for _, c := range family {
			i := slices.IndexFunc(heads, func(h *candidate) bool { return overlap(h, c) })
			if i < 0 {
				heads = append(heads, c)
				continue
			}
			h := heads[i]
			h.versions = append(h.versions, Relative{c.known.Document.ID, c.known.Version.Number})
			c.disposition = BelowThreshold
			c.because = fmt.Sprintf("version %d of %s is closer", h.known.Version.Number, h.known.Document.ID)
		}
	}
	return nil
}

// overlap reports whether two candidates share, by half, the same characters of
// the suspect.
func overlap(a, b *candidate) bool {
	common, least := 0, 0
	for _, l := range b.chains {
		least += l.query().Len()
		for _, o := range a.chains {
			common += intersection(l.query(), o.query())
		}
	}
	return 2*common >= least
}

func (m *Matcher) sketches(ctx context.Context, candidates []*candidate) (map[storage.Ordinal]fingerprint.Sketch, error) {
	ordinals := make([]storage.Ordinal, len(candidates))
	for i, c := range candidates {
		ordinals[i] = c.ordinal
	}
	encoded, err := m.Documents.Sketches(ctx, ordinals)
	if err != nil {
		return nil, fmt.Errorf("read sketches: %w", err)
	}
	sketches := map[storage.Ordinal]fingerprint.Sketch{}
	for o, b := range encoded {
		if sketches[o], err = fingerprint.ParseSketch(b); err != nil {
			return nil, fmt.Errorf("read sketch of ordinal %d: %w: %w", o, storage.ErrCorrupt, err)
		}
	}
	return sketches, nil
}

// reason says in words what the disposition rests on.
func (c *candidate) reason(matched, length int) string {
	said := fmt.Sprintf("%d of %d characters stand in this document", matched, length)
	switch {
	case c.because != "":
		return said + ", but " + c.because
	case c.disposition == BelowThreshold:
		return said + ", which may be chance"
	case c.disposition == PublicText:
		return said + " and in public text"
	case c.disposition == AuthorizedRelease:
		return said + ", which is released"
	case c.disposition == Boilerplate:
		return said + " and are boilerplate"
	}
	return said
}
