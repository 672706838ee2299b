package remotewrite

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"scraper/batch"
)

// The wire form of remote write 2:
//
//	Request:    repeated field 4, symbols, the first of which is empty; repeated field 5, TimeSeries
//	TimeSeries: field 1, references into the symbols, name and value of each label, packed; then one of
//	            field 2, Sample: value 1, timestamp 2, start timestamp 3
//	            field 3, Histogram: as it came, its timestamp, 15, and start timestamp, 17
//	            and field 4, Exemplar: references 1, value 2, timestamp 3; field 5, metadata (metadata.go)
//
// The symbols stand first, which nothing demands, so that a receiver can read on without looking back.
const (
	tagSymbol2    = 4<<3 | 2
	tagSeries2    = 5<<3 | 2
	tagRefs2      = 1<<3 | 2
	tagHistogram2 = 3<<3 | 2
	tagExemplar2  = 4<<3 | 2
)

// encoder2 writes an open block in remote write 2.
type encoder2 struct {
	seed    maphash.Seed
	symbols []labelSpan // in the block's text; the number of the first is 1
	table   []uint32    // symbols by their hash; 0 is free
	shift   uint8

	refs []uint64 // by label, the references of its name and value, as variable-length integers
	lens []uint8  // of these, bytes: at most 8, since no block has 2^28 symbols

	help, unit []uint32 // by metadata, the symbols
	tail       []byte
}

// run writes b to out.
func (e *encoder2) run(b *builder, ws *workspace, out *output) {
	e.collect(b)
	out.room(rowReserve)
	out.buf.B = append(out.buf.B, tagSymbol2, 0)
	for _, s := range e.symbols {
		out.room(int(s.n) + 8)
		out.buf.B = binary.AppendUvarint(append(out.buf.B, tagSymbol2), uint64(s.n))
		out.buf.B = append(out.buf.B, b.text.B[s.at:s.at+s.n]...)
	}
	rows := b.reader(ws.labels)
	for rows.next() {
		e.tail = e.appendTail(e.tail[:0], b, &rows)
		refBytes := 0
		for _, n := range rows.labels {
			refBytes += int(e.lens[n])
		}
		n := len(e.tail)
		if refBytes > 0 {
			n += 1 + uvarintLen(refBytes) + refBytes
		}
		out.room(n + 16) // since 8 bytes are written for each label
		dst := binary.AppendUvarint(append(out.buf.B, tagSeries2), uint64(n))
		if refBytes > 0 {
			dst = binary.AppendUvarint(append(dst, tagRefs2), uint64(refBytes))
			at := len(dst)
			dst = dst[:at+refBytes+8]
			for _, n := range rows.labels {
				binary.LittleEndian.PutUint64(dst[at:], e.refs[n])
				at += int(e.lens[n])
			}
			dst = dst[:at]
		}
		out.buf.B = append(dst, e.tail...)
	}
	ws.labels = rows.labels
}

// appendTail appends what follows the labels of the current row, and of the exemplars which belong to it. It moves rows
// behind those.
func (e *encoder2) appendTail(dst []byte, b *builder, rows *rowReader) []byte {
	metadata := rows.metadata
	switch rows.kind {
	case batch.KindHistogram:
		dst = appendHistogram(dst, tagHistogram2, rows.payload, rows.ts, rows.start)
	case batch.KindExemplar:
		dst = e.appendExemplar(dst, b, rows)
	default:
		dst = appendSample(dst, rows.bits, rows.ts, rows.start)
	}
	for rows.exemplarFollows() && rows.next() {
		dst = e.appendExemplar(dst, b, rows)
	}
	if metadata >= 0 {
		dst = appendMetadata2(dst, b.metas[metadata].typ, e.help[metadata], e.unit[metadata])
	}
	return dst
}

func (e *encoder2) appendExemplar(dst []byte, b *builder, r *rowReader) []byte {
	refs := 0
	for i := range r.n {
		refs += int(e.lens[r.first+i])
	}
	n := pointBytes(r.bits, r.ts)
	if refs > 0 {
		n += 1 + uvarintLen(refs) + refs
	}
	dst = binary.AppendUvarint(append(dst, tagExemplar2), uint64(n))
	if refs > 0 {
		dst = binary.AppendUvarint(append(dst, tagRefs2), uint64(refs))
		for i := range r.n {
			var ref [8]byte
			binary.LittleEndian.PutUint64(ref[:], e.refs[r.first+i])
			dst = append(dst, ref[:e.lens[r.first+i]]...)
		}
	}
	if r.bits != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, tagDouble2), r.bits)
	}
	if r.ts != 0 {
		dst = binary.AppendUvarint(append(dst, tagVarint3), uint64(r.ts))
	}
	return dst
}

// collect makes the symbols of a block, each of which stands once.
func (e *encoder2) collect(b *builder) {
	const most = 64 << 10
	if cap(e.refs) > most && len(b.label) < most { // an unusual block's
		*e = encoder2{seed: e.seed}
	}
	clear(e.table)
	e.symbols, e.refs, e.lens, e.help, e.unit = e.symbols[:0], e.refs[:0], e.lens[:0], e.help[:0], e.unit[:0]
	for n := range b.label {
		name, value := b.split(uint32(n))
		end := b.label[n].at + b.label[n].n
		valueAt := end - uint32(len(value))
		nameAt := valueAt - uint32(1+uvarintLen(len(value))) - uint32(len(name))
		var ref [16]byte
		p := binary.AppendUvarint(ref[:0], uint64(e.symbol(b, labelSpan{nameAt, uint32(len(name))})))
		p = binary.AppendUvarint(p, uint64(e.symbol(b, labelSpan{valueAt, uint32(len(value))})))
		e.refs = append(e.refs, binary.LittleEndian.Uint64(ref[:]))
		e.lens = append(e.lens, uint8(len(p)))
	}
	for _, m := range b.metas {
		at := m.at + m.family
		e.help = append(e.help, e.symbol(b, labelSpan{at, m.help}))
		e.unit = append(e.unit, e.symbol(b, labelSpan{at + m.help, m.unit}))
	}
}

// symbol returns the number of the symbol whose text is given, which is 0 where it is empty.
func (e *encoder2) symbol(b *builder, s labelSpan) uint32 {
	if s.n == 0 {
		return 0
	}
	if 4*len(e.symbols) >= 3*len(e.table) {
		e.grow(b)
	}
	text := b.text.B[s.at : s.at+s.n]
	for i := e.home(text); ; i = (i + 1) & (len(e.table) - 1) {
		n := e.table[i]
		if n == 0 {
			e.symbols = append(e.symbols, s)
			e.table[i] = uint32(len(e.symbols))
			return e.table[i]
		}
		if o := e.symbols[n-1]; o.n == s.n && string(b.text.B[o.at:o.at+o.n]) == string(text) {
			return n
		}
	}
}

func (e *encoder2) home(text []byte) int {
	return int(maphash.Bytes(e.seed, text) >> (e.shift & 63))
}

func (e *encoder2) grow(b *builder) {
	n := max(256, 2*len(e.table))
	e.table, e.shift = make([]uint32, n), uint8(64-bits.TrailingZeros(uint(n)))
	for k, s := range e.symbols {
		i := e.home(b.text.B[s.at : s.at+s.n])
		for e.table[i] != 0 {
			i = (i + 1) & (n - 1)
		}
		e.table[i] = uint32(k + 1)
	}
}
