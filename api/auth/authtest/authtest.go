// Package authtest is an OpenID Connect provider for tests: over TLS, with keys of its own,
// and breakable.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience is whom tokens are made for, unless they say otherwise.
const Audience = "sealprint"

// Claims is what a token says beside what all of them say. What is nil is left out.
type Claims map[string]any

// Provider is a provider that runs until its test ends.
type Provider struct {
	Issuer string

	t      testing.TB
	server *httptest.Server
	mu     sync.Mutex
	signer jose.JSONWebKey
	set    []any // published keys
	broken http.HandlerFunc
	asked  int
	made   int // keys

	person Claims            // who logs in; nil: nobody may
	logins map[string]*login // by code
}

// login is somebody who comes back with a code, and what for.
type login struct{ challenge, redirect, nonce string }

// NewProvider starts a provider with an RSA key.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t}
	p.server = httptest.NewTLSServer(p)
	t.Cleanup(p.server.Close)
	p.Issuer = p.server.URL + "/realms/office"
	p.Rotate(jose.RS256)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked++
	broken, set := p.broken, map[string]any{"keys": p.set}
	p.mu.Unlock()
	if broken != nil {
		broken(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch strings.TrimPrefix(r.URL.Path, "/realms/office") {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.Issuer, "jwks_uri": p.Issuer + "/keys?of=all",
			"authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
			// What a provider says of itself is no reason to believe such tokens.
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	case "/keys":
		_ = json.NewEncoder(w).Encode(set)
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.exchange(w, r)
	default:
		http.NotFound(w, r)
	}
}

// LogIn has whoever comes to log in be a person, of whom tokens say this; nil refuses them.
func (p *Provider) LogIn(person Claims) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.person = person
}

// authorize sends whoever comes back with a code (OpenID Connect Core 1.0, section 3.1.2; RFC
// 7636, section 4.3).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("response_type") != "code" || q.Get("client_id") != Audience || q.Get("code_challenge_method") != "S256" ||
		len(q.Get("code_challenge")) != 43 || q.Get("state") == "" || q.Get("nonce") == "" || !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		http.Error(w, "not a request to log in", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := url.Values{"state": {q.Get("state")}}
	if p.person == nil {
		answer.Set("error", "access_denied")
	} else {
		code := rand.Text()
		if p.logins == nil {
			p.logins = map[string]*login{}
		}
		p.logins[code] = &login{q.Get("code_challenge"), q.Get("redirect_uri"), q.Get("nonce")}
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// refresh is what the provider gives everybody to come back with.
const refresh = "refresh"

// exchange gives a token for a code, once, to whoever knows what it was asked for with; and
// another one later.
func (p *Provider) exchange(w http.ResponseWriter, r *http.Request) {
	refuse := func() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
	}
	says := Claims{}
	switch {
	case r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") == refresh:
	case r.FormValue("grant_type") == "authorization_code":
		p.mu.Lock()
		l := p.logins[r.FormValue("code")]
		delete(p.logins, r.FormValue("code"))
		p.mu.Unlock()
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if l == nil || l.redirect != r.FormValue("redirect_uri") || l.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			refuse()
			return
		}
		says["nonce"] = l.nonce
	default:
		refuse()
		return
	}
	p.mu.Lock()
	person := p.person
	p.mu.Unlock()
	if person == nil {
		refuse()
		return
	}
	for name, value := range person {
		says[name] = value
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "refresh_token": refresh, "id_token": p.Token(says)})
}

// Break has another handler answer; nil mends the provider.
func (p *Provider) Break(handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = handler
}

// Down is a handler that breaks every connection, as a provider does that does not run.
func Down(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Asked is how many requests there were.
func (p *Provider) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Rotate makes a new key for an algorithm, and publishes it instead of the old one.
func (p *Provider) Rotate(algorithm jose.SignatureAlgorithm) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	p.signer = NewKey(p.t, algorithm, fmt.Sprint("key", p.made))
	p.set = []any{p.signer.Public()}
}

// Publish adds to the set of keys.
func (p *Provider) Publish(key any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = append([]any{key}, p.set...)
}

// Signer is the key that tokens are signed with.
func (p *Provider) Signer() jose.JSONWebKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signer
}

// Roots vouch for the provider.
func (p *Provider) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.server.Certificate())
	return pool
}

// Certificate is the same in PEM.
func (p *Provider) Certificate() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
}

// Claims completes what a token says.
func (p *Provider) Claims(own Claims) Claims {
	now := time.Now()
	c := Claims{"iss": p.Issuer, "aud": Audience, "sub": "1234", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range own {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

// Token signs a token.
func (p *Provider) Token(own Claims) string {
	p.t.Helper()
	return Sign(p.t, p.Signer(), p.Claims(own), nil)
}

// NewKey makes a key.
func NewKey(t testing.TB, algorithm jose.SignatureAlgorithm, id string) jose.JSONWebKey {
	t.Helper()
	var key crypto.PrivateKey
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(algorithm), Use: "sig"}
}

// Sign signs claims, with more headers if there are some.
func Sign(t testing.TB, key jose.JSONWebKey, claims Claims, headers map[jose.HeaderKey]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return SignBytes(t, key, payload, &jose.SignerOptions{ExtraHeaders: headers})
}

// SignBytes signs whatever it is.
func SignBytes(t testing.TB, key jose.JSONWebKey, payload []byte, options *jose.SignerOptions) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
