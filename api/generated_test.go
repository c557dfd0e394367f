package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// direct asks a server without a connection, and holds the answer to the
// specification all the same.
func (h *house) direct(r *http.Request) (reply, error) {
	recorder := httptest.NewRecorder()
	h.server.ServeHTTP(recorder, r)
	answer := recorder.Result()
	err := h.bare.Transport.(*inspector).inspect(r, answer)
	return reply{h.t, recorder.Code, recorder.Header(), recorder.Body.Bytes()}, err
}

// asks makes a request for direct.
func asks(key, method, target, contentType string, body []byte) *http.Request {
	r := httptest.NewRequest(method, "/", bytes.NewReader(body))
	r.URL.Path, r.URL.RawPath = target, ""
	if path, query, ok := strings.Cut(target, "?"); ok {
		r.URL.Path, r.URL.RawQuery = path, query
	}
	r.Header.Set("Authorization", "Bearer "+key)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// acceptable says, in other words than the server's, whether a JSON body of a
// look-up keeps to the specification.
func acceptable(body []byte) bool {
	var fields map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &fields) != nil || fields == nil || fields["text"] == nil {
		return false
	}
	// Every name stands once, if as many stand there as are left.
	names := 0
	tokens := json.NewDecoder(bytes.NewReader(body))
	for depth := 0; ; {
		token, err := tokens.Token()
		if err != nil {
			break
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if depth != 1 {
				return false // no field holds an object
			}
			names++
		}
	}
	if names != 2*len(fields) {
		return false
	}
	for name, value := range fields {
		var text *string
		if json.Unmarshal(value, &text) != nil || text == nil {
			return false
		}
		switch name {
		case "text":
		case "seen_at":
			at, err := time.Parse(time.RFC3339, *text)
			if err != nil || len(*text) < 20 || (*text)[13] != ':' || strings.Contains(*text, ",") || at.UTC().Year() < 1 || at.UTC().Year() > 9999 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// complete says whether a form of a look-up keeps to the specification.
func complete(boundary string, body []byte) bool {
	seen := map[string]bool{}
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return seen["file"]
		}
		if err != nil {
			return false
		}
		content, err := io.ReadAll(part)
		name := part.FormName()
		if err != nil || seen[name] || name != "file" && name != "seen_at" {
			return false
		}
		if at, err := time.Parse(time.RFC3339, string(content)); name == "seen_at" && (err != nil || len(content) < 20 || at.IsZero()) {
			return false
		}
		seen[name] = true
	}
}

// TestGenerated: whatever is asked, the answer is one of the specification and
// no failure of the server, and a body that breaks its schema is not taken.
func TestGenerated(t *testing.T) {
	h := newHouse(t, options{})
	key := h.key("")
	rng := rand.New(rand.NewPCG(2026, 11))
	document := h.register("a.txt", prose(5, 60)).ID
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	noise := func() string {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	value := func() string {
		return pick(`""`, `"a"`, `null`, `0`, `-1`, `1e400`, `true`, `[]`, `{}`, `["a"]`, `{"a":1,"a":2}`, `"\ud800"`, `"2026-01-01T00:00:00Z"`, `"2026-13-01T00:00:00Z"`,
			`"\u0000"`, `"`+strings.Repeat("x", 2000)+`"`, `nul`, `"`, "\xff", `"a/b"`, `"../a"`)
	}
	object := func() string {
		if rng.IntN(10) == 0 {
			return pick(value(), noise(), "", "{", "[]]", "{}{}")
		}
		var fields []string
		for range rng.IntN(4) {
			fields = append(fields, fmt.Sprintf("%q:%s", pick("text", "text", "seen_at", "title", "classification", "published_at", "source", "prefix", "department", "collection", "name", "kind", "density", "Text", "x"), value()))
		}
		return "{" + strings.Join(fields, ",") + "}" + pick("", "", "", "", " ", "x", "{}")
	}
	partForm := func() (string, []byte) {
		var fields []field
		for range rng.IntN(4) {
			f := field{name: pick("file", "file", "seen_at", "title", "department", "collection", "source", "published_at", "classification", "x", ""), value: pick("", "a", noise(), "2026-01-01T00:00:00Z")}
			if f.name == "file" {
				f.file = pick("a.txt", "a.txt", "", "../b", "ü", "\x00")
			}
			fields = append(fields, f)
		}
		contentType, body := form(fields...)
		switch rng.IntN(5) {
		case 0:
			body = body[:rng.IntN(len(body))]
		case 1:
			body[rng.IntN(len(body))] = byte(rng.Uint32())
		case 2:
			contentType = pick("multipart/form-data", "multipart/form-data; boundary=x", contentType)
		}
		return contentType, body
	}
	paths := slices.Sorted(maps.Keys(h.server.spec.Paths.Map()))
	statuses := map[int]int{}
	rounds := 1500
	if testing.Short() {
		rounds = 500
	}
	for i := range rounds {
		path := paths[rng.IntN(len(paths))]
		method := pick("GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW")
		if rng.IntN(5) > 0 {
			method = pick(slices.Sorted(maps.Keys(h.server.spec.Paths.Value(path).Operations()))...)
		}
		if rng.IntN(3) == 0 {
			path, method = "/v1/match", "POST"
		}
		path = strings.ReplaceAll(path, "{id}", pick(document, "doc_a", "job_a", "a", noise(), "doc_%41"))
		path = strings.ReplaceAll(path, "{page}", pick("1", "0", "x", "1e3", noise()))
		if rng.IntN(20) == 0 {
			path = "/" + noise()
		}
		if rng.IntN(3) == 0 {
			path += "?" + pick("limit", "cursor", "status", "department", "collection", "source", "suppressed", "seen_at", "version", "x") + "=" + pick("1", "0", "true", "ok", "a", "%zz", ";", noise())
		}
		if method == "DELETE" && strings.Contains(path, document) {
			continue
		}
		contentType, body := pick("application/json", "application/json", "", "text/plain", "image/png", "application/json; charset=x", noise()), []byte(object())
		if rng.IntN(3) == 0 {
			contentType, body = partForm()
		}
		r := asks(key, method, path, contentType, body)
		if rng.IntN(10) == 0 {
			r.Header.Set(pick("Last-Event-ID", "Authorization", "Accept", "Content-Length", "X-Request-Id"), noise())
		}
		if rng.IntN(10) == 0 {
			r.ContentLength = -1
		}
		answer, err := h.direct(r)
		statuses[answer.status]++
		if err != nil || answer.status >= 500 {
			t.Errorf("round %d: %s %q %q %q: %d %s: %v", i, method, path, contentType, body, answer.status, answer.body, err)
		}
		if answer.status == 200 && r.URL.Path == "/v1/match" && method == "POST" && strings.HasPrefix(contentType, "application/json") && !acceptable(body) {
			t.Errorf("round %d: taken although it breaks the specification: %q", i, body)
		}
		if i%500 == 0 {
			h.get("/readyz").want(200)
		}
	}
	t.Logf("answers by status: %v", statuses)
	for _, status := range []int{200, 400, 401, 404, 405, 415} {
		if statuses[status] == 0 {
			t.Errorf("the requests are too uniform: none is answered with %d", status)
		}
	}
	if log := h.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Error(log)
	}
}

func FuzzMatchJSON(f *testing.F) {
	h := newHouse(f, options{})
	key := h.key("")
	for _, seed := range []string{
		`{"text":"a"}`, `{"text":"a","seen_at":"2026-01-01T00:00:00Z"}`, `{"text":"a","text":"b"}`, `{"text":"\ud800"}`, `{}`, `null`, `[1]`, `{"text":{"a":[]}}`,
		`{"text":"a"} `, `{"text":"a"}x`, "{\"text\":\"\xff\"}", `{"text":"a","seen_at":"2026-01-01T0:00:00Z"}`, `{"Text":"a"}`, `{"text":1e999}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := h.direct(asks(key, "POST", "/v1/match", "application/json", body))
		want := http.StatusBadRequest
		if acceptable(body) {
			want = http.StatusOK
		}
		if err != nil || answer.status != want {
			t.Errorf("%d, want %d: %s: %v", answer.status, want, answer.body, err)
		}
	})
}

func FuzzMatchForm(f *testing.F) {
	h := newHouse(f, options{})
	key := h.key("")
	const boundary = "b"
	part := func(header, content string) string {
		return "--b\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + content + "\r\n"
	}
	file := part(`name="file"; filename="a.txt"`, "a text")
	for _, seed := range []string{
		file + "--b--\r\n", file + "--b--", file, file + file + "--b--\r\n", part(`name="seen_at"`, "2026-01-01T00:00:00Z") + file + "--b--\r\n",
		part(`name="x"`, "1") + file + "--b--\r\n", "--b--", "", file + "--b", part(`name="file"`, "%PDF-1.4") + "--b--\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := h.direct(asks(key, "POST", "/v1/match", "multipart/form-data; boundary="+boundary, body))
		if err != nil || answer.status != 200 && answer.status != 400 {
			t.Errorf("%d: %s: %v", answer.status, answer.body, err)
		}
		if answer.status == 200 && !complete(boundary, body) {
			t.Errorf("taken although it breaks the specification: %q", body)
		}
	})
}
