package scrape

import (
	"strconv"
	"testing"
	"time"

	"scraper/labelcompress"
	"scraper/memlimit"
)

// TestTriedAgain: a target which is thought to need more than there will ever be is tried now and then, less and less often,
// so that it is back soon after its body has become smaller.
func TestTriedAgain(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.set(w, memlimit.Normal, 300<<10)
		x := w.farm(5000)["t5000"]
		w.run()
		w.pass(2 * time.Minute)
		first := w.target("t5000")
		if first.Held.Reason != SkipNew || first.Scrapes < 3 || first.Scrapes > 5 {
			t.Errorf("%+v after %d scrapes in 2 min, want it held, and tried a few times", first.Held, first.Scrapes)
		}
		w.pass(4 * time.Minute)
		if n := w.target("t5000").Scrapes - first.Scrapes; n < 3 || n > 4 {
			t.Errorf("%d scrapes in the 4 min after that, want about one a minute", n)
		}
		x.set(seriesOf("t5000", 0, 100))
		w.pass(tryMost + 20*time.Second)
		if x := w.target("t5000"); x.Held != (Held{}) || x.Health != HealthUp || x.Series != 100 {
			t.Errorf("after its body became small: %+v, %q with %d series, want it to be scraped", x.Held, x.LastError, x.Series)
		}
		if n := w.m.metrics.Unbalanced(); n != 0 {
			t.Errorf("%d samples are nowhere", n)
		}
	})
}

// TestEstimateDoesNotGrow: what a target is thought to need does not become more each time that it is tried in vain.
func TestEstimateDoesNotGrow(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		mem.set(w, memlimit.Normal, 300<<10)
		w.farm(5000)
		w.run()
		w.pass(30 * time.Second)
		first, scrapes := w.m.HeldBytes(), w.target("t5000").Scrapes
		w.pass(8 * time.Minute)
		if n := w.target("t5000").Scrapes - scrapes; n < 5 {
			t.Errorf("it was tried %d times, want more", n)
		}
		if got := w.m.HeldBytes(); first == 0 || got > first+first/4 {
			t.Errorf("HeldBytes() = %d after some tries, and was %d after the first one", got, first)
		}
	})
}

// TestPauseEndsWithTheShortage: however often memory was critical, nobody waits for minutes once it is not even high.
func TestPauseEndsWithTheShortage(t *testing.T) {
	for level, most := range map[memlimit.Level]time.Duration{
		memlimit.Normal: letInPause, memlimit.Elevated: pausedElevated, memlimit.High: letInMost,
	} {
		short(t, func(w *world, mem *fakeMemory) {
			w.farm(10, 600)
			w.run()
			w.pass(15 * time.Second)
			for range 4 {
				mem.set(w, memlimit.Critical, -1)
				w.pass(time.Second)
				mem.set(w, memlimit.High, plenty)
				w.pass(letInMost + 15*time.Second)
			}
			mem.set(w, memlimit.Critical, -1)
			w.pass(time.Second)
			mem.set(w, level, plenty)
			w.pass(most - 2*time.Second)
			if w.target("t600").Held.Reason != SkipShed {
				t.Errorf("%v: it was let in sooner than %v after memory was critical", level, most)
			}
			w.pass(15 * time.Second)
			if x := w.target("t600"); x.Health != HealthUp {
				t.Errorf("%v: %+v, %q, want it to be scraped %v after memory was critical", level, x.Held, x.LastError, most)
			}
		})
	}
}

// TestNobodyIsLetInWhoWillNotBeServed: what is kept free for growth cannot be had, so one who would need it is not let in,
// and keeps nobody out.
func TestNobodyIsLetInWhoWillNotBeServed(t *testing.T) {
	short(t, func(w *world, mem *fakeMemory) {
		w.farm(1000, 10_000)
		w.run()
		w.pass(25 * time.Second)
		mem.set(w, memlimit.Critical, -1<<30) // all are shed
		w.pass(25 * time.Second)
		large := int64(0)
		for _, x := range w.m.MemoryState().Held {
			large = max(large, x.Bytes)
		}
		mem.set(w, memlimit.High, large+large/20)
		w.pass(2 * time.Minute)
		if a, b := w.target("t1000"), w.target("t10000"); a.Health != HealthUp || b.Held.Reason != SkipShed {
			t.Errorf("the small one: %+v %q, the large one: %+v; want the small one to be scraped", a.Held, a.LastError, b.Held)
		}
		if s := w.m.MemoryState(); s.Readmitted != 1 {
			t.Errorf("%d were let in, want one", s.Readmitted)
		}
	})
}

// TestHopelessDoesNotBar: targets which never fit have what they need kept free for a part of the time only.
func TestHopelessDoesNotBar(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		w.farm(1000, 6000, 6001, 6002, 6003, 6004)
		w.run()
		w.pass(25 * time.Second)
		mem.set(w, memlimit.Critical, -1<<30)
		w.pass(2 * time.Minute)
		mem.set(w, memlimit.High, 350<<10)
		w.pass(letInMost + 2*headFor + 20*time.Second)
		if x := w.target("t1000"); x.Health != HealthUp {
			t.Errorf("%+v, %q, want the one which fits to be scraped", x.Held, x.LastError)
		}
	})
}

// TestHeldWhileTheDictionaryIsFull: a target whose labels do not fit waits until they do, and is not read in vain each time.
func TestHeldWhileTheDictionaryIsFull(t *testing.T) {
	t.Parallel()
	d := labelcompress.New(labelcompress.Options{})
	for i := range 30_000 { // of two and a half targets
		if _, err := d.InternString("id", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	shortWith(t, Options{Dict: labelcompress.New(labelcompress.Options{MaxBytes: d.Bytes()})}, func(w *world, mem *fakeMemory) {
		mem.limit.Store(64 << 20)
		w.farm(12_000, 12_001)["t12001"].set(seriesOf("t12001", 15_000, 12_001))
		w.run()
		w.pass(15 * time.Second)
		w.farm(12_000, 12_001, 12_002)["t12002"].set(seriesOf("t12002", 30_000, 12_002))
		w.pass(15 * time.Second)
		mem.set(w, memlimit.High, 8<<20)
		w.pass(2 * time.Minute)
		x := w.target("t12002")
		if x.Held.Reason != SkipNew || x.Scrapes > 2 {
			t.Errorf("%+v, %q after %d scrapes, want it held after one or two", x.Held, x.LastError, x.Scrapes)
		}
		w.farm(12_000, 12_002)
		w.pass(time.Second)
		w.dict.Compact()
		mem.set(w, memlimit.Normal, 8<<20)
		w.pass(30 * time.Second)
		if x := w.target("t12002"); x.Held != (Held{}) || x.Health != HealthUp {
			t.Errorf("with room for its labels: %+v, %q, want it to be scraped", x.Held, x.LastError)
		}
	})
}

// TestDictionaryKeepsRoomForSmallTargets: large targets which came first do not keep a small one from being scraped.
func TestDictionaryKeepsRoomForSmallTargets(t *testing.T) {
	t.Parallel()
	d := labelcompress.New(labelcompress.Options{MaxBytes: 1 << 20})
	shortWith(t, Options{Dict: d}, func(w *world, mem *fakeMemory) {
		mem.limit.Store(64 << 20)
		for i, n := range []int{12_000, 12_001, 8000} {
			name := "t" + strconv.Itoa(n)
			w.farm(12_000, 12_001, 8000)[name].set(seriesOf(name, i*20_000, n))
		}
		w.run()
		w.pass(30 * time.Second)
		if !isCrowded(d) {
			t.Errorf("the dictionary has %d of %d bytes, want it full", d.Bytes(), d.MaxBytes())
		}
		w.farm(12_000, 12_001, 8000, 100, 20_000)["t100"].set(seriesOf("t100", 70_000, 100))
		w.farmed["t20000"].set(seriesOf("t20000", 80_000, 20_000))
		got := w.pass(30 * time.Second)
		if n, _, up := of("t100", got); n != 300 {
			t.Errorf("the small target sent %d samples, up %v, want 300 of three scrapes", n, up)
		}
		if x := w.target("t20000"); x.Held.Reason != SkipNew {
			t.Errorf("the large one: %+v, %q, want it held", x.Held, x.LastError)
		}
	})
}

// TestLetInWhenItIsDue: a target with a long interval which is held keeps nothing from others until it is due, and is let in then;
// others which are thought not to fit are tried meanwhile.
func TestLetInWhenItIsDue(t *testing.T) {
	t.Parallel()
	short(t, func(w *world, mem *fakeMemory) {
		w.export("slow:80", seriesOf("slow", 0, 1000))
		w.export("large:80", seriesOf("large", 0, 5000))
		w.apply("scrape_configs:\n- job_name: j\n  scrape_interval: 10m\n  static_configs: [{targets: ['slow:80']}]\n" +
			"- job_name: k\n  scrape_interval: 30s\n  static_configs: [{targets: ['large:80']}]\n")
		w.run()
		w.pass(11 * time.Minute)
		mem.set(w, memlimit.Critical, -1<<30) // both are shed
		w.pass(time.Minute)
		large, slow := w.target("large").Scrapes, w.target("slow").Scrapes
		mem.set(w, memlimit.Normal, 600<<10) // for the slow one
		w.pass(5 * time.Minute)
		if n := w.target("large").Scrapes - large; n < 3 {
			t.Errorf("the large target was tried %d times within 5 min, want about each minute", n)
		}
		w.pass(6 * time.Minute)
		if x := w.target("slow"); x.Held != (Held{}) || x.Health != HealthUp || x.Scrapes != slow+1 {
			t.Errorf("the one with an interval of 10 minutes: %+v, %q after %d scrapes, want it scraped when it was due", x.Held, x.LastError, x.Scrapes)
		}
	})
}
