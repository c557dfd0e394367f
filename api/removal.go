package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// errUndecided is a removal that nobody decided on.
var errUndecided = fmt.Errorf("%w: the alert is neither confirmed nor in legal review", storage.ErrConflict)

// RequestRemoval implements POST /v1/alerts/{id}/removal. It sends nothing and keeps nothing:
// what is asked of a platform is for people to send.
func (s *Server) RequestRemoval(ctx context.Context, request RequestRemovalRequestObject) (RequestRemovalResponseObject, error) {
	b, id := request.Body, storage.AlertID(request.ID)
	a, changes, _, err := s.Registry.Alert(ctx, scope(ctx), id)
	if err != nil {
		return nil, err
	}
	if a.State != storage.AlertConfirmed && a.State != storage.AlertLegalReview {
		return nil, errUndecided
	}
	post, err := s.Registry.PostOf(ctx, scope(ctx), id, b.Post)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fieldError("/post", "must be one of the alert's posts")
	}
	if err != nil {
		return nil, err
	}
	removal := Removal{
		AlertID: request.ID, State: AlertState(a.State), Post: post.Post, Reference: b.Reference, SeenAt: post.SeenAt,
		DocumentID: string(a.Document), Version: a.Version, Requester: b.Requester, Instrument: b.Instrument,
	}
	removal.Pages, removal.Characters = shown(post.Passages)
	for _, c := range changes {
		if c.To == a.State {
			removal.DecidedAt = c.At // the last counts
		}
	}
	removal.Text = removalText(removal)
	noteOf(ctx).about(removal.DocumentID)
	return RequestRemoval200JSONResponse(removal), nil
}

// shown counts the pages of which passages show something, and the characters of their texts
// that they show. What is known by its look alone has no characters.
func shown(passages []storage.AlertPassage) (pages, characters int) {
	spans := make([]storage.PageSpan, len(passages))
	for i, p := range passages {
		if spans[i] = p.Document; p.OnPage != nil {
			spans[i] = storage.PageSpan{Page: p.Document.Page}
		}
	}
	slices.SortFunc(spans, func(a, b storage.PageSpan) int {
		if a.Page != b.Page {
			return a.Page - b.Page
		}
		return a.Start - b.Start
	})
	page, end := 0, 0 // up to where it is counted
	for _, s := range spans {
		if s.Page != page {
			page, end = s.Page, 0
			pages++
		}
		characters += max(s.End-max(s.Start, end), 0)
		end = max(end, s.End)
	}
	return pages, characters
}

// removalText is a request that a platform can act on, and that tells it nothing of the
// document.
func removalText(r Removal) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Request to remove a post")
	line("")
	line("Post: %q", r.Post)
	if r.Reference != "" {
		line("Address: %s", r.Reference)
	}
	line("Seen: %s", r.SeenAt.Format(time.RFC3339))
	line("Requested by: %s", r.Requester)
	line("Under: %s", r.Instrument)
	line("")
	extent := counted(r.Pages, "page")
	if r.Characters > 0 {
		extent = counted(r.Characters, "character") + " on " + extent
	}
	decision := "confirmed it"
	if r.State == AlertState(storage.AlertLegalReview) {
		decision = "referred it to legal review"
	}
	line("The post shows part of a registered document, %s, version %d: %s.", r.DocumentID, r.Version, extent)
	line("A person examined this and %s on %s.", decision, r.DecidedAt.Format(time.RFC3339))
	line("We ask for the removal of this post. This request repeats nothing of the document.")
	line("")
	line("Our reference: %s", r.AlertID)
	return b.String()
}

// counted is a number of things in words.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
