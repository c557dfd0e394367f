package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	_ "image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/storage"
)

// TestEvalPictures measures how well pages are found in pictures of them, and how often
// pictures of anything else are taken for one. Without SEALPRINT_CORPUS it is a small slice
// on printed pages, which must keep what is promised.
func TestEvalPictures(t *testing.T) {
	if dir := os.Getenv("SEALPRINT_CORPUS"); dir != "" {
		evalPictures(t, dir, os.Getenv("SEALPRINT_QUALITY"))
		return
	}
	g := newGallery(t)
	show := func(name string, p page.Picture) {
		g.add(&exhibit{name: name, file: pngOf(p), pages: 1, draw: func(*testing.T, int) page.Picture { return p }, texts: []string{name}})
	}
	for i := range uint64(6) {
		show(fmt.Sprintf("print %d", i), pagetest.Print(i, i/3))
	}
	for i := range uint64(5) {
		show(fmt.Sprintf("form %d", i), pagetest.Form(i, 1))
	}
	g.open(t)
	for n, kind := range pagetest.Kinds {
		for i := range g.exhibits {
			if i%6 != n%6 || i >= 6 && (kind == "third" || kind == "part") {
				continue // part of a form may show nothing but what all copies have
			}
			chance := rand.New(rand.NewPCG(uint64(i), 3))
			if o := g.look(t, g.exhibits[i], 1, kind, chance); !o.right {
				t.Errorf("%s: page %d is not found: %+v", kind, i, o.report)
			}
		}
		if n%3 != 0 {
			continue
		}
		stranger := pagetest.Degrade(pagetest.Print(77, 1), kind, rand.New(rand.NewPCG(1, 3))).Picture
		if r := g.ask(t, stranger, false); r.Verdict == match.Unauthorized {
			t.Errorf("%s: a page that is not registered is an alert: %+v", kind, r.Matches)
		}
		if kind == "third" || kind == "part" {
			continue // may show nothing but what all copies of the form have
		}
		other := pagetest.Degrade(pagetest.Form(9, 1), kind, rand.New(rand.NewPCG(2, 3))).Picture
		if r := g.ask(t, other, false); r.Verdict == match.Unauthorized {
			t.Errorf("%s: another copy of a form is an alert: %+v", kind, r.Matches)
		}
	}
}

// TestEvalLetterhead: part of a page that shows what all pages of a form have in common is no
// leak of any of them, however many there are; and what it shows beside that tells which.
func TestEvalLetterhead(t *testing.T) {
	for _, copies := range []uint64{2, 80} {
		g := newGallery(t)
		for i := range copies {
			p := pagetest.Print(i, 1)
			g.add(&exhibit{name: fmt.Sprintf("print %d", i), file: pngOf(p), pages: 1, draw: func(*testing.T, int) page.Picture { return p }, texts: []string{"print"}})
		}
		g.open(t)
		for i := range uint64(20) {
			stranger := pagetest.Print(500+i, 1)
			part := stranger.Crop(0, 0, 1, 0.14+0.01*float64(i%4))
			if r := g.ask(t, pagetest.Degrade(part, pagetest.Kinds[i%8], rand.New(rand.NewPCG(i, 7))).Picture, false); r.Verdict == match.Unauthorized {
				t.Errorf("%d copies, stranger %d: %s, agreement %+v, expected %.2g", copies, i, r.Matches[0].Reason, r.Matches[0].Agreement, r.Matches[0].ExpectedByChance)
			}
		}
		for i := range copies {
			if i%16 != 1 {
				continue
			}
			part := pagetest.Print(i, 1).Crop(0, 0, 1, 0.5)
			r := g.ask(t, pagetest.Degrade(part, "jpeg 30", rand.New(rand.NewPCG(i, 7))).Picture, false)
			if r.Verdict != match.Unauthorized || r.Matches[0].Document.ID != g.exhibits[i].document {
				t.Errorf("of %d copies, half of number %d is %s", copies, i, r.Verdict)
			}
		}
	}
}

// exhibit is a registered file.
type exhibit struct {
	name, script string
	file         []byte
	pages        int
	draw         func(t *testing.T, number int) page.Picture // of a page, as another program draws it
	texts        []string                                    // of the pages, if they are not read from the file
	without      map[int]bool                                // pages that are not registered
	held         map[int]string                              // their text
	document     storage.DocumentID
	version      storage.Version
}

// gallery is a deployment with files in it.
type gallery struct {
	exhibits []*exhibit
	of       map[[32]byte]*exhibit
	store    *data
	matcher  *match.Matcher
	pool     *extract.Pool
}

func newGallery(t *testing.T) *gallery {
	t.Helper()
	g := &gallery{of: map[[32]byte]*exhibit{}}
	g.pool = extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: runtime.NumCPU()})
	t.Cleanup(func() { g.pool.Close() })
	return g
}

func (g *gallery) add(e *exhibit) {
	g.exhibits = append(g.exhibits, e)
	g.of[sha256.Sum256(e.file)] = e
}

// curated is the pool, but for what an exhibit says about itself.
type curated struct {
	*extract.Pool
	g *gallery
}

func (c curated) exhibit(file *os.File, size int64) *exhibit {
	b, err := io.ReadAll(io.NewSectionReader(file, 0, size))
	if err != nil {
		panic(err)
	}
	return c.g.of[sha256.Sum256(b)]
}

func (c curated) Extract(ctx context.Context, file *os.File, size int64) (*ingest.Reading, error) {
	e := c.exhibit(file, size)
	r := &ingest.Reading{MediaType: "application/pdf", Status: ingest.StatusOK}
	if e.texts == nil {
		var err error
		if r, err = c.Pool.Extract(ctx, file, size); err != nil {
			return nil, err
		}
	}
	for i, text := range e.texts {
		r.Pages = append(r.Pages, ingest.Page{Number: i + 1, Text: text})
	}
	e.held = map[int]string{}
	for i := range r.Pages {
		if p := &r.Pages[i]; e.without[p.Number] {
			e.held[p.Number], p.Text = p.Text, ""
		}
	}
	return r, nil
}

func (c curated) Draw(ctx context.Context, file *os.File, size int64, mediaType string, show func(ingest.Look)) (string, error) {
	e := c.exhibit(file, size)
	return c.Pool.Draw(ctx, file, size, mediaType, func(l ingest.Look) {
		if !e.without[l.Number] {
			show(l)
		}
	})
}

// open registers everything and waits until it is drawn.
func (g *gallery) open(t *testing.T) {
	t.Helper()
	var err error
	if g.store, err = openData(t.Context(), t.TempDir(), true, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.store.Close() })
	registrar, err := ingest.NewRegistrar(t.Context(), ingest.Config{
		Index: g.store.index, Pages: g.store.pages, Registry: g.store.registry, Extractor: curated{g.pool, g}, Key: g.store.key,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registrar.Close() })
	each(g.exhibits, func(e *exhibit) {
		r, err := registrar.Register(t.Context(), ingest.File{
			SourceKey: storage.SourceKey{Department: "default", Collection: "default", Source: e.name}, Size: int64(len(e.file)), Archive: true,
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.file)), nil },
		})
		if err != nil || r.Document == "" {
			t.Errorf("register %s: %+v, %v", e.name, r, err)
		}
		e.document = r.Document
	})
	for {
		left, err := registrar.Undrawn(t.Context(), storage.Everywhere())
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, e := range g.exhibits {
		if e.document == "" {
			continue
		}
		_, versions, _, err := g.store.registry.Document(t.Context(), storage.Everywhere(), e.document)
		if err != nil {
			t.Fatal(err)
		}
		e.version = versions[0]
	}
	g.matcher = &match.Matcher{
		Key: g.store.key, Index: g.store.index, Documents: g.store.registry, Pages: g.store.pages, Drawings: g.store.registry, Recognizer: recognizer{g.pool},
	}
}

// each calls f for all of a list, as many at a time as there are processors.
func each[T any](all []T, f func(T)) {
	next := make(chan T)
	var wait sync.WaitGroup
	for range runtime.NumCPU() {
		wait.Go(func() {
			for one := range next {
				f(one)
			}
		})
	}
	for _, one := range all {
		next <- one
	}
	close(next)
	wait.Wait()
}

// silent recognizes nothing.
type silent struct{}

func (silent) Recognize(context.Context, page.Picture) ([]match.Word, string, error) {
	return nil, "", nil
}

// ask looks a picture up, with or without recognition of its text.
func (g *gallery) ask(t *testing.T, p page.Picture, read bool) *match.Report {
	t.Helper()
	m := *g.matcher
	if !read {
		m.Recognizer = silent{}
	}
	r, err := m.MatchPicture(t.Context(), match.PictureQuery{Picture: p, SeenAt: time.Now(), Scope: storage.Everywhere(), Explain: true})
	if err != nil {
		t.Error(err)
		return &match.Report{}
	}
	return r
}

// sight is what became of a picture of a registered page.
type sight struct {
	blank        bool // the picture shows hardly any words
	right, first bool // the page is among the alerts; it is the first of them
	channel      match.Channel
	overlap      float64 // of the box that was told with the true one, over their union
	took         time.Duration
	report       *match.Report
}

func (g *gallery) look(t *testing.T, e *exhibit, number int, kind string, chance *rand.Rand) sight {
	t.Helper()
	p := e.draw(t, number)
	shot := pagetest.Degrade(p, kind, chance)
	const enough = 20 // words: fewer are hardly anything
	if q := page.NewQuery(shot.Picture, 1); q == nil || q.Words() < enough {
		return sight{blank: true}
	}
	start := time.Now()
	o := sight{report: g.ask(t, shot.Picture, true)}
	o.took = time.Since(start)
	truth := shot.From.Bounds(page.Box{Right: float64(p.W), Bottom: float64(p.H)}).Share(shot.W, shot.H)
	for i, m := range o.report.Matches {
		for _, found := range m.Passages {
			if m.Disposition != match.Alert || m.Document.ID != e.document || found.Place.Page != number || o.right {
				continue
			}
			o.right, o.first, o.channel = true, i == 0, m.Channel
			box := found.Box
			o.overlap = overUnion(truth, page.Box{Left: box.X, Top: box.Y, Right: box.X + box.Width, Bottom: box.Y + box.Height})
		}
	}
	return o
}

func overUnion(a, b page.Box) float64 {
	area := func(b page.Box) float64 { return max(b.Right-b.Left, 0) * max(b.Bottom-b.Top, 0) }
	both := area(page.Box{Left: max(a.Left, b.Left), Top: max(a.Top, b.Top), Right: min(a.Right, b.Right), Bottom: min(a.Bottom, b.Bottom)})
	return both / (area(a) + area(b) - both)
}

// How much is measured.
const (
	shotsPerKind = 60 // of each script
	strangers    = 64 // pages that are not registered, in each kind and script
)

func evalPictures(t *testing.T, dir, report string) {
	g := newGallery(t)
	for _, folder := range []string{"pdf/gov-us-eu", "pdf/us-courts", "pdf/pk-laws", "scanned/pk-laws", "scanned/us-courts", "scanned/in-circulars"} {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*.pdf"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", folder, err)
		}
		for _, f := range files {
			if e := pdfExhibit(t, f, "English"); e.pages > 0 {
				g.add(e)
			}
		}
	}
	for _, e := range news(t, dir) {
		g.add(e)
	}
	var foreign []*exhibit // not registered
	for i, e := range memoranda(t, dir) {
		if i%2 == 0 {
			e.without = nil
			g.add(e)
		} else {
			foreign = append(foreign, e)
		}
	}
	start := time.Now()
	g.open(t)
	registration := time.Since(start)

	var table strings.Builder
	out := func(format string, args ...any) { fmt.Fprintf(&table, format, args...) }
	stats, err := g.store.pages.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	registered := map[string]int{}
	type query struct {
		e      *exhibit
		number int
	}
	repeated := 0
	known, held := map[string][]query{}, map[string][]query{}
	for _, e := range g.exhibits {
		for n := 1; n <= e.pages; n++ {
			if e.without[n] {
				// Some repeat what stands on a page that is registered.
				r, err := g.matcher.Match(t.Context(), match.Query{Text: e.held[n], SeenAt: start, Scope: storage.Everywhere()})
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict == match.Unauthorized {
					repeated++
				} else {
					held[e.script] = append(held[e.script], query{e, n})
				}
				continue
			}
			registered[e.script]++
			if n <= len(e.version.Pages) && e.version.Pages[n-1].Characters >= 200 {
				known[e.script] = append(known[e.script], query{e, n})
			}
		}
	}
	for _, e := range foreign {
		for n := 1; n <= e.pages; n++ {
			held[e.script] = append(held[e.script], query{e, n})
		}
	}
	t.Logf("%d held-out pages repeat registered text", repeated)
	t.Logf("%d documents, pages %v, registered and drawn in %v", len(g.exhibits), registered, registration.Round(time.Second))
	out("%d English and %d Urdu pages are registered and asked for; %d more of the same files and forms are not registered. The index of %d pages takes %.1f KB a page.\n\n",
		registered["English"], registered["Urdu"], len(held["English"])+len(held["Urdu"]), stats.Documents, float64(stats.Bytes)/1000/float64(stats.Documents))
	out("| picture | script | recall | right first | box | by look | by text | median | slowest |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, kind := range pagetest.Kinds {
		for _, script := range []string{"English", "Urdu"} {
			chance := rand.New(rand.NewPCG(11, uint64(len(kind))))
			all := slices.Clone(known[script])
			chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			all = all[:min(len(all), shotsPerKind*4/3)]
			outcomes := make([]sight, len(all))
			indexes := make([]int, len(all))
			for i := range indexes {
				indexes[i] = i
			}
			each(indexes, func(i int) {
				outcomes[i] = g.look(t, all[i].e, all[i].number, kind, rand.New(rand.NewPCG(uint64(i), 5)))
			})
			var found, first, box, look, text int
			var took []time.Duration
			n := 0.0
			for i, o := range outcomes {
				if o.blank || n == shotsPerKind {
					continue
				}
				n++
				took = append(took, o.took)
				if !o.right {
					nearest := "nothing"
					if n := o.report.Explanation.Nearest; n != nil {
						nearest = fmt.Sprintf("%s %s %s page agreement %.2f", n.Channel, n.Document.Title, n.Reason, n.Agreement.Page)
					}
					t.Logf("missed: %s %s %s page %d: %s, %d characters, %s, %s; %d matches", kind, script, all[i].e.name, all[i].number, o.report.Verdict, o.report.Characters, o.report.Unread, nearest, len(o.report.Matches))
					continue
				}
				found++
				first += btoi(o.first)
				box += btoi(o.overlap >= 0.8 || o.channel == match.OCR)
				look += btoi(o.channel != match.OCR)
				text += btoi(o.channel == match.OCR)
			}
			slices.Sort(took)
			out("| %s | %s | %.3f | %.3f | %.3f | %.3f | %.3f | %d ms | %.1f s |\n", kind, script, float64(found)/n, share(first, found), share(box, look+text), float64(look)/n, float64(text)/n,
				took[len(took)/2].Milliseconds(), took[len(took)-1].Seconds())
		}
	}
	// Pages that are not registered, of the same files and forms.
	asked, alarms := 0, 0
	var best []float64
	for _, script := range []string{"English", "Urdu"} {
		for _, kind := range pagetest.Kinds {
			chance := rand.New(rand.NewPCG(13, uint64(len(kind))))
			all := slices.Clone(held[script])
			chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			var mu sync.Mutex
			each(all[:min(len(all), strangers)], func(q query) {
				shot := pagetest.Degrade(q.e.draw(t, q.number), kind, rand.New(rand.NewPCG(uint64(q.number), 17)))
				r := g.ask(t, shot.Picture, false)
				mu.Lock()
				defer mu.Unlock()
				asked++
				if n := r.Explanation.Nearest; n != nil {
					best = append(best, n.ExpectedByChance)
				}
				if r.Verdict == match.Unauthorized {
					alarms++
					m := r.Matches[0]
					best = append(best, m.ExpectedByChance)
					t.Logf("false alarm: %s %s page %d: %s page %d, %s, agreement %+v, expected %.2g", kind, q.e.name, q.number, m.Document.Title, m.Passages[0].Place.Page, m.Reason, m.Agreement, m.ExpectedByChance)
				}
			})
		}
	}
	slices.Sort(best)
	out("\nOf %d pictures of pages that are not registered, of the same files and forms, %d are false alarms.", asked, alarms)
	if len(best) > 0 {
		out(" The likeliest of them had an expected_by_chance of %.2g (an alert needs %g).", best[0], match.ChanceThreshold)
	}
	out("\n")
	t.Logf("expected by chance of strangers: %.2g", best)
	others := otherPictures(t, dir)
	alarms = 0
	verdicts := map[match.Verdict]int{}
	var slowest time.Duration
	var mu sync.Mutex
	each(others, func(p page.Picture) {
		start := time.Now()
		r := g.ask(t, p, true)
		took := time.Since(start)
		mu.Lock()
		defer mu.Unlock()
		slowest = max(slowest, took)
		verdicts[r.Verdict]++
		if r.Verdict == match.Unauthorized {
			alarms++
			t.Logf("false alarm: %+v", r.Matches[0])
		}
	})
	t.Logf("other pictures: %v, slowest %v", verdicts, slowest)
	out("\nOf %d pictures that show no registered page (receipts and book pages in each of these ways, drawn patterns and scenes) %d are false alarms.\n", len(others), alarms)
	fmt.Println(table.String())
	if report != "" {
		writeSection(t, filepath.Join(report, "quality.md"), table.String())
	}
}

func share(part, whole int) float64 { return float64(part) / float64(max(whole, 1)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// writeSection replaces the last section of the report, which is this test's.
func writeSection(t *testing.T, path, table string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(b), picturesHeading)
	if err := os.WriteFile(path, []byte(strings.TrimRight(before, "\n")+"\n\n"+picturesHeading+picturesIntroduction+table), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	picturesHeading      = "## Pictures of pages\n"
	picturesIntroduction = `
Pages are drawn by Poppler, while registration draws them by PDFium, and then spoiled as social media and cameras do (fingerprint/page/pagetest).

- **Recall**: how many are reported as an alert that names the right document and page. **Right first**: of these, how many name it first.
- What shows fewer than 20 words, as some thirds do of pages that are half empty, does not count.
- **Box**: of these, in how many the box that is told overlaps the true one by 0.8 at least (intersection over union); found by text, it is a box around passages and counts.
- **By look**, **by text**: found by the layout or hash, or by recognized text.
- Times are of one picture, with two looked at at a time on two processors.

`
)

// pngOf is a picture as a file.
func pngOf(p page.Picture) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}); err != nil {
		panic(err) // it writes to memory
	}
	return b.Bytes()
}
