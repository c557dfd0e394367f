package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

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
}

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
}

// flags declares the settings that have one, with their environment variables.
func (s *settings) flags(cmd *cobra.Command) (file *string) {
	s.Retention = defaultRetention
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
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usageError{errors.New("tls-cert and tls-key go together")}
	}
	return nil
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
		bucket, err := c.open()
		if err != nil {
			return nil, usageError{fmt.Errorf("source %s: %w", c.Name, err)}
		}
		places = append(places, ingest.Place{
			Name: c.Name, Source: bucket, Prefix: c.Prefix,
			Department: cmp.Or(c.Department, storage.DefaultDepartment), Classification: c.Classification,
			Collection: cmp.Or(c.Collection, storage.DefaultCollection),
		})
	}
	return places, nil
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
