package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/audit"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// A rotation replaces the secret key of a data folder. Fingerprints cannot be made again
// without the texts, so indexes of the previous key stay, beside it, in DATA/previous, until
// every document was read again; meanwhile both keys hold. The steps, each of which may be
// broken off and done again:
//
//	previous/secret.key, secret.key.next    from here on nothing but "rotate" opens the folder
//	index, pages      → previous/
//	audit             → audit-ID, and a new log that vouches for it
//	registry          says which ordinals belong to the previous key
//	secret.key.next   → secret.key          and the rotation has begun
const (
	keyFile        = "secret.key"
	nextKeyFile    = "secret.key.next"
	previousFolder = "previous"
)

// indexFolders are those of indexes in a data folder.
var indexFolders = []string{"index", "pages"}

func rotateCommand(c terminal) *cobra.Command {
	var dir string
	var finish, drop bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Change the secret key of a data folder",
		Long: `Make a new secret key for a data folder that no server uses. Documents that are registered stay under the previous key, which moves to
DATA/previous with their fingerprints, until they are read again: by "register" of their sources, or by "registration rekey". All of them are found
meanwhile. Keep copies of both keys. "coverage" tells how many documents are left.

With --finish the previous key and what it was for are removed. That is refused while documents are left under it, unless --drop withdraws them: they
stay on record, and are not found any more. A rotation that was interrupted is finished by the same command.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if drop && !finish {
				return usageError{errors.New("--drop goes with --finish")}
			}
			log := slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			if finish {
				return finishRotation(cmd.Context(), c, dir, drop, log)
			}
			return rotate(cmd.Context(), c, dir, log)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "./data", "data folder, which no server uses")
	cmd.Flags().BoolVar(&finish, "finish", false, "remove the previous key, when no document is left under it")
	cmd.Flags().BoolVar(&drop, "drop", false, "with --finish: withdraw the documents that are left")
	return cmd
}

// rotating is the error for a folder in which a rotation was interrupted.
func rotating(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, nextKeyFile)); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("a rotation of the secret key in %s was interrupted: run sealprint rotate --data %s to finish it", dir, dir), err)
	}
	return nil
}

// previousKey reads the key before, if there is one.
func previousKey(dir string) ([]*fingerprint.Key, error) {
	key, err := readKey(filepath.Join(dir, previousFolder, keyFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*fingerprint.Key{key}, nil
}

// generation is what is kept under the previous key.
type generation struct {
	key          *fingerprint.Key
	index, pages *index.Index
}

func openPrevious(dir string, key *fingerprint.Key, log *slog.Logger) (*generation, error) {
	g := &generation{key: key}
	var err error
	open := func(name string, params fingerprint.Params) (*index.Index, error) {
		return index.Open(filepath.Join(dir, previousFolder, name), params, index.Options{Events: logEvents(log)})
	}
	if g.index, err = open("index", key.Params()); err != nil {
		return nil, fmt.Errorf("open index of the previous key: %w", err)
	}
	if g.pages, err = open("pages", key.PageParams()); err != nil {
		return nil, errors.Join(fmt.Errorf("open index of pages of the previous key: %w", err), g.index.Close())
	}
	return g, nil
}

func (d *data) previousKey() *fingerprint.Key {
	if d.previous == nil {
		return nil
	}
	return d.previous.key
}

// texts is the index of texts, under whatever keys.
func (d *data) texts() storage.Index {
	if d.previous == nil {
		return d.index
	}
	return &index.Rotated{Previous: d.previous.index, Current: d.index, Last: d.registry.Rotation().Last}
}

// layouts is the index of pages, under whatever keys.
func (d *data) layouts() storage.Index {
	if d.previous == nil {
		return d.pages
	}
	return &index.Rotated{Previous: d.previous.pages, Current: d.pages, Last: d.registry.Rotation().Last}
}

// rotate begins a rotation, or goes on with one that was interrupted.
func rotate(ctx context.Context, c terminal, dir string, log *slog.Logger) error {
	if rotating(dir) == nil {
		if err := prepareRotation(ctx, dir, log); err != nil {
			return fmt.Errorf("rotate secret key: %w", err)
		}
	}
	// Whoever has the next key open does it.
	next, err := os.Open(filepath.Join(dir, nextKeyFile))
	if err != nil {
		return fmt.Errorf("rotate secret key: %w", err)
	}
	defer next.Close()
	if err := syscall.Flock(int(next.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("rotate secret key: another command does it: %w", err)
	}
	steps, err := rotationSteps(dir)
	if err != nil {
		return fmt.Errorf("rotate secret key: %w", err)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("rotate secret key: %w", err)
		}
	}
	d, err := openData(ctx, dir, false, log)
	if err != nil {
		return err
	}
	stats, err := d.registry.Stats(ctx)
	fmt.Fprintf(c.err, "the secret key is %s now; %d versions of documents are kept under %s, in %s, until they are read again\n",
		d.key.ID(), stats.Earlier, d.previous.key.ID(), filepath.Join(dir, previousFolder))
	return errors.Join(err, d.Close())
}

// prepareRotation makes the next key and keeps the present one. The folder is opened for that:
// nobody else may have it, and it has to be whole.
func prepareRotation(ctx context.Context, dir string, log *slog.Logger) (err error) {
	d, err := openData(ctx, dir, false, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if r := d.registry.Rotation(); r.Previous != "" {
		return fmt.Errorf("the one from key %s is not finished: sealprint rotate --finish --data %s", r.Previous, dir)
	}
	previous := filepath.Join(dir, previousFolder)
	if err := os.RemoveAll(previous); err != nil { // of a rotation that has ended, or never began
		return err
	}
	if err := os.Mkdir(previous, 0o700); err != nil {
		return err
	}
	if err := writeSecret(filepath.Join(previous, keyFile), d.key.Encode()); err != nil {
		return err
	}
	return writeSecret(filepath.Join(dir, nextKeyFile), fingerprint.NewKey().Encode())
}

// rotationSteps are what is to be done once the next key is there. Each may be done again.
func rotationSteps(dir string) ([]func(context.Context) error, error) {
	from, err := readKey(filepath.Join(dir, previousFolder, keyFile))
	if err != nil {
		return nil, err
	}
	to, err := readKey(filepath.Join(dir, nextKeyFile))
	if err != nil {
		return nil, err
	}
	var steps []func(context.Context) error
	for _, name := range indexFolders {
		steps = append(steps, func(context.Context) error { return setAside(dir, name) })
	}
	return append(steps,
		func(ctx context.Context) error { return audit.Rotate(ctx, filepath.Join(dir, auditFolder), from, to) },
		func(ctx context.Context) error {
			return rotateRegistry(ctx, filepath.Join(dir, "registry.db"), from, to)
		},
		func(context.Context) error {
			if err := os.Rename(filepath.Join(dir, nextKeyFile), filepath.Join(dir, keyFile)); err != nil {
				return err
			}
			return syncFolder(dir)
		},
	), nil
}

// setAside moves an index to what belongs to the previous key.
func setAside(dir, name string) error {
	to := filepath.Join(dir, previousFolder, name)
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		return err // nil: it was moved before
	}
	if err := os.Rename(filepath.Join(dir, name), to); err != nil {
		return err
	}
	return errors.Join(syncFolder(filepath.Join(dir, previousFolder)), syncFolder(dir))
}

func rotateRegistry(ctx context.Context, path string, from, to *fingerprint.Key) error {
	r, err := registry.Open(ctx, path, to, from)
	if err == nil {
		return r.Close() // it was done before
	}
	if !errors.Is(err, fingerprint.ErrParams) {
		return err
	}
	if r, err = registry.Open(ctx, path, from); err != nil {
		return err
	}
	return errors.Join(r.Rotate(ctx, to), r.Close())
}

// finishRotation ends a rotation.
func finishRotation(ctx context.Context, c terminal, dir string, drop bool, log *slog.Logger) (err error) {
	d, err := openData(ctx, dir, false, log)
	if err != nil {
		return err
	}
	previous := filepath.Join(dir, previousFolder)
	if d.previous == nil {
		if _, err := os.Stat(previous); err != nil {
			return errors.Join(usageError{errors.New("finish rotation: the secret key is not being changed")}, d.Close())
		}
	} else if err := d.finish(ctx, c, drop); err != nil {
		return errors.Join(fmt.Errorf("finish rotation: %w", err), d.Close())
	}
	if err := d.Close(); err != nil {
		return err
	}
	// The registry does not know the previous key any more: what is left of it is nobody's.
	if err := os.RemoveAll(previous); err != nil {
		return fmt.Errorf("finish rotation: %w", err)
	}
	fmt.Fprintf(c.err, "nothing is kept under the previous key any more; the secret key is %s\n", d.key.ID())
	return syncFolder(dir)
}

// finish has the registry forget the previous key.
func (d *data) finish(ctx context.Context, c terminal, drop bool) error {
	stats, err := d.registry.Stats(ctx)
	if err != nil {
		return err
	}
	if stats.Earlier > 0 && !drop {
		return fmt.Errorf(`%d versions of documents are kept under the previous key, or their pages are. Move them with "sealprint registration rekey", or register
them again and wait until they are drawn ("sealprint coverage"). --drop withdraws what is left`, stats.Earlier)
	}
	log, err := audit.Open(filepath.Join(d.dir, auditFolder), d.key)
	if err != nil {
		return err
	}
	dropped := 0
	if drop {
		dropped, err = d.drop(ctx, log)
	}
	if err == nil {
		err = log.Append(ctx, audit.Record{Principal: auditRotation, Action: "finishRotation", Targets: []string{d.previous.key.ID()}, Count: dropped, Outcome: "ok"})
	}
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	if dropped > 0 {
		fmt.Fprintf(c.err, "%d versions of documents are not looked for any more\n", dropped)
	}
	return d.registry.EndRotation(ctx)
}

const (
	// auditRotation stands in the place of a principal in the audit log: no key is needed to
	// change the secret key, but the folder.
	auditRotation = "rotate"

	whyDropped = "it was kept under an earlier secret key, and could not be read again; register it again"
)

// drop gives up the versions that are kept under the previous key. A document of which nothing
// else is left is withdrawn.
func (d *data) drop(ctx context.Context, log *audit.Log) (dropped int, err error) {
	last := d.registry.Rotation().Last
	for {
		versions, err := d.registry.Earlier(ctx, 0, 1)
		if err != nil {
			return dropped, err
		}
		if len(versions) == 0 {
			break
		}
		id := versions[0].Document
		_, all, _, err := d.registry.Document(ctx, storage.Everywhere(), id)
		if err != nil {
			return dropped, err
		}
		var old []storage.Version
		for _, v := range all {
			if v.Ordinal <= last {
				old = append(old, v)
			}
		}
		record := audit.Record{Principal: auditRotation, Action: "withdrawDocument", Targets: []string{string(id)}, Count: len(old), Outcome: "ok"}
		if err := log.Append(ctx, record); err != nil {
			return dropped, err
		}
		if len(old) == len(all) {
			_, err = d.registry.Withdraw(ctx, storage.Everywhere(), id, storage.Withdrawal{At: time.Now().UTC(), By: storage.ByRotation, Reason: whyDropped})
		} else {
			err = d.blank(ctx, old)
		}
		if err != nil {
			return dropped, err
		}
		dropped += len(old)
	}
	return dropped, d.dropDrawings(ctx, last)
}

// blank replaces versions by nothing, so that the document stands without them.
func (d *data) blank(ctx context.Context, versions []storage.Version) error {
	first, err := d.registry.ReserveOrdinals(ctx, len(versions))
	if err != nil {
		return err
	}
	var sheets []storage.Sheet
	for i := range versions {
		v := &versions[i]
		v.Ordinal = first + storage.Ordinal(i)
		v.Status, v.Reason, v.Pages, v.TextBytes, v.Drawn, v.Undrawn = string(ingest.StatusNotFetched), whyDropped, nil, 0, ingest.Drawing, ""
		sheets = append(sheets, storage.Sheet{Ordinal: v.Ordinal, Window: v.Window})
	}
	if err := d.index.Append(ctx, sheets); err != nil {
		return err
	}
	return d.registry.Commit(ctx, storage.Changes{Rereads: versions})
}

// dropDrawings has the versions drawn again whose drawings are kept under the previous key.
func (d *data) dropDrawings(ctx context.Context, last storage.Ordinal) error {
	ordinals, err := d.registry.DrawingsOf(ctx, false)
	if err != nil {
		return err
	}
	for len(ordinals) > 0 && ordinals[0] <= last {
		found, err := d.registry.Drawings(ctx, ordinals[:1])
		if err != nil {
			return err
		}
		if drawing, there := found[ordinals[0]]; there {
			if err := d.registry.Commit(ctx, storage.Changes{Drawn: []storage.Drawn{{Version: drawing.Version}}}); err != nil {
				return err
			}
		}
		ordinals = ordinals[1:]
	}
	return nil
}
