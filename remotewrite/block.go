package remotewrite

import (
	"fmt"
	"sync/atomic"
	"time"

	"scraper/bufpool"
)

// block is one encoded and compressed request, with what a queue and the books need to know about it. It is read-only.
//
// It is shared: each destination's queue holds it, and so does each reader of a request body. Retain adds a holder, and
// the last release gives the memory back to its pool.
type block struct {
	segs  []*bufpool.Buf // the payload; the first one has skip bytes before it
	skip  int
	bytes int // of the payload

	protocol     Protocol
	rawBytes     int   // before compression
	rows         int   // samples and histograms
	exemplars    int   // -1: not known
	minTS, maxTS int64 // in milliseconds
	slot         int
	closed       time.Time

	memBytes int64         // what segs take
	account  *atomic.Int64 // memBytes is added to it until the memory is given back
	refs     atomic.Int32
}

// retain adds a holder. The caller must be one itself.
func (b *block) retain() *block {
	if !b.tryRetain() {
		panic("remotewrite: retain of a released block")
	}
	return b
}

// tryRetain adds a holder, unless the block is gone. It is for those who are not holders themselves.
func (b *block) tryRetain() bool {
	for {
		n := b.refs.Load()
		if n <= 0 {
			return false
		}
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release drops a holder.
func (b *block) release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("remotewrite: release of a released block")
	}
	for _, s := range b.segs {
		s.Release()
	}
	b.segs = nil
	b.account.Add(-b.memBytes)
}

// part returns a view of the payload from off on, as far as it lies in one piece; it is empty at the end only. The view
// is valid while the caller holds the block. The cursor seg is the caller's to keep between calls, and starts at 0.
func (b *block) part(seg, off int) (view []byte, nextSeg, nextOff int) {
	for ; seg < len(b.segs); seg, off = seg+1, 0 {
		s := b.segs[seg].B
		if seg == 0 {
			s = s[b.skip:]
		}
		if off < len(s) {
			return s[off:], seg, off
		}
	}
	return nil, seg, 0
}

// appendParts appends views of the payload's pieces. They are valid while the caller holds the block.
func (b *block) appendParts(dst [][]byte) [][]byte {
	for seg := 0; ; seg++ {
		var view []byte
		if view, seg, _ = b.part(seg, 0); len(view) == 0 {
			return dst
		}
		dst = append(dst, view)
	}
}

// newBlock returns the block of a record, with one holder. It takes ownership of buf, which is the payload.
func newBlock(buf *bufpool.Buf, r record, p Protocol, rawBytes int, account *atomic.Int64) *block {
	b := &block{
		segs: []*bufpool.Buf{buf}, bytes: len(buf.B), protocol: p, rawBytes: rawBytes, exemplars: -1, rows: r.rows, minTS: r.minTS, maxTS: r.maxTS, slot: r.slot,
		closed: r.closed, memBytes: int64(cap(buf.B)), account: account,
	}
	b.refs.Store(1)
	account.Add(b.memBytes)
	return b
}

func (b *block) String() string {
	return fmt.Sprintf("block of %d rows (%d bytes) for slot %d", b.rows, b.bytes, b.slot)
}
