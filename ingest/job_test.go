package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
	"github.com/sealprint/sealprint/storage"
)

func bucketOf(t *testing.T, s *sourcetest.Server, bucket string) *source.S3 {
	t.Helper()
	b, err := openBucket(s.Endpoint, bucket)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openBucket(endpoint, bucket string) (*source.S3, error) {
	return source.NewS3(source.S3Config{
		Endpoint: endpoint, Region: sourcetest.Region, Bucket: bucket,
		AccessKey: sourcetest.AccessKey, SecretKey: sourcetest.SecretKey,
	})
}

// place is the configured source "bucket".
func place(t *testing.T, s *sourcetest.Server, bucket string) ingest.Place {
	t.Helper()
	return placeOf(bucketOf(t, s, bucket))
}

func placeOf(s ingest.Source) ingest.Place {
	return ingest.Place{Name: "bucket", Source: s, Said: ingest.Said{Department: "finance", Collection: "drafts", Classification: "secret"}}
}

// watched is a source that counts, and does what a test wants before an object is
// opened. Its listings are made of short pages, so that one is not over before
// the first object is opened.
type watched struct {
	ingest.Source
	opens atomic.Int64
	page  int // objects; 0 for as many as the source gives
	open  func(n int64, o ingest.Object) error
}

func (w *watched) Open(ctx context.Context, o ingest.Object) (io.ReadCloser, error) {
	n := w.opens.Add(1)
	if w.open != nil {
		if err := w.open(n, o); err != nil {
			return nil, err
		}
	}
	return w.Source.Open(ctx, o)
}

func (w *watched) List(ctx context.Context, prefix, after string) iter.Seq2[ingest.Object, error] {
	if w.page == 0 {
		return w.Source.List(ctx, prefix, after)
	}
	return func(yield func(ingest.Object, error) bool) {
		for {
			n := 0
			for o, err := range w.Source.List(ctx, prefix, after) {
				if !yield(o, err) || err != nil {
					return
				}
				after = o.Key
				if n++; n == w.page {
					break
				}
			}
			if n < w.page {
				return
			}
		}
	}
}

func (h *house) start(t *testing.T, r ingest.Request) storage.Job {
	t.Helper()
	job, started, err := h.jobs.Start(t.Context(), r)
	if err != nil || !started {
		t.Fatalf("start %+v: %v, %v", r, started, err)
	}
	return job
}

func (h *house) job(t *testing.T, id storage.JobID) storage.Job {
	t.Helper()
	job, err := h.registry.Job(t.Context(), storage.Everywhere(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// ended waits for the end of a job and checks that its numbers agree.
func (h *house) ended(t *testing.T, id storage.JobID) (job storage.Job, report map[string]storage.Item) {
	t.Helper()
	eventually(t, "for the end of a job", func() bool {
		job = h.job(t, id)
		return job.State != storage.JobRunning
	})
	report = map[string]storage.Item{}
	items, outcomes := 0, map[string]int{}
	for after := int64(0); ; {
		page, err := h.registry.Items(t.Context(), id, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, i := range page {
			if before, ok := report[i.Source]; ok {
				t.Errorf("%s is reported twice: %+v and %+v", i.Source, before, i)
			}
			report[i.Source] = i
			outcomes[i.Outcome]++
			items++
			after = i.Sequence
		}
	}
	if !maps.Equal(outcomes, job.Outcomes) || items != job.Listed {
		t.Errorf("the job counts %v of %d objects, its report %v of %d", job.Outcomes, job.Listed, outcomes, items)
	}
	if job.EndedAt.IsZero() || (job.State == storage.JobFailed) != (job.Error != "") {
		t.Errorf("the job ended as %+v", job)
	}
	return job, report
}

// done waits for a job that is to succeed.
func (h *house) done(t *testing.T, job storage.Job) (storage.Job, map[string]storage.Item) {
	t.Helper()
	job, report := h.ended(t, job.ID)
	if job.State != storage.JobDone {
		t.Fatalf("the job is %s: %s", job.State, job.Error)
	}
	return job, report
}

func count(t *testing.T, job storage.Job, want map[ingest.Outcome]int) {
	t.Helper()
	got := map[ingest.Outcome]int{}
	for o, n := range job.Outcomes {
		got[ingest.Outcome(o)] = n
	}
	if !maps.Equal(got, want) {
		t.Errorf("the outcomes are %v, want %v", got, want)
	}
}

// small makes n objects, every tenth of them a copy of the one before.
func small(n int) (contents map[string]string, distinct int) {
	contents = map[string]string{}
	for i := range n {
		if i%10 == 9 {
			contents[key(i)] = words(fmt.Sprint("object ", i-1))
			continue
		}
		contents[key(i)] = words(fmt.Sprint("object ", i))
		distinct++
	}
	return contents, distinct
}

func key(i int) string { return fmt.Sprintf("gazette/%02d/%03d.txt", i/50, i) }

// A job registers all that is there; the next one reads only what has changed.
func TestJob(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "job")
	const n = 320
	contents, distinct := small(n)
	server.PutAll(t, bucket, contents)
	server.Put(t, bucket, "gazette/folder/", "") // as some clients leave them
	server.Put(t, bucket, "other/text", words("other"))
	w := &watched{Source: bucketOf(t, server, bucket)}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	request := ingest.Request{Source: "s3://job/gazette/", Said: ingest.Said{Classification: "top secret"}}

	job, report := h.done(t, h.start(t, request))
	count(t, job, map[ingest.Outcome]int{ingest.Registered: distinct, ingest.Duplicate: n - distinct})
	size := int64(0)
	for key, content := range contents {
		size += int64(len(content))
		if item := report[w.URI(key)]; item.Status != "ok" || item.Pages != 1 || item.Characters == 0 || item.Document == "" {
			t.Errorf("%s is reported as %+v", key, item)
		}
	}
	if job.Bytes != size || job.Checkpoint != key(n-1) || len(report) != n {
		t.Errorf("the job saw %d bytes up to %s; want %d up to %s", job.Bytes, job.Checkpoint, size, key(n-1))
	}
	documents := h.documents(t)
	if len(documents) != distinct {
		t.Errorf("%d documents of %d contents", len(documents), distinct)
	}
	for _, d := range documents {
		if d.Document.Department != "finance" || d.Document.Collection != "drafts" || d.Document.Classification != "top secret" {
			t.Errorf("the document %+v", d.Document)
			break
		}
	}
	h.agree(t)

	opened := w.opens.Load()
	job, again := h.done(t, h.start(t, request))
	count(t, job, map[ingest.Outcome]int{ingest.Unchanged: n})
	if w.opens.Load() != opened {
		t.Errorf("%d objects were read again", w.opens.Load()-opened)
	}
	for source, item := range again {
		if item.Document != report[source].Document || item.Characters != report[source].Characters {
			t.Errorf("%s was %+v and is %+v", source, report[source], item)
		}
	}

	server.Put(t, bucket, key(3), words("changed"))
	server.Remove(t, bucket, key(4))
	job, again = h.done(t, h.start(t, request))
	count(t, job, map[ingest.Outcome]int{ingest.Unchanged: n - 2, ingest.Updated: 1})
	id := report[w.URI(key(3))].Document
	if w.opens.Load() != opened+1 || again[w.URI(key(3))].Document != id {
		t.Errorf("after a change %d objects were read, and %+v is not %s", w.opens.Load()-opened, again[w.URI(key(3))], id)
	}
	if !h.matchable(t, id, 1, contents[key(3)]) || !h.matchable(t, id, 2, words("changed")) {
		t.Error("a version is not found")
	}
	// What was removed may have leaked before.
	if gone := report[w.URI(key(4))].Document; !h.matchable(t, gone, 1, contents[key(4)]) {
		t.Error("a removed object's document is not found")
	}
	h.agree(t)
}

// Nothing that an object holds keeps the others from being registered.
func TestJobWithBadObjects(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "bad")
	contents, distinct := small(30)
	good := len(contents)
	bad := map[string]string{
		"gazette/00/000.pdf": truncatedPDF, "gazette/00/011.pdf": "%PDF-1.4\n", "encrypted.pdf": encryptedPDF, "empty": "",
		"program.exe": program, "zzz.pdf": truncatedPDF + "x", "unreadable": words("unreadable"), "vanishing": words("vanishing"),
	}
	maps.Copy(contents, bad)
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	w.open = func(_ int64, o ingest.Object) error {
		switch o.Key {
		case "unreadable": // one that the store itself cannot read, while it gives all others
			return fmt.Errorf("%w: InternalError", ingest.ErrUnavailable)
		case "vanishing":
			return ingest.ErrChanged
		}
		return nil
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	h.registrar.SetOutage(500 * time.Millisecond)
	job, report := h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	count(t, job, map[ingest.Outcome]int{
		ingest.Registered: distinct + 2, ingest.Duplicate: good - distinct, ingest.Failed: 5, ingest.Skipped: 1,
	})
	for key, want := range map[string]ingest.Status{
		"gazette/00/000.pdf": ingest.StatusDamaged, "gazette/00/011.pdf": ingest.StatusDamaged, "zzz.pdf": ingest.StatusDamaged,
		"encrypted.pdf": ingest.StatusEncrypted, "empty": ingest.StatusNoText, "program.exe": ingest.StatusUnsupported,
		"unreadable": ingest.StatusNotFetched, "vanishing": ingest.StatusNotFetched,
	} {
		if item := report[w.URI(key)]; item.Status != string(want) || item.Reason == "" {
			t.Errorf("%s is %+v, want %s", key, item, want)
		}
	}
	h.agree(t)

	// Those that made no document are tried again, and only those.
	w.open = nil
	opened := w.opens.Load()
	job, _ = h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	count(t, job, map[ingest.Outcome]int{
		ingest.Registered: 2, ingest.Unchanged: good + 2, ingest.Failed: 3, ingest.Skipped: 1,
	})
	if n := w.opens.Load() - opened; n != 6 {
		t.Errorf("%d objects were read again", n)
	}
}

// One source and prefix has one job at a time; a job may be cancelled, and what
// it registered stays.
func TestStartAndCancel(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "cancel")
	contents, distinct := small(100)
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	enough, release := make(chan struct{}), make(chan struct{})
	w.open = func(n int64, _ ingest.Object) error {
		if n == 60 {
			close(enough)
		}
		if n >= 60 {
			<-release
		}
		return nil
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	var jobs, started atomic.Int64
	var id atomic.Value
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			source := []string{"bucket", "s3://cancel", "s3://cancel/"}[i%3]
			job, began, err := h.jobs.Start(t.Context(), ingest.Request{Source: source})
			if err != nil {
				t.Error(err)
			}
			if began {
				started.Add(1)
				id.Store(job.ID)
			}
			if job.State == storage.JobRunning {
				jobs.Add(1)
			}
		})
	}
	wait.Wait()
	if started.Load() != 1 || jobs.Load() != 8 {
		t.Fatalf("%d starts began %d jobs", jobs.Load(), started.Load())
	}
	first := id.Load().(storage.JobID)
	if job, _, err := h.jobs.Start(t.Context(), ingest.Request{Source: "bucket"}); err != nil || job.ID != first {
		t.Errorf("started %s, %v beside %s", job.ID, err, first)
	}
	<-enough
	// Another prefix is another job.
	other := h.start(t, ingest.Request{Source: "bucket", Prefix: "nothing/"})
	h.done(t, other)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	if err := h.jobs.Cancel(ctx, first); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who does not wait for the end of a job gets %v", err)
	}
	cancel()
	close(release)
	if err := h.jobs.Cancel(t.Context(), first); err != nil {
		t.Error(err)
	}
	job, report := h.ended(t, first)
	documents := len(h.documents(t))
	if job.State != storage.JobCancelled || len(report) == 0 || len(report) == len(contents) || documents == 0 || documents > len(report) {
		t.Errorf("the cancelled job is %+v, with %d items and %d documents", job, len(report), documents)
	}
	h.agree(t)
	if err := h.jobs.Cancel(t.Context(), first); err != nil {
		t.Errorf("cancelled again: %v", err)
	}
	job, _ = h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	if job.ID == first || job.Listed != len(contents) || job.Outcomes["unchanged"] < documents || len(h.documents(t)) != distinct {
		t.Errorf("the next job is %+v, with %d documents", job, len(h.documents(t)))
	}
	h.jobs.Close()
	if _, _, err := h.jobs.Start(t.Context(), ingest.Request{Source: "bucket"}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// runJob starts a job, or goes on with it, and prints how far it is.
func runJob(ctx context.Context, dir string) error {
	bucket, err := openBucket(os.Getenv(victimEndpoint), "resume")
	if err != nil {
		return err
	}
	h, err := build(ctx, dir, plan{places: []ingest.Place{placeOf(&watched{Source: bucket, page: 50})}})
	if err != nil {
		return err
	}
	job, _, err := h.jobs.Start(ctx, ingest.Request{Source: "bucket"})
	for err == nil && job.State == storage.JobRunning {
		fmt.Println(job.Listed, job.ID)
		time.Sleep(time.Millisecond)
		job, err = h.registry.Job(ctx, storage.Everywhere(), job.ID)
	}
	return errors.Join(err, errors.New("the job ended before it was killed"))
}

// A job goes on when the program is started again, however it ended. Every object
// is reported once, every content registered once.
func TestResume(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "resume")
	const n = 400
	contents, distinct := small(n)
	server.PutAll(t, bucket, contents)
	dir := t.TempDir()
	var id storage.JobID
	for _, until := range []int{0, 70, 160} {
		kill(t, "job", dir, []string{victimEndpoint + "=" + server.Endpoint}, func(line string) bool {
			var listed int
			var job storage.JobID
			if _, err := fmt.Sscan(line, &listed, &job); err != nil {
				t.Errorf("the victim says %q", line)
			}
			if id == "" {
				id = job
			}
			if id != job {
				t.Errorf("job %s was started beside %s", job, id)
			}
			return listed >= until
		})
	}
	w := &watched{Source: bucketOf(t, server, bucket)}
	h := open(t, dir, plan{places: []ingest.Place{placeOf(w)}})
	job, report := h.done(t, storage.Job{ID: id})
	for key := range contents {
		if _, ok := report[w.URI(key)]; !ok {
			t.Errorf("%s is not reported", key)
		}
	}
	if len(report) != n || len(h.documents(t)) != distinct || w.opens.Load() > n-160+ingest.MaxFetches {
		t.Errorf("%d objects are reported, %d contents are %d documents, %d were read after the last kill",
			len(report), distinct, len(h.documents(t)), w.opens.Load())
	}
	// What was registered when the program was killed may be met again as unchanged.
	if job.Outcomes["failed"]+job.Outcomes["skipped"]+job.Outcomes["updated"] != 0 || job.Outcomes["registered"] != distinct {
		t.Errorf("the outcomes are %v", job.Outcomes)
	}
	h.agree(t)
}

// A job whose source is not configured any more ends.
func TestResumeWithoutSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{names: []string{"a"}, open: func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	h := open(t, dir, plan{places: []ingest.Place{placeOf(m)}})
	id := h.start(t, ingest.Request{Source: "bucket"}).ID
	h.close()
	h = open(t, dir, plan{})
	if job, _ := h.ended(t, id); job.State != storage.JobFailed || !strings.Contains(job.Error, "bucket") {
		t.Errorf("the job is %s: %s", job.State, job.Error)
	}
}

// A store that is restarted under a job is waited for, by those who list and by
// those who fetch.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "restart")
	const n = 300
	contents, distinct := small(n)
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket), page: 30}
	w.open = func(n int64, _ ingest.Object) error {
		if n == 100 {
			server.Stop()
			time.AfterFunc(2*time.Second, server.Restart)
		}
		return nil
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	job, report := h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	count(t, job, map[ingest.Outcome]int{ingest.Registered: distinct, ingest.Duplicate: n - distinct})
	if len(report) != n || len(h.documents(t)) != distinct {
		t.Errorf("%d objects are reported, %d documents", len(report), len(h.documents(t)))
	}
	h.agree(t)
}

// A source that never answered, or never will, is told at once; what was
// registered before stays.
func TestRefused(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "refused")
	contents, distinct := small(20)
	server.PutAll(t, bucket, contents)
	c := source.S3Config{Endpoint: server.Endpoint, Region: sourcetest.Region, Bucket: bucket, AccessKey: sourcetest.AccessKey, SecretKey: sourcetest.SecretKey}
	var places []ingest.Place
	add := func(name string, c source.S3Config) {
		s, err := source.NewS3(c)
		if err != nil {
			t.Fatal(err)
		}
		p := placeOf(s)
		p.Name = name
		places = append(places, p)
	}
	add("good", c)
	wrong := c
	wrong.SecretKey = "not the secret of it"
	add("wrong secret", wrong)
	missing := c
	missing.Bucket = "missing"
	add("missing bucket", missing)
	unreachable := c
	unreachable.Endpoint = "http://127.0.0.1:1"
	add("unreachable", unreachable)
	h := open(t, t.TempDir(), plan{places: places})
	h.done(t, h.start(t, ingest.Request{Source: "good"}))
	begin := time.Now()
	jobs := map[string]storage.Job{
		"SignatureDoesNotMatch":         h.start(t, ingest.Request{Source: "wrong secret"}),
		"bucket missing does not exist": h.start(t, ingest.Request{Source: "missing bucket"}),
		"connection refused":            h.start(t, ingest.Request{Source: "unreachable"}),
	}
	for want, job := range jobs {
		job, report := h.ended(t, job.ID)
		if job.State != storage.JobFailed || !strings.Contains(job.Error, want) || len(report) != 0 {
			t.Errorf("the job is %s: %s, want %s", job.State, job.Error, want)
		}
		if strings.Contains(job.Error, wrong.SecretKey) || strings.Contains(job.Error, c.AccessKey) {
			t.Errorf("the reason repeats a credential: %s", job.Error)
		}
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %v to tell", took)
	}
	if len(h.documents(t)) != distinct {
		t.Errorf("%d documents of %d are left", len(h.documents(t)), distinct)
	}
	h.agree(t)
}

// When a store is gone for good, the job ends instead of reporting every object
// as bad.
func TestLongOutage(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "outage")
	contents, _ := small(120)
	server.PutAll(t, bucket, contents)
	w := &watched{Source: bucketOf(t, server, bucket)}
	w.open = func(n int64, _ ingest.Object) error {
		if n == 60 {
			server.Stop()
		}
		return nil
	}
	h := open(t, t.TempDir(), plan{places: []ingest.Place{placeOf(w)}})
	h.registrar.SetOutage(time.Second)
	job, report := h.ended(t, h.start(t, ingest.Request{Source: "bucket"}).ID)
	if job.State != storage.JobFailed || !strings.Contains(job.Error, "unavailable") || job.Outcomes["failed"] != 0 || len(report) == 0 {
		t.Errorf("the job is %s: %s, with %v", job.State, job.Error, job.Outcomes)
	}
	h.agree(t)
}

// A store of the product that fails ends the job, and the report holds no more
// than what is stored.
func TestJobWhoseRegistryFails(t *testing.T) {
	t.Parallel()
	fault := errors.New("disk full")
	commits := 0
	m := &memory{}
	for i := range 100 {
		m.names = append(m.names, key(i))
	}
	h := open(t, t.TempDir(), plan{
		places: []ingest.Place{placeOf(m)},
		registry: func(r storage.Registry) storage.Registry {
			return &faultyRegistry{r, func(c storage.Changes) error {
				if len(c.Items) == 0 {
					return nil
				}
				if commits++; commits == 3 {
					return fault
				}
				return nil
			}}
		},
	})
	job, report := h.ended(t, h.start(t, ingest.Request{Source: "bucket"}).ID)
	if job.State != storage.JobFailed || !strings.Contains(job.Error, fault.Error()) || len(report) == 100 {
		t.Errorf("the job is %s: %s, with %d items", job.State, job.Error, len(report))
	}
	for _, name := range m.names {
		if _, ok := report[m.URI(name)]; name <= job.Checkpoint && !ok {
			t.Errorf("%s is not stored, and stands before the checkpoint %s", name, job.Checkpoint)
		}
	}
}

// memory is a source of small texts, listed in the order given.
type memory struct {
	names []string
	open  func(ctx context.Context, name string) error
	fail  func(name string) error // instead of listing it
}

func (m *memory) List(_ context.Context, prefix, after string) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for _, name := range m.names {
			if !strings.HasPrefix(name, prefix) || name <= after {
				continue
			}
			if m.fail != nil {
				if err := m.fail(name); err != nil {
					yield(ingest.Object{}, err)
					return
				}
			}
			if !yield(ingest.Object{Key: name, ETag: name, Size: int64(len(words(name)))}, nil) {
				return
			}
		}
	}
}

func (m *memory) Open(ctx context.Context, o ingest.Object) (io.ReadCloser, error) {
	if m.open != nil {
		if err := m.open(ctx, o.Key); err != nil {
			return nil, err
		}
	}
	return io.NopCloser(strings.NewReader(words(o.Key))), nil
}

func (m *memory) Stat(_ context.Context, name string) (ingest.Object, error) {
	return ingest.Object{Key: name, ETag: name}, nil
}

func (m *memory) Tags(context.Context, ingest.Object) (map[string]string, error) {
	return map[string]string{}, nil
}

func (m *memory) URI(key string) string { return "memory://" + key }

func (m *memory) Key(uri string) (string, bool) { return strings.CutPrefix(uri, "memory://") }

// A source that does not list in order has no checkpoint: it would pass over what
// comes late. Interrupted, the job looks at all objects again and reports none
// twice.
func TestUnorderedSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{names: []string{"b", "d", "e", "c", "f", "a", "g"}}
	stuck := map[string]bool{"c": true, "a": true}
	m.open = func(ctx context.Context, name string) error {
		if stuck[name] {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	h := open(t, dir, plan{places: []ingest.Place{placeOf(m)}})
	id := h.start(t, ingest.Request{Source: "bucket"}).ID
	eventually(t, "for all but those that are stuck", func() bool { return h.job(t, id).Listed == len(m.names)-len(stuck) })
	if job := h.job(t, id); job.Checkpoint != "" {
		t.Errorf("the checkpoint is %q", job.Checkpoint)
	}
	h.close()
	clear(stuck)
	h = open(t, dir, plan{places: []ingest.Place{placeOf(m)}})
	job, report := h.done(t, storage.Job{ID: id})
	count(t, job, map[ingest.Outcome]int{ingest.Registered: len(m.names)})
	if len(report) != len(m.names) {
		t.Errorf("%d objects are reported", len(report))
	}

	// Nobody knows where to go on with a listing out of order.
	m.names = []string{"n/b", "n/d", "n/c", "n/e"}
	m.fail = func(name string) error {
		if name == "n/e" {
			return ingest.ErrUnavailable
		}
		return nil
	}
	job, _ = h.ended(t, h.start(t, ingest.Request{Source: "bucket", Prefix: "n/"}).ID)
	if job.State != storage.JobFailed || !strings.Contains(job.Error, "not in the order") || job.Checkpoint != "" {
		t.Errorf("the job is %s: %s, up to %q", job.State, job.Error, job.Checkpoint)
	}
}

// An object that is done far beyond the checkpoint, but before others that were
// fetched beside it, is not done again.
func TestResumeFarAhead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const (
		// The checkpoint stays before this one. All before it are being fetched while
		// the next is done, and end only then.
		stuck = ingest.MaxFetches - 2
		total = ingest.MaxAhead + 500 // more than may be begun
	)
	name := func(i int) string { return fmt.Sprintf("%05d", i) }
	m := &memory{}
	for i := range total {
		m.names = append(m.names, name(i))
	}
	bad := errors.New("not worth reading")
	hold, release := make(chan struct{}), make(chan struct{})
	m.open = func(ctx context.Context, n string) error {
		switch {
		case n == name(stuck):
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-release:
			}
		case n < name(stuck):
			<-hold
		}
		return bad
	}
	h := open(t, dir, plan{places: []ingest.Place{placeOf(m)}})
	id := h.start(t, ingest.Request{Source: "bucket"}).ID
	listed := func(n int) func() bool { return func() bool { return h.job(t, id).Listed >= n } }
	eventually(t, "for the first that is not held", listed(1))
	close(hold)
	eventually(t, "for all that may be ahead", listed(ingest.MaxAhead-1+stuck))
	if job := h.job(t, id); job.Checkpoint != name(stuck-1) {
		t.Errorf("the checkpoint is %s", job.Checkpoint)
	}
	h.close()
	close(release)
	h = open(t, dir, plan{places: []ingest.Place{placeOf(m)}})
	job, report := h.done(t, storage.Job{ID: id})
	if count(t, job, map[ingest.Outcome]int{ingest.Failed: total}); len(report) != total {
		t.Errorf("%d objects are reported", len(report))
	}
}

// What a request may name, and which place and prefix it means.
func TestResolve(t *testing.T) {
	t.Parallel()
	var places []ingest.Place
	for _, p := range []struct{ name, uri, prefix string }{
		{"all", "s3://archive", ""}, {"wing", "s3://gazettes", "budget/wing/"}, {"law", "s3://gazettes", "law/"},
		{"whole", "s3://mixed", ""}, {"part", "s3://mixed", "part/"},
	} {
		places = append(places, ingest.Place{Name: p.name, Source: &named{memory{}, p.uri}, Prefix: p.prefix, Said: ingest.Said{Department: p.name}})
	}
	h := open(t, t.TempDir(), plan{places: places})
	for _, test := range []struct{ source, prefix, place, want string }{
		{"all", "", "all", ""},
		{"all", "a/", "all", "a/"},
		{"s3://archive", "", "all", ""},
		{"s3://archive/", "", "all", ""},
		{"s3://archive/2026", "", "all", "2026"},
		{"s3://archive/2026/", "05/", "all", "2026/05/"},
		{"wing", "", "wing", "budget/wing/"},
		{"wing", "2026/", "wing", "budget/wing/2026/"},
		{"s3://gazettes", "", "wing", "budget/wing/"},
		{"s3://gazettes/", "", "wing", "budget/wing/"},
		{"s3://gazettes/budget/", "", "wing", "budget/wing/"},
		{"s3://gazettes/budget/wing", "", "wing", "budget/wing/"},
		{"s3://gazettes/budget/wing/2026/", "", "wing", "budget/wing/2026/"},
		{"s3://gazettes/la", "", "law", "law/"},
		{"s3://gazettes/law/acts/", "", "law", "law/acts/"},
		{"s3://mixed/", "", "whole", ""},
		{"s3://mixed/part/2026/", "", "part", "part/2026/"}, // the more exact one
		{"s3://mixed/particular", "", "whole", "particular"},
	} {
		job := h.start(t, ingest.Request{Source: test.source, Prefix: test.prefix})
		if job.Source != test.place || job.Prefix != test.want || job.Department != test.place {
			t.Errorf("%s and %q mean %s in %q, want %s in %q", test.source, test.prefix, job.Prefix, job.Source, test.want, test.place)
		}
		h.done(t, job)
	}
	for _, source := range []string{"", "none", "s3://none/", "s3://gazettes/other/", "s3://gazettes/budget/other", "s3://gazettesandmore/law/", "https://gazettes/law/"} {
		if job, _, err := h.jobs.Start(t.Context(), ingest.Request{Source: source}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%q means %+v, %v", source, job, err)
		}
	}
}

// lingering takes its time to say that the end of a job is stored.
type lingering struct{ storage.Registry }

func (l *lingering) Commit(ctx context.Context, c storage.Changes) error {
	err := l.Registry.Commit(ctx, c)
	if slices.ContainsFunc(c.Jobs, func(j storage.Job) bool { return j.State != storage.JobRunning }) {
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// TestStartAgain: who sees that a job ended can start the next: it is not told that the same
// one is running.
func TestStartAgain(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), plan{
		places:   []ingest.Place{{Name: "bucket", Source: &memory{}}},
		registry: func(r storage.Registry) storage.Registry { return &lingering{r} },
	})
	for range 5 {
		h.done(t, h.start(t, ingest.Request{Source: "bucket"}))
	}
}

// named is a source under a URI.
type named struct {
	memory
	uri string
}

func (n *named) URI(key string) string { return n.uri + "/" + key }

func (n *named) Key(uri string) (string, bool) {
	if uri == n.uri {
		return "", true
	}
	return strings.CutPrefix(uri, n.uri+"/")
}
