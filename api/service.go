package api

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sealprint/sealprint/api/auth"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Live implements GET /livez.
func (s *Server) Live(context.Context, LiveRequestObject) (LiveResponseObject, error) {
	return Live200TextResponse("ok\n"), nil
}

// Ready implements GET /readyz: index and registry answer. What is missing and can
// be done without is only told.
func (s *Server) Ready(ctx context.Context, _ ReadyRequestObject) (ReadyResponseObject, error) {
	if s.drain.asked(time.Now()) || s.closing.Err() != nil {
		return Ready503TextResponse("stopping\n"), nil
	}
	if _, err := s.Index.Stats(ctx); err != nil {
		return Ready503TextResponse("the index does not answer\n"), nil
	}
	if _, err := s.Pages.Stats(ctx); err != nil {
		return Ready503TextResponse("the index of pages does not answer\n"), nil
	}
	// Not what is in it: counting that may take seconds while nothing of it is in memory.
	if _, err := s.Registry.Collection(ctx, storage.DefaultCollection); err != nil {
		return Ready503TextResponse("the registry does not answer\n"), nil
	}
	r, err := body(ctx)
	if err != nil || !r.URL.Query().Has("verbose") {
		return Ready200TextResponse("ok\n"), nil
	}
	ocr, missing := s.Ingest.OCR()
	if missing != "" {
		ocr = "missing: " + missing + "; pages that are pictures are not read"
	}
	feed := ""
	if s.Feeding != nil {
		feed = "posts from JetStream: ok\n"
		if !s.Feeding() {
			feed = "posts from JetStream: not taken, the log says why\n"
		}
	}
	return Ready200TextResponse("ok\nindex: ok\nregistry: ok\nrecognition (OCR): " + ocr + "\n" + feed), nil
}

// Openapi implements GET /openapi.yaml.
func (s *Server) Openapi(context.Context, OpenapiRequestObject) (OpenapiResponseObject, error) {
	return Openapi200ApplicationYamlResponse{Body: bytes.NewReader(specification), ContentLength: int64(len(specification))}, nil
}

// IndexStats implements GET /v1/index. The figures are those of all departments,
// so they are for keys that reach all.
func (s *Server) IndexStats(ctx context.Context, _ IndexStatsRequestObject) (IndexStatsResponseObject, error) {
	if !scope(ctx).All() {
		return nil, auth.ErrForbidden
	}
	stats, err := s.stats(ctx)
	if err != nil {
		return nil, err
	}
	return IndexStats200JSONResponse(stats), nil
}

func (s *Server) stats(ctx context.Context) (IndexStats, error) {
	index, err := s.Index.Stats(ctx)
	if err != nil {
		return IndexStats{}, err
	}
	pages, err := s.Pages.Stats(ctx)
	if err != nil {
		return IndexStats{}, err
	}
	registry, err := s.Registry.Stats(ctx)
	if err != nil {
		return IndexStats{}, err
	}
	return Stats(index, pages, registry), nil
}

// Stats are the figures of the indexes of texts and of pages and of their registry.
func Stats(index, pages storage.IndexStats, registry storage.RegistryStats) IndexStats {
	stats := IndexStats{
		Documents: registry.Documents, Pages: registry.Pages, Postings: index.Postings, Bytes: index.Bytes,
		TextBytes: registry.TextBytes, GuaranteeCharacters: fingerprint.Guarantee, Segments: index.Segments, Version: index.Version,
		Drawings: registry.Drawings, Pending: registry.Undrawn, PagePostings: pages.Postings, PageBytes: pages.Bytes,
	}
	if index.Postings > 0 {
		stats.BytesPerPosting = float64(index.Bytes) / float64(index.Postings)
	}
	return stats
}

// Metrics implements GET /metrics.
func (s *Server) Metrics(ctx context.Context, _ MetricsRequestObject) (MetricsResponseObject, error) {
	r, err := body(ctx)
	if err != nil {
		return nil, err
	}
	return exposition{promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}), r}, nil
}

// exposition lets the Prometheus library choose the format that the caller reads.
type exposition struct {
	handler http.Handler
	request *http.Request
}

// VisitMetricsResponse implements MetricsResponseObject.
func (e exposition) VisitMetricsResponse(w http.ResponseWriter) error {
	e.handler.ServeHTTP(w, e.request)
	return nil
}

// metrics are the figures for Prometheus. Labels are bounded: routes of the
// specification, verdicts, outcomes; never documents, departments or callers.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.HistogramVec
	matches   *prometheus.CounterVec
	posts     *prometheus.CounterVec
	alarms    *prometheus.CounterVec
	fed       *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	matchTime prometheus.Histogram
	documents *prometheus.CounterVec
}

func newMetrics(registry storage.Registry, index, pages storage.Index, webhooks storage.Webhooks) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sealprint_http_request_duration_seconds", Help: "Duration of requests.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "code"}),
		matches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_matches_total", Help: "Look-ups by verdict.",
		}, []string{"verdict"}),
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_posts_total", Help: "Posts that were taken in, by verdict.",
		}, []string{"verdict"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_alarms_total", Help: "Callers that may be guessing what is registered, by why: probing, documents.",
		}, []string{"why"}),
		fed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_jetstream_posts_total", Help: "Posts from JetStream, by result: taken, refused, retried.",
		}, []string{"result"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_webhook_attempts_total", Help: "Attempts to deliver webhooks, by result: delivered, failed, disabled.",
		}, []string{"result"}),
		matchTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sealprint_match_duration_seconds", Help: "Duration of look-ups.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5, 15},
		}),
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealprint_registered_total", Help: "Uploaded files by outcome.",
		}, []string{"outcome"}),
	}
	// Each is -1 while its store does not answer.
	gauge := func(name, help string, value func(context.Context) (float64, error)) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			v, err := value(ctx)
			if err != nil {
				return -1
			}
			return v
		})
	}
	ofRegistry := func(name, help string, value func(storage.RegistryStats) int64) prometheus.Collector {
		return gauge(name, help, func(ctx context.Context) (float64, error) {
			stats, err := registry.Stats(ctx)
			return float64(value(stats)), err
		})
	}
	ofIndex := func(index storage.Index, name, help string, value func(storage.IndexStats) int64) prometheus.Collector {
		return gauge(name, help, func(ctx context.Context) (float64, error) {
			stats, err := index.Stats(ctx)
			return float64(value(stats)), err
		})
	}
	postings := func(s storage.IndexStats) int64 { return s.Postings }
	bytes := func(s storage.IndexStats) int64 { return s.Bytes }
	m.registry.MustRegister(m.requests, m.matches, m.posts, m.alarms, m.fed, m.attempts, m.matchTime, m.documents, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		ofRegistry("sealprint_documents", "Registered documents.", func(s storage.RegistryStats) int64 { return int64(s.Documents) }),
		ofRegistry("sealprint_drawings", "Pages, and pictures on pages, that are known by their look.", func(s storage.RegistryStats) int64 { return s.Drawings }),
		ofRegistry("sealprint_previous_key_versions", "Versions of documents that are kept under the previous secret key.", func(s storage.RegistryStats) int64 { return s.Earlier }),
		ofRegistry("sealprint_undrawn_versions", "Versions of documents whose pages are to be drawn.", func(s storage.RegistryStats) int64 { return s.Undrawn }),
		gauge("sealprint_webhook_backlog", "Deliveries of webhooks that wait.", func(ctx context.Context) (float64, error) {
			pending, _, err := webhooks.Backlog(ctx)
			return float64(pending), err
		}),
		ofIndex(index, "sealprint_index_postings", "Stored fingerprints.", postings),
		ofIndex(index, "sealprint_index_bytes", "The index on disk.", bytes),
		ofIndex(pages, "sealprint_pages_postings", "Stored fingerprints of layouts of pages.", postings),
		ofIndex(pages, "sealprint_pages_bytes", "The index of pages on disk.", bytes),
	)
	return m
}

func (m *metrics) request(method, route string, code int, took time.Duration) {
	switch method {
	case "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(code)).Observe(took.Seconds())
}

func (m *metrics) matched(verdict string, took time.Duration) {
	m.matches.WithLabelValues(verdict).Inc()
	m.matchTime.Observe(took.Seconds())
}

func (m *metrics) registered(outcome string) { m.documents.WithLabelValues(outcome).Inc() }
