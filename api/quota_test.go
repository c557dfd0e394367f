package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
)

// ask looks a text up as somebody.
func (h *house) ask(client *http.Client, text string) reply {
	h.t.Helper()
	return do(h.t, client, h.request("POST", "/v1/match", strings.NewReader(fmt.Sprintf(`{"text":%q}`, text)), "Content-Type", "application/json"))
}

// alarms are the outcomes of the records of alarms.
func (h *house) alarms() (why []string) {
	h.t.Helper()
	for _, r := range read[AuditList](h.get("/v1/audit?action=alarm").want(200)).Items {
		why = append(why, r.Outcome)
	}
	return why
}

// TestProbing: who asks about one guess after another is noticed; who looks at what many
// people posted is not.
func TestProbing(t *testing.T) {
	h := newHouse(t, options{quotas: map[auth.Role]Quota{auth.Analyst: {LookUps: 100_000, Documents: 1000}}})
	secret := "The supplementary grant of the Finance Division for the current year has been fixed at Rs. 4711 million and will be laid before the House"
	h.register("grant.txt", prose(90, 100)+" "+secret+" "+prose(91, 100))
	guess := func(client *http.Client, n int) reply {
		return h.ask(client, strings.Replace(secret, "4711", fmt.Sprint(n), 1)[50:130]).want(200)
	}
	honest := h.as(h.keyOf(auth.Analyst, ""))
	for i := range 3 * guesses {
		h.ask(honest, prose(uint64(1000+i), 20)).want(200)
		h.ask(honest, prose(1, 20)).want(200) // again and again
		h.ask(honest, secret).want(200)
	}
	monitor := h.as(h.keyOf(auth.Monitor, ""))
	for i := range 2 * guesses {
		h.ask(monitor, fmt.Sprintf("What everybody forwards today, with a number of its own: %d, and something behind it", i)).want(200)
	}
	if why := h.alarms(); len(why) != 0 {
		t.Errorf("alarms: %v", why)
	}
	// A department has no such document: every guess is in vain, and alike.
	prober := h.as(h.keyOf(auth.Analyst, "works"))
	for i := range guesses + 5 {
		guess(prober, 4000+37*i)
	}
	if why := h.alarms(); len(why) != 1 || why[0] != alarmProbing {
		t.Errorf("alarms: %v", why)
	}
	if !strings.Contains(string(h.get("/metrics").body), `sealprint_alarms_total{why="probing"} 1`) {
		t.Error("the metric does not tell")
	}
}

// TestQuota: nobody is told of more documents in a day, or asks more often, than the role may.
func TestQuota(t *testing.T) {
	h := newHouse(t, options{quotas: map[auth.Role]Quota{auth.Analyst: {Documents: 3}, auth.Monitor: {LookUps: 30}}})
	var texts []string
	for i := range 5 {
		texts = append(texts, prose(uint64(200+i), 200))
		h.register(fmt.Sprint(i, ".txt"), texts[i])
	}
	analyst := h.as(h.keyOf(auth.Analyst, ""))
	for range 3 {
		for i := range 2 {
			h.ask(analyst, texts[i]).want(200)
		}
	}
	h.ask(analyst, texts[2]).want(200)
	r := h.ask(analyst, texts[2]).want(429)
	if r.header.Get("Retry-After") == "" || read[Problem](r).Type != "/problems/too-many" {
		t.Errorf("%v %s", r.header, r.body)
	}
	if why := h.alarms(); len(why) != 1 || why[0] != alarmDocuments {
		t.Errorf("alarms: %v", why)
	}
	h.ask(h.as(h.keyOf(auth.Analyst, "")), texts[2]).want(200) // another key has its own
	h.ask(h.http, texts[4]).want(200)                          // and an administrator is not bounded

	monitor := h.as(h.keyOf(auth.Monitor, ""))
	last := h.ask(monitor, "hello").want(200)
	for n := 0; last.status == 200 && n < 1000; n++ {
		last = h.ask(monitor, "hello")
	}
	last.want(429)
	// Others who look up in a stream wait.
	if batch := do(t, monitor, h.request("POST", "/v1/match/batch", strings.NewReader(`{"text":"hello"}`), "Content-Type", "application/x-ndjson")).want(200); !strings.Contains(string(batch.body), "too_short") {
		t.Errorf("%s", batch.body)
	}

	q := &quotas{limits: map[auth.Role]Quota{auth.Analyst: {LookUps: 60}, auth.Monitor: {LookUps: 10, Documents: 5}}, callers: map[string]*asker{}}
	both := auth.Principal{ID: "k", Grants: []auth.Grant{{Role: auth.Monitor}, {Role: auth.Analyst}}}
	if got := q.quotaOf(both); got != (Quota{LookUps: 60}) {
		t.Errorf("of several roles the most generous counts: %+v", got)
	}
	now := time.Now()
	for range 120 {
		if err := q.admit(both, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.admit(both, now); err == nil {
		t.Error("more than twice as many as a minute has")
	}
	if err := q.admit(both, now.Add(time.Second)); err != nil {
		t.Error(err)
	}
}
