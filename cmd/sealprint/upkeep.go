package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/storage/backup"
	"github.com/sealprint/sealprint/storage/index"
)

// Backup implements api.Upkeep.
func (d *data) Backup(ctx context.Context, w io.Writer) error {
	from := backup.Source{Index: d.index, Pages: d.pages, Registry: d.registry, Key: d.key, Audit: filepath.Join(d.dir, auditFolder), Folder: d.dir}
	if p := d.previous; p != nil {
		from.Previous = &backup.Generation{Key: p.key, Index: p.index, Pages: p.pages}
	}
	_, err := from.Write(ctx, w)
	return err
}

// Merge implements api.Upkeep.
func (d *data) Merge(ctx context.Context) error {
	err := errors.Join(d.index.Compact(ctx), d.pages.Compact(ctx))
	if p := d.previous; p != nil {
		err = errors.Join(err, p.index.Compact(ctx), p.pages.Compact(ctx))
	}
	return err
}

// Check implements api.Upkeep.
func (d *data) Check(ctx context.Context) (api.IndexReport, error) { return checkFolder(ctx, d.dir) }

// checkFolder reads the indexes of a data folder, whether it is open or not. What it counts
// is of the index of texts and that of pages together, under whatever keys.
func checkFolder(ctx context.Context, dir string) (api.IndexReport, error) {
	report := api.IndexReport{Damage: []string{}}
	for _, name := range []string{"index", "pages", filepath.Join(previousFolder, "index"), filepath.Join(previousFolder, "pages")} {
		found, err := index.Check(ctx, filepath.Join(dir, name))
		if name != "index" && errors.Is(err, os.ErrNotExist) {
			continue // no server has run there since there are indexes of pages, or the key is not being changed
		}
		if err != nil {
			return api.IndexReport{}, err
		}
		report.Segments += found.Segments
		report.Documents += found.Documents
		report.Postings += found.Postings
		report.Logs += found.Logs
		report.Changes += found.Changes
		report.Bytes += found.Bytes
		report.TornBytes += found.Torn
		for _, damage := range found.Damage {
			report.Damage = append(report.Damage, damage.Error())
		}
	}
	return report, nil
}

// place is where a command works: at the server, or in a data folder that no server
// uses.
type place struct {
	connection
	dir string
}

func (p *place) flags(cmd *cobra.Command) {
	p.connection.flags(cmd)
	cmd.Flags().StringVar(&p.dir, "data", "", "work in this data folder, which no server uses, instead of asking the server")
}

// do does something at the place.
func (p *place) do(ctx context.Context, c terminal, offline func(*data) error, online func(*client.Client) error) error {
	if p.dir == "" {
		server, err := p.client()
		if err != nil {
			return err
		}
		return online(server)
	}
	d, err := openData(ctx, p.dir, false, slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	return errors.Join(offline(d), d.Close())
}

func backupCommand(c terminal) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write index and registry, as they are at one moment, into a file",
		Long: `Write index and registry, as they are at one moment, into a file, and verify it. Registration and look-ups go on.
FILE is a tar archive; - writes to standard output. The secret key is not in it: keep a copy of secret.key elsewhere.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeBackup(c, args[0], func(w io.Writer) error {
				return at.do(cmd.Context(), c,
					func(d *data) error { return d.Backup(cmd.Context(), w) },
					func(server *client.Client) error { return server.Backup(cmd.Context(), w) })
			})
		},
	}
	at.flags(cmd)
	return cmd
}

// writeBackup verifies a backup as it comes. The file has its name only once it is whole.
func writeBackup(c terminal, path string, write func(io.Writer) error) (err error) {
	out := c.out
	if path != "-" {
		if _, err := os.Lstat(path); err == nil {
			return usageError{fmt.Errorf("%s is there already", path)}
		}
		f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
		out = f
		defer func() {
			if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
				err = os.Rename(path+".part", path)
			}
			if err != nil {
				_ = os.Remove(path + ".part")
			}
		}()
	}
	r, w := io.Pipe()
	verified := make(chan error, 1)
	var contents *backup.Contents
	go func() {
		var err error
		contents, err = backup.Verify(r)
		_, rest := io.Copy(io.Discard, r) // the archive ends before the stream does
		verified <- errors.Join(err, rest)
	}()
	err = write(io.MultiWriter(out, w))
	_ = w.Close()
	if verdict := <-verified; err == nil {
		err = verdict
	}
	if err == nil {
		fmt.Fprintf(c.err, "%d documents in %d files, verified; restoring needs the secret key %s\n", contents.Documents, len(contents.Files), strings.Join(contents.KeyIDs(), " and "))
	}
	return err
}

func restoreCommand(c terminal) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data folder of a backup",
		Long: `Make a data folder of a backup. The folder holds the deployment's secret.key and neither index nor registry. Everything is verified before
it is moved into place; what fails leaves nothing behind. Of a backup that was made while the secret key was being changed, the previous key is needed as previous/secret.key, too.
- reads from standard input.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := secretKey(dir, false)
			if err != nil {
				return fmt.Errorf("%w; put the deployment's secret key there first", err)
			}
			in := c.in
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("restore backup: %w", err)
				}
				defer f.Close()
				in = f
			}
			previous, err := previousKey(dir)
			if err != nil {
				return err
			}
			contents, err := backup.Restore(cmd.Context(), in, dir, key, previous...)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "%d documents, as they were on %s\n", contents.Documents, contents.CreatedAt.Format("2006-01-02 15:04:05 MST"))
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data", "./data", "data folder")
	return cmd
}
