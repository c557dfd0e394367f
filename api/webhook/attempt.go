package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"github.com/sealprint/sealprint/storage"
)

// maxAnswer is how much is read of an answer, so that the connection can be used again:
// nobody looks at it. What is longer costs the connection.
const maxAnswer = 64 << 10

// answer is what came of an attempt.
type answer struct {
	took    time.Duration
	status  int           // of HTTP or SMTP; 0: none
	failure string        // in words of ours, without anything that the receiver said; empty: success
	later   time.Duration // that the receiver asks for
	gone    bool          // there is no such receiver any more
}

// attempt sends an event once.
func (d *Deliverer) attempt(ctx context.Context, w *storage.Webhook, e storage.Event, at time.Time) answer {
	ctx, cancel := context.WithTimeout(ctx, d.timing.attempt)
	defer cancel()
	send := d.post
	if ByMail(w.URL) {
		send = d.mail.send
	}
	a, err := send(ctx, w, e, at)
	if err != nil {
		a.failure = explain(err)
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			a.failure = fmt.Sprintf("timed out after %v", d.timing.attempt)
		}
	}
	a.took = time.Since(at)
	return a
}

// post sends an event by HTTP.
func (d *Deliverer) post(ctx context.Context, w *storage.Webhook, e storage.Event, at time.Time) (answer, error) {
	body, err := encode(e)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "sealprint-webhooks/1")
	// It is not sent, but says that the request may be repeated: when a receiver closed an
	// idle connection in the moment in which it was used again, that is no failure.
	request.Header["Idempotency-Key"] = nil
	if err := sign(request.Header, w, e.ID, at, body); err != nil {
		return answer{}, err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // the status has said it all
	a := answer{status: response.StatusCode, gone: response.StatusCode == http.StatusGone}
	switch {
	case a.status >= 200 && a.status < 300:
		return a, nil
	case a.status >= 300 && a.status < 400:
		a.failure = fmt.Sprintf("answered %d: redirects are not followed", a.status)
	default:
		a.failure = fmt.Sprintf("answered %d", a.status)
	}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		a.later = retryAfter(response.Header.Get("Retry-After"), time.Now())
	}
	return a, nil
}

// retryAfter reads the header of that name: seconds, or a date. What is neither is nothing.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// told is an error in words of ours.
type told string

func (t told) Error() string { return string(t) }

// explain says in words of ours why there was no answer. Errors of the libraries name
// addresses inside the network, and quote what a server said.
func explain(err error) string {
	var (
		ours        told
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
	)
	switch {
	case errors.As(err, &ours):
		return string(ours)
	case errors.Is(err, ssrf.ErrProhibitedIP):
		return notAllowed
	case errors.As(err, &name):
		return "host name does not resolve"
	case errors.As(err, &certificate):
		return "certificate not trusted"
	case errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return "no TLS connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "host out of reach"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection broken off"
	}
	return "no valid answer"
}
