package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/console"
	"github.com/sealprint/sealprint/api/jetstream"
	"github.com/sealprint/sealprint/api/webhook"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source"
	"github.com/sealprint/sealprint/storage"
)

// settings of the server. Each comes from its flag, else from its environment
// variable, else from the file, else it has its default.
type settings struct {
	Listen  string         `yaml:"listen"`
	Data    string         `yaml:"data"`
	Cache   string         `yaml:"cache"`
	TLSCert string         `yaml:"tls_cert"`
	TLSKey  string         `yaml:"tls_key"`
	Sources []sourceConfig `yaml:"sources"`
	Archive *sourceConfig  `yaml:"archive"`
	// WebhookAllow are networks that webhooks may reach although they are not public.
	WebhookAllow []netip.Prefix `yaml:"webhook_allow"`
	Retention    retention      `yaml:"retention"`
	// Limits bound what callers learn from look-ups, by their roles.
	Limits map[auth.Role]limit `yaml:"limits"`
	// OIDC is the provider that people log in with; without one there are only API keys.
	OIDC *oidcConfig `yaml:"oidc"`
	// ConsoleURL is where people reach the console: for links in mails, and to come back from the
	// provider.
	ConsoleURL string `yaml:"console_url"`
	// JetStream is where posts come from beside the API.
	JetStream *jetstreamConfig `yaml:"jetstream"`
	// SMTP sends alerts by mail; without it nobody subscribes an address of mail.
	SMTP *smtpConfig `yaml:"smtp"`
}

// smtpConfig is the server that mails are sent by. The password is read from a file.
type smtpConfig struct {
	Address      string   `yaml:"address"`
	From         string   `yaml:"from"`
	TLS          string   `yaml:"tls"`
	User         string   `yaml:"user"`
	PasswordFile string   `yaml:"password_file"`
	CAFile       string   `yaml:"ca_file"`
	Domains      []string `yaml:"domains"`
}

// jetstreamConfig is a stream of NATS that posts are taken from. What is secret is read
// from files.
type jetstreamConfig struct {
	URLs         []string      `yaml:"urls"`
	Stream       string        `yaml:"stream"`
	Consumer     string        `yaml:"consumer"`
	Subjects     []string      `yaml:"subjects"`
	DeadLetters  string        `yaml:"dead_letters"`
	AckWait      time.Duration `yaml:"ack_wait"`
	CredsFile    string        `yaml:"creds_file"`
	NkeyFile     string        `yaml:"nkey_file"`
	TokenFile    string        `yaml:"token_file"`
	User         string        `yaml:"user"`
	PasswordFile string        `yaml:"password_file"`
	CAFile       string        `yaml:"ca_file"`
}

// limit bounds the look-ups of one caller; 0 is no bound.
type limit struct {
	LookUps   int `yaml:"look_ups"`  // a minute
	Documents int `yaml:"documents"` // different ones that answers name, a day
}

// defaultLimits are for people: none looks at fifty posts a second, or finds five thousand
// leaked documents in a day.
var defaultLimits = map[auth.Role]limit{auth.Analyst: {LookUps: 3000, Documents: 5000}}

// retention is how long is kept what came in.
type retention struct {
	Posts        time.Duration `yaml:"posts"`        // ids, hashes and verdicts of posts
	Fingerprints time.Duration `yaml:"fingerprints"` // of posts, for documents that are registered later; 0: none are kept
}

// defaultRetention: a pipeline repeats a post within days, and what leaks is registered
// within days, if it is.
var defaultRetention = retention{Posts: 90 * 24 * time.Hour, Fingerprints: 14 * 24 * time.Hour}

// sourceConfig is a bucket and what is said about the documents in it. Keys are
// read from files, so that no configuration holds a secret.
type sourceConfig struct {
	Name           string `yaml:"name"`
	Endpoint       string `yaml:"endpoint"`
	Region         string `yaml:"region"`
	Bucket         string `yaml:"bucket"`
	Prefix         string `yaml:"prefix"`
	AccessKeyFile  string `yaml:"access_key_file"`
	SecretKeyFile  string `yaml:"secret_key_file"`
	Department     string `yaml:"department"`
	Classification string `yaml:"classification"`
	Collection     string `yaml:"collection"`
	// Rules say more about some of the objects; the first that matches counts.
	Rules []rule `yaml:"rules"`
	// ListEvery is how often the source is listed without being asked to; 0: never.
	ListEvery time.Duration `yaml:"list_every"`
	// Removed is what becomes of documents whose objects are removed: keep or withdraw.
	Removed string `yaml:"removed"`
}

// rule is for objects whose keys match a pattern, and that have a tag.
type rule struct {
	Key            string `yaml:"key"`
	Tag            string `yaml:"tag"` // NAME=VALUE
	Department     string `yaml:"department"`
	Classification string `yaml:"classification"`
	Collection     string `yaml:"collection"`
}

// minListEvery keeps a slip of the pen from listing a bucket without end.
const minListEvery = time.Minute

// place is a source with what is said about it.
func (c *sourceConfig) place() (ingest.Place, error) {
	p := ingest.Place{
		Name: c.Name, Prefix: c.Prefix, Every: c.ListEvery, Withdraws: c.Removed == "withdraw",
		Said: ingest.Said{Department: cmp.Or(c.Department, storage.DefaultDepartment), Classification: c.Classification, Collection: cmp.Or(c.Collection, storage.DefaultCollection)},
	}
	switch {
	case c.ListEvery != 0 && c.ListEvery < minListEvery:
		return p, fmt.Errorf("list_every: at least %s, or 0 for never", minListEvery)
	case !storage.ValidDepartment(p.Department):
		return p, fmt.Errorf("department: %q is no path of names, such as finance/budget-wing", c.Department)
	case c.Removed != "" && c.Removed != "keep" && c.Removed != "withdraw":
		return p, fmt.Errorf("removed: keep or withdraw, not %q", c.Removed)
	}
	for i, r := range c.Rules {
		name, value, ok := strings.Cut(r.Tag, "=")
		if r.Tag != "" && (!ok || name == "") {
			return p, fmt.Errorf("rule %d: tag: need NAME=VALUE", i+1)
		}
		if r.Key == "" && r.Tag == "" {
			return p, fmt.Errorf("rule %d: needs a key or a tag", i+1)
		}
		if r.Department != "" && !storage.ValidDepartment(r.Department) {
			return p, fmt.Errorf("rule %d: department: %q is no path of names, such as finance/budget-wing", i+1, r.Department)
		}
		p.Rules = append(p.Rules, ingest.Rule{
			Key: r.Key, Tag: name, Value: value,
			Said: ingest.Said{Department: r.Department, Classification: r.Classification, Collection: r.Collection},
		})
	}
	bucket, err := c.open()
	p.Source = bucket
	return p, err
}

// oidcConfig is the organization's OpenID Connect provider, and what its groups may do.
type oidcConfig struct {
	Issuer      string        `yaml:"issuer"`
	Audience    string        `yaml:"audience"`
	GroupsClaim string        `yaml:"groups_claim"`
	CAFile      string        `yaml:"ca_file"`
	Grants      []groupConfig `yaml:"grants"`
	// For the console; people who log in there come back to console_url.
	ClientSecretFile string   `yaml:"client_secret_file"`
	Scopes           []string `yaml:"scopes"`
}

// groupConfig is what the members of a group are granted. That it is for all departments
// has to be said: a line that was forgotten grants nothing.
type groupConfig struct {
	Group      string `yaml:"group"`
	Role       string `yaml:"role"`
	Department string `yaml:"department"` // "*" for all
}

// flags declares the settings that have one, with their environment variables.
func (s *settings) flags(cmd *cobra.Command) (file *string) {
	s.Retention, s.Limits = defaultRetention, maps.Clone(defaultLimits)
	f := cmd.Flags()
	file = f.String("config", "", "YAML file with the settings ($SEALPRINT_CONFIG)")
	f.StringVar(&s.Listen, "listen", "127.0.0.1:8080", "address to listen on ($SEALPRINT_LISTEN)")
	f.StringVar(&s.Data, "data", "./data", "folder of the index, the registry and the keys ($SEALPRINT_DATA)")
	f.StringVar(&s.Cache, "cache", "", "folder for compiled code, which holds nothing of documents; default: cache in the data folder ($SEALPRINT_CACHE)")
	f.StringVar(&s.TLSCert, "tls-cert", "", "certificate file in PEM; serves https with --tls-key ($SEALPRINT_TLS_CERT)")
	f.StringVar(&s.TLSKey, "tls-key", "", "private key file in PEM ($SEALPRINT_TLS_KEY)")
	return file
}

// load completes settings that flags did not set.
func (s *settings) load(cmd *cobra.Command, file string) error {
	value := func(flag string) (string, bool) {
		if cmd.Flags().Changed(flag) {
			return cmd.Flags().Lookup(flag).Value.String(), true
		}
		return os.LookupEnv("SEALPRINT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
	}
	if path, ok := value("config"); ok {
		file = path
	}
	// What flags and environment say is put back over what the file says.
	overrides := map[*string]string{}
	for flag, field := range map[string]*string{"listen": &s.Listen, "data": &s.Data, "cache": &s.Cache, "tls-cert": &s.TLSCert, "tls-key": &s.TLSKey} {
		if v, ok := value(flag); ok {
			overrides[field] = v
		}
	}
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return usageError{fmt.Errorf("read settings: %w", err)}
		}
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		decoder.KnownFields(true)
		if err := decoder.Decode(s); err != nil && !errors.Is(err, io.EOF) {
			return usageError{fmt.Errorf("settings in %s: %w", file, err)}
		}
	}
	for field, v := range overrides {
		*field = v
	}
	if list, ok := os.LookupEnv("SEALPRINT_WEBHOOK_ALLOW"); ok {
		s.WebhookAllow = nil
		for network := range strings.SplitSeq(list, ",") {
			if network = strings.TrimSpace(network); network == "" {
				continue
			}
			prefix, err := netip.ParsePrefix(network)
			if err != nil {
				return usageError{fmt.Errorf("SEALPRINT_WEBHOOK_ALLOW: %q is no network, such as 10.4.0.0/16", network)}
			}
			s.WebhookAllow = append(s.WebhookAllow, prefix)
		}
	}
	if s.Retention.Posts <= 0 || s.Retention.Fingerprints < 0 || s.Retention.Fingerprints > s.Retention.Posts {
		return usageError{errors.New("retention: posts are kept at least as long as their fingerprints, and for a while")}
	}
	for role, l := range s.Limits {
		if !role.Valid() || l.LookUps < 0 || l.Documents < 0 {
			return usageError{fmt.Errorf("limits: %s: need a role, and bounds of 0 (none) and more", role)}
		}
	}
	if u, err := url.Parse(s.ConsoleURL); s.ConsoleURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery+u.Fragment != "") {
		return usageError{errors.New("console_url: need https://host[:port]")}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usageError{errors.New("tls-cert and tls-key go together")}
	}
	return nil
}

// quotas are the limits as the server takes them.
func (s *settings) quotas() map[auth.Role]api.Quota {
	quotas := map[auth.Role]api.Quota{}
	for role, l := range s.Limits {
		quotas[role] = api.Quota(l)
	}
	return quotas
}

// places prepares the configured sources.
func (s *settings) places() ([]ingest.Place, error) {
	var places []ingest.Place
	names := map[string]bool{}
	for i, c := range s.Sources {
		if c.Name == "" || strings.Contains(c.Name, "://") || names[c.Name] {
			return nil, usageError{fmt.Errorf("source %d: needs a name of its own", i+1)}
		}
		names[c.Name] = true
		place, err := c.place()
		if err != nil {
			return nil, usageError{fmt.Errorf("source %s: %w", c.Name, err)}
		}
		places = append(places, place)
	}
	return places, nil
}

// tokens prepares the configured provider; nil if there is none.
func (s *settings) tokens() (*auth.OIDC, error) {
	if s.OIDC == nil {
		return nil, nil
	}
	tokens, err := s.OIDC.open()
	if err != nil {
		return nil, usageError{fmt.Errorf("oidc: %w", err)}
	}
	return tokens, nil
}

// provider is where people log in to the console; nil if they do not.
func (s *settings) provider(tokens *auth.OIDC) (*console.Provider, error) {
	if tokens == nil || s.ConsoleURL == "" {
		return nil, nil
	}
	secret, err := optionalSecret(s.OIDC.ClientSecretFile, "client_secret_file")
	if err != nil {
		return nil, usageError{fmt.Errorf("oidc: %w", err)}
	}
	return &console.Provider{
		ClientID: s.OIDC.Audience, ClientSecret: secret, RedirectURL: strings.TrimRight(s.ConsoleURL, "/") + "/sign-in/callback", Scopes: s.OIDC.Scopes,
		HTTP: tokens.Client(), Login: tokens.Login,
	}, nil
}

func (c *oidcConfig) open() (*auth.OIDC, error) {
	config := auth.OIDCConfig{Issuer: c.Issuer, Audience: c.Audience, GroupsClaim: cmp.Or(c.GroupsClaim, "groups")}
	for i, g := range c.Grants {
		department := g.Department
		switch department {
		case "":
			return nil, fmt.Errorf(`grants: %d: department: is required, "*" for all`, i+1)
		case "*":
			department = ""
		}
		config.Grants = append(config.Grants, auth.GroupGrant{Group: g.Group, Grant: auth.Grant{Role: auth.Role(g.Role), Department: department}})
	}
	var err error
	if config.Roots, err = rootsFile(c.CAFile); err != nil {
		return nil, err
	}
	return auth.NewOIDC(config)
}

// mailer prepares the configured SMTP server; nil if there is none.
func (s *settings) mailer() (*webhook.Mailer, error) {
	if s.SMTP == nil {
		return nil, nil
	}
	mailer, err := s.SMTP.open(s.WebhookAllow, s.ConsoleURL)
	if err != nil {
		return nil, usageError{fmt.Errorf("smtp: %w", err)}
	}
	return mailer, nil
}

func (c *smtpConfig) open(allowed []netip.Prefix, consoleURL string) (mailer *webhook.Mailer, err error) {
	config := webhook.MailConfig{Address: c.Address, From: c.From, TLS: c.TLS, Allowed: allowed, User: c.User, Domains: c.Domains, ConsoleURL: consoleURL}
	if config.Password, err = optionalSecret(c.PasswordFile, "password_file"); err != nil {
		return nil, err
	}
	if config.Roots, err = rootsFile(c.CAFile); err != nil {
		return nil, err
	}
	return webhook.NewMailer(config)
}

func (c *sourceConfig) open() (*source.S3, error) {
	access, err := secretFile(c.AccessKeyFile, "access_key_file")
	if err != nil {
		return nil, err
	}
	secret, err := secretFile(c.SecretKeyFile, "secret_key_file")
	if err != nil {
		return nil, err
	}
	return source.NewS3(source.S3Config{Endpoint: c.Endpoint, Region: c.Region, Bucket: c.Bucket, AccessKey: access, SecretKey: secret})
}

// open prepares the consumer of the stream, which has a folder for its notes.
func (c *jetstreamConfig) open(folder string, observe func(string), log *slog.Logger) (feed *jetstream.Consumer, err error) {
	o := jetstream.Options{
		URLs: c.URLs, Stream: c.Stream, Consumer: cmp.Or(c.Consumer, "sealprint"), Subjects: c.Subjects, DeadLetters: c.DeadLetters, AckWait: c.AckWait,
		CredsFile: c.CredsFile, NkeyFile: c.NkeyFile, User: c.User, CAFile: c.CAFile, Trials: folder, Grace: shutdownTime, Observe: observe, Log: log,
	}
	if o.Token, err = optionalSecret(c.TokenFile, "token_file"); err != nil {
		return nil, err
	}
	if c.TokenFile != "" && o.Token == "" { // which would be nobody's
		return nil, errors.New("token_file: is empty")
	}
	if o.Password, err = optionalSecret(c.PasswordFile, "password_file"); err != nil {
		return nil, err
	}
	return jetstream.New(o)
}

// rootsFile reads certificates of a ca_file; nil, which are those of the system, if none is
// set.
func rootsFile(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errors.New("ca_file: holds no certificate in PEM")
	}
	return roots, nil
}

// optionalSecret is secretFile of a setting that need not be there.
func optionalSecret(path, setting string) (string, error) {
	if path == "" {
		return "", nil
	}
	return secretFile(path, setting)
}

func secretFile(path, setting string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("%s is not set", setting)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	return strings.TrimSpace(string(content)), nil
}
