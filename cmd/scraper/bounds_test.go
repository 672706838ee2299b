package main

import (
	"context"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	cgroup "github.com/KimMachineGun/automemlimit/memlimit"

	"scraper/config"
)

// TestBoundsFollowTheBudget changes the container's limit while the agent watches it: the bounds of the dictionary, of idle
// buffers and of what waits for the destinations are those of a start with that limit.
func TestBoundsFollowTheBudget(t *testing.T) {
	const mib = 1 << 20
	was, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(was)
		debug.SetGCPercent(percent)
	})
	synctest.Test(t, func(t *testing.T) {
		var limit atomic.Uint64
		var log strings.Builder
		s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w -remoteWrite.url=http://two/w -remoteWrite.maxDiskUsagePerURL=30MiB -remoteWrite.tmpDataPath="+t.TempDir())
		a, err := newAgent(s, parts{log: slog.New(slog.NewTextHandler(&log, nil)), quit: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		a.container = &container{library: func() (uint64, error) {
			if n := limit.Load(); n > 0 {
				return n, nil
			}
			return 0, cgroup.ErrNoLimit
		}}
		a.tmpfsQueue, a.tmpfsSpool = true, true
		cfg, err := config.Parse(nil, config.Options{Dialect: s.Dialect})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.start(cfg); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- a.keeper.Run(ctx) }()
		go func() { done <- a.followQueues(ctx) }()
		for _, c := range []struct {
			limit                       uint64
			labels, idle, pending, disk int64
			batch, spool                int64
			block                       int
		}{
			{0, 0, 8 * mib, 0, 30 * mib, 8 * mib, 1024 * mib, 8 * mib},
			{128 * mib, 58 * mib, 8 * mib, 16 * mib, 16 * mib, 4 * mib, 8 * mib, 4 * mib},
			{80 * mib, (80 - 9) * mib / 2, 5 * mib, 10 * mib, 10 * mib, 5 * mib / 2, 5 * mib, 5 * mib / 2},
			{24 * mib, (24 - 5.5) * mib / 2, 3 * mib / 2, 3 * mib, 3 * mib, mib, 3 * mib / 2, mib},
			{1 << 30, (1024 - 68) * mib / 2, 8 * mib, 0, 30 * mib, 8 * mib, 64 * mib, 8 * mib},
			{0, 0, 8 * mib, 0, 30 * mib, 8 * mib, 1024 * mib, 8 * mib},
		} {
			limit.Store(c.limit)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := a.keeper.Budget(); got != int64(c.limit) {
				t.Fatalf("Budget() = %d with a limit of %d", got, c.limit)
			}
			if got := a.dict.MaxBytes(); got != c.labels {
				t.Errorf("with a limit of %d the dictionary may take %d bytes, want %d", c.limit, got, c.labels)
			}
			if got := a.pool.Stats().MaxIdleBytes; got != c.idle {
				t.Errorf("with a limit of %d buffers of %d bytes may lie idle, want %d", c.limit, got, c.idle)
			}
			if batch, spool := a.targets.BatchLimits(); batch != c.batch || spool != c.spool {
				t.Errorf("with a limit of %d a scrape may have %d bytes of samples in memory, and all %d in files, want %d and %d", c.limit, batch, spool, c.batch, c.spool)
			}
			for _, d := range a.boundQueues(a.dests) {
				if d.MaxPendingBytes != c.pending || d.MaxDiskBytes != c.disk {
					t.Errorf("with a limit of %d a destination may have %d bytes in memory and %d on disk, want %d and %d", c.limit, d.MaxPendingBytes, d.MaxDiskBytes, c.pending, c.disk)
				}
				if d.MaxBlockBytes != c.block {
					t.Errorf("with a limit of %d a block may have %d bytes, want %d", c.limit, d.MaxBlockBytes, c.block)
				}
			}
		}
		if n := strings.Count(log.String(), "the memory budget changed"); n < 5 { // one more in a container
			t.Errorf("log:\n%swant 5 changes of the budget", log.String())
		}
		if n := strings.Count(log.String(), `source="the container's limit"`); n < 4 {
			t.Errorf("log:\n%swant the container's limit as the source of 4 budgets", log.String())
		}
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBoundsOfFlags pins that bounds which were asked for do not follow the budget.
func TestBoundsOfFlags(t *testing.T) {
	s := mustParse(t, "-promscrape.config=f -remoteWrite.url=http://one/w -promscrape.maxLabelMemory=5MiB -promscrape.maxBatchMemory=9MiB -promscrape.maxBatchDisk=1MiB -memory.limit=64MiB -remoteWrite.tmpDataPath="+t.TempDir())
	a, err := newAgent(s, parts{log: slog.New(slog.NewTextHandler(io.Discard, nil)), quit: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	a.follow(32 << 20)
	if got := a.dict.MaxBytes(); got != 5<<20 {
		t.Errorf("the dictionary may take %d bytes, want 5 MiB", got)
	}
	if batch, spool := a.targets.BatchLimits(); batch != 9<<20 || spool != 1<<20 {
		t.Errorf("a scrape may have %d bytes of samples in memory, and all %d in files, want 9 MiB and 1 MiB", batch, spool)
	}
}

// TestPageConnections: what requests take which never end is a part of a small budget, and a probe and a browser find room in
// any.
func TestPageConnections(t *testing.T) {
	const mib = 1 << 20
	f := func(budget int64, addresses, want int) {
		t.Helper()
		if got := pageConnections(budget, addresses); got != want {
			t.Errorf("pageConnections(%d MiB, %d) = %d, want %d", budget/mib, addresses, got, want)
		}
	}
	f(0, 1, 0)
	f(16*mib, 1, 32)
	f(64*mib, 1, 64)
	f(64*mib, 2, 32)
	f(4096*mib, 1, 512)
}
