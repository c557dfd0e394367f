package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/auth/authtest"
)

// tokensOf authenticates the tokens of a provider.
func tokensOf(t *testing.T, p *authtest.Provider, grants ...auth.GroupGrant) *auth.OIDC {
	t.Helper()
	tokens, err := auth.NewOIDC(auth.OIDCConfig{Issuer: p.Issuer, Audience: authtest.Audience, GroupsClaim: "groups", Grants: grants, Roots: p.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// granted is what members of a group may do.
func granted(group string, role auth.Role, department string) auth.GroupGrant {
	return auth.GroupGrant{Group: group, Grant: auth.Grant{Role: role, Department: department}}
}

// groups is what a token says of somebody.
func groups(sub string, groups ...string) authtest.Claims {
	return authtest.Claims{"sub": sub, "groups": groups}
}

// TestTokenProblems: a token that is not valid is 401, one without a role 403 with a reason,
// and while the provider does not answer all are 503; keys work all the while.
func TestTokenProblems(t *testing.T) {
	p := authtest.NewProvider(t)
	h := newHouse(t, options{tokens: tokensOf(t, p, granted("analysts", auth.Analyst, ""))})
	valid, unknown := p.Token(groups("a", "analysts")), p.Token(groups("a", "tourists"))
	get := func(token string) reply { return do(t, h.as(token), h.request("GET", "/v1/alerts", nil)) }
	p.Break(authtest.Down)
	for _, token := range []string{valid, unknown} {
		if problem := read[Problem](get(token).want(503)); problem.Type != "/problems/unavailable" || !strings.Contains(problem.Title, "provider") {
			t.Errorf("%+v", problem)
		}
	}
	h.get("/v1/alerts").want(200)
	get("sealprint_nonsense").want(401)
	p.Break(nil)
	for deadline := time.Now().Add(time.Minute); get(valid).status == 503; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the provider is not asked again")
		}
	}
	get(valid).want(200)
	if problem := read[Problem](get(unknown).want(403)); problem.Type != "/problems/forbidden" || !strings.Contains(problem.Detail, "group") {
		t.Errorf("%+v", problem)
	}
	overage := authtest.Claims{"_claim_names": map[string]string{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://192.0.2.1/"}}}
	if problem := read[Problem](get(p.Token(overage)).want(403)); !strings.Contains(problem.Detail, "too many") {
		t.Errorf("%+v", problem)
	}
	expired := p.Token(authtest.Claims{"groups": "analysts", "exp": time.Now().Add(-time.Hour).Unix()})
	for _, token := range []string{expired, valid[:len(valid)-1], valid + "a", "a.b.c", "", strings.Repeat("A.", 10000), valid + "." + valid} {
		r := get(token).want(401)
		if problem := read[Problem](r); problem.Type != "/problems/unauthenticated" || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%+v", problem)
		}
	}
	for _, secret := range []string{valid, unknown, strings.Split(valid, ".")[2], "tourists"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	// A deployment without a provider knows no tokens.
	other := newHouse(t, options{})
	do(t, other.as(valid), other.request("GET", "/v1/alerts", nil)).want(401)
}

// TestTokenOfTwoDepartments: who is in groups of two departments sees both and nothing else,
// and in each may do what the role there is for.
func TestTokenOfTwoDepartments(t *testing.T) {
	p := authtest.NewProvider(t)
	h := newHouse(t, options{tokens: tokensOf(t, p,
		granted("finance-registrars", auth.Registrar, "finance"), granted("finance-analysts", auth.Analyst, "finance"),
		granted("foreign-registrars", auth.Registrar, "foreign"), granted("foreign-analysts", auth.Analyst, "foreign/desk"),
		granted("finance-admins", auth.Admin, "finance"), granted("foreign-admins", auth.Admin, "foreign"),
	)})
	texts := map[string]string{"finance": prose(201, 150), "foreign": prose(202, 150), "foreign/desk": prose(203, 150), "law": prose(204, 150), "financexyz": prose(205, 150)}
	documents := map[string]string{}
	for department, text := range texts {
		documents[department] = h.register(department+".txt", text, field{"department", department, ""}).ID
	}
	h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p","text":%q}`, strings.Join([]string{texts["finance"], texts["foreign"], texts["foreign/desk"], texts["law"]}, " "))).want(200)

	sees := func(client *http.Client) []string {
		var seen []string
		for _, d := range read[DocumentList](do(t, client, h.request("GET", "/v1/documents", nil)).want(200)).Items {
			seen = append(seen, d.Department)
		}
		slices.Sort(seen)
		return seen
	}
	two := h.as(p.Token(groups("two", "finance-registrars", "foreign-registrars", "unknown")))
	if seen := sees(two); !slices.Equal(seen, []string{"finance", "foreign", "foreign/desk"}) {
		t.Errorf("sees %v", seen)
	}
	for department, id := range documents {
		want := 200
		if department == "law" || department == "financexyz" {
			want = 404
		}
		do(t, two, h.request("GET", "/v1/documents/"+id, nil)).want(want)
	}
	// What is registered goes where the caller says, as nobody else can tell, and nowhere else.
	h.upload(two, "/v1/documents", field{"file", prose(206, 150), "new.txt"}).want(400)
	h.upload(two, "/v1/documents", field{"department", "law", ""}, field{"file", prose(206, 150), "new.txt"}).want(403)
	h.upload(two, "/v1/documents", field{"department", "foreign", ""}, field{"file", prose(206, 150), "new.txt"}).want(201)

	// A registrar of finance, an analyst of a desk: each only there.
	mixed := h.as(p.Token(groups("mixed", "finance-registrars", "foreign-analysts")))
	if seen := sees(mixed); !slices.Equal(seen, []string{"finance", "foreign/desk"}) {
		t.Errorf("sees %v", seen)
	}
	release := func(department string) reply {
		return do(t, mixed, h.request("POST", "/v1/documents/"+documents[department]+"/releases", strings.NewReader(`{"authority":"a"}`), "Content-Type", "application/json"))
	}
	release("finance").want(201)
	release("foreign/desk").want(404)
	for department, text := range texts {
		if answer := h.lookUpText(mixed, text, "?suppressed=true"); (len(answer.Matches) == 1) != (department == "foreign/desk") {
			t.Errorf("%s: %+v", department, answer.Matches)
		}
	}
	alerts := read[AlertList](do(t, mixed, h.request("GET", "/v1/alerts", nil)).want(200)).Items
	if len(alerts) != 1 || alerts[0].Document.ID != documents["foreign/desk"] {
		t.Errorf("%+v", alerts)
	}

	// An administrator of two gives away no more than one of them at a time.
	admin := h.as(p.Token(groups("chief", "finance-admins", "foreign-admins")))
	create := func(body string) reply {
		return do(t, admin, h.request("POST", "/v1/keys", strings.NewReader(body), "Content-Type", "application/json"))
	}
	create(`{"role":"analyst"}`).want(400)
	create(`{"role":"analyst","department":"law"}`).want(403)
	create(`{"role":"analyst","department":"foreign"}`).want(201)
	do(t, admin, h.request("GET", "/v1/index", nil)).want(403)
}

// TestTokenOfAnAnalystWhoMonitors: what somebody may look up everywhere as a monitor, they
// read only where they are an analyst.
func TestTokenOfAnAnalystWhoMonitors(t *testing.T) {
	p := authtest.NewProvider(t)
	h := newHouse(t, options{tokens: tokensOf(t, p, granted("analysts", auth.Analyst, "finance"), granted("monitors", auth.Monitor, ""))})
	texts := map[string]string{"finance": prose(211, 150), "foreign": prose(212, 150)}
	for department, text := range texts {
		h.register("a.txt", text, field{"department", department, ""}, field{"title", "Title of " + department, ""})
	}
	both := h.as(p.Token(groups("both", "monitors", "analysts")))
	for _, text := range []string{texts["finance"] + " " + texts["foreign"], texts["finance"][:45], texts["foreign"][:45]} {
		r := do(t, both, h.request("POST", "/v1/match?suppressed=true&explain=true", strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)), "Content-Type", "application/json")).want(200)
		if strings.Contains(string(r.body), "Title of foreign") {
			t.Errorf("an analyst of finance reads %s", r.body)
		}
		answer := read[MatchAnswer](r)
		for _, m := range answer.Matches {
			if reads := m.Document.Department == "finance"; (len(m.Passages) > 0) != reads || (m.Document.Title != "") != reads {
				t.Errorf("%+v", m)
			}
		}
		if len(text) > 1000 && len(answer.Matches) != 2 {
			t.Errorf("%+v", answer.Matches)
		}
	}
}

// TestTokenRecorded: what people do is recorded with who they are to the provider, and can
// be told from what keys do; a department's auditor sees those who reach no further.
func TestTokenRecorded(t *testing.T) {
	p := authtest.NewProvider(t)
	h := newHouse(t, options{tokens: tokensOf(t, p,
		granted("finance-admins", auth.Admin, "finance"), granted("finance-analysts", auth.Analyst, "finance/budget"), granted("monitors", auth.Monitor, "finance"),
		granted("foreign-analysts", auth.Analyst, "foreign"),
	)})
	text := prose(220, 150)
	d := h.register("a.txt", text, field{"department", "finance/budget", ""})
	h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p","text":%q}`, text)).want(200)
	subject := strings.Repeat("a", 251) + "|b@c" // as long as one may be
	chief := h.as(p.Token(groups(subject, "finance-admins")))
	k := read[NewKey](do(t, chief, h.request("POST", "/v1/keys", strings.NewReader(`{"role":"analyst"}`), "Content-Type", "application/json")).want(201))
	if k.CreatedBy != "oidc:"+subject || k.Department != "finance" {
		t.Errorf("%+v", k)
	}
	r := read[Release](do(t, chief, h.request("POST", "/v1/documents/"+d.ID+"/releases", strings.NewReader(`{"authority":"a"}`), "Content-Type", "application/json")).want(201))
	if r.CreatedBy != "oidc:"+subject {
		t.Errorf("%+v", r)
	}
	do(t, chief, h.request("DELETE", "/v1/keys/"+k.ID, nil)).want(200)

	analyst := h.as(p.Token(groups("dina", "monitors", "finance-analysts")))
	alert := read[AlertList](do(t, analyst, h.request("GET", "/v1/alerts", nil)).want(200)).Items[0]
	detail := read[AlertDetail](do(t, analyst, h.request("POST", "/v1/alerts/"+alert.ID+"/disposition", strings.NewReader(`{"state":"public_quotation","reason":"a","exclude_until":"`+
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`), "Content-Type", "application/json")).want(200))
	if last := detail.History[len(detail.History)-1]; last.Actor != "oidc:dina" {
		t.Errorf("%+v", last)
	}
	h.lookUpText(analyst, "nothing", "")
	h.lookUpText(h.as(p.Token(groups("erik", "finance-analysts", "foreign-analysts"))), "nothing", "")

	said := func(client *http.Client, principal string) []string {
		var said []string
		for _, a := range read[AuditList](do(t, client, h.request("GET", "/v1/audit"+query("principal", principal), nil)).want(200)).Items {
			said = append(said, fmt.Sprintf("%s as %s in %s: %s", a.Action, a.Role, a.Department, a.Outcome))
		}
		return said
	}
	all, finance, foreign := h.as(h.keyOf(auth.Auditor, "")), h.as(h.keyOf(auth.Auditor, "finance")), h.as(h.keyOf(auth.Auditor, "foreign"))
	for principal, want := range map[string][]string{
		"oidc:" + subject: {
			"createKey as admin in finance: begun", "createKey as admin in finance: ok", "releaseDocument as admin in finance: begun", "releaseDocument as admin in finance: ok",
			"revokeKey as admin in finance: begun", "revokeKey as admin in finance: ok",
		},
		"oidc:dina": {
			"decideAlert as analyst in finance/budget: begun", "decideAlert as analyst in finance/budget: public_quotation", "match as analyst,monitor in finance/budget,finance: too_short",
		},
	} {
		for _, client := range []*http.Client{all, finance} {
			if got := said(client, principal); !slices.Equal(got, want) {
				t.Errorf("of %s is recorded:\n%s", principal, strings.Join(got, "\n"))
			}
		}
		if got := said(foreign, principal); got != nil {
			t.Errorf("another department's auditor sees %v", got)
		}
	}
	if got := said(all, "oidc:erik"); !slices.Equal(got, []string{"match as analyst in finance/budget,foreign: too_short"}) {
		t.Errorf("%v", got)
	}
	if got := append(said(finance, "oidc:erik"), said(foreign, "oidc:erik")...); got != nil {
		t.Errorf("one department's auditor sees what concerns another's: %v", got)
	}
}

// TestManyDepartments: as many branches as a caller may have fit into queries and records.
func TestManyDepartments(t *testing.T) {
	p := authtest.NewProvider(t)
	var grants []auth.GroupGrant
	for i := range 100 {
		grants = append(grants, granted("everybody", auth.Analyst, fmt.Sprint(strings.Repeat("ministry", 20), i)))
	}
	h := newHouse(t, options{tokens: tokensOf(t, p, grants...)})
	text := prose(230, 150)
	d := h.register("a.txt", text, field{"department", grants[99].Department + "/desk", ""})
	h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":"p","text":%q}`, text)).want(200)
	client := h.as(p.Token(groups("all", "everybody")))
	if answer := h.lookUpText(client, text, ""); len(answer.Matches) != 1 {
		t.Errorf("%+v", answer)
	}
	do(t, client, h.request("GET", "/v1/documents/"+d.ID, nil)).want(200)
	for _, path := range []string{"/v1/documents", "/v1/alerts"} {
		if r := do(t, client, h.request("GET", path, nil)).want(200); !strings.Contains(string(r.body), d.ID) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	do(t, client, h.request("GET", "/v1/collections", nil)).want(200)
	records := read[AuditList](h.get("/v1/audit?principal=oidc:all").want(200)).Items
	if len(records) != 2 || !strings.HasSuffix(records[0].Department, ",…") {
		t.Errorf("%+v", records)
	}
}
