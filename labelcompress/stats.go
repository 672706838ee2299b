package labelcompress

import (
	"reflect"
	"time"
)

// Stats is a snapshot of a dictionary: its memory account and what it did so far. Sizes are in bytes.
type Stats struct {
	Items     int   // labels in the dictionary
	LiveBytes int64 // their wire forms

	SlabBytes  int64 // slabs, with what is dead or not used yet in them
	IndexBytes int64 // hash tables
	RefBytes   int64 // everything else: the words of the Refs, tables and the Dict itself
	Bytes      int64 // all memory that the dictionary holds: the sum of the three
	MaxBytes   int64 // what that may be, 0 when it is not limited

	Refs  int // numbers for which there is room; Items of them are in use
	Limbo int // numbers which are free, but wait for blocks to close

	OpenBlocks        int
	OldestBlockAge    time.Duration // of the block which has been open for longest, 0 without one
	OldestBlockHolder string        // the name that it was given

	Interns     uint64 // calls of Intern that succeeded: Hits, and labels added
	Hits        uint64 // of which found the label in the dictionary
	Rejected    uint64 // labels refused at the limit
	Compactions uint64 // slabs emptied by compaction
	Moved       uint64 // bytes moved by it
	Released    uint64 // bytes given back to the garbage collector, by compaction or not
	Misuses     uint64 // uses of Refs which nobody held, as far as seen; always a bug of the caller
}

// Sizes of the fixed parts in bytes, as the allocator rounds them. Constants but for the syntax.
var (
	dictBytes      = objectBytes[Dict]()
	slabBytes      = objectBytes[slab]()
	slabTableBytes = objectBytes[slabTable]()
	pageTableBytes = objectBytes[pageTable]()
)

// objectBytes is what a heap object of type T takes. T has pointers: above 512 bytes such objects carry a header.
func objectBytes[T any]() int64 {
	n := int(reflect.TypeFor[T]().Size())
	if n > 512 {
		n += 8
	}
	return int64(cap(append([]byte(nil), make([]byte, n)...)))
}

// Bytes returns Stats.Bytes, the dictionary's memory account, without taking a lock.
func (d *Dict) Bytes() int64 { return d.bytes.Load() }

// MaxBytes is the limit as it is now, 0 when there is none.
func (d *Dict) MaxBytes() int64 { return d.maxBytes.Load() }

// Cost is about the memory in bytes that r's label takes, whoever holds it: its wire form, its word, and its share of a
// hash table at the usual load.
func (d *Dict) Cost(r Ref) int64 {
	const perLabel = 8 + 12
	return int64(len(d.Wire(r))) + perLabel
}

// Stats returns a snapshot.
func (d *Dict) Stats() Stats {
	var s Stats
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		s.Hits += sh.hits
		s.Interns += sh.hits + sh.added
		sh.mu.Unlock()
	}
	s.MaxBytes = d.maxBytes.Load()
	s.Rejected = d.rejected.Load()
	s.Misuses = d.misuses.Load()

	d.mu.Lock()
	defer d.mu.Unlock()
	s.Items = d.ids.items
	s.LiveBytes = d.data.liveBytes
	s.SlabBytes = d.data.slabBytes
	s.IndexBytes = d.data.indexBytes
	s.Bytes = d.bytes.Load()
	s.RefBytes = s.Bytes - s.SlabBytes - s.IndexBytes
	s.Refs = d.ids.pages * (pageRefs - 1)
	s.Limbo = d.ids.limbo
	s.OpenBlocks = d.ids.openBlocks
	if b := d.ids.oldest; b != nil {
		s.OldestBlockAge = time.Since(b.opened)
		s.OldestBlockHolder = b.holder
	}
	s.Compactions = d.data.compactions
	s.Moved = d.data.moved
	s.Released = d.data.released
	return s
}
