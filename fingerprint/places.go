package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Place is a span of code points on one page of a document.
type Place struct {
	Page int
	Span
	// Characters is which of the document's normalized characters stand there.
	Characters Span
}

// Places maps the normalized characters of a document back to the code points
// of its pages. It tells where letters stand and where they do not, which is
// enough to confirm a guessed text: whoever stores it encrypts it.
type Places struct {
	runs  []placeRun
	total int // normalized characters
}

// placeRun is a run of characters, one for each code point from start on; or, if
// length is not 0, characters that all stand for the same length code points.
type placeRun struct {
	from          int // first character, in the document
	page          int
	start, length int
}

// The encoding is a sequence of unsigned varints, in groups:
//
//	0 n         page n begins
//	2s+1 c      c > 0: after s skipped code points, c characters, a code point each
//	2s+1 0 c n  after s skipped code points, c characters that stand for n code points together
//
// A line of English takes about a byte a word.
type placesWriter struct {
	out               []byte
	at                int // code points of the page that are accounted for
	start, chars, len int // the run being collected: len 0 for one code point each
}

func (w *placesWriter) page(number int) {
	w.flush()
	w.at = 0
	w.out = binary.AppendUvarint(append(w.out, 0), uint64(number))
}

// extend adds a character of one code point right behind the run, the usual
// case; false if it is another.
func (w *placesWriter) extend(c char) bool {
	if w.len != 0 || w.chars == 0 || int(c.start) != w.start+w.chars || c.end != c.start+1 {
		return false
	}
	w.chars++
	return true
}

func (w *placesWriter) add(start, end int) {
	length := end - start
	switch {
	case w.chars > 0 && w.len == 0 && w.chars > 1 && start == w.start+w.chars-1 && length == 1:
		// The run's last code point becomes more than one character.
		w.chars--
		w.flush()
		w.start, w.chars, w.len = start, 2, 1
	case w.chars > 0 && start == w.start && (w.len == length || w.len == 0 && w.chars == 1 && length == 1):
		w.chars, w.len = w.chars+1, length
	default:
		w.flush()
		w.start, w.chars, w.len = start, 1, 0
		if length != 1 {
			w.len = length
		}
	}
}

func (w *placesWriter) flush() {
	if w.chars == 0 {
		return
	}
	w.out = binary.AppendUvarint(w.out, uint64(w.start-w.at)<<1|1)
	if w.len == 0 {
		w.out = binary.AppendUvarint(w.out, uint64(w.chars))
		w.at = w.start + w.chars
	} else {
		w.out = binary.AppendUvarint(append(w.out, 0), uint64(w.chars))
		w.out = binary.AppendUvarint(w.out, uint64(w.len))
		w.at = w.start + w.len
	}
	w.chars = 0
}

func (w *placesWriter) bytes() []byte {
	w.flush()
	return w.out
}

// maxPlace bounds every number in the encoding, so that sums do not overflow.
const maxPlace = 1 << 40

// ParsePlaces decodes what [Builder.Places] returned.
func ParsePlaces(encoded []byte) (*Places, error) {
	p := &Places{runs: make([]placeRun, 0, len(encoded)/2)}
	page, at := 0, 0
	number := func() (int, error) {
		if len(encoded) > 0 && encoded[0] < 0x80 { // nearly all are
			v := int(encoded[0])
			encoded = encoded[1:]
			return v, nil
		}
		v, n := binary.Uvarint(encoded)
		if n <= 0 || v > maxPlace {
			return 0, errors.New("places: cut short or out of range")
		}
		encoded = encoded[n:]
		return int(v), nil
	}
	for len(encoded) > 0 {
		head, err := number()
		if err != nil {
			return nil, err
		}
		value, err := number()
		if err != nil {
			return nil, err
		}
		if head == 0 {
			page, at = value, 0
			continue
		}
		if head&1 == 0 || at > maxPlace || p.total > maxPlace {
			return nil, fmt.Errorf("places: unknown group %d", head)
		}
		run := placeRun{from: p.total, page: page, start: at + head>>1}
		chars := value
		if value == 0 {
			if chars, err = number(); err != nil {
				return nil, err
			}
			if run.length, err = number(); err != nil {
				return nil, err
			}
			at = run.start + run.length
		} else {
			at = run.start + chars
		}
		if chars == 0 || value == 0 && run.length == 0 {
			return nil, errors.New("places: empty run")
		}
		p.runs = append(p.runs, run)
		p.total += chars
	}
	return p, nil
}

// Len is the number of normalized characters of the document.
func (p *Places) Len() int { return p.total }

// Of maps a span of the document's normalized characters to the places it came
// from: one for each page that it touches, in order. What lies beyond the
// document is cut off.
func (p *Places) Of(s Span) []Place {
	s.Start, s.End = max(s.Start, 0), min(s.End, p.total)
	if s.Start >= s.End {
		return nil
	}
	first, found := slices.BinarySearchFunc(p.runs, s.Start, func(r placeRun, at int) int { return r.from - at })
	if !found {
		first--
	}
	var places []Place
	for i := first; i < len(p.runs) && p.runs[i].from < s.End; i++ {
		run := p.runs[i]
		until := p.total
		if i+1 < len(p.runs) {
			until = p.runs[i+1].from
		}
		chars := Span{max(s.Start, run.from), min(s.End, until)}
		part := Span{run.start, run.start + run.length}
		if run.length == 0 {
			part = Span{run.start + chars.Start - run.from, run.start + chars.End - run.from}
		}
		if n := len(places); n > 0 && places[n-1].Page == run.page {
			places[n-1].End, places[n-1].Characters.End = part.End, chars.End
		} else {
			places = append(places, Place{run.page, part, chars})
		}
	}
	return places
}
