package ingest

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Request asks for a bulk registration.
type Request struct {
	// Source is the name of a place, or a URI below one.
	Source string
	// Prefix narrows the place further.
	Prefix string
	// Kind is what to go through; the listing, if it is empty.
	Kind storage.JobKind
	// What is said about the documents; empty fields are as the place says.
	Said
	// Again asks for known objects to be read again where they could be read better.
	Again bool

	scheduled bool
}

// said is what a job says about its documents.
func said(j storage.Job) Said { return Said{j.Department, j.Classification, j.Collection} }

// Jobs runs bulk registrations. Make one with [NewJobs].
type Jobs struct {
	registrar *Registrar
	registry  storage.Registry
	places    []Place
	log       *slog.Logger

	watchers map[string]*watcher // by the names of their places

	mu      sync.Mutex
	closed  bool
	running map[storage.JobID]*run
	wait    sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

// NewJobs goes on with the jobs that were running when the program last ended, and watches
// the places.
func NewJobs(ctx context.Context, registrar *Registrar, registry storage.Registry, places []Place, log *slog.Logger) (*Jobs, error) {
	j := &Jobs{registrar: registrar, registry: registry, places: places, log: log, watchers: map[string]*watcher{}, running: map[storage.JobID]*run{}}
	j.ctx, j.stop = context.WithCancel(context.WithoutCancel(ctx))
	unfinished, _, err := registry.Jobs(ctx, storage.Everywhere(), true, "", maxJobs)
	if err != nil {
		return nil, fmt.Errorf("list unfinished jobs: %w", err)
	}
	for _, job := range unfinished {
		place, err := j.place(job.Source)
		if job.Kind == storage.JobRekey {
			err = nil
		}
		if err != nil || job.Scheduled {
			job.State, job.EndedAt = storage.JobCancelled, time.Now().UTC()
			if err != nil {
				job.State, job.Error = storage.JobFailed, err.Error()
			}
			if err := registry.Commit(ctx, storage.Changes{Jobs: []storage.Job{job}}); err != nil {
				return nil, fmt.Errorf("end job %s: %w", job.ID, err)
			}
			continue
		}
		j.launch(place, job, maxOutage)
	}
	for _, p := range places {
		j.watch(p)
	}
	return j, nil
}

// Close stops all jobs where they are; the next start goes on with them.
func (j *Jobs) Close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.stop()
	j.wait.Wait()
	return nil
}

// place finds a configured source by its name.
func (j *Jobs) place(name string) (Place, error) {
	for _, p := range j.places {
		if p.Name == name {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("%w: source %q is not configured", storage.ErrNotFound, name)
}

// resolve finds the place that a request means and the key prefix below it.
func (j *Jobs) resolve(r Request) (Place, string, error) {
	if !strings.Contains(r.Source, "://") {
		p, err := j.place(r.Source)
		return p, p.Prefix + r.Prefix, err
	}
	// Of places in the same bucket the URI means the one that says most about it;
	// if it stops short of all their prefixes, all of the first.
	var best, short *Place
	var below string
	for i := range j.places {
		p := &j.places[i]
		key, ok := p.Source.Key(r.Source)
		switch {
		case ok && strings.HasPrefix(key, p.Prefix):
			if best == nil || len(p.Prefix) > len(best.Prefix) {
				best, below = p, key
			}
		case ok && strings.HasPrefix(p.Prefix, key) && short == nil:
			short = p
		}
	}
	switch {
	case best != nil:
		return *best, below + r.Prefix, nil
	case short != nil:
		return *short, short.Prefix + r.Prefix, nil
	}
	return Place{}, "", fmt.Errorf("%w: no configured source holds %q", storage.ErrNotFound, r.Source)
}

// Start begins a job, or returns the one that is running for the same request
// already; started tells which. Another request for the same source and prefix
// is of kind storage.ErrConflict meanwhile.
func (j *Jobs) Start(ctx context.Context, r Request) (job storage.Job, started bool, err error) {
	var place Place
	var prefix string
	if r.Kind != storage.JobRekey {
		place, prefix, err = j.resolve(r)
	} else if j.registrar.previous == nil {
		err = fmt.Errorf("%w: the secret key is not being changed", storage.ErrConflict)
	}
	if err != nil {
		return storage.Job{}, false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return storage.Job{}, false, storage.ErrClosed
	}
	now := time.Now().UTC()
	job = storage.Job{
		ID: storage.JobID(storage.NewID("job")), Kind: cmp.Or(r.Kind, storage.JobListing), Source: place.Name, Prefix: prefix, State: storage.JobRunning,
		Department: cmp.Or(r.Department, place.owner()), Classification: r.Classification, Collection: r.Collection,
		Scheduled: r.scheduled, Outcomes: map[string]int{}, CreatedAt: now, UpdatedAt: now, Again: r.Again,
	}
	if job.Kind == storage.JobGaps {
		job.Department = r.Department // gaps of all departments, if it names none
	}
	for _, run := range j.running {
		switch running := run.snapshot(now); {
		case running.Source != job.Source || running.Prefix != job.Prefix || running.Kind != job.Kind || running.Scheduled != job.Scheduled:
		case said(running) != said(job) || running.Again != job.Again:
			return storage.Job{}, false, fmt.Errorf("%w: the same source is being registered in another way", storage.ErrConflict)
		default:
			return running, false, nil
		}
	}
	if err := j.registry.Commit(ctx, storage.Changes{Jobs: []storage.Job{job}}); err != nil {
		return storage.Job{}, false, fmt.Errorf("store job: %w", err)
	}
	j.launchLocked(place, job, maxOutageAtStart)
	return job, true, nil
}

// Cancel stops a job and waits until it has. What is registered stays.
func (j *Jobs) Cancel(ctx context.Context, id storage.JobID) error {
	j.mu.Lock()
	run := j.running[id]
	j.mu.Unlock()
	if run == nil {
		return nil
	}
	run.cancel(errCancelled)
	select {
	case <-run.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errCancelled = errors.New("cancelled")

// launch has a job go on, whose source may take so long to answer for the first time.
func (j *Jobs) launch(place Place, job storage.Job, patience time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.launchLocked(place, job, patience)
}

func (j *Jobs) launchLocked(place Place, job storage.Job, patience time.Duration) {
	ctx, cancel := context.WithCancelCause(j.ctx)
	run := &run{source: place.Source, job: job, patience: patience, cancel: cancel, ended: make(chan struct{}), ahead: make(chan struct{}, maxAhead)}
	run.job.Outcomes = maps.Clone(job.Outcomes)
	j.running[job.ID] = run
	j.wait.Add(1)
	go func() {
		defer j.wait.Done()
		defer close(run.ended)
		defer cancel(nil)
		err := j.run(ctx, place, run)
		j.finish(ctx, run, err)
	}()
}

// finish stores how a job ended. A job that the program's end stopped stays
// running in the registry. Whoever has seen there that it ended can start the next.
func (j *Jobs) finish(ctx context.Context, run *run, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.running, run.id())
	job := run.snapshot(time.Now().UTC())
	job.EndedAt = job.UpdatedAt
	switch {
	case err == nil:
		job.State = storage.JobDone
	case errors.Is(context.Cause(ctx), errCancelled):
		job.State = storage.JobCancelled
	case j.ctx.Err() != nil:
		return
	default:
		job.State, job.Error = storage.JobFailed, short(err)
	}
	if err := j.registry.Commit(context.WithoutCancel(ctx), storage.Changes{Jobs: []storage.Job{job}}); err != nil {
		j.log.Error("the end of a registration could not be stored", "job", job.ID, "error", err)
		return
	}
	j.log.Info("registration ended", "job", job.ID, "source", job.Source, "state", job.State, "listed", job.Listed, "outcomes", job.Outcomes)
}

// run goes through the objects of a job and registers what it finds.
func (j *Jobs) run(ctx context.Context, place Place, run *run) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	start := run.snapshot(time.Now())
	switch start.Kind {
	case storage.JobEstimate:
		return j.estimate(ctx, place, run)
	case storage.JobRekey:
		if err := j.expect(ctx, run); err != nil {
			return err
		}
	case storage.JobGaps:
		run.unordered = true // where it was is told by when each gap was tried
	}
	done, err := j.beyondCheckpoint(ctx, start)
	if err != nil {
		return err
	}
	var wait, counted sync.WaitGroup
	counting, enough := context.WithCancel(ctx)
	defer enough()
	if start.Kind == storage.JobListing && !start.Scheduled && start.Expected == 0 {
		counted.Go(func() { j.count(counting, place, run) })
	}
	slots := make(chan struct{}, maxFetches)
	tasks := func(ctx context.Context) iter.Seq2[task, error] { return j.tasks(ctx, place, start, run.patience) }
	for task, err := range ahead(ctx, maxListedAhead, tasks) {
		if err != nil {
			fail(err)
			break
		}
		if start.Kind != storage.JobGaps && done[task.Source] {
			continue // before the program was interrupted
		}
		seq, ok := run.begin(ctx, task.object)
		if !ok {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		task.Again, task.Settled, task.job, task.seq = start.Again, start.Scheduled, run, seq
		wait.Go(func() {
			if _, err := j.registrar.register(ctx, task.File, func() { <-slots }); err != nil {
				fail(err)
			}
		})
	}
	wait.Wait()
	enough()
	counted.Wait()
	return context.Cause(ctx)
}

// task is an object that a job is to register.
type task struct {
	File
	object Object
}

// tasks are the objects of a job, with what is said about them.
func (j *Jobs) tasks(ctx context.Context, place Place, job storage.Job, patience time.Duration) iter.Seq2[task, error] {
	switch job.Kind {
	case storage.JobGaps:
		return j.gaps(ctx, place, job)
	case storage.JobRekey:
		return j.earlier(ctx, job)
	}
	return func(yield func(task, error) bool) {
		known := known{jobs: j, place: place, prefix: job.Prefix, at: job.Checkpoint}
		for object, err := range listed(ctx, place.Source, job.Prefix, job.Checkpoint, patience) {
			if err == nil {
				err = known.until(ctx, object.Key)
			}
			if err != nil {
				yield(task{}, fmt.Errorf("list source: %w", err))
				return
			}
			if object.isFolder() {
				continue
			}
			file, err := j.file(ctx, place, said(job), object)
			if !yield(task{file, object}, err) || err != nil {
				return
			}
		}
		if err := known.until(ctx, ""); err != nil {
			yield(task{}, fmt.Errorf("look for what is gone: %w", err))
		}
	}
}

// gaps are the objects of a place that made no document, as they are now.
func (j *Jobs) gaps(ctx context.Context, place Place, job storage.Job) iter.Seq2[task, error] {
	return func(yield func(task, error) bool) {
		filter := storage.GapFilter{Department: job.Department, Under: place.Source.URI(job.Prefix)}
		for cursor := ""; ; {
			gaps, next, err := j.registry.Gaps(ctx, storage.Everywhere(), filter, cursor, maxAhead)
			if err != nil {
				yield(task{}, err)
				return
			}
			for _, g := range gaps {
				key, ok := place.Source.Key(g.Source)
				if !ok || g.TriedAt.After(job.CreatedAt) {
					continue
				}
				t, there, err := j.look(ctx, place, said(job), key)
				t.SourceKey = g.SourceKey // even if the rules are others now
				if (err != nil || there) && !yield(t, err) || err != nil {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// look finds what is at a key now. What is not there any more is noted as gone.
func (j *Jobs) look(ctx context.Context, place Place, wanted Said, key string) (t task, there bool, err error) {
	o, err := j.stat(ctx, place, key)
	switch {
	case errors.Is(err, ErrChanged):
		return task{}, false, j.gone(ctx, place, key)
	case err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnavailable)):
		return task{}, false, fmt.Errorf("look at object: %w", err)
	case err != nil: // whoever opens it is refused, too, and says so
		o = Object{Key: key, Size: -1}
	}
	file, err := j.file(ctx, place, wanted, o)
	return task{file, o}, err == nil, err
}

// stat is Source.Stat that survives outages.
func (j *Jobs) stat(ctx context.Context, place Place, key string) (o Object, err error) {
	err = retry(ctx, j.registrar.outage, func() error {
		o, err = place.Source.Stat(ctx, key)
		return err
	})
	return o, err
}

// file is an object with what is said about it. Objects that did not change since they were
// registered stay where they are, so that their tags need not be asked for again.
func (j *Jobs) file(ctx context.Context, place Place, wanted Said, o Object) (File, error) {
	f := File{
		SourceKey: storage.SourceKey{Source: place.Source.URI(o.Key)}, Size: o.Size, Revision: j.registrar.Revision(o),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return place.Source.Open(ctx, o) },
	}
	put := func(s Said) File {
		f.Department, f.Classification, f.Collection = s.Department, s.Classification, s.Collection
		return f
	}
	if place.tagged() && !wanted.complete() {
		sources, err := j.registry.SourcesAt(ctx, f.Source)
		if err != nil {
			return File{}, err
		}
		for _, s := range sources {
			stands := Said{Department: s.Department, Collection: s.Collection}
			if s.GoneAt.IsZero() && hmac.Equal(s.Revision, f.Revision) && wanted.or(stands) == stands.or(wanted) {
				return put(wanted.or(stands).or(place.Said)), nil
			}
		}
	}
	said, err := place.say(o.Key, wanted, func() (tags map[string]string, err error) {
		err = retry(ctx, j.registrar.outage, func() error {
			tags, err = place.Source.Tags(ctx, o)
			return err
		})
		return tags, err
	})
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnavailable)) {
		return File{}, err
	}
	if err != nil { // nobody knows whose it is: it is not registered as anything else
		f.Open = func(context.Context) (io.ReadCloser, error) { return nil, err }
		said = wanted.or(place.Said)
	}
	return put(said), nil
}

// count counts the objects of a job, so that it can be told how long it will take. What goes
// wrong goes wrong for the job, too, which tells.
func (j *Jobs) count(ctx context.Context, place Place, run *run) {
	n, size := 0, int64(0)
	for o, err := range listed(ctx, place.Source, run.snapshot(time.Now()).Prefix, "", run.patience) {
		if err != nil || ctx.Err() != nil {
			return
		}
		if !o.isFolder() {
			n++
			size += o.Size
		}
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.job.Expected, run.job.ExpectedBytes = n, size
}

// ahead takes values from a sequence before they are asked for, at most n of them, so that
// the next page of a listing is there when it is its turn.
func ahead[T any](ctx context.Context, n int, values func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	type one struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		taken := make(chan one, n)
		go func() {
			defer close(taken)
			for value, err := range values(ctx) {
				select {
				case taken <- one{value, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		defer func() {
			cancel()
			for range taken { // until it has ended
			}
		}()
		for o := range taken {
			if !yield(o.value, o.err) {
				return
			}
		}
	}
}

// beyondCheckpoint returns the objects that an interrupted job had done although
// earlier ones were still on their way. They are among the last items: at most
// maxAhead were begun beyond the checkpoint, and between their commits came only
// objects that were fetched together with them. Without a checkpoint, all items
// count.
func (j *Jobs) beyondCheckpoint(ctx context.Context, job storage.Job) (map[string]bool, error) {
	const most = maxAhead + maxFetches
	done := map[string]bool{}
	last := int64(max(0, job.Listed-most))
	if job.Checkpoint == "" {
		last = 0
	}
	for last < int64(job.Listed) {
		items, err := j.registry.Items(ctx, job.ID, last, most)
		if err != nil {
			return nil, fmt.Errorf("read the last items of job %s: %w", job.ID, err)
		}
		if len(items) == 0 {
			break
		}
		for _, item := range items {
			done[item.Source] = true
		}
		last = items[len(items)-1].Sequence
	}
	return done, nil
}

// run is a job at work.
type run struct {
	source   Source
	patience time.Duration // with a source that has not answered yet
	cancel   context.CancelCauseFunc
	ended    chan struct{}
	ahead    chan struct{} // holds a token for each of begun

	mu  sync.Mutex
	job storage.Job
	// Objects that were begun, in order, from number first on; the checkpoint
	// follows the longest prefix of them that is complete.
	begun []begun
	first int64
	pace  pace
	// Once a key was not greater than the one before, keys say nothing about what
	// was listed, and there is no checkpoint any more.
	last      string
	unordered bool
}

type begun struct {
	key      string
	size     int64
	complete bool
}

func (r *run) id() storage.JobID {
	return r.job.ID // never changes
}

// reports reports whether the job has an item for a file. Nobody waits for what is
// scheduled: it tells only what it did.
func (r *run) reports(p *prepared) bool {
	return !r.job.Scheduled || !p.settled && p.result.Outcome != Unchanged
}

// answers reports whether the source says anything at all. If it does, an object
// that it does not give is one bad object.
func (r *run) answers(ctx context.Context) bool {
	for _, err := range r.source.List(ctx, r.snapshot(time.Now()).Prefix, "") {
		return ctx.Err() == nil && !errors.Is(err, ErrUnavailable)
	}
	return ctx.Err() == nil
}

// begin numbers an object, when the job is not too far ahead of its checkpoint;
// false if ctx ended before.
func (r *run) begin(ctx context.Context, o Object) (seq int64, ok bool) {
	select {
	case r.ahead <- struct{}{}:
	case <-ctx.Done():
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Key <= r.last {
		r.unordered, r.job.Checkpoint = true, ""
	}
	r.last = o.Key
	r.begun = append(r.begun, begun{key: o.Key, size: o.Size})
	return r.first + int64(len(r.begun)) - 1, true
}

// with is the job as it will stand once these files are committed. Nothing is
// counted before: if the commit fails, the checkpoint must not pass them.
func (r *run) with(files []*prepared, now time.Time) storage.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.withLocked(files, now)
}

func (r *run) withLocked(files []*prepared, now time.Time) storage.Job {
	job := r.snapshotLocked(now)
	done := map[int64]bool{}
	for _, p := range files {
		done[p.file.seq] = true
		job.Outcomes[string(p.result.Outcome)]++
		job.Listed++
		job.Bytes += r.begun[p.file.seq-r.first].size
	}
	for i, b := range r.begun {
		if !b.complete && !done[r.first+int64(i)] {
			break
		}
		if !r.unordered {
			job.Checkpoint = b.key
		}
	}
	return job
}

// complete counts files that are committed.
func (r *run) complete(files []*prepared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job = r.withLocked(files, r.job.UpdatedAt)
	r.job.Rate = r.pace.add(len(files), time.Now())
	for _, p := range files {
		r.begun[p.file.seq-r.first].complete = true
	}
	for len(r.begun) > 0 && r.begun[0].complete {
		r.begun = r.begun[1:]
		r.first++
		<-r.ahead
	}
}

// snapshot is the job as it stands.
func (r *run) snapshot(now time.Time) storage.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshotLocked(now)
}

func (r *run) snapshotLocked(now time.Time) storage.Job {
	job := r.job
	job.Outcomes = maps.Clone(r.job.Outcomes)
	job.UpdatedAt = now.UTC()
	return job
}

func isNotFound(err error) bool { return errors.Is(err, storage.ErrNotFound) }
