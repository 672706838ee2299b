package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync/atomic"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/relabel"
)

const (
	// firstTextBytes and firstRowsBytes are where an open block's buffers start, for agents with a few hundred series.
	firstTextBytes = 4 << 10
	firstRowsBytes = 4 << 10
	// maxMasked is the most labels of a series of which a mask can say which differ from those before.
	maxMasked = 64
)

// builder is an open block: what was committed, in no protocol yet. Its owner is its lane, whose lock guards it.
//
// Every distinct label stands once, in the wire form of remote write 1, and has a number. A row is its value, and the numbers
// of those labels which are others than in the row before: 10 to 25 bytes for a sample, as rows of a scrape follow each other.
// That is less than an encoded block takes compressed; it depends on nothing outside, so the labels may leave the dictionary
// meanwhile; and each protocol is written from it in one pass when the block is closed (encode1.go, encode2.go).
//
// A row, with variable-length integers unless said otherwise:
//
//	head         1 byte: kind, and flags
//	labels       nothing, a mask and numbers, or a count and numbers: see the flags
//	timestamp    the difference to the row before, zigzag, if flagged
//	start        the difference to the timestamp, zigzag, if flagged
//	metadata     number, if flagged
//	value        8 bytes, little endian; of samples and exemplars
//	payload      length and bytes; of histograms
//	labels       count and numbers; of exemplars
type builder struct {
	pool    *bufpool.Pool
	account *atomic.Int64 // of closed blocks

	dict  *labelcompress.Dict
	hold  *labelcompress.Block // so that no reference in index comes to mean another label
	index refIndex             // from reference to label
	text  *bufpool.Buf         // nil when the block is empty
	data  *bufpool.Buf
	label []labelSpan // by number
	metas []metaSpan

	// refs, last and bytes1 describe the labels of the last row: as references (0: there is none), as numbers, and how many
	// bytes they take in remote write 1. next is scratch for those of the row which is being added.
	refs   []labelcompress.Ref
	last   []uint32
	next   []uint32
	bytes1 int
	lastTS int64

	family  familyState
	scratch []byte

	size1        int // of the whole block in remote write 1
	sizeVM       int // the same without exemplars
	items        int // rows of all kinds, and metadata
	rows         int // samples and histograms, which is what the books count
	exemplars    int
	custom       customRows
	minTS, maxTS int64 // of rows
}

// labelSpan is where in text a label stands.
type labelSpan struct{ at, n uint32 }

// Flags of a row's head, beside its kind.
const (
	rowKind     = 0x03
	rowMasked   = 0x04 // as many labels as before; a mask says which are others
	rowListed   = 0x08 // all labels are listed
	rowTime     = 0x10
	rowStart    = 0x20
	rowMetadata = 0x40
)

// row is something on its way into a block: its labels are either references or, where there is no room in the dictionary for
// them, labels.
type row struct {
	refs        []labelcompress.Ref
	labels      []relabel.Label
	value       float64
	tsMillis    int64
	startMillis int64
	kind        batch.Kind
	payload     []byte // of kinds other than samples; a view
}

func newBuilder(pool *bufpool.Pool, account *atomic.Int64) builder {
	return builder{pool: pool, account: account, family: familyState{number: -1}}
}

// fits reports whether there is something in the block which a protocol can carry.
func (b *builder) fits(p Protocol) bool {
	switch p {
	case Protocol2:
		return b.rows+b.exemplars > 0
	case ProtocolVM:
		return b.sizeVM > b.custom.bytesVM
	}
	return b.items > b.custom.rows+b.custom.exemplars
}

// append adds a row behind the others, unless the block would exceed maxBytes in remote write 1, in which it is largest as a
// rule: then it reports false, and the block is as it was before.
func (b *builder) append(dict *labelcompress.Dict, r *row, maxBytes int) bool {
	b.open(dict)
	labels, text := len(b.label), len(b.text.B)
	head := byte(r.kind)
	mask := uint64(0)
	labelBytes := b.bytes1
	if r.labels != nil {
		head |= rowListed
		labelBytes = b.numberTexts(r.labels)
	} else if len(r.refs) == len(b.refs) && len(r.refs) <= maxMasked {
		b.next = append(b.next[:0], b.last...)
		for i, ref := range r.refs {
			if ref != b.refs[i] {
				mask |= 1 << i
				n := b.number(ref)
				labelBytes += int(b.label[n].n) - int(b.label[b.next[i]].n)
				b.next[i] = n
			}
		}
		if mask != 0 {
			head |= rowMasked
		}
	} else {
		head |= rowListed
		labelBytes = 0
		b.next = b.next[:0]
		for _, ref := range r.refs {
			n := b.number(ref)
			labelBytes += int(b.label[n].n)
			b.next = append(b.next, n)
		}
	}
	if !b.add(r, head, mask, labelBytes, maxBytes) {
		b.forgetLabels(labels, text)
		return false
	}
	if r.labels != nil {
		b.refs = b.refs[:0]
		for range r.labels {
			b.refs = append(b.refs, 0)
		}
	} else {
		b.refs = append(b.refs[:0], r.refs...)
	}
	return true
}

// appendNumbered is append for labels which are in the block already.
func (b *builder) appendNumbered(numbers []uint32, r *row) {
	head, mask, labelBytes := byte(r.kind), uint64(0), 0
	b.next = append(b.next[:0], numbers...)
	for i, n := range numbers {
		labelBytes += int(b.label[n].n)
		if len(numbers) == len(b.last) && len(numbers) <= maxMasked && n != b.last[i] {
			mask |= 1 << i
		}
	}
	switch {
	case len(numbers) != len(b.last) || len(numbers) > maxMasked:
		head |= rowListed
	case mask != 0:
		head |= rowMasked
	}
	b.add(r, head, mask, labelBytes, math.MaxInt)
	b.refs = b.refs[:0]
}

// add adds a row with the labels b.next, which take labelBytes, unless the block would exceed maxBytes.
func (b *builder) add(r *row, head byte, mask uint64, labelBytes, maxBytes int) bool {
	size, sizeVM := b.rowBytes1(r, labelBytes)
	if b.size1+size > maxBytes {
		return false
	}
	b.size1 += size
	b.sizeVM += sizeVM
	b.bytes1 = labelBytes
	b.last, b.next = b.next, b.last
	b.put(r, head, mask)
	b.items++
	b.custom.note(r, sizeVM)
	if r.kind == batch.KindExemplar {
		b.exemplars++
		return true
	}
	if b.rows == 0 {
		b.minTS, b.maxTS = math.MaxInt64, math.MinInt64
	}
	b.rows++
	b.minTS, b.maxTS = min(b.minTS, r.tsMillis), max(b.maxTS, r.tsMillis)
	return true
}

// put writes the row whose labels are b.last.
func (b *builder) put(r *row, head byte, mask uint64) {
	need := 64 + 5*len(b.last) + len(r.payload)
	if cap(b.data.B)-len(b.data.B) < need {
		b.data.Grow(need)
	}
	p := b.data.B
	at := len(p)
	p = append(p, head)
	switch {
	case head&rowMasked != 0:
		p = binary.AppendUvarint(p, mask)
		for m := mask; m != 0; m &= m - 1 {
			p = binary.AppendUvarint(p, uint64(b.last[bits.TrailingZeros64(m)]))
		}
	case head&rowListed != 0:
		p = binary.AppendUvarint(p, uint64(len(b.last)))
		for _, n := range b.last {
			p = binary.AppendUvarint(p, uint64(n))
		}
	}
	if r.tsMillis != b.lastTS {
		head |= rowTime
		p = binary.AppendVarint(p, r.tsMillis-b.lastTS)
		b.lastTS = r.tsMillis
	}
	if r.startMillis != 0 {
		head |= rowStart
		p = binary.AppendVarint(p, r.startMillis-r.tsMillis)
	}
	if m := b.metadataOf(r.kind); m >= 0 {
		head |= rowMetadata
		p = binary.AppendUvarint(p, uint64(m))
	}
	p[at] = head
	if r.kind != batch.KindHistogram {
		p = binary.LittleEndian.AppendUint64(p, math.Float64bits(r.value))
	}
	b.data.B = p
	switch r.kind {
	case batch.KindHistogram:
		p = binary.AppendUvarint(p, uint64(len(r.payload)))
		b.data.B = append(p, r.payload...)
	case batch.KindExemplar:
		b.putExemplarLabels(r.payload)
	}
}

// putExemplarLabels writes the labels of an exemplar, which are no other row's.
func (b *builder) putExemplarLabels(wire []byte) {
	first := len(b.label)
	for len(wire) > 0 {
		_, _, rest := labelcompress.SplitLabel(wire)
		b.addLabel(wire[:len(wire)-len(rest)])
		wire = rest
	}
	p := binary.AppendUvarint(b.data.B, uint64(len(b.label)-first))
	if len(b.label) > first {
		p = binary.AppendUvarint(p, uint64(first)) // the others follow it
	}
	b.data.B = p
}

// open readies the builder for rows whose references belong to dict.
func (b *builder) open(dict *labelcompress.Dict) {
	if b.text == nil {
		b.text, b.data = b.pool.Get(firstTextBytes), b.pool.Get(firstRowsBytes)
	}
	if b.dict != dict || b.hold == nil {
		b.forgetRefs()
		if dict != nil {
			b.dict, b.hold = dict, dict.OpenFor("remotewrite")
		}
	}
}

// forgetRefs lets go of the dictionary. The labels stay.
func (b *builder) forgetRefs() {
	if b.hold != nil {
		b.hold.Close()
	}
	b.dict, b.hold = nil, nil
	b.index.reset()
	clear(b.refs)
}

// number returns the number of the label of a reference.
func (b *builder) number(ref labelcompress.Ref) uint32 {
	if n, ok := b.index.find(ref); ok {
		return n
	}
	n := b.addLabel(b.dict.Wire(ref))
	b.index.add(ref, n)
	return n
}

// addLabel adds a label in wire form, and returns its number.
func (b *builder) addLabel(wire []byte) uint32 {
	if cap(b.text.B)-len(b.text.B) < len(wire) {
		b.text.Grow(len(wire))
	}
	at := len(b.text.B)
	b.text.B = append(b.text.B, wire...)
	b.label = append(b.label, labelSpan{uint32(at), uint32(len(wire))})
	return uint32(len(b.label) - 1)
}

// numberTexts makes b.next the numbers of labels which are in no dictionary, and returns how many bytes they take. What the
// row before has at the same place, or next to it, is not added once more.
func (b *builder) numberTexts(labels []relabel.Label) (bytes int) {
	b.next = b.next[:0]
	for i, l := range labels {
		n, ok := uint32(0), false
		for j := max(i-1, 0); j < len(b.last) && j <= i+1 && !ok; j++ {
			name, value, _ := labelcompress.SplitLabel(b.wire(b.last[j]))
			n, ok = b.last[j], string(name) == l.Name && string(value) == l.Value
		}
		if !ok {
			b.scratch = labelcompress.AppendLabel(b.scratch[:0], l.Name, l.Value)
			n = b.addLabel(b.scratch)
		}
		bytes += int(b.label[n].n)
		b.next = append(b.next, n)
	}
	return bytes
}

// wire is the wire form of a label: a view, valid until the next label is added.
func (b *builder) wire(n uint32) []byte {
	s := b.label[n]
	return b.text.B[s.at:][:s.n:s.n]
}

// forgetLabels undoes what was added behind the given places.
func (b *builder) forgetLabels(labels, text int) {
	if len(b.label) == labels {
		return
	}
	b.label, b.text.B = b.label[:labels], b.text.B[:text]
	b.index.keepBelow(uint32(labels))
}

// used is the bytes of its rows and texts.
func (b *builder) used() int {
	if b.text == nil {
		return 0
	}
	return len(b.text.B) + len(b.data.B)
}

// memory is the bytes that the open block takes.
func (b *builder) memory() int64 {
	n := int64(cap(b.index.slots)+cap(b.label))*8 + int64(cap(b.refs)+cap(b.last)+cap(b.next))*4
	if b.text != nil {
		n += int64(cap(b.text.B)) + int64(cap(b.data.B))
	}
	return n
}

// discard drops what is in the block, and readies the builder for the next one.
func (b *builder) discard() {
	if b.text != nil {
		b.text.Release()
		b.data.Release()
	}
	b.forgetRefs()
	// Scratch memory which a usual block fills again stays; what an unusual one took does not.
	const most = 16 << 10
	label, scratch := b.label[:0], b.scratch[:0]
	if cap(label) > most || cap(label) > 256 && len(b.label) < cap(label)/8 {
		label = nil
	}
	if cap(scratch) > most {
		scratch = nil
	}
	*b = builder{
		pool: b.pool, account: b.account, index: b.index, label: label, metas: b.metas[:0], family: b.family,
		refs: b.refs[:0], last: b.last[:0], next: b.next[:0], scratch: scratch,
	}
	b.family.known, b.family.number = false, -1
}

// forget drops what is in the block, and all scratch memory.
func (b *builder) forget() {
	b.discard()
	*b = newBuilder(b.pool, b.account)
}

// refIndex finds the number of a label by its reference: a hash table with open addressing.
type refIndex struct {
	slots []uint64 // reference and number + 1; 0 is free
	used  int
	shift uint8
}

func (x *refIndex) find(ref labelcompress.Ref) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := len(x.slots) - 1
	for i := x.home(ref); ; i = (i + 1) & mask {
		switch s := x.slots[i]; {
		case s == 0:
			return 0, false
		case labelcompress.Ref(s>>32) == ref:
			return uint32(s) - 1, true
		}
	}
}

func (x *refIndex) home(ref labelcompress.Ref) int {
	return int(uint32(ref) * 0x9e3779b1 >> (x.shift & 31))
}

func (x *refIndex) add(ref labelcompress.Ref, n uint32) {
	if 4*x.used >= 3*len(x.slots) {
		x.resize(max(64, 2*len(x.slots)))
	}
	x.insert(uint64(ref)<<32 | uint64(n+1))
}

func (x *refIndex) insert(s uint64) {
	i, mask := x.home(labelcompress.Ref(s>>32)), len(x.slots)-1
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = s
	x.used++
}

func (x *refIndex) resize(n int) {
	old := x.slots
	x.slots, x.used, x.shift = make([]uint64, n), 0, uint8(32-bits.TrailingZeros(uint(n)))
	for _, s := range old {
		if s != 0 {
			x.insert(s)
		}
	}
}

// keepBelow forgets the labels with a number of n or more.
func (x *refIndex) keepBelow(n uint32) {
	old := x.slots
	x.slots, x.used = make([]uint64, len(old)), 0
	for _, s := range old {
		if s != 0 && uint32(s)-1 < n {
			x.insert(s)
		}
	}
}

// reset empties the table, and halves it when it was mostly empty.
func (x *refIndex) reset() {
	switch {
	case x.used == 0:
	case len(x.slots) > 256 && x.used < len(x.slots)/8:
		n := len(x.slots) / 2
		x.slots, x.used, x.shift = make([]uint64, n), 0, uint8(32-bits.TrailingZeros(uint(n)))
	default:
		clear(x.slots)
		x.used = 0
	}
}
