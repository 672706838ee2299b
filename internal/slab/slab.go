// Package slab has containers that grow by fixed slabs.
//
// What a scrape agent keeps per series is small, and there is a lot of it. A slice which grows by append and copy needs
// up to three times its size while it grows, and leaves its former self to the garbage collector. Here the first slab
// grows like a slice, since most targets are small; every further one is allocated at its full size. Only Trim, for who
// has added all that there is, copies the last slab into one that fits. None of the element types holds pointers, so the
// collector has nothing to walk.
//
// Concurrency: none of its own; reads may run beside each other. Ownership: a container owns its slabs. Pointers and
// views into it are valid until it is changed.
package slab

const (
	// vecShift makes a full slab of 16-byte elements 256 KiB. Smaller slabs cost a pointer and a bounds check more often,
	// larger ones waste more at the end.
	vecShift = 14
	vecLen   = 1 << vecShift
	vecMask  = vecLen - 1
	vecFirst = 8
)

// Vec is a vector of T. The zero value is empty and ready for use.
type Vec[T any] struct {
	slabs [][]T
	n     int
}

// Len is the number of elements.
func (v *Vec[T]) Len() int { return v.n }

// At returns the element i < Len(). The pointer is valid until the next Push, Truncate or Reset.
func (v *Vec[T]) At(i uint32) *T { return &v.slabs[i>>vecShift][i&vecMask] }

// Push appends x and returns its index.
func (v *Vec[T]) Push(x T) uint32 {
	i := uint32(v.n)
	k := v.n >> vecShift
	if k == len(v.slabs) {
		size := vecLen
		if k == 0 {
			size = vecFirst
		}
		v.slabs = append(v.slabs, make([]T, 0, size))
	}
	s := v.slabs[k]
	if len(s) == cap(s) { // the first slab, or one that was trimmed
		grown := make([]T, len(s), min(2*cap(s), vecLen))
		copy(grown, s)
		s = grown
	}
	v.slabs[k] = append(s, x)
	v.n++
	return i
}

// Truncate drops all elements from n on, and the slabs which that empties.
func (v *Vec[T]) Truncate(n int) {
	if n >= v.n {
		return
	}
	keep := (n + vecMask) >> vecShift
	clear(v.slabs[keep:])
	v.slabs = v.slabs[:keep]
	if keep > 0 {
		v.slabs[keep-1] = v.slabs[keep-1][:n-(keep-1)<<vecShift]
	}
	v.n = n
}

// Reset drops all elements and their memory.
func (v *Vec[T]) Reset() { *v = Vec[T]{} }

// Trim gives back the capacity which the vector does not use, if that is worth a copy of its last slab.
func (v *Vec[T]) Trim() {
	if k := len(v.slabs) - 1; k >= 0 {
		v.slabs[k] = trimmed(v.slabs[k], v.n)
	}
}

// trimmed returns s without spare capacity if that is more than a sixteenth of all elements.
func trimmed[T any](s []T, all int) []T {
	if cap(s)-len(s) <= all/16 {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}

// Cap is the number of elements that there is memory for.
func (v *Vec[T]) Cap() int {
	n := 0
	for _, s := range v.slabs {
		n += cap(s)
	}
	return n
}

const (
	bytesShift = 18
	bytesLen   = 1 << bytesShift
	bytesMask  = bytesLen - 1
	bytesFirst = 128
)

// MaxRun is the longest run of bytes that Bytes can hold in one piece.
const MaxRun = bytesLen

// Bytes is an arena of bytes which are addressed by 32-bit offsets. The zero value is empty and ready for use.
type Bytes struct {
	slabs [][]byte
}

// Alloc appends n ≤ MaxRun bytes which lie in one piece, and returns their offset. ok is false when the arena's four
// gigabytes are used up.
func (a *Bytes) Alloc(n int) (off uint32, b []byte, ok bool) {
	k := len(a.slabs) - 1
	if k < 0 || len(a.slabs[k])+n > bytesLen {
		if len(a.slabs) == 1<<(32-bytesShift) {
			return 0, nil, false
		}
		size := bytesLen
		if k < 0 {
			size = max(bytesFirst, n)
		}
		a.slabs = append(a.slabs, make([]byte, 0, size))
		k++
	}
	s := a.slabs[k]
	l := len(s)
	if l+n > cap(s) { // the first slab, or one that was trimmed
		grown := make([]byte, l, min(max(2*cap(s), l+n), bytesLen))
		copy(grown, s)
		s = grown
	}
	s = s[:l+n]
	a.slabs[k] = s
	return uint32(k)<<bytesShift | uint32(l), s[l:], true
}

// Undo takes back what Alloc returned last, off being its offset: the next one gets that place. Views of it are not valid.
func (a *Bytes) Undo(off uint32) {
	k := len(a.slabs) - 1
	a.slabs[k] = a.slabs[k][:off&bytesMask]
}

// From returns a view of the bytes from off to the end of their slab.
func (a *Bytes) From(off uint32) []byte { return a.slabs[off>>bytesShift][off&bytesMask:] }

// Trim gives back the capacity which the arena does not use, if that is worth a copy of its last slab.
func (a *Bytes) Trim() {
	if k := len(a.slabs) - 1; k >= 0 {
		a.slabs[k] = trimmed(a.slabs[k], k<<bytesShift+len(a.slabs[k]))
	}
}

// Cap is the memory that the arena takes, in bytes.
func (a *Bytes) Cap() int {
	n := 0
	for _, s := range a.slabs {
		n += cap(s)
	}
	return n
}
