// Package bundle carries fingerprints from a network that documents may not leave to a
// server: all that is registered of many files, and nothing that they say.
//
// A bundle is made and opened with the deployment's secret key. It is an age file
// (https://age-encryption.org/v1) with a recipient of our own:
//
//	-> sealprint KEY-ID SALT
//	the file key, sealed by AES-256-GCM under HKDF-SHA256(secret key, SALT)
//
// The header is authenticated by the file key, and the content chunk by chunk, with the end
// marked, so that whoever opens a bundle knows that a holder of the secret key made it, and
// that nothing of it was changed, left out or cut off. Nobody without the key learns more than
// how long it is.
//
// Inside are lines of JSON: a head, which says how the fingerprints were made; an entry for
// each file; and a last line, which counts them.
package bundle

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"filippo.io/age"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// Entry is what a bundle holds of a file.
type Entry struct {
	Source string
	ingest.Fingerprints
}

// ErrBundle is the kind of error for what is no bundle, or one that was damaged or changed.
var ErrBundle = errors.New("not a bundle of fingerprints, or damaged")

// maxLine bounds an entry in bytes: the fingerprints of a text of ingest.MaxTextBytes and of
// ingest.MaxDrawings pages take 160 MB.
const maxLine = 256 << 20

// Magic is what bundles begin with.
const Magic = "age-encryption.org/v1\n-> " + stanzaType + " "

const (
	stanzaType = "sealprint"
	saltBytes  = 16
	formatName = "sealprint bundle 1"
)

// line is any line of a bundle: just one of its fields is set.
type line struct {
	Head  *head  `json:"head,omitempty"`
	Entry *entry `json:"entry,omitempty"`
	// End is how many entries there are.
	End *int `json:"end,omitempty"`
}

type head struct {
	Format  string             `json:"format"`
	Text    fingerprint.Params `json:"text"`
	Pages   fingerprint.Params `json:"pages"`
	Drawing int                `json:"drawing"`
}

func headOf(key *fingerprint.Key) head {
	return head{formatName, key.Params(), key.PageParams(), ingest.Drawing}
}

type entry struct {
	Source    string     `json:"source"`
	Content   []byte     `json:"content"` // keyed hash
	Size      int64      `json:"size"`
	MediaType string     `json:"media_type"`
	Status    string     `json:"status"`
	Reason    string     `json:"reason,omitempty"`
	TextBytes int64      `json:"text_bytes"`
	Pages     []pageSize `json:"pages,omitempty"`
	Places    []byte     `json:"places,omitempty"`
	Sketch    []byte     `json:"sketch,omitempty"`
	Hashes    []byte     `json:"hashes,omitempty"`
	Undrawn   string     `json:"undrawn,omitempty"`
	Drawings  []drawing  `json:"drawings,omitempty"`
}

type pageSize struct {
	Number     int           `json:"number"`
	Part       string        `json:"part,omitempty"`
	Characters int           `json:"characters"`
	CodePoints int           `json:"code_points"`
	Reader     string        `json:"reader,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	NeedsOCR   bool          `json:"needs_ocr,omitempty"`
	Gate       *storage.Gate `json:"gate,omitempty"`
}

type drawing struct {
	Page   int            `json:"page"`
	Part   string         `json:"part,omitempty"`
	Region storage.Region `json:"region,omitzero"`
	Hash   []byte         `json:"hash,omitempty"`
	Layout []byte         `json:"layout,omitempty"`
	Hashes []byte         `json:"hashes,omitempty"` // of the layout
}

// Writer writes a bundle.
type Writer struct {
	sealed  io.WriteCloser
	encoder *json.Encoder
	entries int
}

// Create begins a bundle.
func Create(w io.Writer, key *fingerprint.Key) (*Writer, error) {
	sealed, err := age.Encrypt(w, &holder{key})
	if err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	b := &Writer{sealed: sealed, encoder: json.NewEncoder(sealed)}
	h := headOf(key)
	return b, b.encoder.Encode(line{Head: &h})
}

// Add adds what was made of a file, with a window of [fingerprint.Dense].
func (w *Writer) Add(e Entry) error {
	v := e.Version
	out := entry{
		Source: e.Source, Content: v.Content, Size: v.Size, MediaType: v.MediaType, Status: v.Status, Reason: v.Reason, TextBytes: v.TextBytes,
		Places: v.Places, Sketch: v.Sketch, Hashes: fingerprint.AppendHashes(nil, e.Hashes), Undrawn: e.Undrawn,
	}
	for _, p := range v.Pages {
		out.Pages = append(out.Pages, pageSize(p))
	}
	for i, d := range e.Drawings {
		out.Drawings = append(out.Drawings, drawing{d.Page, d.Part, d.Region, d.Hash, d.Layout, fingerprint.AppendHashes(nil, e.Layouts[i])})
	}
	w.entries++
	if err := w.encoder.Encode(line{Entry: &out}); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// Close ends the bundle. One that was not ended is no bundle.
func (w *Writer) Close() error {
	if err := errors.Join(w.encoder.Encode(line{End: &w.entries}), w.sealed.Close()); err != nil {
		return fmt.Errorf("end bundle: %w", err)
	}
	return nil
}

// Read yields the entries of a bundle. That it is whole is known at its end only; errors
// are of kind [ErrBundle], or fingerprint.ErrParams if it was made with another key or by
// another version, and end it.
func Read(r io.Reader, key *fingerprint.Key) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		opened, err := age.Decrypt(r, &holder{key})
		if err != nil {
			if !errors.Is(err, fingerprint.ErrParams) {
				err = fmt.Errorf("%w: %w", ErrBundle, err)
			}
			yield(Entry{}, err)
			return
		}
		in := bufio.NewReaderSize(opened, 64<<10)
		for n := -1; ; n++ {
			e, end, err := next(in, key, n)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if end {
				if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
					yield(Entry{}, fmt.Errorf("%w: it goes on behind its end", ErrBundle))
				}
				return
			}
			if n >= 0 && !yield(e, nil) {
				return
			}
		}
	}
}

// next reads a line: the head if n is negative, else the n-th entry, or the end.
func next(in *bufio.Reader, key *fingerprint.Key, n int) (e Entry, end bool, err error) {
	var text []byte
	for {
		part, err := in.ReadSlice('\n')
		text = append(text, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return Entry{}, false, fmt.Errorf("%w: %w", ErrBundle, err)
		}
		if len(text) > maxLine {
			return Entry{}, false, fmt.Errorf("%w: an entry of over %d MB", ErrBundle, maxLine>>20)
		}
	}
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return Entry{}, false, fmt.Errorf("%w: entry %d: %w", ErrBundle, n, err)
	}
	switch {
	case n < 0 && l.Head != nil:
		if want := headOf(key); *l.Head != want {
			return Entry{}, false, fmt.Errorf("%w: the bundle was made by another version of the program (%s, %v, %v, drawing %d)", fingerprint.ErrParams,
				l.Head.Format, l.Head.Text, l.Head.Pages, l.Head.Drawing)
		}
		return Entry{}, false, nil
	case n >= 0 && l.Entry != nil:
		e, err = l.Entry.open()
		if err != nil {
			return Entry{}, false, fmt.Errorf("%w: entry %d: %w", ErrBundle, n, err)
		}
		return e, false, nil
	case n >= 0 && l.End != nil && *l.End == n:
		return Entry{}, true, nil
	}
	return Entry{}, false, fmt.Errorf("%w: line %d is none that could stand there", ErrBundle, n+1)
}

// open checks that an entry fits together: it was made by a holder of the key, but maybe not
// by this program.
func (e *entry) open() (Entry, error) {
	out := Entry{Source: e.Source, Fingerprints: ingest.Fingerprints{
		Version: storage.Version{
			Content: e.Content, Size: e.Size, MediaType: e.MediaType, Window: fingerprint.Dense, Status: e.Status, Reason: e.Reason, TextBytes: e.TextBytes,
			Places: e.Places, Sketch: e.Sketch, Drawn: ingest.Drawing,
		},
		Looks: ingest.Looks{Undrawn: e.Undrawn},
	}}
	characters := 0
	for _, p := range e.Pages {
		out.Version.Pages = append(out.Version.Pages, storage.Page(p))
		characters += p.Characters
	}
	var ok bool
	if out.Hashes, ok = fingerprint.ParseHashes(nil, e.Hashes); !ok {
		return Entry{}, errors.New("half a fingerprint")
	}
	places, err := fingerprint.ParsePlaces(e.Places)
	if err != nil {
		return Entry{}, err
	}
	if _, err := fingerprint.ParseSketch(e.Sketch); err != nil {
		return Entry{}, err
	}
	grams := max(0, characters-fingerprint.GramSpan+1)
	switch {
	case e.Source == "" || len(e.Content) == 0 || len(e.Pages) > ingest.MaxPages || len(e.Drawings) > ingest.MaxDrawings:
		return Entry{}, errors.New("without a source or content, or of too many pages")
	case !ingest.Status(e.Status).Registered():
		return Entry{}, fmt.Errorf("status %q makes no document", e.Status)
	case len(out.Hashes) != (grams+int(fingerprint.Dense)-1)/int(fingerprint.Dense) || places.Len() != characters:
		return Entry{}, fmt.Errorf("%d fingerprints and %d places of %d characters", len(out.Hashes), places.Len(), characters)
	}
	for _, d := range e.Drawings {
		var hashes []fingerprint.Hash
		if len(d.Layout) > 0 {
			if _, err := page.Decode(d.Layout); err != nil {
				return Entry{}, err
			}
			if hashes, ok = fingerprint.ParseHashes([]fingerprint.Hash{}, d.Hashes); !ok {
				return Entry{}, errors.New("half a fingerprint of a layout")
			}
		}
		if len(d.Hash) != 0 && len(d.Hash) != len(pdq.Hash{}) {
			return Entry{}, errors.New("a perceptual hash of another length")
		}
		out.Drawings = append(out.Drawings, storage.Drawing{Page: d.Page, Part: d.Part, Region: d.Region, Layout: d.Layout, Hash: d.Hash})
		out.Layouts = append(out.Layouts, hashes)
	}
	return out, nil
}

// holder is who has the key: both age.Recipient and age.Identity.
type holder struct{ key *fingerprint.Key }

// Wrap implements [age.Recipient].
func (h *holder) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	aead, err := h.aead(salt)
	if err != nil {
		return nil, err
	}
	return []*age.Stanza{{
		Type: stanzaType, Args: []string{h.key.ID(), base64.RawStdEncoding.EncodeToString(salt)},
		Body: aead.Seal(nil, make([]byte, aead.NonceSize()), fileKey, nil), // each salt makes a key of its own
	}}, nil
}

// Unwrap implements [age.Identity].
func (h *holder) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != stanzaType || len(stanzas[0].Args) != 2 {
		return nil, errors.New("it is for somebody else")
	}
	s := stanzas[0]
	if s.Args[0] != h.key.ID() {
		return nil, fmt.Errorf("%w: the bundle was made with another secret key", fingerprint.ErrParams)
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
	if err != nil || len(salt) != saltBytes {
		return nil, errors.New("its salt is none")
	}
	aead, err := h.aead(salt)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, make([]byte, aead.NonceSize()), s.Body, nil)
}

func (h *holder) aead(salt []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(h.key.Derive("bundle "+string(salt), 32))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
