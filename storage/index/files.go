package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/storage"
)

// FormatVersion is the version of the layout that this package writes and the
// newest that it reads.
//
//	1: rows of seven bytes behind a directory of hash prefixes
//	2: frames of cells, tags and rows, and lists
const FormatVersion = 2

const (
	manifestName = "MANIFEST"
	lockName     = "LOCK"
	logSuffix    = ".log"
	segSuffix    = ".seg"
	tempSuffix   = ".tmp"

	segMagic = "sealpseg"
	logMagic = "sealplog"

	// preambleSize is what every log and segment begins with, in this and every
	// later version: magic, version, and the checksum of those two, so that a
	// newer file can be told from a damaged one.
	preambleSize = 8 + 4 + 8

	// hashSize is the width of a stored hash, fingerprint.HashBits in bytes.
	hashSize = 6
)

// errNewer marks files written by a later version of this package, and errOlder
// segments written by an earlier one.
var (
	errNewer = errors.New("written in a newer format")
	errOlder = errors.New("written in an older format")
)

var le = binary.LittleEndian

func appendPreamble(b []byte, magic string) []byte {
	start := len(b)
	b = append(b, magic...)
	b = le.AppendUint32(b, FormatVersion)
	return le.AppendUint64(b, xxhash.Sum64(b[start:]))
}

func checkPreamble(b []byte, magic string) error {
	if len(b) < preambleSize || string(b[:8]) != magic || xxhash.Sum64(b[:12]) != le.Uint64(b[12:]) {
		return fmt.Errorf("preamble: %w", storage.ErrCorrupt)
	}
	return checkFormat(preambleVersion(b))
}

// preambleVersion is the format version of a file whose preamble is sound.
func preambleVersion(b []byte) uint32 { return le.Uint32(b[8:]) }

func checkFormat(version uint32) error {
	switch {
	case version > FormatVersion:
		return fmt.Errorf("%w: version %d, this program reads up to %d", errNewer, version, FormatVersion)
	case version < 1:
		return fmt.Errorf("format version %d: %w", version, storage.ErrCorrupt)
	}
	return nil
}

// fileName is the name of the log or segment with a number.
func fileName(number uint64, suffix string) string {
	return fmt.Sprintf("%08d%s", number, suffix)
}

// fileNumber is the reverse of fileName; ok is false for any other name.
func fileNumber(name, suffix string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) < 8 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// guard runs f over mapped memory. A page that can no longer be read (the
// medium failed, somebody cut the file) and a value that points outside of its
// section both end f with an error of kind storage.ErrCorrupt; neither may end
// the process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(runtime.Error)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%w: %v", storage.ErrCorrupt, fault)
		}
	}()
	return f()
}

// decoder takes fixed-width values from the front of b. Once b is too short
// every further value is zero and short is set.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.b, d.short = nil, true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

// count reads the number of items that follow, each of at least size bytes; a
// number that the rest cannot hold is refused before anyone allocates for it.
func (d *decoder) count(size int) int {
	n := int(d.uint32())
	if n > len(d.b)/size {
		d.b, d.short = nil, true
		return 0
	}
	return n
}
