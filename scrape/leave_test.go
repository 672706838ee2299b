package scrape

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/config"
	"scraper/discovery"
	"scraper/relabel"
)

// TestBurstOfTargetsLeavesNoRoom: what was made for many targets goes when few are left, also where they leave one by one.
func TestBurstOfTargetsLeavesNoRoom(t *testing.T) {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, Options{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.net.DialContext(ctx, network, "all:80")
		}})
		w.export("all:80", "m 1\n")
		w.apply("scrape_configs: [{job_name: j, scrape_interval: 10s}]\n")
		w.run()
		var addresses []string
		for i := range 1000 {
			addresses = append(addresses, fmt.Sprintf("10.0.%d.%d:80", i/250, i%250))
		}
		for _, step := range []int{990, 10} {
			w.m.SetGroups("j", []*discovery.Group{group("g", nil, addresses...)})
			w.pass(tick)
			for n := len(addresses) - step; n >= 10; n -= step {
				w.m.SetGroups("j", []*discovery.Group{group("g", nil, addresses[:n]...)})
			}
			w.m.mu.Lock()
			j := w.m.jobs[0]
			if len(j.targets) != 10 || j.most > 64 || cap(w.m.due) > 64 {
				t.Errorf("after 1000 targets left, %d at a time: room for %d targets and %d in the schedule, %d are there; want room for those", step, j.most, cap(w.m.due), len(j.targets))
			}
			w.m.mu.Unlock()
		}
	})
}

// TestDroppedTargetsTakeLittle: a job may see all pods of a cluster, and drop most of them; what the pages show of them is
// made when somebody looks.
func TestDroppedTargetsTakeLittle(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var labels []relabel.Label
		for i := range 20 {
			labels = append(labels, relabel.Label{Name: fmt.Sprintf("__meta_%02d", i), Value: "v"})
		}
		var addresses []string
		for i := range maxDroppedShown {
			addresses = append(addresses, fmt.Sprintf("a%d:80", i))
		}
		w.apply("scrape_configs: [{job_name: j, relabel_configs: [{source_labels: [__meta_00], regex: v, action: drop}]}]\n")
		groups := []*discovery.Group{group("g", labels, addresses...)}
		collect := func() int64 {
			for range 3 { // what tests before left, too
				runtime.GC()
			}
			return heapBytes()
		}
		before := collect()
		w.m.SetGroups("j", groups)
		if each := (collect() - before) / maxDroppedShown; each > 200 {
			t.Errorf("a dropped target takes %d bytes, want what tells which it is", each)
		}
		if n := testing.AllocsPerRun(5, func() { w.m.Snapshot() }); n > 20 {
			t.Errorf("a snapshot of %d dropped targets makes %v allocations, want those of their job", maxDroppedShown, n)
		}
		s, dropped := w.m.Snapshot(), w.dropped()
		if len(dropped) != maxDroppedShown || s.Jobs[0].Dropped != maxDroppedShown || s.Dropped[0].Job != "j" || s.Dropped[0].Count != maxDroppedShown {
			t.Fatalf("%d dropped targets are shown, %+v", len(dropped), s.Jobs[0])
		}
		if d := dropped[7]; d.Reason != "relabeling" || len(d.Discovered) < len(labels)+5 || d.Discovered[0] != (relabel.Label{Name: addressLabel, Value: "a7:80"}) {
			t.Errorf("a dropped target is shown as %+v", d)
		}
	})
}

// TestMarkersOfLargeTargetComeInPieces: those of a target which leaves are committed a few thousand at a time, each once, and
// all at one time.
func TestMarkersOfLargeTargetComeInPieces(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		const series = 3*markersAtOnce + 100
		w.export("a:80", seriesOf("a", 0, series))
		w.apply(oneJob())
		w.run()
		w.pass(tick)
		most := 0
		w.sink.before = func(b *batch.Batch) { most = max(most, b.Len()) }
		w.apply("scrape_configs: []\n")
		got := w.sink.take()
		if most > markersAtOnce+autoCount {
			t.Errorf("a batch had %d markers, want at most %d and the automatic ones", most, markersAtOnce)
		}
		markers := make(map[string]int)
		for _, s := range got {
			if s.ts != got[0].ts || !batch.IsStale(s.value) {
				t.Fatalf("%s at %d, want a marker at %d", s, s.ts, got[0].ts)
			}
			if !isAuto(s.name) {
				markers[s.name]++
			}
		}
		wantOnce(t, "gone", markers, series)
		if n := w.metric("scraper_scrape_stale_markers_total"); n != float64(len(got)) {
			t.Errorf("%v markers are counted, %d were sent", n, len(got))
		}
	})
}

// TestReloadDuringRedirect: a scrape which began with a client that a reload replaced goes on with it, and ends as if there had
// been none.
func TestReloadDuringRedirect(t *testing.T) {
	bothDialects(t, func(w *world) {
		release := make(chan struct{})
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			if rq.URL.Path == "/metrics" {
				<-release
				http.Redirect(rw, rq, "/there", http.StatusFound)
				return
			}
			rw.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = rw.Write([]byte("m 1\n"))
		}))
		w.apply(oneJob())
		w.run()
		for len(w.m.holders()) == 0 {
			w.pass(100 * time.Millisecond)
		}
		w.apply(oneJob("basic_auth: {username: u, password: p}"))
		close(release)
		got := w.pass(100 * time.Millisecond)
		wantSamples(t, "the scrape during which there was a reload", got, "m 1")
		if up := value(got, "up"); up != 1 {
			t.Errorf("up = %v, want 1: %s", up, w.only().LastError)
		}
		wantSamples(t, "the next one", w.pass(tick), "m 1")
	})
}

// holders are the scrapes which run, by name.
func (m *Manager) holders() (names []string) {
	for _, who := range m.holdersOfJobs() {
		names = append(names, who().Name)
	}
	return names
}

// TestOwesOnce: who pays, owes again, and pays again, is in the list of those who owe once.
func TestOwesOnce(t *testing.T) {
	short(t, func(w *world, _ *fakeMemory) {
		w.farm(1, 2)
		w.m.mu.Lock()
		var all []*target
		for _, x := range w.m.jobs[0].targets {
			all = append(all, x)
		}
		for range 10 {
			for _, n := range []int64{1000, 0} {
				for _, x := range all {
					w.m.owesLocked(x, n)
				}
			}
		}
		for _, x := range all {
			w.m.owesLocked(x, 500)
		}
		if n := len(w.m.short.owing); n != 2 || w.m.short.owed != 1000 {
			t.Errorf("%d of 2 targets are noted as owing %d markers, want 2 and 1000", n, w.m.short.owed)
		}
		w.m.mu.Unlock()
		w.apply("scrape_configs: []\n")
		w.m.mu.Lock()
		defer w.m.mu.Unlock()
		if n := len(w.m.short.owing); n != 0 || w.m.short.owed != 0 {
			t.Errorf("%d targets which are gone are noted as owing %d markers", n, w.m.short.owed)
		}
	})
}

// TestExemplarsOfSeriesWhichWent: what is remembered of exemplars is about series which are there, and some which were lately.
func TestExemplarsOfSeriesWhichWent(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
		const series, share = 500, 5
		var mu sync.Mutex
		n, turn := series, 0
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			turn++
			rw.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
			fmt.Fprintln(rw, "# TYPE c counter")
			for i := range n {
				if i < n/share { // these are others each time
					i += turn * series
				}
				fmt.Fprintf(rw, "c_total{id=\"%d\"} 1 # {trace=\"t%d\"} 1\n", i, turn)
			}
			fmt.Fprintln(rw, "# EOF")
		}))
		w.apply(oneJob())
		known := func() *lastExemplars {
			w.scrapeNow()
			for _, x := range w.m.jobs[0].targets {
				return &x.table.exemplars
			}
			return nil
		}
		most := 0
		for range 150 {
			most = max(most, len(known().of))
		}
		if most < series || most > 8*series {
			t.Errorf("exemplars of %d series are remembered, %d are there", most, series)
		}
		mu.Lock()
		n = share - 1
		mu.Unlock()
		for range 3 * exemplarSweep {
			known()
		}
		if x := known(); len(x.of) != n {
			t.Errorf("exemplars of %d series are remembered, %d are there", len(x.of), n)
		}
	})
}
