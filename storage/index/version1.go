package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Segments of format version 1 are read by this file alone. It knows them well
// enough to write them anew.
//
// They have the same preamble, params, document table and footer as today's. In
// between stand rows of 56 bits, one for each posting, ascending, and a directory
// with the number of the first row of each bucket. With n postings, n having k+8
// bits, the first k bits of a hash are the number of its bucket; a row is the other
// 48-k bits and, below them, the posting number in k+8 bits.
const (
	rowSizeV1   = 7
	rowPadV1    = 1
	bucketBits1 = 8

	sectionRowsV1      = 2
	sectionDirectoryV1 = 3
	sectionsV1         = 4
)

// migrate writes the segments of older versions anew. One that is damaged stays, and
// is left aside like any other that is.
func (ix *Index) migrate() error {
	next := ix.manifest
	next.Segments = nil
	var old []string
	for _, entry := range ix.manifest.Segments {
		s, err := ix.migrateSegment(entry)
		if err != nil && !errors.Is(err, storage.ErrCorrupt) && !os.IsNotExist(err) {
			return fmt.Errorf("migrate segment %s: %w", entry.name(), err)
		}
		if s != nil {
			old = append(old, entry.name())
			entry = manifestSegment{ix.lastNumber, int64(len(s.data)), s.documents, s.postings}
			s.close()
		}
		next.Segments = append(next.Segments, entry)
	}
	if old == nil {
		return nil
	}
	if err := next.commit(ix.disk); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	ix.manifest = next
	for _, name := range old {
		// What cannot be removed now is removed when the index is next opened.
		_ = ix.disk.remove(name)
	}
	return nil
}

// migrateSegment returns the new segment, nil if it need not be.
func (ix *Index) migrateSegment(entry manifestSegment) (migrated *segment, err error) {
	err = readV1(ix.disk, entry.name(), ix.params, func(s *segment) error {
		ix.lastNumber++
		migrated, err = ix.writeSegment(context.Background(), nil, fileName(ix.lastNumber, segSuffix), ix.rows(s.allDocuments(), s.copyV1))
		return err
	})
	return migrated, err
}

// verifyV1 checks everything that can be checked about a segment.
func verifyV1(d disk, name string, params fingerprint.Params) (verified *segment, err error) {
	err = readV1(d, name, params, func(s *segment) error {
		sw, err := newSegmentWriter(io.Discard, params, s.allDocuments())
		if err != nil {
			return err
		}
		verified = s
		return errors.Join(s.copyV1(sw), sw.finish())
	})
	return verified, err
}

// readV1 visits a segment if it is of version 1.
func readV1(d disk, name string, params fingerprint.Params, visit func(*segment) error) error {
	data, err := d.load(name)
	if err != nil {
		return err
	}
	defer d.unload(data)
	return guard(func() error {
		if err := checkPreamble(data, segMagic); err != nil || preambleVersion(data) > 1 {
			return err
		}
		s, err := decodeV1(name, data, params)
		if err != nil {
			return err
		}
		return visit(s)
	})
}

func (s *segment) allDocuments() []document {
	all := make([]document, s.documents)
	for slot := range all {
		all[slot] = s.document(slot)
	}
	return all
}

// decodeV1 verifies all of a segment but the order of its rows.
func decodeV1(name string, data []byte, params fingerprint.Params) (*segment, error) {
	s, err := readFooter(name, data, sectionsV1, params)
	if err != nil {
		return nil, err
	}
	rows, directory := s.section[sectionRowsV1], s.section[sectionDirectoryV1]
	if len(rows) != s.postings*rowSizeV1+rowPadV1 || !s.sound(sectionRowsV1) {
		return nil, damage(name, "rows")
	}
	k := max(0, numberBitsV1(s.postings)-bucketBits1)
	if len(directory) != (1<<k+1)*4 || !s.sound(sectionDirectoryV1) {
		return nil, damage(name, "directory")
	}
	return s, nil
}

func numberBitsV1(postings int) int {
	return max(bucketBits1, bits.Len(uint(postings)))
}

// copyV1 writes the rows.
func (s *segment) copyV1(sw *segmentWriter) error {
	rows, directory := s.section[sectionRowsV1], s.section[sectionDirectoryV1]
	numberBits := numberBitsV1(s.postings)
	suffixBits := fingerprint.HashBits - (numberBits - bucketBits1)
	var last uint64
	var numbers []uint32
	bucket := 0
	for i := range s.postings {
		for i >= int(le.Uint32(directory[4*(bucket+1):])) {
			bucket++
		}
		row := le.Uint64(rows[i*rowSizeV1:]) & (1<<(8*rowSizeV1) - 1)
		hash := uint64(bucket)<<suffixBits | row>>numberBits
		number := uint32(row & (1<<numberBits - 1))
		if len(numbers) > 0 && hash != last {
			sw.add(last, numbers...)
			numbers = numbers[:0]
		}
		if hash < last || len(numbers) > 0 && number <= numbers[len(numbers)-1] || int(number) >= s.postings {
			return damage(s.name, fmt.Sprintf("order of row %d", i))
		}
		last, numbers = hash, append(numbers, number)
	}
	if len(numbers) > 0 {
		sw.add(last, numbers...)
	}
	return nil
}
