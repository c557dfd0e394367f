package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

// rowsAtOnce is how many rows of a list are shown at a time.
const rowsAtOnce = 50

// states are those of alerts, in the order in which they come up.
var states = []client.AlertState{"new", "triage", "confirmed", "legal_review", "authorized", "public_quotation", "boilerplate", "false_match", "duplicate"}

// open are the states of alerts that wait for somebody.
var openStates = states[:2]

// queueData is the list of alerts.
type queueData struct {
	States     []stateChoice
	Department string
	Document   string
	Alerts     []client.Alert
	Next       string
	Filtered   bool
}

// stateChoice is a state to select by.
type stateChoice struct {
	State  client.AlertState
	Chosen bool
}

func queuePage(v *visit) error {
	q := v.r.URL.Query()
	d := queueData{Department: q.Get("department"), Document: q.Get("document"), Filtered: q.Has("state") || q.Get("department") != "" || q.Get("document") != ""}
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	chosen := q["state"]
	if !q.Has("state") && d.Document == "" {
		for _, s := range openStates {
			chosen = append(chosen, string(s))
		}
	}
	for _, s := range states {
		on := slices.Contains(chosen, string(s))
		d.States = append(d.States, stateChoice{s, on})
		if on {
			query.Add("state", string(s))
		}
	}
	copyQuery(query, q, "department", "document", "cursor")
	list, err := client.PageOf[client.Alert](v.ctx(), v.api, "/v1/alerts", query)
	if err != nil {
		return err
	}
	d.Alerts, d.Next = list.Items, v.cursorLink(list.Next)
	return v.show(http.StatusOK, "alerts", v.T("Alerts"), d)
}

// copyQuery takes values that are not empty over.
func copyQuery(to, from url.Values, names ...string) {
	for _, name := range names {
		if value := strings.TrimSpace(from.Get(name)); value != "" {
			to.Set(name, value)
		}
	}
}

// alertData is one alert with its evidence.
type alertData struct {
	*client.AlertDetail
	Sheets    []sheet
	Seen      []postRow
	States    []client.AlertState
	Undo      *client.AlertChange // the newest change
	Exclusion string              // until when one would be made
	Removable bool
	pager
}

// postRow is a post in which the document was seen.
type postRow struct {
	client.AlertPost
	Characters int
	Pages      []int
	Media      []int
}

func alertPage(v *visit) error {
	a, err := v.api.Alert(v.ctx(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	d := alertData{AlertDetail: a, Exclusion: time.Now().UTC().AddDate(0, 6, 0).Format("2006-01-02")}
	d.Removable = a.State == "confirmed" || a.State == "legal_review"
	for _, s := range states {
		if s != a.State {
			d.States = append(d.States, s)
		}
	}
	if n := len(a.History); n > 0 && a.History[n-1].From != "" {
		d.Undo = &a.History[n-1]
	}
	for _, p := range a.NewestPosts {
		row := postRow{AlertPost: p}
		for _, passage := range p.Passages {
			if from, to, ok := spanOf(passage.Document.Start, passage.Document.End); ok {
				row.Characters += to - from
			}
			if !slices.Contains(row.Pages, passage.Document.Page) {
				row.Pages = append(row.Pages, passage.Document.Page)
			}
			if passage.Medium > 0 && !slices.Contains(row.Media, passage.Medium) {
				row.Media = append(row.Media, passage.Medium)
			}
		}
		slices.Sort(row.Pages)
		d.Seen = append(d.Seen, row)
	}
	if a.Document.Title != "" { // registered still
		v.regions(&d)
	}
	return v.show(http.StatusOK, "alert", v.T("Alert"), d)
}

// regions reads the pages that were seen.
func (v *visit) regions(d *alertData) {
	marks, boxes := map[int][]mark{}, map[int][]box{}
	for i, r := range d.Regions {
		marks[r.Page] = append(marks[r.Page], mark{start: r.Start, end: r.End, number: i + 1})
	}
	for _, p := range d.NewestPosts {
		for _, passage := range p.Passages {
			b, ok := documentBox(len(boxes[passage.Document.Page])+1, passage.Document)
			if ok && !slices.ContainsFunc(boxes[passage.Document.Page], func(o box) bool { return o.X == b.X && o.Y == b.Y && o.Width == b.Width }) {
				boxes[passage.Document.Page] = append(boxes[passage.Document.Page], b)
			}
		}
	}
	numbers := slices.Sorted(maps.Keys(marks))
	for n := range boxes {
		if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	d.pager = v.pager(len(numbers))
	for _, n := range numbers[d.From-1 : d.To] {
		s := sheet{Page: n, Boxes: boxes[n]}
		if len(s.Boxes) > 0 {
			s.Picture = pictureOf(d.Document.ID, n, d.Document.Version)
		}
		v.readSheet(&s, d.Document.ID, d.Document.Version, marks[n])
		d.Sheets = append(d.Sheets, s)
	}
}

// decide changes the state of an alert. The state that somebody saw guards against a decision of
// somebody else in between.
func decide(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f, id := v.r.PostForm, v.r.PathValue("id")
	request := client.DispositionRequest{State: client.AlertState(f.Get("state")), From: client.AlertState(f.Get("was")), Reason: strings.TrimSpace(f.Get("reason"))}
	if until := f.Get("exclude_until"); f.Get("exclude") != "" && until != "" {
		day, err := time.Parse("2006-01-02", until)
		if err != nil {
			return badField("exclude_until")
		}
		request.ExcludeUntil = day
	}
	_, err := v.api.Decide(v.ctx(), id, request)
	return v.redirectAfter(err, "/alerts/"+url.PathEscape(id))
}

func badField(name string) error {
	return &client.ProblemError{Problem: client.Problem{Status: http.StatusBadRequest, Title: "Bad request", Detail: name}}
}

// removalData is a request to take a post down.
type removalData struct {
	Alert   *client.AlertDetail
	Removal *client.Removal // nil: it is to be filled in
	Post    string
}

func removalPage(v *visit) error {
	a, err := v.api.Alert(v.ctx(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "removal", v.T("Removal request"), removalData{Alert: a, Post: v.r.URL.Query().Get("post")})
}

func removal(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	a, err := v.api.Alert(v.ctx(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	f := v.r.PostForm
	d := removalData{Alert: a, Post: f.Get("post")}
	d.Removal, err = v.api.Removal(v.ctx(), a.ID, client.RemovalRequest{
		Post: f.Get("post"), Requester: strings.TrimSpace(f.Get("requester")), Instrument: strings.TrimSpace(f.Get("instrument")), Reference: strings.TrimSpace(f.Get("reference")),
	})
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "removal", v.T("Removal request"), d)
}
