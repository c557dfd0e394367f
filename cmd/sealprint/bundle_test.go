package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// TestBundle: what is fingerprinted without a server and registered as a bundle is known as
// what is registered directly, with its looks, and the bundle shows nothing.
func TestBundle(t *testing.T) {
	files, out := t.TempDir(), t.TempDir()
	memo := fingerprinttest.Prose(7, 4000)
	pdf, err := os.ReadFile("../../testdata/documents/establishment-deputation-policy.pdf")
	if err != nil {
		t.Fatal(err)
	}
	write(t, files, map[string]string{"memo.txt": memo, "copy.txt": memo, "policy.pdf": string(pdf), "bad.pdf": "%PDF-1.4 nothing behind it", "program": "\x7fELF\x02\x01\x01"})

	direct := start(t, filepath.Join(t.TempDir(), "data"))
	key := filepath.Join(direct.data, "secret.key")
	if _, sum := lines(t, direct.cli("register", files, "--json").out); sum != (summary{Registered: 2, Duplicate: 1, Failed: 1, Skipped: 1}) {
		t.Fatalf("directly: %+v", sum)
	}

	spf := filepath.Join(out, "minutes.spf")
	r := direct.cli("fingerprint", files, "--secret-key-file", key, "-o", spf, "--json")
	var last struct {
		Summary map[string]int `json:"summary"`
	}
	reported := strings.Split(strings.TrimSpace(r.out), "\n")
	if err := json.Unmarshal([]byte(reported[len(reported)-1]), &last); err != nil || r.code != exitFailed || last.Summary[fingerprinted] != 3 || last.Summary["failed"] != 1 {
		t.Fatalf("fingerprint: %+v", r)
	}
	sealed, err := os.ReadFile(spf)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{memo[:20], "memo.txt", "minutes"} {
		if bytes.Contains(sealed, []byte(secret)) {
			t.Errorf("the bundle shows %q", secret)
		}
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 1 {
		t.Errorf("beside the bundle stands something: %v, %v", entries, err)
	}

	// Another server with the same secret key.
	data := filepath.Join(t.TempDir(), "data")
	content, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, data, map[string]string{"secret.key": string(content)})
	s := start(t, data)
	registered, sum := lines(t, s.cli("register", spf, "--department", "cabinet", "--classification", "secret", "--json").out)
	if sum != (summary{Registered: 2, Duplicate: 1}) {
		t.Fatalf("of the bundle: %+v %s", sum, s.log.String())
	}
	if a := s.match(memo[1000:1400]); a.Verdict != "unauthorized" || a.Matches[0].Document.Title != "memo.txt" && a.Matches[0].Document.Title != "copy.txt" {
		t.Errorf("%+v", a)
	}
	// The server need not see the text that is looked up, either.
	write(t, out, map[string]string{"post.txt": "«" + memo[1000:1400] + "»"})
	a := made[client.MatchAnswer](t, s.cli("match", filepath.Join(out, "post.txt"), "--secret-key-file", key, "--json"))
	if a.Verdict != "unauthorized" || len(a.Matches) == 0 {
		t.Errorf("by fingerprints: %+v", a)
	} else if q := a.Matches[0].Passages[0].Query; *q.Start > 20 || *q.End < 380 || *q.End > 402 {
		t.Errorf("the passage is at %d-%d", *q.Start, *q.End)
	}
	if _, sum := lines(t, s.cli("register", spf, "--department", "cabinet", "--json").out); sum != (summary{Unchanged: 3}) {
		t.Errorf("of the bundle again: %+v", sum)
	}
	show := s.cli("document", "show", registered[filepath.Join(files, "policy.pdf")].DocumentID, "--json")
	if !strings.Contains(show.out, `"department":"cabinet"`) || !strings.Contains(show.out, `"drawn":true`) {
		t.Errorf("%+v", show)
	}
	type stats struct {
		Documents, Pages, Drawings, Pending int
		Postings                            int `json:"postings"`
		PagePostings                        int `json:"page_postings"`
		TextBytes                           int `json:"text_bytes"`
	}
	of := func(s *server) (st stats) {
		if err := json.Unmarshal([]byte(s.cli("index", "stats", "--json").out), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	for begin := time.Now(); of(direct).Pending > 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal("the pages are not drawn")
		}
	}
	if a, b := of(direct), of(s); a != b || b.Drawings == 0 {
		t.Errorf("directly %+v, as a bundle %+v", a, b)
	}
	write(t, out, map[string]string{"bent.spf": string(sealed[:len(sealed)-1]) + "x"})
	if r := s.cli("register", filepath.Join(out, "bent.spf")); r.code == exitOK || !strings.Contains(r.err, "damaged") {
		t.Errorf("a bent bundle: %+v", r)
	}
	if a, b := of(direct), of(s); a != b {
		t.Errorf("after a bent bundle %+v", b)
	}
	other := start(t, filepath.Join(t.TempDir(), "data"))
	if r := other.cli("register", spf); r.code == exitOK || !strings.Contains(r.err, "another secret key") {
		t.Errorf("with another key: %+v", r)
	}
	if r := s.cli("fingerprint", files, "-o", spf); r.code != exitUsage {
		t.Errorf("without a key: %+v", r)
	}
}
