package storage

import (
	"context"

	"github.com/sealprint/sealprint/fingerprint"
)

// Ordinal names one version of one document inside the index of texts, or one drawing
// inside the index of pages. The registry hands ordinals out in ascending order and
// never twice.
type Ordinal uint32

// Sheet is what the index keeps of one document version: its fingerprints in
// text order. The i-th of them was taken at normalized character i × Window,
// so positions cost nothing and reveal nothing.
type Sheet struct {
	Ordinal Ordinal
	Window  fingerprint.Window
	Hashes  []fingerprint.Hash
}

// Posting is one place at which a fingerprint stands.
type Posting struct {
	Ordinal Ordinal
	// Position is the offset of the gram in the document's normalized text, in
	// characters.
	Position uint32
	// Window is that of the sheet: the next fingerprint of the document stands so
	// many characters further on.
	Window fingerprint.Window
}

// List is what the index knows about one fingerprint.
type List struct {
	// Total counts the postings under the fingerprint. It may count postings of
	// deleted documents that no merge has collected yet.
	Total int
	// Postings are the first postings in ascending order of ordinal and
	// position, at most as many as the look-up's limit; fewer than Total means
	// that the list was cut.
	Postings []Posting
}

// Answer is the result of a look-up.
type Answer struct {
	// Lists stands in the order of the hashes asked for.
	Lists []List
	// Version names the state of the index that answered. The same question on
	// the same version gets the same lists. It changes with every Append and
	// Delete that changed something, and survives reopening.
	Version string
	// Postings counts the fingerprints that are stored, as Total counts those of a
	// list.
	Postings int64
	// Missing names the parts of the index (shards, damaged segments) that did
	// not answer. A look-up with missing parts is partial: that it found nothing
	// does not mean that nothing is there.
	Missing []string
}

// IndexStats describes an index.
type IndexStats struct {
	Documents int    // sheets that are stored and not deleted
	Postings  int64  // fingerprints of those sheets
	Bytes     int64  // on disk, log and all
	Segments  int    // immutable files
	Version   string // as in Answer
	Params    fingerprint.Params
}

// Index keeps the fingerprints of documents. All methods may be called
// concurrently; after Close they answer [ErrClosed].
type Index interface {
	// Append stores sheets. When it returns nil they are durable, and visible to
	// every Lookup that starts afterwards; when it returns an error none of them
	// is visible, and after reopening all are or none. A sheet whose ordinal is stored
	// already is left alone, so that repeating an Append changes nothing. An
	// ordinal that was deleted is not taken again: [ErrConflict]. A sheet with
	// no hashes is stored and counts as a document. Hashes wider than
	// fingerprint.HashBits and windows that do not validate are refused before
	// anything is stored.
	Append(ctx context.Context, sheets []Sheet) error

	// Lookup answers, for each hash, the postings of stored sheets under it, at
	// most limit of them for a hash. Sheets of one Append appear together. It
	// never waits for writers.
	Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*Answer, error)

	// Delete makes sheets invisible for ever. When it returns, that is durable.
	// Ordinals that are not stored are ignored.
	Delete(ctx context.Context, ordinals []Ordinal) error

	// Ordinals lists the stored sheets in ascending order, deleted ones left
	// out.
	Ordinals(ctx context.Context) ([]Ordinal, error)

	// Stats describes the index.
	Stats(ctx context.Context) (IndexStats, error)

	// Close releases the index. What was acknowledged stays durable.
	Close() error
}
