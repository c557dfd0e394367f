package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sealprint/sealprint/api/client"
)

// mark is a part of a text that is shown as something: a passage, or what was ignored.
type mark struct {
	start, end int // in code points
	number     int // of the passage, from 1; 0: it was ignored
	why        string
}

// segment is a run of a text in which nothing begins or ends.
type segment struct {
	Text   string
	Number int    // of the passage that it belongs to; 0: to none
	First  bool   // with it the passage begins
	Why    string // it was ignored, for this reason
}

// Color is one of a few, so that neighbors differ; the number tells which passage it is.
func (s segment) Color() int { return (s.Number-1)%colors + 1 }

// colors is how many the stylesheet has.
const colors = 6

// segments cuts a text at its marks. Where marks overlap, that of the passage with the lowest
// number is shown, and passages before what was ignored. Marks may lie outside of the text: then
// it is not what was looked up, and nothing of them is shown.
func segments(text string, marks []mark) []segment {
	n := utf8.RuneCountInString(text)
	var cuts []int
	for _, m := range marks {
		cuts = append(cuts, min(max(m.start, 0), n), min(max(m.end, 0), n))
	}
	cuts = append(cuts, 0, n)
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	slices.SortStableFunc(marks, func(a, b mark) int {
		rank := func(m mark) int { return cmp.Or(m.number, 1<<30) }
		return cmp.Compare(rank(a), rank(b))
	})
	begun := map[int]bool{}
	var all []segment
	at := 0 // in bytes
	for i := 0; i+1 < len(cuts); i++ {
		end := at
		for range cuts[i+1] - cuts[i] {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
		}
		s := segment{Text: text[at:end]}
		at = end
		if m := slices.IndexFunc(marks, func(m mark) bool { return m.start <= cuts[i] && m.end >= cuts[i+1] }); m >= 0 {
			s.Number, s.Why = marks[m].number, marks[m].why
			if s.Number > 0 {
				s.First, s.Why = !begun[s.Number], ""
				begun[s.Number] = true
			}
		}
		if k := len(all); k > 0 && !s.First && all[k-1].Number == s.Number && all[k-1].Why == s.Why {
			all[k-1].Text += s.Text
			continue
		}
		all = append(all, s)
	}
	return all
}

// partSize is from how many bytes on a text is cut at the end of a line: browsers lay out the
// parts of a long text when they come into sight, and take seconds for a megabyte as a whole.
// A text of more than longText parts is long.
const (
	partSize = 4 << 10
	longText = 8
)

// Parts are the segments of a page, cut into parts of its text, each of whole lines.
func (s sheet) Parts() (all [][]segment) {
	var part []segment
	size := 0
	for _, s := range s.Segments {
		for size+len(s.Text) > partSize {
			from := max(partSize-size, 0)
			at := strings.IndexByte(s.Text[from:], '\n')
			if at < 0 {
				break
			}
			head := s
			head.Text, s.Text, s.First = s.Text[:from+at+1], s.Text[from+at+1:], false
			all, part, size = append(all, append(part, head)), nil, 0
		}
		if s.Text != "" {
			part, size = append(part, s), size+len(s.Text)
		}
	}
	if len(part) > 0 {
		all = append(all, part)
	}
	return all
}

// maxSettled is by how much the ends of a passage are moved, in code points: where they are is
// known to a fingerprint, and a fingerprint spans some words.
const maxSettled = 24

// settle moves the ends of a passage to where both texts stop being equal, at most: with both at
// hand that can be seen. White space and case do not count.
func settle(suspect, document []rune, q, d *mark) {
	inside := func(text []rune, m *mark) bool { return m.start >= 0 && m.start <= m.end && m.end <= len(text) }
	if !inside(suspect, q) || !inside(document, d) {
		return
	}
	// walk goes from both positions in a direction while the texts are equal, and returns how far.
	walk := func(i, j, step int) (int, int) {
		fromI, fromJ := i, j
		at := func(text []rune, n int) (rune, bool) {
			if step < 0 {
				n--
			}
			if n < 0 || n >= len(text) {
				return 0, false
			}
			return text[n], true
		}
		lastI, lastJ := i, j
		for abs(i-fromI) < maxSettled && abs(j-fromJ) < maxSettled {
			a, more := at(suspect, i)
			b, also := at(document, j)
			switch {
			case more && unicode.IsSpace(a):
				i += step
			case also && unicode.IsSpace(b):
				j += step
			case !more || !also || unicode.ToLower(a) != unicode.ToLower(b):
				return lastI, lastJ
			default:
				i, j = i+step, j+step
				lastI, lastJ = i, j
			}
		}
		return lastI, lastJ
	}
	q.start, d.start = walk(q.start, d.start, -1)
	q.end, d.end = walk(q.end, d.end, 1)
}

// toWords moves the ends of a passage to those of words: of one side alone nobody sees where it
// ends within a fingerprint.
func toWords(text []rune, m *mark) {
	if m.start < 0 || m.end > len(text) || m.start >= m.end {
		return
	}
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }
	for n := 0; n < maxSettled && m.start > 0 && word(text[m.start]) && word(text[m.start-1]); n++ {
		m.start--
	}
	for n := 0; n < maxSettled && m.end < len(text) && word(text[m.end]) && word(text[m.end-1]); n++ {
		m.end++
	}
}

func abs(n int) int { return max(n, -n) }

// sheet is a page of text with its marks.
type sheet struct {
	Page     int // 0: the text has no pages
	Segments []segment
	Missing  string // why there is no text
	Reader   string
	Picture  string         // the address of a picture of it; empty: there is none
	Boxes    []box          // on the picture
	Others   map[int]string // links to the other sides of passages that are on other pages
}

// Other links from a side, s or d, to the other side of a passage.
func (s sheet) Other(side string, number int) string {
	if link, ok := s.Others[number]; ok {
		return link
	}
	if side == "s" {
		return "#d" + strconv.Itoa(number)
	}
	return "#s" + strconv.Itoa(number)
}

// box is a region of a picture, in shares of its width and height.
type box struct {
	Number              int
	X, Y, Width, Height float64
	Of                  string // empty: the whole page
}

// Color is as that of a segment.
func (b box) Color() int { return segment{Number: b.Number}.Color() }

// Percent are places in a box of a hundred by a hundred.
func (b box) Left() float64 { return b.X * 100 }
func (b box) Top() float64  { return b.Y * 100 }
func (b box) Wide() float64 { return b.Width * 100 }
func (b box) High() float64 { return b.Height * 100 }

// stripe is a passage in a map of a text: from and to, in thousandths of it.
type stripe struct {
	Number, From, Length int
}

// Color is as that of a segment.
func (s stripe) Color() int { return segment{Number: s.Number}.Color() }

// stripeOf maps a passage, from and to in shares of the whole.
func stripeOf(number int, from, to float64) stripe {
	s := stripe{Number: number, From: int(1000 * min(max(from, 0), 1))}
	s.Length = max(int(1000*min(max(to, 0), 1))-s.From, 4) // or nobody would see it
	s.From = min(s.From, 1000-s.Length)
	return s
}

// queryBox is the box of a passage on a picture that was looked up.
func queryBox(number int, q client.QuerySpan) (box, bool) {
	if q.X == nil || q.Y == nil || q.Width == nil || q.Height == nil {
		return box{}, false
	}
	return box{Number: number, X: *q.X, Y: *q.Y, Width: *q.Width, Height: *q.Height}, true
}

// documentBox is the box of a passage on a page of a document.
func documentBox(number int, d client.DocumentSpan) (box, bool) {
	if d.X == nil || d.Y == nil || d.Width == nil || d.Height == nil {
		return box{}, false
	}
	return box{Number: number, X: *d.X, Y: *d.Y, Width: *d.Width, Height: *d.Height, Of: d.Part}, true
}

// spanOf is a span in code points; empty if it is none.
func spanOf(start, end *int) (from, to int, ok bool) {
	if start == nil || end == nil || *end <= *start {
		return 0, 0, false
	}
	return *start, *end, true
}
