package streamparse

import (
	"encoding/binary"
	"math"
)

// Most metrics are counters, gauges and untyped ones, written in the order of their fields: labels, a number, perhaps a
// timestamp. For them there are two ways which are shorter than parseField. Whatever else they find they leave to it, and it
// would make the same of what they take.

// plainBody returns the metric that stands at pos, if all of it is in the window, and where that ends.
func (p *Parser) plainBody() (m []byte, end int) {
	pb := &p.pb
	i := p.pos
	if pb.plainTag == 0 || !pb.started || p.end-i < 3 || pb.left < 3 || p.w[i] != 4<<3|wireBytes {
		return nil, 0
	}
	n, i := shortLength(p.w, i+1)
	if i == 0 || n > p.end-i || uint64(i+n-p.pos) > pb.left || n > p.opts.MaxLineBytes-longestHead {
		return nil, 0
	}
	return p.w[i : i+n], i + n - p.pos
}

// plainTail makes what stands behind the labels, which end at m[k], the current sample's value and times. It returns false
// where there is something unusual, and may have made half of it.
func (p *Parser) plainTail(m []byte, k int) bool {
	const head = uint32(9)<<8 | uint32(1<<3|wireFixed64)<<16
	pb := &p.pb
	if k+11 > len(m) {
		return false
	}
	t := m[k:]
	p.value = normal(math.Float64frombits(binary.LittleEndian.Uint64(t[3:])))
	p.ts, p.hasTS = 0, false
	pb.start.isSet = false
	p.current = nil
	if len(t) == 11 && binary.LittleEndian.Uint32(t)&0xffffff == head|uint32(pb.plainTag) { // what most are
		return true
	}
	if t[0] != pb.plainTag || t[1] < 9 || t[2] != 1<<3|wireFixed64 {
		return false
	}
	rest := t[11:]
	if n := int(t[1]) - 9; n > 0 { // when the counter began
		if n >= 0x80-9 || n < 2 || n > len(rest) || rest[0] != 3<<3|wireBytes || int(rest[1]) != n-2 || pb.typ != familyCounter {
			return false
		}
		pb.start = stamp{}
		if decodeStamp(rest[2:n], &pb.start) != nil {
			return false
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		t, used := binary.Uvarint(rest[1:])
		if rest[0] != 6<<3|wireVarint || used != len(rest)-1 || used <= 0 {
			return false
		}
		p.ts, p.hasTS = int64(t), t != 0
	}
	return true
}

// plain makes the next metric ready, if it is a plain one.
func (p *Parser) plain() bool {
	pb := &p.pb
	m, end := p.plainBody()
	k := 0
	for k+3 <= len(m) && m[k] == 1<<3|wireBytes {
		n, next := shortLength(m, k+1)
		if next == 0 {
			return false
		}
		k = next + n
	}
	if !p.plainTail(m, k) {
		return false
	}
	pb.key = append(append(pb.key[:pb.nameEnd+1], m[:k]...), pb.plainTag)
	pb.labelsEnd, pb.hashed, pb.labels = len(pb.key)-1, false, -1
	p.advance(end)
	pb.ready = true
	return true
}

// guessPlain returns a view of the labels of the next metric if its key has n bytes and it is a plain one, and makes its value
// and times the current ones, so that nothing is left for Take. It does not look at the labels: they end where a key of
// n bytes says. If that is wrong, the key is none that anybody has met, since the labels of a key that Next gave end with it.
func (p *Parser) guessPlain(n int) []byte {
	pb := &p.pb
	pb.guessed = 0
	m, end := p.plainBody()
	k := n - pb.nameEnd - 2
	if k < 0 || !p.plainTail(m, k) {
		return nil
	}
	pb.guessed, pb.guessEnd = n, end
	return m[:k]
}

// shortLength returns the length at b[i] if it takes one byte or two, and where it ends, else 0. b has two more bytes.
func shortLength(b []byte, i int) (n, end int) {
	if c := b[i]; c < 0x80 {
		return int(c), i + 1
	}
	if c := b[i+1]; c < 0x80 {
		return int(b[i]&0x7f) | int(c)<<7, i + 2
	}
	return 0, 0
}

// plainHeader reads the name, the help and the type of a family, as far as they are in the window.
func (p *Parser) plainHeader() {
	pb := &p.pb
	for {
		b := p.w[p.pos:min(uint64(p.end), uint64(p.pos)+pb.left)]
		if len(b) < 3 {
			return
		}
		if b[0] == 3<<3|wireVarint && b[1] < 0x80 {
			pb.typ = int32(b[1])
			p.advance(2)
			continue
		}
		n, i := shortLength(b, 1)
		if i == 0 || n > len(b)-i || n > p.opts.MaxLineBytes-longestHead {
			return
		}
		switch b[0] {
		case 1<<3 | wireBytes:
			pb.key = append(pb.key[:0], b[i:i+n]...)
			pb.nameEnd = n
		case 2<<3 | wireBytes:
			pb.help = append(pb.help[:0], b[i:i+n]...)
		default:
			return
		}
		p.advance(i + n)
	}
}
