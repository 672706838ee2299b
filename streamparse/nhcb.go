package streamparse

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ClassicBuckets collects the samples of one classic histogram, in any order, and makes a native one with custom bounds of
// it: convert_classic_histograms_to_nhcb. Which samples belong together its caller knows: those of one family and with the
// same labels but le, as they follow each other in a body. The zero value is ready; Reset makes it ready for the next one.
type ClassicBuckets struct {
	buckets  []classicBucket
	count    float64
	sum      float64
	hasCount bool
	err      error
}

type classicBucket struct{ bound, count float64 }

// Reset forgets what was collected.
func (c *ClassicBuckets) Reset() {
	*c = ClassicBuckets{buckets: c.buckets[:0]}
}

// Bucket adds a bucket by its upper bound, le, and the count of all observations up to it. Of two with the same bound the
// first one counts.
func (c *ClassicBuckets) Bucket(bound, count float64) {
	switch {
	case c.err != nil:
	case bound != bound:
		c.err = errors.New("a bucket's bound is NaN")
	case count < 0:
		c.err = errNegativeCount
	default:
		c.buckets = append(room(c.buckets), classicBucket{bound, count})
	}
}

// Count sets the count of all observations.
func (c *ClassicBuckets) Count(v float64) {
	if c.err == nil && v < 0 {
		c.err = errNegativeCount
	}
	c.count, c.hasCount = v, true
}

// Sum sets the sum of all observations.
func (c *ClassicBuckets) Sum(v float64) { c.sum = v }

// Convert makes a native histogram of what was collected, in h, whose slices it uses again. An error means that there is
// none, and the samples are to be taken as they are, or dropped, as Prometheus does.
func (c *ClassicBuckets) Convert(h *Histogram) error {
	if c.err != nil {
		return c.err
	}
	slices.SortStableFunc(c.buckets, func(a, b classicBucket) int {
		switch {
		case a.bound < b.bound:
			return -1
		case a.bound > b.bound:
			return 1
		}
		return 0
	})
	c.buckets = slices.CompactFunc(c.buckets, func(a, b classicBucket) bool { return a.bound == b.bound })
	for i := 1; i < len(c.buckets); i++ {
		if c.buckets[i].count < c.buckets[i-1].count {
			return fmt.Errorf("the bucket up to %v has fewer observations than the one before it", c.buckets[i].bound)
		}
	}
	n := len(c.buckets)
	if !c.hasCount {
		if n == 0 {
			return errors.New("neither a count nor a bucket")
		}
		c.Count(c.buckets[n-1].count)
	}
	if n == 0 || !math.IsInf(c.buckets[n-1].bound, 1) {
		c.buckets = append(c.buckets, classicBucket{math.Inf(1), c.count})
		n++
	}
	if last := c.buckets[n-1].count; c.count != last {
		return fmt.Errorf("a count of %v, and %v in the last bucket", c.count, last)
	}
	*h = Histogram{
		Schema: customSchema, Sum: c.sum, CustomValues: h.CustomValues[:0], spareSpans: h.spareSpans[:0],
		PositiveSpans: h.PositiveSpans[:0], PositiveDeltas: h.PositiveDeltas[:0], PositiveCounts: h.PositiveCounts[:0],
		NegativeSpans: h.NegativeSpans[:0], NegativeDeltas: h.NegativeDeltas[:0], NegativeCounts: h.NegativeCounts[:0],
	}
	h.CustomValues = slices.Grow(h.CustomValues, n-1)
	for _, b := range c.buckets[:n-1] {
		h.CustomValues = append(h.CustomValues, b.bound)
	}
	for _, b := range c.buckets {
		h.IsFloat = h.IsFloat || b.count != float64(int64(math.Round(b.count)))
	}
	if h.IsFloat {
		h.CountFloat = c.count
	} else {
		h.Count = uint64(c.count)
	}
	c.fill(h)
	return h.Validate()
}

// fill writes the buckets' own counts, and leaves out empty ones: all of them of floats, and of integers those of which more
// than two follow each other, or none follows that is not empty. So Prometheus does.
func (c *ClassicBuckets) fill(h *Histogram) {
	kept := 2
	if h.IsFloat {
		kept = 0
	}
	end := 0 // of the last span
	before, last := 0.0, int64(0)
	add := func(v float64) {
		if h.IsFloat {
			h.PositiveCounts = append(room(h.PositiveCounts), v)
		} else {
			h.PositiveDeltas = append(room(h.PositiveDeltas), int64(v)-last)
			last = int64(v)
		}
		h.PositiveSpans[len(h.PositiveSpans)-1].Length++
		end++
	}
	for i, b := range c.buckets {
		v := b.count - before
		before = b.count
		if v == 0 {
			continue
		}
		if len(h.PositiveSpans) == 0 || i-end > kept {
			h.PositiveSpans = append(room(h.PositiveSpans), Span{Offset: int32(i - end)})
			end = i
		}
		for end < i {
			add(0)
		}
		add(v)
	}
}
