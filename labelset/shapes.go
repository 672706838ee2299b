package labelset

import (
	"bytes"
	"hash/maphash"
)

// A shape is a sequence of slots, one per label: shapeOwn for a label of the record's own, else the number of a common
// label plus one.
const shapeOwn = 0

// shapes are the shapes of a store's records, by number. Bodies have a few dozen of them, and a small target has as many as
// a large one, so they lie in one piece.
type shapes struct {
	starts []uint32 // where each begins in slots, and where the last one ends; nothing where there are none
	slots  []byte
}

func (x *shapes) len() int { return max(0, len(x.starts)-1) }

// at returns a view of a shape's slots.
func (x *shapes) at(n uint32) []byte { return x.slots[x.starts[n]:x.starts[n+1]] }

func (x *shapes) add(slots []byte) (n uint32) {
	if len(x.starts) == 0 {
		x.starts = append(x.starts, 0)
	}
	x.slots = append(x.slots, slots...)
	x.starts = append(x.starts, uint32(len(x.slots)))
	return uint32(x.len() - 1)
}

// trim gives back capacity which is not used.
func (x *shapes) trim() {
	if cap(x.slots) > len(x.slots)+len(x.slots)/8 {
		x.slots = append(make([]byte, 0, len(x.slots)), x.slots...)
	}
	if cap(x.starts) > len(x.starts)+len(x.starts)/8 {
		x.starts = append(make([]uint32, 0, len(x.starts)), x.starts...)
	}
}

func (x *shapes) bytes() int { return cap(x.slots) + cap(x.starts)*4 }

// shapeFinder finds the number of a shape: mostly that of the label set before.
type shapeFinder struct {
	former uint32
	seed   maphash.Seed
	texts  texts // of all shapes; empty before there is a need
}

func (f *shapeFinder) number(x *shapes, slots []byte) uint32 {
	if int(f.former) < x.len() && bytes.Equal(x.at(f.former), slots) {
		return f.former
	}
	if f.texts.slots == nil {
		f.seed = maphash.MakeSeed()
		f.texts = newTexts(x.len())
		for n := range uint32(x.len()) {
			f.texts.insert(f.hash(x.at(n)), n)
		}
	}
	hash := f.hash(slots)
	for pos, ok := f.texts.first(hash); ok; pos, ok = f.texts.following(pos, hash) {
		if n := f.texts.at(pos); bytes.Equal(x.at(n), slots) {
			f.former = n
			return n
		}
	}
	f.former = x.add(slots)
	f.texts.insert(hash, f.former)
	return f.former
}

func (f *shapeFinder) hash(slots []byte) uint32 { return uint32(maphash.Bytes(f.seed, slots) >> 32) }

func (f *shapeFinder) bytes() int { return len(f.texts.slots) * 8 }
