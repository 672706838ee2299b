package diskqueue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"
)

// ErrTooLarge is wrapped by the error of Append when a block alone exceeds the bound of the queue.
var ErrTooLarge = errors.New("the block exceeds the bound of the disk")

// Append adds a block, whose payload may be in pieces and is borrowed. When it returns nil the block survives the end of
// the process. On error nothing was added.
func (q *Queue) Append(b Block, payload ...[]byte) (seq uint64, err error) {
	n := 0
	for _, p := range payload {
		n += len(p)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.publishLocked()
	switch {
	case q.closed:
		return 0, fmt.Errorf("diskqueue: append: %w", ErrClosed)
	case b.Slot < 0 || b.Slot >= q.opts.Slots:
		panic(fmt.Sprintf("diskqueue: Append to slot %d of %d", b.Slot, q.opts.Slots))
	case n > maxBlockBytes:
		return 0, fmt.Errorf("diskqueue: append: %w", ErrTooLarge)
	}
	for {
		seq, err := q.appendLocked(b, n, payload)
		if err == nil {
			return seq, nil
		}
		if !IsFull(err) || len(q.spares) == 0 {
			return 0, fmt.Errorf("diskqueue: append: %w", err)
		}
		// The room is better used for this.
		q.removeLocked(q.spares[0])
		q.spares = q.spares[1:]
	}
}

// appendLocked writes a block whose payload has n bytes.
func (q *Queue) appendLocked(b Block, n int, payload [][]byte) (seq uint64, err error) {
	g, err := q.roomLocked(recHeaderBytes+int64(n), true)
	if err != nil {
		return 0, err
	}
	h := recHeader{
		typ: typeBlock, slot: b.Slot, length: n, payloadCRC: payloadCRC(g.salt, payload...), seq: q.nextSeq, samples: uint32(b.Samples),
		kind: b.Kind, minTime: b.MinTime, maxTime: b.MaxTime, created: b.Created.UnixMilli(), rawBytes: uint32(b.RawBytes),
	}
	at := g.end
	if err := q.writeRecordLocked(g, &h, payload); err != nil {
		return 0, err
	}
	q.nextSeq++
	q.addLocked(g, entryOf(&h, at))
	return h.seq, nil
}

// addLocked enters a block which was written to the open segment.
func (q *Queue) addLocked(g *segment, e entry) {
	s := &q.slots[e.slot]
	g.index = append(g.index, e)
	g.lastSeq = e.seq
	g.slots[e.slot].add(&e)
	g.all[e.slot].add(&e)
	g.pending++
	if was := s.at; s.Blocks == 0 {
		s.at, s.pos = g, len(g.index)-1
		q.unloadLocked(was)
	}
	s.add(1, int64(e.samples), int64(e.length))
	q.pending.add(1, int64(e.samples), int64(e.length))
}

// writeRecordLocked appends a record to the open segment. The header is written last: without it, whatever came of the
// payload is garbage behind the end.
func (q *Queue) writeRecordLocked(g *segment, h *recHeader, payload [][]byte) error {
	off := g.end + recHeaderBytes
	for _, p := range payload {
		if _, err := g.f.WriteAt(p, off); err != nil {
			q.cutLocked(g)
			return err
		}
		off += int64(len(p))
	}
	putRecHeader(q.head[:], g.salt, h)
	if _, err := g.f.WriteAt(q.head[:], g.end); err != nil {
		q.cutLocked(g)
		return err
	}
	g.end = off
	g.unsynced = true
	if g.end > g.size {
		q.setSize(g, g.end)
	}
	return nil
}

// cutLocked truncates the segment back after a write that failed. If that fails, too, the next write overwrites it, and the
// next start does not take it for a record.
func (q *Queue) cutLocked(g *segment) {
	if fileSize(g.f) > g.size {
		_ = g.f.Truncate(g.size)
	}
}

// roomLocked returns the open segment, with room for n bytes. To make room it drops the oldest blocks if it may.
func (q *Queue) roomLocked(n int64, mayDrop bool) (*segment, error) {
	for {
		g := q.open
		if g != nil && !q.isFullLocked(g, n) {
			if q.fitsLocked(g.end + n - g.size) {
				return g, nil
			}
		} else if g, err := q.anotherLocked(g, n, mayDrop); g != nil || err != nil {
			return g, err
		}
		if !q.freeLocked(mayDrop) {
			return nil, ErrTooLarge
		}
	}
}

// fitsLocked reports whether files may grow by so much, and a footer.
func (q *Queue) fitsLocked(grow int64) bool {
	return grow <= 0 || q.opts.MaxDiskBytes == 0 || q.diskBytesLocked()+grow+q.footerBytes()+pageBytes <= q.opts.MaxDiskBytes
}

// isFullLocked reports whether n more bytes should go to another segment.
func (q *Queue) isFullLocked(g *segment, n int64) bool {
	if g.end == q.headBytes() {
		return false // a block which is larger than a segment has one of its own
	}
	limit := q.opts.segmentBytes
	return g.end+n+q.footerBytes() > limit || len(g.index) >= maxSegmentRecords ||
		q.pending.Blocks == 0 && g.end+n > min(rewindBytes, limit)
}

// anotherLocked begins another segment in the place of g, which may be nil, with room for n bytes. It returns nil if there
// is no room.
func (q *Queue) anotherLocked(g *segment, n int64, mayDrop bool) (*segment, error) {
	if g != nil && q.pending.Blocks == 0 {
		// Nothing that is in any file is needed any more. What is written here from now on has another salt, so that no
		// record of the former life is taken for one of this, not even a part of one.
		if !q.fitsLocked(q.headBytes() + n - g.size) {
			q.recycleLocked(g)
			return nil, nil
		}
		q.segs, q.open = q.segs[:len(q.segs)-1], nil
		return q.beginLocked(g)
	}
	if g != nil {
		q.sealLocked(g)
	}
	// At its bound the queue writes over the oldest segment rather than remove one file and make another.
	if mayDrop && len(q.spares) == 0 && len(q.segs) > 1 && !q.fitsLocked(q.opts.segmentBytes) {
		q.dropLocked(q.segs[0], Full)
	}
	if i := len(q.spares) - 1; i >= 0 {
		g = q.spares[i]
		if !q.fitsLocked(q.headBytes() + n - g.size) {
			return nil, nil
		}
		q.spares = q.spares[:i]
		return q.beginLocked(g)
	}
	if !q.fitsLocked(q.headBytes() + n) {
		return nil, nil
	}
	g = &segment{path: filepath.Join(q.opts.Dir, fmt.Sprintf("%016x%s", q.nextNum, segmentExt))}
	f, err := q.fs.open(g.path, true)
	if err != nil {
		return nil, err
	}
	q.nextNum++
	q.dirDirty = true
	g.f = f
	return q.beginLocked(g)
}

// headBytes is where the first record after the table begins.
func (q *Queue) headBytes() int64 { return pageBytes + recHeaderBytes + 8*int64(len(q.slots)) }

func (q *Queue) footerBytes() int64 { return recHeaderBytes + int64(len(q.slots))*footerSlotBytes }

// beginLocked gives the file of a segment a new life, as the open segment.
func (q *Queue) beginLocked(old *segment) (*segment, error) {
	salt := rand.Uint64()
	g := &segment{
		path: old.path, f: old.f, size: old.size, salt: sumOf(salt), firstSeq: q.nextSeq, end: pageBytes,
		slots: make([]summary, len(q.slots)), all: make([]summary, len(q.slots)), index: old.index[:0], loaded: true,
	}
	old.gone, old.f, old.index = true, nil, nil
	err := q.openFileLocked(g)
	if err == nil {
		err = q.writeHeaderLocked(g, salt)
	}
	if err != nil {
		// What the file holds now is not known; the next start finds out.
		q.setSize(g, 0)
		g.closeFile()
		_ = q.fs.remove(g.path)
		return nil, err
	}
	if g.end > g.size {
		q.setSize(g, g.end)
	}
	q.segs = append(q.segs, g)
	q.open = g
	return g, nil
}

// writeHeaderLocked writes the first page, and the table of acknowledgements behind it, so that the segments before are not
// needed for those.
func (q *Queue) writeHeaderLocked(g *segment, salt uint64) error {
	if q.page == nil {
		q.page = make([]byte, q.headBytes())
	}
	b := q.page[:pageBytes]
	h := appendSegHeader(nil, segHeader{salt: salt, firstSeq: g.firstSeq, slots: q.opts.Slots, table: len(q.slots), created: time.Now().UnixMilli()})
	copy(b, h)
	copy(b[headerCopyAt:], h)
	b = appendTable(b[:pageBytes+recHeaderBytes], q.slots)
	q.page = b
	table := b[pageBytes+recHeaderBytes:]
	putRecHeader(b[pageBytes:], g.salt, &recHeader{typ: typeTable, length: len(table), payloadCRC: payloadCRC(g.salt, table)})
	if _, err := g.f.WriteAt(b, 0); err != nil {
		return err
	}
	g.end = int64(len(b))
	g.unsynced = true
	return nil
}

// sealLocked closes the open segment. Where its footer cannot be written, it is read in full at the next start.
func (q *Queue) sealLocked(g *segment) {
	footer := appendFooter(nil, g.all, q.slots)
	h := recHeader{typ: typeFooter, length: len(footer), seq: g.lastSeq, payloadCRC: payloadCRC(g.salt, footer)}
	if q.writeRecordLocked(g, &h, [][]byte{footer}) == nil && g.end < g.size && g.f.Truncate(g.end) == nil {
		q.setSize(g, g.end)
	}
	g.all = nil
	q.open = nil
	if g.pending == 0 {
		q.recycleLocked(g)
	} else {
		q.unloadLocked(g)
	}
}
