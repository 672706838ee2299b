package streamparse

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// The module conformance compares all of this with Prometheus' code; here is what a reader wants to see.

func TestAppendWire(t *testing.T) {
	f := func(h Histogram, want string) {
		t.Helper()
		if got := fmt.Sprintf("%x", h.AppendWire(nil)); got != want {
			t.Errorf("AppendWire of %+v = %s, want %s", h, got, want)
		}
	}
	f(Histogram{}, "08003000")
	f(Histogram{IsFloat: true}, "110000000000000000"+"390000000000000000")
	f(Histogram{Schema: -1, Count: 300, ZeroCount: 1, Sum: 1, IsGauge: true,
		PositiveSpans: []Span{{-1, 2}, {0, 0}}, PositiveDeltas: []int64{1, -1, 100}},
		"08ac02"+"19000000000000f03f"+"2001"+"3001"+"5a0408011002"+"5a00"+"6204"+"0201c801"+"7003")
	f(Histogram{Schema: customSchema, CustomValues: []float64{1}}, "0800"+"2069"+"3000"+"820108"+"000000000000f03f")
}

func TestHistogramLimits(t *testing.T) {
	h := Histogram{Schema: 3, Count: 6, PositiveSpans: []Span{{1, 2}, {1, 2}}, PositiveDeltas: []int64{1, 0, 0, 1}}
	// The buckets 1, 2, 4 and 5 of schema 3 are 1, 1, 2 and 3 of schema 2.
	h.LimitSchema(2)
	if !slices.Equal(h.PositiveSpans, []Span{{1, 3}}) || !slices.Equal(h.PositiveDeltas, []int64{2, -1, 1}) || h.Schema != 2 {
		t.Errorf("LimitSchema(2) = %+v", h)
	}
	if !h.LimitBuckets(1) || h.Schema != 0 || !slices.Equal(h.PositiveDeltas, []int64{5}) {
		t.Errorf("LimitBuckets(1) = %+v", h)
	}
	if h.LimitBuckets(0) {
		t.Errorf("LimitBuckets(0) = true, want false: it has an observation")
	}
}

func TestClassicBuckets(t *testing.T) {
	var c ClassicBuckets
	var h Histogram
	for range 2 { // the second time without what the first one left
		c.Reset()
		c.Sum(7)
		c.Bucket(2, 5)
		c.Bucket(1, 5)
		c.Bucket(math.Inf(1), 6)
		c.Count(6)
		if err := c.Convert(&h); err != nil || h.Count != 6 || h.Sum != 7 || !slices.Equal(h.CustomValues, []float64{1, 2}) ||
			!slices.Equal(h.PositiveSpans, []Span{{0, 3}}) || !slices.Equal(h.PositiveDeltas, []int64{5, -5, 1}) {
			t.Errorf("Convert = %+v, %v", h, err)
		}
	}
	c.Bucket(3, 4)
	if err := c.Convert(&h); err == nil {
		t.Error("Convert of counts which fall: no error")
	}
	c.Reset()
	for i := range 100_000 { // in linear time, but for sorting
		c.Bucket(float64(-i), float64(100_000-i))
	}
	if err := c.Convert(&h); err != nil || h.Count != 100_000 || len(h.CustomValues) != 100_000 {
		t.Errorf("Convert of 100,000 buckets = %d, %v", h.Count, err)
	}
}
