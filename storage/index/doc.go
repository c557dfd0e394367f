// Package index is the embedded [storage.Index]: a log-structured store of
// fingerprints in one folder, for one process.
//
// # How it works
//
// Everything that the index knows stands in sorted runs. An Append sorts its
// sheets into a run in memory, writes them to the log, and publishes the run;
// the runs in memory are the memtable. When the memtable has reached its budget
// it is merged into a run on disk, a segment, and its log goes. Eight segments
// of about the same size are merged into one of the next size. A run in memory
// and a segment have the same format and the same code.
//
// Runs never change. A look-up takes the current view, the list of runs at one
// moment, and asks each of them; writers put together the next view and swap it
// in. Hence readers wait for nobody, and the sheets of one Append, being in one
// run, appear at once.
//
// Appends and Deletes that arrive while the disk is busy share the next frame of
// the log and its one sync. A Delete is a line in the log and a bit in the view;
// the postings go when their run is next merged, which comes early when a
// quarter of a segment is dead and at once with Compact. Which ordinals were
// deleted is kept for ever: an Append must not bring them back.
//
// # Files
//
//	MANIFEST      what the index consists of; replacing it is the one commit point
//	00000007.log  changes that are in no segment yet
//	00000005.seg  a segment
//	LOCK          held by the process that has the index open
//
// Logs and segments share one numbering. All integers are little-endian, all
// checksums are xxhash64: they find damage, not forgery. Logs and segments begin
// with magic (8 bytes), format version (4), and the checksum of these; a version
// above [FormatVersion] is refused. Files replace each other by the steps: write
// aside, sync, rename, sync the folder.
//
// The manifest is a line with format version and checksum, then JSON: the
// identity of the index, its [fingerprint.Params], the number of the last log
// that is in segments, the segments with their sizes, and all deleted ordinals
// as varint differences. What it does not name, a crash has left behind; Open
// removes it.
//
// # Log
//
// A log is a sequence of frames, each written and synced as one:
//
//	magic        4
//	length       4   of what follows the checksum
//	checksum     8   of the same
//	first        8   number of the first change in the frame
//	changes          one or more, numbered consecutively
//	  kind       1   1: append, 2: delete
//	  count      4
//	  append:        for each sheet ordinal 4, window 4, count 4, hashes 6 each
//	  delete:        for each ordinal 4
//
// That is 6 bytes a posting, for as long as it is not flushed. A last frame that
// is not whole was never acknowledged; Open cuts it off. A damaged frame before
// a sound one, or a gap in the numbers, is damage to acknowledged changes and an
// error of kind [storage.ErrCorrupt].
//
// # Segment
//
// A segment holds d documents and n postings. Its postings are numbered in the
// order of its document table, so that the number alone tells document and
// position: posting number p belongs to the first document whose end is above p,
// as its fingerprint number i = p - end of the document before, at position
// i × window.
//
//	preamble    20          magic, version, checksum
//	params                  JSON
//	documents   12 d        ordinal 4, window 4, end 4; ascending
//	rows         7 n + 1    ascending, so by hash, then document, then position
//	directory    4 (2^k+1)  number of the first row of each bucket
//	footer      80          d 4, n 4; length 8 and checksum 8 of each of the
//	                        four sections; checksum 8 of the footer
//
// A row is an integer of 56 bits. The directory has a bucket for each value of
// the first k bits of a hash, where n has k+8 bits; the row holds the other 48-k
// bits of the hash and, below them, the posting number in k+8 bits. The two
// always add up to 56: the more postings there are, the less of the hash is left
// to store. A bucket holds 128 to 256 rows on average, and since hashes come from
// a pseudo-random function the place of a row inside of it can be computed to
// within a cache line or two.
//
// Bytes for each posting, for documents of 2000:
//
//	row            7
//	directory      0.016 to 0.031
//	document       0.006
//	together       7.02 to 7.04
//
// A hundred thousand documents of 10 KB are 160 million postings and 1.1 GB. A
// merge needs room for its output beside its input, so that the folder takes at
// most twice that, and a log of the memtable's size.
//
// # Damage
//
// Opening verifies everything of a segment but its rows: a few milliseconds for a
// hundred million postings. A segment that does not pass, or is
// gone, is left aside: the others answer, and every Answer names it as missing.
// A merge compares the rows with their checksum before it copies them, and
// [Check] does so for all. A segment that turns out to be damaged while in use
// goes on answering, since a false posting or two decide nothing, but is named
// as well. [Forget] gives up a segment for good.
package index
