package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/registry"
)

// BenchmarkDeliver delivers 400 events of as many alerts, to one webhook or to ten.
func BenchmarkDeliver(b *testing.B) {
	const events = 400
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for _, webhooks := range []int{1, 10} {
		b.Run(fmt.Sprintf("webhooks=%d", webhooks), func(b *testing.B) {
			r, err := registry.Open(b.Context(), filepath.Join(b.TempDir(), "registry.db"), fingerprint.NewKey())
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			for i := range webhooks {
				if err := r.AddWebhook(b.Context(), storage.Webhook{ID: storage.WebhookID(fmt.Sprint("whk_", i)), URL: server.URL, Secret: NewSecret()}); err != nil {
					b.Fatal(err)
				}
			}
			done := make(chan struct{}, events)
			d := newDeliverer(r, standard, func(Result) { done <- struct{}{} })
			for b.Loop() {
				b.StopTimer()
				for i := range events {
					id := storage.WebhookID(fmt.Sprint("whk_", i%webhooks))
					e := storage.Event{ID: storage.EventID(storage.NewID("evt")), Alert: storage.AlertID(fmt.Sprint("alr_", i)), At: time.Now()}
					if err := r.Enqueue(b.Context(), id, e); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				stop := start(b, d)
				for range events {
					<-done
				}
				stop()
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
