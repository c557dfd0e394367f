package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

const (
	documentPostings = 500
	window           = fingerprint.Dense

	// freshShare is the share of fingerprints, in percent, that occur nowhere
	// else. The others are boilerplate: commonHashes fingerprints whose frequency
	// follows Zipf's law.
	freshShare   = 70
	commonHashes = 5_000_000

	maxHash = 1<<fingerprint.HashBits - 1
)

// The streams of random numbers. Each document and each query has its own, so
// that any of them can be made without those before it.
const (
	documentStream = 1 + iota
	absentStream
	presentStream
)

func stream(kind, number int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(kind), uint64(spread(number))))
}

// spread maps small numbers to hashes that look random, each to another: both
// steps can be undone.
func spread(i int) fingerprint.Hash {
	h := fingerprint.Hash(i) * 0x9e3779b97f4b & maxHash
	h ^= h >> 23
	return h * 0xbf58476d1ce5 & maxHash
}

func randomHash(rng *rand.Rand) fingerprint.Hash {
	return fingerprint.Hash(rng.Uint64() & maxHash)
}

// makeDocument makes a document of the load; the numbers begin at 0.
func makeDocument(number int) []fingerprint.Hash {
	rng := stream(documentStream, number)
	common := rand.NewZipf(rng, 1.05, 50, commonHashes-1)
	hashes := make([]fingerprint.Hash, documentPostings)
	for i := range hashes {
		if rng.IntN(100) < freshShare {
			hashes[i] = randomHash(rng)
		} else {
			hashes[i] = spread(int(common.Uint64()))
		}
	}
	return hashes
}

// makeQueries makes queries of so many absent fingerprints, and so many
// consecutive ones of one of the stored documents.
func makeQueries(n, absent, present, stored int) [][]fingerprint.Hash {
	queries := make([][]fingerprint.Hash, n)
	for i := range queries {
		rng := stream(absentStream, i)
		query := make([]fingerprint.Hash, absent, absent+present)
		for j := range query {
			query[j] = randomHash(rng)
		}
		rng = stream(presentStream, i)
		document := makeDocument(rng.IntN(stored))
		first := rng.IntN(documentPostings - present + 1)
		queries[i] = append(query, document[first:first+present]...)
	}
	return queries
}

// documents are consecutive documents of the load.
type documents struct {
	first  int // number of the first one
	hashes []fingerprint.Hash
}

func (d documents) len() int { return len(d.hashes) / documentPostings }

func (d documents) slice(from, to int) documents {
	return documents{d.first + from, d.hashes[from*documentPostings : to*documentPostings]}
}

// chunks cuts documents into pieces of n.
func (d documents) chunks(n int) iter.Seq[documents] {
	return func(yield func(documents) bool) {
		for from := 0; from < d.len(); from += n {
			if !yield(d.slice(from, min(from+n, d.len()))) {
				return
			}
		}
	}
}

// all yields the ordinal and the fingerprints of each document.
func (d documents) all() iter.Seq2[storage.Ordinal, []fingerprint.Hash] {
	return func(yield func(storage.Ordinal, []fingerprint.Hash) bool) {
		for i := range d.len() {
			if !yield(storage.Ordinal(d.first+i+1), d.slice(i, i+1).hashes) {
				return
			}
		}
	}
}

// writeLoad writes the first n documents of the load to a file.
func writeLoad(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for number := range n {
		if err := binary.Write(w, binary.NativeEndian, makeDocument(number)); err != nil {
			return fmt.Errorf("write load: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	// Were it left to the system, the load would be written while an engine is
	// measured.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write load: %w", err)
	}
	return nil
}

// mapLoad maps a file of writeLoad into memory, until the process ends. So the
// engines are not charged for making the load, nor for holding it.
func mapLoad(path string) (documents, error) {
	f, err := os.Open(path)
	if err != nil {
		return documents{}, fmt.Errorf("map load: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return documents{}, fmt.Errorf("map load: %w", err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return documents{}, fmt.Errorf("map load: %w", err)
	}
	hashes := unsafe.Slice((*fingerprint.Hash)(unsafe.Pointer(unsafe.SliceData(data))), len(data)/8)
	return documents{hashes: hashes}, nil
}
