package extract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/ingest"
)

// Pool is an [ingest.Extractor] that reads files in limited child processes, and
// has pages that are pictures recognized by other processes.
//
// Children that draw pages are others than those that read text: a scan of a
// hundred pages takes minutes, and no memorandum waits behind it.
type Pool struct {
	command   []string
	readers   lane
	drawers   lane
	ocr       *tesseract // nil: pages that are pictures need it
	noOCR     string     // why
	converter *converter
	closeOnce sync.Once

	names []string // of the readers

	warm func() error // compiles what the children load, once
	stop context.CancelFunc

	cpu  time.Duration
	time time.Duration
}

var _ ingest.Extractor = (*Pool)(nil)

// ErrClosed is returned by a pool that was closed.
var ErrClosed = errors.New("extractor closed")

// lane is the children of one kind: nil until they are started.
type lane chan *child

func newLane(n int) lane {
	l := make(lane, n)
	for range n {
		l <- nil
	}
	return l
}

// take waits for a child, or a place for one.
func (l lane) take(ctx context.Context) (*child, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c, ok := <-l:
		if !ok {
			return nil, ErrClosed
		}
		return c, nil
	}
}

func (l lane) close() {
	for range cap(l) {
		if c := <-l; c != nil {
			c.stop()
		}
	}
	close(l)
}

// Options say how a pool works. The zero value reads one file at a time.
type Options struct {
	// Cache is a folder of the pool's own for compiled code, made if it is not there;
	// empty: none.
	Cache string
	// Workers is how many files are read, and how many pages are recognized, at a
	// time: one for each processor.
	Workers int
}

// NewPool returns a pool whose children are this program, which must hand its
// arguments to [Child] before anything else.
func NewPool(o Options) *Pool {
	p := newPool([]string{"/proc/self/exe", workerArg, o.Cache}, max(o.Workers, 1))
	if o.Cache != "" {
		var ctx context.Context
		ctx, p.stop = context.WithCancel(context.Background())
		p.warm = sync.OnceValue(func() error { return warmUp(ctx, o.Cache) })
	}
	p.ocr, p.noOCR = newTesseract(max(o.Workers, 1))
	return p
}

func newPool(command []string, workers int) *Pool {
	names := []string{pdfiumReader}
	for _, r := range Readers("") {
		names = append(names, r.Name)
	}
	return &Pool{
		names:   names,
		command: command,
		readers: newLane(workers), drawers: newLane(workers),
		converter: newConverter(),
		warm:      func() error { return nil }, stop: func() {},
		cpu: ingest.ReaderCPU, time: ingest.ReaderTime,
	}
}

// UserCache is the folder for compiled code of a program that has no data folder.
func UserCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "sealprint")
}

// warmUp has a process of its own compile, for the memory that it takes.
func warmUp(ctx context.Context, cache string) error {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return fmt.Errorf("make folder for compiled code: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "/proc/self/exe", warmArg, cache).CombinedOutput(); err != nil {
		return fmt.Errorf("compile PDFium: %w: %.200s", err, out)
	}
	return nil
}

// Warm compiles what children load, unless it was compiled before. The first file
// does so, if nobody did.
func (p *Pool) Warm() error { return p.warm() }

// Converter returns what converts files of old programs, or why nothing does.
func (p *Pool) Converter() (name, missing string) {
	if p.converter.missing != "" {
		return "", p.converter.missing
	}
	return "LibreOffice", ""
}

// OCR returns what recognizes pages that are pictures, or why nothing does.
func (p *Pool) OCR() (name string, missing string) {
	if p.ocr == nil {
		return "", p.noOCR
	}
	return p.ocr.name(), ""
}

// Outdated implements [ingest.Extractor].
func (p *Pool) Outdated(reader string, needsOCR bool) bool {
	if needsOCR && p.ocr != nil {
		return true
	}
	for name := range strings.SplitSeq(reader, " and ") {
		if strings.HasPrefix(name, "tesseract ") {
			if p.ocr != nil && !strings.HasPrefix(name, p.ocr.name()) {
				return true
			}
		} else if name != "" && !slices.Contains(p.names, name) {
			return true
		}
	}
	return false
}

// Close waits for the files that are being read and ends the children.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		p.stop()
		_ = p.warm() // waits for what was compiling; it has ended or fails
		p.readers.close()
		p.drawers.close()
	})
	return nil
}

// Extract implements [ingest.Extractor].
func (p *Pool) Extract(ctx context.Context, file *os.File, size int64) (*ingest.Reading, error) {
	if size > ingest.MaxFileBytes {
		return new(answer).reading(failf(ingest.StatusLimit, "file over %d MB", ingest.MaxFileBytes>>20)), nil
	}
	// Without the cache children compile for themselves; it only takes longer.
	_ = p.warm()
	a, end, err := p.read(ctx, &task{file: file, size: size, cpu: p.cpu, wall: p.time}, 0)
	if err != nil {
		return nil, err
	}
	return a.reading(end), nil
}

// Look implements [ingest.Extractor].
func (p *Pool) Look(ctx context.Context, file *os.File, size int64) ([]ingest.Look, *ingest.Reading, error) {
	if size > ingest.MaxFileBytes {
		reading, err := p.Extract(ctx, file, size)
		return nil, reading, err
	}
	_ = p.warm()
	var looks []ingest.Look
	t := &task{file: file, size: size, cpu: p.cpu, wall: p.time, purpose: toLook, show: func(d drawn) {
		shown := slices.ContainsFunc(looks, func(l ingest.Look) bool { return l.Number == d.page }) // by a child that crashed over a later one
		if !shown && len(looks) < ingest.MaxLooks && len(d.Pix) <= ingest.MaxLookPixels {
			looks = append(looks, d.look())
		}
	}}
	a, end, err := p.read(ctx, t, 0)
	if err != nil {
		return nil, nil, err
	}
	return looks, a.reading(end), nil
}

func (d drawn) look() ingest.Look {
	return ingest.Look{Number: d.page, Part: d.part, Picture: ingest.Picture(d.gray), Pictures: d.regions, Reason: d.reason}
}

// Draws implements [ingest.Extractor].
func (p *Pool) Draws(mediaType string) bool {
	return mediaType == "application/pdf" || printed(mediaType) || slices.Contains(pictureTypes, mediaType) || slices.Contains(holderTypes, mediaType)
}

// holderTypes are files that have no look themselves, and may hold some that have.
var holderTypes = []string{zipType, "application/gzip", mailType, msgType}

// printed reports whether LibreOffice gives files of a type their look.
func printed(mediaType string) bool {
	return legacyTypes[mediaType] != "" || slices.Contains(printedTypes, mediaType)
}

// needsOffice begins the reason why files are not drawn that need LibreOffice.
const needsOffice = "not to be drawn: "

// Redraws implements [ingest.Extractor].
func (p *Pool) Redraws(undrawn string) bool {
	return p.converter.missing == "" && strings.HasPrefix(undrawn, needsOffice)
}

// toBeDrawn is the task of drawing a file as it is printed, which ends with done; nil if
// that cannot be, for a reason.
func (p *Pool) toBeDrawn(ctx context.Context, file *os.File, size int64, mediaType string) (t *task, done func(), reason string, err error) {
	_ = p.warm()
	t = &task{file: file, size: size, cpu: p.cpu, wall: p.time, purpose: toDraw, wanted: make(pageSet, pageSetBytes)}
	if !printed(mediaType) {
		return t, func() {}, "", nil
	}
	if p.converter.missing != "" {
		return nil, nil, needsOffice + p.converter.missing, nil
	}
	c := &conversion{File: File{file, size}, mediaType: mediaType, to: "pdf"}
	err = p.convert(ctx, t, c)
	if err == nil && c.converted != nil {
		t.file, t.size = c.converted, c.size
		return t, c.close, "", nil
	}
	c.close()
	if err != nil {
		return nil, nil, "", err
	}
	return nil, nil, c.end.Reason, nil
}

// lookOf is what was drawn of a file of a media type.
func (d drawn) lookOf(mediaType string) ingest.Look {
	if printed(mediaType) {
		d.part = ingest.AsPrinted
	}
	return d.look()
}

// DrawPage implements [ingest.Extractor]. Somebody waits for it, so that it is not done by the
// children that have whole scans to draw.
func (p *Pool) DrawPage(ctx context.Context, file *os.File, size int64, mediaType string, page int) (ingest.Look, error) {
	look := ingest.Look{Number: page, Reason: "the file has no such page, or it has no look"}
	if page < 1 || page > ingest.MaxPages {
		return look, nil
	}
	t, done, reason, err := p.toBeDrawn(ctx, file, size, mediaType)
	if t == nil {
		look.Reason = reason
		return look, err
	}
	defer done()
	t.wanted.add(page)
	shown := false
	t.show = func(d drawn) {
		if d.page == page {
			look, shown = d.lookOf(mediaType), true
		}
	}
	_, end, err := p.run(ctx, p.readers, t)
	if err != nil {
		return ingest.Look{}, err
	}
	switch {
	case !shown && end != nil:
		look.Reason = end.Error()
	case look.Reason == "" && len(look.Pix) == 0:
		look.Reason = "the page shows nothing"
	}
	return look, nil
}

// Draw implements [ingest.Extractor].
func (p *Pool) Draw(ctx context.Context, file *os.File, size int64, mediaType string, show func(ingest.Look)) (undrawn string, err error) {
	t, done, undrawn, err := p.toBeDrawn(ctx, file, size, mediaType)
	if t == nil {
		return undrawn, err
	}
	defer done()
	for i := range t.wanted {
		t.wanted[i] = 0xff
	}
	var failed []ingest.Page
	last := 0
	t.show = func(d drawn) {
		last = d.page
		t.wanted.remove(d.page)
		if d.reason != "" {
			failed = append(failed, ingest.Page{Number: d.page, Reason: d.reason})
			return
		}
		show(d.lookOf(mediaType))
	}
	for failures := 0; ; failures++ {
		t.wall = p.time // to the first picture
		a, end, err := p.run(ctx, p.drawers, t)
		if err != nil {
			return "", err
		}
		if a.ended || failures == ingest.MaxDrawFailures || last == ingest.MaxPages {
			return undrawnPages(failed, end), nil
		}
		// The page that the child was drawing when it broke off is to blame, and those
		// behind it are not, unless it goes on like this.
		last++
		t.wanted.remove(last)
		failed = append(failed, ingest.Page{Number: last, Reason: end.Error()})
	}
}

// undrawnPages says which pages were not drawn.
func undrawnPages(failed []ingest.Page, end *Failure) string {
	var reasons []string
	if len(failed) > 0 {
		reasons = append(reasons, pageList(failed)+": "+failed[0].Reason)
	}
	if end != nil {
		reasons = append(reasons, end.Error())
	}
	return strings.Join(reasons, "; ")
}

// read reads a file and those inside it that have to be converted, depth of which it
// lies in. They share the time of the task.
func (p *Pool) read(ctx context.Context, t *task, depth int) (*answer, *Failure, error) {
	a, end, err := p.run(ctx, p.readers, t)
	if err != nil {
		return nil, nil, err
	}
	if mediaType := a.mediaType; legacyTypes[mediaType] != "" {
		c := &conversion{File: File{t.file, t.size}, mediaType: mediaType, to: legacyTypes[mediaType]}
		defer c.close()
		if err := p.convert(ctx, t, c); err != nil {
			return nil, nil, err
		}
		if c.converted == nil {
			return a, c.end, nil
		}
		t.file, t.size = c.converted, c.size
		if a, end, err = p.run(ctx, p.readers, t); err != nil {
			return nil, nil, err
		}
		a.mediaType = mediaType
	}
	if p.ocr != nil {
		if err := p.recognize(ctx, a, *t); err != nil {
			return nil, nil, err
		}
	}
	if len(a.inside) > 0 {
		if err := p.readInside(ctx, a, t, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return a, end, nil
}

// convert has files converted in the time of a task.
func (p *Pool) convert(ctx context.Context, t *task, files ...*conversion) error {
	defer t.spend(time.Now())
	return p.converter.convert(ctx, files, min(t.wall, ingest.ConvertTime))
}

// readInside puts the pages of files that had to be converted where they lie.
func (p *Pool) readInside(ctx context.Context, a *answer, t *task, depth int) error {
	files := map[int]*conversion{} // by page
	var all []*conversion
	for _, e := range a.inside {
		files[e.page] = &conversion{File: fileOf(e.file), mediaType: e.mediaType, to: legacyTypes[e.mediaType]}
		all = append(all, files[e.page])
	}
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	if depth > ingest.MaxNesting {
		for _, c := range all {
			c.end = failf(ingest.StatusLimit, "files in files over %d deep", ingest.MaxNesting)
		}
	} else if err := p.convert(ctx, t, all...); err != nil {
		return err
	}
	whole := answer{mediaType: a.mediaType}
	for _, page := range a.pages {
		c := files[page.Number]
		if c == nil {
			whole.append(page)
			continue
		}
		inner, end := &answer{}, c.end
		if c.converted != nil {
			inside := *t
			inside.file, inside.size, inside.careful = c.converted, c.size, false
			var err error
			if inner, end, err = p.read(ctx, &inside, depth); err != nil {
				return err
			}
			t.wall = inside.wall
		}
		for _, found := range inner.pages {
			found.Part = join(page.Part, found.Part)
			whole.append(found)
		}
		if end != nil && end.Status != ingest.StatusNoText {
			page.Reason = end.Error()
			whole.append(page)
		}
	}
	*a = whole
	return nil
}

// run has a child of a lane do a task. A child that crashes is believed only if it
// had read nothing before; and what crashed a child is read once more by those
// readers only that run in a machine of their own.
func (p *Pool) run(ctx context.Context, l lane, t *task) (a *answer, end *Failure, err error) {
	c, err := l.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { l <- c }()
	for {
		if c == nil {
			if c, err = start(ctx, p.command); err != nil {
				return nil, nil, err
			}
		}
		began := time.Now()
		a, end, err = c.run(ctx, *t)
		t.spend(began)
		crashed, first := c.crashed, c.files == 1
		if c.ended || c.files >= ingest.ReaderFiles {
			c.stop()
			c = nil
		}
		switch {
		case err != nil:
			return nil, nil, err
		case !crashed || t.purpose.drawing() || first && t.careful:
			return a, end, nil
		case first:
			t.careful = true
		}
	}
}

// recognize fills in the text of pages that are pictures.
func (p *Pool) recognize(ctx context.Context, a *answer, t task) error {
	t.purpose, t.wanted = toRecognize, make(pageSet, pageSetBytes)
	left := map[int]*ingest.Page{}
	for i := range a.pages {
		if page := &a.pages[i]; page.NeedsOCR {
			t.wanted.add(page.Number)
			left[page.Number] = page
		}
	}
	var running sync.WaitGroup
	var mu sync.Mutex // of what follows
	var failed error
	text := a.bytes
	t.show = func(d drawn) {
		page := left[d.page]
		if page == nil {
			return
		}
		delete(left, d.page)
		// Whoever waits here keeps the child from drawing the next page.
		release, err := p.ocr.acquire(ctx)
		if err != nil {
			return
		}
		running.Go(func() {
			defer release()
			err := p.recognizePage(ctx, page, d)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			if text += len(page.Text); text > ingest.MaxTextBytes {
				page.Text, page.Reason = "", failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20).Error()
			}
		})
	}
	for failures := 0; len(left) > 0; failures++ {
		t.wall = p.time / 2 // to the first picture
		_, end, err := p.run(ctx, p.drawers, &t)
		if err != nil {
			running.Wait()
			return err
		}
		// The page that the child was drawing when it broke off is to blame, and those
		// behind it are not, unless it goes on like this.
		t.wanted = make(pageSet, pageSetBytes)
		for i, n := range slices.Sorted(maps.Keys(left)) {
			if i > 0 && failures < ingest.MaxDrawFailures {
				t.wanted.add(n)
				continue
			}
			left[n].NeedsOCR, left[n].Reason = false, "the page could not be drawn"
			if end != nil {
				left[n].Reason = end.Error()
			}
			delete(left, n)
		}
	}
	running.Wait()
	return errors.Join(failed, ctx.Err())
}

// Word is a word of a picture that was recognized.
type Word struct {
	Text string
	Box  page.Box // in pixels
	Last bool     // on its line
}

// Recognize returns the words of a picture in the order in which they are read, English
// before Urdu. Reason says why there may be more of them.
func (p *Pool) Recognize(ctx context.Context, picture ingest.Picture) (words []Word, reason string, err error) {
	if p.ocr == nil {
		return nil, p.noOCR, nil
	}
	release, err := p.ocr.acquire(ctx)
	if err != nil {
		return nil, "", err
	}
	defer release()
	g, back := prepared(gray(picture))
	if len(g.Pix) == 0 {
		return nil, "", nil
	}
	r, end, err := p.ocr.recognize(ctx, g)
	if err != nil {
		return nil, "", fmt.Errorf("recognize picture: %w", err)
	}
	if end != nil {
		reason = end.Error()
	}
	if r.turned {
		half := page.Homography{-1, 0, float64(g.W), 0, -1, float64(g.H), 0, 0, 1}
		back = back.Mul(&half)
	}
	for _, l := range r.lines {
		for i, w := range l.words {
			b := l.boxes[i]
			box := back.Bounds(page.Box{Left: float64(b.Min.X), Top: float64(b.Min.Y), Right: float64(b.Max.X), Bottom: float64(b.Max.Y)})
			words = append(words, Word{Text: clean(w), Box: box, Last: i == len(l.words)-1})
		}
	}
	return words, reason, nil
}

// recognizePage puts what is recognized before the text that the page has.
func (p *Pool) recognizePage(ctx context.Context, page *ingest.Page, d drawn) error {
	page.NeedsOCR, page.Reason = false, d.reason
	if len(d.Pix) == 0 { // nothing to see
		return nil
	}
	r, end, err := p.ocr.recognize(ctx, d.gray)
	if err != nil {
		return fmt.Errorf("recognize page: %w", err)
	}
	if end != nil {
		page.Reason = end.Error()
		if r.Text == "" {
			return nil
		}
	}
	text := clean(r.Text)
	gate := measure(text)
	if page.Gate != nil {
		gate.Picture = page.Gate.Picture
	}
	gate.Confidence = r.Confidence
	switch layer := grams(page.Text); {
	case len(layer) == 0 || contained(layer, grams(text)) >= sameText:
		page.Text, page.Reader = text, r.Reader
	default:
		page.Text, page.Reader = text+"\n"+page.Text, r.Reader+" and "+page.Reader
	}
	page.Gate = &gate
	return nil
}
