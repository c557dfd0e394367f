package page

import (
	"math"
	"slices"
)

// code is what a word and those around it look like in one of the ways below, in steps.
type code struct {
	word    int32
	pattern int
	members []int32   // the words that it is made of
	places  []float64 // in steps
}

// pattern is which words make a code: some that follow each other on a line, and some that
// follow the nearest word in the lines above and below.
type pattern struct{ line, above, below int }

var patterns = []pattern{
	{line: 9},
	{line: 5, below: 4},
	{line: 5, above: 4},
	{line: 4, above: 3, below: 3},
	{line: 3, above: 3, below: 3},
}

// stepsPerWord is how finely places are told apart, in steps of the mean distance of words.
const stepsPerWord = 12.5

// codes visits all codes of a layout. What it passes is only valid until it returns.
func (l *layout) codes(visit func(c *code)) {
	c := code{members: make([]int32, 0, 16), places: make([]float64, 0, 16)}
	for i := range l.points {
		for n, p := range patterns {
			if l.code(&c, int32(i), p) {
				c.word, c.pattern = int32(i), n
				visit(&c)
			}
		}
	}
}

// code fills in the code of a word, if it has neighbors enough.
func (l *layout) code(c *code, i int32, p pattern) bool {
	m := l.chain(c.members[:0], i, p.line)
	if m == nil {
		return false
	}
	if p.below > 0 {
		if m = l.chain(m, l.below[i], p.below); m == nil {
			return false
		}
	}
	if p.above > 0 {
		if m = l.chain(m, l.above[i], p.above); m == nil {
			return false
		}
	}
	c.members = m
	start, length := l.along[i], l.along[m[p.line-1]]-l.along[i]
	scale := stepsPerWord * float64(p.line-1) / length
	regular := true
	for k := 1; k < len(m); k++ {
		if k == p.line || k == p.line+p.below {
			continue // the first of another line
		}
		step := (l.along[m[k]] - l.along[m[k-1]]) * scale
		regular = regular && math.Abs(step-stepsPerWord) < 1
	}
	if regular {
		return false // dots, boxes, a table: as everywhere
	}
	c.places = c.places[:0]
	for k, j := range m {
		if k != 0 && k != p.line-1 { // those are 0 and 1 by definition
			c.places = append(c.places, (l.along[j]-start)*scale)
		}
	}
	return true
}

// hash names the steps of a code.
func (c *code) hash() uint64 {
	h := uint64(c.pattern+1) * 0x9e3779b97f4a7c15
	for _, v := range c.places {
		h = mix(h ^ uint64(int64(math.Floor(v))))
	}
	return h
}

// mix is the finalizer of MurmurHash3: what is sealed afterwards only has to differ.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// probes is how many hashes are asked for, where places are near the next step.
const probes = 16

// nearHashes visits the hash of a code and those that it would have if the places that
// are nearest to another step were there (multi-probe hashing: Lv et al., VLDB 2007).
func (c *code) nearHashes(visit func(h uint64)) {
	type edge struct {
		place    int
		step     float64
		distance float64
	}
	var edges [16]edge
	for i, v := range c.places {
		f := v - math.Floor(v)
		edges[i] = edge{i, -1, f}
		if f > 0.5 {
			edges[i] = edge{i, 1, 1 - f}
		}
	}
	near := edges[:len(c.places)]
	slices.SortFunc(near, func(a, b edge) int {
		if a.distance < b.distance {
			return -1
		}
		return 1
	})
	for set := range probes {
		for k := range near {
			if set>>k&1 != 0 {
				c.places[near[k].place] += near[k].step
			}
		}
		visit(c.hash())
		for k := range near {
			if set>>k&1 != 0 {
				c.places[near[k].place] -= near[k].step
			}
		}
	}
}
