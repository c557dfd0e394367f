package index

import (
	"context"
	"errors"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Rotated is two indexes as one, during a rotation of the secret key: what was made with the
// previous key, all ordinals up to Last, and what is made with the current one. It takes
// sheets for the current one only. What each hash stands for depends on the key, so that
// Lookup asks the current index alone; package match asks both.
type Rotated struct {
	Previous, Current storage.Index
	Last              storage.Ordinal
}

var _ storage.Index = (*Rotated)(nil)

// Append implements [storage.Index].
func (r *Rotated) Append(ctx context.Context, sheets []storage.Sheet) error {
	return r.Current.Append(ctx, sheets)
}

// Lookup implements [storage.Index], of the current index. Version and missing parts are those
// of both.
func (r *Rotated) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	previous, err := r.Previous.Lookup(ctx, nil, 0)
	if err != nil {
		return nil, err
	}
	answer, err := r.Current.Lookup(ctx, hashes, limit)
	if err != nil {
		return nil, err
	}
	answer.Version = previous.Version + "+" + answer.Version
	answer.Missing = append(previous.Missing, answer.Missing...)
	return answer, nil
}

// Delete implements [storage.Index].
func (r *Rotated) Delete(ctx context.Context, ordinals []storage.Ordinal) error {
	var previous, current []storage.Ordinal
	for _, o := range ordinals {
		if o <= r.Last {
			previous = append(previous, o)
		} else {
			current = append(current, o)
		}
	}
	return errors.Join(r.Previous.Delete(ctx, previous), r.Current.Delete(ctx, current))
}

// Ordinals implements [storage.Index].
func (r *Rotated) Ordinals(ctx context.Context) ([]storage.Ordinal, error) {
	previous, err := r.Previous.Ordinals(ctx)
	if err != nil {
		return nil, err
	}
	current, err := r.Current.Ordinals(ctx)
	return append(previous, current...), err
}

// Stats implements [storage.Index]. The parameters are those of the current index.
func (r *Rotated) Stats(ctx context.Context) (storage.IndexStats, error) {
	previous, err := r.Previous.Stats(ctx)
	if err != nil {
		return storage.IndexStats{}, err
	}
	s, err := r.Current.Stats(ctx)
	s.Documents += previous.Documents
	s.Postings += previous.Postings
	s.Bytes += previous.Bytes
	s.Segments += previous.Segments
	s.Version = previous.Version + "+" + s.Version
	return s, err
}

// Close implements [storage.Index].
func (r *Rotated) Close() error { return errors.Join(r.Previous.Close(), r.Current.Close()) }
