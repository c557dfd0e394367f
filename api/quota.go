package api

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
)

// A service that tells whether a text is registered can be asked about guesses. What one
// caller learns that way is bounded by how often it may ask and by how many documents it
// may be told of, and who asks about one guess after another is noticed. What is
// counted is in memory: look-ups leave nothing behind.

// Quota bounds what one caller of a role learns; zero fields bound nothing.
type Quota struct {
	LookUps   int // a minute; twice as many at once
	Documents int // different ones that answers name, a day
}

const (
	quotaDay = 24 * time.Hour

	// Guesses: as many look-ups in a time that found nothing and are variations of one
	// another. An analyst looks at what people posted, which repeats itself word for word
	// or not at all.
	guessTime = time.Hour
	guesses   = 30

	// guessedAlike is the share of grams from which on a text is a variation of another: of a
	// sentence of a hundred characters in which a number was changed, a third and more stays.
	guessedAlike = 0.25

	// guessMemory is how many texts that were not found are remembered of a caller, as sketches
	// of half a kilobyte.
	guessMemory = 64

	// maxCallers bounds the callers that are counted; above it those are forgotten that have
	// not asked for a day.
	maxCallers = 10_000
)

// quotas counts what callers ask and learn.
type quotas struct {
	limits map[auth.Role]Quota
	alarm  func(ctx context.Context, what string) error

	mu      sync.Mutex
	callers map[string]*asker
}

// asker is what is remembered of a caller.
type asker struct {
	quota     Quota
	pace      *rate.Limiter
	asked     time.Time // last
	since     time.Time // of the documents
	documents map[string]bool
	notFound  []fingerprint.Sketch // the newest last
	guessed   []time.Time
}

// What callers are alarmed about.
const (
	alarmProbing   = "probing"   // it asks about guesses
	alarmDocuments = "documents" // it was told of as many documents as it may
)

// quotaOf is the most generous quota of a caller's roles.
func (q *quotas) quotaOf(p auth.Principal) (most Quota) {
	for i, role := range p.Roles() {
		quota := q.limits[role]
		if i == 0 {
			most = quota
			continue
		}
		most.LookUps, most.Documents = larger(most.LookUps, quota.LookUps), larger(most.Documents, quota.Documents)
	}
	return most
}

// larger is the larger of two bounds; 0 is none.
func larger(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// of is what is remembered of a caller; nil if it has no quota.
func (q *quotas) of(p auth.Principal, now time.Time) *asker {
	quota := q.quotaOf(p)
	if quota == (Quota{}) {
		return nil
	}
	a := q.callers[p.ID]
	if a == nil || a.quota != quota {
		if len(q.callers) >= maxCallers {
			for id, other := range q.callers {
				if now.Sub(other.asked) > quotaDay {
					delete(q.callers, id)
				}
			}
		}
		a = &asker{quota: quota, pace: rate.NewLimiter(rate.Inf, 1), since: now, documents: map[string]bool{}}
		if quota.LookUps > 0 {
			a.pace = rate.NewLimiter(rate.Limit(float64(quota.LookUps)/60), 2*quota.LookUps)
		}
		q.callers[p.ID] = a
	}
	if now.Sub(a.since) >= quotaDay {
		a.since = now
		clear(a.documents)
	}
	a.asked = now
	return a
}

// admit lets a caller ask, or says when it may.
func (q *quotas) admit(p auth.Principal, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.of(p, now)
	if a == nil {
		return nil
	}
	if a.quota.Documents > 0 && len(a.documents) >= a.quota.Documents {
		return &tooMany{a.since.Add(quotaDay).Sub(now), "The answers have named as many documents as this key may be told of in a day."}
	}
	if reserved := a.pace.ReserveN(now, 1); reserved.DelayFrom(now) > 0 {
		wait := reserved.DelayFrom(now)
		reserved.CancelAt(now)
		return &tooMany{wait, "This key may not look up so many in a minute."}
	}
	return nil
}

// wait is admit for whoever sends a stream: it waits for its turn.
func (q *quotas) wait(ctx context.Context, p auth.Principal) error {
	for {
		err := q.admit(p, time.Now())
		later, ok := err.(*tooMany)
		if !ok || later.after > time.Minute {
			return err
		}
		select {
		case <-time.After(later.after):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// told counts what a caller was told: the documents, or, if it found nothing, what it asked
// about.
func (q *quotas) told(ctx context.Context, p auth.Principal, answer *MatchAnswer, grams []fingerprint.Hash, now time.Time) error {
	q.mu.Lock()
	a := q.of(p, now)
	if a == nil {
		q.mu.Unlock()
		return nil
	}
	var alarms []string
	for _, m := range answer.Matches {
		if a.documents[m.Document.ID] || a.quota.Documents == 0 {
			continue
		}
		if a.documents[m.Document.ID] = true; len(a.documents) == a.quota.Documents {
			alarms = append(alarms, alarmDocuments)
		}
	}
	if len(answer.Matches) == 0 && len(grams) > 0 && a.guesses(fingerprint.SketchOf(grams), now) {
		alarms = append(alarms, alarmProbing)
	}
	q.mu.Unlock()
	for _, what := range alarms {
		if err := q.alarm(ctx, what); err != nil {
			return err
		}
	}
	return nil
}

// guesses notes a text that was not found, and reports whether it is one guess too many.
func (a *asker) guesses(text fingerprint.Sketch, now time.Time) bool {
	variation := slices.ContainsFunc(a.notFound, func(other fingerprint.Sketch) bool {
		return !slices.Equal(other, text) && other.Resemblance(text) >= guessedAlike
	})
	if !slices.ContainsFunc(a.notFound, func(other fingerprint.Sketch) bool { return slices.Equal(other, text) }) {
		a.notFound = append(a.notFound, text)
		a.notFound = a.notFound[max(0, len(a.notFound)-guessMemory):]
	}
	if !variation {
		return false
	}
	a.guessed = slices.DeleteFunc(a.guessed, func(at time.Time) bool { return now.Sub(at) > guessTime })
	if a.guessed = append(a.guessed, now); len(a.guessed) < guesses {
		return false
	}
	a.guessed = nil
	return true
}

// tooMany is a look-up that has to wait.
type tooMany struct {
	after  time.Duration
	reason string
}

func (e *tooMany) Error() string { return "too many look-ups" }

// seconds is how long to wait, rounded up.
func (e *tooMany) seconds() int { return int(math.Ceil(e.after.Seconds())) }
