package match

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// release takes back the alerts about what was released when the suspect was seen.
//
// A release clears its document, in all versions, and what drafts and copies in the same
// department have in common with it; never a document of another department. What is left
// when the characters that it covers do not count has to be an alert by itself.
func (m *Matcher) release(ctx context.Context, s *search, candidates []*candidate, sup *suppression, seenAt time.Time) error {
	var alerts []*candidate
	var ids []storage.DocumentID
	for _, c := range candidates {
		if c.disposition == Alert {
			alerts = append(alerts, c)
			ids = append(ids, c.known.Document.ID)
		}
	}
	if len(alerts) == 0 {
		return nil
	}
	slices.Sort(ids)
	releases, err := m.Documents.ReleasesOf(ctx, slices.Compact(ids))
	if err != nil {
		return fmt.Errorf("look up releases: %w", err)
	}
	in := map[string]*suppression{} // by department
	for _, c := range alerts {
		for _, r := range releases[c.known.Document.ID] {
			if !r.Holds(seenAt) {
				continue
			}
			department := c.known.Document.Department
			if in[department] == nil {
				in[department] = &suppression{why: slices.Clone(sup.why), filled: sup.filled}
			}
			if err := m.cover(ctx, c, &r, in[department]); err != nil {
				return err
			}
		}
	}
	for _, c := range alerts {
		released := in[c.known.Document.Department]
		if released == nil {
			continue
		}
		c.sup = released
		c.rest = released.rest(c)
		c.own = s.together(c.rest)
		c.judge(released)
	}
	return nil
}

// cover marks the characters of the suspect that are released.
func (m *Matcher) cover(ctx context.Context, c *candidate, r *storage.Release, sup *suppression) error {
	released := func(hit) bool { return true }
	if !r.Whole() {
		places, err := m.places(ctx, c)
		if err != nil {
			return err
		}
		released = func(h hit) bool {
			span := fingerprint.Span{Start: int(h.position), End: int(h.position) + fingerprint.GramSpan}
			return !slices.ContainsFunc(places.Of(span), func(p fingerprint.Place) bool { return !covered(r, p) })
		}
	}
	why := AuthorizedRelease
	if r.Kind == storage.Excluded {
		why = PublicText
	}
	c.coverBy(fillGap, released, func(i int) {
		if sup.why[i] == "" || sup.why[i] == PublicText { // an authority says more
			sup.why[i] = why
		}
	})
	return nil
}

// covered reports whether a release covers a place.
func covered(r *storage.Release, p fingerprint.Place) bool {
	return r.Whole() ||
		slices.ContainsFunc(r.Pages, func(pages storage.PageRange) bool { return pages.First <= p.Page && p.Page <= pages.Last }) ||
		slices.ContainsFunc(r.Passages, func(s storage.PageSpan) bool {
			return s.Page == p.Page && (s.End == 0 || s.Start <= p.Start && p.End <= s.End)
		})
}

// releaseSightings does the same for pages that a picture shows: a page is released as a
// whole.
func (s *pictureSearch) releaseSightings(ctx context.Context) error {
	var ids []storage.DocumentID
	for _, f := range s.sightings {
		if f.disposition == Alert {
			ids = append(ids, f.known.Document.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	// What looks the same may be released as another document of the department.
	for _, f := range s.sightings {
		ids = append(ids, f.known.Document.ID)
	}
	slices.Sort(ids)
	releases, err := s.m.Documents.ReleasesOf(ctx, slices.Compact(ids))
	if err != nil {
		return fmt.Errorf("look up releases: %w", err)
	}
	why := func(f *sighting) Disposition {
		found := Disposition("")
		for _, r := range releases[f.known.Document.ID] {
			if !r.Holds(s.q.SeenAt) || !covered(&r, fingerprint.Place{Page: f.drawing.Page}) || f.drawing.Part == storage.AsPrinted && !r.Whole() {
				continue
			}
			if r.Kind == storage.Authorized {
				return AuthorizedRelease
			}
			found = PublicText
		}
		return found
	}
	for _, f := range s.sightings {
		if f.disposition != Alert {
			continue
		}
		for _, o := range s.sightings {
			same := o == f || o.known.Document.Department == f.known.Document.Department && commonShare(o.box, f.box) >= sameRegion && f.agreement()-o.agreement() <= asGood
			if reason := why(o); same && reason != "" {
				f.disposition = reason
				if reason == AuthorizedRelease {
					break
				}
			}
		}
	}
	return nil
}
