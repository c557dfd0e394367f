package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxTrials is how often a message is tried alone and ends the process, after it was in hand
// beside others when that happened first.
const maxTrials = 3

// trials are notes about messages that are being tried alone: a file for each, as many bytes
// long as it was tried. A process that ends leaves the file behind. It is not synced: when
// the whole machine goes down, that is nothing to hold against a post.
type trials struct{ dir string }

// begin notes that a message is tried, and returns how often it was before without an
// outcome. After [maxTrials] nothing more is noted.
func (t trials) begin(id string) (before int, err error) {
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(filepath.Join(t.dir, id), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	if info.Size() >= maxTrials {
		return maxTrials, f.Close()
	}
	_, err = f.Write([]byte{'\n'})
	return int(info.Size()), errors.Join(err, f.Close())
}

// end removes the note.
func (t trials) end(id string) error {
	if err := os.Remove(filepath.Join(t.dir, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of a trial: %w", err)
	}
	return nil
}
