package webhook

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/sealprint/sealprint/api/webhook/mailtest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/servertest"
)

const password = "canary-password"

// plainly is a server of this machine that is spoken to without TLS.
func plainly(address string) MailConfig {
	return MailConfig{Address: address, From: "sealprint <alerts@example.org>", TLS: "none"}
}

func newMailer(t *testing.T, c MailConfig) *Mailer {
	t.Helper()
	m, err := NewMailer(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mailing(t *testing.T, store Store, c MailConfig, timing timing, observe func(Result)) *Deliverer {
	t.Helper()
	d := New(store, Options{Mail: newMailer(t, c), Observe: observe})
	d.timing = timing
	return d
}

// secured starts a server that takes mails by TLS and of one user, and says how it is spoken to.
func secured(t *testing.T, flags ...string) (*mailtest.Server, MailConfig) {
	t.Helper()
	certificate, key := servertest.Certificate(t)
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("sealprint:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := mailtest.Start(t, append([]string{"--smtp-tls-cert", certificate, "--smtp-tls-key", key, "--smtp-auth-file", users}, flags...)...)
	content, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	c := plainly(server.Address)
	c.TLS, c.Roots, c.User, c.Password = "", x509.NewCertPool(), "sealprint", password
	c.Roots.AppendCertsFromPEM(content)
	return server, c
}

// relay stands between a mailer and its server. It sees what the mailer says, and may change
// what the server replies.
type relay struct {
	address string
	server  string
	// reply is asked what to reply to a command ("" is the beginning, "." the end of a mail,
	// which is then there, too). After one of another kind than the server's, or none, the
	// connection is broken off.
	reply func(command, mail, reply string) string

	mu   sync.Mutex
	said bytes.Buffer // by the mailer
}

func newRelay(t *testing.T, server string, reply func(command, mail, reply string) string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{address: l.Addr().String(), server: server, reply: reply}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return r
}

func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	replies, lines := bufio.NewReader(server), bufio.NewReader(conn)
	for command, mail := "", ""; ; {
		reply, last := "", ""
		for more := true; more; more = len(last) > 3 && last[3] == '-' {
			if last, err = replies.ReadString('\n'); err != nil {
				return
			}
			reply += last
		}
		said := r.reply(command, mail, reply)
		if _, err := io.WriteString(conn, said); err != nil || said == "" || said[0] != reply[0] {
			return // the server is somewhere else now
		}
		if command, mail = "", ""; strings.HasPrefix(said, "354") {
			for command != "." {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				mail += line
				command = strings.TrimRight(line, "\r\n")
			}
			_, _ = io.WriteString(server, mail)
			continue
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		r.mu.Lock()
		r.said.WriteString(line)
		r.mu.Unlock()
		command, _, _ = strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		_, _ = io.WriteString(server, line)
	}
}

func (r *relay) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// faithful changes nothing.
func faithful(_, _, reply string) string { return reply }

// A mail arrives once for each event, by TLS and with the password, and says which, in both
// languages, and nothing else. Mails about one alert are a thread.
func TestMail(t *testing.T) {
	t.Parallel()
	for name, console := range map[string]string{"commands": "", "links": "https://records.example/console/"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := secured(t)
			c.ConsoleURL = console
			r := newRegistry(t)
			w := subscribe(t, r, "whk_a", "mailto:desk@finance.example.org")
			d := mailing(t, r, c, patient(), nil)
			start(t, d)
			e := enqueue(t, r, w.ID, "alr_a", 0)
			enqueue(t, r, w.ID, "alr_a", 1)
			enqueue(t, r, w.ID, "alr_b", 0)
			drained(t, r)
			test, err := d.TestFire(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			drained(t, r)
			mails := make(map[string]mailtest.Mail)
			for _, m := range server.Mails(t) {
				mails[m.Get("Message-Id")] = m
				thread := ""
				if parts := regexp.MustCompile(`^<evt_whk_a_(alr_.)_\d@example.org>$`).FindStringSubmatch(m.Get("Message-Id")); parts != nil {
					thread = "<" + parts[1] + "@example.org>"
				}
				for header, want := range map[string]string{
					"From": `"sealprint" <alerts@example.org>`, "To": "<desk@finance.example.org>", "Auto-Submitted": "auto-generated",
					"References": thread, "In-Reply-To": thread, "Bcc": "", "Cc": "", "User-Agent": "", "X-Mailer": "",
				} {
					if got := m.Get(header); got != want {
						t.Errorf("%s: %q, want %q", header, got, want)
					}
				}
				if date, err := m.Date(); err != nil || time.Since(date) > time.Hour {
					t.Errorf("dated %v, %v", date, err)
				}
				if strings.Contains(m.Raw, "whsec_") || strings.Contains(m.Raw, password) {
					t.Error("a secret is in a mail")
				}
			}
			if all := server.Mails(t); len(all) != 4 || len(mails) != 4 {
				t.Errorf("%d mails of 4 events", len(all))
			}
			where := map[string]string{"commands": "sealprint alert show alr_a", "links": "https://records.example/console/alerts/alr_a"}[name]
			m := mails["<"+string(e.ID)+"@example.org>"]
			if got, want := m.Get("Subject"), "sealprint: Alert changed alr_a (finance) – انتباہ میں تبدیلی"; got != want || m.Get("X-Sealprint-Event") != "alert.updated" {
				t.Errorf("%q, want %q; %v", got, want, m.Header)
			}
			if want := `Alert changed

Department: finance
Alert: alr_a
Document: doc_a
When: 2026-03-04T05:06:07Z

Nothing of what it says is in this mail. Look here, with a key of your own:
` + where + `

انتباہ میں تبدیلی

محکمہ: ` + "\u2068finance\u2069" + `
انتباہ: ` + "\u2068alr_a\u2069" + `
دستاویز: ` + "\u2068doc_a\u2069" + `
وقت: ` + "\u20682026-03-04T05:06:07Z\u2069" + `

اس ای میل میں کوئی متن شامل نہیں۔ اپنی کلید سے یہاں دیکھیں:
` + where + `

`; m.Body != want {
				t.Errorf("%s\nwant\n%s", m.Body, want)
			}
			if m := mails["<"+string(test.ID)+"@example.org>"]; m.Get("X-Sealprint-Event") != "webhook.test" || !strings.HasPrefix(m.Body, "Test of mails\n\nDepartment: finance\nWhen: ") {
				t.Errorf("%v\n%s", m.Header, m.Body)
			}
			for _, a := range attempts(t, r, w.ID) {
				if a.Status != 250 || a.Error != "" || a.Number != 1 {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// Every event has its words, those in Urdu from the right to the left, and whatever a
// department is called, it stays in its place.
func TestMailWords(t *testing.T) {
	t.Parallel()
	m := newMailer(t, plainly("127.0.0.1:25"))
	for _, kind := range []storage.EventType{storage.AlertCreated, storage.AlertUpdated, storage.DocumentRegistered, storage.DocumentFailed, storage.WebhookTest} {
		e := storage.Event{ID: "evt_a", Type: kind, Department: "خزانہ/" + strings.Repeat("بجٹ", 60), Document: "doc_a"}
		raw, err := m.compose("desk@example.org", e, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		mail := mailtest.Read(t, raw)
		if len(mail.Header) != 10 || !strings.Contains(mail.Get("Subject"), e.Department) || !strings.Contains(mail.Body, "sealprint document show doc_a") {
			t.Errorf("%v\n%s", mail.Header, mail.Body)
		}
		for line := range bytes.Lines(raw) {
			if len(line) > 78 && !strings.Contains(string(line), e.Department) || !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s: a line %q", kind, line)
			}
		}
		parts := strings.SplitN(mail.Body, urdu.events[kind]+"\n", 2)
		if english.events[kind] == "" || urdu.events[kind] == "" || len(parts) != 2 || !strings.HasPrefix(parts[0], english.events[kind]+"\n") {
			t.Fatalf("%s: %s", kind, mail.Body)
		}
		for line := range strings.Lines(parts[1]) {
			if first := []rune(line)[0]; !unicode.Is(unicode.Arabic, first) && first != '\n' && !strings.HasPrefix(line, "sealprint document show") {
				t.Errorf("%s: %s", kind, line)
			}
		}
	}
}

// However the server and the way to it fail, every event arrives in the end, what happened to
// an alert in its order, and repetitions have the same Message-ID.
func TestMailFlaky(t *testing.T) {
	t.Parallel()
	const alerts, each = 5, 6
	server := mailtest.Start(t)
	r := newRegistry(t)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(3, 4))
	told := make(map[string]int)     // by alert: how many in order the mailer knows to have arrived
	accepted := make(map[string]int) // by Message-ID
	seen := make(map[string]int)     // failures
	id := regexp.MustCompile(`Message-ID: <(evt_whk_a_(\d)_(\d)@example.org)>\r\n`)
	way := newRelay(t, server.Address, func(command, mail, reply string) string {
		mu.Lock()
		defer mu.Unlock()
		if command != "." {
			if command != "QUIT" && (seen[command] == 0 || rng.IntN(8) == 0) {
				seen[command]++
				return []string{"", "451 4.3.0 canary\r\n"}[rng.IntN(2)]
			}
			return reply
		}
		parts := id.FindStringSubmatch(mail)
		if parts == nil {
			t.Errorf("a mail without an id: %s", mail)
			return reply
		}
		n := int(parts[3][0] - '0')
		if n > told[parts[2]] {
			t.Errorf("event %d of alert %s, after %d", n, parts[2], told[parts[2]])
		}
		if strings.HasPrefix(reply, "250") {
			accepted[parts[1]]++
		}
		if seen["lost"] == 0 || rng.IntN(3) == 0 {
			seen["lost"]++
			return ""
		}
		told[parts[2]] = max(told[parts[2]], n+1)
		return reply
	})
	w := subscribe(t, r, "whk_a", "mailto:desk@example.org")
	d := mailing(t, r, plainly(way.address), patient(), nil)
	start(t, d)
	for n := range each {
		for alert := range alerts {
			enqueue(t, r, w.ID, fmt.Sprint(alert), n)
			d.Wake()
		}
		if n == each/2 { // and then it is away for a while
			server.Stop()
			before := len(attempts(t, r, w.ID))
			until(t, "it was tried", func() bool { return len(attempts(t, r, w.ID)) > before+3 })
			server.Restart()
		}
	}
	drained(t, r)
	mu.Lock()
	defer mu.Unlock()
	arrived := make(map[string]int)
	for _, m := range server.Mails(t) {
		arrived[strings.Trim(m.Get("Message-Id"), "<>")]++
	}
	if !maps.Equal(arrived, accepted) || len(arrived) != alerts*each {
		t.Errorf("%v arrived, %v were accepted", arrived, accepted)
	}
	for alert := range alerts {
		if told[fmt.Sprint(alert)] != each {
			t.Errorf("alert %d: %d of %d events", alert, told[fmt.Sprint(alert)], each)
		}
	}
	for _, where := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "lost"} {
		if seen[where] == 0 {
			t.Errorf("not all failures were seen: %v", seen)
		}
	}
	texts := make(map[string]bool)
	for _, a := range attempts(t, r, w.ID) {
		texts[a.Error] = true
	}
	t.Log(seen, slices.Sorted(maps.Keys(texts)))
	for text := range texts {
		if !regexp.MustCompile(`^(|answered 451 4\.3\.0 to (CONNECT|EHLO|MAIL|RCPT|DATA)|connection broken off)$`).MatchString(text) {
			t.Errorf("an attempt says %q", text)
		}
	}
}

// A mailbox that is not there is sent nothing more; what the server refuses for other reasons
// is tried again by the schedule.
func TestMailRefused(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, "--smtp-allowed-recipients", "^desk@example.org$")
	var gone atomic.Bool
	gone.Store(true)
	way := newRelay(t, server.Address, func(command, _, reply string) string {
		if command == "RCPT" && gone.Load() {
			return "550-5.1.1 <desk@example.org>: canary\r\n550 5.1.1 no such mailbox\r\n"
		}
		return reply
	})
	r := newRegistry(t)
	w := subscribe(t, r, "whk_a", "mailto:desk@example.org")
	results := make(chan Result, 1000)
	start(t, mailing(t, r, plainly(way.address), patient(), func(r Result) { results <- r }))
	enqueue(t, r, w.ID, "a", 0)
	if got := <-results; got.Disabled != "answered 550 5.1.1 to RCPT" || got.Attempt.Status != 550 || got.Delivery.State != storage.DeliveryPending {
		t.Errorf("%+v", got)
	}
	if got := stored(t, r, w.ID).Disabled; got != "answered 550 5.1.1 to RCPT" {
		t.Errorf("disabled: %q", got)
	}
	gone.Store(false)
	other := subscribe(t, r, "whk_b", "mailto:other@example.org")
	e := enqueue(t, r, other.ID, "b", 0)
	for n := range 3 {
		if got := <-results; got.Disabled != "" || got.Attempt.Event != e.ID || got.Attempt.Number != n+1 || got.Attempt.Error != "answered 550 5.1.0 to RCPT" {
			t.Errorf("%+v", got)
		}
	}
	if mails := server.Mails(t); len(mails) != 0 {
		t.Errorf("%d mails", len(mails))
	}
	if err := r.UpdateWebhook(t.Context(), storage.Everywhere(), w); err != nil {
		t.Fatal(err)
	}
	until(t, "what waited has arrived", func() bool { return len(server.Mails(t)) == 1 })
}

// Without the TLS that is asked for, nothing but greetings is said, and what is wrong is told
// without what the server says.
func TestMailFailures(t *testing.T) {
	t.Parallel()
	server, c := secured(t)
	plain := mailtest.Start(t)
	refusing := mailtest.Start(t, "--chaos-triggers", "Sender:421:100")
	implicit, byTLS := secured(t, "--smtp-require-tls")
	byTLS.TLS = "implicit"
	way, tapped := newRelay(t, plain.Address, faithful), newRelay(t, server.Address, faithful)
	away := newRelay(t, "127.0.0.1:1", faithful)
	says := func(lines string) string {
		return newRelay(t, plain.Address, func(string, string, string) string { return lines }).address
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	endless, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Close()
	go func() {
		for {
			conn, err := endless.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for {
					if _, err := conn.Write([]byte("220-canary\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	for name, test := range map[string]struct {
		config MailConfig
		change func(*MailConfig)
		want   string
	}{
		"by STARTTLS":              {c, nil, ""},
		"by TLS":                   {byTLS, nil, ""},
		"no TLS offered":           {c, func(c *MailConfig) { c.Address = way.address }, "the SMTP server offers no TLS"},
		"no TLS spoken":            {byTLS, func(c *MailConfig) { c.Address = plain.Address }, "no TLS connection"},
		"not the right TLS":        {c, func(c *MailConfig) { c.Address = implicit.Address }, "timed out after 300ms"},
		"untrusted":                {c, func(c *MailConfig) { c.Roots = nil }, "certificate not trusted"},
		"untrusted from the start": {byTLS, func(c *MailConfig) { c.Roots = nil }, "certificate not trusted"},
		"wrong password":           {c, func(c *MailConfig) { c.Password = "canary" }, "answered 535 5.7.8 to AUTH"},
		"no user":                  {c, func(c *MailConfig) { c.User, c.Password = "", "" }, "answered 530 5.7.0 to MAIL"},
		"busy":                     {plainly(refusing.Address), nil, "answered 421 to MAIL"},
		"not here":                 {plainly("10.1.2.3:25"), nil, "the SMTP server is not in a network that is spoken to without TLS"},
		"no such name":             {plainly("host.invalid.:25"), nil, "host name does not resolve"},
		"closed":                   {plainly("127.0.0.1:1"), nil, "connection refused"},
		"broken off":               {plainly(away.address), nil, "connection broken off"},
		"silent":                   {plainly(silent.Addr().String()), nil, "timed out after 300ms"},
		"closing":                  {plainly(says("554 5.3.2 canary\r\n")), nil, "answered 554 5.3.2 to CONNECT"},
		"no code":                  {plainly(says("canary\r\n")), nil, "no valid answer"},
		"no end":                   {plainly(endless.Addr().String()), nil, "connection broken off"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				test.change(&test.config)
			}
			timing := patient()
			if strings.HasPrefix(test.want, "timed out") {
				timing.attempt = 300 * time.Millisecond
			}
			d := mailing(t, nil, test.config, timing, nil)
			got := d.attempt(t.Context(), &storage.Webhook{URL: "mailto:desk@example.org"}, storage.Event{ID: "evt_a", Type: storage.AlertCreated}, time.Now())
			if got.failure != test.want && !(name == "no such name" && strings.HasPrefix(got.failure, "timed out")) || got.gone {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}
	c.Address = tapped.address
	if got := mailing(t, nil, c, patient(), nil).attempt(t.Context(), &storage.Webhook{URL: "mailto:desk@example.org"}, storage.Event{ID: "evt_a"}, time.Now()); got.failure == "" {
		t.Error("this relay cannot read TLS")
	}
	if heard := way.heard(); !regexp.MustCompile(`^EHLO \S+\r\n(QUIT\r\n)?$`).MatchString(heard) {
		t.Errorf("said in clear: %q", heard)
	}
	if heard := tapped.heard(); strings.Contains(heard, "AUTH") || strings.Contains(heard, "desk@") {
		t.Errorf("said in clear: %q", heard)
	}
	if n := len(server.Mails(t)) + len(implicit.Mails(t)); n != 2 || len(plain.Mails(t)) != 0 {
		t.Errorf("%d mails by TLS, %d without", n, len(plain.Mails(t)))
	}
}

// The password is given to servers that know only one of the two common ways to take it, and
// to no other.
func TestMailLogin(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("sealprint:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := mailtest.Start(t, "--smtp-auth-file", users, "--smtp-auth-allow-insecure")
	const neither = "the SMTP server takes no password by PLAIN or LOGIN"
	for offered, want := range map[string]string{"AUTH LOGIN PLAIN": "", "AUTH PLAIN": "", "AUTH CRAM-MD5 LOGIN": "", "AUTH CRAM-MD5": neither, "SIZE 1": neither} {
		way := newRelay(t, server.Address, func(command, _, reply string) string {
			return regexp.MustCompile(`AUTH [A-Z0-9 -]+`).ReplaceAllString(reply, offered)
		})
		d := mailing(t, nil, plainly(way.address), patient(), nil)
		d.mail.user, d.mail.password = "sealprint", password // which no settings do without TLS
		if got := d.attempt(t.Context(), &storage.Webhook{URL: "mailto:desk@example.org"}, storage.Event{ID: "evt_a"}, time.Now()); got.failure != want {
			t.Errorf("%s: %+v", offered, got)
		}
		if strings.Contains(way.heard(), "AUTH") != (want == "") {
			t.Errorf("%s: %q", offered, way.heard())
		}
	}
}

// An address of mail is one plain address in a domain that mails go to; settings that change
// later hold at the next delivery.
func TestMailAddresses(t *testing.T) {
	t.Parallel()
	c := plainly("127.0.0.1:1")
	d := mailing(t, nil, c, patient(), nil)
	local, label := strings.Repeat("l", 64), strings.Repeat("d", 63)
	long := "." + strings.Repeat(label+".", 2)
	for raw, want := range map[string]bool{
		"mailto:desk@example.org":                 true,
		"MAILTO:Desk.4+leaks@Finance.EXAMPLE.org": true,
		"mailto:o'brien_x-y@a.b.example.org":      true,
		"mailto:" + local + "@example.org":        true,
		"mailto:l@" + label + ".example.org":      true,
		"mailto:" + local + "l@example.org":       false,
		"mailto:l@" + label + "d.example.org":     false,
		"mailto:" + local + "@" + label + long + strings.Repeat("a", 38-len("@.")) + ".example.org": false, // 255
		"mailto:desk@example.com":                                 false,
		"mailto:desk@notexample.org":                              false,
		"mailto:desk@example.org.evil.com":                        false,
		"mailto:":                                                 false,
		"mailto:@example.org":                                     false,
		"mailto:desk":                                             false,
		"mailto:desk@":                                            false,
		"mailto://desk@example.org":                               false,
		"mailto:desk@example.org?cc=a@example.org":                false,
		"mailto:desk@example.org?subject=a":                       false,
		"mailto:desk@example.org?":                                false,
		"mailto:desk@example.org#a":                               false,
		"mailto:desk@example.org,b@example.org":                   false,
		"mailto:desk@example.org;b@example.org":                   false,
		"mailto:a@evil.com@example.org":                           false,
		"mailto:a%40evil.com@example.org":                         false,
		"mailto:a!b@example.org":                                  false,
		"mailto:desk@example.org\r\nBcc: a@example.org":           false,
		"mailto:desk@example.org\n":                               false,
		"mailto:desk%0d%0aBcc:a@example.org":                      false,
		"mailto:desk\r\n@example.org":                             false,
		"mailto:desk @example.org":                                false,
		"mailto: desk@example.org":                                false,
		"mailto:desk@example.org ":                                false,
		"mailto:\"desk\"@example.org":                             false,
		"mailto:Desk <desk@example.org>":                          false,
		"mailto:<desk@example.org>":                               false,
		"mailto:desk@[127.0.0.1]":                                 false,
		"mailto:desk@example..org":                                false,
		"mailto:desk@.example.org":                                false,
		"mailto:desk@example.org.":                                false,
		"mailto:desk@-a.example.org":                              false,
		"mailto:.desk@example.org":                                false,
		"mailto:desk.@example.org":                                false,
		"mailto:-oQ/tmp@example.org":                              false,
		"mailto:-desk@example.org":                                false,
		"mailto:میز@example.org":                                  false,
		"mailto:desk@میز.example.org":                             false,
		"mailto:desk@example.org\x00":                             false,
		"mailto:" + strings.Repeat("a", 1<<20) + "@example.org":   false,
		"mailto:a@" + strings.Repeat("a.", 1<<19) + "example.org": false,
	} {
		err := d.CheckURL(raw)
		if (err == nil) != want {
			t.Errorf("%.80q: %v", raw, err)
		}
		if err != nil && (strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "desk")) {
			t.Errorf("%v quotes what was sent", err)
		}
		if !want { // however it came into the registry
			if got := d.attempt(t.Context(), &storage.Webhook{URL: raw}, storage.Event{ID: "evt_a"}, time.Now()); err == nil || got.failure != err.Error() || got.status != 0 {
				t.Errorf("%.80q: %+v", raw, got)
			}
		}
	}
	c.Domains = []string{"Example.com", "example.net"}
	d = mailing(t, nil, c, patient(), nil)
	for raw, want := range map[string]bool{"mailto:a@example.com": true, "mailto:a@b.example.net": true, "mailto:a@example.org": false} {
		if err := d.CheckURL(raw); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
	without := newDeliverer(nil, patient(), nil)
	if err := without.CheckURL("mailto:desk@example.org"); err == nil || !strings.Contains(err.Error(), "smtp") {
		t.Errorf("without settings: %v", err)
	}
	if got := without.attempt(t.Context(), &storage.Webhook{URL: "mailto:desk@example.org"}, storage.Event{ID: "evt_a"}, time.Now()); !strings.Contains(got.failure, "smtp") {
		t.Errorf("without settings: %+v", got)
	}
}

// What cannot work, or would send a password in clear, is said at once.
func TestMailConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*MailConfig){
		"address: no port":     func(c *MailConfig) { c.Address = "mail.example.org" },
		"address: no host":     func(c *MailConfig) { c.Address = ":25" },
		"address: a name":      func(c *MailConfig) { c.Address = "mail.example.org:smtp" },
		"from: none":           func(c *MailConfig) { c.From = "" },
		"from: two":            func(c *MailConfig) { c.From = "a@example.org, b@example.org" },
		"from: more":           func(c *MailConfig) { c.From = "a@example.org\r\nBcc: b@example.org" },
		"from: quoted":         func(c *MailConfig) { c.From = `"a b"@example.org` },
		"tls: no such":         func(c *MailConfig) { c.TLS = "opportunistic" },
		"user: no password":    func(c *MailConfig) { c.User = "a" },
		"user: no user":        func(c *MailConfig) { c.Password = password },
		"tls: password":        func(c *MailConfig) { c.User, c.Password, c.TLS = "a", password, "none" },
		"tls: roots":           func(c *MailConfig) { c.TLS, c.Roots = "none", x509.NewCertPool() },
		"domains: an address":  func(c *MailConfig) { c.Domains = []string{"a@example.org"} },
		"domains: empty":       func(c *MailConfig) { c.Domains = []string{""} },
		"console_url: scheme":  func(c *MailConfig) { c.ConsoleURL = "javascript:a" },
		"console_url: host":    func(c *MailConfig) { c.ConsoleURL = "/console" },
		"console_url: user":    func(c *MailConfig) { c.ConsoleURL = "https://a:b@c" },
		"console_url: query":   func(c *MailConfig) { c.ConsoleURL = "https://a/?b" },
		"console_url: newline": func(c *MailConfig) { c.ConsoleURL = "https://a/\nb" },
	} {
		c := plainly("mail.example.org:587")
		c.TLS = ""
		if _, err := NewMailer(c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		setting, _, _ := strings.Cut(name, " ")
		if _, err := NewMailer(c); err == nil || !strings.HasPrefix(err.Error(), setting) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newMailer(t, MailConfig{Address: "[::1]:25", From: "دفتر <alerts@Example.org>", TLS: "none", Allowed: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}})
	for address, want := range map[string]bool{"10.9.1.2:25": true, "127.0.0.1:25": true, "10.8.1.2:25": false, "93.184.216.34:25": false} {
		if got := m.dialer.Control("tcp4", address, nil) == nil; got != want {
			t.Errorf("without TLS to %s: %t", address, got)
		}
	}
}
