package evidence

import (
	"cmp"
	"slices"
	"unicode"
)

// windows are the ranges of a text that lie around spans, in order and apart.
func windows(text []rune, spans []Span, context int) (all []Span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	for _, s := range spans {
		start, end := min(max(s.Start, 0), len(text)), min(max(s.End, 0), len(text))
		if start >= end {
			continue
		}
		w := Span{max(start-context, 0), min(end+context, len(text))}
		for w.Start > 0 && w.Start < start && !unicode.IsSpace(text[w.Start-1]) {
			w.Start++
		}
		for w.End < len(text) && w.End > end && !unicode.IsSpace(text[w.End]) {
			w.End--
		}
		if n := len(all); n > 0 && w.Start <= all[n-1].End {
			all[n-1].End = max(all[n-1].End, w.End)
			continue
		}
		all = append(all, w)
	}
	return all
}

// numbered is a passage in a text.
type numbered struct {
	Span
	number int
}

// piece is a run of a text as it is shown, in or outside of passages, or what is left out.
type piece struct {
	Text   string
	Begins []int // passages that begin with it
	Color  int   // of the passage that it belongs to; 0: none
	Left   string
}

// colors is how many colors passages have, one after the other.
const colors = 6

func colorOf(number int) int { return (number-1)%colors + 1 }

// shown is a text that pieces are made of.
type shown struct {
	length int
	parts  []part
}

type part struct {
	start int
	text  []rune
}

func show(t Text) *shown {
	s := &shown{length: t.Length}
	for _, e := range t.Excerpts {
		s.parts = append(s.parts, part{e.Start, []rune(e.Text)})
	}
	return s
}

// pieces cuts a text where passages begin and end, and leaves out what is far from all of them.
// Without passages it shows the beginning.
func (s *shown) pieces(passages []numbered, context int) (out []piece) {
	told := 0 // code points before this are in pieces
	leave := func(until int) {
		if until > told {
			out = append(out, piece{Left: count(until-told, "character", "characters")})
		}
	}
	for _, p := range s.parts {
		spans := []Span{{0, 1}}
		if len(passages) > 0 {
			spans = nil
		}
		for _, n := range passages {
			spans = append(spans, Span{n.Start - p.start, n.End - p.start})
		}
		for _, w := range windows(p.text, spans, context) {
			leave(p.start + w.Start)
			out = append(out, p.cut(w, passages)...)
			told = p.start + w.End
		}
	}
	leave(s.length)
	return out
}

// cut makes pieces of a window of a part.
func (p part) cut(w Span, passages []numbered) (out []piece) {
	at := []int{w.Start, w.End}
	for _, n := range passages {
		for _, edge := range []int{n.Start - p.start, n.End - p.start} {
			if edge > w.Start && edge < w.End {
				at = append(at, edge)
			}
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	for i := 0; i+1 < len(at); i++ {
		from, to := p.start+at[i], p.start+at[i+1]
		run := piece{Text: string(p.text[at[i]:at[i+1]])}
		for _, n := range passages {
			if n.Start > from || n.End < to {
				continue
			}
			if run.Color == 0 {
				run.Color = colorOf(n.number)
			}
			if n.Start == from || i == 0 {
				run.Begins = append(run.Begins, n.number)
			}
		}
		out = append(out, run)
	}
	return out
}
