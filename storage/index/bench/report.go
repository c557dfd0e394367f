package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is something that is measured, under the name that a table gives it.
type figure string

const (
	bulkRate        figure = "Bulk load, postings/s"
	bulkCPURate     figure = "Bulk load, postings/CPU-s"
	batchRate       figure = "Durable batches, postings/s"
	batchCPURate    figure = "Durable batches, postings/CPU-s"
	batchWritten    figure = "Durable batches, bytes written/posting"
	documentRate    figure = "Durable documents, 16 writers, documents/s"
	mergeRate       figure = "Final merge, postings/s"
	mergeWritten    figure = "Final merge, bytes written/posting"
	mergeMemory     figure = "Final merge, peak anonymous memory MB"
	diskBytes       figure = "On disk after merging, bytes/posting"
	openTime        figure = "Open, ms"
	coldOpenTime    figure = "Cold open, ms"
	coldP50         figure = "Cold queries, p50 ms"
	coldP99         figure = "Cold queries, p99 ms"
	coldRead        figure = "Cold open and queries, MB read"
	busyP99         figure = "Queries during a load, p99 µs"
	busySlowdown    figure = "Queries during a load, p99 × idle p99"
	busyFailures    figure = "Queries during a load, failures"
	anonymousMemory figure = "Anonymous memory after queries, MB"
	fileMemory      figure = "File memory after queries, MB"
)

// queryFigures are the figures of one kind of query.
type queryFigures struct{ p50, p99, cpu, rate figure }

var (
	mixFigures = queryFigures{
		p50:  "Mixed queries, p50 µs",
		p99:  "Mixed queries, p99 µs",
		cpu:  "Mixed queries, CPU µs/query",
		rate: "Mixed queries on two goroutines, queries/s",
	}
	absentFigures = queryFigures{
		p50:  "Absent queries, p50 µs",
		p99:  "Absent queries, p99 µs",
		cpu:  "Absent queries, CPU µs/query",
		rate: "Absent queries on two goroutines, queries/s",
	}
)

const (
	more = "more"
	less = "less"
)

// rows stand in the order of the tables. A figure is measured in seconds or
// bytes; scale makes the unit of its name of it.
var rows = []struct {
	figure figure
	better string
	scale  float64
}{
	{bulkRate, more, 1},
	{bulkCPURate, more, 1},
	{batchRate, more, 1},
	{batchCPURate, more, 1},
	{batchWritten, less, 1},
	{documentRate, more, 1},
	{mergeRate, more, 1},
	{mergeWritten, less, 1},
	{mergeMemory, less, 1e-6},
	{diskBytes, less, 1},
	{mixFigures.p50, less, 1e6},
	{mixFigures.p99, less, 1e6},
	{mixFigures.cpu, less, 1e6},
	{mixFigures.rate, more, 1},
	{absentFigures.p50, less, 1e6},
	{absentFigures.p99, less, 1e6},
	{absentFigures.cpu, less, 1e6},
	{absentFigures.rate, more, 1},
	{openTime, less, 1e3},
	{coldOpenTime, less, 1e3},
	{coldP50, less, 1e3},
	{coldP99, less, 1e3},
	{coldRead, less, 1e-6},
	{busyP99, less, 1e6},
	{busySlowdown, less, 1},
	{busyFailures, less, 1},
	{anonymousMemory, less, 1e-6},
	{fileMemory, less, 1e-6},
}

// results are the values of all rounds.
type results map[cell][]float64

type cell struct {
	contender string
	postings  int
	figure    figure
}

func (r results) add(contender string, postings int, figures map[figure]float64) {
	for f, value := range figures {
		c := cell{contender, postings, f}
		r[c] = append(r[c], value)
	}
}

// spread returns the median of the rounds, the least and the greatest value; ok
// is false where nothing was measured.
func (r results) spread(c cell) (median, least, greatest float64, ok bool) {
	values := slices.Sorted(slices.Values(r[c]))
	if len(values) == 0 {
		return 0, 0, 0, false
	}
	return values[len(values)/2], values[0], values[len(values)-1], true
}

// reference is the engine that the others are compared with.
const reference = "sealprint"

const nothing = "–"

// compare makes the table of one size: what was measured, and how many times
// the reference's figure each of the others has.
func (r results) compare(postings int, contenders []contender) table {
	t := table{{"figure", "better"}}
	for _, c := range contenders {
		t[0] = append(t[0], c.name)
		if c.name != reference {
			t[0] = append(t[0], "÷ "+reference)
		}
	}
	for _, row := range rows {
		base, _, _, based := r.spread(cell{reference, postings, row.figure})
		line := []string{string(row.figure), row.better}
		for _, c := range contenders {
			median, least, greatest, ok := r.spread(cell{c.name, postings, row.figure})
			value := nothing
			if ok {
				value = number(median * row.scale)
			}
			if from, to := number(least*row.scale), number(greatest*row.scale); from != to {
				value += fmt.Sprintf(" (%s..%s)", from, to)
			}
			line = append(line, value)
			if c.name != reference {
				line = append(line, ratio(median, base, ok && based))
			}
		}
		t = append(t, line)
	}
	return t
}

// growth makes the table of how the figures change from size to size.
func (r results) growth(sizes []int, contenders []contender) table {
	t := table{{"figure", "engine"}}
	for i, size := range sizes {
		t[0] = append(t[0], "at "+number(float64(size)))
		if i > 0 {
			t[0] = append(t[0], "growth")
		}
	}
	for _, row := range rows {
		for _, c := range contenders {
			line := []string{string(row.figure), c.name}
			for i, size := range sizes {
				median, _, _, ok := r.spread(cell{c.name, size, row.figure})
				if ok {
					line = append(line, number(median*row.scale))
				} else {
					line = append(line, nothing)
				}
				if i > 0 {
					before, _, _, known := r.spread(cell{c.name, sizes[i-1], row.figure})
					line = append(line, ratio(median, before, ok && known))
				}
			}
			t = append(t, line)
		}
	}
	return t
}

func ratio(a, b float64, known bool) string {
	if !known || b == 0 {
		return nothing
	}
	return "×" + number(a/b)
}

// number formats a number with three digits that count.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return digits(v/1e6) + " M"
	case v >= 1e4:
		return digits(v/1e3) + " k"
	}
	return digits(v)
}

func digits(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// table is a header and lines.
type table [][]string

func (t table) text(w io.Writer) error {
	aligned := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range t {
		fmt.Fprintln(aligned, strings.Join(line, "\t"))
	}
	return aligned.Flush()
}

func (t table) markdown(w io.Writer) error {
	rule := slices.Repeat([]string{"---"}, len(t[0]))
	for _, line := range slices.Insert(slices.Clone(t), 1, rule) {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | ")); err != nil {
			return err
		}
	}
	return nil
}
