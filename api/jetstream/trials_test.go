package jetstream

import (
	"testing"
	"time"
)

// TestTrials: what had an outcome does not count, however often it was tried; what had none
// counts until the last.
func TestTrials(t *testing.T) {
	dir := t.TempDir() + "/trials"
	for range 300 {
		if n, err := (trials{dir}).begin("good"); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if err := (trials{dir}).end("good"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxTrials + 2 {
		if n, err := (trials{dir}).begin("bad"); n != min(i, maxTrials) || err != nil {
			t.Error(i, n, err)
		}
	}
	for range 2 {
		if err := (trials{dir}).end("bad"); err != nil {
			t.Error(err)
		}
	}
	if n, err := (trials{dir}).begin("bad"); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestPause: pauses double from a second to five minutes, and stay there.
func TestPause(t *testing.T) {
	for deliveries, want := range map[uint64]time.Duration{
		1: time.Second, 2: 2 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 300: 5 * time.Minute, 1 << 63: 5 * time.Minute,
	} {
		if got := pauseAfter(deliveries); got != want {
			t.Errorf("after %d deliveries: %v", deliveries, got)
		}
	}
}
