// Command bench measures whole scrape agents from outside, beside their peers: the same targets, the same endpoint to push
// to, one agent after the other in one run.
//
// It starts the targets and the endpoint itself, and each agent as a child process; it asks the agents nothing, and reads
// from /proc and from the control group what they use. All of it is on this machine's loopback addresses, and ends with
// this process. On two cores the targets and the endpoint take CPU from the agent: they are made to be cheap, and what
// others used of the machine stands beside each result.
//
// Read scenario.go for what is measured, run.go for how one measurement goes, and package report for what becomes of it.
// Each result is a file of its own as soon as it is there; the page is made of those files, so that an interruption costs
// one measurement at most.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/proc"
	"scraper/bench/report"
)

func main() {
	agent.BecomeIfAsked(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
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
	if f.render {
		return render(f)
	}
	chosen, err := choose(f.scenarios)
	if err != nil {
		return err
	}
	started := time.Now()
	if f.raw == "" {
		f.raw = filepath.Join("raw", started.UTC().Format("20060102T150405"))
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
	b := &bench{out: os.Stdout, length: f.length, tmp: tmp, launcher: agent.Launcher{Path: self}}
	b.probeCgroup()
	if f.bodies != "" {
		if b.bodies, err = body.ReadCaptured(f.bodies); err != nil {
			return err
		}
	}

	about := report.Run{Machine: proc.Machine(), Started: started, Command: "bench " + strings.Join(args, " "), Note: f.note, Windows: f.length.String()}
	for _, a := range agents {
		about.Agents = append(about.Agents, report.Agent{Name: a.Name, Version: a.Version, Args: a.ShownArgs()})
	}
	for _, s := range scenarios() {
		if slices.ContainsFunc(chosen, func(c *scenario) bool { return c.name == s.name }) {
			about.Scenarios = append(about.Scenarios, report.Scenario{Name: s.name, About: s.about})
		}
	}
	if err := report.WriteRun(f.raw, about); err != nil {
		return err
	}
	if err := b.measureAll(ctx, f, chosen, agents, started); err != nil {
		return err
	}
	if f.results == "" {
		return nil
	}
	return render(f)
}

// measureAll measures each agent in each scenario, and keeps each result in a file as soon as it is there.
func (b *bench) measureAll(ctx context.Context, f flags, chosen []*scenario, agents []*agent.Agent, started time.Time) error {
	leftOut := 0
	for _, s := range chosen {
		fmt.Fprintf(b.out, "\n%s: %s\n", s.name, s.about)
		var results []report.Result
		for _, a := range agents {
			if !s.fits(a) {
				continue
			}
			if old, err := report.ReadRaw(f.raw, s.name, a.Name); f.resume && err == nil && old.Error == "" && old.Windows == f.length.String() {
				fmt.Fprintf(b.out, "  %s: is measured already\n", a.Name)
				results = append(results, old)
				continue
			}
			if f.stopAfter > 0 && time.Since(started)+s.takes(f.length) > f.stopAfter {
				leftOut++
				continue
			}
			res, err := b.measure(ctx, s, a)
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted; -resume -raw %s goes on", f.raw)
			}
			if err != nil {
				res.Error = err.Error()
				fmt.Fprintf(b.out, "  %s: %v\n", a.Name, err)
			}
			results = append(results, res)
			if err := report.WriteRaw(f.raw, res); err != nil {
				return err
			}
		}
		report.Table(b.out, results)
	}
	if leftOut > 0 {
		fmt.Fprintf(b.out, "\n%d measurements were left out for want of time; -resume -raw %s makes up for them\n", leftOut, f.raw)
	}
	return nil
}

// render writes the page from what is in files.
func render(f flags) error {
	set, err := report.Load(f.raw)
	if err != nil {
		return err
	}
	if f.note != "" {
		set.Note = f.note
	}
	if err := report.Write(f.results, set); err != nil {
		return err
	}
	fmt.Printf("\nwrote %s\n", f.results)
	return nil
}
