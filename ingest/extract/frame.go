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
//	end    status, reason              once per file; no status: all was read
const (
	frameReady byte = 'r'
	frameMedia byte = 'm'
	framePage  byte = 'p'
	frameEnd   byte = 'e'
)

const frameHeader = 5

func appendFrame(b []byte, kind byte, labels []string, rest ...string) []byte {
	start := len(b)
	b = append(b, kind, 0, 0, 0, 0)
	for _, l := range labels {
		l = l[:min(len(l), maxLabelBytes)]
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
		if size > len(body) || size > maxLabelBytes || !utf8.Valid(body[:size]) {
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
	bytes     int // of text
}

// read collects frames until the end frame. After an error the answer holds
// what was collected before.
func (a *answer) read(r io.Reader) (*Failure, error) {
	const overhead = 2 * (2 + maxLabelBytes)
	for {
		kind, body, err := readFrame(r, overhead+ingest.MaxTextBytes-a.bytes)
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
		case frameEnd:
			l, rest, err := labels(body, 2)
			if err != nil || len(rest) > 0 {
				return nil, errFrame
			}
			return endOf(l[0], l[1])
		default:
			return nil, errFrame
		}
	}
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

func (a *answer) lastPage() int {
	if len(a.pages) == 0 {
		return 0
	}
	return a.pages[len(a.pages)-1].Number
}

func endOf(status, reason string) (*Failure, error) {
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
	size int64
	cpu  uint32 // seconds
	file *os.File
}

const requestBytes = 12

func (r request) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.size))
	return binary.BigEndian.AppendUint32(b, r.cpu)
}

func (r *request) decode(b []byte) {
	r.size = int64(binary.BigEndian.Uint64(b))
	r.cpu = binary.BigEndian.Uint32(b[8:])
}
