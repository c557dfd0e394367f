package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/api/client"
)

// events are those that webhooks can be told.
var events = []string{"alert.created", "alert.updated", "document.registered", "document.failed"}

// webhooksData is the list of subscriptions, and the secret of one that is new.
type webhooksData struct {
	Webhooks []client.Webhook
	Events   []string
	New      *client.NewWebhook
}

func webhooksPage(v *visit) error { return v.webhooks(nil) }

func (v *visit) webhooks(made *client.NewWebhook) error {
	d := webhooksData{Events: events, New: made}
	for w, err := range v.api.Webhooks(v.ctx()) {
		if err != nil {
			return err
		}
		d.Webhooks = append(d.Webhooks, w)
	}
	return v.show(http.StatusOK, "webhooks", v.T("Webhooks"), d)
}

func createWebhook(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f := v.r.PostForm
	made, err := v.api.CreateWebhook(v.ctx(), client.CreateWebhookJSONRequestBody{
		URL: strings.TrimSpace(f.Get("url")), Department: strings.TrimSpace(f.Get("department")), Events: f["event"],
	})
	if err != nil {
		return err
	}
	return v.webhooks(made) // the secret is shown once, and stands in no address
}

// webhookData is one subscription with the newest attempts to deliver.
type webhookData struct {
	*client.Webhook
	Attempts []client.Attempt
	Next     string
	New      *client.NewWebhook
}

func webhookPage(v *visit) error { return v.webhook(nil) }

func (v *visit) webhook(made *client.NewWebhook) error {
	id := v.r.PathValue("id")
	hook, err := v.api.Webhook(v.ctx(), id)
	if err != nil {
		return err
	}
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	copyQuery(query, v.r.URL.Query(), "cursor")
	list, err := client.PageOf[client.Attempt](v.ctx(), v.api, "/v1/webhooks/"+url.PathEscape(id)+"/attempts", query)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "webhook", v.T("Webhook"), webhookData{hook, list.Items, v.cursorLink(list.Next), made})
}

// changeWebhook does with a subscription what the button says.
func changeWebhook(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	id := v.r.PathValue("id")
	here := "/webhooks/" + url.PathEscape(id)
	switch v.r.PostForm.Get("do") {
	case "pause", "resume":
		paused := v.r.PostForm.Get("do") == "pause"
		_, err := v.api.PatchWebhook(v.ctx(), id, client.PatchWebhookJSONRequestBody{Paused: &paused})
		return v.redirectAfter(err, here)
	case "test":
		_, err := v.api.TestWebhook(v.ctx(), id)
		return v.redirectAfter(err, here)
	case "rotate":
		made, err := v.api.RotateWebhook(v.ctx(), id)
		if err != nil {
			return err
		}
		return v.webhook(made)
	case "replay":
		day, err := time.Parse("2006-01-02", v.r.PostForm.Get("from"))
		if err != nil {
			return badField("from")
		}
		_, err = v.api.ReplayWebhook(v.ctx(), id, client.ReplayWebhookJSONRequestBody{From: day})
		return v.redirectAfter(err, here)
	case "delete":
		return v.redirectAfter(v.api.DeleteWebhook(v.ctx(), id), "/webhooks")
	}
	return badField("do")
}

// keysData is the list of API keys, and one that is new.
type keysData struct {
	Keys  []client.Key
	Roles []client.Role
	New   *client.NewKey
}

var roleChoices = []client.Role{"analyst", "registrar", "monitor", "auditor", "admin"}

func keysPage(v *visit) error { return v.keys(nil) }

func (v *visit) keys(made *client.NewKey) error {
	d := keysData{Roles: roleChoices, New: made}
	for k, err := range v.api.Keys(v.ctx()) {
		if err != nil {
			return err
		}
		d.Keys = append(d.Keys, k)
	}
	return v.show(http.StatusOK, "keys", v.T("API keys"), d)
}

func createKey(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	f := v.r.PostForm
	request := client.CreateKeyJSONRequestBody{Role: client.Role(f.Get("role")), Department: strings.TrimSpace(f.Get("department")), Label: strings.TrimSpace(f.Get("label"))}
	if f.Get("expires") != "" {
		day, err := time.Parse("2006-01-02", f.Get("expires"))
		if err != nil {
			return badField("expires")
		}
		request.ExpiresAt = day
	}
	made, err := v.api.CreateKey(v.ctx(), request)
	if err != nil {
		return err
	}
	return v.keys(made) // the key is shown once, and stands in no address
}

func revokeKey(v *visit) error {
	_, err := v.api.RevokeKey(v.ctx(), v.r.PathValue("id"))
	return v.redirectAfter(err, "/keys")
}

// auditData is part of the audit log.
type auditData struct {
	Records                                []client.AuditRecord
	Next                                   string
	Principal, Action, Target, From, Until string
	Report                                 *client.AuditReport
}

func auditPage(v *visit) error { return v.audit(nil) }

func (v *visit) audit(report *client.AuditReport) error {
	q := v.r.URL.Query()
	if len(q) == 0 { // the log is told from its beginning on, which is long ago
		q.Set("from", time.Now().UTC().AddDate(0, 0, -7).Format("2006-01-02"))
	}
	d := auditData{Principal: q.Get("principal"), Action: q.Get("action"), Target: q.Get("target"), From: q.Get("from"), Until: q.Get("until"), Report: report}
	query := url.Values{"limit": {strconv.Itoa(rowsAtOnce)}}
	copyQuery(query, q, "principal", "action", "target", "cursor")
	for _, name := range []string{"from", "until"} {
		if q.Get(name) == "" {
			continue
		}
		day, err := time.Parse("2006-01-02", q.Get(name))
		if err != nil {
			return badField(name)
		}
		if name == "until" {
			day = day.AddDate(0, 0, 1) // that day belongs to it
		}
		query.Set(name, day.Format(time.RFC3339))
	}
	list, err := client.PageOf[client.AuditRecord](v.ctx(), v.api, "/v1/audit", query)
	if err != nil {
		return err
	}
	d.Records, d.Next = list.Items, v.cursorLink(list.Next)
	return v.show(http.StatusOK, "audit", v.T("Audit log"), d)
}

func verifyAudit(v *visit) error {
	report, err := v.api.VerifyAudit(v.ctx())
	if err != nil {
		return err
	}
	return v.audit(report)
}
