package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealprint/sealprint/api/client"
)

//go:embed all:templates static
var files embed.FS

// parsePages reads the templates of the pages, each within the layout of all of them: what begins
// with "_" is part of all pages.
func parsePages() (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(files, "templates/_*.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/[a-z]*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		own, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if own, err = own.ParseFS(files, name); err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(path.Base(name), ".html")] = own
	}
	return pages, nil
}

// functions are those that do not depend on the language.
var functions = template.FuncMap{
	"dict":    dict,
	"isodate": func(t time.Time) string { return t.UTC().Format("2006-01-02") },
	"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":   short,
	"long":    func(parts [][]segment) bool { return len(parts) > longText },
	"join":    strings.Join,
}

// dict makes a map of names and values, for a part that needs more than one.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: a name has no value")
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// maxTitle is how much of a title is shown in lists; all of it stands on its own page.
const maxTitle = 160

func short(s string) string {
	if utf8.RuneCountInString(s) <= maxTitle {
		return s
	}
	return string([]rune(s)[:maxTitle-1]) + "…"
}

// shown is what templates see.
type shown struct {
	*visit
	Title string
	Data  any
}

// Here is the part of the console that the visitor is in, for the navigation.
func (s shown) Here(path string) bool {
	at := s.r.URL.Path
	return at == path || path != "/" && strings.HasPrefix(at, path+"/") || path == "/" && strings.HasPrefix(at, "/look-ups/")
}

// SignedIn reports whether somebody is.
func (s shown) SignedIn() bool { return s.caller != nil }

// Caller is who is signed in.
func (s shown) Caller() *client.Caller { return s.caller }

// At is the page itself, to come back to.
func (s shown) At() string { return s.r.URL.RequestURI() }

// Build is the version of the program, so that browsers do not use files of another one.
func (s shown) Build() string { return url.QueryEscape(s.Version) }

// show answers with a page.
func (v *visit) show(status int, name, title string, data any) error {
	var b bytes.Buffer
	if err := v.pages[name].ExecuteTemplate(&b, "layout", shown{v, title, data}); err != nil {
		return fmt.Errorf("make page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // whoever asked may be gone
	return nil
}

// Time writes a time.
func (l *language) Time(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04") + " UTC"
}

// Number writes a number with separators.
func (l *language) Number(n any) string {
	s := fmt.Sprint(n)
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return strings.TrimSuffix(s, digits) + b.String()
}

// Bytes writes a size.
func (l *language) Bytes(n int64) string {
	const units = "kMGT"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.5 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	return strconv.FormatFloat(f, 'f', map[bool]int{true: 0, false: 1}[f >= 9.95], 64) + " " + units[unit:unit+1] + "B"
}

// Percent writes a share of one; of little it does not say that it is nothing.
func (l *language) Percent(share float64) string {
	switch p := share * 100; {
	case share > 0 && p < 0.1:
		return "<0.1 %"
	case p < 10 && p != math.Trunc(p):
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	case share < 1 && p > 99:
		return strconv.FormatFloat(math.Floor(p*10)/10, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// Seconds writes a duration in the units of its size.
func (l *language) Seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Minute:
		return l.T("%d s", int(d.Seconds()+0.5))
	case d < time.Hour:
		return l.T("%d min", int(d.Minutes()+0.5))
	case d < 48*time.Hour:
		return l.T("%d h", int(d.Hours()+0.5))
	default:
		return l.T("%d days", int(d.Hours()/24+0.5))
	}
}

// Chance says in words how likely a match is by accident.
func (l *language) Chance(expected float64) string {
	if expected >= 1 {
		return l.T("as much matches by chance")
	}
	if expected <= 0 {
		expected = math.SmallestNonzeroFloat64
	}
	switch in := 1 / expected; {
	case in < 1e3:
		return l.T("chance: one in %d", int(in))
	case in < 1e6:
		return l.T("chance: less than one in %d thousand", int(in/1e3))
	case in < 1e9:
		return l.T("chance: less than one in %d million", int(in/1e6))
	case in < 1e12:
		return l.T("chance: less than one in %d billion", int(in/1e9))
	default:
		return l.T("chance: less than one in a trillion")
	}
}

// Branch names a department, with all below it.
func (l *language) Branch(department string) string {
	if department == "" || department == "*" {
		return l.T("all departments")
	}
	return department
}

// Scope names the departments that were searched.
func (l *language) Scope(departments []string) string {
	if slices.Contains(departments, "*") {
		return l.T("all departments")
	}
	return strings.Join(departments, ", ")
}

// Label is what a value of the API is called: a verdict, a state, a status.
func (l *language) Label(value any) string {
	name := fmt.Sprint(value)
	if label, ok := labels[name]; ok {
		return l.T(label)
	}
	return name
}

// labels are the names of values of the API.
var labels = map[string]string{
	"unauthorized": "Unauthorized disclosure", "authorized": "Authorized", "public": "Public text", "no_match": "No registered document",
	"too_short": "Too short to tell", "unreadable": "Unreadable", "incomplete": "Incomplete: not everything was searched",

	"alert": "Alert", "authorized_release": "Covered by a release", "public_text": "Stands in public text", "boilerplate": "Boilerplate", "below_threshold": "Below the threshold",

	"text": "Text", "ocr": "Recognized text", "page": "Layout of the page", "image": "Picture on a page",

	"new": "New", "triage": "In triage", "confirmed": "Confirmed", "public_quotation": "Public quotation", "false_match": "False match", "duplicate": "Duplicate", "legal_review": "Legal review",

	"ok": "Whole", "partial": "In part", "encrypted": "Encrypted", "no_text": "No text", "needs_ocr": "Not recognized", "unsupported": "Not supported",
	"damaged": "Damaged", "limit": "Over a limit", "not_fetched": "Not fetched",

	"registered": "Registered", "unchanged": "Unchanged", "updated": "Updated", "failed": "Failed", "skipped": "Skipped",

	"running": "Running", "done": "Done", "cancelled": "Cancelled", "listing": "Listing", "gaps": "Gaps", "estimate": "Estimate", "rekey": "Change of key",

	"admin": "Administrator", "registrar": "Registrar", "analyst": "Analyst", "monitor": "Monitor", "auditor": "Auditor",

	"release": "Release", "exclusion": "Exclusion", "too_common": "Too common",
	"protected": "Protected",

	"zero_width": "characters without width", "soft_hyphen": "soft hyphens", "look_alike": "look-alike letters", "mixed_script": "words of mixed scripts", "spaced_out": "spaced out words",
	"stacked_marks": "stacked marks",
}

// cursorLink is the address of the next part of a list.
func (v *visit) cursorLink(next string) string {
	if next == "" {
		return ""
	}
	q := v.r.URL.Query()
	q.Set("cursor", next)
	return v.r.URL.Path + "?" + q.Encode()
}

// redirectAfter leads to a page after a form was done, or shows why it was not.
func (v *visit) redirectAfter(err error, path string) error {
	if err != nil {
		return err
	}
	return v.goTo(path)
}
