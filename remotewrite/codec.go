package remotewrite

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"scraper/bufpool"
	"scraper/zstdframe"
)

// codec turns open blocks into blocks, in each protocol. It is safe for concurrent use: what it needs for that is kept
// between calls, as much as was needed at the same time.
type codec struct {
	pool    *bufpool.Pool
	sources int // with how many rows a row is compared for zstd

	bytes     atomic.Int64 // of what is in free
	splitting sync.Mutex   // one block is read again at a time, whichever destination's: it takes memory; taken before recoding
	recoding  sync.Mutex   // likewise decoded

	mu   sync.Mutex
	free []*workspace
	idle int // how many of free were never used since turn was called
}

// workspace is what one encoding needs.
type workspace struct {
	zstd   *zstdSpace // nil until it is needed
	one    encoder1
	two    encoder2
	labels []uint32
}

// memory is the bytes that it takes.
func (ws *workspace) memory() int64 {
	return 8*int64(cap(ws.one.ends)+cap(ws.one.spare)+cap(ws.two.symbols)+cap(ws.two.refs)) +
		4*int64(cap(ws.labels)+cap(ws.two.table)+cap(ws.two.help)+cap(ws.two.unit)) + int64(cap(ws.two.lens)+cap(ws.two.tail)) +
		ws.zstd.memory()
}

// zstdSpace is what an encoding in zstd needs.
type zstdSpace struct {
	weaver weaver
	frame  zstdframe.Writer
}

func (z *zstdSpace) memory() int64 {
	if z == nil {
		return 0
	}
	return z.weaver.memory() + int64(z.frame.Memory())
}

// maxFree is how many workspaces are kept: as many as encode at the same time, on the processors which an agent has.
const maxFree = 4

func newCodec(pool *bufpool.Pool, zstdLevel int) *codec {
	return &codec{pool: pool, sources: sourcesOf(zstdLevel)}
}

func (c *codec) get() *workspace {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := len(c.free); k > 0 {
		ws := c.free[k-1]
		c.free[k-1] = nil
		c.free = c.free[:k-1]
		c.idle = min(c.idle, k-1)
		c.bytes.Add(-ws.memory())
		return ws
	}
	return &workspace{two: encoder2{seed: maphash.MakeSeed()}}
}

func (c *codec) put(ws *workspace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) < maxFree {
		c.free = append(c.free, ws)
		c.bytes.Add(ws.memory())
	}
}

// pack returns a block with another request than like, of rows samples, and like it but for that, with one holder. The request
// is parts, one behind the other, of size bytes in all; they are borrowed, and never held together.
func (c *codec) pack(parts iter.Seq[[]byte], size int, like *block, rows int) *block {
	out := output{pool: c.pool, buf: c.pool.Get(max(min(size, chunkBytes), 1)), seg: segments{pool: c.pool}}
	blk := &block{
		protocol: like.protocol, rows: rows, exemplars: -1, minTS: like.minTS, maxTS: like.maxTS, slot: like.slot, closed: like.closed,
		account: like.account,
	}
	if blk.protocol == ProtocolVM {
		out.zstd = newZstd(&out.seg, size)
	} else {
		out.seg.skip = maxHeader
	}
	for part := range parts {
		for len(part) > 0 {
			n := min(len(part), cap(out.buf.B)-len(out.buf.B))
			out.buf.B = append(out.buf.B, part[:n]...)
			if part = part[n:]; len(part) > 0 {
				out.flush()
			}
		}
	}
	c.finish(blk, &out)
	return blk
}

// finish makes blk the block of what was written to out.
func (c *codec) finish(blk *block, out *output) {
	out.flush()
	out.buf.Release()
	if len(out.seg.bufs) == 0 {
		out.seg.grow()
	}
	if out.zstd != nil {
		if err := out.zstd.Close(); err != nil {
			panic("remotewrite: a request is not as long as it says: " + err.Error())
		}
	} else {
		// The length goes directly before the first byte behind it.
		blk.skip = maxHeader - uvarintLen(out.rawBytes)
		binary.PutUvarint(out.seg.bufs[0].B[blk.skip:], uint64(out.rawBytes))
	}
	c.seal(blk, out)
}

// seal makes blk the block of what is in the segments.
func (c *codec) seal(blk *block, out *output) {
	out.seg.trim()
	blk.segs, blk.rawBytes, blk.bytes = out.seg.bufs, out.rawBytes, -blk.skip
	for _, s := range blk.segs {
		blk.bytes += len(s.B)
		blk.memBytes += int64(cap(s.B))
	}
	blk.refs.Store(1)
	blk.account.Add(blk.memBytes)
}

// encode returns the open block b, which stays as it is, in protocol p, with one holder. There must be something in it.
func (c *codec) encode(b *builder, p Protocol, slot int, now time.Time) *block {
	ws := c.get()
	defer c.put(ws)
	blk := &block{
		protocol: p, rows: b.rows, exemplars: b.exemplars, minTS: b.minTS, maxTS: b.maxTS,
		slot: slot, closed: now, account: b.account,
	}
	if p != Protocol2 {
		blk.rows -= b.custom.rows
	}
	if p == ProtocolVM {
		c.encodeZstd(blk, b, ws)
		return blk
	}
	out := output{pool: c.pool, buf: c.pool.Get(firstChunkBytes), seg: segments{pool: c.pool, skip: maxHeader}}
	if p == Protocol2 {
		out.thorough = true
		ws.two.run(b, ws, &out)
	} else {
		ws.one.run(b, ws, &out, true)
	}
	c.finish(blk, &out)
	return blk
}

// encodeZstd makes blk the block of the open block b in ProtocolVM.
func (c *codec) encodeZstd(blk *block, b *builder, ws *workspace) {
	if ws.zstd == nil {
		ws.zstd = new(zstdSpace)
	}
	out := output{rawBytes: b.sizeVM - b.custom.bytesVM, seg: segments{pool: c.pool}}
	ws.zstd.frame.Begin(&out.seg, out.rawBytes)
	ws.zstd.weaver.run(b, ws, &ws.zstd.frame, weaveOptions{maxDistance: zstdframe.MaxDistance, sources: c.sources})
	if err := ws.zstd.frame.End(); err != nil {
		panic("remotewrite: an open block is not as long as it says: " + err.Error())
	}
	blk.exemplars = 0
	c.seal(blk, &out)
}

// turn lets go of what was not used for a while. It is called now and then.
func (c *codec) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(c.idle)
	c.idle = len(c.free)
}

// dropFree gives up the workspaces which are not in use.
func (c *codec) dropFree() (released int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = 0
	return c.dropLocked(len(c.free))
}

// dropLocked gives up the n workspaces which were not used for longest.
func (c *codec) dropLocked(n int) (released int64) {
	for _, ws := range c.free[:n] {
		released += ws.memory()
	}
	c.free = slices.Delete(c.free, 0, n)
	c.bytes.Add(-released)
	return released
}

// shrink gives back what can be made again, and returns how much that was.
func (c *codec) shrink() (released int64) { return c.dropFree() }

// memory is the bytes that are kept for the next blocks. It waits for nobody who encodes.
func (c *codec) memory() int64 { return c.bytes.Load() }
