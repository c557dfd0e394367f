package extract

import (
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/sealprint/sealprint/ingest"
)

// readODF reads texts, sheets and presentations of OpenDocument, which say
// everything in content.xml but headers and footers.
func readODF(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	encrypted := false
	_ = a.parse("META-INF/manifest.xml", func(m *markup, t xml.Token) error {
		e, ok := t.(xml.StartElement)
		encrypted = encrypted || ok && e.Name.Local == "encryption-data"
		return nil
	})
	if encrypted {
		return failf(ingest.StatusEncrypted, "needs a password")
	}
	if a.file("content.xml") == nil {
		return failf(ingest.StatusDamaged, "the document's text is missing")
	}
	if err := a.content("content.xml", "", out); err != nil {
		return err
	}
	if err := a.content("styles.xml", "header and footer", out); err != nil {
		return err
	}
	for _, e := range a.File {
		// Charts and formulas, and texts in texts.
		if strings.HasPrefix(e.Name, "Object ") && strings.HasSuffix(e.Name, "/content.xml") {
			if err := a.content(e.Name, "object", out); err != nil {
				return err
			}
		}
	}
	return a.embedded("", out)
}

// content reads one of the parts. Sheets and slides become pages.
func (a *archive) content(name, called string, out *Output) error {
	p := &officePart{out: out, name: called}
	units := 0
	err := a.parse(name, func(m *markup, t xml.Token) error {
		switch t := t.(type) {
		case xml.CharData:
			if m.within("p") || m.within("h") {
				return p.write(string(t))
			}
		case xml.StartElement:
			switch t.Name.Local {
			case "creator", "creator-initials", "sender-firstname", "sender-lastname":
				return m.skip() // persons
			case "date":
				if m.parent() == "annotation" || m.parent() == "change-info" {
					return m.skip()
				}
			case "tab":
				return p.write("\t")
			case "line-break":
				return p.write("\n")
			case "s":
				n, _ := strconv.Atoi(attribute(t, "c"))
				return p.write(strings.Repeat(" ", min(max(n, 1), 100)))
			case "soft-page-break":
				if called == "" && units == 0 && strings.TrimSpace(p.text.String()) != "" {
					return p.page()
				}
			case "table":
				if m.parent() == "spreadsheet" {
					units++
					p.name = numbered("sheet", units)
				}
			case "page":
				if m.parent() == "presentation" || m.parent() == "drawing" {
					units++
					p.name = numbered("slide", units)
				}
			case "notes":
				if m.parent() == "page" {
					if err := p.end(); err != nil {
						return err
					}
					p.name = join(numbered("slide", units), "notes")
				}
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "p", "h", "table-row":
				return p.write("\n")
			case "table-cell":
				return p.write("\t")
			case "table":
				if n := len(m.path); n > 0 && m.path[n-1] == "spreadsheet" {
					return p.end()
				}
			case "page":
				if n := len(m.path); n > 0 && (m.path[n-1] == "presentation" || m.path[n-1] == "drawing") {
					return p.end()
				}
			}
		}
		return nil
	})
	if endErr := p.end(); endErr != nil {
		return endErr
	}
	return a.damaged(called, err, out)
}
