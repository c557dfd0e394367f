package match

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
)

// TestEval measures how well edited excerpts of registered documents are found,
// and how often texts that are not registered are taken for one. Without
// SEALPRINT_CORPUS it is a small slice on generated texts, which must keep what is
// promised; with the folder of a corpus it prints a table of it as well.
func TestEval(t *testing.T) {
	generated := evaluation{name: "generated", excerpts: 100, strangers: 200}
	for i := range uint64(250) {
		generated.registered = append(generated.registered, fingerprinttest.Prose(i, 10_000))
		generated.others = append(generated.others, fingerprinttest.Prose(1_000_000+i, 2000))
	}
	table := generated.run(t)
	for _, row := range []string{"verbatim 64", "verbatim 100", "verbatim 280", "64 in 280"} {
		if table[row] < 1 {
			t.Errorf("generated, %s: recall %.3f", row, table[row])
		}
	}
	if table["strangers"] > 0 {
		t.Errorf("generated: %.4f of the strangers are alerts", table["strangers"])
	}
	corpus := os.Getenv("SEALPRINT_CORPUS")
	if corpus == "" {
		return
	}
	laws := evaluation{name: "laws", excerpts: 400, strangers: 2000}
	laws.registered, laws.others = readLaws(t, filepath.Join(corpus, "text/pakistan-code.jsonl.gz"))
	laws.run(t)
	posts := evaluation{name: "posts", strangers: 2000, registered: laws.registered}
	content, err := os.ReadFile(filepath.Join(corpus, "negatives/historyatstate-tweets.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(line, "\t")
		posts.others = append(posts.others, fields[len(fields)-1])
	}
	posts.run(t)
}

// readLaws cuts acts into documents of 10 KB; every third act is not registered.
func readLaws(t *testing.T, path string) (registered, others []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bufio.NewReader(unzipped))
	for n := 0; decoder.More(); n++ {
		var act struct{ Provisions []struct{ Text string } }
		if err := decoder.Decode(&act); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, p := range act.Provisions {
			b.WriteString(p.Text + "\n")
		}
		text := []rune(b.String())
		for len(text) > 1000 {
			piece := string(text[:min(len(text), 10_000)])
			text = text[min(len(text), 10_000):]
			if n%3 == 0 {
				others = append(others, piece)
			} else {
				registered = append(registered, piece)
			}
		}
	}
	return registered, others
}

// evaluation is one set of documents and what is asked against it.
type evaluation struct {
	name                string
	registered, others  []string
	excerpts, strangers int // queries of each kind
}

// run prints the evaluation and returns recall by kind, and the share of strangers
// that are alerts.
func (e *evaluation) run(t *testing.T) map[string]float64 {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 7))
	l := newLibrary()
	ix, err := index.Open(t.TempDir(), l.key.Params(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	var sheets []storage.Sheet
	for i, text := range e.registered {
		b := fingerprint.NewBuilder(l.key, fingerprint.Dense)
		b.AddPage(1, text)
		o := storage.Ordinal(i + 1)
		sheets = append(sheets, storage.Sheet{Ordinal: o, Window: fingerprint.Dense, Hashes: b.Hashes()})
		id := storage.DocumentID(fmt.Sprint("doc_", i))
		l.entries[o] = storage.Match{Document: storage.Document{ID: id}, Version: storage.Version{Window: fingerprint.Dense}}
		l.places[o] = b.Places()
	}
	if err := ix.Append(t.Context(), sheets); err != nil {
		t.Fatal(err)
	}
	m := Matcher{Key: l.key, Index: ix, Documents: l}
	ask := func(text string) *Report {
		report, err := m.Match(t.Context(), Query{Text: text, Scope: storage.Everywhere()})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	excerpt := func(text string, n int) string {
		if have := fingerprint.Normalize(text).Len(); have > n {
			return run(text, r.IntN(have-n), n)
		}
		return text
	}
	table := map[string]float64{}
	count := func(kind string, make func(document string) string) {
		found, first := 0, 0
		for range e.excerpts {
			i := r.IntN(len(e.registered))
			for fingerprint.Normalize(e.registered[i]).Len() < 400 {
				i = r.IntN(len(e.registered))
			}
			want := storage.DocumentID(fmt.Sprint("doc_", i))
			for rank, match := range ask(make(e.registered[i])).Matches {
				if match.Document.ID == want {
					found++
					if rank == 0 {
						first++
					}
				}
			}
		}
		if e.excerpts > 0 {
			table[kind] = float64(found) / float64(e.excerpts)
			t.Logf("%-10s %-22s recall %.3f, first %.3f", e.name, kind, table[kind], float64(first)/float64(e.excerpts))
		}
	}
	stranger := func() string { return excerpt(e.others[r.IntN(len(e.others))], 108) }
	for _, n := range []int{40, 64, 100, 280} {
		count(fmt.Sprint("verbatim ", n), func(d string) string { return excerpt(d, n) })
	}
	count("64 in 280", func(d string) string { return stranger() + " " + excerpt(d, 64) + " " + stranger() })
	for _, share := range []float64{.05, .10, .15} {
		count(fmt.Sprintf("look-alikes %.0f %%", 100*share), func(d string) string { return misread(r, excerpt(d, 280), share, true) })
		count(fmt.Sprintf("random letters %.0f %%", 100*share), func(d string) string { return misread(r, excerpt(d, 280), share, false) })
	}
	for _, share := range []float64{.10, .20} {
		count(fmt.Sprintf("words replaced %.0f %%", 100*share), func(d string) string { return reword(r, excerpt(d, 280), e.others, share) })
	}
	known := runsOf(e.registered)
	alerts, left := 0, 0
	for n := 0; n < e.strangers; {
		text := excerpt(e.others[r.IntN(len(e.others))], 280)
		if known.share(text) {
			left++ // it does stand in a registered document
			continue
		}
		n++
		if ask(text).Verdict == Unauthorized {
			alerts++
		}
	}
	table["strangers"] = float64(alerts) / float64(e.strangers)
	t.Logf("%-10s %-22s alerts %d of %d at %d documents; left out %d that share %d characters", e.name, "strangers", alerts, e.strangers, len(e.registered), left, sharedRun)
	return table
}

// sharedRun is how many characters a stranger may not have in common, in a row,
// with a registered document: beyond that it is no stranger.
const sharedRun = 40

// runs are the hashes of all runs of sharedRun characters, sorted.
type runs []uint64

// eachRun hashes all runs of a text; false ends it.
func eachRun(text string, yield func(uint64) bool) {
	const base = 0x9E3779B97F4A7C15
	power := uint64(1)
	for range sharedRun {
		power *= base
	}
	chars, sum := fingerprint.Normalize(text).Chars, uint64(0)
	for i, c := range chars {
		sum = sum*base + uint64(c)
		if i >= sharedRun {
			sum -= power * uint64(chars[i-sharedRun])
		}
		if i >= sharedRun-1 && !yield(sum) {
			return
		}
	}
}

func runsOf(texts []string) runs {
	var all runs
	for _, text := range texts {
		eachRun(text, func(h uint64) bool { all = append(all, h); return true })
	}
	slices.Sort(all)
	return all
}

// share reports whether a text has a run in common with the texts.
func (r runs) share(text string) (found bool) {
	eachRun(text, func(h uint64) bool {
		_, found = slices.BinarySearch(r, h)
		return !found
	})
	return found
}

// misread makes the errors of a bad copy in a share of the characters: most are
// replaced, by look-alikes if asked, some are lost and some are doubled.
func misread(r *rand.Rand, text string, share float64, lookAlike bool) string {
	alike := map[rune]string{
		'i': "l1", 'l': "i1", 'o': "0ce", 'e': "co", 'c': "eo", 'n': "urh", 'u': "nv", 'r': "n", 'h': "bn", 'b': "h6", 'm': "n",
		'g': "qy9", 'q': "g", 's': "5", 't': "lf", 'f': "t", '0': "o", '1': "l", '5': "s",
	}
	var b strings.Builder
	for _, c := range text {
		if r.Float64() >= share {
			b.WriteRune(c)
			continue
		}
		switch k := r.IntN(20); {
		case k == 0: // lost
		case k == 1:
			b.WriteString(string(c) + string(c))
		default:
			if choice, ok := alike[c]; ok && lookAlike {
				b.WriteByte(choice[r.IntN(len(choice))])
			} else {
				b.WriteRune('a' + rune(r.IntN(26)))
			}
		}
	}
	return b.String()
}

// reword replaces a share of the words by words of other texts.
func reword(r *rand.Rand, text string, others []string, share float64) string {
	words := strings.Fields(text)
	for i := range words {
		if r.Float64() < share {
			other := strings.Fields(others[r.IntN(len(others))])
			words[i] = other[r.IntN(len(other))]
		}
	}
	return strings.Join(words, " ")
}
