package memlimit

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) {
	memberIfAsked()
	leaktest.Main(m)
}

// TestReportAddsUp pins that the report names every account, the largest first, and their sum.
func TestReportAddsUp(t *testing.T) {
	k := New(Options{})
	k.Register(Account{Name: "small", Bytes: func() int64 { return 1 }})
	remove := k.Register(Account{Name: "large", Bytes: func() int64 { return 1 << 20 }})
	r := k.Report()
	if len(r.Accounts) != 2 || r.Accounts[0].Name != "large" || r.Sum != 1<<20+1 {
		t.Errorf("Report() = %+v, want both accounts, the large one first", r)
	}
	k.Register(Account{Name: "file", Bytes: func() int64 { return 7 }, OffHeap: true})
	if r := k.Report(); r.Sum != 1<<20+1 || r.OffHeap != 7 || !r.Accounts[1].OffHeap {
		t.Errorf("Report() = %+v, want what is off the heap apart", r)
	}
	if r.HeapObjects <= 0 || r.Runtime <= 0 || r.ResidentAnon < r.HeapObjects/2 {
		t.Errorf("Report() = %+v, want what the runtime and the kernel say", r)
	}
	remove()
	if r := k.Report(); len(r.Accounts) != 2 || r.Sum != 1 {
		t.Errorf("Report() after a removal = %+v, want two accounts", r)
	}
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
		if n, err := testutil.GatherAndCount(reg, "scraper_memlimit_level", "scraper_memlimit_budget_bytes", "scraper_memlimit_level_changes_total"); err != nil || n != 6 {
			t.Errorf("level, budget and changes: %d series, error %v, want 6", n, err)
		}
		if n, err := testutil.GatherAndCount(reg, "process_resident_memory_anon_bytes"); err != nil || n != 1 {
			t.Errorf("process_resident_memory_anon_bytes: %d series, error %v", n, err)
		}
	}
}

// TestRecommendsForWhatIsHeldBack: a budget in which work is held back is recommended to hold that, too.
func TestRecommendsForWhatIsHeldBack(t *testing.T) {
	const mib = 1 << 20
	held := int64(0)
	k := New(Options{Budget: 64 * mib, HeldBack: func() int64 { return held }})
	k.pressure.used, k.pressure.most = 40*mib, 50*mib
	for _, c := range []struct{ held, counts int64 }{{0, 50 * mib}, {5 * mib, 50 * mib}, {100 * mib, 140 * mib}} {
		held = c.held
		if r := k.Report(); r.HeldBack != c.held || r.Recommended != recommend(c.counts) {
			t.Errorf("with %d bytes held back Report() has %d, and recommends %d, want %d", c.held, r.HeldBack, r.Recommended, recommend(c.counts))
		}
	}
}
