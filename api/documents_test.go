package api

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/ingest"
)

// TestRegister: what a second registration does depends on bytes, source and
// department alone.
func TestRegister(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(10, 120)
	first := h.register("a.txt", text, field{"title", "First", ""}, field{"classification", "secret", ""},
		field{"collection", "acts", ""}, field{"department", "finance/budget-wing", ""}, field{"published_at", "2026-01-02T03:04:05+05:00", ""})
	if first.Outcome != "registered" || first.Title != "First" || first.Classification != "secret" || first.Collection != "acts" ||
		first.Department != "finance/budget-wing" || first.PublishedAt.Format("2006-01-02T15:04:05Z07:00") != "2026-01-01T22:04:05Z" ||
		first.Version != 1 || first.Status != "ok" || first.Pages != 1 || first.Characters < 200 {
		t.Fatalf("%+v", first)
	}
	same := []field{{"collection", "acts", ""}, {"department", "finance/budget-wing", ""}}
	again := func(source, text string) RegisteredDocument {
		t.Helper()
		return read[RegisteredDocument](h.upload(h.http, "/v1/documents", append(slices.Clone(same), field{"file", text, source})...).want(200))
	}
	if d := again("a.txt", text); d.Outcome != "unchanged" || d.ID != first.ID || d.Version != 1 {
		t.Errorf("the same again: %+v", d)
	}
	if d := again("b.txt", text); d.Outcome != "duplicate" || d.ID != first.ID || d.Source != "a.txt" {
		t.Errorf("the same bytes from another source: %+v", d)
	}
	if d := again("a.txt", text+" and more"); d.Outcome != "updated" || d.ID != first.ID || d.Version != 2 {
		t.Errorf("other bytes from the same source: %+v", d)
	}
	if d := h.register("a.txt", text); d.ID == first.ID || d.Department != "default" || d.Collection != "default" || d.Title != "a.txt" {
		t.Errorf("the same bytes in another department: %+v", d)
	}
	detail := read[DocumentDetail](h.get("/v1/documents/" + first.ID).want(200))
	if len(detail.Versions) != 2 || !slices.Equal(detail.Sources, []string{"a.txt", "b.txt"}) || detail.Versions[0].Number != 1 ||
		detail.Versions[0].MediaType != "text/plain" || detail.Versions[0].Size != int64(len(text)) || len(detail.Versions[0].Pages) != 1 {
		t.Errorf("%+v", detail)
	}
	// A source that a client names wins over the file's name.
	d := read[RegisteredDocument](h.upload(h.http, "/v1/documents", field{"source", "dir/c.txt", ""}, field{"file", prose(11, 50), "c.txt"}).want(201))
	if d.Source != "dir/c.txt" || d.Title != "c.txt" {
		t.Errorf("%+v", d)
	}
	// A known file can be asked to be read again; one that is up to date is not.
	if d := again("a.txt", text+" and more"); d.Outdated {
		t.Errorf("%+v", d)
	}
	fresh := append(slices.Clone(same), field{"again", "true", ""}, field{"file", text + " and more", "a.txt"})
	if d := read[RegisteredDocument](h.upload(h.http, "/v1/documents", fresh...).want(200)); d.Outcome != "unchanged" {
		t.Errorf("%+v", d)
	}
	h.upload(h.http, "/v1/documents", field{"again", "perhaps", ""}, field{"file", text, "a.txt"}).want(400)
	// A file without text is registered, and says so.
	if d := h.register("empty.txt", ""); d.Status != "no_text" || d.Reason == "" || d.Characters != 0 {
		t.Errorf("%+v", d)
	}
}

// TestParts: a passage says which part of a file it stands in.
func TestParts(t *testing.T) {
	h := newHouse(t, options{})
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, name := range []string{"secret name.txt", "other.html"} {
		e, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(e, map[int]string{0: "", 1: "<html><p>"}[i]+prose(uint64(70+i), 60))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d := h.register("papers.zip", b.String())
	detail := h.get("/v1/documents/" + d.ID).want(200)
	pages := read[DocumentDetail](detail).Versions[0].Pages
	if len(pages) != 2 || pages[1].Number != 2 || pages[1].Part != "file 2" || strings.Contains(string(detail.body), "secret name") {
		t.Errorf("%s", detail.body)
	}
	m := h.lookUpText(h.http, prose(71, 60), "")
	if len(m.Matches) != 1 || m.Matches[0].Passages[0].Document.Page != 2 || m.Matches[0].Passages[0].Document.Part != "file 2" {
		t.Errorf("%+v", m)
	}
}

// TestDocumentList: pages put together are the list, without gap or repetition,
// whatever the filter; a cursor of one key leads nobody elsewhere.
func TestDocumentList(t *testing.T) {
	h := newHouse(t, options{})
	var ids []string
	for i := range 7 {
		d := h.register(string(rune('a'+i))+".txt", prose(uint64(20+i), 40),
			field{"department", []string{"finance", "finance/budget-wing", "financial"}[i%3], ""}, field{"collection", []string{"x", "y"}[i%2], ""})
		ids = append(ids, d.ID)
	}
	h.register("none.txt", "", field{"department", "finance", ""})
	list := func(client *http.Client, limit string, pairs ...string) []string {
		return listed(h, client, "/v1/documents", func(l DocumentList) (ids []string, next string) {
			for _, d := range l.Items {
				ids = append(ids, d.ID)
			}
			return ids, l.NextCursor
		}, append(slices.Clone(pairs), "limit", limit)...)
	}
	pick := func(at ...int) (out []string) {
		for _, i := range at {
			out = append(out, ids[i])
		}
		return out
	}
	for _, limit := range []string{"1", "2", "3", "7", "1000"} {
		for _, c := range []struct {
			pairs []string
			want  []string
		}{
			{[]string{"status", "ok"}, ids},
			{[]string{"department", "finance", "status", "ok"}, pick(0, 1, 3, 4, 6)},
			{[]string{"department", "finance/budget-wing"}, pick(1, 4)},
			{[]string{"collection", "y"}, pick(1, 3, 5)},
			{[]string{"source", "c.txt"}, pick(2)},
			{[]string{"source", "z.txt"}, nil},
			{[]string{"collection", "y", "department", "finance"}, pick(1, 3)},
			{[]string{"q", " .TXT ", "status", "ok"}, ids},
			{[]string{"q", "txt C"}, pick(2)},
			{[]string{"q", "%"}, nil},
			{[]string{"q", ".txt", "collection", "y", "department", "finance"}, pick(1, 3)},
		} {
			if got := list(h.http, limit, c.pairs...); !slices.Equal(got, c.want) {
				t.Errorf("%v by %s: %v, want %v", c.pairs, limit, got, c.want)
			}
		}
		if got := list(h.as(h.key("financial")), limit); !slices.Equal(got, pick(2, 5)) {
			t.Errorf("in one department by %s: %v", limit, got)
		}
	}
	if empty := read[DocumentList](h.get("/v1/documents?status=encrypted").want(200)); empty.Items == nil {
		t.Error("an empty list is not null")
	}
}

// TestPatch: what a patch names changes, and nothing else.
func TestPatch(t *testing.T) {
	h := newHouse(t, options{})
	d := h.register("a.txt", prose(30, 40), field{"classification", "secret", ""})
	path := "/v1/documents/" + d.ID
	h.json("PATCH", path, `{}`).want(200)
	patched := read[DocumentDetail](h.json("PATCH", path, `{"title":"Über alles"}`).want(200))
	if patched.Title != "Über alles" || patched.Classification != "secret" || !patched.PublishedAt.IsZero() {
		t.Errorf("%+v", patched)
	}
	h.json("PATCH", path, `{"classification":"","published_at":"2026-05-06T07:08:09.5Z"}`).want(200)
	got := read[DocumentDetail](h.get(path).want(200))
	if got.Title != "Über alles" || got.Classification != "" || got.PublishedAt.Format("2006-01-02T15:04:05.9Z07:00") != "2026-05-06T07:08:09.5Z" {
		t.Errorf("%+v", got)
	}
	h.json("PATCH", "/v1/documents/doc_a", `{"title":"a"}`).want(404)
}

// TestDelete: a document that was deleted is gone from everything, and may be
// registered anew.
func TestDelete(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(40, 200)
	d := h.register("a.txt", text)
	if a := h.lookUpText(h.http, text, ""); a.Verdict != "unauthorized" || a.Matches[0].Document.ID != d.ID {
		t.Fatalf("%+v", a)
	}
	path := "/v1/documents/" + d.ID
	if r := do(t, h.http, h.request("DELETE", path, nil)).want(204); len(r.body) != 0 {
		t.Errorf("a 204 with a body: %s", r.body)
	}
	do(t, h.http, h.request("DELETE", path, nil)).want(404)
	h.get(path).want(404)
	h.json("PATCH", path, `{}`).want(404)
	h.get(path + "/pages/1").want(404)
	for _, q := range []string{"", "?suppressed=true"} {
		if a := h.lookUpText(h.http, text, q); a.Verdict != "no_match" || len(a.Matches) != 0 {
			t.Errorf("%q: %+v", q, a)
		}
	}
	if list := read[DocumentList](h.get("/v1/documents").want(200)); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	if stats := read[IndexStats](h.get("/v1/index").want(200)); stats.Documents != 0 || stats.Postings != 0 {
		t.Errorf("%+v", stats)
	}
	if again := h.register("a.txt", text); again.ID == d.ID || again.Version != 1 {
		t.Errorf("%+v", again)
	}
}

// TestPage: a page is read again from where it came from, and only if it is still
// the same.
func TestPage(t *testing.T) {
	s := newShelf("bucket", prose(50, 50))
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "default", Collection: "default"}}}})
	upload := h.register("a.txt", prose(51, 50))
	h.get("/v1/documents/" + upload.ID + "/pages/1").want(404)

	h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202)
	var id string
	h.eventually(func() bool {
		l := read[DocumentList](h.get("/v1/documents" + query("source", "s3://bucket/00000.txt")))
		if len(l.Items) == 1 {
			id = l.Items[0].ID
		}
		return id != ""
	})
	path := "/v1/documents/" + id + "/pages/"
	p := read[PageText](h.get(path + "1").want(200))
	if p.Text != prose(50, 50) || p.Page != 1 || p.Version != 1 || p.DocumentID != id || p.Reader == "" {
		t.Errorf("%+v", p)
	}
	h.get(path + "1?version=1").want(200)
	h.get(path + "1?version=2").want(404)
	h.get(path + "2").want(404)
	do(t, h.as(h.key("finance")), h.request("GET", path+"1", nil)).want(404)
	s.objects[0] = "something else"
	h.get(path + "1").want(409)
}

// TestPagePicture: a page is drawn again from where it came from, as the page that a look-up
// finds it to be; what has no look says so.
func TestPagePicture(t *testing.T) {
	s := newShelf("bucket", string(sample(t, "power-circular-debt-minutes.pdf")), prose(52, 50))
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "default", Collection: "default"}}}})
	h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202)
	path := func(source string) (path string) {
		h.eventually(func() bool {
			for _, d := range read[DocumentList](h.get("/v1/documents" + query("source", "s3://bucket/"+source))).Items {
				versions := read[DocumentDetail](h.get("/v1/documents/" + d.ID).want(200)).Versions
				path = "/v1/documents/" + d.ID + "/pages/"
				return versions[0].Drawn
			}
			return false
		})
		return path
	}
	minutes, text := path("00000.txt"), path("00001.txt")
	for number, query := range map[int]string{1: "", 2: "?version=1"} {
		r := h.get(fmt.Sprint(minutes, number, "/picture", query)).want(200)
		config, format, err := image.DecodeConfig(bytes.NewReader(r.body))
		if err != nil || format != "png" || config.ColorModel != color.GrayModel || config.Width != 1200 || r.header.Get("Content-Type") != "image/png" {
			t.Errorf("page %d: %s %+v, %v", number, format, config, err)
		}
		a := h.lookAt(h.http, r.body, "")
		if len(a.Matches) != 1 || a.Matches[0].Passages[0].Document.Page != number || a.Matches[0].Agreement.Page < 0.9 {
			t.Errorf("page %d is found as %+v", number, a)
		}
	}
	for path, detail := range map[string]string{
		minutes + "3/picture": "the file has no such page", minutes + "1000000/picture": "no such page", minutes + "1/picture?version=2": "",
		text + "1/picture": "files of this kind have text and no look", "/v1/documents/doc_a/pages/1/picture": "",
	} {
		if p := read[Problem](h.get(path).want(404)); !strings.Contains(p.Detail, detail) || p.Detail != "" && detail == "" {
			t.Errorf("%s: %+v", path, p)
		}
	}
	h.get(minutes + "0/picture").want(404)
	if p := read[Problem](do(t, h.as(h.key("finance")), h.request("GET", minutes+"1/picture", nil)).want(404)); p.Detail != "" {
		t.Errorf("another department is told %+v", p)
	}
	s.objects[0] = "something else"
	h.get(minutes + "1/picture").want(409)
	records := read[AuditList](h.get("/v1/audit?action=pagePicture").want(200)).Items
	id := strings.Split(minutes, "/")[3]
	if len(records) < 8 || !slices.Equal(records[0].Targets, []string{id, records[0].Targets[1]}) || records[len(records)-1].Outcome != "conflict" {
		t.Errorf("%+v", records)
	}
}

// TestScope: to a key of a department, the documents of others do not exist: not
// in lists, not in answers, not in counts.
func TestScope(t *testing.T) {
	h := newHouse(t, options{})
	finance, interior := prose(60, 200), prose(61, 200)
	mine := h.register("a.txt", finance, field{"department", "finance/budget-wing", ""})
	other := h.register("b.txt", interior, field{"department", "interior", ""})
	key := h.as(h.key("finance"))
	path := "/v1/documents/" + other.ID
	for _, r := range []*http.Request{
		h.request("GET", path, nil),
		h.request("DELETE", path, nil),
		h.request("GET", path+"/pages/1", nil),
		h.request("PATCH", path, strings.NewReader(`{"title":"mine"}`), "Content-Type", "application/json"),
	} {
		absent := do(t, key, r).want(404)
		r.URL.Path = strings.Replace(r.URL.Path, other.ID, "doc_a", 1)
		r.Body, r.ContentLength = nil, 0
		if r.Method == "PATCH" {
			r = h.request("PATCH", r.URL.Path, strings.NewReader(`{}`), "Content-Type", "application/json")
		}
		a, b := read[Problem](absent), read[Problem](do(t, key, r).want(404))
		if a.RequestID, b.RequestID = "", ""; a.Title != b.Title || a.Detail != b.Detail || a.Type != b.Type {
			t.Errorf("%s tells another's document from none: %+v, %+v", r.Method, a, b)
		}
	}
	if list := read[DocumentList](do(t, key, h.request("GET", "/v1/documents", nil)).want(200)); len(list.Items) != 1 || list.Items[0].ID != mine.ID || list.NextCursor != "" {
		t.Errorf("%+v", list)
	}
	for _, q := range []string{"department=interior", "source=b.txt", "q=b.txt"} {
		if list := read[DocumentList](do(t, key, h.request("GET", "/v1/documents?"+q, nil)).want(200)); len(list.Items) != 0 {
			t.Errorf("%s: %+v", q, list)
		}
	}
	for _, q := range []string{"", "?suppressed=true"} {
		if a := h.lookUpText(key, interior, q); a.Verdict != "no_match" || len(a.Matches) != 0 || !slices.Equal(a.Scope, []string{"finance"}) {
			t.Errorf("%+v", a)
		}
		if a := h.lookUpText(key, finance+" "+interior, q); len(a.Matches) != 1 || a.Matches[0].Document.ID != mine.ID {
			t.Errorf("%+v", a)
		}
	}
	if a := h.lookUpText(h.http, finance+" "+interior, ""); len(a.Matches) != 2 || !slices.Equal(a.Scope, []string{"*"}) {
		t.Errorf("%+v", a)
	}
	do(t, key, h.request("GET", "/v1/index", nil)).want(403)
	// It registers in its own branch, where it does not say otherwise, and nowhere
	// else; what others have from the same source is no concern.
	d := read[RegisteredDocument](h.upload(key, "/v1/documents", field{"file", interior, "b.txt"}).want(201))
	if d.Department != "finance" || d.ID == other.ID {
		t.Errorf("%+v", d)
	}
	h.upload(key, "/v1/documents", field{"department", "interior", ""}, field{"file", "a", "c.txt"}).want(403)
	h.upload(key, "/v1/documents", field{"department", "financial", ""}, field{"file", "a", "c.txt"}).want(403)
	h.upload(key, "/v1/documents", field{"department", "finance/x", ""}, field{"file", prose(62, 30), "c.txt"}).want(201)
	// A source of the deployment is not made readable by registering it.
	start := h.request("POST", "/v1/registrations", bytes.NewReader([]byte(`{"source":"shelf"}`)), "Content-Type", "application/json")
	do(t, key, start).want(403)
}
