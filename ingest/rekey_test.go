package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// rotate changes the key of the stores in a folder, which nobody has open.
func rotate(t *testing.T, dir string) *fingerprint.Key {
	t.Helper()
	to := fingerprint.NewKey()
	r, err := registry.Open(t.Context(), filepath.Join(dir, "registry.db"), aKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Rotate(t.Context(), to), r.Close(), os.Mkdir(filepath.Join(dir, "previous"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index", "pages"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "previous", name)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// holds reports whether an index has a sheet.
func holds(t *testing.T, ix *index.Index, o storage.Ordinal) bool {
	t.Helper()
	ordinals, err := ix.Ordinals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(ordinals, o)
}

// moved checks under which key the text of a version is kept, and nowhere else.
func (h *house) moved(t *testing.T, key storage.SourceKey, want bool) storage.Version {
	t.Helper()
	v := h.version(t, key)
	if before, now := holds(t, h.previous[0], v.Ordinal), holds(t, h.index, v.Ordinal); before == want || now != want {
		t.Errorf("%s: under the previous key: %v, under the current one: %v; want %v", key.Source, before, now, want)
	}
	return v
}

// unreadable gives no text of any file.
type unreadable struct{ ingest.Extractor }

func (unreadable) Extract(context.Context, *os.File, int64) (*ingest.Reading, error) {
	return &ingest.Reading{Status: ingest.StatusDamaged, Reason: "nothing is read today"}, nil
}

// TestMoveByRegistering: whatever is registered again moves to the current key, and stays the
// same version of the same document; what cannot be read now stays where it is.
func TestMoveByRegistering(t *testing.T) {
	t.Parallel()
	dir, archive := t.TempDir(), &memoryArchive{stored: map[string]string{}}
	h := open(t, dir, plan{archive: archive})
	first, twin, other := upload("a.txt", words("a")), upload("twin.txt", words("a")), upload("other.txt", words("other"))
	first.Archive = true
	registered := h.expect(t, first, ingest.Registered, ingest.StatusOK)
	h.expect(t, twin, ingest.Duplicate, ingest.StatusOK)
	h.expect(t, other, ingest.Registered, ingest.StatusOK)
	was := h.version(t, first.SourceKey)
	unused, err := h.registry.ReserveOrdinals(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	h.close()
	p := plan{archive: archive, rotated: rotate(t, dir), reader: unreadable{pool()}}

	h = open(t, dir, p)
	first.Archive = false
	h.expect(t, first, ingest.Unchanged, ingest.StatusOK)
	h.moved(t, first.SourceKey, false)
	h.close()

	p.reader = nil
	h = open(t, dir, p)
	if r := h.expect(t, twin, ingest.Updated, ingest.StatusOK); r.Document != registered.Document || r.Version != 1 {
		t.Errorf("%+v is another document than %+v", r, registered)
	}
	now := h.moved(t, first.SourceKey, true)
	if slices.Equal(now.Content, was.Content) || now.Number != 1 || !now.CreatedAt.Equal(was.CreatedAt) {
		t.Errorf("%+v was %+v", now, was)
	}
	if len(archive.stored) != 2 {
		t.Errorf("the archive holds %d files, and not one under each key", len(archive.stored))
	}
	h.expect(t, first, ingest.Unchanged, ingest.StatusOK)
	h.expect(t, upload("third.txt", words("a")), ingest.Duplicate, ingest.StatusOK)
	h.moved(t, other.SourceKey, false)
	h.expect(t, upload("other.txt", words("changed")), ingest.Updated, ingest.StatusOK) // a new version
	if earlier, err := h.registry.Earlier(t.Context(), 0, 10); err != nil || len(earlier) != 1 || earlier[0].Number != 1 {
		t.Errorf("%+v, %v", earlier, err)
	}
	// What nobody owns goes, under either key.
	lost := storage.Sheet{Ordinal: 1 << 30, Window: fingerprint.Dense, Hashes: []fingerprint.Hash{7}}
	if err := errors.Join(h.index.Append(t.Context(), []storage.Sheet{lost}), h.previous[0].Append(t.Context(), []storage.Sheet{{Ordinal: unused, Window: fingerprint.Dense}})); err != nil {
		t.Fatal(err)
	}
	h.close()
	h = open(t, dir, p)
	if holds(t, h.index, lost.Ordinal) || holds(t, h.previous[0], unused) {
		t.Error("a sheet that nobody owns is left")
	}
	h.moved(t, first.SourceKey, true)
}

// TestMoveLooks: a page is known by what was drawn of it under the previous key until it is
// drawn again; what was never drawn is drawn, wherever its text is kept.
func TestMoveLooks(t *testing.T) {
	t.Parallel()
	dir, archive := t.TempDir(), &memoryArchive{stored: map[string]string{}}
	picture := pagetest.Print(1, 1)
	file := upload("scan.png", scan(t, picture))
	h := open(t, dir, plan{archive: archive})
	h.expect(t, file, ingest.Registered, ingest.StatusOK)
	v := h.drawn(t, file.SourceKey)
	h.close()
	gate := make(chan struct{})
	h = open(t, dir, plan{archive: archive, reader: &holding{pool(), gate}})
	late := upload("late.png", scan(t, pagetest.Print(2, 1)))
	late.Archive = true
	h.expect(t, late, ingest.Registered, ingest.StatusOK)
	h.close()

	h = open(t, dir, plan{archive: archive, rotated: rotate(t, dir), reader: &holding{pool(), gate}})
	looks := func(v storage.Version) []storage.Ordinal {
		t.Helper()
		ordinals, err := h.registry.DrawingsOf(t.Context(), true, v.Ordinal)
		if err != nil || len(ordinals) == 0 {
			t.Fatalf("drawings of %d: %v, %v", v.Ordinal, ordinals, err)
		}
		return ordinals
	}
	before := looks(v)
	h.expect(t, file, ingest.Updated, ingest.StatusOK)
	v = h.moved(t, file.SourceKey, true)
	if now := looks(v); !slices.Equal(now, before) || !holds(t, h.previous[1], now[0]) {
		t.Errorf("drawings %v were %v", now, before)
	}
	if stats, err := h.registry.Stats(t.Context()); err != nil || stats.Earlier != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
	close(gate)
	v = h.drawn(t, file.SourceKey)
	eventually(t, "what was drawn before is gone", func() bool { return !holds(t, h.previous[1], before[0]) })
	if now := looks(v); !holds(t, h.pages, now[0]) {
		t.Errorf("%v were drawn under the previous key", now)
	}
	v = h.drawn(t, late.SourceKey)
	h.moved(t, late.SourceKey, false)
	if now := looks(v); !holds(t, h.pages, now[0]) {
		t.Errorf("%v were drawn under the previous key", now)
	}
	job, _ := h.done(t, h.start(t, ingest.Request{Kind: storage.JobRekey}))
	count(t, job, map[ingest.Outcome]int{ingest.Updated: 1})
	h.moved(t, late.SourceKey, true)
	h.drawn(t, late.SourceKey)
	eventually(t, "nothing is left under the previous key", func() bool {
		stats, err := h.registry.Stats(t.Context())
		return err == nil && stats.Earlier == 0
	})
	if err := h.registry.EndRotation(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRekey: a job moves every version that it can read, tells of those that it cannot, and goes
// on after an interruption.
func TestRekey(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "records")
	const objects = 300
	contents := map[string]string{}
	for i := range objects {
		contents[fmt.Sprintf("%03d.txt", i)] = words(fmt.Sprint(i))
	}
	server.PutAll(t, bucket, contents)
	p := plan{places: []ingest.Place{place(t, server, bucket)}}
	dir := t.TempDir()
	h := open(t, dir, p)
	if _, _, err := h.jobs.Start(t.Context(), ingest.Request{Kind: storage.JobRekey}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("rekeyed without a rotation: %v", err)
	}
	h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	h.close()
	server.Put(t, bucket, "007.txt", words("changed"))
	server.Remove(t, bucket, "008.txt")
	p.rotated = rotate(t, dir)
	h = open(t, dir, p)
	job := h.start(t, ingest.Request{Kind: storage.JobRekey})
	eventually(t, "some are moved", func() bool { return h.job(t, job.ID).Listed > 0 })
	h.close()
	h = open(t, dir, p)
	job, items := h.done(t, job)
	if len(items) != objects || job.Expected < objects {
		t.Errorf("%d items, %d were expected", len(items), job.Expected)
	}
	for source, item := range items {
		skipped := source == p.places[0].Source.URI("007.txt") || source == p.places[0].Source.URI("008.txt")
		if skipped != (item.Outcome == string(ingest.Skipped)) || !skipped && item.Outcome != string(ingest.Updated) {
			t.Errorf("%+v", item)
		}
	}
	if earlier, err := h.registry.Earlier(t.Context(), 0, 10); err != nil || len(earlier) != 2 {
		t.Errorf("%d are left, %v", len(earlier), err)
	}
	gaps, _, err := h.registry.Gaps(t.Context(), storage.Everywhere(), storage.GapFilter{}, "", 10)
	if err != nil || len(gaps) > 0 {
		t.Errorf("what is protected counts as a gap: %+v, %v", gaps, err)
	}
	if all := h.documents(t); len(all) != objects {
		t.Errorf("%d documents", len(all))
	}
}
