package api

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// activityDays is how many days decisions and registrations are counted of, today included.
const activityDays = 30

// GetActivity implements GET /v1/activity.
func (s *Server) GetActivity(ctx context.Context, _ GetActivityRequestObject) (GetActivityResponseObject, error) {
	now := time.Now().UTC()
	from := now.Truncate(24*time.Hour).AddDate(0, 0, 1-activityDays)
	counted, err := s.Registry.Activity(ctx, scope(ctx), from, activityDays)
	if err != nil {
		return nil, err
	}
	pending, err := s.Ingest.Undrawn(ctx, scope(ctx))
	if err != nil {
		return nil, err
	}
	answer := Activity{
		Alerts:    AlertActivity{Open: byState(counted.Open), OldestOpenAt: counted.OldestOpen, Decided: byState(counted.Decided)},
		Documents: DocumentActivity{Total: counted.Documents, PendingPages: pending, Gaps: counted.Gaps, Registered: make([]ActivityDay, 0, activityDays)},
	}
	for i, n := range counted.Registered {
		answer.Documents.Registered = append(answer.Documents.Registered, ActivityDay{At: from.AddDate(0, 0, i), Documents: n})
	}
	if scope(ctx).All() {
		if answer.Service, err = s.serviceActivity(ctx, now); err != nil {
			return nil, err
		}
	}
	return GetActivity200JSONResponse(answer), nil
}

// serviceActivity is what belongs to no department.
func (s *Server) serviceActivity(ctx context.Context, now time.Time) (*ServiceActivity, error) {
	texts, err := s.Index.Stats(ctx)
	if err != nil {
		return nil, err
	}
	pages, err := s.Pages.Stats(ctx)
	if err != nil {
		return nil, err
	}
	backlog, _, err := s.Webhooks.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	service := s.tally.told(now)
	service.IndexBytes, service.WebhookBacklog = texts.Bytes+pages.Bytes, backlog
	return service, nil
}

func byState(counts map[storage.AlertState]int) map[string]int {
	out := make(map[string]int, len(counts))
	for state, n := range counts {
		out[string(state)] = n
	}
	return out
}

// tally counts look-ups and posts by verdict, since the server started, minute by minute and
// hour by hour. Older ones are forgotten; none is ever written anywhere.
type tally struct {
	mu      sync.Mutex
	since   time.Time
	minutes series
	hours   series
}

func newTally(now time.Time) *tally {
	return &tally{since: now.UTC(), minutes: series{time.Minute, make([]interval, 60)}, hours: series{time.Hour, make([]interval, 24)}}
}

// lookUp counts a look-up, and post a post.
func (t *tally) lookUp(verdict string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.minutes.at(now).lookUps[verdict]++
	t.hours.at(now).lookUps[verdict]++
}

func (t *tally) post(verdict string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.minutes.at(now).posts[verdict]++
	t.hours.at(now).posts[verdict]++
}

// told is what was counted, in the shape of the API.
func (t *tally) told(now time.Time) *ServiceActivity {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &ServiceActivity{Since: t.since, Minutes: t.minutes.told(now), Hours: t.hours.told(now)}
}

// series counts in intervals of one length, and keeps the newest.
type series struct {
	step time.Duration
	kept []interval // each in the place of its number, modulo how many there are
}

type interval struct {
	number         int64 // since 1970
	lookUps, posts map[string]int
}

func (s *series) number(at time.Time) int64 { return at.UnixNano() / int64(s.step) }

// at is the interval of a time, which is now.
func (s *series) at(now time.Time) *interval {
	n := s.number(now)
	i := &s.kept[n%int64(len(s.kept))]
	if i.number != n {
		*i = interval{n, map[string]int{}, map[string]int{}}
	}
	return i
}

// told lists the intervals up to now, also those in which nothing happened.
func (s *series) told(now time.Time) []ActivityInterval {
	newest := s.number(now)
	all := make([]ActivityInterval, 0, len(s.kept))
	for n := newest - int64(len(s.kept)) + 1; n <= newest; n++ {
		one := ActivityInterval{At: time.Unix(0, n*int64(s.step)).UTC(), LookUps: map[string]int{}, Posts: map[string]int{}}
		if i := s.kept[n%int64(len(s.kept))]; i.number == n {
			maps.Copy(one.LookUps, i.lookUps)
			maps.Copy(one.Posts, i.posts)
		}
		all = append(all, one)
	}
	return all
}
