package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sealprint/sealprint/api/auth"
)

// operator says whether the caller may do what concerns all departments.
func operator(ctx context.Context) error {
	if !scope(ctx).All() {
		return auth.ErrForbidden
	}
	return nil
}

// MergeIndex implements POST /v1/index/merge.
func (s *Server) MergeIndex(ctx context.Context, _ MergeIndexRequestObject) (MergeIndexResponseObject, error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	if err := s.Upkeep.Merge(ctx); err != nil {
		return nil, err
	}
	stats, err := s.stats(ctx)
	if err != nil {
		return nil, err
	}
	return MergeIndex200JSONResponse(stats), nil
}

// CheckIndex implements POST /v1/index/check.
func (s *Server) CheckIndex(ctx context.Context, _ CheckIndexRequestObject) (CheckIndexResponseObject, error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	report, err := s.Upkeep.Check(ctx)
	if err != nil {
		return nil, err
	}
	return CheckIndex200JSONResponse(report), nil
}

// Backup implements GET /v1/backup.
func (s *Server) Backup(ctx context.Context, _ BackupRequestObject) (BackupResponseObject, error) {
	if err := operator(ctx); err != nil {
		return nil, err
	}
	return &archive{server: s, ctx: ctx}, nil
}

// archive is an answer that is written as it is made.
type archive struct {
	server *Server
	ctx    context.Context // of the request
	w      http.ResponseWriter
	begun  bool
}

// VisitBackupResponse implements BackupResponseObject. A failure after the first byte ends
// the connection, so that nobody takes for whole what is not.
func (a *archive) VisitBackupResponse(w http.ResponseWriter) error {
	a.w = w
	err := a.server.Upkeep.Backup(a.ctx, a)
	if err != nil && a.begun {
		a.server.Log.Error("backup broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// Write begins the answer with the first byte, until when a problem may be told.
func (a *archive) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/x-tar")
		a.w.Header().Set("Content-Disposition", `attachment; filename="sealprint-backup.tar"`)
		a.w.WriteHeader(http.StatusOK)
	}
	return a.w.Write(b)
}
