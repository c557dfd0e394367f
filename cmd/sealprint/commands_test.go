package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
)

// TestRegister follows the records officer's folder through its life.
func TestRegister(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	dir := filepath.Join(t.TempDir(), "papers")
	memo := fingerprinttest.Prose(1, 3000)
	write(t, dir, map[string]string{
		"memo.txt":                 memo,
		"2026/copy of memo.txt":    memo,
		"2026/اردو.txt":            "وزارتِ خزانہ، حکومتِ پاکستان کی جانب سے جاری کردہ دفتری یادداشت",
		"2026/07/page.html":        "<html><body><p>" + fingerprinttest.Prose(2, 2000) + "</p></body></html>",
		"empty.txt":                "",
		"broken.pdf":               "%PDF-1.4\nnothing of a PDF follows",
		"program":                  "\x7fELF\x02\x01\x01" + strings.Repeat("x", 100),
		"name with \"quotes\" + %": fingerprinttest.Prose(3, 500),
	})
	register := func() (map[string]outcome, summary, int) {
		r := s.cli("register", dir+"/", "--department", "cabinet", "--classification", "restricted", "--json")
		files, sum := lines(t, r.out)
		return files, sum, r.code
	}

	files, sum, code := register()
	if want := (summary{Registered: 5, Duplicate: 1, Failed: 1, Skipped: 1}); sum != want || code != exitFailed {
		t.Fatalf("first run: %+v, exit %d, want %+v", sum, code, want)
	}
	for name, want := range map[string][2]string{
		"empty.txt": {"registered", "no_text"}, "broken.pdf": {"failed", "damaged"}, "program": {"skipped", "unsupported"},
		"2026/07/page.html": {"registered", "ok"}, "2026/اردو.txt": {"registered", "ok"},
	} {
		got, ok := files[dir+"/"+name]
		if !ok || string(got.Outcome) != want[0] || string(got.Status) != want[1] {
			t.Errorf("%s: %+v, want %v", name, got, want)
		}
		if (got.DocumentID == "") != (want[0] != "registered") || got.Status != "ok" && got.Reason == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	one, other := files[dir+"/memo.txt"], files[dir+"/2026/copy of memo.txt"]
	if one.DocumentID != other.DocumentID || one.Characters == 0 || one.Pages != 1 {
		t.Errorf("the same bytes twice: %+v and %+v", one, other)
	}

	if _, sum, _ = register(); sum != (summary{Unchanged: 6, Failed: 1, Skipped: 1}) {
		t.Fatalf("second run: %+v", sum)
	}

	draft := fingerprinttest.Prose(4, 3000)
	write(t, dir, map[string]string{"2026/07/page.html": draft})
	if _, sum, _ = register(); sum != (summary{Updated: 1, Unchanged: 5, Failed: 1, Skipped: 1}) {
		t.Fatalf("third run: %+v", sum)
	}
	// Both versions of what was changed can leak.
	for version, text := range map[int]string{1: fingerprinttest.Prose(2, 2000)[500:900], 2: draft[500:900]} {
		a := s.match(text)
		if a.Verdict != "unauthorized" || a.Matches[0].Document.Source != dir+"/2026/07/page.html" || a.Matches[0].Document.Version != version {
			t.Errorf("version %d: %+v", version, a)
		}
	}

	// What is registered survives a restart.
	s.stop()
	s = start(t, s.data)
	if a := s.match("seen today: " + strings.ToUpper(memo[100:400])); a.Verdict != "unauthorized" {
		t.Errorf("after a restart: %+v", a)
	}

	r := s.cli("document", "list")
	if n := strings.Count(r.out, "doc_"); n != 5 || r.code != exitOK {
		t.Errorf("list shows %d documents, exit %d:\n%s%s", n, r.code, r.out, r.err)
	}
	if r := s.cli("document", "list", "--search", "MEMO copy"); strings.Count(r.out, "doc_") != 1 || !strings.Contains(r.out, one.DocumentID) {
		t.Errorf("search: %+v", r)
	}
	if r := s.cli("document", "show", one.DocumentID); !strings.Contains(r.out, "restricted") || !strings.Contains(r.out, "copy of memo.txt") {
		t.Errorf("show: %s%s", r.out, r.err)
	}
	if r := s.cli("document", "show", one.DocumentID, "--page", "1"); r.code != exitFailed || !strings.Contains(r.err, "Not found") {
		t.Errorf("the page of an upload that was not archived: %+v", r)
	}
	if r := s.cli("document", "delete", one.DocumentID); r.code != exitOK {
		t.Errorf("delete: %+v", r)
	}
	if a := s.match(memo[100:400]); a.Verdict != "no_match" || len(a.Matches) != 0 {
		t.Errorf("after the deletion: %+v", a)
	}
}

func TestMatchCommand(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	memo, post := fingerprinttest.Prose(1, 3000), fingerprinttest.Prose(2, 1000)
	write(t, dir, map[string]string{"memo.txt": memo, "leak.txt": "look: " + memo[500:900], "post.txt": post})
	if r := s.cli("register", filepath.Join(dir, "memo.txt")); r.code != exitOK || !strings.HasPrefix(r.out, "1 registered") {
		t.Fatalf("register: %+v", r)
	}
	for _, c := range []struct {
		args []string
		in   string
		want string
		code int
	}{
		{[]string{"match", "--text", memo[500:900]}, "", "unauthorized", exitOK},
		{[]string{"match", "--text", memo[500:900], "--exit-code"}, "", "unauthorized", exitMatch},
		{[]string{"match", filepath.Join(dir, "leak.txt"), "--exit-code"}, "", "unauthorized", exitMatch},
		{[]string{"match", filepath.Join(dir, "post.txt"), "--exit-code"}, "", "no_match", exitOK},
		{[]string{"match", "-", "--exit-code"}, memo[1000:1500], "unauthorized", exitMatch},
		{[]string{"match", "-", "--seen-at", "2026-07-01T00:00:00Z"}, post, "no_match", exitOK},
		{[]string{"match", "--text", ""}, "", "too_short", exitOK},
		{[]string{"match", "--text", "short"}, "", "too_short", exitOK},
	} {
		for _, asJSON := range []bool{false, true} {
			args := c.args
			if asJSON {
				args = append(args[:len(args):len(args)], "--json")
			}
			r := s.cliWith(strings.NewReader(c.in), args...)
			got := strings.SplitN(r.out, "\n", 2)[0]
			if asJSON {
				var a struct{ Verdict string }
				if err := json.Unmarshal([]byte(r.out), &a); err != nil {
					t.Errorf("%q: %v", args, err)
				}
				got = a.Verdict
			}
			if got != c.want || r.code != c.code {
				t.Errorf("%.60q: %s, exit %d, want %s, %d\n%s", args, got, r.code, c.want, c.code, r.err)
			}
		}
	}
}

// TestMatchPicture: a page is drawn some time after it was registered, and found in a
// photograph of it from then on, after a kill, too.
func TestMatchPicture(t *testing.T) {
	s := startProcess(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	scan, photo := filepath.Join(dir, "scan.png"), filepath.Join(dir, "photo.png")
	write(t, dir, map[string]string{
		"scan.png":  string(pngOf(pagetest.Print(1, 1))),
		"photo.png": string(pngOf(pagetest.Degrade(pagetest.Print(1, 1), "phone 1200", rand.New(rand.NewPCG(1, 1))).Picture)),
	})
	if r := s.cli("register", scan); r.code != exitOK {
		t.Fatalf("register: %+v", r)
	}
	pending := func() int {
		r := s.cli("index", "stats", "--json")
		var stats struct {
			Pending  int `json:"pending"`
			Drawings int `json:"drawings"`
		}
		if err := json.Unmarshal([]byte(r.out), &stats); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		if stats.Pending == 0 && stats.Drawings != 1 {
			t.Fatalf("nothing is pending, and %d looks are known", stats.Drawings)
		}
		return stats.Pending
	}
	for pending() > 0 {
		time.Sleep(50 * time.Millisecond)
	}
	look := func() {
		t.Helper()
		r := s.cli("match", photo, "--exit-code")
		if r.code != exitMatch || !strings.HasPrefix(r.out, "unauthorized") || !strings.Contains(r.out, "stand as on page 1") || !strings.Contains(r.out, "box ") {
			t.Errorf("%+v", r)
		}
	}
	look()
	s.kill()
	s = startProcess(t, s.data)
	look()
}

// TestExitCodes: what goes wrong has a code of its own, and says what it was.
func TestExitCodes(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	absent := "http://" + nobody.Addr().String()
	nobody.Close()
	for _, c := range []struct {
		args     []string
		url, key string
		code     int
		says     string
	}{
		{[]string{"nonsense"}, s.url, s.key, exitUsage, "unknown command"},
		{[]string{"document"}, s.url, s.key, exitUsage, ""},
		{[]string{"document", "nonsense"}, s.url, s.key, exitUsage, "unknown command"},
		{[]string{"match", "--nonsense"}, s.url, s.key, exitUsage, "unknown flag"},
		{[]string{"match"}, s.url, s.key, exitUsage, "--text"},
		{[]string{"match", "/no/such/file"}, s.url, s.key, exitUsage, "no such file"},
		{[]string{"match", "--text", "x", "--seen-at", "yesterday"}, s.url, s.key, exitUsage, "--seen-at"},
		{[]string{"register"}, s.url, s.key, exitUsage, "requires at least 1"},
		{[]string{"register", "/no/such/file"}, s.url, s.key, exitUsage, "no such file"},
		{[]string{"register", "s3://nowhere/"}, s.url, s.key, exitFailed, "no source"},
		{[]string{"register", "commands_test.go", "--department", "/"}, s.url, s.key, exitUsage, "department"},
		{[]string{"document", "show", "doc_absent"}, s.url, s.key, exitFailed, "Not found"},
		{[]string{"match", "--text", "x"}, s.url, "", exitNotAllowed, "SEALPRINT_API_KEY"},
		{[]string{"match", "--text", "x"}, s.url, "sealprint_wrong", exitNotAllowed, "No valid API key"},
		{[]string{"register", "commands_test.go"}, s.url, s.key + "x", exitNotAllowed, "No valid API key"},
		{[]string{"match", "--text", "x"}, absent, s.key, exitUnavailable, "unavailable"},
		{[]string{"index", "stats"}, absent, s.key, exitUnavailable, "unavailable"},
		{[]string{"serve", "--config", "/no/such/file"}, "", "", exitUsage, "no such file"},
		{[]string{"serve", "--tls-cert", "x"}, "", "", exitUsage, "tls-key"},
		{[]string{"--help"}, "", "", exitOK, ""},
		{[]string{"--version"}, "", "", exitOK, ""},
	} {
		t.Setenv("SEALPRINT_URL", c.url)
		t.Setenv("SEALPRINT_API_KEY", c.key)
		var out, errOut strings.Builder
		code := run(context.Background(), c.args, strings.NewReader(""), &out, &errOut)
		if code != c.code || !strings.Contains(errOut.String(), c.says) {
			t.Errorf("%q: exit %d, want %d saying %q: %s", c.args, code, c.code, c.says, errOut.String())
		}
	}
}

func TestIndexCommands(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	write(t, dir, map[string]string{"memo.txt": fingerprinttest.Prose(1, 30_000), "note.txt": fingerprinttest.Prose(2, 1000)})
	for _, name := range []string{"memo.txt", "note.txt"} {
		if r := s.cli("register", filepath.Join(dir, name)); r.code != exitOK {
			t.Fatalf("register: %+v", r)
		}
	}
	online := s.cli("index", "stats", "--json")
	var stats struct {
		Documents, Pages, Postings, Bytes, Segments int
		TextBytes                                   int     `json:"text_bytes"`
		BytesPerPosting                             float64 `json:"bytes_per_posting"`
		GuaranteeCharacters                         int     `json:"guarantee_characters"`
	}
	if err := json.Unmarshal([]byte(online.out), &stats); err != nil {
		t.Fatalf("%v: %+v", err, online)
	}
	if stats.Documents != 2 || stats.Pages != 2 || stats.Postings < 4000 || stats.Bytes < stats.Postings || stats.TextBytes < 30_000 ||
		stats.BytesPerPosting < 1 || stats.GuaranteeCharacters != 64 {
		t.Errorf("%+v", stats)
	}
	if r := s.cli("index", "stats", "--data", s.data); r.code == exitOK {
		t.Error("two programs use one data folder")
	}
	s.stop()
	offline := s.cli("index", "stats", "--json", "--data", s.data)
	for _, field := range []string{"documents", "postings", "text_bytes"} {
		var a, b map[string]any
		if json.Unmarshal([]byte(online.out), &a) != nil || json.Unmarshal([]byte(offline.out), &b) != nil || a[field] != b[field] {
			t.Errorf("%s: %v online, %v offline: %s", field, a[field], b[field], offline.err)
		}
	}
	if r := s.cli("index", "check", "--data", s.data); r.code != exitOK || !strings.Contains(r.out, "no damage") {
		t.Errorf("check: %+v", r)
	}
	// A flipped bit in any file of fingerprints is found. (At the very end of the
	// log it cannot be told from a write that a crash has cut short.)
	files, err := filepath.Glob(filepath.Join(s.data, "index", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil || len(content) < 10_000 {
			continue
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := s.cli("index", "check", "--data", s.data); r.code != exitFailed {
			t.Errorf("damage in %s: %+v", path, r)
		}
	}
}

// TestBackup: what is backed up from a running server is a data folder again, with the
// key and only with it.
func TestBackup(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	papers, memo := filepath.Join(t.TempDir(), "papers"), fingerprinttest.Prose(7, 4000)
	write(t, papers, map[string]string{"memo.txt": memo, "other.txt": fingerprinttest.Prose(8, 4000)})
	ok := func(args ...string) result {
		t.Helper()
		r := s.cli(args...)
		if r.code != exitOK {
			t.Fatalf("%v: %+v", args, r)
		}
		return r
	}
	ok("register", papers)
	if r := ok("index", "merge", "--json"); !strings.Contains(r.out, `"segments":1`) {
		t.Errorf("merge: %+v", r)
	}
	if r := ok("index", "check", "--json"); !strings.Contains(r.out, `"damage":[]`) || !strings.Contains(r.out, `"documents":2`) {
		t.Errorf("check: %+v", r)
	}
	for _, flag := range [][]string{nil, {"--json"}} {
		if r := ok(append([]string{"index", "dump", "--data", s.data}, flag...)...); !strings.Contains(r.out, "heads") || !strings.Contains(r.out, ".seg") {
			t.Errorf("dump: %+v", r)
		}
	}
	online, offline := filepath.Join(t.TempDir(), "online.tar"), filepath.Join(t.TempDir(), "offline.tar")
	if r := ok("backup", online); !strings.Contains(r.err, "2 documents") {
		t.Errorf("backup: %+v", r)
	}
	if r := s.cli("backup", online); r.code != exitUsage {
		t.Errorf("a backup was written over another: %+v", r)
	}
	s.stop()
	ok("backup", offline, "--data", s.data)
	for _, archive := range []string{online, offline} {
		dir := filepath.Join(t.TempDir(), "restored")
		if r := s.cli("restore", archive, "--data", dir); r.code == exitOK || !strings.Contains(r.err, "secret key") {
			t.Errorf("restored without the key: %+v", r)
		}
		key, err := os.ReadFile(filepath.Join(s.data, "secret.key"))
		if err != nil {
			t.Fatal(err)
		}
		// The API keys are in the registry; admin.key is only a note of one.
		write(t, dir, map[string]string{"secret.key": string(key), "admin.key": s.key})
		if r := ok("restore", archive, "--data", dir); !strings.Contains(r.err, "2 documents") {
			t.Errorf("restore: %+v", r)
		}
		if r := s.cli("restore", archive, "--data", dir); r.code == exitOK {
			t.Errorf("restored over an index: %+v", r)
		}
		again := start(t, dir)
		if r := again.cli("match", "--text", memo[1000:1300], "--exit-code"); r.code != exitMatch {
			t.Errorf("after restoring: %+v", r)
		}
		if r := again.cli("audit", "list", "--action", "registerDocument", "--json"); strings.Count(r.out, `"begun"`) != 2 {
			t.Errorf("the audit log is not there: %+v", r)
		}
		if r := again.cli("audit", "verify"); r.code != exitOK {
			t.Errorf("after restoring: %+v", r)
		}
		again.stop()
	}
}

// TestSecretKeyLost: an index is not opened with a new key.
func TestSecretKeyLost(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	s.stop()
	path := filepath.Join(s.data, "secret.key")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, mode %v", err, info.Mode())
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if code := run(context.Background(), []string{"serve", "--data", s.data}, nil, io.Discard, &log); code == exitOK || !strings.Contains(log.String(), "put the key back") {
		t.Errorf("exit %d: %s", code, log.String())
	}
	other := start(t, filepath.Join(t.TempDir(), "other"))
	other.stop()
	content, err := os.ReadFile(filepath.Join(other.data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	if code := run(context.Background(), []string{"serve", "--data", s.data}, nil, io.Discard, &log); code == exitOK || !strings.Contains(log.String(), "secret key") {
		t.Errorf("exit %d: %s", code, log.String())
	}
}

// TestHelp: every command and flag says what it is for, and docs/commands.md
// names them all.
func TestHelp(t *testing.T) {
	docs, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	c := terminal{strings.NewReader(""), io.Discard, io.Discard}
	root := rootCommand(c)
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s says nothing about itself", cmd.CommandPath())
		}
		if !strings.Contains(string(docs), cmd.CommandPath()) {
			t.Errorf("docs/commands.md does not name %s", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || f.Name != "help" && f.Name != "version" && !strings.Contains(string(docs), "--"+f.Name) {
				t.Errorf("%s --%s is not explained", cmd.CommandPath(), f.Name)
			}
		})
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(root)
}

// TestExtract: a file shows what would be read of it, without a server.
func TestExtract(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"memo.txt": "Finance Division", "program": "\x7fELF\x02\x01\x01"})
	cli := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"extract"}, args...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	if code, out, errs := cli(filepath.Join(dir, "memo.txt")); code != exitOK || !strings.Contains(out, "text/plain: ok") || !strings.Contains(out, "text 1") || strings.Contains(out, "Finance") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ := cli(filepath.Join(dir, "memo.txt"), "--text"); code != exitOK || !strings.Contains(out, "Finance Division") {
		t.Errorf("%d\n%s", code, out)
	}
	var reading ingest.Reading
	code, out, _ := cli(filepath.Join(dir, "memo.txt"), "--json")
	if err := json.Unmarshal([]byte(out), &reading); err != nil || code != exitOK || reading.Status != ingest.StatusOK || reading.Pages[0].Text != "Finance Division" {
		t.Errorf("%d, %v\n%s", code, err, out)
	}
	if code, out, _ := cli(filepath.Join(dir, "program")); code != exitOK || !strings.Contains(out, "unsupported (no reader for application/x-elf)") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, args := range [][]string{{}, {dir}, {filepath.Join(dir, "nothing")}} {
		if code, _, errs := cli(args...); code == exitOK || errs == "" {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}

// TestRemovalCommand: the request to remove a post is printed once somebody has decided.
func TestRemovalCommand(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	memo := fingerprinttest.Prose(1, 3000)
	write(t, dir, map[string]string{"memo.txt": memo})
	id, ok := s.registerOne(filepath.Join(dir, "memo.txt"))
	if !ok {
		t.Fatal("it was not registered")
	}
	s.post("x/187", memo[500:900])
	alert := made[client.Alert](t, s.cli("alert", "list", "--json")).ID
	removal := []string{"alert", "removal", alert, "--post", "x/187", "--requester", "Press Wing", "--instrument", "section 5", "--reference", "https://example.org/x/187"}
	if r := s.cli(removal...); r.code != exitFailed || r.out != "" || !strings.Contains(r.err, "a person has decided") {
		t.Errorf("before anybody decided: %+v", r)
	}
	if r := s.cli("alert", "decide", alert, "--state", "confirmed", "--reason", "checked"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	r := s.cli(removal...)
	for _, said := range []string{"Request to remove a post\n", "x/187", "Press Wing", "section 5", id + ", version 1", alert + "\n"} {
		if r.code != exitOK || !strings.Contains(r.out, said) {
			t.Errorf("%q is not in %+v", said, r)
		}
	}
	if strings.Contains(r.out, "memo") || strings.HasSuffix(r.out, "\n\n") {
		t.Errorf("%q", r.out)
	}
}
