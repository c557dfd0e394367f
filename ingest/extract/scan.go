package extract

import (
	"math"
	"slices"

	"github.com/sealprint/sealprint/ingest"
)

// prepare makes the picture of a page ready for recognition: light evened, lines
// level, letters of a size that is read well. Each step is taken only where it is
// sure to help; a picture that needs none is returned as it is. A page with
// nothing to read on it is returned empty.
func prepare(g gray) gray {
	if g.W < 8 || g.H < 8 {
		return gray{}
	}
	g = even(g)
	ink := threshold(g)
	height, letters := letterHeight(ink)
	if letters < ingest.MinInk {
		return gray{}
	}
	if lines := points(ink); sharpness(turned(lines), 0) > 1.4*sharpness(lines, 0) {
		g = quarter(g)
		ink = threshold(g)
	}
	if angle := skew(points(ink)); angle != 0 {
		g = rotate(g, angle)
	}
	return rescale(g, height)
}

// even divides by the light of the paper around each point, where the light is
// uneven or the paper is dark.
func even(g gray) gray {
	const cell = 32 // pixels; larger than letters, smaller than shadows
	w, h := (g.W+cell-1)/cell, (g.H+cell-1)/cell
	paper := make([]float64, w*h)
	for y := range h {
		for x := range w {
			paper[y*w+x] = float64(brightest(g, x*cell, y*cell, cell))
		}
	}
	paper = smooth(paper, w, h)
	sorted := slices.Sorted(slices.Values(paper))
	dark, light := sorted[len(sorted)/20], sorted[len(sorted)*19/20]
	if light-dark < 30 && light > 200 || light < 40 {
		return g
	}
	out := gray{g.W, g.H, make([]byte, len(g.Pix))}
	for y := range g.H {
		fy := min(max((float64(y)+0.5)/cell-0.5, 0), float64(h-1))
		y0 := int(fy)
		y1, ty := min(y0+1, h-1), fy-float64(y0)
		for x := range g.W {
			fx := min(max((float64(x)+0.5)/cell-0.5, 0), float64(w-1))
			x0 := int(fx)
			x1, tx := min(x0+1, w-1), fx-float64(x0)
			p := (paper[y0*w+x0]*(1-tx)+paper[y0*w+x1]*tx)*(1-ty) + (paper[y1*w+x0]*(1-tx)+paper[y1*w+x1]*tx)*ty
			out.Pix[y*g.W+x] = byte(min(float64(g.Pix[y*g.W+x])*255/max(p, 1), 255))
		}
	}
	return out
}

// brightest returns the light of the paper in a cell: of its pixels, one that few
// are brighter than.
func brightest(g gray, left, top, size int) int {
	var count [256]int
	n := 0
	for y := top; y < min(top+size, g.H); y++ {
		for _, p := range g.Pix[y*g.W+left : y*g.W+min(left+size, g.W)] {
			count[p]++
			n++
		}
	}
	above := 0
	for v := 255; v > 0; v-- {
		if above += count[v]; above > n/10 {
			return v
		}
	}
	return 0
}

// smooth closes cells that are all ink, from their neighbors, and blurs.
func smooth(v []float64, w, h int) []float64 {
	around := func(in []float64, f func(a, b float64) float64, start float64) []float64 {
		out := make([]float64, len(in))
		for y := range h {
			for x := range w {
				r := start
				for dy := max(y-1, 0); dy <= min(y+1, h-1); dy++ {
					for dx := max(x-1, 0); dx <= min(x+1, w-1); dx++ {
						r = f(r, in[dy*w+dx])
					}
				}
				out[y*w+x] = r
			}
		}
		return out
	}
	closed := around(around(v, math.Max, 0), math.Min, 255)
	ones := make([]float64, len(v))
	for i := range ones {
		ones[i] = 1
	}
	add := func(a, b float64) float64 { return a + b }
	sum, n := around(closed, add, 0), around(ones, add, 0)
	for i := range sum {
		sum[i] /= n[i]
	}
	return sum
}

// bitmap is a picture of ink and paper.
type bitmap struct {
	w, h int
	ink  []bool
}

// threshold takes as ink what is clearly darker than the mean around it (Bradley
// and Roth, "Adaptive Thresholding Using the Integral Image", 2007).
func threshold(g gray) bitmap {
	b := bitmap{g.W, g.H, make([]bool, len(g.Pix))}
	// At (x, y) the sum of all above and to the left.
	sums := make([]uint32, (g.W+1)*(g.H+1))
	for y := range g.H {
		row := uint32(0)
		for x := range g.W {
			row += uint32(g.Pix[y*g.W+x])
			sums[(y+1)*(g.W+1)+x+1] = sums[y*(g.W+1)+x+1] + row
		}
	}
	radius := max(g.W/32, 8)
	for y := range g.H {
		top, bottom := max(y-radius, 0), min(y+radius+1, g.H)
		for x := range g.W {
			left, right := max(x-radius, 0), min(x+radius+1, g.W)
			sum := sums[bottom*(g.W+1)+right] - sums[top*(g.W+1)+right] - sums[bottom*(g.W+1)+left] + sums[top*(g.W+1)+left]
			n := uint32((bottom - top) * (right - left))
			b.ink[y*g.W+x] = uint32(g.Pix[y*g.W+x])*n*100 < sum*80
		}
	}
	return b
}

// letterHeight returns the median height of what is joined and of the size of
// letters, and how much of that there is.
func letterHeight(b bitmap) (height, letters int) {
	var heights []int
	for _, box := range joined(b) {
		h, w := box.bottom-box.top+1, box.right-box.left+1
		if h >= 5 && h < min(b.h*9/10, 400) && w >= 2 && w < b.w/2 && w < 30*h && box.size >= 10 {
			heights = append(heights, h)
		}
	}
	if len(heights) == 0 {
		return 0, 0
	}
	slices.Sort(heights)
	return heights[len(heights)/2], len(heights)
}

type box struct{ left, top, right, bottom, size int }

// joined returns the boxes of all that is joined by ink, from runs of ink that
// touch those in the row above.
func joined(b bitmap) []box {
	type run struct{ from, to, label int }
	var boxes []box
	var parent []int
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	var above, row []run
	for y := range b.h {
		row = row[:0]
		k := 0
		for x := 0; x < b.w; x++ {
			if !b.ink[y*b.w+x] {
				continue
			}
			from := x
			for x < b.w && b.ink[y*b.w+x] {
				x++
			}
			r := run{from, x, -1}
			for k > 0 && above[k-1].to >= from {
				k--
			}
			for ; k < len(above) && above[k].from <= r.to; k++ {
				if above[k].to < r.from {
					continue
				}
				label := find(above[k].label)
				if r.label < 0 {
					r.label = label
				} else if label != r.label {
					o, into := &boxes[label], &boxes[r.label]
					into.left, into.top = min(into.left, o.left), min(into.top, o.top)
					into.right, into.bottom = max(into.right, o.right), max(into.bottom, o.bottom)
					into.size += o.size
					o.size = 0
					parent[label] = r.label
				}
			}
			if r.label < 0 {
				r.label = len(boxes)
				parent = append(parent, r.label)
				boxes = append(boxes, box{r.from, y, r.to - 1, y, 0})
			}
			o := &boxes[r.label]
			o.left, o.right, o.bottom = min(o.left, r.from), max(o.right, r.to-1), y
			o.size += r.to - r.from
			row = append(row, r)
		}
		above, row = row, above
	}
	return slices.DeleteFunc(boxes, func(o box) bool { return o.size == 0 })
}

// points is a sample of where ink ends below, which the lower ends of letters put
// in lines.
func points(b bitmap) [][2]float64 {
	var all [][2]float64
	for y := range b.h - 1 {
		for x := range b.w {
			if b.ink[y*b.w+x] && !b.ink[(y+1)*b.w+x] {
				all = append(all, [2]float64{float64(x), float64(y)})
			}
		}
	}
	const most = 30_000
	if step := len(all)/most + 1; step > 1 {
		n := 0
		for i := 0; i < len(all); i += step {
			all[n] = all[i]
			n++
		}
		all = all[:n]
	}
	return all
}

// turned is the points of the page on its side.
func turned(p [][2]float64) [][2]float64 {
	out := make([][2]float64, len(p))
	for i := range p {
		out[i] = [2]float64{p[i][1], p[i][0]}
	}
	return out
}

// sharpness is how clearly points lie in lines that rise by a slope: the sum of
// squares of how many lie in each row.
func sharpness(p [][2]float64, slope float64) float64 {
	if len(p) == 0 {
		return 0
	}
	low, high := math.MaxInt, math.MinInt
	rows := make([]int, len(p))
	for i, q := range p {
		rows[i] = int(math.Floor((q[1] + slope*q[0]) / 2))
		low, high = min(low, rows[i]), max(high, rows[i])
	}
	n := make([]int, high-low+1)
	for _, r := range rows {
		n[r-low]++
	}
	s := 0.0
	for _, c := range n {
		s += float64(c) * float64(c)
	}
	return s
}

// skew returns by how many degrees the page is to be turned, or 0 if it is level or
// nothing tells. On a sparse page some wrong angle is always a little better than
// none, so it has to be much better, and not at the end of the range.
func skew(p [][2]float64) float64 {
	if len(p) < 500 {
		return 0
	}
	slope := func(degrees float64) float64 { return math.Tan(degrees * math.Pi / 180) }
	level := sharpness(p, 0)
	best, at := level, 0.0
	for d := -maxSkew; d <= maxSkew; d += 0.5 {
		if s := sharpness(p, slope(d)); s > best {
			best, at = s, d
		}
	}
	for d := at - 0.4; d <= at+0.4; d += 0.1 {
		if s := sharpness(p, slope(d)); s > best {
			best, at = s, d
		}
	}
	if best < 1.15*level || math.Abs(at) < 0.3 || math.Abs(at) > maxSkew-0.5 {
		return 0
	}
	return at
}

// maxSkew is up to how many degrees a page is leveled. A sheet goes into a scanner
// by less.
const maxSkew = 8.0

// rotate turns a picture by some degrees around its middle, on white.
func rotate(g gray, degrees float64) gray {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	out := gray{g.W, g.H, make([]byte, len(g.Pix))}
	cx, cy := float64(g.W)/2, float64(g.H)/2
	for y := range g.H {
		for x := range g.W {
			dx, dy := float64(x)-cx, float64(y)-cy
			out.Pix[y*g.W+x] = g.at(cx+dx*cos+dy*sin, cy-dx*sin+dy*cos)
		}
	}
	return out
}

// at returns the light between pixels; white beyond the edge.
func (g gray) at(x, y float64) byte {
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < 0 || y0 < 0 || x0 >= g.W-1 || y0 >= g.H-1 {
		return 255
	}
	tx, ty := x-float64(x0), y-float64(y0)
	i := y0*g.W + x0
	top := float64(g.Pix[i])*(1-tx) + float64(g.Pix[i+1])*tx
	bottom := float64(g.Pix[i+g.W])*(1-tx) + float64(g.Pix[i+g.W+1])*tx
	return byte(top*(1-ty) + bottom*ty + 0.5)
}

// quarter turns a picture by a quarter to the left.
func quarter(g gray) gray {
	out := gray{g.H, g.W, make([]byte, len(g.Pix))}
	for y := range g.H {
		for x := range g.W {
			out.Pix[(g.W-1-x)*g.H+y] = g.Pix[y*g.W+x]
		}
	}
	return out
}

// half turns a picture upside down.
func half(g gray) gray {
	out := gray{g.W, g.H, slices.Clone(g.Pix)}
	slices.Reverse(out.Pix)
	return out
}

// Letters of that many pixels are read well. Smaller ones are made larger, up to
// three times; larger ones smaller, which saves time. The median height of what is
// joined is that of small letters in Latin, and of words in Nastaliq.
const (
	smallLetters, goodLetters, largeLetters = 13, 20, 60
)

func rescale(g gray, height int) gray {
	scale := 1.0
	switch {
	case height < smallLetters:
		scale = min(float64(goodLetters)/float64(max(height, 1)), 3)
	case height > largeLetters:
		scale = float64(largeLetters) / 2 / float64(height)
	}
	scale = min(scale, math.Sqrt(ingest.MaxOCRPixels/float64(g.W*g.H)))
	w, h := int(float64(g.W)*scale), int(float64(g.H)*scale)
	if w == g.W && h == g.H || w < 8 || h < 8 {
		return g
	}
	if scale < 1 {
		return shrink(g, w, h)
	}
	out := gray{w, h, make([]byte, w*h)}
	for y := range h {
		for x := range w {
			fx := min((float64(x)+0.5)/scale-0.5, float64(g.W)-1.001)
			fy := min((float64(y)+0.5)/scale-0.5, float64(g.H)-1.001)
			out.Pix[y*w+x] = g.at(max(fx, 0), max(fy, 0))
		}
	}
	return out
}

// shrink makes a picture smaller; each pixel is the mean of those that it covers.
func shrink(g gray, w, h int) gray {
	out := gray{w, h, make([]byte, w*h)}
	for y := range h {
		top, bottom := y*g.H/h, max((y+1)*g.H/h, y*g.H/h+1)
		for x := range w {
			left, right := x*g.W/w, max((x+1)*g.W/w, x*g.W/w+1)
			sum := 0
			for v := top; v < bottom; v++ {
				for _, p := range g.Pix[v*g.W+left : v*g.W+right] {
					sum += int(p)
				}
			}
			out.Pix[y*w+x] = byte(sum / ((bottom - top) * (right - left)))
		}
	}
	return out
}
