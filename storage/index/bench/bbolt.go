package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// boltStore keeps the postings in one bucket of bbolt.
type boltStore struct{ db *bolt.DB }

var boltBucket = []byte("postings")

func openBolt(dir string) (engine, error) {
	db, err := bolt.Open(filepath.Join(dir, "postings.db"), 0o600, &bolt.Options{
		FreelistType: bolt.FreelistMapType,
		// When the file outgrows its mapping, writers wait for all readers.
		InitialMmapSize: 16 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("open bbolt: %w", err)
	}
	// Writers that arrive together share a transaction.
	db.MaxBatchSize, db.MaxBatchDelay = singleWriters, time.Millisecond
	return &boltStore{db}, nil
}

// load stores in the order of the keys, filling the pages, and syncs once.
func (e *boltStore) load(d documents) error {
	e.db.NoSync = true
	defer func() { e.db.NoSync = false }()
	for _, part := range partition(d, max(1, len(d.hashes)/partPostings)) {
		sortByHash(part)
		if err := e.db.Update(func(tx *bolt.Tx) error { return put(tx, part, 1) }); err != nil {
			return fmt.Errorf("load bbolt: %w", err)
		}
	}
	if err := e.db.Sync(); err != nil {
		return fmt.Errorf("load bbolt: %w", err)
	}
	return nil
}

func (e *boltStore) append(d documents) error {
	postings := partition(d, 1)[0]
	sortByHash(postings)
	if err := e.db.Batch(func(tx *bolt.Tx) error { return put(tx, postings, bolt.DefaultFillPercent) }); err != nil {
		return fmt.Errorf("append to bbolt: %w", err)
	}
	return nil
}

func put(tx *bolt.Tx, postings []posting, fill float64) error {
	bucket, err := tx.CreateBucketIfNotExists(boltBucket)
	if err != nil {
		return err
	}
	bucket.FillPercent = fill
	last, _ := bucket.Cursor().Last()
	last = bytes.Clone(last)
	for key, value := range pairs(postings) {
		// A bulk load into an empty bucket has nothing to look for.
		if bytes.Compare(key, last) <= 0 {
			if stored := bucket.Get(key); stored != nil {
				value = append(stored[:len(stored):len(stored)], value...)
			}
		}
		if err := bucket.Put(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (e *boltStore) lookup(hashes []fingerprint.Hash, limit int) (lists []storage.List, err error) {
	err = e.db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(boltBucket)
		lists, err = lookupEach(hashes, limit, func(key []byte) ([]byte, error) { return bucket.Get(key), nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up in bbolt: %w", err)
	}
	return lists, nil
}

func (e *boltStore) merge() error { return errors.ErrUnsupported }

func (e *boltStore) close() error {
	if err := e.db.Close(); err != nil {
		return fmt.Errorf("close bbolt: %w", err)
	}
	return nil
}
