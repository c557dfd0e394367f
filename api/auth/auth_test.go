package auth

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// ring is where keys are stored.
type ring map[string]storage.APIKey

func (r ring) Key(_ context.Context, id string) (storage.APIKey, error) {
	if id == "" {
		return storage.APIKey{}, errors.New("asked for a key without an id")
	}
	k, ok := r[id]
	if !ok {
		return storage.APIKey{}, storage.ErrNotFound
	}
	return k, nil
}

// broken is a store that does not answer.
type broken struct{}

func (broken) Key(context.Context, string) (storage.APIKey, error) {
	return storage.APIKey{}, storage.ErrClosed
}

// TestKey: a key and no other authenticates; every change to it does not.
func TestKey(t *testing.T) {
	ctx, now := context.Background(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 5*3600))
	key, record := NewKey(Admin, "finance", now)
	keys := ring{record.ID: record}
	p, err := Authenticate(ctx, keys, key)
	if err != nil || !reflect.DeepEqual(p, Principal{ID: record.ID, Grants: []Grant{{Admin, "finance"}}}) {
		t.Fatalf("%v %+v", err, p)
	}
	if record.CreatedAt != now.UTC() || strings.Contains(string(record.SecretHash), key) || !strings.HasPrefix(key, "sealprint_") {
		t.Errorf("%+v", record)
	}
	if again, err := Record(" "+key+"\n", Admin, "finance", now); err != nil || again.ID != record.ID || string(again.SecretHash) != string(record.SecretHash) {
		t.Errorf("%v %+v", err, again)
	}
	refused := func(key string) {
		t.Helper()
		if p, err := Authenticate(ctx, keys, key); !errors.Is(err, ErrUnauthenticated) || p.ID != "" || p.Grants != nil {
			t.Errorf("%q: %v %+v", key, err, p)
		}
		if _, err := Authenticate(ctx, broken{}, key); !errors.Is(err, ErrUnauthenticated) && !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%q: %v", key, err)
		}
	}
	for i := range key {
		for _, c := range []string{"", "a", "_", "A", "\x00", "é"} {
			if changed := key[:i] + c + key[i+1:]; changed != key {
				refused(changed)
			}
		}
	}
	for _, s := range []string{"", "_", "__", "sealprint__", "sealprint_" + record.ID + "_", key + key, key + "\n", strings.Repeat("a", 1<<16)} {
		refused(s)
	}
	// The checksum is no secret: a forged one that is right still lacks the secret.
	body := "sealprint_" + record.ID + "_" + strings.Repeat("a", secretLength)
	refused(body + checksum(body))
	if _, err := Authenticate(ctx, broken{}, key); !errors.Is(err, storage.ErrClosed) || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a store that fails is no wrong key: %v", err)
	}
	expired := record
	expired.ExpiresAt = time.Now()
	keys[record.ID] = expired
	refused(key)
	record.RevokedAt = now
	keys[record.ID] = record
	refused(key)
}

// TestKeysDiffer: no two keys share an id or a secret.
func TestKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key, record := NewKey(Admin, "", time.Now())
		if seen[key] || seen[record.ID] {
			t.Fatal("a key came twice")
		}
		seen[key], seen[record.ID] = true, true
	}
}

// TestScope: a principal reaches the branches of its grants, in the roles that are asked
// for, and nobody reaches nothing.
func TestScope(t *testing.T) {
	nobody := From(context.Background())
	if nobody.ID != "" || nobody.Scope().All() || nobody.Scope().Covers("default") || nobody.Scope().Covers("") || nobody.Department() != "" || nobody.Roles() != nil {
		t.Error("nobody reaches something")
	}
	p := From(With(context.Background(), Principal{ID: "k", Grants: []Grant{{Analyst, "finance"}, {Registrar, "foreign"}, {Monitor, ""}}}))
	for _, test := range []struct {
		roles  []Role
		covers string
		want   bool
	}{
		{[]Role{Analyst}, "finance/budget", true}, {[]Role{Analyst}, "foreign", false}, {[]Role{Registrar}, "finance", false},
		{[]Role{Analyst, Registrar}, "foreign", true}, {[]Role{Analyst, Registrar}, "law", false}, {[]Role{Monitor}, "law", true}, {nil, "finance", false},
	} {
		if got := p.As(test.roles...).Scope().Covers(test.covers); got != test.want {
			t.Errorf("as %v it covers %s: %v", test.roles, test.covers, got)
		}
	}
	if as := p.As(Analyst); as.Department() != "finance" || !slices.Equal(as.Roles(), []Role{Analyst}) || p.As(Monitor).Department() != "" {
		t.Errorf("%+v", as)
	}
	// What a monitor reaches everywhere, an analyst of a department reads there only.
	if looks := p.As(Analyst, Monitor); !looks.Scope().All() || !looks.Reads().Covers("finance/budget") || looks.Reads().Covers("law") || len(looks.Grants) != 2 {
		t.Errorf("%+v", looks)
	}
	if reads := p.As(Monitor).Reads(); reads.All() || reads.Covers("finance") {
		t.Error("a monitor reads something")
	}
	if admin := (Principal{ID: "k", Grants: []Grant{{Admin, "law"}}}).As(Analyst); !admin.Scope().Covers("law") || !admin.Reads().Covers("law") {
		t.Errorf("an administrator may not: %+v", admin)
	}
}
