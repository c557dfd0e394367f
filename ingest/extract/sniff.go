package extract

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/sealprint/sealprint/ingest"
)

// Media types that the package itself knows; readers name their own.
const (
	emptyType   = "inode/x-empty"
	unknownType = "application/octet-stream"
	textType    = "text/plain"
	mailType    = "message/rfc822"
)

// sniff finds the media type of a file by its content; what it is called, and
// what its sender says that it is, does not matter.
func sniff(f File) string {
	if f.Size == 0 {
		return emptyType
	}
	head := section(f, 0)
	if order := utf16Order(head); order != nil {
		head = []byte(decodeUTF16(head, order))
	}
	found := mediaType(head)
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return sniffZip(f)
	}
	if bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) {
		return sniffOLE(f)
	}
	switch found {
	case "application/pdf":
		// The mark may stand anywhere in the first kilobyte, as it may in a text
		// about PDF.
		if !bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff\x00\t\r\n\f "), pdfMark) &&
			!bytes.Contains(section(f, f.Size-ingest.SniffBytes), []byte("startxref")) {
			return mediaType(bytes.ReplaceAll(head, pdfMark, nil))
		}
	case textType, mailType:
		// A memorandum begins with "From:" and "To:", too, and reads as text. A
		// mail whose parts are encoded does not.
		if isMIME(head) {
			return mailType
		}
		return textType
	case "text/xml":
		if bytes.Contains(bytes.ToLower(head), []byte("<html")) {
			return "application/xhtml+xml"
		}
	}
	return found
}

// section returns up to ingest.SniffBytes from an offset on.
func section(f File, offset int64) []byte {
	buf := make([]byte, ingest.SniffBytes)
	n, _ := io.ReadFull(io.NewSectionReader(f, max(offset, 0), f.Size), buf)
	return buf[:n]
}

func mediaType(head []byte) string {
	name, _, _ := strings.Cut(mimetype.Detect(head).String(), ";")
	return name
}

// isMIME reports whether text begins with the header of a MIME mail.
func isMIME(text []byte) bool {
	header, _, _ := bytes.Cut(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	header = append([]byte("\n"), bytes.ToLower(header)...)
	for _, field := range []string{"\nmime-version:", "\ncontent-transfer-encoding:", "\ncontent-type: multipart"} {
		if bytes.Contains(header, []byte(field)) {
			return true
		}
	}
	return false
}

// isText reports whether files of a type can be read as plain text: CSV, JSON,
// XML, program sources. Formats that are written in text, but not to be read
// as such, need a reader of their own.
func isText(mediaType string) bool {
	if strings.HasPrefix(mediaType, "image/") || slices.Contains([]string{mailType, "text/rtf"}, mediaType) {
		return false
	}
	for m := mimetype.Lookup(mediaType); m != nil; m = m.Parent() {
		if m.Is(textType) {
			return true
		}
	}
	return false
}
