package zstdframe

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/huff0"
)

// The types of a block's literals.
const (
	rawLiterals      = 0
	equalLiterals    = 1
	huffmanLiterals  = 2
	treelessLiterals = 3 // by the table of a block before
)

// appendLiterals appends the literals' section of the current block.
func (w *Writer) appendLiterals(dst []byte) []byte {
	p := w.literals
	const few = 32 // so few are not worth a table
	if len(p) <= few {
		return append(appendLiteralsHead(dst, rawLiterals, len(p)), p...)
	}
	if !w.hasTable {
		w.huff.Reuse = huff0.ReusePolicyNone // those of another frame
	} else {
		w.huff.Reuse = huff0.ReusePolicyAllow
	}
	const oneStream = 1 << 10 // more are in four, which are decoded faster
	compress := huff0.Compress4X
	if len(p) < oneStream {
		compress = huff0.Compress1X
	}
	packed, reused, err := compress(p, &w.huff)
	switch {
	case err == huff0.ErrUseRLE:
		return append(appendLiteralsHead(dst, equalLiterals, len(p)), p[0])
	case err != nil: // not to be compressed
		return append(appendLiteralsHead(dst, rawLiterals, len(p)), p...)
	}
	w.hasTable = true
	kind := uint64(huffmanLiterals)
	if reused {
		kind = treelessLiterals
	}
	format, width, bytes := uint64(0), 10, 3
	switch n := bits.Len(uint(max(len(p), len(packed)))); {
	case len(p) < oneStream:
	case n <= 10:
		format = 1
	case n <= 14:
		format, width, bytes = 2, 14, 4
	default:
		format, width, bytes = 3, 18, 5
	}
	h := kind | format<<2 | uint64(len(p))<<4 | uint64(len(packed))<<(4+width)
	for range bytes {
		dst = append(dst, byte(h))
		h >>= 8
	}
	return append(dst, packed...)
}

// appendLiteralsHead appends the header of n literals which are not compressed, or all the same.
func appendLiteralsHead(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		h := kind | 1<<2 | n<<4
		return append(dst, byte(h), byte(h>>8))
	}
	h := kind | 3<<2 | n<<4
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// seqCodes are the codes of a sequence's three numbers.
type seqCodes struct{ literals, offset, match uint8 }

// appendSequences appends the sequences' section of the current block.
func (w *Writer) appendSequences(dst []byte) []byte {
	n := len(w.seqs)
	switch {
	case n < 128:
		dst = append(dst, byte(n))
	default: // at most maxSequences
		dst = append(dst, byte(n>>8)|0x80, byte(n))
	}
	if n == 0 {
		return dst
	}
	w.codes = w.codes[:0]
	for _, s := range w.seqs {
		c := seqCodes{literalCode(s.literals), uint8(bits.Len32(s.offset) - 1), matchCode(s.matchLen)}
		w.codes = append(w.codes, c)
		w.lit.count[c.literals]++
		w.off.count[c.offset]++
		w.match.count[c.match]++
	}
	modes := len(dst)
	dst = append(dst, 0)
	var m [3]byte
	dst, m[0] = w.lit.choose(dst, n)
	dst, m[1] = w.off.choose(dst, n)
	dst, m[2] = w.match.choose(dst, n)
	dst[modes] = m[0]<<6 | m[1]<<4 | m[2]<<2

	// The decoder reads from the end, so what it reads first is written last.
	b := bitWriter{out: dst}
	last := w.codes[n-1]
	match, off, lit := w.match.first(last.match), w.off.first(last.offset), w.lit.first(last.literals)
	w.extra(&b, n-1)
	for i := n - 2; i >= 0; i-- {
		c := w.codes[i]
		off = w.off.next(&b, off, c.offset)
		match = w.match.next(&b, match, c.match)
		lit = w.lit.next(&b, lit, c.literals)
		b.flush() // 24 bits of an offset, 26 of states, and less than 8
		w.extra(&b, i)
	}
	w.match.last(&b, match)
	w.off.last(&b, off)
	w.lit.last(&b, lit)
	return b.end()
}

// extra writes what the codes of a sequence leave open.
func (w *Writer) extra(b *bitWriter, i int) {
	s, c := &w.seqs[i], w.codes[i]
	b.add(uint64(s.literals-literalBase[c.literals]), uint(literalBits[c.literals]))
	b.add(uint64(s.matchLen-matchBase[c.match]), uint(matchBits[c.match]))
	b.flush() // 32 bits, and less than 8
	b.add(uint64(s.offset&(1<<c.offset-1)), uint(c.offset))
}

// literalCode is the code of a number of literals.
func literalCode(n uint32) uint8 {
	switch {
	case n < 16:
		return uint8(n)
	case n < 64:
		for c := uint8(24); ; c-- {
			if literalBase[c] <= n {
				return c
			}
		}
	}
	return uint8(bits.Len32(n) + 18)
}

// matchCode is the code of a match's length.
func matchCode(n uint32) uint8 {
	n -= MinMatch
	switch {
	case n < 32:
		return uint8(n)
	case n < 128:
		for c := uint8(42); ; c-- {
			if matchBase[c]-MinMatch <= n {
				return c
			}
		}
	}
	return uint8(bits.Len32(n) + 35)
}

// The least number of each code, and how many bits say how much more it is.
var (
	literalBase = [...]uint32{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48,
		1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16,
	}
	literalBits = [...]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4,
		6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	}
	matchBase = [...]uint32{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
		35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 1<<7 + 3, 1<<8 + 3, 1<<9 + 3, 1<<10 + 3, 1<<11 + 3, 1<<12 + 3, 1<<13 + 3,
		1<<14 + 3, 1<<15 + 3, 1<<16 + 3,
	}
	matchBits = [...]uint8{
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	}
)

// bitWriter writes bits from the lowest on. At most 56 bits are added between two flushes.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

func (b *bitWriter) add(v uint64, n uint) {
	b.bits |= v << (b.n & 63)
	b.n += n
}

// flush writes all whole bytes.
func (b *bitWriter) flush() {
	k := len(b.out)
	if cap(b.out)-k < 8 {
		b.out = slices.Grow(b.out, 4<<10)
	}
	binary.LittleEndian.PutUint64(b.out[k:k+8], b.bits)
	b.out = b.out[:k+int(b.n>>3)]
	b.bits >>= b.n & 56
	b.n &= 7
}

// end writes what is left, and a bit which marks the end.
func (b *bitWriter) end() []byte {
	b.add(1, 1)
	return b.close()
}

// close writes what is left.
func (b *bitWriter) close() []byte {
	for b.flush(); b.n > 0; b.n -= min(b.n, 8) {
		b.out = append(b.out, byte(b.bits))
	}
	return b.out
}
