package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"

	"scraper/batch"
	"scraper/labelcompress"
)

// The wire form of remote write 1, protocol buffers without any library:
//
//	WriteRequest: repeated field 1, TimeSeries; repeated field 3, metadata (metadata.go)
//	TimeSeries:   repeated field 1, Label (name 1, value 2); then one of
//	              field 2, Sample: value 1 (8 bytes), timestamp in milliseconds 2 (variable-length)
//	              field 3, Exemplar: labels 1, value 2, timestamp 3
//	              field 4, Histogram: as it came, and its timestamp, 15
//
// One series is one row here. A series' length stands before it, and is known only behind it: two bytes are left free for it,
// which nearly always fit, since they hold 128 to 16383.
const (
	tagSeries      = 1<<3 | 2
	tagSample      = 2<<3 | 2
	tagExemplar    = 3<<3 | 2
	tagHistogram   = 4<<3 | 2
	tagDouble1     = 1<<3 | 1 // Sample.value
	tagDouble2     = 2<<3 | 1 // Exemplar.value
	tagVarint2     = 2 << 3   // Sample.timestamp
	tagVarint3     = 3 << 3   // Exemplar.timestamp, Sample.start_timestamp of version 2
	tagHistTime    = 15 << 3
	seriesHead     = 3 // the tag, and two bytes for the length
	maxSampleBytes = 2 + 9 + 11 + 11
)

// encoder1 writes an open block in remote write 1. Series which follow each other differ in one or two labels, so the others are
// copied from the series before, as many at a time as stand together there. (Copying each label alone takes twice the time.)
type encoder1 struct {
	ends  []int // where each label of the series before ends, from start on
	spare []int
	start int // where its labels begin in the buffer
}

// run writes b's rows and metadata to out; its exemplars only if they are wanted.
func (e *encoder1) run(b *builder, ws *workspace, out *output, exemplars bool) {
	for _, m := range b.metas {
		if m.byFamily {
			out.room(metadataBytes1(m))
			out.buf.B = appendMetadata1(out.buf.B, m, b.text.B)
		}
	}
	fresh := true // the series before is not in the buffer
	rows := b.reader1(ws.labels)
	for rows.next() {
		if rows.kind == batch.KindExemplar && !exemplars {
			// What the next row says of its labels refers to this one's. They are others only where the exemplar is
			// not its series' own.
			fresh = fresh || rows.listed || rows.mask != 0
			continue
		}
		fresh = out.room(rowReserve) || fresh
		out.buf.B = e.series(out.buf.B, b, &rows, fresh)
		fresh = false
	}
	ws.labels = rows.labels
}

// series appends a series of one row to dst.
func (e *encoder1) series(dst []byte, b *builder, r *rowReader, fresh bool) []byte {
	head := len(dst)
	dst = append(dst, tagSeries, 0, 0)
	start := len(dst)
	switch {
	case fresh || r.listed:
		e.ends = e.ends[:0]
		for _, n := range r.labels {
			dst = append(dst, b.wire(n)...)
			e.ends = append(e.ends, len(dst)-start)
		}
	case r.mask == 0:
		if n := len(e.ends); n > 0 {
			dst = append(dst, dst[e.start:e.start+e.ends[n-1]]...)
		}
	default:
		ends := e.spare[:0]
		for i := 0; i < len(r.labels); {
			if r.mask>>i&1 != 0 {
				dst = append(dst, b.wire(r.labels[i])...)
				ends = append(ends, len(dst)-start)
				i++
				continue
			}
			end := len(r.labels) // of those which stand together
			if m := r.mask >> i; m != 0 {
				end = i + bits.TrailingZeros64(m)
			}
			from := 0
			if i > 0 {
				from = e.ends[i-1]
			}
			shift := len(dst) - start - from
			dst = append(dst, dst[e.start+from:e.start+e.ends[end-1]]...)
			for ; i < end; i++ {
				ends = append(ends, e.ends[i]+shift)
			}
		}
		e.ends, e.spare = ends, e.ends
	}
	switch r.kind {
	case batch.KindHistogram:
		dst = appendHistogram(dst, tagHistogram, r.payload, r.ts, 0)
	case batch.KindExemplar:
		dst = appendExemplar1(dst, b, r)
	default:
		dst = appendSample(dst, r.bits, r.ts, 0)
	}
	dst, moved := finishSeries(dst, head)
	e.start = start + moved
	return dst
}

// appendExemplar1 appends the current row's exemplar.
func appendExemplar1(dst []byte, b *builder, r *rowReader) []byte {
	dst = binary.AppendUvarint(append(dst, tagExemplar), uint64(exemplarBytes1(r, b)))
	for i := range r.n {
		dst = append(dst, b.wire(r.first+i)...)
	}
	if r.bits != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, tagDouble2), r.bits)
	}
	if r.ts != 0 {
		dst = binary.AppendUvarint(append(dst, tagVarint3), uint64(r.ts))
	}
	return dst
}

// appendSample appends a sample, with its start if that is known: only version 2 has it. What is zero is left out, as
// protocol buffers have it; but -0 is not zero. The value comes last, behind the timestamp: what is the same in the next
// series' sample is in one piece then, together with the labels before it, which saves a compressor a reference.
func appendSample(dst []byte, value uint64, tsMillis, startMillis int64) []byte {
	i := len(dst)
	dst = append(dst, tagSample, 0)
	if tsMillis != 0 {
		dst = append(dst, tagVarint2)
		dst = binary.AppendUvarint(dst, uint64(tsMillis))
	}
	if startMillis != 0 {
		dst = append(dst, tagVarint3)
		dst = binary.AppendUvarint(dst, uint64(startMillis))
	}
	if value != 0 {
		dst = append(dst, tagDouble1)
		dst = binary.LittleEndian.AppendUint64(dst, value)
	}
	dst[i+1] = byte(len(dst) - i - 2) // 31 at most
	return dst
}

// appendHistogram appends a histogram as a field with the given tag.
func appendHistogram(dst []byte, tag byte, payload []byte, tsMillis, startMillis int64) []byte {
	n := len(payload)
	if tsMillis != 0 {
		n += 1 + varintLen(uint64(tsMillis))
	}
	if startMillis != 0 {
		n += 2 + varintLen(uint64(startMillis))
	}
	dst = binary.AppendUvarint(append(dst, tag), uint64(n))
	dst = append(dst, payload...)
	if tsMillis != 0 {
		dst = binary.AppendUvarint(append(dst, tagHistTime), uint64(tsMillis))
	}
	if startMillis != 0 {
		const tag = 17 << 3
		dst = binary.AppendUvarint(append(dst, tag&0x7f|0x80, tag>>7), uint64(startMillis))
	}
	return dst
}

// exemplarBytes1 is the length of the current row's Exemplar message.
func exemplarBytes1(r *rowReader, b *builder) (n int) {
	for i := range r.n {
		n += int(b.label[r.first+i].n)
	}
	return n + pointBytes(r.bits, r.ts)
}

// pointBytes is the bytes of a value and a timestamp within a message.
func pointBytes(value uint64, tsMillis int64) (n int) {
	if value != 0 {
		n = 9
	}
	if tsMillis != 0 {
		n += 1 + varintLen(uint64(tsMillis))
	}
	return n
}

// rowBytes1 is the bytes which a row, whose labels take labelBytes, takes in version 1, and in its form without exemplars.
func (b *builder) rowBytes1(r *row, labelBytes int) (with, without int) {
	value := math.Float64bits(r.value)
	n := 0
	switch r.kind {
	case batch.KindHistogram:
		n = len(r.payload) + pointBytes(0, r.tsMillis)
	case batch.KindExemplar:
		n = pointBytes(value, r.tsMillis)
		for wire := r.payload; len(wire) > 0; {
			_, _, rest := labelcompress.SplitLabel(wire)
			n += len(wire) - len(rest)
			wire = rest
		}
	default:
		n = pointBytes(value, r.tsMillis)
	}
	n += labelBytes + 1 + uvarintLen(n)
	n += 1 + uvarintLen(n)
	if r.kind == batch.KindExemplar {
		return n, 0
	}
	return n, n
}

// finishSeries writes the length of the series that begins at start into the room left for it, and returns by how many
// bytes the labels had to move for it.
func finishSeries(dst []byte, start int) (_ []byte, moved int) {
	n := len(dst) - start - seriesHead
	if n >= 1<<7 && n < 1<<14 {
		dst[start+1] = byte(n) | 0x80
		dst[start+2] = byte(n >> 7)
		return dst, 0
	}
	k := uvarintLen(n)
	moved = 1 + k - seriesHead
	for range moved {
		dst = append(dst, 0)
	}
	copy(dst[start+1+k:], dst[start+seriesHead:start+seriesHead+n])
	binary.PutUvarint(dst[start+1:], uint64(n))
	return dst[:start+1+k+n], moved
}

// uvarintLen is the number of bytes of n as a variable-length integer.
func uvarintLen(n int) int { return varintLen(uint64(n)) }

func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
