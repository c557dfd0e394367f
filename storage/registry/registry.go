// Package registry keeps what is said about documents in one SQLite file:
// documents, their versions and sources, collections, bulk registrations,
// credentials, webhooks and what they are to be told. It implements
// [storage.Registry] and [storage.Webhooks]; fingerprints are kept in
// storage/index.
//
// # Why a relational database
//
// The registry is small (a kilobyte or two a version) and changes in groups: a
// version, the source that led to it and the progress of the bulk registration
// that found it stand or fall together. That is a transaction. SQLite gives it
// without a server to run; the statements keep to what PostgreSQL understands
// as well (types, numbered parameters, ON CONFLICT, times as microseconds since
// 1970), so that a larger deployment can move. There, the database has to
// compare texts by bytes (collation C), because branches of the department
// tree are ranges of names.
//
// # Durability and concurrency
//
// The file is in write-ahead mode with full synchronization: what Commit
// acknowledged survives a crash of the machine. One connection writes, a few
// others read; readers see the last committed state and never wait for the
// writer.
//
// # Order
//
// Two counters never go back, not even when what they numbered is deleted.
// "ordinal" is the high-water mark of ordinals; a reservation that a crash
// leaves unused is a gap, which nobody minds. "sequence" numbers documents,
// sources, jobs, collections, webhooks and events in the order in which they were first committed.
// The writer takes numbers inside its transaction, so a reader that sees number
// n sees everything before it, and a list of documents can go on after n while
// others are added.
//
// # What is encrypted
//
// Titles, sources and departments are plain: they are answers, and the file is
// readable to its owner only. The places of a version are not: they tell where
// letters stand in a page, enough to confirm a guessed text. They are
// compressed and sealed with AES-256-GCM under a key derived from the
// deployment's, with the ordinal as additional data, so that the places of one
// version cannot be passed off as another's. Compressing before encrypting
// reveals how regular a page is, and no more: nobody else chooses part of what
// is compressed.
//
// The sketch of a version is sealed in the same way, under another key, and not
// compressed. Its hashes are keyed already; but they are a choice of grams by
// what they say, so that plain ones would show a thief which documents resemble
// each other.
//
// Drawings are sealed as well: where the words of a page are tells something about what
// they are, and the perceptual hash of a picture is a tiny copy of it. The hashes, 32 bytes
// each, are in memory as long as the registry is open: a picture is compared with all of
// them.
//
// Secrets of webhooks are sealed with the webhook's id as additional data: who reads the
// file could otherwise send what receivers believe.
//
// # Rotation
//
// When the secret key is changed, nothing of this is encrypted again but the secrets of
// webhooks: what was written before is opened with the previous key, whatever is written is
// sealed with the current one. "rotation" in the table meta says up to which ordinal the
// previous one holds. Replacing it, with the parameters, is the one commit point of a
// rotation.
//
// Deleted rows are overwritten with zeros, so that what Delete forgot is not
// left in the free space of the file. The log still holds them until it is
// written over.
package registry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

const (
	// readers is how many queries run at once. They take well below a
	// millisecond each and use the processor all the time, so more would not
	// answer sooner.
	readers = 4
	// busyTimeout is how long to wait for another program that has the file, such
	// as a command that adds a credential, or a backup. Connections of this
	// program do not wait for each other.
	busyTimeout = 10 * time.Second
	// cacheKiB is the page cache of a connection. It holds the upper levels of
	// all indexes of a million documents; the system caches the rest.
	cacheKiB = 16 << 10
	// logLimit is the size to which the write-ahead log is cut back after a large
	// transaction.
	logLimit = 64 << 20
)

// Registry is a [storage.Registry] in an SQLite file. After Close its methods
// answer [storage.ErrClosed].
type Registry struct {
	path   string
	write  *sql.DB // one connection
	read   *sql.DB
	seal   *sealer
	cursor *cursors
	hashes hashes
	// rotation is none, or the one that was under way when the registry was opened.
	rotation storage.Rotation
	closed   atomic.Bool
	statements
}

var _ storage.Registry = (*Registry)(nil)

// Open opens the registry in a file, which it makes if there is none. A
// registry that was made with another key, or other rules for fingerprints, is
// refused with an error of kind [fingerprint.ErrParams]; so is, with an error of
// no kind, one that a newer version of the program has migrated. During a rotation the
// previous key is needed, too; at other times it is ignored.
func Open(ctx context.Context, path string, key *fingerprint.Key, previous ...*fingerprint.Key) (_ *Registry, err error) {
	r := &Registry{}
	defer func() {
		if err != nil {
			err = r.explain("open registry "+path, err)
			_ = r.Close()
		}
	}()
	if r.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if r.cursor, err = newCursors(key); err != nil {
		return nil, err
	}
	if err := create(r.path); err != nil {
		return nil, err
	}
	if r.write, err = connect(r.path, 1, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if err := migrate(ctx, r.write); err != nil {
		return nil, err
	}
	if err := checkParams(ctx, r.write, key.Params()); err != nil {
		return nil, err
	}
	if r.rotation, err = loadRotation(ctx, r.write); err != nil {
		return nil, err
	}
	keys := []*fingerprint.Key{key}
	if from := r.rotation.Previous; from != "" {
		i := slices.IndexFunc(previous, func(k *fingerprint.Key) bool { return k.ID() == from })
		if i < 0 {
			return nil, fmt.Errorf("%w: the key is being changed, and the previous one, %s, is missing", fingerprint.ErrParams, from)
		}
		keys = append(keys, previous[i])
	}
	if r.seal, err = newSealer(keys...); err != nil {
		return nil, err
	}
	if r.read, err = connect(r.path, readers, "_query_only=1"); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx, r.write, r.read); err != nil {
		return nil, err
	}
	if err := r.hashes.load(ctx, r.read, r.seal); err != nil {
		return nil, err
	}
	// A crash may have come between the beginning of a job and this.
	if err := r.sweep(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// create makes the file if there is none, so that only its owner reads it;
// SQLite gives the log the same permissions. An existing file is not even
// opened: closing it would drop the locks that SQLite holds for this process.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func connect(path string, connections int, option string) (*sql.DB, error) {
	name := fmt.Sprintf("file:%s?_busy_timeout=%d&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1&_dqs=0"+
		"&_pragma=secure_delete(1)&_pragma=cache_size(-%d)&_pragma=journal_size_limit(%d)&%s",
		(&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), busyTimeout.Milliseconds(), cacheKiB, logLimit, option)
	// SQLite lowers ASCII letters only, PostgreSQL all.
	d := &sqlite.Driver{}
	if err := d.RegisterDeterministicScalarFunction("lower", 1, lower); err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{d, name})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// connector opens connections to a database.
type connector struct {
	driver *sqlite.Driver
	name   string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// lower is the function of SQL.
func lower(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	if text, ok := args[0].(string); ok {
		return strings.ToLower(text), nil
	}
	return args[0], nil
}

// checkParams stores the parameters in a new registry and compares them with
// those of an old one.
func checkParams(ctx context.Context, db *sql.DB, params fingerprint.Params) error {
	encoded, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, metaParams, string(encoded)); err != nil {
		return fmt.Errorf("store parameters: %w", err)
	}
	var value string
	if err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = $1`, metaParams).Scan(&value); err != nil {
		return fmt.Errorf("read parameters: %w", err)
	}
	var stored fingerprint.Params
	if err := json.Unmarshal([]byte(value), &stored); err != nil {
		return fmt.Errorf("read parameters: %w", storage.ErrCorrupt)
	}
	return params.Check(stored)
}

// Stats implements [storage.Registry]. It counts the pages and texts of all
// versions: all of them are matchable.
func (r *Registry) Stats(ctx context.Context) (storage.RegistryStats, error) {
	var s storage.RegistryStats
	err := r.read.QueryRowContext(ctx, `SELECT
		(SELECT COUNT(*) FROM documents WHERE withdrawn_at = 0),
		(SELECT COALESCE(SUM(page_count), 0) FROM versions) - (SELECT COALESCE(SUM(page_count), 0) FROM versions WHERE `+ofWithdrawn+`),
		(SELECT COALESCE(SUM(text_bytes), 0) FROM versions) - (SELECT COALESCE(SUM(text_bytes), 0) FROM versions WHERE `+ofWithdrawn+`),
		(SELECT COUNT(*) FROM drawings),
		(SELECT COUNT(*) FROM versions WHERE drawn = 0 AND NOT `+ofWithdrawn+`)`).Scan(&s.Documents, &s.Pages, &s.TextBytes, &s.Drawings, &s.Undrawn)
	if err == nil {
		s.Earlier, err = r.earlier(ctx, r.read)
	}
	if err != nil {
		return storage.RegistryStats{}, r.explain("count documents", err)
	}
	for _, path := range []string{r.path, r.path + "-wal"} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no log
		}
		if err != nil {
			return storage.RegistryStats{}, fmt.Errorf("measure registry: %w", err)
		}
		s.Bytes += info.Size()
	}
	return s, nil
}

// ofWithdrawn finds the versions of withdrawn documents by an index that has no others:
// there are few.
const ofWithdrawn = `(document IN (SELECT id FROM documents WHERE withdrawn_at > 0))`

// Close implements [storage.Registry]. Calls under way fail.
func (r *Registry) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	// The writer comes last: the last connection to leave empties the log.
	var errs []error
	for _, db := range []*sql.DB{r.read, r.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close registry: %w", err)
	}
	return nil
}

// explain adds what was being done to an error, and the kind of error that it
// is to users of storage.
func (r *Registry) explain(doing string, err error) error {
	var failure *sqlite.Error
	switch {
	case err == nil:
		return nil
	case r.closed.Load():
		return fmt.Errorf("%s: %w", doing, storage.ErrClosed)
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, storage.ErrNotFound)
	case errors.As(err, &failure):
		switch failure.Code() & 0xff { // the other bits tell which constraint
		case sqlitelib.SQLITE_CONSTRAINT:
			return fmt.Errorf("%s: %w: %w", doing, storage.ErrConflict, err)
		case sqlitelib.SQLITE_FULL:
			return fmt.Errorf("%s: %w: %w", doing, storage.ErrFull, err)
		case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
			return fmt.Errorf("%s: %w: %s: %w", doing, storage.ErrCorrupt, r.path, err)
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// update runs changes in a transaction of the writer.
func (r *Registry) update(ctx context.Context, changes func(*sql.Tx) error) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := changes(tx); err != nil {
		_ = tx.Rollback() // the error that led here matters more
		return err
	}
	return tx.Commit()
}

// view runs queries that are to see one state of the registry.
func (r *Registry) view(ctx context.Context, queries func(*sql.Tx) error) error {
	tx, err := r.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to lose
	return queries(tx)
}
