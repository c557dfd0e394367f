// Package index is the embedded [storage.Index]: a log-structured store of
// fingerprints in one folder, for one process.
//
// # How it works
//
// Everything that the index knows stands in sorted runs. An Append sorts its
// sheets into a run in memory, writes them to the log, and publishes the run;
// the runs in memory are the memtable. When the memtable has reached its budget
// it is merged into a run on disk, a segment, and its log goes; unless it is small,
// so it does once nothing has come for a while. Eight segments of about the same
// size are merged into one of the next size. A run in memory and a segment have the
// same format and the same code.
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
// is not whole was never acknowledged, and is passed over. A damaged frame before
// a sound one, or a gap in the numbers, is damage to acknowledged changes and an
// error of kind [storage.ErrCorrupt]. Open flushes the logs that it finds and begins
// a new one: behind a frame whose sync failed nothing must be written.
//
// An Append that would fill a quarter of the memtable goes into a segment at once.
// The manifest counts such Appends, since the numbers in the log do not.
//
// # Segment
//
// A segment holds d documents and n postings. Its postings are numbered in the
// order of its document table, so that the number alone tells document and
// position: posting number p belongs to the first document whose end is above p,
// as its fingerprint number i = p - end of the document before, at position
// i × window.
//
//	preamble    20        magic, version, checksum
//	params                JSON
//	documents   12 d      ordinal 4, window 4, end 4; ascending
//	frames                below; 16 bytes of padding at the end
//	directory   4 (b+1)   for each of b blocks, how many rows stand before it
//	frame table 24 f      for each of f frames: length 8, rows 4, lists 4, checksum 8
//	footer      96        d 4, n 4; length 8 and checksum 8 of each of the
//	                      five sections; checksum 8 of the footer
//
// Every hash that occurs has one row. Rows are sorted by hash, and of a hash only
// those bits are stored that its place does not tell (quotienting: Cleary, "Compact
// hash tables using bidirectional linear probing", 1984; Elias and Fano did the same
// for sorted integers). Let n have c+1 bits. The first c bits of a hash, six at least,
// are its cell: there are about as many cells as rows. The next 8 bits are its tag, and
// the other 40-c its tail. 64 cells are a block, and 256 blocks a frame, or as many as
// there are. In a frame, packed bit by bit:
//
//	head    for each block its cells, then its tags
//	  cells   a one for each row and a zero for the end of each cell
//	  tags    8 bits for each row
//	rows    for each row its tail and, above it, a number
//	starts  for each list 4 bytes: where it begins
//	lists   how many postings, the first posting number, the differences: varints
//
// The number in a row is a posting number, if it is below n: most fingerprints stand in
// one place. Otherwise it is n and the number of a list of the frame. It has as many
// bits as 3n/2.
//
// The head is the filter for what is absent, and costs nothing extra, since a row
// need not repeat what it says: a hash that is not in the segment has a tag of its cell
// in common with it one time in 256, and only then a row is looked at. A look-up reads
// the directory and a cache line or two of a head, and the row of what is there. It
// does so for 64 fingerprints at a time, step by step, so that they wait for memory
// together. How often a fingerprint occurs stands at the front of its list.
//
// Bytes for each posting, for fifty million of which three quarters are distinct
// (documents of 2000 fingerprints, three in ten of them drawn from five million
// common ones: BenchmarkLookup with -postings 50000000):
//
//	rows         3.90    0.743 rows of 42 bits
//	head         0.92
//	lists        0.81    of three in ten postings, in 0.019 lists
//	starts       0.07
//	directory    0.04
//	documents    0.006
//	frame table  0.001
//	together     5.76
//
// A hundred thousand documents of 10 KB are 160 million postings and 0.9 GB. A
// merge needs room for its output beside its input, so that the folder takes at
// most twice that, and a log of the memtable's size. In memory a merge holds the
// document tables, the directory, one frame and the longest list.
//
// # Damage
//
// Opening verifies everything of a segment but its frames and their directory, which
// takes as long for a large one as for a small one. A segment that does not pass, or
// is gone, is left aside: the others answer, and every Answer names it as missing. A
// merge compares the directory and each frame with their checksums before it copies
// from them, and [Check] does so for all. A segment that turns out to be damaged while
// in use goes on answering, since a false posting or two decide nothing, but is named
// as well. Look-ups compare nothing with checksums; so that damage does not hide what
// was there for long, everything is read when an index is opened, in the background
// and slowly, and again every day. [Forget] gives up a segment for good.
//
// # Versions
//
// Version 1 had a row of seven bytes for every posting and no filter. Open writes its
// segments anew (version1.go); logs have not changed.
package index
