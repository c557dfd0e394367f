package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// maxProblems is how many problems are told apart. One that broke the whole chain has made
// its point by then.
const maxProblems = 100

// Report is what a verification found.
type Report struct {
	Records  int64
	Files    int
	Head     Checkpoint
	Unsigned int64    // records beyond the head: written when the program was ended; opening the log signs them
	Closed   []string // folders of logs of earlier keys, as they were closed
	Problems []Problem
}

// Problem is something that is not as it was written.
type Problem struct {
	File   string
	Offset int64 // in bytes
	What   string
}

func (p Problem) String() string {
	if p.File == "" {
		return p.What
	}
	return fmt.Sprintf("%s at byte %d: %s", p.File, p.Offset, p.What)
}

// Verify follows the chain of the log in a folder from its beginning, and compares it with
// its head and with anchors, checkpoints that were kept elsewhere; and the closed logs of
// earlier keys with what it says about them. It changes nothing, and
// may run beside a writer. An error means that the log could not be read at all.
func Verify(dir string, key *fingerprint.Key, anchors ...Checkpoint) (Report, error) {
	return verify(dir, keysOf(key), anchors)
}

// Verify verifies the log as it is now.
func (l *Log) Verify() (Report, error) { return verify(l.dir, l.keys, nil) }

func verify(dir string, k keys, anchors []Checkpoint) (Report, error) {
	v := &verification{dir: dir, keys: k, wanted: map[int64][]Checkpoint{}}
	// The head first: a writer may add records while they are read, but none is gone.
	_, head, wrong, headErr, err := readHead(dir, k)
	if err != nil {
		return v.Report, fmt.Errorf("verify audit log: %w", err)
	}
	if v.Head = head; headErr != nil {
		v.problem(headName, 0, headErr.Error())
	} else if wrong > 0 {
		v.problem(headName, 0, "one of its places holds no checkpoint")
	}
	anchors = slices.Clone(anchors)
	if v.Head.text != "" {
		anchors = append(anchors, v.Head)
	}
	for _, a := range anchors {
		if a.keyID != k.id {
			continue
		}
		v.wanted[a.Sequence] = append(v.wanted[a.Sequence], a)
	}
	files, err := filesOf(dir)
	if err != nil {
		return v.Report, fmt.Errorf("verify audit log: %w", err)
	}
	v.Files = len(files)
	v.chain = newChain(v.keys.chain, code{})
	v.meet("", 0)
	for _, name := range files {
		if first := firstOf(name); first != v.Records+1 {
			v.problem(name, 0, fmt.Sprintf("it begins with record %d, %d was to follow", first, v.Records+1))
			v.Records = first - 1
		}
		if err := v.file(name, name == files[len(files)-1]); err != nil {
			return v.Report, fmt.Errorf("verify audit log: %s: %w", name, err)
		}
	}
	for _, a := range anchors {
		if a.keyID == k.id && a.Sequence > v.Records {
			v.problem("", 0, fmt.Sprintf("the log ends with record %d, but had %d on %s", v.Records, a.Sequence, a.Time.Format("2006-01-02 15:04:05")))
		}
	}
	v.Unsigned = max(v.Records-v.Head.Sequence, 0)
	if err := v.closedLogs(anchors); err != nil {
		return v.Report, fmt.Errorf("verify audit log: %w", err)
	}
	return v.Report, nil
}

// readHead reads the head of a log that a writer may be at. It returns what is wrong with it
// apart from errors of the disk.
func readHead(dir string, k keys) (content []byte, head Checkpoint, wrong int, headErr, err error) {
	for try := range 3 {
		if content, err = os.ReadFile(filepath.Join(dir, headName)); err != nil {
			return nil, Checkpoint{}, 0, nil, err
		}
		if head, wrong, headErr = k.parseHead(content); wrong == 0 {
			break
		}
		time.Sleep(time.Duration(try) * 20 * time.Millisecond)
	}
	return content, head, wrong, headErr, nil
}

// Copy hands the files of the log in a folder to add, as they are at one moment: all that is
// acknowledged when it begins, and maybe some records behind. It may run beside a writer. A
// log whose head is damaged is not copied: that is an error of kind [storage.ErrCorrupt].
func Copy(dir string, key *fingerprint.Key, add func(name string, size int64, content io.Reader) error) error {
	// The head first, as Verify reads it; what follows leads there and further.
	head, _, _, headErr, err := readHead(dir, keysOf(key))
	if err == nil && headErr != nil {
		err = fmt.Errorf("%w: %w", storage.ErrCorrupt, headErr)
	}
	if err != nil {
		return fmt.Errorf("copy audit log: %w", err)
	}
	files, err := filesOf(dir)
	if err != nil {
		return fmt.Errorf("copy audit log: %w", err)
	}
	for _, name := range files {
		if err := copyFile(filepath.Join(dir, name), func(size int64, content io.Reader) error { return add(name, size, content) }); err != nil {
			return fmt.Errorf("copy audit log: %s: %w", name, err)
		}
	}
	return add(headName, int64(len(head)), bytes.NewReader(head))
}

// copyFile hands over a file as long as it is now.
func copyFile(path string, add func(size int64, content io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return add(info.Size(), io.LimitReader(f, info.Size()))
}

type verification struct {
	Report
	dir    string
	keys   keys
	chain  *chain
	wanted map[int64][]Checkpoint
}

func (v *verification) problem(file string, offset int64, what string) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, Problem{file, offset, what})
	}
}

// meet compares a record with the checkpoints that say which it is.
func (v *verification) meet(file string, offset int64) {
	for _, c := range v.wanted[v.Records] {
		if hex.EncodeToString(v.chain.last[:]) != c.Code {
			v.problem(file, offset, fmt.Sprintf("record %d is not the one that was signed on %s", v.Records, c.Time.Format("2006-01-02 15:04:05")))
		}
	}
}

// file follows the chain through one file.
func (v *verification) file(name string, last bool) error {
	f, err := os.Open(filepath.Join(v.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<18)
	for offset := int64(0); ; {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			// A writer may be at it, or was when it was ended.
			if !last || v.Records < v.Head.Sequence {
				v.problem(name, offset, "the last line is cut short")
			}
			return nil
		case err != nil:
			v.problem(name, offset, err.Error())
			return nil
		}
		record, sequence, own, err := parseLine(line)
		switch {
		case err != nil:
			v.problem(name, offset, "a line is no record")
			v.Records++
		case sequence != v.Records+1:
			v.problem(name, offset, fmt.Sprintf("record %d stands where %d was to follow", sequence, v.Records+1))
			v.Records = sequence
		default:
			v.Records++
			if v.chain.next(record) != own {
				v.problem(name, offset, fmt.Sprintf("record %d was changed, or the one before it", sequence))
			}
		}
		if err == nil {
			v.chain.last = own
		}
		v.meet(name, offset)
		offset += int64(len(line)) + 1
	}
}
