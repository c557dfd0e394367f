package storage

import (
	"context"
	"strings"
	"time"
)

// AlertID names an alert: "alr_" and random letters.
type AlertID string

// ReleaseID names a release: "rel_" and random letters.
type ReleaseID string

// ReleaseKind says why what a release covers is no leak.
type ReleaseKind string

// The kinds of release.
const (
	Authorized ReleaseKind = "authorized" // an authority released it
	Excluded   ReleaseKind = "excluded"   // an analyst found that it is quoted in public
)

// PageRange is some pages of a document, both ends included.
type PageRange struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// PageSpan is part of a page, in code points of its text; zero Start and End are the page
// as a whole.
type PageSpan struct {
	Page  int `json:"page"`
	Start int `json:"start"`
	End   int `json:"end"`
}

// Release says that a document, or part of it, may be seen in a time. It clears no other
// document, but for what drafts and copies in the same department have in common with it.
type Release struct {
	ID       ReleaseID
	Document DocumentID
	Kind     ReleaseKind
	// It holds from From until before Until; zero times do not limit it.
	From, Until time.Time
	// What it covers; all of the document if both are empty.
	Pages    []PageRange
	Passages []PageSpan
	// Who released it, and in which paper.
	Authority, Instrument string
	Alert                 AlertID // on which an exclusion was decided
	CreatedBy             string
	CreatedAt             time.Time
	RevokedAt             time.Time // zero while it is in force
	RevokedBy             string
}

// Holds reports whether the release is in force for what was seen at a time.
func (r *Release) Holds(seenAt time.Time) bool {
	return r.RevokedAt.IsZero() && !seenAt.Before(r.From) && (r.Until.IsZero() || seenAt.Before(r.Until))
}

// Whole reports whether all of the document is released.
func (r *Release) Whole() bool { return len(r.Pages) == 0 && len(r.Passages) == 0 }

// Withdrawal is the end of a registration: what was registered is not looked for any more.
type Withdrawal struct {
	At     time.Time
	By     string // id of the key, BySource or ByRotation
	Reason string
}

// BySource ends registrations of documents that were removed from their sources. Should
// they come back, they are registered anew.
const BySource = "source"

// ByRotation ends registrations of documents of which nothing is kept under the current secret
// key. Should they come again, they are registered anew, too.
const ByRotation = "rotation"

// AlertState is what people think of an alert.
type AlertState string

// The states of an alert. All but the first two are decisions.
const (
	AlertNew             AlertState = "new"
	AlertTriage          AlertState = "triage" // somebody looks at it
	AlertConfirmed       AlertState = "confirmed"
	AlertAuthorized      AlertState = "authorized"
	AlertPublicQuotation AlertState = "public_quotation"
	AlertBoilerplate     AlertState = "boilerplate"
	AlertFalseMatch      AlertState = "false_match"
	AlertDuplicate       AlertState = "duplicate"
	AlertLegalReview     AlertState = "legal_review"
)

// Alert is a leak, as far as one document and the department that answers for it are
// concerned: all posts that show the same part of the document.
type Alert struct {
	ID         AlertID
	Department string // that it is for: the document's, or its alternate recipient
	Document   DocumentID
	Version    int
	State      AlertState
	// Of the post that matched best:
	Channel    string
	Score      float64
	Expected   float64 // by chance
	Characters int     // of the post that matched
	// Regions are where in the document it is, over all posts.
	Regions []PageSpan
	// Flood says that so many different parts of the document were posted that no more
	// alerts are made: this one counts them all.
	Flood bool
	// Late says that the document was registered after the first post.
	Late                    bool
	Posts                   int
	FirstSeenAt, LastSeenAt time.Time
	CreatedAt, UpdatedAt    time.Time
}

// AlertPost is one of the posts of an alert: where what stands in it, and no text.
type AlertPost struct {
	Alert    AlertID
	Post     string // the pipeline's id
	Thread   string
	SeenAt   time.Time
	Score    float64
	Passages []AlertPassage
}

// AlertPassage is one passage of a post: in code points, or as boxes in shares of a picture.
type AlertPassage struct {
	Medium     int      `json:"medium,omitempty"` // 0: the text; else which of the media
	Start      int      `json:"start,omitempty"`
	End        int      `json:"end,omitempty"`
	Box        *Region  `json:"box,omitempty"`
	Document   PageSpan `json:"document"`
	OnPage     *Region  `json:"on_page,omitempty"`
	Similarity float64  `json:"similarity"`
}

// AlertChange is one entry of an alert's history.
type AlertChange struct {
	Alert    AlertID
	Sequence int // from 1
	At       time.Time
	Actor    string // id of the principal; "system"
	From, To AlertState
	Reason   string
	Release  ReleaseID // the exclusion that was made with it
}

// Post is what is kept of a post: nothing of what it says.
type Post struct {
	ID       string // the pipeline's
	Content  []byte // keyed hash of all that was sent
	Thread   string
	Verdict  string
	Alerts   []AlertID
	SeenAt   time.Time
	TakenAt  time.Time // when it came in
	Sequence int64     // in the order in which they came in; the registry gives it
	// Fingerprints are the keyed grams of its texts, for documents that are registered
	// later; nil if none are kept.
	Fingerprints []byte
}

// Print is what is kept of a post for documents that are registered later.
type Print struct {
	Sequence     int64 // of the post
	Fingerprints []byte
	KeyID        string // of the key that they were made with; empty: the current one
}

// Intake are changes that are committed together or not at all.
type Intake struct {
	Posts      []Post       // inserted; [ErrConflict] if an id is taken
	Alerts     []Alert      // inserted, or updated by id: all but state and recipient
	AlertPosts []AlertPost  // inserted, once for each alert and post
	Events     []Event      // told to webhooks
	Late       []LateAlerts // of posts that are stored
}

// LateAlerts are alerts about a post that was stored before.
type LateAlerts struct {
	Post   string
	Alerts []AlertID
}

// AlertFilter selects alerts of a list; zero fields select all.
type AlertFilter struct {
	Department string // a branch
	Document   DocumentID
	States     []AlertState
}

// Alerts keeps releases, posts and alerts.
type Alerts interface {
	// AddRelease stores a release of a document in the scope.
	AddRelease(ctx context.Context, scope Scope, r Release) error

	// Releases lists the releases of a document, revoked ones too, oldest first.
	Releases(ctx context.Context, scope Scope, id DocumentID) ([]Release, error)

	// ReleasesOf returns the releases of documents that are in force at some time.
	ReleasesOf(ctx context.Context, ids []DocumentID) (map[DocumentID][]Release, error)

	// RevokeRelease ends a release; one that was ended before stays as it is.
	RevokeRelease(ctx context.Context, scope Scope, document DocumentID, id ReleaseID, by string, at time.Time) (Release, error)

	// Withdraw ends the registration of a document: what is said about it, its releases and
	// alerts stay, but look-ups do not find it any more. What lies at its sources is not
	// registered again. It returns the ordinals that the indexes are to forget, and is
	// [ErrConflict] if the document was withdrawn before.
	Withdraw(ctx context.Context, scope Scope, id DocumentID, w Withdrawal) ([]Ordinal, error)

	// Post returns a post by the pipeline's id.
	Post(ctx context.Context, id string) (Post, error)

	// Prints lists the fingerprints of posts in the order in which they came in, after a
	// sequence number, and PostAt returns the post with such a number.
	Prints(ctx context.Context, after int64, limit int) ([]Print, error)
	PostAt(ctx context.Context, sequence int64) (Post, error)

	// ForgetPosts removes posts that came in before a time, at most limit of them, and
	// returns how many there were; with fingerprintsOnly they only lose those.
	ForgetPosts(ctx context.Context, before time.Time, fingerprintsOnly bool, limit int) (int, error)

	// LookedBack is up to which ordinal posts were searched for documents that were
	// registered after them, and LookBack says so.
	LookedBack(ctx context.Context) (Ordinal, error)
	LookBack(ctx context.Context, until Ordinal) error

	// TakeIn commits changes.
	TakeIn(ctx context.Context, changes Intake) error

	// AlertsOf returns all alerts about documents.
	AlertsOf(ctx context.Context, ids []DocumentID) ([]Alert, error)

	// Alert returns an alert with its history and its newest posts.
	Alert(ctx context.Context, scope Scope, id AlertID) (Alert, []AlertChange, []AlertPost, error)

	// PostOf returns a post of an alert by the pipeline's id, if it is among those that are kept
	// of the alert.
	PostOf(ctx context.Context, scope Scope, id AlertID, post string) (AlertPost, error)

	// Alerts lists alerts, newest first. Limit and cursors are as in Registry.Documents.
	Alerts(ctx context.Context, scope Scope, filter AlertFilter, cursor string, limit int) (alerts []Alert, next string, err error)

	// Decide changes the state of an alert, with an entry of its history, an event for
	// webhooks, and the exclusion that goes with it, if there is one. It is [ErrConflict] if
	// the alert is not in the state that the change begins with.
	Decide(ctx context.Context, scope Scope, change AlertChange, exclusion *Release, event Event) (Alert, error)
}

// Final reports whether a state is a decision.
func (s AlertState) Final() bool { return s != AlertNew && s != AlertTriage }

// Words is the state in words.
func (s AlertState) Words() string { return strings.ReplaceAll(string(s), "_", " ") }
