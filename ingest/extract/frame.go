package extract

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"

	"github.com/sealprint/sealprint/ingest"
)

// The child's side of the socket is a sequence of frames:
//
//	kind   byte
//	length uint32, big endian, of what follows
//	labels of the kind: each uint16 length and bytes
//	rest   of the frame
//
//	ready  no labels                   once, when the child is limited
//	media  media type                  once per file
//	page   the page in JSON without its text; the rest is the text
//	file   media type; the rest is page number, uint32, and a file that lies there
//	image  reason, part; the rest is page number, width, height, and how many pictures it has,
//	       each uint32; x, y, width and height of each, float32 in shares of the page; pixels
//	end    status, reason              once per file; no status: all was read
const (
	frameReady byte = 'r'
	frameMedia byte = 'm'
	framePage  byte = 'p'
	frameFile  byte = 'f'
	frameImage byte = 'i'
	frameEnd   byte = 'e'
)

const frameHeader = 5

func appendFrame(b []byte, kind byte, labels []string, rest ...string) []byte {
	start := len(b)
	b = append(b, kind, 0, 0, 0, 0)
	for _, l := range labels {
		l = l[:min(len(l), ingest.MaxLabelBytes)]
		b = binary.BigEndian.AppendUint16(b, uint16(len(l)))
		b = append(b, l...)
	}
	for _, r := range rest {
		b = append(b, r...)
	}
	binary.BigEndian.PutUint32(b[start+1:], uint32(len(b)-start-frameHeader))
	return b
}

func appendPage(b []byte, p ingest.Page) []byte {
	text := p.Text
	p.Text = ""
	head, err := json.Marshal(p)
	if err != nil {
		panic(err) // there is nothing in a page that JSON cannot say
	}
	return appendFrame(b, framePage, []string{string(head)}, text)
}

// errFrame does not say what was wrong: nobody could mend it, and it may hold
// content.
var errFrame = errors.New("malformed answer")

// readFrame reads one frame of at most limit bytes after the header.
func readFrame(r io.Reader, limit int) (kind byte, body []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	n := binary.BigEndian.Uint32(header[1:])
	if uint64(n) > uint64(limit) {
		return 0, nil, errFrame
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	return header[0], body, nil
}

// labels cuts n labels off a frame's body.
func labels(body []byte, n int) (found []string, rest []byte, err error) {
	for range n {
		if len(body) < 2 {
			return nil, nil, errFrame
		}
		size := int(binary.BigEndian.Uint16(body))
		body = body[2:]
		if size > len(body) || size > ingest.MaxLabelBytes || !utf8.Valid(body[:size]) {
			return nil, nil, errFrame
		}
		found = append(found, string(body[:size]))
		body = body[size:]
	}
	return found, body, nil
}

// answer collects what a child sends about one file.
type answer struct {
	mediaType string
	pages     []ingest.Page
	bytes     int        // of text
	inside    []embedded // by page
	carried   int        // bytes of them
	ended     bool       // by the child's own word
}

// embedded is a file inside another that the parent has converted. Instead of it there is
// a page without text.
type embedded struct {
	page      int
	mediaType string
	file      []byte
}

func fileFrame(page int, mediaType string, b []byte) []byte {
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], uint32(page))
	return appendFrame(nil, frameFile, []string{mediaType}, string(number[:]), string(b))
}

// read collects frames until the end frame, and hands pictures to show, if they were asked
// for. After an error the answer holds what was collected before.
func (a *answer) read(r io.Reader, show func(drawn)) (*Failure, error) {
	const overhead = 2*(2+ingest.MaxLabelBytes) + 16 + 16*ingest.MaxRegions
	for {
		left := max(ingest.MaxTextBytes-a.bytes, ingest.MaxInsideBytes-a.carried)
		if show != nil {
			left = max(left, ingest.MaxOCRPixels)
		}
		kind, body, err := readFrame(r, overhead+left)
		if err != nil {
			return nil, err
		}
		switch kind {
		case frameMedia:
			l, rest, err := labels(body, 1)
			if err != nil || len(rest) > 0 || a.mediaType != "" {
				return nil, errFrame
			}
			a.mediaType = l[0]
		case framePage:
			if err := a.addPage(body); err != nil {
				return nil, err
			}
		case frameFile:
			if err := a.addFile(body); err != nil {
				return nil, err
			}
		case frameImage:
			if show == nil {
				return nil, errFrame
			}
			d, err := parseImage(body)
			if err != nil {
				return nil, err
			}
			show(d)
		case frameEnd:
			a.ended = true
			return parseEnd(body)
		default:
			return nil, errFrame
		}
	}
}

func (a *answer) addFile(body []byte) error {
	l, rest, err := labels(body, 1)
	if err != nil || len(rest) < 4 {
		return errFrame
	}
	e := embedded{page: int(binary.BigEndian.Uint32(rest)), mediaType: l[0], file: rest[4:]}
	a.carried += len(e.file)
	if a.lastPage() == 0 || e.page != a.lastPage() || legacyTypes[e.mediaType] == "" || a.carried > ingest.MaxInsideBytes {
		return errFrame
	}
	a.inside = append(a.inside, e)
	return nil
}

func (a *answer) addPage(body []byte) error {
	l, rest, err := labels(body, 1)
	if err != nil || !utf8.Valid(rest) {
		return errFrame
	}
	var p ingest.Page
	if json.Unmarshal([]byte(l[0]), &p) != nil || p.Text != "" {
		return errFrame
	}
	p.Text = string(rest)
	if p.Number <= a.lastPage() || p.Number > ingest.MaxPages || a.bytes+len(p.Text) > ingest.MaxTextBytes {
		return errFrame
	}
	a.pages = append(a.pages, p)
	a.bytes += len(p.Text)
	return nil
}

// append adds a page behind those that are there, within the limits of a file.
func (a *answer) append(p ingest.Page) {
	if n := len(a.pages); n == ingest.MaxPages {
		a.pages[n-1].Reason = failf(ingest.StatusLimit, "more than %d pages", ingest.MaxPages).Error()
		return
	}
	p.Number = len(a.pages) + 1
	if a.bytes+len(p.Text) > ingest.MaxTextBytes {
		p.Text, p.Reason = "", failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20).Error()
	}
	a.pages = append(a.pages, p)
	a.bytes += len(p.Text)
}

func (a *answer) lastPage() int {
	if len(a.pages) == 0 {
		return 0
	}
	return a.pages[len(a.pages)-1].Number
}

// parseEnd reads how a file ended; nil if by its end.
func parseEnd(body []byte) (*Failure, error) {
	l, rest, err := labels(body, 2)
	if err != nil || len(rest) > 0 {
		return nil, errFrame
	}
	status, reason := l[0], l[1]
	switch s := ingest.Status(status); s {
	case "":
		return nil, nil
	case ingest.StatusEncrypted, ingest.StatusNoText, ingest.StatusUnsupported, ingest.StatusDamaged, ingest.StatusLimit:
		return &Failure{Status: s, Reason: reason}, nil
	}
	return nil, errFrame
}

// The parent's side is one fixed message per file, with the descriptor beside it.
type request struct {
	size    int64
	cpu     uint32 // seconds
	careful bool
	purpose purpose
	wanted  pageSet // whose pictures
	file    *os.File
}

// purpose is what a file is read for.
type purpose byte

const (
	toRead      purpose = iota // its text
	toRecognize                // pictures of its pages, made ready for recognition
	toDraw                     // pictures of its pages, as they look
	toLook                     // the picture, if it is one; else its text
)

// drawing reports whether pictures are wanted and text is not.
func (p purpose) drawing() bool { return p == toRecognize || p == toDraw }

// pageSet is a set of page numbers.
type pageSet []byte

const pageSetBytes = ingest.MaxPages/8 + 1

func (s pageSet) has(page int) bool { return s[page/8]&(1<<(page%8)) != 0 }
func (s pageSet) add(page int)      { s[page/8] |= 1 << (page % 8) }
func (s pageSet) remove(page int)   { s[page/8] &^= 1 << (page % 8) }

const requestBytes = 14 + pageSetBytes

func (r request) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.size))
	b = binary.BigEndian.AppendUint32(b, r.cpu)
	b = append(b, flag(r.careful), byte(r.purpose))
	return append(append(b, r.wanted...), make([]byte, requestBytes)...)[:requestBytes]
}

func (r *request) decode(b []byte) {
	r.size = int64(binary.BigEndian.Uint64(b))
	r.cpu = binary.BigEndian.Uint32(b[8:])
	r.careful = b[12] != 0
	r.purpose, r.wanted = purpose(b[13]), b[14:]
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// drawn is what a page looks like: without pixels if there is nothing to see for the
// purpose, or nobody knows, for a reason.
type drawn struct {
	gray
	page    int
	part    string
	reason  string
	regions []ingest.Region // pictures on the page
}

func imageFrame(d drawn) []byte {
	d.regions = d.regions[:min(len(d.regions), ingest.MaxRegions)]
	var head []byte
	for _, n := range []int{d.page, d.W, d.H, len(d.regions)} {
		head = binary.BigEndian.AppendUint32(head, uint32(n))
	}
	for _, r := range d.regions {
		for _, v := range []float64{r.X, r.Y, r.Width, r.Height} {
			head = binary.BigEndian.AppendUint32(head, math.Float32bits(float32(v)))
		}
	}
	return appendFrame(nil, frameImage, []string{d.reason, d.part}, string(head), string(d.Pix))
}

func parseImage(body []byte) (d drawn, err error) {
	l, body, err := labels(body, 2)
	if err != nil || len(body) < 16 {
		return d, errFrame
	}
	number := func() uint64 {
		n := binary.BigEndian.Uint32(body)
		body = body[4:]
		return uint64(n)
	}
	page, w, h, n := number(), number(), number(), number()
	if page < 1 || page > ingest.MaxPages || n > ingest.MaxRegions || n*16+w*h != uint64(len(body)) {
		return d, errFrame
	}
	d = drawn{page: int(page), reason: l[0], part: l[1]}
	for range n {
		var v [4]float64
		for i := range v {
			v[i] = float64(math.Float32frombits(uint32(number())))
			if !(v[i] >= 0 && v[i] <= 1) { // nor is NaN
				return d, errFrame
			}
		}
		d.regions = append(d.regions, ingest.Region{X: v[0], Y: v[1], Width: v[2], Height: v[3]})
	}
	d.gray = gray{int(w), int(h), body}
	return d, nil
}
