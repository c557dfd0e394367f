package fingerprint

import (
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ClassesVersion changes whenever class answers differently for any character.
const ClassesVersion = 1

// confused lists characters that are taken for each other: the first of each
// row stands for all of them. Latin rows are the usual errors of optical
// character recognition; Arabic rows are the letters that keyboards and fonts of
// Urdu, Persian and Arabic exchange; Greek and Cyrillic rows are the letters that
// look like Latin ones and are used to dodge filters.
var confused = []string{
	"il1tfj" + "ıιіїјτт",
	"oce0" + "οсеєоσѕ",
	"nurhbmv6" + "νυпгнвмиη",
	"gqy9" + "уγ",
	"s5" + "ѕ",
	"a" + "аα", "d" + "ԁ", "k" + "κк", "p" + "ρр", "w" + "ωԝш", "x" + "χх", "z" + "ζ",
	"یيىئۍ", "کك", "ہهةۃۂۀھە", "اأإآٱٲٳ", "وؤ", "ےۓ",
}

var loadClasses = sync.OnceValue(func() *[0x10000]uint16 {
	t := new([0x10000]uint16)
	listed := map[rune]rune{} // to the first of its row
	for _, row := range confused {
		first := []rune(row)[0]
		for _, r := range row {
			if _, ok := listed[r]; !ok {
				listed[r] = first
			}
		}
	}
	for _, digits := range unicode.Nd.R16 { // each range holds whole sets of ten, in order
		for r := digits.Lo; r != 0 && r <= digits.Hi; r++ {
			ascii := '0' + rune(r-digits.Lo)%10
			if first, ok := listed[ascii]; ok {
				ascii = first
			}
			listed[rune(r)] = ascii
		}
	}
	for r := rune(0); r < 0x10000; r++ {
		to := r
		if _, ok := listed[r]; !ok {
			to = base(r)
		}
		if l, ok := listed[to]; ok {
			to = l
		}
		t[r] = uint16(to)
	}
	return t
})

// base strips what is written on top of a letter: é to e.
func base(r rune) rune {
	for _, d := range norm.NFD.String(string(r)) {
		return d
	}
	return r
}

// class folds a normalized character to the class of characters that it is
// confused with. Characters beyond the Basic Multilingual Plane share 2^16
// classes by their low bits, which costs nothing in the scripts we meet.
func class(t *[0x10000]uint16, r rune) uint16 {
	if r < 0x10000 {
		return t[r]
	}
	return uint16(r) ^ 0x8000
}
