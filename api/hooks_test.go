package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// told is a notification in the style of a store.
func told(version, bucket string, keys ...string) string {
	var records []string
	for _, key := range keys {
		records = append(records, fmt.Sprintf(`{"eventVersion":%q,"eventName":"s3:ObjectCreated:Put","awsRegion":"","s3":{"s3SchemaVersion":"1.0",
			"bucket":{"name":%q,"arn":"arn:aws:s3:::x","ownerIdentity":{"principalId":"x"}},"object":{"key":%q,"size":1,"eTag":"x","sequencer":"1"}}}`, version, bucket, key))
	}
	return `{"EventName":"s3:ObjectCreated:Put","Records":[` + strings.Join(records, ",") + `]}`
}

// TestNotifications: whoever knows a key that registers in the source's department may tell
// of changes, in the header, as a password or in the URL; nobody else learns that there is
// such a source.
func TestNotifications(t *testing.T) {
	h, s := library(t, 3)
	close(s.step)
	key := h.keyOf(auth.Registrar, "finance")
	post := func(path, body, user, password string) reply {
		r := h.request("POST", path, strings.NewReader(body), "Content-Type", "application/json; charset=utf-8")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		return do(t, h.bare, r)
	}
	const hook = "/v1/hooks/s3/shelf"
	for i, r := range []reply{
		do(t, h.as(key), h.request("POST", hook, strings.NewReader(told("2.1", "bucket", "00000.txt")), "Content-Type", "application/json")),
		post(hook, told("2.2", "bucket", "00001.txt"), "anybody", key),
		post(hook+"/"+key, told("2.9", "bucket", "00002.txt"), "", ""),
	} {
		if got := read[Noticed](r.want(202)); got != (Noticed{Noticed: 1}) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	h.eventually(func() bool {
		return len(read[DocumentList](h.get("/v1/documents?department=finance").want(200)).Items) == 3
	})
	if got := read[Noticed](post(hook+"/"+key, told("2.0", "other", "a", "b"), "", "").want(202)); got != (Noticed{Ignored: 2}) {
		t.Errorf("of another bucket: %+v", got)
	}
	if got := read[Noticed](post(hook+"/"+key, `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"bucket"}`, "", "").want(202)); got != (Noticed{}) {
		t.Errorf("a test: %+v", got)
	}
	foreign, analyst := h.keyOf(auth.Registrar, "foreign"), h.keyOf(auth.Analyst, "finance")
	for name, test := range map[string]struct {
		r    reply
		want int
	}{
		"no key":         {post(hook, told("2.1", "bucket", "a"), "", ""), 401},
		"wrong password": {post(hook, told("2.1", "bucket", "a"), "anybody", "wrong"), 401},
		"wrong token":    {post(hook+"/"+key[:len(key)-1], told("2.1", "bucket", "a"), "", ""), 401},
		"basic elsewhere": {func() reply {
			r := h.request("GET", "/v1/documents", nil)
			r.SetBasicAuth("a", key)
			return do(t, h.bare, r)
		}(), 401},
		"an analyst":           {post(hook+"/"+analyst, told("2.1", "bucket", "a"), "", ""), 403},
		"another department":   {post(hook+"/"+foreign, told("2.1", "bucket", "a"), "", ""), 404},
		"no such source":       {post("/v1/hooks/s3/none/"+foreign, told("2.1", "bucket", "a"), "", ""), 404},
		"a later version":      {post(hook+"/"+key, told("3.0", "bucket", "a"), "", ""), 400},
		"a record of nothing":  {post(hook+"/"+key, `{"Records":[{}]}`, "", ""), 400},
		"more than one sends":  {post(hook+"/"+key, told("2.1", "bucket", make([]string, 10001)...), "", ""), 400},
		"something else":       {post(hook+"/"+key, `[1]`, "", ""), 400},
		"a key without an end": {post(hook+"/"+key, told("2.1", "bucket", strings.Repeat("a", 5000)), "", ""), 400},
	} {
		if test.r.status != test.want {
			t.Errorf("%s: %d %s", name, test.r.status, test.r.body[:min(len(test.r.body), 300)])
		}
	}
	// The key of a URL is kept nowhere.
	records := do(t, h.as(h.keyOf(auth.Auditor, "")), h.request("GET", "/v1/audit?limit=1000", nil)).want(200)
	if !strings.Contains(string(records.body), "noticeObjectsByURL") || strings.Contains(string(records.body), key) || strings.Contains(h.log.String(), key) {
		t.Error("the audit log lacks the notifications, or it or the log holds a key")
	}
}

// TestCoverage: what is not protected is told to those whose it is.
func TestCoverage(t *testing.T) {
	s := newShelf("bucket", prose(1, 40), "%PDF-1.4 nothing behind it")
	close(s.step)
	h := newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}})
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	ended := func() bool { return read[Registration](h.get("/v1/registrations/"+job.ID).want(200)).State == "done" }
	h.eventually(ended)
	registrar := h.as(h.keyOf(auth.Registrar, "finance"))
	list := read[GapList](do(t, registrar, h.request("GET", "/v1/coverage/gaps?source=s3://bucket/&status=damaged", nil)).want(200))
	if len(list.Items) != 1 || list.Items[0].Source != "s3://bucket/00001.txt" || list.Items[0].Tries != 1 || list.Items[0].Reason == "" {
		t.Errorf("%+v", list)
	}
	covered := read[Coverage](do(t, registrar, h.request("GET", "/v1/coverage", nil)).want(200))
	if len(covered.Items) != 2 || covered.Items[0].Gaps != 1 || covered.Items[1].Documents != 1 || covered.Items[1].Status != "ok" || covered.Usual.Seconds <= 0 {
		t.Errorf("%+v", covered)
	}
	foreign := h.as(h.keyOf(auth.Registrar, "foreign"))
	if list := read[GapList](do(t, foreign, h.request("GET", "/v1/coverage/gaps", nil)).want(200)); len(list.Items) != 0 {
		t.Errorf("another department sees %+v", list)
	}
	if covered := read[Coverage](do(t, foreign, h.request("GET", "/v1/coverage", nil)).want(200)); len(covered.Items) != 0 {
		t.Errorf("another department sees %+v", covered)
	}
	do(t, h.as(h.keyOf(auth.Analyst, "finance")), h.request("GET", "/v1/coverage", nil)).want(http.StatusForbidden)

	// Once it can be read, it is a gap no more.
	s.objects[1] = prose(2, 50)
	job = read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf","kind":"gaps"}`).want(202))
	h.eventually(ended)
	if list := read[GapList](h.get("/v1/coverage/gaps").want(200)); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	job = read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf","kind":"estimate"}`).want(202))
	h.eventually(ended)
	if job := read[Registration](h.get("/v1/registrations/" + job.ID).want(200)); job.Outcomes.Unchanged+job.Outcomes.Updated != 2 || job.Kind != RegistrationKind(storage.JobEstimate) {
		t.Errorf("%+v", job)
	}
}
