package extract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
)

func testPool(t testing.TB, workers int) *Pool {
	t.Helper()
	before := descriptors(t)
	p := NewPool(Options{Cache: UserCache(), Workers: workers})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if children := childProcesses(t); children != "" {
			t.Errorf("children left: %s", children)
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
	return p
}

func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		// The runtime's own are opened on first use and stay.
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(target, "anon_inode:") {
			n++
		}
	}
	return n
}

func childProcesses(t testing.TB) string {
	b := []byte{}
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		c, _ := os.ReadFile(task)
		b = append(b, c...)
	}
	return strings.TrimSpace(string(b))
}

func tempFile(t testing.TB, content string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func extract(t testing.TB, p *Pool, content string) *ingest.Reading {
	t.Helper()
	r, err := p.Extract(context.Background(), tempFile(t, content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStatuses(t *testing.T) {
	p := testPool(t, 1)
	const quoted = "the text of the file"
	for _, test := range []struct {
		name, content string
		status        ingest.Status
		reason        string
		pages         int
	}{
		{"text", "Finance Division", "ok", "", 1},
		{"html", "<!DOCTYPE html><p>Finance Division", "ok", "", 1},
		{"pdf", makePDF("Finance", "Division"), "ok", "", 2},
		{"empty", "", "no_text", "the file is empty", 0},
		{"blank", " \n", "no_text", "no page holds text", 1},
		{"scan", makePDF("", ""), "no_text", "no page holds text", 2},
		{"picture", "\x89PNG\r\n\x1a\n0000", "damaged", "not readable as image/png", 0},
		{"program", "\x7fELF\x02\x01\x01", "unsupported", "no reader for application/x-elf", 0},
		{"encrypted", encryptedPDF(), "encrypted", "needs a password", 0},
		{"truncated", makePDF("Finance")[:300], "damaged", "no page can be found in the file", 0},
		{"some pages", hostile("page bad page bad bad"), "partial", "pages 2, 4-5: malformed content", 5},
		{"no pages", hostile("bad"), "damaged", "page 1: malformed content", 1},
		{"panic", hostile("panic"), "damaged", "not readable as application/x-archive", 0},
		{"panic after page", hostile("page panic"), "partial", "after page 1: not readable as application/x-archive", 1},
		{"error", hostile("error"), "damaged", "not readable as application/x-archive", 0},
		{"exit", hostile("exit"), "damaged", "reader ended: exit status 7", 0},
		{"recurse", hostile("recurse"), "limit", "reader ended: stack overflow", 0},
		{"recurse after pages", hostile("page page recurse"), "partial", "after page 2: reader ended: stack overflow", 2},
		{"bomb", hostile("bomb"), "limit", "reader ended: out of memory", 0},
		{"bomb after page", hostile("page bomb"), "partial", "after page 1: reader ended: out of memory", 1},
		{"too much text", hostile("big big"), "partial", "after page 1: more than 32 MB of text", 1},
		{"lie", hostile("lie"), "damaged", "reader ended: malformed answer", 0},
		{"backwards", hostile("page backwards"), "partial", "after page 1: reader ended: malformed answer", 1},
		{"write", hostile("write"), "damaged", "cannot write", 0},
		{"text again", "Finance Division", "ok", "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := extract(t, p, test.content)
			if r.Status != test.status || r.Reason != test.reason || len(r.Pages) != test.pages {
				t.Errorf("got %s, %q, %d pages; want %s, %q, %d pages",
					r.Status, r.Reason, len(r.Pages), test.status, test.reason, test.pages)
			}
			if r.Pages == nil {
				t.Error("pages are nil")
			}
			if strings.Contains(fmt.Sprint(r), quoted) {
				t.Error("the reading repeats what a failing reader said")
			}
		})
	}
}

// A file that ends its reader says the same of itself whatever was read before.
func TestCrashIsNotOfEarlierFiles(t *testing.T) {
	p := testPool(t, 1)
	extract(t, p, "Finance Division")
	c := <-p.readers
	c.kill()
	p.readers <- c
	if r := extract(t, p, "Finance Division"); r.Status != ingest.StatusOK {
		t.Errorf("after its child was killed between files: %s, %s", r.Status, r.Reason)
	}
}

func TestProcessorTime(t *testing.T) {
	p := testPool(t, 1)
	p.cpu = time.Second
	r := extract(t, p, hostile("page loop"))
	if r.Status != ingest.StatusPartial || r.Reason != "after page 1: processor time limit of 1s" {
		t.Errorf("got %s, %q", r.Status, r.Reason)
	}
	if r := extract(t, p, "Finance Division"); r.Status != ingest.StatusOK {
		t.Errorf("afterwards: %s, %q", r.Status, r.Reason)
	}
}

func TestWallTime(t *testing.T) {
	p := testPool(t, 1)
	p.time = time.Second
	r := extract(t, p, hostile("page sleep"))
	if r.Status != ingest.StatusPartial || r.Reason != "after page 1: time limit of 1s" {
		t.Errorf("got %s, %q", r.Status, r.Reason)
	}
}

func TestKilledChild(t *testing.T) {
	p := testPool(t, 1)
	extract(t, p, "warm up")
	c := <-p.readers
	c.files = 0 // as if this were its first file
	p.readers <- c
	// The file is read once more, by careful readers only.
	go func() {
		for range 2 {
			time.Sleep(700 * time.Millisecond)
			for pid := range strings.FieldsSeq(childProcesses(t)) {
				if n, err := strconv.Atoi(pid); err == nil {
					syscall.Kill(n, syscall.SIGKILL)
				}
			}
		}
	}()
	r := extract(t, p, hostile("page sleep"))
	if r.Status != ingest.StatusPartial || r.Reason != "after page 1: reader ended: signal: killed" {
		t.Errorf("got %s, %q", r.Status, r.Reason)
	}
}

// A signal to the whole process group ends no child in the middle of a file.
func TestSignals(t *testing.T) {
	p := testPool(t, 1)
	extract(t, p, "warm up")
	c := <-p.readers
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := c.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	p.readers <- c
	extract(t, p, "x")
	again := <-p.readers
	p.readers <- again
	if again != c {
		t.Error("the child was replaced")
	}
}

func TestCancel(t *testing.T) {
	p := testPool(t, 1)
	for _, content := range []string{hostile("sleep"), hostile("loop")} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		_, err := p.Extract(ctx, tempFile(t, content), int64(len(content)))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Extract(ctx, tempFile(t, "x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if r := extract(t, p, "Finance Division"); r.Status != ingest.StatusOK {
		t.Errorf("after that: %s, %s", r.Status, r.Reason)
	}
}

func TestConcurrentFiles(t *testing.T) {
	p := testPool(t, 2)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				want := fmt.Sprintf("file %d of %d", j, i)
				f := tempFile(t, want)
				r, err := p.Extract(context.Background(), f, int64(len(want)))
				if err != nil || len(r.Pages) != 1 || r.Pages[0].Text != want {
					t.Errorf("%s: got %+v, %v", want, r, err)
				}
			}
		})
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for range 3 {
			if r := extract(t, p, hostile("page exit")); r.Status != ingest.StatusPartial {
				t.Errorf("got %+v", r)
			}
		}
	}()
	wg.Wait()
}

func TestFileIsLeftAlone(t *testing.T) {
	p := testPool(t, 1)
	f := tempFile(t, "Finance Division")
	if _, err := f.Seek(3, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := p.Extract(context.Background(), f, 16)
		if err != nil || r.Pages[0].Text != "Finance Division" {
			t.Fatalf("got %+v, %v", r, err)
		}
	}
	if at, err := f.Seek(0, 1); at != 3 || err != nil {
		t.Errorf("cursor at %d, %v", at, err)
	}
}

func TestChildIsConfined(t *testing.T) {
	p := testPool(t, 1)
	r := extract(t, p, hostile("describe"))
	if got := r.Pages[0].Text; got != "/|no new privileges" {
		t.Errorf("environment, working directory, privileges: %q", got)
	}
	c := <-p.readers
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.cmd.Process.Pid))
	p.readers <- c
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Max core file size 0 0", "Max file size 0 0", "Max open files 16 16"} {
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), want) {
			t.Errorf("no %q in the limits of the child", want)
		}
	}
	if strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max data size unlimited") {
		t.Error("the memory of the child is not limited")
	}
}

func TestChildIsReplaced(t *testing.T) {
	p := testPool(t, 1)
	pid := func() int {
		c := <-p.readers
		defer func() { p.readers <- c }()
		if c == nil {
			return 0
		}
		return c.cmd.Process.Pid
	}
	extract(t, p, "x")
	first := pid()
	extract(t, p, "x")
	if second := pid(); second != first {
		t.Errorf("child %d was replaced by %d after one file", first, second)
	}
	c := <-p.readers
	c.files = ingest.ReaderFiles - 1
	p.readers <- c
	extract(t, p, "x")
	if pid() != 0 {
		t.Error("child was not ended after its last file")
	}
}

// The child ends when its parent is gone, in the middle of a file.
func TestParentGone(t *testing.T) {
	if os.Getenv("EXTRACT_TEST_PARENT") != "" {
		p := NewPool(Options{})
		content := hostile("loop")
		time.AfterFunc(500*time.Millisecond, func() {
			fmt.Printf("child %s\n", childProcesses(t))
			os.Exit(0) // without a word to the child
		})
		p.Extract(context.Background(), tempFile(t, content), int64(len(content)))
		return
	}
	parent := exec.Command("/proc/self/exe", "-test.run=^TestParentGone$")
	parent.Env = append(os.Environ(), "EXTRACT_TEST_PARENT=1")
	out, err := parent.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(string(out), "child %d", &pid); err != nil {
		t.Fatalf("parent said %q", out)
	}
	for range 100 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("child %d is still there", pid)
}

// TestNoCache: what was not compiled before is compiled by each child.
func TestNoCache(t *testing.T) {
	file := strings.Replace(makePDF("Finance"), "startxref", "startxxxx", 1) // for PDFium only
	p := newPool([]string{"/proc/self/exe", workerArg, t.TempDir()}, 1)
	defer p.Close()
	p.cpu, p.time = 5*time.Minute, 5*time.Minute // it takes two seconds, and under the race detector thirty
	if r := extract(t, p, file); r.Status != ingest.StatusOK {
		t.Errorf("%s, %s", r.Status, r.Reason)
	}
}

func TestWrongCommand(t *testing.T) {
	p := newPool([]string{"/bin/echo", "usage"}, 1)
	defer p.Close()
	if _, err := p.Extract(context.Background(), tempFile(t, "x"), 1); err == nil {
		t.Error("no error")
	}
	p = newPool([]string{"/nonexistent"}, 1)
	defer p.Close()
	if _, err := p.Extract(context.Background(), tempFile(t, "x"), 1); err == nil {
		t.Error("no error")
	}
}

func TestClosed(t *testing.T) {
	p := testPool(t, 2)
	extract(t, p, "x")
	p.Close()
	if _, err := p.Extract(context.Background(), tempFile(t, "x"), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	p := testPool(t, 1)
	r, err := p.Extract(context.Background(), tempFile(t, "x"), ingest.MaxFileBytes+1)
	if err != nil || r.Status != ingest.StatusLimit || r.Reason != "file over 200 MB" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNothingLeaks(t *testing.T) {
	p := testPool(t, 1)
	extract(t, p, "x")
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for range 5 {
		extract(t, p, "x")
		extract(t, p, hostile("exit"))
	}
	extract(t, p, "x")
	time.Sleep(50 * time.Millisecond)
	// Each test file stays open until the end of the test.
	if g, d := runtime.NumGoroutine(), descriptors(t); g > goroutines || d > fds+11 {
		t.Errorf("goroutines: %d, then %d; descriptors: %d, then %d", goroutines, g, fds, d)
	}
}

func BenchmarkExtractText(b *testing.B) {
	p := testPool(b, 1)
	f := tempFile(b, strings.Repeat("Finance Division ", 1000))
	for b.Loop() {
		if _, err := p.Extract(context.Background(), f, 17000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := start(context.Background(), []string{"/proc/self/exe", workerArg, UserCache()})
		if err != nil {
			b.Fatal(err)
		}
		c.stop()
	}
}
