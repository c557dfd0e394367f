package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/storage/index"
)

func indexCommand(c terminal) *cobra.Command {
	return group("index", "Look at the index, verify it, merge it", indexStats(c), indexCheck(c), indexDump(c), indexMerge(c))
}

func indexStats(c terminal) *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what is registered and what it takes",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return at.do(cmd.Context(), c,
				func(d *data) error { return c.localStats(cmd.Context(), d, asJSON) },
				func(server *client.Client) error {
					answer, err := server.IndexStats(cmd.Context())
					if err != nil {
						return err
					}
					return c.stats(api.IndexStats(*answer), asJSON)
				})
		},
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func indexMerge(c terminal) *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Make one segment of the index, without what was deleted",
		Long: `Make one segment of the index, without what was deleted. Look-ups are fastest then. A server merges by itself as it goes; this is for after a
bulk registration or a deletion. It needs room for a second copy of the index.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return at.do(cmd.Context(), c,
				func(d *data) error {
					if err := d.Merge(cmd.Context()); err != nil {
						return err
					}
					return c.localStats(cmd.Context(), d, asJSON)
				},
				func(server *client.Client) error {
					answer, err := server.MergeIndex(cmd.Context())
					if err != nil {
						return err
					}
					return c.stats(api.IndexStats(*answer), asJSON)
				})
		},
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the figures afterwards as JSON")
	return cmd
}

func (c terminal) localStats(ctx context.Context, d *data, asJSON bool) error {
	ofIndex, err := d.texts().Stats(ctx)
	if err != nil {
		return err
	}
	ofPages, err := d.layouts().Stats(ctx)
	if err != nil {
		return err
	}
	ofRegistry, err := d.registry.Stats(ctx)
	if err != nil {
		return err
	}
	return c.stats(api.Stats(ofIndex, ofPages, ofRegistry), asJSON)
}

func (c terminal) stats(stats api.IndexStats, asJSON bool) error {
	if asJSON {
		return c.printJSON(stats)
	}
	return c.table([]row{
		{"documents", stats.Documents}, {"pages", stats.Pages}, {"fingerprints", stats.Postings}, {"bytes", stats.Bytes},
		{"bytes per fingerprint", fmt.Sprintf("%.2f", stats.BytesPerPosting)}, {"bytes of text", stats.TextBytes},
		{"guaranteed run in characters", stats.GuaranteeCharacters}, {"segments", stats.Segments}, {"version", stats.Version},
		{"looks of pages and pictures", stats.Drawings}, {"versions to be drawn", stats.Pending}, {"fingerprints of looks", stats.PagePostings}, {"bytes of their index", stats.PageBytes},
	})
}

type row struct {
	name  string
	value any
}

func (c terminal) table(rows []row) error {
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t  %v\t\n", r.name, r.value)
	}
	return table.Flush()
}

func indexCheck(c terminal) *cobra.Command {
	var conn connection
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read the whole index and verify it; exits with 3 if it is damaged",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := checkAt(cmd.Context(), conn, dir)
			if err != nil {
				return err
			}
			if asJSON {
				err = c.printJSON(report)
			} else {
				err = c.report(report)
			}
			if err == nil && len(report.Damage) > 0 {
				err = exitError(exitFailed)
			}
			return err
		},
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&dir, "data", "", "read this data folder, which a server may be using, instead of asking the server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkAt needs no secret key where it reads a folder.
func checkAt(ctx context.Context, conn connection, dir string) (api.IndexReport, error) {
	if dir != "" {
		return checkFolder(ctx, dir)
	}
	server, err := conn.client()
	if err != nil {
		return api.IndexReport{}, err
	}
	report, err := server.CheckIndex(ctx)
	return api.IndexReport(*report), err
}

func (c terminal) report(r api.IndexReport) error {
	fmt.Fprintf(c.out, "%d segments, %d documents, %d fingerprints, %d logs with %d changes, %d bytes read\n",
		r.Segments, r.Documents, r.Postings, r.Logs, r.Changes, r.Bytes)
	if r.TornBytes > 0 {
		fmt.Fprintf(c.out, "%d bytes at the end of a log are not whole: a write under way, or one that a crash has cut short\n", r.TornBytes)
	}
	for _, damage := range r.Damage {
		fmt.Fprintln(c.err, damage)
	}
	if len(r.Damage) == 0 {
		fmt.Fprintln(c.out, "no damage")
	}
	return nil
}

func indexDump(c terminal) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Show what stands in the files of the index, and where its bytes go",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			contents, err := index.Dump(filepath.Join(dir, "index"))
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(contents)
			}
			return c.dump(contents)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "./data", "data folder, which a server may be using")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c terminal) dump(contents *index.Contents) error {
	if err := c.table([]row{{"index", contents.Identity}, {"format", contents.Format}, {"key", contents.Params.KeyID}, {"deleted", contents.Deleted}}); err != nil {
		return err
	}
	for _, s := range contents.Segments {
		fmt.Fprintf(c.out, "\n%s\n", s.File)
		rows := []row{{"documents", s.Documents}, {"fingerprints", s.Postings}, {"bytes", s.Bytes}}
		if s.Damage != "" {
			rows = append(rows, row{"damage", s.Damage})
		} else {
			rows = append(rows, row{"distinct", s.Rows}, row{"lists", s.Lists}, row{"frames", s.Frames}, row{"bits of a row", s.RowBits})
		}
		for _, section := range s.Sections {
			rows = append(rows, row{section.Name, fmt.Sprintf("%d bytes, %.3f per fingerprint", section.Bytes, section.BytesPerPosting)})
		}
		if err := c.table(rows); err != nil {
			return err
		}
	}
	for _, l := range contents.Logs {
		fmt.Fprintf(c.out, "\n%s\n", l.File)
		rows := []row{{"registrations", l.Appends}, {"deletions", l.Deletes}, {"fingerprints", l.Postings}, {"bytes", l.Bytes}}
		if l.Damage != "" {
			rows = append(rows, row{"damage", l.Damage})
		}
		if err := c.table(rows); err != nil {
			return err
		}
	}
	return nil
}

// logEvents tells what the index does in the background.
func logEvents(log *slog.Logger) func(index.Event) {
	return func(e index.Event) {
		if e.Err != nil {
			log.Error("index", "event", e.Kind, "file", e.File, "error", e.Err)
			return
		}
		log.Info("index", "event", e.Kind, "file", e.File, "postings", e.Postings, "bytes", e.Bytes, "duration_ms", e.Took.Milliseconds())
	}
}
