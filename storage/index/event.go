package index

import "time"

// Kind says what an [Event] reports.
type Kind string

// The kinds of event.
const (
	// Flushed: the memtable, or a large Append, became a segment.
	Flushed Kind = "flushed"
	// Merged: segments became one.
	Merged Kind = "merged"
	// Failed: a flush or a merge did not succeed. Nothing is lost; it is tried
	// again.
	Failed Kind = "failed"
	// Damaged: a segment is damaged or gone. The rest answers without it.
	Damaged Kind = "damaged"
	// Cut: the torn end of a log, never acknowledged, was passed over.
	Cut Kind = "cut"
	// Refused: the log could not be written. The index takes no more changes
	// until it is opened again.
	Refused Kind = "refused"
)

// Event is something that happened in the background and that an operator may
// want to know.
type Event struct {
	Kind     Kind
	File     string // which file it is about, without its folder
	Postings int    // how many were flushed or merged
	Bytes    int64  // how much was written or passed over
	Took     time.Duration
	Err      error
}
