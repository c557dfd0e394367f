// Package backup puts the indexes, the registry and the audit log of a deployment into one
// file, and makes a data folder of it again.
//
// A backup is a tar archive: the segments and manifest of the index below "index/", those
// of the index of pages below "pages/", the registry as "registry.db", the audit log below "audit/", those of earlier keys below "audit-" and the id of
// the key, while the secret key is being changed both indexes of the previous one below "previous/", and at the end "backup.json" with the size and SHA-256 of
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
// log comes last: whatever the registry holds, it tells of. While the secret key is being
// changed, documents move to the current index and nothing is added to the previous one: so
// that goes before the registry, and what moves meanwhile is there, or in the current one.
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
	"path"
	"path/filepath"
	"regexp"
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
const Format = 4

const (
	contentsName = "backup.json"
	registryName = "registry.db"
	indexName    = "index"
	pagesName    = "pages"
	auditName    = "audit"
	previousName = "previous"

	// maxContents bounds backup.json: some hundred bytes for each of a few dozen files.
	maxContents = 1 << 20
)

// Contents is what backup.json says.
type Contents struct {
	Format    int       `json:"format"`
	CreatedAt time.Time `json:"created_at"`
	KeyID     string    `json:"key_id"`
	// PreviousKeyID is that of the key before, during a rotation.
	PreviousKeyID string `json:"previous_key_id,omitempty"`
	IndexVersion  string `json:"index_version"`
	Documents     int    `json:"documents"`
	Files         []File `json:"files"`
}

// KeyIDs are the ids of the keys that are needed to restore it.
func (c *Contents) KeyIDs() []string {
	if c.PreviousKeyID == "" {
		return []string{c.KeyID}
	}
	return []string{c.KeyID, c.PreviousKeyID}
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
	// Previous is what is kept under the previous key, during a rotation; else nil.
	Previous *Generation
	// Audit is the folder of the audit log; a log that was never written is left out. Closed
	// logs lie beside it.
	Audit string
	// Folder is where the copy of the registry is put meanwhile.
	Folder string
}

// Generation is what is kept under one key.
type Generation struct {
	Key          *fingerprint.Key
	Index, Pages *index.Index
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
	a := &archive{tar: tar.NewWriter(w), contents: Contents{Format: Format, CreatedAt: time.Now().UTC().Truncate(time.Second), KeyID: s.Key.ID()}}
	keys := []*fingerprint.Key{s.Key}
	var indexed []storage.Ordinal
	if p := s.Previous; p != nil {
		a.contents.PreviousKeyID = p.Key.ID()
		keys = append(keys, p.Key)
		var err error
		if indexed, err = a.addIndex(ctx, previousName+"/"+indexName, p.Index); err != nil {
			return nil, err
		}
		if _, err = a.addIndex(ctx, previousName+"/"+pagesName, p.Pages); err != nil {
			return nil, err
		}
	}
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
	a.contents.IndexVersion = stats.Version
	current, err := a.addIndex(ctx, indexName, s.Index)
	if err != nil {
		return nil, err
	}
	if _, err := a.addIndex(ctx, pagesName, s.Pages); err != nil {
		return nil, err
	}
	if a.contents.Documents, err = forget(ctx, snapshot, keys, append(indexed, current...)); err != nil {
		return nil, fmt.Errorf("make registry agree with the index: %w", err)
	}
	if err := a.addFile(registryName, snapshot); err != nil {
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
	if err := s.closedLogs(a); err != nil {
		return nil, fmt.Errorf("copy closed audit logs: %w", err)
	}
	return a.close()
}

// closedLogs adds the audit logs of earlier keys, which nobody writes to.
func (s *Source) closedLogs(a *archive) error {
	folders, err := audit.ClosedFolders(s.Audit)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := a.addFile(filepath.Base(folder)+"/"+e.Name(), filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget deletes the documents of a registry that have versions without fingerprints in
// the index, and returns how many are left.
func forget(ctx context.Context, path string, keys []*fingerprint.Key, indexed []storage.Ordinal) (left int, err error) {
	r, err := registry.Open(ctx, path, keys[0], keys[1:]...)
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

func (a *archive) addFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, info.Size(), f)
}

// addIndex returns the ordinals that an index held, in ascending order.
func (a *archive) addIndex(ctx context.Context, folder string, ix *index.Index) ([]storage.Ordinal, error) {
	return ix.Backup(ctx, func(file string, content []byte) error {
		return a.add(folder+"/"+file, int64(len(content)), bytes.NewReader(content))
	})
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
	// folders are those of every backup, and places what a data folder gets from it.
	folders = []string{indexName, pagesName, auditName}
	places  = []string{indexName, pagesName, auditName, registryName}
	// previousFolders are those of a backup that was made during a rotation.
	previousFolders = []string{previousName + "/" + indexName, previousName + "/" + pagesName}

	closedLog = regexp.MustCompile(`^` + auditName + `-[0-9a-f]{16}$`)
)

// expected reports whether a backup may hold a file of that name: nothing may lead out
// of the folder that it is unpacked in.
func expected(name string) bool {
	folder, base := path.Split(name)
	folder = strings.TrimSuffix(folder, "/")
	known := slices.Contains(folders, folder) || slices.Contains(previousFolders, folder) || closedLog.MatchString(folder)
	return name == registryName || known && base != "" && base == filepath.Base(base) && !strings.HasPrefix(base, ".")
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
// moved into place at the end, so that a failure leaves nothing. If the backup was made during
// a rotation, the previous key is needed, too; else it is ignored.
func Restore(ctx context.Context, r io.Reader, dir string, key *fingerprint.Key, previous ...*fingerprint.Key) (*Contents, error) {
	contents, err := restore(ctx, r, dir, append([]*fingerprint.Key{key}, previous...))
	if err != nil {
		return nil, fmt.Errorf("restore backup: %w", err)
	}
	return contents, nil
}

func restore(ctx context.Context, r io.Reader, dir string, keys []*fingerprint.Key) (_ *Contents, err error) {
	for _, name := range slices.Concat(places, previousFolders) {
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
		if err := os.MkdirAll(filepath.Join(aside, filepath.FromSlash(path.Dir(name))), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(aside, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return synced{f}, err
	})
	if err != nil {
		return nil, err
	}
	if contents.KeyID != keys[0].ID() {
		return nil, fmt.Errorf("it was made with the key %s, secret.key is %s", contents.KeyID, keys[0].ID())
	}
	moved := slices.Clone(places)
	logs, err := audit.ClosedFolders(filepath.Join(aside, auditName))
	if err != nil {
		return nil, err
	}
	for _, folder := range logs {
		moved = append([]string{filepath.Base(folder)}, moved...)
	}
	switch id := contents.PreviousKeyID; {
	case id == "":
		keys = keys[:1]
	case len(keys) < 2 || keys[1].ID() != id:
		return nil, fmt.Errorf("it was made while the key was being changed: it needs the previous key, %s, as %s/secret.key, too", id, previousName)
	default:
		moved = slices.Concat(previousFolders, moved)
	}
	if err := verify(ctx, aside, keys); err != nil {
		return nil, err
	}
	for _, name := range moved {
		if name == registryName {
			continue // a file, which is synced
		}
		if err := syncFolder(filepath.Join(aside, name)); err != nil {
			return nil, err
		}
	}
	for _, name := range moved {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if contents.PreviousKeyID != "" {
		if err := syncFolder(filepath.Join(dir, previousName)); err != nil {
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
func verify(ctx context.Context, dir string, keys []*fingerprint.Key) error {
	var indexed []storage.Ordinal
	for i, key := range slices.Backward(keys) { // the previous one has the smaller ordinals
		folder := dir
		if i > 0 {
			folder = filepath.Join(dir, previousName)
		}
		ordinals, err := verifyIndex(ctx, filepath.Join(folder, indexName), key.Params())
		if err != nil {
			return err
		}
		indexed = append(indexed, ordinals...)
		if _, err := verifyIndex(ctx, filepath.Join(folder, pagesName), key.PageParams()); err != nil {
			return err
		}
	}
	r, err := registry.Open(ctx, filepath.Join(dir, registryName), keys[0], keys[1:]...)
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
	return verifyAudit(filepath.Join(dir, auditName), keys[0])
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
