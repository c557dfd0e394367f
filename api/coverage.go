package api

import (
	"context"

	"github.com/sealprint/sealprint/storage"
)

// GetCoverage implements GET /v1/coverage.
func (s *Server) GetCoverage(ctx context.Context, _ GetCoverageRequestObject) (GetCoverageResponseObject, error) {
	covered, err := s.Registry.Coverage(ctx, scope(ctx))
	if err != nil {
		return nil, err
	}
	size, pace, err := s.Ingest.Usual(ctx, scope(ctx))
	if err != nil {
		return nil, err
	}
	answer := Coverage{Items: make([]Covered, 0, len(covered))}
	answer.Usual.IndexBytes, answer.Usual.Seconds = size, 1/pace
	for _, c := range covered {
		answer.Items = append(answer.Items, Covered{
			Department: c.Department, Status: Status(c.Status), Documents: c.Documents, Pages: c.Pages, Undrawn: c.Undrawn, Gone: c.Gone, Gaps: c.Gaps, PreviousKey: c.Earlier,
		})
	}
	return GetCoverage200JSONResponse(answer), nil
}

// ListGaps implements GET /v1/coverage/gaps.
func (s *Server) ListGaps(ctx context.Context, request ListGapsRequestObject) (ListGapsResponseObject, error) {
	p := request.Params
	gaps, next, err := s.Registry.Gaps(ctx, scope(ctx), storage.GapFilter{Department: p.Department, Under: p.Source, Status: string(p.Status)}, p.Cursor, limit(p.Limit))
	if err != nil {
		return nil, listError(p.Cursor, err)
	}
	list := GapList{Items: make([]Gap, 0, len(gaps)), NextCursor: next}
	for _, g := range gaps {
		list.Items = append(list.Items, Gap{
			Source: g.Source, Department: g.Department, Collection: g.Collection, Outcome: Outcome(g.Outcome), Status: Status(g.Status),
			Reason: g.Reason, Tries: g.Tries, Since: g.Since, TriedAt: g.TriedAt,
		})
	}
	return ListGaps200JSONResponse(list), nil
}
