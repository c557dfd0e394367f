package extract

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
)

// A camera writes pixels as its sensor lies, and beside them how they are to be shown:
// the orientation of Exif 2.32, from 1, upright, to 8. It stands in a TIFF directory,
// which lies in a segment of JPEG and in a chunk of PNG and WebP.

// maxExif bounds what is looked at to find it. It stands in front, but a chunk of PNG
// may stand behind the pixels, which are skipped.
const maxExif = 64 << 10

// orientation returns how a picture in a file is to be shown.
func orientation(f File, format string) int {
	r := io.NewSectionReader(f, 0, f.Size)
	switch format {
	case "jpeg":
		return exifOf(segment(r))
	case "png":
		return exifOf(chunk(r, 8, binary.BigEndian, true))
	case "webp":
		return exifOf(chunk(r, 12, binary.LittleEndian, false))
	case "tiff":
		head := make([]byte, maxExif)
		n, _ := r.ReadAt(head, 0) // what is missing at the end is seen below
		return tagged(r, head[:n])
	}
	return 1
}

var exifMark = []byte("Exif\x00\x00")

func exifOf(b []byte) int {
	b = bytes.TrimPrefix(b, exifMark)
	return tagged(bytes.NewReader(b), b)
}

// tagged returns the orientation that the first directory of a TIFF tells.
func tagged(r io.ReaderAt, head []byte) int {
	if len(head) < 8 {
		return 1
	}
	order := tiffOrder(head)
	if order == nil {
		return 1
	}
	at := int64(order.Uint32(head[4:]))
	var count [2]byte
	if _, err := r.ReadAt(count[:], at); err != nil {
		return 1
	}
	entries := make([]byte, 12*int(order.Uint16(count[:])))
	n, _ := r.ReadAt(entries, at+2)
	const tag, short = 0x112, 3
	for e := range slices.Chunk(entries[:n], 12) {
		if len(e) == 12 && order.Uint16(e) == tag && order.Uint16(e[2:]) == short {
			if o := int(order.Uint16(e[8:])); o >= 1 && o <= 8 {
				return o
			}
		}
	}
	return 1
}

// segment returns the Exif segment of a JPEG, if it has one.
func segment(r io.ReaderAt) []byte {
	head := make([]byte, maxExif*4)
	n, _ := r.ReadAt(head, 0)
	head = head[:n]
	for i := 2; i+4 <= len(head) && head[i] == 0xff; {
		size := int(binary.BigEndian.Uint16(head[i+2:]))
		end := min(i+2+size, len(head))
		switch {
		case head[i+1] == 0xda || size < 2: // pixels follow
			return nil
		case head[i+1] == 0xe1 && bytes.HasPrefix(head[i+4:end], exifMark):
			return head[i+4 : end]
		}
		i = end
	}
	return nil
}

// chunk returns the Exif chunk of a PNG or WebP, if it has one. The chunks begin at a
// place; that of PNG have their length in front of their name, and a checksum behind.
func chunk(r io.ReaderAt, at int64, order binary.ByteOrder, png bool) []byte {
	const most = 10_000
	for range most {
		var head [8]byte
		if _, err := r.ReadAt(head[:], at); err != nil {
			return nil
		}
		name, size := string(head[:4]), int64(order.Uint32(head[4:]))
		if png {
			name, size = string(head[4:]), int64(order.Uint32(head[:4]))
		}
		if name == "eXIf" || name == "EXIF" {
			b := make([]byte, min(size, maxExif))
			n, _ := r.ReadAt(b, at+8)
			return b[:n]
		}
		at += 8 + size
		if png {
			at += 4
		} else {
			at += size % 2
		}
	}
	return nil
}

// upright turns a picture as its orientation says.
func upright(g gray, orientation int) gray {
	if orientation == 2 || orientation == 4 || orientation == 5 || orientation == 7 {
		for y := range g.H {
			slices.Reverse(g.Pix[y*g.W : (y+1)*g.W])
		}
	}
	switch orientation {
	case 3, 4:
		return half(g)
	case 5, 8:
		return quarter(g)
	case 6, 7:
		return half(quarter(g))
	}
	return g
}
