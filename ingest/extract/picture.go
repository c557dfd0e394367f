package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	_ "image/gif"  // decoders of package image are
	_ "image/jpeg" // registered by being imported
	_ "image/png"
	"io"
	"math"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"github.com/sealprint/sealprint/ingest"
)

// gray is a picture of 8 bits a pixel, row after row; 255 is white.
type gray struct {
	W, H int
	Pix  []byte
}

// pictureTypes are the pictures that can be decoded.
var pictureTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff"}

// readPicture takes a picture as a page to be recognized, and each of the pages of a
// TIFF, in which scanners and fax servers put many.
func readPicture(f File, out *Output) error {
	pages := []File{f}
	if many := tiffPages(f); many != nil {
		pages = many
	}
	for _, p := range pages {
		config, _, err := image.DecodeConfig(ioSection(p))
		page := ingest.Page{Gate: &ingest.Gate{Picture: 1}}
		switch {
		case err != nil && len(pages) == 1:
			return err
		case err != nil:
			page.Reason = "damaged picture"
		case out.purpose == toLook && config.Width > ingest.MaxPostedPixels/max(config.Height, 1):
			return failf(ingest.StatusLimit, "picture of over %d megapixels", ingest.MaxPostedPixels/1_000_000)
		case !decodable(config):
			if len(pages) == 1 {
				return failf(ingest.StatusLimit, "picture of over %d MB", ingest.MaxPictureBytes>>20)
			}
			page.Reason = "picture too large"
		}
		if page.Reason != "" {
			err = out.Page(page)
		} else {
			err = out.Picture(page, func(float64) (gray, []ingest.Region, error) {
				m, format, err := image.Decode(ioSection(p))
				if err != nil {
					return gray{}, nil, err
				}
				return upright(grayOf(m), orientation(p, format)), nil, nil
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodable reports whether a picture may be decoded, by what it claims to be: a
// hundred bytes can claim four billion pixels.
func decodable(c image.Config) bool {
	bytes := int64(4)
	switch c.ColorModel {
	case color.GrayModel:
		bytes = 1
	case color.RGBA64Model, color.NRGBA64Model:
		bytes = 8
	case color.YCbCrModel:
		bytes = 6 // with the coefficients of all blocks, if it is progressive
	}
	return c.Width > 0 && c.Height > 0 && int64(c.Width)*int64(c.Height) <= ingest.MaxPictureBytes/bytes
}

// tiffPages returns a file for each page of a TIFF, which differ in the offset of
// the first directory only; nil if there are fewer than two.
func tiffPages(f File) []File {
	var head [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil
	}
	order := tiffOrder(head[:])
	if order == nil {
		return nil
	}
	var pages []File
	seen := map[uint32]bool{}
	for at := order.Uint32(head[4:]); at != 0 && !seen[at] && len(pages) < ingest.MaxPages; {
		seen[at] = true
		var page [8]byte
		copy(page[:], head[:4])
		order.PutUint32(page[4:], at)
		pages = append(pages, File{concat{
			part(bytes.NewReader(page[:]), 0, 8), part(f, 8, f.Size),
		}, f.Size})
		// A directory is a count, as many entries of 12 bytes, and the next one's offset.
		var count [2]byte
		var next [4]byte
		if _, err := f.ReadAt(count[:], int64(at)); err != nil {
			break
		}
		if _, err := f.ReadAt(next[:], int64(at)+2+12*int64(order.Uint16(count[:]))); err != nil && !errors.Is(err, io.EOF) {
			break
		}
		at = order.Uint32(next[:])
	}
	if len(pages) < 2 {
		return nil
	}
	return pages
}

// tiffOrder returns the byte order of a TIFF, by its first four bytes; nil if it is none.
func tiffOrder(head []byte) binary.ByteOrder {
	switch string(head[:4]) {
	case "II*\x00":
		return binary.LittleEndian
	case "MM\x00*":
		return binary.BigEndian
	}
	return nil
}

// grayOf copies a picture, on white paper where it is transparent. One that is larger than
// recognition needs is made smaller.
func grayOf(m image.Image) gray {
	b := m.Bounds()
	g := gray{b.Dx(), b.Dy(), make([]byte, b.Dx()*b.Dy())}
	switch m := m.(type) {
	case *image.Gray:
		for y := range g.H {
			copy(g.Pix[y*g.W:(y+1)*g.W], m.Pix[y*m.Stride:])
		}
	case *image.YCbCr:
		for y := range g.H {
			copy(g.Pix[y*g.W:(y+1)*g.W], m.Y[y*m.YStride:])
		}
	case *image.NRGBA:
		for y := range g.H {
			row := m.Pix[y*m.Stride:]
			for x := range g.W {
				c := row[4*x : 4*x+4 : 4*x+4]
				g.Pix[y*g.W+x] = onPaper(c[0], c[1], c[2], c[3])
			}
		}
	case *image.Paletted:
		var light [256]byte
		for i, c := range m.Palette {
			light[i] = onPaperOf(c)
		}
		for y := range g.H {
			row := m.Pix[y*m.Stride:]
			for x := range g.W {
				g.Pix[y*g.W+x] = light[row[x]]
			}
		}
	default:
		for y := range g.H {
			for x := range g.W {
				g.Pix[y*g.W+x] = onPaperOf(m.At(b.Min.X+x, b.Min.Y+y))
			}
		}
	}
	return g.within(ingest.MaxOCRPixels)
}

// onPaper is how light a color is on white paper.
func onPaper(r, g, b, a byte) byte {
	light := (299*int(r) + 587*int(g) + 114*int(b)) / 1000
	return byte((light*int(a) + 255*(255-int(a))) / 255)
}

func onPaperOf(c color.Color) byte {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return onPaper(n.R, n.G, n.B, n.A)
}

// within reduces a picture to at most so many pixels.
func (g gray) within(pixels int) gray {
	if len(g.Pix) <= pixels {
		return g
	}
	scale := math.Sqrt(float64(pixels) / float64(len(g.Pix)))
	return shrink(g, max(int(float64(g.W)*scale), 1), max(int(float64(g.H)*scale), 1))
}
