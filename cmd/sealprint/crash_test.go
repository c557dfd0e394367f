package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
)

// TestKill: a server that is killed again and again while documents are being
// registered loses none that was acknowledged, and registers none twice.
func TestKill(t *testing.T) {
	data, papers := filepath.Join(t.TempDir(), "data"), t.TempDir()
	const documents = 120
	files := map[string]string{}
	for i := range documents {
		files[fmt.Sprintf("%03d.txt", i)] = fingerprinttest.Prose(uint64(i), 3000)
	}
	write(t, papers, files)
	r := rand.New(rand.NewPCG(1, 1))
	acknowledged := map[string]string{} // source to document
	for round := 0; round < 8 && len(acknowledged) < documents; round++ {
		s := startProcess(t, data)
		// Killed while one of the next files is on its way, at any moment of it.
		kill := make(chan struct{})
		after, pause := 1+r.IntN(20), time.Duration(r.IntN(10_000))*time.Microsecond
		var wait sync.WaitGroup
		wait.Go(func() {
			<-kill
			time.Sleep(pause)
			_ = s.cmd.Process.Kill() // it cannot have ended before
		})
		// Files one after the other, each acknowledged for itself.
		for i := 0; i < documents; i++ {
			source := fmt.Sprintf("%s/%03d.txt", papers, i)
			if _, ok := acknowledged[source]; ok {
				continue
			}
			line, ok := s.registerOne(source)
			if !ok {
				break
			}
			acknowledged[source] = line
			if after--; after == 0 {
				close(kill)
			}
		}
		if after > 0 {
			close(kill)
		}
		wait.Wait()
		s.kill()
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged before the kills")
	}
	s := start(t, data)
	report, _ := lines(t, s.cli("register", papers, "--json").out)
	for source, id := range acknowledged {
		if got := report[source]; got.Outcome != "unchanged" || got.DocumentID != id {
			t.Errorf("%s was acknowledged as %s, now %+v", source, id, got)
		}
	}
	_, sum := lines(t, s.cli("register", papers, "--json").out)
	if sum != (summary{Unchanged: documents}) {
		t.Errorf("at last: %+v", sum)
	}
	for i := range documents {
		name := fmt.Sprintf("%03d.txt", i)
		if a := s.match(files[name][1000:1400]); a.Verdict != "unauthorized" || a.Matches[0].Document.Title != name {
			t.Errorf("document %d: %+v", i, a)
		}
	}
	t.Logf("%d of %d documents were acknowledged before the last kill", len(acknowledged), documents)
}
