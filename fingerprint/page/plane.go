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
	narrow, sum, next := make([]float32, w+1), make([]float32, w+1), make([]float32, w+1)
	at := 0
	for y := range p.H {
		clear(narrow)
		for x, v := range p.Pix[y*p.W:][:p.W] {
			c := &columns[x]
			narrow[c.to] += float32(v) * c.first
			narrow[c.to+1] += float32(v) * c.second
		}
		r := rows[y]
		if r.to != at {
			copy(out.v[at*w:][:w], sum)
			sum, next, at = next, sum, r.to
			clear(next)
		}
		for x, v := range narrow {
			sum[x] += v * r.first
			next[x] += v * r.second
		}
	}
	copy(out.v[at*w:][:w], sum)
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

// blurred returns the plane after a Gaussian filter.
func (p plane) blurred(sigma float64) plane {
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
	out := newPlane(p.w, p.h)
	for y := range p.h {
		filter(out.v[y*p.w:][:p.w], kernel, func(i int) []float32 { return rows.v[min(max(y+i, 0), p.h-1)*p.w:][:p.w] })
	}
	return out
}

// filter sums what lies at the distances of a symmetric kernel.
func filter(to, kernel []float32, at func(distance int) []float32) {
	k := kernel[0]
	for x, v := range at(0) {
		to[x] = v * k
	}
	for i := 1; i < len(kernel); i++ {
		k := kernel[i]
		a, b := at(-i), at(i)
		b = b[:len(a)]
		for x, v := range a {
			to[x] += (v + b[x]) * k
		}
	}
}

// blownUp returns a plane in a larger size, smoothly.
func (p plane) blownUp(w, h int) plane {
	out := newPlane(w, h)
	columns := places(p.w, w)
	row := make([]float32, p.w+1)
	for y, r := range places(p.h, h) {
		a, b := p.v[r.at*p.w:][:p.w], p.v[min(r.at+1, p.h-1)*p.w:][:p.w]
		for x, v := range a {
			row[x] = v + (b[x]-v)*r.way
		}
		row[p.w] = row[p.w-1]
		to := out.v[y*w:][:w]
		for x, c := range columns {
			v := row[c.at]
			to[x] = v + (row[c.at+1]-v)*c.way
		}
	}
	return out
}

// meanAround returns the mean of a wide neighborhood, about so many pixels around, without
// what is all dark: a desk beside the page, a bar of an app. What is in the middle of that
// is above any mean.
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
	// What is beside it is half of it.
	shade := small.blurred(1).lightest().lightest()
	for i, v := range small.v {
		if shade.v[i] < solid {
			wide.v[i], weight.v[i] = v, 1
		}
	}
	wide, weight = wide.blurred(sigma/coarse), weight.blurred(sigma/coarse)
	for i, n := range weight.v {
		if n > 0.01 {
			wide.v[i] /= n
		} else {
			wide.v[i] = 1
		}
	}
	return wide.blownUp(p.w, p.h)
}

// solid is from which darkness on something wide is no text, in which paper shines through.
const solid = 0.7

// darkness returns how much darker than the paper around it each point is: 0 for paper,
// 1 for black.
func (p plane) darkness() plane {
	const cell = 24 // larger than the white between lines, smaller than shadows
	w, h := (p.w+cell-1)/cell, (p.h+cell-1)/cell
	paper := newPlane(w, h)
	var sample []float32
	for y := range h {
		for x := range w {
			sample = sample[:0]
			for v := y * cell; v < min(y*cell+cell, p.h); v += 3 {
				for u := x * cell; u < min(x*cell+cell, p.w); u += 3 {
					sample = append(sample, p.v[v*p.w+u])
				}
			}
			slices.Sort(sample)
			paper.v[y*w+x] = sample[len(sample)*9/10]
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
	out := paper.blownUp(p.w, p.h)
	for i, v := range p.v {
		out.v[i] = max(1-v/out.v[i], 0)
	}
	return out
}

// closed fills cells that are darker than those around them.
func (p plane) closed() plane {
	return p.lightest().around(func(a, b float32) bool { return a < b })
}

// lightest returns of each point the greatest number around it.
func (p plane) lightest() plane {
	return p.around(func(a, b float32) bool { return a > b })
}

// around returns of each point the best of the nine around it.
func (p plane) around(better func(a, b float32) bool) plane {
	out := newPlane(p.w, p.h)
	for y := range p.h {
		for x := range p.w {
			best := p.v[y*p.w+x]
			for v := max(y-1, 0); v <= min(y+1, p.h-1); v++ {
				for u := max(x-1, 0); u <= min(x+1, p.w-1); u++ {
					if o := p.v[v*p.w+u]; better(o, best) {
						best = o
					}
				}
			}
			out.v[y*p.w+x] = best
		}
	}
	return out
}
