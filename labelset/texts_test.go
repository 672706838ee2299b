package labelset

import (
	"math/rand/v2"
	"testing"
)

// TestTextsAgainstMap does random things to a table and to a map. Many hashes are alike, and many homes.
func TestTextsAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	x := newTexts(0)
	hashes := make(map[uint32]uint32) // by number
	var numbers []uint32
	for step := range 20_000 {
		if n := rnd.Uint32N(5000); rnd.IntN(1000) < 550 {
			if _, ok := hashes[n]; ok {
				continue
			}
			hash := rnd.Uint32() & 0xf800_00ff
			x.insert(hash, n)
			hashes[n] = hash
			numbers = append(numbers, n)
		} else if len(numbers) > 0 {
			i := rnd.IntN(len(numbers))
			x.remove(hashes[numbers[i]], numbers[i])
			delete(hashes, numbers[i])
			numbers[i] = numbers[len(numbers)-1]
			numbers = numbers[:len(numbers)-1]
		}
		if step%500 != 0 {
			continue
		}
		if x.n != len(hashes) {
			t.Fatalf("step %d: the table holds %d labels, want %d", step, x.n, len(hashes))
		}
		for n, hash := range hashes {
			found := 0
			for pos, ok := x.first(hash); ok; pos, ok = x.following(pos, hash) {
				if x.at(pos) == n {
					found++
				}
			}
			if found != 1 {
				t.Fatalf("step %d: number %d of hash %#x was found %d times, want once", step, n, hash, found)
			}
		}
	}
}
