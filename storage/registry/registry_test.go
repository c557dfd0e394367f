package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

func TestRegistry(t *testing.T) {
	storagetest.Registry(t, func(t *testing.T) func(*fingerprint.Key) (storage.Registry, error) {
		path := filepath.Join(t.TempDir(), "registry.db")
		return func(key *fingerprint.Key) (storage.Registry, error) { return Open(t.Context(), path, key) }
	})
}

func open(t testing.TB, path string, key *fingerprint.Key) *Registry {
	t.Helper()
	r, err := Open(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// changes registers documents under consecutive ordinals.
func changes(first storage.Ordinal, n int) storage.Changes {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var c storage.Changes
	for o := first; o < first+storage.Ordinal(n); o++ {
		id := storage.DocumentID(fmt.Sprintf("doc_%08x", uint32(o)*2654435761)) // in random order, as ids are
		department := fmt.Sprintf("department-%d/wing", o%20)
		v := storage.Version{
			Document: id, Number: 1, Ordinal: o, Content: fmt.Appendf(nil, "%032d", o), Size: 1 << 20, MediaType: "application/pdf",
			Window: fingerprint.Dense, Status: "readable", TextBytes: 20_000, CreatedAt: now,
		}
		for p := range 10 {
			v.Pages = append(v.Pages, storage.Page{Number: p + 1, Characters: 1800, CodePoints: 2100, Reader: "pdf"})
		}
		for i := range 3_500 { // words
			v.Places = append(v.Places, byte(3), byte(2+(i*7919+int(o))%9))
		}
		for i := range 128 {
			v.Sketch = binary.LittleEndian.AppendUint32(v.Sketch, uint32(i)<<24|uint32(o)*2654435761>>8)
		}
		c.Versions = append(c.Versions, v)
		c.Documents = append(c.Documents, storage.Document{
			ID: id, Title: fmt.Sprint("Minutes of meeting ", o), Department: department, Classification: "internal",
			Collection: "papers", Version: 1, CreatedAt: now, UpdatedAt: now,
		})
		c.Sources = append(c.Sources, storage.Source{
			SourceKey: storage.SourceKey{Department: department, Collection: "papers", Source: fmt.Sprintf("s3://papers/2026/%08d.pdf", o)},
			Document:  id, Version: 1, Revision: fmt.Appendf(nil, "%032d", o), SeenAt: now,
		})
	}
	return c
}

func TestFilesAreTheOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?&%#ü.db")
	r := open(t, path, fingerprint.NewKey())
	if err := r.Commit(t.Context(), changes(1, 1)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("closing left a log: %v", err)
	}
}

func TestPragmas(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	for _, test := range []struct{ pragma, want string }{
		{"journal_mode", "wal"}, {"synchronous", "2"}, {"foreign_keys", "1"}, {"secure_delete", "1"}, {"busy_timeout", "10000"},
	} {
		var got string
		if err := r.write.QueryRow("PRAGMA " + test.pragma).Scan(&got); err != nil || got != test.want {
			t.Errorf("%s is %q (%v), want %q", test.pragma, got, err, test.want)
		}
	}
	if _, err := r.read.Exec(`DELETE FROM meta`); err == nil {
		t.Error("a reader wrote")
	}
}

// Queries that run for every document or look-up find their rows by index,
// whatever the planner thinks of other ways.
func TestPlans(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	for name, query := range map[string]string{
		"matches": ofOrdinals(matchQuery, fewOrdinals), "sketches": ofOrdinals(sketchQuery, fewOrdinals),
		"drawings": ofOrdinals(drawingQuery, fewOrdinals), "source": sourceQuery, "content": contentQuery, "collection": collectionQuery,
	} {
		args := make([]any, strings.Count(query, "$"))
		rows, err := r.read.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		type step struct {
			id, parent, other int
			detail            string
		}
		steps, err := collect(rows, func(s *step) []any { return []any{&s.id, &s.parent, &s.other, &s.detail} })
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			t.Log(name, s.detail)
			if strings.HasPrefix(s.detail, "SCAN ") && s.detail != "SCAN CONSTANT ROW" || strings.Contains(s.detail, "documents_by_department") {
				t.Errorf("%s: %s", name, s.detail)
			}
		}
	}
}

func TestWrongKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	key := fingerprint.NewKey()
	if err := open(t, path, key).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, fingerprint.NewKey()); !errors.Is(err, fingerprint.ErrParams) {
		t.Errorf("another key: %v", err)
	}
	open(t, path, key)
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	key := fingerprint.NewKey()
	r := open(t, path, key)
	stands, err := migrated(t.Context(), r.write)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(migrations, "migrations/*")
	if err != nil || stands != len(files) {
		t.Errorf("%d migrations applied of %d (%v)", stands, len(files), err)
	}
	if _, err := r.write.Exec(`INSERT INTO migrations (number, applied_at) VALUES ($1, 0)`, stands+6); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, key)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it has migration %d", stands+6)) {
		t.Errorf("newer database: %v", err)
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, fingerprint.NewKey()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "absent", "registry.db"), fingerprint.NewKey()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A registry of the first release opens with all that it holds. Its documents are
// protected ones, and its versions have no sketches.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	db, err := connect(path, 1, "_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE migrations (number BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), db, 1, "migrations/0001_start.sql"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`UPDATE counters SET value = 7`,
		`INSERT INTO documents VALUES ('doc_old', 1, 'Minutes', 'finance', 'secret', 'papers', 1, 0, 0, 0)`,
		`INSERT INTO versions VALUES (7, 'doc_old', 1, x'01', 5, 'text/plain', 5, 'ok', '', 5, 0, 0, '{"numbers":null}')`,
	} {
		if _, err := db.Exec(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, path, fingerprint.NewKey())
	matches, err := r.Matches(t.Context(), storage.Everywhere(), []storage.Ordinal{7})
	if err != nil || matches[7].Document.Title != "Minutes" || matches[7].Kind != storage.Protected {
		t.Errorf("%+v, %v", matches, err)
	}
	if sketches, err := r.Sketches(t.Context(), []storage.Ordinal{7}); err != nil || len(sketches) != 0 {
		t.Errorf("%v, %v", sketches, err)
	}
	if first, err := r.ReserveOrdinals(t.Context(), 1); err != nil || first != 8 {
		t.Errorf("ordinal %d, %v", first, err)
	}
	if err := r.Commit(t.Context(), changes(8, 1)); err != nil {
		t.Error(err)
	}
}

// Damaged places and sketches, and those of another version, are recognized; so
// are pages and times that no registry wrote.
func TestDamage(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	c := changes(1, 2)
	if err := r.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if stored := sealedOf(t, r, "places", 1); len(stored) >= len(c.Versions[0].Places) {
		t.Errorf("places of %d bytes take %d", len(c.Versions[0].Places), len(stored))
	}
	for table, read := range map[string]func() error{
		"places":   func() error { _, err := r.Places(t.Context(), 1); return err },
		"sketches": func() error { _, err := r.Sketches(t.Context(), []storage.Ordinal{1}); return err },
	} {
		one, two := sealedOf(t, r, table, 1), sealedOf(t, r, table, 2)
		if err := read(); err != nil {
			t.Errorf("%s: %v", table, err)
		}
		flipped := bytes.Clone(one)
		flipped[len(flipped)/2] ^= 1
		for name, bad := range map[string][]byte{"changed": flipped, "cut": one[:len(one)-1], "short": one[:5], "empty": {}, "another's": two} {
			if _, err := r.write.Exec(`UPDATE `+table+` SET sealed = $1 WHERE ordinal = 1`, bad); err != nil {
				t.Fatal(err)
			}
			if err := read(); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("%s, %s: %v", table, name, err)
			}
		}
	}
	for _, damage := range []string{
		`UPDATE versions SET pages = '[{' WHERE ordinal = 1`, `UPDATE versions SET pages = '{"numbers":[1,2]}' WHERE ordinal = 1`,
		`UPDATE versions SET pages = '{"numbers":[1,2,3,4,5,6,7,8,9],"reader":["pdf","ocr"]}' WHERE ordinal = 1`,
		`UPDATE versions SET pages = 'null', size = 'one' WHERE ordinal = 1`,
		`UPDATE versions SET size = 1, created_at = 'noon' WHERE ordinal = 1`,
	} {
		if _, err := r.write.Exec(damage); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Matches(t.Context(), storage.Everywhere(), []storage.Ordinal{1}); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// Damaged layouts and hashes, and those of another drawing, are recognized.
func TestDamagedDrawings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	key := fingerprint.NewKey()
	r := open(t, path, key)
	c := changes(1, 1)
	hash := bytes.Repeat([]byte{7}, 32)
	c.Drawn = []storage.Drawn{{Version: 1, By: 1, Drawings: []storage.Drawing{
		{Ordinal: 2, Page: 1, Layout: []byte("canary-in-the-layout"), Hash: hash}, {Ordinal: 3, Page: 2, Layout: []byte("another"), Hash: hash},
	}}}
	if err := r.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal"} {
		if content, err := os.ReadFile(name); err != nil || bytes.Contains(content, []byte("canary")) || bytes.Contains(content, hash) {
			t.Errorf("%s holds what it should not: %v", filepath.Base(name), err)
		}
	}
	for _, damage := range []string{
		`UPDATE drawings SET layout = (SELECT layout FROM drawings WHERE ordinal = 3) WHERE ordinal = 2`,
		`UPDATE drawings SET layout = x'00' WHERE ordinal = 2`, `UPDATE drawings SET region = '[' WHERE ordinal = 2`,
	} {
		if _, err := r.write.Exec(damage); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Drawings(t.Context(), []storage.Ordinal{2}); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", damage, err)
		}
	}
	if _, err := r.write.Exec(`UPDATE hashes SET sealed = (SELECT sealed FROM hashes WHERE ordinal = 3) WHERE ordinal = 2`); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, key); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a hash of another drawing: %v", err)
	}
}

// sealedOf reads what is stored of a version in a table.
func sealedOf(t *testing.T, r *Registry, table string, ordinal storage.Ordinal) (sealed []byte) {
	t.Helper()
	if err := r.read.QueryRow(`SELECT sealed FROM `+table+` WHERE ordinal = $1`, ordinal).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	return sealed
}

// Another key opens nothing, even if the check of parameters is passed by.
func TestSealed(t *testing.T) {
	mine, err := newSealer(fingerprint.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSealer(fingerprint.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	version := storage.Version{Ordinal: 7, Places: []byte("places"), Sketch: []byte("sketch")}
	all, err := mine.versions([]storage.Version{version, version})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(all[0].places, all[1].places) || bytes.Equal(all[0].sketch, all[1].sketch) {
		t.Error("equal contents are sealed alike")
	}
	for _, test := range []struct {
		name   string
		open   func(*sealer, storage.Ordinal, []byte) ([]byte, error)
		sealed []byte
		other  []byte
	}{
		{"places", (*sealer).openPlaces, all[1].places, all[1].sketch},
		{"sketch", (*sealer).openSketch, all[1].sketch, all[1].places},
	} {
		if got, err := test.open(mine, 7, test.sealed); err != nil || string(got) != test.name {
			t.Errorf("%s: got %q, %v", test.name, got, err)
		}
		if _, err := test.open(other, 7, test.sealed); err == nil {
			t.Errorf("%s: another key opens it", test.name)
		}
		if _, err := test.open(mine, 8, test.sealed); err == nil {
			t.Errorf("%s: another ordinal opens it", test.name)
		}
		if _, err := test.open(mine, 7, test.other); err == nil {
			t.Errorf("%s: the other of the two is taken for it", test.name)
		}
	}
	if _, err := mine.versions([]storage.Version{{Places: make([]byte, maxPlaces+1)}}); err == nil {
		t.Error("places above the limit were sealed")
	}
}

// A canary in places or a sketch is found nowhere in the files; one in a title
// is, which shows that the search would find it.
func TestSealedAreNotReadable(t *testing.T) {
	dir := t.TempDir()
	r := open(t, filepath.Join(dir, "registry.db"), fingerprint.NewKey())
	c := changes(1, 1)
	c.Documents[0].Title = "canary-in-the-title"
	c.Versions[0].Places = []byte("canary-in-the-places")
	c.Versions[0].Sketch = []byte("canary-in-the-sketch")
	if err := r.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	count := func(canary string) (n int) {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(dir, f.Name())) //nolint:gosec // a file of the test
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(content, []byte(canary))
		}
		return n
	}
	if title, places, sketch := count("canary-in-the-title"), count("canary-in-the-places"), count("canary-in-the-sketch"); title == 0 || places+sketch != 0 {
		t.Errorf("found the title %d times, the places %d times and the sketch %d times", title, places, sketch)
	}
	// Deleted, and the log written back: nothing of the document is left.
	if _, err := r.Delete(t.Context(), storage.Everywhere(), c.Documents[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count("canary-in-the-title"); n != 0 {
		t.Errorf("a deleted title is in the file %d times", n)
	}
}

// Items of retired jobs go in chunks, and what a crash left goes at the next
// opening.
func TestSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	key := fingerprint.NewKey()
	r := open(t, path, key)
	c := storage.Changes{Jobs: []storage.Job{{ID: "job_a", Source: "x", State: storage.JobRunning}}}
	for i := range sweepChunk + 5 {
		c.Items = append(c.Items, storage.Item{Job: "job_a", Source: fmt.Sprint(i)})
	}
	if err := r.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	left := func(r *Registry) (n int) {
		if err := r.read.QueryRow(`SELECT COUNT(*) FROM items`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// A crash between retiring and sweeping.
	if _, err := r.write.Exec(`UPDATE jobs SET retired = 1`); err != nil {
		t.Fatal(err)
	}
	if n := left(r); n != sweepChunk+5 {
		t.Fatalf("%d items", n)
	}
	r = open(t, path, key)
	if n := left(r); n != 0 {
		t.Errorf("opening left %d items", n)
	}
	// One that still runs is numbered on, and swept with the next.
	if err := r.Commit(t.Context(), storage.Changes{Items: c.Items[:3]}); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(t.Context(), storage.Changes{Jobs: []storage.Job{{ID: "job_b", Source: "x", State: storage.JobRunning}}}); err != nil {
		t.Fatal(err)
	}
	if n := left(r); n != 0 {
		t.Errorf("the next job left %d items", n)
	}
}

func TestCanceled(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry.db"), fingerprint.NewKey())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Commit(ctx, changes(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.Commit(t.Context(), changes(1, 1)); err != nil {
		t.Errorf("after a canceled one: %v", err)
	}
}

// Two programs, such as the service and a command, may have the file at once.
func TestTwoPrograms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	key := fingerprint.NewKey()
	one, two := open(t, path, key), open(t, path, key)
	failures := make(chan error)
	for _, r := range []*Registry{one, two} {
		go func() {
			for range 50 {
				first, err := r.ReserveOrdinals(t.Context(), 1)
				if err == nil {
					err = r.Commit(t.Context(), changes(first, 1))
				}
				if err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for range 2 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	ordinals, err := one.Ordinals(t.Context())
	if err != nil || len(ordinals) != 100 {
		t.Errorf("%d ordinals, %v", len(ordinals), err)
	}
}

// The environment that makes this test binary the program of TestKill.
const (
	killPath = "SEALPRINT_TEST_REGISTRY_PATH"
	killKey  = "SEALPRINT_TEST_REGISTRY_KEY"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(killPath); path != "" {
		fmt.Println(commitForever(path, os.Getenv(killKey)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// commitForever prints the ordinal of every commit that was acknowledged.
func commitForever(path, encoded string) error {
	key, err := fingerprint.ParseKey([]byte(encoded))
	if err != nil {
		return err
	}
	r, err := Open(context.Background(), path, key)
	if err != nil {
		return err
	}
	for {
		first, err := r.ReserveOrdinals(context.Background(), 3)
		if err != nil {
			return err
		}
		if err := r.Commit(context.Background(), changes(first, 3)); err != nil {
			return err
		}
		fmt.Println(first)
	}
}

// A killed program loses nothing that it had acknowledged, keeps commits whole,
// and no ordinal is given out twice.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "registry.db")
	key := fingerprint.NewKey()
	acknowledged := make(map[storage.Ordinal]bool)
	for round := range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test binary
		child.Env = append(os.Environ(), killPath+"="+path, killKey+"="+string(key.Encode()))
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(300+77*round)*time.Millisecond, func() { _ = child.Process.Kill() })
		var output bytes.Buffer
		_, _ = output.ReadFrom(stdout)
		_ = child.Wait() // killed
		timer.Stop()
		lines := strings.SplitAfter(output.String(), "\n")
		for _, line := range lines {
			if !strings.HasSuffix(line, "\n") {
				continue // cut by the kill
			}
			var first storage.Ordinal
			if _, err := fmt.Sscanln(line, &first); err != nil {
				t.Fatalf("the program says: %s", line)
			}
			if acknowledged[first] {
				t.Fatalf("ordinal %d was given out twice", first)
			}
			acknowledged[first] = true
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("the program was killed before it committed")
	}
	r := open(t, path, key)
	ordinals, err := r.Ordinals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(ordinals)%3 != 0 {
		t.Errorf("%d ordinals, of commits with three each", len(ordinals))
	}
	matches, err := r.Matches(t.Context(), storage.Everywhere(), ordinals)
	if err != nil {
		t.Fatal(err)
	}
	for first := range acknowledged {
		for o := first; o < first+3; o++ {
			if matches[o].Source == "" {
				t.Errorf("ordinal %d was acknowledged and is lost", o)
			}
			if _, err := r.Places(t.Context(), o); err != nil {
				t.Error(err)
			}
		}
	}
	var verdict string
	if err := r.read.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity: %s, %v", verdict, err)
	}
	t.Logf("%d commits acknowledged", len(acknowledged))
}

// However pages differ from each other, they come back as they were.
func TestPageColumns(t *testing.T) {
	page := storage.Page{Number: 3, Characters: 4, CodePoints: 5, Reader: "pdf", Reason: "image"}
	for _, pages := range [][]storage.Page{
		nil,
		{{}},
		{page},
		{page, page, page},
		{page, {Number: 9}, page},
		{{Number: 1, Reader: "ocr"}, {Number: 2, Reader: "ocr", Reason: "blank"}},
	} {
		text, err := encode(columns(pages))
		if err != nil {
			t.Fatal(err)
		}
		var got scanPages
		if err := got.Scan(text); err != nil || !slices.Equal(got, pages) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, pages)
		}
	}
}
