package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/auth"
)

// TestActivity: what happened is counted, for a department what happened there, and for the
// service as a whole only to those who see all of it.
func TestActivity(t *testing.T) {
	h := newHouse(t, options{})
	began := time.Now()
	text := prose(310, 200)
	h.register("a.txt", text, field{"department", "finance", ""})
	h.register("b.txt", prose(311, 200), field{"department", "foreign", ""})
	h.upload(h.http, "/v1/documents", field{"department", "foreign", ""}, field{"file", "\x7fELF\x02\x01\x01", "program"}).want(422)
	post := func(id, text string) PostAnswer {
		return read[PostAnswer](h.json("POST", "/v1/posts", fmt.Sprintf(`{"id":%q,"text":%q}`, id, text)).want(200))
	}
	shown := post("p1", text)
	post("p2", prose(312, 60))
	post("p1", text) // again: it is counted once
	other := post("p3", prose(311, 200))
	h.lookUpText(h.http, text, "")
	h.lookUpText(h.as(h.keyOf(auth.Analyst, "finance")), prose(313, 60), "")
	h.json("POST", "/v1/alerts/"+other.AlertIds[0]+"/disposition", `{"state":"false_match","reason":"a"}`).want(200)

	ask := func(role auth.Role, department string) Activity {
		return read[Activity](do(t, h.as(h.keyOf(role, department)), h.request("GET", "/v1/activity", nil)).want(200))
	}
	all := ask(auth.Auditor, "")
	if a := all.Alerts; !maps.Equal(a.Open, map[string]int{"new": 1}) || !maps.Equal(a.Decided, map[string]int{"false_match": 1}) || a.OldestOpenAt.Before(began.Add(-time.Minute)) {
		t.Errorf("%+v", a)
	}
	if d := all.Documents; d.Total != 2 || d.Gaps != 1 || d.PendingPages != 0 || len(d.Registered) != 30 {
		t.Errorf("%+v", d)
	}
	// Midnight may have come in between.
	days, n := all.Documents.Registered, 0
	for i, day := range days {
		if day.At != days[0].At.AddDate(0, 0, i) {
			t.Errorf("day %d begins at %s", i, day.At)
		}
		n += day.Documents
	}
	if last := days[29].At; n != 2 || last.After(time.Now()) || time.Since(last) > 25*time.Hour {
		t.Errorf("%d documents up to %s", n, last)
	}
	s := all.Service
	if s == nil || s.Since.After(began) || s.IndexBytes <= 0 || s.WebhookBacklog != 0 || len(s.Minutes) != 60 || len(s.Hours) != 24 {
		t.Fatalf("%+v", s)
	}
	for _, intervals := range [][]ActivityInterval{s.Minutes, s.Hours} {
		posts, lookUps := map[string]int{}, map[string]int{}
		for _, i := range intervals {
			for verdict, n := range i.Posts {
				posts[verdict] += n
			}
			for verdict, n := range i.LookUps {
				lookUps[verdict] += n
			}
		}
		if !maps.Equal(posts, map[string]int{"unauthorized": 2, "no_match": 1}) || !maps.Equal(lookUps, map[string]int{"unauthorized": 1, "no_match": 1}) {
			t.Errorf("posts %v, look-ups %v", posts, lookUps)
		}
	}

	for _, role := range []auth.Role{auth.Admin, auth.Registrar, auth.Analyst, auth.Auditor} {
		finance, foreign, none := ask(role, "finance"), ask(role, "foreign"), ask(role, "fin")
		if finance.Service != nil || finance.Alerts.Open["new"] != 1 || len(finance.Alerts.Decided) != 0 || finance.Documents.Total != 1 || finance.Documents.Gaps != 0 {
			t.Errorf("%s of finance: %+v", role, finance)
		}
		if foreign.Service != nil || len(foreign.Alerts.Open) != 0 || !foreign.Alerts.OldestOpenAt.IsZero() || foreign.Alerts.Decided["false_match"] != 1 || foreign.Documents.Gaps != 1 {
			t.Errorf("%s of foreign: %+v", role, foreign)
		}
		if none.Documents.Total != 0 || len(none.Alerts.Open)+len(none.Alerts.Decided) != 0 {
			t.Errorf("%s of another department: %+v", role, none)
		}
	}
	if r := h.get("/v1/activity"); strings.Contains(string(r.body), shown.AlertIds[0]) {
		t.Errorf("figures name an alert: %s", r.body)
	}
}

// TestTally: each interval has what was counted in it, whenever that is asked.
func TestTally(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 1))
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	counted := newTally(now)
	type event struct {
		at      time.Time
		verdict string
		post    bool
	}
	var events []event
	check := func(told []ActivityInterval, step time.Duration) {
		t.Helper()
		if last := told[len(told)-1].At; last.After(now) || now.Sub(last) >= step {
			t.Fatalf("at %s the last begins at %s", now, last)
		}
		for i, one := range told {
			want := ActivityInterval{Posts: map[string]int{}, LookUps: map[string]int{}}
			for _, e := range events {
				switch since := e.at.Sub(one.At); {
				case since < 0 || since >= step:
				case e.post:
					want.Posts[e.verdict]++
				default:
					want.LookUps[e.verdict]++
				}
			}
			if i > 0 && one.At != told[i-1].At.Add(step) || !maps.Equal(one.Posts, want.Posts) || !maps.Equal(one.LookUps, want.LookUps) {
				t.Fatalf("at %s: %+v, want %+v", now, one, want)
			}
		}
	}
	for range 1000 {
		pauses := []time.Duration{0, 0, 0, 0, 0, 0, time.Millisecond, 20 * time.Second, time.Minute, 50 * time.Minute, 5 * time.Hour}
		now = now.Add(pauses[chance.IntN(len(pauses))])
		e := event{now, string(precedence[chance.IntN(len(precedence))]), chance.IntN(2) == 0}
		events = append(events, e)
		if e.post {
			counted.post(e.verdict, now)
		} else {
			counted.lookUp(e.verdict, now)
		}
		if chance.IntN(20) == 0 {
			told := counted.told(now)
			check(told.Minutes, time.Minute)
			check(told.Hours, time.Hour)
		}
	}

	// Many count at once, and what was told does not change any more.
	told := counted.told(now)
	before := told.Hours[23].Posts["no_match"]
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 1000 {
				counted.post("no_match", now)
			}
		})
	}
	wait.Wait()
	if n := counted.told(now).Hours[23].Posts["no_match"]; n != before+4000 || told.Hours[23].Posts["no_match"] != before {
		t.Errorf("%d, then %d", before, n)
	}
}
