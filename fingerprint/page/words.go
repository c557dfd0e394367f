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
	wordHeight = 9.0
	// wordBlur joins letters and keeps words apart.
	wordBlur = 2.0
	// wordSurroundings is what a word is compared with: some lines around it.
	wordSurroundings = 24.0
	// firstScale makes pictures of so many pixels a side when nothing is known of them.
	firstScale = 1000.0
	// largestSide bounds the scale: a page of a newspaper.
	largestSide = 1600.0
)

// wordsOf finds the words of a picture, in its pixels, and looks so many times closer than
// is right.
//
// The scale is found by looking: within a factor of two around the right one about the
// same words are found, and their height tells it.
func wordsOf(p Picture, closer float64) []word {
	side := math.Sqrt(float64(p.W) * float64(p.H))
	scale := math.Min(firstScale/side, 1)
	var words []word
	for try := 1; ; try++ {
		words = find(p.scaled(scale).blurred(wordBlur).darkness())
		if len(words) < minWords {
			return nil
		}
		ratio := closer * wordHeight / median(words, func(w word) float64 { return w.minor })
		next := math.Min(math.Min(scale*ratio, largestSide/side), 3)
		if try == 4 || next/scale > 0.93 && next/scale < 1.07 {
			break // words stand where this scale saw them
		}
		scale = next
	}
	for i := range words {
		w := &words[i]
		w.X, w.Y, w.minor, w.major = w.X/scale, w.Y/scale, w.minor/scale, w.major/scale
	}
	return words
}

func median(words []word, of func(word) float64) float64 {
	all := make([]float64, len(words))
	for i, w := range words {
		all[i] = of(w)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// find returns what is joined and clearly darker than its surroundings.
func find(p plane) []word {
	mean := p.meanAround(wordSurroundings)
	dark := make([]bool, len(p.v))
	for i, v := range p.v {
		dark[i] = v > 1.4*mean.v[i]+0.03
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
			strength += float64(p.v[i] - mean.v[i])
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
	least := 0.3 * strengths[len(all)*9/10]
	return slices.DeleteFunc(all, func(w word) bool { return w.strength < least })
}
