package main

import (
	"fmt"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// engine stores postings in a folder. It may be used by several goroutines.
type engine interface {
	// load stores many documents by the fastest way that the engine has. When it
	// returns they are durable, and laid out as look-ups like them best.
	load(documents) error

	// append stores documents. When it returns they are durable.
	append(documents) error

	// lookup answers as the look-up of a [storage.Index] does, but may leave out
	// the totals.
	lookup(hashes []fingerprint.Hash, limit int) ([]storage.List, error)

	// merge does at once all the merging that would ever come. An engine that
	// does not merge answers [errors.ErrUnsupported].
	merge() error

	close() error
}

// contender is an engine that takes part.
type contender struct {
	name string
	// limit is the largest number of postings that it is measured with; zero
	// means any.
	limit int
	open  func(dir string) (engine, error)
}

func (c contender) takes(postings int) bool { return c.limit == 0 || postings <= c.limit }

var contenders = []contender{
	{name: "sealprint", open: openSealprint},
	{name: "pebble", open: openPebble},
	{name: "bbolt", open: openBolt, limit: 10_000_000},
}

func findContender(name string) (contender, error) {
	for _, c := range contenders {
		if c.name == name {
			return c, nil
		}
	}
	return contender{}, fmt.Errorf("no engine %q", name)
}

// loaders is how many goroutines a bulk load may use.
const loaders = 2

// partPostings is how many postings are sorted and stored together in a bulk
// load of an engine that wants them sorted.
const partPostings = 500_000
