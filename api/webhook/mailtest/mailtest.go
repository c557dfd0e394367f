// Package mailtest starts a real SMTP server, Mailpit, for tests, and reads the mails that it
// took. The environment variable SEALPRINT_TEST_MAILPIT names the program.
package mailtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/storage/servertest"
)

// Server is an SMTP server of its own. It keeps what it took over restarts.
type Server struct {
	*servertest.Server
	api *http.Client // by a socket
}

// Start starts a server that ends with the test. Flags of mailpit are beside what is said
// here.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "api")
	s := &Server{api: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true, // it is restarted
	}}}
	s.Server = servertest.Start(t, servertest.Program{
		Name: "mailpit", Variable: "SEALPRINT_TEST_MAILPIT",
		Args: func(address string) []string {
			return append([]string{
				"--smtp", address, "--listen", "unix:" + socket + ":600", "--database", filepath.Join(dir, "mails.db"),
				"--max", "0", "--disable-version-check", "--smtp-disable-rdns", "--quiet",
			}, flags...)
		},
		Answers: func(address string) bool {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return false
			}
			conn.Close()
			_, err = s.get("/readyz")
			return err == nil
		},
	})
	return s
}

func (s *Server) get(path string) ([]byte, error) {
	r, err := s.api.Get("http://mailpit" + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, r.Status)
	}
	return body, err
}

// Mail is a mail that was taken.
type Mail struct {
	mail.Header        // decoded
	Body        string // decoded
	Raw         string
}

// Mails are those that were taken, the last first.
func (s *Server) Mails(t testing.TB) (mails []Mail) {
	t.Helper()
	body, err := s.get("/api/v1/messages?limit=10000")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Messages []struct{ ID string } }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Messages {
		raw, err := s.get("/api/v1/message/" + m.ID + "/raw")
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, Read(t, raw))
	}
	return mails
}

// Read reads a mail of one part.
func Read(t testing.TB, raw []byte) Mail {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if kind, encoding := m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"); kind != "text/plain; charset=UTF-8" || encoding != "quoted-printable" {
		t.Errorf("a mail of %s in %s", kind, encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	decoder := new(mime.WordDecoder)
	for _, values := range m.Header {
		for i := range values {
			if values[i], err = decoder.DecodeHeader(values[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Mail{m.Header, strings.ReplaceAll(string(body), "\r\n", "\n"), string(raw)}
}
