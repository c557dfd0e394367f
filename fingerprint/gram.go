package fingerprint

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Seed tells which characters of a gram count. It has weight 10 and overlaps
// little with itself when shifted, so that one error spoils few neighboring
// grams.
const Seed = "1110100110010111"

// GramSpan is the length of a gram in normalized characters (k).
const GramSpan = len(Seed)

// GramWeight is how many characters a gram samples.
const GramWeight = 10

// SeedOffsets lists the offsets of the characters that a gram samples.
func SeedOffsets() []int { return parseSeed(Seed) }

// seed lists the offsets that a gram samples.
type seed []int

func parseSeed(ones string) seed {
	var s seed
	for i, c := range ones {
		if c == '1' {
			s = append(s, i)
		}
	}
	return s
}

// hash returns the unkeyed hash of the gram that begins with classes[0].
func (s seed) hash(classes []uint16) uint64 {
	var b [2 * GramSpan]byte
	for i, offset := range s {
		binary.LittleEndian.PutUint16(b[2*i:], classes[offset])
	}
	return xxhash.Sum64(b[:2*len(s)])
}

// fold appends the class of each character.
func foldClasses(classes []uint16, chars []rune) []uint16 {
	t := loadClasses()
	for _, r := range chars {
		classes = append(classes, class(t, r))
	}
	return classes
}

// Grams returns the fingerprints of all grams of a text: the i-th is that of the
// gram which begins at normalized character i. A text shorter than [GramSpan] has
// none. This is what a look-up asks for.
func Grams(key *Key, text *Text) []Hash {
	n := len(text.Chars) - GramSpan + 1
	if n <= 0 {
		return nil
	}
	classes := foldClasses(make([]uint16, 0, len(text.Chars)), text.Chars)
	hashes := make([]Hash, n)
	s := parseSeed(Seed)
	for i := range hashes {
		hashes[i] = key.Seal(s.hash(classes[i : i+GramSpan]))
	}
	return hashes
}
