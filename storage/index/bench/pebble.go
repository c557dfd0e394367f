package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// pebbleStore keeps the postings in Pebble, tuned for them.
type pebbleStore struct {
	dir     string
	options *pebble.Options
	db      *pebble.DB
}

func openPebble(dir string) (engine, error) {
	cache := pebble.NewCache(512 << 20)
	defer cache.Unref()
	// The comparer and the merger are the default ones: the one takes all of a key
	// for the prefix that Bloom filters know, the other concatenates values.
	options := &pebble.Options{
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 2, 2 },
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000, // never: to be slow and then catch up is faster
		Logger:                      quiet{},
	}
	for i := range options.Levels {
		level := &options.Levels[i]
		level.FilterPolicy = bloom.FilterPolicy(10)
		// Hashes do not compress.
		level.Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	options.EnsureDefaults() // for the tables that load writes
	db, err := pebble.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("open pebble: %w", err)
	}
	return &pebbleStore{dir, options, db}, nil
}

// load ingests sorted tables, which go to the lowest level without being
// written again.
func (e *pebbleStore) load(d documents) (err error) {
	stored, err := e.holdsAny()
	if err != nil {
		return fmt.Errorf("load pebble: %w", err)
	}
	dir, err := os.MkdirTemp(e.dir, "load-")
	if err != nil {
		return fmt.Errorf("load pebble: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	parts := partition(d, max(loaders, len(d.hashes)/partPostings))
	paths := make([]string, len(parts))
	var group errgroup.Group
	group.SetLimit(loaders)
	for i, part := range parts {
		paths[i] = filepath.Join(dir, fmt.Sprintf("%d.sst", i))
		group.Go(func() error {
			sortByHash(part)
			return e.writeTable(paths[i], part, stored)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load pebble: %w", err)
	}
	if err := e.db.Ingest(context.Background(), paths); err != nil {
		return fmt.Errorf("load pebble: %w", err)
	}
	return e.merge()
}

func (e *pebbleStore) holdsAny() (bool, error) {
	iter, err := e.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := iter.First()
	return found, iter.Close()
}

// writeTable writes sorted postings as a table. Where nothing is stored so far
// the lists are whole, and reading them need not merge them with others.
func (e *pebbleStore) writeTable(path string, postings []posting, stored bool) error {
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	const lowestLevel = 6
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), e.options.MakeWriterOptions(lowestLevel, e.db.TableFormat()))
	put := w.Set
	if stored {
		put = w.Merge
	}
	for key, value := range pairs(postings) {
		if err := put(key, value); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

func (e *pebbleStore) append(d documents) (err error) {
	postings := partition(d, 1)[0]
	sortByHash(postings)
	batch := e.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	for key, value := range pairs(postings) {
		if err := batch.Merge(key, value, nil); err != nil {
			return fmt.Errorf("append to pebble: %w", err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("append to pebble: %w", err)
	}
	return nil
}

// lookup seeks with one iterator. Only so Pebble asks the Bloom filters of the
// lowest level, where nearly all keys are; its Get does not.
func (e *pebbleStore) lookup(hashes []fingerprint.Hash, limit int) (_ []storage.List, err error) {
	iter, err := e.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, fmt.Errorf("look up in pebble: %w", err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	lists, err := lookupEach(hashes, limit, func(key []byte) ([]byte, error) {
		if !iter.SeekPrefixGE(key) {
			return nil, iter.Error()
		}
		return iter.ValueAndErr()
	})
	if err != nil {
		return nil, fmt.Errorf("look up in pebble: %w", err)
	}
	return lists, nil
}

func (e *pebbleStore) merge() error {
	first, beyond := make([]byte, keySize), bytes.Repeat([]byte{0xff}, keySize+1)
	if err := e.db.Compact(context.Background(), first, beyond, true); err != nil {
		return fmt.Errorf("compact pebble: %w", err)
	}
	return nil
}

func (e *pebbleStore) close() error {
	if err := e.db.Close(); err != nil {
		return fmt.Errorf("close pebble: %w", err)
	}
	return nil
}

// quiet is a logger that tells only what went wrong.
type quiet struct{}

func (quiet) Infof(string, ...any)                   {}
func (quiet) Errorf(format string, arguments ...any) { log.Printf(format, arguments...) }
func (quiet) Fatalf(format string, arguments ...any) { log.Fatalf(format, arguments...) }
