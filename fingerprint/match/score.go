package match

import (
	"math"

	"github.com/sealprint/sealprint/fingerprint"
)

// ChanceThreshold is the one decision threshold: a match is an alert when fewer
// documents than this would match as well by chance. In other words, of two
// thousand look-ups of texts of the trade that are not registered, one becomes an
// alert.
const ChanceThreshold = 5e-4

// threshold is the same as a decimal logarithm, which is what the matcher
// calculates with.
var threshold = math.Log10(ChanceThreshold)

const (
	// maxRarity is what a gram says, in bits, that stands nowhere else: the ten
	// characters that it samples of natural language hold about that much.
	maxRarity = 20

	// background is how many fingerprints of other texts count as if they were in
	// the index, so that a small index does not take common phrases for rare ones.
	background = 1 << 20
)

// rarity returns what the agreement on a gram says, in bits, if the index holds
// total postings of it among all.
func rarity(total int, postings int64) float64 {
	const once = float64(background) / (1 << maxRarity)
	others := float64(total-1) + once
	return min(maxRarity, -math.Log2(others/(float64(postings)+background)))
}

// The weights of evidence are natural logarithms of how much likelier something
// is in a copy than among strangers. Logistic regression gave them, on chains of
// noisy excerpts against chains of texts that are not registered (TestEval makes
// such texts). What it says is plain:
//
// Strangers share phrases. A phrase of the trade leaves one island, a run of hits
// in line with nothing missing, and within that island more hits say nothing.
// What strangers hardly have is a second island, farther on, at the same
// distance in both texts, and a third. And their phrases end: beyond forty
// characters each further one speaks for a copy.
const (
	islandLeast  = 2.5 // of an island right behind the last
	islandGrowth = .07 // for each character between
	islandMost   = 6.0

	driftPrice = .6 // for each character lost or gained before an island
	driftMost  = 3.0

	phrase         = 26 // characters that many phrases have
	phraseGrowth   = .1 // for each further one
	verbatim       = 33 // characters that few phrases have
	verbatimGrowth = .6 // for each further one, too

	// repeatPrice is for each hit of a gram that the suspect holds more than once,
	// as lists and tables do.
	repeatPrice = 1.3
)

// runEvidence is what an unbroken run of n characters says beyond its first gram.
func runEvidence(n int) float64 {
	return phraseGrowth*float64(max(0, n-phrase)) + verbatimGrowth*float64(max(0, n-verbatim))
}

// evidence weighs a chain. It also returns its longest run, in characters; 0 if no
// two hits are unbroken.
func (s *search) evidence(c chain) (sum float64, longest int) {
	run := fingerprint.GramSpan
	for i, h := range c.hits {
		if s.repeated[h.query] {
			sum -= repeatPrice
		}
		if i == 0 {
			continue
		}
		rare := float64(s.bits[h.query]) / maxRarity
		t, _ := stepBetween(c.hits[i-1], h, c.window)
		if t.unbroken() {
			run += int(c.window)
			sum += rare * (runEvidence(run) - runEvidence(run-int(c.window)))
			longest = max(longest, run)
			continue
		}
		run = fingerprint.GramSpan
		apart := float64(max(0, t.forward-2*int(c.window)))
		island := min(islandMost, islandLeast+islandGrowth*apart) - min(driftMost, driftPrice*float64(t.drift))
		sum += rare * t.fresh() * island
	}
	return sum, longest
}

// How matches of strangers thin out as their evidence grows, as decimal
// logarithms: measured, and compared with what is observed by TestEval.
const (
	chanceOfAny   = -.85
	chanceSlope   = .24 // for each unit of evidence
	chanceFar     = 6   // beyond which
	chanceFarther = .11 // comes on top
)

// chance returns, as a decimal logarithm, how many documents would show a
// chain's evidence by chance.
//
// It grows with the opportunities, and of these the search itself gives the
// best estimate, as it does for tools that compare genomes (Pearson, "Empirical
// statistical estimates for sequence similarity searches", 1998): how many
// documents hold anything in line with the suspect. That number is low for a
// post about cricket and high for a paragraph of law; it grows with the index and
// with the length of the suspect. A run that fills the whole suspect has but
// one place in it, and less opportunity than one that could stand anywhere.
func (s *search) chance(c chain) (log10 float64) {
	if len(c.hits) < 2 {
		return 0
	}
	e, longest := s.evidence(c)
	places := s.grams
	if longest > 0 {
		// The run may go on, on both sides, up to where the next fingerprint stands.
		places = max(1, s.grams-(longest-fingerprint.GramSpan+2*int(c.window))+3)
	}
	return math.Log10(math.Sqrt(float64(s.opportunities))-.7) + math.Log10(float64(places)/float64(s.grams)) +
		chanceOfAny - chanceSlope*e - chanceFarther*max(0, e-chanceFar)
}

// furtherPrice is what a further passage of the same document has to be unlikelier
// than chance by, in decades, before it adds anything: texts on one subject share
// phrases here and there.
const furtherPrice = 1.5

// together returns how many documents would show all of some chains by chance, as
// a decimal logarithm. The best chain counts in full.
func (s *search) together(chains []chain) (log10 float64) {
	best := 0.0
	for _, c := range chains {
		each := s.chance(c)
		best = min(best, each)
		log10 += min(0, each+furtherPrice)
	}
	return log10 - min(0, best+furtherPrice) + best
}

// leastChance is the smallest number that an answer tells.
const leastChance = 1e-300

// expected is the number that a logarithm stands for.
func expected(log10 float64) float64 { return max(leastChance, math.Pow(10, log10)) }

// score maps what is expected by chance to 0..1, the threshold to 0.5.
func score(log10 float64) float64 {
	x := max(0, -log10)
	return x / (x - threshold)
}
