// Command bench measures whole scrape agents from outside, beside their peers: the same targets, the same endpoint to push
// to, one agent after the other in one run.
//
// It starts the targets and the endpoint itself, and each agent as a child process; it asks the agents nothing, and reads
// from /proc and from the control group what they use. All of it is on this machine's loopback addresses, and ends with
// this process. On two cores the targets and the endpoint take CPU from the agent: they are made to be cheap, and what
// others used of the machine stands beside each result.
//
// Read scenario.go for what is measured, run.go for how one measurement goes, and package report for what becomes of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"scraper/bench/agent"
	"scraper/bench/proc"
	"scraper/bench/report"
)

// joinFlag makes the program join a control group and become another program.
const joinFlag = "-join-group-and-exec"

func main() {
	if len(os.Args) > 4 && os.Args[1] == joinFlag {
		fmt.Fprintln(os.Stderr, "bench:", become(os.Args[2], os.Args[4:]))
		os.Exit(127)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// become joins the group in dir and replaces this program by another; it returns only if that fails.
func become(dir string, args []string) error {
	if err := proc.Join(dir); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, os.Environ())
}

// flags are the command line.
type flags struct {
	scenarios string
	agents    string
	peers     list
	ours      string
	long      bool
	floor     bool
	raw       string
	results   string
	note      string
}

// list is a flag which may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.StringVar(&f.scenarios, "scenario", "", "scenarios, joined by commas, or all (default: the short set)")
	set.StringVar(&f.agents, "agents", "ours,vmagent,prometheus", "agents, joined by commas: ours, ours-prometheus, names of peers")
	set.Var(&f.peers, "peer", "another agent, name=path; its name begins with vmagent or prometheus (may be given several times)")
	set.StringVar(&f.ours, "ours", "", "our agent's program (default: built from this tree)")
	set.BoolVar(&f.long, "long", false, "long windows, instead of short ones")
	short := set.Bool("short", false, "short windows (the default)")
	set.BoolVar(&f.floor, "floor", false, "also measure the least that an agent can be")
	set.StringVar(&f.raw, "raw", "raw", "directory for raw results in JSON; empty: none")
	set.StringVar(&f.results, "results", "", "file to write the tables to, with charts beside it; empty: none")
	set.StringVar(&f.note, "note", "", "a sentence for the results: what else ran on the machine, say")
	set.Usage = func() {
		fmt.Fprintln(set.Output(), "Usage: bench [flags]\n\nMeasures scrape agents from outside.")
		set.PrintDefaults()
		fmt.Fprintln(set.Output(), "\nScenarios:")
		for _, s := range scenarios() {
			mark := " "
			if s.standard {
				mark = "*"
			}
			fmt.Fprintf(set.Output(), "%s %-12s %s\n", mark, s.name, s.about)
		}
		fmt.Fprintln(set.Output(), "\n* the short set")
	}
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if *short && f.long {
		return f, errors.New("-short and -long contradict each other")
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return f, nil
}

// run is the whole benchmark.
func run(ctx context.Context, args []string) error {
	f, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	chosen, err := choose(f.scenarios)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "scraper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	agents, err := findAgents(ctx, f, tmp)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{out: os.Stdout, long: f.long, tmp: tmp, launcher: agent.Launcher{Path: self, Flag: joinFlag}}
	b.probeCgroup()

	set := report.Set{Machine: proc.Machine(), Started: time.Now(), Command: "bench " + strings.Join(args, " "), Note: f.note, Long: f.long}
	for _, a := range agents {
		set.Agents = append(set.Agents, report.Agent{Name: a.Name, Version: a.Version, Args: a.ShownArgs()})
	}
	for _, s := range chosen {
		set.Scenarios = append(set.Scenarios, report.Scenario{Name: s.name, About: s.about})
		fmt.Fprintf(b.out, "\n%s: %s\n", s.name, s.about)
		for _, a := range agents {
			if !s.fits(a.Kind) {
				continue
			}
			res, err := b.measure(ctx, s, a)
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			if err != nil {
				res.Error = err.Error()
				fmt.Fprintf(b.out, "  %s: %v\n", a.Name, err)
			}
			set.Results = append(set.Results, res)
			if err := writeRaw(f.raw, set.Started, res); err != nil {
				return err
			}
		}
		report.Table(b.out, s.name, set.Results)
	}
	if f.results == "" {
		return nil
	}
	if err := report.Write(f.results, set); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nwrote %s\n", f.results)
	return nil
}

func writeRaw(dir string, started time.Time, res report.Result) error {
	if dir == "" {
		return nil
	}
	name := fmt.Sprintf("%s-%s-%s.json", started.UTC().Format("20060102T150405"), res.Scenario, res.Agent)
	return report.WriteRaw(filepath.Join(dir, name), res)
}

// choose returns the scenarios of a list of names.
func choose(names string) (chosen []*scenario, err error) {
	all := scenarios()
	switch names {
	case "":
		for _, s := range all {
			if s.standard {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	case "all":
		return all, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range all {
			// node60 means both of its runs.
			if s.name == name || name == "node60" && strings.HasPrefix(s.name, "node60-") {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
	}
	return chosen, nil
}

// findAgents finds, or builds, the programs to be measured, in the order of -agents, further peers, floors.
func findAgents(ctx context.Context, f flags, tmp string) ([]*agent.Agent, error) {
	paths := map[string]string{"vmagent": "vmagent", "prometheus": "prometheus"}
	names := strings.Split(f.agents, ",")
	for _, p := range f.peers {
		name, path, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("-peer %q: want name=path", p)
		}
		if paths[name] = path; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if f.floor {
		names = append(names, string(agent.FloorDiscard), string(agent.FloorPush))
	}
	var agents []*agent.Agent
	for _, name := range names {
		path, known := paths[name]
		kind, err := agent.KindOf(name)
		switch {
		case err != nil:
			return nil, err
		case kind == agent.Ours || kind == agent.OursPrometheus:
			if path = f.ours; path == "" {
				path, err = build(ctx, "scraper", "./cmd/scraper", filepath.Join(tmp, "scraper"))
			}
		case kind == agent.FloorDiscard || kind == agent.FloorPush:
			path, err = build(ctx, "scraper/bench", "./floor", filepath.Join(tmp, "floor"))
		case !known:
			err = fmt.Errorf("agent %q: say where it is with -peer %s=PATH", name, name)
		}
		if err != nil {
			return nil, err
		}
		a, err := agent.New(ctx, name, path)
		if errors.Is(err, exec.ErrNotFound) && known {
			fmt.Fprintf(os.Stderr, "bench: skipping %s: %v (make bench-peers installs Debian's)\n", name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		agents = append(agents, a)
	}
	return agents, nil
}

// build compiles a program of this tree, unless that has happened. The agent belongs to another module than the
// benchmark, so it is built where that one is.
func build(ctx context.Context, module, pkg, out string) (string, error) {
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s, from which %s is built (-ours avoids that): %w", module, pkg, err)
	}
	root := strings.TrimSpace(string(dir))
	version := "unknown"
	if tag, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		version = strings.TrimSpace(string(tag))
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -X main.version="+version, "-o", out, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}
