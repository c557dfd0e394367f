package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"code.dny.dev/ssrf"
	"github.com/wneessen/go-mail/smtp"
)

// maxDialogue is how much is read of an SMTP server for one mail: certificates are a few KB,
// and so is all that a server says about itself.
const maxDialogue = 256 << 10

const (
	completed     = 250     // the status of a mail that was taken
	noSuchMailbox = "5.1.1" // the enhanced status (RFC 3463) of an address that is nobody's
)

// enhanced finds such a status where it stands in a reply (RFC 2034).
var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// limited is a connection of which only so much is read.
type limited struct {
	net.Conn
	reader io.Reader
}

func (l *limited) Read(p []byte) (int, error) { return l.reader.Read(p) }

// hand gives a mail to the SMTP server, on a connection of its own: alerts are few, and a
// server that closed an idle one would be a failure that is none. A server that took the mail
// and whose reply was lost is given it again, with the same Message-ID.
//
// The client of go-mail does the same in one call, but hides why it failed.
func (m *Mailer) hand(ctx context.Context, to string, letter []byte) (answer, error) {
	conn, err := m.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	client, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return refusal("CONNECT", err)
	}
	// What matters was said before: nobody waits for the reply, as Postfix does not.
	defer func() { _, _ = client.Text.Cmd("QUIT") }()
	client.SkipSMTPUTF8(true) // addresses are ASCII, and not every server on the way knows more
	for _, step := range []struct {
		command string
		do      func() error
	}{
		{"EHLO", func() error { return client.Hello(m.hello) }},
		{"STARTTLS", func() error { return m.secure(client) }},
		{"AUTH", func() error { return m.login(client) }},
		{"MAIL", func() error { return client.Mail("<" + m.from.Address + ">") }},
		{"RCPT", func() error { return client.Rcpt("<" + to + ">") }},
		{"DATA", func() error { return write(client, letter) }},
	} {
		if err := step.do(); err != nil {
			return refusal(step.command, err)
		}
	}
	return answer{status: completed}, nil
}

// refusal is what a server answered to a command, if it is an answer.
func refusal(command string, err error) (answer, error) {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return answer{}, err
	}
	status := fmt.Sprint(reply.Code)
	more := enhanced.FindString(reply.Msg)
	if more != "" {
		status += " " + more
	}
	return answer{
		status: reply.Code, failure: fmt.Sprintf("answered %s to %s", status, command),
		gone: more == noSuchMailbox && reply.Code/100 == 5 && (command == "RCPT" || command == "DATA"),
	}, nil
}

// dial connects, by TLS if that is to be so from the first byte on. The connection ends with
// ctx.
func (m *Mailer) dial(ctx context.Context) (net.Conn, error) {
	raw, err := m.dialer.DialContext(ctx, "tcp", m.address)
	if errors.Is(err, ssrf.ErrProhibitedIP) {
		return nil, told("the SMTP server is not in a network that is spoken to without TLS")
	}
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			raw.Close()
			return nil, err
		}
	}
	var conn net.Conn = &limited{raw, io.LimitReader(raw, maxDialogue)}
	if m.implicit {
		conn = tls.Client(conn, m.tls)
	}
	return conn, nil
}

// secure goes over to TLS. Without it nothing is said that is not for everybody.
func (m *Mailer) secure(client *smtp.Client) error {
	if m.tls == nil || m.implicit {
		return nil
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		return told("the SMTP server offers no TLS")
	}
	return client.StartTLS(m.tls)
}

// login says who sends, by the two mechanisms of which every server has one. The password is
// sent as it is, and so by TLS only.
func (m *Mailer) login(client *smtp.Client) error {
	if m.user == "" {
		return nil
	}
	_, offered := client.Extension("AUTH")
	mechanisms := strings.Fields(offered)
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return client.Auth(smtp.PlainAuth("", m.user, m.password, m.host, false))
	case slices.Contains(mechanisms, "LOGIN"):
		return client.Auth(smtp.LoginAuth(m.user, m.password, m.host, false))
	}
	return told("the SMTP server takes no password by PLAIN or LOGIN")
}

// write sends the mail itself. If that is broken off, the server has no end of it, and does
// not take it.
func write(client *smtp.Client, letter []byte) error {
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(letter); err != nil {
		return err
	}
	return data.Close()
}
