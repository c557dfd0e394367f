package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
)

func extractCommand(c terminal) *cobra.Command {
	var asJSON, text bool
	cmd := &cobra.Command{
		Use:   "extract FILE",
		Short: "Show what would be read of a file, page by page",
		Long: `Show what would be read of a file, page by page: by which reader, and why not.

It reads the file here, without a server, and with the programs that are
installed here. It is the answer to "why was this not found?".

For each page: how many letters and digits it has; what made the reader believe
its text (the share of characters of no script, of letters and digits, of words
that look like words, of the page that pictures cover, and how sure the
recognition was, of 100); and by which reader it was read.`,
		Example: "  sealprint extract scan.pdf\n  sealprint extract memo.docx --text\n  sealprint extract report.pdf --json",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			info, err := file.Stat()
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				return usageError{fmt.Errorf("%s is no file", args[0])}
			}
			pool := extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: processors})
			defer pool.Close()
			if _, missing := pool.OCR(); missing != "" {
				fmt.Fprintf(c.err, "Pages that are pictures are not recognized: %s\n", missing)
			}
			reading, err := pool.Extract(cmd.Context(), file, info.Size())
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(reading)
			}
			return c.printReading(reading, text)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print everything, the text included, in JSON")
	f.BoolVar(&text, "text", false, "print the text of each page below its line")
	return cmd
}

func (c terminal) printReading(r *ingest.Reading, text bool) error {
	fmt.Fprintf(c.out, "%s: %s", r.MediaType, r.Status)
	if r.Reason != "" {
		fmt.Fprintf(c.out, " (%s)", r.Reason)
	}
	fmt.Fprintln(c.out)
	if len(r.Pages) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	row := func(cells ...any) { fmt.Fprintf(table, strings.Repeat("%v\t", len(cells)-1)+"%v\n", cells...) }
	row("PAGE", "PART", "CHARACTERS", "GATE", "READER", "NOTE")
	for _, p := range r.Pages {
		row(p.Number, p.Part, fingerprint.Normalize(p.Text).Len(), gateLine(p.Gate), p.Reader, pageNote(p))
		if text {
			table.Flush()
			fmt.Fprintf(c.out, "%s\n\n", p.Text)
		}
	}
	return table.Flush()
}

func gateLine(g *ingest.Gate) string {
	if g == nil {
		return "-"
	}
	line := fmt.Sprintf("unknown %.2f, letters %.2f, words %.2f", g.Unknown, g.Letters, g.Words)
	if g.Picture > 0 {
		line += fmt.Sprintf(", picture %.2f", g.Picture)
	}
	if g.Confidence > 0 {
		line += fmt.Sprintf(", confidence %.0f", g.Confidence)
	}
	if g.Repaired != "" {
		line += ", order by " + g.Repaired
	}
	return line
}

func pageNote(p ingest.Page) string {
	if p.NeedsOCR {
		return "to be recognized (OCR)"
	}
	return p.Reason
}
