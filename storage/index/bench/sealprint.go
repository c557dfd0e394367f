package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
)

// bulkDocuments is how many documents a bulk registration appends at a time.
const bulkDocuments = 10_000

// sealprint is the index engine of Sealprint.
type sealprint struct{ ix *index.Index }

func openSealprint(dir string) (engine, error) {
	params := fingerprint.Params{Normalizer: 1, Classes: 1, Seed: "1101", KeyID: "bench"}
	ix, err := index.Open(dir, params, index.Options{})
	if err != nil {
		return nil, err
	}
	return sealprint{ix}, nil
}

// load appends batches that are large enough to become segments without the log.
func (e sealprint) load(d documents) error {
	var group errgroup.Group
	group.SetLimit(loaders)
	for chunk := range d.chunks(bulkDocuments) {
		group.Go(func() error { return e.append(chunk) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.merge()
}

func (e sealprint) append(d documents) error {
	sheets := make([]storage.Sheet, 0, d.len())
	for ordinal, hashes := range d.all() {
		sheets = append(sheets, storage.Sheet{Ordinal: ordinal, Window: window, Hashes: hashes})
	}
	return e.ix.Append(context.Background(), sheets)
}

func (e sealprint) lookup(hashes []fingerprint.Hash, limit int) ([]storage.List, error) {
	answer, err := e.ix.Lookup(context.Background(), hashes, limit)
	if err != nil {
		return nil, err
	}
	if len(answer.Missing) > 0 {
		return nil, fmt.Errorf("look up: parts of the index did not answer: %q", answer.Missing)
	}
	return answer.Lists, nil
}

func (e sealprint) merge() error { return e.ix.Compact(context.Background()) }

func (e sealprint) close() error { return e.ix.Close() }
