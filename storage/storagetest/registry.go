package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// RegistryPlace makes a fresh, empty place for a registry and returns the
// function that opens what is there. The suite also opens a place again without
// closing its registry first, as happens after a crash.
type RegistryPlace func(t *testing.T) (open func(key *fingerprint.Key) (storage.Registry, error))

// Registry runs the suite that states the contract of [storage.Registry].
func Registry(t *testing.T, place RegistryPlace) {
	for _, test := range []struct {
		name string
		run  func(*registrySuite)
	}{
		{"Empty", (*registrySuite).empty},
		{"Ordinals", (*registrySuite).ordinals},
		{"Commit", (*registrySuite).commit},
		{"Update", (*registrySuite).update},
		{"Atomic", (*registrySuite).atomic},
		{"Dangling", (*registrySuite).dangling},
		{"Versions", (*registrySuite).versions},
		{"Reread", (*registrySuite).reread},
		{"Content", (*registrySuite).content},
		{"Sources", (*registrySuite).sources},
		{"Matches", (*registrySuite).matches},
		{"Places", (*registrySuite).places},
		{"Sketches", (*registrySuite).sketches},
		{"Drawings", (*registrySuite).drawings},
		{"Scopes", (*registrySuite).scopes},
		{"ScopesAgree", (*registrySuite).scopesAgree},
		{"Pages", (*registrySuite).pages},
		{"Filters", (*registrySuite).filters},
		{"Cursors", (*registrySuite).cursors},
		{"Patch", (*registrySuite).patch},
		{"Delete", (*registrySuite).delete},
		{"Collections", (*registrySuite).collections},
		{"CollectionList", (*registrySuite).collectionList},
		{"Kinds", (*registrySuite).kinds},
		{"Jobs", (*registrySuite).jobs},
		{"Items", (*registrySuite).items},
		{"Scheduled", (*registrySuite).scheduled},
		{"Gaps", (*registrySuite).gaps},
		{"Coverage", (*registrySuite).coverage},
		{"Gone", (*registrySuite).gone},
		{"Notices", (*registrySuite).notices},
		{"Keys", (*registrySuite).keys},
		{"KeyList", (*registrySuite).keyList},
		{"Withdraw", (*registrySuite).withdraw},
		{"Releases", (*registrySuite).releases},
		{"Posts", (*registrySuite).posts},
		{"Alerts", (*registrySuite).alerts},
		{"AlertList", (*registrySuite).alertList},
		{"Decide", (*registrySuite).decide},
		{"Stats", (*registrySuite).stats},
		{"Activity", (*registrySuite).activity},
		{"Reopen", (*registrySuite).reopened},
		{"Concurrent", (*registrySuite).concurrent},
		{"Closed", (*registrySuite).closed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &registrySuite{T: t, place: place, key: fingerprint.NewKey()}
			s.open = place(t)
			s.crash()
			test.run(s)
		})
	}
}

type registrySuite struct {
	*testing.T
	place RegistryPlace
	open  func(*fingerprint.Key) (storage.Registry, error)
	key   *fingerprint.Key
	r     storage.Registry
}

var (
	everywhere = storage.Everywhere()
	aMoment    = time.Date(2026, 3, 4, 5, 6, 7, 891_000, time.UTC)
)

// crash opens the registry anew and leaves the old one as it is.
func (s *registrySuite) crash() {
	s.Helper()
	r, err := s.open(s.key)
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.Cleanup(func() { _ = r.Close() })
	s.r = r
}

func (s *registrySuite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *registrySuite) kind(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("got error %v, want %v", err, want)
	}
}

func (s *registrySuite) equal(got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("got\n%+v, want\n%+v", got, want)
	}
}

func (s *registrySuite) put(c storage.Changes) {
	s.Helper()
	s.ok(s.r.Commit(s.Context(), c))
}

func (s *registrySuite) ordinal() storage.Ordinal {
	s.Helper()
	o, err := s.r.ReserveOrdinals(s.Context(), 1)
	s.ok(err)
	return o
}

// register makes the changes of a document with one version and one source.
func (s *registrySuite) register(id, department string) storage.Changes {
	s.Helper()
	d := storage.Document{
		ID: storage.DocumentID(id), Title: "Title of " + id, Department: department, Classification: "internal",
		Collection: "papers", Version: 1, PublishedAt: aMoment.Add(-time.Hour), CreatedAt: aMoment, UpdatedAt: aMoment,
	}
	v := storage.Version{
		Document: d.ID, Number: 1, Ordinal: s.ordinal(), Content: []byte("hash of " + id), Size: 12345,
		MediaType: "application/pdf", Window: fingerprint.Dense, Status: "partial", Reason: "page without text",
		Pages:     []storage.Page{{Number: 1, Characters: 900, CodePoints: 1000, Reader: "pdf"}, {Number: 2, Reason: "image"}},
		TextBytes: 1100, CreatedAt: aMoment, Places: []byte("places of " + id), Sketch: []byte("sketch of " + id),
	}
	return storage.Changes{
		Documents: []storage.Document{d},
		Versions:  []storage.Version{v},
		Sources:   []storage.Source{source(d, 1, "/share/"+id)},
	}
}

func source(d storage.Document, version int, name string) storage.Source {
	return storage.Source{
		SourceKey: storage.SourceKey{Department: d.Department, Collection: d.Collection, Source: name},
		Document:  d.ID, Version: version, Revision: []byte("revision"), SeenAt: aMoment,
	}
}

// told is a version as all calls but Places and Sketches tell it.
func told(v storage.Version) storage.Version {
	v.Places, v.Sketch = nil, nil
	return v
}

func (s *registrySuite) list(scope storage.Scope, filter storage.DocumentFilter) []storage.DocumentID {
	s.Helper()
	matches, next, err := s.r.Documents(s.Context(), scope, filter, "", 1000)
	s.ok(err)
	s.equal(next, "")
	ids := []storage.DocumentID{}
	for _, m := range matches {
		ids = append(ids, m.Document.ID)
	}
	return ids
}

func (s *registrySuite) empty() {
	ctx := s.Context()
	_, _, err := s.r.Source(ctx, storage.SourceKey{Department: "a", Collection: "b", Source: "c"})
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Content(ctx, "a", "b", []byte("c"))
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Places(ctx, 1)
	s.kind(err, storage.ErrNotFound)
	_, _, _, err = s.r.Document(ctx, everywhere, "doc_a")
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Patch(ctx, everywhere, "doc_a", storage.DocumentPatch{})
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Delete(ctx, everywhere, "doc_a")
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Job(ctx, everywhere, "job_a")
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Key(ctx, "a")
	s.kind(err, storage.ErrNotFound)
	matches, err := s.r.Matches(ctx, everywhere, []storage.Ordinal{1, 2})
	s.ok(err)
	s.equal(len(matches), 0)
	ordinals, err := s.r.Ordinals(ctx)
	s.ok(err)
	s.equal(len(ordinals), 0)
	sketches, err := s.r.Sketches(ctx, []storage.Ordinal{1, 2})
	s.ok(err)
	s.equal(len(sketches), 0)
	collections, next, err := s.r.Collections(ctx, everywhere, "", 10)
	s.ok(err)
	s.equal(len(collections), 0)
	s.equal(next, "")
	jobs, _, err := s.r.Jobs(ctx, everywhere, false, "", 10)
	s.ok(err)
	s.equal(len(jobs), 0)
	items, err := s.r.Items(ctx, "job_a", 0, 10)
	s.ok(err)
	s.equal(len(items), 0)
	s.equal(s.list(everywhere, storage.DocumentFilter{}), []storage.DocumentID{})
	s.put(storage.Changes{})
}

// Ordinals begin at 1, ascend, and are never given out again: not after a crash,
// and not after what they named is deleted.
func (s *registrySuite) ordinals() {
	ctx := s.Context()
	want := storage.Ordinal(1)
	for _, n := range []int{1, 1, 10, 1, 1000, 1} {
		got, err := s.r.ReserveOrdinals(ctx, n)
		s.ok(err)
		s.equal(got, want)
		want += storage.Ordinal(n)
		if n == 10 {
			s.crash()
		}
	}
	c := s.register("doc_a", "finance")
	s.put(c)
	_, err := s.r.Delete(ctx, everywhere, "doc_a")
	s.ok(err)
	s.crash()
	if got := s.ordinal(); got <= c.Versions[0].Ordinal {
		s.Fatalf("ordinal %d after %d", got, c.Versions[0].Ordinal)
	}
	for _, n := range []int{0, -1} {
		if _, err := s.r.ReserveOrdinals(ctx, n); err == nil {
			s.Fatalf("reserved %d ordinals", n)
		}
	}
	// More than there are: refused, and none of them is lost.
	before := s.ordinal()
	if _, err := s.r.ReserveOrdinals(ctx, 1<<32-1); err == nil {
		s.Fatal("reserved more ordinals than there are")
	}
	s.equal(s.ordinal(), before+1)
}

// What is committed is told as it was said.
func (s *registrySuite) commit() {
	ctx := s.Context()
	c := s.register("doc_a", "finance/budget-wing")
	s.put(c)
	d, versions, sources, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(d, c.Documents[0])
	s.equal(versions, []storage.Version{told(c.Versions[0])})
	s.equal(sources, c.Sources)
	source, version, err := s.r.Source(ctx, c.Sources[0].SourceKey)
	s.ok(err)
	s.equal(source, c.Sources[0])
	s.equal(version, told(c.Versions[0]))
	matches, next, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 10)
	s.ok(err)
	s.equal(next, "")
	s.equal(matches, []storage.Match{{Document: d, Version: version, Source: "/share/doc_a", Kind: storage.Protected}})
	ordinals, err := s.r.Ordinals(ctx)
	s.ok(err)
	s.equal(ordinals, []storage.Ordinal{version.Ordinal})

	// Zero values stay zero.
	bare := storage.Changes{
		Documents: []storage.Document{{ID: "doc_bare", Department: "x", Version: 1}},
		Versions:  []storage.Version{{Document: "doc_bare", Number: 1, Ordinal: s.ordinal()}},
		Sources:   []storage.Source{{SourceKey: storage.SourceKey{Department: "x"}, Document: "doc_bare", Version: 1}},
	}
	s.put(bare)
	d, versions, sources, err = s.r.Document(ctx, everywhere, "doc_bare")
	s.ok(err)
	s.equal(d, bare.Documents[0])
	s.equal(versions, bare.Versions)
	s.equal(sources, bare.Sources)
	places, err := s.r.Places(ctx, bare.Versions[0].Ordinal)
	s.ok(err)
	s.equal(len(places), 0)
}

// A new version moves its document's version and time on, and nothing else: who
// commits it read the document before others may have patched it. Sources are
// replaced by what is said later.
func (s *registrySuite) update() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	s.put(c)
	s.put(s.register("doc_b", "finance"))
	d := c.Documents[0]
	d.Title, d.Classification, d.PublishedAt, d.UpdatedAt, d.Version = "Other", "secret", time.Time{}, aMoment.Add(time.Hour), 2
	want := c.Documents[0]
	want.Version, want.UpdatedAt = d.Version, d.UpdatedAt
	v := c.Versions[0]
	v.Number, v.Ordinal, v.Content = 2, s.ordinal(), []byte("other")
	src := c.Sources[0]
	src.Version, src.Revision, src.SeenAt = 2, nil, aMoment.Add(time.Hour)
	s.put(storage.Changes{Documents: []storage.Document{d}, Versions: []storage.Version{v}, Sources: []storage.Source{src}})
	gotDocument, versions, sources, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(gotDocument, want)
	s.equal(versions, []storage.Version{told(c.Versions[0]), told(v)})
	s.equal(sources, []storage.Source{src})
	_, version, err := s.r.Source(ctx, src.SourceKey)
	s.ok(err)
	s.equal(version, told(v))
	// It keeps its place in the order.
	s.equal(s.list(everywhere, storage.DocumentFilter{}), []storage.DocumentID{"doc_a", "doc_b"})
}

// A conflict anywhere leaves nothing of the changes.
func (s *registrySuite) atomic() {
	ctx := s.Context()
	first := s.register("doc_a", "finance")
	s.put(first)
	for _, spoil := range []func(*storage.Changes){
		func(c *storage.Changes) { c.Versions[0].Ordinal = first.Versions[0].Ordinal },
		func(c *storage.Changes) { c.Versions = append(c.Versions, c.Versions[0]) },
		func(c *storage.Changes) { // the second version of a document that was deleted meanwhile
			c.Documents[0].Version, c.Versions[0].Number, c.Sources[0].Version = 2, 2, 2
		},
		func(c *storage.Changes) {
			v := c.Versions[0]
			v.Ordinal = s.ordinal() // the number is taken
			c.Versions = append(c.Versions, v)
		},
		func(c *storage.Changes) { c.Items = append(c.Items, storage.Item{Job: "job_absent"}) },
	} {
		c := s.register("doc_new", "finance")
		ordinal := c.Versions[0].Ordinal
		c.Documents = append(c.Documents, first.Documents[0])
		c.Documents[1].Title = "Changed"
		c.Jobs = []storage.Job{{ID: "job_new", State: storage.JobRunning}}
		c.Items = []storage.Item{{Job: "job_new", Source: "x"}}
		spoil(&c)
		s.kind(s.r.Commit(ctx, c), storage.ErrConflict)

		s.equal(s.list(everywhere, storage.DocumentFilter{}), []storage.DocumentID{"doc_a"})
		d, _, _, err := s.r.Document(ctx, everywhere, "doc_a")
		s.ok(err)
		s.equal(d, first.Documents[0])
		_, _, err = s.r.Source(ctx, c.Sources[0].SourceKey)
		s.kind(err, storage.ErrNotFound)
		_, err = s.r.Places(ctx, ordinal)
		s.kind(err, storage.ErrNotFound)
		s.equal(len(s.sketchesOf(ordinal)), 0)
		_, err = s.r.Job(ctx, everywhere, "job_new")
		s.kind(err, storage.ErrNotFound)
		ordinals, err := s.r.Ordinals(ctx)
		s.ok(err)
		s.equal(ordinals, []storage.Ordinal{first.Versions[0].Ordinal})
	}
}

// What refers to nothing is a conflict.
func (s *registrySuite) dangling() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	s.kind(s.r.Commit(ctx, storage.Changes{Documents: c.Documents}), storage.ErrConflict)
	s.kind(s.r.Commit(ctx, storage.Changes{Versions: c.Versions}), storage.ErrConflict)
	s.kind(s.r.Commit(ctx, storage.Changes{Sources: c.Sources}), storage.ErrConflict)
	s.kind(s.r.Commit(ctx, storage.Changes{Items: []storage.Item{{Job: "job_a"}}}), storage.ErrConflict)
	s.put(c)
}

// All versions stay; lists show the newest.
func (s *registrySuite) versions() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	s.put(c)
	want := []storage.Version{told(c.Versions[0])}
	d := c.Documents[0]
	for n := 2; n <= 5; n++ {
		v := c.Versions[0]
		v.Number, v.Ordinal, v.Content, v.Status = n, s.ordinal(), fmt.Appendf(nil, "content %d", n), fmt.Sprint("status ", n)
		d.Version = n
		s.put(storage.Changes{Documents: []storage.Document{d}, Versions: []storage.Version{v}})
		want = append(want, told(v))
	}
	_, versions, _, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(versions, want)
	matches, _, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 10)
	s.ok(err)
	s.equal(matches, []storage.Match{{Document: d, Version: want[4], Source: "/share/doc_a", Kind: storage.Protected}})
	s.equal(s.list(everywhere, storage.DocumentFilter{Status: "status 5"}), []storage.DocumentID{"doc_a"})
	s.equal(s.list(everywhere, storage.DocumentFilter{Status: "status 4"}), []storage.DocumentID{})
}

// Reread replaces what was read of a version, and nothing else of it.
func (s *registrySuite) reread() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	gate := &storage.Gate{Characters: 7, Unknown: 0.125, Letters: 0.5, Words: 1, Picture: 0.25, Confidence: 81.5, Repaired: "layout"}
	c.Versions[0].Pages = []storage.Page{
		{Number: 1, Part: "sheet 1", Characters: 5, CodePoints: 9, Reader: "a", Gate: gate},
		{Number: 2, Part: "sheet 2", Reader: "b", NeedsOCR: true},
	}
	s.put(c)
	old := c.Versions[0]
	_, versions, _, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(versions, []storage.Version{told(old)})
	// What was measured is told with the document only.
	matches, err := s.r.Matches(ctx, everywhere, []storage.Ordinal{old.Ordinal})
	s.ok(err)
	plain := told(old)
	plain.Pages = slices.Clone(plain.Pages)
	plain.Pages[0].Gate = nil
	s.equal(matches[old.Ordinal].Version, plain)

	now := old
	now.Ordinal, now.Status, now.Reason, now.TextBytes = s.ordinal(), "ok", "", 2200
	now.Pages = []storage.Page{{Number: 1, Characters: 900, CodePoints: 1000, Reader: "c", Gate: &storage.Gate{Characters: 1}}}
	now.Places, now.Sketch, now.Content = []byte("other places"), []byte("other sketch"), []byte("the same, under another key")
	s.put(storage.Changes{Rereads: []storage.Version{now}})
	s.crash()
	d, versions, sources, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(d, c.Documents[0])
	s.equal(versions, []storage.Version{told(now)})
	s.equal(len(sources), 1)
	ordinals, err := s.r.Ordinals(ctx)
	s.ok(err)
	s.equal(ordinals, []storage.Ordinal{now.Ordinal})
	places, err := s.r.Places(ctx, now.Ordinal)
	s.ok(err)
	s.equal(places, now.Places)
	_, err = s.r.Places(ctx, old.Ordinal)
	s.kind(err, storage.ErrNotFound)
	s.equal(s.sketchesOf(old.Ordinal, now.Ordinal), map[storage.Ordinal][]byte{now.Ordinal: now.Sketch})

	gone := now
	gone.Number, gone.Ordinal = 2, s.ordinal()
	s.kind(s.r.Commit(ctx, storage.Changes{Rereads: []storage.Version{gone}}), storage.ErrConflict)
	if _, err := s.r.Delete(ctx, everywhere, "doc_a"); err != nil {
		s.Fatal(err)
	}
	gone.Number = 1
	s.kind(s.r.Commit(ctx, storage.Changes{Rereads: []storage.Version{gone}}), storage.ErrConflict)
}

// Content finds the oldest version with the same bytes, in one collection of one
// department.
func (s *registrySuite) content() {
	ctx := s.Context()
	a, b := s.register("doc_a", "finance"), s.register("doc_b", "finance")
	foreign, elsewhere := s.register("doc_c", "works"), s.register("doc_d", "finance")
	elsewhere.Documents[0].Collection = "drafts"
	for _, c := range []*storage.Changes{&foreign, &elsewhere, &b, &a} {
		c.Versions[0].Content = []byte{0, 255, 7}
		s.put(*c)
	}
	for _, test := range []struct {
		department, collection string
		want                   storage.Version
	}{
		{"finance", "papers", a.Versions[0]},
		{"finance", "drafts", elsewhere.Versions[0]},
		{"works", "papers", foreign.Versions[0]},
	} {
		v, err := s.r.Content(ctx, test.department, test.collection, []byte{0, 255, 7})
		s.ok(err)
		s.equal(v, told(test.want))
	}
	for _, absent := range [][2]string{{"works", "drafts"}, {"finance/sub", "papers"}, {"", ""}} {
		_, err := s.r.Content(ctx, absent[0], absent[1], []byte{0, 255, 7})
		s.kind(err, storage.ErrNotFound)
	}
	_, err := s.r.Content(ctx, "finance", "papers", []byte{0, 255})
	s.kind(err, storage.ErrNotFound)
}

// Sources belong to a department and a collection, and keep the order in which
// they were first seen.
func (s *registrySuite) sources() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	d := c.Documents[0]
	c.Sources = []storage.Source{source(d, 1, "z"), source(d, 1, "a"), source(d, 1, "m")}
	s.put(c)
	s.put(storage.Changes{Sources: []storage.Source{source(d, 1, "b"), source(d, 1, "z")}})
	_, _, sources, err := s.r.Document(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(sources, []storage.Source{source(d, 1, "z"), source(d, 1, "a"), source(d, 1, "m"), source(d, 1, "b")})
	for _, key := range []storage.SourceKey{
		{Department: "finance", Collection: "papers", Source: "Z"},
		{Department: "finance", Collection: "drafts", Source: "z"},
		{Department: "works", Collection: "papers", Source: "z"},
	} {
		_, _, err := s.r.Source(ctx, key)
		s.kind(err, storage.ErrNotFound)
	}
	// A place may come to hold another document.
	other := s.register("doc_b", "finance")
	other.Sources = []storage.Source{source(other.Documents[0], 1, "z")}
	s.put(other)
	_, v, err := s.r.Source(ctx, other.Sources[0].SourceKey)
	s.ok(err)
	s.equal(v, told(other.Versions[0]))
}

// Matches names the first source of the version itself, or else of its document,
// and takes any number of ordinals.
func (s *registrySuite) matches() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	d := c.Documents[0]
	d.Version = 3
	var versions []storage.Version
	for n := 1; n <= 3; n++ {
		v := c.Versions[0]
		v.Number, v.Content = n, fmt.Appendf(nil, "content %d", n)
		if n > 1 {
			v.Ordinal = s.ordinal()
		}
		versions = append(versions, v)
	}
	s.put(storage.Changes{
		Documents: []storage.Document{d}, Versions: versions,
		Sources: []storage.Source{source(d, 3, "third"), source(d, 2, "second"), source(d, 2, "second again")},
	})
	matches, err := s.r.Matches(ctx, everywhere, []storage.Ordinal{
		versions[0].Ordinal, versions[1].Ordinal, versions[1].Ordinal, versions[2].Ordinal, 0, 4_000_000_000,
	})
	s.ok(err)
	s.equal(matches, map[storage.Ordinal]storage.Match{
		versions[0].Ordinal: {Document: d, Version: told(versions[0]), Source: "third", Kind: storage.Protected},
		versions[1].Ordinal: {Document: d, Version: told(versions[1]), Source: "second", Kind: storage.Protected},
		versions[2].Ordinal: {Document: d, Version: told(versions[2]), Source: "third", Kind: storage.Protected},
	})

	const many = 600
	var all storage.Changes
	var ordinals []storage.Ordinal
	for i := range many {
		c := s.register(fmt.Sprint("doc_", i), "works")
		all.Documents, all.Versions = append(all.Documents, c.Documents...), append(all.Versions, c.Versions...)
		ordinals = append(ordinals, c.Versions[0].Ordinal)
	}
	s.put(all)
	for _, n := range []int{0, 1, 15, 16, 17, 256, 257, many} {
		matches, err := s.r.Matches(ctx, everywhere, ordinals[:n])
		s.ok(err)
		s.equal(len(matches), n)
		for i := range n {
			s.equal(matches[ordinals[i]], storage.Match{Document: all.Documents[i], Version: told(all.Versions[i]), Kind: storage.Protected})
		}
	}
}

func (s *registrySuite) places() {
	ctx := s.Context()
	large := make([]byte, 1<<20)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	for i, want := range [][]byte{[]byte("a"), large, make([]byte, 1<<20)} {
		c := s.register(fmt.Sprint("doc_", i), "finance")
		c.Versions[0].Places = want
		s.put(c)
		got, err := s.r.Places(ctx, c.Versions[0].Ordinal)
		s.ok(err)
		if !slices.Equal(got, want) {
			s.Fatalf("places %d: other bytes than were stored", i)
		}
	}
	_, err := s.r.Places(ctx, s.ordinal())
	s.kind(err, storage.ErrNotFound)
}

func (s *registrySuite) sketchesOf(ordinals ...storage.Ordinal) map[storage.Ordinal][]byte {
	s.Helper()
	sketches, err := s.r.Sketches(s.Context(), ordinals)
	s.ok(err)
	return sketches
}

// Sketches come back as they were stored, however many are asked for. A version
// without one is missing, as is what no version has.
func (s *registrySuite) sketches() {
	const many = 600
	var all storage.Changes
	var ordinals []storage.Ordinal
	want := map[storage.Ordinal][]byte{}
	for i := range many {
		c := s.register(fmt.Sprint("doc_", i), "finance")
		v := &c.Versions[0]
		v.Sketch = nil
		for j := range i % 129 {
			v.Sketch = append(v.Sketch, byte(j), byte(i), byte(i*j), byte(i>>8))
		}
		if len(v.Sketch) > 0 {
			want[v.Ordinal] = v.Sketch
		}
		all.Documents, all.Versions = append(all.Documents, c.Documents...), append(all.Versions, c.Versions...)
		ordinals = append(ordinals, v.Ordinal)
	}
	s.put(all)
	s.crash()
	s.equal(s.sketchesOf(append(ordinals, 0, 4_000_000_000, ordinals[7])...), want)
	for _, n := range []int{0, 1, 15, 16, 17, 256, 257} {
		got := s.sketchesOf(ordinals[:n]...)
		for _, o := range ordinals[:n] {
			s.equal(got[o], want[o])
		}
	}
}

// drawingsOf lists what was drawn of versions.
func (s *registrySuite) drawingsOf(laidOut bool, versions ...storage.Ordinal) []storage.Ordinal {
	s.Helper()
	ordinals, err := s.r.DrawingsOf(s.Context(), laidOut, versions...)
	s.ok(err)
	return ordinals
}

func (s *registrySuite) near(hash []byte, distance int) []storage.Near {
	s.Helper()
	near, err := s.r.Near(s.Context(), hash, distance, 10)
	s.ok(err)
	return near
}

func (s *registrySuite) drawings() {
	ctx := s.Context()
	hash := func(bits ...int) []byte {
		h := make([]byte, 32)
		for _, b := range bits {
			h[b/8] |= 1 << (b % 8)
		}
		return h
	}
	a, b := s.register("doc_a", "finance/budget"), s.register("doc_b", "health")
	b.Versions[0].Drawn = 3 // nothing to draw
	s.put(a)
	s.put(b)
	versionA, versionB := a.Versions[0].Ordinal, b.Versions[0].Ordinal
	pending := func(by int, after storage.Ordinal) (ordinals []storage.Ordinal) {
		s.Helper()
		versions, err := s.r.Undrawn(ctx, by, after, 10)
		s.ok(err)
		for _, v := range versions {
			ordinals = append(ordinals, v.Ordinal)
		}
		return ordinals
	}
	pages := func(scope storage.Scope, by int) int64 {
		s.Helper()
		n, err := s.r.UndrawnPages(ctx, scope, by)
		s.ok(err)
		return n
	}
	s.equal(pending(3, 0), []storage.Ordinal{versionA})
	s.equal(pending(4, 0), []storage.Ordinal{versionA, versionB})
	s.equal(pending(4, versionA), []storage.Ordinal{versionB})
	s.equal([]int64{pages(everywhere, 3), pages(everywhere, 4), pages(storage.Branches("finance"), 4), pages(storage.Branches(), 4)}, []int64{2, 4, 2, 0})

	page := storage.Drawing{Ordinal: s.ordinal(), Version: versionA, Page: 1, Layout: []byte("where words are"), Hash: hash(1, 2, 3)}
	map1 := storage.Drawing{Ordinal: s.ordinal(), Version: versionA, Page: 2, Part: "attachment 1", Region: storage.Region{X: .25, Y: .5, Width: .5, Height: .125}, Hash: hash(7)}
	blank := storage.Drawing{Ordinal: s.ordinal(), Version: versionA, Page: 3}
	drawn := storage.Drawn{Version: versionA, By: 3, Undrawn: "page 4: damaged", Drawings: []storage.Drawing{page, map1, blank}}
	s.put(storage.Changes{Drawn: []storage.Drawn{drawn}})
	check := func() {
		s.Helper()
		found, err := s.r.Drawings(ctx, []storage.Ordinal{page.Ordinal, map1.Ordinal, blank.Ordinal, versionB, 4711})
		s.ok(err)
		want := map[storage.Ordinal]storage.Drawing{page.Ordinal: page, map1.Ordinal: map1, blank.Ordinal: blank}
		for o, d := range want {
			d.Hash = nil
			want[o] = d
		}
		s.equal(found, want)
		s.equal(s.drawingsOf(false), []storage.Ordinal{page.Ordinal, map1.Ordinal, blank.Ordinal})
		s.equal(s.drawingsOf(true, versionA, versionB), []storage.Ordinal{page.Ordinal})
		s.equal(s.drawingsOf(true), []storage.Ordinal{page.Ordinal})
		s.equal(len(s.drawingsOf(false, versionB)), 0)
		s.equal(len(pending(3, 0)), 0)
		s.equal(s.near(hash(1, 2, 3), 0), []storage.Near{{Ordinal: page.Ordinal}})
		s.equal(s.near(hash(1, 2), 4), []storage.Near{{Ordinal: page.Ordinal, Distance: 1}, {Ordinal: map1.Ordinal, Distance: 3}})
		s.equal(len(s.near(hash(100, 101), 2)), 0)
		_, versions, _, err := s.r.Document(ctx, everywhere, "doc_a")
		s.ok(err)
		s.equal(versions[0].Drawn, 3)
		s.equal(versions[0].Undrawn, "page 4: damaged")
		stats, err := s.r.Stats(ctx)
		s.ok(err)
		s.equal([]int64{stats.Drawings, stats.Undrawn}, []int64{3, 0})
	}
	check()
	s.crash()
	check()
	if _, err := s.r.Near(ctx, []byte("short"), 3, 1); err == nil {
		s.Error("a hash of another length was compared")
	}

	// Drawn anew, what was drawn before is gone.
	again := storage.Drawing{Ordinal: s.ordinal(), Version: versionA, Page: 1, Layout: []byte("other words"), Hash: hash(50)}
	s.put(storage.Changes{Drawn: []storage.Drawn{{Version: versionA, By: 4, Drawings: []storage.Drawing{again}}}})
	s.equal(s.drawingsOf(false, versionA), []storage.Ordinal{again.Ordinal})
	s.equal(len(s.near(hash(1, 2, 3), 5)), 1) // the new one
	// A version that is gone, or an ordinal that is taken: nothing changes.
	err := s.r.Commit(ctx, storage.Changes{Drawn: []storage.Drawn{{Version: 4711, By: 4}}})
	s.kind(err, storage.ErrConflict)
	twice := storage.Drawn{Version: versionB, By: 4, Drawings: []storage.Drawing{again}}
	if s.r.Commit(ctx, storage.Changes{Drawn: []storage.Drawn{twice}}) == nil {
		s.Error("an ordinal was taken twice")
	}
	s.equal(s.drawingsOf(false), []storage.Ordinal{again.Ordinal})
	s.equal(s.near(hash(50), 0), []storage.Near{{Ordinal: again.Ordinal}})

	// Read again, all of it is to be drawn again, and known by what was drawn until it is.
	reread := a.Versions[0]
	reread.Ordinal = s.ordinal()
	s.put(storage.Changes{Rereads: []storage.Version{reread}})
	s.equal(s.drawingsOf(false, reread.Ordinal), []storage.Ordinal{again.Ordinal})
	s.equal(s.near(hash(50), 0), []storage.Near{{Ordinal: again.Ordinal}})
	drawings, err := s.r.Drawings(ctx, []storage.Ordinal{again.Ordinal})
	s.ok(err)
	s.equal(drawings[again.Ordinal].Version, reread.Ordinal)
	s.equal(pending(1, 0), []storage.Ordinal{reread.Ordinal})
	// Nothing is to be drawn of it: nothing is left.
	reread.Ordinal, reread.Drawn = s.ordinal(), 3
	s.put(storage.Changes{Rereads: []storage.Version{reread}})
	s.equal(len(s.drawingsOf(false)), 0)
	s.equal(len(s.near(hash(50), 0)), 0)
	s.equal(len(pending(1, 0)), 0)

	again.Ordinal = s.ordinal()
	s.put(storage.Changes{Drawn: []storage.Drawn{{Version: reread.Ordinal, By: 3, Drawings: []storage.Drawing{again}}}})
	gone, err := s.r.Delete(ctx, everywhere, "doc_a")
	s.ok(err)
	s.equal(gone, []storage.Ordinal{reread.Ordinal, again.Ordinal})
	s.equal(len(s.near(hash(50), 0)), 0)
	s.equal(len(s.drawingsOf(false)), 0)
}

// No call reveals a document outside the scope, nor that it exists.
func (s *registrySuite) scopes() {
	ctx := s.Context()
	mine, below, foreign := s.register("doc_a", "finance"), s.register("doc_b", "finance/budget-wing"), s.register("doc_c", "works")
	for _, c := range []storage.Changes{foreign, mine, below} {
		s.put(c)
	}
	s.put(storage.Changes{Jobs: []storage.Job{
		{ID: "job_a", Source: "one", Department: "finance", State: storage.JobRunning, Outcomes: map[string]int{}},
		{ID: "job_c", Source: "two", Department: "works", State: storage.JobRunning, Outcomes: map[string]int{}},
	}})
	ordinals, err := s.r.Ordinals(ctx)
	s.ok(err)
	for _, test := range []struct {
		scope storage.Scope
		want  []storage.DocumentID
		jobs  []storage.JobID
	}{
		{everywhere, []storage.DocumentID{"doc_c", "doc_a", "doc_b"}, []storage.JobID{"job_c", "job_a"}},
		{storage.Branches("finance"), []storage.DocumentID{"doc_a", "doc_b"}, []storage.JobID{"job_a"}},
		{storage.Branches("finance/budget-wing", "works"), []storage.DocumentID{"doc_c", "doc_b"}, []storage.JobID{"job_c"}},
		{storage.Branches("fin", "FINANCE", "finance/", "%", "", "financ_"), []storage.DocumentID{}, nil},
		{storage.Scope{}, []storage.DocumentID{}, nil},
	} {
		s.equal(s.list(test.scope, storage.DocumentFilter{}), test.want)
		// The filter narrows the scope and never widens it.
		for _, filter := range []storage.DocumentFilter{
			{Department: "works"}, {Source: "/share/doc_c"}, {Department: "works", Collection: "papers", Status: "partial"},
		} {
			got := s.list(test.scope, filter)
			s.equal(slices.Contains(got, "doc_c"), slices.Contains(test.want, "doc_c"))
		}
		matches, err := s.r.Matches(ctx, test.scope, ordinals)
		s.ok(err)
		s.equal(len(matches), len(test.want))
		for _, c := range []storage.Changes{mine, below, foreign} {
			id := c.Documents[0].ID
			_, _, _, err := s.r.Document(ctx, test.scope, id)
			_, err2 := s.r.Patch(ctx, test.scope, id, storage.DocumentPatch{})
			if slices.Contains(test.want, id) {
				s.ok(err)
				s.ok(err2)
				continue
			}
			if _, seen := matches[c.Versions[0].Ordinal]; seen {
				s.Fatalf("%s matches outside of its scope", id)
			}
			s.kind(err, storage.ErrNotFound)
			s.kind(err2, storage.ErrNotFound)
			_, err = s.r.Delete(ctx, test.scope, id)
			s.kind(err, storage.ErrNotFound)
		}
		jobs, _, err := s.r.Jobs(ctx, test.scope, false, "", 10)
		s.ok(err)
		var ids []storage.JobID
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
		s.equal(ids, test.jobs)
		for _, id := range []storage.JobID{"job_a", "job_c"} {
			_, err := s.r.Job(ctx, test.scope, id)
			if slices.Contains(test.jobs, id) {
				s.ok(err)
			} else {
				s.kind(err, storage.ErrNotFound)
			}
		}
	}
	s.equal(len(s.list(everywhere, storage.DocumentFilter{})), 3)
}

// Lists decide scopes as Scope.Covers does, whatever the names.
func (s *registrySuite) scopesAgree() {
	names := []string{
		"", "a", "A", "a/", "a//", "a/b", "a/B", "a/b/c", "a0", "a.", "ab", "a-b", "a%", "a_", "a%/b", "a_/b", "axx/b", "a\\", "a\\/b",
		"a'", "a' OR '1'='1", "/", "/a", "ä", "ä/b", "a\u0308/b", "a/\U0010FFFF", "a\x00", "a\x00/b", "a/\xff", " a", "a /b",
	}
	departments := make(map[storage.DocumentID]string)
	var order []storage.DocumentID
	for i, name := range names {
		c := s.register(fmt.Sprint("doc_", i), name)
		departments[c.Documents[0].ID] = name
		order = append(order, c.Documents[0].ID)
		s.put(c)
	}
	for i, name := range names {
		for _, scope := range []storage.Scope{storage.Branches(name), storage.Branches(name, names[(i*7+3)%len(names)])} {
			want := []storage.DocumentID{}
			for _, id := range order {
				if scope.Covers(departments[id]) {
					want = append(want, id)
				}
			}
			s.equal(s.list(scope, storage.DocumentFilter{}), want)
		}
	}
}

// A walk over all pages meets every document once, in order of registration,
// while others are added, changed and deleted.
func (s *registrySuite) pages() {
	ctx := s.Context()
	var want, got []storage.DocumentID
	var changes []storage.Changes
	for i := range 25 {
		c := s.register(fmt.Sprintf("doc_%02d", 99-i), []string{"finance", "works"}[i%5/4])
		s.put(c)
		changes = append(changes, c)
		if c.Documents[0].Department == "finance" {
			want = append(want, c.Documents[0].ID)
		}
	}
	late := s.register("doc_late", "finance")
	scope, cursor := storage.Branches("finance"), ""
	for page := 0; ; page++ {
		matches, next, err := s.r.Documents(ctx, scope, storage.DocumentFilter{}, cursor, 3)
		s.ok(err)
		if len(matches) > 3 || next != "" && len(matches) != 3 {
			s.Fatalf("page of %d with more to come: %t", len(matches), next != "")
		}
		for _, m := range matches {
			got = append(got, m.Document.ID)
		}
		switch page {
		case 1: // where the cursor stands, and before
			for _, i := range []int{0, 6} {
				_, err := s.r.Delete(ctx, everywhere, changes[i].Documents[0].ID)
				s.ok(err)
			}
		case 2:
			s.put(storage.Changes{Documents: changes[1].Documents})
			s.put(late)
			want = append(want, "doc_late")
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	s.equal(got, want)
	for _, limit := range []int{0, -1} {
		if _, _, err := s.r.Documents(ctx, scope, storage.DocumentFilter{}, "", limit); err == nil {
			s.Fatalf("listed with limit %d", limit)
		}
	}
	// A page that ends with the last document is the last page.
	matches, next, err := s.r.Documents(ctx, scope, storage.DocumentFilter{}, "", len(want)-2)
	s.ok(err)
	s.equal(len(matches), len(want)-2)
	s.equal(next, "")
}

func (s *registrySuite) filters() {
	a, b, c := s.register("doc_a", "finance"), s.register("doc_b", "finance/sub"), s.register("doc_c", "works")
	a.Documents[0].Collection = "drafts"
	b.Versions[0].Status = "ocr_needed"
	a.Documents[0].Title, b.Documents[0].Title, c.Documents[0].Title = `Budget خزانہ C:\drafts`, "The budget, ÉLAN_100%", "Works"
	c.Sources = append(c.Sources, source(c.Documents[0], 1, "/share/other"))
	for _, changes := range []storage.Changes{a, b, c} {
		s.put(changes)
	}
	for _, test := range []struct {
		filter storage.DocumentFilter
		want   []storage.DocumentID
	}{
		{storage.DocumentFilter{Department: "finance"}, []storage.DocumentID{"doc_a", "doc_b"}},
		{storage.DocumentFilter{Department: "finance/sub"}, []storage.DocumentID{"doc_b"}},
		{storage.DocumentFilter{Collection: "drafts"}, []storage.DocumentID{"doc_a"}},
		{storage.DocumentFilter{Source: "/share/other"}, []storage.DocumentID{"doc_c"}},
		{storage.DocumentFilter{Source: "/share/"}, []storage.DocumentID{}},
		{storage.DocumentFilter{Status: "partial"}, []storage.DocumentID{"doc_a", "doc_c"}},
		{storage.DocumentFilter{Status: "partial", Department: "works", Collection: "papers", Source: "/share/doc_c"}, []storage.DocumentID{"doc_c"}},
		{storage.DocumentFilter{Status: "partial", Department: "works", Collection: "drafts"}, []storage.DocumentID{}},
		{storage.DocumentFilter{Words: []string{"BUDGET"}}, []storage.DocumentID{"doc_a", "doc_b"}},
		{storage.DocumentFilter{Words: []string{"other", "works"}}, []storage.DocumentID{"doc_c"}}, // of the source, and of the title
		{storage.DocumentFilter{Words: []string{"budget", "other"}}, []storage.DocumentID{}},
		{storage.DocumentFilter{Words: []string{"élan_100%"}}, []storage.DocumentID{"doc_b"}},
		{storage.DocumentFilter{Words: []string{"خزانہ"}}, []storage.DocumentID{"doc_a"}},
		{storage.DocumentFilter{Words: []string{`c:\DRAFTS`}}, []storage.DocumentID{"doc_a"}},
		{storage.DocumentFilter{Words: []string{"%"}}, []storage.DocumentID{"doc_b"}},
		{storage.DocumentFilter{Words: []string{"_"}, Department: "works"}, []storage.DocumentID{"doc_c"}}, // of its source
		{storage.DocumentFilter{Words: []string{"___"}}, []storage.DocumentID{}},
		{storage.DocumentFilter{Words: []string{"doc_"}, Status: "partial"}, []storage.DocumentID{"doc_a", "doc_c"}},
	} {
		s.equal(s.list(everywhere, test.filter), test.want)
	}
}

// A cursor is good for the registry that gave it, also later, and for no other.
func (s *registrySuite) cursors() {
	ctx := s.Context()
	for i := range 3 {
		s.put(s.register(fmt.Sprint("doc_", i), "finance"))
	}
	_, cursor, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 1)
	s.ok(err)
	if cursor == "" {
		s.Fatal("no cursor after one of three documents")
	}
	s.crash()
	matches, _, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, cursor, 1)
	s.ok(err)
	s.equal(matches[0].Document.ID, storage.DocumentID("doc_1"))

	mangled := []string{"x", "1", cursor + "A", cursor[1:], cursor + "\n", cursor[:4] + "\n" + cursor[5:], "'; --"}
	for i := range cursor {
		other := byte('A')
		if cursor[i] == other {
			other = 'B'
		}
		mangled = append(mangled, cursor[:i]+string(other)+cursor[i+1:])
	}
	for _, m := range mangled {
		_, _, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, m, 1)
		s.kind(err, storage.ErrNotFound)
	}
	foreign, err := s.place(s.T)(fingerprint.NewKey())
	s.ok(err)
	defer func() { _ = foreign.Close() }()
	_, _, err = foreign.Documents(ctx, everywhere, storage.DocumentFilter{}, cursor, 1)
	s.kind(err, storage.ErrNotFound)
}

func (s *registrySuite) patch() {
	ctx := s.Context()
	c := s.register("doc_a", "finance")
	s.put(c)
	want := c.Documents[0]
	title, classification, never := "New", "secret", time.Time{}
	for _, step := range []struct {
		patch storage.DocumentPatch
		apply func()
	}{
		{storage.DocumentPatch{}, func() {}},
		{storage.DocumentPatch{Title: &title}, func() { want.Title = title }},
		{storage.DocumentPatch{Classification: &classification}, func() { want.Classification = classification }},
		{storage.DocumentPatch{PublishedAt: &never}, func() { want.PublishedAt = never }},
	} {
		before := time.Now().Add(-time.Millisecond)
		got, err := s.r.Patch(ctx, storage.Branches("finance"), "doc_a", step.patch)
		s.ok(err)
		if got.UpdatedAt.Before(before) {
			s.Fatalf("updated at %v, patched after %v", got.UpdatedAt, before)
		}
		step.apply()
		want.UpdatedAt = got.UpdatedAt
		s.equal(got, want)
		d, _, _, err := s.r.Document(ctx, everywhere, "doc_a")
		s.ok(err)
		s.equal(d, want)
	}
}

// A deleted document is gone by every way that led to it; others stay.
func (s *registrySuite) delete() {
	ctx := s.Context()
	c, stays := s.register("doc_a", "finance"), s.register("doc_b", "finance")
	s.put(c)
	s.put(stays)
	v := c.Versions[0]
	v.Number, v.Ordinal = 2, s.ordinal()
	c.Documents[0].Version = 2
	s.put(storage.Changes{Documents: c.Documents, Versions: []storage.Version{v}})
	want := []storage.Ordinal{c.Versions[0].Ordinal, v.Ordinal}
	ordinals, err := s.r.Delete(ctx, storage.Branches("finance"), "doc_a")
	s.ok(err)
	s.equal(ordinals, want)
	_, err = s.r.Delete(ctx, everywhere, "doc_a")
	s.kind(err, storage.ErrNotFound)
	s.crash()
	_, _, _, err = s.r.Document(ctx, everywhere, "doc_a")
	s.kind(err, storage.ErrNotFound)
	_, _, err = s.r.Source(ctx, c.Sources[0].SourceKey)
	s.kind(err, storage.ErrNotFound)
	_, err = s.r.Content(ctx, "finance", "papers", v.Content)
	s.kind(err, storage.ErrNotFound)
	for _, o := range want {
		_, err = s.r.Places(ctx, o)
		s.kind(err, storage.ErrNotFound)
	}
	s.equal(s.sketchesOf(append(want, stays.Versions[0].Ordinal)...), map[storage.Ordinal][]byte{stays.Versions[0].Ordinal: stays.Versions[0].Sketch})
	matches, err := s.r.Matches(ctx, everywhere, append(want, stays.Versions[0].Ordinal))
	s.ok(err)
	s.equal(matches, map[storage.Ordinal]storage.Match{
		stays.Versions[0].Ordinal: {Document: stays.Documents[0], Version: told(stays.Versions[0]), Source: "/share/doc_b", Kind: storage.Protected},
	})
	ordinals, err = s.r.Ordinals(ctx)
	s.ok(err)
	s.equal(ordinals, []storage.Ordinal{stays.Versions[0].Ordinal})
	s.equal(s.list(everywhere, storage.DocumentFilter{}), []storage.DocumentID{"doc_b"})
}

// A collection is what was said when it was added; to say it again changes
// nothing, to say anything else is a conflict. What nobody added is protected and
// dense, and stays unsaid.
func (s *registrySuite) collections() {
	ctx := s.Context()
	said := storage.Collection{Name: "gazette", Kind: storage.Public, Department: "press", Window: fingerprint.Sparse, CreatedAt: aMoment}
	unsaid := storage.Collection{Name: "gazette", Kind: storage.Protected, Window: fingerprint.Dense}
	check := func(want storage.Collection) {
		s.Helper()
		got, err := s.r.Collection(ctx, want.Name)
		s.ok(err)
		s.equal(got, want)
	}
	check(unsaid)
	s.put(s.register("doc_a", "finance"))
	check(storage.Collection{Name: "papers", Kind: storage.Protected, Window: fingerprint.Dense})
	s.ok(s.r.AddCollection(ctx, said))
	s.crash()
	check(said)
	again := said
	again.CreatedAt = aMoment.Add(time.Hour)
	s.ok(s.r.AddCollection(ctx, again))
	for _, change := range []func(*storage.Collection){
		func(c *storage.Collection) { c.Kind = storage.Boilerplate },
		func(c *storage.Collection) { c.Department = "press/office" },
		func(c *storage.Collection) { c.Window = fingerprint.Dense },
		func(c *storage.Collection) { *c = unsaid; c.Department = "works" },
	} {
		other := said
		change(&other)
		s.kind(s.r.AddCollection(ctx, other), storage.ErrConflict)
	}
	check(said)
	// Names are compared by their bytes.
	other := storage.Collection{Name: "Gazette", Kind: storage.Protected, Department: "works", Window: fingerprint.Dense, CreatedAt: aMoment}
	s.ok(s.r.AddCollection(ctx, other))
	check(other)
	check(said)
	for _, change := range []func(*storage.Collection){
		func(c *storage.Collection) { c.Name = "" },
		func(c *storage.Collection) { c.Department = "" },
		func(c *storage.Collection) { c.Kind = "" },
		func(c *storage.Collection) { c.Kind = "secret" },
		func(c *storage.Collection) { c.Window = 0 },
		func(c *storage.Collection) { c.Window = 7 },
	} {
		bad := storage.Collection{Name: "bad", Kind: storage.Public, Department: "press", Window: fingerprint.Dense}
		change(&bad)
		if err := s.r.AddCollection(ctx, bad); err == nil {
			s.Fatalf("added %+v", bad)
		}
	}
	got, _, err := s.r.Collections(ctx, everywhere, "", 10)
	s.ok(err)
	s.equal(got, []storage.Collection{other, said})
}

// A list is in order of name, and shows a scope its own collections, everybody's,
// and those that never alarm. Pages put together are the list, while others are
// added.
func (s *registrySuite) collectionList() {
	ctx := s.Context()
	add := func(name string, kind storage.CollectionKind, department string) {
		s.Helper()
		s.ok(s.r.AddCollection(ctx, storage.Collection{Name: name, Kind: kind, Department: department, Window: fingerprint.Dense, CreatedAt: aMoment}))
	}
	add("zebra", storage.Protected, "finance")
	add("éclair", storage.Protected, "finance/budget-wing")
	add("b", storage.Protected, "works")
	add("Z", storage.Public, "works")
	add("letterheads", storage.Boilerplate, "works/roads")
	add("a", storage.Protected, storage.DefaultDepartment)
	add("a.b", storage.Protected, "default/annex")
	all := []string{"Z", "a", "a.b", "b", "letterheads", "zebra", "éclair"}
	walk := func(scope storage.Scope, limit int) (names []string) {
		s.Helper()
		for cursor := ""; ; {
			page, next, err := s.r.Collections(ctx, scope, cursor, limit)
			s.ok(err)
			if len(page) > limit || next != "" && len(page) != limit {
				s.Fatalf("page of %d with more to come: %t", len(page), next != "")
			}
			for _, c := range page {
				names = append(names, c.Name)
			}
			if cursor = next; cursor == "" {
				return names
			}
		}
	}
	for _, test := range []struct {
		scope storage.Scope
		want  []string
	}{
		{everywhere, all},
		{storage.Branches("finance"), []string{"Z", "a", "letterheads", "zebra", "éclair"}},
		{storage.Branches("finance/budget-wing", "works"), []string{"Z", "a", "b", "letterheads", "éclair"}},
		{storage.Branches("default"), []string{"Z", "a", "a.b", "letterheads"}},
		{storage.Branches("fin", "FINANCE", "%", ""), []string{"Z", "a", "letterheads"}},
		{storage.Scope{}, nil},
	} {
		for _, limit := range []int{1, 2, 3, len(all), 100} {
			s.equal(walk(test.scope, limit), test.want)
		}
	}
	page, cursor, err := s.r.Collections(ctx, everywhere, "", 2)
	s.ok(err)
	s.equal(page[1].Name, "a")
	add("A", storage.Public, "works") // before the cursor
	add("aa", storage.Public, "works")
	s.crash()
	page, _, err = s.r.Collections(ctx, everywhere, cursor, 2)
	s.ok(err)
	s.equal([]string{page[0].Name, page[1].Name}, []string{"a.b", "aa"})
	// Neither a cursor that nobody gave nor one of another list is good for this.
	s.put(s.register("doc_a", "finance"))
	s.put(s.register("doc_b", "finance"))
	_, foreign, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 1)
	s.ok(err)
	for _, bad := range []string{"x", cursor[1:], cursor + "A", foreign} {
		_, _, err := s.r.Collections(ctx, everywhere, bad, 2)
		s.kind(err, storage.ErrNotFound)
	}
	if _, _, err := s.r.Collections(ctx, everywhere, "", 0); err == nil {
		s.Fatal("listed with limit 0")
	}
}

// A match tells the kind of its document's collection, whoever owns that and
// whenever it was added.
func (s *registrySuite) kinds() {
	ctx := s.Context()
	want := map[storage.Ordinal]storage.CollectionKind{}
	for collection, kind := range map[string]storage.CollectionKind{
		"gazette": storage.Public, "letterheads": storage.Boilerplate, "memos": storage.Protected, "unsaid": storage.Protected, "Gazette": storage.Protected,
	} {
		c := s.register("doc_"+collection, "finance")
		c.Documents[0].Collection = collection
		s.put(c)
		want[c.Versions[0].Ordinal] = kind
		if collection != "unsaid" && collection != "Gazette" {
			s.ok(s.r.AddCollection(ctx, storage.Collection{Name: collection, Kind: kind, Department: "press", Window: fingerprint.Dense}))
		}
	}
	ordinals, err := s.r.Ordinals(ctx)
	s.ok(err)
	matches, err := s.r.Matches(ctx, storage.Branches("finance"), ordinals)
	s.ok(err)
	listed, _, err := s.r.Documents(ctx, storage.Branches("finance"), storage.DocumentFilter{}, "", 10)
	s.ok(err)
	s.equal(len(listed), len(want))
	for _, m := range listed {
		s.equal(m.Kind, want[m.Version.Ordinal])
		s.equal(matches[m.Version.Ordinal], m)
	}
}

func (s *registrySuite) jobs() {
	ctx := s.Context()
	job := func(id storage.JobID) storage.Job {
		return storage.Job{
			ID: id, Kind: storage.JobGaps, Source: "archive", Prefix: string(id), Department: "finance", Classification: "internal", Collection: "papers", State: storage.JobRunning,
			Outcomes: map[string]int{}, CreatedAt: aMoment, UpdatedAt: aMoment, Again: id == "job_a",
		}
	}
	z, a := job("job_z"), job("job_a")
	s.put(storage.Changes{Jobs: []storage.Job{z}})
	s.put(storage.Changes{Jobs: []storage.Job{a}})
	z.State, z.Error, z.Checkpoint, z.Listed, z.Bytes = storage.JobFailed, "no route", "b/c", 7, 1<<40
	z.Expected, z.ExpectedBytes, z.Rate, z.Estimate = 12, 1<<41, 2.5, storage.Estimate{Objects: 3, Bytes: 1 << 33, IndexBytes: 1 << 20, Seconds: 1.5}
	z.Outcomes, z.UpdatedAt, z.EndedAt = map[string]int{"registered": 5, "failed": 2}, aMoment.Add(time.Hour), aMoment.Add(time.Hour)
	s.put(storage.Changes{Jobs: []storage.Job{z}})
	got, err := s.r.Job(ctx, everywhere, "job_z")
	s.ok(err)
	s.equal(got, z)
	for _, test := range []struct {
		running bool
		limit   int
		want    []storage.Job
	}{
		{false, 10, []storage.Job{a, z}},
		{false, 1, []storage.Job{a}},
		{true, 10, []storage.Job{a}},
	} {
		got, next, err := s.r.Jobs(ctx, everywhere, test.running, "", test.limit)
		s.ok(err)
		s.equal(got, test.want)
		s.equal(next != "", test.limit == 1)
	}
	_, next, err := s.r.Jobs(ctx, everywhere, false, "", 1)
	s.ok(err)
	s.put(storage.Changes{Jobs: []storage.Job{job("job_newer")}}) // moves nothing behind the cursor
	rest, next, err := s.r.Jobs(ctx, everywhere, false, next, 5)
	s.ok(err)
	s.equal(rest, []storage.Job{z})
	s.equal(next, "")
	_, _, err = s.r.Jobs(ctx, everywhere, false, "foreign", 5)
	s.kind(err, storage.ErrNotFound)
	// What was never said can be counted on.
	s.put(storage.Changes{Jobs: []storage.Job{{ID: "job_bare", State: storage.JobRunning}}})
	bare, err := s.r.Job(ctx, everywhere, "job_bare")
	s.ok(err)
	bare.Outcomes["registered"]++
}

// Items are numbered within their job, and stay until the next job of the same
// source and prefix begins.
func (s *registrySuite) items() {
	ctx := s.Context()
	begin := func(id storage.JobID, prefix string) {
		s.Helper()
		s.put(storage.Changes{Jobs: []storage.Job{{ID: id, Source: "archive", Prefix: prefix, State: storage.JobRunning}}})
	}
	add := func(n int, jobs ...storage.JobID) {
		s.Helper()
		var c storage.Changes
		for i := range n {
			c.Items = append(c.Items, storage.Item{
				Job: jobs[i%len(jobs)], Sequence: 99, Source: fmt.Sprint("object ", i), Document: "doc_a",
				Outcome: "registered", Status: "readable", Reason: "none", Pages: 3, Characters: 4000,
			})
		}
		s.put(c)
	}
	sequences := func(id storage.JobID, after int64, limit int) (all []int64) {
		s.Helper()
		items, err := s.r.Items(ctx, id, after, limit)
		s.ok(err)
		for _, i := range items {
			all = append(all, i.Sequence)
		}
		return all
	}
	begin("job_a", "x/")
	begin("job_b", "y/")
	add(4, "job_a")
	add(4, "job_b", "job_a")
	items, err := s.r.Items(ctx, "job_a", 5, 1)
	s.ok(err)
	s.equal(items, []storage.Item{{
		Job: "job_a", Sequence: 6, Source: "object 3", Document: "doc_a",
		Outcome: "registered", Status: "readable", Reason: "none", Pages: 3, Characters: 4000,
	}})
	s.equal(sequences("job_a", 0, 10), []int64{1, 2, 3, 4, 5, 6})
	s.equal(sequences("job_a", 2, 3), []int64{3, 4, 5})
	s.equal(sequences("job_b", 0, 10), []int64{1, 2})

	// An update is not a beginning.
	begin("job_a", "x/")
	s.crash()
	s.equal(len(sequences("job_a", 0, 10)), 6)
	begin("job_c", "x/")
	s.equal(len(sequences("job_a", 0, 10)), 0)
	s.equal(len(sequences("job_b", 0, 10)), 2)
	add(1, "job_c")
	s.equal(sequences("job_c", 0, 10), []int64{1})
	_, err = s.r.Job(ctx, everywhere, "job_a")
	s.ok(err)
}

func (s *registrySuite) keys() {
	ctx := s.Context()
	key := storage.APIKey{ID: "k1", SecretHash: []byte{1, 2, 3}, Role: "checker", Department: "finance", CreatedAt: aMoment}
	s.ok(s.r.AddKey(ctx, key))
	s.ok(s.r.AddKey(ctx, storage.APIKey{ID: "k2", SecretHash: []byte{4}, Role: "admin"}))
	got, err := s.r.Key(ctx, "k1")
	s.ok(err)
	s.equal(got, key)
	// Revoked is said by storing it again; another secret cannot take its name.
	key.RevokedAt = aMoment.Add(time.Hour)
	s.ok(s.r.AddKey(ctx, key))
	s.crash()
	got, err = s.r.Key(ctx, "k1")
	s.ok(err)
	s.equal(got, key)
	thief := key
	thief.SecretHash, thief.RevokedAt = []byte{9}, time.Time{}
	s.kind(s.r.AddKey(ctx, thief), storage.ErrConflict)
	got, err = s.r.Key(ctx, "k1")
	s.ok(err)
	s.equal(got, key)
	_, err = s.r.Key(ctx, "K1")
	s.kind(err, storage.ErrNotFound)
}

func (s *registrySuite) stats() {
	ctx := s.Context()
	check := func(documents int, pages, text, undrawn int64) {
		s.Helper()
		got, err := s.r.Stats(ctx)
		s.ok(err)
		if got.Bytes <= 0 {
			s.Fatalf("%d bytes", got.Bytes)
		}
		got.Bytes = 0
		s.equal(got, storage.RegistryStats{Documents: documents, Pages: pages, TextBytes: text, Undrawn: undrawn})
	}
	check(0, 0, 0, 0)
	c := s.register("doc_a", "finance")
	s.put(c)
	s.put(s.register("doc_b", "works"))
	check(2, 4, 2200, 2)
	v := c.Versions[0]
	v.Number, v.Ordinal, v.TextBytes = 2, s.ordinal(), 5
	s.put(storage.Changes{Versions: []storage.Version{v}})
	check(2, 6, 2205, 3)
	_, err := s.r.Delete(ctx, everywhere, "doc_a")
	s.ok(err)
	check(1, 2, 1100, 1)
}

// What was acknowledged is there after a crash, and after an orderly end.
func (s *registrySuite) reopened() {
	ctx := s.Context()
	var all []storage.DocumentID
	for i := range 20 {
		c := s.register(fmt.Sprint("doc_", i), "finance")
		s.put(c)
		all = append(all, c.Documents[0].ID)
		switch i % 4 {
		case 1:
			s.crash()
		case 3:
			s.ok(s.r.Close())
			s.ok(s.r.Close()) // twice changes nothing
			s.crash()
		}
		s.equal(s.list(everywhere, storage.DocumentFilter{}), all)
		places, err := s.r.Places(ctx, c.Versions[0].Ordinal)
		s.ok(err)
		s.equal(string(places), "places of doc_"+fmt.Sprint(i))
	}
}

// All methods may be called at once. Readers see changes whole.
func (s *registrySuite) concurrent() {
	ctx := s.Context()
	const workers, each = 4, 15
	s.put(storage.Changes{Jobs: []storage.Job{{ID: "job_a", State: storage.JobRunning}}})
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := make(map[storage.Ordinal]bool)
	fail := func(doing string, err error) {
		if err != nil {
			s.Errorf("%s: %v", doing, err)
		}
	}
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				first, err := s.r.ReserveOrdinals(ctx, 2)
				fail("reserve", err)
				mu.Lock()
				if taken[first] || taken[first+1] {
					s.Errorf("ordinal %d twice", first)
				}
				taken[first], taken[first+1] = true, true
				mu.Unlock()
				var c storage.Changes
				for n := range 2 { // two documents at a time
					id := storage.DocumentID(fmt.Sprintf("doc_%d_%d_%d", w, i, n))
					d := storage.Document{ID: id, Department: "finance", Version: 1}
					c.Documents = append(c.Documents, d)
					c.Versions = append(c.Versions, storage.Version{Document: id, Number: 1, Ordinal: first + storage.Ordinal(n)})
					c.Sources = append(c.Sources, source(d, 1, string(id)))
					c.Items = append(c.Items, storage.Item{Job: "job_a", Source: string(id)})
				}
				fail("commit", s.r.Commit(ctx, c))
				if i%5 == 4 {
					_, err := s.r.Delete(ctx, everywhere, c.Documents[0].ID)
					fail("delete", err)
					_, err = s.r.Delete(ctx, everywhere, c.Documents[1].ID)
					fail("delete", err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				_, _, err := s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 100)
				fail("documents", err)
				items, err := s.r.Items(ctx, "job_a", 0, 1000)
				fail("items", err)
				if len(items)%2 != 0 {
					s.Errorf("%d items, of changes with two each", len(items))
				}
				for i, item := range items {
					if item.Sequence != int64(i+1) {
						s.Errorf("item %d has number %d", i, item.Sequence)
					}
				}
				_, err = s.r.Matches(ctx, everywhere, []storage.Ordinal{1, 2, 3})
				fail("matches", err)
				_, err = s.r.Stats(ctx)
				fail("stats", err)
				// Everybody says the same at once.
				fail("add collection", s.r.AddCollection(ctx, storage.Collection{Name: "gazette", Kind: storage.Public, Department: "press", Window: fingerprint.Dense}))
				_, _, err = s.r.Collections(ctx, everywhere, "", 10)
				fail("collections", err)
			}
		})
	}
	wg.Wait()
	s.equal(len(s.list(everywhere, storage.DocumentFilter{})), workers*each*2*4/5)
}

func (s *registrySuite) closed() {
	ctx := s.Context()
	s.ok(s.r.Close())
	_, err := s.r.ReserveOrdinals(ctx, 1)
	s.kind(err, storage.ErrClosed)
	s.kind(s.r.Commit(ctx, storage.Changes{}), storage.ErrClosed)
	s.kind(s.r.AddCollection(ctx, storage.Collection{Name: "a", Kind: storage.Public, Department: "b", Window: fingerprint.Dense}), storage.ErrClosed)
	_, err = s.r.Collection(ctx, "a")
	s.kind(err, storage.ErrClosed)
	_, err = s.r.Sketches(ctx, []storage.Ordinal{1})
	s.kind(err, storage.ErrClosed)
	_, err = s.r.Matches(ctx, everywhere, []storage.Ordinal{1})
	s.kind(err, storage.ErrClosed)
	_, _, err = s.r.Documents(ctx, everywhere, storage.DocumentFilter{}, "", 1)
	s.kind(err, storage.ErrClosed)
	_, err = s.r.Stats(ctx)
	s.kind(err, storage.ErrClosed)
	_, err = s.r.Activity(ctx, everywhere, aMoment, 1)
	s.kind(err, storage.ErrClosed)
}
