package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestSpecification: the document is valid OpenAPI, and what is served is it.
func TestSpecification(t *testing.T) {
	h := newHouse(t, options{})
	served := do(t, h.bare, h.request("GET", "/openapi.yaml", nil)).want(200)
	if string(served.body) != string(specification) {
		t.Error("what is served is not the specification")
	}
	spec, err := openapi3.NewLoader().LoadFromData(served.body)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(context.Background()); err != nil {
		t.Error(err)
	}
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.OperationID == "" || operation.Summary == "" || len(operation.Tags) != 1 || operation.Responses.Default() == nil {
				t.Errorf("%s %s lacks an id, a summary, a tag or the problem", method, path)
			}
		}
	}
}

// TestRoutes: the server has the routes of the specification and no others but
// the console.
func TestRoutes(t *testing.T) {
	h := newHouse(t, options{})
	var specified, served []string
	for path, item := range h.server.spec.Paths.Map() {
		for method := range item.Operations() {
			specified = append(specified, method+" "+path)
		}
	}
	for _, r := range h.server.echo.Routes() {
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		if r.Path != "/" {
			served = append(served, r.Method+" "+strings.Join(parts, "/"))
		}
	}
	slices.Sort(specified)
	slices.Sort(served)
	if !slices.Equal(specified, served) {
		t.Errorf("specified:\n%s\nserved:\n%s", strings.Join(specified, "\n"), strings.Join(served, "\n"))
	}
}

// TestProtected: everything but the state of the service asks for a key.
func TestProtected(t *testing.T) {
	h := newHouse(t, options{})
	open := []string{"/livez", "/readyz", "/metrics", "/openapi.yaml"}
	for path, item := range h.server.spec.Paths.Map() {
		url := strings.NewReplacer("{id}", "doc_a", "{page}", "1").Replace(path)
		for method := range item.Operations() {
			r := do(t, h.bare, h.request(method, url, nil))
			switch {
			case slices.Contains(open, path):
				r.want(200)
			case r.status != 401 || r.header.Get("WWW-Authenticate") == "":
				t.Errorf("%s %s without a key: %d", method, path, r.status)
			}
		}
	}
}

// TestOtherMethods: HEAD is refused like every other method that a route does
// not have; OPTIONS tells which it has, without a key.
func TestOtherMethods(t *testing.T) {
	h := newHouse(t, options{})
	for path, allowed := range map[string][]string{
		"/livez":                 {"GET"},
		"/v1/match":              {"POST"},
		"/v1/documents":          {"GET", "POST"},
		"/v1/collections":        {"GET", "POST"},
		"/v1/documents/doc_a":    {"DELETE", "GET", "PATCH"},
		"/v1/registrations/job_": {"DELETE", "GET"},
	} {
		for _, method := range []string{"HEAD", "OPTIONS", "PUT", "TRACE", "BREW"} {
			r := do(t, h.bare, h.request(method, path, nil))
			want := http.StatusMethodNotAllowed
			if method == "OPTIONS" {
				want = http.StatusNoContent
			}
			r.want(want)
			if method == "HEAD" && len(r.body) > 0 {
				t.Errorf("HEAD %s has a body", path)
			}
			var allow []string
			for _, m := range strings.Split(r.header.Get("Allow"), ",") {
				if m = strings.TrimSpace(m); m != "OPTIONS" {
					allow = append(allow, m)
				}
			}
			slices.Sort(allow)
			if !slices.Equal(allow, allowed) {
				t.Errorf("%s %s: Allow %q, want %q", method, path, allow, allowed)
			}
		}
	}
	for _, method := range []string{"HEAD", "OPTIONS", "GET", "BREW"} {
		do(t, h.bare, h.request(method, "/v2/match", nil)).want(404)
		do(t, h.http, h.request(method, "/v1/documents/doc_a/", nil)).want(404)
	}
}

// TestHealth: the service is ready while index and registry answer.
func TestHealth(t *testing.T) {
	h := newHouse(t, options{})
	do(t, h.bare, h.request("GET", "/livez", nil)).want(200)
	do(t, h.bare, h.request("GET", "/readyz", nil)).want(200)
	for _, path := range []string{"/readyz?verbose", "/readyz?verbose=1"} {
		if got := string(do(t, h.bare, h.request("GET", path, nil)).want(200).body); !strings.Contains(got, "recognition (OCR): tesseract 5") {
			t.Errorf("%s says %q", path, got)
		}
	}
	metrics := string(do(t, h.bare, h.request("GET", "/metrics", nil)).want(200).body)
	for _, name := range []string{"sealprint_documents 0", "sealprint_index_postings 0", "sealprint_http_request_duration_seconds_count"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("the metrics lack %q", name)
		}
	}
	h.server.Close()
	do(t, h.bare, h.request("GET", "/livez", nil)).want(200)
	do(t, h.bare, h.request("GET", "/readyz", nil)).want(503)
}

// TestReadiness: a store that does not answer makes the service unready, and
// what needs it a problem.
func TestReadiness(t *testing.T) {
	h := newHouse(t, options{})
	if err := h.registry.Close(); err != nil {
		t.Fatal(err)
	}
	do(t, h.bare, h.request("GET", "/readyz", nil)).want(503)
	h.get("/v1/documents").want(503)
	h.get("/v1/index").want(503)
	do(t, h.bare, h.request("GET", "/livez", nil)).want(200)
}
