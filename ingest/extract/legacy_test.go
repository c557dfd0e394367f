package extract

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// oldFile has LibreOffice write a page of HTML in an old format.
func oldFile(t *testing.T, extension, filter, html string) string {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "in.html")
	if err := os.WriteFile(in, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--headless", "-env:UserInstallation=file://" + dir + "/profile", "--convert-to", extension + ":" + filter, "--outdir", dir, in}
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
	return string(content)
}

// TestLegacy: what LibreOffice saves in old formats is read back through it, wherever it
// lies, and nothing is left in its folder.
func TestLegacy(t *testing.T) {
	p := testPool(t, 1)
	realLibreOffice(t, p)
	doc := oldFile(t, "doc", "MS Word 97", "<html><body><p>The Finance Division conveys its concurrence</p></body></html>")
	xls := oldFile(t, "xls", "MS Excel 97", "<html><body><table><tr><td>Grant of the Finance Division</td></tr></table></body></html>")
	for mediaType, content := range map[string]string{docType: doc, xlsType: xls} {
		r := extract(t, p, content)
		if r.Status != ingest.StatusOK || r.MediaType != mediaType || !strings.Contains(r.Pages[0].Text, "Finance Division") {
			t.Errorf("%s, %s, %s", r.MediaType, r.Status, r.Reason)
		}
	}
	mail := "MIME-Version: 1.0\nSubject: Budget\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nsee below\n" +
		"--x\nContent-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(doc)) + "\n--x--\n"
	damaged := oleOf(t, map[string]string{"Workbook": "no workbook"})
	locked := oleOf(t, map[string]string{"WordDocument": "0123456789\x00\x01" + strings.Repeat("x", 500)})
	r := extract(t, p, zipOf(t, "a.txt", "first", "b.doc", doc, "c.xls", damaged, "d.doc", locked, "e.eml", mail, "f.xls", xls, "g.txt", "last"))
	want := []string{
		"1 file 1|first|", "2 file 2|The Finance Division conveys its concurrence|",
		"3 file 3||damaged: LibreOffice cannot read it as application/vnd.ms-excel; it may need a password", "4 file 4||encrypted: needs a password",
		"5 file 5|Budget\n\nsee below|", "6 file 5, attachment 1|The Finance Division conveys its concurrence|", "7 file 6, sheet 1|Grant of the Finance Division|", "8 file 7|last|",
	}
	var got []string
	for _, page := range r.Pages {
		got = append(got, fmt.Sprintf("%d %s|%s|%s", page.Number, page.Part, strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(page.Text), "Page")), page.Reason))
	}
	// LibreOffice adds a footer to sheets.
	if !slices.Equal(got, want) || r.Status != ingest.StatusPartial {
		t.Errorf("%s: %q, want\n%q", r.Status, got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(memoryFolder, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	p.converter.missing = "LibreOffice is not installed"
	if r := extract(t, p, doc); r.Status != ingest.StatusUnsupported || r.Reason != "no reader for application/msword: LibreOffice is not installed" {
		t.Errorf("without LibreOffice: %s, %s", r.Status, r.Reason)
	}
	if r := extract(t, p, zipOf(t, "b.doc", doc)); r.Status != ingest.StatusUnsupported || r.Reason != "page 1: unsupported: no reader for application/msword: LibreOffice is not installed" {
		t.Errorf("inside, without LibreOffice: %s, %s", r.Status, r.Reason)
	}
}

// TestConversions: files converted together do not suffer from each other.
func TestConversions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "soffice")
	// It dies of a file that says so, having converted those before it.
	script := `#!/bin/sh
shift 8
for f in "$@"; do
	case $(cat $f) in
	die) exit 1;;
	link) ln -s /etc/passwd out/$(basename $f).docx;;
	*) cp $f out/$(basename $f).docx;;
	esac
done
`
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &converter{path: path, place: make(chan struct{}, 1)}
	var files []*conversion
	for _, content := range []string{"first", "die", "link", "last"} {
		files = append(files, &conversion{File: fileOf([]byte(content)), mediaType: docType, to: "docx"})
	}
	if err := c.convert(t.Context(), files, time.Minute); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"first", "", "", "last"} {
		f := files[i]
		got := ""
		if f.converted != nil {
			b := make([]byte, f.size)
			if _, err := f.converted.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			got = string(b)
		} else if f.end == nil || f.end.Status != ingest.StatusDamaged {
			t.Errorf("file %d: %v", i, f.end)
		}
		if got != want {
			t.Errorf("file %d: %q", i, got)
		}
		f.close()
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
		file := &conversion{File: fileOf([]byte("the document")), mediaType: docType, to: "docx"}
		err := c.convert(ctx, []*conversion{file}, 10*time.Second)
		defer file.close()
		if file.converted != nil {
			b := make([]byte, file.size)
			if _, err := file.converted.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			return failf(ingest.StatusOK, "%s", b), err
		}
		return file.end, err
	}
	if end, err := convert(t.Context(), "cat in0 > out/in0.docx"); err != nil || end.Reason != "the document" {
		t.Errorf("converted: %v, %v", end, err)
	}
	if end, err := convert(t.Context(), "cat /proc/net/dev | tail -n +3 | grep -v lo: && exit 1; cat in0 > out/in0.docx"); err != nil || end.Status != ingest.StatusOK {
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
