package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// TestMemoryContract runs the agent in a real control group which is too small for its load, and lets the load grow to
// three times what fits, and shrink again: the process is never killed, small targets which stand among the large ones stay
// on time and complete, what was shed is shown and counted, and comes back.
func TestMemoryContract(t *testing.T) {
	const limit = 24 << 20
	targets, fits, interval := 40, int64(4_000), 3*time.Second
	if *long {
		targets, fits, interval = 200, 1_000, 10*time.Second
	}
	procs := memoryGroup(t, limit)
	f := startFarm(t, 5)
	var series atomic.Int64
	series.Store(fits / 2)
	large := addTargets(f, targets, func(i int) answer { return growing(i, &series) })
	var few atomic.Int64
	few.Store(100)
	var small []*target
	for i := range 10 {
		small = append(small, f.add(fmt.Sprintf("small%d", i), growing(100_000+i, &few)))
	}
	all, kept := startSink(t, receiver.Options{CountOnly: true}), startSink(t, receiver.Options{})
	rules := filepath.Join(t.TempDir(), "small.yml")
	writeFile(t, rules, "- {action: keep, source_labels: [instance], regex: 'small.*'}\n")
	conf := scrapeConfig(t, f, interval, append(large, small...)...)
	a := startLimited(t, procs, "", "-promscrape.config="+conf,
		"-remoteWrite.url="+all.url, "-remoteWrite.urlRelabelConfig=", "-remoteWrite.url="+kept.url, "-remoteWrite.urlRelabelConfig="+rules)
	var p peak
	defer p.watch(a.process)()
	from := time.Now()
	turns := func(n int) {
		t.Helper()
		before := small[0].count()
		waitLonger(t, "the small targets' turns", 3*time.Minute, func() bool { return small[0].count() >= before+n })
	}
	held := func(m map[string]float64) float64 {
		return m[`scraper_scrape_memory_held_targets{reason="new"}`] + m[`scraper_scrape_memory_held_targets{reason="shed"}`]
	}
	turns(2)
	for _, x := range []int64{1, 3} {
		series.Store(x * fits)
		turns(3)
	}
	m := a.metrics(t)
	if held(m) == 0 || m[`scraper_scrape_memory_skipped_total{reason="new"}`]+m[`scraper_scrape_memory_skipped_total{reason="shed"}`] == 0 {
		t.Errorf("with %d series %v targets are held back, and none was skipped; want those which do not fit", int64(targets)*series.Load(), held(m))
	}
	worst := held(m)
	_, page := fetch(t, "GET", a.url+"/api/v1/targets?state=active")
	if !strings.Contains(page, "memory limit: ") {
		t.Error("/api/v1/targets gives no reason for those which are held back")
	}
	series.Store(50)
	waitLonger(t, "everybody to be let in again", 3*time.Minute, func() bool { return held(a.metrics(t)) == 0 })
	turns(1)
	took := time.Since(from)
	freeze(t, a, conf, append(large, small...)...)
	for i, x := range small {
		n := uint64(x.count())
		if least := uint64(took/interval) - 1; n < least {
			tooSlow(t, "%s was scraped %d times within %v, want %d", x.name, n, took, least)
		}
		want := n * 100
		got := func() (got uint64) {
			for _, s := range kept.Series(map[string]string{"__name__": "container_network_receive_bytes_total", "instance": x.name}) {
				for _, v := range s.Samples {
					if !v.IsStale() {
						got++
					}
				}
			}
			return got
		}
		if i == 0 { // the others follow
			kept.wait(t, "the small targets' samples", 2*patience, func() bool { return got() >= want })
		}
		waitFor(t, "samples of "+x.name, func() bool { return got() >= want })
		if g := got(); g != want {
			t.Errorf("%s: the receiver has %d samples of %d scrapes of 100, want all", x.name, g, n)
		}
	}
	wantUp(t, kept, small...)
	control, _ := os.ReadFile(filepath.Join(filepath.Dir(procs), "memory.oom_control"))
	events, _ := os.ReadFile(filepath.Join(filepath.Dir(procs), "memory.events"))
	if c := a.memory(t).Container; c == nil || c.OOMKills != 0 {
		t.Errorf("container %+v, %s%s: want no kill", c, control, events)
	}
	a.terminate(t)
	t.Logf("figure: %d targets, up to %d series, in %d MiB: resident anonymous memory at most %d MiB, up to %v targets held back",
		targets+len(small), int64(targets)*3*fits, limit>>20, p.get()>>20, worst)
}
