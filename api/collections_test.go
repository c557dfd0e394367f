package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// create posts a collection.
func (h *house) create(client *http.Client, body string) reply {
	h.t.Helper()
	return do(h.t, client, h.request("POST", "/v1/collections", strings.NewReader(body), "Content-Type", "application/json"))
}

// TestCreateCollection: a collection is what was said first, with what nobody said
// filled in; said again it is answered, and otherwise refused.
func TestCreateCollection(t *testing.T) {
	h := newHouse(t, options{})
	finance := h.as(h.key("finance"))
	for _, c := range []struct {
		client *http.Client
		body   string
		want   Collection
	}{
		{h.http, `{"name":"acts"}`, Collection{Name: "acts", Kind: "protected", Department: "default", Density: "dense"}},
		{h.http, `{"name":"gazette","kind":"public","department":"press/office","density":"sparse"}`, Collection{Name: "gazette", Kind: "public", Department: "press/office", Density: "sparse"}},
		{h.http, `{"name":"Übersicht_1.b-c","kind":"boilerplate"}`, Collection{Name: "Übersicht_1.b-c", Kind: "boilerplate", Department: "default", Density: "dense"}},
		{finance, `{"name":"memos"}`, Collection{Name: "memos", Kind: "protected", Department: "finance", Density: "dense"}},
		{finance, `{"name":"drafts","department":"finance/budget-wing","density":"sparse"}`, Collection{Name: "drafts", Kind: "protected", Department: "finance/budget-wing", Density: "sparse"}},
	} {
		made := read[Collection](h.create(c.client, c.body).want(201))
		if age := time.Since(made.CreatedAt); age < 0 || age > time.Minute {
			t.Errorf("%s: created at %v", c.body, made.CreatedAt)
		}
		c.want.CreatedAt = made.CreatedAt
		if made != c.want {
			t.Errorf("%s: %+v", c.body, made)
		}
		if again := read[Collection](h.create(c.client, c.body).want(200)); again != made {
			t.Errorf("%s again: %+v, first %+v", c.body, again, made)
		}
	}
	for _, body := range []string{
		`{"name":"gazette"}`,
		`{"name":"gazette","kind":"boilerplate","department":"press/office","density":"sparse"}`,
		`{"name":"gazette","kind":"public","department":"press","density":"sparse"}`,
		`{"name":"gazette","kind":"public","department":"press/office"}`,
	} {
		h.refused(body, h.create(h.http, body), complaint{409, ""})
	}
	h.refused("another's name", h.create(finance, `{"name":"acts"}`), complaint{409, ""})
	if c, err := h.registry.Collection(t.Context(), "gazette"); err != nil || c.Kind != storage.Public || c.Department != "press/office" || c.Window != fingerprint.Sparse {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestCreateCollectionRefused: who does not reach a department makes nothing in it,
// who does not reach all silences no alarm, and other roles make nothing at all.
func TestCreateCollectionRefused(t *testing.T) {
	h := newHouse(t, options{})
	finance := h.as(h.key("finance"))
	key, record := auth.NewKey("analyst", "", time.Now())
	if err := h.registry.AddKey(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		client *http.Client
		body   string
	}{
		{finance, `{"name":"a","department":"interior"}`},
		{finance, `{"name":"a","department":"default"}`},
		{finance, `{"name":"a","department":"financial"}`},
		{finance, `{"name":"a","kind":"public"}`},
		{finance, `{"name":"a","kind":"boilerplate","department":"finance/budget-wing"}`},
		{h.as(key), `{"name":"a"}`},
	} {
		h.refused(c.body, h.create(c.client, c.body), complaint{403, ""})
	}
	if list := read[CollectionList](h.get("/v1/collections").want(200)); list.Items == nil || len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestCollectionList: pages put together are the list in order of name; a key sees
// its own, everybody's, and what never alarms.
func TestCollectionList(t *testing.T) {
	h := newHouse(t, options{})
	for _, body := range []string{
		`{"name":"z","department":"finance/budget-wing"}`, `{"name":"b","department":"interior"}`, `{"name":"a"}`,
		`{"name":"y","kind":"public","department":"interior"}`, `{"name":"c","kind":"boilerplate","department":"interior"}`,
	} {
		h.create(h.http, body).want(201)
	}
	list := func(client *http.Client, limit string) []string {
		return listed(h, client, "/v1/collections", func(l CollectionList) (names []string, next string) {
			for _, c := range l.Items {
				names = append(names, c.Name)
			}
			return names, l.NextCursor
		}, "limit", limit)
	}
	for _, limit := range []string{"1", "2", "5", "1000"} {
		for key, want := range map[string][]string{
			"": {"a", "b", "c", "y", "z"}, "finance": {"a", "c", "y", "z"}, "interior": {"a", "b", "c", "y"}, "fin": {"a", "c", "y"},
		} {
			if got := list(h.as(h.key(key)), limit); !slices.Equal(got, want) {
				t.Errorf("%q by %s: %v, want %v", key, limit, got, want)
			}
		}
	}
	h.register("a.txt", prose(70, 40))
	h.register("b.txt", prose(71, 40))
	documents := read[DocumentList](h.get("/v1/documents?limit=1").want(200))
	h.refused("a document's cursor", h.get("/v1/collections"+query("cursor", documents.NextCursor)), complaint{400, "cursor was not given by this list"})
}

// TestSparseCollection: what is registered into a sparse collection takes less, and
// is found.
func TestSparseCollection(t *testing.T) {
	h := newHouse(t, options{})
	h.create(h.http, `{"name":"bulk","density":"sparse"}`).want(201)
	postings := func() int64 { return read[IndexStats](h.get("/v1/index").want(200)).Postings }
	before := postings()
	sparse := h.register("sparse.txt", prose(72, 400), field{"collection", "bulk", ""})
	between := postings()
	h.register("dense.txt", prose(73, 400))
	if s, d := between-before, postings()-between; s == 0 || s*3 > d {
		t.Errorf("sparse takes %d fingerprints, dense %d", s, d)
	}
	if a := h.lookUpText(h.http, prose(72, 400), ""); len(a.Matches) != 1 || a.Matches[0].Document.ID != sparse.ID {
		t.Errorf("%+v", a)
	}
}

// TestVerdicts: what becomes of a leak, a quotation of the law, a letterhead, a
// gazette before and after its publication, and a stranger, in one registry.
func TestVerdicts(t *testing.T) {
	h := newHouse(t, options{})
	h.create(h.http, `{"name":"laws","kind":"public"}`).want(201)
	h.create(h.http, `{"name":"templates","kind":"boilerplate"}`).want(201)
	law, letterhead, clause, own, gazette := prose(80, 300), prose(81, 60), prose(82, 60), prose(83, 300), prose(84, 300)
	h.register("law.txt", law, field{"collection", "laws", ""})
	h.register("letterhead.txt", letterhead, field{"collection", "templates", ""})
	h.register("gazette.txt", gazette, field{"collection", "laws", ""}, field{"published_at", "2026-06-01T00:00:00Z", ""})
	memo := h.register("memo.txt", letterhead+" "+own+" "+law[200:900]+" "+clause)
	for i := range 4 {
		h.register("other"+strings.Repeat("x", i)+".txt", prose(uint64(90+i), 300)+" "+clause)
	}
	for _, c := range []struct {
		name, text, query string
		verdict           Verdict
		disposition       MatchDisposition // of the memo; empty if it does not match
	}{
		{"a leak", own[300:700], "", "unauthorized", "alert"},
		{"a quotation of the law", law[300:700], "", "public", "public_text"},
		{"the letterhead", letterhead, "", "public", "boilerplate"},
		{"what stands in five documents", clause, "", "public", "boilerplate"},
		{"a leak beside the law", own[300:500] + " " + law[300:700], "", "unauthorized", "alert"},
		{"the gazette, before it was published", gazette[100:500], "&seen_at=2026-05-31T00:00:00Z", "unauthorized", ""},
		{"the gazette, published", gazette[100:500], "&seen_at=2026-06-02T00:00:00Z", "public", ""},
		{"another text", prose(99, 60), "", "no_match", ""},
		{"a short one", "Tomorrow at nine", "", "too_short", ""},
	} {
		a := h.lookUpText(h.http, c.text, "?suppressed=true"+c.query)
		var disposition MatchDisposition
		for _, m := range a.Matches {
			if m.Document.ID == memo.ID {
				disposition = m.Disposition
			}
		}
		if a.Verdict != c.verdict || c.disposition != "" && disposition != c.disposition {
			t.Errorf("%s is %s, the memo %s; want %s, %s", c.name, a.Verdict, disposition, c.verdict, c.disposition)
		}
	}
}
