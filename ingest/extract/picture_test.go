package extract

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// pictureFiles writes a picture in each format that can be written here.
func pictureFiles(t *testing.T, g gray) map[string]string {
	t.Helper()
	m := &image.Gray{Pix: g.Pix, Stride: g.W, Rect: image.Rect(0, 0, g.W, g.H)}
	write := func(f func(io.Writer) error) string {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	one := write(func(w io.Writer) error { return tiff.Encode(w, m, nil) })
	return map[string]string{
		"png":         write(func(w io.Writer) error { return png.Encode(w, m) }),
		"jpeg":        write(func(w io.Writer) error { return jpeg.Encode(w, m, nil) }),
		"gif":         write(func(w io.Writer) error { return gif.Encode(w, m, nil) }),
		"bmp":         write(func(w io.Writer) error { return bmp.Encode(w, m) }),
		"tiff":        one,
		"tiff of two": twice(one),
	}
}

// twice adds a second directory to a TIFF of little endian, a copy of the first.
func twice(file string) string {
	b := []byte(file)
	at := binary.LittleEndian.Uint32(b[4:])
	n := 2 + 12*int(binary.LittleEndian.Uint16(b[at:]))
	second := uint32(len(b))
	directory := append([]byte{}, b[at:int(at)+n]...)
	binary.LittleEndian.PutUint32(b[int(at)+n:], second)
	return string(b) + string(directory) + "\x00\x00\x00\x00"
}

func FuzzTIFFPages(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range tiffPages(fileOf(b)) {
			if p.Size != int64(len(b)) {
				t.Errorf("a page of %d bytes in %d", p.Size, len(b))
			}
		}
	})
}
