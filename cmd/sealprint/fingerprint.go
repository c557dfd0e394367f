package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/bundle"
	"github.com/sealprint/sealprint/ingest/extract"
)

func fingerprintCommand(c terminal) *cobra.Command {
	var keyFile, out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fingerprint SOURCE...",
		Short: "Make fingerprints of files here, to register them elsewhere",
		Long: `Make fingerprints of files and folders here, without a server, for documents that may not leave this network. The bundle holds no text: only
keyed fingerprints, the names of the files, and sizes, encrypted and authenticated with the deployment's secret key. "register BUNDLE.spf" registers them.

It needs a copy of the server's secret.key, and the programs that read scans and old office files, if there are any.`,
		Example: "  sealprint fingerprint ./minutes --secret-key-file secret.key -o minutes.spf\n  sealprint register minutes.spf --department cabinet",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keyFile == "" || filepath.Ext(out) != bundleSuffix {
				return usageError{fmt.Errorf("need --secret-key-file, and --output with a name that ends in %s", bundleSuffix)}
			}
			key, err := keyOf(keyFile)
			if err != nil {
				return err
			}
			pool := extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: processors})
			defer pool.Close()
			if _, missing := pool.OCR(); missing != "" {
				fmt.Fprintf(c.err, "Pages that are pictures are not recognized: %s\n", missing)
			}
			report := newReport(c, asJSON)
			report.offline = true
			err = fingerprintAll(cmd.Context(), args, key, pool, out, report)
			return errors.Join(err, report.finish(err == nil))
		},
	}
	f := cmd.Flags()
	f.StringVar(&keyFile, "secret-key-file", "", "copy of the server's secret.key")
	f.StringVarP(&out, "output", "o", "", "file to write, such as minutes.spf")
	f.BoolVar(&asJSON, "json", false, "print a JSON line per file and a last line with the summary")
	return cmd
}

// keyOf reads a copy of a server's secret key.
func keyOf(path string) (*fingerprint.Key, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("read secret key: %w", err)}
	}
	key, err := fingerprint.ParseKey(content)
	if err != nil {
		return nil, usageError{fmt.Errorf("read secret key: %w", err)}
	}
	return key, nil
}

// fingerprinted is the outcome of a file that a bundle has.
const fingerprinted = "fingerprinted"

// fingerprintAll makes a bundle of all files at or below the sources. It has its name when it
// is whole.
func fingerprintAll(ctx context.Context, sources []string, key *fingerprint.Key, pool *extract.Pool, out string, report *report) (err error) {
	for _, source := range sources {
		if _, err := os.Stat(source); err != nil {
			return usageError{fmt.Errorf("source: %w", err)}
		}
	}
	file, err := os.CreateTemp(filepath.Dir(out), filepath.Base(out)+".*.tmp")
	if err != nil {
		return usageError{fmt.Errorf("write bundle: %w", err)}
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the error that led here matters more
		}
	}()
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := bundle.Create(file, key)
	if err != nil {
		return err
	}
	b := &bundling{maker: ingest.NewFingerprinter(key, pool), w: w, report: report}
	if err := eachFile(ctx, sources, processors, report, b.add); err != nil {
		return err
	}
	if err := errors.Join(w.Close(), file.Sync()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), out); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// bundling is a bundle that is being made.
type bundling struct {
	maker  *ingest.Fingerprinter
	report *report

	mu sync.Mutex
	w  *bundle.Writer
}

// add makes the fingerprints of a file. It returns an error only when going on makes no sense.
func (b *bundling) add(ctx context.Context, path string, line outcome) error {
	file, err := os.Open(path)
	if err != nil {
		line.Reason = plain(err)
		return b.report.add(line)
	}
	defer file.Close()
	made, status, reason, err := b.maker.Fingerprints(ctx, file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	line.Status, line.Reason = client.Status(status), reason
	if made == nil {
		if status == ingest.StatusUnsupported {
			line.Outcome = "skipped"
		}
		return b.report.add(line)
	}
	b.mu.Lock()
	err = b.w.Add(bundle.Entry{Source: path, Fingerprints: *made})
	b.mu.Unlock()
	if err != nil {
		return err
	}
	line.Outcome, line.Pages, line.Characters = fingerprinted, len(made.Version.Pages), made.Version.Characters()
	return b.report.add(line)
}
