package bufpool_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
)

func TestTrimDropsWhatLayUnused(t *testing.T) {
	p := bufpooltest.New(t)
	release(p, getN(p, 40, 4096)...) // a burst
	f := func(want int, msg string) {
		t.Helper()
		before := p.Stats().Total
		freed := p.Trim()
		after := p.Stats().Total
		if after.Idle != want {
			t.Errorf("%s: %d idle, want %d", msg, after.Idle, want)
		}
		if before.IdleBytes-after.IdleBytes != freed || after.ShrunkBytes-before.ShrunkBytes != uint64(freed) {
			t.Errorf("%s: Trim() = %d, but idle bytes went from %d to %d, and shrunk bytes from %d to %d",
				msg, freed, before.IdleBytes, after.IdleBytes, before.ShrunkBytes, after.ShrunkBytes)
		}
	}
	use := func(n int) { release(p, getN(p, n, 4096)...) }
	use(4)
	f(40, "end of the burst's own window")
	use(4)
	f(40, "after one window of low use")
	use(4)
	f(7, "after two windows of low use: 4 are needed, and slack for one and half a swing")
	use(4)
	f(7, "in steady use")
	f(7, "after one window without use")
	f(0, "after two windows without use")
	f(0, "when empty")
}

func TestShrinkDropsAllIdle(t *testing.T) {
	p := bufpooltest.New(t)
	kept := p.Get(4096)
	release(p, getN(p, 10, 4096)...)
	release(p, getN(p, 10, 64<<10)...)
	if got, want := p.Shrink(), int64(10*4096+10*64<<10); got != want {
		t.Errorf("Shrink() = %d, want %d", got, want)
	}
	if s := p.Stats().Total; s.Idle != 0 || s.IdleBytes != 0 || s.InUse != 1 {
		t.Errorf("after Shrink: %+v, want nothing idle and 1 in use", s)
	}
	kept.Release()
}

func TestRunGivesMemoryBackAfterBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bufpooltest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()

		time.Sleep(3 * time.Second)
		release(p, getN(p, 100, 64<<10)...)
		if got := p.Stats().Total.IdleBytes; got < 6<<20 {
			t.Errorf("%d bytes idle after the burst, want 100 buffers of 64 KiB", got)
		}
		time.Sleep(30 * time.Second)
		if got := p.Stats().Total.IdleBytes; got != 0 {
			t.Errorf("%d bytes idle 30 s after the burst, want 0", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// TestSteadyUseIsNotTrimmed plays three hours of loads which do not change: what a load needs at its peaks must stay
// with the pool, if they come at least every second window, and else it must be rare that it does not. The buffers are small to make it fast; nothing in the pool depends on their size.
func TestSteadyUseIsNotTrimmed(t *testing.T) {
	const (
		window    = 10 * time.Second
		warmUp    = 10 * time.Minute
		busy      = time.Second // how long a scrape holds its buffer
		classByte = 512
	)
	end := 3 * time.Hour
	if bufpool.Checked {
		end /= 4 // it is slow there
	}
	for _, load := range []struct {
		name      string
		targets   int
		interval  time.Duration
		jitter    time.Duration // of the start of each scrape
		maxMisses uint64        // after warmUp
	}{
		{"targets=1/interval=15s", 1, 15 * time.Second, 0, 0},
		{"targets=10/interval=15s", 10, 15 * time.Second, 10 * time.Millisecond, 0},
		{"targets=100/interval=30s", 100, 30 * time.Second, 10 * time.Millisecond, 0},
		// The peak comes once a minute, and to wait for it would be to hold what a burst left for longer than that:
		// 2 of 100 gets may miss.
		{"targets=100/interval=60s", 100, time.Minute, 10 * time.Millisecond, 360},
		// Random starts have no peak which is never exceeded: 1 of 500 gets may miss.
		{"targets=50/interval=15s/random", 50, 15 * time.Second, 15 * time.Second, 72},
	} {
		t.Run(load.name, func(t *testing.T) {
			type event struct {
				at   time.Duration
				kind int // of a buffer: get or release; or trim
				id   int
			}
			const (
				get = iota
				put
				trim
			)
			var events []event
			rnd := rand.New(rand.NewPCG(1, 2))
			id := 0
			for range load.targets {
				phase := time.Duration(rnd.Int64N(int64(load.interval)))
				for at := phase; at < end; at += load.interval {
					start := at + time.Duration(rnd.Int64N(int64(load.jitter)+1))
					events = append(events, event{start, get, id}, event{start + busy, put, id})
					id++
				}
			}
			for at := window; at < end; at += window {
				events = append(events, event{at, trim, 0})
			}
			slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })

			p := bufpooltest.NewWith(t, bufpool.Options{MaxIdleBytes: 64 << 20})
			out := make([]*bufpool.Buf, id)
			var warm bufpool.ClassStats
			for _, e := range events {
				switch e.kind {
				case get:
					out[e.id] = p.Get(classByte)
				case put:
					release(p, out[e.id])
				case trim:
					p.Trim()
				}
				if e.at < warmUp {
					warm = p.Stats().Total
				}
			}
			s := p.Stats().Total
			if got := s.Misses - warm.Misses; got > load.maxMisses {
				t.Errorf("%d of %d gets missed after the first %v, want at most %d; %d bytes were trimmed",
					got, s.Gets-warm.Gets, warmUp, load.maxMisses, s.ShrunkBytes-warm.ShrunkBytes)
			}
			t.Logf("%d gets, %d misses, %d buffers trimmed, %d idle", s.Gets, s.Misses, s.ShrunkBytes/classByte, s.Idle)
		})
	}
}
