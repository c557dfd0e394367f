package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Sketch is a sample of a document's grams by which two documents are compared
// without their texts: the smallest hashes of all anchors (bottom-k sketches:
// Cohen and Kaplan, PODC 2007; after Broder, "On the resemblance and containment
// of documents", 1997). Fingerprints do not serve for that: each document keeps
// its own choice of positions. An anchor is a gram whose first characters say so,
// wherever it stands.
type Sketch []uint32

// sketchSize bounds a sketch: resemblance is estimated to within 0.04 or so.
const sketchSize = 128

// anchorEvery is how many grams there are for each anchor, on average.
const anchorEvery = 8

// isAnchor decides by the classes of a gram's first characters.
func isAnchor(classes []uint16) bool {
	h := uint32(classes[0])*0x9E3779B1 ^ uint32(classes[1])*0x85EBCA77 ^ uint32(classes[2])*0xC2B2AE3D ^ uint32(classes[3])*0x27D4EB2F
	return h>>16%anchorEvery == 0
}

// sketcher keeps the smallest of the hashes that it is given.
type sketcher struct {
	hashes []uint32
	full   bool // hashes above limit are no use
	limit  uint32
}

func (s *sketcher) add(h Hash) {
	v := uint32(h)
	if s.full && v >= s.limit {
		return
	}
	if s.hashes = append(s.hashes, v); len(s.hashes) >= 8*sketchSize {
		s.shrink()
	}
}

func (s *sketcher) shrink() {
	slices.Sort(s.hashes)
	s.hashes = slices.Compact(s.hashes)
	if len(s.hashes) > sketchSize {
		s.hashes = s.hashes[:sketchSize]
		s.full, s.limit = true, s.hashes[sketchSize-1]
	}
}

func (s *sketcher) sketch() Sketch {
	s.shrink()
	return slices.Clone(s.hashes)
}

// SketchOf samples all grams of a text instead of its anchors, for texts that have few.
// It is compared with others of its kind only.
func SketchOf(grams []Hash) Sketch {
	var s sketcher
	for _, h := range grams {
		s.add(h)
	}
	return s.sketch()
}

// Resemblance estimates how much two documents have in common: the anchors of
// both as a share of the anchors of either. Documents without anchors resemble
// nothing.
func (s Sketch) Resemblance(o Sketch) float64 {
	common, seen := 0, 0
	for i, j := 0, 0; (i < len(s) || j < len(o)) && seen < sketchSize; seen++ {
		switch {
		case j == len(o) || i < len(s) && s[i] < o[j]:
			i++
		case i == len(s) || o[j] < s[i]:
			j++
		default:
			common++
			i++
			j++
		}
	}
	if seen == 0 {
		return 0
	}
	return float64(common) / float64(seen)
}

// Drafts reports whether documents that resemble each other are states of one
// text, rather than copies of one form.
//
// What distinguishes them is who has what the others lack. A form is filled in
// differently each time: what one copy has of its own stands in few others or in
// none. A change that makes the next draft leaves two wordings, and so does a
// misread word among several readings of a page: nearly always, one of them stands
// in most of the documents. Two documents show no majority, and are taken for
// states of one text if they are nearly the same.
func Drafts(sketches []Sketch) bool {
	if len(sketches) == 2 {
		return sketches[0].Resemblance(sketches[1]) >= sameText
	}
	// Below the largest hash of each sketch that had to leave some out, it is
	// known of every document whether it has an anchor.
	known := uint32(math.MaxUint32)
	for _, s := range sketches {
		if len(s) == sketchSize {
			known = min(known, s[sketchSize-1])
		}
	}
	documents := map[uint32]int{}
	for _, s := range sketches {
		for _, h := range s {
			if h <= known {
				documents[h]++
			}
		}
	}
	most, few := 0, 0
	for _, n := range documents {
		switch {
		case n == len(sketches):
		case 2*n > len(sketches):
			most++
		default:
			few++
		}
	}
	return 3*most >= few
}

// sameText is the resemblance from which on two documents are taken for states of
// one text.
const sameText = .8

// Bytes encodes a sketch: 4 bytes a hash, little-endian, ascending.
func (s Sketch) Bytes() []byte {
	var out []byte
	for _, h := range s {
		out = binary.LittleEndian.AppendUint32(out, h)
	}
	return out
}

var errSketch = errors.New("damaged sketch")

// ParseSketch reads what [Sketch.Bytes] wrote.
func ParseSketch(b []byte) (Sketch, error) {
	if len(b)%4 != 0 || len(b) > 4*sketchSize {
		return nil, fmt.Errorf("%w: %d bytes", errSketch, len(b))
	}
	s := make(Sketch, len(b)/4)
	for i := range s {
		s[i] = binary.LittleEndian.Uint32(b[4*i:])
		if i > 0 && s[i] <= s[i-1] {
			return nil, fmt.Errorf("%w: hash %d is out of order", errSketch, i)
		}
	}
	return s, nil
}
