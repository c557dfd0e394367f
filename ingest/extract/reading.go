package extract

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/sealprint/sealprint/ingest"
)

// maxListed is how many runs of pages a reason names.
const maxListed = 10

// reading judges what was collected of a file and how it ended; no failure
// means that every page was seen.
func (a *answer) reading(end *Failure) *ingest.Reading {
	r := &ingest.Reading{MediaType: a.mediaType, Pages: a.pages}
	if r.MediaType == "" {
		r.MediaType = unknownType
	}
	if r.Pages == nil {
		r.Pages = []ingest.Page{}
	}
	var failed, pictures []ingest.Page
	text := false
	for _, p := range r.Pages {
		switch {
		case p.Reason != "":
			failed = append(failed, p)
		case p.NeedsOCR:
			pictures = append(pictures, p)
		}
		text = text || hasText(p.Text)
	}

	var reasons []string
	if len(failed) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s: %s", pageList(failed), failed[0].Reason))
	}
	if len(pictures) > 0 {
		reasons = append(reasons, pageList(pictures)+": to be recognized (OCR)")
	}
	switch {
	case end != nil && text:
		r.Status = ingest.StatusPartial
		reasons = append(reasons, fmt.Sprintf("after page %d: %s", a.lastPage(), end.Reason))
	case end != nil:
		r.Status = end.Status
		reasons = append(reasons, end.Reason)
	case text && len(failed)+len(pictures) > 0:
		r.Status = ingest.StatusPartial
	case text:
		r.Status = ingest.StatusOK
	case len(failed) > 0 && len(failed) == len(r.Pages):
		r.Status = sharedStatus(failed)
	case len(pictures) > 0:
		r.Status = ingest.StatusNeedsOCR
	default:
		// Pages that failed among others without text: it is more likely a scan
		// than a damaged file, and recognition may read them all.
		r.Status = ingest.StatusNoText
		reasons = append(reasons, "no page holds text")
	}
	r.Reason = strings.Join(reasons, "; ")
	return r
}

// sharedStatus is the status that the reasons of all pages begin with, where they do; else
// the file is damaged.
func sharedStatus(pages []ingest.Page) ingest.Status {
	status, _, _ := strings.Cut(pages[0].Reason, ": ")
	for _, p := range pages {
		if !strings.HasPrefix(p.Reason, status+": ") {
			return ingest.StatusDamaged
		}
	}
	switch s := ingest.Status(status); s {
	case ingest.StatusEncrypted, ingest.StatusUnsupported, ingest.StatusLimit:
		return s
	}
	return ingest.StatusDamaged
}

// hasText reports whether there is anything to fingerprint, which is letters
// and numbers.
func hasText(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
}

// pageList writes "page 3" or "pages 3, 7-9".
func pageList(pages []ingest.Page) string {
	var runs []string
	for i := 0; i < len(pages); {
		j := i
		for j+1 < len(pages) && pages[j+1].Number == pages[j].Number+1 {
			j++
		}
		if len(runs) == maxListed {
			runs = append(runs, "and more")
			break
		}
		run := fmt.Sprint(pages[i].Number)
		if j > i {
			run += fmt.Sprint("-", pages[j].Number)
		}
		runs = append(runs, run)
		i = j + 1
	}
	word := "pages "
	if len(pages) == 1 {
		word = "page "
	}
	return word + strings.Join(runs, ", ")
}

// clean makes text that every storage and protocol takes: valid UTF-8 without
// NUL, which some databases refuse.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}
