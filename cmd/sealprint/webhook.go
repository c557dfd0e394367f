package main

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func webhookCommand(c terminal) *cobra.Command {
	return group("webhook", "Subscribe to alerts", webhookCreate(c), webhookList(c), webhookDelete(c), webhookPause(c, true), webhookPause(c, false),
		webhookRotate(c), webhookTest(c), webhookReplay(c), webhookAttempts(c))
}

// withSecret is a subscription whose secret is told, if it has one.
func withSecret(w *client.NewWebhook) string { return strings.TrimSpace(w.ID + "\n" + w.Secret) }

func webhookCreate(c terminal) *cobra.Command {
	var department string
	var events []string
	return action[*client.NewWebhook]{
		use: "create URL", short: "Subscribe an address, https://… or mailto:…; the secret that signs deliveries is printed once", arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&department, "department", "", "only this department and those below it")
			f.StringSliceVar(&events, "event", []string{"alert.created", "alert.updated"}, "alert.created, alert.updated, document.registered, document.failed")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.NewWebhook, error) {
			return api.CreateWebhook(ctx, client.CreateWebhookJSONRequestBody{URL: args[0], Department: department, Events: events})
		},
		say: withSecret,
	}.command(c)
}

func webhookList(c terminal) *cobra.Command {
	return listing[client.Webhook]{
		use: "list", short: "List subscriptions", arguments: cobra.NoArgs,
		columns: []string{"ID", "DEPARTMENT", "EVENTS", "STATE", "URL"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Webhook, error], error) {
			return api.Webhooks(ctx), nil
		},
		row: func(w client.Webhook) []string {
			state := "on"
			switch {
			case w.Disabled != "":
				state = "disabled: " + w.Disabled
			case w.Paused:
				state = "paused"
			}
			return []string{w.ID, w.Department, strings.Join(w.Events, ","), state, w.URL}
		},
	}.command(c)
}

func webhookDelete(c terminal) *cobra.Command {
	return action[string]{
		use: "delete ID", short: "End a subscription", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (string, error) {
			return args[0], api.DeleteWebhook(ctx, args[0])
		},
		say: func(id string) string { return id + " deleted" },
	}.command(c)
}

func webhookPause(c terminal, paused bool) *cobra.Command {
	use, short, done := "resume ID", "Go on with a subscription that was paused or disabled", "on"
	if paused {
		use, short, done = "pause ID", "Pause a subscription; what happens meanwhile is sent later", "paused"
	}
	return action[*client.Webhook]{
		use: use, short: short, arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Webhook, error) {
			return api.PatchWebhook(ctx, args[0], client.PatchWebhookJSONRequestBody{Paused: &paused})
		},
		say: func(w *client.Webhook) string { return w.ID + " is " + done },
	}.command(c)
}

func webhookRotate(c terminal) *cobra.Command {
	return action[*client.NewWebhook]{
		use: "rotate ID", short: "Make a new secret; for a day deliveries are signed by both", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.NewWebhook, error) {
			return api.RotateWebhook(ctx, args[0])
		},
		say: withSecret,
	}.command(c)
}

func webhookTest(c terminal) *cobra.Command {
	return action[*client.Queued]{
		use: "test ID", short: "Send an event for a test; see attempts for what came of it", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Queued, error) {
			return api.TestWebhook(ctx, args[0])
		},
		say: func(*client.Queued) string { return "on its way" },
	}.command(c)
}

func webhookReplay(c terminal) *cobra.Command {
	var from, until string
	return action[*client.Queued]{
		use: "replay ID --from TIME", short: "Send again what happened in a time", arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&from, "from", "", "a date-time, a date or a duration, such as -24h")
			f.StringVar(&until, "until", "", "now unless given")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Queued, error) {
			since, err := moment("from", from)
			if err != nil {
				return nil, err
			}
			end, err := moment("until", until)
			if err != nil {
				return nil, err
			}
			return api.ReplayWebhook(ctx, args[0], client.ReplayWebhookJSONRequestBody{From: since, Until: end})
		},
		say: func(q *client.Queued) string { return fmt.Sprintf("%d deliveries are on their way", q.Deliveries) },
	}.command(c)
}

func webhookAttempts(c terminal) *cobra.Command {
	return listing[client.Attempt]{
		use: "attempts ID", short: "List what came of deliveries, newest first", arguments: cobra.ExactArgs(1),
		columns: []string{"EVENT", "ATTEMPT", "AT", "STATUS", "ERROR"},
		items: func(ctx context.Context, api *client.Client, args []string) (iter.Seq2[client.Attempt, error], error) {
			return api.Attempts(ctx, args[0]), nil
		},
		row: func(a client.Attempt) []string {
			return []string{a.EventID, strconv.Itoa(a.Number), when(a.At), strconv.Itoa(a.Status), a.Error}
		},
	}.command(c)
}
