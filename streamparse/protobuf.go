package streamparse

import "math"

// Protobuf: io.prometheus.client.MetricFamily, each with its length before it. A family may be as long as it likes: only one
// Metric of it has to fit into the window. What a line's bytes are in text is made here: see protobuf.key. Where Prometheus,
// which has the whole family in memory, does otherwise, docs/formats.md tells.

// What a metric's samples are, in the order in which they are delivered. Buckets and quantiles begin at fieldBuckets.
const (
	fieldCount   = -2
	fieldSum     = -1
	fieldBuckets = 0
)

// What a key ends with: no label's field begins so. A bucket's and a quantile's bound follows. Of a counter, a gauge and an
// untyped one it is the tag of the number.
const (
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
	// familyHash is that of the name and plainTag, and metricHash that of the key up to labelsEnd, too, if hashed.
	familyHash uint64
	metricHash uint64
	hashed     bool
	labels     int   // how many the metric has; -1 before they were checked
	repeated   int64 // what the samples' labels take: see protolabels.go

	metric metric
	field  int  // the last one which was prepared
	more   bool // the metric has samples behind it
	// converted: behind these the metric has the histogram that was made of them.
	converted bool
	// ready says that key and the parser's value are those of a sample which was not delivered yet; isHistogram that it is a
	// native histogram.
	ready       bool
	isHistogram bool
	start       stamp
	// guessed is how many bytes the next metric's key has if it is the one that was peeked for, or 0. The metric ends guessEnd
	// bytes behind pos.
	guessed, guessEnd int
}

func (pb *protobuf) reset() {
	pb.left, pb.inFamily, pb.started = 0, false, false
	pb.meta, pb.more, pb.ready, pb.isHistogram, pb.converted = metaNone, false, false, false, false
	pb.start = stamp{}
	pb.guessed, pb.repeated = 0, 0
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
func (p *Parser) Histogram() *Histogram {
	if p.convert.emitted {
		return &p.convert.made
	}
	return &p.pb.metric.native
}

// peekProtobuf shows the key of the next sample if it has n bytes.
func (p *Parser) peekProtobuf(n int) []byte {
	pb := &p.pb
	if pb.betweenMetrics() {
		if labels := p.guessPlain(n); labels != nil {
			pb.key = append(append(pb.key[:pb.nameEnd+1], labels...), pb.plainTag)
			return pb.key
		}
	}
	if !p.prepared(n) {
		return nil
	}
	return pb.key
}

// betweenMetrics reports whether nothing of what was read waits to be delivered.
func (pb *protobuf) betweenMetrics() bool {
	return !pb.ready && !pb.more && !pb.converted && pb.meta == metaNone
}

// prepared makes the next sample ready, and reports whether its key has n bytes.
func (p *Parser) prepared(n int) bool {
	pb := &p.pb
	if !pb.ready {
		if pb.meta != metaNone {
			return false
		}
		if pb.more {
			p.prepareSample()
		} else if !p.prepare() {
			return false
		}
	}
	return len(pb.key) == n && pb.meta == metaNone && !pb.isHistogram
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
		pb.repeated += beyond(n, 0)
		return true
	}
	if n != pb.guessed || n == 0 {
		return false
	}
	pb.guessed = 0
	pb.repeated += beyond(n, 0)
	p.advance(pb.guessEnd)
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
		p.err = p.checkRepeated(0) // what Take took, too
		return KindNone, p.err
	}
	if err := pb.checkLabels(); err != nil {
		p.refuse(err)
		return KindNone, p.err
	}
	pb.repeated += beyond(len(pb.key), pb.labels)
	if p.err = p.checkRepeated(0); p.err != nil {
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
		if pb.converted {
			p.prepareConverted()
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
	pb.labelsEnd, pb.hashed, pb.labels = len(pb.key), false, -1
	pb.field = fieldCount - 1
	switch pb.typ {
	case familySummary:
		pb.start = m.summary.start
		pb.more = true
	case familyHistogram, familyGaugeHistogram:
		pb.start = m.classic.start
		if !p.body.NativeHistograms || !m.isNative() {
			pb.more = !p.body.ConvertClassic || p.body.ClassicHistograms
			if pb.converted = p.body.ConvertClassic; pb.converted {
				return p.convertClassic()
			}
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
		pb.key = append(pb.key, pb.plainTag)
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

// prepareConverted makes the histogram ready which the metric's classic one was converted to.
func (p *Parser) prepareConverted() {
	pb := &p.pb
	pb.converted = false
	pb.metric.native.IsGauge = pb.typ == familyGaugeHistogram
	pb.key = append(pb.key[:pb.labelsEnd], keyNative)
	pb.ready, pb.isHistogram = true, true
	p.current = pb.metric.nativeExemplars()
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
