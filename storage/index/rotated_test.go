package index

import (
	"slices"
	"testing"

	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// TestRotatedConformance: with nothing under the previous key, two indexes are as one.
func TestRotatedConformance(t *testing.T) {
	storagetest.Index(t, func(t *testing.T) func() (storage.Index, error) {
		previous, current := t.TempDir(), t.TempDir()
		return func() (storage.Index, error) {
			p, err := Open(previous, storagetest.Params, Options{})
			if err != nil {
				return nil, err
			}
			c, err := Open(current, storagetest.Params, Options{})
			return &Rotated{Previous: p, Current: c}, err
		}
	})
}

// TestRotated: sheets are listed, counted and deleted wherever they are.
func TestRotated(t *testing.T) {
	previous, current := open(t, t.TempDir(), Options{}), open(t, t.TempDir(), Options{})
	mustAppend(t, previous, sheetOf(1, 7), sheetOf(2, 7), sheetOf(3, 7))
	r := &Rotated{Previous: previous, Current: current, Last: 3}
	if err := r.Append(t.Context(), []storage.Sheet{sheetOf(4, 7), sheetOf(6, 7)}); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), []storage.Ordinal{2, 4}); err != nil {
		t.Fatal(err)
	}
	ordinals, err := r.Ordinals(t.Context())
	if err != nil || !slices.Equal(ordinals, []storage.Ordinal{1, 3, 6}) {
		t.Errorf("%v, %v", ordinals, err)
	}
	stats, err := r.Stats(t.Context())
	if err != nil || stats.Documents != 3 {
		t.Errorf("%+v, %v", stats, err)
	}
	version := stats.Version
	if err := r.Delete(t.Context(), []storage.Ordinal{1}); err != nil {
		t.Fatal(err)
	}
	if stats, err = r.Stats(t.Context()); err != nil || stats.Version == version {
		t.Errorf("the version is the same after a change of the previous index: %+v, %v", stats, err)
	}
}
