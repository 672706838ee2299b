package diskqueue

import (
	"fmt"
	"slices"
	"time"
)

// segment is one file in one of its lives. When the file is written anew, another segment takes its place.
//
//	pageBytes ≤ end ≤ size
type segment struct {
	path     string
	f        file // nil while it is closed
	salt     saltSum
	firstSeq uint64
	lastSeq  uint64
	size     int64 // of the file; what is behind end is garbage
	end      int64 // of its records

	slots    []summary // what is pending, by slot; but firstSeq and oldest are of all
	all      []summary // of all its blocks, for the footer; nil once sealed
	pending  int       // blocks in slots
	index    []entry   // its blocks, where they are needed
	loaded   bool
	adrift   bool      // the directory which its file was in is gone: it is written to no more
	gone     bool      // its file has another life, or none
	unsynced bool      // written to since the last fsync
	scanned  bool      // what is pending is known from its records, not from its footer
	badSince time.Time // since when the disk does not give it; zero if it does
}

// entry is the place of a block.
type entry struct {
	off              int64 // of the payload
	seq              uint64
	created          int64 // Unix milliseconds
	minTime, maxTime int64
	length           uint32
	rawBytes         uint32
	samples          uint32
	crc              uint32
	slot             uint16
	kind             uint16
}

const entryBytes = 64

func entryOf(h *recHeader, at int64) entry {
	return entry{
		off: at + recHeaderBytes, seq: h.seq, created: h.created, minTime: h.minTime, maxTime: h.maxTime, length: uint32(h.length),
		rawBytes: h.rawBytes, samples: h.samples, crc: h.payloadCRC, slot: uint16(h.slot), kind: h.kind,
	}
}

func (e *entry) record(g *segment) Record {
	return Record{
		Block: Block{Slot: int(e.slot), Kind: e.kind, Samples: int(e.samples), RawBytes: int(e.rawBytes),
			MinTime: e.minTime, MaxTime: e.maxTime, Created: time.UnixMilli(e.created)},
		Seq: e.seq, Bytes: int(e.length), seg: g, off: e.off, crc: e.crc,
	}
}

// openFileLocked opens the segment's file, if it is not open.
func (q *Queue) openFileLocked(g *segment) error {
	if g.f != nil {
		return nil
	}
	f, err := q.fs.open(g.path, false)
	if err != nil {
		return err
	}
	g.f = f
	return nil
}

func (g *segment) closeFile() {
	if g.f != nil {
		_ = g.f.Close()
		g.f = nil
	}
}

// loadLocked reads where the segment's blocks are. Of a sealed one nothing was read until now but its footer, so this is
// where damage shows: blocks which the footer counts and which are not there are lost.
func (q *Queue) loadLocked(g *segment) error {
	if g.loaded {
		return nil
	}
	if err := q.openFileLocked(g); err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	s := newScanner(g.f, g.salt, g.firstSeq, fileSize(g.f))
	g.index = g.index[:0]
	found := make([]summary, len(q.slots))
	for {
		h, at, ok := s.next()
		if !ok {
			break
		}
		if h.typ != typeBlock || h.slot >= len(q.slots) {
			continue
		}
		e := entryOf(&h, at)
		if g.isPending(q, &e) {
			g.index = append(g.index, e)
			found[h.slot].add(&e)
		}
	}
	if s.err != nil {
		return fmt.Errorf("read segment: %w", s.err)
	}
	g.loaded = true
	for i := range g.slots {
		if lost := g.slots[i].blocks - found[i].blocks; lost > 0 {
			l := summary{
				blocks: lost, samples: max(0, g.slots[i].samples-found[i].samples), bytes: max(0, g.slots[i].bytes-found[i].bytes),
				oldest: g.slots[i].oldest, newest: g.slots[i].newest,
			}
			q.loseLocked(g, i, &l, Damaged)
		}
	}
	return nil
}

// isPending reports whether a block of the segment is not settled.
func (g *segment) isPending(q *Queue, e *entry) bool { return e.seq > q.slots[e.slot].acked }

// unloadLocked forgets where the segment's blocks are, unless somebody reads them.
func (q *Queue) unloadLocked(g *segment) {
	if g == nil || g == q.open || slices.ContainsFunc(q.slots, func(s slot) bool { return s.at == g }) {
		return
	}
	g.index, g.loaded = nil, false
	if !g.unsynced {
		g.closeFile()
	}
}

// forgetLocked takes blocks of one slot out of what is pending.
func (q *Queue) forgetLocked(g *segment, slot int, s *summary) {
	if !g.gone {
		p := &g.slots[slot]
		p.blocks -= s.blocks
		p.samples -= s.samples
		p.bytes -= s.bytes
		g.pending -= s.blocks
	}
	q.slots[slot].add(-s.blocks, -s.samples, -s.bytes)
	q.pending.add(-s.blocks, -s.samples, -s.bytes)
	if g.firstSeq < q.barrier {
		if q.behind -= s.blocks; q.behind <= 0 {
			q.barrier, q.behind = 0, 0
		}
	}
}

// lane is the slot which a segment's blocks of a slot are handed out by.
func (q *Queue) lane(g *segment, slot int) int {
	if g.firstSeq < q.barrier {
		return 0
	}
	return slot
}

// loseLocked takes blocks of one slot out of what is pending, and says so.
func (q *Queue) loseLocked(g *segment, slot int, s *summary, why Reason) {
	if s.blocks == 0 {
		return
	}
	lane := q.lane(g, slot)
	q.forgetLocked(g, slot, s)
	q.opts.OnLoss(s.loss(lane, why))
}

// setSize notes the size of the segment's file.
func (q *Queue) setSize(g *segment, size int64) {
	q.segBytes += onDisk(size) - onDisk(g.size)
	g.size = size
}

// publishLocked makes the present state the one which Stats returns.
func (q *Queue) publishLocked() {
	s := Stats{Pending: q.pending, Segments: len(q.segs), AckErrors: q.ackErrors, DiskBytes: q.diskBytesLocked()}
	s.MemoryBytes = int64(len(q.segs)) * int64(128+56*len(q.slots))
	oldest := int64(0)
	var last *segment
	for i := range q.slots {
		sl := &q.slots[i]
		if sl.Blocks == 0 {
			continue
		}
		t := int64(0)
		switch {
		case sl.out:
			t = sl.outRec.Created.UnixMilli()
		case sl.at != nil && sl.at.loaded && sl.pos < len(sl.at.index):
			t = sl.at.index[sl.pos].created
		default:
			if g := q.firstLocked(i); g != nil {
				t = g.slots[i].oldest
			}
		}
		if t != 0 && (oldest == 0 || t < oldest) {
			oldest = t
		}
		if sl.at != nil && sl.at != last {
			s.MemoryBytes += int64(cap(sl.at.index)) * entryBytes
			last = sl.at
		}
	}
	if oldest != 0 {
		s.Oldest = time.UnixMilli(oldest)
	}
	q.statMu.Lock()
	q.stats = s
	q.statMu.Unlock()
}

// onDisk is what a file of some size takes of a disk, which gives it whole pages.
func onDisk(size int64) int64 { return (size + pageBytes - 1) &^ (pageBytes - 1) }

// diskBytesLocked is what the queue takes of the disk. What others put in its directory is not the queue's.
func (q *Queue) diskBytesLocked() int64 {
	n := q.segBytes + smallFilesBytes + onDisk(segHeaderBytes+int64(len(q.slots))*ackEntryBytes)
	for _, b := range q.bad {
		n += onDisk(b.bytes)
	}
	return n
}
