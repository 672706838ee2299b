package remotewrite

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gauge counts requests which are on their way.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) serve(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = readAll(r)
		g.mu.Lock()
		g.now++
		g.most = max(g.most, g.now)
		g.mu.Unlock()
		answer(w, r)
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}
}

// take returns the most requests at a time since it was last asked.
func (g *gauge) take() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.most
	g.most = g.now
	return n
}

// TestSendersAdapt has a receiver which is fast, slow, away, and fast again.
func TestSendersAdapt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		var mu sync.Mutex
		delay, code := 5*time.Millisecond, 204
		set := func(d time.Duration, c int) {
			mu.Lock()
			defer mu.Unlock()
			delay, code = d, c
		}
		r := newRig(t, nil, Destination{URL: "http://a.example/", Timeout: 10 * second, RetryMax: 3 * second})
		r.serve("a.example:80", g.serve(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			d, c := delay, code
			mu.Unlock()
			time.Sleep(d)
			w.WriteHeader(c)
		}))
		r.run()
		var now int64
		want := func(what string, n int) {
			t.Helper()
			if got := g.take(); got != n {
				t.Errorf("%s: %d requests at a time, want %d", what, got, n)
			}
		}
		r.commitFor(10, &now)
		want("in steady state", 1)
		set(3*second, 204)
		r.commitFor(10, &now)
		want("with a slow receiver", 4)
		set(time.Millisecond, 503)
		r.commitFor(10, &now)
		g.take()
		r.commitFor(60, &now)
		want("while it is away", 1)
		set(200*time.Millisecond, 204)
		time.Sleep(2 * time.Minute)
		want("with a backlog", 4)
		set(5*time.Millisecond, 204)
		r.commitFor(150, &now)
		g.take()
		r.commitFor(10, &now)
		want("in steady state again", 1)
		if n := r.Status()[0].Senders; n != 1 {
			t.Errorf("Senders = %d, want 1", n)
		}
		if b := r.balanced(); b.Dropped.Total() != 0 {
			t.Errorf("books %+v", b)
		}
	})
}

// TestSendersAreBounded asks for fewer requests than there are slots.
func TestSendersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		r := newRig(t, nil, Destination{URL: "http://a.example/", MinSenders: 2, MaxSenders: 2})
		r.serve("a.example:80", g.serve(func(http.ResponseWriter, *http.Request) { time.Sleep(second) }))
		r.run()
		var now int64
		r.commitFor(20, &now)
		time.Sleep(time.Minute)
		if n := g.take(); n != 2 {
			t.Errorf("%d requests at a time, want 2", n)
		}
	})
}

// TestGateWhileRequestsHang has a receiver which fails, then hangs, and is back for whoever asks anew.
func TestGateWhileRequestsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4)
		for range 3 { // requests fail
			if !g.enter(t.Context(), 0, 0) {
				t.Fatal("enter() = false")
			}
			g.leave(false)
		}
		g.enter(t.Context(), 0, 0) // and this one hangs
		start := time.Now()
		if !g.enter(t.Context(), 0, 0) {
			t.Fatal("enter() = false")
		}
		if d := time.Since(start); d < gateHang || d > gateHang+gatePatience {
			t.Errorf("the next one waited for %v, want %v", d, gateHang)
		}
		g.leave(true)
		start = time.Now()
		if !g.enter(t.Context(), 0, 0) || time.Since(start) > gatePatience {
			t.Errorf("a request waits for %v though the receiver is back", time.Since(start))
		}
	})
}

func TestGateIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		if !g.enter(t.Context(), 0, 0) {
			t.Fatal("enter() = false")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if g.enter(ctx, 0, 0) {
			t.Error("enter() of a full gate = true")
		}
		g.leave(true)
		if !g.enter(t.Context(), 0, 0) {
			t.Error("enter() of an empty gate = false")
		}
		if len(g.waiting) != 0 || g.busy != 1 {
			t.Errorf("%d wait and %d are in, want 0 and 1", len(g.waiting), g.busy)
		}
	})
}

// TestRateLimit sends a backlog at a limited rate, which a reload raises.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 500
		var mu sync.Mutex
		bytes := 0
		r := newRig(t, nil, Destination{URL: "http://a.example/", RateLimit: rate})
		r.serve("a.example:80", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			n := len(readAll(req))
			mu.Lock()
			bytes += n
			mu.Unlock()
		}))
		r.run()
		var now int64
		r.commitFor(120, &now)
		mu.Lock()
		if bytes > 121*rate || bytes < 110*rate {
			t.Errorf("%d bytes in two minutes, want at most %d, and not much less", bytes, 121*rate)
		}
		mu.Unlock()
		if b := r.balanced(); b.Pending == 0 {
			t.Errorf("books %+v: the limit is too high for this test", b)
		}
		if err := r.Apply([]Destination{{URL: "http://a.example/", RateLimit: 1 << 20}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * second)
		if b := r.balanced(); b.Pending != 0 || b.Resent != 0 {
			t.Errorf("books %+v ten seconds after the limit was raised", b)
		}
	})
}

// TestGateTellsOfCalm: when a backlog is over, its connections may go, once for each that is not needed any longer; where so
// many are asked for, none.
func TestGateTellsOfCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, least := range []int{0, 2} {
			g := newGate(4)
			once := func() bool {
				g.enter(t.Context(), least, 0)
				return g.leave(true)
			}
			g.enter(t.Context(), least, 0)
			g.enter(t.Context(), least, 0) // beside the first one, after a while
			for range 2 {
				if g.leave(true) {
					t.Errorf("at least %d: the gate was calm at once", least)
				}
			}
			if n := g.senders(); n != 2 {
				t.Errorf("at least %d: %d senders, want 2", least, n)
			}
			time.Sleep(gateCalm + second)
			if got, want := once(), least == 0; got != want {
				t.Errorf("at least %d: after a calm leave() = %v, want %v", least, got, want)
			}
			time.Sleep(gateCalm + second)
			if once() {
				t.Errorf("at least %d: leave() says more than once that fewer are needed", least)
			}
		}
	})
}
