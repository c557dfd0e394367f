package page

import (
	"cmp"
	"math"
	"slices"
)

// Match is a page that a picture shows.
type Match struct {
	// ToPage maps the picture to the page, in pixels of both.
	ToPage Homography
	// Matched words of the picture lie on words of the page; of InPicture words that lie on
	// the page, and OnPage words of the page that lie in the picture.
	Matched, InPicture, OnPage int
	// Chance is the share of words that match where the page is shifted along its lines.
	Chance float64
	// Gaps is the share of stretches of words on the page in whose place the picture has
	// words that all are elsewhere. Noise leaves none; what was filled into another copy of
	// a form does.
	Gaps float64
}

// Agreement is the share of words that match, of those of both that could. A word that is
// cut off may match as well.
func (m *Match) Agreement() float64 {
	return min(2*float64(m.Matched)/float64(max(m.InPicture+m.OnPage, 1)), 1)
}

// Evidence grows with how much agrees and how well: of two pages that a part of the
// picture may show, it is the one with more of it.
func (m *Match) Evidence() float64 { return m.Agreement() * float64(m.Matched) }

// Expected is how many pages that the picture does not show would match as well by
// accident, of all those that were tried: words that lie on words where lines lie on
// lines, at random (binomial tail; Chernoff's bound of it).
func (m *Match) Expected() float64 {
	const tried = maxCandidates * maxHypotheses
	n, k := float64(m.InPicture), float64(m.Matched)
	p := math.Max(m.Chance, leastChance)
	share := k / math.Max(n, 1)
	if share <= p {
		return tried
	}
	if share >= 1 {
		return tried * math.Pow(p, n)
	}
	divergence := share*math.Log(share/p) + (1-share)*math.Log((1-share)/(1-p))
	return tried * math.Exp(-n*divergence)
}

// Box is a part of a picture, by its edges.
type Box struct{ Left, Top, Right, Bottom float64 }

// Share returns a box in shares of the width and height of a picture, without what lies
// beyond it.
func (b Box) Share(width, height int) Box {
	w, h := float64(width), float64(height)
	in := func(v, size float64) float64 { return min(max(v/size, 0), 1) }
	return Box{in(b.Left, w), in(b.Top, h), in(b.Right, w), in(b.Bottom, h)}
}

// Bounds returns the least upright box around what a box is mapped to.
func (h *Homography) Bounds(b Box) Box {
	out := Box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range []Point{{b.Left, b.Top}, {b.Right, b.Top}, {b.Right, b.Bottom}, {b.Left, b.Bottom}} {
		at := h.Apply(p)
		out.Left, out.Right = math.Min(out.Left, at.X), math.Max(out.Right, at.X)
		out.Top, out.Bottom = math.Min(out.Top, at.Y), math.Max(out.Bottom, at.Y)
	}
	return out
}

// Regions returns where in the picture the page is, and which part of the page it shows,
// in shares of both. They are upright boxes around what may be turned.
func (m *Match) Regions(p Picture, s *Sheet) (inPicture, onPage Box, ok bool) {
	back, ok := m.ToPage.Inverse()
	if !ok {
		return inPicture, onPage, false
	}
	inPicture = back.Bounds(Box{0, 0, s.Width, s.Height}).Share(p.W, p.H)
	onPage = m.ToPage.Bounds(Box{0, 0, float64(p.W), float64(p.H)}).Share(int(s.Width), int(s.Height))
	for _, v := range []float64{inPicture.Left, inPicture.Top, inPicture.Right, inPicture.Bottom, onPage.Left, onPage.Top, onPage.Right, onPage.Bottom} {
		if math.IsNaN(v) {
			return inPicture, onPage, false
		}
	}
	return inPicture, onPage, inPicture.Right > inPicture.Left && inPicture.Bottom > inPicture.Top && onPage.Right > onPage.Left && onPage.Bottom > onPage.Top
}

// Rectify returns the page as the picture shows it, level and without perspective, and
// the map back into the picture. It is about as large as in the picture.
func (m *Match) Rectify(p Picture, s *Sheet) (flat Picture, back Homography, ok bool) {
	back, ok = m.ToPage.Inverse()
	if !ok {
		return flat, back, false
	}
	seen := m.ToPage.Bounds(Box{0, 0, float64(p.W), float64(p.H)})
	seen = Box{math.Max(seen.Left, 0), math.Max(seen.Top, 0), math.Min(seen.Right, s.Width), math.Min(seen.Bottom, s.Height)}
	w, h := seen.Right-seen.Left, seen.Bottom-seen.Top
	if !(w > 8 && h > 8) {
		return flat, back, false
	}
	// As many pixels as the picture has of it.
	box := back.Bounds(seen)
	pixels := (math.Min(box.Right, float64(p.W)) - math.Max(box.Left, 0)) * (math.Min(box.Bottom, float64(p.H)) - math.Max(box.Top, 0))
	scale := math.Sqrt(pixels / (w * h))
	if !(scale > 0.05 && scale < 20) || pixels > maxRectified {
		return flat, back, false
	}
	place := Homography{1 / scale, 0, seen.Left, 0, 1 / scale, seen.Top, 0, 0, 1}
	back = back.Mul(&place)
	flat = NewPicture(max(int(w*scale), 1), max(int(h*scale), 1))
	for y := range flat.H {
		for x := range flat.W {
			at := back.Apply(Point{float64(x) + 0.5, float64(y) + 0.5})
			flat.Pix[y*flat.W+x] = p.between(at.X-0.5, at.Y-0.5)
		}
	}
	return flat, back, true
}

// maxRectified bounds a picture that is made: more than any that is looked at.
const maxRectified = 32 << 20

// leastChance is the least share of words that is taken to match by accident. A guess has
// been fitted to the words, and shifts are not.
const leastChance = 0.35

type pair struct{ q, p int32 }

// maxHypotheses is how many hits are tried as the place of the page.
const maxHypotheses = 40

// maxGuesses bounds the hits that are compared with each other. A page in full view has
// about as many; one of dots or boxes has a hundred thousand.
const maxGuesses = 1500

// guess is where the page lies, by a code that both have.
type guess struct {
	turn    uint8
	pairs   []pair
	to      similarity
	q, p    Point // the word in the picture and on the page
	support int   // how many guesses agree, itself included
}

// foresees returns how far off another guess is from where this one expects it on the page,
// and how far apart they are; ok is false if they scale or turn differently.
func (g *guess) foresees(o *guess) (off, apart float64, ok bool) {
	if o.turn != g.turn || !g.to.agrees(&o.to) {
		return 0, 0, false
	}
	at := g.to.apply(o.q)
	return math.Hypot(at.X-o.p.X, at.Y-o.p.Y), math.Hypot(o.p.X-g.p.X, o.p.Y-g.p.Y), true
}

// Verify finds out whether the picture shows a page, given what they have in common.
func (q *Query) Verify(s *Sheet, hits []Hit) (best Match, found bool) {
	type coded struct {
		word    int32
		pattern uint8
	}
	var index []coded
	s.layout.codes(func(c *code) { index = append(index, coded{c.word, uint8(c.pattern)}) })

	// Hits of the same words are one.
	seen := map[[3]int32]bool{}
	var guesses []guess
	var a, b code
	for _, h := range hits {
		if len(guesses) == maxGuesses {
			break
		}
		ask := q.asks[h.ask]
		if int(h.index) >= len(index) || index[h.index].pattern != ask.pattern {
			continue // another hash by accident
		}
		w := index[h.index].word
		key := [3]int32{ask.word, w, int32(ask.turn)}
		if seen[key] {
			continue
		}
		seen[key] = true
		pattern := patterns[ask.pattern]
		if !q.layouts[ask.turn].code(&a, ask.word, pattern) || !s.layout.code(&b, w, pattern) {
			continue
		}
		g := guess{turn: ask.turn, q: q.layouts[0].points[ask.word], p: s.layout.points[w]}
		for k := range a.members {
			g.pairs = append(g.pairs, pair{a.members[k], b.members[k]})
		}
		var ok bool
		if g.to, ok = fitSimilarity(q.layouts[0].points, s.layout.points, g.pairs); ok {
			guesses = append(guesses, g)
		}
	}
	if len(guesses) == 0 {
		return best, false
	}
	unit := s.layout.unit
	for i := range guesses {
		g := &guesses[i]
		for j := range guesses {
			o := &guesses[j]
			if off, apart, ok := g.foresees(o); ok && off < unit+0.15*apart {
				g.support++
			}
		}
	}
	order := make([]int, len(guesses))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(guesses[j].support, guesses[i].support) })
	tried := 0
	for _, i := range order {
		g := &guesses[i]
		if tried == maxHypotheses || tried > 0 && g.support == 1 && tried > 6 {
			break
		}
		// What the best so far explains needs no other try.
		if tried > 0 && best.Matched > 0 {
			at := best.ToPage.Apply(g.q)
			if math.Hypot(at.X-g.p.X, at.Y-g.p.Y) < 2*unit {
				continue
			}
		}
		tried++
		pairs := slices.Clone(g.pairs)
		for j := range guesses {
			o := &guesses[j]
			if off, apart, ok := g.foresees(o); ok && j != i && apart < 12*unit && off < unit {
				pairs = append(pairs, o.pairs...)
			}
		}
		if m, ok := q.grow(s, pairs); ok && m.Evidence() > best.Evidence() {
			best = m
			if best.Agreement() > 0.7 && best.Matched > 60 {
				break
			}
		}
	}
	return best, best.Matched > 0
}

// grow extends a guess from a few words to all of the picture.
func (q *Query) grow(s *Sheet, pairs []pair) (m Match, ok bool) {
	points, unit := q.layouts[0].points, s.layout.unit
	to, ok := fitAffine(points, s.layout.points, pairs)
	if !ok {
		return m, false
	}
	from, _ := ends(points, s.layout.points, pairs)
	box := boundsOf(from)
	whole := false
	for round := range 14 {
		grownX, grownY := 0.35*(box.right-box.left)+3*q.layouts[0].unit, 0.35*(box.bottom-box.top)+3*q.layouts[0].unit
		box = bounds{box.left - grownX, box.top - grownY, box.right + grownX, box.bottom + grownY}
		next := q.nearest(s, &to, box, 0.8*unit)
		if len(next) < 8 {
			return m, false
		}
		var fitted Homography
		if len(next) < 24 {
			fitted, ok = fitAffine(points, s.layout.points, next)
		} else {
			fitted, ok = fitRobust(points, s.layout.points, next, 0.4*unit)
		}
		if !ok || !sane(&fitted, box) {
			return m, false
		}
		to = fitted
		if whole && round > 2 {
			break
		}
		whole = box.left <= 0 && box.top <= 0 && box.right >= q.Width && box.bottom >= q.Height
		if !whole {
			from, _ := ends(points, s.layout.points, next)
			box = boundsOf(from)
		}
	}
	return q.measure(s, to)
}

// Refine looks at the picture once more, in the scale in which the page was looked at when
// it was registered: now that it is known where the page is, what is one word there is
// one word here. What was a weak match of the right page becomes a strong one. It also
// returns how many words it found.
func (m *Match) Refine(p Picture, s *Sheet) (better Match, n int, ok bool) {
	back, ok := m.ToPage.Inverse()
	if !ok {
		return better, 0, false
	}
	// How many pixels of the picture one of the page is, in the middle of what is seen.
	seen := m.ToPage.Bounds(Box{0, 0, float64(p.W), float64(p.H)})
	middle := Point{(math.Max(seen.Left, 0) + math.Min(seen.Right, s.Width)) / 2, (math.Max(seen.Top, 0) + math.Min(seen.Bottom, s.Height)) / 2}
	const step = 8
	a, b, c := back.Apply(middle), back.Apply(Point{middle.X + step, middle.Y}), back.Apply(Point{middle.X, middle.Y + step})
	pixels := math.Sqrt(math.Abs((b.X-a.X)*(c.Y-a.Y)-(b.Y-a.Y)*(c.X-a.X))) / step
	scale := math.Min(s.scale/pixels, largestScale(p.side()))
	if !(scale > 0.01) {
		return better, 0, false
	}
	words := p.softened(scale).words()
	if len(words) < fewWords {
		return better, 0, false
	}
	words = strongest(telling(words))
	if len(words) < fewWords {
		return better, 0, false
	}
	for i := range words {
		words[i] = words[i].times(1 / scale)
	}
	q := &Query{Width: float64(p.W), Height: float64(p.H)}
	q.layouts[0] = layoutOf(words)
	to, all := m.ToPage, bounds{0, 0, q.Width, q.Height}
	for _, distance := range [...]float64{1, 0.8, 0.6} {
		pairs := q.nearest(s, &to, all, distance*s.layout.unit)
		if len(pairs) < 12 {
			return better, 0, false
		}
		fitted, ok := fitRobust(q.layouts[0].points, s.layout.points, pairs, 0.4*s.layout.unit)
		seen, _ := ends(q.layouts[0].points, s.layout.points, pairs)
		if !ok || !sane(&fitted, boundsOf(seen)) {
			return better, 0, false
		}
		to = fitted
	}
	better, ok = q.measure(s, to)
	return better, len(words), ok
}

// measure counts what of the picture lies on what of the page.
func (q *Query) measure(s *Sheet, to Homography) (m Match, ok bool) {
	points, unit := q.layouts[0].points, s.layout.unit
	m = Match{ToPage: to}
	all := bounds{0, 0, q.Width, q.Height}
	matching := q.nearest(s, &to, all, 0.4*unit)
	m.Matched = len(matching)
	back, ok := to.Inverse()
	if !ok {
		return m, false
	}
	// Words at the edges may be cut off.
	text := boundsOf(s.layout.points)
	margin := 2 * unit
	for _, p := range points {
		at := to.Apply(p)
		if at.X > text.left-margin && at.X < text.right+margin && at.Y > text.top-margin && at.Y < text.bottom+margin {
			m.InPicture++
		}
	}
	edge := q.layouts[0].unit * 1.5
	inside := make([]bool, len(s.layout.points))
	for i, p := range s.layout.points {
		at := back.Apply(p)
		if at.X > edge && at.X < q.Width-edge && at.Y > edge && at.Y < q.Height-edge {
			m.OnPage++
			inside[i] = true
		}
	}
	m.Gaps = q.gaps(s, &to, inside, matching)
	// How many words match by accident where lines lie on lines.
	sin, cos := math.Sincos(s.layout.angle)
	sum := 0
	shifts := [...]float64{-7.3, -4.1, -2.2, 2.2, 4.1, 7.3}
	for _, d := range shifts {
		shift := Homography{1, 0, d * unit * cos, 0, 1, d * unit * sin, 0, 0, 1}
		moved := shift.Mul(&to)
		sum += len(q.nearest(s, &moved, all, 0.4*unit))
	}
	m.Chance = float64(sum) / float64(len(shifts)) / float64(max(m.InPicture, 1))
	return m, true
}

// Alike is how well two pages agree, laid on each other: 1 if they are the same, about
// what is printed if they are copies of a form.
func (s *Sheet) Alike(o *Sheet) float64 {
	q := &Query{Width: s.Width, Height: s.Height}
	q.layouts[0] = s.layout
	m, ok := q.measure(o, Homography{o.Width / s.Width, 0, 0, 0, o.Height / s.Height, 0, 0, 0, 1})
	if !ok {
		return 0
	}
	return m.Agreement()
}

// stretch is how many words on a line make a gap if none of them matches.
const stretch = 4

// gaps is the share of stretches of words, of those that the picture shows, none of which
// matches although there are words in their place. Where there are none, something lies
// over the page.
func (q *Query) gaps(s *Sheet, to *Homography, shown []bool, matching []pair) float64 {
	l := s.layout
	matches := make([]bool, len(l.points))
	for _, p := range matching {
		matches[p.p] = true
	}
	// The words of the picture, on the page.
	var there []Point
	for _, p := range q.layouts[0].points {
		there = append(there, to.Apply(p))
	}
	seen := newLayout(there, l.unit, l.angle)
	all, none := 0, 0
	var words []int32
	for i := range l.points {
		words = l.chain(words[:0], int32(i), stretch)
		if words == nil || slices.ContainsFunc(words, func(j int32) bool { return !shown[j] }) {
			continue
		}
		all++
		if slices.ContainsFunc(words, func(j int32) bool { return matches[j] }) {
			continue
		}
		first, last := words[0], words[stretch-1]
		middle, half := (l.along[first]+l.along[last])/2, (l.along[last]-l.along[first])/2
		height := math.Abs(l.across[last]-l.across[first])/2 + 0.7*l.unit
		others := 0
		seen.around(middle, (l.across[first]+l.across[last])/2, half, height, func(j int32) {
			if math.Abs(seen.along[j]-middle) <= half && math.Abs(seen.across[j]-(l.across[first]+l.across[last])/2) <= height {
				others++
			}
		})
		if others >= stretch/2 {
			none++
		}
	}
	return float64(none) / float64(max(all, 1))
}

// Doubtful reports whether the words that do not match lie together, rather than
// scattered as noise scatters them: the picture may show another copy of the form that the
// page is a copy of.
func (m *Match) Doubtful() bool {
	const least = 0.02
	scattered := math.Pow(1-min(m.Agreement(), 1), stretch)
	return m.Gaps > least+3*scattered
}

type bounds struct{ left, top, right, bottom float64 }

func boundsOf(points []Point) bounds {
	b := bounds{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range points {
		b.left, b.right = math.Min(b.left, p.X), math.Max(b.right, p.X)
		b.top, b.bottom = math.Min(b.top, p.Y), math.Max(b.bottom, p.Y)
	}
	return b
}

func (b bounds) holds(p Point) bool {
	return p.X >= b.left && p.X <= b.right && p.Y >= b.top && p.Y <= b.bottom
}

// nearest returns the pairs of words that lie on each other, each the nearest of the
// other, within a distance on the page.
func (q *Query) nearest(s *Sheet, to *Homography, within bounds, distance float64) []pair {
	l := s.layout
	sin, cos := math.Sincos(l.angle)
	type claim struct {
		q int32
		d float64
	}
	claims := map[int32]claim{}
	for i, p := range q.layouts[0].points {
		if !within.holds(p) {
			continue
		}
		at := to.Apply(p)
		along, across := at.X*cos+at.Y*sin, at.Y*cos-at.X*sin
		if !(math.Abs(along) < 1e6 && math.Abs(across) < 1e6) {
			continue
		}
		best, found := distance, int32(-1)
		l.around(along, across, distance, distance, func(j int32) {
			if d := math.Hypot(l.along[j]-along, l.across[j]-across); d < best {
				best, found = d, j
			}
		})
		if found >= 0 {
			if c, taken := claims[found]; !taken || best < c.d {
				claims[found] = claim{int32(i), best}
			}
		}
	}
	pairs := make([]pair, 0, len(claims))
	for p, c := range claims {
		pairs = append(pairs, pair{c.q, p})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.q, b.q) })
	return pairs
}

// sane reports whether a map keeps its sense and a size that can be seen over a part of the
// picture.
func sane(h *Homography, b bounds) bool {
	for _, p := range []Point{{b.left, b.top}, {b.right, b.top}, {b.right, b.bottom}, {b.left, b.bottom}} {
		w := h[6]*p.X + h[7]*p.Y + h[8]
		// The determinant of the derivative.
		at := h.Apply(p)
		a, c := (h[0]-h[6]*at.X)/w, (h[1]-h[7]*at.X)/w
		d, e := (h[3]-h[6]*at.Y)/w, (h[4]-h[7]*at.Y)/w
		if det := a*e - c*d; !(det > 0.01 && det < 400) {
			return false
		}
	}
	return true
}
