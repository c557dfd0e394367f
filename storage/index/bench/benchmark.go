package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// benchmark is one run of the program.
type benchmark struct {
	sizes      []int
	contenders []contender
	rounds     int
	dir        string
	markdown   bool

	results results
}

// run measures, and prints the table of each size as soon as it is known.
func (b *benchmark) run(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp(b.dir, "sealprint-bench-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log.Print("making the load")
	load := filepath.Join(dir, "load")
	if err := writeLoad(load, loadDocuments(slices.Max(b.sizes)/documentPostings)); err != nil {
		return err
	}
	fmt.Fprintln(w, environment())
	for _, size := range b.sizes {
		t := task{Dir: filepath.Join(dir, "engine"), Load: load, Stored: size / documentPostings}
		if err := b.measure(ctx, t, size); err != nil {
			return err
		}
		b.heading(w, number(float64(size))+" postings")
		if err := b.print(w, b.results.compare(size, b.contenders)); err != nil {
			return err
		}
		for _, c := range b.contenders {
			if !c.takes(size) {
				fmt.Fprintf(w, "\n%s is left out above %s postings: it would take too long.\n", c.name, number(float64(c.limit)))
			}
		}
	}
	if len(b.sizes) == 1 {
		return nil
	}
	b.heading(w, "Growth")
	return b.print(w, b.results.growth(b.sizes, b.contenders))
}

// measure measures all engines at one size and compares what they found.
func (b *benchmark) measure(ctx context.Context, t task, size int) error {
	found := make([][]int, len(phases))
	for round := range b.rounds {
		for _, c := range b.contenders {
			if !c.takes(size) {
				continue
			}
			t.Engine = c.name
			for t.Phase = range phases {
				log.Printf("%s postings, round %d of %d, %s: %s", number(float64(size)), round+1, b.rounds, c.name, phases[t.Phase].name)
				o, err := t.start(ctx)
				if err != nil {
					return err
				}
				b.results.add(c.name, size, o.Figures)
				if found[t.Phase] == nil {
					found[t.Phase] = o.Found
				}
				for i, want := range found[t.Phase] {
					if o.Found[i] != want {
						return fmt.Errorf("%s: %s: query %d finds %d postings, others found %d", c.name, phases[t.Phase].name, i, o.Found[i], want)
					}
				}
			}
			if err := os.RemoveAll(t.Dir); err != nil {
				return fmt.Errorf("remove indexes: %w", err)
			}
		}
	}
	return nil
}

// start runs a task in a process of its own.
func (t task) start(ctx context.Context) (outcome, error) {
	encoded, err := json.Marshal(t)
	if err != nil {
		return outcome{}, fmt.Errorf("encode task: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return outcome{}, fmt.Errorf("find this program: %w", err)
	}
	command := exec.CommandContext(ctx, self, measureCommand, string(encoded))
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %s: %w", t.Engine, phases[t.Phase].name, err)
	}
	var o outcome
	if err := json.Unmarshal(output, &o); err != nil {
		return outcome{}, fmt.Errorf("%s: %s: decode outcome: %w", t.Engine, phases[t.Phase].name, err)
	}
	return o, nil
}

func (b *benchmark) heading(w io.Writer, text string) {
	if b.markdown {
		text = "## " + text
	}
	fmt.Fprintf(w, "\n%s\n\n", text)
}

func (b *benchmark) print(w io.Writer, t table) error {
	if b.markdown {
		return t.markdown(w)
	}
	return t.text(w)
}

// environment says what was measured and on what.
func environment() string {
	parts := []string{fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if strings.Contains(module.Path, "/pebble/") || strings.HasSuffix(module.Path, "/bbolt") {
				parts = append(parts, module.Path+" "+module.Version)
			}
		}
	}
	return strings.Join(parts, ", ")
}
