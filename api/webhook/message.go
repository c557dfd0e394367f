package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sealprint/sealprint/storage"
)

// secretBytes is the length of secrets: that of the hash, and in the range of the
// specification, 24 to 64.
const secretBytes = 32

// NewSecret makes a secret of a webhook.
func NewSecret() []byte {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	return secret
}

// EncodeSecret is a secret as users see it, and as libraries for receivers take it.
func EncodeSecret(secret []byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}

// message is the body of a delivery.
type message struct {
	Type      storage.EventType `json:"type"`
	Timestamp time.Time         `json:"timestamp"`
	Data      data              `json:"data"`
}

type data struct {
	Alert      storage.AlertID    `json:"alert_id,omitempty"`
	Department string             `json:"department,omitempty"`
	Document   storage.DocumentID `json:"document_id,omitempty"`
}

func encode(e storage.Event) ([]byte, error) {
	body, err := json.Marshal(message{e.Type, e.At.UTC(), data{e.Alert, e.Department, e.Document}})
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return body, nil
}

// sign sets the headers that say whose event it is: one signature of the secret, and another
// of the one before while that holds.
func sign(header http.Header, w *storage.Webhook, id storage.EventID, at time.Time, body []byte) error {
	secrets := [][]byte{w.Secret}
	if len(w.Previous) > 0 && at.Before(w.PreviousUntil) {
		secrets = append(secrets, w.Previous)
	}
	var signatures []string
	for _, secret := range secrets {
		key, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return fmt.Errorf("sign event: %w", err)
		}
		signature, err := key.Sign(string(id), at, body)
		if err != nil {
			return fmt.Errorf("sign event: %w", err)
		}
		signatures = append(signatures, signature)
	}
	header.Set(standardwebhooks.HeaderWebhookID, string(id))
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}
