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
// it is covered by runs of tokens which were written before, and what no run covers is literal.
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

// compare finds out what of the current row was written before.
func (e *weaver) compare() {
	e.runs = e.runs[:0]
	found := uint64(0)
	for k := range e.rowsLike[:e.sources] {
		s := &e.rowsLike[k]
		if k == 0 {
			s.row = e.line - 1
		} else if s.row == e.line-1 {
			s.row = -1
		}
		of := &e.rows[s.row&(maxRows-1)]
		if s.row < 0 || e.line-s.row > maxRows || e.next-int(of.first) > maxRing-2*maxTokens {
			*s = source{row: -1}
			continue
		}
		valid := uint64(1)<<min(e.n, int(of.tokens)) - 1
		if k == 0 {
			s.same = valid &^ e.changed
		} else {
			// What changed neither here nor there is as it was.
			changed := e.changed | of.changed
			if s.fresh {
				s.fresh, changed = false, math.MaxUint64
			}
			s.same &= valid &^ changed
			for m := valid & changed; m != 0; m &= m - 1 {
				i := bits.TrailingZeros64(m)
				if e.ring[(int(of.first)+i)&(maxRing-1)] == e.tokens[i] {
					s.same |= 1 << i
				}
			}
		}
		found |= s.same
	}
	for {
		i := bits.TrailingZeros64(^found)
		if i >= e.n {
			return
		}
		found |= 1 << i
		was := e.find(i)
		if was.number == 0 {
			continue
		}
		number, lo, hi := int(was.number)-1, i, i+1
		if e.next-number < maxRing-2*maxTokens {
			for ; hi < e.n && number+hi-i < e.next && e.ring[(number+hi-i)&(maxRing-1)] == e.tokens[hi]; hi++ {
				found |= 1 << hi
			}
			for lo > 0 && number-i+lo > 0 && e.ring[(number-i+lo-1)&(maxRing-1)] == e.tokens[lo-1] {
				lo--
			}
		}
		e.runs = append(e.runs, run{lo, hi, int(was.at) - (e.at[i] - e.at[lo]), int(was.row)})
	}
}

// find is where token i of the current row was.
func (e *weaver) find(i int) seen {
	switch t := e.tokens[i]; t & tokenKind {
	case tokenLabel:
		return e.seen[t&^tokenKind]
	case tokenHead:
		if n := int(t &^ tokenKind); n < maxHeads {
			return e.heads[n]
		}
		return seen{}
	}
	if e.isValue(i) {
		return *e.valueSeen
	}
	return *e.tailSeen
}

// place is where what stands for token i of the current row is in a source.
func (e *weaver) place(s *source, i int) int {
	of := &e.rows[s.row&(maxRows-1)]
	at := int(of.at) + e.at[i]
	for other := ^s.same & (1<<i - 1) &^ 1; other != 0; other &= other - 1 {
		j := bits.TrailingZeros64(other)
		at += e.bytesOf(e.ring[(int(of.first)+j)&(maxRing-1)]) - (e.at[j+1] - e.at[j])
	}
	return at
}

// bytesOf is the length of a token.
func (e *weaver) bytesOf(t token) int {
	switch t & tokenKind {
	case tokenLabel:
		return int(e.b.label[t&^tokenKind].n)
	case tokenHead:
		return 1 + uvarintLen(int(t&^tokenKind))
	}
	return t.otherBytes()
}

// cover writes the tokens of the current row.
func (e *weaver) cover(r *rowReader) {
	for i := 0; i < e.n; {
		best := run{hi: i}
		most := math.MinInt
		for k := range e.rowsLike[:e.sources] {
			if s := &e.rowsLike[k]; s.same>>i&1 != 0 {
				c := run{i, i + bits.TrailingZeros64(^(s.same >> i)), e.place(s, i), s.row}
				if gain, ok := e.gain(c); ok && gain > most {
					best, most = c, gain
				}
			}
		}
		for _, c := range e.runs {
			if c.lo <= i && c.hi > i {
				c.lo, c.at = i, c.at+e.at[i]-e.at[c.lo]
				if gain, ok := e.gain(c); ok && gain > most {
					best, most = c, gain
				}
			}
		}
		if best.hi == i {
			e.literal(i, r)
			i++
			continue
		}
		e.match(e.base+e.at[i]-best.at, e.at[best.hi]-e.at[i])
		e.use(best.row)
		i = best.hi
	}
	for k := range e.rowsLike[:e.sources] {
		if e.rowsLike[k].row >= 0 {
			e.rowsLike[k].row++
		}
	}
}

const (
	// minMatch is the shortest match that every form of compression takes.
	minMatch = 4
	// literalCost is about how many bits a literal byte takes, repCost a match at one of the last distances, and
	// matchCost another one, beside the bits of its distance.
	literalCost = 6
	repCost     = 9
	matchCost   = 12
	// tokenGain is what a token more is worth which a run reaches: without it another run is needed, or literals.
	tokenGain = 16
)

// gain says how good a run is. It reports false if literals are better.
func (e *weaver) gain(c run) (gain int, ok bool) {
	distance, bytes := e.base+e.at[c.lo]-c.at, e.at[c.hi]-e.at[c.lo]
	cost := e.cost(distance)
	if distance > e.maxDistance || bytes < minMatch || literalCost*bytes < cost {
		return 0, false
	}
	return tokenGain*(c.hi-c.lo) - cost, true
}

// cost is about how many bits a match at a distance takes.
func (e *weaver) cost(distance int) int {
	if distance == e.reps[0] || distance == e.reps[1] || distance == e.reps[2] {
		return repCost
	}
	return matchCost + bits.Len(uint(distance))
}

// match writes a match.
func (e *weaver) match(distance, bytes int) {
	e.out.Match(distance, bytes)
	switch r := &e.reps; distance {
	case r[0]:
	case r[1]:
		r[0], r[1] = r[1], r[0]
	default:
		r[0], r[1], r[2] = distance, r[0], r[1]
	}
}

// use keeps a row, of which something was taken, among the sources. The first source is always the row before.
func (e *weaver) use(row int) {
	if row == e.rowsLike[0].row || row == e.rowsLike[1].row {
		return
	}
	k := 2
	for k < e.sources-1 && e.rowsLike[k].row != row {
		k++
	}
	s := e.rowsLike[k]
	if s.row != row {
		s = source{row: row, fresh: true}
	}
	copy(e.rowsLike[2:k+1], e.rowsLike[1:k])
	e.rowsLike[1] = s
}

// remember notes where the current row is.
func (e *weaver) remember() {
	first := e.next & (maxRing - 1)
	if first+e.n > maxRing { // a row is in one piece
		clear(e.ring[first:])
		e.next += maxRing - first
		first = 0
	}
	copy(e.ring[first:], e.tokens[:e.n])
	e.rows[e.line&(maxRows-1)] = rowAt{uint32(e.next), uint32(e.base), uint32(e.n), e.changed}
	here := func(i int) seen {
		return seen{uint32(e.next + i + 1), uint32(e.base + e.at[i]), uint32(e.line)}
	}
	if n := int(e.tokens[0] &^ tokenKind); n < maxHeads {
		e.heads[n] = here(0)
	}
	// A label which stays is found in the row before. So it is enough to note it when it comes, and when it goes.
	for m := e.changed >> 1 & (1<<e.labels - 1); m != 0; m &= m - 1 {
		i := 1 + bits.TrailingZeros64(m)
		e.seen[e.tokens[i]&^tokenKind] = here(i)
	}
	if e.n > e.labels+1 {
		*e.tailSeen = here(e.labels + 1)
	}
	if e.n > e.labels+2 {
		*e.valueSeen = here(e.labels + 2)
	}
	e.next += e.n
	e.line++
}

// literal writes token i of the current row as it is.
func (e *weaver) literal(i int, r *rowReader) {
	switch t := e.tokens[i]; t & tokenKind {
	case tokenLabel:
		e.label(uint32(t &^ tokenKind))
		return
	case tokenHead:
		e.bytes = binary.AppendUvarint(append(e.bytes[:0], tagSeries), uint64(t&^tokenKind))
	default:
		if e.isValue(i) {
			e.bytes = binary.LittleEndian.AppendUint64(e.bytes[:0], r.bits)
		} else {
			e.bytes = appendSample(e.bytes[:0], r.bits, r.ts, 0)[:t.otherBytes()]
		}
	}
	e.out.Literals(e.bytes)
}

// label writes the label with number n, of which parts may be as in other labels.
func (e *weaver) label(n uint32) {
	wire, at, from := e.b.wire(n), e.out.Pos(), 0
	for i := 0; i+4 <= len(wire); i++ {
		h := &e.text[binary.LittleEndian.Uint32(wire[i:])*(mixer>>32)>>(32-textBits)]
		other, off := uint32(*h>>32), int(uint32(*h))
		*h = uint64(n+1)<<32 | uint64(i)
		if other == 0 || e.seen[other-1].number == 0 {
			continue
		}
		source := e.b.wire(other - 1)[off:]
		k := 0
		for i+k < len(wire) && k < len(source) && wire[i+k] == source[k] {
			k++
		}
		distance := at + i - int(e.seen[other-1].at) - off
		if k < minMatch || distance > e.maxDistance || literalCost*k < e.cost(distance) {
			continue
		}
		e.out.Literals(wire[from:i])
		e.match(distance, k)
		i += k - 1
		from = i + 1
	}
	e.out.Literals(wire[from:])
}
