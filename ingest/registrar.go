// Package ingest registers documents: it fetches files from their sources,
// has them read, fingerprints what was read and commits the result to index and
// registry.
//
// Every file, uploaded or listed by a bulk registration, takes the same way
// ([Registrar.Register]):
//
//	known by revision?  → unchanged, without reading it
//	spool into memory   → never to disk: plain text would be at rest there
//	known by content?   → unchanged or duplicate, without parsing it
//	read in a child process, fingerprint
//	commit by the one writer, in groups
//	draw its pages, some time later
//
// The number of files on their way is bounded by the bytes that they hold. One
// bad file never stops the others: whatever it does ends in a [Status] with a
// reason.
package ingest

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Outcome says what a registration did with a file.
type Outcome string

// The outcomes. Failed and skipped files make no document and are tried again
// the next time.
const (
	Registered Outcome = "registered" // a new document
	Unchanged  Outcome = "unchanged"  // known, from this source
	Updated    Outcome = "updated"    // a known source with other bytes: a new version; or read again, and better
	Duplicate  Outcome = "duplicate"  // known bytes: the document gained a source
	Failed     Outcome = "failed"     // could not be fetched or read
	Skipped    Outcome = "skipped"    // no reader takes this kind of file
)

// Outcomes lists all outcomes in the order in which they are reported.
var Outcomes = []Outcome{Registered, Unchanged, Updated, Duplicate, Failed, Skipped}

// File is one file to register.
type File struct {
	storage.SourceKey
	Classification string
	Title          string // the source's base name if empty
	PublishedAt    time.Time
	// Size in bytes, or -1 if it is not known before the end.
	Size int64
	// Revision is what the source says about the object's state, if it says
	// anything; see Registrar.Revision.
	Revision []byte
	// Open reads the content. It is not called if the revision is known.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Archive asks for the content to be kept, for sources that cannot be read
	// again.
	Archive bool
	// Again asks for known content to be read again if it could be read better now
	// than it was. Then it is updated.
	Again bool
	// Made are the fingerprints of a file that nobody opens here, instead of Open.
	Made *Fingerprints
	// Settled has what could not be read in this state of the object before left alone.
	Settled bool

	// moving is the version that the file is of, if all that is to be done is to keep it under
	// the current key. Nothing is said about its sources then.
	moving *storage.Version

	job *run
	seq int64
}

// Result is what became of a file.
type Result struct {
	Source     string
	Document   storage.DocumentID // empty for failed and skipped
	Version    int
	Outcome    Outcome
	Status     Status
	Reason     string
	Pages      int
	Characters int // normalized
}

// Registrar registers files. Make one with [NewRegistrar].
type Registrar struct {
	index    storage.Index
	pages    storage.Index
	registry storage.Registry
	*Fingerprinter
	archive Archive // nil: uploads are not kept
	places  []Place
	drawer  *drawer
	told    func([]storage.Sheet)
	// rotation says what is kept under the previous key.
	rotation storage.Rotation

	outage      time.Duration // maxOutage but in tests
	revisionKey []byte
	budget      *semaphore.Weighted
	queue       chan *prepared
	stop        context.CancelFunc
	stopped     chan struct{}
}

// Config is what a registrar works with. Archive may be nil.
type Config struct {
	Index     storage.Index // of texts
	Pages     storage.Index // of layouts of pages
	Registry  storage.Registry
	Extractor Extractor
	Archive   Archive
	Places    []Place // from which files can be read again
	Key       *fingerprint.Key
	// Previous is the key before, during a rotation: what it covers is read again whenever it
	// is met, and kept under the current key.
	Previous *fingerprint.Key
	Rotation storage.Rotation
	// Processors is how many files are drawn at a time; zero: as many as run at a time.
	Processors int
	// Told is called with the sheets of documents when they are registered; it must not wait.
	// It may be nil.
	Told func(sheets []storage.Sheet)
}

// NewRegistrar starts a registrar. Before it takes the first file it makes index
// and registry agree about what was half done when the program last ended.
func NewRegistrar(ctx context.Context, c Config) (*Registrar, error) {
	r := &Registrar{
		index: c.Index, pages: c.Pages, registry: c.Registry, Fingerprinter: NewFingerprinter(c.Key, c.Extractor), archive: c.Archive, places: c.Places,
		drawer: newDrawer(cmp.Or(c.Processors, runtime.GOMAXPROCS(0))), told: c.Told, rotation: c.Rotation,
		outage:      maxOutage,
		revisionKey: c.Key.Derive("revision hash", sha256.Size),
		budget:      semaphore.NewWeighted(MaxInFlightBytes),
		queue:       make(chan *prepared),
		stopped:     make(chan struct{}),
	}
	if c.Previous != nil {
		r.rotateFrom(c.Previous)
	}
	if err := r.reconcile(ctx); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go r.write(ctx)
	r.drawer.wait.Go(func() { r.drawAll(ctx) })
	return r, nil
}

// Close waits for what is being committed and stops the registrar. Files that
// are on their way get an error.
func (r *Registrar) Close() error {
	r.stop()
	<-r.stopped
	r.drawer.close()
	return nil
}

// reconcile deletes sheets that no registered version or drawing owns: an append whose
// commit a crash prevented, or a deletion that it interrupted. Drawings whose sheets are
// lost are made again.
func (r *Registrar) reconcile(ctx context.Context) error {
	versions, err := r.registry.Ordinals(ctx)
	if err != nil {
		return fmt.Errorf("list registered documents: %w", err)
	}
	if _, err := clearUp(ctx, r.index, versions); err != nil {
		return err
	}
	laidOut, err := r.registry.DrawingsOf(ctx, true)
	if err != nil {
		return fmt.Errorf("list drawn pages: %w", err)
	}
	lost, err := clearUp(ctx, r.pages, laidOut)
	if err != nil {
		return err
	}
	return r.redraw(ctx, lost)
}

// clearUp deletes the sheets of an index that nobody owns, and returns those that
// somebody owns and that are not there. Owned is in ascending order.
func clearUp(ctx context.Context, index storage.Index, owned []storage.Ordinal) (lost []storage.Ordinal, err error) {
	indexed, err := index.Ordinals(ctx)
	if err != nil {
		return nil, fmt.Errorf("list indexed sheets: %w", err)
	}
	var orphans []storage.Ordinal
	i := 0
	for _, o := range indexed {
		for i < len(owned) && owned[i] < o {
			lost = append(lost, owned[i])
			i++
		}
		if i < len(owned) && owned[i] == o {
			i++
		} else {
			orphans = append(orphans, o)
		}
	}
	lost = append(lost, owned[i:]...)
	if len(orphans) == 0 {
		return lost, nil
	}
	if err := index.Delete(ctx, orphans); err != nil {
		return nil, fmt.Errorf("delete %d unregistered sheets: %w", len(orphans), err)
	}
	return lost, nil
}

// Withdraw ends the registration of a document that is not at its source any more.
func (r *Registrar) Withdraw(ctx context.Context, id storage.DocumentID) error {
	ordinals, err := r.registry.Withdraw(ctx, storage.Everywhere(), id, storage.Withdrawal{
		At: time.Now().UTC(), By: storage.BySource, Reason: "it was removed from its source",
	})
	if isNotFound(err) || errors.Is(err, storage.ErrConflict) {
		return nil // somebody else ended it
	}
	if err != nil {
		return fmt.Errorf("withdraw document %s: %w", id, err)
	}
	// If this fails, they are left to reconcile: nobody finds them any more.
	_ = r.index.Delete(ctx, ordinals)
	_ = r.pages.Delete(ctx, ordinals)
	return nil
}

// Revision makes the keyed hash by which an unchanged object is recognized. The
// entity tag itself is not kept: it may be a plain hash of the content.
func (r *Registrar) Revision(o Object) []byte {
	mac := hmac.New(sha256.New, r.revisionKey)
	fmt.Fprintf(mac, "%s\x00%s\x00%d", o.ETag, o.VersionID, o.Size)
	if o.ETag == "" && o.VersionID == "" {
		// Gateways to file systems have no tag for files that did not come through
		// them.
		fmt.Fprintf(mac, "\x00%d", o.Modified.UnixNano())
	}
	return mac.Sum(nil)[:16]
}

// Register takes a file the whole way. When it returns without error, what the
// result says is durable. An error means that nothing is known about the file: a
// store failed or the context ended.
func (r *Registrar) Register(ctx context.Context, f File) (Result, error) {
	return r.register(ctx, f, func() {})
}

// register is Register that tells when the file holds nothing any more that others wait for:
// at the latest when it returns, and before it waits for the commit if nothing was read.
func (r *Registrar) register(ctx context.Context, f File, free func()) (Result, error) {
	free = sync.OnceFunc(free)
	defer free()
	prepare := r.prepare
	switch {
	case f.Made != nil:
		prepare = r.prepareMade
	case f.moving != nil:
		prepare = r.prepareMove
	}
	p, err := prepare(ctx, f)
	if err != nil {
		return Result{}, err
	}
	if p.done {
		free()
	}
	defer func() {
		p.spool.close() // if it was not handed on
		r.drawer.giveUp(p.ordinal)
	}()
	if p.done && f.job == nil && (p.settled || !p.gap && !p.isGap()) {
		return p.result, nil // there is nothing to commit
	}
	p.reply = make(chan error, 1)
	select {
	case r.queue <- p:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-r.stopped:
		return Result{}, storage.ErrClosed
	}
	// From here on the file is committed or not, whether anybody waits or not.
	if err := <-p.reply; err != nil {
		return Result{}, err
	}
	switch {
	case p.ordinal == 0:
	case p.looks != nil:
		return p.result, r.storeDrawn(context.WithoutCancel(ctx), p.ordinal, *p.looks)
	case p.spool.File != nil:
		r.keep(ctx, p)
	}
	return p.result, nil
}

// prepared is a file that needs nothing but the commit.
type prepared struct {
	file    File
	result  Result
	done    bool // nothing to commit but the job's item and the gap
	gap     bool // it made no document the last time
	settled bool // nor this time: it was not even tried
	content sums
	version storage.Version
	hashes  []fingerprint.Hash
	reply   chan error
	spool   spooled         // the file, if its pages are to be drawn
	looks   *Looks          // of its pages, if they were drawn elsewhere
	ordinal storage.Ordinal // that its version was given, or has if it is to be drawn again
	// outdated is the ordinal of what was read of the same bytes before and is to be
	// replaced; 0 if nothing is.
	outdated storage.Ordinal
	moved    bool // it is outdated because it is kept under the previous key
}

// replaces has a version replaced by what is read now.
func (r *Registrar) replaces(p *prepared, known storage.Version) {
	p.outdated, p.moved = known.Ordinal, r.rotation.Covers(known.Ordinal)
}

// registered is the version with the content of a file, whichever key it is kept under.
func (r *Registrar) registered(ctx context.Context, p *prepared) (storage.Version, error) {
	known, err := r.registry.Content(ctx, p.file.Department, p.file.Collection, p.content.now)
	if isNotFound(err) && p.content.before != nil {
		known, err = r.registry.Content(ctx, p.file.Department, p.file.Collection, p.content.before)
	}
	return known, err
}

// prepareMade prepares a file of which nothing is here but its fingerprints.
func (r *Registrar) prepareMade(ctx context.Context, f File) (*prepared, error) {
	p := &prepared{file: f, result: Result{Source: f.Source}, content: sums{now: f.Made.Version.Content}}
	_, err := r.registry.Gap(ctx, f.SourceKey)
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("look up gap: %w", err)
	}
	p.gap = err == nil
	known, err := r.registered(ctx, p)
	switch {
	case err == nil:
		p.version = known // the writer decides: unchanged or duplicate
		if known.Drawn != Drawing || known.Undrawn == notKept {
			r.drawer.expect(known.Ordinal)
			p.looks, p.ordinal = &f.Made.Looks, known.Ordinal
		}
		return p, nil
	case !isNotFound(err):
		return nil, fmt.Errorf("look up content: %w", err)
	}
	collection, err := r.registry.Collection(ctx, f.Collection)
	if err != nil {
		return nil, fmt.Errorf("look up collection: %w", err)
	}
	p.version, p.hashes = f.Made.Version, f.Made.Hashes
	if step := int(collection.Window / p.version.Window); step > 1 {
		// Documents keep every fifth gram or every twentieth, from the first on.
		p.hashes = nil
		for i := 0; i < len(f.Made.Hashes); i += step {
			p.hashes = append(p.hashes, f.Made.Hashes[i])
		}
		p.version.Window = collection.Window
	}
	if len(f.Made.Drawings) > 0 || f.Made.Undrawn != "" {
		p.version.Drawn, p.looks = 0, &f.Made.Looks
	}
	// Nobody can tell its content under the previous key: the same source, as large and with as
	// much text, is the same file.
	_, before, err := r.registry.Source(ctx, f.SourceKey)
	switch {
	case err != nil && !isNotFound(err):
		return nil, fmt.Errorf("look up source: %w", err)
	case err == nil && r.rotation.Covers(before.Ordinal) && before.Size == p.version.Size && before.TextBytes == p.version.TextBytes:
		r.replaces(p, before)
	}
	return p, nil
}

// prepareMove prepares a version for the current key, from the archive or from one of its
// sources.
func (r *Registrar) prepareMove(ctx context.Context, f File) (*prepared, error) {
	p := &prepared{file: f, result: Result{Source: f.Source}}
	var file spooled
	err := retry(ctx, r.outage, func() (err error) {
		file, err = r.fetchAgain(ctx, *f.moving)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, storage.ErrNotFound):
		return p.finish(Skipped, StatusNotFetched, "it is in no archive and at no source that can be read again"), nil
	case errors.Is(err, storage.ErrConflict):
		return p.finish(Skipped, StatusNotFetched, "its source is gone, or holds other bytes now"), nil
	case err != nil:
		return p.finish(Failed, StatusNotFetched, (&fetchError{err}).reason()), nil
	}
	defer func() {
		if p.spool.File != nil {
			file.File = nil // it is drawn
		}
		file.close()
	}()
	p.content = file.sum
	r.replaces(p, *f.moving)
	return r.read(ctx, p, file.File, file.size, *f.moving)
}

// finish ends a file that makes no document.
func (p *prepared) finish(o Outcome, s Status, reason string) *prepared {
	p.done = true
	p.result = Result{Source: p.file.Source, Outcome: o, Status: s, Reason: reason}
	return p
}

// isGap reports whether the file made no document although it is to be protected.
func (p *prepared) isGap() bool {
	return (p.result.Outcome == Failed || p.result.Outcome == Skipped) && p.result.Reason != withdrawn && p.file.moving == nil
}

// known ends a file whose version is registered.
func (p *prepared) known(o Outcome, v storage.Version) *prepared {
	p.result.Document, p.result.Version = v.Document, v.Number
	p.result.Pages, p.result.Characters = len(v.Pages), v.Characters()
	p.result.Outcome, p.result.Status, p.result.Reason = o, Status(v.Status), v.Reason
	return p
}

// again reports whether a file is to be read again although its content is known.
func (r *Registrar) again(f File, known storage.Version) bool {
	return f.Again && r.Outdated(known) || r.rotation.Covers(known.Ordinal)
}

// Outdated reports whether a version could be read better now than it was.
func (r *Registrar) Outdated(v storage.Version) bool {
	if v.Undrawn != "" && r.extractor.Redraws(v.Undrawn) {
		return true
	}
	return slices.ContainsFunc(v.Pages, func(p storage.Page) bool { return r.extractor.Outdated(p.Reader, p.NeedsOCR) })
}

func (r *Registrar) prepare(ctx context.Context, f File) (*prepared, error) {
	p := &prepared{file: f, result: Result{Source: f.Source}}
	gap, err := r.registry.Gap(ctx, f.SourceKey)
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("look up gap: %w", err)
	}
	p.gap = err == nil
	source, version, err := r.registry.Source(ctx, f.SourceKey)
	switch {
	case err == nil && source.Withdrawn:
		return p.finish(Skipped, StatusNotFetched, withdrawn), nil
	case p.gap && f.Settled && Status(gap.Status) != StatusNotFetched && len(f.Revision) > 0 && hmac.Equal(gap.Revision, f.Revision):
		p.settled = true
		return p.finish(Outcome(gap.Outcome), Status(gap.Status), gap.Reason), nil
	case err == nil && source.GoneAt.IsZero() && len(f.Revision) > 0 && hmac.Equal(source.Revision, f.Revision) && !r.again(f, version):
		p.known(Unchanged, version)
		p.done = true
		return p, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("look up source: %w", err)
	}
	if f.Size > MaxFileBytes {
		return p.finish(Failed, StatusLimit, tooLarge), nil
	}
	weight := f.Size
	if weight < 0 {
		weight = MaxFileBytes
	}
	if err := r.budget.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer r.budget.Release(weight)

	spool, size, sum, err := r.fetch(ctx, f)
	switch {
	case errors.Is(err, ErrTooLarge):
		return p.finish(Failed, StatusLimit, tooLarge), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		var fetch *fetchError
		if errors.As(err, &fetch) {
			if f.job != nil && errors.Is(err, ErrUnavailable) && !f.job.answers(ctx) {
				return nil, err // not this object, but all of them
			}
			return p.finish(Failed, StatusNotFetched, fetch.reason()), nil
		}
		return nil, err
	}
	defer func() {
		if p.spool.File == nil {
			spool.Close()
		}
	}()
	p.content = sum
	known, err := r.registered(ctx, p)
	switch {
	case err == nil && r.again(f, known):
		r.replaces(p, known)
	case err == nil:
		p.version = known // the writer decides: unchanged or duplicate
		if known.Undrawn == notKept {
			r.drawer.expect(known.Ordinal)
			if err := r.registry.Commit(ctx, storage.Changes{Drawn: []storage.Drawn{{Version: known.Ordinal}}}); err != nil && !errors.Is(err, storage.ErrConflict) {
				r.drawer.giveUp(known.Ordinal)
				return nil, fmt.Errorf("have file drawn again: %w", err)
			}
			p.spool, p.ordinal = spooled{File: spool, size: size}, known.Ordinal
		}
		return p, nil
	case !errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("look up content: %w", err)
	}
	return r.read(ctx, p, spool, size, known)
}

// read reads a file and makes its fingerprints. Known is what was read of it before, if that
// is to be replaced.
func (r *Registrar) read(ctx context.Context, p *prepared, spool *os.File, size int64, known storage.Version) (*prepared, error) {
	f := p.file
	reading, err := r.extractor.Extract(ctx, spool, size)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !reading.Status.Registered() {
		if p.outdated != 0 && f.moving == nil { // what was read before stands
			p.version, p.outdated = known, 0
			return p, nil
		}
		outcome := Failed
		if reading.Status == StatusUnsupported {
			outcome = Skipped
		}
		return p.finish(outcome, reading.Status, reading.Reason), nil
	}
	keep, err := r.keeps(ctx, p)
	if err == nil && keep {
		err = r.archive.Put(ctx, archiveName(p.content.now), io.NewSectionReader(spool, 0, size), size)
	}
	if err != nil {
		return nil, fmt.Errorf("archive file: %w", err)
	}
	// Asked for every file anew, microseconds after milliseconds of reading it, so
	// that a collection made while a job runs counts for the rest of the job.
	collection, err := r.registry.Collection(ctx, f.Collection)
	if err != nil {
		return nil, fmt.Errorf("look up collection: %w", err)
	}
	p.version, p.hashes = r.text(reading, collection.Window)
	p.version.Content, p.version.Size = p.content.now, size
	if r.drawable(reading) {
		p.spool = spooled{File: spool, size: size}
	} else {
		p.version.Drawn = Drawing // there is nothing to draw
	}
	return p, nil
}

// keeps reports whether a file goes to the archive. Names there depend on the key: what is
// there under the previous one is needed under the current one.
func (r *Registrar) keeps(ctx context.Context, p *prepared) (bool, error) {
	if r.archive == nil || p.file.Archive || !p.moved {
		return r.archive != nil && p.file.Archive, nil
	}
	content, err := r.archive.Get(ctx, archiveName(p.content.before))
	if errors.Is(err, ErrChanged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, content.Close()
}

// tooLarge is the reason for files over the limit.
var tooLarge = fmt.Sprintf("file over %d MB", MaxFileBytes>>20)

func archiveName(content []byte) string { return "sealprint/" + hex.EncodeToString(content) }

// fetchError is a file that its source did not give.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return "fetch file: " + e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// reason explains the failure without repeating what the store said, which may
// hold anything.
func (e *fetchError) reason() string {
	if errors.Is(e.err, ErrChanged) {
		return "the object was changed or removed while it was being read"
	}
	return "the source did not give the file: " + short(e.err)
}

// short bounds an error message that ends up in a report.
func short(err error) string {
	const most = 200
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// fetch reads a file into anonymous memory that no path leads to, and hashes it.
// A source that is out of reach for a while is waited for.
func (r *Registrar) fetch(ctx context.Context, f File) (file *os.File, size int64, sum sums, err error) {
	err = retry(ctx, r.outage, func() error {
		content, err := f.Open(ctx)
		if err != nil {
			return &fetchError{err}
		}
		defer content.Close()
		file, size, sum, err = r.spool(content)
		return err
	})
	return file, size, sum, err
}

// Spool copies content into anonymous memory, at most MaxFileBytes of it, and
// into sum on the way, if that is not nil. The error is of kind [ErrTooLarge] if there
// is more.
func Spool(content io.Reader, sum hash.Hash) (*os.File, int64, []byte, error) {
	fd, err := unix.MemfdCreate("sealprint", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("make memory file: %w", err)
	}
	file := os.NewFile(uintptr(fd), "memory file "+strconv.Itoa(fd))
	var to io.Writer = file
	if sum != nil {
		to = io.MultiWriter(file, sum)
	}
	size, err := io.Copy(to, io.LimitReader(content, MaxFileBytes+1))
	switch {
	case err != nil:
		file.Close()
		return nil, 0, nil, &fetchError{err}
	case size > MaxFileBytes:
		file.Close()
		return nil, 0, nil, ErrTooLarge
	}
	var digest []byte
	if sum != nil {
		digest = sum.Sum(nil)
	}
	return file, size, digest, nil
}

// title is what a document is called if nobody said.
func (f *File) title() string {
	if f.Title != "" {
		return f.Title
	}
	return path.Base(strings.TrimRight(f.Source, "/"))
}
