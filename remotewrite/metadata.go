package remotewrite

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"scraper/batch"
	"scraper/internal/slack"
)

// Metadata go into a block twice, since the versions of remote write differ: version 1 has them by family, and once in a
// block is enough; version 2 has them by series, so the rows of a family point to them.

// metaSpan is the metadata of a family in an open block: text has its name, help and unit one after the other.
type metaSpan struct {
	typ                uint8
	byFamily           bool // to be sent in version 1, too
	at                 uint32
	family, help, unit uint32 // lengths
}

// familyState is the family whose rows are being added. It outlives a block: the rows which follow may lie in the next one.
type familyState struct {
	active bool
	typ    uint8
	text   []byte // name, help and unit
	name   int
	help   int

	number int // in the open block's metas; -1: it is not there yet

	// Whether the label with number label, which a row has in place at, names a series of the family.
	known  bool
	at     int
	label  uint32
	member bool
}

// beginFamily says that rows of m's family follow, whose series have m's metadata. It borrows m. With byFamily the metadata
// are sent by themselves, too, where the protocol has them so. It reports false if the block would exceed maxBytes by it.
func (b *builder) beginFamily(m batch.Metadata, byFamily bool, maxBytes int) bool {
	f := &b.family
	text := append(append(append(f.text[:0], m.Family...), m.Help...), m.Unit...)
	*f = familyState{active: true, typ: m.Type, text: text, name: len(m.Family), help: len(m.Help), number: -1}
	if !byFamily {
		return true
	}
	s := metaSpan{typ: m.Type, family: uint32(len(m.Family)), help: uint32(len(m.Help)), unit: uint32(len(m.Unit))}
	size := metadataBytes1(s)
	if b.size1+size > maxBytes {
		return false
	}
	b.open(b.dict)
	b.addMetadata(true)
	b.size1 += size
	b.sizeVM += size
	b.items++
	return true
}

// resumeFamily says that rows of the family follow whose metadata are in the block already, with the given number.
func (b *builder) resumeFamily(number int) {
	m := b.metas[number]
	text := append(b.family.text[:0], b.text.B[m.at:m.at+m.family+m.help+m.unit]...)
	b.family = familyState{active: true, typ: m.typ, text: text, name: int(m.family), help: int(m.help), number: number}
}

// endFamily says that what follows belongs to no family that is known.
func (b *builder) endFamily() {
	text := b.family.text[:0]
	if cap(text) > 16<<10 {
		text = nil
	}
	b.family = familyState{text: text, number: -1}
}

// addMetadata adds the metadata of the current family to the block.
func (b *builder) addMetadata(byFamily bool) {
	f := &b.family
	if cap(b.text.B)-len(b.text.B) < len(f.text) {
		b.text.Grow(len(f.text))
	}
	f.number = len(b.metas)
	b.metas = append(b.metas, metaSpan{
		typ: f.typ, byFamily: byFamily, at: uint32(len(b.text.B)),
		family: uint32(f.name), help: uint32(f.help), unit: uint32(len(f.text) - f.name - f.help),
	})
	b.text.B = append(b.text.B, f.text...)
}

// metadataOf returns which of the block's metadata the row with the labels b.last has, or -1.
func (b *builder) metadataOf(kind batch.Kind) int {
	f := &b.family
	if !f.active || kind == batch.KindExemplar {
		return -1
	}
	if !f.known || f.at >= len(b.last) || b.last[f.at] != f.label {
		f.known, f.member = false, false
		for i, n := range b.last {
			if name, value := b.split(n); string(name) == "__name__" {
				f.known, f.at, f.label, f.member = true, i, n, isOfFamily(value, f.text[:f.name])
				break
			}
		}
	}
	if !f.member {
		return -1
	}
	if f.number < 0 {
		b.addMetadata(false)
	}
	return f.number
}

// isOfFamily reports whether a series of this name may belong to a family: metadata hold until the next family's come, and
// not each family has some.
func isOfFamily(name, family []byte) bool {
	if len(name) < len(family) || string(name[:len(family)]) != string(family) {
		return false
	}
	switch string(name[len(family):]) {
	case "", "_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount":
		return true
	}
	return false
}

// The wire form of metadata:
//
//	version 1: in WriteRequest, field 3: type 1, family 2, help 4, unit 5
//	version 2: in TimeSeries, field 5: type 1, help's symbol 3, unit's symbol 4
const (
	tagMetadata1    = 3<<3 | 2
	tagMetaType     = 1 << 3
	tagMetaFamily1  = 2<<3 | 2
	tagMetaHelp1    = 4<<3 | 2
	tagMetaUnit1    = 5<<3 | 2
	tagMetadata2    = 5<<3 | 2
	tagMetaHelpRef2 = 3 << 3
	tagMetaUnitRef2 = 4 << 3
)

// metadataBytes1 is the bytes that metadata take in version 1.
func metadataBytes1(m metaSpan) int {
	n := metadataMessage1(m)
	return 1 + uvarintLen(n) + n
}

func metadataMessage1(m metaSpan) (n int) {
	if m.typ != 0 {
		n = 2
	}
	for _, k := range []uint32{m.family, m.help, m.unit} {
		if k != 0 {
			n += 1 + uvarintLen(int(k)) + int(k)
		}
	}
	return n
}

// appendMetadata1 appends metadata, whose text is given, to a request of version 1.
func appendMetadata1(dst []byte, m metaSpan, text []byte) []byte {
	dst = append(dst, tagMetadata1)
	dst = binary.AppendUvarint(dst, uint64(metadataMessage1(m)))
	if m.typ != 0 {
		dst = append(dst, tagMetaType, m.typ&0x7f)
	}
	text = text[m.at:]
	for _, f := range []struct {
		tag byte
		n   uint32
	}{{tagMetaFamily1, m.family}, {tagMetaHelp1, m.help}, {tagMetaUnit1, m.unit}} {
		if f.n != 0 {
			dst = append(dst, f.tag)
			dst = binary.AppendUvarint(dst, uint64(f.n))
			dst = append(dst, text[:f.n]...)
		}
		text = text[f.n:]
	}
	return dst
}

// appendMetadata2 appends metadata to a series of version 2.
func appendMetadata2(dst []byte, typ uint8, help, unit uint32) []byte {
	at := len(dst)
	dst = append(dst, tagMetadata2, 0)
	if typ != 0 {
		dst = append(dst, tagMetaType, typ&0x7f)
	}
	if help != 0 {
		dst = binary.AppendUvarint(append(dst, tagMetaHelpRef2), uint64(help))
	}
	if unit != 0 {
		dst = binary.AppendUvarint(append(dst, tagMetaUnitRef2), uint64(unit))
	}
	dst[at+1] = byte(len(dst) - at - 2)
	return dst
}

const (
	// metadataEvery is how often metadata are sent by themselves, of each family, while nothing changes.
	metadataEvery = time.Minute
	// maxSentFamilies bounds what is known of what was sent. Beyond it metadata are sent more often, and no more memory
	// taken.
	maxSentFamilies = 16 << 10
)

// sentMetadata is when which metadata were last sent by family: many targets have the same ones. It is safe for concurrent
// use.
type sentMetadata struct {
	mu       sync.Mutex
	families map[uint64]sentFamily
	most     int // of them that there once were
}

type sentFamily struct {
	hash uint64 // of what was sent
	at   time.Time
}

// due reports whether m is to be sent, and notes that it is.
func (s *sentMetadata) due(m batch.Metadata, now time.Time) bool {
	key := xxhash.Sum64(m.Family)
	h := xxhash.New()
	_, _ = h.Write([]byte{m.Type})
	_, _ = h.Write(m.Help)
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(m.Unit)
	is := sentFamily{h.Sum64(), now}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Scrapes are not exactly a minute apart: half a second less is a minute, too.
	if was, ok := s.families[key]; ok && was.hash == is.hash && now.Sub(was.at) < metadataEvery-time.Second/2 {
		return false
	}
	if s.families == nil || len(s.families) >= maxSentFamilies {
		s.families = make(map[uint64]sentFamily)
	}
	s.families[key] = is
	s.most = max(s.most, len(s.families))
	return true
}

// turn forgets what is so long ago that it would be sent in any case: most of it is of targets which are gone.
func (s *sentMetadata) turn(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, x := range s.families {
		if now.Sub(x.at) >= metadataEvery {
			delete(s.families, key)
		}
	}
	s.families = slack.Map(s.families, &s.most)
}

// commitMetadata begins a family. It returns how many samples the queues lost by it.
func (g *group) commitMetadata(l *lane, m batch.Metadata, now time.Time) (evicted int) {
	due := g.sent.due(m, now)
	if l.open.items > 0 && g.isFull(&l.open) {
		evicted = g.closeLocked(l, now)
	}
	if !l.open.beginFamily(m, due, g.key.maxBlockBytes) {
		if l.open.items > 0 {
			evicted += g.closeLocked(l, now)
		}
		l.open.beginFamily(m, due, g.key.maxBlockBytes) // metadata which are larger than a block are not sent
	}
	return evicted
}
