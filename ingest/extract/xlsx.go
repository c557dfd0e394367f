package extract

import (
	"encoding/xml"
	"path"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/sealprint/sealprint/ingest"
)

// readXLSX reads sheet by sheet what cells show, numbers and dates in their format.
// Cells are read one at a time: a library would hold the file in memory, and fill rows
// up to the last column that a cell claims to stand in.
func readXLSX(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	main := a.main("xl/workbook.xml")
	if a.file(main) == nil {
		return failf(ingest.StatusDamaged, "the list of sheets is missing")
	}
	w := &workbook{archive: a, out: out, read: map[string]bool{}}
	defer w.formats.close()
	if err := w.open(main); err != nil {
		return err
	}
	for i, sheet := range a.ordered(main, "sheet", path.Dir(main)+"/worksheets/", "sheet") {
		if err := w.sheet(sheet, numbered("sheet", i+1)); err != nil {
			return err
		}
	}
	// What no sheet says that it belongs to.
	for _, p := range []struct{ folder, prefix, name string }{
		{"drawings/", "drawing", "drawing"}, {"charts/", "chart", "drawing"}, {"", "comments", "comments"}, {"threadedComments/", "", "comments"},
	} {
		for _, name := range a.sorted(path.Dir(main)+"/"+p.folder, p.prefix) {
			if err := w.around(name, p.name); err != nil {
				return err
			}
		}
	}
	return a.embedded(path.Dir(main), out)
}

// workbook is what the sheets of a file share.
type workbook struct {
	*archive
	out     *Output
	read    map[string]bool // parts
	formats formats

	// The shared strings, one behind the other, and where each ends.
	text string
	ends []int32
}

// open reads what the sheets need. Without their strings they would look read and
// say nothing, so damage there is damage of the file; without formats numbers are
// shown plain.
func (w *workbook) open(main string) error {
	names := map[string]string{"sharedStrings": path.Dir(main) + "/sharedStrings.xml", "styles": path.Dir(main) + "/styles.xml"}
	for _, r := range w.relations(main) {
		if _, ok := names[path.Base(r.kind)]; ok {
			names[path.Base(r.kind)] = r.target
		}
	}
	w.glance(main, func(m *markup, t xml.Token) error {
		if e, ok := t.(xml.StartElement); ok && e.Name.Local == "workbookPr" {
			w.formats.from1904, _ = strconv.ParseBool(attribute(e, "date1904"))
		}
		return nil
	})
	w.glance(names["styles"], w.formats.token)
	var text strings.Builder
	err := w.parse(names["sharedStrings"], func(m *markup, t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Local == "rPh" { // how it is pronounced
				return m.skip()
			}
		case xml.CharData:
			if m.inside("t") {
				if text.Len()+len(t) > ingest.MaxTextBytes {
					return failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20)
				}
				text.Write(t)
			}
		case xml.EndElement:
			if t.Name.Local == "si" {
				if len(w.ends) == ingest.MaxSharedStrings {
					return failf(ingest.StatusLimit, "more than %d million shared strings", ingest.MaxSharedStrings/1_000_000)
				}
				w.ends = append(w.ends, int32(text.Len()))
			}
		}
		return nil
	})
	w.text = text.String()
	return err
}

func (w *workbook) shared(index string) string {
	i, err := strconv.Atoi(strings.TrimSpace(index))
	switch {
	case err != nil || i < 0 || i >= len(w.ends):
		return ""
	case i == 0:
		return w.text[:w.ends[0]]
	}
	return w.text[w.ends[i-1]:w.ends[i]]
}

// sheet reads a sheet, and the comments and drawings on it.
func (w *workbook) sheet(part, name string) error {
	w.read[part] = true
	p := &officePart{out: w.out, name: name}
	var c cell
	err := w.parse(part, func(m *markup, t xml.Token) error { return w.cellToken(p, &c, m, t) })
	if endErr := p.end(); endErr != nil {
		return endErr
	}
	if err := w.damaged(name, err, w.out); err != nil {
		return err
	}
	for _, r := range w.relations(part) {
		switch path.Base(r.kind) {
		case "comments", "threadedComment":
			err = w.around(r.target, join(name, "comments"))
		case "drawing":
			err = w.drawing(r.target, join(name, "drawing"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *workbook) drawing(part, name string) error {
	if err := w.around(part, name); err != nil {
		return err
	}
	for _, r := range w.relations(part) {
		if kind := path.Base(r.kind); kind == "chart" || kind == "diagramData" {
			if err := w.around(r.target, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// around reads what stands on sheets or beside them, once.
func (w *workbook) around(part, name string) error {
	if w.read[part] {
		return nil
	}
	w.read[part] = true
	return w.prose(part, name, nil, w.out)
}

// cell is one cell, as far as it was read.
type cell struct {
	kind, style string
	value       []byte
}

func (w *workbook) cellToken(p *officePart, c *cell, m *markup, t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		switch t.Name.Local {
		case "c":
			*c = cell{kind: attribute(t, "t"), style: attribute(t, "s"), value: c.value[:0]}
		case "rPh":
			return m.skip()
		}
	case xml.CharData:
		switch {
		case m.inside("v") || m.inside("t"):
			// A value is one token but for what was made to be many.
			if len(c.value)+len(t) > ingest.MaxTokenBytes {
				return failf(ingest.StatusLimit, "markup with over %d MB in one piece", ingest.MaxTokenBytes>>20)
			}
			c.value = append(c.value, t...)
		case m.within("headerFooter"):
			return p.write(headerText(string(t)))
		}
	case xml.EndElement:
		switch t.Name.Local {
		case "c":
			if s := w.shown(*c); s != "" {
				return p.write(s + "\t")
			}
		case "row":
			return p.write("\n")
		}
	}
	return nil
}

// shown is what a cell shows.
func (w *workbook) shown(c cell) string {
	value := string(c.value)
	switch c.kind {
	case "s":
		return w.shared(value)
	case "b":
		return map[string]string{"0": "FALSE", "1": "TRUE"}[strings.TrimSpace(value)]
	case "", "n":
		style, _ := strconv.Atoi(c.style)
		return w.formats.show(strings.TrimSpace(value), style)
	}
	return value // of a formula, inline, a date, an error
}

// formats shows numbers as the cells are formatted. The library formats one number at
// a time, in a workbook of our own that holds nothing else.
type formats struct {
	codes    map[int]string // custom formats by number
	cells    []int          // number of the format by style of a cell
	from1904 bool

	book    *excelize.File
	shownIn map[int]string // cells of book, by number of the format
}

// token takes the formats from the part with the styles.
func (n *formats) token(m *markup, t xml.Token) error {
	e, ok := t.(xml.StartElement)
	if !ok {
		return nil
	}
	id, _ := strconv.Atoi(attribute(e, "numFmtId"))
	switch {
	case len(n.cells) > ingest.MaxCellStyles:
		return failf(ingest.StatusLimit, "more than %d styles of cells", ingest.MaxCellStyles)
	case len(n.codes) > ingest.MaxFormats:
		return failf(ingest.StatusLimit, "more than %d formats of numbers", ingest.MaxFormats)
	case e.Name.Local == "xf" && m.parent() == "cellXfs":
		n.cells = append(n.cells, id)
	case e.Name.Local == "numFmt" && m.parent() == "numFmts":
		if n.codes == nil {
			n.codes = map[int]string{}
		}
		if code := attribute(e, "formatCode"); len(code) <= ingest.MaxFormatBytes {
			n.codes[id] = code
		}
	}
	return nil
}

// show formats a number; what cannot be formatted is shown as it is.
func (n *formats) show(value string, style int) string {
	if len(value) > ingest.MaxFormatBytes {
		return value
	}
	if _, err := strconv.ParseFloat(value, 64); err != nil {
		return value
	}
	format := 0
	if style >= 0 && style < len(n.cells) {
		format = n.cells[style]
	}
	if _, own := n.codes[format]; !own && (format < 0 || format >= firstOwnFormat) {
		format = 0 // there is none of this number
	}
	shown := value
	if err := try(func() { shown = n.format(value, format) }); err != nil {
		return value
	}
	return shown
}

const (
	formatSheet    = "Sheet1"
	firstOwnFormat = 164 // those before it are built in
)

func (n *formats) format(value string, format int) string {
	cell, err := n.cell(format)
	if err == nil {
		err = n.book.SetCellDefault(formatSheet, cell, value)
	}
	if err != nil {
		return value
	}
	shown, err := n.book.GetCellValue(formatSheet, cell)
	if err != nil {
		return value
	}
	return shown
}

// cell names the cell of the book that has a format, which gets it when it is first
// needed: to change it takes longer than to show a number.
func (n *formats) cell(format int) (string, error) {
	if cell, ok := n.shownIn[format]; ok {
		return cell, nil
	}
	if n.book == nil {
		n.book, n.shownIn = excelize.NewFile(), map[int]string{}
		if err := n.book.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: &n.from1904}); err != nil {
			return "", err
		}
	}
	wanted := &excelize.Style{NumFmt: format}
	if code, ok := n.codes[format]; ok {
		wanted = &excelize.Style{CustomNumFmt: &code}
	}
	cell := "A" + strconv.Itoa(len(n.shownIn)+1)
	n.shownIn[format] = cell
	style, err := n.book.NewStyle(wanted)
	if err != nil {
		return cell, nil // as without a format
	}
	return cell, n.book.SetCellStyle(formatSheet, cell, cell, style)
}

func (n *formats) close() {
	if n.book != nil {
		_ = n.book.Close() // it has no file
	}
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
