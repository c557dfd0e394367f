// Package fingerprint turns text into keyed fingerprints: a handful of numbers
// per line of text by which a copied passage is recognized, and from which
// nobody without the deployment's secret key can learn or confirm a word.
//
// # From text to fingerprints
//
//  1. Normalization ([Normalize]). Upper case, punctuation, spaces, line breaks,
//     zero-width characters, diacritics that are written as marks, Arabic
//     presentation forms: none of it survives copying, so none of it counts. What
//     is left are letters and digits, each with the place it came from.
//  2. Classes. Characters that are mistaken for each other when text is typed on
//     another keyboard, read by a machine or disguised on purpose share one class:
//     ك and ک, Cyrillic а and Latin a, rn-like n, u and r, 0 and o. Folding maps one
//     character to one class, so it moves nothing.
//  3. Grams. A gram looks at 16 consecutive characters (k = [GramSpan]) but samples
//     only the 10 at the ones of [Seed]. Errors cluster in few characters; a seed with
//     holes lets more grams survive them than 10 characters in a row would (spaced
//     seeds: Ma, Tromp and Li, "PatternHunter", Bioinformatics 18, 2002).
//  4. Selection. Of every w consecutive grams of a document one is kept: those
//     that begin at characters 0, w, 2w and so on ([Window]).
//  5. Sealing ([Key.Seal]). What a gram sampled is hashed by xxhash, and the result
//     goes through SipHash-2-4 under a key that is derived from the deployment's
//     secret (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). 48 bits
//     of that are stored: a [Hash].
//
// # The guarantee
//
// A look-up computes all grams of the suspect text, one at each character. Let a
// run of t = w + k - 1 normalized characters stand both in a document and in
// the suspect. The run holds w consecutive grams of the document; one of them
// was kept; the suspect asks for it. So:
//
//	every shared run of w + k - 1 characters shares a fingerprint, and
//	every shared run of m·w + k - 1 characters shares m of them, in line.
//
// With t = 64 ([Guarantee]) that is nine fingerprints at [Dense] and two at
// [Sparse]. No run shorter than k shares one, but by accident (2^-48 for each
// stored fingerprint).
//
// # Why not winnowing
//
// Winnowing (Schleimer, Wilkerson and Aiken, SIGMOD 2003) keeps the smallest
// hash of every window and needs a density of 2/(w+1) for the same promise; the
// best order on grams that is known needs about 1.7/(w+1), and no scheme that
// chooses by content gets below roughly 1.6/(w+1) at our sizes (Kille and others,
// Bioinformatics 40, 2024). Content has to choose only where both sides are
// sampled. Our look-up is short and asks for everything, so the document may be
// sampled blindly, at density 1/w: four ninths of the index at the same promise,
// evenly spread, and with two gifts. The positions of fingerprints need no space,
// because the i-th stands at i·w. And they say nothing: where winnowing stops in
// a text depends on the text, so that somebody who holds a stolen index, but not
// its key, could confirm a guessed document by the gaps between its
// fingerprints. Blind positions are the same for every document.
//
// What is given up: two texts that share a passage keep different grams of it,
// so two stored documents cannot be compared by intersecting their fingerprints,
// and how common a gram is must be estimated from the documents that happened to
// keep it.
//
// # A worked example
//
// Let k be 4, the seed 1101, w 3, and no key. The source
//
//	"The Budget, 2026-27"
//
// normalizes to 15 characters (below each, where it came from):
//
//	t h e b u d  g  e  t  2  0  2  6  2  7
//	0 1 2 4 5 6  7  8  9 12 13 14 15 17 18
//
// Its grams 0, 3, 6, 9 are kept; 1101 drops the third character of each:
//
//	0 theb → thb    3 budg → bug    6 get2 → ge2    9 2026 → 206
//
// A post says "...BUDGET 2026!!". Of its normalized budget2026 all seven grams
// are asked for: bug, ude, dgt... The first, bug, was kept as the document's
// gram 3, at source characters 4 to 7; then ge2 and 206 are found three and six
// characters further on both sides: in line, one passage. Any 3 + 4 - 1 = 6
// characters that the post shares with the document would have shared one.
package fingerprint
