// Package pagetest makes of the picture of a page what social media make of it.
package pagetest

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"github.com/sealprint/sealprint/fingerprint/page"
)

// Kinds of what is done to a page.
var Kinds = []string{
	"clean", "small", "jpeg 30", "rotated", "perspective", "blur", "noise", "light", "moiré", "third", "part",
	"screenshot", "phone 1200", "phone 900", "screen photo", "sideways", "upside down",
}

// Shot is a picture of a page.
type Shot struct {
	page.Picture
	// From maps the page, in pixels of its picture, to the shot.
	From page.Homography
}

// Degrade makes a shot of a kind. Chance decides on the details.
func Degrade(p page.Picture, kind string, chance *rand.Rand) Shot {
	between := func(low, high float64) float64 { return low + (high-low)*chance.Float64() }
	w, h := float64(p.W), float64(p.H)
	c := camera{page: p, chance: chance}
	whole := func(width float64) {
		c.width, c.height = int(width), int(width*h/w)
		c.corners = rectangle(0, 0, width, width*h/w)
	}
	// tilted puts the page on a desk, its corners moved by up to a share of its width.
	tilted := func(width, share float64) {
		margin := width * 0.1
		inner := width - 2*margin
		c.width, c.height = int(width), int(inner*h/w+2*margin)
		c.corners = rectangle(margin, margin, inner, inner*h/w)
		for i := range c.corners {
			c.corners[i].X += between(-share, share) * inner
			c.corners[i].Y += between(-share, share) * inner
		}
		c.desk = between(20, 110)
	}
	switch kind {
	case "clean":
		whole(1080)
		c.quality = 90
	case "small":
		whole(720)
		c.quality = 60
	case "jpeg 30":
		whole(1080)
		c.quality = 30
	case "rotated":
		whole(1080)
		c.turn(between(2, 5) * sign(chance))
		c.quality, c.desk = 80, 255
	case "perspective":
		tilted(1200, 0.07)
		c.quality = 80
	case "blur":
		whole(1080)
		c.blur, c.quality = 1.6, 80
	case "noise":
		whole(1080)
		c.noise, c.quality = 25, 85
	case "light":
		whole(1080)
		c.light, c.quality = true, 80
	case "moiré":
		whole(1080)
		c.moire, c.quality = between(0.25, 0.45), 80
	case "third":
		whole(1080)
		c.crop(0, between(0, 2./3), 1, 1./3)
		c.quality = 80
	case "part":
		whole(1080)
		c.crop(between(0, 0.5), between(0, 0.6), 0.5, 0.4)
		c.quality = 80
	case "screenshot":
		c.width, c.height = 1080, 1540
		scale := min(1080/w, 1540/h*0.95)
		c.corners = rectangle((1080-w*scale)/2, 770-h*scale/2, w*scale, h*scale)
		c.desk, c.bars, c.quality = 24, 110, 80
	case "phone 1200":
		tilted(1200, 0.06)
		c.light, c.blur, c.noise, c.quality = true, 0.8, 6, 65
	case "phone 900":
		tilted(900, 0.06)
		c.light, c.blur, c.noise, c.quality = true, 0.8, 6, 50
	case "screen photo":
		tilted(1200, 0.05)
		c.light, c.blur, c.noise, c.quality, c.moire = true, 0.8, 6, 60, between(0.15, 0.3)
	case "sideways":
		whole(1080)
		c.turn(90 * sign(chance))
		c.quality = 80
	case "upside down":
		whole(1080)
		c.turn(180)
		c.quality = 80
	}
	return c.shoot()
}

func sign(chance *rand.Rand) float64 { return float64(2*chance.IntN(2) - 1) }

func rectangle(x, y, w, h float64) [4]page.Point {
	return [4]page.Point{{X: x, Y: y}, {X: x + w, Y: y}, {X: x + w, Y: y + h}, {X: x, Y: y + h}}
}

type camera struct {
	page          page.Picture
	chance        *rand.Rand
	width, height int
	corners       [4]page.Point // of the page in the shot
	desk          float64       // light around the page
	bars          int           // height of bars above and below
	blur          float64       // deviation, in pixels of the shot
	noise         float64       // deviation
	light         bool          // a gradient and a shadow
	moire         float64       // depth of a grid of pixels
	quality       int           // of JPEG
}

// turn turns the page around its middle, and grows the shot around it.
func (c *camera) turn(degrees float64) {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	w, h := float64(c.width), float64(c.height)
	c.width, c.height = int(w*math.Abs(cos)+h*math.Abs(sin)+0.5), int(w*math.Abs(sin)+h*math.Abs(cos)+0.5)
	for i, p := range c.corners {
		x, y := p.X-w/2, p.Y-h/2
		c.corners[i] = page.Point{X: float64(c.width)/2 + x*cos - y*sin, Y: float64(c.height)/2 + x*sin + y*cos}
	}
}

// crop keeps a part of the shot, in shares of its size.
func (c *camera) crop(x, y, w, h float64) {
	for i := range c.corners {
		c.corners[i].X -= x * float64(c.width)
		c.corners[i].Y -= y * float64(c.height)
	}
	c.width, c.height = int(w*float64(c.width)), int(h*float64(c.height))
}

func (c *camera) shoot() Shot {
	from := rectangle(0, 0, float64(c.page.W), float64(c.page.H))
	to, _ := page.Fit(from[:], c.corners[:])
	back, _ := to.Inverse()
	light := make([]float64, c.width*c.height)
	const samples = 2
	for y := range c.height {
		for x := range c.width {
			sum := 0.0
			for s := range samples * samples {
				p := back.Apply(page.Point{X: float64(x) + (float64(s%samples)+0.5)/samples, Y: float64(y) + (float64(s/samples)+0.5)/samples})
				sum += c.at(p)
			}
			light[y*c.width+x] = sum / samples / samples
		}
	}
	if c.moire > 0 {
		c.grid(light)
	}
	if c.blur > 0 {
		light = blur(light, c.width, c.height, c.blur)
	}
	if c.light {
		c.shade(light)
	}
	if c.bars > 0 {
		c.bar(light)
	}
	shot := Shot{Picture: page.NewPicture(c.width, c.height), From: to}
	for i, v := range light {
		if c.noise > 0 {
			v += c.chance.NormFloat64() * c.noise
		}
		shot.Pix[i] = byte(max(min(v+0.5, 255), 0))
	}
	if c.quality > 0 {
		shot.Picture = recompressed(shot.Picture, c.quality)
	}
	return shot
}

// at returns the light of the page between its pixels, and of the desk beyond it.
func (c *camera) at(p page.Point) float64 {
	x, y := p.X-0.5, p.Y-0.5
	if !(x > -0.5 && y > -0.5 && x < float64(c.page.W)-0.5 && y < float64(c.page.H)-0.5) {
		return c.desk
	}
	i, j := int(max(x, 0)), int(max(y, 0))
	i1, j1 := min(i+1, c.page.W-1), min(j+1, c.page.H-1)
	tx, ty := max(x, 0)-float64(i), max(y, 0)-float64(j)
	a, b := c.page.Pix[j*c.page.W:], c.page.Pix[j1*c.page.W:]
	return (float64(a[i])*(1-tx)+float64(a[i1])*tx)*(1-ty) + (float64(b[i])*(1-tx)+float64(b[i1])*tx)*ty
}

// grid darkens as the pixels of a screen do, seen by those of a camera: two waves that
// beat with the sampling.
func (c *camera) grid(light []float64) {
	pitch, angle := 2.0+c.chance.Float64()*0.6, (c.chance.Float64()-0.5)*0.2
	sin, cos := math.Sincos(angle)
	for y := range c.height {
		for x := range c.width {
			u, v := float64(x)*cos-float64(y)*sin, float64(x)*sin+float64(y)*cos
			wave := (math.Cos(2*math.Pi*u/pitch) + math.Cos(2*math.Pi*v/pitch)) / 2
			slow := math.Cos(2*math.Pi*u/23) * math.Cos(2*math.Pi*v/31) / 2
			light[y*c.width+x] *= 1 - c.moire*(1+(wave+slow)/1.5)/2
		}
	}
}

// shade lays a gradient and the soft edge of a shadow over the shot.
func (c *camera) shade(light []float64) {
	angle, depth := c.chance.Float64()*2*math.Pi, 0.25+0.25*c.chance.Float64()
	sin, cos := math.Sincos(angle)
	edge, dark := c.chance.Float64(), 0.25+0.2*c.chance.Float64()
	tilt := (c.chance.Float64() - 0.5) * 0.8
	for y := range c.height {
		for x := range c.width {
			u, v := float64(x)/float64(c.width), float64(y)/float64(c.height)
			f := 1 - depth*(0.5+((u-0.5)*cos+(v-0.5)*sin)/1.42)
			f *= 1 - dark/(1+math.Exp((u+tilt*v-edge)*40))
			light[y*c.width+x] *= f
		}
	}
}

// bar draws the bars of an app with something like buttons and words.
func (c *camera) bar(light []float64) {
	for y := range c.height {
		if y >= c.bars && y < c.height-c.bars {
			continue
		}
		for x := range c.width {
			light[y*c.width+x] = 32
		}
	}
	for range 14 {
		x, y := c.chance.IntN(c.width-150), c.chance.IntN(c.bars-40)+10
		if c.chance.IntN(2) == 0 {
			y += c.height - c.bars
		}
		w, h := 10+c.chance.IntN(120), 12+c.chance.IntN(14)
		for j := y; j < min(y+h, c.height); j++ {
			for i := x; i < x+w; i++ {
				light[j*c.width+i] = 220
			}
		}
	}
}

func blur(light []float64, w, h int, deviation float64) []float64 {
	n := int(math.Ceil(3 * deviation))
	kernel := make([]float64, 2*n+1)
	sum := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(-float64((i-n)*(i-n)) / (2 * deviation * deviation))
		sum += kernel[i]
	}
	pass := func(in []float64, w, h, step, stride int) []float64 {
		out := make([]float64, len(in))
		for y := range h {
			for x := range w {
				v := 0.0
				for i, k := range kernel {
					v += k * in[y*stride+max(min(x+i-n, w-1), 0)*step]
				}
				out[y*stride+x*step] = v / sum
			}
		}
		return out
	}
	return pass(pass(light, w, h, 1, w), h, w, w, 1)
}

func recompressed(p page.Picture, quality int) page.Picture {
	var b bytes.Buffer
	g := &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}
	if err := jpeg.Encode(&b, g, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // it writes to memory
	}
	decoded, err := jpeg.Decode(&b)
	if err != nil {
		panic(err) // it was just encoded
	}
	out := decoded.(*image.Gray)
	q := page.NewPicture(p.W, p.H)
	for y := range p.H {
		copy(q.Pix[y*p.W:][:p.W], out.Pix[y*out.Stride:])
	}
	return q
}
