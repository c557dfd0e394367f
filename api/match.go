package api

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime/multipart"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// suspect is what a look-up is about.
type suspect struct {
	text     string
	read     []string       // of a file: the texts of its pages
	pages    []int          // the code points at which they begin
	pictures []page.Picture // of a file that is one
	reason   string         // of a file: what was not read
	file     bool
	tell     bool   // what was read of it, in the answer
	sum      []byte // of a file: SHA-256, and how many bytes it has
	size     int64
	// grams are the fingerprints of a text that only the caller has; nil: it is text.
	grams []fingerprint.Hash
	keyID string // of the key that they were made with
}

// Match implements POST /v1/match.
func (s *Server) Match(ctx context.Context, request MatchRequestObject) (MatchResponseObject, error) {
	start := time.Now()
	if err := s.quotas.admit(auth.From(ctx), start); err != nil {
		return nil, err
	}
	seenAt := request.Params.SeenAt
	var what suspect
	var err error
	switch {
	case request.JSONBody != nil:
		if request.Params.Read {
			return nil, fieldError("read", "goes with a file or picture")
		}
		if what, err = s.submittedText(request.JSONBody); err != nil {
			return nil, err
		}
		if !request.JSONBody.SeenAt.IsZero() {
			seenAt = request.JSONBody.SeenAt
		}
	case request.MultipartBody != nil:
		var at time.Time
		if what, at, err = s.submittedFile(ctx, request.MultipartBody); err != nil {
			return nil, err
		}
		if !at.IsZero() {
			seenAt = at
		}
	default: // an image as the whole body
		r, err := body(ctx)
		if err != nil {
			return nil, err
		}
		if what, err = s.readFile(ctx, r.Body, r.ContentLength); err != nil {
			return nil, err
		}
	}
	what.tell = request.Params.Read
	answer, err := s.lookUp(ctx, what, start, seenAt, request.Params.Suppressed, request.Params.Explain)
	if err != nil {
		return nil, err
	}
	return Match200JSONResponse(answer), nil
}

// submittedText is the text of a look-up, or its fingerprints, which have to be made with
// this deployment's key.
func (s *Server) submittedText(r *MatchRequest) (suspect, error) {
	switch {
	case (r.Text == nil) == (r.Fingerprints == nil):
		return suspect{}, fieldError("", "needs either text or fingerprints")
	case r.Text != nil:
		return suspect{text: *r.Text}, nil
	case r.Fingerprints.KeyID != s.Key.ID() && (s.Previous == nil || r.Fingerprints.KeyID != s.Previous.ID()):
		return suspect{}, fieldError("/fingerprints/key_id", "is not that of this deployment's secret key")
	}
	grams, ok := fingerprint.ParseHashes([]fingerprint.Hash{}, r.Fingerprints.Grams)
	if !ok {
		return suspect{}, fieldError("/fingerprints/grams", "must have 6 bytes for each gram")
	}
	return suspect{grams: grams, keyID: r.Fingerprints.KeyID}, nil
}

// lookUp answers one question that arrived at a time.
func (s *Server) lookUp(ctx context.Context, what suspect, start, seenAt time.Time, suppressed, explain bool) (MatchAnswer, error) {
	if seenAt.IsZero() {
		seenAt = time.Now()
	}
	if len(what.pictures) > 0 {
		return s.lookAt(ctx, what, start, seenAt, suppressed, explain)
	}
	size := len(what.text) + len(what.grams)
	report, err := s.matchText(ctx, size, match.Query{
		Text: what.text, Grams: what.grams, KeyID: what.keyID, SeenAt: seenAt, Scope: scope(ctx), Suppressed: suppressed, Explain: explain,
	})
	if err != nil {
		return MatchAnswer{}, err
	}
	answer := toAnswer(report, what)
	if explain {
		answer.Explanation = toExplanation(report)
	}
	if what.tell {
		answer.Read = toRead(what.read)
	}
	noteOf(ctx).of(size, string(answer.Verdict))
	if err := s.complete(ctx, &answer, start, textClass); err != nil {
		return MatchAnswer{}, err
	}
	return answer, s.quotas.told(ctx, auth.From(ctx), &answer, report.Grams, start)
}

// alarmAbout tells operators that a caller may be guessing what is registered. The record has
// who it is; whether to end the key is for people to decide.
func (s *Server) alarmAbout(ctx context.Context, what string) error {
	s.metrics.alarms.WithLabelValues(what).Inc()
	s.Log.Warn("a caller may be guessing what is registered", "why", what, "principal", auth.From(ctx).ID)
	return s.record(ctx, "alarm", &note{outcome: what})
}

// How long a look-up takes depends on what it meets in the index, in documents that the caller
// does not see, too. Whoever does not see all departments is answered after the next multiple of
// these times, of texts and of pictures: in them nearly all look-ups are done, whatever they
// meet.
const (
	textClass    = 50 * time.Millisecond
	pictureClass = 250 * time.Millisecond
)

// complete adds what does not depend on the suspect, when it is time.
func (s *Server) complete(ctx context.Context, answer *MatchAnswer, start time.Time, class time.Duration) error {
	answer.Scope = scope(ctx).Departments()
	s.metrics.matched(string(answer.Verdict), time.Since(start))
	s.tally.lookUp(string(answer.Verdict), time.Now())
	if scope(ctx).All() {
		answer.Scope = []string{"*"}
	} else {
		answer.IndexVersion = s.opaque(answer.IndexVersion)
		select {
		case <-time.After(class - time.Since(start)%class):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, m := range answer.Matches {
		noteOf(ctx).about(m.Document.ID)
	}
	answer.redact(auth.From(ctx).Reads())
	answer.TookMs = milliseconds(time.Since(start))
	return nil
}

// opaque is a version of the index that tells nothing but whether it is another: the index
// counts what is registered in it.
func (s *Server) opaque(version string) string {
	h := hmac.New(sha256.New, s.versionKey)
	h.Write([]byte(version)) // a hash never fails
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// redact leaves of what matched outside of a scope what a monitor may know: which document,
// of which department, and how sure that is.
func (a *MatchAnswer) redact(reads storage.Scope) {
	for i := range a.Matches {
		m := &a.Matches[i]
		if !reads.Covers(m.Document.Department) {
			m.Document = m.Document.redacted()
			m.Passages, m.Reason = []Passage{}, ""
		}
	}
	if nearest := a.Explanation.Nearest.Document; nearest.ID != "" && !reads.Covers(nearest.Department) {
		a.Explanation.Nearest.Document = a.Explanation.Nearest.Document.redacted()
		a.Explanation.Nearest.Lacks = ""
	}
}

func (d MatchedDocument) redacted() MatchedDocument {
	return MatchedDocument{ID: d.ID, Version: d.Version, Department: d.Department}
}

// lookAt answers a question about pictures.
func (s *Server) lookAt(ctx context.Context, what suspect, start, seenAt time.Time, suppressed, explain bool) (MatchAnswer, error) {
	var answer MatchAnswer
	var read []string
	for i, p := range what.pictures {
		one, text, err := s.lookAtOne(ctx, p, seenAt, suppressed, explain)
		if err != nil {
			return MatchAnswer{}, err
		}
		read = append(read, text)
		if len(what.pictures) > 1 {
			for _, m := range one.Matches {
				for k := range m.Passages {
					m.Passages[k].Query.Page = i + 1
				}
			}
		}
		if i == 0 {
			answer = one
			continue
		}
		if slices.Index(precedence, one.Verdict) < slices.Index(precedence, answer.Verdict) {
			one, answer = answer, one
		}
		answer.Matches = append(answer.Matches, one.Matches...)
		answer.Partial = answer.Partial || one.Partial
	}
	slices.SortStableFunc(answer.Matches, func(a, b Match) int { return cmp.Compare(b.Score, a.Score) })
	if what.tell {
		answer.Read = toRead(read)
	}
	if what.reason != "" {
		answer.Reason, answer.Partial = what.reason, true
		if answer.Verdict == Verdict(match.NoMatch) || answer.Verdict == Verdict(match.TooShort) {
			answer.Verdict = Verdict(match.Incomplete)
		}
	}
	pending, err := s.Ingest.Undrawn(ctx, scope(ctx))
	if err != nil {
		return MatchAnswer{}, err
	}
	answer.PendingPages = pending
	noteOf(ctx).of(int(max(requestSize(ctx), 0)), string(answer.Verdict))
	if err := s.complete(ctx, &answer, start, pictureClass); err != nil {
		return MatchAnswer{}, err
	}
	return answer, s.quotas.told(ctx, auth.From(ctx), &answer, nil, start)
}

// precedence is which verdict on several pictures counts.
var precedence = []Verdict{
	Verdict(match.Unauthorized), Verdict(match.Authorized), Verdict(match.Public), Verdict(match.Incomplete),
	Verdict(match.Unreadable), Verdict(match.TooShort), Verdict(match.NoMatch),
}

// lookAtOne looks one picture up, and returns what was read of it, too.
func (s *Server) lookAtOne(ctx context.Context, p page.Picture, seenAt time.Time, suppressed, explain bool) (answer MatchAnswer, read string, err error) {
	report, err := s.lookAtPicture(ctx, match.PictureQuery{Picture: p, SeenAt: seenAt, Scope: scope(ctx), Suppressed: suppressed, Explain: explain})
	if err != nil {
		return MatchAnswer{}, "", err
	}
	answer = toAnswer(report, suspect{})
	answer.Reason, answer.Partial = report.Unread, answer.Partial || report.Verdict == match.Incomplete
	if explain {
		answer.Explanation = toExplanation(report)
	}
	return answer, report.Read, nil
}

// lookAtPicture looks a picture up when it is its turn: as many are looked at as there are
// processors, since each takes some dozens of megabytes for a while.
func (s *Server) lookAtPicture(ctx context.Context, q match.PictureQuery) (*match.Report, error) {
	if err := s.looks.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.looks.Release(1)
	return s.Matcher.MatchPicture(ctx, q)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// takeText waits until a text of some bytes may be matched.
func (s *Server) takeText(ctx context.Context, size int) (release func(), err error) {
	weight := min(int64(size), maxTextInFlight)
	if err := s.texts.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	return func() { s.texts.Release(weight) }, nil
}

// matchText looks a text of some bytes up when there is room for it, which it holds no
// longer than that takes.
func (s *Server) matchText(ctx context.Context, size int, q match.Query) (*match.Report, error) {
	release, err := s.takeText(ctx, size)
	if err != nil {
		return nil, err
	}
	defer release()
	return s.Matcher.Match(ctx, q)
}

// Compare implements POST /v1/compare.
func (s *Server) Compare(ctx context.Context, request CompareRequestObject) (CompareResponseObject, error) {
	start := time.Now()
	text, document := request.Body.Text, request.Body.Document
	release, err := s.takeText(ctx, len(text)+len(document))
	if err != nil {
		return nil, err
	}
	defer release()
	report, err := s.Matcher.Compare(ctx, text, document)
	if err != nil {
		return nil, err
	}
	answer := toAnswer(report, suspect{text: text})
	answer.Explanation = toExplanation(report)
	answer.Scope = []string{}
	noteOf(ctx).of(len(text)+len(document), string(answer.Verdict))
	answer.TookMs = milliseconds(time.Since(start))
	return Compare200JSONResponse(answer), nil
}

// submittedFile reads the parts of a multipart look-up.
func (s *Server) submittedFile(ctx context.Context, form *multipart.Reader) (what suspect, seenAt time.Time, err error) {
	seen := map[string]bool{}
	for {
		part, err := nextPart(form)
		if err != nil {
			return what, seenAt, err
		}
		if part == nil {
			break
		}
		name := part.FormName()
		if seen[name] {
			return what, seenAt, fieldError(fieldName(name), "must stand once")
		}
		seen[name] = true
		switch name {
		case "file":
			if what, err = s.readFile(ctx, part, requestSize(ctx)); err != nil {
				return what, seenAt, err
			}
		case "seen_at":
			value, err := formValue(part, 64)
			if err != nil {
				return what, seenAt, err
			}
			if seenAt, err = parseTime(value); err != nil {
				return what, seenAt, fieldError("seen_at", "must be a date-time")
			}
		default:
			return what, seenAt, fieldError(fieldName(name), "unknown field")
		}
	}
	if !seen["file"] {
		return what, seenAt, fieldError("file", "is required")
	}
	return what, seenAt, nil
}

// readFile gets the text of a submitted file.
func (s *Server) readFile(ctx context.Context, content io.Reader, size int64) (suspect, error) {
	sum := sha256.New()
	in := &submission{Reader: io.TeeReader(content, sum)}
	reading, err := s.Ingest.Read(ctx, in, size)
	if err == nil {
		_, _ = io.Copy(io.Discard, in) // what is too large was not read to its end
	}
	if in.err != nil {
		return suspect{}, in.err
	}
	if err != nil {
		return suspect{}, err
	}
	what := suspect{file: true, read: reading.Pages, reason: reading.Reason, pictures: reading.Pictures, sum: sum.Sum(nil), size: in.size}
	if len(what.pictures) > 0 {
		return what, nil
	}
	var b strings.Builder
	at := 0
	for _, page := range reading.Pages {
		if b.Len() > 0 {
			b.WriteByte('\n')
			at++
		}
		what.pages = append(what.pages, at)
		b.WriteString(page)
		at += utf8.RuneCountInString(page)
	}
	what.text = b.String()
	return what, nil
}

// toRead is what was read, page by page, numbered as spans of queries have them.
func toRead(texts []string) []SubmittedPage {
	read := make([]SubmittedPage, len(texts))
	for i, text := range texts {
		read[i] = SubmittedPage{Page: i + 1, Text: text}
	}
	return read
}

// toAnswer writes a report in the shape of the API.
func toAnswer(r *match.Report, what suspect) MatchAnswer {
	answer := MatchAnswer{
		ID: storage.NewID("mat"), Verdict: Verdict(r.Verdict), IndexVersion: r.IndexVersion,
		GuaranteeCharacters: fingerprint.Guarantee, Partial: len(r.Missing) > 0, Missing: r.Missing,
		Matches: make([]Match, 0, len(r.Matches)),
	}
	if what.file && what.reason != "" {
		answer.Reason = what.reason
		switch {
		case r.Characters == 0 && r.Verdict == match.TooShort:
			answer.Verdict = Verdict(match.Unreadable)
		case r.Verdict == match.NoMatch || r.Verdict == match.TooShort:
			// Part of the file was not read: nothing can be said about that part.
			answer.Verdict, answer.Partial = Verdict(match.Incomplete), true
		default:
			answer.Partial = true
		}
	} else if what.file && r.Characters == 0 && r.Verdict == match.TooShort {
		answer.Verdict, answer.Reason = Verdict(match.Unreadable), "no text was found in the file"
	}
	for _, m := range r.Matches {
		answer.Matches = append(answer.Matches, toMatch(m, what.pages))
	}
	o := r.Obfuscation
	answer.Obfuscation = Obfuscation{
		ZeroWidth: o.ZeroWidth, SoftHyphen: o.SoftHyphen, LookAlike: o.LookAlike, MixedScript: o.MixedScript, SpacedOut: o.SpacedOut,
		StackedMarks: o.StackedMarks,
	}
	return answer
}

func toExplanation(r *match.Report) Explanation {
	e := Explanation{
		NormalizedCharacters: r.Characters,
		Fingerprints:         Fingerprints{Asked: r.Explanation.Asked, Found: r.Explanation.Found},
		Dropped:              []Dropped{},
		Threshold:            match.ChanceThreshold,
	}
	if n := r.Explanation.Public; n > 0 {
		e.Dropped = append(e.Dropped, Dropped{Reason: "public", Characters: n})
	}
	if n := r.Explanation.Boilerplate; n > 0 {
		e.Dropped = append(e.Dropped, Dropped{Reason: "boilerplate", Characters: n})
	}
	if n := r.Explanation.Common; n > 0 {
		e.Dropped = append(e.Dropped, Dropped{Reason: "too_common", Fingerprints: n})
	}
	for _, c := range r.Explanation.Channels {
		e.Channels = append(e.Channels, ExplanationChannels(c))
	}
	if m := r.Explanation.Nearest; m != nil {
		e.Nearest = Nearest{
			Document: toMatched(*m), ExpectedByChance: m.ExpectedByChance, MatchedCharacters: m.Characters, Lacks: m.Reason,
		}
	}
	return e
}

func toMatched(m match.Match) MatchedDocument {
	return MatchedDocument{
		ID: string(m.Document.ID), Title: m.Document.Title, Source: m.Source, Version: m.Version,
		Department: m.Document.Department, Classification: m.Document.Classification,
	}
}

func toMatch(m match.Match, pages []int) Match {
	out := Match{
		Document:    toMatched(m),
		Disposition: MatchDisposition(m.Disposition), Reason: m.Reason, Channel: MatchChannel(m.Channel),
		Score: m.Score, ExpectedByChance: m.ExpectedByChance,
		Containment:       Containment{Query: m.Query, Document: m.InDocument},
		MatchedCharacters: m.Characters,
		Passages:          make([]Passage, 0, len(m.Passages)),
	}
	if m.Agreement != (match.Agreement{}) {
		out.Agreement = &Agreement{Page: m.Agreement.Page, Image: m.Agreement.Image, Ocr: m.Agreement.OCR}
	}
	for _, r := range m.Versions {
		out.Versions = append(out.Versions, Relative{ID: string(r.Document), Version: r.Version})
	}
	for _, p := range m.Passages {
		out.Passages = append(out.Passages, onPages(p, pages)...)
	}
	return out
}

// onPages writes a passage in the shape of the API. One that runs over the end
// of a page of the submitted file is a passage on each; the document's side
// follows in proportion. A text that is no file has no pages.
func onPages(p match.Passage, pages []int) []Passage {
	whole := Passage{
		Query:      QuerySpan{Start: &p.Query.Start, End: &p.Query.End},
		Document:   DocumentSpan{Page: p.Place.Page, Part: p.Part, Start: &p.Place.Start, End: &p.Place.End},
		Similarity: p.Similarity,
	}
	if b := p.Box; b != (storage.Region{}) {
		whole.Query = QuerySpan{X: &b.X, Y: &b.Y, Width: &b.Width, Height: &b.Height}
	}
	if b := p.OnPage; b != (storage.Region{}) {
		whole.Document = DocumentSpan{Page: p.Place.Page, Part: p.Part, X: &b.X, Y: &b.Y, Width: &b.Width, Height: &b.Height}
	}
	if len(pages) == 0 {
		return []Passage{whole}
	}
	project := func(at int) int {
		return p.Place.Start + (at-p.Query.Start)*p.Place.Len()/p.Query.Len()
	}
	var out []Passage
	for i, begin := range pages {
		start, end := max(p.Query.Start, begin), p.Query.End
		if i+1 < len(pages) {
			end = min(end, pages[i+1]-1) // the line break that joins the pages is on neither
		}
		if start >= end {
			continue
		}
		part := whole
		part.Query = QuerySpan{Page: i + 1, Start: new(start - begin), End: new(end - begin)}
		part.Document.Start, part.Document.End = new(project(start)), new(project(end))
		out = append(out, part)
	}
	return out
}
