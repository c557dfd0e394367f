package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

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

// converter has files converted by LibreOffice: without a network, since a document
// can make it fetch what it links to; in a folder in memory, since a document's
// text must not get to a disk; one at a time.
type converter struct {
	path    string
	missing string // why it does not convert
	place   chan struct{}
}

// memoryFolder is where Linux has a file system in memory, and workPrefix with what
// our folders in it begin: behind it comes the process that made them.
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
	c.sweep()
	probe := exec.Command("/bin/true")
	isolate(probe)
	if err := probe.Run(); err != nil {
		c.missing = "LibreOffice cannot be kept from the network here"
	}
	return c
}

// sweep removes what killed processes left.
func (c *converter) sweep() {
	left, _ := filepath.Glob(filepath.Join(memoryFolder, workPrefix+"*"))
	for _, dir := range left {
		digits, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), workPrefix), "-")
		if pid, err := strconv.Atoi(digits); err == nil && unix.Kill(pid, 0) == unix.ESRCH {
			_ = os.RemoveAll(dir) // not ours, if it fails
		}
	}
}

// isolate starts a process without a network and in a process group of its own.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
}

// convert makes a file of a type that a reader takes. The caller closes it.
func (c *converter) convert(ctx context.Context, file *os.File, size int64, mediaType string) (converted *os.File, length int64, end *Failure, err error) {
	if c.missing != "" {
		return nil, 0, failf(ingest.StatusUnsupported, "no reader for %s: %s", mediaType, c.missing), nil
	}
	select {
	case c.place <- struct{}{}:
		defer func() { <-c.place }()
	case <-ctx.Done():
		return nil, 0, nil, ctx.Err()
	}
	dir, err := os.MkdirTemp(memoryFolder, workPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, 0, nil, fmt.Errorf("make folder for a conversion: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := c.setUp(dir, file, size); err != nil {
		return nil, 0, nil, fmt.Errorf("prepare conversion: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, ingest.ConvertTime)
	defer cancel()
	extension := legacyTypes[mediaType]
	cmd := exec.CommandContext(limited, c.path, "--headless", "--norestore", "--nolockcheck", "--nodefault",
		"-env:UserInstallation=file://"+dir+"/profile", "--convert-to", extension, "--outdir", dir+"/out", dir+"/in")
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin", "SAL_USE_VCLPLUGIN=svp"}
	cmd.Dir = dir
	isolate(cmd)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = ingest.EndTime
	if err := startUnprivileged(cmd); err != nil {
		return nil, 0, nil, fmt.Errorf("start LibreOffice: %w", err)
	}
	limitErr := limitProcess(cmd.Process.Pid, map[int]uint64{
		unix.RLIMIT_DATA: ingest.ConvertMemory, unix.RLIMIT_CPU: uint64(ingest.ConvertTime.Seconds()), unix.RLIMIT_FSIZE: ingest.MaxFileBytes, unix.RLIMIT_CORE: 0,
	})
	waitErr := cmd.Wait()
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // whatever it left running
	switch {
	case ctx.Err() != nil:
		return nil, 0, nil, ctx.Err()
	case limited.Err() != nil:
		return nil, 0, failf(ingest.StatusLimit, "conversion took over %gs", ingest.ConvertTime.Seconds()), nil
	case limitErr != nil && waitErr == nil:
		return nil, 0, nil, limitErr
	}
	// What a program that was led astray may have put there is not followed.
	result, err := os.OpenFile(filepath.Join(dir, "out", "in."+extension), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		// It says so on its output, in words that may repeat content.
		return nil, 0, failf(ingest.StatusDamaged, "LibreOffice cannot read it as %s", mediaType), nil
	}
	defer result.Close()
	if info, err := result.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, 0, failf(ingest.StatusDamaged, "LibreOffice cannot read it as %s", mediaType), nil
	}
	return spool(result)
}

// setUp makes the folder: the file, and a profile in which nothing runs that the
// file brings along, and nothing is loaded that it links to (never: 0 in Writer, 1 in
// Calc).
func (c *converter) setUp(dir string, file *os.File, size int64) error {
	for _, d := range []string{"out", "profile/user"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
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
	if err := os.WriteFile(filepath.Join(dir, "profile/user/registrymodifications.xcu"), []byte(profile), 0o600); err != nil {
		return err
	}
	in, err := os.OpenFile(filepath.Join(dir, "in"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(in, io.NewSectionReader(file, 0, size))
	return errors.Join(err, in.Close())
}

// spool copies a file into anonymous memory.
func spool(file *os.File) (*os.File, int64, *Failure, error) {
	fd, err := unix.MemfdCreate("converted", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("make memory file: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "converted file")
	n, err := io.Copy(memory, io.LimitReader(file, ingest.MaxFileBytes+1))
	switch {
	case err != nil:
		return nil, 0, nil, errors.Join(fmt.Errorf("copy converted file: %w", err), memory.Close())
	case n > ingest.MaxFileBytes:
		return nil, 0, failf(ingest.StatusLimit, "converted file over %d MB", ingest.MaxFileBytes>>20), memory.Close()
	}
	return memory, n, nil, nil
}
