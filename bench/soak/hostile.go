package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
	"scraper/bench/farm"
	"scraper/bench/proc"
	"scraper/bench/report"
)

// mostMoved is what an attack may add to resident memory, in bytes.
const mostMoved = 16 << 20

// hostile lets one target answer with bodies which are made to hurt, beside others which must not notice.
func hostile(ctx context.Context, t *trial) error {
	const interval = time.Second
	var now atomic.Pointer[attack]
	var answered atomic.Int64
	r, err := t.rig(ctx, rigOptions{args: []string{"-promscrape.maxScrapeSize=16777216", "-promscrape.dialect=prometheus"}})
	if err != nil {
		return err
	}
	defer r.close()
	for name, limit := range map[string]int{"hostile": 10_000, "hostile-free": 0} {
		server, err := startRaw(ctx, func(_ context.Context, c net.Conn, _ []byte) bool {
			if a := now.Load(); a != nil && a.free == (limit == 0) {
				_ = a.write(c) // the agent may have had enough
				answered.Add(1)
			}
			return false
		})
		if err != nil {
			return err
		}
		defer server.close()
		r.config.Jobs = append(r.config.Jobs, agent.Job{Name: name, Interval: pick[time.Duration](t.form, 1, 2, 2) * interval, HonorTimes: true, SampleLimit: limit,
			Groups: []agent.Group{{Targets: []string{server.address()}}}})
	}
	neighbours, err := r.load(ctx, 20, 1000, interval)
	if err != nil {
		return err
	}
	if err := r.scraped(ctx, neighbours, 3, time.Minute); err != nil {
		return err
	}
	if err := r.wait(ctx, 2*time.Second); err != nil {
		return err
	}
	begun, base := time.Now(), r.peak(time.Now().Add(-2*time.Second))
	most, stop := r.watch()
	defer stop()
	all := attacks(pick(t.form, 4, 40, 400), t.form == short)
	for i := range all {
		a := &all[i]
		switch {
		case a.name == "cut":
		case t.form == short: // the machine may do much else: each attack is judged by itself
			err = r.calmDown(ctx, base)
		default:
			err = r.wait(ctx, 2*time.Second)
		}
		if err != nil {
			return err
		}
		answered.Store(0)
		most.Store(0)
		now.Store(a)
		from := time.Now()
		times := pick[int64](t.form, 1, 2, 10)
		if a.name == "cut" {
			times = 1
		}
		if err := r.until(ctx, a.name, 30*time.Second, func() bool { return answered.Load() >= times }); err != nil {
			return err
		}
		var health, reason string
		job := "hostile"
		if a.free {
			job += "-free"
		}
		err := r.until(ctx, a.name+": a failed scrape", 5*time.Second, func() bool {
			health, reason, err = r.health(job, from)
			return err == nil && health == "down" && reason != ""
		})
		t.want(err == nil, "%s: the target is %q because of %q, want it down with a reason", a.name, health, reason)
		moved := most.Load() - base
		if a.name != "cut" {
			t.figure("%s: %+.1f MiB; %s", a.name, mib(moved), shorten(reason))
		}
		now.Store(nil)
		t.wantAtMost(a.name+": resident memory moved by", mib(moved), mib[int64](mostMoved), "MiB")
	}
	now.Store(nil)
	if err := r.calmDown(ctx, base); err != nil {
		return err
	}
	t.onTime("neighbours", neighbours, begun, interval)
	return r.finish(ctx)
}

// calmDown waits until the agent has given back what it took for the attacks before, and judges how much of it stays: a few MiB.
func (r *rig) calmDown(ctx context.Context, base int64) error {
	const stays = 4 << 20
	var now int64
	err := r.until(ctx, "memory after an attack", 30*time.Second, func() bool {
		now = r.anon(500 * time.Millisecond)
		return now <= base+stays
	})
	if r.process.Ended() != "" || ctx.Err() != nil {
		return err
	}
	r.t.want(err == nil, "after an attack %.1f MiB are resident, %.1f before all of them", mib(now), mib(base))
	return nil
}

// watch keeps the most of the agent's resident anonymous memory, in bytes, until stop is called. It looks often enough to meet what is
// there for a moment.
func (r *rig) watch() (most *atomic.Int64, stop func()) {
	most = new(atomic.Int64)
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if mem, err := proc.ReadMemory(int(r.pid.Load())); err == nil && mem.Anon > most.Load() {
				most.Store(mem.Anon)
			}
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	return most, func() { close(end); wg.Wait() }
}

func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}

// onTime wants targets to have been scraped in each interval, and on time, since some moment.
func (t *trial) onTime(what string, targets []*farm.Target, since time.Time, interval time.Duration) {
	var late report.Lateness
	for _, target := range targets {
		late.Add(target.Arrivals(since, time.Now()), interval)
	}
	late.Finish()
	t.figure("%s: %d scrapes, %d left out, 99 %% at most %.0f ms late", what, late.Scrapes, late.Skipped, late.P99Millis)
	if t.form == short { // a test says nothing about speed: the machine may do much else
		return
	}
	// The cores are busy with targets as well; half a second is nobody's fault.
	t.want(late.Skipped <= late.Scrapes/1000, "%s: %d scrapes left out of %d", what, late.Skipped, late.Scrapes)
	t.wantAtMost(what+" late by", late.P99Millis, 500+float64(interval.Milliseconds())/20, "ms")
}

// health is what the agent says of the only target of a job, if it was scraped since from.
func (r *rig) health(job string, from time.Time) (health, reason string, err error) {
	text, err := r.get(http.MethodGet, "/api/v1/targets")
	if err != nil {
		return "", "", err
	}
	var page struct {
		Data struct {
			ActiveTargets []struct {
				Labels            map[string]string
				Health, LastError string
				LastScrape        time.Time
			}
		}
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return "", "", err
	}
	for _, target := range page.Data.ActiveTargets {
		if target.Labels["job"] == job && target.LastScrape.After(from) {
			return target.Health, target.LastError, nil
		}
	}
	return "", "", nil
}
