package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ledongthuc/pdf"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
)

var pdfMark = []byte("%PDF-")

// A PDF is read page by page by a cascade: the text layer by ledongthuc/pdf, which
// is quick; where that is doubtful, by PDFium, too, which knows more of the
// format; and where neither finds text that can be believed, the page is drawn and
// recognized. What ledongthuc/pdf does not understand it panics on, and it follows
// any loop that a file leads it into: panics are caught page by page, loops end
// when their reads are used up, and for what remains there is the limited process.
type pdfFile struct {
	file   File
	meter  *meter
	first  []pdf.Page // as ledongthuc/pdf finds them
	engine *engine
	second *document // in PDFium, once it is needed
	failed error     // why it cannot be
}

const pdfReader = "pdf 2, ledongthuc 2026-09-07"

func readPDF(e *engine) func(File, *Output) error {
	return func(f File, out *Output) error {
		p := &pdfFile{file: f, meter: &meter{file: f.ReaderAt}, engine: e}
		defer p.close()
		return p.read(out)
	}
}

func (p *pdfFile) read(out *Output) error {
	var err error
	if !out.careful {
		p.first, err = openPDF(p.file, p.meter)
	}
	if len(p.first) == 0 && !p.open() {
		var end *Failure
		if errors.As(err, &end) && end.Status == ingest.StatusEncrypted {
			return err
		}
		return p.failed
	}
	for i := 0; i < len(p.first) || p.second != nil && p.second.has(i); i++ {
		if err := p.page(i, out); err != nil {
			return err
		}
	}
	return nil
}

// open opens the file in PDFium, if it was not tried yet.
func (p *pdfFile) open() bool {
	if p.second == nil && p.failed == nil {
		p.second, p.failed = p.engine.open(p.file)
	}
	return p.second != nil
}

func (p *pdfFile) close() {
	if p.second != nil {
		p.second.close()
	}
}

func (p *pdfFile) page(i int, out *Output) error {
	draw := func(resolution float64) (gray, []ingest.Region, error) {
		if !p.open() || !p.second.has(i) {
			return gray{}, nil, failf(ingest.StatusDamaged, "the page cannot be drawn")
		}
		seen, err := p.second.sights(i)
		// A picture that PDFium has no room for it leaves out without a word.
		if err == nil && seen.large {
			return gray{}, nil, failf(ingest.StatusLimit, "a picture of over %d MB", ingest.MaxDrawnBytes>>20)
		}
		g, err := p.second.render(i, resolution)
		return g, seen.regions, err
	}
	if out.purpose.drawing() {
		return out.Picture(ingest.Page{}, draw)
	}
	page := p.readPage(i)
	if page.NeedsOCR {
		return out.Picture(page, draw)
	}
	return out.Page(page)
}

// reading is what one reader found on a page.
type reading struct {
	text, reason, reader string
	gate                 ingest.Gate
	notes                string // what stands in forms and annotations, if the reader knows them
}

func (p *pdfFile) readPage(i int) ingest.Page {
	first := p.firstReading(i)
	if first.reason == "" && !doubtful(first.gate, first.text) || strings.HasPrefix(first.reason, string(ingest.StatusLimit)) || !p.open() || !p.second.has(i) {
		return first.page()
	}
	second, drawn := p.secondReading(i)
	if contained(grams(first.notes), grams(second.text)) < sameText {
		second.notes = first.notes
	}
	page := choose(first, second).page()
	g := page.Gate
	g.Picture = second.gate.Picture
	switch {
	case !readable(*g) && g.Characters > 0:
		// What cannot be believed is recognized. Garbage is not kept beside it; what
		// may be a table of codes and numbers is.
		page.NeedsOCR = true
		if g.Unknown > 0.1 || g.Words < minWords && strings.ContainsFunc(page.Text, isRightToLeft) {
			page.Text = first.notes
		}
	case g.Characters < ingest.MinLayer && drawn, g.Characters < ingest.MinScanLayer && g.Picture >= 0.5:
		page.NeedsOCR = true
	}
	return page
}

func (r reading) page() ingest.Page {
	p := ingest.Page{Text: r.text, Reason: r.reason, Reader: r.reader, Gate: &r.gate}
	if r.notes != "" {
		p.Text += "\n" + r.notes
	}
	return p
}

func (p *pdfFile) firstReading(i int) reading {
	if i >= len(p.first) {
		return reading{reason: "damaged page object", reader: pdfReader}
	}
	p.meter.refill()
	text, notes, reason := readPage(p.first[i])
	r := reading{text: text, notes: notes, reason: reason, reader: pdfReader, gate: measure(text)}
	if strings.ContainsFunc(text, isRightToLeft) && r.gate.Words < minWords {
		// It may be in the order in which it is drawn.
		if turned := reversedLines(text); measure(turned).Words >= minWords {
			r.text, r.gate = turned, measure(turned)
			r.gate.Repaired = "lines"
		}
	}
	return r
}

func (p *pdfFile) secondReading(i int) (r reading, drawn bool) {
	r.reader = pdfiumReader
	text, err := p.second.text(i)
	repaired := ""
	if err == nil && strings.ContainsFunc(text, isRightToLeft) {
		var glyphs []glyph
		if glyphs, err = p.second.glyphs(i); err == nil {
			text, repaired = layout(glyphs), "layout"
		}
	}
	if err != nil {
		r.reason = "malformed content"
		return r, false
	}
	r.text, r.gate = text, measure(text)
	r.gate.Repaired = repaired
	seen, err := p.second.sights(i)
	r.gate.Picture = seen.pictures
	return r, seen.drawn() || err != nil
}

// choose returns the reading to believe, or both as one where nobody can tell.
func choose(a, b reading) reading {
	aGood, bGood := a.reason == "" && readable(a.gate), b.reason == "" && readable(b.gate)
	switch {
	case a.gate.Characters == 0 && a.reason == "", b.reason == "" && bGood && a.gate.Words < minWords,
		// Where the glyphs stand decides what is written from right to left.
		b.gate.Repaired != "":
		return b
	case b.gate.Characters == 0:
		return a
	case aGood && !bGood && b.gate.Words < minWords:
		return a
	}
	inA, inB := grams(a.text), grams(b.text)
	switch {
	case bGood && b.gate.Unknown < a.gate.Unknown && b.gate.Characters*10 >= a.gate.Characters*9:
		return b
	case contained(inA, inB) >= sameText:
		return b
	case contained(inB, inA) >= sameText:
		return a
	case bGood && !aGood && a.reason == "":
		return b
	}
	both := b
	both.text = b.text + "\n" + a.text
	both.reader = b.reader + " and " + a.reader
	return both
}

// sameText is the share of a text's grams that stand in another which makes it
// unnecessary beside the other.
const sameText = 0.95

// grams returns the runs of twelve normalized characters of a text.
func grams(text string) map[string]bool {
	chars := fingerprint.Normalize(text).Chars
	m := map[string]bool{}
	for i := range max(len(chars)-11, 0) {
		m[string(chars[i:i+12])] = true
	}
	return m
}

// contained returns the share of a that is in b.
func contained(a, b map[string]bool) float64 {
	n := 0
	for g := range a {
		if b[g] {
			n++
		}
	}
	if len(a) == 0 {
		return 1
	}
	return float64(n) / float64(len(a))
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

// readPage returns the text of a page, that of the forms and annotations on it,
// and why there is no more of it, in words of ours: those of the library quote the
// file.
func readPage(p pdf.Page) (text, notes, reason string) {
	if p.V.IsNull() {
		return "", "", "damaged page object"
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
		reason = failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20).Error()
	case errors.Is(t.err, errContent):
		reason = failf(ingest.StatusLimit, "over %d MB of drawing instructions", ingest.MaxContentBytes>>20).Error()
	case strings.Contains(t.err.Error(), errMeter.Error()):
		reason = "reads without end"
	case strings.Contains(t.err.Error(), "filter"), t.err.Error() == "pred":
		reason = "unknown compression"
	default:
		reason = "malformed content"
	}
	return t.out.String(), annotations(p), reason
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
		if nodes++; depth > ingest.MaxTreeDepth || nodes > 2*ingest.MaxPages {
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

func (m *meter) refill() { m.left = ingest.MaxPageReads }

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
	tail := section(f, f.Size-ingest.SniffBytes)
	i := bytes.LastIndex(tail, []byte("startxref"))
	if i < 0 {
		return nil, 0, false
	}
	end := max(f.Size-ingest.SniffBytes, 0) + int64(i)
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
