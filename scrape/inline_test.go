package scrape

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/config"
	"scraper/labelcompress"
)

// bounded is bothDialects with a dictionary of so many bytes.
func bounded(t *testing.T, maxBytes int64, f func(w *world)) {
	t.Helper()
	for _, d := range []config.Dialect{config.VMAgent, config.Prometheus} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f(newWorld(t, Options{Dialect: d, Dict: labelcompress.New(labelcompress.Options{MaxBytes: maxBytes})}))
			})
		})
	}
}

// unique is a body of n series, each with a label of its own of some 150 bytes, from number first on.
func unique(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "m{id=\"%0150d\"} %d\n", i, i)
	}
	return b.String()
}

// countInline returns how many of a body's samples travelled with their labels.
func countInline(samples []sample) (n int) {
	for _, s := range samples {
		if s.inline && !isAuto(s.name) {
			n++
		}
	}
	return n
}

// TestSeriesBeyondTheLabelMemory has a target with a few more series than fit: all are sent, each time; those which the
// dictionary has no room for have no staleness markers. With many more the scrape fails, and says how many.
func TestSeriesBeyondTheLabelMemory(t *testing.T) {
	t.Parallel()
	const maxBytes = 1 << 20 // and half of it for one target: some 3,000 series of unique
	bounded(t, maxBytes, func(w *world) {
		e := w.export("a:80", "")
		w.apply(oneJob("honor_timestamps: true", "metric_relabel_configs: [{source_labels: [id], regex: '.*77', action: drop}]"))
		w.run()

		fits := 0
		for n := 500; fits == 0; n += 500 {
			e.set(unique(0, n))
			for round := range 2 {
				got := w.scrapeNow()
				if up := value(got, "up"); up != 1 {
					t.Fatalf("%d series: up = %v, error %q", n, up, w.only().LastError)
				}
				want := n - strings.Count(unique(0, n), "77\"")
				if len(own(got)) != want || len(slices.Compact(own(got))) != want {
					t.Fatalf("%d series, round %d: %d samples came, %d different ones, want %d", n, round, len(own(got)), len(slices.Compact(own(got))), want)
				}
				if inline := countInline(got); inline > 0 {
					fits = n - inline
					if inline > n/2 {
						t.Errorf("%d of %d series travel with their labels", inline, n)
					}
				} else if n > 6000 {
					t.Fatalf("%d series of 150 bytes fit into %d bytes", n, maxBytes)
				}
			}
		}
		if got := w.metric("scraper_scrape_samples_inline_total"); got == 0 {
			t.Error("samples_inline_total = 0")
		}
		// Repeated lines, one with another time: what is not remembered is compared within a body all the same.
		before := w.metric("scraper_scrape_samples_dropped_total", "duplicate")
		last := fmt.Sprintf("m{id=\"%0150d\"}", 1_000_000)
		now := time.Now().UnixMilli()
		e.set(unique(0, fits) + unique(500_000, 300) + fmt.Sprintf("%s 1\n%[1]s 2\n%[1]s 3 %[2]d\n%[1]s 4 %[3]d\n%[1]s 5 %[3]d\n", last, now-1000, now+60_000))
		got := w.scrapeNow()
		if n := w.metric("scraper_scrape_samples_dropped_total", "duplicate") - before; n != 1 {
			t.Errorf("%v duplicates, want the one of series %s", n, last[len(last)-12:])
		}
		var values []float64
		for _, s := range got {
			if s.name == last {
				values = append(values, s.value)
			}
		}
		if !slices.Equal(values, []float64{1, 4}) {
			t.Errorf("of a repeated series come the values %v, want the first one and the one with a later time", values)
		}
		// All are gone: markers for those which were remembered.
		e.set("other 1\n")
		got = w.scrapeNow()
		if n := len(own(got)) - 1; n < fits/2 || n > fits {
			t.Errorf("%d markers for about %d series which were remembered", n, fits)
		}
		if got = w.scrapeNow(); countInline(got) != 0 || len(own(got)) != 1 {
			t.Errorf("of one series come %q, %d with labels, though there is room again", own(got), countInline(got))
		}
		// Far too many.
		n := 3 * fits
		e.set(unique(0, n))
		got = w.scrapeNow()
		if up := value(got, "up"); up != 0 {
			t.Errorf("%d series: up = %v, want 0", n, up)
		}
		wantSamples(t, "after the failure", got, "other stale")
		left := n - strings.Count(unique(0, n), "77\"")
		var missing, of int
		if _, err := fmt.Sscanf(w.only().LastError, "memory limit: %d of %d series do not fit;", &missing, &of); err != nil ||
			of != left || missing < left/3 || missing > left {
			t.Errorf("the error is %q, want how many of %d series do not fit", w.only().LastError, left)
		}
		if err := w.only().LastError; !strings.Contains(err, "-promscrape.maxLabelMemory") {
			t.Errorf("the error is %q, want it to name what bounds the dictionary", err)
		}
		if got := w.metric("scraper_scrape_memory_limited_total"); got != 1 {
			t.Errorf("memory_limited_total = %v, want 1", got)
		}
		checkBooks(w)
		if st := w.dict.Stats(); st.Bytes > maxBytes {
			t.Errorf("the dictionary takes %d bytes, its limit is %d", st.Bytes, maxBytes)
		}
	})
}

// TestTargetWithoutRoom: of a target whose own labels do not fit at least the automatic series are sent.
func TestTargetWithoutRoom(t *testing.T) {
	t.Parallel()
	bounded(t, 1<<20, func(w *world) {
		for i := range 4 { // each may have half
			w.export(fmt.Sprintf("full%d:80", i), unique(i*100_000, 2000))
		}
		w.export("late:80", "m 1\n")
		cfg := "global: {scrape_interval: 10s, scrape_timeout: 5s}\nscrape_configs:\n- job_name: full\n  static_configs: [{targets: ['full0:80', 'full1:80', 'full2:80', 'full3:80']}]\n"
		w.apply(cfg)
		w.run()
		w.pass(30 * time.Second)
		if !isCrowded(w.dict) {
			t.Fatal("the dictionary is not full")
		}
		w.apply(cfg + "- job_name: late\n  static_configs: [{targets: ['late:80'], labels: {long: '" + strings.Repeat("x", 100_000) + "'}}]\n")
		got := w.pass(10 * time.Second)
		found := false
		for _, s := range got {
			if strings.HasPrefix(s.name, "up{long=") {
				found = s.inline && s.value == 0
			}
		}
		if !found {
			t.Error("no up = 0 of the target whose labels do not fit")
		}
	})
}

// TestShareFollowsTheLabelMemory changes the bound of the dictionary while a target is known: it may have half of what that is
// now, of which known series stay known.
func TestShareFollowsTheLabelMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dict := labelcompress.New(labelcompress.Options{MaxBytes: 4 << 20})
		w := newWorld(t, Options{Dict: dict})
		e := w.export("a:80", unique(0, 2000)) // 340 KB of labels
		w.apply(oneJob())
		w.run()
		scrape := func(when string, series, inlineFrom, inlineTo int) {
			t.Helper()
			e.set(unique(0, series))
			got := w.scrapeNow()
			if inline := countInline(got); len(own(got)) != series || inline < inlineFrom || inline > inlineTo {
				t.Errorf("%s: %d samples of %d came, of which %d with their labels, want %d to %d", when, len(own(got)), series, inline, inlineFrom, inlineTo)
			}
		}
		scrape("at first", 2000, 0, 0)
		dict.SetMaxBytes(800 << 10)
		scrape("with half of 800 KiB", 2900, 300, 850)
		dict.SetMaxBytes(4 << 20)
		scrape("with half of 4 MiB again", 2900, 0, 0)
	})
}
