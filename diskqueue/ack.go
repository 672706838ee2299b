package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// Ack settles a block which was handed out: it will not be handed out again, not after a restart either. The slot's next
// one may be taken then. It takes effect in memory whatever happens; the error says that it could be written nowhere, so
// that the block would come back if the process were killed before one of the slot's next acknowledgements is written.
func (q *Queue) Ack(r Record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("diskqueue: acknowledge: %w", ErrClosed)
	}
	s := &q.slots[r.Slot]
	if !s.out || s.outRec.Seq != r.Seq {
		panic(fmt.Sprintf("diskqueue: Ack of block %d in slot %d, which is not handed out", r.Seq, r.Slot))
	}
	s.out, s.outRec = false, Record{}
	s.acked = r.Seq
	if s.at == r.seg && s.pos < len(s.at.index) && s.at.index[s.pos].seq == r.Seq {
		s.pos++
	}
	q.forgetLocked(r.seg, r.Slot, &summary{blocks: 1, samples: int64(r.Samples), bytes: int64(r.Bytes)})
	err := q.writeAckLocked(r.Slot)
	q.settledLocked(r.seg)
	q.publishLocked()
	if err != nil {
		return fmt.Errorf("diskqueue: write acknowledgement: %w", err)
	}
	return nil
}

// Settle settles the oldest block of a slot, without its having been handed out, if it has that number: its payload was still
// in memory. It reports false if it has not: then the block is lost, and OnLoss was told; or the disk does not give it now, and it
// will be handed out later.
func (q *Queue) Settle(slot int, seq uint64) (ok bool, err error) {
	q.mu.Lock()
	ok = !q.closed && q.barrier == 0 && !q.slots[slot].out
	if ok {
		ok, _ = q.headLocked(slot)
	}
	if !ok || q.headSeq(slot) != seq {
		q.publishLocked()
		q.mu.Unlock()
		return false, nil
	}
	r := q.handOutLocked(slot)
	q.mu.Unlock()
	return true, q.Ack(r)
}

// settledLocked gives up a segment without pending blocks.
func (q *Queue) settledLocked(g *segment) {
	if g.pending == 0 && g != q.open && !g.gone {
		q.recycleLocked(g)
	}
}

// writeAckLocked writes a slot's acknowledgement to both places. One of them is enough.
func (q *Queue) writeAckLocked(slot int) error {
	errTable := q.acks.put(slot, q.slots[slot].acked)
	errRecord := q.appendAckLocked(slot)
	if errTable != nil && errRecord != nil {
		q.ackErrors++
		return errors.Join(errTable, errRecord)
	}
	return nil
}

// appendAckLocked appends an acknowledgement to the open segment.
func (q *Queue) appendAckLocked(slot int) error {
	g, err := q.roomLocked(recHeaderBytes, false)
	if err != nil {
		return err
	}
	h := recHeader{typ: typeAck, slot: slot, seq: q.slots[slot].acked, payloadCRC: payloadCRC(g.salt)}
	return q.writeRecordLocked(g, &h, nil)
}

// ackFile is the table of acknowledgements, which is written in place beside the records: it takes no room on a disk which
// is full, and damage to either leaves the other.
type ackFile struct {
	f   file  // nil if it could not be made
	err error // then
	buf [ackEntryBytes]byte
}

const (
	ackFileName   = "acks"
	ackEntryBytes = 32
)

// readAcks calls f for each good entry of the table.
func readAcks(f file, each func(slot int, acked uint64)) {
	b := make([]byte, min(fileSize(f), segHeaderBytes+maxSlots*ackEntryBytes))
	n, _ := f.ReadAt(b, 0)
	b = b[:n]
	le := binary.LittleEndian
	for i := 0; len(b) >= segHeaderBytes+(i+1)*ackEntryBytes; i++ {
		e := b[segHeaderBytes+i*ackEntryBytes:][:ackEntryBytes]
		// Entries stand for themselves, so that damage to the head costs nothing.
		if crc32.Checksum(e[:28], castagnoli()) == le.Uint32(e[28:]) && string(e[16:24]) == ackMagic && int(le.Uint32(e[8:])) == i {
			each(i, le.Uint64(e))
		}
	}
}

// newAckFile begins the table with what is known.
func (q *Queue) newAckFile() error {
	path := filepath.Join(q.opts.Dir, ackFileName)
	f, err := q.fs.open(path, false)
	if err != nil {
		if f, err = q.fs.open(path, true); err != nil {
			return err
		}
	}
	b := make([]byte, segHeaderBytes, segHeaderBytes+len(q.slots)*ackEntryBytes)
	copy(b, ackMagic)
	binary.LittleEndian.PutUint16(b[8:], formatVersion)
	for i := range q.slots {
		b = appendAckEntry(b, i, q.slots[i].acked)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		_ = f.Close()
		return err
	}
	_ = f.Truncate(int64(len(b)))
	q.acks = &ackFile{f: f}
	return nil
}

func appendAckEntry(dst []byte, slot int, acked uint64) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, acked)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(slot))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = append(dst, ackMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:at+28], castagnoli()))
}

func (a *ackFile) put(slot int, acked uint64) error {
	if a.f == nil {
		return a.err
	}
	_, err := a.f.WriteAt(appendAckEntry(a.buf[:0], slot, acked), int64(segHeaderBytes+slot*ackEntryBytes))
	return err
}
