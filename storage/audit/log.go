package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

const (
	// fileBytes is how large a file grows before the next begins: what is read when the
	// log is opened.
	fileBytes = 64 << 20

	// maxGroup is how many calls share a sync.
	maxGroup = 1024

	headName = "HEAD"
)

// Log is an open log. All methods may be called concurrently.
type Log struct {
	dir     string
	keys    keys
	disk    disk
	rotate  int64 // fileBytes but in tests
	queue   chan *call
	stop    chan struct{}
	stopped chan struct{}
	closing sync.Once

	// Of the writer alone:
	chain    *chain
	sequence int64
	file     writer
	size     int64
	head     writer
	failed   error

	mu   sync.Mutex
	last Checkpoint
}

// call is one append on its way.
type call struct {
	records []Record
	done    chan error
}

// disk is all that the log does to a file system, so that tests can make it fail.
type disk interface {
	// open opens a file for writing, at its end for appending, or makes it.
	open(path string) (writer, error)
	syncFolder(dir string) error
}

// writer is an open file.
type writer interface {
	io.Writer
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Seek(offset int64, whence int) (int64, error)
}

type system struct{}

func (system) open(path string) (writer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func (system) syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Open opens the log in a folder, which it makes if there is none. A log that was tampered
// with is refused, with an error of kind [storage.ErrCorrupt]; so is one of another key.
func Open(dir string, key *fingerprint.Key) (*Log, error) { return open(dir, key, system{}, fileBytes) }

func open(dir string, key *fingerprint.Key, d disk, rotate int64) (_ *Log, err error) {
	l := &Log{dir: dir, keys: keysOf(key), disk: d, rotate: rotate, queue: make(chan *call), stop: make(chan struct{}), stopped: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open audit log: %w", err)
			for _, f := range []writer{l.file, l.head} {
				if f != nil {
					_ = f.Close() // the error that led here matters more
				}
			}
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := l.recover(); err != nil {
		return nil, err
	}
	go l.write()
	return l, nil
}

// recover finds the end of the chain, cuts off what was not written to its end, and signs
// what a crash left unsigned.
func (l *Log) recover() error {
	files, err := filesOf(l.dir)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(l.dir, headName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read head: %w", err)
	}
	var head Checkpoint
	if head, _, err = l.keys.parseHead(b); err != nil {
		// It was never written to its end if nothing was acknowledged.
		if empty, failed := l.empty(files); len(b) == 2*placeBytes || failed != nil || !empty {
			return errors.Join(fmt.Errorf("%w: %w", storage.ErrCorrupt, err), failed)
		}
	}
	l.chain = newChain(l.keys.chain, code{})
	name, end := fileName(1), int64(0)
	if len(files) > 0 {
		name = files[len(files)-1]
		l.sequence = firstOf(name) - 1
		if len(files) > 1 {
			if l.chain.last, err = lastCode(filepath.Join(l.dir, files[len(files)-2]), l.sequence); err != nil {
				return err
			}
		}
		if end, err = l.follow(name, head); err != nil {
			return err
		}
	}
	if head.Sequence > l.sequence {
		return fmt.Errorf("%w: it ends with record %d, its head says %d", storage.ErrCorrupt, l.sequence, head.Sequence)
	}
	if l.file, err = l.disk.open(filepath.Join(l.dir, name)); err != nil {
		return err
	}
	if err := l.file.Truncate(end); err != nil {
		return err
	}
	if _, err := l.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	l.size = end
	if l.head, err = l.disk.open(filepath.Join(l.dir, headName)); err != nil {
		return err
	}
	if err := errors.Join(l.file.Sync(), l.signBoth(), l.disk.syncFolder(l.dir)); err != nil {
		return err
	}
	return nil
}

// empty reports whether a log has no records.
func (l *Log) empty(files []string) (bool, error) {
	if len(files) == 0 {
		return true, nil
	}
	info, err := os.Stat(filepath.Join(l.dir, files[0]))
	return err == nil && len(files) == 1 && info.Size() == 0, err
}

// follow reads the last file along the chain and returns where its last whole line ends.
func (l *Log) follow(name string, head Checkpoint) (end int64, err error) {
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	covered := func() error {
		if head.text != "" && l.sequence == head.Sequence && hex.EncodeToString(l.chain.last[:]) != head.Code {
			return fmt.Errorf("%w: record %d is not the one that the head says", storage.ErrCorrupt, l.sequence)
		}
		return nil
	}
	if err := covered(); err != nil {
		return 0, err
	}
	lines := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case errors.Is(err, io.ErrUnexpectedEOF): // cut short: never acknowledged
			return end, nil
		case err != nil:
			return 0, fmt.Errorf("%s at %d: %w", name, end, err)
		}
		record, sequence, own, err := parseLine(line)
		if err != nil || sequence != l.sequence+1 || own != l.chain.next(record) {
			return 0, fmt.Errorf("%w: %s is not as it was written at byte %d", storage.ErrCorrupt, name, end)
		}
		l.sequence, l.chain.last = sequence, own
		end += int64(len(line)) + 1
		if err := covered(); err != nil {
			return 0, err
		}
	}
}

// signBoth writes both places of the head.
func (l *Log) signBoth() error {
	c := l.keys.checkpoint(l.sequence, l.chain.last, time.Now())
	for i := range int64(2) {
		if _, err := l.head.WriteAt(c.place(), i*placeBytes); err != nil {
			return err
		}
		if err := l.head.Sync(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.last = c
	l.mu.Unlock()
	return nil
}

// Append writes records. They are durable when it returns without an error. After one that
// failed to be written nothing more is, until the log is opened again: what is on disk and
// what was acknowledged may differ from then on.
func (l *Log) Append(ctx context.Context, records ...Record) error {
	for i := range records {
		if err := records[i].check(); err != nil {
			return err
		}
	}
	c := &call{records, make(chan error, 1)}
	select {
	case l.queue <- c:
	case <-l.stopped:
		return fmt.Errorf("append to audit log: %w", storage.ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-c.done
}

// write takes appends, in groups that share a sync.
func (l *Log) write() {
	defer close(l.stopped)
	for {
		var group []*call
		select {
		case c := <-l.queue:
			group = append(group, c)
		case <-l.stop:
			return
		}
	more:
		for len(group) < maxGroup {
			select {
			case c := <-l.queue:
				group = append(group, c)
			default:
				break more
			}
		}
		if l.failed == nil {
			l.failed = l.commit(group)
		}
		for _, c := range group {
			c.done <- l.failed
		}
	}
}

// commit writes a group and the head that covers it.
func (l *Log) commit(group []*call) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("append to audit log: %w", err)
		}
	}()
	if l.size >= l.rotate {
		if err := l.next(); err != nil {
			return err
		}
	}
	now := time.Now().UTC()
	var lines []byte
	for _, c := range group {
		for i := range c.records {
			r := c.records[i]
			l.sequence++
			r.Sequence = l.sequence
			if r.Time.IsZero() {
				r.Time = now
			}
			if lines, err = l.chain.appendLine(lines, &r); err != nil {
				return err
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if _, err := l.file.Write(lines); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.size += int64(len(lines))
	head := l.keys.checkpoint(l.sequence, l.chain.last, now)
	if _, err := l.head.WriteAt(head.place(), l.sequence%2*placeBytes); err != nil {
		return err
	}
	if err := l.head.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	l.last = head
	l.mu.Unlock()
	return nil
}

// next begins a new file.
func (l *Log) next() error {
	f, err := l.disk.open(filepath.Join(l.dir, fileName(l.sequence+1)))
	if err != nil {
		return err
	}
	if err := l.disk.syncFolder(l.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	old := l.file
	l.file, l.size = f, 0
	return old.Close()
}

// Head is the newest checkpoint.
func (l *Log) Head() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Close waits for what is being written and closes the log; Append answers
// [storage.ErrClosed] afterwards.
func (l *Log) Close() error {
	l.closing.Do(func() { close(l.stop) })
	<-l.stopped
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Close(), l.head.Close())
	l.file, l.head = nil, nil
	return err
}

// Filter selects records; zero fields select all.
type Filter struct {
	Principal, Action, Target string
	From, Until               time.Time
	// Covers says whether records of principals of a department, or of several, are selected.
	Covers func(department string) bool
}

func (f *Filter) selects(r *Record) bool {
	return (f.Principal == "" || r.Principal == f.Principal) && (f.Action == "" || r.Action == f.Action) &&
		(f.Target == "" || slices.Contains(r.Targets, f.Target)) &&
		(f.From.IsZero() || !r.Time.Before(f.From)) && (f.Until.IsZero() || r.Time.Before(f.Until)) &&
		(f.Covers == nil || f.Covers(r.Department))
}

// Read returns records in their order, at most limit of them, after a sequence number. It
// reads what is acknowledged, and does not verify it.
func (l *Log) Read(ctx context.Context, filter Filter, after int64, limit int) ([]Record, error) {
	files, err := filesOf(l.dir)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	end := l.Head().Sequence
	var all []Record
	for i, name := range files {
		if i+1 < len(files) && firstOf(files[i+1]) <= after+1 {
			continue
		}
		if all, err = l.read(ctx, name, &filter, after, end, limit, all); err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		if len(all) == limit {
			break
		}
	}
	return all, nil
}

func (l *Log) read(ctx context.Context, name string, filter *Filter, after, end int64, limit int, all []Record) ([]Record, error) {
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return all, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<16)
	for n := 0; len(all) < limit; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return all, ctx.Err()
		}
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		record, sequence, _, err := parseLine(line)
		if err != nil {
			return all, fmt.Errorf("%s: %w: %w", name, storage.ErrCorrupt, err)
		}
		if sequence > end {
			return all, nil // not acknowledged yet
		}
		if sequence <= after || filter.Target != "" && !bytes.Contains(record, []byte(filter.Target)) {
			continue
		}
		var r Record
		if err := json.Unmarshal(record, &r); err != nil {
			return all, fmt.Errorf("%s: %w: %w", name, storage.ErrCorrupt, err)
		}
		if filter.selects(&r) {
			all = append(all, r)
		}
	}
	return all, nil
}

// readLine reads a line without its line break: io.EOF if there is none, and
// io.ErrUnexpectedEOF if it has no end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("%w: a line of over %d bytes", storage.ErrCorrupt, maxLine)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

const (
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
)

func fileName(first int64) string { return fmt.Sprintf("%s%020d%s", filePrefix, first, fileSuffix) }

// firstOf is the sequence number in the name of a file; 0 if it is none of the log.
func firstOf(name string) int64 {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, fileSuffix), filePrefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || fileName(n) != name {
		return 0
	}
	return n
}

// filesOf lists the files of a log in their order.
func filesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if firstOf(e.Name()) > 0 {
			files = append(files, e.Name())
		}
	}
	slices.Sort(files)
	return files, nil
}

// lastCode reads the code at the end of a file, whose last record must have a sequence
// number.
func lastCode(path string, sequence int64) (last code, err error) {
	f, err := os.Open(path)
	if err != nil {
		return last, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return last, err
	}
	tail := make([]byte, min(info.Size(), maxLine+1))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return last, err
	}
	lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
	_, have, last, err := parseLine(lines[len(lines)-1])
	if err != nil || have != sequence {
		return last, fmt.Errorf("%w: %s does not end with record %d", storage.ErrCorrupt, filepath.Base(path), sequence)
	}
	return last, nil
}
