// Package fingerprinttest makes texts for tests and benchmarks.
package fingerprinttest

import (
	"math/rand/v2"
	"strings"
	"sync"
)

// vocabulary is shared by all texts, as the words of a language are.
var vocabulary = sync.OnceValue(func() []string {
	r := rand.New(rand.NewPCG(1, 1))
	syllables := strings.Fields("ka lo mi ter shu ran dev pol ish gat nor bel qui ver sam tho wen dri fas jum a e i o u con pre tion ment ing ed al ous ity")
	words := make([]string, 8000)
	seen := map[string]bool{}
	for i := range words {
		for {
			w := ""
			for range 1 + r.IntN(2+min(i/500, 2)) {
				w += syllables[r.IntN(len(syllables))]
			}
			if !seen[w] {
				seen[w], words[i] = true, w
				break
			}
		}
	}
	return words
})

// Prose makes a text of about n bytes, the same for the same seed: words of one
// vocabulary, of which few are used often and many seldom, in sentences and
// paragraphs.
func Prose(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 2))
	words := vocabulary()
	zipf := rand.NewZipf(r, 1.1, 20, uint64(len(words)-1))
	var b strings.Builder
	start := true
	for i := 0; b.Len() < n; i++ {
		w := words[zipf.Uint64()]
		if start {
			w, start = strings.ToUpper(w[:1])+w[1:], false
		}
		b.WriteString(w)
		switch k := r.IntN(100); {
		case k < 7:
			start = true
			b.WriteString(".\n"[:1+r.IntN(2)])
			b.WriteByte(' ')
		case k < 15:
			b.WriteString(", ")
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
