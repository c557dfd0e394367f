package main

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

func coverageCommand(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "coverage", Short: "Tell what is protected and what is not, and why",
		Long: `Tell, by department and status, how many documents are registered and how many files made none. A document that is "ok" is protected as a
whole; one that is "partial" where it could be read; "encrypted" and "no_text" only by the looks of its pages, if these are known. While the secret key is
being changed, PREVIOUS KEY counts documents that are kept under the previous one, for now or in part: they are protected as the others are.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			covered, err := api.Coverage(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(covered)
			}
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "DEPARTMENT\tSTATUS\tDOCUMENTS\tPAGES\tUNKNOWN BY LOOK\tSOURCE GONE\tNO DOCUMENT\tPREVIOUS KEY")
			for _, i := range covered.Items {
				fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", i.Department, i.Status, i.Documents, i.Pages, i.Undrawn, i.Gone, i.Gaps, i.PreviousKey)
			}
			return table.Flush()
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	cmd.AddCommand(gapsCommand(c))
	return cmd
}

func gapsCommand(c terminal) *cobra.Command {
	var filter client.GapFilter
	var status string
	return listing[client.Gap]{
		use: "gaps", short: "List files that made no document, and why", arguments: cobra.NoArgs,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&filter.Department, "department", "", "only those of a department and what is below it")
			f.StringVar(&filter.Source, "source", "", "only those whose source begins with this")
			f.StringVar(&status, "status", "", "only those with this status")
		},
		columns: []string{"SOURCE", "DEPARTMENT", "STATUS", "TRIES", "SINCE", "REASON"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.Gap, error], error) {
			filter.Status = client.Status(status)
			return api.Gaps(ctx, filter), nil
		},
		row: func(g client.Gap) []string {
			return []string{g.Source, g.Department, string(g.Status), strconv.Itoa(g.Tries), when(g.Since), g.Reason}
		},
	}.command(c)
}

// estimated is what registering a source would take.
type estimated struct {
	Source    string          `json:"source"`
	Files     int             `json:"files"`     // of them there are
	Unchanged int             `json:"unchanged"` // and so many are registered
	Estimate  client.Estimate `json:"estimate"`
}

// estimate tells what registering sources would take. Of a bucket the server knows what has
// changed; of a folder all is counted, since only its content tells.
func estimate(ctx context.Context, c terminal, api *client.Client, sources []string, asJSON bool) error {
	for _, source := range sources {
		var e estimated
		var err error
		if strings.HasPrefix(source, "s3://") {
			e, err = estimateBucket(ctx, api, source)
		} else {
			e, err = estimateFiles(ctx, api, source)
		}
		if err != nil {
			return fmt.Errorf("estimate %s: %w", source, err)
		}
		if asJSON {
			if err := c.printJSON(e); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(c.out, "%s: %d files, %d of them registered; %d to fetch, %s; about %s of index, about %s\n", source, e.Files, e.Unchanged, e.Estimate.Objects,
			humanize.Bytes(uint64(e.Estimate.Bytes)), humanize.Bytes(uint64(e.Estimate.IndexBytes)), (time.Duration(e.Estimate.Seconds) * time.Second).String())
	}
	return nil
}

func estimateBucket(ctx context.Context, api *client.Client, uri string) (estimated, error) {
	job, err := follow(ctx, api, client.StartRegistrationJSONRequestBody{Source: uri, Kind: "estimate"},
		func(client.RegistrationItem) error { return nil }, func(client.Registration) {})
	if err != nil {
		return estimated{}, err
	}
	return estimated{Source: uri, Files: job.Listed, Unchanged: job.Outcomes.Unchanged, Estimate: job.Estimate}, nil
}

func estimateFiles(ctx context.Context, api *client.Client, given string) (estimated, error) {
	if _, err := os.Stat(given); err != nil {
		return estimated{}, usageError{fmt.Errorf("source: %w", err)}
	}
	e := estimated{Source: given}
	walk(given, func(path string, err error) bool {
		var info fs.FileInfo
		if err == nil {
			info, err = os.Stat(path)
		}
		e.Files++
		if err == nil && info.Mode().IsRegular() {
			e.Estimate.Objects++
			e.Estimate.Bytes += info.Size()
		}
		return ctx.Err() == nil
	})
	covered, err := api.Coverage(ctx)
	if err != nil {
		return estimated{}, err
	}
	n := float64(e.Estimate.Objects)
	e.Estimate.IndexBytes, e.Estimate.Seconds = int64(n*covered.Usual.IndexBytes), n*covered.Usual.Seconds
	return e, nil
}
