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

// most is to what width and height a picture is reduced first: the reference does so,
// too, and nothing that is larger tells more of 64 × 64 means.
const most = 512

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

// reduced returns 64 × 64 means: those in the middle of what each stands for, after two
// box filters in each direction, which together are a tent.
func reduced(p page.Picture) (means [side * side]float64) {
	v := make([]float64, len(p.Pix))
	for i, b := range p.Pix {
		v[i] = float64(b)
	}
	if p.W != side || p.H != side {
		for range 2 {
			for y := range p.H {
				boxAlong(v[y*p.W:][:p.W], window(p.W))
			}
			boxAcross(v, p.W, p.H, window(p.H))
		}
	}
	for y := range side {
		row := v[(2*y+1)*p.H/(2*side)*p.W:]
		for x := range side {
			means[y*side+x] = row[(2*x+1)*p.W/(2*side)]
		}
	}
	return means
}

// window is how many pixels one of the two filters sums up: half of what one mean stands
// for.
func window(size int) int { return (size + 2*side - 1) / (2 * side) }

// around is what of n numbers lies in a window around one. An even window reaches farther
// to the right.
func around(i, n, window int) (from, to int) {
	right := (window + 2) / 2
	return max(i-window+right, 0), min(i+right, n)
}

// boxAlong replaces numbers by the means of those around them.
func boxAlong(v []float64, window int) {
	sums := make([]float64, len(v)+1)
	for i, x := range v {
		sums[i+1] = sums[i] + x
	}
	for i := range v {
		from, to := around(i, len(v), window)
		v[i] = (sums[to] - sums[from]) / float64(to-from)
	}
}

// boxAcross does so in each column of h rows of w numbers.
func boxAcross(v []float64, w, h, window int) {
	sums := make([]float64, (h+1)*w)
	for i, x := range v {
		sums[w+i] = sums[i] + x
	}
	for y := range h {
		from, to := around(y, h, window)
		above, below, n := sums[from*w:][:w], sums[to*w:][:w], float64(to-from)
		for x := range w {
			v[y*w+x] = (below[x] - above[x]) / n
		}
	}
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
