package fingerprint

import (
	"cmp"
	"encoding/binary"
	"slices"

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

// foldClasses returns the class of each character.
func foldClasses(chars []rune) []uint16 {
	t := loadClasses()
	classes := make([]uint16, len(chars))
	for i, r := range chars {
		classes[i] = class(t, r)
	}
	return classes
}

// GramHashes returns what is sealed of all grams of a text: the i-th is that of the
// gram which begins at normalized character i. A text shorter than [GramSpan] has
// none. They are not keyed: nothing of them may be kept or told.
func GramHashes(text *Text) []uint64 {
	n := len(text.Chars) - GramSpan + 1
	if n <= 0 {
		return nil
	}
	classes := foldClasses(text.Chars)
	hashes := make([]uint64, n)
	s := parseSeed(Seed)
	for i := range hashes {
		hashes[i] = s.hash(classes[i : i+GramSpan])
	}
	return hashes
}

// Grams returns the fingerprints of all grams of a text, in the order of [GramHashes]. This
// is what a look-up asks for.
func Grams(key *Key, text *Text) []Hash { return key.SealAll(GramHashes(text)) }

// Misreader makes the grams that a text would have if one character had been read
// as another.
type Misreader struct {
	seed     seed
	classes  []uint16
	alphabet []uint16
}

// maxAlphabet bounds the classes that a character may have been read as: those of
// Latin are 17, of Urdu some 35.
const maxAlphabet = 40

// NewMisreader returns a misreader of a text. Characters are read as others of the
// same text, the most common ones.
func NewMisreader(text *Text) *Misreader {
	m := &Misreader{seed: parseSeed(Seed), classes: foldClasses(text.Chars)}
	count := map[uint16]int{}
	for _, c := range m.classes {
		if count[c]++; count[c] == 1 {
			m.alphabet = append(m.alphabet, c)
		}
	}
	slices.SortFunc(m.alphabet, func(a, b uint16) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	m.alphabet = m.alphabet[:min(len(m.alphabet), maxAlphabet)]
	return m
}

// Append appends the hashes, not sealed, of all grams that differ from the one at
// normalized character i in one sampled character.
func (m *Misreader) Append(hashes []uint64, i int) []uint64 {
	gram := slices.Clone(m.classes[i : i+GramSpan])
	for _, offset := range m.seed {
		was := gram[offset]
		for _, c := range m.alphabet {
			if gram[offset] = c; c != was {
				hashes = append(hashes, m.seed.hash(gram))
			}
		}
		gram[offset] = was
	}
	return hashes
}
