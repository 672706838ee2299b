package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/zstdframe"
)

// errEncoding says that a block does not hold what its protocol says.
var errEncoding = errors.New("the block is not what was encoded")

// unpack returns ownership of a block's request, decompressed. It borrows the block.
func (c *codec) unpack(blk *block) (*bufpool.Buf, error) {
	if blk.rawBytes < 0 || blk.rawBytes > maxBlockBytesLimit {
		return nil, fmt.Errorf("decompress: %w: %d bytes", errEncoding, blk.rawBytes)
	}
	packed := c.pool.Get(blk.bytes)
	defer packed.Release()
	for _, p := range blk.appendParts(nil) {
		packed.B = append(packed.B, p...)
	}
	raw := c.pool.Get(blk.rawBytes)
	var n int
	var err error
	if blk.protocol == ProtocolVM {
		n, err = unzstd(raw, packed.B, blk.rawBytes)
	} else if n, err = s2.DecodedLen(packed.B); err == nil && n == blk.rawBytes {
		_, err = s2.Decode(raw.B[:n], packed.B)
		raw.B = raw.B[:n]
	}
	if err == nil && n != blk.rawBytes {
		err = errEncoding
	}
	if err != nil {
		raw.Release()
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return raw, nil
}

// unzstd decompresses packed, which is to make n bytes, and returns how many it made. It is for blocks whose receiver changed
// its mind, so a decoder is made each time, and none is kept. The bound on its memory is no less than the window which a frame
// announces, a power of two above its content; it takes none, since it writes to raw.
func unzstd(raw *bufpool.Buf, packed []byte, n int) (int, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(n, zstdframe.MaxDistance))))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	raw.B, err = d.DecodeAll(packed, raw.B[:0])
	return len(raw.B), err
}

// recode returns the content of a block, which it borrows, in another protocol, with one holder.
func (c *codec) recode(blk *block, to Protocol) (*block, error) {
	c.recoding.Lock()
	defer c.recoding.Unlock()
	raw, err := c.unpack(blk)
	if err != nil {
		return nil, err
	}
	defer raw.Release()
	b := newBuilder(c.pool, blk.account)
	defer b.discard()
	b.open(nil)
	d := decoder{b: &b}
	if blk.protocol == Protocol2 {
		err = d.decode2(raw.B)
	} else {
		err = d.decode1(raw.B)
	}
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if b.rows != blk.rows {
		return nil, fmt.Errorf("decode: %w: %d rows, not %d", errEncoding, b.rows, blk.rows)
	}
	if !b.fits(to) {
		return nil, nil
	}
	out := c.encode(&b, to, blk.slot, blk.closed)
	if out.rows > 0 {
		out.minTS, out.maxTS = blk.minTS, blk.maxTS
	}
	return out, nil
}

// decoder reads requests into an open block.
type decoder struct {
	b       *builder
	texts   map[string]uint32 // labels by their wire form
	pairs   map[uint64]uint32 // labels by their symbols
	symbols [][]byte
	labels  []uint32
	scratch []byte

	families map[string]int // of version 1: metadata by family
	family   seriesFamily   // of version 2
}

// decode1 reads a request of version 1, which it borrows.
func (d *decoder) decode1(msg []byte) error {
	d.texts = make(map[string]uint32)
	if err := d.metadata1(msg); err != nil {
		return err
	}
	for f := (field{rest: msg}); f.next(); {
		if f.is(1, wireBytes) {
			if err := d.series(f.data, 2, 4, 3, d.labels1); err != nil {
				return err
			}
		}
	}
	return checkFields(msg)
}

// decode2 reads a request of version 2, which it borrows.
func (d *decoder) decode2(msg []byte) error {
	d.pairs = make(map[uint64]uint32)
	for f := (field{rest: msg}); f.next(); {
		if f.is(4, wireBytes) {
			d.symbols = append(d.symbols, f.data)
		}
	}
	for f := (field{rest: msg}); f.next(); {
		if f.is(5, wireBytes) {
			if err := d.series(f.data, 2, 3, 4, d.labels2); err != nil {
				return err
			}
		}
	}
	return checkFields(msg)
}

// checkFields says whether all of msg is fields.
func checkFields(msg []byte) error {
	f := field{rest: msg}
	for f.next() {
	}
	return f.err
}

// series reads one TimeSeries, whose samples, histograms and exemplars have the given fields. Labels reads the labels of a
// message, from its fields 1.
func (d *decoder) series(msg []byte, samples, histograms, exemplars int, labels func([]byte) error) error {
	d.labels = d.labels[:0]
	if err := labels(msg); err != nil {
		return err
	}
	if err := d.beginFamily(msg); err != nil {
		return err
	}
	f := field{rest: msg}
	for f.next() {
		if f.wire != wireBytes {
			continue
		}
		r := row{}
		switch f.num {
		case samples:
			r.kind = batch.KindSample
			p := field{rest: f.data}
			for p.next() {
				switch {
				case p.is(1, wireFixed64):
					r.value = math.Float64frombits(p.v)
				case p.is(2, wireVarint):
					r.tsMillis = int64(p.v)
				case p.is(3, wireVarint):
					r.startMillis = int64(p.v)
				}
			}
			if p.err != nil {
				return p.err
			}
		case histograms:
			r.kind = batch.KindHistogram
			if err := d.histogram(f.data, &r); err != nil {
				return err
			}
		case exemplars:
			r.kind = batch.KindExemplar
			if err := d.exemplar(f.data, &r); err != nil {
				return err
			}
		default:
			continue
		}
		d.b.appendNumbered(d.labels, &r)
	}
	return f.err
}

// labels1 reads the labels of a series of version 1.
func (d *decoder) labels1(msg []byte) error {
	f := field{rest: msg}
	for f.next() {
		if !f.is(1, wireBytes) {
			continue
		}
		wire, err := d.label1(f.data)
		if err != nil {
			return err
		}
		n, ok := d.texts[string(wire)]
		if !ok {
			n = d.b.addLabel(wire)
			d.texts[string(wire)] = n
		}
		d.labels = append(d.labels, n)
	}
	return f.err
}

// label1 returns the wire form of a Label message: a view, valid until the next call.
func (d *decoder) label1(msg []byte) ([]byte, error) {
	var name, value []byte
	f := field{rest: msg}
	for f.next() {
		switch {
		case f.is(1, wireBytes):
			name = f.data
		case f.is(2, wireBytes):
			value = f.data
		}
	}
	d.scratch = labelcompress.AppendLabel(d.scratch[:0], name, value)
	return d.scratch, f.err
}

// labels2 reads the labels of a series of version 2.
func (d *decoder) labels2(msg []byte) error {
	f := field{rest: msg}
	for f.next() {
		if !f.is(1, wireBytes) {
			continue
		}
		err := d.refs(f.data, func(name, value uint64) {
			n, ok := d.pairs[name<<32|value]
			if !ok {
				d.scratch = labelcompress.AppendLabel(d.scratch[:0], d.symbols[name], d.symbols[value])
				n = d.b.addLabel(d.scratch)
				d.pairs[name<<32|value] = n
			}
			d.labels = append(d.labels, n)
		})
		if err != nil {
			return err
		}
	}
	return f.err
}

// refs calls label for each pair of references in p, which are symbols.
func (d *decoder) refs(p []byte, label func(name, value uint64)) error {
	for len(p) > 0 {
		name, k := binary.Uvarint(p)
		value, l := binary.Uvarint(p[max(k, 0):])
		if k <= 0 || l <= 0 || name >= uint64(len(d.symbols)) || value >= uint64(len(d.symbols)) {
			return fmt.Errorf("%w: reference to no symbol", errEncoding)
		}
		label(name, value)
		p = p[k+l:]
	}
	return nil
}

// exemplar reads an Exemplar: of version 1 if there are no symbols.
func (d *decoder) exemplar(msg []byte, r *row) error {
	f := field{rest: msg}
	for f.next() {
		switch {
		case f.is(1, wireBytes) && d.symbols == nil:
			wire, err := d.label1(f.data)
			if err != nil {
				return err
			}
			r.payload = append(r.payload, wire...)
		case f.is(1, wireBytes):
			err := d.refs(f.data, func(name, value uint64) {
				r.payload = labelcompress.AppendLabel(r.payload, d.symbols[name], d.symbols[value])
			})
			if err != nil {
				return err
			}
		case f.is(2, wireFixed64):
			r.value = math.Float64frombits(f.v)
		case f.is(3, wireVarint):
			r.tsMillis = int64(f.v)
		}
	}
	return f.err
}

// histogram reads a Histogram: its times, and the rest as it is.
func (d *decoder) histogram(msg []byte, r *row) error {
	f := field{rest: msg}
	for before := f.rest; f.next(); before = f.rest {
		switch {
		case f.is(15, wireVarint):
			r.tsMillis = int64(f.v)
		case f.is(17, wireVarint):
			r.startMillis = int64(f.v)
		default:
			r.payload = append(r.payload, before[:len(before)-len(f.rest)]...)
		}
	}
	return f.err
}

// The types of fields.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field walks the fields of a message.
type field struct {
	num  int
	wire int
	data []byte // of wireBytes: a view
	v    uint64 // of the others
	rest []byte
	err  error
}

func (f *field) is(num, wire int) bool { return f.num == num && f.wire == wire }

func (f *field) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	tag, n := binary.Uvarint(f.rest)
	if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f.fail()
	}
	f.rest, f.num, f.wire = f.rest[n:], int(tag>>3), int(tag&7)
	f.data, f.v = nil, 0
	switch f.wire {
	case wireVarint:
		f.v, n = binary.Uvarint(f.rest)
	case wireFixed64:
		if n = 8; len(f.rest) >= n {
			f.v = binary.LittleEndian.Uint64(f.rest)
		}
	case wireFixed32:
		if n = 4; len(f.rest) >= n {
			f.v = uint64(binary.LittleEndian.Uint32(f.rest))
		}
	case wireBytes:
		var l uint64
		if l, n = binary.Uvarint(f.rest); n > 0 && l <= uint64(len(f.rest)-n) {
			f.data = f.rest[n : n+int(l) : n+int(l)]
			n += int(l)
		} else {
			n = 0
		}
	default:
		n = 0
	}
	if n <= 0 || n > len(f.rest) {
		return f.fail()
	}
	f.rest = f.rest[n:]
	return true
}

func (f *field) fail() bool {
	f.err = errEncoding
	return false
}
