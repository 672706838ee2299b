package remotewrite

import (
	"encoding/binary"
	"math/bits"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"scraper/bufpool"
)

const (
	// chunkBytes is how much is encoded before it is compressed. A snappy block may be made of pieces which were compressed
	// one by one, since its references only go back within a piece. Larger pieces find more to refer to, and are dearer
	// only in memory: a kubelet's cAdvisor series of 429 bytes take 53 bytes at 64 KiB (and 155 ns), 38 at 256 KiB (83
	// ns), 35 at 512 KiB, 32 at 2 MiB; an API server's of 262 bytes take 19.6, 18.4, 18.1, 17.8.
	chunkBytes = 256 << 10
	// firstChunkBytes is where that buffer starts, for agents with a few hundred series.
	firstChunkBytes = 16 << 10
	// rowReserve is the room without which no row is begun. A longer row moves its chunk, which is rare enough.
	rowReserve = 4 << 10
	// segBytes is the size of the pieces in which the compressed block is kept. A block is a few hundred KiB at most as
	// a rule, and as many bytes as it happens to be: one buffer of a size class would waste a quarter of it on average,
	// and a backlog's memory is blocks alone.
	segBytes = 32 << 10
	// maxHeader is the room for the length of the uncompressed block, which snappy puts first and which is known last.
	maxHeader = binary.MaxVarintLen32
	// zstdWindow is how far back zstd looks where a request is compressed again.
	zstdWindow = 2 << 20
	// leastWindow is the least: with less the encoder takes no less.
	leastWindow = 64 << 10
)

// output is where an encoder writes: a buffer which is compressed whenever it is full.
type output struct {
	pool     *bufpool.Pool
	buf      *bufpool.Buf
	rawBytes int // before compression; without what is in buf
	zstd     *zstd.Encoder
	// thorough makes snappy take more time, for 3 to 13 % less: a block of remote write 2 is so small before that the time
	// is hardly any.
	thorough bool
	seg      segments
}

// room leaves n bytes of room in the buffer. It reports whether the buffer is a new one, or empty.
func (o *output) room(n int) (fresh bool) {
	for cap(o.buf.B)-len(o.buf.B) < n {
		switch {
		case cap(o.buf.B) < chunkBytes:
			o.buf.Grow(cap(o.buf.B) - len(o.buf.B) + 1) // the next size class
		case len(o.buf.B) > 0:
			o.flush()
			fresh = true
			if cap(o.buf.B) > chunkBytes { // a very long row moved it
				o.buf.Release()
				o.buf = o.pool.Get(chunkBytes)
			}
		default:
			o.buf.Grow(n)
		}
	}
	return fresh
}

// flush compresses what is in the buffer.
func (o *output) flush() {
	raw := o.buf.B
	if len(raw) == 0 {
		return
	}
	o.rawBytes += len(raw)
	if o.zstd != nil {
		_, _ = o.zstd.Write(raw) // it goes to o.seg, which never fails
	} else {
		scratch := o.pool.Get(s2.MaxEncodedLen(len(raw)))
		encode := s2.EncodeSnappy
		if o.thorough {
			encode = s2.EncodeSnappyBetter
		}
		out := encode(scratch.B[:cap(scratch.B)], raw)
		_, n := binary.Uvarint(out) // its length alone, which says nothing about the whole
		_, _ = o.seg.Write(out[n:])
		scratch.Release()
	}
	o.buf.B = o.buf.B[:0]
}

// segments is a growing list of buffers. It is an io.Writer.
type segments struct {
	pool *bufpool.Pool
	bufs []*bufpool.Buf
	skip int // bytes left free before the first
}

func (s *segments) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		k := len(s.bufs)
		if k == 0 || len(s.bufs[k-1].B) == cap(s.bufs[k-1].B) {
			s.grow()
			continue
		}
		b := s.bufs[k-1]
		n := min(len(rest), cap(b.B)-len(b.B))
		b.B = append(b.B, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

func (s *segments) grow() {
	b := s.pool.Get(segBytes)
	if len(s.bufs) == 0 {
		b.B = b.B[:s.skip]
	}
	s.bufs = append(s.bufs, b)
}

// trim gives back what the last buffer has too much: most blocks of a small agent are far smaller than a segment.
func (s *segments) trim() {
	k := len(s.bufs) - 1
	if last := s.bufs[k]; len(last.B) <= cap(last.B)/2 {
		fit := s.pool.Get(len(last.B))
		fit.B = append(fit.B, last.B...)
		last.Release()
		s.bufs[k] = fit
	}
}

// newZstd returns an encoder which writes a frame with size bytes of content to s. It takes as much as its window and half a
// megabyte, and it is for pieces of blocks which a receiver refused, so one is made each time, and none is kept. Blocks are
// compressed by weaver.
func newZstd(s *segments, size int) *zstd.Encoder {
	window := min(zstdWindow, max(leastWindow, 1<<bits.Len(uint(size))))
	// A concurrency of 1 keeps it from starting goroutines; the options cannot be wrong.
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window),
		zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedFastest))
	z.ResetContentSize(s, int64(size))
	return z
}
