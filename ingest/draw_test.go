package ingest_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// scan is a printed page as a file.
func scan(t *testing.T, p page.Picture) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (h *house) version(t *testing.T, key storage.SourceKey) storage.Version {
	t.Helper()
	_, v, err := h.registry.Source(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// drawn waits until a version is drawn.
func (h *house) drawn(t *testing.T, key storage.SourceKey) storage.Version {
	t.Helper()
	eventually(t, "it is drawn", func() bool { return h.version(t, key).Drawn == ingest.Drawing })
	return h.version(t, key)
}

// shows returns the page of a version that a picture shows by its layout, or 0.
func (h *house) shows(t *testing.T, v storage.Version, p page.Picture) int {
	t.Helper()
	q := page.NewQuery(p, 1)
	if q == nil {
		return 0
	}
	answer, err := h.pages.Lookup(t.Context(), aKey.Pages().SealAll(q.Hashes()), 64)
	if err != nil {
		t.Fatal(err)
	}
	candidates := q.Candidates(func(i int) (list []page.Posting, total int) {
		for _, p := range answer.Lists[i].Postings {
			list = append(list, page.Posting{Page: uint32(p.Ordinal), Index: p.Position})
		}
		return list, answer.Lists[i].Total
	})
	for _, c := range candidates {
		known, err := h.registry.Drawings(t.Context(), []storage.Ordinal{storage.Ordinal(c.Page)})
		if err != nil {
			t.Fatal(err)
		}
		d, ok := known[storage.Ordinal(c.Page)]
		if !ok || d.Version != v.Ordinal {
			continue
		}
		sheet, err := page.Decode(d.Layout)
		if err != nil {
			t.Fatal(err)
		}
		if m, found := q.Verify(sheet, c.Hits); found && m.Agreement() > 0.7 {
			return d.Page
		}
	}
	return 0
}

// TestDrawn: what is registered is found by its look, page by page, whatever kind of file
// it is; what has no look is not waited for.
func TestDrawn(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	text := upload("a.txt", words("a"))
	h.expect(t, text, ingest.Registered, ingest.StatusOK)
	if v := h.version(t, text.SourceKey); v.Drawn != ingest.Drawing || v.Undrawn != "" {
		t.Errorf("a text waits to be drawn: %+v", v)
	}

	content, err := os.ReadFile("../testdata/documents/power-circular-debt-minutes.pdf")
	if err != nil {
		t.Fatal(err)
	}
	minutes := upload("minutes.pdf", string(content))
	h.expect(t, minutes, ingest.Registered, ingest.StatusOK)
	v := h.drawn(t, minutes.SourceKey)
	ordinals, err := h.registry.DrawingsOf(t.Context(), true, v.Ordinal)
	if err != nil || len(ordinals) != len(v.Pages) || v.Undrawn != "" {
		t.Errorf("%d of %d pages have a layout: %q, %v", len(ordinals), len(v.Pages), v.Undrawn, err)
	}
	f, err := os.Open("../testdata/documents/power-circular-debt-minutes.pdf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pages := 0
	_, err = pool().Draw(t.Context(), f, int64(len(content)), "application/pdf", func(l ingest.Look) {
		pages++
		shot := pagetest.Degrade(l.Picture, "phone 1200", rand.New(rand.NewPCG(1, 1)))
		if at := h.shows(t, v, shot.Picture); at != l.Number {
			t.Errorf("a photo of page %d shows page %d", l.Number, at)
		}
		hash, _ := pdq.Of(l.Picture.Shrink(l.W/2, l.H/2))
		near, err := h.registry.Near(t.Context(), hash[:], pdq.Same, 10)
		if err != nil || len(near) == 0 || near[0].Ordinal != ordinals[l.Number-1] {
			t.Errorf("page %d is nearest to %v, %v", l.Number, near, err)
		}
	})
	if err != nil || pages != len(v.Pages) {
		t.Errorf("drew %d pages, %v", pages, err)
	}

	// All of it goes with the document.
	gone, err := h.registry.Delete(t.Context(), storage.Everywhere(), v.Document)
	if err != nil || len(gone) != 1+len(ordinals) {
		t.Errorf("%v, %v", gone, err)
	}
}

// holding holds drawing back until it is let go.
type holding struct {
	ingest.Extractor
	gate <-chan struct{}
}

func (b *holding) Draw(ctx context.Context, file *os.File, size int64, mediaType string, show func(ingest.Look)) (string, error) {
	select {
	case <-b.gate:
		return b.Extractor.Draw(ctx, file, size, mediaType, show)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// TestDrawLater: text is found before its pages are drawn, and what an end of the program
// prevented is made up for, if the file can be had.
func TestDrawLater(t *testing.T) {
	t.Parallel()
	picture := pagetest.Print(1, 1)
	file := scan(t, picture)
	for name, archived := range map[string]bool{"archived": true, "kept nowhere": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			gate := make(chan struct{})
			p := plan{reader: &holding{pool(), gate}}
			if archived {
				p.archive = &memoryArchive{stored: map[string]string{}}
			}
			h := open(t, dir, p)
			u := upload("scan.png", file)
			u.Archive = true
			h.expect(t, u, ingest.Registered, ingest.StatusOK)
			v := h.version(t, u.SourceKey)
			if v.Drawn != 0 || v.Characters() == 0 {
				t.Errorf("registered as %+v", v)
			}
			if n, err := h.registry.UndrawnPages(t.Context(), storage.Everywhere(), ingest.Drawing); n != 1 || err != nil {
				t.Errorf("%d pages are pending, %v", n, err)
			}
			h.close()

			close(gate)
			h = open(t, dir, p)
			v = h.drawn(t, u.SourceKey)
			if !archived {
				if !strings.Contains(v.Undrawn, "register it again") {
					t.Errorf("it was drawn from nothing: %q", v.Undrawn)
				}
				h.expect(t, u, ingest.Unchanged, ingest.StatusOK)
				eventually(t, "it is drawn after all", func() bool { v = h.version(t, u.SourceKey); return v.Drawn != 0 && v.Undrawn == "" })
			}
			if at := h.shows(t, v, picture); at != 1 {
				t.Errorf("it is page %d, %+v", at, v)
			}
			if !archived {
				return
			}
			// Without the index of pages all of them are drawn again.
			h.close()
			if err := os.RemoveAll(filepath.Join(dir, "pages")); err != nil {
				t.Fatal(err)
			}
			h = open(t, dir, p)
			eventually(t, "it is found by its look again", func() bool { return h.shows(t, h.version(t, u.SourceKey), picture) == 1 })
		})
	}
}

// TestDrawFails: if a store fails, it is tried again, and nothing stays half done.
func TestDrawFails(t *testing.T) {
	t.Parallel()
	var failed atomic.Bool
	dir := t.TempDir()
	p := plan{archive: &memoryArchive{stored: map[string]string{}}, registry: func(r storage.Registry) storage.Registry {
		return &faultyRegistry{r, func(c storage.Changes) error {
			if len(c.Drawn) > 0 && failed.CompareAndSwap(false, true) {
				return errors.New("the disk is full")
			}
			return nil
		}}
	}}
	h := open(t, dir, p)
	picture := pagetest.Print(2, 1)
	u := upload("scan.png", scan(t, picture))
	u.Archive = true
	h.expect(t, u, ingest.Registered, ingest.StatusOK)
	eventually(t, "it failed", failed.Load)
	h.close()
	h = open(t, dir, p)
	v := h.drawn(t, u.SourceKey)
	if at := h.shows(t, v, picture); at != 1 {
		t.Errorf("it is page %d", at)
	}
	indexed, err := h.pages.Ordinals(t.Context())
	if err != nil || len(indexed) != 1 {
		t.Errorf("%d sheets of one page, %v", len(indexed), err)
	}
}

// TestDrawnKinds: what is not a page by itself is drawn as it is printed, and files inside
// files where they lie.
func TestDrawnKinds(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	picture := pagetest.Print(3, 1)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, content := range map[string]string{"a.txt": words("a"), "scan.png": scan(t, picture)} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"letter.rtf": `{\rtf1\ansi ` + strings.Repeat(words("rtf")+`\par `, 3) + `}`,
		"papers.zip": archive.String(),
	} {
		u := upload(name, content)
		h.expect(t, u, ingest.Registered, ingest.StatusOK)
		v := h.drawn(t, u.SourceKey)
		ordinals, err := h.registry.DrawingsOf(t.Context(), true, v.Ordinal)
		if err != nil || len(ordinals) == 0 || v.Undrawn != "" {
			t.Fatalf("%s: %d layouts, %q, %v", name, len(ordinals), v.Undrawn, err)
		}
		known, err := h.registry.Drawings(t.Context(), ordinals)
		if name == "letter.rtf" {
			if part := known[ordinals[0]].Part; part != ingest.AsPrinted || err != nil {
				t.Errorf("%s: part %q, %v", name, part, err)
			}
			continue
		}
		if err != nil || len(known) != 1 || !strings.HasPrefix(known[ordinals[0]].Part, "file ") {
			t.Errorf("%s: %+v, %v", name, known, err)
		}
		if at := h.shows(t, v, pagetest.Degrade(picture, "phone 900", rand.New(rand.NewPCG(4, 4))).Picture); at != known[ordinals[0]].Page {
			t.Errorf("it is page %d, and found as %d", known[ordinals[0]].Page, at)
		}
	}
}

// TestDrawUploads: no upload is looked for before its file is kept, and none stays.
func TestDrawUploads(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	var uploads []ingest.File
	for i := range 16 {
		u := upload(fmt.Sprintf("%d.pdf", i), makePDF("", words(fmt.Sprint("draw ", i))))
		u.Archive = true
		uploads = append(uploads, u)
	}
	var wait sync.WaitGroup
	for _, u := range uploads {
		wait.Go(func() { h.register(t, u) })
	}
	wait.Wait()
	for _, u := range uploads {
		if v := h.drawn(t, u.SourceKey); v.Undrawn != "" {
			t.Errorf("%s: %s", u.Source, v.Undrawn)
		}
	}
}

// TestDrawnAgain: a page that was drawn again, and whose first drawing still lies in the
// index, is found nevertheless.
func TestDrawnAgain(t *testing.T) {
	t.Parallel()
	p := plan{archive: &memoryArchive{stored: map[string]string{}}}
	h := open(t, t.TempDir(), p)
	picture := pagetest.Print(6, 1)
	u := upload("scan.png", scan(t, picture))
	u.Archive = true
	h.expect(t, u, ingest.Registered, ingest.StatusOK)
	v := h.drawn(t, u.SourceKey)
	first, err := h.registry.DrawingsOf(t.Context(), true, v.Ordinal)
	if err == nil {
		err = h.registry.Commit(t.Context(), storage.Changes{Drawn: []storage.Drawn{{Version: v.Ordinal}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	other := upload("other.pdf", makePDF("", words("other"))) // wakes the drawer
	h.expect(t, other, ingest.Registered, ingest.StatusOK)
	v = h.drawn(t, u.SourceKey)
	again, err := h.registry.DrawingsOf(t.Context(), true, v.Ordinal)
	if err != nil || len(first) != 1 || len(again) != 1 || first[0] == again[0] {
		t.Fatalf("drawn as %v, then as %v, %v", first, again, err)
	}
	if err := h.pages.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	m := &match.Matcher{Key: aKey, Documents: h.registry, Pages: h.pages, Drawings: h.registry}
	r, err := m.MatchPicture(t.Context(), match.PictureQuery{Picture: picture, Scope: storage.Everywhere()})
	if err != nil || r.Verdict != match.Unauthorized {
		t.Errorf("%+v, %v", r, err)
	}
}
