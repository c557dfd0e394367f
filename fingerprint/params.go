package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Hash is a sealed gram: the keyed pseudo-random function of what a gram
// samples, cut to HashBits. It is the only trace of a document's text that is
// ever stored.
type Hash uint64

// HashBits is how many low bits of a [Hash] are used. With n stored
// fingerprints an absent one is found by accident with probability n/2^48:
// four in a million at a billion fingerprints, and one accidental hit never
// decides anything.
const HashBits = 48

// HashBytes is what a hash takes where many are written one after the other.
const HashBytes = HashBits / 8

// AppendHashes appends hashes to b, HashBytes each, the lowest byte first.
func AppendHashes(b []byte, hashes []Hash) []byte {
	b = slices.Grow(b, HashBytes*len(hashes)+8-HashBytes)
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, uint64(h))[:len(b)+HashBytes]
	}
	return b
}

// ParseHashes appends the hashes that AppendHashes wrote to others; false if these bytes
// are none.
func ParseHashes(to []Hash, b []byte) ([]Hash, bool) {
	if len(b)%HashBytes != 0 {
		return nil, false
	}
	var eight [8]byte
	for ; len(b) > 0; b = b[HashBytes:] {
		copy(eight[:], b[:HashBytes])
		to = append(to, Hash(binary.LittleEndian.Uint64(eight[:])))
	}
	return to, true
}

// Guarantee is the promise stated in every answer, in normalized characters:
// a verbatim run this long, of any registered document, is found, whatever the
// density of the collection that the document stands in.
const Guarantee = 64

// PageSeed names the rules by which layouts of pages become fingerprints (package page),
// in the place of the seed of grams.
const PageSeed = "page 1"

// Window is how many consecutive grams share one fingerprint: a document keeps
// its grams 0, w, 2w and so on. A smaller window makes a larger index that
// recognizes noisier text.
type Window int

// The windows that collections choose from.
const (
	// Dense keeps a gram in five, about 0.16 fingerprints per byte of English:
	// at least nine of them lie in any run of Guarantee characters, enough to
	// recognize a screenshot's OCR or a retyped paragraph.
	Dense Window = 5
	// Sparse keeps a gram in twenty, for bulk collections: at least two lie in
	// any run of Guarantee characters.
	Sparse Window = 20
)

// Hits is the least number of a document's fingerprints that lie, in line, in
// any verbatim run of n normalized characters.
func (w Window) Hits(n int) int {
	return max(0, n-GramSpan+1) / int(w)
}

// Validate reports whether the window keeps the promise made by Guarantee.
func (w Window) Validate() error {
	if w < 1 || w.Hits(Guarantee) < 2 {
		return fmt.Errorf("window %d: need 1 to %d grams, so that a run of %d characters holds two fingerprints", w, (Guarantee-GramSpan+1)/2, Guarantee)
	}
	return nil
}

// Params says how stored fingerprints were made. They are kept with the index;
// fingerprints made under different Params mean nothing to each other.
type Params struct {
	// Normalizer is the version of the rules from source text to characters.
	Normalizer int `json:"normalizer"`
	// Classes is the version of the table that folds look-alike characters.
	Classes int `json:"classes"`
	// Seed tells which characters of a gram count, as ones and zeros.
	Seed string `json:"seed"`
	// KeyID names the deployment's secret key without revealing it.
	KeyID string `json:"key_id"`
}

// ErrParams is the kind of error that answers fingerprints made under other
// parameters or another key.
var ErrParams = errors.New("fingerprint parameters differ")

// Check returns an error of kind [ErrParams] that names the first difference
// when fingerprints made under other may not be mixed with those made under p.
func (p Params) Check(other Params) error {
	switch {
	case p.Normalizer != other.Normalizer:
		return fmt.Errorf("%w: normalizer version %d, here %d", ErrParams, other.Normalizer, p.Normalizer)
	case p.Classes != other.Classes:
		return fmt.Errorf("%w: character classes version %d, here %d", ErrParams, other.Classes, p.Classes)
	case p.Seed != other.Seed:
		return fmt.Errorf("%w: seed %s, here %s", ErrParams, other.Seed, p.Seed)
	case p.KeyID != other.KeyID:
		return fmt.Errorf("%w: secret key %s, here %s", ErrParams, other.KeyID, p.KeyID)
	}
	return nil
}
