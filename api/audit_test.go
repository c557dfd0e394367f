package api

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// TestAudit: look-ups, registrations, releases, decisions and readings of evidence are
// recorded with who and what, never with content; each department's auditor sees its own.
func TestAudit(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(90, 200)
	finance := h.as(h.keyOf(auth.Admin, "finance"))
	h.upload(finance, "/v1/documents", field{"file", text, "a.txt"}).want(201)
	request := h.request("POST", "/v1/match", strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)), "Content-Type", "application/json", "X-Purpose", "complaint 7")
	d := read[MatchAnswer](do(t, finance, request).want(200)).Matches[0].Document
	do(t, finance, h.request("POST", "/v1/documents/"+d.ID+"/releases", strings.NewReader(`{"authority":"press wing"}`), "Content-Type", "application/json")).want(201)
	do(t, finance, h.request("GET", "/v1/documents/"+d.ID, nil)).want(200)
	do(t, finance, h.request("GET", "/v1/documents/"+d.ID+"/pages/1", nil))
	do(t, finance, h.request("DELETE", "/v1/documents/doc_absent", nil)).want(404)
	posts := fmt.Sprintf("{\"id\":\"p1\",\"text\":%q}\n{\"id\":\"p2\",\"text\":\"nothing\"}\n", text)
	do(t, h.http, h.request("POST", "/v1/posts", strings.NewReader(posts), "Content-Type", "application/x-ndjson")).want(200)

	auditor := h.as(h.keyOf(auth.Auditor, "finance"))
	r := do(t, auditor, h.request("GET", "/v1/audit", nil)).want(200)
	var said []string
	for _, a := range read[AuditList](r).Items {
		said = append(said, a.Action+" "+a.Outcome)
		if a.Department != "finance" || a.Principal == "" || a.RequestID == "" || time.Since(a.At) > time.Minute {
			t.Errorf("%+v", a)
		}
		if a.Action == "match" && (a.Purpose != "complaint 7" || len(a.Targets) != 1 || a.Targets[0] != d.ID || a.Size != int64(len(text))) {
			t.Errorf("%+v", a)
		}
	}
	want := "registerDocument begun, registerDocument registered, match unauthorized, releaseDocument begun, releaseDocument ok, getDocument ok, " +
		"readPage not-found, deleteDocument begun, deleteDocument not-found"
	if strings.Join(said, ", ") != want {
		t.Errorf("recorded:\n%s\nnot:\n%s", strings.Join(said, ", "), want)
	}
	all := read[AuditList](do(t, h.as(h.keyOf(auth.Auditor, "")), h.request("GET", "/v1/audit?action=takePosts", nil)).want(200))
	if len(all.Items) != 3 || all.Items[1].Outcome == all.Items[2].Outcome {
		t.Errorf("%+v", all.Items)
	}
	for _, secret := range []string{text[:30], "nothing", "press wing"} {
		if strings.Contains(string(r.body), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for q, n := range map[string]int{"?target=" + d.ID: 6, "?action=match": 1, "?principal=nobody": 0, "?from=2099-01-01T00:00:00Z": 0, "?limit=2": 2} {
		if got := read[AuditList](do(t, auditor, h.request("GET", "/v1/audit"+q, nil)).want(200)); len(got.Items) != n {
			t.Errorf("%s: %d records, not %d", q, len(got.Items), n)
		}
	}
	do(t, auditor, h.request("GET", "/v1/audit?cursor=-", nil)).want(400)
	do(t, auditor, h.request("POST", "/v1/audit/verify", nil)).want(403)
	report := read[AuditReport](h.json("POST", "/v1/audit/verify", "").want(200))
	if report.Records < 15 || len(report.Problems) != 0 || !strings.HasPrefix(report.Checkpoint, "sealprint-audit-1 ") {
		t.Errorf("%+v", report)
	}
}

// TestFull: a full disk is told as what it is, wherever it was noticed.
func TestFull(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("append: %w", &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}),
		fmt.Errorf("%w: %w", errAudit, syscall.ENOSPC), fmt.Errorf("commit: %w", storage.ErrFull),
	} {
		if p := toProblem(err); p.Status != 507 {
			t.Errorf("%v is %d", err, p.Status)
		}
	}
}

// TestNotRecorded: what cannot be recorded is not done and not answered.
func TestNotRecorded(t *testing.T) {
	h := newHouse(t, options{})
	text := prose(91, 200)
	d := h.register("a.txt", text)
	if err := h.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if r := h.json("POST", "/v1/match", fmt.Sprintf(`{"text":%q}`, text)).want(503); strings.Contains(string(r.body), d.ID) {
		t.Errorf("%s", r.body)
	}
	h.json("DELETE", "/v1/documents/"+d.ID, "").want(503)
	h.json("POST", "/v1/keys", `{"role":"admin"}`).want(503)
	list := read[DocumentList](h.get("/v1/documents").want(200)) // a list is no evidence
	if len(list.Items) != 1 {
		t.Errorf("it was deleted without a record: %+v", list)
	}
	r := do(t, h.http, h.request("POST", "/v1/match/batch", strings.NewReader(`{"text":"a"}`), "Content-Type", "application/x-ndjson"))
	if r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
