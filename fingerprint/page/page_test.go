package page_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
)

// shelf is registered pages.
type shelf struct {
	sheets   []*page.Sheet
	postings map[uint64][]page.Posting
}

func newShelf(t testing.TB, pictures ...page.Picture) *shelf {
	t.Helper()
	s := &shelf{postings: map[uint64][]page.Posting{}}
	for i, p := range pictures {
		sheet := page.Read(p)
		if sheet == nil {
			t.Fatalf("page %d has no sheet", i)
		}
		s.sheets = append(s.sheets, sheet)
		for k, h := range sheet.Hashes() {
			s.postings[h] = append(s.postings[h], page.Posting{Page: uint32(i), Index: uint32(k)})
		}
	}
	return s
}

// find returns the page that agrees most, or -1.
func (s *shelf) find(p page.Picture) (best page.Match, at int) {
	at = -1
	for _, view := range page.Views {
		q := page.NewQuery(p, view)
		if q == nil {
			continue
		}
		hashes := q.Hashes()
		for _, c := range q.Candidates(func(i int) ([]page.Posting, int) {
			list := s.postings[hashes[i]]
			return list[:min(len(list), 64)], len(list)
		}) {
			m, ok := q.Verify(s.sheets[c.Page], c.Hits)
			if !ok {
				continue
			}
			if better, _, ok := m.Refine(p, s.sheets[c.Page]); ok && better.Evidence() > m.Evidence() {
				m = better
			}
			if m.Expected() < 1e-4 && !m.Doubtful() && m.Agreement() > 0.6 && m.Evidence() > best.Evidence() {
				best, at = m, int(c.Page)
			}
		}
		if at >= 0 {
			break
		}
	}
	return best, at
}

// TestDegraded: a page is found in whatever is made of its picture, in its place, and
// one that is not registered is not, though it has the same head.
func TestDegraded(t *testing.T) {
	var pictures []page.Picture
	for i := range uint64(12) {
		pictures = append(pictures, pagetest.Print(i, i/6))
	}
	s := newShelf(t, pictures...)
	stranger := pagetest.Print(99, 0)
	for n, kind := range pagetest.Kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			chance := rand.New(rand.NewPCG(uint64(n), 7))
			at := n % len(pictures)
			shot := pagetest.Degrade(pictures[at], kind, chance)
			m, found := s.find(shot.Picture)
			if found != at {
				t.Fatalf("found page %d, not %d", found, at)
			}
			// The place of every corner that is seen, in parts of the page.
			for _, x := range []float64{0.1, 0.5, 0.9} {
				for _, y := range []float64{0.1, 0.5, 0.9} {
					p := page.Point{X: x * float64(shot.W), Y: y * float64(shot.H)}
					back, _ := shot.From.Inverse()
					truth, said := back.Apply(p), m.ToPage.Apply(p)
					if truth.X < 0 || truth.Y < 0 || truth.X > float64(pictures[at].W) || truth.Y > float64(pictures[at].H) {
						continue
					}
					if d := math.Hypot(truth.X-said.X, truth.Y-said.Y); d > 0.02*float64(pictures[at].H) {
						t.Errorf("a point is %.0f pixels off", d)
					}
				}
			}
			if n%4 != 0 {
				return
			}
			if m, found := s.find(pagetest.Degrade(stranger, kind, chance).Picture); found >= 0 {
				t.Errorf("a page that is not registered is page %d, agreement %.2f, expected %g", found, m.Agreement(), m.Expected())
			}
		})
	}
}

// TestForm: a filled form is found, and another copy of the form is not taken for it, although
// most of its words stand in the same places.
func TestForm(t *testing.T) {
	s := newShelf(t, pagetest.Form(1, 1), pagetest.Print(1, 1))
	for n, kind := range []string{"small", "phone 900", "moiré"} {
		chance := rand.New(rand.NewPCG(uint64(n), 8))
		if m, at := s.find(pagetest.Degrade(pagetest.Form(1, 1), kind, chance).Picture); at != 0 {
			t.Errorf("%s: found page %d: agreement %.2f", kind, at, m.Agreement())
		}
		if m, at := s.find(pagetest.Degrade(pagetest.Form(2, 1), kind, chance).Picture); at >= 0 {
			t.Errorf("%s: another copy is page %d: agreement %.2f, gaps %.3f", kind, at, m.Agreement(), m.Gaps)
		}
	}
}

// TestDark: light print on a dark ground is found.
func TestDark(t *testing.T) {
	p := pagetest.Print(4, 1)
	s := newShelf(t, pagetest.Print(3, 1), p)
	negative := page.NewPicture(p.W, p.H)
	for i, v := range p.Pix {
		negative.Pix[i] = byte(20 + (255-int(v))*2/3)
	}
	if _, at := s.find(negative.OnPaper()); at != 1 {
		t.Errorf("found page %d", at)
	}
	if sheet := page.Read(negative); sheet == nil || sheet.Words() < page.Read(p).Words()*9/10 {
		t.Error("a dark page has no sheet")
	}
	if same := p.OnPaper(); &same.Pix[0] != &p.Pix[0] {
		t.Error("a light page was changed")
	}
}

// TestLeaders: lines of dashes and dots to write on tell nothing.
func TestLeaders(t *testing.T) {
	questionnaire := func(seed uint64) page.Picture {
		p := pagetest.Print(seed, seed)
		for y := 300; y < p.H; y++ {
			for x := range p.W {
				p.Pix[y*p.W+x] = 250
			}
		}
		for line := 0; line < 24; line++ {
			for dash := 0; dash < 40; dash++ {
				for y := range 3 {
					for x := range 9 {
						p.Pix[(320+line*38+y)*p.W+90+dash*18+x] = 10
					}
				}
			}
		}
		return p
	}
	s := newShelf(t, questionnaire(1))
	if n := s.sheets[0].Words(); n > 200 {
		t.Errorf("%d words, and most are dashes", n)
	}
	if m, at := s.find(questionnaire(2)); at >= 0 {
		t.Errorf("another questionnaire is page %d: %d words agree by %.2f", at, m.Matched, m.Agreement())
	}
}

// TestNothing: what shows no page has no sheet and finds nothing.
func TestNothing(t *testing.T) {
	s := newShelf(t, pagetest.Print(1, 1), pagetest.Print(2, 1))
	chance := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func(x, y int) byte{
		"white": func(x, y int) byte { return 255 },
		"black": func(x, y int) byte { return 0 },
		"noise": func(x, y int) byte { return byte(chance.IntN(256)) },
		"sky":   func(x, y int) byte { return byte(y / 4) },
		"grid":  func(x, y int) byte { return byte(255 * (x / 12 % 2 * (y / 12 % 2))) },
		"line":  func(x, y int) byte { return byte(255 * min(abs(y-400), 1)) },
	} {
		p := page.NewPicture(1000, 800)
		for i := range p.Pix {
			p.Pix[i] = draw(i%p.W, i/p.W)
		}
		if m, at := s.find(p); at >= 0 {
			t.Errorf("%s: page %d, agreement %.2f of %d words, expected %g", name, at, m.Agreement(), m.Matched, m.Expected())
		}
	}
	for _, size := range [][2]int{{1, 1}, {1, 3000}, {3000, 1}, {7, 5}} {
		if page.Read(page.NewPicture(size[0], size[1])) != nil {
			t.Errorf("%d × %d pixels have a sheet", size[0], size[1])
		}
	}
}

func abs(i int) int { return max(i, -i) }

// TestEncode: what is kept of a page is all that it takes to compare, in little room.
func TestEncode(t *testing.T) {
	s := page.Read(pagetest.Print(3, 1))
	b := s.Encode()
	if len(b) > 5*s.Words() {
		t.Errorf("%d bytes for %d words", len(b), s.Words())
	}
	again, err := page.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Hashes(), s.Hashes()) || !slices.Equal(again.Encode(), b) || len(s.Hashes()) == 0 {
		t.Error("a sheet that was kept is another")
	}
	// Six bytes for a posting and the words: far from 25 kB.
	if size := 6*len(s.Hashes()) + len(b); size > 12_000 {
		t.Errorf("%d bytes a page", size)
	}
}

func TestHomography(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		h := page.Homography{1 + chance.Float64(), chance.Float64() / 2, 100 * chance.Float64(), chance.Float64() / 2, 1 + chance.Float64(), 100 * chance.Float64(), 1e-4 * chance.Float64(), 1e-4 * chance.Float64(), 1}
		var from, to []page.Point
		for range 4 + chance.IntN(20) {
			p := page.Point{X: 1000 * chance.Float64(), Y: 1000 * chance.Float64()}
			from, to = append(from, p), append(to, h.Apply(p))
		}
		got, ok := page.Fit(from, to)
		back, invertible := h.Inverse()
		if !ok || !invertible {
			continue // four points of nearly one line
		}
		for i := range from {
			if at := got.Apply(from[i]); math.Hypot(at.X-to[i].X, at.Y-to[i].Y) > 0.01 {
				t.Fatalf("fitted to %v, not %v", at, to[i])
			}
			if at := back.Apply(to[i]); math.Hypot(at.X-from[i].X, at.Y-from[i].Y) > 0.01 {
				t.Fatalf("back at %v, not %v", at, from[i])
			}
		}
	}
	line := []page.Point{{}, {X: 1}, {X: 2}, {X: 3}, {X: 4}}
	if _, ok := page.Fit(line, line); ok {
		t.Error("points of one line have a homography")
	}
	if _, ok := page.Fit(line[:3], line[:3]); ok {
		t.Error("three points have a homography")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(page.Read(pagetest.Print(4, 1)).Encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := page.Decode(b)
		if err != nil {
			return
		}
		if again, err := page.Decode(s.Encode()); err != nil || !slices.Equal(again.Hashes(), s.Hashes()) {
			t.Errorf("a sheet that was kept is another: %v", err)
		}
	})
}

// FuzzFind: no picture and no list of postings is too strange.
func FuzzFind(f *testing.F) {
	s := page.Read(pagetest.Print(5, 1))
	hashes := s.Hashes()
	f.Add(uint16(40), []byte("0123456789"), uint64(1))
	f.Fuzz(func(t *testing.T, width uint16, pix []byte, seed uint64) {
		w := int(width)%300 + 1
		h := min(len(pix)*40/w, 600)
		if h == 0 {
			return
		}
		p := page.NewPicture(w, h)
		for i := range p.Pix {
			p.Pix[i] = pix[i%len(pix)] ^ byte(i/len(pix)*7)
		}
		page.Read(p)
		q := page.NewQuery(p, 1)
		if q == nil {
			return
		}
		chance := rand.New(rand.NewPCG(seed, 1))
		for _, c := range q.Candidates(func(i int) ([]page.Posting, int) {
			return []page.Posting{{Page: 1, Index: uint32(chance.IntN(len(hashes) + 10))}}, 1
		}) {
			if m, ok := q.Verify(s, c.Hits); ok && (math.IsNaN(m.Agreement()) || m.Matched > q.Words()) {
				t.Errorf("%d of %d words match: %g", m.Matched, q.Words(), m.Agreement())
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	p := pagetest.Print(1, 1)
	for b.Loop() {
		page.Read(p)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
}

func BenchmarkFind(b *testing.B) {
	var pictures []page.Picture
	for i := range uint64(12) {
		pictures = append(pictures, pagetest.Print(i, i/6))
	}
	s := newShelf(b, pictures...)
	for _, kind := range []string{"clean", "phone 1200"} {
		shot := pagetest.Degrade(pictures[1], kind, rand.New(rand.NewPCG(1, 1)))
		b.Run(fmt.Sprintf("%s %dx%d", kind, shot.W, shot.H), func(b *testing.B) {
			for b.Loop() {
				s.find(shot.Picture)
			}
		})
	}
}
