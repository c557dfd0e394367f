package extract

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/sealprint/sealprint/ingest"
)

// readXLSX reads sheet by sheet what cells show, numbers and dates in their format.
func readXLSX(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	// The library allocates what the directory of the archive claims, and unpacks all of
	// it: so that is done first, counted and thrown away.
	for _, e := range a.File {
		r, err := a.stream(e)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		var end *Failure
		if errors.As(err, &end) {
			return end
		}
		if e.UncompressedSize64 > uint64(n) && e.UncompressedSize64 > ingest.MinRatioBytes {
			return failf(ingest.StatusLimit, "claims to unpack to %d MB, and does not", e.UncompressedSize64>>20)
		}
	}
	book, err := excelize.OpenReader(ioSection(f), excelize.Options{
		UnzipSizeLimit: ingest.MaxInflatedBytes, UnzipXMLSizeLimit: ingest.MaxInflatedBytes, // nothing goes to a file
	})
	if err != nil {
		return err
	}
	defer book.Close()
	for i, sheet := range book.GetSheetList() {
		name := numbered("sheet", i+1)
		if err := sheetText(book, sheet, name, out); err != nil {
			return err
		}
	}
	for _, drawing := range a.sorted("xl/drawings/", "drawing") {
		if err := a.prose(drawing, "drawing", nil, out); err != nil {
			return err
		}
	}
	for _, chart := range a.sorted("xl/charts/", "chart") {
		if err := a.prose(chart, "drawing", nil, out); err != nil {
			return err
		}
	}
	for _, threads := range a.sorted("xl/threadedComments/", "") {
		p := &officePart{out: out, name: "comments"}
		err := a.parse(threads, func(m *markup, t xml.Token) error {
			if t, ok := t.(xml.CharData); ok && m.within("text") {
				return p.write(string(t) + "\n")
			}
			return nil
		})
		if err := errors.Join(p.end(), a.damaged("comments", err, out)); err != nil {
			return err
		}
	}
	return a.embedded("xl", out)
}

func sheetText(book *excelize.File, sheet, name string, out *Output) error {
	p := &officePart{out: out, name: name}
	rows, err := book.Rows(sheet)
	if err != nil {
		return aside(name, err, out)
	}
	seen := 0
	for rows.Next() {
		cells, err := rows.Columns()
		if seen += len(cells); seen > ingest.MaxCells {
			return errors.Join(p.end(), failf(ingest.StatusLimit, "more than %d million cells on a sheet", ingest.MaxCells/1_000_000))
		}
		if err != nil {
			_ = rows.Close()
			return errors.Join(p.end(), aside(name, err, out))
		}
		written := false
		for _, c := range cells {
			if c == "" {
				continue
			}
			written = true
			if err := p.write(c + "\t"); err != nil {
				return err
			}
		}
		if written {
			if err := p.write("\n"); err != nil {
				return err
			}
		}
	}
	if err := rows.Close(); err != nil {
		return aside(name, err, out)
	}
	if h, err := book.GetHeaderFooter(sheet); err == nil && h != nil {
		for _, s := range []string{h.OddHeader, h.OddFooter, h.EvenHeader, h.EvenFooter, h.FirstHeader, h.FirstFooter} {
			if err := p.write(headerText(s)); err != nil {
				return err
			}
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	comments, err := book.GetComments(sheet)
	if err != nil {
		return nil // there are none
	}
	p = &officePart{out: out, name: join(name, "comments")}
	for _, c := range comments {
		text := c.Text
		for _, run := range c.Paragraph {
			text += run.Text
		}
		if err := p.write(text + "\n"); err != nil {
			return err
		}
	}
	return p.end()
}

// headerText takes the codes out of a header: &L, &"font", &12 and the like.
func headerText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '&' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; {
		case c == '&':
			b.WriteByte('&')
		case c == '"':
			if end := strings.IndexByte(s[i+1:], '"'); end >= 0 {
				i += end + 1
			}
		case c >= '0' && c <= '9':
			for i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
				i++
			}
		default:
			b.WriteByte(' ')
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
