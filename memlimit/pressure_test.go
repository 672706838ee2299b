package memlimit

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// world is a Keeper whose runtime and kernel are made up.
type world struct {
	*Keeper
	rt      runtimeState
	log     bytes.Buffer
	soft    []int64 // limits that were set
	returns int
	took    time.Duration // a return
	held    int64         // account on the heap
	file    int64         // account off the heap
	spare   int64         // what the account on the heap can release
	asked   int
	told    []Level
	kernel  regions
	now     time.Time
}

func newWorld(budget int64) *world {
	w := &world{now: time.Unix(1000, 0), took: 50 * time.Millisecond}
	w.Keeper = New(Options{
		Budget: budget, SetSoftLimit: func(n int64) { w.soft = append(w.soft, n) },
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	w.runtime = func() runtimeState { return w.rt }
	w.regions = func() (regions, error) { return w.kernel, nil }
	w.kernel.runtime = 100 * mib // all is touched
	w.resident = func() int64 { return 77 * mib }
	w.returnAll = func() time.Duration { w.returns++; return w.took }
	w.Register(Account{Name: "tables", Bytes: func() int64 { return w.held }, Release: func() int64 {
		w.asked++
		n := w.spare
		w.held, w.spare = w.held-n, 0
		return n
	}})
	w.Register(Account{Name: "queue on tmpfs", Bytes: func() int64 { return w.file }, OffHeap: true})
	w.Watch(func(l Level) { w.told = append(w.told, l) })
	return w
}

func (w *world) step(after time.Duration) {
	w.now = w.now.Add(after)
	w.check(w.now)
}

// returnsStep returns a step at which so many bytes are held, and after which memory was returned as often as wanted.
func (w *world) returnsStep(t *testing.T) func(bytes int64, after time.Duration, want int) {
	return func(bytes int64, after time.Duration, want int) {
		t.Helper()
		w.held = bytes
		w.step(after)
		if w.returns != want {
			t.Errorf("after %d KiB were left, memory was returned %d times, want %d", bytes>>10, w.returns, want)
		}
	}
}

// TestReturnsMemoryOnceAccountsFall pins when memory goes back: after a fall of 4 MiB, and two seconds after the last time.
func TestReturnsMemoryOnceAccountsFall(t *testing.T) {
	w := newWorld(0)
	step := w.returnsStep(t)
	step(100*mib, 0, 0)
	step(97*mib, 2*time.Second, 0)
	step(50*mib, 2*time.Second, 1)
	step(10*mib, time.Second, 1) // too soon
	step(10*mib, time.Second, 2)
	step(10*mib, time.Hour, 2)
	w.Released(3 * mib)
	step(10*mib, time.Hour, 2)
	w.Released(2 * mib)
	step(10*mib, time.Hour, 3)
	step(10*mib, time.Hour, 3)
	w = newWorld(16 * mib) // of which an eighth is less
	step = w.returnsStep(t)
	step(4*mib, time.Hour, 0)
	step(2*mib, time.Hour, 1)
}

// TestReturnsAreSavedUp: memory which goes up and down all the time is returned every 10 s on average, or as often as that costs
// little; after a quiet minute six bursts in a row are answered at once.
func TestReturnsAreSavedUp(t *testing.T) {
	w := newWorld(0)
	swing := func(every, d time.Duration, want int) {
		t.Helper()
		was := w.returns
		for range d / every {
			w.held = 20 * mib
			w.step(every / 2)
			w.held = 10 * mib
			w.step(every / 2)
		}
		if n := w.returns - was; n != want {
			t.Errorf("a swing every %v returned memory %d times in %v, want %d", every, n, d, want)
		}
	}
	swing(4*time.Second, 24*time.Second, 6)
	swing(4*time.Second, 400*time.Second, 42) // 40, and what was saved meanwhile
	w.step(20 * time.Second)
	swing(4*time.Second, 8*time.Second, 2)
	w.step(time.Hour) // six are saved, not more
	swing(2*time.Second, 12*time.Second, 6)
	swing(2*time.Second, 100*time.Second, 11)
	w.took = 10 * time.Millisecond
	w.step(time.Hour)
	swing(2*time.Second, 100*time.Second, 38) // one each 4 s, and a minute of them at once
}

// TestReturnsWhatFollowsABurst: after a large fall little is enough for a minute, and not for longer.
func TestReturnsWhatFollowsABurst(t *testing.T) {
	w := newWorld(0)
	step := w.returnsStep(t)
	step(128*mib, 0, 0)
	step(127*mib, 20*time.Second, 0) // no burst
	step(40*mib, time.Second, 1)
	step(39*mib, time.Second, 1) // too soon
	step(39*mib, time.Second, 2)
	step(39*mib-300<<10, 20*time.Second, 2) // less than a 64th
	step(38*mib, time.Second, 3)
	step(37*mib, 40*time.Second, 3) // long after
	step(33*mib, 20*time.Second, 4)
	step(32*mib, 20*time.Second, 4) // that was no burst
}

// TestLevelFollowsMemory pins what counts for the level, what it causes, and that it causes it once.
func TestLevelFollowsMemory(t *testing.T) {
	w := newWorld(64 * mib) // of which 56 MiB are the limit
	w.rt = runtimeState{live: 10 * mib, stacks: mib, overhead: 4 * mib, objects: 60 * mib, mapped: 70 * mib, collections: 1}
	w.held = 8 * mib
	w.step(0)
	if r := w.Report(); r.Level != Normal || r.Used != 15*mib || r.Limit != 56*mib {
		t.Errorf("Report() = %+v, want a use of 15 MiB of 56, which is normal, whatever is mapped", r)
	}
	// What accounts take counts before the next collection; objects which are dead already do not.
	w.held, w.spare = 30*mib, 10*mib
	w.rt.objects = 90 * mib
	w.step(time.Second)
	if r := w.Report(); r.Level != Elevated || r.Used != 37*mib {
		t.Errorf("Report() = %v with %d bytes used, want elevated with 37 MiB", r.Level, r.Used)
	}
	if w.asked != 1 || w.held != 20*mib {
		t.Errorf("owners were asked to release %d times, want once, at once", w.asked)
	}
	if w.returns != 1 {
		t.Errorf("memory was returned %d times after a release of 10 MiB, want once", w.returns)
	}
	for range 9 {
		w.step(time.Second)
	}
	if w.asked != 1 {
		t.Errorf("owners were asked %d times in ten seconds, want once", w.asked)
	}
	w.step(time.Second)
	w.step(time.Second)
	if w.Level() != Normal || !slices.Equal(w.told, []Level{Elevated, Normal}) {
		t.Errorf("level %v after the release, and watchers were told %v; want normal, and elevated, normal", w.Level(), w.told)
	}
	// What is off the heap counts, too.
	w.file = 30 * mib
	w.step(time.Second)
	if r := w.Report(); r.Level != Critical || r.Changes != [4]uint64{1, 1, 0, 1} || r.OffHeap != 30*mib {
		t.Errorf("Report() = %+v, want critical", r)
	}
	if got := w.log.String(); strings.Count(got, "memory is short") != 2 || strings.Count(got, "memory is less short") != 1 ||
		!strings.Contains(got, "level=critical was=normal used_bytes=59768832 limit_bytes=58720256") || !strings.Contains(got, "queue on tmpfs") {
		t.Errorf("log:\n%swant one line for each change, with who has most", got)
	}
	// A collection which finds less alive is believed.
	w.rt.live, w.rt.collections, w.file = 3*mib, 2, 0
	w.held = 2 * mib
	w.step(time.Second)
	if got := w.Report().Used; got != 8*mib {
		t.Errorf("%d bytes used after a collection, want 8 MiB", got)
	}
}

// TestNoBudget pins that nothing is held back, and no limit is set, where there is none.
func TestNoBudget(t *testing.T) {
	w := newWorld(0)
	w.rt = runtimeState{live: 1 << 40, mapped: 1 << 40, collections: 1}
	for range 20 {
		w.step(time.Second)
	}
	if w.Room() != math.MaxInt64 {
		t.Errorf("Room() = %d without a budget, want no end", w.Room())
	}
	if r := w.Report(); r.Level != Normal || w.soft != nil || r.SoftLimit != 0 || w.asked != 0 || w.log.Len() != 0 {
		t.Errorf("without a budget: %+v, limits %v, %d releases, log %s; want nothing of that", r, w.soft, w.asked, w.log.String())
	}
}

// TestSoftLimitFollows pins that the runtime's limit is set at the start, follows what is off the heap at a calm pace, and
// is never above the budget.
func TestSoftLimitFollows(t *testing.T) {
	w := newWorld(64 * mib)
	want := func(limits ...int64) {
		t.Helper()
		if !slices.Equal(w.soft, limits) {
			t.Errorf("at %v limits of %v were set, want %v", w.now, w.soft, limits)
		}
	}
	w.step(0)
	want(56 * mib)
	w.file = mib / 2
	w.step(6 * time.Second)
	want(56 * mib) // not worth it
	w.file = 10 * mib
	w.step(time.Second)
	want(56 * mib) // not yet
	w.step(5 * time.Second)
	want(56*mib, 46*mib)
	w.file = 2 * mib
	w.step(5 * time.Second)
	w.step(5 * time.Second)
	want(56*mib, 46*mib) // it may come back
	w.step(20 * time.Second)
	want(56*mib, 46*mib, 54*mib)
	w.file = 1 << 40
	w.step(5 * time.Second)
	want(56*mib, 46*mib, 54*mib, 14*mib)
}

// TestUntouchedMemoryIsFree pins that what the runtime has reserved for itself and never touched does not count, neither for
// the level nor within the soft limit, and that the soft limit is never above the budget for that.
func TestUntouchedMemoryIsFree(t *testing.T) {
	w := newWorld(64 * mib)
	w.rt = runtimeState{live: 20 * mib, overhead: 5 * mib, collections: 1}
	w.kernel.runtime = 2 * mib
	w.step(0)
	if got, want := w.Room(), int64(56*mib*9/10-22*mib); got < want || got > want+1 {
		t.Errorf("Room() = %d, want %d: nine tenths of 56 MiB but for 22", got, want)
	}
	if got := w.Report().Used; got != 22*mib || !slices.Equal(w.soft, []int64{59 * mib}) {
		t.Errorf("%d bytes used, limits %v; want 22 MiB, and 3 more than 56", got, w.soft)
	}
	w.kernel.runtime = 4 * mib
	w.step(61 * time.Second)
	if got := w.Report().Used; got != 24*mib || !slices.Equal(w.soft, []int64{59 * mib, 57 * mib}) {
		t.Errorf("%d bytes used, limits %v; want 24 MiB, and 1 more than 56", got, w.soft)
	}
	w.rt.overhead = 40 * mib
	w.step(61 * time.Second)
	if last := w.soft[len(w.soft)-1]; last != 64*mib {
		t.Errorf("soft limit %d, want the budget at most", last)
	}
}

// TestCollectorAtWork pins that a collector which works all the time raises the level, but only near the soft limit.
func TestCollectorAtWork(t *testing.T) {
	w := newWorld(64 * mib)
	w.rt = runtimeState{live: 25 * mib, mapped: 30 * mib, collections: 1}
	run := func(share float64) {
		for range 7 {
			w.rt.gcCPU += share
			w.rt.usedCPU++
			w.step(time.Second)
		}
	}
	run(0.9)
	if w.Level() != Normal {
		t.Errorf("level %v with half of the soft limit mapped, want normal: the collector is busy with what is new", w.Level())
	}
	run(0.2)
	w.rt.mapped = 50 * mib
	run(0.2)
	if w.Level() != Normal {
		t.Errorf("level %v while the collector has a fifth of the time, want normal", w.Level())
	}
	run(0.3)
	if r := w.Report(); r.Level != Elevated || r.CollectorShare < 0.29 || r.CollectorShare > 0.31 {
		t.Errorf("level %v with a share of %.2f, want elevated", r.Level, r.CollectorShare)
	}
	run(0)
	run(0)
	run(0)
	if w.Level() != Normal {
		t.Errorf("level %v long after, want normal", w.Level())
	}
}

// TestHistory pins that the last hour is kept, a point every ten seconds, in bounded memory.
func TestHistory(t *testing.T) {
	w := newWorld(64 * mib)
	for i := range 3 * 3600 {
		w.rt.live = int64(i) << 10
		w.step(time.Second)
	}
	h := w.History()
	if len(h) != 360 || cap(w.pressure.history.points) > 512 {
		t.Errorf("%d points, want 360", len(h))
	}
	for i := range h[1:] {
		if d := h[i+1].At.Sub(h[i].At); d != 10*time.Second {
			t.Fatalf("point %d is %v after the one before, want 10 s", i+1, d)
		}
	}
	last := h[len(h)-1]
	if w.now.Sub(last.At) > 10*time.Second || last.Resident != 77*mib || last.Limit != 56*mib || last.Used < 10790<<10 {
		t.Errorf("last point %+v, want what was last", last)
	}
}

// TestRunLooksAtOnce pins that a level is known before the first tick, and that Run ends with its context.
func TestRunLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(64 * mib)
		w.rt.live = 60 * mib
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		if w.Level() != Critical || len(w.soft) != 1 {
			t.Errorf("level %v, limits %v, want critical and one limit", w.Level(), w.soft)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

// TestWatchEnds pins that who stopped watching, or has left, is not called any more.
func TestWatchEnds(t *testing.T) {
	w := newWorld(64 * mib)
	calls := 0
	w.Watch(func(Level) { calls++ })()
	w.Register(Account{Name: "gone", Bytes: func() int64 { return 0 }, Release: func() int64 { calls++; return 0 }})()
	w.rt.live = 60 * mib
	w.step(0)
	if calls != 0 || w.asked != 1 {
		t.Errorf("%d calls of who has left, want none", calls)
	}
}

// TestBudgetChanges: a container's limit which changes while the agent runs is the budget from then on, and so are the
// soft limit, the level and the room; without a limit nothing is limited.
func TestBudgetChanges(t *testing.T) {
	w := newWorld(64 * mib)
	w.held = 30 * mib
	var told []int64
	w.onBudget = func(bytes int64) {
		told = append(told, bytes)
		if w.Budget() != bytes {
			t.Errorf("Budget() = %d for who is told of %d", w.Budget(), bytes)
		}
	}
	check := func(when string, budget int64, level Level, softFrom, softTo int64) {
		t.Helper()
		w.setBudget(Limit{"test", budget})
		for range 40 {
			w.step(time.Second)
		}
		soft := w.soft[len(w.soft)-1]
		if w.Level() != level || w.Budget() != budget || soft < softFrom || soft > softTo {
			t.Errorf("%s: level %v, budget %d, soft limit %d; want %v, %d, %d to %d", when, w.Level(), w.Budget(), soft, level, budget, softFrom, softTo)
		}
	}
	check("at first", 64*mib, Normal, 50*mib, 60*mib)
	if w.returns != 0 {
		t.Errorf("memory was returned %d times while nothing changed", w.returns)
	}
	check("with less", 36*mib, Critical, 25*mib, 35*mib)
	if w.returns != 1 {
		t.Errorf("memory was returned %d times after the limit fell, want once: there is less room for garbage", w.returns)
	}
	if w.Room() > 0 {
		t.Errorf("Room() = %d with less, want none", w.Room())
	}
	check("without", 0, Normal, math.MaxInt64, math.MaxInt64)
	if w.Room() != math.MaxInt64 || w.Limit() != 0 {
		t.Errorf("Room() = %d, Limit() = %d without a limit", w.Room(), w.Limit())
	}
	check("with more", 128*mib, Normal, 100*mib, 128*mib)
	if n := strings.Count(w.log.String(), "the memory budget changed"); n != 3 {
		t.Errorf("the change is logged %d times, want 3", n)
	}
	if !strings.Contains(w.log.String(), "budget_bytes=37748736 was_bytes=67108864 source=test") {
		t.Errorf("log:\n%swant the source of each budget", w.log.String())
	}
	if !slices.Equal(told, []int64{36 * mib, 0, 128 * mib}) {
		t.Errorf("owners were told of %v, want each budget once", told)
	}
}
