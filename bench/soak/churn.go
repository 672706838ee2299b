package main

import (
	"context"
	"sync/atomic"
	"time"

	"scraper/bench/body"
	"scraper/bench/farm"
)

// maxGrowth is what resident memory may grow by in ten minutes, in MiB.
const maxGrowth = 1

// churn replaces a fifth of all series in each scrape.
func churn(ctx context.Context, t *trial) error {
	n, series := pick(t.form, 20, 100, 100), pick(t.form, 250, 1000, 1000)
	interval := pick(t.form, time.Second, 5*time.Second, 5*time.Second)
	r, err := t.rig(ctx, rigOptions{})
	if err != nil {
		return err
	}
	defer r.close()
	var on atomic.Bool
	targets, err := r.add(ctx, n, interval, func(i int) body.Source { return newChurning(i, series, 5, &on) })
	if err != nil {
		return err
	}
	r.config.Jobs = append(r.config.Jobs, job("load", interval, targets))
	if err := r.start(); err != nil {
		return err
	}
	return t.steady(ctx, r, targets, interval, func() { on.Store(true) }, func(context.Context) error { return nil },
		func() error { on.Store(false); return nil })
}

// steady measures an agent during a churn and after it: begin starts it, each is called once per interval, end ends it.
func (t *trial) steady(ctx context.Context, r *rig, targets []*farm.Target, interval time.Duration,
	begin func(), each func(context.Context) error, end func() error,
) error {
	if err := r.scraped(ctx, targets, 3, time.Minute); err != nil {
		return err
	}
	before, err := r.calm(ctx, 5)
	if err != nil {
		return err
	}
	begin()
	settle, length := pick(t.form, 3*time.Second, 3*time.Minute, 10*time.Minute), pick(t.form, 8*time.Second, 10*time.Minute, 4*time.Hour)
	begun := time.Now()
	var settled int64
	var early holdings // of the churn, when what is made once is made
	for time.Since(begun) < length {
		if err := r.wait(ctx, interval); err != nil {
			return err
		}
		if err := each(ctx); err != nil {
			return err
		}
		if settled == 0 && time.Since(begun) >= settle {
			settled = r.anon(2 * time.Second)
			if early, err = r.calm(ctx, 3); err != nil {
				return err
			}
		}
	}
	last := r.anon(2 * time.Second)
	during, err := r.calm(ctx, 3)
	if err != nil {
		return err
	}
	grows := r.slope(begun.Add(settle))
	if err := end(); err != nil {
		return err
	}
	if err := r.scraped(ctx, targets, 2, time.Minute); err != nil {
		return err
	}
	// A series which is gone is over at the next scrape; the block which told so is delivered some seconds later.
	now, ok, err := r.back(ctx, holdings{heap: early.heap, goroutines: before.goroutines, descriptors: before.descriptors,
		series: before.series, labels: before.labels, names: before.names}, 0.1, 10, 60*time.Second)
	if err != nil {
		return err
	}
	if t.form == short { // for a slope it is too short
		t.figure("%.1f MiB after %.0f s, %.1f MiB after %.0f s", mib(settled), settle.Seconds(), mib(last), length.Seconds())
		t.wantAtMost("resident memory at the end of the churn", mib(last), 1.3*mib(settled)+3, "MiB")
	} else {
		t.figure("%.1f MiB after %.0f min, %.1f MiB after %.0f min; it grows by %.2f MiB in 10 min", mib(settled), settle.Minutes(),
			mib(last), length.Minutes(), grows)
		t.wantAtMost("growth in 10 minutes", grows, maxGrowth, "MiB")
		live := (during.heap - early.heap) / (1 << 20) * float64(10*time.Minute) / float64(length-settle)
		t.figure("live heap grows by %.2f MiB in 10 min", live)
		t.wantAtMost("growth of live heap in 10 minutes", live, maxGrowth, "MiB")
	}
	t.figure("before: %v; after %.0f s of churn: %v; after %.0f s: %v; after it: %v", before, settle.Seconds(), early, length.Seconds(), during, now)
	t.want(ok, "after it the agent holds %v, want no more live heap than %v of the churn had, and else no more than before: %v %q",
		now, settle, before, now.newNames(before))
	return r.finish(ctx)
}
