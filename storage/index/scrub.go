package index

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/sealprint/sealprint/storage"
)

const (
	// scrubEvery is how often everything on disk is read and compared with its
	// checksums. Between two readings a damaged frame may hide what it holds.
	scrubEvery = 24 * time.Hour
	// scrubRate is how many bytes a second that takes, a fraction of what a disk gives.
	scrubRate = 32 << 20
)

// scrub looks for damage as long as the index is open: look-ups do not compare what
// they read with checksums. First of all it has the heads of frames read, for without
// them in memory a look-up waits for the disk once for each fingerprint, and not only
// for those that it finds.
func (ix *Index) scrub(ctx context.Context) {
	ix.eachSegment(ctx, func(s *segment) error {
		s.readAhead(s.section[sectionDirectory])
		for _, f := range s.frames {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.readAhead(s.section[sectionFrames][f.at:s.layout(f).rows])
		}
		return nil
	})
	limit := rate.NewLimiter(scrubRate, syncEvery)
	for {
		ix.eachSegment(ctx, func(s *segment) error {
			for i := range s.frames {
				bytes := s.frames[i].end - s.frames[i].at
				if err := limit.WaitN(ctx, min(bytes, limit.Burst())); err != nil {
					return err
				}
				if err := s.checkFrame(i); err != nil {
					return err
				}
			}
			return nil
		})
		select {
		case <-ctx.Done():
			return
		case <-time.After(scrubEvery):
		}
	}
}

// eachSegment visits the segments on disk. What it finds damaged is named in answers.
func (ix *Index) eachSegment(ctx context.Context, visit func(*segment) error) {
	v, err := ix.acquire(ctx)
	if err != nil {
		return
	}
	defer v.release()
	for _, p := range v.parts {
		if p.log != 0 {
			continue
		}
		if err := guard(func() error { return visit(p.segment) }); errors.Is(err, storage.ErrCorrupt) {
			ix.reportDamage(p.segment, err)
		}
	}
}

// readAhead has a part of the segment read into memory, without waiting for it.
func (s *segment) readAhead(part []byte) {
	if s.disk != nil {
		s.disk.readAhead(part)
	}
}
