package console

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

// TestSegments: however marks lie, a text is cut so that it is whole again when it is put
// together, each passage begins once, and what is in a passage is marked with one of its numbers.
func TestSegments(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	letters := []rune("ab c\nمتن é́\u202e<&")
	for range 2000 {
		text := make([]rune, chance.IntN(60))
		for i := range text {
			text[i] = letters[chance.IntN(len(letters))]
		}
		var marks []mark
		for i := range chance.IntN(6) {
			start := chance.IntN(70) - 5
			m := mark{start: start, end: start + chance.IntN(30), number: i + 1}
			if chance.IntN(3) == 0 {
				m.number, m.why = 0, "boilerplate"
			}
			marks = append(marks, m)
		}
		all := segments(string(text), slices.Clone(marks))
		joined, at, begun := "", 0, map[int]int{}
		for _, s := range all {
			joined += s.Text
			if s.First {
				begun[s.Number]++
			}
			for range []rune(s.Text) {
				want, ignored := 0, false
				for _, m := range marks {
					if m.start <= at && at < m.end {
						ignored = ignored || m.number == 0
						if m.number > 0 && (want == 0 || m.number < want) {
							want = m.number
						}
					}
				}
				if s.Number != want || (s.Why != "") != (want == 0 && ignored) {
					t.Fatalf("%q, %+v: character %d is in %+v, not in passage %d", string(text), marks, at, s, want)
				}
				at++
			}
		}
		if joined != string(text) {
			t.Fatalf("%q is shown as %q", string(text), joined)
		}
		for number, n := range begun {
			if n != 1 {
				t.Fatalf("passage %d begins %d times", number, n)
			}
		}
	}
}

// TestParts: a long text is cut at ends of lines only, into parts of some size, and is whole again
// when it is put together.
func TestParts(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var all []segment
		text := ""
		for i := range chance.IntN(20) {
			var b strings.Builder
			for b.Len() < chance.IntN(20_000) {
				b.WriteString(strings.Repeat("ح", 1+chance.IntN(100)) + strings.Repeat("\n", chance.IntN(2)))
			}
			all = append(all, segment{Text: b.String() + ".", Number: i, First: true})
			text += all[i].Text
		}
		joined, begun := "", map[int]bool{}
		cut := sheet{Segments: all}.Parts()
		for i, part := range cut {
			before := len(joined)
			for _, s := range part {
				if s.First == begun[s.Number] {
					t.Fatalf("segment %d begins again, or does not begin", s.Number)
				}
				begun[s.Number] = true
				joined += s.Text
			}
			if i < len(cut)-1 && !strings.HasSuffix(joined, "\n") {
				t.Fatalf("part %d ends within a line", i)
			}
			if n := strings.IndexByte(joined[min(before+partSize, len(joined)):], '\n'); n >= 0 && n < len(joined)-1-before-partSize {
				t.Fatalf("part %d of %d bytes goes on for another line", i, len(joined)-before)
			}
		}
		if joined != text || len(begun) != len(all) {
			t.Fatalf("%d bytes became %d", len(text), len(joined))
		}
	}
}

// TestSettle: the ends of a passage move to where the texts stop being equal, and no farther.
func TestSettle(t *testing.T) {
	for _, test := range []struct{ suspect, document, inside, want string }{
		{"so: The committee met, they say", "1. The  committee\nmet; and", "he committee", "The committee met"},
		{"THE COMMITTEE MET", "the committee met", "COMMITTEE", "THE COMMITTEE MET"},
		{"a memo", "b memo", "memo", "memo"},
		{"memo", "memo", "em", "memo"},
		{"کابینہ کا اجلاس ہوا", "وزارت: کابینہ کا اجلاس", "نہ کا اجل", "کابینہ کا اجلاس"},
		{strings.Repeat("x", 100) + "memo", strings.Repeat("x", 100) + "memo", "memo", strings.Repeat("x", maxSettled) + "memo"},
	} {
		place := func(text, part string) *mark {
			before, _, found := strings.Cut(strings.ToLower(strings.Join(strings.Fields(text), " ")), strings.ToLower(part))
			if !found {
				t.Fatalf("%q is not in %q", part, text)
			}
			start := len([]rune(before))
			return &mark{start: start, end: start + len([]rune(part))}
		}
		q := place(test.suspect, test.inside)
		document := strings.Join(strings.Fields(test.document), " ")
		d := place(document, test.inside)
		settle([]rune(test.suspect), []rune(document), q, d)
		if got := string([]rune(test.suspect)[q.start:q.end]); got != test.want {
			t.Errorf("%q: %q, want %q", test.suspect, got, test.want)
		}
		if got := string([]rune(document)[d.start:d.end]); !strings.EqualFold(got, test.want) {
			t.Errorf("%q: %q, want %q", document, got, test.want)
		}
	}
	// Marks of another text move nothing, and break nothing.
	for _, m := range []mark{{start: -1, end: 2}, {start: 3, end: 2}, {start: 0, end: 99}} {
		q, d := m, m
		settle([]rune("memo"), []rune("memo"), &q, &d)
		toWords([]rune("memo"), &q)
		if q != m || d != m {
			t.Errorf("%+v became %+v and %+v", m, q, d)
		}
	}
}

// TestUrdu: all that the console says it says in Urdu, with the same places for values, and
// nothing that it does not say is translated.
func TestUrdu(t *testing.T) {
	said := map[string]bool{}
	message := regexp.MustCompile(`\.T "((?:[^"\\]|\\.)*)"`)
	templates, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(templates) == 0 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	for _, name := range templates {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range message.FindAllStringSubmatch(string(content), -1) {
			said[m[1]] = true
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(source, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			literal, constant := call.Args[0].(*ast.BasicLit)
			if ok && constant && f.Sel.Name == "T" {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				said[text] = true
			}
			return true
		})
	}
	for _, label := range labels {
		said[label] = true
	}
	verbs := regexp.MustCompile(`%(?:\[\d\])?[a-z]`)
	plain := func(s string) []string {
		var all []string
		for _, v := range verbs.FindAllString(s, -1) {
			all = append(all, v[len(v)-1:])
		}
		slices.Sort(all)
		return all
	}
	for text, translated := range urduSentences {
		if !slices.Equal(plain(text), plain(translated)) {
			t.Errorf("%q has other values than %q", translated, text)
		}
	}
	for text := range said {
		translated, ok := urduMessages[text]
		if !ok || translated == "" {
			t.Errorf("%q is not translated", text)
		} else if !slices.Equal(plain(text), plain(translated)) {
			t.Errorf("%q has other values than %q", translated, text)
		}
	}
	for text := range urduMessages {
		if !said[text] {
			t.Errorf("nobody says %q", text)
		}
	}
}

// TestSaid: what the service says is translated with its figures, and left as it is if it is
// not known.
func TestSaid(t *testing.T) {
	for sentence, want := range map[string]string{
		"412 of 3950 characters stand in this document":                          "3950 میں سے 412 حروف اس دستاویز میں موجود ہیں",
		"12 of 90 words stand as on page 7, but version 2 of doc_a1b2 is closer": "90 میں سے 12 الفاظ اسی جگہ ہیں جہاں صفحہ 7 پر، مگر doc_a1b2 کا نسخہ 2 زیادہ قریب ہے",
		"412 of 3950 characters stand in this document and in public text":       "3950 میں سے 412 حروف اس دستاویز میں موجود ہیں اور عوامی متن میں بھی",
		"needs a password": "پاس ورڈ درکار ہے",
		"412 of 3950 characters stand in this document, but %s": "412 of 3950 characters stand in this document, but %s",
		"more than 5 styles": "more than 5 styles",
	} {
		if got := urdu.Said(sentence); got != want {
			t.Errorf("%q: %q, not %q", sentence, got, want)
		}
		if got := english.Said(sentence); got != sentence {
			t.Errorf("%q: %q in English", sentence, got)
		}
	}
	// Nothing that a reason is made of is missing.
	for _, name := range []string{"candidate.go", "sighting.go"} {
		source, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../../fingerprint/match", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(source, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || !strings.Contains(literal.Value, " ") || strings.Contains(literal.Value, "%w") {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			part := strings.TrimSuffix(strings.ReplaceAll(text, "%d", "%s"), "%s")
			if !slices.ContainsFunc(slices.Collect(maps.Keys(urduSentences)), func(s string) bool { return strings.Contains(s, part) }) {
				t.Errorf("%s: %q is not translated", name, text)
			}
			return true
		})
	}
}

// TestLocalPath: after signing in nobody is led to another site.
func TestLocalPath(t *testing.T) {
	for to, want := range map[string]string{
		"/alerts/alr_a?from=2": "/alerts/alr_a?from=2", "": "/", "alerts": "/", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/",
		"javascript:alert(1)": "/", "/a\nb": "/", "http:/evil": "/", "/ok#part": "/ok#part", "%zz": "/",
	} {
		if got := localPath(to); got != want {
			t.Errorf("%q leads to %q, not to %q", to, got, want)
		}
	}
}

// TestChance: chances are told in words that promise no more than the figure.
func TestChance(t *testing.T) {
	for expected, want := range map[float64]string{
		2: "as much matches by chance", 0.5: "chance: one in 2", 4.9e-5: "chance: less than one in 20 thousand", 3e-8: "chance: less than one in 33 million",
		1e-11: "chance: less than one in 99 billion", 1e-300: "chance: less than one in a trillion", 0: "chance: less than one in a trillion",
	} {
		if got := english.Chance(expected); got != want && !(expected == 1e-11 && got == "chance: less than one in 100 billion") {
			t.Errorf("%g: %q, not %q", expected, got, want)
		}
	}
	for share, want := range map[float64]string{0: "0 %", 0.0001: "<0.1 %", 0.037: "3.7 %", 0.5: "50 %", 0.9999: "99.9 %", 1: "100 %"} {
		if got := english.Percent(share); got != want {
			t.Errorf("%g: %q, not %q", share, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := english.Number(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// TestSessions: a session ends with its time, without being used, by signing out; and there are
// never more than so many.
func TestSessions(t *testing.T) {
	c := &clock{time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
	s := newSessions()
	s.now = c.now
	found := func(id string) bool {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: id})
		return s.of(r) != nil
	}
	a := s.begin("key", "")
	if !found(a.id) || found("") || found(a.id+"x") || s.of(httptest.NewRequest("GET", "/", nil)) != nil {
		t.Error("whose session it is depends on nothing but the cookie")
	}
	for range 11 { // used all the time, for a working day
		c.at = c.at.Add(time.Hour)
		if !found(a.id) {
			t.Fatal("a session ended that was used")
		}
	}
	c.at = c.at.Add(time.Hour + time.Second)
	if found(a.id) {
		t.Error("a session outlives a working day")
	}
	b := s.begin("key", "")
	c.at = c.at.Add(idleFor + time.Second)
	if found(b.id) {
		t.Error("a session that nobody used is there")
	}
	d := s.begin("key", "")
	s.end(d)
	if found(d.id) {
		t.Error("a session that was ended is there")
	}
	first := s.begin("key", "")
	for range maxSessions {
		c.at = c.at.Add(time.Millisecond)
		s.begin("key", "")
	}
	if len(s.all) > maxSessions || found(first.id) {
		t.Errorf("%d sessions", len(s.all))
	}
}

// TestShelf: what was looked up is there for whoever looked it up, for an hour, and never takes
// more memory than it may.
func TestShelf(t *testing.T) {
	c := &clock{time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)}
	s := newShelf()
	s.most, s.now = 1<<20, c.now
	put := func(session string, size int) *lookedUp {
		l := &lookedUp{session: session, file: make([]byte, size), answer: &client.MatchAnswer{}}
		s.put(l)
		return l
	}
	mine := put("me", 100)
	if s.get("me", mine.id) != mine || s.get("you", mine.id) != nil || s.get("me", "other") != nil {
		t.Error("it is not mine alone")
	}
	for range maxLookUps {
		put("me", 100)
	}
	if s.get("me", mine.id) != nil || len(s.of("me")) != maxLookUps {
		t.Errorf("%d are kept", len(s.of("me")))
	}
	yours := put("you", s.most/2)
	for range 10 {
		put(fmt.Sprint(rand.Int()), s.most/4)
	}
	total := 0
	for _, l := range s.items {
		total += l.size()
	}
	if total > s.most || s.get("you", yours.id) != nil {
		t.Errorf("%d bytes are kept", total)
	}
	large := put("me", s.most+1)
	if s.get("me", large.id) == nil || len(s.items) != 1 {
		t.Error("what somebody waits for is not kept")
	}
	c.at = c.at.Add(keptFor + time.Second)
	if s.get("me", large.id) != nil || len(s.items) != 0 {
		t.Error("it is kept for longer than an hour")
	}
	gone := put("me", 100)
	s.clear("me")
	if s.get("me", gone.id) != nil {
		t.Error("it is there after signing out")
	}
}

// TestOtherSites: a form of another site does nothing, whatever the browser sends along.
func TestOtherSites(t *testing.T) {
	asked := 0
	c, err := New(Options{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		_, _ = w.Write([]byte(`{"id":"key","grants":[{"role":"admin"}]}`))
	}), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	cookie := &http.Cookie{Name: sessionCookie, Value: c.sessions.begin("key", "").id}
	post := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest("POST", "http://records.example"+path, strings.NewReader(url.Values{"key": {"k"}, "to": {"//evil.example"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(cookie)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		return w.Result()
	}
	patterns := slices.Collect(maps.Keys(routes))
	for _, path := range append(patterns, "POST /sign-in", "POST /sign-out", "POST /language") {
		path, isPost := strings.CutPrefix(path, "POST ")
		if !isPost {
			continue
		}
		path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "a1")
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site"}} {
			before := asked
			if r := post(path, header...); r.StatusCode != http.StatusForbidden || asked != before {
				t.Errorf("%s from %v: %d", path, header, r.StatusCode)
			}
		}
	}
	r := post("/sign-in", "Sec-Fetch-Site", "same-origin")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/" {
		t.Errorf("signed in: %d, %s", r.StatusCode, r.Header.Get("Location"))
	}
	for _, c := range r.Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Value == cookie.Value {
			t.Errorf("%+v", c)
		}
	}
	if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}
