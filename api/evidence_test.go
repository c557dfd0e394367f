package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image/png"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/evidence"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
)

// evidence asks for a report and verifies it.
func (h *house) evidence(client *http.Client, query, contentType string, body []byte, header ...string) (*evidence.Report, *evidence.Findings, reply) {
	h.t.Helper()
	r := do(h.t, client, h.request("POST", "/v1/evidence"+query, bytes.NewReader(body), append(header, "Content-Type", contentType)...)).want(200)
	report, signature, err := evidence.Verify(r.body)
	if err != nil {
		h.t.Fatal(err)
	}
	if !signature.PublicKey.Equal(evidence.PublicKey(h.server.Key)) {
		h.t.Error("another key signed it")
	}
	found, err := report.Findings()
	if err != nil {
		h.t.Fatal(err)
	}
	if want := fmt.Sprintf("attachment; filename=sealprint-evidence-%s.%s", found.ID, signature.Kind); r.header.Get("Content-Disposition") != want || r.header.Get("Content-Type") != signature.Kind.ContentType() {
		h.t.Errorf("the answer's header is %v, not %s", r.header, want)
	}
	return report, found, r
}

func jsonText(t testing.TB, text string) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestEvidence: a report has the answer, the suspect and what stands around passages in the
// documents that the caller may read; nothing of others; and who read what is recorded.
func TestEvidence(t *testing.T) {
	finance, foreign := prose(400, 600), prose(401, 200)
	s := newShelf("bucket", finance)
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}})
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	h.eventually(func() bool { return read[Registration](h.get("/v1/registrations/"+job.ID).want(200)).State == "done" })
	hidden := h.register("foreign-name.txt", foreign, field{"department", "foreign", ""}, field{"title", "Foreign title", ""})
	uploaded := h.register("uploaded.txt", prose(402, 200), field{"department", "finance", ""})

	key := read[NewKey](h.json("POST", "/v1/keys", `{"role":"analyst","department":"finance","label":"desk 4"}`).want(201))
	analyst := h.as(key.Key)
	leak := finance[1500:2000]
	text := "look at this: " + leak + " and this: " + foreign + " and that: " + prose(402, 200)
	for _, kind := range []string{"html", "json"} {
		report, found, r := h.evidence(analyst, "?seen_at=2026-05-06T07:08:09Z&format="+kind, "application/json", jsonText(t, text), "X-Purpose", "complaint 7")
		if len(found.Matches) != 2 || found.Verdict != "unauthorized" || found.Explanation.Threshold == 0 || !slices.Equal(found.Scope, []string{"finance"}) {
			t.Fatalf("%s: %+v", kind, found)
		}
		if report.MadeBy != (evidence.Maker{ID: key.ID, Label: "desk 4"}) || report.Purpose != "complaint 7" || report.SeenAt.Format(time.RFC3339) != "2026-05-06T07:08:09Z" ||
			report.Software != "sealprint test" || time.Since(report.MadeAt) > time.Minute || !strings.HasPrefix(report.AuditHead, "sealprint-audit-1 "+h.server.Key.ID()) {
			t.Errorf("%s: %+v", kind, report)
		}
		sum := sha256.Sum256([]byte(text))
		if s := report.Suspect; s.Kind != "text" || s.SHA256 != fmt.Sprintf("%x", sum) || s.Size != int64(len(text)) || len(s.Texts) != 1 || s.Texts[0].Excerpts[0].Text != text {
			t.Errorf("%s: %+v", kind, report.Suspect)
		}
		told := map[string]evidence.Page{}
		for _, p := range report.Pages {
			told[p.Document] = p
		}
		if p := told[uploaded.ID]; len(p.Excerpts) != 0 || p.Reason != "there is no source that it could be read from again" || p.Page != 1 {
			t.Errorf("%s: of an upload that nobody kept: %+v", kind, p)
		}
		delete(told, uploaded.ID)
		for _, p := range told {
			if p.Page != 1 || p.Reason != "" || p.Note != "" || p.Length != len([]rune(finance)) || len(p.Excerpts) != 1 {
				t.Fatalf("%s: %+v", kind, p)
			}
			e := p.Excerpts[0]
			if !strings.Contains(e.Text, leak[10:490]) || finance[e.Start:e.Start+len(e.Text)] != e.Text || len(e.Text) > len(leak)+2*evidenceContext+40 {
				t.Errorf("%s: %+v", kind, e)
			}
		}
		if len(told) != 1 {
			t.Errorf("%s: %+v", kind, report.Pages)
		}
		for _, secret := range []string{hidden.ID, "foreign-name", "Foreign title"} {
			if strings.Contains(string(r.body), secret) {
				t.Errorf("%s: the report has %s", kind, secret)
			}
		}
	}
	// The same text of a department that has none of it.
	if _, found, _ := h.evidence(h.as(h.keyOf(auth.Analyst, "health")), "", "application/json", jsonText(t, text)); len(found.Matches) != 0 || found.Verdict != "no_match" {
		t.Errorf("%+v", found)
	}

	// Of one document, as if there were no other.
	report, found, r := h.evidence(analyst, "?document="+uploaded.ID, "application/json", jsonText(t, text))
	if len(found.Matches) != 1 || found.Matches[0].Document.ID != uploaded.ID || report.Document != uploaded.ID || len(report.Pages) != 1 || strings.Contains(string(r.body), "00000.txt") {
		t.Errorf("%+v", found)
	}
	if _, found, _ = h.evidence(analyst, "?document="+uploaded.ID, "application/json", jsonText(t, leak)); found.Verdict != "no_match" || len(found.Matches) != 0 {
		t.Errorf("%+v", found)
	}
	h.json("POST", "/v1/documents/"+uploaded.ID+"/releases", `{"authority":"press wing"}`).want(201)
	if _, found, _ = h.evidence(analyst, "?document="+uploaded.ID, "application/json", jsonText(t, text)); found.Verdict != "authorized" || len(found.Matches) != 1 {
		t.Errorf("%+v", found)
	}
	for _, id := range []string{hidden.ID, "doc_absent"} {
		do(t, analyst, h.request("POST", "/v1/evidence?document="+id, bytes.NewReader(jsonText(t, text)), "Content-Type", "application/json")).want(404)
	}

	// A source that has changed.
	s.objects[0] = prose(403, 600)
	if report, _, _ := h.evidence(analyst, "", "application/json", jsonText(t, leak)); len(report.Pages) != 1 || report.Pages[0].Reason != "its source holds other bytes now" {
		t.Errorf("%+v", report.Pages)
	}

	auditor := h.as(h.keyOf(auth.Auditor, "finance"))
	log := do(t, auditor, h.request("GET", "/v1/audit?principal="+key.ID, nil)).want(200)
	var said []string
	for _, a := range read[AuditList](log).Items {
		if a.Action == "readPage" && (len(a.Targets) != 2 || a.Targets[1] != "1") {
			t.Errorf("%+v", a)
		}
		said = append(said, a.Action+" "+a.Outcome)
	}
	slices.Sort(said)
	want := []string{"createEvidence not-found", "createEvidence unauthorized", "readPage conflict", "readPage not-found", "readPage ok"}
	if !slices.Equal(slices.Compact(said), want) {
		t.Errorf("recorded: %q", said)
	}
	for _, secret := range []string{leak[:30], foreign[:30]} {
		if strings.Contains(string(log.body)+h.log.String(), secret) {
			t.Errorf("a log has %q", secret)
		}
	}
}

// TestEvidenceRefused: a report is made of what can be reported about.
func TestEvidenceRefused(t *testing.T) {
	h := newHouse(t, options{})
	grams := `{"fingerprints":{"key_id":"a","grams":""}}`
	for body, query := range map[string]string{`{"text":"a"}`: "?format=pdf", `{"text":"a","x":1}`: "", `{}`: "", grams: "", `{"text":"b"}`: "?document=alr_a"} {
		h.json("POST", "/v1/evidence"+query, body).want(400)
	}
	h.upload(h.http, "/v1/evidence", field{"seen_at", "2026-01-01T00:00:00Z", ""}).want(400)
	for _, role := range []auth.Role{auth.Registrar, auth.Monitor, auth.Auditor} {
		client := h.as(h.keyOf(role, ""))
		do(t, client, h.request("POST", "/v1/evidence", strings.NewReader(`{"text":"a"}`), "Content-Type", "application/json")).want(403)
		if k := read[EvidenceKey](do(t, client, h.request("GET", "/v1/evidence/key", nil)).want(200)); k != EvidenceKeyOf(h.server.Key) || len(k.PublicKey) != 64 {
			t.Errorf("%+v", k)
		}
	}
	if err := h.audit.Close(); err != nil {
		t.Fatal(err)
	}
	h.json("POST", "/v1/evidence", `{"text":"a"}`).want(503)
}

// TestEvidenceOfFile: a file is reported page by page, as it was read.
func TestEvidenceOfFile(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	content := sample(t, name)
	pages := pagesOf(t, content)
	h.register("minutes.txt", strings.Join(pages, "\n"))
	contentType, body := form(field{"seen_at", "2026-01-01T00:00:00Z", ""}, field{"file", string(content), "leak.pdf"})
	report, found, _ := h.evidence(h.http, "?format=json", contentType, body)
	sum := sha256.Sum256(content)
	if s := report.Suspect; found.Verdict != "unauthorized" || s.Kind != "file" || s.SHA256 != fmt.Sprintf("%x", sum) || s.Size != int64(len(content)) || len(s.Texts) != len(pages) {
		t.Fatalf("%+v", report.Suspect)
	}
	for i, text := range report.Suspect.Texts {
		if text.Page != i+1 || text.Excerpts[0].Text != pages[i] {
			t.Errorf("page %d: %+v", i+1, text)
		}
	}
	if report.SeenAt.Year() != 2026 || report.SeenAt.Month() != time.January {
		t.Errorf("seen at %v", report.SeenAt)
	}
	for _, p := range found.Matches[0].Passages {
		if p.Query.Page == 0 || p.Query.End > report.Suspect.Texts[p.Query.Page-1].Length {
			t.Errorf("%+v", p)
		}
	}
}

// TestEvidenceOfPicture: a picture is in the report, smaller, with boxes around what it shows.
func TestEvidenceOfPicture(t *testing.T) {
	const name = "power-circular-debt-minutes.pdf"
	s := newShelf("bucket", string(sample(t, name)))
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}})
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	h.eventually(func() bool { return read[Registration](h.get("/v1/registrations/"+job.ID).want(200)).State == "done" })
	h.eventually(func() bool { return h.lookUpText(h.http, "cricket", "").PendingPages == 0 && h.drawn() })
	shot := pagetest.Degrade(pictures(t, name)[1], "screenshot", rand.New(rand.NewPCG(1, 1)))
	content := asPNG(t, shot.Picture)
	report, found, r := h.evidence(h.http, "", "image/png", content)
	sum := sha256.Sum256(content)
	if p := report.Suspect; p.Kind != "image" || p.SHA256 != fmt.Sprintf("%x", sum) || len(p.Pictures) != 1 || len(p.Texts) != 0 {
		t.Fatalf("%+v", p)
	}
	shown := report.Suspect.Pictures[0]
	if m, err := png.Decode(bytes.NewReader(shown.PNG)); err != nil || max(shown.Width, shown.Height) > evidenceSide || m.Bounds().Dx() != shown.Width || m.Bounds().Dy() != shown.Height {
		t.Errorf("%d × %d: %v", shown.Width, shown.Height, err)
	}
	if len(found.Matches) != 1 || !found.Matches[0].Passages[0].Query.Box() || strings.Count(string(r.body), "<rect ") != 2 {
		t.Errorf("%+v", found)
	}
	if len(report.Pages) != 1 || report.Pages[0].Page != 2 || report.Pages[0].Excerpts[0].Start != 0 || len(report.Pages[0].Excerpts[0].Text) < 500 {
		t.Errorf("%+v", report.Pages)
	}
}

// drawn reports whether all that is registered is known by its look.
func (h *house) drawn() bool {
	for _, d := range read[DocumentList](h.get("/v1/documents").want(200)).Items {
		versions := read[DocumentDetail](h.get("/v1/documents/" + d.ID).want(200)).Versions
		if !versions[len(versions)-1].Drawn {
			return false
		}
	}
	return true
}

// TestEvidenceLarge: a copy of a megabyte makes a report of some megabytes in seconds, and a
// larger one is what stands around passages.
func TestEvidenceLarge(t *testing.T) {
	long := prose(404, 180_000)[:1<<20]
	s := newShelf("bucket", long)
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}})
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	h.eventually(func() bool { return read[Registration](h.get("/v1/registrations/"+job.ID).want(200)).State == "done" })
	for name, text := range map[string]string{"all of it": long, "a part of more": prose(405, 100_000) + long[5000:6000] + prose(406, 100_000)} {
		start := time.Now()
		report, found, r := h.evidence(h.http, "", "application/json", jsonText(t, text))
		t.Logf("%s: %v, %d bytes", name, time.Since(start), len(r.body))
		if took := time.Since(start); took > 20*time.Second || len(r.body) > 12<<20 {
			t.Errorf("%s: %v, %d bytes", name, took, len(r.body))
		}
		if found.Verdict != "unauthorized" || len(report.Pages) != 1 || report.Pages[0].Reason != "" {
			t.Fatalf("%s: %+v", name, found)
		}
		kept := 0
		for _, e := range report.Suspect.Texts[0].Excerpts {
			kept += len(e.Text)
		}
		if whole := len(text) <= evidenceText; whole && kept != len(text) || !whole && (kept < 1000 || kept > len(text)/10) {
			t.Errorf("%s: %d bytes of %d are kept", name, kept, len(text))
		}
	}
}
