package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/sealprint/sealprint/ingest"
)

func readText(f File, out *Output) error {
	b, err := readAll(f)
	if err != nil {
		return err
	}
	text := decodeText(b)
	if isBinary(text) {
		return failf(ingest.StatusDamaged, "binary data after a beginning in text")
	}
	return out.Page(ingest.Page{Text: text})
}

// readAll reads a file that is small enough to be decoded in memory.
func readAll(f File) ([]byte, error) {
	if f.Size > ingest.MaxMarkupBytes {
		return nil, failf(ingest.StatusLimit, "text file over %d MB", ingest.MaxMarkupBytes>>20)
	}
	b := make([]byte, f.Size)
	n, err := io.ReadFull(io.NewSectionReader(f, 0, f.Size), b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return b[:n], nil
}

// isBinary reports whether more than one in twenty characters is a control
// character that no text holds.
func isBinary(text string) bool {
	controls, total := 0, 0
	for _, r := range text {
		total++
		if r < ' ' && !strings.ContainsRune("\t\n\v\f\r\b\x1a\x1b", r) {
			controls++
		}
	}
	return controls*20 > total
}

// decodeText finds the encoding of text that does not declare it. In the order
// of certainty:
//
//  1. a byte order mark;
//  2. UTF-16 by the parity of its high bytes;
//  3. UTF-8, which hardly any other text satisfies by accident, even if a few
//     bytes are broken;
//  4. windows-1256 or ISO 8859-6 where the bytes that are not ASCII make words
//     among themselves, as in Arabic and Urdu; windows-1252 where they stand
//     alone among ASCII letters, as in Western Europe.
func decodeText(b []byte) string {
	if order := utf16Order(b); order != nil {
		return decodeUTF16(b, order)
	}
	if rest, ok := bytes.CutPrefix(b, []byte("\xef\xbb\xbf")); ok {
		return string(rest)
	}
	if mostlyUTF8(b) {
		return string(b)
	}
	return decode(b, legacy(b))
}

func decode(b []byte, e encoding.Encoding) string {
	// Decoders replace what they cannot decode.
	out, _ := e.NewDecoder().Bytes(b)
	return string(out)
}

// utf16Order returns the decoder of UTF-16 text, or nil for other text.
func utf16Order(b []byte) encoding.Encoding {
	little := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	big := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return little
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return big
	}
	b = b[:min(len(b), ingest.SniffBytes)&^1]
	if len(b) < 4 {
		return nil
	}
	// The high byte is 0 in Latin and 6 in Arabic script, bytes that stand
	// nowhere else in text. A low byte is one of them about never.
	var high [2]int
	for i, c := range b {
		if c == 0 || c == 6 {
			high[i%2]++
		}
	}
	units := len(b) / 2
	switch {
	case high[1]*10 >= units*7 && high[0]*10 <= units:
		return little
	case high[0]*10 >= units*7 && high[1]*10 <= units:
		return big
	}
	return nil
}

func decodeUTF16(b []byte, order encoding.Encoding) string {
	return strings.TrimPrefix(decode(b, order), "\ufeff")
}

// mostlyUTF8 reports whether b is UTF-8, or would be but for one in ten of its
// sequences: a text that was cut or pasted together is still more of it lost
// in any other encoding.
func mostlyUTF8(b []byte) bool {
	good, bad := 0, 0
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			b = b[1:]
			continue
		}
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			bad++
		} else {
			good++
		}
		b = b[size:]
	}
	return bad == 0 || good >= 10*bad
}

// legacy chooses among the one-byte encodings.
func legacy(b []byte) encoding.Encoding {
	var count [256]int
	joined, letters := 0, 0
	previous := false
	for _, c := range b {
		count[c]++
		letter := c >= 0xC0 || strings.IndexByte(urduLetters, c) >= 0
		if letter {
			letters++
			if previous {
				joined++
			}
		}
		previous = letter
	}
	if joined*2 < letters || letters == 0 {
		return charmap.Windows1252
	}
	// Both have most letters in other places; these bytes are letters in one
	// and marks, Latin or nothing in the other. ISO 8859-6 has no letters for
	// Urdu, and control characters in their place.
	sum := func(from, to byte) (n int) {
		for c := int(from); c <= int(to); c++ {
			n += count[c]
		}
		return n
	}
	windows := sum(0x80, 0x9F) + sum(0xDB, 0xDF) + sum(0xEC, 0xED)
	iso := sum(0xD7, 0xD7) + sum(0xE7, 0xEA)
	if sum(0x80, 0x9F) == 0 && iso > windows {
		return charmap.ISO8859_6
	}
	return charmap.Windows1256
}

// urduLetters are the letters of windows-1256 below 0xC0: پ ٹ چ ژ ڈ گ ک ڑ ں ھ.
const urduLetters = "\x81\x8a\x8d\x8e\x8f\x90\x98\x9a\x9f\xaa"
