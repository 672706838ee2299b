package streamparse

import (
	"errors"
	"fmt"
	"math"
)

// customSchema is that of histograms whose bounds are their own.
const customSchema = -53

// Validate says what is wrong with h, if anything: Prometheus fails a scrape with such a histogram, and receivers refuse it.
// The schema has to be one that they know, so limit it before.
func (h *Histogram) Validate() error {
	switch {
	case h.Schema == customSchema:
		if err := h.validateCustom(); err != nil {
			return err
		}
	case h.Schema < minSchema || h.Schema > maxSchema:
		return fmt.Errorf("histogram schema %d is not one of %d to %d", h.Schema, minSchema, maxSchema)
	case len(h.CustomValues) > 0:
		return errors.New("histogram with custom bounds, and a schema which has none")
	default:
		if err := validateSpans(h.PositiveSpans, len(h.PositiveDeltas)+len(h.PositiveCounts)); err != nil {
			return err
		}
		if err := validateSpans(h.NegativeSpans, len(h.NegativeDeltas)+len(h.NegativeCounts)); err != nil {
			return err
		}
	}
	if h.IsFloat {
		return h.validateFloats()
	}
	total := h.ZeroCount
	for _, list := range [...][]int64{h.PositiveDeltas, h.NegativeDeltas} {
		count := int64(0)
		for _, d := range list {
			if count += d; count < 0 {
				return errNegativeCount
			}
			total += uint64(count)
		}
	}
	if total > h.Count || total < h.Count && h.Sum == h.Sum { // observations which are NaN are in no bucket
		return fmt.Errorf("histogram with %d observations in its buckets, and a count of %d", total, h.Count)
	}
	return nil
}

var errNegativeCount = errors.New("histogram with a negative count")

func (h *Histogram) validateFloats() error {
	if h.CountFloat < 0 || h.ZeroCountFloat < 0 {
		return errNegativeCount
	}
	for _, list := range [...][]float64{h.PositiveCounts, h.NegativeCounts} {
		for _, c := range list {
			if c < 0 {
				return errNegativeCount
			}
		}
	}
	return nil
}

func validateSpans(spans []Span, buckets int) error {
	need, end := 0, int64(0)
	for i, s := range spans {
		if i > 0 && s.Offset < 0 || s.Offset == math.MinInt32 {
			return fmt.Errorf("histogram with the offset %d between spans", s.Offset)
		}
		need += int(s.Length)
		end += int64(s.Offset) + int64(s.Length)
		if end-1 > math.MaxInt32 {
			return errors.New("histogram with a bucket of a number beyond 32 bits")
		}
	}
	if need != buckets {
		return fmt.Errorf("histogram with spans of %d buckets, and %d buckets", need, buckets)
	}
	return nil
}

// validateCustom checks what only histograms with custom bounds have, and what they cannot have.
func (h *Histogram) validateCustom() error {
	last := math.Inf(-1)
	for i, b := range h.CustomValues {
		if !(b > last || i == 0 && b == last) || math.IsInf(b, 1) {
			return fmt.Errorf("histogram with the custom bound %v behind %v", b, last)
		}
		last = b
	}
	if err := validateSpans(h.PositiveSpans, len(h.PositiveDeltas)+len(h.PositiveCounts)); err != nil {
		return err
	}
	end := int64(0)
	for _, s := range h.PositiveSpans {
		if end += int64(s.Offset) + int64(s.Length); s.Offset < 0 || end > int64(len(h.CustomValues))+1 {
			return fmt.Errorf("histogram with %d custom bounds, and more buckets than they make", len(h.CustomValues))
		}
	}
	if h.ZeroCount != 0 || h.ZeroCountFloat != 0 || h.ZeroThreshold != 0 || len(h.NegativeSpans)+len(h.NegativeDeltas)+len(h.NegativeCounts) > 0 {
		return errors.New("histogram with custom bounds, and a zero bucket or negative ones")
	}
	return nil
}
