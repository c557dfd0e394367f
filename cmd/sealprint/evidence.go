package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api"
	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/api/evidence"
)

// maxEvidence bounds what is read of a report: more than any holds.
const maxEvidence = 256 << 20

func evidenceCommand(c terminal) *cobra.Command {
	return group("evidence", "Make and verify signed reports", evidenceCreate(c), evidenceVerify(c), evidenceKey(c))
}

func evidenceCreate(c terminal) *cobra.Command {
	var conn connection
	var options client.EvidenceOptions
	var text, seenAt, to string
	cmd := &cobra.Command{
		Use:   "create [FILE|-] -o OUT",
		Short: "Look a text or a file up, and write a signed report of it",
		Long: `Look a text or a file up, and write a signed report of it: one file that holds the
answer, what was submitted, and what stands around the passages in the registered
documents. OUT ends in .html, to be read, or .json, for programs. It holds text of
documents: hand it on as you would hand on these.`,
		Example: `  sealprint evidence create post.txt -o report.html --purpose "complaint 7"
  sealprint evidence verify report.html`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == cmd.Flags().Changed("text") {
				return usageError{errors.New("give either a file, - for the standard input, or --text")}
			}
			switch filepath.Ext(to) {
			case ".html", ".json":
				options.Format = client.CreateEvidenceParamsFormat(filepath.Ext(to)[1:])
			default:
				return usageError{errors.New("--output: need a name that ends in .html or .json")}
			}
			var err error
			if options.SeenAt, err = moment("seen-at", seenAt); err != nil {
				return err
			}
			api, err := conn.client()
			if err != nil {
				return err
			}
			file, err := askEvidence(cmd.Context(), c, api, args, text, options)
			if err != nil {
				return err
			}
			report, signature, err := evidence.Verify(file)
			if err != nil {
				return fmt.Errorf("the report that the server made: %w", err)
			}
			if err := os.WriteFile(to, file, 0o600); err != nil {
				return fmt.Errorf("write report: %w", err)
			}
			return c.printEvidence(report, signature)
		},
	}
	conn.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&to, "output", "o", "", "the file to write, a name that ends in .html or .json")
	f.StringVar(&text, "text", "", "the text itself")
	f.StringVar(&seenAt, "seen-at", "", "when the post was seen (default: now)")
	f.StringVar(&options.Document, "document", "", "report what was found of this document only")
	f.StringVar(&options.Purpose, "purpose", "", "what the report is for; the audit log keeps it")
	return cmd
}

func askEvidence(ctx context.Context, c terminal, api *client.Client, args []string, text string, o client.EvidenceOptions) ([]byte, error) {
	if len(args) == 0 {
		return api.Evidence(ctx, text, o)
	}
	if args[0] == "-" {
		return api.EvidenceOfFile(ctx, "standard-input", c.in, o)
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	return api.EvidenceOfFile(ctx, filepath.Base(args[0]), f, o)
}

func evidenceVerify(c terminal) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify that a report is as it was signed",
		Long: `Verify that a report is, byte for byte, as it was signed, and print what it says.
Without a server, a data folder or a network.

A signature that fits the key in the report says that nothing was changed since
somebody signed it. Whether that was the deployment tells --public-key, with the
key that the deployment publishes (sealprint evidence key): from elsewhere, not
from the report. Exit code 3 if the report was changed, or is another's.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			var published ed25519.PublicKey
			if key != "" {
				var err error
				if published, err = publicKey(key); err != nil {
					return usageError{fmt.Errorf("--public-key: %w", err)}
				}
			}
			file, err := c.readEvidence(args[0])
			if err != nil {
				return err
			}
			report, signature, err := evidence.Verify(file)
			if err == nil && published != nil && !signature.PublicKey.Equal(published) {
				err = fmt.Errorf("signed with another key, %x", signature.PublicKey)
			}
			if err != nil {
				fmt.Fprintf(c.err, "%s does not verify: %v\n", args[0], err)
				return exitError(exitFailed)
			}
			if err := c.printEvidence(report, signature); err != nil {
				return err
			}
			if published == nil {
				fmt.Fprintln(c.err, "Every byte is as it was signed with this public key. Whose key that is, this file cannot tell:\n"+
					"compare it with the one that the deployment publishes, or give that with --public-key.")
				return nil
			}
			fmt.Fprintln(c.err, "Every byte is as it was signed with the public key that was given.")
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "public-key", "", "the key that the deployment publishes, in hexadecimal, or a file with it")
	return cmd
}

// publicKey reads a key that is given as itself or as a file.
func publicKey(given string) (ed25519.PublicKey, error) {
	if key, err := evidence.ParsePublicKey(given); err == nil {
		return key, nil
	}
	content, err := os.ReadFile(given)
	if err != nil {
		return nil, errors.New("neither a key of 64 hexadecimal digits nor a file that can be read")
	}
	return evidence.ParsePublicKey(string(content))
}

func (c terminal) readEvidence(path string) ([]byte, error) {
	in := c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	file, err := io.ReadAll(io.LimitReader(in, maxEvidence+1))
	if err != nil {
		return nil, usageError{fmt.Errorf("read report: %w", err)}
	}
	if len(file) > maxEvidence {
		return nil, fmt.Errorf("%s: over %d MB, which no report has", path, maxEvidence>>20)
	}
	return file, nil
}

// printEvidence tells what a report says that was verified.
func (c terminal) printEvidence(r *evidence.Report, s *evidence.Signature) error {
	found, err := r.Findings()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	verdict, meaning := found.VerdictInWords()
	fmt.Fprintf(&b, "%s. %s\n", printable(verdict), meaning)
	for _, m := range found.Matches {
		fmt.Fprintf(&b, "  %s  %s (version %d): %s, passages: %d\n", printable(m.Document.ID), printable(cmp.Or(m.Document.Title, "without a title")), m.Document.Version,
			strings.ToLower(printable(m.DispositionInWords())), len(m.Passages))
	}
	by := r.MadeBy.ID
	if r.MadeBy.Label != "" {
		by += " (" + r.MadeBy.Label + ")"
	}
	fmt.Fprintf(&b, "made at     %s by %s\n", r.MadeAt.UTC().Format(time.RFC3339), printable(by))
	if r.Purpose != "" {
		fmt.Fprintf(&b, "purpose     %s\n", printable(r.Purpose))
	}
	fmt.Fprintf(&b, "submitted   %s of %d bytes, SHA-256 %s\n", printable(r.Suspect.Kind), r.Suspect.Size, printable(r.Suspect.SHA256))
	fmt.Fprintf(&b, "public key  %x\n", s.PublicKey)
	_, err = c.out.Write(b.Bytes())
	return err
}

// printable is a text of somebody's that does nothing to a terminal, nor to the order of what
// stands beside it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		const joins, joinsNot = '\u200D', '\u200C' // Urdu is written with these
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != joins && r != joinsNot {
			return '\uFFFD'
		}
		return r
	}, s)
}

func evidenceKey(c terminal) *cobra.Command {
	var conn connection
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key that reports verify with",
		Long: `Print the public key that reports verify with: that of the server, or with --data
of a data folder, with or without a server running. Publish it where readers of
reports find it, and keep it there: it changes with the secret key.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var key any
			var public string
			if dir != "" {
				secret, err := secretKey(dir, false)
				if err != nil {
					return err
				}
				of := api.EvidenceKeyOf(secret)
				key, public = of, of.PublicKey
			} else {
				api, err := conn.client()
				if err != nil {
					return err
				}
				of, err := api.EvidenceKey(cmd.Context())
				if err != nil {
					return err
				}
				key, public = of, of.PublicKey
			}
			if asJSON {
				return c.printJSON(key)
			}
			_, err := fmt.Fprintln(c.out, public)
			return err
		},
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&dir, "data", "", "of this data folder instead of asking the server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the key with its algorithm and the id of the secret key")
	return cmd
}
