package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// eventually waits for a condition.
func (h *house) eventually(condition func() bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return
		}
	}
	h.t.Fatal("it did not come to that")
}

// event is a server-sent event.
type event struct{ id, name, data string }

// stream reads the events of a job, as they come.
type stream struct {
	t    testing.TB
	body io.ReadCloser
	text *bufio.Scanner
}

func (h *house) watch(client *http.Client, id string, header ...string) *stream {
	h.t.Helper()
	answer, err := client.Do(h.request("GET", "/v1/registrations/"+id+"/events", nil, header...))
	if err != nil {
		h.t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		h.t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	h.t.Cleanup(func() { answer.Body.Close() })
	return &stream{h.t, answer.Body, bufio.NewScanner(answer.Body)}
}

// next returns the next event; false at the end of the stream.
func (s *stream) next() (e event, ok bool) {
	s.t.Helper()
	for s.text.Scan() {
		name, value, _ := strings.Cut(s.text.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name == "" {
				continue // a comment
			}
			if !json.Valid([]byte(e.data)) {
				s.t.Errorf("%+v", e)
			}
			return e, true
		default:
			s.t.Errorf("line %q", s.text.Text())
		}
	}
	return event{}, false
}

// library is a house with one source of n objects.
func library(t *testing.T, n int) (*house, *shelf) {
	var objects []string
	for i := range n {
		objects = append(objects, prose(uint64(1000+i), 30))
	}
	s := newShelf("bucket", objects...)
	return newHouse(t, options{places: []ingest.Place{{Name: "shelf", Source: s, Said: ingest.Said{Department: "finance", Collection: "acts"}}}}), s
}

// TestEvents: whoever breaks off and goes on behind the last event that it saw
// sees every item once and in order, and then the end.
func TestEvents(t *testing.T) {
	const n = 24
	h, s := library(t, n)
	started := h.json("POST", "/v1/registrations", `{"source":"s3://bucket/"}`).want(202)
	job := read[Registration](started)
	if job.State != "running" || job.Source != "shelf" || started.header.Get("Location") != "/v1/registrations/"+job.ID {
		t.Fatalf("%+v %v", job, started.header)
	}
	if again := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(200)); again.ID != job.ID {
		t.Errorf("a second job for the same source: %+v", again)
	}
	go func() {
		for range n {
			s.step <- struct{}{}
			time.Sleep(5 * time.Millisecond)
		}
		close(s.step)
	}()
	var sources []string
	last, progress := "", 0
	var end Registration
	for end.ID == "" {
		var header []string
		if last != "" {
			header = []string{"Last-Event-ID", last}
		}
		events := h.watch(h.http, job.ID, header...)
		for seen := 0; seen < 7; { // and then it breaks
			e, ok := events.next()
			if !ok {
				t.Fatal("the stream ended without an end")
			}
			switch e.name {
			case "item":
				var item RegistrationItem
				if err := json.Unmarshal([]byte(e.data), &item); err != nil || item.Outcome != "registered" || item.DocumentID == "" {
					t.Errorf("%v %+v", err, e)
				}
				if before, _ := strconv.Atoi(last); e.id != strconv.Itoa(before+1) {
					t.Errorf("event %q behind %q", e.id, last)
				}
				last = e.id
				sources = append(sources, item.Source)
				seen++
			case "progress":
				progress++
			case "end":
				if err := json.Unmarshal([]byte(e.data), &end); err != nil {
					t.Fatal(err)
				}
				if e, ok := events.next(); ok {
					t.Errorf("behind the end: %+v", e)
				}
				seen = 7
			default:
				t.Errorf("%+v", e)
			}
		}
		events.body.Close()
	}
	seen := map[string]bool{}
	for _, s := range sources {
		seen[s] = true
	}
	if len(sources) != n || len(seen) != n || progress == 0 {
		t.Errorf("%d items of %d sources, %d times progress", len(sources), len(seen), progress)
	}
	if end.State != "done" || end.Outcomes.Registered != n || end.Listed != n || end.EndedAt.IsZero() {
		t.Errorf("%+v", end)
	}
	// What has ended is told again from any place on.
	events := h.watch(h.http, job.ID, "Last-Event-ID", strconv.Itoa(n-1))
	if e, _ := events.next(); e.name != "item" || e.id != strconv.Itoa(n) {
		t.Errorf("%+v", e)
	}
	if e, _ := events.next(); e.name != "end" {
		t.Errorf("%+v", e)
	}
	// An unchanged source makes nothing anew.
	second := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	h.eventually(func() bool {
		second = read[Registration](h.get("/v1/registrations/" + second.ID).want(200))
		return second.State == "done"
	})
	if second.Outcomes.Unchanged != n {
		t.Errorf("%+v", second)
	}
	if list := read[RegistrationList](h.get("/v1/registrations?limit=1").want(200)); len(list.Items) != 1 || list.Items[0].ID != second.ID {
		t.Errorf("%+v", list)
	}
	// To another department the job does not exist.
	other := h.as(h.key("interior"))
	do(t, other, h.request("GET", "/v1/registrations/"+job.ID, nil)).want(404)
	do(t, other, h.request("GET", "/v1/registrations/"+job.ID+"/events", nil)).want(404)
	do(t, other, h.request("DELETE", "/v1/registrations/"+job.ID, nil)).want(404)
	if list := read[RegistrationList](do(t, other, h.request("GET", "/v1/registrations", nil)).want(200)); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestCancel: a job that is stopped ends, tells so, and keeps what it registered.
func TestCancel(t *testing.T) {
	h, s := library(t, 3)
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf","department":"health"}`).want(202))
	events := h.watch(h.http, job.ID)
	s.step <- struct{}{}
	for {
		if e, ok := events.next(); !ok || e.name == "item" {
			break
		}
	}
	canceled := read[Registration](do(t, h.http, h.request("DELETE", "/v1/registrations/"+job.ID, nil)).want(200))
	if canceled.State != "cancelled" || canceled.Outcomes.Registered != 1 {
		t.Errorf("%+v", canceled)
	}
	var e event
	for ok := true; ok && e.name != "end"; {
		e, ok = events.next()
	}
	if !strings.Contains(e.data, `"state":"cancelled"`) {
		t.Errorf("%+v", e)
	}
	do(t, h.http, h.request("DELETE", "/v1/registrations/"+job.ID, nil)).want(200)
	if list := read[DocumentList](h.get("/v1/documents?department=health").want(200)); len(list.Items) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestStreamEndsWithServer: a server that stops does not wait for the jobs that
// are watched.
func TestStreamEndsWithServer(t *testing.T) {
	h, _ := library(t, 1)
	job := read[Registration](h.json("POST", "/v1/registrations", `{"source":"shelf"}`).want(202))
	events := h.watch(h.http, job.ID)
	if e, _ := events.next(); e.name != "progress" {
		t.Errorf("%+v", e)
	}
	h.server.Close()
	ended := make(chan bool)
	go func() {
		e, ok := events.next()
		ended <- ok && e.name == "end"
	}()
	select {
	case told := <-ended:
		if told {
			t.Error("the stream says that the job ended")
		}
	case <-time.After(time.Minute):
		t.Error("the stream goes on")
	}
}

// quiet is a registry with one job that does nothing.
type quiet struct {
	storage.Registry
	job storage.Job
}

func (q quiet) Job(context.Context, storage.Scope, storage.JobID) (storage.Job, error) {
	return q.job, nil
}

func (q quiet) Items(context.Context, storage.JobID, int64, int) ([]storage.Item, error) {
	return nil, nil
}

// TestHeartbeat: a job of which there is nothing to tell is told of once, and then
// only as often as keeps the connection open.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Config: Config{Registry: quiet{job: storage.Job{ID: "job_a", State: storage.JobRunning, UpdatedAt: time.Now()}}}}
		s.closing, s.close = context.WithCancel(context.Background())
		var told bytes.Buffer
		done := make(chan error)
		go func() {
			done <- s.follow(auth.With(t.Context(), auth.Principal{ID: "a", Grants: []auth.Grant{{Role: auth.Admin}}}), &told, "job_a", 0)
		}()
		time.Sleep(10*eventHeartbeat + time.Second)
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if p, b := strings.Count(told.String(), "event: progress\n"), strings.Count(told.String(), ": still running\n\n"); p != 1 || b < 9 || b > 10 {
			t.Errorf("%d times progress, %d heartbeats", p, b)
		}
	})
}
