package main

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func alertCommand(c terminal) *cobra.Command {
	return group("alert", "List, show and decide on alerts", alertList(c), alertShow(c), alertDecide(c), alertRemoval(c))
}

func alertList(c terminal) *cobra.Command {
	var department, document string
	var states []string
	return listing[client.Alert]{
		use: "list", short: "List alerts, newest first", arguments: cobra.NoArgs,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&department, "department", "", "only this department and those below it")
			f.StringVar(&document, "document", "", "only alerts about this document")
			f.StringSliceVar(&states, "state", nil, "only these states, such as new,triage")
		},
		columns: []string{"ID", "STATE", "SCORE", "POSTS", "LAST SEEN", "DEPARTMENT", "DOCUMENT", "TITLE"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Alert, error], error) {
			query := url.Values{"state": states}
			if department != "" {
				query.Set("department", department)
			}
			if document != "" {
				query.Set("document", document)
			}
			return api.Alerts(ctx, query), nil
		},
		row: func(a client.Alert) []string {
			return []string{a.ID, string(a.State), fmt.Sprintf("%.2f", a.Score), strconv.Itoa(a.Posts), when(a.LastSeenAt), a.Department, a.Document.ID, a.Document.Title}
		},
	}.command(c)
}

func alertShow(c terminal) *cobra.Command {
	return action[*client.AlertDetail]{
		use: "show ID", short: "Show an alert with its history and its newest posts", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.AlertDetail, error) {
			return api.Alert(ctx, args[0])
		},
		say: alertText,
	}.command(c)
}

// alertText is an alert for people.
func alertText(a *client.AlertDetail) string {
	s := fmt.Sprintf("%s  %s  %s\ndocument %s version %d  %s\nscore %.2f, expected by chance %.2g, %d characters (%s), %d posts, first seen %s, last %s",
		a.ID, a.State, a.Department, a.Document.ID, a.Document.Version, a.Document.Title, a.Score, a.ExpectedByChance, a.MatchedCharacters, a.Channel,
		a.Posts, when(a.FirstSeenAt), when(a.LastSeenAt))
	for _, h := range a.History {
		s += fmt.Sprintf("\n%s  %s: %s → %s, %s", when(h.At), h.Actor, h.From, h.To, h.Reason)
	}
	for _, p := range a.NewestPosts {
		s += fmt.Sprintf("\npost %s  %s  score %.2f, %d passages", p.ID, when(p.SeenAt), p.Score, len(p.Passages))
	}
	return s
}

func alertDecide(c terminal) *cobra.Command {
	var state, reason, exclude string
	return action[*client.AlertDetail]{
		use: "decide ID --state STATE --reason TEXT", short: "Decide on an alert",
		long: `Decide on an alert: triage, confirmed, authorized, public_quotation, boilerplate,
false_match, duplicate or legal_review; new takes a decision back. With
--exclude-until, public_quotation and boilerplate let the passages pass until then.`,
		arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&state, "state", "", "the state that the alert gets")
			f.StringVar(&reason, "reason", "", "why")
			f.StringVar(&exclude, "exclude-until", "", "until when the passages may be quoted: a date-time, a date or a duration from now")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.AlertDetail, error) {
			until, err := moment("exclude-until", exclude)
			if err != nil {
				return nil, err
			}
			return api.Decide(ctx, args[0], client.DispositionRequest{State: client.AlertState(state), Reason: reason, ExcludeUntil: until})
		},
		say: func(a *client.AlertDetail) string { return fmt.Sprintf("%s is %s", a.ID, a.State) },
	}.command(c)
}

func alertRemoval(c terminal) *cobra.Command {
	var r client.RemovalRequest
	return action[*client.Removal]{
		use: "removal ID --post POST --requester NAME --instrument TEXT", short: "Write a request to remove a post",
		long: `Write the request that a platform needs to remove a post of an alert that is
confirmed or in legal_review. Nothing is sent; nothing of the document is in it.`,
		arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&r.Post, "post", "", "the id of the post")
			f.StringVar(&r.Requester, "requester", "", "who asks for it")
			f.StringVar(&r.Instrument, "instrument", "", "under which law, order or terms")
			f.StringVar(&r.Reference, "reference", "", "the address of the post on the platform")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Removal, error) {
			return api.Removal(ctx, args[0], r)
		},
		say: func(r *client.Removal) string { return strings.TrimSuffix(r.Text, "\n") },
	}.command(c)
}
