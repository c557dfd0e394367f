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

// Print prints a page of A4 at 110 dots an inch, the same for the same seed: a head
// that all pages of a form have in common, and paragraphs.
func Print(seed, form uint64) page.Picture {
	const w, h, margin, line = 910, 1286, 90, 24
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it comes with the library
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 11, DPI: 110, Hinting: font.HintingNone})
	if err != nil {
		panic(err) // sizes are right
	}
	g := image.NewGray(image.Rect(0, 0, w, h))
	for i := range g.Pix {
		g.Pix[i] = 250
	}
	d := font.Drawer{Dst: g, Src: image.Black, Face: face}
	y := margin
	write := func(text string, chance *rand.Rand) {
		d.Dot = fixed.P(margin, y)
		for word := range strings.FieldsSeq(text) {
			end := d.Dot.X + d.MeasureString(word)
			if end.Ceil() > w-margin {
				y += line
				d.Dot = fixed.P(margin, y)
			}
			if y > h-margin {
				return
			}
			d.DrawString(word + " ")
			if chance.IntN(90) == 0 {
				y += line * 3 / 2
				d.Dot = fixed.P(margin, y)
			}
		}
		y += 2 * line
	}
	write(fingerprinttest.Prose(1_000_000+form, 300), rand.New(rand.NewPCG(form, 1)))
	write(fingerprinttest.Prose(seed, 6000), rand.New(rand.NewPCG(seed, 2)))
	return page.Picture{W: w, H: h, Pix: g.Pix}
}
