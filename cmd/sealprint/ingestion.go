package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/bundle"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/storage"
)

// ingestion is package ingest as package api wants it: neither knows the other.
type ingestion struct {
	registrar *ingest.Registrar
	jobs      *ingest.Jobs
	pool      *extract.Pool
	key       *fingerprint.Key
	dir       string // where bundles are kept while they are imported
}

var _ api.Ingest = (*ingestion)(nil)

func (i *ingestion) Register(ctx context.Context, u api.Upload) (api.Registered, error) {
	size := u.Size
	if size > ingest.MaxFileBytes {
		size = ingest.MaxFileBytes // the form around the file may be what exceeds it
	}
	done, err := i.registrar.Register(ctx, ingest.File{
		SourceKey: u.SourceKey, Classification: u.Classification, Title: u.Title, PublishedAt: u.PublishedAt, Again: u.Again,
		Size: size, Archive: true,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(u.Content), nil },
	})
	if err != nil {
		return api.Registered{}, err
	}
	return api.Registered{
		Document: done.Document, Outcome: api.Outcome(done.Outcome), Status: api.Status(done.Status), Reason: done.Reason,
	}, nil
}

// ImportBundle keeps the bundle on disk, where it tells nobody anything without the key, so
// that it can be verified to its end before its first entry is registered.
func (i *ingestion) ImportBundle(ctx context.Context, content io.Reader, department, collection, classification string) (func(func(api.RegistrationItem) error) error, error) {
	file, err := os.CreateTemp(i.dir, "bundle-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("keep bundle: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil { // the file stays until it is closed
		return nil, errors.Join(fmt.Errorf("keep bundle: %w", err), file.Close())
	}
	_, err = io.Copy(file, content)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep bundle: %w", err), file.Close())
	}
	_, err = bundle.Verify(file, i.key)
	if errors.Is(err, bundle.ErrBundle) || errors.Is(err, fingerprint.ErrParams) {
		err = &api.BadBundle{Reason: err.Error()}
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	said := ingest.Said{Department: department, Collection: collection, Classification: classification}
	return func(tell func(api.RegistrationItem) error) error {
		defer file.Close()
		return bundle.Import(ctx, file, i.key, i.registrar, said, func(r ingest.Result) error {
			return tell(api.RegistrationItem{
				Source: r.Source, DocumentID: string(r.Document), Outcome: api.Outcome(r.Outcome), Status: api.Status(r.Status), Reason: r.Reason,
				Pages: r.Pages, Characters: r.Characters,
			})
		})
	}, nil
}

func (i *ingestion) Read(ctx context.Context, content io.Reader, size int64) (api.Reading, error) {
	looks, reading, err := i.registrar.Look(ctx, content, size)
	if err != nil {
		return api.Reading{}, err
	}
	out := api.Reading{Reason: reading.Reason}
	for _, p := range reading.Pages {
		out.Pages = append(out.Pages, p.Text)
	}
	for _, l := range looks {
		if l.Reason != "" {
			out.Reason = l.Reason
			continue
		}
		out.Pictures = append(out.Pictures, l.Picture)
	}
	if len(out.Pictures) > 0 && reading.Status == ingest.StatusNoText {
		out.Reason = "" // nobody looked for text yet
	}
	return out, nil
}

func (i *ingestion) Undrawn(ctx context.Context, scope storage.Scope) (int64, error) {
	return i.registrar.Undrawn(ctx, scope)
}

func (i *ingestion) DrawPage(ctx context.Context, v storage.Version, number int) (page.Picture, error) {
	look, err := i.registrar.DrawPage(ctx, v, number)
	if err == nil && look.Reason != "" {
		err = &api.NoPicture{Reason: look.Reason}
	}
	return look.Picture, err
}

func (i *ingestion) ReadPages(ctx context.Context, v storage.Version) (map[int]api.PageReading, error) {
	reading, err := i.registrar.ReadAgain(ctx, v)
	if err != nil {
		return nil, err
	}
	pages := map[int]api.PageReading{}
	for _, p := range reading.Pages {
		pages[p.Number] = api.PageReading{Text: p.Text, Reader: p.Reader}
	}
	return pages, nil
}

func (i *ingestion) StartJob(ctx context.Context, r api.JobRequest) (storage.Job, bool, error) {
	return i.jobs.Start(ctx, ingest.Request{
		Source: r.Source, Prefix: r.Prefix, Kind: r.Kind, Again: r.Again,
		Said: ingest.Said{Department: r.Department, Classification: r.Classification, Collection: r.Collection},
	})
}

func (i *ingestion) CancelJob(ctx context.Context, id storage.JobID) error {
	return i.jobs.Cancel(ctx, id)
}

func (i *ingestion) Source(name string) (department, bucket string, err error) {
	return i.jobs.Source(name)
}

func (i *ingestion) Notice(ctx context.Context, source string, keys []string) (int, error) {
	return i.jobs.Notice(ctx, source, keys)
}

func (i *ingestion) Usual(ctx context.Context, scope storage.Scope) (size, pace float64, err error) {
	return i.jobs.Usual(ctx, scope)
}

func (i *ingestion) Outdated(v storage.Version) bool { return i.registrar.Outdated(v) }

func (i *ingestion) OCR() (name, missing string) { return i.pool.OCR() }

func (i *ingestion) MaxFileBytes() int64 { return ingest.MaxFileBytes }

// recognizer is the readers' recognition as package match wants it.
type recognizer struct{ *extract.Pool }

func (r recognizer) Recognize(ctx context.Context, p page.Picture) ([]match.Word, string, error) {
	read, reason, err := r.Pool.Recognize(ctx, p)
	words := make([]match.Word, len(read))
	for i, w := range read {
		words[i] = match.Word(w)
	}
	return words, reason, err
}
