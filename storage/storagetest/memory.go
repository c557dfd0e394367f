package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Memory is the plainest possible [storage.Index]: it keeps the sheets as they
// are and reads all of them for every question. Other implementations are
// compared with it. Its totals never count deleted documents.
type Memory struct {
	content *content

	mu     sync.RWMutex
	closed bool
}

// content is what survives closing.
type content struct {
	params  fingerprint.Params
	mu      sync.RWMutex
	sheets  []storage.Sheet // in ascending order of ordinal
	deleted map[storage.Ordinal]bool
	version int
}

var _ storage.Index = (*Memory)(nil)

// NewMemory makes an empty index.
func NewMemory(params fingerprint.Params) *Memory {
	return &Memory{content: &content{params: params, deleted: make(map[storage.Ordinal]bool)}}
}

// Reopen returns a new index with the content of m, which should be closed.
func (m *Memory) Reopen() *Memory { return &Memory{content: m.content} }

// open returns the content, or why it must not be used.
func (m *Memory) open(ctx context.Context) (*content, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, storage.ErrClosed
	}
	return m.content, ctx.Err()
}

func (c *content) find(o storage.Ordinal) (int, bool) {
	return slices.BinarySearchFunc(c.sheets, o, func(s storage.Sheet, o storage.Ordinal) int {
		return cmp.Compare(s.Ordinal, o)
	})
}

// Append implements [storage.Index].
func (m *Memory) Append(ctx context.Context, sheets []storage.Sheet) error {
	c, err := m.open(ctx)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sheets {
		if err := s.Window.Validate(); err != nil {
			return fmt.Errorf("append sheet %d: %w", s.Ordinal, err)
		}
		for _, h := range s.Hashes {
			if h>>fingerprint.HashBits != 0 {
				return fmt.Errorf("append sheet %d: fingerprint wider than %d bits", s.Ordinal, fingerprint.HashBits)
			}
		}
		if c.deleted[s.Ordinal] {
			return fmt.Errorf("append sheet %d: has been deleted: %w", s.Ordinal, storage.ErrConflict)
		}
	}
	changed := false
	for _, s := range sheets {
		if i, stored := c.find(s.Ordinal); !stored {
			s.Hashes = slices.Clone(s.Hashes)
			c.sheets = slices.Insert(c.sheets, i, s)
			changed = true
		}
	}
	if changed {
		c.version++
	}
	return nil
}

// Lookup implements [storage.Index].
func (m *Memory) Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	c, err := m.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	answer := &storage.Answer{Lists: make([]storage.List, len(hashes)), Version: fmt.Sprint(c.version)}
	asked := make(map[fingerprint.Hash][]int)
	for i, h := range hashes {
		asked[h] = append(asked[h], i)
	}
	for _, s := range c.sheets {
		answer.Postings += int64(len(s.Hashes))
		for i, h := range s.Hashes {
			for _, j := range asked[h] {
				list := &answer.Lists[j]
				list.Total++
				if len(list.Postings) < limit {
					list.Postings = append(list.Postings, storage.Posting{
						Ordinal:  s.Ordinal,
						Position: uint32(i * int(s.Window)),
						Window:   s.Window,
					})
				}
			}
		}
	}
	return answer, nil
}

// Delete implements [storage.Index].
func (m *Memory) Delete(ctx context.Context, ordinals []storage.Ordinal) error {
	c, err := m.open(ctx)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for _, o := range ordinals {
		if i, stored := c.find(o); stored {
			c.sheets = slices.Delete(c.sheets, i, i+1)
			c.deleted[o] = true
			changed = true
		}
	}
	if changed {
		c.version++
	}
	return nil
}

// Ordinals implements [storage.Index].
func (m *Memory) Ordinals(ctx context.Context) ([]storage.Ordinal, error) {
	c, err := m.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ordinals: %w", err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	ordinals := make([]storage.Ordinal, len(c.sheets))
	for i, s := range c.sheets {
		ordinals[i] = s.Ordinal
	}
	return ordinals, nil
}

// Stats implements [storage.Index].
func (m *Memory) Stats(ctx context.Context) (storage.IndexStats, error) {
	c, err := m.open(ctx)
	if err != nil {
		return storage.IndexStats{}, fmt.Errorf("index stats: %w", err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	stats := storage.IndexStats{Documents: len(c.sheets), Version: fmt.Sprint(c.version), Params: c.params}
	for _, s := range c.sheets {
		stats.Postings += int64(len(s.Hashes))
	}
	return stats, nil
}

// Close implements [storage.Index].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("close index: %w", storage.ErrClosed)
	}
	m.closed = true
	return nil
}
