package match

import (
	"context"
	"fmt"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// While the secret key is being changed, documents are kept under two keys, in two indexes,
// and a text is looked up in both as if they were one: what stands in five documents of
// different origin does so whatever keys they are kept under.

// sealed is hashes, and the index that they are asked of; and the same hashes as the index of
// the previous key has them, if that is asked, too.
type sealed struct {
	index    Index
	hashes   []fingerprint.Hash
	previous Index // nil: it is not asked
	before   []fingerprint.Hash
	// unasked names what could not be asked, since the hashes were made with the other key.
	unasked string
}

// suspect normalizes the text of a query, if it has one, and seals its grams.
func (m *Matcher) suspect(q Query) (*fingerprint.Text, sealed) {
	if q.Grams == nil {
		text := fingerprint.Normalize(q.Text)
		return text, m.seal(fingerprint.GramHashes(text))
	}
	s := sealed{index: m.Index, hashes: q.Grams}
	switch {
	case m.Previous != nil && q.KeyID == m.Previous.Key.ID():
		s.index, s.unasked = m.Previous.Index, "key-"+m.Key.ID()
	case m.Previous != nil:
		s.unasked = "key-" + m.Previous.Key.ID()
	}
	return fingerprint.Blank(len(q.Grams) + fingerprint.GramSpan - 1), s
}

// seal seals hashes of grams with each key.
func (m *Matcher) seal(hashes []uint64) sealed {
	s := sealed{index: m.Index, hashes: m.Key.SealAll(hashes)}
	if m.Previous != nil {
		s.previous, s.before = m.Previous.Index, m.Previous.Key.SealAll(hashes)
	}
	return s
}

// sealLayout seals hashes of a layout with each key.
func (m *Matcher) sealLayout(hashes []uint64) sealed {
	s := sealed{index: m.Pages, hashes: m.Key.Pages().SealAll(hashes)}
	if m.Previous != nil {
		s.previous, s.before = m.Previous.Pages, m.Previous.Key.Pages().SealAll(hashes)
	}
	return s
}

// unique is the hashes without repetitions, in ascending order.
func (s *sealed) unique() sealed {
	u := *s
	u.hashes = slices.Clone(s.hashes)
	slices.Sort(u.hashes)
	u.hashes = slices.Compact(u.hashes)
	if s.previous != nil {
		u.before = make([]fingerprint.Hash, len(u.hashes))
		for i, h := range s.hashes {
			at, _ := slices.BinarySearch(u.hashes, h)
			u.before[at] = s.before[i]
		}
	}
	return u
}

// lookUp asks for the hashes. The previous index goes first: a document that is moved
// meanwhile is added to the current one before it leaves the other.
func (s *sealed) lookUp(ctx context.Context, limit int) (*storage.Answer, error) {
	if s.previous == nil {
		answer, err := s.index.Lookup(ctx, s.hashes, limit)
		if err == nil && s.unasked != "" {
			answer.Missing = append(answer.Missing, s.unasked)
		}
		return answer, err
	}
	old, err := s.previous.Lookup(ctx, s.before, limit)
	if err != nil {
		return nil, fmt.Errorf("under the previous key: %w", err)
	}
	answer, err := s.index.Lookup(ctx, s.hashes, limit)
	if err != nil {
		return nil, err
	}
	joined := &storage.Answer{
		Lists: make([]storage.List, len(s.hashes)), Version: old.Version + "+" + answer.Version,
		Postings: old.Postings + answer.Postings, Missing: append(old.Missing, answer.Missing...),
	}
	for i, l := range answer.Lists {
		o := old.Lists[i]
		all := append(o.Postings[:len(o.Postings):len(o.Postings)], l.Postings...)
		joined.Lists[i] = storage.List{Total: o.Total + l.Total, Postings: all[:min(len(all), limit)]}
	}
	return joined, nil
}
