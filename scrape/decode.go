package scrape

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// decodeInput is the size of the buffer before a decoder.
	decodeInput = 4 << 10
	// gzipBytes is about what a gzip decoder takes: its window, its tables and its input.
	gzipBytes = 44 << 10
	// zstdTables is about what a zstd decoder takes beside its window and its blocks.
	zstdTables = 48 << 10
	// zstdBlock is the largest block of a zstd body.
	zstdBlock = 128 << 10
	// maxZstdWindow is what the zstd format asks every decoder to be able to; a body with a larger window is refused.
	maxZstdWindow = 8 << 20
	// minZstdWindow is what all frames of a body may have, however small the first one's window is. With twice that, a body
	// could not be read any more which is alone while there is no room.
	minZstdWindow = 64 << 10
	// keepWindow is the largest window of a zstd decoder which is kept. Larger ones are made anew each time: a few targets
	// with them must not hold megabytes each between their scrapes.
	keepWindow = 1 << 20
	// packedSpare is how much longer than what it became, twice over, a compressed body may be: what frames and members cost, and
	// servers which flush each line.
	packedSpare = 1 << 20
)

// decoders has the decoders of bodies: those in use, and idle ones, of each kind as many as there are workers at most.
type decoders struct {
	keep int // immutable

	mu         sync.Mutex
	gzip, zstd []*decoder
	inUse      int64 // bytes
	// unused is the least number of idle ones since the last trim.
	unusedGzip, unusedZstd int
}

// decoder reads one compressed body at a time.
type decoder struct {
	in    *bufio.Reader
	gz    *gzip.Reader // one of the two
	zs    *zstd.Decoder
	bytes int64 // about what it takes
}

func newDecoders(keep int) *decoders { return &decoders{keep: keep} }

// Read borrows p.
func (d *decoder) Read(p []byte) (int, error) {
	if d.gz != nil {
		return d.gz.Read(p)
	}
	n, err := d.zs.Read(p)
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fmt.Errorf("zstd: window size exceeded: a frame has one of more than %d bytes, or than the first frame has", maxZstdWindow)
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("zstd: %w", err)
	}
	return n, err
}

// packedReader reads a compressed body, and fails once that becomes hardly anything: empty members, blocks and frames without
// an end would keep a worker busy, and never be too large.
type packedReader struct {
	r      io.Reader
	n      int64
	became *int64 // how many bytes were decompressed so far
}

// Read borrows p.
func (r *packedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	if r.n > packedSpare+2**r.became {
		return n, fmt.Errorf("%d bytes of the compressed body became %d when decompressed", r.n, *r.became)
	}
	return n, err
}

// gzipped returns ownership of a reader of a gzip body, which is to be given to put.
func (ds *decoders) gzipped(r io.Reader) (*decoder, error) {
	d := ds.take(&ds.gzip, &ds.unusedGzip)
	if d == nil {
		d = &decoder{in: bufio.NewReaderSize(nil, decodeInput), gz: &gzip.Reader{}}
	}
	d.in.Reset(r)
	ds.count(d, gzipBytes)
	if err := d.gz.Reset(d.in); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		ds.put(d)
		return nil, fmt.Errorf("read gzip header: %w", err)
	}
	return d, nil
}

// zstandard returns ownership of a reader of a zstd body, which is to be given to put. It allocates next to nothing before
// the first Read, so that there is time to ask whether the reader's bytes are to be had. No frame of the body may have a
// larger window than was counted for the first one.
func (ds *decoders) zstandard(r io.Reader) (*decoder, error) {
	var head [zstd.HeaderMaxSize]byte
	n, err := io.ReadFull(r, head[:])
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read zstd header: %w", err)
	}
	window := zstdWindow(head[:n])
	d := ds.take(&ds.zstd, &ds.unusedZstd)
	if d == nil {
		zs, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("make a zstd decoder: %w", err)
		}
		d = &decoder{in: bufio.NewReaderSize(nil, decodeInput), zs: zs}
	}
	d.in.Reset(io.MultiReader(bytes.NewReader(head[:n]), r))
	ds.count(d, zstdBytes(window))
	if err := d.zs.ResetWithOptions(d.in, zstd.WithDecoderMaxWindow(uint64(window))); err != nil {
		ds.put(d)
		return nil, fmt.Errorf("read zstd header: %w", err)
	}
	return d, nil
}

// zstdWindow is how large a window a body may use which begins so. Where the first frame does not say it, that is as much as
// any may.
func zstdWindow(head []byte) int64 {
	var h zstd.Header
	if h.Decode(head) != nil { // as the decoder will say, too
		return minZstdWindow
	}
	window := h.WindowSize
	switch {
	case h.Skippable:
		return maxZstdWindow
	case h.SingleSegment:
		window = h.FrameContentSize
	}
	return int64(min(max(window, minZstdWindow), maxZstdWindow))
}

// zstdBytes is about what a zstd decoder takes with a window: a ring of it and two blocks, about two blocks of input and
// literals, and its tables.
func zstdBytes(window int64) int64 { return zstdTables + window + 4*min(window, zstdBlock) }

// count notes how much memory a decoder in use takes. It never gives back what it once took.
func (ds *decoders) count(d *decoder, bytes int64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if bytes > d.bytes {
		ds.inUse += bytes - d.bytes
		d.bytes = bytes
	}
}

func (ds *decoders) take(idle *[]*decoder, unused *int) *decoder {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	n := len(*idle) - 1
	if n < 0 {
		return nil
	}
	d := (*idle)[n]
	(*idle)[n] = nil
	*idle = (*idle)[:n]
	*unused = min(*unused, n)
	ds.inUse += d.bytes
	return d
}

// put takes ownership of a decoder.
func (ds *decoders) put(d *decoder) {
	d.in.Reset(nil)
	idle, keep := &ds.gzip, true
	if d.zs != nil {
		idle, keep = &ds.zstd, d.bytes <= zstdBytes(keepWindow)
		if !keep || d.zs.Reset(nil) != nil {
			d.zs.Close()
			keep = false
		}
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.inUse -= d.bytes
	if keep && len(*idle) < ds.keep {
		*idle = append(*idle, d)
	} else if d.zs != nil {
		d.zs.Close()
	}
}

// bytes is the memory that all decoders take.
func (ds *decoders) bytes() int64 {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	n := ds.inUse
	for _, idle := range [][]*decoder{ds.gzip, ds.zstd} {
		for _, d := range idle {
			n += d.bytes
		}
	}
	return n
}

// trim lets go of decoders which lay idle since the last trim, and returns how many bytes they took.
func (ds *decoders) trim() int64 {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	freed := drop(&ds.gzip, ds.unusedGzip) + drop(&ds.zstd, ds.unusedZstd)
	ds.unusedGzip, ds.unusedZstd = len(ds.gzip), len(ds.zstd)
	return freed
}

// shrink lets go of all idle decoders, and returns how many bytes they took.
func (ds *decoders) shrink() int64 {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.unusedGzip, ds.unusedZstd = 0, 0
	return drop(&ds.gzip, len(ds.gzip)) + drop(&ds.zstd, len(ds.zstd))
}

// drop removes the n decoders which were used longest ago.
func drop(idle *[]*decoder, n int) (freed int64) {
	for _, d := range (*idle)[:n] {
		freed += d.bytes
		if d.zs != nil {
			d.zs.Close()
		}
	}
	kept := copy(*idle, (*idle)[n:])
	clear((*idle)[kept:])
	*idle = (*idle)[:kept]
	return freed
}
