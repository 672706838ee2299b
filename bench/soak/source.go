package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"scraper/bench/body"
)

// switched serves one text or another.
type switched struct {
	second *atomic.Bool
	texts  [2]body.Source
	last   int
}

// Next implements body.Source.
func (s *switched) Next(now time.Time) []byte {
	s.last = 0
	if s.second.Load() {
		s.last = 1
	}
	return s.texts[s.last].Next(now)
}

// Samples implements body.Source.
func (s *switched) Samples() int { return s.texts[s.last].Samples() }

// churning serves series of which each has a label of its own, and replaces some of them each time by others which never
// were, as pods do.
type churning struct {
	on     *atomic.Bool // nil: never
	share  int          // one in this many is replaced; 1: all
	buf    []byte
	ends   []int // where the digits of a series' label end
	next   uint64
	turn   int
	digits int
}

// newChurning makes the text of a target.
func newChurning(target, series, share int, on *atomic.Bool) *churning {
	c := &churning{on: on, share: share, digits: 12}
	c.buf = append(c.buf, "# TYPE shop_orders_total counter\n"...)
	for i := range series {
		c.buf = fmt.Appendf(c.buf, `shop_orders_total{code="200",handler="/api/v1/orders/%d",pod="orders-%05d-%0*d`, i%40, target, c.digits, i)
		c.ends = append(c.ends, len(c.buf))
		c.buf = fmt.Appendf(c.buf, "\"} %d\n", i)
	}
	c.next = uint64(series)
	return c
}

// Next implements body.Source.
func (c *churning) Next(time.Time) []byte {
	if c.on == nil || !c.on.Load() {
		return c.buf
	}
	c.turn++
	for i := c.turn % c.share; i < len(c.ends); i += c.share {
		c.next++
		var digits [20]byte
		text := strconv.AppendUint(digits[:0], c.next, 10)
		copy(c.buf[c.ends[i]-len(text):c.ends[i]], text)
	}
	return c.buf
}

// Samples implements body.Source.
func (c *churning) Samples() int { return len(c.ends) }

// exemplary serves series in OpenMetrics, each of which has an exemplar.
type exemplary struct {
	text    []byte
	samples int
}

func newExemplary(target, series int) *exemplary {
	e := &exemplary{samples: series, text: []byte("# TYPE shop_orders counter\n")}
	for i := range series {
		e.text = fmt.Appendf(e.text, "shop_orders_total{handler=\"/api/v1/orders/%d\",pod=\"orders-%05d\",shard=\"%d\"} %d # {trace_id=\"%016x\"} 1 1700000000.%03d\n",
			i%40, target, i/40, i, i*target, i%1000)
	}
	e.text = append(e.text, "# EOF\n"...)
	return e
}

// Next implements body.Source.
func (e *exemplary) Next(time.Time) []byte { return e.text }

// Samples implements body.Source.
func (e *exemplary) Samples() int { return e.samples }

// protobufAnswer is an answer with native histograms in protocol buffers.
func protobufAnswer(target, series int) []byte {
	field := func(dst []byte, number int, text []byte) []byte {
		dst = binary.AppendUvarint(dst, uint64(number)<<3|2)
		return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
	}
	varint := func(dst []byte, number int, n uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(number)<<3), n)
	}
	double := func(dst []byte, number int, x float64) []byte {
		return binary.LittleEndian.AppendUint64(binary.AppendUvarint(dst, uint64(number)<<3|1), math.Float64bits(x))
	}
	const buckets = 20
	span := varint(varint(nil, 1, 0), 2, buckets)
	var deltas []byte
	for range buckets {
		deltas = binary.AppendVarint(deltas, 1)
	}
	family := field(nil, 1, []byte("shop_request_seconds"))
	family = varint(family, 3, 4)
	for i := range series {
		h := varint(nil, 1, buckets*(buckets+1)/2)
		h = double(h, 2, 12.5)
		h = varint(h, 5, 6) // schema 3, zigzag
		h = double(h, 6, 1e-9)
		h = varint(h, 7, 0)
		h = field(h, 12, span)
		h = field(h, 13, deltas)
		var m []byte
		for _, l := range [][2]string{{"handler", fmt.Sprintf("/api/v1/orders/%d", i%40)}, {"pod", fmt.Sprintf("orders-%05d", target)}, {"shard", strconv.Itoa(i / 40)}} {
			m = field(m, 1, field(field(nil, 1, []byte(l[0])), 2, []byte(l[1])))
		}
		m = field(m, 7, h)
		family = field(family, 4, m)
	}
	text := append(binary.AppendUvarint(nil, uint64(len(family))), family...)
	head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited\r\n"+
		"Content-Length: %d\r\n\r\n", len(text))
	return append(head, text...)
}
