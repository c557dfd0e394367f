package page

// Picture is a picture in shades of gray, row by row, 255 white.
type Picture struct {
	W, H int
	Pix  []byte
}

// NewPicture returns a black picture.
func NewPicture(w, h int) Picture { return Picture{w, h, make([]byte, w*h)} }

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
