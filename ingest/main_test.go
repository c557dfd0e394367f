package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/ingest/extract/pdftest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// victim, when set, makes the test binary a process that a test kills.
const victim = "SEALPRINT_TEST_INGEST_VICTIM"

// TestMain makes the test binary its own reader, as the program is.
func TestMain(m *testing.M) {
	if code, is := extract.Child(os.Args); is {
		os.Exit(code)
	}
	if what := os.Getenv(victim); what != "" {
		err := victims[what](context.Background(), os.Getenv(victimDir))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	pool().Close()
	os.Exit(code)
}

// pool is the readers of all tests. A test may change where the cache is.
var (
	cache = extract.UserCache()
	pool  = sync.OnceValue(func() *extract.Pool { return extract.NewPool(extract.Options{Cache: cache, Workers: 2}) })
)

// aKey is the secret key of all tests.
var aKey = func() *fingerprint.Key {
	key, err := fingerprint.ParseKey([]byte("sealprint-key-1:" + strings.Repeat("5e", 32)))
	if err != nil {
		panic(err)
	}
	return key
}()

// house is all that registers, over real stores in a folder.
type house struct {
	index     *index.Index
	pages     *index.Index
	previous  []*index.Index // of the previous key, texts and pages; none without a rotation
	registry  *registry.Registry
	registrar *ingest.Registrar
	jobs      *ingest.Jobs
	once      sync.Once
}

// plan is what a house is built with, beyond the ordinary.
type plan struct {
	archive  ingest.Archive
	reader   ingest.Extractor // instead of the pool
	places   []ingest.Place
	index    func(storage.Index) storage.Index       // wraps what the registrar sees
	registry func(storage.Registry) storage.Registry // as well
	rotated  *fingerprint.Key                        // what aKey was changed to
}

func build(ctx context.Context, dir string, p plan) (h *house, err error) {
	h = &house{}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	key := aKey
	if p.rotated != nil {
		key = p.rotated
		for i, params := range []fingerprint.Params{aKey.Params(), aKey.PageParams()} {
			ix, err := index.Open(filepath.Join(dir, "previous", []string{"index", "pages"}[i]), params, index.Options{})
			if err != nil {
				return h, err
			}
			h.previous = append(h.previous, ix)
		}
	}
	if h.index, err = index.Open(filepath.Join(dir, "index"), key.Params(), index.Options{}); err != nil {
		return h, err
	}
	if h.pages, err = index.Open(filepath.Join(dir, "pages"), key.PageParams(), index.Options{}); err != nil {
		return h, err
	}
	if h.registry, err = registry.Open(ctx, filepath.Join(dir, "registry.db"), key, aKey); err != nil {
		return h, err
	}
	c := ingest.Config{Index: h.index, Pages: h.pages, Registry: h.registry, Extractor: pool(), Archive: p.archive, Places: p.places, Key: key}
	if p.rotated != nil {
		c.Previous, c.Rotation = aKey, h.registry.Rotation()
		c.Index = &index.Rotated{Previous: h.previous[0], Current: h.index, Last: c.Rotation.Last}
		c.Pages = &index.Rotated{Previous: h.previous[1], Current: h.pages, Last: c.Rotation.Last}
	}
	if p.reader != nil {
		c.Extractor = p.reader
	}
	if p.index != nil {
		c.Index = p.index(c.Index)
	}
	if p.registry != nil {
		c.Registry = p.registry(c.Registry)
	}
	if h.registrar, err = ingest.NewRegistrar(ctx, c); err != nil {
		return h, err
	}
	h.jobs, err = ingest.NewJobs(ctx, h.registrar, c.Registry, p.places, slog.New(slog.DiscardHandler))
	return h, err
}

// close ends everything where it is. It may be called again.
func (h *house) close() {
	h.once.Do(func() {
		if h.jobs != nil {
			h.jobs.Close()
		}
		if h.registrar != nil {
			h.registrar.Close()
		}
		if h.index != nil {
			h.index.Close()
		}
		if h.pages != nil {
			h.pages.Close()
		}
		for _, ix := range h.previous {
			ix.Close()
		}
		if h.registry != nil {
			h.registry.Close()
		}
	})
}

func open(t *testing.T, dir string, p plan) *house {
	t.Helper()
	h, err := build(t.Context(), dir, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// upload is a file of a client.
func upload(source, content string) ingest.File {
	return ingest.File{
		SourceKey:      storage.SourceKey{Department: "finance", Collection: "drafts", Source: source},
		Classification: "secret",
		Size:           int64(len(content)),
		Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		},
	}
}

func (h *house) register(t *testing.T, f ingest.File) ingest.Result {
	t.Helper()
	r, err := h.registrar.Register(t.Context(), f)
	if err != nil {
		t.Fatalf("register %s: %v", f.Source, err)
	}
	return r
}

// expect registers a file and compares what became of it.
func (h *house) expect(t *testing.T, f ingest.File, o ingest.Outcome, s ingest.Status) ingest.Result {
	t.Helper()
	r := h.register(t, f)
	if r.Outcome != o || r.Status != s || r.Source != f.Source {
		t.Errorf("%s is %s, %s (%s); want %s, %s", f.Source, r.Outcome, r.Status, r.Reason, o, s)
	}
	if made := o != ingest.Failed && o != ingest.Skipped; made != (r.Document != "") || made != (r.Version > 0) {
		t.Errorf("%s is %s as document %q version %d", f.Source, r.Outcome, r.Document, r.Version)
	}
	if s != ingest.StatusOK && r.Reason == "" {
		t.Errorf("%s is %s for no reason", f.Source, s)
	}
	return r
}

// documents returns all documents by their ids.
func (h *house) documents(t *testing.T) map[storage.DocumentID]storage.Match {
	t.Helper()
	all := map[storage.DocumentID]storage.Match{}
	for cursor := ""; ; {
		matches, next, err := h.registry.Documents(t.Context(), storage.Everywhere(), storage.DocumentFilter{}, cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matches {
			all[m.Document.ID] = m
		}
		if cursor = next; cursor == "" {
			return all
		}
	}
}

// agree checks that both stores hold the same versions.
func (h *house) agree(t *testing.T) {
	t.Helper()
	indexed, err := h.index.Ordinals(t.Context())
	owned, err2 := h.registry.Ordinals(t.Context())
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(indexed, owned) {
		t.Errorf("the index holds %d sheets, the registry %d versions: %v and %v", len(indexed), len(owned), indexed, owned)
	}
}

// matchable reports whether every fingerprint of a text is found at its place in
// a version of a document.
func (h *house) matchable(t *testing.T, id storage.DocumentID, version int, text string) bool {
	t.Helper()
	_, versions, _, err := h.registry.Document(t.Context(), storage.Everywhere(), id)
	if err != nil {
		t.Fatal(err)
	}
	v := versions[version-1]
	b := fingerprint.NewBuilder(aKey, v.Window)
	b.AddPage(1, text)
	if len(b.Hashes()) == 0 {
		t.Fatal("the text is too short to be found")
	}
	answer, err := h.index.Lookup(t.Context(), b.Hashes(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range answer.Lists {
		if !slices.Contains(list.Postings, storage.Posting{Ordinal: v.Ordinal, Position: uint32(i * int(v.Window)), Window: v.Window}) {
			return false
		}
	}
	return true
}

// words is a text that no other seed makes.
func words(seed string) string {
	sum := fnv.New64a()
	io.WriteString(sum, seed)
	random := rand.New(rand.NewPCG(sum.Sum64(), 1))
	var b strings.Builder
	for b.Len() < 400 {
		for range 2 + random.IntN(3) {
			b.WriteByte('a' + byte(random.IntN(26)))
			b.WriteByte("aeiou"[random.IntN(5)])
		}
		b.WriteByte(" .\n"[random.IntN(3)])
	}
	return b.String()
}

// makePDF makes a PDF with a page for each text, which must not hold parentheses.
func makePDF(trailer string, texts ...string) string {
	contents := make([]string, len(texts))
	for i, t := range texts {
		contents[i] = pdftest.Show(t)
	}
	return pdftest.Pages(trailer, contents...)
}

var (
	encryptedPDF = makePDF("/Encrypt <</Filter /Standard /V 1 /R 2 /O <"+strings.Repeat("ab", 32)+"> /U <"+strings.Repeat("ab", 32)+"> /P -4>> /ID [<00> <00>]", "x")
	truncatedPDF = makePDF("", "Finance Division")[:300]
)

const program = "\x7fELF\x02\x01\x01"

// eventually waits for what goes on beside the test.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > 2*time.Minute { // a race detector on a busy machine takes its time
			t.Fatalf("still waiting: %s", what)
		}
	}
}
