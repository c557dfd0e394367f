package ingest_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
	"github.com/sealprint/sealprint/storage"
)

// at is the source of a key of a place in the bucket "watched".
func (h *house) at(t *testing.T, key string) (storage.Source, bool) {
	t.Helper()
	sources, err := h.registry.SourcesAt(t.Context(), "s3://watched/"+key)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 1 {
		return storage.Source{}, false
	}
	return sources[0], true
}

func (h *house) notice(t *testing.T, keys ...string) {
	t.Helper()
	if n, err := h.jobs.Notice(t.Context(), "bucket", keys); err != nil || n != len(keys) {
		t.Fatalf("%d of %v are noticed: %v", n, keys, err)
	}
}

// waiting counts what was told and not looked at.
func (h *house) waiting(t *testing.T) int {
	t.Helper()
	notices, err := h.registry.Notices(t.Context(), "bucket", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(notices)
}

// Whatever is told of an object, in whatever order and spelling, what the place holds counts.
func TestNotices(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	h := open(t, t.TempDir(), plan{places: []ingest.Place{place(t, server, bucket)}})
	keys := []string{"plain.txt", "with space.txt", "a+b.txt", "سرکاری خط.txt", "100%25.txt", "100%.txt", "folder/ü&=?.txt"}
	for _, key := range keys {
		server.Put(t, bucket, key, words(key))
	}
	for i, key := range keys {
		told := url.QueryEscape(key)
		if i%2 == 0 {
			told = key
		}
		h.notice(t, told, told)
		h.notice(t, url.QueryEscape(key), "never was there")
	}
	for _, key := range keys {
		eventually(t, "for "+key, func() bool { _, ok := h.at(t, key); return ok })
		s, _ := h.at(t, key)
		if !h.matchable(t, s.Document, 1, words(key)) {
			t.Errorf("%s is registered as something else", key)
		}
	}
	eventually(t, "until all was looked at", func() bool { return h.waiting(t) == 0 })
	if n := len(h.documents(t)); n != len(keys) {
		t.Errorf("%d documents of %d objects", n, len(keys))
	}

	server.Put(t, bucket, "plain.txt", words("changed"))
	server.Remove(t, bucket, "a+b.txt")
	h.notice(t, "a%2Bb.txt", "plain.txt")
	eventually(t, "for a removal", func() bool { s, _ := h.at(t, "a+b.txt"); return !s.GoneAt.IsZero() })
	eventually(t, "for a change", func() bool { s, _ := h.at(t, "plain.txt"); return s.Version == 2 })
	if s, _ := h.at(t, "a+b.txt"); !h.matchable(t, s.Document, 1, words("a+b.txt")) {
		t.Error("what was removed is not found any more, although it may have leaked before")
	}
	server.Put(t, bucket, "a+b.txt", words("a+b.txt"))
	h.notice(t, "a+b.txt")
	eventually(t, "until it is back", func() bool { s, _ := h.at(t, "a+b.txt"); return s.GoneAt.IsZero() && s.Version == 1 })
	h.agree(t)

	if n, err := h.jobs.Notice(t.Context(), "nowhere", []string{"a"}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%d, %v", n, err)
	}
}

// What was told while the store did not answer, or before the program ended, is looked at
// when both are back.
func TestNoticesWait(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	dir := t.TempDir()
	p := place(t, server, bucket)
	p.Prefix = "in/"
	h := open(t, dir, plan{places: []ingest.Place{p}})
	h.registrar.SetOutage(50 * time.Millisecond)
	for i := range 40 {
		server.Put(t, bucket, fmt.Sprintf("in/%02d.txt", i), words(fmt.Sprint(i)))
	}
	server.Stop()
	for i := range 40 {
		h.notice(t, fmt.Sprintf("in/%02d.txt", i))
	}
	if n, err := h.jobs.Notice(t.Context(), "bucket", []string{"out/1.txt", "in"}); n != 0 || err != nil {
		t.Errorf("%d keys outside the prefix are noticed, %v", n, err)
	}
	h.close()
	server.Restart()
	h = open(t, dir, plan{places: []ingest.Place{p}})
	eventually(t, "until all was looked at", func() bool { return h.waiting(t) == 0 })
	if n := len(h.documents(t)); n != 40 {
		t.Errorf("%d documents of 40 objects", n)
	}
	h.agree(t)
}

// A listing finds what nobody told of, what is gone too; with withdrawal, what lies nowhere
// else is withdrawn, and registered anew when it comes back.
func TestSchedule(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	contents := map[string]string{"bad.pdf": truncatedPDF}
	for i := range 30 {
		contents[fmt.Sprintf("%02d.txt", i)] = words(fmt.Sprint("number ", i))
	}
	contents["copy.txt"] = contents["07.txt"]
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	p := placeOf(w)
	p.Every, p.Withdraws = 300*time.Millisecond, true
	h := open(t, t.TempDir(), plan{places: []ingest.Place{p}})
	eventually(t, "for all objects", func() bool { return len(h.documents(t)) == 30 })
	opened := w.opens.Load()

	server.RemoveAll(t, bucket, "03.txt", "07.txt", "29.txt")
	server.Put(t, bucket, "zz.txt", words("zz"))
	eventually(t, "for what is new and what is gone", func() bool { return len(h.documents(t)) == 29+2 && h.withdrawn(t) == 2 })
	three, _ := h.at(t, "03.txt")
	if _, _, err := h.registry.Source(t.Context(), three.SourceKey); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("what was withdrawn stands in the way of what comes back: %v", err)
	}
	if seven, _ := h.at(t, "07.txt"); seven.GoneAt.IsZero() || seven.Withdrawn {
		t.Errorf("of what lies elsewhere, too: %+v", seven)
	}
	// What could not be read is not tried again until it changes.
	if n := w.opens.Load() - opened; n != 1 {
		t.Errorf("%d objects were read, of which one is new", n)
	}
	server.Put(t, bucket, "03.txt", contents["03.txt"])
	server.Put(t, bucket, "bad.pdf", makePDF("", "Finance Division is pleased to notify"))
	eventually(t, "for what is back", func() bool {
		three, ok := h.at(t, "03.txt")
		_, bad := h.at(t, "bad.pdf")
		return ok && three.GoneAt.IsZero() && bad
	})
	if gaps := h.gaps(t); len(gaps) != 0 {
		t.Errorf("there are gaps: %v", gaps)
	}
	// Of what nobody asked for, the last is kept, and it tells what it did.
	jobs, _, err := h.registry.Jobs(t.Context(), storage.Everywhere(), false, "", 100)
	if err != nil || len(jobs) > 3 || !jobs[len(jobs)-1].Scheduled {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	h.agree(t)
}

func (h *house) withdrawn(t *testing.T) (n int) {
	t.Helper()
	for _, d := range h.documents(t) {
		if !d.Document.Withdrawn.At.IsZero() {
			n++
		}
	}
	return n
}

// gaps are the sources that made no document, with what is said of them.
func (h *house) gaps(t *testing.T) map[string]storage.Gap {
	t.Helper()
	gaps, _, err := h.registry.Gaps(t.Context(), storage.Everywhere(), storage.GapFilter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]storage.Gap{}
	for _, g := range gaps {
		all[g.Source] = g
	}
	return all
}

// What made no document can be tried again by itself.
func TestGaps(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	contents, distinct := small(20)
	good := maps.Clone(contents)
	for _, key := range []string{"1.pdf", "2.pdf", "3.pdf"} {
		contents[key] = truncatedPDF + key
	}
	contents["refused.txt"] = words("refused")
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	w.open = func(_ int64, o ingest.Object) error {
		if o.Key == "refused.txt" {
			return errors.New("AccessDenied")
		}
		return nil
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	job, _ := h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	count(t, job, map[ingest.Outcome]int{ingest.Registered: distinct, ingest.Duplicate: len(good) - distinct, ingest.Failed: 4})
	if job.Expected != 0 && job.Expected != len(contents) {
		t.Errorf("%d objects are expected", job.Expected)
	}
	gaps := h.gaps(t)
	if keys := slices.Sorted(maps.Keys(gaps)); !slices.Equal(keys, []string{"s3://watched/1.pdf", "s3://watched/2.pdf", "s3://watched/3.pdf", "s3://watched/refused.txt"}) {
		t.Fatalf("the gaps are %v", keys)
	}
	h.expect(t, upload("/home/x", truncatedPDF), ingest.Failed, ingest.StatusDamaged) // is no concern of the place

	server.Put(t, bucket, "1.pdf", makePDF("", "Finance Division is pleased to notify"))
	server.Remove(t, bucket, "2.pdf")
	w.open = nil
	opened := w.opens.Load()
	job, report := h.done(t, h.start(t, ingest.Request{Source: "bucket", Kind: storage.JobGaps}))
	count(t, job, map[ingest.Outcome]int{ingest.Registered: 2, ingest.Failed: 1})
	if n := w.opens.Load() - opened; n != 3 || len(report) != 3 {
		t.Errorf("%d objects were read, %d are reported", n, len(report))
	}
	gaps = h.gaps(t)
	if three := gaps["s3://watched/3.pdf"]; len(gaps) != 2 || three.Tries != 2 || three.Status != "damaged" || three.Reason == "" {
		t.Errorf("the gaps are %v", gaps)
	}
	h.agree(t)
}

// An estimate counts what a listing does, and does nothing.
func TestEstimate(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	contents, _ := small(150)
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	h.done(t, h.start(t, ingest.Request{Source: "bucket", Prefix: "gazette/00/"}))
	h.done(t, h.start(t, ingest.Request{Source: "bucket", Prefix: "gazette/01/"}))
	server.Put(t, bucket, key(1), words("changed"))
	server.Put(t, bucket, "folder/", "")
	opened, documents := w.opens.Load(), len(h.documents(t))
	id := h.start(t, ingest.Request{Source: "bucket", Kind: storage.JobEstimate}).ID
	eventually(t, "for the estimate", func() bool { return h.job(t, id).State == storage.JobDone })
	job := h.job(t, id)
	count(t, job, map[ingest.Outcome]int{ingest.Registered: 50, ingest.Updated: 1, ingest.Unchanged: 99})
	if e := job.Estimate; e.Objects != 51 || e.Bytes <= 0 || e.IndexBytes <= 0 || e.Seconds <= 0 || job.Listed != 150 {
		t.Errorf("the estimate is %+v of %d", e, job.Listed)
	}
	if w.opens.Load() != opened || len(h.documents(t)) != documents {
		t.Error("an estimate fetched or registered something")
	}
}

// Rules on keys and tags say what documents are.
func TestRules(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "watched")
	server.Put(t, bucket, "plain.txt", words("plain"))
	server.Put(t, bucket, "cabinet/memo.txt", words("cabinet"))
	server.PutTagged(t, bucket, "tagged.txt", words("tagged"), "class", "secret")
	server.PutTagged(t, bucket, "cabinet/tagged.txt", words("both"), "owner", "works")
	p := place(t, server, bucket)
	p.Rules = []ingest.Rule{
		{Tag: "owner", Value: "works", Said: ingest.Said{Department: "works"}},
		{Key: "cabinet/*", Said: ingest.Said{Department: "cabinet", Collection: "minutes"}},
		{Tag: "class", Value: "secret", Said: ingest.Said{Classification: "most secret"}},
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{p}})
	job, report := h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	if job.Department != "" {
		t.Errorf("the job of several departments is shown to %q", job.Department)
	}
	documents := h.documents(t)
	for key, want := range map[string]ingest.Said{
		"plain.txt": {Department: "finance", Classification: "secret", Collection: "drafts"}, "cabinet/memo.txt": {Department: "cabinet", Classification: "secret", Collection: "minutes"},
		"tagged.txt": {Department: "finance", Classification: "most secret", Collection: "drafts"}, "cabinet/tagged.txt": {Department: "works", Classification: "secret", Collection: "minutes"},
	} {
		d := documents[report["s3://watched/"+key].Document].Document
		if got := (ingest.Said{Department: d.Department, Classification: d.Classification, Collection: d.Collection}); got != want {
			t.Errorf("%s is %+v, want %+v", key, got, want)
		}
	}
	job, _ = h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	count(t, job, map[ingest.Outcome]int{ingest.Unchanged: 4})
	job, _ = h.done(t, h.start(t, ingest.Request{Source: "bucket", Said: ingest.Said{Department: "audit"}}))
	count(t, job, map[ingest.Outcome]int{ingest.Registered: 4})
	h.agree(t)
}
