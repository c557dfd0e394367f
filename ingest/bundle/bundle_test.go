package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/page/pagetest"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/storage"
)

var aKey = func() *fingerprint.Key {
	key, err := fingerprint.ParseKey([]byte("sealprint-key-1:" + strings.Repeat("5e", 32)))
	if err != nil {
		panic(err)
	}
	return key
}()

// made is what is made of a text of two pages, of which the second has a look.
func made(seed uint64) Entry {
	b := fingerprint.NewBuilder(aKey, fingerprint.Dense)
	v := storage.Version{
		Content: []byte(fmt.Sprint("content ", seed)), Size: 4000, MediaType: "text/plain", Window: fingerprint.Dense, Status: "partial", Reason: "page 3", TextBytes: 3000,
		Drawn: ingest.Drawing,
	}
	for i := range 2 {
		b.AddPage(i+1, fingerprinttest.Prose(seed*2+uint64(i), 1500))
		n := b.Pages()[i]
		v.Pages = append(v.Pages, storage.Page{Number: i + 1, Part: "sheet", Characters: n.Characters, CodePoints: n.CodePoints, Reader: "text", Gate: &storage.Gate{Letters: 0.5}})
	}
	v.Places, v.Sketch = b.Places(), b.Sketch().Bytes()
	layout := page.Read(pagetest.Print(seed, 0))
	return Entry{Source: fmt.Sprint("minutes/", seed), Fingerprints: ingest.Fingerprints{
		Version: v, Hashes: b.Hashes(),
		Looks: ingest.Looks{
			Undrawn:  "page 1: why",
			Drawings: []storage.Drawing{{Page: 2, Part: "as printed", Hash: bytes.Repeat([]byte{1}, 32), Layout: layout.Encode()}, {Page: 2, Region: storage.Region{X: 0.1, Width: 0.5, Height: 0.5}, Hash: bytes.Repeat([]byte{2}, 32)}},
			Layouts:  [][]fingerprint.Hash{aKey.Pages().SealAll(layout.Hashes()), nil},
		},
	}}
}

func write(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := Create(&out, aKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is read is what was written, and nothing of it can be seen from outside.
func TestRoundTrip(t *testing.T) {
	want := []Entry{made(1), made(2), made(3)}
	sealed := write(t, want...)
	var got []Entry
	for e, err := range Read(bytes.NewReader(sealed), aKey) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if n, err := Verify(bytes.NewReader(sealed), aKey); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := Verify(bytes.NewReader(write(t)), aKey); n != 0 || err != nil {
		t.Errorf("without entries: %d, %v", n, err)
	}
	if !strings.HasPrefix(string(sealed), Magic) || bytes.Contains(sealed, []byte("minutes")) || bytes.Equal(sealed, write(t, want...)) {
		t.Error("a bundle shows what is in it, or is the same twice")
	}
}

// Whatever is changed, left out, cut off or added is found, and with another key nothing is.
func TestTampering(t *testing.T) {
	sealed := write(t, made(1), made(2))
	random := rand.New(rand.NewPCG(1, 2))
	check := func(what string, b []byte, kinds ...error) {
		t.Helper()
		_, err := Verify(bytes.NewReader(b), aKey)
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return
			}
		}
		t.Errorf("%s: %v", what, err)
	}
	for range 300 {
		at := random.IntN(len(sealed))
		b := bytes.Clone(sealed)
		b[at] ^= 1 << random.IntN(8)
		// In the header the id of the key may be what was changed.
		check(fmt.Sprint("flipped at ", at), b, ErrBundle, fingerprint.ErrParams)
	}
	for range 50 {
		n := random.IntN(len(sealed))
		check(fmt.Sprint("cut at ", n), sealed[:n], ErrBundle)
	}
	check("longer", append(bytes.Clone(sealed), 0), ErrBundle)
	check("twice", append(bytes.Clone(sealed), sealed...), ErrBundle)
	check("nothing", nil, ErrBundle)
	if _, err := Verify(bytes.NewReader(sealed), fingerprint.NewKey()); !errors.Is(err, fingerprint.ErrParams) {
		t.Errorf("another key: %v", err)
	}
}

// What holders of the key made wrong is refused, too.
func TestUnfit(t *testing.T) {
	for name, spoil := range map[string]func(*Entry){
		"no source":             func(e *Entry) { e.Source = "" },
		"no content":            func(e *Entry) { e.Version.Content = nil },
		"no document":           func(e *Entry) { e.Version.Status = "damaged" },
		"too few fingerprints":  func(e *Entry) { e.Hashes = e.Hashes[1:] },
		"places of other pages": func(e *Entry) { e.Version.Places = made(9).Version.Places[:40] },
		"no sketch":             func(e *Entry) { e.Version.Sketch = []byte{1} },
		"a layout of none":      func(e *Entry) { e.Drawings[0].Layout = []byte{9, 9} },
		"half a hash":           func(e *Entry) { e.Drawings[1].Hash = []byte{1} },
	} {
		e := made(1)
		spoil(&e)
		if _, err := Verify(bytes.NewReader(write(t, e)), aKey); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A bundle that was not ended is none.
	var out bytes.Buffer
	w, err := Create(&out, aKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add(made(1)), w.sealed.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(&out, aKey); !errors.Is(err, ErrBundle) {
		t.Errorf("without an end: %v", err)
	}
}

// FuzzLines: whatever stands inside, a bundle is read or refused.
func FuzzLines(f *testing.F) {
	plain, err := decrypted(write(f, made(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(`{"head":{"format":"sealprint bundle 1"}}` + "\n" + `{"end":0}` + "\n"))
	f.Fuzz(func(t *testing.T, inside []byte) {
		var out bytes.Buffer
		w, err := Create(&out, aKey)
		if err != nil {
			t.Fatal(err)
		}
		// The lines of the fuzzer follow the head.
		if _, err := w.sealed.Write(inside); err != nil {
			t.Fatal(err)
		}
		if err := w.sealed.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Verify(&out, aKey)
		if err != nil && !errors.Is(err, ErrBundle) && !errors.Is(err, fingerprint.ErrParams) {
			t.Errorf("%v", err)
		}
	})
}

// decrypted is what stands in a bundle behind its head.
func decrypted(sealed []byte) ([]byte, error) {
	opened, err := age.Decrypt(bytes.NewReader(sealed), &holder{aKey})
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(opened)
	_, rest, _ := bytes.Cut(all, []byte("\n"))
	return rest, err
}
