package memlimit

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// admit is an Admission with some room, and who asked it.
type admit struct {
	*Admission
	t    *testing.T
	room atomic.Int64
	mu   sync.Mutex
	in   []string // who was let in, in order
	wg   sync.WaitGroup
}

// kib1 is the unit of these tests.
const kib1 = 1 << 10

func newAdmit(t *testing.T, room int64) *admit {
	a := &admit{t: t}
	a.room.Store(room)
	a.Admission = NewAdmission(a.room.Load)
	t.Cleanup(func() {
		a.wg.Wait()
		if s := a.Stats(); s.Granted != 0 || s.Waiting != 0 {
			t.Errorf("in the end %d bytes are handed out, and %d wait", s.Granted, s.Waiting)
		}
	})
	return a
}

// work asks for bytes, and holds them for so long once it has them.
func (a *admit) work(name string, bytes int64, holds time.Duration) *Request {
	return a.workSince(name, bytes, holds, time.Now())
}

func (a *admit) workSince(name string, bytes int64, holds time.Duration, since time.Time) *Request {
	begin := func(g *Grant) {
		a.mu.Lock()
		a.in = append(a.in, name)
		a.mu.Unlock()
		a.wg.Go(func() {
			time.Sleep(holds)
			g.Release(0)
			g.Release(0)
		})
	}
	g, r := a.Ask(bytes, since, begin)
	if r == nil {
		begin(g)
	}
	synctest.Wait()
	return r
}

func (a *admit) order(when string, want ...string) {
	a.t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.in, want) {
		a.t.Errorf("%s: let in were %q, want %q", when, a.in, want)
	}
}

func TestAdmissionOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, 8000*kib1) // 7000 for work that begins
		a.work("first", 4500*kib1, 3*time.Second)
		a.work("large", 5000*kib1, time.Second)
		a.work("smaller", 500*kib1, 10*time.Second)
		a.order("a smaller one passes", "first", "smaller")
		time.Sleep(1500 * time.Millisecond)
		a.work("late", 1600*kib1, time.Second)
		a.work("small", smallBytes, 10*time.Second)
		a.order("after a second nobody passes any more but the small", "first", "smaller", "small")
		time.Sleep(1600 * time.Millisecond)
		a.order("when the first one is done", "first", "smaller", "small", "large")
		time.Sleep(time.Second)
		a.order("when the large one is done", "first", "smaller", "small", "large", "late")
		if s := a.Stats(); s.Waits != 2 || s.Waited < 3*time.Second || s.Waited > 6*time.Second {
			t.Errorf("Stats() = %+v, want two waits of about 5.5 s together", s)
		}
	})
}

// TestAdmissionKeepsPlaces: who has waited before, and asks again, comes before who asked meanwhile.
func TestAdmissionKeepsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, 8000*kib1)
		a.work("first", 7000*kib1, 10*time.Second)
		since := time.Now()
		r := a.work("old", 4000*kib1, time.Second)
		time.Sleep(time.Second)
		a.work("new", 4000*kib1, time.Second)
		if !r.Cancel() || r.Cancel() {
			t.Error("Cancel of a request which waits is to be true once")
		}
		a.workSince("old", 4000*kib1, time.Second, since)
		time.Sleep(9500 * time.Millisecond)
		a.order("after the first", "first", "old")
		time.Sleep(time.Second)
		a.order("after the second", "first", "old", "new")
		if s := a.Stats(); s.Refused != 1 {
			t.Errorf("Stats() = %+v, want one that was taken back", s)
		}
	})
}

// TestAdmissionLetsInOne: without any room one piece of work at a time gets on, if it is not large, and small work
// does beside it; a large one which will not fit keeps nobody back.
func TestAdmissionLetsInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, -5*kib1)
		large := a.work("large", 10_000*kib1, time.Second)
		a.work("one", 500*kib1, 3*time.Second)
		a.work("two", 100*kib1, time.Second)
		a.work("small", kib1, time.Second)
		a.order("without any room", "one", "small")
		if a.Fits(10_000*kib1) || !a.Fits(500*kib1) {
			t.Error("Fits without room is not what is let in alone")
		}
		time.Sleep(3100 * time.Millisecond)
		a.order("without any room, later", "one", "small", "two")
		if !large.Cancel() {
			t.Error("the large one was let in")
		}
	})
}

// TestAdmissionSeesRoomGrow: room that comes from elsewhere is found at the next look.
func TestAdmissionSeesRoomGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, 0)
		a.work("one", 100*kib1, time.Minute)
		a.work("two", 100*kib1, time.Minute)
		a.order("without room", "one")
		a.room.Store(1000 * kib1)
		a.observed(a.observing())
		a.order("with room", "one", "two")
	})
}

// TestAdmissionCountsWhatStays: what work leaves behind counts until it is part of what is used, and what is part of it
// already does not count twice.
func TestAdmissionCountsWhatStays(t *testing.T) {
	a := newAdmit(t, 8000*kib1)
	ask := func(n int64) *Grant {
		g, r := a.Ask(n*kib1, time.Now(), func(*Grant) {})
		if r != nil {
			r.Cancel()
		}
		return g
	}
	g := ask(7000)
	g.Release(6000 * kib1)
	if ask(2000) != nil {
		t.Error("what stayed was handed out again")
	}
	a.room.Store(2000 * kib1) // by a look which has seen it
	a.observed(a.observing())
	if g = ask(1500); g == nil {
		t.Fatal("what stayed counts after it was seen")
	}
	g.Grow(1500*kib1, 1000*kib1) // of which accounts show the most
	a.room.Store(1000 * kib1)
	a.observed(a.observing())
	if !g.Grow(1900*kib1, 1000*kib1) {
		t.Error("Grow = false, though what is used is part of the grant")
	}
	if g.Grow(2100*kib1, 1000*kib1) {
		t.Error("Grow beyond the room = true")
	}
	g.Park(100 * kib1)
	if g.Bytes() != 100*kib1 {
		t.Errorf("after Park the grant is %d", g.Bytes())
	}
	a.room.Store(0)
	if h := ask(500); h == nil {
		t.Error("who does not get on keeps from others what they may have alone")
	} else {
		h.Release(0)
	}
	g.Release(0)
}

func TestGrantGrows(t *testing.T) {
	a := newAdmit(t, 10_000*kib1)
	g, _ := a.Ask(4000*kib1, time.Now(), nil)
	h, _ := a.Ask(4000*kib1, time.Now(), nil)
	if !g.Grow(1000*kib1, 0) || g.Bytes() != 4000*kib1 {
		t.Errorf("Grow to less = false, or it shrank to %d", g.Bytes())
	}
	if !g.Grow(5500*kib1, 0) || g.Bytes() != 5500*kib1 {
		t.Errorf("Grow into the room that is kept for it = false, it has %d", g.Bytes())
	}
	if h.Grow(5000*kib1, 0) || h.Bytes() != 4000*kib1 {
		t.Errorf("Grow beyond all room = true, it has %d", h.Bytes())
	}
	if s := a.Stats(); s.Starved != 1 || s.Granted != 9500*kib1 {
		t.Errorf("Stats() = %+v, want one starved and what was granted", s)
	}
	g.Release(0)
	h.Release(0)
}

// What a grant gives back others get, at once, and it may grow again into what is left.
func TestGrantShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, 1000*kib1)
		g, _ := a.Ask(800*kib1, time.Now(), nil)
		small, _ := a.Ask(60*kib1, time.Now(), nil)
		a.work("waits", 400*kib1, time.Second)
		g.Shrink(900 * kib1)
		if g.Bytes() != 800*kib1 || len(a.in) != 0 {
			t.Errorf("Shrink to more: it has %d, and %q were let in", g.Bytes(), a.in)
		}
		g.Shrink(100 * kib1)
		small.Shrink(10 * kib1)
		if g.Bytes() != 100*kib1 || !slices.Equal(a.in, []string{"waits"}) {
			t.Errorf("after Shrink it has %d, and %q were let in", g.Bytes(), a.in)
		}
		if g.Grow(800*kib1, 0) || !g.Grow(200*kib1, 0) {
			t.Error("it grows beyond the room, or not into what is left")
		}
		if got := a.Stats().Granted; got != 610*kib1 {
			t.Errorf("%d bytes are handed out, want %d", got, 610*kib1)
		}
		g.Release(0)
		small.Release(0)
	})
}

// TestAdmissionHoldsAndEnds has many ask at random: what is handed out stays within the room, and everybody is served.
func TestAdmissionHoldsAndEnds(t *testing.T) {
	const room = 10_000 * kib1
	a := newAdmit(t, room)
	var held atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		rnd := rand.New(rand.NewPCG(uint64(i), 0))
		wg.Go(func() {
			for range 500 {
				n := rnd.Int64N(8_000 * kib1)
				in := make(chan *Grant, 1)
				g, r := a.Ask(n, time.Now(), func(g *Grant) { in <- g })
				if r != nil {
					if rnd.IntN(20) == 0 && r.Cancel() {
						continue
					}
					g = <-in
				}
				if now := held.Add(n); now > room {
					t.Errorf("%d bytes are out at once", now)
				}
				held.Add(-n)
				g.Release(0)
			}
		})
	}
	wg.Wait()
}

// TestAdmissionWithoutLimit: without a budget nothing is counted, and a nil Admission is as good as none.
func TestAdmissionWithoutLimit(t *testing.T) {
	for _, a := range []*Admission{nil, NewAdmission(func() int64 { return math.MaxInt64 })} {
		g, r := a.Ask(1<<60, time.Now(), nil)
		if r != nil || !g.Grow(1<<62, 0) || !a.Fits(1<<62) {
			t.Error("Ask without a limit has to wait")
		}
		g.Park(0)
		g.Release(0)
		a.Serve()
		if s := a.Stats(); s != (AdmissionStats{}) {
			t.Errorf("Stats() = %+v", s)
		}
	}
}
