package index

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// TestModel does the same random things to an index and to the reference, and
// asks both the same questions. SEALPRINT_TEST_SEED repeats a run.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEALPRINT_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for run := range uint64(4) {
		t.Run(strconv.FormatUint(seed+run, 10), func(t *testing.T) { runModel(t, seed+run) })
	}
}

// restore makes a folder of a backup.
func restore(t *testing.T, ix *Index) string {
	t.Helper()
	dir := t.TempDir()
	kept, err := ix.Backup(t.Context(), func(name string, content []byte) error {
		return os.WriteFile(filepath.Join(dir, name), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	ordinals, err := ix.Ordinals(t.Context())
	if err != nil || !slices.Equal(kept, ordinals) && len(kept)+len(ordinals) > 0 {
		t.Fatalf("backed up %v of %v, %v", kept, ordinals, err)
	}
	return dir
}

func runModel(t *testing.T, seed uint64) {
	const vocabulary = 400
	rng := rand.New(rand.NewPCG(seed, 0))
	options := Options{MemoryBudget: 1 << (8 + rng.IntN(10))}
	dir := t.TempDir()
	ix, err := Open(dir, storagetest.Params, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { ix.Close() }()
	reference := storagetest.NewMemory(storagetest.Params)
	ctx := t.Context()
	next, dead := storage.Ordinal(1), 0
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 400 {
		switch p := rng.IntN(100); {
		case p < 45:
			var sheets []storage.Sheet
			for range 1 + rng.IntN(4) {
				o := next + storage.Ordinal(rng.IntN(20)) // out of order, at times stored or deleted
				sheets = append(sheets, storagetest.RandomSheet(rng, o, vocabulary, 120))
			}
			next += 5
			want, got := reference.Append(ctx, sheets), ix.Append(ctx, sheets)
			if (want == nil) != (got == nil) {
				t.Fatalf("append: %v, want %v", got, want)
			}
		case p < 55:
			var ordinals []storage.Ordinal
			for range rng.IntN(10) {
				ordinals = append(ordinals, storage.Ordinal(rng.IntN(int(next)+10)))
			}
			stored, err := reference.Stats(ctx)
			must(err, reference.Delete(ctx, ordinals), ix.Delete(ctx, ordinals))
			left, err := reference.Stats(ctx)
			must(err)
			dead += int(stored.Postings - left.Postings)
		case p < 57:
			must(ix.Compact(ctx))
		case p < 59:
			dir = restore(t, ix)
			must(ix.Close())
			ix, err = Open(dir, storagetest.Params, options)
			must(err)
		case p < 62:
			before, err := ix.Stats(ctx)
			must(err, ix.Close())
			ix, err = Open(dir, storagetest.Params, options)
			must(err)
			after, err := ix.Stats(ctx)
			must(err)
			if before.Documents != after.Documents || before.Postings != after.Postings {
				t.Fatalf("reopened: %+v, before %+v", after, before)
			}
		default:
			hashes := make([]fingerprint.Hash, rng.IntN(30))
			for i := range hashes {
				hashes[i] = storagetest.SpreadHash(fingerprint.Hash(rng.IntN(vocabulary + 50)))
			}
			limit := rng.IntN(40)
			want, err := reference.Lookup(ctx, hashes, limit)
			must(err)
			got, err := ix.Lookup(ctx, hashes, limit)
			must(err)
			storagetest.Compare(t, want, got, dead)
		}
	}
	want, err := reference.Stats(ctx)
	must(err)
	must(ix.Compact(ctx))
	got, err := ix.Stats(ctx)
	must(err)
	if got.Documents != want.Documents || got.Postings != want.Postings || got.Segments > 1 {
		t.Fatalf("stats %+v, want %+v in one segment", got, want)
	}
	report, err := Check(ctx, dir)
	must(err)
	if len(report.Damage) > 0 || report.Postings != want.Postings {
		t.Fatalf("check: %+v", report)
	}
}
