package intake

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/storage"
)

const (
	// gather is how long documents are waited for that are registered together: all of
	// them take one pass over the posts.
	gather = 300 * time.Millisecond

	// maxFresh is how many fingerprints of new documents one pass looks for, at 8 bytes
	// each; those of further documents wait for the next.
	maxFresh = 8 << 20

	// maxKept is how many fingerprints of one post are kept: a long post, or ten pages with it.
	maxKept = 20_000

	// readPosts is how many posts are in memory at a time.
	readPosts = 500

	// onTheirWay is how long a post may take from its look-up until it is stored: those that
	// were looked up before a document was registered, and stored after the pass over the
	// posts, are searched once more then.
	onTheirWay = 30 * time.Second

	// together is for how long passes that are to be made once more are made as one: a bulk
	// registration makes some each second, and each reads all posts.
	together = onTheirWay

	// maxTogether is how many fingerprints such a pass looks for, at 24 bytes each, before
	// another is made.
	maxTogether = 1 << 20

	// A post is looked up if it has two fingerprints in common with a new document that are
	// at most so far apart, and about as far apart in both: a guaranteed run leaves as many at
	// every density, and package match finds nothing with less.
	apart, drift = 200, 32

	// maxPlaces is how many places of one fingerprint are tried.
	maxPlaces = 16
)

// LateStore is the part of storage.Registry that looking back needs.
type LateStore interface {
	Prints(ctx context.Context, after int64, limit int) ([]storage.Print, error)
	PostAt(ctx context.Context, sequence int64) (storage.Post, error)
	Ordinals(ctx context.Context) ([]storage.Ordinal, error)
	LookedBack(ctx context.Context) (storage.Ordinal, error)
	LookBack(ctx context.Context, until storage.Ordinal) error
}

// Matcher looks fingerprints up.
type Matcher interface {
	Match(ctx context.Context, q match.Query) (*match.Report, error)
}

// Late finds documents in posts that came in before they were registered, by the
// fingerprints that are kept of posts.
//
// To look all posts up again would take a minute for each document. So it is turned
// around: the fingerprints of the documents that are new are put into a set, all posts are
// held against it, and only those that have some in common are looked up. Of pictures what was
// read of them is kept, and of files their text: a look cannot be searched for backwards. How far that has come is stored; what a crash leaves undone is
// done after the next start, by looking everything up.
type Late struct {
	store   LateStore
	matcher Matcher
	intake  *Intake
	log     *slog.Logger

	mu    sync.Mutex
	fresh []storage.Sheet
	ended bool
	wake  chan struct{}

	again []pass // in the order of their time

	stop context.CancelFunc
	done sync.WaitGroup
}

// pass is a search that is to be made once more, of the posts after one.
type pass struct {
	at     time.Time
	until  time.Time // others may join it until then
	after  int64
	sheets []storage.Sheet
}

// NewLate begins to look back.
func NewLate(store LateStore, matcher Matcher, in *Intake, log *slog.Logger) *Late {
	ctx, stop := context.WithCancel(context.Background())
	l := &Late{store: store, matcher: matcher, intake: in, log: log, wake: make(chan struct{}, 1), stop: stop}
	l.done.Go(func() { l.run(ctx) })
	return l
}

// Close stops looking back; what is undone is done after the next start.
func (l *Late) Close() error {
	l.stop()
	l.done.Wait()
	return nil
}

// Registered says that documents are registered, by their sheets. It does not wait.
func (l *Late) Registered(sheets []storage.Sheet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.fresh = append(l.fresh, sheets...)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns what is looked for next.
func (l *Late) take() (sheets []storage.Sheet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for len(l.fresh) > 0 && (n == 0 || n+len(l.fresh[0].Hashes) <= maxFresh) {
		n += len(l.fresh[0].Hashes)
		sheets, l.fresh = append(sheets, l.fresh[0]), l.fresh[1:]
	}
	return sheets
}

func (l *Late) run(ctx context.Context) {
	defer func() { // nothing is held for nobody
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fresh, l.ended = nil, true
	}()
	if err := l.resume(ctx); err != nil && ctx.Err() == nil {
		l.log.Error("posts are not searched for documents that were registered before the last stop", "error", err)
	}
	for {
		var due <-chan time.Time
		if len(l.again) > 0 {
			due = time.After(time.Until(l.again[0].at))
		}
		var err error
		select {
		case <-ctx.Done():
			return
		case <-due:
			next := l.again[0]
			l.again = l.again[1:]
			_, err = l.search(ctx, next.sheets, next.after)
		case <-l.wake:
			select {
			case <-time.After(gather):
			case <-ctx.Done():
				return
			}
			err = l.lookBack(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				l.log.Error("posts are not searched for new documents until the next start", "error", err)
			}
			return // or what is done next would count as all
		}
	}
}

// lookBack searches the posts for all documents that are new.
func (l *Late) lookBack(ctx context.Context) error {
	for sheets := l.take(); len(sheets) > 0; sheets = l.take() {
		after, err := l.search(ctx, sheets, 0)
		if err != nil {
			return err
		}
		var last storage.Ordinal
		for _, s := range sheets {
			last = max(last, s.Ordinal)
		}
		if err := l.store.LookBack(ctx, last); err != nil {
			return err
		}
		l.searchAgain(time.Now(), after, sheets)
		for l.held() > maxFresh { // a bulk registration: earlier is better than too much memory
			next := l.again[0]
			l.again = l.again[1:]
			if _, err := l.search(ctx, next.sheets, next.after); err != nil {
				return err
			}
		}
	}
	return nil
}

// searchAgain has posts after one searched once more, when those that are on their way are there.
func (l *Late) searchAgain(now time.Time, after int64, sheets []storage.Sheet) {
	if n := len(l.again); n > 0 && now.Before(l.again[n-1].until) {
		p := &l.again[n-1] // whose posts are more
		if hashes(p.sheets)+hashes(sheets) <= maxTogether {
			p.at, p.sheets = now.Add(onTheirWay), append(p.sheets, sheets...)
			return
		}
	}
	l.again = append(l.again, pass{at: now.Add(onTheirWay), until: now.Add(together), after: after, sheets: sheets})
}

// held is how many fingerprints wait to be searched for once more.
func (l *Late) held() (n int) {
	for _, p := range l.again {
		n += hashes(p.sheets)
	}
	return n
}

// hashes is how many fingerprints sheets have.
func hashes(sheets []storage.Sheet) (n int) {
	for _, s := range sheets {
		n += len(s.Hashes)
	}
	return n
}

// resume looks for what was registered before the last stop and not looked for yet. Nobody
// has its fingerprints any more, so that all posts are looked up.
func (l *Late) resume(ctx context.Context) error {
	until, err := l.store.LookedBack(ctx)
	if err != nil {
		return err
	}
	all, err := l.store.Ordinals(ctx)
	if err != nil {
		return err
	}
	first, _ := slices.BinarySearch(all, until+1)
	fresh := map[storage.Ordinal]bool{}
	for _, o := range all[first:] {
		fresh[o] = true
	}
	if len(fresh) == 0 {
		return nil
	}
	look := func(p storage.Print, parts []part) error { return l.match(ctx, p, parts, fresh) }
	if _, err := l.each(ctx, 0, look); err != nil {
		return err
	}
	return l.store.LookBack(ctx, all[len(all)-1])
}

// search searches posts after one for documents, and returns the last.
func (l *Late) search(ctx context.Context, sheets []storage.Sheet, after int64) (last int64, err error) {
	fresh := map[storage.Ordinal]bool{}
	var set hashSet
	for at, s := range sheets {
		fresh[s.Ordinal] = true
		for i, h := range s.Hashes {
			set.places = append(set.places, place{h, uint32(at), uint32(i * int(s.Window))})
		}
	}
	set.build()
	return l.each(ctx, after, func(p storage.Print, parts []part) error {
		// Documents are made with the current key: with those of another, posts have nothing in
		// common.
		if p.KeyID != "" || !slices.ContainsFunc(parts, func(p part) bool { return set.inLine(p.grams) }) {
			return nil
		}
		return l.match(ctx, p, parts, fresh)
	})
}

// each visits the posts after one whose fingerprints are kept, and returns the last. The
// fingerprints are valid until it returns.
func (l *Late) each(ctx context.Context, after int64, visit func(p storage.Print, parts []part) error) (last int64, err error) {
	var room []part
	for {
		prints, err := l.store.Prints(ctx, after, readPosts)
		if err != nil || len(prints) == 0 {
			return after, err
		}
		for _, p := range prints {
			parts, ok := parseParts(room, p.Fingerprints)
			if !ok {
				return after, fmt.Errorf("fingerprints of post %d: %w", p.Sequence, storage.ErrCorrupt)
			}
			if err := visit(p, parts); err != nil {
				return after, err
			}
			if len(parts) > len(room) {
				room = parts
			}
		}
		after = prints[len(prints)-1].Sequence
	}
}

// match looks a post up and makes alerts of what it shows of new documents.
func (l *Late) match(ctx context.Context, print storage.Print, parts []part, fresh map[storage.Ordinal]bool) error {
	p, err := l.store.PostAt(ctx, print.Sequence)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // forgotten meanwhile
	}
	if err != nil {
		return err
	}
	seen := Seen{Post: p}
	for _, part := range parts {
		report, err := l.matcher.Match(ctx, match.Query{Grams: part.grams, KeyID: print.KeyID, SeenAt: p.SeenAt, Scope: storage.Everywhere()})
		if err != nil {
			return err
		}
		for _, m := range report.Matches {
			if !fresh[m.Ordinal] {
				continue
			}
			if part.recognized {
				m.Channel = match.OCR
				for i := range m.Passages { // where in the picture they stand nobody knows any more
					m.Passages[i].Query, m.Passages[i].Box = fingerprint.Span{}, storage.Region{Width: 1, Height: 1}
				}
			}
			seen.Found = append(seen.Found, Found{Medium: part.medium, Match: m})
		}
	}
	if len(seen.Found) == 0 {
		return nil
	}
	_, err = l.intake.TakeLate(ctx, seen)
	if errors.Is(err, storage.ErrConflict) {
		return nil // it was forgotten, and another has its id
	}
	return err
}

// hashSet is the fingerprints of some documents and where they stand: a table of bits that
// most others fall through, and all of them in order.
type hashSet struct {
	bits   []uint64
	mask   uint64
	places []place
	recent []hit // of the text that is held against it
}

type place struct {
	hash     fingerprint.Hash
	sheet    uint32
	position uint32 // in normalized characters
}

type hit struct {
	place
	at int // in the text
}

func (s *hashSet) build() {
	slices.SortFunc(s.places, func(a, b place) int { return cmp.Compare(a.hash, b.hash) })
	n := uint64(1 << 16)
	for n < 16*uint64(len(s.places)) {
		n *= 2
	}
	s.bits, s.mask = make([]uint64, n/64), n-1
	for _, p := range s.places {
		at := uint64(p.hash) & s.mask
		s.bits[at/64] |= 1 << (at % 64)
	}
}

// inLine reports whether a text has two fingerprints in line with a document.
func (s *hashSet) inLine(grams []fingerprint.Hash) bool {
	s.recent = s.recent[:0]
	for at, h := range grams {
		bit := uint64(h) & s.mask
		if s.bits[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		first, found := slices.BinarySearchFunc(s.places, h, func(p place, h fingerprint.Hash) int { return cmp.Compare(p.hash, h) })
		if !found {
			continue
		}
		for i := first; i < min(first+maxPlaces, len(s.places)) && s.places[i].hash == h; i++ {
			p := s.places[i]
			for _, r := range slices.Backward(s.recent) {
				forward := at - r.at
				if forward > apart {
					break
				}
				advance := int(p.position) - int(r.position)
				if r.sheet == p.sheet && forward > 0 && advance > 0 && max(forward-advance, advance-forward) <= drift {
					return true
				}
			}
			s.recent = append(s.recent, hit{p, at})
		}
	}
	return false
}

// part is what is kept of a text of a post: its own, that of a file with it, or what was read
// of a picture.
type part struct {
	medium     int // 0: the text of the post, else in which of its media, from 1
	recognized bool
	grams      []fingerprint.Hash
}

// partHead is what stands before the fingerprints of a part: its medium and whether it was
// recognized, in two bytes, and how many they are, in four.
const partHead = 6

// Keep keeps the fingerprints of a text of the post, for documents that are registered later. Of
// texts that are too long the rest is not kept.
func (s *Seen) Keep(medium int, recognized bool, grams []fingerprint.Hash) {
	room := maxKept - len(s.Fingerprints)/fingerprint.HashBytes
	grams = grams[:min(len(grams), max(room, 0))]
	if len(grams) == 0 {
		return
	}
	tag := uint16(medium) << 1
	if recognized {
		tag |= 1
	}
	b := binary.LittleEndian.AppendUint16(s.Fingerprints, tag)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(grams)))
	s.Fingerprints = fingerprint.AppendHashes(b, grams)
}

// parseParts reads what Keep wrote, into the room of others.
func parseParts(parts []part, b []byte) ([]part, bool) {
	for n := 0; len(b) > 0; n++ {
		if len(b) < partHead {
			return nil, false
		}
		tag, size := binary.LittleEndian.Uint16(b), int64(binary.LittleEndian.Uint32(b[2:]))*fingerprint.HashBytes
		if b = b[partHead:]; size > int64(len(b)) {
			return nil, false
		}
		if n == len(parts) {
			parts = append(parts, part{})
		}
		p := &parts[n]
		p.medium, p.recognized = int(tag>>1), tag&1 != 0
		p.grams, _ = fingerprint.ParseHashes(p.grams[:0], b[:size]) // it is so many hashes
		b = b[size:]
		if len(b) == 0 {
			return parts[:n+1], true
		}
	}
	return parts[:0], true
}
