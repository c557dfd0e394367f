package extract

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
)

// TestEval measures how much of the text of real files is read, on a corpus that
// SEALPRINT_CORPUS names, and writes docs/extraction.md to the folder that
// SEALPRINT_QUALITY names. `make eval` does both. Without a corpus there is nothing to
// measure here: the other tests hold what can be held on made-up files.
func TestEval(t *testing.T) {
	corpus, docs := os.Getenv("SEALPRINT_CORPUS"), os.Getenv("SEALPRINT_QUALITY")
	if corpus == "" {
		return
	}
	p := NewPool(Options{Cache: UserCache(), Workers: runtime.NumCPU()})
	defer p.Close()
	for _, missing := range []string{p.noOCR, p.converter.missing} {
		if missing != "" {
			t.Fatal(missing)
		}
	}
	var b strings.Builder
	b.WriteString(evalHead)
	b.WriteString("\n## Texts of which there is another reading\n\n" + evalTable)
	for _, set := range []struct {
		folder, what string
		length       int                        // of the runs that are compared
		reference    func(path string) []string // other readings; the one that agrees best counts
	}{
		{"pdf/gov-us-eu", "reports of the EU and the US government, PDF", 24, poppler},
		{"pdf/pk-laws", "acts of Pakistan, PDF", 24, poppler},
		{"pdf/us-courts", "court records of the US, PDF", 24, poppler},
		{"pdf/odd", "PDF made to be difficult", 24, poppler},
		{"office/docx", "Word", 24, libreOffice},
		{"office/doc", "Word before 2007", 24, libreOffice},
		{"office/mixed", "office files, mails, web pages", 24, libreOffice},
		{"scanned/pk-laws", "acts of Pakistan, scanned; against transcripts that nobody certified", 12, transcript},
	} {
		b.WriteString(measureSet(t, p, filepath.Join(corpus, set.folder), set.what, set.length, set.reference))
	}
	b.WriteString("\n## Statuses\n\n| files | " + strings.Join(evalStatuses, " | ") + " | longest |\n|---|" + strings.Repeat("---:|", len(evalStatuses)+1) + "\n")
	for _, folder := range []string{"pdf", "office", "scanned", "photos"} {
		b.WriteString(countStatuses(t, p, corpus, folder))
	}
	t.Log("\n" + b.String())
	if docs != "" {
		if err := os.WriteFile(filepath.Join(docs, "extraction.md"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const evalHead = `# Extraction: how much of a file's text is read

This file is made by

	make eval SEALPRINT_CORPUS=DIR

and kept in git, so that a change of a reader shows as a change of these numbers.

- **Agreement** of a file is the share of the runs of normalized characters of another program's reading that stand in ours, too: runs of 24, of
  poppler's pdftotext for PDF (the better of its two orders) and of LibreOffice's conversion to text for office files; runs of 12 for scans, whose
  transcripts have errors of their own. Neither is the truth: on the PDFs made to be difficult it is the other reading that is wrong in some.
- **Compared** are the files of which the other reading has at least 200 characters.
`

const evalTable = `| files | compared | mean | at least 0.95 | at least 0.8 |
|---|---:|---:|---:|---:|
`

var evalStatuses = []string{"ok", "partial", "no_text", "encrypted", "unsupported", "damaged", "limit"}

func filesBelow(t *testing.T, folder string) (paths []string) {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func readFile(t *testing.T, p *Pool, path string) *ingest.Reading {
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Error(err)
		return nil
	}
	r, err := p.Extract(context.Background(), f, info.Size())
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return r
}

// each calls f for all paths, as many at a time as there are processors.
func each(paths []string, f func(i int, path string)) {
	var wait sync.WaitGroup
	places := make(chan struct{}, runtime.NumCPU())
	for i, path := range paths {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			f(i, path)
		})
	}
	wait.Wait()
}

func measureSet(t *testing.T, p *Pool, folder, what string, length int, reference func(string) []string) string {
	paths := filesBelow(t, folder)
	agreements := make([]float64, len(paths))
	each(paths, func(i int, path string) {
		agreements[i] = -1
		others := slices.DeleteFunc(reference(path), func(s string) bool { return fingerprint.Normalize(s).Len() < 200 })
		if len(others) == 0 {
			return
		}
		r := readFile(t, p, path)
		if r == nil {
			return
		}
		var text strings.Builder
		for _, page := range r.Pages {
			text.WriteString(page.Text + "\n")
		}
		ours := runs(text.String(), length)
		for _, other := range others {
			agreements[i] = max(agreements[i], contained(runs(other, length), ours))
		}
	})
	n, sum, good, fair := 0, 0.0, 0, 0
	for i, a := range agreements {
		if a < 0 {
			continue
		}
		n++
		sum += a
		if a >= 0.95 {
			good++
		} else {
			t.Logf("%.2f %s", a, filepath.Base(paths[i]))
		}
		if a >= 0.8 {
			fair++
		}
	}
	if n == 0 {
		t.Errorf("%s: nothing to compare", folder)
		return ""
	}
	return fmt.Sprintf("| %s | %d | %.3f | %.3f | %.3f |\n", what, n, sum/float64(n), float64(good)/float64(n), float64(fair)/float64(n))
}

// runs returns the runs of some length of the normalized characters of a text.
func runs(text string, length int) map[string]bool {
	chars := fingerprint.Normalize(text).Chars
	m := map[string]bool{}
	for i := range max(len(chars)-length+1, 0) {
		m[string(chars[i:i+length])] = true
	}
	return m
}

func poppler(path string) (texts []string) {
	for _, order := range [][]string{nil, {"-raw"}} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		out, _ := exec.CommandContext(ctx, "pdftotext", append(order, path, "-")...).Output()
		cancel()
		texts = append(texts, strings.ToValidUTF8(string(out), "\uFFFD"))
	}
	return texts
}

func transcript(path string) []string {
	name, ok := strings.CutSuffix(path, ".pdf")
	if !ok {
		return nil
	}
	text, _ := os.ReadFile(name + ".md")
	return []string{string(text)}
}

// libreOfficeTurn lets one conversion run at a time: they share a profile.
var libreOfficeTurn sync.Mutex

func libreOffice(path string) []string {
	// It shows mails as their source.
	if ext := filepath.Ext(path); ext == ".eml" || ext == ".msg" {
		return nil
	}
	libreOfficeTurn.Lock()
	defer libreOfficeTurn.Unlock()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	profile := filepath.Join(os.TempDir(), "sealprint-eval-profile")
	_ = exec.CommandContext(ctx, "soffice", "--headless", "-env:UserInstallation=file://"+profile, "--convert-to", "txt:Text (encoded):UTF8", "--outdir", dir, path).Run()
	converted, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	if len(converted) == 0 {
		return nil
	}
	text, _ := os.ReadFile(converted[0])
	return []string{string(bytes.ToValidUTF8(text, []byte("\uFFFD")))}
}

func countStatuses(t *testing.T, p *Pool, corpus, folder string) string {
	paths := filesBelow(t, filepath.Join(corpus, folder))
	var mu sync.Mutex
	counts := map[string]int{}
	longest := time.Duration(0)
	each(paths, func(_ int, path string) {
		begin := time.Now()
		r := readFile(t, p, path)
		if r == nil {
			return
		}
		recognized := 0
		for _, page := range r.Pages {
			if strings.HasPrefix(page.Reader, "tesseract") {
				recognized++
			}
		}
		took := time.Since(begin)
		if most := ingest.ReaderTime + time.Duration(recognized)*(ingest.RenderTime+ingest.OCRTime); took > most {
			t.Errorf("%s took %v", path, took)
		}
		mu.Lock()
		defer mu.Unlock()
		counts[string(r.Status)]++
		longest = max(longest, took/time.Duration(max(recognized, 1)))
		if !slices.Contains(evalStatuses, string(r.Status)) {
			t.Errorf("%s is %s", path, r.Status)
		}
	})
	line := "| " + folder
	for _, s := range evalStatuses {
		line += fmt.Sprintf(" | %d", counts[s])
	}
	// Whole seconds: it is not the same twice.
	return line + fmt.Sprintf(" | under %d s a page |\n", int(longest.Seconds())+1)
}
