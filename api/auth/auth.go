// Package auth says who calls: API keys, tokens of the organization's OpenID Connect
// provider, roles and the part of the department tree that they reach.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Role says what a caller may do.
type Role string

// The roles. What each may call stands with the operations in openapi.yaml.
const (
	Admin     Role = "admin"     // everything
	Registrar Role = "registrar" // registers and releases
	Analyst   Role = "analyst"   // looks up, reads evidence, decides on alerts
	Monitor   Role = "monitor"   // looks up and posts, and sees ids and departments only
	Auditor   Role = "auditor"   // reads the audit log
)

// Valid reports whether there is such a role.
func (r Role) Valid() bool {
	return slices.Contains([]Role{Admin, Registrar, Analyst, Monitor, Auditor}, r)
}

// Grant is a role in a branch of the department tree.
type Grant struct {
	Role       Role
	Department string // empty: all
}

// Principal is an authenticated caller. The zero Principal is nobody.
type Principal struct {
	ID     string // of the key; or "oidc:" and the subject of the token
	Grants []Grant
}

// As returns the principal with those of its grants that are of the roles, or of an
// administrator.
func (p Principal) As(roles ...Role) Principal {
	as := Principal{ID: p.ID}
	for _, g := range p.Grants {
		if g.Role == Admin || slices.Contains(roles, g.Role) {
			as.Grants = append(as.Grants, g)
		}
	}
	return as
}

// Scope is the part of the department tree that the principal reaches; nobody reaches
// nothing.
func (p Principal) Scope() storage.Scope {
	var branches []string
	for _, g := range p.Grants {
		if g.Department == "" {
			return storage.Everywhere()
		}
		if !slices.Contains(branches, g.Department) {
			branches = append(branches, g.Department)
		}
	}
	return storage.Branches(branches...)
}

// Department is the principal's own, if it has just one; else empty.
func (p Principal) Department() string {
	if branches := p.Scope().Departments(); len(branches) == 1 {
		return branches[0]
	}
	return ""
}

// Roles are those that the principal acts in.
func (p Principal) Roles() []Role {
	var roles []Role
	for _, g := range p.Grants {
		if !slices.Contains(roles, g.Role) {
			roles = append(roles, g.Role)
		}
	}
	return roles
}

// Reads is the part of its scope of which the principal sees more than a monitor: ids,
// departments and scores.
func (p Principal) Reads() storage.Scope {
	p.Grants = slices.DeleteFunc(slices.Clone(p.Grants), func(g Grant) bool { return g.Role == Monitor })
	return p.Scope()
}

// The kinds of error.
var (
	// ErrUnauthenticated: the caller has no valid key or token.
	ErrUnauthenticated = errors.New("no valid API key or token")
	// ErrForbidden: the caller's grants are not for this.
	ErrForbidden = errors.New("not allowed")
	// ErrUnavailable: the provider does not answer, and without it nobody can tell whether
	// the token is valid.
	ErrUnavailable = errors.New("the identity provider does not answer")
)

// Refusal is an error of a kind that says why, in words for the caller that hold nothing
// of what was submitted.
type Refusal struct {
	Kind   error
	Reason string
}

func (r *Refusal) Error() string { return r.Kind.Error() + ": " + r.Reason }
func (r *Refusal) Unwrap() error { return r.Kind }

// Callers authenticates whoever calls, by either kind of bearer token.
type Callers struct {
	Keys   Keys
	Tokens *OIDC // nil: there are only keys
}

// Authenticate finds the principal of a bearer token. The error is of kind
// [ErrUnauthenticated], [ErrForbidden] or [ErrUnavailable] if that is the cause.
func (c Callers) Authenticate(ctx context.Context, token string) (Principal, error) {
	if c.Tokens == nil || strings.HasPrefix(token, keyPrefix+"_") {
		return Authenticate(ctx, c.Keys, token)
	}
	return c.Tokens.Authenticate(ctx, token)
}

// A key looks like sealprint_ID_SECRETCHECK. The prefix and the checksum let
// secret scanners recognize a key that leaked; the id finds the stored hash.
const (
	keyPrefix    = "sealprint"
	idLength     = 12
	secretLength = 40 // base32: 200 bits
	checkLength  = 7  // base32 of a CRC-32
)

// NewKey makes an API key. The key itself is returned once and kept nowhere; the
// record is what to store.
func NewKey(role Role, department string, now time.Time) (key string, record storage.APIKey) {
	id := random(idLength)
	secret := random(secretLength)
	body := keyPrefix + "_" + id + "_" + secret
	key = body + checksum(body)
	return key, storage.APIKey{ID: id, SecretHash: hash(key), Role: string(role), Department: department, CreatedAt: now.UTC()}
}

// Record is what to store of a key that was made before.
func Record(key string, role Role, department string, now time.Time) (storage.APIKey, error) {
	key = strings.TrimSpace(key)
	id, err := parse(key)
	if err != nil {
		return storage.APIKey{}, err
	}
	return storage.APIKey{ID: id, SecretHash: hash(key), Role: string(role), Department: department, CreatedAt: now.UTC()}, nil
}

// parse checks a key's form and returns its id.
func parse(key string) (id string, err error) {
	parts := strings.Split(key, "_")
	if len(parts) != 3 || parts[0] != keyPrefix || len(parts[1]) != idLength || len(parts[2]) != secretLength+checkLength ||
		checksum(key[:len(key)-checkLength]) != key[len(key)-checkLength:] {
		return "", ErrUnauthenticated
	}
	return parts[1], nil
}

// random returns n letters and digits, 5 bits each.
func random(n int) string {
	s := ""
	for len(s) < n {
		s += strings.ToLower(rand.Text())
	}
	return s[:n]
}

func checksum(body string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	sum := crc32.ChecksumIEEE([]byte(body))
	out := make([]byte, checkLength)
	for i := range out {
		out[i] = digits[sum&31]
		sum >>= 5
	}
	return string(out)
}

// hash is plain SHA-256: 200 random bits need no slow hash.
func hash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// Keys is the part of storage.Registry that authentication needs.
type Keys interface {
	Key(ctx context.Context, id string) (storage.APIKey, error)
}

// Authenticate finds the principal of a key; the error is of kind
// [ErrUnauthenticated] if there is none, whatever the cause.
func Authenticate(ctx context.Context, keys Keys, key string) (Principal, error) {
	id, err := parse(key)
	if err != nil {
		return Principal{}, err
	}
	record, err := keys.Key(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Principal{}, ErrUnauthenticated
	case err != nil:
		return Principal{}, fmt.Errorf("look up API key: %w", err)
	case subtle.ConstantTimeCompare(record.SecretHash, hash(key)) != 1 || !record.RevokedAt.IsZero():
		return Principal{}, ErrUnauthenticated
	case !record.ExpiresAt.IsZero() && !time.Now().Before(record.ExpiresAt):
		return Principal{}, ErrUnauthenticated
	}
	return Principal{ID: record.ID, Grants: []Grant{{Role(record.Role), record.Department}}}, nil
}

type contextKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the context's principal; without one it is nobody.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
