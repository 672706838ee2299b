package main

import (
	"fmt"
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
