package remotewrite

import (
	"encoding/binary"
	"math"

	"scraper/labelcompress"
	"scraper/relabel"
)

// The wire form of remote write 1, protocol buffers without any library:
//
//	WriteRequest: repeated field 1, TimeSeries
//	TimeSeries:   repeated field 1, Label (name 1, value 2); repeated field 2, Sample
//	Sample:       field 1, value (8 bytes); field 2, timestamp in milliseconds (variable-length)
//
// One series is one sample here. A series' length stands before it, and is known only behind it: two bytes are left free
// for it, which nearly always fit, since they hold 128 to 16383.
const (
	tagSeries      = 1<<3 | 2
	tagLabel       = 1<<3 | 2
	tagName        = 1<<3 | 2
	tagLabelValue  = 2<<3 | 2
	tagSample      = 2<<3 | 2
	tagSampleValue = 1<<3 | 1
	tagSampleTime  = 2 << 3

	seriesHead = 3 // the tag, and two bytes for the length
)

// seriesEncoder appends series to a buffer. Series which follow each other in a scrape differ in one or two labels, so the
// others are copied from the series before, as many at a time as stand together there. (Looking up each label and copying
// it alone takes twice the time.)
type seriesEncoder struct {
	refs  []labelcompress.Ref // of the series before; none when it must not be used
	ends  []int               // where each of its labels ends, from start on
	start int                 // where its labels begin in the buffer
	spare []int
}

// forget must be called when the buffer does not hold the series before any more, and when references may have got
// another meaning since.
func (e *seriesEncoder) forget() { e.refs = e.refs[:0] }

// append appends a series of one sample to dst, which is the buffer of the calls before, as long as nobody called forget.
// It borrows refs.
func (e *seriesEncoder) append(dst []byte, dict *labelcompress.Dict, refs []labelcompress.Ref, value float64, tsMillis int64) []byte {
	head := len(dst)
	dst = append(dst, tagSeries, 0, 0)
	start := len(dst)
	prev, ends := e.refs, e.spare[:0]
	for i, j := 0, 0; i < len(refs); {
		// Labels which are here and not there, or the other way round, shift the rest by one.
		switch r := refs[i]; {
		case j < len(prev) && prev[j] == r:
		case j+1 < len(prev) && prev[j+1] == r:
			j++
		case j > 0 && j <= len(prev) && prev[j-1] == r:
			j--
		default:
			dst = append(dst, dict.Wire(r)...)
			ends = append(ends, len(dst)-start)
			i, j = i+1, j+1
			continue
		}
		from := 0
		if j > 0 {
			from = e.ends[j-1]
		}
		shift := len(dst) - start - from
		for ; i < len(refs) && j < len(prev) && prev[j] == refs[i]; i, j = i+1, j+1 {
			ends = append(ends, e.ends[j]+shift)
		}
		dst = append(dst, dst[e.start+from:e.start+e.ends[j-1]]...)
	}
	e.refs = append(e.refs[:0], refs...)
	e.ends, e.spare = ends, e.ends
	dst, moved := finishSeries(appendSample(dst, value, tsMillis), head)
	e.start = start + moved
	return dst
}

// appendLabels is the same for labels which stand in no dictionary.
func appendLabels(dst []byte, labels []relabel.Label, value float64, tsMillis int64) []byte {
	start := len(dst)
	dst = append(dst, tagSeries, 0, 0)
	for _, l := range labels {
		n := 1 + uvarintLen(len(l.Name)) + len(l.Name) + 1 + uvarintLen(len(l.Value)) + len(l.Value)
		dst = append(dst, tagLabel)
		dst = binary.AppendUvarint(dst, uint64(n))
		dst = append(dst, tagName)
		dst = binary.AppendUvarint(dst, uint64(len(l.Name)))
		dst = append(dst, l.Name...)
		dst = append(dst, tagLabelValue)
		dst = binary.AppendUvarint(dst, uint64(len(l.Value)))
		dst = append(dst, l.Value...)
	}
	dst, _ = finishSeries(appendSample(dst, value, tsMillis), start)
	return dst
}

// appendSample appends a sample. What is zero is left out, as protocol buffers have it; but -0 is not zero.
func appendSample(dst []byte, value float64, tsMillis int64) []byte {
	i := len(dst)
	dst = append(dst, tagSample, 0)
	if bits := math.Float64bits(value); bits != 0 {
		dst = append(dst, tagSampleValue)
		dst = binary.LittleEndian.AppendUint64(dst, bits)
	}
	if tsMillis != 0 {
		dst = append(dst, tagSampleTime)
		dst = binary.AppendUvarint(dst, uint64(tsMillis))
	}
	dst[i+1] = byte(len(dst) - i - 2) // 20 at most
	return dst
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
func uvarintLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}
