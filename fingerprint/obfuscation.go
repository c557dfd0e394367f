package fingerprint

import (
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Obfuscation counts the signs that a text was disguised, so that a filter that
// looks for its words does not find them. Normalization and classes undo most
// disguises and matching does not need to know of them; but that somebody took the
// trouble is evidence of its own. A text that nobody disguised has the zero value.
//
// The rules prefer to miss a disguise than to accuse a text: what an honest
// keyboard, typesetter, formula or foreign name leaves in a text does not count.
type Obfuscation struct {
	// ZeroWidth counts characters that nobody sees, inside of words or next to them.
	ZeroWidth int `json:"zero_width,omitempty"`
	// SoftHyphen counts soft hyphens in words that they cut into pieces shorter than
	// syllables. One between syllables, or at the end of a line, is what the
	// character is for.
	SoftHyphen int `json:"soft_hyphen,omitempty"`
	// LookAlike counts letters that stand in for a Latin one: Cyrillic а for a, 𝐚, ａ, ⓐ.
	LookAlike int `json:"look_alike,omitempty"`
	// MixedScript counts words of letters of several scripts.
	MixedScript int `json:"mixed_script,omitempty"`
	// SpacedOut counts runs of single letters: s e c r e t, s.e.c.r.e.t.
	SpacedOut int `json:"spaced_out,omitempty"`
	// StackedMarks counts letters under a heap of combining marks.
	StackedMarks int `json:"stacked_marks,omitempty"`
}

// What ordinary text stays below.
const (
	// An ancient Greek or Vietnamese letter, taken apart, has three marks at most.
	manyMarks = 4
	// A letter of the Quran may have a doubling, a vowel, a small alef, a prolongation
	// and a sign of where to pause.
	manyMarksElsewhere = 6
	// Formulas have products of up to four letters, and names such as 𝑠𝑖𝑛𝑥.
	manyStyled = 5
	// Formulas have invisible operators between their symbols.
	manyOperators = 4
	// Abbreviations of small letters are shorter.
	manySpaced = 5
	// What machines that read scans, and keyboards with two alphabets, also do by
	// accident is a disguise if there is more of it than one in so many words.
	accident = 100
)

// kind is what matters of a character here.
type kind uint8

const (
	kindOther     kind = iota // visible, and no part of a word
	kindSeparator             // the same, but may set letters apart
	kindBreak                 // of lines
	kindElsewhere             // letters and digits of scripts that are not judged
	kindEast                  // the same of East Asia, where full-width letters are at home
	kindDigit                 // ASCII digits, and letters of no script: µ, ʼ
	kindLatin
	kindCyrillic
	kindGreek
	kindArabic
	kindRare      // scripts that are rare but for their look-alikes
	kindMath      // 𝐚
	kindWide      // ａ
	kindEnclosed  // ⓐ
	kindMark      // combines with letters of any script, or with Arabic ones
	kindMarkElse  // combines with letters of one other script
	kindHidden    // invisible, at home nowhere in our scripts
	kindJoiner    // invisible, at home in Arabic and Indic text and in emoji
	kindSelector  // invisible, at home after other symbols or letters than ours
	kindDirection // invisible, at home around right-to-left letters
	kindOverride  // shows what follows backwards
	kindOperator  // invisible, at home in formulas
	kindTag       // invisible letters; at home in flags
	kindSoftHyphen
	kinds
)

// letter reports whether k is a letter of Latin, Cyrillic, Greek or their likes.
func (k kind) letter() bool {
	return kindLatin <= k && k <= kindWide && k != kindArabic
}

// twins are the letters that can hardly be told from a Latin one in print. Text
// that is really Cyrillic or Greek has many others: half of its letters.
const twins = "аеорсухѕіјһԁԛԝӏ" + "АВЕКМНОРСТУХЅІЈӀԚԜ" + "ο" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"

// twin marks the kind of such a letter.
const twin kind = 0x80

var loadKinds = sync.OnceValue(func() *[0x10000]kind {
	t := new([0x10000]kind)
	for r := rune(0); r < 0x10000; r++ {
		t[r] = kindOf(r)
	}
	for _, r := range twins {
		t[r] |= twin
	}
	return t
})

func within(r, first, last rune) bool { return first <= r && r <= last }

func kindOf(r rune) kind {
	switch {
	case r == 0xad:
		return kindSoftHyphen
	case r == 0x200c || r == 0x200d:
		return kindJoiner
	case r == 0x200b || r == 0x2060 || r == 0xfeff || r == 0x180e || within(r, 0x206a, 0x206f):
		return kindHidden
	case within(r, 0x2061, 0x2064):
		return kindOperator
	case r == 0x202e:
		return kindOverride
	case r == 0x61c || r == 0x200e || r == 0x200f || within(r, 0x202a, 0x202d) || within(r, 0x2066, 0x2069):
		return kindDirection
	case within(r, 0xe0000, 0xe007f):
		return kindTag
	case unicode.Is(unicode.Variation_Selector, r), r == 0x34f, // the grapheme joiner
		r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0: // Hangul fillers
		return kindSelector
	case within(r, 'Ａ', 'Ｚ') || within(r, 'ａ', 'ｚ'):
		return kindWide
	case within(r, 0x1d400, 0x1d6a5):
		return kindMath
	case within(r, 0x249c, 0x24e9),
		within(r, 0x1f110, 0x1f129), within(r, 0x1f130, 0x1f149), within(r, 0x1f150, 0x1f169), within(r, 0x1f170, 0x1f189):
		return kindEnclosed
	case r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029:
		return kindBreak
	case unicode.Is(unicode.Zs, r) || strings.ContainsRune(".-_*·•", r) || within(r, 0x2010, 0x2014):
		return kindSeparator
	case unicode.In(r, unicode.Mn, unicode.Me):
		if unicode.In(r, unicode.Inherited, unicode.Arabic, unicode.Cyrillic) {
			return kindMark
		}
		return kindMarkElse
	case unicode.Is(unicode.Mc, r):
		return kindMarkElse
	case within(r, '0', '9'):
		return kindDigit
	case unicode.Is(unicode.Nd, r):
		return kindElsewhere
	case !unicode.IsLetter(r):
		return kindOther
	case unicode.Is(unicode.Latin, r):
		return kindLatin
	case unicode.Is(unicode.Cyrillic, r):
		return kindCyrillic
	case unicode.Is(unicode.Greek, r):
		return kindGreek
	case unicode.Is(unicode.Arabic, r):
		return kindArabic
	case unicode.In(r, unicode.Armenian, unicode.Cherokee, unicode.Coptic, unicode.Lisu):
		return kindRare
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo):
		return kindEast
	case unicode.Is(unicode.Common, r):
		return kindDigit
	}
	return kindElsewhere
}

// FindObfuscation counts the signs of disguise in text. It reads the text once and
// remembers of it no more than a word.
func FindObfuscation(text string) Obfuscation {
	f := finder{last: kindBreak}
	table := loadKinds()
	for _, r := range text {
		k := kind(0)
		if r < 0x10000 {
			k = table[r]
		} else {
			k = kindOf(r)
		}
		f.add(r, k&^twin, k&twin != 0)
	}
	return f.finish()
}

// finder is what was found and where in the text we are.
type finder struct {
	found  Obfuscation
	last   kind       // of the last visible character, marks aside
	prev   rune       // that character
	marks  int        // on it
	hidden [kinds]int // the invisible characters behind it, by kind

	word word
	gap  gap // behind the last word
	run  run // of words of one letter

	// What counts or not depending on the rest of the text.
	words     int // of several letters
	letters   [kinds]int
	plain     int   // Cyrillic, Greek and rare letters that have no Latin twin
	rightLeft bool  // there are letters written from right to left
	direction int   // directional marks inside of words
	mixed     tally // letters that look Latin in words of three runs of scripts and more
	ends      tally // the same where they are one end of a word, and Latin the other
	whole     tally // letters in words all of whose letters look Latin
	styled    tally // Latin letters of mathematics, or enclosed ones
	wide      tally // full-width letters
}

// tally counts words and the letters in them that are not what they look like.
type tally struct{ words, letters int }

func (t *tally) add(letters int) {
	t.words++
	t.letters += letters
}

// word is a run of letters and digits, with the marks and invisible characters on
// and between them.
type word struct {
	gap       gap // before it
	count     int // of letters and digits
	letters   [kinds]int
	only      rune // the last letter, which is all there is if count is 1
	operators int
	hyphens   int // soft ones
	parts     int // that these cut the word into, less one

	first, last kind // of its letters, all Latin ones counted as kindLatin
	runs        int  // of letters of one script
	styled      bool // whether the last Latin letter was
	styles      int  // runs of Latin letters that are styled, or are not
	twins       int  // letters that have a Latin twin
	greekTwins  int  // Greek ones of these
	lower       bool // it has a small letter that is not Latin
	capital     bool // it has a capital Latin letter that is not its first
}

// gap is what stands between two words, if it may be there to set letters apart.
type gap struct {
	chars [3]rune
	n     int
	other bool // it is something else
}

func (f *finder) add(r rune, k kind, twin bool) {
	switch {
	case k == kindMark || k == kindMarkElse:
		f.mark(k)
		return
	case k == kindTag:
		if f.prev != '🏴' { // Scotland's flag is a black one and "gbsct" in tags
			f.found.ZeroWidth++
		}
		return
	case k > kindMarkElse:
		// Joined files have byte order marks at the starts of lines; addresses may be
		// broken behind slashes and dashes.
		if r == '\ufeff' && f.last == kindBreak || r == '\u200b' && strings.ContainsRune("/-_‐–—", f.prev) {
			return
		}
		f.hidden[k]++
		return
	}
	f.reveal(k)
	f.last, f.prev, f.marks = k, r, 0
	f.letters[k]++
	f.rightLeft = f.rightLeft || k == kindArabic || k == kindElsewhere && rightToLeft(r)
	if kindDigit <= k && k <= kindEnclosed {
		if f.word.count == 0 {
			f.word.gap = f.gap
		}
		f.word.add(r, k, twin)
		if (k == kindCyrillic || k == kindGreek || k == kindRare) && !twin {
			f.plain++
		}
		return
	}
	f.endWord()
	if k == kindSeparator && f.gap.n < len(f.gap.chars) {
		f.gap.chars[f.gap.n] = r
		f.gap.n++
	} else {
		f.gap.other = true
	}
}

func (f *finder) finish() Obfuscation {
	f.reveal(kindBreak)
	f.endWord()
	f.endRun()
	found := f.found
	if !f.rightLeft {
		found.ZeroWidth += f.direction
	}
	found.MixedScript = f.mixed.words
	looks := []tally{f.styled}
	if f.letters[kindEast] == 0 {
		looks = append(looks, f.wide)
	}
	// In a text that is not Latin, Latin letters before others are a foreign word with
	// an ending (Russian "SMSом"), or a slip on a keyboard that has both.
	if f.letters[kindLatin] > f.plain {
		found.MixedScript += f.ends.words
		looks = append(looks, f.mixed, f.ends)
	}
	// A text that speaks of Russia quotes words that have other letters too.
	if f.letters[kindLatin] > 0 && f.plain == 0 {
		looks = append(looks, f.whole)
	}
	words := 0
	for _, l := range looks {
		words += l.words
		found.LookAlike += l.letters
	}
	if words*accident < f.words {
		found.LookAlike = 0
	}
	if found.MixedScript*accident < f.words {
		found.MixedScript = 0
	}
	if found.SpacedOut*accident < f.words {
		found.SpacedOut = 0
	}
	return found
}

// mark counts the marks on a letter.
func (f *finder) mark(k kind) {
	if k == kindMarkElse {
		return
	}
	f.marks++
	many := manyMarksElsewhere
	if f.last == kindDigit || f.last.letter() {
		many = manyMarks
	} else if f.last != kindArabic && f.last != kindElsewhere && f.last != kindEast {
		return
	}
	if f.marks == many {
		f.found.StackedMarks++
	}
}

// reveal decides about the invisible characters between the last visible one and
// the next.
func (f *finder) reveal(next kind) {
	if f.hidden == ([kinds]int{}) {
		return
	}
	ours := func(k kind) bool { return k == kindDigit || k == kindArabic || k.letter() }
	elsewhere := func(k kind) bool { return k == kindElsewhere || k == kindEast }
	a, b, h := f.last, next, &f.hidden
	// Thai, Khmer and others have no spaces and mark with zero width where lines may break.
	// At the end of a line such a mark has done its work.
	if (ours(a) || ours(b)) && !elsewhere(a) && !elsewhere(b) {
		if b != kindBreak {
			f.found.ZeroWidth += h[kindHidden]
		}
		f.direction += h[kindOverride]
	}
	if n := h[kindSoftHyphen]; n > 0 && ours(a) && ours(b) && a != kindDigit && b != kindDigit {
		f.word.hyphens += n
		f.word.parts++
	}
	if a.letter() && b.letter() {
		f.found.ZeroWidth += h[kindSelector]
		f.direction += h[kindDirection]
	}
	if (a == kindDigit || a.letter()) && (b == kindDigit || b.letter()) {
		f.found.ZeroWidth += h[kindJoiner]
		f.word.operators += h[kindOperator]
	}
	*h = [kinds]int{}
}

func (w *word) add(r rune, k kind, twin bool) {
	w.count++
	w.letters[k]++
	w.only = r
	if k == kindDigit {
		return
	}
	if styled := k == kindMath || k == kindEnclosed; styled || k == kindLatin {
		if w.styles == 0 || styled != w.styled {
			w.styles++
		}
		w.styled = styled
	}
	if k >= kindMath {
		k = kindLatin
	}
	if w.runs == 0 {
		w.first = k
	} else if k == kindLatin && unicode.IsUpper(r) {
		w.capital = true
	}
	if k != w.last {
		w.runs++
		w.last = k
	}
	if k != kindLatin && unicode.IsLower(r) {
		w.lower = true
	}
	if twin || k == kindRare {
		w.twins++
	}
	if twin && k == kindGreek {
		w.greekTwins++
	}
}

// endWord judges the word that ended, if there is one.
func (f *finder) endWord() {
	w := &f.word
	if w.count == 0 {
		return
	}
	latin := w.letters[kindLatin] + w.letters[kindMath] + w.letters[kindWide] + w.letters[kindEnclosed]
	others := w.letters[kindCyrillic] + w.letters[kindGreek] + w.letters[kindRare]
	switch {
	case w.runs > 2 && !w.notation(latin) && !w.glued():
		looks := 0
		if latin > 0 {
			looks = others
		}
		f.mixed.add(looks)
	// Two scripts that meet once are what a missing space leaves, or a foreign word
	// with an ending ("PDFفائل"), unless the reader cannot see that they do.
	case w.runs == 2 && latin > 0 && others > 0 && others == w.twins:
		f.ends.add(others)
	// Words of capitals that all look Latin are frequent abroad: СССР, МОСКВА, ΑΧΑ.
	case w.runs == 1 && others > 1 && others == w.twins && w.lower && w.letters[kindRare] == 0:
		f.whole.add(others)
	}
	if styled := w.letters[kindMath] + w.letters[kindEnclosed]; styled >= manyStyled || w.styles > 2 && latin >= manyStyled {
		f.styled.add(styled)
	}
	if wide := w.letters[kindWide]; wide > 0 {
		f.wide.add(wide)
	}
	// A word is hyphenated by its syllables, if at all; and documents that were made
	// with the wrong font have soft hyphens for all others.
	if w.parts > 1 && w.count <= 2*(w.parts+1) {
		f.found.SoftHyphen += w.hyphens
	}
	if w.operators >= manyOperators {
		f.found.ZeroWidth += w.operators
	}
	if w.count > 1 {
		f.words++
	}
	f.follow(w)
	f.word, f.gap = word{}, gap{}
}

// notation reports whether Greek letters are in the word as symbols: in NFκB they
// are, in pαper and in pοund (with an omicron) they are not.
func (w *word) notation(latin int) bool {
	greek := w.letters[kindGreek]
	if greek == 0 || greek+latin < w.count-w.letters[kindDigit] {
		return false
	}
	inside := latin >= 4 && w.first == kindLatin && w.last == kindLatin && !w.capital
	return greek < 4 && w.greekTwins == 0 && !inside
}

// glued reports whether the word is several, of Arabic script and another, that lack
// the spaces between them: کیPDFفائل. Nobody needs spaces there to see where they
// end. A disguise changes single letters.
func (w *word) glued() bool {
	arabic := w.letters[kindArabic]
	return min(arabic, w.count-w.letters[kindDigit]-arabic) > w.runs/2
}

// run is a row of single letters with the same gap between them.
type run struct {
	gap     gap
	n       int
	letters [24]rune // the first of them
	last    rune
}

// follow continues the run with a word, or ends it.
func (f *finder) follow(w *word) {
	k := &w.letters
	if w.count != 1 || k[kindLatin]+k[kindCyrillic]+k[kindGreek]+k[kindArabic]+k[kindWide] == 0 {
		f.endRun()
		return
	}
	if r := &f.run; w.gap != r.gap && r.n > 1 || w.gap.other {
		// A run of two may be the end of a word and the start of the one that counts:
		// in "a  s e c r e t" the gap behind the s is the first that matters.
		last, short := r.last, r.n < manySpaced && !w.gap.other
		f.endRun()
		if short {
			r.push(last)
		}
	}
	f.run.gap = w.gap
	f.run.push(w.only)
}

func (r *run) push(c rune) {
	if r.n < len(r.letters) {
		r.letters[r.n] = c
	}
	r.n++
	r.last = c
}

func (f *finder) endRun() {
	if f.run.n >= manySpaced && f.run.disguise() {
		f.found.SpacedOut++
	}
	f.run = run{}
}

// disguise reports whether the letters are those of a word, rather than those of an
// enumeration, an abbreviation, or the head of a table.
func (r *run) disguise() bool {
	letters := r.letters[:min(r.n, len(r.letters))]
	upper, ascii, vowels := 0, true, false
	for i, c := range letters {
		if unicode.IsUpper(c) {
			upper++
			if i > 0 && upper == 1 {
				return false // inside of a word only capitals follow capitals
			}
		}
		letters[i] = unicode.ToLower(c)
		ascii = ascii && c < utf8.RuneSelf
		vowels = vowels || strings.ContainsRune("aeiou", letters[i])
	}
	if upper > 1 && upper < len(letters) {
		return false
	}
	// U.N.E.S.C.O., the name of O-R-T-E-G-A, and what stands on a page that is
	// C-O-N-F-I-D-E-N-T-I-A-L.
	if upper > 1 && (r.gap.chars[0] == '.' || unicode.Is(unicode.Pd, r.gap.chars[0])) {
		return false
	}
	if ascii {
		// The days of the week have no vowels; nor have yes and no, won and lost.
		if !vowels || strings.Contains("jfmamjjasondjfmamjjasond", string(letters)) {
			return false
		}
		for _, set := range []string{"abcdef", "acgtun", "ivxlcdm"} { // answers, genes, numerals
			if !strings.ContainsFunc(string(letters), func(c rune) bool { return !strings.ContainsRune(set, c) }) {
				return false
			}
		}
	}
	if inOrder(letters, func(c rune) int { return int(c) }) {
		return false
	}
	if unicode.Is(unicode.Arabic, letters[0]) {
		for _, alphabet := range arabicOrders {
			if inOrder(letters, func(c rune) int { return strings.IndexRune(alphabet, c) }) {
				return false
			}
		}
	}
	slices.Sort(letters)
	return len(slices.Compact(letters)) >= 4
}

// arabicOrders are the order of the dictionary and that of enumerations.
var arabicOrders = [...]string{
	"اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکكگلمنںوؤہهھةءیيىے",
	"ابجدہهوزحطیيىکكلمنسعفصقرشتثخذضظغ",
}

// inOrder reports whether the letters rise, or fall, or mostly are neighbors.
func inOrder(letters []rune, position func(rune) int) bool {
	rises, falls, next := 0, 0, 0
	for i := range letters[1:] {
		d := position(letters[i+1]) - position(letters[i])
		if d >= 0 {
			rises++
		}
		if d <= 0 {
			falls++
		}
		if d == 1 {
			next++
		}
	}
	steps := len(letters) - 1
	return rises == steps || falls == steps || 2*next > steps
}

// rightToLeft reports whether r belongs to a script that is written so. Unicode keeps
// these blocks for them.
func rightToLeft(r rune) bool {
	return within(r, 0x590, 0x8ff) || within(r, 0xfb1d, 0xfdff) || within(r, 0xfe70, 0xfeff) ||
		within(r, 0x10800, 0x10fff) || within(r, 0x1e800, 0x1efff)
}
