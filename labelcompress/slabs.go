package labelcompress

import "sync/atomic"

// Label bytes lie in slabs. A place is 32 bits: the slab's number above, the offset in the slab below.
const (
	offsetBits = 18
	offsetMask = 1<<offsetBits - 1

	// minSlabBytes is what a small dictionary holds; a smaller one would save less than the tables beside it take.
	// maxSlabBytes bounds what one step of compaction copies and what one open slab leaves unused; larger slabs would
	// not make anything faster, since slabs are found through a table anyway.
	minSlabBytes = 4 << 10
	maxSlabBytes = 1 << offsetBits
	// A new slab is a sixteenth of all slabs, so that the unused end of the open one stays a small part.
	slabShare = 16
	// A label longer than this part of a slab gets a slab of its own, so that it does not waste the end of the open one.
	ownSlabShare = 4

	slabTableBits = 7
	slabTableLen  = 1 << slabTableBits
	slabTops      = 1 << (32 - offsetBits - slabTableBits)
	maxSlabs      = slabTops * slabTableLen
	addressable   = int64(maxSlabs) * maxSlabBytes
)

// slab holds labels in wire form, one behind the other.
//
// Invariants: 0 ≤ live ≤ used ≤ len(b); b[:used] is never written again; once sealed, used does not change.
type slab struct {
	b      []byte // immutable header
	number uint32 // immutable

	// The rest is guarded by Dict.mu.
	used   int32
	live   int32 // bytes of labels which are in the dictionary and lie here
	sealed bool  // not the open slab any more
	own    bool  // made for one long label
}

type slabTable [slabTableLen]atomic.Pointer[slab]

// slabState is what Dict.mu guards of the slabs.
type slabState struct {
	open       *slab  // where labels are added; nil at first
	limit      int    // numbers at and above this one were never used
	free       bitset // numbers below limit without a slab
	slabs      int
	slabBytes  int64
	liveBytes  int64
	indexBytes int64 // of all shards' tables

	settled     int64  // dead bytes when a quiet dictionary could not be compacted further
	hopeless    int64  // dead bytes when compaction under pressure last found that it cannot help
	compactions uint64 // slabs which were emptied by moving what was left
	moved       uint64 // bytes of labels moved by that
	released    uint64 // bytes given back to the garbage collector, all in all
}

func (s *slab) loc(off int) uint32 { return s.number<<offsetBits | uint32(off) }

// slabAt returns the slab of a place, or nil when there is none (any more).
func (d *Dict) slabAt(loc uint32) *slab {
	t := d.slabs[loc>>(offsetBits+slabTableBits)].Load()
	if t == nil {
		return nil
	}
	return t[loc>>offsetBits&(slabTableLen-1)].Load()
}

// slabSize is the size of the next slab of a dictionary which has slabBytes bytes of slabs.
func slabSize(slabBytes int64) int {
	size := minSlabBytes
	for size < maxSlabBytes && int64(size)*2*slabShare <= slabBytes {
		size *= 2
	}
	return size
}

// fitsLocked reports whether n more bytes stay within limit, which is d.internBytes or d.maxBytes, or what compaction may
// take of them; where d.maxBytes is zero there is no limit.
func (d *Dict) fitsLocked(n, limit int64) bool {
	return d.maxBytes.Load() == 0 || d.bytes.Load()+n <= limit
}

// accountLocked adds n bytes to the memory account.
func (d *Dict) accountLocked(n int64) {
	d.bytes.Add(n)
	if n < 0 {
		d.data.released += uint64(-n)
	}
}

// takeBytesLocked finds room for n bytes, which the caller writes before it unlocks. It returns nil when limit (see
// fitsLocked) does not allow another slab.
func (d *Dict) takeBytesLocked(n int, limit int64) (s *slab, off int) {
	s = d.data.open
	if s == nil || len(s.b)-int(s.used) < n {
		if s = d.addSlabLocked(n, limit); s == nil {
			return nil, 0
		}
	}
	off = int(s.used)
	s.used += int32(n)
	s.live += int32(n)
	d.data.liveBytes += int64(n)
	return s, off
}

// addSlabLocked adds a slab with room for n bytes, which becomes the open one unless it is for one long label alone.
func (d *Dict) addSlabLocked(n int, limit int64) *slab {
	size := slabSize(d.data.slabBytes)
	own := n > size/ownSlabShare
	if own {
		size = n
	}
	for !own && size > minSlabBytes && n <= size/2/ownSlabShare && !d.fitsLocked(int64(size)+slabBytes, limit) {
		size /= 2 // the last room below the limit is worth a small slab
	}
	number := d.data.free.least()
	if number < 0 {
		number = d.data.limit
	}
	if number >= maxSlabs || !d.fitsLocked(int64(size)+slabBytes, limit) {
		return nil
	}
	b := append([]byte(nil), make([]byte, size)...)
	s := &slab{b: b[:cap(b)], number: uint32(number), own: own, sealed: own}
	t := d.slabs[number>>slabTableBits].Load()
	if t == nil {
		t = new(slabTable)
		d.slabs[number>>slabTableBits].Store(t)
		d.accountLocked(slabTableBytes)
	}
	if number < d.data.limit {
		d.data.free.remove(number)
		d.reused.Add(1) // before the new slab is visible: see read.go
	} else {
		d.data.limit = number + 1
	}
	t[number&(slabTableLen-1)].Store(s)
	d.data.slabs++
	d.data.slabBytes += int64(len(s.b))
	d.accountLocked(int64(len(s.b)) + slabBytes)
	if !own {
		d.sealLocked()
		d.data.open = s
	}
	return s
}

// sealLocked ends the open slab.
func (d *Dict) sealLocked() {
	s := d.data.open
	if s == nil {
		return
	}
	d.data.open = nil
	s.sealed = true
	d.dropIfDeadLocked(s)
}

// dropBytesLocked counts n bytes of s as dead.
func (d *Dict) dropBytesLocked(s *slab, n int) {
	s.live -= int32(n)
	d.data.liveBytes -= int64(n)
	d.dropIfDeadLocked(s)
}

// dropIfDeadLocked takes a slab without live labels out of the table. Its memory goes to the garbage collector, never
// to a pool: a reader may still have a view of it.
func (d *Dict) dropIfDeadLocked(s *slab) {
	if !s.sealed || s.live != 0 {
		return
	}
	d.slabs[s.number>>slabTableBits].Load()[s.number&(slabTableLen-1)].Store(nil)
	d.data.slabs--
	d.data.slabBytes -= int64(len(s.b))
	d.accountLocked(int64(d.data.free.add(int(s.number))) - int64(len(s.b)) - slabBytes)
}

// deadLocked is the number of bytes that compaction could win at most: all of the slabs but live labels and the room
// that is left in the open slab.
func (d *Dict) deadLocked() int64 {
	dead := d.data.slabBytes - d.data.liveBytes
	if s := d.data.open; s != nil {
		dead -= int64(len(s.b)) - int64(s.used)
	}
	return dead
}
