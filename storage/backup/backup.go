// Package backup puts the indexes, the registry and the audit log of a deployment into one
// file, and makes a data folder of it again.
//
// A backup is a tar archive: the segments and manifest of the index below "index/", those
// of the index of pages below "pages/", the registry as "registry.db", the audit log below "audit/", and at the end "backup.json" with the size and SHA-256 of
// all of them. An archive that ends before it, or differs from it, is damaged. It holds
// no secret key, only its id: whoever finds a backup reads as little from it as from the
// data folder. Keep the key elsewhere.
//
// # Consistency
//
// Registration and deletion go on while a backup is written. A registration stores
// fingerprints first and says so in the registry afterwards; a deletion goes the other
// way. So the registry is copied first and the indexes follow: fingerprints that nobody
// speaks of yet are left for the start of the server to delete, as after a crash; and
// a document whose fingerprints are gone was deleted in between, and is deleted from the
// copy, too. Pages whose fingerprints are gone are drawn again after the start. The audit
// log comes last: whatever the registry holds, it tells of.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/audit"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// Format is the version of the archive that this package writes, and the newest that it
// reads.
const Format = 3

const (
	contentsName = "backup.json"
	registryName = "registry.db"
	indexName    = "index"
	pagesName    = "pages"
	auditName    = "audit"

	// maxContents bounds backup.json: some hundred bytes for each of a few dozen files.
	maxContents = 1 << 20
)

// Contents is what backup.json says.
type Contents struct {
	Format       int       `json:"format"`
	CreatedAt    time.Time `json:"created_at"`
	KeyID        string    `json:"key_id"`
	IndexVersion string    `json:"index_version"`
	Documents    int       `json:"documents"`
	Files        []File    `json:"files"`
}

// File is one file of a backup.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Source is what is backed up.
type Source struct {
	Index    *index.Index
	Pages    *index.Index
	Registry *registry.Registry
	Key      *fingerprint.Key
	// Audit is the folder of the audit log; a log that was never written is left out.
	Audit string
	// Folder is where the copy of the registry is put meanwhile.
	Folder string
}

// Write writes a backup. What is damaged is not backed up: that is an error of kind
// [storage.ErrCorrupt].
func (s *Source) Write(ctx context.Context, w io.Writer) (*Contents, error) {
	contents, err := s.write(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	return contents, nil
}

func (s *Source) write(ctx context.Context, w io.Writer) (*Contents, error) {
	folder, err := os.MkdirTemp(s.Folder, "backup-*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	snapshot := filepath.Join(folder, registryName)
	if err := s.Registry.Snapshot(ctx, snapshot); err != nil {
		return nil, err
	}
	stats, err := s.Index.Stats(ctx)
	if err != nil {
		return nil, err
	}
	a := &archive{tar: tar.NewWriter(w), contents: Contents{
		Format: Format, CreatedAt: time.Now().UTC().Truncate(time.Second), KeyID: s.Key.ID(), IndexVersion: stats.Version,
	}}
	var indexed []storage.Ordinal
	for _, name := range indexes {
		ix := s.Index
		if name == pagesName {
			ix = s.Pages
		}
		ordinals, err := ix.Backup(ctx, func(file string, content []byte) error {
			return a.add(name+"/"+file, int64(len(content)), bytes.NewReader(content))
		})
		if err != nil {
			return nil, err
		}
		if name == indexName {
			indexed = ordinals
		}
	}
	if a.contents.Documents, err = forget(ctx, snapshot, s.Key, indexed); err != nil {
		return nil, fmt.Errorf("make registry agree with the index: %w", err)
	}
	f, err := os.Open(snapshot)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := a.add(registryName, info.Size(), f); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.Audit); !errors.Is(err, os.ErrNotExist) {
		err := audit.Copy(s.Audit, s.Key, func(name string, size int64, content io.Reader) error {
			return a.add(auditName+"/"+name, size, content)
		})
		if err != nil {
			return nil, err
		}
	}
	return a.close()
}

// forget deletes the documents of a registry that have versions without fingerprints in
// the index, and returns how many are left.
func forget(ctx context.Context, path string, key *fingerprint.Key, indexed []storage.Ordinal) (left int, err error) {
	r, err := registry.Open(ctx, path, key)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	known, err := r.Ordinals(ctx)
	if err != nil {
		return 0, err
	}
	gone := slices.DeleteFunc(known, func(o storage.Ordinal) bool {
		_, found := slices.BinarySearch(indexed, o)
		return found
	})
	matches, err := r.Matches(ctx, storage.Everywhere(), gone)
	if err != nil {
		return 0, err
	}
	for _, m := range matches {
		if _, err := r.Delete(ctx, storage.Everywhere(), m.Document.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return 0, err
		}
	}
	stats, err := r.Stats(ctx)
	return stats.Documents, err
}

// archive writes the files of a backup.
type archive struct {
	tar      *tar.Writer
	contents Contents
}

func (a *archive) add(name string, size int64, content io.Reader) error {
	header := &tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.contents.CreatedAt, Format: tar.FormatPAX}
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(a.tar, sum), content); err != nil {
		return err
	}
	a.contents.Files = append(a.contents.Files, File{name, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (a *archive) close() (*Contents, error) {
	content, err := json.MarshalIndent(a.contents, "", "  ")
	if err != nil {
		return nil, err
	}
	header := &tar.Header{Name: contentsName, Mode: 0o600, Size: int64(len(content)), ModTime: a.contents.CreatedAt, Format: tar.FormatPAX}
	if err := a.tar.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := a.tar.Write(content); err != nil {
		return nil, err
	}
	return &a.contents, a.tar.Close()
}

// ErrDamaged is the kind of error for an archive that is not as it was written.
var ErrDamaged = errors.New("the backup is damaged")

// Verify reads a backup to its end and compares it with what it says of itself.
func Verify(r io.Reader) (*Contents, error) {
	contents, err := read(r, func(string) (io.WriteCloser, error) { return discard{}, nil })
	if err != nil {
		return nil, fmt.Errorf("verify backup: %w", err)
	}
	return contents, nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

// read hands the files of a backup to what open returns.
func read(r io.Reader, open func(name string) (io.WriteCloser, error)) (*Contents, error) {
	archive := tar.NewReader(r)
	var files []File
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: it ends before %s", ErrDamaged, contentsName)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		case header.Name == contentsName:
			return compare(archive, files)
		case header.Typeflag != tar.TypeReg || !expected(header.Name) || slices.ContainsFunc(files, func(f File) bool { return f.Name == header.Name }):
			return nil, fmt.Errorf("%w: unexpected entry %q", ErrDamaged, header.Name)
		}
		file, err := copyFile(header, archive, open)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
}

var (
	indexes = []string{indexName, pagesName}
	// folders are those of a backup.
	folders = append(indexes, auditName)
	// places are what a data folder gets from a backup.
	places = append(folders, registryName)
)

// expected reports whether a backup may hold a file of that name: nothing may lead out
// of the folder that it is unpacked in.
func expected(name string) bool {
	folder, base, inside := strings.Cut(name, "/")
	return name == registryName || inside && slices.Contains(folders, folder) && base != "" && base == filepath.Base(base) && !strings.HasPrefix(base, ".")
}

func copyFile(header *tar.Header, content io.Reader, open func(name string) (io.WriteCloser, error)) (f File, err error) {
	out, err := open(header.Name)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	in := &source{Reader: content}
	n, err := io.Copy(io.MultiWriter(out, sum), in)
	if in.err != nil {
		return f, fmt.Errorf("%w: %s: %w", ErrDamaged, header.Name, in.err)
	}
	return File{header.Name, n, hex.EncodeToString(sum.Sum(nil))}, err
}

// source tells a failure to read from one to write.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func compare(r io.Reader, files []File) (*Contents, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxContents))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, contentsName, err)
	}
	var c Contents
	if err := json.Unmarshal(content, &c); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, contentsName, err)
	}
	if c.Format > Format {
		return nil, fmt.Errorf("the backup has format %d, this program reads up to %d", c.Format, Format)
	}
	if c.Format < 1 || len(c.Files) != len(files) {
		return nil, fmt.Errorf("%w: %s speaks of %d files, there are %d", ErrDamaged, contentsName, len(c.Files), len(files))
	}
	for i, f := range c.Files {
		if f != files[i] {
			return nil, fmt.Errorf("%w: %s is not as it was written", ErrDamaged, files[i].Name)
		}
	}
	return &c, nil
}

// Restore makes a data folder of a backup: the folder has to hold the deployment's secret
// key, and neither an index nor a registry. Everything is unpacked and verified aside and
// moved into place at the end, so that a failure leaves nothing.
func Restore(ctx context.Context, r io.Reader, dir string, key *fingerprint.Key) (*Contents, error) {
	contents, err := restore(ctx, r, dir, key)
	if err != nil {
		return nil, fmt.Errorf("restore backup: %w", err)
	}
	return contents, nil
}

func restore(ctx context.Context, r io.Reader, dir string, key *fingerprint.Key) (_ *Contents, err error) {
	for _, name := range places {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already; restore into a folder that holds nothing but secret.key", filepath.Join(dir, name))
		}
	}
	aside, err := os.MkdirTemp(dir, "restore-*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(aside)
	for _, name := range folders {
		if err := os.Mkdir(filepath.Join(aside, name), 0o700); err != nil {
			return nil, err
		}
	}
	contents, err := read(r, func(name string) (io.WriteCloser, error) {
		f, err := os.OpenFile(filepath.Join(aside, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return synced{f}, err
	})
	if err != nil {
		return nil, err
	}
	if contents.KeyID != key.ID() {
		return nil, fmt.Errorf("it was made with the key %s, secret.key is %s", contents.KeyID, key.ID())
	}
	if err := verify(ctx, aside, key); err != nil {
		return nil, err
	}
	for _, name := range folders {
		if err := syncFolder(filepath.Join(aside, name)); err != nil {
			return nil, err
		}
	}
	for _, name := range places {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return contents, syncFolder(dir)
}

// synced is a file that is durable when it is closed.
type synced struct{ *os.File }

func (s synced) Close() error { return errors.Join(s.Sync(), s.File.Close()) }

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// verify reads all of an unpacked backup and makes sure that each version that the
// registry knows has its fingerprints.
func verify(ctx context.Context, dir string, key *fingerprint.Key) error {
	indexed, err := verifyIndex(ctx, filepath.Join(dir, indexName), key.Params())
	if err != nil {
		return err
	}
	if _, err := verifyIndex(ctx, filepath.Join(dir, pagesName), key.PageParams()); err != nil {
		return err
	}
	r, err := registry.Open(ctx, filepath.Join(dir, registryName), key)
	if err != nil {
		return err
	}
	known, err := r.Ordinals(ctx)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	for _, o := range known {
		if _, found := slices.BinarySearch(indexed, o); !found {
			return fmt.Errorf("%w: a registered document has no fingerprints", ErrDamaged)
		}
	}
	return verifyAudit(filepath.Join(dir, auditName), key)
}

// verifyAudit verifies the audit log of a backup, if it has one.
func verifyAudit(dir string, key *fingerprint.Key) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	report, err := audit.Verify(dir, key)
	if err == nil && len(report.Problems) > 0 {
		err = fmt.Errorf("%w: audit log: %s", ErrDamaged, report.Problems[0])
	}
	return err
}

func verifyIndex(ctx context.Context, dir string, params fingerprint.Params) ([]storage.Ordinal, error) {
	ix, err := index.Open(dir, params, index.Options{}) // makes one, if the backup is from before there was one
	if err != nil {
		return nil, err
	}
	indexed, err := ix.Ordinals(ctx)
	if err := errors.Join(err, ix.Close()); err != nil {
		return nil, err
	}
	report, err := index.Check(ctx, dir)
	if err == nil && len(report.Damage) > 0 {
		err = report.Damage[0]
	}
	return indexed, err
}
