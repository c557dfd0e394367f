// Package client talks to a sealprint server. The command line is built on it.
//
// Reads and look-ups of texts are repeated when the server is out of reach for a
// moment; what changes something is not. Errors that the server answers are
// [*ProblemError], and errors.Is finds the kind in them that the server meant.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// The kinds of problem that callers decide by.
var (
	ErrUnauthenticated = errors.New("no valid API key")
	ErrForbidden       = errors.New("not allowed")
	ErrNotFound        = errors.New("not found")
	ErrConflict        = errors.New("conflict")
	ErrInvalid         = errors.New("invalid request")
	ErrTooLarge        = errors.New("too large")
	ErrUnavailable     = errors.New("service unavailable")
)

// ProblemError is a problem that the server answered (RFC 9457).
type ProblemError struct{ Problem }

// Error implements error.
func (e *ProblemError) Error() string {
	text := e.Title
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	for _, f := range e.Errors {
		text += "; " + strings.TrimSpace(f.Pointer+" "+f.Detail)
	}
	return fmt.Sprintf("%s (status %d, request %s)", text, e.Status, e.RequestID)
}

// Is finds the kind of the problem.
func (e *ProblemError) Is(kind error) bool {
	switch e.Status {
	case http.StatusUnauthorized:
		return kind == ErrUnauthenticated
	case http.StatusForbidden:
		return kind == ErrForbidden
	case http.StatusNotFound:
		return kind == ErrNotFound
	case http.StatusConflict:
		return kind == ErrConflict
	case http.StatusRequestEntityTooLarge:
		return kind == ErrTooLarge
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		return kind == ErrInvalid
	}
	return e.Status >= 500 && kind == ErrUnavailable
}

// Client calls a server. Make one with [New].
type Client struct {
	base string
	key  string
	http *http.Client
}

// Option changes a client.
type Option func(*Client)

// WithHTTPClient makes the client use another HTTP client.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// New makes a client of the server at a URL such as http://127.0.0.1:8080.
func New(server, key string, options ...Option) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("server address %q: need http://host[:port] or https://host[:port]", server)
	}
	c := &Client{base: strings.TrimRight(server, "/"), key: key, http: &http.Client{}}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// call sends a request once and decodes the answer.
func (c *Client) call(ctx context.Context, method, path, contentType string, body io.Reader, answer any) error {
	r, err := c.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if answer == nil || r.StatusCode == http.StatusNoContent {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: the answer of %s broke off: %w", ErrUnavailable, path, err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read answer of %s: %w", path, err)
	}
	return nil
}

// maxTries is how often a call that changes nothing is made.
const maxTries = 4

// repeat makes a call again while the server is out of reach.
func repeat(ctx context.Context, call func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := call()
		if err != nil && !errors.Is(err, ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxTries(maxTries))
	return err
}

// send sends a request; the answer's body is open if there is no error.
func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader, header ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("User-Agent", "sealprint-client/1")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	r, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if r.StatusCode < 400 {
		return r, nil
	}
	defer r.Body.Close()
	problem := &ProblemError{Problem{Status: r.StatusCode, Title: http.StatusText(r.StatusCode)}}
	if text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)); err == nil {
		_ = json.Unmarshal(text, &problem.Problem) // what is no problem document has its status
		problem.Status = r.StatusCode
	}
	return nil, problem
}

func (c *Client) get(ctx context.Context, path string, answer any) error {
	return repeat(ctx, func() error { return c.call(ctx, http.MethodGet, path, "", nil, answer) })
}

func (c *Client) post(ctx context.Context, path string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return c.call(ctx, http.MethodPost, path, "application/json", bytes.NewReader(encoded), answer)
}

// MatchOptions change a look-up; the zero value is usual.
type MatchOptions struct {
	SeenAt     time.Time // now
	Suppressed bool      // answer the matches that are no alerts, too
	Explain    bool      // answer what was asked and dropped, and the nearest document
	Read       bool      // answer what was read of a file
}

func (o MatchOptions) query() string {
	q := url.Values{}
	if !o.SeenAt.IsZero() {
		q.Set("seen_at", o.SeenAt.UTC().Format(time.RFC3339))
	}
	if o.Suppressed {
		q.Set("suppressed", "true")
	}
	if o.Explain {
		q.Set("explain", "true")
	}
	if o.Read {
		q.Set("read", "true")
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// Match looks a text up.
func (c *Client) Match(ctx context.Context, text string, o MatchOptions) (*MatchAnswer, error) {
	var answer MatchAnswer
	err := repeat(ctx, func() error { return c.post(ctx, "/v1/match"+o.query(), MatchRequest{Text: &text}, &answer) })
	return &answer, err
}

// MatchFingerprints looks a text up by its fingerprints, which are made with a copy of the
// deployment's secret key: the text stays here. Spans of the answer's queries count
// normalized characters.
func (c *Client) MatchFingerprints(ctx context.Context, f TextFingerprints, o MatchOptions) (*MatchAnswer, error) {
	var answer MatchAnswer
	err := repeat(ctx, func() error { return c.post(ctx, "/v1/match"+o.query(), MatchRequest{Fingerprints: &f}, &answer) })
	return &answer, err
}

// MatchFile looks a file up, once: its content cannot be read again.
func (c *Client) MatchFile(ctx context.Context, name string, content io.Reader, o MatchOptions) (*MatchAnswer, error) {
	var answer MatchAnswer
	contentType, body := form(nil, name, content)
	err := c.call(ctx, http.MethodPost, "/v1/match"+o.query(), contentType, body, &answer)
	return &answer, err
}

// form streams a multipart body: the fields, then the file.
func form(fields [][2]string, name string, content io.Reader) (contentType string, body io.Reader) {
	r, w := io.Pipe()
	m := multipart.NewWriter(w)
	go func() {
		err := func() error {
			for _, f := range fields {
				if f[1] == "" {
					continue
				}
				if err := m.WriteField(f[0], f[1]); err != nil {
					return err
				}
			}
			part, err := m.CreateFormFile("file", name)
			if err != nil {
				return err
			}
			if _, err := io.Copy(part, content); err != nil {
				return err
			}
			return m.Close()
		}()
		w.CloseWithError(err)
	}()
	return m.FormDataContentType(), r
}

// Upload is a file to register.
type Upload struct {
	Source         string // where it comes from
	Name           string // the file's name
	Department     string // empty: the key's own
	Classification string
	Collection     string
	Title          string
	PublishedAt    time.Time
	Again          bool // read known bytes again, if they could be read better now
	Content        io.Reader
}

// Register uploads a file. A file that makes no document is a [*ProblemError]
// with an outcome.
func (c *Client) Register(ctx context.Context, u Upload) (*RegisteredDocument, error) {
	published := ""
	if !u.PublishedAt.IsZero() {
		published = u.PublishedAt.UTC().Format(time.RFC3339)
	}
	again := ""
	if u.Again {
		again = "true"
	}
	contentType, body := form([][2]string{
		{"again", again}, {"department", u.Department}, {"classification", u.Classification}, {"collection", u.Collection},
		{"title", u.Title}, {"source", u.Source}, {"published_at", published},
	}, u.Name, u.Content)
	var answer RegisteredDocument
	err := c.call(ctx, http.MethodPost, "/v1/documents", contentType, body, &answer)
	return &answer, err
}

// Documents lists documents; see the API for the query's fields.
func (c *Client) Documents(ctx context.Context, query url.Values) (*DocumentList, error) {
	var answer DocumentList
	path := "/v1/documents"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return &answer, c.get(ctx, path, &answer)
}

// Document reads a document.
func (c *Client) Document(ctx context.Context, id string) (*DocumentDetail, error) {
	var answer DocumentDetail
	return &answer, c.get(ctx, "/v1/documents/"+url.PathEscape(id), &answer)
}

// DeleteDocument forgets a document.
func (c *Client) DeleteDocument(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/documents/"+url.PathEscape(id), "", nil, nil)
}

// Page reads a page of a version of a document from its source; version 0 is the newest.
func (c *Client) Page(ctx context.Context, id string, page, version int) (*PageText, error) {
	var answer PageText
	path := "/v1/documents/" + url.PathEscape(id) + "/pages/" + strconv.Itoa(page)
	if version > 0 {
		path += "?version=" + strconv.Itoa(version)
	}
	return &answer, c.get(ctx, path, &answer)
}

// PagePicture draws a page of a version of a document from its source, as PNG; version 0 is
// the newest.
func (c *Client) PagePicture(ctx context.Context, id string, page, version int) ([]byte, error) {
	path := "/v1/documents/" + url.PathEscape(id) + "/pages/" + strconv.Itoa(page) + "/picture"
	if version > 0 {
		path += "?version=" + strconv.Itoa(version)
	}
	var picture []byte
	err := repeat(ctx, func() error {
		r, err := c.send(ctx, http.MethodGet, path, "", nil)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		picture, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer))
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: the answer of %s broke off: %w", ErrUnavailable, path, err)
		}
		return err
	})
	return picture, err
}

// IndexStats reads the figures of the index.
func (c *Client) IndexStats(ctx context.Context) (*IndexStats, error) {
	var answer IndexStats
	return &answer, c.get(ctx, "/v1/index", &answer)
}

// MergeIndex has one segment made of the index, and reads the figures afterwards.
func (c *Client) MergeIndex(ctx context.Context) (*IndexStats, error) {
	var answer IndexStats
	return &answer, c.call(ctx, http.MethodPost, "/v1/index/merge", "", nil, &answer)
}

// CheckIndex has the whole index read.
func (c *Client) CheckIndex(ctx context.Context) (*IndexReport, error) {
	var answer IndexReport
	return &answer, c.call(ctx, http.MethodPost, "/v1/index/check", "", nil, &answer)
}

// Backup writes an archive of index and registry. It may end too soon without an error
// that is seen here: whoever keeps it verifies it.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	r, err := c.send(ctx, http.MethodGet, "/v1/backup", "", nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(w, r.Body); err != nil {
		return fmt.Errorf("%w: the backup broke off: %w", ErrUnavailable, err)
	}
	return nil
}

// StartRegistration begins a bulk registration, or finds the one that runs: to ask again
// is safe.
func (c *Client) StartRegistration(ctx context.Context, r StartRegistrationJSONRequestBody) (*Registration, error) {
	var answer Registration
	return &answer, repeat(ctx, func() error { return c.post(ctx, "/v1/registrations", r, &answer) })
}

// Registration reads a job.
func (c *Client) Registration(ctx context.Context, id string) (*Registration, error) {
	var answer Registration
	return &answer, c.get(ctx, "/v1/registrations/"+url.PathEscape(id), &answer)
}

// watchOutage is how long a server that does not answer is waited for while a
// job is watched: it may be restarting, and the job goes on afterwards.
const watchOutage = 2 * time.Minute

// WatchRegistration follows a job until it ends and returns it as it ended. It
// calls item for every object and progress now and then; when the connection
// breaks it goes on after the last item that it saw.
func (c *Client) WatchRegistration(ctx context.Context, id string, item func(RegistrationItem) error, progress func(Registration)) (*Registration, error) {
	last := ""
	for {
		seen := false
		end, err := backoff.Retry(ctx, func() (*Registration, error) {
			end, err := c.watch(ctx, id, &last, func(i RegistrationItem) error { seen = true; return item(i) }, func(r Registration) { seen = true; progress(r) })
			if err != nil && !errors.Is(err, ErrUnavailable) {
				err = backoff.Permanent(err)
			}
			return end, err
		}, backoff.WithMaxElapsedTime(watchOutage))
		if err == nil || !seen || !errors.Is(err, ErrUnavailable) {
			return end, err
		}
	}
}

// watch reads one event stream.
func (c *Client) watch(ctx context.Context, id string, last *string, item func(RegistrationItem) error, progress func(Registration)) (*Registration, error) {
	var header []string
	if *last != "" {
		header = []string{"Last-Event-ID", *last}
	}
	r, err := c.send(ctx, http.MethodGet, "/v1/registrations/"+url.PathEscape(id)+"/events", "", nil, header...)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	event, eventID, data := "", "", ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "id":
			eventID = value
		case "data":
			data = value
		case "": // the end of an event, or a comment
			switch event {
			case "item":
				var i RegistrationItem
				if err := json.Unmarshal([]byte(data), &i); err != nil {
					return nil, fmt.Errorf("read event: %w", err)
				}
				if err := item(i); err != nil {
					return nil, err
				}
				*last = eventID
			case "progress", "end":
				var job Registration
				if err := json.Unmarshal([]byte(data), &job); err != nil {
					return nil, fmt.Errorf("read event: %w", err)
				}
				if event == "end" {
					return &job, nil
				}
				progress(job)
			}
			event, eventID, data = "", "", ""
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: the event stream broke off", ErrUnavailable)
}
