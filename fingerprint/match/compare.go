package match

import (
	"context"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// pair is an index of one document that nobody registered.
type pair struct {
	lists  map[fingerprint.Hash][]storage.Posting
	total  int
	places []byte
}

const compared storage.Ordinal = 1

// Compare looks a text up in another, as if that were the only registered
// document. Nothing is stored.
func (m *Matcher) Compare(ctx context.Context, suspect, document string) (*Report, error) {
	b := fingerprint.NewBuilder(m.Key, fingerprint.Dense)
	b.AddPage(1, document)
	p := &pair{lists: map[fingerprint.Hash][]storage.Posting{}, total: len(b.Hashes()), places: b.Places()}
	for i, h := range b.Hashes() {
		p.lists[h] = append(p.lists[h], storage.Posting{Ordinal: compared, Position: uint32(i * int(fingerprint.Dense)), Window: fingerprint.Dense})
	}
	alone := Matcher{Key: m.Key, Index: p, Documents: p}
	return alone.Match(ctx, Query{Text: suspect, Scope: storage.Everywhere(), Suppressed: true, Explain: true})
}

// Lookup implements [Index].
func (p *pair) Lookup(_ context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error) {
	answer := &storage.Answer{Version: "compare", Postings: int64(p.total), Lists: make([]storage.List, len(hashes))}
	for i, h := range hashes {
		list := p.lists[h]
		answer.Lists[i] = storage.List{Total: len(list), Postings: list[:min(len(list), limit)]}
	}
	return answer, nil
}

// Matches implements [Documents].
func (p *pair) Matches(context.Context, storage.Scope, []storage.Ordinal) (map[storage.Ordinal]storage.Match, error) {
	known := storage.Match{Kind: storage.Protected, Version: storage.Version{Number: 1, Ordinal: compared, Window: fingerprint.Dense}}
	return map[storage.Ordinal]storage.Match{compared: known}, nil
}

// Places implements [Documents].
func (p *pair) Places(context.Context, storage.Ordinal) ([]byte, error) { return p.places, nil }

// Sketches implements [Documents].
func (p *pair) Sketches(context.Context, []storage.Ordinal) (map[storage.Ordinal][]byte, error) {
	return nil, nil
}

// ReleasesOf implements [Documents].
func (p *pair) ReleasesOf(context.Context, []storage.DocumentID) (map[storage.DocumentID][]storage.Release, error) {
	return nil, nil
}
