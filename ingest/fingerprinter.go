package ingest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Fingerprints are all that is registered of a file. Without the key they say nothing, and
// with it nothing of the file can be read from them.
type Fingerprints struct {
	Version storage.Version // without document, number, ordinal and time
	Hashes  []fingerprint.Hash
	Looks
}

// Looks are what is kept of the looks of a file's pages.
type Looks struct {
	Undrawn  string               // which pages were not drawn, and why
	Drawings []storage.Drawing    // without ordinals
	Layouts  [][]fingerprint.Hash // of each drawing; nil if it has no layout
}

// Fingerprinter makes fingerprints of files.
type Fingerprinter struct {
	extractor    Extractor
	key, pageKey *fingerprint.Key
	contentKey   []byte
	// During a rotation of the secret key; nil at other times.
	previous           *fingerprint.Key
	previousContentKey []byte
}

// NewFingerprinter makes fingerprints with a deployment's key.
func NewFingerprinter(key *fingerprint.Key, extractor Extractor) *Fingerprinter {
	return &Fingerprinter{extractor: extractor, key: key, pageKey: key.Pages(), contentKey: contentKey(key)}
}

func contentKey(key *fingerprint.Key) []byte { return key.Derive("content hash", sha256.Size) }

// rotateFrom has content recognized that was registered under the previous key.
func (f *Fingerprinter) rotateFrom(previous *fingerprint.Key) {
	f.previous, f.previousContentKey = previous, contentKey(previous)
}

// sums are the keyed hashes of a file's content: with the current key, and with the previous
// one during a rotation.
type sums struct{ now, before []byte }

// of reports whether a version has the content.
func (s sums) of(v storage.Version) bool {
	return hmac.Equal(s.now, v.Content) || s.before != nil && hmac.Equal(s.before, v.Content)
}

// Fingerprints makes all fingerprints of a file at once, as densely as any collection keeps
// them. Those of a file that would make no document are nil; status and reason say why.
func (f *Fingerprinter) Fingerprints(ctx context.Context, content io.Reader) (made *Fingerprints, status Status, reason string, err error) {
	file, size, sum, err := f.spool(content)
	if errors.Is(err, ErrTooLarge) {
		return nil, StatusLimit, tooLarge, nil
	}
	var fetch *fetchError
	if errors.As(err, &fetch) {
		return nil, StatusNotFetched, fetch.reason(), nil
	}
	if err != nil {
		return nil, "", "", err
	}
	defer file.Close()
	reading, err := f.extractor.Extract(ctx, file, size)
	if err != nil {
		return nil, "", "", fmt.Errorf("read file: %w", err)
	}
	if !reading.Status.Registered() {
		return nil, reading.Status, reading.Reason, nil
	}
	made = &Fingerprints{}
	made.Version, made.Hashes = f.text(reading, fingerprint.Dense)
	made.Version.Content, made.Version.Size = sum.now, size
	if f.drawable(reading) {
		if made.Looks, err = f.looks(ctx, file, size, reading.MediaType); err != nil {
			return nil, "", "", err
		}
	}
	made.Version.Drawn = Drawing
	return made, reading.Status, reading.Reason, nil
}

// spool reads a file into memory, with the keyed hashes of its content.
func (f *Fingerprinter) spool(content io.Reader) (*os.File, int64, sums, error) {
	var before hash.Hash
	if f.previous != nil {
		before = hmac.New(sha256.New, f.previousContentKey)
		content = io.TeeReader(content, before)
	}
	file, size, now, err := Spool(content, hmac.New(sha256.New, f.contentKey))
	if err != nil || before == nil {
		return file, size, sums{now: now}, err
	}
	return file, size, sums{now, before.Sum(nil)}, nil
}

// drawable reports whether a file that was read has pages that can be drawn.
func (f *Fingerprinter) drawable(r *Reading) bool {
	return r.Status != StatusEncrypted && f.extractor.Draws(r.MediaType)
}

// text makes the fingerprints of what was read of a file.
func (f *Fingerprinter) text(r *Reading, window fingerprint.Window) (storage.Version, []fingerprint.Hash) {
	b := fingerprint.NewBuilder(f.key, window)
	if f.previous != nil {
		b.SketchWith(f.previous)
	}
	v := storage.Version{MediaType: r.MediaType, Window: window, Status: string(r.Status), Reason: r.Reason}
	for i, page := range r.Pages {
		b.AddPage(page.Number, page.Text)
		n := b.Pages()[i]
		v.TextBytes += int64(len(page.Text))
		v.Pages = append(v.Pages, storage.Page{
			Number: page.Number, Part: page.Part, Characters: n.Characters, CodePoints: n.CodePoints, Reader: page.Reader, Reason: page.Reason,
			NeedsOCR: page.NeedsOCR, Gate: page.Gate,
		})
	}
	v.Places, v.Sketch, v.SecondSketch = b.Places(), b.Sketch().Bytes(), b.SecondSketch().Bytes()
	return v, b.Hashes()
}

// looks draws a file's pages and makes the fingerprints of their looks.
func (f *Fingerprinter) looks(ctx context.Context, file *os.File, size int64, mediaType string) (l Looks, err error) {
	l.Undrawn, err = f.extractor.Draw(ctx, file, size, mediaType, func(look Look) {
		for _, d := range drawings(look) {
			if len(l.Drawings) < MaxDrawings {
				l.Drawings = append(l.Drawings, d.Drawing)
				l.Layouts = append(l.Layouts, d.seal(f.pageKey))
			}
		}
	})
	if err != nil {
		return Looks{}, fmt.Errorf("draw file: %w", err)
	}
	l.Undrawn = l.Undrawn[:min(len(l.Undrawn), MaxLabelBytes)]
	return l, nil
}
