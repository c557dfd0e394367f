package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve starts a server and makes a client of it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hangUp breaks the connection off.
func hangUp() { panic(http.ErrAbortHandler) }

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", "localhost:8080", "ftp://host", "http://", "http://[", "/path"} {
		if _, err := New(server, "k"); err == nil {
			t.Errorf("%q is an address", server)
		}
	}
}

// TestKinds: errors.Is finds the kind of error that the server meant.
func TestKinds(t *testing.T) {
	t.Parallel()
	kinds := []error{ErrUnauthenticated, ErrForbidden, ErrNotFound, ErrConflict, ErrInvalid, ErrTooLarge, ErrUnavailable}
	for status, kind := range map[int]error{
		400: ErrInvalid, 401: ErrUnauthenticated, 403: ErrForbidden, 404: ErrNotFound, 405: ErrInvalid, 409: ErrConflict, 413: ErrTooLarge,
		415: ErrInvalid, 422: nil, 500: ErrUnavailable, 502: ErrUnavailable, 503: ErrUnavailable,
	} {
		for name, body := range map[string]string{
			"problem": fmt.Sprintf(`{"type":"/problems/a","title":"A title","status":%d,"detail":"A detail","request_id":"req_1","errors":[{"pointer":"/a","detail":"is wrong"}]}`, status),
			"other":   "<html>from a proxy",
			"status":  `{"status":200}`,
		} {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer secret" || strings.Contains(r.URL.Path, "//") {
					t.Errorf("%s %v", r.URL, r.Header)
				}
				w.WriteHeader(status)
				io.WriteString(w, body)
			})
			_, err := c.Register(context.Background(), Upload{Name: "a.txt", Content: strings.NewReader("a")})
			var problem *ProblemError
			if !errors.As(err, &problem) || problem.Status != status {
				t.Errorf("%d, %s: %v", status, name, err)
				continue
			}
			for _, k := range kinds {
				if errors.Is(err, k) != (k == kind) {
					t.Errorf("%d, %s: is %v: %v", status, name, k, errors.Is(err, k))
				}
			}
			if name == "problem" && (!strings.Contains(err.Error(), "A detail") || !strings.Contains(err.Error(), "/a is wrong") || !strings.Contains(err.Error(), "req_1")) {
				t.Errorf("%v does not say what the problem says", err)
			}
		}
	}
}

// TestQueries: what is asked stands in the address.
func TestQueries(t *testing.T) {
	t.Parallel()
	var asked string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked = r.Method + " " + r.URL.String()
		io.WriteString(w, `{}`)
	})
	for want, call := range map[string]func() error{
		"POST /v1/match?read=true": func() error {
			_, err := c.MatchFile(t.Context(), "a.pdf", strings.NewReader("a"), MatchOptions{Read: true})
			return err
		},
		"GET /v1/documents/doc_a/pages/2/picture":           func() error { _, err := c.PagePicture(t.Context(), "doc_a", 2, 0); return err },
		"GET /v1/documents/doc_a/pages/2/picture?version=3": func() error { _, err := c.PagePicture(t.Context(), "doc_a", 2, 3); return err },
		"POST /v1/alerts/alr_a/removal":                     func() error { _, err := c.Removal(t.Context(), "alr_a", RemovalRequest{Post: "p"}); return err },
	} {
		if err := call(); err != nil || asked != want {
			t.Errorf("%s: asked %s, %v", want, asked, err)
		}
	}
}

// TestRetries: what changes nothing is tried again while the server is out of
// reach; what changes something, or is refused, is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	broken := map[string]func(w http.ResponseWriter){
		"unavailable": func(w http.ResponseWriter) { w.WriteHeader(503) },
		"hung up":     func(http.ResponseWriter) { hangUp() },
		"cut short": func(w http.ResponseWriter) {
			io.WriteString(w, `{"items":[`)
			w.(http.Flusher).Flush()
			hangUp()
		},
	}
	for name, fail := range broken {
		var calls atomic.Int32
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("Content-Type") == "application/json" && string(body) != `{"text":"a"}` {
				t.Errorf("%s: body %q", name, body)
			}
			if calls.Add(1) < 2 {
				fail(w)
				return
			}
			io.WriteString(w, `{}`)
		})
		for what, call := range map[string]func() error{
			"document": func() error { _, err := c.Document(ctx, "doc_a"); return err },
			"match":    func() error { _, err := c.Match(ctx, "a", MatchOptions{}); return err },
			"activity": func() error { _, err := c.Activity(ctx); return err },
			"picture": func() error {
				picture, err := c.PagePicture(ctx, "doc_a", 1, 0)
				if err == nil && string(picture) != "{}" {
					t.Errorf("%s: a picture of %d bytes", name, len(picture))
				}
				return err
			},
		} {
			calls.Store(0)
			if err := call(); err != nil || calls.Load() != 2 {
				t.Errorf("%s, %s: %d calls, %v", name, what, calls.Load(), err)
			}
		}
		for what, call := range map[string]func() error{
			"delete":   func() error { return c.DeleteDocument(ctx, "doc_a") },
			"register": func() error { _, err := c.Register(ctx, Upload{Content: strings.NewReader("")}); return err },
			"file":     func() error { _, err := c.MatchFile(ctx, "a", strings.NewReader(""), MatchOptions{}); return err },
		} {
			calls.Store(0)
			if err := call(); calls.Load() != 1 || err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s, %s: %d calls, %v", name, what, calls.Load(), err)
			}
		}
	}
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { calls.Add(1); w.WriteHeader(404) })
	if _, err := c.Document(ctx, "doc_a"); !errors.Is(err, ErrNotFound) || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	// A caller that gives up gets its own reason.
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Document(short, "doc_a"); err == nil {
		t.Error("an answer from nobody")
	}
}

// TestUnreachable: nobody listening is ErrUnavailable.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(server.URL, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteDocument(context.Background(), "doc_a"); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// TestWatchSurvives: a stream that breaks, anywhere in an event, is gone on with
// behind the last item: every item is seen once and in order.
func TestWatchSurvives(t *testing.T) {
	t.Parallel()
	const n = 9
	var connections atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		connection := connections.Add(1)
		if connection == 2 {
			w.WriteHeader(503) // the server is being restarted
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		after := 0
		if last := r.Header.Get("Last-Event-ID"); last != "" {
			fmt.Sscan(last, &after)
		}
		io.WriteString(w, ": still running\n\n")
		fmt.Fprintf(w, "event: progress\ndata: {\"id\":\"job_a\",\"listed\":%d}\n\n", after)
		for i := after + 1; i <= n; i++ {
			item, _ := json.Marshal(RegistrationItem{Source: fmt.Sprint("s3://b/", i), Outcome: "registered"})
			text := fmt.Sprintf("id: %d\nevent: item\ndata: %s\n\n", i, item)
			if i == after+3 && connection < 4 {
				// Cut in the line of the data, or just before the empty line.
				io.WriteString(w, text[:len(text)-[]int{1, 0, 12, 0}[connection]])
				w.(http.Flusher).Flush()
				hangUp()
			}
			io.WriteString(w, text)
		}
		io.WriteString(w, "event: end\ndata: {\"id\":\"job_a\",\"state\":\"done\"}\n\n")
	})
	var seen []string
	progress := 0
	end, err := c.WatchRegistration(context.Background(), "job_a",
		func(i RegistrationItem) error { seen = append(seen, i.Source); return nil }, func(Registration) { progress++ })
	if err != nil || end.State != "done" || progress == 0 {
		t.Fatalf("%v %+v", err, end)
	}
	for i := range n {
		if len(seen) != n || seen[i] != fmt.Sprint("s3://b/", i+1) {
			t.Fatalf("%d connections: %v", connections.Load(), seen)
		}
	}
}

// TestWatchEnds: a stream that is refused, a caller that has enough and a
// context that ends all end the watching.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ignore := func(Registration) {}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	if _, err := c.WatchRegistration(ctx, "job_a", nil, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	enough := errors.New("enough")
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "id: 1\nevent: item\ndata: {}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	if _, err := c.WatchRegistration(ctx, "job_a", func(RegistrationItem) error { return enough }, ignore); !errors.Is(err, enough) {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	if _, err := c.WatchRegistration(canceled, "job_a", func(RegistrationItem) error { cancel(); return nil }, ignore); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
