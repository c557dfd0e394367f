package console

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// language is one that the console speaks. Messages are looked up by what they are in English.
type language struct {
	Code, Dir string
	messages  map[string]string
	sentences map[string]string // of the service
}

var (
	english = &language{Code: "en", Dir: "ltr"}
	urdu    = &language{Code: "ur", Dir: "rtl", messages: urduMessages, sentences: urduSentences}
)

const languageCookie = "sealprint_language"

// languageOf is the language that somebody chose, or that their browser asks for.
func languageOf(r *http.Request) *language {
	if c, err := r.Cookie(languageCookie); err == nil {
		if c.Value == urdu.Code {
			return urdu
		}
		return english
	}
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), urdu.Code) {
		return urdu
	}
	return english
}

// T says something in the language, as fmt.Sprintf.
func (l *language) T(message string, args ...any) string {
	if translated, ok := l.messages[message]; ok {
		message = translated
	}
	if len(args) == 0 {
		return message
	}
	return fmt.Sprintf(message, args...)
}

var (
	figures = regexp.MustCompile(`doc_[a-z0-9]+|\d+`)
	joints  = regexp.MustCompile(`, (?:but|which) | and (?:are|in) `)
)

// Said is a sentence that the service says in an answer, in the language if it is known there.
func (l *language) Said(sentence string) string {
	if known, ok := l.sentence(sentence); ok {
		return known
	}
	if at := joints.FindStringIndex(sentence); at != nil {
		beginning, one := l.sentence(sentence[:at[0]])
		end, two := l.sentence(sentence[at[0]:])
		if one && two {
			return beginning + end
		}
	}
	return sentence
}

func (l *language) sentence(s string) (string, bool) {
	format, ok := l.sentences[figures.ReplaceAllLiteralString(s, "%s")]
	if !ok {
		return "", false
	}
	var args []any
	for _, figure := range figures.FindAllString(s, -1) {
		args = append(args, figure)
	}
	return fmt.Sprintf(format, args...), true
}

// Other is the language to change to.
func (l *language) Other() *language {
	if l == urdu {
		return english
	}
	return urdu
}

// Name is what a language calls itself.
func (l *language) Name() string {
	if l == urdu {
		return "اردو"
	}
	return "English"
}

func setLanguage(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	v.setCookie(languageCookie, v.r.PostForm.Get("language"), 365*24*3600)
	return v.goTo(localPath(v.r.PostForm.Get("to")))
}
