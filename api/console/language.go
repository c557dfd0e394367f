package console

import (
	"fmt"
	"net/http"
	"strings"
)

// language is one that the console speaks. Messages are looked up by what they are in English.
type language struct {
	Code, Dir string
	messages  map[string]string
}

var (
	english = &language{Code: "en", Dir: "ltr"}
	urdu    = &language{Code: "ur", Dir: "rtl", messages: urduMessages}
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
