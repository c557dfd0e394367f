package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/api/webhook/mailtest"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage/servertest"
)

// TestMails: a post that shows a document is a mail to the department's desk, and so is what
// is decided about it; nothing of post, document or password is in them, in attempts or in the
// log.
func TestMails(t *testing.T) {
	certificate, key := servertest.Certificate(t)
	dir, papers := t.TempDir(), t.TempDir()
	memo := fingerprinttest.Prose(1, 3000)
	write(t, papers, map[string]string{"canary-name.txt": memo})
	write(t, dir, map[string]string{"password": "canary-password\n", "wrong": "canary-wrong\n", "users": "sealprint:canary-password\n"})
	mails := mailtest.Start(t, "--smtp-tls-cert", certificate, "--smtp-tls-key", key, "--smtp-auth-file", filepath.Join(dir, "users"))
	serve := func(password string) *server {
		path := filepath.Join(dir, "settings.yaml")
		config := fmt.Sprintf("smtp: {address: %q, from: sealprint <alerts@example.org>, user: sealprint, password_file: %q, ca_file: %q}\nconsole_url: https://records.example\n",
			mails.Address, filepath.Join(dir, password), certificate)
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return start(t, filepath.Join(dir, "data"), "--config", path)
	}
	s := serve("wrong")
	if r := s.cli("register", papers, "--department", "finance"); r.code != exitOK {
		t.Fatal(r.err)
	}
	hook := strings.TrimSpace(s.cli("webhook", "create", "mailto:desk@finance.example.org", "--department", "finance").out)
	if strings.Contains(hook, "\n") {
		t.Errorf("a secret of mails: %s", hook)
	}
	api, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := api.Post(t.Context(), client.Post{ID: "canary-post", Text: memo[300:900]})
	if err != nil || len(answer.AlertIds) != 1 {
		t.Fatalf("%v %+v", err, answer)
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited too long until %s", what)
			}
		}
	}
	said := ""
	eventually("the server refuses the password", func() bool {
		said = s.cli("webhook", "attempts", hook).out
		return strings.Contains(said, "535") && strings.Contains(said, "answered 535 5.7.8 to AUTH")
	})
	said += s.log.String()
	s.stop()

	s = serve("password")
	alert := answer.AlertIds[0]
	eventually("the alert is told", func() bool { return len(mails.Mails(t)) == 1 })
	if r := s.cli("alert", "decide", alert, "--state", "confirmed", "--reason", "canary-reason"); r.code != exitOK {
		t.Fatal(r.err)
	}
	eventually("the decision is told", func() bool { return len(mails.Mails(t)) == 2 })
	got := mails.Mails(t)
	slices.Reverse(got)
	for i, event := range []string{"alert.created", "alert.updated"} {
		m := got[i]
		if m.Get("X-Sealprint-Event") != event || m.Get("To") != "<desk@finance.example.org>" || m.Get("References") != "<"+alert+"@example.org>" ||
			!strings.Contains(m.Body, "\nhttps://records.example/alerts/"+alert+"\n") || !strings.Contains(m.Get("Subject"), alert+" (finance)") {
			t.Errorf("%v\n%s", m.Header, m.Body)
		}
		said += m.Raw + m.Body + m.Get("Subject")
	}
	if r := s.cli("webhook", "test", hook); r.code != exitOK {
		t.Error(r.err)
	}
	eventually("the test is told", func() bool { return len(mails.Mails(t)) == 3 })
	if r := s.cli("webhook", "rotate", hook); r.code != exitUsage || !strings.Contains(r.err, "mails are not signed") {
		t.Errorf("%+v", r)
	}
	said += s.cli("webhook", "attempts", hook).out + s.cli("webhook", "list").out + s.log.String()
	if strings.Contains(said, "canary") || strings.Contains(said, memo[320:350]) {
		t.Error("something was told that is nobody's business")
	}
}

// TestMailSettings: what cannot work is told before the server starts, without the password;
// without settings nobody subscribes an address of mail.
func TestMailSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"password": "hidden\n", "empty": "\n"})
	for _, settings := range []string{
		"{from: a@example.org}",
		"{address: 'mail.example.org:587'}",
		"{address: 'mail.example.org:587', from: a@example.org, password: hidden}",
		"{address: 'mail.example.org:587', from: a@example.org, tls: sometimes}",
		"{address: 'mail.example.org:587', from: a@example.org, user: a}",
		"{address: 'mail.example.org:587', from: a@example.org, user: a, password_file: DIR/empty}",
		"{address: 'mail.example.org:587', from: a@example.org, user: a, password_file: DIR/absent}",
		"{address: 'mail.example.org:25', from: a@example.org, user: a, password_file: DIR/password, tls: none}",
		"{address: 'mail.example.org:587', from: a@example.org, ca_file: DIR/password}",
	} {
		path := filepath.Join(dir, "settings.yaml")
		if err := os.WriteFile(path, []byte("smtp: "+strings.ReplaceAll(settings, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		code := run(t.Context(), []string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", path}, nil, io.Discard, &said)
		if code != exitUsage || !strings.Contains(said.String(), "smtp") && !strings.Contains(said.String(), "password") || strings.Contains(said.String(), "hidden") {
			t.Errorf("%s: exit %d: %s", settings, code, &said)
		}
	}
	s := start(t, filepath.Join(dir, "data"))
	if r := s.cli("webhook", "create", "mailto:desk@example.org"); r.code != exitUsage || !strings.Contains(r.err, "smtp") {
		t.Errorf("%+v", r)
	}
}
