// Package sourcetest starts a real S3 server for tests: versitygw, which keeps
// objects as files of a folder.
//
// The environment variable SEALPRINT_TEST_VERSITYGW names the program. A test
// that needs it fails without, because a check that nobody runs is none; on a
// developer's own machine SEALPRINT_TEST_ALLOW_SKIP=1 skips it instead.
package sourcetest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The credentials of every server.
const (
	AccessKey = "testaccess"
	SecretKey = "testsecret123"
	Region    = "us-east-1"
)

// startTime bounds how long a server takes until it answers, which is a tenth
// of a second on an idle machine.
const startTime = 20 * time.Second

// Server is an S3 server of its own.
type Server struct {
	Endpoint string // http://127.0.0.1:port

	t       testing.TB
	program string
	address string
	root    string
	client  *minio.Client
	events  string // the URL that is told of changes; empty: nobody is

	mu      sync.Mutex
	process *os.Process // nil while it is stopped
	ended   chan struct{}
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("SEALPRINT_TEST_VERSITYGW")
	if program == "" {
		if os.Getenv("SEALPRINT_TEST_ALLOW_SKIP") == "1" {
			t.Skip("SEALPRINT_TEST_VERSITYGW is not set")
		}
		t.Fatal("SEALPRINT_TEST_VERSITYGW must name the program versitygw; make test sees to it")
	}
	s := &Server{t: t, program: program, root: t.TempDir()}
	s.address = freeAddress(t)
	s.Endpoint = "http://" + s.address
	client, err := minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
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

// Restart starts the server again after Stop, at the same address and with the
// same objects. It may be called from any goroutine.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	arguments := []string{"--port", s.address, "--health", "/health", "--quiet"}
	if s.events != "" {
		arguments = append(arguments, "--event-webhook-url", s.events)
	}
	command := exec.Command(s.program, append(arguments, "posix", s.root)...)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
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
		s.t.Errorf("start S3 server: %v", err)
		return
	}
	s.process, s.ended = command.Process, ended
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			s.t.Errorf("the S3 server ended: %v", command.ProcessState)
			return
		default:
		}
		response, err := http.Get(s.Endpoint + "/health")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Since(begin) > startTime {
			s.t.Errorf("the S3 server does not answer after %v: %v", startTime, err)
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

// Notify has the server tell a URL of everything that changes from now on.
func (s *Server) Notify(url string) {
	s.Stop()
	s.events = url
	s.Restart()
}

// Bucket makes a bucket and returns its name.
func (s *Server) Bucket(t testing.TB, name string) string {
	t.Helper()
	if err := s.client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatalf("make bucket %s: %v", name, err)
	}
	return name
}

// Put stores an object.
func (s *Server) Put(t testing.TB, bucket, key, content string) {
	t.Helper()
	if err := s.put(t.Context(), bucket, key, content); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (s *Server) put(ctx context.Context, bucket, key, content string) error {
	_, err := s.client.PutObject(ctx, bucket, key, bytes.NewReader([]byte(content)), int64(len(content)), minio.PutObjectOptions{})
	return err
}

// PutTagged stores an object with a tag.
func (s *Server) PutTagged(t testing.TB, bucket, key, content, tag, value string) {
	t.Helper()
	_, err := s.client.PutObject(t.Context(), bucket, key, bytes.NewReader([]byte(content)), int64(len(content)),
		minio.PutObjectOptions{UserTags: map[string]string{tag: value}})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// PutAll stores many objects.
func (s *Server) PutAll(t testing.TB, bucket string, contents map[string]string) {
	t.Helper()
	keys := make(chan string)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for key := range keys {
				if err := s.put(t.Context(), bucket, key, contents[key]); err != nil {
					t.Errorf("put %q: %v", key, err)
				}
			}
		})
	}
	for key := range contents {
		keys <- key
	}
	close(keys)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// RemoveAll removes objects with one request.
func (s *Server) RemoveAll(t testing.TB, bucket string, keys ...string) {
	t.Helper()
	objects := make(chan minio.ObjectInfo, len(keys))
	for _, key := range keys {
		objects <- minio.ObjectInfo{Key: key}
	}
	close(objects)
	for failed := range s.client.RemoveObjects(t.Context(), bucket, objects, minio.RemoveObjectsOptions{}) {
		t.Fatalf("remove %q: %v", failed.ObjectName, failed.Err)
	}
}

// Remove removes an object.
func (s *Server) Remove(t testing.TB, bucket, key string) {
	t.Helper()
	if err := s.client.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatalf("remove %q: %v", key, err)
	}
}
