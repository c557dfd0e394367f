package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sealprint/sealprint/api/client"
)

// listing is a command that prints a list: a table, or a JSON line for each item.
type listing[T any] struct {
	use, short string
	arguments  cobra.PositionalArgs
	flags      func(*pflag.FlagSet) // of its own; may be nil
	columns    []string
	items      func(ctx context.Context, api *client.Client, args []string) (iter.Seq2[T, error], error)
	row        func(T) []string
}

func (l listing[T]) command(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: l.use, Short: l.short, Args: arguments(l.arguments),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			items, err := l.items(cmd.Context(), api, args)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			if !asJSON {
				fmt.Fprintln(table, strings.Join(l.columns, "\t"))
			}
			for item, err := range items {
				if err != nil {
					return err
				}
				if asJSON {
					if err := c.printJSON(item); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintln(table, strings.Join(l.row(item), "\t"))
			}
			return table.Flush()
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON line for each")
	if l.flags != nil {
		l.flags(cmd.Flags())
	}
	return cmd
}

// action is a command that asks the server for one thing and prints the answer: a line for
// people, or JSON.
type action[T any] struct {
	use, short, long string
	arguments        cobra.PositionalArgs
	flags            func(*pflag.FlagSet)
	do               func(ctx context.Context, api *client.Client, args []string) (T, error)
	say              func(T) string
}

func (a action[T]) command(c terminal) *cobra.Command {
	var conn connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: a.use, Short: a.short, Long: a.long, Args: arguments(a.arguments),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			answer, err := a.do(cmd.Context(), api, args)
			if err != nil {
				return err
			}
			if asJSON {
				return c.printJSON(answer)
			}
			_, err = fmt.Fprintln(c.out, a.say(answer))
			return err
		},
	}
	conn.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer")
	if a.flags != nil {
		a.flags(cmd.Flags())
	}
	return cmd
}

// moment reads a time of a flag: a date-time, a date, or a duration from now, such as 720h.
func moment(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(value); err == nil {
		return time.Now().Add(d), nil
	}
	return time.Time{}, usageError{fmt.Errorf("--%s: need a date-time (2026-01-31T12:00:00Z), a date or a duration from now (720h)", name)}
}

// when is a time for people; nothing if it is none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
