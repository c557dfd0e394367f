package index

import (
	"testing"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
	"github.com/sealprint/sealprint/storage/storagetest"
)

func FuzzLog(f *testing.F) {
	sound := appendPreamble(nil, logMagic)
	sound = appendFrame(sound, 1, [][]byte{
		encodeRecord(record{sheets: []storage.Sheet{sheetOf(1, 7, 8), sheetOf(4)}}),
		encodeRecord(record{deleted: []storage.Ordinal{1}}),
	})
	f.Add(sound)
	f.Add(appendFrame(sound[:len(sound):len(sound)], 3, [][]byte{encodeRecord(record{sheets: []storage.Sheet{sheetOf(5, 7)}})}))
	f.Add(sound[:len(sound)-3])
	f.Add([]byte(logMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		sheets := 0
		count, err := readLog(data, 1, func(r record) error {
			sheets += len(r.sheets)
			return nil
		})
		if count > len(data) || sheets > len(data) {
			t.Fatalf("%d bytes hold %d sound ones with %d sheets", len(data), count, sheets)
		}
		if err == nil && count > 0 {
			again, err := readLog(data[:count], 1, func(record) error { return nil })
			if err != nil || again != count {
				t.Fatalf("the sound %d bytes alone: %d, %v", count, again, err)
			}
		}
	})
}

func FuzzSegment(f *testing.F) {
	for _, sheets := range [][]storage.Sheet{
		{sheetOf(1)},
		{sheetOf(1, 7, 8, 7), sheetOf(5, 8, 1<<fingerprint.HashBits-1)},
	} {
		run, err := newRun(f.Context(), storagetest.Params, sheets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(run.data)
		f.Add(run.data[:len(run.data)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSegment("fuzz", data, storagetest.Params)
		if err != nil {
			return
		}
		// None of this may panic or run for ever; verify says whether the rest
		// means anything.
		_ = s.verify(t.Context())
		if s.documents > 0 {
			lists := make([]storage.List, 4)
			_ = part{segment: s}.lookup([]fingerprint.Hash{0, 7, 8, 1<<fingerprint.HashBits - 1}, 10, lists)
		}
	})
}
