package match

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// benchDocuments is how many documents BenchmarkMatch registers.
var benchDocuments = flag.Int("documents", 5000, "documents of 10 KB that BenchmarkMatch registers")

// benchMatcher is a matcher on a real index and a real registry.
func benchMatcher(b *testing.B, documents int) *Matcher {
	b.Helper()
	key := fingerprint.NewKey()
	ix, err := index.Open(b.TempDir(), key.Params(), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ix.Close() })
	known, err := registry.Open(b.Context(), filepath.Join(b.TempDir(), "registry.db"), key)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { known.Close() })
	const batch = 1000
	now := time.Unix(1_800_000_000, 0).UTC()
	for first := 0; first < documents; first += batch {
		var sheets []storage.Sheet
		var changes storage.Changes
		for i := first; i < min(first+batch, documents); i++ {
			builder := fingerprint.NewBuilder(key, fingerprint.Dense)
			builder.AddPage(1, fingerprinttest.Prose(uint64(i), documentSize))
			o := storage.Ordinal(i + 1)
			// Ids are random, and so is their order in the registry.
			name := storage.DocumentID(fmt.Sprintf("doc_%08x", uint32(o)*2654435761))
			sheets = append(sheets, storage.Sheet{Ordinal: o, Window: fingerprint.Dense, Hashes: builder.Hashes()})
			changes.Documents = append(changes.Documents, storage.Document{ID: name, Title: string(name), Department: "records", Collection: "default", Version: 1, CreatedAt: now, UpdatedAt: now})
			changes.Versions = append(changes.Versions, storage.Version{
				Document: name, Number: 1, Ordinal: o, Content: fmt.Appendf(nil, "%032d", i), Size: documentSize, Window: fingerprint.Dense,
				Status: "readable", TextBytes: documentSize, CreatedAt: now, Places: builder.Places(), Sketch: builder.Sketch().Bytes(),
			})
			changes.Sources = append(changes.Sources, storage.Source{SourceKey: storage.SourceKey{Department: "records", Collection: "default", Source: string(name)}, Document: name, Version: 1, SeenAt: now})
		}
		if err := ix.Append(b.Context(), sheets); err != nil {
			b.Fatal(err)
		}
		if err := known.Commit(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	if err := ix.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	return &Matcher{Key: key, Index: ix, Documents: known}
}

// BenchmarkMatch measures look-ups of 280 characters, spaces counted: excerpts
// with tenth of their characters misread, and texts of no registered document.
func BenchmarkMatch(b *testing.B) {
	m := benchMatcher(b, *benchDocuments)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, kind := range []string{"copies", "strangers"} {
		r := rand.New(rand.NewPCG(1, 1))
		texts := make([]string, 1000)
		for i := range texts {
			seed := r.IntN(*benchDocuments)
			if kind == "strangers" {
				seed += *benchDocuments
			}
			document := fingerprinttest.Prose(uint64(seed), documentSize)
			at := r.IntN(len(document) - 280)
			texts[i] = document[at : at+280]
			if kind == "copies" {
				texts[i] = misread(r, texts[i], .1, true)
			}
		}
		b.Run(fmt.Sprintf("documents=%d/%s", *benchDocuments, kind), func(b *testing.B) {
			began, alerts := cpu(), 0
			for i := 0; b.Loop(); i++ {
				report, err := m.Match(b.Context(), Query{Text: texts[i%len(texts)], SeenAt: time.Now(), Scope: storage.Everywhere()})
				if err != nil {
					b.Fatal(err)
				}
				if report.Verdict == Unauthorized {
					alerts++
				}
			}
			b.ReportMetric(float64((cpu()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(alerts)/float64(b.N), "alerts/op")
		})
	}
}
