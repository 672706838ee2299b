package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/proc"
	"scraper/bench/report"
	"scraper/bench/sampler"
	"scraper/bench/sink"
)

// bench is what all measurements of a run have in common.
type bench struct {
	out      io.Writer
	length   length
	tmp      string
	launcher agent.Launcher
	cgroups  bool // control groups can be made
	bodies   *body.Captured
	seq      int
}

// probeCgroup finds out whether control groups can be made, and says so if not.
func (b *bench) probeCgroup() {
	g, err := proc.NewCgroup(fmt.Sprintf("scraper-bench-%d", os.Getpid()))
	if err != nil {
		fmt.Fprintf(b.out, "working sets are not measured, and limits not set: %v\n", err)
		return
	}
	_ = g.Remove()
	b.cgroups = true
}

// measurement is one agent in one scenario.
type measurement struct {
	scenario *scenario
	agent    *agent.Agent
	launcher agent.Launcher
	farm     *farm.Farm
	sink     *sink.Sink
	config   agent.Config
	group    *proc.Cgroup // nil: there is none
	process  *agent.Process
	token    string
	bodies   *body.Captured // nil: there are none
	labels   targetLabels
	length   length
	warm     time.Duration
	window   time.Duration

	begun    time.Time     // of the window
	usedCPU  time.Duration // by processes of this measurement which have ended
	pid      atomic.Int64
	samples  *sampler.Sampler
	res      report.Result
	children []func(ctx context.Context) // what runs beside the agent, until the end
	beside   sync.WaitGroup              // for them, and for what they start
}

// drain is how long the rest may take to arrive, where the scenario does not say. Prometheus sends the rest of a batch after
// 5 s, if it has no backlog.
var drain = map[length]time.Duration{quickLength: 12 * time.Second, shortLength: 30 * time.Second, longLength: 30 * time.Second}

// grace is how long an agent may take to end.
var grace = map[length]time.Duration{quickLength: 3 * time.Second, shortLength: 10 * time.Second, longLength: 10 * time.Second}

// measure runs one agent in one scenario. The result holds what is known even if there is an error.
func (b *bench) measure(ctx context.Context, s *scenario, a *agent.Agent) (res report.Result, err error) {
	span := s.span(b.length)
	m := &measurement{scenario: s, agent: a, launcher: b.launcher, length: b.length, bodies: b.bodies, warm: span.warm, window: span.window}
	m.res = report.Result{Scenario: s.name, Agent: a.Name, Version: a.Version, Windows: b.length.String(), WindowSeconds: m.window.Seconds(), LoadBefore: proc.LoadAverage()}
	defer func() { res = m.res }()
	if s.memory > 0 && !b.cgroups {
		return m.res, errors.New("it needs a memory control group")
	}
	b.seq++
	dir := filepath.Join(b.tmp, fmt.Sprintf("run-%d", b.seq))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return m.res, err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(b.out, "  %s: %.0f s, of which %.0f are measured\n", a.Name, (m.warm + m.window).Seconds(), m.window.Seconds())
	if err := a.ReadProgram(); err != nil {
		return m.res, err
	}
	if err := m.prepare(ctx, dir); err != nil {
		m.close()
		return m.res, err
	}
	defer m.close()
	if b.cgroups {
		if m.group, err = proc.NewCgroup(fmt.Sprintf("scraper-bench-%d-%d", os.Getpid(), b.seq)); err != nil {
			return m.res, err
		}
		defer func() {
			if e := m.group.Remove(); e != nil && err == nil {
				err = e
			}
		}()
		if s.memory > 0 {
			if err := m.group.Limit(s.memory); err != nil {
				return m.res, err
			}
		}
	}
	return m.res, m.run(ctx)
}

// prepare makes everything but the agent.
func (m *measurement) prepare(ctx context.Context, dir string) error {
	cert, err := sink.NewCertificate()
	if err != nil {
		return err
	}
	m.token = "bench-token"
	m.farm = farm.New(farm.Options{TLS: cert.Config(), Token: m.token})
	opts := sink.Options{PerSeries: m.scenario.perSeries, MaxSeries: m.scenario.maxSeries, Version2: m.agent.Version2()}
	if m.scenario.secure {
		opts.TLS, opts.Token, opts.Delay = cert.Config(), m.token, 30*time.Millisecond
	}
	if m.sink, err = sink.Start(ctx, opts); err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, cert.PEM(), 0o644); err != nil {
		return err
	}
	listen, err := agent.FreeAddress(ctx)
	if err != nil {
		return err
	}
	m.config = agent.Config{WriteURL: m.sink.URL(), WriteToken: opts.Token, CAFile: ca, ServerName: sink.ServerName, Dir: dir, ListenAddr: listen}
	if err := m.scenario.build(ctx, m); err != nil {
		return fmt.Errorf("build the targets: %w", err)
	}
	return m.config.Write(m.agent.Kind)
}

// close ends the targets and the endpoint.
func (m *measurement) close() {
	if m.farm != nil {
		m.farm.Close()
	}
	if m.sink != nil {
		_ = m.sink.Close() // the result does not depend on it
	}
}

// start starts the agent.
func (m *measurement) start() error {
	dir := ""
	if m.group != nil {
		dir = m.group.Dir()
	}
	p, err := m.agent.Start(m.config, m.launcher, dir)
	if err != nil {
		return err
	}
	m.process = p
	m.pid.Store(int64(p.PID()))
	return nil
}

// restart kills the agent, and starts it again with the same files.
func (m *measurement) restart() error {
	used, err := proc.CPU(m.process.PID())
	if err != nil {
		return err
	}
	m.usedCPU += used
	m.process.Kill()
	return m.start()
}

// cpu is what the agent used so far.
func (m *measurement) cpu() (time.Duration, error) {
	used, err := proc.CPU(m.process.PID())
	return m.usedCPU + used, err
}

// moment is what is read at the beginning and the end of the window.
type moment struct {
	at     time.Time
	cpu    time.Duration
	self   time.Duration
	busy   time.Duration
	counts sink.Counts
	served int64 // samples
}

func (m *measurement) moment() (x moment, err error) {
	x.at, x.counts = time.Now(), m.sink.Counts()
	_, x.served = m.farm.Served()
	var errs [3]error
	x.cpu, errs[0] = m.cpu()
	x.self, errs[1] = proc.CPU(os.Getpid())
	x.busy, errs[2] = proc.Busy()
	return x, errors.Join(errs[:]...)
}

// run starts the agent, measures it, and ends it.
func (m *measurement) run(ctx context.Context) error {
	m.res.Started = time.Now()
	if err := m.start(); err != nil {
		return err
	}
	defer func() { m.process.Kill() }()
	m.samples = sampler.Start(func() int { return int(m.pid.Load()) }, m.group)
	defer m.samples.Stop()
	side, stopSide := context.WithCancel(ctx)
	for _, child := range m.children {
		m.beside.Go(func() { child(side) })
	}
	defer func() {
		stopSide()
		m.beside.Wait()
	}()

	if err := m.wait(ctx, m.warm); err != nil {
		return err
	}
	m.begun = time.Now()
	m.samples.Mark(m.begun)
	before, err := m.moment()
	if err != nil {
		return m.dead(err)
	}
	script := m.scenario.script
	if script == nil {
		script = func(ctx context.Context, m *measurement) error { return m.wait(ctx, m.window) }
	}
	if err := script(ctx, m); err != nil {
		return err
	}
	after, err := m.moment()
	switch {
	case err == nil:
		m.evaluate(before, after)
	case m.scenario.memory > 0: // it died: that is a result
		m.res.WindowSeconds = time.Since(before.at).Seconds()
		m.res.Samples = int64(m.sink.Counts().Samples - before.counts.Samples)
		_, served := m.farm.Served()
		m.res.Served = served - before.served
		m.evaluateMemory(before.at, time.Now())
	default:
		return m.dead(err)
	}
	stopSide()
	m.farm.Hold()
	m.finish(ctx)
	m.res.StopSeconds = m.process.Stop(grace[m.length]).Seconds()
	if m.group != nil {
		if n, err := m.group.Killed(); err == nil && n > 0 {
			m.noteNumber("killed", n, "times killed for want of memory")
		}
	}
	if n := m.sink.Counts().Refused; n > 0 {
		m.noteNumber("refused", int64(n), "pushes refused")
	}
	if n := m.farm.Refused(); n > 0 {
		m.noteNumber("refused scrapes", n, "scrapes refused (path or token)")
	}
	m.res.Log = m.process.Log()
	return nil
}

// dead makes an error of the agent's end.
func (m *measurement) dead(err error) error {
	select {
	case <-m.process.Done():
	case <-time.After(time.Second): // it lives, or its end is not known yet
	}
	m.res.Log = m.process.Log()
	if ended := m.process.Ended(); ended != "" {
		lines := strings.Split(strings.TrimSpace(m.process.Log()), "\n")
		return fmt.Errorf("the agent ended (%s): %.300s", ended, lines[len(lines)-1])
	}
	return err
}

// evaluate computes what is told of the window.
func (m *measurement) evaluate(a, b moment) {
	r := &m.res
	window := b.at.Sub(a.at).Seconds()
	r.WindowSeconds = window
	r.CPUSeconds = (b.cpu - a.cpu).Seconds()
	r.Millicores = 1000 * r.CPUSeconds / window
	self := (b.self - a.self).Seconds()
	r.BenchMillicores = 1000 * self / window
	r.OthersMillicores = max(0, 1000*((b.busy-a.busy).Seconds()-self-r.CPUSeconds)/window)
	r.Samples = int64(b.counts.Samples - a.counts.Samples)
	r.Served = b.served - a.served
	if r.Served > 0 && m.agent.Kind != agent.FloorDiscard {
		r.CPUPerMillion = r.CPUSeconds / float64(r.Served) * 1e6
	}
	if r.Samples > 0 {
		r.CPUPerMillionArrived = r.CPUSeconds / float64(r.Samples) * 1e6
		r.WirePerSample = float64(b.counts.WireBytes-a.counts.WireBytes) / float64(r.Samples)
		r.Protocol = m.sink.Protocol()
		r.BodyPerSample = float64(b.counts.BodyBytes-a.counts.BodyBytes) / float64(r.Samples)
	}
	for _, t := range m.farm.Targets() {
		if t.Behaviour == farm.Serve && t.Lived(a.at, b.at) {
			r.Late.Add(t.Arrivals(a.at, b.at), t.Period)
		}
	}
	r.Late.Finish()
	m.evaluateMemory(a.at, b.at)
}

func (m *measurement) evaluateMemory(from, to time.Time) {
	r := &m.res
	r.Timeline, r.Marks = m.samples.Timeline(m.res.Started)
	r.AnonAvg, r.AnonWindowPeak, r.WorkingSetAvg, _ = m.samples.Between(from, to)
	_, r.AnonPeak, _, r.WorkingSetPeak = m.samples.Between(m.res.Started, to)
	m.noteFirst()
	r.Connections = m.farm.Connections()
}

// noteFirst remembers when the first sample after the start had arrived.
func (m *measurement) noteFirst() {
	if at := m.sink.First(); !at.IsZero() && m.res.FirstSampleSeconds == 0 {
		m.res.FirstSampleSeconds = at.Sub(m.res.Started).Seconds()
	}
}

// wait waits, unless the agent ends.
func (m *measurement) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.process.Done():
		return m.dead(errors.New("the agent ended"))
	}
}

// windowLeft is how much of the window is left.
func (m *measurement) windowLeft() time.Duration { return m.window - time.Since(m.begun) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note adds a remark to the result; key orders and identifies it.
func (m *measurement) note(key, text string) {
	m.res.Notes = append(m.res.Notes, report.Note{Key: key, Text: text})
}

func (m *measurement) noteNumber(key string, n int64, unit string) {
	m.note(key, fmt.Sprintf("%d %s", n, unit))
}

// mark notes an event in the course of the memory.
func (m *measurement) mark(text string) { m.samples.Event(text) }

// anonNow is the average of the last two seconds, in bytes.
func (m *measurement) anonNow() int64 {
	return m.anonBetween(time.Now().Add(-2*time.Second), time.Now())
}

func (m *measurement) anonBetween(from, to time.Time) int64 {
	avg, _, _, _ := m.samples.Between(from, to)
	return avg
}

// peakAnon is the highest since the start, in bytes.
func (m *measurement) peakAnon() int64 {
	_, peak, _, _ := m.samples.Between(m.res.Started, time.Now())
	return peak
}
