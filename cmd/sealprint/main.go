// Command sealprint registers official documents as keyed fingerprints and
// answers whether a text shows one of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/ingest/extract"
)

// version is set when the program is built.
var version = "dev"

func main() {
	// A reader process is limited before anything else happens in it.
	if code, is := extract.Child(os.Args); is {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitOK          = 0
	exitMatch       = 1 // with match --exit-code
	exitUsage       = 2
	exitFailed      = 3 // some items failed
	exitNotAllowed  = 4
	exitUnavailable = 5
	exitInterrupted = 130
)

// exitError ends the program with a code; its message, if any, has been told.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// terminal is what a command reads and writes: results on out, all else on err.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	c := terminal{in, out, errOut}
	root := rootCommand(c)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return c.exitCode(ctx, root.ExecuteContext(ctx))
}

// rootCommand is the tree of commands.
func rootCommand(c terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "sealprint",
		Short: "Does this text show a registered document?",
		Long: `sealprint registers official documents as keyed fingerprints and tells whether a
text shows one of them, which, and where.

  sealprint serve --data ./data                     start the server
  sealprint register ./memos --department finance   register a folder
  sealprint match post.txt                          look a text up

All commands but serve, extract and evidence verify talk to the server at
SEALPRINT_URL (default http://127.0.0.1:8080) with the API key in
SEALPRINT_API_KEY or --key-file.

Exit codes: 0 ok; 1 an unauthorized match (match --exit-code); 2 usage; 3 some
items failed; 4 not allowed; 5 unavailable; 130 interrupted.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(c), registerCommand(c), fingerprintCommand(c), matchCommand(c), documentCommand(c), alertCommand(c), webhookCommand(c), keyCommand(c),
		collectionCommand(c), registrationCommand(c), coverageCommand(c), auditCommand(c), evidenceCommand(c), indexCommand(c), extractCommand(c), backupCommand(c), restoreCommand(c), rotateCommand(c))
	return root
}

// exitCode tells an error and finds the code for its kind.
func (c terminal) exitCode(ctx context.Context, err error) int {
	var code exitError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		return exitInterrupted
	}
	fmt.Fprintln(c.err, "sealprint:", err)
	switch {
	case errors.Is(err, client.ErrUnauthenticated), errors.Is(err, client.ErrForbidden):
		return exitNotAllowed
	case errors.Is(err, client.ErrUnavailable):
		return exitUnavailable
	case errors.As(err, &usage), errors.Is(err, client.ErrInvalid):
		return exitUsage
	case isCobraUsage(err):
		return exitUsage
	}
	return exitFailed
}

// arguments checks the number of arguments as a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// group is a command that only has commands below it.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error {
		_ = cmd.Help() // nothing can be done about a closed output
		return exitError(exitUsage)
	}}
	cmd.AddCommand(children...)
	return cmd
}
