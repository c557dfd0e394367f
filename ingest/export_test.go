package ingest

import "time"

// SetOutage shortens what tests wait for.
func (r *Registrar) SetOutage(d time.Duration) { r.outage = d }

const (
	MaxAhead   = maxAhead
	MaxFetches = maxFetches
)
