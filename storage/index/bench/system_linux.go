package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what the process has used of the machine up to a moment.
type usage struct {
	at      time.Time
	cpu     time.Duration // of all threads, in user and system mode
	read    int64         // bytes fetched from the disk
	written int64         // bytes sent to it
}

func readUsage() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read CPU time: %w", err)
	}
	read, err := readProc("/proc/self/io", "read_bytes")
	if err != nil {
		return usage{}, err
	}
	written, err := readProc("/proc/self/io", "write_bytes")
	if err != nil {
		return usage{}, err
	}
	return usage{time.Now(), time.Duration(r.Utime.Nano() + r.Stime.Nano()), read, written}, nil
}

// settled waits until the process has been idle for a second, and returns what
// it had used up to then.
func settled() (usage, error) {
	const (
		interval = 50 * time.Millisecond
		idle     = interval / 10 // CPU time in an interval
	)
	last, err := readUsage()
	active := last
	for err == nil && last.at.Sub(active.at) < time.Second {
		time.Sleep(interval)
		var next usage
		next, err = readUsage()
		if next.cpu-last.cpu > idle || next.written > last.written {
			active = next
		}
		last = next
	}
	return active, err
}

// memory is what the process holds in memory, in bytes.
type memory struct {
	anonymous int64 // heaps and stacks
	file      int64 // mapped files, the program among them
}

func readMemory() (m memory, err error) {
	const path, kilobyte = "/proc/self/status", 1 << 10
	if m.anonymous, err = readProc(path, "RssAnon"); err != nil {
		return memory{}, err
	}
	if m.file, err = readProc(path, "RssFile"); err != nil {
		return memory{}, err
	}
	return memory{m.anonymous * kilobyte, m.file * kilobyte}, nil
}

// peakAnonymous returns the most anonymous memory that the process held while
// a function ran.
func peakAnonymous(run func() error) (peak int64, err error) {
	done := make(chan error)
	go func() { done <- run() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := readMemory()
		if err != nil {
			return 0, err
		}
		peak = max(peak, m.anonymous)
		select {
		case err := <-done:
			return peak, err
		case <-tick.C:
		}
	}
}

// readProc returns the number behind a name in a file of lines like
// "name: number".
func readProc(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var number int64
		if n, _ := fmt.Sscanf(lines.Text(), name+": %d", &number); n == 1 {
			return number, nil
		}
	}
	return 0, fmt.Errorf("read %s: not in %s", name, path)
}

// diskUsage is how much of the disk the files in a folder take: what was
// reserved for them but never written counts, what was never reserved does not.
func diskUsage(dir string) (total int64, err error) {
	err = eachFile(dir, func(path string) error {
		info, err := os.Stat(path)
		if err == nil {
			total += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return total, nil
}

// forget has the system drop the files in a folder from its cache.
func forget(dir string) error {
	err := eachFile(dir, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		// A page that is not on the disk yet cannot be dropped.
		return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
	if err != nil {
		return fmt.Errorf("drop %s from the cache: %w", dir, err)
	}
	return nil
}

func eachFile(dir string, do func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return do(path)
	})
}
