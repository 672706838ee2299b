package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/sink"
)

// surge is a load which becomes another one for a while, and then is as it was. Two agents have it at the same time: one
// sees that, and one sees but what is there before and after.
type surge struct {
	name           string
	options        rigOptions
	interval       time.Duration
	before, during time.Duration
	gzip, tls      bool
	open           bool // it is served as OpenMetrics, if the agent takes that
	sections       map[string]any
	// load adds the jobs, and returns the targets which are there all the time.
	load func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error)
	// begin and end, if they are not nil, are called when it begins and ends, for the agent which sees it.
	begin, end func(ctx context.Context, r *rig, s *surging) error
}

// surging is a surge at one of the two agents.
type surging struct {
	surge
	sees bool
	on   atomic.Bool
	raws []*raw
}

func (s *surging) close() {
	for _, x := range s.raws {
		x.close()
	}
}

// source serves one text, and another one during the surge, which is made for who sees it alone.
func (s *surging) source(usual body.Source, other func() body.Source) body.Source {
	if !s.sees {
		return usual
	}
	return &switched{second: &s.on, texts: [2]body.Source{usual, other()}}
}

// grow adds n targets in a job.
func (r *rig) grow(ctx context.Context, s *surging, n int, source func(i int) body.Source) ([]*farm.Target, error) {
	targets := make([]*farm.Target, n)
	for i := range targets {
		targets[i] = &farm.Target{Source: source(i), Period: s.interval, Gzip: s.gzip, GzipLevel: 1, TLS: s.tls}
		if s.open {
			targets[i].OpenMetrics = targets[i].Source
		}
		if err := r.farm.Add(ctx, targets[i]); err != nil {
			return nil, err
		}
	}
	j := job("load", s.interval, targets)
	j.TLS = s.tls
	r.config.Jobs = append(r.config.Jobs, j)
	return targets, nil
}

// secure makes the rig's targets ones over TLS, which agents trust.
func (r *rig) secure() error {
	cert, err := sink.NewCertificate()
	if err != nil {
		return err
	}
	r.farm.Close()
	r.farm = farm.New(farm.Options{TLS: cert.Config()})
	r.config.CAFile, r.config.ServerName = filepath.Join(r.config.Dir, "ca.pem"), sink.ServerName
	return os.WriteFile(r.config.CAFile, cert.PEM(), 0o644)
}

// begun starts an agent with the load.
func (t *trial) begun(ctx context.Context, s *surging) (*rig, []*farm.Target, error) {
	r, err := t.rig(ctx, s.options)
	if err != nil {
		return nil, nil, err
	}
	r.config.Sections = s.sections
	if s.tls {
		err = r.secure()
	}
	var targets []*farm.Target
	if err == nil {
		targets, err = s.load(ctx, r, s)
	}
	if err == nil {
		err = r.start()
	}
	if err == nil {
		err = r.scraped(ctx, targets, 1, s.interval+30*time.Second)
	}
	if err != nil {
		r.close()
		return nil, nil, err
	}
	return r, targets, nil
}

// surge runs one, and wants the agent which saw it to be within 1.2 times of the other a minute later.
func (t *trial) surge(ctx context.Context, s surge) error {
	if s.interval == 0 {
		s.interval = pick(t.form, time.Second, 10*time.Second, 10*time.Second)
	}
	if s.before == 0 {
		s.before = pick(t.form, 3*time.Second, 20*time.Second, 30*time.Second)
	}
	if s.during == 0 {
		s.during = pick(t.form, 4*time.Second, time.Minute, time.Minute)
	}
	calm, seen := &surging{surge: s}, &surging{surge: s, sees: true}
	defer calm.close()
	defer seen.close()
	still, _, err := t.begun(ctx, calm)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer still.close()
	r, targets, err := t.begun(ctx, seen)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer r.close()
	if err := r.wait(ctx, s.before); err != nil {
		return err
	}
	begun := time.Now()
	seen.on.Store(true)
	if s.begin != nil {
		if err := s.begin(ctx, r, seen); err != nil {
			return err
		}
	}
	if err := r.wait(ctx, s.during); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	peak := r.peak(begun)
	seen.on.Store(false)
	if s.end != nil {
		if err := s.end(ctx, r, seen); err != nil {
			return err
		}
	}
	// What a target serves next lay ready before.
	if err := r.wait(ctx, s.interval); err != nil {
		return err
	}
	if err := t.falls(ctx, s.name, still, r, peak); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err := r.scraped(ctx, targets, 1, s.interval+30*time.Second); err != nil {
		return err
	}
	if err := r.finish(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return still.finish(ctx)
}

// fallen is how long an agent has to give back what a surge took.
const fallen = time.Minute

// falls watches the memory after a surge.
func (t *trial) falls(ctx context.Context, name string, still, r *rig, peak int64) error {
	over := time.Now()
	average := pick(t.form, time.Second, 5*time.Second, 5*time.Second)
	// In the short form a garbage collection more or less counts.
	spare := pick[int64](t.form, 3<<20, 0, 0)
	var now, never int64
	most, good := time.Duration(-1), time.Duration(-1) // since when it is within 1.2 times, and within 1.08
	var course strings.Builder
	for step := time.Duration(0); ; {
		now, never = r.anon(average), still.anon(average)
		at := time.Since(over)
		note(&most, float64(now) <= 1.2*float64(never)+float64(spare), at)
		note(&good, float64(now) <= 1.08*float64(never), at)
		if at >= step {
			fmt.Fprintf(&course, " %.0f s: %.1f of %.1f,", step.Seconds(), mib(now), mib(never))
			step += 10 * time.Second
		}
		if at >= fallen || t.form == short && most >= 0 {
			break
		}
		if err := r.wait(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
	t.figure("%s: %.1f MiB if it never comes; %.1f MiB at its peak; %.1f MiB (×%.2f) after %.0f s; ×1.2 %s, ×1.08 %s", name, mib(never), mib(peak),
		mib(now), float64(now)/float64(never), time.Since(over).Seconds(), since(most), since(good))
	if before, err := still.page(); err == nil {
		if after, err := r.page(); err == nil {
			t.figure("%s:%s never %s; after %s", name, course.String(), before.large(), after.large())
		}
	}
	t.wantAtMost(name+": resident memory a minute after it", mib(now), 1.2*mib(never)+mib(spare), "MiB")
	return nil
}

// note keeps since when something is so, -1 while it is not.
func note(at *time.Duration, holds bool, now time.Duration) {
	if !holds {
		*at = -1
	} else if *at < 0 {
		*at = now
	}
}

func since(at time.Duration) string {
	if at < 0 {
		return "not reached"
	}
	return fmt.Sprintf("from %.0f s on", at.Seconds())
}
