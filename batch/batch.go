// Package batch holds what one scrape read, compactly, from the moment a line was parsed until the sink has encoded it.
//
// A batch is rows of (label set, value), with a timestamp only where the target wrote one. It exists because a scrape is
// atomic: the body is gone long before it is known to be good, so its samples wait here, at 12 bytes each. A batch does
// not own label sets: they belong to the target's labelset.Store, which outlives the batch. What is more than a sample, or
// has labels which are in no store, is a row with extras (rows.go), and takes as much as it has.
//
// Concurrency: one goroutine at a time. Ownership: the rows live in chunks of a bufpool.Pool, which Reset gives back.
//
// The package lies below both scrape, which fills batches, and remotewrite, which reads them, so that neither needs to
// import the other. Read batch.go first, then rows.go and spool.go.
package batch

import (
	"encoding/binary"
	"fmt"
	"math"

	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/labelset"
)

// StaleNaN is the bit pattern of a staleness marker, as Prometheus defines it.
const StaleNaN uint64 = 0x7ff0000000000002

// NormalNaN is the bit pattern to which every NaN of a text exposition is brought, so that no target can write a
// staleness marker by itself.
const NormalNaN uint64 = 0x7ff8000000000001

const (
	// chunkBytes is the size of a chunk of rows. Smaller ones cost a pool round trip more often; larger ones waste more
	// for the many targets which have a few hundred series, whose only chunk is firstChunkBytes anyway.
	chunkBytes      = 64 << 10
	firstChunkBytes = 4 << 10

	plainRowBytes = 4 + 8
	timedRowBytes = plainRowBytes + 8

	timedRow = 1 << 31 // set in a row's label set when a timestamp follows its value
	extraRow = 1 << 30 // set there when extras follow

	// maxRowBytes is the longest row: what one metric can bring is limited to less long before.
	maxRowBytes = 16 << 20
)

// MaxSet is the largest label set identifier that a row can carry.
const MaxSet = labelset.Reserved - 1

// Dropped counts, by reason, samples which a sink accepted but had to let go while the batch was being committed.
// The zero value means that nothing was dropped.
type Dropped struct {
	Relabeled int // dropped by a destination's own rules
	QueueFull int // the destination's bounded queue was full, and older samples made way
	TooLarge  int // a single series exceeds the destination's block size
	Shutdown  int // the sink no longer accepts samples
	// Unreadable samples were lost with the batch's file: see Cursor.Err.
	Unreadable int
}

// Add adds o to d.
func (d *Dropped) Add(o Dropped) {
	d.Relabeled += o.Relabeled
	d.QueueFull += o.QueueFull
	d.TooLarge += o.TooLarge
	d.Shutdown += o.Shutdown
	d.Unreadable += o.Unreadable
}

// Batch is the rows of one scrape. The zero value is not usable; use New.
type Batch struct {
	// Slot decides which of a destination's slots carries this batch: the hash of the target's job and URL without its
	// labels. Samples of one series always have the same slot, which is what keeps them in order.
	Slot uint64
	// TimestampMillis is the scrape's timestamp, in milliseconds since the epoch; it holds for every row without one of its own.
	TimestampMillis int64
	// Sets resolves the rows' label sets. It is borrowed from the target for as long as the batch has rows.
	Sets *labelset.Store

	pool   *bufpool.Pool
	chunks []*bufpool.Buf
	bytes  int // capacity of chunks
	rows   int
	timed  int

	spool   *Spool
	file    *spooled // holds the rows before those in chunks; nil while there are none
	spillAt int64    // bytes from which on it is tried again to write them to the file; 0 if that did not fail
	most    int      // that bytes was
	err     error
}

// New returns an empty batch whose chunks come from pool.
func New(pool *bufpool.Pool) *Batch { return &Batch{pool: pool} }

// NewSpooled is New, with a limit on the memory of a batch: what goes beyond lies in one of spool's files, as far as these
// can be written.
func NewSpooled(pool *bufpool.Pool, spool *Spool) *Batch { return &Batch{pool: pool, spool: spool} }

// Err is the error that kept rows from being stored, nil if there was none. A batch with an error is not to be used.
func (b *Batch) Err() error { return b.err }

// Len is the number of rows.
func (b *Batch) Len() int { return b.rows }

// Timed is the number of rows which have a timestamp of their own.
func (b *Batch) Timed() int { return b.timed }

// Bytes is the memory that the batch's chunks take, in bytes.
func (b *Batch) Bytes() int64 { return int64(b.bytes) }

// MostBytes is the most that Bytes was since Reset.
func (b *Batch) MostBytes() int64 { return int64(max(b.most, b.bytes)) }

// Append adds a row without a timestamp of its own.
func (b *Batch) Append(set labelset.ID, value float64) {
	p := b.grow(plainRowBytes)
	binary.LittleEndian.PutUint32(p, uint32(set))
	binary.LittleEndian.PutUint64(p[4:], math.Float64bits(value))
}

// AppendTimed adds a row with its own timestamp in milliseconds.
func (b *Batch) AppendTimed(set labelset.ID, value float64, tsMillis int64) {
	p := b.grow(timedRowBytes)
	binary.LittleEndian.PutUint32(p, uint32(set)|timedRow)
	binary.LittleEndian.PutUint64(p[4:], math.Float64bits(value))
	binary.LittleEndian.PutUint64(p[12:], uint64(tsMillis))
	b.timed++
}

// AppendStale adds a staleness marker for set at the batch's timestamp.
func (b *Batch) AppendStale(set labelset.ID) { b.Append(set, math.Float64frombits(StaleNaN)) }

// grow returns n bytes at the end of the rows, in one chunk.
func (b *Batch) grow(n int) []byte {
	b.rows++
	if k := len(b.chunks); k > 0 {
		c := b.chunks[k-1]
		if l := len(c.B); l+n <= cap(c.B) {
			c.B = c.B[:l+n]
			return c.B[l : l+n : l+n]
		}
	}
	if b.isFull() {
		b.spill()
	}
	size := chunkBytes
	if len(b.chunks) == 0 && b.file == nil {
		size = firstChunkBytes
	}
	c := b.pool.Get(max(size, n))
	c.B = c.B[:n]
	b.chunks = append(b.chunks, c)
	b.bytes += cap(c.B)
	return c.B[:n:n]
}

// Reset drops all rows and gives the chunks back to their pool.
func (b *Batch) Reset() {
	for i, c := range b.chunks {
		c.Release()
		b.chunks[i] = nil
	}
	b.chunks = b.chunks[:0]
	b.bytes, b.rows, b.timed = 0, 0, 0
	b.spillAt, b.most = 0, 0
	b.Sets = nil
	if b.file != nil {
		b.spool.Return(b.file.f)
		b.file = nil
	}
	b.err = nil
}

// Cursor walks the rows of a batch in the order in which they were added.
//
// Use it as
//
//	for c := b.Cursor(); c.Next(); {
//		refs = c.AppendLabels(refs[:0])
//		… c.Value, c.TimestampMillis …
//	}
//
// A cursor is valid until the batch is changed or reset. Err tells afterwards whether all rows could be read; who leaves the
// loop early calls Close.
type Cursor struct {
	// Kind says what the current row is.
	Kind Kind
	// Set, Value and TimestampMillis are the current row's. The timestamp is the batch's where the row has none. Set means
	// nothing where Labels are given, and in metadata.
	Set             labelset.ID
	Value           float64
	TimestampMillis int64
	// Timed is true where the target wrote the timestamp itself.
	Timed bool
	// Extra is what else a row may have; the zero value in a plain one. Its bytes are views, valid until Next.
	Extra

	b     *Batch
	extra bool // the current row has extras
	chunk int  // counting those in the file first
	rest  []byte
	page  *bufpool.Buf // of the chunk that was read from the file
	err   error
}

// Cursor returns a cursor before the first row.
func (b *Batch) Cursor() *Cursor { return &Cursor{b: b, chunk: -1} }

// Next moves to the next row and reports whether there is one.
func (c *Cursor) Next() bool {
	for len(c.rest) == 0 {
		if !c.nextChunk() {
			return false
		}
	}
	head := binary.LittleEndian.Uint32(c.rest)
	c.Value = math.Float64frombits(binary.LittleEndian.Uint64(c.rest[4:]))
	c.Set = labelset.ID(head &^ (timedRow | extraRow))
	c.Timed = head&timedRow != 0
	if c.Timed {
		c.TimestampMillis = int64(binary.LittleEndian.Uint64(c.rest[12:]))
		c.rest = c.rest[timedRowBytes:]
	} else {
		c.TimestampMillis = c.b.TimestampMillis
		c.rest = c.rest[plainRowBytes:]
	}
	if head&extraRow != 0 {
		c.takeExtra()
	} else if c.extra {
		c.Kind, c.Extra, c.extra = KindSample, Extra{}, false
	}
	return true
}

// nextChunk makes the next chunk the current one, and reports whether there is one.
func (c *Cursor) nextChunk() bool {
	c.chunk++
	i := c.chunk
	if c.b.file != nil {
		if n := len(c.b.file.chunks); i < n {
			return c.load(i)
		}
		i -= len(c.b.file.chunks)
		c.Close()
	}
	if i >= len(c.b.chunks) {
		return false
	}
	c.rest = c.b.chunks[i].B
	return true
}

// load reads a chunk from the file.
func (c *Cursor) load(i int) bool {
	if c.page == nil {
		c.page = c.b.pool.Get(chunkBytes)
	}
	if c.err = c.b.file.read(i, c.page); c.err != nil {
		c.Close()
		c.chunk = math.MaxInt - 1 // there is no way on
		return false
	}
	c.rest = c.page.B
	return true
}

// Err is the error which ended the rows early, nil if there was none.
func (c *Cursor) Err() error { return c.err }

// Close gives back what the cursor holds. Next does so at the end of the rows.
func (c *Cursor) Close() {
	if c.page != nil {
		c.page.Release()
		c.page, c.rest = nil, nil
	}
}

// AppendLabels appends the labels of the current row's label set to dst, sorted by name, as references into the dictionary
// that the batch's Sets use. The references are borrowed: they are valid until the call that was given the batch returns.
// A row whose Labels are given, and metadata, have no label set.
func (c *Cursor) AppendLabels(dst []labelcompress.Ref) []labelcompress.Ref {
	return c.b.Sets.AppendRefs(dst, c.Set)
}

// IsStale reports whether v is a staleness marker.
func IsStale(v float64) bool { return math.Float64bits(v) == StaleNaN }

// String describes the batch for logs and test failures.
func (b *Batch) String() string {
	return fmt.Sprintf("batch of %d rows (%d timed) at %d", b.rows, b.timed, b.TimestampMillis)
}
