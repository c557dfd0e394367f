package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// BenchmarkLookup measures look-ups over HTTP, by as many clients as there are
// cores, of 280 characters at 10,000 documents of 10 KB. Half of the texts are
// excerpts. It also reports what the index takes per byte of text.
func BenchmarkLookup(b *testing.B) {
	const documents, size = 10_000, 10_000
	s := start(b, filepath.Join(b.TempDir(), "data"))
	api, err := client.New(s.url, s.key)
	if err != nil {
		b.Fatal(err)
	}
	var wait sync.WaitGroup
	var next atomic.Int64
	for range uploads {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < documents; i = next.Add(1) - 1 {
				name := fmt.Sprintf("%05d.txt", i)
				u := client.Upload{Source: name, Name: name, Content: strings.NewReader(fingerprinttest.Prose(uint64(i), size))}
				if _, err := api.Register(b.Context(), u); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	stats, err := api.IndexStats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var texts [][]byte
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		seed := uint64(r.IntN(documents))
		if i%2 == 1 {
			seed += documents // of no registered document
		}
		document := fingerprinttest.Prose(seed, size)
		at := r.IntN(len(document) - 350)
		body, err := json.Marshal(map[string]string{"text": document[at : at+350]})
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, body)
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.ResetTimer()
	var turn atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+"/v1/match", bytes.NewReader(texts[turn.Add(1)%int64(len(texts))]))
			if err != nil {
				b.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+s.key)
			request.Header.Set("Content-Type", "application/json")
			response, err := web.Do(request)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				b.Errorf("status %s", response.Status)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	b.ReportMetric(float64(stats.Bytes)/float64(stats.TextBytes), "indexbytes/textbyte")
}
