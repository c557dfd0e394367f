// Package storagetest holds the suite that every implementation of
// [storage.Index] passes, and the reference implementation that others are
// compared with.
//
// The suite states the contract as examples and is small enough to be read
// instead of it. An implementation adds what only it can get wrong: crashes,
// damaged files, lost servers.
package storagetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Params is what the suite expects indexes to be opened with.
var Params = fingerprint.Params{Normalizer: 1, Classes: 1, Seed: "1101", KeyID: "test"}

// Place makes a fresh, empty place for an index and returns the function that
// opens what is there. The suite closes an index before it opens the place
// again.
type Place func(t *testing.T) (open func() (storage.Index, error))

// Index runs the suite.
func Index(t *testing.T, place Place) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Empty", testEmpty},
		{"Lookup", testLookup},
		{"Order", testOrder},
		{"Limit", testLimit},
		{"AppendTwice", testAppendTwice},
		{"EmptySheet", testEmptySheet},
		{"Refused", testRefused},
		{"Delete", testDelete},
		{"DeletedOrdinal", testDeletedOrdinal},
		{"Version", testVersion},
		{"Reopen", testReopen},
		{"Canceled", testCanceled},
		{"Closed", testClosed},
		{"Atomic", testAtomic},
		{"Concurrent", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{T: t, open: place(t)}
			s.reopen()
			t.Cleanup(func() { s.ix.Close() })
			test.run(t, s)
		})
	}
}

// Compare fails the test unless two answers to the same question have the same
// postings and allowed totals: got's may count up to dead postings of deleted
// documents more than want's, which are exact.
func Compare(t *testing.T, want, got *storage.Answer, dead int) {
	t.Helper()
	if len(got.Lists) != len(want.Lists) {
		t.Fatalf("%d lists for %d hashes", len(got.Lists), len(want.Lists))
	}
	if got.Postings < want.Postings || got.Postings > want.Postings+int64(dead) {
		t.Fatalf("%d postings in all, want %d to %d", got.Postings, want.Postings, want.Postings+int64(dead))
	}
	for i := range want.Lists {
		w, g := want.Lists[i], got.Lists[i]
		if !slices.Equal(w.Postings, g.Postings) {
			t.Fatalf("list %d: postings\n%v, want\n%v", i, g.Postings, w.Postings)
		}
		if g.Total < w.Total || g.Total > w.Total+dead {
			t.Fatalf("list %d: total %d, want %d to %d", i, g.Total, w.Total, w.Total+dead)
		}
	}
}

type suite struct {
	*testing.T
	open func() (storage.Index, error)
	ix   storage.Index
}

func (s *suite) reopen() {
	s.Helper()
	if s.ix != nil {
		if err := s.ix.Close(); err != nil {
			s.Fatalf("close: %v", err)
		}
	}
	ix, err := s.open()
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.ix = ix
}

func (s *suite) append(sheets ...storage.Sheet) {
	s.Helper()
	if err := s.ix.Append(s.Context(), sheets); err != nil {
		s.Fatalf("append: %v", err)
	}
}

func (s *suite) delete(ordinals ...storage.Ordinal) {
	s.Helper()
	if err := s.ix.Delete(s.Context(), ordinals); err != nil {
		s.Fatalf("delete: %v", err)
	}
}

func (s *suite) lookup(limit int, hashes ...fingerprint.Hash) *storage.Answer {
	s.Helper()
	answer, err := s.ix.Lookup(s.Context(), hashes, limit)
	if err != nil {
		s.Fatalf("look up: %v", err)
	}
	if len(answer.Lists) != len(hashes) || len(answer.Missing) > 0 || answer.Version == "" {
		s.Fatalf("%d lists for %d hashes, version %q, missing %q", len(answer.Lists), len(hashes), answer.Version, answer.Missing)
	}
	return answer
}

func (s *suite) wantPostings(hash fingerprint.Hash, want ...storage.Posting) {
	s.Helper()
	list := s.lookup(1000, hash).Lists[0]
	if !slices.Equal(list.Postings, want) || list.Total < len(want) {
		s.Fatalf("hash %x: %v of %d, want %v", hash, list.Postings, list.Total, want)
	}
}

func (s *suite) wantOrdinals(want ...storage.Ordinal) {
	s.Helper()
	got, err := s.ix.Ordinals(s.Context())
	if err != nil {
		s.Fatalf("ordinals: %v", err)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("ordinals %v, want %v", got, want)
	}
}

func (s *suite) wantStats(documents int, postings int64) {
	s.Helper()
	got, err := s.ix.Stats(s.Context())
	if err != nil {
		s.Fatalf("stats: %v", err)
	}
	if got.Documents != documents || got.Postings != postings || got.Params != Params {
		s.Fatalf("stats %+v, want %d documents and %d postings", got, documents, postings)
	}
	answer := s.lookup(1)
	for range 5 { // what was deleted may be collected in between
		if answer.Version == got.Version {
			break
		}
		if got, err = s.ix.Stats(s.Context()); err != nil {
			s.Fatalf("stats: %v", err)
		}
		answer = s.lookup(1)
	}
	if got.Version != answer.Version {
		s.Fatalf("stats have version %q, answers %q", got.Version, answer.Version)
	}
	if answer.Postings < postings {
		s.Fatalf("%d postings in all, of %d that are not deleted", answer.Postings, postings)
	}
}

// at is the posting of a sheet with a window at a position.
func at(o storage.Ordinal, w fingerprint.Window, position uint32) storage.Posting {
	return storage.Posting{Ordinal: o, Position: position, Window: w}
}

func sheet(o storage.Ordinal, w fingerprint.Window, hashes ...fingerprint.Hash) storage.Sheet {
	return storage.Sheet{Ordinal: o, Window: w, Hashes: hashes}
}

const maxHash = fingerprint.Hash(1)<<fingerprint.HashBits - 1

func testEmpty(t *testing.T, s *suite) {
	s.wantPostings(7)
	s.wantOrdinals()
	s.wantStats(0, 0)
	s.append()
	s.delete()
	s.delete(1, 2)
	s.wantStats(0, 0)
}

func testLookup(t *testing.T, s *suite) {
	s.append(sheet(1, 5, 0, 7, 0, maxHash), sheet(2, 20, 7))
	s.wantPostings(0, at(1, 5, 0), at(1, 5, 10))
	s.wantPostings(7, at(1, 5, 5), at(2, 20, 0))
	s.wantPostings(maxHash, at(1, 5, 15))
	s.wantPostings(8)
	s.wantPostings(maxHash + 1)
	s.wantStats(2, 5)

	// The same hash may be asked for twice, and lists stand in the order asked.
	answer := s.lookup(10, 9, 7, 0, 7)
	if answer.Postings != 5 {
		t.Errorf("%d postings in all", answer.Postings)
	}
	for i, want := range []int{0, 2, 2, 2} {
		if got := answer.Lists[i]; got.Total != want || len(got.Postings) != want {
			t.Errorf("list %d: %v of %d, want %d", i, got.Postings, got.Total, want)
		}
	}
}

func testOrder(t *testing.T, s *suite) {
	// Ordinals do not have to arrive in order.
	s.append(sheet(30, 5, 7, 7))
	s.append(sheet(10, 5, 1, 7), sheet(40, 5, 7))
	s.append(sheet(20, 5, 7), sheet(5, 20, 1, 7))
	want := []storage.Posting{at(5, 20, 20), at(10, 5, 5), at(20, 5, 0), at(30, 5, 0), at(30, 5, 5), at(40, 5, 0)}
	s.wantPostings(7, want...)
	s.wantOrdinals(5, 10, 20, 30, 40)
	for limit := range want {
		if got := s.lookup(limit, 7).Lists[0]; !slices.Equal(got.Postings, want[:limit]) || got.Total != len(want) {
			t.Errorf("limit %d: %v of %d", limit, got.Postings, got.Total)
		}
	}
}

func testLimit(t *testing.T, s *suite) {
	hashes := make([]fingerprint.Hash, 1000)
	for i := range hashes {
		hashes[i] = fingerprint.Hash(i % 2)
	}
	s.append(sheet(1, 5, hashes...))
	s.append(sheet(2, 5, hashes...))
	for _, limit := range []int{0, 1, 499, 500, 501, 1000, 5000} {
		for i, list := range s.lookup(limit, 0, 1, 2).Lists {
			total := 1000
			if i == 2 {
				total = 0
			}
			if list.Total != total || len(list.Postings) != min(total, limit) {
				t.Errorf("limit %d, hash %d: %d postings of %d", limit, i, len(list.Postings), list.Total)
			}
		}
	}
}

func testAppendTwice(t *testing.T, s *suite) {
	s.append(sheet(1, 5, 7))
	s.append(sheet(1, 5, 7))
	s.append(sheet(1, 20, 8), sheet(2, 5, 9), sheet(2, 5, 10)) // the first counts
	s.wantPostings(7, at(1, 5, 0))
	s.wantPostings(8)
	s.wantPostings(9, at(2, 5, 0))
	s.wantPostings(10)
	s.wantStats(2, 2)
}

func testEmptySheet(t *testing.T, s *suite) {
	s.append(sheet(1, 5), sheet(2, 5))
	s.append(sheet(3, 20))
	s.wantOrdinals(1, 2, 3)
	s.delete(2)
	s.reopen()
	s.wantOrdinals(1, 3)
	s.wantStats(2, 0)
}

func testRefused(t *testing.T, s *suite) {
	for _, bad := range []storage.Sheet{
		sheet(2, 5, 7, maxHash+1),
		sheet(2, 0, 7),
		sheet(2, -1, 7),
		sheet(2, fingerprint.Guarantee, 7),
	} {
		if err := s.ix.Append(t.Context(), []storage.Sheet{sheet(1, 5, 7), bad}); err == nil {
			t.Errorf("sheet %v was taken", bad)
		}
	}
	s.wantOrdinals()
	s.reopen()
	s.wantOrdinals()
	s.wantPostings(7)
}

func testDelete(t *testing.T, s *suite) {
	s.append(sheet(1, 5, 7), sheet(2, 5, 7, 8))
	s.append(sheet(3, 5, 7))
	s.delete(2, 99, 2)
	check := func() {
		t.Helper()
		s.wantPostings(7, at(1, 5, 0), at(3, 5, 0))
		s.wantPostings(8)
		s.wantOrdinals(1, 3)
		s.wantStats(2, 2)
		if got := s.lookup(1, 7).Lists[0].Postings; len(got) != 1 || got[0].Ordinal != 1 {
			t.Errorf("limit 1: %v", got)
		}
	}
	check()
	s.reopen()
	check()
	s.append(sheet(99, 5)) // was not stored, so it was not deleted
	s.delete(1, 3, 99)
	s.wantPostings(7)
	s.wantOrdinals()
}

func testDeletedOrdinal(t *testing.T, s *suite) {
	s.append(sheet(1, 5, 7))
	s.delete(1)
	for range 2 {
		if err := s.ix.Append(t.Context(), []storage.Sheet{sheet(2, 5, 7), sheet(1, 5, 7)}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("append of a deleted ordinal: %v", err)
		}
		s.wantOrdinals() // nothing of a refused Append is stored
		s.reopen()
	}
	s.append(sheet(2, 5, 7))
	s.wantOrdinals(2)
}

func testVersion(t *testing.T, s *suite) {
	seen := make(map[string]bool)
	changes := func(do func()) {
		t.Helper()
		do()
		version := s.lookup(1).Version
		if seen[version] {
			t.Errorf("version %q again", version)
		}
		seen[version] = true
	}
	keeps := func(do func()) {
		t.Helper()
		// An implementation may collect what was deleted at any time and take
		// a new version for it, but must come to rest.
		var before, after string
		for range 5 {
			before = s.lookup(1).Version
			do()
			if after = s.lookup(1).Version; after == before {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("version %q, before %q", after, before)
	}
	changes(func() {})
	changes(func() { s.append(sheet(1, 5, 7), sheet(2, 5, 7), sheet(3, 5, 8)) })
	keeps(func() { s.append(sheet(1, 5, 7)) })
	keeps(func() { s.append() })
	keeps(func() { s.delete(50) })
	keeps(s.reopen)
	changes(func() { s.append(sheet(4, 5)) })
	changes(func() { s.delete(1) })
	keeps(func() { s.delete(1) })
	keeps(func() { s.ix.Append(t.Context(), []storage.Sheet{sheet(1, 5, 7)}) })
	keeps(s.reopen)
	changes(func() { s.append(sheet(5, 5, 9)) })
}

func testReopen(t *testing.T, s *suite) {
	reference := NewMemory(Params)
	rng := rand.New(rand.NewPCG(1, 2))
	for o := storage.Ordinal(1); o <= 40; o++ {
		sh := RandomSheet(rng, o, 50, 200)
		s.append(sh)
		reference.Append(t.Context(), []storage.Sheet{sh})
		if o%10 == 0 {
			s.reopen()
		}
	}
	var all []fingerprint.Hash
	for h := range fingerprint.Hash(60) {
		all = append(all, SpreadHash(h))
	}
	want, err := reference.Lookup(t.Context(), all, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	Compare(t, want, s.lookup(1<<20, all...), 0)
}

func testCanceled(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.ix.Append(ctx, []storage.Sheet{sheet(1, 5, 7)}); !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.ix.Lookup(ctx, nil, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("look up: %v", err)
	}
	s.wantOrdinals()
}

func testClosed(t *testing.T, s *suite) {
	s.append(sheet(1, 5, 7))
	if err := s.ix.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	ctx := t.Context()
	_, lookup := s.ix.Lookup(ctx, nil, 1)
	_, ordinals := s.ix.Ordinals(ctx)
	_, stats := s.ix.Stats(ctx)
	for name, err := range map[string]error{
		"append":   s.ix.Append(ctx, []storage.Sheet{sheet(2, 5, 7)}),
		"lookup":   lookup,
		"delete":   s.ix.Delete(ctx, []storage.Ordinal{1}),
		"ordinals": ordinals,
		"stats":    stats,
		"close":    s.ix.Close(),
	} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
}

// testAtomic: the sheets of one Append appear together.
func testAtomic(t *testing.T, s *suite) {
	const rounds, together = 60, 3
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for i := range storage.Ordinal(rounds) {
			var sheets []storage.Sheet
			for j := range storage.Ordinal(together) {
				sheets = append(sheets, sheet(1+i+j*rounds, 5, 7)) // interleaved
			}
			if err := s.ix.Append(t.Context(), sheets); err != nil {
				t.Errorf("append: %v", err)
				return
			}
		}
	})
	defer writer.Wait()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		answer, err := s.ix.Lookup(t.Context(), []fingerprint.Hash{7, 7}, 1000)
		if err != nil {
			t.Fatalf("look up: %v", err)
		}
		for _, list := range answer.Lists {
			if n := len(list.Postings); n%together != 0 || n != len(answer.Lists[0].Postings) {
				t.Fatalf("%d postings are visible, of Appends of %d", n, together)
			}
		}
	}
}

// testConcurrent: whoever wrote something finds it, whatever others do.
func testConcurrent(t *testing.T, s *suite) {
	const writers, each = 8, 25
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				o := storage.Ordinal(1 + i*writers + w)
				hash := SpreadHash(fingerprint.Hash(o))
				if err := s.ix.Append(t.Context(), []storage.Sheet{sheet(o, 5, 3, hash)}); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				answer, err := s.ix.Lookup(t.Context(), []fingerprint.Hash{hash, 3}, 1<<20)
				if err != nil {
					t.Errorf("look up: %v", err)
					return
				}
				if got := answer.Lists[0].Postings; len(got) != 1 || got[0] != at(o, 5, 5) {
					t.Errorf("own posting: %v", got)
				}
				if !slices.IsSortedFunc(answer.Lists[1].Postings, func(a, b storage.Posting) int { return int(a.Ordinal) - int(b.Ordinal) }) {
					t.Error("postings are not in order")
				}
				if i%5 == 4 {
					if err := s.ix.Delete(t.Context(), []storage.Ordinal{o}); err != nil {
						t.Errorf("delete: %v", err)
					}
					if _, err := s.ix.Stats(t.Context()); err != nil {
						t.Errorf("stats: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	s.wantStats(writers*each*4/5, writers*each*4/5*2)
	s.reopen()
	s.wantStats(writers*each*4/5, writers*each*4/5*2)
}

// RandomSheet makes a sheet of fewer than size hashes out of a vocabulary of so
// many, so that sheets have hashes in common.
func RandomSheet(rng *rand.Rand, o storage.Ordinal, vocabulary, size int) storage.Sheet {
	window := fingerprint.Dense
	if rng.IntN(2) == 0 {
		window = fingerprint.Sparse
	}
	s := storage.Sheet{Ordinal: o, Window: window, Hashes: make([]fingerprint.Hash, rng.IntN(size))}
	for i := range s.Hashes {
		s.Hashes[i] = SpreadHash(fingerprint.Hash(rng.IntN(vocabulary)))
	}
	return s
}

// SpreadHash maps small numbers to hashes that are spread as evenly as real
// ones, each to another.
func SpreadHash(i fingerprint.Hash) fingerprint.Hash {
	return i * 0x9e3779b97f4b & maxHash
}
