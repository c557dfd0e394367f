package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/ingest/extract"
)

// runMain makes the test binary the program, for tests that kill it.
const runMain = "SEALPRINT_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if code, is := extract.Child(os.Args); is {
		os.Exit(code)
	}
	if os.Getenv(runMain) != "" {
		main()
	}
	for _, name := range []string{"SEALPRINT_URL", "SEALPRINT_API_KEY", "SEALPRINT_CONFIG", "SEALPRINT_LISTEN", "SEALPRINT_DATA"} {
		os.Unsetenv(name)
	}
	os.Setenv("SEALPRINT_CACHE", extract.UserCache()) // compiled once, not for every server
	os.Exit(m.Run())
}

// syncBuffer collects what a running server writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// server is a running server, in this process or in one of its own.
type server struct {
	t    testing.TB
	data string
	url  string
	key  string
	log  *syncBuffer

	cancel context.CancelFunc // in this process
	done   chan int
	cmd    *exec.Cmd // in its own
}

var ready = regexp.MustCompile(`"msg":"ready".*"address":"([^"]*)"`)

// start runs a server on a data folder in this process.
func start(t testing.TB, data string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, data: data, log: &syncBuffer{}, done: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		s.done <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, flags...), nil, io.Discard, s.log)
	}()
	s.awaitReady()
	t.Cleanup(s.stop)
	return s
}

// startProcess runs a server in a process that can be killed.
func startProcess(t testing.TB, data string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, data: data, log: &syncBuffer{}, done: make(chan int, 1)}
	s.cmd = exec.Command(os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, flags...)...)
	s.cmd.Env = append(os.Environ(), runMain+"=1")
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan<- int) {
		_ = cmd.Wait() // it is killed
		done <- cmd.ProcessState.ExitCode()
	}(s.cmd, s.done)
	s.awaitReady()
	t.Cleanup(s.kill)
	return s
}

func (s *server) awaitReady() {
	s.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		if m := ready.FindStringSubmatch(s.log.String()); m != nil {
			s.url = m[1]
			break
		}
		select {
		case code := <-s.done:
			s.t.Fatalf("the server ended with %d:\n%s", code, s.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server is not ready:\n%s", s.log)
		}
	}
	key, err := os.ReadFile(filepath.Join(s.data, "admin.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.key = strings.TrimSpace(string(key))
}

// stop asks the server to end, as SIGTERM does.
func (s *server) stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	if code := <-s.done; code != exitOK && code != exitInterrupted {
		s.t.Errorf("the server ended with %d:\n%s", code, s.log)
	}
}

// kill ends the server's process without warning.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.done
	s.cmd = nil
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// cli runs a command line against the server.
func (s *server) cli(args ...string) result {
	s.t.Helper()
	return s.cliWith(nil, args...)
}

func (s *server) cliWith(in io.Reader, args ...string) result {
	s.t.Helper()
	s.t.Setenv("SEALPRINT_URL", s.url)
	s.t.Setenv("SEALPRINT_API_KEY", s.key)
	var out, errOut bytes.Buffer
	code := run(context.Background(), args, in, &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// ask posts JSON to the server, and returns the status and the answer.
func (s *server) ask(path string, what any) (int, string) {
	s.t.Helper()
	body, err := json.Marshal(what)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// registerOne uploads a file without patience; false if the server is gone.
func (s *server) registerOne(path string) (id string, ok bool) {
	s.t.Helper()
	api, err := client.New(s.url, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	document, err := api.Register(context.Background(), client.Upload{Source: path, Name: filepath.Base(path), Content: f})
	if errors.Is(err, client.ErrUnavailable) {
		return "", false
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return document.ID, true
}

// match looks a text up over HTTP.
func (s *server) match(text string) (answer struct {
	Verdict      string
	IndexVersion string `json:"index_version"`
	Matches      []struct {
		Document struct {
			ID, Title, Source string
			Version           int
		}
		Disposition string
		Passages    []struct {
			Query    struct{ Start, End int }
			Document struct{ Page, Start, End int }
		}
	}
}) {
	s.t.Helper()
	status, content := s.ask("/v1/match?suppressed=true", map[string]string{"text": text})
	if status != http.StatusOK {
		s.t.Fatalf("match: %d: %s", status, content)
	}
	if err := json.Unmarshal([]byte(content), &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// lines decodes the report of register --json: a line a file by its source, and
// the summary.
func lines(t testing.TB, out string) (map[string]outcome, summary) {
	t.Helper()
	files := map[string]outcome{}
	all := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range all[:len(all)-1] {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, ok := files[o.Source]; ok {
			t.Errorf("%s is reported twice", o.Source)
		}
		files[o.Source] = o
	}
	var last struct{ Summary *summary }
	if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil || last.Summary == nil {
		t.Fatalf("no summary in %q: %v", all[len(all)-1], err)
	}
	return files, *last.Summary
}

// write puts files into a folder.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
