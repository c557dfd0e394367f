package extract

import (
	"errors"
	"io"
	"slices"

	"github.com/sealprint/sealprint/ingest"
)

// Output takes what readers find in a file, and has the files read that lie
// inside it. What all of them may spend together is counted here, so that no
// nesting multiplies it.
//
// A file is read once for its text. If there are pages that have to be recognized
// it is read once more for their pictures, and nothing else is sent then; and so it is
// to draw its pages.
type Output struct {
	readers []Reader
	careful bool // one reader has died of this file: only those in a machine of their own
	send    func(ingest.Page) error
	purpose purpose
	wanted  pageSet // whose pictures
	show    func(drawn) error
	carry   func(page int, mediaType string, f File) error
	err     error // of send, show and carry: nobody listens

	// Of the file that is being read now, which may lie in others:
	reader    string
	mediaType string
	part      string
	depth     int

	pages    int   // so far
	text     int   // bytes, so far
	inflated int64 // bytes that came out of compression, so far
	carried  int64 // bytes of files inside for the parent, so far
}

// Page takes the next page: its text, or the reason why it has none. Number and
// reader are filled in, and the part is completed by where the file lies. An
// error, such as that the text exceeds its limit, is to be returned by the reader.
func (o *Output) Page(p ingest.Page) error {
	if o.pages == ingest.MaxPages {
		return failf(ingest.StatusLimit, "more than %d pages", ingest.MaxPages)
	}
	p.Text = clean(p.Text)
	if o.text += len(p.Text); o.text > ingest.MaxTextBytes {
		return failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20)
	}
	o.pages++
	p.Number = o.pages
	p.Part = join(o.part, p.Part)
	if p.Reader == "" {
		p.Reader = o.reader
	}
	if !o.purpose.drawing() {
		o.err = o.send(p)
	}
	return o.err
}

// Picture takes a page that has to be recognized, with what text it has besides.
// draw makes its picture, when it is asked for, of so many dots an inch if it has a size
// in inches, and tells where on it there are pictures.
func (o *Output) Picture(p ingest.Page, draw func(resolution float64) (gray, []ingest.Region, error)) error {
	p.NeedsOCR = true
	if o.purpose == toLook && o.depth == 0 && slices.Contains(pictureTypes, o.mediaType) {
		if o.pages == ingest.MaxLooks {
			return failf(ingest.StatusLimit, "more than %d pictures in one file", ingest.MaxLooks)
		}
		o.pages++
	} else if err := o.Page(p); err != nil || !o.purpose.drawing() || !o.wanted.has(o.pages) {
		return err
	}
	d := drawn{page: o.pages, part: join(o.part, p.Part)}
	var err error
	failed := try(func() {
		if o.purpose == toRecognize {
			if d.gray, _, err = draw(ingest.OCRResolution); err == nil {
				d.gray = prepare(d.gray)
			}
		} else if d.gray, d.regions, err = draw(ingest.DrawResolution); err == nil {
			d.gray = d.within(ingest.MaxLookPixels)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		d.gray, d.regions, d.reason = gray{}, nil, "the page cannot be drawn"
		if o.purpose == toLook {
			d.reason = "damaged picture"
		}
		var end *Failure
		if errors.As(err, &end) {
			d.reason = end.Error()
		}
	}
	o.err = o.show(d)
	return o.err
}

// Inside reads a file that lies in the one that is being read: an attachment, an
// entry of an archive. Its pages come next; part, such as "attachment 2", says
// where they are. A file that cannot be read is a page with the reason, and harms
// nothing around it; one that has to be converted is handed to the parent, which
// puts its pages there. An error is to be returned by the reader.
func (o *Output) Inside(part string, f File) error {
	outer := *o
	defer func() {
		o.reader, o.mediaType, o.part, o.depth = outer.reader, outer.mediaType, outer.part, outer.depth
	}()
	o.part, o.depth = join(outer.part, part), outer.depth+1

	mediaType := sniff(f)
	var end *Failure
	switch {
	case o.depth > ingest.MaxNesting:
		end = failf(ingest.StatusLimit, "files in files over %d deep", ingest.MaxNesting)
	case legacyTypes[mediaType] != "":
		o.part = outer.part
		return o.forParent(part, mediaType, f)
	default:
		end = o.read(f, mediaType)
	}
	switch {
	case o.err != nil:
		return o.err
	case end == nil || end.Status == ingest.StatusNoText:
		return nil
	case end.Status == ingest.StatusLimit && o.spent():
		return end
	}
	o.part = outer.part
	return o.Page(ingest.Page{Part: part, Reason: end.Error()})
}

// spent reports whether something is used up of which all files inside have their share.
func (o *Output) spent() bool {
	return o.pages == ingest.MaxPages || o.text > ingest.MaxTextBytes || o.inflated > ingest.MaxInflatedBytes
}

// forParent makes a page of a file that is to be converted, and hands it over.
func (o *Output) forParent(part, mediaType string, f File) error {
	if o.carried += f.Size; o.carried > ingest.MaxInsideBytes {
		end := failf(ingest.StatusLimit, "over %d MB of files inside to be converted", ingest.MaxInsideBytes>>20)
		return o.Page(ingest.Page{Part: part, Reason: end.Error()})
	}
	err := o.Page(ingest.Page{Part: part, Reason: noReader(mediaType).Error()})
	if err == nil && !o.purpose.drawing() {
		o.err = o.carry(o.pages, mediaType, f)
	}
	return errors.Join(err, o.err)
}

// Reads reports whether files of a media type are read inside others.
func (o *Output) Reads(mediaType string) bool {
	return o.readerFor(mediaType) != nil || legacyTypes[mediaType] != ""
}

func (o *Output) readerFor(mediaType string) *Reader {
	i := slices.IndexFunc(o.readers, func(r Reader) bool { return slices.Contains(r.Types, mediaType) })
	if i < 0 {
		i = slices.IndexFunc(o.readers, func(r Reader) bool { return isText(mediaType) && slices.Contains(r.Types, textType) })
	}
	if i < 0 {
		return nil
	}
	return &o.readers[i]
}

// Inflate meters what comes out of compression. Reading more than all files
// together may inflate fails with a [Failure].
func (o *Output) Inflate(r io.Reader) io.Reader { return &inflating{r, o} }

type inflating struct {
	r io.Reader
	o *Output
}

func (i *inflating) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if i.o.inflated += int64(n); i.o.inflated > ingest.MaxInflatedBytes {
		return 0, failf(ingest.StatusLimit, "over %d MB when unpacked", ingest.MaxInflatedBytes>>20)
	}
	return n, err
}

// read reads one file with the reader of its type, and returns how it ended if it
// was not by the end of the file.
func (o *Output) read(f File, mediaType string) (end *Failure) {
	if mediaType == emptyType {
		return failf(ingest.StatusNoText, "the file is empty")
	}
	r := o.readerFor(mediaType)
	if r == nil {
		return noReader(mediaType)
	}
	defer func() {
		if recover() != nil {
			end = failf(ingest.StatusDamaged, "not readable as %s", mediaType)
		}
	}()
	o.reader, o.mediaType = r.Name, mediaType
	err := r.Read(f, o)
	if err == nil || errors.As(err, &end) {
		return end
	}
	return failf(ingest.StatusDamaged, "not readable as %s", mediaType)
}

func noReader(mediaType string) *Failure {
	return failf(ingest.StatusUnsupported, "no reader for %s", mediaType)
}

func join(part, inner string) string {
	if part == "" || inner == "" {
		return part + inner
	}
	return part + ", " + inner
}
