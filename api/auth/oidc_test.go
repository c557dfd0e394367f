package auth

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealprint/sealprint/api/auth/authtest"
)

// table is what groups are granted in these tests.
var table = []GroupGrant{
	{"finance-analysts", Grant{Analyst, "finance"}}, {"/foreign/registrars", Grant{Registrar, "foreign"}}, {"f2d1-0001", Grant{Monitor, ""}},
	{"all-finance", Grant{Analyst, "finance"}},
}

func of(t testing.TB, p *authtest.Provider, claim string) *OIDC {
	t.Helper()
	o, err := NewOIDC(OIDCConfig{Issuer: p.Issuer, Audience: authtest.Audience, GroupsClaim: claim, Grants: table, Roots: p.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var analysts = authtest.Claims{"groups": []string{"finance-analysts"}}

// TestTokens: whatever is signed as it should be, for us and for now, authenticates.
func TestTokens(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	want := Principal{ID: "oidc:1234", Grants: []Grant{{Analyst, "finance"}}}
	check := func(what, token string) {
		t.Helper()
		if got, err := o.Authenticate(t.Context(), token); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %+v", what, err, got)
		}
	}
	now := time.Now()
	for _, own := range []authtest.Claims{
		{}, {"aud": []string{"other", authtest.Audience}}, {"nbf": now.Unix()}, {"nbf": float64(now.Unix()) - 0.5}, {"iat": nil},
		// The provider's clock may differ a little.
		{"exp": now.Add(-clockSkew / 2).Unix()}, {"nbf": now.Add(clockSkew / 2).Unix()},
		{"_claim_names": map[string]string{"roles": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://192.0.2.1/"}}},
	} {
		own["groups"] = []string{"finance-analysts"}
		check(fmt.Sprint(own), p.Token(own))
	}
	for _, kind := range []string{"JWT", "jwt", "at+jwt", "application/at+JWT"} {
		check(kind, authtest.Sign(t, p.Signer(), p.Claims(analysts), map[jose.HeaderKey]any{jose.HeaderType: kind}))
	}
	// Keys that nobody here can read, and those for other purposes, do not keep the others from
	// being read.
	p.Publish(map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": "1"})
	p.Publish(map[string]any{"kty": "hologram"})
	p.Publish("no key")
	var keys []jose.JSONWebKey
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS512, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA} {
		k := authtest.NewKey(t, algorithm, string(algorithm))
		keys = append(keys, k)
		p.Publish(k.Public())
	}
	unnamed := authtest.NewKey(t, jose.ES256, "")
	p.Publish(unnamed.Public())
	for _, k := range append(keys, unnamed) {
		check(k.Algorithm+" "+k.KeyID, authtest.Sign(t, k, p.Claims(analysts), nil))
	}
}

// TestTokensRefused: nothing else does, and that is no failure.
func TestTokensRefused(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	now := time.Now()
	valid := p.Token(analysts)
	parts := strings.Split(valid, ".")
	encode := base64.RawURLEncoding.EncodeToString
	signer := p.Signer()
	public := signer.Public().Key.(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(p.Claims(analysts))
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		return p.Token(authtest.Claims{"groups": []string{"finance-analysts"}, name: value})
	}
	header := func(name jose.HeaderKey, value any) string {
		return authtest.Sign(t, p.Signer(), p.Claims(analysts), map[jose.HeaderKey]any{name: value})
	}
	hmac := func(secret []byte) string {
		return authtest.SignBytes(t, jose.JSONWebKey{Key: secret, KeyID: p.Signer().KeyID, Algorithm: "HS256"}, payload, nil)
	}
	stranger := authtest.NewKey(t, jose.RS256, p.Signer().KeyID)
	embedded := func() string {
		return authtest.SignBytes(t, jose.JSONWebKey{Key: stranger.Key, Algorithm: "RS256"}, payload, &jose.SignerOptions{EmbedJWK: true})
	}
	forEncryption := authtest.NewKey(t, jose.ES256, "enc")
	forEncryption.Use = "enc"
	p.Publish(forEncryption.Public())
	shared := jose.JSONWebKey{Key: []byte(strings.Repeat("secret", 6)), KeyID: "shared", Algorithm: "HS256"}
	p.Publish(shared)
	otherwise := p.Signer()
	otherwise.Algorithm = "PS256"

	var all sync.WaitGroup
	for what, token := range map[string]string{
		"empty": "", "points": "..", "many points": strings.Repeat(".", 1000), "five parts": valid + ".a.b", "no token": "Tm90aGluZw", "spaces": valid + " ",
		"cut": valid[:len(valid)-10], "without a signature": parts[0] + "." + parts[1] + ".",
		"two parts": parts[0] + "." + parts[1], "padded": parts[0] + "." + parts[1] + "=." + parts[2],
		"huge": valid + strings.Repeat("A", 1<<20), "huge, and signed": with("more", strings.Repeat("A", maxToken)),
		"changed":           parts[0] + "." + encode([]byte(strings.Replace(string(payload), "1234", "1235", 1))) + "." + parts[2],
		"alg none":          encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg none, signed":  encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		"alg None":          encode([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".",
		"no alg":            encode([]byte(`{}`)) + "." + parts[1] + "." + parts[2],
		"header no object":  encode([]byte(`[]`)) + "." + parts[1] + "." + parts[2],
		"HMAC, modulus":     hmac(public.N.Bytes()),
		"HMAC, DER":         hmac(der),
		"HMAC, PEM":         hmac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HMAC, published":   authtest.SignBytes(t, shared, payload, nil),
		"JSON":              fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"another key":       authtest.Sign(t, stranger, p.Claims(analysts), nil),
		"its own key":       embedded(),
		"another algorithm": authtest.SignBytes(t, otherwise, payload, nil),
		"encryption key":    authtest.Sign(t, forEncryption, p.Claims(analysts), nil),
		"logout token":      header(jose.HeaderType, "logout+jwt"),
		"type no text":      header(jose.HeaderType, 7),
		"critical header":   header("crit", []string{"exp"}),
		"another issuer":    with("iss", "https://login.example.org"), "issuer and more": with("iss", p.Issuer+"/"), "no issuer": with("iss", nil),
		"another audience": with("aud", "another"), "other audiences": with("aud", []string{"a", "b"}), "no audience": with("aud", nil),
		"empty audience": with("aud", []string{}), "audience in other letters": with("aud", strings.ToUpper(authtest.Audience)),
		"expired": with("exp", now.Add(-2*clockSkew).Unix()), "no end": with("exp", nil), "end no number": with("exp", "never"),
		"not yet valid": with("nbf", now.Add(2*clockSkew).Unix()), "beginning no number": with("nbf", "soon"), "far away": with("nbf", 1e300),
		"no subject": with("sub", nil), "empty subject": with("sub", ""), "long subject": with("sub", strings.Repeat("a", maxSubject+1)),
		"subject of two lines": with("sub", "a\nb"), "subject with a control": with("sub", "a\x1b[2J"), "subject no ASCII": with("sub", "Zoë"),
		"blank subject": with("sub", " "), "subject no text": with("sub", 7),
		"no claims":        authtest.SignBytes(t, p.Signer(), []byte("nothing"), nil),
		"claims no object": authtest.SignBytes(t, p.Signer(), []byte("[1]"), nil),
		"deep claims":      authtest.SignBytes(t, p.Signer(), []byte(strings.Repeat("[", 40000)), nil),
		"an API key":       "sealprint_abcdefghijkl_" + strings.Repeat("a", 47),
	} {
		all.Go(func() { // together, as each may wait for the provider to be asked
			if got, err := o.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || got.ID != "" || got.Grants != nil {
				t.Errorf("%s: %v %+v", what, err, got)
			}
		})
	}
	all.Wait()
}

// TestGroups: groups are found in all the shapes that providers give them, and what cannot
// be read is told from groups that have no role.
func TestGroups(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	many := make([]string, 4000)
	for i := range many {
		many[i] = fmt.Sprint("g", i)
	}
	all := make([]string, 0, maxGrants+1)
	var wide []GroupGrant
	for i := range maxGrants + 1 {
		all = append(all, fmt.Sprint("w", i))
		wide = append(wide, GroupGrant{all[i], Grant{Analyst, fmt.Sprint("d", i)}})
	}
	finance, foreign, monitor := Grant{Analyst, "finance"}, Grant{Registrar, "foreign"}, Grant{Monitor, ""}
	sources := map[string]any{"src1": map[string]string{"endpoint": "https://192.0.2.1/"}}
	type object = map[string]any
	for _, test := range []struct {
		claim  string
		own    authtest.Claims
		want   []Grant
		reason string // a word of it, if it is refused
	}{
		{"groups", authtest.Claims{"groups": []string{"finance-analysts", "unknown"}}, []Grant{finance}, ""},
		{"groups", authtest.Claims{"groups": "finance-analysts"}, []Grant{finance}, ""},
		{"groups", authtest.Claims{"groups": append(many, "finance-analysts")}, []Grant{finance}, ""},
		// In the order of the settings, each once.
		{"groups", authtest.Claims{"groups": []string{"f2d1-0001", "all-finance", "/foreign/registrars", "finance-analysts"}}, []Grant{finance, foreign, monitor}, ""},
		{"realm_access.roles", authtest.Claims{"realm_access": object{"roles": []string{"finance-analysts"}}}, []Grant{finance}, ""},
		{"resource_access.seal.print.roles", authtest.Claims{"resource_access": object{"seal.print": object{"roles": "finance-analysts"}}}, []Grant{finance}, ""},
		{"https://example.org/groups", authtest.Claims{"https://example.org/groups": []string{"finance-analysts"}}, []Grant{finance}, ""},
		{"a.b", authtest.Claims{"a": "no object", "a.b": []string{"finance-analysts"}}, []Grant{finance}, ""},
		{"groups", authtest.Claims{"hasgroups": true, "groups": []string{"finance-analysts"}}, []Grant{finance}, ""},

		{"groups", authtest.Claims{}, nil, "No group"},
		{"groups", authtest.Claims{"groups": []string{}}, nil, "No group"},
		{"groups", authtest.Claims{"groups": json.RawMessage("null")}, nil, "No group"},
		{"groups", authtest.Claims{"groups": []any{nil, ""}}, nil, "No group"},
		{"groups", authtest.Claims{"groups": "finance-analysts,all-finance"}, nil, "No group"},
		{"groups", authtest.Claims{"groups": []string{"Finance-Analysts", "finance-analysts ", "finance"}}, nil, "No group"},
		{"groups", authtest.Claims{"Groups": []string{"finance-analysts"}}, nil, "No group"},
		{"realm_access.roles", authtest.Claims{"realm_access": []string{"finance-analysts"}}, nil, "No group"},
		{"realm_access.roles", authtest.Claims{"groups": []string{"finance-analysts"}}, nil, "No group"},
		{"groups", authtest.Claims{"groups": 7}, nil, "neither"},
		{"groups", authtest.Claims{"groups": object{"finance-analysts": true}}, nil, "neither"},
		{"groups", authtest.Claims{"groups": []any{"finance-analysts", 7}}, nil, "neither"},
		{"groups", authtest.Claims{"_claim_names": object{"groups": "src1"}, "_claim_sources": sources}, nil, "too many"},
		{"groups", authtest.Claims{"_claim_names": object{"groups": "src1"}, "_claim_sources": sources, "groups": []string{"finance-analysts"}}, nil, "too many"},
		{"realm_access.roles", authtest.Claims{"_claim_names": object{"realm_access": "src1"}, "_claim_sources": sources}, nil, "too many"},
		{"groups", authtest.Claims{"hasgroups": true}, nil, "too many"},
		{"groups", authtest.Claims{"groups": all}, nil, "too many"},
	} {
		o := of(t, p, test.claim)
		o.config.Grants = append(wide, o.config.Grants...)
		got, err := o.Authenticate(t.Context(), p.Token(test.own))
		var refusal *Refusal
		switch {
		case test.reason == "" && (err != nil || !reflect.DeepEqual(got, Principal{ID: "oidc:1234", Grants: test.want})):
			t.Errorf("%s in %.200v: %v %+v", test.claim, test.own, err, got)
		case test.reason != "" && (!errors.As(err, &refusal) || !errors.Is(err, ErrForbidden) || !strings.Contains(refusal.Reason, test.reason)):
			t.Errorf("%s in %.200v: %v %+v", test.claim, test.own, err, got)
		}
	}
}

// TestProviderDown: as long as the provider was not asked, nobody can tell whether a token
// is valid, and nobody says so. What is no token at all is refused all the same. When the
// provider answers, tokens work.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	p.Break(authtest.Down)
	for range 3 {
		if _, err := o.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%v", err)
		}
	}
	if _, err := o.Authenticate(t.Context(), "nonsense"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
	p.Break(nil)
	await(t, o, p.Token(analysts))

	// From now on it is not needed, except for keys that nobody has seen.
	p.Break(authtest.Down)
	old := p.Token(analysts)
	p.Rotate(jose.ES256)
	for range 3 {
		if _, err := o.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if _, err := o.Authenticate(t.Context(), old); err != nil {
			t.Error(err)
		}
	}
	p.Break(nil)
	await(t, o, p.Token(analysts))
}

// await waits until a token authenticates, which it does when the pause is over.
func await(t *testing.T, o *OIDC, token string) {
	t.Helper()
	for deadline := time.Now().Add(2 * maxPause); ; time.Sleep(20 * time.Millisecond) {
		_, err := o.Authenticate(t.Context(), token)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestRotation: tokens of a new key work at once, by whatever algorithm, and those of a key
// that was withdrawn do not any more.
func TestRotation(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.PS512} {
		old := p.Token(analysts)
		p.Rotate(algorithm)
		if _, err := o.Authenticate(t.Context(), p.Token(analysts)); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if _, err := o.Authenticate(t.Context(), old); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("before %s: %v", algorithm, err)
		}
	}
	// Nobody came with a new one, but the provider is asked again after a while.
	old := p.Token(analysts)
	p.Rotate(jose.ES256)
	if _, err := o.Authenticate(t.Context(), old); err != nil {
		t.Error(err)
	}
	o.known.asked = o.known.asked.Add(-keysFor)
	if _, err := o.Authenticate(t.Context(), old); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}

// TestAskedInPauses: however many tokens come that the provider did not sign, it is asked
// once in a pause; and tokens that it did sign do not wait for it.
func TestAskedInPauses(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	valid, stranger := p.Token(analysts), authtest.NewKey(t, jose.ES256, "unknown")
	forged := authtest.Sign(t, stranger, p.Claims(analysts), nil)
	if _, err := o.Authenticate(t.Context(), valid); err != nil {
		t.Fatal(err)
	}
	began, before := time.Now(), p.Asked()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := o.Authenticate(t.Context(), forged); !errors.Is(err, ErrUnauthenticated) {
				t.Error(err)
			}
		})
	}
	p.Break(authtest.Down)
	if _, err := o.Authenticate(t.Context(), valid); err != nil {
		t.Error(err)
	}
	p.Break(nil)
	all.Wait()
	// Each time for its description and for its keys.
	if most := 2 * (2 + int(time.Since(began)/minPause)); p.Asked()-before > most {
		t.Errorf("asked %d times, at most %d", p.Asked()-before, most)
	}
}

// TestProviderBroken: an answer of the provider that is none is no reason to refuse anybody,
// and nothing of it is believed.
func TestProviderBroken(t *testing.T) {
	t.Parallel()
	p, other := authtest.NewProvider(t), authtest.NewProvider(t)
	signer := p.Signer()
	description := func(issuer, keys string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, keys)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{signer.Public()}})
		}
	}
	keys := func(set string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
				fmt.Fprint(w, set)
				return
			}
			description(p.Issuer, p.Issuer+"/keys")(w, r)
		}
	}
	for what, handler := range map[string]http.HandlerFunc{
		"down":     authtest.Down,
		"failing":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"no page":  http.NotFound,
		"nonsense": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in</html>") },
		"endless":  func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("there") {
				description(p.Issuer, p.Issuer+"/keys?there")(w, r)
				return
			}
			http.Redirect(w, r, r.URL.Path+"?there", http.StatusFound)
		},
		"long": func(w http.ResponseWriter, r *http.Request) {
			description(p.Issuer, p.Issuer+"/keys")(w, r)
			fmt.Fprint(w, strings.Repeat(" ", maxAnswer))
		},
		"another": description(other.Issuer, p.Issuer+"/keys"), "no name": description("", p.Issuer+"/keys"), "slash": description(p.Issuer+"/", p.Issuer+"/keys"),
		"no keys": description(p.Issuer, ""), "file": description(p.Issuer, "file:///etc/passwd"),
		"empty": keys(`{"keys":[]}`), "null": keys(`null`), "no set": keys(`[]`), "secrets": keys(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0"}]}`),
		"cut": keys(`{"keys":[{"kty":"RSA",`),
	} {
		t.Run(what, func(t *testing.T) {
			o := of(t, p, "groups")
			p.Break(handler)
			defer p.Break(nil)
			if got, err := o.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) || got.ID != "" {
				t.Errorf("%v %+v", err, got)
			} else if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	// Keys that came without TLS could be anybody's: they are not even asked for.
	plain := of(t, p, "groups")
	p.Break(description(p.Issuer, "http://192.0.2.1/keys"))
	if _, err := plain.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "jwks_uri: must begin with https://") {
		t.Errorf("%v", err)
	}
	p.Break(nil)
	// Somebody else's certificate is none.
	o, err := NewOIDC(OIDCConfig{Issuer: p.Issuer, Audience: authtest.Audience, GroupsClaim: "groups", Grants: table})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// TestProviderHangs: a provider that takes connections and says nothing is one that does not
// answer.
func TestProviderHangs(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	p.Break(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := o.Authenticate(t.Context(), p.Token(analysts)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// endless writes until nobody reads.
func endless(w http.ResponseWriter) {
	for block := []byte(strings.Repeat(" ", 1<<16)); ; {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestGivenUp: who does not wait for the provider any more gets an answer, and spoils it for
// nobody.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	p := authtest.NewProvider(t)
	o := of(t, p, "groups")
	reached, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p.Break(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			close(reached)
			<-answer
			p.Break(nil)
		})
		p.ServeHTTP(w, r)
	})
	asking, give := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := o.Authenticate(asking, p.Token(analysts))
		first <- err
	}()
	<-reached
	waiting, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, err := o.Authenticate(waiting, p.Token(analysts)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	give()
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := o.Authenticate(t.Context(), p.Token(analysts)); err != nil {
		t.Error(err)
	}
}

// TestOIDCConfig: a mistake in the settings is told by the setting's name.
func TestOIDCConfig(t *testing.T) {
	for want, change := range map[string]func(*OIDCConfig){
		"":                        func(*OIDCConfig) {},
		"issuer: must begin":      func(c *OIDCConfig) { c.Issuer = "http://login.example.org" },
		"issuer: must":            func(c *OIDCConfig) { c.Issuer = "ftp://localhost" },
		"issuer: is no":           func(c *OIDCConfig) { c.Issuer = "login.example.org" },
		"issuer":                  func(c *OIDCConfig) { c.Issuer = "" },
		"issuer: is no URL":       func(c *OIDCConfig) { c.Issuer = "https://" },
		"issuer: is a URL":        func(c *OIDCConfig) { c.Issuer += "?a=b" },
		"issuer: is a URL with":   func(c *OIDCConfig) { c.Issuer += "#a" },
		"issuer: is a":            func(c *OIDCConfig) { c.Issuer = "https://a:b@login.example.org" },
		"audience":                func(c *OIDCConfig) { c.Audience = "" },
		"groups_claim":            func(c *OIDCConfig) { c.GroupsClaim = "" },
		"grants":                  func(c *OIDCConfig) { c.Grants = nil },
		"grants: 2: group":        func(c *OIDCConfig) { c.Grants[1].Group = "" },
		"grants: 1: role":         func(c *OIDCConfig) { c.Grants[0].Role = "tourist" },
		"grants: 2: role":         func(c *OIDCConfig) { c.Grants[1].Role = "" },
		"grants: 1: department":   func(c *OIDCConfig) { c.Grants[0].Department = "finance/" },
		"grants: 1: department: ": func(c *OIDCConfig) { c.Grants[0].Department = "a,b" },
		"grants: 2: department":   func(c *OIDCConfig) { c.Grants[1].Department = strings.Repeat("a", 201) },
	} {
		c := OIDCConfig{
			Issuer: "https://login.example.org/realms/office", Audience: "sealprint", GroupsClaim: "groups",
			Grants: []GroupGrant{{"a", Grant{Analyst, "finance"}}, {"b", Grant{Admin, ""}}},
		}
		change(&c)
		if _, err := NewOIDC(c); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	for _, issuer := range []string{"http://127.0.0.1:8080/realms/a", "http://localhost", "http://[::1]:1/", "https://login.example.org/"} {
		if _, err := NewOIDC(OIDCConfig{Issuer: issuer, Audience: "a", GroupsClaim: "groups", Grants: table}); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// FuzzGroups: whatever a token says, its groups are names that stand in it, or it is refused.
func FuzzGroups(f *testing.F) {
	for _, s := range []string{
		`{"groups":["a","b"]}`, `{"groups":"a"}`, `{"groups":null}`, `{"groups":[null]}`, `{"a":{"b":{"c":["x"]}},"a.b":{"c":"y"}}`,
		`{"_claim_names":{"groups":"src1"}}`, `{"_claim_names":[],"hasgroups":1}`, `{"groups":{"a":1}}`, `{"a":{"b":{}},"a.b.c":7}`,
	} {
		f.Add(s, "groups")
		f.Add(s, "a.b.c")
	}
	f.Fuzz(func(t *testing.T, payload, path string) {
		var c claims
		if json.Unmarshal([]byte(payload), &c) != nil {
			return
		}
		groups, err := c.groups(path)
		switch {
		case err != nil && (!errors.Is(err, ErrForbidden) || groups != nil):
			t.Errorf("%v %q", err, groups)
		case len(groups) > len(payload)+1:
			t.Errorf("%d groups in %d bytes", len(groups), len(payload))
		}
		// What is a group is a text somewhere in the token.
		texts := map[string]bool{"": true}
		var all func(value any)
		all = func(value any) {
			switch v := value.(type) {
			case string:
				texts[v] = true
			case []any:
				for _, of := range v {
					all(of)
				}
			case map[string]any:
				for _, of := range v {
					all(of)
				}
			}
		}
		for _, raw := range c {
			var value any
			if json.Unmarshal(raw, &value) == nil {
				all(value)
			}
		}
		for _, g := range groups {
			if !texts[g] {
				t.Errorf("%q is a group in %s", g, payload)
			}
		}
	})
}
