package scrape

import (
	"testing"
	"time"

	"scraper/memlimit"
)

// TestShedsWhoHoldsMemory: a large target which has been down for so long that its table is gone has nothing to give, and
// nothing is expected of it: somebody else is shed.
func TestShedsWhoHoldsMemory(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		x := w.farm(1000, 1500, 8000)["t8000"]
		w.run()
		w.pass(25 * time.Second)
		x.fail(500)
		w.pass(keepFailed*10*time.Second + 10*time.Second)
		one := w.target("t1500").MemoryBytes
		mem.set(w, memlimit.Critical, int64(shedTo*float64(mem.Limit()))-one/2)
		w.pass(5 * time.Second)
		if a, b, c := w.target("t8000"), w.target("t1500"), w.target("t1000"); a.Held.Reason != SkipNone || b.Held.Reason != SkipShed || c.Held.Reason != SkipNone {
			t.Errorf("held are: the one which is down: %+v; of 1500 series: %+v; of 1000: %+v; want only the second", a.Held, b.Held, c.Held)
		}
		w.pass(releaseTakes + 20*time.Second)
		if x := w.target("t1000"); x.Held.Reason != SkipShed {
			t.Errorf("%+v after what the first one gave back did not help, want it shed, too", x.Held)
		}
	})
}
