package remotewrite

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/batch"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/receiver"
	"scraper/relabel"
)

var testRules = []relabel.Config{
	{Action: "drop", SourceLabels: []string{"a"}, Regex: ptr("0")},
	{Action: "labeldrop", Regex: ptr("b")},
	{Action: "replace", SourceLabels: []string{"c"}, Regex: ptr("(1|2)"), TargetLabel: "aa", Replacement: ptr("was-$1")},
	{Action: "keep", SourceLabels: []string{"d"}, Regex: ptr("|1|2")},
	{Action: "replace", TargetLabel: "d", Replacement: ptr("")},
}

// TestRelabelCache compares what the cache says with the rules themselves, for caches which hold everything, something
// and nothing, while time goes by, and looks whether all references are given back.
func TestRelabelCache(t *testing.T) {
	f := func(name string, maxBytes, dictBytes int64) {
		t.Run(name, func(t *testing.T) {
			dict := labelcompress.New(labelcompress.Options{MaxBytes: dictBytes})
			c := newRelabelCache(rules(t, testRules...), maxBytes, 1<<20)
			rnd := rand.New(rand.NewPCG(5, 6))
			now := time.Unix(1_700_000_000, 0)
			hits := 0
			for range 3000 {
				now = now.Add(time.Duration(rnd.IntN(500)) * time.Millisecond)
				c.begin(dict, false, now)
				var refs []labelcompress.Ref
				want := relabel.Labels{}
				for _, n := range []string{"__name__", "a", "b", "c", "d"} {
					v := fmt.Sprint(rnd.IntN(4))
					if rnd.IntN(50) == 0 {
						v = fmt.Sprint(rnd.Uint64()) // churn
					}
					if rnd.IntN(4) == 0 {
						continue
					}
					r, err := dict.InternString(n, v)
					if err != nil {
						continue
					}
					refs = append(refs, r)
					want.L = append(want.L, relabel.Label{Name: n, Value: v})
				}
				r := row{refs: slices.Clone(refs)}
				before := len(c.cur.entries)
				kept := c.apply(&r) != dropped
				if len(c.cur.entries) == before {
					hits++
				}
				wantKept := c.rules.Apply(&want) && len(want.L) > 0
				if kept != wantKept {
					t.Fatalf("apply(%v) = %t, want %t", want.L, kept, wantKept)
				}
				if kept {
					want.Sort()
					got := r.labels
					if got == nil {
						for _, ref := range r.refs {
							n, v := dict.Label(ref)
							got = append(got, relabel.Label{Name: string(n), Value: string(v)})
						}
					}
					if !slices.Equal(got, want.L) {
						t.Fatalf("apply() = %v, want %v", got, want.L)
					}
				}
				for _, ref := range refs { // the batch is over
					dict.Release(ref)
				}
				if max := 2*c.maxBytes + 3*cacheSlab*4; c.memory() > max {
					t.Fatalf("memory() = %d, want at most %d", c.memory(), max)
				}
			}
			if hits == 0 {
				t.Error("the cache was never hit")
			}
			c.close()
			if s := dict.Stats(); s.Items != 0 || s.Misuses != 0 {
				t.Errorf("the dictionary has %d labels and %d misuses after close, want none", s.Items, s.Misuses)
			}
			if c.memory() != 0 {
				t.Errorf("memory() = %d after close", c.memory())
			}
		})
	}
	f("all", 16<<20, 0)
	f("one slab", 2*(cacheSlab*4+2000), 0)
	f("nothing", 1, 0)
	f("full dictionary", 16<<20, 1<<20)
}

// TestRelabelCacheStandsBack: what is not in the cache stays out while memory is short or the dictionary nearly full, and in a
// full one the cache holds nothing at all. The results are the same.
func TestRelabelCacheStandsBack(t *testing.T) {
	const most = 4 << 20
	dict := labelcompress.New(labelcompress.Options{MaxBytes: most})
	c := newRelabelCache(rules(t, relabel.Config{Action: "replace", TargetLabel: "new", Replacement: ptr("label")}), 1<<20, 1<<20)
	now := time.Unix(1_700_000_000, 0)
	var others []labelcompress.Ref
	fill := func(percent int64) {
		t.Helper()
		for dict.Bytes() < most/100*percent {
			r, err := dict.InternString("other", fmt.Sprint(len(others), strings.Repeat("x", 1000)))
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, r)
		}
	}
	batch := func(name string, short bool, want int) {
		t.Helper()
		c.begin(dict, short, now)
		a, err := dict.InternString("batch", name)
		if err != nil {
			t.Fatal(err)
		}
		defer dict.Release(a)
		r := row{refs: []labelcompress.Ref{a}}
		got := c.apply(&r)
		if len(r.refs) != 2 && len(r.labels) != 2 || got != changed {
			t.Errorf("apply() = %d, %v, %v, want both labels", got, r.refs, r.labels)
		}
		if n := len(c.cur.entries); n != want {
			t.Errorf("%d results are kept, want %d, with %d of %d bytes in the dictionary", n, want, dict.Bytes(), most)
		}
	}
	batch("a", false, 1)
	batch("b", true, 1)
	batch("a", true, 1)
	fill(82)
	batch("b", false, 1)
	batch("a", false, 1)
	fill(89)
	batch("a", false, 0)
	if n := dict.Stats().Items; n != len(others) {
		t.Errorf("the dictionary has %d labels, want %d", n, len(others))
	}
	for _, r := range others {
		dict.Release(r)
	}
	dict.Compact()
	batch("a", false, 1)
	c.close()
	if s := dict.Stats(); s.Items != 0 || s.Misuses != 0 {
		t.Errorf("the dictionary has %d labels and %d misuses, want none", s.Items, s.Misuses)
	}
}

// TestRelabelCachesShareABound has two destinations with different rules: what they remember is bounded together, and a bound
// which falls holds at once.
func TestRelabelCachesShareABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dests []Destination
		for _, h := range []string{"a", "b"} {
			dests = append(dests, Destination{URL: "http://" + h + ".example" + receiver.WritePath,
				Relabel: rules(t, relabel.Config{Action: "replace", TargetLabel: "new", Replacement: ptr(h)})})
		}
		r := newRig(t, func(o *Options) { o.RelabelCacheBytes = 2 << 20 }, dests...)
		for _, h := range []string{"a", "b"} {
			r.serve(h+".example:80", newReceiver(t, receiver.Options{}))
		}
		r.run()
		cached := func() (n int64) {
			r.commit(t, r.Writer, 0, 5000, time.Now().UnixMilli())
			time.Sleep(2 * second)
			for _, g := range r.groups {
				for _, l := range g.lanes {
					n += l.cached.Load()
				}
			}
			return n
		}
		for _, c := range []struct{ bound, least, most int64 }{
			{2 << 20, 1 << 17, 1 << 19}, // one lane of four
			{1, 1 << 15, 1 << 17},
			{0, 1 << 19, 4 << 20},
		} {
			r.SetRelabelCacheBytes(c.bound)
			if n := cached(); n < c.least || n > c.most {
				t.Errorf("with a bound of %d, %d bytes are remembered, want %d to %d", c.bound, n, c.least, c.most)
			}
		}
		if err := r.Apply(dests[:1]); err != nil {
			t.Fatal(err)
		}
		r.SetRelabelCacheBytes(1 << 20)
		if n := cached(); n < 1<<16 || n > 1<<18 {
			t.Errorf("alone, %d bytes are remembered, want up to %d", n, 1<<18)
		}
	})
}

// TestRelabelCacheForgets lets series go: two generations later the dictionary is empty, also when nothing is committed.
func TestRelabelCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, Destination{URL: "http://a.example" + receiver.WritePath,
			Relabel: rules(t, relabel.Config{Action: "replace", TargetLabel: "new", Replacement: ptr("label")})})
		rc := newReceiver(t, receiver.Options{})
		r.serve("a.example:80", rc)
		r.run()
		for i := range 5 {
			r.commit(t, r.Writer, 0, 5000, int64(i+1)*1000)
			time.Sleep(second)
		}
		if s := r.Stats(); s.OpenBytes == 0 {
			t.Error("Stats() does not count the cache")
		}
		r.store.Close()
		if n := r.dict.Stats().Items; n == 0 {
			t.Error("the cache holds no references")
		}
		time.Sleep(3 * time.Minute)
		if n := r.dict.Stats().Items; n != 0 {
			t.Errorf("%d labels are left, want none", n)
		}
		if s := r.Stats(); s.OpenBytes != 0 {
			t.Errorf("Stats() = %+v, want nothing", s)
		}
		if got := len(rc.Series(map[string]string{"new": "label"})); got != 5000 {
			t.Errorf("%d series with the new label, want 5000", got)
		}
		r.store = labelset.New(r.dict, nil)
	})
}

// TestRulesPerDestination has one destination without rules and two with their own.
func TestRulesPerDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := []string{"a", "b", "c"}
		cfgs := [][]relabel.Config{nil,
			{{Action: "drop", SourceLabels: []string{"i"}, Regex: ptr("[0-4]")}},
			{{Action: "labeldrop", Regex: ptr("slot")}, {Action: "replace", TargetLabel: "__name__", Replacement: ptr("n")}}}
		var dests []Destination
		for i, h := range hosts {
			d := Destination{URL: "http://" + h + ".example" + receiver.WritePath}
			if cfgs[i] != nil {
				d.Relabel = rules(t, cfgs[i]...)
			}
			dests = append(dests, d)
		}
		r := newRig(t, nil, dests...)
		var rcs []*receiver.Receiver
		for _, h := range hosts {
			rc := newReceiver(t, receiver.Options{})
			rcs = append(rcs, rc)
			r.serve(h+".example:80", rc)
		}
		r.run()
		for i := range 3 {
			if got, want := r.commit(t, r.Writer, 0, 10, int64(i+1)*1000), (batch.Dropped{Relabeled: 5}); got != want {
				t.Errorf("Commit() = %+v, want %+v", got, want)
			}
			time.Sleep(2 * second)
		}
		for i, want := range []string{"10 m{i,slot}", "5 m{i,slot}", "10 n{i}"} {
			series := rcs[i].Series(nil)
			names := []string{}
			for _, l := range series[0].Labels[1:] {
				names = append(names, l.Name)
			}
			if got := fmt.Sprintf("%d %s{%s}", len(series), series[0].Name(), strings.Join(names, ",")); got != want {
				t.Errorf("receiver %d has %s, want %s", i, got, want)
			}
			for _, s := range series {
				if len(s.Samples) != 3 {
					t.Errorf("receiver %d: %v has %d samples, want 3", i, s, len(s.Samples))
				}
			}
			if err := rcs[i].Verify().Err(); err != nil {
				t.Error(err)
			}
		}
		r.balanced()
		if n := r.Shrink(); n == 0 {
			t.Error("Shrink() = 0, want what was remembered")
		}
		r.commit(t, r.Writer, 0, 10, 9000)
		time.Sleep(2 * second)
		if err := rcs[2].Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestRulesWhichMultiply: a series of which rules would make more than a block holds is dropped, and counted, and nothing
// else is; whether its labels are in the dictionary, remembered, or neither.
func TestRulesWhichMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		double := relabel.Config{SourceLabels: []string{"v"}, Regex: ptr("(.+)"), TargetLabel: "v", Replacement: ptr("$1$1")}
		r := newRig(t, func(o *Options) { o.MaxBlockBytes = 1 << 20 },
			Destination{URL: "http://a.example" + receiver.WritePath, Relabel: rules(t, slices.Repeat([]relabel.Config{double}, 10)...)})
		rc := newReceiver(t, receiver.Options{})
		r.serve("a.example:80", rc)
		r.run()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for round := range int64(2) {
			b := r.empty(0, 1000*(round+1))
			for i, v := range []string{"", "x", strings.Repeat("y", 300_000), strings.Repeat("z", 900_000), "1"} {
				b.Append(r.set(t, "__name__", "m", "i", fmt.Sprint(i), "v", v), 1)
				var wire []byte
				for _, l := range [][2]string{{"__name__", "n"}, {"i", fmt.Sprint(i)}, {"v", v}} {
					if l[1] != "" {
						wire = labelcompress.AppendLabel(wire, l[0], l[1])
					}
				}
				b.AppendExtra(batch.KindSample, 0, 1, batch.Extra{Labels: wire})
			}
			if got, want := r.Commit(b), (batch.Dropped{TooLarge: 4}); got != want {
				t.Errorf("Commit() = %+v, want %+v", got, want)
			}
			b.Reset()
			time.Sleep(2 * second)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
			t.Errorf("%d bytes were allocated", n)
		}
		if b := r.balanced(); b.Acknowledged != 12 || b.Dropped.TooLarge != 8 {
			t.Errorf("%v, want 12 acknowledged and 8 too large", b)
		}
		if got := rc.Series(map[string]string{"v": strings.Repeat("x", 1024)}); len(got) != 2 {
			t.Errorf("%d series with what ten rules make of x, want 2", len(got))
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}
