package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"
)

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
