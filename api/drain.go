package api

import (
	"sync"
	"time"
)

// A server that is to stop says so at /readyz first, and goes on answering until whoever
// watches that has heard it and sends requests elsewhere. Only then it takes no more.

const (
	// Whoever has asked within watched watches. It is told so many times, since one failure
	// decides nothing for most balancers, and has a moment then to act on it; but an answer that
	// never comes is not waited for longer than maxDrain.
	watched  = time.Minute
	tellings = 3
	moment   = 500 * time.Millisecond
	maxDrain = 10 * time.Second
)

// drain is how far a server is with stopping.
type drain struct {
	mu       sync.Mutex
	last     time.Time // that anybody asked
	stopping bool
	left     int // tellings
	told     chan struct{}
}

// asked notes that somebody asks, and reports whether the server stops.
func (d *drain) asked(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = now
	if d.stopping && d.left > 0 {
		if d.left--; d.left == 0 {
			close(d.told)
		}
	}
	return d.stopping
}

// begun reports whether the server stops.
func (d *drain) begun() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopping
}

// Drain has /readyz say that the server stops, and returns when those who watch it know. Until
// then everything is answered as before, over connections that end with the answer.
func (s *Server) Drain() {
	d := &s.drain
	d.mu.Lock()
	d.stopping, d.left, d.told = true, tellings, make(chan struct{})
	isWatched := time.Since(d.last) < watched
	d.mu.Unlock()
	if !isWatched {
		return
	}
	select {
	case <-d.told:
		time.Sleep(moment)
	case <-time.After(maxDrain):
	}
}
