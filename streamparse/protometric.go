package streamparse

import (
	"encoding/binary"
	"math"
)

// maxParts is how many buckets, quantiles, spans, exemplars and so on a metric may have of each. An empty one takes two bytes
// on the wire and up to 40 here, so that without it a body could take twenty times its longest metric. A closed parser keeps room for maxKeptParts.
const (
	maxParts     = 1 << 16
	maxExemplars = 1 << 12 // of which each takes more than twice as much, and is copied
	maxKeptParts = 1 << 10
)

// stamp is a google.protobuf.Timestamp.
type stamp struct {
	seconds int64
	nanos   int32
	isSet   bool
}

func (s stamp) millis() int64 { return s.seconds*1000 + int64(s.nanos)/1e6 }

// bucket is one of a classic histogram, or a quantile.
type bucket struct {
	bound      float64 // or the quantile
	count      uint64
	countFloat float64 // or the quantile's value
	exemplar   int32   // its number among the metric's, or -1
}

// summary is a Summary, or what a Histogram has in common with it.
type summary struct {
	count      uint64
	countFloat float64
	sum        float64
	start      stamp
	buckets    []bucket
}

// metric is one Metric of a family, decoded. Its slices are used again and again.
type metric struct {
	gauge, counter, untyped float64
	millis                  int64

	counterStart stamp
	summary      summary
	classic      summary
	native       Histogram
	exemplars    exemplars // all those of the metric
	ofCounter    int32     // the number of the counter's, or -1
	ofNative     []Exemplar
	isDirty      bool // the summary or the histogram was set
}

func (m *metric) reset() {
	m.gauge, m.counter, m.untyped, m.millis = 0, 0, 0, 0
	m.counterStart = stamp{}
	m.ofCounter = -1
	m.exemplars.reset()
	if !m.isDirty {
		return
	}
	m.isDirty = false
	m.summary = summary{buckets: m.summary.buckets[:0]}
	m.classic = summary{buckets: m.classic.buckets[:0]}
	m.ofNative = m.ofNative[:0]
	h := &m.native
	*h = Histogram{
		PositiveSpans: h.PositiveSpans[:0], PositiveDeltas: h.PositiveDeltas[:0], PositiveCounts: h.PositiveCounts[:0],
		NegativeSpans: h.NegativeSpans[:0], NegativeDeltas: h.NegativeDeltas[:0], NegativeCounts: h.NegativeCounts[:0],
		CustomValues: h.CustomValues[:0], spareSpans: h.spareSpans[:0],
	}
}

// shrink gives back what an unusually large metric took.
func (m *metric) shrink() {
	h := &m.native
	for _, list := range []*[]bucket{&m.summary.buckets, &m.classic.buckets} {
		if cap(*list) > maxKeptParts {
			*list = nil
		}
	}
	if cap(h.PositiveDeltas)+cap(h.NegativeDeltas)+cap(h.PositiveCounts)+cap(h.NegativeCounts)+
		cap(h.PositiveSpans)+cap(h.NegativeSpans)+cap(h.spareSpans)+cap(h.CustomValues)+cap(m.ofNative) > maxKeptParts {
		*h = Histogram{}
		m.ofNative = nil
	}
	m.exemplars.shrink()
}

// isNative reports what Prometheus takes for a native histogram. One without observations and threshold says that it is one
// by an empty span.
func (m *metric) isNative() bool {
	h := &m.native
	return len(h.PositiveSpans) > 0 || len(h.NegativeSpans) > 0 || h.ZeroThreshold > 0 || h.ZeroCount > 0
}

// decode decodes b, a Metric, and appends its label fields to key, as they are on the wire.
func (m *metric) decode(b, key []byte) ([]byte, error) {
	m.reset()
	var tag uint64
	var err error
	labels, labelsEnd := 0, 0 // those which stand together
	for i := 0; i < len(b); {
		start := i
		if tag, i, err = field(b, i); err != nil {
			return key, err
		}
		var sub []byte
		switch tag {
		case 1<<3 | wireBytes:
			if _, i, err = message(b, i); err == nil {
				if start != labelsEnd {
					key = append(key, b[labels:labelsEnd]...)
					labels = start
				}
				labelsEnd = i
			}
		case 2<<3 | wireBytes:
			if sub, i, err = message(b, i); err == nil {
				err = decodeNumber(sub, &m.gauge)
			}
		case 3<<3 | wireBytes:
			if sub, i, err = message(b, i); err == nil {
				err = m.decodeCounter(sub)
			}
		case 4<<3 | wireBytes:
			if sub, i, err = message(b, i); err == nil {
				err = m.decodeSummary(sub)
			}
		case 5<<3 | wireBytes:
			if sub, i, err = message(b, i); err == nil {
				err = decodeNumber(sub, &m.untyped)
			}
		case 6<<3 | wireVarint:
			var v uint64
			v, i, err = varint(b, i)
			m.millis = int64(v)
		case 7<<3 | wireBytes:
			if sub, i, err = message(b, i); err == nil {
				err = m.decodeHistogram(sub)
			}
		default:
			i, err = skip(b, i, tag, 7)
		}
		if err != nil {
			return key, err
		}
	}
	return append(key, b[labels:labelsEnd]...), nil
}

// decodeNumber decodes a Gauge or an Untyped.
func decodeNumber(b []byte, v *float64) error {
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err == nil {
			if tag == 1<<3|wireFixed64 {
				*v, next, err = fixed64(b, next)
			} else {
				next, err = skip(b, next, tag, 1)
			}
		}
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (m *metric) decodeCounter(b []byte) error {
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var sub []byte
		switch tag {
		case 1<<3 | wireFixed64:
			m.counter, next, err = fixed64(b, next)
		case 2<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				if m.ofCounter < 0 {
					m.ofCounter = m.newExemplar()
				}
				err = m.decodeExemplar(sub, m.ofCounter)
			}
		case 3<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = decodeStamp(sub, &m.counterStart)
			}
		default:
			next, err = skip(b, next, tag, 3)
		}
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (m *metric) decodeSummary(b []byte) error {
	m.isDirty = true
	s := &m.summary
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var sub []byte
		switch tag {
		case 1<<3 | wireVarint:
			s.count, next, err = varint(b, next)
		case 2<<3 | wireFixed64:
			s.sum, next, err = fixed64(b, next)
		case 3<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = m.decodeQuantile(sub)
			}
		case 4<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = decodeStamp(sub, &s.start)
			}
		default:
			next, err = skip(b, next, tag, 4)
		}
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (m *metric) decodeQuantile(b []byte) error {
	q := bucket{exemplar: -1}
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		switch tag {
		case 1<<3 | wireFixed64:
			q.bound, next, err = fixed64(b, next)
		case 2<<3 | wireFixed64:
			q.countFloat, next, err = fixed64(b, next)
		default:
			next, err = skip(b, next, tag, 2)
		}
		if err != nil {
			return err
		}
		i = next
	}
	m.summary.buckets = append(room(m.summary.buckets), q)
	return tooMany(len(m.summary.buckets))
}

func (m *metric) decodeBucket(b []byte) error {
	k := bucket{exemplar: -1}
	if n := len(b) - 9; n >= 2 && b[0] == 1<<3|wireVarint && b[n] == 2<<3|wireFixed64 { // what most are
		if count, used := binary.Uvarint(b[1:n]); used == n-1 {
			k.count, k.bound = count, math.Float64frombits(binary.LittleEndian.Uint64(b[n+1:]))
			m.classic.buckets = append(room(m.classic.buckets), k)
			return tooMany(len(m.classic.buckets))
		}
	}
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var sub []byte
		switch tag {
		case 1<<3 | wireVarint:
			k.count, next, err = varint(b, next)
		case 2<<3 | wireFixed64:
			k.bound, next, err = fixed64(b, next)
		case 3<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				if k.exemplar < 0 {
					k.exemplar = m.newExemplar()
				}
				err = m.decodeExemplar(sub, k.exemplar)
			}
		case 4<<3 | wireFixed64:
			k.countFloat, next, err = fixed64(b, next)
		default:
			next, err = skip(b, next, tag, 4)
		}
		if err != nil {
			return err
		}
		i = next
	}
	m.classic.buckets = append(room(m.classic.buckets), k)
	return tooMany(len(m.classic.buckets))
}

func decodeStamp(b []byte, s *stamp) error {
	s.isSet = true
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var v uint64
		switch tag {
		case 1<<3 | wireVarint:
			v, next, err = varint(b, next)
			s.seconds = int64(v)
		case 2<<3 | wireVarint:
			v, next, err = varint(b, next)
			s.nanos = int32(v)
		default:
			next, err = skip(b, next, tag, 2)
		}
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (m *metric) newExemplar() int32 {
	n := len(m.exemplars.labels)
	m.exemplars.list = append(room(m.exemplars.list), Exemplar{from: n, to: n})
	return int32(len(m.exemplars.list) - 1)
}

// decodeExemplar decodes b into the exemplar of that number.
func (m *metric) decodeExemplar(b []byte, number int32) error {
	x := &m.exemplars
	if err := x.tooMany(); err != nil {
		return err
	}
	e := &x.list[number]
	if e.to != len(x.labels) { // it comes in two parts, and another came between them
		from := len(x.labels)
		x.labels = append(x.labels, x.labels[e.from:e.to]...)
		e.from = from
		if err := x.tooMany(); err != nil {
			return err
		}
	}
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return err
		}
		var sub []byte
		switch tag {
		case 1<<3 | wireBytes:
			var name, value []byte
			if sub, next, err = message(b, next); err == nil {
				if name, value, err = decodePair(sub); err == nil {
					x.labels = append(room(x.labels), Label{name, value})
					err = x.tooMany()
				}
			}
		case 2<<3 | wireFixed64:
			e.Value, next, err = fixed64(b, next)
		case 3<<3 | wireBytes:
			if sub, next, err = message(b, next); err == nil {
				err = decodeStamp(sub, &e.at)
				e.TimestampMillis, e.HasTimestamp = e.at.millis(), true
			}
		default:
			next, err = skip(b, next, tag, 3)
		}
		if err != nil {
			return err
		}
		i = next
	}
	e.to = len(x.labels)
	return nil
}

// decodePair returns the name and the value of b, a LabelPair: parts of b, or nil.
func decodePair(b []byte) (name, value []byte, err error) {
	if len(b) >= 4 && b[0] == 1<<3|wireBytes && b[1] < 0x80 { // what most are
		i := 2 + int(b[1])
		if i+2 <= len(b) && b[i] == 2<<3|wireBytes && b[i+1] < 0x80 && i+2+int(b[i+1]) == len(b) {
			return b[2:i:i], b[i+2 : len(b) : len(b)], nil
		}
	}
	for i := 0; i < len(b); {
		tag, next, err := field(b, i)
		if err != nil {
			return nil, nil, err
		}
		switch tag {
		case 1<<3 | wireBytes:
			name, next, err = message(b, next)
		case 2<<3 | wireBytes:
			value, next, err = message(b, next)
		default:
			next, err = skip(b, next, tag, 2)
		}
		if err != nil {
			return nil, nil, err
		}
		i = next
	}
	return name, value, nil
}

func (e *exemplars) tooMany() error {
	if len(e.list) > maxExemplars || len(e.labels) > MaxLabels {
		return errManyExemplars
	}
	return nil
}

func tooMany(n int) error {
	if n > maxParts {
		return errManyParts
	}
	return nil
}
