package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/sealprint/sealprint/storage"
)

// checkAttempts is how often Check begins anew because the index was changed
// under it: merges take far longer than the reading of a segment, so that even
// a busy index is caught standing still.
const checkAttempts = 5

// Report is what [Check] found.
type Report struct {
	Segments  int
	Documents int   // in segments, deleted ones included
	Postings  int64 // of those documents
	Logs      int
	Changes   int   // Appends and Deletes in the logs
	Bytes     int64 // read
	// Torn is how many bytes at the ends of logs are not whole: a write under way, or
	// one that a crash has cut short. They are no damage.
	Torn int64
	// Damage has one error for each file that is not as it was written, of kind
	// storage.ErrCorrupt. Empty means that the index is sound.
	Damage []error
}

// Check reads a whole index and verifies every checksum and the order of
// everything that is sorted. It changes nothing and may run while the index is
// open. The error says that it could not be done, or that the manifest is
// damaged, without which nothing can be said about the rest.
func Check(ctx context.Context, dir string) (Report, error) {
	d := folder(dir)
	for attempt := 1; ; attempt++ {
		before, err := d.read(manifestName)
		if err != nil {
			return Report{}, fmt.Errorf("check index: %w", err)
		}
		report, err := checkOnce(ctx, d)
		if err != nil {
			return report, fmt.Errorf("check index %s: %w", dir, err)
		}
		after, err := d.read(manifestName)
		if err != nil {
			return report, fmt.Errorf("check index: %w", err)
		}
		if len(report.Damage) == 0 || bytes.Equal(before, after) || attempt == checkAttempts {
			return report, nil
		}
	}
}

func checkOnce(ctx context.Context, d disk) (r Report, err error) {
	m, err := readManifest(d)
	if err != nil {
		return r, err
	}
	if _, err := decodeOrdinals(m.Deleted); err != nil {
		return r, fmt.Errorf("manifest: %w", err)
	}
	for _, entry := range m.Segments {
		r.Segments++
		err := r.checkSegment(ctx, d, m, entry)
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if err != nil {
			r.Damage = append(r.Damage, err)
		}
	}
	logs, err := logsOf(d, m)
	if err != nil {
		return r, err
	}
	next := m.Seq + 1
	for _, number := range logs {
		r.Logs++
		if err := r.checkLog(d, number, &next); err != nil {
			r.Damage = append(r.Damage, err)
			break // what follows cannot be judged without it
		}
	}
	return r, ctx.Err()
}

// logsOf lists the numbers of the logs whose changes are in no segment.
func logsOf(d disk, m manifest) (logs []uint64, err error) {
	files, err := d.list()
	for _, f := range files {
		if n, ok := fileNumber(f.name, logSuffix); ok && n > m.Flushed {
			logs = append(logs, n)
		}
	}
	slices.Sort(logs)
	return logs, err
}

func (r *Report) checkSegment(ctx context.Context, d disk, m manifest, entry manifestSegment) error {
	s, err := openSegment(d, entry.name(), m.Params)
	if errors.Is(err, errOlder) {
		if s, err = verifyV1(d, entry.name(), m.Params); err == nil {
			return r.count(s, entry)
		}
	}
	if err != nil {
		if !errors.Is(err, storage.ErrCorrupt) {
			err = fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
		}
		return err
	}
	defer s.close()
	if err := r.count(s, entry); err != nil {
		return err
	}
	return s.verify(ctx)
}

// count adds what a segment holds, if it is the one that the manifest means.
func (r *Report) count(s *segment, entry manifestSegment) error {
	if int64(len(s.data)) != entry.Bytes || s.documents != entry.Documents || s.postings != entry.Postings {
		return damage(entry.name(), "not the one in the manifest")
	}
	r.Documents += s.documents
	r.Postings += int64(s.postings)
	r.Bytes += int64(len(s.data))
	return nil
}

func (r *Report) checkLog(d disk, number uint64, next *uint64) error {
	name := fileName(number, logSuffix)
	data, err := d.read(name)
	if err != nil {
		return fmt.Errorf("log %s: %w: %w", name, storage.ErrCorrupt, err)
	}
	r.Bytes += int64(len(data))
	changes := 0
	sound, err := readLog(data, *next, func(record) error {
		changes++
		return nil
	})
	r.Changes += changes
	*next += uint64(changes)
	if err != nil {
		return fmt.Errorf("log %s: %w", name, err)
	}
	r.Torn += int64(len(data) - sound)
	return nil
}

// Forget gives up a segment that is damaged or gone, by the name that
// Answer.Missing calls it, so that answers are whole again. The documents in it
// have to be appended anew. The index must not be open. A damaged file stays in
// the folder, renamed, for whoever wants to look at it.
func Forget(dir, segment string) (err error) {
	d := folder(dir)
	lock, err := d.lock()
	if err != nil {
		return fmt.Errorf("forget segment: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	m, err := readManifest(d)
	if err != nil {
		return fmt.Errorf("forget segment: %w", err)
	}
	i := slices.IndexFunc(m.Segments, func(s manifestSegment) bool { return s.name() == segment })
	if i < 0 {
		return fmt.Errorf("forget segment %s: %w", segment, storage.ErrNotFound)
	}
	m.Segments = slices.Delete(m.Segments, i, i+1)
	m.Collected++ // answers change, so the version does
	if err := d.rename(segment, segment+".forgotten"); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("forget segment: %w", err)
	}
	if err := m.commit(d); err != nil {
		return fmt.Errorf("forget segment %s: %w", segment, err)
	}
	return nil
}
