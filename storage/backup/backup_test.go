package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/audit"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// deployment is an index and a registry that documents are registered in.
type deployment struct {
	*testing.T
	dir  string
	key  *fingerprint.Key
	from Source
	log  *audit.Log
	mu   sync.Mutex
	rng  *rand.Rand
	all  map[storage.DocumentID]storage.Sheet
}

func open(t *testing.T, dir string, key *fingerprint.Key) *deployment {
	t.Helper()
	d := &deployment{T: t, dir: dir, key: key, rng: rand.New(rand.NewPCG(1, 1)), all: map[storage.DocumentID]storage.Sheet{}}
	d.from = Source{Key: key, Folder: dir, Audit: filepath.Join(dir, "audit")}
	var err error
	if d.log, err = audit.Open(d.from.Audit, key); err != nil {
		t.Fatal(err)
	}
	if d.from.Index, err = index.Open(filepath.Join(dir, "index"), key.Params(), index.Options{MemoryBudget: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	if d.from.Pages, err = index.Open(filepath.Join(dir, "pages"), key.PageParams(), index.Options{}); err != nil {
		t.Fatal(err)
	}
	if d.from.Registry, err = registry.Open(t.Context(), filepath.Join(dir, "registry.db"), key); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.log.Close(); d.from.Index.Close(); d.from.Pages.Close(); d.from.Registry.Close() })
	return d
}

// register stores a document as the server does: its record first, then its fingerprints.
func (d *deployment) register() storage.DocumentID {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, err := d.from.Registry.ReserveOrdinals(d.Context(), 2)
	if err != nil {
		d.Error(err)
		return ""
	}
	sheet := storagetest.RandomSheet(d.rng, first, 5000, 400)
	id := storage.DocumentID(fmt.Sprintf("doc_%d", first))
	now := time.Unix(1_800_000_000, 0).UTC()
	drawing := storagetest.RandomSheet(d.rng, first+1, 5000, 100)
	if err := d.log.Append(d.Context(), audit.Record{Principal: "key", Action: "register", Targets: []string{string(id)}}); err != nil {
		d.Error(err)
		return ""
	}
	if err := errors.Join(d.from.Index.Append(d.Context(), []storage.Sheet{sheet}), d.from.Pages.Append(d.Context(), []storage.Sheet{drawing})); err != nil {
		d.Error(err)
		return ""
	}
	err = d.from.Registry.Commit(d.Context(), storage.Changes{
		Documents: []storage.Document{{ID: id, Title: "t", Department: "finance", Collection: "default", Version: 1, CreatedAt: now, UpdatedAt: now}},
		Versions:  []storage.Version{{Document: id, Number: 1, Ordinal: first, Content: []byte(id), Window: sheet.Window, Status: "ok", CreatedAt: now}},
		Drawn:     []storage.Drawn{{Version: first, By: 1, Drawings: []storage.Drawing{{Ordinal: first + 1, Page: 1, Layout: []byte{1}, Hash: make([]byte, 32)}}}},
	})
	if err != nil {
		d.Error(err)
	}
	d.all[id] = sheet
	return id
}

func (d *deployment) delete(id storage.DocumentID) {
	ordinals, err := d.from.Registry.Delete(d.Context(), storage.Everywhere(), id)
	if err == nil {
		err = errors.Join(d.from.Index.Delete(d.Context(), ordinals), d.from.Pages.Delete(d.Context(), ordinals))
	}
	if err != nil {
		d.Error(err)
	}
}

// recorded are the documents that the audit log tells of.
func (d *deployment) recorded() map[string]bool {
	d.Helper()
	records, err := d.log.Read(d.Context(), audit.Filter{Action: "register"}, 0, 100_000)
	if err != nil {
		d.Fatal(err)
	}
	all := map[string]bool{}
	for _, r := range records {
		all[r.Targets[0]] = true
	}
	return all
}

// agree fails unless registry, index and audit log speak of the same documents, and returns
// these.
func (d *deployment) agree() []storage.Ordinal {
	d.Helper()
	known, err := d.from.Registry.Ordinals(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	indexed, err := d.from.Index.Ordinals(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	recorded := d.recorded()
	for _, o := range known {
		if !slices.Contains(indexed, o) {
			d.Errorf("version %d has no fingerprints", o)
		}
		if !recorded[fmt.Sprintf("doc_%d", o)] {
			d.Errorf("version %d stands in no record", o)
		}
	}
	return known
}

func restored(t *testing.T, archive []byte, key *fingerprint.Key) *deployment {
	t.Helper()
	dir := t.TempDir()
	if _, err := Restore(t.Context(), bytes.NewReader(archive), dir, key); err != nil {
		t.Fatal(err)
	}
	return open(t, dir, key)
}

// TestRoundTrip: what is restored answers as what was backed up, and goes on.
func TestRoundTrip(t *testing.T) {
	d := open(t, t.TempDir(), fingerprint.NewKey())
	var ids []storage.DocumentID
	for range 60 {
		ids = append(ids, d.register())
	}
	for _, id := range ids[:10] {
		d.delete(id)
	}
	var archive bytes.Buffer
	contents, err := d.from.Write(t.Context(), &archive)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(bytes.NewReader(archive.Bytes()))
	if err != nil || contents.Documents != 50 || verified.Documents != 50 || verified.KeyID != d.key.ID() {
		t.Errorf("%+v, %+v, %v", contents, verified, err)
	}
	again := restored(t, archive.Bytes(), d.key)
	if got := again.agree(); len(got) != 50 {
		t.Errorf("%d versions", len(got))
	}
	drawn, err := again.from.Registry.DrawingsOf(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if laidOut, err := again.from.Pages.Ordinals(t.Context()); err != nil || len(drawn) != 50 || !slices.Equal(laidOut, drawn) {
		t.Errorf("%d drawings, %d of them with fingerprints, %v", len(drawn), len(laidOut), err)
	}
	for id, sheet := range d.all {
		want, err := d.from.Index.Lookup(t.Context(), sheet.Hashes, 100)
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.from.Index.Lookup(t.Context(), sheet.Hashes, 100)
		if err != nil {
			t.Fatal(err)
		}
		storagetest.Compare(t, got, want, 10*400) // what was deleted may count
		if _, _, _, err := again.from.Registry.Document(t.Context(), storage.Everywhere(), id); (err == nil) != slices.Contains(ids[10:], id) {
			t.Errorf("%s: %v", id, err)
		}
	}
	again.register()
	if left, err := os.ReadDir(d.dir); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".tmp") }) {
		t.Errorf("%v, %v", left, err)
	}
}

// TestWhileWriting: backups that are made while documents come and go agree with
// themselves.
func TestWhileWriting(t *testing.T) {
	d := open(t, t.TempDir(), fingerprint.NewKey())
	for range 20 {
		d.register()
	}
	var done atomic.Bool
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for mine := []storage.DocumentID{}; !done.Load(); {
				mine = append(mine, d.register())
				if len(mine) > 3 {
					d.delete(mine[0])
					mine = mine[1:]
				}
			}
		})
	}
	defer writers.Wait()
	defer done.Store(true)
	for range 8 {
		var archive bytes.Buffer
		if _, err := d.from.Write(t.Context(), &archive); err != nil {
			t.Fatal(err)
		}
		if got := restored(t, archive.Bytes(), d.key).agree(); len(got) < 20 {
			t.Errorf("%d versions", len(got))
		}
	}
}

// TestDamagedBackup: an archive that was cut or changed anywhere is refused, and leaves
// nothing behind.
func TestDamagedBackup(t *testing.T) {
	d := open(t, t.TempDir(), fingerprint.NewKey())
	for range 5 {
		d.register()
	}
	var out bytes.Buffer
	if _, err := d.from.Write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	archive := out.Bytes()
	dir := t.TempDir()
	refuse := func(what string, content []byte) {
		t.Helper()
		if _, err := Restore(t.Context(), bytes.NewReader(content), dir, d.key); !errors.Is(err, ErrDamaged) && !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Fatalf("%s leaves %v, %v", what, left, err)
		}
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		refuse("a cut archive", archive[:rng.IntN(len(archive)-4096)])
	}
	// What fills the last block of a file is no part of it.
	for _, f := range verifiedFiles(t, archive) {
		at := bytes.Index(archive, []byte(f.Name))
		for range 10 {
			changed := bytes.Clone(archive)
			changed[at+512+rng.IntN(int(f.Bytes)-512)] ^= 1 << rng.IntN(8)
			refuse("a changed "+f.Name, changed)
		}
	}
	for _, name := range []string{"../evil", "index/../../evil", "/etc/evil", "index/a/b", "index/", "secret.key"} {
		var evil bytes.Buffer
		w := tar.NewWriter(&evil)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "x")
		refuse(name, evil.Bytes())
	}
	if _, err := Restore(t.Context(), bytes.NewReader(archive), dir, fingerprint.NewKey()); err == nil || !strings.Contains(err.Error(), d.key.ID()) {
		t.Errorf("another key: %v", err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(archive), d.dir, d.key); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a folder that is in use: %v", err)
	}
}

func verifiedFiles(t *testing.T, archive []byte) []File {
	t.Helper()
	contents, err := Verify(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(contents.Files, func(f File) bool { return f.Bytes < 1024 })
}

// TestDamagedIndex: what is damaged is not backed up.
func TestDamagedIndex(t *testing.T) {
	d := open(t, t.TempDir(), fingerprint.NewKey())
	for range 40 {
		d.register()
	}
	if err := d.from.Index.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(d.dir, "index", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff, 0, 0xff, 0}, 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := d.from.Write(t.Context(), io.Discard); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}
