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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// BenchmarkLookup measures look-ups over HTTP, by as many clients as there are
// cores, of 280 characters at 10,000 documents of 10 KB. Half of the texts are
// excerpts. It also reports what the index takes per byte of text.
func BenchmarkLookup(b *testing.B) {
	const documents, size = 10_000, 10_000
	s, api := proseServer(b, documents, size)
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

// proseServer starts a server with documents of made-up prose, document i of seed i.
func proseServer(b *testing.B, documents, size int) (*server, *client.Client) {
	b.Helper()
	s := start(b, filepath.Join(b.TempDir(), "data"))
	api, err := client.New(s.url, s.key)
	if err != nil {
		b.Fatal(err)
	}
	var wait sync.WaitGroup
	var next atomic.Int64
	for range uploads {
		wait.Go(func() {
			for i := int(next.Add(1) - 1); i < documents; i = int(next.Add(1) - 1) {
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
	return s, api
}

// BenchmarkPosts measures the intake of posts of 280 characters over one connection, at 5,000
// documents of 4,000 characters, while others come alone, fifty a second; one in fifty shows a
// document. It means something from some thousand posts on: -benchtime 20000x.
func BenchmarkPosts(b *testing.B) {
	const documents, size = 5000, 4000
	s, api := proseServer(b, documents, size)
	text := func(i int) string {
		seed, r := uint64(documents+i), rand.New(rand.NewPCG(uint64(i), 1))
		if i%50 == 0 {
			seed = uint64(r.IntN(documents))
		}
		at := r.IntN(size - 400)
		return fingerprinttest.Prose(seed, size)[at : at+280]
	}
	var stream bytes.Buffer
	encoder := json.NewEncoder(&stream)
	for i := range b.N {
		if err := encoder.Encode(client.Post{ID: fmt.Sprint(i), Text: text(i)}); err != nil {
			b.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.url+"/v1/posts", &stream)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/x-ndjson")
	b.ResetTimer()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Error(err)
			return
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if n := bytes.Count(answer, []byte(`"verdict"`)); err != nil || n != b.N {
			b.Errorf("%s, %v, %d of %d posts are taken in", response.Status, err, n, b.N)
		}
	}()
	var took []time.Duration
	for tick := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-ended:
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
			if slices.Sort(took); len(took) > 0 {
				b.ReportMetric(float64(took[len(took)/2])/1e6, "single-p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100])/1e6, "single-p99-ms")
			}
			return
		case <-tick:
			post := client.Post{ID: fmt.Sprint("alone ", len(took)), Text: text(1 + 50*len(took))}
			began := time.Now()
			if _, err := api.Post(b.Context(), post); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
	}
}
