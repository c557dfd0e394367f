package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Place is a configured source: where documents lie, and what is said about
// them unless a job says otherwise.
type Place struct {
	Name           string
	Source         Source
	Prefix         string // all keys begin with it
	Department     string
	Classification string
	Collection     string
}

// Request asks for a bulk registration.
type Request struct {
	// Source is the name of a place, or a URI below one.
	Source string
	// Prefix narrows the place further.
	Prefix string
	// What is said about the documents; empty fields are the place's own.
	Department, Classification, Collection string
	// Again asks for known objects to be read again where they could be read better.
	Again bool
}

// Jobs runs bulk registrations. Make one with [NewJobs].
type Jobs struct {
	registrar *Registrar
	registry  storage.Registry
	places    []Place
	log       *slog.Logger

	mu      sync.Mutex
	closed  bool
	running map[storage.JobID]*run
	wait    sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

// NewJobs goes on with the jobs that were running when the program last ended.
func NewJobs(ctx context.Context, registrar *Registrar, registry storage.Registry, places []Place, log *slog.Logger) (*Jobs, error) {
	j := &Jobs{registrar: registrar, registry: registry, places: places, log: log, running: map[storage.JobID]*run{}}
	j.ctx, j.stop = context.WithCancel(context.WithoutCancel(ctx))
	unfinished, _, err := registry.Jobs(ctx, storage.Everywhere(), true, "", maxJobs)
	if err != nil {
		return nil, fmt.Errorf("list unfinished jobs: %w", err)
	}
	for _, job := range unfinished {
		place, err := j.place(job.Source)
		if err != nil {
			job.State, job.Error, job.EndedAt = storage.JobFailed, err.Error(), time.Now().UTC()
			if err := registry.Commit(ctx, storage.Changes{Jobs: []storage.Job{job}}); err != nil {
				return nil, fmt.Errorf("end job %s: %w", job.ID, err)
			}
			continue
		}
		j.launch(place, job)
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
	place, prefix, err := j.resolve(r)
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
		ID: storage.JobID(storage.NewID("job")), Source: place.Name, Prefix: prefix, State: storage.JobRunning,
		Department: cmp.Or(r.Department, place.Department), Classification: cmp.Or(r.Classification, place.Classification),
		Collection: cmp.Or(r.Collection, place.Collection), Outcomes: map[string]int{}, CreatedAt: now, UpdatedAt: now, Again: r.Again,
	}
	for _, run := range j.running {
		switch running := run.snapshot(now); {
		case running.Source != job.Source || running.Prefix != job.Prefix:
		case running.Department != job.Department || running.Classification != job.Classification || running.Collection != job.Collection ||
			running.Again != job.Again:
			return storage.Job{}, false, fmt.Errorf("%w: the same source is being registered in another way", storage.ErrConflict)
		default:
			return running, false, nil
		}
	}
	if err := j.registry.Commit(ctx, storage.Changes{Jobs: []storage.Job{job}}); err != nil {
		return storage.Job{}, false, fmt.Errorf("store job: %w", err)
	}
	j.launchLocked(place, job)
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

func (j *Jobs) launch(place Place, job storage.Job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.launchLocked(place, job)
}

func (j *Jobs) launchLocked(place Place, job storage.Job) {
	ctx, cancel := context.WithCancelCause(j.ctx)
	run := &run{source: place.Source, job: job, cancel: cancel, ended: make(chan struct{}), ahead: make(chan struct{}, maxAhead)}
	run.job.Outcomes = maps.Clone(job.Outcomes)
	j.running[job.ID] = run
	j.wait.Add(1)
	go func() {
		defer j.wait.Done()
		defer close(run.ended)
		defer func() {
			j.mu.Lock()
			delete(j.running, job.ID)
			j.mu.Unlock()
		}()
		defer cancel(nil)
		err := j.run(ctx, place, run)
		j.finish(ctx, run, err)
	}()
}

// finish stores how a job ended. A job that the program's end stopped stays
// running in the registry.
func (j *Jobs) finish(ctx context.Context, run *run, err error) {
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

// run lists the source from the job's checkpoint on and registers what it finds.
func (j *Jobs) run(ctx context.Context, place Place, run *run) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	start := run.snapshot(time.Now())
	done, err := j.beyondCheckpoint(ctx, start)
	if err != nil {
		return err
	}
	slots := make(chan struct{}, maxFetches)
	var wait sync.WaitGroup
	for object, err := range listed(ctx, place.Source, start.Prefix, start.Checkpoint) {
		if err != nil {
			fail(fmt.Errorf("list source: %w", err))
			break
		}
		uri := place.Source.URI(object.Key)
		if strings.HasSuffix(object.Key, "/") && object.Size == 0 || done[uri] {
			continue // what some clients put in the place of a folder; or done before the program was interrupted
		}
		seq, ok := run.begin(ctx, object)
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
		file := File{
			SourceKey:      storage.SourceKey{Department: start.Department, Collection: start.Collection, Source: uri},
			Classification: start.Classification,
			Size:           object.Size,
			Revision:       j.registrar.Revision(object),
			Open:           func(ctx context.Context) (io.ReadCloser, error) { return place.Source.Open(ctx, object) },
			Again:          start.Again,
			job:            run,
			seq:            seq,
		}
		wait.Go(func() {
			defer func() { <-slots }()
			if _, err := j.registrar.Register(ctx, file); err != nil {
				fail(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
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
	source Source
	cancel context.CancelCauseFunc
	ended  chan struct{}
	ahead  chan struct{} // holds a token for each of begun

	mu  sync.Mutex
	job storage.Job
	// Objects that were begun, in order, from number first on; the checkpoint
	// follows the longest prefix of them that is complete.
	begun []begun
	first int64
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
