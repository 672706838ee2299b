package remotewrite

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/receiver"
)

// TestAccounts has two destinations with one backlog: their accounts add up to what the blocks take, and go with them.
func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		open := make(map[string]Account)
		account := func(name string) Account {
			mu.Lock()
			defer mu.Unlock()
			return open[name]
		}
		away := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		dests := []Destination{{URL: "http://a.example/"}, {URL: "http://b.example/", Name: "b"}}
		r := newRig(t, func(o *Options) {
			o.MaxRowsPerBlock = 100
			o.Account = func(a Account) func() {
				mu.Lock()
				defer mu.Unlock()
				open[a.Name] = a
				return func() {
					mu.Lock()
					defer mu.Unlock()
					delete(open, a.Name)
				}
			}
		}, dests...)
		r.serve("a.example:80", away)
		r.serve("b.example:80", away)
		r.run()
		for i := range uint64(10) {
			r.commit(t, r.Writer, i, 500, time.Now().UnixMilli())
		}
		time.Sleep(2 * second)
		a, b := account("1:a.example").Bytes(), account("2:b").Bytes()
		if st := r.Stats(); a == 0 || b == 0 || a+b > st.HeldBytes || a+b < st.HeldBytes-2 || st.HeldBytes != st.BlockBytes {
			t.Errorf("accounts have %d and %d bytes, and blocks take %+v", a, b, st)
		}
		if err := r.Apply(dests[1:]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * second)
		if account("1:a.example").Bytes != nil {
			t.Error("the account of a destination which is gone is still open")
		}
		if got, want := account("2:b").Bytes(), r.Stats().BlockBytes; got != want {
			t.Errorf("the account has %d bytes, want %d: all that blocks take", got, want)
		}
	})
}

// TestPressure: while memory is short, blocks wait on disk only.
func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pressed, away atomic.Bool
		away.Store(true)
		got := newReceiver(t, receiver.Options{})
		r := newRig(t, func(o *Options) {
			o.QueueDir, o.MaxRowsPerBlock, o.Pressed = t.TempDir(), 100, pressed.Load
		}, Destination{URL: "http://a.example" + receiver.WritePath})
		r.serve("a.example:80", http.HandlerFunc(func(w http.ResponseWriter, rq *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			got.ServeHTTP(w, rq)
		}))
		r.run()
		backlog := func() DestinationStatus {
			for range 20 {
				r.commit(t, r.Writer, 0, 100, time.Now().UnixMilli())
				time.Sleep(time.Millisecond)
			}
			synctest.Wait()
			return r.Status()[0]
		}
		before := backlog().MemoryBytes
		if before < 10_000 {
			t.Errorf("without pressure %d bytes of a backlog are in memory, want all blocks, for a while", before)
		}
		pressed.Store(true)
		time.Sleep(2 * second)
		if after := r.Status()[0].MemoryBytes; after > before/4 {
			t.Errorf("under pressure %d bytes are in memory, want what is known about the blocks", after)
		}
		if after := backlog().MemoryBytes; after > before/4 {
			t.Errorf("under pressure %d bytes are in memory with new blocks, want what is known about them", after)
		}
		away.Store(false)
		time.Sleep(100 * second)
		if n := got.Totals().Samples; n != 4000 {
			t.Errorf("%d samples arrived, want 4000", n)
		}
		r.balanced()
	})
}
