package scrape

// index finds entries by a 64-bit hash: an open-addressing table of entry numbers. It keeps no hashes, so whoever looks
// something up compares what it finds, and equal hashes may stand in it more than once. Built when it is needed and
// dropped when it is not, it takes 8 bytes per series or less.
type index struct {
	slots []uint32 // entry number plus one; 0 is free
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
	x.slots = make([]uint32, 1<<bits)
	x.shift = 64 - bits
	x.n = 0
}

func (x *index) full() bool { return x.n*4 >= len(x.slots)*3 }

// grow doubles the index; hash returns the hash of an entry.
func (x *index) grow(hash func(entry uint32) uint64) {
	old := x.slots
	x.init(len(old) * 3 / 2)
	for _, s := range old {
		if s != 0 {
			x.insert(hash(s-1), s-1)
		}
	}
}

// insert adds an entry; there must be room.
func (x *index) insert(hash uint64, entry uint32) {
	mask := uint32(len(x.slots) - 1)
	pos := uint32(hash >> x.shift)
	for x.slots[pos] != 0 {
		pos = (pos + 1) & mask
	}
	x.slots[pos] = entry + 1
	x.n++
}

// first returns the place of the first candidate for hash, and following the one after it.
func (x *index) first(hash uint64) (pos uint32, ok bool) {
	pos = uint32(hash >> x.shift)
	return pos, x.slots[pos] != 0
}

func (x *index) following(pos uint32) (uint32, bool) {
	pos = (pos + 1) & uint32(len(x.slots)-1)
	return pos, x.slots[pos] != 0
}

func (x *index) at(pos uint32) uint32 { return x.slots[pos] - 1 }

// bytes is the memory that the index takes; none where there is no index.
func (x *index) bytes() int64 {
	if x == nil {
		return 0
	}
	return int64(len(x.slots)) * 4
}
