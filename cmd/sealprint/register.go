package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v5"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api/client"
)

// uploads is how many files are on their way to the server at a time: enough
// to keep its readers busy while others are being sent.
const uploads = 4

// reportPause is how often progress is told where there is no terminal.
const reportPause = 5 * time.Second

// outcome is the line of the report for one file.
type outcome struct {
	Source     string         `json:"source"`
	DocumentID string         `json:"document_id,omitempty"`
	Outcome    client.Outcome `json:"outcome"`
	Status     client.Status  `json:"status"`
	Reason     string         `json:"reason,omitempty"`
	Pages      int            `json:"pages"`
	Characters int            `json:"characters"`
}

func registerCommand(c terminal) *cobra.Command {
	var conn connection
	var options client.Upload
	var asJSON, dryRun bool
	cmd := &cobra.Command{
		Use:   "register SOURCE...",
		Short: "Register documents",
		Long: `Register documents: files, folders (with all that is below them), s3://BUCKET/PREFIX of a
source that the server is configured with (the server fetches the objects itself), or a bundle
that "fingerprint" made (.spf).

A second run registers nothing anew; an interrupted one goes on. One bad file never stops the rest.`,
		Example: `  sealprint register ./memos report.pdf --department finance --classification restricted
  sealprint register s3://records/2026/`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			if dryRun {
				return estimate(cmd.Context(), c, api, args, asJSON)
			}
			r := &registration{terminal: c, api: api, options: options, report: newReport(c, asJSON)}
			err = r.all(cmd.Context(), args)
			return errors.Join(err, r.report.finish(err == nil))
		},
	}
	conn.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&options.Department, "department", "", "department that owns the documents (default: the key's own, else \"default\")")
	f.StringVar(&options.Classification, "classification", "", "classification of the documents")
	f.StringVar(&options.Collection, "collection", "", "collection to put them into")
	f.BoolVar(&options.Again, "again", false, "read known files again that could be read better now than they were")
	f.BoolVar(&dryRun, "dry-run", false, "register nothing: tell how many files there are, how much room they would take and how long it would take")
	f.BoolVar(&asJSON, "json", false, "print a JSON line per file and a last line with the summary")
	return cmd
}

// registration is one run of the command.
type registration struct {
	terminal
	api     *client.Client
	options client.Upload
	kind    client.RegistrationKind
	report  *report
}

func (r *registration) all(ctx context.Context, sources []string) error {
	for _, source := range sources {
		var err error
		switch {
		case strings.HasPrefix(source, "s3://"):
			err = r.bucket(ctx, source)
		case filepath.Ext(source) == bundleSuffix:
			err = r.bundle(ctx, source)
		default:
			err = r.files(ctx, source)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whatIsEarlier is what a job goes through that has no source.
const whatIsEarlier = "what is kept under the previous key"

// bucket lets the server register a source of its own and follows the job.
func (r *registration) bucket(ctx context.Context, uri string) error {
	_, err := follow(ctx, r.api, client.StartRegistrationJSONRequestBody{
		Source: uri, Kind: r.kind, Department: r.options.Department, Classification: r.options.Classification, Collection: r.options.Collection,
		Again: r.options.Again,
	}, func(i client.RegistrationItem) error {
		return r.report.add(outcome{i.Source, i.DocumentID, i.Outcome, i.Status, i.Reason, i.Pages, i.Characters})
	}, r.report.expect)
	return err
}

// follow has the server do a job and returns it as it ended; that it did not come to its end
// is an error.
func follow(ctx context.Context, api *client.Client, request client.StartRegistrationJSONRequestBody, item func(client.RegistrationItem) error, progress func(client.Registration)) (*client.Registration, error) {
	uri := cmp.Or(request.Source, whatIsEarlier)
	job, err := api.StartRegistration(ctx, request)
	if errors.Is(err, client.ErrNotFound) {
		return nil, fmt.Errorf("%s: the server has no source with that bucket: %w", uri, err)
	}
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", uri, err)
	}
	job, err = api.WatchRegistration(ctx, job.ID, item, progress)
	switch {
	case err != nil:
		return nil, fmt.Errorf("follow registration of %s, which goes on without us: %w", uri, err)
	case job.State == "failed":
		return nil, fmt.Errorf("register %s: %s", uri, job.Error)
	case job.State == "cancelled":
		return nil, fmt.Errorf("register %s: cancelled", uri)
	}
	return job, nil
}

// bundleSuffix is that of bundles of fingerprints.
const bundleSuffix = ".spf"

// bundle has the server register a bundle of fingerprints.
func (r *registration) bundle(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return usageError{fmt.Errorf("source: %w", err)}
	}
	defer f.Close()
	err = r.api.ImportBundle(ctx, client.ImportBundleParams{
		Department: r.options.Department, Classification: r.options.Classification, Collection: r.options.Collection,
	}, f, func(i client.RegistrationItem) error {
		return r.report.add(outcome{i.Source, i.DocumentID, i.Outcome, i.Status, i.Reason, i.Pages, i.Characters})
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", path, err)
	}
	return nil
}

// files uploads a file, or everything below a folder.
func (r *registration) files(ctx context.Context, given string) error {
	if _, err := os.Stat(given); err != nil {
		return usageError{fmt.Errorf("source: %w", err)}
	}
	return eachFile(ctx, []string{given}, uploads, r.report, r.file)
}

// eachFile calls do for every regular file at or below the sources, several at a time, with
// the line that says that it failed; what is none is reported. An error of do ends it.
func eachFile(ctx context.Context, sources []string, workers int, report *report, do func(ctx context.Context, path string, line outcome) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	one := func(path string) error {
		line := outcome{Source: path, Outcome: "failed", Status: "not_fetched"}
		if !utf8.ValidString(path) {
			line.Source = strings.ToValidUTF8(path, "�")
			line.Reason = "the file's name is not UTF-8"
			return report.add(line)
		}
		info, err := os.Stat(path)
		if err != nil {
			line.Reason = plain(err)
			return report.add(line)
		}
		if !info.Mode().IsRegular() {
			line.Outcome, line.Status, line.Reason = "skipped", "unsupported", "not a regular file"
			return report.add(line)
		}
		return do(ctx, path, line)
	}
	paths := make(chan string)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for path := range paths {
				if err := one(path); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, source := range sources {
		walk(source, func(path string, err error) bool {
			if err != nil {
				if err := report.add(outcome{Source: path, Outcome: "failed", Status: "not_fetched", Reason: plain(err)}); err != nil {
					fail(err)
				}
				return ctx.Err() == nil
			}
			select {
			case paths <- path:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}
	close(paths)
	wait.Wait()
	return context.Cause(ctx)
}

// walk visits every file at or below a path, as the path was given joined with
// the path below it. It follows a link that was given, and none below.
func walk(given string, visit func(path string, err error) bool) {
	info, err := os.Stat(given)
	if err != nil || !info.IsDir() {
		visit(given, err)
		return
	}
	entries, err := os.ReadDir(given)
	if err != nil {
		visit(given, err)
		return
	}
	var descend func(dir string, entries []fs.DirEntry) bool
	descend = func(dir string, entries []fs.DirEntry) bool {
		for _, e := range entries {
			path := strings.TrimRight(dir, "/") + "/" + e.Name()
			if !e.IsDir() {
				if !visit(path, nil) {
					return false
				}
				continue
			}
			below, err := os.ReadDir(path)
			if err != nil {
				if !visit(path, err) {
					return false
				}
				continue
			}
			if !descend(path, below) {
				return false
			}
		}
		return true
	}
	descend(given, entries)
}

// file uploads one file and reports what became of it. It returns an error only
// when going on makes no sense.
func (r *registration) file(ctx context.Context, path string, line outcome) error {
	// Registering the same bytes again changes nothing, so it may be repeated.
	document, err := backoff.Retry(ctx, func() (*client.RegisteredDocument, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		defer f.Close()
		u := r.options
		u.Source, u.Name, u.Content = path, filepath.Base(path), f
		document, err := r.api.Register(ctx, u)
		if err != nil && !errors.Is(err, client.ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return document, err
	}, backoff.WithMaxTries(5))
	var problem *client.ProblemError
	var local *fs.PathError
	switch {
	case err == nil:
		line.DocumentID, line.Outcome, line.Status, line.Reason = document.ID, document.Outcome, document.Status, document.Reason
		line.Pages, line.Characters = document.Pages, document.Characters
	case errors.As(err, &problem) && problem.Outcome != "":
		line.Outcome, line.Status, line.Reason = problem.Outcome, problem.DocumentStatus, problem.Detail
	case errors.Is(err, client.ErrTooLarge):
		line.Status, line.Reason = "limit", problem.Detail
	case errors.As(err, &local):
		line.Reason = plain(local)
	default:
		return fmt.Errorf("register %s: %w", path, err)
	}
	return r.report.add(line)
}

// plain is a file error without the path, which stands beside it.
func plain(err error) string {
	var local *fs.PathError
	if errors.As(err, &local) {
		return local.Err.Error()
	}
	return err.Error()
}

// summary counts the outcomes.
type summary struct {
	Registered int `json:"registered"`
	Unchanged  int `json:"unchanged"`
	Updated    int `json:"updated"`
	Duplicate  int `json:"duplicate"`
	Failed     int `json:"failed"`
	Skipped    int `json:"skipped"`

	fingerprinted int // by those who register nothing
}

func (s *summary) count(o client.Outcome) {
	switch o {
	case fingerprinted:
		s.fingerprinted++
	case "registered":
		s.Registered++
	case "unchanged":
		s.Unchanged++
	case "updated":
		s.Updated++
	case "duplicate":
		s.Duplicate++
	case "failed":
		s.Failed++
	case "skipped":
		s.Skipped++
	}
}

func (s summary) String() string {
	return fmt.Sprintf("%d registered, %d unchanged, %d updated, %d duplicates, %d failed, %d skipped",
		s.Registered, s.Unchanged, s.Updated, s.Duplicate, s.Failed, s.Skipped)
}

// report tells what becomes of files while it becomes of them.
type report struct {
	terminal
	json    bool
	offline bool                     // nothing is registered: fingerprints are made
	bar     *progressbar.ProgressBar // on a terminal

	mu      sync.Mutex
	summary summary
	job     client.Registration // as it was told last
	told    time.Time
}

func newReport(c terminal, asJSON bool) *report {
	r := &report{terminal: c, json: asJSON, told: time.Now()}
	if isTerminal(c.err) {
		r.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(c.err), progressbar.OptionSetDescription("registering"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("files"), progressbar.OptionClearOnFinish())
	}
	return r
}

// expect is told how a job goes on.
func (r *report) expect(job client.Registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job = job
	if r.bar != nil && job.Expected > 0 && r.bar.GetMax() != job.Expected {
		r.bar.ChangeMax(job.Expected)
	}
}

func (r *report) add(o outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.count(o.Outcome)
	if r.json {
		if err := r.printJSON(o); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
	}
	bad := o.Outcome == "failed" || o.Outcome == "skipped" || o.Status != "ok"
	if bad && !r.json {
		if r.bar != nil {
			_ = r.bar.Clear() // only what a terminal shows
		}
		fmt.Fprintf(r.err, "%s: %s, %s: %s\n", o.Source, o.Outcome, o.Status, o.Reason)
	}
	switch {
	case r.bar != nil:
		_ = r.bar.Add(1) // only what a terminal shows
	case time.Since(r.told) >= reportPause:
		r.told = time.Now()
		fmt.Fprintf(r.err, "so far: %s%s\n", r.said(), left(r.job))
	}
	return nil
}

// left is how far a job is, and how long it will take, as far as that is known.
func left(job client.Registration) (said string) {
	if job.Expected > 0 {
		said = fmt.Sprintf("; %d of %d", job.Listed, job.Expected)
	}
	if job.SecondsLeft > 0 {
		said += fmt.Sprintf(", %.0f a second, about %s left", job.ObjectsPerSecond, time.Duration(job.SecondsLeft*float64(time.Second)).Round(time.Second))
	}
	return said
}

// said is the summary for people.
func (r *report) said() string {
	if r.offline {
		return fmt.Sprintf("%d fingerprinted, %d failed, %d skipped", r.summary.fingerprinted, r.summary.Failed, r.summary.Skipped)
	}
	return r.summary.String()
}

// finish tells the summary, if the run came to its end, and whether some files failed.
func (r *report) finish(complete bool) error {
	if r.bar != nil {
		_ = r.bar.Finish() // only what a terminal shows
	}
	var err error
	switch {
	case r.json:
		var sum any = r.summary
		if r.offline {
			sum = map[string]int{fingerprinted: r.summary.fingerprinted, "failed": r.summary.Failed, "skipped": r.summary.Skipped}
		}
		err = r.printJSON(map[string]any{"summary": sum})
	case complete:
		_, err = fmt.Fprintln(r.out, r.said())
	default:
		_, err = io.WriteString(r.err, "before it ended: "+r.said()+"\n")
	}
	if err == nil && complete && r.summary.Failed > 0 {
		return exitError(exitFailed)
	}
	return err
}
