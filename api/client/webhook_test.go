package client

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestVerifyWebhook: what was signed with the secret lately is an event, and nothing else.
func TestVerifyWebhook(t *testing.T) {
	t.Parallel()
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
	const body = `{"type":"alert.created","timestamp":"2026-03-04T05:06:07.000891Z","data":{"alert_id":"alr_a","department":"finance","document_id":"doc_a"}}`
	signed := func(age time.Duration, secrets ...string) http.Header {
		h := http.Header{}
		at := time.Now().Add(-age)
		h.Set("webhook-id", "evt_a")
		h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		var all []string
		for _, s := range secrets {
			key, err := standardwebhooks.NewWebhook(s)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := key.Sign("evt_a", at, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, signature)
		}
		h.Set("webhook-signature", strings.Join(all, " "))
		return h
	}
	without := func(name string) http.Header {
		h := signed(0, secret)
		h.Del(name)
		return h
	}
	renamed := signed(0, secret)
	renamed.Set("webhook-id", "evt_b")
	future := signed(-6*time.Minute, secret)

	want := Event{ID: "evt_a", Type: "alert.created", Timestamp: time.Date(2026, 3, 4, 5, 6, 7, 891_000, time.UTC),
		AlertID: "alr_a", Department: "finance", DocumentID: "doc_a"}
	for name, h := range map[string]http.Header{
		"one": signed(0, secret), "several": signed(0, other, secret), "aged": signed(4*time.Minute, secret),
	} {
		if got, err := VerifyWebhook(secret, h, []byte(body)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, h := range map[string]http.Header{
		"other": signed(0, other), "old": signed(6*time.Minute, secret), "future": future, "renamed": renamed, "unsigned": signed(0), "none": {},
		"no id": without("webhook-id"), "no time": without("webhook-timestamp"), "no signature": without("webhook-signature"),
	} {
		if got, err := VerifyWebhook(secret, h, []byte(body)); !errors.Is(err, ErrNotAuthentic) || got != (Event{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := VerifyWebhook(secret, signed(0, secret), []byte(body+" ")); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("changed body: %v", err)
	}
	// A secret that was forgotten in the settings is none, although it can be signed with.
	for _, s := range []string{"", "whsec_", "whsec_c2hvcnQ="} {
		if got, err := VerifyWebhook(s, signed(0, s), []byte(body)); err == nil {
			t.Errorf("secret %q: %+v", s, got)
		}
	}
	if _, err := VerifyWebhook("whsec_not base64", signed(0, secret), []byte(body)); err == nil {
		t.Error("a secret that is not base64")
	}
}
