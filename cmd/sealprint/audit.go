package main

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/storage/audit"
)

// auditFolder is where the audit log lies in the data folder.
const auditFolder = "audit"

func auditCommand(c terminal) *cobra.Command {
	return group("audit", "Read and verify the audit log", auditList(c), auditVerify(c))
}

func auditList(c terminal) *cobra.Command {
	var principal, action, target, from, until string
	return listing[client.AuditRecord]{
		use: "list", short: "List what was done, oldest first", arguments: cobra.NoArgs,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&principal, "principal", "", "only what was done with this key, or by this person (oidc:SUBJECT)")
			f.StringVar(&action, "action", "", "only this action, such as match")
			f.StringVar(&target, "target", "", "only what concerns this document, alert or key")
			f.StringVar(&from, "from", "", "a date-time, a date or a duration, such as -24h")
			f.StringVar(&until, "until", "", "a date-time, a date or a duration")
		},
		columns: []string{"SEQUENCE", "AT", "PRINCIPAL", "ACTION", "OUTCOME", "TARGETS", "PURPOSE"},
		items: func(ctx context.Context, api *client.Client, _ []string) (iter.Seq2[client.AuditRecord, error], error) {
			query := url.Values{}
			for name, value := range map[string]string{"principal": principal, "action": action, "target": target} {
				if value != "" {
					query.Set(name, value)
				}
			}
			for name, value := range map[string]string{"from": from, "until": until} {
				t, err := moment(name, value)
				if err != nil {
					return nil, err
				}
				if !t.IsZero() {
					query.Set(name, when(t))
				}
			}
			return api.Audit(ctx, query), nil
		},
		row: func(r client.AuditRecord) []string {
			return []string{strconv.FormatInt(r.Sequence, 10), when(r.At), r.Principal, r.Action, r.Outcome, strings.Join(r.Targets, ","), r.Purpose}
		},
	}.command(c)
}

func auditVerify(c terminal) *cobra.Command {
	var conn connection
	var dir, anchor string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that no record was changed, left out, reordered or cut off",
		Long: `Verify that no record of the audit log was changed, left out, reordered or cut
off: on the server, or with --data in a data folder, with or without a server
running. It prints the signed head of the log. Who keeps that line elsewhere can
find out with --anchor, later, whether the whole log was set back. Exit code 3 if
something is wrong.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if anchor != "" && dir == "" {
				return usageError{fmt.Errorf("--anchor needs --data")}
			}
			if dir == "" {
				api, err := conn.client()
				if err != nil {
					return err
				}
				report, err := api.VerifyAudit(cmd.Context())
				if err != nil {
					return err
				}
				return c.verified(report.Records, report.Checkpoint, report.Problems)
			}
			key, err := secretKey(dir, false)
			if err != nil {
				return err
			}
			var anchors []audit.Checkpoint
			if anchor != "" {
				content, err := os.ReadFile(anchor)
				if err != nil {
					return usageError{fmt.Errorf("read anchor: %w", err)}
				}
				for line := range strings.Lines(string(content)) {
					if strings.TrimSpace(line) == "" {
						continue
					}
					a, err := audit.ParseAnchor(line, key)
					if err != nil {
						return fmt.Errorf("anchor %s: %w", anchor, err)
					}
					anchors = append(anchors, a)
				}
			}
			report, err := audit.Verify(filepath.Join(dir, auditFolder), key, anchors...)
			if err != nil {
				return err
			}
			var problems []string
			for _, p := range report.Problems {
				problems = append(problems, p.String())
			}
			return c.verified(report.Records, report.Head.String(), problems)
		},
	}
	conn.flags(cmd)
	cmd.Flags().StringVar(&dir, "data", "", "verify in this data folder instead of asking the server")
	cmd.Flags().StringVar(&anchor, "anchor", "", "file with heads that were printed before, a line each")
	return cmd
}

// verified tells what a verification found.
func (c terminal) verified(records int64, head string, problems []string) error {
	for _, p := range problems {
		fmt.Fprintln(c.err, p)
	}
	fmt.Fprintln(c.out, head)
	if len(problems) > 0 {
		fmt.Fprintf(c.err, "%d records, and the log is not as it was written\n", records)
		return exitError(exitFailed)
	}
	fmt.Fprintf(c.err, "%d records, all as they were written\n", records)
	return nil
}
