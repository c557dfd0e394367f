// Package storage is the contract between what sealprint knows and where it is
// kept. It holds no implementation: storage/index keeps fingerprints,
// storage/registry keeps everything that is said about documents, and
// storage/storagetest holds the one suite that every implementation passes.
//
// Two stores, one truth: the registry decides what exists. A document version
// is first appended to the index and then committed to the registry; a crash
// in between leaves fingerprints that no registered version owns, which
// look-ups ignore and the next start deletes.
package storage

import "errors"

// The kinds of error that storage answers with. Implementations wrap them with
// what was being done; callers test with errors.Is.
var (
	// ErrNotFound: no such thing, or not in the caller's scope; the two cannot
	// be told apart.
	ErrNotFound = errors.New("not found")
	// ErrConflict: what is stored already contradicts what was asked.
	ErrConflict = errors.New("conflict")
	// ErrCorrupt: stored bytes are damaged; the message names file and section.
	ErrCorrupt = errors.New("damaged")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("closed")
	// ErrFull: there is no room on the disk. Nothing that was stored is lost.
	ErrFull = errors.New("no room on the disk")
)
