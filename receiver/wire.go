package receiver

import (
	"encoding/binary"
	"errors"
)

// What can be wrong with a protobuf message.
var (
	errTruncated = errors.New("message ends inside a field")
	errVarint    = errors.New("varint is longer than 64 bits")
	errTag       = errors.New("field number out of range")
	errWireType  = errors.New("wire type does not fit the field")
	errGroup     = errors.New("groups are not supported")
)

// wireType says how a field's value is encoded.
type wireType uint8

const (
	wireVarint  wireType = 0
	wireFixed64 wireType = 1
	wireBytes   wireType = 2
	wireFixed32 wireType = 5
)

const maxFieldNumber = 1<<29 - 1

// fields walks the fields of one protobuf message. It reads nothing outside the message and allocates nothing.
//
// Use it as
//
//	f := fields{rest: msg}
//	for f.next() {
//		… f.num, f.typ, f.bits or f.data …
//	}
//	return f.err
type fields struct {
	rest []byte // borrowed: what has not been read yet
	num  uint64
	typ  wireType
	bits uint64 // the value of a varint or fixed field
	data []byte // the value of a bytes field: a view of the message
	err  error
}

// next moves to the next field and reports whether there is one. After the last field, or an error, it returns false.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	var ok bool
	tag := uint64(f.rest[0])
	if tag < 0x80 {
		f.rest = f.rest[1:]
	} else if tag, ok = f.uvarint(); !ok {
		return false
	}
	f.num, f.typ = tag>>3, wireType(tag&7)
	if f.num == 0 || f.num > maxFieldNumber {
		f.err = errTag
		return false
	}
	switch f.typ {
	case wireBytes:
		var n uint64
		if len(f.rest) > 0 && f.rest[0] < 0x80 {
			n = uint64(f.rest[0])
			f.rest = f.rest[1:]
		} else if n, ok = f.uvarint(); !ok {
			return false
		}
		if n > uint64(len(f.rest)) {
			f.err = errTruncated
			return false
		}
		f.data, f.rest = f.rest[:n:n], f.rest[n:]
	case wireVarint:
		if f.bits, ok = f.uvarint(); !ok {
			return false
		}
	case wireFixed64:
		if len(f.rest) < 8 {
			f.err = errTruncated
			return false
		}
		f.bits, f.rest = binary.LittleEndian.Uint64(f.rest), f.rest[8:]
	case wireFixed32:
		if len(f.rest) < 4 {
			f.err = errTruncated
			return false
		}
		f.bits, f.rest = uint64(binary.LittleEndian.Uint32(f.rest)), f.rest[4:]
	case 3, 4:
		f.err = errGroup
		return false
	default:
		f.err = errWireType
		return false
	}
	return true
}

// uvarint reads a varint; next reads those of one byte itself, which are nearly all. On failure it sets err and returns false.
func (f *fields) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(f.rest)
	switch {
	case n == 0:
		f.err = errTruncated
		return 0, false
	case n < 0:
		f.err = errVarint
		return 0, false
	}
	f.rest = f.rest[n:]
	return v, true
}
