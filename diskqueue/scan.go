package diskqueue

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
)

// windowBytes is what a scanner reads at a time where records are small, and when it searches.
const windowBytes = 64 << 10

// scanner finds the records of a segment in their order. Where there should be one and is not, it searches behind the last
// good header for the next: so a damaged record costs itself, whether it was overwritten, cut or shifted. A record that is
// met again is passed over: the blocks of a segment are numbered one by one.
type scanner struct {
	f      file
	salt   saltSum
	size   int64 // of the file
	verify bool  // check the payloads of blocks, too

	off      int64 // where the next record should begin
	searched int64 // what is before it has no record which was not returned
	end      int64 // of the last good record
	lastSeq  uint64
	win      []byte // what lies at winOff
	winOff   int64
	buf      []byte
	err      error // of the file; the scan ends there

	damaged        int // blocks which are not there, or not what was written
	damagedSamples int64
}

func newScanner(f file, salt saltSum, firstSeq uint64, size int64) *scanner {
	return &scanner{f: f, salt: salt, size: size, off: pageBytes, searched: segHeaderBytes, end: pageBytes, lastSeq: max(firstSeq, 1) - 1}
}

// next returns the header of the next record, and where it begins. The payload of what is no block has been checked.
func (s *scanner) next() (h recHeader, at int64, ok bool) {
	for s.err == nil {
		at := s.off
		h, ok := parseRecHeader(s.peek(at, recHeaderBytes), s.salt)
		if !ok {
			if at, h, ok = s.search(s.searched); !ok {
				break
			}
		}
		s.searched = at + 1
		s.off = h.end(at)
		whole := s.off <= s.size
		if !whole {
			s.off = s.searched // whatever follows lies within what it claims
		}
		if h.typ == typeBlock {
			if h.seq <= s.lastSeq {
				continue // a copy
			}
			s.damaged += int(min(h.seq-s.lastSeq-1, maxSegmentRecords)) // they are numbered one by one
			s.lastSeq = h.seq
		}
		if !whole || (s.verify || h.typ != typeBlock) && !s.check(&h, at) {
			if h.typ == typeBlock {
				s.damaged++
				s.damagedSamples += int64(h.samples)
			}
			continue
		}
		s.end = s.off
		return h, at, true
	}
	return h, 0, false
}

// check reports whether a payload is what was written.
func (s *scanner) check(h *recHeader, at int64) bool {
	crc := uint32(s.salt)
	if s.buf == nil {
		s.buf = make([]byte, min(windowBytes, s.size))
	}
	for off, left := at+recHeaderBytes, int64(h.length); left > 0; {
		n := min(left, int64(len(s.buf)))
		if !s.readFull(s.buf[:n], off) {
			return false
		}
		crc = crc32.Update(crc, castagnoli(), s.buf[:n])
		off, left = off+n, left-n
	}
	return crc == h.payloadCRC
}

// payload returns a payload that was checked.
func (s *scanner) payload(h *recHeader, at int64) []byte {
	b := make([]byte, h.length)
	if !s.readFull(b, at+recHeaderBytes) {
		return nil
	}
	return b
}

// search looks for the first header at or behind from.
func (s *scanner) search(from int64) (at int64, h recHeader, ok bool) {
	for from+recHeaderBytes <= s.size {
		b := s.window(from, windowBytes)
		if len(b) < recHeaderBytes {
			break
		}
		i := 0
		for {
			j := bytes.Index(b[i:], []byte(recMagic))
			if j < 0 {
				i = len(b) - len(recMagic) + 1
				break
			}
			if i += j; i+recHeaderBytes > len(b) {
				break
			}
			if h, ok := parseRecHeader(b[i:], s.salt); ok {
				return from + int64(i), h, true
			}
			i++
		}
		from += int64(i)
	}
	return 0, h, false
}

// peek returns n bytes at off, or what there is. It is valid until the following call.
func (s *scanner) peek(off int64, n int) []byte {
	if off >= s.winOff && off+int64(n) <= s.winOff+int64(len(s.win)) {
		return s.win[off-s.winOff:][:n]
	}
	want := pageBytes // a header, as the first of large records
	if off <= s.winOff+int64(len(s.win)) {
		want = windowBytes
	}
	b := s.window(off, want)
	return b[:min(n, len(b))]
}

// window reads up to n bytes at off.
func (s *scanner) window(off int64, n int) []byte {
	if end := s.winOff + int64(len(s.win)); off >= s.winOff && off <= end && (off+int64(n) <= end || end == s.size) {
		return s.win[off-s.winOff:]
	}
	if s.win == nil {
		s.win = make([]byte, 0, min(windowBytes, s.size))
	}
	s.winOff = off
	s.win = s.win[:max(0, min(int64(n), s.size-off, int64(cap(s.win))))]
	got, err := s.f.ReadAt(s.win, off)
	s.win = s.win[:got]
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return s.win
}

func (s *scanner) readFull(b []byte, off int64) bool {
	n, err := s.f.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n == len(b)
}
