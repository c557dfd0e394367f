package main

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func collectionCommand(c terminal) *cobra.Command {
	return group("collection", "Create and list collections", collectionCreate(c), collectionList(c))
}

func collectionCreate(c terminal) *cobra.Command {
	var kind, department, density string
	return action[*client.Collection]{
		use: "create NAME", short: "Create a collection", arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&kind, "kind", "protected", "protected (what leaks), public or boilerplate (what never alarms)")
			f.StringVar(&department, "department", "", "who owns it")
			f.StringVar(&density, "density", "dense", "dense or sparse")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Collection, error) {
			return api.CreateCollection(ctx, client.CreateCollectionJSONRequestBody{
				Name: args[0], Kind: client.CollectionKind(kind), Department: department, Density: client.Density(density),
			})
		},
		say: func(n *client.Collection) string {
			return n.Name + " is " + string(n.Kind) + " and " + string(n.Density)
		},
	}.command(c)
}

func collectionList(c terminal) *cobra.Command {
	return listing[client.Collection]{
		use: "list", short: "List collections in the order of their names", arguments: cobra.NoArgs,
		columns: []string{"NAME", "KIND", "DENSITY", "DEPARTMENT"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Collection, error], error) {
			return api.Collections(ctx), nil
		},
		row: func(n client.Collection) []string {
			return []string{n.Name, string(n.Kind), string(n.Density), n.Department}
		},
	}.command(c)
}

func registrationCommand(c terminal) *cobra.Command {
	return group("registration", "List, cancel and retry bulk registrations", registrationList(c), registrationCancel(c), registrationRetry(c), registrationRekey(c))
}

func registrationRekey(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rekey", Short: "Read again what is kept under the previous secret key",
		Long: `After "rotate": read again, from the archive and from configured sources, every document that is kept under the previous secret key, and keep it under
the current one. What lies nowhere is skipped: it stays where it is, is found as before, and has to be registered again by whoever has it.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			r := &registration{terminal: c, api: api, kind: "rekey", report: newReport(c, asJSON)}
			err = r.bucket(cmd.Context(), "")
			return errors.Join(err, r.report.finish(err == nil))
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON line per version of a document and a last line with the summary")
	return cmd
}

func registrationRetry(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "retry SOURCE", Short: "Try again what made no document of a configured source",
		Long: `Try again the objects of a configured source, its name or s3://BUCKET/PREFIX, that could not be fetched or read before ("coverage gaps" lists
them), without listing all the others. What has been removed meanwhile is forgotten.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			r := &registration{terminal: c, api: api, kind: "gaps", report: newReport(c, asJSON)}
			err = r.bucket(cmd.Context(), args[0])
			return errors.Join(err, r.report.finish(err == nil))
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON line per file and a last line with the summary")
	return cmd
}

func registrationList(c terminal) *cobra.Command {
	return listing[client.Registration]{
		use: "list", short: "List bulk registrations, newest first", arguments: cobra.NoArgs,
		columns: []string{"ID", "KIND", "STATE", "LISTED", "REGISTERED", "UNCHANGED", "FAILED", "SOURCE", "PREFIX", "ERROR"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Registration, error], error) {
			return api.Registrations(ctx), nil
		},
		row: func(j client.Registration) []string {
			o := j.Outcomes
			return []string{
				j.ID, string(j.Kind), string(j.State), strconv.Itoa(j.Listed), strconv.Itoa(o.Registered + o.Updated + o.Duplicate), strconv.Itoa(o.Unchanged),
				strconv.Itoa(o.Failed + o.Skipped), j.Source, j.Prefix, j.Error,
			}
		},
	}.command(c)
}

func registrationCancel(c terminal) *cobra.Command {
	return action[*client.Registration]{
		use: "cancel ID", short: "Stop a bulk registration; what is registered stays", arguments: cobra.ExactArgs(1),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Registration, error) {
			return api.CancelRegistration(ctx, args[0])
		},
		say: func(j *client.Registration) string { return j.ID + " is " + string(j.State) },
	}.command(c)
}
