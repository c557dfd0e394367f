package extract

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sealprint/sealprint/ingest"
)

// measure looks at a page's text without knowing what it says.
func measure(text string) ingest.Gate {
	var g ingest.Gate
	var m letters
	unknown, good := 0, 0
	var last rune
	for _, r := range text {
		repeated := r == last
		if !unicode.IsSpace(r) {
			last = r
		}
		if unicode.IsSpace(r) || repeated && unicode.IsPunct(r) { // the dots of a table of contents
			continue
		}
		g.Characters++
		switch {
		case r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.In(r, unicode.Co, unicode.Noncharacter_Code_Point) || !isAssigned(r):
			unknown++
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			good++
			m.add(r)
		case unicode.IsMark(r):
			good++
		}
	}
	g.Unknown = share(unknown, g.Characters)
	g.Letters = share(good, g.Characters)
	g.Words = 1
	switch {
	case m.arabic*2 > m.all && m.arabic > 0:
		g.Words = arabicWords(text)
	case m.latin > minJudged:
		g.Words = m.latinWords()
	}
	return g
}

func share(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return math.Round(float64(part)/float64(all)*1000) / 1000
}

func isAssigned(r rune) bool {
	return r < unicode.MaxLatin1 || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cf)
}

// minJudged is how many letters it takes to judge words by them.
const minJudged = 60

// letters counts what tells readable Latin text from shifted codes.
type letters struct {
	all, arabic, latin, vowels, foreign int
}

func (l *letters) add(r rune) {
	l.all++
	switch {
	case r < unicode.MaxASCII && unicode.IsLetter(r):
		l.latin++
		if strings.ContainsRune("aeiouAEIOU", r) {
			l.vowels++
		}
	case unicode.In(r, unicode.Arabic):
		l.arabic++
	case r >= 0x80 && r < 0x250:
		l.latin++
		l.foreign++
	}
}

// latinWords is 1 for text whose letters are distributed as in the languages of
// Europe, and 0 where they are not: a font without a table of its characters, or
// bytes that were decoded in the wrong encoding.
func (l *letters) latinWords() float64 {
	vowels := float64(l.vowels) / float64(max(l.latin-l.foreign, 1))
	if vowels < 0.20 || vowels > 0.55 || l.foreign*4 > l.latin {
		return 0
	}
	return 1
}

// common are words without which hardly a paragraph is written: in Urdu, in
// Arabic, in Persian and Pashto. Spelled as normalization leaves them, but for the
// forms of ye and kaf, which are folded below.
var common = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`
		کے کی کا کو میں ہے ہیں اور سے نے پر یہ اس کہ وہ ہو تھا تھی بھی ایک جو گا گی گے کر لیے لئے تک ان اپنے جس کیا ہوئے جائے تو نہیں ہر
		في من على إلى أن التي الذي هذا هذه عن مع ما لا كل أو ذلك كان بين إن لم قد هو هي ولا
		در به از که را این با است آن برای ها می شود شده یا تا یک بر باشد
		په د او چې دی يې سره ته کې له هم هغه`) {
		m[foldArabic(w)] = true
	}
	return m
}()

func foldArabic(s string) string {
	return strings.NewReplacer("ي", "ی", "ى", "ی", "ك", "ک", "أ", "ا", "إ", "ا", "آ", "ا", "ۓ", "ے").Replace(norm.NFKC.String(s))
}

// arabicWords is how much words in Arabic script look like words, from 0 to 1. In
// prose and in tables hardly one in fifty has a single letter, and few have more
// than ten. Where a font has no table of its characters, Nastaliq above all, letters
// come apart or run together: of such pages at least a quarter of the words have one
// letter, or half of them too many. And backwards there are no words without which
// nobody writes a paragraph, and more of them the other way.
func arabicWords(text string) float64 {
	words, single, long, known, backward := 0, 0, 0, 0, 0
	for word := range strings.FieldsFuncSeq(foldArabic(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
		if first, _ := utf8.DecodeRuneInString(word); !isRightToLeft(first) {
			continue
		}
		words++
		letters := 0
		for _, r := range word {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		switch {
		case letters == 1 && word != "و": // "and", in Arabic and Persian
			single++
		case letters > 10:
			long++
		}
		if common[word] {
			known++
		}
		runes := []rune(word)
		slices.Reverse(runes)
		if common[string(runes)] {
			backward++
		}
	}
	if words < 12 {
		return 1
	}
	if backward > known || known*50 < words && words >= 40 {
		return 0
	}
	return max(1-6*share(single, words)-2*share(long, words), 0)
}

// readable reports whether a text may be taken for what the page says.
func readable(g ingest.Gate) bool {
	return g.Unknown <= 0.01 && g.Letters >= 0.6 && g.Words >= minWords
}

// minWords is what readable text has at least of what latinWords and arabicWords
// measure.
const minWords = 0.3

// doubtful reports whether a second reader should read the page, too: nothing is
// wrong, but so little text, or text in Arabic script, is often not all or not right.
func doubtful(g ingest.Gate, text string) bool {
	// One unknown character in a hundred spoils a quarter of all grams.
	return !readable(g) || g.Unknown > 0 || g.Characters < 100 || strings.ContainsFunc(text, isRightToLeft)
}
