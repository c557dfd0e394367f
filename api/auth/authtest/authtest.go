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
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
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
}

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
			// What a provider says of itself is no reason to believe such tokens.
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	case "/keys":
		_ = json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
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
