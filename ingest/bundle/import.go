package bundle

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// importing is how many entries are registered at a time: enough to share commits, few
// enough to be held in memory.
const importing = 8

// Registrar registers files; [ingest.Registrar] does.
type Registrar interface {
	Register(ctx context.Context, f ingest.File) (ingest.Result, error)
}

// Verify reads a bundle to its end, and returns how many entries it has. Errors are as those
// of [Read].
func Verify(r io.Reader, key *fingerprint.Key) (entries int, err error) {
	for _, err := range Read(r, key) {
		if err != nil {
			return 0, err
		}
		entries++
	}
	return entries, nil
}

// Import registers the entries of a bundle that was verified, and reports each, one at a
// time, in no order. It ends with the first error of a store.
func Import(ctx context.Context, r io.Reader, key *fingerprint.Key, registrar Registrar, said ingest.Said, report func(ingest.Result) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	slots := make(chan struct{}, importing)
	var reporting sync.Mutex
	var wait sync.WaitGroup
	for e, err := range Read(r, key) {
		if err != nil {
			fail(err)
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			result, err := registrar.Register(ctx, ingest.File{
				SourceKey:      storage.SourceKey{Department: said.Department, Collection: said.Collection, Source: e.Source},
				Classification: said.Classification, Size: e.Version.Size, Made: &e.Fingerprints,
			})
			if err == nil {
				reporting.Lock()
				defer reporting.Unlock()
				err = report(result)
			}
			if err != nil {
				fail(fmt.Errorf("register entry: %w", err))
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}
