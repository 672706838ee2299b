package scrape

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/config"
)

// TestLargestTargets pins that those come first which take most, and that no more are told of than asked for.
func TestLargestTargets(t *testing.T) {
	w := newWorld(t, Options{})
	if got := w.m.LargestTargets(3); len(got) != 0 {
		t.Errorf("LargestTargets(3) = %v without targets, want none", got)
	}
	config := "scrape_configs:\n"
	for i := range 5 {
		addr := fmt.Sprintf("t%d:80", i)
		var body strings.Builder
		for n := range 100 * (i%3 + 1) {
			fmt.Fprintf(&body, "m%d{t=\"%d\"} 1\n", n, i)
		}
		w.export(addr, body.String())
		config += fmt.Sprintf("- job_name: j%d\n  static_configs: [{targets: ['%s']}]\n", i, addr)
	}
	w.apply(config)
	w.scrapeNow()
	got := w.m.LargestTargets(3)
	if len(got) != 3 || got[0].Job != "j2" || got[0].Series < 300 || got[1].Series < 200 || got[2].Series < 200 || got[0].MemoryBytes == 0 {
		t.Errorf("LargestTargets(3) = %+v, want the largest, and then the two of 200 series", got)
	}
	if got := w.m.LargestTargets(9); len(got) != 5 {
		t.Errorf("LargestTargets(9) has %d targets, want all 5", len(got))
	}
}

// TestFirst compares the first n with those of a sorted slice.
func TestFirst(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f := first[int]{n: random.IntN(8), compare: cmp.Compare[int]}
		var all []int
		for range random.IntN(30) {
			x := random.IntN(40)
			all = append(all, x)
			f.add(x)
		}
		slices.Sort(all)
		if want := all[:min(f.n, len(all))]; !slices.Equal(f.all, want) {
			t.Fatalf("the first %d of %v are %v, want %v", f.n, all, f.all, want)
		}
	}
}

// manyTargets is a Manager of n targets of which nothing is known but what they cost, and which does nothing. The odd ones
// are held if held says so.
func manyTargets(n int, held bool) *Manager {
	m := &Manager{}
	m.short.held = make(map[*target]struct{})
	j := &job{state: &jobState{cfg: &config.Job{Name: "j"}}, targets: make(map[specKey]*target)}
	m.jobs = append(m.jobs, j)
	at := time.Unix(1700000000, 0)
	for i := range n {
		shuffled := i * 7919 % n
		t := &target{id: uint64(i), state: j.state, cost: cost{kept: int64(1 + shuffled)}}
		t.spec = &spec{url: fmt.Sprintf("http://user:pw@10.0.%d.%d:9100/metrics?token=x", i/256, i%256)}
		if held && i%2 == 1 {
			t.held = Held{Reason: SkipShed, Since: at.Add(time.Duration(shuffled) * time.Second)}
			m.short.held[t] = struct{}{}
		}
		j.targets[specKey{byte(i), byte(i >> 8), byte(i >> 16)}] = t
	}
	return m
}

// TestMemoryStateIsBounded: of many targets those are told of which matter most, without a copy of all, and without what is
// secret in their URLs.
func TestMemoryStateIsBounded(t *testing.T) {
	const n = 5000
	m := manyTargets(n, true)
	s := m.MemoryState()
	if s.HeldTargets != n/2 || len(s.Held) != MaxHeld || len(s.Next) != MaxShedNext {
		t.Fatalf("MemoryState() has %d held targets, lists %d and %d which would be next, want %d, %d, %d", s.HeldTargets, len(s.Held), len(s.Next), n/2, MaxHeld, MaxShedNext)
	}
	var costs int64
	for i := 1; i < n; i += 2 {
		costs += int64(1 + i*7919%n)
	}
	if got := m.HeldBytes(); got != costs {
		t.Errorf("HeldBytes() = %d, want %d", got, costs)
	}
	sorted := slices.IsSortedFunc(s.Held, func(a, b HeldTarget) int { return a.Held.Since.Compare(b.Held.Since) })
	if first := s.Held[0]; !sorted || first.Held.Since.Unix() > 1700000001 || first.Bytes > 2 {
		t.Errorf("the longest held target is %+v, sorted: %v", first, sorted)
	}
	for i, x := range s.Next {
		if want := int64(n - 1 - 2*i); x.Bytes != want || x.Held != (Held{}) { // the odd ones are held, and cost even numbers
			t.Errorf("next but %d is one of %d bytes, want %d", i, x.Bytes, want)
		}
	}
	for _, u := range []string{s.Next[0].URL, s.Held[MaxHeld-1].URL} {
		if !strings.HasPrefix(u, "http://10.0.") || !strings.HasSuffix(u, "?token=xxx") {
			t.Errorf("the URL %q shows what is secret", u)
		}
	}
	if got := testing.AllocsPerRun(5, func() { m.MemoryState() }); got > 20*(MaxHeld+MaxShedNext) {
		t.Errorf("MemoryState() of %d targets allocates %v times, want as often as it has entries", n, got)
	}
}

// How long scrapes cannot begin while somebody looks.
func BenchmarkMemoryState(b *testing.B) {
	for _, held := range []bool{false, true} {
		b.Run(fmt.Sprintf("targets=10000/held=%v", held), func(b *testing.B) {
			m := manyTargets(10_000, held)
			b.ReportAllocs()
			for b.Loop() {
				m.memoryState()
			}
		})
	}
}
