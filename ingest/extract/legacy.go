package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// legacyTypes are the files that no reader of ours takes and LibreOffice does,
// with what it makes of them.
var legacyTypes = map[string]string{
	docType: "docx", xlsType: "xlsx", pptType: "pptx",
	"application/vnd.wordperfect": "docx", "application/vnd.ms-works": "docx",
	"application/vnd.ms-word": "docx",
}

// printedTypes are the files that have no look of their own but the one that
// LibreOffice gives them.
var printedTypes = []string{docxType, pptxType, xlsxType, odtType, odsType, odpType, "text/rtf"}

// converter has files converted by LibreOffice: without a network, since a document
// can make it fetch what it links to; in a folder in memory, since a document's
// text must not get to a disk; one at a time.
type converter struct {
	path    string
	missing string // why it does not convert
	place   chan struct{}
}

// memoryFolder is where Linux has a file system in memory, and workPrefix with what
// our folders in it begin.
const (
	memoryFolder = "/dev/shm"
	workPrefix   = "sealprint-convert-"
)

func newConverter() *converter {
	c := &converter{place: make(chan struct{}, 1)}
	var err error
	if c.path, err = exec.LookPath("soffice"); err != nil {
		c.missing = "LibreOffice is not installed"
		return c
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(memoryFolder, &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		c.missing = memoryFolder + ", where LibreOffice is to work, is not in memory"
		return c
	}
	sweep()
	probe := exec.Command("/bin/true")
	isolate(probe)
	if err := probe.Run(); err != nil {
		c.missing = "LibreOffice cannot be kept from the network here"
	}
	return c
}

// isolate starts a process without a network, in a process group of its own and as the
// first of its processes, with which all others end.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
}

// conversion is a file of an office program, and what became of it.
type conversion struct {
	File
	mediaType string
	to        string // extension of the format that is wanted

	converted *os.File // without a name; nil: see end
	size      int64
	end       *Failure
}

func (c *conversion) close() {
	if c.converted != nil {
		c.converted.Close()
	}
}

// convert makes files of types that readers take, within a time. The caller closes
// all of them, after an error, too, which is none of the files'.
func (c *converter) convert(ctx context.Context, files []*conversion, limit time.Duration) error {
	if c.missing != "" {
		for _, f := range files {
			f.end = failf(ingest.StatusUnsupported, "no reader for %s: %s", f.mediaType, c.missing)
		}
		return nil
	}
	select {
	case c.place <- struct{}{}:
		defer func() { <-c.place }()
	case <-ctx.Done():
		return ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// It takes ten times as long to start as to convert a file. One that it dies of
	// costs those behind it nothing but this time.
	groups := map[string][]*conversion{}
	for _, f := range files {
		groups[f.to] = append(groups[f.to], f)
	}
	for extension, group := range groups {
		if len(group) > 1 {
			if err := c.run(limited, extension, group); err != nil {
				return err
			}
		}
		for _, f := range group {
			if f.converted != nil {
				continue
			}
			if err := c.run(limited, extension, []*conversion{f}); err != nil {
				return err
			}
			switch {
			case f.converted != nil || f.end != nil:
			case limited.Err() != nil:
				f.end = failf(ingest.StatusLimit, "conversion took over %gs", limit.Round(time.Second).Seconds())
			default:
				f.end = failf(ingest.StatusDamaged, "LibreOffice cannot read it as %s; it may need a password", f.mediaType)
			}
		}
	}
	return ctx.Err()
}

// run has files converted to one format. Those that come to nothing are left as they
// are, except when time was up.
func (c *converter) run(ctx context.Context, extension string, files []*conversion) error {
	if ctx.Err() != nil {
		for _, f := range files {
			f.end = failf(ingest.StatusLimit, "no time was left for its conversion")
		}
		return nil
	}
	dir, err := newWorkFolder()
	if err != nil {
		return fmt.Errorf("make folder for a conversion: %w", err)
	}
	defer dir.remove()
	if err := dir.setUp(files); err != nil {
		return fmt.Errorf("prepare conversion: %w", err)
	}
	cmd := exec.CommandContext(ctx, c.path, "--headless", "--norestore", "--nolockcheck", "--nodefault",
		"-env:UserInstallation=file://"+dir.path("profile"), "--convert-to", extension, "--outdir", dir.path("out"))
	for i := range files {
		cmd.Args = append(cmd.Args, dir.path(fmt.Sprintf("in%d", i)))
	}
	cmd.Env = []string{"HOME=" + dir.name, "TMPDIR=" + dir.name, "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin", "SAL_USE_VCLPLUGIN=svp"}
	cmd.Dir = dir.name
	isolate(cmd)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = ingest.EndTime
	if err := startUnprivileged(cmd); err != nil && ctx.Err() == nil {
		return fmt.Errorf("start LibreOffice: %w", err)
	} else if err == nil {
		limitErr := limitProcess(cmd.Process.Pid, map[int]uint64{
			unix.RLIMIT_DATA: ingest.ConvertMemory, unix.RLIMIT_CPU: uint64(ingest.ConvertTime.Seconds()), unix.RLIMIT_FSIZE: ingest.MaxFileBytes, unix.RLIMIT_CORE: 0,
		})
		// It says that all went well when nothing did, and what went wrong in words that
		// may repeat content.
		_ = cmd.Wait()
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // whatever it left running
		if limitErr != nil {
			return limitErr
		}
	}
	for i, f := range files {
		if err := f.take(dir.path(fmt.Sprintf("out/in%d.%s", i, extension))); err != nil {
			return err
		}
	}
	return nil
}

// take copies what LibreOffice wrote, if it did, into anonymous memory. A program that
// was led astray may have put anything there, which is not followed.
func (c *conversion) take(path string) error {
	result, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer result.Close()
	if info, err := result.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	c.converted, c.size, _, err = ingest.Spool(result, nil)
	if errors.Is(err, ingest.ErrTooLarge) {
		c.end = failf(ingest.StatusLimit, "converted file over %d MB", ingest.MaxFileBytes>>20)
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy converted file: %w", err)
	}
	return nil
}

// workFolder is the folder of one run of LibreOffice, locked as long as its server lives.
type workFolder struct {
	name string
	lock *os.File
}

func newWorkFolder() (*workFolder, error) {
	name, err := os.MkdirTemp(memoryFolder, workPrefix)
	if err != nil {
		return nil, err
	}
	w := &workFolder{name: name}
	if w.lock, err = lockFolder(name); err != nil {
		w.remove()
		return nil, err
	}
	return w, nil
}

// lockFolder fails if the folder is locked, or is no folder.
func lockFolder(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (w *workFolder) path(name string) string { return filepath.Join(w.name, name) }

func (w *workFolder) remove() {
	_ = os.RemoveAll(w.name)
	w.lock.Close()
}

// sweep removes the folders that killed servers left. If it meets one between its
// making and its locking, that conversion fails, and its job tries again.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(memoryFolder, workPrefix+"*"))
	for _, name := range left {
		if lock, err := lockFolder(name); err == nil {
			_ = os.RemoveAll(name) // not ours, if it fails
			lock.Close()
		}
	}
}

// setUp writes the files, and a profile in which nothing runs that a file brings along,
// and nothing is loaded that it links to (never: 0 in Writer, 1 in Calc).
func (w *workFolder) setUp(files []*conversion) error {
	for _, d := range []string{"out", "profile/user"} {
		if err := os.MkdirAll(w.path(d), 0o700); err != nil {
			return err
		}
	}
	const profile = `<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel" oor:op="fuse"><value>3</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Writer/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>0</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>1</value></prop></item>
</oor:items>
`
	if err := os.WriteFile(w.path("profile/user/registrymodifications.xcu"), []byte(profile), 0o600); err != nil {
		return err
	}
	for i, f := range files {
		in, err := os.OpenFile(w.path(fmt.Sprintf("in%d", i)), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(in, ioSection(f.File))
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}
