package scrape

import (
	"math/rand/v2"
	"testing"
)

// TestIndexAgainstMap looks up what was inserted, by hashes of which many are alike, or begin or end alike.
func TestIndexAgainstMap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 7, 1000, 20_000, 200_000, 60_000} {
		x := newIndex(100_000, 100)
		x.insert(1, 1)
		for _, first := range []uint32{0, 1<<leastTagShift - 1001, 1 << 27} {
			if first == 0 {
				x = newIndex(n, uint32(n))
			} else {
				x.reset(n, first+uint32(n))
			}
			want := make(map[uint64][]uint32)
			for i := range uint32(n) {
				hash := []uint64{rnd.Uint64(), rnd.Uint64() >> 54, rnd.Uint64() << 54, 1<<64 - 1}[min(rnd.IntN(100), 3)%4]
				if len(want[hash]) > 100 {
					hash = rnd.Uint64()
				}
				if !x.takes(first + i) {
					t.Fatalf("an index with room for %d entries does not take number %d", n, first+i)
				}
				x.insert(hash, first+i)
				want[hash] = append(want[hash], first+i)
			}
			if x.takes(first + uint32(n)) {
				t.Errorf("an index with room for %d entries takes one more", n)
			}
			for hash, entries := range want {
				found := make(map[uint32]int)
				for pos, ok := x.first(hash); ok; pos, ok = x.following(pos, hash) {
					found[x.at(pos)]++
				}
				for _, e := range entries {
					if found[e] != 1 {
						t.Fatalf("%d entries from %d: entry %d was found %d times, want once", n, first, e, found[e])
					}
				}
			}
			for pos, ok := x.first(rnd.Uint64()); ok; pos, ok = x.following(pos, 0) { // ends
				_ = pos
			}
		}
	}
}

// TestIndexDoesNotTakeLargeNumbers: an entry whose number has no room in a slot needs another index.
func TestIndexDoesNotTakeLargeNumbers(t *testing.T) {
	x := newIndex(10, 10)
	const most = 1<<leastTagShift - 2
	if !x.takes(most) || x.takes(most+1) {
		t.Errorf("takes(%d) = %v, takes(%d) = %v, want true, false", most, x.takes(most), most+1, x.takes(most+1))
	}
	x.insert(42, most)
	if pos, ok := x.first(42); !ok || x.at(pos) != most {
		t.Errorf("entry %d was not found", most)
	}
}
