package page

// Picture is a picture in shades of gray, row by row, 255 white.
type Picture struct {
	W, H int
	Pix  []byte
}

// NewPicture returns a black picture.
func NewPicture(w, h int) Picture { return Picture{w, h, make([]byte, w*h)} }

// Shrink returns the picture in a size that is not larger: each pixel is the mean of what
// it covers.
func (p Picture) Shrink(w, h int) Picture {
	out := NewPicture(w, h)
	for i, v := range p.reduced(w, h).v {
		out.Pix[i] = byte(min(v+0.5, 255))
	}
	return out
}
