package remotewrite

import (
	"encoding/binary"
	"math/bits"

	"scraper/batch"
	"scraper/labelcompress"
)

// rowReader walks the rows of an open block, which does not change meanwhile.
type rowReader struct {
	rest []byte

	// labels are the numbers of the current row's labels. Those which are set in mask are others than in the row before;
	// where listed is true, so may all be, and their number.
	labels []uint32
	mask   uint64
	listed bool

	kind     batch.Kind
	bits     uint64 // of the value
	ts       int64
	start    int64 // 0: none
	metadata int   // -1: none
	payload  []byte
	// first and n are the numbers of an exemplar's labels, which follow each other.
	first, n uint32

	common, custom bool // see nextCommon
}

func (b *builder) reader(scratch []uint32) rowReader {
	x := rowReader{labels: scratch[:0]}
	if b.data != nil {
		x.rest = b.data.B
	}
	return x
}

// next moves to the next row, and reports whether there is one.
func (x *rowReader) next() bool {
	if x.common {
		return x.nextCommon()
	}
	return x.advance()
}

func (x *rowReader) advance() bool {
	if len(x.rest) == 0 {
		return false
	}
	p := x.rest
	head := p[0]
	p = p[1:]
	x.kind = batch.Kind(head & rowKind)
	x.mask, x.listed = 0, head&rowListed != 0
	switch {
	case head&rowMasked != 0:
		var k int
		if x.mask, k = uint64(p[0]), 1; x.mask >= 0x80 {
			x.mask, k = binary.Uvarint(p)
		}
		p = p[k:]
		for m := x.mask; m != 0; m &= m - 1 {
			var n uint32
			n, p = takeNumber(p)
			x.labels[bits.TrailingZeros64(m)] = n
		}
	case x.listed:
		var n, label uint32
		n, p = takeNumber(p)
		x.labels = x.labels[:0]
		for range n {
			label, p = takeNumber(p)
			x.labels = append(x.labels, label)
		}
	}
	if head&rowTime != 0 {
		d, k := binary.Varint(p)
		x.ts, p = x.ts+d, p[k:]
	}
	x.start = 0
	if head&rowStart != 0 {
		d, k := binary.Varint(p)
		x.start, p = x.ts+d, p[k:]
	}
	x.metadata = -1
	if head&rowMetadata != 0 {
		var n uint32
		n, p = takeNumber(p)
		x.metadata = int(n)
	}
	x.bits, x.payload = 0, nil
	if x.kind != batch.KindHistogram {
		x.bits, p = binary.LittleEndian.Uint64(p), p[8:]
	} else {
		var n uint32
		n, p = takeNumber(p)
		x.payload, p = p[:n:n], p[n:]
	}
	if x.kind == batch.KindExemplar {
		if x.n, p = takeNumber(p); x.n > 0 {
			x.first, p = takeNumber(p)
		}
	}
	x.rest = p
	return true
}

// exemplarFollows reports whether the next row is an exemplar of the current row's series.
func (x *rowReader) exemplarFollows() bool {
	return len(x.rest) > 0 && x.rest[0]&(rowKind|rowMasked|rowListed) == byte(batch.KindExemplar)
}

// takeNumber reads a variable-length integer of up to 32 bits from the beginning of p.
func takeNumber(p []byte) (uint32, []byte) {
	if p[0] < 0x80 {
		return uint32(p[0]), p[1:]
	}
	if len(p) > 1 && p[1] < 0x80 {
		return uint32(p[0]&0x7f) | uint32(p[1])<<7, p[2:]
	}
	n, k := binary.Uvarint(p)
	return uint32(n), p[k:]
}

// split returns views of a label's name and value.
func (b *builder) split(n uint32) (name, value []byte) {
	name, value, _ = labelcompress.SplitLabel(b.wire(n))
	return name, value
}
