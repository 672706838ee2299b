package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"scraper/bufpool/bufpooltest"
)

// TestQueueAgainstModel runs random histories against a slow, obvious queue.
func TestQueueAgainstModel(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 15 {
		const slots = 3
		limit := int64(3000 + rnd.IntN(60_000))
		q := newMemQueue(slots, limit)
		type entry struct {
			seq  uint64
			rows int
			mem  int64
		}
		var model [slots][]entry
		var out [slots]*record
		var seq uint64
		total := func() (blocks int, rows, mem int64) {
			for _, s := range model {
				blocks += len(s)
				for _, e := range s {
					rows, mem = rows+int64(e.rows), mem+e.mem
				}
			}
			return blocks, rows, mem
		}
		for step := range 600 {
			slot := rnd.IntN(slots)
			op := rnd.IntN(10)
			if step%200 > 150 {
				op = max(op, 5) // drain now and then
			}
			switch {
			case op < 5:
				b := testBlock(t, tg, &account, slot, 1+rnd.IntN(20))
				seq++
				model[slot] = append(model[slot], entry{seq, b.rows, b.memBytes + entryBytes})
				var want lost
				for {
					if _, _, mem := total(); mem <= limit {
						break
					}
					oldest, at := -1, 0
					for s := range model {
						first := 0
						if out[s] != nil {
							first = 1
						}
						if first < len(model[s]) && (oldest < 0 || model[s][first].seq < model[oldest][at].seq) {
							oldest, at = s, first
						}
					}
					if oldest < 0 {
						break
					}
					want.blocks++
					want.samples += model[oldest][at].rows
					model[oldest] = append(model[oldest][:at:at], model[oldest][at+1:]...)
				}
				if got := q.append(b); got.blocks != want.blocks || got.samples != want.samples {
					t.Fatalf("step %d: append lost %+v, want %+v", step, got, want)
				}
			case op < 8:
				r, ok := q.next(slot)
				if want := len(model[slot]) > 0 && out[slot] == nil; ok != want {
					t.Fatalf("step %d: next(%d) = %t, want %t", step, slot, ok, want)
				}
				if ok {
					if e := model[slot][0]; r.seq != e.seq || r.rows != e.rows || r.slot != slot {
						t.Fatalf("step %d: next(%d) = %+v, want %+v", step, slot, r, e)
					}
					out[slot] = &r
				}
			default:
				if r := out[slot]; r != nil {
					if b := r.blk; b.rows != r.rows || b.bytes != r.bytes {
						t.Fatalf("step %d: record %+v has block %v", step, r, b)
					}
					if rnd.IntN(4) == 0 {
						q.giveBack(*r)
						out[slot] = nil
						break
					}
					q.ack(*r)
					model[slot], out[slot] = model[slot][1:], nil
				}
			}
			st := q.stats()
			if blocks, rows, mem := total(); st.blocks != blocks || st.samples != rows || st.memBytes != mem || st.oldest.IsZero() != (blocks == 0) {
				t.Fatalf("step %d: stats = %+v, want %d blocks, %d samples, %d bytes", step, st, blocks, rows, mem)
			}
		}
		blocks, rows, _ := total()
		if left := q.close(); left.blocks != blocks || int64(left.samples) != rows || q.stats().blocks != 0 {
			t.Fatalf("close() = %+v, want %d blocks, %d samples", left, blocks, rows)
		}
	}
	if n := account.Load(); n != 0 {
		t.Errorf("%d bytes left after all queues were closed", n)
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	tg := newTarget(t, bufpooltest.New(t))
	var account atomic.Int64
	f := func(name string, op func(*block)) {
		b := testBlock(t, tg, &account, 0, 1)
		b.release()
		defer func() {
			if r := recover(); r == nil {
				t.Errorf("%s of a released block did not panic", name)
			}
		}()
		op(b)
	}
	f("release", (*block).release)
	f("retain", func(b *block) { b.retain() })
}

// TestMetricsTwice has two instances in one process, and one Metrics shared by Writers with nil registry.
func TestMetricsTwice(t *testing.T) {
	pool := bufpooltest.New(t)
	tg := newTarget(t, pool)
	var gathered []string
	for range 2 {
		reg := prometheus.NewPedanticRegistry()
		w, err := New(Options{Pool: pool, Metrics: NewMetrics(reg), Destinations: []Destination{{URL: "http://a.example/"}}})
		if err != nil {
			t.Fatal(err)
		}
		tg.commit(t, w, 0, 10, 1)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, f := range families {
			text += fmt.Sprintln(f.GetName(), f.GetMetric()[0].GetCounter().GetValue(), f.GetMetric()[0].GetGauge().GetValue())
		}
		gathered = append(gathered, text)
		w.Close()
	}
	if gathered[0] != gathered[1] || gathered[0] == "" {
		t.Errorf("two instances differ: %s and %s", gathered[0], gathered[1])
	}
}

// TestMetricsFollowBooks compares the metrics with the books after everything has happened.
func TestMetricsFollowBooks(t *testing.T) {
	reg := prometheus.NewRegistry()
	pool := bufpooltest.New(t)
	tg := newTarget(t, pool)
	w, err := New(Options{Pool: pool, Metrics: NewMetrics(reg), MaxRowsPerBlock: 10, Destinations: []Destination{{URL: "http://a.example/", MaxPendingBytes: 20_000}}})
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) (v float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "scraper_remotewrite_"+name {
					v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		return v
	}
	check := func() {
		t.Helper()
		b, s := w.Books()[0], w.Status()[0]
		for name, want := range map[string]float64{
			"committed_samples_total": float64(b.Committed), "dropped_samples_total": float64(b.Dropped.Total()),
			"pending_samples": float64(b.Pending), "pending_blocks": float64(s.PendingBlocks), "pending_bytes": float64(s.PendingBytes),
		} {
			if got := value(name); got != want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
	}
	for i := range 200 {
		tg.commit(t, w, uint64(i), 13, int64(i))
	}
	if w.Books()[0].Dropped.QueueFull == 0 {
		t.Error("nothing was dropped")
	}
	check()
	w.Close()
	check()
}
