package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ledongthuc/pdf"

	"github.com/sealprint/sealprint/ingest"
)

var pdfMark = []byte("%PDF-")

// readPDF reads the text layer page by page, so that one bad page harms no
// other. The library panics on what it does not understand and follows any loop
// that a file leads it into: panics are caught page by page, loops end when
// their reads are used up, and for what remains there is the limited process.
func readPDF(f File, out *Output) error {
	m := &meter{file: f.ReaderAt}
	pages, err := openPDF(f, m)
	if err != nil {
		return err
	}
	for _, p := range pages {
		m.refill()
		text, reason := readPage(p)
		if err := out.Page(ingest.Page{Text: text, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// openPDF returns the pages, of the file as it is or else as it was meant.
func openPDF(f File, m *meter) ([]pdf.Page, error) {
	m.refill()
	doc, err := pdf.NewReader(m, f.Size)
	pages := pageTree(doc, m)
	for _, offset := range headers(f) {
		if isEncrypted(err) || len(pages) > 0 {
			break
		}
		mended, size, ok := mend(m, f, offset)
		if !ok {
			break
		}
		m.refill()
		doc, err = pdf.NewReader(mended, size)
		pages = pageTree(doc, m)
	}
	switch {
	case errors.Is(err, pdf.ErrInvalidPassword):
		return nil, failf(ingest.StatusEncrypted, "needs a password")
	case isEncrypted(err):
		return nil, failf(ingest.StatusEncrypted, "encrypted in a way that the reader does not know")
	case len(pages) == 0:
		return nil, failf(ingest.StatusDamaged, "no page can be found in the file")
	}
	return pages, nil
}

func isEncrypted(err error) bool {
	return err != nil && strings.Contains(err.Error(), "encrypt")
}

// readPage returns the text of a page, and why there is no more of it, in words
// of ours: those of the library quote the file.
func readPage(p pdf.Page) (text, reason string) {
	if p.V.IsNull() {
		return "", "damaged page object"
	}
	var t pageText
	var contents, resources pdf.Value
	if err := try(func() { contents, resources = p.V.Key("Contents"), p.Resources() }); err != nil {
		t.err = err
	} else if !contents.IsNull() {
		t.content(contents, resources, nil, 0)
	}
	switch {
	case t.err == nil:
	case errors.Is(t.err, errPageText):
		reason = fmt.Sprintf("more than %d MB of text", ingest.MaxTextBytes>>20)
	case strings.Contains(t.err.Error(), errMeter.Error()):
		reason = "reads without end"
	case strings.Contains(t.err.Error(), "filter"), t.err.Error() == "pred":
		reason = "unknown compression"
	default:
		reason = "malformed content"
	}
	return t.out.String(), reason
}

// pageTree returns the pages in order, at most one more than the limit, and
// none if not one of them is there. It walks the tree once, where the library's
// Page would from the root for each page, and believes neither counts nor
// types. What hangs in the tree and cannot be loaded is the zero Page.
func pageTree(doc *pdf.Reader, m *meter) []pdf.Page {
	if doc == nil {
		return nil
	}
	var pages []pdf.Page
	nodes, found, cut := 0, false, false
	var walk func(get func() pdf.Value, depth int)
	walk = func(get func() pdf.Value, depth int) {
		if len(pages) > ingest.MaxPages {
			return
		}
		if nodes++; depth > maxTreeDepth || nodes > 2*ingest.MaxPages {
			cut = true
			return
		}
		var node, kids pdf.Value
		err := try(func() { node = get(); kids = node.Key("Kids") })
		switch {
		case err != nil || node.Kind() != pdf.Dict:
			pages = append(pages, pdf.Page{})
		case kids.Kind() == pdf.Array:
			for i := range kids.Len() {
				walk(func() pdf.Value { return kids.Index(i) }, depth+1)
			}
		default:
			pages = append(pages, pdf.Page{V: node})
			found = true
			m.refill()
		}
	}
	walk(func() pdf.Value { return doc.Trailer().Key("Root").Key("Pages") }, 0)
	if !found {
		return nil
	}
	if cut {
		pages = append(pages, pdf.Page{})
	}
	return pages
}

// try calls f and returns what it panicked with, which is how the library
// reports most errors.
func try(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = asError(r)
		}
	}()
	f()
	return nil
}

func asError(recovered any) error {
	if err, ok := recovered.(error); ok {
		return err
	}
	return errors.New(fmt.Sprint(recovered))
}

// meter is a file that can be read so much and no more between two refills.
type meter struct {
	file io.ReaderAt
	left int
}

var errMeter = errors.New("too many reads")

func (m *meter) refill() { m.left = maxPageReads }

func (m *meter) ReadAt(p []byte, offset int64) (int, error) {
	// A loop may read few bytes at a time.
	if m.left -= max(len(p), 4096); m.left < 0 {
		return 0, errMeter
	}
	return m.file.ReadAt(p, offset)
}

// The library wants a file to begin with %PDF-1.0 to 1.7 and a line break, and
// to end with startxref, an offset and %%EOF. Many files were sent through
// something that put bytes before or after, are of version 2.0, or lost their
// last line; no reader of people complains.

// headers returns what the offsets in the file may be relative to.
func headers(f File) []int64 {
	if i := bytes.Index(section(f, 0), pdfMark); i > 0 {
		return []int64{int64(i), 0}
	}
	return []int64{0}
}

// mend returns the file from an offset on, with the beginning and end that the
// library wants.
func mend(m *meter, f File, offset int64) (file io.ReaderAt, size int64, ok bool) {
	const header = "%PDF-1.7\n"
	tail := section(f, f.Size-sniffBytes)
	i := bytes.LastIndex(tail, []byte("startxref"))
	if i < 0 {
		return nil, 0, false
	}
	end := max(f.Size-sniffBytes, 0) + int64(i)
	words := strings.Fields(string(tail[i+len("startxref"):]))
	if len(words) == 0 || end < offset+int64(len(header)) {
		return nil, 0, false
	}
	xref, err := strconv.ParseUint(words[0], 10, 63)
	if err != nil {
		return nil, 0, false
	}
	parts := concat{
		part(strings.NewReader(header), 0, int64(len(header))),
		part(m, offset+int64(len(header)), end),
	}
	trailer := "\nstartxref\n" + strconv.FormatUint(xref, 10) + "\n%%EOF\n"
	parts = append(parts, part(strings.NewReader(trailer), 0, int64(len(trailer))))
	return parts, end - offset + int64(len(trailer)), true
}

func part(r io.ReaderAt, from, to int64) *io.SectionReader {
	return io.NewSectionReader(r, from, to-from)
}

// concat reads its parts as one file.
type concat []*io.SectionReader

func (c concat) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for _, part := range c {
		if n == len(p) {
			return n, nil
		}
		if offset >= part.Size() {
			offset -= part.Size()
			continue
		}
		k, err := part.ReadAt(p[n:], offset)
		n += k
		if err != nil && err != io.EOF {
			return n, err
		}
		offset = 0
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
