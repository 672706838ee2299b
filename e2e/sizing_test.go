package e2e

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// TestSizing measures what the table in docs/memory.md says: what an agent without a limit takes for a number of targets
// and series, and which limit it recommends after four scrapes of each.
func TestSizing(t *testing.T) {
	type row struct {
		targets  int
		series   int64
		interval time.Duration
	}
	rows := []row{{20, 50, time.Second}}
	if *long {
		const s = time.Second
		rows = []row{
			{10, 100, 15 * s}, {30, 1000, 15 * s}, {100, 1000, 15 * s}, {100, 1000, 5 * s}, {1000, 100, 15 * s}, {5000, 20, 15 * s},
			{100, 5000, 15 * s}, {200, 5000, 30 * s}, {1, 500_000, 15 * s},
		}
	}
	for _, r := range rows {
		t.Run(fmt.Sprintf("%dx%d-%v", r.targets, r.series, r.interval), func(t *testing.T) {
			f := startFarm(t, min(r.targets, 1000)) // an address each, so that each costs a connection
			var series atomic.Int64
			series.Store(r.series)
			all := addTargets(f, r.targets, func(i int) answer { return growing(i, &series) })
			s := startSink(t, receiver.Options{CountOnly: true})
			a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, r.interval, all...), "-remoteWrite.url="+s.url)
			if _, err := a.anonBytes(); err != nil {
				t.Skipf("resident memory cannot be measured here: %v", err)
			}
			var p peak
			stop := p.watch(a.process)
			for _, x := range all {
				waitLonger(t, "four scrapes of each", 5*r.interval+patience, func() bool { return x.count() >= 4 })
			}
			stop()
			now, _ := a.anonBytes()
			m := a.metrics(t)
			recommended := m["scraper_memlimit_recommended_bytes"]
			if recommended < 16<<20 || recommended < float64(p.get()) {
				t.Errorf("recommended is a limit of %.0f bytes, want more than the %d which were resident", recommended, p.get())
			}
			failed := m[`scraper_scrape_scrapes_total{result="down"}`]
			a.terminate(t)
			t.Logf("figure: %d targets of %d series every %v: %.1f MiB live, %.1f MiB resident, at most %.1f, recommended %.0f MiB (%v scrapes failed)",
				r.targets, r.series, r.interval, m["scraper_memlimit_live_bytes"]/(1<<20), float64(now)/(1<<20), float64(p.get())/(1<<20), recommended/(1<<20), failed)
		})
	}
}
