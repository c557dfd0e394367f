package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// TestEvidenceCommand: a report that the server made is verified without it, and tells a reader
// what it is; one that was changed, or is another's, ends with 3.
func TestEvidenceCommand(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	memo := fingerprinttest.Prose(1, 3000)
	write(t, dir, map[string]string{"memo \u202e.txt": memo, "leak.txt": "look: " + memo[500:900]})
	if r := s.cli("register", filepath.Join(dir, "memo \u202e.txt")); r.code != exitOK {
		t.Fatalf("register: %+v", r)
	}
	report := func(name string) string { return filepath.Join(dir, name) }
	for name, args := range map[string][]string{
		"file.html": {report("leak.txt")}, "file.json": {report("leak.txt")}, "text.html": {"--text", memo[500:900]}, "input.json": {"-", "--seen-at", "2026-07-01T00:00:00Z"},
	} {
		r := s.cliWith(strings.NewReader(memo[500:900]), append([]string{"evidence", "create", "--purpose", "complaint 7", "-o", report(name)}, args...)...)
		if r.code != exitOK || !strings.HasPrefix(r.out, "Unauthorized. ") || !strings.Contains(r.out, "complaint 7") || strings.Contains(r.out, "\u202e") {
			t.Errorf("%s: %+v", name, r)
		}
		if info, err := os.Stat(report(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, args := range [][]string{
		{"-o", report("x.html")}, {report("leak.txt"), "-o", report("x.pdf")}, {report("leak.txt")}, {report("leak.txt"), "--text", "a", "-o", report("x.html")}, {report("none"), "-o", report("x.html")},
	} {
		if r := s.cli(append([]string{"evidence", "create"}, args...)...); r.code != exitUsage {
			t.Errorf("%q: %+v", args, r)
		}
	}
	key := strings.TrimSpace(s.cli("evidence", "key").out)
	var all client.EvidenceKey
	if err := json.Unmarshal([]byte(s.cli("evidence", "key", "--json").out), &all); err != nil || all.PublicKey != key || all.Algorithm != "ed25519" || all.KeyID == "" {
		t.Errorf("%+v, not %q: %v", all, key, err)
	}
	s.stop()

	// From here on there is no server, and nothing says where one would be.
	offline := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = run(t.Context(), append([]string{"evidence"}, args...), strings.NewReader(""), &o, &e)
		return code, o.String(), e.String()
	}
	if code, out, errs := offline("key", "--data", s.data); code != exitOK || strings.TrimSpace(out) != key {
		t.Errorf("%d %q %q", code, out, errs)
	}
	write(t, dir, map[string]string{"published": key + "\n", "other": strings.Repeat("0", 64)})
	for _, name := range []string{"file.html", "file.json", "text.html", "input.json"} {
		code, out, errs := offline("verify", report(name))
		if code != exitOK || !strings.Contains(out, "public key  "+key) || !strings.Contains(errs, "compare it") {
			t.Errorf("%s: %d %q %q", name, code, out, errs)
		}
		for _, k := range []string{key, report("published")} {
			if code, _, errs := offline("verify", report(name), "--public-key", k); code != exitOK || strings.Contains(errs, "compare") {
				t.Errorf("%s: %d %q", name, code, errs)
			}
		}
		if code, out, errs := offline("verify", report(name), "--public-key", report("other")); code != exitFailed || out != "" || !strings.Contains(errs, "another key") {
			t.Errorf("%s: %d %q %q", name, code, out, errs)
		}
		content, err := os.ReadFile(report(name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, map[string]string{"changed": strings.Replace(string(content), "complaint 7", "complaint 8", 1), "cut": string(content[:len(content)-1])})
		for _, damaged := range []string{"changed", "cut", "leak.txt"} {
			if code, out, errs := offline("verify", report(damaged)); code != exitFailed || out != "" || !strings.Contains(errs, "does not verify: not ") {
				t.Errorf("%s, %s: %d %q %q", name, damaged, code, out, errs)
			}
		}
	}
	for _, args := range [][]string{{}, {report("none")}, {report("file.html"), "--public-key", "abc"}, {report("file.html"), "--public-key", report("leak.txt")}} {
		if code, _, errs := offline(append([]string{"verify"}, args...)...); code != exitUsage || errs == "" {
			t.Errorf("%q: %d %q", args, code, errs)
		}
	}
}
