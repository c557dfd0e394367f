package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ledongthuc/pdf"

	"github.com/sealprint/sealprint/ingest"
)

// pageText collects the text that the content of a page shows. It does what
// the library's GetPlainText does, and enters forms, in which stamps, headers
// and whole imposed pages lie; leaves out images that stand among the text;
// keeps what came before an error; and marks words and lines where the content
// moves on without a space.
type pageText struct {
	out   strings.Builder
	shown int   // characters of the last string that was shown
	err   error // the first one
}

var (
	errPageText = errors.New("too much text")
	errContent  = errors.New("content too long")
)

// scope is the state of one content stream.
type scope struct {
	resources pdf.Value
	fonts     map[string]pdf.TextEncoding
	font      pdf.TextEncoding
	saved     []pdf.TextEncoding
	depth     int
}

// content interprets a content stream, or an array of them that is to be read
// as one. font is what the text around a form is written in.
func (t *pageText) content(stream, resources pdf.Value, font pdf.TextEncoding, depth int) {
	s := &scope{resources: resources, fonts: map[string]pdf.TextEncoding{}, font: font, depth: depth}
	// What can be read is read, even if not all can.
	b, err := readContent(stream)
	t.fail(err)
	t.fail(try(func() {
		pdf.Interpret(contentValue(withoutImages(b)), func(stack *pdf.Stack, op string) { t.operator(s, stack, op) })
	}))
}

func (t *pageText) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func readContent(v pdf.Value) (content []byte, err error) {
	streams := []pdf.Value{v}
	if v.Kind() == pdf.Array {
		streams = nil
		if err := try(func() {
			for i := range v.Len() {
				streams = append(streams, v.Index(i))
			}
		}); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	for _, s := range streams {
		failed := try(func() {
			r := io.LimitReader(s.Reader(), ingest.MaxContentBytes+1-int64(b.Len()))
			if _, err := b.ReadFrom(r); err != nil {
				panic(err)
			}
		})
		if err == nil {
			err = failed
		}
		if b.Len() > ingest.MaxContentBytes {
			return b.Bytes(), errContent
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), err
}

var (
	imageBegin = regexp.MustCompile(`(?:^|\s)BI\s*/[^()]{1,400}?\sID\s`)
	imageEnd   = regexp.MustCompile(`\sEI(?:\s[\t\r\n -~]{12}|[\t\r\n -~]{0,12}$)`)
)

// withoutImages cuts the images out that stand in the content itself. Their
// bytes are no tokens, which the library does not know.
func withoutImages(b []byte) []byte {
	var out []byte
	for bytes.Contains(b, []byte("BI")) { // much faster than the expression
		begin := imageBegin.FindIndex(b)
		if begin == nil {
			break
		}
		end := imageEnd.FindIndex(b[begin[1]:])
		if end == nil {
			break
		}
		out = append(append(out, b[:begin[0]]...), '\n')
		b = b[begin[1]+end[0]+len("\nEI"):]
	}
	if out == nil {
		return b
	}
	return append(out, b...)
}

// contentValue makes a stream of bytes: the library interprets only those that
// stand in a file.
func contentValue(b []byte) pdf.Value {
	head := fmt.Sprintf("%%PDF-1.4\n1 0 obj\n<</Length %d>>\nstream\n", len(b))
	tail := "\nendstream\nendobj\n"
	tail += fmt.Sprintf("xref\n0 2\n0000000000 65535 f \n0000000009 00000 n \ntrailer\n<</Size 2 /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n",
		len(head)+len(b)+len(tail))
	file := concat{
		part(strings.NewReader(head), 0, int64(len(head))),
		part(bytes.NewReader(b), 0, int64(len(b))),
		part(strings.NewReader(tail), 0, int64(len(tail))),
	}
	doc, err := pdf.NewReader(file, int64(len(head)+len(b)+len(tail)))
	if err != nil {
		panic(err)
	}
	return doc.Trailer().Key("Root")
}

func (t *pageText) operator(s *scope, stack *pdf.Stack, op string) {
	// Missing operands are null, and those that no operator took are dropped.
	last := stack.Pop()
	var first pdf.Value
	for stack.Len() > 0 {
		x := stack.Pop()
		if first.IsNull() {
			first = x
		}
	}
	switch op {
	case "q":
		s.saved = append(s.saved, s.font)
	case "Q":
		if n := len(s.saved); n > 0 {
			s.font, s.saved = s.saved[n-1], s.saved[:n-1]
		}
	case "BT", "T*":
		t.write("\n")
	case "Td", "TD":
		switch {
		case last.Float64() != 0:
			t.write("\n")
		case t.shown > 1:
			// Along the line, to the next word. A program that places every character by
			// itself shows its spaces, too.
			t.write(" ")
		}
	case "Tf":
		name := first.Name()
		if _, ok := s.fonts[name]; !ok {
			s.fonts[name] = encoder(s.resources.Key("Font").Key(name))
		}
		s.font = s.fonts[name]
	case "'", "\"":
		t.write("\n")
		t.show(last, s.font)
	case "Tj":
		t.show(last, s.font)
	case "TJ":
		for i := range last.Len() {
			switch x := last.Index(i); x.Kind() {
			case pdf.String:
				t.show(x, s.font)
			case pdf.Integer, pdf.Real:
				// In thousandths of the font size, in which a space is about 250 wide.
				if x.Float64() < -180 {
					t.write(" ")
				}
			}
		}
	case "Do":
		t.form(s, s.resources.Key("XObject").Key(last.Name()))
	}
}

func (t *pageText) form(s *scope, x pdf.Value) {
	if x.Key("Subtype").Name() != "Form" {
		return
	}
	if s.depth == ingest.MaxFormDepth {
		t.fail(errors.New("forms too deep"))
		return
	}
	resources := x.Key("Resources")
	if resources.IsNull() {
		resources = s.resources
	}
	t.write("\n")
	t.content(x, resources, s.font, s.depth+1)
}

// annotations returns what was filled into a form on the page, or written on it:
// what its annotations show, and what they say when they are opened.
func annotations(p pdf.Page) string {
	var t pageText
	t.fail(try(func() {
		all := p.V.Key("Annots")
		for i := range min(all.Len(), ingest.MaxAnnotations) {
			a := all.Index(i)
			shown := a.Key("AP").Key("N")
			if shown.Kind() == pdf.Dict { // one for each state; a check mark says nothing
				shown = pdf.Value{}
			}
			before := t.out.Len()
			if shown.Kind() == pdf.Stream {
				t.write("\n")
				t.content(shown, shown.Key("Resources"), nil, 1)
			}
			if strings.TrimSpace(t.out.String()[before:]) == "" {
				for _, key := range []string{"V", "Contents"} {
					if s := a.Key(key); s.Kind() == pdf.String {
						t.write("\n" + s.Text())
					}
				}
			}
		}
	}))
	return strings.TrimSpace(t.out.String())
}

// encoder returns nil for a font that the page does not have: its codes are
// then taken as they are.
func encoder(font pdf.Value) pdf.TextEncoding {
	if font.IsNull() {
		return nil
	}
	return (&pdf.Font{V: font}).Encoder()
}

func (t *pageText) show(codes pdf.Value, font pdf.TextEncoding) {
	text := codes.RawString()
	if font != nil {
		text = font.Decode(text)
	}
	t.shown = utf8.RuneCountInString(text)
	t.write(text)
}

func (t *pageText) write(s string) {
	if t.out.Len()+len(s) > ingest.MaxTextBytes {
		panic(errPageText)
	}
	t.out.WriteString(s)
}
