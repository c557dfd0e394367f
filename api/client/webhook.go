package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// ErrNotAuthentic: a request to a webhook is not the server's, was changed, or is more
// than five minutes old.
var ErrNotAuthentic = errors.New("webhook not authentic")

// minSecret is the length of the shortest secret, in bytes, that the specification of
// Standard Webhooks allows. Without a limit an empty setting would be a secret that
// everybody knows.
const minSecret = 24

// Event is what a webhook is told. It may arrive more than once, each time with the same ID.
type Event struct {
	ID        string
	Type      string // alert.created, ...
	Timestamp time.Time
	// What it is about; empty if it is about no such thing.
	AlertID, Department, DocumentID string
}

// VerifyWebhook reads an event from the header and the body of a request, as it was received.
// The secret, whsec_ and so on, is the one that was answered when the webhook was made, or
// its secret was changed: while one is being changed, the server signs with both.
func VerifyWebhook(secret string, header http.Header, body []byte) (Event, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < minSecret {
		return Event{}, fmt.Errorf("verify webhook: need the secret of the webhook, whsec_ and at least %d bytes in base64", minSecret)
	}
	verifier, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return Event{}, fmt.Errorf("verify webhook: %w", err)
	}
	if err := verifier.Verify(body, header); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	var message struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			AlertID    string `json:"alert_id"`
			Department string `json:"department"`
			DocumentID string `json:"document_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return Event{}, fmt.Errorf("read webhook: %w", err)
	}
	return Event{
		ID: header.Get(standardwebhooks.HeaderWebhookID), Type: message.Type, Timestamp: message.Timestamp,
		AlertID: message.Data.AlertID, Department: message.Data.Department, DocumentID: message.Data.DocumentID,
	}, nil
}
