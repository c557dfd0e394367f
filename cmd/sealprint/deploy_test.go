package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const exampleSettings = "../../deploy/sealprint.yaml"

// TestExampleSettings: the settings that the package brings are the defaults but for the
// data folder. With every line set that stands there commented out, they name every
// setting, and show the default of those that have one.
func TestExampleSettings(t *testing.T) {
	load := func(path string) (s settings) {
		t.Helper()
		cmd := &cobra.Command{}
		s.flags(cmd)
		if err := s.load(cmd, path); err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := load("")
	want.Data = "/var/lib/sealprint"
	if got := load(exampleSettings); !reflect.DeepEqual(got, want) {
		t.Errorf("the settings say %+v, want %+v", got, want)
	}

	content, err := os.ReadFile(exampleSettings)
	if err != nil {
		t.Fatal(err)
	}
	content = regexp.MustCompile(`(?m)^#((?:  )*[a-z-])`).ReplaceAll(content, []byte("$1"))
	path := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got := load(path)
	if got.Listen != want.Listen || got.Retention != want.Retention {
		t.Errorf("shown as defaults: %s, %+v; they are %s, %+v", got.Listen, got.Retention, want.Listen, want.Retention)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	var named []string
	var visit func(n *yaml.Node)
	visit = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				named = append(named, child.Value)
			}
			visit(child)
		}
	}
	visit(&root)
	for _, name := range settingNames(reflect.TypeFor[settings]()) {
		if !slices.Contains(named, name) {
			t.Errorf("%s does not name the setting %s", exampleSettings, name)
		}
	}
}

// settingNames lists the settings of a type and of those below it.
func settingNames(of reflect.Type) (names []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		if name := of.Field(i).Tag.Get("yaml"); name != "" {
			names = append(append(names, name), settingNames(of.Field(i).Type)...)
		}
	}
	return names
}

// TestPackage: the Debian package unpacks to a program that runs, and to a unit that
// systemd understands, that is hardened, and that starts the program as it wants to be
// started.
func TestPackage(t *testing.T) {
	deb := os.Getenv("SEALPRINT_TEST_DEB")
	if deb == "" {
		if os.Getenv("SEALPRINT_TEST_ALLOW_SKIP") != "" {
			t.Skip("SEALPRINT_TEST_DEB is not set")
		}
		t.Fatal("SEALPRINT_TEST_DEB must name the package; make test sees to it")
	}
	command := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	root := t.TempDir()
	command("dpkg-deb", "--extract", deb, root)
	control := filepath.Join(root, "control")
	command("dpkg-deb", "--control", deb, control)
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		command("sh", "-n", filepath.Join(control, script))
	}
	program := filepath.Join(root, "usr/bin/sealprint")
	if out := command(program, "--version"); !strings.HasPrefix(out, "sealprint version ") {
		t.Errorf("--version: %q", out)
	}

	content, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/sealprint.service"))
	if err != nil {
		t.Fatal(err)
	}
	directives := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			directives[name] = value
		}
	}
	start := strings.Fields(directives["ExecStart"])
	if len(start) < 2 || start[0] != "/usr/bin/sealprint" {
		t.Fatalf("ExecStart=%q", start)
	}
	cmd, flags, err := rootCommand(terminal{nil, io.Discard, io.Discard}).Find(start[1:])
	if err != nil || cmd.Name() != "serve" {
		t.Fatalf("ExecStart=%q starts %s, %v", start, cmd.Name(), err)
	}
	if err := cmd.ParseFlags(flags); err != nil {
		t.Errorf("ExecStart=%q: %v", start, err)
	}

	// The settings are where the unit looks for them, and an upgrade keeps what was set.
	path := cmd.Flag("config").Value.String()
	shipped, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if here, err := os.ReadFile(exampleSettings); err != nil || !bytes.Equal(here, shipped) {
		t.Errorf("%s is not %s: %v", path, exampleSettings, err)
	}
	if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%s: %v, %v", path, info.Mode(), err)
	}
	if conffiles := command("cat", filepath.Join(control, "conffiles")); strings.TrimSpace(conffiles) != path {
		t.Errorf("configuration files: %q", conffiles)
	}

	seconds, err := strconv.Atoi(directives["TimeoutStopSec"])
	if err != nil || time.Duration(seconds)*time.Second < 2*shutdownTime {
		t.Errorf("TimeoutStopSec=%s; requests alone may take %v", directives["TimeoutStopSec"], shutdownTime)
	}
	for name, want := range map[string]string{
		"StateDirectory": "sealprint", "SuccessExitStatus": strconv.Itoa(exitInterrupted),
	} {
		if directives[name] != want {
			t.Errorf("%s=%s, want %s", name, directives[name], want)
		}
	}
	unit := filepath.Join(root, "sealprint.service")
	if err := os.WriteFile(unit, bytes.Replace(content, []byte(start[0]), []byte(program), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	// What it does not know it tells, and that is all that it does about it.
	if told := command("systemd-analyze", "verify", "--man=no", unit); told != "" {
		t.Errorf("systemd-analyze verify:\n%s", told)
	}
	// Ten times the exposure that docs/operations.md states.
	command("systemd-analyze", "security", "--offline=true", "--threshold=19", "--no-pager", unit)
}
