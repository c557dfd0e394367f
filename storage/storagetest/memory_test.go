package storagetest

import (
	"testing"

	"github.com/sealprint/sealprint/storage"
)

func TestMemory(t *testing.T) {
	Index(t, func(*testing.T) func() (storage.Index, error) {
		m := NewMemory(Params)
		return func() (storage.Index, error) { return m.Reopen(), nil }
	})
}
