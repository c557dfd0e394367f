package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/registry"
)

// local is where test servers are.
var local = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// patient is the standard without its patience; nothing fails for good with it.
func patient() timing {
	return timing{waits: slices.Repeat([]time.Duration{time.Millisecond}, 1000), attempt: 5 * time.Second, later: time.Hour, giveUp: time.Hour, poll: 5 * time.Millisecond}
}

func openRegistry(t *testing.T, path string, key *fingerprint.Key) *registry.Registry {
	t.Helper()
	r, err := registry.Open(context.Background(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func newRegistry(t *testing.T) *registry.Registry {
	return openRegistry(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
}

// subscribe stores a webhook with an address.
func subscribe(t *testing.T, r *registry.Registry, id, url string) storage.Webhook {
	t.Helper()
	w := storage.Webhook{ID: storage.WebhookID(id), URL: url, Secret: NewSecret(), Department: "finance", CreatedAt: time.Now()}
	if err := r.AddWebhook(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w
}

// enqueue stores an event; its id tells where in the line of the alert it stands.
func enqueue(t *testing.T, r *registry.Registry, id storage.WebhookID, alert string, n int) storage.Event {
	t.Helper()
	e := storage.Event{ID: storage.EventID(fmt.Sprintf("evt_%s_%s_%d", id, alert, n)), Type: storage.AlertUpdated, Department: "finance",
		Alert: storage.AlertID(alert), Document: "doc_a", At: time.Date(2026, 3, 4, 5, 6, 7, 891_000, time.UTC)}
	if err := r.Enqueue(t.Context(), id, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// start runs a deliverer until the test ends, or stop is called.
func start(t testing.TB, d *Deliverer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func newDeliverer(store Store, timing timing, observe func(Result)) *Deliverer {
	d := New(store, Options{Allowed: local, Observe: observe})
	d.timing = timing
	return d
}

// until waits for something that is to happen.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func drained(t *testing.T, r *registry.Registry) {
	t.Helper()
	until(t, "nothing is pending", func() bool {
		n, _, err := r.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// attempts are those of a webhook, oldest first.
func attempts(t *testing.T, r *registry.Registry, id storage.WebhookID) []storage.Attempt {
	t.Helper()
	all, _, err := r.Attempts(t.Context(), storage.Everywhere(), id, "", storage.MaxAttempts)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func stored(t *testing.T, r *registry.Registry, id storage.WebhookID) storage.Webhook {
	t.Helper()
	w, err := r.Webhook(t.Context(), storage.Everywhere(), id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// reset breaks a connection off as a crash does.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = connection.(*net.TCPConn).SetLinger(0)
	_ = connection.Close()
}

// However a receiver fails, it gets every event in the end, no event of an alert before it
// accepted the one before, and all of them signed.
func TestFlaky(t *testing.T) {
	t.Parallel()
	const alerts, each = 6, 8
	r := newRegistry(t)
	var secret atomic.Value
	var mu sync.Mutex
	accepted := make(map[string]int) // by alert: how many in order
	seen := make(map[string]int)     // requests by what came of them
	rng := rand.New(rand.NewPCG(1, 2))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // broken off by the sender
		}
		key, err := standardwebhooks.NewWebhook(secret.Load().(string))
		if err != nil {
			panic(err)
		}
		if err := key.Verify(body, q.Header); err != nil {
			t.Errorf("signature: %v", err)
		}
		parts := strings.Split(q.Header.Get("webhook-id"), "_")
		alert, n := parts[len(parts)-2], 0
		fmt.Sscan(parts[len(parts)-1], &n)
		mu.Lock()
		defer mu.Unlock()
		if n > accepted[alert] {
			t.Errorf("event %d of alert %s, after %d", n, alert, accepted[alert])
		}
		switch choice := rng.IntN(7); choice {
		case 0:
			seen["500"]++
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			seen["302"]++
			http.Redirect(w, q, "/elsewhere", http.StatusFound)
		case 2:
			seen["reset"]++
			reset(w)
		case 3:
			seen["slow"]++
			mu.Unlock()
			<-q.Context().Done()
			mu.Lock()
		case 4:
			seen["cut short"]++
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusBadGateway)
		default:
			seen["accepted"]++
			accepted[alert] = max(accepted[alert], n+1)
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	secret.Store(EncodeSecret(w.Secret))
	timing := patient()
	timing.attempt = 100 * time.Millisecond
	d := newDeliverer(r, timing, nil)
	start(t, d)
	for n := range each {
		for alert := range alerts {
			enqueue(t, r, w.ID, fmt.Sprint(alert), n)
			d.Wake()
		}
	}
	drained(t, r)
	mu.Lock()
	defer mu.Unlock()
	for alert := range alerts {
		if accepted[fmt.Sprint(alert)] != each {
			t.Errorf("alert %d: %d of %d events", alert, accepted[fmt.Sprint(alert)], each)
		}
	}
	if len(seen) != 6 {
		t.Errorf("not all failures were seen: %v", seen)
	}
	t.Log(seen)
	texts := make(map[string]bool)
	for _, a := range attempts(t, r, w.ID) {
		texts[a.Error] = true
	}
	want := []string{"", "answered 302: redirects are not followed", "answered 500", "answered 502", "connection broken off", "timed out after 100ms"}
	if got := slices.Sorted(maps.Keys(texts)); !slices.Equal(got, want) {
		t.Errorf("attempts say %q, want %q", got, want)
	}
}

// What is sent is thin, the same at every attempt but for time and signature, and complete.
func TestMessage(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	type request struct {
		header http.Header
		body   string
	}
	requests := make(chan request, 10)
	var answered atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if q.Method != http.MethodPost || q.URL.String() != "/hook?a=b" {
			t.Errorf("%s %s", q.Method, q.URL)
		}
		requests <- request{q.Header, string(body)}
		if answered.Add(1) == 1 {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL+"/hook?a=b")
	results := make(chan Result, 10)
	d := newDeliverer(r, patient(), func(r Result) { results <- r })
	start(t, d)
	e := enqueue(t, r, w.ID, "alr_a", 0)
	const want = `{"type":"alert.updated","timestamp":"2026-03-04T05:06:07.000891Z","data":{"alert_id":"alr_a","department":"finance","document_id":"doc_a"}}`
	for range 2 {
		q := <-requests
		if q.body != want || q.header.Get("webhook-id") != string(e.ID) || q.header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s", q.header, q.body)
		}
		if _, ok := q.header["Idempotency-Key"]; ok || len(strings.Fields(q.header.Get("webhook-signature"))) != 1 {
			t.Errorf("%v", q.header)
		}
	}
	for n, want := range []storage.Attempt{{Status: 404, Error: "answered 404"}, {Status: 200}} {
		got := (<-results).Attempt
		if got.Number != n+1 || got.Event != e.ID || got.Webhook != w.ID || got.Status != want.Status || got.Error != want.Error || got.At.IsZero() || got.Took <= 0 {
			t.Errorf("%+v", got)
		}
	}
	test, err := d.TestFire(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	q := <-requests
	if !strings.HasPrefix(q.body, `{"type":"webhook.test","timestamp":"`) || !strings.HasSuffix(q.body, `Z","data":{"department":"finance"}}`) || q.header.Get("webhook-id") != string(test.ID) {
		t.Errorf("%v %s", q.header, q.body)
	}
	if body, err := encode(storage.Event{Type: storage.WebhookTest, At: time.Unix(0, 0)}); err != nil || string(body) != `{"type":"webhook.test","timestamp":"1970-01-01T00:00:00Z","data":{}}` {
		t.Errorf("%s, %v", body, err)
	}
}

// While a secret is changed, who knows either of both can verify; afterwards only who
// knows the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	at := time.Now()
	w := storage.Webhook{Secret: NewSecret(), Previous: NewSecret(), PreviousUntil: at.Add(time.Second)}
	if len(w.Secret) != 32 || string(w.Secret) == string(w.Previous) {
		t.Fatal("secrets are no secrets")
	}
	body := []byte(`{}`)
	for _, test := range []struct {
		at              time.Time
		current, before bool
	}{{at, true, true}, {w.PreviousUntil, true, false}} {
		header := http.Header{}
		if err := sign(header, &w, "evt_a", test.at, body); err != nil {
			t.Fatal(err)
		}
		for _, s := range []struct {
			secret []byte
			want   bool
		}{{w.Secret, test.current}, {w.Previous, test.before}, {NewSecret(), false}} {
			key, err := standardwebhooks.NewWebhook(EncodeSecret(s.secret))
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(body, header); (err == nil) != s.want {
				t.Errorf("at %v: %v, want %t", test.at.Sub(at), err, s.want)
			}
		}
	}
}

// Whoever answers 410 is sent nothing more, and what was to come waits.
func TestGone(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var gone atomic.Bool
	var requests atomic.Int32
	gone.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		requests.Add(1)
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	results := make(chan Result, 10)
	start(t, newDeliverer(r, patient(), func(r Result) { results <- r }))
	enqueue(t, r, w.ID, "a", 0)
	if got := <-results; got.Disabled != "answered 410" {
		t.Errorf("%+v", got)
	}
	enqueue(t, r, w.ID, "b", 0)
	time.Sleep(50 * time.Millisecond)
	if n := requests.Load(); n != 1 || stored(t, r, w.ID).Disabled != "answered 410" {
		t.Errorf("%d requests, %+v", n, stored(t, r, w.ID))
	}
	gone.Store(false)
	if err := r.UpdateWebhook(t.Context(), storage.Everywhere(), w); err != nil {
		t.Fatal(err)
	}
	drained(t, r)
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// A webhook is disabled after nothing but failures for too long; one success begins anew.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if requests.Add(1) != 5 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	enqueue(t, r, w.ID, "a", 0)
	enqueue(t, r, w.ID, "a", 1)
	timing := patient()
	timing.giveUp = 2 * time.Second // longer than the first five attempts take on a busy machine
	timing.waits = slices.Repeat([]time.Duration{20 * time.Millisecond}, 1000)
	start(t, newDeliverer(r, timing, nil))
	until(t, "the webhook is disabled", func() bool { return stored(t, r, w.ID).Disabled != "" })
	got := stored(t, r, w.ID)
	all := attempts(t, r, w.ID)
	success := slices.IndexFunc(all, func(a storage.Attempt) bool { return a.Error == "" })
	last := all[len(all)-1]
	if success != 4 || !got.FailingSince.Equal(all[success+1].At) || last.At.Add(last.Took).Sub(got.FailingSince) < timing.giveUp ||
		got.Disabled != "nothing but failures since "+got.FailingSince.Format(time.RFC3339) {
		t.Errorf("%+v after %+v", got, all)
	}
}

// An event fails after the last attempt, and the alert goes on with the next.
func TestFail(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var requests sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		id := q.Header.Get("webhook-id")
		n, _ := requests.LoadOrStore(id, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		if strings.HasSuffix(id, "_0") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	timing := patient()
	timing.waits = timing.waits[:4]
	start(t, newDeliverer(r, timing, nil))
	first, second := enqueue(t, r, w.ID, "a", 0), enqueue(t, r, w.ID, "a", 1)
	drained(t, r)
	for e, want := range map[storage.EventID]int32{first.ID: 4, second.ID: 1} {
		if n, _ := requests.Load(string(e)); n.(*atomic.Int32).Load() != want {
			t.Errorf("event %s: %d requests, want %d", e, n.(*atomic.Int32).Load(), want)
		}
	}
}

// A receiver that asks to be left alone for a while is.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch requests.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat)) // in whole seconds
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	start(t, newDeliverer(r, patient(), nil))
	enqueue(t, r, w.ID, "a", 0)
	drained(t, r)
	all := attempts(t, r, w.ID)
	if len(all) != 3 || all[1].At.Sub(all[0].At) < time.Second || all[2].At.Sub(all[1].At) < time.Second {
		t.Errorf("%+v", all)
	}

	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "x": 0, "1.5": 0, "99999999999999999999": 0, "Wed, 04 Mar 2026 05:07:07 GMT": time.Minute, "Wed, 04 Mar 2020 05:07:07 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// The schedule is that of the specification, give or take a tenth; who asks for more gets it,
// up to a day.
func TestSchedule(t *testing.T) {
	t.Parallel()
	d := New(nil, Options{})
	waits := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
	at := time.Now()
	different := make(map[time.Duration]bool)
	for range 100 {
		for tries, wait := range waits {
			got := d.decide(&storage.Webhook{}, storage.Delivery{State: storage.DeliveryPending, Tries: tries}, answer{failure: "a"}, at).Delivery
			pause := got.DueAt.Sub(at)
			different[pause] = true
			if got.State != storage.DeliveryPending || got.Tries != tries+1 || pause < wait*9/10 || pause > wait*11/10 {
				t.Fatalf("after %d tries: %+v, in %v", tries+1, got, pause)
			}
		}
	}
	if len(different) < 500 {
		t.Errorf("only %d different pauses", len(different))
	}
	if got := d.decide(&storage.Webhook{}, storage.Delivery{Tries: len(waits)}, answer{failure: "a"}, at).Delivery; got.State != storage.DeliveryFailed || got.DoneAt.IsZero() {
		t.Errorf("after the last: %+v", got)
	}
	for _, test := range []struct{ later, want time.Duration }{{time.Hour, time.Hour}, {48 * time.Hour, 24 * time.Hour}} {
		if got := d.decide(&storage.Webhook{}, storage.Delivery{}, answer{failure: "a", later: test.later}, at).Delivery; got.DueAt.Sub(at) != test.want {
			t.Errorf("asked for %v: due in %v", test.later, got.DueAt.Sub(at))
		}
	}
	if got := d.decide(&storage.Webhook{}, storage.Delivery{}, answer{failure: "a", later: time.Second}, at).Delivery; got.DueAt.Sub(at) < 4*time.Second {
		t.Errorf("asked for a second: due in %v, sooner than by the schedule", got.DueAt.Sub(at))
	}
}

// What a deliverer was about when it ended without noting anything is done again by the next
// one; nothing is lost, and order holds.
func TestRestart(t *testing.T) {
	t.Parallel()
	path, key := filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey()
	r := openRegistry(t, path, key)
	var mu sync.Mutex
	var got []string
	arrived, held := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		got = append(got, q.Header.Get("webhook-id"))
		mu.Unlock()
		arrived <- struct{}{}
		<-held
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	for n := range 3 {
		enqueue(t, r, w.ID, "a", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newDeliverer(r, patient(), nil).Run(ctx) }()
	<-arrived
	if err := r.Close(); err != nil { // nothing is noted from here on
		t.Fatal(err)
	}
	cancel()
	close(held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r = openRegistry(t, path, key)
	start(t, newDeliverer(r, patient(), nil))
	drained(t, r)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"evt_whk_a_a_0", "evt_whk_a_a_0", "evt_whk_a_a_1", "evt_whk_a_a_2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Run ends after what is under way was noted, and with an error if the store is gone.
func TestStop(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	arrived, held := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		close(arrived)
		<-held
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	e := enqueue(t, r, w.ID, "a", 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	d := newDeliverer(r, patient(), nil)
	go func() { done <- d.Run(ctx) }()
	<-arrived
	cancel()
	select {
	case err := <-done:
		t.Errorf("ended with an attempt under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(held)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if all := attempts(t, r, w.ID); len(all) != 1 || all[0].Event != e.ID || all[0].Error != "" {
		t.Errorf("%+v", all)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("a closed store: %v", err)
	}
}

// forgetful is a store that fails to note some attempts.
type forgetful struct {
	*registry.Registry
	fails atomic.Int32
}

func (f *forgetful) Attempted(ctx context.Context, a storage.Attempt, d storage.Delivery, disable string) error {
	if f.fails.Add(-1) >= 0 {
		return errors.New("disk full")
	}
	return f.Registry.Attempted(ctx, a, d, disable)
}

// A store that fails for a while does not have a receiver told the same again and again.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	store := &forgetful{Registry: newRegistry(t)}
	store.fails.Store(10)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	w := subscribe(t, store.Registry, "whk_a", server.URL)
	enqueue(t, store.Registry, w.ID, "a", 0)
	start(t, newDeliverer(store, patient(), nil))
	drained(t, store.Registry)
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests of one event", n)
	}
}

// counting counts the requests that are under way, by path, and of all.
type counting struct {
	http.RoundTripper
	mu          sync.Mutex
	under, most map[string]int
}

func (c *counting) RoundTrip(q *http.Request) (*http.Response, error) {
	count := func(by int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, name := range []string{q.URL.Path, "all"} {
			c.under[name] += by
			c.most[name] = max(c.most[name], c.under[name])
		}
	}
	count(1)
	defer count(-1)
	return c.RoundTripper.RoundTrip(q)
}

// Receivers that do not answer hold up nobody else. No more than so many deliveries are
// under way, of one webhook and of all.
func TestFair(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var hung, quick atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // only then the end of the connection is noticed
		if q.URL.Path == "/quick" {
			quick.Add(1)
			return
		}
		hung.Add(1)
		<-q.Context().Done()
	}))
	defer server.Close()
	for i := range 6 {
		w := subscribe(t, r, fmt.Sprint("whk_", i), fmt.Sprint(server.URL, "/hangs-", i))
		for n := range 20 {
			enqueue(t, r, w.ID, fmt.Sprint(n), 0)
		}
	}
	w := subscribe(t, r, "whk_quick", server.URL+"/quick")
	for n := range 20 {
		enqueue(t, r, w.ID, fmt.Sprint(n), 0)
	}
	timing := patient()
	timing.attempt = time.Second
	timing.waits = []time.Duration{0, time.Hour}
	d := newDeliverer(r, timing, nil)
	c := &counting{RoundTripper: d.client.Transport, under: make(map[string]int), most: make(map[string]int)}
	d.client.Transport = c
	start(t, d)
	until(t, "all is delivered to who answers", func() bool { return quick.Load() == 20 })
	if n := hung.Load(); n > 30 { // of 120
		t.Errorf("%d others were waited for", n)
	}
	until(t, "others had their turns", func() bool { return hung.Load() > 20 })
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.most {
		if name == "all" && n != concurrent || name != "all" && n > perWebhook {
			t.Errorf("%s: %d at once", name, n)
		}
	}
	if len(c.most) != 8 || !slices.Contains(slices.Collect(maps.Values(c.most)), perWebhook) {
		t.Errorf("at once: %v", c.most)
	}
}

// What is enqueued again while it is under way goes to the end of what is due; it is under way
// nevertheless, and nothing else takes its place.
func TestAgainUnderWay(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	held := make(chan struct{})
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		requests.Add(1)
		<-held
	}))
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	var events []storage.Event
	for n := range 2 * perWebhook {
		events = append(events, enqueue(t, r, w.ID, fmt.Sprint(n), 0))
	}
	d := newDeliverer(r, patient(), nil)
	start(t, d)
	until(t, "as many as may be are under way", func() bool { return requests.Load() == perWebhook })
	for _, e := range events[:perWebhook] {
		if err := r.Enqueue(t.Context(), w.ID, e); err != nil {
			t.Fatal(err)
		}
	}
	d.Wake()
	time.Sleep(50 * time.Millisecond)
	if n := requests.Load(); n != perWebhook {
		t.Errorf("%d under way", n)
	}
	close(held)
	drained(t, r)
	if n := requests.Load(); n != 2*perWebhook {
		t.Errorf("%d requests of %d events", n, 2*perWebhook)
	}
}

// Connections are used again, and answers are neither kept nor waited for.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	var connections atomic.Int32
	var endless atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = w.Write(make([]byte, maxAnswer-1))
		for endless.Load() && q.Context().Err() == nil {
			if _, err := w.Write(make([]byte, maxAnswer)); err != nil {
				return
			}
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	w := subscribe(t, r, "whk_a", server.URL)
	start(t, newDeliverer(r, patient(), nil))
	for n := range 20 {
		enqueue(t, r, w.ID, "a", n)
	}
	drained(t, r)
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 20 events in order", n)
	}
	endless.Store(true)
	enqueue(t, r, w.ID, "a", 20)
	drained(t, r)
	all := attempts(t, r, w.ID)
	if last := all[len(all)-1]; len(all) != 21 || last.Error != "" || last.Took > 3*time.Second {
		t.Errorf("%d attempts, the last %+v", len(all), last)
	}
}

// What went wrong is said without addresses, and without what a server says.
func TestFailures(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary 127.0.0.1", http.StatusTeapot)
	}))
	defer plain.Close()
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(connection, "canary is no HTTP\r\n\r\n")
		_ = connection.Close()
	}))
	defer garbage.Close()
	d := newDeliverer(nil, patient(), nil)
	for url, want := range map[string]string{
		"http://" + silent.Addr().String():                    "timed out after 300ms",
		"http://" + closed.Addr().String():                    "connection refused",
		untrusted.URL:                                         "certificate not trusted",
		"https://" + strings.TrimPrefix(plain.URL, "http://"): "no TLS connection",
		plain.URL:                "answered 418",
		garbage.URL:              "no valid answer",
		"https://host.invalid./": "host name does not resolve",
		"https://10.1.2.3/":      notAllowed,
	} {
		d.timing.attempt = patient().attempt
		if strings.HasPrefix(want, "timed out") {
			d.timing.attempt = 300 * time.Millisecond
		}
		got := d.attempt(t.Context(), &storage.Webhook{URL: url, Secret: NewSecret()}, storage.Event{ID: "evt_a"}, time.Now())
		if got.failure != want && !(want == "host name does not resolve" && strings.HasPrefix(got.failure, "timed out")) {
			t.Errorf("%s: %q, want %q", url, got.failure, want)
		}
	}
	// A certificate that is trusted is, and an answer by TLS is one.
	trusting := newDeliverer(nil, patient(), nil)
	trusting.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: untrusted.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if got := trusting.attempt(t.Context(), &storage.Webhook{URL: untrusted.URL, Secret: NewSecret()}, storage.Event{ID: "evt_a"}, time.Now()); got.failure != "answered 404" {
		t.Errorf("%+v", got)
	}
}
