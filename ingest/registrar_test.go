package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// zeros is a file that needs no disk.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Whatever a file is, it ends in an outcome and a status; what became a document
// stands after the stores are opened again, and nothing else does.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := open(t, dir, plan{})
	made := map[string]ingest.Result{}
	unread := func(source string, size int64, read io.Reader, err error) ingest.File {
		f := upload(source, "")
		f.Size = size
		f.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(read), err }
		return f
	}
	never := unread("never opened", ingest.MaxFileBytes+1, nil, nil)
	never.Open = func(context.Context) (io.ReadCloser, error) {
		t.Error("a file that is known to be too large is opened")
		return nil, errors.New("opened")
	}
	for _, test := range []struct {
		file    ingest.File
		outcome ingest.Outcome
		status  ingest.Status
		reason  string
		pages   int
	}{
		{upload("text", words("text")), ingest.Registered, ingest.StatusOK, "", 1},
		{upload("a/b/two.pdf", makePDF("", "Finance", "Division")), ingest.Registered, ingest.StatusOK, "", 2},
		{upload("empty", ""), ingest.Registered, ingest.StatusNoText, "the file is empty", 0},
		{upload("scan.pdf", makePDF("", "", "")), ingest.Registered, ingest.StatusNoText, "no page holds text", 2},
		{upload("encrypted.pdf", encryptedPDF), ingest.Registered, ingest.StatusEncrypted, "needs a password", 0},
		{upload("damaged.pdf", truncatedPDF), ingest.Failed, ingest.StatusDamaged, "no page can be found in the file", 0},
		{upload("program", program), ingest.Skipped, ingest.StatusUnsupported, "no reader for application/x-elf", 0},
		{unread("unknown size", -1, strings.NewReader(words("unknown size")), nil), ingest.Registered, ingest.StatusOK, "", 1},
		{unread("endless", -1, zeros{}, nil), ingest.Failed, ingest.StatusLimit, "file over 200 MB", 0},
		{never, ingest.Failed, ingest.StatusLimit, "file over 200 MB", 0},
		{unread("not given", 3, nil, errors.New("no such luck")), ingest.Failed, ingest.StatusNotFetched, "the source did not give the file: no such luck", 0},
		{unread("gone", 3, nil, fmt.Errorf("open: %w", ingest.ErrChanged)), ingest.Failed, ingest.StatusNotFetched, "the object was changed or removed while it was being read", 0},
		{unread("broken off", 3, io.MultiReader(strings.NewReader("x"), failing{errors.New("connection lost")}), nil),
			ingest.Failed, ingest.StatusNotFetched, "the source did not give the file: connection lost", 0},
	} {
		r := h.expect(t, test.file, test.outcome, test.status)
		if r.Reason != test.reason || r.Pages != test.pages {
			t.Errorf("%s has %d pages and the reason %q, want %d and %q", r.Source, r.Pages, r.Reason, test.pages, test.reason)
		}
		if r.Document != "" {
			made[r.Source] = r
		}
	}
	h.close()

	h = open(t, dir, plan{})
	h.agree(t)
	documents := h.documents(t)
	if len(documents) != len(made) {
		t.Errorf("%d documents were made, %d are there", len(made), len(documents))
	}
	for source, r := range made {
		m := documents[r.Document]
		if m.Source != source || m.Document.Title != filepath.Base(source) || m.Document.Department != "finance" || m.Document.Classification != "secret" ||
			m.Version.Number != 1 || ingest.Status(m.Version.Status) != r.Status || m.Version.Reason != r.Reason || m.Version.Characters() != r.Characters {
			t.Errorf("%s was registered as %+v and is %+v", source, r, m)
		}
	}
	if !h.matchable(t, made["text"].Document, 1, words("text")) || !h.matchable(t, made["unknown size"].Document, 1, words("unknown size")) {
		t.Error("a registered text is not found")
	}
	for source, content := range map[string]string{"text": words("text"), "empty": "", "encrypted.pdf": encryptedPDF} {
		if r := h.expect(t, upload(source, content), ingest.Unchanged, made[source].Status); r.Document != made[source].Document {
			t.Errorf("%s is %s now, and was %s", source, r.Document, made[source].Document)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A source that is out of reach for a moment is waited for, from the beginning of
// the file on.
func TestOutageOfAFile(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	f := upload("a", words("a"))
	attempts := 0
	f.Open = func(context.Context) (io.ReadCloser, error) {
		switch attempts++; attempts {
		case 1:
			return nil, ingest.ErrUnavailable
		case 2:
			return io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{ingest.ErrUnavailable})), nil
		}
		return io.NopCloser(strings.NewReader(words("a"))), nil
	}
	if r := h.expect(t, f, ingest.Registered, ingest.StatusOK); attempts != 3 || !h.matchable(t, r.Document, 1, words("a")) {
		t.Errorf("after %d attempts, something else is registered", attempts)
	}
	h.registrar.SetOutage(300 * time.Millisecond)
	f = upload("b", "")
	f.Open = func(context.Context) (io.ReadCloser, error) { return nil, ingest.ErrUnavailable }
	h.expect(t, f, ingest.Failed, ingest.StatusNotFetched)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := h.registrar.Register(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("who no longer waits gets %v", err)
	}
}

// The same bytes are one document of a department's collection, with as many
// sources as they were found at.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	content := words("one")
	first := h.expect(t, upload("a", content), ingest.Registered, ingest.StatusOK)
	second := h.expect(t, upload("b", content), ingest.Duplicate, ingest.StatusOK)
	if second.Document != first.Document || second.Version != 1 || second.Pages != first.Pages || second.Characters != first.Characters {
		t.Errorf("the duplicate of %+v is %+v", first, second)
	}
	h.expect(t, upload("b", content), ingest.Unchanged, ingest.StatusOK)
	_, _, sources, err := h.registry.Document(t.Context(), storage.Everywhere(), first.Document)
	if err != nil || len(sources) != 2 || sources[0].Source != "a" || sources[1].Source != "b" {
		t.Errorf("its sources are %+v, %v", sources, err)
	}
	for _, key := range []storage.SourceKey{
		{Department: "law", Collection: "drafts", Source: "a"},
		{Department: "finance", Collection: "published", Source: "a"},
		{Department: "finance/budget-wing", Collection: "drafts", Source: "a"},
	} {
		f := upload("a", content)
		f.SourceKey = key
		if r := h.expect(t, f, ingest.Registered, ingest.StatusOK); r.Document == first.Document {
			t.Errorf("%+v shares a document with another department or collection", key)
		}
	}
	h.agree(t)
}

// TestWithdrawn: what lies at the sources of a withdrawn document is not registered again,
// whatever it says now; the same bytes from elsewhere are another document.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	content := words("one")
	first := h.expect(t, upload("a", content), ingest.Registered, ingest.StatusOK)
	ordinals, err := h.registry.Withdraw(t.Context(), storage.Everywhere(), first.Document, storage.Withdrawal{At: time.Now(), By: "key", Reason: "superseded"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.index.Delete(t.Context(), ordinals); err != nil {
		t.Fatal(err)
	}
	for _, now := range []string{content, words("two")} {
		if r := h.expect(t, upload("a", now), ingest.Skipped, ingest.StatusNotFetched); r.Document != "" || !strings.Contains(r.Reason, "withdrawn") {
			t.Errorf("%+v", r)
		}
	}
	if r := h.expect(t, upload("b", content), ingest.Registered, ingest.StatusOK); r.Document == first.Document {
		t.Error("another source revived the withdrawn document")
	}
	h.agree(t)
}

// What the source says is unchanged is not read.
func TestRevision(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	opened := 0
	object := func(tag, content string) ingest.File {
		f := upload("s3://bucket/a", content)
		f.Revision = h.registrar.Revision(ingest.Object{Key: "a", ETag: tag, Size: f.Size})
		read := f.Open
		f.Open = func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			return read(ctx)
		}
		return f
	}
	first := h.expect(t, object("1", words("a")), ingest.Registered, ingest.StatusOK)
	for i, test := range []struct {
		tag, text string
		outcome   ingest.Outcome
		opened    int
		version   int
	}{
		{"1", "a", ingest.Unchanged, 1, 1},
		{"2", "a", ingest.Unchanged, 2, 1}, // written again: by content
		{"2", "a", ingest.Unchanged, 2, 1}, // and then by revision
		{"3", "b", ingest.Updated, 3, 2},
		{"3", "b", ingest.Unchanged, 3, 2},
		{"4", "a", ingest.Unchanged, 4, 1}, // the earlier version is back
		{"4", "a", ingest.Unchanged, 4, 1},
		{"5", "c", ingest.Updated, 5, 3},
	} {
		r := h.expect(t, object(test.tag, words(test.text)), test.outcome, ingest.StatusOK)
		if opened != test.opened || r.Document != first.Document || r.Version != test.version {
			t.Errorf("step %d: opened %d times, want %d; document %s version %d, want %s version %d",
				i, opened, test.opened, r.Document, r.Version, first.Document, test.version)
		}
	}
	for version, text := range []string{"a", "b", "c"} {
		if !h.matchable(t, first.Document, version+1, words(text)) {
			t.Errorf("version %d is not found", version+1)
		}
	}
	if d := h.documents(t); len(d) != 1 || d[first.Document].Document.Version != 3 {
		t.Errorf("the documents are %+v", d)
	}
	h.agree(t)
}

// The revision tells states apart and says nothing about them.
func TestRevisionOf(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	seen := map[string]bool{}
	for _, o := range []ingest.Object{
		{ETag: "1"}, {ETag: "2"}, {VersionID: "1"}, {ETag: "1", VersionID: "1"}, {ETag: "1", Size: 1}, {},
		{Size: 1, Modified: time.Unix(1, 0)}, {Size: 1, Modified: time.Unix(2, 0)}, // a store without entity tags
	} {
		r := string(h.registrar.Revision(o))
		if seen[r] || len(r) != 16 || o.ETag != "" && strings.Contains(r, o.ETag+"\x00") {
			t.Errorf("%+v has the revision %x", o, r)
		}
		seen[r] = true
	}
	// With a tag, when an object was written says nothing about what it holds.
	a, b := ingest.Object{ETag: "1", Modified: time.Unix(1, 0)}, ingest.Object{ETag: "1", Modified: time.Unix(2, 0)}
	if !bytes.Equal(h.registrar.Revision(a), h.registrar.Revision(b)) {
		t.Error("an object that was written again unchanged has another revision")
	}
}

// However many register the same bytes at the same time, one document comes of
// it; and one version, however many register the same source.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	const n = 24
	run := func(file func(i int) ingest.File) (outcomes map[ingest.Outcome]int, documents map[storage.DocumentID]int) {
		outcomes, documents = map[ingest.Outcome]int{}, map[storage.DocumentID]int{}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for i := range n {
			wait.Go(func() {
				r, err := h.registrar.Register(t.Context(), file(i))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				outcomes[r.Outcome]++
				documents[r.Document]++
			})
		}
		wait.Wait()
		return outcomes, documents
	}
	outcomes, documents := run(func(i int) ingest.File { return upload(fmt.Sprint("copy ", i), words("copies")) })
	if len(documents) != 1 || outcomes[ingest.Registered] != 1 || outcomes[ingest.Duplicate] != n-1 {
		t.Errorf("%d copies: %v of %d documents", n, outcomes, len(documents))
	}
	outcomes, documents = run(func(int) ingest.File { return upload("one source", words("one source")) })
	if len(documents) != 1 || outcomes[ingest.Registered] != 1 || outcomes[ingest.Unchanged] != n-1 {
		t.Errorf("%d times one source: %v of %d documents", n, outcomes, len(documents))
	}
	// One source that says something else every time: a version for each.
	outcomes, documents = run(func(i int) ingest.File { return upload("restless", words(fmt.Sprint("restless ", i))) })
	if len(documents) != 1 || outcomes[ingest.Registered] != 1 || outcomes[ingest.Updated] != n-1 {
		t.Errorf("%d changes of one source: %v of %d documents", n, outcomes, len(documents))
	}
	// Copies of one document that go different ways are versions of it.
	outcomes, documents = run(func(i int) ingest.File { return upload(fmt.Sprint("copy ", i), words(fmt.Sprint("copies ", i))) })
	if len(documents) != 1 || outcomes[ingest.Updated] != n {
		t.Errorf("%d changes of copies: %v of %d documents", n, outcomes, len(documents))
	}
	for id := range documents {
		_, versions, _, err := h.registry.Document(t.Context(), storage.Everywhere(), id)
		if err != nil || len(versions) != n+1 || versions[n].Number != n+1 {
			t.Errorf("they are %d versions, %v", len(versions), err)
		}
	}
	h.agree(t)
}

// memoryArchive keeps originals for a test.
type memoryArchive struct {
	mu     sync.Mutex
	stored map[string]string
	fail   error
}

func (a *memoryArchive) Put(_ context.Context, name string, content io.Reader, size int64) error {
	b, err := io.ReadAll(content)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err = errors.Join(err, a.fail); err != nil || int64(len(b)) != size {
		return fmt.Errorf("put %d of %d bytes: %w", len(b), size, err)
	}
	a.stored[name] = string(b)
	return nil
}

func (a *memoryArchive) Get(_ context.Context, name string) (io.ReadCloser, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	content, ok := a.stored[name]
	if !ok {
		return nil, ingest.ErrChanged
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

// What cannot be read again is archived if that was asked for, and before it is
// registered: what is registered without an original would stay so.
func TestArchived(t *testing.T) {
	t.Parallel()
	archive := &memoryArchive{stored: map[string]string{}}
	h := open(t, t.TempDir(), plan{archive: archive})
	h.expect(t, upload("not asked", words("not asked")), ingest.Registered, ingest.StatusOK)
	if len(archive.stored) != 0 {
		t.Error("an original is archived unasked")
	}
	f := upload("asked", words("asked"))
	f.Archive = true
	archive.fail = errors.New("archive full")
	if _, err := h.registrar.Register(t.Context(), f); !errors.Is(err, archive.fail) {
		t.Errorf("without an archive: %v", err)
	}
	if n := len(h.documents(t)); n != 1 {
		t.Errorf("%d documents", n)
	}
	archive.fail = nil
	h.expect(t, f, ingest.Registered, ingest.StatusOK)
	for name, content := range archive.stored {
		if content != words("asked") || !strings.HasPrefix(name, "sealprint/") {
			t.Errorf("%s holds %q", name, content)
		}
	}
	bad := upload("bad", truncatedPDF)
	bad.Archive = true
	h.expect(t, bad, ingest.Failed, ingest.StatusDamaged)
	if len(archive.stored) != 1 {
		t.Errorf("%d originals of one document", len(archive.stored))
	}
}

// faultyIndex fails when it is told to.
type faultyIndex struct {
	storage.Index
	append func([]storage.Sheet) error
}

func (f *faultyIndex) Append(ctx context.Context, sheets []storage.Sheet) error {
	if err := f.append(sheets); err != nil {
		return err
	}
	return f.Index.Append(ctx, sheets)
}

// faultyRegistry fails when it is told to.
type faultyRegistry struct {
	storage.Registry
	commit func(storage.Changes) error
}

func (f *faultyRegistry) Commit(ctx context.Context, changes storage.Changes) error {
	if err := f.commit(changes); err != nil {
		return err
	}
	return f.Registry.Commit(ctx, changes)
}

// A document is in both stores or, after the next start at the latest, in none.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fault := errors.New("disk full")
	var appending, committing error
	p := plan{
		index: func(ix storage.Index) storage.Index {
			return &faultyIndex{ix, func([]storage.Sheet) error { return appending }}
		},
		registry: func(r storage.Registry) storage.Registry {
			return &faultyRegistry{r, func(storage.Changes) error { return committing }}
		},
	}
	h := open(t, dir, p)
	before := h.expect(t, upload("before", words("before")), ingest.Registered, ingest.StatusOK)

	appending = fault
	if r, err := h.registrar.Register(t.Context(), upload("a", words("a"))); !errors.Is(err, fault) || r != (ingest.Result{}) {
		t.Errorf("the index fails, and Register answers %+v, %v", r, err)
	}
	h.agree(t)
	appending, committing = nil, fault
	for _, f := range []ingest.File{upload("a", words("a")), upload("before", words("before, changed")), upload("copy", words("before"))} {
		if r, err := h.registrar.Register(t.Context(), f); !errors.Is(err, fault) || r != (ingest.Result{}) {
			t.Errorf("the registry fails, and Register answers %+v, %v", r, err)
		}
	}
	committing = nil
	// Nothing is half there for those who ask.
	if d := h.documents(t); len(d) != 1 || d[before.Document].Document.Version != 1 {
		t.Errorf("the documents are %+v", d)
	}
	if ordinals, err := h.index.Ordinals(t.Context()); err != nil || len(ordinals) != 3 {
		t.Errorf("the test is about sheets that nobody owns, and there are %v, %v", ordinals, err)
	}
	h.close()

	h = open(t, dir, plan{})
	h.agree(t)
	r := h.expect(t, upload("a", words("a")), ingest.Registered, ingest.StatusOK)
	if !h.matchable(t, r.Document, 1, words("a")) {
		t.Error("what failed before is not found now")
	}
	h.expect(t, upload("before", words("before, changed")), ingest.Updated, ingest.StatusOK)
	h.agree(t)
}

// Who deletes a document while files that refer to it are committed takes none of
// the other files along.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	var h *house
	var doomed storage.DocumentID
	h = open(t, t.TempDir(), plan{registry: func(r storage.Registry) storage.Registry {
		return &faultyRegistry{r, func(c storage.Changes) error {
			if id := doomed; id != "" {
				doomed = ""
				ordinals, err := h.registry.Delete(context.Background(), storage.Everywhere(), id)
				return errors.Join(err, h.index.Delete(context.Background(), ordinals))
			}
			return nil
		}}
	}})
	first := h.expect(t, upload("a", words("a")), ingest.Registered, ingest.StatusOK)
	doomed = first.Document
	second := h.expect(t, upload("a", words("a, changed")), ingest.Registered, ingest.StatusOK)
	if second.Document == first.Document || second.Version != 1 || !h.matchable(t, second.Document, 1, words("a, changed")) {
		t.Errorf("a new version of a deleted document is %+v", second)
	}
	h.agree(t)
	doomed = second.Document
	h.expect(t, upload("b", words("a, changed")), ingest.Failed, ingest.StatusNotFetched)
	h.expect(t, upload("b", words("a, changed")), ingest.Registered, ingest.StatusOK)
	h.agree(t)
}

// A document is sampled as its collection says when it is registered, whichever
// department it is of; what was registered before stays as it is. Both are found.
func TestDensity(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	window := func(r ingest.Result) fingerprint.Window {
		t.Helper()
		_, versions, _, err := h.registry.Document(t.Context(), storage.Everywhere(), r.Document)
		if err != nil {
			t.Fatal(err)
		}
		return versions[r.Version-1].Window
	}
	before := h.expect(t, upload("a", words("a")), ingest.Registered, ingest.StatusOK)
	sparse := storage.Collection{Name: "drafts", Kind: storage.Protected, Department: "works", Window: fingerprint.Sparse}
	if err := h.registry.AddCollection(t.Context(), sparse); err != nil {
		t.Fatal(err)
	}
	after := h.expect(t, upload("a", words("a, changed")), ingest.Updated, ingest.StatusOK)
	other := upload("b", words("b"))
	other.Collection = "minutes"
	elsewhere := h.expect(t, other, ingest.Registered, ingest.StatusOK)
	for _, test := range []struct {
		result ingest.Result
		text   string
		want   fingerprint.Window
	}{
		{before, words("a"), fingerprint.Dense},
		{after, words("a, changed"), fingerprint.Sparse},
		{elsewhere, words("b"), fingerprint.Dense},
	} {
		if got := window(test.result); got != test.want {
			t.Errorf("window %d, want %d", got, test.want)
		}
		if !h.matchable(t, test.result.Document, test.result.Version, test.text) {
			t.Errorf("a document with window %d is not found", test.want)
		}
	}
}

// The sketches of two versions show that they are of one origin, however densely
// each is sampled; those of strangers show nothing, and a file without text has
// none.
func TestSketches(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	text := strings.Join([]string{words("one"), words("two"), words("three"), words("four"), words("five")}, " ")
	first := h.expect(t, upload("a", text), ingest.Registered, ingest.StatusOK)
	sparse := storage.Collection{Name: "drafts", Kind: storage.Protected, Department: "finance", Window: fingerprint.Sparse}
	if err := h.registry.AddCollection(t.Context(), sparse); err != nil {
		t.Fatal(err)
	}
	h.expect(t, upload("a", "x "+text+" and more"), ingest.Updated, ingest.StatusOK)
	h.expect(t, upload("b", words("stranger")), ingest.Registered, ingest.StatusOK)
	h.expect(t, upload("empty", ""), ingest.Registered, ingest.StatusNoText)
	ordinals, err := h.registry.Ordinals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := h.registry.Sketches(t.Context(), ordinals)
	if err != nil || len(ordinals) != 4 || len(stored) != 3 {
		t.Fatalf("%d sketches of %d versions: %v", len(stored), len(ordinals), err)
	}
	var sketches []fingerprint.Sketch
	for _, o := range ordinals[:3] {
		sketch, err := fingerprint.ParseSketch(stored[o])
		if err != nil {
			t.Fatal(err)
		}
		sketches = append(sketches, sketch)
	}
	if same, strange := sketches[0].Resemblance(sketches[1]), sketches[0].Resemblance(sketches[2]); same < 0.9 || strange > 0.05 {
		t.Errorf("versions of document %s resemble each other by %.2f, strangers by %.2f", first.Document, same, strange)
	}
}

// After Close nothing is taken, and nobody waits for ever.
func TestClosed(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{})
	h.registrar.Close()
	if _, err := h.registrar.Register(t.Context(), upload("a", words("a"))); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("a closed registrar answers %v", err)
	}
}

// improving reads better with every version.
type improving struct {
	version atomic.Int64
	fails   atomic.Bool
}

func (i *improving) name() string { return fmt.Sprint("reader ", i.version.Load()) }

func (i *improving) Extract(_ context.Context, file *os.File, size int64) (*ingest.Reading, error) {
	if i.fails.Load() {
		return &ingest.Reading{Status: ingest.StatusDamaged, Reason: "worse than ever", Pages: []ingest.Page{}}, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(file, 0, size))
	return &ingest.Reading{MediaType: "text/plain", Status: ingest.StatusOK, Pages: []ingest.Page{
		{Number: 1, Part: "part", Text: words(i.name() + string(b)), Reader: i.name(), Gate: &ingest.Gate{Characters: int(i.version.Load())}},
	}}, err
}

// It reads nothing that has a look.
func (i *improving) Draws(string) bool   { return false }
func (i *improving) Redraws(string) bool { return false }
func (i *improving) Draw(context.Context, *os.File, int64, string, func(ingest.Look)) (string, error) {
	return "", nil
}
func (i *improving) DrawPage(context.Context, *os.File, int64, string, int) (ingest.Look, error) {
	return ingest.Look{}, nil
}
func (i *improving) Look(ctx context.Context, file *os.File, size int64) ([]ingest.Look, *ingest.Reading, error) {
	reading, err := i.Extract(ctx, file, size)
	return nil, reading, err
}

func (i *improving) Outdated(reader string, _ bool) bool { return reader != i.name() }

// TestAgain: what could be read better is read again when somebody asks for it, in
// the place of what was read before, and only then.
func TestAgain(t *testing.T) {
	t.Parallel()
	reader := &improving{}
	dir := t.TempDir()
	h := open(t, dir, plan{reader: reader})
	again := func(source, content string) ingest.File {
		f := upload(source, content)
		f.Again = true
		return f
	}
	first := h.expect(t, upload("memo", "x"), ingest.Registered, ingest.StatusOK)
	h.expect(t, again("memo", "x"), ingest.Unchanged, ingest.StatusOK)
	reader.version.Store(1)
	h.expect(t, upload("memo", "x"), ingest.Unchanged, ingest.StatusOK)
	if !h.matchable(t, first.Document, 1, words("reader 0x")) {
		t.Error("what was read first is not found")
	}
	r := h.expect(t, again("memo", "x"), ingest.Updated, ingest.StatusOK)
	if r.Document != first.Document || r.Version != 1 || !h.matchable(t, r.Document, 1, words("reader 1x")) {
		t.Errorf("read again as %+v", r)
	}
	h.agree(t)
	_, versions, _, err := h.registry.Document(t.Context(), storage.Everywhere(), r.Document)
	if err != nil || len(versions) != 1 || versions[0].Pages[0].Gate.Characters != 1 || versions[0].Pages[0].Part != "part" {
		t.Errorf("%+v, %v", versions, err)
	}
	h.expect(t, again("memo", "x"), ingest.Unchanged, ingest.StatusOK)
	h.expect(t, again("copy of memo", "x"), ingest.Duplicate, ingest.StatusOK)

	// What cannot be read any more stays as it was read.
	reader.version.Store(2)
	reader.fails.Store(true)
	h.expect(t, again("memo", "x"), ingest.Unchanged, ingest.StatusOK)
	if !h.matchable(t, first.Document, 1, words("reader 1x")) {
		t.Error("what was read before is lost")
	}
	reader.fails.Store(false)
	h.expect(t, again("copy of memo", "x"), ingest.Updated, ingest.StatusOK)
	h.agree(t)
	h.close()
	h = open(t, dir, plan{reader: reader})
	h.agree(t)
	if !h.matchable(t, first.Document, 1, words("reader 2x")) {
		t.Error("what was read again is lost")
	}
}

// Neither a stolen disk nor a look into the folder for temporary files shows what
// was registered. It does not run beside other tests, which put texts there.
func TestNoPlainTextAtRest(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, dir)
	}
	h := open(t, filepath.Join(dir, "data"), plan{})
	const run = 20
	known := map[string]bool{}
	for i := range 5 {
		// One line each, as they come out of a PDF.
		text := strings.ReplaceAll(words(fmt.Sprint("at rest ", i)), "\n", " ")
		for j := range len(text) - run {
			known[text[j:j+run]] = true
		}
		h.expect(t, upload(fmt.Sprint(i, ".txt"), text), ingest.Registered, ingest.StatusOK)
		h.expect(t, upload(fmt.Sprint(i, ".html"), "<!DOCTYPE html><p>"+text), ingest.Registered, ingest.StatusOK)
		h.expect(t, upload(fmt.Sprint(i, ".pdf"), makePDF("", text)), ingest.Registered, ingest.StatusOK)
	}
	files := 0
	look := func() {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			files++
			for i := 0; i+run <= len(b); i++ {
				if known[string(b[i:i+run])] {
					t.Errorf("%s holds %q", path, b[i:i+run])
					break
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	look()
	h.close()
	look()
	if files < 4 {
		t.Errorf("looked into %d files", files)
	}
}
