package extract

import (
	"image"
	"image/color"
)

// gray is a picture of 8 bits a pixel, row after row; 255 is white.
type gray struct {
	W, H int
	Pix  []byte
}

// grayOf copies a picture, on white paper where it is transparent.
func grayOf(m image.Image) gray {
	b := m.Bounds()
	g := gray{b.Dx(), b.Dy(), make([]byte, b.Dx()*b.Dy())}
	if m, ok := m.(*image.Gray); ok {
		for y := range g.H {
			copy(g.Pix[y*g.W:(y+1)*g.W], m.Pix[y*m.Stride:])
		}
		return g
	}
	for y := range g.H {
		for x := range g.W {
			c := color.NRGBAModel.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			light := (299*int(c.R) + 587*int(c.G) + 114*int(c.B)) / 1000
			g.Pix[y*g.W+x] = byte((light*int(c.A) + 255*(255-int(c.A))) / 255)
		}
	}
	return g
}
