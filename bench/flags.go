package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// flags are the command line.
type flags struct {
	scenarios string
	agents    string
	peers     list
	ours      string
	bodies    string
	length    length
	floor     bool
	raw       string
	resume    bool
	render    bool
	results   string
	note      string
	stopAfter time.Duration
}

// list is a flag which may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func parseFlags(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.StringVar(&f.scenarios, "scenario", "", "scenarios, joined by commas, or all (default: the short set)")
	set.StringVar(&f.agents, "agents", "ours,ours-snappy,ours-2.0,vmagent,prometheus", "agents, joined by commas: ours, ours-snappy and ours-2.0 (steady only), ours-prometheus, names of peers")
	set.Var(&f.peers, "peer", "another agent, name=path; its name begins with vmagent or prometheus (may be given several times)")
	set.StringVar(&f.ours, "ours", "", "our agent's program (default: built from this tree)")
	set.StringVar(&f.bodies, "bodies", "", "directory with captured bodies of real programs (*.txt), which the node's pods and node_exporter serve; empty: bodies in their likeness")
	quick := set.Bool("quick", false, "the shortest windows which still tell something")
	long := set.Bool("long", false, "long windows, twenty minutes for a node")
	short := set.Bool("short", false, "short windows, two minutes for a node (the default)")
	set.BoolVar(&f.floor, "floor", false, "also measure the least that an agent can be")
	set.StringVar(&f.raw, "raw", "", "directory for raw results in JSON (default: a new one in raw)")
	set.BoolVar(&f.resume, "resume", false, "do not measure again what -raw has, with windows of the same length")
	set.BoolVar(&f.render, "render", false, "measure nothing: write -results from what -raw has")
	set.StringVar(&f.results, "results", "", "file to write the tables to, with charts beside it; empty: none")
	set.StringVar(&f.note, "note", "", "a sentence for the results: what else ran on the machine, say")
	set.DurationVar(&f.stopAfter, "stop-after", 0, "begin no measurement which would end later than this after the start; 0: no limit")
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
	chosen := 0
	for l, given := range map[length]bool{quickLength: *quick, shortLength: *short, longLength: *long} {
		if given {
			f.length = l
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return f, errors.New("-quick, -short and -long contradict each other")
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case (f.resume || f.render) && f.raw == "":
		return f, errors.New("-resume and -render need -raw")
	case f.render && f.results == "":
		return f, errors.New("-render needs -results")
	}
	return f, nil
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
