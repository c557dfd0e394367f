package api

import (
	"context"
	"fmt"

	"github.com/sealprint/sealprint/storage"
)

// NoticeObjects implements POST /v1/hooks/s3/{source}.
func (s *Server) NoticeObjects(ctx context.Context, request NoticeObjectsRequestObject) (NoticeObjectsResponseObject, error) {
	answer, err := s.notice(ctx, request.Source, request.Body)
	return NoticeObjects202JSONResponse(answer), err
}

// NoticeObjectsByURL implements POST /v1/hooks/s3/{source}/{token}.
func (s *Server) NoticeObjectsByURL(ctx context.Context, request NoticeObjectsByURLRequestObject) (NoticeObjectsByURLResponseObject, error) {
	answer, err := s.notice(ctx, request.Source, request.Body)
	return NoticeObjectsByURL202JSONResponse(answer), err
}

// notice keeps which objects of a source are to be looked at. The source is one of the
// caller's departments, or is not there.
func (s *Server) notice(ctx context.Context, source string, n *S3Notification) (Noticed, error) {
	owner, bucket, err := s.Ingest.Source(source)
	if err != nil {
		return Noticed{}, err
	}
	if !scope(ctx).Covers(owner) {
		return Noticed{}, fmt.Errorf("source: %w", storage.ErrNotFound)
	}
	var keys []string
	for _, r := range n.Records {
		if r.S3.Bucket.Name == bucket {
			keys = append(keys, r.S3.Object.Key)
		}
	}
	noticed, err := s.Ingest.Notice(ctx, source, keys)
	return Noticed{Noticed: noticed, Ignored: len(n.Records) - noticed}, err
}
