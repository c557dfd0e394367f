package api

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// ListAlerts implements GET /v1/alerts.
func (s *Server) ListAlerts(ctx context.Context, request ListAlertsRequestObject) (ListAlertsResponseObject, error) {
	p := request.Params
	filter := storage.AlertFilter{Department: p.Department, Document: storage.DocumentID(p.Document)}
	for _, state := range p.State {
		filter.States = append(filter.States, storage.AlertState(state))
	}
	alerts, next, err := s.Registry.Alerts(ctx, scope(ctx), filter, p.Cursor, limit(p.Limit))
	if err != nil {
		return nil, listError(p.Cursor, err)
	}
	list := AlertList{Items: make([]Alert, 0, len(alerts)), NextCursor: next}
	for _, a := range alerts {
		alert, err := s.toAlert(ctx, a)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, alert)
	}
	return ListAlerts200JSONResponse(list), nil
}

// GetAlert implements GET /v1/alerts/{id}.
func (s *Server) GetAlert(ctx context.Context, request GetAlertRequestObject) (GetAlertResponseObject, error) {
	detail, err := s.alertDetail(ctx, storage.AlertID(request.ID))
	if err != nil {
		return nil, err
	}
	return GetAlert200JSONResponse(detail), nil
}

// maxExclusion is how long the passages of an alert may be let pass: what is quoted in
// public today is decided on again next year.
const maxExclusion = 366 * 24 * time.Hour

// DecideAlert implements POST /v1/alerts/{id}/disposition.
func (s *Server) DecideAlert(ctx context.Context, request DecideAlertRequestObject) (DecideAlertResponseObject, error) {
	b, id, now := request.Body, storage.AlertID(request.ID), time.Now().UTC()
	a, _, _, err := s.Registry.Alert(ctx, scope(ctx), id)
	if err != nil {
		return nil, err
	}
	change := storage.AlertChange{
		Alert: id, At: now, Actor: auth.From(ctx).ID, From: cmp.Or(storage.AlertState(b.From), a.State), To: storage.AlertState(b.State), Reason: b.Reason,
	}
	var exclusion *storage.Release
	if until := b.ExcludeUntil.UTC(); !b.ExcludeUntil.IsZero() {
		switch {
		case change.To != storage.AlertPublicQuotation && change.To != storage.AlertBoilerplate:
			return nil, fieldError("/exclude_until", "goes with public_quotation or boilerplate")
		case !until.After(now) || until.Sub(now) > maxExclusion:
			return nil, fieldError("/exclude_until", "must be ahead, by a year at most")
		}
		exclusion = &storage.Release{
			ID: storage.ReleaseID(storage.NewID("rel")), Document: a.Document, Kind: storage.Excluded, Until: until, Passages: wholePages(a.Regions),
			Authority: change.Actor, Instrument: b.Reason, Alert: id, CreatedBy: change.Actor, CreatedAt: now,
		}
		change.Release = exclusion.ID
	}
	event := storage.Event{
		ID: storage.EventID(storage.NewID("evt")), Type: storage.AlertUpdated, Department: a.Department, Alert: id, Document: a.Document, At: now,
	}
	if _, err := s.Registry.Decide(ctx, scope(ctx), change, exclusion, event); err != nil {
		return nil, err
	}
	noteOf(ctx).about(string(a.Document), string(change.Release))
	noteOf(ctx).of(0, string(change.To))
	s.Wake()
	detail, err := s.alertDetail(ctx, id)
	if err != nil {
		return nil, err
	}
	return DecideAlert200JSONResponse(detail), nil
}

// wholePages is what an exclusion covers: what was seen of a page by its look is the page.
func wholePages(regions []storage.PageSpan) []storage.PageSpan {
	const beyond = 1 << 29 // the end of any page
	out := make([]storage.PageSpan, len(regions))
	for i, r := range regions {
		if out[i] = r; r.End > beyond {
			out[i] = storage.PageSpan{Page: r.Page}
		}
	}
	return out
}

func (s *Server) alertDetail(ctx context.Context, id storage.AlertID) (AlertDetail, error) {
	a, changes, posts, err := s.Registry.Alert(ctx, scope(ctx), id)
	if err != nil {
		return AlertDetail{}, err
	}
	plain, err := s.toAlert(ctx, a)
	if err != nil {
		return AlertDetail{}, err
	}
	out := AlertDetail{
		ID: plain.ID, Department: plain.Department, Document: plain.Document, State: plain.State, Channel: AlertDetailChannel(plain.Channel),
		Score: plain.Score, ExpectedByChance: plain.ExpectedByChance, MatchedCharacters: plain.MatchedCharacters, Regions: plain.Regions,
		Posts: plain.Posts, Flood: plain.Flood, Late: plain.Late, FirstSeenAt: plain.FirstSeenAt, LastSeenAt: plain.LastSeenAt,
		CreatedAt: plain.CreatedAt, UpdatedAt: plain.UpdatedAt,
		History: make([]AlertChange, 0, len(changes)), NewestPosts: make([]AlertPost, 0, len(posts)),
	}
	for _, c := range changes {
		out.History = append(out.History, AlertChange{
			At: c.At, Actor: c.Actor, From: AlertState(c.From), To: AlertState(c.To), Reason: c.Reason, ReleaseID: string(c.Release),
		})
	}
	for _, p := range posts {
		post := AlertPost{ID: p.Post, Thread: p.Thread, SeenAt: p.SeenAt, Score: p.Score, Passages: make([]AlertPassage, 0, len(p.Passages))}
		for _, passage := range p.Passages {
			post.Passages = append(post.Passages, toAlertPassage(passage))
		}
		out.NewestPosts = append(out.NewestPosts, post)
	}
	return out, nil
}

func toAlertPassage(p storage.AlertPassage) AlertPassage {
	out := AlertPassage{
		Medium: p.Medium, Query: QuerySpan{Start: &p.Start, End: &p.End},
		Document: DocumentSpan{Page: p.Document.Page, Start: &p.Document.Start, End: &p.Document.End}, Similarity: p.Similarity,
	}
	if b := p.Box; b != nil {
		out.Query = QuerySpan{X: &b.X, Y: &b.Y, Width: &b.Width, Height: &b.Height}
	}
	if b := p.OnPage; b != nil {
		out.Document = DocumentSpan{Page: p.Document.Page, X: &b.X, Y: &b.Y, Width: &b.Width, Height: &b.Height}
	}
	return out
}

// toAlert writes an alert in the shape of the API. What is said about the document goes to
// whoever the alert is for, also where that is not the document's department.
func (s *Server) toAlert(ctx context.Context, a storage.Alert) (Alert, error) {
	d, _, _, err := s.Registry.Document(ctx, storage.Everywhere(), a.Document)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return Alert{}, err
	}
	out := Alert{
		ID: string(a.ID), Department: a.Department, State: AlertState(a.State), Channel: AlertChannel(a.Channel), Score: a.Score,
		Document:         AlertDocument{ID: string(a.Document), Title: d.Title, Version: a.Version, Classification: d.Classification},
		ExpectedByChance: a.Expected, MatchedCharacters: a.Characters, Posts: a.Posts, Flood: a.Flood, Late: a.Late,
		FirstSeenAt: a.FirstSeenAt, LastSeenAt: a.LastSeenAt, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
	}
	for _, r := range wholePages(a.Regions) {
		out.Regions = append(out.Regions, toPageSpan(r))
	}
	return out, nil
}
