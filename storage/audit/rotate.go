package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// What a rotation of the secret key is recorded as: the last record of a log, whose targets
// are the ids of the previous key and of the next one; and the first record of the log that
// follows, whose targets are the folder of the closed one and the digest of its files, and
// whose purpose is its last checkpoint.
const (
	actionRotate   = "rotateKey"
	actionContinue = "continueLog"

	rotator = "rotate" // the principal: the command, since no key is needed for it

	digestPrefix = "sha256:"
)

// ClosedFolder is where the log of a key lies, once it is closed, if the one that is written to lies in
// dir.
func ClosedFolder(dir, keyID string) string { return dir + "-" + keyID }

// ClosedFolders lists the folders of closed logs beside a log.
func ClosedFolders(dir string) ([]string, error) {
	folders, err := filepath.Glob(dir + "-*")
	return slices.DeleteFunc(folders, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || !info.IsDir()
	}), err
}

// Rotate closes the log in a folder, moves it to its [ClosedFolder], and begins the log of
// another key, which vouches for the closed one: that can be verified without its own key
// from then on. It may be broken off anywhere, and done again.
func Rotate(ctx context.Context, dir string, from, to *fingerprint.Key) error {
	if err := rotate(ctx, dir, from, to); err != nil {
		return fmt.Errorf("rotate audit log: %w", err)
	}
	return nil
}

func rotate(ctx context.Context, dir string, from, to *fingerprint.Key) error {
	closed := ClosedFolder(dir, from.ID())
	if _, err := os.Stat(closed); errors.Is(err, fs.ErrNotExist) {
		if err := end(ctx, dir, from, to); err != nil {
			return err
		}
		if err := os.Rename(dir, closed); err != nil {
			return err
		}
		if err := (system{}).syncFolder(filepath.Dir(dir)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, last, _, headErr, err := readHead(closed, keysOf(from))
	if err := errors.Join(headErr, err); err != nil {
		return err
	}
	sum, err := digest(closed)
	if err != nil {
		return err
	}
	l, err := Open(dir, to)
	if err != nil {
		return err
	}
	if l.Head().Sequence == 0 {
		err = l.Append(ctx, Record{
			Principal: rotator, Action: actionContinue, Purpose: last.String(), Targets: []string{filepath.Base(closed), digestPrefix + sum}, Outcome: "ok",
		})
	}
	return errors.Join(err, l.Close())
}

// end writes the last record of a log.
func end(ctx context.Context, dir string, from, to *fingerprint.Key) error {
	l, err := Open(dir, from)
	if err != nil {
		return err
	}
	err = l.Append(ctx, Record{Principal: rotator, Action: actionRotate, Targets: []string{from.ID(), to.ID()}, Outcome: "ok"})
	return errors.Join(err, l.Close())
}

// digest is the SHA-256 of what sha256sum prints of the files of a log, in their order, and of
// its head.
func digest(dir string) (string, error) {
	files, err := filesOf(dir)
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, name := range append(files, headName) {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%x  %s\n", sum.Sum(nil), name) // a hash never fails
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// closedLog is what the first record of a log says about the one before.
type closedLog struct{ folder, digest string }

// continued reads which log comes before the one in a folder; the zero one if none does.
func continued(dir string) (c closedLog, err error) {
	f, err := os.Open(filepath.Join(dir, fileName(1)))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	line, err := readLine(bufio.NewReader(f))
	if err != nil {
		return c, nil // there is no record, or the chain tells what is wrong with it
	}
	var r Record
	if record, _, _, err := parseLine(line); err != nil || json.Unmarshal(record, &r) != nil || r.Action != actionContinue || len(r.Targets) != 2 {
		return c, nil
	}
	sum, ok := strings.CutPrefix(r.Targets[1], digestPrefix)
	if !ok || r.Targets[0] != filepath.Base(r.Targets[0]) {
		return c, fmt.Errorf("%w: the first record names no closed log", storage.ErrCorrupt)
	}
	return closedLog{r.Targets[0], sum}, nil
}

// closedLogs verifies the logs before the one in dir, each by what the one behind it says, and
// finds the records that anchors of their keys say.
func (v *verification) closedLogs(anchors []Checkpoint) error {
	seen := map[string]bool{}
	for dir := v.dir; ; {
		before, err := continued(dir)
		if err != nil {
			v.problem(filepath.Base(dir), 0, err.Error())
			break
		}
		if before.folder == "" || seen[before.folder] {
			break
		}
		seen[before.folder] = true
		dir = filepath.Join(filepath.Dir(v.dir), before.folder)
		sum, err := digest(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.problem(before.folder, 0, "the log of the key before, or a file of it, is not there")
		case err != nil:
			return err
		case sum != before.digest:
			v.problem(before.folder, 0, "the log of the key before is not as it was closed")
		}
		if err != nil {
			break
		}
		v.Closed = append(v.Closed, before.folder)
		for _, a := range anchors {
			if dir == ClosedFolder(v.dir, a.keyID) {
				if err := v.anchored(dir, a); err != nil {
					return err
				}
			}
		}
	}
	for _, a := range anchors {
		if a.keyID != v.keys.id && !slices.Contains(v.Closed, filepath.Base(ClosedFolder(v.dir, a.keyID))) {
			v.problem("", 0, fmt.Sprintf("an anchor is of the key %s, of which there is no log", a.keyID))
		}
	}
	return nil
}

// anchored looks for the record of an anchor in a closed log.
func (v *verification) anchored(dir string, a Checkpoint) error {
	if a.Sequence == 0 {
		return nil
	}
	files, err := filesOf(dir)
	if err != nil {
		return err
	}
	at, found := slices.BinarySearchFunc(files, a.Sequence, func(name string, sequence int64) int { return int(firstOf(name) - sequence) })
	if !found {
		at--
	}
	if at >= 0 {
		f, err := os.Open(filepath.Join(dir, files[at]))
		if err != nil {
			return err
		}
		defer f.Close()
		for lines := bufio.NewReaderSize(f, 1<<18); ; {
			line, err := readLine(lines)
			if err != nil {
				break // the end: the digest says whether it is the right one
			}
			if _, sequence, own, err := parseLine(line); err == nil && sequence == a.Sequence && hex.EncodeToString(own[:]) == a.Code {
				return nil
			}
		}
	}
	v.problem(filepath.Base(dir), 0, fmt.Sprintf("record %d is not the one of the anchor of %s", a.Sequence, a.Time.Format("2006-01-02 15:04:05")))
	return nil
}
