package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/proc"
	"scraper/bench/sampler"
	"scraper/bench/sink"
	"scraper/receiver"
)

// rigOptions say what a case needs beside targets and an endpoint.
type rigOptions struct {
	agent     *agent.Agent // nil: ours
	limit     int64        // of a memory control group, in bytes; 0: none
	perSeries bool         // the endpoint counts the samples of each series
	maxSeries int          // which it can count

	args, env, wrapper []string
}

// rig is an agent with all that surrounds it. It is for one goroutine, but for what says otherwise.
type rig struct {
	t       *trial
	agent   *agent.Agent
	farm    *farm.Farm
	sink    *sink.Sink
	config  agent.Config
	group   *proc.Cgroup // nil: none
	process *agent.Process
	pid     atomic.Int64
	samples *sampler.Sampler
}

// rig makes everything but the targets; start starts the agent. The caller closes it.
func (t *trial) rig(ctx context.Context, o rigOptions) (r *rig, err error) {
	r = &rig{t: t, agent: o.agent, farm: farm.New(farm.Options{})}
	if r.agent == nil {
		r.agent = t.agent
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	id := t.seq.Add(1)
	if o.limit > 0 {
		if r.group, err = proc.NewCgroup(fmt.Sprintf("scraper-soak-%d-%d", os.Getpid(), id)); err != nil {
			return r, fmt.Errorf("%w: %w", errSkip, err)
		}
		if err = r.group.Limit(o.limit); err != nil {
			return r, err
		}
	}
	dir := filepath.Join(t.tmp, fmt.Sprintf("rig-%d", id))
	if err = os.Mkdir(dir, 0o755); err != nil {
		return r, err
	}
	if r.sink, err = sink.Start(ctx, sink.Options{PerSeries: o.perSeries, MaxSeries: o.maxSeries}); err != nil {
		return r, err
	}
	listen, err := agent.FreeAddress(ctx)
	if err != nil {
		return r, err
	}
	r.config = agent.Config{WriteURL: r.sink.URL(), Dir: dir, ListenAddr: listen, Args: o.args, Env: o.env, Wrapper: o.wrapper}
	return r, r.agent.ReadProgram()
}

// close ends everything.
func (r *rig) close() {
	if r.process != nil {
		r.process.Kill()
	}
	if r.samples != nil {
		r.samples.Stop()
	}
	r.farm.Close()
	if r.sink != nil {
		_ = r.sink.Close() // the result does not depend on it
	}
	if r.group != nil {
		if err := r.group.Remove(); err != nil {
			r.t.want(false, "%v", err)
		}
	}
	_ = os.RemoveAll(r.config.Dir)
}

// add adds n targets which are scraped as often as interval says.
func (r *rig) add(ctx context.Context, n int, interval time.Duration, source func(i int) body.Source) ([]*farm.Target, error) {
	targets := make([]*farm.Target, n)
	for i := range targets {
		targets[i] = &farm.Target{Source: source(i), Period: interval}
		if err := r.farm.Add(ctx, targets[i]); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// plain is a source of series which no other target has.
func plain(from, series int) func(i int) body.Source {
	return func(i int) body.Source { return body.NewPlain(body.Plain{Target: from + i, Series: series}) }
}

// job is a job for targets.
func job(name string, interval time.Duration, targets []*farm.Target) agent.Job {
	j := agent.Job{Name: name, Interval: interval, HonorTimes: true, Groups: []agent.Group{}}
	for _, t := range targets {
		j.Groups = append(j.Groups, agent.Group{Targets: []string{t.Address()}})
	}
	return j
}

// start writes the configuration, starts the agent and begins to watch it.
func (r *rig) start() error {
	if err := r.config.Write(r.agent.Kind); err != nil {
		return err
	}
	dir := ""
	if r.group != nil {
		dir = r.group.Dir()
	}
	p, err := r.agent.Start(r.config, r.t.launcher, dir)
	if err != nil {
		return err
	}
	r.process = p
	r.pid.Store(int64(p.PID()))
	if r.samples == nil {
		r.samples = sampler.Start(func() int { return int(r.pid.Load()) }, r.group)
	}
	return nil
}

// load adds n targets of plain series in a job, and starts the agent.
func (r *rig) load(ctx context.Context, n, series int, interval time.Duration) ([]*farm.Target, error) {
	targets, err := r.add(ctx, n, interval, plain(0, series))
	if err != nil {
		return nil, err
	}
	r.config.Jobs = append(r.config.Jobs, job("load", interval, targets))
	return targets, r.start()
}

// wait waits, unless the agent ends.
func (r *rig) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.process.Done():
		return r.dead()
	}
}

// dead is an error about the agent's end.
func (r *rig) dead() error {
	log := r.process.Log()
	return fmt.Errorf("the agent ended (%s): %s", r.process.Ended(), log[max(0, len(log)-2000):])
}

// until waits until something is so.
func (r *rig) until(ctx context.Context, what string, atMost time.Duration, holds func() bool) error {
	for deadline := time.Now().Add(atMost); !holds(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v", what, atMost)
		}
		if err := r.wait(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// scraped waits until each of the targets has been scraped n times more.
func (r *rig) scraped(ctx context.Context, targets []*farm.Target, n int, atMost time.Duration) error {
	from := make([]int, len(targets))
	for i, t := range targets {
		from[i], _ = t.Served()
	}
	return r.until(ctx, "scrapes", atMost, func() bool {
		for i, t := range targets {
			if got, _ := t.Served(); got < from[i]+n {
				return false
			}
		}
		return true
	})
}

// anon is the average resident anonymous memory of the last d, in bytes.
func (r *rig) anon(d time.Duration) int64 {
	avg, _, _, _ := r.samples.Between(time.Now().Add(-d), time.Now())
	return avg
}

// peak is the highest since some time, in bytes.
func (r *rig) peak(since time.Time) int64 {
	_, peak, _, _ := r.samples.Between(since, time.Now())
	return peak
}

// missing compares what arrived of the targets' series with what was served.
func (r *rig) missing(job string, targets []*farm.Target) sink.Judgement {
	var labels []receiver.Label
	return r.sink.Check(func(yield func([]receiver.Label, int)) {
		for _, t := range targets {
			served, _ := t.Served()
			t.Source.(*body.Text).Lines(func(series []byte) bool {
				labels = sink.AppendLabels(labels[:0], series)
				labels = append(labels, receiver.Label{Name: "instance", Value: t.Address()}, receiver.Label{Name: "job", Value: job})
				yield(labels, served)
				return true
			})
		}
	})
}

// finish looks at what must hold after each case: the parts add up, the books balance, and the agent ends when it is
// told to.
func (r *rig) finish(ctx context.Context) error {
	r.addsUp()
	return r.end(ctx)
}

// end lets the targets fall silent, waits until everything is delivered and the books balance, and ends the agent.
func (r *rig) end(ctx context.Context) error {
	if err := r.quiet(ctx, time.Minute); err != nil {
		return err
	}
	if took := r.process.Stop(10 * time.Second); took >= 10*time.Second {
		return errors.New("the agent did not end within 10 s of SIGTERM")
	}
	return nil
}

// quiet lets the targets fall silent and takes them away, and waits until everything is delivered and the books balance.
func (r *rig) quiet(ctx context.Context, atMost time.Duration) error {
	r.farm.Hold()
	// What was served is read in a moment. After that, scrapes which are waited for would only fail again and again.
	if err := r.wait(ctx, 2*time.Second); err != nil {
		return err
	}
	r.config.Jobs = nil
	if err := r.config.Write(r.agent.Kind); err != nil {
		return err
	}
	if _, err := r.get(http.MethodPost, "/-/reload"); err != nil {
		return err
	}
	var open, pending float64
	var asked error
	err := r.until(ctx, "books", atMost, func() bool {
		var m metrics
		if m, asked = r.metrics(); asked != nil {
			return false
		}
		open, pending = m.sum("scraper_books_unbalanced_samples"), m.sum("scraper_remotewrite_pending_samples")
		return open == 0 && pending == 0
	})
	if err != nil {
		return fmt.Errorf("the books do not balance by %v samples, %v are pending: %w", open, pending, errors.Join(err, asked))
	}
	return nil
}
