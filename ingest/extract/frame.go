package extract

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
//	image  reason; the rest is page number, width, height, each uint32, and pixels
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

// read collects frames until the end frame. After an error the answer holds
// what was collected before.
func (a *answer) read(r io.Reader) (*Failure, error) {
	const overhead = 2*(2+ingest.MaxLabelBytes) + 4
	for {
		left := max(ingest.MaxTextBytes-a.bytes, ingest.MaxInsideBytes-a.carried)
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
		case frameEnd:
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
	wanted  pageSet // nil: the text
	file    *os.File
}

// pageSet is a set of page numbers.
type pageSet []byte

const pageSetBytes = ingest.MaxPages/8 + 1

func (s pageSet) has(page int) bool { return s[page/8]&(1<<(page%8)) != 0 }
func (s pageSet) add(page int)      { s[page/8] |= 1 << (page % 8) }

const requestBytes = 14 + pageSetBytes

func (r request) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.size))
	b = binary.BigEndian.AppendUint32(b, r.cpu)
	b = append(b, flag(r.careful), flag(r.wanted != nil))
	return append(append(b, r.wanted...), make([]byte, requestBytes)...)[:requestBytes]
}

func (r *request) decode(b []byte) {
	r.size = int64(binary.BigEndian.Uint64(b))
	r.cpu = binary.BigEndian.Uint32(b[8:])
	r.careful = b[12] != 0
	if b[13] != 0 {
		r.wanted = b[14:]
	}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func imageFrame(number int, g picture) []byte {
	var head [12]byte
	binary.BigEndian.PutUint32(head[:], uint32(number))
	binary.BigEndian.PutUint32(head[4:], uint32(g.W))
	binary.BigEndian.PutUint32(head[8:], uint32(g.H))
	return appendFrame(nil, frameImage, []string{g.reason}, string(head[:]), string(g.Pix))
}

func parseImage(body []byte) (number int, p picture, err error) {
	l, body, err := labels(body, 1)
	if err != nil || len(body) < 12 {
		return 0, picture{}, errFrame
	}
	number = int(binary.BigEndian.Uint32(body))
	w, h := uint64(binary.BigEndian.Uint32(body[4:])), uint64(binary.BigEndian.Uint32(body[8:]))
	p = picture{gray{int(w), int(h), body[12:]}, l[0]}
	if w*h != uint64(len(p.Pix)) || number < 1 || number > ingest.MaxPages {
		return 0, picture{}, errFrame
	}
	return number, p, nil
}

// readPictures reads the frames of a pass for pictures.
func readPictures(r io.Reader, show func(number int, p picture)) (*Failure, error) {
	for {
		kind, body, err := readFrame(r, 12+ingest.MaxOCRPixels+3*(2+ingest.MaxLabelBytes))
		if err != nil {
			return nil, err
		}
		switch kind {
		case frameMedia: // said before
		case frameImage:
			number, g, err := parseImage(body)
			if err != nil {
				return nil, err
			}
			show(number, g)
		case frameEnd:
			return parseEnd(body)
		default:
			return nil, errFrame
		}
	}
}
