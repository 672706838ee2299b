package slack

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestMap pins that a map gives back what a burst took, however slowly that goes, and holds what it held.
func TestMap(t *testing.T) {
	const burst, stay = 100_000, 10
	for _, atOnce := range []bool{true, false} {
		m, most := make(map[int]int), 0
		before := heap()
		for i := range burst {
			m[i] = i
		}
		m = Map(m, &most)
		for i := stay; i < burst; i++ {
			delete(m, i)
			if !atOnce {
				m = Map(m, &most)
			}
		}
		m = Map(m, &most)
		if grown := heap() - before; grown > 64<<10 {
			t.Errorf("at once %v: %d bytes are left of a burst of %d elements", atOnce, grown, burst)
		}
		want := make(map[int]int)
		for i := range stay {
			want[i] = i
		}
		if !maps.Equal(m, want) {
			t.Errorf("at once %v: Map() = %v, want %v", atOnce, m, want)
		}
	}
}

// TestMapIsLeftAlone pins that a map which holds most of what it held, or never held much, stays the same map.
func TestMapIsLeftAlone(t *testing.T) {
	for _, held := range []int{few, 1000} {
		m, most := make(map[int]int), 0
		for i := range held {
			m[i] = i
		}
		m = Map(m, &most)
		for i := held / 3; i < held; i++ {
			delete(m, i)
		}
		same := Map(m, &most)
		if m[-1] = 1; same[-1] != 1 {
			t.Errorf("a map which had %d elements, and has a third of them, was copied", held)
		}
	}
	var none map[int]int
	most := 0
	if Map(none, &most) != nil {
		t.Error("Map(nil) is not nil")
	}
}

// TestSlice pins the same of slices.
func TestSlice(t *testing.T) {
	s := make([]int, 1000)
	if got := Slice(s[:300]); cap(got) != cap(s) {
		t.Errorf("a slice of 300 in 1000 was copied")
	}
	for i := range s {
		s[i] = i
	}
	if got := Slice(s[:200]); cap(got) > 256 || !slices.Equal(got, s[:200]) {
		t.Errorf("Slice() of 200 in 1000 has room for %d", cap(got))
	}
	if got := Slice(s[:0]); cap(got) != 0 {
		t.Errorf("Slice() of an empty one has room for %d", cap(got))
	}
}

// heap is what lives, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
