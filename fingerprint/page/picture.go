package page

import "slices"

// Picture is a picture in shades of gray, row by row, 255 white.
type Picture struct {
	W, H int
	Pix  []byte
}

// NewPicture returns a black picture.
func NewPicture(w, h int) Picture { return Picture{w, h, make([]byte, w*h)} }

// between returns the light between pixels; white beyond the edge.
func (p Picture) between(x, y float64) byte {
	if !(x >= 0 && y >= 0 && x < float64(p.W-1) && y < float64(p.H-1)) {
		return 255
	}
	i, j := int(x), int(y)
	tx, ty := x-float64(i), y-float64(j)
	a, b := p.Pix[j*p.W+i:][:2], p.Pix[(j+1)*p.W+i:][:2]
	above := float64(a[0]) + (float64(a[1])-float64(a[0]))*tx
	below := float64(b[0]) + (float64(b[1])-float64(b[0]))*tx
	return byte(above + (below-above)*ty + 0.5)
}

// OnPaper returns the picture as dark print on light paper: a slide or a screen in dark mode
// becomes its negative. It stays as it is unless it is dark, shows no print, and its
// negative does.
func (p Picture) OnPaper() Picture {
	p, _, _ = p.onPaper()
	return p
}

// onPaper also returns the words of that picture, and the scale in which it found them.
func (p Picture) onPaper() (on Picture, words []word, scale float64) {
	afar := p.afar()
	if !p.dark() {
		words, scale = p.wordsFrom(afar, Views[0])
		return p, words, scale
	}
	negative := plane{afar.w, afar.h, slices.Clone(afar.v)}
	for i, v := range negative.v {
		negative.v[i] = 255 - v
	}
	words, scale = p.wordsFrom(afar, Views[0])
	if printed(words) {
		return p, words, scale
	}
	on = p.negative()
	if others, in := on.wordsFrom(negative, Views[0]); printed(others) {
		return on, others, in
	}
	return p, words, scale
}

// printed reports whether words stand as print does.
func printed(words []word) bool { return len(words) >= fewWords && layoutOf(words).text() }

// dark reports whether most of the picture is dark.
func (p Picture) dark() bool {
	const dark = 100
	n := 0
	for i := 0; i < len(p.Pix); i += 7 {
		if p.Pix[i] < dark {
			n++
		}
	}
	return 14*n > len(p.Pix)
}

// negative returns the picture with light and dark exchanged.
func (p Picture) negative() Picture {
	negative := NewPicture(p.W, p.H)
	for i, v := range p.Pix {
		negative.Pix[i] = 255 - v
	}
	return negative
}

// Crop returns a part of the picture, in shares of its width and height.
func (p Picture) Crop(x, y, width, height float64) Picture {
	left, top := int(x*float64(p.W)), int(y*float64(p.H))
	right, bottom := min(int((x+width)*float64(p.W)+0.5), p.W), min(int((y+height)*float64(p.H)+0.5), p.H)
	if left < 0 || top < 0 || left >= right || top >= bottom {
		return Picture{}
	}
	out := NewPicture(right-left, bottom-top)
	for i := range out.H {
		copy(out.Pix[i*out.W:][:out.W], p.Pix[(top+i)*p.W+left:])
	}
	return out
}

// Shrink returns the picture in a size that is not larger: each pixel is the mean of what
// it covers.
func (p Picture) Shrink(w, h int) Picture {
	out := NewPicture(w, h)
	for i, v := range p.reduced(w, h).v {
		out.Pix[i] = byte(min(v+0.5, 255))
	}
	return out
}
