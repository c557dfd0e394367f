package extract

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
)

// A PDF says where glyphs stand, not in which order they are read. For text that
// runs from right to left programs disagree: some draw a line from its left end,
// some word by word, and readers that guess reverse words or whole lines. Where
// the glyphs stand is beyond dispute, so lines are put together from that.

// layout puts glyphs, in the order in which the page draws them, together to lines
// of text in the order in which they are read.
func layout(glyphs []glyph) string {
	// On a page in Arabic script a line is read from the right even if a name in Latin
	// takes most of it.
	bias := 1
	if arabic, latin := scripts(glyphs); arabic > latin {
		bias = 3
	}
	var b strings.Builder
	for _, line := range baseLines(glyphs) {
		arabic, latin := scripts(line)
		b.WriteString(readLine(line, arabic*bias > latin))
		b.WriteByte('\n')
	}
	return b.String()
}

// scripts counts letters that are written from right to left, and other letters.
func scripts(glyphs []glyph) (rightToLeft, others int) {
	for _, g := range glyphs {
		switch {
		case isRightToLeft(g.char):
			rightToLeft++
		case unicode.IsLetter(g.char):
			others++
		}
	}
	return rightToLeft, others
}

// baseLines cuts glyphs into lines. A glyph belongs to the line that is being drawn
// while it stands on its base line and not far from it, in whichever direction,
// so that columns stay apart. Nastaliq lets words slope, by less than a line.
func baseLines(glyphs []glyph) [][]glyph {
	var lines [][]glyph
	var line []glyph
	var base, left, right float64
	for _, g := range glyphs {
		if len(line) > 0 && unicode.Is(unicode.Mn, g.char) {
			line = append(line, g) // marks stand above and below the letters of any line
			continue
		}
		size := max(g.size, 1)
		apart := max(g.left-right, left-g.right)
		if len(line) > 0 && (math.Abs(g.base-base) > size*0.5 || apart > size*3) {
			lines = append(lines, line)
			line = nil
		}
		if len(line) == 0 {
			base, left, right = g.base, g.left, g.right
		}
		left, right = min(left, g.left), max(right, g.right)
		line = append(line, g)
	}
	if len(line) > 0 {
		lines = append(lines, line)
	}
	for {
		joined := joinLines(lines)
		if len(joined) == len(lines) {
			return joined
		}
		lines = joined // what was missing between two pieces may be there now
	}
}

// joinLines puts pieces of one line together that are drawn shortly one after the
// other and stand side by side.
func joinLines(lines [][]glyph) [][]glyph {
	const shortly = 12
	var joined [][]glyph
next:
	for _, line := range lines {
		for n := len(joined) - 1; n >= max(len(joined)-shortly, 0); n-- {
			if sideBySide(joined[n], line) {
				joined[n] = append(joined[n], line...)
				continue next
			}
		}
		joined = append(joined, line)
	}
	return joined
}

// sideBySide reports whether two pieces stand on one base line, near each other, and
// not on each other: one may stand in a gap of the other.
func sideBySide(a, b []glyph) bool {
	size := max(a[0].size, b[0].size, 1)
	if math.Abs(a[0].base-b[0].base) > size*0.5 {
		return false
	}
	aLeft, aRight := extent(a)
	bLeft, bRight := extent(b)
	overlap := min(aRight, bRight) - max(aLeft, bLeft)
	if overlap < size {
		return overlap > -size*3
	}
	if len(a)*len(b) > 1_000_000 {
		return false
	}
	for _, g := range a {
		for _, h := range b {
			if min(g.right, h.right)-max(g.left, h.left) > size*0.4 {
				return false
			}
		}
	}
	return true
}

func extent(line []glyph) (left, right float64) {
	left, right = line[0].left, line[0].right
	for _, g := range line {
		left, right = min(left, g.left), max(right, g.right)
	}
	return left, right
}

// readLine reads a line in its direction, and what is written in the other (numbers
// and names in Latin, in a line from right to left) in that.
func readLine(line []glyph, rightToLeft bool) string {
	order := make([]int, len(line))
	for i := range line {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := line[i], line[j]
		c := cmp.Compare(a.x, b.x)
		if c == 0 {
			c = cmp.Compare(a.right, b.right) // lam-alef, where the alef leans on the lam
		}
		if c == 0 {
			// Letters of one ligature. PDFium has turned them around, as it does with
			// all letters that are written from right to left.
			if isRightToLeft(a.char) && isRightToLeft(b.char) {
				return cmp.Compare(j, i)
			}
			return cmp.Compare(i, j)
		}
		if rightToLeft {
			return -c
		}
		return c
	})
	// Runs against the direction of the line are turned around.
	for from := 0; from < len(order); {
		to := from + 1
		if isRightToLeft(line[order[from]].char) != rightToLeft && !isNeutral(line[order[from]].char) {
			for next := to; next < len(order); next++ {
				c := line[order[next]].char
				if isNeutral(c) {
					continue // part of the run if more of it follows
				}
				if isRightToLeft(c) == rightToLeft {
					break
				}
				to = next + 1
			}
			slices.Reverse(order[from:to])
		}
		from = to
	}
	var b strings.Builder
	for n, i := range order {
		g := line[i]
		if n > 0 {
			a := line[order[n-1]]
			if gap := max(g.left-a.right, a.left-g.right); gap > max(a.size, g.size)*0.08 {
				b.WriteByte(' ')
			}
		}
		b.WriteRune(g.char)
	}
	return b.String()
}

// isRightToLeft reports whether a character is a letter or mark of Arabic or Hebrew
// script; their digits run from left to right.
func isRightToLeft(r rune) bool {
	return r >= 0x590 && unicode.In(r, unicode.Arabic, unicode.Hebrew) && !unicode.IsDigit(r)
}

func isNeutral(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// reversedLines turns every line around, and numbers and Latin words in it back,
// for text of a reader that knows no places.
func reversedLines(text string) string {
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		runes := []rune(line)
		glyphs := make([]glyph, len(runes))
		for i, r := range runes {
			glyphs[i] = glyph{char: r, x: float64(i)} // no gaps: the spaces are there
		}
		lines[n] = readLine(glyphs, true)
	}
	return strings.Join(lines, "\n")
}
