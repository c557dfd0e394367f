package index

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

func open(t *testing.T, dir string, options Options) *Index {
	t.Helper()
	ix, err := Open(dir, storagetest.Params, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

func sheetOf(o storage.Ordinal, hashes ...fingerprint.Hash) storage.Sheet {
	return storage.Sheet{Ordinal: o, Window: fingerprint.Dense, Hashes: hashes}
}

func mustAppend(t *testing.T, ix *Index, sheets ...storage.Sheet) {
	t.Helper()
	if err := ix.Append(t.Context(), sheets); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir, suffix string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// twoSegments leaves a folder with sheet 1 in one segment and sheet 2, with one
// hash in common, in another.
func twoSegments(t *testing.T) (dir string, segments []string) {
	t.Helper()
	dir = t.TempDir()
	ix := open(t, dir, Options{})
	for o := range storage.Ordinal(2) {
		mustAppend(t, ix, sheetOf(o+1, 7, 100+fingerprint.Hash(o)))
		if err := ix.flushNow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ix.Close()
	return dir, files(t, dir, segSuffix)
}

func TestOpenRefuses(t *testing.T) {
	dir, segments := twoSegments(t)
	ix := open(t, dir, Options{})
	if _, err := Open(dir, storagetest.Params, Options{}); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("second open: %v", err)
	}
	ix.Close()
	other := storagetest.Params
	other.KeyID = "other"
	if _, err := Open(dir, other, Options{}); !errors.Is(err, fingerprint.ErrParams) {
		t.Errorf("other params: %v", err)
	}

	newer := func(b []byte) []byte { // a preamble of the next version
		le.PutUint32(b[8:], FormatVersion+1)
		return append(newPreambleSum(b[:12]), b[preambleSize:]...)
	}
	edit(t, segments[0], newer)
	if _, err := Open(dir, storagetest.Params, Options{}); !isNewer(err) || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("newer segment: %v", err)
	}
	manifest := filepath.Join(dir, manifestName)
	edit(t, manifest, func(b []byte) []byte { return bytes.Replace(b, []byte("format 2"), []byte("format 3"), 1) })
	if _, err := Open(dir, storagetest.Params, Options{}); !isNewer(err) {
		t.Errorf("newer manifest: %v", err)
	}
	edit(t, manifest, func(b []byte) []byte {
		return bytes.Replace(b, []byte("format 3"), []byte("format 2"), 1)[:len(b)-1]
	})
	if _, err := Open(dir, storagetest.Params, Options{}); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("damaged manifest: %v", err)
	}
	os.Remove(manifest)
	if _, err := Open(dir, storagetest.Params, Options{}); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("lost manifest: %v", err)
	}
	if len(files(t, dir, segSuffix)) != 2 {
		t.Error("segments were removed")
	}
}

func newPreambleSum(b []byte) []byte {
	fresh := appendPreamble(nil, string(b[:8]))
	copy(fresh[8:], b[8:12])
	return le.AppendUint64(fresh[:12], xxhash.Sum64(fresh[:12]))
}

// TestLostSegment: what is left answers and says what is missing; the documents
// can be appended anew, and neither they nor deleted ones come back twice when
// the file does.
func TestLostSegment(t *testing.T) {
	dir, segments := twoSegments(t)
	aside := filepath.Join(t.TempDir(), "aside")
	if err := os.Rename(segments[0], aside); err != nil {
		t.Fatal(err)
	}
	damaged := make(chan Event, 1)
	ix := open(t, dir, Options{Events: func(e Event) {
		if e.Kind == Damaged {
			damaged <- e
		}
	}})
	lookup := func(hash fingerprint.Hash) (postings []storage.Posting, missing []string, version string) {
		t.Helper()
		answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{hash}, 10)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Lists[0].Postings, answer.Missing, answer.Version
	}
	name := filepath.Base(segments[0])
	postings, missing, partial := lookup(7)
	if len(postings) != 1 || postings[0].Ordinal != 2 || !slices.Equal(missing, []string{name}) {
		t.Fatalf("postings %v, missing %v", postings, missing)
	}
	if e := <-damaged; e.File != name || !errors.Is(e.Err, fs.ErrNotExist) {
		t.Errorf("event %+v", e)
	}
	mustAppend(t, ix, sheetOf(1, 7, 100))
	mustAppend(t, ix, sheetOf(3, 7))
	if err := ix.Delete(t.Context(), []storage.Ordinal{3}); err != nil {
		t.Fatal(err)
	}
	if err := ix.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, missing, _ := lookup(7); len(missing) != 1 {
		t.Errorf("missing after merge: %v", missing)
	}
	ix.Close()

	if err := os.Rename(aside, segments[0]); err != nil {
		t.Fatal(err)
	}
	ix = open(t, dir, Options{})
	postings, missing, whole := lookup(7)
	if len(postings) != 2 || len(missing) != 0 || whole == partial {
		t.Errorf("restored: postings %v, missing %v", postings, missing)
	}
	if err := ix.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if postings, _, _ = lookup(7); len(postings) != 2 {
		t.Errorf("merged: postings %v", postings)
	}
}

func TestForget(t *testing.T) {
	dir, segments := twoSegments(t)
	edit(t, segments[1], func(b []byte) []byte { return b[:len(b)-1] })
	if err := Forget(dir, "00000099.seg"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("unknown segment: %v", err)
	}
	if err := Forget(dir, filepath.Base(segments[1])); err != nil {
		t.Fatal(err)
	}
	ix := open(t, dir, Options{})
	answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{7}, 10)
	if err != nil || len(answer.Missing) > 0 || len(answer.Lists[0].Postings) != 1 {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestEveryByte flips every byte of a segment, one after the other. Check finds
// each; look-ups answer, however wrongly.
func TestEveryByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var sheets []storage.Sheet
	var hashes []fingerprint.Hash
	for o := range storage.Ordinal(6) {
		s := storagetest.RandomSheet(rng, o, 300, 120)
		sheets = append(sheets, s)
		hashes = append(hashes, s.Hashes...)
	}
	run, err := newRun(t.Context(), storagetest.Params, sheets)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(run.data)
	for i := range data {
		for _, flip := range []byte{1, 0x80, 0xff} {
			data[i] ^= flip
			s, err := decodeSegment("flipped", data, storagetest.Params)
			if err == nil {
				err = s.verify(t.Context())
				lists := make([]storage.List, len(hashes))
				// That it finds damage or does not is both well.
				_ = part{segment: s}.lookup(hashes, 5, lists)
			}
			if err == nil {
				t.Errorf("byte %d xor %x: not noticed", i, flip)
			}
			data[i] ^= flip
		}
	}
	for n := range data {
		if _, err := decodeSegment("cut", data[:n], storagetest.Params); err == nil {
			t.Errorf("cut to %d bytes: not noticed", n)
		}
	}
}

// TestDamageInUse damages the rows of a segment that is open: Check sees it,
// merges refuse to copy it, answers name it.
func TestDamageInUse(t *testing.T) {
	dir, segments := twoSegments(t)
	ix := open(t, dir, Options{})
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeSegment("sound", data, storagetest.Params)
	if err != nil {
		t.Fatal(err)
	}
	number := preambleSize + len(s.section[sectionParams]) + len(s.section[sectionDocuments]) + s.layout(s.frames[0]).rows + s.tailBits/8
	if _, err := f.WriteAt([]byte{0xff}, int64(number)); err != nil { // the posting number of the first row
		t.Fatal(err)
	}
	report, err := Check(t.Context(), dir)
	if err != nil || len(report.Damage) != 1 || !errors.Is(report.Damage[0], storage.ErrCorrupt) ||
		!strings.Contains(report.Damage[0].Error(), filepath.Base(segments[0])) {
		t.Errorf("check: %+v, %v", report, err)
	}
	// The merge notices, if the scrub has not yet.
	if err := ix.Compact(t.Context()); err != nil && !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("compact: %v", err)
	}
	missing := func() []string {
		answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{7, 100, 101}, 5)
		if err != nil || len(answer.Lists[2].Postings) != 1 {
			t.Fatalf("%+v, %v", answer, err)
		}
		return answer.Missing
	}
	if got := missing(); len(got) != 1 {
		t.Errorf("missing %v", got)
	}
	// Pages that are gone altogether must not end the process.
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if got := missing(); len(got) != 1 {
		t.Errorf("missing %v", got)
	}
}

// logWith leaves a folder with a log of three frames and returns its path and
// where the frames begin and end.
func logWith(t *testing.T) (dir, path string, bounds []int64) {
	t.Helper()
	dir = t.TempDir()
	ix := open(t, dir, Options{})
	for o := range storage.Ordinal(3) {
		mustAppend(t, ix, sheetOf(o, 7, 8))
		bounds = append(bounds, ix.log.durable)
	}
	ix.Close()
	return dir, files(t, dir, logSuffix)[0], append([]int64{preambleSize}, bounds...)
}

// TestTornLog cuts a log everywhere: whole frames stay, the rest goes, and
// writing goes on.
func TestTornLog(t *testing.T) {
	_, path, bounds := logWith(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range int64(len(whole)) {
		if cut > preambleSize && cut < bounds[2]-2 && cut%7 != 0 {
			continue // syncs are slow; the last frame is what matters
		}
		for _, tail := range [][]byte{nil, []byte("\xeegarbage")} {
			dir, path, _ := logWith(t)
			edit(t, path, func(b []byte) []byte { return append(b[:cut:cut], tail...) })
			ix := open(t, dir, Options{})
			want := 0
			for want < 3 && bounds[want+1] <= cut {
				want++
			}
			ordinals, err := ix.Ordinals(t.Context())
			if err != nil || len(ordinals) != want {
				t.Fatalf("cut at %d: %v, %v, want %d", cut, ordinals, err, want)
			}
			mustAppend(t, ix, sheetOf(9, 7))
			ix.Close()
			ix = open(t, dir, Options{})
			if ordinals, _ = ix.Ordinals(t.Context()); len(ordinals) != want+1 {
				t.Fatalf("cut at %d, reopened: %v", cut, ordinals)
			}
			ix.Close()
		}
	}
}

// TestDamagedLog flips every byte of the acknowledged frames that others
// follow.
func TestDamagedLog(t *testing.T) {
	dir, path, bounds := logWith(t)
	for i := range bounds[2] {
		edit(t, path, func(b []byte) []byte { b[i] ^= 0x10; return b })
		if _, err := Open(dir, storagetest.Params, Options{}); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		report, err := Check(t.Context(), dir)
		if err != nil || len(report.Damage) != 1 {
			t.Fatalf("byte %d: check: %+v, %v", i, report, err)
		}
		edit(t, path, func(b []byte) []byte { b[i] ^= 0x10; return b })
	}
	open(t, dir, Options{})
}

// failingLog is a disk that has gone bad.
type failingLog struct {
	file
	err error
}

func (f *failingLog) Sync() error {
	if f.err != nil {
		return f.err
	}
	return f.file.Sync()
}

func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	var refused int
	ix := open(t, dir, Options{Events: func(e Event) {
		if e.Kind == Refused {
			refused++
		}
	}})
	mustAppend(t, ix, sheetOf(1, 7))
	bad := &failingLog{ix.log.file, errors.New("medium error")}
	ix.log.file = bad
	if err := ix.Append(t.Context(), []storage.Sheet{sheetOf(2, 7)}); !errors.Is(err, bad.err) {
		t.Fatalf("append: %v", err)
	}
	bad.err = nil // a disk that seems well again is not trusted
	if err := ix.Append(t.Context(), []storage.Sheet{sheetOf(3, 7)}); err == nil {
		t.Error("append after a failed sync was taken")
	}
	if err := ix.Delete(t.Context(), []storage.Ordinal{1}); err == nil {
		t.Error("delete after a failed sync was taken")
	}
	answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{7}, 10)
	if err != nil || len(answer.Lists[0].Postings) != 1 {
		t.Errorf("%+v, %v", answer, err)
	}
	ix.Close()
	ix = open(t, dir, Options{})
	if refused != 1 {
		t.Errorf("%d events", refused)
	}
	mustAppend(t, ix, sheetOf(3, 7))
}

// TestFailedFlush makes flushing impossible for a while: nothing is lost, and
// writers are told once memory is full.
func TestFailedFlush(t *testing.T) {
	dir := t.TempDir()
	ix := open(t, dir, Options{MemoryBudget: 1})
	mustAppend(t, ix, sheetOf(1, 7))
	// The next segments cannot be created where folders stand in their place.
	ix.mu.Lock()
	for n := range uint64(100) {
		os.Mkdir(filepath.Join(dir, fileName(ix.lastNumber+1+n, segSuffix)), 0o700)
	}
	ix.mu.Unlock()
	var err error
	acknowledged := 1
	for o := storage.Ordinal(2); o < 10 && err == nil; o++ {
		if err = ix.Append(t.Context(), []storage.Sheet{sheetOf(o, 7)}); err == nil {
			acknowledged++
		}
	}
	if err == nil {
		t.Fatal("memory never became full")
	}
	ix.Close()
	ix = open(t, dir, Options{}) // sweeps what it did not write
	ordinals, err := ix.Ordinals(t.Context())
	if err != nil || len(ordinals) != acknowledged {
		t.Errorf("%v, %v, want %d", ordinals, err, acknowledged)
	}
	if err := ix.Compact(t.Context()); err != nil {
		t.Error(err)
	}
}
