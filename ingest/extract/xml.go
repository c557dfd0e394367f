package extract

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"

	"github.com/sealprint/sealprint/ingest"
)

// markup reads XML token by token. Package xml expands no entities but its own
// and reads nothing from elsewhere; what is bounded here is the depth, which it
// keeps a stack of, and the size of a token, which it holds in memory.
type markup struct {
	*xml.Decoder
	in   *tokenReader
	path []string // local names of the open elements
}

func newMarkup(r io.Reader) *markup {
	buffered := bufio.NewReader(r)
	head, _ := buffered.Peek(4)
	utf16 := markupOrder(head)
	if utf16 != nil {
		r = utf16.NewDecoder().Reader(buffered)
	} else {
		r = buffered
	}
	in := &tokenReader{r: r}
	d := xml.NewDecoder(in)
	d.Strict = false
	d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		if utf16 != nil {
			return r, nil // decoded already
		}
		return charset.NewReaderLabel(label, r)
	}
	return &markup{Decoder: d, in: in}
}

// markupOrder returns the decoder of markup in UTF-16, which begins with a mark or
// with a bracket of two bytes; or nil.
func markupOrder(head []byte) encoding.Encoding {
	for _, order := range []unicode.Endianness{unicode.LittleEndian, unicode.BigEndian} {
		for _, mark := range []string{"\ufeff", "<"} {
			e := unicode.UTF16(order, unicode.UseBOM)
			b, err := unicode.UTF16(order, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(mark))
			if err == nil && bytes.HasPrefix(head, b) {
				return e
			}
		}
	}
	return nil
}

// next returns the next token, and io.EOF at the end. Namespaces do not matter: the
// same names mean the same in all versions of a format.
func (m *markup) next() (xml.Token, error) {
	m.in.left = ingest.MaxTokenBytes
	token, err := m.RawToken()
	switch t := token.(type) {
	case xml.StartElement:
		if len(m.path) == ingest.MaxXMLDepth {
			return nil, failf(ingest.StatusLimit, "markup over %d deep", ingest.MaxXMLDepth)
		}
		m.path = append(m.path, t.Name.Local)
	case xml.EndElement:
		// What is not closed in order is closed all the same.
		if n := len(m.path); n > 0 {
			m.path = m.path[:n-1]
		}
	case xml.Directive:
		// They are not expanded here; but what a program that does so shows could not be
		// told, and no office program declares any.
		if bytes.Contains(t, []byte("<!ENTITY")) {
			return nil, failf(ingest.StatusLimit, "markup that declares entities")
		}
	}
	return token, err
}

// skip passes over what is left of the element that was opened last.
func (m *markup) skip() error {
	for depth := len(m.path); len(m.path) >= depth; {
		if _, err := m.next(); err != nil {
			return err
		}
	}
	return nil
}

// parent is the element around the one that was opened last.
func (m *markup) parent() string {
	if len(m.path) < 2 {
		return ""
	}
	return m.path[len(m.path)-2]
}

// inside reports whether an element of a name is the one that was opened last.
func (m *markup) inside(name string) bool {
	n := len(m.path)
	return n > 0 && m.path[n-1] == name
}

// within reports whether an element of a name is open.
func (m *markup) within(name string) bool {
	for _, p := range m.path {
		if p == name {
			return true
		}
	}
	return false
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// tokenReader ends a token that is too large.
type tokenReader struct {
	r    io.Reader
	left int
}

func (t *tokenReader) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, failf(ingest.StatusLimit, "markup with over %d MB in one piece", ingest.MaxTokenBytes>>20)
	}
	n, err := t.r.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}

// officePart is a part of an office file, being read to pages.
type officePart struct {
	out   *Output
	name  string // of the pages
	text  strings.Builder
	pages int
	said  int // bytes of text, on all pages

	// What was said before an element with alternatives, by its depth.
	before [ingest.MaxXMLDepth + 1]int

	// Of the paragraph, in a Word file:
	numbers           *numbering
	style, use, level string
}

// write adds to the text, and fails where one page has too much of it.
func (p *officePart) write(s string) error {
	if p.text.Len()+len(s) > ingest.MaxTextBytes {
		return failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20)
	}
	p.text.WriteString(s)
	p.said += len(strings.TrimSpace(s))
	return nil
}

// page ends a page. Pages without text count only if a break ended them.
func (p *officePart) page() error {
	text := p.text.String()
	p.text.Reset()
	p.pages++
	return p.out.Page(ingest.Page{Part: p.name, Text: text})
}

// end ends the part: what is left is a page, if there is anything.
func (p *officePart) end() error {
	if strings.TrimSpace(p.text.String()) == "" {
		p.text.Reset()
		return nil
	}
	return p.page()
}

func numbered(what string, n int) string { return fmt.Sprintf("%s %d", what, n) }
