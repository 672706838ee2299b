package zstdframe

import "math/bits"

// The modes of a code in a block.
const (
	modePredefined = 0
	modeEqual      = 1 // all symbols are the same
	modeTable      = 2
	modeRepeat     = 3 // the table of the block before
)

// alphabet is one of the three codes which a block has.
type alphabet uint8

const (
	literalLengths alphabet = iota
	offsets
	matchLengths
)

// maxSymbols is more than any alphabet has.
const maxSymbols = 64

// predefined are the probabilities of a table which need not be sent; -1 is less than one.
var predefined = [...]struct {
	log  uint
	norm []int16
	// maxLog is the most for tables which are sent.
	maxLog uint
}{
	literalLengths: {6, []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
	}, 9},
	offsets: {5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}, 8},
	matchLengths: {6, []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
	}, 9},
}

// coder writes one of the codes of a frame's blocks by finite state entropy.
type coder struct {
	alphabet alphabet
	count    [maxSymbols]uint32 // of the current block
	// table is what the current block is coded by; repeat says that a decoder knows it after that block.
	table  table
	repeat bool
	equal  bool // the block's symbols are all the same, and take no bits

	known table // the predefined one, once it was needed
}

// table is a code: for each symbol, by the state after it, the state before it and the bits which lead from one to the other.
type table struct {
	log    uint
	norm   [maxSymbols]int16 // probabilities; the sum is 1 << log, where -1 counts as 1
	states [1 << 9]uint16
	syms   [maxSymbols]transition
}

// transition is how a symbol is coded: from state s by (s+bits)>>16 bits, to states[s>>those + first].
type transition struct {
	bits  uint32
	first int32
}

// begin readies the coder for a frame.
func (c *coder) begin(a alphabet) {
	c.alphabet, c.repeat = a, false
}

// choose chooses how the current block, of n sequences, is coded, by what that costs, and appends what the decoder needs to
// know for it. It empties the counts.
func (c *coder) choose(dst []byte, n int) (_ []byte, mode byte) {
	defer clear(c.count[:])
	distinct, last := 0, 0
	for s, k := range c.count {
		if k > 0 {
			distinct, last = distinct+1, s
		}
	}
	p := &predefined[c.alphabet]
	if c.known.log == 0 {
		c.known.build(p.log, p.norm)
	}
	c.equal = distinct == 1
	if c.equal {
		c.repeat = false
		return append(dst, byte(last)), modeEqual
	}
	log := min(max(uint(bits.Len(uint(n)))-2, 5, uint(bits.Len(uint(distinct)))), p.maxLog)
	var norm [maxSymbols]int16
	normalize(norm[:last+1], c.count[:last+1], n, log)
	at := len(dst)
	dst = appendNorm(dst, norm[:last+1], log)
	best, mode := cost(&c.count, norm[:], log)+uint64(len(dst)-at)*8<<costBits, byte(modeTable)
	if k := cost(&c.count, c.known.norm[:], p.log); k <= best {
		best, mode = k, modePredefined
	}
	if c.repeat {
		if k := cost(&c.count, c.table.norm[:], c.table.log); k <= best {
			return dst[:at], modeRepeat
		}
	}
	if mode == modePredefined {
		c.table, c.repeat = c.known, true
		return dst[:at], mode
	}
	c.table.build(log, norm[:last+1])
	c.repeat = true
	return dst, mode
}

// first returns the state after the block's last symbol.
func (c *coder) first(s uint8) uint32 {
	if c.equal {
		return 0
	}
	t := &c.table.syms[s]
	n := (t.bits + 1<<15) >> 16
	return uint32(c.table.states[int32((n<<16-t.bits)>>n)+t.first])
}

// next writes the bits which lead to state from that before it, after symbol s, and returns that one.
func (c *coder) next(b *bitWriter, state uint32, s uint8) uint32 {
	if c.equal {
		return 0
	}
	t := &c.table.syms[s]
	n := (state + t.bits) >> 16
	b.add(uint64(state&(1<<n-1)), uint(n))
	return uint32(c.table.states[int32(state>>n)+t.first])
}

// last writes the state which the decoder begins with.
func (c *coder) last(b *bitWriter, state uint32) {
	if !c.equal {
		b.add(uint64(state&(1<<c.table.log-1)), c.table.log)
		b.flush()
	}
}

// build makes a table of probabilities.
func (t *table) build(log uint, norm []int16) {
	clear(t.norm[:])
	copy(t.norm[:], norm)
	t.log = log
	size := 1 << log
	// Symbols of a probability less than one are at the end; the others are spread over the rest.
	var symbols [1 << 9]uint8
	high := size - 1
	var begin [maxSymbols + 1]int
	for s, n := range norm {
		if n == -1 {
			symbols[high] = uint8(s)
			high--
			n = 1
		}
		begin[s+1] = begin[s] + int(n)
	}
	at, step := 0, size>>1+size>>3+3
	for s, n := range norm {
		for range n { // none for -1
			symbols[at] = uint8(s)
			for at = (at + step) & (size - 1); at > high; at = (at + step) & (size - 1) {
			}
		}
	}
	next := begin
	for i, s := range symbols[:size] {
		t.states[next[s]] = uint16(size + i)
		next[s]++
	}
	for s, n := range norm {
		switch n {
		case 0:
		case 1, -1:
			t.syms[s] = transition{uint32(log)<<16 - uint32(size), int32(begin[s]) - 1}
		default:
			most := log - uint(bits.Len16(uint16(n-1))-1)
			t.syms[s] = transition{uint32(most)<<16 - uint32(n)<<most, int32(begin[s]) - int32(n)}
		}
	}
}

// normalize makes probabilities, of which the sum is 1 << log, of counts, of which it is total. There are at least two.
func normalize(norm []int16, count []uint32, total int, log uint) {
	size := 1 << log
	left, largest := size, 0
	for s, k := range count {
		if k == 0 {
			continue
		}
		n := max(1, (int(k)*size+total/2)/total)
		norm[s] = int16(n)
		left -= n
		if norm[s] > norm[largest] {
			largest = s
		}
	}
	for left < 0 && -left >= int(norm[largest])/2 {
		// Many rare symbols were rounded up, so the frequent ones give in turn.
		for s := range norm {
			if norm[s] > 1 && left < 0 {
				norm[s]--
				left++
			}
		}
	}
	norm[largest] += int16(left)
}

// appendNorm appends probabilities in the format's form.
func appendNorm(dst []byte, norm []int16, log uint) []byte {
	b := bitWriter{out: dst}
	b.add(uint64(log-5), 4)
	left := 1 << log
	for s := 0; left > 0; s++ {
		n := int(norm[s])
		// One of left+2 values, of which the first ones need a bit less.
		v, width := uint64(n+1), uint(bits.Len(uint(left+1)))
		short := uint64(1<<width-1) - uint64(left+1)
		switch {
		case v < short:
			b.add(v, width-1)
		case v < 1<<(width-1):
			b.add(v, width)
		default:
			b.add(v+short, width)
		}
		left -= max(n, -n)
		if n == 0 {
			more := 0
			for norm[s+1] == 0 {
				more++
				s++
			}
			for ; more >= 3; more -= 3 {
				b.add(3, 2)
				b.flush()
			}
			b.add(uint64(more), 2)
		}
		b.flush()
	}
	return b.close()
}

// costBits is the scale of costs: they are in parts of a bit.
const costBits = 8

// cost is what symbols take with a table, in parts of a bit; more than anything if it does not have them all.
func cost(count *[maxSymbols]uint32, norm []int16, log uint) (sum uint64) {
	for s, k := range count {
		if k == 0 {
			continue
		}
		n := norm[s]
		if n == 0 {
			return 1 << 60
		}
		sum += uint64(k) * uint64(int(log)<<costBits-log2(uint(max(n, -n))))
	}
	return sum
}

// log2 is about the logarithm of n, in parts of a bit.
func log2(n uint) int {
	k := bits.Len(n) - 1
	// Between powers of two it is nearly a line, and at most a twelfth of a bit above.
	return k<<costBits + int(n<<costBits>>k) - 1<<costBits
}
