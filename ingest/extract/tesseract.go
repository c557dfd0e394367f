package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// tesseract recognizes the text of pictures by the program of that name, one
// process for each picture: it reads the picture from a pipe and writes the text
// into another, and touches no file but its own data.
type tesseract struct {
	path    string
	version string
	data    string        // folder of its language data, if the environment names one
	places  chan struct{} // to run in
	time    time.Duration
}

// languages are what pages are written in here. The data of both has to be there.
var languages = []string{"eng", "urd"}

// newTesseract finds the program, or says what is missing.
func newTesseract(workers int) (t *tesseract, missing string) {
	path, err := exec.LookPath("tesseract")
	if err != nil {
		return nil, "Tesseract is not installed"
	}
	t = &tesseract{path: path, data: os.Getenv("TESSDATA_PREFIX"), places: make(chan struct{}, workers), time: ingest.OCRTime}
	ctx, cancel := context.WithTimeout(context.Background(), ingest.OCRTime)
	defer cancel()
	version, err := t.command(ctx, "--version").CombinedOutput()
	if err != nil {
		return nil, "Tesseract does not start"
	}
	if t.version = regexp.MustCompile(`[0-9]+\.[0-9]+(\.[0-9]+)?`).FindString(string(version)); t.version < "5" {
		return nil, "Tesseract 5 is needed, and this is " + t.version
	}
	list, err := t.command(ctx, "--list-langs").CombinedOutput()
	if err != nil {
		return nil, "Tesseract does not start"
	}
	for _, l := range languages {
		if !slices.Contains(strings.Fields(string(list)), l) {
			return nil, "Tesseract has no data for language " + l
		}
	}
	return t, ""
}

// name is with what the reader of every page that it recognizes begins.
func (t *tesseract) name() string { return "tesseract " + t.version }

// acquire waits for a place to recognize a picture in.
func (t *tesseract) acquire(ctx context.Context) (release func(), err error) {
	select {
	case t.places <- struct{}{}:
		return func() { <-t.places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// recognition is what was read of a picture.
type recognition struct {
	Text       string
	Confidence float64 // mean of all words, of 100
	Reader     string
}

// recognize reads a picture. English and Urdu are read together, at little more
// than the cost of English alone and as well. Urdu is read much better alone, so
// what turns out to be mostly in Arabic script is read once more, and both are kept:
// a letterhead in English stands above many a page in Urdu. What is hardly read at
// all may be upside down.
func (t *tesseract) recognize(ctx context.Context, g gray) (recognition, *Failure, error) {
	// One time for all attempts.
	limited, cancel := context.WithTimeout(ctx, t.time)
	defer cancel()
	r, end, err := t.read(limited, g, "eng+urd")
	if err == nil && end == nil && r.Confidence < unsure {
		if turned, end, err := t.read(limited, half(g), "eng+urd"); err == nil && end == nil && turned.Confidence > r.Confidence+10 {
			r, g = turned, half(g)
		}
	}
	if err == nil && end == nil && mostlyArabic(r.Text) {
		if urdu, end, err := t.read(limited, g, "urd"); err == nil && end == nil {
			r = recognition{
				Text: urdu.Text + "\n" + r.Text, Confidence: max(urdu.Confidence, r.Confidence), Reader: urdu.Reader,
			}
		}
	}
	if ctx.Err() != nil {
		return recognition{}, nil, ctx.Err()
	}
	return r, end, err
}

// unsure is the confidence below which a page may be upside down. Nastaliq that is
// read as well as it can be has 60.
const unsure = 50

func mostlyArabic(text string) bool {
	arabic, letters := 0, 0
	for _, r := range text {
		if unicode.IsLetter(r) {
			letters++
			if isRightToLeft(r) {
				arabic++
			}
		}
	}
	return arabic*3 > letters
}

func (t *tesseract) read(ctx context.Context, g gray, languages string) (r recognition, end *Failure, err error) {
	cmd := t.command(ctx, "stdin", "stdout", "-l", languages, "--psm", "3", "--dpi", strconv.Itoa(ingest.OCRResolution), "tsv")
	cmd.Stdin = io.MultiReader(strings.NewReader(fmt.Sprintf("P5\n%d %d\n255\n", g.W, g.H)), bytes.NewReader(g.Pix))
	out := &bounded{most: ingest.MaxOCRBytes}
	cmd.Stdout = out
	if err := startUnprivileged(cmd); err != nil {
		return r, nil, fmt.Errorf("start recognition: %w", err)
	}
	limitErr := limitProcess(cmd.Process.Pid, map[int]uint64{
		unix.RLIMIT_AS: ingest.OCRMemory, unix.RLIMIT_CPU: uint64(t.time.Seconds()) + 1, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0,
	})
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case limitErr != nil && err == nil:
		return r, nil, limitErr
	case errors.Is(ctx.Err(), context.Canceled):
		return r, nil, ctx.Err()
	case ctx.Err() != nil || errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGXCPU:
		return r, failf(ingest.StatusLimit, "recognition took over %gs", t.time.Seconds()), nil
	case out.over:
		return r, failf(ingest.StatusLimit, "recognition gave over %d MB", ingest.MaxOCRBytes>>20), nil
	case errors.As(err, &exit):
		return r, failf(ingest.StatusDamaged, "recognition failed: %v", exit.ProcessState), nil
	case err != nil:
		return r, nil, fmt.Errorf("recognize: %w", err)
	}
	r = parseTSV(out.String())
	r.Reader = t.name() + " " + languages
	return r, nil, nil
}

// command makes a process that ends with ctx, and all that it started with it.
func (t *tesseract) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.path, args...)
	// More threads wait for each other longer than they work.
	cmd.Env = []string{"OMP_THREAD_LIMIT=1", "LC_ALL=C"}
	if t.data != "" {
		cmd.Env = append(cmd.Env, "TESSDATA_PREFIX="+t.data)
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = ingest.EndTime
	return cmd
}

// limitProcess limits a process that was started a moment ago, which counts, too,
// and all that it starts from now on.
func limitProcess(pid int, limits map[int]uint64) error {
	for resource, limit := range limits {
		err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended already
			return fmt.Errorf("limit process: %w", err)
		}
	}
	return nil
}

// bounded keeps what is written to it, up to a limit.
type bounded struct {
	strings.Builder
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		b.over = true
		return 0, errors.New("too much output")
	}
	return b.Builder.Write(p)
}

// parseTSV puts the words together that Tesseract found. Its table has a row for
// each word: level, page, block, paragraph, line, word, left, top, width, height,
// confidence, text; rows of other levels have no text.
func parseTSV(table string) recognition {
	var b strings.Builder
	var line string
	words, sum := 0, 0.0
	for row := range strings.Lines(table) {
		c := strings.Split(strings.TrimRight(row, "\r\n"), "\t")
		if len(c) < 12 || c[0] != "5" || strings.TrimSpace(c[11]) == "" {
			continue
		}
		confidence, err := strconv.ParseFloat(c[10], 64)
		if err != nil || confidence < 0 {
			continue
		}
		if here := strings.Join(c[1:5], " "); here != line {
			if line != "" {
				b.WriteByte('\n')
			}
			line = here
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(c[11])
		words++
		sum += min(confidence, 100)
	}
	r := recognition{Text: b.String()}
	if words > 0 {
		r.Confidence = sum / float64(words)
	}
	return r
}
