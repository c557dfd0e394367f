package page

import (
	"encoding/binary"
	"errors"
	"math"
)

const (
	// minWords is how many words a page must have to be told from others, and fewWords a
	// picture to show a part of one, or a text.
	minWords, fewWords = 20, 8
	// maxWords bounds the words of a page: a page of a newspaper has some thousands.
	maxWords = 6000
)

// Sheet is what is kept of a page to compare pictures with it: where its words are, and
// nothing of what they are.
type Sheet struct {
	Width, Height float64 // of the page, in pixels of the picture that was read
	scale         float64 // in which its words were found
	layout        *layout
}

// Read finds the words of a page. A page with too few to be told from others has no sheet:
// nil.
func Read(p Picture) *Sheet {
	_, words, scale := p.onPaper()
	if len(words) < minWords || len(words) > maxWords {
		return nil
	}
	s := &Sheet{Width: float64(p.W), Height: float64(p.H), scale: float64(float32(scale))}
	points := make([]Point, len(words))
	for i, w := range words {
		points[i] = s.rounded(w.Point)
	}
	unit, angle := median(words, func(w word) float64 { return w.minor }), direction(words)
	s.layout = newLayout(points, float64(float32(unit)), float64(float32(angle)))
	return s
}

// grain is how many places there are along the longer side of a page.
const grain = 1<<16 - 1

func (s *Sheet) side() float64 { return math.Max(s.Width, s.Height) }

// rounded is a point as it is kept, so that what is computed from it is always the same.
func (s *Sheet) rounded(p Point) Point {
	f := s.side() / grain
	return Point{math.Round(p.X/f) * f, math.Round(p.Y/f) * f}
}

// Words is how many words the page has.
func (s *Sheet) Words() int { return len(s.layout.points) }

// Hashes returns the hashes of the page's codes, in an order that is always the same.
func (s *Sheet) Hashes() []uint64 {
	var all []uint64
	s.layout.codes(func(c *code) { all = append(all, c.hash()) })
	return all
}

const (
	sheetVersion = 1
	sheetHead    = 23 // bytes in front of the words
)

// Encode returns the sheet in 4 bytes a word and 23 bytes.
func (s *Sheet) Encode() []byte {
	b := []byte{sheetVersion}
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.Width)))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.Height)))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.layout.unit)))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.layout.angle)))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s.scale)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.layout.points)))
	f := s.side() / grain
	for _, p := range s.layout.points {
		b = binary.LittleEndian.AppendUint16(b, uint16(math.Round(p.X/f)))
		b = binary.LittleEndian.AppendUint16(b, uint16(math.Round(p.Y/f)))
	}
	return b
}

// Decode returns the sheet that was encoded.
func Decode(b []byte) (*Sheet, error) {
	if len(b) < sheetHead || b[0] != sheetVersion {
		return nil, errors.New("sheet of a page: not of this version")
	}
	number := func(at int) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))) }
	s := &Sheet{Width: number(1), Height: number(5)}
	unit, angle, n := number(9), number(13), int(binary.LittleEndian.Uint16(b[21:]))
	s.scale = number(17)
	if !(s.Width >= 1 && s.Height >= 1 && s.side() < 1e6 && unit > 0 && unit < 1e4 && math.Abs(angle) < 4 && s.scale > 0.001 && s.scale <= 3) || n < minWords || n > maxWords || len(b) != sheetHead+4*n {
		return nil, errors.New("sheet of a page: damaged")
	}
	f := s.side() / grain
	points := make([]Point, n)
	for i := range points {
		points[i] = Point{float64(binary.LittleEndian.Uint16(b[sheetHead+4*i:])) * f, float64(binary.LittleEndian.Uint16(b[sheetHead+2+4*i:])) * f}
	}
	s.layout = newLayout(points, unit, angle)
	return s, nil
}
