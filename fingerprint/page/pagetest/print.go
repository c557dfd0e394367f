package pagetest

import (
	"image"
	"math/rand/v2"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/fingerprint/page"
)

const width, height, margin, line = 910, 1286, 90, 24

// sheet is a page of A4 at 110 dots an inch that is being printed.
type sheet struct {
	font.Drawer
	gray *image.Gray
	y    int
}

func newSheet() *sheet {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it comes with the library
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 11, DPI: 110, Hinting: font.HintingNone})
	if err != nil {
		panic(err) // sizes are right
	}
	g := image.NewGray(image.Rect(0, 0, width, height))
	for i := range g.Pix {
		g.Pix[i] = 250
	}
	return &sheet{Drawer: font.Drawer{Dst: g, Src: image.Black, Face: face}, gray: g, y: margin}
}

// write prints a text between an edge and the right margin. Now and then, by chance, a
// paragraph ends.
func (s *sheet) write(text string, left int, chance *rand.Rand) {
	s.Dot = fixed.P(left, s.y)
	for word := range strings.FieldsSeq(text) {
		end := s.Dot.X + s.MeasureString(word)
		if end.Ceil() > width-margin {
			s.y += line
			s.Dot = fixed.P(left, s.y)
		}
		if s.y > height-margin {
			return
		}
		s.DrawString(word + " ")
		if chance != nil && chance.IntN(90) == 0 {
			s.y += line * 3 / 2
			s.Dot = fixed.P(left, s.y)
		}
	}
}

func (s *sheet) picture() page.Picture { return page.Picture{W: width, H: height, Pix: s.gray.Pix} }

// Print prints a page, the same for the same seed: a head that all pages of a form have in
// common, and paragraphs.
func Print(seed, form uint64) page.Picture {
	s := newSheet()
	s.write(fingerprinttest.Prose(1_000_000+form, 300), margin, rand.New(rand.NewPCG(form, 1)))
	s.y += 2 * line
	s.write(fingerprinttest.Prose(seed, 6000), margin, rand.New(rand.NewPCG(seed, 2)))
	return s.picture()
}

// Form prints a form that is filled in, the same for the same seed: questions and a
// declaration that all copies of a form have in common, and answers.
func Form(seed, form uint64) page.Picture {
	s := newSheet()
	chance := rand.New(rand.NewPCG(seed, 3))
	s.write(fingerprinttest.Prose(2_000_000+form, 250), margin, nil)
	for i := range uint64(16) {
		s.y += line * 3 / 2
		y := s.y
		s.write(fingerprinttest.Prose(3_000_000+100*form+i, 24), margin, nil)
		s.y = y
		s.write(fingerprinttest.Prose(4_000_000+1000*seed+i, 8+chance.IntN(40)), width/2, nil)
		s.y = y
	}
	s.y += 2 * line
	s.write(fingerprinttest.Prose(5_000_000+form, 1200), margin, nil)
	return s.picture()
}
