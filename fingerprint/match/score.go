package match

import "math"

// ChanceThreshold is the one decision threshold: a match is an alert when fewer
// documents than this would match as well by chance, in an index of this size.
const ChanceThreshold = 1e-3

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

	// dependence is what is left of a bit when neighboring words depend on each
	// other: who quotes half a phrase is likely to quote the other half too.
	dependence = 0.45
)

// rarity returns what the agreement on a gram says, in bits, if the index holds
// total postings of it among all.
func rarity(total int, postings int64) float64 {
	others := float64(total-1) + background*math.Pow(2, -maxRarity)
	return min(maxRarity, -math.Log2(others/(float64(postings)+background)))
}

// chance returns how many documents would show this much evidence by accident, as
// a decimal logarithm: a whole document that leaked leaves numbers that a float
// does not hold.
func chance(bits float64, grams int, postings int64) (log10 float64) {
	places := float64(grams) * (float64(postings) + background)
	return math.Log10(places) - dependence*bits*math.Log10(2)
}

// leastChance is the smallest number that an answer tells.
const leastChance = 1e-300

// expected is the number that a logarithm stands for.
func expected(log10 float64) float64 { return max(leastChance, math.Pow(10, log10)) }

// score maps what is expected by chance to 0..1, the threshold to 0.5.
func score(log10 float64) float64 {
	x := max(0, -log10)
	return x / (x - math.Log10(ChanceThreshold))
}
