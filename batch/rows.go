package batch

import (
	"encoding/binary"
	"fmt"
	"math"

	"scraper/labelset"
)

// Kind says what a row is.
type Kind uint8

const (
	// KindSample is a float sample of a series, or its staleness marker.
	KindSample Kind = iota
	// KindHistogram is a native histogram: Extra.Payload is remote write's Histogram message without its timestamps, whose
	// fields 1 to 14 and 16 have the same numbers in both versions of the protocol. Value is not used.
	KindHistogram
	// KindExemplar belongs to the series of the row's label set: Extra.Payload is its labels, in the form of Extra.Labels. The
	// row is timed where the exemplar has a timestamp.
	KindExemplar
	// KindMetadata tells of a family whose rows follow: Extra.Payload is made by AppendMetadata. It has no label set. A
	// scrape brings it only when the metadata are due to be sent again, or changed.
	KindMetadata
)

// Extra is what a row may have beside a label set, a value and a timestamp.
type Extra struct {
	// Labels are the series' labels where they are in no label set: Label messages as remote write 1 has them within a
	// TimeSeries (labelcompress.AppendLabel), one after the other, sorted by name. Nil otherwise.
	Labels []byte
	// StartMillis is when the series' counting began, in milliseconds since the epoch; 0 where that is not known.
	StartMillis int64
	// Payload is what Kind says.
	Payload []byte
}

// Flags beside a row's kind, which takes the low four bits.
const (
	extraKind   = 0x0f
	extraLabels = 0x10
	extraStart  = 0x20
)

// A row with extras goes on, behind its value and timestamp, with
//
//	kind and flags                      1 byte
//	start, if flagged                   8 bytes
//	length and labels, if flagged       variable-length integer, bytes
//	length and payload, but in samples  variable-length integer, bytes

// AppendExtra adds a row of any kind. Set is not used where x has labels, and in metadata. It borrows x's bytes.
func (b *Batch) AppendExtra(kind Kind, set labelset.ID, value float64, x Extra) {
	b.appendExtra(kind, uint32(set), value, nil, x)
}

// AppendExtraTimed is AppendExtra for a row with its own timestamp in milliseconds.
func (b *Batch) AppendExtraTimed(kind Kind, set labelset.ID, value float64, tsMillis int64, x Extra) {
	b.appendExtra(kind, uint32(set)|timedRow, value, &tsMillis, x)
}

func (b *Batch) appendExtra(kind Kind, head uint32, value float64, tsMillis *int64, x Extra) {
	flags := byte(kind)
	n := plainRowBytes + 1
	if tsMillis != nil {
		n += 8
	}
	if x.StartMillis != 0 {
		flags |= extraStart
		n += 8
	}
	if x.Labels != nil {
		flags |= extraLabels
		n += uvarintLen(len(x.Labels)) + len(x.Labels)
	}
	if kind != KindSample {
		n += uvarintLen(len(x.Payload)) + len(x.Payload)
	}
	if n > maxRowBytes {
		b.err = fmt.Errorf("batch: a row of %d bytes is longer than %d", n, maxRowBytes)
		return
	}
	p := b.grow(n)[:0]
	p = binary.LittleEndian.AppendUint32(p, head|extraRow)
	p = binary.LittleEndian.AppendUint64(p, math.Float64bits(value))
	if tsMillis != nil {
		p = binary.LittleEndian.AppendUint64(p, uint64(*tsMillis))
		b.timed++
	}
	p = append(p, flags)
	if x.StartMillis != 0 {
		p = binary.LittleEndian.AppendUint64(p, uint64(x.StartMillis))
	}
	if x.Labels != nil {
		p = append(binary.AppendUvarint(p, uint64(len(x.Labels))), x.Labels...)
	}
	if kind != KindSample {
		_ = append(binary.AppendUvarint(p, uint64(len(x.Payload))), x.Payload...)
	}
}

// OfSet reports whether the current row is a sample or a histogram of its label set, with its time: not an exemplar, nor
// metadata, nor a row which brings its labels.
func (c *Cursor) OfSet() bool {
	return c.Labels == nil && (c.Kind == KindSample || c.Kind == KindHistogram)
}

// takeExtra reads the rest of a row with extras.
func (c *Cursor) takeExtra() {
	c.extra, c.Extra = true, Extra{}
	flags := c.rest[0]
	c.rest = c.rest[1:]
	c.Kind = Kind(flags & extraKind)
	if flags&extraStart != 0 {
		c.StartMillis = int64(binary.LittleEndian.Uint64(c.rest))
		c.rest = c.rest[8:]
	}
	if flags&extraLabels != 0 {
		c.Labels = c.takeBytes()
	}
	if c.Kind != KindSample {
		c.Payload = c.takeBytes()
	}
}

func (c *Cursor) takeBytes() []byte {
	n, k := binary.Uvarint(c.rest)
	b := c.rest[k : k+int(n) : k+int(n)]
	c.rest = c.rest[k+int(n):]
	return b
}

// Metadata is what a target says of a family.
type Metadata struct {
	// Type is remote write's number of it, which is the same in both versions: 0 unknown, 1 counter, 2 gauge, 3 histogram,
	// 4 gauge histogram, 5 summary, 6 info, 7 state set.
	Type   uint8
	Family []byte
	Help   []byte
	Unit   []byte
}

// AppendMetadata adds a row of metadata. It borrows m's bytes, and uses *scratch.
func (b *Batch) AppendMetadata(m Metadata, scratch *[]byte) {
	p := append((*scratch)[:0], m.Type)
	for _, s := range [][]byte{m.Family, m.Help, m.Unit} {
		p = append(binary.AppendUvarint(p, uint64(len(s))), s...)
	}
	*scratch = p
	b.AppendExtra(KindMetadata, 0, 0, Extra{Payload: p})
}

// Metadata is what the current row, of kind KindMetadata, says. Its bytes are views, valid until Next.
func (c *Cursor) Metadata() Metadata {
	m := Metadata{Type: c.Payload[0]}
	rest := c.Payload[1:]
	for _, s := range []*[]byte{&m.Family, &m.Help, &m.Unit} {
		n, k := binary.Uvarint(rest)
		*s = rest[k : k+int(n) : k+int(n)]
		rest = rest[k+int(n):]
	}
	return m
}

func uvarintLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}
