package page

import (
	"math"
	"slices"
)

// word is what is joined when a page is looked at from afar: a word in Latin print, a few
// ligatures in Nastaliq. It has the shape of the ellipse of the same moments.
type word struct {
	Point
	minor, major float64 // lengths of the axes
	angle        float64 // of the long one
	strength     float64 // how much darker than its surroundings
}

// In the scale in which pages are looked at,
const (
	// wordHeight is the median lesser axis of words. With smaller letters less is told
	// apart, with larger ones less of blur and noise is smoothed away.
	wordHeight = 7.5
	// wordBlur joins letters and keeps words apart.
	wordBlur = 2.0
	// wordSurroundings is what a word is compared with: some lines around it.
	wordSurroundings = 24.0
	// A point is part of a word if it is so many times as dark as its surroundings and so
	// much darker. With a larger factor or a smaller difference, what lies between words
	// comes and goes with noise: then of Nastaliq half as many words are found again.
	around, least = 0.9, 0.1
	// firstScale makes pictures of so many pixels a side when nothing is known of them.
	firstScale = 800.0
	// largestSide bounds the scale: a page of a newspaper.
	largestSide = 1600.0
)

// wordsOf finds the words of a picture, in its pixels, and looks so many times closer than
// is right. It also returns the scale in which it found them; no words if they are too few.
//
// The scale is found by looking: within a factor of two around the right one about the
// same words are found, and their height tells it.
func wordsOf(p Picture, closer float64) (words []word, scale float64) {
	return p.wordsFrom(p.afar(), closer)
}

// afar returns the picture in the scale in which it is looked at first.
func (p Picture) afar() plane { return p.softened(math.Min(firstScale/p.side(), 1)) }

// wordsFrom is wordsOf, given the look from afar, which it uses up.
func (p Picture) wordsFrom(look plane, closer float64) (words []word, scale float64) {
	side := p.side()
	scale = math.Min(firstScale/side, 1)
	for try := 1; ; try++ {
		if try > 1 {
			look = p.softened(scale)
		}
		words = look.words()
		if len(words) < fewWords {
			return nil, scale
		}
		ratio := closer * wordHeight / median(words, func(w word) float64 { return w.minor })
		next := math.Min(scale*ratio, largestScale(side))
		if try == 4 || next/scale > 0.93 && next/scale < 1.07 {
			break // words stand where this scale saw them
		}
		// To look closer at grass takes long, and shows more grass. What is larger than words
		// should be may be print from nearby, if it looks like print from a little farther away.
		if (next > 1.1*scale || try == 2) && !layoutOf(words).text() {
			return nil, scale
		}
		scale = next
	}
	for i := range words {
		words[i] = words[i].times(1 / scale)
	}
	return telling(words), scale
}

// telling returns the words without those that are as large as those beside them and stand
// at regular distances: dots and dashes to write on, cells that all say the same. They lie
// on each other wherever a page has any.
func telling(words []word) []word {
	const run = 5
	l := layoutOf(words)
	drop := make([]bool, len(words))
	var m []int32
	for i := range words {
		if m = l.chain(m[:0], int32(i), run); m == nil {
			continue
		}
		step := [2]float64{math.Inf(1), 0}
		size := step
		for k, j := range m {
			size = [2]float64{math.Min(size[0], words[j].major), math.Max(size[1], words[j].major)}
			if k > 0 {
				d := l.along[j] - l.along[m[k-1]]
				step = [2]float64{math.Min(step[0], d), math.Max(step[1], d)}
			}
		}
		if step[1] < 1.2*step[0] && size[1] < 1.35*size[0] {
			for _, j := range m {
				drop[j] = true
			}
		}
	}
	kept := make([]word, 0, len(words))
	for i, w := range words {
		if !drop[i] {
			kept = append(kept, w)
		}
	}
	return kept
}

// largestScale bounds the time that a look takes.
func largestScale(side float64) float64 { return math.Min(largestSide/side, 3) }

// softened returns the picture in a scale in which letters are joined.
func (p Picture) softened(scale float64) plane {
	out := p.scaled(scale)
	out.blur(wordBlur)
	return out
}

// side is the side of a square with as many pixels.
func (p Picture) side() float64 { return math.Sqrt(float64(p.W) * float64(p.H)) }

// times returns the word in another scale.
func (w word) times(f float64) word {
	w.X, w.Y, w.minor, w.major = w.X*f, w.Y*f, w.minor*f, w.major*f
	return w
}

func median(words []word, of func(word) float64) float64 {
	all := make([]float64, len(words))
	for i, w := range words {
		all[i] = of(w)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// words returns what is joined and clearly darker than its surroundings, in a softened
// picture, which it uses up.
func (p plane) words() []word {
	p.darken()
	means := p.meanAround(wordSurroundings).larger(p.w, p.h)
	dark := make([]bool, len(p.v))
	for y := range p.h {
		row, is, mean := p.v[y*p.w:][:p.w], dark[y*p.w:][:p.w], means(y)[:p.w]
		for x, v := range row {
			is[x] = v > around*mean[x]+least
			row[x] = v - mean[x] // from here on
		}
	}
	var all []word
	var stack []int32
	for start := range dark {
		if !dark[start] {
			continue
		}
		dark[start] = false
		stack = append(stack[:0], int32(start))
		var n, x1, y1, xx, xy, yy, strength float64
		inside := true
		for len(stack) > 0 {
			i := int(stack[len(stack)-1])
			stack = stack[:len(stack)-1]
			x, y := i%p.w, i/p.w
			dx, dy := float64(x-start%p.w), float64(y-start/p.w)
			n, x1, y1, xx, xy, yy = n+1, x1+dx, y1+dy, xx+dx*dx, xy+dx*dy, yy+dy*dy
			strength += float64(p.v[i])
			if x == 0 || y == 0 || x == p.w-1 || y == p.h-1 {
				inside = false
				continue
			}
			for _, j := range [4]int{i - 1, i + 1, i - p.w, i + p.w} {
				if dark[j] {
					dark[j] = false
					stack = append(stack, int32(j))
				}
			}
		}
		if !inside || n < 8 {
			continue
		}
		x1, y1 = x1/n, y1/n
		xx, yy, xy = xx/n-x1*x1+1./12, yy/n-y1*y1+1./12, xy/n-x1*y1
		mid, d := (xx+yy)/2, math.Hypot((xx-yy)/2, xy)
		w := word{
			Point: Point{float64(start%p.w) + x1 + 0.5, float64(start/p.w) + y1 + 0.5},
			minor: 4 * math.Sqrt(max(mid-d, 0)), major: 4 * math.Sqrt(mid+d),
			angle: math.Atan2(2*xy, xx-yy) / 2, strength: strength / n,
		}
		if w.minor > 6*wordHeight || w.major > 30*w.minor {
			continue // pictures, rules
		}
		all = append(all, w)
	}
	if len(all) == 0 {
		return nil
	}
	strengths := make([]float64, len(all))
	for i, w := range all {
		strengths[i] = w.strength
	}
	slices.Sort(strengths)
	weak := 0.3 * strengths[len(all)*9/10]
	return slices.DeleteFunc(all, func(w word) bool { return w.strength < weak })
}
