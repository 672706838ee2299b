package labelcompress

import "math/bits"

// bitset is a set of small numbers which finds its smallest member in a few steps: each bit of a level says whether a
// word of the level below has any bit. Three levels of 64-bit words make 262,144 numbers. The zero value is empty.
type bitset struct {
	levels [3][]uint64 // from the members upwards
}

// bitsetSize is the first number that a bitset cannot hold.
const bitsetSize = 64 * 64 * 64

// add puts n into the set, and returns by how many bytes the set has grown.
func (s *bitset) add(n int) (grown int) {
	for l := range s.levels {
		word, bit := n>>6, n&63
		if word >= len(s.levels[l]) {
			old := cap(s.levels[l])
			s.levels[l] = append(s.levels[l], make([]uint64, word+1-len(s.levels[l]))...)
			grown += 8 * (cap(s.levels[l]) - old)
		}
		s.levels[l][word] |= 1 << bit
		n = word
	}
	return grown
}

// remove takes n, a member, out of the set.
func (s *bitset) remove(n int) {
	for l := range s.levels {
		word, bit := n>>6, n&63
		s.levels[l][word] &^= 1 << bit
		if s.levels[l][word] != 0 {
			return
		}
		n = word
	}
}

// least returns the smallest member, or -1 when the set is empty.
func (s *bitset) least() int {
	n := 0
	for l := len(s.levels) - 1; l >= 0; l-- {
		if n >= len(s.levels[l]) || s.levels[l][n] == 0 {
			return -1
		}
		n = n<<6 | bits.TrailingZeros64(s.levels[l][n])
	}
	return n
}
