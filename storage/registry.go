package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealprint/sealprint/fingerprint"
)

// DocumentID names a document for users: "doc_" and random letters.
type DocumentID string

// JobID names a bulk registration: "job_" and random letters.
type JobID string

// NewID makes an id that nobody guesses: a kind, such as "doc", and 26 random
// letters and digits.
func NewID(kind string) string { return kind + "_" + strings.ToLower(rand.Text()) }

// What documents are filed under when nobody says.
const (
	DefaultDepartment = "default"
	DefaultCollection = "default"
)

// Scope is the part of the department tree that a caller may see. Every call
// that reads or changes documents takes one; what lies outside does not exist.
// The zero Scope sees nothing.
type Scope struct {
	all      bool
	branches []string
}

// Everywhere is the scope of the service itself and of administrators.
func Everywhere() Scope { return Scope{all: true} }

// Branches is the scope of departments and everything below them:
// "finance" covers "finance/budget-wing".
func Branches(departments ...string) Scope { return Scope{branches: departments} }

// Covers reports whether a department lies in the scope.
func (s Scope) Covers(department string) bool {
	if s.all {
		return true
	}
	for _, b := range s.branches {
		if department == b || strings.HasPrefix(department, b+"/") {
			return true
		}
	}
	return false
}

// All reports whether the scope is Everywhere.
func (s Scope) All() bool { return s.all }

// Departments lists the branches of the scope; none for Everywhere.
func (s Scope) Departments() []string { return s.branches }

// ValidDepartment reports whether a text is a path in the department tree: names of
// letters, digits, points and dashes, such as finance/budget-wing, 200 characters at most.
func ValidDepartment(path string) bool {
	return utf8.RuneCountInString(path) <= 200 && departmentPattern.MatchString(path)
}

var departmentPattern = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._-]*(/[\p{L}\p{N}][\p{L}\p{N}._-]*)*$`)

// Document is what is said about a registered document. It holds none of its
// text: the title comes from a form or a file name.
type Document struct {
	ID             DocumentID
	Title          string
	Department     string
	Classification string
	Collection     string
	Version        int       // the newest
	PublishedAt    time.Time // zero if it was not published
	// Recipient is the department that alerts go to instead of the document's own, which
	// then does not see them; empty: the document's own.
	Recipient string
	Withdrawn Withdrawal // At is zero while the document is looked for
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Version is one state of a document's content. All versions stay matchable:
// what leaks is often the draft.
type Version struct {
	Document  DocumentID
	Number    int // from 1
	Ordinal   Ordinal
	Content   []byte // keyed hash of the bytes
	Size      int64  // of the file, in bytes
	MediaType string
	Window    fingerprint.Window
	Status    string // as in ingest.Status
	Reason    string
	Pages     []Page
	TextBytes int64 // of the extracted text
	CreatedAt time.Time
	// Drawn is the version of what drew the pages, 0 while that is pending; Undrawn says
	// which pages have no drawing and why.
	Drawn   int
	Undrawn string
	// Places is the encoded map from normalized characters to pages
	// (fingerprint.ParsePlaces). It is encrypted at rest, and only Registry.Places
	// reads it back: other calls leave it nil.
	Places []byte
	// Sketch is an encoded sample of the version's grams (fingerprint.ParseSketch),
	// by which versions of one document are told from documents of different origin.
	// It is encrypted at rest, and only Registry.Sketches reads it back. SecondSketch is the same
	// as the previous key makes it, during a [Rotation].
	Sketch, SecondSketch []byte
}

// Characters is the number of normalized characters of the version.
func (v *Version) Characters() int {
	n := 0
	for _, p := range v.Pages {
		n += p.Characters
	}
	return n
}

// Page is one page of a version.
type Page struct {
	Number     int
	Part       string // what it is, in words of ours, where it is more than a page: "sheet 2"
	Characters int    // normalized
	CodePoints int    // of the extracted text
	Reader     string // name and version of what read it, or both names joined by " and "
	Reason     string // why it was not read
	NeedsOCR   bool   // it is a picture that was not recognized
	// Gate is what was measured of it, if anything was. Only Registry.Document reads it
	// back: other calls leave it nil.
	Gate *Gate
}

// Drawing is what is kept of the look of a page, or of a picture on a page: by it
// they are recognized in pictures, and nothing of it can be read.
type Drawing struct {
	// Ordinal names it among versions and drawings alike. Its sheet in the index of
	// pages has the same.
	Ordinal Ordinal
	Version Ordinal // that it belongs to
	Page    int     // from 1, of the file as it is printed
	Part    string  // as in Page, or AsPrinted
	// Region is where a picture is on its page; zero for the page as a whole.
	Region Region
	// Layout is where the words of the page are (page.Decode); nil if there are too few.
	// It is encrypted at rest.
	Layout []byte
	// Hash is the perceptual hash (pdq.Hash); nil if there is too little to see. It is
	// encrypted at rest, and only [Registry.Near] reads it.
	Hash []byte
}

// AsPrinted is the part of a drawing whose page is one of the file as it is printed, while
// its text has other pages or none.
const AsPrinted = "as printed"

// Region is a part of a page or picture, in shares of its width and height.
type Region struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Drawn is what came of drawing a version. It replaces what was drawn of it before.
type Drawn struct {
	Version  Ordinal
	By       int    // 0: is to be drawn again
	Undrawn  string // which pages were not drawn, and why
	Drawings []Drawing
}

// Near is a drawing that looks like a picture.
type Near struct {
	Ordinal  Ordinal
	Distance int // bits
}

// Gate is what is measured of a page's text before it is believed. A text layer
// may be wrong in ways that only look like text: letters of a font without a
// table, lines drawn backwards, the mark of a scanning program.
type Gate struct {
	// Characters is how many characters there are, without spaces.
	Characters int `json:"characters"`
	// Unknown is the share of them that are no character of any script: replacements,
	// controls, private use.
	Unknown float64 `json:"unknown"`
	// Letters is the share of letters and digits.
	Letters float64 `json:"letters"`
	// Words is the share of words that look like words of their language: vowels in
	// Latin, common words in Arabic script. 1 where there are too few to tell.
	Words float64 `json:"words"`
	// Picture is the share of the page that pictures cover.
	Picture float64 `json:"picture,omitempty"`
	// Confidence is how sure the recognition was, of 100; 0 without it.
	Confidence float64 `json:"confidence,omitempty"`
	// Repaired says which repair of right-to-left text was made: "lines" that were
	// drawn from left to right, or "words".
	Repaired string `json:"repaired,omitempty"`
}

// CollectionKind says what it means that a text stands in a collection.
type CollectionKind string

// The kinds of collection.
const (
	Protected   CollectionKind = "protected"   // what leaks
	Public      CollectionKind = "public"      // what has been published: never alarms
	Boilerplate CollectionKind = "boilerplate" // what stands in every document, such as letterheads and clauses: never alarms
)

// Collection is what documents are filed under. Its name is unique in the
// deployment, so that documents of any department may stand in one. It never
// changes once it is stored: what was said about a text would change silently
// with it.
type Collection struct {
	Name       string
	Kind       CollectionKind
	Department string             // who owns it
	Window     fingerprint.Window // of documents registered from now on: Dense or Sparse
	CreatedAt  time.Time
}

// Validate reports whether everything is said about the collection, in words
// that there are.
func (c *Collection) Validate() error {
	switch {
	case c.Name == "" || c.Department == "":
		return errors.New("a collection needs a name and a department")
	case c.Kind != Protected && c.Kind != Public && c.Kind != Boilerplate:
		return errors.New("a collection is protected, public or boilerplate")
	case c.Window != fingerprint.Dense && c.Window != fingerprint.Sparse:
		return fmt.Errorf("window %d: a collection is dense or sparse", c.Window)
	}
	return nil
}

// SourceKey is where a document came from. Departments and collections do not
// share sources: each registers for itself.
type SourceKey struct {
	Department string
	Collection string
	Source     string // s3://bucket/key, or the path that a client gave
}

// Source connects a place to the document version that was found there last.
type Source struct {
	SourceKey
	Document DocumentID
	Version  int
	// Revision is a keyed hash of what the store says about the object (entity
	// tag, version, size), by which an unchanged one is recognized without reading it;
	// empty for uploads.
	Revision []byte
	SeenAt   time.Time
	GoneAt   time.Time // since when it is not there any more; zero while it is
	// Withdrawn says that the document is.
	Withdrawn bool
}

// JobState is the state of a bulk registration.
type JobState string

const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed" // could not go on; Error says why, what was registered stays
	JobCancelled JobState = "cancelled"
)

// JobKind says what a job goes through.
type JobKind string

const (
	JobListing  JobKind = "listing"  // registers what the source lists
	JobGaps     JobKind = "gaps"     // tries again what made no document
	JobRekey    JobKind = "rekey"    // reads again, from wherever it can, what is kept under the previous key
	JobEstimate JobKind = "estimate" // registers nothing: counts what a listing would do
)

// Estimate is what registering would take that was not done yet.
type Estimate struct {
	Objects    int     `json:"objects"`     // to be fetched
	Bytes      int64   `json:"bytes"`       // of these
	IndexBytes int64   `json:"index_bytes"` // that indexes and registry would grow by, about
	Seconds    float64 `json:"seconds"`     // until their text is found, about
}

// Job is a bulk registration of a configured source.
type Job struct {
	ID     JobID
	Kind   JobKind
	Source string // the source's name
	Prefix string
	// What is said about the documents; empty: what the source's rules say of each.
	// Department is also whose job it is: empty for everybody's.
	Department, Classification, Collection string
	// Scheduled says that nobody asked for it: it reports only what has changed, and is not
	// gone on with after a restart.
	Scheduled bool

	State      JobState
	Error      string
	Checkpoint string         // every key up to this one is committed
	Outcomes   map[string]int // items by outcome
	Listed     int            // objects seen so far
	Bytes      int64          // of the objects seen so far
	// Expected is how many objects there are, and ExpectedBytes what they hold; 0 until
	// they are counted.
	Expected      int
	ExpectedBytes int64
	Rate          float64 // objects a second, of late
	Estimate      Estimate
	Again         bool // read again what could be read better now
	CreatedAt     time.Time
	UpdatedAt     time.Time
	EndedAt       time.Time // zero while running
}

// Item is what became of one object of a job.
type Item struct {
	Job        JobID      `json:"-"`
	Sequence   int64      `json:"-"` // ascending within the job, from 1, without gaps
	Source     string     `json:"source"`
	Document   DocumentID `json:"document_id,omitempty"`
	Outcome    string     `json:"outcome"`
	Status     string     `json:"status"`
	Reason     string     `json:"reason,omitempty"`
	Pages      int        `json:"pages"`
	Characters int        `json:"characters"`
}

// Changes are committed together or not at all.
type Changes struct {
	Documents []Document // inserted; of one that is stored, only the version and the time of update change
	Versions  []Version  // inserted; [ErrConflict] if the ordinal or number is taken
	// Rereads are versions that are stored, by document and number: what was read of them is
	// replaced, and the hash of their content; what was drawn stays until they are drawn again,
	// unless they need not be. [ErrConflict] if they are gone.
	Rereads []Version
	Sources []Source // inserted, or updated by key
	Drawn   []Drawn  // of versions that are stored; [ErrConflict] if one is gone
	Items   []Item   // inserted; the registry numbers them
	// Gaps are files that made no document: inserted, or updated by key, with one try more.
	// Of one that is new, or has another status than before, webhooks are told.
	Gaps   []Gap
	Filled []SourceKey // gaps that are none any more
	Jobs   []Job       // inserted, or updated by ID
	Events []Event     // told to webhooks
}

// Match is what the registry knows about one ordinal.
type Match struct {
	Document Document
	Version  Version
	Source   string // the first source of the version, or else of the document
	Kind     CollectionKind
}

// DocumentFilter selects documents of a list; zero fields select all.
type DocumentFilter struct {
	Department string // a branch
	Collection string
	Source     string
	Status     string // of the newest version
	// Words are those that occur, each of them, in the title or in a source, whatever their case.
	Words []string
}

// DocumentPatch changes what is said about a document; nil fields stay.
type DocumentPatch struct {
	Title, Classification *string
	PublishedAt           *time.Time
	Recipient             *string
}

// RegistryStats counts what is registered.
type RegistryStats struct {
	Documents int
	Pages     int64
	TextBytes int64
	Drawings  int64
	Undrawn   int64 // versions that are to be drawn
	Earlier   int64 // versions of which something is kept under the previous key
	// Bytes is the size of the registry's file and log.
	Bytes int64
}

// APIKey is a credential of a caller. The secret itself is not kept.
type APIKey struct {
	ID         string
	SecretHash []byte
	Label      string // what it is for
	Role       string
	Department string // empty: all
	CreatedAt  time.Time
	CreatedBy  string    // id of the principal that made it
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero while it holds
}

// Rotation is a change of the secret key that is not finished yet: what was made with the
// previous key stays under it until it is made again.
type Rotation struct {
	Previous string    `json:"previous"` // id of the key before; empty: there is no rotation
	Last     Ordinal   `json:"last"`     // the last that was given out under the previous key
	Sequence int64     `json:"sequence"` // of posts: likewise
	At       time.Time `json:"at"`
}

// Covers reports whether what has an ordinal was made with the previous key.
func (r Rotation) Covers(o Ordinal) bool { return o <= r.Last }

// Registry keeps what is said about documents: everything but fingerprints. All
// methods may be called concurrently. Absence, and absence from the scope, are
// [ErrNotFound].
type Registry interface {
	// ReserveOrdinals takes n ordinals, for versions or drawings, that were never handed out before, not
	// even before a crash, and returns the first; the others follow it. The first
	// of all is 1.
	ReserveOrdinals(ctx context.Context, n int) (Ordinal, error)

	// Commit makes changes durable, all or none. It is a conflict if a document
	// lacks its first or its newest version, a source its version or an item its job.
	Commit(ctx context.Context, changes Changes) error

	// Source returns what was found at a place last, with the version that it led
	// to, of withdrawn documents, too, unless they were withdrawn [BySource] or [ByRotation].
	Source(ctx context.Context, key SourceKey) (Source, Version, error)

	// Content returns the oldest version with these bytes in a department's
	// collection, of documents that are not withdrawn.
	Content(ctx context.Context, department, collection string, content []byte) (Version, error)

	// Matches returns what is known about ordinals. Those that are unknown, or
	// belong to documents outside the scope, are missing from the answer.
	Matches(ctx context.Context, scope Scope, ordinals []Ordinal) (map[Ordinal]Match, error)

	// Places returns the encoded places of a version; nil if it was stored without.
	Places(ctx context.Context, ordinal Ordinal) ([]byte, error)

	// Sketches returns the sketches of versions, during a [Rotation] as the previous key makes
	// them: all of them can be compared. Those of ordinals that are unknown, or were stored
	// without one, are missing from the answer.
	Sketches(ctx context.Context, ordinals []Ordinal) (map[Ordinal][]byte, error)

	// Ordinals lists the ordinals of all versions in ascending order, without those of
	// withdrawn documents.
	Ordinals(ctx context.Context) ([]Ordinal, error)

	// Drawings returns what was drawn, by its ordinals, without hashes. Those that are
	// unknown are missing from the answer.
	Drawings(ctx context.Context, ordinals []Ordinal) (map[Ordinal]Drawing, error)

	// DrawingsOf lists what was drawn of versions, or of all if there are none, in
	// ascending order: only what has a layout, if asked.
	DrawingsOf(ctx context.Context, laidOut bool, versions ...Ordinal) ([]Ordinal, error)

	// Near returns the drawings whose hashes differ from one in at most so many bits,
	// the nearest first, at most limit of them.
	Near(ctx context.Context, hash []byte, distance, limit int) ([]Near, error)

	// Undrawn lists versions that were not drawn yet by a version of the drawing, in the
	// order of their ordinals, after one.
	Undrawn(ctx context.Context, by int, after Ordinal, limit int) ([]Version, error)

	// UndrawnPages counts the pages of such versions in a scope.
	UndrawnPages(ctx context.Context, scope Scope, by int) (int64, error)

	// Document returns a document with its versions, oldest first, and sources, in
	// the order in which they were first seen.
	Document(ctx context.Context, scope Scope, id DocumentID) (Document, []Version, []Source, error)

	// Documents lists documents in the order of their registration, at most limit
	// of them from after the cursor on, with their newest versions. The empty
	// cursor begins; an empty next cursor ends. A cursor that the registry did not
	// give is [ErrNotFound].
	Documents(ctx context.Context, scope Scope, filter DocumentFilter, cursor string, limit int) (matches []Match, next string, err error)

	// Patch changes what is said about a document, and its time of update, and
	// returns it.
	Patch(ctx context.Context, scope Scope, id DocumentID, patch DocumentPatch) (Document, error)

	// Delete forgets a document, its versions, drawings and sources, and returns the
	// ordinals that the indexes are to forget.
	Delete(ctx context.Context, scope Scope, id DocumentID) ([]Ordinal, error)

	// AddCollection stores a collection. The same name with the same kind,
	// department and window again changes nothing; otherwise it is [ErrConflict].
	AddCollection(ctx context.Context, c Collection) error

	// Collection returns a collection by its name, whoever owns it. One that nobody
	// added is protected and dense and has no time of creation: documents may be
	// filed under any name.
	Collection(ctx context.Context, name string) (Collection, error)

	// Collections lists the collections that were added, in the order of the bytes
	// of their names. A scope shows the collections of its departments, those of
	// DefaultDepartment, and those whose text never alarms anywhere: public and
	// boilerplate ones. Limit and cursors are as in Documents.
	Collections(ctx context.Context, scope Scope, cursor string, limit int) (collections []Collection, next string, err error)

	// Job returns a bulk registration.
	Job(ctx context.Context, scope Scope, id JobID) (Job, error)

	// Jobs lists bulk registrations, newest first; only running ones if asked. Limit
	// and cursors are as in Documents.
	Jobs(ctx context.Context, scope Scope, running bool, cursor string, limit int) (jobs []Job, next string, err error)

	// Items lists what became of a job's objects, in order, after a sequence
	// number. Items are kept until the next job of the same source and prefix begins.
	Items(ctx context.Context, id JobID, after int64, limit int) ([]Item, error)

	// AddKey stores a credential. The same id and secret again only update when it
	// was revoked; another secret is [ErrConflict].
	AddKey(ctx context.Context, key APIKey) error

	// Key returns a credential by its id, revoked ones too.
	Key(ctx context.Context, id string) (APIKey, error)

	// Keys lists the credentials of departments in a scope, oldest first; those that reach
	// all departments are in the scope of Everywhere only. Limit and cursors are as in
	// Documents.
	Keys(ctx context.Context, scope Scope, cursor string, limit int) (keys []APIKey, next string, err error)

	// RevokeKey ends a credential, which it returns; one that was revoked before stays as it
	// is.
	RevokeKey(ctx context.Context, scope Scope, id string, at time.Time) (APIKey, error)

	Alerts
	Coverage

	// Earlier lists the versions whose text is kept under the previous key, in the order of
	// their ordinals, after one, without those of withdrawn documents.
	Earlier(ctx context.Context, after Ordinal, limit int) ([]Version, error)

	// Stats counts what is registered and not withdrawn, over all versions.
	Stats(ctx context.Context) (RegistryStats, error)

	// Activity counts what is in a scope and what happened there from a time on, for so many
	// days of 24 hours.
	Activity(ctx context.Context, scope Scope, from time.Time, days int) (Activity, error)

	// Close releases the registry; other methods answer [ErrClosed] afterwards.
	Close() error
}
