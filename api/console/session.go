package console

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

const (
	sessionCookie = "sealprint_session"

	// A session ends when nobody used it for an hour, and after a working day.
	idleFor    = time.Hour
	sessionFor = 12 * time.Hour

	// maxSessions bounds the memory of sessions; the one that was not used for longest goes.
	maxSessions = 10_000
)

// session is somebody who signed in.
type session struct {
	id         string // what the cookie says
	credential string // a key, or a token of the provider
	refresh    string // by which the provider gives another token; empty: it does not
	since      time.Time
	used       time.Time
}

// sessions are kept in memory: signing out ends them, and so does a restart.
type sessions struct {
	mu  sync.Mutex
	all map[string]*session
	now func() time.Time
}

func newSessions() *sessions { return &sessions{all: map[string]*session{}, now: time.Now} }

func (s *sessions) of(r *http.Request) *session {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, now := s.all[cookie.Value], s.now()
	if found == nil {
		return nil
	}
	if now.Sub(found.used) > idleFor || now.Sub(found.since) > sessionFor {
		delete(s.all, found.id)
		return nil
	}
	found.used = now
	return found
}

// credentials are those of a session: they change when the provider gives another token.
func (s *sessions) credentials(of *session) (credential, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return of.credential, of.refresh
}

// renew changes the credentials of a session.
func (s *sessions) renew(of *session, credential, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of.credential, of.refresh = credential, refresh
}

func (s *sessions) begin(credential, refresh string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxSessions {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.all)), func(a, b *session) int { return a.used.Compare(b.used) })
		delete(s.all, oldest.id)
	}
	now := s.now()
	begun := &session{id: rand.Text(), credential: credential, refresh: refresh, since: now, used: now}
	s.all[begun.id] = begun
	return begun
}

func (s *sessions) end(ended *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, ended.id)
}

// setCookie sets a cookie that scripts do not see and other sites do not send; links from mails
// do. It is for encrypted connections only if this is one.
func (v *visit) setCookie(name, value string, seconds int) {
	http.SetCookie(v.w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: v.r.TLS != nil || v.r.Header.Get("X-Forwarded-Proto") == "https",
	})
}

// signInData is what the page of that name shows.
type signInData struct {
	To       string
	Provider bool
	Wrong    string
}

func signInPage(v *visit) error {
	return v.show(http.StatusOK, "sign-in", v.T("Sign in"), signInData{To: localPath(v.r.URL.Query().Get("to")), Provider: v.Provider != nil})
}

// maxForm bounds forms without files, in bytes: a text of 2 MB, written in percents, fits.
const maxForm = 8 << 20

func (v *visit) parseForm() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	return v.r.ParseForm()
}

func signIn(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	to := localPath(v.r.PostForm.Get("to"))
	key := strings.TrimSpace(v.r.PostForm.Get("key"))
	if key == "" {
		return v.refuse(to, v.T("Please enter a key."))
	}
	return v.admit(key, "", to)
}

// refuse asks to sign in once more, and says why.
func (v *visit) refuse(to, why string) error {
	return v.show(http.StatusUnauthorized, "sign-in", v.T("Sign in"), signInData{To: to, Provider: v.Provider != nil, Wrong: why})
}

// admit begins a session for a credential that is valid.
func (v *visit) admit(credential, refresh, to string) error {
	_, _, err := v.as(credential)
	if errors.Is(err, client.ErrUnauthenticated) || errors.Is(err, client.ErrForbidden) {
		return v.refuse(to, v.T("This is not valid, or not any more."))
	}
	if err != nil {
		return err
	}
	if before := v.sessions.of(v.r); before != nil {
		v.sessions.end(before)
	}
	begun := v.sessions.begin(credential, refresh)
	v.setCookie(sessionCookie, begun.id, int(sessionFor/time.Second))
	return v.goTo(to)
}

func signOut(v *visit) error {
	if s := v.sessions.of(v.r); s != nil {
		v.sessions.end(s)
		v.shelf.clear(s.id)
	}
	v.setCookie(sessionCookie, "", -1)
	return v.goTo("/sign-in")
}
