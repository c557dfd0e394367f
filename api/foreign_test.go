package api

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/ingest"
)

// changing is what differs from answer to answer whatever is asked.
var changing = regexp.MustCompile(`"(request_id|id|took_ms|index_version)":("[^"]*"|[0-9.e-]+),?`)

// TestForeign: whatever another department has, nobody can tell it from what there is not:
// not by any route, any list, any count, any look-up.
func TestForeign(t *testing.T) {
	s := newShelf("bucket", prose(300, 200), "%PDF-1.4 nothing behind it")
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "foreign", Collection: "acts"}}}})
	everything := func(department string) map[string]string {
		answers := map[string]string{}
		for _, role := range roles {
			client := h.as(h.keyOf(role, department))
			for _, path := range []string{
				"/v1/documents", "/v1/documents?status=ok", "/v1/collections", "/v1/registrations", "/v1/alerts", "/v1/webhooks", "/v1/coverage", "/v1/coverage/gaps", "/v1/activity", "/v1/index", "/v1/audit?action=none",
			} {
				answers[string(role)+" "+path] = changing.ReplaceAllString(string(do(t, client, h.request("GET", path, nil)).body), "")
			}
		}
		return answers
	}
	before := everything("finance")

	text := prose(301, 200)
	d := h.register("foreign-name.txt", text, field{"department", "foreign", ""}, field{"title", "Foreign title", ""})
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	h.eventually(func() bool { return read[Registration](h.get("/v1/registrations/"+job.ID).want(200)).State == "done" })
	release := read[Release](h.json("POST", "/v1/documents/"+d.ID+"/releases", `{"authority":"a","until":"2020-01-01T00:00:00Z"}`).want(201))
	hook := read[NewWebhook](h.json("POST", "/v1/webhooks", `{"url":"https://example.org/","events":["alert.created"],"department":"foreign"}`).want(201))
	key := read[NewKey](h.json("POST", "/v1/keys", `{"role":"analyst","department":"foreign"}`).want(201))
	post := read[PostAnswer](h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p1","text":%q}`, text)).want(200))
	if len(post.AlertIds) != 1 {
		t.Fatalf("%+v", post)
	}
	if after := everything("finance"); !maps.Equal(before, after) {
		for name, answer := range after {
			if answer != before[name] {
				t.Errorf("%s was %s and is %s", name, before[name], answer)
			}
		}
	}

	ids := map[string]string{"doc": d.ID, "job": job.ID, "alr": post.AlertIds[0], "whk": hook.ID, "key": key.ID}
	compared := 0
	for path, item := range h.server.spec.Paths.Map() {
		if !strings.Contains(path, "{") {
			continue
		}
		kind := "doc"
		for prefix, other := range map[string]string{"/v1/registrations/": "job", "/v1/alerts/": "alr", "/v1/webhooks/": "whk", "/v1/keys/": "key"} {
			if strings.HasPrefix(path, prefix) {
				kind = other
			}
		}
		for method, operation := range item.Operations() {
			for _, role := range roles {
				own := h.keyOf(role, "finance")
				answer := func(id, release, source string) string {
					url := strings.NewReplacer("{id}", id, "{page}", "1", "{release}", release, "{source}", source, "{token}", own).Replace(path)
					r := h.request(method, url, strings.NewReader(bodies[operation.OperationID]))
					if bodies[operation.OperationID] != "" {
						r.Header.Set("Content-Type", "application/json")
					}
					got := do(t, h.as(own), r)
					if got.status < 400 {
						t.Errorf("%s %s as %s: %d", method, path, role, got.status)
					}
					return fmt.Sprint(got.status, changing.ReplaceAllString(string(got.body), ""))
				}
				absent := strings.Repeat("a", 26)
				if kind != "key" {
					absent = kind + "_" + absent
				}
				foreign, none := answer(ids[kind], release.ID, "shelf"), answer(absent, "rel_"+strings.Repeat("a", 26), "none")
				if foreign != none {
					t.Errorf("%s %s as %s: %s, and if there is none %s", method, path, role, foreign, none)
				}
				compared++
			}
		}
	}
	if compared < 80 {
		t.Errorf("only %d answers were compared", compared)
	}

	// Look-ups of what is registered elsewhere are answered as those of what is not, with
	// whatever explanation, and after a multiple of the same time.
	analyst := h.as(h.keyOf(auth.Analyst, "finance"))
	other := prose(302, 200)
	for len([]rune(other)) < len([]rune(text)) {
		other += "a"
	}
	other = string([]rune(other)[:len([]rune(text))])
	for _, query := range []string{"", "?suppressed=true", "?explain=true", "?suppressed=true&explain=true"} {
		ask := func(text string) string {
			r := do(t, analyst, h.request("POST", "/v1/match"+query, strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)), "Content-Type", "application/json")).want(200)
			a := read[MatchAnswer](r)
			if a.TookMs < float64(textClass/time.Millisecond) || strings.Count(a.IndexVersion, "-") > 0 {
				t.Errorf("it took %v ms, version %s", a.TookMs, a.IndexVersion)
			}
			numbers := regexp.MustCompile(`"(normalized_characters|asked)":[0-9]+`)
			return numbers.ReplaceAllString(changing.ReplaceAllString(string(r.body), ""), "")
		}
		if foreign, none := ask(text), ask(other); foreign != none {
			t.Errorf("%s: %s, and if there is none %s", query, foreign, none)
		}
	}
	if !slices.Contains(read[MatchAnswer](h.ask(h.http, text)).Scope, "*") {
		t.Error("an administrator's look-up is that of a department")
	}
}
