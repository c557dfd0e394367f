package api

import (
	"cmp"
	"context"
	"time"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// ListKeys implements GET /v1/keys.
func (s *Server) ListKeys(ctx context.Context, request ListKeysRequestObject) (ListKeysResponseObject, error) {
	keys, next, err := s.Registry.Keys(ctx, scope(ctx), request.Params.Cursor, limit(request.Params.Limit))
	if err != nil {
		return nil, listError(request.Params.Cursor, err)
	}
	list := KeyList{Items: make([]Key, 0, len(keys)), NextCursor: next}
	for _, k := range keys {
		list.Items = append(list.Items, toKey(k))
	}
	return ListKeys200JSONResponse(list), nil
}

// CreateKey implements POST /v1/keys. Nobody gives away more than they have: the new key
// reaches no department that the caller does not reach.
func (s *Server) CreateKey(ctx context.Context, request CreateKeyRequestObject) (CreateKeyResponseObject, error) {
	b, caller := request.Body, auth.From(ctx)
	department := cmp.Or(b.Department, caller.Department())
	if department == "" && !scope(ctx).All() {
		return nil, fieldError("/department", "is required: the caller reaches several")
	}
	if department != "" && !scope(ctx).Covers(department) {
		return nil, auth.ErrForbidden
	}
	now := time.Now().UTC().Truncate(time.Microsecond) // as it will be read back
	if !b.ExpiresAt.IsZero() && !b.ExpiresAt.After(now) {
		return nil, fieldError("/expires_at", "must be ahead")
	}
	key, record := auth.NewKey(auth.Role(b.Role), department, now)
	record.Label, record.CreatedBy, record.ExpiresAt = b.Label, caller.ID, b.ExpiresAt.UTC()
	if err := s.Registry.AddKey(ctx, record); err != nil {
		return nil, err
	}
	noteOf(ctx).about(record.ID)
	k := toKey(record)
	return CreateKey201JSONResponse{
		ID: k.ID, Role: k.Role, Department: k.Department, Label: k.Label, CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt, Key: key,
	}, nil
}

// RevokeKey implements DELETE /v1/keys/{id}.
func (s *Server) RevokeKey(ctx context.Context, request RevokeKeyRequestObject) (RevokeKeyResponseObject, error) {
	k, err := s.Registry.RevokeKey(ctx, scope(ctx), request.ID, time.Now())
	if err != nil {
		return nil, err
	}
	return RevokeKey200JSONResponse(toKey(k)), nil
}

func toKey(k storage.APIKey) Key {
	return Key{
		ID: k.ID, Role: Role(k.Role), Department: cmp.Or(k.Department, everything), Label: k.Label, CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy,
		ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
	}
}

// everything stands for all departments in answers.
const everything = "*"

// Whoami implements GET /v1/whoami.
func (s *Server) Whoami(ctx context.Context, _ WhoamiRequestObject) (WhoamiResponseObject, error) {
	p := auth.From(ctx)
	answer := Whoami200JSONResponse{ID: p.ID}
	for _, g := range p.Grants {
		answer.Grants = append(answer.Grants, struct {
			Department string `json:"department,omitempty,omitzero"`
			Role       Role   `json:"role"`
		}{g.Department, Role(g.Role)})
	}
	return answer, nil
}
