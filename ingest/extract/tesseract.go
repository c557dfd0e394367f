package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

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
	cpu     time.Duration // for one picture
	wall    time.Duration
}

// languages are what pages are written in here. The data of both has to be there.
var languages = []string{"eng", "urd"}

// newTesseract finds the program, or says what is missing.
func newTesseract(workers int) (t *tesseract, missing string) {
	path, err := exec.LookPath("tesseract")
	if err != nil {
		return nil, "Tesseract is not installed"
	}
	t = &tesseract{path: path, data: os.Getenv("TESSDATA_PREFIX"), places: make(chan struct{}, workers), cpu: ingest.OCRCPU, wall: ingest.OCRTime}
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
	lines      []textLine // that it is made of
	turned     bool       // they were read upside down
	Confidence float64    // mean of all words, of 100, in the language that it is higher in
	Reader     string
}

// recognize reads a picture. What is hardly read in any language may be upside down.
// With a failure comes what was read before it, if anything was.
func (t *tesseract) recognize(ctx context.Context, g gray) (recognition, *Failure, error) {
	// One time for all attempts.
	limited, cancel := context.WithTimeout(ctx, t.wall)
	defer cancel()
	left := t.cpu
	r, end, err := t.readBoth(limited, g, &left)
	if err == nil && end == nil && r.Confidence < unsure {
		turned, end, err := t.readBoth(limited, half(g), &left)
		if err == nil && end == nil && turned.Confidence > r.Confidence+10 {
			r, r.turned = turned, true
		}
	}
	if ctx.Err() != nil {
		return recognition{}, nil, ctx.Err()
	}
	return r, end, err
}

const (
	// unsure is the confidence below which text was read in the wrong language or upside
	// down. Read right, a page of Nastaliq has 55 to 60, all others more; read wrong, none
	// has over 45.
	unsure = 50

	// otherWords is how many unsure words of English are read again as Urdu: a shorter
	// text than these would hardly be found.
	otherWords = 10
)

// readBoth reads English, and Urdu where that leaves lines unsure. Each language is
// read better and faster alone than both are together. Of lines read twice the surer
// is kept: a letterhead in English stands above many a page in Urdu.
func (t *tesseract) readBoth(ctx context.Context, g gray, left *time.Duration) (recognition, *Failure, error) {
	english, end, err := t.read(ctx, g, "eng", left)
	if err != nil || end != nil {
		return recognition{}, end, err
	}
	r := t.recognition(english, nil, confidence(english))
	other := 0
	for _, l := range english {
		if l.confidence() < unsure {
			other += len(l.words)
		}
	}
	if other < otherWords {
		return r, nil, nil
	}
	urdu, end, err := t.read(ctx, g, "urd", left)
	if err != nil || end != nil {
		return r, end, err
	}
	return t.recognition(surer(english, urdu), surer(urdu, english), max(confidence(english), confidence(urdu))), nil, nil
}

// recognition puts lines of both languages together, English first, as nothing says
// in which order they are read.
func (t *tesseract) recognition(english, urdu []textLine, confidence float64) recognition {
	var texts []string
	lines := slices.Concat(english, urdu)
	for _, l := range lines {
		texts = append(texts, strings.Join(l.words, " "))
	}
	used := "eng"
	if len(urdu) > 0 {
		used = "urd"
		if len(english) > 0 {
			used = "eng+urd"
		}
	}
	return recognition{Text: strings.Join(texts, "\n"), lines: lines, Confidence: confidence, Reader: t.name() + " " + used}
}

// surer returns the lines that no surer line of the other reading covers. Even of the
// worst that is left some words are right, and the rest is found by nobody.
func surer(lines, others []textLine) []textLine {
	var kept []textLine
	for _, l := range lines {
		covered := slices.ContainsFunc(others, func(o textLine) bool {
			return o.confidence() > l.confidence() && 2*area(o.box.Intersect(l.box)) > min(area(o.box), area(l.box))
		})
		if !covered {
			kept = append(kept, l)
		}
	}
	return kept
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }

// textLine is a line that was read.
type textLine struct {
	words []string
	boxes []image.Rectangle // of the words
	box   image.Rectangle
	sum   float64 // of the confidences of words
}

func (l textLine) confidence() float64 { return l.sum / float64(len(l.words)) }

// confidence is the mean of all words.
func confidence(lines []textLine) float64 {
	words, sum := 0, 0.0
	for _, l := range lines {
		words, sum = words+len(l.words), sum+l.sum
	}
	return sum / float64(max(words, 1))
}

// read reads a picture in one language, and takes the processor time off what is left.
func (t *tesseract) read(ctx context.Context, g gray, language string, left *time.Duration) (lines []textLine, end *Failure, err error) {
	cmd := t.command(ctx, "stdin", "stdout", "-l", language, "--psm", "3", "--dpi", strconv.Itoa(ingest.OCRResolution), "tsv")
	cmd.Stdin = io.MultiReader(strings.NewReader(fmt.Sprintf("P5\n%d %d\n255\n", g.W, g.H)), bytes.NewReader(g.Pix))
	out := &bounded{most: ingest.MaxOCRBytes}
	cmd.Stdout = out
	if err := startUnprivileged(cmd); err != nil {
		return nil, nil, fmt.Errorf("start recognition: %w", err)
	}
	limitErr := limitProcess(cmd.Process.Pid, map[int]uint64{
		unix.RLIMIT_AS: ingest.OCRMemory, unix.RLIMIT_CPU: uint64(math.Ceil(max(*left, time.Second).Seconds())), unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0,
		unix.RLIMIT_NOFILE: ingest.MaxDescriptors,
	})
	if limitErr != nil {
		_ = cmd.Cancel()
	}
	err = cmd.Wait()
	if ended := cmd.ProcessState; ended != nil {
		*left -= ended.UserTime() + ended.SystemTime()
	}
	var exit *exec.ExitError
	switch {
	case limitErr != nil:
		return nil, nil, limitErr
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, nil, ctx.Err()
	case ctx.Err() != nil:
		return nil, failf(ingest.StatusLimit, "recognition took over %gs", t.wall.Seconds()), nil
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGXCPU:
		return nil, failf(ingest.StatusLimit, "recognition took over %gs of processor time", t.cpu.Seconds()), nil
	case out.over:
		return nil, failf(ingest.StatusLimit, "recognition gave over %d MB", ingest.MaxOCRBytes>>20), nil
	case errors.As(err, &exit):
		return nil, failf(ingest.StatusDamaged, "recognition failed: %v", exit.ProcessState), nil
	case err != nil:
		return nil, nil, fmt.Errorf("recognize: %w", err)
	}
	if lines = parseTSV(out.String()); len(lines) > ingest.MaxOCRLines {
		return nil, failf(ingest.StatusLimit, "recognition gave over %d lines", ingest.MaxOCRLines), nil
	}
	return lines, nil, nil
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
// and all that it starts from now on. A limit that is lower already stays: only root
// may raise it.
func limitProcess(pid int, limits map[int]uint64) error {
	for resource, limit := range limits {
		var now unix.Rlimit
		err := unix.Prlimit(pid, resource, nil, &now)
		if err == nil {
			set := unix.Rlimit{Cur: min(limit, now.Max), Max: min(limit, now.Max)}
			if resource == unix.RLIMIT_CPU && set.Max < now.Max {
				set.Max++ // it ends by a signal of its own then, and by force if it does not heed that
			}
			err = unix.Prlimit(pid, resource, &set, nil)
		}
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
func parseTSV(table string) []textLine {
	var lines []textLine
	var last string
	for row := range strings.Lines(table) {
		c := strings.Split(strings.TrimRight(row, "\r\n"), "\t")
		if len(c) < 12 || c[0] != "5" || strings.TrimSpace(c[11]) == "" {
			continue
		}
		confidence, err := strconv.ParseFloat(c[10], 64)
		if err != nil || !(confidence >= 0) { // nor is NaN
			continue
		}
		var at [4]int
		for i := range at {
			at[i], _ = strconv.Atoi(c[6+i])
		}
		box := image.Rect(at[0], at[1], at[0]+at[2], at[1]+at[3])
		if here := strings.Join(c[1:5], " "); here != last {
			lines, last = append(lines, textLine{box: box}), here
		}
		l := &lines[len(lines)-1]
		l.words, l.boxes = append(l.words, c[11]), append(l.boxes, box)
		l.box, l.sum = l.box.Union(box), l.sum+min(confidence, 100)
	}
	return lines
}
