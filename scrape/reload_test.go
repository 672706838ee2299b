package scrape

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/config"
	"scraper/discovery"
	"scraper/labelcompress"
)

const twoJobs = `
global: {scrape_interval: 10s}
scrape_configs:
- job_name: still
  static_configs: [{targets: ['a:80']}]
- job_name: moving
  static_configs: [{targets: ['b:80']}]
`

// TestReloadTouchesOnlyWhatChanged: an unchanged job keeps its connection, schedule, status and series.
func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	bothDialects(t, func(w *world) {
		a := w.export("a:80", "m 1\n")
		w.export("b:80", "n 2\n")
		w.apply(twoJobs)
		w.run()
		var want []int64
		for _, s := range w.pass(tick) {
			if s.name == "m" {
				want = append(want, s.ts)
			}
		}
		id := w.m.Snapshot().Targets[0].ID
		for i, change := range []string{
			"metrics_path: /other", "scrape_interval: 5s", "basic_auth: {username: u, password: p}", "sample_limit: 9",
			"metric_relabel_configs: [{action: labeldrop, regex: x}]", "relabel_configs: [{target_label: x, replacement: y}]",
			"honor_labels: true", "params: {a: [b]}", "enable_compression: false",
		} {
			w.apply(twoJobs + "  " + change + "\n")
			n := 0
			for _, s := range w.pass(tick) {
				if !strings.Contains(s.full, `"still"`) {
					continue
				}
				if batch.IsStale(s.value) || s.name == "scrape_series_added" && s.value != 0 || s.name == "up" && s.value != 1 {
					t.Errorf("%s: the unchanged job sent %s", change, s)
				}
				if s.name == "m" {
					n++
					if w := want[0] + int64(i+1)*tick.Milliseconds(); s.ts != w {
						t.Errorf("%s: the unchanged job was scraped at %d, want %d", change, s.ts, w)
					}
				}
			}
			if n != 1 {
				t.Errorf("%s: the unchanged job was scraped %d times, want once", change, n)
			}
		}
		if a.connections() != 1 {
			t.Errorf("the unchanged job made %d connections, want 1", a.connections())
		}
		if s := w.m.Snapshot().Targets[0]; s.ID != id || s.Scrapes != 10 {
			t.Errorf("the unchanged target is %d with %d scrapes, want %d with 10", s.ID, s.Scrapes, id)
		}
	})
}

// TestReloadsLeaveNothing: what a configuration needed is given back with it.
func TestReloadsLeaveNothing(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a := w.export("a:80", "m{l=\"x\"} 1\n")
		w.export("b:80", "n{l=\"y\"} 2\n")
		w.apply(twoJobs)
		w.run()
		w.pass(2 * tick)
		goroutines, labels, bytes := goroutinesHere(), w.dict.Stats().Items, w.m.Bytes()
		for i := range 200 {
			w.apply(twoJobs + fmt.Sprintf("  metrics_path: /%d\n  basic_auth: {username: u%d}\n", i, i) +
				fmt.Sprintf("- {job_name: extra%d, static_configs: [{targets: ['b:80']}]}\n", i))
			if i%20 == 0 {
				w.pass(tick)
			}
		}
		w.apply(twoJobs)
		w.pass(2 * tick)
		if n := goroutinesHere(); n > goroutines {
			t.Errorf("%d goroutines after 200 reloads, %d before", n, goroutines)
		}
		if n := w.dict.Stats().Items; n != labels {
			t.Errorf("%d labels in the dictionary after 200 reloads, %d before", n, labels)
		}
		if n := w.m.Bytes(); n != bytes {
			t.Errorf("the tables take %d bytes after 200 reloads, %d before", n, bytes)
		}
		if a.connections() != 1 {
			t.Errorf("the unchanged job made %d connections, want 1", a.connections())
		}
		if n := w.metric("scraper_scrape_targets"); n != 2 {
			t.Errorf("the gauges count %v targets, want 2", n)
		}
		families, err := w.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if n := len(f.GetMetric()); n > 6 {
				t.Errorf("%s has %d series, want none of jobs which are gone", f.GetName(), n)
			}
		}
	})
}

// TestTargetsComeAndGo: a thousand of them, twice.
func TestTargetsComeAndGo(t *testing.T) {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, Options{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.net.DialContext(ctx, network, "all:80")
		}})
		w.export("all:80", "m{l=\"x\"} 1\nn 2\n")
		w.apply("scrape_configs: [{job_name: j, scrape_interval: 10s}]\n")
		w.run()
		w.pass(tick)
		goroutines := goroutinesHere()
		for round := range 2 {
			var addresses []string
			for i := range 1000 {
				addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d:80", round, i/250, i%250))
			}
			w.m.SetGroups("j", []*discovery.Group{group("g", nil, addresses...)})
			got := w.pass(tick)
			if n := len(own(got)); n != 2000 {
				t.Errorf("1000 targets sent %d samples, want 2000", n)
			}
			if s := w.m.Snapshot(); len(s.Targets) != 1000 || s.Jobs[0].Active != 1000 || s.Jobs[0].Up != 1000 {
				t.Errorf("the snapshot has %d targets, %+v", len(s.Targets), s.Jobs[0])
			}
			w.m.SetGroups("j", nil)
			stale := 0
			for _, s := range w.sink.take() {
				if batch.IsStale(s.value) {
					stale++
				}
			}
			if stale != 1000*(2+7) {
				t.Errorf("1000 targets which are gone sent %d markers, want %d", stale, 1000*(2+7))
			}
			if n := w.dict.Stats().Items; n != 0 {
				t.Errorf("%d labels are left of targets which are gone", n)
			}
			if n := w.m.Bytes(); n != 0 {
				t.Errorf("%d bytes are left of targets which are gone", n)
			}
		}
		w.apply("scrape_configs: []\n") // their idle connections go with the job
		synctest.Wait()
		if n := goroutinesHere(); n > goroutines {
			t.Errorf("%d goroutines after 2000 targets, %d before", n, goroutines)
		}
	})
}

// TestBadHTTPConfigIsRefused: the whole configuration, and the old one runs on.
func TestBadHTTPConfigIsRefused(t *testing.T) {
	bothDialects(t, func(w *world) {
		a, b := w.export("a:80", "m 1\n"), w.export("b:80", "n 2\n")
		w.apply(twoJobs)
		w.run()
		w.pass(tick)
		bad := strings.Replace(twoJobs, "job_name: moving", "job_name: moving\n  tls_config: {ca_file: /nonexistent/ca.pem}\n  scheme: https", 1)
		bad = strings.Replace(bad, "10s", "1s", 1) + "- {job_name: new, static_configs: [{targets: ['a:80']}]}\n"
		before := w.m.Snapshot()
		err := w.tryApply(bad)
		if err == nil || !strings.Contains(err.Error(), `"moving"`) || !strings.Contains(err.Error(), "/nonexistent/ca.pem") {
			t.Errorf("Apply of a missing CA file = %v, want an error which names job and file", err)
		}
		if err := w.m.Check(w.parse(bad)); err == nil {
			t.Error("Check of a missing CA file = nil")
		}
		if err := w.m.Check(w.parse(twoJobs)); err != nil {
			t.Errorf("Check = %v", err)
		}
		after := w.m.Snapshot()
		if len(after.Jobs) != 2 || !slices.EqualFunc(before.Targets, after.Targets, func(x, y TargetStatus) bool { return x.ID == y.ID && x.Interval == y.Interval }) {
			t.Errorf("a refused configuration changed the targets from %+v to %+v", before.Targets, after.Targets)
		}
		wantSamples(t, "the old configuration runs on", w.pass(tick), "m 1", "n 2")
		if a.connections() != 1 || b.connections() != 1 {
			t.Errorf("%d and %d connections, want 1 each", a.connections(), b.connections())
		}
	})
}

// TestDiscoveryFails: Apply passes its error on, and nothing has changed.
func TestDiscoveryFails(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("a:80", "m 1\n")
		w.export("b:80", "n 2\n")
		w.apply(twoJobs)
		w.run()
		w.pass(tick)
		want := errors.New("no discovery today")
		cfg := w.parse("scrape_configs:\n- {job_name: still, scrape_interval: 1s, static_configs: [{targets: ['a:80']}]}\n- {job_name: new}\n")
		if err := w.m.Apply(cfg, func([]*config.Job) error { return want }); !errors.Is(err, want) {
			t.Errorf("Apply = %v, want %v", err, want)
		}
		wantSamples(t, "the old configuration runs on", w.pass(tick), "m 1", "n 2")
		if s := w.m.Snapshot(); len(s.Jobs) != 2 || s.Jobs[1].Job != "moving" {
			t.Errorf("the jobs are %+v, want those of before", s.Jobs)
		}
		w.apply(twoJobs)
		wantSamples(t, "and so it does after the next Apply", w.pass(tick), "m 1", "n 2")
	})
}

// TestSnapshot: what pages show of jobs, targets, and those which were dropped.
func TestSnapshot(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("a:80", "m 1\n")
		w.apply(`
global: {scrape_interval: 10s, scrape_timeout: 4s}
scrape_configs:
- job_name: z
  params: {token: [secret-param]}
  static_configs: [{targets: ['u:secret-pw@a:80', 'gone:80', 'a:80', 'drop:80', '/no-host', 'a:80']}]
  relabel_configs: [{source_labels: [__address__], regex: 'drop.*', action: drop}]
- job_name: a
`)
		w.run()
		w.pass(tick)
		w.m.SetGroups("nobody", []*discovery.Group{group("g", nil, "a:80")})
		s := w.m.Snapshot()
		if want := []JobStatus{{Job: "z", Active: 3, Up: 2, Dropped: 3}, {Job: "a"}}; !slices.Equal(s.Jobs, want) {
			t.Errorf("the jobs are %+v, want %+v", s.Jobs, want)
		}
		var urls, reasons []string
		for _, tg := range s.Targets {
			urls = append(urls, fmt.Sprint(tg.URL, " ", tg.Health))
			if strings.Contains(fmt.Sprintf("%+v", tg.Discovered.Labels())+tg.URL+tg.LastError, "secret") {
				t.Errorf("the status of a target shows its secrets: %+v", tg)
			}
			if tg.Interval != tick || tg.Timeout != 4*time.Second || tg.Scrapes != 1 || tg.LastScrape.IsZero() || tg.Job != "z" {
				t.Errorf("the status of a target is %+v", tg)
			}
		}
		if want := []string{"http://a:80/metrics?token=xxx up", "http://a:80/metrics?token=xxx up", "http://gone:80/metrics?token=xxx down"}; !slices.Equal(urls, want) {
			t.Errorf("the targets are %q, want %q", urls, want)
		}
		for _, d := range w.dropped() {
			reasons = append(reasons, d.Reason)
		}
		slices.Sort(reasons)
		if want := []string{"duplicate", "no address", "relabeling"}; !slices.Equal(reasons, want) {
			t.Errorf("targets were dropped for %q, want %q", reasons, want)
		}
		if log := w.log.String(); strings.Contains(log, "secret") {
			t.Errorf("the log shows secrets: %s", log)
		}
		if up, down := w.metric("scraper_scrape_scrapes_total", "up"), w.metric("scraper_scrape_scrapes_total", "down"); up != 2 || down != 1 {
			t.Errorf("%v scrapes were counted as good, %v as failed, want 2 and 1", up, down)
		}
	})
}

// TestStress lets everything happen at once; the race detector and the checks at the end judge it.
func TestStress(t *testing.T) {
	bubble(t, Options{Workers: 2}, func(w *world) {
		for i := range 4 {
			w.export(fmt.Sprintf("h%d:80", i), fmt.Sprintf("m{l=\"%d\"} 1\nn 2\n", i))
		}
		configs := []*config.Config{
			w.parse("global: {scrape_interval: 1s}\nscrape_configs:\n- {job_name: j0, static_configs: [{targets: ['h0:80', 'h1:80']}]}\n- {job_name: j1}\n"),
			w.parse("global: {scrape_interval: 1s, external_labels: {e: f}}\nscrape_configs:\n- {job_name: j1, static_configs: [{targets: ['h2:80']}]}\n- {job_name: j0}\n- {job_name: j2}\n"),
			w.parse("global: {scrape_interval: 1s}\nscrape_configs:\n- {job_name: j0, sample_limit: 1, metric_relabel_configs: [{regex: l, action: labeldrop}], static_configs: [{targets: ['h0:80']}]}\n"),
			w.parse("scrape_configs: []\n"),
		}
		w.run()
		var wg sync.WaitGroup
		for n := range 2 {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			wg.Go(func() {
				for range 60 {
					if err := w.m.Apply(configs[rnd.IntN(len(configs))], w.discover); err != nil {
						t.Errorf("Apply = %v", err)
					}
					time.Sleep(time.Duration(rnd.IntN(700)) * time.Millisecond)
				}
			})
			rnd2 := rand.New(rand.NewPCG(uint64(n), 2))
			wg.Go(func() {
				for range 200 {
					var g []*discovery.Group
					for i := range rnd2.IntN(4) {
						g = append(g, group(fmt.Sprint(i), nil, fmt.Sprintf("h%d:80", rnd2.IntN(5))))
					}
					w.m.SetGroups(fmt.Sprintf("j%d", rnd2.IntN(3)), g)
					time.Sleep(time.Duration(rnd2.IntN(200)) * time.Millisecond)
				}
			})
			wg.Go(func() {
				for i := range 300 {
					_ = w.m.Snapshot()
					_ = w.m.Bytes()
					if i%10 == 0 {
						if err := w.m.Check(configs[i/10%len(configs)]); err != nil {
							t.Errorf("Check = %v", err)
						}
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		w.pass(2 * time.Second)
		if err := w.m.Apply(configs[3], w.discover); err != nil {
			t.Fatal(err)
		}
		if n := w.dict.Stats().Items; n != 0 {
			t.Errorf("%d labels are left after all targets have gone", n)
		}
		if n := w.m.Bytes(); n != 0 {
			t.Errorf("Bytes() = %d after all targets have gone", n)
		}
		last := make(map[string]int64)
		for _, s := range w.sink.take() {
			if s.ts <= last[s.full] {
				t.Fatalf("%s was sent at %d after %d", s.full, s.ts, last[s.full])
			}
			last[s.full] = s.ts
		}
	})
}

// TestOptions: what is required, and that two Managers of one process do not meet.
func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil || !strings.HasPrefix(err.Error(), "scrape: ") {
		t.Errorf("New without a sink = %v, want an error", err)
	}
	if _, err := New(Options{Workers: -1}); err == nil || !strings.Contains(err.Error(), "Workers") {
		t.Errorf("New with -1 workers = %v, want an error which names the option", err)
	}
	for range 2 {
		m, err := New(Options{Sink: &recorder{}, Dict: labelcompress.New(labelcompress.Options{}), Pool: bufpooltest.New(t), Metrics: NewMetrics(nil)})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Errorf("Close, twice = %v", err)
		}
	}
}
