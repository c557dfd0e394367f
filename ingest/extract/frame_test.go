package extract

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sealprint/sealprint/ingest"
)

func TestAnswer(t *testing.T) {
	pages := []ingest.Page{
		{Number: 1, Text: "text", Reader: "reader 1"},
		{Number: 3, Reader: "reader 1", Reason: "malformed content"},
	}
	b := appendFrame(nil, frameMedia, []string{"text/plain"})
	for _, p := range pages {
		b = appendPage(b, p)
	}
	b = appendFrame(b, frameEnd, []string{"limit", "reason"})

	var a answer
	end, err := a.read(bytes.NewReader(b), nil)
	if err != nil || a.mediaType != "text/plain" || !reflect.DeepEqual(a.pages, pages) || *end != (Failure{"limit", "reason"}) {
		t.Errorf("got %+v, %v, %v", a, end, err)
	}
	for n := range b {
		if _, err := new(answer).read(bytes.NewReader(b[:n]), nil); err == nil {
			t.Errorf("no error for the first %d of %d bytes", n, len(b))
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	media := appendFrame(nil, frameMedia, []string{"text/plain"})
	for name, b := range map[string][]byte{
		"unknown kind":       appendFrame(nil, 'x', nil),
		"two media types":    append(media, media...),
		"page too large":     {framePage, 0xff, 0xff, 0xff, 0xff},
		"page number 0":      appendPage(nil, ingest.Page{}),
		"page number huge":   appendPage(nil, ingest.Page{Number: ingest.MaxPages + 1}),
		"invalid text":       appendPage(nil, ingest.Page{Number: 1, Text: "\xff"}),
		"label past the end": {frameMedia, 0, 0, 0, 3, 0, 9, 'x'},
		"ok with words":      appendFrame(nil, frameEnd, []string{"ok", ""}),
		"unknown status":     appendFrame(nil, frameEnd, []string{"fine", ""}),
	} {
		if _, err := new(answer).read(bytes.NewReader(b), nil); err != errFrame {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLongLabelsAreCut(t *testing.T) {
	b := appendFrame(nil, frameEnd, []string{"limit", strings.Repeat("x", 1<<20)})
	end, err := new(answer).read(bytes.NewReader(b), nil)
	if err != nil || len(end.Reason) != ingest.MaxLabelBytes {
		t.Errorf("got %v, %v", end, err)
	}
}

func FuzzAnswer(f *testing.F) {
	b := appendFrame(nil, frameMedia, []string{"text/plain"})
	b = appendPage(b, ingest.Page{Number: 1, Text: "text", Reader: "reader 1"})
	f.Add(appendFrame(b, frameEnd, []string{"", ""}))
	f.Add([]byte{framePage, 1, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		end, _ := a.read(bytes.NewReader(b), nil)
		r := a.reading(end)
		last := 0
		for _, p := range r.Pages {
			if p.Number <= last || !utf8.ValidString(p.Text) {
				t.Errorf("page %d after %d: %q", p.Number, last, p.Text)
			}
			last = p.Number
		}
		if a.bytes > ingest.MaxTextBytes || last > ingest.MaxPages {
			t.Errorf("%d bytes, page %d", a.bytes, last)
		}
	})
}
