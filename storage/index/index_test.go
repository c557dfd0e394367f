package index

import (
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// TestConformance runs the suite twice: with everything in memory, and with a
// memtable so small that nearly every Append is flushed and merged.
func TestConformance(t *testing.T) {
	for name, options := range map[string]Options{"memory": {}, "flushing": {MemoryBudget: 2 << 10}} {
		t.Run(name, func(t *testing.T) {
			storagetest.Index(t, func(t *testing.T) func() (storage.Index, error) {
				dir := t.TempDir()
				return func() (storage.Index, error) { return Open(dir, storagetest.Params, options) }
			})
		})
	}
}

// slowLog is a disk whose syncs wait to be let through.
type slowLog struct {
	file
	begun, proceed chan struct{}
}

func (s *slowLog) Sync() error {
	s.begun <- struct{}{}
	<-s.proceed
	return s.file.Sync()
}

// TestGroupCommit: Appends that arrive during a sync share the next one, and
// look-ups wait for neither.
func TestGroupCommit(t *testing.T) {
	const waiting = 10
	ix := open(t, t.TempDir(), Options{})
	mustAppend(t, ix, sheetOf(100, 7))
	slow := &slowLog{ix.log.file, make(chan struct{}), make(chan struct{})}
	ix.log.file = slow
	var appends sync.WaitGroup
	start := func(o storage.Ordinal) {
		appends.Go(func() {
			if err := ix.Append(t.Context(), []storage.Sheet{sheetOf(o, 7)}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	start(0)
	<-slow.begun
	for o := range storage.Ordinal(waiting) {
		start(o + 1)
	}
	for queued := 0; queued < waiting; time.Sleep(time.Millisecond) {
		ix.queueMu.Lock()
		queued = len(ix.queue)
		ix.queueMu.Unlock()
	}
	visible := func() int {
		answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{7}, 100)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Lists[0].Total
	}
	if got := visible(); got != 1 {
		t.Errorf("%d postings are visible before they are durable", got)
	}
	slow.proceed <- struct{}{}
	<-slow.begun
	if got := visible(); got != 2 {
		t.Errorf("%d postings are visible, want 2", got)
	}
	slow.proceed <- struct{}{}
	appends.Wait() // a third sync would block
	if got := visible(); got != 2+waiting {
		t.Errorf("%d postings are visible, want %d", got, 2+waiting)
	}
	ix.log.file = slow.file
}

// TestQuiet: what was appended becomes one segment when no more comes, unless it is little.
func TestQuiet(t *testing.T) {
	t.Parallel()
	const sheets = 40
	ix, small := open(t, t.TempDir(), Options{MemoryBudget: 64 << 10}), open(t, t.TempDir(), Options{MemoryBudget: 64 << 10})
	mustAppend(t, small, sheetOf(1, 7))
	for o := range storage.Ordinal(sheets) {
		hashes := []fingerprint.Hash{7}
		for i := range fingerprint.Hash(100) {
			hashes = append(hashes, 1000*fingerprint.Hash(o+1)+i)
		}
		mustAppend(t, ix, sheetOf(o, hashes...))
	}
	state := func(ix *Index) (runs, segments int, answer *storage.Answer) {
		t.Helper()
		v, err := ix.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer v.release()
		for _, p := range v.parts {
			if p.log == 0 {
				segments++
			}
		}
		if answer, err = ix.Lookup(t.Context(), []fingerprint.Hash{7, 1001}, sheets); err != nil {
			t.Fatal(err)
		}
		return len(v.parts), segments, answer
	}
	runs, segments, before := state(ix)
	if runs < 3 && segments == 0 {
		t.Errorf("%d runs are too few to show anything", runs)
	}
	deadline := time.Now().Add(time.Minute)
	after := before
	for ; segments == 0 && time.Now().Before(deadline); time.Sleep(quiet / 10) {
		runs, segments, after = state(ix)
	}
	if runs != 1 || segments != 1 || !reflect.DeepEqual(after, before) {
		t.Errorf("%d runs, %d of them segments, answer %+v; want one and %+v", runs, segments, after, before)
	}
	if _, segments, _ := state(small); segments != 0 {
		t.Errorf("one sheet became %d segments", segments)
	}
}

// TestFormats opens an index of every format version there has been. Each was
// written by sample.
func TestFormats(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/"+version)); err != nil {
			t.Fatal(err)
		}
		report, err := Check(t.Context(), dir)
		if err != nil || len(report.Damage) > 0 || report.Segments != 1 || report.Logs != 1 {
			t.Fatalf("%s: check: %+v, %v", version, report, err)
		}
		ix := open(t, dir, Options{})
		answer, err := ix.Lookup(t.Context(), []fingerprint.Hash{7, 9}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]storage.Posting{
			{{Ordinal: 1, Window: 5}, {Ordinal: 1, Position: 10, Window: 5}, {Ordinal: 3, Position: 5, Window: 5}},
			{{Ordinal: 3, Position: 0, Window: 5}},
		} {
			if got := answer.Lists[i].Postings; !slices.Equal(got, want) {
				t.Errorf("%s: list %d: %v, want %v", version, i, got, want)
			}
		}
	}
}

// sample writes the index that TestFormats expects, with what there is of
// everything: a segment, a log with an Append and a Delete, deleted ordinals.
func sample(t *testing.T, dir string) {
	ix := open(t, dir, Options{})
	mustAppend(t, ix, sheetOf(1, 7, 8, 7), sheetOf(2, 7), sheetOf(4, 9))
	if err := ix.Delete(t.Context(), []storage.Ordinal{4}); err != nil {
		t.Fatal(err)
	}
	if err := ix.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, ix, sheetOf(3, 9, 7))
	if err := ix.Delete(t.Context(), []storage.Ordinal{2}); err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSample keeps sample up to date; a copy of what it writes goes to testdata
// with every new format version.
func TestSample(t *testing.T) {
	dir := t.TempDir()
	sample(t, dir)
	want, err := os.ReadFile(files(t, "testdata/v2", segSuffix)[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(files(t, dir, segSuffix)[0])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("segments are written differently: is that a new format version?")
	}
}
