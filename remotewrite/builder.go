package remotewrite

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/relabel"
)

const (
	// chunkBytes is how much is compressed at a time, and so the most that an open block holds uncompressed. A snappy
	// block may be made of pieces which were compressed one by one, since its references only go back within a piece.
	// Larger pieces find more to refer to, and are dearer only in memory: a kubelet's cAdvisor series of 429 bytes
	// take 53 bytes at 64 KiB (and 155 ns), 38 at 256 KiB (83 ns), 35 at 512 KiB, 32 at 2 MiB; an API server's of 262
	// bytes take 19.6, 18.4, 18.1, 17.8.
	chunkBytes = 256 << 10
	// firstChunkBytes is where the uncompressed buffer starts, for agents with a few hundred series.
	firstChunkBytes = 16 << 10
	// rowReserve is the room without which no row is begun. A longer row moves its chunk, which is rare enough.
	rowReserve = 4 << 10
	// segBytes is the size of the pieces in which the compressed block is kept. A block is a few hundred KiB at most as
	// a rule, and as many bytes as it happens to be: one buffer of a size class would waste a quarter of it on average,
	// and a backlog's memory is blocks alone.
	segBytes = 32 << 10
	// maxHeader is the room for the length of the uncompressed block, which snappy puts first and which is known last.
	maxHeader = binary.MaxVarintLen32
)

// builder is an open block. Its owner is its lane, whose lock guards it.
//
//	rows go to chunk → (chunk full) → compressed, to segs → (block full) → block
type builder struct {
	pool    *bufpool.Pool
	account *atomic.Int64 // of closed blocks

	enc          seriesEncoder
	chunk        *bufpool.Buf // rows which are not compressed yet; nil when there are none
	segs         []*bufpool.Buf
	rawBytes     int // what segs were before compression
	rows         int
	minTS, maxTS int64
}

// row is one sample on its way into a block: its labels are either references or, when the dictionary had no room for
// what a destination's rules made of them, labels.
type row struct {
	refs     []labelcompress.Ref
	labels   []relabel.Label
	value    float64
	tsMillis int64
}

// append encodes a row behind the others, unless the block would exceed maxBytes: then it reports false, and the block is
// as it was before.
func (b *builder) append(dict *labelcompress.Dict, r *row, maxBytes int) bool {
	if b.chunk == nil || cap(b.chunk.B)-len(b.chunk.B) < rowReserve {
		b.makeRoom()
	}
	old := b.chunk.B
	var buf []byte
	if r.labels == nil {
		buf = b.enc.append(old, dict, r.refs, r.value, r.tsMillis)
	} else {
		b.enc.forget()
		buf = appendLabels(old, r.labels, r.value, r.tsMillis)
	}
	if b.rawBytes+len(buf) > maxBytes {
		b.enc.forget()
		return false
	}
	b.chunk.B = buf
	if b.rows == 0 {
		b.minTS, b.maxTS = math.MaxInt64, math.MinInt64
	}
	b.rows++
	b.minTS, b.maxTS = min(b.minTS, r.tsMillis), max(b.maxTS, r.tsMillis)
	return true
}

// makeRoom leaves a chunk with room for a row.
func (b *builder) makeRoom() {
	switch {
	case b.chunk == nil:
		b.chunk = b.pool.Get(firstChunkBytes)
	case cap(b.chunk.B) < chunkBytes:
		b.chunk.Grow(cap(b.chunk.B) - len(b.chunk.B) + 1) // the next size class
	default:
		b.compress()
		b.chunk.B = b.chunk.B[:0]
		b.enc.forget()
		if cap(b.chunk.B) > chunkBytes { // a very long row moved it
			b.chunk.Release()
			b.chunk = b.pool.Get(chunkBytes)
		}
	}
}

// compress appends the chunk's rows to the segments.
func (b *builder) compress() {
	raw := b.chunk.B
	if len(raw) == 0 {
		return
	}
	scratch := b.pool.Get(s2.MaxEncodedLen(len(raw)))
	out := s2.EncodeSnappy(scratch.B[:cap(scratch.B)], raw)
	_, n := binary.Uvarint(out) // its length alone, which says nothing about the whole
	out = out[n:]
	if len(b.segs) == 0 {
		b.newSegment()
	}
	for {
		s := b.segs[len(b.segs)-1]
		n := min(len(out), cap(s.B)-len(s.B))
		s.B = append(s.B, out[:n]...)
		if out = out[n:]; len(out) == 0 {
			break
		}
		b.newSegment()
	}
	b.rawBytes += len(raw)
	scratch.Release()
}

func (b *builder) newSegment() {
	s := b.pool.Get(segBytes)
	if len(b.segs) == 0 {
		s.B = s.B[:maxHeader]
	}
	b.segs = append(b.segs, s)
}

// memory is the bytes that the open block takes.
func (b *builder) memory() int64 {
	n := int64(0)
	if b.chunk != nil {
		n += int64(cap(b.chunk.B))
	}
	for _, s := range b.segs {
		n += int64(cap(s.B))
	}
	return n
}

// close returns ownership of the block, with one holder, and leaves the builder empty. There must be rows.
func (b *builder) close(slot int, now time.Time) *block {
	b.compress()
	b.chunk.Release()

	last := b.segs[len(b.segs)-1]
	if len(last.B) <= cap(last.B)/2 { // most blocks of a small agent are far smaller than a segment
		fit := b.pool.Get(len(last.B))
		fit.B = append(fit.B, last.B...)
		last.Release()
		b.segs[len(b.segs)-1] = fit
	}
	// The length goes directly before the first byte behind it.
	skip := maxHeader - uvarintLen(b.rawBytes)
	binary.PutUvarint(b.segs[0].B[skip:], uint64(b.rawBytes))

	blk := &block{
		segs: b.segs, skip: skip, bytes: -skip,
		rawBytes: b.rawBytes, rows: b.rows, minTS: b.minTS, maxTS: b.maxTS,
		slot: slot, closed: now, account: b.account,
	}
	for _, s := range blk.segs {
		blk.bytes += len(s.B)
		blk.memBytes += int64(cap(s.B))
	}
	blk.refs.Store(1)
	b.account.Add(blk.memBytes)
	b.reset()
	return blk
}

// reset readies the builder for the next block. What it held has been given away.
func (b *builder) reset() {
	b.enc.forget()
	*b = builder{pool: b.pool, account: b.account, enc: b.enc}
}

// discard gives everything back.
func (b *builder) discard() {
	if b.chunk != nil {
		b.chunk.Release()
	}
	for _, s := range b.segs {
		s.Release()
	}
	b.reset()
}
