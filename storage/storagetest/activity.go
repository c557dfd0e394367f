package storagetest

import (
	"fmt"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// activity: what is counted is what the scope covers, of the days that are asked for.
func (s *registrySuite) activity() {
	const days = 3
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	check := func(scope storage.Scope, want storage.Activity) {
		s.Helper()
		got, err := s.r.Activity(s.Context(), scope, from, days)
		s.ok(err)
		s.equal(got, want)
	}
	none := func() storage.Activity {
		return storage.Activity{Registered: make([]int, days), Open: map[storage.AlertState]int{}, Decided: map[storage.AlertState]int{}}
	}
	check(everywhere, none())
	// Of each department a document of each of these times, of which the first and the last
	// are too early and too late.
	at := []time.Duration{-time.Microsecond, 0, 24*time.Hour - time.Microsecond, 24 * time.Hour, days*24*time.Hour - time.Microsecond, days * 24 * time.Hour}
	for _, department := range []string{"finance", "finance/budget", "works"} {
		for i, after := range at {
			c := s.register(fmt.Sprintf("doc_%s_%d", department, i), department)
			c.Documents[0].CreatedAt = from.Add(after)
			c.Gaps = []storage.Gap{{SourceKey: storage.SourceKey{Department: department, Collection: "papers", Source: fmt.Sprint("/gap/", i)}, Outcome: "failed", Status: "damaged", Since: aMoment, TriedAt: aMoment}}
			s.put(c)
		}
	}
	_, err := s.r.Withdraw(s.Context(), everywhere, "doc_works_1", storage.Withdrawal{At: aMoment, By: "key1", Reason: "because"})
	s.ok(err)
	_, err = s.r.Delete(s.Context(), everywhere, "doc_works_2")
	s.ok(err)

	var changes storage.Intake
	for i, department := range []string{"finance", "finance/budget", "works", "works", "works"} {
		a := alert(fmt.Sprint("alr_", i), department, "doc_x")
		a.CreatedAt = aMoment.Add(-time.Duration(i) * time.Hour)
		changes.Alerts = append(changes.Alerts, a)
	}
	s.ok(s.r.TakeIn(s.Context(), changes))
	decide := func(id storage.AlertID, at time.Time, states ...storage.AlertState) {
		for i, to := range states[1:] {
			_, err := s.r.Decide(s.Context(), everywhere, storage.AlertChange{Alert: id, At: at, Actor: "key1", From: states[i], To: to, Reason: "because"}, nil,
				storage.Event{ID: storage.EventID(storage.NewID("evt")), Type: storage.AlertUpdated, Alert: id, At: at})
			s.ok(err)
		}
	}
	decide("alr_1", from, storage.AlertNew, storage.AlertConfirmed, storage.AlertFalseMatch, storage.AlertConfirmed)
	decide("alr_2", from, storage.AlertNew, storage.AlertFalseMatch)
	decide("alr_3", from.Add(-time.Microsecond), storage.AlertNew, storage.AlertFalseMatch) // too early
	decide("alr_4", from, storage.AlertNew, storage.AlertConfirmed, storage.AlertTriage)    // taken back
	s.crash()

	finance, works, all := none(), none(), none()
	finance.Documents, finance.Gaps, finance.Registered = 12, 12, []int{4, 2, 2}
	finance.Open[storage.AlertNew], finance.Decided[storage.AlertConfirmed], finance.OldestOpen = 1, 1, aMoment
	works.Documents, works.Gaps, works.Registered = 4, 6, []int{1, 1, 1}
	works.Open[storage.AlertTriage], works.Decided[storage.AlertFalseMatch], works.OldestOpen = 1, 1, aMoment.Add(-4*time.Hour)
	all.Documents, all.Gaps, all.Registered = 16, 18, []int{5, 3, 3}
	all.Open = map[storage.AlertState]int{storage.AlertNew: 1, storage.AlertTriage: 1}
	all.Decided = map[storage.AlertState]int{storage.AlertConfirmed: 1, storage.AlertFalseMatch: 1}
	all.OldestOpen = works.OldestOpen
	check(storage.Branches("finance"), finance)
	check(storage.Branches("works"), works)
	check(everywhere, all)
	check(storage.Branches("finance", "works"), all)
	check(storage.Branches("fin"), none())
	check(storage.Scope{}, none())
}
