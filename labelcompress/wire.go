package labelcompress

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The wire form of a label, as a TimeSeries message of remote write 1 contains it:
//
//	0x0a  uvarint(length of the Label message)
//	      0x0a  uvarint(len(name))   name
//	      0x12  uvarint(len(value))  value
//
// Both fields are always written, also when empty, so the form of a label is a function of its text.
const (
	labelTag = 1<<3 | 2 // TimeSeries.labels
	nameTag  = 1<<3 | 2 // Label.name
	valueTag = 2<<3 | 2 // Label.value
)

// MaxLabelBytes is the length of the longest label that a Dict stores, in bytes of its wire form. It bounds what one
// label can make the dictionary allocate at once; no receiver takes one nearly as long.
const MaxLabelBytes = 16 << 20

// AppendLabel appends the wire form of a label, as Dict.Wire returns it, to dst: for labels which are in no dictionary.
func AppendLabel[T []byte | string](dst []byte, name, value T) []byte {
	k, n := len(dst), wireBytes(len(name), len(value))
	dst = slices.Grow(dst, n)[:k+n]
	putWire(dst[k:], name, value)
	return dst
}

// SplitLabel returns views of the name and the value of the first label of wire forms which stand one after the other, and
// what follows it. There must be one, and AppendLabel or a Dict must have made it.
func SplitLabel(wire []byte) (name, value, rest []byte) {
	w := labelAt(wire, 0)
	name, value = splitWire(w)
	return name, value, wire[len(w):]
}

func uvarintBytes(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// messageBytes is the length of the Label message, wireBytes that of the wire form.
func messageBytes(name, value int) int {
	return 1 + uvarintBytes(name) + name + 1 + uvarintBytes(value) + value
}

func wireBytes(name, value int) int {
	m := messageBytes(name, value)
	return 1 + uvarintBytes(m) + m
}

// putWire writes the wire form into dst, whose length is wireBytes of it.
func putWire[T []byte | string](dst []byte, name, value T) {
	dst[0] = labelTag
	i := 1 + binary.PutUvarint(dst[1:], uint64(messageBytes(len(name), len(value))))
	i += putField(dst[i:], nameTag, name)
	putField(dst[i:], valueTag, value)
}

func putField[T []byte | string](dst []byte, tag byte, text T) int {
	dst[0] = tag
	i := 1 + binary.PutUvarint(dst[1:], uint64(len(text)))
	return i + copy(dst[i:], text)
}

// splitWire returns views of the name and the value of a label in wire form, nils for an empty w.
func splitWire(w []byte) (name, value []byte) {
	if len(w) == 0 {
		return nil, nil
	}
	i := 2
	if w[1] >= 0x80 {
		_, n := binary.Uvarint(w[1:])
		i = 1 + n
	}
	name, rest := splitField(w[i:])
	value, _ = splitField(rest)
	return name, value
}

// splitField returns the text of the field at the start of b, and what follows it.
func splitField(b []byte) (text, rest []byte) {
	n, i := uint64(b[1]), 2
	if n >= 0x80 {
		n, i = binary.Uvarint(b[1:])
		i++
	}
	end := i + int(n)
	return b[i:end:end], b[end:]
}

// labelAt returns the wire form of the label which starts at loc's offset in a slab's bytes.
func labelAt(b []byte, loc uint32) []byte {
	b = b[loc&offsetMask:]
	if n := int(b[1]); n < 0x80 {
		return b[: n+2 : n+2]
	}
	return longLabel(b)
}

func longLabel(b []byte) []byte {
	n, i := binary.Uvarint(b[1:])
	end := 1 + i + int(n)
	return b[:end:end]
}

// isLabel reports whether w is the wire form of name and value.
func isLabel[T []byte | string](w []byte, name, value T) bool {
	// With less than this much text all three lengths take one byte, so where the text lies is known.
	const short = 0x80 - 4
	if n := len(name); n+len(value) < short {
		return len(w) == n+len(value)+6 && int(w[3]) == n && string(w[4:4+n]) == string(name) && string(w[6+n:]) == string(value)
	}
	n, v := splitWire(w)
	return string(n) == string(name) && string(v) == string(value)
}
