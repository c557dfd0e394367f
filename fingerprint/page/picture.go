package page

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
	if !p.Dark() || p.print() {
		return p
	}
	if negative := p.Negative(); negative.print() {
		return negative
	}
	return p
}

// Dark reports whether most of the picture is dark.
func (p Picture) Dark() bool {
	const dark = 100
	n := 0
	for i := 0; i < len(p.Pix); i += 7 {
		if p.Pix[i] < dark {
			n++
		}
	}
	return 14*n > len(p.Pix)
}

// Negative returns the picture with light and dark exchanged.
func (p Picture) Negative() Picture {
	negative := NewPicture(p.W, p.H)
	for i, v := range p.Pix {
		negative.Pix[i] = 255 - v
	}
	return negative
}

// print reports whether the picture shows words that stand as print does.
func (p Picture) print() bool {
	words, _ := wordsOf(p, 1)
	return len(words) >= fewWords && layoutOf(words).text()
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
