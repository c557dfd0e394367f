package page

import (
	"cmp"
	"math"
	"slices"
)

// Query is a picture that may show a page.
type Query struct {
	Width, Height float64
	layouts       [2]*layout // as it is read, and upside down
	asks          []ask
	hashes        []uint64
}

// ask is what a hash was asked for.
type ask struct {
	turn    uint8
	pattern uint8
	word    int32
}

// Views are how many times closer than is right to look at a picture, one after the
// other until a page is found: in Nastaliq, what is joined depends on what is
// left of it.
var Views = [...]float64{1, 0.75, 1.3}

// FirstLook finds the words of a picture in the first of the [Views], and returns it as it
// looked at it, see [Picture.OnPaper]. The query is nil if there are too few words to show a
// page.
func FirstLook(p Picture) (on Picture, q *Query) {
	on, words, _ := p.onPaper()
	return on, queryOf(on, words)
}

// NewQuery finds the words of a picture of print on paper in one of the [Views]; nil if
// there are too few.
func NewQuery(p Picture, view float64) *Query {
	words, _ := wordsOf(p, view)
	return queryOf(p, words)
}

func queryOf(p Picture, words []word) *Query {
	if len(words) < fewWords {
		return nil
	}
	q := &Query{Width: float64(p.W), Height: float64(p.H)}
	q.layouts[0] = layoutOf(strongest(words))
	return q
}

// strongest returns as many words as may be looked up.
func strongest(words []word) []word {
	if len(words) <= maxWords {
		return words
	}
	slices.SortFunc(words, func(a, b word) int { return cmp.Compare(b.strength, a.strength) })
	return words[:maxWords]
}

// Hashes returns what to look up.
func (q *Query) Hashes() []uint64 {
	if q.layouts[1] != nil {
		return q.hashes
	}
	upright := q.layouts[0]
	q.layouts[1] = newLayout(upright.points, upright.unit, upright.angle+math.Pi)
	for turn, l := range q.layouts {
		l.codes(func(c *code) {
			c.nearHashes(func(h uint64) {
				q.asks = append(q.asks, ask{uint8(turn), uint8(c.pattern), c.word})
				q.hashes = append(q.hashes, h)
			})
		})
	}
	return q.hashes
}

// Words is how many words were found.
func (q *Query) Words() int { return len(q.layouts[0].points) }

// Text reports whether they stand as print does, in straight lines.
func (q *Query) Text() bool { return q.layouts[0].text() }

// Posting is one place of a hash: the how-manieth of a page.
type Posting struct {
	Page  uint32
	Index uint32
}

// Hit is a hash of a page that was asked for.
type Hit struct {
	ask   int
	index uint32
}

// Candidate is a page that has hashes in common with the picture.
type Candidate struct {
	Page  uint32
	Votes float64
	Hits  []Hit
}

// maxCandidates is how many pages are looked at in detail.
const maxCandidates = 24

const maxHits = 20_000

// Candidates returns the pages that have most in common with the picture, given the
// postings of each hash asked for, and how many there are of it.
func (q *Query) Candidates(postings func(i int) (list []Posting, total int)) []Candidate {
	type tally struct {
		votes float64
		last  int // ask that voted last, by turn, pattern and word
	}
	tallies := map[uint32]*tally{}
	for i := range q.hashes {
		list, total := postings(i)
		if len(list) == 0 || total > len(list) {
			continue // in too many places to tell anything
		}
		a := q.asks[i]
		id := int(a.word)<<8 | int(a.pattern)<<1 | int(a.turn) + 1
		for _, p := range list {
			t := tallies[p.Page]
			if t == nil {
				t = &tally{}
				tallies[p.Page] = t
			}
			if t.last != id {
				t.last = id
				t.votes += 1 / (1 + math.Log2(float64(total)))
			}
		}
	}
	var all []Candidate
	for p, t := range tallies {
		all = append(all, Candidate{Page: p, Votes: t.votes})
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Votes, a.Votes), cmp.Compare(a.Page, b.Page))
	})
	all = all[:min(len(all), maxCandidates)]
	at := map[uint32]*Candidate{}
	for i := range all {
		at[all[i].Page] = &all[i]
	}
	for i := range q.hashes {
		list, total := postings(i)
		if total > len(list) {
			continue
		}
		for _, p := range list {
			if c := at[p.Page]; c != nil && len(c.Hits) < maxHits {
				c.Hits = append(c.Hits, Hit{i, p.Index})
			}
		}
	}
	return all
}
