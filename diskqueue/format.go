package diskqueue

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// A segment is a page with the segment's header, twice, and then records until its end. All integers are little endian.
//
//	0 .. 4096     header at 0, its copy at 2048
//	4096 ..       records: header (64 bytes), payload
//
// The first record is a table of acknowledgements, and so is the last one if the segment is sealed: its footer, which ends
// the file. docs/queue-format.md has it in full.
const (
	formatVersion = 1

	pageBytes      = 4096
	headerCopyAt   = 2048
	segHeaderBytes = 64
	recHeaderBytes = 64
	segMagic       = "SCRAPERQ"
	recMagic       = "\xf1SqR"
	ackMagic       = "SCRAPERA"
)

// The types of records.
const (
	typeBlock  = 1
	typeAck    = 2 // slot, seq: all blocks of the slot up to seq are settled
	typeTable  = 3 // the payload has the acknowledgements of all slots
	typeFooter = 4 // the payload has a summary of each slot
)

const footerSlotBytes = 64

// segHeader is the header of a segment.
type segHeader struct {
	salt     uint64 // of all checksums of the segment
	firstSeq uint64 // no record of the segment is before it
	slots    int    // the number of slots when it was begun
	table    int    // the number of entries of its tables
	created  int64  // Unix milliseconds
}

func appendSegHeader(dst []byte, h segHeader) []byte {
	at := len(dst)
	dst = append(dst, segMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.slots))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.table))
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.salt)
	dst = binary.LittleEndian.AppendUint64(dst, h.firstSeq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.created))
	dst = append(dst, make([]byte, segHeaderBytes-4-(len(dst)-at))...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli()))
}

// parseSegHeader returns the header of a segment, from its first page as far as there is one. It takes either copy, wherever
// damage has shifted it to. Of two good ones the one of the later life counts: the machine may have died between them.
func parseSegHeader(page []byte) (h segHeader, ok bool) {
	for at := 0; ; at++ {
		i := bytes.Index(page[at:], []byte(segMagic))
		if i < 0 || len(page) < at+i+segHeaderBytes {
			return h, ok
		}
		at += i
		b := page[at : at+segHeaderBytes]
		if crc32.Checksum(b[:60], castagnoli()) != binary.LittleEndian.Uint32(b[60:]) || binary.LittleEndian.Uint16(b[8:]) != formatVersion {
			continue
		}
		c := segHeader{
			slots: int(binary.LittleEndian.Uint16(b[10:])), table: int(binary.LittleEndian.Uint16(b[12:])),
			salt: binary.LittleEndian.Uint64(b[16:]), firstSeq: binary.LittleEndian.Uint64(b[24:]),
			created: int64(binary.LittleEndian.Uint64(b[32:])),
		}
		if c.slots < 1 || c.slots > maxSlots || c.table < c.slots || c.table > maxSlots {
			continue
		}
		if !ok || c.firstSeq > h.firstSeq {
			h, ok = c, true
		}
	}
}

// recHeader is the header of a record.
type recHeader struct {
	typ        uint8
	slot       int
	length     int // of the payload
	payloadCRC uint32
	seq        uint64
	samples    uint32
	kind       uint16
	minTime    int64
	maxTime    int64
	created    int64 // Unix milliseconds
	rawBytes   uint32
}

// end is where the next record begins, if this one begins at off.
func (h *recHeader) end(off int64) int64 { return off + recHeaderBytes + int64(h.length) }

// putRecHeader writes a header to dst, which has its length.
func putRecHeader(dst []byte, salt saltSum, h *recHeader) {
	copy(dst, recMagic)
	dst[4], dst[5] = h.typ, formatVersion
	le := binary.LittleEndian
	le.PutUint16(dst[6:], uint16(h.slot))
	le.PutUint32(dst[8:], uint32(h.length))
	le.PutUint32(dst[12:], h.payloadCRC)
	le.PutUint64(dst[16:], h.seq)
	le.PutUint32(dst[24:], h.samples)
	le.PutUint16(dst[28:], h.kind)
	le.PutUint16(dst[30:], 0)
	le.PutUint64(dst[32:], uint64(h.minTime))
	le.PutUint64(dst[40:], uint64(h.maxTime))
	le.PutUint64(dst[48:], uint64(h.created))
	le.PutUint32(dst[56:], h.rawBytes)
	le.PutUint32(dst[60:], crc32.Update(uint32(salt), castagnoli(), dst[:60]))
}

// parseRecHeader returns the header at the beginning of b, if there is one of this salt.
func parseRecHeader(b []byte, salt saltSum) (h recHeader, ok bool) {
	le := binary.LittleEndian
	if len(b) < recHeaderBytes || string(b[:4]) != recMagic || b[5] != formatVersion {
		return h, false
	}
	b = b[:recHeaderBytes]
	if crc32.Update(uint32(salt), castagnoli(), b[:60]) != le.Uint32(b[60:]) {
		return h, false
	}
	h = recHeader{
		typ: b[4], slot: int(le.Uint16(b[6:])), length: int(le.Uint32(b[8:])), payloadCRC: le.Uint32(b[12:]), seq: le.Uint64(b[16:]),
		samples: le.Uint32(b[24:]), kind: le.Uint16(b[28:]), minTime: int64(le.Uint64(b[32:])), maxTime: int64(le.Uint64(b[40:])),
		created: int64(le.Uint64(b[48:])), rawBytes: le.Uint32(b[56:]),
	}
	return h, h.length <= maxBlockBytes && h.slot < maxSlots
}

// castagnoli is the table of CRC-32C, which processors compute. The package makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// saltSum is the checksum of a segment's salt, with which all its other checksums begin.
type saltSum uint32

func sumOf(salt uint64) saltSum {
	return saltSum(crc32.Checksum(binary.LittleEndian.AppendUint64(nil, salt), castagnoli()))
}

// payloadCRC is the checksum of a payload in pieces.
func payloadCRC(salt saltSum, payload ...[]byte) uint32 {
	crc := uint32(salt)
	for _, p := range payload {
		crc = crc32.Update(crc, castagnoli(), p)
	}
	return crc
}

// summary is what is known of a slot's blocks in a segment: all of them in a footer, the pending ones in memory.
type summary struct {
	blocks         int
	samples, bytes int64
	firstSeq       uint64
	lastSeq        uint64
	oldest, newest int64 // of their Created, in Unix milliseconds
}

func (s *summary) add(e *entry) {
	if s.blocks == 0 {
		s.firstSeq, s.oldest, s.newest = e.seq, e.created, e.created
	}
	s.blocks++
	s.samples += int64(e.samples)
	s.bytes += int64(e.length)
	s.lastSeq = e.seq
	s.oldest, s.newest = min(s.oldest, e.created), max(s.newest, e.created)
}

func (s *summary) loss(slot int, why Reason) Loss {
	l := Loss{Reason: why, Slot: slot, Blocks: s.blocks, Samples: s.samples, Bytes: s.bytes}
	if s.oldest != 0 {
		l.Oldest, l.Newest = time.UnixMilli(s.oldest), time.UnixMilli(s.newest)
	}
	return l
}

// appendTable appends the payload of a table of acknowledgements.
func appendTable(dst []byte, acked []slot) []byte {
	for i := range acked {
		dst = binary.LittleEndian.AppendUint64(dst, acked[i].acked)
	}
	return dst
}

func parseTable(b []byte, f func(slot int, acked uint64)) {
	for i := 0; len(b) >= 8; i, b = i+1, b[8:] {
		f(i, binary.LittleEndian.Uint64(b))
	}
}

// appendFooter appends the payload of a footer: all blocks of the segment by slot, and the acknowledgements at that time.
func appendFooter(dst []byte, all []summary, acked []slot) []byte {
	le := binary.LittleEndian
	for i := range acked {
		var s summary
		if i < len(all) {
			s = all[i]
		}
		for _, v := range []uint64{uint64(s.blocks), uint64(s.samples), uint64(s.bytes), s.firstSeq, s.lastSeq, uint64(s.oldest), uint64(s.newest), acked[i].acked} {
			dst = le.AppendUint64(dst, v)
		}
	}
	return dst
}

// parseFooter is the reverse of appendFooter. It reports false if what it reads makes no sense.
func parseFooter(b []byte, f func(slot int, acked uint64)) (all []summary, ok bool) {
	le := binary.LittleEndian
	for i := 0; len(b) >= footerSlotBytes; i, b = i+1, b[footerSlotBytes:] {
		v := func(at int) uint64 { return le.Uint64(b[8*at:]) }
		if v(0) > math.MaxInt32 || v(1) > math.MaxInt64 || v(2) > math.MaxInt64 {
			return nil, false
		}
		all = append(all, summary{blocks: int(v(0)), samples: int64(v(1)), bytes: int64(v(2)), firstSeq: v(3), lastSeq: v(4), oldest: int64(v(5)), newest: int64(v(6))})
		f(i, v(7))
	}
	return all, true
}
