// Command bench compares the index engine of Sealprint with Pebble and bbolt;
// README.md says how.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(log.Ltime)
	if len(os.Args) == 3 && os.Args[1] == measureCommand {
		if err := measure(os.Args[2], os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	b, err := parse(os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	// None of these may end the program before it has removed its files, not even
	// that nobody reads its output any more.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	if err := b.run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// measureCommand has the program do one task, given as JSON, and print its
// outcome. A process of its own for each task keeps the memory of one engine,
// and of one phase, from being counted with another's.
const measureCommand = "measure"

func measure(encoded string, w io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(encoded), &t); err != nil {
		return fmt.Errorf("decode task: %w", err)
	}
	o, err := t.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(o)
}

func parse(arguments []string) (*benchmark, error) {
	var all []string
	for _, c := range contenders {
		all = append(all, c.name)
	}
	b := &benchmark{results: make(results)}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	postings := flags.String("postings", "1000000,10000000,50000000", "`sizes` to measure at")
	engines := flags.String("engines", strings.Join(all, ","), "`names` of the engines to measure")
	flags.IntVar(&b.rounds, "rounds", 3, "how often to measure, an odd `number`; the median counts")
	flags.StringVar(&b.dir, "dir", os.TempDir(), "`folder` in which to make one for the indexes, removed afterwards")
	flags.BoolVar(&b.markdown, "markdown", false, "print the tables in Markdown")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if b.rounds < 1 || b.rounds%2 == 0 {
		return nil, fmt.Errorf("-rounds %d: must be odd", b.rounds)
	}
	for text := range strings.SplitSeq(*postings, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < documentPostings {
			return nil, fmt.Errorf("-postings %s: must be a number of at least %d", text, documentPostings)
		}
		b.sizes = append(b.sizes, size)
	}
	slices.Sort(b.sizes)
	for name := range strings.SplitSeq(*engines, ",") {
		c, err := findContender(name)
		if err != nil {
			return nil, fmt.Errorf("-engines: %w", err)
		}
		b.contenders = append(b.contenders, c)
	}
	return b, nil
}
