package extract

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
)

// realLibreOffice is the converter of a pool; a test fails without it.
func realLibreOffice(t *testing.T, p *Pool) {
	t.Helper()
	if _, missing := p.Converter(); missing != "" {
		if os.Getenv("SEALPRINT_TEST_ALLOW_SKIP") != "" {
			t.Skip(missing)
		}
		t.Fatal(missing + "; make test sees to it")
	}
}

// TestLegacy: what LibreOffice saves in old formats is read back through it, and
// nothing is left in its folder.
func TestLegacy(t *testing.T) {
	p := testPool(t, 1)
	realLibreOffice(t, p)
	for extension, mediaType := range map[string]string{"doc": docType, "xls": xlsType} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.html")
		if err := os.WriteFile(in, []byte("<html><body><p>The Finance Division conveys its concurrence</p><table><tr><td>Grant</td></tr></table>"), 0o600); err != nil {
			t.Fatal(err)
		}
		filter := map[string]string{"doc": "doc:MS Word 97", "xls": "xls:MS Excel 97"}[extension]
		args := []string{"--headless", "-env:UserInstallation=file://" + dir + "/profile", "--convert-to", filter, "--outdir", dir, in}
		if extension == "xls" {
			args = append([]string{"--infilter=HTML (StarCalc)"}, args...)
		}
		if out, err := exec.Command("soffice", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		content, err := os.ReadFile(filepath.Join(dir, "in."+extension))
		if err != nil {
			t.Fatal(err)
		}
		r := extract(t, p, string(content))
		if r.Status != ingest.StatusOK || r.MediaType != mediaType || !strings.Contains(r.Pages[0].Text, "Finance Division") {
			t.Errorf("%s: %s, %s, %s", extension, r.MediaType, r.Status, r.Reason)
		}
	}
	if r := extract(t, p, oleOf(t, map[string]string{"WordDocument": "no document"})); r.Status != ingest.StatusDamaged && r.Status != ingest.StatusOK && r.Status != ingest.StatusNoText {
		t.Errorf("damaged: %s, %s", r.Status, r.Reason)
	}
	if left, _ := filepath.Glob(filepath.Join(memoryFolder, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	p.converter.missing = "LibreOffice is not installed"
	r := extract(t, p, oleOf(t, map[string]string{"WordDocument": "x"}))
	if r.Status != ingest.StatusUnsupported || r.Reason != "no reader for application/msword: LibreOffice is not installed" {
		t.Errorf("without LibreOffice: %s, %s", r.Status, r.Reason)
	}
}

// TestConversionEnds: a conversion has no network, and ends with who asked for it.
func TestConversionEnds(t *testing.T) {
	convert := func(ctx context.Context, commands string) (*Failure, error) {
		path := filepath.Join(t.TempDir(), "soffice")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+commands), 0o700); err != nil {
			t.Fatal(err)
		}
		c := &converter{path: path, place: make(chan struct{}, 1)}
		converted, n, end, err := c.convert(ctx, tempFile(t, "the document"), 12, docType)
		if converted != nil {
			defer converted.Close()
			b := make([]byte, n)
			if _, err := converted.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			end = failf(ingest.StatusOK, "%s", b)
		}
		return end, err
	}
	if end, err := convert(t.Context(), "cat in > out/in.docx"); err != nil || end.Reason != "the document" {
		t.Errorf("converted: %v, %v", end, err)
	}
	if end, err := convert(t.Context(), "cat /proc/net/dev | tail -n +3 | grep -v lo: && exit 1; cat in > out/in.docx"); err != nil || end.Status != ingest.StatusOK {
		t.Errorf("there is a network: %v, %v", end, err)
	}
	if end, err := convert(t.Context(), "echo the document; exit 1"); err != nil || end.Status != ingest.StatusDamaged || strings.Contains(end.Reason, "the document") {
		t.Errorf("failed: %v, %v", end, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := convert(ctx, "sleep 60 & wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("canceled: %v", err)
	}
}
