package diskqueue

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	segmentExt = ".seg"
	badExt     = ".bad"
	lockName   = "lock"
	startsName = "starts"
)

// Open opens the queue in Options.Dir, or makes one. Whatever is there, it takes what is good of it; the error says that the
// directory cannot be used now, and wraps ErrLocked if that is because another process has it.
//
// It reads the head and the foot of each segment, and the records of the last one, so its time does not depend on the size of
// the backlog.
func Open(o Options) (*Queue, error) {
	fixed := o.segmentBytes
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("diskqueue: %w", err)
	}
	q := &Queue{opts: o, fs: o.fs, fixedSegment: fixed, slots: make([]slot, o.Slots), nextSeq: 1}
	if err := q.openAll(); err != nil {
		q.release()
		return nil, fmt.Errorf("diskqueue: open: %w", err)
	}
	return q, nil
}

func (q *Queue) openAll() error {
	if err := q.lockDir(); err != nil {
		return err
	}
	n := q.readStarts()
	if n >= maxStarts {
		if err := q.setAside(); err != nil {
			return err
		}
		n = 0
	}
	q.writeStarts(n + 1)
	segs, err := q.readSegments()
	if err != nil {
		return err
	}
	q.readAcks(segs)
	q.adopt(segs)
	if err := q.newAckFile(); err != nil {
		// The records alone do; and a full disk must not keep a backlog from being sent.
		q.acks = &ackFile{err: err}
	}
	if q.pending.Blocks == 0 {
		q.clearStartsLocked()
	}
	q.publishLocked()
	return nil
}

// release closes what a failed Open has opened.
func (q *Queue) release() {
	for _, g := range slices.Concat(q.segs, q.spares) {
		g.closeFile()
	}
	if q.lock != nil {
		_ = q.lock.Close()
	}
}

func (q *Queue) lockDir() (err error) {
	if err := q.fs.mkdir(q.opts.Dir); err != nil {
		return err
	}
	q.lock, err = q.fs.lock(filepath.Join(q.opts.Dir, lockName))
	return err
}

// setAside renames the directory, which the former starts did not survive, and begins another one.
func (q *Queue) setAside() error {
	q.writeStarts(0) // so that it can be put back
	to := q.opts.Dir + ".bad-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := q.fs.rename(q.opts.Dir, to); err != nil {
		return fmt.Errorf("set the queue aside after %d starts which failed: %w", maxStarts, err)
	}
	_ = q.lock.Close()
	q.lock = nil
	q.found.SetAside = to
	return q.lockDir()
}

// readStarts returns how many starts in a row did not get far.
func (q *Queue) readStarts() int {
	f, err := q.fs.open(filepath.Join(q.opts.Dir, startsName), false)
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, len(startsText(0)))
	n, _ := f.ReadAt(b, 0)
	for v := range maxStarts + 1 {
		if string(b[:n]) == startsText(v) {
			return v
		}
	}
	return 0 // damage is no reason to set anything aside
}

// startsText is what the marker of starts holds: the number in a form which no damage makes of another.
func startsText(n int) string {
	return fmt.Sprintf("%d %08x\n", n, crc32.Checksum([]byte{byte(n)}, castagnoli()))
}

// writeStarts notes how many starts did not get far. It is worth no error: without it a start is only not counted.
func (q *Queue) writeStarts(n int) {
	path := filepath.Join(q.opts.Dir, startsName)
	f, err := q.fs.open(path, false)
	if err != nil {
		if f, err = q.fs.open(path, true); err != nil {
			return
		}
	}
	defer f.Close()
	_, _ = f.WriteAt([]byte(startsText(n)), 0)
}

// clearStartsLocked notes that this start did get far.
func (q *Queue) clearStartsLocked() {
	if !q.healthy {
		q.healthy = true
		q.writeStarts(0)
	}
}

// reading is a segment on its way into the queue.
type reading struct {
	*segment
	header segHeader
	sealed bool
	good   bool // its records could be read to their end
	blocks []summary
	acked  []uint64
}

func (s *reading) ack(slot int, acked uint64) {
	for len(s.acked) <= slot {
		s.acked = append(s.acked, 0)
	}
	s.acked[slot] = max(s.acked[slot], acked)
}

// readSegments returns the segments in their order, with what is in them, whether it is settled or not.
func (q *Queue) readSegments() ([]*reading, error) {
	names, err := q.fs.readDir(q.opts.Dir)
	if err != nil {
		return nil, err
	}
	var segs []*reading
	for _, e := range names {
		path := filepath.Join(q.opts.Dir, e.Name())
		number, ext, _ := strings.Cut(e.Name(), ".")
		if n, err := strconv.ParseUint(number, 16, 64); err == nil && n < math.MaxUint64 {
			q.nextNum = max(q.nextNum, n+1) // whatever it is, its name is taken
		}
		if !e.Type().IsRegular() {
			continue
		}
		switch "." + ext {
		case segmentExt:
			if s := q.readHead(path); s != nil {
				segs = append(segs, s)
			}
		case segmentExt + badExt:
			if info, err := e.Info(); err == nil {
				q.bad = append(q.bad, badFile{path, info.Size()})
			}
		}
	}
	slices.SortFunc(segs, func(a, b *reading) int {
		if a.firstSeq != b.firstSeq {
			if a.firstSeq < b.firstSeq {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path, b.path)
	})
	segs = slices.CompactFunc(segs, func(a, b *reading) bool {
		if a.header.salt != b.header.salt {
			return false
		}
		q.setBad(b.segment) // a copy of the file before
		return true
	})
	for i, s := range segs {
		q.readBody(s, i == len(segs)-1)
	}
	return segs, nil
}

// readHead opens a segment and reads its header. It returns nil if there are no records to be had.
func (q *Queue) readHead(path string) *reading {
	f, err := q.fs.open(path, false)
	if err != nil {
		q.opts.Logger.Warn("segment of the queue cannot be opened", "file", path, "err", err)
		q.found.BadSegments++
		return nil
	}
	g := &segment{path: path, f: f}
	q.setSize(g, fileSize(f))
	page := make([]byte, pageBytes)
	n, err := f.ReadAt(page, 0)
	h, ok := parseSegHeader(page[:n])
	switch {
	case ok && g.size >= pageBytes:
		g.salt, g.firstSeq = sumOf(h.salt), h.firstSeq
		for len(q.slots) < h.table {
			q.slots = append(q.slots, slot{})
		}
		g.closeFile() // there may be more than the process may have open
		return &reading{segment: g, header: h}
	case ok, err == nil || errors.Is(err, io.EOF):
		if ok || slices.Max(append(page[:n:n], 0)) == 0 { // nothing was ever written, or it waits to be written anew
			if len(q.spares) < maxSpares {
				q.spares = append(q.spares, g)
			} else {
				q.removeLocked(g)
			}
			return nil
		}
	}
	q.setBad(g)
	return nil
}

// setBad renames a segment which cannot be read.
func (q *Queue) setBad(g *segment) {
	q.found.BadSegments++
	size := g.size
	q.setSize(g, 0)
	g.closeFile()
	to := g.path + badExt
	if err := q.fs.rename(g.path, to); err != nil {
		to = g.path
	}
	q.bad = append(q.bad, badFile{to, size})
	q.opts.Logger.Warn("segment of the queue cannot be read and was set aside", "file", to)
}

// readBody reads the footer of a segment, or, where there is none, its records.
func (q *Queue) readBody(s *reading, last bool) {
	if err := q.openFileLocked(s.segment); err != nil {
		s.end = s.size
		return
	}
	if !q.readFooter(s) {
		q.readRecords(s, last)
	}
	s.closeFile()
}

func (q *Queue) readFooter(s *reading) bool {
	n := int64(recHeaderBytes + s.header.table*footerSlotBytes)
	if s.size < pageBytes+n {
		return false
	}
	b := make([]byte, n)
	if got, _ := s.f.ReadAt(b, s.size-n); got < len(b) {
		return false
	}
	h, ok := parseRecHeader(b, s.salt)
	if payload := b[recHeaderBytes:]; !ok || h.typ != typeFooter || h.length != len(payload) || h.payloadCRC != payloadCRC(s.salt, payload) {
		return false
	} else if s.blocks, ok = parseFooter(payload, s.ack); !ok {
		return false
	}
	s.end, s.lastSeq, s.sealed, s.good = s.size, h.seq, true, true
	return true
}

// readRecords reads the records of a segment; verified, where it is the one which was written last.
func (q *Queue) readRecords(s *reading, verify bool) {
	sc := newScanner(s.f, s.salt, s.firstSeq, s.size)
	sc.verify = verify
	s.blocks = make([]summary, len(q.slots))
	for {
		h, at, ok := sc.next()
		if !ok {
			break
		}
		if h.slot >= len(q.slots) {
			continue
		}
		switch h.typ {
		case typeBlock:
			e := entryOf(&h, at)
			s.index = append(s.index, e)
			s.blocks[h.slot].add(&e)
			s.lastSeq = h.seq
		case typeAck:
			s.ack(h.slot, h.seq)
		case typeTable:
			parseTable(sc.payload(&h, at), s.ack)
		case typeFooter:
			parseFooter(sc.payload(&h, at), s.ack)
		}
	}
	s.end, s.good, s.scanned, s.loaded = sc.end, sc.err == nil, true, true
	q.found.Damaged += sc.damaged
	q.found.DamagedSamples += sc.damagedSamples
	q.nextSeq = max(q.nextSeq, sc.lastSeq+1)
}

// readAcks gathers what is settled from wherever it stands.
func (q *Queue) readAcks(segs []*reading) {
	ack := func(slot int, acked uint64) {
		if slot < len(q.slots) {
			q.slots[slot].acked = max(q.slots[slot].acked, acked)
			q.nextSeq = max(q.nextSeq, acked+1)
		}
	}
	if f, err := q.fs.open(filepath.Join(q.opts.Dir, ackFileName), false); err == nil {
		readAcks(f, ack)
		_ = f.Close()
	}
	for _, s := range segs {
		for slot, acked := range s.acked {
			ack(slot, acked)
		}
		q.nextSeq = max(q.nextSeq, s.firstSeq, s.lastSeq+1)
	}
}

// adopt takes over the segments, as far as they are not settled.
func (q *Queue) adopt(segs []*reading) {
	other := false // with another number of slots
	for i, s := range segs {
		g := s.segment
		g.slots = make([]summary, len(q.slots))
		if q.isPartlySettled(s) && !g.loaded {
			q.readIndex(s)
		}
		g.slots = make([]summary, len(q.slots))
		if g.loaded {
			for j := range g.index {
				if e := &g.index[j]; g.isPending(q, e) {
					g.slots[e.slot].add(e)
				}
			}
		} else {
			for j := range s.blocks {
				if b := &s.blocks[j]; b.blocks > 0 && b.lastSeq > q.slots[j].acked {
					g.slots[j] = *b
				}
			}
		}
		for j := range g.slots {
			p := &g.slots[j]
			g.pending += p.blocks
			q.slots[j].add(p.blocks, p.samples, p.bytes)
			q.pending.add(p.blocks, p.samples, p.bytes)
		}
		last := i == len(segs)-1
		goesOn := last && !s.sealed && s.good && s.header.slots == q.opts.Slots && s.header.table == len(q.slots)
		if g.pending == 0 && !goesOn {
			q.recycleLocked(g)
			continue
		}
		if g.pending > 0 && s.header.slots != q.opts.Slots {
			other = true
		}
		q.segs = append(q.segs, g)
		g.unsynced = !s.sealed
		if goesOn && q.goOn(s) {
			q.open = g
			continue
		}
		g.index, g.loaded = nil, false
	}
	if other {
		q.barrier, q.behind = q.nextSeq, q.pending.Blocks
		if q.open != nil {
			q.sealLocked(q.open)
		}
	}
}

// isPartlySettled reports whether a footer does not tell what is pending.
func (q *Queue) isPartlySettled(s *reading) bool {
	for j, b := range s.blocks {
		if acked := q.slots[j].acked; b.blocks > 0 && acked >= b.firstSeq && acked < b.lastSeq {
			return true
		}
	}
	return false
}

// readIndex reads the records of a sealed segment, of which some are settled.
func (q *Queue) readIndex(s *reading) {
	if err := q.openFileLocked(s.segment); err == nil {
		q.readRecords(s, false)
		s.closeFile()
	}
	s.end = s.size
}

// goOn lets the last segment be written on. What is behind its last record, a write that was cut short or a former life of
// the file, is cut off.
func (q *Queue) goOn(s *reading) bool {
	g := s.segment
	if q.openFileLocked(g) != nil {
		return false
	}
	if g.size > g.end {
		if g.f.Truncate(g.end) != nil {
			return false
		}
		q.setSize(g, g.end)
	}
	g.all = slices.Clone(s.blocks)
	for len(g.all) < len(q.slots) {
		g.all = append(g.all, summary{})
	}
	return true
}
