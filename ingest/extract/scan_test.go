package extract

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
	"image"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract/pdftest"
)

var pageOfText = strings.Fields(`The committee was of the view that the guarantee should be split over two financial years and that
	the banks should not be told of the second part until the first has been subscribed in full The Finance Division conveys its
	concurrence to the supplementary grant of the Power Division for the settlement of the circular debt on the condition that the
	summary is not circulated before the meeting and the missions abroad submit the names of the delegates for the session`)

// typed draws words on a page, in lines of letters that are scale times 13 pixels
// high, each scale times 7 wide.
func typed(w, h, scale int, words []string) gray {
	small := image.NewGray(image.Rect(0, 0, w/scale, h/scale))
	for i := range small.Pix {
		small.Pix[i] = 255
	}
	d := font.Drawer{Dst: small, Src: image.Black, Face: basicfont.Face7x13}
	x, y := 20, 40
	for _, word := range words {
		if x+7*len(word) > w/scale-20 {
			x, y = 20, y+20
		}
		if y > h/scale-20 {
			break
		}
		d.Dot = fixed.P(x, y)
		d.DrawString(word)
		x += 7 * (len(word) + 1)
	}
	g := gray{small.Rect.Dx() * scale, small.Rect.Dy() * scale, nil}
	g.Pix = make([]byte, g.W*g.H)
	for y := range g.H {
		for x := range g.W {
			g.Pix[y*g.W+x] = small.Pix[y/scale*small.Stride+x/scale]
		}
	}
	return g
}

func repeat(words []string, n int) (all []string) {
	for range n {
		all = append(all, words...)
	}
	return all
}

// TestSkew: a page is leveled within a quarter of a degree, and a level or sparse one
// is left as it is.
func TestSkew(t *testing.T) {
	page := typed(1400, 1800, 2, repeat(pageOfText, 10))
	for _, degrees := range []float64{-6, -2.5, -1, 0, 0.8, 3, 7} {
		got := skew(points(threshold(rotate(page, degrees))))
		if math.Abs(got+degrees) > 0.25 {
			t.Errorf("turned by %g, found %g", degrees, got)
		}
	}
	sparse := typed(1400, 1800, 2, pageOfText[:4])
	if got := skew(points(threshold(sparse))); got != 0 {
		t.Errorf("a sparse page is turned by %g", got)
	}
}

func TestPrepare(t *testing.T) {
	page := typed(2100, 1800, 3, repeat(pageOfText, 10))
	if got := prepare(page); got.W != page.W || got.H != page.H || string(got.Pix) != string(page.Pix) {
		t.Error("a good page was changed")
	}
	blank := gray{1400, 1800, make([]byte, 1400*1800)}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range blank.Pix {
		blank.Pix[i] = 235 + byte(random.IntN(20))
	}
	for range 40 { // dust
		i := random.IntN(len(blank.Pix))
		blank.Pix[i] = 0
	}
	if got := prepare(blank); len(got.Pix) != 0 {
		t.Error("a blank page with dust is not blank")
	}
	if got := prepare(gray{}); len(got.Pix) != 0 {
		t.Error("nothing became something")
	}

	// Light that falls off to a third is evened, so that one threshold tells ink.
	dim := gray{page.W, page.H, make([]byte, len(page.Pix))}
	for y := range page.H {
		for x := range page.W {
			dim.Pix[y*page.W+x] = byte(int(page.Pix[y*page.W+x]) * (page.W - x*2/3) / page.W)
		}
	}
	wrong := 0
	for i, p := range prepare(dim).Pix {
		if p > 128 != (page.Pix[i] > 128) {
			wrong++
		}
	}
	if wrong*1000 > len(page.Pix) {
		t.Errorf("%d of %d pixels are on the wrong side", wrong, len(page.Pix))
	}

	tiny := typed(700, 900, 1, repeat(pageOfText, 10))
	if got := prepare(tiny); got.W <= tiny.W {
		t.Error("small letters were not made larger")
	}
	sideways := quarter(quarter(quarter(page)))
	if got := prepare(sideways); got.W != page.W {
		t.Error("a page on its side was left there")
	}
}

// TestOnItsSide: a page is turned by a quarter if it lies on its side, however wide it
// is and however little stands on it.
func TestOnItsSide(t *testing.T) {
	ruled := typed(1400, 1800, 2, repeat(pageOfText, 10))
	for x := 100; x < ruled.W; x += 200 {
		for y := range ruled.H {
			for i := range 4 {
				ruled.Pix[y*ruled.W+x+i] = 0
			}
		}
	}
	for name, page := range map[string]gray{
		"page": typed(1400, 1800, 2, repeat(pageOfText, 10)), "skewed page": rotate(typed(1400, 1800, 2, repeat(pageOfText, 10)), 4),
		"receipt": typed(500, 6000, 2, repeat(pageOfText, 10)), "wide": typed(3000, 800, 2, repeat(pageOfText, 10)),
		"few lines": typed(1400, 1800, 2, pageOfText[:20]), "table": ruled,
	} {
		for quarters := range 4 {
			ink := threshold(page)
			if got, want := onItsSide(lettersOf(ink), ink), quarters%2 == 1; got != want {
				t.Errorf("%s, turned by %d quarters: on its side %v", name, quarters, got)
			}
			page = quarter(page)
		}
	}
}

// TestLetterHeight: dots and dust do not make letters seem small.
func TestLetterHeight(t *testing.T) {
	page := typed(1400, 1800, 3, repeat(pageOfText, 10))
	want := letterHeight(lettersOf(threshold(page)))
	letters := lettersOf(threshold(page))
	for range 2 * len(letters) {
		letters = append(letters, box{0, 0, 4, 4, 25})
	}
	if got := letterHeight(letters); got != want {
		t.Errorf("%d among dots, %d without", got, want)
	}
}

// TestSizes: the letters of pages of any size come out readable, and nothing is lost.
func TestSizes(t *testing.T) {
	for _, page := range []gray{
		typed(700, 900, 1, repeat(pageOfText, 10)), typed(1400, 1800, 2, repeat(pageOfText, 10)), typed(4900, 3500, 7, repeat(pageOfText, 10)),
		typed(9000, 1800, 2, repeat(pageOfText, 20)), typed(600, 30_000, 2, repeat(pageOfText, 50)), rotate(typed(2100, 1800, 3, repeat(pageOfText, 10)), 6),
	} {
		before := len(lettersOf(threshold(page)))
		got := prepare(page)
		letters := lettersOf(threshold(got))
		if len(letters)*20 < before*19 {
			t.Fatalf("%d x %d: %d of %d letters are left", page.W, page.H, len(letters), before)
		}
		if h := letterHeight(letters); h < smallLetters || h > largeLetters {
			t.Errorf("%d x %d: letters of %d pixels", page.W, page.H, h)
		}
		if again := prepare(got); again.W != got.W || again.H != got.H {
			t.Errorf("%d x %d, prepared again: %d x %d", got.W, got.H, again.W, again.H)
		}
	}
}

// TestShrink: light stays as it is, on average and where it is even.
func TestShrink(t *testing.T) {
	page := typed(1400, 1800, 3, repeat(pageOfText, 10))
	mean := func(g gray) float64 {
		sum := 0
		for _, p := range g.Pix {
			sum += int(p)
		}
		return float64(sum) / float64(len(g.Pix))
	}
	for _, size := range [][2]int{{page.W / 2, page.H / 2}, {page.W * 2 / 3, page.H * 2 / 3}, {page.W - 1, page.H - 1}, {1, 1}, {37, 1000}} {
		if got := shrink(page, size[0], size[1]); math.Abs(mean(got)-mean(page)) > 1 {
			t.Errorf("%v: light %.1f became %.1f", size, mean(page), mean(got))
		}
	}
	even := shrink(gray{100, 100, []byte(strings.Repeat("\xc8", 10_000))}, 63, 71)
	for _, p := range even.Pix {
		if p != 200 {
			t.Fatalf("even light of 200 became %d", p)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	f.Add(40, []byte(strings.Repeat("\xff\x00\x80", 800)))
	f.Add(1, []byte("x"))
	f.Fuzz(func(t *testing.T, w int, b []byte) {
		if w < 1 || w > len(b) {
			return
		}
		g := gray{w, len(b) / w, b[:w*(len(b)/w)]}
		if got := prepare(g); len(got.Pix) != got.W*got.H {
			t.Errorf("%d pixels in %d x %d", len(got.Pix), got.W, got.H)
		}
	})
}

// realTesseract is the program; a test fails without it.
func realTesseract(t testing.TB) *tesseract {
	t.Helper()
	r, missing := newTesseract(2)
	if r == nil {
		if os.Getenv("SEALPRINT_TEST_ALLOW_SKIP") != "" {
			t.Skip(missing)
		}
		t.Fatal(missing + "; make test sees to it")
	}
	return r
}

// TestRecognize: a page is read, whichever way up it lies.
func TestRecognize(t *testing.T) {
	r := realTesseract(t)
	page := typed(1400, 1000, 2, repeat(pageOfText, 3))
	for name, g := range map[string]gray{
		"upright": page, "turned": rotate(page, 3), "on its head": half(page), "on its side": quarter(page), "on its other side": half(quarter(page)),
	} {
		got, end, err := r.recognize(t.Context(), prepare(g))
		if err != nil || end != nil {
			t.Fatal(end, err)
		}
		want := grams(strings.Join(pageOfText, " "))
		if c := contained(want, grams(got.Text)); c < 0.8 || got.Confidence < 70 || !strings.HasPrefix(got.Reader, "tesseract 5") {
			t.Errorf("%s: %.2f of it is read, confidence %.0f, by %s", name, c, got.Confidence, got.Reader)
		}
	}
}

// script makes a tesseract of a shell script.
func script(t *testing.T, commands string) *tesseract {
	path := filepath.Join(t.TempDir(), "tesseract")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+commands), 0o700); err != nil {
		t.Fatal(err)
	}
	return &tesseract{path: path, version: "5", places: make(chan struct{}, 1), cpu: ingest.OCRCPU, wall: ingest.OCRTime}
}

// TestRecognitionEnds: whatever the program does, the page has a reason.
func TestRecognitionEnds(t *testing.T) {
	g := gray{100, 100, make([]byte, 10_000)}
	for _, test := range []struct {
		name, commands string
		status         ingest.Status
		reason         string
	}{
		{"sleeps", "sleep 60", "limit", "recognition took over 1s"},
		{"loops", "while :; do :; done", "limit", "recognition took over 1s of processor time"},
		{"starts another that sleeps", "sleep 60 & wait", "limit", "recognition took over 1s"},
		{"floods", "yes", "limit", "recognition gave over 4 MB"},
		{"fails", "echo the text of the page >&2; exit 3", "damaged", "recognition failed: exit status 3"},
	} {
		begin := time.Now()
		r := script(t, test.commands)
		r.cpu = time.Second
		if r.wall = time.Second; test.name == "loops" {
			r.wall = ingest.OCRTime
		}
		_, end, err := r.recognize(t.Context(), g)
		if err != nil || end == nil || end.Status != test.status || end.Reason != test.reason {
			t.Errorf("%s: %v, %v", test.name, end, err)
		}
		if time.Since(begin) > 10*time.Second {
			t.Errorf("%s took %v", test.name, time.Since(begin))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	begin := time.Now()
	if _, _, err := script(t, "sleep 60 & wait").recognize(ctx, g); !errors.Is(err, context.Canceled) || time.Since(begin) > ingest.EndTime {
		t.Errorf("canceled, after %v: %v", time.Since(begin), err)
	}
}

// TestLanguages: English is read first, Urdu where that leaves much unsure, and the
// surer reading of each line is kept; what neither reads is read upside down.
func TestLanguages(t *testing.T) {
	g := gray{100, 100, make([]byte, 10_000)}
	// A line of some words of a confidence.
	line := func(n, words, confidence int, word string) string {
		var b strings.Builder
		for i := range words {
			fmt.Fprintf(&b, "5\t1\t1\t1\t%d\t%d\t%d\t%d\t9\t9\t%d\t%s\n", n, i+1, 10*i, 20*n, confidence, word)
		}
		return b.String()
	}
	for name, test := range map[string]struct {
		english, urdu string
		text, reader  string
	}{
		"English":         {line(1, 3, 95, "Finance") + line(2, 2, 20, "~") + line(3, 7, 20, "~"), "", "Finance Finance Finance\n~ ~\n~ ~ ~ ~ ~ ~ ~", "tesseract 5 eng"},
		"Urdu":            {line(1, 12, 30, "wSS"), line(1, 12, 60, "حکومت"), strings.TrimSpace(strings.Repeat("حکومت ", 12)), "tesseract 5 urd"},
		"letterhead":      {line(1, 2, 90, "Division") + line(2, 12, 30, "wSS"), line(1, 2, 45, "ک") + line(2, 12, 88, "ہے"), "Division Division\n" + strings.TrimSpace(strings.Repeat("ہے ", 12)), "tesseract 5 eng+urd"},
		"not Urdu either": {line(1, 9, 90, "Division") + line(2, 12, 30, "wSS"), line(2, 12, 20, "ک"), strings.TrimSpace(strings.Repeat("Division ", 9)) + "\n" + strings.TrimSpace(strings.Repeat("wSS ", 12)), "tesseract 5 eng"},
	} {
		r := script(t, "cat >/dev/null\ncase $4 in\neng) cat <<'EOF'\n"+test.english+"EOF\n;;\nurd) cat <<'EOF'\n"+test.urdu+"EOF\n;;\nesac\n")
		got, end, err := r.recognize(t.Context(), g)
		if err != nil || end != nil || got.Text != test.text || got.Reader != test.reader {
			t.Errorf("%s: %+v, %v, %v", name, got, end, err)
		}
	}
	many := script(t, "cat >/dev/null; seq 9000 | while read i; do printf '5\\t1\\t1\\t1\\t%d\\t1\\t0\\t0\\t9\\t9\\t90\\tx\\n' $i; done")
	if _, end, err := many.recognize(t.Context(), g); err != nil || end == nil || end.Reason != "recognition gave over 5000 lines" {
		t.Errorf("many lines: %v, %v", end, err)
	}
}

// TestPlaces: no more pictures are recognized at a time than there are places, and who
// waits for one can give up.
func TestPlaces(t *testing.T) {
	r := script(t, "")
	release, err := r.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one got in: %v", err)
	}
	release()
	if _, err := r.acquire(t.Context()); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

func TestParseTSV(t *testing.T) {
	const table = "level\tpage_num\n1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t\n5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t90.5\tFinance\n5\t1\t1\t1\t1\t2\t10\t1\t9\t9\t69.5\tDivision\n" +
		"5\t1\t1\t1\t2\t1\t0\t20\t9\t9\t80\tof\n5\t1\t1\t1\t2\t2\t0\t0\t9\t9\tx\tPakistan\n5\t1\t1\t1\t2\t3\t0\t0\t9\t9\tNaN\tPakistan\n"
	want := []textLine{
		{words: []string{"Finance", "Division"}, boxes: []image.Rectangle{image.Rect(0, 0, 9, 9), image.Rect(10, 1, 19, 10)}, box: image.Rect(0, 0, 19, 10), sum: 160},
		{words: []string{"of"}, boxes: []image.Rectangle{image.Rect(0, 20, 9, 29)}, box: image.Rect(0, 20, 9, 29), sum: 80},
	}
	if got := parseTSV(table); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func FuzzParseTSV(f *testing.F) {
	f.Add("5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t90.5\tFinance\n5\t1\t1\t1\t1\t2\t9\t0\t9\t9\t-1\tDivision\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, l := range parseTSV(table) {
			if c := l.confidence(); len(l.words) == 0 || !(c >= 0 && c <= 100) {
				t.Errorf("%d words of confidence %g", len(l.words), c)
			}
		}
	})
}

// scanOf makes a PDF of pictures of pages, and a mark of the scanning program.
func scanOf(mark string, pages ...gray) string {
	objects := []string{"<</Type /Catalog /Pages 2 0 R>>", "", "<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"}
	kids := ""
	for _, g := range pages {
		n := len(objects)
		kids += fmt.Sprintf("%d 0 R ", n+1)
		content := "q 600 0 0 800 0 0 cm /I Do Q"
		if mark != "" {
			content += " BT /F 9 Tf 10 10 Td (" + mark + ") Tj ET"
		}
		objects = append(objects,
			fmt.Sprintf("<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R /Resources <</Font <</F 3 0 R>> /XObject <</I %d 0 R>>>>>>", n+2, n+3),
			pdftest.Stream(content),
			fmt.Sprintf("<</Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 /Length %d>>\nstream\n%s\nendstream", g.W, g.H, len(g.Pix), g.Pix))
	}
	objects[1] = fmt.Sprintf("<</Type /Pages /Count %d /Kids [%s]>>", len(pages), kids)
	return pdftest.Build("", objects...)
}

// TestScan: pages that are pictures are recognized, each by itself; a scanning
// program's mark is no text of the page; without recognition they say what they need.
func TestScan(t *testing.T) {
	realTesseract(t)
	page := typed(1200, 1600, 2, repeat(pageOfText, 3))
	blank := gray{100, 100, []byte(strings.Repeat("\xff", 10_000))}
	file := scanOf("Scanned by Scanner", page, blank, half(page))
	p := testPool(t, 2)
	r := extract(t, p, file)
	want := grams(strings.Join(pageOfText, " "))
	if r.Status != ingest.StatusOK || len(r.Pages) != 3 {
		t.Fatalf("%s, %s, %d pages", r.Status, r.Reason, len(r.Pages))
	}
	for i, least := range []float64{0.8, 0, 0.8} {
		page := r.Pages[i]
		if c := contained(want, grams(page.Text)); c < least || least == 0 && c > 0 || page.NeedsOCR {
			t.Errorf("page %d: %.2f of it is read, %+v", i+1, c, page.Gate)
		}
	}
	if !strings.HasPrefix(r.Pages[0].Reader, "tesseract") || r.Pages[0].Gate.Confidence == 0 || r.Pages[0].Gate.Picture != 1 {
		t.Errorf("%s, %+v", r.Pages[0].Reader, r.Pages[0].Gate)
	}
	p.ocr = nil
	if r := extract(t, p, scanOf("", page)); r.Status != ingest.StatusNeedsOCR || r.Reason != "page 1: to be recognized (OCR)" {
		t.Errorf("without recognition: %s, %s", r.Status, r.Reason)
	}
	r = extract(t, p, scanOf("Scanned by Scanner", page, page))
	if r.Status != ingest.StatusPartial || r.Reason != "pages 1-2: to be recognized (OCR)" {
		t.Errorf("without recognition: %s, %s", r.Status, r.Reason)
	}
	if p.Outdated(pdfiumReader, false) || p.Outdated(pdfiumReader, true) || !p.Outdated("pdf 1", false) {
		t.Error("what is outdated is told wrong")
	}
}

// TestPicture: pictures are documents of a page, and fax files of several.
func TestPicture(t *testing.T) {
	realTesseract(t)
	p := testPool(t, 1)
	page := typed(1200, 800, 2, pageOfText)
	want := grams(strings.Join(pageOfText[:40], " "))
	for name, content := range pictureFiles(t, page) {
		r := extract(t, p, content)
		if r.Status != ingest.StatusOK || contained(want, grams(r.Pages[0].Text)) < 0.8 {
			t.Errorf("%s: %s, %s", name, r.Status, r.Reason)
		}
		if pages := map[bool]int{true: 2, false: 1}[name == "tiff of two"]; len(r.Pages) != pages {
			t.Errorf("%s: %d pages", name, len(r.Pages))
		}
	}
	if r := extract(t, p, "\x89PNG\r\n\x1a\n0000"); r.Status != ingest.StatusDamaged {
		t.Errorf("damaged picture: %s, %s", r.Status, r.Reason)
	}
}

func BenchmarkPrepare(b *testing.B) {
	page := rotate(typed(1700, 2200, 2, repeat(pageOfText, 20)), 2)
	for b.Loop() {
		prepare(page)
	}
}

// BenchmarkRecognize reports how many pages of dense print a processor recognizes in a
// minute.
func BenchmarkRecognize(b *testing.B) {
	r := realTesseract(b)
	page := typed(1700, 2200, 2, repeat(pageOfText, 12))
	for b.Loop() {
		if _, end, err := r.recognize(b.Context(), page); err != nil || end != nil {
			b.Fatal(end, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Minutes(), "pages/min")
}

// BenchmarkPDF reports how many pages of text a processor reads in a second, without
// recognition.
func BenchmarkPDF(b *testing.B) {
	texts := make([]string, 200)
	for i := range texts {
		texts[i] = strings.Join(repeat(pageOfText, 8), " ")
	}
	file := makePDF(texts...)
	for _, careful := range []bool{false, true} {
		b.Run(map[bool]string{false: "ledongthuc", true: "pdfium"}[careful], func(b *testing.B) {
			e := &engine{cache: UserCache()}
			if _, err := e.start(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				out := &Output{careful: careful, send: func(ingest.Page) error { return nil }}
				if err := readPDF(e)(fileOf([]byte(file)), out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(texts))/b.Elapsed().Seconds(), "pages/s")
		})
	}
}
