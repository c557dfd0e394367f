package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract/pdftest"
)

// pictures draws the pages of a sample.
func pictures(t testing.TB, name string) (all []page.Picture) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "documents", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readers.Draw(context.Background(), f, info.Size(), "application/pdf", func(l ingest.Look) { all = append(all, l.Picture) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func imageOf(p page.Picture) *image.Gray {
	return &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}
}

func encoded(t testing.TB, encode func(w io.Writer, m image.Image) error, p page.Picture) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, imageOf(p)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, p page.Picture) []byte { return encoded(t, png.Encode, p) }

// lookAt posts a picture as the whole body.
func (h *house) lookAt(client *http.Client, content []byte, query string) MatchAnswer {
	h.t.Helper()
	r := h.request("POST", "/v1/match"+query, bytes.NewReader(content), "Content-Type", "image/png")
	return read[MatchAnswer](do(h.t, client, r).want(200))
}

// registerDrawn registers a file and waits until its pages are drawn.
func (h *house) registerDrawn(name string, content []byte, fields ...field) RegisteredDocument {
	h.t.Helper()
	d := h.register(name, string(content), fields...)
	h.eventually(func() bool {
		versions := read[DocumentDetail](h.get("/v1/documents/" + d.ID).want(200)).Versions
		return versions[len(versions)-1].Drawn
	})
	return d
}

// TestPicture: a picture of a page leads to the document, the page and the place on it, in
// the shape of every answer.
func TestPicture(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	d := h.registerDrawn(name, sample(t, name))
	pages := pictures(t, name)
	for i, kind := range []string{"phone 1200", "third", "sideways", "screenshot"} {
		number := i % 2
		shot := pagetest.Degrade(pages[number], kind, rand.New(rand.NewPCG(uint64(i), 1)))
		content := asPNG(t, shot.Picture)
		a := h.lookAt(h.http, content, "?explain=true")
		if a.Verdict != "unauthorized" || len(a.Matches) != 1 || a.PendingPages != 0 || a.Partial || a.GuaranteeCharacters != 64 {
			t.Errorf("%s: %+v", kind, a)
			continue
		}
		m := a.Matches[0]
		if m.Document.ID != d.ID || m.Channel != "page" || m.Disposition != "alert" || m.Score < 0.5 || m.ExpectedByChance > a.Explanation.Threshold ||
			m.Agreement == nil || m.Agreement.Page < 0.6 || m.MatchedCharacters == 0 || m.Containment.Query <= 0 || m.Containment.Document <= 0 {
			t.Errorf("%s: %+v", kind, m)
		}
		if len(m.Passages) != 1 {
			t.Fatalf("%s: %d passages", kind, len(m.Passages))
		}
		p := m.Passages[0]
		if p.Document.Page != number+1 || p.Query.Start != nil || p.Document.Start != nil || p.Query.X == nil || p.Document.X == nil {
			t.Fatalf("%s: %+v", kind, p)
		}
		truth := shot.From.Bounds(page.Box{Right: float64(pages[number].W), Bottom: float64(pages[number].H)}).Share(shot.W, shot.H)
		for _, side := range [][2]float64{{truth.Left, *p.Query.X}, {truth.Top, *p.Query.Y}, {truth.Right, *p.Query.X + *p.Query.Width}, {truth.Bottom, *p.Query.Y + *p.Query.Height}} {
			if math.Abs(side[0]-side[1]) > 0.03 {
				t.Errorf("%s: the page is at %+v, not %v %v %v %v", kind, truth, *p.Query.X, *p.Query.Y, *p.Query.Width, *p.Query.Height)
				break
			}
		}
		// The same again, as a file, gets the same answer.
		again := read[MatchAnswer](h.upload(h.http, "/v1/match?explain=true", field{"file", string(content), "photo"}).want(200))
		again.ID, again.TookMs, a.TookMs = a.ID, 0, 0
		if !same(a, again) {
			t.Errorf("%s: %+v, then %+v", kind, a, again)
		}
	}

	// Who does not see the document does not see that anything was found.
	if a := h.lookAt(h.as(h.key("health")), asPNG(t, pages[0]), "?suppressed=true&explain=true"); len(a.Matches) != 0 || a.Verdict == "unauthorized" || a.Explanation.Nearest.Document.ID != "" {
		t.Errorf("another department: %+v", a)
	}
	if a := h.lookUpText(h.http, "cricket", ""); a.PendingPages != 0 {
		t.Errorf("%+v", a)
	}
	do(t, h.http, h.request("DELETE", "/v1/documents/"+d.ID, nil)).want(204)
	if a := h.lookAt(h.http, asPNG(t, pages[0]), "?suppressed=true"); len(a.Matches) != 0 || a.Verdict != "no_match" {
		t.Errorf("a deleted document: %+v", a)
	}
}

func same(a, b MatchAnswer) bool {
	one, err := json.Marshal(a)
	other, otherErr := json.Marshal(b)
	return err == nil && otherErr == nil && bytes.Equal(one, other)
}

// TestPictureText: what no layout knows is read.
func TestPictureText(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	text := strings.Join(pagesOf(t, sample(t, name)), "\n")
	d := h.register("minutes.txt", text)
	a := h.lookAt(h.http, asPNG(t, pictures(t, name)[0]), "?explain=true")
	if a.Verdict != "unauthorized" || len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || a.Matches[0].Channel != "ocr" || a.Matches[0].Agreement.Ocr < 0.8 {
		t.Fatalf("%+v", a)
	}
	for _, p := range a.Matches[0].Passages {
		if p.Query.X == nil || p.Query.Start != nil || p.Document.Start == nil || *p.Query.Width <= 0 || *p.Query.Height <= 0 || *p.Query.X+*p.Query.Width > 1 || *p.Query.Y+*p.Query.Height > 1 {
			t.Errorf("%+v", p)
		}
	}
	if c := a.Explanation.Channels; len(c) != 3 || a.Explanation.NormalizedCharacters < 500 || a.Read != nil {
		t.Errorf("%+v", a.Explanation)
	}
	// What was read is told to whoever asks: for each picture, although the answer is as before.
	told := h.lookAt(h.http, asPNG(t, pictures(t, name)[0]), "?explain=true&read=true")
	if len(told.Read) != 1 || told.Read[0].Page != 1 || fingerprint.Normalize(told.Read[0].Text).Len() != a.Explanation.NormalizedCharacters {
		t.Fatalf("%+v", told.Read)
	}
	if told.ID, told.TookMs, told.Read = a.ID, a.TookMs, nil; !same(a, told) {
		t.Errorf("%+v, then %+v", a, told)
	}
	blank := page.NewPicture(400, 400)
	for i := range blank.Pix {
		blank.Pix[i] = 255
	}
	fax := twice(encoded(t, func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }, blank))
	if told = h.lookAt(h.http, fax, "?read=true"); len(told.Read) != 2 || told.Read[1] != (SubmittedPage{Page: 2}) {
		t.Errorf("%+v", told)
	}
}

// TestForeignPicture: what is read of a picture tells nothing of the pages of other
// departments, although a page that is known is read better.
func TestForeignPicture(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	shot := asPNG(t, pagetest.Degrade(pictures(t, name)[0], "phone 900", rand.New(rand.NewPCG(9, 1))).Picture)
	analyst := h.as(h.keyOf(auth.Analyst, "finance"))
	ask := func() string {
		r := h.request("POST", "/v1/match?read=true&explain=true&suppressed=true", bytes.NewReader(shot), "Content-Type", "image/png")
		return changing.ReplaceAllString(string(do(t, analyst, r).want(200).body), "")
	}
	before := ask()
	h.registerDrawn(name, sample(t, name), field{"department", "foreign", ""})
	if after := ask(); after != before || len(before) < 1000 {
		t.Errorf("before it was registered elsewhere: %s\nand now: %s", before, after)
	}
}

// TestPublicPicture: a page that is public, too, never alarms.
func TestPublicPicture(t *testing.T) {
	h := newHouse(t, options{})
	const name = "commerce-export-notification.pdf"
	content := sample(t, name)
	h.registerDrawn(name, content)
	shot := asPNG(t, pagetest.Degrade(pictures(t, name)[0], "phone 1200", rand.New(rand.NewPCG(1, 1))).Picture)
	if a := h.lookAt(h.http, shot, ""); a.Verdict != "unauthorized" {
		t.Fatalf("%+v", a)
	}
	h.create(h.http, `{"name":"gazette","kind":"public","department":"commerce","density":"dense"}`).want(201)
	h.registerDrawn("gazette.pdf", content, field{"collection", "gazette", ""})
	if a := h.lookAt(h.http, shot, ""); a.Verdict != "public" || len(a.Matches) != 0 {
		t.Errorf("%+v", a)
	}
	if a := h.lookAt(h.http, shot, "?suppressed=true"); len(a.Matches) == 0 || a.Matches[0].Disposition != "public_text" {
		t.Errorf("%+v", a)
	}
}

// TestTwoPages: a picture of two pages beside each other shows both.
func TestTwoPages(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	d := h.registerDrawn(name, sample(t, name))
	pages := pictures(t, name)
	wide := page.NewPicture(pages[0].W+pages[1].W+40, pages[0].H)
	for i := range wide.Pix {
		wide.Pix[i] = 90
	}
	for i, left := range []int{0, pages[0].W + 40} {
		for y := range pages[i].H {
			copy(wide.Pix[y*wide.W+left:], pages[i].Pix[y*pages[i].W:(y+1)*pages[i].W])
		}
	}
	a := h.lookAt(h.http, asPNG(t, wide), "")
	if len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || len(a.Matches[0].Passages) != 2 {
		t.Fatalf("%+v", a)
	}
	found := map[int]float64{}
	for _, p := range a.Matches[0].Passages {
		found[p.Document.Page] = *p.Query.X + *p.Query.Width/2
	}
	if math.Abs(found[1]-0.25) > 0.05 || math.Abs(found[2]-0.75) > 0.05 {
		t.Errorf("the pages are at %v", found)
	}
	// So does a TIFF of two.
	b := encoded(t, func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }, pages[1])
	a = h.lookAt(h.http, twice(b), "")
	if len(a.Matches) != 2 || a.Matches[0].Passages[0].Query.Page == 0 {
		t.Errorf("%+v", a)
	}
}

// twice adds a second directory to a TIFF of little endian, a copy of the first.
func twice(b []byte) []byte {
	at := binary.LittleEndian.Uint32(b[4:])
	n := 2 + 12*int(binary.LittleEndian.Uint16(b[at:]))
	directory := bytes.Clone(b[at : int(at)+n])
	binary.LittleEndian.PutUint32(b[int(at)+n:], uint32(len(b)))
	return append(append(b, directory...), 0, 0, 0, 0)
}

// TestPictureFormats: every common format is looked at, upright as its orientation says.
func TestPictureFormats(t *testing.T) {
	h := newHouse(t, options{})
	const name = "commerce-export-notification.pdf"
	h.registerDrawn(name, sample(t, name))
	p := pictures(t, name)[0]
	asJPEG := encoded(t, func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }, p)
	webp, err := os.ReadFile(filepath.Join("testdata", "page.webp"))
	if err != nil {
		t.Fatal(err)
	}
	for format, content := range map[string][]byte{
		"png": asPNG(t, p), "jpeg": asJPEG, "webp": webp,
		"gif":  encoded(t, func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) }, p),
		"bmp":  encoded(t, bmp.Encode, p),
		"tiff": encoded(t, func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }, p),
	} {
		if a := h.lookAt(h.http, content, ""); a.Verdict != "unauthorized" || a.Matches[0].Channel != "page" {
			t.Errorf("%s: %+v", format, a)
		}
	}
	// Exif says that what is stored lies on its side: the box is told as it is shown.
	turned := page.NewPicture(p.H, p.W/2)
	for y := range turned.H {
		for x := range turned.W {
			turned.Pix[y*turned.W+x] = p.Pix[(p.H-1-x)*p.W+y]
		}
	}
	plain := encoded(t, func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }, turned)
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00"
	segment := append([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)}, exif...)
	shown := append(append(bytes.Clone(plain[:2]), segment...), plain[2:]...)
	a, b := h.lookAt(h.http, plain, ""), h.lookAt(h.http, shown, "")
	if len(a.Matches) != 1 || len(b.Matches) != 1 {
		t.Fatalf("%+v, %+v", a, b)
	}
	if q := b.Matches[0].Passages[0]; *q.Document.Width > 0.55 || *q.Document.Height < 0.95 {
		t.Errorf("half of the page is seen as %v of its width and %v of its height", *q.Document.Width, *q.Document.Height)
	}
}

// TestNoPicture: what shows nothing is unreadable, and what cannot be decoded says why.
func TestNoPicture(t *testing.T) {
	h := newHouse(t, options{})
	const name = "power-circular-debt-minutes.pdf"
	h.registerDrawn(name, sample(t, name))
	chance := rand.New(rand.NewPCG(1, 2))
	for what, light := range map[string]func(x, y int) byte{
		"blank": func(int, int) byte { return 255 },
		"nearly blank": func(x, y int) byte {
			if y > 900 && y < 915 && x > 400 && x < 700 && x%23 < 17 {
				return 0
			}
			return 255
		},
		"noise": func(int, int) byte { return byte(chance.IntN(256)) },
		"sky":   func(x, y int) byte { return byte(y / 8) },
	} {
		p := page.NewPicture(1100, 1500)
		for i := range p.Pix {
			p.Pix[i] = light(i%p.W, i/p.W)
		}
		if a := h.lookAt(h.http, asPNG(t, p), "?suppressed=true"); a.Verdict != "unreadable" && a.Verdict != "too_short" || len(a.Matches) != 0 || a.Verdict == "unreadable" && a.Reason == "" {
			t.Errorf("%s: %+v", what, a)
		}
	}

	whole := asPNG(t, pictures(t, name)[0])
	huge := bytes.Clone(whole)
	binary.BigEndian.PutUint32(huge[16:], 65535)
	binary.BigEndian.PutUint32(huge[20:], 65535)
	hugeTIFF := encoded(t, func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }, page.NewPicture(10, 10))
	directory := hugeTIFF[binary.LittleEndian.Uint32(hugeTIFF[4:])+2:]
	for e := directory; len(e) >= 12; e = e[12:] {
		if tag := binary.LittleEndian.Uint16(e); tag == 256 || tag == 257 { // width and height
			binary.LittleEndian.PutUint16(e[2:], 4)
			binary.LittleEndian.PutUint32(e[8:], 60_000)
		}
	}
	for what, content := range map[string][]byte{
		"claims 4 gigapixels": huge, "TIFF that claims 3.6 gigapixels": hugeTIFF, "cut off": whole[:len(whole)/2], "only a head": whole[:40],
		"not what it says": append([]byte("\xff\xd8\xff\xe0"), whole...), "GIF without an end": endlessGIF(t),
	} {
		a := h.lookAt(h.http, content, "")
		if a.Verdict != "unreadable" && what != "GIF without an end" || a.Verdict == "unauthorized" || a.Reason == "" {
			t.Errorf("%s: %+v", what, a)
		}
	}
}

// endlessGIF has a first frame and ten thousand others.
func endlessGIF(t *testing.T) []byte {
	t.Helper()
	one := encoded(t, func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) }, page.NewPicture(200, 200))
	at := bytes.IndexByte(one[13+3*256:], ',') + 13 + 3*256
	frame := one[at : len(one)-1]
	return append(bytes.Clone(one[:len(one)-1]), bytes.Repeat(frame, 10_000)...)
}

// TestPictureInDocument: a photograph that stands on a page is found by itself.
func TestPictureInDocument(t *testing.T) {
	h := newHouse(t, options{})
	f, err := os.Open(filepath.Join("..", "fingerprint", "pdq", "testdata", "bridge-1-original.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := jpeg.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	bridge := page.NewPicture(m.Bounds().Dx(), m.Bounds().Dy())
	for i := range bridge.Pix {
		r, g, b, _ := m.At(i%bridge.W, i/bridge.W).RGBA()
		bridge.Pix[i] = byte((299*r + 587*g + 114*b) / 1000 >> 8)
	}
	quality := func(q int) func(w io.Writer, m image.Image) error {
		return func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: q}) }
	}
	d := h.registerDrawn("report.pdf", photoPDF(encoded(t, quality(90), bridge), bridge.W, bridge.H))
	repost := encoded(t, quality(40), bridge.Shrink(bridge.W*2/3, bridge.H*2/3))
	a := h.lookAt(h.http, repost, "")
	if len(a.Matches) != 1 || a.Matches[0].Document.ID != d.ID || a.Matches[0].Channel != "image" || a.Matches[0].Agreement.Image < 0.85 {
		t.Fatalf("%+v", a)
	}
	p := a.Matches[0].Passages[0]
	if p.Document.Page != 1 || math.Abs(*p.Document.X-0.2) > 0.02 || math.Abs(*p.Document.Width-0.6) > 0.02 || math.Abs(*p.Document.Y-0.2) > 0.02 || *p.Query.Width != 1 {
		t.Errorf("the picture is at %v %v %v %v", *p.Document.X, *p.Document.Y, *p.Document.Width, *p.Document.Height)
	}
	for i := range bridge.Pix {
		bridge.Pix[i] = byte(i*7/bridge.W) ^ bridge.Pix[i]
	}
	if a := h.lookAt(h.http, encoded(t, quality(80), bridge), ""); len(a.Matches) != 0 {
		t.Errorf("another picture: %+v", a)
	}
}

// photoPDF is a page of 500 by 700 points with a photograph of 300 by 210 on it, and a line of
// text.
func photoPDF(photo []byte, w, h int) []byte {
	return []byte(pdftest.Build("",
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 500 700]/Contents 4 0 R/Resources<</XObject<</P 5 0 R>>/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
		pdftest.Stream("q 300 0 0 210 100 350 cm /P Do Q BT /F 12 Tf 100 600 Td (The bridge after the flood) Tj ET"),
		fmt.Sprintf("<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/DCTDecode/Length %d>>\nstream\n%s\nendstream", w, h, len(photo), photo),
	))
}
