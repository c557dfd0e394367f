package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/sealprint/sealprint/api/jetstream"
	"github.com/sealprint/sealprint/api/jetstream/natstest"
	"github.com/sealprint/sealprint/storage/servertest"
)

// child makes the test binary a consumer that ends over certain posts. It holds the URL of
// the server and a folder.
const child = "SEALPRINT_TEST_JETSTREAM_CHILD"

func TestMain(m *testing.M) {
	if url, dir, is := strings.Cut(os.Getenv(child), " "); is {
		takeAndDie(url, dir)
	}
	os.Exit(m.Run())
}

// office is what posts are handed to: it remembers them, and has one say what becomes of each.
type office struct {
	say func(ctx context.Context, post string, times int) (string, error)

	mu    sync.Mutex
	times map[string]int // how often each was handed over
	taken map[string]int
}

func newOffice(say func(ctx context.Context, post string, times int) (string, error)) *office {
	return &office{say: say, times: map[string]int{}, taken: map[string]int{}}
}

func (d *office) TakePost(ctx context.Context, post []byte) (string, error) {
	d.mu.Lock()
	d.times[string(post)]++
	times := d.times[string(post)]
	d.mu.Unlock()
	refused, err := d.say(ctx, string(post), times)
	if refused == "" && err == nil {
		d.mu.Lock()
		d.taken[string(post)]++
		d.mu.Unlock()
	}
	return refused, err
}

func (d *office) counts() (handed, taken int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.times {
		handed += n
	}
	return handed, len(d.taken)
}

func fine(context.Context, string, int) (string, error) { return "", nil }

// log collects what a consumer says.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a consumer that runs until the test ends.
type running struct {
	*jetstream.Consumer
	log  log
	stop func() // and wait

	mu      sync.Mutex
	results map[string]int
}

func options(t testing.TB, url string) jetstream.Options {
	return jetstream.Options{
		URLs: []string{url}, Stream: "POSTS", Consumer: "sealprint", DeadLetters: "refused", AckWait: time.Second, Trials: t.TempDir(), Grace: time.Second,
	}
}

func run(t testing.TB, posts jetstream.Posts, o jetstream.Options) *running {
	t.Helper()
	r := &running{results: map[string]int{}}
	o.Log = slog.New(slog.NewTextHandler(&r.log, nil))
	o.Observe = func(result string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.results[result]++
	}
	var err error
	if r.Consumer, err = jetstream.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx, posts) })
	r.stop = func() { cancel(); work.Wait() }
	t.Cleanup(r.stop)
	return r
}

func (r *running) result(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[name]
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// streams are a server with a stream of posts and one of dead letters.
func streams(t testing.TB) (*natstest.Server, js.JetStream, js.Stream) {
	t.Helper()
	server := natstest.Start(t, "")
	client := server.Connect(t)
	natstest.Stream(t, client, "POSTS", "posts")
	return server, client, natstest.Stream(t, client, "REFUSED", "refused")
}

func numbered(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprintf(`{"id":"p%d"}`, i))
	}
	return bodies
}

// TestAcknowledged: a message is acknowledged after its post was taken, and not delivered
// again while that takes longer than the stream waits for word.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	server, client, _ := streams(t)
	let := make(chan struct{})
	d := newOffice(func(ctx context.Context, _ string, _ int) (string, error) {
		select {
		case <-let:
			return "", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	o := options(t, server.URL)
	r := run(t, d, o)
	posts := numbered(200)
	natstest.Publish(t, client, "posts.a", posts[:32]...)
	eventually(t, "they are in hand", func() bool { handed, _ := d.counts(); return handed == 32 })
	time.Sleep(2 * o.AckWait)
	consumer, err := client.Consumer(t.Context(), "POSTS", "sealprint")
	if err != nil {
		t.Fatal(err)
	}
	if info := consumer.CachedInfo(); info.NumAckPending != 32 || info.NumRedelivered != 0 || info.AckFloor.Stream != 0 {
		t.Errorf("%+v", info)
	}
	natstest.Publish(t, client, "posts.a", posts[32:]...)
	eventually(t, "in hand is what may be", func() bool { handed, _ := d.counts(); return handed >= 64 })
	time.Sleep(o.AckWait)
	if handed, taken := d.counts(); handed != 64 || taken != 0 {
		t.Errorf("%d were handed over, %d taken", handed, taken)
	}
	close(let)
	natstest.Settled(t, client, "POSTS", "sealprint", 200)
	if handed, taken := d.counts(); handed != 200 || taken != 200 || r.result("taken") != 200 || !r.Taking() {
		t.Errorf("%d were handed over, %d taken, %d counted", handed, taken, r.result("taken"))
	}
}

// TestRefused: what is refused is among the dead letters, all of it, and then gone; until
// they take it, it is not.
func TestRefused(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, "")
	client := server.Connect(t)
	natstest.Stream(t, client, "POSTS", "posts")
	const problem = `{"type":"/problems/invalid-request","title":"Invalid request","status":400}`
	d := newOffice(func(_ context.Context, post string, _ int) (string, error) {
		if strings.Contains(post, "author") {
			return problem, nil
		}
		return "", nil
	})
	r := run(t, d, options(t, server.URL))
	// As large as a message may be: there is no room for headers.
	largest := `{"id":"p","author":"` + strings.Repeat("x", 1<<20-22) + `"}`
	bad := `{"id":"p","author":"somebody"}`
	natstest.Publish(t, client, "posts.a", `{"id":"a"}`, bad, largest, `{"id":"b"}`)
	eventually(t, "nobody takes the dead letters", func() bool { return r.result("retried") >= 2 })
	refused := natstest.Stream(t, client, "REFUSED", "refused")
	natstest.Settled(t, client, "POSTS", "sealprint", 4)
	letters := natstest.Letters(t, refused)
	if len(letters) != 2 || r.result("refused") != 2 || r.result("taken") != 2 {
		t.Fatalf("%d dead letters, %v", len(letters), r.results)
	}
	for _, l := range letters {
		if string(l.Data) == largest {
			if len(l.Header) != 0 || !strings.Contains(r.log.String(), `/problems/invalid-request`) {
				t.Errorf("%v", l.Header)
			}
			continue
		}
		if string(l.Data) != bad || l.Header.Get("Sealprint-Problem") != problem || l.Header.Get("Sealprint-Subject") != "posts.a" ||
			l.Header.Get("Sealprint-Stream") != "POSTS" || l.Header.Get("Sealprint-Sequence") != "2" {
			t.Errorf("%s %v", l.Data, l.Header)
		}
	}
	if said := r.log.String(); strings.Contains(said, "somebody") {
		t.Errorf("the log holds a post:\n%s", said)
	}
}

// TestDeadLetterReturns: dead letters that come back as posts do not breed.
func TestDeadLetterReturns(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, "")
	client := server.Connect(t)
	posts := natstest.Stream(t, client, "POSTS", "posts")
	d := newOffice(func(context.Context, string, int) (string, error) { return "{}", nil })
	o := options(t, server.URL)
	o.DeadLetters = "posts.refused"
	r := run(t, d, o)
	natstest.Publish(t, client, "posts", "{}")
	eventually(t, "it comes back", func() bool { return r.result("retried") >= 2 })
	if n := len(natstest.Letters(t, posts)); n != 2 {
		t.Errorf("one post has become %d", n)
	}
	// With subjects of posts, one stream is enough.
	r.stop()
	o.Consumer, o.Subjects = "another", []string{"posts", "posts.in.>"}
	r = run(t, d, o)
	natstest.Settled(t, client, "POSTS", "another", 1)
	if r.result("refused") != 1 || r.result("retried") != 0 {
		t.Error(r.log.String())
	}
}

// TestRetried: what fails for a time is delivered again, and taken in the end; of what failed
// and has an outcome no note is left.
func TestRetried(t *testing.T) {
	t.Parallel()
	server, client, refused := streams(t)
	d := newOffice(func(_ context.Context, post string, times int) (string, error) {
		if times <= 2 && strings.Contains(post, "7") {
			return "", errors.New("the disk is full")
		}
		return "", nil
	})
	o := options(t, server.URL)
	r := run(t, d, o)
	natstest.Publish(t, client, "posts", numbered(50)...)
	natstest.Settled(t, client, "POSTS", "sealprint", 50)
	if _, taken := d.counts(); taken != 50 || r.result("retried") != 5*2 || len(natstest.Letters(t, refused)) != 0 {
		t.Errorf("%d were taken, %v", taken, r.results)
	}
	if left, err := os.ReadDir(o.Trials); err != nil || len(left) != 0 {
		t.Errorf("notes of trials stay: %v, %v", left, err)
	}
}

// TestServerKilled: a NATS server that is killed in the middle and started again costs no
// post, and one that is not there at first is waited for.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	server, client, refused := streams(t)
	server.Stop()
	const posts = 600
	d := newOffice(func(context.Context, string, int) (string, error) { time.Sleep(5 * time.Millisecond); return "", nil })
	r := run(t, d, options(t, server.URL))
	eventually(t, "that the server is missing is told", func() bool { return strings.Contains(r.log.String(), "not taken") })
	if r.Taking() {
		t.Error("posts are taken from nowhere")
	}
	server.Restart()
	natstest.Publish(t, client, "posts", numbered(posts)...)
	for _, n := range []int{50, 200} {
		eventually(t, "posts are taken", func() bool { _, taken := d.counts(); return taken >= n })
		server.Stop()
		server.Restart()
	}
	natstest.Settled(t, client, "POSTS", "sealprint", posts)
	if _, taken := d.counts(); taken != posts || len(natstest.Letters(t, refused)) != 0 {
		t.Errorf("%d were taken, of %d", taken, posts)
	}
}

// TestMissing: a stream that is made later is waited for, and a consumer that is deleted is
// made again.
func TestMissing(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, "")
	client := server.Connect(t)
	d := newOffice(fine)
	r := run(t, d, options(t, server.URL))
	eventually(t, "that the stream is missing is told", func() bool { return strings.Contains(r.log.String(), "stream not found") })
	natstest.Stream(t, client, "POSTS", "posts")
	natstest.Publish(t, client, "posts", numbered(1)...)
	eventually(t, "a post is taken", func() bool { _, taken := d.counts(); return taken == 1 })
	if err := client.DeleteConsumer(t.Context(), "POSTS", "sealprint"); err != nil {
		t.Fatal(err)
	}
	natstest.Publish(t, client, "posts", numbered(2)...)
	eventually(t, "two posts are taken", func() bool { _, taken := d.counts(); return taken == 2 })
}

// TestConsumer: a consumer that is there keeps what sealprint does not need to decide.
func TestConsumer(t *testing.T) {
	t.Parallel()
	server, client, _ := streams(t)
	natstest.Publish(t, client, "posts.old", "1", "2")
	if _, err := client.CreateConsumer(t.Context(), "POSTS", js.ConsumerConfig{
		Durable: "sealprint", DeliverPolicy: js.DeliverNewPolicy, AckPolicy: js.AckExplicitPolicy, MaxDeliver: 3, FilterSubject: "posts.>", Description: "ours",
	}); err != nil {
		t.Fatal(err)
	}
	d := newOffice(fine)
	o := options(t, server.URL)
	o.Subjects = []string{"posts.new"}
	r := run(t, d, o)
	eventually(t, "posts are taken", r.Taking)
	natstest.Publish(t, client, "posts.other", "3")
	natstest.Publish(t, client, "posts.new", "4")
	eventually(t, "a post is taken", func() bool { return r.result("taken") == 1 })
	got := natstest.Settled(t, client, "POSTS", "sealprint", 4).Config
	if got.MaxDeliver != -1 || got.AckWait != o.AckWait || got.MaxAckPending != 1000 || got.Description != "ours" || d.times["4"] != 1 {
		t.Errorf("%+v, %v", got, d.times)
	}
	r.stop()
	// One that would lose posts, and cannot be changed, is not used.
	if _, err := client.CreateConsumer(t.Context(), "POSTS", js.ConsumerConfig{Durable: "careless", AckPolicy: js.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	o.Consumer = "careless"
	r = run(t, d, o)
	eventually(t, "the consumer is refused", func() bool { return strings.Contains(r.log.String(), "make the consumer") })
	if r.Taking() {
		t.Error("posts are taken without acknowledgement")
	}
}

// TestStop: what is in hand when the consumer is to stop is finished in the grace time, and
// given back after it.
func TestStop(t *testing.T) {
	t.Parallel()
	server, client, _ := streams(t)
	let := make(chan struct{})
	d := newOffice(func(ctx context.Context, post string, _ int) (string, error) {
		if strings.Contains(post, "slow") {
			<-ctx.Done()
			return "", ctx.Err()
		}
		<-let
		return "", nil
	})
	o := options(t, server.URL)
	o.Grace = 500 * time.Millisecond
	r := run(t, d, o)
	natstest.Publish(t, client, "posts", `{"id":"a"}`, `{"id":"slow"}`)
	eventually(t, "both are in hand", func() bool { handed, _ := d.counts(); return handed == 2 })
	time.AfterFunc(o.Grace/5, func() { close(let) })
	r.stop()
	natstest.Publish(t, client, "posts", `{"id":"b"}`)
	if r.result("taken") != 1 || r.result("retried") != 1 || r.Taking() {
		t.Errorf("%v", r.results)
	}
	next := newOffice(fine)
	run(t, next, o)
	natstest.Settled(t, client, "POSTS", "sealprint", 3)
	if handed, _ := next.counts(); handed != 2 || next.taken[`{"id":"slow"}`] != 1 {
		t.Errorf("%v", next.taken)
	}
}

// takeAndDie takes posts until one kills the process.
func takeAndDie(url, dir string) {
	o := jetstream.Options{URLs: []string{url}, Stream: "POSTS", Consumer: "sealprint", DeadLetters: "refused", AckWait: time.Second, Trials: dir}
	posts := newOffice(func(_ context.Context, post string, _ int) (string, error) {
		if strings.Contains(post, "deadly") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
		return "", nil
	})
	if c, err := jetstream.New(o); err == nil {
		c.Run(context.Background(), posts)
	}
	os.Exit(1)
}

// TestUnfinished: a post that kills the process again and again is a dead letter in the end;
// those beside it are taken.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	server, client, refused := streams(t)
	posts := numbered(40)
	posts[5] = `{"id":"deadly"}`
	natstest.Publish(t, client, "posts", posts...)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lives := 0
	var work sync.WaitGroup
	work.Go(func() {
		for ; ctx.Err() == nil; lives++ {
			c := exec.CommandContext(ctx, os.Args[0])
			c.Env = append(os.Environ(), child+"="+server.URL+" "+dir)
			_ = c.Run() // it is killed
		}
	})
	natstest.Settled(t, client, "POSTS", "sealprint", uint64(len(posts)))
	cancel()
	work.Wait()
	letters := natstest.Letters(t, refused)
	// It killed the process beside others, and alone three times; the fifth lives.
	if len(letters) != 1 || lives != 5 {
		t.Fatalf("%d dead letters after %d lives", len(letters), lives)
	}
	if l := letters[0]; string(l.Data) != posts[5] || !strings.Contains(l.Header.Get("Sealprint-Problem"), "/problems/unfinished") {
		t.Errorf("%s %v", l.Data, l.Header)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("notes of trials stay: %v, %v", left, err)
	}
}

// TestCredentials: who connects is said by files, over TLS if there is one with
// certificates; it may do no more than it has to; and no secret is told.
func TestCredentials(t *testing.T) {
	t.Parallel()
	const (
		secret = "s3cret-of-the-consumer"
		seed   = "SUANI7NQQ7ETX4MB2JVG247ZD5V6Y2T5KFTGSX4RLTHUAZ7OHBCXYSY7V4" // of the tests alone
		public = "UDS6OK2YXXSTJBJNNG3OWP3IKW627EPIWC5ZFQL7D7U5TB7WD3EXVHK5"
		admin  = `{user: admin, password: admin}`
		// What a consumer that is there already needs.
		least = `permissions: {
			publish: ["$JS.API.CONSUMER.INFO.POSTS.sealprint", "$JS.API.CONSUMER.MSG.NEXT.POSTS.sealprint", "$JS.ACK.POSTS.sealprint.>", "refused"]
			subscribe: "_INBOX.>"
		}`
	)
	dir := t.TempDir()
	certificate, key := servertest.Certificate(t)
	nkey := filepath.Join(dir, "nkey")
	if err := os.WriteFile(nkey, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	operator, err := os.ReadFile("testdata/operator.conf")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings string
		admin    nats.Option
		options  func(*jetstream.Options)
	}{
		"token": {"authorization: {token: " + secret + "}", nats.Token(secret), func(o *jetstream.Options) { o.Token = secret }},
		"user, by TLS": {
			fmt.Sprintf("authorization: {users: [%s, {user: sealprint, password: %s, %s}]}\ntls: {cert_file: %q, key_file: %q}", admin, secret, least, certificate, key),
			func(o *nats.Options) error {
				return errors.Join(nats.UserInfo("admin", "admin")(o), nats.RootCAs(certificate)(o))
			},
			func(o *jetstream.Options) { o.User, o.Password, o.CAFile = "sealprint", secret, certificate },
		},
		"creds file": {string(operator), nats.UserCredentials("testdata/user.creds"), func(o *jetstream.Options) { o.CredsFile = "testdata/user.creds" }},
		"nkey": {
			fmt.Sprintf("authorization: {users: [%s, {nkey: %s, %s}]}", admin, public, least), nats.UserInfo("admin", "admin"),
			func(o *jetstream.Options) { o.NkeyFile = nkey },
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t, c.settings)
			client := server.Connect(t, c.admin)
			natstest.Stream(t, client, "POSTS", "posts")
			refused := natstest.Stream(t, client, "REFUSED", "refused")
			if _, err := client.CreateConsumer(t.Context(), "POSTS", js.ConsumerConfig{
				Durable: "sealprint", AckPolicy: js.AckExplicitPolicy, AckWait: time.Second, MaxAckPending: 1000,
			}); err != nil {
				t.Fatal(err)
			}
			d := newOffice(func(_ context.Context, post string, times int) (string, error) {
				if post == "bad" {
					return "{}", nil
				}
				return "", nil
			})
			o := options(t, server.URL)
			denied := run(t, d, o)
			eventually(t, "nobody in particular is refused", func() bool { return strings.Contains(denied.log.String(), "not taken") })
			denied.stop()
			c.options(&o)
			r := run(t, d, o)
			natstest.Publish(t, client, "posts", "good", "bad")
			natstest.Settled(t, client, "POSTS", "sealprint", 2)
			if r.result("taken") != 1 || r.result("refused") != 1 || len(natstest.Letters(t, refused)) != 1 {
				t.Errorf("%v\n%s", r.results, r.log.String())
			}
			for _, s := range []string{secret, seed} {
				if strings.Contains(r.log.String()+denied.log.String(), s) {
					t.Error("the log holds the secret")
				}
			}
		})
	}
}

// TestOptions: what cannot work is said at once.
func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*jetstream.Options){
		"no server":            func(o *jetstream.Options) { o.URLs = nil },
		"not NATS":             func(o *jetstream.Options) { o.URLs = []string{"http://a"} },
		"a secret in the URL":  func(o *jetstream.Options) { o.URLs = []string{"nats://a:hidden@b"} },
		"no stream":            func(o *jetstream.Options) { o.Stream = "" },
		"a path":               func(o *jetstream.Options) { o.Consumer = "../a" },
		"no dead letters":      func(o *jetstream.Options) { o.DeadLetters = "" },
		"dead letters at will": func(o *jetstream.Options) { o.DeadLetters = "a.*" },
		"dead letters":         func(o *jetstream.Options) { o.Subjects = []string{o.DeadLetters} },
		"two credentials":      func(o *jetstream.Options) { o.Token, o.NkeyFile = "hidden", "b" },
		"half a credential":    func(o *jetstream.Options) { o.User = "a" },
		"no file of a seed":    func(o *jetstream.Options) { o.NkeyFile = "/no/file" },
		"no file":              func(o *jetstream.Options) { o.CredsFile = "/no/file" },
		"no certificates":      func(o *jetstream.Options) { o.CAFile = "/no/file" },
		"no patience":          func(o *jetstream.Options) { o.AckWait = time.Millisecond },
	} {
		o := options(t, "nats://127.0.0.1:1")
		change(&o)
		if _, err := jetstream.New(o); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
