package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
)

// drawn waits until the looks of all pages are known.
func (s *server) drawn() {
	s.t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		undrawn := 0
		for _, i := range s.covered() {
			undrawn += i.Undrawn
		}
		if undrawn == 0 {
			return
		}
		if time.Since(begin) > time.Minute {
			s.t.Fatalf("%d documents are not drawn: %s", undrawn, s.log)
		}
	}
}

type covered struct {
	Undrawn     int
	PreviousKey int `json:"previous_key"`
}

func (s *server) covered() []covered {
	s.t.Helper()
	return made[struct{ Items []covered }](s.t, s.cli("coverage", "--json")).Items
}

// underPrevious is how many documents are kept under the previous key.
func (s *server) underPrevious() (n int) {
	s.t.Helper()
	for _, i := range s.covered() {
		n += i.PreviousKey
	}
	return n
}

// sighted is the titles of what a file shows.
func (s *server) sighted(path string) string {
	s.t.Helper()
	r := s.cli("match", path, "--json")
	var answer struct {
		Matches []struct {
			Document struct{ Title string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &answer); err != nil {
		s.t.Fatalf("%+v: %v", r, err)
	}
	var titles []string
	for _, m := range answer.Matches {
		titles = append(titles, m.Document.Title)
	}
	return strings.Join(titles, " ")
}

// firstPage draws the first page of a PDF.
func firstPage(t *testing.T, content []byte) (drawn string) {
	t.Helper()
	pool := extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: 1})
	defer pool.Close()
	file, size, _, err := ingest.Spool(bytes.NewReader(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = pool.Draw(t.Context(), file, size, "application/pdf", func(l ingest.Look) {
		if l.Number == 1 {
			drawn = string(pngOf(l.Picture))
		}
	})
	if err != nil || drawn == "" {
		t.Fatalf("no page was drawn: %v", err)
	}
	return drawn
}

// post takes a post in, and returns the answer and its status.
func (s *server) post(id, text string) (int, string) {
	s.t.Helper()
	return s.ask("/v1/posts", map[string]string{"id": id, "text": text})
}

// offline runs a command line that needs no server.
func offline(args ...string) result {
	var out, errOut bytes.Buffer
	code := run(context.Background(), args, nil, &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// TestRotate changes the secret key under documents from a bucket, from uploads that the archive
// holds, and from uploads that nobody has any more: all of them are found at any time; what
// can be read again moves; at the end nothing is left of the previous key.
func TestRotate(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	papers := t.TempDir()
	texts := map[string]string{}
	for i, name := range []string{"bucket.txt", "kept.txt", "alone.txt", "later.txt"} {
		texts[name] = fingerprinttest.Prose(uint64(1001+i), 4000) // pages of pictures have others
	}
	pictures := map[string]string{"page.pdf": "cabinet-custody-of-papers.pdf", "sheet.pdf": "finance-budget-call-circular.pdf"}
	write(t, papers, texts)
	for name, sample := range pictures {
		content, err := os.ReadFile(filepath.Join("../../testdata/documents", sample))
		if err != nil {
			t.Fatal(err)
		}
		pictures[name] = string(content)
		write(t, papers, map[string]string{name: string(content), name + ".png": firstPage(t, content)})
	}
	s3.Put(t, bucket, "bucket.txt", texts["bucket.txt"])
	s3.Put(t, bucket, "page.pdf", pictures["page.pdf"])
	settings := settingsFile(t, s3.Endpoint, sourcetest.SecretKey)
	archived := filepath.Join(filepath.Dir(settings), "archived.yaml")
	content, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(settings), map[string]string{"archived.yaml": string(content) + fmt.Sprintf(
		"archive: {endpoint: %q, region: us-east-1, bucket: %s, access_key_file: %s/access, secret_key_file: %s/secret}\n",
		s3.Endpoint, s3.Bucket(t, "archive"), filepath.Dir(settings), filepath.Dir(settings))})
	in := func(name string) string { return filepath.Join(papers, name) }
	excerpt := func(name string) string { return "RT " + texts[name][700:1100] }

	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data, "--config", settings)
	if r := s.cli("register", in("alone.txt"), in("sheet.pdf")); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.drawn()
	s.stop()
	s = start(t, data, "--config", archived)
	if r := s.cli("register", in("kept.txt"), "s3://records"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.drawn()
	ids := map[string]string{}
	found := func(when string, s *server, names ...string) {
		t.Helper()
		for _, name := range names {
			if _, picture := pictures[name]; picture {
				if got := s.sighted(in(name + ".png")); got != name {
					t.Errorf("%s: %s shows %q", when, name, got)
				}
				continue
			}
			a := s.match(excerpt(name))
			if a.Verdict != "unauthorized" || a.Matches[0].Document.Title != name || a.Matches[0].Document.Version != 1 {
				t.Errorf("%s: %s: %+v", when, name, a)
				continue
			}
			if id := a.Matches[0].Document.ID; ids[name] != "" && ids[name] != id {
				t.Errorf("%s: %s is another document", when, name)
			} else {
				ids[name] = id
			}
		}
	}
	all := []string{"bucket.txt", "page.pdf", "kept.txt", "alone.txt", "sheet.pdf"}
	found("before", s, all...)
	_, taken := s.post("post-1", excerpt("alone.txt"))
	if r := offline("rotate", "--data", data); r.code == exitOK || !strings.Contains(r.err, "open already") {
		t.Errorf("rotated beside a server: %+v", r)
	}
	before, err := os.ReadFile(filepath.Join(data, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	anchor := s.cli("audit", "verify")
	s.stop()
	if r := offline("rotate", "--data", data, "--finish"); r.code != exitUsage {
		t.Errorf("finished without a rotation: %+v", r)
	}
	if r := offline("rotate", "--data", data); r.code != exitOK || !strings.Contains(r.err, "5 versions") {
		t.Fatalf("%+v", r)
	}
	if r := offline("rotate", "--data", data); r.code != exitFailed || !strings.Contains(r.err, "is not finished") {
		t.Errorf("a second rotation: %+v", r)
	}
	if r := offline("rotate", "--data", data, "--finish"); r.code != exitFailed || !strings.Contains(r.err, "5 versions") {
		t.Errorf("finished at once: %+v", r)
	}
	write(t, papers, map[string]string{"anchor": anchor.out})
	verified := func(when string) {
		t.Helper()
		if r := offline("audit", "verify", "--data", data, "--anchor", in("anchor")); r.code != exitOK {
			t.Errorf("%s: %+v", when, r)
		}
	}
	verified("after rotate")

	s = start(t, data, "--config", archived)
	found("after", s, all...)
	if n := s.underPrevious(); n != 5 {
		t.Errorf("%d documents are under the previous key", n)
	}
	if code, again := s.post("post-1", excerpt("alone.txt")); code != http.StatusOK || again != taken {
		t.Errorf("the same post again: %d %s, not %s", code, again, taken)
	}
	if code, _ := s.post("post-1", "something else"); code != http.StatusConflict {
		t.Errorf("another post under the same id: %d", code)
	}
	write(t, papers, map[string]string{"old.key": string(before), "post.txt": excerpt("kept.txt")})
	byKey := func(path string) int {
		return s.cli("match", in("post.txt"), "--secret-key-file", path, "--exit-code").code
	}
	if old, now := byKey(in("old.key")), byKey(filepath.Join(data, keyFile)); old != exitMatch || now != exitOK {
		t.Errorf("fingerprints made elsewhere: exit %d with the previous key, %d with the current one", old, now)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if r := s.cli("backup", saved); r.code != exitOK || strings.Count(r.err, " and ") != 1 {
		t.Fatalf("%+v", r)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	for _, name := range []string{"admin.key", keyFile, filepath.Join(previousFolder, keyFile)} {
		if name == filepath.Join(previousFolder, keyFile) {
			if r := offline("restore", saved, "--data", restored); r.code == exitOK || !strings.Contains(r.err, "previous key") {
				t.Errorf("restored without the previous key: %+v", r)
			}
		}
		key, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, restored, map[string]string{name: string(key)})
	}
	if r := offline("restore", saved, "--data", restored); r.code != exitOK {
		t.Fatalf("%+v", r)
	}

	// What the bucket holds moves by being listed, and stays what it is.
	if r := s.cli("register", in("later.txt")); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	files, sum := lines(t, s.cli("register", "s3://records", "--json").out)
	if sum != (summary{Updated: 2}) {
		t.Errorf("listed: %+v", files)
	}
	if _, sum := lines(t, s.cli("register", "s3://records", "--json").out); sum != (summary{Unchanged: 2}) {
		t.Errorf("listed again: %+v", sum)
	}
	found("moved by a listing", s, "bucket.txt", "page.pdf", "later.txt")
	files, sum = lines(t, s.cli("registration", "rekey", "--json").out)
	if sum != (summary{Updated: 1, Skipped: 2}) || files[in("kept.txt")].Outcome != "updated" || files[in("kept.txt")].DocumentID != ids["kept.txt"] {
		t.Errorf("rekeyed: %+v", files)
	}
	s.drawn()
	found("moved", s, append(all, "later.txt")...)
	if n := s.underPrevious(); n != 2 {
		t.Errorf("%d documents are left under the previous key", n)
	}
	if old, now := byKey(in("old.key")), byKey(filepath.Join(data, keyFile)); old != exitOK || now != exitMatch {
		t.Errorf("fingerprints made elsewhere: exit %d with the previous key, %d with the current one", old, now)
	}
	if r := s.cli("document", "show", ids["kept.txt"], "--page", "1"); r.code != exitOK || strings.TrimSpace(r.out) != strings.TrimSpace(texts["kept.txt"]) {
		t.Errorf("a page from the archive: exit %d: %s", r.code, r.err)
	}
	if r := s.cli("audit", "verify"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	s.stop()
	if r := offline("rotate", "--data", data, "--finish"); r.code != exitFailed || !strings.Contains(r.err, "2 versions") {
		t.Errorf("finished with documents left: %+v", r)
	}
	if r := offline("rotate", "--data", data, "--finish", "--drop"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(data, previousFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the previous key is there still: %v", err)
	}
	verified("after the end")

	s = start(t, data, "--config", archived)
	found("at last", s, "bucket.txt", "page.pdf", "kept.txt", "later.txt")
	if a := s.match(excerpt("alone.txt")); len(a.Matches) > 0 {
		t.Errorf("what was dropped is found: %+v", a)
	}
	// What has the same letterhead may be seen in its place.
	if got := s.sighted(in("sheet.pdf.png")); strings.Contains(got, "sheet.pdf") {
		t.Errorf("what was dropped is seen: %s", got)
	}
	if r := s.cli("document", "show", ids["alone.txt"], "--json"); !strings.Contains(r.out, whyDropped) {
		t.Errorf("what was dropped is not on record: %+v", r)
	}
	if code, again := s.post("post-1", excerpt("alone.txt")); code != http.StatusOK || again != taken {
		t.Errorf("the same post at last: %d %s, not %s", code, again, taken)
	}
	if r := s.cli("index", "check"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	fresh := start(t, filepath.Join(t.TempDir(), "fresh"))
	if r := fresh.cli("register", in("kept.txt"), in("later.txt"), in("bucket.txt")); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for name := range texts {
		got, want := s.match(excerpt(name)), fresh.match(excerpt(name))
		if len(got.Matches) != len(want.Matches) || len(want.Matches) > 0 && fmt.Sprint(got.Matches[0].Passages) != fmt.Sprint(want.Matches[0].Passages) {
			t.Errorf("%s: %+v, registered anew %+v", name, got, want)
		}
	}
	if _, sum := lines(t, s.cli("register", in("alone.txt"), "--json").out); sum != (summary{Registered: 1}) {
		t.Errorf("what was dropped, registered again: %+v", sum)
	}
	delete(ids, "alone.txt")
	found("registered again", s, "alone.txt")
	s.stop()
	if r := offline("rotate", "--data", data); r.code != exitOK {
		t.Errorf("the next rotation: %+v", r)
	}
	verified("after the next rotation")

	clear(ids)
	was := start(t, restored, "--config", settings)
	found("restored", was, "bucket.txt", "kept.txt", "alone.txt", "sheet.pdf")
	if r := was.cli("audit", "verify"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}

// TestRotateBundle: a bundle that was made with the new key takes the place of what was made
// with the previous one.
func TestRotateBundle(t *testing.T) {
	papers := t.TempDir()
	text := fingerprinttest.Prose(1, 4000)
	write(t, papers, map[string]string{"memo.txt": text})
	data := filepath.Join(t.TempDir(), "data")
	bundled := func() string {
		path := filepath.Join(t.TempDir(), "memo.spf")
		if r := offline("fingerprint", filepath.Join(papers, "memo.txt"), "--secret-key-file", filepath.Join(data, keyFile), "-o", path); r.code != exitOK {
			t.Fatalf("%+v", r)
		}
		return path
	}
	s := start(t, data)
	before := bundled()
	if r := s.cli("register", before); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	id := s.match(text[500:900]).Matches[0].Document.ID
	s.stop()
	if r := offline("rotate", "--data", data); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s = start(t, data)
	if r := s.cli("register", before); r.code == exitOK {
		t.Errorf("a bundle of the previous key was taken: %+v", r)
	}
	if _, sum := lines(t, s.cli("register", bundled(), "--json").out); sum != (summary{Updated: 1}) {
		t.Errorf("%+v", sum)
	}
	if a := s.match(text[500:900]); len(a.Matches) != 1 || a.Matches[0].Document.ID != id || a.Matches[0].Document.Version != 1 {
		t.Errorf("%+v", a)
	}
	s.stop()
	if r := offline("rotate", "--data", data, "--finish"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}

// TestRotateVersions: of a document with versions under both keys, --drop gives up the old ones
// only.
func TestRotateVersions(t *testing.T) {
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	draft, final := fingerprinttest.Prose(1, 4000), fingerprinttest.Prose(2, 4000)
	settings := settingsFile(t, s3.Endpoint, sourcetest.SecretKey)
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data, "--config", settings)
	for _, text := range []string{draft, final} {
		s3.Put(t, bucket, "memo.txt", text)
		if r := s.cli("register", "s3://records"); r.code != exitOK {
			t.Fatalf("%+v", r)
		}
	}
	s.stop()
	if r := offline("rotate", "--data", data); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s = start(t, data, "--config", settings)
	if r := s.cli("registration", "rekey", "--json"); r.code != exitOK || !strings.Contains(r.out, `"updated":1`) || !strings.Contains(r.out, `"skipped":1`) {
		t.Errorf("%+v", r)
	}
	for i, text := range []string{draft, final} {
		if a := s.match(text[500:900]); a.Verdict != "unauthorized" || a.Matches[0].Document.Version != i+1 {
			t.Errorf("version %d: %+v", i+1, a)
		}
	}
	s.stop()
	if r := offline("rotate", "--data", data, "--finish", "--drop"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s = start(t, data, "--config", settings)
	if a := s.match(final[500:900]); a.Verdict != "unauthorized" || a.Matches[0].Document.Version != 2 {
		t.Errorf("the final: %+v", a)
	}
	if a := s.match(draft[500:900]); len(a.Matches) > 0 {
		t.Errorf("the draft: %+v", a)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if r := s.cli("backup", saved); r.code != exitOK || !strings.HasPrefix(r.err, "1 documents") {
		t.Errorf("%+v", r)
	}
}

// TestRotateBrokenOff: a rotation that was ended between any two steps leaves a folder that
// nobody else opens, and the same command finishes it; so it is with the end of a rotation.
func TestRotateBrokenOff(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	text := fingerprinttest.Prose(1, 3000)
	papers, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	write(t, papers, map[string]string{"memo.txt": text})
	s := start(t, data)
	if r := s.cli("register", papers); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.stop()
	check := func(when, dir string) {
		t.Helper()
		s := start(t, dir)
		defer s.stop()
		if a := s.match(text[500:900]); a.Verdict != "unauthorized" {
			t.Errorf("%s: %+v", when, a)
		}
		if r := s.cli("audit", "verify"); r.code != exitOK {
			t.Errorf("%s: %+v", when, r)
		}
	}
	folder := func() string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// Before there is a next key nothing has begun.
	dir := folder()
	write(t, dir, map[string]string{filepath.Join(previousFolder, keyFile): "half a key"})
	if err := os.Remove(filepath.Join(dir, previousFolder, keyFile)); err != nil {
		t.Fatal(err)
	}
	check("a folder for the previous key", dir)

	for done := 0; ; done++ {
		dir := folder()
		if err := prepareRotation(t.Context(), dir, log); err != nil {
			t.Fatal(err)
		}
		steps, err := rotationSteps(dir)
		if err != nil {
			t.Fatal(err)
		}
		if done == len(steps) {
			break
		}
		for _, step := range steps[:done] {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"index", "stats"}, {"rotate", "--finish"}} {
			if r := offline(append(args, "--data", dir)...); r.code != exitFailed || !strings.Contains(r.err, "was interrupted") {
				t.Errorf("after %d steps, %s: %+v", done, args, r)
			}
		}
		if r := offline("rotate", "--data", dir); r.code != exitOK {
			t.Errorf("after %d steps: %+v", done, r)
			continue
		}
		check(fmt.Sprintf("after %d steps", done), dir)
	}

	// The end: the registry has forgotten the previous key, and its folder is there still.
	dir = folder()
	if r := offline("rotate", "--data", dir); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s = start(t, dir)
	if r := s.cli("register", papers); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.stop()
	d, err := openData(t.Context(), dir, false, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.finish(t.Context(), terminal{err: io.Discard}, false), d.Close()); err != nil {
		t.Fatal(err)
	}
	check("after the end", dir)
	if r := offline("rotate", "--finish", "--data", dir); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, previousFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the previous key is there still: %v", err)
	}
	if r := offline("rotate", "--data", dir); r.code != exitOK {
		t.Errorf("%+v", r)
	}
}

// TestRotateKill: a rotation that is killed at any moment loses nothing.
func TestRotateKill(t *testing.T) {
	text := fingerprinttest.Prose(1, 3000)
	papers, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	write(t, papers, map[string]string{"memo.txt": text})
	s := start(t, data)
	if r := s.cli("register", papers); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	s.stop()
	r := rand.New(rand.NewPCG(1, 1))
	interrupted := 0
	for range 12 {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		victim := exec.Command(os.Args[0], "rotate", "--data", dir)
		victim.Env = append(os.Environ(), runMain+"=1")
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+r.IntN(150)) * time.Millisecond)
		_ = victim.Process.Kill() // it may have ended
		_ = victim.Wait()         // it was killed
		if rotating(dir) != nil {
			interrupted++
		}
		if r := offline("rotate", "--data", dir); r.code != exitOK && !strings.Contains(r.err, "is not finished") {
			t.Fatalf("%+v", r)
		}
		s := start(t, dir)
		if a := s.match(text[500:900]); a.Verdict != "unauthorized" || s.underPrevious() != 1 {
			t.Errorf("%+v", a)
		}
		s.stop()
	}
	t.Logf("%d were interrupted halfway", interrupted)
}
