package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/labstack/echo/v4"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/storage"
)

// The kinds of error that handlers answer with beside those of storage and auth.
type (
	// tooLarge is a body over its limit, in bytes.
	tooLarge struct{ limit int64 }
	// mediaTypeError is a body of a type that the operation does not take.
	mediaTypeError struct{ accepted []string }
	// invalid is a request that breaks the specification.
	invalid struct{ fields []FieldError }
	// unregistered is a file that made no document.
	unregistered struct{ Registered }
)

// BadBundle is a bundle that cannot be taken, for a reason that repeats nothing of it.
type BadBundle struct{ Reason string }

// NoPicture is a page that has no picture, for a reason that repeats nothing of it.
type NoPicture struct{ Reason string }

func (e *NoPicture) Error() string      { return "no picture: " + e.Reason }
func (e *BadBundle) Error() string      { return "bundle: " + e.Reason }
func (e *tooLarge) Error() string       { return fmt.Sprintf("body over %d bytes", e.limit) }
func (e *mediaTypeError) Error() string { return "content type not accepted" }
func (e *invalid) Error() string        { return "invalid request" }
func (e *unregistered) Error() string   { return "no document made" }

// fieldError is the error for one field of a request.
func fieldError(pointer, detail string) error {
	return &invalid{[]FieldError{{Pointer: pointer, Detail: detail}}}
}

// bodyError is the error for a body, or a form in it, that could not be read.
// Whatever reading says, the caller is the cause; it may quote the body, and so
// only what is known not to is kept.
func bodyError(err error) error {
	var (
		bad   *invalid
		large *http.MaxBytesError
	)
	if errors.As(err, &bad) || errors.As(err, &large) {
		return err
	}
	return fieldError("", "the body is cut short or malformed")
}

// toProblem is the only table from errors to HTTP. Details never repeat what
// was submitted.
func toProblem(err error) Problem {
	var (
		large   *tooLarge
		media   *mediaTypeError
		bad     *invalid
		none    *unregistered
		bundle  *BadBundle
		picture *NoPicture
		many    *tooMany
		reading *http.MaxBytesError
		routing *echo.HTTPError
	)
	switch {
	case errors.As(err, &large):
		return Problem{Type: "too-large", Status: http.StatusRequestEntityTooLarge, Title: "Body too large", Detail: fmt.Sprintf("The limit is %d bytes.", large.limit)}
	case errors.As(err, &reading):
		return Problem{Type: "too-large", Status: http.StatusRequestEntityTooLarge, Title: "Body too large", Detail: fmt.Sprintf("The limit is %d bytes.", reading.Limit)}
	case errors.As(err, &media):
		return Problem{Type: "media-type", Status: http.StatusUnsupportedMediaType, Title: "Content type not accepted", Detail: "Accepted: " + strings.Join(media.accepted, ", ") + "."}
	case errors.As(err, &bad):
		return Problem{Type: "invalid-request", Status: http.StatusBadRequest, Title: "Invalid request", Errors: bad.fields}
	case errors.As(err, &none):
		return Problem{Type: "not-registered", Status: http.StatusUnprocessableEntity, Title: "The file made no document", Detail: none.Reason, Outcome: none.Outcome, DocumentStatus: none.Status}
	case errors.As(err, &many):
		return Problem{Type: "too-many", Status: http.StatusTooManyRequests, Title: "Too many look-ups", Detail: many.reason}
	case errors.As(err, &bundle):
		return Problem{Type: "bundle", Status: http.StatusUnprocessableEntity, Title: "The bundle is refused", Detail: bundle.Reason}
	case errors.As(err, &picture):
		return Problem{Type: "not-found", Status: http.StatusNotFound, Title: "Not found", Detail: "There is no picture of this page: " + picture.Reason + "."}
	case errors.Is(err, http.ErrMissingBoundary):
		return Problem{Type: "invalid-request", Status: http.StatusBadRequest, Title: "Invalid request", Detail: "The content type lacks the form's boundary."}
	case errors.Is(err, auth.ErrUnauthenticated):
		return Problem{Type: "unauthenticated", Status: http.StatusUnauthorized, Title: "No valid API key or token", Detail: reason(err, "Send one as Authorization: Bearer KEY.")}
	case errors.Is(err, auth.ErrForbidden):
		return Problem{Type: "forbidden", Status: http.StatusForbidden, Title: "Not allowed", Detail: reason(err, "The key or token does not reach this.")}
	case errors.Is(err, auth.ErrUnavailable):
		return Problem{Type: "unavailable", Status: http.StatusServiceUnavailable, Title: "The identity provider does not answer", Detail: "Whether the token is valid cannot be told now. Try again, or use an API key."}
	case errors.Is(err, storage.ErrFull), errors.Is(err, syscall.ENOSPC):
		return Problem{Type: "full", Status: http.StatusInsufficientStorage, Title: "No room on the disk", Detail: "Nothing that was acknowledged is lost. Make room, and start the server again."}
	case errors.Is(err, errAudit):
		return Problem{Type: "audit", Status: http.StatusServiceUnavailable, Title: "Not recorded", Detail: "The audit log cannot be written. What cannot be recorded is not done."}
	case errors.Is(err, storage.ErrNotFound):
		return Problem{Type: "not-found", Status: http.StatusNotFound, Title: "Not found"}
	case errors.Is(err, errUndecided):
		return Problem{Type: "conflict", Status: http.StatusConflict, Title: "Conflict with what is stored", Detail: "A removal is requested when a person has decided: the alert has to be confirmed or in legal review."}
	case errors.Is(err, storage.ErrConflict):
		return Problem{Type: "conflict", Status: http.StatusConflict, Title: "Conflict with what is stored"}
	case errors.Is(err, storage.ErrClosed):
		return Problem{Type: "unavailable", Status: http.StatusServiceUnavailable, Title: "The service is stopping"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Problem{Type: "unavailable", Status: http.StatusServiceUnavailable, Title: "The request was given up"}
	case errors.As(err, &routing):
		switch routing.Code {
		case http.StatusNotFound:
			return Problem{Type: "not-found", Status: http.StatusNotFound, Title: "Not found"}
		case http.StatusMethodNotAllowed:
			return Problem{Type: "method", Status: http.StatusMethodNotAllowed, Title: "Method not allowed"}
		}
		if routing.Code < http.StatusInternalServerError {
			return Problem{Type: "invalid-request", Status: routing.Code, Title: "Invalid request"}
		}
	}
	return Problem{Type: "internal", Status: http.StatusInternalServerError, Title: "Internal error", Detail: "The log has it under this request's id."}
}

// reason is why the caller was refused, if that is known better than otherwise.
func reason(err error, otherwise string) string {
	var refusal *auth.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return otherwise
}

// problem is echo's error handler.
func (s *Server) problem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := toProblem(err)
	p.Type = "/problems/" + p.Type
	p.RequestID = c.Response().Header().Get("X-Request-Id")
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "application/problem+json")
	if in, ok := c.Get(incomingKey).(*incoming); ok && !in.ended {
		h.Set("Connection", "close") // otherwise the rest of the body is waited for first
	}
	if many := (*tooMany)(nil); errors.As(err, &many) {
		h.Set("Retry-After", strconv.Itoa(many.seconds()))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="sealprint"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"/problems/internal","title":"Internal error","status":500,"request_id":""}`)
	}
	c.Response().WriteHeader(p.Status)
	if c.Request().Method != http.MethodHead {
		_, _ = c.Response().Write(append(body, '\n')) // the client may be gone
	}
}

// cause is an error's text for the log.
func cause(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// mediaType is the request's content type without parameters.
func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}
