package console

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealprint/sealprint/api/client"
)

const (
	// maxFile bounds what can be looked up here, in bytes: what the API takes, and its form.
	maxFile = 200 << 20
	// maxText bounds a text that is pasted.
	maxText = 4 << 20
	// maxName bounds what is kept of the name of a file.
	maxName = 200

	// sheetsAtOnce is how many pages of a document are shown at a time: each is read again from
	// its source. maxSuspect is how much text of a file, in bytes.
	sheetsAtOnce = 4
	maxSuspect   = 4 << 20
)

// lookUpData is the page on which something is looked up.
type lookUpData struct {
	Text   string
	About  string
	Recent []recent
	Empty  bool // nothing was submitted
}

// recent is something that was looked up before in this session.
type recent struct {
	ID, Name, At string
	Verdict      client.Verdict
}

func lookUpPage(v *visit) error {
	return v.show(http.StatusOK, "look-up", v.T("Look up"), lookUpData{About: v.r.URL.Query().Get("about"), Recent: v.recent()})
}

func (v *visit) recent() []recent {
	var all []recent
	for _, l := range v.shelf.of(v.session.id) {
		all = append(all, recent{l.id, l.title(), v.Time(l.at), l.answer.Verdict})
	}
	return all
}

// title is what something that was looked up is called.
func (l *lookedUp) title() string {
	if l.name != "" {
		return l.name
	}
	begin := []rune(strings.Join(strings.Fields(l.text), " "))
	if len(begin) > 60 {
		return string(begin[:59]) + "…"
	}
	return string(begin)
}

// submitted reads what is to be looked up. The form is read into memory: nothing of it may be
// written to a disk.
func (v *visit) submitted() (*lookedUp, error) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxFile)
	form, err := v.r.MultipartReader()
	if err != nil {
		return nil, badForm(err)
	}
	l := &lookedUp{session: v.session.id}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, badForm(err)
		}
		limit := int64(maxText)
		if part.FormName() == "file" {
			limit = maxFile
		}
		var b bytes.Buffer
		if n, err := io.Copy(&b, io.LimitReader(part, limit+1)); err != nil {
			return nil, badForm(err)
		} else if n > limit {
			return nil, &client.ProblemError{Problem: client.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too large", Detail: fmt.Sprintf("at most %d MB", limit>>20)}}
		}
		switch part.FormName() {
		case "text":
			l.text = b.String()
		case "about":
			l.about = b.String()
		case "file":
			if b.Len() == 0 {
				continue
			}
			l.file, l.name = b.Bytes(), strings.ToValidUTF8(part.FileName(), "�")
			if utf8.RuneCountInString(l.name) > maxName {
				l.name = string([]rune(l.name)[:maxName])
			}
			l.name = cmp.Or(l.name, "file")
		}
	}
}

// badForm is the problem of a form that cannot be read; one that is too large says so itself.
func badForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return &client.ProblemError{Problem: client.Problem{Status: http.StatusBadRequest, Title: "Bad request", Detail: "the form cannot be read"}}
}

// lookUp looks a text or a file up and leads to what was found.
func lookUp(v *visit) error {
	l, err := v.submitted()
	if err != nil {
		return err
	}
	if l.file == nil && strings.TrimSpace(l.text) == "" {
		return v.show(http.StatusOK, "look-up", v.T("Look up"), lookUpData{About: l.about, Recent: v.recent(), Empty: true})
	}
	options := client.MatchOptions{Suppressed: true, Explain: true, Read: l.file != nil}
	if l.file != nil {
		l.text = ""
		l.picture = shownAs(l.file)
		l.answer, err = v.api.MatchFile(v.ctx(), l.name, bytes.NewReader(l.file), options)
	} else {
		// Browsers send line breaks as CRLF. Spans count what is looked up, whichever that is.
		l.text = strings.ReplaceAll(strings.ToValidUTF8(l.text, "�"), "\r\n", "\n")
		l.answer, err = v.api.Match(v.ctx(), l.text, options)
	}
	if err != nil {
		return err
	}
	v.shelf.put(l)
	return v.goTo("/look-ups/" + l.id)
}

// shownAs is the media type of a picture that browsers show; empty if it is none.
func shownAs(content []byte) string {
	kind := http.DetectContentType(content)
	if slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"}, kind) {
		return kind
	}
	return ""
}

// suspectPicture shows a picture that was looked up.
func suspectPicture(v *visit) error {
	l := v.shelf.get(v.session.id, v.r.PathValue("id"))
	if l == nil || l.picture == "" {
		return errNotFound
	}
	return v.send(l.picture, l.file)
}

// send answers with a file that is shown as what it is, and in no other way.
func (v *visit) send(mediaType string, content []byte) error {
	v.w.Header().Set("Content-Type", mediaType)
	v.w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	v.w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = v.w.Write(content) // whoever asked may be gone
	return nil
}

// resultData is what a look-up found: the verdict, all matches, and the evidence of one.
type resultData struct {
	ID, Name   string
	About      string
	Answer     *client.MatchAnswer
	Choices    []choice
	Weak       []choice // below the threshold
	WeakChosen bool
	Chosen     *client.Match
	Evidence   *evidence
	Ignored    []ignored
	Disguised  []disguise
	Suspect    []sheet // if nothing was found
	Gone       bool    // it is not kept any more
}

// choice is a match that can be looked at.
type choice struct {
	*client.Match
	Number int
	Link   string
	Chosen bool
}

// ignored is why something that matched is no alert.
type ignored struct {
	Why        string
	Characters int
}

// disguise is how often something was done to a text that people do to hide it.
type disguise struct {
	What  string
	Count int
}

func lookUpResult(v *visit) error {
	l := v.shelf.get(v.session.id, v.r.PathValue("id"))
	if l == nil {
		return v.show(http.StatusGone, "result", v.T("Look up"), resultData{Gone: true})
	}
	d := resultData{ID: l.id, Name: l.title(), About: l.about, Answer: l.answer}
	chosen, err := strconv.Atoi(cmp.Or(v.r.URL.Query().Get("match"), "0"))
	if err != nil || chosen < 0 || chosen >= len(l.answer.Matches) {
		chosen = 0
	}
	for i := range l.answer.Matches {
		m := &l.answer.Matches[i]
		c := choice{m, i, "/look-ups/" + l.id + "?match=" + strconv.Itoa(i), i == chosen}
		if m.Disposition == "below_threshold" {
			d.Weak, d.WeakChosen = append(d.Weak, c), d.WeakChosen || c.Chosen
		} else {
			d.Choices = append(d.Choices, c)
		}
	}
	if len(l.answer.Matches) > 0 {
		d.Chosen = &l.answer.Matches[chosen]
		if d.Evidence, err = v.evidence(l, d.Chosen); err != nil {
			return err
		}
	} else {
		d.Suspect = l.sheets(nil, nil)
	}
	for _, dropped := range l.answer.Explanation.Dropped {
		d.Ignored = append(d.Ignored, ignored{v.Label(dropped.Reason), dropped.Characters})
	}
	o := l.answer.Obfuscation
	for _, x := range []disguise{
		{"zero_width", o.ZeroWidth}, {"soft_hyphen", o.SoftHyphen}, {"look_alike", o.LookAlike}, {"mixed_script", o.MixedScript},
		{"spaced_out", o.SpacedOut}, {"stacked_marks", o.StackedMarks},
	} {
		if x.Count > 0 {
			d.Disguised = append(d.Disguised, disguise{v.Label(x.What), x.Count})
		}
	}
	return v.show(http.StatusOK, "result", v.Label(l.answer.Verdict), d)
}

// evidence is both sides of a match.
type evidence struct {
	Pairs    []pair
	Suspect  []sheet
	Document []sheet
	// Maps of where the passages stand, in the whole of each side.
	SuspectMap, DocumentMap []stripe
	Longest                 int
	Overlay                 *overlay
	pager
}

// pager tells which of the pages with passages are shown, from 1, of how many, and has
// links to the others.
type pager struct {
	From, To, Of   int
	Earlier, Later string
}

// pager reads from a link which of some pages to show.
func (v *visit) pager(pages int) pager {
	first, err := strconv.Atoi(v.r.URL.Query().Get("from"))
	if err != nil || first < 1 || first > pages {
		first = 1
	}
	p := pager{From: first, To: min(first+sheetsAtOnce-1, pages), Of: pages}
	if p.From > 1 {
		p.Earlier = v.from(max(p.From-sheetsAtOnce, 1))
	}
	if p.To < pages {
		p.Later = v.from(p.To + 1)
	}
	return p
}

// from links to what is shown from a page on.
func (v *visit) from(page int) string {
	q := v.r.URL.Query()
	q.Set("from", strconv.Itoa(page))
	return v.r.URL.Path + "?" + q.Encode()
}

// pair is a passage, on both sides.
type pair struct {
	Number     int
	Page       int // of the document
	Link       string
	Similarity float64
	Characters int // of the document, if it is text
}

// Color is as that of a segment.
func (p pair) Color() int { return segment{Number: p.Number}.Color() }

// overlay lays the part of a picture over the page that it shows.
type overlay struct {
	Picture, Page string
	Query, On     box
}

// evidence reads the pages of the document on which the passages of a match stand.
func (v *visit) evidence(l *lookedUp, m *client.Match) (*evidence, error) {
	e := &evidence{}
	pages := map[int][]int{} // of the document, and the passages on them
	for i, p := range m.Passages {
		pages[p.Document.Page] = append(pages[p.Document.Page], i)
	}
	numbers := slices.Sorted(maps.Keys(pages))
	e.pager = v.pager(len(numbers))
	at := map[int]int{} // which of the pages with passages it is
	for i, n := range numbers {
		at[n] = i + 1
	}

	document, err := v.api.Document(v.ctx(), m.Document.ID)
	if err != nil && !isProblem(err, http.StatusNotFound, http.StatusForbidden) {
		return nil, err
	}
	count := 0
	drawn := false
	if err == nil {
		if i := slices.IndexFunc(document.Versions, func(w client.Version) bool { return w.Number == m.Document.Version }); i >= 0 {
			count, drawn = len(document.Versions[i].Pages), drawable(document.Versions[i].MediaType)
		}
	}
	count = max(count, slices.Max(append(numbers, 1)))

	pageStripe := func(n int) stripe { // where the page is that a passage stands on
		page := float64(m.Passages[n-1].Document.Page)
		return stripeOf(n, (page-1)/float64(count), page/float64(count))
	}
	elsewhere := map[int]string{}
	for i, p := range m.Passages {
		n := i + 1
		one := pair{Number: n, Page: p.Document.Page, Similarity: p.Similarity, Link: "#d" + strconv.Itoa(n)}
		if from, to, ok := spanOf(p.Document.Start, p.Document.End); ok {
			one.Characters = to - from
			e.Longest = max(e.Longest, to-from)
		}
		if which := at[p.Document.Page]; which < e.From || which > e.To {
			one.Link = v.from((which-1)/sheetsAtOnce*sheetsAtOnce+1) + one.Link
			elsewhere[n] = one.Link
			e.DocumentMap = append(e.DocumentMap, pageStripe(n))
		}
		e.Pairs = append(e.Pairs, one)
	}

	settled := make([]mark, len(m.Passages)) // where they stand in what was looked up
	for i, p := range m.Passages {
		if from, to, ok := spanOf(p.Query.Start, p.Query.End); ok {
			settled[i] = mark{start: from, end: to, number: i + 1}
		}
	}
	suspect := l.runes()
	for _, number := range numbers[e.From-1 : e.To] {
		s := sheet{Page: number}
		var marks []mark
		for _, i := range pages[number] {
			p := m.Passages[i]
			if from, to, ok := spanOf(p.Document.Start, p.Document.End); ok {
				marks = append(marks, mark{start: from, end: to, number: i + 1})
			}
			if b, ok := documentBox(i+1, p.Document); ok {
				s.Boxes = append(s.Boxes, b)
			}
		}
		if drawn && (len(s.Boxes) > 0 || l.picture != "") {
			s.Picture = pictureOf(m.Document.ID, number, m.Document.Version)
		}
		text := v.readPage(&s, m.Document.ID, m.Document.Version)
		characters := []rune(text)
		for k := range marks {
			if i := marks[k].number - 1; settled[i].number > 0 {
				settle(suspect[m.Passages[i].Query.Page], characters, &settled[i], &marks[k])
			}
		}
		if text != "" {
			s.Segments = segments(text, marks)
		}
		e.Document = append(e.Document, s)
		length := float64(1 + len(characters))
		for _, i := range pages[number] {
			from, to, ok := spanOf(m.Passages[i].Document.Start, m.Passages[i].Document.End)
			stripe := pageStripe(i + 1)
			if ok && len(s.Segments) > 0 {
				stripe = stripeOf(i+1, (float64(number-1)+float64(from)/length)/float64(count), (float64(number-1)+float64(to)/length)/float64(count))
			}
			e.DocumentMap = append(e.DocumentMap, stripe)
		}
		if e.Overlay == nil && l.picture != "" && s.Picture != "" && len(s.Boxes) > 0 {
			if q, ok := queryBox(s.Boxes[0].Number, m.Passages[s.Boxes[0].Number-1].Query); ok {
				e.Overlay = &overlay{Picture: "/look-ups/" + l.id + "/suspect", Page: s.Picture, Query: q, On: s.Boxes[0]}
			}
		}
	}
	e.Suspect = l.sheets(m, settled)
	for i := range e.Suspect {
		e.Suspect[i].Others = elsewhere
	}
	e.SuspectMap = l.stripes(m)
	return e, nil
}

// readPage reads a page of a document. That it cannot be read is no error: the sheet says why.
func (v *visit) readPage(s *sheet, document string, version int) string {
	text, err := v.api.Page(v.ctx(), document, s.Page, version)
	var problem *client.ProblemError
	switch {
	case err == nil:
		s.Reader = text.Reader
		return text.Text
	case errors.As(err, &problem) && problem.Status == http.StatusForbidden:
		s.Missing = v.T("Your role does not read documents.")
	case errors.As(err, &problem) && problem.Status == http.StatusNotFound:
		s.Missing = v.T("It is at no source from which it could be read again.")
	case errors.As(err, &problem) && problem.Status == http.StatusConflict:
		s.Missing = v.T("Its source is gone, or holds another file now.")
	case errors.As(err, &problem):
		s.Missing = problem.Title
	default:
		s.Missing = v.T("The service did not answer.")
	}
	return ""
}

// readSheet reads a page of a document, with marks on it.
func (v *visit) readSheet(s *sheet, document string, version int, marks []mark) {
	if text := v.readPage(s, document, version); text != "" {
		characters := []rune(text)
		for i := range marks {
			toWords(characters, &marks[i])
		}
		s.Segments = segments(text, marks)
	}
}

// runes are the texts of what was looked up, by page; 0 of what has none.
func (l *lookedUp) runes() map[int][]rune {
	all := map[int][]rune{0: []rune(l.text)}
	for _, p := range l.answer.Read {
		all[p.Page] = []rune(p.Text)
		if len(l.answer.Read) == 1 {
			all[0] = all[p.Page]
		}
	}
	return all
}

func isProblem(err error, status ...int) bool {
	var problem *client.ProblemError
	return errors.As(err, &problem) && slices.Contains(status, problem.Status)
}

// drawable reports whether pages of files of a type can be shown as pictures.
func drawable(mediaType string) bool {
	return mediaType == "application/pdf" || strings.HasPrefix(mediaType, "image/") || strings.Contains(mediaType, "officedocument") ||
		strings.Contains(mediaType, "opendocument") || strings.Contains(mediaType, "msword") || strings.Contains(mediaType, "ms-")
}

// sheets are the pages of what was looked up, with the passages of a match, which may be nil,
// where they are settled, and what other matches are no alerts for.
func (l *lookedUp) sheets(m *client.Match, settled []mark) []sheet {
	marks := map[int][]mark{} // by page; 0 of what has none
	boxes := []box{}
	if m != nil {
		for i, p := range m.Passages {
			if settled[i].number > 0 {
				marks[p.Query.Page] = append(marks[p.Query.Page], settled[i])
			}
			if b, ok := queryBox(i+1, p.Query); ok {
				boxes = append(boxes, b)
			}
		}
	}
	for i := range l.answer.Matches {
		other := &l.answer.Matches[i]
		if other == m || other.Disposition == "alert" || other.Disposition == "below_threshold" {
			continue
		}
		for _, p := range other.Passages {
			if from, to, ok := spanOf(p.Query.Start, p.Query.End); ok {
				marks[p.Query.Page] = append(marks[p.Query.Page], mark{start: from, end: to, why: string(other.Disposition)})
			}
		}
	}
	if l.file == nil {
		return []sheet{{Segments: segments(l.text, marks[0])}}
	}
	var all []sheet
	if l.picture != "" {
		all = append(all, sheet{Picture: "/look-ups/" + l.id + "/suspect", Boxes: boxes})
	}
	size := 0
	for _, p := range l.answer.Read {
		if size += len(p.Text); size > maxSuspect {
			break
		}
		s := sheet{Page: p.Page, Segments: segments(p.Text, marks[p.Page])}
		if len(l.answer.Read) == 1 {
			s.Page, s.Segments = 0, segments(p.Text, slices.Concat(marks[0], marks[p.Page]))
		}
		if l.picture != "" {
			s.Reader = "ocr"
		}
		if p.Text != "" {
			all = append(all, s)
		}
	}
	return all
}

// stripes maps the passages of a match in what was looked up.
func (l *lookedUp) stripes(m *client.Match) []stripe {
	begins, length := map[int]int{}, utf8.RuneCountInString(l.text)
	for _, p := range l.answer.Read {
		begins[p.Page] = length
		length += utf8.RuneCountInString(p.Text)
	}
	var all []stripe
	for i, p := range m.Passages {
		if from, to, ok := spanOf(p.Query.Start, p.Query.End); ok && length > 0 {
			begin := begins[p.Query.Page]
			all = append(all, stripeOf(i+1, float64(begin+from)/float64(length), float64(begin+to)/float64(length)))
		}
	}
	return all
}

// takeAway answers with a signed report of what was looked up, as it is found when it was first. It
// is looked up once more for that: what is signed nobody has had in their hands.
func takeAway(v *visit) error {
	l := v.shelf.get(v.session.id, v.r.PathValue("id"))
	if l == nil {
		return errNotFound
	}
	options := client.EvidenceOptions{Format: client.CreateEvidenceParamsFormat(cmp.Or(v.r.URL.Query().Get("format"), "html")), SeenAt: l.at, Purpose: "console"}
	if l.about != "" {
		options.Purpose = "alert " + l.about
	}
	var report []byte
	var err error
	if l.file != nil {
		report, err = v.api.EvidenceOfFile(v.ctx(), l.name, bytes.NewReader(l.file), options)
	} else {
		report, err = v.api.Evidence(v.ctx(), l.text, options)
	}
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="sealprint-evidence-%s.%s"`, l.answer.ID, options.Format))
	return v.send("application/octet-stream", report)
}
