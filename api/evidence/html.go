package evidence

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed report.html
var layout string

//go:embed report.css
var style string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": percent, "group": group, "color": colorOf,
	"size": func(n int64) string { return count(int(n), "byte", "bytes") },
	"when": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
	"png": func(p Picture) template.URL { // made here of bytes: it can be nothing else
		return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(p.PNG))
	},
}).Parse(layout))

const (
	// rowContext is how much stands around passages that are shown beside each other, and
	// textContext in the text as a whole: what is farther from all of them is left out.
	rowContext  = 160
	textContext = 1500
	// pageContext is how much is shown of a page that was found by its look.
	pageContext = 4000
	// rowGap is how far apart passages of one row may be.
	rowGap = 320
)

// view is a report as the page shows it.
type view struct {
	*Report
	*Findings
	Policy, Verdict, Meaning string
	Style                    template.CSS
	Matches                  []matchView
	Ignored, Disguises       []string
	Nearest                  string
	Texts                    []textView
	Pictures                 []pictureView
}

// matchView is a document that was found.
type matchView struct {
	Match
	Chance, Found, Extent, Disposition string
	Rows                               []row
}

// row is passages that stand near each other on both sides.
type row struct {
	First, Last       int
	Similarity        float64
	QueryPlace, Place string
	Query, Document   []piece
	Picture           *pictureView // instead of Query
	Reason, Note      string
}

type textView struct {
	Page   int
	Pieces []piece
}

// pictureView is a picture with boxes around passages.
type pictureView struct {
	Picture
	Boxes []box
}

// with is the view with the box of one more passage.
func (p pictureView) with(number int, at Place) pictureView {
	w, h := float64(p.Width), float64(p.Height)
	b := box{Number: number, Color: colorOf(number), X: at.X * w, Y: at.Y * h, Width: at.Width * w, Height: at.Height * h}
	b.At = b.Y + 30 // the number is inside
	p.Boxes = append(slices.Clip(p.Boxes), b)
	return p
}

// box is where a passage is in a picture, in its pixels.
type box struct {
	Number, Color           int
	X, Y, Width, Height, At float64
}

// write writes a report as HTML, up to the data.
func write(w io.Writer, r *Report) error {
	f, err := r.Findings()
	if err != nil {
		return err
	}
	v := view{Report: r, Findings: f, Style: template.CSS(style), Ignored: f.ignored(), Disguises: f.disguises()}
	v.Verdict, v.Meaning = f.VerdictInWords()
	sum := sha256.Sum256([]byte(style))
	v.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if len(r.Suspect.Pictures) > 0 {
		v.Policy += "; img-src data:"
	}
	if n := f.Explanation.Nearest; n.Document.ID != "" {
		v.Nearest = fmt.Sprintf("The nearest document that is no match is %s (version %d): %s.", n.Document.ID, n.Document.Version, n.Lacks)
	}
	v.arrange()
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// onPage names a page of either side.
type onPage struct {
	document string
	version  int
	part     string
	page     int
}

// sides are what passages stand in.
type sides struct {
	suspect    map[int]*shown // by page
	pictures   map[int]pictureView
	registered map[onPage]*shown
	pages      map[onPage]Page
}

// arrange numbers passages and puts them beside each other.
func (v *view) arrange() {
	s := sides{map[int]*shown{}, map[int]pictureView{}, map[onPage]*shown{}, map[onPage]Page{}}
	for _, t := range v.Suspect.Texts {
		s.suspect[t.Page] = show(t)
	}
	for _, p := range v.Suspect.Pictures {
		s.pictures[p.Page] = pictureView{Picture: p}
	}
	for _, p := range v.Pages {
		at := onPage{p.Document, p.Version, p.Part, p.Page}
		s.registered[at], s.pages[at] = show(p.Text), p
	}
	inText := map[int][]numbered{}
	number := 0
	for _, m := range v.Findings.Matches {
		out := matchView{
			Match: m, Chance: chance(m.ExpectedByChance), Found: channels[m.Channel], Disposition: m.DispositionInWords(), Extent: extent(&m),
		}
		begin := 0 // of the row
		for i, p := range m.Passages {
			number++
			if picture, ok := s.pictures[p.Query.Page]; ok && p.Query.Box() {
				s.pictures[p.Query.Page] = picture.with(number, p.Query)
			} else if m.Disposition != "below_threshold" { // too many of too little to be marked in the whole
				inText[p.Query.Page] = append(inText[p.Query.Page], numbered{Span{p.Query.Start, p.Query.End}, number})
			}
			if i+1 == len(m.Passages) || !near(p, m.Passages[i+1]) {
				out.Rows = append(out.Rows, s.row(v.Suspect.Kind, m.Document, m.Passages[begin:i+1], number-(i-begin)))
				begin = i + 1
			}
		}
		v.Matches = append(v.Matches, out)
	}
	for _, t := range v.Suspect.Texts {
		v.Texts = append(v.Texts, textView{t.Page, s.suspect[t.Page].pieces(inText[t.Page], textContext)})
	}
	for _, p := range v.Suspect.Pictures {
		v.Pictures = append(v.Pictures, s.pictures[p.Page])
	}
}

// row puts passages that are near each other beside each other; first is the number of the
// first of them.
func (s *sides) row(kind string, d Document, passages []Passage, first int) row {
	p := passages[0]
	at := onPage{d.ID, d.Version, p.Document.Part, p.Document.Page}
	r := row{
		First: first, Last: first + len(passages) - 1, Similarity: p.Similarity, Reason: s.pages[at].Reason, Note: s.pages[at].Note,
		QueryPlace: queryPlace(kind, passages), Place: documentPlace(passages),
	}
	var query, document []numbered
	for i, p := range passages {
		r.Similarity = min(r.Similarity, p.Similarity)
		query = append(query, numbered{Span{p.Query.Start, p.Query.End}, first + i})
		document = append(document, numbered{Span{p.Document.Start, p.Document.End}, first + i})
	}
	if picture, ok := s.pictures[p.Query.Page]; ok && p.Query.Box() {
		alone := pictureView{Picture: picture.Picture}.with(first, p.Query)
		r.Picture = &alone
	} else if text := s.suspect[p.Query.Page]; text != nil {
		r.Query = text.pieces(query, rowContext)
	}
	switch text := s.registered[at]; {
	case text == nil || len(text.parts) == 0:
		r.Reason = cmp.Or(r.Reason, "it is not in this report")
	case p.Document.Box(): // where on the page its words are, nobody knows
		r.Document = text.pieces(nil, pageContext)
	default:
		r.Document = text.pieces(document, rowContext)
	}
	return r
}

// near reports whether a passage is shown together with the one before it.
func near(p, next Passage) bool {
	apart := func(a, b Place) bool {
		return a.Box() || b.Box() || a.Page != b.Page || a.Part != b.Part || b.Start-a.End > rowGap || a.Start-b.End > rowGap
	}
	return !apart(p.Query, next.Query) && !apart(p.Document, next.Document)
}

// extent tells how much of each side stands in the other.
func extent(m *Match) string {
	s := fmt.Sprintf("%s of what was submitted stands in the document; %s of the document stands in what was submitted. %s match",
		percent(m.Containment.Query), percent(m.Containment.Document), count(m.MatchedCharacters, "letter or digit", "letters and digits"))
	if n := m.Longest(); n > 0 {
		s += fmt.Sprintf("; the longest passage has %s with spaces and marks", count(n, "character", "characters"))
	}
	return s + "."
}

// queryPlace is where passages of a row stand in what was submitted.
func queryPlace(kind string, passages []Passage) string {
	p := passages[0].Query
	for _, other := range passages[1:] {
		p.Start, p.End = min(p.Start, other.Query.Start), max(p.End, other.Query.End)
	}
	name := map[string]string{"text": "Submitted text", "file": "Submitted file", "image": "Submitted picture"}[kind]
	if p.Page > 0 {
		name += fmt.Sprintf(", page %d", p.Page)
	}
	return name + within(p)
}

// documentPlace is where they stand in the document.
func documentPlace(passages []Passage) string {
	p := passages[0].Document
	for _, other := range passages[1:] {
		p.Start, p.End = min(p.Start, other.Document.Start), max(p.End, other.Document.End)
	}
	name := fmt.Sprintf("Registered document, page %d", p.Page)
	if p.Part != "" {
		name += " (" + p.Part + ")"
	}
	return name + within(p)
}

func within(p Place) string {
	if p.Box() {
		return fmt.Sprintf(", from %.0f %% of the width and %.0f %% of the height to %.0f %% and %.0f %%", 100*p.X, 100*p.Y, 100*(p.X+p.Width), 100*(p.Y+p.Height))
	}
	return ", characters " + group(p.Start) + " to " + group(p.End)
}

// Numbers are those of the passages of a row, in words.
func (r row) Numbers() string {
	if r.First == r.Last {
		return fmt.Sprintf("Passage %d", r.First)
	}
	return fmt.Sprintf("Passages %d to %d", r.First, r.Last)
}

// What names what was submitted.
func (v view) What() string {
	return map[string]string{"text": "A text", "file": "A file", "image": "A picture"}[v.Suspect.Kind]
}

// By is who asked.
func (v view) By() string {
	if v.MadeBy.Label == "" {
		return v.MadeBy.ID
	}
	return v.MadeBy.Label + " (" + v.MadeBy.ID + ")"
}

// Searched tells in which departments.
func (v view) Searched() string {
	if len(v.Scope) == 1 && v.Scope[0] == "*" {
		return "all departments"
	}
	return strings.Join(v.Scope, ", ")
}

// Threshold is that of an alert.
func (v view) Threshold() string { return number(v.Explanation.Threshold) }

// ByChance is the number that Chance tells in words.
func (m matchView) ByChance() string { return number(m.ExpectedByChance) }

func number(x float64) string { return strconv.FormatFloat(x, 'g', 2, 64) }
