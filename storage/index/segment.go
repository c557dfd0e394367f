package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sort"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// This file knows what stands where in a segment, and frame.go how a frame is
// laid out. The rest of the package writes a segment with a segmentWriter, looks
// hashes up in it with find, and walks it with a cursor.

const (
	documentSize = 12 // ordinal, window, end
	frameSize    = 24 // of a line of the frame table: length, rows, lists, checksum

	// maxPostings is as many as a 32-bit posting number can tell apart.
	maxPostings = math.MaxUint32

	// segBuffer is how much a segmentWriter collects before it writes.
	segBuffer = 256 << 10
)

// The sections of a segment in the order of the file.
const (
	sectionParams = iota
	sectionDocuments
	sectionFrames
	sectionDirectory
	sectionTable
	sections
)

var sectionNames = [sections]string{"params", "documents", "frames", "directory", "frame table"}

// footerSize is the size of a footer that speaks of n sections.
func footerSize(n int) int { return 4 + 4 + n*(8+8) + 8 }

// document is a line of the document table.
type document struct {
	ordinal storage.Ordinal
	window  uint32
	// end is one more than the posting number of the document's last posting;
	// the first is the end of the document before.
	end uint32
}

// segmentWriter writes a segment to a stream. The document table comes first
// and says how many postings follow.
type segmentWriter struct {
	w         io.Writer
	buf       []byte
	documents int
	postings  int
	added     int
	frames    frameWriter
	table     []byte

	sum     *xxhash.Digest
	length  uint64
	lengths [sections]uint64
	sums    [sections]uint64
	err     error
}

func newSegmentWriter(w io.Writer, params fingerprint.Params, documents []document) (*segmentWriter, error) {
	header, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("encode params: %w", err)
	}
	sw := &segmentWriter{w: w, documents: len(documents), sum: xxhash.New()}
	if n := len(documents); n > 0 {
		sw.postings = int(documents[n-1].end)
	}
	sw.frames = newFrameWriter(shapeFor(sw.postings), sw.postings)
	sw.buf = make([]byte, 0, 1<<10+min(segBuffer, 8*sw.postings))

	sw.buf = appendPreamble(sw.buf, segMagic)
	sw.write()
	sw.sum.Reset()
	sw.length = 0
	sw.buf = append(sw.buf, header...)
	sw.endSection(sectionParams)
	for _, d := range documents {
		sw.buf = le.AppendUint32(sw.buf, uint32(d.ordinal))
		sw.buf = le.AppendUint32(sw.buf, d.window)
		sw.buf = le.AppendUint32(sw.buf, d.end)
		if len(sw.buf) >= segBuffer {
			sw.write()
		}
	}
	sw.endSection(sectionDocuments)
	return sw, sw.err
}

// add writes the next row: a hash and its posting numbers. Hashes come in
// ascending order and none twice; so do the numbers of each.
func (sw *segmentWriter) add(hash uint64, numbers ...uint32) {
	for frame := sw.frames.frameOf(hash); sw.frames.frame < frame; {
		sw.endFrame()
	}
	sw.frames.add(hash, numbers)
	sw.added += len(numbers)
}

// endFrame writes the frame that is complete.
func (sw *segmentWriter) endFrame() {
	rows, lists := sw.frames.rows, len(sw.frames.starts)
	sw.buf = sw.frames.encode(sw.buf[:0])
	sw.table = le.AppendUint64(sw.table, uint64(len(sw.buf)))
	sw.table = le.AppendUint32(sw.table, uint32(rows))
	sw.table = le.AppendUint32(sw.table, uint32(lists))
	sw.table = le.AppendUint64(sw.table, xxhash.Sum64(sw.buf))
	sw.write()
}

// finish writes what follows the rows.
func (sw *segmentWriter) finish() error {
	for sw.frames.frame < sw.frames.count() {
		sw.endFrame()
	}
	sw.buf = append(sw.buf, make([]byte, framePad)...)
	sw.endSection(sectionFrames)
	for _, rows := range append(sw.frames.directory, uint32(sw.frames.before)) {
		if sw.buf = le.AppendUint32(sw.buf, rows); len(sw.buf) >= segBuffer {
			sw.write()
		}
	}
	sw.endSection(sectionDirectory)
	sw.buf = append(sw.buf, sw.table...)
	sw.endSection(sectionTable)

	sw.buf = le.AppendUint32(sw.buf, uint32(sw.documents))
	sw.buf = le.AppendUint32(sw.buf, uint32(sw.postings))
	for i := range sections {
		sw.buf = le.AppendUint64(sw.buf, sw.lengths[i])
		sw.buf = le.AppendUint64(sw.buf, sw.sums[i])
	}
	sw.buf = le.AppendUint64(sw.buf, xxhash.Sum64(sw.buf))
	sw.write()
	if sw.err == nil && sw.added != sw.postings {
		return fmt.Errorf("write segment: %d postings, the document table speaks of %d", sw.added, sw.postings)
	}
	return sw.err
}

func (sw *segmentWriter) write() {
	sw.sum.Write(sw.buf)
	sw.length += uint64(len(sw.buf))
	if sw.err == nil {
		_, sw.err = sw.w.Write(sw.buf)
	}
	sw.buf = sw.buf[:0]
}

func (sw *segmentWriter) endSection(section int) {
	sw.write()
	sw.lengths[section], sw.sums[section] = sw.length, sw.sum.Sum64()
	sw.length = 0
	sw.sum.Reset()
}

// segment is an immutable sorted run of postings, in a mapped file or in
// memory. Views share it; the last one to let go unmaps it.
type segment struct {
	name string
	disk disk // nil for a run in memory
	data []byte

	section   [][]byte
	sums      []uint64 // of the sections
	documents int
	postings  int
	shape
	frames      []frame
	first, last storage.Ordinal // of the documents
	owners      []uint32        // of the posting numbers i << ownerShift
	ownerShift  uint

	refs     atomic.Int64
	obsolete atomic.Bool // to be removed from disk when nobody reads it anymore
	damaged  atomic.Bool // found damaged while in use
}

// readFooter divides a segment's bytes into n sections and verifies the first two,
// params and the document table.
func readFooter(name string, data []byte, n int, params fingerprint.Params) (*segment, error) {
	size := footerSize(n)
	if len(data) < preambleSize+size {
		return nil, damage(name, "footer")
	}
	body, footer := data[preambleSize:len(data)-size], data[len(data)-size:]
	if xxhash.Sum64(footer[:size-8]) != le.Uint64(footer[size-8:]) {
		return nil, damage(name, "footer")
	}
	s := &segment{name: name, data: data}
	d := decoder{b: footer}
	s.documents, s.postings = int(d.uint32()), int(d.uint32())
	for range n {
		length, sum := d.uint64(), d.uint64()
		if length > uint64(len(body)) {
			return nil, damage(name, "footer")
		}
		s.section, s.sums = append(s.section, body[:length]), append(s.sums, sum)
		body = body[length:]
	}
	if len(body) != 0 || len(s.section[sectionDocuments]) != s.documents*documentSize {
		return nil, damage(name, "footer")
	}
	return s, s.checkTables(params)
}

// sound compares a section with its checksum.
func (s *segment) sound(section int) bool { return xxhash.Sum64(s.section[section]) == s.sums[section] }

func damage(segment, what string) error {
	return fmt.Errorf("segment %s: %s: %w", segment, what, storage.ErrCorrupt)
}

func (s *segment) checkTables(params fingerprint.Params) error {
	for _, i := range []int{sectionParams, sectionDocuments} {
		if !s.sound(i) {
			return damage(s.name, sectionNames[i])
		}
	}
	var made fingerprint.Params
	if err := json.Unmarshal(s.section[sectionParams], &made); err != nil {
		return damage(s.name, sectionNames[sectionParams])
	}
	if err := params.Check(made); err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	var before document
	for slot := range s.documents {
		d := s.document(slot)
		if slot > 0 && d.ordinal <= before.ordinal || d.end < before.end || fingerprint.Window(d.window).Validate() != nil {
			return damage(s.name, "order of documents")
		}
		before = d
	}
	if int(before.end) != s.postings {
		return damage(s.name, "number of postings")
	}
	if s.documents > 0 {
		s.first, s.last = s.document(0).ordinal, s.document(s.documents-1).ordinal
	}
	return nil
}

// decodeSegment makes a segment of its bytes. It verifies everything but the
// frames, whose reading would take as long as the file is large.
func decodeSegment(name string, data []byte, params fingerprint.Params) (*segment, error) {
	if err := checkPreamble(data, segMagic); err != nil {
		return nil, fmt.Errorf("segment %s: %w", name, err)
	}
	if preambleVersion(data) < FormatVersion {
		return nil, fmt.Errorf("segment %s: %w", name, errOlder)
	}
	s, err := readFooter(name, data, sections, params)
	if err != nil {
		return nil, err
	}
	table, data := s.section[sectionTable], s.section[sectionFrames]
	s.shape = shapeFor(s.postings)
	// A posting takes a byte at least, so that nobody allocates for more than there
	// is.
	if !s.sound(sectionTable) || len(table) != s.count()*frameSize || s.postings > len(data) ||
		len(s.section[sectionDirectory]) != 4*(s.count()*s.blocks()+1) {
		return nil, damage(name, sectionNames[sectionTable])
	}
	s.frames = make([]frame, s.count())
	at, rows := 0, 0
	for i := range s.frames {
		d := decoder{b: table[i*frameSize:]}
		length := d.uint64()
		f := frame{at: at, end: at + int(length), first: rows, rows: int(d.uint32()), lists: int(d.uint32()), sum: d.uint64()}
		if length > uint64(len(data)-at) || s.layout(f).lists > f.end {
			return nil, damage(name, sectionNames[sectionTable])
		}
		f.bits = f.at*8 - i*s.blocks()*blockSize - f.first*(1+tagBits)
		s.frames[i] = f
		at, rows = f.end, rows+f.rows
	}
	if len(data)-at != framePad {
		return nil, damage(name, sectionNames[sectionTable])
	}
	s.indexOwners()
	return s, nil
}

// openSegment maps a segment file.
func openSegment(d disk, name string, params fingerprint.Params) (s *segment, err error) {
	data, err := d.load(name)
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", name, err)
	}
	err = guard(func() error {
		s, err = decodeSegment(name, data, params)
		return err
	})
	if err != nil {
		d.unload(data)
		return nil, err
	}
	s.disk = d
	return s, nil
}

func (s *segment) retain() { s.refs.Add(1) }

func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		s.close()
	}
}

func (s *segment) close() {
	if s.disk == nil {
		return
	}
	s.disk.unload(s.data)
	s.data = nil
	if s.obsolete.Load() {
		// What cannot be removed now is removed when the index is opened.
		_ = s.disk.remove(s.name)
	}
}

func (s *segment) document(slot int) document {
	line := s.section[sectionDocuments][slot*documentSize:]
	return document{storage.Ordinal(le.Uint32(line)), le.Uint32(line[4:]), le.Uint32(line[8:])}
}

// start is the posting number of the document's first posting.
func (s *segment) start(slot int) uint32 {
	if slot == 0 {
		return 0
	}
	return le.Uint32(s.section[sectionDocuments][slot*documentSize-4:])
}

// size is how many postings a document has.
func (s *segment) size(slot int) int { return int(s.document(slot).end - s.start(slot)) }

// slot finds an ordinal in the document table.
func (s *segment) slot(ordinal storage.Ordinal) (int, bool) {
	if s.documents == 0 || ordinal < s.first || ordinal > s.last {
		return 0, false
	}
	slot := sort.Search(s.documents, func(i int) bool { return s.document(i).ordinal >= ordinal })
	return slot, s.document(slot).ordinal == ordinal
}

// owner is the slot of the document that a posting number belongs to. For a
// number that no document owns it is s.documents.
func (s *segment) owner(number uint32) int {
	if int(number) >= s.postings {
		return s.documents
	}
	table := s.section[sectionDocuments]
	near := number >> s.ownerShift
	lo, hi := int(s.owners[near]), int(s.owners[near+1])
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if le.Uint32(table[mid*documentSize+8:]) > number {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// indexOwners notes the owner of each posting number that is a multiple of about
// the postings of a document.
func (s *segment) indexOwners() {
	s.ownerShift = uint(bits.Len(uint(s.postings / max(1, s.documents))))
	s.owners = make([]uint32, s.postings>>s.ownerShift+2)
	slot := 0
	for i := range s.owners {
		for slot < s.documents && int(s.document(slot).end) <= i<<s.ownerShift {
			slot++
		}
		s.owners[i] = uint32(slot)
	}
}

// verify checks everything that can be checked about a segment that could be
// opened: that the frames are the ones written, in order, and name every posting
// number once.
func (s *segment) verify(ctx context.Context) error {
	return guard(func() error {
		seen := newBitmap(s.postings)
		all, rows, last := 0, 0, uint64(0)
		c := cursor{segment: s}
		for c.next() {
			if rows > 0 && c.hash <= last {
				return damage(s.name, fmt.Sprintf("order of frame %d", c.frame-1))
			}
			last = c.hash
			for _, number := range c.numbers() {
				if int(number) >= s.postings || seen.has(int(number)) {
					return damage(s.name, fmt.Sprintf("posting numbers of frame %d", c.frame-1))
				}
				seen.set(int(number))
				all++
			}
			if rows++; rows%yieldInterval == 0 {
				if err := yield(ctx); err != nil {
					return err
				}
			}
		}
		if c.err != nil {
			return c.err
		}
		// Only the padding has not been compared yet.
		if !s.sound(sectionFrames) {
			return damage(s.name, sectionNames[sectionFrames])
		}
		if all != s.postings {
			return damage(s.name, "number of postings")
		}
		return nil
	})
}

// newRun sorts sheets, which stand in ascending order of their ordinals, into
// a segment in memory.
func newRun(ctx context.Context, params fingerprint.Params, sheets []storage.Sheet) (*segment, error) {
	documents := make([]document, len(sheets))
	end := 0
	for i, sheet := range sheets {
		end += len(sheet.Hashes)
		documents[i] = document{sheet.Ordinal, uint32(sheet.Window), uint32(end)}
	}
	if end > maxPostings {
		return nil, fmt.Errorf("%d fingerprints at once, at most %d", end, uint32(maxPostings))
	}
	return newSegment(params, documents, func(sw *segmentWriter) error {
		return sortPostings(ctx, sheets, end, func(hash uint64, numbers []uint32) { sw.add(hash, numbers...) })
	})
}

// newSegment makes a segment in memory of what write adds.
func newSegment(params fingerprint.Params, documents []document, write func(*segmentWriter) error) (*segment, error) {
	var out memoryFile
	sw, err := newSegmentWriter(&out, params, documents)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(write(sw), sw.finish()); err != nil {
		return nil, err
	}
	return decodeSegment("memory", out, params)
}

// memoryFile is what a segment in memory is written to.
type memoryFile []byte

func (m *memoryFile) Write(b []byte) (int, error) {
	*m = append(*m, b...)
	return len(b), nil
}
