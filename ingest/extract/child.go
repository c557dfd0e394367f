package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// child is one reader process, seen by its parent. Only kill may be called
// concurrently with the rest.
type child struct {
	cmd     *exec.Cmd
	conn    *net.UnixConn
	stderr  *lastWords
	wait    func()
	files   int
	ended   bool // it is of no further use
	crashed bool // it ended by its own doing, and sooner than any time limit
}

// start starts a child and waits until it is limited.
func start(ctx context.Context, command []string) (*child, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start reader: make socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "parent")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("start reader: %w", err)
	}

	c := &child{conn: conn.(*net.UnixConn), stderr: &lastWords{}}
	c.cmd = exec.Command(command[0], command[1:]...)
	c.cmd.Env = []string{}
	c.cmd.Dir = "/"
	c.cmd.ExtraFiles = []*os.File{theirs}
	c.cmd.Stderr = c.stderr
	c.cmd.WaitDelay = ingest.EndTime
	// An interrupt from the terminal is for the server, which ends its children
	// in its own time.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.wait = sync.OnceFunc(func() { c.cmd.Wait() })
	err = startUnprivileged(c.cmd)
	// While this end stayed open here, the death of the child would go unnoticed.
	theirs.Close()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start reader: %w", err)
	}

	defer context.AfterFunc(ctx, c.kill)()
	conn.SetDeadline(time.Now().Add(ingest.StartTime))
	kind, _, err := readFrame(conn, 0)
	if err != nil || kind != frameReady {
		c.stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// No file was read yet, so its words hold no content.
		return nil, fmt.Errorf("start reader: not ready, %v: %q", c.cmd.ProcessState, c.stderr.buf)
	}
	return c, nil
}

// startUnprivileged starts a process that can gain no privileges, by setuid
// programs for instance. A Go process cannot give them up for all its threads,
// but a child inherits it from the thread that started it; so that thread is
// one of its own, which ends with the goroutine that never unlocks it.
func startUnprivileged(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			started <- fmt.Errorf("set no new privileges: %w", err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// task is one pass over a file.
type task struct {
	file    *os.File
	size    int64
	careful bool
	cpu     time.Duration // until the end, or the first picture
	wall    time.Duration // left
	purpose purpose
	wanted  pageSet // whose pictures
	// show takes a picture, and is not hurried; until it returns no other is read.
	show func(drawn)
}

// spend takes the time since then off what is left, except for a last second, in which
// whatever is tried ends with the reason.
func (t *task) spend(since time.Time) { t.wall = max(t.wall-time.Since(since), time.Second) }

// run has the child read one file. An error is none of the file's. After it the
// child may have ended.
func (c *child) run(ctx context.Context, t task) (*answer, *Failure, error) {
	readOnly, err := reopen(t.file)
	if err != nil {
		return nil, nil, err
	}
	defer readOnly.Close()

	c.files++
	a := &answer{}
	living := context.AfterFunc(ctx, c.kill)
	c.conn.SetDeadline(time.Now().Add(t.wall))
	end, err := c.exchange(a, t, request{
		file: readOnly, size: t.size, careful: t.careful, cpu: uint32(max(t.cpu.Seconds(), 1)), purpose: t.purpose, wanted: t.wanted,
	})
	if !living() || err != nil {
		c.ended = true
	}
	switch {
	case err == nil:
		return a, end, nil
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return a, failf(ingest.StatusLimit, "time limit of %gs", t.wall.Seconds()), nil
	case errors.Is(err, errFrame):
		c.crashed = true
		return a, failf(ingest.StatusDamaged, "reader ended: malformed answer"), nil
	}
	return a, c.fate(t.cpu), nil
}

func (c *child) exchange(a *answer, t task, r request) (*Failure, error) {
	rights := unix.UnixRights(int(r.file.Fd()))
	if _, _, err := c.conn.WriteMsgUnix(r.encode(), rights, nil); err != nil {
		return nil, err
	}
	if t.purpose == toRead {
		return a.read(c.conn, nil)
	}
	return a.read(c.conn, func(d drawn) {
		t.show(d)
		c.conn.SetDeadline(time.Now().Add(ingest.RenderTime))
	})
}

// reopen returns the same file with a cursor of its own, and read-only: a
// child must not be able to write what the parent hashes.
func reopen(file *os.File) (*os.File, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("open file for reader: %w", err)
	}
	var again *os.File
	var openErr error
	err = raw.Control(func(fd uintptr) {
		again, openErr = os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	})
	if err = errors.Join(err, openErr); err != nil {
		return nil, fmt.Errorf("open file for reader: %w", err)
	}
	return again, nil
}

// fate says how a child ended that did not finish its answer.
func (c *child) fate(cpu time.Duration) *Failure {
	slow := time.AfterFunc(ingest.EndTime, c.kill)
	defer slow.Stop()
	c.wait()

	state := c.cmd.ProcessState
	if state.ExitCode() == exitCPU {
		return failf(ingest.StatusLimit, "processor time limit of %gs", cpu.Seconds())
	}
	c.crashed = true
	if cause := c.stderr.cause(); cause != "" {
		return failf(ingest.StatusLimit, "reader ended: %s", cause)
	}
	return failf(ingest.StatusDamaged, "reader ended: %v", state)
}

func (c *child) kill() { c.cmd.Process.Kill() }

// stop ends the child, whatever it is doing, and releases what it held.
func (c *child) stop() {
	c.conn.Close()
	c.kill()
	c.wait()
}

// lastWords keeps the beginning of what a child writes on standard error,
// which may hold content: it is compared with what the runtime says, and never
// shown.
type lastWords struct {
	buf []byte
}

func (w *lastWords) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p[:min(len(p), ingest.MaxStderrBytes-len(w.buf))]...)
	return len(p), nil
}

// cause returns which of its limits the runtime could not live with.
func (w *lastWords) cause() string {
	for _, c := range []struct{ says, cause string }{
		{"goroutine stack exceeds", "stack overflow"},
		{"stack overflow", "stack overflow"},
		{"out of memory", "out of memory"},
		{"cannot allocate memory", "out of memory"},
		{"cannot map pages", "out of memory"},
		{"failed to create new OS thread", "out of memory"},
		{"pthread_create failed", "out of memory"},
		// In the words of the race detector:
		{"failed to allocate", "out of memory"},
		{"address space collisions", "out of memory"},
	} {
		if bytes.Contains(w.buf, []byte(c.says)) {
			return c.cause
		}
	}
	return ""
}
