package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/sealprint/sealprint/storage"
)

// The lengths of addresses that every mail server takes (RFC 5321, 4.5.3.1; the whole is a
// path of 256 without its brackets).
const (
	maxMailbox = 254
	maxLocal   = 64
)

// Addresses are those that need no quotes and no encoding, in headers, in SMTP and in a URL
// alike: nothing in one can mean anything else to whoever reads it next, and none begins
// like an option of a command.
var (
	mailbox    = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_'+-]*(?:\.[A-Za-z0-9_'+-]+)*)@(.+)$`)
	mailDomain = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// MailConfig is how mails are sent.
type MailConfig struct {
	Address string // of the SMTP server, host:port
	From    string // who mails are from: an address, or a name and <address>
	// TLS says how the server is spoken to: by "starttls" (or nothing), which has to succeed;
	// "implicit", from the first byte on; or "none", if it is on this machine or in a network
	// of Allowed.
	TLS     string
	Roots   *x509.CertPool // that sign its certificate; nil: those of the system
	Allowed []netip.Prefix
	// User and Password are who sends; both empty: nobody in particular.
	User, Password string
	// Domains are those that mails may go to, with what is below them; none: that of From.
	Domains []string
	// ConsoleURL is what links in mails begin with; empty: there are none.
	ConsoleURL string
}

// Mailer sends mails, by one SMTP server. Make one with [NewMailer].
type Mailer struct {
	address, host string
	hello         string // what this machine calls itself
	tls           *tls.Config
	implicit      bool
	dialer        net.Dialer

	user, password string

	from    netmail.Address
	domain  string   // of from
	domains []string // lower case
	console string
}

// NewMailer prepares a mailer. It does not connect: a server that is away for a while keeps
// nothing from starting. Errors name the setting, and hold no password.
func NewMailer(c MailConfig) (*Mailer, error) {
	host, port, err := net.SplitHostPort(c.Address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return nil, errors.New("address: need host:port, such as mail.example.org:587")
	}
	m := &Mailer{
		address: c.Address, host: host, hello: "localhost", user: c.User, password: c.Password, console: strings.TrimRight(c.ConsoleURL, "/"),
		implicit: c.TLS == "implicit", tls: &tls.Config{ServerName: host, RootCAs: c.Roots},
	}
	if name, err := os.Hostname(); err == nil && mailDomain.MatchString(name) {
		m.hello = name
	}
	switch c.TLS {
	case "", "starttls", "implicit":
	case "none":
		m.tls = nil
		_, plain := guards(append(slices.Clone(c.Allowed), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")))
		m.dialer.Control = plain.Safe
	default:
		return nil, errors.New("tls: need starttls, implicit or none")
	}
	switch {
	case (c.User == "") != (c.Password == ""):
		return nil, errors.New("user: needs a password, and the password a user")
	case c.User != "" && m.tls == nil:
		return nil, errors.New("tls: none: a password is not sent in clear")
	case c.Roots != nil && m.tls == nil:
		return nil, errors.New("tls: none: there is no certificate to trust")
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil || !validMailbox(from.Address) {
		return nil, errors.New("from: need an address, such as alerts@example.org, or Name <alerts@example.org>")
	}
	m.from, m.domain = *from, domainOf(from.Address)
	for _, d := range c.Domains {
		if !mailDomain.MatchString(d) {
			return nil, errors.New("domains: need names, such as example.org")
		}
		m.domains = append(m.domains, strings.ToLower(d))
	}
	if len(m.domains) == 0 {
		m.domains = []string{m.domain}
	}
	if u, err := url.Parse(m.console); c.ConsoleURL != "" &&
		(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(m.console, "?# ")) {
		return nil, errors.New("console_url: need https://host")
	}
	return m, nil
}

func validMailbox(address string) bool {
	if len(address) > maxMailbox {
		return false
	}
	parts := mailbox.FindStringSubmatch(address)
	return parts != nil && len(parts[1]) <= maxLocal && mailDomain.MatchString(parts[2])
}

// domainOf is the domain of a valid address, in lower case.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

const mailto = "mailto:"

// ByMail reports whether the address of a webhook is one of mail.
func ByMail(raw string) bool {
	return len(raw) >= len(mailto) && strings.EqualFold(raw[:len(mailto)], mailto)
}

// recipient is who mails to a webhook go to: one address, without header fields (RFC 6068).
// The error is in words for whoever subscribes, and for attempts, since settings change.
func (m *Mailer) recipient(raw string) (string, error) {
	if m == nil {
		return "", told("address of webhook: mails are not sent: the server's settings have no smtp")
	}
	to := raw[len(mailto):]
	if !validMailbox(to) {
		return "", told("address of webhook: need one plain address, mailto:user@host, with nothing behind it")
	}
	domain := domainOf(to)
	for _, d := range m.domains {
		if domain == d || strings.HasSuffix(domain, "."+d) {
			return to, nil
		}
	}
	return "", told("address of webhook: mails do not go to this domain")
}

// send sends an event as a mail.
func (m *Mailer) send(ctx context.Context, w *storage.Webhook, e storage.Event, at time.Time) (answer, error) {
	to, err := m.recipient(w.URL)
	if err != nil {
		return answer{}, err
	}
	letter, err := m.compose(to, e, at)
	if err != nil {
		return answer{}, err
	}
	return m.hand(ctx, to, letter)
}

// compose writes a mail, all of it: what is not whole is not begun to be sent. Mails about
// one alert answer to the same message, which is the alert itself, so that mail programs show
// them as a thread.
func (m *Mailer) compose(to string, e storage.Event, at time.Time) ([]byte, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(&m.from)
	letter.ToMailAddress(&netmail.Address{Address: to})
	letter.SetDateWithValue(at)
	letter.SetMessageIDWithValue(string(e.ID) + "@" + m.domain)
	if e.Alert != "" {
		thread := fmt.Sprintf("<%s@%s>", e.Alert, m.domain)
		letter.SetGenHeader(mail.HeaderInReplyTo, thread)
		letter.SetGenHeader(mail.HeaderReferences, thread)
	}
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation answers
	letter.SetGenHeader("X-Sealprint-Event", string(e.Type))
	letter.Subject(subject(e))
	letter.SetBodyString(mail.TypeTextPlain, m.text(e))
	var b bytes.Buffer
	if _, err := letter.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("compose mail: %w", err)
	}
	return b.Bytes(), nil
}

// language is what mails say in one.
type language struct {
	events                            map[storage.EventType]string
	department, alert, document, when string
	look                              string
	before, after                     string // around values
}

// Values stand in Urdu lines as text of their own direction (U+2068, U+2069), or a time would
// be shown backwards. In English ones they do not, so that an id can be copied as it is.
var english, urdu = language{
	events: map[storage.EventType]string{
		storage.AlertCreated:       "New alert",
		storage.AlertUpdated:       "Alert changed",
		storage.DocumentRegistered: "Document registered",
		storage.DocumentFailed:     "Document not registered",
		storage.WebhookTest:        "Test of mails",
	},
	department: "Department", alert: "Alert", document: "Document", when: "When",
	look: "Nothing of what it says is in this mail. Look here, with a key of your own:",
}, language{
	events: map[storage.EventType]string{
		storage.AlertCreated:       "نیا انتباہ",
		storage.AlertUpdated:       "انتباہ میں تبدیلی",
		storage.DocumentRegistered: "دستاویز کا اندراج ہوا",
		storage.DocumentFailed:     "دستاویز کا اندراج نہ ہو سکا",
		storage.WebhookTest:        "آزمائشی پیغام",
	},
	department: "محکمہ", alert: "انتباہ", document: "دستاویز", when: "وقت",
	look:   "اس ای میل میں کوئی متن شامل نہیں۔ اپنی کلید سے یہاں دیکھیں:",
	before: "\u2068", after: "\u2069",
}

func subject(e storage.Event) string {
	s := "sealprint: " + english.events[e.Type]
	if about := cmp.Or(string(e.Alert), string(e.Document)); about != "" {
		s += " " + about
	}
	if e.Department != "" {
		s += " (" + e.Department + ")"
	}
	return s + " – " + urdu.events[e.Type]
}

// text is the body of a mail: one language below the other. What to look up stands in a line
// of its own, where programs make a link of it.
func (m *Mailer) text(e storage.Event) string {
	var b strings.Builder
	for _, l := range []language{english, urdu} {
		fmt.Fprintf(&b, "%s\n\n", l.events[e.Type])
		for _, line := range []struct{ name, value string }{
			{l.department, e.Department}, {l.alert, string(e.Alert)}, {l.document, string(e.Document)}, {l.when, e.At.UTC().Format(time.RFC3339)},
		} {
			if line.value != "" {
				fmt.Fprintf(&b, "%s: %s%s%s\n", line.name, l.before, line.value, l.after)
			}
		}
		if where := m.where(e); where != "" {
			fmt.Fprintf(&b, "\n%s\n%s\n", l.look, where)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// where is where to read what a mail is about: a page of the console, or a command.
func (m *Mailer) where(e storage.Event) string {
	page, command := "", ""
	switch {
	case e.Alert != "":
		page, command = "/alerts/"+string(e.Alert), "sealprint alert show "+string(e.Alert)
	case e.Document != "":
		page, command = "/documents/"+string(e.Document), "sealprint document show "+string(e.Document)
	}
	if m.console != "" {
		return m.console + page
	}
	return command
}
