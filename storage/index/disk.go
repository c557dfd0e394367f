package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is the folder of an index: what this package needs of a file system, and no
// more, so that tests can have every operation fail. Names are of files in the folder;
// os.IsNotExist holds for the error of a file that is not there.
type disk interface {
	// create makes an empty file, in the place of one that is there.
	create(name string) (file, error)
	// read returns the content of a small file.
	read(name string) ([]byte, error)
	// load returns the content of a file as memory that is not to be written to, and
	// is given back by unload.
	load(name string) ([]byte, error)
	unload(data []byte)
	// readAhead has a part of what was loaded read soon. It is a hint.
	readAhead(part []byte)
	rename(from, to string) error
	remove(name string) error
	list() ([]fileInfo, error)
	// sync makes durable which files the folder has.
	sync() error
	// lock takes the folder for this process, until it is closed.
	lock() (io.Closer, error)
}

// file is a file that is written from front to back.
type file interface {
	io.WriteCloser
	Sync() error
}

type fileInfo struct {
	name string
	size int64
}

// folder is a disk in the file system.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

func (d folder) create(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}

func (d folder) read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

// load maps the file. An empty one maps to nothing.
func (d folder) load(name string) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", d.path(name), err)
	}
	// Look-ups touch a page here and a page there; reading ahead for them would only
	// push useful pages out. The advice may be declined.
	_ = unix.Madvise(data, unix.MADV_RANDOM)
	return data, nil
}

func (d folder) unload(data []byte) {
	if data != nil {
		// Unmapping fails only for memory that was never mapped.
		_ = unix.Munmap(data)
	}
}

func (d folder) readAhead(part []byte) {
	if len(part) == 0 {
		return
	}
	// From the start of the page on, as the advice wants it.
	before := int(uintptr(unsafe.Pointer(&part[0])) % uintptr(os.Getpagesize()))
	whole := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&part[0]), -before)), before+len(part))
	_ = unix.Madvise(whole, unix.MADV_WILLNEED)
}

func (d folder) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d folder) remove(name string) error { return os.Remove(d.path(name)) }

func (d folder) list() ([]fileInfo, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var files []fileInfo
	for _, e := range entries {
		// A file may go between the listing and the look at it.
		if info, err := e.Info(); err == nil {
			files = append(files, fileInfo{e.Name(), info.Size()})
		}
	}
	return files, nil
}

func (d folder) sync() error { return syncFolder(string(d)) }

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", path, err)
	}
	return nil
}

func (d folder) lock() (io.Closer, error) {
	f, err := os.OpenFile(d.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is open already, here or in another process", string(d))
		}
		return nil, fmt.Errorf("lock %s: %w", string(d), err)
	}
	return f, nil
}

// replaceFile gives a file new content in one step: after a crash either the old or
// the new is there, whole.
func replaceFile(d disk, name string, content []byte) error {
	// What the new content speaks of must be in the folder before it is.
	if err := d.sync(); err != nil {
		return err
	}
	f, err := d.create(name + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.rename(name+tempSuffix, name)
	}
	if err != nil {
		return err
	}
	return d.sync()
}
