package registry

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("versions=%d", n), func(b *testing.B) {
			r := open(b, filepath.Join(b.TempDir(), "registry.db"), fingerprint.NewKey())
			next := storage.Ordinal(1)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				c := changes(next, n)
				next += storage.Ordinal(n)
				b.StartTimer()
				if err := r.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead asks a registry of 100,000 documents of ten pages.
func BenchmarkRead(b *testing.B) {
	const documents, batch = 100_000, 1_000
	r := open(b, filepath.Join(b.TempDir(), "registry.db"), fingerprint.NewKey())
	for first := 1; first <= documents; first += batch {
		if err := r.Commit(b.Context(), changes(storage.Ordinal(first), batch)); err != nil {
			b.Fatal(err)
		}
	}
	stats, err := r.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	any := func() storage.Ordinal { return storage.Ordinal(1 + random.IntN(documents)) }
	some := func(n int) []storage.Ordinal {
		ordinals := make([]storage.Ordinal, n)
		for i := range ordinals {
			ordinals[i] = any()
		}
		return ordinals
	}
	everywhere, branch := storage.Everywhere(), storage.Branches("department-7")
	list := func(scope storage.Scope, filter storage.DocumentFilter) error {
		_, _, err := r.Documents(b.Context(), scope, filter, r.cursor.encode(int64(any())), 50)
		return err
	}
	for _, test := range []struct {
		name string
		call func() error
	}{
		{"Matches/ordinals=10", func() error {
			_, err := r.Matches(b.Context(), everywhere, some(10))
			return err
		}},
		{"Matches/ordinals=200", func() error {
			_, err := r.Matches(b.Context(), everywhere, some(200))
			return err
		}},
		{"Source", func() error {
			_, _, err := r.Source(b.Context(), changes(any(), 1).Sources[0].SourceKey)
			return err
		}},
		{"Places", func() error {
			_, err := r.Places(b.Context(), any())
			return err
		}},
		{"Sketches/ordinals=10", func() error {
			_, err := r.Sketches(b.Context(), some(10))
			return err
		}},
		{"Sketches/ordinals=200", func() error {
			_, err := r.Sketches(b.Context(), some(200))
			return err
		}},
		{"Collection", func() error {
			_, err := r.Collection(b.Context(), "papers")
			return err
		}},
		{"Documents/all", func() error { return list(everywhere, storage.DocumentFilter{}) }},
		{"Documents/branch", func() error { return list(branch, storage.DocumentFilter{}) }},
		{"Documents/absent-status", func() error { return list(everywhere, storage.DocumentFilter{Status: "absent"}) }},
		{"Stats", func() error {
			_, err := r.Stats(b.Context())
			return err
		}},
		{"Ordinals", func() error {
			_, err := r.Ordinals(b.Context())
			return err
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := test.call(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(stats.Bytes)/documents, "file-B/document")
		})
	}
}
