package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"scraper/bench/agent"
)

// reload reads the configuration again and again: without a change, and with one byte changed each time, in what concerns
// targets, samples and nobody in turn.
func reload(ctx context.Context, t *trial) error {
	jobs, times := pick(t.form, 100, 1000, 1000), pick(t.form, 60, 500, 5000)
	interval := pick(t.form, time.Second, 10*time.Second, 10*time.Second)
	r, err := t.rig(ctx, rigOptions{})
	if err != nil {
		return err
	}
	defer r.close()
	targets, err := r.add(ctx, jobs, interval, plain(0, 10))
	if err != nil {
		return err
	}
	for i, target := range targets {
		one := job("job-"+strings.Repeat("x", i%7)+target.Address(), interval, targets[i:i+1])
		one.MetricRelabel = []agent.Rule{{SourceLabels: []string{"code"}, Regex: "9.9", Action: "drop"}}
		r.config.Jobs = append(r.config.Jobs, one)
	}
	if err := r.start(); err != nil {
		return err
	}
	again := func() error {
		_, err := r.get(http.MethodPost, "/-/reload")
		return err
	}
	if err := r.scraped(ctx, targets, 3, time.Minute); err != nil {
		return err
	}
	for range 5 { // what is made once is made
		if err := again(); err != nil {
			return err
		}
	}
	if err := r.scraped(ctx, targets, 2, time.Minute); err != nil {
		return err
	}
	before, err := r.calm(ctx, 10)
	if err != nil {
		return err
	}
	judge := func(what string, took time.Duration) error {
		if err := r.scraped(ctx, targets, 2, time.Minute); err != nil {
			return err
		}
		now, ok, err := r.back(ctx, before, 0.02, pick[float64](t.form, 4, 2, 2), 45*time.Second)
		if err != nil {
			return err
		}
		t.figure("%d reloads %s in %.0f s: %v; before: %v", times, what, took.Seconds(), now, before)
		t.want(ok, "after %d reloads %s the agent holds %v, want no more than before: %v %q", times, what, now, before, now.newNames(before))
		return nil
	}
	begun := time.Now()
	for range times {
		if err := again(); err != nil {
			return err
		}
	}
	if err := judge("without a change", time.Since(begun)); err != nil {
		return err
	}
	begun = time.Now()
	for i := range times {
		one := &r.config.Jobs[i%jobs]
		switch i % 3 {
		case 0:
			one.Groups[0].Labels = map[string]string{"zone": "abcdef"[i/3%6 : i/3%6+1]}
		case 1:
			one.MetricRelabel[0].Regex = "9." + "0123456789"[i/3%10:i/3%10+1]
		case 2:
			one.Timeout = interval - time.Duration(1+i/3%9)*time.Millisecond
		}
		if i == times-1 { // as it was
			for j := range r.config.Jobs {
				j := &r.config.Jobs[j]
				j.Groups[0].Labels, j.MetricRelabel[0].Regex, j.Timeout = nil, "9.9", 0
			}
		}
		if err := r.config.Write(r.agent.Kind); err != nil {
			return err
		}
		if err := again(); err != nil {
			return err
		}
	}
	if err := judge("with a change", time.Since(begun)); err != nil {
		return err
	}
	return r.finish(ctx)
}
