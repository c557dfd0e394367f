package index

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// benchPostings is how large the index of BenchmarkLookup is.
var benchPostings = flag.Int("postings", 2_000_000, "size of the index that BenchmarkLookup looks up in")

// benchHashes is what a document of 10 KB comes to.
const benchHashes = 2000

// benchSheets makes documents like real ones: most fingerprints occur nowhere
// else, some are boilerplate that many documents share.
func benchSheets(rng *rand.Rand, first storage.Ordinal, n int) []storage.Sheet {
	common := rand.NewZipf(rng, 1.05, 50, 5_000_000)
	sheets := make([]storage.Sheet, n)
	for i := range sheets {
		hashes := make([]fingerprint.Hash, benchHashes)
		for j := range hashes {
			if rng.IntN(10) < 3 {
				hashes[j] = storagetest.SpreadHash(fingerprint.Hash(common.Uint64()))
			} else {
				hashes[j] = fingerprint.Hash(rng.Uint64() >> (64 - fingerprint.HashBits))
			}
		}
		sheets[i] = storage.Sheet{Ordinal: first + storage.Ordinal(i), Window: fingerprint.Dense, Hashes: hashes}
	}
	return sheets
}

// BenchmarkAppend appends durably: one document at a time, as events bring
// them, and a thousand, as a bulk registration does.
func BenchmarkAppend(b *testing.B) {
	for _, docs := range []int{1, 1000} {
		b.Run(fmt.Sprintf("docs=%d", docs), func(b *testing.B) {
			ix, err := Open(b.TempDir(), storagetest.Params, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer ix.Close()
			rng := rand.New(rand.NewPCG(1, 1))
			next := storage.Ordinal(1)
			var busy time.Duration
			for b.Loop() {
				b.StopTimer()
				sheets := benchSheets(rng, next, docs)
				next += storage.Ordinal(docs)
				b.StartTimer()
				began := time.Now()
				if err := ix.Append(b.Context(), sheets); err != nil {
					b.Fatal(err)
				}
				busy += time.Since(began)
			}
			b.ReportMetric(float64(b.N*docs*benchHashes)/busy.Seconds(), "postings/s")
			b.StopTimer()
			if err := ix.Compact(b.Context()); err != nil {
				b.Fatal(err)
			}
			stats, err := ix.Stats(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(stats.Bytes)/float64(stats.Postings), "bytes/posting")
		})
	}
}

// BenchmarkLookup looks up what a check of a page asks for: 263 fingerprints.
func BenchmarkLookup(b *testing.B) {
	const asked, limit = 263, 1000
	dir := b.TempDir()
	ix, err := Open(dir, storagetest.Params, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { ix.Close() }()
	rng := rand.New(rand.NewPCG(1, 1))
	var known []fingerprint.Hash // runs of 26 that stand in one document
	docs := *benchPostings / benchHashes
	for first := 0; first < docs; first += docs / 5 {
		for n := docs / 5; n > 0; n -= 500 {
			sheets := benchSheets(rng, storage.Ordinal(first+docs/5-n), min(n, 500))
			if err := ix.Append(b.Context(), sheets); err != nil {
				b.Fatal(err)
			}
			for _, s := range sheets[:min(20, len(sheets))] {
				known = append(known, s.Hashes[:26]...)
			}
		}
		if err := ix.flushNow(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	question := func(hits int) []fingerprint.Hash {
		hashes := make([]fingerprint.Hash, asked)
		for i := range hashes {
			hashes[i] = fingerprint.Hash(rng.Uint64() >> (64 - fingerprint.HashBits))
		}
		at := rng.IntN(len(known)/26) * 26
		copy(hashes, known[at:at+hits])
		return hashes
	}
	run := func(name string, hits int) {
		b.Run(name, func(b *testing.B) {
			questions := make([][]fingerprint.Hash, 512)
			for i := range questions {
				questions[i] = question(hits)
			}
			for _, q := range questions {
				if _, err := ix.Lookup(b.Context(), q, limit); err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for b.Loop() {
				if _, err := ix.Lookup(b.Context(), questions[i%len(questions)], limit); err != nil {
					b.Fatal(err)
				}
				i++
			}
			stats, err := ix.Stats(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(stats.Segments), "segments")
			b.ReportMetric(float64(stats.Bytes)/float64(stats.Postings), "bytes/posting")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*asked), "ns/hash")
		})
	}
	run("segments=5/hits=10%", 26)
	run("segments=5/hits=0", 0)
	if err := ix.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	run("segments=1/hits=10%", 26)
	run("segments=1/hits=0", 0)
}

// TestDensity notices when segments grow.
func TestDensity(t *testing.T) {
	dir := t.TempDir()
	ix := open(t, dir, Options{})
	mustAppend(t, ix, benchSheets(rand.New(rand.NewPCG(1, 1)), 1, 100)...)
	if err := ix.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(files(t, dir, segSuffix)[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := float64(info.Size()) / (100 * benchHashes); got < 6.0 || got > 6.3 {
		t.Errorf("%.3f bytes a posting, of few postings, expected 6.2", got)
	}
}
