package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/storage/index"
)

func indexCommand(c console) *cobra.Command {
	return group("index", "Look at the index", indexStats(c), indexCheck(c))
}

func indexStats(c console) *cobra.Command {
	var conn connection
	var asJSON bool
	var dir string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what is registered and what it takes",
		Long:  "Show what is registered and what it takes: of the server, or of a data folder that no server uses.",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Both ways lead to the same fields.
			var stats any
			var show api.IndexStats
			if dir != "" {
				d, err := openData(cmd.Context(), dir, false, slog.New(slog.NewTextHandler(c.err, nil)))
				if err != nil {
					return err
				}
				defer d.Close()
				ofIndex, err := d.index.Stats(cmd.Context())
				if err != nil {
					return err
				}
				ofRegistry, err := d.registry.Stats(cmd.Context())
				if err != nil {
					return err
				}
				show = api.Stats(ofIndex, ofRegistry)
				stats = show
			} else {
				server, err := conn.client()
				if err != nil {
					return err
				}
				answer, err := server.IndexStats(cmd.Context())
				if err != nil {
					return err
				}
				show, stats = api.IndexStats(*answer), answer
			}
			if asJSON {
				return c.printJSON(stats)
			}
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
			for _, row := range []struct {
				name  string
				value any
			}{
				{"documents", show.Documents}, {"pages", show.Pages}, {"fingerprints", show.Postings}, {"bytes", show.Bytes},
				{"bytes per fingerprint", fmt.Sprintf("%.2f", show.BytesPerPosting)}, {"bytes of text", show.TextBytes},
				{"guaranteed run in characters", show.GuaranteeCharacters}, {"segments", show.Segments}, {"version", show.Version},
			} {
				fmt.Fprintf(table, "%s\t  %v\t\n", row.name, row.value)
			}
			return table.Flush()
		},
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&dir, "data", "", "look into this data folder instead of asking the server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func indexCheck(c console) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read the whole index and verify it; exits with 3 if it is damaged",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := index.Check(cmd.Context(), filepath.Join(dir, "index"))
			if err != nil {
				return err
			}
			fmt.Fprintf(c.out, "%d segments, %d documents, %d fingerprints, %d logs with %d changes, %d bytes read\n",
				report.Segments, report.Documents, report.Postings, report.Logs, report.Changes, report.Bytes)
			if report.Torn > 0 {
				fmt.Fprintf(c.out, "%d bytes at the end of the log are not whole: a write under way, or one that a crash has cut short\n", report.Torn)
			}
			for _, damage := range report.Damage {
				fmt.Fprintln(c.err, damage)
			}
			if len(report.Damage) > 0 {
				return exitError(exitFailed)
			}
			fmt.Fprintln(c.out, "no damage")
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data", "./data", "data folder")
	return cmd
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
