package match

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/index"
)

// TestEval measures how well edited excerpts of registered documents are found,
// and how often texts that are not registered are taken for one. Without
// SEALPRINT_CORPUS it is a small slice on generated texts, which must keep what is
// promised. With the folder of a corpus it measures everything, and writes the
// tables and the plot to the folder that SEALPRINT_QUALITY names.
func TestEval(t *testing.T) {
	t.Run("slice", evalSlice)
	if dir := os.Getenv("SEALPRINT_CORPUS"); dir != "" {
		t.Run("corpus", func(t *testing.T) { evalCorpus(t, dir, os.Getenv("SEALPRINT_QUALITY")) })
	}
}

func evalSlice(t *testing.T) {
	w, generated := generatedSet(t, 200, 100)
	for _, k := range generated.kinds {
		for _, n := range []int{64, 100, 150, 280, 600} {
			if k.name != edits[0].name && k.name != edits[1].name && (k.name != amongOthers || n > 64) {
				continue
			}
			c := generated.cell(t, w, k, n)
			if c.recall < 1 || c.first < 1 {
				t.Errorf("%s, %d characters: recall %.3f, right document first %.3f", k.name, n, c.recall, c.first)
			}
		}
	}
	strangers := w.ask(t, generatedStrangers(200))
	if alerts := count(strangers, func(o outcome) bool { return o.alert }); alerts > 0 {
		t.Errorf("%d of %d strangers are alerts", alerts, len(strangers))
	}
}

// lengths of the excerpts, in normalized characters: the columns of a matrix.
// Everything else is told of excerpts of detailLength.
var lengths = []int{40, 64, 100, 150, 280, 600}

const detailLength = 280

// world is an index of documents, and how to ask it.
type world struct {
	matcher   Matcher
	index     *index.Index
	documents []string
	normal    []string // the same, normalized
}

// evalKey is fixed, so that nothing depends on chance.
var evalKey = "sealprint-key-1:" + strings.Repeat("5e", 32)

func newWorld(t *testing.T, documents []string, window fingerprint.Window) *world {
	t.Helper()
	key, err := fingerprint.ParseKey([]byte(evalKey))
	if err != nil {
		t.Fatal(err)
	}
	l := libraryWith(key)
	ix, err := index.Open(t.TempDir(), key.Params(), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	w := &world{matcher: Matcher{Key: key, Index: ix, Documents: l}, index: ix, documents: documents}
	var sheets []storage.Sheet
	for i, text := range documents {
		sheets = append(sheets, l.enter(string(id(i)), "", 1, window, text))
		w.normal = append(w.normal, normal(text))
	}
	if err := ix.Append(t.Context(), sheets); err != nil {
		t.Fatal(err)
	}
	return w
}

func id(document int) storage.DocumentID {
	return storage.DocumentID(fmt.Sprintf("doc_%05d", document))
}

// question is a suspect text, and what is known of it.
type question struct {
	text     string
	document int              // that it was taken from, or -1
	excerpt  string           // as it was taken, normalized
	quoted   fingerprint.Span // what of the text was taken, in code points
	source   fingerprint.Span // where it stands in the document, in code points; empty if that is not known
}

// outcome is what became of a question. The first three say so of the document
// that it was taken from, or another one that holds the same characters.
type outcome struct {
	recalled          bool // it is an alert
	found             bool // it is among the matches, even if it does not count
	first             bool // it is the first alert
	alert             bool // any document is an alert
	chance            float64
	query, inDocument float64 // how well the spans overlap; -1 if that is not known
	containment       float64
}

// ask asks all questions, on all cores. The outcomes are in the order of the
// questions, whichever came first.
func (w *world) ask(t *testing.T, questions []question) []outcome {
	t.Helper()
	outcomes := make([]outcome, len(questions))
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(questions) {
					return
				}
				report, err := w.matcher.Match(t.Context(), Query{Text: questions[i].text, SeenAt: time.Unix(1_800_000_000, 0), Scope: storage.Everywhere(), Suppressed: true})
				if err != nil {
					t.Error(err)
					return
				}
				outcomes[i] = w.outcome(questions[i], report)
			}
		})
	}
	all.Wait()
	return outcomes
}

func (w *world) outcome(q question, report *Report) outcome {
	o := outcome{chance: 1, query: -1, inDocument: -1}
	for _, m := range report.Matches {
		if m.Disposition == Alert || m.Disposition == BelowThreshold {
			o.chance = min(o.chance, m.ExpectedByChance)
		}
		first := m.Disposition == Alert && !o.alert
		o.alert = o.alert || m.Disposition == Alert
		if q.document < 0 || !w.right(q, m) {
			continue
		}
		o.containment = max(o.containment, m.Query)
		o.found = o.found || m.Disposition != BelowThreshold
		o.first = o.first || first
		if m.Disposition != Alert || o.recalled {
			continue
		}
		o.recalled = true
		var query, document []fingerprint.Span
		for _, p := range m.Passages {
			query, document = append(query, p.Query), append(document, p.Place.Span)
		}
		o.query = overlapOf(query, q.quoted)
		if m.Document.ID == id(q.document) && q.source.Len() > 0 {
			o.inDocument = overlapOf(document, q.source)
		}
	}
	return o
}

// right reports whether a match names the document that a question was taken
// from. Laws repeat each other: a document that holds the same characters is as
// right.
func (w *world) right(q question, m Match) bool {
	is := func(d storage.DocumentID) bool {
		if d == id(q.document) {
			return true
		}
		var other int
		_, err := fmt.Sscanf(string(d), "doc_%d", &other)
		return err == nil && q.excerpt != "" && strings.Contains(w.normal[other], q.excerpt)
	}
	return is(m.Document.ID) || slices.ContainsFunc(m.Versions, func(r Relative) bool { return is(r.Document) })
}

// overlapOf is the F-measure of the characters of some spans against the truth.
func overlapOf(spans []fingerprint.Span, truth fingerprint.Span) float64 {
	told := map[int]bool{}
	common := 0
	for _, s := range spans {
		for i := s.Start; i < s.End; i++ {
			if !told[i] && i >= truth.Start && i < truth.End {
				common++
			}
			told[i] = true
		}
	}
	return 2 * float64(common) / float64(len(told)+truth.Len())
}

func count(outcomes []outcome, is func(outcome) bool) (n int) {
	for _, o := range outcomes {
		if is(o) {
			n++
		}
	}
	return n
}

// set is a kind of documents, with the questions that are asked about them.
type set struct {
	name, about string
	each        int // questions in each cell of its table
	kinds       []kind
}

// kind makes questions of one kind: taken from n characters.
type kind struct {
	name string
	ask  func(r *rand.Rand, n int) question
}

// cell is the summary of one kind of questions at one length.
type cell struct{ recall, found, first, query, inDocument float64 }

func (s *set) cell(t *testing.T, w *world, k kind, n int) (c cell) {
	t.Helper()
	r := seeded(s.name, k.name, fmt.Sprint(n))
	questions := make([]question, s.each)
	for i := range questions {
		questions[i] = k.ask(r, n)
	}
	outcomes := w.ask(t, questions)
	recalled := count(outcomes, func(o outcome) bool { return o.recalled })
	mean := func(of func(outcome) float64) float64 {
		sum, known := 0.0, 0
		for _, o := range outcomes {
			if v := of(o); v >= 0 {
				sum, known = sum+v, known+1
			}
		}
		return sum / float64(known) // not a number if none is known
	}
	all := float64(len(outcomes))
	return cell{
		recall: float64(recalled) / all,
		found:  float64(count(outcomes, func(o outcome) bool { return o.found })) / all,
		first:  float64(count(outcomes, func(o outcome) bool { return o.first })) / float64(recalled),
		query:  mean(func(o outcome) float64 { return o.query }), inDocument: mean(func(o outcome) float64 { return o.inDocument }),
	}
}

// seeded makes the numbers of one cell, whatever other cells there are.
func seeded(names ...string) *rand.Rand {
	h := fnv.New64a()
	for _, n := range names {
		fmt.Fprintf(h, "%s\n", n)
	}
	return rand.New(rand.NewPCG(h.Sum64(), 8))
}

// excerpt takes n characters of one of the documents numbered from first on.
func (w *world) excerpt(r *rand.Rand, first, documents, n int) (q question, raw string) {
	i := first + r.IntN(documents)
	for len(w.normal[i]) < n || fingerprint.Normalize(w.documents[i]).Len() < n {
		i = first + r.IntN(documents)
	}
	text := fingerprint.Normalize(w.documents[i])
	start := r.IntN(text.Len() - n + 1)
	source := text.Source(fingerprint.Span{Start: start, End: start + n})
	raw = string([]rune(w.documents[i])[source.Start:source.End])
	return question{document: i, excerpt: normal(raw), source: source}, raw
}

// stranger takes n characters of some texts.
func stranger(r *rand.Rand, texts []string, n int) string {
	for {
		text := texts[r.IntN(len(texts))]
		if have := fingerprint.Normalize(text).Len(); have >= n {
			return run(text, r.IntN(have-n+1), n)
		}
	}
}

const (
	amongOthers = "quotation among 216 characters of others"
	inARant     = "quotation in a rant of 1,500 characters"
)

// kinds are the questions about the documents numbered from first on: their
// edits, and if there are texts of others, quotations among these.
func (w *world) kinds(first, documents int, edits []edit, others []string) (kinds []kind) {
	for _, e := range edits {
		kinds = append(kinds, kind{e.name, func(r *rand.Rand, n int) question {
			q, raw := w.excerpt(r, first, documents, n)
			q.text = e.change(r, raw, others)
			q.quoted = fingerprint.Span{End: len([]rune(q.text))}
			return q
		}})
	}
	among := func(name string, n int, text func(r *rand.Rand, n int) string) {
		kinds = append(kinds, kind{name, func(r *rand.Rand, m int) question {
			q, raw := w.excerpt(r, first, documents, m)
			before := text(r, n/2) + " "
			q.text = before + raw + " " + text(r, n-n/2)
			q.quoted.Start = len([]rune(before))
			q.quoted.End = q.quoted.Start + len([]rune(raw))
			return q
		}})
	}
	of := func(r *rand.Rand, n int) string { return stranger(r, others, n) }
	among(amongOthers, 216, of)
	among(inARant, 1500, of)
	return kinds
}

// generatedSet is prose that no registry has seen.
func generatedSet(t *testing.T, documents, each int) (*world, *set) {
	t.Helper()
	var registered, others []string
	for i := range uint64(documents) {
		registered = append(registered, fingerprinttest.Prose(i, documentSize))
		others = append(others, fingerprinttest.Prose(1_000_000+i, 2000))
	}
	w := newWorld(t, registered, fingerprint.Dense)
	return w, &set{
		name: "Generated prose", each: each, kinds: w.kinds(0, documents, edits, others),
		about: fmt.Sprintf("%s documents of 10 KB of made-up words, which any machine can make again.", thousands(documents)),
	}
}

func generatedStrangers(n int) (questions []question) {
	r := seeded("generated strangers")
	for i := range uint64(n) {
		questions = append(questions, question{document: -1, text: stranger(r, []string{fingerprinttest.Prose(2_000_000+i, 2000)}, detailLength)})
	}
	return questions
}

// negatives are questions about nothing that is registered.
type negatives struct {
	name   string
	asked  []float64 // the best chance of each
	alerts int
	left   int // that share a run with a registered document, so that they are no strangers
}

func (w *world) negatives(t *testing.T, name string, questions []question, left int) negatives {
	t.Helper()
	n := negatives{name: name, left: left}
	for _, o := range w.ask(t, questions) {
		n.asked = append(n.asked, o.chance)
		if o.alert {
			n.alerts++
		}
	}
	return n
}

// within is how many of the questions had a match at least this unlikely.
func (n negatives) within(chance float64) (count int) {
	for _, c := range n.asked {
		if c <= chance {
			count++
		}
	}
	return count
}

func evalCorpus(t *testing.T, dir, out string) {
	c := corpus{t, dir}
	r := &report{}

	generated, set1 := generatedSet(t, 1000, 300)
	r.set(t, generated, set1)
	prose := generated.negatives(t, "generated prose, 280", generatedStrangers(5000), 0)

	// All others stand in one index.
	var documents []string
	add := func(texts []string) (first int) {
		first = len(documents)
		documents = append(documents, texts...)
		return first
	}
	laws, otherLaws := c.acts()
	add(laws)
	add(c.moreLaws())
	allLaws := len(documents)
	read, again := c.cables()
	cables := add(read)
	papers, ocr := c.periodicals()
	periodicals := add(papers)
	articles, abstracts := c.urdu()
	urdu := add(articles)
	wikipedia, answers := c.answers()
	sources := add(wikipedia)
	const copies = 8
	for i := range templates {
		for n := range uint64(copies) {
			add([]string{fill(templates[i], n)})
		}
	}
	w := newWorld(t, documents, fingerprint.Dense)
	known := runsOf(documents)
	// Speeches may quote a registered text; what goes around a quotation must not.
	var strangers []string
	speeches := c.speeches()
	for _, s := range speeches {
		for _, piece := range cut(s) {
			if !known.share(piece) {
				strangers = append(strangers, piece)
			}
		}
	}
	r.documents = len(documents)

	r.set(t, w, &set{
		name: "Laws", each: 300, kinds: w.kinds(0, len(laws), edits, strangers),
		about: fmt.Sprintf("Acts of one country, cut into %s documents of 10 KB, beside %s documents of laws of another. Laws repeat each other: what stands in five documents of different origin is boilerplate and no alert, and counts as found but not as recalled.", thousands(len(laws)), thousands(allLaws-len(laws))),
	})
	r.set(t, w, &set{
		name: "Urdu", each: 300, kinds: w.kinds(urdu, len(articles), urduEdits, transliteratedAll(strangers)),
		about: fmt.Sprintf("%d articles and a declaration.", len(articles)-1),
	})
	r.set(t, w, &set{
		name: "Real OCR", each: 300, kinds: append(w.reread(cables, again), w.proofread(periodicals, papers, ocr)),
		about: fmt.Sprintf("%d typewritten cables, bad copies: registered is what one engine read, asked is what another engine read. In good excerpts seven words of ten (of four letters or more) stand in the first reading, too. And %d documents of newspapers: registered is the proofread text, asked is what the engine read.", len(read), len(papers)),
	})
	r.revision(t, w, sources, answers)
	r.abstracts(t, w, urdu, abstracts)

	other := func(name string, texts []string, n, length int) negatives {
		rnd := seeded(name)
		var questions []question
		left := 0
		for len(questions) < n && left < 20*n {
			if text := stranger(rnd, texts, length); known.share(text) {
				left++
			} else {
				questions = append(questions, question{document: -1, text: text})
			}
		}
		return w.negatives(t, name, questions, left)
	}
	var posts []question
	left := 0
	for _, post := range c.posts() {
		if known.share(post) {
			left++
		} else {
			posts = append(posts, question{document: -1, text: post})
		}
	}
	var whole, heads []question
	for i, template := range templates {
		for n := range 125 {
			text := fill(template, uint64(1000*(i+1)+n))
			whole = append(whole, question{document: -1, text: text})
			heads = append(heads, question{document: -1, text: run(text, 0, detailLength)})
		}
	}
	r.negatives = []negatives{
		prose,
		w.negatives(t, "posts", posts, left),
		other("speeches, 280", speeches, 5000, 280),
		other("other laws, 280", otherLaws, 5000, 280),
		other("other laws, 1,500", otherLaws, 1500, 1500),
		w.negatives(t, "filled-in templates, 280", heads, 0),
		w.negatives(t, "filled-in templates, whole", whole, 0),
	}
	r.size(t, laws)
	if out != "" {
		// The last section is that of pictures, which are measured elsewhere.
		path := filepath.Join(out, "quality.md")
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, pictures, _ := strings.Cut(string(before), "\n## Pictures of pages\n")
		write(t, path, r.markdown()+"\n## Pictures of pages\n"+pictures)
		write(t, filepath.Join(out, "quality-calibration.svg"), calibration(r.negatives))
	}
	t.Log("\n" + r.markdown())
}

func transliteratedAll(texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, transliterated(text))
	}
	return all
}

// reread asks for documents with what another engine read on the same pages.
func (w *world) reread(first int, again []string) []kind {
	words := make([]map[string]bool, len(again))
	for i := range words {
		words[i] = wordsOf(w.documents[first+i])
	}
	draw := func(r *rand.Rand, n int) (question, int) {
		for {
			i := r.IntN(len(again))
			if have := fingerprint.Normalize(again[i]).Len(); have >= n {
				text := run(again[i], r.IntN(have-n+1), n)
				return question{text: text, document: first + i, quoted: fingerprint.Span{End: len([]rune(text))}}, i
			}
		}
	}
	return []kind{
		{"cables, all excerpts", func(r *rand.Rand, n int) question { q, _ := draw(r, n); return q }},
		{"cables, good excerpts", func(r *rand.Rand, n int) question {
			for {
				if q, i := draw(r, n); agrees(words[i], q.text) {
					return q
				}
			}
		}},
	}
}

// proofread asks for proofread documents with what an engine read.
func (w *world) proofread(first int, papers []string, ocr string) kind {
	there := align([]string{ocr}, papers)
	text, chars := fingerprint.Normalize(ocr), []rune(ocr)
	var ends []int // of the papers, in their characters
	for i := range papers {
		ends = append(ends, fingerprint.Normalize(papers[i]).Len())
		if i > 0 {
			ends[i] += ends[i-1]
		}
	}
	return kind{"newspapers", func(r *rand.Rand, n int) question {
		for {
			start := r.IntN(text.Len() - n)
			excerpt := fingerprint.Span{Start: start, End: start + n}
			in, ok := there.of(excerpt)
			i, _ := slices.BinarySearch(ends, in.Start+1)
			if !ok || i == len(ends) || in.End > ends[i] {
				continue
			}
			if i > 0 {
				in.Start, in.End = in.Start-ends[i-1], in.End-ends[i-1]
			}
			raw := text.Source(excerpt)
			return question{
				text: string(chars[raw.Start:raw.End]), document: first + i,
				quoted: fingerprint.Span{End: raw.Len()}, source: fingerprint.Normalize(papers[i]).Source(in),
			}
		}
	}}
}

// report is what is written down.
type report struct {
	documents                    int
	sets, revised, abstract, fit strings.Builder
	negatives                    []negatives
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func digits(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

// row writes a row of a table.
func row(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// head writes the first rows of a table.
func head(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString("|---|" + strings.Repeat("---:|", len(cells)-1) + "\n")
}

func (r *report) set(t *testing.T, w *world, s *set) {
	t.Helper()
	fmt.Fprintf(&r.sets, "\n### %s\n\n%s %d excerpts in each cell.\n\nRecall by length in normalized characters:\n\n", s.name, s.about, s.each)
	titles := []string{"edit"}
	for _, n := range lengths {
		titles = append(titles, fmt.Sprint(n))
	}
	head(&r.sets, titles...)
	var detail strings.Builder
	fmt.Fprintf(&detail, "\nAt %d characters:\n\n", detailLength)
	head(&detail, "edit", "recall", "found", "right first", "overlap, suspect", "overlap, document")
	for _, k := range s.kinds {
		cells := []string{k.name}
		for _, n := range lengths {
			c := s.cell(t, w, k, n)
			cells = append(cells, digits(c.recall))
			if n == detailLength {
				row(&detail, k.name, digits(c.recall), digits(c.found), digits(c.first), digits(c.query), digits(c.inDocument))
			}
		}
		row(&r.sets, cells...)
	}
	r.sets.WriteString(detail.String())
}

func (r *report) revision(t *testing.T, w *world, first int, answers []answer) {
	t.Helper()
	head(&r.revised, "answers", "number", "alerts", "mean containment.query")
	for _, label := range []string{"cut", "light", "heavy", "non"} {
		var questions []question
		for _, a := range answers {
			if a.label == label {
				questions = append(questions, question{text: a.text, document: first + a.source})
			}
		}
		r.share(&r.revised, label, w.ask(t, questions))
	}
}

func (r *report) abstracts(t *testing.T, w *world, first int, abstracts []string) {
	t.Helper()
	head(&r.abstract, "texts", "number", "alerts", "mean containment.query")
	var questions []question
	for i, text := range abstracts {
		questions = append(questions, question{text: text, document: first + i})
	}
	r.share(&r.abstract, "abstracts", w.ask(t, questions))
}

func (r *report) share(b *strings.Builder, name string, outcomes []outcome) {
	sum, all := 0.0, float64(len(outcomes))
	for _, o := range outcomes {
		sum += o.containment
	}
	alerts := count(outcomes, func(o outcome) bool { return o.recalled })
	row(b, name, fmt.Sprint(len(outcomes)), digits(float64(alerts)/all), digits(sum/all))
}

func (r *report) size(t *testing.T, texts []string) {
	t.Helper()
	bytes, lengths := 0, 0
	for _, text := range texts {
		bytes, lengths = bytes+len(text), lengths+fingerprint.Normalize(text).Len()
	}
	fmt.Fprintf(&r.fit, "%s documents, %s bytes of text, %s normalized characters.\n\n", thousands(len(texts)), thousands(bytes), thousands(lengths))
	head(&r.fit, "setting", "window", "postings", "bytes of index a posting", "bytes of index a byte of text")
	for _, window := range []fingerprint.Window{fingerprint.Dense, fingerprint.Sparse} {
		w := newWorld(t, texts, window)
		if err := w.index.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		stats, err := w.index.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		row(&r.fit, map[fingerprint.Window]string{fingerprint.Dense: "dense", fingerprint.Sparse: "sparse"}[window], fmt.Sprint(int(window)), thousands(int(stats.Postings)),
			digits(float64(stats.Bytes)/float64(stats.Postings)), digits(float64(stats.Bytes)/float64(bytes)))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// predictions are the values of expected_by_chance that the table compares.
var predictions = []float64{.1, .03, .01, .003, .001}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, thousands(r.documents))
	b.WriteString("\n## How well edited copies are found\n" + r.sets.String())
	b.WriteString("\n## Revision\n\n" + revision + "\n" + r.revised.String())
	b.WriteString("\n## Abstracts\n\n" + abstract + "\n" + r.abstract.String())
	b.WriteString("\n## False alarms\n\n" + falseAlarms + "\n")
	head(&b, "texts", "asked", "left out", "alerts", "expected")
	for _, n := range r.negatives {
		row(&b, n.name, thousands(len(n.asked)), thousands(n.left), fmt.Sprint(n.alerts), fmt.Sprintf("%.1f", ChanceThreshold*float64(len(n.asked))))
	}
	b.WriteString("\n" + calibrated + "\n")
	titles := []string{"texts"}
	for _, p := range predictions {
		titles = append(titles, fmt.Sprintf("≤ %g", p))
	}
	head(&b, titles...)
	for _, n := range r.negatives {
		cells := []string{n.name}
		for _, p := range predictions {
			cells = append(cells, fmt.Sprintf("%d of %.1f", n.within(p), p*float64(len(n.asked))))
		}
		row(&b, cells...)
	}
	b.WriteString("\n![Predicted and observed share of look-ups](quality-calibration.svg)\n")
	b.WriteString("\n## Size of the index\n\nThe laws: " + r.fit.String())
	return b.String()
}

const introduction = `# Quality: what is found, and what is a false alarm

This file is made by

	make eval SEALPRINT_CORPUS=DIR

and kept in git, so that a change of the algorithm shows as a change of these numbers. Same code and same corpus give the same file.

- **Recall**: of a hundred leaked texts, how many are reported as an alert that names the right document. 0.950 means 95 of a hundred.
- **Found**: the same, but counting also matches that are named without being an alert, because the passage is public text or stands in many
  documents (boilerplate).
- **Right first**: of the alerts that name the right document, how many name it first.
- **Overlap**: how well the marked passage agrees with the true one, on the side of the suspect text and on that of the document (F-measure of
  characters: 1 is exact). It is the mean of what was recalled.
- **False alarm**: an alert about a text that was taken from no registered document.
- **expected_by_chance**: how many documents of an index of this size would match this well if nothing had leaked. At 0.001, one such match comes up in a
  thousand look-ups of innocent texts. A match is an alert at 0.0005 or less.
- Lengths are in **normalized characters**: letters and digits. 280 of them are about 350 characters of English as it is printed.

Generated prose has an index of its own. All other sets stand in one index of %s documents and compete with each other.

## What holds recall back

- **Laws repeat each other.** What stands in five documents of different origin is boilerplate, on purpose. That is the difference between
  "found" and "recall" in the table of laws, and nearly all of what is missing there at 280 characters. The same holds for the forms and
  stamps of an archive in the cables: most of the good excerpts that are no alert hold them.
- **Length.** A stranger of the same trade shares a phrase of 40 characters now and then. Below a hundred characters there is room for one
  island of agreement only, and one island is what strangers have.
- **Words dropped or swapped** shift what follows: each shift is a new diagonal, and a match that changes it often is worth less.
- **Errors of 15 %% and more** leave a gram of ten characters whole one time in five. The second look, which accepts one misread character
  where a gram has to stand, finds some of what the first one misses; characters that are lost or gained inside a gram still hide it.
`

const revision = `Students answered questions from an encyclopedia's article: by copying and pasting (cut), with light and heavy revision, or without having
seen it (non). The alert has to name the right article.
`

const abstract = `Abstracts of the registered Urdu articles, in other words: neither copies nor strangers. The alert has to name the right article.
`

const falseAlarms = `Texts that are not registered. Those that share 40 normalized characters in a row with a registered document are left out, because they
are no strangers; templates are not, they stand in eight registered documents each, filled in differently. "Expected" is what the threshold
promises.
`

const calibrated = `How many of these texts had a best match with at most this expected_by_chance, of how many were predicted. Fewer is the safe side.
Texts of another trade than the registered ones are far on the safe side.
`

// calibration draws the observed share of look-ups that had such a match over the
// predicted one.
func calibration(sets []negatives) string {
	const (
		left, top, size = 80, 30, 440
		least           = -4.0 // decades
	)
	at := func(log10 float64) float64 { return size * (log10 - least) / -least }
	x := func(v float64) float64 { return left + at(math.Log10(v)) }
	y := func(v float64) float64 { return top + size - at(math.Log10(v)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#222">`+"\n", left+size+230, top+size+70)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	fmt.Fprintf(&b, `<clipPath id="frame"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>`+"\n", left, top, size, size)
	// The band of a factor of three, and the diagonal.
	low, high := math.Pow(10, least), 1.0
	fmt.Fprintf(&b, `<g clip-path="url(#frame)"><polygon fill="#eee" points="%.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f"/>`+"\n", x(low), y(3*low), x(high), y(3*high), x(high), y(high/3), x(low), y(low/3))
	fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#888" stroke-dasharray="5 4"/></g>`+"\n", x(low), y(low), x(high), y(high))
	for decade := least; decade <= 0; decade++ {
		v := math.Pow(10, decade)
		fmt.Fprintf(&b, `<path d="M%.1f %d v%d M%d %.1f h%d" stroke="#ddd"/>`+"\n", x(v), top, size, left, y(v), size)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%g</text><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", x(v), top+size+18, v, left-8, y(v)+4, v)
	}
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#222"/>`+"\n", left, top, size, size)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">predicted: expected_by_chance at most</text>`+"\n", left+size/2, top+size+46)
	fmt.Fprintf(&b, `<text transform="translate(22 %d) rotate(-90)" text-anchor="middle">observed: share of look-ups with such a match</text>`+"\n", top+size/2)
	colors := []string{"#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000"}
	for i, n := range sets {
		var points []string
		for step := 0; step <= 16; step++ {
			chance := math.Pow(10, -float64(step)/4)
			// Fewer than three say nothing.
			if found := n.within(chance); found >= 3 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(chance), y(float64(found)/float64(len(n.asked)))))
			}
		}
		color, legend := colors[i%len(colors)], top+10+22*i
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", color, strings.Join(points, " "))
		fmt.Fprintf(&b, `<path d="M%d %d h24" stroke="%s" stroke-width="2"/><text x="%d" y="%d">%s</text>`+"\n", left+size+16, legend, color, left+size+46, legend+4, n.name)
	}
	note := top + 30 + 22*len(sets)
	for i, line := range []string{"dashed: observed as predicted", "gray: within a factor of 3", "below the diagonal: safe side", "drawn from 3 look-ups on"} {
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#666">%s</text>`+"\n", left+size+16, note+20*i, line)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
