package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/sealprint/sealprint/api/client"
)

// Provider is where people log in, by OpenID Connect: the authorization code flow with PKCE
// (RFC 7636), so that a code is worth nothing to whoever sees it.
type Provider struct {
	ClientID     string
	ClientSecret string // empty: a public client
	RedirectURL  string // of /sign-in/callback, as the provider knows it
	Scopes       []string
	HTTP         *http.Client // the way to it
	// Login asks where people log in, and where codes are exchanged.
	Login func(ctx context.Context) (authorize, exchange string, err error)
}

const (
	loginCookie = "sealprint_login"
	// loginFor is how long somebody may take to log in at the provider.
	loginFor = 10 * time.Minute
)

func (p *Provider) config(ctx context.Context) (*oauth2.Config, error) {
	authorize, exchange, err := p.Login(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: p.RedirectURL, Scopes: append([]string{"openid"}, p.Scopes...),
		Endpoint: oauth2.Endpoint{AuthURL: authorize, TokenURL: exchange},
	}, nil
}

// nonceOf is what a token says that it was asked for with. Whether the token is genuine the API
// finds out.
func nonceOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var said struct {
		Nonce string `json:"nonce"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &said) != nil {
		return ""
	}
	return said.Nonce
}

// toProvider sends the browser to the provider. What has to be the same when it comes back is
// in a cookie of this browser: state, nonce, verifier, and where to go then.
func toProvider(v *visit) error {
	if v.Provider == nil {
		return errNotFound
	}
	config, err := v.Provider.config(v.ctx())
	if err != nil {
		return err
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	v.setCookie(loginCookie, strings.Join([]string{state, nonce, verifier, url.QueryEscape(localPath(v.r.URL.Query().Get("to")))}, "|"), int(loginFor/time.Second))
	http.Redirect(v.w, v.r, config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce)), http.StatusSeeOther)
	return nil
}

// fromProvider takes the code that the browser brings back.
func fromProvider(v *visit) error {
	if v.Provider == nil {
		return errNotFound
	}
	query := v.r.URL.Query()
	cookie, err := v.r.Cookie(loginCookie)
	if err != nil {
		return v.refuse("/", v.T("That took too long. Please sign in again."))
	}
	v.setCookie(loginCookie, "", -1)
	kept := strings.Split(cookie.Value, "|")
	if len(kept) != 4 || subtle.ConstantTimeCompare([]byte(kept[0]), []byte(query.Get("state"))) != 1 {
		return v.refuse("/", v.T("That took too long. Please sign in again."))
	}
	if query.Get("error") != "" {
		return v.refuse("/", v.T("The identity provider refused."))
	}
	config, err := v.Provider.config(v.ctx())
	if err != nil {
		return err
	}
	ctx := context.WithValue(v.ctx(), oauth2.HTTPClient, v.Provider.HTTP)
	token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(kept[2]))
	if err != nil {
		var answered *oauth2.RetrieveError
		if errors.As(err, &answered) {
			return v.refuse("/", v.T("The identity provider refused."))
		}
		return fmt.Errorf("%w: exchange code at the identity provider: %w", client.ErrUnavailable, err)
	}
	id, ok := token.Extra("id_token").(string)
	if !ok {
		return v.refuse("/", v.T("The identity provider refused."))
	}
	if subtle.ConstantTimeCompare([]byte(nonceOf(id)), []byte(kept[1])) != 1 {
		return v.refuse("/", v.T("The identity provider refused."))
	}
	to, err := url.QueryUnescape(kept[3])
	if err != nil {
		to = "/"
	}
	return v.admit(id, token.RefreshToken, localPath(to))
}

// errNoRenewal is the error for a session that the provider does not go on with.
var errNoRenewal = errors.New("the provider gives no other token")

// renew asks the provider for another token when the one of a session is at its end: they are
// short-lived, and nobody logs in every few minutes.
func (v *visit) renew() error {
	_, refresh := v.sessions.credentials(v.session)
	if v.Provider == nil || refresh == "" {
		return errNoRenewal
	}
	config, err := v.Provider.config(v.ctx())
	if err != nil {
		return err
	}
	ctx := context.WithValue(v.ctx(), oauth2.HTTPClient, v.Provider.HTTP)
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return fmt.Errorf("renew token: %w", err)
	}
	id, ok := token.Extra("id_token").(string)
	if !ok {
		return errNoRenewal
	}
	v.sessions.renew(v.session, id, cmp.Or(token.RefreshToken, refresh))
	return nil
}
