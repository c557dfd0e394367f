package ingest

import (
	"context"
	"crypto/hmac"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// What a document takes where too few are registered to tell. It is a guess: a paper of
// twenty pages, each with 4 KB of fingerprints, layout and what is said about it, some of
// which are scans.
const (
	usualBytes = 80_000 // of indexes and registry
	usualPace  = 5.0    // documents a second
	// enoughToTell is how many documents are.
	enoughToTell = 100
	// estimateStep is how often the progress of an estimate is stored, in objects.
	estimateStep = 5000
)

// estimate counts what a listing would register, without fetching anything.
func (j *Jobs) estimate(ctx context.Context, place Place, run *run) error {
	run.mu.Lock()
	run.job.Outcomes, run.job.Listed, run.job.Bytes = map[string]int{}, 0, 0 // it begins anew after a restart
	run.mu.Unlock()
	var e storage.Estimate
	objects := func(ctx context.Context) iter.Seq2[Object, error] {
		return listed(ctx, place.Source, run.snapshot(time.Now()).Prefix, "", maxOutageAtStart)
	}
	for o, err := range ahead(ctx, maxListedAhead, objects) {
		if err != nil {
			return fmt.Errorf("list source: %w", err)
		}
		if o.isFolder() {
			continue
		}
		outcome, err := j.would(ctx, place, o)
		if err != nil {
			return err
		}
		if outcome == Registered || outcome == Updated {
			e.Objects++
			e.Bytes += o.Size
		}
		run.mu.Lock()
		run.job.Outcomes[string(outcome)]++
		run.job.Listed++
		run.job.Bytes += o.Size
		step := run.job.Listed%estimateStep == 0
		run.mu.Unlock()
		if step {
			if err := j.registry.Commit(ctx, storage.Changes{Jobs: []storage.Job{run.snapshot(time.Now())}}); err != nil {
				return fmt.Errorf("store progress: %w", err)
			}
		}
	}
	size, pace, err := j.Usual(ctx, storage.Everywhere())
	if err != nil {
		return err
	}
	e.IndexBytes, e.Seconds = int64(float64(e.Objects)*size), float64(e.Objects)/pace
	run.mu.Lock()
	defer run.mu.Unlock()
	run.job.Estimate = e
	return context.Cause(ctx)
}

// would is what a listing would do with an object, as far as one can tell without its
// content.
func (j *Jobs) would(ctx context.Context, place Place, o Object) (Outcome, error) {
	sources, err := j.registry.SourcesAt(ctx, place.Source.URI(o.Key))
	if err != nil {
		return "", err
	}
	for _, s := range sources {
		if s.GoneAt.IsZero() && hmac.Equal(s.Revision, j.registrar.Revision(o)) {
			return Unchanged, nil
		}
	}
	switch {
	case o.Size > MaxFileBytes:
		return Failed, nil
	case len(sources) > 0:
		return Updated, nil
	}
	return Registered, nil
}

// Usual is how many bytes a document takes and how many of them are registered in a second,
// here and so far. Who does not see all departments is told what is usual elsewhere.
func (j *Jobs) Usual(ctx context.Context, scope storage.Scope) (size, pace float64, err error) {
	size, pace = usualBytes, usualPace
	if !scope.All() {
		return size, pace, nil
	}
	stats, err := j.registry.Stats(ctx)
	if err != nil {
		return 0, 0, err
	}
	texts, err := j.registrar.index.Stats(ctx)
	if err != nil {
		return 0, 0, err
	}
	pages, err := j.registrar.pages.Stats(ctx)
	if err != nil {
		return 0, 0, err
	}
	if stats.Documents >= enoughToTell {
		size = float64(stats.Bytes+texts.Bytes+pages.Bytes) / float64(stats.Documents)
	}
	jobs, _, err := j.registry.Jobs(ctx, storage.Everywhere(), false, "", maxJobs)
	if err != nil {
		return 0, 0, err
	}
	for _, job := range jobs { // the newest first
		n := job.Outcomes[string(Registered)] + job.Outcomes[string(Updated)]
		if took := job.EndedAt.Sub(job.CreatedAt).Seconds(); job.Kind == storage.JobListing && job.State == storage.JobDone && n >= enoughToTell && took > 0 {
			pace = float64(n) / took
			break
		}
	}
	return size, pace, nil
}

// pace is how many objects a second a job does, of late.
type pace struct {
	rate    float64
	since   time.Time
	pending int
}

// paceMemory is after how long what was done counts for a third.
const paceMemory = 30 * time.Second

// add counts objects that were done, and returns the rate; 0 until it can be told.
func (p *pace) add(n int, now time.Time) float64 {
	if p.since.IsZero() {
		p.since = now
		return 0
	}
	p.pending += n
	took := now.Sub(p.since)
	if took < time.Second {
		return p.rate
	}
	rate := float64(p.pending) / took.Seconds()
	if p.rate == 0 {
		p.rate = rate
	}
	p.rate += (rate - p.rate) * (1 - math.Exp(-took.Seconds()/paceMemory.Seconds()))
	p.since, p.pending = now, 0
	return p.rate
}
