package api

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/auth/authtest"
)

var roles = []auth.Role{auth.Admin, auth.Registrar, auth.Analyst, auth.Monitor, auth.Auditor}

// bodies are what operations that need a body are asked with; what is not named here needs
// none, or is refused for its body, which comes after the question who asks.
var bodies = map[string]string{
	"match": `{"text":"a"}`, "createEvidence": `{"text":"a"}`, "compare": `{"text":"a","document":"b"}`, "patchDocument": `{}`, "createCollection": `{"name":"mine"}`,
	"startRegistration": `{"source":"none"}`, "releaseDocument": `{"authority":"a"}`, "withdrawDocument": `{"reason":"a"}`,
	"takePosts": `{"id":"a","text":"a"}`, "decideAlert": `{"state":"triage","reason":"a"}`, "requestRemoval": `{"post":"a","requester":"a","instrument":"a"}`, "createKey": `{"role":"analyst"}`,
	"createWebhook": `{"url":"https://192.0.2.1/","events":["alert.created"]}`, "patchWebhook": `{}`, "replayWebhook": `{"from":"2026-01-01T00:00:00Z"}`,
	"noticeObjects": `{}`, "noticeObjectsByURL": `{}`,
}

// TestRoles walks every operation with every role, by key and by token: who may not is
// refused, whatever they ask for, and who may is not.
func TestRoles(t *testing.T) {
	provider := authtest.NewProvider(t)
	var grants []auth.GroupGrant
	for _, r := range roles {
		grants = append(grants, auth.GroupGrant{Group: "group of " + string(r), Grant: auth.Grant{Role: r}})
	}
	h := newHouse(t, options{tokens: tokensOf(t, provider, grants...)})
	type caller struct {
		role auth.Role
		by   string
		says string // who it is
		*http.Client
	}
	var callers []caller
	for _, r := range roles {
		token := provider.Token(authtest.Claims{"groups": []string{"group of " + string(r)}})
		key := h.keyOf(r, "")
		callers = append(callers, caller{r, "key", key, h.as(key)}, caller{r, "token", token, h.as(token)})
	}
	walked := 0
	for path, item := range h.server.spec.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Security != nil && len(*operation.Security) == 0 {
				continue
			}
			for _, c := range callers {
				kind := "doc"
				for prefix, other := range map[string]string{"/v1/registrations/": "job", "/v1/alerts/": "alr", "/v1/webhooks/": "whk", "/v1/keys/": "key"} {
					if strings.HasPrefix(path, prefix) {
						kind = other
					}
				}
				id := kind + "_absent"
				if kind == "key" {
					id = "absent"
				}
				url := strings.NewReplacer("{id}", id, "{page}", "1", "{release}", "rel_absent", "{source}", "absent", "{token}", c.says).Replace(path)
				request := h.request(method, url, nil)
				if body, ok := bodies[operation.OperationID]; ok {
					request = h.request(method, url, strings.NewReader(body), "Content-Type", "application/json")
				}
				r := do(t, c.Client, request)
				may := c.role == auth.Admin || slices.Contains(h.server.roles[operation], c.role)
				if refused := r.status == http.StatusForbidden; refused == may || r.status == http.StatusUnauthorized {
					t.Errorf("%s as %s by %s: %d", operation.OperationID, c.role, c.by, r.status)
				}
				walked++
			}
		}
	}
	if walked < 300 {
		t.Errorf("only %d questions were asked", walked)
	}
}

// TestMonitor: a monitor sees which documents, of which departments, and nothing of what
// they say.
func TestMonitor(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(70, 200)
	d := h.register("secret-name.txt", text, field{"department", "finance", ""}, field{"title", "Secret title", ""}, field{"classification", "secret", ""})
	monitor := h.as(h.keyOf(auth.Monitor, ""))
	for _, query := range []string{"", "?suppressed=true&explain=true"} {
		r := do(t, monitor, h.request("POST", "/v1/match"+query, strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)), "Content-Type", "application/json")).want(200)
		a := read[MatchAnswer](r)
		if len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || a.Matches[0].Document.Department != "finance" || a.Matches[0].Score < 0.5 {
			t.Fatalf("%+v", a)
		}
		for _, secret := range []string{"secret", "Secret", `"start"`, "characters stand"} {
			if strings.Contains(string(r.body), secret) {
				t.Errorf("a monitor sees %s: %s", secret, r.body)
			}
		}
	}
	short := do(t, monitor, h.request("POST", "/v1/match?explain=true", strings.NewReader(fmt.Sprintf(`{"text":%q}`, text[:45])), "Content-Type", "application/json")).want(200)
	if strings.Contains(string(short.body), "ecret") {
		t.Errorf("a monitor sees what was nearly found: %s", short.body)
	}
}

// TestKeys: keys do what they are made for until they end; nobody gives away more than they
// have.
func TestKeys(t *testing.T) {
	h := newHouse(t, options{})
	admin := h.as(h.key("finance"))
	create := func(client *http.Client, body string) reply {
		return do(t, client, h.request("POST", "/v1/keys", strings.NewReader(body), "Content-Type", "application/json"))
	}
	k := read[NewKey](create(admin, `{"role":"analyst","label":"desk 4"}`).want(201))
	if k.Department != "finance" || k.Role != "analyst" || !strings.HasPrefix(k.Key, "sealprint_") {
		t.Errorf("%+v", k)
	}
	create(admin, `{"role":"analyst","department":"foreign"}`).want(403)
	create(admin, `{"role":"tourist"}`).want(400)
	create(admin, `{"role":"analyst","expires_at":"2020-01-01T00:00:00Z"}`).want(400)
	below := read[NewKey](create(admin, `{"role":"admin","department":"finance/budget"}`).want(201))
	create(h.as(below.Key), `{"role":"analyst","department":"finance"}`).want(403)

	analyst := h.as(k.Key)
	do(t, analyst, h.request("GET", "/v1/alerts", nil)).want(200)
	do(t, analyst, h.request("GET", "/v1/keys", nil)).want(403)
	list := do(t, admin, h.request("GET", "/v1/keys", nil)).want(200)
	if keys := read[KeyList](list); len(keys.Items) != 3 || strings.Contains(string(list.body), k.Key) {
		t.Errorf("%s", list.body)
	}
	other := read[NewKey](create(h.http, `{"role":"analyst","department":"foreign"}`).want(201))
	do(t, admin, h.request("DELETE", "/v1/keys/"+other.ID, nil)).want(404)
	if revoked := read[Key](do(t, admin, h.request("DELETE", "/v1/keys/"+k.ID, nil)).want(200)); revoked.RevokedAt.IsZero() {
		t.Errorf("%+v", revoked)
	}
	do(t, analyst, h.request("GET", "/v1/alerts", nil)).want(401)

	soon := read[NewKey](create(admin, fmt.Sprintf(`{"role":"analyst","expires_at":%q}`, time.Now().Add(300*time.Millisecond).UTC().Format(time.RFC3339Nano))).want(201))
	do(t, h.as(soon.Key), h.request("GET", "/v1/alerts", nil)).want(200)
	time.Sleep(400 * time.Millisecond)
	do(t, h.as(soon.Key), h.request("GET", "/v1/alerts", nil)).want(401)
}

// TestReleases: a release switches the verdict in its time, and only for its document.
func TestReleases(t *testing.T) {
	h := newHouse(t, options{})
	text, other := prose(71, 200), prose(72, 200)
	d := h.register("a.txt", text, field{"department", "finance", ""})
	h.register("b.txt", other, field{"department", "finance", ""})
	registrar := h.as(h.keyOf(auth.Registrar, "finance"))
	at := func(days int) string {
		return time.Now().Add(time.Duration(days) * 24 * time.Hour).UTC().Format(time.RFC3339)
	}
	verdict := func(text string, days int) Verdict {
		return h.lookUpText(h.http, text, "?seen_at="+at(days)).Verdict
	}
	release := func(client *http.Client, id, body string) reply {
		return do(t, client, h.request("POST", "/v1/documents/"+id+"/releases", strings.NewReader(body), "Content-Type", "application/json"))
	}
	release(h.as(h.keyOf(auth.Registrar, "foreign")), d.ID, `{"authority":"a"}`).want(404)
	for body, want := range map[string]int{
		`{}`: 400, `{"authority":""}`: 400, `{"authority":"a","pages":["3-1"]}`: 400, `{"authority":"a","pages":[0]}`: 400, `{"authority":"a","pages":["x"]}`: 400,
		`{"authority":"a","passages":[{"page":1,"start":9,"end":4}]}`:                                  400,
		`{"authority":"a","from":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`:               400,
		`{"authority":"a","from":"2001-01-01T00:00:00Z","until":"2002-01-01T00:00:00Z","pages":["2"]}`: 201,
	} {
		release(registrar, d.ID, body).want(want)
	}
	r := read[Release](release(registrar, d.ID, fmt.Sprintf(`{"authority":"press wing","instrument":"No. 4","from":%q,"until":%q,"pages":[1,"2-3"]}`, at(-1), at(1))).want(201))
	for days, want := range map[int]Verdict{-2: "unauthorized", 0: "authorized", 2: "unauthorized"} {
		if got := verdict(text, days); got != want {
			t.Errorf("%d days from now it is %s, not %s", days, got, want)
		}
	}
	if got := verdict(other, 0); got != "unauthorized" {
		t.Errorf("another document is %s", got)
	}
	if got := verdict(text+" "+other, 0); got != "unauthorized" {
		t.Errorf("with another document it is %s", got)
	}
	a := h.lookUpText(h.http, text, "?suppressed=true")
	if len(a.Matches) != 1 || a.Matches[0].Disposition != "authorized_release" {
		t.Errorf("%+v", a)
	}
	list := read[ReleaseList](do(t, registrar, h.request("GET", "/v1/documents/"+d.ID+"/releases", nil)).want(200))
	if len(list.Items) != 2 || list.Items[1].ID != r.ID || fmt.Sprint(list.Items[1].Pages) != "[1 2-3]" {
		t.Errorf("%+v", list)
	}
	do(t, registrar, h.request("DELETE", "/v1/documents/"+d.ID+"/releases/"+r.ID, nil)).want(200)
	if got := verdict(text, 0); got != "unauthorized" {
		t.Errorf("after it was revoked it is %s", got)
	}
}

// TestWithdraw: a withdrawn document is found no more, and what it was stays.
func TestWithdraw(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(73, 200)
	d := h.register("a.txt", text)
	withdraw := func() reply {
		return do(t, h.http, h.request("POST", "/v1/documents/"+d.ID+"/withdraw", strings.NewReader(`{"reason":"superseded by No. 5"}`), "Content-Type", "application/json"))
	}
	detail := read[DocumentDetail](withdraw().want(200))
	if detail.WithdrawnAt.IsZero() || detail.WithdrawnReason != "superseded by No. 5" || len(detail.Versions) != 1 {
		t.Errorf("%+v", detail)
	}
	withdraw().want(409)
	if a := h.lookUpText(h.http, text, "?suppressed=true"); a.Verdict != "no_match" || len(a.Matches) != 0 {
		t.Errorf("%+v", a)
	}
	h.upload(h.http, "/v1/documents", field{"file", text, "a.txt"}).want(422)
}

// TestScopeOfAlerts: departments see their own alerts, and the alternate recipient those of
// a document.
func TestScopeOfAlerts(t *testing.T) {
	h := newHouse(t, options{})
	finance, foreign := prose(74, 200), prose(75, 200)
	a := h.register("a.txt", finance, field{"department", "finance", ""})
	b := h.register("b.txt", foreign, field{"department", "foreign", ""})
	h.json("PATCH", "/v1/documents/"+b.ID, `{"recipient":"inspector"}`).want(200)
	answer := read[PostAnswer](h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p","text":%q}`, finance+" "+foreign)).want(200))
	if answer.Verdict != "unauthorized" || len(answer.AlertIds) != 2 {
		t.Fatalf("%+v", answer)
	}
	for department, document := range map[string]string{"finance": a.ID, "inspector": b.ID, "foreign": "", "fin": ""} {
		client := h.as(h.keyOf(auth.Analyst, department))
		r := do(t, client, h.request("GET", "/v1/alerts", nil)).want(200)
		list := read[AlertList](r)
		switch {
		case document == "" && len(list.Items) != 0, document != "" && (len(list.Items) != 1 || list.Items[0].Document.ID != document):
			t.Errorf("%s sees %s", department, r.body)
		}
		seen := 0
		for _, id := range answer.AlertIds {
			if r := do(t, client, h.request("GET", "/v1/alerts/"+id, nil)); r.status == 200 {
				seen++
			} else {
				r.want(404)
				do(t, client, h.request("POST", "/v1/alerts/"+id+"/disposition", strings.NewReader(`{"state":"confirmed","reason":"a"}`), "Content-Type", "application/json")).want(404)
			}
		}
		if seen != len(list.Items) {
			t.Errorf("%s reads %d alerts of %d", department, seen, len(list.Items))
		}
	}
}

// TestRolesTable: docs/roles.md says who may call what, and what is recorded, as the
// specification does.
func TestRolesTable(t *testing.T) {
	h := newHouse(t, options{})
	content, err := os.ReadFile("../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "| `") {
			said[strings.TrimSpace(line)] = true
		}
	}
	for path, item := range h.server.spec.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Security != nil && len(*operation.Security) == 0 {
				continue
			}
			row := fmt.Sprintf("| `%s %s` |", method, path)
			for _, role := range roles {
				mark := ""
				if role == auth.Admin || slices.Contains(h.server.roles[operation], role) {
					mark = "✓"
				}
				row += " " + mark + " |"
			}
			kind, _ := operation.Extensions["x-audit"].(string)
			row += " " + kind + " |"
			if !said[row] {
				t.Errorf("docs/roles.md lacks:\n%s", row)
			}
			delete(said, row)
		}
	}
	for row := range said {
		t.Errorf("docs/roles.md has, and the specification has not:\n%s", row)
	}
}
