package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// TestMain makes the test binary the process that is killed in TestCrash.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_TEST_CRASH"); dir != "" {
		crash(dir)
	}
	os.Exit(m.Run())
}

func record(i int) Record {
	return Record{
		Principal: fmt.Sprint("key", i%7), Role: "analyst", Department: []string{"finance", "foreign"}[i%2], Action: "match", Purpose: "line\nbreak and \"quotes\" \u2028 اردو",
		Request: fmt.Sprint("req_", i), Targets: []string{fmt.Sprint("doc_", i%50)}, Size: int64(i), Count: i % 3, Outcome: "no_match",
	}
}

// write makes a log of n records in files of at most some bytes.
func write(t testing.TB, dir string, key *fingerprint.Key, n int, rotate int64) Checkpoint {
	t.Helper()
	l, err := open(dir, key, system{}, rotate)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += 10 {
		var group []Record
		for j := i; j < min(i+10, n); j++ {
			group = append(group, record(j))
		}
		if err := l.Append(t.Context(), group...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Head()
}

func sound(t testing.TB, dir string, key *fingerprint.Key, want int64, anchors ...Checkpoint) Report {
	t.Helper()
	r, err := Verify(dir, key, anchors...)
	if err != nil || len(r.Problems) > 0 || r.Records != want {
		t.Fatalf("%v, %d records, not %d, %v", err, r.Records, want, r.Problems)
	}
	return r
}

// TestRoundTrip: what was appended is read, in order, in parts, by filters, from all files,
// and after the log was opened again.
func TestRoundTrip(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	write(t, dir, key, 300, 8<<10)
	write(t, dir, key, 200, 8<<10)
	if r := sound(t, dir, key, 500); r.Files < 5 || r.Unsigned != 0 || r.Head.Sequence != 500 {
		t.Errorf("%+v", r)
	}
	l, err := Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all []Record
	for {
		part, err := l.Read(t.Context(), Filter{}, int64(len(all)), 33)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		all = append(all, part...)
	}
	for i, r := range all {
		want := record(i % 300)
		want.Sequence, want.Time = int64(i)+1, r.Time
		if fmt.Sprint(r) != fmt.Sprint(want) || time.Since(r.Time) > time.Minute {
			t.Fatalf("%+v, not %+v", r, want)
		}
	}
	if len(all) != 500 {
		t.Errorf("%d records", len(all))
	}
	for name, f := range map[string]Filter{
		"principal": {Principal: "key3"}, "target": {Target: "doc_7"}, "none": {Action: "other"}, "past": {Until: time.Now().Add(-time.Hour)},
		"ahead": {From: time.Now().Add(time.Hour)}, "scope": {Covers: func(d string) bool { return d == "finance" }}, "now": {From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)},
	} {
		got, err := l.Read(t.Context(), f, 100, 1000)
		want := slices.DeleteFunc(slices.Clone(all[100:]), func(r Record) bool { return !f.selects(&r) })
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %d records, not %d", name, err, len(got), len(want))
		}
	}
}

// TestConcurrent: appends of many at once are all there, numbered without gaps.
func TestConcurrent(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	l, err := open(dir, key, system{}, 16<<10)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for w := range 40 {
		wait.Go(func() {
			for i := range 25 {
				if err := l.Append(t.Context(), record(w*25+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 { // beside the writer
		if r, err := Verify(dir, key); err != nil || len(r.Problems) > 0 {
			t.Errorf("%v %v", err, r.Problems)
		}
	}
	wait.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), record(0)); !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
	sound(t, dir, key, 1000)
	seen := map[string]bool{}
	all, err := l.Read(t.Context(), Filter{}, 0, 10_000)
	for i, r := range all {
		if seen[r.Request] || r.Sequence != int64(i)+1 {
			t.Errorf("%+v", r)
		}
		seen[r.Request] = true
	}
	if err != nil || len(seen) != 1000 {
		t.Errorf("%v, %d records", err, len(seen))
	}
}

// TestTampering: each of a thousand changes to the folder is found.
func TestTampering(t *testing.T) {
	whole, key := t.TempDir(), fingerprint.NewKey()
	write(t, whole, key, 200, 8<<10)
	content := map[string][]byte{}
	entries, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	var logs []string
	for _, e := range entries {
		if content[e.Name()], err = os.ReadFile(filepath.Join(whole, e.Name())); err != nil {
			t.Fatal(err)
		}
		if e.Name() != headName {
			logs = append(logs, e.Name())
		}
	}
	names := slices.Sorted(maps.Keys(content))
	chance := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	found := map[string]int{}
	for round := range 1000 {
		changed := maps.Clone(content)
		name := logs[chance.IntN(len(logs))]
		lines := strings.SplitAfter(strings.TrimSuffix(string(content[name]), "\n"), "\n")
		lines[len(lines)-1] += "\n"
		i, j := chance.IntN(len(lines)), chance.IntN(len(lines))
		kind := []string{"flip", "delete", "swap", "twice", "cut", "remove", "head", "forge"}[round%8]
		switch kind {
		case "flip":
			name = names[chance.IntN(len(names))]
			b := slices.Clone(content[name])
			b[chance.IntN(len(b))] ^= 1 << chance.IntN(8)
			changed[name] = b
		case "delete":
			changed[name] = []byte(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), ""))
		case "swap":
			if i == j {
				j = (i + 1) % len(lines)
			}
			lines[i], lines[j] = lines[j], lines[i]
			changed[name] = []byte(strings.Join(lines, ""))
		case "twice":
			changed[name] = []byte(strings.Join(slices.Insert(slices.Clone(lines), i, lines[j]), ""))
		case "cut":
			changed[name] = content[name][:chance.IntN(len(content[name]))]
		case "remove":
			delete(changed, name)
		case "head":
			changed[headName] = content[headName][:chance.IntN(len(content[headName]))]
		case "forge":
			lines[i] = strings.Replace(lines[i], "no_match", "authorized", 1)
			changed[name] = []byte(strings.Join(lines, ""))
		}
		for n := range content {
			if b, there := changed[n]; there {
				err = os.WriteFile(filepath.Join(dir, n), b, 0o600)
			} else {
				err = os.Remove(filepath.Join(dir, n))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if r, err := Verify(dir, key); err == nil && len(r.Problems) == 0 {
			t.Errorf("round %d: %s of %s is not found", round, kind, name)
		} else {
			found[kind]++
		}
	}
	t.Log(found)
}

// TestRefused: a log of another key, and one that somebody without the key added to, is not
// opened.
func TestRefused(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	write(t, dir, key, 20, fileBytes)
	if _, err := Open(dir, fingerprint.NewKey()); !errors.Is(err, storage.ErrCorrupt) {
		t.Error(err)
	}
	name := filepath.Join(dir, fileName(1))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := newChain(make([]byte, 32), code{}).appendLine(nil, &Record{Sequence: 21, Principal: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{
		"added": string(b) + string(forged), "cut": string(b[:len(b)-200]), "emptied": "",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, key); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What was never acknowledged is cut off.
	if err := os.WriteFile(name, append(slices.Clone(b), forged[:30]...), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, key, 5, fileBytes)
	sound(t, dir, key, 25)
}

// TestAnchor: to set the whole folder back is found out by a checkpoint that was kept
// elsewhere.
func TestAnchor(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	early := write(t, dir, key, 30, fileBytes)
	earlier := t.TempDir()
	if err := os.CopyFS(earlier, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	late := write(t, dir, key, 30, fileBytes)
	kept, err := ParseCheckpoint(late.String(), key)
	if err != nil || kept != late {
		t.Fatalf("%v %+v", err, kept)
	}
	sound(t, dir, key, 60, early, late)
	sound(t, earlier, key, 30)
	if r, err := Verify(earlier, key, kept); err != nil || len(r.Problems) == 0 {
		t.Errorf("%v %v", err, r.Problems)
	}
	write(t, earlier, key, 40, fileBytes) // another story
	if r, err := Verify(earlier, key, kept); err != nil || len(r.Problems) == 0 {
		t.Errorf("%v %v", err, r.Problems)
	}
	for i := range late.String() {
		b := []byte(late.String())
		b[i] ^= 1
		if _, err := ParseCheckpoint(string(b), key); err == nil {
			t.Errorf("changed at %d, it is a checkpoint", i)
		}
	}
}

// TestLimits: what is too large is refused, and nothing of it is written.
func TestLimits(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	l, err := Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, r := range []Record{{Action: strings.Repeat("a", maxText+1)}, {Targets: make([]string, maxTargets+1)}, {Purpose: "\xff"}} {
		if err := l.Append(t.Context(), record(1), r); err == nil {
			t.Errorf("%.50v is taken", r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, record(1)); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	full := Record{Purpose: strings.Repeat("\x01", maxText)}
	for range maxTargets {
		full.Targets = append(full.Targets, strings.Repeat("\x01", maxText))
	}
	before := l.Head().Sequence
	if err := l.Append(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	sound(t, dir, key, before+1)
}

// faulty fails at the n-th operation, and from then on.
type faulty struct {
	system
	left *int
}

var errFault = errors.New("no space left on device")

func (f faulty) spend() error {
	if *f.left--; *f.left < 0 {
		return errFault
	}
	return nil
}

func (f faulty) open(path string) (writer, error) {
	if err := f.spend(); err != nil {
		return nil, err
	}
	w, err := f.system.open(path)
	return faultyFile{w, f}, err
}

func (f faulty) syncFolder(dir string) error { return errors.Join(f.spend(), f.system.syncFolder(dir)) }

type faultyFile struct {
	writer
	f faulty
}

func (w faultyFile) Write(b []byte) (int, error) {
	if err := w.f.spend(); err != nil {
		n, _ := w.writer.Write(b[:len(b)/2])
		return n, err
	}
	return w.writer.Write(b)
}

func (w faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := w.f.spend(); err != nil {
		return 0, err
	}
	return w.writer.WriteAt(b, at)
}

func (w faultyFile) Sync() error { return errors.Join(w.f.spend(), w.writer.Sync()) }

func (w faultyFile) Truncate(size int64) error {
	if err := w.f.spend(); err != nil {
		return err
	}
	return w.writer.Truncate(size)
}

// TestFaults: whatever fails, at whatever point, what was acknowledged is there when the
// log is opened again, and after a failure nothing is acknowledged any more.
func TestFaults(t *testing.T) {
	for fail := range 120 {
		dir, key := t.TempDir(), fingerprint.NewKey()
		write(t, dir, key, 10, 2<<10)
		left := fail
		acknowledged := int64(10)
		l, err := open(dir, key, faulty{left: &left}, 2<<10)
		if err == nil {
			failed := false
			for i := range 20 {
				err := l.Append(t.Context(), record(i))
				switch {
				case err == nil && failed:
					t.Fatal("acknowledged after a failure")
				case err == nil:
					acknowledged++
				default:
					failed = true
				}
			}
			_ = l.Close()
		}
		again, err := open(dir, key, system{}, 2<<10)
		if err != nil {
			t.Fatalf("fault %d: %v", fail, err)
		}
		if n := again.Head().Sequence; n < acknowledged {
			t.Errorf("fault %d: %d records of %d", fail, n, acknowledged)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		sound(t, dir, key, again.Head().Sequence)
	}
}

// crash appends until it is killed, and says what is acknowledged.
func crash(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		panic(err)
	}
	key, err := fingerprint.ParseKey(b)
	if err != nil {
		panic(err)
	}
	l, err := open(filepath.Join(dir, "audit"), key, system{}, 16<<10)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := 0; ; i++ {
				r := record(i)
				r.Request = fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := l.Append(context.Background(), r); err != nil {
					panic(err)
				}
				fmt.Println(r.Request)
			}
		})
	}
	wait.Wait()
}

// TestCrash: killed at any moment, again and again, the log has everything that was
// acknowledged and verifies.
func TestCrash(t *testing.T) {
	dir, key := t.TempDir(), fingerprint.NewKey()
	if err := os.WriteFile(filepath.Join(dir, "key"), key.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	for round := range 30 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "AUDIT_TEST_CRASH="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(20+7*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			if strings.HasPrefix(line, "error") {
				t.Fatal(line)
			}
			said = append(said, strings.TrimSpace(line))
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	l, err := Open(filepath.Join(dir, "audit"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := l.Read(t.Context(), Filter{}, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, r := range all {
		there[r.Request] = true
	}
	for _, s := range said {
		if !there[s] {
			t.Errorf("%s was acknowledged and is gone", s)
		}
	}
	if len(said) < 100 {
		t.Errorf("only %d were acknowledged", len(said))
	}
	sound(t, filepath.Join(dir, "audit"), key, int64(len(all)))
}

// FuzzLine: no line ends the reader, and what is taken for a record is one line of it.
func FuzzLine(f *testing.F) {
	line, err := newChain(make([]byte, 32), code{}).appendLine(nil, &Record{Sequence: 1, Principal: "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line[:len(line)-1])
	f.Add([]byte(`,"mac":"` + strings.Repeat("0", 64) + `"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		record, sequence, own, err := parseLine(line)
		if err != nil {
			return
		}
		if sequence < 1 || !strings.HasPrefix(string(record), `{"sequence":`+strconv.FormatInt(sequence, 10)) && !strings.HasPrefix(string(record), `{"sequence":+`) && !strings.HasPrefix(string(record), `{"sequence":0`) {
			t.Errorf("%q has sequence %d", record, sequence)
		}
		if len(record)+codeLength-1 != len(line) || own == (code{}) && !strings.Contains(string(line), strings.Repeat("0", 64)) {
			t.Errorf("%q of %q", record, line)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	dir, key := b.TempDir(), fingerprint.NewKey()
	l, err := Open(dir, key)
	if err != nil {
		b.Fatal(err)
	}
	const n = 200_000
	group := make([]Record, 1000)
	for i := range group {
		group[i] = record(i)
	}
	for range n / len(group) {
		if err := l.Append(b.Context(), group...); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		sound(b, dir, key, n)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(b.TempDir(), fingerprint.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(b.Context(), record(1)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
