package streamparse

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Body.ConvertClassic makes native histograms with custom buckets of classic ones. In protobuf a histogram is one metric. In
// text its samples are those which follow each other in a family of that type and have the same labels but le: they are
// collected here, and what they make is delivered when something else comes, before that. One which cannot be converted,
// since its buckets are not cumulative or a count is negative, is left out, as Prometheus does; in protobuf the body is
// refused, as Prometheus does. docs/formats.md has the few places where we differ on purpose.

const (
	suffixBucket = "_bucket"
	suffixSum    = "_sum"
	suffixCount  = "_count"
)

// converter is what a Parser has collected of a classic histogram in text or OpenMetrics.
type converter struct {
	family  []byte // of the last TYPE line
	active  bool   // samples were collected
	emitted bool   // the current entry is what they made
	failed  int    // histograms which could not be converted

	buckets ClassicBuckets
	made    Histogram
	labels  []byte // of the first sample, as it has them, each with endOfName behind its name and its value
	// series stands for the bytes of a series: endOfName, the family, endOfName, the labels sorted.
	series []byte
	// Most samples are buckets which differ from the one before only in their bound: le is the label with that number, and
	// head and tail are what stands before and behind its value. Head is empty while there is none to compare with.
	le         int
	head, tail []byte
	millis     int64 // of the last sample
	isTimed    bool
	start      int64
	exemplars  exemplars
	texts      []byte // of the exemplars' labels
	textEnds   []int
	views      []Label // scratch
	sampleText []byte  // scratch
}

// collected says what became of an entry.
type collected uint8

const (
	collectedNot   collected = iota // it is to be delivered
	collectedOnly                   // it is not to be delivered
	collectedFirst                  // a histogram is to be delivered before it
)

func (c *converter) reset() {
	c.active, c.emitted, c.failed = false, false, 0
	c.family = c.family[:0]
}

func (c *converter) shrink() {
	if cap(c.labels)+cap(c.series)+cap(c.texts)+cap(c.sampleText)+cap(c.head)+cap(c.tail) > chunkBytes {
		c.labels, c.series, c.texts, c.sampleText, c.head, c.tail = nil, nil, nil, nil, nil, nil
	}
	if cap(c.buckets.buckets)+cap(c.made.CustomValues)+cap(c.textEnds) > maxKeptParts {
		c.buckets, c.made, c.textEnds = ClassicBuckets{}, Histogram{}, nil
	}
	if cap(c.views) > maxKeptParts {
		c.views = nil
	}
	clear(c.views[:cap(c.views)])
	c.exemplars.shrink()
}

// Unconverted is how many histograms of the body Body.ConvertClassic left out since they could not be converted.
func (p *Parser) Unconverted() int { return p.convert.failed }

// hasWhole reports whether lines of the current family are not to be taken one by one, since more than one of them decides
// what is delivered.
func (p *Parser) hasWhole() bool {
	return p.hasStart() || p.body.ConvertClassic && p.typ == TypeHistogram
}

// collect decides what becomes of the entry that was scanned.
func (p *Parser) collect(kind Kind) collected {
	c := &p.convert
	switch {
	case kind == KindNone:
		return collectedNot
	case kind != KindSample:
		if p.finishHistogram() {
			return collectedFirst
		}
		if kind == KindType {
			c.family = append(c.family[:0], p.family...)
		}
		return collectedNot
	case p.typ != TypeHistogram:
		if p.finishHistogram() {
			return collectedFirst
		}
		return collectedNot
	}
	if l := p.nextBound(); l != nil {
		if bound, ok := parseBound(l); ok {
			p.addBucket(bound)
			return p.keepSample()
		}
	}
	c.views = p.AppendLabels(c.views[:0])
	suffix, ok := bytes.CutPrefix(c.views[0].Value, c.family)
	switch string(suffix) {
	case "", suffixBucket, suffixSum, suffixCount:
	default:
		ok = false
	}
	if c.active && !(ok && p.sameHistogram()) && p.finishHistogram() {
		return collectedFirst
	}
	if !ok || len(suffix) == 0 {
		return collectedNot
	}
	bound := 0.0
	if string(suffix) == suffixBucket {
		if bound, ok = boundOf(c.views[1:]); !ok {
			return collectedNot
		}
	}
	if !c.active {
		p.beginHistogram()
	}
	switch string(suffix) {
	case suffixBucket:
		p.addBucket(bound)
		p.rememberBound()
	case suffixSum:
		c.buckets.Sum(p.value)
	case suffixCount:
		c.buckets.Count(p.value)
	}
	return p.keepSample()
}

// addBucket adds the current sample, a bucket up to bound.
func (p *Parser) addBucket(bound float64) {
	c := &p.convert
	if c.buckets.Bucket(bound, p.value); len(c.buckets.buckets) > maxParts {
		p.err = &ParseError{Line: p.line, Reason: fmt.Sprintf("histogram with more than %d buckets", maxParts)}
	}
}

// nextBound returns the value of le if the current sample differs from the last bucket in nothing else, nil otherwise.
func (p *Parser) nextBound() []byte {
	c := &p.convert
	if !c.active || len(c.head) == 0 || c.le >= len(p.labels) || p.name.start != 0 {
		return nil
	}
	v := p.labels[c.le].value
	if v.escaped || int(v.start) != len(c.head) || int(v.end) > len(p.series) ||
		!bytes.Equal(p.series[:v.start], c.head) || !bytes.Equal(p.series[v.end:], c.tail) {
		return nil
	}
	return p.series[v.start:v.end]
}

// rememberBound keeps what the current sample, a bucket, has beside its bound. A line which begins with blanks or a brace is
// none to compare with.
func (p *Parser) rememberBound() {
	c := &p.convert
	c.head, c.tail = c.head[:0], c.tail[:0]
	if p.name.start != 0 {
		return
	}
	for i, l := range p.labels {
		if string(p.text[l.name.start:l.name.end]) == "le" {
			c.le = i
			c.head = append(c.head, p.series[:l.value.start]...)
			c.tail = append(c.tail, p.series[l.value.end:]...)
			return
		}
	}
}

// keepSample keeps what else the current sample has.
func (p *Parser) keepSample() collected {
	c := &p.convert
	c.millis, c.isTimed = p.ts, p.hasTS
	p.keepExemplars()
	p.current, p.created.start = nil, c.start // they are the histogram's, and so is its start, as in Prometheus
	if p.body.ClassicHistograms {
		return collectedNot
	}
	return collectedOnly
}

// boundOf returns the upper bound of a bucket with these labels.
func boundOf(labels []Label) (bound float64, ok bool) {
	for _, l := range labels {
		if string(l.Name) == "le" {
			return parseBound(l.Value)
		}
	}
	return 0, false
}

func parseBound(text []byte) (bound float64, ok bool) {
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil && !math.IsNaN(f)
}

// appendPairs appends labels but le to dst, each name and each value with endOfName behind it: no byte of UTF-8.
func appendPairs(dst []byte, labels []Label) []byte {
	for _, l := range labels {
		if string(l.Name) != "le" {
			dst = append(append(dst, l.Name...), endOfName)
			dst = append(append(dst, l.Value...), endOfName)
		}
	}
	return dst
}

// sameHistogram reports whether the labels of the sample in views are those of what is being collected, in any order. It may
// sort them.
func (p *Parser) sameHistogram() bool {
	c := &p.convert
	c.sampleText = appendPairs(c.sampleText[:0], c.views[1:])
	if bytes.Equal(c.sampleText, c.labels) {
		return true
	}
	sortByName(c.views[1:])
	c.sampleText = appendPairs(c.sampleText[:0], c.views[1:])
	return bytes.Equal(c.sampleText, c.series[len(c.family)+2:])
}

func sortByName(labels []Label) {
	slices.SortStableFunc(labels, func(a, b Label) int { return bytes.Compare(a.Name, b.Name) })
}

// beginHistogram begins with the histogram that the sample in views is the first of.
func (p *Parser) beginHistogram() {
	c := &p.convert
	c.active = true
	c.buckets.Reset()
	c.head = c.head[:0]
	c.exemplars.reset()
	c.texts, c.textEnds = c.texts[:0], c.textEnds[:0]
	c.start, _ = p.StartTimestamp()
	c.labels = appendPairs(c.labels[:0], c.views[1:])
	sortByName(c.views[1:])
	c.series = append(append(append(c.series[:0], endOfName), c.family...), endOfName)
	c.series = appendPairs(c.series, c.views[1:])
}

// keepExemplars copies the current sample's exemplars.
func (p *Parser) keepExemplars() {
	c := &p.convert
	for _, e := range p.current {
		if !e.HasTimestamp {
			continue
		}
		labels := p.exemplars.labels[e.from:e.to]
		size := 0
		for _, l := range labels {
			size += len(l.Name) + len(l.Value)
		}
		if len(c.texts)+size > p.opts.MaxLineBytes || len(c.exemplars.list) >= maxExemplars {
			return
		}
		e.from = len(c.textEnds) / 2
		e.to = e.from + len(labels)
		for _, l := range labels {
			c.texts = append(c.texts, l.Name...)
			c.textEnds = append(c.textEnds, len(c.texts))
			c.texts = append(c.texts, l.Value...)
			c.textEnds = append(c.textEnds, len(c.texts))
		}
		c.exemplars.list = append(room(c.exemplars.list), e)
	}
}

// finishHistogram makes what was collected, if it can be converted, the current entry.
func (p *Parser) finishHistogram() bool {
	c := &p.convert
	if !c.active {
		return false
	}
	c.active = false
	if c.buckets.Convert(&c.made) != nil {
		c.failed++
		return false
	}
	c.emitted = true
	p.series = c.series
	p.ts, p.hasTS = c.millis, c.isTimed
	from := 0
	for i := 0; i < len(c.textEnds); i += 2 {
		mid, end := c.textEnds[i], c.textEnds[i+1]
		c.exemplars.labels = append(c.exemplars.labels, Label{c.texts[from:mid:mid], c.texts[mid:end:end]})
		from = end
	}
	p.current = c.exemplars.list
	return true
}

// appendLabels is AppendLabels for the histogram that was made.
func (c *converter) appendLabels(dst []Label, nameLabel []byte) []Label {
	next := func(b []byte) (part, rest []byte) {
		i := bytes.IndexByte(b, endOfName)
		return b[:i:i], b[i+1:]
	}
	var name, value []byte
	value, rest := next(c.series[1:])
	dst = append(dst, Label{nameLabel, value})
	for len(rest) > 0 {
		name, rest = next(rest)
		value, rest = next(rest)
		if len(value) > 0 { // an empty one is none, as in Prometheus
			dst = append(dst, Label{name, value})
		}
	}
	return dst
}

// convertClassic makes the metric's classic histogram its native one.
func (p *Parser) convertClassic() error {
	m := &p.pb.metric
	b := &p.convert.buckets
	b.Reset()
	b.Count(m.classic.total())
	b.Sum(normal(m.classic.sum))
	for _, k := range m.classic.buckets {
		b.Bucket(k.bound, either(k.countFloat, k.count))
	}
	return b.Convert(&m.native)
}
