package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
)

// settingsFile writes settings with one source, the bucket "records".
func settingsFile(t *testing.T, endpoint, secret string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"access": sourcetest.AccessKey + "\n",
		"secret": secret + "\n",
		"settings.yaml": fmt.Sprintf(`
sources:
  - name: records
    endpoint: %s
    region: us-east-1
    bucket: records
    prefix: ""
    access_key_file: %s/access
    secret_key_file: %s/secret
    department: cabinet
    classification: restricted
`, endpoint, dir, dir),
	})
	return filepath.Join(dir, "settings.yaml")
}

// samples is the folder of the sample documents.
const samples = "../../testdata/documents"

// sampleBucket is an S3 server with the sample documents in the bucket records, and their names.
func sampleBucket(t *testing.T) (*sourcetest.Server, map[string]bool) {
	t.Helper()
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	entries, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(samples, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		s3.Put(t, bucket, e.Name(), string(content))
		names[e.Name()] = true
	}
	return s3, names
}

// TestSampleDocuments registers the sample documents from a bucket: what each of
// their sources says is found in the right document, and the passage that is
// shown is read from the bucket again.
func TestSampleDocuments(t *testing.T) {
	s3, names := sampleBucket(t)
	s := start(t, filepath.Join(t.TempDir(), "data"), "--config", settingsFile(t, s3.Endpoint, sourcetest.SecretKey))
	r := s.cli("register", "s3://records/", "--json")
	files, sum := lines(t, r.out)
	if sum != (summary{Registered: len(names)}) || r.code != exitOK {
		t.Fatalf("%+v: %s", sum, r.err)
	}
	for source, f := range files {
		if !names[strings.TrimPrefix(source, "s3://records/")] || f.Status != "ok" {
			t.Errorf("%+v", f)
		}
	}
	if _, sum = lines(t, s.cli("register", "s3://records", "--json").out); sum != (summary{Unchanged: len(names)}) {
		t.Errorf("second run: %+v", sum)
	}

	sources, err := filepath.Glob(samples + "/src/*.html")
	if err != nil || len(sources) < 6 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	tag := regexp.MustCompile(`(?s)<(style|title).*?</(style|title)>|<[^>]*>`)
	for _, path := range sources {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := tag.ReplaceAllString(string(content), " ")
		name := strings.TrimSuffix(filepath.Base(path), ".html") + ".pdf"
		found := 0
		for at := len(text) / 3; at+400 < len(text) && found < 3; at += 500 {
			excerpt := strings.Join(strings.Fields(strings.ToValidUTF8(text[at:at+400], "")), " ")
			a := s.match("RT " + excerpt + " #leak")
			if a.Verdict != "unauthorized" || a.Matches[0].Document.Title != name {
				t.Errorf("%s: %q: %+v", name, excerpt, a)
				continue
			}
			found++
			// The passage, as an analyst sees it.
			p := a.Matches[0].Passages[0]
			var page struct{ Text string }
			shown := s.cli("document", "show", a.Matches[0].Document.ID, "--page", fmt.Sprint(p.Document.Page), "--json")
			if err := json.Unmarshal([]byte(shown.out), &page); err != nil {
				t.Fatalf("%s: page: %+v", name, shown)
			}
			passage := string([]rune(page.Text)[p.Document.Start:p.Document.End])
			got, want := string(fingerprint.Normalize(passage).Chars), string(fingerprint.Normalize(excerpt).Chars)
			// At the ends a gram may hit by the classes of its characters.
			if k := fingerprint.GramSpan; len(got) < 4*k || !strings.Contains(want, got[k:len(got)-k]) {
				t.Errorf("%s: the passage shown is %q, posted was %q", name, passage, excerpt)
			}
		}
		if found == 0 {
			t.Errorf("%s: nothing was compared", name)
		}
	}
}

// TestArchive: with an archive bucket the pages of uploads can be shown, and what
// lies there is the file itself.
func TestArchive(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "archive")
	dir := t.TempDir()
	memo := fingerprinttest.Prose(1, 2000)
	write(t, dir, map[string]string{
		"access": sourcetest.AccessKey, "secret": sourcetest.SecretKey, "memo.txt": memo,
		"settings.yaml": fmt.Sprintf("archive: {endpoint: %q, region: us-east-1, bucket: %s, access_key_file: %s/access, secret_key_file: %s/secret}\n",
			s3.Endpoint, bucket, dir, dir),
	})
	s := start(t, filepath.Join(t.TempDir(), "data"), "--config", filepath.Join(dir, "settings.yaml"))
	files, _ := lines(t, s.cli("register", filepath.Join(dir, "memo.txt"), "--json").out)
	id := files[filepath.Join(dir, "memo.txt")].DocumentID
	r := s.cli("document", "show", id, "--page", "1")
	if r.code != exitOK || strings.TrimSpace(r.out) != strings.TrimSpace(memo) {
		t.Errorf("exit %d, %d bytes of %d: %s", r.code, len(r.out), len(memo), r.err)
	}
	circular := "../../testdata/documents/finance-budget-call-circular.pdf"
	files, _ = lines(t, s.cli("register", circular, "--json").out)
	picture := filepath.Join(dir, "page.png")
	if r := s.cli("document", "show", files[circular].DocumentID, "--page", "2", "--picture", picture); r.code != exitOK || r.out != "" {
		t.Errorf("%+v", r)
	}
	if content, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(content, []byte("\x89PNG")) {
		t.Errorf("a picture of %d bytes, %v", len(content), err)
	}
	if r := s.cli("document", "show", id, "--page", "1", "--picture", picture); r.code != exitFailed || !strings.Contains(r.err, "no look") {
		t.Errorf("%+v", r)
	}
	if r := s.cli("document", "show", id, "--picture", picture); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

// TestKilledJob: a server that is killed while it registers a bucket goes on
// when it is back, and the command that waits for it tells of every object once.
func TestKilledJob(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	const objects = 400
	contents := map[string]string{}
	for i := range objects {
		contents[fmt.Sprintf("2026/%02d/%03d.txt", i%7, i)] = fingerprinttest.Prose(uint64(i), 8000)
	}
	s3.PutAll(t, bucket, contents)
	settings := settingsFile(t, s3.Endpoint, sourcetest.SecretKey)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	free.Close()
	data := filepath.Join(t.TempDir(), "data")
	s := startProcess(t, data, "--config", settings, "--listen", listen)
	done := make(chan result, 1)
	go func() { done <- s.cli("register", "s3://records/2026/", "--json") }()
	// What is killed is a job: before there is one, the command ends with the server.
	api, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	for begun, deadline := false, time.Now().Add(time.Minute); !begun; {
		for _, err := range api.Registrations(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			begun = true
		}
		if time.Now().After(deadline) {
			t.Fatal("no job after a minute")
		}
	}
	kills := 0
	var r result
wait:
	for {
		select {
		case r = <-done:
			break wait
		case <-time.After(120 * time.Millisecond):
			if kills < 3 {
				kills++
				s.kill()
				next := startProcess(t, data, "--config", settings, "--listen", listen)
				s.cmd, s.done, next.cmd = next.cmd, next.done, nil
			}
		}
	}
	files, sum := lines(t, r.out)
	if sum.Registered != objects || len(files) != objects || sum != (summary{Registered: objects}) || r.code != exitOK {
		t.Fatalf("after %d kills: %+v of %d files, exit %d: %s", kills, sum, len(files), r.code, r.err)
	}
	if kills == 0 {
		t.Error("the job was done before the first kill")
	}
	if _, sum = lines(t, s.cli("register", "s3://records/", "--json").out); sum != (summary{Unchanged: objects}) {
		t.Errorf("afterwards: %+v", sum)
	}
}

// TestBadSource: a bucket that cannot be read fails the job with a reason, soon,
// and touches nothing else.
func TestBadSource(t *testing.T) {
	s3 := sourcetest.Start(t)
	memo := fingerprinttest.Prose(1, 3000)
	s3.Put(t, s3.Bucket(t, "records"), "memo.txt", memo)
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data, "--config", settingsFile(t, s3.Endpoint, sourcetest.SecretKey))
	if r := s.cli("register", "s3://records"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.stop()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for name, settings := range map[string]string{
		"wrong secret": settingsFile(t, s3.Endpoint, "not the secret"),
		"unreachable":  settingsFile(t, "http://"+nobody.Addr().String(), sourcetest.SecretKey),
	} {
		s := start(t, data, "--config", settings)
		r := s.cli("register", "s3://records")
		if r.code == exitOK || !strings.Contains(r.err, "list source") {
			t.Errorf("%s: %+v", name, r)
		}
		for _, secret := range []string{"not the secret", sourcetest.SecretKey} {
			if strings.Contains(r.err+s.log.String(), secret) {
				t.Errorf("%s: the secret is told", name)
			}
		}
		if a := s.match(memo[500:900]); a.Verdict != "unauthorized" {
			t.Errorf("%s: what was registered is gone: %+v", name, a)
		}
		s.stop()
	}
}

// TestWatchedBucket: what the store tells of is registered, or noted as gone, without anybody
// asking; the officer sees what is not protected, and tries it again.
func TestWatchedBucket(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	s3.Put(t, bucket, "before.txt", fingerprinttest.Prose(1, 3000))
	s3.Put(t, bucket, "bad.pdf", "%PDF-1.4 nothing behind it")
	s := start(t, filepath.Join(t.TempDir(), "data"), "--config", settingsFile(t, s3.Endpoint, sourcetest.SecretKey))

	var e estimated
	if r := s.cli("register", "s3://records", "--dry-run", "--json"); r.code != exitOK || json.Unmarshal([]byte(r.out), &e) != nil || e.Files != 2 || e.Estimate.Objects != 2 {
		t.Errorf("estimate: %+v", r)
	}
	if r := s.cli("register", "testdata", "bucket_test.go", "--dry-run"); r.code != exitUsage {
		t.Errorf("estimate of what is not there: %+v", r)
	}
	if r := s.cli("register", ".", "--dry-run"); r.code != exitOK || !strings.Contains(r.out, " to fetch, ") {
		t.Errorf("estimate of a folder: %+v", r)
	}
	if _, sum := lines(t, s.cli("register", "s3://records", "--json").out); sum != (summary{Registered: 1, Failed: 1}) {
		t.Fatalf("%+v", sum)
	}

	key := made[struct{ Key string }](t, s.cli("key", "create", "--role", "registrar", "--department", "cabinet", "--json")).Key
	s3.Notify(s.url + "/v1/hooks/s3/records/" + key)
	told := fingerprinttest.Prose(2, 3000)
	s3.Put(t, bucket, "as told/سرکاری خط + 100%.txt", told)
	found := func() bool { return s.match(told[400:900]).Verdict == "unauthorized" }
	for begin := time.Now(); !found(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("what the store told of is not found: %s", s.log.String())
		}
	}
	document := s.match(told[400:900]).Matches[0].Document
	if document.Title != "سرکاری خط + 100%.txt" {
		t.Errorf("%+v", document)
	}
	s3.RemoveAll(t, bucket, "as told/سرکاری خط + 100%.txt")
	gone := func() bool {
		return len(made[struct{ Gone []string }](t, s.cli("document", "show", document.ID, "--json")).Gone) == 1
	}
	for begin := time.Now(); !gone(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("what the store told of is not noted as gone: %s", s.log.String())
		}
	}
	if !found() {
		t.Error("what was removed is not found any more, although it may have leaked before")
	}

	if r := s.cli("coverage"); r.code != exitOK || !strings.Contains(r.out, "damaged") {
		t.Errorf("coverage: %+v", r)
	}
	if r := s.cli("coverage", "gaps", "--status", "damaged"); r.code != exitOK || !strings.Contains(r.out, "s3://records/bad.pdf") {
		t.Errorf("gaps: %+v", r)
	}
	if _, sum := lines(t, s.cli("registration", "retry", "records", "--json").out); sum != (summary{Failed: 1}) {
		t.Errorf("tried again: %+v", sum)
	}
	s3.Put(t, bucket, "bad.pdf", fingerprinttest.Prose(3, 3000)) // and the store tells of it
	for begin := time.Now(); strings.Contains(s.cli("coverage", "gaps").out, "bad.pdf"); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatalf("what can be read now is a gap still: %s", s.log.String())
		}
	}
	if strings.Contains(s.log.String(), key) {
		t.Error("the log holds the key of the URL")
	}
}
