package ingest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/sealprint/sealprint/storage"
)

// After the secret key was changed, documents are kept under the previous key until they are
// read again: fingerprints cannot be re-keyed, since the text that they were made of is not
// kept. Whatever is registered again moves ([Registrar.Register]); a job of the kind
// [storage.JobRekey] reads again what lies in the archive or at a source, version by version.
// What lies nowhere stays where it is, and is found as before.

// earlier are the versions that are kept under the previous key. The keys of their objects are
// their ordinals: the job goes on after the last one that was tried.
func (j *Jobs) earlier(ctx context.Context, job storage.Job) iter.Seq2[task, error] {
	return func(yield func(task, error) bool) {
		last, err := parseOrdinal(job.Checkpoint)
		for {
			var versions []storage.Version
			if err == nil {
				versions, err = j.registry.Earlier(ctx, last, maxAhead)
			}
			if err != nil {
				yield(task{}, fmt.Errorf("list what is kept under the previous key: %w", err))
				return
			}
			if len(versions) == 0 {
				return
			}
			for _, v := range versions {
				last = v.Ordinal
				t, err := j.moving(ctx, v)
				if isNotFound(err) {
					continue // deleted meanwhile
				}
				if !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}

// moving is a version as a file that is to be kept under the current key.
func (j *Jobs) moving(ctx context.Context, v storage.Version) (task, error) {
	d, _, sources, err := j.registry.Document(ctx, storage.Everywhere(), v.Document)
	if err != nil {
		return task{}, err
	}
	f := File{SourceKey: storage.SourceKey{Department: d.Department, Collection: d.Collection}, Size: v.Size, moving: &v}
	if at := slices.IndexFunc(sources, func(s storage.Source) bool { return s.Version == v.Number }); at >= 0 {
		f.Source = sources[at].Source
	} else { // of an earlier version; each is reported by a name of its own
		name := string(d.ID)
		if len(sources) > 0 {
			name = sources[0].Source
		}
		f.Source = fmt.Sprintf("%s (version %d)", name, v.Number)
	}
	return task{f, Object{Key: fmt.Sprintf("%010d", v.Ordinal), Size: v.Size}}, nil
}

func parseOrdinal(key string) (storage.Ordinal, error) {
	if key == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(key, 10, 32)
	return storage.Ordinal(n), err
}

// expect tells how many versions there are.
func (j *Jobs) expect(ctx context.Context, run *run) error {
	stats, err := j.registry.Stats(ctx)
	if err != nil {
		return err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.job.Expected = run.job.Listed + int(stats.Earlier)
	return nil
}
