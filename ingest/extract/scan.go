package extract

import (
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/ingest"
)

// prepare makes the picture of a page ready for recognition: light evened, lines
// level, letters of a size that is read well. Each step is taken only where it is
// sure to help; a picture that needs none is returned as it is. A page with
// nothing to read on it is returned empty.
func prepare(g gray) gray {
	g, _ = prepared(g)
	return g
}

// prepared also returns the map from the picture that it makes to the one given.
func prepared(g gray) (gray, page.Homography) {
	back := page.Homography{1, 0, 0, 0, 1, 0, 0, 0, 1}
	if g.W < 8 || g.H < 8 {
		return gray{}, back
	}
	g = even(gray(page.Picture(g).OnPaper()))
	ink := threshold(g)
	letters := lettersOf(ink)
	if len(letters) < ingest.MinInk {
		return gray{}, back
	}
	if onItsSide(letters, ink) {
		back = page.Homography{0, -1, float64(g.W), 1, 0, 0, 0, 0, 1}
		g = quarter(g)
		ink = threshold(g)
		letters = lettersOf(ink)
	}
	if angle := skew(points(ink)); angle != 0 {
		turned := rotate(g, angle)
		sin, cos := math.Sincos(angle * math.Pi / 180)
		w, h := float64(turned.W)/2, float64(turned.H)/2
		step := page.Homography{cos, sin, float64(g.W)/2 - w*cos - h*sin, -sin, cos, float64(g.H)/2 + w*sin - h*cos, 0, 0, 1}
		back = back.Mul(&step)
		g = turned
	}
	scaled := rescale(g, letterHeight(letters))
	step := page.Homography{float64(g.W) / float64(scaled.W), 0, 0, 0, float64(g.H) / float64(scaled.H), 0, 0, 0, 1}
	return scaled, back.Mul(&step)
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
	// Which two cells each column lies between, and how near to the second.
	left, near := make([]int, g.W), make([]float64, g.W)
	for x := range left {
		left[x], near[x] = between(x, cell, w)
	}
	row := make([]float64, w+1)
	for y := range g.H {
		above, ty := between(y, cell, h)
		below := min(above+1, h-1)
		for x := range w {
			row[x] = paper[above*w+x]*(1-ty) + paper[below*w+x]*ty
		}
		row[w] = row[w-1]
		from, to := g.Pix[y*g.W:][:g.W], out.Pix[y*g.W:][:g.W]
		for x, p := range from {
			i := left[x]
			around := row[i] + (row[i+1]-row[i])*near[x]
			to[x] = byte(min(float64(p)*255/max(around, 1), 255))
		}
	}
	return out
}

// between returns after which of n cells' middles a pixel lies, and how far on the
// way to the next.
func between(pixel, cell, n int) (after int, way float64) {
	at := min(max((float64(pixel)+0.5)/float64(cell)-0.5, 0), float64(n-1))
	after = int(at)
	return after, at - float64(after)
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
		above, here := sums[y*(g.W+1)+1:][:g.W], sums[(y+1)*(g.W+1)+1:][:g.W]
		for x, p := range g.Pix[y*g.W:][:g.W] {
			row += uint32(p)
			here[x] = above[x] + row
		}
	}
	// As large for a page on its side. It keeps the products below in 32 bits, which
	// MaxOCRPixels would not on a picture that is very wide.
	radius := max(int(math.Sqrt(float64(g.W*g.H)))/32, 8)
	for y := range g.H {
		top, bottom := max(y-radius, 0), min(y+radius+1, g.H)
		above, below := sums[top*(g.W+1):][:g.W+1], sums[bottom*(g.W+1):][:g.W+1]
		from, to := g.Pix[y*g.W:][:g.W], b.ink[y*g.W:][:g.W]
		for x, p := range from {
			left, right := max(x-radius, 0), min(x+radius+1, g.W)
			sum := below[right] - above[right] - below[left] + above[left]
			n := uint32((bottom - top) * (right - left))
			to[x] = uint32(p)*n*100 < sum*80
		}
	}
	return b
}

// lettersOf returns what is joined and of the size of letters, which rules, frames,
// borders and specks are not.
func lettersOf(b bitmap) []box {
	return slices.DeleteFunc(joined(b), func(o box) bool {
		h, w := o.bottom-o.top+1, o.right-o.left+1
		return h < 5 || h >= min(b.h*9/10, 400) || w < 2 || w >= b.w/2 || w >= 30*h || o.size < 10
	})
}

// letterHeight returns the median height of letters. Much lower ones are left out:
// they are the dots of Urdu, as many as its letters, and periods.
func letterHeight(letters []box) int {
	if len(letters) == 0 {
		return goodLetters
	}
	var heights []int
	for _, o := range letters {
		heights = append(heights, o.bottom-o.top+1)
	}
	slices.Sort(heights)
	tall := heights[len(heights)*9/10]
	whole, _ := slices.BinarySearch(heights, tall/3)
	heights = heights[whole:]
	return heights[len(heights)/2]
}

// onItsSide reports whether letters stand in columns much rather than in lines. The
// measure of lines is over the height of the page, or a narrow one would always
// seem to be on its side.
func onItsSide(letters []box, page bitmap) bool {
	lines := func(edges func(box) (along, low, high int), size int) float64 {
		low, high := make([][2]float64, len(letters)), make([][2]float64, len(letters))
		for i, o := range letters {
			x, l, h := edges(o)
			low[i], high[i] = [2]float64{float64(x), float64(l)}, [2]float64{float64(x), float64(h)}
		}
		best := 0.0
		for d := -maxSkew; d <= maxSkew; d += 0.5 {
			best = max(best, sharpness(low, slope(d)), sharpness(high, slope(d)))
		}
		return best * float64(size)
	}
	level := lines(func(o box) (int, int, int) { return (o.left + o.right) / 2, o.top, o.bottom }, page.h)
	onSide := lines(func(o box) (int, int, int) { return (o.top + o.bottom) / 2, o.left, o.right }, page.w)
	return onSide > 1.3*level
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

// slope is how much a line rises that is turned by some degrees.
func slope(degrees float64) float64 { return math.Tan(degrees * math.Pi / 180) }

// maxSkew is up to how many degrees a page is leveled. A sheet goes into a scanner
// by less.
const maxSkew = 8.0

// rotate turns a picture by some degrees around its middle, on white that is large
// enough for its corners.
func rotate(g gray, degrees float64) gray {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	w := int(math.Ceil(float64(g.W)*cos + float64(g.H)*math.Abs(sin)))
	h := int(math.Ceil(float64(g.H)*cos + float64(g.W)*math.Abs(sin)))
	out := gray{w, h, make([]byte, w*h)}
	right, down := subpixels(cos), subpixels(sin)
	for y := range h {
		dx, dy := -float64(w)/2, float64(y)-float64(h)/2
		u, v := subpixels(float64(g.W)/2+dx*cos+dy*sin), subpixels(float64(g.H)/2-dx*sin+dy*cos)
		for x := range out.Pix[y*w:][:w] {
			out.Pix[y*w+x] = g.at(u, v)
			u, v = u+right, v-down
		}
	}
	return out
}

// subpixels returns a number of pixels in parts of 65,536.
func subpixels(x float64) int { return int(math.Round(x * (1 << 16))) }

// at returns the light between pixels, at a place in parts of 65,536 of one; white
// beyond the edge.
func (g gray) at(x, y int) byte {
	i, j := x>>16, y>>16
	if i < 0 || j < 0 || i >= g.W-1 || j >= g.H-1 {
		return 255
	}
	right, below := x>>8&255, y>>8&255
	a, b := g.Pix[j*g.W+i:][:2], g.Pix[(j+1)*g.W+i:][:2]
	top := int(a[0])*(256-right) + int(a[1])*right
	bottom := int(b[0])*(256-right) + int(b[1])*right
	return byte((top*(256-below) + bottom*below + 1<<15) >> 16)
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

// Letters between small and large are read well, of either script. Smaller ones are
// made good, by up to three times; larger ones are reduced, which saves time, and of
// large Nastaliq much more is read then. Its letters are joined, and so the tallest:
// large is above those of ordinary print at OCRResolution.
const (
	smallLetters, goodLetters    = 13, 20
	reducedLetters, largeLetters = 26, 40
)

func rescale(g gray, height int) gray {
	scale := 1.0
	switch {
	case height < smallLetters:
		scale = min(float64(goodLetters)/float64(max(height, 1)), 3)
	case height > largeLetters:
		scale = float64(reducedLetters) / float64(height)
	}
	scale = min(scale, math.Sqrt(ingest.MaxOCRPixels/float64(g.W*g.H)), ingest.MaxOCRSide/float64(max(g.W, g.H)))
	w, h := int(float64(g.W)*scale), int(float64(g.H)*scale)
	if w == g.W && h == g.H || w < 8 || h < 8 {
		return g
	}
	if scale < 1 {
		return shrink(g, w, h)
	}
	out := gray{w, h, make([]byte, w*h)}
	// Up to the middle of the last pixel, beyond which nothing is known.
	place := func(at, size int) int { return max(min(subpixels((float64(at)+0.5)/scale-0.5), (size-1)<<16-1), 0) }
	for y := range h {
		v := place(y, g.H)
		for x := range w {
			out.Pix[y*w+x] = g.at(place(x, g.W), v)
		}
	}
	return out
}

// shrink makes a picture smaller.
func shrink(g gray, w, h int) gray { return gray(page.Picture(g).Shrink(w, h)) }
