package console

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

// statuses are those of documents, the best first.
var statuses = []client.Status{"ok", "partial", "encrypted", "no_text", "needs_ocr", "unsupported", "damaged", "limit", "not_fetched"}

// documentsData is the list of documents.
type documentsData struct {
	Search, Department, Status string
	Statuses                   []client.Status
	Documents                  []client.Document
	Next                       string
	Collections                []client.Collection
}

func documentsPage(v *visit) error {
	q := v.r.URL.Query()
	d := documentsData{Search: q.Get("q"), Department: q.Get("department"), Status: q.Get("status"), Statuses: statuses}
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	copyQuery(query, q, "q", "department", "status", "cursor")
	list, err := client.PageOf[client.Document](v.ctx(), v.api, "/v1/documents", query)
	if err != nil {
		return err
	}
	d.Documents, d.Next = list.Items, v.cursorLink(list.Next)
	if v.May(client.Registrar) {
		for c, err := range v.api.Collections(v.ctx()) {
			if err != nil {
				return err
			}
			d.Collections = append(d.Collections, c)
		}
	}
	return v.show(http.StatusOK, "documents", v.T("Documents"), d)
}

// register takes a file into the registry.
func register(v *visit) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxFile)
	form, err := v.r.MultipartReader()
	if err != nil {
		return badForm(err)
	}
	u := client.Upload{}
	fields := map[string]*string{
		"department": &u.Department, "classification": &u.Classification, "collection": &u.Collection, "title": &u.Title, "source": &u.Source,
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return badField("file")
		}
		if err != nil {
			return badForm(err)
		}
		if part.FormName() != "file" {
			b, err := io.ReadAll(io.LimitReader(part, 1<<16))
			if err != nil {
				return badForm(err)
			}
			if to := fields[part.FormName()]; to != nil {
				*to = strings.TrimSpace(string(b))
			}
			continue
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, part); err != nil {
			return badForm(err)
		}
		if b.Len() == 0 {
			return badField("file")
		}
		u.Name, u.Content = part.FileName(), &b
		u.Source = cmp.Or(u.Source, u.Name)
		break
	}
	registered, err := v.api.Register(v.ctx(), u)
	if err != nil {
		return err
	}
	return v.goTo("/documents/" + url.PathEscape(registered.ID))
}

// documentData is one document.
type documentData struct {
	*client.DocumentDetail
	Unread   []unreadPages // of the newest version
	Releases []client.Release
	Alerts   []client.Alert
	Today    string
	Readable bool
}

// unreadPages are pages that nothing was read of, for one reason.
type unreadPages struct{ Why, Pages string }

func documentPage(v *visit) error {
	document, err := v.api.Document(v.ctx(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	d := documentData{DocumentDetail: document, Today: time.Now().UTC().Format("2006-01-02"), Readable: v.May(client.Analyst)}
	if n := len(document.Versions); n > 0 {
		newest := &document.Versions[n-1]
		var pages []int
		for _, p := range newest.Pages {
			if p.NeedsOcr {
				pages = append(pages, p.Number)
			}
		}
		if len(pages) > 0 {
			d.Unread = append(d.Unread, unreadPages{v.Label("needs_ocr"), ranges(pages)})
		}
		pages = nil
		for _, p := range newest.Pages {
			if p.Characters == 0 && !p.NeedsOcr {
				pages = append(pages, p.Number)
			}
		}
		if len(pages) > 0 {
			d.Unread = append(d.Unread, unreadPages{v.Label("no_text"), ranges(pages)})
		}
	}
	slices.Reverse(document.Versions)
	for r, err := range v.api.Releases(v.ctx(), document.ID) {
		if err != nil {
			return err
		}
		d.Releases = append(d.Releases, r)
	}
	if v.May(client.Analyst) {
		list, err := client.PageOf[client.Alert](v.ctx(), v.api, "/v1/alerts", url.Values{"document": {document.ID}, "limit": {"20"}})
		if err != nil {
			return err
		}
		d.Alerts = list.Items
	}
	return v.show(http.StatusOK, "document", document.Title, d)
}

// ranges writes numbers in ascending order: 1–3, 7.
func ranges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		if j > i {
			fmt.Fprintf(&b, "%d–%d", numbers[i], numbers[j])
		} else {
			fmt.Fprint(&b, numbers[i])
		}
		i = j + 1
	}
	return b.String()
}

// pageData is one page of a document.
type pageData struct {
	ID, Title       string
	Number, Of      int
	Sheet           sheet
	Previous, Next  string
	Version, Newest int
	Drawable        bool
}

func readPage(v *visit) error {
	id := v.r.PathValue("id")
	number, err := strconv.Atoi(v.r.PathValue("page"))
	if err != nil || number < 1 {
		return errNotFound
	}
	document, err := v.api.Document(v.ctx(), id)
	if err != nil {
		return err
	}
	d := pageData{ID: document.ID, Title: document.Title, Number: number, Version: document.Version, Newest: document.Version, Sheet: sheet{Page: number}}
	if asked, err := strconv.Atoi(v.r.URL.Query().Get("version")); err == nil {
		d.Version = asked
	}
	at := slices.IndexFunc(document.Versions, func(w client.Version) bool { return w.Number == d.Version })
	if at < 0 {
		return errNotFound
	}
	d.Of, d.Drawable = len(document.Versions[at].Pages), drawable(document.Versions[at].MediaType)
	if number > max(d.Of, 1) {
		return errNotFound
	}
	link := func(n int) string {
		return fmt.Sprintf("/documents/%s/pages/%d?version=%d", url.PathEscape(id), n, d.Version)
	}
	if number > 1 {
		d.Previous = link(number - 1)
	}
	if number < d.Of {
		d.Next = link(number + 1)
	}
	v.readSheet(&d.Sheet, document.ID, d.Version, nil)
	if d.Drawable && v.r.URL.Query().Get("picture") != "" {
		d.Sheet.Picture = pictureOf(id, number, d.Version)
	}
	return v.show(http.StatusOK, "page", document.Title, d)
}

// pictureOf is the address of a picture of a page.
func pictureOf(document string, page, version int) string {
	return fmt.Sprintf("/documents/%s/pictures/%d?version=%d", url.PathEscape(document), page, version)
}

// pagePicture shows a page of a document as it looks.
func pagePicture(v *visit) error {
	number, err := strconv.Atoi(v.r.PathValue("page"))
	if err != nil {
		return errNotFound
	}
	version, err := strconv.Atoi(cmp.Or(v.r.URL.Query().Get("version"), "0"))
	if err != nil {
		return errNotFound
	}
	picture, err := v.api.PagePicture(v.ctx(), v.r.PathValue("id"), number, version)
	if err != nil {
		return err
	}
	return v.send("image/png", picture)
}

// changeDocument changes what is said about a document.
func changeDocument(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f, id := v.r.PostForm, v.r.PathValue("id")
	request := client.PatchDocumentJSONRequestBody{}
	for name, to := range map[string]**string{"title": &request.Title, "classification": &request.Classification, "recipient": &request.Recipient} {
		if f.Has(name) {
			value := strings.TrimSpace(f.Get(name))
			*to = &value
		}
	}
	_, err := v.api.PatchDocument(v.ctx(), id, request)
	return v.redirectAfter(err, "/documents/"+url.PathEscape(id))
}

// release makes a release of a document, or of some of its pages.
func release(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f, id := v.r.PostForm, v.r.PathValue("id")
	request := client.ReleaseRequest{Authority: strings.TrimSpace(f.Get("authority")), Instrument: strings.TrimSpace(f.Get("instrument"))}
	for name, to := range map[string]*time.Time{"from": &request.From, "until": &request.Until} {
		if f.Get(name) == "" {
			continue
		}
		day, err := time.Parse("2006-01-02", f.Get(name))
		if err != nil {
			return badField(name)
		}
		*to = day
	}
	for field := range strings.FieldsFuncSeq(f.Get("pages"), func(r rune) bool { return r == ',' || r == ' ' || r == '،' }) {
		from, to, isRange := strings.Cut(strings.ReplaceAll(field, "–", "-"), "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 1 || last < first || last-first > 10_000 {
			return badField("pages")
		}
		for n := first; n <= last; n++ {
			request.Pages = append(request.Pages, n)
		}
	}
	_, err := v.api.Release(v.ctx(), id, request)
	return v.redirectAfter(err, "/documents/"+url.PathEscape(id)+"#releases")
}

func revokeRelease(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	id := v.r.PathValue("id")
	_, err := v.api.RevokeRelease(v.ctx(), id, v.r.PostForm.Get("release"))
	return v.redirectAfter(err, "/documents/"+url.PathEscape(id)+"#releases")
}

func withdraw(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	id := v.r.PathValue("id")
	_, err := v.api.Withdraw(v.ctx(), id, strings.TrimSpace(v.r.PostForm.Get("reason")))
	return v.redirectAfter(err, "/documents/"+url.PathEscape(id))
}
