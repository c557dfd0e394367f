package match

import (
	"cmp"
	"context"
	"fmt"
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

// group is all hits of one document, in the order of the suspect.
type group struct {
	ordinal storage.Ordinal
	window  fingerprint.Window
	hits    []hit
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
	s := &search{
		version: answer.Version, missing: answer.Missing, grams: len(grams), asked: len(hashes), postings: answer.Postings,
		bits: make([]float32, len(grams)), repeated: make([]bool, len(grams)),
	}
	places := make([]uint8, len(hashes)) // of the suspect that ask for each
	at := make([]int32, len(grams))
	for q, h := range grams {
		i, _ := slices.BinarySearch(hashes, h)
		at[q] = int32(i)
		places[i] = min(places[i]+1, maxRepeats+1)
	}
	total := 0
	for _, l := range answer.Lists {
		if l.Total > 0 {
			s.found++
			total += len(l.Postings)
		}
		if len(l.Postings) < l.Total {
			s.common++
		}
	}
	windows := map[storage.Ordinal]fingerprint.Window{}
	hits := make([]hit, 0, total)
	asked := make([]uint8, len(hashes))
	for q, i := range at {
		list := answer.Lists[i]
		s.repeated[q] = places[i] > 1
		if list.Total == 0 || asked[i] == maxRepeats || len(hits) >= maxHits {
			continue
		}
		asked[i]++
		s.bits[q] = float32(rarity(list.Total, answer.Postings))
		for _, p := range list.Postings {
			windows[p.Ordinal] = p.Window
			hits = append(hits, hit{p.Ordinal, p.Position, uint32(q)})
		}
	}
	// Stable, so that the hits of a document stay in the order of the suspect.
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.ordinal, b.ordinal) })
	for start := 0; start < len(hits); {
		end := start + 1
		for end < len(hits) && hits[end].ordinal == hits[start].ordinal {
			end++
		}
		s.groups = append(s.groups, group{hits[start].ordinal, windows[hits[start].ordinal], hits[start:end:end]})
		start = end
	}
	return s, nil
}
