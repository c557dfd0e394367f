package extract

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// First arguments with which the program runs as one of its own children.
const (
	workerArg = "read-worker"
	warmArg   = "compile-reader"
)

// Child runs a child process if the arguments of the program ask for one, and
// returns its exit code. A program that reads files calls it before anything else:
// before flags, environment and logging.
func Child(args []string) (code int, is bool) {
	return childWith(args, Readers)
}

func childWith(args []string, readers func(cache string) []Reader) (code int, is bool) {
	if len(args) != 3 {
		return 0, false
	}
	switch args[1] {
	case workerArg:
		return work(readers(args[2])), true
	case warmArg:
		if err := compile(args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitSetup, true
		}
		return 0, true
	}
	return 0, false
}

// socketFD is where a [Pool] puts the socket, the first after standard error.
const socketFD = 3

// Exit codes by which a child tells its parent what cannot be sent any more.
// The runtime's own is 2.
const (
	exitGone  = 0 // the parent is
	exitSetup = 3
	exitCPU   = 4
)

// work limits the process that it runs in and reads the files that the parent
// sends, with the readers given, until the parent is gone. It returns the exit
// code.
func work(readers []Reader) int {
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitSetup
	}
	socket := os.NewFile(socketFD, "parent")
	if _, err := socket.Write(appendFrame(nil, frameReady, nil)); err != nil {
		return exitGone
	}
	for r := range incoming() {
		if err := limitCPU(r.cpu); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitSetup
		}
		if err := serve(socket, readers, r); err != nil {
			return exitGone
		}
	}
	return exitGone
}

// confine limits the process for good. That it can gain no privileges is
// inherited from the thread that started it, see [start].
func confine() error {
	// Between files the heap may be as large as it was; within one it must not
	// come near the limit before it is collected.
	debug.SetMemoryLimit(ingest.ReaderMemory / 3)
	debug.SetMaxStack(ingest.ReaderStack)
	// As many children run as there are processors to use.
	runtime.GOMAXPROCS(1)
	mimetype.SetLimit(ingest.SniffBytes)

	// A service manager signals the whole group at once. The parent may still
	// wait for this file, and its end is ours.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	// The runtime's default is to ignore the one that counts.
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() {
		<-over
		os.Exit(exitCPU)
	}()

	used, err := dataBytes()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		resource int
		limit    uint64
	}{
		// Not RLIMIT_AS: runtime and machine reserve gigabytes that they never touch.
		// This counts what may be written to, from now on.
		{unix.RLIMIT_DATA, used + shadow*ingest.ReaderMemory},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_NOFILE, ingest.MaxDescriptors},
	} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			return fmt.Errorf("set resource limit %d: %w", l.resource, err)
		}
	}
	// No debugger, no core, and /proc/PID belongs to root: another process of
	// the same user cannot read the text in passing.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set not dumpable: %w", err)
	}
	return nil
}

// dataBytes is how much private memory the process may write to.
func dataBytes() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read size of memory: %w", err)
	}
	var size, resident, shared, text, lib, data uint64
	if _, err := fmt.Sscan(string(b), &size, &resident, &shared, &text, &lib, &data); err != nil {
		return 0, fmt.Errorf("parse size of memory: %w", err)
	}
	return data * uint64(os.Getpagesize()), nil
}

// limitCPU grants the process so many seconds from now on.
func limitCPU(seconds uint32) error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return fmt.Errorf("get processor time: %w", err)
	}
	spent := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	limit := uint64(math.Ceil(spent.Seconds())) + uint64(seconds)
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}); err != nil {
		return fmt.Errorf("limit processor time: %w", err)
	}
	return nil
}

// incoming receives what the parent sends. It ends the process when the parent
// is gone, which it notices while a file is being read, too.
func incoming() <-chan request {
	out := make(chan request)
	go func() {
		for {
			r, err := receive()
			if err != nil {
				os.Exit(exitGone)
			}
			out <- r
		}
	}()
	return out
}

func receive() (r request, err error) {
	buf := make([]byte, requestBytes)
	rights := make([]byte, unix.CmsgSpace(4))
	var n, rn int
	for {
		n, rn, _, _, err = unix.Recvmsg(socketFD, buf, rights, unix.MSG_CMSG_CLOEXEC|unix.MSG_WAITALL)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return r, err
	}
	if n < len(buf) {
		return r, io.ErrUnexpectedEOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) != 1 {
		return r, errFrame
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return r, errFrame
	}
	r.decode(buf)
	r.file = os.NewFile(uintptr(fds[0]), "file")
	return r, nil
}

// serve reads one file. An error means that the parent does not listen.
func serve(socket io.Writer, readers []Reader, req request) error {
	defer req.file.Close()
	f := File{ReaderAt: io.NewSectionReader(req.file, 0, req.size), Size: req.size}
	send := func(frame []byte) error {
		_, err := socket.Write(frame)
		return err
	}
	mediaType := sniff(f)
	if err := send(appendFrame(nil, frameMedia, []string{mediaType})); err != nil {
		return err
	}
	out := &Output{
		readers: readers, careful: req.careful, purpose: req.purpose, wanted: req.wanted,
		send: func(p ingest.Page) error { return send(appendPage(nil, p)) },
		carry: func(page int, mediaType string, f File) error {
			b, err := readAll(f)
			return errors.Join(err, send(fileFrame(page, mediaType, b)))
		},
		show: func(d drawn) error {
			// Each picture has the time of its own.
			return errors.Join(send(imageFrame(d)), limitCPU(uint32(ingest.RenderCPU.Seconds())))
		},
	}
	end := out.read(f, mediaType)
	if out.err != nil {
		return out.err
	}
	var status, reason string
	if end != nil {
		status, reason = string(end.Status), end.Reason
	}
	return send(appendFrame(nil, frameEnd, []string{status, reason}))
}
