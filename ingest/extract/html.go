package extract

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"

	"github.com/sealprint/sealprint/ingest"
)

func readHTML(f File, out *Output) error {
	b, err := readAll(f)
	if err != nil {
		return err
	}
	return out.Page(ingest.Page{Text: htmlText(decodeHTML(b))})
}

// decodeHTML believes a byte order mark first, then UTF-8 that shows itself,
// then what the file declares, and then guesses as for text.
func decodeHTML(b []byte) string {
	if utf16Order(b) == nil && !mostlyUTF8(b) || isASCII(b) {
		e, name, certain := charset.DetermineEncoding(b, "")
		// This is also what it says when nothing is declared.
		if !certain && name != "windows-1252" && name != "utf-8" {
			return decode(b, e)
		}
	}
	return decodeText(b)
}

func isASCII(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
}

// htmlText returns what a page shows: its title and its text without what is
// not displayed, one line per block.
func htmlText(page string) string {
	var out lines
	var skip skipping
	var lists []int // the items so far of each open list; -1: not numbered
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			if !skip.active() {
				out.write(z.Token().Data)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.Type == html.StartTagToken {
				skip.start(t)
			}
			if skip.active() {
				continue
			}
			if blocks[t.DataAtom] {
				out.end()
				switch {
				case t.DataAtom == atom.Ol && len(lists) < ingest.MaxXMLDepth:
					lists = append(lists, 0)
				case t.DataAtom == atom.Ul && len(lists) < ingest.MaxXMLDepth:
					lists = append(lists, -1)
				case t.DataAtom == atom.Li && len(lists) > 0 && lists[len(lists)-1] >= 0:
					lists[len(lists)-1]++
					out.write(fmt.Sprintf("%d. ", lists[len(lists)-1]))
				}
			} else if cells[t.DataAtom] {
				out.write(" ")
			}
		case html.EndTagToken:
			t := z.Token()
			skip.end(t)
			if (t.DataAtom == atom.Ol || t.DataAtom == atom.Ul) && len(lists) > 0 {
				lists = lists[:len(lists)-1]
			}
			if blocks[t.DataAtom] && !skip.active() {
				out.end()
			}
		}
	}
}

// skipping follows an element that is not displayed to its end.
type skipping struct {
	element string
	depth   int
}

func (s *skipping) active() bool { return s.depth > 0 }

func (s *skipping) start(t html.Token) {
	switch {
	case s.active():
		// Paragraphs and the like end where the next one starts.
		if optionalEnd[t.DataAtom] && t.Data == s.element {
			s.depth = 0
			s.start(t)
		} else if t.Data == s.element {
			s.depth++
		}
	case void[t.DataAtom]:
	case undisplayed[t.DataAtom] || isHidden(t):
		s.element, s.depth = t.Data, 1
	}
}

func (s *skipping) end(t html.Token) {
	if !s.active() {
		return
	}
	if t.Data == s.element {
		s.depth--
	} else if t.DataAtom == atom.Body || t.DataAtom == atom.Html {
		s.depth = 0
	}
}

func isHidden(t html.Token) bool {
	for _, a := range t.Attr {
		switch a.Key {
		case "hidden":
			return true
		case "style":
			style := strings.ToLower(strings.Join(strings.Fields(a.Val), ""))
			if strings.Contains(style, "display:none") || strings.Contains(style, "visibility:hidden") {
				return true
			}
		}
	}
	return false
}

// lines joins text as a browser does: any white space is one space, and none
// stands at the ends of a line.
type lines struct {
	strings.Builder
	space, line bool
}

func (l *lines) write(s string) {
	for i, word := range strings.FieldsFunc(s, isHTMLSpace) {
		if i > 0 || isHTMLSpace(rune(s[0])) {
			l.space = true
		}
		if l.line && l.Len() > 0 {
			l.WriteByte('\n')
		} else if l.space && l.Len() > 0 {
			l.WriteByte(' ')
		}
		l.line, l.space = false, false
		l.WriteString(word)
	}
	if s != "" && isHTMLSpace(rune(s[len(s)-1])) {
		l.space = true
	}
}

// end ends the line.
func (l *lines) end() { l.line = true }

func isHTMLSpace(r rune) bool { return strings.ContainsRune(" \t\n\f\r", r) }

var (
	undisplayed = set(atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Iframe, atom.Noembed, atom.Noframes)
	optionalEnd = set(atom.P, atom.Li, atom.Dt, atom.Dd, atom.Tr, atom.Td, atom.Th, atom.Tbody, atom.Thead, atom.Tfoot, atom.Option, atom.Optgroup)
	void        = set(atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr)
	cells       = set(atom.Td, atom.Th)
	blocks      = set(atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Body, atom.Br, atom.Caption, atom.Dd, atom.Details, atom.Div, atom.Dl, atom.Dt,
		atom.Fieldset, atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Head, atom.Header,
		atom.Hr, atom.Html, atom.Li, atom.Main, atom.Nav, atom.Ol, atom.Option, atom.P, atom.Pre, atom.Section, atom.Select, atom.Summary, atom.Table, atom.Textarea,
		atom.Title, atom.Tr, atom.Ul)
)

func set(atoms ...atom.Atom) map[atom.Atom]bool {
	m := make(map[atom.Atom]bool, len(atoms))
	for _, a := range atoms {
		m[a] = true
	}
	return m
}
