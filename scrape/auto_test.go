package scrape

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/config"
)

// TestAutomaticSeries pins names, values and order in both dialects. Their order among themselves is of no consequence,
// but they come last.
func TestAutomaticSeries(t *testing.T) {
	bothDialects(t, func(w *world) {
		vm := w.dialect == config.VMAgent
		ok := "# HELP m text\nm{l=\"1\"} 1\nm{l=\"2\"} 2\ndropped 3\n"
		e := w.export("a:80", ok)
		w.apply(oneJob("sample_limit: 3", "metric_relabel_configs: [{source_labels: [__name__], regex: 'dropped|up|scrape_.*', action: drop}]"))
		w.run()
		f := func(when string, prom, more []string) {
			t.Helper()
			got := w.pass(tick)
			want := prom
			if vm {
				want = append(want, more...)
			}
			if a := auto(got); !slices.Equal(a, want) {
				t.Errorf("%s:\n got %q\nwant %q", when, a, want)
			}
			n := len(want) + 1
			for i, s := range got {
				if isAuto(s.name) != (i >= len(got)-n) {
					t.Errorf("%s: %s is number %d of %d, want the automatic series last", when, s, i, len(got))
				}
				if isAuto(s.name) && (s.full != s.name+`{instance="a:80",job="j"}` || s.ts != got[0].ts || s.timed) {
					t.Errorf("%s: %s at %d, want the target's labels alone, at the scrape's time %d", when, s.full, s.ts, got[0].ts)
				}
			}
		}
		f("good", []string{"up 1", "scrape_samples_scraped 3", "scrape_samples_post_metric_relabeling 2", "scrape_series_added 2"},
			[]string{fmt.Sprint("scrape_response_size_bytes ", len(ok)), "scrape_timeout_seconds 5", "scrape_samples_limit 3"})
		f("again", []string{"up 1", "scrape_samples_scraped 3", "scrape_samples_post_metric_relabeling 2", "scrape_series_added 0"},
			[]string{fmt.Sprint("scrape_response_size_bytes ", len(ok)), "scrape_timeout_seconds 5", "scrape_samples_limit 3"})
		e.fail(http.StatusServiceUnavailable)
		f("failed", []string{"up 0", "scrape_samples_scraped 0", "scrape_samples_post_metric_relabeling 0", "scrape_series_added 0"},
			[]string{"scrape_response_size_bytes 0", "scrape_timeout_seconds 5", "scrape_samples_limit 3"})
		e.set(ok + "a 1\nb 2\nc 3\n")
		added := map[bool]int{true: 0, false: 1}[vm] // Prometheus counts up to the limit
		f("beyond sample_limit", []string{"up 0", "scrape_samples_scraped 6", "scrape_samples_post_metric_relabeling 5", fmt.Sprint("scrape_series_added ", added)},
			[]string{"scrape_response_size_bytes 0", "scrape_timeout_seconds 5", "scrape_samples_limit 3"})
		if !vm {
			e.set(ok + "x 1\n!\n")
			f("a bad line", []string{"up 0", "scrape_samples_scraped 4", "scrape_samples_post_metric_relabeling 3", "scrape_series_added 1"}, nil)
			if got, want := w.only().LastError, "line 6: "; !strings.HasPrefix(got, want) {
				t.Errorf("the error is %q, want it to begin with %q", got, want)
			}
		}
		e.set("")
		f("empty", []string{"up 1", "scrape_samples_scraped 0", "scrape_samples_post_metric_relabeling 0", "scrape_series_added 0"},
			[]string{"scrape_response_size_bytes 0", "scrape_timeout_seconds 5", "scrape_samples_limit 3"})
	})
}

// TestDurationSeries: it is the time that the scrape took.
func TestDurationSeries(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			rw.Header().Set("Content-Type", "text/plain")
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(time.Second)
		}))
		w.apply(oneJob())
		w.run()
		got := w.pass(tick + 4*time.Second)
		if d := value(got, "scrape_duration_seconds"); d != 3 {
			t.Errorf("scrape_duration_seconds = %v, want 3", d)
		}
		if s := w.only(); s.LastScrapeDuration != 3*time.Second {
			t.Errorf("the status says that the last scrape took %v, want 3s", s.LastScrapeDuration)
		}
	})
}

// TestLimitSeriesEnds: a limit which is no longer set has a marker, and one which never was has none.
func TestLimitSeriesEnds(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("a:80", "m 1\n")
		w.apply(oneJob("sample_limit: 7"))
		w.run()
		w.pass(tick)
		w.apply(oneJob())
		var marked []string
		for _, s := range append(w.pass(tick), w.pass(tick)...) {
			if strings.HasPrefix(s.name, "scrape_samples_limit") {
				marked = append(marked, s.String())
			}
		}
		if len(marked) != 1 || marked[0] != "scrape_samples_limit stale" {
			t.Errorf("after the limit was dropped, %q was sent, want one marker", marked)
		}
		w.apply("scrape_configs: []\n")
		for _, s := range w.sink.take() {
			if s.name == "scrape_samples_limit" {
				t.Error("a limit which is not set has a marker when its target goes")
			}
		}
	})
}

// TestSampleLimit: as many as the limit are good, one more fails the scrape, and all are counted.
func TestSampleLimit(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "")
		const limit = 5
		w.apply(oneJob(fmt.Sprint("sample_limit: ", limit), "metric_relabel_configs: [{source_labels: [l], regex: x, action: drop}]"))
		w.run()
		body := func(n int) string {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "m%d 1\nm%d{l=\"x\"} 1\n", i, i)
			}
			return b.String()
		}
		for _, known := range []bool{false, true} { // unknown series, then those of the good body before
			for _, n := range []int{limit - 1, limit, limit + 1, 3 * limit} {
				if known {
					e.set(body(limit))
					w.pass(tick)
				}
				e.set(body(n))
				got := w.pass(tick)
				up, sent := 1.0, 0
				for _, s := range own(got) {
					if !strings.HasSuffix(s, "stale") {
						sent++
					}
				}
				want := n
				if n > limit {
					up, want = 0, 0
				}
				if value(got, "up") != up || sent != want || value(got, "scrape_samples_scraped") != float64(2*n) || value(got, "scrape_samples_post_metric_relabeling") != float64(n) {
					t.Errorf("%d samples under a limit of %d: %d were sent, %v", n, limit, sent, auto(got))
				}
				if s := w.only(); (s.LastError != "") != (n > limit) || n > limit && !strings.Contains(s.LastError, "sample_limit exceeded") {
					t.Errorf("%d samples under a limit of %d: the error is %q", n, limit, s.LastError)
				}
			}
		}
		checkBooks(w)
	})
}

// TestClashWithAutomatic: what a target says of an automatic series does not pass for it.
func TestClashWithAutomatic(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "up 7\nscrape_samples_scraped{} 8\nup{l=\"1\"} 9\n")
		w.apply(oneJob())
		w.run()
		for range 3 {
			got := w.pass(tick)
			want := []string{`up{l="1"} 9`}
			if w.dialect == config.VMAgent {
				want = append(want, "exported_up 7", "exported_scrape_samples_scraped 8")
			}
			var g []string
			seen := make(map[string]bool)
			for _, s := range got {
				if seen[s.full] {
					t.Errorf("%s was sent twice", s.full)
				}
				seen[s.full] = true
				if !isAuto(s.name) || strings.Contains(s.name, "l=") {
					g = append(g, s.String())
				}
			}
			slices.Sort(g)
			slices.Sort(want)
			if !slices.Equal(g, want) || value(got, "up") != 1 {
				t.Errorf("got %q with up %v, want %q with up 1", g, value(got, "up"), want)
			}
		}
		checkBooks(w)
	})
}

// TestPanic: a scrape which panics is counted and logged, the others go on, and so does its target at its next turn.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Workers: 1})
		w.lossy = true
		w.export("a:80", "m 1\n")
		w.export("b:80", "n 2\n")
		w.apply("global: {scrape_interval: 10s}\nscrape_configs:\n- {job_name: j, params: {p: [secret]}, static_configs: [{targets: ['a:80', 'b:80']}]}\n")
		w.run()
		wantSamples(t, "before", w.pass(tick), "m 1", "n 2")
		slot := slotOf("j", "http://a:80/metrics?p=secret")
		w.sink.mu.Lock()
		w.sink.panicAt = slot
		w.sink.mu.Unlock()
		wantSamples(t, "in the panic", w.pass(tick), "n 2")
		if n := w.metric("scraper_scrape_panics_total"); n != 1 {
			t.Errorf("%v panics were counted, want 1", n)
		}
		for _, s := range w.m.Snapshot().Targets {
			if a := strings.Contains(s.URL, "a:80"); a != (s.Health == HealthDown) || a != strings.Contains(s.LastError, "panic") {
				t.Errorf("after the panic %s is %v: %q", s.URL, s.Health, s.LastError)
			}
		}
		if log := w.log.String(); !strings.Contains(log, "panicked") || !strings.Contains(log, "panic in the sink") || strings.Contains(log, "secret") {
			t.Errorf("the log says %q, want the panic and its stack, and no secret", log)
		}
		w.sink.mu.Lock()
		w.sink.panicAt = 0
		w.sink.mu.Unlock()
		wantSamples(t, "after", w.pass(tick), "m 1", "n 2")
		wantSamples(t, "and again", w.pass(tick), "m 1", "n 2")
		if n := w.metric("scraper_scrape_panics_total"); n != 1 {
			t.Errorf("%v panics were counted, want 1", n)
		}
	})
}
