package page

import "math"

// Point is a place in a picture, in pixels from its top left corner.
type Point struct{ X, Y float64 }

// Homography maps one plane to another as a camera does, in homogeneous
// coordinates, row by row (Hartley and Zisserman, "Multiple View Geometry in
// Computer Vision", 2004, section 2.3).
type Homography [9]float64

// Apply maps a point. Points at infinity become NaN or infinite.
func (h *Homography) Apply(p Point) Point {
	w := h[6]*p.X + h[7]*p.Y + h[8]
	return Point{(h[0]*p.X + h[1]*p.Y + h[2]) / w, (h[3]*p.X + h[4]*p.Y + h[5]) / w}
}

// Mul returns the map that applies b first and h then.
func (h *Homography) Mul(b *Homography) Homography {
	var c Homography
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[3*i+j] += h[3*i+k] * b[3*k+j]
			}
		}
	}
	return c
}

// Inverse returns the map back, up to scale; ok is false if there is none.
func (h *Homography) Inverse() (inverse Homography, ok bool) {
	a, b, c, d, e, f, g, i, j := h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
	det := a*(e*j-f*i) - b*(d*j-f*g) + c*(d*i-e*g)
	if math.Abs(det) < 1e-12 || math.IsNaN(det) {
		return Homography{}, false
	}
	inverse = Homography{e*j - f*i, c*i - b*j, b*f - c*e, f*g - d*j, a*j - c*g, c*d - a*f, d*i - e*g, b*g - a*i, a*e - b*d}
	for k := range inverse {
		inverse[k] /= det
	}
	return inverse, true
}

// Fit returns the homography that maps from to to with the least squares of the
// algebraic errors, in coordinates that are normalized first (the direct linear
// transformation; Hartley, "In defense of the eight-point algorithm", 1997). It
// takes four pairs at least.
func Fit(from, to []Point) (h Homography, ok bool) {
	if len(from) < 4 || len(from) != len(to) {
		return h, false
	}
	nf, nt := normalizing(from), normalizing(to)
	// The last entry is 1: no map of pages sends the middle of one to infinity.
	var normal [8][9]float64
	for i := range from {
		p, q := nf.Apply(from[i]), nt.Apply(to[i])
		rows := [2][9]float64{
			{p.X, p.Y, 1, 0, 0, 0, -p.X * q.X, -p.Y * q.X, q.X},
			{0, 0, 0, p.X, p.Y, 1, -p.X * q.Y, -p.Y * q.Y, q.Y},
		}
		for _, r := range rows {
			for j := range 8 {
				for k := j; k < 9; k++ {
					normal[j][k] += r[j] * r[k]
				}
			}
		}
	}
	for j := range 8 {
		for k := range j {
			normal[j][k] = normal[k][j]
		}
	}
	x, ok := solve(normal)
	if !ok {
		return h, false
	}
	inner := Homography{x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], 1}
	back, ok := nt.Inverse()
	if !ok {
		return h, false
	}
	h = inner.Mul(&nf)
	h = back.Mul(&h)
	return h, true
}

// normalizing returns the map that puts the middle of points at zero, at a mean
// distance of one.
func normalizing(points []Point) Homography {
	var x, y, d float64
	for _, p := range points {
		x, y = x+p.X, y+p.Y
	}
	x, y = x/float64(len(points)), y/float64(len(points))
	for _, p := range points {
		d += math.Hypot(p.X-x, p.Y-y)
	}
	s := float64(len(points)) / max(d, 1e-9)
	return Homography{s, 0, -s * x, 0, s, -s * y, 0, 0, 1}
}

// solve solves eight equations by elimination with pivots.
func solve(m [8][9]float64) (x [8]float64, ok bool) {
	for i := range 8 {
		p := i
		for k := i + 1; k < 8; k++ {
			if math.Abs(m[k][i]) > math.Abs(m[p][i]) {
				p = k
			}
		}
		if !(math.Abs(m[p][i]) > 1e-12) {
			return x, false
		}
		m[i], m[p] = m[p], m[i]
		for k := i + 1; k < 8; k++ {
			f := m[k][i] / m[i][i]
			for j := i; j < 9; j++ {
				m[k][j] -= f * m[i][j]
			}
		}
	}
	for i := 7; i >= 0; i-- {
		x[i] = m[i][8]
		for j := i + 1; j < 8; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
	}
	return x, true
}

// similarity turns, scales and moves: p to (a·x - b·y + x0, b·x + a·y + y0).
type similarity struct{ a, b, x, y float64 }

func (s *similarity) apply(p Point) Point {
	return Point{s.a*p.X - s.b*p.Y + s.x, s.b*p.X + s.a*p.Y + s.y}
}

// agrees reports whether two scale and turn about as much.
func (s *similarity) agrees(o *similarity) bool {
	n, m := math.Hypot(s.a, s.b), math.Hypot(o.a, o.b)
	if n > 1.3*m || m > 1.3*n {
		return false
	}
	return s.a*o.a+s.b*o.b > 0.95*n*m // 18 degrees
}

// ends returns the points of pairs.
func ends(from, to []Point, pairs []pair) (a, b []Point) {
	for _, p := range pairs {
		a, b = append(a, from[p.q]), append(b, to[p.p])
	}
	return a, b
}

// middles returns the means of the points of pairs.
func middles(from, to []Point, pairs []pair) (fx, fy, tx, ty float64) {
	for _, p := range pairs {
		fx, fy, tx, ty = fx+from[p.q].X, fy+from[p.q].Y, tx+to[p.p].X, ty+to[p.p].Y
	}
	n := float64(len(pairs))
	return fx / n, fy / n, tx / n, ty / n
}

func fitSimilarity(from, to []Point, pairs []pair) (s similarity, ok bool) {
	fx, fy, tx, ty := middles(from, to, pairs)
	var a, b, d float64
	for _, p := range pairs {
		x, y, u, v := from[p.q].X-fx, from[p.q].Y-fy, to[p.p].X-tx, to[p.p].Y-ty
		a, b, d = a+x*u+y*v, b+x*v-y*u, d+x*x+y*y
	}
	if d < 1e-9 || a == 0 && b == 0 {
		return s, false
	}
	a, b = a/d, b/d
	return similarity{a, b, tx - a*fx + b*fy, ty - b*fx - a*fy}, true
}

// fitAffine fits a map that keeps parallels; on points of hardly more than one line, a
// similarity.
func fitAffine(from, to []Point, pairs []pair) (h Homography, ok bool) {
	s, ok := fitSimilarity(from, to, pairs)
	if !ok {
		return h, false
	}
	h = Homography{s.a, -s.b, s.x, s.b, s.a, s.y, 0, 0, 1}
	fx, fy, tx, ty := middles(from, to, pairs)
	var xx, xy, yy, xu, yu, xv, yv float64
	for _, p := range pairs {
		x, y, u, v := from[p.q].X-fx, from[p.q].Y-fy, to[p.p].X-tx, to[p.p].Y-ty
		xx, xy, yy = xx+x*x, xy+x*y, yy+y*y
		xu, yu, xv, yv = xu+x*u, yu+y*u, xv+x*v, yv+y*v
	}
	det := xx*yy - xy*xy
	if len(pairs) < 6 || det < 1e-3*(xx+yy)*(xx+yy) {
		return h, true
	}
	a, b := (xu*yy-yu*xy)/det, (yu*xx-xu*xy)/det
	c, d := (xv*yy-yv*xy)/det, (yv*xx-xv*xy)/det
	return Homography{a, b, tx - a*fx - b*fy, c, d, ty - c*fx - d*fy, 0, 0, 1}, true
}

// fitRobust fits a homography, and once more to what lies within a distance of it.
func fitRobust(from, to []Point, pairs []pair, distance float64) (h Homography, ok bool) {
	a, b := ends(from, to, pairs)
	if h, ok = Fit(a, b); !ok {
		return h, false
	}
	for range 2 {
		var c, d []Point
		for i := range a {
			if at := h.Apply(a[i]); math.Hypot(at.X-b[i].X, at.Y-b[i].Y) < distance {
				c, d = append(c, a[i]), append(d, b[i])
			}
		}
		if len(c) < 12 {
			break
		}
		if better, ok := Fit(c, d); ok {
			h = better
		}
	}
	return h, true
}
