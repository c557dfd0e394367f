package fingerprint

import (
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// NormalizerVersion changes whenever Normalize answers differently for any
// text. Fingerprints of different versions are not comparable.
const NormalizerVersion = 1

// Span is a half-open range of code points, or of normalized characters where
// that is said.
type Span struct {
	Start, End int
}

// Len is the number of code points in the span.
func (s Span) Len() int { return s.End - s.Start }

// Text is a normalized text with an exact map back to its source.
type Text struct {
	// Chars are the normalized characters.
	Chars []rune
	// spans[i] is where Chars[i] came from, in code points of the source.
	spans []source
	// length of the source in code points.
	length int
}

// source is a Span in half the space; sources are bounded by limits far below
// 2^32 code points.
type source struct{ start, end uint32 }

// Normalize maps text to the characters that survive copying: letters and
// numbers (Unicode L and N), after dropping format characters (Cf) and variation
// selectors, compatibility composition (NFKC), full case folding, and dropping
// non-spacing marks (Mn) and the tatweel. Bytes that are not UTF-8 are dropped.
func Normalize(text string) *Text {
	t := &Text{}
	t.length = scan(text, func(chars []char) {
		for _, c := range chars {
			t.Chars = append(t.Chars, c.r)
			t.spans = append(t.spans, source{c.start, c.end})
		}
	})
	return t
}

// Blank is a text of which nothing but its length is known, in normalized characters.
func Blank(n int) *Text {
	t := &Text{Chars: make([]rune, n), spans: make([]source, n), length: n}
	for i := range t.spans {
		t.spans[i] = source{uint32(i), uint32(i) + 1}
	}
	return t
}

// Len is the number of normalized characters.
func (t *Text) Len() int { return len(t.Chars) }

// SourceLen is the number of code points of the source.
func (t *Text) SourceLen() int { return t.length }

// Source maps a span of normalized characters to the code points of the source
// that it came from: from the first code point of its first character to the
// last of its last. An empty span maps to an empty one.
func (t *Text) Source(s Span) Span {
	if s.Start >= s.End {
		if s.Start < len(t.spans) {
			at := int(t.spans[s.Start].start)
			return Span{at, at}
		}
		return Span{t.length, t.length}
	}
	return Span{int(t.spans[s.Start].start), int(t.spans[s.End-1].end)}
}

// char is a normalized character and the code points of the source it came from.
type char struct {
	r          rune
	start, end uint32
}

// What the tables say about a rune of the Basic Multilingual Plane.
const (
	kindComplex = iota // must be normalized together with its neighbors
	kindDrop           // dropped before normalization: Cf, variation selectors
	kindNone           // stands alone and leaves nothing: space, punctuation
	kindSimple         // stands alone and becomes one character
)

type tables struct {
	kind [0x10000]uint8
	to   [0x10000]uint16
}

// loadTables derives the tables from x/text; that takes a few milliseconds.
var loadTables = sync.OnceValue(func() *tables {
	t := new(tables)
	for r := rune(0); r < 0x10000; r++ {
		switch {
		case dropped(r):
			t.kind[r] = kindDrop
		case !utf8.ValidRune(r) || !boundaryBefore(r):
			t.kind[r] = kindComplex
		default:
			out := fold(nil, string(r))
			switch {
			case len(out) == 0:
				t.kind[r] = kindNone
			case len(out) == 1 && out[0] < 0x10000:
				t.kind[r], t.to[r] = kindSimple, uint16(out[0])
			}
		}
	}
	return t
})

func dropped(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r)
}

// boundaryBefore reports whether r combines with nothing on its left.
func boundaryBefore(r rune) bool {
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	return norm.NFKC.Properties(b[:n]).BoundaryBefore()
}

// fold appends to out what is left of one normalization segment.
func fold(out []rune, segment string) []rune {
	for _, r := range cases.Fold().String(norm.NFKC.String(segment)) {
		if r != 'ـ' && (unicode.IsLetter(r) || unicode.IsNumber(r)) {
			out = append(out, r)
		}
	}
	return out
}

// scan normalizes text and hands its characters over in blocks that are valid
// until the next one. It returns the number of code points in text. Its memory
// does not grow with the text, but for one run of combining characters.
func scan(text string, yield func([]char)) int {
	t := loadTables()
	block := make([]char, 1024)
	n := 0 // characters in block
	emit := func(r rune, start, end uint32) {
		if n == len(block) {
			yield(block)
			n = 0
		}
		block[n] = char{r, start, end}
		n++
	}
	var segment []byte // of the complex characters being collected
	var folded []rune
	at := uint32(0) // code points before text[i]
	for i := 0; i < len(text); {
		// ASCII before ASCII stands alone; this is most of most texts.
		for i+1 < len(text) && text[i]|text[i+1] < utf8.RuneSelf {
			if to := t.to[text[i]]; to != 0 {
				emit(rune(to), at, at+1)
			}
			i, at = i+1, at+1
		}
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		kind, to := uint8(kindComplex), rune(0)
		if r < 0x10000 {
			kind, to = t.kind[r], rune(t.to[r])
			if r == utf8.RuneError {
				kind = kindNone
			}
		}
		if kind == kindDrop || r >= 0x10000 && dropped(r) {
			i, at = i+size, at+1
			continue
		}
		// A rune stands alone unless what follows it combines with it.
		next, skipped := i+size, uint32(0)
		if kind != kindComplex && next < len(text) && text[next] >= utf8.RuneSelf {
			next, skipped = skipDropped(t, text, next)
		}
		if kind != kindComplex && (next >= len(text) || text[next] < utf8.RuneSelf || !combines(t, text[next:])) {
			if kind == kindSimple {
				emit(to, at, at+1)
			}
			i, at = next, at+1+skipped
			continue
		}
		// Collect the segment: r and everything that combines with it.
		start, end := at, at+1
		segment = append(segment[:0], text[i:i+size]...)
		i, at = i+size, at+1
		for i < len(text) {
			next, skipped := skipDropped(t, text, i)
			if next >= len(text) || text[next] < utf8.RuneSelf || !combines(t, text[next:]) {
				break
			}
			_, size := utf8.DecodeRuneInString(text[next:])
			segment = append(segment, text[next:next+size]...)
			i, at = next+size, at+skipped+1
			end = at
		}
		folded = fold(folded[:0], string(segment))
		for _, r := range folded {
			emit(r, start, end)
		}
	}
	if n > 0 {
		yield(block[:n])
	}
	return int(at)
}

// skipDropped returns the index of the first byte at or after i that is not
// part of a dropped rune, and how many runes were skipped.
func skipDropped(t *tables, text string, i int) (next int, skipped uint32) {
	for i < len(text) {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		if r < 0x10000 && t.kind[r] != kindDrop || r >= 0x10000 && !dropped(r) {
			break
		}
		i += size
		skipped++
	}
	return i, skipped
}

// combines reports whether the first rune of text combines with what stands
// before it.
func combines(t *tables, text string) bool {
	r, size := utf8.DecodeRuneInString(text)
	if r < 0x10000 {
		// Of the complex runes some stand alone but become several characters.
		if t.kind[r] != kindComplex {
			return false
		}
	}
	if r == utf8.RuneError && size == 1 {
		return false
	}
	return !boundaryBefore(r)
}
