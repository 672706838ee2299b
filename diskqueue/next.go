package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Next hands out the oldest block of a slot, or reports that there is none, or that the one which was handed out is not
// settled. It waits for the disk where the block is of a segment that was not read yet.
func (q *Queue) Next(slot int) (r Record, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || slot < 0 || slot >= q.opts.Slots {
		return r, false
	}
	defer q.publishLocked()
	if q.barrier != 0 {
		if slot != 0 {
			return r, false
		}
		if r, ok, done := q.nextBehindLocked(); !done {
			return r, ok
		}
	}
	if q.slots[slot].out {
		return r, false
	}
	if ok, _ := q.headLocked(slot); !ok {
		return r, false
	}
	return q.handOutLocked(slot), true
}

// nextBehindLocked hands out the oldest of all blocks before the barrier, one at a time. Done means that there are none.
func (q *Queue) nextBehindLocked() (r Record, ok, done bool) {
	for q.barrier != 0 {
		best := -1
		for i := range q.slots {
			if q.slots[i].out {
				return r, false, false
			}
			ok, later := q.headLocked(i)
			if later {
				return r, false, false // it may be the oldest one
			}
			if ok && (best < 0 || q.headSeq(i) < q.headSeq(best)) {
				best = i
			}
		}
		switch {
		case best < 0 || q.headSeq(best) >= q.barrier:
			q.barrier, q.behind = 0, 0
		case q.headSeq(best) != 0: // else it went with a segment which could not be read for another slot
			return q.handOutLocked(best), true, false
		}
	}
	return r, false, true
}

// headSeq is the number of the block that headLocked found.
func (q *Queue) headSeq(slot int) uint64 {
	s := &q.slots[slot]
	if s.at == nil || s.pos >= len(s.at.index) {
		return 0 // it has gone since
	}
	return s.at.index[s.pos].seq
}

func (q *Queue) handOutLocked(slot int) Record {
	s := &q.slots[slot]
	s.outRec = s.at.index[s.pos].record(s.at)
	s.out = true
	return s.outRec
}

// headLocked moves a slot to its oldest pending block, and reports whether there is one. Later means that there is one, but
// that the disk does not give it now.
func (q *Queue) headLocked(slot int) (ok, later bool) {
	s := &q.slots[slot]
	for s.Blocks > 0 {
		g := s.at
		if g == nil || g.gone || g.slots[slot].blocks == 0 {
			if !q.advanceLocked(slot) {
				// The books of a slot and those of its segments do not differ; if they do, nothing is left.
				q.pending.add(-s.Blocks, -s.Samples, -s.Bytes)
				s.Pending = Pending{}
				return false, false
			}
			continue
		}
		if err := q.loadLocked(g); err != nil {
			if q.mayComeLocked(g, err) {
				return false, true
			}
			q.opts.Logger.Warn("segment of the queue cannot be read: it is given up", "file", g.path, "err", err)
			q.dropLocked(g, Damaged)
			continue
		}
		g.badSince = time.Time{}
		for s.pos < len(g.index) && (int(g.index[s.pos].slot) != slot || g.index[s.pos].seq <= s.acked) {
			s.pos++
		}
		if s.pos == len(g.index) {
			rest := g.slots[slot] // what the index lacks
			q.loseLocked(g, slot, &rest, Damaged)
			q.settledLocked(g)
			continue
		}
		e := &g.index[s.pos]
		if q.opts.MaxBlockAge > 0 && time.Since(time.UnixMilli(e.created)) > q.opts.MaxBlockAge {
			s.acked = e.seq
			s.pos++
			var one summary
			one.add(e)
			q.loseLocked(g, slot, &one, Expired)
			_ = q.acks.put(slot, s.acked) // it would only expire again
			q.settledLocked(g)
			continue
		}
		return true, false
	}
	return false, false
}

// mayComeLocked reports whether a segment which could not be read may be readable later: a disk which fails is often back
// within a minute, a file which is gone is not.
func (q *Queue) mayComeLocked(g *segment, err error) bool {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case isShort(err):
		return true // the process has too few of something, which is not the disk's fault
	case g.badSince.IsZero():
		g.badSince = time.Now()
		q.opts.Logger.Warn("segment of the queue cannot be read: it is tried again", "file", g.path, "err", err)
	}
	return time.Since(g.badSince) < readPatience
}

// advanceLocked moves a slot to the next segment with blocks of it, and reports whether there is one.
func (q *Queue) advanceLocked(slot int) bool {
	s := &q.slots[slot]
	was := s.at
	s.at, s.pos = q.firstLocked(slot), 0
	q.unloadLocked(was)
	return s.at != nil
}

// firstLocked is the oldest segment with blocks of a slot, or nil.
func (q *Queue) firstLocked(slot int) *segment {
	for _, g := range q.segs {
		if g.slots[slot].blocks > 0 {
			return g
		}
	}
	return nil
}

// Read appends the payload of a block which is handed out to dst, and returns the extended buffer. The error wraps
// ErrDamaged if it is not what was appended, and says else why the disk does not give it.
func (q *Queue) Read(dst []byte, r Record) ([]byte, error) {
	q.mu.Lock()
	g := r.seg
	var err error
	if g.gone {
		err = ErrDamaged
	} else {
		err = q.openFileLocked(g)
	}
	f := g.f
	q.mu.Unlock()
	if err != nil {
		return dst, fmt.Errorf("diskqueue: read: %w", err)
	}
	at := len(dst)
	if need := at + r.Bytes; cap(dst) < need {
		grown := make([]byte, at, need)
		copy(grown, dst)
		dst = grown
	}
	b := dst[at : at+r.Bytes]
	n, err := f.ReadAt(b, r.off)
	switch {
	case n < len(b) && !errors.Is(err, io.EOF):
		return dst, fmt.Errorf("diskqueue: read: %w", err)
	case n < len(b) || payloadCRC(g.salt, b) != r.crc:
		return dst, fmt.Errorf("diskqueue: read block %d: %w", r.Seq, ErrDamaged)
	}
	q.mu.Lock()
	q.clearStartsLocked() // this start got as far as it takes
	q.mu.Unlock()
	return dst[:at+r.Bytes], nil
}
