package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
)

// canary stands in everything that the tests submit wrongly. No answer and no
// line of the log may hold it.
const canary = "the minister resigns on friday"

// complaint is what a refused request is told.
type complaint struct {
	status int
	names  string // the field, parameter or limit that the answer names
}

// refused checks that an answer is a problem that says what is wrong and repeats
// nothing of what was submitted.
func (h *house) refused(name string, r reply, want complaint) {
	h.t.Helper()
	if r.status != want.status {
		h.t.Errorf("%s: status %d, want %d: %s", name, r.status, want.status, r.body)
		return
	}
	p := read[Problem](r)
	found := p.Detail != "" && strings.Contains(p.Detail, want.names)
	for _, f := range p.Errors {
		if f.Detail == "" {
			h.t.Errorf("%s: an error without a detail: %s", name, r.body)
		}
		if strings.Contains(f.Pointer+" "+f.Detail, want.names) {
			found = true
		}
	}
	if want.names != "" && !found {
		h.t.Errorf("%s: the answer does not name %q: %s", name, want.names, r.body)
	}
	for key, values := range r.header {
		if strings.Contains(strings.Join(values, " "), canary) {
			h.t.Errorf("%s: the header %s repeats what was submitted", name, key)
		}
	}
	if strings.Contains(string(r.body), canary) {
		h.t.Errorf("%s: the answer repeats what was submitted: %s", name, r.body)
	}
}

// silent checks that the log holds nothing of what was submitted.
func (h *house) silent() {
	h.t.Helper()
	if log := h.log.String(); strings.Contains(log, canary) || strings.Contains(log, `"level":"ERROR"`) {
		h.t.Errorf("the log repeats what was submitted, or tells of an error of the server:\n%s", log)
	}
}

// TestCredentials: what is not exactly a key that holds is 401, whatever it is.
func TestCredentials(t *testing.T) {
	h := newHouse(t, options{})
	key := h.key("")
	revoked, record := auth.NewKey(auth.Admin, "", time.Now())
	record.RevokedAt = time.Now()
	if err := h.registry.AddKey(context.Background(), record); err != nil {
		t.Fatal(err)
	}
	unknown, _ := auth.NewKey(auth.Admin, "", time.Now())
	other := h.key("")
	for name, header := range map[string]string{
		"none":               "",
		"no scheme":          key,
		"another scheme":     "Basic " + key,
		"empty":              "Bearer ",
		"not a key":          "Bearer " + canary,
		"unknown":            "Bearer " + unknown,
		"revoked":            "Bearer " + revoked,
		"mangled checksum":   "Bearer " + key[:len(key)-1] + string(key[len(key)-1]^1),
		"cut short":          "Bearer " + key[:len(key)-1],
		"another's secret":   "Bearer " + key[:len("sealprint_")+12] + other[len("sealprint_")+12:],
		"two keys":           "Bearer " + key + " " + key,
		"a key in uppercase": "Bearer " + strings.ToUpper(key),
	} {
		r := h.request("GET", "/v1/documents", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		answer := do(t, h.bare, r)
		h.refused(name, answer, complaint{401, "Authorization"})
		if !strings.HasPrefix(answer.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	// The scheme's name is written in any case.
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
		do(t, h.bare, h.request("GET", "/v1/documents", nil, "Authorization", scheme+key)).want(200)
	}
	// A key is asked for before anything is read of the request.
	do(t, h.bare, h.request("POST", "/v1/match?unknown=1", strings.NewReader("{"), "Content-Type", "application/json")).want(401)
	h.silent()
}

// TestRoutesThatAreNot: what does not exist is 404, with and without a key.
func TestRoutesThatAreNot(t *testing.T) {
	h := newHouse(t, options{})
	for _, path := range []string{"/v1", "/v1/", "/v2/match", "/v1/match/", "/%00", "/v1/documents/doc_a/pages", "/..%2f", "/v1/documents/doc_a/1/2"} {
		for _, client := range []*http.Client{h.http, h.bare} {
			h.refused(path, do(t, client, h.request("GET", path, nil)), complaint{404, ""})
		}
	}
	for _, id := range []string{"doc_", "doc_UPPER", "job_a", "a", "doc_a%2Fb", "doc_%00", "doc_" + strings.Repeat("a", 65), "%ff", "doc_a b", "..."} {
		id = strings.ReplaceAll(id, " ", "%20")
		h.refused(id, h.get("/v1/documents/"+id), complaint{404, ""})
		h.refused(id, h.get("/v1/documents/"+id+"/pages/1"), complaint{404, ""})
		h.refused(id, h.json("PATCH", "/v1/documents/"+id, `{}`), complaint{404, ""})
	}
	for _, page := range []string{"0", "-1", "x", "1.5", "1000001", "99999999999999999999", "%20"} {
		h.refused(page, h.get("/v1/documents/doc_a/pages/"+page), complaint{404, ""})
	}
	h.refused("events", h.get("/v1/registrations/job_a/events"), complaint{404, ""})
	h.silent()
}

// TestJSONInput: every way to get a JSON body wrong is refused, and told apart.
func TestJSONInput(t *testing.T) {
	h := newHouse(t, options{})
	const quoted = `"` + canary + `"`
	deep := strings.Repeat("[", 100_000)
	for _, c := range []struct {
		name, path, body string
		want             complaint
	}{
		{"missing field", "/v1/match", `{}`, complaint{400, "needs either text or fingerprints"}},
		{"mistyped field", "/v1/match", `{"text":[` + quoted + `]}`, complaint{400, "/text must be of type string"}},
		{"null field", "/v1/match", `{"text":null}`, complaint{400, "/text must be of type string"}},
		{"unknown field", "/v1/match", `{"text":"a","fingerprint":` + quoted + `}`, complaint{400, "/fingerprint unknown field"}},
		{"unknown field that is content", "/v1/match", `{"text":"a",` + quoted + `:1}`, complaint{400, "/(not a name) unknown field"}},
		{"unknown field over two lines", "/v1/match", `{"text":"a","` + canary + `\n` + canary + `":1}`, complaint{400, "unknown field"}},
		{"field in another case", "/v1/match", `{"text":"a","Text":` + quoted + `}`, complaint{400, "/Text unknown field"}},
		{"duplicate field", "/v1/match", `{"text":` + quoted + `,"text":""}`, complaint{400, "/text must stand once"}},
		{"duplicate field, escaped", "/v1/match", `{"text":` + quoted + `,"te\u0078t":""}`, complaint{400, "/text must stand once"}},
		{"duplicate field within", "/v1/match", `{"text":{"a":[1,{"b":` + quoted + `,"b":1}]}}`, complaint{400, "/text/a/1/b must stand once"}},
		{"two mistakes", "/v1/match", `{"text":1,"seen_at":2}`, complaint{400, "/seen_at must be of type string"}},
		{"no date", "/v1/match", `{"text":"a","seen_at":` + quoted + `}`, complaint{400, "/seen_at must be a date-time"}},
		{"a day that is not", "/v1/match", `{"text":"a","seen_at":"2026-02-30T00:00:00Z"}`, complaint{400, "/seen_at must be a date-time"}},
		{"an hour that is not", "/v1/match", `{"text":"a","seen_at":"2026-02-03T25:00:00Z"}`, complaint{400, "/seen_at must be a date-time"}},
		{"an hour of one digit", "/v1/match", `{"text":"a","seen_at":"2026-02-03T5:00:00Z"}`, complaint{400, "/seen_at must be a date-time"}},
		{"a year that no date has in UTC", "/v1/match", `{"text":"a","seen_at":"9999-12-31T23:00:00-05:00"}`, complaint{400, "/seen_at must be a date-time"}},
		{"a date without a zone", "/v1/match", `{"text":"a","seen_at":"2026-02-03T20:00:00"}`, complaint{400, "/seen_at must be a date-time"}},
		{"a date without a time", "/v1/match", `{"text":"a","seen_at":"2026-02-03"}`, complaint{400, "/seen_at must be a date-time"}},
		{"empty date", "/v1/match", `{"text":"a","seen_at":""}`, complaint{400, "/seen_at must be a date-time"}},
		{"huge number", "/v1/match", `{"text":1e999999999}`, complaint{400, "/text must be of type string"}},
		{"number of many digits", "/v1/match", `{"text":` + strings.Repeat("9", 1_000_000) + `}`, complaint{400, "/text must be of type string"}},
		{"trailing garbage", "/v1/match", `{"text":"a"} ` + quoted, complaint{400, "not valid JSON"}},
		{"two values", "/v1/match", `{"text":"a"}{"text":"b"}`, complaint{400, "not valid JSON"}},
		{"cut short", "/v1/match", `{"text":"` + canary, complaint{400, "not valid JSON"}},
		{"no JSON", "/v1/match", canary, complaint{400, "not valid JSON"}},
		{"raw NUL", "/v1/match", "{\"text\":\"\x00" + canary + "\"}", complaint{400, "not valid JSON"}},
		{"invalid UTF-8", "/v1/match", "{\"text\":\"\xff" + canary + "\"}", complaint{400, "not valid UTF-8"}},
		{"UTF-16", "/v1/match", "\xfe\xff\x00{\x00}", complaint{400, "not valid UTF-8"}},
		{"byte order mark", "/v1/match", "\ufeff{\"text\":\"\"}", complaint{400, "not valid JSON"}},
		{"nested", "/v1/match", `{"text":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, complaint{400, "nests deeper than 32 levels"}},
		{"deep", "/v1/match", `{"text":` + deep, complaint{400, "not valid JSON"}},
		{"deep and closed", "/v1/match", `{"text":` + deep + strings.Repeat("]", 100_000) + `}`, complaint{400, "not valid JSON"}},
		{"deep objects", "/v1/match", strings.Repeat(`{"text":`, 100_000), complaint{400, "not valid JSON"}},
		{"null", "/v1/match", `null`, complaint{400, "must be of type object"}},
		{"array", "/v1/match", `[` + quoted + `]`, complaint{400, "must be of type object"}},
		{"string", "/v1/match", quoted, complaint{400, "must be of type object"}},
		{"nothing", "/v1/match", ``, complaint{400, "a body is required"}},
		{"blanks", "/v1/match", `  `, complaint{400, "not valid JSON"}},
		{"over the limit", "/v1/match", `{"text":"` + strings.Repeat(canary, maxJSON/len(canary)) + `"}`, complaint{413, "8388608 bytes"}},
		{"source missing", "/v1/registrations", `{"prefix":` + quoted + `}`, complaint{400, "/source is required"}},
		{"source empty", "/v1/registrations", `{"source":""}`, complaint{400, "/source must have at least 1 characters"}},
		{"prefix too long", "/v1/registrations", `{"source":"a","prefix":"` + strings.Repeat("p", 1025) + `"}`, complaint{400, "/prefix must have at most 1024 characters"}},
		{"no department", "/v1/registrations", `{"source":"a","department":"` + canary + `"}`, complaint{400, "/department must match"}},
		{"no collection", "/v1/registrations", `{"source":"a","collection":"` + canary + `"}`, complaint{400, "/collection must match"}},
		{"name missing", "/v1/collections", `{"kind":"public"}`, complaint{400, "/name is required"}},
		{"name empty", "/v1/collections", `{"name":""}`, complaint{400, "/name must"}},
		{"no name", "/v1/collections", `{"name":"` + canary + `"}`, complaint{400, "/name must match"}},
		{"a path", "/v1/collections", `{"name":"a/b"}`, complaint{400, "/name must match"}},
		{"name too long", "/v1/collections", `{"name":"` + strings.Repeat("n", 101) + `"}`, complaint{400, "/name must have at most 100 characters"}},
		{"no kind", "/v1/collections", `{"name":"a","kind":"` + canary + `"}`, complaint{400, "/kind must be one of"}},
		{"kind empty", "/v1/collections", `{"name":"a","kind":""}`, complaint{400, "/kind must be one of"}},
		{"no density", "/v1/collections", `{"name":"a","density":` + quoted + `}`, complaint{400, "/density must be one of"}},
		{"density in numbers", "/v1/collections", `{"name":"a","density":5}`, complaint{400, "/density must be"}},
		{"owned by none", "/v1/collections", `{"name":"a","department":"` + canary + `"}`, complaint{400, "/department must match"}},
		{"unknown about it", "/v1/collections", `{"name":"a","window":` + quoted + `}`, complaint{400, "/window"}},
		{"unknown source", "/v1/registrations", `{"source":"` + canary + `"}`, complaint{404, ""}},
	} {
		h.refused(c.name, h.json("POST", c.path, c.body), c.want)
	}
	for name, body := range map[string]string{
		"mistyped": `{"title":5}`, "null": `{"title":null}`, "too long": `{"title":"` + strings.Repeat("t", 10_001) + `"}`,
		"id": `{"id":"doc_b"}`, "no date": `{"published_at":"` + canary + `"}`,
	} {
		h.refused("patch: "+name, h.json("PATCH", "/v1/documents/doc_a", body), complaint{400, ""})
	}
	h.silent()
}

// TestTextInput: text is taken as it is, whatever it holds; none at all is too
// short to say anything.
func TestTextInput(t *testing.T) {
	h := newHouse(t, options{})
	for name, body := range map[string]string{
		"empty":              `{"text":""}`,
		"NUL":                `{"text":"a\u0000b"}`,
		"lone surrogate":     `{"text":"a\ud800b"}`,
		"surrogates swapped": `{"text":"\udc00\ud800"}`,
		"not a character":    `{"text":"\uffff"}`,
		"blanks around":      " \r\n\t{ \"text\" : \"a\" } \n",
	} {
		if a := read[MatchAnswer](h.json("POST", "/v1/match", body).want(200)); a.Verdict != "too_short" || a.Partial || len(a.Matches) != 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// Half a surrogate pair, as texts that were cut somewhere end with, is one code
	// point like any other.
	text := prose(1, 60)
	h.register("whole.txt", text)
	plain := h.lookUpText(h.http, "x"+text, "")
	half := read[MatchAnswer](h.json("POST", "/v1/match", `{"text":"\ud83dx`+text+`"}`).want(200))
	if len(half.Matches) != 1 || *half.Matches[0].Passages[0].Query.Start != *plain.Matches[0].Passages[0].Query.Start+1 {
		t.Errorf("a lone surrogate moved the passage: %+v, without it %+v", half.Matches, plain.Matches)
	}
}

// TestContentTypes: a body is taken as what its type says, or refused.
func TestContentTypes(t *testing.T) {
	h := newHouse(t, options{})
	body := `{"text":"` + canary + `"}`
	for _, contentType := range []string{
		"", "text/plain", "application/jsonx", "application/json/x", "application/problem+json", "json", "application/x-www-form-urlencoded",
		"multipart/mixed; boundary=a", "multipart/form-data; boundary=", "application/json; charset=\"", "image", "*/*", "application/*", canary,
	} {
		r := h.request("POST", "/v1/match", strings.NewReader(body))
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		h.refused("match as "+contentType, do(t, h.http, r), complaint{415, "Accepted: application/json, image/*, multipart/form-data"})
	}
	// Types are written in any case, with parameters.
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/json ;charset=UTF-8"} {
		r := h.request("POST", "/v1/match", strings.NewReader(`{"text":""}`), "Content-Type", contentType)
		if a := read[MatchAnswer](do(t, h.http, r).want(200)); a.Verdict != "too_short" {
			t.Errorf("%s: %+v", contentType, a)
		}
	}
	contentType, content := form(field{"file", "a short text", "a.txt"})
	mixed := strings.Replace(contentType, "multipart/form-data", "Multipart/Form-Data", 1)
	r := h.request("POST", "/v1/match", bytes.NewReader(content), "Content-Type", mixed)
	if a := read[MatchAnswer](do(t, h.http, r).want(200)); a.Verdict != "too_short" {
		t.Errorf("%s: %+v", mixed, a)
	}
	for path, method := range map[string]string{"/v1/documents": "POST", "/v1/documents/doc_a": "PATCH", "/v1/registrations": "POST", "/v1/collections": "POST"} {
		r := h.request(method, path, strings.NewReader(body), "Content-Type", "image/png")
		h.refused(path, do(t, h.http, r), complaint{415, "Accepted: "})
	}
	h.silent()
}

// TestParameters: parameters that are wrong, unknown or given twice are refused
// by name.
func TestParameters(t *testing.T) {
	h := newHouse(t, options{})
	for path, names := range map[string]string{
		"/v1/documents?limit=0":                            "limit must be from 1 to 1000",
		"/v1/documents?limit=1001":                         "limit must be from 1 to 1000",
		"/v1/documents?limit=-1":                           "limit must be from 1 to 1000",
		"/v1/documents?limit=ten":                          "limit",
		"/v1/documents?limit=1.5":                          "limit",
		"/v1/documents?limit=1e3":                          "limit",
		"/v1/documents?limit=":                             "limit",
		"/v1/documents?limit=99999999999999999999":         "limit",
		"/v1/documents?limit=5&limit=6":                    "limit must stand once",
		"/v1/documents?cursor=" + query(canary, "")[1:]:    "cursor",
		"/v1/documents?cursor=AAAAAAAAAAAAAAAAAAAAAA":      "cursor was not given by this list",
		"/v1/documents?cursor=" + strings.Repeat("a", 501): "cursor must have at most 500 characters",
		"/v1/documents?status=fine":                        "status must be one of",
		"/v1/documents?status=":                            "status",
		"/v1/documents?department=a//b":                    "department must match",
		"/v1/documents?collection=a/b":                     "collection must match",
		"/v1/documents" + query("secret", canary):          "secret unknown parameter",
		"/v1/documents" + query(canary, "1"):               "(not a name) unknown parameter",
		"/v1/documents?limit=5;cursor=a":                   "the query string is malformed",
		"/v1/documents?limit=%zz":                          "the query string is malformed",
		"/v1/documents?Limit=5":                            "Limit unknown parameter",
		"/v1/registrations?limit=0":                        "limit must be from 1 to 1000",
		"/v1/collections?limit=0":                          "limit must be from 1 to 1000",
		"/v1/collections?kind=public":                      "kind unknown parameter",
		"/v1/collections?cursor=AAAAAAAAAAAAAAAAAAAAAA":    "cursor was not given by this list",
		"/v1/documents/doc_a?version=1":                    "version unknown parameter",
		"/v1/documents/doc_a/pages/1?version=0":            "version must be from 1 to 1000000",
		"/v1/documents/doc_a/pages/1?version=new":          "version",
		"/v1/index?a=1":                                    "a unknown parameter",
		"/v1/alerts?state=new&state=old":                   "state/1 must be one of",
		"/v1/alerts?document=doc_a&document=doc_b":         "document must stand once",
		"/livez?a=1": "a unknown parameter",
	} {
		h.refused(path, h.get(path), complaint{400, names})
	}
	for query, names := range map[string]string{
		"?suppressed=maybe":                 "suppressed",
		"?suppressed=":                      "suppressed",
		"?suppressed=true&suppressed=false": "suppressed must stand once",
		"?seen_at=yesterday":                "seen_at must be a date-time",
		"?seen_at=2026-02-30T00:00:00Z":     "seen_at must be a date-time",
		"?seen_at=2026-02-03T00:00:00":      "seen_at must be a date-time",
		"?explained=true":                   "explained unknown parameter",
		"?explain=maybe":                    "explain",
		"?read=maybe":                       "read",
		"?read=true":                        "read goes with a file or picture",
	} {
		h.refused(query, h.json("POST", "/v1/match"+query, `{"text":"`+canary+`"}`), complaint{400, names})
	}
	for _, id := range []string{"a", "-1", "1.5", "9999999999999999999", "", canary} {
		r := h.request("GET", "/v1/registrations/job_a/events", nil, "Last-Event-ID", id)
		if id == "" {
			do(t, h.http, r) // empty is none: browsers send it so
			continue
		}
		h.refused("Last-Event-ID "+id, do(t, h.http, r), complaint{400, "Last-Event-ID"})
	}
	h.silent()
}

// TestForms: every way to get a form wrong is refused, and told apart; what was
// before the mistake is not registered.
func TestForms(t *testing.T) {
	h := newHouse(t, options{})
	file := field{"file", canary, "a.txt"}
	long := strings.Repeat("x", 501)
	for _, c := range []struct {
		name, path string
		fields     []field
		want       complaint
	}{
		{"no file", "/v1/documents", nil, complaint{400, "file is required"}},
		{"no file, but fields", "/v1/documents", []field{{"title", canary, ""}}, complaint{400, "file is required"}},
		{"unknown field", "/v1/documents", []field{{"density", canary, ""}, file}, complaint{400, "density unknown field"}},
		{"unknown field that is content", "/v1/documents", []field{{canary, "", ""}, file}, complaint{400, "(not a name) unknown field"}},
		{"field twice", "/v1/documents", []field{{"title", "a", ""}, {"title", canary, ""}, file}, complaint{400, "title must stand once"}},
		{"field behind the file", "/v1/documents", []field{file, {"title", canary, ""}}, complaint{400, "title must stand before the file"}},
		{"two files", "/v1/documents", []field{file, file}, complaint{400, "file must stand once"}},
		{"long title", "/v1/documents", []field{{"title", strings.Repeat("ح", 10_001), ""}, file}, complaint{400, "title must have at most 10000 characters"}},
		{"long classification", "/v1/documents", []field{{"classification", long, ""}, file}, complaint{400, "classification must have at most 100 characters"}},
		{"long source", "/v1/documents", []field{{"source", strings.Repeat("s", 4097), ""}, file}, complaint{400, "source must have at most 4096 bytes"}},
		{"huge field", "/v1/documents", []field{{"title", strings.Repeat(canary, 1<<20/len(canary)), ""}, file}, complaint{400, "title must have at most"}},
		{"no department", "/v1/documents", []field{{"department", canary, ""}, file}, complaint{400, "department must be a path of names"}},
		{"empty department", "/v1/documents", []field{{"department", "", ""}, file}, complaint{400, "department must be a path of names"}},
		{"no collection", "/v1/documents", []field{{"collection", "a/b", ""}, file}, complaint{400, "collection must be a name"}},
		{"no date", "/v1/documents", []field{{"published_at", canary, ""}, file}, complaint{400, "published_at must be a date-time"}},
		{"no UTF-8", "/v1/documents", []field{{"title", "\xff" + canary, ""}, file}, complaint{400, "title must be UTF-8 text"}},
		{"NUL", "/v1/documents", []field{{"title", "\x00" + canary, ""}, file}, complaint{400, "title must be UTF-8 text"}},
		{"no source and no file name", "/v1/documents", []field{{"file", canary, ""}}, complaint{400, "source is required"}},
		{"file name without UTF-8", "/v1/documents", []field{{"file", canary, "\xff.txt"}}, complaint{400, "source must be UTF-8 text"}},
		{"file name with control characters", "/v1/documents", []field{{"file", canary, "a\x1b[31m.txt"}}, complaint{400, "malformed"}},
		{"file name with NUL, encoded", "/v1/documents", []field{{"file", canary, `a"; filename*="UTF-8''a%00.txt`}}, complaint{400, ""}},
		{"file name too long", "/v1/documents", []field{{"file", canary, strings.Repeat("n", 4097)}}, complaint{400, "source must have at most 4096 bytes"}},

		{"look-up: no file", "/v1/match", nil, complaint{400, "file is required"}},
		{"look-up: unknown field", "/v1/match", []field{{"text", canary, ""}, file}, complaint{400, "text unknown field"}},
		{"look-up: two files", "/v1/match", []field{file, file}, complaint{400, "file must stand once"}},
		{"look-up: field twice", "/v1/match", []field{{"seen_at", "2026-01-01T00:00:00Z", ""}, file, {"seen_at", "2026-01-01T00:00:00Z", ""}}, complaint{400, "seen_at must stand once"}},
		{"look-up: no date", "/v1/match", []field{{"seen_at", canary, ""}, file}, complaint{400, "seen_at must be a date-time"}},
		{"look-up: no date behind the file", "/v1/match", []field{file, {"seen_at", canary, ""}}, complaint{400, "seen_at must be a date-time"}},
		{"look-up: long date", "/v1/match", []field{{"seen_at", strings.Repeat("1", 65), ""}, file}, complaint{400, "seen_at must have at most 64 bytes"}},
	} {
		h.refused(c.name, h.upload(h.http, c.path, c.fields...), c.want)
	}
	contentType, body := form(file)
	for _, path := range []string{"/v1/documents", "/v1/match"} {
		send := func(name, contentType string, body []byte) {
			t.Helper()
			for _, chunked := range []bool{false, true} {
				var content io.Reader = bytes.NewReader(body)
				if chunked {
					content = io.MultiReader(content) // of no length that anybody knows
				}
				r := h.request("POST", path, content, "Content-Type", contentType)
				h.refused(path+": "+name, do(t, h.http, r), complaint{400, ""})
			}
		}
		send("no boundary", "multipart/form-data", body)
		send("another boundary", "multipart/form-data; boundary=other", body)
		send("cut short in the end", contentType, body[:len(body)-4])
		send("cut short in the file", contentType, body[:bytes.Index(body, []byte(canary))+5])
		send("cut short in the header", contentType, body[:70])
		send("empty", contentType, nil)
		send("no form", contentType, []byte(canary))
		send("header that is none", contentType, bytes.Replace(body, []byte("Content-Disposition:"), []byte(canary), 1))
		send("no name", contentType, bytes.Replace(body, []byte(`name="file"; `), nil, 1))
	}
	if list := read[DocumentList](h.get("/v1/documents").want(200)); len(list.Items) != 0 {
		t.Errorf("forms that were refused registered %+v", list.Items)
	}
	h.silent()
}

// TestFileNames: of a file's name only the last element counts, and it is a
// source like any other, whatever characters it holds.
func TestFileNames(t *testing.T) {
	h := newHouse(t, options{})
	for i, c := range []struct{ name, source string }{
		{"../../etc/passwd", "passwd"},
		{"/root/a.txt", "a.txt"},
		{"مراسلہ.pdf", "مراسلہ.pdf"},
	} {
		if d := h.register(c.name, prose(uint64(100+i), 30)); d.Source != c.source {
			t.Errorf("%q became %q", c.name, d.Source)
		}
	}
}

// TestBodyLimits: a body over its limit is 413 and tells the limit, whether the
// length is announced or not.
func TestBodyLimits(t *testing.T) {
	const limit = 1 << 20
	h := newHouse(t, options{limit: limit})
	large := bytes.Repeat([]byte(canary), (limit+multipartOverhead)/len(canary)+1)
	contentType, body := form(field{"file", string(large), "a.txt"})
	field, fieldBody := form(field{"file", "a", "a.txt"}, field{"title", string(large), ""})
	text := []byte(`{"text":"` + strings.Repeat(canary, maxJSON/len(canary)+1) + `"}`)
	for _, c := range []struct {
		name, path, contentType string
		body                    []byte
		limit                   string
	}{
		{"text", "/v1/match", "application/json", text, "8388608"},
		{"registration", "/v1/registrations", "application/json", text, "8388608"},
		{"file", "/v1/match", contentType, body, "2097152"},
		{"image", "/v1/match", "image/png", large, "2097152"},
		{"upload", "/v1/documents", contentType, body, "2097152"},
		{"what follows an upload", "/v1/documents", field, fieldBody, "2097152"},
	} {
		for _, chunked := range []bool{false, true} {
			if chunked && c.name == "what follows an upload" {
				continue // refused for the field before the limit is reached
			}
			var content io.Reader = bytes.NewReader(c.body)
			if chunked {
				content = io.MultiReader(content)
			}
			r := h.request("POST", c.path, content, "Content-Type", c.contentType)
			h.refused(c.name, do(t, h.http, r), complaint{413, c.limit + " bytes"})
		}
	}
	h.silent()
}

// TestAnswersRepeatNothing: nor does a problem that a document's own fields
// caused.
func TestAnswersRepeatNothing(t *testing.T) {
	h := newHouse(t, options{})
	// A kind of file that no reader takes makes no document, and says so.
	answer := h.upload(h.http, "/v1/documents", field{"title", canary, ""}, field{"file", "\x7fELF\x02\x01\x01" + canary, "a.bin"})
	h.refused("unsupported", answer, complaint{422, ""})
	if p := read[Problem](answer); p.Outcome != "skipped" || p.DocumentStatus != "unsupported" || p.Detail == "" {
		t.Errorf("%s", answer.body)
	}
	var encoded map[string]any
	if err := json.Unmarshal(answer.body, &encoded); err != nil || encoded["outcome"] == nil {
		t.Errorf("%v: %s", err, answer.body)
	}
	h.silent()
}

// TestFilesStream: a body that is a file is not collected before it is looked at:
// what is wrong with its beginning is told before its end was sent.
func TestFilesStream(t *testing.T) {
	h := newHouse(t, options{})
	for path, want := range map[string]string{"/v1/documents": "density unknown field", "/v1/match": "density unknown field"} {
		contentType, body := form(field{"density", canary, ""}, field{"file", canary, "a.txt"})
		r, w := io.Pipe()
		go w.Write(body[:len(body)-10]) // and no more
		request := h.request("POST", path, r, "Content-Type", contentType)
		h.refused(path, do(t, h.http, request), complaint{400, want})
		w.Close()
	}
	h.silent()
}
