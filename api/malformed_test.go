package api

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sealprint/sealprint/ingest"
)

// valid makes a value that a schema allows: all required fields, and some of the others.
func valid(t *testing.T, rng *rand.Rand, s *openapi3.Schema) any {
	t.Helper()
	switch {
	case len(s.Enum) > 0:
		return s.Enum[rng.IntN(len(s.Enum))]
	case len(s.OneOf) > 0:
		return valid(t, rng, s.OneOf[rng.IntN(len(s.OneOf))].Value)
	case s.Type.Is("object"):
		o := map[string]any{}
		for name, p := range s.Properties {
			if slices.Contains(s.Required, name) || rng.IntN(2) == 0 {
				o[name] = valid(t, rng, p.Value)
			}
		}
		return o
	case s.Type.Is("array"):
		return []any{valid(t, rng, s.Items.Value)}
	case s.Type.Is("integer"), s.Type.Is("number"):
		if s.Min != nil {
			return *s.Min
		}
		return 1.0
	case s.Type.Is("boolean"):
		return rng.IntN(2) == 0
	}
	for _, candidate := range []string{"a text", "finance", "doc_a", "2026-01-01T00:00:00Z", "2.1", "1-2", "alr_a", "YQ==", "https://example.org/", "rel_a"} {
		if (s.Format != "date-time" || candidate[0] == '2' && len(candidate) > 10) && (s.Format != "byte" || candidate == "YQ==") && s.VisitJSON(candidate) == nil {
			return candidate
		}
	}
	t.Fatalf("no example of %+v", s)
	return nil
}

// spoiled makes copies of a value that a schema allows, each with one thing that it does
// not.
func spoiled(s *openapi3.Schema, value any) (all []any) {
	wrong := []any{nil, true, 1.5, "text", []any{}, map[string]any{}}
	kinds := map[string]int{"boolean": 1, "number": 2, "integer": -1, "string": 3, "array": 4, "object": 5}
	for i, w := range wrong {
		if own := kinds[strings.Join(s.Type.Slice(), "")]; len(s.Type.Slice()) == 1 && i != own {
			all = append(all, w)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		if s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has {
			for _, name := range []string{"author", "user_id", "Text", "x"} {
				more := maps.Clone(v)
				more[name] = "somebody"
				all = append(all, more)
			}
		}
		for _, name := range s.Required {
			less := maps.Clone(v)
			delete(less, name)
			all = append(all, less)
		}
		for name, inner := range v {
			for _, bad := range spoiled(s.Properties[name].Value, inner) {
				other := maps.Clone(v)
				other[name] = bad
				all = append(all, other)
			}
		}
	case []any:
		for _, bad := range spoiled(s.Items.Value, v[0]) {
			all = append(all, []any{bad})
		}
		if s.MaxItems != nil && *s.MaxItems < 2000 {
			all = append(all, slices.Repeat(v, int(*s.MaxItems)+1))
		}
	case string:
		if len(s.Enum) > 0 {
			all = append(all, "no such thing", strings.ToUpper(v))
		}
		if s.MaxLength != nil {
			all = append(all, strings.Repeat("a", int(*s.MaxLength)+1))
		}
		if s.MinLength > 0 || s.Pattern != "" && s.VisitJSON("") != nil {
			all = append(all, "")
		}
		if s.Format == "date-time" {
			all = append(all, "yesterday", "2026-02-30T00:00:00Z", "2026-01-01")
		}
		if s.Format == "byte" {
			all = append(all, "*")
		}
		if s.Pattern != "" {
			all = append(all, "\x01 ../")
		}
	case float64:
		if s.Min != nil {
			all = append(all, *s.Min-1)
		}
		if s.Max != nil {
			all = append(all, *s.Max+1)
		}
	}
	return all
}

var requests = flag.Int("requests", 1000, "how many malformed requests are made")

// TestMalformed: of many requests, each of which breaks the specification in one
// place, none is taken and none is a failure of the server. They are made from the
// specification, so that no operation is left out.
func TestMalformed(t *testing.T) {
	s := newShelf("bucket")
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}})
	key := h.key("")
	document := h.register("a.txt", prose(5, 60)).ID
	rng := rand.New(rand.NewPCG(7, 11))
	asked, operations := 0, map[string]int{}
	ask := func(operation, method, path, contentType string, body []byte, good func(reply) bool) {
		t.Helper()
		answer, err := h.direct(asks(key, method, path, contentType, body))
		asked++
		operations[operation]++
		if err != nil || !good(answer) {
			t.Errorf("%s %s %.300q: %d %.300s: %v", method, path, body, answer.status, answer.body, err)
		}
	}
	refused := func(r reply) bool { return r.status >= 400 && r.status < 500 }
	spec := h.server.spec.Paths.Map()
	for asked < *requests {
		for _, path := range slices.Sorted(maps.Keys(spec)) {
			for method, operation := range spec[path].Operations() {
				url := strings.NewReplacer("{id}", document, "{page}", "1", "{release}", "rel_a", "{source}", "shelf", "{token}", key).Replace(path)
				for prefix, id := range map[string]string{"/v1/registrations/": "job_a", "/v1/alerts/": "alr_a", "/v1/webhooks/": "whk_a", "/v1/keys/": "a"} {
					if rest, ok := strings.CutPrefix(path, prefix); ok {
						url = prefix + strings.Replace(rest, "{id}", id, 1)
					}
				}
				for _, p := range slices.Concat(spec[path].Parameters, operation.Parameters) {
					if p.Value.In != "query" {
						continue
					}
					for _, bad := range spoiled(p.Value.Schema.Value, valid(t, rng, p.Value.Schema.Value)) {
						text := fmt.Sprint(bad)
						if p.Value.Schema.Value.VisitJSON(text) == nil || bad == nil { // as text it is fine
							continue
						}
						if p.Value.Schema.Value.Type.Is("boolean") && text == "true" || p.Value.Schema.Value.Type.Is("number") && text == "1.5" {
							continue
						}
						request := asks(key, method, url, "application/json", []byte(`{}`))
						request.URL.RawQuery = p.Value.Name + "=" + strings.NewReplacer(" ", "%20", "\x01", "%01", "[", "%5B", "]", "%5D").Replace(text)
						answer, err := h.direct(request)
						asked++
						operations[operation.OperationID]++
						if err != nil || !refused(answer) {
							t.Errorf("%s %s: %d %.300s: %v", method, request.URL, answer.status, answer.body, err)
						}
					}
				}
				if operation.RequestBody == nil {
					continue
				}
				for contentType, media := range operation.RequestBody.Value.Content {
					schema := media.Schema.Value
					if contentType == "application/x-ndjson" {
						schema = h.server.spec.Components.Schemas[map[string]string{"takePosts": "Post", "matchBatch": "BatchLine"}[operation.OperationID]].Value
					} else if contentType != "application/json" {
						continue
					}
					for _, bad := range spoiled(schema, valid(t, rng, schema)) {
						body, err := json.Marshal(bad)
						if err != nil {
							t.Fatal(err)
						}
						good := refused
						if contentType == "application/x-ndjson" { // its line has the problem
							good = func(r reply) bool {
								var line struct{ Status int }
								first, _, _ := strings.Cut(string(r.body), "\n")
								return r.status == http.StatusOK && json.Unmarshal([]byte(first), &line) == nil && line.Status >= 400 && line.Status < 500
							}
						}
						ask(operation.OperationID, method, url, contentType, body, good)
					}
				}
			}
		}
	}
	for _, item := range spec {
		for _, operation := range item.Operations() {
			if operation.RequestBody != nil && operation.RequestBody.Value.Content["application/json"] != nil && operations[operation.OperationID] < 10 {
				t.Errorf("%s was asked %d times", operation.OperationID, operations[operation.OperationID])
			}
		}
	}
	if log := h.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log tells of a failure: %.2000s", log)
	}
	t.Logf("%d requests to %d operations", asked, len(operations))
}
