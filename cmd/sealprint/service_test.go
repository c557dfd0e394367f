package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/api/jetstream/natstest"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// made reads what a command with --json printed.
func made[T any](t testing.TB, r result) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &value); r.code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	return value
}

// TestAlertsSurvive: while the server is killed again and again between a post and what
// comes of it, and the receiver of webhooks answers with errors, redirects and silence,
// every alert is delivered, verified, and made once.
func TestAlertsSurvive(t *testing.T) {
	t.Setenv("SEALPRINT_WEBHOOK_ALLOW", "127.0.0.0/8")
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	const documents = 24
	files := map[string]string{}
	for i := range documents {
		files[fmt.Sprintf("%02d.txt", i)] = fingerprinttest.Prose(uint64(i), 3000)
	}
	write(t, papers, files)

	var mu sync.Mutex
	delivered, refused := map[string]bool{}, map[string]bool{} // alerts, events
	secret := ""
	chance, fate := rand.New(rand.NewPCG(2, 2)), rand.New(rand.NewPCG(2, 3)) // of this goroutine; of the receiver, behind mu
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		event, err := client.VerifyWebhook(secret, r.Header, body)
		if err != nil {
			t.Errorf("a delivery does not verify: %v", err)
		}
		// Once for each event: the pause after a second failure is minutes long.
		if !refused[event.ID] {
			refused[event.ID] = true
			switch fate.IntN(5) {
			case 0:
				w.WriteHeader(http.StatusInternalServerError)
				return
			case 1:
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			case 2:
				panic(http.ErrAbortHandler) // the connection breaks off
			}
		}
		delivered[event.AlertID] = true
	}))
	defer receiver.Close()

	s := startProcess(t, data)
	if r := s.cli("register", papers, "--department", "finance", "--json"); r.code != exitOK {
		t.Fatal(r.err)
	}
	mu.Lock()
	secret = made[client.NewWebhook](t, s.cli("webhook", "create", receiver.URL, "--event", "alert.created", "--department", "finance", "--json")).Secret
	mu.Unlock()
	alerts := map[string]string{} // by post
	for i := range documents {
		if i%4 == 0 {
			pause := time.Duration(chance.IntN(40)) * time.Millisecond
			victim := s.cmd.Process
			time.AfterFunc(pause, func() { _ = victim.Kill() })
		}
		for try := 0; ; try++ {
			body := fmt.Sprintf(`{"id":"post %d","text":%q}`, i, files[fmt.Sprintf("%02d.txt", i)][500:900])
			request, err := http.NewRequest(http.MethodPost, s.url+"/v1/posts", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+s.key)
			request.Header.Set("Content-Type", "application/json")
			r, err := http.DefaultClient.Do(request)
			var answer client.PostAnswer
			if err == nil {
				err = json.NewDecoder(r.Body).Decode(&answer)
				r.Body.Close()
			}
			if err == nil && len(answer.AlertIds) == 1 {
				alerts[answer.ID] = answer.AlertIds[0]
				break
			}
			if try == 3 {
				t.Fatalf("post %d: %v %+v", i, err, answer)
			}
			<-s.done
			s.done <- 0 // for kill
			s.kill()
			s = startProcess(t, data)
		}
	}
	s.kill() // the last of those above may still be to come
	s = startProcess(t, data)
	deadline := time.Now().Add(90 * time.Second)
	for {
		mu.Lock()
		n := len(delivered)
		mu.Unlock()
		if n == documents || time.Now().After(deadline) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	mu.Lock()
	for post, id := range alerts {
		if !delivered[id] {
			t.Errorf("the alert about %s was not delivered", post)
		}
	}
	if len(delivered) != documents {
		t.Errorf("%d alerts were delivered, of %d", len(delivered), documents)
	}
	mu.Unlock()
	list := s.cli("alert", "list", "--json")
	if n := strings.Count(list.out, "\n"); n != documents {
		t.Errorf("there are %d alerts, not %d", n, documents)
	}
	if r := s.cli("audit", "verify"); r.code != exitOK || !strings.HasPrefix(r.out, "sealprint-audit-1 ") {
		t.Errorf("%d %s%s", r.code, r.out, r.err)
	}
	if r := s.cli("audit", "verify", "--data", data); r.code != exitOK {
		t.Errorf("%d %s%s", r.code, r.out, r.err)
	}
}

// TestStreamSurvives: while the server is killed again and again as posts flow from JetStream,
// every leak becomes one alert that counts each of its posts once, and what is refused is a
// dead letter.
func TestStreamSurvives(t *testing.T) {
	nats := natstest.Start(t, "")
	stream := nats.Connect(t)
	natstest.Stream(t, stream, "POSTS", "posts")
	refused := natstest.Stream(t, stream, "REFUSED", "refused")
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	const (
		documents = 24
		rounds    = 4
		leaks     = 2 * documents // in all; every fifth post is one
		posts     = 5 * leaks
	)
	files := map[string]string{}
	for i := range documents {
		files[fmt.Sprintf("%02d.txt", i)] = fingerprinttest.Prose(uint64(i), 3000)
	}
	write(t, papers, files)
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	config := fmt.Sprintf("jetstream: {urls: [%q], stream: POSTS, dead_letters: refused, ack_wait: 1s}\n", nats.URL)
	if err := os.WriteFile(settings, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startProcess(t, data, "--config", settings)
	if r := s.cli("register", papers, "--department", "finance", "--json"); r.code != exitOK {
		t.Fatal(r.err)
	}
	chance := rand.New(rand.NewPCG(3, 3))
	// left is how many posts are in the stream without an outcome.
	left := func() int {
		consumer, err := stream.Consumer(t.Context(), "POSTS", "sealprint")
		if err != nil {
			t.Fatal(err)
		}
		return int(consumer.CachedInfo().NumPending) + consumer.CachedInfo().NumAckPending
	}
	for round := range rounds {
		for i := round * posts / rounds; i < (round+1)*posts/rounds; i++ {
			text := fmt.Sprint("nothing to see here, number ", i)
			if i%5 == 0 {
				text = files[fmt.Sprintf("%02d.txt", i/5%documents)][500:900]
			}
			natstest.Publish(t, stream, "posts.a", fmt.Sprintf(`{"id":"post %d","text":%q}`, i, text))
		}
		natstest.Publish(t, stream, "posts.a", fmt.Sprintf(`{"id":"bad %d","author":"somebody"}`, round))
		// Killed after some of them, while others are in hand.
		for until := max(0, left()-1-chance.IntN(posts/rounds)); left() > until; time.Sleep(time.Millisecond) {
		}
		s.kill()
		s = startProcess(t, data, "--config", settings)
	}
	natstest.Settled(t, stream, "POSTS", "sealprint", posts+rounds)
	list := s.cli("alert", "list", "--state", "new,triage", "--json")
	alerts := 0
	for line := range strings.Lines(list.out) {
		var alert client.Alert
		if err := json.Unmarshal([]byte(line), &alert); err != nil || alert.Posts != leaks/documents {
			t.Errorf("%v: %s", err, line)
		}
		alerts++
	}
	if alerts != documents {
		t.Errorf("there are %d alerts, not %d: %s", alerts, documents, list.err)
	}
	letters := natstest.Letters(t, refused)
	for _, l := range letters {
		if !strings.Contains(string(l.Data), "somebody") {
			t.Errorf("%s is a dead letter: %s", l.Data, l.Header.Get("Sealprint-Problem"))
		}
	}
	if len(letters) != rounds {
		t.Errorf("there are %d dead letters, not %d", len(letters), rounds)
	}
	if r := s.cli("audit", "verify"); r.code != exitOK {
		t.Errorf("%d %s%s", r.code, r.out, r.err)
	}
	if strings.Contains(s.log.String(), "somebody") {
		t.Error("the log holds a post")
	}
}

// TestStreamSettings: what cannot work is told before the server starts, and NATS that is not
// there keeps no server from starting.
func TestStreamSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"token": "hidden\n", "empty": "\n"})
	serve := func(settings string) []string {
		path := filepath.Join(dir, "settings.yaml")
		if err := os.WriteFile(path, []byte("jetstream: "+settings), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--config", path}
	}
	for _, settings := range []string{
		"{urls: [nats://127.0.0.1:1], stream: POSTS}",
		"{urls: [nats://127.0.0.1:1], stream: POSTS, dead_letters: refused, token: hidden}",
		"{urls: [nats://hidden@127.0.0.1:1], stream: POSTS, dead_letters: refused}",
		fmt.Sprintf("{urls: [nats://127.0.0.1:1], stream: POSTS, dead_letters: refused, token_file: %s/absent}", dir),
		fmt.Sprintf("{urls: [nats://127.0.0.1:1], stream: POSTS, dead_letters: refused, token_file: %s/empty}", dir),
		fmt.Sprintf("{urls: [nats://127.0.0.1:1], stream: POSTS, dead_letters: refused, token_file: %s/token, user: a, password_file: %s/token}", dir, dir),
	} {
		var said bytes.Buffer
		code := run(t.Context(), append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}, serve(settings)...), nil, io.Discard, &said)
		if code != exitUsage || strings.Contains(said.String(), "hidden") {
			t.Errorf("%s: exit %d: %s", settings, code, &said)
		}
	}
	s := start(t, filepath.Join(dir, "data"), serve(fmt.Sprintf("{urls: [nats://127.0.0.1:1], stream: POSTS, dead_letters: refused, token_file: %s/token}", dir))...)
	r, err := http.Get(s.url + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(body), "posts from JetStream: not taken") {
		t.Errorf("%d %s %v", r.StatusCode, body, err)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.log.String(), "posts are not taken from JetStream"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody is told:\n%s", s.log)
		}
	}
	s.stop()
}

// TestOffice walks what a department does in a week, by the command line alone.
func TestOffice(t *testing.T) {
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	memo := fingerprinttest.Prose(1, 3000)
	write(t, papers, map[string]string{"memo.txt": memo})
	s := start(t, data)
	admin := s.key
	registrar := made[madeKey](t, s.cli("key", "create", "--role", "registrar", "--department", "finance", "--json"))
	analyst := made[madeKey](t, s.cli("key", "create", "--role", "analyst", "--department", "finance", "--expires", "24h", "--label", "desk 4", "--json"))
	monitor := made[madeKey](t, s.cli("key", "create", "--role", "monitor", "--json"))

	s.key = registrar.Key
	report, _ := lines(t, s.cli("register", papers, "--json").out)
	id := report[filepath.Join(papers, "memo.txt")].DocumentID
	if r := s.cli("match", "--text", memo[:300]); r.code != exitNotAllowed {
		t.Errorf("a registrar looks up: %d", r.code)
	}
	s.key = monitor.Key
	seen, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := seen.Post(t.Context(), client.Post{ID: "p1", Text: memo[300:900]})
	if err != nil || len(answer.AlertIds) != 1 {
		t.Fatalf("%v %+v", err, answer)
	}
	n := 0
	for result, err := range seen.Posts(t.Context(), slices.Values([]client.Post{{ID: "p1", Text: memo[300:900]}, {ID: "p1", Text: "other"}, {ID: "p2", Text: "nothing"}})) {
		if err != nil || (result.Problem != nil) != (n == 1) || n == 0 && result.AlertIds[0] != answer.AlertIds[0] {
			t.Errorf("%d: %v %+v", n, err, result)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d results", n)
	}
	s.key = analyst.Key
	alert := made[client.AlertDetail](t, s.cli("alert", "show", answer.AlertIds[0], "--json"))
	if alert.Document.ID != id || alert.Posts != 1 {
		t.Errorf("%+v", alert)
	}
	if r := s.cli("alert", "list", "--state", "new"); !strings.Contains(r.out, alert.ID) {
		t.Errorf("%s%s", r.out, r.err)
	}
	if r := s.cli("alert", "decide", alert.ID, "--state", "public_quotation", "--reason", "read out in the assembly", "--exclude-until", "720h"); r.code != exitOK || !strings.Contains(r.out, "public_quotation") {
		t.Errorf("%s%s", r.out, r.err)
	}
	if r := s.cli("alert", "show", alert.ID); !strings.Contains(r.out, "new → public_quotation, read out in the assembly") {
		t.Errorf("%s%s", r.out, r.err)
	}
	if a := s.match(memo[300:900]); a.Verdict != "public" {
		t.Errorf("what was excluded is %s", a.Verdict)
	}
	s.key = registrar.Key
	release := strings.TrimSpace(s.cli("document", "release", id, "--authority", "press wing", "--from", "-1h", "--until", "1h").out)
	s.key = analyst.Key
	if a := s.match(memo); a.Verdict != "authorized" {
		t.Errorf("what was released is %s", a.Verdict)
	}
	s.key = registrar.Key
	if r := s.cli("document", "releases", id); !strings.Contains(r.out, release) || !strings.Contains(r.out, "excluded") {
		t.Errorf("%s%s", r.out, r.err)
	}
	for _, line := range [][]string{{"document", "revoke", id, release}, {"document", "withdraw", id, "--reason", "superseded"}} {
		if r := s.cli(line...); r.code != exitOK {
			t.Errorf("%v: %s%s", line, r.out, r.err)
		}
	}
	s.key = admin
	if a := s.match(memo); a.Verdict != "no_match" {
		t.Errorf("what was withdrawn is %s", a.Verdict)
	}
	if r := s.cli("key", "revoke", analyst.ID); r.code != exitOK {
		t.Error(r.err)
	}
	if r := s.cli("key", "list"); !strings.Contains(r.out, "desk 4") || strings.Contains(r.out, analyst.Key) {
		t.Error(r.out)
	}
	if r := s.cli("audit", "list", "--action", "decideAlert"); strings.Count(r.out, "decideAlert") != 2 {
		t.Errorf("%s%s", r.out, r.err)
	}
	s.key = analyst.Key
	if r := s.cli("alert", "list"); r.code != exitNotAllowed {
		t.Errorf("a revoked key: %d", r.code)
	}
}

// TestRecipes: the recipes of examples do what they say.
func TestRecipes(t *testing.T) {
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	memo := fingerprinttest.Prose(1, 3000)
	write(t, papers, map[string]string{"memo.txt": memo, "posts.ndjson": ""})
	s := start(t, data)
	if r := s.cli("register", filepath.Join(papers, "memo.txt")); r.code != exitOK {
		t.Fatal(r.err)
	}
	recipe := func(name string, args ...string) (string, string) {
		t.Helper()
		var out, errOut bytes.Buffer
		cmd := exec.Command("../../examples/"+name, args...)
		cmd.Env = append(os.Environ(), "SEALPRINT_URL="+s.url, "SEALPRINT_API_KEY="+s.key)
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v: %s%s", name, err, out.String(), errOut.String())
		}
		return out.String(), errOut.String()
	}
	out, _ := recipe("post.sh", "He said \"look\" at C:\\leaks\tand\nthen: "+memo[200:700])
	var answer client.PostAnswer
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Verdict != "unauthorized" {
		t.Errorf("%v: %s", err, out)
	}
	var posts strings.Builder
	for i := range 500 {
		text := fmt.Sprint("nothing to see here, number ", i)
		if i%100 == 3 {
			text = memo[200:700]
		}
		fmt.Fprintf(&posts, `{"id":"p%d","text":%q}`+"\n", i, text)
	}
	path := filepath.Join(papers, "posts.ndjson")
	if err := os.WriteFile(path, []byte(posts.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, said := recipe("post.py", path)
	if strings.Count(out, answer.AlertIds[0]) != 5 || !strings.Contains(said, "500 taken, 5 with alerts, 0 refused") {
		t.Errorf("%s%s", out, said)
	}
}

// TestStopUnderLoad: a server that is asked to stop while it is asked much says so first, and
// then fails nobody; what it acknowledged is there afterwards.
func TestStopUnderLoad(t *testing.T) {
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	const documents = 8
	files := map[string]string{}
	for i := range documents {
		files[fmt.Sprintf("%02d.txt", i)] = fingerprinttest.Prose(uint64(i), 3000)
	}
	write(t, papers, files)
	s := startProcess(t, data)
	if r := s.cli("register", papers, "--json"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	api, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	var turned atomic.Bool
	var mu sync.Mutex
	taken := map[string]client.PostAnswer{}
	var load sync.WaitGroup
	for worker := range 8 {
		load.Go(func() {
			for n := 0; !turned.Load(); n++ {
				id := fmt.Sprint(worker, "/", n)
				answer, err := once(t.Context(), api, client.Post{ID: id, Text: files[fmt.Sprintf("%02d.txt", n%documents)][100*worker : 100*worker+400]})
				if err != nil {
					t.Errorf("a post failed: %v", err)
					return
				}
				mu.Lock()
				taken[id] = *answer
				mu.Unlock()
			}
		})
	}
	load.Go(func() { // a balancer
		for asked := 0; ; asked++ {
			r, err := http.Get(s.url + "/readyz")
			if err != nil {
				t.Errorf("the server was gone before it said that it stops: %v", err)
				turned.Store(true)
				return
			}
			r.Body.Close()
			if r.StatusCode == http.StatusServiceUnavailable {
				turned.Store(true)
				return
			}
			if asked == 25 {
				if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	load.Wait()
	code := <-s.done
	s.cmd = nil
	if code != exitOK {
		t.Errorf("the server ended with %d: %s", code, s.log.String())
	}
	if len(taken) < 8 {
		t.Fatalf("only %d posts were taken", len(taken))
	}
	again := startProcess(t, data)
	if api, err = client.New(again.url, again.key); err != nil {
		t.Fatal(err)
	}
	for id, before := range taken {
		var worker, n int
		if _, err := fmt.Sscanf(id, "%d/%d", &worker, &n); err != nil {
			t.Fatal(err)
		}
		now, err := api.Post(t.Context(), client.Post{ID: id, Text: files[fmt.Sprintf("%02d.txt", n%documents)][100*worker : 100*worker+400]})
		if err != nil || now.Verdict != "unauthorized" || !slices.Equal(now.AlertIds, before.AlertIds) {
			t.Errorf("%s was %+v and is %+v, %v", id, before, now, err)
		}
	}
}

// once takes a post in without trying again.
func once(ctx context.Context, api *client.Client, p client.Post) (answer *client.PostAnswer, err error) {
	for r, err := range api.Posts(ctx, slices.Values([]client.Post{p})) {
		switch {
		case err != nil:
			return nil, err
		case r.Problem != nil:
			return nil, r.Problem
		}
		answer = &r.PostAnswer
	}
	if answer == nil {
		err = errors.New("no answer")
	}
	return answer, err
}

// TestSeenBefore: a document is found in what stood in the media of posts before it was
// registered: in a file, and in what was read of a picture.
func TestSeenBefore(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	api, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	const filed, shown = "water-barrage-inspection-report.pdf", "power-circular-debt-minutes.pdf"
	papers, dir := map[string]string{}, t.TempDir()
	for _, name := range []string{filed, shown} {
		content, err := os.ReadFile(filepath.Join("..", "..", "testdata", "documents", name))
		if err != nil {
			t.Fatal(err)
		}
		papers[name] = string(content)
	}
	write(t, dir, papers)
	answer, err := api.Post(t.Context(), client.Post{ID: "x/1", Media: []client.Medium{
		{ContentType: "application/pdf", Data: []byte(papers[filed])}, {ContentType: "image/png", Data: []byte(firstPage(t, []byte(papers[shown])))},
	}})
	if err != nil || answer.Verdict != "no_match" {
		t.Fatalf("%+v, %v", answer, err)
	}
	if r := s.cli("register", dir, "--department", "finance"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	media := map[string]int{} // by title
	for deadline := time.Now().Add(time.Minute); len(media) < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("alerts about %v", media)
		}
		for a, err := range api.Alerts(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			detail, err := api.Alert(t.Context(), a.ID)
			if err != nil {
				t.Fatal(err)
			}
			p := detail.NewestPosts[0].Passages[0]
			title := detail.Document.Title
			if media[title] = p.Medium; !a.Late || (p.Query.X != nil) != strings.HasPrefix(shown, title) {
				t.Errorf("%s: %+v, %+v", title, a, p)
			}
		}
	}
	for title, medium := range media {
		if want := map[bool]int{false: 1, true: 2}[strings.HasPrefix(shown, title)]; medium != want {
			t.Errorf("%s was seen in medium %d, not %d", title, medium, want)
		}
	}
}
