package diskqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Report is what Inspect found.
type Report struct {
	Dir        string
	Slots      int // of the newest segment
	Acked      []uint64
	Pending    Pending
	Oldest     time.Time // the Created of the oldest pending block; zero if there is none
	Segments   []SegmentReport
	Spares     int      // files which wait to be written anew
	Unreadable []string // files without a readable header, and those which were set aside
	Starts     int      // starts in a row which did not get as far as reading the backlog
	Damaged    int      // blocks which are not there, or not what was written
	DiskBytes  int64
}

// SegmentReport is what Inspect found in one segment.
type SegmentReport struct {
	File     string
	Bytes    int64
	Sealed   bool // it has a footer
	FirstSeq uint64
	LastSeq  uint64
	Blocks   int
	Samples  int64
	Pending  Pending
	// MinTime and MaxTime are the range of its payloads' times, in milliseconds, if there are blocks.
	MinTime, MaxTime int64
	Damaged          int   // blocks which are not there, or, verified, not what was written
	Err              error // of the disk
}

// IsQueue reports whether a directory looks like a queue's.
func IsQueue(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, ackFileName)); err == nil {
		return true
	}
	segs, _ := filepath.Glob(filepath.Join(dir, "*"+segmentExt))
	return len(segs) > 0
}

// Inspect reads a queue, without its lock and without changing it: what it finds in one which is in use is of no single
// moment, but what is good is not called damaged. With verify it reads the payloads, too.
func Inspect(dir string, verify bool) (Report, error) {
	r := Report{Dir: dir}
	q := &Queue{opts: Options{Dir: dir, Slots: 1, GiveUp: true, Logger: slog.New(slog.DiscardHandler)}, fs: readOnly{}, slots: make([]slot, 1), nextSeq: 1}
	segs, err := q.readSegments()
	if err != nil {
		return r, fmt.Errorf("diskqueue: inspect: %w", err)
	}
	_ = q.readAcks(segs)
	for _, s := range q.slots {
		r.Acked = append(r.Acked, s.acked)
	}
	r.Starts, _ = q.readStarts()
	r.Spares = len(q.spares)
	for _, b := range q.bad {
		r.Unreadable = append(r.Unreadable, b.path)
	}
	for _, s := range q.spares {
		s.closeFile()
	}
	r.DiskBytes = q.diskBytesLocked()
	for _, s := range segs {
		r.Slots = s.header.slots
		sr, oldest := q.inspectSegment(s, verify)
		settled := false
		// The queue may be in use: what is written while it is read may look damaged, but not again.
		for n := 0; n < 5 && (sr.Damaged > 0 || sr.Err != nil) && !settled; n++ {
			if now, ok := q.headerOf(s.path); !ok || now != s.header {
				settled = true // all of it, and the file has another life, or none
				continue
			}
			if again, o := q.inspectSegment(s, verify); again.Damaged <= sr.Damaged {
				sr, oldest = again, o
			}
		}
		if settled {
			continue
		}
		if !oldest.IsZero() && (r.Oldest.IsZero() || oldest.Before(r.Oldest)) {
			r.Oldest = oldest
		}
		r.Damaged += sr.Damaged
		r.Pending.add(sr.Pending.Blocks, sr.Pending.Samples, sr.Pending.Bytes)
		r.Segments = append(r.Segments, sr)
	}
	return r, nil
}

// headerOf is the header which a segment has now. A file which is not there has none.
func (q *Queue) headerOf(path string) (h segHeader, ok bool) {
	f, err := q.fs.open(path, false)
	if err != nil {
		return h, !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	page := make([]byte, pageBytes)
	n, _ := f.ReadAt(page, 0)
	return parseSegHeader(page[:n])
}

// inspectSegment reads a segment, and returns also the Created of its oldest pending block; zero if there is none.
func (q *Queue) inspectSegment(s *reading, verify bool) (sr SegmentReport, oldest time.Time) {
	sr = SegmentReport{File: filepath.Base(s.path), Bytes: s.size, Sealed: s.sealed, FirstSeq: s.firstSeq, LastSeq: s.lastSeq}
	if sr.Err = q.openFileLocked(s.segment); sr.Err != nil {
		return sr, oldest
	}
	defer s.closeFile()
	sr.Bytes = fileSize(s.f) // it may have grown
	sc := newScanner(s.f, s.salt, s.firstSeq, sr.Bytes)
	sc.verify = verify
	for {
		h, at, ok := sc.next()
		if !ok {
			break
		}
		if h.typ != typeBlock || h.slot >= len(q.slots) {
			continue
		}
		e := entryOf(&h, at)
		if sr.Blocks == 0 || h.minTime < sr.MinTime {
			sr.MinTime = h.minTime
		}
		if sr.Blocks == 0 || h.maxTime > sr.MaxTime {
			sr.MaxTime = h.maxTime
		}
		sr.Blocks++
		sr.Samples += int64(h.samples)
		sr.LastSeq = h.seq
		if s.isPending(q, &e) {
			sr.Pending.add(1, int64(h.samples), int64(h.length))
			if t := time.UnixMilli(h.created); oldest.IsZero() || t.Before(oldest) {
				oldest = t
			}
		}
	}
	sr.Err = sc.err
	sr.Damaged = sc.damaged
	if s.sealed && s.lastSeq > sc.lastSeq { // the footer knows of more
		sr.Damaged += int(s.lastSeq - sc.lastSeq)
	}
	return sr, oldest
}

// readOnly is the operating system's files, which nothing is done to.
type readOnly struct{ osFiles }

var errReadOnly = errors.New("read only")

func (readOnly) open(path string, create bool) (file, error) {
	if create {
		return nil, errReadOnly
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (readOnly) mkdir(string) error        { return errReadOnly }
func (readOnly) remove(string) error       { return errReadOnly }
func (readOnly) rename(_, _ string) error  { return errReadOnly }
func (readOnly) syncDir(string) error      { return errReadOnly }
func (readOnly) lock(string) (file, error) { return nil, errReadOnly }
