package labelset

// texts finds labels' numbers by the dictionary's hash of their texts: an open-addressing table of hash<<32 | number+1. 0 is
// a free slot. It holds hashes so that it grows without looking at a label. The zero value is empty.
type texts struct {
	slots []uint64
	shift uint // the first bits of a 32-bit hash are its home
	n     int
}

// newTexts returns a table with room for n labels.
func newTexts(n int) texts {
	bits := uint(5)
	for 1<<bits*3 < n*4 {
		bits++
	}
	return texts{slots: make([]uint64, 1<<bits), shift: 32 - bits}
}

func textSlot(hash, number uint32) uint64 { return uint64(hash)<<32 | uint64(number) + 1 }

// insert adds a label which is not in the table.
func (x *texts) insert(hash, number uint32) {
	if x.n*4 >= len(x.slots)*3 {
		old := x.slots
		*x = newTexts(len(old) * 3 / 2)
		for _, s := range old {
			if s != 0 {
				x.put(s)
			}
		}
	}
	x.put(textSlot(hash, number))
}

func (x *texts) put(slot uint64) {
	pos := x.home(slot)
	for x.slots[pos] != 0 {
		pos = x.after(pos)
	}
	x.slots[pos] = slot
	x.n++
}

// first returns the place of the first slot with the hash, and following that of the next one after pos.
func (x *texts) first(hash uint32) (pos int, ok bool) {
	return x.scan(int(hash>>x.shift), hash)
}

func (x *texts) following(pos int, hash uint32) (int, bool) { return x.scan(x.after(pos), hash) }

func (x *texts) scan(pos int, hash uint32) (int, bool) {
	for ; x.slots[pos] != 0; pos = x.after(pos) {
		if uint32(x.slots[pos]>>32) == hash {
			return pos, true
		}
	}
	return 0, false
}

// at returns the number in the slot at pos.
func (x *texts) at(pos int) uint32 { return uint32(x.slots[pos]) - 1 }

// remove takes a label out, which is in the table.
func (x *texts) remove(hash, number uint32) {
	hole := int(hash >> x.shift)
	for x.slots[hole] != textSlot(hash, number) {
		hole = x.after(hole)
	}
	// What follows without a gap moves up, unless that would bring it before its home.
	for pos := x.after(hole); x.slots[pos] != 0; pos = x.after(pos) {
		if mask := len(x.slots) - 1; (pos-x.home(x.slots[pos]))&mask >= (pos-hole)&mask {
			x.slots[hole] = x.slots[pos]
			hole = pos
		}
	}
	x.slots[hole] = 0
	x.n--
}

func (x *texts) home(slot uint64) int { return int(uint32(slot>>32) >> x.shift) }

func (x *texts) after(pos int) int { return (pos + 1) & (len(x.slots) - 1) }
