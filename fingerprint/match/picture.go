package match

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/storage"
)

// A suspect picture is looked at in three ways, the cheapest first:
//
//  1. Its perceptual hash is compared with those of all pages and of the pictures on
//     them: that finds reposts of what was sent around as it is.
//  2. Its layout is looked up: that finds pages in photographs, screenshots and parts,
//     whatever their script.
//  3. Its text is recognized and looked up as text is, if it looks like text and its
//     layout leaves doubt. Recognition takes a hundred times as long, so that pictures of
//     everything else must not get this far.
//
// Pages of one form have much of their layout in common. What a layout says alone is only
// believed from an agreement on that no other page of a form has; between doubt and
// belief the text decides.

// Limits of one look-up of a picture.
const (
	// maxPagePostings is how much of the list of one fingerprint of a layout is read.
	maxPagePostings = 64

	// maxNear is how many pictures with nearly the same hash are looked at.
	maxNear = 32
)

// How many pages that are not registered agree by accident, as decimal logarithms. On
// pages of the same forms and books none agreed by 0.7 and more whose words were not
// elsewhere together (TestEvalPictures).
const (
	agreementOfAny = 0.5 // from here on it says something
	agreementSlope = 15  // decades for 1: at 0.72 an alert

	// By how much a page is more than believed that may be another copy of its form.
	inDoubt = 0.3

	// A hash that differs in no bit, and what each bit takes off.
	hashOfSame, hashSlope = 9.6, 0.2
)

const (
	// sameRegion is by how much two regions of a picture overlap that are one (intersection
	// over union), and apartRegions by how much two pages beside each other may.
	sameRegion, apartRegions = 0.6, 0.2

	// asGood is by how much the agreement of two pages may differ for them to be the same.
	asGood = 0.08

	// hardly is by how much less another page agrees that may be what is seen as well.
	// Pages that agree with each other by samePage are the same.
	hardly, samePage = 0.06, 0.93

	// possible is from which agreement on it is worth to look at a page once more, weak
	// from which it may be the right one then, and sure from which nobody need to.
	possible, weak, sure = 0.2, 0.4, 0.8

	// alsoShown is the share of the votes of the best page that another has at least that the
	// picture shows beside it, or instead of it.
	alsoShown = 0.1

	// maxRefined is how many pages are looked at once more.
	maxRefined = 4

	// maxRivals is how many other copies of a form are looked for: more than the documents of
	// different origin from which on a page is boilerplate, some of which may be related.
	maxRivals = 10
)

// Drawings is the part of storage.Registry that matching of pictures needs.
type Drawings interface {
	Drawings(ctx context.Context, ordinals []storage.Ordinal) (map[storage.Ordinal]storage.Drawing, error)
	Near(ctx context.Context, hash []byte, distance, limit int) ([]storage.Near, error)
}

// Recognizer reads the text of a picture.
type Recognizer interface {
	// Recognize returns the words of a picture, in the order in which they are read. Reason
	// says why there may be more.
	Recognize(ctx context.Context, p page.Picture) (words []Word, reason string, err error)
}

// Word is a word of a picture that was recognized.
type Word struct {
	Text string
	Box  page.Box // in pixels
	Last bool     // on its line
}

// PictureQuery is one look-up of a picture.
type PictureQuery struct {
	Picture page.Picture
	SeenAt  time.Time
	Scope   storage.Scope
	// Suppressed and Explain are as in Query.
	Suppressed, Explain bool
}

// MatchPicture looks a picture up.
func (m *Matcher) MatchPicture(ctx context.Context, q PictureQuery) (*Report, error) {
	s := pictureSearch{m: m, q: q, report: &Report{}}
	if err := s.byHash(ctx); err != nil {
		return nil, err
	}
	if err := s.byLayout(ctx); err != nil {
		return nil, err
	}
	if err := s.judge(ctx); err != nil {
		return nil, err
	}
	if s.text && !s.decided() {
		if err := s.byText(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.releaseSightings(ctx); err != nil {
		return nil, err
	}
	s.finish()
	return s.report, nil
}

type pictureSearch struct {
	m         *Matcher
	q         PictureQuery
	report    *Report
	text      bool // the picture looks like print
	near      map[storage.Ordinal]int
	sightings []*sighting
	byOCR     *Report // of the recognized text
}

func (s *pictureSearch) miss(parts []string) {
	for _, p := range parts {
		if !slices.Contains(s.report.Missing, p) {
			s.report.Missing = append(s.report.Missing, p)
		}
	}
}

// byHash finds what has nearly the same perceptual hash.
func (s *pictureSearch) byHash(ctx context.Context) error {
	hash, quality := pdq.Of(s.q.Picture)
	if quality < pdq.Good {
		return nil
	}
	s.report.Explanation.Channels = append(s.report.Explanation.Channels, Image)
	near, err := s.m.Drawings.Near(ctx, hash[:], pdq.Same, maxNear)
	if err != nil {
		return fmt.Errorf("compare perceptual hashes: %w", err)
	}
	s.near = map[storage.Ordinal]int{}
	var ordinals []storage.Ordinal
	for _, n := range near {
		s.near[n.Ordinal] = n.Distance
		ordinals = append(ordinals, n.Ordinal)
	}
	drawings, err := s.m.Drawings.Drawings(ctx, ordinals)
	if err != nil {
		return fmt.Errorf("look up drawings: %w", err)
	}
	for _, n := range near {
		d, known := drawings[n.Ordinal]
		if !known || d.Layout != nil {
			continue // pages of text look alike from afar: their layout decides
		}
		found := &sighting{drawing: d, alike: equalBits(n.Distance), box: wholePicture, onPage: d.Region, chance: hashSlope*float64(n.Distance) - hashOfSame}
		if found.onPage == (storage.Region{}) {
			found.onPage = wholePicture
		}
		s.sightings = append(s.sightings, found)
	}
	return nil
}

var wholePicture = storage.Region{Width: 1, Height: 1}

func equalBits(distance int) float64 { return 1 - float64(distance)/(8*pdq.Size) }

// byLayout finds pages whose words stand as those of the picture do.
func (s *pictureSearch) byLayout(ctx context.Context) error {
	// Whatever the picture shows, the answer depends on this state of the index.
	if _, err := s.lookUp(ctx, nil); err != nil {
		return fmt.Errorf("ask for the state of the index of pages: %w", err)
	}
	var q *page.Query
	s.q.Picture, q = page.FirstLook(s.q.Picture)
	s.text = q != nil && q.Text()
	if q == nil || !s.text && q.Words() > maxUnsure {
		return nil
	}
	s.report.Explanation.Channels = append(s.report.Explanation.Channels, Page)
	for _, view := range page.Views {
		if view != page.Views[0] {
			q = page.NewQuery(s.q.Picture, view)
		}
		if q == nil {
			continue
		}
		found, err := s.view(ctx, q)
		if err != nil {
			return err
		}
		for _, f := range found {
			s.add(f)
		}
		if !s.text || slices.ContainsFunc(found, func(f *sighting) bool { return f.chance <= threshold }) {
			break
		}
	}
	return nil
}

// add keeps the best sighting of each page: another view may show it, too.
func (s *pictureSearch) add(f *sighting) {
	i := slices.IndexFunc(s.sightings, func(o *sighting) bool { return o.drawing.Ordinal == f.drawing.Ordinal })
	switch {
	case i < 0:
		s.sightings = append(s.sightings, f)
	case f.chance < s.sightings[i].chance:
		s.sightings[i] = f
	}
}

// lookUp asks the index of pages, of which the report tells the state.
func (s *pictureSearch) lookUp(ctx context.Context, hashes []uint64) (*storage.Answer, error) {
	asked := s.m.sealLayout(hashes)
	answer, err := asked.lookUp(ctx, maxPagePostings)
	if err != nil {
		return nil, err
	}
	s.report.IndexVersion = answer.Version
	s.miss(answer.Missing)
	return answer, nil
}

// maxUnsure is how many words may be looked up of a picture that does not look like print.
const maxUnsure = 300

// view finds pages in one view of the picture.
func (s *pictureSearch) view(ctx context.Context, q *page.Query) ([]*sighting, error) {
	hashes := q.Hashes()
	unique := slices.Clone(hashes)
	slices.Sort(unique)
	unique = slices.Compact(unique)
	answer, err := s.lookUp(ctx, unique)
	if err != nil {
		return nil, fmt.Errorf("look up %d fingerprints of a layout: %w", len(unique), err)
	}
	// What stands in too many places tells nothing about any of them, but that they are many.
	telling, common := make([][]page.Posting, len(unique)), make([][]page.Posting, len(unique))
	some := false
	for at := range answer.Lists {
		l, lists := &answer.Lists[at], telling
		if len(l.Postings) == maxPagePostings {
			lists, some = common, true
		}
		for _, p := range l.Postings {
			lists[at] = append(lists[at], page.Posting{Page: uint32(p.Ordinal), Index: p.Position})
		}
	}
	places := make([]int, len(hashes)) // in the list of unique ones
	for i, h := range hashes {
		places[i], _ = slices.BinarySearch(unique, h)
	}
	candidates := func(lists [][]page.Posting) []page.Candidate {
		return q.Candidates(func(i int) (list []page.Posting, total int) {
			// Not the total, which counts pages that were deleted or drawn again, too.
			return lists[places[i]], len(lists[places[i]])
		})
	}
	found, err := s.verify(ctx, q, candidates(telling))
	if err != nil || !some || !slices.ContainsFunc(found, func(f *sighting) bool { return f.chance <= threshold }) {
		return found, err
	}
	// What the picture shows may be what all copies of a form have in common. Then the best of
	// those that are hidden behind the limit agree as well.
	rivals := slices.DeleteFunc(candidates(common), func(c page.Candidate) bool {
		return slices.ContainsFunc(found, func(f *sighting) bool { return f.drawing.Ordinal == storage.Ordinal(c.Page) })
	})
	others, err := s.verify(ctx, q, rivals[:min(len(rivals), maxRivals)])
	return append(found, others...), err
}

// verify compares the picture with candidates, word by word, and returns those whose pages
// it may show.
func (s *pictureSearch) verify(ctx context.Context, q *page.Query, candidates []page.Candidate) ([]*sighting, error) {
	ordinals := make([]storage.Ordinal, len(candidates))
	for i, c := range candidates {
		ordinals[i] = storage.Ordinal(c.Page)
	}
	drawings, err := s.m.Drawings.Drawings(ctx, ordinals)
	if err != nil {
		return nil, fmt.Errorf("look up drawings: %w", err)
	}
	var found []*sighting
	known := false // for sure what some part of the picture shows
	for _, c := range candidates {
		if known && c.Votes < alsoShown*candidates[0].Votes {
			break
		}
		d, there := drawings[storage.Ordinal(c.Page)]
		if !there || d.Layout == nil {
			continue // deleted meanwhile
		}
		sheet, err := page.Decode(d.Layout)
		if err != nil {
			return nil, fmt.Errorf("layout of drawing %d: %w: %w", d.Ordinal, storage.ErrCorrupt, err)
		}
		if match, ok := q.Verify(sheet, c.Hits); ok && match.Agreement() >= possible {
			found = append(found, &sighting{drawing: d, layout: &match, sheet: sheet, words: q.Words()})
			known = known || match.Agreement() >= sure && match.Matched >= 2*q.Words()/3
		}
	}
	slices.SortStableFunc(found, func(a, b *sighting) int { return cmp.Compare(b.evidence(), a.evidence()) })
	for i, f := range found {
		if i < maxRefined && f.agreement() < sure {
			if better, words, ok := f.layout.Refine(s.q.Picture, f.sheet); ok && better.Evidence() > f.evidence() {
				f.layout, f.words = &better, words
			}
		}
		box, onPage, ok := f.layout.Regions(s.q.Picture, f.sheet)
		if !ok || f.agreement() < weak {
			f.layout = nil
			continue
		}
		f.box, f.onPage = regionOf(box), regionOf(onPage)
		f.chance = math.Max(math.Log10(math.Max(f.layout.Expected(), leastChance)), -agreementSlope*(f.agreement()-agreementOfAny))
		if f.layout.Doubtful() {
			f.chance = math.Max(f.chance, threshold+inDoubt)
		}
		if distance, near := s.near[f.drawing.Ordinal]; near {
			f.alike = equalBits(distance)
		}
	}
	return slices.DeleteFunc(found, func(f *sighting) bool { return f.layout == nil }), nil
}

func regionOf(b page.Box) storage.Region {
	return storage.Region{X: b.Left, Y: b.Top, Width: b.Right - b.Left, Height: b.Bottom - b.Top}
}

// decided reports whether the picture is known for what it shows, without its text.
func (s *pictureSearch) decided() bool {
	return slices.ContainsFunc(s.sightings, func(f *sighting) bool {
		return f.disposition != BelowThreshold && s.q.Scope.Covers(f.known.Document.Department)
	})
}

// finish puts together what was found.
func (s *pictureSearch) finish() {
	r := s.report
	s.sightings = slices.DeleteFunc(s.sightings, func(f *sighting) bool { return !s.q.Scope.Covers(f.known.Document.Department) })
	counted := map[Disposition]bool{}
	for _, f := range s.sightings {
		counted[f.disposition] = true
		if f.disposition == Alert || s.q.Suppressed {
			r.Matches = append(r.Matches, f.match())
		}
	}
	if s.byOCR != nil {
		r.IndexVersion += "+" + s.byOCR.IndexVersion
		channels := r.Explanation.Channels
		r.Characters, r.Explanation, r.Obfuscation = s.byOCR.Characters, s.byOCR.Explanation, s.byOCR.Obfuscation
		r.Explanation.Channels = channels
		r.Matches = append(r.Matches, s.byOCR.Matches...)
	}
	r.merge()
	slices.SortStableFunc(r.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Document.ID, b.Document.ID))
	})
	r.Matches = r.Matches[:min(len(r.Matches), maxMatches)]
	if s.q.Explain && r.Explanation.Nearest == nil && !counted[Alert] {
		if i := slices.IndexFunc(s.sightings, func(f *sighting) bool { return f.disposition == BelowThreshold }); i >= 0 {
			nearest := s.sightings[i].match()
			r.Explanation.Nearest = &nearest
		}
	}
	if counted[Alert] {
		r.Explanation.Nearest = nil
	}
	read := TooShort
	if s.byOCR != nil {
		read = s.byOCR.Verdict
	}
	switch {
	case counted[Alert] || read == Unauthorized:
		r.Verdict = Unauthorized
	case counted[AuthorizedRelease] || read == Authorized:
		r.Verdict = Authorized
	case counted[PublicText] || counted[Boilerplate] || read == Public:
		r.Verdict = Public
	case len(r.Missing) > 0 || r.Unread != "" && s.byOCR != nil:
		r.Verdict = Incomplete
	case r.Characters == 0:
		r.Verdict = Unreadable
		r.Unread = cmp.Or(r.Unread, "the picture shows no text that can be read, and no registered page")
	default:
		r.Verdict = read
	}
}

// merge makes one of the matches of one version of a document that have the same
// disposition: a picture may show two of its pages, and its text may be recognized, too.
func (r *Report) merge() {
	var merged []Match
	for _, m := range r.Matches {
		i := slices.IndexFunc(merged, func(o Match) bool {
			return o.Document.ID == m.Document.ID && o.Version == m.Version && o.Disposition == m.Disposition
		})
		if i < 0 {
			merged = append(merged, m)
			continue
		}
		o := &merged[i]
		first, second := *o, m
		if second.Score > first.Score {
			first, second = second, first
		}
		first.Agreement = Agreement{
			Page: max(o.Agreement.Page, m.Agreement.Page), Image: max(o.Agreement.Image, m.Agreement.Image), OCR: max(o.Agreement.OCR, m.Agreement.OCR),
		}
		if first.Channel == second.Channel {
			first.Characters += second.Characters
			first.Query, first.InDocument = min(first.Query+second.Query, 1), min(first.InDocument+second.InDocument, 1)
		}
		first.Passages = slices.Concat(first.Passages, second.Passages)
		first.Versions = append(first.Versions, second.Versions...)
		*o = first
	}
	r.Matches = merged
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
