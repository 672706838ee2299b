package streamparse

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Protobuf: io.prometheus.client.MetricFamily, each with its length before it. A family may be as long as it likes: only one
// Metric of it has to fit into the window. What a line's bytes are in text is made here: see protobuf.key.
//
// A serializer writes fields in the order of their numbers, and Prometheus, which has the whole family, takes them in any.
// Here the name, the help and the type must come before the first metric; the unit, whose number is the highest, is
// delivered at the family's end.

// What a metric's samples are, in the order in which they are delivered. Buckets and quantiles begin at fieldBuckets.
const (
	fieldCount   = -2
	fieldSum     = -1
	fieldBuckets = 0
)

// What a key ends with: no label's field begins so. A bucket's and a quantile's bound follows.
const (
	keyValue    = 0
	keyCount    = 1
	keySum      = 2
	keyBucket   = 3
	keyQuantile = 4
	keyNative   = 5
)

// metadata says which entry about the family is the next.
type metadata uint8

const (
	metaNone metadata = iota
	metaHelp
	metaType
	metaUnit
)

// endOfName stands behind the name in a key: no byte of UTF-8.
const endOfName = 0xff

// familyType are the values of MetricType.
const (
	familyCounter = iota
	familyGauge
	familySummary
	familyUntyped
	familyHistogram
	familyGaugeHistogram
)

// protobuf is the state of a Parser which reads protobuf.
type protobuf struct {
	left     uint64 // bytes of the current family which were not read yet
	inFamily bool
	started  bool // a metric of it was met
	help     []byte
	unit     []byte
	typ      int32
	plainTag byte // the tag of the number that a metric of this type has, 0 for other types
	meta     metadata

	// key stands for the bytes of a series: the family's name, endOfName, the label fields as they are on the wire, and
	// what tells the metric's samples apart. Of a histogram's samples, only the end is written anew for each.
	//
	//	| name | 0xff | 0a 0b 0a 04 … | 03 | bound |
	//	0    nameEnd               labelsEnd
	key       []byte
	nameEnd   int
	labelsEnd int

	metric metric
	field  int  // the last one which was prepared
	more   bool // the metric has samples behind it
	// ready says that key and the parser's value are those of a sample which was not delivered yet; isHistogram that it is a
	// native histogram.
	ready       bool
	isHistogram bool
	start       stamp
	// guess is the next metric if its key has as many bytes as were peeked for: guessed, or 0.
	guess   plainMetric
	guessed int
}

func (pb *protobuf) reset() {
	pb.left, pb.inFamily, pb.started = 0, false, false
	pb.meta, pb.more, pb.ready, pb.isHistogram = metaNone, false, false, false
	pb.start = stamp{}
	pb.guessed = 0
	pb.key, pb.nameEnd, pb.labelsEnd = pb.key[:0], 0, 0
}

func (pb *protobuf) shrink() {
	pb.reset()
	pb.metric.shrink()
	if cap(pb.key) > chunkBytes {
		pb.key = nil
	}
	if cap(pb.help) > chunkBytes {
		pb.help = nil
	}
	if cap(pb.unit) > chunkBytes {
		pb.unit = nil
	}
}

// Histogram is the current native histogram, valid like Series.
func (p *Parser) Histogram() *Histogram { return &p.pb.metric.native }

// peekProtobuf shows the key of the next sample if it has n bytes.
func (p *Parser) peekProtobuf(n int) []byte {
	pb := &p.pb
	if !pb.ready {
		if pb.meta != metaNone {
			return nil
		}
		if pb.more {
			p.prepareSample()
		} else if key := p.guessPlain(n); key != nil {
			return key
		} else if !p.prepare() {
			return nil
		}
	}
	if len(pb.key) != n || pb.meta != metaNone || pb.isHistogram {
		return nil
	}
	return pb.key
}

func (p *Parser) guessProtobuf() int {
	pb := &p.pb
	if !pb.ready && !p.prepare() || pb.meta != metaNone || pb.isHistogram {
		return 0
	}
	return len(pb.key)
}

func (p *Parser) takeProtobuf(n int) bool {
	pb := &p.pb
	if pb.ready {
		if len(pb.key) != n || pb.meta != metaNone || pb.isHistogram {
			return false
		}
		pb.ready = false
		return true
	}
	if n != pb.guessed || n == 0 {
		return false
	}
	pb.guessed = 0
	p.takePlain(&pb.guess)
	return true
}

// nextProtobuf is Next.
func (p *Parser) nextProtobuf() (Kind, error) {
	pb := &p.pb
	if p.err == nil && pb.meta == metaNone && !pb.ready {
		p.prepare()
	}
	if p.err != nil {
		return KindNone, p.err
	}
	p.family = pb.key[:pb.nameEnd]
	switch {
	case pb.meta == metaHelp:
		pb.meta = metaType
		p.help = pb.help
		return KindHelp, nil
	case pb.meta == metaUnit:
		pb.meta = metaNone
		p.unit = pb.unit
		return KindUnit, nil
	case pb.meta == metaType:
		pb.meta = metaNone
		p.typ = pb.familyType()
		return KindType, nil
	case !pb.ready:
		return KindNone, nil
	}
	if err := pb.checkLabels(); err != nil {
		p.refuse(err)
		return KindNone, p.err
	}
	pb.ready = false
	p.series = pb.key
	if pb.isHistogram {
		pb.isHistogram = false
		return KindHistogram, nil
	}
	return KindSample, nil
}

func (pb *protobuf) familyType() Type {
	switch pb.typ {
	case familyCounter:
		return TypeCounter
	case familyGauge:
		return TypeGauge
	case familySummary:
		return TypeSummary
	case familyHistogram:
		return TypeHistogram
	case familyGaugeHistogram:
		return TypeGaugeHistogram
	}
	return TypeUntyped
}

// prepare makes the next sample, or the next entry about a family, ready. It returns false at the end of the body, and when
// it cannot be read further.
func (p *Parser) prepare() bool {
	pb := &p.pb
	for !pb.ready && pb.meta == metaNone {
		if pb.more {
			p.prepareSample()
			continue
		}
		if p.err != nil || !p.plain() && !p.readField() {
			return false
		}
	}
	return true
}

// startMetric begins with the samples of the metric that was decoded.
func (p *Parser) startMetric() error {
	pb := &p.pb
	m := &pb.metric
	p.ts, p.hasTS = m.millis, m.millis != 0
	pb.labelsEnd = len(pb.key)
	pb.field = fieldCount - 1
	switch pb.typ {
	case familySummary:
		pb.start = m.summary.start
		pb.more = true
	case familyHistogram, familyGaugeHistogram:
		pb.start = m.classic.start
		if !p.body.NativeHistograms || !m.isNative() {
			pb.more = true
			break
		}
		if err := m.checkNative(); err != nil {
			return err
		}
		m.native.IsGauge = pb.typ == familyGaugeHistogram
		pb.key = append(pb.key, keyNative)
		pb.more = p.body.ClassicHistograms && len(m.classic.buckets) > 0
		pb.ready, pb.isHistogram = true, true
		p.current = m.nativeExemplars()
	default:
		pb.key = append(pb.key, keyValue)
		pb.start = stamp{}
		p.current = nil
		v := m.untyped
		switch pb.typ {
		case familyCounter:
			v = m.counter
			pb.start = m.counterStart
			if m.ofCounter >= 0 {
				p.current = m.exemplars.list[m.ofCounter : m.ofCounter+1]
			}
		case familyGauge:
			v = m.gauge
		}
		p.value = normal(v)
		pb.ready = true
	}
	return nil
}

// prepareSample makes the next sample of a summary or of a classic histogram ready.
func (p *Parser) prepareSample() {
	pb := &p.pb
	m := &pb.metric
	s := &m.classic
	if pb.typ == familySummary {
		s = &m.summary
	}
	pb.field++
	pb.ready = true
	p.current = nil
	pb.key = pb.key[:pb.labelsEnd]
	switch {
	case pb.field >= fieldBuckets && pb.field < len(s.buckets):
		b := &s.buckets[pb.field]
		if pb.typ == familySummary {
			pb.key = appendFloat(pb.key, keyQuantile, b.bound)
			p.value = normal(b.countFloat)
			pb.more = pb.field < len(s.buckets)-1
			break
		}
		pb.key = appendFloat(pb.key, keyBucket, b.bound)
		p.value = either(b.countFloat, b.count)
		pb.more = !math.IsInf(b.bound, 1)
		if b.exemplar >= 0 {
			p.current = m.exemplars.list[b.exemplar : b.exemplar+1]
		}
	case pb.field == fieldCount:
		pb.key = append(pb.key, keyCount)
		p.value = s.total()
	case pb.field == fieldSum:
		pb.key = append(pb.key, keySum)
		p.value = normal(s.sum)
		pb.more = pb.typ != familySummary || len(s.buckets) > 0
	default: // the last bucket may be left out
		pb.key = appendFloat(pb.key, keyBucket, math.Inf(1))
		p.value = s.total()
		pb.more = false
	}
}

func (s *summary) total() float64 { return either(s.countFloat, s.count) }

// either is the float of a count, which overrides the integer unless it is 0.
func either(f float64, n uint64) float64 {
	if f == 0 {
		return float64(n)
	}
	return normal(f)
}

// normal makes one NaN of all: a target cannot write a staleness marker by itself.
func normal(f float64) float64 {
	if f != f {
		return math.Float64frombits(normalNaN)
	}
	return f
}

// refuse ends the body with what is wrong in the current family.
func (p *Parser) refuse(err error) {
	p.bad++
	name := p.pb.key[:p.pb.nameEnd]
	p.firstBad = &ParseError{Line: p.line, Reason: fmt.Sprintf("%v, in %s", err, quoteLine(name)), isFamily: true}
	p.err = p.firstBad
}

// have tries to make n bytes available, and reports whether they are.
func (p *Parser) have(n int) bool {
	for p.end-p.pos < n && !p.eof && p.err == nil {
		p.fill()
	}
	return p.end-p.pos >= n
}

// longestHead is how many bytes a field's tag and its length take at most.
const longestHead = 20

var errBodyCut = errors.New("the body ends within it")

// readField reads on by one field of a family, or by the length before one. It returns false at the end of the body and
// on an error.
func (p *Parser) readField() bool {
	pb := &p.pb
	if !pb.inFamily {
		return p.readLength()
	}
	if pb.left == 0 {
		pb.inFamily = false
		if pb.started && len(pb.unit) > 0 {
			pb.meta = metaUnit
		}
		return true
	}
	if !pb.started {
		p.plainHeader()
	}
	whole := p.have(int(min(pb.left, longestHead)))
	if p.err != nil {
		return false
	}
	if pb.left > 0 && p.end > p.pos && p.w[p.pos] == 4<<3|wireBytes && !pb.started {
		if err := pb.startFamily(); err != nil {
			p.refuse(err)
			return false
		}
		if p.plain() {
			return true
		}
	}
	if pb.left == 0 {
		return true
	}
	begin := p.pos
	err := p.parseField(p.w[p.pos:min(uint64(p.end), uint64(p.pos)+pb.left)])
	if err != nil && p.err == nil {
		if err == errCut && p.pos == begin && !whole {
			err = errBodyCut
		}
		p.refuse(err)
	}
	return p.err == nil
}

// readLength reads the length before a family.
func (p *Parser) readLength() bool {
	const longest = 5 // bytes that Prometheus takes
	pb := &p.pb
	if !p.have(longest) && (p.err != nil || p.pos == p.end) {
		return false
	}
	p.line++
	pb.key, pb.nameEnd = pb.key[:0], 0
	n, used, err := varint(p.w[p.pos:min(p.end, p.pos+longest)], 0)
	if err != nil {
		p.refuse(fmt.Errorf("the length is cut, or takes more than %d bytes", longest))
		return false
	}
	p.pos += used
	pb.left = n
	pb.inFamily, pb.started = true, false
	pb.help, pb.unit, pb.typ = pb.help[:0], pb.unit[:0], familyCounter
	return true
}

// parseField parses the field at the start of b, of which the head is there unless the family ends before that.
func (p *Parser) parseField(b []byte) error {
	pb := &p.pb
	tag, i, err := field(b, 0)
	if err != nil {
		return err
	}
	switch tag {
	case 3<<3 | wireVarint:
		v, i, err := varint(b, i)
		if err != nil {
			return err
		}
		if pb.started && int32(v) != pb.typ {
			return errors.New("its type follows its metrics")
		}
		pb.typ = int32(v)
		p.advance(i)
		return nil
	case 1<<3 | wireBytes, 2<<3 | wireBytes, 4<<3 | wireBytes, 5<<3 | wireBytes:
	default:
		return p.skipField(b, i, tag)
	}
	n, i, err := varint(b, i)
	if err != nil {
		return err
	}
	if n > pb.left-uint64(i) {
		return errCut
	}
	if tag == 2<<3|wireBytes && n > chunkBytes/2 {
		p.advance(i)
		return p.skipHelp(n)
	}
	if n > uint64(p.opts.MaxLineBytes-longestHead) {
		p.err = fmt.Errorf("metric family %d: %w: more than %d bytes; -promscrape.maxLineSize would allow more", p.line, ErrLineTooLong, p.opts.MaxLineBytes)
		return p.err
	}
	p.advance(i)
	if !p.have(int(n)) {
		return errBodyCut
	}
	content := p.w[p.pos : p.pos+int(n)]
	p.advance(int(n))
	switch tag >> 3 {
	case 1:
		if pb.started && string(content) != string(pb.key[:pb.nameEnd]) {
			return errors.New("its name follows its metrics")
		}
		if !pb.started {
			pb.key = append(pb.key[:0], content...)
			pb.nameEnd = len(pb.key)
		}
	case 2:
		if !pb.started {
			pb.help = append(pb.help[:0], content...)
		}
	case 4:
		return p.parseMetric(content)
	case 5:
		pb.unit = append(pb.unit[:0], content...)
	}
	return nil
}

func (p *Parser) advance(n int) {
	p.pos += n
	p.pb.left -= uint64(n)
}

// startFamily checks what was read of a family, before its first metric.
func (pb *protobuf) startFamily() error {
	name := pb.key[:pb.nameEnd]
	switch {
	case len(name) == 0 || !utf8.Valid(name):
		return errors.New("invalid metric name")
	case !utf8.Valid(pb.help):
		return errors.New("help text is not valid UTF-8")
	case pb.typ < familyCounter || pb.typ > familyGaugeHistogram:
		return fmt.Errorf("unknown metric type %d", pb.typ)
	}
	pb.started = true
	pb.meta = metaHelp
	pb.key = append(name, endOfName)
	switch pb.typ {
	case familyCounter:
		pb.plainTag = 3<<3 | wireBytes
	case familyGauge:
		pb.plainTag = 2<<3 | wireBytes
	case familyUntyped:
		pb.plainTag = 5<<3 | wireBytes
	default:
		pb.plainTag = 0
	}
	return nil
}

// parseMetric parses one metric.
func (p *Parser) parseMetric(b []byte) error {
	pb := &p.pb
	if !pb.started { // its tag takes more bytes than it needs
		if err := pb.startFamily(); err != nil {
			return err
		}
	}
	var err error
	if pb.key, err = pb.metric.decode(b, pb.key[:pb.nameEnd+1]); err != nil {
		return err
	}
	return p.startMetric()
}

// skipHelp reads past a help text of n bytes which is too long to be kept, and checks it.
func (p *Parser) skipHelp(n uint64) error {
	pb := &p.pb
	var carry [utf8.UTFMax]byte
	carried := 0
	pb.help = pb.help[:0]
	valid := true
	for n > 0 {
		if !p.have(1) {
			return errBodyCut
		}
		b := p.w[p.pos:min(uint64(p.end), uint64(p.pos)+n)]
		n -= uint64(len(b))
		valid = valid && validPiece(b, &carry, &carried, n == 0)
		p.advance(len(b))
	}
	if !valid { // which matters only if there is a metric
		pb.help = append(pb.help, endOfName)
	}
	return nil
}

// skipField reads past a field that the family should not have, whose content begins at b[i].
func (p *Parser) skipField(b []byte, i int, tag uint64) error {
	pb := &p.pb
	if tag&7 != wireBytes || tag>>3 <= 5 {
		if tag&7 == wireGroup && tag>>3 > 5 {
			p.have(int(min(pb.left, chunkBytes/2)))
			b = p.w[p.pos:min(uint64(p.end), uint64(p.pos)+pb.left)]
		}
		end, err := skip(b, i, tag, 5)
		if err != nil {
			return err
		}
		p.advance(end)
		return nil
	}
	n, i, err := varint(b, i)
	if err != nil {
		return err
	}
	if n > pb.left-uint64(i) {
		return errCut
	}
	p.advance(i)
	for n > 0 {
		if !p.have(1) {
			return errBodyCut
		}
		part := int(min(uint64(p.end-p.pos), n))
		n -= uint64(part)
		p.advance(part)
	}
	return nil
}
