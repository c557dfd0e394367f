package main

import (
	"bytes"
	"fmt"
	"html"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
)

// pdfExhibit is a PDF. Its third page and each eighth one after that are not registered.
func pdfExhibit(t *testing.T, path, script string) *exhibit {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e := &exhibit{name: filepath.Base(path), script: script, file: b, without: map[int]bool{}}
	info, err := exec.Command("pdfinfo", path).Output()
	if err != nil {
		t.Logf("%s is not read: %v", path, err)
		return e
	}
	if _, after, ok := strings.Cut(string(info), "\nPages:"); ok {
		e.pages, _ = strconv.Atoi(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]))
	}
	e.draw = func(t *testing.T, number int) page.Picture { return drawn(t, path, number) }
	for n := 3; n <= e.pages; n += 8 {
		e.without[n] = true
	}
	return e
}

// drawn draws a page of a PDF by Poppler.
func drawn(t *testing.T, path string, number int) page.Picture {
	t.Helper()
	n := strconv.Itoa(number)
	raw, err := exec.Command("pdftoppm", "-gray", "-r", "150", "-f", n, "-l", n, path).Output()
	var w, h, depth int
	if _, failed := fmt.Sscanf(string(raw[:min(len(raw), 40)]), "P5\n%d %d\n%d\n", &w, &h, &depth); err != nil || failed != nil {
		t.Errorf("draw page %d of %s: %v, %v", number, path, err, failed)
		return page.NewPicture(1, 1)
	}
	return page.Picture{W: w, H: h, Pix: raw[len(fmt.Sprintf("P5\n%d %d\n%d\n", w, h, depth)):][:w*h]}
}

// phrases are the words of files, six at a time.
func phrases(t *testing.T, pattern string) [][]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	var words []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, strings.Fields(strings.TrimPrefix(strings.ToValidUTF8(string(b), ""), "\ufeff"))...)
	}
	return slices.Collect(slices.Chunk(words, 6))
}

// paragraph is some phrases in an order that is nobody's.
func paragraph(phrases [][]string, chance *rand.Rand) string {
	var words []string
	for range 4 + chance.IntN(7) {
		words = append(words, phrases[chance.IntN(len(phrases))]...)
	}
	return strings.Join(words, " ")
}

// news are documents of phrases of Urdu news, in Nastaliq and, each fourth of them, in
// Naskh: pages of three to eight paragraphs.
func news(t *testing.T, dir string) []*exhibit {
	t.Helper()
	all := phrases(t, filepath.Join(dir, "gold", "urdu-summary", "*.txt"))
	chance := rand.New(rand.NewPCG(19, 19))
	return typeset(t, "urdu", "Urdu", 125, func(d int) (style string, pages [][]string) {
		style = "font-family: 'Noto Nastaliq Urdu'; font-size: 13pt; text-align: justify; direction: rtl"
		if d%4 == 0 {
			style = "font-family: 'Noto Naskh Arabic'; font-size: 14pt; text-align: justify; direction: rtl"
		}
		for range 5 {
			var page []string
			for range 3 + chance.IntN(5) {
				page = append(page, paragraph(all, chance))
			}
			pages = append(pages, page)
		}
		return style, pages
	})
}

// memoranda are of one form: the same letterhead, closing and distribution, and in between
// phrases of laws.
func memoranda(t *testing.T, dir string) []*exhibit {
	t.Helper()
	all := phrases(t, filepath.Join(dir, "text", "pakistan-code-sample", "*.txt"))
	chance := rand.New(rand.NewPCG(29, 29))
	return typeset(t, "memorandum", "English", 200, func(int) (style string, pages [][]string) {
		for range 4 {
			page := []string{
				"GOVERNMENT OF THE PROVINCE", "DEPARTMENT OF RECORDS AND ARCHIVES", "(General Section)",
				fmt.Sprintf("No. %d(%d)/2026-Gen.", 1+chance.IntN(30), 1+chance.IntN(400)), "OFFICE MEMORANDUM",
				"Subject: " + strings.ToUpper(strings.Join(all[chance.IntN(len(all))], " ")),
				"The undersigned is directed to refer to the subject noted above and to state as follows.",
			}
			for i := range 2 + chance.IntN(3) {
				page = append(page, fmt.Sprintf("%d. %s", i+2, paragraph(all, chance)))
			}
			page = append(page, "All concerned are requested to ensure compliance under intimation to this department.",
				"(Section Officer)", "Distribution:", "1. All heads of departments", "2. The Accountant General", "3. Office copy")
			pages = append(pages, page)
		}
		return "font-family: serif; font-size: 11pt", pages
	})
}

// typeset has LibreOffice set documents. Write returns the style of one and the paragraphs
// of each of its pages.
func typeset(t *testing.T, name, script string, documents int, write func(d int) (style string, pages [][]string)) (all []*exhibit) {
	t.Helper()
	folder := t.TempDir()
	var names []string
	var texts [][]string
	for d := range documents {
		style, pages := write(d)
		var body strings.Builder
		var text []string
		for p, paragraphs := range pages {
			for i, words := range paragraphs {
				begin := ""
				if p > 0 && i == 0 {
					begin = " style=\"page-break-before: always\""
				}
				fmt.Fprintf(&body, "<p%s>%s</p>\n", begin, html.EscapeString(words))
			}
			text = append(text, strings.Join(paragraphs, "\n"))
		}
		file := filepath.Join(folder, fmt.Sprintf("%s-%03d.html", name, d))
		whole := fmt.Sprintf("<html><head><meta charset=\"utf-8\"><style>p { %s }</style></head><body>%s</body></html>", style, body.String())
		if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		names, texts = append(names, file), append(texts, text)
	}
	args := append([]string{"--headless", "-env:UserInstallation=file://" + folder + "/profile", "--convert-to", "pdf:writer_web_pdf_Export", "--outdir", folder}, names...)
	if out, err := exec.Command("soffice", args...).CombinedOutput(); err != nil {
		t.Fatalf("LibreOffice: %v: %s", err, out)
	}
	for d, file := range names {
		e := pdfExhibit(t, strings.TrimSuffix(file, ".html")+".pdf", script)
		if e.texts = texts[d]; len(e.texts) != e.pages {
			t.Errorf("%s has %d pages, not %d", e.name, e.pages, len(e.texts))
			continue
		}
		all = append(all, e)
	}
	return all
}

// otherPictures are no pages.
func otherPictures(t *testing.T, dir string) (all []page.Picture) {
	t.Helper()
	chance := rand.New(rand.NewPCG(23, 23))
	files, err := filepath.Glob(filepath.Join(dir, "photos", "*", "*.jpg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no photos: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		p := page.NewPicture(m.Bounds().Dx(), m.Bounds().Dy())
		for i := range p.Pix {
			r, g, b, _ := m.At(m.Bounds().Min.X+i%p.W, m.Bounds().Min.Y+i/p.W).RGBA()
			p.Pix[i] = byte((299*r + 587*g + 114*b) / 1000 >> 8)
		}
		if side := max(p.W, p.H); side > 1600 {
			p = p.Shrink(p.W*1600/side, p.H*1600/side)
		}
		for _, kind := range pagetest.Kinds {
			all = append(all, pagetest.Degrade(p, kind, chance).Picture)
		}
	}
	for range 300 {
		all = append(all, scene(chance))
	}
	for i := range 300 {
		p := page.NewPicture(900+i, 1200-i)
		wave := 4 + chance.Float64()*40
		for k := range p.Pix {
			x, y := float64(k%p.W), float64(k/p.W)
			switch i % 6 {
			case 0:
				p.Pix[k] = 255
			case 1:
				p.Pix[k] = byte(chance.IntN(256))
			case 2:
				p.Pix[k] = byte(127 + 120*math.Sin(x/wave)*math.Sin(y/wave))
			case 3:
				p.Pix[k] = byte(255 * (int(x/wave/2) + int(y/wave/2)) % 2)
			case 4:
				p.Pix[k] = byte(255 - 200*btoi(math.Mod(y, wave*2) < wave && math.Mod(x+37*math.Floor(y/wave/2), wave*5) < wave*4))
			case 5:
				p.Pix[k] = byte(x*y/900) ^ byte(chance.IntN(40))
			}
		}
		all = append(all, p)
	}
	return all
}

// scene is a picture with the spectrum of photographs, and things on it: round ones, square
// ones, and rows of equal ones, as windows and people are.
func scene(chance *rand.Rand) page.Picture {
	p := page.NewPicture(800+chance.IntN(600), 600+chance.IntN(600))
	light := make([]float64, len(p.Pix))
	for cell, strength := 400.0, 90.0; cell > 2; cell, strength = cell/2, strength*(0.5+0.2*chance.Float64()) {
		across := p.W/int(cell) + 3
		corners := make([]float64, across*(p.H/int(cell)+3))
		for i := range corners {
			corners[i] = strength * (2*chance.Float64() - 1)
		}
		for i := range light {
			x, y := float64(i%p.W)/cell, float64(i/p.W)/cell
			u, v := int(x), int(y)
			fx, fy := x-float64(u), y-float64(v)
			at := corners[v*across+u:]
			light[i] += (at[0]*(1-fx)+at[1]*fx)*(1-fy) + (at[across]*(1-fx)+at[across+1]*fx)*fy
		}
	}
	thing := func(x, y, w, h int, shade float64, round bool) {
		for v := max(y, 0); v < min(y+h, p.H); v++ {
			for u := max(x, 0); u < min(x+w, p.W); u++ {
				dx, dy := 2*float64(u-x)/float64(w)-1, 2*float64(v-y)/float64(h)-1
				if !round || dx*dx+dy*dy < 1 {
					light[v*p.W+u] = light[v*p.W+u]*0.3 + shade
				}
			}
		}
	}
	for range chance.IntN(40) {
		x, y, w, h := chance.IntN(p.W), chance.IntN(p.H), 4+chance.IntN(120), 4+chance.IntN(120)
		shade, round := 200*chance.Float64()-100, chance.IntN(2) == 0
		dx, dy, across, down := w+2+chance.IntN(40), h+2+chance.IntN(40), 1, 1
		if chance.IntN(3) == 0 {
			across, down = 1+chance.IntN(20), 1+chance.IntN(8)
		}
		for i := range across * down {
			thing(x+i%across*dx, y+i/across*dy, w, h, shade, round)
		}
	}
	base := 60 + 130*chance.Float64()
	for i, l := range light {
		p.Pix[i] = byte(max(min(base+l, 255), 0))
	}
	return p
}
