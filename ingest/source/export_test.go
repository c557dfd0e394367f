package source

import "time"

// SetStall shortens what tests wait for.
func (s *S3) SetStall(d time.Duration) { s.stall = d }
