package extract

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"strings"
	"sync"
	"unicode"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// PDFium is the second reader of PDF and the one that draws pages. It is C++,
// compiled to WebAssembly and run inside the limited process: what it does wrong
// stays in a memory of its own, without files and without a clock to wait for.

// pdfiumReader stands on the pages that it read.
const pdfiumReader = "pdfium 1.21.4"

// engine starts PDFium when a file needs it first, and keeps it.
type engine struct {
	cache string // folder with the compiled code; empty: compiled at every start
	once  sync.Once
	pool  pdfium.Pool
	err   error
}

func (e *engine) start() (pdfium.Pool, error) {
	e.once.Do(func() {
		if e.pool, e.err = startPDFium(e.cache); e.err != nil && e.cache != "" {
			// What is missing in the cache cannot be put there by a process that writes no
			// files. It takes some seconds longer.
			e.pool, e.err = startPDFium("")
		}
	})
	return e.pool, e.err
}

// compile compiles PDFium into a folder, from which readers load it in a fraction of
// the time. It takes some seconds, and 300 MB that only the end of the process
// gives back.
func compile(cache string) error {
	pool, err := startPDFium(cache)
	if err != nil {
		return err
	}
	return pool.Close()
}

func startPDFium(cache string) (pdfium.Pool, error) {
	config := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
		WithMemoryLimitPages(ingest.EngineMemory >> 16)
	if cache != "" {
		compiled, err := wazero.NewCompilationCacheWithDir(cache)
		if err != nil {
			return nil, fmt.Errorf("open cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(compiled)
	}
	pool, err := webassembly.Init(webassembly.Config{
		// An instance of the machine for each file: nothing is left of the one before.
		Context:  experimental.WithMemoryAllocator(context.Background(), experimental.MemoryAllocatorFunc(mapMemory)),
		MaxTotal: 1,
		// Without this the whole file system would be the guest's.
		FSConfig:      wazero.NewFSConfig(),
		RuntimeConfig: config,
		Stdout:        io.Discard,
		Stderr:        io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("start PDFium: %w", err)
	}
	return pool, nil
}

// mapped is a memory of WebAssembly that grows in place and is given back to the
// system at once. In a slice of Go it would be copied whenever it grows, and both
// copies would count.
type mapped struct {
	all []byte
}

func mapMemory(_, most uint64) experimental.LinearMemory {
	all, err := unix.Mmap(-1, 0, int(most), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return &mapped{}
	}
	return &mapped{all}
}

func (m *mapped) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) || unix.Mprotect(m.all[:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
		return nil
	}
	return m.all[:size:size]
}

func (m *mapped) Free() {
	if m.all != nil {
		_ = unix.Munmap(m.all) // nothing else can be done with it
		m.all = nil
	}
}

// document is a PDF that is open in PDFium. A panic or an error of the machine
// leaves it unusable, and every later call answers an error.
type document struct {
	pdfium.Pdfium
	ref   references.FPDF_DOCUMENT
	pages int
}

// open opens a PDF. The error is a [Failure] where the file is the reason.
func (e *engine) open(f File) (*document, error) {
	pool, err := e.start()
	if err != nil {
		return nil, failf(ingest.StatusDamaged, "not readable by the first reader, and the second, PDFium, does not start")
	}
	instance, err := pool.GetInstance(ingest.StartTime)
	if err != nil {
		return nil, failf(ingest.StatusDamaged, "not readable by the first reader, and the second, PDFium, does not start")
	}
	d := &document{Pdfium: instance}
	failed := try(func() { err = d.load(f) })
	if err = errors.Join(failed, err); err != nil {
		d.close()
		switch {
		case errors.Is(err, pdfiumerrors.ErrPassword):
			return nil, failf(ingest.StatusEncrypted, "needs a password")
		case errors.Is(err, pdfiumerrors.ErrSecurity):
			return nil, failf(ingest.StatusEncrypted, "encrypted in a way that the reader does not know")
		}
		return nil, failf(ingest.StatusDamaged, "no page can be found in the file")
	}
	return d, nil
}

func (d *document) load(f File) error {
	open, err := d.OpenDocument(&requests.OpenDocument{FileReader: io.NewSectionReader(f, 0, f.Size), FileReaderSize: f.Size})
	if err != nil {
		return err
	}
	d.ref = open.Document
	count, err := d.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: d.ref})
	if err != nil {
		return err
	}
	d.pages = count.PageCount
	if d.pages == 0 {
		return errors.New("no pages")
	}
	return nil
}

// close gives the machine and its memory back.
func (d *document) close() { _ = try(func() { _ = d.Close() }) } // it may be broken already

func (d *document) page(i int) requests.Page {
	return requests.Page{ByIndex: &requests.PageByIndex{Document: d.ref, Index: i}}
}

// has reports whether a page can be loaded; the count of pages is only a claim. What
// forms and annotations show is a part of the page afterwards.
func (d *document) has(i int) (ok bool) {
	if i >= d.pages {
		return false
	}
	_ = try(func() {
		// Not by index: the page would be kept as it is now.
		page, err := d.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: d.ref, Index: i})
		if err != nil {
			return
		}
		ok = true
		ref := requests.Page{ByReference: &page.Page}
		if n, err := d.FPDFPage_GetAnnotCount(&requests.FPDFPage_GetAnnotCount{Page: ref}); err == nil && n.Count > 0 {
			// If that fails, the page is read as it is.
			_, _ = d.FPDFPage_Flatten(&requests.FPDFPage_Flatten{Page: ref, Usage: requests.FPDFPage_FlattenUsageNormalDisplay})
		}
		_, _ = d.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: page.Page})
	})
	return ok
}

// text returns the text of a page in the order in which PDFium reads it.
func (d *document) text(i int) (text string, err error) {
	failed := try(func() {
		err = d.textPage(i, func(page references.FPDF_TEXTPAGE, count int) error {
			// All at once: a call of the machine for each character takes ten times as long.
			read, err := d.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: page, Count: count})
			if err == nil {
				text = strings.ReplaceAll(read.Text, "\r\n", "\n")
			}
			return err
		})
	})
	return text, errors.Join(failed, err)
}

// textPage calls f with the text of a page, if it has any.
func (d *document) textPage(i int, f func(page references.FPDF_TEXTPAGE, count int) error) error {
	page, err := d.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: d.page(i)})
	if err != nil {
		return err
	}
	count, err := d.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: page.TextPage})
	if err == nil && count.Count > 0 {
		err = f(page.TextPage, count.Count)
	}
	_, closeErr := d.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: page.TextPage})
	return errors.Join(err, closeErr)
}

// glyph is one character of a page and where it stands: its origin on the base
// line, and how far it takes its line, in points from the left and the bottom of
// the page. Its ink may reach far beyond: a final ye lies below the letters before it.
type glyph struct {
	char        rune
	x, base     float64 // origin
	left, right float64
	size        float64 // of the font
}

// glyphs returns the characters of a page without white space: where words end is
// seen from the gaps. PDFium guesses at it, and programs put it anywhere.
func (d *document) glyphs(i int) (glyphs []glyph, err error) {
	failed := try(func() {
		err = d.textPage(i, func(page references.FPDF_TEXTPAGE, count int) error {
			for at := range count {
				char, err := d.FPDFText_GetUnicode(&requests.FPDFText_GetUnicode{TextPage: page, Index: at})
				if err != nil {
					return err
				}
				r := rune(char.Unicode)
				if unicode.IsSpace(r) || r == 0 {
					continue
				}
				origin, e1 := d.FPDFText_GetCharOrigin(&requests.FPDFText_GetCharOrigin{TextPage: page, Index: at})
				loose, e2 := d.FPDFText_GetLooseCharBox(&requests.FPDFText_GetLooseCharBox{TextPage: page, Index: at})
				if errors.Join(e1, e2) != nil {
					continue
				}
				box := loose.Rect
				glyphs = append(glyphs, glyph{
					char: r, x: origin.X, base: origin.Y, left: float64(box.Left), right: float64(box.Right),
					size: math.Abs(float64(box.Top - box.Bottom)),
				})
			}
			return nil
		})
	})
	return glyphs, errors.Join(failed, err)
}

// sights is what a page is made of besides text.
type sights struct {
	pictures float64 // share of the page that they cover; strips of one add up
	large    bool    // one of them is larger than can be drawn
	paths    int
	regions  []ingest.Region // where the larger pictures are
}

// drawn reports whether the page shows anything that is no text: pictures, or more
// drawings than frames and rules are made of.
func (s sights) drawn() bool { return s.pictures > 0 || s.paths > ingest.MaxRules }

// sights looks a page over.
func (d *document) sights(i int) (seen sights, err error) {
	failed := try(func() {
		size, e := d.GetPageSize(&requests.GetPageSize{Page: d.page(i)})
		if e != nil {
			panic(e)
		}
		count, e := d.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: d.page(i)})
		if e != nil {
			panic(e)
		}
		s := sight{d: d, page: d.page(i), left: ingest.MaxPageObjects, width: size.Width, height: size.Height}
		for at := range count.Count {
			object, e := d.FPDFPage_GetObject(&requests.FPDFPage_GetObject{Page: d.page(i), Index: at})
			if e != nil || !s.see(object.PageObject, 0) {
				break
			}
		}
		seen = s.sights
		seen.pictures = min(seen.pictures, 1)
	})
	return seen, errors.Join(failed, err)
}

// sight looks over the objects of a page.
type sight struct {
	sights
	d    *document
	page requests.Page
	left int

	width, height float64 // of the page, in points
}

func (s *sight) see(object references.FPDF_PAGEOBJECT, depth int) bool {
	if s.left--; s.left < 0 {
		return false
	}
	kind, err := s.d.FPDFPageObj_GetType(&requests.FPDFPageObj_GetType{PageObject: object})
	if err != nil {
		return false
	}
	switch kind.Type {
	case enums.FPDF_PAGEOBJ_PATH, enums.FPDF_PAGEOBJ_SHADING:
		s.paths++
	case enums.FPDF_PAGEOBJ_IMAGE:
		// The size of a picture inside a form is in the form's own units, which are
		// points nearly always.
		if b, err := s.d.FPDFPageObj_GetBounds(&requests.FPDFPageObj_GetBounds{PageObject: object}); err == nil && s.width*s.height > 0 {
			s.picture(float64(min(b.Left, b.Right))/s.width, 1-float64(max(b.Top, b.Bottom))/s.height, float64(max(b.Left, b.Right))/s.width, 1-float64(min(b.Top, b.Bottom))/s.height)
		}
		if m, err := s.d.FPDFImageObj_GetImageMetadata(&requests.FPDFImageObj_GetImageMetadata{ImageObject: object, Page: s.page}); err == nil {
			m := m.ImageMetadata
			s.large = s.large || float64(m.Width)*float64(m.Height)*float64(m.BitsPerPixel)/8 > ingest.MaxDrawnBytes
		}
	case enums.FPDF_PAGEOBJ_FORM:
		count, err := s.d.FPDFFormObj_CountObjects(&requests.FPDFFormObj_CountObjects{PageObject: object})
		if err != nil || depth == ingest.MaxFormDepth {
			return true
		}
		for i := range count.Count {
			inner, err := s.d.FPDFFormObj_GetObject(&requests.FPDFFormObj_GetObject{PageObject: object, Index: uint64(i)})
			if err != nil || !s.see(inner.PageObject, depth+1) {
				break
			}
		}
	}
	return true
}

// picture counts a picture, by its edges in shares of the page.
func (s *sight) picture(left, top, right, bottom float64) {
	s.pictures += (right - left) * (bottom - top)
	left, top, right, bottom = max(left, 0), max(top, 0), min(right, 1), min(bottom, 1)
	r := ingest.Region{X: left, Y: top, Width: right - left, Height: bottom - top}
	if r.Width*s.width >= ingest.MinPictureSide && r.Height*s.height >= ingest.MinPictureSide && r.Width*r.Height >= ingest.MinRegion && len(s.regions) < ingest.MaxRegions {
		s.regions = append(s.regions, r)
	}
}

// render draws a page in gray, of so many dots an inch.
func (d *document) render(i int, resolution float64) (g gray, err error) {
	failed := try(func() {
		size, e := d.GetPageSize(&requests.GetPageSize{Page: d.page(i)})
		if e != nil {
			panic(e)
		}
		scale := min(resolution/72, math.Sqrt(ingest.MaxOCRPixels/max(size.Width*size.Height, 1)))
		drawn, e := d.RenderPageInPixels(&requests.RenderPageInPixels{
			Page: d.page(i), Width: max(int(size.Width*scale), 1), Height: max(int(size.Height*scale), 1),
			RenderFlags: enums.FPDF_RENDER_FLAG_ANNOT, ImageFormat: requests.RenderImageFormatGrayscale,
		})
		if e != nil {
			panic(e)
		}
		defer drawn.Cleanup()
		picture, ok := drawn.Result.RenderedImage.(*image.Gray)
		if !ok || picture.Bounds().Empty() {
			panic(errors.New("nothing was drawn"))
		}
		g = grayOf(picture)
	})
	return g, failed
}
