package storage

import (
	"context"
	"time"
)

// Gap is a file that is not protected: it could not be fetched or not be read, and so
// made no document.
type Gap struct {
	SourceKey
	Outcome, Status, Reason string // of the last try, as in ingest
	// Revision is that of the object when it was tried; empty for uploads.
	Revision []byte
	Tries    int
	Since    time.Time // the first try that failed
	TriedAt  time.Time
}

// GapFilter selects gaps of a list; zero fields select all.
type GapFilter struct {
	Department string // a branch
	Under      string // what the source begins with
	Status     string
}

// Covered counts what is protected and what is not, in one department and with one status.
type Covered struct {
	Department string
	// Status is that of newest versions, or of gaps.
	Status    string
	Documents int   // that are not withdrawn
	Pages     int64 // of their newest versions
	Undrawn   int   // of these documents, with pages that are not known by their look
	Gone      int   // of these documents, whose sources are all gone
	Gaps      int
	Earlier   int // of these documents, of which something is kept under the previous key
}

// Notice is an object of a place that somebody said has changed.
type Notice struct {
	Sequence int64
	Place    string
	Key      string // as it was told, raw or URL-encoded
}

// Coverage keeps what is not protected and what is to be looked at again.
type Coverage interface {
	// Gap returns what is known about a file that made no document.
	Gap(ctx context.Context, key SourceKey) (Gap, error)

	// Gaps lists gaps in the order in which they began. Limit and cursors are as in
	// Documents.
	Gaps(ctx context.Context, scope Scope, filter GapFilter, cursor string, limit int) (gaps []Gap, next string, err error)

	// Coverage counts by department and status, ascending.
	Coverage(ctx context.Context, scope Scope) ([]Covered, error)

	// SourcesAfter lists the URIs of sources that begin with a prefix and are not gone, in
	// ascending order of their bytes, from after one on.
	SourcesAfter(ctx context.Context, prefix, after string, limit int) ([]string, error)

	// SourcesAt returns what was found at a URI last, in any department and collection.
	SourcesAt(ctx context.Context, uri string) ([]Source, error)

	// Gone notes that what was at a URI is not there any more, and forgets its gaps. It returns
	// the documents that are not withdrawn and have no other source left. A source that is
	// found again, by Commit, is not gone.
	Gone(ctx context.Context, uri string, at time.Time) ([]DocumentID, error)

	// Notice keeps what is to be looked at. The same object again is one notice, with a new
	// sequence.
	Notice(ctx context.Context, place string, keys []string) error

	// Notices lists what is to be looked at in a place, in the order of the sequence, after
	// one.
	Notices(ctx context.Context, place string, after int64, limit int) ([]Notice, error)

	// Noticed forgets notices that were looked at, unless they came again meanwhile.
	Noticed(ctx context.Context, notices []Notice) error
}
