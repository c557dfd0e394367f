package index

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
)

const (
	// A cell is all hashes with the same first bits, a block 64 cells, and a frame at
	// most 256 blocks.
	blockBits = 6
	frameBits = blockBits + 8
	blockSize = 1 << blockBits

	// tagBits is how much of a hash stands in the head of a frame, behind what its
	// cell says: a hash that is not in the segment is taken for one that may be once
	// in 256 cells that are not empty.
	tagBits = 8

	// framePad follows the last frame, so that bits can be read by the word.
	framePad = 16
)

// shape says how many bits of a hash and of a posting number stand where in a
// segment of so many postings.
type shape struct {
	cellBits   int // of a hash: which cell it is in
	tailBits   int // of a hash: what is left behind cell and tag
	numberBits int // of a posting number, or of a list's number above those
}

func shapeFor(postings int) shape {
	cellBits := max(blockBits, bits.Len(uint(postings))-1)
	return shape{
		cellBits: cellBits,
		tailBits: fingerprint.HashBits - tagBits - cellBits,
		// A list has two postings at least.
		numberBits: bits.Len(uint(postings + postings/2)),
	}
}

// count is how many frames there are, and blocks how many blocks each has.
func (s shape) count() int  { return 1 << max(0, s.cellBits-frameBits) }
func (s shape) blocks() int { return 1 << (min(s.cellBits, frameBits) - blockBits) }

func (s shape) rowBits() int { return s.tailBits + s.numberBits }

func (s shape) frameOf(hash uint64) int {
	return int(hash >> (fingerprint.HashBits - s.cellBits) >> frameBits)
}

// frame is a line of the frame table.
type frame struct {
	at, end int // in the section of frames, where the head begins first
	first   int // row, in the segment
	rows    int
	bits    int // where its head would begin if it were that of the first block and row
	lists   int
	sum     uint64
}

// layout is where the other parts of a frame begin, in the section of frames.
type layout struct{ rows, starts, lists int }

func (s shape) layout(f frame) (l layout) {
	l.rows = f.at + (s.blocks()*blockSize+f.rows*(1+tagBits)+7)/8
	l.starts = l.rows + (f.rows*s.rowBits()+7)/8
	l.lists = l.starts + 4*f.lists
	return l
}

// bitWriter packs integers of any width up to 57 bits.
type bitWriter struct {
	b    []byte
	word uint64 // what does not fill a byte yet
	n    int
}

func (w *bitWriter) put(v uint64, width int) {
	w.word |= v << w.n
	w.n += width
	w.b = le.AppendUint64(w.b, w.word)
	w.b = w.b[:len(w.b)-8+w.n/8]
	w.word >>= w.n &^ 7
	w.n &= 7
}

// end fills the last byte up and returns all of them.
func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
	return w.b
}

func (w *bitWriter) reset() { w.b, w.word, w.n = w.b[:0], 0, 0 }

// frameWriter puts together one frame after the other.
type frameWriter struct {
	shape
	postings int // of the segment
	frame    int // the one that is being put together

	// directory is, for each block of the segment so far, how many rows stand before
	// it.
	directory []uint32
	before    int // rows of the frames before

	rows   int
	begun  int // blocks
	head   bitWriter
	body   bitWriter
	starts []uint32
	lists  []byte

	// The block that is being put together.
	cells []uint64
	tags  []byte
}

func newFrameWriter(s shape, postings int) frameWriter {
	return frameWriter{shape: s, postings: postings, directory: make([]uint32, 0, s.count()*s.blocks()+1)}
}

// add takes the next row of the frame.
func (w *frameWriter) add(hash uint64, numbers []uint32) {
	cell := hash >> (fingerprint.HashBits - w.cellBits)
	w.beginBlocks(int(cell>>blockBits)&(w.blocks()-1) + 1)
	// Cells are written as a zero for the end of each and, before it, a one for each
	// of its rows: row i of the block, in cell c, is the one at i + c.
	one := len(w.tags) + int(cell)&(blockSize-1)
	for one/64 >= len(w.cells) {
		w.cells = append(w.cells, 0)
	}
	w.cells[one/64] |= 1 << (one % 64)
	w.tags = append(w.tags, byte(hash>>w.tailBits))

	number := uint64(numbers[0])
	if len(numbers) > 1 {
		number = uint64(w.postings + len(w.starts))
		w.starts = append(w.starts, uint32(len(w.lists)))
		w.lists = appendList(w.lists, numbers)
	}
	w.body.put(hash&(1<<w.tailBits-1)|number<<w.tailBits, w.rowBits())
	w.rows++
}

// beginBlocks begins blocks of the frame until there are n.
func (w *frameWriter) beginBlocks(n int) {
	for ; w.begun < n; w.begun++ {
		if w.begun > 0 {
			w.endBlock()
		}
		w.directory = append(w.directory, uint32(w.before+w.rows))
	}
}

func (w *frameWriter) endBlock() {
	for at := 0; at < blockSize+len(w.tags); at += 32 {
		half := uint64(0)
		if at/64 < len(w.cells) {
			half = w.cells[at/64] >> (at % 64) & (1<<32 - 1)
		}
		w.head.put(half, min(32, blockSize+len(w.tags)-at))
	}
	for _, tag := range w.tags {
		w.head.put(uint64(tag), tagBits)
	}
	w.cells, w.tags = w.cells[:0], w.tags[:0]
}

// encode appends the frame and begins the next one.
func (w *frameWriter) encode(b []byte) []byte {
	w.beginBlocks(w.blocks())
	w.endBlock()
	b = append(b, w.head.end()...)
	b = append(b, w.body.end()...)
	for _, start := range w.starts {
		b = le.AppendUint32(b, start)
	}
	b = append(b, w.lists...)
	w.frame++
	w.before += w.rows
	w.rows, w.begun, w.starts, w.lists = 0, 0, w.starts[:0], w.lists[:0]
	w.head.reset()
	w.body.reset()
	return b
}

// appendList encodes posting numbers, two at least, as varints: how many there
// are, the first, and the differences.
func appendList(b []byte, numbers []uint32) []byte {
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	last := uint32(0)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n-last))
		last = n
	}
	return b
}

// list reads what appendList wrote.
type list struct {
	b      []byte
	left   int
	last   uint32
	single bool // last is all there is
	short  bool // it ended too soon
}

func openList(b []byte) list {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return list{short: true}
	}
	return list{b: b[size:], left: int(n)}
}

// next returns the next number; ok is false behind the last.
func (l *list) next() (number uint32, ok bool) {
	if l.left == 0 {
		return 0, false
	}
	if l.single {
		l.left = 0
		return l.last, true
	}
	gap, size := binary.Uvarint(l.b)
	if size <= 0 {
		l.short, l.left = true, 0
		return 0, false
	}
	l.b = l.b[size:]
	l.left--
	l.last += uint32(gap)
	return l.last, true
}

// word reads 64 bits from any place on.
func word(b []byte, bit int) uint64 {
	b = b[bit>>3:][:9]
	return le.Uint64(b)>>(bit&7) | uint64(b[8])<<(64-bit&7)
}

// selects holds, for each byte and each n, where its n-th one is.
var selects = func() (t [256][8]uint8) {
	for b := range t {
		n := 0
		for i := range uint8(8) {
			if b>>i&1 == 1 {
				t[b][n] = i
				n++
			}
		}
	}
	return t
}()

// selectOne is the place of the n-th one of a word that has more than n (Vigna,
// "Broadword implementation of rank/select queries", 2008).
func selectOne(x uint64, n int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	s := x - x>>1&0x5555555555555555
	s = s&0x3333333333333333 + s>>2&0x3333333333333333
	s = (s + s>>4) & 0x0f0f0f0f0f0f0f0f * ones                       // ones up to and with each byte
	before := 8 * bits.OnesCount64(((uint64(n)*ones|highs)-s)&highs) // bits of the bytes that end before it
	return before + int(selects[byte(x>>before)][n-int(byte(s<<8>>before))])
}

// probesAhead is how many searches go on together. Each waits for memory twice: for
// the directory, and for the head of a frame. Step by step, they wait at the same time.
const probesAhead = 64

// probe is a search for a hash that has only just begun.
type probe struct {
	head  int // bit at which the block begins
	row   int // first of the block, in the segment
	rows  int // of the block
	cells uint64
	// fetched is the end of the block. Nobody looks at it; it is read so that it is on
	// its way.
	fetched byte
}

// find visits the rows that hold any of the hashes.
func (s *segment) find(hashes []fingerprint.Hash, visit func(i int, numbers list) error) error {
	var probes [probesAhead]probe
	data, directory := s.section[sectionFrames], s.section[sectionDirectory]
	cellShift := fingerprint.HashBits - s.cellBits
	for first := 0; first < len(hashes); first += probesAhead {
		batch := hashes[first:min(first+probesAhead, len(hashes))]
		for i, h := range batch {
			block := int(h&(1<<fingerprint.HashBits-1)) >> cellShift >> blockBits
			pair := le.Uint64(directory[4*block:])
			p := &probes[i]
			p.row = int(uint32(pair))
			p.rows = int(pair>>32) - p.row
			p.head = s.frames[block>>(frameBits-blockBits)].bits + block*blockSize + p.row*(1+tagBits)
		}
		for i := range batch {
			p := &probes[i]
			p.cells = word(data, p.head)
			p.fetched = data[(p.head+blockSize+p.rows*(1+tagBits))>>3]
		}
		for i, h := range batch {
			if h>>fingerprint.HashBits != 0 {
				continue // no hash
			}
			row, ok := s.search(&probes[i], uint64(h))
			if !ok {
				continue
			}
			f := &s.frames[int(h>>cellShift>>frameBits)]
			if err := visit(first+i, s.list(f, row)); err != nil {
				return err
			}
		}
	}
	return nil
}

// search returns the posting number, or the list's number, in the row that holds
// the hash.
func (s *segment) search(p *probe, hash uint64) (number uint64, ok bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	lo, hi := s.cell(p, int(hash>>(fingerprint.HashBits-s.cellBits))&(blockSize-1))
	data := s.section[sectionFrames]
	for ; lo < hi; lo += 7 {
		// Seven tags at a time: a byte of x is zero where one is the same.
		at := p.head + blockSize + p.rows + lo*tagBits
		x := le.Uint64(data[at>>3:]) >> (at & 7)
		x ^= uint64(byte(hash>>s.tailBits)) * ones
		same := (x - ones) & ^x & highs & (1<<(8*min(7, hi-lo)) - 1)
		// The lowest bit is exact, those above may follow a borrow: the row decides.
		for ; same != 0; same &= same - 1 {
			row := s.row(&s.frames[hash>>(fingerprint.HashBits-s.cellBits)>>frameBits], p.row+lo+bits.TrailingZeros64(same)/8)
			if row&(1<<s.tailBits-1) == hash&(1<<s.tailBits-1) {
				return row >> s.tailBits, true
			}
		}
	}
	return 0, false
}

// cell returns which rows of a block are in its n-th cell.
func (s *segment) cell(p *probe, n int) (lo, hi int) {
	data := s.section[sectionFrames]
	at, zeros, w := 0, n, ^p.cells
	for k := bits.OnesCount64(w); zeros >= k; k = bits.OnesCount64(w) {
		zeros -= k
		if at += 64; at > p.rows+blockSize {
			return 0, 0 // damaged
		}
		w = ^word(data, p.head+at)
	}
	end := selectOne(w, zeros)
	hi = at + end - n
	if n == 0 {
		return 0, hi
	}
	// Where the cell before ends.
	for w &= 1<<end - 1; w == 0; {
		if at -= 64; at < 0 {
			return 0, 0 // damaged
		}
		w = ^word(data, p.head+at)
	}
	return at + bits.Len64(w) - n, hi
}

// row reads a row of a frame by its number in the segment.
func (s *segment) row(f *frame, row int) uint64 {
	bit := s.layout(*f).rows*8 + (row-f.first)*s.rowBits()
	return le.Uint64(s.section[sectionFrames][bit>>3:]) >> (bit & 7) & (1<<s.rowBits() - 1)
}

// list opens the list that a row of a frame refers to, or of the one posting number
// that stands in the row itself.
func (s *segment) list(f *frame, number uint64) list {
	i := int(number) - s.postings
	if i < 0 {
		return list{left: 1, last: uint32(number), single: true}
	}
	l := s.layout(*f)
	if i >= f.lists {
		return list{short: true}
	}
	data := s.section[sectionFrames]
	start := l.lists + int(le.Uint32(data[l.starts+4*i:]))
	if start > f.end {
		return list{short: true}
	}
	return openList(data[start:f.end])
}

// checkFrame compares a frame with its checksum, and before the first the directory
// with its own.
func (s *segment) checkFrame(i int) error {
	if i == 0 && !s.sound(sectionDirectory) {
		return damage(s.name, sectionNames[sectionDirectory])
	}
	f := &s.frames[i]
	s.readAhead(s.section[sectionFrames][f.at:f.end])
	if xxhash.Sum64(s.section[sectionFrames][f.at:f.end]) != f.sum {
		return damage(s.name, fmt.Sprintf("frame %d", i))
	}
	return nil
}

// cursor walks the rows in order. It compares every frame with its checksum
// before it reads it.
type cursor struct {
	*segment
	frame  int // the next one
	block  int // the next one
	hashes []uint64
	raw    []uint64 // posting numbers and numbers of lists
	at     int      // the next of the block's rows
	hash   uint64
	number uint64
	decode []uint32
	err    error
}

// next goes to the next row; false behind the last, or at damage.
func (c *cursor) next() bool {
	for c.at == len(c.hashes) {
		if c.err != nil || c.segment == nil || c.frame == len(c.frames) && c.block == c.blocks() {
			return false
		}
		if c.frame == 0 || c.block == c.blocks() {
			if c.err = c.checkFrame(c.frame); c.err != nil {
				return false
			}
			c.frame++
			c.block = 0
		}
		c.readBlock()
		c.block++
	}
	c.hash, c.number = c.hashes[c.at], c.raw[c.at]
	c.at++
	return true
}

func (c *cursor) readBlock() {
	data := c.section[sectionFrames]
	f := c.frames[c.frame-1]
	pair := le.Uint64(c.section[sectionDirectory][4*((c.frame-1)*c.blocks()+c.block):])
	row := int(uint32(pair))
	rows := int(pair>>32) - row
	head := f.at*8 + c.block*blockSize + (row-f.first)*(1+tagBits)
	if row < f.first || rows < 0 || row+rows > f.first+f.rows {
		c.err = damage(c.name, fmt.Sprintf("directory of frame %d", c.frame-1))
		rows = 0
	}
	c.at = 0
	c.hashes = slices.Grow(c.hashes[:0], rows)[:rows]
	c.raw = slices.Grow(c.raw[:0], rows)[:rows]
	first := uint64((c.frame-1)*c.blocks()+c.block) << blockBits
	i := 0
	for at := 0; i < rows && at < rows+blockSize; at += 64 {
		for w := word(data, head+at); w != 0 && i < rows; w &= w - 1 {
			cell := uint64(at + bits.TrailingZeros64(w) - i)
			tag := word(data, head+blockSize+rows+i*tagBits) & (1<<tagBits - 1)
			body := c.row(&f, row+i)
			c.hashes[i] = ((first+cell)<<tagBits|tag)<<c.tailBits | body&(1<<c.tailBits-1)
			c.raw[i] = body >> c.tailBits
			i++
		}
	}
	if i < rows {
		c.err = damage(c.name, fmt.Sprintf("cells of frame %d", c.frame-1))
		c.hashes, c.raw = c.hashes[:0], c.raw[:0]
	}
}

// numbers are the posting numbers of the row, ascending. They are valid up to the
// next call.
func (c *cursor) numbers() []uint32 {
	c.decode = c.decode[:0]
	l := c.list(&c.frames[c.frame-1], c.number)
	for {
		number, ok := l.next()
		if !ok {
			break
		}
		c.decode = append(c.decode, number)
	}
	if l.short {
		c.err = damage(c.name, fmt.Sprintf("list of frame %d", c.frame-1))
	}
	return c.decode
}
