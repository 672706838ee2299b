package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
)

// form is how long cases take.
type form int

// The forms which flags ask for.
const (
	short form = iota // some seconds, for the tests
	medium
	long
)

// pick returns the value for a form.
func pick[T any](f form, short, medium, long T) T { return []T{short, medium, long}[f] }

// soak is what all cases of a run have in common.
type soak struct {
	form     form
	agent    *agent.Agent
	peers    []*agent.Agent
	shapes   string // of the case limit, these alone; empty: all
	launcher agent.Launcher
	tmp      string
	seq      atomic.Int64
}

// soakCase is something that must hold.
type soakCase struct {
	name, about, must string
	waits             bool // it hardly uses the CPU, and does not mind if others do
	asked             bool // it takes long, and is run if it is named, and in the long form
	run               func(ctx context.Context, t *trial) error
}

// cases are all cases, in the order in which they are told.
func cases() []soakCase {
	return []soakCase{
		{"burst", "a load which grows tenfold for a while", "resident memory within 1.2 times of an agent which never saw that, in 60 s", false, false, burst},
		{"bursts", "other loads which grow for a while: targets, labels, formats, an outage", "the same, of each", true, true, bursts},
		{"churn", "a fifth of all series is replaced by each scrape", "below 1 MiB in 10 minutes; the dictionary holds what is active", true, false, churn},
		{"targetchurn", "each target is replaced after ten scrapes", "below 1 MiB in 10 minutes; descriptors, goroutines, labels and exported series as before", true, false, targetChurn},
		{"rounds", "many small targets come and go, some times over", "resident memory within 1.2 times, live heap within 2 %; descriptors, goroutines, labels and exported series as after the first time", false, false, rounds},
		{"leave", "a job of large targets is removed", "never killed, nothing dropped, and all markers arrive", false, false, leave},
		{"reload", "reloads of a file which did not change, and of one in which a byte did", "live heap within 2 %; goroutines, descriptors and exported series equal", true, false, reload},
		{"pinned", "a target and a destination which never answer, while the configuration changes", "bounded; the gauge names the holder", true, false, pinned},
		{"limit", "a load of three times what fits into a control group", "never killed; small targets complete and on time; what was shed is counted; CPU below twice the unlimited agent's", false, false, limit},
		{"smallest", "the smallest limit in which 200 × 5,000 series are delivered, and what peers need", "reported", false, true, smallest},
		{"recommended", "three loads, each in the limit that the agent recommends for it", "the level stays normal", false, false, recommended},
		{"sockets", "200 targets which answer 4 MB at the same moment, in 64 MiB", "never killed; all of them are scraped", false, false, sockets},
		{"crashloop", "killed for memory five times in a row, with a backlog on disk", "each start scrapes within 2 s; nothing of the backlog is missing", false, false, crashLoop},
		{"cores", "one and two visible cores; 16 and 64 forced", "resident memory within 15 % of each other; the forced ones reported", false, false, cores},
		{"hostile", "bodies which are made to hurt", "the scrape fails with its reason; resident memory within 16 MiB; neighbours on time", false, false, hostile},
	}
}

// trial is one case which is being run.
type trial struct {
	*soak
	result
}

// result is what became of a case.
type result struct {
	name, about, must string
	figures           []string
	failures          []string
	skipped           string // why there is no result
	took              time.Duration
}

// errSkip says that a case cannot be tried here.
var errSkip = errors.New("cannot be tried here")

// one runs a case.
func (s *soak) one(ctx context.Context, c soakCase) result {
	t := &trial{soak: s, result: result{name: c.name, about: c.about, must: c.must}}
	begun := time.Now()
	err := c.run(ctx, t)
	t.took = time.Since(begun)
	switch {
	case errors.Is(err, errSkip):
		t.skipped = err.Error()
	case err != nil:
		t.failures = append(t.failures, err.Error())
	}
	return t.result
}

// figure tells a number.
func (t *trial) figure(format string, args ...any) {
	t.figures = append(t.figures, fmt.Sprintf(format, args...))
}

// want tells what failed unless it holds.
func (t *trial) want(holds bool, format string, args ...any) {
	if !holds {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
	}
}

// wantAtMost wants n to be at most limit.
func (t *trial) wantAtMost(what string, n, limit float64, unit string) {
	t.want(n <= limit, "%s: %s %s, want at most %s", what, round(n), unit, round(limit))
}

// round writes a number with as many digits as anybody reads.
func round(n float64) string {
	if n == math.Trunc(n) || math.Abs(n) >= 1000 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// verdict is a word for it.
func (r *result) verdict() string {
	switch {
	case len(r.failures) > 0:
		return "FAILED"
	case r.skipped != "":
		return "skipped"
	}
	return "ok"
}

// print writes the result for a terminal.
func (r *result) print(out io.Writer) {
	fmt.Fprintf(out, "%-8s %-12s %s (%.0f s)\n", r.verdict(), r.name, r.about, r.took.Seconds())
	for _, f := range r.figures {
		fmt.Fprintf(out, "           %s\n", f)
	}
	for _, f := range r.failures {
		fmt.Fprintf(out, "         ! %s\n", strings.ReplaceAll(f, "\n", "\n           "))
	}
	if r.skipped != "" {
		fmt.Fprintf(out, "           %s\n", r.skipped)
	}
}

// mib is bytes in MiB.
func mib[T int64 | float64](bytes T) float64 { return float64(bytes) / (1 << 20) }
