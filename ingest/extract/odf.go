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
	a.glance("META-INF/manifest.xml", func(m *markup, t xml.Token) error {
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
	lists := a.listStyles()
	if err := a.content("content.xml", "", lists, out); err != nil {
		return err
	}
	if err := a.content("styles.xml", "header and footer", lists, out); err != nil {
		return err
	}
	for _, e := range a.File {
		// Charts and formulas, and texts in texts.
		if strings.HasPrefix(e.Name, "Object ") && strings.HasSuffix(e.Name, "/content.xml") {
			if err := a.content(e.Name, "object", nil, out); err != nil {
				return err
			}
		}
	}
	return a.embedded("", out)
}

// content reads one of the parts. Sheets and slides become pages.
func (a *archive) content(name, called string, styles map[string]*listStyle, out *Output) error {
	p := &officePart{out: out, name: called}
	lists := &openLists{styles: styles}
	units := 0
	err := a.parse(name, func(m *markup, t xml.Token) error {
		switch t := t.(type) {
		case xml.CharData:
			if m.within("p") || m.within("h") || m.inside("mi") || m.inside("mn") || m.inside("mo") || m.inside("mtext") {
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
			case "list":
				lists.open(attribute(t, "style-name"), attribute(t, "continue-numbering") == "true")
			case "list-item":
				return p.write(lists.label())
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
			case "list":
				lists.close()
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

// listStyle is how the levels of a list are numbered, from 1 on.
type listStyle struct {
	levels map[int]listLevel
	counts map[int]int
}

type listLevel struct {
	format, prefix, suffix string
	start, shown           int // shown: how many levels its number has
}

// listStyles reads how lists are numbered.
func (a *archive) listStyles() map[string]*listStyle {
	styles := map[string]*listStyle{}
	for _, name := range []string{"styles.xml", "content.xml"} {
		var style *listStyle
		a.glance(name, func(m *markup, t xml.Token) error {
			e, ok := t.(xml.StartElement)
			if !ok {
				return nil
			}
			switch e.Name.Local {
			case "list-style":
				if len(styles) == ingest.MaxStyles {
					return failf(ingest.StatusLimit, "more than %d lists", ingest.MaxStyles)
				}
				style = &listStyle{levels: map[int]listLevel{}, counts: map[int]int{}}
				styles[attribute(e, "name")] = style
			case "list-level-style-number":
				if style == nil {
					return nil
				}
				level, _ := strconv.Atoi(attribute(e, "level"))
				start, err := strconv.Atoi(attribute(e, "start-value"))
				if err != nil {
					start = 1
				}
				shown, _ := strconv.Atoi(attribute(e, "display-levels"))
				style.levels[level] = listLevel{
					format: attribute(e, "num-format"), prefix: attribute(e, "num-prefix"), suffix: attribute(e, "num-suffix"),
					start: start, shown: max(shown, 1),
				}
			}
			return nil
		})
	}
	return styles
}

// openLists is the lists in lists that are open.
type openLists struct {
	styles map[string]*listStyle
	names  []string
}

func (l *openLists) open(name string, goesOn bool) {
	if name == "" && len(l.names) > 0 {
		name = l.names[len(l.names)-1]
	}
	l.names = append(l.names, name)
	if s := l.styles[name]; s != nil && !goesOn {
		delete(s.counts, len(l.names))
	}
}

func (l *openLists) close() {
	if n := len(l.names); n > 0 {
		l.names = l.names[:n-1]
	}
}

// label counts an item and returns its number as it is printed, with a space.
func (l *openLists) label() string {
	depth := len(l.names)
	if depth == 0 {
		return ""
	}
	s := l.styles[l.names[depth-1]]
	if s == nil {
		return ""
	}
	level, ok := s.levels[depth]
	if !ok || level.format == "" {
		return ""
	}
	if _, begun := s.counts[depth]; !begun {
		s.counts[depth] = level.start - 1
	}
	s.counts[depth]++
	var parts []string
	for i := depth - level.shown + 1; i <= depth; i++ {
		if part := formatNumber(s.counts[i], s.levels[i].format); i > 0 && part != "" {
			parts = append(parts, part)
		}
	}
	return level.prefix + strings.Join(parts, ".") + level.suffix + " "
}
