package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sealprint/sealprint/api/client"
)

const defaultURL = "http://127.0.0.1:8080"

// connection are the flags of commands that talk to the server.
type connection struct{ keyFile string }

func (c *connection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.keyFile, "key-file", "", "file that holds the API key (or set SEALPRINT_API_KEY)")
}

// client connects as the flags and the environment say.
func (c *connection) client() (*client.Client, error) {
	server := os.Getenv("SEALPRINT_URL")
	if server == "" {
		server = defaultURL
	}
	key := os.Getenv("SEALPRINT_API_KEY")
	if c.keyFile != "" {
		content, err := os.ReadFile(c.keyFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("read API key: %w", err)}
		}
		key = string(content)
	}
	key = strings.TrimSpace(key)
	if key == "" {
		return nil, fmt.Errorf("%w: set SEALPRINT_API_KEY or --key-file", client.ErrUnauthenticated)
	}
	api, err := client.New(server, key)
	if err != nil {
		return nil, usageError{err}
	}
	return api, nil
}

// printJSON writes a value as one line.
func (c terminal) printJSON(v any) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isCobraUsage recognizes the errors that cobra itself makes of a command line.
func isCobraUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "required flag", "invalid argument", "if any flags in the group"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
