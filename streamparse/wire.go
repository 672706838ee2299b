package streamparse

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// The wire types of protobuf.
const (
	wireVarint     = 0
	wireFixed64    = 1
	wireBytes      = 2
	wireGroup      = 3
	wireEndOfGroup = 4
	wireFixed32    = 5
)

var (
	errCut       = errors.New("a message is cut")
	errVarint    = errors.New("a number has more than 64 bits")
	errField     = errors.New("a field has the number 0, or one which is too large")
	errWireType  = errors.New("a field has the wrong wire type")
	errEndOf     = errors.New("a group ends which has not begun")
	errManyParts = errors.New("a metric has more than 65536 of one part")

	errManyExemplars = errors.New("a metric has more than 4096 exemplars, or more than 30000 labels of them")
)

// varint returns the number at b[i], and where it ends.
func varint(b []byte, i int) (uint64, int, error) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1, nil
	}
	var x uint64
	for shift := uint(0); ; shift += 7 {
		if shift >= 64 {
			return 0, 0, errVarint
		}
		if i >= len(b) {
			return 0, 0, errCut
		}
		c := b[i]
		i++
		x |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return x, i, nil
		}
	}
}

// field returns the tag at b[i], with its number cut to 32 bits as generated decoders do, and where its content begins.
func field(b []byte, i int) (tag uint64, next int, err error) {
	if i < len(b) && b[i] < 0x80 && b[i] >= 8 {
		tag, next = uint64(b[i]), i+1
	} else {
		if tag, next, err = varint(b, i); err != nil {
			return 0, 0, err
		}
		number := int32(tag >> 3)
		if number <= 0 {
			return 0, 0, errField
		}
		tag = uint64(number)<<3 | tag&7
	}
	if tag&7 == wireEndOfGroup {
		return 0, 0, errEndOf
	}
	return tag, next, nil
}

// message returns the bytes whose length stands at b[i], and where they end.
func message(b []byte, i int) ([]byte, int, error) {
	n, i, err := varint(b, i)
	if err != nil {
		return nil, 0, err
	}
	if n > uint64(len(b)-i) {
		return nil, 0, errCut
	}
	end := i + int(n)
	return b[i:end:end], end, nil
}

func fixed64(b []byte, i int) (float64, int, error) {
	if len(b)-i < 8 {
		return 0, 0, errCut
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b[i:])), i + 8, nil
}

// skip returns where the field ends whose tag is given and whose content begins at b[i]. known is the highest number that
// the message's fields have: one of those with this tag has the wrong wire type.
func skip(b []byte, i int, tag, known uint64) (int, error) {
	if tag>>3 <= known {
		return 0, errWireType
	}
	return skipContent(b, i, tag&7)
}

func skipContent(b []byte, i int, wireType uint64) (int, error) {
	for depth := 0; ; {
		var err error
		switch wireType {
		case wireVarint:
			_, i, err = varint(b, i)
		case wireFixed64:
			i += 8
		case wireBytes:
			_, i, err = message(b, i)
		case wireGroup:
			depth++
		case wireEndOfGroup:
			depth--
		case wireFixed32:
			i += 4
		default:
			err = errWireType
		}
		if err != nil {
			return 0, err
		}
		if i > len(b) {
			return 0, errCut
		}
		if depth == 0 {
			return i, nil
		}
		var tag uint64
		if tag, i, err = varint(b, i); err != nil {
			return 0, err
		}
		wireType = tag & 7
	}
}

func zigzag(v int64) uint64     { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64   { return int64(v>>1) ^ -int64(v&1) }
func unzigzag32(v uint64) int32 { return int32(uint32(v)>>1) ^ -int32(v&1) }
func varintSize(v uint64) int   { return (bits.Len64(v|1) + 6) / 7 }
