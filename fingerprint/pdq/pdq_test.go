package pdq_test

import (
	"encoding/hex"
	"image"
	_ "image/jpeg"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/fingerprint/pdq"
)

func hash(t *testing.T, s string) (h pdq.Hash) {
	t.Helper()
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		t.Fatal(err)
	}
	return h
}

func draw(w, h int, light func(x, y int) int) page.Picture {
	p := page.NewPicture(w, h)
	for i := range p.Pix {
		p.Pix[i] = byte(light(i%w, i/w))
	}
	return p
}

// TestReference: hashes are those of the reference implementation. What it says of drawn
// pictures was computed with it (pdqhash for Python 0.2.8); what it says of the bridge is
// published with the picture. Where a frequency is nearly the median, rounding decides: two
// bits may differ.
func TestReference(t *testing.T) {
	for name, test := range map[string]struct {
		picture page.Picture
		hash    string
		quality int
	}{
		"drawn 1": {
			draw(200, 300, func(x, y int) int { return x*y/7 + x/20*(y/30)*13 }),
			"1e0edc5ebe0e780ef01ee01ee09e00fe03fc43fc01fedff0dff8ffe0fa000000", 100,
		},
		"drawn 2": {
			draw(512, 400, func(x, y int) int { return x*x/97 + y*y/53 }),
			"707fe1fcc7e08f808e011e0f3c1f787f70ff71f8e1f0e3c0e3c0c7c0c780c780", 100,
		},
		"drawn 3": {
			draw(64, 64, func(x, y int) int { return x*x*x/50 + y*y*3/4 + x*y*2 }),
			"fe3cf863e01c1031207e73feadf8befe7bf831c8f7c06f70b4c04c40f7001920", 100,
		},
		"drawn large, wide": {
			draw(1301, 905, func(x, y int) int { return x*y/70 + x/90*(y/110)*13 }),
			"85fe01fe15f805f857f81ff857f85fe05ff87fe0ffe0fea0fe80aa80a0000000", 100,
		},
		"drawn large, high": {
			draw(1200, 1600, func(x, y int) int { return x*x/997 + y*y/553 }),
			"c8e099c099c3b38fb31fb71f273f673c667c66786e786c704c704cf04ce04ce0", 100,
		},
		"bridge": {bridge(t), "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22", 100},
	} {
		h, quality := pdq.Of(test.picture)
		want := hash(t, test.hash)
		t.Logf("%s: %d bits differ", name, h.Distance(&want))
		if d := h.Distance(&want); d > 2 || quality != test.quality {
			t.Errorf("%s: %v, quality %d: %d bits differ", name, h, quality, d)
		}
	}
}

func bridge(t *testing.T) page.Picture {
	t.Helper()
	f, err := os.Open("testdata/bridge-1-original.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return draw(m.Bounds().Dx(), m.Bounds().Dy(), func(x, y int) int {
		r, g, b, _ := m.At(x, y).RGBA()
		return int((299*r + 587*g + 114*b) / 1000 >> 8)
	})
}

// TestCopies: a copy has nearly the same hash, another page has not, and blank ones have
// none that means anything.
func TestCopies(t *testing.T) {
	original := pagetest.Print(1, 1)
	h, quality := pdq.Of(original)
	if quality < pdq.Good {
		t.Errorf("a page of text has quality %d", quality)
	}
	for _, kind := range []string{"clean", "small", "jpeg 30", "blur", "noise"} {
		shot := pagetest.Degrade(original, kind, rand.New(rand.NewPCG(1, 1)))
		if o, _ := pdq.Of(shot.Picture); h.Distance(&o) > pdq.Same {
			t.Errorf("%s: %d bits differ", kind, h.Distance(&o))
		}
	}
	if o, _ := pdq.Of(pagetest.Print(2, 1)); h.Distance(&o) <= pdq.Same {
		t.Errorf("another page differs in %d bits", h.Distance(&o))
	}
	for _, size := range [][2]int{{1000, 1400}, {4, 4}, {5, 5}, {1, 5000}, {5000, 7}} {
		if _, quality := pdq.Of(draw(size[0], size[1], func(int, int) int { return 255 })); quality != 0 {
			t.Errorf("blank %v has quality %d", size, quality)
		}
	}
	for i := range 256 {
		var one pdq.Hash
		one[i/8] = 1 << (i % 8)
		if d := one.Distance(&pdq.Hash{}); d != 1 {
			t.Errorf("bit %d: distance %d", i, d)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	p := pagetest.Print(1, 1)
	for b.Loop() {
		pdq.Of(p)
	}
}

func BenchmarkDistance(b *testing.B) {
	many := make([]pdq.Hash, 100_000)
	for i := range many {
		many[i][i%pdq.Size] = byte(i)
	}
	var h pdq.Hash
	for b.Loop() {
		for i := range many {
			if h.Distance(&many[i]) > 8 {
				b.Fatal("impossible")
			}
		}
	}
}
