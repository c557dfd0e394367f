package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/console"
	"github.com/sealprint/sealprint/api/intake"
	"github.com/sealprint/sealprint/api/jetstream"
	"github.com/sealprint/sealprint/api/webhook"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/audit"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// shutdownTime is how long requests that are being answered may take when the
// server is asked to stop.
const shutdownTime = 15 * time.Second

func serveCommand(c terminal) *cobra.Command {
	var s settings
	var file *string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Start the server, in the foreground, until it is interrupted.

On the first start in an empty data folder it makes the deployment's secret key
(secret.key) and an admin API key (admin.key). Without secret.key the index says
nothing, to nobody: keep a copy of it where the index is not.`,
		Example: "  sealprint serve --data /var/lib/sealprint --config /etc/sealprint.yaml",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(cmd, *file); err != nil {
				return err
			}
			return serve(cmd.Context(), c, s)
		},
	}
	file = s.flags(cmd)
	return cmd
}

// processors is how many this program has.
var processors = runtime.GOMAXPROCS(0)

// serve runs a server until ctx ends.
func serve(ctx context.Context, c terminal, s settings) (err error) {
	// Who waits for the disk keeps others from running until the runtime notices, and here
	// somebody always does: with one place to run for each processor, posts were taken in
	// at three quarters of the pace, and a fifth of the processors was idle.
	runtime.GOMAXPROCS(2 * processors)
	log := slog.New(slog.NewJSONHandler(c.err, nil))
	places, err := s.places()
	if err != nil {
		return err
	}
	tokens, err := s.tokens()
	if err != nil {
		return err
	}
	mailer, err := s.mailer()
	if err != nil {
		return err
	}
	var server *api.Server
	var feed *jetstream.Consumer
	var feeding func() bool
	if s.JetStream != nil {
		if feed, err = s.JetStream.open(filepath.Join(s.Data, "jetstream"), func(result string) { server.Fed(result) }, log); err != nil {
			return usageError{fmt.Errorf("jetstream: %w", err)}
		}
		feeding = feed.Taking
	}
	// What was opened is closed in reverse order, and a failure to close is an error.
	var closers []io.Closer
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i].Close())
		}
	}()
	store, err := openData(ctx, s.Data, true, log)
	if err != nil {
		return err
	}
	closers = append(closers, store)
	if err := store.adminKey(ctx, c.err); err != nil {
		return err
	}

	pool := extract.NewPool(extract.Options{Cache: cmp.Or(s.Cache, filepath.Join(s.Data, "cache")), Workers: processors})
	closers = append(closers, pool)
	go func() {
		if err := pool.Warm(); err != nil {
			log.Warn("readers start slowly", "error", err)
		}
	}()
	if ocr, missing := pool.OCR(); missing != "" {
		log.Warn("pages that are pictures are not read", "reason", missing)
	} else {
		log.Info("pages that are pictures are recognized", "by", ocr)
	}
	matcher := &match.Matcher{
		Key: store.key, Index: store.index, Documents: store.registry, Pages: store.pages, Drawings: store.registry, Recognizer: recognizer{pool},
	}
	if p := store.previous; p != nil {
		matcher.Previous = &match.Generation{Key: p.key, Index: p.index, Pages: p.pages}
		log.Warn("the secret key is being changed", "previous_key_id", p.key.ID(), "since", store.registry.Rotation().At)
	}
	// What is stopped last is started first: posts make alerts as long as anything finds
	// documents in them.
	hooks := webhook.New(store.registry, webhook.Options{
		Allowed: s.WebhookAllow, Mail: mailer, Log: log, Observe: func(r webhook.Result) { server.Attempted(r) },
	})
	posts := intake.New(store.registry, hooks.Wake)
	closers = append(closers, posts)
	config := ingest.Config{
		Index: store.texts(), Pages: store.layouts(), Registry: store.registry, Extractor: pool, Places: places,
		Key: store.key, Previous: store.previousKey(), Rotation: store.registry.Rotation(), Processors: processors,
	}
	if s.Archive != nil {
		archive, err := s.Archive.open()
		if err != nil {
			return usageError{fmt.Errorf("archive: %w", err)}
		}
		config.Archive = archive
	}
	if s.Retention.Fingerprints > 0 {
		late := intake.NewLate(store.registry, matcher, posts, log)
		closers = append(closers, late)
		config.Told = late.Registered
	}
	registrar, err := ingest.NewRegistrar(ctx, config)
	if err != nil {
		return err
	}
	closers = append(closers, registrar)
	jobs, err := ingest.NewJobs(ctx, registrar, store.registry, places, log)
	if err != nil {
		return err
	}
	closers = append(closers, jobs)

	provider, err := s.provider(tokens)
	if err != nil {
		return err
	}
	pages := func(handler http.Handler) (http.Handler, error) {
		return console.New(console.Options{API: handler, Provider: provider, Version: version, Log: log})
	}
	if server, err = api.NewServer(api.Config{
		Key: store.key, Previous: store.previousKey(), Matcher: matcher, Index: store.texts(), Pages: store.layouts(), Registry: store.registry, Audit: store.audit,
		Ingest: &ingestion{registrar, jobs, pool, store.key, s.Data}, Upkeep: store, Log: log,
		Quotas: s.quotas(), Intake: posts, KeepGrams: s.Retention.Fingerprints > 0,
		Webhooks: store.registry, CheckWebhook: hooks.CheckURL, Wake: hooks.Wake, Tokens: tokens, Feeding: feeding, Console: pages, Version: version, Processors: processors,
	}); err != nil {
		return err
	}
	behind, stopBehind := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	defer func() {
		stopBehind()
		work.Wait()
	}()
	work.Go(func() {
		if err := hooks.Run(behind); err != nil && behind.Err() == nil {
			log.Error("webhooks are not delivered", "error", err)
		}
	})
	work.Go(func() { forget(behind, store.registry, s.Retention, log) })
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	scheme := "http"
	if s.TLSCert != "" {
		certificate, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return errors.Join(usageError{fmt.Errorf("read TLS certificate: %w", err)}, listener.Close())
		}
		scheme = "https"
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	if feed != nil {
		feedUntil, stopFeed := context.WithCancel(ctx)
		defer stopFeed()
		work.Go(func() { feed.Run(feedUntil, server) })
	}
	web := server.HTTPServer()
	log.Info("ready", "version", version, "address", scheme+"://"+listener.Addr().String(), "key_id", store.key.ID())
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	server.Drain()
	server.Close()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := web.Shutdown(stopping); err != nil {
		_ = web.Close() // what is still open after the grace time
		log.Warn("requests were cut off", "error", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// data is an open data folder.
type data struct {
	dir      string
	key      *fingerprint.Key
	index    *index.Index // of texts
	pages    *index.Index // of layouts of pages
	registry *registry.Registry
	audit    *audit.Log
	previous *generation // while the secret key is being changed; else nil
}

// openData opens a data folder, or makes one.
func openData(ctx context.Context, dir string, create bool, log *slog.Logger) (*data, error) {
	d := &data{dir: dir}
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
	}
	err := rotating(dir)
	if err != nil {
		return nil, err
	}
	if d.key, err = secretKey(dir, create); err != nil {
		return nil, err
	}
	previous, err := previousKey(dir)
	if err != nil {
		return nil, err
	}
	if d.registry, err = registry.Open(ctx, filepath.Join(dir, "registry.db"), d.key, previous...); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	if d.index, err = index.Open(filepath.Join(dir, "index"), d.key.Params(), index.Options{Events: logEvents(log)}); err != nil {
		return nil, errors.Join(fmt.Errorf("open index: %w", err), d.registry.Close())
	}
	if d.pages, err = index.Open(filepath.Join(dir, "pages"), d.key.PageParams(), index.Options{Events: logEvents(log)}); err != nil {
		return nil, errors.Join(fmt.Errorf("open index of pages: %w", err), d.index.Close(), d.registry.Close())
	}
	if d.registry.Rotation().Previous != "" {
		if d.previous, err = openPrevious(dir, previous[0], log); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	// A rotation may have begun before the index was ours.
	if err := rotating(dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if create {
		if d.audit, err = audit.Open(filepath.Join(dir, auditFolder), d.key); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	// The folder is ours now: what is left of a backup that broke off goes.
	stale, _ := filepath.Glob(filepath.Join(dir, "*-*.tmp"))
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return nil, errors.Join(fmt.Errorf("remove what a backup left: %w", err), d.Close())
		}
	}
	return d, nil
}

// Close closes indexes and registry.
func (d *data) Close() error {
	err := errors.Join(d.index.Close(), d.pages.Close(), d.registry.Close())
	if d.previous != nil {
		err = errors.Join(err, d.previous.index.Close(), d.previous.pages.Close())
	}
	if d.audit != nil { // the last: it is written to as long as anything answers
		err = errors.Join(err, d.audit.Close())
	}
	return err
}

// secretKey reads the deployment's secret key, or makes it in an empty folder.
func secretKey(dir string, create bool) (key *fingerprint.Key, err error) {
	path := filepath.Join(dir, keyFile)
	key, err = readKey(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) || !create {
		return key, err
	}
	for _, name := range []string{"registry.db", "index", "pages", auditFolder} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil, fmt.Errorf("%s is missing, but %s is not empty: put the key back, the index means nothing without it; if it is lost, move the folder away and register again from the sources", path, dir)
		}
	}
	key = fingerprint.NewKey()
	if err := writeSecret(path, key.Encode()); err != nil {
		return nil, fmt.Errorf("write secret key: %w", err)
	}
	return key, nil
}

// readKey reads a secret key.
func readKey(path string) (*fingerprint.Key, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read secret key: %w", err)
	}
	key, err := fingerprint.ParseKey(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return key, nil
}

// adminKey makes the first API key of a registry that has none. It is written aside before
// the registry learns it, so that a crash in between leaves no key that nobody has.
func (d *data) adminKey(ctx context.Context, errOut io.Writer) error {
	path := filepath.Join(d.dir, "admin.key")
	aside := path + ".new"
	keys, _, err := d.registry.Keys(ctx, storage.Everywhere(), "", 1)
	if err != nil {
		return fmt.Errorf("look for API keys: %w", err)
	}
	if _, err := os.Stat(aside); len(keys) == 0 && err != nil {
		key, _ := auth.NewKey(auth.Admin, "", time.Now())
		if err := writeSecret(aside, []byte(key+"\n")); err != nil {
			return fmt.Errorf("write admin key: %w", err)
		}
	}
	content, err := os.ReadFile(aside)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read admin key: %w", err)
	}
	record, err := auth.Record(string(content), auth.Admin, "", time.Now())
	if err != nil {
		return fmt.Errorf("read admin key: %w", err)
	}
	if err := d.registry.AddKey(ctx, record); err != nil {
		return fmt.Errorf("store admin key: %w", err)
	}
	if err := os.Rename(aside, path); err != nil {
		return fmt.Errorf("write admin key: %w", err)
	}
	if err := syncFolder(d.dir); err != nil {
		return err
	}
	if intoJournal(errOut) {
		fmt.Fprintf(errOut, "admin API key, kept in %s\n", path)
		return nil
	}
	fmt.Fprintf(errOut, "admin API key, shown once and kept in %s: %s", path, content)
	return nil
}

// intoJournal reports whether what is written to w is kept by systemd's journal, where
// others may read it: JOURNAL_STREAM names the device and inode of the stream that
// leads there (systemd.exec(5)).
func intoJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// writeSecret writes a file that only its owner reads, all of it or nothing.
func writeSecret(path string, content []byte) error {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
