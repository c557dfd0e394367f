package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract"
)

// maxStdin bounds what is read of the standard input, as the server would.
const maxStdin = 200 << 20

func matchCommand(c terminal) *cobra.Command {
	var conn connection
	var options client.MatchOptions
	var text, seenAt, keyFile string
	var asJSON, exitCode bool
	cmd := &cobra.Command{
		Use:   "match [FILE|-]",
		Short: "Look a text or a file up",
		Example: `  sealprint match post.txt
  sealprint match --text "The committee was of the view that..."
  curl -s https://example.org/post | sealprint match - --exit-code`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == cmd.Flags().Changed("text") {
				return usageError{errors.New("give either a file, - for the standard input, or --text")}
			}
			if seenAt != "" {
				at, err := time.Parse(time.RFC3339, seenAt)
				if err != nil {
					return usageError{errors.New("--seen-at: need a time such as 2026-07-01T12:00:00Z")}
				}
				options.SeenAt = at
			}
			api, err := conn.client()
			if err != nil {
				return err
			}
			ask := lookUp
			if keyFile != "" {
				if ask, err = withoutText(keyFile); err != nil {
					return err
				}
			}
			answer, err := ask(cmd.Context(), c, api, args, text, options)
			if err != nil {
				return err
			}
			if asJSON {
				err = c.printJSON(answer)
			} else {
				err = c.printAnswer(answer)
			}
			if err == nil && exitCode && answer.Verdict == "unauthorized" {
				return exitError(exitMatch)
			}
			return err
		},
	}
	conn.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&text, "text", "", "the text itself")
	f.StringVar(&seenAt, "seen-at", "", "when the post was seen (default: now)")
	f.BoolVar(&options.Suppressed, "suppressed", false, "show the matches that are no alerts, too")
	f.BoolVar(&asJSON, "json", false, "print the server's answer")
	f.StringVar(&keyFile, "secret-key-file", "", "copy of the server's secret.key: send fingerprints that are made here instead of the text")
	f.BoolVar(&exitCode, "exit-code", false, "exit with 1 on an unauthorized match")
	return cmd
}

func lookUp(ctx context.Context, c terminal, api *client.Client, args []string, text string, options client.MatchOptions) (*client.MatchAnswer, error) {
	if len(args) == 0 {
		return api.Match(ctx, text, options)
	}
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		return api.MatchFile(ctx, filepath.Base(args[0]), f, options)
	}
	content, err := io.ReadAll(io.LimitReader(c.in, maxStdin+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(content) > maxStdin {
		return nil, usageError{fmt.Errorf("standard input: over %d MB", maxStdin>>20)}
	}
	if utf8.Valid(content) && len(content) < 1<<20 && !bytes.HasPrefix(content, []byte("%PDF")) {
		return api.Match(ctx, string(content), options)
	}
	return api.MatchFile(ctx, "standard-input", bytes.NewReader(content), options)
}

// withoutText looks texts up by fingerprints that are made here.
func withoutText(keyFile string) (func(context.Context, terminal, *client.Client, []string, string, client.MatchOptions) (*client.MatchAnswer, error), error) {
	key, err := keyOf(keyFile)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, c terminal, api *client.Client, args []string, text string, options client.MatchOptions) (*client.MatchAnswer, error) {
		if len(args) > 0 {
			if text, err = readHere(ctx, c, args[0]); err != nil {
				return nil, err
			}
		}
		normalized := fingerprint.Normalize(text)
		answer, err := api.MatchFingerprints(ctx, client.TextFingerprints{
			KeyID: key.ID(), Grams: fingerprint.AppendHashes(nil, fingerprint.Grams(key, normalized)),
		}, options)
		if err != nil {
			return nil, err
		}
		for _, m := range answer.Matches {
			for i, p := range m.Passages {
				if p.Query.Start == nil || p.Query.End == nil {
					continue
				}
				here := normalized.Source(fingerprint.Span{Start: *p.Query.Start, End: *p.Query.End})
				m.Passages[i].Query.Start, m.Passages[i].Query.End = &here.Start, &here.End
			}
		}
		return answer, nil
	}, nil
}

// readHere reads the text of a file, or of the standard input, without a server.
func readHere(ctx context.Context, c terminal, path string) (string, error) {
	var content io.Reader = c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", usageError{err}
		}
		defer f.Close()
		content = f
	}
	file, size, _, err := ingest.Spool(content, nil)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	defer file.Close()
	pool := extract.NewPool(extract.Options{Cache: extract.UserCache(), Workers: 1})
	defer pool.Close()
	reading, err := pool.Extract(ctx, file, size)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if reading.Reason != "" {
		fmt.Fprintf(c.err, "%s: %s: %s\n", path, reading.Status, reading.Reason)
	}
	var pages []string
	for _, p := range reading.Pages {
		pages = append(pages, p.Text)
	}
	return strings.Join(pages, "\n"), nil
}

// spot writes where a passage is: characters of a text, or a box in hundredths of a
// picture's width and height.
func spot(start, end *int, x, y, width, height *float64) string {
	if x == nil || y == nil || width == nil || height == nil {
		if start == nil || end == nil {
			return ""
		}
		return fmt.Sprintf("%d-%d", *start, *end)
	}
	return fmt.Sprintf("box %.0f,%.0f to %.0f,%.0f %%", 100**x, 100**y, 100*(*x+*width), 100*(*y+*height))
}

// printAnswer tells an answer to a person.
func (c terminal) printAnswer(a *client.MatchAnswer) error {
	var b strings.Builder
	fmt.Fprintln(&b, a.Verdict)
	if a.Reason != "" {
		fmt.Fprintf(&b, "  %s\n", a.Reason)
	}
	if a.Partial {
		fmt.Fprintf(&b, "  partial: %s did not answer\n", strings.Join(append(a.Missing, "part of what was asked")[:max(1, len(a.Missing))], ", "))
	}
	for _, m := range a.Matches {
		fmt.Fprintf(&b, "\n%s  %s (version %d)\n", m.Document.ID, m.Document.Title, m.Document.Version)
		fmt.Fprintf(&b, "  %s · %s · %s\n", m.Document.Source, m.Document.Department, m.Disposition)
		fmt.Fprintf(&b, "  %s; by chance %.2g such documents\n", m.Reason, m.ExpectedByChance)
		for _, p := range m.Passages {
			where := ""
			if p.Query.Page > 0 {
				where = fmt.Sprintf("page %d ", p.Query.Page)
			}
			q, d := p.Query, p.Document
			fmt.Fprintf(&b, "  %s%s  =  page %d %s  (%.0f %% alike)\n", where, spot(q.Start, q.End, q.X, q.Y, q.Width, q.Height),
				d.Page, spot(d.Start, d.End, d.X, d.Y, d.Width, d.Height), 100*p.Similarity)
		}
	}
	if len(a.Matches) == 0 && a.Verdict == "no_match" {
		fmt.Fprintf(&b, "  nothing beyond chance; any verbatim run of %d letters and digits would be listed with --suppressed\n", a.GuaranteeCharacters)
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}
