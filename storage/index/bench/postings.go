package main

import (
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// What Pebble and bbolt have in common: a key for each hash, and as its value
// the list of the postings.

const keySize = fingerprint.HashBits / 8

// posting is a posting on its way into an engine.
type posting struct {
	hash     fingerprint.Hash
	ordinal  storage.Ordinal
	position uint32
}

// partition distributes the postings of documents over ranges of hashes, of
// about the same size each. Postings of one hash keep the order of the
// documents.
func partition(d documents, parts int) [][]posting {
	part := func(h fingerprint.Hash) int { return int(uint64(h) * uint64(parts) >> fingerprint.HashBits) }
	ends := make([]int, parts)
	for _, h := range d.hashes {
		ends[part(h)]++
	}
	all := make([]posting, len(d.hashes))
	ranges := make([][]posting, parts)
	start := 0
	for i, n := range ends {
		ranges[i] = all[start : start+n]
		ends[i] = start
		start += n
	}
	for ordinal, hashes := range d.all() {
		for i, h := range hashes {
			end := &ends[part(h)]
			all[*end] = posting{h, ordinal, uint32(i) * uint32(window)}
			*end++
		}
	}
	return ranges
}

// sortByHash is a radix sort by the bytes of the hash. It is stable, so
// postings of one hash keep their order.
func sortByHash(postings []posting) {
	from, to := postings, make([]posting, len(postings))
	for shift := 0; shift < fingerprint.HashBits; shift += 8 {
		var next [256]int
		for i := range from {
			next[byte(from[i].hash>>shift)]++
		}
		start := 0
		for b, n := range next {
			next[b] = start
			start += n
		}
		for i := range from {
			b := byte(from[i].hash >> shift)
			to[next[b]] = from[i]
			next[b]++
		}
		from, to = to, from // six times, so that the last one goes to postings
	}
}

// pairs yields the keys and values of sorted postings. A value belongs to
// the caller, a key only until the next one.
func pairs(postings []posting) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		key := make([]byte, keySize)
		arena := make([]byte, 0, 8*len(postings))
		for len(postings) > 0 {
			hash, n := postings[0].hash, 1
			for n < len(postings) && postings[n].hash == hash {
				n++
			}
			start := len(arena)
			arena = appendChunk(arena, postings[:n])
			putKey(key, hash)
			if !yield(key, arena[start:len(arena):len(arena)]) {
				return
			}
			postings = postings[n:]
		}
	}
}

func putKey(key []byte, h fingerprint.Hash) {
	for i := range key {
		key[i] = byte(h >> (fingerprint.HashBits - 8 - 8*i))
	}
}

// appendChunk encodes postings of one hash. A posting is two varints, ordinal
// and position; of the first posting the ordinal itself, of the others the
// difference to the one before. The lowest bit tells which, and so a value may
// be several chunks one after another.
func appendChunk(value []byte, postings []posting) []byte {
	for i, p := range postings {
		ordinal := uint64(p.ordinal) << 1
		if i > 0 {
			ordinal = uint64(p.ordinal-postings[i-1].ordinal)<<1 | 1
		}
		value = binary.AppendUvarint(value, ordinal)
		value = binary.AppendUvarint(value, uint64(p.position))
	}
	return value
}

var errValue = errors.New("value is no list of postings")

// appendPostings decodes a value, or the first postings of it.
func appendPostings(postings []storage.Posting, value []byte, limit int) ([]storage.Posting, error) {
	ordinal := uint64(0)
	for n := 0; len(value) > 0 && n < limit; n++ {
		difference, size := binary.Uvarint(value)
		if size <= 0 {
			return nil, errValue
		}
		value = value[size:]
		position, size := binary.Uvarint(value)
		if size <= 0 {
			return nil, errValue
		}
		value = value[size:]
		if difference&1 == 0 {
			ordinal = 0
		}
		ordinal += difference >> 1
		postings = append(postings, storage.Posting{
			Ordinal:  storage.Ordinal(ordinal),
			Position: uint32(position),
			Window:   window,
		})
	}
	return postings, nil
}

// lookupEach looks up hashes in ascending order, which is how keys are found
// fastest, and answers in the order in which they are given. The function get
// returns the value of a key, or nil.
func lookupEach(hashes []fingerprint.Hash, limit int, get func(key []byte) ([]byte, error)) ([]storage.List, error) {
	const indexBits = 64 - fingerprint.HashBits
	order := make([]uint64, len(hashes))
	for i, h := range hashes {
		order[i] = uint64(h)<<indexBits | uint64(i)
	}
	slices.Sort(order)
	lists := make([]storage.List, len(hashes))
	var postings []storage.Posting
	key := make([]byte, keySize)
	for _, o := range order {
		putKey(key, fingerprint.Hash(o>>indexBits))
		value, err := get(key)
		if err != nil {
			return nil, err
		}
		start := len(postings)
		if postings, err = appendPostings(postings, value, limit); err != nil {
			return nil, err
		}
		lists[o&(1<<indexBits-1)].Postings = postings[start:len(postings):len(postings)]
	}
	return lists, nil
}

func countPostings(lists []storage.List) (total int) {
	for _, l := range lists {
		total += len(l.Postings)
	}
	return total
}
