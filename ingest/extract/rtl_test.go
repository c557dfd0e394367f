package extract

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
)

var urduLines = []string{
	"انسانی حقوق کا عالمی منشور",
	"اقوام متحدہ کی جنرل اسمبلی نے ۱۰ دسمبر ۱۹۴۸ کو منظور کیا",
	"اس رپورٹ کو Python اور R میں لکھا گیا ہے",
	"مالیاتی سال 2026-27 کے لیے 1,200 روپے کی منظوری",
	"یہ بات Finance Division نے کہی اور بس",
}

// setOut sets lines on a page as a program would, right to left from x = 500, 20
// points apart: glyphs of 6 points, spaces not setOut but left open.
func setOut(lines []string) [][]glyph {
	var page [][]glyph
	for n, line := range lines {
		var set []glyph
		x := 500.0
		runes := []rune(line)
		for i := 0; i < len(runes); {
			// What runs from left to right, with the spaces inside it, is set as a block.
			j := i
			if !isNeutral(runes[i]) && !isRightToLeft(runes[i]) {
				for next := i; next < len(runes) && !isRightToLeft(runes[next]); next++ {
					if !isNeutral(runes[next]) {
						j = next
					}
				}
			}
			for k := range j - i + 1 {
				if r := runes[j-k]; r != ' ' {
					set = append(set, glyph{char: r, x: x - 6, base: 700 - 20*float64(n), left: x - 6, right: x, size: 12})
				}
				x -= 6
			}
			i = j + 1
		}
		page = append(page, set)
	}
	return page
}

// TestLayout: whatever the order in which a page draws its glyphs, its lines read as
// they are written.
func TestLayout(t *testing.T) {
	page := setOut(urduLines)
	var want []string
	for _, line := range urduLines {
		want = append(want, string(fingerprint.Normalize(line).Chars))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for name, order := range map[string]func(line []glyph) []glyph{
		"from the right": func(line []glyph) []glyph { return line },
		"from the left":  func(line []glyph) []glyph { slices.Reverse(line); return line },
		"word by word, each from the left": func(line []glyph) []glyph {
			for from := 0; from < len(line); {
				to := from + 1
				for to < len(line) && line[to-1].left-line[to].right < 1 {
					to++
				}
				slices.Reverse(line[from:to])
				from = to
			}
			return line
		},
		"in pieces": func(line []glyph) []glyph {
			var pieces [][]glyph
			for len(line) > 0 {
				n := min(1+random.IntN(6), len(line))
				pieces = append(pieces, line[:n])
				line = line[n:]
			}
			random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			return slices.Concat(pieces...)
		},
	} {
		var glyphs []glyph
		for _, line := range page {
			glyphs = append(glyphs, order(slices.Clone(line))...)
		}
		text := layout(glyphs)
		got := strings.Split(strings.TrimSpace(text), "\n")
		for i := range got {
			got[i] = string(fingerprint.Normalize(got[i]).Chars)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%q, want\n%q", name, got, want)
		}
		if words := strings.Fields(text); !slices.Contains(words, "Python") || !slices.Contains(words, "حقوق") || !slices.Contains(words, "۱۹۴۸") {
			t.Errorf("%s: words are lost: %q", name, words)
		}
	}
}

// A ligature is several letters in one place, which PDFium tells in reverse; marks
// belong to the line, wherever they stand.
func TestLigature(t *testing.T) {
	at := func(r rune, left, right float64) glyph {
		return glyph{char: r, x: left, left: left, right: right, base: 700, size: 12}
	}
	mark := at('ِ', 31, 33)
	mark.base = 690
	for _, test := range []struct {
		glyphs []glyph
		want   string
	}{
		{[]glyph{at('ع', 40, 46), at('ا', 30, 40), at('ل', 30, 40), at('ن', 24, 30)}, "علان"},
		{[]glyph{at('ع', 40, 46), at('ل', 30, 40), at('ا', 30, 35), at('ن', 24, 30)}, "علان"},
		{[]glyph{at('ع', 40, 46), at('ل', 34, 40), mark, at('ا', 30, 34), at('ن', 24, 30)}, "علان"},
	} {
		if got := string(fingerprint.Normalize(layout(test.glyphs)).Chars); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestReversedLines(t *testing.T) {
	for _, line := range urduLines {
		visual := reversedLines(line)
		if visual == line {
			t.Errorf("%q was not turned", line)
		}
		if back := reversedLines(visual); back != line {
			t.Errorf("%q turned twice is %q", line, back)
		}
	}
}

// TestGate: what is language passes, and what only looks like text does not.
func TestGate(t *testing.T) {
	prose := strings.Repeat(strings.Join(urduLines, "\n")+"\n", 3)
	spaced := strings.Join(strings.Split(strings.ReplaceAll(prose, " ", ""), ""), " ")
	english := strings.Join(pageOfText, " ")
	shifted := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return 'a' + (r-'a'+9)%26
		}
		return r
	}, english)
	for _, test := range []struct {
		name, text string
		readable   bool
	}{
		{"English", english, true},
		{"table of contents", strings.Repeat("Article .................. 7\n", 20), true},
		{"numbers", strings.Repeat("12,345.00 67.8 ", 40), true},
		{"Urdu", prose, true},
		{"Urdu, reversed", reversedLines(prose), false},
		{"Urdu, letters apart", spaced, false},
		{"Urdu, run together", strings.ReplaceAll(prose, " ", ""), false},
		{"codes for letters", shifted, false},
		{"no characters", strings.Repeat("\uFFFD\uE000", 50) + english[:40], false},
		{"wrong encoding", strings.Repeat("ÇáãÇáíÉ ", 40), false},
		{"little", "Annex A", true},
	} {
		if g := measure(test.text); readable(g) != test.readable {
			t.Errorf("%s: %+v", test.name, g)
		}
	}
}

// TestChoose: the better of two readings is kept, and both where nobody can tell.
func TestChoose(t *testing.T) {
	english := strings.Join(pageOfText, " ")
	other := "" // as if two columns were read across
	for i := range pageOfText[:len(pageOfText)/2] {
		other += pageOfText[i] + " " + pageOfText[len(pageOfText)/2+i] + " "
	}
	read := func(text, reason string) reading { return reading{text: text, reason: reason, gate: measure(text)} }
	for _, test := range []struct {
		name string
		a, b reading
		want string
	}{
		{"first empty", read("", ""), read(english, ""), english},
		{"second empty", read(english, ""), read("", ""), english},
		{"second says more", read(english[:200], ""), read(english, ""), english},
		{"first says more", read(english, ""), read(english[:200], ""), english},
		{"first broke off", read(english[:200], "malformed content"), read(english, ""), english},
		{"second knows more characters", read(strings.ReplaceAll(english, "fi", "\uFFFD"), ""), read(english, ""), english},
		{"two columns", read(english, ""), read(other, ""), other + "\n" + english},
	} {
		if got := choose(test.a, test.b); got.text != test.want {
			t.Errorf("%s: got %q", test.name, got.text)
		}
	}
}

func FuzzLayout(f *testing.F) {
	f.Add("اس رپورٹ کو Python اور R میں ۱۲", uint64(1))
	f.Fuzz(func(t *testing.T, line string, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		var glyphs []glyph
		for _, r := range line {
			glyphs = append(glyphs, glyph{char: r, x: random.Float64() * 500, base: float64(random.IntN(3)) * 20, left: random.Float64() * 500, right: random.Float64() * 500, size: random.Float64() * 20})
		}
		// No glyph is lost, and none is invented but space.
		got := []rune(strings.NewReplacer(" ", "", "\n", "").Replace(layout(glyphs)))
		var want []rune
		for _, g := range glyphs {
			if g.char != ' ' && g.char != '\n' {
				want = append(want, g.char)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q became %q", string(want), string(got))
		}
	})
}

func FuzzMeasure(f *testing.F) {
	f.Add("Annex A \uFFFD حقوق")
	f.Fuzz(func(t *testing.T, s string) {
		g := measure(s)
		for _, share := range []float64{g.Unknown, g.Letters, g.Words} {
			if share < 0 || share > 1 {
				t.Errorf("%+v", g)
			}
		}
	})
}
