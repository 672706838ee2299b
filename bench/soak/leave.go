package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/proc"
)

// markersSent is the agent's own count of staleness markers.
const markersSent = "scraper_scrape_stale_markers_total"

// automatic is how many series the agent adds to those of a target which has no sample limit.
const automatic = 7

// rounds lets many small targets come by a file, and go again, some times over. A few others are there all the time.
func rounds(ctx context.Context, t *trial) error {
	const series = 20
	targets, times := pick(t.form, 400, 10_000, 10_000), pick(t.form, 2, 5, 50)
	interval := pick(t.form, time.Second, 15*time.Second, 15*time.Second)
	r, err := t.rig(ctx, rigOptions{})
	if err != nil {
		return err
	}
	defer r.close()
	stay, err := r.add(ctx, 20, interval, plain(1_000_000, series))
	if err != nil {
		return err
	}
	// Two of them at each address: the descriptors of a process are limited.
	all := make([]*farm.Target, targets)
	for i := range all {
		all[i] = &farm.Target{Path: fmt.Sprint("/", i%2), Source: body.NewPlain(body.Plain{Target: i, Series: series}), Period: interval}
	}
	come := agent.Job{Name: "come", Interval: interval, Watched: true}
	for i := 0; i < targets; i += 2 {
		if err := r.farm.Add(ctx, all[i], all[i+1]); err != nil {
			return err
		}
		for _, one := range all[i : i+2] {
			come.Groups = append(come.Groups, agent.Group{Targets: []string{one.Address()}, Labels: map[string]string{
				"__metrics_path__": one.Path, "instance": one.Address() + one.Path}})
		}
	}
	none := come
	none.Groups = nil
	r.config.Jobs = append(r.config.Jobs, job("stay", interval, stay), none)
	if err := r.start(); err != nil {
		return err
	}
	if err := r.scraped(ctx, stay, 2, time.Minute); err != nil {
		return err
	}
	var first holdings
	var firstAnon int64
	markers := 0.0
	for i := range times {
		if err := r.config.WriteTargets(come); err != nil {
			return err
		}
		if err := r.scraped(ctx, all, 2, 3*time.Minute); err != nil {
			return err
		}
		full := r.anon(time.Second)
		if err := r.config.WriteTargets(none); err != nil {
			return err
		}
		var m metrics
		err := r.until(ctx, "markers", time.Minute, func() bool {
			m, _ = r.metrics() // a page which does not come is asked for again
			return m[`scraper_scrape_targets{job="come"}`] == 0 && m[markersSent] > 0 && float64(r.sink.Counts().StaleMarkers) >= m[markersSent]
		})
		if err != nil {
			return err
		}
		// Of a target whose last scrape failed, where the machine does much else, they came before.
		each := (m[markersSent] - markers) / float64(targets)
		t.want(each > 0.9*(series+automatic), "round %d: %.2f markers of each target, want %d", i+1, each, series+automatic)
		markers = m[markersSent]
		if err := r.wait(ctx, pick(t.form, time.Second, 15*time.Second, 30*time.Second)); err != nil {
			return err
		}
		now, ok := first, true
		if i == 0 {
			first, err = r.calm(ctx, 10)
			now, firstAnon = first, r.anon(time.Second)
		} else {
			now, ok, err = r.back(ctx, first, 0.02, pick[float64](t.form, 8, 4, 4), 45*time.Second)
		}
		if err != nil {
			return err
		}
		anon := r.anon(time.Second)
		t.figure("round %d: %.1f MiB resident with all, %.1f without; %v", i+1, mib(full), mib(anon), now)
		t.want(ok, "after round %d the agent holds %v, want no more than after the first: %v %q", i+1, now, first, now.newNames(first))
		t.want(float64(anon) <= 1.2*float64(firstAnon)+pick[float64](t.form, 4<<20, 1<<20, 1<<20),
			"after round %d %.1f MiB are resident, want no more than after the first: %.1f", i+1, mib(anon), mib(firstAnon))
	}
	return r.finish(ctx)
}

// leave removes a job of many large targets by a reload.
func leave(ctx context.Context, t *trial) error {
	if t.form != short {
		if err := t.leaveAtOnce(ctx, 0, pick(t.form, 0, 1000, 10_000)); err != nil {
			return fmt.Errorf("without a limit: %w", err)
		}
	}
	size := pick[int64](t.form, 32, 64, 64)
	if err := t.leaveAtOnce(ctx, size, pick(t.form, 50, 300, 300)); err != nil {
		return fmt.Errorf("%d MiB: %w", size, err)
	}
	return nil
}

// cpu is what the agent used so far.
func (r *rig) cpu() time.Duration {
	d, _ := proc.CPU(int(r.pid.Load())) // 0 if it has ended, which others notice
	return d
}

// leaveAtOnce does so in a control group of so many MiB; 0: without one.
func (t *trial) leaveAtOnce(ctx context.Context, size int64, targets int) error {
	const series = 1000
	interval := pick(t.form, 2*time.Second, 20*time.Second, 20*time.Second)
	r, err := t.rig(ctx, rigOptions{limit: size << 20})
	if err != nil {
		return err
	}
	defer r.close()
	stay, err := r.add(ctx, smallTargets, interval, plain(1_000_000, smallSeries))
	if err != nil {
		return err
	}
	r.config.Jobs = append(r.config.Jobs, job("stay", interval, stay))
	all, err := r.load(ctx, targets, series, interval)
	if err != nil {
		return err
	}
	if err := r.scraped(ctx, all, 2, 3*time.Minute); err != nil {
		return err
	}
	before := r.anon(interval / 2)
	r.config.Jobs = r.config.Jobs[:1]
	if err := r.config.Write(r.agent.Kind); err != nil {
		return err
	}
	first, err := r.metrics()
	if err != nil {
		return err
	}
	wire, cpu, begun := r.sink.Counts().BodyBytes, r.cpu(), time.Now()
	if _, err := r.get(http.MethodPost, "/-/reload"); err != nil {
		return err
	}
	took, used := time.Since(begun), r.cpu()-cpu
	m, err := r.metrics()
	if err != nil {
		return err
	}
	if err := r.until(ctx, "markers", 5*time.Minute, func() bool { return float64(r.sink.Counts().StaleMarkers) >= m[markersSent] }); err != nil {
		return fmt.Errorf("%w; %d of %.0f came", err, r.sink.Counts().StaleMarkers, m[markersSent])
	}
	arrived := time.Since(begun)
	if err := r.wait(ctx, pick(t.form, time.Second, 15*time.Second, 30*time.Second)); err != nil {
		return err
	}
	markers, whole := m[markersSent]-first[markersSent], float64(targets*(series+automatic))
	t.figure("%d × %d leave, limit %d MiB: the reload took %.2f s, %.2f s of CPU; %.0f markers in %.1f MiB, which arrived within %.2f s; %.1f MiB resident before, at most %.1f, %.1f then",
		targets, series, size, took.Seconds(), used.Seconds(), markers, mib(int64(r.sink.Counts().BodyBytes-wire)), arrived.Seconds(), mib(before), mib(r.peak(begun)), mib(r.anon(time.Second)))
	// A target whose last scrape failed, where the machine does much else, had its markers before.
	t.want(markers <= whole && markers >= whole/pick[float64](t.form, 2, 1.01, 1.01), "%.0f markers, want %.0f", markers, whole)
	lost := m.sum("scraper_remotewrite_dropped_samples_total")
	t.want(lost == 0, "%.0f samples were dropped", lost)
	if size > 0 {
		t.wantAlive(r, "targets which leave")
	}
	return r.finish(ctx)
}
