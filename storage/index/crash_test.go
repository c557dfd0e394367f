package index

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

// crashDir, when set, makes the test binary the victim of TestCrash.
const crashDir = "SEALPRINT_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	// crashTogether is how many sheets the victim appends at a time; the first
	// of them is a multiple of it.
	crashTogether = 3
	// crashRound is where the ordinals of the next victim begin: a multiple of
	// crashTogether that no victim lives long enough to reach.
	crashRound = crashTogether * 100_000
)

// crashSheet is what the victim stores under an ordinal. Some are so large that they
// do not go through the log.
func crashSheet(o storage.Ordinal) storage.Sheet {
	const most = 500
	hashes := make([]fingerprint.Hash, 50)
	if o/crashTogether%8 == 0 {
		hashes = make([]fingerprint.Hash, most)
	}
	for i := range hashes {
		hashes[i] = storagetest.SpreadHash(fingerprint.Hash(o)*most + fingerprint.Hash(i))
	}
	return storage.Sheet{Ordinal: o, Window: fingerprint.Dense, Hashes: hashes}
}

// appendForEver appends from two goroutines, merges all the time, deletes one
// sheet in ten, and prints what has been acknowledged: +n for the group of
// sheets that begins with n, -n for a deleted sheet.
func appendForEver(dir string) error {
	ix, err := Open(dir, storagetest.Params, Options{MemoryBudget: 8 << 10})
	if err != nil {
		return err
	}
	fmt.Println("open")
	stored, err := ix.Ordinals(context.Background())
	if err != nil {
		return err
	}
	base := storage.Ordinal(0)
	if len(stored) > 0 {
		base = (stored[len(stored)-1]/crashRound + 1) * crashRound
	}
	errs := make(chan error)
	var out sync.Mutex
	say := func(sign string, o storage.Ordinal) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf("%s%d\n", sign, o)
	}
	for w := range storage.Ordinal(2) {
		go func() {
			for o := base + w*crashTogether; ; o += 2 * crashTogether {
				var sheets []storage.Sheet
				for i := range storage.Ordinal(crashTogether) {
					sheets = append(sheets, crashSheet(o+i))
				}
				if err := ix.Append(context.Background(), sheets); err != nil {
					errs <- err
				}
				say("+", o)
				if o%10 == 0 {
					if err := ix.Delete(context.Background(), []storage.Ordinal{o}); err != nil {
						errs <- err
					}
					say("-", o)
				}
			}
		}()
	}
	return <-errs
}

// kills is how often TestCrash kills a process.
var kills = flag.Int("kills", 8, "processes that TestCrash kills")

// TestCrash kills a process that writes, again and again, and looks at what is
// left.
func TestCrash(t *testing.T) {
	var dir string
	var appended, deleted map[storage.Ordinal]bool
	acknowledged := 0
	for round := range *kills {
		if round%16 == 0 { // what is left of so many lives takes long to look at
			dir, appended, deleted = t.TempDir(), map[storage.Ordinal]bool{}, map[storage.Ordinal]bool{}
		}
		victim := exec.Command(os.Args[0])
		victim.Env = append(os.Environ(), crashDir+"="+dir)
		victim.Stderr = os.Stderr
		pipe, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		life := time.Duration(50+rand.IntN(200)) * time.Millisecond
		timer := time.AfterFunc(life, func() { victim.Process.Kill() })
		if round%16 == 0 {
			timer.Reset(time.Minute) // until there is an index to look at
		}
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			line := lines.Text()
			if line == "open" && round%16 == 0 {
				timer.Reset(life)
			}
			n, err := strconv.ParseUint(line[1:], 10, 32)
			if err != nil {
				continue // cut short by the kill
			}
			acknowledged++
			if line[0] == '+' {
				appended[storage.Ordinal(n)] = true
			} else {
				deleted[storage.Ordinal(n)] = true
			}
		}
		victim.Wait()
		timer.Stop()
		checkSurvivors(t, dir, appended, deleted)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if acknowledged < 5**kills {
		t.Errorf("only %d changes were acknowledged", acknowledged)
	}
	t.Logf("%d changes were acknowledged", acknowledged)
}

func checkSurvivors(t *testing.T, dir string, appended, deleted map[storage.Ordinal]bool) {
	t.Helper()
	report, err := Check(t.Context(), dir)
	if err != nil || len(report.Damage) > 0 {
		t.Fatalf("check: %v, %v", err, report.Damage)
	}
	ix, err := Open(dir, storagetest.Params, Options{MemoryBudget: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	ordinals, err := ix.Ordinals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := func(o storage.Ordinal) bool {
		_, found := slices.BinarySearch(ordinals, o)
		return found
	}
	for o := range appended {
		if !stored(o+1) || !stored(o+2) || !stored(o) && o%10 != 0 {
			t.Errorf("sheets from %d were acknowledged and are gone", o)
		}
	}
	for o := range deleted {
		if stored(o) {
			t.Errorf("sheet %d was deleted and is back", o)
		}
	}
	for _, o := range ordinals {
		first := o - o%crashTogether
		if !stored(first+1) || !stored(first+2) {
			t.Errorf("sheet %d is there without those appended with it", o)
		}
		if o%7 != 0 {
			continue
		}
		sheet := crashSheet(o)
		answer, err := ix.Lookup(t.Context(), sheet.Hashes, 10)
		if err != nil {
			t.Fatal(err)
		}
		for i, list := range answer.Lists {
			want := storage.Posting{Ordinal: o, Position: uint32(i * int(sheet.Window)), Window: sheet.Window}
			if !slices.Contains(list.Postings, want) {
				t.Fatalf("sheet %d: fingerprint %d is gone", o, i)
			}
		}
	}
}
