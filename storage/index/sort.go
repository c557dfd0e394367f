package index

import (
	"context"
	"math/bits"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// sortPostings visits the n fingerprints of sheets in ascending order of hash, each
// once, with the numbers of its postings.
//
// Hashes are spread evenly, so that their first bits sort them into buckets of some
// two hundred, and a bucket sorts inside the processor's cache. What is left of a
// hash and its number then fit into one integer.
func sortPostings(ctx context.Context, sheets []storage.Sheet, n int, visit func(hash uint64, numbers []uint32)) error {
	const bucket = 8 // bits
	numberBits := bits.Len(uint(n))
	suffixBits := fingerprint.HashBits - max(0, numberBits-bucket)
	begins := make([]int, 1<<(fingerprint.HashBits-suffixBits)+1)
	for _, sheet := range sheets {
		for _, h := range sheet.Hashes {
			begins[h>>suffixBits+1]++
		}
		if err := yield(ctx); err != nil {
			return err
		}
	}
	for i := range begins[1:] {
		begins[i+1] += begins[i]
	}
	rows := make([]uint64, n)
	fill := slices.Clone(begins)
	number := uint64(0)
	for _, sheet := range sheets {
		for _, h := range sheet.Hashes {
			i := h >> suffixBits
			rows[fill[i]] = uint64(h)&(1<<suffixBits-1)<<numberBits | number
			fill[i]++
			number++
		}
		if err := yield(ctx); err != nil {
			return err
		}
	}
	var numbers []uint32
	for i := range begins[1:] {
		rows := rows[begins[i]:begins[i+1]]
		slices.Sort(rows)
		for len(rows) > 0 {
			suffix := rows[0] >> numberBits
			numbers = numbers[:0]
			for len(rows) > 0 && rows[0]>>numberBits == suffix {
				numbers = append(numbers, uint32(rows[0]&(1<<numberBits-1)))
				rows = rows[1:]
			}
			visit(uint64(i)<<suffixBits|suffix, numbers)
		}
		if i%(yieldInterval>>bucket) == 0 {
			if err := yield(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
