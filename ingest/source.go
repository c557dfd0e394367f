package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Object is one file of a source.
type Object struct {
	// Key names the object inside its source.
	Key string
	// ETag and VersionID are the store's own words for this state of the object;
	// they are compared, never interpreted.
	ETag, VersionID string
	Size            int64 // bytes
	Modified        time.Time
}

// isFolder reports whether an object is what some clients put in the place of a folder.
func (o *Object) isFolder() bool { return o.Size == 0 && strings.HasSuffix(o.Key, "/") }

// Source is a place that holds documents. Its listing is the truth about what
// is there: notifications may only make sealprint look sooner.
type Source interface {
	// List yields the objects whose keys begin with prefix, in ascending order of
	// their keys' bytes, from after the key given on. An error ends the listing.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]

	// Open reads an object in the state in which it was listed. If that state is
	// gone, the error is of kind [ErrChanged]. The caller closes the reader.
	Open(ctx context.Context, object Object) (io.ReadCloser, error)

	// Stat describes the current state of an object; [ErrChanged] if it is gone.
	Stat(ctx context.Context, key string) (Object, error)

	// Tags returns the tags of an object; [ErrChanged] if it is gone.
	Tags(ctx context.Context, object Object) (map[string]string, error)

	// URI names an object for people and for the registry, such as s3://bucket/key.
	URI(key string) string

	// Key is the inverse of URI; false if the URI is not of this source.
	Key(uri string) (string, bool)
}

// ErrChanged is the kind of error for an object that was changed or removed
// since it was listed.
var ErrChanged = errors.New("changed or removed meanwhile")

// ErrUnavailable is the kind of error for a source that cannot answer now and
// may answer later: no connection, too many requests, an error of its own.
var ErrUnavailable = errors.New("source unavailable")

// pauses grow from a tenth of a second to ten, with chance in them so that many
// that wait do not return at once.
func pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = 100*time.Millisecond, 2, 10*time.Second
	return b
}

// retry calls try until it answers anything but ErrUnavailable, for so long.
func retry(ctx context.Context, limit time.Duration, try func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try()
		if err != nil && !errors.Is(err, ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pauses()), backoff.WithMaxElapsedTime(limit))
	return err
}

// listed is Source.List that survives outages: it goes on behind the last object
// that it saw. The first answer is waited for as long as the caller says.
func listed(ctx context.Context, s Source, prefix, after string, limit time.Duration) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		ordered := true
		for {
			seen, stopped := false, false
			err := retry(ctx, limit, func() error {
				for object, err := range s.List(ctx, prefix, after) {
					if err != nil && !ordered {
						return fmt.Errorf("broken off, and not in the order of its keys, so that nobody knows where: %v", err)
					}
					if err != nil {
						return err
					}
					ordered = ordered && object.Key > after
					seen, after = true, object.Key
					if !yield(object, nil) {
						stopped = true
						return nil
					}
				}
				return nil
			})
			switch {
			case stopped || err == nil:
				return
			case !seen || !errors.Is(err, ErrUnavailable):
				yield(Object{}, err)
				return
			}
			limit = maxOutage
		}
	}
}

// Archive keeps the originals of uploads, so that passages can be shown later.
type Archive interface {
	// Put stores size bytes under a name. Storing the same name again is harmless.
	Put(ctx context.Context, name string, content io.Reader, size int64) error

	// Get reads what was put; [ErrChanged] if it is gone. The caller closes it.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
}
