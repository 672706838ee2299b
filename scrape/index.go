package scrape

import "math/bits"

// index finds entries by a 64-bit hash: an open-addressing table of entry numbers, each with a few bits of its hash beside
// it. Whoever looks something up compares what it finds, which these bits spare it in nearly all cases where it would be in
// vain; equal hashes may stand in the index more than once. Built when it is needed and dropped when it is not, it takes 5
// bytes per entry that it has room for.
type index struct {
	// chunks hold the slots, of which each is the tag above tagShift and the entry's number plus one below; 0 is free. All
	// chunks are full but for an only one.
	chunks   [][]uint32
	slots    int
	tagShift uint
	room     int // for so many more entries
}

// A chunk is 256 KiB, as large as other slabs.
const (
	chunkShift = 16
	chunkSlots = 1 << chunkShift
)

// leastTagShift leaves eight bits of a slot to the tag, up to 16 million entries.
const leastTagShift = 24

// newIndex returns an index with room for n entries, whose numbers are below limit.
func newIndex(n int, limit uint32) *index {
	x := &index{}
	x.reset(n, limit)
	return x
}

// reset empties the index, and makes it one that newIndex returns. Memory is used again.
func (x *index) reset(n int, limit uint32) {
	x.tagShift = uint(max(leastTagShift, bits.Len32(limit)))
	x.room = n
	x.slots = n + n/4 + 1 // longer searches than at this load are not worth the memory
	if x.slots <= chunkSlots {
		x.chunks = [][]uint32{make([]uint32, x.slots)}
		return
	}
	count := (x.slots + chunkSlots - 1) >> chunkShift
	x.slots = count << chunkShift
	if len(x.chunks) == 1 && len(x.chunks[0]) < chunkSlots {
		x.chunks = nil
	}
	for _, c := range x.chunks {
		clear(c)
	}
	for len(x.chunks) < count {
		x.chunks = append(x.chunks, make([]uint32, chunkSlots))
	}
	x.chunks = x.chunks[:count]
}

func (x *index) slot(pos int) *uint32 { return &x.chunks[pos>>chunkShift][pos&(chunkSlots-1)] }

// takes reports whether an entry can be inserted.
func (x *index) takes(entry uint32) bool { return x.room > 0 && (entry+1)>>x.tagShift == 0 }

// home is where the search for a hash begins. It depends on the first bits, the tag on the last.
func (x *index) home(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(x.slots))
	return int(hi)
}

// insert adds an entry, which the index takes.
func (x *index) insert(hash uint64, entry uint32) {
	pos := x.home(hash)
	for *x.slot(pos) != 0 {
		pos = x.after(pos)
	}
	*x.slot(pos) = uint32(hash)<<x.tagShift | (entry + 1)
	x.room--
}

// first returns the place of the first candidate for hash, and following that of the one after pos.
func (x *index) first(hash uint64) (pos int, ok bool) { return x.scan(x.home(hash), hash) }

func (x *index) following(pos int, hash uint64) (int, bool) { return x.scan(x.after(pos), hash) }

// scan returns the first place from pos on which has the hash's tag, before a free one.
func (x *index) scan(pos int, hash uint64) (int, bool) {
	tag := uint32(hash) << x.tagShift >> x.tagShift // what insert shifts there
	for ; ; pos = x.after(pos) {
		switch s := *x.slot(pos); {
		case s == 0:
			return 0, false
		case s>>x.tagShift == tag:
			return pos, true
		}
	}
}

func (x *index) after(pos int) int {
	if pos++; pos == x.slots {
		return 0
	}
	return pos
}

// at returns the entry at pos.
func (x *index) at(pos int) uint32 { return *x.slot(pos)&(1<<x.tagShift-1) - 1 }

// bytes is the memory that the index takes; none where there is no index.
func (x *index) bytes() int64 {
	if x == nil {
		return 0
	}
	return int64(x.slots) * 4
}
