package streamparse

import (
	"encoding/binary"
	"math"
)

// Span is a run of Length buckets of a native histogram, Offset buckets behind the end of the one before.
type Span struct {
	Offset int32
	Length uint32
}

// Histogram is a native histogram: one of counts that are integers, or of floats.
type Histogram struct {
	Schema        int32
	ZeroThreshold float64
	Sum           float64

	// IsFloat tells which counts there are: the floats, and of buckets the counts themselves; else the integers, and of
	// buckets the differences, each from the one before.
	IsFloat        bool
	Count          uint64
	CountFloat     float64
	ZeroCount      uint64
	ZeroCountFloat float64
	PositiveSpans  []Span
	PositiveDeltas []int64
	PositiveCounts []float64
	NegativeSpans  []Span
	NegativeDeltas []int64
	NegativeCounts []float64

	// CustomValues are the upper bounds of the buckets where Schema is -53.
	CustomValues []float64
	// IsGauge says that it may go down.
	IsGauge bool

	spareSpans []Span // scratch
}

// The fields of remote write's Histogram, with their wire types. 15 is its timestamp.
const (
	wireCountInt        = 1<<3 | wireVarint
	wireCountFloat      = 2<<3 | wireFixed64
	wireSum             = 3<<3 | wireFixed64
	wireSchema          = 4<<3 | wireVarint
	wireZeroThreshold   = 5<<3 | wireFixed64
	wireZeroCountInt    = 6<<3 | wireVarint
	wireZeroCountFloat  = 7<<3 | wireFixed64
	wireNegativeSpans   = 8<<3 | wireBytes
	wireNegativeDeltas  = 9<<3 | wireBytes
	wireNegativeCounts  = 10<<3 | wireBytes
	wirePositiveSpans   = 11<<3 | wireBytes
	wirePositiveDeltas  = 12<<3 | wireBytes
	wirePositiveCounts  = 13<<3 | wireBytes
	wireResetHint       = 14<<3 | wireVarint
	wireCustomValues    = 16<<3 | wireBytes
	resetHintGauge      = 3
	maxVarint32Encoding = 5
)

// AppendWire appends h to dst as the fields of remote write's Histogram message, 1.0 or 2.0, which number them alike. What
// is missing is the timestamp: who sends it appends that.
func (h *Histogram) AppendWire(dst []byte) []byte {
	if h.IsFloat {
		dst = appendFloat(dst, wireCountFloat, h.CountFloat)
	} else {
		dst = binary.AppendUvarint(append(dst, wireCountInt), h.Count)
	}
	if math.Float64bits(h.Sum) != 0 {
		dst = appendFloat(dst, wireSum, h.Sum)
	}
	if h.Schema != 0 {
		dst = binary.AppendUvarint(append(dst, wireSchema), zigzag(int64(h.Schema)))
	}
	if h.ZeroThreshold != 0 {
		dst = appendFloat(dst, wireZeroThreshold, h.ZeroThreshold)
	}
	if h.IsFloat {
		dst = appendFloat(dst, wireZeroCountFloat, h.ZeroCountFloat)
	} else {
		dst = binary.AppendUvarint(append(dst, wireZeroCountInt), h.ZeroCount)
	}
	dst = appendSpans(dst, wireNegativeSpans, h.NegativeSpans)
	if h.IsFloat {
		dst = appendFloats(dst, wireNegativeCounts, h.NegativeCounts)
	} else {
		dst = appendDeltas(dst, wireNegativeDeltas, h.NegativeDeltas)
	}
	dst = appendSpans(dst, wirePositiveSpans, h.PositiveSpans)
	if h.IsFloat {
		dst = appendFloats(dst, wirePositiveCounts, h.PositiveCounts)
	} else {
		dst = appendDeltas(dst, wirePositiveDeltas, h.PositiveDeltas)
	}
	if h.IsGauge {
		dst = append(dst, wireResetHint, resetHintGauge)
	}
	return appendFloats(dst, wireCustomValues, h.CustomValues)
}

func appendFloat(dst []byte, tag byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, tag), math.Float64bits(f))
}

func appendSpans(dst []byte, tag byte, spans []Span) []byte {
	for _, s := range spans {
		var b [2 * (1 + maxVarint32Encoding)]byte
		span := b[:0]
		if s.Offset != 0 {
			span = binary.AppendUvarint(append(span, 1<<3|wireVarint), zigzag(int64(s.Offset)))
		}
		if s.Length != 0 {
			span = binary.AppendUvarint(append(span, 2<<3|wireVarint), uint64(s.Length))
		}
		dst = append(append(dst, tag, byte(len(span))), span...)
	}
	return dst
}

func appendFloats(dst []byte, tag uint64, list []float64) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(8*len(list)))
	for _, f := range list {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return dst
}

func appendDeltas(dst []byte, tag byte, list []int64) []byte {
	if len(list) == 0 {
		return dst
	}
	size := 0
	for _, d := range list {
		size += varintSize(zigzag(d))
	}
	dst = binary.AppendUvarint(append(dst, tag), uint64(size))
	for _, d := range list {
		dst = binary.AppendUvarint(dst, zigzag(d))
	}
	return dst
}
