package memlimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestReportAddsUp pins that the report names every account, the largest first, and their sum.
func TestReportAddsUp(t *testing.T) {
	k := New(Options{})
	k.Register(Account{Name: "small", Bytes: func() int64 { return 1 }})
	remove := k.Register(Account{Name: "large", Bytes: func() int64 { return 1 << 20 }})
	r := k.Report()
	if len(r.Accounts) != 2 || r.Accounts[0].Name != "large" || r.Sum != 1<<20+1 {
		t.Errorf("Report() = %+v, want both accounts, the large one first", r)
	}
	if r.HeapObjects <= 0 || r.Runtime <= 0 || r.ResidentAnon < r.HeapObjects/2 {
		t.Errorf("Report() = %+v, want what the runtime and the kernel say", r)
	}
	remove()
	if r := k.Report(); len(r.Accounts) != 1 || r.Sum != 1 {
		t.Errorf("Report() after a removal = %+v, want one account", r)
	}
}

// TestReturnsMemoryOnceAccountsFall pins when memory goes back: after a fall of 4 MiB, and not more often than every 10 s.
func TestReturnsMemoryOnceAccountsFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := New(Options{})
		held := int64(100 << 20)
		k.Register(Account{Name: "a", Bytes: func() int64 { return held }})
		now := time.Now()
		step := func(bytes int64, after time.Duration, want uint64) {
			t.Helper()
			held = bytes
			now = now.Add(after)
			k.check(now)
			if k.frees != want {
				t.Errorf("after %d bytes were left, memory was returned %d times, want %d", bytes, k.frees, want)
			}
		}
		step(100<<20, 0, 0)
		step(97<<20, 2*time.Second, 0)
		step(50<<20, 2*time.Second, 1)
		step(10<<20, 2*time.Second, 1) // too soon
		step(10<<20, 9*time.Second, 2)
		step(10<<20, time.Hour, 2)
		k.Released(3 << 20)
		step(10<<20, time.Hour, 2)
		k.Released(2 << 20)
		step(10<<20, time.Hour, 3)
		step(10<<20, time.Hour, 3)
	})
}

// TestCollector pins the names that dashboards use, twice in one process.
func TestCollector(t *testing.T) {
	for range 2 {
		k := New(Options{})
		k.Register(Account{Name: "pool", Bytes: func() int64 { return 42 }})
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(NewCollector(k))
		want := "# HELP scraper_memlimit_account_bytes Memory which each owner says it holds. /debug/memory shows them beside what the process takes.\n" +
			"# TYPE scraper_memlimit_account_bytes gauge\nscraper_memlimit_account_bytes{account=\"pool\"} 42\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "scraper_memlimit_account_bytes"); err != nil {
			t.Error(err)
		}
		if n, err := testutil.GatherAndCount(reg, "process_resident_memory_anon_bytes"); err != nil || n != 1 {
			t.Errorf("process_resident_memory_anon_bytes: %d series, error %v", n, err)
		}
	}
}
