package match

import (
	"cmp"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
)

// ChanceThreshold is the one decision threshold: a match is an alert when fewer
// documents than this would match as well by chance, in an index of this size.
const ChanceThreshold = 1e-4

const (
	// maxRarity is what a gram says, in bits, that stands nowhere else: the eleven
	// characters that it samples of natural language hold about that much.
	maxRarity = 22

	// background is how many fingerprints of other texts count as if they were in
	// the index, so that a small index does not take common phrases for rare ones.
	background = 1 << 20

	// minPassageBits is the least evidence for a passage to be told: that of two
	// grams that do not overlap and are not all too common.
	minPassageBits = 12

	// maxDrift is how many characters may be lost or gained between two hits of a
	// chain, and driftBits the price of each.
	maxDrift  = 8
	driftBits = 3

	// missBits is the price of a fingerprint of the document, inside the passage,
	// that the suspect does not hold.
	missBits = 1

	// maxLink is how many characters lie at most between two hits of a chain, and
	// maxLook how many hits are tried for the one before.
	maxLink = 120
	maxLook = 25
)

// rarity returns what the agreement on a gram says, in bits, if the index holds
// total postings of it among all.
func rarity(total int, postings int64) float64 {
	others := float64(total-1) + background*math.Pow(2, -maxRarity)
	return min(maxRarity, -math.Log2(others/(float64(postings)+background)))
}

// chance returns, as a decimal logarithm, how many documents would show a
// candidate's evidence by accident. What strangers share falls off in two ways,
// both measured on texts that are not registered, and a candidate is as unlikely
// as the less likely of its two:
//
//   - Verbatim. A phrase of the trade may run on, but with each character it is
//     less likely to: unbroken runs of strangers become rarer by 0.25 decades with each.
//     A run of fingerprint.Guarantee characters is far beyond them.
//   - Noisy. Hits that chain up along the diagonal, with misses and shifts in
//     between, as an excerpt with errors leaves them. Strangers that list the same
//     things in the same order do that too, so the evidence of a chain counts much
//     less a bit.
//
// Both grow with the places where it could have happened: grams of the suspect
// times fingerprints of the index.
func chance(c candidate, window fingerprint.Window, s *search) (log10 float64) {
	places := math.Log10(float64(s.grams) * (float64(s.postings) + background))
	for _, r := range c.passages {
		verbatim := places - 6.3 - 0.25*s.longestRun(r.hits, window)
		noisy := places - 9.9 - s.bestChain(r.hits, window)/56
		log10 = min(log10, verbatim, noisy)
	}
	return log10
}

// longestRun is the length, in characters beyond one gram, of the longest stretch
// of hits in line of which none is missing. Common grams count for less.
func (s *search) longestRun(hits []hit, window fingerprint.Window) float64 {
	byDiagonal := slices.Clone(hits)
	slices.SortFunc(byDiagonal, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.diagonal(), b.diagonal()), cmp.Compare(a.query, b.query))
	})
	best, sum := 0.0, 0.0
	for i, h := range byDiagonal {
		if i == 0 || h.diagonal() != byDiagonal[i-1].diagonal() || h.query != byDiagonal[i-1].query+uint32(window) {
			sum = -1 // the first gram of a run
		}
		sum += float64(s.bits[h.query]) / maxRarity
		best = max(best, sum)
	}
	return best * float64(window)
}

// bestChain is the evidence, in bits, of the best sequence of hits that advance
// in both texts, less the price of what is missing between them.
func (s *search) bestChain(hits []hit, window fingerprint.Window) float64 {
	scores := make([]float64, len(hits))
	best := 0.0
	for j, h := range hits {
		own := float64(s.bits[h.query])
		scores[j] = own
		for i := j - 1; i >= max(0, j-maxLook) && h.query-hits[i].query <= maxLink; i-- {
			forward, advance := int(h.query-hits[i].query), int(h.position)-int(hits[i].position)
			drift := max(forward-advance, advance-forward)
			if forward == 0 || advance <= 0 || advance > maxLink || drift > maxDrift {
				continue
			}
			missed := max(0, advance/int(window)-1)
			link := own*fresh(forward, drift) - float64(missBits*missed) - float64(driftBits*drift)
			scores[j] = max(scores[j], scores[i]+link)
		}
		best = max(best, scores[j])
	}
	return best
}

// fresh is the share of a gram's sampled characters that the gram so far before
// it did not sample.
func fresh(forward, drift int) float64 {
	switch {
	case forward >= fingerprint.GramSpan:
		return 1
	case drift > 0:
		return float64(forward) / float64(fingerprint.GramSpan)
	}
	return freshOnDiagonal[forward]
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

// leastChance is the smallest number that an answer tells.
const leastChance = 1e-300

// expected is the number that a logarithm stands for.
func expected(log10 float64) float64 { return max(leastChance, math.Pow(10, log10)) }

// score maps what is expected by chance to 0..1, the threshold to 0.5.
func score(log10 float64) float64 {
	x := max(0, -log10)
	return x / (x - math.Log10(ChanceThreshold))
}
