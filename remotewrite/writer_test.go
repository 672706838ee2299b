package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/internal/memnet"
	"scraper/receiver"
)

func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath})
		r.serve("a.example:80", rc)
		r.run()
		b := r.empty(0, 5000)
		defer b.Reset()
		b.Append(r.set(t, "__name__", "plain", "job", "j"), 1.5)
		b.AppendTimed(r.set(t, "__name__", "timed", "job", "j"), 2.5, 1234)
		b.AppendStale(r.set(t, "__name__", "gone", "job", "j"))
		if lost := r.Commit(b); lost != (batch.Dropped{}) {
			t.Errorf("Commit() = %+v, want nothing lost", lost)
		}
		empty := r.empty(0, 6000)
		if lost := r.Commit(empty); lost != (batch.Dropped{}) {
			t.Errorf("Commit of an empty batch = %+v, want nothing lost", lost)
		}
		time.Sleep(2 * second)
		if err := rc.Verify().Err(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range rc.Series(nil) {
			got = append(got, fmt.Sprintf("%v %v stale=%t", s, s.Last().TimestampMillis, s.Last().IsStale()))
		}
		slices.Sort(got)
		want := []string{`gone{job="j"} 5000 stale=true`, `plain{job="j"} 5000 stale=false`, `timed{job="j"} 1234 stale=false`}
		if !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
	})
}

// TestFlush looks at when blocks close.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(204)}}
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 100 },
			Destination{URL: "http://a.example/"}, Destination{URL: "http://b.example/", FlushInterval: 10 * second, MaxRowsPerBlock: 1000})
		other := &script{steps: []http.HandlerFunc{status(204)}}
		r.serve("a.example:80", s)
		r.serve("b.example:80", other)
		r.run()
		at := func(d time.Duration, wantA, wantB int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if a, b := s.requests(), other.requests(); a != wantA || b != wantB {
				t.Errorf("%d and %d requests, want %d and %d", a, b, wantA, wantB)
			}
		}
		time.Sleep(20 * second)
		r.commit(t, r.Writer, 0, 10, 1000)
		at(600*time.Millisecond, 0, 0)
		r.commit(t, r.Writer, 0, 10, 2000)
		at(300*time.Millisecond, 0, 0)
		at(200*time.Millisecond, 1, 0) // one second after the first row
		// 250 rows are two full blocks at once, and a rest.
		r.commit(t, r.Writer, 0, 250, 3000)
		at(time.Millisecond, 3, 0)
		r.commit(t, r.Writer, 1, 10, 3000)
		at(900*time.Millisecond, 3, 0)
		at(200*time.Millisecond, 5, 0)
		at(10*second, 5, 2)
	})
}

// TestSharedBlocks has several destinations without rules: they get the same bytes, and the memory is counted once.
func TestSharedBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scripts []*script
		var dests []Destination
		for i := range 3 {
			scripts = append(scripts, &script{steps: []http.HandlerFunc{status(204)}})
			dests = append(dests, Destination{URL: fmt.Sprintf("http://%c.example/", 'a'+i)})
		}
		r := newRig(t, nil, dests...)
		r.commit(t, r.Writer, 0, 500, 1000)
		for _, g := range r.groups {
			g.flush(time.Time{})
		}
		if n := len(r.groups); n != 1 {
			t.Errorf("%d groups, want 1", n)
		}
		st := r.Status()
		if s := r.Stats(); s.BlockBytes < st[0].PendingBytes || s.BlockBytes > 2*st[0].PendingBytes {
			t.Errorf("Stats() = %+v with %d bytes pending for each of three, want them once", s, st[0].PendingBytes)
		}
		for i, s := range scripts {
			r.serve(fmt.Sprintf("%c.example:80", 'a'+i), s)
		}
		r.run()
		time.Sleep(second)
		for i, s := range scripts {
			if s.requests() != 1 || !slices.Equal(s.bodies[0], scripts[0].bodies[0]) {
				t.Errorf("destination %d got %d requests, or other bytes", i, s.requests())
			}
		}
	})
}

func TestQueueBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 100 }, Destination{URL: "http://a.example" + receiver.WritePath, MaxPendingBytes: 100_000})
		r.run()
		var lost batch.Dropped
		const rounds = 1000
		for i := range rounds {
			lost.Add(r.commit(t, r.Writer, uint64(i%4), 100, int64(i+1)*1000))
			time.Sleep(100 * time.Millisecond)
		}
		b := r.balanced()
		if b.Dropped.QueueFull == 0 || uint64(lost.QueueFull) != b.Dropped.QueueFull || b.Pending == 0 {
			t.Errorf("books = %+v; Commit lost %+v", b, lost)
		}
		if s := r.Stats(); s.BlockBytes > 100_000 {
			t.Errorf("Stats() = %+v, want at most the bound of 100000", s)
		}
		if n := r.logs.count("dropped the oldest samples"); n != 1 {
			t.Errorf("%d log lines about the full queue in less than 5 minutes, want 1:\n%s", n, r.logs)
		}
		// The newest survive.
		r.serve("a.example:80", rc)
		time.Sleep(10 * time.Minute)
		if b = r.balanced(); b.Pending != 0 || rc.Totals().Samples != b.Acknowledged {
			t.Errorf("books = %+v, the receiver has %d", b, rc.Totals().Samples)
		}
		for _, s := range rc.Series(map[string]string{"i": "0"}) {
			if s.Last().TimestampMillis <= (rounds-4)*1000 {
				t.Errorf("%v ends at %d, want the newest samples kept", s, s.Last().TimestampMillis)
			}
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceiver(t, receiver.Options{})
		r := newRig(t, func(o *Options) { o.MaxBlockBytes = 2000 }, Destination{URL: "http://a.example" + receiver.WritePath},
			Destination{URL: "http://b.example" + receiver.WritePath})
		r.serve("a.example:80", rc)
		r.serve("b.example:80", rc)
		r.run()
		b := r.empty(0, 1000)
		defer b.Reset()
		for i := range 100 {
			size := 100
			if i%10 == 0 {
				size = 5000
			}
			b.Append(r.set(t, "__name__", "m", "i", fmt.Sprint(i), "v", strings.Repeat("x", size)), 1)
		}
		if lost, want := r.Commit(b), (batch.Dropped{TooLarge: 20}); lost != want {
			t.Errorf("Commit() = %+v, want %+v", lost, want)
		}
		only := r.empty(0, 1000)
		defer only.Reset()
		only.Append(r.set(t, "__name__", "m", "v", strings.Repeat("x", 100_000)), 1)
		time.Sleep(2 * second)
		r.Commit(only) // leaves nothing open
		time.Sleep(2 * second)
		for _, b := range r.Books() {
			if b.Acknowledged != 90 || b.Dropped.TooLarge != 11 || b.Unbalanced() != 0 {
				t.Errorf("%v, want 90 acknowledged, 11 too large", b)
			}
		}
		time.Sleep(cacheAge) // scratch memory goes when it is not used
		if s := r.Stats(); s != (Stats{}) {
			t.Errorf("Stats() = %+v, want nothing", s)
		}
		if got := rc.Totals(); got.Samples != 180 || got.DecodedBytes > 2000*got.Accepted {
			t.Errorf("receiver: %+v", got)
		}
	})
}

// TestShutdownDelivers stops while blocks are open, queued, in flight and waiting for another attempt: all arrive.
func TestShutdownDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		failing := true
		rc := newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if failing {
				w.WriteHeader(503)
			}
			return failing
		}})
		r := newRig(t, func(o *Options) { o.MaxRowsPerBlock = 30 }, Destination{URL: "http://a.example" + receiver.WritePath})
		r.serve("a.example:80", rc)
		r.run()
		n := 0
		for i := range 60 {
			r.commit(t, r.Writer, uint64(i), 10, int64(i+1)*1000)
			n += 10
			time.Sleep(time.Second) // backoff reaches a minute
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		r.commit(t, r.Writer, 0, 10, 100_000)
		n += 10
		start := time.Now()
		r.stop()
		if d := time.Since(start); d > 5*second {
			t.Errorf("Run took %v to stop, want at most 5s", d)
		}
		if b := r.balanced(); b.Acknowledged != uint64(n) || b.Pending != 0 {
			t.Errorf("books = %+v, want %d acknowledged", b, n)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
		late := r.batch(t, 0, 10, 1)
		defer late.Reset()
		if lost, want := r.Commit(late), (batch.Dropped{Shutdown: 10}); lost != want {
			t.Errorf("Commit after Run = %+v, want %+v", lost, want)
		}
		if err := r.Apply(nil); !errors.Is(err, ErrStopped) {
			t.Errorf("Apply after Run = %v, want %v", err, ErrStopped)
		}
		if err := r.Run(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("second Run = %v, want %v", err, ErrStopped)
		}
	})
}

// TestShutdownIsBounded stops while no destination takes anything.
func TestShutdownIsBounded(t *testing.T) {
	f := func(name string, serve func(*rig)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, Destination{URL: "http://a.example/"})
				serve(r)
				r.run()
				for i := range 20 {
					r.commit(t, r.Writer, uint64(i), 10, int64(i+1)*1000)
					time.Sleep(500 * time.Millisecond)
				}
				start := time.Now()
				r.stop()
				if d := time.Since(start); d > 4*second+100*time.Millisecond {
					t.Errorf("Run took %v to stop, want at most 4s", d)
				}
				b := r.balanced()
				if b.Dropped.Shutdown == 0 || b.Pending != 0 {
					t.Errorf("books = %+v, want the rest dropped", b)
				}
				if n := r.logs.count("dropped samples which could not be delivered in time"); n != 1 {
					t.Errorf("%d log lines about lost samples, want 1:\n%s", n, r.logs)
				}
			})
		})
	}
	f("nobody listens", func(*rig) {})
	f("never accepts", func(r *rig) {
		l, err := r.net.Listen("a.example:80")
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { l.Close() })
	})
	f("never answers", func(r *rig) {
		r.serve("a.example:80", http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { _ = readAll(req); <-req.Context().Done() }))
	})
	f("answers without end", func(r *rig) {
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_ = readAll(req)
			w.WriteHeader(503)
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		}))
	})
	f("wants to be left alone", func(r *rig) { r.serve("a.example:80", status(429, "Retry-After", "30")) })
}

func TestClose(t *testing.T) {
	pool := bufpooltest.New(t)
	w, err := New(Options{Pool: pool, Destinations: []Destination{{URL: "http://a.example/"}}, MaxRowsPerBlock: 10})
	if err != nil {
		t.Fatal(err)
	}
	tg := newTarget(t, pool)
	tg.commit(t, w, 0, 15, 1)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if b := w.Books()[0]; b.Dropped.Shutdown != 15 || b.Unbalanced() != 0 {
		t.Errorf("books = %v, want 15 dropped", b)
	}
	if lost := tg.commit(t, w, 0, 3, 1); lost != (batch.Dropped{Shutdown: 3}) {
		t.Errorf("Commit after Close = %+v", lost)
	}
	if err := w.Run(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("Run after Close = %v, want %v", err, ErrStopped)
	}
	if s := w.Stats(); s != (Stats{}) {
		t.Errorf("Stats() = %+v, want nothing", s)
	}
}

func TestNoDestinations(t *testing.T) {
	pool := bufpooltest.New(t)
	w, err := New(Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	tg := newTarget(t, pool)
	if lost := tg.commit(t, w, 0, 15, 1); lost != (batch.Dropped{}) {
		t.Errorf("Commit() = %+v, want nothing lost", lost)
	}
	if len(w.Books()) != 0 || len(w.Status()) != 0 {
		t.Error("there are books of nobody")
	}
	w.Close()
}

func TestOptions(t *testing.T) {
	f := func(o Options, want ...string) {
		t.Helper()
		_, err := New(o)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("New(%+v) = %v, want %q", o, err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("New() = %v, which shows a secret", err)
		}
	}
	f(Options{Slots: -1, MaxRowsPerBlock: -1}, "remotewrite: ", "Slots", "MaxRowsPerBlock")
	f(Options{MaxBlockBytes: 1 << 40}, "MaxBlockBytes")
	f(Options{Destinations: []Destination{{URL: "http://a/"}, {URL: "ftp://user:secret@host/"}}}, "destination 2", "http")
	f(Options{Destinations: []Destination{{URL: "http://%secret/"}}}, "destination 1", "not valid")
	f(Options{Destinations: []Destination{{URL: ""}}}, "destination 1")
	f(Options{Destinations: []Destination{{URL: "http:///path"}}}, "no host")
	f(Options{Destinations: []Destination{{URL: "http://a/", Name: "x"}, {URL: "http://b/", Name: "x"}}}, "destination 2", "name")
	f(Options{Destinations: []Destination{{URL: "http://a/", RetryMin: -1}}}, "negative")
}

// TestConcurrency commits, reads and reloads from many goroutines at once, over a real clock.
func TestConcurrency(t *testing.T) {
	pool := bufpooltest.New(t)
	var network memnet.Network
	rc := newReceiver(t, receiver.Options{CountOnly: true})
	l, err := network.Listen("a.example:80")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, rc)
	dest := Destination{URL: "http://a.example" + receiver.WritePath, RetryMin: time.Millisecond}
	w, err := New(Options{Protocol: Protocol1, Pool: pool, Destinations: []Destination{dest}, FlushInterval: time.Millisecond, MaxRowsPerBlock: 70, DialContext: network.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	var wg sync.WaitGroup
	const workers, rounds, rows = 4, 100, 50
	for n := range workers {
		tg := newTarget(t, pool)
		wg.Go(func() {
			for i := range rounds {
				b := tg.batch(t, uint64(n), rows, int64(i+1))
				w.Commit(b)
				b.Reset()
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			d := dest
			d.Headers = map[string]string{"X-Round": fmt.Sprint(i / 2)}
			d.MaxRowsPerBlock = 60 + i%3
			if err := w.Apply([]Destination{d}); err != nil {
				t.Error(err)
			}
			for _, b := range w.Books() {
				if b.Unbalanced() != 0 {
					t.Errorf("unbalanced: %v", b)
				}
			}
			w.Status()
			w.Stats()
			w.Shrink()
		}
	})
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	b := w.Books()[0]
	if b.Acknowledged != workers*rounds*rows || b.Unbalanced() != 0 || rc.Totals().Samples < b.Acknowledged {
		t.Errorf("%v; received %d", b, rc.Totals().Samples)
	}
}
