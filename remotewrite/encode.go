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
	tagSampleTime  = 2<<3 | 0

	seriesHead = 3 // the tag, and two bytes for the length
)

// appendSeries appends a series of one sample to dst. It borrows all its arguments but dst.
func appendSeries(dst []byte, dict *labelcompress.Dict, refs []labelcompress.Ref, value float64, tsMillis int64) []byte {
	start := len(dst)
	dst = append(dst, tagSeries, 0, 0)
	dst = dict.AppendWire(dst, refs)
	return finishSeries(appendSample(dst, value, tsMillis), start)
}

// appendLabels is appendSeries for labels which stand in no dictionary.
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
	return finishSeries(appendSample(dst, value, tsMillis), start)
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

// finishSeries writes the length of the series that begins at start into the room left for it.
func finishSeries(dst []byte, start int) []byte {
	n := len(dst) - start - seriesHead
	if n >= 1<<7 && n < 1<<14 {
		dst[start+1] = byte(n) | 0x80
		dst[start+2] = byte(n >> 7)
		return dst
	}
	// Shorter or longer than the room: move the series.
	k := uvarintLen(n)
	for len(dst) < start+1+k+n {
		dst = append(dst, 0)
	}
	copy(dst[start+1+k:start+1+k+n], dst[start+seriesHead:start+seriesHead+n])
	binary.PutUvarint(dst[start+1:], uint64(n))
	return dst[:start+1+k+n]
}

// uvarintLen is the number of bytes of n as a variable-length integer.
func uvarintLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}
