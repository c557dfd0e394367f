// Package api is sealprint over HTTP: the server of openapi.yaml.
//
// The specification comes first. Types and routes are generated from it,
// requests are validated against it before a handler sees them, and what it does
// not name is refused. Handlers know no HTTP framework: they take and return
// generated types, and errors of a few kinds that problem.go alone turns into
// statuses.
package api

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/api/intake"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/match"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

//go:embed openapi.yaml
var specification []byte

// Limits of requests.
const (
	// maxJSON bounds a JSON body: a long report as text, with room to spare.
	maxJSON = 8 << 20

	// maxBatch bounds the lines of a batch together, and the entries of a bundle. They are
	// read one by one, each bounded by itself.
	maxBatch = 16 << 30

	// multipartOverhead is what the fields beside a file may take.
	multipartOverhead = 1 << 20

	// maxTextInFlight bounds the texts that are matched at a time: a look-up takes
	// up to fifty times the text in memory.
	maxTextInFlight = 2 * maxJSON

	// maxHeader bounds the headers of a request.
	maxHeader = 64 << 10
)

// Timeouts of connections. There is none for bodies: uploads and event streams
// take as long as they take.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Matcher answers look-ups.
type Matcher interface {
	Match(ctx context.Context, q match.Query) (*match.Report, error)
	MatchPicture(ctx context.Context, q match.PictureQuery) (*match.Report, error)
	Compare(ctx context.Context, suspect, document string) (*match.Report, error)
}

// Upkeep is what operators have done to a deployment as it runs.
type Upkeep interface {
	// Backup writes an archive of index and registry.
	Backup(ctx context.Context, w io.Writer) error
	// Merge makes one segment of the index.
	Merge(ctx context.Context) error
	// Check reads the whole index.
	Check(ctx context.Context) (IndexReport, error)
}

// Upload is a file to register.
type Upload struct {
	storage.SourceKey
	Classification string
	Title          string
	PublishedAt    time.Time
	Again          bool  // read known bytes again, if they could be read better now
	Size           int64 // at most; -1 if unknown
	Content        io.Reader
}

// Registered is what became of an upload.
type Registered struct {
	Document storage.DocumentID // empty if it made no document
	Outcome  Outcome
	Status   Status
	Reason   string
}

// Reading is what a submitted file holds: pictures, if it is one; else text.
type Reading struct {
	Pages    []string
	Pictures []page.Picture
	// Reason says what was not read; empty if everything was.
	Reason string
}

// PageReading is what was read of a page of a registered version.
type PageReading struct{ Text, Reader string }

// JobRequest asks for a bulk registration.
type JobRequest struct {
	Source, Prefix                         string
	Kind                                   storage.JobKind
	Department, Classification, Collection string
	Again                                  bool
}

// Ingest registers and reads documents.
type Ingest interface {
	// Register takes an upload the whole way.
	Register(ctx context.Context, u Upload) (Registered, error)
	// ImportBundle takes a bundle of fingerprints and verifies it. Run registers what it holds
	// and tells what became of each, one at a time; it is to be called, and once.
	ImportBundle(ctx context.Context, content io.Reader, department, collection, classification string) (run func(tell func(RegistrationItem) error) error, err error)
	// Read reads a file that is not to be registered.
	Read(ctx context.Context, content io.Reader, size int64) (Reading, error)
	// ReadPages reads the pages of a registered version again, from its source, and returns
	// those that it has text of, by their numbers. storage.ErrNotFound if there is nowhere to
	// read it from; storage.ErrConflict if it changed.
	ReadPages(ctx context.Context, v storage.Version) (map[int]PageReading, error)
	// DrawPage draws a page of a registered version, likewise. [NoPicture] if it cannot be drawn.
	DrawPage(ctx context.Context, v storage.Version, number int) (page.Picture, error)
	// StartJob begins a bulk registration, or finds the one that runs already.
	StartJob(ctx context.Context, r JobRequest) (job storage.Job, started bool, err error)
	// CancelJob stops a bulk registration and waits until it has.
	CancelJob(ctx context.Context, id storage.JobID) error
	// Source tells whose a configured source is, and in which bucket; storage.ErrNotFound if
	// there is none of the name.
	Source(name string) (department, bucket string, err error)
	// Notice keeps that objects of a source may have changed, until they were looked at. It
	// returns how many of the keys are of the source.
	Notice(ctx context.Context, source string, keys []string) (int, error)
	// Usual tells how many bytes of indexes and registry a document takes here, and how many
	// documents are registered in a second.
	Usual(ctx context.Context, scope storage.Scope) (size, pace float64, err error)
	// Outdated reports whether a version could be read better now than it was.
	Outdated(v storage.Version) bool
	// Undrawn counts the pages in a scope whose look is not known yet.
	Undrawn(ctx context.Context, scope storage.Scope) (int64, error)
	// OCR names what recognizes pages that are pictures; or why nothing does.
	OCR() (name, missing string)
	// MaxFileBytes is the limit of one file.
	MaxFileBytes() int64
}

// Intake makes alerts of posts.
type Intake interface {
	// Known returns what was answered about a post before, if it was taken in; intake.ErrOtherPost
	// if that had other content.
	Known(ctx context.Context, id string, content []byte) (p storage.Post, known bool, err error)
	// Take takes a post in, with its matches that are alerts.
	Take(ctx context.Context, seen intake.Seen) (storage.Post, error)
}

// Config is what a server works with.
type Config struct {
	Key *fingerprint.Key
	// Previous is the key before, during a rotation; nil at other times.
	Previous *fingerprint.Key
	Matcher  Matcher
	Index    storage.Index // of texts
	Pages    storage.Index // of layouts of pages
	Registry storage.Registry
	Ingest   Ingest
	Intake   Intake
	Upkeep   Upkeep
	Audit    Audit
	// KeepGrams has the fingerprints of the texts of posts kept, for documents that are
	// registered later.
	KeepGrams bool
	Webhooks  storage.Webhooks
	// CheckWebhook reports whether a webhook may have an address, in words for whoever subscribes.
	CheckWebhook func(url string) error
	Wake         func() // whoever delivers events
	// Feeding reports whether posts are being taken from JetStream; nil if they are not meant
	// to be.
	Feeding func() bool
	// Quotas bound what callers of a role learn from look-ups; roles that have none are not
	// bounded.
	Quotas map[auth.Role]Quota
	// Tokens authenticates people who log in elsewhere; nil: there are only API keys.
	Tokens *auth.OIDC
	// Console makes the pages that people see, of all that this server answers; nil: there are
	// none.
	Console func(api http.Handler) (http.Handler, error)
	// Processors is how many pictures are looked up at a time; zero: as many as run at a time.
	Processors int
	// Version of the program, as reports name it.
	Version string
	Log     *slog.Logger
}

// Server answers the API. It implements http.Handler.
type Server struct {
	Config
	echo    *echo.Echo
	spec    *openapi3.T
	callers auth.Callers
	quotas  *quotas
	roles   map[*openapi3.Operation][]auth.Role // that may call it, beside administrators
	metrics *metrics
	tally   *tally
	texts   *semaphore.Weighted
	looks   *semaphore.Weighted
	// Of posts that come alone, and of those that are fed:
	examining, feeding *semaphore.Weighted
	// Of what posts show; the previous one is nil outside of a rotation.
	postKey, previousPostKey []byte
	// Of versions of the index, for callers that do not see all departments:
	versionKey []byte
	drain      drain
	pages      http.Handler    // of the console; nil: there are none
	closing    context.Context // ends event streams
	close      context.CancelFunc
}

// NewServer makes a server. It does not listen yet.
func NewServer(c Config) (*Server, error) {
	spec, err := openapi3.NewLoader().LoadFromData(specification)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	s := &Server{Config: c, spec: spec, callers: auth.Callers{Keys: c.Registry, Tokens: c.Tokens},
		texts: semaphore.NewWeighted(maxTextInFlight), looks: semaphore.NewWeighted(int64(cmp.Or(c.Processors, runtime.GOMAXPROCS(0)))),
		examining: semaphore.NewWeighted(atATime()), feeding: semaphore.NewWeighted(atATime()), postKey: postKey(c.Key), versionKey: c.Key.Derive("version of the index", 32)}
	if c.Previous != nil {
		s.previousPostKey = postKey(c.Previous)
	}
	s.quotas = &quotas{limits: c.Quotas, alarm: s.alarmAbout, callers: map[string]*asker{}}
	s.closing, s.close = context.WithCancel(context.Background())
	if s.roles, err = rolesOf(spec); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	s.tally = newTally(time.Now())
	s.metrics = newMetrics(c.Registry, c.Index, c.Pages, c.Webhooks)
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.problem
	// All of them run after routing, in this order.
	e.Use(s.observe, s.recover, s.harden, s.guard)
	e.Pre(s.toConsole)
	RegisterHandlersWithOptions(e, NewStrictHandler(s, []StrictMiddlewareFunc{s.audited}), RegisterHandlersOptions{})
	s.echo = e
	if c.Console != nil {
		if s.pages, err = c.Console(s); err != nil {
			return nil, fmt.Errorf("make console: %w", err)
		}
	}
	return s, nil
}

func postKey(key *fingerprint.Key) []byte { return key.Derive("content of posts", 32) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// HTTPServer is the server with the limits that a public listener needs.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
}

// Close ends what would otherwise outlive a shutdown: event streams.
func (s *Server) Close() { s.close() }

// toConsole has the console answer what is no path of the API. Its headers and limits are its
// own; it is counted as one route.
func (s *Server) toConsole(next echo.HandlerFunc) echo.HandlerFunc {
	page := s.observe(s.recover(func(c echo.Context) error {
		if s.drain.begun() {
			c.Response().Header().Set("Connection", "close")
		}
		s.pages.ServeHTTP(c.Response(), c.Request())
		return nil
	}))
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		if s.pages == nil || strings.HasPrefix(path+"/", "/v1/") || s.spec.Paths.Value(path) != nil {
			return next(c)
		}
		c.SetPath("/")
		return page(c)
	}
}

// requestIDKey carries the id of the request.
type requestIDKey struct{}

// requestKey carries the HTTP request to handlers that stream its body.
type requestKey struct{}

// observe numbers requests, counts them and logs those that failed. What was
// submitted is never logged: route, status, duration.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		id := storage.NewID("req")
		c.Response().Header().Set("X-Request-Id", id)
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), requestIDKey{}, id)))
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		route := c.Path()
		if route == "" {
			route = "unknown"
		}
		status := c.Response().Status
		took := time.Since(start)
		s.metrics.request(c.Request().Method, route, status, took)
		// That a caller went away is no failure of the server, nor that it is not ready.
		if err != nil && status >= http.StatusInternalServerError && c.Request().Context().Err() == nil {
			s.Log.Error("request failed", "request_id", id, "method", c.Request().Method, "route", route, "status", status, "duration_ms", took.Milliseconds(), "error", cause(err))
		}
		return nil
	}
}

// recover turns a panic into a problem. The panic's value is not logged, it may
// quote the request; the stack is.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if r := recover(); r != nil {
				if r == http.ErrAbortHandler {
					panic(r)
				}
				err = panicked(r)
			}
		}()
		return next(c)
	}
}

func panicked(r any) error { return fmt.Errorf("panic of type %T at %s", r, debug.Stack()) }

// harden sets the headers of every answer and bounds every body.
func (s *Server) harden(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if s.drain.begun() {
			h.Set("Connection", "close")
		}
		r := c.Request()
		limit := int64(maxJSON)
		if c.Path() == "/v1/posts" {
			limit = maxPost
		}
		if mediaType(r) == "multipart/form-data" || strings.HasPrefix(mediaType(r), "image/") {
			limit = s.Ingest.MaxFileBytes() + multipartOverhead
		}
		if mediaType(r) == "application/x-ndjson" || mediaType(r) == "application/octet-stream" {
			limit = maxBatch
		}
		// The body is wrapped in a copy of the request: by the original's, net/http
		// knows whether a connection that it closes has data left to drain.
		in := &incoming{ReadCloser: http.MaxBytesReader(c.Response().Writer, r.Body, limit), ended: r.ContentLength == 0}
		c.Set(incomingKey, in)
		if r.ContentLength > limit {
			return &tooLarge{limit}
		}
		bounded := r.WithContext(r.Context())
		bounded.Body = in
		c.SetRequest(bounded.WithContext(context.WithValue(r.Context(), requestKey{}, bounded)))
		return next(c)
	}
}

// incoming is the body of a request. It knows whether it was read to its end.
type incoming struct {
	io.ReadCloser
	ended bool
}

// incomingKey is where the echo context keeps it.
const incomingKey = "incoming"

func (i *incoming) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	i.ended = i.ended || err == io.EOF
	return n, err
}

// guard authenticates the caller and holds the request to the specification.
// Routes and methods that do not exist are refused to everybody alike.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		operation, item := s.operation(c)
		if operation == nil {
			return next(c) // the console's pages, and what the router refuses
		}
		if operation.Security == nil || len(*operation.Security) > 0 {
			principal, err := s.callers.Authenticate(c.Request().Context(), credential(c, operation))
			if err != nil {
				return err
			}
			if principal = principal.As(s.roles[operation]...); len(principal.Grants) == 0 {
				return auth.ErrForbidden
			}
			c.SetRequest(c.Request().WithContext(auth.With(c.Request().Context(), principal)))
		}
		if err := s.validate(c, operation, item); err != nil {
			return err
		}
		return next(c)
	}
}

// credential is what a request says who it is by; empty if it says nothing. Senders of
// notifications may know only a password, or only a URL.
func credential(c echo.Context, operation *openapi3.Operation) string {
	if token := c.Param(tokenParameter); token != "" {
		return token
	}
	scheme, key, _ := strings.Cut(c.Request().Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	basic := operation.Security != nil && slices.ContainsFunc(*operation.Security, func(r openapi3.SecurityRequirement) bool { return r["basic"] != nil })
	if _, password, ok := c.Request().BasicAuth(); ok && basic {
		return password
	}
	return ""
}

// tokenParameter is the part of a path that is a secret.
const tokenParameter = "token"

// rolesOf reads who may call each operation.
func rolesOf(spec *openapi3.T) (map[*openapi3.Operation][]auth.Role, error) {
	roles := map[*openapi3.Operation][]auth.Role{}
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.Security != nil && len(*operation.Security) == 0 {
				continue // everybody
			}
			names, ok := operation.Extensions["x-roles"].([]any)
			if !ok {
				return nil, fmt.Errorf("operation %s does not say who may call it", operation.OperationID)
			}
			roles[operation] = nil
			for _, name := range names {
				role, _ := name.(string)
				if !auth.Role(role).Valid() {
					return nil, fmt.Errorf("operation %s is for %v, which is no role", operation.OperationID, name)
				}
				roles[operation] = append(roles[operation], auth.Role(role))
			}
		}
	}
	return roles, nil
}

// operation finds what the specification says about the route of a request.
func (s *Server) operation(c echo.Context) (*openapi3.Operation, *openapi3.PathItem) {
	parts := strings.Split(c.Path(), "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ":") {
			parts[i] = "{" + part[1:] + "}"
		}
	}
	item := s.spec.Paths.Value(strings.Join(parts, "/"))
	if item == nil {
		return nil, nil
	}
	return item.GetOperation(c.Request().Method), item
}

// scope is what the caller of a request may see.
func scope(ctx context.Context) storage.Scope { return auth.From(ctx).Scope() }

// body is the request's body, for handlers that read it themselves.
func body(ctx context.Context) (*http.Request, error) {
	r, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok {
		return nil, errors.New("no request in the context")
	}
	return r, nil
}
