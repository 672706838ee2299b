package streamparse

import "bytes"

// In OpenMetrics a counter, a summary or a histogram says when it began in a line of its own, behind its samples:
//
//	foo_total{a="b"} 17
//	foo_created{a="b"} 1520430000.123
//
// By default these are ordinary samples. With Body.StartTimestamps they are hidden, and StartTimestamp answers from the next
// one, if it has the labels of the sample. Prometheus looks for it anew from each sample, to the end of the family; here
// each line is looked at once, and no line that begins more than createdAhead bytes behind the sample's is looked at at all,
// so that it need not be in memory.

// createdAhead is enough for a histogram of 200 buckets with labels of 100 bytes. With less than half of a chunk the window
// does not grow.
const createdAhead = 24 << 10

const createdSuffix = "_created"

// created is what a Parser knows about the lines ahead. Positions are in the body.
type created struct {
	familyBytes int   // the length of the name in the last metadata line, as it is written
	lookedTo    int64 // the lines before it were looked at
	doneFor     int64 // where the line of the last sample ends for which everything was looked at
	// foundAt is where the next such line begins, or where metadata does, which ends the search, as isLine tells; -1 for none.
	foundAt int64
	isLine  bool
	key     []byte // its family and labels
	millis  int64

	sampleKey []byte // scratch
	lastKey   []byte // of the line that was found last
	hasLast   bool
	start     int64 // of the current sample, or 0
}

func (c *created) reset() {
	*c = created{foundAt: -1, key: c.key[:0], sampleKey: c.sampleKey[:0], lastKey: c.lastKey[:0]}
}

func (c *created) shrink() {
	if cap(c.key)+cap(c.sampleKey)+cap(c.lastKey) > chunkBytes {
		c.key, c.sampleKey, c.lastKey = nil, nil, nil
	}
}

// hasStart reports whether samples of the current family may have a start timestamp which is asked for.
func (p *Parser) hasStart() bool {
	return p.body.StartTimestamps && p.format == FormatOpenMetrics &&
		(p.typ == TypeCounter || p.typ == TypeHistogram || p.typ == TypeSummary)
}

// isCreated reports whether the sample that was scanned is a line which says when a metric began.
func (p *Parser) isCreated() bool {
	return bytes.HasSuffix(p.text[p.name.start:p.name.end], []byte(createdSuffix))
}

// startOf decides when the sample began whose line is the next n bytes. It returns false if it had to use what the sample
// was scanned into: then the caller scans it again.
func (p *Parser) startOf(n int) bool {
	c := &p.created
	end := p.offset() + int64(n)
	if c.doneFor != end {
		c.doneFor = end
		if !p.lookAhead(n) {
			return false
		}
	}
	c.start = 0
	c.sampleKey = p.appendCreatedKey(c.sampleKey[:0], min(c.familyBytes, int(p.name.end-p.name.start)))
	switch {
	case c.hasLast && bytes.Equal(c.sampleKey, c.lastKey):
		c.start = c.millis
	case c.foundAt >= end && c.isLine && bytes.Equal(c.sampleKey, c.key):
		c.start = c.millis
		c.lastKey = append(c.lastKey[:0], c.key...)
		c.hasLast = c.millis > 0
	default:
		c.hasLast = false
	}
	return true
}

// offset is where pos stands in the body.
func (p *Parser) offset() int64 { return p.bytes - int64(p.end-p.pos) }

// lookAhead looks at the lines behind the one of n bytes at pos, up to one that ends the search. It returns false if it
// used what the sample was scanned into, or moved the window.
func (p *Parser) lookAhead(n int) (kept bool) {
	c := &p.created
	kept = true
	end := p.offset() + int64(n)
	if c.foundAt >= end {
		return true
	}
	c.foundAt = -1
	for at := max(c.lookedTo, end); at < end+createdAhead; {
		b := p.w[p.pos+int(at-p.offset()) : p.end]
		nl := indexNewline(b)
		if nl < 0 {
			if p.eof || p.err != nil || p.end-p.pos >= p.opts.MaxLineBytes {
				return kept
			}
			p.fill()
			kept = false
			continue
		}
		if b[0] == '#' {
			c.foundAt, c.isLine = at, false
			return kept
		}
		size := nl + 1
		name := 0
		for isNameByte(b[name]) {
			name++
		}
		if b[0] == '{' || bytes.HasSuffix(b[:name], []byte(createdSuffix)) {
			kept = false
			used, _, f := p.scanOpenMetricsSample(b)
			switch {
			case used == 0 && f.reason == "" && !p.eof && p.err == nil && p.end-p.pos < p.opts.MaxLineBytes:
				p.fill() // a name with a raw newline
				continue
			case used == 0: // the body will be refused
				c.foundAt, c.isLine = at, false
				return kept
			case p.isCreated():
				c.foundAt, c.isLine = at, true
				c.key = p.appendCreatedKey(c.key[:0], int(p.name.end-p.name.start)-len(createdSuffix))
				c.millis = int64(p.value * 1000)
				c.hasLast = false
				c.lookedTo = at + int64(used)
				return kept
			}
			size = used
		}
		at += int64(size)
		c.lookedTo = at
	}
	return kept
}

// appendCreatedKey appends the first nameBytes of the scanned sample's name, and its labels without those which tell the
// samples of one metric apart.
func (p *Parser) appendCreatedKey(dst []byte, nameBytes int) []byte {
	dst = append(dst, p.text[p.name.start:][:nameBytes]...)
	for _, l := range p.labels {
		name := p.text[l.name.start:l.name.end]
		if p.typ == TypeSummary && string(name) == "quantile" || p.typ == TypeHistogram && string(name) == "le" {
			continue
		}
		dst = append(append(dst, endOfName), name...)
		dst = append(append(dst, endOfName), p.text[l.value.start:l.value.end]...)
	}
	return dst
}
