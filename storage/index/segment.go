package index

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// This file is all that knows how a segment is laid out. The rest of the
// package writes one with a segmentWriter, finds a hash in it with probe, finish
// and at, and walks it with a cursor.

const (
	rowSize      = 7  // bytes of a row
	rowBits      = 56 // the same in bits
	rowPad       = 1  // so that the last row, too, can be read as eight bytes
	documentSize = 12 // ordinal, window, end
	bucketBits   = rowBits - fingerprint.HashBits

	// maxPostings is as many as a 32-bit posting number can tell apart.
	maxPostings = math.MaxUint32

	// segBuffer is how much a segmentWriter collects before it writes.
	segBuffer = 256 << 10
)

// The sections of a segment in the order of the file.
const (
	sectionParams = iota
	sectionDocuments
	sectionRows
	sectionDirectory
	sections
)

var sectionNames = [sections]string{"params", "documents", "rows", "directory"}

const footerSize = 4 + 4 + sections*(8+8) + 8

// document is a line of the document table.
type document struct {
	ordinal storage.Ordinal
	window  uint32
	// end is one more than the posting number of the document's last posting;
	// the first is the end of the document before.
	end uint32
}

// shape says how the 56 bits of a row are shared out. With n postings the
// directory takes the first k bits of the hash, so that a row needs only the
// other 48-k, and a posting number needs k+8: whatever n is, a row has seven
// bytes and a bucket of the directory at most 256 rows on average.
type shape struct {
	directoryBits int
	suffixBits    int
	numberBits    int
}

func shapeFor(postings int) shape {
	k := max(0, bits.Len(uint(postings))-bucketBits)
	return shape{
		directoryBits: k,
		suffixBits:    fingerprint.HashBits - k,
		numberBits:    k + bucketBits,
	}
}

func (s shape) buckets() int { return 1 << s.directoryBits }

// segmentSize is the size of a segment in bytes, params left out.
func segmentSize(documents, postings int) int {
	return preambleSize + documents*documentSize + postings*rowSize + rowPad +
		(shapeFor(postings).buckets()+1)*4 + footerSize
}

// segmentWriter writes a segment to a stream. The document table comes first
// and says how many rows follow.
type segmentWriter struct {
	w         io.Writer
	buf       []byte
	documents int
	postings  int
	added     int
	shape
	directory []uint32
	bucket    int // rows up to and with this bucket's begin are accounted for

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
	sw.shape = shapeFor(sw.postings)
	sw.directory = make([]uint32, sw.buckets()+1)
	sw.buf = make([]byte, 0, min(segBuffer, segmentSize(sw.documents, sw.postings))+1<<10)

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
		sw.spill()
	}
	sw.endSection(sectionDocuments)
	return sw, sw.err
}

// add writes the next row. Rows come in ascending order of hash and number.
func (sw *segmentWriter) add(hash uint64, number uint32) {
	for bucket := int(hash >> sw.suffixBits); sw.bucket < bucket; {
		sw.bucket++
		sw.directory[sw.bucket] = uint32(sw.added)
	}
	row := hash&(1<<sw.suffixBits-1)<<sw.numberBits | uint64(number)
	sw.buf = le.AppendUint64(sw.buf, row)
	sw.buf = sw.buf[:len(sw.buf)-1]
	sw.added++
	sw.spill()
}

// finish writes what follows the rows.
func (sw *segmentWriter) finish() error {
	sw.buf = append(sw.buf, 0)
	sw.endSection(sectionRows)
	for sw.bucket < sw.buckets() {
		sw.bucket++
		sw.directory[sw.bucket] = uint32(sw.added)
	}
	for _, begin := range sw.directory {
		sw.buf = le.AppendUint32(sw.buf, begin)
		sw.spill()
	}
	sw.endSection(sectionDirectory)

	sw.buf = le.AppendUint32(sw.buf, uint32(sw.documents))
	sw.buf = le.AppendUint32(sw.buf, uint32(sw.postings))
	for i := range sections {
		sw.buf = le.AppendUint64(sw.buf, sw.lengths[i])
		sw.buf = le.AppendUint64(sw.buf, sw.sums[i])
	}
	sw.buf = le.AppendUint64(sw.buf, xxhash.Sum64(sw.buf))
	sw.write()
	if sw.err == nil && sw.added != sw.postings {
		return fmt.Errorf("write segment: %d rows, the document table speaks of %d", sw.added, sw.postings)
	}
	return sw.err
}

func (sw *segmentWriter) spill() {
	if len(sw.buf) >= segBuffer {
		sw.write()
	}
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
	path string // empty for a run in memory
	data []byte

	section   [sections][]byte
	sums      [sections]uint64
	documents int
	postings  int
	shape
	first, last storage.Ordinal // of the documents
	owners      []uint32        // of the posting numbers i << ownerShift
	ownerShift  uint

	refs     atomic.Int64
	obsolete atomic.Bool // to be removed from disk when nobody reads it anymore
	damaged  atomic.Bool // found damaged while in use
}

// decodeSegment makes a segment of its bytes. It verifies everything but the
// rows, whose reading would take as long as the file is large.
func decodeSegment(name string, data []byte, params fingerprint.Params) (*segment, error) {
	fail := func(what string) (*segment, error) {
		return nil, fmt.Errorf("segment %s: %s: %w", name, what, storage.ErrCorrupt)
	}
	if err := checkPreamble(data, segMagic); err != nil {
		return nil, fmt.Errorf("segment %s: %w", name, err)
	}
	if len(data) < preambleSize+footerSize {
		return fail("footer")
	}
	body, footer := data[preambleSize:len(data)-footerSize], data[len(data)-footerSize:]
	if xxhash.Sum64(footer[:footerSize-8]) != le.Uint64(footer[footerSize-8:]) {
		return fail("footer")
	}
	s := &segment{name: name, data: data}
	d := decoder{b: footer}
	s.documents, s.postings = int(d.uint32()), int(d.uint32())
	s.shape = shapeFor(s.postings)
	for i := range sections {
		length := d.uint64()
		s.sums[i] = d.uint64()
		if length > uint64(len(body)) {
			return fail(sectionNames[i])
		}
		s.section[i], body = body[:length], body[length:]
	}
	if len(body) != 0 ||
		len(s.section[sectionDocuments]) != s.documents*documentSize ||
		len(s.section[sectionRows]) != s.postings*rowSize+rowPad ||
		len(s.section[sectionDirectory]) != (s.buckets()+1)*4 {
		return fail("footer")
	}
	for _, i := range []int{sectionParams, sectionDocuments, sectionDirectory} {
		if xxhash.Sum64(s.section[i]) != s.sums[i] {
			return fail(sectionNames[i])
		}
	}
	var made fingerprint.Params
	if err := json.Unmarshal(s.section[sectionParams], &made); err != nil {
		return fail(sectionNames[sectionParams])
	}
	if err := params.Check(made); err != nil {
		return nil, fmt.Errorf("segment %s: %w", name, err)
	}
	if !s.tablesAscend() {
		return fail("order of documents or directory")
	}
	if s.documents > 0 {
		s.first, s.last = s.document(0).ordinal, s.document(s.documents-1).ordinal
	}
	s.indexOwners()
	return s, nil
}

// tablesAscend reports whether the document table and the directory are in
// order and speak of exactly the rows that are there.
func (s *segment) tablesAscend() bool {
	var before document
	for slot := range s.documents {
		d := s.document(slot)
		if slot > 0 && d.ordinal <= before.ordinal || d.end < before.end || fingerprint.Window(d.window).Validate() != nil {
			return false
		}
		before = d
	}
	if int(before.end) != s.postings || s.begin(0) != 0 || s.begin(s.buckets()) != s.postings {
		return false
	}
	for bucket := range s.buckets() {
		if s.begin(bucket) > s.begin(bucket+1) {
			return false
		}
	}
	return true
}

// openSegment maps a segment file.
func openSegment(dir, name string, params fingerprint.Params) (s *segment, err error) {
	path := filepath.Join(dir, name)
	data, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", name, err)
	}
	err = guard(func() error {
		s, err = decodeSegment(name, data, params)
		return err
	})
	if err != nil {
		unmapFile(data)
		return nil, err
	}
	// Look-ups touch a page here and a page there; reading ahead for them
	// would only push useful pages out. The advice may be declined.
	_ = unix.Madvise(data, unix.MADV_RANDOM)
	s.path = path
	return s, nil
}

func (s *segment) retain() { s.refs.Add(1) }

func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		s.close()
	}
}

func (s *segment) close() {
	if s.path == "" {
		return
	}
	unmapFile(s.data)
	s.data = nil
	if s.obsolete.Load() {
		// What cannot be removed now is removed when the index is opened.
		_ = os.Remove(s.path)
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

func (s *segment) count(slot int) int { return int(s.document(slot).end - s.start(slot)) }

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

func (s *segment) begin(bucket int) int {
	return int(le.Uint32(s.section[sectionDirectory][bucket*4:]))
}

func (s *segment) row(i int) uint64 {
	return le.Uint64(s.section[sectionRows][i*rowSize:]) & (1<<rowBits - 1)
}

// at is the posting number in row i.
func (s *segment) at(i int) uint32 {
	return uint32(s.row(i) & (1<<s.numberBits - 1))
}

// probe is a search for a hash that has only just begun.
type probe struct {
	lo, hi int // the bucket
	guess  int
	row    uint64 // at guess, if that is a row of the bucket
	target uint64 // the least row that the hash can have
	// fetched mixes rows on both sides of the guess. Nobody looks at it; they are
	// read so that the cache lines that finish needs are on their way.
	fetched uint64
}

// guessError is how many rows a guess is commonly off by, in a bucket of 256: a
// standard deviation of sqrt(256)/2.
const guessError = 8

// probe begins the search for a hash. Hashes are the output of a pseudo-random
// function and therefore evenly spread, so the place of one inside its bucket
// can be guessed to within a cache line or two.
func (s *segment) probe(hash uint64) (p probe) {
	if hash>>fingerprint.HashBits != 0 {
		return p
	}
	bucket := int(hash >> s.suffixBits)
	suffix := hash & (1<<s.suffixBits - 1)
	p.lo, p.hi = s.begin(bucket), s.begin(bucket+1)
	p.guess = p.lo + int(uint64(p.hi-p.lo)*suffix>>s.suffixBits)
	p.target = suffix << s.numberBits
	if p.guess < p.hi {
		p.row = s.row(p.guess)
		p.fetched = s.row(max(p.lo, p.guess-guessError)) ^ s.row(min(p.hi-1, p.guess+guessError))
	}
	return p
}

// finish returns the range of rows that hold the hash.
func (s *segment) finish(p probe) (lo, hi int) {
	lo = s.search(p, p.target, guessError)
	p.lo, p.guess = lo, lo
	if lo < p.hi {
		p.row = s.row(lo)
	}
	return lo, s.search(p, p.target+1<<s.numberBits, 1)
}

// search returns the first row of the bucket that is not below target, striding
// away from the guess until it is bracketed. A wrong guess costs twice the steps
// of a plain binary search.
func (s *segment) search(p probe, target uint64, step int) int {
	lo, hi, guess := p.lo, p.hi, p.guess
	if guess < hi && p.row < target {
		lo = guess + 1
		for ; lo+step < hi; step *= 2 {
			if s.row(lo+step) >= target {
				hi = lo + step
				break
			}
			lo += step + 1
		}
	} else {
		hi = guess
		for ; hi-step >= lo; step *= 2 {
			if s.row(hi-step) < target {
				lo = hi - step + 1
				break
			}
			hi -= step
		}
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s.row(mid) < target {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// cursor walks the rows in order.
type cursor struct {
	*segment
	next   int
	bucket int
}

// read returns the next row; ok is false behind the last.
func (c *cursor) read() (hash uint64, number uint32, ok bool) {
	if c.next >= c.postings {
		return 0, 0, false
	}
	for c.next >= c.begin(c.bucket+1) {
		c.bucket++
	}
	row := c.row(c.next)
	c.next++
	return uint64(c.bucket)<<c.suffixBits | row>>c.numberBits, uint32(row & (1<<c.numberBits - 1)), true
}

// verifyRows compares the rows with their checksum.
func (s *segment) verifyRows(ctx context.Context) error {
	if s.path != "" {
		_ = unix.Madvise(s.data, unix.MADV_SEQUENTIAL)
		defer unix.Madvise(s.data, unix.MADV_RANDOM)
	}
	sum := xxhash.New()
	for chunk := range slices.Chunk(s.section[sectionRows], 16<<20) {
		if err := ctx.Err(); err != nil {
			return err
		}
		sum.Write(chunk)
	}
	if sum.Sum64() != s.sums[sectionRows] {
		return fmt.Errorf("segment %s: rows: %w", s.name, storage.ErrCorrupt)
	}
	return nil
}

// verify checks everything that can be checked about a segment that could be
// opened: that the rows are the ones written, in order, and name every posting
// number once.
func (s *segment) verify(ctx context.Context) error {
	return guard(func() error {
		if err := s.verifyRows(ctx); err != nil {
			return err
		}
		seen := newBitmap(s.postings)
		var lastHash uint64
		var lastNumber uint32
		for c := (cursor{segment: s}); ; {
			hash, number, ok := c.read()
			if !ok {
				return nil
			}
			first := c.next == 1
			if int(number) >= s.postings || seen.has(int(number)) ||
				!first && (hash < lastHash || hash == lastHash && number <= lastNumber) {
				return fmt.Errorf("segment %s: order of row %d: %w", s.name, c.next-1, storage.ErrCorrupt)
			}
			seen.set(int(number))
			lastHash, lastNumber = hash, number
			if c.next%contextInterval == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
}

// newRun sorts sheets, which stand in ascending order of their ordinals, into
// a segment in memory.
func newRun(params fingerprint.Params, sheets []storage.Sheet) (*segment, error) {
	documents := make([]document, len(sheets))
	end := 0
	for i, sheet := range sheets {
		end += len(sheet.Hashes)
		documents[i] = document{sheet.Ordinal, uint32(sheet.Window), uint32(end)}
	}
	if end > maxPostings {
		return nil, fmt.Errorf("%d fingerprints at once, at most %d", end, uint32(maxPostings))
	}

	// The directory is the first step of the sort: rows go to their buckets,
	// and a bucket of some 200 integers sorts inside the processor's cache.
	sh := shapeFor(end)
	begins := make([]int, sh.buckets()+1)
	for _, sheet := range sheets {
		for _, h := range sheet.Hashes {
			begins[h>>sh.suffixBits+1]++
		}
	}
	for i := range sh.buckets() {
		begins[i+1] += begins[i]
	}
	rows := make([]uint64, end)
	fill := slices.Clone(begins)
	number := uint64(0)
	for _, sheet := range sheets {
		for _, h := range sheet.Hashes {
			bucket := h >> sh.suffixBits
			rows[fill[bucket]] = uint64(h)&(1<<sh.suffixBits-1)<<sh.numberBits | number
			fill[bucket]++
			number++
		}
	}

	var out bytes.Buffer
	out.Grow(segmentSize(len(documents), end) + 1<<10)
	sw, err := newSegmentWriter(&out, params, documents)
	if err != nil {
		return nil, err
	}
	for bucket := range sh.buckets() {
		rows := rows[begins[bucket]:begins[bucket+1]]
		slices.Sort(rows)
		for _, row := range rows {
			sw.add(uint64(bucket)<<sh.suffixBits|row>>sh.numberBits, uint32(row&(1<<sh.numberBits-1)))
		}
	}
	if err := sw.finish(); err != nil {
		return nil, err
	}
	return decodeSegment("memory", out.Bytes(), params)
}
