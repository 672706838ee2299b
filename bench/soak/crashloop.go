package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"scraper/bench/body"
	"scraper/bench/farm"
)

// labelled serves series with long labels of their own, which no compression makes small: a backlog grows fast.
type labelled struct {
	text    []byte
	samples int
}

func newLabelled(target, series int) *labelled {
	random := rand.New(rand.NewPCG(3, uint64(target)))
	l := &labelled{samples: series}
	for i := range series {
		l.text = append(l.text, `orders_total{trace="`...)
		for range 12 {
			l.text = fmt.Appendf(l.text, "%016x", random.Uint64())
		}
		l.text = fmt.Appendf(l.text, "\"} %d\n", i)
	}
	return l
}

// Next implements body.Source.
func (l *labelled) Next(time.Time) []byte { return l.text }

// Samples implements body.Source.
func (l *labelled) Samples() int { return l.samples }

// crashLoop kills the agent again and again while a backlog lies on its disk: a process which was killed for memory must not
// come back to the same death, and scrapes at once.
func crashLoop(ctx context.Context, t *trial) error {
	const n, kills, interval = 50, 5, time.Second
	series := pick(t.form, 1000, 2000, 2000) // 10 and 20 MB a second
	backlog := pick[float64](t.form, 64<<20, 2<<30, 2<<30)
	o := rigOptions{limit: 128 << 20, args: []string{"-remoteWrite.protocol=1.0"}}
	r, err := t.rig(ctx, o)
	if errors.Is(err, errSkip) { // it can be killed otherwise
		o.limit = 0
		r, err = t.rig(ctx, o)
	}
	if err != nil {
		return err
	}
	defer r.close()
	r.sink.SetDown(true)
	targets, err := r.add(ctx, n, interval, func(i int) body.Source { return newLabelled(i, series) })
	if err != nil {
		return err
	}
	r.config.Jobs = append(r.config.Jobs, job("load", interval, targets))
	if err := r.start(); err != nil {
		return err
	}
	onDisk := func() float64 {
		m, err := r.metrics()
		if err != nil {
			return 0
		}
		return m.sum("scraper_remotewrite_queue_disk_bytes")
	}
	filling := time.Now()
	if err := r.until(ctx, "a backlog", 20*time.Minute, func() bool { return onDisk() >= backlog }); err != nil {
		return err
	}
	filled, size := time.Since(filling), onDisk()
	var first, all time.Duration
	how := ""
	for range kills {
		if how, err = r.killForMemory(ctx); err != nil {
			return err
		}
		begun := time.Now()
		if err := r.start(); err != nil {
			return err
		}
		one, each, err := r.firstScrapes(ctx, targets, begun)
		if err != nil {
			return err
		}
		first, all = max(first, one), max(all, each)
	}
	t.figure("%.0f MiB on disk after %.0f s; killed %d times by %s; first scrape at most %.2f s after the start, all %d targets at most %.2f s",
		size/(1<<20), filled.Seconds(), kills, how, first.Seconds(), n, all.Seconds())
	t.wantAtMost("first scrape after a start", first.Seconds(), 2, "s")
	// Their turns are spread over the interval.
	t.wantAtMost("all targets scraped after a start", all.Seconds(), 2+interval.Seconds(), "s")
	if r.group != nil {
		killed, err := r.group.Killed()
		t.want(err == nil && killed <= 2*kills, "killed for memory %d times (%v), want %d, and as often at most who took it", killed, err, kills)
	}
	r.addsUp()
	r.sink.SetDown(false)
	begun := time.Now()
	if err := r.quiet(ctx, 10*time.Minute); err != nil {
		return err
	}
	_, served := r.farm.Served()
	got := int64(r.sink.Counts().Samples)
	t.figure("delivered in %.0f s: %d samples, and %d were served", time.Since(begun).Seconds(), got, served)
	// What came within a second before a kill may be lost; automatic series come on top.
	t.want(got >= served-int64(kills*2*n*series), "%d samples arrived of %d, want all but what %d kills may lose", got, served, kills)
	return r.end(ctx)
}

// firstScrapes returns how long after begun the first target, and each of them, was scraped.
func (r *rig) firstScrapes(ctx context.Context, targets []*farm.Target, begun time.Time) (first, all time.Duration, err error) {
	err = r.until(ctx, "scrapes after a start", 30*time.Second, func() bool {
		first, all = time.Hour, 0
		for _, t := range targets {
			at := t.Arrivals(begun, time.Now())
			if len(at) == 0 {
				return false
			}
			first, all = min(first, at[0].Sub(begun)), max(all, at[0].Sub(begun))
		}
		return true
	})
	return first, all, err
}
