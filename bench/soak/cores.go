package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"scraper/bench/proc"
)

// cores runs the same load with other numbers of processors: how many there are decides how many caches the runtime has,
// and must not decide about memory.
func cores(ctx context.Context, t *trial) error {
	n, series := pick(t.form, 50, 100, 100), pick(t.form, 400, 2000, 2000)
	interval := pick(t.form, time.Second, 5*time.Second, 5*time.Second)
	warm, length := pick(t.form, time.Second, 10*time.Second, 30*time.Second), pick(t.form, 2*time.Second, 10*time.Second, 5*time.Minute)
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("%w: %w", errSkip, err)
	}
	var visible []float64
	for _, c := range []struct {
		name, cpus, forced string
	}{{"1 visible", "0", ""}, {"2 visible", "0,1", ""}, {"GOMAXPROCS=16", "", "16"}, {"GOMAXPROCS=64", "", "64"}} {
		var o rigOptions
		if c.cpus != "" {
			o.wrapper = []string{taskset, "-c", c.cpus}
		}
		if c.forced != "" {
			o.env, o.args = []string{"GOMAXPROCS=" + c.forced}, []string{"-maxProcs=" + c.forced}
		}
		anon, err := t.withCores(ctx, o, n, series, interval, warm, length, c.name)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.cpus != "" {
			visible = append(visible, anon)
		}
	}
	most, least := max(visible[0], visible[1]), min(visible[0], visible[1])
	// A few MiB depend on when the last garbage collection was, which in the short form is much.
	t.wantAtMost("resident memory with more visible cores", most, 1.15*least+pick(t.form, 3.0, 0, 0), "MiB")
	return nil
}

// withCores returns the average resident memory of one agent, in MiB.
func (t *trial) withCores(ctx context.Context, o rigOptions, n, series int, interval, warm, length time.Duration, name string) (float64, error) {
	r, err := t.rig(ctx, o)
	if err != nil {
		return 0, err
	}
	defer r.close()
	targets, err := r.load(ctx, n, series, interval)
	if err != nil {
		return 0, err
	}
	if err := r.scraped(ctx, targets, 2, time.Minute); err != nil {
		return 0, err
	}
	if err := r.wait(ctx, warm); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := r.wait(ctx, length); err != nil {
		return 0, err
	}
	m, err := r.metrics()
	if err != nil {
		return 0, err
	}
	used, err := proc.CPU(r.process.PID())
	if err != nil {
		return 0, err
	}
	anon := mib(r.anon(length))
	t.figure("%s (%v used): %.1f MiB on average, %.1f at the peak; %.2f s of CPU", name, m["go_sched_gomaxprocs_threads"], anon,
		mib(r.peak(begun)), used.Seconds())
	return anon, r.finish(ctx)
}
