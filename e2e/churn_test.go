package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"scraper/receiver"
)

// resources is what a process must give back.
type resources struct {
	goroutines  float64
	descriptors int
	heapBytes   float64
}

func (r resources) String() string {
	return fmt.Sprintf("%v goroutines, %d descriptors, %.1f MiB of heap", r.goroutines, r.descriptors, r.heapBytes/(1<<20))
}

// resources returns what the agent holds, after a garbage collection.
func (a *agent) resources(t testing.TB) resources {
	t.Helper()
	for range 2 { // the second one frees what finalizers and cleanups let go of
		if status, _ := fetch(t, http.MethodGet, a.url+"/debug/pprof/heap?gc=1"); status != http.StatusOK {
			t.Fatalf("GET /debug/pprof/heap = %d, want 200", status)
		}
	}
	m := a.metrics(t)
	heap := m["go_memstats_heap_alloc_bytes"]
	if !*long {
		heap -= sum(m, "scraper_bufpool_idle_bytes") // they go too, but take their time
	}
	return resources{m["go_goroutines"], a.descriptors(t), heap}
}

// wantBack waits until the agent holds no more than it did, but for a little: on a busy machine a scrape may time out, and
// leave a second connection to its target.
func (a *agent) wantBack(t *testing.T, what string, targets int, before resources) resources {
	t.Helper()
	var now resources
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now = a.resources(t)
		spare := 3 + targets/20
		const stays = 3 << 20 // the runtime's own, above all: it keeps the descriptors of goroutines which ended
		if now.goroutines <= before.goroutines+2*float64(spare) && now.descriptors <= before.descriptors+spare && now.heapBytes <= 1.2*before.heapBytes+stays {
			return now
		}
		if time.Now().After(deadline) {
			tooSlow(t, "%s: the agent holds %v, want what it held before: %v", what, now, before)
			return now
		}
	}
}

// TestTargetsComeAndGo lets a thousand targets come and go by file_sd, again and again, and reloads the configuration many
// times while they are there: goroutines, descriptors and heap return to where they were, and each series is declared
// over as often as it went.
func TestTargetsComeAndGo(t *testing.T) {
	t.Parallel()
	targets, series, cycles, reloads := 300, 10, 5, 40
	if *long {
		targets, cycles, reloads = 1000, 20, 200
	}
	f := startFarm(t, targets) // an address each, so that each costs a connection
	all := addTargets(f, targets, func(int) answer { return counting(series) })
	// These are always there, so that the connections to the receiver are.
	others := startFarm(t, 16)
	steady := addTargets(others, 16, func(int) answer { return counting(1) })
	s := startSink(t, receiver.Options{})
	list := filepath.Join(t.TempDir(), "targets.yml")
	writeFile(t, list, "[]\n")
	text := func(i int) string {
		// Each differs from the one before, in what concerns targets, samples, and nobody.
		return fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
- job_name: farm
  file_sd_configs: [{files: [%q]}]
  metric_relabel_configs: [{source_labels: [series], regex: 'none-%d', action: drop}]
- job_name: of-variant-%d
  scrape_interval: 1y
  static_configs: [{targets: ['127.0.0.1:1']}]
`, list, i, i%3) + others.job("steady", "", steady...)
	}
	conf := configFile(t, text(0))
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)
	count := func(n int) {
		t.Helper()
		waitFor(t, fmt.Sprintf("%d targets", n), func() bool { return a.metrics(t)[`scraper_scrape_targets{job="farm"}`] == float64(n) })
	}
	scraped := func() {
		t.Helper()
		from := make([]int, len(all))
		for i, x := range all {
			from[i] = x.count()
		}
		for i, x := range all {
			waitFor(t, "a scrape of each", func() bool { return x.count() > from[i] })
		}
	}
	fill := func() {
		t.Helper()
		writeFile(t, list, f.groups(all...))
		count(targets)
		scraped()
	}
	empty := func() {
		t.Helper()
		writeFile(t, list, "[]\n")
		count(0)
	}
	waitFor(t, "the steady targets to be scraped", func() bool { return s.Len() >= 16*8 })
	before := a.resources(t)
	fill()
	full := a.resources(t)

	start := time.Now()
	for i := range reloads {
		writeFile(t, conf, text(i+1))
		if i%2 == 0 {
			a.mustReload(t)
			continue
		}
		a.signal(t, syscall.SIGHUP)
		waitFor(t, "the reload", func() bool { return a.metrics(t)[`scraper_config_reloads_total{result="success"}`] == float64(i+2) })
	}
	took := time.Since(start)
	scraped()
	afterReloads := a.wantBack(t, fmt.Sprintf("after %d reloads", reloads), targets, full)
	for range cycles {
		empty()
		fill()
	}
	afterCycles := a.wantBack(t, fmt.Sprintf("after %d times empty and full", cycles), targets, full)
	empty()
	after := a.wantBack(t, "with no targets again", 0, before)

	want := uint64((cycles + 1) * targets * (series + len(automatic("vmagent"))))
	s.wait(t, fmt.Sprintf("%d markers", want), patience, func() bool { return s.Totals().StaleMarkers >= want })
	a.terminate(t)
	wantUp(t, s, append(all, steady...)...)
	if got := s.Totals().StaleMarkers; got != want {
		t.Errorf("%d staleness markers arrived, want %d: one for each series each time", got, want)
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	for _, one := range s.Series(map[string]string{"job": "farm"}) {
		if !one.Stale() {
			t.Errorf("%s was not declared over", one)
			break
		}
	}
	t.Logf("figure: no targets: %v", before)
	t.Logf("figure: %d targets: %v", targets, full)
	t.Logf("figure: after %d reloads in %v: %v", reloads, took.Round(time.Millisecond), afterReloads)
	t.Logf("figure: after %d times no targets and %d again: %v", cycles, targets, afterCycles)
	t.Logf("figure: no targets again: %v", after)
}
