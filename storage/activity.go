package storage

import "time"

// Activity is what happened of late, and what waits for somebody.
type Activity struct {
	Documents int // that are not withdrawn
	// Registered counts documents by the day of their registration, withdrawn ones, too.
	Registered []int
	Gaps       int
	// Open counts the alerts that nobody decided on, by their state, and OldestOpen is when the
	// first of them was made; zero if there is none.
	Open       map[AlertState]int
	OldestOpen time.Time
	// Decided counts the alerts on which somebody decided in these days, by what they are now.
	Decided map[AlertState]int
}
