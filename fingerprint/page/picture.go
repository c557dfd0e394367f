package page

// Picture is a picture in shades of gray, row by row, 255 white.
type Picture struct {
	W, H int
	Pix  []byte
}

// NewPicture returns a black picture.
func NewPicture(w, h int) Picture { return Picture{w, h, make([]byte, w*h)} }
