package remotewrite

import (
	"errors"
	"fmt"
	"log/slog"

	"scraper/diskqueue"
)

var errUnknownKind = errors.New("the block is of a kind which this version does not know")

// take hands out the oldest block of a slot which is on disk. It may wait for the disk.
func (s *spool) take(slot int) (r record, ok bool) {
	rec, ok := s.q.Next(slot)
	if !ok {
		return r, false
	}
	r = record{
		seq: rec.Seq, slot: slot, rows: rec.Samples, bytes: rec.Bytes, minTS: rec.MinTime, maxTS: rec.MaxTime, closed: rec.Created,
		disk: rec, onDisk: true,
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if b := s.kept[rec.Seq]; b != nil {
		r.blk = b
		s.forgetKeptLocked(rec.Seq)
		s.slots[slot].outMem = true
	}
	return r, true
}

// read returns a block which is on disk alone, with a hold for the caller.
func (s *spool) read(r record) (*block, error) {
	d := s.d
	p := Protocol(min(r.disk.Kind, uint16(protocols)))
	if !p.encoded() {
		return nil, fmt.Errorf("%w: %d", errUnknownKind, r.disk.Kind)
	}
	buf := d.pool.Get(r.bytes)
	b, err := s.q.Read(buf.B, r.disk)
	if err != nil {
		buf.Release()
		return nil, err
	}
	buf.B = b
	return newBlock(buf, r, p, r.disk.RawBytes, d.account), nil
}

// settle settles a block which was handed out, on the disk if it is there, first: when it returns the slot may send again.
// It calls account, with the destination's lock held, unless the block was lost meanwhile, and is in the books as that.
func (s *spool) settle(r record, account func()) {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	sl := &s.slots[r.slot]
	there := true
	var err error
	switch {
	case r.onDisk:
		d.mu.Unlock()
		err = s.q.Ack(r.disk)
		d.mu.Lock()
	case sl.moved == r.seq:
		seq := sl.movedTo
		sl.moved, sl.movedTo = 0, 0
		d.mu.Unlock()
		there, err = s.q.Settle(r.slot, seq)
		d.mu.Lock()
	default:
		d.mem.ack(r)
		account()
		return
	}
	if err != nil {
		s.ackFailed(err)
	}
	sl.outMem = false
	if there {
		sl.blocks--
		s.onDisk.Blocks--
		s.onDisk.Samples -= int64(r.rows)
		s.onDisk.Bytes -= int64(r.bytes)
		account()
	}
}

func (s *spool) ackFailed(err error) {
	s.d.m.diskError("acknowledge")
	s.d.diskErrors.failed("queue could not note what was delivered; after a kill it would be sent again", slog.Any("err", err))
}

// lost enters into the books what the queue lost. The queue calls it with its lock held.
func (s *spool) lost(l diskqueue.Loss) {
	d := s.d
	n := uint64(l.Samples)
	reason := map[diskqueue.Reason]string{diskqueue.Full: "queue_full", diskqueue.Expired: "expired", diskqueue.Damaged: "unreadable"}[l.Reason]
	d.mu.Lock()
	s.slots[l.Slot].blocks -= l.Blocks
	s.onDisk.Blocks -= l.Blocks
	s.onDisk.Samples -= l.Samples
	s.onDisk.Bytes -= l.Bytes
	s.dropKeptLocked(func(b *block) bool { return b.slot == l.Slot })
	switch l.Reason {
	case diskqueue.Full:
		d.books.Dropped.QueueFull += n
	case diskqueue.Expired:
		d.books.Expired += n
	default:
		d.books.Dropped.Unreadable += n
	}
	d.mu.Unlock()
	d.m.pend(-l.Blocks, -l.Samples, -l.Bytes)
	dated := []slog.Attr{slog.Time("oldest", l.Oldest), slog.Time("newest", l.Newest)}
	switch l.Reason {
	case diskqueue.Full:
		d.m.dropped(reason).Add(float64(n))
		d.evictions.event("dropped the oldest samples: the queue is full", int(n), dated...)
	case diskqueue.Expired:
		d.m.expired.Add(float64(n))
		d.expiries.event("dropped samples which waited for too long", int(n), dated...)
	default:
		d.m.dropped(reason).Add(float64(n))
		d.unreadable.event("dropped blocks which the queue could not read", int(n), dated...)
	}
}
