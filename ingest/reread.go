package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sealprint/sealprint/storage"
)

// Look reads a file that is not to be registered, within the same limits: pictures if it
// is a picture, else its text. Size is at most, or -1 if it is not known before the end.
func (r *Registrar) Look(ctx context.Context, content io.Reader, size int64) ([]Look, *Reading, error) {
	weight := size
	if weight < 0 {
		weight = MaxFileBytes
	}
	weight = min(weight, MaxFileBytes)
	if err := r.budget.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	defer r.budget.Release(weight)
	file, size, _, err := Spool(content, nil)
	if errors.Is(err, ErrTooLarge) {
		return nil, &Reading{Status: StatusLimit, Reason: tooLarge}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	looks, reading, err := r.extractor.Look(ctx, file, size)
	if err != nil {
		return nil, nil, fmt.Errorf("read file: %w", err)
	}
	return looks, reading, nil
}

// Undrawn counts the pages in a scope whose look is not known yet.
func (r *Registrar) Undrawn(ctx context.Context, scope storage.Scope) (int64, error) {
	return r.registry.UndrawnPages(ctx, scope, Drawing)
}

// ReadAgain reads a registered version anew, from the archive or from one of its
// sources. The error is of kind storage.ErrNotFound if there is nowhere to read it
// from, and of kind storage.ErrConflict if what is there now are other bytes.
func (r *Registrar) ReadAgain(ctx context.Context, v storage.Version) (*Reading, error) {
	file, err := r.fetchAgain(ctx, v)
	if err != nil {
		return nil, err
	}
	defer file.close()
	reading, err := r.extractor.Extract(ctx, file.File, file.size)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return reading, nil
}

// DrawPage draws a page of a registered version, as Draw numbers them, from its file, which
// is read again; errors are as those of ReadAgain. The look has a reason in the place of the
// picture if there is none, in words that repeat no content.
func (r *Registrar) DrawPage(ctx context.Context, v storage.Version, page int) (Look, error) {
	switch {
	case v.Status == string(StatusEncrypted):
		return Look{Number: page, Reason: "the file needs a password"}, nil
	case !r.extractor.Draws(v.MediaType):
		return Look{Number: page, Reason: "files of this kind have text and no look"}, nil
	}
	file, err := r.fetchAgain(ctx, v)
	if err != nil {
		return Look{}, err
	}
	defer file.close()
	look, err := r.extractor.DrawPage(ctx, file.File, file.size, v.MediaType, page)
	if err != nil {
		return Look{}, fmt.Errorf("draw page: %w", err)
	}
	return look, nil
}

// fetchAgain gets the file of a version; errors are as those of ReadAgain.
func (r *Registrar) fetchAgain(ctx context.Context, v storage.Version) (spooled, error) {
	err := fmt.Errorf("%w: no source that can be read again", storage.ErrNotFound)
	if r.archive != nil {
		file, failed := r.fetchIfSame(ctx, v, func() (io.ReadCloser, error) {
			content, err := r.archive.Get(ctx, archiveName(v.Content))
			if errors.Is(err, ErrChanged) {
				err = errNotArchived
			}
			return content, err
		})
		switch {
		case failed == nil:
			return file, nil
		case !errors.Is(failed, errNotArchived): // most files of sources never were
			err = failed
		}
	}
	_, _, sources, failed := r.registry.Document(ctx, storage.Everywhere(), v.Document)
	if failed != nil {
		return spooled{}, fmt.Errorf("look up sources: %w", failed)
	}
	for _, source := range sources {
		for _, place := range r.places {
			key, ok := place.Source.Key(source.Source)
			if !ok {
				continue
			}
			file, failed := r.fetchIfSame(ctx, v, func() (io.ReadCloser, error) {
				object, err := place.Source.Stat(ctx, key)
				if err != nil {
					return nil, err
				}
				return place.Source.Open(ctx, object)
			})
			if failed == nil {
				return file, nil
			}
			err = failed
		}
	}
	return spooled{}, err
}

var errNotArchived = errors.New("not archived")

// fetchIfSame gets a file if it still is the version's.
func (r *Registrar) fetchIfSame(ctx context.Context, v storage.Version, open func() (io.ReadCloser, error)) (file spooled, err error) {
	if err := r.budget.Acquire(ctx, v.Size); err != nil {
		return spooled{}, err
	}
	defer func() {
		if file.File == nil {
			r.budget.Release(v.Size)
		}
	}()
	content, err := open()
	if errors.Is(err, ErrChanged) {
		return spooled{}, fmt.Errorf("%w: the source is gone", storage.ErrConflict)
	}
	if err != nil {
		return spooled{}, fmt.Errorf("read source again: %w", err)
	}
	defer content.Close()
	copied, size, sum, err := r.spool(io.LimitReader(content, v.Size+1))
	if err != nil {
		return spooled{}, fmt.Errorf("read source again: %w", err)
	}
	if !sum.of(v) {
		copied.Close()
		return spooled{}, fmt.Errorf("%w: the source holds other bytes now", storage.ErrConflict)
	}
	return spooled{copied, size, sum, func() { r.budget.Release(v.Size) }}, nil
}
