package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/api/auth/authtest"
)

// TestLogin: people of a configured provider may what the groups of their token are granted,
// with the commands, too; the server starts without the provider.
func TestLogin(t *testing.T) {
	p := authtest.NewProvider(t)
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"ca.pem": p.Certificate(),
		"settings.yaml": fmt.Sprintf(`
oidc:
  issuer: %s
  audience: %s
  groups_claim: realm_access.roles
  ca_file: %s/ca.pem
  grants:
    - {group: registrars, role: registrar, department: finance}
    - {group: operators, role: admin, department: "*"}
`, p.Issuer, authtest.Audience, dir),
		"a.txt": strings.Repeat("A memorandum about nothing in particular. ", 20),
	})
	p.Break(authtest.Down)
	s := start(t, filepath.Join(dir, "data"), "--config", filepath.Join(dir, "settings.yaml"))
	if r := s.cli("document", "list"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	p.Break(nil)
	roles := func(names ...string) string {
		return p.Token(authtest.Claims{"realm_access": map[string]any{"roles": names}})
	}
	s.key = roles("registrars")
	if r := s.cli("register", filepath.Join(dir, "a.txt")); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := s.cli("document", "list"); r.code != exitOK || !strings.Contains(r.out, "finance") {
		t.Errorf("%+v", r)
	}
	if r := s.cli("index", "stats"); r.code != exitNotAllowed {
		t.Errorf("%+v", r)
	}
	s.key = roles("operators")
	if r := s.cli("index", "stats"); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	s.key = roles("tourists")
	if r := s.cli("document", "list"); r.code != exitNotAllowed || !strings.Contains(r.err, "No group of the token") {
		t.Errorf("%+v", r)
	}
	s.key = roles("operators")[1:]
	if r := s.cli("document", "list"); r.code != exitNotAllowed || !strings.Contains(r.err, "No valid API key or token") {
		t.Errorf("%+v", r)
	}
	if strings.Contains(s.log.String(), "eyJ") {
		t.Error("the log has tokens")
	}
}

// TestOIDCSettings: a mistake in the settings keeps the server from starting, and is told by
// the setting's name.
func TestOIDCSettings(t *testing.T) {
	const grants = "grants: [{group: a, role: analyst, department: finance}]"
	dir := t.TempDir()
	write(t, dir, map[string]string{"empty.pem": "nothing"})
	for settings, want := range map[string]string{
		"{issuer: https://login.example.org, " + grants + "}":                                                                  "oidc: audience:",
		"{issuer: 'http://login.example.org', audience: a, " + grants + "}":                                                    "oidc: issuer:",
		"{audience: a, " + grants + "}":                                                                                        "oidc: issuer:",
		"{issuer: https://login.example.org, audience: a}":                                                                     "oidc: grants:",
		"{issuer: https://login.example.org, audience: a, grants: [{group: a, role: analyst}]}":                                "oidc: grants: 1: department:",
		"{issuer: https://login.example.org, audience: a, grants: [{group: a, role: analyst, department: /finance}]}":          "oidc: grants: 1: department:",
		"{issuer: https://login.example.org, audience: a, grants: [{group: a, role: root, department: finance}]}":              "oidc: grants: 1: role:",
		"{issuer: https://login.example.org, audience: a, grants: [{role: analyst, department: finance}]}":                     "oidc: grants: 1: group:",
		"{issuer: https://login.example.org, audience: a, ca_file: " + dir + "/absent.pem, " + grants + "}":                    "oidc: ca_file:",
		"{issuer: https://login.example.org, audience: a, ca_file: " + dir + "/empty.pem, " + grants + "}":                     "oidc: ca_file:",
		"{issuer: https://login.example.org, audience: a, secret: b, " + grants + "}":                                          "field secret not found",
		"{issuer: https://login.example.org, audience: a, grants: [{group: a, role: analyst, department: finance, level: 7}]}": "field level not found",
		"{issuer: https://login.example.org, audience: a, groups_claim: [a], " + grants + "}":                                  "cannot unmarshal",
	} {
		write(t, dir, map[string]string{"settings.yaml": "oidc: " + settings})
		var log bytes.Buffer
		code := run(context.Background(), []string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", filepath.Join(dir, "settings.yaml")}, nil, &log, &log)
		if code != exitUsage || !strings.Contains(log.String(), want) {
			t.Errorf("%s: exit %d, not %q:\n%s", settings, code, want, log.String())
		}
	}
}
