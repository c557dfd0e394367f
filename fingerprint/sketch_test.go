package fingerprint

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

func sketchOf(key *Key, text string) Sketch {
	b := NewBuilder(key, Sparse)
	b.AddPage(1, text)
	return b.Sketch()
}

// TestResemblance: sketches estimate what share of their grams two texts have in
// common, of all that either has.
func TestResemblance(t *testing.T) {
	key := NewKey()
	grams := func(text string) map[Hash]bool {
		set := map[Hash]bool{}
		for _, h := range Grams(key, Normalize(text)) {
			set[h] = true
		}
		return set
	}
	const size = 20_000
	for _, common := range []int{0, size / 4, size / 2, 3 * size / 4, size * 9 / 10, size} {
		shared := fingerprinttest.Prose(1, size)[:common]
		a := shared + fingerprinttest.Prose(2, size)[:size-common]
		b := shared + fingerprinttest.Prose(3, size)[:size-common]
		inA, inB := grams(a), grams(b)
		both := 0
		for h := range inA {
			if inB[h] {
				both++
			}
		}
		truth := float64(both) / float64(len(inA)+len(inB)-both)
		estimate := sketchOf(key, a).Resemblance(sketchOf(key, b))
		// Four standard deviations of 128 samples, at most.
		if math.Abs(estimate-truth) > 4*.5/math.Sqrt(sketchSize) {
			t.Errorf("%d of %d characters in common: resemblance %.3f, estimated as %.3f", common, size, truth, estimate)
		}
		if back := sketchOf(key, b).Resemblance(sketchOf(key, a)); back != estimate {
			t.Errorf("resemblance is %.3f one way and %.3f the other", estimate, back)
		}
	}
	if r := sketchOf(key, "").Resemblance(sketchOf(key, "")); r != 0 {
		t.Errorf("nothing resembles nothing by %v", r)
	}
}

// TestSketchBytes: what is written is read, and nothing else is.
func TestSketchBytes(t *testing.T) {
	for _, size := range []int{0, 200, 5000} {
		s := sketchOf(NewKey(), fingerprinttest.Prose(1, size))
		read, err := ParseSketch(s.Bytes())
		if err != nil || !slices.Equal(read, s) {
			t.Errorf("of a text of %d bytes: %v", size, err)
		}
	}
	for name, b := range map[string]string{
		"cut short": "abc", "too long": strings.Repeat("a", 4*sketchSize+4), "not in order": "bbbbaaaa", "twice the same": "aaaaaaaa",
	} {
		if _, err := ParseSketch([]byte(b)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDrafts: states of one text are told from copies of one form.
func TestDrafts(t *testing.T) {
	key := NewKey()
	sketches := func(texts []string) (all []Sketch) {
		for _, text := range texts {
			all = append(all, sketchOf(key, text))
		}
		return all
	}
	paragraph := func(seed uint64) string { return fingerprinttest.Prose(seed, 800) }
	var changed, forms, copies []string
	text := []string{paragraph(1), paragraph(2), paragraph(3), paragraph(4), paragraph(5), paragraph(6), paragraph(7), paragraph(8)}
	for i := range uint64(6) {
		text[i] = paragraph(100 + i)
		changed = append(changed, strings.Join(text, " "))
		var form strings.Builder
		for j := range uint64(8) {
			form.WriteString(paragraph(200+j) + fingerprinttest.Prose(1000*i+j, 30) + " ")
		}
		forms = append(forms, form.String())
		copies = append(copies, text[7])
	}
	for _, c := range []struct {
		name  string
		texts []string
		want  bool
	}{
		{"each draft changes a paragraph", changed, true}, {"three drafts", changed[:3], true}, {"the first and the last of them", []string{changed[0], changed[5]}, false},
		{"copies of a form", forms, false}, {"three copies of a form", forms[:3], false}, {"copies", copies, true},
	} {
		if got := Drafts(sketches(c.texts)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzParseSketch(f *testing.F) {
	f.Add([]byte("aaaabbbb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSketch(b)
		if err == nil && string(s.Bytes()) != string(b) {
			t.Errorf("%x was read as %x", b, s.Bytes())
		}
		if r := s.Resemblance(s); err == nil && len(s) > 0 && r != 1 {
			t.Errorf("a sketch resembles itself by %v", r)
		}
	})
}
