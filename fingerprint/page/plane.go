package page

import (
	"math"
	"slices"
)

// plane is a picture of numbers, row by row.
type plane struct {
	w, h int
	v    []float32
}

func newPlane(w, h int) plane { return plane{w, h, make([]float32, w*h)} }

// scaled returns the picture in another size: the mean of what each pixel covers, or
// what lies between pixels.
func (p Picture) scaled(scale float64) plane {
	w, h := max(int(float64(p.W)*scale+0.5), 1), max(int(float64(p.H)*scale+0.5), 1)
	if w <= p.W && h <= p.H {
		return p.reduced(w, h)
	}
	out := newPlane(w, h)
	columns, rows := places(p.W, w), places(p.H, h)
	for y, r := range rows {
		a, b := p.Pix[r.at*p.W:][:p.W], p.Pix[min(r.at+1, p.H-1)*p.W:][:p.W]
		to := out.v[y*w:][:w]
		for x, c := range columns {
			i, j := c.at, min(c.at+1, p.W-1)
			above := float32(a[i]) + (float32(a[j])-float32(a[i]))*c.way
			below := float32(b[i]) + (float32(b[j])-float32(b[i]))*c.way
			to[x] = above + (below-above)*r.way
		}
	}
	return out
}

// reduced returns the picture in a smaller size: each pixel is the mean of what it covers,
// parts of pixels counted as parts, or strokes would be of uneven width.
func (p Picture) reduced(w, h int) plane {
	out := newPlane(w, h)
	columns, rows := spread(p.W, w), spread(p.H, h)
	sum, next := make([]float32, p.W), make([]float32, p.W)
	narrow := make([]float32, w+1)
	at := 0
	finish := func() {
		clear(narrow)
		for x, v := range sum {
			c := &columns[x]
			narrow[c.to] += v * c.first
			narrow[c.to+1] += v * c.second
		}
		copy(out.v[at*w:][:w], narrow)
	}
	for y, r := range rows {
		if r.to != at {
			finish()
			sum, next, at = next, sum, r.to
			clear(next)
		}
		row := p.Pix[y*p.W:][:len(sum)]
		for x := range sum {
			sum[x] += float32(row[x]) * r.first
		}
		if r.second == 0 {
			continue
		}
		next := next[:len(row)]
		for x, v := range row {
			next[x] += float32(v) * r.second
		}
	}
	finish()
	return out
}

// portion is how a pixel counts in the one that it falls into, and in the next.
type portion struct {
	to            int
	first, second float32
}

// spread returns the portions of a row of pixels that become fewer.
func spread(from, to int) []portion {
	all := make([]portion, from)
	size := float64(to) / float64(from)
	for i := range all {
		start, end := float64(i)*size, float64(i+1)*size
		n := min(int(start), to-1)
		over := max(end-float64(n+1), 0)
		all[i] = portion{n, float32(size - over), float32(over)}
	}
	return all
}

// place lies behind the middle of one pixel, on the way to the next.
type place struct {
	at  int
	way float32
}

// places returns where the middles of a row of pixels lie in a row of others.
func places(from, to int) []place {
	all := make([]place, to)
	size := float64(from) / float64(to)
	for i := range all {
		at := min(max((float64(i)+0.5)*size-0.5, 0), float64(from-1))
		all[i] = place{int(at), float32(at - math.Floor(at))}
	}
	return all
}

// blur puts a Gaussian filter over the plane.
func (p plane) blur(sigma float64) {
	n := int(math.Ceil(2.5 * sigma))
	kernel := make([]float32, n+1)
	sum := float32(0)
	for i := range kernel {
		kernel[i] = float32(math.Exp(-float64(i*i) / (2 * sigma * sigma)))
		sum += kernel[i]
		if i > 0 {
			sum += kernel[i]
		}
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	rows := newPlane(p.w, p.h)
	padded := make([]float32, p.w+2*n)
	for y := range p.h {
		row := p.v[y*p.w:][:p.w]
		copy(padded[n:], row)
		for i := range n {
			padded[i], padded[n+p.w+i] = row[0], row[p.w-1]
		}
		filter(rows.v[y*p.w:][:p.w], kernel, func(i int) []float32 { return padded[n+i:][:p.w] })
	}
	for y := range p.h {
		filter(p.v[y*p.w:][:p.w], kernel, func(i int) []float32 { return rows.v[min(max(y+i, 0), p.h-1)*p.w:][:p.w] })
	}
}

// filter sums what lies at the distances of a symmetric kernel. Two distances at a time
// take half as long as one.
func filter(to, kernel []float32, at func(distance int) []float32) {
	k := kernel[0]
	for x, v := range at(0) {
		to[x] = v * k
	}
	for i := 1; i < len(kernel); i += 2 {
		k := kernel[i]
		a, b := at(-i)[:len(to)], at(i)[:len(to)]
		if i+1 == len(kernel) {
			for x := range to {
				to[x] += (a[x] + b[x]) * k
			}
			break
		}
		l := kernel[i+1]
		c, d := at(-i - 1)[:len(to)], at(i + 1)[:len(to)]
		for x := range to {
			to[x] += (a[x]+b[x])*k + (c[x]+d[x])*l
		}
	}
}

// larger returns the rows of a plane in a larger size, smoothly. A row is valid until the
// next is asked for.
func (p plane) larger(w, h int) func(y int) []float32 {
	columns, rows := places(p.w, w), places(p.h, h)
	row, to := make([]float32, p.w+1), make([]float32, w)
	return func(y int) []float32 {
		r := rows[y]
		a, b := p.v[r.at*p.w:][:p.w], p.v[min(r.at+1, p.h-1)*p.w:][:p.w]
		for x, v := range a {
			row[x] = v + (b[x]-v)*r.way
		}
		row[p.w] = row[p.w-1]
		for x, c := range columns {
			v := row[c.at]
			to[x] = v + (row[c.at+1]-v)*c.way
		}
		return to
	}
}

// meanAround returns the mean of a wide neighborhood, about so many pixels around, without
// what is all dark: a desk beside the page, a bar of an app. What is in the middle of that
// is above any mean. Four pixels in each direction have one mean.
func (p plane) meanAround(sigma float64) plane {
	const coarse = 4
	w, h := max(p.w/coarse, 1), max(p.h/coarse, 1)
	small := newPlane(w, h)
	for y := range h {
		top, bottom := y*p.h/h, (y+1)*p.h/h
		for x := range w {
			left, right := x*p.w/w, (x+1)*p.w/w
			sum := float32(0)
			for v := top; v < bottom; v++ {
				for _, d := range p.v[v*p.w+left : v*p.w+right] {
					sum += d
				}
			}
			small.v[y*w+x] = sum / float32((bottom-top)*(right-left))
		}
	}
	wide, weight := newPlane(w, h), newPlane(w, h)
	shade := plane{w, h, slices.Clone(small.v)}
	shade.blur(1)
	shade = shade.lightest().lightest() // what is beside it is half of it
	for i, v := range small.v {
		if shade.v[i] < solid {
			wide.v[i], weight.v[i] = v, 1
		}
	}
	wide.blur(sigma / coarse)
	weight.blur(sigma / coarse)
	for i, n := range weight.v {
		if n > 0.01 {
			wide.v[i] /= n
		} else {
			wide.v[i] = 1
		}
	}
	return wide
}

// solid is from which darkness on something wide is no text, in which paper shines through.
const solid = 0.7

// darken makes of how light points are how much darker than the paper around them: 0 for
// paper, 1 for black.
func (p plane) darken() {
	const cell = 24 // larger than the white between lines, smaller than shadows
	w, h := (p.w+cell-1)/cell, (p.h+cell-1)/cell
	paper := newPlane(w, h)
	for y := range h {
		for x := range w {
			// A tenth of the cell is lighter than its paper.
			var lights [256]uint8
			n := 0
			for v := y * cell; v < min(y*cell+cell, p.h); v += 3 {
				for u := x * cell; u < min(x*cell+cell, p.w); u += 3 {
					lights[uint8(p.v[v*p.w+u]+0.5)]++
					n++
				}
			}
			lighter, light := n-n*9/10, 256
			for lighter > 0 {
				light--
				lighter -= int(lights[light])
			}
			paper.v[y*w+x] = float32(light)
		}
	}
	paper = paper.closed()
	// What is much darker than most paper is none: a desk, a bar of an app.
	sorted := slices.Sorted(slices.Values(paper.v))
	least := max(0.4*sorted[len(sorted)*9/10], 16)
	// Beside a page its paper goes on, or the print at its edge would pale.
	beside := paper.lightest()
	for i, v := range paper.v {
		if v < least {
			paper.v[i] = max(beside.v[i], least)
		}
	}
	papers := paper.larger(p.w, p.h)
	for y := range p.h {
		row, white := p.v[y*p.w:][:p.w], papers(y)[:p.w]
		for x, v := range row {
			row[x] = max(1-v/white[x], 0)
		}
	}
}

// closed fills cells that are darker than those around them.
func (p plane) closed() plane {
	return p.lightest().around(func(a, b float32) float32 { return min(a, b) })
}

// lightest returns of each point the greatest number around it.
func (p plane) lightest() plane {
	return p.around(func(a, b float32) float32 { return max(a, b) })
}

// around returns of each point the best of the nine around it: in each row first.
func (p plane) around(better func(a, b float32) float32) plane {
	rows, out := newPlane(p.w, p.h), newPlane(p.w, p.h)
	for i, v := range p.v {
		if i%p.w > 0 {
			v = better(v, p.v[i-1])
		}
		if i%p.w < p.w-1 {
			v = better(v, p.v[i+1])
		}
		rows.v[i] = v
	}
	for i, v := range rows.v {
		if i >= p.w {
			v = better(v, rows.v[i-p.w])
		}
		if i+p.w < len(rows.v) {
			v = better(v, rows.v[i+p.w])
		}
		out.v[i] = v
	}
	return out
}
