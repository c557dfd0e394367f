package match

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/page"
	"github.com/sealprint/sealprint/storage"
)

// sighting is a page, or a picture on a page, that a picture may show.
type sighting struct {
	drawing storage.Drawing
	known   storage.Match
	layout  *page.Match // nil: it is not known by its layout
	sheet   *page.Sheet
	words   int            // of the picture
	alike   float64        // share of equal bits of the hashes; 0: nobody compared them
	box     storage.Region // in the picture
	onPage  storage.Region

	chance      float64 // decimal logarithm
	disposition Disposition
	because     string
	versions    []Relative
}

// agreement is how well a page agrees with the picture, by its layout or else its hash.
func (f *sighting) agreement() float64 {
	if f.layout != nil {
		return f.layout.Agreement()
	}
	return f.alike
}

// evidence puts sightings in order.
func (f *sighting) evidence() float64 {
	if f.layout != nil {
		return f.layout.Evidence()
	}
	return f.alike
}

// judge finds out whose the pages are and what becomes of them.
func (s *pictureSearch) judge(ctx context.Context) error {
	var versions []storage.Ordinal
	for _, f := range s.sightings {
		versions = append(versions, f.drawing.Version)
	}
	if len(versions) == 0 {
		return nil
	}
	slices.Sort(versions)
	known, err := s.m.Documents.Matches(ctx, storage.Everywhere(), slices.Compact(versions))
	if err != nil {
		return fmt.Errorf("look up candidates: %w", err)
	}
	s.sightings = slices.DeleteFunc(s.sightings, func(f *sighting) bool {
		k, ok := known[f.drawing.Version]
		f.known = k
		return !ok
	})
	slices.SortStableFunc(s.sightings, func(a, b *sighting) int {
		return cmp.Or(cmp.Compare(btoi(a.chance > threshold), btoi(b.chance > threshold)), cmp.Compare(b.evidence(), a.evidence()),
			cmp.Compare(a.chance, b.chance), cmp.Compare(a.drawing.Ordinal, b.drawing.Ordinal))
	})
	var regions [][]*sighting // by where in the picture, best first
	for _, f := range s.sightings {
		i := slices.IndexFunc(regions, func(group []*sighting) bool { return commonShare(group[0].box, f.box) >= sameRegion })
		if i >= 0 {
			regions[i] = append(regions[i], f)
		} else {
			regions = append(regions, []*sighting{f})
		}
	}
	for i, group := range regions {
		// What lies across something better is none.
		for _, better := range regions[:i] {
			if commonShare(better[0].box, group[0].box) > apartRegions || covers(better[0].box, group[0].box) > 0.5 {
				for _, f := range group {
					f.disposition, f.because = BelowThreshold, "another page agrees better"
				}
			}
		}
		if err := s.judgeRegion(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// judgeRegion decides which of the pages that one region of the picture may show it shows.
func (s *pictureSearch) judgeRegion(ctx context.Context, group []*sighting) error {
	best := group[0].agreement()
	var same []*sighting // as well as the best
	for _, f := range group {
		switch {
		case f.disposition != "":
		case f.chance > threshold:
			f.disposition = BelowThreshold
		case best-f.agreement() > asGood:
			f.disposition, f.because = BelowThreshold, "another page agrees better"
		default:
			same = append(same, f)
		}
	}
	if len(same) == 0 {
		return nil
	}
	// A page that is also a page of what everybody may see is no leak.
	for _, f := range same {
		if why := harmless(f.known, s.q.SeenAt); why != "" {
			for _, other := range same {
				other.disposition = cmp.Or(harmless(other.known, s.q.SeenAt), why)
			}
			return nil
		}
	}
	if copyOfForm(same[0], group) {
		for _, f := range same {
			f.disposition, f.because = BelowThreshold, "pages of other documents agree nearly as well, as copies of a form do"
		}
		return nil
	}
	families, err := s.m.pageFamilies(ctx, same)
	if err != nil {
		return err
	}
	if len(families) >= commonOrigins {
		for _, f := range same {
			f.disposition, f.because = Boilerplate, "documents of different origin have the same page"
		}
		return nil
	}
	for _, family := range families {
		head := family[0]
		head.disposition = Alert
		for _, f := range family[1:] {
			f.disposition = BelowThreshold
			if f.known.Document.ID == head.known.Document.ID && f.known.Version.Number == head.known.Version.Number {
				f.because = fmt.Sprintf("page %d has the same look", head.drawing.Page)
				continue
			}
			f.because = fmt.Sprintf("version %d of %s is closer", head.known.Version.Number, head.known.Document.ID)
			r := Relative{f.known.Document.ID, f.known.Version.Number}
			if !slices.Contains(head.versions, r) {
				head.versions = append(head.versions, r)
			}
		}
	}
	return nil
}

// copyOfForm reports whether the best page is hardly better than one of another document that is
// not the same page: then the picture shows what both have in common. Which of them it is,
// if any, its text has to tell.
func copyOfForm(best *sighting, group []*sighting) bool {
	return best.layout != nil && slices.ContainsFunc(group, func(f *sighting) bool {
		if f.layout == nil || f.known.Document.ID == best.known.Document.ID || best.agreement()-f.agreement() > hardly {
			return false
		}
		return best.sheet.Alike(f.sheet) < samePage
	})
}

// pageFamilies groups sightings whose documents resemble each other, the best first in
// each; of equally good ones the newest version.
func (m *Matcher) pageFamilies(ctx context.Context, all []*sighting) ([][]*sighting, error) {
	candidates := make([]*candidate, len(all))
	of := map[*candidate]*sighting{}
	for i, f := range all {
		candidates[i] = &candidate{ordinal: f.known.Version.Ordinal, known: f.known}
		of[candidates[i]] = f
	}
	sketches, err := m.sketches(ctx, candidates)
	if err != nil {
		return nil, err
	}
	var grouped [][]*sighting
	for _, family := range families(candidates, sketches) {
		var group []*sighting
		for _, c := range family {
			group = append(group, of[c])
		}
		slices.SortStableFunc(group, func(a, b *sighting) int {
			return cmp.Or(cmp.Compare(b.agreement(), a.agreement()), b.known.Version.CreatedAt.Compare(a.known.Version.CreatedAt), cmp.Compare(a.drawing.Ordinal, b.drawing.Ordinal))
		})
		grouped = append(grouped, group)
	}
	return grouped, nil
}

// commonShare is the intersection of two regions over their union.
func commonShare(a, b storage.Region) float64 {
	both := shared(a, b)
	return both / max(a.Width*a.Height+b.Width*b.Height-both, 1e-9)
}

// covers is the share of b that lies in a.
func covers(a, b storage.Region) float64 { return shared(a, b) / max(b.Width*b.Height, 1e-9) }

func shared(a, b storage.Region) float64 {
	w := min(a.X+a.Width, b.X+b.Width) - max(a.X, b.X)
	h := min(a.Y+a.Height, b.Y+b.Height) - max(a.Y, b.Y)
	return max(w, 0) * max(h, 0)
}

// characters is how many normalized characters the page has: about, if its text was not
// read by pages.
func (f *sighting) characters() int {
	v := &f.known.Version
	if f.drawing.Part == storage.AsPrinted && f.sheet != nil {
		const ofWord = 5
		return min(ofWord*f.sheet.Words(), v.Characters())
	}
	for _, p := range v.Pages {
		if p.Number == f.drawing.Page {
			return p.Characters
		}
	}
	return 0
}

// match is what is told about a sighting.
func (f *sighting) match() Match {
	k := f.known
	m := Match{
		Document: k.Document, Version: k.Version.Number, Ordinal: k.Version.Ordinal, Source: k.Source, Disposition: f.disposition, Channel: Page,
		Score: score(f.chance), ExpectedByChance: expected(f.chance), Versions: f.versions,
	}
	what := fmt.Sprintf("page %d", f.drawing.Page)
	if f.drawing.Region != (storage.Region{}) {
		m.Channel, what = Image, "a picture on "+what
	}
	seen := 1.0
	if f.layout != nil {
		m.Agreement.Page = f.layout.Agreement()
		seen = float64(f.layout.OnPage) / float64(max(f.sheet.Words(), 1))
		m.Query = share(f.layout.Matched, f.words)
		m.Reason = fmt.Sprintf("%d of %d words stand as on %s", f.layout.Matched, max(f.layout.InPicture, f.layout.Matched), what)
	} else {
		m.Query = 1
		m.Reason = fmt.Sprintf("it looks like %s", what)
	}
	m.Agreement.Image = f.alike
	if f.drawing.Region == (storage.Region{}) {
		m.Characters = int(math.Round(float64(f.characters()) * min(seen, 1)))
		m.InDocument = share(m.Characters, k.Version.Characters())
	}
	if f.because != "" {
		m.Reason += ", but " + f.because
	} else if f.disposition == BelowThreshold && f.layout != nil && f.layout.Doubtful() {
		m.Reason += ", but whole lines do not, as in another copy of a form"
	} else if f.disposition == BelowThreshold {
		m.Reason += ", which may be chance"
	} else if f.disposition == PublicText {
		m.Reason += ", which is public"
	} else if f.disposition == AuthorizedRelease {
		m.Reason += ", which is released"
	}
	m.Passages = []Passage{{
		Box: f.box, OnPage: f.onPage, Place: fingerprint.Place{Page: f.drawing.Page}, Part: f.drawing.Part, Similarity: f.agreement(),
	}}
	return m
}
