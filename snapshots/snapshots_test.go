package snapshots

import (
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// value is what tests replace. It is large enough to be an object of its own.
type value struct {
	n int
	_ *string
}

// collected runs collections until cond holds.
func collected(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestHolderIsNamed pins what the package is for: one who holds one of many superseded values is named, and the others go.
func TestHolderIsNamed(t *testing.T) {
	b := New()
	var holding *value
	k := NewKind(b, "thing", func() iter.Seq2[*value, func() Holder] {
		return func(yield func(*value, func() Holder) bool) {
			yield(holding, func() Holder { return Holder{Name: fmt.Sprintf("somebody with number %d", holding.n)} })
		}
	})
	current := &value{n: 0}
	for i := range 1000 {
		next := &value{n: i + 1}
		if current.n == 7 {
			holding = current
		}
		k.Superseded(current)
		current = next
	}
	collected(t, "all but one to go", func() bool { return b.Counts()[0].Superseded == 1 })
	r := b.Reports()[0]
	if r.Kind != "thing" || r.Superseded != 1 || r.Oldest <= 0 || r.Unheld != 0 || r.More != 0 ||
		len(r.Holders) != 1 || r.Holders[0].Name != "somebody with number 7" || r.Holders[0].Superseded.IsZero() {
		t.Errorf("Reports() = %+v, want the one that is held, and its holder", r)
	}
	runtime.KeepAlive(holding)
	holding = nil
	collected(t, "the last to go", func() bool { return b.Counts()[0] == Count{Kind: "thing"} })
	if r := b.Reports()[0]; r.Superseded != 0 || len(r.Holders) != 0 {
		t.Errorf("Reports() without a holder = %+v, want none", r)
	}
	runtime.KeepAlive(current)
}

// TestUnknownHolder pins that what nobody says to hold is told apart, and that of many holders some are named.
func TestUnknownHolder(t *testing.T) {
	b := New()
	var all []*value
	for i := range 3 * mostHolders {
		all = append(all, &value{n: i})
	}
	known := all[:2*mostHolders]
	k := NewKind(b, "thing", func() iter.Seq2[*value, func() Holder] {
		return func(yield func(*value, func() Holder) bool) {
			for _, v := range known {
				if !yield(v, func() Holder { return Holder{Name: "x"} }) {
					return
				}
			}
		}
	})
	for _, v := range all {
		k.Superseded(v)
	}
	runtime.GC()
	if r := b.Reports()[0]; r.Superseded != 3*mostHolders || r.Unheld != mostHolders || len(r.Holders) != mostHolders || r.More != mostHolders {
		t.Errorf("Reports() = %d superseded, %d unheld, %d holders and %d more, want %d, and a third each",
			r.Superseded, r.Unheld, len(r.Holders), r.More, 3*mostHolders)
	}
	runtime.KeepAlive(all)
}

// TestWithoutBook pins that a part which is given no Book works.
func TestWithoutBook(t *testing.T) {
	var b *Book
	NewKind[value](b, "thing", nil).Superseded(&value{})
	if got := b.Reports(); got != nil {
		t.Errorf("Reports() of no Book = %v, want none", got)
	}
}

// TestCollector pins the metrics' names and labels, and that a kind shows before it has anything.
func TestCollector(t *testing.T) {
	b := New()
	k := NewKind[value](b, "thing", nil)
	NewKind[value](b, "other", nil)
	held := &value{}
	k.Superseded(held)
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewCollector(b))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()+" "+labelOf(m)] = m.GetGauge().GetValue()
		}
	}
	if len(got) != 4 || got["scraper_snapshots_superseded kind=thing"] != 1 || got["scraper_snapshots_superseded kind=other"] != 0 ||
		got["scraper_snapshots_oldest_superseded_seconds kind=thing"] <= 0 {
		t.Errorf("metrics %v, want one thing, and its age", got)
	}
	runtime.KeepAlive(held)
}

func labelOf(m *dto.Metric) string {
	l := m.GetLabel()[0]
	return l.GetName() + "=" + l.GetValue()
}
