package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// A place is looked at again when it is time for a listing, and, object by object, when
// somebody tells that something has changed there. What is told is only where to look: it
// may be wrong, late, told twice or in another order, since what counts is what the place
// holds then. What is never told, the next listing finds.

// watcher waits for notices of a place.
type watcher struct {
	place Place
	wake  chan struct{}
}

const (
	// noticePage is how many notices are read at a time.
	noticePage = 500

	// noticePause is how long what could not be looked at waits, because the place or a store
	// did not answer.
	noticePause = 15 * time.Second
)

// watch has a place listed when it is time, and its notices looked at.
func (j *Jobs) watch(place Place) {
	w := &watcher{place: place, wake: make(chan struct{}, 1)}
	j.watchers[place.Name] = w
	j.wait.Go(func() { j.heed(w) })
	if place.Every <= 0 {
		return
	}
	j.wait.Go(func() {
		for j.ctx.Err() == nil {
			if _, _, err := j.Start(j.ctx, Request{Source: place.Name, scheduled: true}); err != nil && j.ctx.Err() == nil {
				j.log.Error("a source is not listed although it is time", "source", place.Name, "error", err)
			}
			select {
			case <-time.After(place.Every):
			case <-j.ctx.Done():
			}
		}
	})
}

// Source tells whose a place is, and which bucket it lies in; an error of kind
// storage.ErrNotFound if there is no place of the name.
func (j *Jobs) Source(place string) (department, bucket string, err error) {
	p, err := j.place(place)
	if err != nil {
		return "", "", err
	}
	bucket, _, _ = strings.Cut(strings.TrimPrefix(p.Source.URI(""), "s3://"), "/")
	return p.Department, bucket, nil
}

// Notice keeps that objects of a place may have changed, to be looked at soon. Keys may be
// URL-encoded, as most stores tell them. It returns how many of them are below the place's
// prefix; the others are ignored.
func (j *Jobs) Notice(ctx context.Context, place string, keys []string) (noticed int, err error) {
	p, err := j.place(place)
	if err != nil {
		return 0, err
	}
	var below []string
	for _, key := range keys {
		for _, k := range spellings(key) {
			if strings.HasPrefix(k, p.Prefix) {
				below = append(below, key)
				break
			}
		}
	}
	if len(below) == 0 {
		return 0, nil
	}
	if err := j.registry.Notice(ctx, place, below); err != nil {
		return 0, err
	}
	select {
	case j.watchers[place].wake <- struct{}{}:
	default:
	}
	return len(below), nil
}

// spellings are the keys that may be meant by one that was told.
func spellings(told string) []string {
	decoded, err := url.QueryUnescape(told)
	if err != nil || decoded == told {
		return []string{told}
	}
	return []string{decoded, told}
}

// heed looks at what was told about a place, until the jobs stop. Notices are forgotten when
// what they led to is durable.
func (j *Jobs) heed(w *watcher) {
	for after := int64(0); ; {
		notices, err := j.registry.Notices(j.ctx, w.place.Name, after, noticePage)
		if len(notices) > 0 {
			after = notices[len(notices)-1].Sequence
			err = j.lookAll(w, notices)
		}
		switch {
		case j.ctx.Err() != nil:
			return
		case err == nil && len(notices) > 0:
			continue
		}
		var again <-chan time.Time
		if err != nil {
			j.log.Warn("what was told about a source waits", "source", w.place.Name, "error", err)
			after, again = 0, time.After(noticePause)
		}
		select {
		case <-w.wake:
		case <-again:
		case <-j.ctx.Done():
			return
		}
	}
}

// lookAll looks at what notices are about, several at a time, and forgets those that it
// could look at.
func (j *Jobs) lookAll(w *watcher, notices []storage.Notice) error {
	slots := make(chan struct{}, maxFetches)
	var mu sync.Mutex
	var failed error
	var done []storage.Notice
	var wait sync.WaitGroup
	for _, n := range notices {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			var err error
			for _, key := range spellings(n.Key) {
				if strings.HasPrefix(key, w.place.Prefix) {
					err = errors.Join(err, j.takeNotice(w.place, key))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			done = append(done, n)
		})
	}
	wait.Wait()
	return errors.Join(failed, j.registry.Noticed(context.WithoutCancel(j.ctx), done))
}

// takeNotice registers what is at a key now, or notes that nothing is.
func (j *Jobs) takeNotice(place Place, key string) error {
	t, there, err := j.look(j.ctx, place, Said{}, key)
	if err != nil || !there {
		return err
	}
	result, err := j.registrar.Register(j.ctx, t.File)
	if err != nil {
		return fmt.Errorf("register object: %w", err)
	}
	j.log.Info("object was told of", "source", place.Name, "document", result.Document, "outcome", result.Outcome)
	return nil
}

// known follows, beside a listing, the sources that the registry knows. Those that the
// listing leaves out are not there any more. The registry lists them in the same order, that
// of their bytes; of a listing in another order it can tell nothing.
type known struct {
	jobs   *Jobs
	place  Place
	prefix string

	at        string // the last key of the listing
	unordered bool
	uris      []string // the next ones that are known
	drained   bool
}

// knownPage is how many known sources are read at a time.
const knownPage = 1000

// until goes on to a key that is listed, or to the end with the empty key.
func (k *known) until(ctx context.Context, key string) error {
	if k.unordered = k.unordered || key != "" && key <= k.at; k.unordered {
		return nil
	}
	for {
		if len(k.uris) == 0 && !k.drained {
			var err error
			after := ""
			if k.at != "" {
				after = k.place.Source.URI(k.at)
			}
			if k.uris, err = k.jobs.registry.SourcesAfter(ctx, k.place.Source.URI(k.prefix), after, knownPage); err != nil {
				return err
			}
			k.drained = len(k.uris) < knownPage
		}
		if len(k.uris) == 0 {
			break
		}
		next, ok := k.place.Source.Key(k.uris[0])
		if key != "" && next > key {
			break
		}
		k.uris, k.at = k.uris[1:], next
		if !ok || next == key {
			continue
		}
		if err := k.jobs.missed(ctx, k.place, next); err != nil {
			return err
		}
	}
	if key != "" {
		k.at = key
	}
	return nil
}

// missed looks at an object that a listing left out: it may have come back meanwhile, or the
// store may not list what it holds. That it refuses to tell does not mean that it is gone.
func (j *Jobs) missed(ctx context.Context, place Place, key string) error {
	_, err := j.stat(ctx, place, key)
	switch {
	case errors.Is(err, ErrChanged):
		return j.gone(ctx, place, key)
	case errors.Is(err, ErrUnavailable), ctx.Err() != nil:
		return err
	}
	return nil
}

// gone notes that an object is not there any more.
func (j *Jobs) gone(ctx context.Context, place Place, key string) error {
	left, err := j.registry.Gone(ctx, place.Source.URI(key), time.Now().UTC())
	if err != nil || !place.Withdraws {
		return err
	}
	for _, id := range left {
		if err := j.registrar.Withdraw(ctx, id); err != nil {
			return err
		}
		j.log.Info("document was withdrawn, since its source is gone", "source", place.Name, "document", id)
	}
	return nil
}
