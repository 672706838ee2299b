package scrape

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/memlimit"
)

// TestShedsWhoHoldsMemory: a large target which has been down for so long that its table is gone has nothing to give, and
// nothing is expected of it: somebody else is shed.
func TestShedsWhoHoldsMemory(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		x := w.farm(1000, 1500, 8000)["t8000"]
		w.run()
		w.pass(25 * time.Second)
		x.fail(500)
		w.pass(keepFailed*10*time.Second + 10*time.Second)
		one := w.target("t1500").MemoryBytes
		mem.set(w, memlimit.Critical, int64(shedTo*float64(mem.Limit()))-one/2)
		w.pass(5 * time.Second)
		if a, b, c := w.target("t8000"), w.target("t1500"), w.target("t1000"); a.Held.Reason != SkipNone || b.Held.Reason != SkipShed || c.Held.Reason != SkipNone {
			t.Errorf("held are: the one which is down: %+v; of 1500 series: %+v; of 1000: %+v; want only the second", a.Held, b.Held, c.Held)
		}
		w.pass(releaseTakes + 20*time.Second)
		if x := w.target("t1000"); x.Held.Reason != SkipShed {
			t.Errorf("%+v after what the first one gave back did not help, want it shed, too", x.Held)
		}
	})
}

// TestWaitsNotForEver: a target which waits for all that it needs, and for which others leave no room meanwhile, is held like others
// which do not fit: it shows, and is tried now and then.
func TestWaitsNotForEver(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.room.Store(4 << 20)
		block, _ := mem.admission.Ask(3300<<10, time.Now(), nil)
		x := w.farm(20_000)["t20000"]
		w.run()
		w.pass(20 * time.Second)
		if n := mem.admission.Stats().Waiting; n != 1 {
			t.Errorf("%d wait, want it to wait for all that it needs", n)
		}
		mem.room.Store(600 << 10) // others have learnt
		block.Release(0)
		w.pass(20 * time.Second)
		if x := w.target("t20000"); x.Held.Reason != SkipNew || w.m.HeldBytes() < 1<<20 {
			t.Errorf("%+v, HeldBytes() = %d; want it held, with what it needs", x.Held, w.m.HeldBytes())
		}
		x.set(seriesOf("t20000", 0, 100))
		w.pass(tryMost + 20*time.Second)
		if x := w.target("t20000"); x.Health != HealthUp {
			t.Errorf("after its body became small: %+v, %q, want it scraped", x.Held, x.LastError)
		}
	})
}

// TestGivesBackBeforeItIsDue: what a shed target holds goes soon, however long its interval is, with one marker for each series;
// in need it goes at once.
func TestGivesBackBeforeItIsDue(t *testing.T) {
	for after, room := range map[time.Duration]int64{giveBackAfter + 2*time.Second: -1, time.Second: -100 << 10} {
		short(t, func(w *world, mem *fakeMemory) {
			w.export("t12000:80", seriesOf("t12000", 0, 12_000))
			w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 1h\n  static_configs: [{targets: ['t12000:80']}]\n")
			w.run()
			w.pass(time.Hour + time.Minute)
			if x := w.target("t12000"); x.Health != HealthUp || x.Held != (Held{}) {
				t.Fatalf("%v, %+v: want it scraped", x.Health, x.Held)
			}
			before := w.target("t12000").MemoryBytes
			mem.set(w, memlimit.Critical, room)
			got := w.pass(after)
			x := w.target("t12000")
			if x.Held.Reason != SkipShed || x.Held.Skipped != 0 || x.MemoryBytes > before/10 {
				t.Errorf("%v after it was shed: %+v, and it takes %d of %d bytes; want next to nothing", after, x.Held, x.MemoryBytes, before)
			}
			got = append(got, w.pass(time.Hour)...)
			_, markers, _ := of("t12000", got)
			wantOnce(t, "shed", markers, 12_000)
		})
	}
}

// TestSilentTargetPaysItsMarkers: of a target whose scrapes last until the next one is due, the markers are sent and the table
// goes all the same while memory is high, and it is asked at each turn.
func TestSilentTargetPaysItsMarkers(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		const series = 22_000
		var asked atomic.Int64
		var silent atomic.Bool
		w.serve("t22000:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
			if asked.Add(1); silent.Load() {
				<-rq.Context().Done()
				return
			}
			_, _ = io.WriteString(rw, seriesOf("t22000", 0, series))
		}))
		w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  scrape_timeout: 10s\n  static_configs: [{targets: ['t22000:80']}]\n")
		w.run()
		w.pass(15 * time.Second)
		before := w.target("t22000").MemoryBytes
		silent.Store(true)
		asked.Store(0)
		mem.set(w, memlimit.High, plenty)
		got := w.pass(time.Minute)
		_, markers, up := of("t22000", got)
		wantOnce(t, "silent", markers, series)
		if x := w.target("t22000"); x.MemoryBytes > before/10 || w.m.MemoryState().OwedMarkers != 0 {
			t.Errorf("it takes %d of %d bytes, and owes %d markers; want next to nothing", x.MemoryBytes, before, w.m.MemoryState().OwedMarkers)
		}
		if n := asked.Load(); n < 5 || len(up) < 4 {
			t.Errorf("it was asked %d times within a minute, and had up %v; want each 10 s", n, up)
		}
	})
}

// TestKnowsWhatItTook: of a target which was measured, and loses its table while memory is high, it is known what it needs: series whose
// labels have few values take less than what is thought of others.
func TestKnowsWhatItTook(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		var body strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&body, "m{of=\"t20000\",a=\"%d\",b=\"%d\"} 1\n", i%100, i/100)
		}
		x := w.farm(20_000)["t20000"]
		x.set(body.String())
		w.run()
		w.pass(15 * time.Second)
		took := w.target("t20000").MemoryBytes + w.target("t20000").LabelBytes
		mem.set(w, memlimit.High, plenty)
		x.fail(500)
		w.pass(20 * time.Second)
		x.set(body.String())
		w.pass(10 * time.Second)
		if x := w.target("t20000"); x.Held.Reason != SkipNew {
			t.Errorf("%+v, %q, want it held", x.Held, x.LastError)
		}
		if got := w.m.HeldBytes(); got < took || got > took+600<<10 {
			t.Errorf("HeldBytes() = %d, want the %d which it took, and what passes", got, took)
		}
	})
}

// TestSkippedScrapesAreNotLogged: the log tells of scrapes which fail, and recover from that; of those which are skipped it tells
// as a whole, when it begins.
func TestSkippedScrapesAreNotLogged(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		x := w.farm(5000)["t5000"]
		w.run()
		w.pass(15 * time.Second)
		for range 3 {
			block, _ := mem.admission.Ask(1<<20, time.Now(), nil)
			mem.room.Store(1 << 10)
			w.pass(25 * time.Second)
			mem.room.Store(plenty)
			block.Release(0)
			w.pass(15 * time.Second)
		}
		if s := w.m.MemoryState(); s.Skipped[SkipWaiting] < 3 || w.target("t5000").Health != HealthUp {
			t.Errorf("MemoryState() = %+v, want skipped scrapes, and the target up again", s)
		}
		if strings.Contains(w.log.String(), "scrape recovered") {
			t.Errorf("the log says %q, and nothing had failed", w.log.String())
		}
		x.fail(500)
		w.pass(10 * time.Second)
		x.set(seriesOf("t5000", 0, 5000))
		w.pass(10 * time.Second)
		if s := w.log.String(); strings.Count(s, "scrape failed") != 1 || strings.Count(s, "scrape recovered") != 1 {
			t.Errorf("the log says %q, want once that it failed and recovered", s)
		}
	})
}

// TestRepetitionsAreAskedFor: what is remembered of a body which repeats a series with another timestamp is asked for before it is
// taken.
func TestRepetitionsAreAskedFor(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		const series = 60_000
		mem.limit.Store(64 << 20)
		x := w.export("t60000:80", "")
		w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  honor_timestamps: true\n  static_configs: [{targets: ['t60000:80']}]\n")
		set := func() {
			var body strings.Builder
			millis := time.Now().UnixMilli()
			for i := range series {
				fmt.Fprintf(&body, "m{of=\"t60000\",a=\"%d\",b=\"%d\"} 1 %d\n", i%100, i/100, millis)
			}
			fmt.Fprintf(&body, "m{of=\"t60000\",a=\"0\",b=\"0\"} 1 %d\n", millis+1)
			x.set(body.String())
		}
		set()
		w.run()
		w.pass(15 * time.Second)
		mem.set(w, memlimit.Normal, 5<<20) // of which the table takes 1.8 MB
		set()
		w.pass(10 * time.Second)
		if x := w.target("t60000"); x.Health != HealthDown || !strings.Contains(x.LastError, "memory limit") {
			t.Errorf("%v, %q; want that there is no room for it", x.Health, x.LastError)
		}
	})
}
