package match

import (
	"archive/zip"
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// corpus is the folder of texts that TestEval reads. They are never copied.
type corpus struct {
	testing.TB
	dir string
}

func (c corpus) read(name string) string {
	c.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.Fatal(err)
	}
	return strings.ToValidUTF8(strings.TrimPrefix(string(content), "\ufeff"), "")
}

func (c corpus) open(name string) *gzip.Reader {
	c.Helper()
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { f.Close() })
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		c.Fatal(err)
	}
	return unzipped
}

// names lists the files of a folder, in order.
func (c corpus) names(dir string) (names []string) {
	c.Helper()
	entries, err := os.ReadDir(filepath.Join(c.dir, dir))
	if err != nil {
		c.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// documentSize is how long the documents are that longer texts are cut into, in
// code points.
const documentSize = 10_000

// cut makes documents of a text; a short rest is left out.
func cut(text string) (documents []string) {
	for rest := []rune(text); len(rest) > documentSize/10; {
		n := min(len(rest), documentSize)
		documents = append(documents, string(rest[:n]))
		rest = rest[n:]
	}
	return documents
}

// acts are the laws of one country; every third is not registered.
func (c corpus) acts() (registered, others []string) {
	decoder := json.NewDecoder(bufio.NewReader(c.open("text/pakistan-code.jsonl.gz")))
	for n := 0; decoder.More(); n++ {
		var act struct{ Provisions []struct{ Text string } }
		if err := decoder.Decode(&act); err != nil {
			c.Fatal(err)
		}
		var b strings.Builder
		for _, p := range act.Provisions {
			b.WriteString(p.Text + "\n")
		}
		if n%3 == 0 {
			others = append(others, cut(b.String())...)
		} else {
			registered = append(registered, cut(b.String())...)
		}
	}
	return registered, others
}

// moreLaws are those of another country.
func (c corpus) moreLaws() (documents []string) {
	decoder := json.NewDecoder(bufio.NewReader(c.open("text/dc-law-2500.jsonl.gz")))
	for decoder.More() {
		var law struct{ Text string }
		if err := decoder.Decode(&law); err != nil {
			c.Fatal(err)
		}
		documents = append(documents, cut(law.Text)...)
	}
	return documents
}

func (c corpus) speeches() (texts []string) {
	for _, name := range []string{"state_union", "inaugural"} {
		z, err := zip.OpenReader(filepath.Join(c.dir, "text", name+".zip"))
		if err != nil {
			c.Fatal(err)
		}
		defer z.Close()
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, ".txt") || strings.Contains(f.Name, "README") {
				continue
			}
			r, err := f.Open()
			if err != nil {
				c.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				c.Fatal(err)
			}
			texts = append(texts, strings.ToValidUTF8(string(text), ""))
		}
	}
	return texts
}

func (c corpus) posts() (texts []string) {
	for line := range strings.Lines(c.read("negatives/historyatstate-tweets.tsv")) {
		fields := strings.Split(line, "\t")
		texts = append(texts, strings.TrimSpace(fields[len(fields)-1]))
	}
	return texts
}

// urdu are articles, their abstracts in the same order, and a declaration.
func (c corpus) urdu() (documents, abstracts []string) {
	for _, name := range c.names("gold/urdu-summary") {
		base, ok := strings.CutSuffix(name, "sum.txt")
		if !ok {
			continue
		}
		documents = append(documents, c.read("gold/urdu-summary/"+base+".txt"))
		abstracts = append(abstracts, c.read("gold/urdu-summary/"+name))
	}
	return append(documents, c.read("text/udhr/urd.txt")), abstracts
}

// cables are the same pages as two engines read them.
func (c corpus) cables() (first, second []string) {
	for _, name := range c.names("gold/jfk-two-ocr/a-gemini") {
		first = append(first, c.read("gold/jfk-two-ocr/a-gemini/"+name))
		second = append(second, c.read("gold/jfk-two-ocr/b-applevision/"+name))
	}
	return first, second
}

// periodicals are newspapers, as proofread and as an engine read them.
func (c corpus) periodicals() (documents []string, ocr string) {
	texts := [2]string{}
	for i, name := range []string{"gold/EngPerioGS.txt.gz", "gold/EngPerioInput.txt.gz"} {
		content, err := io.ReadAll(c.open(name))
		if err != nil {
			c.Fatal(err)
		}
		texts[i] = strings.ReplaceAll(string(content), "@", "")
	}
	return cut(texts[0]), texts[1]
}

// answer is a student's answer to a question that one of the sources answers.
type answer struct {
	label, text string
	source      int
}

func (c corpus) answers() (sources []string, answers []answer) {
	const tasks = "abcde"
	for _, task := range tasks {
		sources = append(sources, c.read(fmt.Sprintf("gold/clough-stevenson/orig_task%c.txt", task)))
	}
	rows, err := csv.NewReader(strings.NewReader(c.read("gold/clough-stevenson/file_information.csv"))).ReadAll()
	if err != nil {
		c.Fatal(err)
	}
	for _, row := range rows {
		if source := strings.Index(tasks, row[1]); source >= 0 && row[2] != "orig" && len(row[1]) == 1 {
			answers = append(answers, answer{row[2], c.read("gold/clough-stevenson/" + row[0]), source})
		}
	}
	return sources, answers
}

// templates are what offices fill in again and again.
var templates = []string{
	`GOVERNMENT OF THE PROVINCE
{office}
No. {number}/Admn	Dated {place}, the {date}
OFFICE MEMORANDUM
Subject: Compliance with instructions issued from time to time
The undersigned is directed to refer to the subject noted above and to say that the competent authority has been pleased to desire that the following be brought to the notice of all concerned for strict compliance.
{body}
2. All heads of attached departments are requested to circulate these instructions among the officers and staff working under their administrative control, and to furnish a compliance report to this office within seven days positively.
3. This issues with the approval of the competent authority.
({name}) Section Officer, {office}. Distribution: as per standard list.`,
	`TO BE PUBLISHED IN THE NEXT ISSUE OF THE OFFICIAL GAZETTE, PART I
{office}
{place}, the {date}
NOTIFICATION
No. {number}. In exercise of the powers conferred by the rules in this behalf, and in supersession of all previous notifications on the subject, the Government is pleased to order as follows with immediate effect and until further orders.
{body}
By order of the Government. ({name}), Deputy Secretary. A copy is forwarded to the Manager, Government Printing Press, with the request to supply fifty copies of the gazette to this office.`,
	`{office}, {place}
No. {number}	{date}
SUBJECT: GRANT OF EARNED LEAVE
Sanction is hereby accorded to the grant of earned leave on full average pay to {name}, with permission to prefix and suffix the gazetted holidays falling at either end of the period, as recommended by the controlling officer.
{body}
On the expiry of the leave the officer shall report for duty to the same station. It is certified that the leave was applied for on the prescribed form and that the title to it has been verified by the audit office concerned.
Copy to the Accountant General for information and necessary action, and to the officer concerned.`,
	`{office}
TENDER NOTICE No. {number}
Sealed bids are invited from well-reputed firms registered with the income tax and sales tax departments for the supply described below, on the single stage two envelope procedure. Bidding documents can be obtained from the office of the undersigned during working hours on payment of a fee that is not refundable.
{body}
Bids must reach the office in {place} on or before {date} and will be opened half an hour later in the presence of the bidders who may wish to attend. Bid security of two percent of the quoted price shall be attached in the shape of a call deposit. The procuring agency may reject all bids at any time prior to the acceptance of a bid. {name}, Purchase Officer.`,
	`{office}
{place}, dated {date}
ORDER
No. {number}. The following transfers and postings are hereby ordered, in the public interest, with immediate effect and against the vacancies noted, and no request for cancellation shall be entertained.
{body}
The officers shall relinquish the charge of their present posts forthwith and report at their new places of posting without availing joining time. No travelling allowance shall be admissible to those who were transferred at their own request. Charge reports shall be sent to this office for record. {name}, Director, Establishment.`,
	`HANDOUT No. {number}
{office}, {place}, {date}
FOR IMMEDIATE RELEASE: not to be quoted before it has been issued by the duty officer of the department
{body}
Note to editors: photographs and video footage of the meeting are available at the media cell of the department on request. For further information please contact {name}, Public Relations Officer, during office hours. This handout is issued for the information of the general public and has no legal effect.`,
	`حکومت صوبہ
{office}
نمبر {number}	مورخہ {date}
دفتری یادداشت
عنوان: ہدایات پر عمل درآمد
زیر دستخطی کو ہدایت کی گئی ہے کہ مندرجہ بالا عنوان کے حوالے سے عرض کرے کہ مجاز حاکم نے درج ذیل امور تمام متعلقہ افسران کے علم میں لانے کی منظوری دی ہے تاکہ ان پر سختی سے عمل کیا جائے۔
{body}
تمام ماتحت دفاتر کے سربراہان سے گزارش ہے کہ یہ ہدایات اپنے زیر انتظام افسران اور عملے تک پہنچائیں اور سات دن کے اندر تعمیل کی رپورٹ اس دفتر کو ارسال کریں۔
یہ مراسلہ مجاز حاکم کی منظوری سے جاری کیا جاتا ہے۔ {name}، سیکشن افسر`,
	`سرکاری گزٹ کی آئندہ اشاعت میں شائع کیا جائے
{office}
{date}
اعلامیہ
نمبر {number}۔ قواعد کے تحت حاصل شدہ اختیارات کو بروئے کار لاتے ہوئے اور اس موضوع پر تمام سابقہ اعلامیوں کو منسوخ کرتے ہوئے حکومت فوری طور پر اور تا حکم ثانی درج ذیل حکم جاری کرتی ہے۔
{body}
نقل برائے اطلاع و ضروری کارروائی تمام محکموں کے سیکرٹریوں، ڈویژنل کمشنروں اور ضلعی افسران کو ارسال کی جاتی ہے۔ حسب الحکم حکومت، {name}، ڈپٹی سیکرٹری`,
}

// fill fills a template in; no two seeds make the same.
func fill(template string, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 5))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	body := fingerprinttest.Prose(7_000_000+seed, 3000)
	office := "Department of " + one("Finance", "Education", "Irrigation", "Health", "Works", "Labor") + " " + one("and Planning", "and Services", "and Coordination")
	name := one("A.", "B.", "K.", "M.", "S.", "Z.") + " " + one("Ahmed", "Baig", "Chaudhry", "Durrani", "Khan", "Mirza", "Qureshi", "Shah")
	place := one("Lahore", "Karachi", "Quetta", "Peshawar", "Multan", "Gilgit")
	date := fmt.Sprintf("%d %s %d", 1+r.IntN(28), one("January", "March", "May", "June", "August", "October"), 2015+r.IntN(11))
	if strings.ContainsRune(template, 'ک') {
		body = transliterated(body)
		office = "محکمہ " + one("خزانہ", "تعلیم", "آبپاشی", "صحت", "محنت")
		name = one("احمد", "بیگ", "خان", "مرزا", "شاہ")
		date = fmt.Sprintf("%d/%d/%d", 1+r.IntN(28), 1+r.IntN(12), 2015+r.IntN(11))
	}
	return strings.NewReplacer("{office}", office, "{name}", name, "{place}", place, "{date}", date, "{number}", fmt.Sprint(100+r.IntN(9000)), "{body}", body).Replace(template)
}

// transliterated writes generated prose in the letters of Urdu.
func transliterated(text string) string {
	const latin = "abcdefghijklmnopqrstuvwxyz"
	letters := []rune("ابچدےفگہیجکلمنوپقرستطوؤخزژ")
	return strings.Map(func(c rune) rune {
		if i := strings.IndexRune(latin, unicode.ToLower(c)); i >= 0 {
			return letters[i]
		}
		return c
	}, text)
}

// sharedRun is how many characters a stranger may not have in common, in a row,
// with a registered document: beyond that it is no stranger.
const sharedRun = 40

// runs are the hashes of all runs of sharedRun characters, sorted.
type runs []uint64

// eachRun hashes all runs of a text, in order; false ends it.
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

// alignment maps the normalized characters of one text to those of another, by
// the runs that stand once in either.
type alignment [][2]int

func align(from, to []string) (a alignment) {
	once := func(texts []string) map[uint64]int {
		at, n := map[uint64]int{}, 0
		for _, text := range texts {
			i := n
			eachRun(text, func(h uint64) bool {
				if _, ok := at[h]; ok {
					at[h] = -1
				} else {
					at[h] = i
				}
				i++
				return true
			})
			n += fingerprint.Normalize(text).Len()
		}
		return at
	}
	there := once(to)
	for h, i := range once(from) {
		if j, ok := there[h]; ok && i >= 0 && j >= 0 {
			a = append(a, [2]int{i, j})
		}
	}
	slices.SortFunc(a, func(x, y [2]int) int { return x[0] - y[0] })
	return a
}

// of maps a span by the nearest runs on both sides; false if these do not say
// where it is.
func (a alignment) of(s fingerprint.Span) (fingerprint.Span, bool) {
	i, _ := slices.BinarySearchFunc(a, s.Start+1, func(x [2]int, at int) int { return x[0] - at })
	j, _ := slices.BinarySearchFunc(a, s.End-sharedRun, func(x [2]int, at int) int { return x[0] - at })
	if i == 0 || j == len(a) {
		return fingerprint.Span{}, false
	}
	before, after := a[i-1], a[j]
	mapped := fingerprint.Span{Start: before[1] + s.Start - before[0], End: after[1] + s.End - after[0]}
	return mapped, after[0]-before[0] < 3*s.Len()+500 && 4*mapped.Len() > 3*s.Len() && 3*mapped.Len() < 4*s.Len()
}

// edits are what happens to a text on its way, in the order of the tables.
type edit struct {
	name   string
	change func(r *rand.Rand, text string, others []string) string
}

var edits = func() (list []edit) {
	add := func(name string, change func(r *rand.Rand, text string, others []string) string) {
		list = append(list, edit{name, change})
	}
	add("verbatim", func(_ *rand.Rand, text string, _ []string) string { return text })
	add("re-wrapped, upper case, quotation marks", func(r *rand.Rand, text string, _ []string) string { return rewrap(text) })
	for _, share := range []float64{.02, .05, .10, .15} {
		add(fmt.Sprintf("OCR errors, look-alike, %.0f %%", 100*share), func(r *rand.Rand, text string, _ []string) string { return misread(r, text, share, true) })
	}
	for _, share := range []float64{.02, .05, .10, .15} {
		add(fmt.Sprintf("OCR errors, uniform, %.0f %%", 100*share), func(r *rand.Rand, text string, _ []string) string { return misread(r, text, share, false) })
	}
	for _, share := range []float64{.05, .10, .20} {
		add(fmt.Sprintf("words replaced, %.0f %%", 100*share), func(r *rand.Rand, text string, others []string) string { return reword(r, text, others, share) })
	}
	for _, share := range []float64{.05, .10, .20} {
		add(fmt.Sprintf("words dropped, %.0f %%", 100*share), func(r *rand.Rand, text string, _ []string) string {
			return strings.Join(slices.DeleteFunc(strings.Fields(text), func(string) bool { return r.Float64() < share }), " ")
		})
	}
	for _, share := range []float64{.05, .10, .20} {
		add(fmt.Sprintf("words swapped, %.0f %%", 100*share), func(r *rand.Rand, text string, _ []string) string {
			words := strings.Fields(text)
			for i := 0; i+1 < len(words); i++ {
				if r.Float64() < share {
					words[i], words[i+1] = words[i+1], words[i]
					i++
				}
			}
			return strings.Join(words, " ")
		})
	}
	add("sentences in another order", func(r *rand.Rand, text string, _ []string) string { return reorder(r, text) })
	add("evasion: zero-width characters", func(r *rand.Rand, text string, _ []string) string {
		return between(text, func() string { return []string{"", "\u200b", "\u2060", "\u00ad"}[r.IntN(4)] })
	})
	add("evasion: Cyrillic look-alikes", func(_ *rand.Rand, text string, _ []string) string { return cyrillic.Replace(text) })
	add("evasion: letters spaced out", func(_ *rand.Rand, text string, _ []string) string {
		return between(text, func() string { return " " })
	})
	return list
}()

// urduEdits are what keyboards and editors do to Urdu.
var urduEdits = func() (list []edit) {
	replace := func(name string, pairs ...string) {
		r := strings.NewReplacer(pairs...)
		list = append(list, edit{name, func(_ *rand.Rand, text string, _ []string) string { return r.Replace(text) }})
	}
	marks := []rune("\u064b\u064e\u064f\u0650\u0651\u0652")
	ascii, arabic, extended := []rune("0123456789"), []rune("٠١٢٣٤٥٦٧٨٩"), []rune("۰۱۲۳۴۵۶۷۸۹")
	digits := func(to []rune) (pairs []string) {
		for _, from := range [][]rune{ascii, arabic, extended} {
			for i := range from {
				pairs = append(pairs, string(from[i]), string(to[i]))
			}
		}
		return pairs
	}
	list = append(list, edits[0])
	replace("letters of an Arabic keyboard (ي ك ه)", "ی", "ي", "ک", "ك", "ہ", "ه")
	list = append(list, edit{"diacritics added", func(r *rand.Rand, text string, _ []string) string {
		return between(text, func() string {
			if r.IntN(3) > 0 {
				return ""
			}
			return string(marks[r.IntN(len(marks))])
		})
	}})
	replace("letters stretched (tatweel)", "س", "سـ", "ب", "بـــ", "م", "مـ")
	replace("digits of ASCII", digits(ascii)...)
	replace("digits of Arabic", digits(arabic)...)
	replace("digits of Urdu", digits(extended)...)
	replace("letters, digits and zero-width characters", append(digits(ascii), "ی", "ي", "ک", "ك", "ہ", "ه", " ", " \u200c", "ن", "ن\u200f")...)
	for _, e := range edits {
		if e.name == "words replaced, 10 %" || e.name == "words dropped, 10 %" || e.name == "sentences in another order" {
			list = append(list, e)
		}
	}
	return list
}()

var cyrillic = strings.NewReplacer("a", "а", "c", "с", "e", "е", "o", "о", "p", "р", "x", "х", "y", "у", "A", "А", "B", "В", "C", "С", "E", "Е", "H", "Н", "K", "К", "M", "М", "O", "О", "P", "Р", "T", "Т", "X", "Х")

// between puts something behind each letter that another letter follows.
func between(text string, what func() string) string {
	var b strings.Builder
	chars := []rune(text)
	for i, c := range chars {
		b.WriteRune(c)
		if i+1 < len(chars) && unicode.IsLetter(c) && unicode.IsLetter(chars[i+1]) {
			b.WriteString(what())
		}
	}
	return b.String()
}

func rewrap(text string) string {
	var b strings.Builder
	line := 0
	for i, w := range strings.Fields(strings.ToUpper(text)) {
		if i%6 == 5 {
			w = "“" + w + "”"
		}
		if line += len(w) + 1; line > 36 {
			b.WriteString("\n> ")
			line = len(w)
		}
		b.WriteString(w + " ")
	}
	return b.String()
}

// misread makes the errors of a bad copy in a share of the letters and digits:
// most are replaced, by look-alikes if asked, some are lost and some doubled.
func misread(r *rand.Rand, text string, share float64, lookAlike bool) string {
	alike := map[rune]string{
		'i': "l1", 'l': "i1", 'o': "0ce", 'e': "co", 'c': "eo", 'n': "urh", 'u': "nv", 'r': "n", 'h': "bn", 'b': "h6", 'm': "n",
		'g': "qy9", 'q': "g", 's': "5", 't': "lf", 'f': "t", '0': "o", '1': "l", '5': "s",
	}
	var b strings.Builder
	for _, c := range text {
		if r.Float64() >= share || !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			b.WriteRune(c)
			continue
		}
		switch k := r.IntN(20); {
		case k == 0: // lost
		case k == 1:
			b.WriteString(string(c) + string(c))
		default:
			if choice, ok := alike[unicode.ToLower(c)]; ok && lookAlike {
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

// reorder shuffles the sentences; a single one is cut in two.
func reorder(r *rand.Rand, text string) string {
	var sentences []string
	for rest := text; rest != ""; {
		end := strings.IndexAny(rest, ".!?;۔؟")
		if end < 0 {
			end = len(rest) - 1
		}
		for end++; end < len(rest) && rest[end]&0xC0 == 0x80; end++ { // the rest of a character
		}
		sentences = append(sentences, strings.TrimSpace(rest[:end]))
		rest = rest[end:]
	}
	if len(sentences) < 2 {
		words := strings.Fields(text)
		return strings.Join(append(slices.Clone(words[len(words)/2:]), words[:len(words)/2]...), " ")
	}
	before := slices.Clone(sentences)
	for slices.Equal(before, sentences) && len(slices.Compact(slices.Sorted(slices.Values(before)))) > 1 {
		r.Shuffle(len(sentences), func(i, j int) { sentences[i], sentences[j] = sentences[j], sentences[i] })
	}
	return strings.Join(sentences, " ")
}

// agrees reports whether at least seven words of ten that an engine read, of four
// letters or more, stand in what the other read.
func agrees(words map[string]bool, excerpt string) bool {
	same, all := 0, 0
	for w := range wordsOf(excerpt) {
		all++
		if words[w] {
			same++
		}
	}
	return all > 0 && 10*same >= 7*all
}

func wordsOf(text string) map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) }) {
		if len([]rune(w)) >= 4 {
			words[w] = true
		}
	}
	return words
}
