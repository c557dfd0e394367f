package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
)

// TestRotate: logs of earlier keys are verified without these keys, whatever is done to them is
// found, and a rotation that was broken off is finished.
func TestRotate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	keys := []*fingerprint.Key{fingerprint.NewKey(), fingerprint.NewKey(), fingerprint.NewKey()}
	anchor := write(t, dir, keys[0], 300, 16<<10)
	rotate := func(from, to *fingerprint.Key) {
		t.Helper()
		for range 2 { // the second time changes nothing
			if err := Rotate(t.Context(), dir, from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	rotate(keys[0], keys[1])
	sound(t, dir, keys[1], 1)
	later := write(t, dir, keys[1], 20, fileBytes)
	if err := end(t.Context(), dir, keys[1], keys[2]); err != nil { // and then it was killed
		t.Fatal(err)
	}
	rotate(keys[1], keys[2])
	last := write(t, dir, keys[2], 10, fileBytes)
	var anchors []Checkpoint
	for _, c := range []Checkpoint{anchor, later, last} {
		a, err := ParseAnchor(c.String(), keys[2])
		if err != nil {
			t.Fatal(err)
		}
		anchors = append(anchors, a)
	}
	r := sound(t, dir, keys[2], 11, anchors...)
	if want := []string{"audit-" + keys[1].ID(), "audit-" + keys[0].ID()}; !slices.Equal(r.Closed, want) {
		t.Errorf("%v", r.Closed)
	}
	folders, err := ClosedFolders(dir)
	if err != nil || len(folders) != 2 {
		t.Errorf("%v, %v", folders, err)
	}
	wrong, err := ParseAnchor(strings.Replace(anchor.String(), anchor.Code, later.Code, 1), keys[2])
	if err != nil {
		t.Fatal(err)
	}
	foreign := write(t, t.TempDir(), fingerprint.NewKey(), 10, fileBytes)
	for name, a := range map[string]Checkpoint{"another record": wrong, "another key": foreign} {
		if r, err := Verify(dir, keys[2], a); err != nil || len(r.Problems) != 1 {
			t.Errorf("%s: %v, %v", name, err, r.Problems)
		}
	}

	for name, tamper := range map[string]func(folder string) error{
		"changed": func(folder string) error {
			path := filepath.Join(folder, fileName(1))
			b, err := os.ReadFile(path)
			b[100] ^= 1
			return errors.Join(err, os.WriteFile(path, b, 0o600))
		},
		"a file is gone":   func(folder string) error { return os.Remove(filepath.Join(folder, fileName(1))) },
		"the head is gone": func(folder string) error { return os.Remove(filepath.Join(folder, headName)) },
		"a file more":      func(folder string) error { return os.WriteFile(filepath.Join(folder, fileName(100000)), nil, 0o600) },
		"all is gone":      os.RemoveAll,
	} {
		for _, key := range keys[:2] {
			copied := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(copied, os.DirFS(filepath.Dir(dir))); err != nil {
				t.Fatal(err)
			}
			log := filepath.Join(copied, "audit")
			if err := tamper(ClosedFolder(log, key.ID())); err != nil {
				t.Fatal(err)
			}
			if r, err := Verify(log, keys[2]); err != nil || len(r.Problems) == 0 {
				t.Errorf("%s: %v, %v", name, err, r.Problems)
			}
		}
	}
}
