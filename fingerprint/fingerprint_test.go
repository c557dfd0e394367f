package fingerprint

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// reference is the definition of normalized characters, word by word.
func reference(text string) string {
	keep := func(drop func(rune) bool) func(rune) rune {
		return func(r rune) rune {
			if drop(r) {
				return -1
			}
			return r
		}
	}
	text = strings.ToValidUTF8(text, " ")
	text = strings.Map(keep(func(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Variation_Selector) }), text)
	text = cases.Fold().String(norm.NFKC.String(text))
	return strings.Map(keep(func(r rune) bool { return r == 'ـ' || !unicode.In(r, unicode.L, unicode.N) }), text)
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" \t\n.,;-", ""},
		{"The Budget, 2026-27", "thebudget202627"},
		{"Straße İstanbul", "strasseistanbul"},
		{"o\u00adffi\u200bce of\ufeff the \u2066P\u2069M", "officeofthepm"},
		{"ﬁnal ﬂow ½ ①", "finalflow121"},
		{"Ｆｕｌｌ 𝐦𝐚𝐭𝐡", "fullmath"},
		{"e\u0301tude", "étude"},
		{"e\u200b\u0301tude", "étude"},
		{"حُکُومَتِ پاکِستان", "حکومتپاکستان"},
		{"پاکـــستان", "پاکستان"},
		{"ﺣﻜﻮﻣﺖ", "حكومت"},
		{"\xff\xfeab", "ab"},
		{"한\u1112\u1161\u11ab", "한한"},
	} {
		if got := string(Normalize(c.in).Chars); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

var samples = []string{
	"The Cabinet Division has approved the revised schedule of allowances with effect from 1st July, 2026.",
	"Le président a reçu à Genève l’ambassadeur; coût: 1 200 €, TVA incluse — naïveté, Ærøskøbing, Straße.",
	"وزارتِ خزانہ، حکومتِ پاکستان کی جانب سے جاری کردہ دفتری یادداشت نمبر ۱۲ مورخہ ۵ جولائی ۲۰۲۶ء",
	"بحوالہ F.No. 3(2)/2026-Admin سیکشن آفیسر (Budget-II) کی summary منظور کی جاتی ہے۔",
	"ﻭﺯﺍﺭﺕ ﺧﺰﺍﻧﮧ e\u0301\u0327 İ ŉ ǰ ΐ ﬃ ㎏ ½ 한국 \u1100\u1161\u11a8 𝟘𝟙 🇵🇰 क्षि ก็ z\u0335\u0321",
}

// text makes a random text of at least n normalized characters from words of a sample.
func text(r *rand.Rand, sample string, n int) string {
	words := strings.Fields(sample)
	var b strings.Builder
	for b.Len() < 20*n && Normalize(b.String()).Len() < n {
		for range 20 {
			w := []rune(words[r.IntN(len(words))])
			if r.IntN(3) == 0 { // make new words too
				r.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
			}
			b.WriteString(string(w) + " ")
		}
	}
	return b.String()
}

// decorate changes what normalization promises to ignore.
func decorate(r *rand.Rand, s string) string {
	var b strings.Builder
	noise := []string{" ", "\n", "\u200b", "\u00ad", "!!", " — ", "🙂", "\u2066", "*", "\u200f", "…"}
	for _, c := range s {
		if r.IntN(4) == 0 && !unicode.Is(unicode.M, c) && boundaryBefore(c) {
			b.WriteString(noise[r.IntN(len(noise))])
		}
		if c < 0x80 && r.IntN(2) == 0 {
			c = unicode.ToUpper(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

// FuzzNormalize holds Normalize to its definition, and its map to the source.
func FuzzNormalize(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	f.Add("a" + strings.Repeat("\u0301", 100) + "b")
	f.Add("\u0301\u0301x\u1161\u200d\u0300")
	f.Fuzz(func(t *testing.T, in string) {
		got := Normalize(in)
		if want := reference(in); string(got.Chars) != want {
			t.Fatalf("%q\n got %q\nwant %q", in, string(got.Chars), want)
		}
		source := []rune(strings.ToValidUTF8(in, " "))
		last := Span{}
		for i := range got.Chars {
			s := got.Source(Span{i, i + 1})
			if s.Start < last.Start || s.End < last.End || s.Start >= s.End || s.End > got.SourceLen() {
				t.Fatalf("%q: character %d at %v after %v", in, i, s, last)
			}
			last = s
		}
		if len(in) == len(string(source)) && got.SourceLen() != len(source) {
			t.Fatalf("%q: %d code points, want %d", in, got.SourceLen(), len(source))
		}
		// What a character came from normalizes to a text that holds it.
		if len(source) == got.SourceLen() {
			for i, c := range got.Chars {
				s := got.Source(Span{i, i + 1})
				if !slices.Contains(Normalize(string(source[s.Start:s.End])).Chars, c) {
					t.Fatalf("%q: %q is not in its source %v", in, c, s)
				}
			}
		}
	})
}

func testKey(seed byte) *Key {
	var secret [keyBytes]byte
	secret[0] = seed
	return deriveKey(secret)
}

// sharedInLine counts the document's fingerprints that the suspect holds at the
// same distance, for the best distance.
func sharedInLine(w Window, document, suspect []Hash) int {
	at := map[Hash][]int{}
	for i, h := range suspect {
		at[h] = append(at[h], i)
	}
	lines, best := map[int]int{}, 0
	for i, h := range document {
		for _, q := range at[h] {
			lines[i*int(w)-q]++
			best = max(best, lines[i*int(w)-q])
		}
	}
	return best
}

// checkGuarantee is the theorem of the package: a run of n characters of the
// document, wherever it stands in the suspect and however it is dressed up,
// shares w.Hits(n) fingerprints in line.
func checkGuarantee(t *testing.T, seed uint64, sample string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	key := testKey(1)
	document := []rune(text(r, sample, n+200))
	whole := Normalize(string(document))
	start := r.IntN(whole.Len() - n + 1)
	run := whole.Source(Span{start, start + n})
	excerpt := string(document[run.Start:run.End])
	before, after := text(r, samples[0], 30), text(r, samples[2], 30)
	suspect := Normalize(before + ". " + decorate(r, excerpt) + " ." + after)
	for _, w := range []Window{Dense, Sparse, 1, 23, Window(Guarantee - GramSpan + 1)} {
		b := NewBuilder(key, w)
		half := len(document) / 2
		for half < len(document) && !boundaryBefore(document[half]) {
			half++
		}
		b.AddPage(1, string(document[:half]))
		b.AddPage(2, string(document[half:]))
		if got := sharedInLine(w, b.Hashes(), Grams(key, suspect)); got < w.Hits(n) {
			t.Fatalf("seed %d, window %d: %d fingerprints of a run of %d, want %d\ndocument %q\nrun %q", seed, w, got, n, w.Hits(n), string(document), excerpt)
		}
	}
}

func TestGuarantee(t *testing.T) {
	for i, sample := range samples[:4] {
		for seed := range uint64(150) {
			checkGuarantee(t, seed, sample, Guarantee)
			checkGuarantee(t, seed, sample, 64+i*31)
		}
	}
}

func FuzzGuarantee(f *testing.F) {
	for i, s := range samples {
		f.Add(uint64(i), s, uint16(Guarantee))
	}
	f.Fuzz(func(t *testing.T, seed uint64, sample string, n uint16) {
		n %= 300
		if int(n) < GramSpan || Normalize(sample).Len() < 10 || len(sample) > 1000 || strings.ContainsRune(sample, '\ufffd') {
			return
		}
		for _, r := range sample { // texts whose words combine with each other are another theorem
			if unicode.Is(unicode.M, r) || !boundaryBefore(r) || Normalize(string(r)).Len() > 1 {
				return
			}
		}
		checkGuarantee(t, seed, sample, int(n))
	})
}

// TestShorterThanGram: what is shorter than a gram has no fingerprint to share.
func TestShorterThanGram(t *testing.T) {
	key := testKey(1)
	if g := Grams(key, Normalize("only fifteen chars")); len(g) != 1 {
		t.Fatalf("16 characters: %d grams", len(g))
	}
	if g := Grams(key, Normalize("only fifteen char")); len(g) != 0 {
		t.Fatalf("15 characters: %d grams", len(g))
	}
	b := NewBuilder(key, Dense)
	b.AddPage(1, "only fifteen char")
	b.AddPage(2, "")
	if len(b.Hashes()) != 0 {
		t.Fatal("a short document has fingerprints")
	}
}

// TestWorkedExample is the example of the package comment.
func TestWorkedExample(t *testing.T) {
	s := parseSeed("1101")
	grams := func(text string, step int) []string {
		n := Normalize(text)
		var out []string
		for i := 0; i+4 <= n.Len(); i += step {
			var g []rune
			for _, offset := range s {
				g = append(g, n.Chars[i+offset])
			}
			out = append(out, string(g))
		}
		return out
	}
	if got, want := grams("The Budget, 2026-27", 3), []string{"thb", "bug", "ge2", "206"}; !slices.Equal(got, want) {
		t.Errorf("document %q, want %q", got, want)
	}
	if got, want := grams("BUDGET 2026!!", 1), []string{"bug", "ude", "dgt", "ge2", "et0", "t22", "206"}; !slices.Equal(got, want) {
		t.Errorf("suspect %q, want %q", got, want)
	}
	if got, want := Normalize("The Budget, 2026-27").Source(Span{3, 7}), (Span{4, 8}); got != want {
		t.Errorf("gram 3 at %v, want %v", got, want)
	}
}

// TestBuilderIsGrams: the builder keeps every w-th of the grams that a look-up asks for.
func TestBuilderIsGrams(t *testing.T) {
	key := testKey(1)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		document := text(r, samples[seed%5], 10+r.IntN(9000))
		all := Grams(key, Normalize(document))
		for _, w := range []Window{1, Dense, Sparse} {
			b := NewBuilder(key, w)
			b.AddPage(1, document)
			var want []Hash
			for i := 0; i < len(all); i += int(w) {
				want = append(want, all[i])
			}
			if !slices.Equal(b.Hashes(), want) {
				t.Fatalf("seed %d window %d: %d fingerprints, want %d", seed, w, len(b.Hashes()), len(want))
			}
			if p := b.Pages(); len(p) != 1 || p[0].Characters != Normalize(document).Len() || p[0].CodePoints != len([]rune(document)) {
				t.Fatalf("pages %v", p)
			}
		}
	}
}

// TestPlaces: every normalized character of a document leads back to its page
// and code points, through the encoding.
func TestPlaces(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := NewBuilder(testKey(1), Dense)
		var want []Place
		for page := 1; page <= 1+int(seed%4); page++ {
			s := decorate(r, text(r, samples[(int(seed)+page)%5], r.IntN(300)))
			if r.IntN(5) == 0 {
				s = ""
			}
			b.AddPage(page, s)
			n := Normalize(s)
			for i := range n.Chars {
				want = append(want, Place{page, n.Source(Span{i, i + 1}), Span{len(want), len(want) + 1}})
			}
		}
		p, err := ParsePlaces(b.Places())
		if err != nil {
			t.Fatal(err)
		}
		if p.Len() != len(want) {
			t.Fatalf("seed %d: %d characters, want %d", seed, p.Len(), len(want))
		}
		for i, w := range want {
			if got := p.Of(Span{i, i + 1}); len(got) != 1 || got[0] != w {
				t.Fatalf("seed %d: character %d at %v, want %v", seed, i, got, w)
			}
		}
		for range 50 {
			if len(want) == 0 {
				break
			}
			i := r.IntN(len(want))
			j := i + 1 + r.IntN(len(want)-i)
			var expect []Place
			for _, w := range want[i:j] {
				if n := len(expect); n > 0 && expect[n-1].Page == w.Page {
					expect[n-1].End, expect[n-1].Characters.End = w.End, w.Characters.End
				} else {
					expect = append(expect, w)
				}
			}
			if got := p.Of(Span{i, j}); !slices.Equal(got, expect) {
				t.Fatalf("seed %d: %d-%d at %v, want %v", seed, i, j, got, expect)
			}
		}
	}
}

func FuzzParsePlaces(f *testing.F) {
	b := NewBuilder(testKey(1), Dense)
	b.AddPage(1, samples[1])
	b.AddPage(2, samples[4])
	f.Add(b.Places())
	f.Add([]byte{0, 1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := ParsePlaces(in)
		if err != nil {
			return
		}
		p.Of(Span{0, p.Len()})
		p.Of(Span{p.Len() / 2, p.Len()/2 + 1})
	})
}

func TestClasses(t *testing.T) {
	c := func(s string) string {
		var out []rune
		for _, v := range foldClasses(Normalize(s).Chars) {
			out = append(out, rune(v))
		}
		return string(out)
	}
	for _, pair := range [][2]string{
		{"pаypаl раураl", "paypal paypal"}, // Cyrillic а, р, у
		{"Café naïve", "Cafe naive"},
		{"حكومة پاكستان كي", "حکومہ پاکستان کی"},
		{"۱۲۳۴۵۶۷۸۹۰", "1234567890"},
		{"١٢٣٤٥٦٧٨٩٠", "1234567890"},
		{"c0nf1dent1al", "confidential"},
	} {
		if c(pair[0]) != c(pair[1]) {
			t.Errorf("%q: %q, but %q: %q", pair[0], c(pair[0]), pair[1], c(pair[1]))
		}
	}
	if c("budget") == c("badger") || c("کتاب") == c("گلاب") {
		t.Error("different words share their classes")
	}
}

func TestKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a.ID() == b.ID() || a.Seal(7) == b.Seal(7) {
		t.Fatal("two keys are the same")
	}
	again, err := ParseKey(a.Encode())
	if err != nil || again.ID() != a.ID() || again.Seal(7) != a.Seal(7) {
		t.Fatalf("the key does not survive its file: %v", err)
	}
	for _, s := range []string{fmt.Sprint(a), fmt.Sprintf("%v %+v %#v %s", a, a, a, a), a.LogValue().String()} {
		if secret := strings.TrimPrefix(strings.TrimSpace(string(a.Encode())), keyPrefix); strings.Contains(s, secret) || strings.Contains(s, fmt.Sprint(a.k0)) {
			t.Errorf("the key prints itself: %s", s)
		}
	}
	for _, bad := range []string{"", "x", keyPrefix, keyPrefix + "00", keyPrefix + strings.Repeat("g", 64)} {
		if _, err := ParseKey([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
	if err := a.Params().Check(b.Params()); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("fingerprints of two keys mix: %v", err)
	}
}

// TestOtherKey: fingerprints under another key confirm nothing.
func TestOtherKey(t *testing.T) {
	n := Normalize(text(rand.New(rand.NewPCG(1, 1)), samples[0], 3000))
	stored := map[Hash]bool{}
	for _, h := range Grams(testKey(1), n) {
		stored[h] = true
	}
	for _, h := range Grams(testKey(2), n) {
		if stored[h] {
			t.Fatal("a fingerprint is the same under two keys")
		}
	}
}

func TestWindow(t *testing.T) {
	for _, w := range []Window{1, Dense, Sparse, 24} {
		if err := w.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, w := range []Window{-1, 0, 25, 1000} {
		if w.Validate() == nil {
			t.Errorf("window %d is taken", w)
		}
	}
	if Dense.Hits(Guarantee) != 9 || Sparse.Hits(Guarantee) != 2 || Dense.Hits(15) != 0 {
		t.Error("the package comment counts otherwise")
	}
}

func BenchmarkBuilder(b *testing.B) {
	for _, c := range []struct{ name, sample string }{{"english", samples[0]}, {"urdu", samples[2]}} {
		b.Run(c.name, func(b *testing.B) {
			document := text(rand.New(rand.NewPCG(1, 1)), c.sample, 100_000)
			key := testKey(1)
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				NewBuilder(key, Dense).AddPage(1, document)
			}
		})
	}
}

func BenchmarkGrams(b *testing.B) {
	n := Normalize(text(rand.New(rand.NewPCG(1, 1)), samples[0], 280))
	key := testKey(1)
	b.SetBytes(int64(n.SourceLen()))
	for b.Loop() {
		Grams(key, n)
	}
}

// TestMisreader: what a misreader makes are the grams of texts in which one
// sampled character was read as another of the text, and no others.
func TestMisreader(t *testing.T) {
	key := NewKey()
	text := Normalize("The committee decided to postpone the hearing")
	near := key.SealAll(NewMisreader(text).Append(nil, 3))
	was := Grams(key, text)[3]
	if slices.Contains(near, was) {
		t.Error("the gram itself is among its neighbors")
	}
	sampled := SeedOffsets()
	for offset := range GramSpan {
		for _, c := range "wkm" {
			changed := &Text{Chars: slices.Clone(text.Chars)}
			if changed.Chars[3+offset] = c; !strings.ContainsRune(string(text.Chars), c) {
				continue
			}
			hash := Grams(key, changed)[3]
			want := slices.Contains(sampled, offset) && hash != was
			if got := slices.Contains(near, hash); got != want {
				t.Errorf("offset %d read as %c: %v, want %v", offset, c, got, want)
			}
		}
	}
}
