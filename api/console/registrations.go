package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sealprint/sealprint/api/client"
)

// registrationsData is the list of bulk registrations.
type registrationsData struct {
	Jobs    []job
	Next    string
	Running bool
}

// job is a bulk registration as a bar.
type job struct{ client.Registration }

// Done is how far it is, in percent; -1: nobody knows.
func (j job) Done() int {
	if j.State == "done" {
		return 100
	}
	if j.Expected <= 0 {
		return -1
	}
	return min(100*j.Listed/j.Expected, 100)
}

func registrationsPage(v *visit) error {
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	copyQuery(query, v.r.URL.Query(), "cursor")
	list, err := client.PageOf[client.Registration](v.ctx(), v.api, "/v1/registrations", query)
	if err != nil {
		return err
	}
	d := registrationsData{Next: v.cursorLink(list.Next)}
	for _, r := range list.Items {
		d.Jobs = append(d.Jobs, job{r})
		d.Running = d.Running || r.State == "running"
	}
	return v.show(http.StatusOK, "registrations", v.T("Registrations"), d)
}

func startRegistration(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f := v.r.PostForm
	started, err := v.api.StartRegistration(v.ctx(), client.StartRegistrationJSONRequestBody{
		Source: strings.TrimSpace(f.Get("source")), Prefix: strings.TrimSpace(f.Get("prefix")), Kind: client.RegistrationKind(f.Get("kind")),
	})
	if err != nil {
		return err
	}
	return v.goTo("/registrations/" + url.PathEscape(started.ID))
}

func registrationPage(v *visit) error {
	r, err := v.api.Registration(v.ctx(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "registration", v.T("Registration"), job{*r})
}

func cancelRegistration(v *visit) error {
	id := v.r.PathValue("id")
	_, err := v.api.CancelRegistration(v.ctx(), id)
	return v.redirectAfter(err, "/registrations/"+url.PathEscape(id))
}

// coverageData is what is protected, and what is not.
type coverageData struct {
	Rows                 []client.Covered
	Gaps                 []client.Gap
	Next                 string
	Department, Of       string
	Status               string
	Statuses             []client.Status
	Whole, InPart, Gap   int // documents and files
	Undrawn, PreviousKey int
}

func coveragePage(v *visit) error {
	covered, err := v.api.Coverage(v.ctx())
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	d := coverageData{Rows: covered.Items, Department: q.Get("department"), Of: q.Get("source"), Status: q.Get("status"), Statuses: statuses}
	for _, c := range covered.Items {
		if c.Status == "ok" {
			d.Whole += c.Documents
		} else {
			d.InPart += c.Documents
		}
		d.Gap += c.Gaps
		d.Undrawn += c.Undrawn
		d.PreviousKey += c.PreviousKey
	}
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	copyQuery(query, q, "department", "source", "status", "cursor")
	list, err := client.PageOf[client.Gap](v.ctx(), v.api, "/v1/coverage/gaps", query)
	if err != nil {
		return err
	}
	d.Gaps, d.Next = list.Items, v.cursorLink(list.Next)
	return v.show(http.StatusOK, "coverage", v.T("Coverage"), d)
}
