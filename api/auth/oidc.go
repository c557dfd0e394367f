package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/sealprint/sealprint/storage"
)

// Limits of what callers and the provider send.
const (
	// maxToken bounds a token, in bytes: as much as the headers of a request may take. Ids of a
	// thousand groups fit.
	maxToken = 64 << 10

	// maxSubject bounds the subject, in bytes (OpenID Connect Core 1.0, section 2).
	maxSubject = 255

	// maxGrants bounds what the groups of one token give: every query names all its branches.
	maxGrants = 100

	// maxAnswer bounds what is read of an answer of the provider, in bytes. Theirs have a few
	// thousand.
	maxAnswer = 1 << 20
)

// Times.
const (
	// clockSkew is how far the provider's clock may be ahead or behind.
	clockSkew = time.Minute

	// keysFor is how long keys are believed without asking the provider again: what it
	// withdraws counts no longer than that.
	keysFor = 10 * time.Minute

	// The provider is asked at most once in a pause, however many tokens come that none of its
	// keys has signed. While it does not answer the pause doubles.
	minPause = time.Second
	maxPause = 30 * time.Second

	// providerTimeout is for one answer of the provider. Somebody waits for it.
	providerTimeout = 5 * time.Second
)

// subjectPrefix tells ids of people from ids of keys, which have no colon.
const subjectPrefix = "oidc:"

// algorithms are those that tokens may be signed with. With all of them the key that
// verifies cannot sign: with an HMAC, whoever has the public key could (RFC 8725, section 2.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// OIDCConfig says which tokens are believed and what they are good for. Errors about it
// name its fields as the settings do.
type OIDCConfig struct {
	Issuer   string // URL, letter by letter as the provider writes it
	Audience string // whom tokens have to be made for: the client id
	// GroupsClaim is the claim with the groups, or the way to it: realm_access.roles.
	GroupsClaim string
	Grants      []GroupGrant
	Roots       *x509.CertPool // that vouch for the provider; nil: the system's
}

// GroupGrant is what the members of a group are granted.
type GroupGrant struct {
	Group string // its name or id, letter by letter as tokens have it
	Grant
}

func (c *OIDCConfig) validate() error {
	issuer, err := providerURL(c.Issuer)
	switch {
	case err != nil:
		return fmt.Errorf("issuer: %w", err)
	case issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		return errors.New("issuer: is a URL without user, query and fragment")
	case c.Audience == "":
		return errors.New("audience: is required: the id that the provider knows sealprint by")
	case c.GroupsClaim == "":
		return errors.New("groups_claim: is required")
	case len(c.Grants) == 0:
		return errors.New("grants: are required: without one nobody may do anything")
	}
	for i, g := range c.Grants {
		switch {
		case g.Group == "":
			return fmt.Errorf("grants: %d: group: is required", i+1)
		case !g.Role.Valid():
			return fmt.Errorf("grants: %d: role: there is no role %q", i+1, g.Role)
		case g.Department != "" && !storage.ValidDepartment(g.Department):
			return fmt.Errorf("grants: %d: department: %q is no path of names, such as finance/budget-wing", i+1, g.Department)
		}
	}
	return nil
}

// providerURL takes a URL of the provider apart. Only on the machine itself it may go
// without TLS: who can change the answer makes the keys.
func providerURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("is no URL")
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return nil, errors.New("must begin with https://")
	}
	return u, nil
}

// OIDC authenticates people by tokens (JWT, RFC 7519) that the organization's OpenID
// Connect provider signed. It asks the provider for its keys when the first token comes,
// and again when one comes that none of them has signed: so providers change them.
type OIDC struct {
	config OIDCConfig
	checks oidc.Config
	client *http.Client

	asking chan struct{} // has room for one
	mu     sync.Mutex
	known  provider
}

// provider is what is known of the provider.
type provider struct {
	keys   []jose.JSONWebKey
	asked  time.Time // when the question began that keys answer
	failed error     // of the last question, if it had no answer
	pause  time.Duration
	next   time.Time // there is no other question before
}

// NewOIDC makes an authenticator. It does not ask the provider yet.
func NewOIDC(c OIDCConfig) (*OIDC, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = maxToken
	o := &OIDC{
		config: c,
		checks: oidc.Config{ClientID: c.Audience, Now: func() time.Time { return time.Now().Add(-clockSkew) }},
		client: &http.Client{
			Transport: transport, Timeout: providerTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asking: make(chan struct{}, 1),
	}
	for _, a := range algorithms {
		o.checks.SupportedSigningAlgs = append(o.checks.SupportedSigningAlgs, string(a))
	}
	return o, nil
}

// Authenticate finds the principal of a token. The error is of kind [ErrUnauthenticated]
// if the token is not valid, of kind [ErrForbidden] if it is and grants nothing, and of
// kind [ErrUnavailable] if the provider would have to be asked and does not answer.
func (o *OIDC) Authenticate(ctx context.Context, token string) (Principal, error) {
	refused := func(reason string) (Principal, error) { return Principal{}, &Refusal{ErrUnauthenticated, reason} }
	if len(token) > maxToken {
		return refused("The token is too long.")
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || !forAccess(signed.Signatures[0].Protected) {
		return refused("It is neither an API key nor a token that is signed as it should be.")
	}
	payload, err := o.open(ctx, signed)
	if err != nil {
		return Principal{}, err
	}
	checked, err := oidc.NewVerifier(o.config.Issuer, opened(payload), &o.checks).Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return refused("The token has expired.")
	}
	var said claims
	if err != nil || checked.Claims(&said) != nil {
		return refused("The token is not for this service: its issuer and audience must be those of the settings.")
	}
	// The library gives the provider's clock five minutes here.
	var notBefore float64
	if value, ok := said["nbf"]; ok && (json.Unmarshal(value, &notBefore) != nil || notBefore > float64(time.Now().Add(clockSkew).Unix())) {
		return refused("The token is not valid yet.")
	}
	if !printable(checked.Subject) || len(checked.Subject) > maxSubject {
		return refused("The token has no subject of at most 255 printable ASCII characters.")
	}
	groups, err := said.groups(o.config.GroupsClaim)
	if err != nil {
		return Principal{}, err
	}
	p := Principal{ID: subjectPrefix + checked.Subject, Grants: o.grants(groups)}
	switch {
	case len(p.Grants) == 0:
		return Principal{}, &Refusal{ErrForbidden, "No group of the token has a role here."}
	case len(p.Grants) > maxGrants:
		return Principal{}, &Refusal{ErrForbidden, "The groups of the token have too many roles here."}
	}
	return p, nil
}

// grants are those of groups, in the order of the settings.
func (o *OIDC) grants(groups []string) []Grant {
	member := map[string]bool{}
	for _, g := range groups {
		member[g] = true
	}
	var grants []Grant
	for _, g := range o.config.Grants {
		if member[g.Group] && !slices.Contains(grants, g.Grant) {
			grants = append(grants, g.Grant)
		}
	}
	return grants
}

// forAccess reports whether a token's type, if it says one, is that of an ID token or an
// access token (RFC 9068). Others that a provider signs, for logging out and the like, are
// made for the same audience.
func forAccess(h jose.Header) bool {
	kind, said := h.ExtraHeaders[jose.HeaderType]
	if !said {
		return true
	}
	name, _ := kind.(string)
	return slices.Contains([]string{"jwt", "at+jwt"}, strings.TrimPrefix(strings.ToLower(name), "application/"))
}

// printable reports whether a text is printable ASCII, neither empty nor with spaces around.
func printable(s string) bool {
	return s != "" && strings.Trim(s, " ") == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// opened is the payload of a token whose signature was verified. It implements oidc.KeySet.
type opened []byte

// VerifySignature implements oidc.KeySet.
func (o opened) VerifySignature(context.Context, string) ([]byte, error) { return o, nil }

// open verifies the signature of a token and returns its payload.
func (o *OIDC) open(ctx context.Context, signed *jose.JSONWebSignature) ([]byte, error) {
	arrived := time.Now()
	// If none of the keys that are known has signed it, those that the provider has now decide.
	for _, since := range []time.Time{arrived.Add(-keysFor), arrived} {
		keys, err := o.keysSince(ctx, since)
		if err != nil {
			return nil, err
		}
		header := signed.Signatures[0].Protected
		for _, k := range keys {
			if header.KeyID != "" && header.KeyID != k.KeyID || k.Algorithm != "" && k.Algorithm != header.Algorithm {
				continue
			}
			if payload, err := signed.Verify(k.Key); err == nil {
				return payload, nil
			}
		}
	}
	return nil, &Refusal{ErrUnauthenticated, "The token is not signed by the provider."}
}

// keysSince are the keys of the provider as it had them at a time or later.
func (o *OIDC) keysSince(ctx context.Context, since time.Time) ([]jose.JSONWebKey, error) {
	if known := o.current(); !known.asked.Before(since) {
		return known.keys, nil
	}
	select {
	case o.asking <- struct{}{}:
		defer func() { <-o.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	known := o.current() // somebody may have asked meanwhile
	if !known.asked.Before(since) {
		return known.keys, nil
	}
	if pause := time.Until(known.next); pause > 0 {
		if known.failed != nil {
			return nil, known.failed
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	began := time.Now()
	keys, err := o.ask(context.WithoutCancel(ctx)) // others wait for the answer, too
	if err != nil {
		known.failed, known.pause = fmt.Errorf("%w: %w", ErrUnavailable, err), min(max(2*known.pause, minPause), maxPause)
	} else {
		known = provider{keys: keys, asked: began, pause: minPause}
	}
	known.next = time.Now().Add(known.pause)
	o.mu.Lock()
	o.known = known
	o.mu.Unlock()
	return keys, known.failed
}

func (o *OIDC) current() provider {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known
}

// discover reads how the provider describes itself (OpenID Connect Discovery 1.0, section 4).
func (o *OIDC) discover(ctx context.Context) (is oidc.ProviderConfig, err error) {
	if err := o.get(ctx, strings.TrimSuffix(o.config.Issuer, "/")+"/.well-known/openid-configuration", &is); err != nil {
		return is, fmt.Errorf("discover provider: %w", err)
	}
	if is.IssuerURL != o.config.Issuer {
		return is, fmt.Errorf("discover provider: it calls itself %.200q, and the settings %q", is.IssuerURL, o.config.Issuer)
	}
	return is, nil
}

// Login asks the provider where people log in, and where the code that they come back with is
// exchanged for a token. The error is of kind [ErrUnavailable] if it does not answer.
func (o *OIDC) Login(ctx context.Context) (authorize, exchange string, err error) {
	is, err := o.discover(ctx)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for name, address := range map[string]string{"authorization_endpoint": is.AuthURL, "token_endpoint": is.TokenURL} {
		if _, err := providerURL(address); err != nil {
			return "", "", fmt.Errorf("%w: discover provider: %s: %w", ErrUnavailable, name, err)
		}
	}
	return is.AuthURL, is.TokenURL, nil
}

// Client is the way to the provider.
func (o *OIDC) Client() *http.Client { return o.client }

// ask gets the keys of the provider, by way of its description.
func (o *OIDC) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	is, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := providerURL(is.JWKSURL); err != nil {
		return nil, fmt.Errorf("discover provider: jwks_uri: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := o.get(ctx, is.JWKSURL, &set); err != nil {
		return nil, fmt.Errorf("get keys of provider: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// What is of a kind that nobody here knows is left out (RFC 7517, section 5).
		if json.Unmarshal(raw, &k) == nil && k.IsPublic() && k.Use != "enc" {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("get keys of provider: it has none that tokens could be signed with")
	}
	return keys, nil
}

// get reads JSON from the provider.
func (o *OIDC) get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: status %d", url, answer.StatusCode)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("get %s: %w", url, err)
	case len(content) > maxAnswer:
		return fmt.Errorf("get %s: over %d bytes", url, maxAnswer)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	return nil
}

// claims is what a token says, or an object in it.
type claims map[string]json.RawMessage

// at finds a claim by its name, or by the names on the way to it with points in between. A
// name may have points of its own, as those that are URLs do.
func (c claims) at(path string) json.RawMessage {
	if value, ok := c[path]; ok {
		return value
	}
	for i := range path {
		if path[i] != '.' {
			continue
		}
		var inner claims
		if value, ok := c[path[:i]]; ok && json.Unmarshal(value, &inner) == nil {
			if found := inner.at(path[i+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

// groups are those that a claim names: one, or a list. The error is of kind [ErrForbidden].
func (c claims) groups(path string) ([]string, error) {
	if c.elsewhere(path) {
		return nil, &Refusal{ErrForbidden, "The token does not hold the groups, but says where to ask for them, because they are too many. " +
			"Have the provider write only those into it that have a role here."}
	}
	value := c.at(path)
	var one string
	if value == nil || json.Unmarshal(value, &one) == nil { // null is no group, too
		return []string{one}, nil
	}
	var all []string
	if json.Unmarshal(value, &all) != nil {
		return nil, &Refusal{ErrForbidden, "The claim of the token that should hold the groups is neither a name nor a list of names."}
	}
	return all, nil
}

// elsewhere reports whether a claim was left out, because it would be too long, and is to
// be asked for (OpenID Connect Core 1.0, section 5.6.2). Entra ID does so from 200 groups on,
// and in some tokens says it with hasgroups.
func (c claims) elsewhere(path string) bool {
	var names claims
	if json.Unmarshal(c["_claim_names"], &names) == nil {
		for name := range names {
			if path == name || strings.HasPrefix(path, name+".") {
				return true
			}
		}
	}
	_, has := c["hasgroups"]
	return has && path == "groups" && c[path] == nil
}
