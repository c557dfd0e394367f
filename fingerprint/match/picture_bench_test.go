package match

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// benchPages is how many pages BenchmarkPicture registers.
var benchPages = flag.Int("pages", 20_000, "pages that BenchmarkPicture registers")

// shaken is another page of the same print: every word a little elsewhere on its line, so
// that it has codes of its own, as frequent as those of real pages.
func shaken(sheet []byte, chance *rand.Rand) []byte {
	const head, bytesPerWord, most = 23, 4, 1200 // of 65,535 a page is high: two letters
	out := append([]byte{}, sheet...)
	for at := head; at < len(out); at += bytesPerWord {
		x := int(binary.LittleEndian.Uint16(out[at:])) + chance.IntN(2*most) - most
		binary.LittleEndian.PutUint16(out[at:], uint16(min(max(x, 0), 65_535)))
	}
	return out
}

// pictureMatcher is a matcher of pictures of printed pages, some real and the rest shaken.
func pictureMatcher(b *testing.B, pages int) *Matcher {
	b.Helper()
	const real, batch = 50, 500
	key := fingerprint.NewKey()
	sealing := key.Pages()
	ix, err := index.Open(b.TempDir(), key.PageParams(), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ix.Close() })
	known, err := registry.Open(b.Context(), filepath.Join(b.TempDir(), "registry.db"), key)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { known.Close() })
	var printed [][]byte
	for i := range uint64(real) {
		printed = append(printed, page.Read(pagetest.Print(i, i/10)).Encode())
	}
	chance := rand.New(rand.NewPCG(1, 1))
	now := time.Unix(1_800_000_000, 0).UTC()
	for first := 0; first < pages; first += batch {
		version := storage.Ordinal(first + 1)
		name := storage.DocumentID(fmt.Sprintf("doc_%08d", version))
		drawn := storage.Drawn{Version: version, By: 1}
		var sheets []storage.Sheet
		for i := first; i < min(first+batch, pages); i++ {
			layout := printed[i%real]
			if i >= real {
				layout = shaken(layout, chance)
			}
			sheet, err := page.Decode(layout)
			if err != nil {
				b.Fatal(err)
			}
			s := storage.Sheet{Ordinal: storage.Ordinal(1_000_000 + i), Window: 1, Hashes: sealing.SealAll(sheet.Hashes())}
			sheets = append(sheets, s)
			drawn.Drawings = append(drawn.Drawings, storage.Drawing{Ordinal: s.Ordinal, Page: i - first + 1, Layout: layout})
		}
		if err := ix.Append(b.Context(), sheets); err != nil {
			b.Fatal(err)
		}
		if err := known.Commit(b.Context(), storage.Changes{
			Documents: []storage.Document{{ID: name, Title: string(name), Department: "records", Collection: "default", Version: 1, CreatedAt: now, UpdatedAt: now}},
			Versions:  []storage.Version{{Document: name, Number: 1, Ordinal: version, Content: []byte(name), Window: fingerprint.Dense, Status: "ok", CreatedAt: now}},
			Drawn:     []storage.Drawn{drawn},
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := ix.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	stats, err := ix.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(stats.Bytes)/float64(pages), "B/page")
	return &Matcher{Key: key, Documents: known, Pages: ix, Drawings: known}
}

// BenchmarkPicture measures how long pictures take that layout decides, and of that the
// search for their pages alone.
func BenchmarkPicture(b *testing.B) {
	m := pictureMatcher(b, *benchPages)
	for _, kind := range []string{"clean", "phone 1200", "third", "screen photo"} {
		shot := pagetest.Degrade(pagetest.Print(7, 0), kind, rand.New(rand.NewPCG(1, 1)))
		b.Run(fmt.Sprintf("pages=%d/%s", *benchPages, kind), func(b *testing.B) {
			for b.Loop() {
				r, err := m.MatchPicture(b.Context(), PictureQuery{Picture: shot.Picture, SeenAt: time.Now(), Scope: storage.Everywhere()})
				if err != nil || r.Verdict != Unauthorized || r.Matches[0].Passages[0].Place.Page != 8 {
					b.Fatalf("%+v, %v", r, err)
				}
			}
		})
		b.Run(fmt.Sprintf("pages=%d/%s/search", *benchPages, kind), func(b *testing.B) {
			q := page.NewQuery(shot.Picture, page.Views[0])
			s := pictureSearch{m: m, q: PictureQuery{Picture: shot.Picture}, report: &Report{}}
			for b.Loop() {
				if found, err := s.view(b.Context(), q); err != nil || len(found) == 0 {
					b.Fatalf("%v, %v", found, err)
				}
			}
		})
	}
	noise := page.NewPicture(1200, 900)
	chance := rand.New(rand.NewPCG(2, 2))
	for i := range noise.Pix {
		noise.Pix[i] = byte(100 + 80*(i/1200)/900 + chance.IntN(30))
	}
	b.Run(fmt.Sprintf("pages=%d/no text", *benchPages), func(b *testing.B) {
		for b.Loop() {
			if _, err := m.MatchPicture(b.Context(), PictureQuery{Picture: noise, SeenAt: time.Now(), Scope: storage.Everywhere()}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
