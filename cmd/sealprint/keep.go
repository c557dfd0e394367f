package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/sealprint/sealprint/storage/registry"
)

const (
	// keptDeliveries is how long it can be told what came of webhooks, and events be sent
	// again.
	keptDeliveries = 30 * 24 * time.Hour

	// forgetEvery is how often what is old is forgotten, and forgetAtOnce how many posts one
	// transaction removes: others write in between.
	forgetEvery  = time.Hour
	forgetAtOnce = 2000
)

// forget removes what has been kept long enough, until ctx ends.
func forget(ctx context.Context, r *registry.Registry, keep retention, log *slog.Logger) {
	for {
		if err := forgetOnce(ctx, r, keep, time.Now()); err != nil && ctx.Err() == nil {
			log.Error("what is old is not forgotten", "error", err)
		}
		select {
		case <-time.After(forgetEvery):
		case <-ctx.Done():
			return
		}
	}
}

func forgetOnce(ctx context.Context, r *registry.Registry, keep retention, now time.Time) error {
	for _, what := range []struct {
		age              time.Duration
		fingerprintsOnly bool
	}{{keep.Fingerprints, true}, {keep.Posts, false}} {
		for {
			n, err := r.ForgetPosts(ctx, now.Add(-what.age), what.fingerprintsOnly, forgetAtOnce)
			if err != nil {
				return err
			}
			if n < forgetAtOnce {
				break
			}
		}
	}
	return r.ForgetDeliveries(ctx, now.Add(-keptDeliveries))
}
