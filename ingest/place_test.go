package ingest

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// What the place, the rules and the job say: the job before the first rule that matches
// before the place, each field by itself.
func TestSay(t *testing.T) {
	p := Place{Said: Said{"records", "internal", "papers"}, Rules: []Rule{
		{Key: "cabinet/*", Said: Said{Department: "cabinet", Classification: "secret"}},
		{Tag: "class", Value: "top secret", Said: Said{Classification: "top secret"}},
		{Key: "*/minutes-????.pdf", Tag: "class", Value: "secret", Said: Said{Collection: "minutes"}},
		{Key: "*", Said: Said{Classification: "restricted"}},
	}}
	for _, test := range []struct {
		key, tag string
		said     Said
		want     Said
	}{
		{"memo.pdf", "", Said{}, Said{"records", "restricted", "papers"}},
		{"cabinet/memo.pdf", "", Said{}, Said{"cabinet", "secret", "papers"}},
		{"cabinet/memo.pdf", "top secret", Said{}, Said{"cabinet", "secret", "papers"}},
		{"memo.pdf", "top secret", Said{}, Said{"records", "top secret", "papers"}},
		{"works/minutes-2026.pdf", "secret", Said{}, Said{"records", "restricted", "minutes"}},
		{"works/minutes-26.pdf", "secret", Said{}, Said{"records", "restricted", "papers"}},
		{"cabinet/memo.pdf", "", Said{Department: "works"}, Said{"works", "secret", "papers"}},
	} {
		got, err := p.say(test.key, test.said, func() (map[string]string, error) { return map[string]string{"class": test.tag}, nil })
		if err != nil || got != test.want {
			t.Errorf("%+v: %+v, %v", test, got, err)
		}
	}
	// Tags are not asked for where they do not matter.
	all := Said{"a", "b", "c"}
	if got, err := p.say("memo.pdf", all, func() (map[string]string, error) { return nil, errors.New("asked") }); err != nil || got != all {
		t.Errorf("%+v, %v", got, err)
	}
	if p.owner() != "" || !p.tagged() {
		t.Error("the place belongs to several departments, and asks for tags")
	}
}

// Patterns mean what the regular expressions mean that are made of them.
func FuzzMatches(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b*c", "aXbXbc"}, {"?*", "é"}, {"**a", "ba"}, {"a*?c", "ac"}, {"*.pdf", "x.pdf.pdf"}, {"*ab*ab", "abab"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		pattern, key = strings.ToValidUTF8(pattern, "?"), strings.ToValidUTF8(key, "?")
		quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(key)
		if got := matches(pattern, key); got != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, key, got, want)
		}
	})
}
