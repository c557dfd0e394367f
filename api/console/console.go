// Package console is the console that people use in a browser: look-ups with their evidence,
// the queue of alerts, documents and what is done about them.
//
// It is a client of the API and nothing more. Whatever a page shows was asked for through
// [client.Client], in the same process and with the credential of whoever signed in, so that
// scope, roles, quotas and the audit log hold here as they do for everybody else, and nothing
// can be seen here that could not be asked for.
//
// Pages are made on the server and can be read and used without scripts; one small script adds
// what only scripts can do: panes that scroll together, keys, an overlay, dropped files. All
// that was submitted or registered is hostile, and goes through html/template, which escapes by
// context; the Content-Security-Policy allows nothing but our own files.
//
// What is looked up is kept in memory for a while ([shelf]), for whoever looked it up, and
// nowhere else.
package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sealprint/sealprint/api/client"
)

// Options are what a console works with.
type Options struct {
	// API answers all that is asked.
	API http.Handler
	// Provider is where people log in; nil: they sign in with API keys.
	Provider *Provider
	Version  string
	Log      *slog.Logger
}

// Console implements http.Handler.
type Console struct {
	Options
	mux       *http.ServeMux
	direct    *http.Client // to the API
	sessions  *sessions
	shelf     *shelf
	pages     map[string]*template.Template
	protected http.Handler
}

// New makes a console.
func New(o Options) (*Console, error) {
	c := &Console{Options: o, mux: http.NewServeMux(), direct: &http.Client{Transport: direct{o.API}}, sessions: newSessions(), shelf: newShelf()}
	var err error
	if c.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("read pages of the console: %w", err)
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	c.mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(static))))
	c.mux.HandleFunc("GET /sign-in", c.open(signInPage))
	c.mux.HandleFunc("POST /sign-in", c.open(signIn))
	c.mux.HandleFunc("POST /sign-out", c.open(signOut))
	c.mux.HandleFunc("GET /sign-in/provider", c.open(toProvider))
	c.mux.HandleFunc("GET /sign-in/callback", c.open(fromProvider))
	c.mux.HandleFunc("POST /language", c.open(setLanguage))
	c.mux.HandleFunc("GET /", c.signedIn(func(v *visit) error { return errNotFound }))
	for pattern, handle := range routes {
		c.mux.HandleFunc(pattern, c.signedIn(handle))
	}
	// Forms of other sites are refused, by what browsers say about where a request comes from.
	c.protected = http.NewCrossOriginProtection().Handler(c.mux)
	return c, nil
}

// routes are the pages for whoever is signed in. What they may do there the API decides.
var routes = map[string]handler{
	"GET /{$}":                            lookUpPage,
	"POST /look-ups":                      lookUp,
	"GET /look-ups/{id}":                  lookUpResult,
	"GET /look-ups/{id}/suspect":          suspectPicture,
	"GET /look-ups/{id}/report":           takeAway,
	"GET /alerts":                         queuePage,
	"GET /alerts/{id}":                    alertPage,
	"POST /alerts/{id}/disposition":       decide,
	"GET /alerts/{id}/removal":            removalPage,
	"POST /alerts/{id}/removal":           removal,
	"GET /documents":                      documentsPage,
	"POST /documents":                     register,
	"GET /documents/{id}":                 documentPage,
	"POST /documents/{id}":                changeDocument,
	"POST /documents/{id}/releases":       release,
	"POST /documents/{id}/revocations":    revokeRelease,
	"POST /documents/{id}/withdrawal":     withdraw,
	"GET /documents/{id}/pages/{page}":    readPage,
	"GET /documents/{id}/pictures/{page}": pagePicture,
	"GET /registrations":                  registrationsPage,
	"POST /registrations":                 startRegistration,
	"GET /registrations/{id}":             registrationPage,
	"POST /registrations/{id}/cancel":     cancelRegistration,
	"GET /coverage":                       coveragePage,
	"GET /webhooks":                       webhooksPage,
	"POST /webhooks":                      createWebhook,
	"GET /webhooks/{id}":                  webhookPage,
	"POST /webhooks/{id}":                 changeWebhook,
	"GET /keys":                           keysPage,
	"POST /keys":                          createKey,
	"POST /keys/{id}/revoke":              revokeKey,
	"GET /audit":                          auditPage,
	"POST /audit/verify":                  verifyAudit,
	"GET /service":                        servicePage,
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // mails and other sites learn no id
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.protected.ServeHTTP(w, r)
}

// policy is the Content-Security-Policy of all pages: files of our own, forms to ourselves, and
// no frames.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// cached has files of ours kept by the browser for an hour.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		next.ServeHTTP(w, r)
	})
}

// handler answers a visit. Its error becomes a page.
type handler func(v *visit) error

// visit is one request to the console.
type visit struct {
	*Console
	*language
	w       http.ResponseWriter
	r       *http.Request
	session *session       // nil before somebody signs in
	caller  *client.Caller // as well
	api     *client.Client // as well
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// open answers visits of anybody.
func (c *Console) open(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Console: c, language: languageOf(r), w: w, r: r}
		if err := h(v); err != nil {
			v.fail(err)
		}
	}
}

// signedIn answers visits of people who signed in; others are asked to.
func (c *Console) signedIn(h handler) http.HandlerFunc {
	return c.open(func(v *visit) error {
		v.session = c.sessions.of(v.r)
		if v.session == nil {
			return v.askToSignIn()
		}
		err := v.identify()
		if errors.Is(err, client.ErrUnauthenticated) && v.renew() == nil {
			err = v.identify()
		}
		if errors.Is(err, client.ErrUnauthenticated) { // revoked, or at its end
			c.sessions.end(v.session)
			return v.askToSignIn()
		}
		if err != nil {
			return err
		}
		return h(v)
	})
}

// identify asks who the visitor is.
func (v *visit) identify() (err error) {
	credential, _ := v.sessions.credentials(v.session)
	v.api, v.caller, err = v.as(credential)
	return err
}

// as asks who a credential is of, and is the way to the API with it.
func (v *visit) as(credential string) (*client.Client, *client.Caller, error) {
	api, err := client.New("http://console", credential, client.WithHTTPClient(v.direct))
	if err != nil {
		return nil, nil, err
	}
	caller, err := api.Whoami(v.ctx())
	return api, caller, err
}

func (v *visit) askToSignIn() error {
	to := "/"
	if v.r.Method == http.MethodGet {
		to = v.r.URL.RequestURI()
	}
	return v.goTo("/sign-in?" + url.Values{"to": {to}}.Encode())
}

// goTo leads the browser to another page of the console.
func (v *visit) goTo(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// localPath is where to go after something, if it is a page of ours.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// May reports whether the caller has one of the roles, or is an administrator.
func (v *visit) May(roles ...client.Role) bool {
	if v.caller == nil {
		return false
	}
	for _, g := range v.caller.Grants {
		if g.Role == client.Admin || slices.Contains(roles, g.Role) {
			return true
		}
	}
	return false
}

// Everywhere reports whether the caller reaches all departments.
func (v *visit) Everywhere() bool {
	for _, g := range v.caller.Grants {
		if g.Department == "" {
			return true
		}
	}
	return false
}

// errNotFound is the error for pages that are not there.
var errNotFound = &client.ProblemError{Problem: client.Problem{Status: http.StatusNotFound, Title: "Not found"}}

// fail shows an error as a page.
func (v *visit) fail(err error) {
	problem := &client.ProblemError{}
	switch {
	case v.ctx().Err() != nil:
		return
	case errors.As(err, &problem):
	case errors.Is(err, client.ErrUnavailable):
		problem.Status, problem.Title = http.StatusServiceUnavailable, "Service unavailable"
	default:
		problem.Status, problem.Title = http.StatusInternalServerError, "Internal error"
		v.Log.Error("the console failed", "path", v.r.Pattern, "error", err)
	}
	var largest *http.MaxBytesError
	if errors.As(err, &largest) {
		problem.Status, problem.Title, problem.Detail = http.StatusRequestEntityTooLarge, "Too large", fmt.Sprintf("at most %d MB", largest.Limit>>20)
	}
	if err := v.show(problem.Status, "error", v.T("That did not work"), problem); err != nil {
		v.Log.Error("the console failed", "path", v.r.Pattern, "error", err)
	}
}

// direct is the way to the API within the process.
type direct struct{ api http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	inner := r.Clone(r.Context())
	inner.RequestURI, inner.RemoteAddr = r.URL.RequestURI(), "console"
	if inner.Header.Get("X-Purpose") == "" {
		inner.Header.Set("X-Purpose", "console")
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	d.api.ServeHTTP(w, inner)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer is what the API answers, in memory: a page of a list, of a document, a picture.
type answer struct {
	header  http.Header
	status  int
	written bool
	body    bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.written {
		a.status, a.written = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.written = true
	return a.body.Write(b)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {}
