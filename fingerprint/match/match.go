// Package match finds which registered documents a suspect text shows, and
// where.
//
// A suspect text is normalized and all of its grams are looked up. Every
// posting that comes back is a hit: gram q of the suspect stands at position p
// of a document. What the two texts share lies on a diagonal, p - q constant;
// strangers scatter. So, for each document:
//
//  1. Hits are sorted by diagonal, and the band of diagonals with the most
//     evidence is taken: a copied passage, though characters were lost or gained
//     on the way. The band is cut into passages where it has long gaps. What is
//     left is searched again, for other passages of the same document.
//  2. Evidence is counted in bits: a hit says as much as its gram is rare in the
//     index, and of grams that overlap each sampled character counts once. The
//     best band decides.
//  3. From how the hits line up follows how many documents of an index of this
//     size would match this well by chance. Below [ChanceThreshold] the match is an alert,
//     above it is reported, on request, as below the threshold.
//
// The guarantee of package fingerprint carries over: a run of
// fingerprint.Guarantee characters leaves at least two hits in line at every
// window, and a document with two hits in line is among the matches, whatever
// becomes of them, unless their grams are so common that they say nothing or one
// of the limits below is reached.
package match

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Limits of one look-up.
const (
	// maxPostings is how much of the list of one fingerprint is read. A gram that
	// stands in more places says little about any of them.
	maxPostings = 256

	// maxRepeats is how many places of the suspect may ask for the same
	// fingerprint. It bounds the work on texts that repeat themselves: a megabyte of
	// one letter asks once and counts sixteen times.
	maxRepeats = 16

	// maxHits bounds the memory of a look-up, at 16 bytes a hit.
	maxHits = 8 << 20

	// maxCandidates is how many documents are looked at closely, best first.
	maxCandidates = 200

	// maxMatches is how many documents an answer names.
	maxMatches = 50

	// maxPassages is how many passages of one document are told apart.
	maxPassages = 64

	// maxBands is how many bands of one document are looked into, passages or not.
	maxBands = 2 * maxPassages
)

// Index is the part of storage.Index that matching needs.
type Index interface {
	Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error)
}

// Documents is the part of storage.Registry that matching needs.
type Documents interface {
	Matches(ctx context.Context, scope storage.Scope, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Match, error)
	Places(ctx context.Context, ordinal storage.Ordinal) ([]byte, error)
}

// Matcher answers look-ups. It keeps no state.
type Matcher struct {
	Key       *fingerprint.Key
	Index     Index
	Documents Documents
}

// Query is one look-up.
type Query struct {
	Text   string
	SeenAt time.Time
	Scope  storage.Scope
	// Suppressed asks for the matches that are no alerts, too.
	Suppressed bool
}

// Verdict is the answer in a word.
type Verdict string

// The verdicts, in order of precedence.
const (
	Unauthorized Verdict = "unauthorized" // some match is an alert
	Authorized   Verdict = "authorized"   // all that matched is covered by a release
	Public       Verdict = "public"       // all that matched is public text
	Incomplete   Verdict = "incomplete"   // part of the index did not answer, and nothing else is certain
	Unreadable   Verdict = "unreadable"   // the file or image gave no text
	TooShort     Verdict = "too_short"    // nothing matched, and the text is shorter than the guarantee
	NoMatch      Verdict = "no_match"
)

// Disposition says what becomes of a match.
type Disposition string

// The dispositions.
const (
	Alert             Disposition = "alert"
	AuthorizedRelease Disposition = "authorized_release"
	PublicText        Disposition = "public_text"
	Boilerplate       Disposition = "boilerplate"
	BelowThreshold    Disposition = "below_threshold"
)

// Report is the answer to a look-up.
type Report struct {
	Verdict      Verdict
	IndexVersion string
	// Missing names the parts of the index that did not answer; the report is
	// partial if there are any.
	Missing []string
	// Characters is the length of the suspect in normalized characters.
	Characters int
	Matches    []Match
}

// Match is one document that the suspect shows.
type Match struct {
	Document    storage.Document
	Version     int
	Source      string
	Disposition Disposition
	Reason      string
	// Score grows from 0 to 1 with the evidence; an alert has at least 0.5.
	Score float64
	// ExpectedByChance is how many documents of an index of this size would match
	// this well if nothing had leaked.
	ExpectedByChance float64
	// Query and InDocument are how much of the suspect stands in the document, and
	// how much of the document in the suspect, as shares of normalized characters.
	Query, InDocument float64
	// Characters is how many normalized characters of the suspect matched.
	Characters int
	Passages   []Passage
}

// Passage is one aligned region. One that runs over the end of a page is a
// passage on each.
type Passage struct {
	// Query is in code points of the submitted text.
	Query fingerprint.Span
	// Place is in code points of the document's page.
	Place fingerprint.Place
	// Similarity estimates the share of identical characters.
	Similarity float64
}

// Match looks a text up.
func (m *Matcher) Match(ctx context.Context, q Query) (*Report, error) {
	text := fingerprint.Normalize(q.Text)
	report := &Report{Characters: text.Len()}
	search, err := m.search(ctx, text)
	if err != nil {
		return nil, err
	}
	report.IndexVersion, report.Missing = search.version, search.missing

	candidates := search.candidates()
	ordinals := make([]storage.Ordinal, len(candidates))
	for i, c := range candidates {
		ordinals[i] = c.ordinal
	}
	var known map[storage.Ordinal]storage.Match
	if len(ordinals) > 0 {
		if known, err = m.Documents.Matches(ctx, q.Scope, ordinals); err != nil {
			return nil, fmt.Errorf("look up candidates: %w", err)
		}
	}
	// Versions of one document are one match: the best of them.
	seen := map[storage.DocumentID]bool{}
	for _, c := range candidates {
		k, ok := known[c.ordinal]
		if !ok || seen[k.Document.ID] || len(report.Matches) == maxMatches {
			continue
		}
		seen[k.Document.ID] = true
		match, err := m.evidence(ctx, text, c, k, chance(c, k.Version.Window, search))
		if err != nil {
			return nil, err
		}
		report.Matches = append(report.Matches, match)
	}
	slices.SortStableFunc(report.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Document.ID, b.Document.ID))
	})
	report.Verdict = verdict(report)
	if !q.Suppressed {
		report.Matches = slices.DeleteFunc(report.Matches, func(m Match) bool { return m.Disposition != Alert })
	}
	return report, nil
}

// verdict condenses a report that still holds its suppressed matches.
func verdict(r *Report) Verdict {
	counted := map[Disposition]bool{}
	for _, m := range r.Matches {
		counted[m.Disposition] = true
	}
	switch {
	case counted[Alert]:
		return Unauthorized
	case counted[AuthorizedRelease]:
		return Authorized
	case counted[PublicText] || counted[Boilerplate]:
		return Public
	case len(r.Missing) > 0:
		return Incomplete
	case r.Characters < fingerprint.Guarantee && len(r.Matches) == 0:
		return TooShort
	}
	return NoMatch
}

// evidence turns a candidate into a match, with its passages on the pages.
func (m *Matcher) evidence(ctx context.Context, text *fingerprint.Text, c candidate, k storage.Match, chance float64) (Match, error) {
	match := Match{
		Document: k.Document, Version: k.Version.Number, Source: k.Source,
		Score: score(chance), ExpectedByChance: expected(chance),
		Disposition: Alert,
	}
	if match.ExpectedByChance > ChanceThreshold {
		match.Disposition = BelowThreshold
	}
	encoded, err := m.Documents.Places(ctx, c.ordinal)
	if err != nil {
		return Match{}, fmt.Errorf("read places of %s version %d: %w", k.Document.ID, k.Version.Number, err)
	}
	places, err := fingerprint.ParsePlaces(encoded)
	if err != nil {
		return Match{}, fmt.Errorf("read places of %s version %d: %w: %w", k.Document.ID, k.Version.Number, storage.ErrCorrupt, err)
	}
	inDocument := 0
	for _, p := range c.passages {
		match.Characters += p.query.Len()
		inDocument += p.document.Len()
		similarity := p.similarity(k.Version.Window)
		for _, place := range places.Of(p.document) {
			match.Passages = append(match.Passages, Passage{
				Query:      text.Source(p.project(place.Characters)),
				Place:      place,
				Similarity: similarity,
			})
		}
	}
	match.Query = share(match.Characters, text.Len())
	match.InDocument = share(inDocument, places.Len())
	if match.Disposition == Alert {
		match.Reason = fmt.Sprintf("%d of %d characters stand in this document", match.Characters, text.Len())
	} else {
		match.Reason = fmt.Sprintf("%d of %d characters stand in this document, which may be chance", match.Characters, text.Len())
	}
	return match, nil
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}
