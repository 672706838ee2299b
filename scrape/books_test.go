package scrape

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"scraper/batch"
)

// checkBooks compares what was read with what became of it, from the metrics as a user sees them.
func checkBooks(w *world) {
	w.t.Helper()
	read := w.metric("scraper_scrape_samples_read_total")
	committed, dropped := w.metric("scraper_scrape_samples_committed_total"), w.metric("scraper_scrape_samples_dropped_total")
	if read != committed+dropped {
		w.t.Errorf("%v samples were read, %v committed and %v dropped", read, committed, dropped)
	}
}

// TestBooksBalance scrapes random bodies, good and bad, and counts what arrives.
func TestBooksBalance(t *testing.T) {
	bothDialects(t, func(w *world) {
		rnd := rand.New(rand.NewPCG(1, 1))
		var mu sync.Mutex
		var cutAt int
		var body string
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			rw.Header().Set("Content-Type", "text/plain")
			rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = rw.Write([]byte(body[:len(body)-cutAt]))
		}))
		w.apply(oneJob("honor_timestamps: true", "sample_limit: 45", "label_limit: 5",
			"metric_relabel_configs: [{source_labels: [l], regex: 'drop.*', action: drop}, {regex: b, action: labeldrop}]"))
		w.run()
		var samples, markers int
		for range 300 {
			var b strings.Builder
			for range rnd.IntN(70) {
				fmt.Fprintf(&b, "m%d{l=%q,b=\"%d\"} %d", rnd.IntN(20), []string{"x", "y", "drop", ""}[rnd.IntN(4)], rnd.IntN(2), rnd.IntN(9))
				if rnd.IntN(5) == 0 {
					fmt.Fprintf(&b, " %d", time.Now().UnixMilli()+int64(rnd.IntN(1500*1000))-500*1000)
				}
				b.WriteByte('\n')
				switch rnd.IntN(400) {
				case 0:
					b.WriteString("not a line\n")
				case 1:
					b.WriteString("m{a=\"1\",c=\"2\",d=\"3\",e=\"4\"} 1\n") // beyond label_limit
				case 2:
					b.WriteString("m{a=\"1\",a=\"2\"} 1\n")
				}
			}
			mu.Lock()
			body, cutAt = b.String(), 0
			if rnd.IntN(10) == 0 {
				cutAt = rnd.IntN(len(body) + 1)
			}
			mu.Unlock()
			for _, s := range w.pass(tick) {
				switch {
				case isAuto(s.name):
				case batch.IsStale(s.value):
					markers++
				default:
					samples++
				}
			}
		}
		checkBooks(w)
		if n := w.metric("scraper_scrape_samples_committed_total"); n != float64(samples) {
			t.Errorf("%v samples were counted as committed, %d arrived", n, samples)
		}
		if n := w.metric("scraper_scrape_stale_markers_total"); n != float64(markers) {
			t.Errorf("%v markers were counted, %d arrived", n, markers)
		}
		for _, reason := range []string{dropRelabeling, dropLimit, dropDuplicate, dropOutOfOrder, dropOutOfBounds, dropFailed} {
			if w.metric("scraper_scrape_samples_dropped_total", reason) == 0 {
				t.Errorf("nothing was dropped as %s: the test does not test it", reason)
			}
		}
		up, down := w.metric("scraper_scrape_scrapes_total", "up"), w.metric("scraper_scrape_scrapes_total", "down")
		if up == 0 || down == 0 || up+down < 299 {
			t.Errorf("%v scrapes were good, %v failed, want some of each, 300 in all", up, down)
		}
	})
}
