package report

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// columns are what a table shows, in order.
var columns = []struct {
	title string
	value func(Result) string
}{
	{"agent", func(r Result) string { return r.Agent }},
	{"CPU-s/M", func(r Result) string { return number(r.CPUPerMillion, 2) }},
	{"millicores", func(r Result) string { return number(r.Millicores, 1) }},
	{"anon avg MiB", func(r Result) string { return mib(r.AnonAvg) }},
	{"anon peak MiB", func(r Result) string { return mib(r.AnonPeak) }},
	{"working set peak MiB", func(r Result) string { return mib(r.WorkingSetPeak) }},
	{"samples/s", func(r Result) string { return number(float64(r.Samples)/max(r.WindowSeconds, 1), 0) }},
	{"protocol", func(r Result) string { return cmp.Or(r.Protocol, "–") }},
	{"wire B/sample", func(r Result) string { return number(r.WirePerSample, 1) }},
	{"late", late},
	{"p99 ms", func(r Result) string { return number(r.Late.P99Millis, 1) }},
	{"missing", func(r Result) string { return checked(r, r.Check.Missing) }},
	{"doubles", func(r Result) string { return checked(r, r.Check.Doubles) }},
	{"first s", func(r Result) string { return number(r.FirstSampleSeconds, 1) }},
	{"bench mcores", func(r Result) string { return number(r.BenchMillicores, 0) }},
	{"others mcores", func(r Result) string { return number(r.OthersMillicores, 0) }},
	{"notes", notes},
}

func number(v float64, digits int) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

func mib(n int64) string { return number(float64(n)/(1<<20), 1) }

func checked(r Result, n int64) string {
	if !r.Checked {
		return "–"
	}
	return fmt.Sprint(n)
}

func late(r Result) string {
	if r.Late.Scrapes == 0 {
		return "–"
	}
	text := fmt.Sprintf("%d of %d", r.Late.Late, r.Late.Scrapes)
	if r.Late.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", r.Late.Skipped)
	}
	return text
}

func notes(r Result) string {
	var all []string
	if r.Error != "" {
		all = append(all, r.Error)
	}
	for _, n := range r.Notes {
		all = append(all, n.Text)
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "; ")
}

// of returns the results of one scenario.
func of(scenario string, results []Result) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Scenario != scenario })
}

// Table writes the results of one scenario for a terminal.
func Table(w io.Writer, results []Result) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range columns {
		fmt.Fprintf(tw, "%s\t", c.title)
	}
	fmt.Fprintln(tw)
	for _, r := range results {
		for _, c := range columns {
			fmt.Fprintf(tw, "%s\t", c.value(r))
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush() // a terminal
}

// Write writes the page, and its charts into a directory beside it.
func Write(name string, set Set) error {
	var b strings.Builder
	b.WriteString("# Results\n\n")
	b.WriteString("What `make bench` wrote last; do not edit. How it measures is told in the comment of `bench/main.go`, by\n" +
		"`go run . -help` in `bench/`, and below the tables. Ratios count, not seconds: machines differ.\n\n")
	fmt.Fprintf(&b, "- %s, `%s`\n- %s\n", set.Started.UTC().Format("2006-01-02 15:04 UTC"), set.Command, set.Machine)
	fmt.Fprintf(&b, "- %s windows\n", set.Windows)
	if set.Note != "" {
		fmt.Fprintf(&b, "- %s\n", set.Note)
	}
	b.WriteString("\n| agent | version | command line |\n|---|---|---|\n")
	for _, a := range set.Agents {
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", a.Name, cell(versions(a, set.Results)), cell(a.Args))
	}
	writeGoals(&b, set)
	writeLosses(&b, set)
	writeFloors(&b, set)
	charts := filepath.Join(filepath.Dir(name), "charts")
	if err := os.MkdirAll(charts, 0o755); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	for _, s := range set.Scenarios {
		results := of(s.Name, set.Results)
		if len(results) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n", s.Name, strings.ToUpper(s.About[:1])+s.About[1:])
		markdown(&b, results)
		files, err := chartsOf(s.Name, results, charts)
		if err != nil {
			return err
		}
		for _, f := range files {
			fmt.Fprintf(&b, "\n![%s](charts/%s)\n", strings.TrimSuffix(f, ".svg"), f)
		}
		if courses[s.Name] {
			b.WriteString(events(results[0]))
		}
	}
	b.WriteString(legend)
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// events tells what happened in the course of a result, at about the same time with all agents.
func events(r Result) string {
	var all []string
	for _, m := range r.Marks {
		if m.Text != "" {
			all = append(all, fmt.Sprintf("%s after %.0f s", m.Text, m.Second))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "\nIn its course: " + strings.Join(all, "; ") + ".\n"
}

// versions are those that an agent's results were measured with: more than one where measuring was taken up again later.
func versions(a Agent, results []Result) string {
	var all []string
	for _, r := range results {
		if r.Agent == a.Name && r.Version != "" && !slices.Contains(all, r.Version) {
			all = append(all, r.Version)
		}
	}
	if len(all) == 0 {
		return a.Version
	}
	return strings.Join(all, ", then ")
}

// markdown writes a table without the columns which are empty in all rows.
func markdown(b *strings.Builder, results []Result) {
	var shown []int
	for i, c := range columns {
		if slices.ContainsFunc(results, func(r Result) bool { v := c.value(r); return v != "–" && v != "" }) {
			shown = append(shown, i)
		}
	}
	for _, i := range shown {
		fmt.Fprintf(b, "| %s ", columns[i].title)
	}
	b.WriteString("|\n" + strings.Repeat("|---", len(shown)) + "|\n")
	for _, r := range results {
		for _, i := range shown {
			fmt.Fprintf(b, "| %s ", cell(columns[i].value(r)))
		}
		b.WriteString("|\n")
	}
}

// cell makes text fit into a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", "\\|")
}

const legend = `
## Columns

All of the window, after a time for warming up. Each agent ran alone, one after the other, with the same targets at the
same addresses.

- **CPU-s/M**: CPU seconds, user and system, per million samples which the targets served; **millicores**: CPU seconds per
  1,000 seconds. **samples/s** is what arrived: each agent adds its automatic series, and some drop what others keep.
- **anon**: resident anonymous memory (RssAnon), read ten times a second; **working set**: the control group's usage without
  inactive file pages; the program's own pages are charged to nobody. Peaks are from the process' start on, when it learns
  what there is.
- **ours** agrees with the endpoint on a protocol, for which one push may be refused at the start, and comes to zstd as current
  vmagents do; **ours-snappy** is told to use remote write 1.0 with snappy, as Prometheus and older vmagents do.
- **ours-2.0** and peers with that ending are told to use remote write 2.0, and their endpoint takes it. **protocol** is what
  arrived last.
- **wire B/sample**: bytes which came over the connections to the endpoint, headers and TLS included.
- **late**: scrapes which came more than 50 ms after they were due, by the rhythm of each target's own scrapes; **p99** of that.
- **missing**, **doubles**: samples which were served and had not arrived at the end, or had arrived more often, counted
  for each series from the agent's start to its end (of a node: those of its pods and of node_exporter). A scrape which was
  answered when the agent was killed counts as served.
- **first**: from the start of the process until its first sample had arrived.
- **floor-discard** only fetches; **floor-push** also copies and pushes, without relabeling, staleness, queue or retry. It
  keeps all labels as text: its CPU is a floor as long as that fits into the machine's caches (with the huge target it does not), its
  memory is none.
- **bench**: what the targets and the endpoint used, which is not in the agent's; **others**: what everything else on the machine used meanwhile, in millicores; the kernel's work for all of them is in it.
`
