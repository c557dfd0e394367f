package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// defaultLimit is how much a list answers when nobody says.
const defaultLimit = 100

// ListDocuments implements GET /v1/documents.
func (s *Server) ListDocuments(ctx context.Context, request ListDocumentsRequestObject) (ListDocumentsResponseObject, error) {
	p := request.Params
	filter := storage.DocumentFilter{Department: p.Department, Collection: p.Collection, Source: p.Source, Status: string(p.Status), Words: strings.Fields(p.Q)}
	found, next, err := s.Registry.Documents(ctx, scope(ctx), filter, p.Cursor, limit(p.Limit))
	if err != nil {
		return nil, listError(p.Cursor, err)
	}
	list := DocumentList{Items: make([]Document, 0, len(found)), NextCursor: next}
	for _, m := range found {
		list.Items = append(list.Items, s.toDocument(m.Document, m.Version, m.Source))
	}
	return ListDocuments200JSONResponse(list), nil
}

// listError names the one thing that a list may not find: where to go on.
func listError(cursor string, err error) error {
	if cursor != "" && errors.Is(err, storage.ErrNotFound) {
		return fieldError("cursor", "was not given by this list")
	}
	return err
}

func limit(asked int) int {
	return cmp.Or(asked, defaultLimit)
}

// RegisterDocument implements POST /v1/documents.
func (s *Server) RegisterDocument(ctx context.Context, request RegisterDocumentRequestObject) (RegisterDocumentResponseObject, error) {
	upload, file, err := uploadFields(ctx, request.Body)
	if err != nil {
		return nil, err
	}
	content := &submission{Reader: &lastPart{file, request.Body}}
	upload.Content = content
	done, err := s.Ingest.Register(ctx, upload)
	if content.err != nil {
		return nil, content.err
	}
	if err != nil {
		return nil, err
	}
	s.metrics.registered(string(done.Outcome))
	noteOf(ctx).of(int(max(requestSize(ctx), 0)), string(done.Outcome))
	noteOf(ctx).about(string(done.Document))
	if done.Document == "" {
		return nil, &unregistered{done}
	}
	d, versions, sources, err := s.Registry.Document(ctx, scope(ctx), done.Document)
	if err != nil {
		return nil, err
	}
	plain := s.toDocument(d, versions[len(versions)-1], firstSource(sources))
	answer := RegisteredDocument{
		ID: plain.ID, Title: plain.Title, Department: plain.Department, Classification: plain.Classification, Collection: plain.Collection,
		Source: plain.Source, Version: plain.Version, Status: plain.Status, Reason: plain.Reason, Pages: plain.Pages, Characters: plain.Characters,
		PublishedAt: plain.PublishedAt, CreatedAt: plain.CreatedAt, UpdatedAt: plain.UpdatedAt, Recipient: plain.Recipient, Outcome: done.Outcome,
	}
	if done.Outcome == "registered" {
		return RegisterDocument201JSONResponse(answer), nil
	}
	return RegisterDocument200JSONResponse(answer), nil
}

// uploadFields reads the fields that stand before the file, and finds the file.
func uploadFields(ctx context.Context, form *multipart.Reader) (Upload, *multipart.Part, error) {
	u := Upload{Size: requestSize(ctx)}
	u.Department, u.Collection = cmp.Or(auth.From(ctx).Department(), storage.DefaultDepartment), storage.DefaultCollection
	seen := map[string]bool{}
	for {
		part, err := nextPart(form)
		if err != nil {
			return u, nil, err
		}
		if part == nil {
			return u, nil, fieldError("file", "is required")
		}
		name := part.FormName()
		if seen[name] {
			return u, nil, fieldError(fieldName(name), "must stand once")
		}
		seen[name] = true
		if name == "file" {
			if u.Source == "" {
				u.Source = part.FileName()
			}
			if u.Source == "" {
				return u, nil, fieldError("source", "is required for a file without a name")
			}
			if !scope(ctx).Covers(u.Department) {
				return u, nil, fieldError("department", "is required: the caller reaches several")
			}
			return u, part, formText("source", u.Source, maxField)
		}
		limit := int64(maxField)
		if name == "title" {
			limit = utf8.UTFMax * maxTitle
		}
		value, err := formValue(part, limit)
		if err != nil {
			return u, nil, err
		}
		switch name {
		case "department":
			u.Department = value
			if !storage.ValidDepartment(value) {
				return u, nil, fieldError(name, "must be a path of names, such as finance/budget-wing")
			}
			if !scope(ctx).Covers(value) {
				return u, nil, auth.ErrForbidden
			}
		case "collection":
			u.Collection = value
			if !namePattern.MatchString(value) || utf8.RuneCountInString(value) > 100 {
				return u, nil, fieldError(name, "must be a name")
			}
		case "classification":
			u.Classification = value
			if utf8.RuneCountInString(value) > 100 {
				return u, nil, fieldError(name, "must have at most 100 characters")
			}
		case "title":
			u.Title = value
			if utf8.RuneCountInString(value) > maxTitle {
				return u, nil, fieldError(name, fmt.Sprintf("must have at most %d characters", maxTitle))
			}
		case "source":
			u.Source = value
		case "again":
			if u.Again = value == "true"; value != "true" && value != "false" {
				return u, nil, fieldError(name, "must be true or false")
			}
		case "published_at":
			if u.PublishedAt, err = parseTime(value); err != nil {
				return u, nil, fieldError(name, "must be a date-time")
			}
		default:
			return u, nil, fieldError(fieldName(name), "unknown field")
		}
	}
}

const (
	// maxField bounds a field of a form, in bytes.
	maxField = 4096

	// maxTitle bounds a title, in characters: what a records system has as the subject may be
	// a paragraph.
	maxTitle = 10_000
)

// namePattern is the specification's, for fields of forms.
var namePattern = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._-]*$`)

// nextPart returns the next part of a form; nil at its end.
func nextPart(form *multipart.Reader) (*multipart.Part, error) {
	part, err := form.NextPart()
	if err == io.EOF { // and nothing that wraps it: that is a form cut short
		return nil, nil
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return part, nil
}

// lastPart reads the file part of a form and makes sure that nothing but the
// form's end follows: fields behind the file would be ignored silently.
type lastPart struct {
	part *multipart.Part
	form *multipart.Reader
}

func (l *lastPart) Read(p []byte) (int, error) {
	n, err := l.part.Read(p)
	if err != io.EOF {
		return n, err
	}
	next, end := nextPart(l.form)
	switch {
	case end != nil:
		return n, end
	case next == nil:
		return n, io.EOF
	case next.FormName() == "file":
		return n, fieldError("file", "must stand once")
	}
	return n, fieldError(fieldName(next.FormName()), "must stand before the file")
}

// submission is a file on its way in. It remembers why it could not be read: to
// whoever reads it that is the failure of a source, but it is the caller's.
type submission struct {
	io.Reader
	size int64 // of what was read
	err  error
}

func (s *submission) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.size += int64(n)
	if err != nil && err != io.EOF {
		s.err = bodyError(err)
		err = s.err
	}
	return n, err
}

// formValue reads a field of at most max bytes.
func formValue(part *multipart.Part, max int64) (string, error) {
	value, err := io.ReadAll(io.LimitReader(part, max+1))
	if err != nil {
		return "", bodyError(err)
	}
	return string(value), formText(part.FormName(), string(value), max)
}

// formText checks what all texts of a form have in common.
func formText(name, value string, max int64) error {
	switch {
	case int64(len(value)) > max:
		return fieldError(fieldName(name), fmt.Sprintf("must have at most %d bytes", max))
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return fieldError(fieldName(name), "must be UTF-8 text")
	}
	return nil
}

// requestSize bounds what a body holds, or is -1.
func requestSize(ctx context.Context) int64 {
	r, err := body(ctx)
	if err != nil {
		return -1
	}
	return r.ContentLength
}

// GetDocument implements GET /v1/documents/{id}.
func (s *Server) GetDocument(ctx context.Context, request GetDocumentRequestObject) (GetDocumentResponseObject, error) {
	detail, err := s.detail(ctx, request.ID)
	if err != nil {
		return nil, err
	}
	return GetDocument200JSONResponse(detail), nil
}

func (s *Server) detail(ctx context.Context, id string) (DocumentDetail, error) {
	d, versions, sources, err := s.Registry.Document(ctx, scope(ctx), storage.DocumentID(id))
	if err != nil {
		return DocumentDetail{}, err
	}
	plain := s.toDocument(d, versions[len(versions)-1], firstSource(sources))
	out := DocumentDetail{
		ID: plain.ID, Title: plain.Title, Department: plain.Department, Classification: plain.Classification, Collection: plain.Collection,
		Source: plain.Source, Version: plain.Version, Status: plain.Status, Reason: plain.Reason, Pages: plain.Pages, Characters: plain.Characters,
		PublishedAt: plain.PublishedAt, CreatedAt: plain.CreatedAt, UpdatedAt: plain.UpdatedAt, Outdated: plain.Outdated,
		Recipient: plain.Recipient, WithdrawnAt: plain.WithdrawnAt, WithdrawnReason: plain.WithdrawnReason,
		Sources: make([]string, 0, len(sources)), Versions: make([]Version, 0, len(versions)),
	}
	for _, source := range sources {
		out.Sources = append(out.Sources, source.Source)
		if !source.GoneAt.IsZero() {
			out.Gone = append(out.Gone, source.Source)
		}
	}
	for _, v := range versions {
		version := Version{
			Number: v.Number, Status: Status(v.Status), Reason: v.Reason, MediaType: v.MediaType, Size: v.Size,
			Characters: v.Characters(), CreatedAt: v.CreatedAt, Drawn: v.Drawn != 0, Undrawn: v.Undrawn,
			Pages: make([]VersionPage, 0, len(v.Pages)),
		}
		for _, p := range v.Pages {
			page := VersionPage{
				Number: p.Number, Part: p.Part, Characters: p.Characters, CodePoints: p.CodePoints,
				Reader: p.Reader, Reason: p.Reason, NeedsOcr: p.NeedsOCR,
			}
			if p.Gate != nil {
				g := p.Gate
				page.Gate = &Gate{
					Characters: g.Characters, Unknown: g.Unknown, Letters: g.Letters, Words: g.Words,
					Picture: g.Picture, Confidence: g.Confidence, Repaired: g.Repaired,
				}
			}
			version.Pages = append(version.Pages, page)
		}
		out.Versions = append(out.Versions, version)
	}
	return out, nil
}

// PatchDocument implements PATCH /v1/documents/{id}.
func (s *Server) PatchDocument(ctx context.Context, request PatchDocumentRequestObject) (PatchDocumentResponseObject, error) {
	patch := storage.DocumentPatch{Title: request.Body.Title, Classification: request.Body.Classification, PublishedAt: request.Body.PublishedAt, Recipient: request.Body.Recipient}
	if _, err := s.Registry.Patch(ctx, scope(ctx), storage.DocumentID(request.ID), patch); err != nil {
		return nil, err
	}
	detail, err := s.detail(ctx, request.ID)
	if err != nil {
		return nil, err
	}
	return PatchDocument200JSONResponse(detail), nil
}

// DeleteDocument implements DELETE /v1/documents/{id}. The registry forgets
// first: from then on the document does not exist, whatever happens to the rest.
func (s *Server) DeleteDocument(ctx context.Context, request DeleteDocumentRequestObject) (DeleteDocumentResponseObject, error) {
	ordinals, err := s.Registry.Delete(ctx, scope(ctx), storage.DocumentID(request.ID))
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx, ordinals); err != nil {
		return nil, err
	}
	return DeleteDocument204Response{}, nil
}

// forget deletes the fingerprints of a document that is not looked for any more.
func (s *Server) forget(ctx context.Context, ordinals []storage.Ordinal) error {
	ctx = context.WithoutCancel(ctx)
	if err := errors.Join(s.Index.Delete(ctx, ordinals), s.Pages.Delete(ctx, ordinals)); err != nil {
		return fmt.Errorf("delete fingerprints of a document: %w", err)
	}
	return nil
}

// ReadPage implements GET /v1/documents/{id}/pages/{page}.
func (s *Server) ReadPage(ctx context.Context, request ReadPageRequestObject) (ReadPageResponseObject, error) {
	v, err := s.version(ctx, request.ID, request.Params.Version)
	if err != nil {
		return nil, err
	}
	pages, err := s.Ingest.ReadPages(ctx, v)
	if err != nil {
		return nil, err
	}
	read, there := pages[request.Page]
	if !there {
		return nil, fmt.Errorf("page: %w", storage.ErrNotFound)
	}
	return ReadPage200JSONResponse{DocumentID: request.ID, Version: v.Number, Page: request.Page, Text: read.Text, Reader: read.Reader}, nil
}

// maxPictureWidth is how wide the picture of a page is at most, in pixels: all of it can be read.
const maxPictureWidth = 1200

// PagePicture implements GET /v1/documents/{id}/pages/{page}/picture.
func (s *Server) PagePicture(ctx context.Context, request PagePictureRequestObject) (PagePictureResponseObject, error) {
	v, err := s.version(ctx, request.ID, request.Params.Version)
	if err != nil {
		return nil, err
	}
	p, err := s.Ingest.DrawPage(ctx, v, request.Page)
	if err != nil {
		return nil, err
	}
	if p.W > maxPictureWidth {
		p = p.Shrink(maxPictureWidth, max(p.H*maxPictureWidth/p.W, 1))
	}
	content, err := encodePNG(p)
	if err != nil {
		return nil, err
	}
	return PagePicture200ImagePngResponse{Body: bytes.NewReader(content), ContentLength: int64(len(content))}, nil
}

// encodePNG makes a file of a picture.
func encodePNG(p page.Picture) ([]byte, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}); err != nil {
		return nil, fmt.Errorf("encode picture: %w", err)
	}
	return b.Bytes(), nil
}

// version finds a version of a document by its number, the newest if that is 0.
func (s *Server) version(ctx context.Context, id string, number int) (storage.Version, error) {
	d, versions, _, err := s.Registry.Document(ctx, scope(ctx), storage.DocumentID(id))
	if err != nil {
		return storage.Version{}, err
	}
	i := slices.IndexFunc(versions, func(v storage.Version) bool { return v.Number == cmp.Or(number, d.Version) })
	if i < 0 {
		return storage.Version{}, fmt.Errorf("version: %w", storage.ErrNotFound)
	}
	return versions[i], nil
}

func firstSource(sources []storage.Source) string {
	if len(sources) == 0 {
		return ""
	}
	return sources[0].Source
}

func (s *Server) toDocument(d storage.Document, newest storage.Version, source string) Document {
	return Document{
		ID: string(d.ID), Title: d.Title, Department: d.Department, Classification: d.Classification, Collection: d.Collection,
		Source: source, Version: d.Version, Status: Status(newest.Status), Reason: newest.Reason, Pages: len(newest.Pages),
		Characters: newest.Characters(), PublishedAt: d.PublishedAt, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
		Outdated: s.Ingest.Outdated(newest), Recipient: d.Recipient, WithdrawnAt: d.Withdrawn.At, WithdrawnReason: d.Withdrawn.Reason,
	}
}
