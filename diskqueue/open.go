package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentExt = ".seg"
	badExt     = ".bad"
	lockName   = "lock"
	startsName = "starts"
)

// Open opens the queue in Options.Dir, or makes one. Whatever is there, it takes what is good of it; the error says that the
// directory cannot be used now, and wraps ErrLocked if that is because another process has it. What the disk does not give, though
// it may later, is an error, too, and nothing was lost by it, unless Options.GiveUp says otherwise.
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
	n, counts := q.readStarts()
	if n >= maxStarts && counts {
		if err := q.setAside(); err != nil {
			return err
		}
		n = 0
	}
	starts, err := q.openStarts()
	if err == nil {
		defer starts.Close()
		if counts {
			putStarts(starts, n+1)
		}
	} else if isShort(err) {
		return err
	}
	segs, err := q.readSegments()
	if err == nil {
		err = q.readAcks(segs)
	}
	if err != nil {
		if starts != nil && counts {
			putStarts(starts, n) // this one ends here, and for a reason which is known
		}
		return err
	}
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
			s, err := q.readHead(path)
			if err != nil {
				return nil, err
			}
			if s != nil {
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
	salts := make(map[uint64]bool)
	segs = slices.DeleteFunc(segs, func(s *reading) bool {
		if !salts[s.header.salt] {
			salts[s.header.salt] = true
			return false
		}
		q.setBad(s.segment) // a copy of another
		return true
	})
	for i, s := range segs {
		if err := q.readBody(s, i == len(segs)-1); err != nil && !q.opts.GiveUp {
			return nil, err
		} else if err != nil && len(s.blocks) == 0 {
			q.setBad(s.segment)
			segs[i] = nil
		}
	}
	return slices.DeleteFunc(segs, func(s *reading) bool { return s == nil }), nil
}

// readHead opens a segment and reads its header. It returns nil if there are no records to be had. The error says that the disk
// does not give it now.
func (q *Queue) readHead(path string) (*reading, error) {
	f, err := q.fs.open(path, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil // it was there a moment ago, in a queue which is in use
	case err != nil && !q.opts.GiveUp:
		return nil, err
	case err != nil:
		q.opts.Logger.Warn("segment of the queue cannot be opened: it is given up", "file", path, "err", err)
		q.found.BadSegments++
		return nil, nil
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
		return &reading{segment: g, header: h}, nil
	case err != nil && !errors.Is(err, io.EOF) && !q.opts.GiveUp:
		q.setSize(g, 0)
		g.closeFile()
		return nil, err
	case ok, err == nil || errors.Is(err, io.EOF):
		if ok || slices.Max(append(page[:n:n], 0)) == 0 { // nothing was ever written, or it waits to be written anew
			if len(q.spares) < maxSpares {
				q.spares = append(q.spares, g)
			} else {
				q.removeLocked(g)
			}
			return nil, nil
		}
	}
	q.setBad(g)
	return nil, nil
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
func (q *Queue) readBody(s *reading, last bool) error {
	if err := q.openFileLocked(s.segment); err != nil {
		s.end = s.size
		return err
	}
	defer s.closeFile()
	if q.readFooter(s) {
		return nil
	}
	return q.readRecords(s, last)
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
func (q *Queue) readRecords(s *reading, verify bool) error {
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
	return sc.err
}

// readAcks gathers what is settled from wherever it stands.
func (q *Queue) readAcks(segs []*reading) error {
	ack := func(slot int, acked uint64) {
		if slot < len(q.slots) {
			q.slots[slot].acked = max(q.slots[slot].acked, acked)
			q.nextSeq = max(q.nextSeq, acked+1)
		}
	}
	f, err := q.fs.open(filepath.Join(q.opts.Dir, ackFileName), false)
	if err == nil {
		readAcks(f, ack)
		_ = f.Close()
	} else if isShort(err) {
		return err
	}
	for _, s := range segs {
		for slot, acked := range s.acked {
			ack(slot, acked)
		}
		q.nextSeq = max(q.nextSeq, s.firstSeq, s.lastSeq+1)
	}
	return nil
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
	all := s.blocks
	err := q.openFileLocked(s.segment)
	if err == nil {
		err = q.readRecords(s, false)
		s.closeFile()
	}
	if err != nil { // the disk may give it when it is sent
		s.blocks, s.index, s.loaded, s.scanned = all, nil, false, false
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
