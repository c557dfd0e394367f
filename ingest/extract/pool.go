package extract

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sealprint/sealprint/ingest"
)

// Pool is an [ingest.Extractor] that reads files in limited child processes.
type Pool struct {
	command   []string
	slots     chan *child // one per worker; nil until its child is started
	closeOnce sync.Once

	cpu  time.Duration
	time time.Duration
}

var _ ingest.Extractor = (*Pool)(nil)

// ErrClosed is returned by a pool that was closed.
var ErrClosed = errors.New("extractor closed")

// NewPool returns a pool of so many children, each started by command when it
// is first needed. The command must run [Worker]; for a program that
// dispatches [WorkerArg] it is Command().
func NewPool(command []string, workers int) *Pool {
	p := &Pool{
		command: command,
		slots:   make(chan *child, max(workers, 1)),
		cpu:     ingest.ReaderCPU,
		time:    ingest.ReaderTime,
	}
	for range cap(p.slots) {
		p.slots <- nil
	}
	return p
}

// Command runs the running program as a reader, even if its file was replaced
// or deleted meanwhile.
func Command() []string { return []string{"/proc/self/exe", WorkerArg} }

// Close waits for the files that are being read and ends the children.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		for range cap(p.slots) {
			if c := <-p.slots; c != nil {
				c.stop()
			}
		}
		close(p.slots)
	})
	return nil
}

// Extract implements [ingest.Extractor].
func (p *Pool) Extract(ctx context.Context, file *os.File, size int64) (*ingest.Reading, error) {
	if size > ingest.MaxFileBytes {
		return new(answer).reading(failf(ingest.StatusLimit, "file over %d MB", ingest.MaxFileBytes>>20)), nil
	}
	var c *child
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case slot, ok := <-p.slots:
		if !ok {
			return nil, ErrClosed
		}
		c = slot
	}
	defer func() { p.slots <- c }()

	for {
		if c == nil {
			var err error
			if c, err = start(ctx, p.command); err != nil {
				return nil, err
			}
		}
		a, end, err := c.read(ctx, file, size, p.cpu, p.time)
		again := c.crashed && c.files > 1
		if c.ended || c.files >= ingest.ReaderFiles {
			c.stop()
			c = nil
		}
		if err != nil {
			return nil, err
		}
		if !again {
			return a.reading(end), nil
		}
	}
}
