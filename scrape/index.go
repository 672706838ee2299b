package scrape

// index finds entries by a 64-bit hash: an open-addressing table of entry numbers, each with one byte of its hash. Whoever
// looks something up compares what it finds, which that byte spares it in nearly all cases where it would be in vain;
// equal hashes may stand in the index more than once. Built when it is needed and dropped when it is not, it takes 7 to 13
// bytes per series.
type index struct {
	slots []uint32
	tags  []uint8 // 0: the slot is free
	shift uint
	n     int
}

// newIndex returns an index with room for n entries.
func newIndex(n int) *index {
	x := &index{}
	x.init(n)
	return x
}

func (x *index) init(n int) {
	bits := uint(4)
	for 1<<bits*3 < n*4 {
		bits++
	}
	x.slots, x.tags = make([]uint32, 1<<bits), make([]uint8, 1<<bits)
	x.shift = 64 - bits
	x.n = 0
}

// tag is the byte of a hash that the index keeps. Its bits are not those which choose the slot.
func tag(hash uint64) uint8 { return uint8(hash) | 1 }

func (x *index) full() bool { return x.n*4 >= len(x.slots)*3 }

// grow doubles the index; hash returns the hash of an entry.
func (x *index) grow(hash func(entry uint32) uint64) {
	slots, tags := x.slots, x.tags
	x.init(len(slots) * 3 / 2)
	for i, e := range slots {
		if tags[i] != 0 {
			x.insert(hash(e), e)
		}
	}
}

// insert adds an entry; there must be room.
func (x *index) insert(hash uint64, entry uint32) {
	mask := uint32(len(x.slots) - 1)
	pos := uint32(hash >> x.shift)
	for x.tags[pos] != 0 {
		pos = (pos + 1) & mask
	}
	x.slots[pos], x.tags[pos] = entry, tag(hash)
	x.n++
}

// first returns the place of the first candidate for hash, and following that of the one after pos.
func (x *index) first(hash uint64) (pos uint32, ok bool) {
	return x.scan(uint32(hash>>x.shift), tag(hash))
}

func (x *index) following(pos uint32, hash uint64) (uint32, bool) {
	return x.scan((pos+1)&uint32(len(x.slots)-1), tag(hash))
}

// scan returns the first place from pos on which has the tag, before a free one.
func (x *index) scan(pos uint32, tag uint8) (uint32, bool) {
	mask := uint32(len(x.tags) - 1)
	for ; ; pos = (pos + 1) & mask {
		switch x.tags[pos] {
		case tag:
			return pos, true
		case 0:
			return 0, false
		}
	}
}

func (x *index) at(pos uint32) uint32 { return x.slots[pos] }

// bytes is the memory that the index takes; none where there is no index.
func (x *index) bytes() int64 {
	if x == nil {
		return 0
	}
	return int64(len(x.slots)) * 5
}
