package bufpool_test

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
	"scraper/internal/alloctest"
	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// release gives the buffers back and makes them idle, in checked builds too.
func release(p *bufpool.Pool, bufs ...*bufpool.Buf) {
	for _, b := range bufs {
		b.Release()
	}
	p.FlushQuarantine()
}

// getN gets k buffers of n bytes.
func getN(p *bufpool.Pool, k, n int) []*bufpool.Buf {
	bufs := make([]*bufpool.Buf, k)
	for i := range bufs {
		bufs[i] = p.Get(n)
	}
	return bufs
}

func TestOptions(t *testing.T) {
	f := func(o bufpool.Options, wantErr string) {
		t.Helper()
		_, err := bufpool.New(o)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("New(%+v) = %v, want error with %q", o, err, wantErr)
		}
	}
	f(bufpool.Options{}, "")
	f(bufpool.Options{MinClassBytes: 1, MaxClassBytes: 1}, "")
	f(bufpool.Options{MaxClassBytes: 256}, "")
	f(bufpool.Options{MinClassBytes: 4 << 20}, "")
	f(bufpool.Options{MaxIdleBytes: -1}, "")
	f(bufpool.Options{MinClassBytes: 1000}, "MinClassBytes is 1000")
	f(bufpool.Options{MaxClassBytes: -8}, "MaxClassBytes is -8")
	f(bufpool.Options{MinClassBytes: 1024, MaxClassBytes: 512}, "want at least MinClassBytes")
	f(bufpool.Options{IdleWindow: -1}, "IdleWindow")
	f(bufpool.Options{MinClassBytes: 3, IdleWindow: -1}, "IdleWindow")
}

func TestGetPicksCeilClass(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MinClassBytes: 512, MaxClassBytes: 4096})
	f := func(n, wantCap int) {
		t.Helper()
		b := p.Get(n)
		defer b.Release()
		if len(b.B) != 0 || cap(b.B) != wantCap {
			t.Errorf("Get(%d) has len %d and cap %d, want 0 and %d", n, len(b.B), cap(b.B), wantCap)
		}
	}
	f(0, 512)
	f(1, 512)
	f(512, 512)
	f(513, 1024)
	f(1024, 1024)
	f(2049, 4096)
	f(4096, 4096)
	f(4097, 4097)
	f(1<<20, 1<<20)
}

func TestReleaseFilesUnderFloorClass(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MinClassBytes: 512, MaxClassBytes: 4096})
	f := func(capacity, wantClass int) {
		t.Helper()
		b := p.Get(1)
		b.B = make([]byte, min(7, capacity), capacity)
		release(p, b)
		for _, c := range p.Stats().Classes {
			want := 0
			if c.ClassBytes == wantClass {
				want = 1
			}
			if c.Idle != want {
				t.Errorf("after Release of capacity %d: class %d has %d idle, want %d", capacity, c.ClassBytes, c.Idle, want)
			}
			if c.Idle == 1 && c.IdleBytes != int64(capacity) {
				t.Errorf("after Release of capacity %d: %d bytes idle", capacity, c.IdleBytes)
			}
		}
		p.Shrink()
	}
	f(0, 0)
	f(511, 0)
	f(512, 512)
	f(1023, 512)
	f(1024, 1024)
	f(4095, 2048)
	f(4096, 4096)
	f(4097, 0) // above the largest class nothing is kept
	f(1<<20, 0)
}

// TestCapacityAfterAnyHistory does what users do, in random order, and checks what they rely on after each step.
func TestCapacityAfterAnyHistory(t *testing.T) {
	for seed := range uint64(20) {
		opts := bufpool.Options{MinClassBytes: 64, MaxClassBytes: 4096, MaxIdleBytes: 64 << 10}
		p := bufpooltest.NewWith(t, opts)
		rnd := rand.New(rand.NewPCG(seed, 0))
		type held struct {
			b    *bufpool.Buf
			want []byte
			refs int
		}
		var out []held
		size := func() int { return rnd.IntN(1 << rnd.IntN(14)) }
		for range 2000 {
			op, i := rnd.IntN(8), 0
			if len(out) == 0 {
				op = 0
			} else {
				i = rnd.IntN(len(out))
			}
			var h *held
			switch op {
			case 0, 1:
				n := size()
				b := p.Get(n)
				if len(b.B) != 0 || cap(b.B) < n {
					t.Fatalf("seed %d: Get(%d) has len %d and cap %d", seed, n, len(b.B), cap(b.B))
				}
				if n > 0 && n <= opts.MaxClassBytes && cap(b.B) >= 4*max(n, opts.MinClassBytes) {
					t.Fatalf("seed %d: Get(%d) has cap %d, far too large", seed, n, cap(b.B))
				}
				out = append(out, held{b: b, refs: 1})
			case 2: // fill
				h = &out[i]
				if h.refs == 1 {
					c := byte(rnd.Uint32())
					for len(h.b.B) < cap(h.b.B) {
						h.b.B = append(h.b.B, c)
						h.want = append(h.want, c)
					}
				}
			case 3: // grow in the pool
				h = &out[i]
				if n := size(); h.refs == 1 {
					h.b.Grow(n)
					if cap(h.b.B)-len(h.b.B) < n {
						t.Fatalf("seed %d: Grow(%d) left room for %d", seed, n, cap(h.b.B)-len(h.b.B))
					}
				}
			case 4: // grow behind the pool's back, to odd capacities
				h = &out[i]
				if n := size(); h.refs == 1 {
					h.b.B = append(h.b.B, make([]byte, n)...)
					h.want = append(h.want, make([]byte, n)...)
				}
			case 5:
				h = &out[i]
				h.b.Ref()
				h.refs++
			case 6:
				h = &out[i]
				if !bytes.Equal(h.b.B, h.want) {
					t.Fatalf("seed %d: content changed in its holder's hands", seed)
				}
				h.b.Release()
				if h.refs--; h.refs == 0 {
					out[i] = out[len(out)-1]
					out = out[:len(out)-1]
				}
			case 7:
				if rnd.IntN(10) == 0 {
					p.Trim()
				}
				p.FlushQuarantine()
			}
			s := p.Stats()
			if s.Total.InUse != len(out) || s.Total.IdleBytes > opts.MaxIdleBytes {
				t.Fatalf("seed %d: %d in use, want %d; %d bytes idle, want at most %d",
					seed, s.Total.InUse, len(out), s.Total.IdleBytes, opts.MaxIdleBytes)
			}
		}
		for _, h := range out {
			for range h.refs {
				h.b.Release()
			}
		}
		p.Shrink()
		if s := p.Stats().Total; s.InUse != 0 || s.InUseBytes != 0 || s.Idle != 0 || s.IdleBytes != 0 {
			t.Errorf("seed %d: after all was released and shrunk: %+v", seed, s)
		}
	}
}

func TestReuse(t *testing.T) {
	p := bufpooltest.New(t)
	b := p.Get(1000)
	first := &b.B[:1][0]
	release(p, b)
	if b.B != nil {
		t.Error("B is not nil after Release")
	}
	b2 := p.Get(600)
	defer b2.Release()
	if b2 == b {
		t.Error("the handle was recycled")
	}
	if &b2.B[:1][0] != first {
		t.Error("the memory was not recycled")
	}
	s := p.Stats().Total
	if s.Gets != 2 || s.Misses != 1 {
		t.Errorf("gets = %d, misses = %d, want 2 and 1", s.Gets, s.Misses)
	}
}

func TestIdleBudget(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MaxIdleBytes: 10 << 10})
	release(p, append(getN(p, 8, 1024), getN(p, 4, 2048)...)...)
	s := p.Stats()
	if got, want := s.Total.IdleBytes, int64(10<<10); got != want {
		t.Errorf("idle bytes = %d, want %d: the budget holds for all classes together", got, want)
	}
	if got, want := s.Total.RefusedBytes, uint64(6<<10); got != want {
		t.Errorf("refused bytes = %d, want %d", got, want)
	}

	none := bufpooltest.NewWith(t, bufpool.Options{MaxIdleBytes: -1})
	release(none, getN(none, 3, 1024)...)
	if got := none.Stats().Total.IdleBytes; got != 0 {
		t.Errorf("idle bytes = %d with a negative budget, want 0", got)
	}
}

func TestOversize(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MaxClassBytes: 4096})
	b := p.Get(10000)
	s := p.Stats()
	if s.Oversize.InUse != 1 || s.Oversize.InUseBytes != 10000 || s.Oversize.Gets != 1 || s.Oversize.Misses != 1 {
		t.Errorf("oversize = %+v, want one buffer of 10000 bytes in use", s.Oversize)
	}
	release(p, b)
	if s := p.Stats(); s.Oversize.InUse != 0 || s.Total.Idle != 0 {
		t.Errorf("after Release: %+v, want nothing in use or idle", s.Total)
	}
}

func TestZeroPool(t *testing.T) {
	var p bufpool.Pool
	b := p.Get(100)
	b.Grow(1000)
	release(&p, b)
	if s := p.Stats().Total; s.InUse != 0 || s.Idle != 0 || s.Gets != 2 {
		t.Errorf("stats = %+v, want 2 gets, nothing in use or idle", s)
	}
	p.Trim()
	p.Shrink()
}

func TestGrow(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MaxClassBytes: 64 << 10})
	b := p.Get(512)
	defer b.Release()
	var want []byte
	for i := range 100_000 {
		b.Grow(1)
		b.B = append(b.B, byte(i))
		want = append(want, byte(i))
	}
	if !bytes.Equal(b.B, want) {
		t.Error("Grow did not keep the content")
	}
	// Classes double, and so must what is above them, or a long line costs a copy per byte.
	if got := p.Stats().Total.Gets; got > 16 {
		t.Errorf("growing to %d bytes one by one took %d buffers, want a few", len(want), got)
	}
	if got := p.Stats().Total.InUse; got != 1 {
		t.Errorf("%d buffers in use, want 1", got)
	}
}

func TestRef(t *testing.T) {
	p := bufpooltest.New(t)
	b := p.Get(100)
	b.B = append(b.B, "block"...)
	if b.Ref() != b {
		t.Error("Ref returned another handle")
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			defer b.Release()
			if string(b.B) != "block" {
				t.Errorf("B = %q, want %q", b.B, "block")
			}
		})
	}
	wg.Wait()
	if got := p.Stats().Total.InUse; got != 0 {
		t.Errorf("%d in use after the last Release, want 0", got)
	}
}

func TestMisusePanics(t *testing.T) {
	p := bufpooltest.New(t)
	f := func(name, want string, misuse func()) {
		t.Helper()
		defer func() {
			t.Helper()
			msg, _ := recover().(string)
			if !strings.HasPrefix(msg, "bufpool: ") || !strings.Contains(msg, want) {
				t.Errorf("%s: panic %q, want bufpool: … %s", name, msg, want)
			}
			if bufpool.Checked && strings.Contains(want, "released before") &&
				(!strings.Contains(msg, "got by:") || !strings.Contains(msg, "first released by:") || !strings.Contains(msg, "bufpool_test.go")) {
				t.Errorf("%s: panic %q does not say who got and who released", name, msg)
			}
		}()
		misuse()
	}
	released := func() *bufpool.Buf {
		b := p.Get(10)
		b.Release()
		return b
	}
	f("second Release", "Release of a buffer which was released before", func() { released().Release() })
	f("third Release", "Release of a buffer which was released before", func() {
		b := released()
		func() {
			defer func() { recover() }()
			b.Release()
		}()
		b.Release()
	})
	f("Ref after Release", "Ref of a buffer which was released before", func() { released().Ref() })
	f("Grow after Release", "0 holders", func() { released().Grow(1) })
	f("Grow while shared", "2 holders", func() {
		b := p.Get(10).Ref()
		defer b.Release()
		defer b.Release()
		b.Grow(1)
	})
	f("negative Get", "Get(-1)", func() { p.Get(-1) })
	f("negative Grow", "Grow(-1)", func() {
		b := p.Get(10)
		defer b.Release()
		b.Grow(-1)
	})
	f("Release of a Buf from elsewhere", "Release", func() { new(bufpool.Buf).Release() })

	// A stale handle stays detectable after its memory went to somebody else.
	stale := released()
	p.FlushQuarantine()
	next := p.Get(10)
	f("stale Release", "released before", func() { stale.Release() })
	next.B = append(next.B, "mine"...)
	if string(next.B) != "mine" {
		t.Errorf("B = %q, want %q", next.B, "mine")
	}
	next.Release()
}

func TestConcurrentUse(t *testing.T) {
	p := bufpooltest.NewWith(t, bufpool.Options{MaxClassBytes: 16 << 10, MaxIdleBytes: 128 << 10})
	var users, trimmer sync.WaitGroup
	done := make(chan struct{})
	trimmer.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				p.Trim()
				p.Shrink()
				if got := p.Stats().Total.IdleBytes; got > 128<<10 {
					t.Errorf("%d bytes idle, want at most %d", got, 128<<10)
				}
			}
		}
	})
	for g := range 4 {
		users.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range 500 {
				n := 1 << rnd.IntN(bits.Len(32<<10))
				b := p.Get(n)
				for range n {
					b.B = append(b.B, byte(g))
				}
				shared := b.Ref()
				var reader sync.WaitGroup
				reader.Go(func() {
					defer shared.Release()
					if bytes.Count(shared.B, []byte{byte(g)}) != n {
						t.Errorf("a buffer of goroutine %d holds what it did not write", g)
					}
				})
				b.Release()
				reader.Wait()
			}
		})
	}
	users.Wait()
	close(done)
	trimmer.Wait()
	if s := p.Stats().Total; s.InUse != 0 || s.InUseBytes != 0 || s.Gets != 2000 {
		t.Errorf("stats = %+v, want 2000 gets and nothing in use", s)
	}
}

func TestAllocations(t *testing.T) {
	p := bufpooltest.New(t)
	p.Get(1000).Release()
	alloctest.WantAllocs(t, 1, func() { p.Get(1000).Release() }) // the handle
}

func BenchmarkGetRelease(b *testing.B) {
	for _, bm := range []struct {
		name  string
		bytes int
	}{{"bytes=4k", 4 << 10}, {"bytes=64k", 64 << 10}} {
		b.Run(bm.name, func(b *testing.B) {
			p, err := bufpool.New(bufpool.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Get(bm.bytes).Release()
			}
		})
	}
	b.Run("bytes=64k/parallel", func(b *testing.B) {
		p, err := bufpool.New(bufpool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p.Get(64 << 10).Release()
			}
		})
	})
}
