package streamparse

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// A series is known by the hash and the length of its bytes. In text these stand in the body, one behind the other. In
// protobuf they would have to be put together first, and all labels of a histogram hashed again for each bucket: so the
// hash is made of those of the family's name, of the metric's labels, and of what tells the metric's samples apart, and
// each is made once.

// PeekHash returns the hash of the next sample's series, if it has n bytes: the one that Hash gave when Next met it. ok is
// false where Peek returns nil. Where it is another series, or none, the hash is one that Hash never gave, but by a chance of
// one in 2^64.
func (p *Parser) PeekHash(n int) (hash uint64, ok bool) {
	if p.format == FormatProtobuf {
		return p.peekHashProtobuf(n)
	}
	if p.end-p.pos >= n+tailRoom && p.w[p.pos] != '#' && !p.special { // what Peek makes of most lines
		return maphash.Bytes(p.seed, p.w[p.pos:p.pos+n]), true
	}
	b := p.Peek(n)
	return maphash.Bytes(p.seed, b), b != nil
}

func (p *Parser) peekHashProtobuf(n int) (hash uint64, ok bool) {
	pb := &p.pb
	if pb.betweenMetrics() {
		if labels := p.guessPlain(n); labels != nil {
			return mix(pb.familyHash, maphash.Bytes(p.seed, labels)), true
		}
	}
	if !p.prepared(n) {
		return 0, false
	}
	return p.keyHash(), true
}

// Hash returns the hash of Series, which Next gave: under Options.Seed, so that it is the same for all parsers which have
// that one, whatever the format's chunks.
func (p *Parser) Hash() uint64 {
	if p.format != FormatProtobuf {
		return maphash.Bytes(p.seed, p.series)
	}
	return p.keyHash()
}

// keyHash is the hash of the key.
func (p *Parser) keyHash() uint64 {
	pb := &p.pb
	if !pb.hashed {
		pb.hashed = true
		pb.metricHash = mix(pb.familyHash, maphash.Bytes(p.seed, pb.key[pb.nameEnd+1:pb.labelsEnd]))
	}
	if pb.plainTag != 0 {
		return pb.metricHash
	}
	bound := uint64(0)
	tail := pb.key[pb.labelsEnd:]
	if len(tail) > 1 {
		bound = binary.LittleEndian.Uint64(tail[1:])
	}
	return mix(pb.metricHash+uint64(tail[0]), bound)
}

// mix makes one hash of two, or of one and a number that a target may choose. It is not symmetric: a product's halves
// depend on all bits of both, and the constants keep small numbers from being a factor which loses bits.
func mix(a, b uint64) uint64 {
	const one, two = 0x9e3779b97f4a7c15, 0xd1b54a32d192ed03
	hi, lo := bits.Mul64(a^one, b^two)
	return (hi ^ lo) + a
}
