package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
	"github.com/sealprint/sealprint/storage/index"
)

// TestStolenFolder: whoever has the data folder but not secret.key finds no text
// in it and cannot confirm a sentence that they guess.
func TestStolenFolder(t *testing.T) {
	work := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(work, "tmp"))
	if err := os.Mkdir(filepath.Join(work, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, filepath.Join(work, "data"))
	papers := t.TempDir()
	var texts []string
	for i := range 20 {
		texts = append(texts, fingerprinttest.Prose(uint64(i), 4000))
		write(t, papers, map[string]string{string(rune('a'+i)) + ".txt": texts[i]})
	}
	if r := s.cli("register", papers); r.code != exitOK {
		t.Fatalf("register: %+v", r)
	}
	for _, text := range texts {
		if s.match(text[300:800]).Verdict != "unauthorized" {
			t.Fatal("a leak is not found")
		}
	}
	s.stop()

	// No run of twenty characters, raw or normalized, in any file or in the log.
	const run = 20
	runs := map[string]bool{}
	for _, text := range texts {
		for _, form := range []string{text, string(fingerprint.Normalize(text).Chars)} {
			for i := 0; i+run <= len(form); i++ {
				runs[form[i:i+run]] = true
			}
		}
	}
	search := func(name string, content []byte) {
		for i := 0; i+run <= len(content); i++ {
			if runs[string(content[i:i+run])] {
				t.Fatalf("%s holds text: %q", name, content[i:i+run])
			}
		}
	}
	search("the log", []byte(s.log.String()))
	err := filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			search(path, content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// Every sentence, fingerprinted with another key, against the stolen index.
	content, err := os.ReadFile(filepath.Join(s.data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := fingerprint.ParseKey(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.data, "secret.key")); err != nil {
		t.Fatal(err)
	}
	// The thief knows the parameters: they stand in the index.
	stolen, err := index.Open(filepath.Join(s.data, "index"), key.Params(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer stolen.Close()
	guess := func(k *fingerprint.Key) (confirmed int) {
		for _, text := range texts {
			for _, sentence := range strings.SplitAfter(text, ".") {
				a, err := stolen.Lookup(t.Context(), fingerprint.Grams(k, fingerprint.Normalize(sentence)), 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, list := range a.Lists {
					confirmed += list.Total
				}
			}
		}
		return confirmed
	}
	if n := guess(fingerprint.NewKey()); n > 0 {
		t.Errorf("%d guesses are confirmed without the key", n)
	}
	if guess(key) == 0 {
		t.Error("the guesses prove nothing: the right key confirms none either")
	}
}

// TestSecretsStayPut: no key appears where it was not put.
func TestSecretsStayPut(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	secret, err := os.ReadFile(filepath.Join(s.data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"index", "stats"}, {"document", "list"}, {"match", "--text", "x"}, {"match", "/no/file"}} {
		r := s.cli(args...)
		for _, out := range []string{r.out, r.err} {
			if strings.Contains(out, s.key) || strings.Contains(out, strings.TrimSpace(string(secret))) {
				t.Errorf("%q prints a key", args)
			}
		}
	}
	s.stop()
	// The admin key is shown once, when it is made; the secret key never.
	if log := s.log.String(); strings.Count(log, s.key) != 1 || strings.Contains(log, strings.TrimSpace(string(secret))) {
		t.Errorf("keys in the log:\n%s", log)
	}
	again := start(t, s.data)
	again.stop()
	if strings.Contains(again.log.String(), s.key) {
		t.Error("the admin key is shown a second time")
	}
	for _, name := range []string{"registry.db", "registry.db-wal"} {
		content, err := os.ReadFile(filepath.Join(s.data, name))
		if err == nil && (bytes.Contains(content, []byte(s.key)) || bytes.Contains(content, bytes.TrimSpace(secret))) {
			t.Errorf("%s holds a key", name)
		}
	}
}

// TestLogIsJSON: every line of the server's log but the admin key is a record,
// for the tools that read it.
func TestLogIsJSON(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	s.cli("match", "--text", "x")
	s.stop()
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(s.log.String()), "\n"), func(l string) bool { return strings.HasPrefix(l, "admin API key") })
	if len(lines) < 2 {
		t.Fatalf("the log says too little:\n%s", s.log)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a record: %s", line)
		}
	}
}

// TestJournal: the admin key does not get into systemd's journal, which keeps it. The
// server makes the key before it finds that it cannot listen.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	for _, journal := range []bool{false, true} {
		log, err := os.CreateTemp(dir, "log")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		info, err := log.Stat()
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		inode := stat.Ino
		if !journal { // the environment of a session, whose output has gone elsewhere since
			inode++
		}
		t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, inode))
		data := filepath.Join(dir, fmt.Sprint("data ", journal))
		if code := run(t.Context(), []string{"serve", "--listen", "nowhere", "--data", data}, nil, io.Discard, log); code == exitOK {
			t.Fatal("the server listens nowhere")
		}
		key, err := os.ReadFile(filepath.Join(data, "admin.key"))
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, bytes.TrimSpace(key)) == journal || !bytes.Contains(content, []byte("admin.key")) {
			t.Errorf("the journal %v:\n%s", journal, content)
		}
	}
}

// TestSecretsNowhere: after work of every kind, failures among it, no secret and nothing that
// was submitted stands in the log, in the metrics, or in what the machine shows of the
// server's processes to everybody.
func TestSecretsNowhere(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	memo := fingerprinttest.Prose(1, 3000)
	s3.Put(t, bucket, "memo.txt", memo)
	s3.Put(t, bucket, "bad.pdf", "%PDF-1.4 nothing behind it")
	config := settingsFile(t, s3.Endpoint, sourcetest.SecretKey)
	data := filepath.Join(t.TempDir(), "data")
	s := startProcess(t, data, "--config", config)
	secret, err := os.ReadFile(filepath.Join(data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"the S3 secret": sourcetest.SecretKey, "the secret key": strings.TrimSpace(strings.TrimPrefix(string(secret), "sealprint-key-1:")),
		"a registered text": memo[200:240], "what was looked up": "palimpsest of a zeppelin",
	}
	s.cli("register", "s3://records")
	secrets["a new key"] = made[struct{ Key string }](t, s.cli("key", "create", "--role", "registrar", "--department", "cabinet", "--json")).Key
	hook := made[struct{ Secret string }](t, s.cli("webhook", "create", "https://example.org/hook", "--event", "alert.created", "--json"))
	secrets["a webhook's secret"] = strings.TrimPrefix(hook.Secret, "whsec_")
	s.cli("match", "--text", "the palimpsest of a zeppelin")
	s.cli("match", "--text", memo[100:600])
	for _, path := range []string{"/v1/hooks/s3/records/" + secrets["a new key"], "/v1/hooks/s3/none/" + secrets["a new key"], "/v1/match?x=palimpsest%20of%20a%20zeppelin"} {
		for _, body := range []string{`{"Records":[]}`, `{"palimpsest of a zeppelin":1}`, `nonsense`} {
			r, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
		}
	}
	s3.Stop()
	s.cli("register", "s3://records") // fails

	shown := map[string]string{"the log": strings.Replace(s.log.String(), s.key, "", 1)} // it is shown once
	secrets["the admin key"] = s.key
	for _, path := range []string{"/metrics", "/readyz?verbose"} {
		r, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		shown[path] = string(content)
	}
	children := 0
	for pid := range family(t, s.cmd.Process.Pid) {
		for _, name := range []string{"cmdline", "environ"} {
			if name == "environ" && pid == s.cmd.Process.Pid {
				continue // is what the test was started with
			}
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				continue // it has ended
			}
			shown[fmt.Sprintf("%s of process %d", name, pid)] = string(content)
			children++
		}
	}
	if children < 3 {
		t.Errorf("only %d files of processes were read", children)
	}
	for what, secret := range secrets {
		if len(secret) < 10 {
			t.Fatalf("%s is %q", what, secret)
		}
		for where, content := range shown {
			if strings.Contains(content, secret) {
				t.Errorf("%s holds %s", where, what)
			}
		}
	}
}

// family is a process and all that it started, and what these started.
func family(t *testing.T, root int) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for _, e := range entries {
		var pid, parent int
		var state string
		content, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, behind, _ := strings.Cut(string(content), ") ") // names of programs may hold anything
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscanf(behind, "%s %d", &state, &parent); err == nil {
			parents[pid] = parent
		}
	}
	all := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if all[parent] && !all[pid] {
				all[pid], grown = true, true
			}
		}
	}
	return all
}
