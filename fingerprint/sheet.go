package fingerprint

// Builder fingerprints a document page by page, in memory that does not grow
// with the text but by the fingerprints themselves.
type Builder struct {
	key     *Key
	window  Window
	seed    seed
	classes []uint16 // the characters from the next gram on
	next    int      // characters from classes[0] to the next gram that is kept
	hashes  []Hash
	places  placesWriter
	pages   []PageSize
	anchors int // characters from classes[0] to the next gram that may be an anchor
	sketch  sketcher
	other   *Key // of a second sketch; nil: there is none
	second  sketcher
}

// PageSize is how much stands on a page.
type PageSize struct {
	Number     int
	CodePoints int // of the page's extracted text
	Characters int // normalized
}

// NewBuilder begins a document whose fingerprints are one in window.
func NewBuilder(key *Key, window Window) *Builder {
	return &Builder{key: key, window: window, seed: parseSeed(Seed)}
}

// SketchWith makes a second sketch, with another key, from the next page on: only sketches that are made
// with the same key can be compared.
func (b *Builder) SketchWith(other *Key) { b.other = other }

// AddPage appends the text of a page. Grams run on over the end of a page.
func (b *Builder) AddPage(number int, text string) {
	size := PageSize{Number: number}
	table := loadClasses()
	b.places.page(number)
	size.CodePoints = scan(text, func(chars []char) {
		size.Characters += len(chars)
		for _, c := range chars {
			b.classes = append(b.classes, class(table, c.r))
			if !b.places.extend(c) {
				b.places.add(int(c.start), int(c.end))
			}
		}
		b.keep()
	})
	b.pages = append(b.pages, size)
}

// keep fingerprints every gram that is complete.
func (b *Builder) keep() {
	for ; b.next+GramSpan <= len(b.classes); b.next += int(b.window) {
		b.hashes = append(b.hashes, b.key.Seal(b.seed.hash(b.classes[b.next:b.next+GramSpan])))
	}
	for ; b.anchors+GramSpan <= len(b.classes); b.anchors++ {
		if gram := b.classes[b.anchors : b.anchors+GramSpan]; isAnchor(gram) {
			hash := b.seed.hash(gram)
			b.sketch.add(b.key.Seal(hash))
			if b.other != nil {
				b.second.add(b.other.Seal(hash))
			}
		}
	}
	if done := min(b.next, b.anchors, len(b.classes)); done > 0 {
		b.classes = b.classes[:copy(b.classes, b.classes[done:])]
		b.next -= done
		b.anchors -= done
	}
}

// Hashes are the fingerprints so far: the i-th is that of the gram that begins
// at normalized character i × window.
func (b *Builder) Hashes() []Hash { return b.hashes }

// Pages are the pages so far.
func (b *Builder) Pages() []PageSize { return b.pages }

// Places returns the map from the document's normalized characters to its pages,
// encoded. See [ParsePlaces].
func (b *Builder) Places() []byte { return b.places.bytes() }

// Sketch is a sample of the document's grams so far.
func (b *Builder) Sketch() Sketch { return b.sketch.sketch() }

// SecondSketch is the same sample with the key of [Builder.SketchWith].
func (b *Builder) SecondSketch() Sketch { return b.second.sketch() }
