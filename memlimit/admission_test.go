package memlimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// admit is an Admission with room for so many bytes, and what asked it.
type admit struct {
	*Admission
	t  *testing.T
	mu sync.Mutex
	in []string // who was let in, in order
	wg sync.WaitGroup
}

func newAdmit(t *testing.T, room int64) *admit {
	a := &admit{Admission: NewAdmission(func() int64 { return room }), t: t}
	t.Cleanup(func() {
		a.wg.Wait()
		if s := a.Stats(); s.Granted != 0 || s.Waiting != 0 {
			t.Errorf("in the end %d bytes are handed out, and %d wait", s.Granted, s.Waiting)
		}
	})
	return a
}

// work asks for bytes, and holds them for so long.
func (a *admit) work(name string, bytes int64, holds time.Duration) {
	a.wg.Go(func() {
		g, err := a.Reserve(context.Background(), bytes)
		if err != nil {
			a.t.Errorf("%s: Reserve = %v", name, err)
			return
		}
		a.mu.Lock()
		a.in = append(a.in, name)
		a.mu.Unlock()
		time.Sleep(holds)
		g.Release()
		g.Release()
	})
	synctest.Wait()
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
		a := newAdmit(t, 800) // 700 for work that begins
		a.work("first", 450, 3*time.Second)
		a.work("large", 500, time.Second)
		a.work("small", 50, 10*time.Second)
		a.order("a smaller one passes", "first", "small")
		time.Sleep(1500 * time.Millisecond)
		a.work("late", 200, time.Second)
		a.order("after a second nobody passes any more", "first", "small")
		time.Sleep(1600 * time.Millisecond)
		a.order("when the first one is done", "first", "small", "large")
		time.Sleep(time.Second)
		a.order("when the large one is done", "first", "small", "large", "late")
		if s := a.Stats(); s.Waits != 2 || s.Waited < 5*time.Second || s.Waited > 6*time.Second {
			t.Errorf("Stats() = %+v, want two waits of 5.5 s together", s)
		}
	})
}

func TestAdmissionLetsInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, -5)
		a.work("one", 1000, time.Second)
		a.work("two", 1, time.Second)
		a.order("without any room", "one")
		time.Sleep(1100 * time.Millisecond)
		a.order("without any room, later", "one", "two")
		time.Sleep(time.Second)
	})
}

func TestAdmissionGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmit(t, 100)
		a.work("first", 80, 10*time.Second)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, errors.New("the next scrape is due"))
		defer cancel()
		a.wg.Go(func() {
			if _, err := a.Reserve(ctx, 60); err == nil || !strings.Contains(err.Error(), "the next scrape is due") ||
				!strings.Contains(err.Error(), "memory limit: waited 3s for 60 bytes") {
				t.Errorf("Reserve = %v, want the reason, how long and for how much", err)
			}
		})
		time.Sleep(2 * time.Second)
		a.work("behind", 5, time.Second)
		a.order("behind one that waits for long", "first")
		time.Sleep(1100 * time.Millisecond)
		a.order("when that has given up", "first", "behind")
		if s := a.Stats(); s.Refused != 1 {
			t.Errorf("Stats() = %+v, want one refused", s)
		}
		time.Sleep(10 * time.Second)
	})
}

// TestAdmissionSeesRoomGrow: room that comes from elsewhere is found, although nobody gave anything back.
func TestAdmissionSeesRoomGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var room atomic.Int64
		a := &admit{Admission: NewAdmission(room.Load), t: t}
		a.work("one", 100, time.Minute)
		a.work("two", 100, time.Minute)
		a.order("without room", "one")
		room.Store(1000)
		time.Sleep(2 * lookEvery)
		a.order("with room", "one", "two")
		time.Sleep(time.Hour)
	})
}

func TestGrantGrows(t *testing.T) {
	a := NewAdmission(func() int64 { return 1000 })
	reserve := func(n int64) *Grant {
		g, err := a.Reserve(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g, h := reserve(400), reserve(400)
	if !g.Grow(100) || g.Bytes() != 400 {
		t.Errorf("Grow to less = false, or it shrank to %d", g.Bytes())
	}
	if !g.Grow(550) || g.Bytes() != 550 {
		t.Errorf("Grow into the room that is kept for it = false, it has %d", g.Bytes())
	}
	if h.Grow(500) || h.Bytes() != 400 {
		t.Errorf("Grow beyond all room = true, it has %d", h.Bytes())
	}
	if s := a.Stats(); s.Starved != 1 || s.Granted != 950 {
		t.Errorf("Stats() = %+v, want one starved and 950 bytes granted", s)
	}
	g.Release()
	if !h.Grow(5000) {
		t.Error("Grow of the only one = false")
	}
	h.Release()
	if s := a.Stats(); s.Granted != 0 {
		t.Errorf("Stats() = %+v after all was released", s)
	}
}

// TestAdmissionHoldsAndEnds has many ask at random: what is handed out stays within the room, unless one is alone, and
// everybody is served.
func TestAdmissionHoldsAndEnds(t *testing.T) {
	const room = 10_000
	a := NewAdmission(func() int64 { return room })
	var held atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		rnd := rand.New(rand.NewPCG(uint64(i), 0))
		wg.Go(func() {
			for range 500 {
				n := rnd.Int64N(12_000)
				ctx, cancel := context.WithCancel(context.Background())
				if rnd.IntN(20) == 0 {
					cancel()
				}
				g, err := a.Reserve(ctx, n)
				if err == nil {
					if now := held.Add(n); now > room && now != n {
						t.Errorf("%d bytes are out at once", now)
					}
					held.Add(-n)
					g.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := a.Stats(); s.Granted != 0 || s.Waiting != 0 {
		t.Errorf("in the end: %+v", s)
	}
}

func TestAdmissionWithoutLimit(t *testing.T) {
	a := NewAdmission(nil)
	for range 3 {
		g, err := a.Reserve(t.Context(), 1<<60)
		if err != nil || !g.Grow(1<<62) {
			t.Errorf("Reserve without a limit = %v", err)
		}
		defer g.Release()
	}
}
