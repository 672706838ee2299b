package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
)

// A scenario is a load, and what is asked about it.
type scenario struct {
	name, about string
	standard    bool          // it belongs to the short set
	interval    time.Duration // of all its targets, where they have one
	// Spans are for the lengths of windows which may be asked for. A window is a multiple of the interval, so that all agents do
	// the same work in it.
	quick, short, long span
	secure             bool          // the endpoint wants TLS and a token, and is 30 ms away
	perSeries          bool          // series are known beforehand, so that what is missing or came twice can be counted
	maxSeries          int           // how many series the endpoint can count; 0: its default
	memory             int64         // the control group's limit, in bytes
	floor              bool          // a floor agent can do it
	variants           bool          // our agent is measured with other flags than its own, too
	drain              time.Duration // how long the rest may take to arrive at the end; 0: as the length of windows says

	// build adds the targets, and the jobs which scrape them.
	build func(ctx context.Context, m *measurement) error
	// script is what happens in the window. It returns when the window is over. Nil: nothing happens.
	script func(ctx context.Context, m *measurement) error
}

// span is how long a measurement takes.
type span struct{ warm, window time.Duration } // before the window, and what is measured

// length is how long windows are.
type length int

// The lengths which flags ask for.
const (
	shortLength length = iota
	quickLength
	longLength
)

func (l length) String() string { return []string{"short", "quick", "long"}[l] }

func (s *scenario) span(l length) span { return []span{s.short, s.quick, s.long}[l] }

// takes is about how long one agent's measurement takes, its start and its end included.
func (s *scenario) takes(l length) time.Duration {
	return s.span(l).warm + s.span(l).window + 6*second
}

// fits reports whether the scenario measures the agent.
func (s *scenario) fits(a *agent.Agent) bool {
	switch {
	case a.Kind == agent.FloorDiscard || a.Kind == agent.FloorPush:
		return s.floor
	case a.Variant():
		return s.variants
	}
	return true
}

// second keeps the tables below readable.
const second = time.Second

func scenarios() []*scenario {
	return []*scenario{
		node60("node60-a", "a busy node, 52 targets, 63,000 series, relabeled as kube-prometheus ships it", relabelA),
		node60("node60-b", "the same node, relabeled as the VictoriaMetrics stack ships it", relabelB),
		{
			name: "steady", about: "100 targets × 2,000 series every 5 s, labels which differ per target", standard: true,
			interval: 5 * second, quick: span{10 * second, 20 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 120 * second},
			perSeries: true, floor: true, variants: true,
			build: plain(100, body.Plain{Series: 2000}, style{}),
		},
		{
			name: "gzip", about: "the same, compressed and in chunks",
			interval: 5 * second, quick: span{7 * second, 20 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 120 * second},
			perSeries: true, floor: true,
			build: plain(100, body.Plain{Series: 2000}, style{gzip: true, chunked: true}),
		},
		{
			name: "small", about: "5,000 targets × 20 series every 10 s", standard: true,
			interval: 10 * second, quick: span{13 * second, 20 * second}, short: span{25 * second, 40 * second}, long: span{25 * second, 120 * second},
			perSeries: true, floor: true,
			build: plain(5000, body.Plain{Series: 20}, style{}),
		},
		{
			name: "small-tls", about: "2,000 targets × 20 series every 10 s, over TLS",
			interval: 10 * second, quick: span{13 * second, 20 * second}, short: span{25 * second, 40 * second}, long: span{25 * second, 120 * second},
			perSeries: true, floor: true,
			build: plain(2000, body.Plain{Series: 20}, style{tls: true}),
		},
		{
			name: "huge", about: "1 target × 500,000 series every 20 s, a body of 100 MB",
			interval: 20 * second, quick: span{22 * second, 40 * second}, short: span{30 * second, 40 * second}, long: span{30 * second, 120 * second},
			perSeries: true, floor: true,
			build: plain(1, body.Plain{Series: 500_000, Wide: true}, style{}),
		},
		{
			name: "shuffle", about: "100 targets × 2,000 series every 5 s, each time in another order",
			interval: 5 * second, quick: span{7 * second, 20 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 120 * second},
			perSeries: true,
			build:     plain(100, body.Plain{Series: 2000, Shuffle: true}, style{}),
		},
		{
			name: "churn", about: "100 targets × 2,000 series every 5 s, one in twenty replaced by another each time", standard: true,
			interval: 5 * second, quick: span{10 * second, 25 * second}, short: span{15 * second, 60 * second}, long: span{15 * second, 600 * second},
			build: plain(100, body.Plain{Series: 2000, ChurnEvery: 20}, style{}),
		},
		{
			name: "burst", about: "20 targets × 2,000 series every 10 s; 200 more for a while; then as before", standard: true,
			interval: 10 * second, quick: span{12 * second, 80 * second}, short: span{30 * second, 120 * second}, long: span{30 * second, 300 * second},
			build: beforeBurst, script: burst,
		},
		{
			name: "reload", about: "100 targets × 2,000 series every 5 s, with a reload every 2 s which touches none of them",
			interval: 5 * second, quick: span{10 * second, 20 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 400 * second},
			perSeries: true,
			build:     plain(100, body.Plain{Series: 2000}, style{}), script: reload,
		},
		{
			name: "outage", about: "100 targets × 2,000 series every 5 s, while the endpoint answers 503 for half of the time",
			interval: 5 * second, quick: span{10 * second, 30 * second}, short: span{15 * second, 60 * second}, long: span{15 * second, 600 * second},
			perSeries: true, drain: 90 * second,
			build: plain(100, body.Plain{Series: 2000}, style{}), script: outage,
		},
		{
			name: "kill", about: "100 targets × 2,000 series every 5 s; the agent is killed (SIGKILL) and started again",
			interval: 5 * second, quick: span{10 * second, 30 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 120 * second},
			perSeries: true, drain: 20 * second,
			build: plain(100, body.Plain{Series: 2000}, style{}), script: kill,
		},
		{
			name: "limit", about: "500 targets × 2,000 series every 15 s in a control group of 128 MiB", standard: true,
			interval: 15 * second, quick: span{0 * second, 45 * second}, short: span{0, 60 * second}, long: span{0, 300 * second},
			memory: 128 << 20, drain: second,
			build: plain(500, body.Plain{Series: 2000}, style{}), script: untilDead,
		},
		{
			name: "idle", about: "no target",
			interval: 10 * second, quick: span{10 * second, 10 * second}, short: span{15 * second, 30 * second}, long: span{15 * second, 120 * second},
			floor: true,
			build: func(context.Context, *measurement) error { return nil },
		},
		{
			name: "idle-100", about: "100 targets × 10 series every 10 s", standard: true,
			interval: 10 * second, quick: span{11 * second, 20 * second}, short: span{15 * second, 40 * second}, long: span{15 * second, 120 * second},
			perSeries: true, floor: true,
			build: plain(100, body.Plain{Series: 10}, style{}),
		},
		{
			name: "blackholes", about: "5,000 targets × 20 series every 10 s, of which 1,000 never answer and 200 send a byte a second",
			interval: 10 * second, quick: span{13 * second, 20 * second}, short: span{25 * second, 40 * second}, long: span{25 * second, 120 * second},
			perSeries: true,
			build:     blackholes,
		},
	}
}

// style is how targets are served.
type style struct{ gzip, chunked, tls bool }

// plain adds n targets with texts of their own, and a job for all of them.
func plain(n int, text body.Plain, how style) func(context.Context, *measurement) error {
	return func(ctx context.Context, m *measurement) error {
		targets, err := m.addPlain(ctx, n, 0, text, how)
		if err != nil {
			return err
		}
		m.config.Jobs = append(m.config.Jobs, m.plainJob("load", targets))
		return nil
	}
}

// addPlain adds n targets; the first one's number is from.
func (m *measurement) addPlain(ctx context.Context, n, from int, text body.Plain, how style) ([]*farm.Target, error) {
	targets := make([]*farm.Target, n)
	for i := range targets {
		text.Target = from + i
		targets[i] = &farm.Target{Source: body.NewPlain(text), Gzip: how.gzip, Chunked: how.chunked, TLS: how.tls, Period: m.scenario.interval}
		if err := m.farm.Add(ctx, targets[i]); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// plainJob is a job which scrapes the targets without any rule.
func (m *measurement) plainJob(name string, targets []*farm.Target) agent.Job {
	j := agent.Job{Name: name, Interval: m.scenario.interval, HonorTimes: true, Groups: []agent.Group{}}
	for _, t := range targets {
		labels := labelsOf(t)
		j.Groups = append(j.Groups, agent.Group{Targets: []string{t.Address()}, Labels: labels})
		all := maps.Clone(labels)
		all["job"] = name
		m.labels.set(t, all)
	}
	if len(targets) > 0 && targets[0].TLS {
		j.TLS, j.Token = true, m.token
	}
	return j
}

// labelsOf are the labels which discovery would give the target, and which agents add to its series.
func labelsOf(t *farm.Target) map[string]string {
	host, _, _ := strings.Cut(t.Address(), ":")
	return map[string]string{"cluster": "bench", "container": "server", "namespace": "production", "node": "ip-" + host, "service": "orders-" + host}
}

// blackholes spreads those which never answer, and those which hardly do, among the others.
func blackholes(ctx context.Context, m *measurement) error {
	var all []*farm.Target
	for i := range 5000 {
		t := &farm.Target{Period: m.scenario.interval}
		switch {
		case i%5 == 0:
			t.Behaviour = farm.Hang
		case i%25 == 1:
			t.Behaviour = farm.Drip
		default:
			t.Source = body.NewPlain(body.Plain{Target: i, Series: 20})
		}
		if err := m.farm.Add(ctx, t); err != nil {
			return err
		}
		all = append(all, t)
	}
	m.config.Jobs = append(m.config.Jobs, m.plainJob("load", all))
	return nil
}

// beforeBurst adds the targets which stay, and a watched job for those to come.
func beforeBurst(ctx context.Context, m *measurement) error {
	targets, err := m.addPlain(ctx, 20, 0, body.Plain{Series: 2000}, style{})
	if err != nil {
		return err
	}
	later := m.plainJob("burst", nil)
	later.Watched = true
	m.config.Jobs = append(m.config.Jobs, m.plainJob("load", targets), later)
	return nil
}

// burst adds 200 targets for the first quarter of the window, removes them, and looks at what stays.
func burst(ctx context.Context, m *measurement) error {
	before := m.anonNow()
	extra, err := m.addPlain(ctx, 200, 1000, body.Plain{Series: 2000}, style{})
	if err != nil {
		return err
	}
	job := m.plainJob("burst", extra)
	job.Watched = true
	m.mark("200 targets come")
	if err := m.config.WriteTargets(job); err != nil {
		return err
	}
	if err := m.wait(ctx, m.window/4); err != nil {
		return err
	}
	m.mark("they leave")
	job.Groups = nil
	if err := m.config.WriteTargets(job); err != nil {
		return err
	}
	left := time.Now()
	if err := m.wait(ctx, min(65*second, m.window*3/4)); err != nil {
		return err
	}
	for _, t := range extra {
		m.farm.Remove(t)
	}
	after := m.anonBetween(left.Add(55*second), time.Now())
	peak := m.peakAnon()
	if before > 0 {
		mib := func(n int64) float64 { return float64(n) / (1 << 20) }
		m.note("before", fmt.Sprintf("%.1f MiB before the burst", mib(before)))
		m.note("peak", fmt.Sprintf("%.1f MiB at its peak", mib(peak)))
		m.note("after", fmt.Sprintf("%.1f MiB 60 s after it (×%.2f)", mib(after), mib(after)/mib(before)))
	}
	return m.wait(ctx, m.windowLeft())
}

// reload changes a job without targets every two seconds.
func reload(ctx context.Context, m *measurement) error {
	reloads := 0
	for m.windowLeft() > 2*second {
		other := agent.Job{Name: "other", Interval: time.Duration(30+reloads%2) * second, HonorTimes: true, Groups: []agent.Group{}}
		m.config.Jobs = append(slices.Clip(m.config.Jobs[:1]), other)
		if err := m.config.Write(m.agent.Kind); err != nil {
			return err
		}
		if err := m.process.Reload(); err != nil {
			return err
		}
		reloads++
		if err := m.wait(ctx, 2*second); err != nil {
			return err
		}
	}
	m.noteNumber("reloads", int64(reloads), "reloads")
	return m.wait(ctx, m.windowLeft())
}

// outage lets the endpoint fail for the first half of the window.
func outage(ctx context.Context, m *measurement) error {
	m.mark("the endpoint fails")
	m.sink.SetDown(true)
	if err := m.wait(ctx, m.window/2); err != nil {
		return err
	}
	m.noteNumber("failed requests", int64(m.sink.Counts().Unavailable), "requests failed")
	m.mark("it is back")
	m.sink.SetDown(false)
	return m.wait(ctx, m.windowLeft())
}

// kill kills the agent in the middle of the window, and starts it again at once.
func kill(ctx context.Context, m *measurement) error {
	if err := m.wait(ctx, m.window/2); err != nil {
		return err
	}
	m.mark("killed, and started again")
	m.noteFirst()
	m.sink.ForgetFirst()
	if err := m.restart(); err != nil {
		return err
	}
	if err := m.wait(ctx, m.windowLeft()); err != nil {
		return err
	}
	if at := m.sink.First(); !at.IsZero() {
		m.note("again", fmt.Sprintf("first sample %.1f s after the restart", at.Sub(m.process.Started).Seconds()))
	}
	return nil
}

// untilDead waits for the end of the window or of the agent, which is not a fault of the measurement here.
func untilDead(ctx context.Context, m *measurement) error {
	select {
	case <-m.process.Done():
		m.mark("it ended")
		m.note("died", fmt.Sprintf("died after %.0f s: %s", time.Since(m.process.Started).Seconds(), m.process.Ended()))
	case <-time.After(m.windowLeft()):
		m.note("alive", "alive at the end")
	case <-ctx.Done():
	}
	return ctx.Err()
}
