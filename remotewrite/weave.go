package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"

	"scraper/batch"
)

// wire1 is where remote write 1 goes as it is compressed: literals, and matches with what was written before.
type wire1 interface {
	Literals(p []byte)
	// Match repeats length bytes which were written distance bytes before. It is at least minMatch, and the distance at
	// most maxDistance.
	Match(distance, length int)
	Pos() int
}

// weaver writes an open block in remote write 1, and compresses it at the same time. It knows what rows have in common, since
// an open block has each label once: what a compressor would have to look for, byte by byte, is a comparison of numbers. The
// request itself is never in memory.
//
// A series is a row of tokens: its head (tag and length), its labels, the tail (the sample's tags and timestamp), the value.
// Tokens are equal if their bytes are. The last ones are kept, in the order in which they were written; of each token it is
// known where it was. A row is compared with the row before, and with those which follow what the last rows were like: the
// same series of another target, or the same labels in another family. What it has that they do not have is looked up. Thus
// it is covered by runs of tokens which were written before, and what no run covers is literal (weave_compare.go).
type weaver struct {
	out wire1
	b   *builder
	weaveOptions

	seen   []seen         // by label
	heads  [maxHeads]seen // by length
	tails  [1 << tailBits]tailSeen
	values [1 << valueBits]valueSeen
	ids    token // of tails and values: the last one

	ring []token // the last tokens, by number modulo maxRing; tokenNone stands between rows which do not follow each other
	next int     // the number of the next token
	rows []rowAt // the last rows, by number modulo maxRows
	line int     // the number of the current row

	// The current row: its tokens, and where each begins, and where the last one ends, counted from the first label. What is
	// the same in the row before stays.
	tokens    [maxTokens]token
	at        [maxTokens + 1]int
	n         int    // tokens
	labels    int    // of them; -1 at first
	base      int    // where the first label is in the request
	changed   uint64 // which are others than in the row before
	other     bool   // what the next row says of its labels does not refer to this one's
	tailSeen  *seen
	valueSeen *seen

	rowsLike [maxSources]source // the first is the row before
	runs     []run
	reps     [3]int // the last distances, which cost less than others

	text  [1 << textBits]uint64 // by hash of four bytes, label number + 1 and place in the label
	bytes []byte
}

const (
	// maxRing is how many tokens are kept, and maxRows how many rows. What is further back can still be found, label by
	// label.
	maxRing = 1 << 15
	maxRows = 1 << 12
	// maxTokens is the most tokens of a row which are looked at; a row with more is written as it is.
	maxTokens = 64
	// maxSources is with how many rows each is compared at most; see sourcesOf.
	maxSources = 8
	// maxHeads bounds the lengths of series of which it is known where they were.
	maxHeads = 1 << 10
	// Hash tables, of 76 KiB in all: what is looked up most is in a processor's cache.
	textBits, tailBits, valueBits = 12, 8, 10
)

// token is a piece of a series: its kind, and what tells it from others.
type token uint32

const (
	tokenNone  token = 0
	tokenLabel token = 1 << 30 // and the label's number
	tokenHead  token = 2 << 30 // and the series' length
	tokenOther token = 3 << 30 // and the number of bytes, and a number
	tokenKind  token = 3 << 30

	otherShift = 25
	otherID    = 1<<otherShift - 1
)

// seen is where a token was: its number + 1, or 0 if it was nowhere, its place in the request, and the row.
type seen struct{ number, at, row uint32 }

type tailSeen struct {
	ts    int64
	value bool
	token token
	seen
}

type valueSeen struct {
	bits  uint64
	token token
	seen
}

// rowAt is a row which was written: the number of its first token, how many it has, where it is in the request, and which
// tokens are others than in the row before it.
type rowAt struct {
	first, at uint32
	tokens    uint32
	changed   uint64
}

// source is a row which was written, with which the current row is compared, token by token.
type source struct {
	row   int    // -1: none
	same  uint64 // by token, whether it is the same
	fresh bool   // the row before it was not compared with the row before the current one
}

// run is tokens of the current row, from lo to hi, which were written before.
type run struct {
	lo, hi int
	at     int // where they were
	row    int // whose they were
}

// weaveOptions say how a request is written.
type weaveOptions struct {
	maxDistance int  // of a match
	sources     int  // with how many rows a row is compared, from 2 to maxSources
	exemplars   bool // are wanted
}

// sourcesOf returns with how many rows a row is compared at a level of zstd's. With 3 rather than 4, requests are up to an
// eighth longer (100 targets alike); with 8, they are up to 5 % shorter, and take a quarter more time.
func sourcesOf(level int) int {
	switch {
	case level < 0:
		return 3
	case level < 3:
		return 4
	case level < 6:
		return 6
	}
	return maxSources
}

// run writes b's rows, and its metadata, as encoder1 does.
func (e *weaver) run(b *builder, ws *workspace, out wire1, o weaveOptions) {
	e.weaveOptions = o
	e.begin(b, out)
	for _, m := range b.metas {
		if m.byFamily {
			e.bytes = appendMetadata1(e.bytes[:0], m, b.text.B)
			out.Literals(e.bytes)
		}
	}
	rows := b.reader1(ws.labels)
	for rows.next() {
		if rows.kind == batch.KindExemplar && !o.exemplars {
			e.other = e.other || rows.listed || rows.mask != 0
			continue
		}
		e.series(&rows)
	}
	ws.labels = rows.labels
	e.out, e.b = nil, nil
}

func (e *weaver) begin(b *builder, out wire1) {
	e.b, e.out = b, out
	if e.ring == nil {
		e.ring, e.rows = make([]token, maxRing), make([]rowAt, maxRows)
	}
	const most = 64 << 10
	if cap(e.seen) > most && len(b.label) < most { // an unusual block's
		e.seen = nil
	}
	if cap(e.seen) < len(b.label) {
		e.seen = make([]seen, len(b.label)+len(b.label)/4)
	}
	e.seen = e.seen[:len(b.label)]
	clear(e.seen)
	clear(e.heads[:])
	clear(e.tails[:])
	clear(e.values[:])
	clear(e.text[:])
	e.next, e.line, e.ids, e.reps = 0, 0, 0, [3]int{}
	e.n, e.labels, e.other = 0, -1, true
	clear(e.tokens[:])
	for i := range e.rowsLike {
		e.rowsLike[i] = source{row: -1}
	}
}

// memory is the bytes that it takes.
func (e *weaver) memory() int64 {
	const tables = 12*maxHeads + 32*(1<<tailBits+1<<valueBits) + 8<<textBits
	return tables + 12*int64(cap(e.seen)) + 4*int64(cap(e.ring)) + 24*int64(cap(e.rows))
}

// series writes the current row.
func (e *weaver) series(r *rowReader) {
	k := len(r.labels)
	if k > maxTokens-3 {
		e.plain(r)
		return
	}
	if e.other || r.listed || k != e.labels {
		e.newLabels(r)
	} else {
		e.changeLabels(r)
	}
	var tail, value token
	e.n = k + 1
	length := e.at[k+1]
	if r.kind == batch.KindSample {
		tail = e.tail(r.ts, r.bits != 0)
		length += tail.otherBytes()
		e.n, e.at[k+2] = k+2, length
		if r.bits != 0 {
			value = e.value(r.bits)
			length += 8
			e.n, e.at[k+3] = k+3, length
		}
	} else {
		length += len(e.opaque(r))
	}
	e.set(k+1, tail)
	e.set(k+2, value)
	e.set(0, tokenHead|token(length))
	e.at[0] = -1 - uvarintLen(length)
	e.base = e.out.Pos() - e.at[0]
	e.compare()
	e.cover(r)
	e.remember()
	if r.kind != batch.KindSample {
		e.out.Literals(e.opaque(r))
	}
}

// newLabels makes the labels those of a row which says nothing of the row before.
func (e *weaver) newLabels(r *rowReader) {
	for i := range e.labels {
		e.leave(i + 1)
	}
	at := 0
	for i, n := range r.labels {
		e.tokens[i+1], e.at[i+1] = tokenLabel|token(n), at
		at += int(e.b.label[n].n)
	}
	e.labels, e.other, e.changed = len(r.labels), false, math.MaxUint64
	e.at[e.labels+1] = at
}

// changeLabels replaces those labels which are others than in the row before.
func (e *weaver) changeLabels(r *rowReader) {
	e.changed = r.mask << 1
	for m := e.changed; m != 0; m &= m - 1 {
		e.leave(bits.TrailingZeros64(m))
	}
	for m := e.changed; m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m)
		t := tokenLabel | token(r.labels[i-1])
		if longer := e.bytesOf(t) - e.bytesOf(e.tokens[i]); longer != 0 {
			for j := i + 1; j <= e.labels+1; j++ {
				e.at[j] += longer
			}
		}
		e.tokens[i] = t
	}
}

// set makes t token i of the current row.
func (e *weaver) set(i int, t token) {
	if e.tokens[i] != t {
		e.tokens[i] = t
		e.changed |= 1 << i
	}
}

// leave notes where label i was in the row before, which is the last time for now.
func (e *weaver) leave(i int) {
	row := e.line - 1
	e.seen[e.tokens[i]&^tokenKind] = seen{e.rows[row&(maxRows-1)].first + uint32(i) + 1, uint32(e.base + e.at[i]), uint32(row)}
}

// plain writes a row with too many labels to look for any of them.
func (e *weaver) plain(r *rowReader) {
	length := 0
	for _, n := range r.labels {
		length += int(e.b.label[n].n)
	}
	tail := e.bytes[:0]
	if r.kind == batch.KindSample {
		tail = appendSample(tail, r.bits, r.ts, 0)
	} else {
		tail = e.opaque(r)
	}
	var head [1 + binary.MaxVarintLen64]byte
	e.out.Literals(binary.AppendUvarint(append(head[:0], tagSeries), uint64(length+len(tail))))
	for _, n := range r.labels {
		e.out.Literals(e.b.wire(n))
	}
	e.out.Literals(tail)
	e.bytes, e.other = tail, true
}

// otherBytes is the length of a tail or value.
func (t token) otherBytes() int { return int(t>>otherShift) & 0x1f }

// mixer spreads numbers over hash tables.
const mixer = 0x9e3779b97f4a7c15

// tail returns the token of a sample's tags and timestamp.
func (e *weaver) tail(ts int64, value bool) token {
	s := &e.tails[uint64(ts)*mixer>>(64-tailBits)^uint64(btoi(value))]
	if s.token == 0 || s.ts != ts || s.value != value {
		n := 2 + btoi(value)
		if ts != 0 {
			n += 1 + varintLen(uint64(ts))
		}
		*s = tailSeen{ts: ts, value: value, token: e.newToken(n)}
	}
	e.tailSeen = &s.seen
	return s.token
}

// value returns the token of a value.
func (e *weaver) value(v uint64) token {
	s := &e.values[v*mixer>>(64-valueBits)]
	if s.token == 0 || s.bits != v {
		*s = valueSeen{bits: v, token: e.newToken(8)}
	}
	e.valueSeen = &s.seen
	return s.token
}

func (e *weaver) newToken(bytes int) token {
	e.ids++ // there are two in a row of ten bytes or more at most, and no block has that many
	return tokenOther | token(bytes)<<otherShift | e.ids&otherID
}

// isValue reports whether token i of the current row is its value.
func (e *weaver) isValue(i int) bool {
	return i == e.labels+2
}

// opaque returns what follows the labels of a row which is no sample: a view, valid until the next call.
func (e *weaver) opaque(r *rowReader) []byte {
	if r.kind == batch.KindHistogram {
		e.bytes = appendHistogram(e.bytes[:0], tagHistogram, r.payload, r.ts, 0)
	} else {
		e.bytes = appendExemplar1(e.bytes[:0], e.b, r)
	}
	return e.bytes
}
