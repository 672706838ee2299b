package main

import (
	"context"
	"sync/atomic"
	"time"

	"scraper/bench/body"
	"scraper/bench/farm"
)

// burst lets each target's body grow tenfold for a while, and compares what stays with an agent which never saw that.
func burst(ctx context.Context, t *trial) error {
	n, series := pick(t.form, 20, 100, 100), pick(t.form, 500, 5000, 5000)
	interval := pick(t.form, time.Second, 10*time.Second, 10*time.Second)
	before, during := pick(t.form, 4*time.Second, 30*time.Second, 30*time.Second), pick(t.form, 5*time.Second, 40*time.Second, 60*time.Second)
	var grown atomic.Bool
	begin := func() (*rig, []*farm.Target, error) {
		r, err := t.rig(ctx, rigOptions{})
		if err != nil {
			return nil, nil, err
		}
		targets, err := r.add(ctx, n, interval, func(i int) body.Source {
			return &switched{second: &grown, texts: [2]body.Source{plain(i, series)(0), plain(i, 10*series)(0)}}
		})
		if err == nil {
			r.config.Jobs = append(r.config.Jobs, job("load", interval, targets))
			err = r.start()
		}
		if err == nil {
			err = r.wait(ctx, before)
		}
		if err != nil {
			r.close()
		}
		return r, targets, err
	}

	small, _, err := begin()
	if err != nil {
		return err
	}
	defer small.close()
	if err := small.wait(ctx, during); err != nil {
		return err
	}
	never := small.anon(during)
	small.close()

	r, targets, err := begin()
	if err != nil {
		return err
	}
	defer r.close()
	begun := time.Now()
	grown.Store(true)
	if err := r.wait(ctx, during); err != nil {
		return err
	}
	peak := r.peak(begun)
	grown.Store(false)
	if err := r.scraped(ctx, targets, 2, 3*interval+10*time.Second); err != nil { // what lay ready was large still
		return err
	}
	over := time.Now()
	// In the short form a garbage collection more or less counts.
	limit := int64(1.2*float64(never)) + pick[int64](t.form, 3<<20, 0, 0)
	after := func() int64 { return r.anon(pick(t.form, time.Second, 5*time.Second, 5*time.Second)) }
	err = r.until(ctx, "memory after the burst", 60*time.Second, func() bool { return after() <= limit })
	now := after()
	t.figure("%.1f MiB if it never comes; %.1f MiB at its peak; %.1f MiB (×%.2f) after %.0f s", mib(never), mib(peak), mib(now),
		float64(now)/float64(never), time.Since(over).Seconds())
	if err != nil {
		t.want(r.process.Ended() == "", "%v", err)
		t.wantAtMost("resident memory 60 s after the burst", mib(now), mib(limit), "MiB")
	}
	return r.finish(ctx)
}
