package api

import (
	"fmt"
	"strings"
	"testing"
)

// TestMailWebhooks: an address of mail is subscribed as others are, but has no secret, and
// stays one of mail.
func TestMailWebhooks(t *testing.T) {
	h := newHouse(t, options{})
	const path = "/v1/webhooks"
	subscribe := func(url string) reply {
		return h.json("POST", path, fmt.Sprintf(`{"url":%q,"events":["alert.created"],"department":"finance"}`, url))
	}
	made := subscribe("mailto:desk@finance.example.org").want(201)
	mail := read[NewWebhook](made)
	if mail.URL != "mailto:desk@finance.example.org" || strings.Contains(string(made.body), "secret") {
		t.Errorf("%s", made.body)
	}
	signed := read[NewWebhook](subscribe("https://example.org/").want(201))
	if !strings.HasPrefix(signed.Secret, "whsec_") {
		t.Errorf("%+v", signed)
	}
	for _, url := range []string{
		"mailto:desk@example.com", "mailto:desk@example.org?cc=canary@example.org", "mailto:desk@example.org,canary@example.org", "mailto:desk@example.org\r\nBcc: canary@example.org",
		"mailto:canary", "mailto:" + strings.Repeat("canary", 300) + "@example.org",
	} {
		for _, r := range []reply{subscribe(url), h.json("PATCH", path+"/"+mail.ID, fmt.Sprintf(`{"url":%q}`, url))} {
			p := read[Problem](r.want(400))
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/url" || !strings.Contains(p.Errors[0].Detail, "address of webhook") || strings.Contains(string(r.body), "canary") {
				t.Errorf("%.60s: %s", url, r.body)
			}
		}
	}
	for id, url := range map[string]string{mail.ID: "https://example.org/", signed.ID: "mailto:desk@example.org"} {
		if r := h.json("PATCH", path+"/"+id, fmt.Sprintf(`{"url":%q}`, url)).want(400); !strings.Contains(string(r.body), "make another subscription") {
			t.Errorf("%s", r.body)
		}
	}
	if w := read[Webhook](h.json("PATCH", path+"/"+mail.ID, `{"url":"mailto:other@example.org","paused":true}`).want(200)); w.URL != "mailto:other@example.org" || !w.Paused {
		t.Errorf("%+v", w)
	}
	if r := h.json("POST", path+"/"+mail.ID+"/rotate", ``).want(400); !strings.Contains(string(r.body), "mails are not signed") {
		t.Errorf("%s", r.body)
	}
	if again := read[NewWebhook](h.json("POST", path+"/"+signed.ID+"/rotate", ``).want(200)); again.Secret == signed.Secret || again.Secret == "" {
		t.Errorf("%+v", again)
	}
}
