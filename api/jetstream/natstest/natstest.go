// Package natstest starts a real NATS server with JetStream for tests. The
// environment variable SEALPRINT_TEST_NATS_SERVER names the program.
package natstest

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sealprint/sealprint/storage/servertest"
)

// Server is a NATS server of its own.
type Server struct {
	*servertest.Server
	URL string // nats://127.0.0.1:port
}

// Start starts a server that ends with the test. After Restart it has what its streams kept.
// Settings, in the language of nats-server, are beside what is said here.
func Start(t testing.TB, settings string) *Server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{Server: servertest.Start(t, servertest.Program{
		Name: "nats-server", Variable: "SEALPRINT_TEST_NATS_SERVER",
		Args: func(address string) []string {
			host, port, _ := net.SplitHostPort(address)
			return []string{"-c", file, "-a", host, "-p", port, "-js", "-sd", dir}
		},
		Answers: answers,
	})}
	s.URL = "nats://" + s.Address
	return s
}

// answers reports whether a server greets, which it does when its streams are there.
func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "INFO ")
}

// Connect connects until the test ends, over restarts of the server.
func (s *Server) Connect(t testing.TB, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	conn, err := nats.Connect(s.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Stream makes a stream of one subject and what is below it.
func Stream(t testing.TB, js jetstream.JetStream, name, subject string) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject, subject + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// Publish publishes messages, one after the other, each until the stream has it.
func Publish(t testing.TB, js jetstream.JetStream, subject string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

// Settled waits until a consumer of a stream has an outcome of every message up to the last,
// a sequence, and returns what it says.
func Settled(t testing.TB, js jetstream.JetStream, stream, consumer string, last uint64) *jetstream.ConsumerInfo {
	t.Helper()
	var info *jetstream.ConsumerInfo
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		c, err := js.Consumer(t.Context(), stream, consumer)
		if err != nil {
			continue // it is yet to be made, or the server is starting
		}
		if info = c.CachedInfo(); info.AckFloor.Stream >= last {
			return info
		}
	}
	t.Fatalf("the stream does not settle: %+v", info)
	return nil
}

// Letters are what a stream keeps, oldest first.
func Letters(t testing.TB, stream jetstream.Stream) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := info.State.FirstSeq; n > 0 && n <= info.State.LastSeq; n++ {
		m, err := stream.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}
