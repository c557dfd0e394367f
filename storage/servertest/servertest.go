// Package servertest runs the servers that tests need: real programs, each at an
// address of its own, that can be killed and started again.
//
// An environment variable names each program. A test that needs one fails
// without it, because a check that nobody runs is none; on a developer's own
// machine SEALPRINT_TEST_ALLOW_SKIP=1 skips it instead.
package servertest

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTime bounds how long a server takes until it answers, which is a tenth
// of a second on an idle machine.
const startTime = 20 * time.Second

// Program is how a server is started.
type Program struct {
	Name     string
	Variable string                        // of the environment, with the program's path
	Args     func(address string) []string // address is where to listen
	Env      []string                      // beside the test's own
	Answers  func(address string) bool     // whether it has started
}

// Server is a server that runs in a process of its own.
type Server struct {
	Address string // 127.0.0.1:port

	t       testing.TB
	program Program
	path    string

	mu      sync.Mutex
	process *os.Process // nil while it is stopped
	ended   chan struct{}
}

// Start starts a server that ends with the test.
func Start(t testing.TB, p Program) *Server {
	t.Helper()
	path := os.Getenv(p.Variable)
	if path == "" {
		if os.Getenv("SEALPRINT_TEST_ALLOW_SKIP") == "1" {
			t.Skip(p.Variable + " is not set")
		}
		t.Fatalf("%s must name the program %s; make test sees to it", p.Variable, p.Name)
	}
	s := &Server{Address: freeAddress(t), t: t, program: p, path: path}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// freeAddress is one on which nobody listens. Somebody else may take it before
// the server does; Restart tells then that the server ended.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Restart starts the server again after Stop, at the same address. It may be
// called from any goroutine.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	command := exec.Command(s.path, s.program.Args(s.Address)...)
	command.Env = append(os.Environ(), s.program.Env...)
	// A test binary that is killed takes its server along.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The signal comes when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Errorf("start %s: %v", s.program.Name, err)
		return
	}
	s.process, s.ended = command.Process, ended
	for begin := time.Now(); !s.program.Answers(s.Address); time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			s.t.Errorf("%s ended: %v", s.program.Name, command.ProcessState)
			return
		default:
		}
		if time.Since(begin) > startTime {
			s.t.Errorf("%s does not answer after %v", s.program.Name, startTime)
			return
		}
	}
}

// Stop kills the server, as a power cut would. It may be called from any
// goroutine, and of a server that is stopped.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Kill() // it may have ended by itself
	<-s.ended
	s.process = nil
}
