// Command soak shows that the agent's memory is bounded, and goes back: it runs the built program under loads which grow,
// churn, lie and never end, looks at it from outside, and says of each case whether what must hold did.
//
// It reads what the kernel knows of the process (/proc, its memory control group), what the process says of itself
// (/metrics, /debug/memory), and what targets and the endpoint saw. It does not compare agents: the benchmark beside it
// does, but for one search (smallest.go). All of it is on this machine's loopback addresses.
//
// Each case has a short form, which the tests of this package run, a medium one, which is the default here, and a long one.
//
// Concurrency: cases which only wait run together; each has an agent, targets and an endpoint of its own.
//
// Read trial.go for what a case is, rig.go for what surrounds an agent, then one case: churn.go, say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"scraper/bench/agent"
	"scraper/bench/proc"
)

func main() {
	agent.BecomeIfAsked(os.Args)
	hogIfAsked(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	cases   string
	form    form
	agent   string
	peers   []string // name=path
	results string
	shapes  string
}

// isPart reports whether the cases were chosen: their results are not to replace those of all.
func (f flags) isPart() bool { return f.cases != "" || f.shapes != "" }

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("soak", flag.ContinueOnError)
	set.StringVar(&f.cases, "case", "", "cases, joined by commas (default: all but bursts and smallest; with -long all)")
	set.StringVar(&f.agent, "agent", "", "the agent's program (default: built from this tree)")
	set.Func("peer", "another agent to search the smallest limit of, name=path; its name begins with vmagent or prometheus (may be given several times)",
		func(peer string) error {
			if name, path, ok := strings.Cut(peer, "="); !ok || name == "" || path == "" {
				return errors.New("want name=path")
			}
			f.peers = append(f.peers, peer)
			return nil
		})
	set.StringVar(&f.results, "results", "", "file to write the table to, unless -case or -shapes chose a part of it; empty: none")
	set.StringVar(&f.shapes, "shapes", "", "of the case limit, these shapes of the load alone, joined by commas, each with another limit in MiB if it is to have one: huge,many@96")
	asLong := set.Bool("long", false, "the long form of each case: hours")
	asShort := set.Bool("short", false, "the short form, which the tests run")
	set.Usage = func() {
		fmt.Fprintln(set.Output(), "Usage: soak [flags]\n\nShows that the agent's memory is bounded, and goes back.")
		set.PrintDefaults()
		fmt.Fprintln(set.Output(), "\nCases:")
		for _, c := range cases() {
			fmt.Fprintf(set.Output(), "  %-12s %s\n", c.name, c.about)
		}
	}
	if err := set.Parse(args); err != nil {
		return f, err
	}
	f.form = medium
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case *asLong && *asShort:
		return f, errors.New("-long and -short contradict each other")
	case *asLong:
		f.form = long
	case *asShort:
		f.form = short
	}
	return f, nil
}

// run is the whole program.
func run(ctx context.Context, args []string, out io.Writer) error {
	f, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	chosen, err := choose(f.cases, f.form)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "scraper-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s, err := newSoak(ctx, f, tmp)
	if err != nil {
		return err
	}
	begun := time.Now()
	results := s.all(ctx, out, chosen)
	switch {
	case f.results != "" && f.isPart():
		fmt.Fprintf(out, "\ndid not write %s, which is to have all cases\n", f.results)
	case f.results != "":
		about := fmt.Sprintf("`soak %s`, agent %s, %s, %s, in %.0f minutes.", strings.Join(args, " "), s.agent.Version,
			proc.Machine(), begun.UTC().Format(time.DateOnly), time.Since(begun).Minutes())
		if err := writeResults(f.results, about, results); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nwrote %s\n", f.results)
	}
	failed := 0
	for _, r := range results {
		if len(r.failures) > 0 {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(results))
	}
	return ctx.Err()
}

// newSoak finds, or builds, the agent.
func newSoak(ctx context.Context, f flags, tmp string) (*soak, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &soak{form: f.form, shapes: f.shapes, tmp: tmp, launcher: agent.Launcher{Path: self}}
	if f.agent == "" {
		if f.agent, err = agent.Build(ctx, "scraper", "./cmd/scraper", filepath.Join(tmp, "scraper")); err != nil {
			return nil, err
		}
	}
	if s.agent, err = agent.New(ctx, string(agent.Ours), f.agent); err != nil {
		return nil, err
	}
	for _, peer := range f.peers {
		name, path, _ := strings.Cut(peer, "=")
		p, err := agent.New(ctx, name, path)
		if err != nil {
			return nil, fmt.Errorf("-peer %q: %w", peer, err)
		}
		s.peers = append(s.peers, p)
	}
	return s, nil
}

// choose returns the cases of a list of names; without any those which are part of the form.
func choose(names string, f form) ([]soakCase, error) {
	all := cases()
	if names == "" {
		return slices.DeleteFunc(all, func(c soakCase) bool { return c.asked && f != long }), nil
	}
	var chosen []soakCase
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(c soakCase) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no case %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// all runs cases: first those which mostly wait, together, then the others, one after the other.
func (s *soak) all(ctx context.Context, out io.Writer, chosen []soakCase) []result {
	results := make([]result, len(chosen))
	var mu sync.Mutex
	one := func(i int) {
		results[i] = s.one(ctx, chosen[i])
		mu.Lock()
		defer mu.Unlock()
		results[i].print(out)
	}
	var waiting sync.WaitGroup
	for i, c := range chosen {
		if c.waits {
			waiting.Go(func() { one(i) })
		}
	}
	waiting.Wait()
	for i, c := range chosen {
		if !c.waits && ctx.Err() == nil {
			one(i)
		}
	}
	return slices.DeleteFunc(results, func(r result) bool { return r.name == "" })
}
