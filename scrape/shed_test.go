package scrape

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/memlimit"
)

// fakeMemory is a Memory whose state a test sets.
type fakeMemory struct {
	level       atomic.Uint32
	room, limit atomic.Int64
	admission   *memlimit.Admission
}

func (f *fakeMemory) Level() memlimit.Level          { return memlimit.Level(f.level.Load()) }
func (f *fakeMemory) Room() int64                    { return f.room.Load() }
func (f *fakeMemory) Limit() int64                   { return f.limit.Load() }
func (f *fakeMemory) Admission() *memlimit.Admission { return f.admission }

const plenty = 1 << 40

// short runs f with a world whose memory the test drives. In the end nothing may be handed out, held or owed.
func short(t *testing.T, f func(w *world, mem *fakeMemory)) {
	t.Helper()
	shortWith(t, Options{}, f)
}

func shortWith(t *testing.T, o Options, f func(w *world, mem *fakeMemory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := &fakeMemory{}
		mem.admission = memlimit.NewAdmission(mem.Room)
		mem.room.Store(plenty)
		mem.limit.Store(100 << 10)
		o.Memory, o.Workers = mem, 4
		w := newWorld(t, o)
		f(w, mem)
		w.stop()
		if s := mem.admission.Stats(); s.Granted != 0 || s.Waiting != 0 {
			t.Errorf("in the end %d bytes are handed out, and %d wait", s.Granted, s.Waiting)
		}
	})
}

// set changes how short memory is, and has the Manager see it.
func (f *fakeMemory) set(w *world, l memlimit.Level, room int64) {
	f.room.Store(room)
	f.level.Store(uint32(l))
	f.admission.Serve()
	w.m.LookAtMemory()
	synctest.Wait()
}

// seriesOf is a body of n series of a target.
func seriesOf(name string, from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "m{of=%q,id=\"%d\"} %d\n", name, i, i)
	}
	return b.String()
}

// farm exports targets of so many series each, named by it, and has them scraped every 10 s.
func (w *world) farm(sizes ...int) map[string]*exporter {
	if w.farmed == nil {
		w.farmed = make(map[string]*exporter)
	}
	var targets []string
	for _, n := range sizes {
		name := fmt.Sprintf("t%d", n)
		if w.farmed[name] == nil {
			w.farmed[name] = w.export(name+":80", seriesOf(name, 0, n))
		}
		targets = append(targets, "'"+name+":80'")
	}
	w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  static_configs: [{targets: [" + strings.Join(targets, ", ") + "]}]\n")
	return w.farmed
}

// of returns the samples of one of a farm's targets: how many there are of its series, how many markers, and the values
// of up.
func of(name string, all []sample) (n int, markers map[string]int, up []float64) {
	markers = make(map[string]int)
	for _, s := range all {
		switch {
		case strings.Contains(s.full, `of="`+name+`"`) && batch.IsStale(s.value):
			markers[s.name]++
		case strings.Contains(s.full, `of="`+name+`"`):
			n++
		case s.name == "up" && strings.Contains(s.full, `instance="`+name+`:80"`):
			up = append(up, s.value)
		}
	}
	return n, markers, up
}

func (w *world) target(name string) TargetStatus {
	w.t.Helper()
	for _, x := range w.m.Snapshot().Targets {
		if strings.Contains(x.URL, "//"+name+":80/") {
			return x
		}
	}
	w.t.Fatalf("there is no target %s", name)
	return TargetStatus{}
}

// wantOnce wants that each of n series of a target had one marker.
func wantOnce(t *testing.T, when string, markers map[string]int, n int) {
	t.Helper()
	for name, k := range markers {
		if k != 1 {
			t.Errorf("%s: %s had %d markers, want one", when, name, k)
			return
		}
	}
	if len(markers) != n {
		t.Errorf("%s: %d series had a marker, want %d", when, len(markers), n)
	}
}

// TestShedsTheLargest: when memory is critical the largest target is skipped, and nobody else: it sends up = 0 and its
// markers, once, and gives its table back soon. When there is room again it is let in.
func TestShedsTheLargest(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		w.farm(100, 700, 800, 2000)
		w.run()
		w.pass(25 * time.Second)
		if next := w.m.MemoryState().Next; len(next) != 4 || !strings.Contains(next[0].URL, "t2000") || !strings.Contains(next[3].URL, "t100:") {
			t.Errorf("next would be %+v, want the largest first", next)
		}
		before := w.target("t2000").MemoryBytes
		mem.set(w, memlimit.Critical, -1)
		got := w.pass(30 * time.Second)
		for name, want := range map[string]int{"t100": 300, "t700": 2100, "t800": 2400} {
			if n, markers, up := of(name, got); n != want || len(markers) != 0 || fmt.Sprint(up) != "[1 1 1]" {
				t.Errorf("%s sent %d samples, %d markers and up %v beside the one which was shed, want %d, none, and three times 1", name, n, len(markers), up, want)
			}
		}
		n, markers, up := of("t2000", got)
		if n != 0 || fmt.Sprint(up) != "[0 0 0]" {
			t.Errorf("the shed target sent %d samples and up %v, want none and three times 0", n, up)
		}
		wantOnce(t, "shed", markers, 2000)
		x := w.target("t2000")
		if x.Held.Reason != SkipShed || x.Held.Skipped != 3 || x.LastError != SkipShed.String() || x.Health != HealthDown {
			t.Errorf("the shed target shows %+v, %q, want why, and three scrapes skipped", x.Held, x.LastError)
		}
		if x.MemoryBytes > before/10 {
			t.Errorf("after three turns its table takes %d of %d bytes, want next to nothing", x.MemoryBytes, before)
		}
		s := w.m.MemoryState()
		if len(s.Held) != 1 || s.Shed != 1 || s.OwedMarkers != 0 || s.Skipped[SkipShed] != 3 || w.metric("scraper_scrape_memory_skipped_total", "shed") != 3 {
			t.Errorf("MemoryState() = %+v, want the one, which owes nothing", s)
		}
		mem.set(w, memlimit.Elevated, plenty)
		w.pass(10 * time.Second)
		if got := w.target("t2000"); got.Held.Reason != SkipShed {
			t.Error("it was let in a moment after memory was critical")
		}
		got = w.pass(25 * time.Second)
		if n, markers, _ := of("t2000", got); n < 2000 || len(markers) != 0 || w.target("t2000").Held != (Held{}) {
			t.Errorf("with room again it sent %d samples and is held: %+v", n, w.target("t2000").Held)
		}
		if s := w.m.MemoryState(); s.Readmitted != 1 || len(s.Held) != 0 {
			t.Errorf("MemoryState() = %+v, want one let in", s)
		}
		if strings.Count(w.log.String(), "memory is critical") != 1 {
			t.Errorf("the log says %q, want once what was shed", w.log.String())
		}
	})
}

// TestShedsNoMoreThanNeeded: what was chosen, and will be given back, counts.
func TestShedsNoMoreThanNeeded(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		w.farm(1000, 1001, 1002, 1003, 1004, 1005)
		w.run()
		w.pass(25 * time.Second)
		one := w.target("t1005").MemoryBytes
		mem.set(w, memlimit.Critical, int64(shedTo*float64(mem.Limit()))-one)
		w.pass(10 * time.Second)
		if s := w.m.MemoryState(); len(s.Held) < 1 || len(s.Held) > 3 || !strings.Contains(s.Held[0].URL, "t1005") {
			t.Errorf("%d targets are held, %+v, want those which make up for what is too much", len(s.Held), s.Held)
		}
		mem.set(w, memlimit.Critical, -plenty)
		w.pass(2 * time.Second)
		if s := w.m.MemoryState(); len(s.Held) != 6 {
			t.Errorf("%d targets are held, want all when there is never enough", len(s.Held))
		}
	})
}

// TestShedsManySmallTargets: where no few targets make up for it, as many are shed at once as do, the largest first.
func TestShedsManySmallTargets(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		var sizes []int
		for i := range 2 * shedAtOnce {
			sizes = append(sizes, 10+i)
		}
		w.farm(sizes...)
		w.run()
		w.pass(25 * time.Second)
		mem.set(w, memlimit.Critical, -plenty)
		w.pass(2 * time.Second)
		s := w.m.MemoryState()
		if s.HeldTargets != len(sizes) || s.Shed != uint64(len(sizes)) || strings.Count(w.log.String(), "memory is critical") != 1 {
			t.Errorf("%d of %d targets are held, %d were shed: %s", s.HeldTargets, len(sizes), s.Shed, w.log.String())
		}
		if len(s.Next) != 0 {
			t.Errorf("next would be %+v, want nobody", s.Next)
		}
	})
}

// TestOwedMarkersAreSpread: a large target's markers are sent at a bounded rate.
func TestOwedMarkersAreSpread(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		const series = 20_000
		w.farm(series)
		w.run()
		w.pass(15 * time.Second)
		mem.set(w, memlimit.Critical, -1)
		all := make(map[string]int)
		ticks := 0
		for i := range 150 {
			got := w.pass(time.Duration(min(i, 1)) * 100 * time.Millisecond) // the first ones come at once
			_, markers, _ := of(fmt.Sprint("t", series), got)
			if len(markers) > 2*markersAtOnce {
				t.Fatalf("%d markers within 100 ms, want at most %d in 200 ms", len(markers), 2*markersAtOnce)
			}
			if len(markers) > 0 {
				ticks++
			}
			for name, n := range markers {
				all[name] += n
			}
		}
		wantOnce(t, "in the end", all, series)
		if ticks < series/markersAtOnce {
			t.Errorf("they came within %d times 100 ms", ticks)
		}
		if n := w.m.MemoryState().OwedMarkers; n != 0 {
			t.Errorf("%d markers are owed in the end", n)
		}
	})
}

// TestScrapedAgainWhileMarkersAreOwed: a target which is let in before all its markers were sent has no second marker for
// any series, and one for each that is gone.
func TestScrapedAgainWhileMarkersAreOwed(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		const series = 12_000
		name := fmt.Sprint("t", series)
		x := w.farm(series)[name]
		w.run()
		w.pass(15 * time.Second)
		// The scrape has to wait for memory over one turn, and is let in a moment after it was told so.
		block, _ := mem.admission.Ask(1<<20, time.Now(), nil)
		mem.room.Store(1 << 10)
		for w.m.MemoryState().OwedMarkers == 0 {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		got := w.sink.take()
		got = append(got, w.pass(50*time.Millisecond)...)
		_, first, up := of(name, got)
		if len(first) == 0 || len(first) >= series || up[len(up)-1] != 0 {
			t.Fatalf("%d markers were sent, up %v, want a part", len(first), up)
		}
		x.set(seriesOf(name, series/2, series)) // half of them are gone
		mem.room.Store(plenty)
		block.Release(0)
		got = append(got, w.pass(30*time.Second)...)
		n, markers, _ := of(name, got)
		if n < series {
			t.Errorf("%d samples after it was let in, want all", n)
		}
		for name, k := range markers {
			if k != 1 {
				t.Fatalf("%s had %d markers, want one", name, k)
			}
		}
		if len(markers) < series/2 || len(markers) > series {
			t.Errorf("%d series had a marker, want those which went at least", len(markers))
		}
		if s := w.m.MemoryState(); s.Skipped[SkipWaiting] == 0 || s.OwedMarkers != 0 {
			t.Errorf("MemoryState() = %+v, want that it waited, and owes nothing", s)
		}
	})
}

// TestHeldTargetGoes: a target which goes while its markers are owed sends the rest.
func TestHeldTargetGoes(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		const series = 12_000
		w.farm(series)
		w.run()
		w.pass(15 * time.Second)
		mem.set(w, memlimit.Critical, -1)
		var got []sample
		for w.m.MemoryState().OwedMarkers == 0 {
			got = append(got, w.pass(10*time.Millisecond)...)
		}
		got = append(got, w.pass(150*time.Millisecond)...)
		w.apply("scrape_configs: []\n")
		got = append(got, w.pass(10*time.Second)...)
		_, markers, _ := of(fmt.Sprint("t", series), got)
		wantOnce(t, "of a target which went", markers, series)
		if s := w.m.MemoryState(); len(s.Held) != 0 || s.OwedMarkers != 0 {
			t.Errorf("MemoryState() = %+v, want nothing", s)
		}
	})
}

// TestNewTargetsWaitWhileMemoryIsHigh: small ones are sent without being remembered, large ones wait with their reason, and
// are let in one by one, the smallest first, once there is room for each.
func TestNewTargetsWaitWhileMemoryIsHigh(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		mem.limit.Store(64 << 20)
		w.farm(50)
		w.run()
		w.pass(15 * time.Second)
		mem.set(w, memlimit.High, 1<<20)
		w.farm(50, 60, 20_000, 30_000)
		items := w.dict.Stats().Items
		got := w.pass(20 * time.Second)
		if n, _, up := of("t60", got); n != 120 || fmt.Sprint(up) != "[1 1]" {
			t.Errorf("the small new target sent %d samples and up %v, want all of two scrapes", n, up)
		}
		if n := w.dict.Stats().Items - items; n > 60 {
			t.Errorf("%d labels were learnt while memory was high", n)
		}
		for _, name := range []string{"t20000", "t30000"} {
			n, _, up := of(name, got)
			x := w.target(name)
			if n != 0 || fmt.Sprint(up) != "[0 0]" || x.Held.Reason != SkipNew || x.LastError != SkipNew.String() || x.Held.Since.IsZero() {
				t.Errorf("%s sent %d samples and up %v, and is held: %+v %q; want it to wait", name, n, up, x.Held, x.LastError)
			}
		}
		mem.room.Store(2<<20 + int64(letInTo*float64(mem.Limit()))) // for the smaller one, as it is estimated
		w.pass(30 * time.Second)
		if a, b := w.target("t20000"), w.target("t30000"); a.Held != (Held{}) || a.Health != HealthUp || b.Held.Reason != SkipNew {
			t.Errorf("with some room: %+v %q and %+v; want the smaller one to be scraped", a.Held, a.LastError, b.Held)
		}
		mem.room.Store(64 << 20)
		w.pass(30 * time.Second)
		if b := w.target("t30000"); b.Held != (Held{}) || b.Series != 30_000 {
			t.Errorf("with more room: %+v %q, want it to be scraped", b.Held, b.LastError)
		}
	})
}

// TestKnownTargetGrowsWhileMemoryIsHigh: its known series are recognised, new ones travel inline, other words for a known
// series are the same series, and with more than that it still grows while there is room, and else fails and waits.
func TestKnownTargetGrowsWhileMemoryIsHigh(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		mem.limit.Store(64 << 20)
		x := w.farm(1000)["t1000"]
		w.run()
		w.pass(25 * time.Second)
		mem.set(w, memlimit.High, 1<<20)
		x.set(strings.Replace(seriesOf("t1000", 0, 1100), `m{of="t1000",id="7"}`, `m{id="7",of="t1000"}`, 1))
		got := w.pass(20 * time.Second)
		if n, markers, _ := of("t1000", got); n != 2200 || countInline(got) != 200 || len(markers) != 0 {
			t.Errorf("%d samples, %d inline, %d markers, want 2200, 200 and none", n, countInline(got), len(markers))
		}
		x.set(seriesOf("t1000", 0, 20_000))
		w.sink.take()
		got = w.pass(10 * time.Second)
		n, markers, up := of("t1000", got)
		if n != 0 || fmt.Sprint(up) != "[0]" || w.target("t1000").Held.Reason != SkipNew {
			t.Errorf("%d samples, up %v, held %+v; want it to fail, and wait", n, up, w.target("t1000").Held)
		}
		if err := w.target("t1000").LastError; !strings.Contains(err, "of 20000 series do not fit while memory is short") || strings.Contains(err, "maxLabelMemory") {
			t.Errorf("the error is %q, want that memory is short, and nothing of the dictionary, which has room", err)
		}
		wantOnce(t, "failed", markers, 1000)
		mem.set(w, memlimit.Normal, plenty)
		w.pass(30 * time.Second)
		mem.set(w, memlimit.High, 20<<20)
		x.set(seriesOf("t1000", 0, 30_000))
		got = w.pass(20 * time.Second)
		if n, markers, up := of("t1000", got); n != 60_000 || len(markers) != 0 || fmt.Sprint(up) != "[1 1]" {
			t.Errorf("with room it sent %d samples, %d markers, up %v; want it to grow", n, len(markers), up)
		}
		if countInline(got) == 0 {
			t.Error("nothing was inline")
		}
	})
}

// TestGrowthIsRefused: a scrape which needs more than there is ends, gives all back, and waits until there is room.
func TestGrowthIsRefused(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.set(w, memlimit.Normal, 500<<10)
		w.farm(20_000)
		w.run()
		got := w.pass(10 * time.Second)
		x := w.target("t20000")
		if n, _, up := of("t20000", got); n != 0 || fmt.Sprint(up) != "[0]" || !strings.HasPrefix(x.LastError, "memory limit: ") {
			t.Errorf("it sent %d samples and up %v, %q; want it to fail for memory", n, up, x.LastError)
		}
		if items := w.dict.Stats().Items; items > 50 {
			t.Errorf("the dictionary holds %d labels of a scrape which was refused", items)
		}
		if s := mem.admission.Stats(); s.Granted != 0 || s.Starved == 0 {
			t.Errorf("Stats() = %+v, want one starved, and nothing handed out", s)
		}
		w.pass(20 * time.Second)
		if x := w.target("t20000"); x.Held.Reason != SkipNew || x.Scrapes > 2 {
			t.Errorf("%+v after %d scrapes, want it to wait", x.Held, x.Scrapes)
		}
		mem.set(w, memlimit.Normal, plenty)
		w.pass(20 * time.Second)
		if x := w.target("t20000"); x.Held != (Held{}) || x.Health != HealthUp || x.Series != 20_000 {
			t.Errorf("with room: %+v, %q", x.Held, x.LastError)
		}
		if w.m.metrics.Unbalanced() != 0 {
			t.Errorf("%d samples are nowhere", w.m.metrics.Unbalanced())
		}
	})
}

// TestWaitsForMemory: scrapes wait for memory without a goroutine, in the order of who was due first, and a turn which
// passes meanwhile is counted and told. They keep their places.
func TestWaitsForMemory(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		block, _ := mem.admission.Ask(1<<20, time.Now(), nil)
		mem.room.Store(1 << 10)
		w.farm(100, 101, 102)
		before := goroutinesHere()
		w.run()
		w.pass(9900 * time.Millisecond)
		if n := goroutinesHere() - before; n > 1 {
			t.Errorf("three scrapes which wait for memory take %d goroutines, want only Run's", n)
		}
		if s := mem.admission.Stats(); s.Waiting != 3 {
			t.Errorf("%d wait, want 3", s.Waiting)
		}
		got := w.pass(10 * time.Second)
		if _, _, up := of("t101", got); fmt.Sprint(up) != "[0]" || w.target("t101").LastError != SkipWaiting.String() {
			t.Errorf("up %v, %q after a turn has passed, want 0 and why", up, w.target("t101").LastError)
		}
		if s := w.m.MemoryState(); s.Skipped[SkipWaiting] != 3 || s.Admission.Waiting != 3 {
			t.Errorf("MemoryState() = %+v, want three turns skipped, and three which still wait", s)
		}
		mem.room.Store(plenty)
		block.Release(0)
		got = w.pass(100 * time.Millisecond)
		for _, name := range []string{"t100", "t101", "t102"} {
			if n, _, up := of(name, got); n < 100 || fmt.Sprint(up) != "[1]" {
				t.Errorf("%s: %d samples, up %v at once when there is room", name, n, up)
			}
		}
		got = w.pass(30 * time.Second)
		if _, _, up := of("t102", got); fmt.Sprint(up) != "[1 1 1]" {
			t.Errorf("up %v afterwards", up)
		}
	})
}

// TestNobodyStarves has room for one scrape at a time, and many which want it all the time: each gets its turn.
func TestNobodyStarves(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.room.Store(300 << 10)
		sizes := []int{100, 200, 300, 400, 500, 600}
		w.farm(sizes...)
		w.run()
		for range 6 {
			got := w.pass(20 * time.Second)
			for _, n := range sizes {
				if _, _, up := of(fmt.Sprint("t", n), got); len(up) == 0 || up[len(up)-1] != 1 {
					t.Errorf("t%d: up %v in 20 s: %q, %+v", n, up, w.target(fmt.Sprint("t", n)).LastError, mem.admission.Stats())
				}
			}
		}
	})
}

// TestMarkedTablesGo: tables of targets which fail go when memory gets short, at the latest.
func TestMarkedTablesGo(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		x := w.farm(5000)["t5000"]
		w.run()
		w.pass(15 * time.Second)
		x.fail(500)
		w.pass(10 * time.Second)
		if x := w.target("t5000"); x.MemoryBytes < 20_000 {
			t.Errorf("the table of a target which failed once takes %d bytes, want it kept", x.MemoryBytes)
		}
		if n := w.m.ReleaseTables(); n < 20_000 {
			t.Errorf("ReleaseTables() = %d, want what it took", n)
		}
		if n := w.m.ReleaseTables(); n != 0 || w.target("t5000").MemoryBytes > 5000 {
			t.Errorf("ReleaseTables() = %d the second time, and it takes %d", n, w.target("t5000").MemoryBytes)
		}
		x.set(seriesOf("t5000", 0, 5000))
		w.pass(10 * time.Second)
		mem.set(w, memlimit.Elevated, plenty)
		if n := len(w.m.workers); n != 2 {
			t.Errorf("%d of 4 workers rest while memory is elevated, want half", n)
		}
		x.fail(500)
		w.pass(10 * time.Second)
		if x := w.target("t5000"); x.MemoryBytes > 5000 {
			t.Errorf("while memory is elevated the table of a target which failed takes %d bytes", x.MemoryBytes)
		}
		mem.set(w, memlimit.Normal, plenty)
		if n := len(w.m.workers); n != 0 {
			t.Errorf("%d workers rest while memory is normal", n)
		}
	})
}

// TestBlackHolesTakeNoMemory: what does not answer keeps nothing from who does.
func TestBlackHolesTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := &fakeMemory{}
		mem.admission = memlimit.NewAdmission(mem.Room)
		mem.room.Store(2 << 20) // for a few unknown ones at a time
		var w *world
		w = newWorld(t, Options{Memory: mem, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.dialOrWait(ctx, network, addr)
		}})
		w.export("good:80", seriesOf("good", 0, 1000))
		conf := "scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  static_configs:\n  - {targets: ['good:80']}\n"
		for i := range 200 {
			conf += fmt.Sprintf("  - {targets: ['%s'], labels: {n: '%d'}}\n", blackHole, i)
		}
		w.apply(conf)
		w.run()
		got := w.pass(40 * time.Second)
		if n, _, _ := of("good", got); n < 3000 {
			t.Errorf("%d samples beside 200 black holes, want those of three scrapes at least", n)
		}
		w.stop()
		if s := mem.admission.Stats(); s.Granted != 0 || s.Waiting != 0 {
			t.Errorf("in the end: %+v", s)
		}
	})
}

// TestWithoutBudget: nothing is asked, and nothing shown.
func TestWithoutBudget(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.farm(100)
		w.run()
		w.pass(20 * time.Second)
		s := w.m.MemoryState()
		if s.Level != memlimit.Normal || len(s.Held) != 0 || s.Admission != (memlimit.AdmissionStats{}) || w.m.ReleaseTables() != 0 {
			t.Errorf("MemoryState() = %+v", s)
		}
	})
	k := memlimit.New(memlimit.Options{})
	if k.Room() != math.MaxInt64 {
		t.Errorf("Room() = %d without a budget", k.Room())
	}
}

// TestRefusedForAMoment: a scrape which was refused more memory because others had it just then is not held back: the next
// one waits until it can have all that it needs.
func TestRefusedForAMoment(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.room.Store(4 << 20)
		block, _ := mem.admission.Ask(3300<<10, time.Now(), nil) // an eighth of the room is for growth
		w.farm(20_000)
		w.run()
		w.pass(10 * time.Second)
		if x := w.target("t20000"); x.Held != (Held{}) || !strings.HasPrefix(x.LastError, "memory limit: ") {
			t.Errorf("held %+v, %q, want that it was refused, and not held", x.Held, x.LastError)
		}
		w.pass(10 * time.Second)
		if n := mem.admission.Stats().Waiting; n != 1 {
			t.Errorf("%d wait, want it to wait for all that it needs", n)
		}
		block.Release(0)
		w.pass(time.Second)
		if x := w.target("t20000"); x.Health != HealthUp || x.Series != 20_000 {
			t.Errorf("%v with %d series, %q, want it scraped as soon as there is room", x.Health, x.Series, x.LastError)
		}
	})
}
