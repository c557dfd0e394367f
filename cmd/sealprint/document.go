package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func documentCommand(c terminal) *cobra.Command {
	return group("document", "List, show, release, withdraw and delete documents", documentList(c), documentShow(c), documentRelease(c), documentReleases(c),
		documentRevoke(c), documentWithdraw(c), documentDelete(c))
}

func documentList(c terminal) *cobra.Command {
	var conn connection
	var department, collection, source, status, search string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List documents in the order of their registration",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			query := url.Values{"limit": {"1000"}}
			for name, value := range map[string]string{"department": department, "collection": collection, "source": source, "status": status, "q": search} {
				if value != "" {
					query.Set(name, value)
				}
			}
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			if !asJSON {
				fmt.Fprintln(table, "ID\tSTATUS\tPAGES\tCHARACTERS\tDEPARTMENT\tSOURCE")
			}
			for {
				list, err := api.Documents(cmd.Context(), query)
				if err != nil {
					return err
				}
				for _, d := range list.Items {
					if asJSON {
						if err := c.printJSON(d); err != nil {
							return err
						}
						continue
					}
					fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\n", d.ID, d.Status, d.Pages, d.Characters, d.Department, d.Source)
				}
				if list.NextCursor == "" {
					return table.Flush()
				}
				query.Set("cursor", list.NextCursor)
			}
		},
	}
	conn.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&department, "department", "", "only this department and those below it")
	f.StringVar(&collection, "collection", "", "only this collection")
	f.StringVar(&source, "source", "", "only the document from this source")
	f.StringVar(&status, "status", "", "only documents with this status")
	f.StringVar(&search, "search", "", "only documents with these words in title or source")
	f.BoolVar(&asJSON, "json", false, "print a JSON line per document")
	return cmd
}

func documentShow(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	var page int
	var picture string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a document, or the text or picture of a page, read again from its source",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			if picture != "" {
				if page == 0 {
					return usageError{errors.New("--picture: of which page? say --page")}
				}
				content, err := api.PagePicture(cmd.Context(), args[0], page, 0)
				if err != nil {
					return err
				}
				if err := os.WriteFile(picture, content, 0o600); err != nil {
					return fmt.Errorf("write picture: %w", err)
				}
				return nil
			}
			if page > 0 {
				text, err := api.Page(cmd.Context(), args[0], page, 0)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(text)
				}
				_, err = fmt.Fprintln(c.out, text.Text)
				return err
			}
			d, err := api.Document(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(d)
			}
			return c.printDocument(d)
		},
	}
	conn.flags(cmd)
	cmd.Flags().IntVar(&page, "page", 0, "print the text of this page")
	cmd.Flags().StringVar(&picture, "picture", "", "write what the page looks like to this file, as PNG")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	return cmd
}

func (c terminal) printDocument(d *client.DocumentDetail) error {
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	row("id", d.ID)
	row("title", d.Title)
	row("department", d.Department)
	row("classification", d.Classification)
	row("collection", d.Collection)
	for _, s := range d.Sources {
		row("source", s)
	}
	for _, v := range d.Versions {
		row("version "+strconv.Itoa(v.Number), fmt.Sprintf("%s, %d bytes, %d pages, %d characters, %s %s", v.MediaType, v.Size, len(v.Pages), v.Characters, v.Status, v.Reason))
		for _, p := range v.Pages {
			if p.Reason != "" {
				row("", fmt.Sprintf("page %d: %s", p.Number, p.Reason))
			}
		}
	}
	return table.Flush()
}

func documentDelete(c terminal) *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:   "delete ID...",
		Short: "Forget documents, with all their versions and fingerprints",
		Args:  arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := api.DeleteDocument(cmd.Context(), id); err != nil {
					return fmt.Errorf("delete %s: %w", id, err)
				}
				fmt.Fprintln(c.out, id, "deleted")
			}
			return nil
		},
	}
	conn.flags(cmd)
	return cmd
}

func documentRelease(c terminal) *cobra.Command {
	var from, until, authority, instrument, pages string
	return action[*client.Release]{
		use: "release ID --authority NAME", short: "Release a document, or some of its pages, for a time", arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&from, "from", "", "from when on: a date-time, a date or a duration from now; from ever unless given")
			f.StringVar(&until, "until", "", "until when; for ever unless given")
			f.StringVar(&authority, "authority", "", "who released it")
			f.StringVar(&instrument, "instrument", "", "in which paper")
			f.StringVar(&pages, "pages", "", "only these pages, such as 1,3-5")
		},
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Release, error) {
			r := client.ReleaseRequest{Authority: authority, Instrument: instrument}
			var err error
			if r.From, err = moment("from", from); err != nil {
				return nil, err
			}
			if r.Until, err = moment("until", until); err != nil {
				return nil, err
			}
			if pages != "" {
				for _, p := range strings.Split(pages, ",") {
					r.Pages = append(r.Pages, strings.TrimSpace(p))
				}
			}
			return api.Release(ctx, args[0], r)
		},
		say: func(r *client.Release) string { return r.ID },
	}.command(c)
}

func documentReleases(c terminal) *cobra.Command {
	return listing[client.Release]{
		use: "releases ID", short: "List the releases of a document", arguments: cobra.ExactArgs(1),
		columns: []string{"ID", "KIND", "FROM", "UNTIL", "PAGES", "AUTHORITY", "REVOKED"},
		items: func(ctx context.Context, api *client.Client, args []string) (iter.Seq2[client.Release, error], error) {
			return api.Releases(ctx, args[0]), nil
		},
		row: func(r client.Release) []string {
			covered := "all"
			switch {
			case len(r.Pages) > 0:
				covered = strings.Trim(fmt.Sprint(r.Pages), "[]")
			case len(r.Passages) > 0:
				covered = fmt.Sprintf("%d passages", len(r.Passages))
			}
			return []string{r.ID, string(r.Kind), when(r.From), when(r.Until), covered, r.Authority, when(r.RevokedAt)}
		},
	}.command(c)
}

func documentRevoke(c terminal) *cobra.Command {
	return action[*client.Release]{
		use: "revoke ID RELEASE", short: "Revoke a release", arguments: cobra.ExactArgs(2),
		do: func(ctx context.Context, api *client.Client, args []string) (*client.Release, error) {
			return api.RevokeRelease(ctx, args[0], args[1])
		},
		say: func(r *client.Release) string { return r.ID + " revoked" },
	}.command(c)
}

func documentWithdraw(c terminal) *cobra.Command {
	var reason string
	return action[*client.DocumentDetail]{
		use: "withdraw ID --reason TEXT", short: "End the registration of a document, which stays on record", arguments: cobra.ExactArgs(1),
		flags: func(f *pflag.FlagSet) { f.StringVar(&reason, "reason", "", "why") },
		do: func(ctx context.Context, api *client.Client, args []string) (*client.DocumentDetail, error) {
			return api.Withdraw(ctx, args[0], reason)
		},
		say: func(d *client.DocumentDetail) string { return d.ID + " withdrawn" },
	}.command(c)
}
