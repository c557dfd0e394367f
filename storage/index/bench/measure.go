package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealprint/sealprint/fingerprint"
)

const (
	// A query asks for the fingerprints of a paragraph or two, of which a few
	// stand in one of the stored documents.
	queryHashes  = 100
	queryPresent = 10
	queryLimit   = 1000 // postings of a fingerprint

	warmQueries = 2000
	warmRounds  = 3
	coldQueries = 300

	batchDocuments  = 1000
	singleDocuments = 2000
	singleWriters   = 16
)

// busyDocuments is how many documents are loaded while queries run.
func busyDocuments(stored int) int { return max(stored/5, 2000) }

// loadDocuments is how many documents of the load it takes to measure with so
// many stored ones.
func loadDocuments(stored int) int { return stored + max(singleDocuments, busyDocuments(stored)) }

// phases stand in the order in which they run, each in a process of its own.
// Those of one folder go on with what the one before has left there.
var phases = []struct {
	name, folder string
	run          func(*session) error
}{
	{"bulk load", "bulk", measureBulk},
	{"queries", "bulk", measureQueries},
	{"queries during a load", "bulk", measureBusy},
	{"durable batches", "incremental", measureBatches},
	{"durable documents", "incremental", measureDocuments},
	{"merge", "incremental", measureMerge},
}

// task is what one process does.
type task struct {
	Engine string
	Phase  int    // of phases
	Dir    string // of one engine, size and round
	Load   string // file of writeLoad
	Stored int    // how many documents of the load are stored first
}

// outcome is what the process reports.
type outcome struct {
	Figures map[figure]float64
	// Found tells how many postings each query of the mix found. It is the same
	// for all engines.
	Found []int
}

// session is a task under way.
type session struct {
	task
	outcome
	engine engine
	dir    string
	size   int64         // bytes on disk before the engine was opened
	began  usage         // up to then
	opened time.Duration // how long opening took
}

func (t task) run() (outcome, error) {
	phase := phases[t.Phase]
	s := &session{
		task:    t,
		outcome: outcome{Figures: make(map[figure]float64)},
		dir:     filepath.Join(t.Dir, phase.folder),
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return outcome{}, fmt.Errorf("make folder: %w", err)
	}
	var err error
	if s.size, err = diskUsage(s.dir); err != nil {
		return outcome{}, err
	}
	if s.began, err = readUsage(); err != nil {
		return outcome{}, err
	}
	if err := s.open(); err != nil {
		return outcome{}, err
	}
	// After an error the engine is left open: the process ends.
	if err := phase.run(s); err != nil {
		return outcome{}, err
	}
	return s.outcome, s.engine.close()
}

func (s *session) open() error {
	c, err := findContender(s.Engine)
	if err != nil {
		return err
	}
	began := time.Now()
	s.engine, err = c.open(s.dir)
	s.opened = time.Since(began)
	return err
}

// documents returns n documents of the load.
func (s *session) documents(first, n int) (documents, error) {
	load, err := mapLoad(s.Load)
	if err != nil {
		return documents{}, err
	}
	return load.slice(first, first+n), nil
}

func measureBulk(s *session) error {
	d, err := s.documents(0, s.Stored)
	if err != nil {
		return err
	}
	began, err := readUsage()
	if err != nil {
		return err
	}
	if err := s.engine.load(d); err != nil {
		return err
	}
	ended, err := readUsage()
	if err != nil {
		return err
	}
	postings := float64(len(d.hashes))
	s.Figures[bulkRate] = postings / ended.at.Sub(began.at).Seconds()
	s.Figures[bulkCPURate] = postings / (ended.cpu - began.cpu).Seconds()
	return nil
}

func measureBatches(s *session) error {
	d, err := s.documents(0, s.Stored)
	if err != nil {
		return err
	}
	began, err := readUsage()
	if err != nil {
		return err
	}
	for batch := range d.chunks(batchDocuments) {
		if err := s.engine.append(batch); err != nil {
			return err
		}
	}
	ended, err := settled()
	if err != nil {
		return err
	}
	postings := float64(len(d.hashes))
	s.Figures[batchRate] = postings / ended.at.Sub(began.at).Seconds()
	s.Figures[batchCPURate] = postings / (ended.cpu - began.cpu).Seconds()
	s.Figures[batchWritten] = float64(ended.written-began.written) / postings
	return nil
}

func measureDocuments(s *session) error {
	d, err := s.documents(s.Stored, singleDocuments)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(singleWriters)
	began := time.Now()
	for document := range d.chunks(1) {
		group.Go(func() error { return s.engine.append(document) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.Figures[documentRate] = singleDocuments / time.Since(began).Seconds()
	// Were the engine closed in the midst of its work, chance would say how much is
	// left for measureMerge.
	_, err = settled()
	return err
}

// measureMerge counts from before the engine was opened, because Pebble begins
// to merge while it opens.
func measureMerge(s *session) error {
	peak, err := peakAnonymous(s.engine.merge)
	if err == nil {
		ended, err := readUsage()
		if err != nil {
			return err
		}
		postings := float64((s.Stored + singleDocuments) * documentPostings)
		s.Figures[mergeRate] = postings / ended.at.Sub(s.began.at).Seconds()
		s.Figures[mergeWritten] = float64(ended.written-s.began.written) / postings
		s.Figures[mergeMemory] = float64(peak)
	} else if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	s.Found, err = s.count(s.mix(warmQueries))
	return err
}

func measureQueries(s *session) error {
	s.Figures[diskBytes] = float64(s.size) / float64(s.Stored*documentPostings)
	s.Figures[openTime] = s.opened.Seconds()

	mix := s.mix(warmQueries)
	absent := makeQueries(warmQueries, queryHashes, 0, s.Stored)
	var err error
	if s.Found, err = s.count(mix); err != nil {
		return err
	}
	if err := s.measureWarm(mix, mixFigures); err != nil {
		return err
	}
	if err := s.measureWarm(absent, absentFigures); err != nil {
		return err
	}
	held, err := readMemory()
	if err != nil {
		return err
	}
	s.Figures[anonymousMemory] = float64(held.anonymous)
	s.Figures[fileMemory] = float64(held.file)

	if err := s.engine.close(); err != nil {
		return err
	}
	return s.measureCold(mix[:coldQueries])
}

// measureCold opens the engine and puts the queries while nothing of its files
// is in the system's cache.
func (s *session) measureCold(queries [][]fingerprint.Hash) error {
	if err := forget(s.dir); err != nil {
		return err
	}
	began, err := readUsage()
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	took, err := s.ask(queries)
	if err != nil {
		return err
	}
	ended, err := readUsage()
	if err != nil {
		return err
	}
	s.Figures[coldOpenTime] = s.opened.Seconds()
	s.Figures[coldP50] = percentile(took, 50)
	s.Figures[coldP99] = percentile(took, 99)
	s.Figures[coldRead] = float64(ended.read - began.read)
	return nil
}

// measureWarm puts the queries once to warm the caches, then on one goroutine,
// then on two.
func (s *session) measureWarm(queries [][]fingerprint.Hash, f queryFigures) error {
	if _, err := s.ask(queries); err != nil {
		return err
	}
	began, err := readUsage()
	if err != nil {
		return err
	}
	var took []time.Duration
	for range warmRounds {
		again, err := s.ask(queries)
		if err != nil {
			return err
		}
		took = append(took, again...)
	}
	ended, err := readUsage()
	if err != nil {
		return err
	}
	s.Figures[f.p50] = percentile(took, 50)
	s.Figures[f.p99] = percentile(took, 99)
	s.Figures[f.cpu] = (ended.cpu - began.cpu).Seconds() / float64(len(took))

	var group errgroup.Group
	start := time.Now()
	for _, half := range [][][]fingerprint.Hash{queries[:len(queries)/2], queries[len(queries)/2:]} {
		group.Go(func() error {
			for range warmRounds {
				if _, err := s.ask(half); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.Figures[f.rate] = warmRounds * float64(len(queries)) / time.Since(start).Seconds()
	return nil
}

// measureBusy puts queries while documents are loaded. A query has failed when
// it ends in an error, or does not find all that was there before.
func measureBusy(s *session) error {
	d, err := s.documents(s.Stored, busyDocuments(s.Stored))
	if err != nil {
		return err
	}
	mix := s.mix(warmQueries)
	counts, err := s.count(mix)
	if err != nil {
		return err
	}
	idle, err := s.ask(mix)
	if err != nil {
		return err
	}

	var loaded atomic.Bool
	var group errgroup.Group
	group.Go(func() error {
		defer loaded.Store(true)
		return s.engine.load(d)
	})
	var took []time.Duration
	failures := 0
	for i := 0; !loaded.Load(); i = (i + 1) % len(mix) {
		began := time.Now()
		lists, err := s.engine.lookup(mix[i], queryLimit)
		took = append(took, time.Since(began))
		if err != nil || countPostings(lists) < counts[i] {
			failures++
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	busy := percentile(took, 99)
	s.Figures[busyP99] = busy
	s.Figures[busySlowdown] = busy / percentile(idle, 99)
	s.Figures[busyFailures] = float64(failures)
	return nil
}

// mix makes queries like real ones: most fingerprints are absent.
func (s *session) mix(n int) [][]fingerprint.Hash {
	return makeQueries(n, queryHashes-queryPresent, queryPresent, s.Stored)
}

// ask puts queries one after another and returns how long each took.
func (s *session) ask(queries [][]fingerprint.Hash) ([]time.Duration, error) {
	took := make([]time.Duration, len(queries))
	for i, query := range queries {
		began := time.Now()
		if _, err := s.engine.lookup(query, queryLimit); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return took, nil
}

// count puts queries and returns how many postings each found.
func (s *session) count(queries [][]fingerprint.Hash) ([]int, error) {
	counts := make([]int, len(queries))
	for i, query := range queries {
		lists, err := s.engine.lookup(query, queryLimit)
		if err != nil {
			return nil, err
		}
		counts[i] = countPostings(lists)
	}
	return counts, nil
}

// percentile returns, in seconds, the duration that so many percent do not
// exceed.
func percentile(took []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[(len(sorted)-1)*percent/100].Seconds()
}
