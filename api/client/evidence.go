package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// EvidenceOptions change a report; the zero value is usual.
type EvidenceOptions struct {
	Format   CreateEvidenceParamsFormat // html
	SeenAt   time.Time                  // now
	Document string                     // only what was found of this one
	Purpose  string                     // what the report is for; it is kept in the audit log
}

// Evidence looks a text up and returns a signed report, a file of the format: package
// api/evidence verifies it.
func (c *Client) Evidence(ctx context.Context, text string, o EvidenceOptions) ([]byte, error) {
	body, err := json.Marshal(CreateEvidenceJSONRequestBody{Text: text})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return c.evidence(ctx, "application/json", bytes.NewReader(body), o)
}

// EvidenceOfFile is Evidence for a file or a picture.
func (c *Client) EvidenceOfFile(ctx context.Context, name string, content io.Reader, o EvidenceOptions) ([]byte, error) {
	contentType, body := form(nil, name, content)
	return c.evidence(ctx, contentType, body, o)
}

func (c *Client) evidence(ctx context.Context, contentType string, body io.Reader, o EvidenceOptions) ([]byte, error) {
	query := queryOf(map[string]string{"format": string(o.Format), "document": o.Document})
	if !o.SeenAt.IsZero() {
		query.Set("seen_at", o.SeenAt.UTC().Format(time.RFC3339))
	}
	var header []string
	if o.Purpose != "" {
		header = []string{"X-Purpose", o.Purpose}
	}
	r, err := c.send(ctx, http.MethodPost, "/v1/evidence?"+query.Encode(), contentType, body, header...)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	file, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: the report broke off: %w", ErrUnavailable, err)
	}
	return file, nil
}

// EvidenceKey is the public key that the deployment's reports verify with.
func (c *Client) EvidenceKey(ctx context.Context) (*EvidenceKey, error) {
	var answer EvidenceKey
	return &answer, c.get(ctx, "/v1/evidence/key", &answer)
}
