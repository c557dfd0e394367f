package console

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

const (
	// What was looked up is kept so long that somebody can read its evidence and take a report
	// away, within bounds: in all, and for one session.
	keptFor    = time.Hour
	maxShelf   = 512 << 20
	maxLookUps = 20
)

// lookedUp is something that was looked up.
type lookedUp struct {
	id      string
	session string
	at      time.Time

	text    string // if it was a text
	file    []byte // if it was a file
	name    string // of the file, as the browser said
	about   string // the alert that it is evidence for; empty: none
	answer  *client.MatchAnswer
	picture string // its media type if browsers can show it; else empty
}

func (l *lookedUp) size() int { return len(l.text) + len(l.file) + 1<<10 }

// shelf keeps what was looked up, in memory alone.
type shelf struct {
	mu    sync.Mutex
	items []*lookedUp // oldest first
	most  int         // bytes
	now   func() time.Time
}

func newShelf() *shelf { return &shelf{most: maxShelf, now: time.Now} }

// put keeps something, and forgets what is too old or too much.
func (s *shelf) put(l *lookedUp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.id, l.at = rand.Text(), s.now()
	s.items = append(s.items, l)
	s.expire()
	own, all := 0, 0
	for i := len(s.items) - 1; i >= 0; i-- { // the newest stay
		item := s.items[i]
		if item.session == l.session {
			own++
		}
		all += item.size()
		if all > s.most && i < len(s.items)-1 || item.session == l.session && own > maxLookUps {
			s.items[i] = nil
			all -= item.size()
		}
	}
	s.items = slices.DeleteFunc(s.items, func(l *lookedUp) bool { return l == nil })
}

func (s *shelf) expire() {
	now := s.now()
	s.items = slices.DeleteFunc(s.items, func(l *lookedUp) bool { return now.Sub(l.at) > keptFor })
}

// get finds what a session has looked up; nil: it is not there, or not any more.
func (s *shelf) get(session, id string) *lookedUp {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for _, l := range s.items {
		if l.id == id && l.session == session {
			return l
		}
	}
	return nil
}

// clear forgets what a session has looked up.
func (s *shelf) clear(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = slices.DeleteFunc(s.items, func(l *lookedUp) bool { return l.session == session })
}

// of lists what a session has looked up, newest first.
func (s *shelf) of(session string) (all []*lookedUp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for _, l := range slices.Backward(s.items) {
		if l.session == session {
			all = append(all, l)
		}
	}
	return all
}
