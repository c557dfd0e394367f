package extract

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealprint/sealprint/ingest"
)

// Media types of office files.
const (
	docxType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	pptxType = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	xlsbType = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
	odtType  = "application/vnd.oasis.opendocument.text"
	odsType  = "application/vnd.oasis.opendocument.spreadsheet"
	odpType  = "application/vnd.oasis.opendocument.presentation"
	epubType = "application/epub+zip"
	zipType  = "application/zip"
)

// sniffZip finds out what a ZIP file is by what is in it.
func sniffZip(f File) string {
	r, err := directory(f)
	if err != nil {
		return zipType
	}
	has := func(name string) bool {
		return slices.ContainsFunc(r.File, func(e *zip.File) bool { return entryKey(e.Name) == strings.ToLower(name) })
	}
	for _, e := range r.File {
		if e.Name != "mimetype" {
			continue
		}
		entry, err := e.Open()
		if err != nil {
			break
		}
		b, _ := io.ReadAll(io.LimitReader(entry, 200))
		entry.Close()
		declared := strings.TrimSpace(string(b))
		for _, t := range []string{odtType, odsType, odpType, epubType} {
			// Templates and masters are named after what they are templates of.
			if strings.HasPrefix(declared, t) {
				return t
			}
		}
		if strings.HasPrefix(declared, "application/vnd.oasis.opendocument.") && has("content.xml") {
			return odtType
		}
	}
	switch {
	case has("word/document.xml") || has("word/document2.xml"):
		return docxType
	case has("ppt/presentation.xml"):
		return pptxType
	case has("xl/workbook.xml"):
		return xlsxType
	case has("xl/workbook.bin"):
		return xlsbType
	case has("[Content_Types].xml"):
		// Named otherwise, which the format allows.
		for _, e := range r.File {
			switch folder, _, _ := strings.Cut(entryKey(e.Name), "/"); folder {
			case "word":
				return docxType
			case "ppt":
				return pptxType
			case "xl":
				return xlsxType
			}
		}
	case has("content.xml") && has("META-INF/manifest.xml"):
		return odtType
	}
	return zipType
}

// readDOCX reads the body and all that stands around it: what is deleted in a draft
// and what is remarked on it leaks like the rest.
func readDOCX(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	main := a.main("word/document.xml")
	if a.file(main) == nil {
		return failf(ingest.StatusDamaged, "the document's text is missing")
	}
	numbers := a.numbering(path.Dir(main))
	if err := a.prose(main, "", numbers, out); err != nil {
		return err
	}
	for _, p := range []struct{ prefix, name string }{
		{"header", "header"}, {"footer", "footer"}, {"footnotes", "footnotes"}, {"endnotes", "endnotes"}, {"comments.", "comments"},
	} {
		for _, e := range a.related(main, strings.TrimSuffix(p.prefix, "."), a.sorted(path.Dir(main)+"/", p.prefix)) {
			if err := a.prose(e, p.name, numbers, out); err != nil {
				return err
			}
		}
	}
	for _, folder := range []string{"charts/", "diagrams/data"} {
		for _, e := range a.sorted(path.Dir(main)+"/"+path.Dir(folder+"x")+"/", strings.TrimPrefix(folder, path.Dir(folder+"x")+"/")) {
			if err := a.prose(e, "drawing", nil, out); err != nil {
				return err
			}
		}
	}
	return a.embedded(path.Dir(main), out)
}

// readPPTX reads slide by slide, each with its notes and comments.
func readPPTX(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	main := a.main("ppt/presentation.xml")
	for i, slide := range a.ordered(main, "sldId", path.Dir(main)+"/slides/", "slide") {
		name := numbered("slide", i+1)
		if err := a.prose(slide, name, nil, out); err != nil {
			return err
		}
		for _, r := range a.relations(slide) {
			what := ""
			switch kind := path.Base(r.kind); kind {
			case "notesSlide":
				what = "notes"
			case "comments":
				what = "comments"
			case "diagramData", "chart":
				what = "drawing"
			default:
				continue
			}
			if err := a.prose(r.target, join(name, what), nil, out); err != nil {
				return err
			}
		}
	}
	return a.embedded(path.Dir(main), out)
}

// main is the part that the file is about, where most files have it or where this one
// says.
func (a *archive) main(usual string) string {
	for _, r := range a.relations("") {
		if path.Base(r.kind) == "officeDocument" && a.file(r.target) != nil {
			return r.target
		}
	}
	return usual
}

// ordered lists the parts that elements of the main part refer to, slides or sheets,
// in the order in which they are shown, and others of such a name behind them.
func (a *archive) ordered(main, element, folder, prefix string) []string {
	targets := map[string]string{}
	for _, r := range a.relations(main) {
		targets[r.id] = r.target
	}
	var names []string
	listed := map[string]bool{}
	add := func(name string) {
		if key := entryKey(name); a.named[key] != nil && !listed[key] {
			listed[key] = true
			names = append(names, name)
		}
	}
	// What a damaged part does not list is found by name.
	a.glance(main, func(m *markup, t xml.Token) error {
		if e, ok := t.(xml.StartElement); ok && e.Name.Local == element {
			for _, attr := range e.Attr {
				if attr.Name.Local == "id" {
					add(targets[attr.Value])
				}
			}
		}
		return nil
	})
	for _, name := range a.sorted(folder, prefix) {
		add(name)
	}
	return names
}

// related completes a list of parts by those of a kind that are called otherwise.
func (a *archive) related(name, kind string, parts []string) []string {
	listed := map[string]bool{}
	for _, p := range parts {
		listed[entryKey(p)] = true
	}
	for _, r := range a.relations(name) {
		if key := entryKey(r.target); path.Base(r.kind) == kind && !listed[key] {
			listed[key] = true
			parts = append(parts, r.target)
		}
	}
	return parts
}

// prose reads the text of a part of a Word or PowerPoint file. One that is not
// there has none; one that is damaged is a page with that reason, behind what could
// be read.
func (a *archive) prose(name, called string, numbers *numbering, out *Output) error {
	p := &officePart{out: out, name: called, numbers: numbers}
	err := a.parse(name, func(m *markup, t xml.Token) error { return a.proseToken(p, name, m, t) })
	if endErr := p.end(); endErr != nil {
		return endErr
	}
	return a.damaged(called, err, out)
}

// damaged turns the end of a part into a page where it harms only that part.
func (a *archive) damaged(called string, err error, out *Output) error {
	var end *Failure
	switch {
	case err == nil || out.err != nil || errors.As(err, &end):
		return err
	}
	return out.Page(ingest.Page{Part: called, Reason: "damaged markup"})
}

func (a *archive) proseToken(p *officePart, name string, m *markup, t xml.Token) error {
	switch t := t.(type) {
	case xml.CharData:
		switch {
		case m.inside("t"), m.inside("delText"), m.inside("text") && (m.parent() == "cm" || m.parent() == "threadedComment"):
			return p.write(string(t))
		case m.inside("v") && strings.Contains(name, "chart"):
			return p.write(string(t) + "\n")
		}
	case xml.StartElement:
		switch t.Name.Local {
		case "AlternateContent":
			p.before[len(m.path)] = p.said
		case "Choice", "Fallback":
			// They say the same for newer and older programs: the first that says
			// something is read.
			if m.parent() == "AlternateContent" && p.said > p.before[len(m.path)-1] {
				return m.skip()
			}
		case "rPh": // how it is pronounced
			return m.skip()
		case "pPr":
			p.style, p.use, p.level = "", "", ""
		case "pPrChange": // what it was before
			return m.skip()
		case "pStyle":
			p.style = attribute(t, "val")
		case "numId":
			p.use = attribute(t, "val")
		case "ilvl":
			p.level = attribute(t, "val")
		case "tab", "ptab":
			if m.parent() != "tabs" {
				return p.write("\t")
			}
		case "noBreakHyphen":
			return p.write("-")
		case "sym":
			if code, err := strconv.ParseUint(attribute(t, "char"), 16, 21); err == nil && utf8.ValidRune(rune(code)) {
				return p.write(string(rune(code)))
			}
		case "textpath":
			return p.write(attribute(t, "string") + "\n")
		case "cr":
			return p.write("\n")
		case "br":
			if attribute(t, "type") == "page" && p.name == "" {
				return p.page()
			}
			return p.write("\n")
		case "lastRenderedPageBreak":
			if p.name == "" && strings.TrimSpace(p.text.String()) != "" {
				return p.page()
			}
		case "altChunk":
			for _, r := range a.relations(name) {
				if r.id == attribute(t, "id") {
					if err := p.end(); err != nil {
						return err
					}
					return a.inside(r.target, "included file", p.out)
				}
			}
		}
	case xml.EndElement:
		switch t.Name.Local {
		case "pPr":
			if p.numbers == nil {
				return nil
			}
			if label := p.numbers.label(p.style, p.use, p.level); label != "" {
				return p.write(label + " ")
			}
		case "p", "tr", "text":
			return p.write("\n")
		case "tc":
			return p.write("\t")
		}
	}
	return nil
}

// parse reads the tokens of an entry. One that is not there has none.
func (a *archive) parse(name string, token func(m *markup, t xml.Token) error) error {
	e := a.file(name)
	if e == nil {
		return nil
	}
	r, err := a.stream(e)
	if err != nil {
		return err
	}
	defer r.Close()
	m := newMarkup(r)
	for {
		t, err := m.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := token(m, t); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// glance reads a part that says how the text stands and has none itself: if it is
// damaged the text is read all the same. A limit is told when everything was read.
func (a *archive) glance(name string, token func(m *markup, t xml.Token) error) {
	var end *Failure
	if errors.As(a.parse(name, token), &end) && a.end == nil {
		a.end = end
	}
}

// relation connects a part to another.
type relation struct{ id, kind, target string }

// relations lists what a part refers to inside the file; "" is the file as a whole.
func (a *archive) relations(name string) []relation {
	if all, known := a.linked[name]; known {
		return all
	}
	var all []relation
	// Relations that are damaged connect to nothing; parts are found by name, too.
	folder, base := path.Split(name)
	a.glance(folder+"_rels/"+base+".rels", func(m *markup, t xml.Token) error {
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "Relationship" || attribute(e, "TargetMode") == "External" {
			return nil
		}
		target := attribute(e, "Target")
		if strings.HasPrefix(target, "/") {
			target = strings.TrimPrefix(path.Clean(target), "/")
		} else {
			target = path.Join(path.Dir(name), target)
		}
		if len(all) == ingest.MaxEntries {
			return failf(ingest.StatusLimit, "more than %d relations of a part", ingest.MaxEntries)
		}
		all = append(all, relation{attribute(e, "Id"), attribute(e, "Type"), target})
		return nil
	})
	a.linked[name] = all
	return all
}

// sorted lists the entries in a folder whose names begin with prefix, in the order
// of the numbers in them.
func (a *archive) sorted(folder, prefix string) []string {
	var names []string
	for _, e := range a.File {
		if rest, ok := strings.CutPrefix(entryKey(e.Name), strings.ToLower(folder)); ok && strings.HasPrefix(rest, strings.ToLower(prefix)) && !strings.Contains(rest, "/") && strings.HasSuffix(rest, ".xml") {
			names = append(names, e.Name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names
}

// embedded reads the files and larger pictures that lie in an office file, the last of
// what is read of it.
func (a *archive) embedded(folder string, out *Output) error {
	folder = strings.ToLower(folder)
	files, pictures := 0, 0
	for _, e := range a.File {
		var called string
		switch dir := path.Dir(entryKey(e.Name)); {
		case dir == path.Join(folder, "embeddings"):
			files++
			called = numbered("attachment", files)
		case dir == path.Join(folder, "media") || dir == "pictures":
			if e.UncompressedSize64 < ingest.MinPictureBytes {
				continue
			}
			pictures++
			called = numbered("picture", pictures)
		default:
			continue
		}
		if err := a.inside(e.Name, called, out); err != nil {
			return err
		}
	}
	if a.end != nil {
		return a.end
	}
	return nil
}

// inside reads an entry as a file of its own, if there is a reader for it: what
// nobody can read in an office file, such as a preview or a macro, is none of its text.
func (a *archive) inside(name, called string, out *Output) error {
	e := a.file(name)
	if e == nil {
		return nil
	}
	f, err := a.load(e)
	if err != nil {
		return a.damaged(called, err, out)
	}
	if !out.Reads(sniff(f)) {
		return nil
	}
	return out.Inside(called, f)
}

// readEPUB reads the chapters of a book in the order of the archive, in which programs
// write them as they are read.
func readEPUB(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	n := 0
	for _, e := range a.File {
		if ext := strings.ToLower(path.Ext(e.Name)); ext != ".xhtml" && ext != ".html" && ext != ".htm" {
			continue
		}
		n++
		if err := a.inside(e.Name, numbered("chapter", n), out); err != nil {
			return err
		}
	}
	return nil
}
