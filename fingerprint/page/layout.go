package page

import (
	"math"
	"slices"
)

// layout is the words of a page and how they follow each other.
type layout struct {
	points []Point
	unit   float64 // median height of words
	angle  float64 // of lines
	// Of each word, in the direction of the angle: the next on its line, and the nearest in
	// the lines above and below; -1: none.
	next, above, below []int32
	along, across      []float64 // places of words in the system of the lines

	cell  float64
	cells map[[2]int32][]int32
}

// layoutOf puts words in lines, in the direction in which most of them lie.
func layoutOf(words []word) *layout {
	points := make([]Point, len(words))
	for i, w := range words {
		points[i] = w.Point
	}
	return newLayout(points, median(words, func(w word) float64 { return w.minor }), direction(words))
}

// text reports whether words stand as print does: in straight lines. Of what looks like
// words in pictures of grass, bricks and faces few have neighbors on both sides, and those
// stand anywhere between the lines above and below.
func (l *layout) text() bool {
	const (
		enough, few = 10, 3 // triples
		leastShare  = 0.1   // of words that begin a triple; in receipts it is a quarter
		straight    = 0.12  // heights; Latin print has less
		// Nastaliq of a few lines has up to 0.24, pictures of anything 0.15 and more; but in
		// pictures few words begin a triple, and in print, even in part of a page, half of them.
		crooked, crookedShare = 0.25, 0.35
	)
	var off []float64
	for i := range l.points {
		j := l.next[i]
		if j < 0 || l.next[j] < 0 {
			continue
		}
		k := l.next[j]
		way := (l.along[j] - l.along[i]) / (l.along[k] - l.along[i])
		off = append(off, math.Abs(l.across[j]-l.across[i]-way*(l.across[k]-l.across[i]))/l.unit)
	}
	share := float64(len(off)) / float64(len(l.points))
	if len(off) < few || share < leastShare {
		return false
	}
	slices.Sort(off)
	middle := off[len(off)/2]
	return middle < straight || middle < crooked && share >= crookedShare && len(off) >= enough
}

// newLayout puts words in lines.
func newLayout(points []Point, unit, angle float64) *layout {
	l := &layout{points: points, unit: unit, angle: angle, cell: 4 * unit, cells: map[[2]int32][]int32{}}
	n := len(points)
	l.along, l.across = make([]float64, n), make([]float64, n)
	sin, cos := math.Sincos(angle)
	for i, p := range points {
		l.along[i], l.across[i] = p.X*cos+p.Y*sin, p.Y*cos-p.X*sin
		k := l.cellOf(l.along[i], l.across[i])
		l.cells[k] = append(l.cells[k], int32(i))
	}
	l.next, l.above, l.below = make([]int32, n), make([]int32, n), make([]int32, n)
	for i := range points {
		l.link(i)
	}
	return l
}

func (l *layout) cellOf(along, across float64) [2]int32 {
	return [2]int32{int32(math.Floor(along / l.cell)), int32(math.Floor(across / l.cell))}
}

// around visits the words of all cells that a rectangle around a place touches.
func (l *layout) around(along, across, reach, height float64, visit func(i int32)) {
	from, to := l.cellOf(along-reach, across-height), l.cellOf(along+reach, across+height)
	for y := from[1]; y <= to[1]; y++ {
		for x := from[0]; x <= to[0]; x++ {
			for _, i := range l.cells[[2]int32{x, y}] {
				visit(i)
			}
		}
	}
}

// link finds the neighbors of a word.
func (l *layout) link(i int) {
	const reach, height = 14, 5 // heights of words
	next, above, below := int32(-1), int32(-1), int32(-1)
	nearest, nearestAbove, nearestBelow := math.Inf(1), math.Inf(1), math.Inf(1)
	l.around(l.along[i], l.across[i], reach*l.unit, height*l.unit, func(j int32) {
		dx, dy := (l.along[j]-l.along[i])/l.unit, (l.across[j]-l.across[i])/l.unit
		ax, ay := math.Abs(dx), math.Abs(dy)
		switch {
		case int(j) == i:
		case dx > 0.3 && dx < reach && ay < 0.7+0.08*dx:
			if d := dx + 2*ay; d < nearest {
				nearest, next = d, j
			}
		case ay > 0.9+0.1*ax && ay < height && ax < height:
			if d := ay + ax; dy > 0 && d < nearestBelow {
				nearestBelow, below = d, j
			} else if dy < 0 && d < nearestAbove {
				nearestAbove, above = d, j
			}
		}
	})
	l.next[i], l.above[i], l.below[i] = next, above, below
}

// chain appends a word and those that follow it on its line, n in all, or returns nil.
func (l *layout) chain(to []int32, i int32, n int) []int32 {
	for range n {
		if i < 0 {
			return nil
		}
		to = append(to, i)
		i = l.next[i]
	}
	return to
}

// direction returns the angle of lines, in (-π/2, π/2]: that of the long axes of long
// words.
func direction(words []word) float64 {
	const bins = 180
	var votes [bins]float64
	for _, w := range words {
		if w.major > 2*w.minor {
			a := math.Mod(w.angle+math.Pi, math.Pi)
			votes[min(int(a/math.Pi*bins), bins-1)] += math.Min(w.major/w.minor, 6)
		}
	}
	best, at := -1.0, 0
	for i := range bins {
		sum := 0.0
		for d := -4; d <= 4; d++ {
			sum += votes[(i+d+bins)%bins] * (5 - math.Abs(float64(d)))
		}
		if sum > best {
			best, at = sum, i
		}
	}
	sum, n := 0.0, 0.0
	for d := -6; d <= 6; d++ {
		v := votes[(at+d+bins)%bins]
		sum, n = sum+v*float64(d), n+v
	}
	angle := (float64(at) + 0.5 + sum/max(n, 1)) / bins * math.Pi
	if angle > math.Pi/2 {
		angle -= math.Pi
	}
	return angle
}
