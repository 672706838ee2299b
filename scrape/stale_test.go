package scrape

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const tick = 10 * time.Second

// oneJob is a configuration with one job and one target, a:80, which is scraped once per tick.
func oneJob(more ...string) string {
	s := "global:\n  scrape_interval: 10s\n  scrape_timeout: 5s\nscrape_configs:\n- job_name: j\n  static_configs: [{targets: ['a:80']}]\n"
	for _, m := range more {
		s += "  " + m + "\n"
	}
	return s
}

func TestSeriesGone(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "m{l=\"1\"} 1\nm{l=\"2\"} 2\nn 3\n")
		w.apply(oneJob())
		w.run()
		wantSamples(t, "first scrape", w.pass(tick), `m{l="1"} 1`, `m{l="2"} 2`, "n 3")
		e.set("m{l=\"1\"} 4\nn 5\n")
		got := w.pass(tick)
		wantSamples(t, "one is gone", got, `m{l="1"} 4`, `m{l="2"} stale`, "n 5")
		for _, s := range got {
			if s.ts != got[0].ts {
				t.Errorf("%s at %d, want the scrape's time, %d", s, s.ts, got[0].ts)
			}
		}
		wantSamples(t, "no marker twice", w.pass(tick), `m{l="1"} 4`, "n 5")
		e.set("n 6\nm{l=\"2\"} 7\nm{l=\"1\"} 8\n")
		wantSamples(t, "back, in another order", w.pass(tick), `m{l="1"} 8`, `m{l="2"} 7`, "n 6")
		e.set("")
		got = w.pass(tick)
		wantSamples(t, "an empty body", got, `m{l="1"} stale`, `m{l="2"} stale`, "n stale")
		if up := value(got, "up"); up != 1 {
			t.Errorf("up = %v after an empty body, want 1", up)
		}
	})
}

// TestSameSeriesInOtherWords: identity is the final label set, however the target writes it.
func TestSameSeriesInOtherWords(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "m{a=\"1\",b=\"2\"} 1\nn 1\n")
		w.apply(oneJob("metric_relabel_configs: [{action: labeldrop, regex: c}]"))
		w.run()
		w.pass(tick)
		for i, text := range []string{
			"m{b=\"2\",a=\"1\"} 2\nn 2\n", "m {a=\"1\", b=\"2\",} 2\nn{} 2\n", "n{c=\"x\"} 2\nm{c=\"y\",a=\"1\",b=\"2\"} 2\n",
			"n 2\nm{c=\"z\",a=\"1\",b=\"2\"} 2\n", "{\"m\",a=\"1\",b=\"2\"} 2\nn{empty=\"\"} 2\n",
		} {
			e.set(text)
			wantSamples(t, fmt.Sprint("words ", i), w.pass(tick), `m{a="1",b="2"} 2`, "n 2")
		}
		e.set("m{a=\"1\",b=\"2\"} 3\nm{b=\"2\",a=\"1\"} 4\nn{c=\"1\"} 5\nn{c=\"2\"} 6\n")
		wantSamples(t, "the first of two counts", w.pass(tick), `m{a="1",b="2"} 3`, "n 5")
		if got := w.metric("scraper_scrape_samples_dropped_total", "duplicate"); got != 2 {
			t.Errorf("%v duplicates were counted, want 2", got)
		}
	})
}

func TestScrapeFailedAndRecovered(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "m 1\nn 2\n")
		w.apply(oneJob("sample_limit: 3"))
		w.run()
		w.pass(tick)
		e.fail(http.StatusInternalServerError)
		got := w.pass(tick)
		wantSamples(t, "failed", got, "m stale", "n stale")
		if up := value(got, "up"); up != 0 {
			t.Errorf("up = %v after a failed scrape, want 0", up)
		}
		for range 5 { // beyond the failures for which the table is kept
			got = w.pass(tick)
			wantSamples(t, "failed again", got)
			if up := value(got, "up"); up != 0 {
				t.Errorf("up = %v after a failed scrape, want 0", up)
			}
		}
		e.set("m 3\nx 4\n")
		wantSamples(t, "recovered, n is gone since", w.pass(tick), "m 3", "x 4")
		e.set("m 3\nx 4\ny 5\nz 6\n")
		wantSamples(t, "beyond the limit", w.pass(tick), "m stale", "x stale")
		e.set("x 4\ny 7\n")
		wantSamples(t, "recovered at once", w.pass(tick), "x 4", "y 7")
		if s := w.only(); s.Health != HealthUp || s.LastError != "" || s.Scrapes != 10 || s.Failed != 7 || s.Series != 2 || s.Samples != 2 {
			t.Errorf("the target's status is %+v", s)
		}
	})
}

// TestTargetGone: the series of a target which is gone end, the automatic ones too, whether it was up or down.
func TestTargetGone(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.export("b:80", "m 2\n")
		both := "global: {scrape_interval: 10s}\nscrape_configs:\n- {job_name: j, static_configs: [{targets: ['a:80', 'b:80']}]}\n"
		w.apply(both)
		w.run()
		first := w.pass(tick)
		autos := len(auto(first))/2 + 1 // and the duration
		last := int64(0)
		for _, s := range first {
			last = max(last, s.ts)
		}
		w.apply("global: {scrape_interval: 10s}\nscrape_configs:\n- {job_name: j, static_configs: [{targets: ['b:80']}]}\n")
		got := w.sink.take()
		wantSamples(t, "gone", got, "m stale")
		if a := auto(got); len(a) != autos || a[0] != "up stale" {
			t.Errorf("the automatic series of a target which is gone: %q, want %d markers", a, autos)
		}
		for _, s := range got {
			if s.full != s.name+braces([]string{`instance="a:80"`, `job="j"`}) || s.ts <= 0 {
				t.Errorf("a marker for %s at %d, want a:80's", s.full, s.ts)
			}
		}
		wantSamples(t, "the other goes on", w.pass(tick), "m 2")

		w.apply(both)
		e.fail(http.StatusNotFound)
		for range 2 * keepFailed {
			w.pass(tick)
		}
		w.apply("scrape_configs: []\n")
		got = w.sink.take()
		wantSamples(t, "a job is gone", got, "m stale")
		if a := auto(got); len(a) != 2*autos {
			t.Errorf("the automatic series of one target which is up and one which was down for long: %q, want %d markers", a, 2*autos)
		}
		if n := w.dict.Stats().Items; n != 0 {
			t.Errorf("%d labels are left of targets which are gone", n)
		}
	})
}

// TestNeverScrapedNoMarker: what was never sent does not end.
func TestNeverScrapedNoMarker(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		release := make(chan struct{})
		w.serve("a:80", http.HandlerFunc(func(_ http.ResponseWriter, rq *http.Request) {
			select {
			case <-release:
			case <-rq.Context().Done():
			}
		}))
		defer close(release)
		w.apply(oneJob())
		w.apply("scrape_configs: []\n") // before its first turn
		w.apply(oneJob("sample_limit: 7", "scrape_interval: 1h", "scrape_timeout: 50m"))
		w.run()
		w.pass(time.Hour) // its first scrape waits for an answer
		w.apply("scrape_configs: []\n")
		if got := w.pass(time.Hour); len(got) != 0 {
			t.Errorf("targets without one finished scrape sent %q", got)
		}
	})
}

// TestNoMarkersAtShutdown: the next start goes on with the series.
func TestNoMarkersAtShutdown(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "m 1\n")
		w.serve("slow:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			_, _ = rw.Write([]byte("slow 1\n"))
			_ = http.NewResponseController(rw).Flush()
			<-rq.Context().Done()
		}))
		w.apply(oneJob() + "- {job_name: slow, static_configs: [{targets: ['slow:80']}], scrape_interval: 1m, scrape_timeout: 1m}\n")
		w.run()
		w.pass(time.Minute)
		w.stop()
		if err := w.m.Close(); err != nil {
			t.Fatal(err)
		}
		if got := w.sink.take(); len(got) != 0 {
			t.Errorf("at shutdown %q was sent", got)
		}
	})
}

// TestChangedLabels: a target whose labels change is another one; the former's series end before the first sample.
func TestChangedLabels(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "m 1\n")
		w.apply(oneJob())
		w.run()
		w.pass(tick)
		w.apply(oneJob("relabel_configs: [{target_label: zone, replacement: z}]"))
		ended := w.sink.take()
		wantSamples(t, "at the reload", ended, "m stale")
		got := w.pass(tick)
		wantSamples(t, "after the reload", got, `m{zone="z"} 1`)
		for _, s := range ended {
			if s.ts >= got[0].ts || s.slot != got[0].slot {
				t.Errorf("%s at %d in slot %d; its successor has its first sample at %d in slot %d", s.full, s.ts, s.slot, got[0].ts, got[0].slot)
			}
		}
	})
}

// TestExplicitTimestamps: such series get no marker, and what is not newer is not sent again.
func TestExplicitTimestamps(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		now := time.Now().UnixMilli()
		body := func(ts int64) string { return fmt.Sprintf("m 1 %d\nn 2\n", ts) }
		e := w.export("a:80", body(now))
		w.apply(oneJob("honor_timestamps: true"))
		w.run()
		got := w.pass(tick)
		wantSamples(t, "first", got, "m 1", "n 2")
		if got[0].ts != now || !got[0].timed || got[1].timed {
			t.Errorf("m has the timestamp %d (own: %v), want its own, %d", got[0].ts, got[0].timed, now)
		}
		wantSamples(t, "the same timestamp", w.pass(tick), "n 2")
		e.set(body(now - 5))
		wantSamples(t, "an older timestamp", w.pass(tick), "n 2")
		e.set(body(now + 5))
		wantSamples(t, "a newer timestamp", w.pass(tick), "m 1", "n 2")
		e.set(body(now + 2*time.Hour.Milliseconds()))
		wantSamples(t, "a timestamp too far ahead", w.pass(tick), "n 2")
		e.set("n 2\n")
		wantSamples(t, "gone", w.pass(tick), "n 2")
		e.set(body(now + 10))
		wantSamples(t, "back", w.pass(tick), "m 1", "n 2")
		e.fail(http.StatusBadGateway)
		wantSamples(t, "failed", w.pass(tick), "n stale")
		if got := w.metric("scraper_scrape_samples_dropped_total", "out_of_order"); got != 2 {
			t.Errorf("%v samples were counted out of order, want 2", got)
		}
		if got := w.metric("scraper_scrape_samples_dropped_total", "out_of_bounds"); got != 1 {
			t.Errorf("%v samples were counted out of bounds, want 1", got)
		}
	})
}

func TestTrackTimestampsStaleness(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		now := time.Now().UnixMilli()
		e := w.export("a:80", fmt.Sprintf("m 1 %d\nn 2\n", now))
		w.apply(oneJob("honor_timestamps: true", "track_timestamps_staleness: true"))
		w.run()
		w.pass(tick)
		e.set("n 2\n")
		got := w.pass(tick)
		wantSamples(t, "gone", got, "m stale", "n 2")
		if got[0].ts != got[1].ts || got[1].timed {
			t.Errorf("the marker of a series with own timestamps is at %d, want the scrape's time %d", got[1].ts, got[0].ts)
		}
	})
}

func TestHonorTimestampsOff(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("a:80", "m 1 1000\nm 2 2000\n")
		w.apply(oneJob("honor_timestamps: false"))
		w.run()
		got := w.pass(tick)
		wantSamples(t, "one sample per scrape", got, "m 1")
		if got[0].timed || got[0].ts != got[1].ts {
			t.Errorf("m is at %d, want the scrape's time %d", got[0].ts, got[1].ts)
		}
	})
}

// TestChangedRules: when metric_relabel_configs change, only series whose final labels change get a marker.
func TestChangedRules(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "keep 1\ndrop 2\nm{a=\"1\",b=\"2\"} 3\nm{a=\"1\",b=\"3\"} 4\n")
		w.apply(oneJob())
		w.run()
		all := []string{"keep 1", "drop 2", `m{a="1",b="2"} 3`, `m{a="1",b="3"} 4`}
		wantSamples(t, "no rules", w.pass(tick), all...)
		w.apply(oneJob("metric_relabel_configs: [{source_labels: [nothing], regex: x, action: drop}]"))
		if got := w.sink.take(); len(got) != 0 {
			t.Errorf("at a reload which changes only rules of samples, %q was sent", got)
		}
		wantSamples(t, "a rule without effect", w.pass(tick), all...)
		w.apply(oneJob("metric_relabel_configs: [{source_labels: [__name__], regex: drop, action: drop}, {regex: b, action: labeldrop}]"))
		wantSamples(t, "rules which drop", w.pass(tick), "keep 1", "drop stale", `m{a="1"} 3`, `m{a="1",b="2"} stale`, `m{a="1",b="3"} stale`)
		wantSamples(t, "and again", w.pass(tick), "keep 1", `m{a="1"} 3`)
		w.apply(oneJob())
		wantSamples(t, "no rules any longer", w.pass(tick), append(all, `m{a="1"} stale`)...)
	})
}

// TestChangedExternalLabels: the series under the former labels end before those under the new ones begin.
func TestChangedExternalLabels(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "m 1\nm{c=\"own\"} 2\n")
		cfg := func(ext string) string {
			return "global: {scrape_interval: 10s, external_labels: {" + ext + "}}\nscrape_configs:\n" +
				"- {job_name: j, honor_labels: true, static_configs: [{targets: ['a:80']}]}\n"
		}
		w.apply(cfg("c: one"))
		w.run()
		got := w.pass(tick)
		wantSamples(t, "first", got, `m{c="one"} 1`, `m{c="own"} 2`)
		n := len(auto(got)) + 1
		w.apply(cfg("c: one")) // nothing changes
		wantSamples(t, "the same again", w.pass(tick), `m{c="one"} 1`, `m{c="own"} 2`)
		w.apply(cfg("c: two"))
		got = w.pass(tick)
		wantSamples(t, "changed", got, `m{c="one"} stale`, `m{c="own"} stale`, `m{c="two"} 1`, `m{c="own"} 2`)
		first, last := got[0].commit, got[len(got)-1].commit
		var ended int
		for _, s := range got {
			if s.commit == first {
				if s.ts >= got[len(got)-1].ts {
					t.Errorf("%s ends at %d, its successor begins at %d", s.full, s.ts, got[len(got)-1].ts)
				}
				ended++
			}
		}
		if ended != n+2 || last == first {
			t.Errorf("%d series ended before, want %d", ended, n+2)
		}
	})
}
