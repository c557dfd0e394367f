package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// Limits of one group commit: enough to share the disk's work, little enough to
// be waited for.
const (
	maxBatchFiles  = 1000
	maxBatchHashes = 500_000
)

// write commits prepared files until ctx ends. There is one writer, so that two
// files with the same bytes or from the same source meet in order. Files that
// arrive while it commits share the next commit.
func (r *Registrar) write(ctx context.Context) {
	defer close(r.stopped)
	var next *prepared // did not fit into the batch before
	for {
		batch := newBatch()
		if next == nil {
			select {
			case <-ctx.Done():
				return
			case next = <-r.queue:
			}
		}
		for next != nil && batch.add(next) {
			next = nil
			select {
			case next = <-r.queue:
			default:
			}
		}
		// Not ctx: what was accepted is committed.
		err := r.commit(context.WithoutCancel(ctx), batch)
		for _, p := range batch.files {
			p.reply <- err
		}
	}
}

// batch is a group of files none of which depends on another's commit.
type batch struct {
	files    []*prepared
	hashes   int
	sources  map[storage.SourceKey]bool
	contents map[[3]string]bool
}

func newBatch() *batch {
	return &batch{sources: map[storage.SourceKey]bool{}, contents: map[[3]string]bool{}}
}

// add takes a file into the batch, or reports that it has to wait for the next.
func (b *batch) add(p *prepared) bool {
	content := [3]string{p.file.Department, p.file.Collection, string(p.content.now)}
	fresh := !p.done && p.version.Ordinal == 0 // may make a version
	if b.sources[p.file.SourceKey] || fresh && b.contents[content] ||
		len(b.files) >= maxBatchFiles || len(b.files) > 0 && b.hashes+len(p.hashes) > maxBatchHashes {
		return false
	}
	b.files = append(b.files, p)
	b.hashes += len(p.hashes)
	b.sources[p.file.SourceKey] = true
	if fresh {
		b.contents[content] = true
	}
	return true
}

// maxAttempts is how often a batch is decided anew because a document that it
// refers to was deleted meanwhile.
const maxAttempts = 5

// commit makes a batch durable.
func (r *Registrar) commit(ctx context.Context, b *batch) error {
	for attempt := 1; ; attempt++ {
		sheets, err := r.attempt(ctx, b)
		if !errors.Is(err, storage.ErrConflict) || attempt == maxAttempts {
			return err
		}
		// Nothing was stored in the registry, so the sheets are nobody's. If this
		// fails, they are left to reconcile.
		_ = r.index.Delete(ctx, sheets)
	}
}

// attempt stores first the fingerprints, then what is said about them. A crash
// in between leaves sheets that reconcile deletes. It returns the sheets that it
// appended.
func (r *Registrar) attempt(ctx context.Context, b *batch) (appended []storage.Ordinal, err error) {
	now := time.Now().UTC()
	var changes storage.Changes
	var sheets []storage.Sheet
	var owners []*prepared
	var outdated []storage.Ordinal // beside each sheet, what it replaces
	for _, p := range b.files {
		if !p.done {
			sheet, err := r.decide(ctx, p, now, &changes)
			if err != nil {
				return nil, err
			}
			if sheet != nil {
				sheets = append(sheets, *sheet)
				outdated = append(outdated, p.outdated)
				owners = append(owners, p)
			}
		}
		if p.file.job != nil && p.file.job.reports(p) {
			changes.Items = append(changes.Items, p.item())
		}
		switch {
		case p.settled:
		case p.isGap():
			changes.Gaps = append(changes.Gaps, storage.Gap{
				SourceKey: p.file.SourceKey, Outcome: string(p.result.Outcome), Status: string(p.result.Status), Reason: p.result.Reason,
				Revision: p.file.Revision, Since: now, TriedAt: now,
			})
		case p.gap:
			changes.Filled = append(changes.Filled, p.file.SourceKey)
		}
		if e, ok := p.event(now); ok {
			changes.Events = append(changes.Events, e)
		}
	}
	if len(sheets) > 0 {
		first, err := r.registry.ReserveOrdinals(ctx, len(sheets))
		if err != nil {
			return nil, fmt.Errorf("reserve %d ordinals: %w", len(sheets), err)
		}
		versions, rereads := changes.Versions, changes.Rereads
		for i := range sheets {
			o := first + storage.Ordinal(i)
			appended = append(appended, o)
			sheets[i].Ordinal = o
			if p := owners[i]; p.spool.File != nil || p.looks != nil {
				r.drawer.giveUp(p.ordinal) // of an attempt before
				r.drawer.expect(o)
				p.ordinal = o
			}
			if outdated[i] != 0 {
				rereads[0].Ordinal, rereads = o, rereads[1:]
			} else {
				versions[0].Ordinal, versions = o, versions[1:]
			}
		}
		if err := r.index.Append(ctx, sheets); err != nil {
			return nil, fmt.Errorf("append %d sheets: %w", len(sheets), err)
		}
	}
	jobs := map[*run][]*prepared{}
	for _, p := range b.files {
		if j := p.file.job; j != nil {
			jobs[j] = append(jobs[j], p)
		}
	}
	for j, files := range jobs {
		changes.Jobs = append(changes.Jobs, j.with(files, now))
	}
	var replaced, undrawn []storage.Ordinal
	for i, o := range outdated {
		if o == 0 {
			continue
		}
		replaced = append(replaced, o)
		if owners[i].version.Drawn == 0 {
			continue // what was drawn stays until they are drawn again
		}
		drawn, err := r.registry.DrawingsOf(ctx, true, o)
		if err != nil {
			return appended, fmt.Errorf("list drawings: %w", err)
		}
		undrawn = append(undrawn, drawn...)
	}
	if err := r.registry.Commit(ctx, changes); err != nil {
		return appended, fmt.Errorf("commit %d files: %w", len(b.files), err)
	}
	var fresh []storage.Sheet // what is moved was looked for in posts before
	for i, s := range sheets {
		if !owners[i].moved {
			fresh = append(fresh, s)
		}
	}
	if r.told != nil && len(fresh) > 0 {
		r.told(fresh)
	}
	if len(replaced) > 0 {
		// The registry has forgotten them. If this fails, they are left to reconcile.
		_ = r.index.Delete(ctx, replaced)
		_ = r.pages.Delete(ctx, undrawn)
	}
	for j, files := range jobs {
		j.complete(files)
	}
	return appended, nil
}

// decide settles what becomes of a file that was read, adds it to the changes
// and returns its sheet if it has a new one. Versions and sheets stay in step.
func (r *Registrar) decide(ctx context.Context, p *prepared, now time.Time, changes *storage.Changes) (*storage.Sheet, error) {
	if p.file.moving != nil {
		return r.move(ctx, p, changes)
	}
	source := storage.Source{SourceKey: p.file.SourceKey, Revision: p.file.Revision, SeenAt: now}
	// Asked again, because another batch may have answered since.
	previous, before, err := r.registry.Source(ctx, p.file.SourceKey)
	hadSource := err == nil
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("look up source: %w", err)
	}
	if previous.Withdrawn {
		p.finish(Skipped, StatusNotFetched, withdrawn)
		return nil, nil
	}
	known, err := r.registered(ctx, p)
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("look up content: %w", err)
	}
	if err != nil && hadSource && p.outdated != 0 && before.Ordinal == p.outdated {
		known, err = before, nil // of a bundle, which cannot tell what it was before
	}
	switch {
	case p.outdated != 0 && err == nil && known.Ordinal == p.outdated:
		return r.replace(ctx, p, known, source, now, changes)
	case p.outdated != 0 && err != nil:
		p.finish(Failed, StatusNotFetched, deletedMeanwhile)
		return nil, nil
	case hadSource && p.content.of(before):
		p.known(Unchanged, before)
		source.Document, source.Version = previous.Document, previous.Version
		changes.Sources = append(changes.Sources, source)
		return nil, nil
	case hadSource && err == nil && known.Document == previous.Document:
		// An earlier version is back.
		p.known(Unchanged, known)
		source.Document, source.Version = known.Document, known.Number
		changes.Sources = append(changes.Sources, source)
		return nil, nil
	case err == nil:
		p.known(Duplicate, known)
		source.Document, source.Version = known.Document, known.Number
		changes.Sources = append(changes.Sources, source)
		return nil, nil
	}
	if p.version.Ordinal != 0 {
		// It was a duplicate of a document that was deleted meanwhile.
		p.finish(Failed, StatusNotFetched, deletedMeanwhile)
		return nil, nil
	}
	v := p.version
	v.CreatedAt = now
	outcome := Registered
	if hadSource {
		outcome = Updated
		d, versions, _, err := r.registry.Document(ctx, storage.Everywhere(), previous.Document)
		if err != nil {
			return nil, fmt.Errorf("read document %s: %w", previous.Document, err)
		}
		v.Document, v.Number = d.ID, versions[len(versions)-1].Number+1
		for _, other := range changes.Versions { // another source of the same document
			if other.Document == d.ID {
				v.Number = other.Number + 1
			}
		}
		d.Version, d.UpdatedAt = v.Number, now
		changes.Documents = append(changes.Documents, d)
	} else {
		v.Document, v.Number = storage.DocumentID(storage.NewID("doc")), 1
		changes.Documents = append(changes.Documents, storage.Document{
			ID: v.Document, Title: p.file.title(), Department: p.file.Department, Collection: p.file.Collection,
			Classification: p.file.Classification, Version: 1, PublishedAt: p.file.PublishedAt, CreatedAt: now, UpdatedAt: now,
		})
	}
	source.Document, source.Version = v.Document, v.Number
	changes.Versions = append(changes.Versions, v)
	changes.Sources = append(changes.Sources, source)
	p.known(outcome, v)
	return &storage.Sheet{Window: v.Window, Hashes: p.hashes}, nil
}

const withdrawn = "the document from this source was withdrawn"

const deletedMeanwhile = "the document with these bytes was deleted while this one was being registered"

// replace puts what was read now in the place of what was read of the same bytes
// before.
func (r *Registrar) replace(ctx context.Context, p *prepared, known storage.Version, source storage.Source, now time.Time, changes *storage.Changes) (*storage.Sheet, error) {
	d, _, _, err := r.registry.Document(ctx, storage.Everywhere(), known.Document)
	if err != nil {
		return nil, fmt.Errorf("read document %s: %w", known.Document, err)
	}
	d.UpdatedAt = now
	v := p.version
	v.Document, v.Number, v.CreatedAt = known.Document, known.Number, known.CreatedAt
	source.Document, source.Version = known.Document, known.Number
	changes.Documents = append(changes.Documents, d)
	changes.Rereads = append(changes.Rereads, v)
	changes.Sources = append(changes.Sources, source)
	p.known(Updated, v)
	return &storage.Sheet{Window: v.Window, Hashes: p.hashes}, nil
}

// move keeps a version under the current key.
func (r *Registrar) move(ctx context.Context, p *prepared, changes *storage.Changes) (*storage.Sheet, error) {
	v := p.version
	found, err := r.registry.Matches(ctx, storage.Everywhere(), []storage.Ordinal{p.outdated})
	if err != nil {
		return nil, fmt.Errorf("look up version: %w", err)
	}
	known, there := found[p.outdated]
	if !there {
		p.finish(Skipped, StatusNotFetched, "it was moved or deleted meanwhile")
		return nil, nil
	}
	v.Document, v.Number, v.CreatedAt = known.Document.ID, known.Version.Number, known.Version.CreatedAt
	changes.Rereads = append(changes.Rereads, v)
	p.known(Updated, v)
	return &storage.Sheet{Window: v.Window, Hashes: p.hashes}, nil
}

// event is what departments are told about the file, if it made a document, or a better one. Of gaps the
// registry tells, which knows whether they are new.
func (p *prepared) event(now time.Time) (storage.Event, bool) {
	return storage.Event{
		ID: storage.EventID(storage.NewID("evt")), Type: storage.DocumentRegistered, Department: p.file.Department, Document: p.result.Document, At: now,
	}, (p.result.Outcome == Registered || p.result.Outcome == Updated) && !p.moved
}

// item is the line of the job's report.
func (p *prepared) item() storage.Item {
	return storage.Item{
		Job: p.file.job.id(), Source: p.result.Source, Document: p.result.Document, Outcome: string(p.result.Outcome),
		Status: string(p.result.Status), Reason: p.result.Reason, Pages: p.result.Pages, Characters: p.result.Characters,
	}
}
