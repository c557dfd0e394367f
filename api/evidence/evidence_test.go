package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/sealprint/sealprint/fingerprint"
)

var kinds = []Kind{HTML, JSON}

// sample is a report about a text that shows a document, with hostile or harmless words.
func sample(title, reason, text, page string) Report {
	n := utf8.RuneCountInString
	answer := map[string]any{
		"id": "mat_a", "verdict": "unauthorized", "reason": reason, "index_version": "7", "guarantee_characters": 64, "partial": true, "missing": []string{title}, "scope": []string{title, "*"},
		"matches": []any{map[string]any{
			"document":    map[string]any{"id": "doc_a", "title": title, "source": title, "version": 3, "department": title, "classification": title},
			"disposition": "alert", "reason": reason, "channel": "text", "score": .97, "expected_by_chance": 1.2e-11,
			"containment": map[string]any{"query": .91, "document": .04}, "matched_characters": 212,
			"passages": []any{map[string]any{"query": map[string]any{"start": 1, "end": n(text) - 1}, "document": map[string]any{"page": 2, "start": 1, "end": n(page) - 1}, "similarity": .96}},
		}},
		"explanation": map[string]any{
			"threshold": 1e-4, "dropped": []any{map[string]any{"reason": "public", "characters": 1200}, map[string]any{"reason": title, "fingerprints": 2}},
			"nearest": map[string]any{"document": map[string]any{"id": title, "version": 1}, "lacks": reason},
		},
		"obfuscation": map[string]any{"zero_width": 4},
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		panic(err) // there is nothing in it that cannot be encoded
	}
	return Report{
		MadeAt: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), MadeBy: Maker{"abc", title}, Purpose: reason, Software: "sealprint test", SeenAt: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		Suspect: Suspect{Kind: "text", SHA256: strings.Repeat("0", 64), Size: int64(len(text)), Texts: []Text{{Length: n(text), Excerpts: []Excerpt{{0, text}}}}},
		Answer:  encoded, AuditHead: "sealprint-audit-1 a 1 b c d",
		Pages: []Page{{Document: "doc_a", Version: 3, Reader: "text 1", Reason: reason, Text: Text{Page: 2, Length: n(page), Excerpts: []Excerpt{{0, page}}}}},
	}
}

func sign(t testing.TB, kind Kind, r Report, key *fingerprint.Key) []byte {
	t.Helper()
	file, err := Sign(kind, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRoundTrip: what was signed is read back from either kind of file, with the key that
// signed it.
func TestRoundTrip(t *testing.T) {
	key := fingerprint.NewKey()
	for _, kind := range kinds {
		want := sample("A title", "a reason", "the text of a post", "the text of a page")
		r, s, err := Verify(sign(t, kind, want, key))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if s.Kind != kind || !s.PublicKey.Equal(PublicKey(key)) || r.KeyID != key.ID() || r.PublicKey != hex.EncodeToString(PublicKey(key)) {
			t.Errorf("%s: %+v %+v", kind, s, r)
		}
		want.Format, want.KeyID, want.PublicKey = Format, r.KeyID, r.PublicKey
		if !reflect.DeepEqual(*r, want) {
			t.Errorf("%s:\n%+v\nnot\n%+v", kind, *r, want)
		}
		if parsed, err := ParsePublicKey(r.PublicKey + "\n"); err != nil || !parsed.Equal(s.PublicKey) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if PublicKey(key).Equal(PublicKey(fingerprint.NewKey())) {
		t.Error("two deployments sign with one key")
	}
	for _, text := range []string{"", "zz", strings.Repeat("0", 63), strings.Repeat("A", 64), strings.Repeat("0", 66)} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q is a public key", text)
		}
	}
	if _, err := Sign("pdf", sample("", "", "abc", "abc"), key); err == nil {
		t.Error("there is a third kind")
	}
}

// TestAnyByte: whatever byte is changed, left out or added, wherever a file is cut off, it
// does not verify.
func TestAnyByte(t *testing.T) {
	key := fingerprint.NewKey()
	for _, kind := range kinds {
		file := sign(t, kind, sample("t", "r", "the text", "the page"), key)
		refused := func(what string, at int, changed []byte) {
			t.Helper()
			if _, _, err := Verify(changed); !errors.Is(err, ErrChanged) && !errors.Is(err, ErrUnsigned) {
				t.Fatalf("%s: %s at %d: %v", kind, what, at, err)
			}
		}
		for i := range file {
			b := bytes.Clone(file)
			for _, mask := range []byte{1, 0x20, 0x80} { // 0x20: of a letter, its case
				b[i] = file[i] ^ mask
				refused("changed", i, b)
			}
			refused("cut off", i, file[:i])
			refused("cut off in front", i+1, file[i+1:])
			if i%7 == 0 {
				refused("left out", i, append(bytes.Clone(file[:i]), file[i+1:]...))
				refused("added", i, append(append(bytes.Clone(file[:i]), ' '), file[i:]...))
			}
		}
		for _, more := range []string{" ", "\n", "\x00", string(file), string(file[len(file)-250:])} {
			refused("appended", len(more), append(bytes.Clone(file), more...))
		}
		// What is signed in one kind is nothing in the other.
		_, s, err := Verify(file)
		if err != nil {
			t.Fatal(err)
		}
		body := file[:len(file)-len(s.end())]
		for _, other := range kinds {
			if other != kind {
				refused("as "+string(other), 0, append(bytes.Clone(body), (&Signature{other, s.PublicKey, s.Value}).end()...))
			}
		}
		// Another's signature of the same verifies, as another's.
		again := fingerprint.NewKey()
		if _, s, err := Verify(sign(t, kind, sample("t", "r", "the text", "the page"), again)); err != nil || s.PublicKey.Equal(PublicKey(key)) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// hostile are words that mean something to a browser.
var hostile = []string{
	`<script>alert(1)</script>`, `</script><script>alert(1)//`, `-->`, `<!--`, `</template></main><img src=x onerror=alert(1)>`, `</style><style>*{display:none}`,
	`" onmouseover="alert(1)`, `'><svg onload=alert(1)>`, `javascript:alert(1)`, `{{.PublicKey}}`, `&lt;b&gt; &amp; &#60;`, "\u202Eevil\u202D \u2066x\u2069 \u200F", "a\x00b\r\nc\u2028d\u2029",
	`]]>`, `<![CDATA[`, `<meta http-equiv=refresh content=0>`, `<base href=//x>`, `<iframe src=//x>`, `<template id="report">{}</template>`, strings.Repeat("long title ", 1000),
	"حکومتِ پاکستان <b>کی</b> جانب سے", "\xff\xfe", strings.Repeat("&", 300),
}

// TestHostile: nothing that was submitted, registered or given as a reason becomes anything
// but text, and the report in the file is as it was.
func TestHostile(t *testing.T) {
	key := fingerprint.NewKey()
	plain := outline(t, sign(t, HTML, sample("title", "reason", "the text of it", "the page of it"), key))
	for _, words := range hostile {
		valid := string([]rune(words))
		r := sample(words, words, "x"+valid+"y", "x"+valid+"y")
		file := sign(t, HTML, r, key)
		if got := outline(t, file); got != plain {
			t.Errorf("%.60q makes another page of it:\n%s\nnot\n%s", words, got, plain)
		}
		read, _, err := Verify(file)
		if err != nil {
			t.Errorf("%.60q: %v", words, err)
			continue
		}
		if read.Suspect.Texts[0].Excerpts[0].Text != "x"+valid+"y" || read.Purpose != valid {
			t.Errorf("%.60q became %.60q", words, read.Purpose)
		}
		// What people read is the text, too; browsers have no NUL and one kind of line end.
		seen := strings.NewReplacer("\x00", "\uFFFD", "\r\n", "\n").Replace(valid)
		if all := strings.Join(strings.Fields(words), ""); all != "" && strings.Count(textOf(t, file), seen) < 8 {
			t.Errorf("%.60q is not shown", words)
		}
	}
}

// outline is a page without its texts: elements and attributes of one kind, as often as they
// follow each other once. It fails the test if anything in it could act.
func outline(t *testing.T, file []byte) string {
	t.Helper()
	var b strings.Builder
	walk(t, file, func(n *html.Node) {
		if n.Type == html.CommentNode && !strings.HasPrefix(n.Data, " "+Format+" ed25519 ") {
			t.Errorf("a comment: %.60q", n.Data)
		}
		if n.Type != html.ElementNode {
			return
		}
		switch n.Data {
		case "script", "iframe", "object", "embed", "link", "base", "form", "img", "input", "a":
			t.Errorf("there is an element %s", n.Data)
		}
		fmt.Fprintf(&b, "<%s", n.Data)
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "data:image/png;base64,") && !strings.HasPrefix(a.Val, "#picture") {
				t.Errorf("%s has the attribute %s=%.60q", n.Data, a.Key, a.Val)
			}
			fmt.Fprintf(&b, " %s", a.Key)
		}
		b.WriteString(">")
	})
	return b.String()
}

func walk(t *testing.T, file []byte, visit func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		visit(n)
	}
}

// textOf is what a page says, without its data.
func textOf(t *testing.T, file []byte) string {
	t.Helper()
	var b strings.Builder
	walk(t, file, func(n *html.Node) {
		if n.Type == html.TextNode && n.Parent.Data != "template" && n.Parent.Data != "style" {
			b.WriteString(n.Data)
		}
	})
	return b.String()
}

// TestPage: the page lets nothing be loaded and nothing run, and its style is the one that its
// policy allows.
func TestPage(t *testing.T) {
	file := sign(t, HTML, sample("title", "reason", "the text of it", "the page of it"), fingerprint.NewKey())
	policy, sum, data := "", "", ""
	walk(t, file, func(n *html.Node) {
		switch {
		case n.Type == html.ElementNode && n.Data == "style":
			s := sha256.Sum256([]byte(n.FirstChild.Data))
			sum = base64.StdEncoding.EncodeToString(s[:])
		case n.Type == html.ElementNode && n.Data == "meta" && n.Attr[0].Val == "Content-Security-Policy":
			policy = n.Attr[1].Val
		case n.Type == html.TextNode && n.Parent.Data == "template":
			data = n.Data
		}
	})
	if want := "default-src 'none'; style-src 'sha256-" + sum + "'; base-uri 'none'; form-action 'none'"; policy != want {
		t.Errorf("the policy is\n%s\nnot\n%s", policy, want)
	}
	var r Report
	if err := json.Unmarshal([]byte(data), &r); err != nil || r.Format != Format {
		t.Errorf("%v: %.60s", err, data)
	}
	if external := strings.Contains(string(file), "//"); external {
		t.Error("something in it has an address elsewhere")
	}
	text := textOf(t, file)
	for _, want := range []string{
		"Unauthorized", "91 % of what was submitted stands in the document; 4 % of the document", "212 letters and digits match", "about one of 83 billion such look-ups", "Passage 1 96 % alike",
		"1,200 letters and digits: stands in public collections, too.", "4 characters that nobody sees", "sealprint evidence verify FILE", r.PublicKey, r.AuditHead, r.Suspect.SHA256, "0.0001",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// TestPictures: a picture is in the page itself, with boxes that have numbers.
func TestPictures(t *testing.T) {
	r := sample("title", "reason", "abc", "the page of it")
	r.Suspect = Suspect{Kind: "image", SHA256: strings.Repeat("0", 64), Size: 9, Pictures: []Picture{{Width: 200, Height: 100, PNG: []byte("any bytes")}}}
	r.Answer = bytes.Replace(r.Answer, []byte(`"query":{"end":2,"start":1}`), []byte(`"query":{"x":0.1,"y":0.2,"width":0.5,"height":0.5}`), 1)
	file := sign(t, HTML, r, fingerprint.NewKey())
	outline(t, file)
	for _, want := range []string{`href="data:image/png;base64,YW55IGJ5dGVz"`, `<rect class="c1" x="20" y="20" width="100" height="50"/>`, "img-src data:", ">1</text>"} {
		if !strings.Contains(string(file), want) {
			t.Errorf("it lacks %s", want)
		}
	}
	if read, _, err := Verify(file); err != nil || !bytes.Equal(read.Suspect.Pictures[0].PNG, []byte("any bytes")) {
		t.Error(err)
	}
}

// TestLarge: a text of a megabyte, on one line, makes a report in a second, which leaves out on
// the page what is far from passages, and nothing in the data.
func TestLarge(t *testing.T) {
	for name, text := range map[string]string{"one line": strings.Repeat("x", 1<<20), "words": strings.Repeat("سرکاری words ", 1<<16)} {
		r := sample("title", "reason", text, "the page of it")
		r.Answer = bytes.Replace(r.Answer, []byte(`"query":{"end":`+fmt.Sprint(utf8.RuneCountInString(text)-1)+`,"start":1}`), []byte(`"query":{"end":600100,"start":600000}`), 1)
		start := time.Now()
		file := sign(t, HTML, r, fingerprint.NewKey())
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		read, _, err := Verify(file)
		if err != nil || read.Suspect.Texts[0].Excerpts[0].Text != text {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(textOf(t, file)); n > 50_000 {
			t.Errorf("%s: the page shows %d bytes", name, n)
		}
	}
}

// TestPieces: the pieces of a text are all of it, in order, or say how much of it is left out;
// each passage begins once, and what is marked is what passages cover.
func TestPieces(t *testing.T) {
	text := []rune(strings.Repeat("کچھ words of a text\n", 200))
	for _, c := range []struct {
		spans   []Span
		context int
	}{
		{nil, 40}, {[]Span{{0, 10}}, 0}, {[]Span{{5, 50}, {20, 30}, {25, 90}}, 20}, {[]Span{{100, 200}, {200, 300}, {1000, 1500}}, 100},
		{[]Span{{0, len(text)}}, 10}, {[]Span{{10, 20}, {len(text) - 5, len(text)}}, 1 << 20}, {[]Span{{3900, 9000}, {-5, 3}}, 7},
	} {
		whole := Text{Length: len(text), Excerpts: []Excerpt{{0, string(text)}}}
		parts := Text{Length: len(text), Excerpts: Around(text, c.spans, c.context+30)}
		for name, in := range map[string]Text{"all of it": whole, "excerpts": parts} {
			var passages []numbered
			covered := map[int]bool{}
			for i, s := range c.spans {
				passages = append(passages, numbered{s, i + 1})
				for at := s.Start; at < s.End; at++ {
					covered[at] = true
				}
			}
			at, begun := 0, map[int]int{}
			for _, p := range show(in).pieces(passages, c.context) {
				if p.Left != "" {
					n := 0
					if _, err := fmt.Sscan(strings.ReplaceAll(p.Left, ",", ""), &n); err != nil || n <= 0 {
						t.Fatalf("%q: %v", p.Left, err)
					}
					at += n
					continue
				}
				for _, r := range p.Text {
					if at >= len(text) || r != text[at] {
						t.Fatalf("%s, %v: at %d stands %q", name, c, at, r)
					}
					if covered[at] != (p.Color > 0) {
						t.Fatalf("%s, %v: at %d the color is %d", name, c, at, p.Color)
					}
					at++
				}
				for _, n := range p.Begins {
					begun[n]++
				}
			}
			if at != len(text) {
				t.Errorf("%s, %v: it ends at %d", name, c, at)
			}
			for i := range c.spans {
				if begun[i+1] != 1 {
					t.Errorf("%s, %v: passage %d begins %d times", name, c, i+1, begun[i+1])
				}
			}
		}
	}
}

// TestWords: numbers are told so that they mean what they are.
func TestWords(t *testing.T) {
	for x, want := range map[float64]string{
		0: "fewer than one of a quadrillion", 1e-300: "fewer than one of a quadrillion", 1.2e-11: "about one of 83 billion", 1e-4: "about one of 10,000", 0.3: "about one of 3.3", 4.5e-13: "about one of 2.2 trillion",
		1e-6: "about one of 1 million", 0.9: "in most such", 1: "about 1 document would", 40: "about 40 documents", 1.06e-3: "about one of 940",
	} {
		if got := chance(x); !strings.Contains(got, want) {
			t.Errorf("%v: %s, not %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0 %", .004: "under 1 %", .041: "4 %", .996: "over 99 %", 1: "100 %"} {
		if got := percent(x); got != want {
			t.Errorf("%v: %s, not %s", x, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := group(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := fingerprint.NewKey()
	var files [][]byte
	for _, kind := range kinds {
		files = append(files, sign(f, kind, sample("t", "r", "the text", "the page"), key))
		f.Add(files[len(files)-1])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_, s, err := Verify(file)
		if err == nil && s.PublicKey.Equal(PublicKey(key)) && !bytes.Equal(file, files[0]) && !bytes.Equal(file, files[1]) {
			t.Errorf("it verifies: %q", file)
		}
	})
}
