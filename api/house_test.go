package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/intake"
	"github.com/sealprint/sealprint/api/webhook"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/audit"
	"github.com/sealprint/sealprint/storage/backup"
	"github.com/sealprint/sealprint/storage/index"
	"github.com/sealprint/sealprint/storage/registry"
)

// readers is the real extraction pool. All tests share it: what takes time is to
// start its processes.
var readers *extract.Pool

// TestMain makes the test binary its own reader of files, as the program is.
func TestMain(m *testing.M) {
	if code, is := extract.Child(os.Args); is {
		os.Exit(code)
	}
	readers = extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: 2})
	code := m.Run()
	if err := readers.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// house is a server with everything behind it, as the program wires it. Whatever
// it answers is held to the specification, and whatever it logs is kept.
type house struct {
	t        testing.TB
	url      string
	http     *http.Client // adds the admin's key
	bare     *http.Client // adds nothing
	server   *Server
	registry *registry.Registry
	index    *index.Index
	pages    *index.Index
	intake   *intake.Intake
	audit    *audit.Log
	log      *buffer
}

// options change a house; the zero value is the program's wiring.
type options struct {
	index  func(storage.Index) storage.Index
	match  func(Matcher) Matcher
	places []ingest.Place
	limit  int64 // of a file; the program's own if 0
	fail   int   // backups break off before this byte, if it is not 0
	tokens *auth.OIDC
	quotas map[auth.Role]Quota
}

func newHouse(t testing.TB, o options) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{t: t, log: &buffer{}}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	key := fingerprint.NewKey()
	dir := t.TempDir()
	closing := func(name string, c io.Closer) {
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Errorf("close %s: %v", name, err)
			}
		})
	}
	var err error
	if h.registry, err = registry.Open(ctx, filepath.Join(dir, "registry.db"), key); err != nil {
		t.Fatal(err)
	}
	closing("registry", h.registry)
	if h.index, err = index.Open(filepath.Join(dir, "index"), key.Params(), index.Options{}); err != nil {
		t.Fatal(err)
	}
	closing("index", h.index)
	if h.pages, err = index.Open(filepath.Join(dir, "pages"), key.PageParams(), index.Options{}); err != nil {
		t.Fatal(err)
	}
	closing("index of pages", h.pages)
	var ix storage.Index = h.index
	if o.index != nil {
		ix = o.index(ix)
	}
	registrar, err := ingest.NewRegistrar(ctx, ingest.Config{Index: ix, Pages: h.pages, Registry: h.registry, Extractor: readers, Places: o.places, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	closing("registrar", registrar)
	jobs, err := ingest.NewJobs(ctx, registrar, h.registry, o.places, log)
	if err != nil {
		t.Fatal(err)
	}
	closing("jobs", jobs)
	var matcher Matcher = &match.Matcher{
		Key: key, Index: ix, Documents: h.registry, Pages: h.pages, Drawings: h.registry, Recognizer: recognizer{readers},
	}
	if o.match != nil {
		matcher = o.match(matcher)
	}
	if o.limit == 0 {
		o.limit = ingest.MaxFileBytes
	}
	h.intake = intake.New(h.registry, func() {})
	closing("intake", h.intake)
	if h.audit, err = audit.Open(filepath.Join(dir, "audit"), key); err != nil {
		t.Fatal(err)
	}
	closing("audit log", h.audit)
	mailer, err := webhook.NewMailer(webhook.MailConfig{Address: "127.0.0.1:1", From: "alerts@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	hooks := webhook.New(h.registry, webhook.Options{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Mail: mailer})
	if h.server, err = NewServer(Config{
		Matcher: matcher, Index: ix, Pages: h.pages, Registry: h.registry, Log: log,
		Tokens: o.tokens, Quotas: o.quotas, Ingest: &ingestion{registrar, jobs, o.limit}, Key: key, Intake: h.intake, Audit: h.audit, KeepGrams: true, Webhooks: h.registry, Wake: func() {},
		CheckWebhook: hooks.CheckURL, Version: "test",
		Upkeep: &upkeep{source: backup.Source{Index: h.index, Pages: h.pages, Registry: h.registry, Key: key, Folder: dir}, fail: o.fail},
	}); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(nil)
	web.Config = h.server.HTTPServer()
	web.Start()
	t.Cleanup(func() {
		h.server.Close()
		web.Close()
	})
	h.url = web.URL
	checked := &inspector{t: t, spec: strictSpec(t), next: &http.Transport{MaxIdleConnsPerHost: 8}}
	t.Cleanup(checked.next.CloseIdleConnections)
	h.bare = &http.Client{Transport: checked}
	h.http = h.as(h.key(""))
	return h
}

// key makes an administrator's key that reaches a department and what is below it.
func (h *house) key(department string) string { return h.keyOf(auth.Admin, department) }

// keyOf makes a key of a role.
func (h *house) keyOf(role auth.Role, department string) string {
	h.t.Helper()
	key, record := auth.NewKey(role, department, time.Now())
	if err := h.registry.AddKey(context.Background(), record); err != nil {
		h.t.Fatal(err)
	}
	return key
}

// as is a client that sends a key or a token.
func (h *house) as(key string) *http.Client {
	return &http.Client{Transport: bearer{key, h.bare.Transport}}
}

type bearer struct {
	key  string
	next http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	return b.next.RoundTrip(r)
}

// ingestion is package ingest as the server wants it, as in the program.
type ingestion struct {
	registrar *ingest.Registrar
	jobs      *ingest.Jobs
	limit     int64
}

func (i *ingestion) Register(ctx context.Context, u Upload) (Registered, error) {
	done, err := i.registrar.Register(ctx, ingest.File{
		SourceKey: u.SourceKey, Classification: u.Classification, Title: u.Title, PublishedAt: u.PublishedAt, Again: u.Again,
		Size: min(u.Size, ingest.MaxFileBytes), Archive: true,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(u.Content), nil },
	})
	if err != nil {
		return Registered{}, err
	}
	return Registered{Document: done.Document, Outcome: Outcome(done.Outcome), Status: Status(done.Status), Reason: done.Reason}, nil
}

func (i *ingestion) Read(ctx context.Context, content io.Reader, size int64) (Reading, error) {
	looks, reading, err := i.registrar.Look(ctx, content, size)
	if err != nil {
		return Reading{}, err
	}
	out := Reading{Reason: reading.Reason}
	for _, p := range reading.Pages {
		out.Pages = append(out.Pages, p.Text)
	}
	for _, l := range looks {
		if l.Reason != "" {
			out.Reason = l.Reason
			continue
		}
		out.Pictures = append(out.Pictures, l.Picture)
	}
	if len(out.Pictures) > 0 && reading.Status == ingest.StatusNoText {
		out.Reason = "" // nobody looked for text yet
	}
	return out, nil
}

func (i *ingestion) Undrawn(ctx context.Context, scope storage.Scope) (int64, error) {
	return i.registrar.Undrawn(ctx, scope)
}

func (i *ingestion) DrawPage(ctx context.Context, v storage.Version, number int) (page.Picture, error) {
	look, err := i.registrar.DrawPage(ctx, v, number)
	if err == nil && look.Reason != "" {
		err = &NoPicture{Reason: look.Reason}
	}
	return look.Picture, err
}

func (i *ingestion) ReadPages(ctx context.Context, v storage.Version) (map[int]PageReading, error) {
	reading, err := i.registrar.ReadAgain(ctx, v)
	if err != nil {
		return nil, err
	}
	pages := map[int]PageReading{}
	for _, p := range reading.Pages {
		pages[p.Number] = PageReading{Text: p.Text, Reader: p.Reader}
	}
	return pages, nil
}

func (i *ingestion) StartJob(ctx context.Context, r JobRequest) (storage.Job, bool, error) {
	return i.jobs.Start(ctx, ingest.Request{
		Source: r.Source, Prefix: r.Prefix, Kind: r.Kind, Again: r.Again,
		Said: ingest.Said{Department: r.Department, Classification: r.Classification, Collection: r.Collection},
	})
}

func (i *ingestion) CancelJob(ctx context.Context, id storage.JobID) error {
	return i.jobs.Cancel(ctx, id)
}

func (i *ingestion) Source(name string) (department, bucket string, err error) {
	return i.jobs.Source(name)
}

func (i *ingestion) Notice(ctx context.Context, source string, keys []string) (int, error) {
	return i.jobs.Notice(ctx, source, keys)
}

func (i *ingestion) Usual(ctx context.Context, scope storage.Scope) (size, pace float64, err error) {
	return i.jobs.Usual(ctx, scope)
}

func (i *ingestion) ImportBundle(context.Context, io.Reader, string, string, string) (func(func(RegistrationItem) error) error, error) {
	return nil, &BadBundle{"there is no bundle in these tests"}
}

func (i *ingestion) Outdated(v storage.Version) bool { return i.registrar.Outdated(v) }

func (i *ingestion) OCR() (name, missing string) { return readers.OCR() }

func (i *ingestion) MaxFileBytes() int64 { return i.limit }

// shelf is a source in memory. Objects are handed out as fast as step allows:
// one for each value that it receives, all at once once it is closed.
type shelf struct {
	name    string
	objects []string // contents; the keys are their places
	step    chan struct{}
}

func newShelf(name string, objects ...string) *shelf {
	return &shelf{name: name, objects: objects, step: make(chan struct{})}
}

func (s *shelf) key(i int) string { return fmt.Sprintf("%05d.txt", i) }

func (s *shelf) object(i int) ingest.Object {
	return ingest.Object{Key: s.key(i), ETag: fmt.Sprint(i), Size: int64(len(s.objects[i]))}
}

func (s *shelf) List(_ context.Context, prefix, after string) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for i := range s.objects {
			if s.key(i) <= after || !strings.HasPrefix(s.key(i), prefix) {
				continue
			}
			if !yield(s.object(i), nil) {
				return
			}
		}
	}
}

func (s *shelf) find(key string) (int, error) {
	for i := range s.objects {
		if s.key(i) == key {
			return i, nil
		}
	}
	return 0, ingest.ErrChanged
}

func (s *shelf) Open(ctx context.Context, o ingest.Object) (io.ReadCloser, error) {
	i, err := s.find(o.Key)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.step:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return io.NopCloser(strings.NewReader(s.objects[i])), nil
}

func (s *shelf) Stat(_ context.Context, key string) (ingest.Object, error) {
	i, err := s.find(key)
	if err != nil {
		return ingest.Object{}, err
	}
	return s.object(i), nil
}

func (s *shelf) Tags(context.Context, ingest.Object) (map[string]string, error) {
	return map[string]string{}, nil
}

func (s *shelf) URI(key string) string { return "s3://" + s.name + "/" + key }

func (s *shelf) Key(uri string) (string, bool) { return strings.CutPrefix(uri, "s3://"+s.name+"/") }

// strictSpec is the specification with every object of an answer closed: a field
// that it does not name is a mistake of the server. Those that others are made
// of (allOf) stay open.
func strictSpec(t testing.TB) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(specification)
	if err != nil {
		t.Fatal(err)
	}
	part := map[*openapi3.Schema]bool{}
	for _, schema := range spec.Components.Schemas {
		for _, of := range schema.Value.AllOf {
			part[of.Value] = true
		}
	}
	for _, schema := range spec.Components.Schemas {
		if schema.Value.Type.Is("object") && !part[schema.Value] {
			no := false
			schema.Value.AdditionalProperties.Has = &no
		}
	}
	return spec
}

// lookUp finds what a specification says about a request; the operation is nil
// if the path is known and the method is not.
func lookUp(spec *openapi3.T, r *http.Request) (route *routers.Route, parameters map[string]string) {
	parts := strings.Split(r.URL.EscapedPath(), "/")
next:
	for path, item := range spec.Paths.Map() {
		template := strings.Split(path, "/")
		if len(template) != len(parts) {
			continue
		}
		values := map[string]string{}
		for i, p := range template {
			switch {
			case strings.HasPrefix(p, "{"):
				values[strings.Trim(p, "{}")] = parts[i]
			case p != parts[i]:
				continue next
			}
		}
		return &routers.Route{Spec: spec, Path: path, PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method)}, values
	}
	return nil, nil
}

// inspector holds every answer to the specification.
type inspector struct {
	t    testing.TB
	spec *openapi3.T
	next *http.Transport
}

func (i *inspector) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := i.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := i.inspect(r, answer); err != nil {
		i.t.Errorf("%s %s: status %d: %v", r.Method, r.URL.Path, answer.StatusCode, err)
	}
	return answer, nil
}

func (i *inspector) inspect(r *http.Request, answer *http.Response) error {
	if answer.Header.Get("X-Request-Id") == "" || answer.Header.Get("Cache-Control") != "no-store" ||
		answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		return fmt.Errorf("lacks a header that every answer has: %v", answer.Header)
	}
	problem := answer.Header.Get("Content-Type") == "application/problem+json"
	if answer.StatusCode >= 400 != problem && r.URL.Path != "/readyz" {
		return fmt.Errorf("content type %q", answer.Header.Get("Content-Type"))
	}
	if r.Method == http.MethodHead {
		return nil
	}
	stream := slices.Contains([]string{"text/event-stream", "application/x-ndjson"}, answer.Header.Get("Content-Type"))
	var body []byte
	if !stream {
		var err error
		if body, err = io.ReadAll(answer.Body); err != nil {
			return fmt.Errorf("read body: %w", err)
		}
		answer.Body.Close()
		answer.Body = io.NopCloser(bytes.NewReader(body))
	}
	if problem {
		return i.problem(answer, body) // the default answer of every operation
	}
	route, parameters := lookUp(i.spec, r)
	if route == nil || route.Operation == nil {
		if r.URL.Path == "/" || r.Method == http.MethodOptions && route != nil {
			return nil
		}
		return errors.New("an answer that the specification does not name")
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, ExcludeResponseBody: stream || len(body) == 0 && answer.StatusCode == http.StatusNoContent,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	})
}

// problem checks what all problems have in common.
func (i *inspector) problem(answer *http.Response, body []byte) error {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	if err := i.spec.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		return err
	}
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	switch {
	case p.Status != answer.StatusCode:
		return fmt.Errorf("the problem says status %d", p.Status)
	case p.RequestID != answer.Header.Get("X-Request-Id"):
		return fmt.Errorf("request_id %q is not the header's", p.RequestID)
	case !strings.HasPrefix(p.Type, "/problems/") || p.Title == "":
		return fmt.Errorf("problem of type %q, title %q", p.Type, p.Title)
	}
	return nil
}

// buffer is what a logger writes to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// reply is an answer that was read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

func do(t testing.TB, client *http.Client, r *http.Request) reply {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: read answer: %v", r.Method, r.URL.Path, err)
	}
	return reply{t, answer.StatusCode, answer.Header, body}
}

// want fails the test unless the answer has a status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

func read[T any](r reply) T {
	r.t.Helper()
	var value T
	if err := json.Unmarshal(r.body, &value); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
	return value
}

// request makes a request; headers are pairs.
func (h *house) request(method, path string, body io.Reader, header ...string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequest(method, h.url+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (h *house) get(path string) reply {
	h.t.Helper()
	return do(h.t, h.http, h.request("GET", path, nil))
}

func (h *house) json(method, path, body string) reply {
	h.t.Helper()
	return do(h.t, h.http, h.request(method, path, strings.NewReader(body), "Content-Type", "application/json"))
}

// lookUpText looks a text up and returns the answer.
func (h *house) lookUpText(client *http.Client, text, query string) MatchAnswer {
	h.t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		h.t.Fatal(err)
	}
	r := h.request("POST", "/v1/match"+query, bytes.NewReader(body), "Content-Type", "application/json")
	return read[MatchAnswer](do(h.t, client, r).want(200))
}

// field is a part of a form; a part with a file name is a file.
type field struct {
	name, value, file string
}

// form encodes a form.
func form(fields ...field) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		disposition := fmt.Sprintf(`form-data; name="%s"`, f.name)
		if f.file != "" {
			disposition += fmt.Sprintf(`; filename="%s"`, f.file)
		}
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}})
		if err == nil {
			_, err = io.WriteString(part, f.value)
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// upload posts a form.
func (h *house) upload(client *http.Client, path string, fields ...field) reply {
	h.t.Helper()
	contentType, body := form(fields...)
	return do(h.t, client, h.request("POST", path, bytes.NewReader(body), "Content-Type", contentType))
}

// register registers a text.
func (h *house) register(source, text string, fields ...field) RegisteredDocument {
	h.t.Helper()
	return read[RegisteredDocument](h.upload(h.http, "/v1/documents", append(fields, field{"file", text, source})...).want(201))
}

// prose is a text that no other seed gives.
func prose(seed uint64, words int) string {
	rng := rand.New(rand.NewPCG(seed, 7))
	const first, second = "bcdfghjklmnprstvz", "aeiou"
	var b strings.Builder
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		for range 1 + rng.IntN(4) {
			b.WriteByte(first[rng.IntN(len(first))])
			b.WriteByte(second[rng.IntN(len(second))])
		}
	}
	return b.String()
}

// listed reads a list, page by page, as long as each says that there is a next.
func listed[List any](h *house, client *http.Client, path string, page func(List) (items []string, next string), pairs ...string) (all []string) {
	h.t.Helper()
	q := slices.Clone(pairs)
	for range 20 {
		items, next := page(read[List](do(h.t, client, h.request("GET", path+query(q...), nil)).want(200)))
		all = append(all, items...)
		if next == "" {
			return all
		}
		q = append(slices.Clone(pairs), "cursor", next)
	}
	h.t.Fatal("the list does not end")
	return nil
}

// query encodes a query string.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return "?" + q.Encode()
}

// recognizer is the readers' recognition as package match wants it.
type recognizer struct{ *extract.Pool }

func (r recognizer) Recognize(ctx context.Context, p page.Picture) ([]match.Word, string, error) {
	read, reason, err := r.Pool.Recognize(ctx, p)
	words := make([]match.Word, len(read))
	for i, w := range read {
		words[i] = match.Word(w)
	}
	return words, reason, err
}
