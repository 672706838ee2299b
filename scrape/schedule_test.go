package scrape

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"scraper/batch"
)

func TestTimestamp(t *testing.T) {
	due := time.UnixMilli(1_000_000)
	f := func(late time.Duration, interval time.Duration, last, want int64) {
		t.Helper()
		tg := &target{lastMillis: last}
		if got := tg.timestamp(due, due.Add(late), interval); got != want {
			t.Errorf("timestamp of a scrape %v late, every %v, after %d = %d, want %d", late, interval, last, got, want)
		}
	}
	f(0, time.Minute, 0, 1_000_000)
	f(2*time.Millisecond, time.Minute, 0, 1_000_000)
	f(2*time.Millisecond+1, time.Minute, 0, 1_000_002)
	f(5*time.Millisecond, time.Minute, 0, 1_000_005)
	f(time.Millisecond, 100*time.Millisecond, 0, 1_000_000)
	f(time.Millisecond+1, 100*time.Millisecond, 0, 1_000_001)
	f(-time.Second, time.Minute, 0, 999_000) // the clock was set back
	f(0, time.Minute, 1_000_000, 1_000_001)  // strictly increasing
	f(0, time.Minute, 5_000_000, 5_000_001)
	f(0, time.Minute, 999_999, 1_000_000)
}

// TestPhase: a target's phase depends on host and target alone, and spreads the targets over their interval.
func TestPhase(t *testing.T) {
	const interval = time.Minute
	now := time.Unix(1_700_000_000, 12345)
	phase := func(seed, job, url string, now time.Time, interval time.Duration) time.Duration {
		due := firstDue(seed, slotOf(job, url), interval, now)
		if wait := due.Sub(now); wait <= 0 || wait > interval {
			t.Fatalf("firstDue(%q, %q, %q) is %v after now, want within (0, %v]", seed, job, url, wait, interval)
		}
		return time.Duration(due.UnixNano() % int64(interval))
	}
	first := phase("host", "j", "http://a/", now, interval)
	for _, at := range []time.Duration{1, first, interval - 1, interval, 100*time.Hour + 3} {
		if got := phase("host", "j", "http://a/", now.Add(at), interval); got != first {
			t.Errorf("the phase is %v, and %v later %v", first, at, got)
		}
	}
	for _, other := range []time.Duration{phase("tsoh", "j", "http://a/", now, interval),
		phase("host", "k", "http://a/", now, interval), phase("host", "j", "http://b/", now, interval)} {
		if other == first {
			t.Error("another host, job or URL has the same phase")
		}
	}
	var quarters [4]int
	for i := range 4000 {
		quarters[phase("host", "j", fmt.Sprintf("http://10.0.0.%d/metrics", i), now, interval)*4/interval]++
	}
	for _, n := range quarters {
		if n < 850 || n > 1150 {
			t.Errorf("4000 targets lie in the quarters of their interval as %v", quarters)
		}
	}
}

// TestPhaseSurvivesRestart: another Manager of the same host scrapes at the same times, that of another host at others.
func TestPhaseSurvivesRestart(t *testing.T) {
	times := func(seed string) (s string) {
		bubble(t, Options{HostSeed: seed}, func(w *world) {
			for i := range 5 {
				w.export(fmt.Sprintf("h%d:80", i), "m 1\n")
			}
			w.apply("global: {scrape_interval: 10s}\nscrape_configs:\n- {job_name: j, static_configs: [{targets: ['h0:80', 'h1:80', 'h2:80', 'h3:80', 'h4:80']}]}\n")
			w.run()
			for _, x := range w.pass(3 * tick) {
				if x.name == "m" {
					s += fmt.Sprintln(x.full, x.ts)
				}
			}
		})
		return s
	}
	a := times("a")
	if n := strings.Count(a, "\n"); n != 15 {
		t.Errorf("%d scrapes of 5 targets in 3 intervals, want 15", n)
	}
	if again := times("a"); a != again {
		t.Errorf("a Manager scrapes at\n%sand the next one at\n%s", a, again)
	}
	if b := times("b"); a == b {
		t.Error("the Managers of two hosts scrape at the same times")
	}
}

// TestScheduleIsKept: timestamps are an interval apart, whatever a scrape takes.
func TestScheduleIsKept(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		n := 0
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			n++
			time.Sleep(time.Duration(n%5) * time.Second)
			_, _ = rw.Write([]byte("m 1\n"))
		}))
		w.apply(oneJob())
		w.run()
		last := int64(0)
		for _, s := range w.pass(20 * tick) {
			if s.name != "m" {
				continue
			}
			if last != 0 && s.ts-last != tick.Milliseconds() {
				t.Errorf("two scrapes are %d ms apart, want %d", s.ts-last, tick.Milliseconds())
			}
			last = s.ts
		}
		if n < 19 || n > 20 || w.metric("scraper_scrape_skipped_total") != 0 || w.metric("scraper_scrape_late_total") != 0 {
			t.Errorf("%d scrapes in 20 intervals, %v skipped, %v late", n, w.metric("scraper_scrape_skipped_total"), w.metric("scraper_scrape_late_total"))
		}
	})
}

// TestSkippedScrapes: a turn which comes while the last scrape still runs is counted, and does not pile up.
func TestSkippedScrapes(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.export("a:80", "m 1\n")
		held := false
		w.sink.before = func(*batch.Batch) {
			if !held {
				held = true
				time.Sleep(35 * time.Second) // a sink may not do so, but what if
			}
		}
		w.apply(oneJob())
		w.run()
		got := w.pass(5*tick + tick/2)
		if n := w.metric("scraper_scrape_skipped_total"); n != 3 {
			t.Errorf("%v scrapes were counted as skipped, want 3", n)
		}
		var times []int64
		for _, s := range got {
			if s.name == "m" {
				times = append(times, s.ts-got[0].ts)
			}
		}
		if len(times) < 2 || times[1] != 4*tick.Milliseconds() {
			t.Errorf("scrapes are at %v ms after the first, want the next at %d", times, 4*tick.Milliseconds())
		}
	})
}

// TestSilentTargets: a target which never answers, with a timeout as long as the interval, is tried in each interval: that
// it is down is told as often as that one is up.
func TestSilentTargets(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.serve("a:80", http.HandlerFunc(func(_ http.ResponseWriter, rq *http.Request) { <-rq.Context().Done() }))
		w.apply(oneJob("scrape_timeout: 10s"))
		w.run()
		var times []int64
		for _, s := range w.pass(10*tick + tick/2) {
			if s.name == "up" {
				times = append(times, s.ts)
			}
		}
		for i, ts := range times[1:] {
			if d := ts - times[i]; d != tick.Milliseconds() {
				t.Errorf("%d ms are between two scrapes, want %d", d, tick.Milliseconds())
			}
		}
		if n := len(times); n < 9 || w.metric("scraper_scrape_skipped_total") != 0 || w.metric("scraper_scrape_late_total") != 0 {
			t.Errorf("%d scrapes in 10 intervals, %v skipped, %v late", n, w.metric("scraper_scrape_skipped_total"), w.metric("scraper_scrape_late_total"))
		}
	})
}

// TestTurnsMissed: when the process was not running for a while, there is one scrape, and the others are counted.
func TestTurnsMissed(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.apply(oneJob())
		time.Sleep(10*tick + tick/2)
		w.run()
		got := w.pass(time.Millisecond)
		if n := e.served(); n != 1 {
			t.Errorf("%d scrapes at once, want 1", n)
		}
		if n := w.metric("scraper_scrape_skipped_total"); n != 9 {
			t.Errorf("%v scrapes were counted as skipped, want 9", n)
		}
		if n := w.metric("scraper_scrape_late_total"); n != 1 {
			t.Errorf("%v scrapes were counted as late, want 1", n)
		}
		if age := time.Now().UnixMilli() - got[0].ts; age > 1 {
			t.Errorf("the timestamp of a late scrape is %d ms old, want its start", age)
		}
	})
}

// TestClockSetBack: targets do not wait until the clock is where it was.
func TestClockSetBack(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.apply(oneJob())
		w.run()
		last := w.pass(tick)[0].ts
		w.m.mu.Lock()
		for _, tg := range w.m.due { // what it looks like when the clock was set back by an hour
			tg.next = tg.next.Add(time.Hour)
			tg.lastMillis += time.Hour.Milliseconds()
		}
		w.m.mu.Unlock()
		last += time.Hour.Milliseconds()
		got := w.pass(idleWait + 3*tick)
		if n := e.served(); n < 4 {
			t.Errorf("%d scrapes, want about one per interval", n-1)
		}
		for _, s := range got {
			if s.name == "m" {
				if s.ts <= last {
					t.Errorf("a timestamp of %d after one of %d", s.ts, last)
				}
				last = s.ts
			}
		}
	})
}

// TestIntervalChanges: only the job whose interval changes is scheduled anew, and its targets keep their series.
func TestIntervalChanges(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a, b := w.export("a:80", "m 1\n"), w.export("b:80", "m 2\n")
		cfg := func(interval string) string {
			return "scrape_configs:\n- {job_name: a, scrape_interval: 10s, static_configs: [{targets: ['a:80']}]}\n" +
				"- {job_name: b, scrape_interval: " + interval + ", scrape_timeout: 1s, static_configs: [{targets: ['b:80']}]}\n"
		}
		w.apply(cfg("10s"))
		w.run()
		w.pass(2 * tick)
		due := func(url string) (next time.Time) {
			w.m.mu.Lock()
			defer w.m.mu.Unlock()
			for _, tg := range w.m.due {
				if tg.spec.url == url {
					next = tg.next
				}
			}
			return next
		}
		before := due("http://a:80/metrics")
		w.apply(cfg("2s"))
		if wait := time.Until(due("http://b:80/metrics")); wait <= 0 || wait > 2*time.Second {
			t.Errorf("the changed target is due in %v, want within its new interval", wait)
		}
		if after := due("http://a:80/metrics"); !after.Equal(before) {
			t.Errorf("the other target moved from %v to %v", before, after)
		}
		got := w.pass(tick)
		if a.served() != 3 || b.served() != 7 {
			t.Errorf("a was scraped %d times, b %d times, want 3 and 7", a.served(), b.served())
		}
		for _, s := range got {
			if batch.IsStale(s.value) || s.name == "scrape_series_added" && s.value != 0 {
				t.Errorf("a changed interval sent %s", s)
			}
		}
		if a.connections() != 1 || b.connections() != 1 {
			t.Errorf("%d and %d connections, want one each", a.connections(), b.connections())
		}
	})
}

// TestTimeoutChanges: a changed timeout holds from the next scrape on, and nothing else happens.
func TestTimeoutChanges(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.apply(oneJob())
		w.run()
		w.pass(tick)
		w.apply(strings.Replace(oneJob(), "timeout: 5s", "timeout: 7s", 1))
		wantSamples(t, "after the change", w.pass(tick), "m 1")
		if got := e.header.Get("X-Prometheus-Scrape-Timeout-Seconds"); got != "7" || e.connections() != 1 {
			t.Errorf("the timeout sent is %s over %d connections, want 7 over 1", got, e.connections())
		}
		if s := w.only(); s.Timeout != 7*time.Second || s.Interval != tick {
			t.Errorf("the status says timeout %v and interval %v", s.Timeout, s.Interval)
		}
	})
}
