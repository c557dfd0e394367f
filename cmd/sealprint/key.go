package main

import (
	"context"
	"iter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func keyCommand(c terminal) *cobra.Command {
	return group("key", "Make, list and revoke API keys", keyCreate(c), keyList(c), keyRevoke(c))
}

// madeKey is what key create prints.
type madeKey struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

func keyCreate(c terminal) *cobra.Command {
	var role, department, label, expires string
	return action[madeKey]{
		use: "create --role ROLE", short: "Make an API key, which is printed once",
		long: `Make an API key, which is printed once. Roles: admin, registrar (registers and
releases), analyst (looks up, reads evidence, decides on alerts), monitor (looks
up and posts, and sees ids only), auditor (reads the audit log). A department
covers all below it.`,
		arguments: cobra.NoArgs,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&role, "role", "", "admin, registrar, analyst, monitor or auditor")
			f.StringVar(&department, "department", "", "only this department and those below it")
			f.StringVar(&label, "label", "", "what the key is for")
			f.StringVar(&expires, "expires", "", "until when it holds: a date-time, a date or a duration from now")
		},
		do: func(ctx context.Context, api *client.Client, _ []string) (madeKey, error) {
			until, err := moment("expires", expires)
			if err != nil {
				return madeKey{}, err
			}
			k, err := api.CreateKey(ctx, client.CreateKeyJSONRequestBody{Role: client.Role(role), Department: department, Label: label, ExpiresAt: until})
			if err != nil {
				return madeKey{}, err
			}
			return madeKey{k.ID, k.Key}, nil
		},
		say: func(k madeKey) string { return k.Key },
	}.command(c)
}

func keyList(c terminal) *cobra.Command {
	return listing[client.Key]{
		use: "list", short: "List API keys, without the keys themselves", arguments: cobra.NoArgs,
		columns: []string{"ID", "ROLE", "DEPARTMENT", "CREATED", "EXPIRES", "REVOKED", "LABEL"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Key, error], error) {
			return api.Keys(ctx), nil
		},
		row: func(k client.Key) []string {
			return []string{k.ID, string(k.Role), k.Department, when(k.CreatedAt), when(k.ExpiresAt), when(k.RevokedAt), k.Label}
		},
	}.command(c)
}

func keyRevoke(c terminal) *cobra.Command {
	return action[*client.Key]{
		use: "revoke ID", short: "Revoke an API key", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Key, error) {
			return api.RevokeKey(ctx, args[0])
		},
		say: func(k *client.Key) string { return k.ID + " revoked" },
	}.command(c)
}
