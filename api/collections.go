package api

import (
	"cmp"
	"context"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// ListCollections implements GET /v1/collections.
func (s *Server) ListCollections(ctx context.Context, request ListCollectionsRequestObject) (ListCollectionsResponseObject, error) {
	found, next, err := s.Registry.Collections(ctx, scope(ctx), request.Params.Cursor, limit(request.Params.Limit))
	if err != nil {
		return nil, listError(request.Params.Cursor, err)
	}
	list := CollectionList{Items: make([]Collection, 0, len(found)), NextCursor: next}
	for _, c := range found {
		list.Items = append(list.Items, toCollection(c))
	}
	return ListCollections200JSONResponse(list), nil
}

// CreateCollection implements POST /v1/collections. What stands in a public
// collection alarms nobody any more, and others may have filed documents under
// its name: such collections are for keys that reach all departments.
func (s *Server) CreateCollection(ctx context.Context, request CreateCollectionRequestObject) (CreateCollectionResponseObject, error) {
	caller := auth.From(ctx)
	b := request.Body
	c := storage.Collection{
		Name:       b.Name,
		Kind:       cmp.Or(storage.CollectionKind(b.Kind), storage.Protected),
		Department: cmp.Or(b.Department, caller.Department(), storage.DefaultDepartment),
		Window:     fingerprint.Dense,
		CreatedAt:  time.Now().UTC().Truncate(time.Microsecond), // as it will be read back
	}
	if b.Density == Sparse {
		c.Window = fingerprint.Sparse
	}
	if !scope(ctx).Covers(c.Department) || c.Kind != storage.Protected && !scope(ctx).All() {
		return nil, auth.ErrForbidden
	}
	if err := s.Registry.AddCollection(ctx, c); err != nil {
		return nil, err
	}
	noteOf(ctx).about(c.Name)
	stored, err := s.Registry.Collection(ctx, c.Name)
	if err != nil {
		return nil, err
	}
	if !stored.CreatedAt.Equal(c.CreatedAt) { // somebody was there before
		return CreateCollection200JSONResponse(toCollection(stored)), nil
	}
	return CreateCollection201JSONResponse(toCollection(stored)), nil
}

func toCollection(c storage.Collection) Collection {
	density := Dense
	if c.Window == fingerprint.Sparse {
		density = Sparse
	}
	return Collection{Name: c.Name, Kind: CollectionKind(c.Kind), Department: c.Department, Density: density, CreatedAt: c.CreatedAt}
}
