// Package pdq is PDQ, the perceptual hash of pictures that services exchange (Davis
// and Rosen, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
// 2019).
//
// A picture is reduced to 64 × 64 means. Of these the 16 × 16 lowest frequencies in
// each direction, without the constant, are compared with their median: that makes 256
// bits. Copies in another size, recompressed or a little blurred differ in a few bits;
// two different pictures in about half of them. What is cropped, turned or photographed
// is a different picture.
package pdq

import (
	"encoding/hex"
	"math"
	"math/bits"
	"slices"

	"github.com/sealprint/sealprint/fingerprint/page"
)

const (
	// Same is up to how many bits two hashes of one picture differ. It is the
	// threshold that the reference implementation recommends.
	Same = 31

	// Good is from which quality on a picture has enough on it for its hash to mean
	// anything, of 100. The reference implementation recommends to drop others.
	Good = 50
)

// Size is the length of a hash in bytes.
const Size = 32

// Hash is a perceptual hash, the last bits first, as it is written in hexadecimal.
type Hash [Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Distance is in how many bits two hashes differ (Hamming distance).
func (h *Hash) Distance(o *Hash) int {
	n := 0
	for i := 0; i < Size; i += 8 {
		n += bits.OnesCount64(word(h, i) ^ word(o, i))
	}
	return n
}

func word(h *Hash, i int) uint64 {
	b := h[i : i+8 : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// most is to what width and height a picture is reduced first: no more pixels tell more of
// 64 × 64 means, but a row of 64 million would take memory.
const most = 8192

const (
	side = 64
	kept = 16
)

// Of returns the hash of a picture, and how much there is to see on it, from 0 to 100.
// One with less than 5 pixels a side has quality 0.
func Of(p page.Picture) (h Hash, quality int) {
	if p.W < 5 || p.H < 5 {
		return h, 0
	}
	if p.W > most || p.H > most {
		p = p.Shrink(min(p.W, most), min(p.H, most))
	}
	means := reduced(p)
	frequencies := lowest(&means)
	sorted := slices.Sorted(slices.Values(frequencies[:]))
	median := sorted[len(sorted)/2-1] // the lower one, as the reference takes it
	for i, f := range frequencies {
		if f > median {
			h[Size-1-i/8] |= 1 << (i % 8)
		}
	}
	return h, quality100(&means)
}

// reduced returns 64 × 64 means, along the rows first.
func reduced(p page.Picture) (means [side * side]float64) {
	columns, rows := tents(p.W), tents(p.H)
	narrow := make([]float64, side*p.H) // column by column
	for y := range p.H {
		row := p.Pix[y*p.W:][:p.W]
		for x := range columns {
			t := &columns[x]
			sum := 0.0
			for i, v := range row[t.from:][:len(t.weights)] {
				sum += t.weights[i] * float64(v)
			}
			narrow[x*p.H+y] = sum
		}
	}
	for y := range rows {
		t := &rows[y]
		for x := range columns {
			sum := 0.0
			for i, v := range narrow[x*p.H+t.from:][:len(t.weights)] {
				sum += t.weights[i] * v
			}
			means[y*side+x] = sum
		}
	}
	return means
}

// tent is a weighted mean of some of a row of numbers.
type tent struct {
	from    int
	weights []float64
}

// tents returns the 64 means that n numbers are reduced to. The reference puts two box
// filters one after the other over all of them, each over half of what a mean stands for,
// and takes what is in the middles then; this is the same without the rest.
func tents(n int) (all [side]tent) {
	window := (n + 2*side - 1) / (2 * side)
	for i := range all {
		from, to := around((2*i+1)*n/(2*side), n, window)
		first, _ := around(from, n, window)
		_, last := around(to-1, n, window)
		weights := make([]float64, last-first)
		for j := from; j < to; j++ {
			a, b := around(j, n, window)
			for k := a; k < b; k++ {
				weights[k-first] += 1 / float64((to-from)*(b-a))
			}
		}
		all[i] = tent{first, weights}
	}
	return all
}

// around is what of n numbers lies in a window around one. An even window reaches farther
// to the right.
func around(i, n, window int) (from, to int) {
	right := (window + 2) / 2
	return max(i-window+right, 0), min(i+right, n)
}

// lowest returns the lowest frequencies (discrete cosine transform), row by row.
func lowest(means *[side * side]float64) (out [kept * kept]float64) {
	var waves [kept * side]float64
	for i := range kept {
		for j := range side {
			waves[i*side+j] = math.Cos(math.Pi / 2 / side * float64((i+1)*(2*j+1)))
		}
	}
	var columns [kept * side]float64
	for i := range kept {
		for k := range side {
			wave := waves[i*side+k]
			for j, m := range means[k*side : (k+1)*side] {
				columns[i*side+j] += wave * m
			}
		}
	}
	for i := range kept {
		for j := range kept {
			sum := 0.0
			for k, wave := range waves[j*side : (j+1)*side] {
				sum += wave * columns[i*side+k]
			}
			out[i*kept+j] = sum
		}
	}
	return out
}

// quality100 is the sum of all differences of neighbors, in steps that are seen.
func quality100(means *[side * side]float64) int {
	sum := 0
	add := func(a, b float64) { sum += int(math.Abs((a - b) * 100 / 255)) }
	for i := range means {
		if i+side < len(means) {
			add(means[i], means[i+side])
		}
		if i%side < side-1 {
			add(means[i], means[i+1])
		}
	}
	return min(sum/90, 100)
}
