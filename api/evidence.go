package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/evidence"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// Limits of a report.
const (
	// evidenceText bounds the text of the suspect, and that of registered pages, in bytes.
	evidenceText = 1 << 20

	// evidenceContext is how much is shown around a passage, in code points: enough to
	// recognize the page by, and no more of a document than that.
	evidenceContext = 400

	// evidencePage is how much is shown of a page that was found by its look.
	evidencePage = 4000

	// evidenceDocuments is how many documents are read again, those that match best, and
	// evidenceTime how long that may take: some are recognized, which takes seconds a page.
	evidenceDocuments = 10
	evidenceTime      = time.Minute

	// evidenceSide is the longer side of pictures, in points, and evidencePictures how many of
	// them there are.
	evidenceSide     = 1200
	evidencePictures = 10
)

// CreateEvidence implements POST /v1/evidence.
func (s *Server) CreateEvidence(ctx context.Context, request CreateEvidenceRequestObject) (CreateEvidenceResponseObject, error) {
	start := time.Now()
	if err := s.quotas.admit(auth.From(ctx), start); err != nil {
		return nil, err
	}
	p := request.Params
	if p.Document != "" {
		if _, _, _, err := s.Registry.Document(ctx, scope(ctx), storage.DocumentID(p.Document)); err != nil {
			return nil, err
		}
	}
	what, seenAt, err := s.evidenceOf(ctx, request)
	if err != nil {
		return nil, err
	}
	answer, err := s.lookUp(ctx, what, start, seenAt, true, true)
	if err != nil {
		return nil, err
	}
	if p.Document != "" {
		answer.only(p.Document)
	}
	report, err := s.report(ctx, what, answer)
	if err != nil {
		return nil, err
	}
	report.SeenAt, report.Document = seenAt.UTC(), p.Document
	kind := evidence.Kind(cmp.Or(p.Format, CreateEvidenceParamsFormat(evidence.HTML)))
	file, err := evidence.Sign(kind, report, s.Key)
	if err != nil {
		return nil, err
	}
	return evidenceFile{kind, "sealprint-evidence-" + answer.ID + "." + string(kind), file}, nil
}

// evidenceFile is a report on its way out, byte for byte.
type evidenceFile struct {
	kind evidence.Kind
	name string
	file []byte
}

// VisitCreateEvidenceResponse implements CreateEvidenceResponseObject.
func (e evidenceFile) VisitCreateEvidenceResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", e.kind.ContentType())
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": e.name}))
	w.Header().Set("Content-Length", strconv.Itoa(len(e.file)))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(e.file)
	return err
}

// GetEvidenceKey implements GET /v1/evidence/key.
func (s *Server) GetEvidenceKey(context.Context, GetEvidenceKeyRequestObject) (GetEvidenceKeyResponseObject, error) {
	return GetEvidenceKey200JSONResponse(EvidenceKeyOf(s.Key)), nil
}

// EvidenceKeyOf is the public key that reports made with a secret key verify with.
func EvidenceKeyOf(key *fingerprint.Key) EvidenceKey {
	return EvidenceKey{Algorithm: "ed25519", PublicKey: hex.EncodeToString(evidence.PublicKey(key)), KeyID: key.ID()}
}

// evidenceOf reads what a report is about, and when that was seen.
func (s *Server) evidenceOf(ctx context.Context, request CreateEvidenceRequestObject) (what suspect, seenAt time.Time, err error) {
	switch {
	case request.JSONBody != nil:
		sum := sha256.Sum256([]byte(request.JSONBody.Text))
		what = suspect{text: request.JSONBody.Text, sum: sum[:], size: int64(len(request.JSONBody.Text))}
		seenAt = request.JSONBody.SeenAt
	case request.MultipartBody != nil:
		what, seenAt, err = s.submittedFile(ctx, request.MultipartBody)
	default: // an image as the whole body
		r, failed := body(ctx)
		if failed != nil {
			return what, seenAt, failed
		}
		what, err = s.readFile(ctx, r.Body, r.ContentLength)
	}
	if seenAt.IsZero() {
		seenAt = request.Params.SeenAt
	}
	if seenAt.IsZero() {
		seenAt = time.Now().Truncate(time.Millisecond)
	}
	return what, seenAt, err
}

// only leaves of an answer what it says about one document.
func (a *MatchAnswer) only(id string) {
	a.Matches = slices.DeleteFunc(a.Matches, func(m Match) bool { return m.Document.ID != id })
	if a.Explanation.Nearest.Document.ID != id {
		a.Explanation.Nearest = Nearest{}
	}
	of := map[MatchDisposition]match.Verdict{"alert": match.Unauthorized, "authorized_release": match.Authorized, "public_text": match.Public, "boilerplate": match.Public}
	best := a.Verdict
	if slices.Contains([]Verdict{Verdict(match.Unauthorized), Verdict(match.Authorized), Verdict(match.Public)}, best) {
		// It may have been about the others.
		if best = Verdict(match.NoMatch); a.Partial {
			best = Verdict(match.Incomplete)
		}
	}
	for _, m := range a.Matches {
		if v := Verdict(of[m.Disposition]); v != "" && slices.Index(precedence, v) < slices.Index(precedence, best) {
			best = v
		}
	}
	a.Verdict = best
}

// report gathers what a report tells beside the answer.
func (s *Server) report(ctx context.Context, what suspect, answer MatchAnswer) (evidence.Report, error) {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return evidence.Report{}, fmt.Errorf("encode answer: %w", err)
	}
	r := evidence.Report{
		MadeBy: evidence.Maker{ID: auth.From(ctx).ID}, Software: "sealprint " + cmp.Or(s.Version, "dev"), Answer: encoded,
		Suspect: evidence.Suspect{Kind: "text", SHA256: hex.EncodeToString(what.sum), Size: what.size},
	}
	if request, err := body(ctx); err == nil {
		r.Purpose = purpose(request.Header.Get("X-Purpose"))
	}
	switch key, err := s.Registry.Key(ctx, r.MadeBy.ID); {
	case err == nil:
		r.MadeBy.Label = key.Label
	case !errors.Is(err, storage.ErrNotFound): // somebody who logged in has no key
		return r, fmt.Errorf("look up who asks: %w", err)
	}
	switch {
	case len(what.pictures) > 0:
		r.Suspect.Kind = "image"
		if r.Suspect.Pictures, err = evidencePicturesOf(what.pictures, answer); err != nil {
			return r, err
		}
	case what.file:
		r.Suspect.Kind = "file"
		r.Suspect.Texts = evidenceTexts(what, answer)
	default:
		r.Suspect.Texts = evidenceTexts(what, answer)
	}
	if r.Pages, err = s.evidencePages(ctx, answer); err != nil {
		return r, err
	}
	r.MadeAt, r.AuditHead = time.Now().UTC().Truncate(time.Millisecond), s.Audit.Head().String()
	return r, nil
}

// evidenceTexts are the pages of a suspect, as a whole if there is room for that.
func evidenceTexts(what suspect, answer MatchAnswer) (texts []evidence.Text) {
	text := []rune(what.text)
	spans := map[int][]evidence.Span{}
	for _, m := range answer.Matches {
		for _, p := range m.Passages {
			if p.Query.Start != nil && p.Query.End != nil {
				spans[p.Query.Page] = append(spans[p.Query.Page], evidence.Span{Start: *p.Query.Start, End: *p.Query.End})
			}
		}
	}
	room := evidenceText
	one := func(page int, text []rune) {
		t := evidence.Text{Page: page, Length: len(text), Excerpts: []evidence.Excerpt{}}
		if len(what.text) <= evidenceText && len(text) > 0 {
			t.Excerpts = append(t.Excerpts, evidence.Excerpt{Text: string(text)})
		} else {
			t.Excerpts = within(evidence.Around(text, spans[page], evidenceContext), &room)
		}
		texts = append(texts, t)
	}
	if !what.file {
		one(0, text)
	}
	for i, begin := range what.pages {
		end := len(text)
		if i+1 < len(what.pages) {
			end = max(begin, what.pages[i+1]-1) // without the line break that joins them
		}
		one(i+1, text[begin:end])
	}
	return texts
}

// within are the first excerpts that there is room for.
func within(excerpts []evidence.Excerpt, room *int) []evidence.Excerpt {
	kept := []evidence.Excerpt{}
	for _, e := range excerpts {
		if *room -= len(e.Text); *room < 0 {
			break
		}
		kept = append(kept, e)
	}
	return kept
}

// evidencePicturesOf are pictures that a suspect consists of, those with passages first.
func evidencePicturesOf(pictures []page.Picture, answer MatchAnswer) (all []evidence.Picture, err error) {
	shows := map[int]bool{}
	for _, m := range answer.Matches {
		for _, p := range m.Passages {
			shows[max(p.Query.Page, 1)] = true
		}
	}
	numbers := slices.Sorted(maps.Keys(shows))
	for i := range pictures {
		if !shows[i+1] {
			numbers = append(numbers, i+1)
		}
	}
	for _, n := range numbers[:min(len(numbers), evidencePictures)] {
		p := pictures[n-1]
		if side := max(p.W, p.H); side > evidenceSide {
			p = p.Shrink(max(p.W*evidenceSide/side, 1), max(p.H*evidenceSide/side, 1))
		}
		content, err := encodePNG(p)
		if err != nil {
			return nil, err
		}
		out := evidence.Picture{Width: p.W, Height: p.H, PNG: content}
		if len(pictures) > 1 {
			out.Page = n
		}
		all = append(all, out)
	}
	return all, nil
}

// evidencePages reads the pages that passages stand on again, as readPage does, and keeps what
// stands around the passages.
func (s *Server) evidencePages(ctx context.Context, answer MatchAnswer) ([]evidence.Page, error) {
	reading, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	room := evidenceText
	all := []evidence.Page{}
	for i, m := range answer.Matches {
		pages := pagesWith(m)
		var registered storage.Version
		var readings map[int]PageReading
		var read error
		if i < evidenceDocuments {
			if registered, read = s.version(reading, m.Document.ID, m.Document.Version); read == nil {
				readings, read = s.Ingest.ReadPages(reading, registered)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		for _, p := range pages {
			switch r, ok := readings[p.Page.Page]; {
			case i >= evidenceDocuments:
				p.Reason = fmt.Sprintf("of %d documents only the %d that match best are read again", len(answer.Matches), evidenceDocuments)
			case p.Part == storage.AsPrinted:
				p.Reason = "it is a page of the file as it is printed, whose text has no such pages"
			case read != nil:
				p.Reason = s.unread(read)
			case !ok:
				read, p.Reason = nil, "the file has no text on that page now"
			default:
				text := []rune(r.Text)
				p.Reader, p.Length = r.Reader, len(text)
				if was := readerOf(registered, p.Page.Page); was != "" && was != r.Reader {
					p.Note = "when it was registered " + was + " read it: places may differ a little"
				}
				excerpts := evidence.Around(text, p.spans, evidenceContext)
				if len(p.spans) == 0 { // found by its look
					excerpts = evidence.Around(text, []evidence.Span{{Start: 0, End: 1}}, evidencePage)
				}
				if p.Excerpts = within(excerpts, &room); len(p.Excerpts) < len(excerpts) {
					p.Note = "there was no room for what stands around all passages"
				}
			}
			if i < evidenceDocuments && p.Part != storage.AsPrinted {
				n := &note{}
				n.about(m.Document.ID, strconv.Itoa(p.Page.Page))
				if read != nil {
					n.outcome = toProblem(read).Type
				}
				if err := s.record(ctx, "readPage", n); err != nil {
					return nil, err
				}
			}
			all = append(all, p.Page)
		}
	}
	return all, nil
}

// pageWith is a page to be read, and where on it passages stand.
type pageWith struct {
	evidence.Page
	spans []evidence.Span
}

// pagesWith are the pages that the passages of a match stand on, in their order.
func pagesWith(m Match) (pages []*pageWith) {
	type place struct {
		page int
		part string
	}
	known := map[place]*pageWith{}
	for _, p := range m.Passages {
		at := place{p.Document.Page, p.Document.Part}
		if known[at] == nil {
			known[at] = &pageWith{Page: evidence.Page{
				Document: m.Document.ID, Version: m.Document.Version, Part: at.part, Text: evidence.Text{Page: at.page, Excerpts: []evidence.Excerpt{}},
			}}
			pages = append(pages, known[at])
		}
		if p.Document.Start != nil && p.Document.End != nil {
			known[at].spans = append(known[at].spans, evidence.Span{Start: *p.Document.Start, End: *p.Document.End})
		}
	}
	slices.SortStableFunc(pages, func(a, b *pageWith) int { return cmp.Compare(a.Page.Page, b.Page.Page) })
	return pages
}

// readerOf is what read a page when it was registered; empty if it was not read.
func readerOf(v storage.Version, number int) string {
	for _, p := range v.Pages {
		if p.Number == number {
			return p.Reader
		}
	}
	return ""
}

// unread says in words why a page was not read. What is no answer of its source is told
// operators, too.
func (s *Server) unread(err error) string {
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "there is no source that it could be read from again"
	case errors.Is(err, storage.ErrConflict):
		return "its source holds other bytes now"
	case errors.Is(err, context.DeadlineExceeded):
		return "there was no time left for it"
	}
	s.Log.Warn("a page for a report was not read", "error", err)
	return "its source did not answer as it should"
}
