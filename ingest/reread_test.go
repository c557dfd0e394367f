package ingest_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
	"github.com/sealprint/sealprint/storage"
)

// readAgain finds what is registered of a source, and reads it again.
func (h *house) readAgain(t *testing.T, key storage.SourceKey) (storage.Version, *ingest.Reading, error) {
	t.Helper()
	_, v, err := h.registry.Source(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	reading, err := h.registrar.ReadAgain(t.Context(), v)
	return v, reading, err
}

// showsItsPlaces checks that the places of a version point at the characters of
// the pages that were read again.
func (h *house) showsItsPlaces(t *testing.T, v storage.Version, reading *ingest.Reading) {
	t.Helper()
	encoded, err := h.registry.Places(t.Context(), v.Ordinal)
	if err != nil {
		t.Fatal(err)
	}
	places, err := fingerprint.ParsePlaces(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if len(reading.Pages) != len(v.Pages) {
		t.Fatalf("%d pages were registered, %d read again", len(v.Pages), len(reading.Pages))
	}
	at := 0
	for i, page := range reading.Pages {
		text, runes := fingerprint.Normalize(page.Text), []rune(page.Text)
		if v.Pages[i].Number != page.Number || v.Pages[i].CodePoints != len(runes) || v.Pages[i].Characters != text.Len() {
			t.Errorf("page %d was registered as %+v and has %d code points, %d characters", page.Number, v.Pages[i], len(runes), text.Len())
		}
		for j := range text.Len() {
			of := places.Of(fingerprint.Span{Start: at + j, End: at + j + 1})
			if len(of) != 1 || of[0].Page != page.Number || of[0].Span != text.Source(fingerprint.Span{Start: j, End: j + 1}) {
				t.Fatalf("character %d of page %d stands at %+v", j, page.Number, of)
			}
			again := fingerprint.Normalize(string(runes[of[0].Start:of[0].End]))
			if again.Len() == 0 || !slices.Contains(again.Chars, text.Chars[j]) {
				t.Fatalf("character %d of page %d is not among %q", j, page.Number, string(runes[of[0].Start:of[0].End]))
			}
		}
		at += text.Len()
	}
	if places.Len() != at {
		t.Errorf("places of %d characters, and %d were read again", places.Len(), at)
	}
}

func TestReadAgain(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "again")
	urdu := "وزارتِ خزانہ کا مراسلہ نمبر ۱۲۳: ﬁnance, Ⅻ and “quotes”\n" + words("urdu")
	server.PutAll(t, bucket, map[string]string{
		"a.txt": words("a"), "b ü/اردو.txt": urdu, "two.pdf": makePDF("", "Finance Division", "Budget Wing"),
		"changed": words("before"), "gone": words("gone"), "moved": words("moved"), "z/moved": words("moved"),
	})
	places := []ingest.Place{place(t, server, bucket)}
	dir := t.TempDir()
	h := open(t, dir, plan{places: places})
	h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	of := func(key string) storage.SourceKey {
		return storage.SourceKey{Department: "finance", Collection: "drafts", Source: places[0].Source.URI(key)}
	}
	for _, key := range []string{"a.txt", "b ü/اردو.txt", "two.pdf"} {
		v, reading, err := h.readAgain(t, of(key))
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if string(reading.Status) != v.Status || reading.MediaType != v.MediaType {
			t.Errorf("%s was registered as %s, %s and is %s, %s", key, v.MediaType, v.Status, reading.MediaType, reading.Status)
		}
		h.showsItsPlaces(t, v, reading)
	}
	_, reading, err := h.readAgain(t, of("b ü/اردو.txt"))
	if err != nil || reading.Pages[0].Text != urdu {
		t.Errorf("the text is %+v, %v", reading, err)
	}

	server.Put(t, bucket, "changed", words("behind"))
	server.Remove(t, bucket, "gone")
	server.Remove(t, bucket, "moved")
	for _, key := range []string{"changed", "gone"} {
		if _, reading, err := h.readAgain(t, of(key)); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%s: %+v, %v", key, reading, err)
		}
	}
	// Any source that still holds the bytes will do.
	if v, reading, err := h.readAgain(t, of("moved")); err != nil {
		t.Errorf("moved: %v", err)
	} else {
		h.showsItsPlaces(t, v, reading)
	}
	server.Stop()
	if _, _, err := h.readAgain(t, of("a.txt")); !errors.Is(err, ingest.ErrUnavailable) {
		t.Errorf("a source that is out of reach: %v", err)
	}
	h.close()
	h = open(t, dir, plan{})
	if _, _, err := h.readAgain(t, of("a.txt")); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a source that is not configured any more: %v", err)
	}
}

// An upload can be read again if its original was archived.
func TestReadUploadAgain(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "originals")
	h := open(t, t.TempDir(), plan{})
	h.expect(t, upload("kept nowhere", words("kept nowhere")), ingest.Registered, ingest.StatusOK)
	if _, _, err := h.readAgain(t, upload("kept nowhere", "").SourceKey); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an upload without an archive: %v", err)
	}
	h.close()
	h = open(t, t.TempDir(), plan{archive: bucketOf(t, server, bucket)})
	kept := upload("kept.pdf", makePDF("", "Finance Division", "Budget Wing"))
	kept.Archive = true
	h.expect(t, kept, ingest.Registered, ingest.StatusOK)
	v, reading, err := h.readAgain(t, kept.SourceKey)
	if err != nil {
		t.Fatal(err)
	}
	h.showsItsPlaces(t, v, reading)
	h.expect(t, upload("not kept", words("not kept")), ingest.Registered, ingest.StatusOK)
	if _, _, err := h.readAgain(t, upload("not kept", "").SourceKey); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an upload that was not to be archived: %v", err)
	}
	server.Stop()
	if _, _, err := h.readAgain(t, kept.SourceKey); !errors.Is(err, ingest.ErrUnavailable) {
		t.Errorf("an archive that is out of reach: %v", err)
	}
}

// A page is drawn again as it was drawn before, whatever kind of file it is of; what has no
// look has a reason, and what is not there any more an error.
func TestDrawPage(t *testing.T) {
	t.Parallel()
	archive := &memoryArchive{stored: map[string]string{}}
	h := open(t, t.TempDir(), plan{archive: archive})
	picture := pagetest.Print(7, 1)
	var papers bytes.Buffer
	z := zip.NewWriter(&papers)
	for _, file := range [][2]string{{"a.txt", words("a")}, {"scan.png", scan(t, picture)}} {
		w, err := z.Create(file[0])
		if err == nil {
			_, err = w.Write([]byte(file[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	register := func(name, content string) storage.Version {
		u := upload(name, content)
		u.Archive = true
		h.expect(t, u, ingest.Registered, ingest.StatusOK)
		return h.version(t, u.SourceKey)
	}
	letter := `{\rtf1\ansi ` + strings.Repeat(words("rtf")+`\par `, 3) + `}`
	two := makePDF("", words("one"), words("two"))
	for _, test := range []struct {
		name, content string
		pages         int
		part          string // of the last
	}{{"two.pdf", two, 2, ""}, {"papers.zip", papers.String(), 2, "file 2"}, {"letter.rtf", letter, 1, ingest.AsPrinted}} {
		v := register(test.name, test.content)
		before := map[int]ingest.Look{}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		undrawn, err := pool().Draw(t.Context(), f, int64(len(test.content)), v.MediaType, func(l ingest.Look) { before[l.Number] = l })
		if err != nil || undrawn != "" || before[test.pages].Part != test.part {
			t.Fatalf("%s: %q, %q, %v", test.name, undrawn, before[test.pages].Part, err)
		}
		for number := range test.pages + 2 {
			look, err := h.registrar.DrawPage(t.Context(), v, number)
			want, known := before[number]
			if err != nil || (look.Reason == "") != known || look.Number != number || known && !reflect.DeepEqual(look, want) {
				t.Errorf("page %d of %s: %d by %d, %q, %v", number, test.name, look.W, look.H, look.Reason, err)
			}
		}
	}
	for name, content := range map[string]string{"a.txt": words("plain"), "a.html": "<p>" + words("html")} {
		if look, err := h.registrar.DrawPage(t.Context(), register(name, content), 1); err != nil || !strings.Contains(look.Reason, "no look") {
			t.Errorf("%s: %q, %v", name, look.Reason, err)
		}
	}
	v := register("last.pdf", makePDF("", words("last")))
	for name := range archive.stored {
		archive.stored[name] = two
	}
	if _, err := h.registrar.DrawPage(t.Context(), v, 1); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("other bytes: %v", err)
	}
	clear(archive.stored)
	if _, err := h.registrar.DrawPage(t.Context(), v, 1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("nothing to draw: %v", err)
	}
}

// An archive whose content was exchanged is not believed.
func TestForgedOriginal(t *testing.T) {
	t.Parallel()
	archive := &memoryArchive{stored: map[string]string{}}
	h := open(t, t.TempDir(), plan{archive: archive})
	f := upload("a", words("a"))
	f.Archive = true
	h.expect(t, f, ingest.Registered, ingest.StatusOK)
	for _, forged := range []string{words("b"), words("a") + "and more", words("a")[:100], ""} {
		for name := range archive.stored {
			archive.stored[name] = forged
		}
		if _, reading, err := h.readAgain(t, f.SourceKey); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%d other bytes are read as %+v, %v", len(forged), reading, err)
		}
	}
}

// Reading without registering keeps to the same limits and leaves nothing.
func TestLook(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	_, reading, err := h.registrar.Look(t.Context(), strings.NewReader(makePDF("", "Finance Division")), -1)
	if err != nil || reading.Status != ingest.StatusOK || len(reading.Pages) != 1 || !strings.Contains(reading.Pages[0].Text, "Finance") {
		t.Errorf("read %+v, %v", reading, err)
	}
	_, reading, err = h.registrar.Look(t.Context(), zeros{}, -1)
	if err != nil || reading.Status != ingest.StatusLimit || reading.Reason == "" {
		t.Errorf("an endless file is %+v, %v", reading, err)
	}
	if _, _, err := h.registrar.Look(t.Context(), failing{context.Canceled}, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that is gone: %v", err)
	}
	if n := len(h.documents(t)); n != 0 {
		t.Errorf("%d documents", n)
	}
}
