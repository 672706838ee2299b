package labelset

import "scraper/internal/slab"

// Compaction moves all label sets of a store into a fresh arena, and numbers their labels and shapes anew, so that what
// was removed gives its memory back. The owner moves every ID that it keeps, then closes the compaction; IDs which were not moved are
// gone without their labels having been released, so there must be none.
type Compaction struct {
	s       *Store
	arena   slab.Bytes
	locals  slab.Vec[local]
	renamed []uint32 // former number to new one, plus one; 0 is not used yet
	shapes  shapes
	shaped  []uint32 // as renamed, of shapes
	live    int
}

// Wasteful reports whether a compaction would give back a good part of the store's memory.
func (s *Store) Wasteful() bool {
	used := s.arena.Cap()
	return used-s.liveBytes > max(512, used/4) || len(s.free) > max(64, s.locals.Len()/4)
}

// Compact begins a compaction. The store must not be used until Close.
func (s *Store) Compact() *Compaction {
	return &Compaction{s: s, renamed: make([]uint32, s.locals.Len()), shaped: make([]uint32, s.shapes.len())}
}

// Move returns the new ID of id, which was made by Add, or by AddTimed if timed is set.
func (c *Compaction) Move(id ID, timed bool) ID {
	rec := c.s.Record(id)
	shape, n := uvarint(rec)
	if c.shaped[shape] == 0 {
		c.shaped[shape] = c.shapes.add(c.s.shapes.at(shape)) + 1
	}
	shape = c.shaped[shape] - 1
	size := uvarintLen(shape)
	for b := rec[n:]; len(b) > 0; {
		x, k := uvarint(b)
		b = b[k:]
		if c.renamed[x] == 0 {
			c.renamed[x] = c.locals.Push(*c.s.locals.At(x)) + 1
		}
		size += uvarintLen(c.renamed[x] - 1)
	}
	extra := 0
	if timed {
		extra = lastBytes
	}
	off, dst, _ := c.arena.Alloc(extra + size) // at most MaxLabels, and never more records than before: it fits
	c.live += extra + size
	if timed {
		copy(dst, c.s.arena.From(uint32(id) - lastBytes)[:lastBytes])
	}
	w := extra + putUvarint(dst[extra:], shape)
	for b := rec[n:]; len(b) > 0; {
		x, k := uvarint(b)
		b = b[k:]
		w += putUvarint(dst[w:], c.renamed[x]-1)
	}
	return ID(off + uint32(extra))
}

// Close ends the compaction: the store's IDs are now those that Move returned.
func (c *Compaction) Close() {
	s := c.s
	s.arena, s.locals, s.liveBytes = c.arena, c.locals, c.live
	s.free = nil
	s.shapes = c.shapes
	s.Settle()
	*c = Compaction{}
}

func putUvarint(b []byte, x uint32) int {
	i := 0
	for ; x >= 0x80; x >>= 7 {
		b[i] = byte(x) | 0x80
		i++
	}
	b[i] = byte(x)
	return i + 1
}
