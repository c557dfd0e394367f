package ingest

import (
	"context"
	"errors"
	"os"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// Status says how a file was read. It stands on every document and on every
// line of a registration's report.
type Status string

const (
	StatusOK          Status = "ok"          // every page was read
	StatusPartial     Status = "partial"     // some pages were not; the reason says which
	StatusEncrypted   Status = "encrypted"   // needs a password
	StatusNoText      Status = "no_text"     // readable, but holds no text (blank pages, an empty file)
	StatusNeedsOCR    Status = "needs_ocr"   // pages are pictures, and there is nothing here to recognize their text with
	StatusUnsupported Status = "unsupported" // a kind of file that no reader takes
	StatusDamaged     Status = "damaged"     // not readable as what it claims to be
	StatusLimit       Status = "limit"       // exceeds a limit; the reason names it
	StatusNotFetched  Status = "not_fetched" // its source did not give it
)

// Registered reports whether a file with this status becomes a document. The
// others are reported and tried again the next time.
func (s Status) Registered() bool {
	switch s {
	case StatusOK, StatusPartial, StatusEncrypted, StatusNoText, StatusNeedsOCR:
		return true
	}
	return false
}

// Reading is what was read of one file.
type Reading struct {
	// MediaType is the type found by content, such as "application/pdf".
	MediaType string `json:"media_type"`
	Status    Status `json:"status"`
	// Reason explains every status but ok, in words that repeat no content.
	Reason string `json:"reason,omitempty"`
	Pages  []Page `json:"pages"`
}

// Page is one page of a file. What has no pages is cut where it has parts: a
// sheet, a slide, the notes of a document, a file inside the file; what has no
// parts either is one page, 1.
type Page struct {
	Number int `json:"number"`
	// Part says what the page is where it is more than page Number of the file:
	// "sheet 2", "notes", "attachment 1, page 3". It holds words of ours and
	// numbers, never a name out of the file, for it is kept in clear.
	Part string `json:"part,omitempty"`
	// Text is what is fingerprinted. Where nobody can tell which of two readings of a
	// page is right it holds both, one after the other.
	Text string `json:"text"`
	// Reader is the name and version of what read the page, or of both that did.
	Reader string `json:"reader,omitempty"`
	// Reason says why the page was not read, or not to its end; empty when it was.
	Reason string `json:"reason,omitempty"`
	// NeedsOCR is set on a page that is a picture, as far as its text was not
	// recognized.
	NeedsOCR bool `json:"needs_ocr,omitempty"`
	// Gate is what decided how the page is read, for formats where that is in doubt.
	Gate *Gate `json:"gate,omitempty"`
}

// Gate is what decided how a page is read.
type Gate = storage.Gate

// Region is a part of a page.
type Region = storage.Region

// AsPrinted is the part of a page of a file that has none of its own.
const AsPrinted = storage.AsPrinted

// Picture is a picture in shades of gray.
type Picture = page.Picture

// Look is a page that was drawn.
type Look struct {
	Number int
	Part   string // as in Page
	Picture
	Pictures []Region // on the page
	Reason   string   // why it was not drawn
}

// Extractor reads files. Its implementation must survive every file: whatever
// the content, Extract returns a Reading with a status. An error means that the
// extractor itself could not work (no process could be started, the context
// ended), never that the file is bad. Extract does not close the file and may
// be called concurrently; file is read by offset, its cursor is not moved.
type Extractor interface {
	Extract(ctx context.Context, file *os.File, size int64) (*Reading, error)

	// Draw draws the pages of a file of a media type, as it is printed, and hands them to
	// show, in order. Undrawn says why some are missing, in words that repeat no content.
	Draw(ctx context.Context, file *os.File, size int64, mediaType string, show func(Look)) (undrawn string, err error)

	// DrawPage draws one page of such a file, as Draw numbers them. The look has a reason in the
	// place of the picture if there is none.
	DrawPage(ctx context.Context, file *os.File, size int64, mediaType string, page int) (Look, error)

	// Draws reports whether files of a media type have a look that can be drawn.
	Draws(mediaType string) bool

	// Redraws reports whether what was not drawn for a reason could be now.
	Redraws(undrawn string) bool

	// Look reads a file that may show pages: the pictures, if it is a picture; else, as
	// Extract does, its text.
	Look(ctx context.Context, file *os.File, size int64) ([]Look, *Reading, error)

	// Outdated reports whether a page could be read better now than it was: what read
	// it (Page.Reader) is not what would read it now, or it was to be recognized and
	// can be.
	Outdated(reader string, needsOCR bool) bool
}

// ErrTooLarge is the kind of error for a file over [MaxFileBytes].
var ErrTooLarge = errors.New("file too large")
