package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// ListReleases implements GET /v1/documents/{id}/releases.
func (s *Server) ListReleases(ctx context.Context, request ListReleasesRequestObject) (ListReleasesResponseObject, error) {
	releases, err := s.Registry.Releases(ctx, scope(ctx), storage.DocumentID(request.ID))
	if err != nil {
		return nil, err
	}
	list := ReleaseList{Items: make([]Release, 0, len(releases))}
	for _, r := range releases {
		list.Items = append(list.Items, toRelease(r))
	}
	return ListReleases200JSONResponse(list), nil
}

// ReleaseDocument implements POST /v1/documents/{id}/releases.
func (s *Server) ReleaseDocument(ctx context.Context, request ReleaseDocumentRequestObject) (ReleaseDocumentResponseObject, error) {
	b := request.Body
	r := storage.Release{
		ID: storage.ReleaseID(storage.NewID("rel")), Document: storage.DocumentID(request.ID), Kind: storage.Authorized,
		From: b.From.UTC(), Until: b.Until.UTC(), Authority: b.Authority, Instrument: b.Instrument,
		CreatedBy: auth.From(ctx).ID, CreatedAt: time.Now().UTC(),
	}
	if !b.Until.IsZero() && !b.Until.After(b.From) {
		return nil, fieldError("/until", "must be after from")
	}
	for i, p := range b.Pages {
		pages, ok := pageRange(p)
		if !ok {
			return nil, fieldError(fmt.Sprintf("/pages/%d", i), "must be a page, or a range of pages in ascending order")
		}
		r.Pages = append(r.Pages, pages)
	}
	for i, p := range b.Passages {
		if p.End != 0 && p.End <= p.Start {
			return nil, fieldError(fmt.Sprintf("/passages/%d/end", i), "must be after start")
		}
		r.Passages = append(r.Passages, storage.PageSpan{Page: p.Page, Start: p.Start, End: p.End})
	}
	if err := s.Registry.AddRelease(ctx, scope(ctx), r); err != nil {
		return nil, err
	}
	noteOf(ctx).about(string(r.ID))
	return ReleaseDocument201JSONResponse(toRelease(r)), nil
}

// pageRange reads a page number or a range, such as "3-5".
func pageRange(value any) (storage.PageRange, bool) {
	switch v := value.(type) {
	case float64:
		return storage.PageRange{First: int(v), Last: int(v)}, true
	case string:
		first, last, ranged := strings.Cut(v, "-")
		if !ranged {
			last = first
		}
		a, err := strconv.Atoi(first)
		b, failed := strconv.Atoi(last)
		return storage.PageRange{First: a, Last: b}, errors.Join(err, failed) == nil && a <= b
	}
	return storage.PageRange{}, false
}

// RevokeRelease implements DELETE /v1/documents/{id}/releases/{release}.
func (s *Server) RevokeRelease(ctx context.Context, request RevokeReleaseRequestObject) (RevokeReleaseResponseObject, error) {
	r, err := s.Registry.RevokeRelease(ctx, scope(ctx), storage.DocumentID(request.ID), storage.ReleaseID(request.Release), auth.From(ctx).ID, time.Now())
	if err != nil {
		return nil, err
	}
	return RevokeRelease200JSONResponse(toRelease(r)), nil
}

func toPageSpan(s storage.PageSpan) PageSpan {
	return PageSpan{Page: s.Page, Start: s.Start, End: s.End}
}

func toRelease(r storage.Release) Release {
	out := Release{
		ID: string(r.ID), DocumentID: string(r.Document), Kind: ReleaseKind(r.Kind), From: r.From, Until: r.Until, Authority: r.Authority,
		Instrument: r.Instrument, Pages: PageNumbers{}, Passages: make([]PageSpan, 0, len(r.Passages)), AlertID: string(r.Alert),
		CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, RevokedAt: r.RevokedAt, RevokedBy: r.RevokedBy,
	}
	for _, p := range r.Pages {
		if p.First == p.Last {
			out.Pages = append(out.Pages, p.First)
		} else {
			out.Pages = append(out.Pages, fmt.Sprintf("%d-%d", p.First, p.Last))
		}
	}
	for _, p := range r.Passages {
		out.Passages = append(out.Passages, toPageSpan(p))
	}
	return out
}

// WithdrawDocument implements POST /v1/documents/{id}/withdraw. The registry goes first:
// from then on nobody finds the document, whatever happens to the rest.
func (s *Server) WithdrawDocument(ctx context.Context, request WithdrawDocumentRequestObject) (WithdrawDocumentResponseObject, error) {
	w := storage.Withdrawal{At: time.Now().UTC(), By: auth.From(ctx).ID, Reason: request.Body.Reason}
	ordinals, err := s.Registry.Withdraw(ctx, scope(ctx), storage.DocumentID(request.ID), w)
	if err != nil {
		return nil, err
	}
	if err := s.forget(ctx, ordinals); err != nil {
		return nil, err
	}
	detail, err := s.detail(ctx, request.ID)
	if err != nil {
		return nil, err
	}
	return WithdrawDocument200JSONResponse(detail), nil
}
