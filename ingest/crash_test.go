package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

// What a victim works with.
const (
	victimDir      = "SEALPRINT_TEST_INGEST_DIR"
	victimEndpoint = "SEALPRINT_TEST_INGEST_ENDPOINT"
)

// victims are what processes do until they are killed.
var victims = map[string]func(ctx context.Context, dir string) error{
	"register": registerForEver,
	"job":      runJob,
}

// kill starts a victim, shows its lines until enough has been seen, and kills it.
func kill(t *testing.T, what, dir string, environment []string, enough func(line string) bool) {
	t.Helper()
	v := exec.Command(os.Args[0])
	v.Env = append(append(os.Environ(), victim+"="+what, victimDir+"="+dir), environment...)
	v.Stderr = os.Stderr
	pipe, err := v.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(30*time.Second, func() { v.Process.Kill() })
	defer stuck.Stop()
	killed := false
	// What stands in the pipe already was said before the end.
	for lines := bufio.NewReader(pipe); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line cut short was not said
		}
		if enough(strings.TrimSuffix(line, "\n")) && !killed {
			killed = true
			v.Process.Kill()
		}
	}
	v.Wait()
	if !killed {
		t.Fatal("the victim ended by itself")
	}
}

// sourceOf is the i-th file of a registering victim. Every third is a copy.
func sourceOf(i int) ingest.File {
	return upload(fmt.Sprint("file ", i), words(fmt.Sprint("content ", i-i%3/2)))
}

// registerForEver registers from four goroutines and prints what has been
// acknowledged.
func registerForEver(ctx context.Context, dir string) error {
	h, err := build(ctx, dir, plan{})
	if err != nil {
		return err
	}
	errs := make(chan error)
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for i := w; ; i += 4 {
				r, err := h.registrar.Register(ctx, sourceOf(i))
				if err == nil && r.Document == "" {
					err = errors.New(r.Reason)
				}
				if err != nil {
					errs <- err
					return
				}
				out.Lock()
				fmt.Println(i, r.Document)
				out.Unlock()
			}
		}()
	}
	return <-errs
}

// Whenever the program is killed, what it acknowledged is registered, both
// stores agree after the next start, and registering all again makes nothing
// twice.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[int]storage.DocumentID{}
	last := 0
	for round := range 3 {
		until := len(acknowledged) + 40 + round*17
		kill(t, "register", dir, nil, func(line string) bool {
			var i int
			var id storage.DocumentID
			if _, err := fmt.Sscan(line, &i, &id); err != nil {
				t.Errorf("the victim says %q", line)
			}
			if before, ok := acknowledged[i]; ok && before != id {
				t.Errorf("file %d was %s and is %s", i, before, id)
			}
			acknowledged[i] = id
			last = max(last, i)
			return len(acknowledged) >= until
		})
		h := open(t, dir, plan{})
		h.agree(t)
		documents := h.documents(t)
		for i, id := range acknowledged {
			if _, ok := documents[id]; !ok {
				t.Errorf("file %d was acknowledged as %s and is gone", i, id)
			}
			s, v, err := h.registry.Source(t.Context(), sourceOf(i).SourceKey)
			if err != nil || s.Document != id {
				t.Errorf("file %d was acknowledged as %s and is %s, %v", i, id, s.Document, err)
			} else if i%7 == 0 && !h.matchable(t, id, v.Number, words(fmt.Sprint("content ", i-i%3/2))) {
				t.Errorf("file %d was acknowledged and is not found", i)
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		h.close()
	}
	h := open(t, dir, plan{})
	contents := map[int]bool{}
	for i := range last + 8 {
		r := h.register(t, sourceOf(i))
		if id, ok := acknowledged[i]; ok && (r.Document != id || r.Outcome != ingest.Unchanged) {
			t.Errorf("file %d was acknowledged as %s and is %s, %s", i, id, r.Document, r.Outcome)
		}
		contents[i-i%3/2] = true
	}
	if n := len(h.documents(t)); n != len(contents) {
		t.Errorf("%d documents of %d contents", n, len(contents))
	}
	h.agree(t)
	t.Logf("%d files were acknowledged", len(acknowledged))
}
