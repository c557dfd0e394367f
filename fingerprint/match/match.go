// Package match finds which registered documents a suspect text shows, and
// where.
//
// A suspect text is normalized and all of its grams are looked up. Every
// posting that comes back is a hit: gram q of the suspect stands at position p
// of a document. Then:
//
//  1. Chains. The hits of a document are put into sequences that advance in both
//     texts, with a price for characters that are lost or gained on the way and for
//     fingerprints that are missing (chain.go). A chain is a passage.
//  2. Evidence. A chain is weighed by what copies have and strangers have not:
//     islands of hits, one after the other, in line; or a long run with nothing
//     missing (score.go).
//  3. Suppression. Characters of the suspect that stand in public text, in
//     boilerplate, or in many documents of different origin do not count
//     (suppress.go).
//  4. Chance. From the evidence that is left follows how many documents would match
//     this well if nothing had leaked. Below [ChanceThreshold] the match is an alert.
//     What is little above is looked at once more, for grams with one misread
//     character (near.go).
//  5. Releases. What an authority released in the time in which the suspect was seen
//     does not count either, in the department whose document it is (release.go).
//  6. Families. Of several versions of a document the closest is named.
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
)

// Index is the part of storage.Index that matching needs.
type Index interface {
	Lookup(ctx context.Context, hashes []fingerprint.Hash, limit int) (*storage.Answer, error)
}

// Documents is the part of storage.Registry that matching needs.
type Documents interface {
	Matches(ctx context.Context, scope storage.Scope, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Match, error)
	Places(ctx context.Context, ordinal storage.Ordinal) ([]byte, error)
	Sketches(ctx context.Context, ordinals []storage.Ordinal) (map[storage.Ordinal][]byte, error)
	ReleasesOf(ctx context.Context, ids []storage.DocumentID) (map[storage.DocumentID][]storage.Release, error)
}

// Matcher answers look-ups. It keeps no state. Those of texts need neither Pages nor what
// follows.
type Matcher struct {
	Key        *fingerprint.Key
	Index      Index // of texts
	Documents  Documents
	Pages      Index // of layouts of pages
	Drawings   Drawings
	Recognizer Recognizer
	// Previous is what was made with the key before, while that still counts; nil if nothing
	// does.
	Previous *Generation
}

// Generation is what was made with one key. Of two, all ordinals of the previous one are
// smaller than those of the current one.
type Generation struct {
	Key          *fingerprint.Key
	Index, Pages Index
}

// Query is one look-up.
type Query struct {
	Text string
	// Grams are those of a text that nobody has any more, as a Report had them; nil: Text is
	// looked up. Spans of what matches count normalized characters then. KeyID says with which
	// key they were made, the current one if it is empty: only documents that are kept under
	// the same are found, and what is kept under the other is reported as missing.
	Grams  []fingerprint.Hash
	KeyID  string
	SeenAt time.Time
	Scope  storage.Scope
	// Suppressed asks for the matches that are no alerts, too, and Explain for the
	// nearest document if there is no alert.
	Suppressed, Explain bool
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
	IndexVersion string // the state of the indexes that were asked
	// Missing names the parts of the index that did not answer; the report is
	// partial if there are any.
	Missing []string
	// Characters is the length of the suspect in normalized characters; of a picture, of
	// the text that was recognized.
	Characters  int
	Matches     []Match
	Explanation Explanation
	// Obfuscation is how the suspect was disguised, if it was.
	Obfuscation fingerprint.Obfuscation

	// Grams are all fingerprints of the suspect text, or of what was read of a picture, in their order, made with the current key
	// unless the query brought them.
	Grams []fingerprint.Hash

	// Read is the text of a picture, if it was recognized, and Unread says why that may not be all
	// of it.
	Read, Unread string
}

// Channel is in which way a match was found.
type Channel string

// The channels.
const (
	Text  Channel = "text"
	OCR   Channel = "ocr"   // the recognized text of a picture
	Page  Channel = "page"  // the look of a page
	Image Channel = "image" // a picture in a document
)

// Agreement is how well a picture and a document agree, channel by channel: the share of
// words that stand in the same place, of bits of the perceptual hash that are equal, and
// of characters; 0 where nobody looked.
type Agreement struct{ Page, Image, OCR float64 }

// Match is one document that the suspect shows.
type Match struct {
	Document    storage.Document
	Version     int
	Ordinal     storage.Ordinal // of the version
	Source      string
	Disposition Disposition
	Reason      string
	Channel     Channel
	Agreement   Agreement // of a picture
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
	// Versions are other versions of the document, and other documents of its
	// family, that show the same passages and are less close.
	Versions []Relative
}

// Relative is another member of a match's family.
type Relative struct {
	Document storage.DocumentID
	Version  int
}

// Passage is one aligned region. One that runs over the end of a page is a
// passage on each.
type Passage struct {
	// Query is in code points of the submitted text.
	Query fingerprint.Span
	// Box is in shares of the submitted picture instead, and OnPage in shares of the
	// document's page, where a page was found by its look.
	Box, OnPage storage.Region
	// Place is in code points of the document's page, if it was found by its text.
	Place fingerprint.Place
	// Part says what the page is where it is more than a page of the file.
	Part string
	// Similarity estimates the share of identical characters.
	Similarity float64
}

// Explanation says how a look-up came to its answer.
type Explanation struct {
	// Asked is how many different fingerprints the suspect has, Found how many of
	// them stand in the index.
	Asked, Found int
	// Common fingerprints stand in so many places that not all were read.
	Common int
	// Public and Boilerplate are how many characters of the suspect do not count,
	// because they stand in public text or in boilerplate.
	Public, Boilerplate int
	// Channels are the ways in which a picture was compared.
	Channels []Channel
	// Nearest is the best match below the threshold, if no match is above.
	Nearest *Match
}

// Match looks a text up.
func (m *Matcher) Match(ctx context.Context, q Query) (*Report, error) {
	text, suspect := m.suspect(q)
	s, candidates, err := m.find(ctx, q, suspect)
	if err != nil {
		return nil, err
	}
	report := &Report{
		Grams:        suspect.hashes,
		IndexVersion: s.version, Missing: s.missing, Characters: text.Len(),
		Explanation: Explanation{Asked: s.asked, Found: s.found, Common: s.common},
		Obfuscation: fingerprint.FindObfuscation(q.Text),
	}
	suppressed, err := m.suppress(ctx, s, candidates, q.SeenAt)
	if err != nil {
		return nil, err
	}
	report.Explanation.Public, report.Explanation.Boilerplate = suppressed.count(PublicText), suppressed.count(Boilerplate)
	if q.Grams == nil {
		if err := m.lookTwice(ctx, s, text, candidates, suppressed); err != nil {
			return nil, err
		}
	}
	for _, c := range candidates {
		c.judge(suppressed)
	}
	if err := m.release(ctx, s, candidates, suppressed, q.SeenAt); err != nil {
		return nil, err
	}
	candidates = slices.DeleteFunc(candidates, func(c *candidate) bool { return !q.Scope.Covers(c.known.Document.Department) })
	if !q.Scope.All() {
		// What stands in documents that the caller does not see, nobody tells.
		report.Explanation.Found, report.Explanation.Common = hitsOf(candidates), 0
	}
	if err := m.gather(ctx, candidates); err != nil {
		return nil, err
	}
	report.Verdict = verdict(report, candidates)
	slices.SortStableFunc(candidates, func(a, b *candidate) int {
		return cmp.Or(rank(a.disposition, b.disposition), cmp.Compare(a.chance, b.chance), cmp.Compare(a.known.Document.ID, b.known.Document.ID))
	})
	if i := slices.IndexFunc(candidates, (*candidate).below); i >= 0 && q.Explain && report.Verdict != Unauthorized {
		nearest, err := m.match(ctx, text, candidates[i])
		if err != nil {
			return nil, err
		}
		report.Explanation.Nearest = &nearest
	}
	if !q.Suppressed {
		candidates = slices.DeleteFunc(candidates, func(c *candidate) bool { return c.disposition != Alert })
	}
	for _, c := range candidates[:min(len(candidates), maxMatches)] {
		match, err := m.match(ctx, text, c)
		if err != nil {
			return nil, err
		}
		report.Matches = append(report.Matches, match)
	}
	slices.SortStableFunc(report.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Document.ID, b.Document.ID))
	})
	return report, nil
}

// maxSearches is how often a text is looked up whose documents are being read again.
const maxSearches = 3

// find looks a text up and finds out what the candidates are. A document that is moved from
// the previous key to the current one meanwhile may be found by what it was before, which
// nobody knows any more. Then it is looked for once more.
func (m *Matcher) find(ctx context.Context, q Query, suspect sealed) (*search, []*candidate, error) {
	for searches := 1; ; searches++ {
		s, err := m.search(ctx, suspect)
		if err != nil {
			return nil, nil, err
		}
		candidates := s.candidates()
		if !q.Suppressed && !q.Explain {
			candidates = decisive(candidates)
		}
		found := len(candidates)
		if candidates, err = m.identify(ctx, candidates); err != nil {
			return nil, nil, err
		}
		if len(candidates) == found || m.Previous == nil || searches == maxSearches {
			return s, candidates, nil
		}
	}
}

// hitsOf counts the grams of the suspect that lie in line with one of the candidates.
func hitsOf(candidates []*candidate) int {
	grams := map[uint32]bool{}
	for _, c := range candidates {
		for _, chain := range c.chains {
			for _, h := range chain.hits {
				grams[uint32(h.query)] = true
			}
		}
	}
	return len(grams)
}

// rank puts alerts first: they are told whatever else is left out.
func rank(a, b Disposition) int {
	switch {
	case a == b:
		return 0
	case a == Alert:
		return -1
	case b == Alert:
		return 1
	}
	return 0
}

// identify asks the registry what the best candidates are. Those that it does
// not know were deleted. It asks without regard to the caller's scope: what is
// public or boilerplate is so for everybody.
func (m *Matcher) identify(ctx context.Context, candidates []*candidate) ([]*candidate, error) {
	if len(candidates) == 0 {
		return nil, nil
	}
	ordinals := make([]storage.Ordinal, len(candidates))
	for i, c := range candidates {
		ordinals[i] = c.ordinal
	}
	known, err := m.Documents.Matches(ctx, storage.Everywhere(), ordinals)
	if err != nil {
		return nil, fmt.Errorf("look up candidates: %w", err)
	}
	return slices.DeleteFunc(candidates, func(c *candidate) bool {
		k, ok := known[c.ordinal]
		c.known = k
		return !ok
	}), nil
}

// verdict condenses what became of the candidates.
func verdict(r *Report, candidates []*candidate) Verdict {
	counted := map[Disposition]bool{}
	for _, c := range candidates {
		counted[c.disposition] = true
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
	case r.Characters < fingerprint.Guarantee:
		return TooShort
	}
	return NoMatch
}

// part is what a page is called, if it is more than its number.
func part(pages []storage.Page, number int) string {
	i, found := slices.BinarySearchFunc(pages, number, func(p storage.Page, number int) int { return cmp.Compare(p.Number, number) })
	if !found {
		return ""
	}
	return pages[i].Part
}

// match turns a candidate into a match, with its passages on the pages.
func (m *Matcher) match(ctx context.Context, text *fingerprint.Text, c *candidate) (Match, error) {
	k, sup := c.known, c.sup
	match := Match{
		Document: k.Document, Version: k.Version.Number, Ordinal: c.ordinal, Source: k.Source, Disposition: c.disposition, Channel: Text,
		Score: score(c.chance), ExpectedByChance: expected(c.chance), Versions: c.versions,
	}
	places, err := m.places(ctx, c)
	if err != nil {
		return Match{}, err
	}
	// What does not count is neither told nor asked for, unless nothing else matched.
	counts := c.disposition == Alert || c.disposition == BelowThreshold
	inDocument, length := 0, text.Len()
	if counts {
		length -= sup.within(fingerprint.Span{End: length})
	}
	for _, l := range c.chains {
		if c.disposition == Alert && len(l.without(sup, c.filledIn).hits) == 0 {
			continue // does not count
		}
		r := l.extended(text.Len(), places.Len())
		counted := r.query.Len()
		if counts {
			counted -= sup.within(r.query)
		}
		match.Characters += counted
		inDocument += counted * r.document.Len() / r.query.Len()
		similarity := l.similarity()
		for _, place := range places.Of(r.document) {
			match.Passages = append(match.Passages, Passage{
				Query:      text.Source(r.project(place.Characters)),
				Place:      place,
				Part:       part(k.Version.Pages, place.Page),
				Similarity: similarity,
			})
		}
	}
	slices.SortFunc(match.Passages, func(a, b Passage) int { return cmp.Compare(a.Query.Start, b.Query.Start) })
	match.Characters = min(match.Characters, text.Len())
	match.Query = share(match.Characters, length)
	match.InDocument = share(inDocument, places.Len())
	match.Reason = c.reason(match.Characters, text.Len())
	return match, nil
}

// places reads the map from a candidate's normalized characters to its pages.
func (m *Matcher) places(ctx context.Context, c *candidate) (*fingerprint.Places, error) {
	k := c.known
	encoded, err := m.Documents.Places(ctx, c.ordinal)
	if err != nil {
		return nil, fmt.Errorf("read places of %s version %d: %w", k.Document.ID, k.Version.Number, err)
	}
	places, err := fingerprint.ParsePlaces(encoded)
	if err != nil {
		return nil, fmt.Errorf("read places of %s version %d: %w: %w", k.Document.ID, k.Version.Number, storage.ErrCorrupt, err)
	}
	return places, nil
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}
