package match

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// byText recognizes the text of the picture and looks it up.
func (s *pictureSearch) byText(ctx context.Context) error {
	picture, back := s.q.Picture, page.Homography{1, 0, 0, 0, 1, 0, 0, 0, 1}
	known := func(f *sighting) bool {
		return f.layout != nil && f.chance < 0 && s.q.Scope.Covers(f.known.Document.Department)
	}
	if i := slices.IndexFunc(s.sightings, known); i >= 0 {
		// It is likelier than not that the page lies there. Level and without perspective more
		// of it is read; but what is read must not tell of pages that the caller does not see.
		if flat, to, ok := s.sightings[i].layout.Rectify(picture, s.sightings[i].sheet); ok {
			picture, back = flat, to
		}
	}
	words, reason, err := s.m.Recognizer.Recognize(ctx, picture)
	if err != nil {
		return fmt.Errorf("recognize text: %w", err)
	}
	s.report.Unread = reason
	s.report.Explanation.Channels = append(s.report.Explanation.Channels, OCR)
	read := assemble(words, &back, s.q.Picture)
	if s.report.Read = read.text; read.text == "" {
		return nil
	}
	found, err := s.m.Match(ctx, Query{Text: read.text, SeenAt: s.q.SeenAt, Scope: s.q.Scope, Suppressed: true, Explain: true})
	if err != nil {
		return err
	}
	s.together(found)
	if !s.q.Suppressed {
		found.Matches = slices.DeleteFunc(found.Matches, func(m Match) bool { return m.Disposition != Alert })
	}
	for i := range found.Matches {
		read.place(&found.Matches[i])
	}
	if n := found.Explanation.Nearest; n != nil {
		read.place(n)
	}
	s.byOCR = found
	s.report.Grams = found.Grams
	s.miss(found.Missing)
	return nil
}

// together makes alerts of pages whose layout and text say the same, neither of them enough:
// how words are set does not depend on which they are, so that both agree by accident with
// the same page as often as their chances multiplied.
func (s *pictureSearch) together(read *Report) {
	for _, f := range s.sightings {
		if f.layout == nil || f.disposition != BelowThreshold || f.because != "" || f.chance >= 0 || f.layout.Doubtful() {
			continue
		}
		for _, m := range read.Matches {
			text := math.Log10(m.ExpectedByChance)
			same := m.Document.ID == f.known.Document.ID && m.Version == f.known.Version.Number &&
				slices.ContainsFunc(m.Passages, func(p Passage) bool { return p.Place.Page == f.drawing.Page })
			if same && m.Disposition == BelowThreshold && text < 0 && f.chance+text <= threshold {
				f.chance += text
				f.disposition = Alert
				break
			}
		}
	}
}

// reading is recognized text and where it stands.
type reading struct {
	text  string
	spans []fingerprint.Span // of words, in code points
	boxes []storage.Region   // in shares of the picture
}

// assemble makes a text of words. Back maps the picture in which they were recognized to
// the one that was submitted.
func assemble(words []Word, back *page.Homography, p page.Picture) *reading {
	r := &reading{}
	var text []rune
	for _, w := range words {
		start := len(text)
		text = append(text, []rune(w.Text)...)
		r.spans = append(r.spans, fingerprint.Span{Start: start, End: len(text)})
		r.boxes = append(r.boxes, regionOf(back.Bounds(w.Box).Share(p.W, p.H)))
		if w.Last {
			text = append(text, '\n')
		} else {
			text = append(text, ' ')
		}
	}
	r.text = string(text)
	return r
}

// place makes a match of the text one of the picture: with boxes in the place of code
// points.
func (r *reading) place(m *Match) {
	m.Channel = OCR
	for i := range m.Passages {
		p := &m.Passages[i]
		m.Agreement.OCR = max(m.Agreement.OCR, p.Similarity)
		for k, span := range r.spans {
			if span.Start < p.Query.End && span.End > p.Query.Start {
				p.Box = union(p.Box, r.boxes[k])
			}
		}
		p.Query = fingerprint.Span{}
	}
}

// union is the least region that holds two.
func union(a, b storage.Region) storage.Region {
	if a == (storage.Region{}) {
		return b
	}
	x, y := min(a.X, b.X), min(a.Y, b.Y)
	return storage.Region{X: x, Y: y, Width: max(a.X+a.Width, b.X+b.Width) - x, Height: max(a.Y+a.Height, b.Y+b.Height) - y}
}
