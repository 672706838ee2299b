package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
)

// pinned changes the configuration many times while a scrape and a request to a destination wait for answers which never
// come. They began with the first configuration: only that may stay for them, not those which came after it.
func pinned(ctx context.Context, t *trial) error {
	epochs, n := pick(t.form, 60, 1000, 5000), pick(t.form, 20, 100, 100)
	const interval = time.Second
	// A target's first turn is somewhere in its interval; then it is waited for as long.
	holds := pick(t.form, 10*time.Second, 90*time.Second, 4*time.Minute)
	var scraped, pushed atomic.Int64
	blackHole, err := startRaw(ctx, func(ctx context.Context, c net.Conn, head []byte) bool {
		if bytes.HasPrefix(head, []byte("GET ")) {
			scraped.Add(1)
		} else {
			pushed.Add(1)
		}
		return never(ctx, c, head)
	})
	if err != nil {
		return err
	}
	defer blackHole.close()
	r, err := t.rig(ctx, rigOptions{})
	if err != nil {
		return err
	}
	defer r.close()
	targets, err := r.add(ctx, n, interval, plain(0, 50))
	if err != nil {
		return err
	}
	change := func(epoch int) error {
		rule := agent.Rule{SourceLabels: []string{"code"}, Regex: fmt.Sprintf("epoch-%08d", epoch), Action: "drop"}
		load := job("load", interval, targets)
		load.MetricRelabel = []agent.Rule{rule}
		hole := agent.Job{Name: "hole", Interval: holds, HonorTimes: true, MetricRelabel: []agent.Rule{rule},
			Groups: []agent.Group{{Targets: []string{blackHole.address()}}}}
		r.config.Jobs = []agent.Job{load, hole}
		r.config.Sections = map[string]any{"remote_write": []any{map[string]any{
			"name": "hole", "url": "http://" + blackHole.address() + "/write", "remote_timeout": "1h",
			"headers": map[string]string{"X-Epoch": strconv.Itoa(epoch)},
		}}}
		return r.config.Write(r.agent.Kind)
	}
	if err := change(0); err != nil {
		return err
	}
	if err := r.start(); err != nil {
		return err
	}
	if err := r.scraped(ctx, targets, 2, time.Minute); err != nil {
		return err
	}
	err = r.until(ctx, "a scrape and a request which are not answered", 2*holds, func() bool { return scraped.Load() > 0 && pushed.Load() > 0 })
	if err != nil {
		return err
	}
	apply := func(from, to int) error {
		for epoch := from; epoch < to; epoch++ {
			if err := change(epoch); err != nil {
				return err
			}
			if _, err := r.get(http.MethodPost, "/-/reload"); err != nil {
				return err
			}
		}
		return r.scraped(ctx, targets, 2, time.Minute)
	}
	if err := apply(1, epochs/10); err != nil {
		return err
	}
	before, err := r.calm(ctx, 5)
	if err != nil {
		return err
	}
	if err := apply(epochs/10, epochs); err != nil {
		return err
	}
	// What waits for the destination which never answers waits on disk; what is known about it is a little more each second.
	now, ok, err := r.back(ctx, before, 0.1, 4, 30*time.Second)
	if err != nil {
		return err
	}
	t.figure("after %d epochs: %v; after %d: %v", epochs/10, before, epochs, now)
	t.want(ok, "after %d epochs the agent holds %v, want no more than after %d: %v %q", epochs, now, epochs/10, before, now.newNames(before))
	m, err := r.metrics()
	if err != nil {
		return err
	}
	t.superseded(m)
	holders := []string{"scrape of http://" + blackHole.address(), "sender of destination 2:hole"}
	// A scrape ends by its timeout, and the next one begins with the configuration as it is: then it takes another epoch.
	for range 5 {
		page, err := r.get(http.MethodGet, "/debug/memory?format=json")
		if err != nil {
			return err
		}
		holders = slices.DeleteFunc(holders, func(h string) bool { return bytes.Contains(page, []byte(h)) })
		if len(holders) == 0 {
			break
		}
		if err := apply(epochs, epochs+1); err != nil {
			return err
		}
		epochs++
	}
	t.want(len(holders) == 0, "/debug/memory does not say that a snapshot is held by: %s", strings.Join(holders, ", "))
	r.addsUp()
	blackHole.close()
	return nil
}

// superseded tells which superseded snapshots the agent says live, and wants the gauge to name what they are.
func (t *trial) superseded(m metrics) {
	const gauge = "scraper_snapshots_superseded"
	var said []string
	known := false
	for series, v := range m {
		if strings.HasPrefix(series, gauge) {
			known = true
		}
		if strings.HasPrefix(series, gauge+"{") && v > 0 {
			said = append(said, fmt.Sprintf("%s %v", strings.TrimPrefix(series, gauge), v))
			t.wantAtMost(series, v, 5, "snapshots")
		}
	}
	t.want(known, "there is no %s", gauge)
	if len(said) > 0 {
		t.figure("superseded: %s", strings.Join(said, ", "))
	}
}
