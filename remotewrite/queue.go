package remotewrite

import (
	"time"

	"scraper/diskqueue"
)

// record is a block's entry in a queue.
type record struct {
	seq    uint64 // grows with each append to this queue; never reused
	slot   int
	rows   int
	bytes  int // compressed
	minTS  int64
	maxTS  int64
	closed time.Time // when the block was closed
	// blk is the block where it is in memory: the queue's hold on it, or, of a block which is on disk as well, one of the
	// record's own. Nil where it is on disk alone.
	blk  *block
	disk diskqueue.Record
	// onDisk says that disk is its entry in the queue on disk.
	onDisk bool
}

// lost counts what a queue gave up.
type lost struct {
	blocks         int
	samples        int
	bytes          int64
	oldest, newest time.Time // when the blocks were closed
}

func (l *lost) add(b *block) {
	if l.oldest.IsZero() || b.closed.Before(l.oldest) {
		l.oldest = b.closed
	}
	if b.closed.After(l.newest) {
		l.newest = b.closed
	}
	l.blocks++
	l.samples += b.rows
	l.bytes += int64(b.bytes)
}

// queueStats is a snapshot of a queue.
type queueStats struct {
	blocks   int
	samples  int64
	bytes    int64 // compressed
	memBytes int64 // memory that it holds, which it may share with other queues
	oldest   time.Time
}

// memQueue keeps blocks in memory from when they are closed until they are settled, or stored on disk.
//
// Blocks of a slot are handed out in the order in which they were appended, one at a time; one which was handed out stays in
// the queue until it is settled, or given back. A memQueue is called with its destination's lock held.
type memQueue struct {
	limit int64
	seq   uint64
	slots []memSlot
	now   queueStats // but for oldest
}

// memSlot is the blocks of one slot, oldest first, in a ring.
type memSlot struct {
	ring    []memEntry // its length is a power of two
	head    int
	n       int
	out     bool // the oldest one is handed out
	storing bool // the oldest one is being stored elsewhere
}

type memEntry struct {
	seq uint64
	blk *block
}

// entryBytes is what a block weighs in a queue beside its payload. Without it, a backlog of tiny blocks would be free.
const entryBytes = 320

func newMemQueue(slots int, limit int64) *memQueue {
	return &memQueue{limit: limit, slots: make([]memSlot, slots)}
}

// append adds a block. It takes ownership of one hold on it. Beyond the queue's bound the oldest blocks which are not handed
// out go; what is returned was lost that way, and may be the new block itself.
func (q *memQueue) append(b *block) (evicted lost) {
	q.seq++
	q.slots[b.slot].push(memEntry{q.seq, b})
	q.count(b, 1)
	for q.now.memBytes > q.limit {
		s := q.oldestWaiting()
		if s == nil {
			break // what is left is handed out, one block per slot
		}
		at := 0
		if s.out || s.storing {
			at = 1
		}
		gone := s.remove(at)
		q.count(gone, -1)
		evicted.add(gone)
		gone.release()
	}
	return evicted
}

func (q *memQueue) count(b *block, sign int64) {
	q.now.blocks += int(sign)
	q.now.samples += sign * int64(b.rows)
	q.now.bytes += sign * int64(b.bytes)
	q.now.memBytes += sign * (b.memBytes + entryBytes)
}

// oldestWaiting returns the slot with the oldest block which is not handed out, or nil.
func (q *memQueue) oldestWaiting() (oldest *memSlot) {
	var best uint64
	for i := range q.slots {
		s := &q.slots[i]
		at := 0
		if s.out || s.storing {
			at = 1
		}
		if at < s.n {
			if e := s.at(at); oldest == nil || e.seq < best {
				oldest, best = s, e.seq
			}
		}
	}
	return oldest
}

// nextToStore returns the oldest of all blocks to be stored elsewhere, of those slots for which may, told whether it is
// handed out, agrees. It stays until it is stored, given back, or settled.
func (q *memQueue) nextToStore(may func(slot int, out bool) bool) (record, bool) {
	best := -1
	for i := range q.slots {
		if s := &q.slots[i]; s.n > 0 && !s.storing && (best < 0 || s.at(0).seq < q.slots[best].at(0).seq) && may(i, s.out) {
			best = i
		}
	}
	if best < 0 {
		return record{}, false
	}
	q.slots[best].storing = true
	return q.slots[best].at(0).record(best), true
}

// notStored says that a block which was to be stored stays.
func (q *memQueue) notStored(r record) { q.slots[r.slot].storing = false }

// giveBack makes a block which is handed out wait again.
func (q *memQueue) giveBack(r record) { q.slots[r.slot].out = false }

// stored removes a block which was stored elsewhere. It reports whether it was there, rather than settled meanwhile, and
// whether it is handed out.
func (q *memQueue) stored(r record) (there, out bool) {
	s := &q.slots[r.slot]
	if !s.storing {
		return false, false
	}
	out = s.out
	q.ack(r)
	return true, out
}

// next hands out the oldest block of a slot, or reports that there is none.
func (q *memQueue) next(slot int) (record, bool) {
	s := &q.slots[slot]
	if s.n == 0 || s.out || s.storing {
		return record{}, false
	}
	s.out = true
	return s.at(0).record(slot), true
}

func (e *memEntry) record(slot int) record {
	b := e.blk
	return record{seq: e.seq, slot: slot, rows: b.rows, bytes: b.bytes, minTS: b.minTS, maxTS: b.maxTS, closed: b.closed, blk: b}
}

// ack removes a block which is handed out.
func (q *memQueue) ack(r record) {
	s := &q.slots[r.slot]
	s.out, s.storing = false, false
	b := s.remove(0)
	q.count(b, -1)
	b.release()
}

// setLimit changes the bound, in bytes, which holds from the next append on.
func (q *memQueue) setLimit(bytes int64) { q.limit = bytes }

// stats says what is in the queue, including what is handed out.
func (q *memQueue) stats() queueStats {
	st := q.now
	for i := range q.slots {
		if s := &q.slots[i]; s.n > 0 {
			if t := s.at(0).blk.closed; st.oldest.IsZero() || t.Before(st.oldest) {
				st.oldest = t
			}
		}
	}
	return st
}

// close gives up what is left, and says what it was.
func (q *memQueue) close() (left lost) {
	for i := range q.slots {
		for s := &q.slots[i]; s.n > 0; {
			b := s.remove(0)
			q.count(b, -1)
			left.add(b)
			b.release()
		}
	}
	return left
}

func (s *memSlot) at(i int) *memEntry { return &s.ring[(s.head+i)&(len(s.ring)-1)] }

func (s *memSlot) push(e memEntry) {
	if s.n == len(s.ring) {
		s.resize(max(8, 2*s.n))
	}
	s.n++
	*s.at(s.n - 1) = e
}

// remove takes out the block at i, which is 0 or 1.
func (s *memSlot) remove(i int) *block {
	b := s.at(i).blk
	if i == 1 {
		*s.at(1) = *s.at(0)
	}
	*s.at(0) = memEntry{}
	s.head = (s.head + 1) & (len(s.ring) - 1)
	s.n--
	if len(s.ring) > 64 && s.n < len(s.ring)/4 { // a backlog is over
		s.resize(len(s.ring) / 2)
	}
	return b
}

func (s *memSlot) resize(n int) {
	ring := make([]memEntry, n)
	for i := range s.n {
		ring[i] = *s.at(i)
	}
	s.ring, s.head = ring, 0
}
