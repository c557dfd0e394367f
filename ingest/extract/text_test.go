package extract

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

const (
	english = "All human beings are born free and equal in dignity and rights.\n"
	french  = "Considérant que la reconnaissance de la dignité inhérente à tous les êtres\n"
	arabic  = "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق\n"
	urdu    = "تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔\n"
)

func encode(t testing.TB, e encoding.Encoding, text string) string {
	t.Helper()
	s, err := encoding.ReplaceUnsupported(e.NewEncoder()).String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecodeText(t *testing.T) {
	little := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	big := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	// windows-1256 has neither the Urdu full stop nor the Farsi yeh.
	urdu1256 := strings.NewReplacer("۔", ".", "ی", "ي").Replace(urdu)
	for _, test := range []struct{ name, bytes, want string }{
		{"ASCII", english, english},
		{"UTF-8", urdu, urdu},
		{"UTF-8 with mark", "\xef\xbb\xbf" + urdu, urdu},
		{"UTF-8 cut", urdu[:len(urdu)-2], urdu[:len(urdu)-3] + "\uFFFD"},
		{"UTF-16 with mark", "\xff\xfe" + encode(t, little, urdu), urdu},
		{"UTF-16, big, with mark", "\xfe\xff" + encode(t, big, english), english},
		{"UTF-16", encode(t, little, english), english},
		{"UTF-16, big", encode(t, big, english), english},
		{"UTF-16, Urdu", encode(t, little, urdu), urdu},
		{"UTF-16, big, Urdu", encode(t, big, urdu), urdu},
		{"windows-1252", encode(t, charmap.Windows1252, french), french},
		{"windows-1252 quotes", "\x93quoted\x94", "“quoted”"},
		{"windows-1256", encode(t, charmap.Windows1256, arabic), arabic},
		{"windows-1256, Urdu", encode(t, charmap.Windows1256, urdu1256), urdu1256},
		{"windows-1256 among English", english + encode(t, charmap.Windows1256, arabic), english + arabic},
		{"ISO 8859-6", encode(t, charmap.ISO8859_6, arabic), arabic},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := clean(decodeText([]byte(test.bytes))); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{"", "inode/x-empty"},
		{english, "text/plain"},
		{"a,b,c\n1,2,3\n4,5,6\n", "text/csv"},
		{`{"a": 1}`, "application/json"},
		{"# Title\n\nText\n", "text/plain"},
		{"<?xml version=\"1.0\"?><act/>", "text/xml"},
		{"<?xml version=\"1.0\"?>\n<!-- x --><html xmlns=\"http://www.w3.org/1999/xhtml\"/>", "application/xhtml+xml"},
		{"<html><body>x", "text/html"},
		{encode(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "<html><body>x"), "text/html"},
		{"From: Secretary\nTo: Minister\nSubject: Budget\n\nText\n", "text/plain"},
		{"Received: x\nMIME-Version: 1.0\n\nText\n", "message/rfc822"},
		{"{\\rtf1 x}", "text/rtf"},
		{"%PDF-1.4\n", "application/pdf"},
		{"PK\x03\x04\x14\x00", "application/zip"},
		{"\x00\x01\x02\x03", "application/octet-stream"},
	} {
		f := File{strings.NewReader(test.content), int64(len(test.content))}
		if got := sniff(f); got != test.want {
			t.Errorf("%q: got %s, want %s", test.content, got, test.want)
		}
	}
	for mediaType, want := range map[string]bool{
		"text/plain": true, "text/csv": true, "application/json": true, "text/xml": true,
		"text/rtf": false, "message/rfc822": false, "application/zip": false, "image/svg+xml": false,
	} {
		if isText(mediaType) != want {
			t.Errorf("isText(%s) = %v", mediaType, !want)
		}
	}
}

func TestHTML(t *testing.T) {
	for _, test := range []struct{ name, html, want string }{
		{"title and body", "<html><head><title>A &amp; B</title><style>p{}</style></head><body><p>One</p><p>Two", "A & B\nOne\nTwo"},
		{"inline", "a <b>b</b>c<i> d </i>\n e", "a bc d e"},
		{"break", "a<br>b<br/>c", "a\nb\nc"},
		{"table", "<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"},
		{"script", "a<script>if (x < 1) document.write('<p>b')</script>c", "ac"},
		{"self-closing script", "a<script src='x'/>b</script>c", "abc"},
		{"template, noscript", "a<template><p>b<template>c</template>d</template>e<noscript>f</noscript>g", "aeg"},
		{"hidden", "a<div hidden>b<div>c</div>d</div>e", "a\ne"},
		{"hidden style", "a<span style='color: red; Display : NONE'>b</span>c", "ac"},
		{"hidden paragraph without end", "<p hidden>a<p>b", "b"},
		{"hidden void", "a<input hidden>b", "ab"},
		{"hidden without end", "<body><div hidden>a</body>b", "b"},
		{"entities", "&#1575;&nbsp;&copy;&bogus;", "ا\u00a0©&bogus;"},
		{"comment", "a<!-- b -->c", "ac"},
		{"unclosed tag", "a<p b", "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := htmlText(test.html); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDecodeHTML(t *testing.T) {
	for _, test := range []struct{ name, bytes, want string }{
		{"declared", "<meta charset=windows-1251>\xc4\xe0", "Да"},
		{"declared the old way", `<meta http-equiv=content-type content="text/html; charset=koi8-r">` + "\xe4\xc1", "Да"},
		{"declared wrongly", "<meta charset=windows-1252>" + urdu, urdu},
		{"not declared", encode(t, charmap.Windows1256, arabic), arabic},
		{"ASCII with escapes", "<meta charset=iso-2022-jp>\x1b$B$\"\x1b(B", "あ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := decodeHTML([]byte(test.bytes)); !strings.HasSuffix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzDecodeText(f *testing.F) {
	f.Add([]byte(english))
	f.Add([]byte(encode(f, charmap.Windows1256, arabic)))
	f.Add([]byte(encode(f, unicode.UTF16(unicode.BigEndian, unicode.UseBOM), urdu)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := clean(decodeText(b))
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Errorf("got %q", got)
		}
		if utf8.Valid(b) && utf16Order(b) == nil && got != clean(strings.TrimPrefix(string(b), "\ufeff")) {
			t.Errorf("UTF-8 %q became %q", b, got)
		}
	})
}

func FuzzHTML(f *testing.F) {
	f.Add([]byte("<html><title>x</title><p hidden>a<p>b<script>c</script><table><td>d"))
	f.Add([]byte("<meta charset=utf-16><template><template>x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := clean(htmlText(decodeHTML(b)))
		if !utf8.ValidString(got) {
			t.Errorf("got %q", got)
		}
		// What is no markup is text, whatever is around it.
		page := "<p>before</p>" + strings.NewReplacer("<", "", "&", "").Replace(string(b)) + "<p>after</p>"
		if got := htmlText(page); !strings.HasPrefix(got, "before") || !strings.HasSuffix(got, "after") {
			t.Errorf("%q became %q", page, got)
		}
	})
}

func FuzzSniff(f *testing.F) {
	f.Add("%PDF-1.7")
	f.Add("From: a\nMIME-Version: 1.0\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got := sniff(File{strings.NewReader(s), int64(len(s))}); got == "" || strings.ContainsAny(got, "; \n") {
			t.Errorf("got %q", got)
		}
	})
}

func TestReadersAreFound(t *testing.T) {
	for _, r := range Readers("") {
		if r.Name == "" || len(r.Types) == 0 || r.Read == nil {
			t.Errorf("incomplete reader %+v", r.Name)
		}
	}
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Error(err)
	}
}
