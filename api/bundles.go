package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// ImportBundle implements POST /v1/bundles.
func (s *Server) ImportBundle(ctx context.Context, request ImportBundleRequestObject) (ImportBundleResponseObject, error) {
	p := request.Params
	department := cmp.Or(p.Department, auth.From(ctx).Department(), storage.DefaultDepartment)
	if !scope(ctx).Covers(department) {
		return nil, auth.ErrForbidden
	}
	run, err := s.Ingest.ImportBundle(ctx, request.Body, department, cmp.Or(p.Collection, storage.DefaultCollection), p.Classification)
	if err != nil {
		return nil, err
	}
	return &bundleReport{s, ctx, run}, nil
}

// bundleReport tells what becomes of the files of a bundle while it becomes of them.
type bundleReport struct {
	*Server
	ctx context.Context // of the request: the answer is written after the handler returned
	run func(tell func(RegistrationItem) error) error
}

// VisitImportBundleResponse implements ImportBundleResponseObject. Each document has a record
// of its own in the audit log, as each upload has.
func (b *bundleReport) VisitImportBundleResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	outcomes := map[string]int{}
	err := b.run(func(item RegistrationItem) error {
		outcomes[string(item.Outcome)]++
		b.metrics.registered(string(item.Outcome))
		n := &note{outcome: string(item.Outcome)}
		n.about(item.DocumentID)
		if err := b.record(b.ctx, "importBundle", n); err != nil {
			return err
		}
		return encoder.Encode(item)
	})
	if err != nil {
		l := lines[struct{}]{Server: b.Server, requestID: w.Header().Get("X-Request-Id")}
		if err := encoder.Encode(l.failure("", "", err)); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := encoder.Encode(map[string]Outcomes{"summary": toOutcomes(outcomes)}); err != nil {
		return err
	}
	return out.Flush()
}
