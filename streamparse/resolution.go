package streamparse

import "math"

// The schemas of native histograms whose buckets grow by a factor: that of schema n is 2^(2^-n), so that two buckets of a
// schema are one of the schema below.
const (
	minSchema = -4
	maxSchema = 8
)

// SchemaFor returns the finest schema whose buckets grow by at least a factor: native_histogram_min_bucket_factor.
func SchemaFor(factor float64) int32 {
	if factor <= 1 {
		return maxSchema
	}
	return int32(max(minSchema, min(maxSchema, math.Floor(-math.Log2(math.Log2(factor))))))
}

// LimitSchema reduces the resolution to that of a schema, if it is finer. Custom buckets stay as they are.
func (h *Histogram) LimitSchema(schema int32) {
	if h.Schema >= minSchema && h.Schema > schema {
		h.reduce(uint(h.Schema - max(schema, minSchema)))
	}
}

// LimitBuckets halves the resolution until there are at most n buckets. It returns false if that cannot be reached.
func (h *Histogram) LimitBuckets(n int) bool {
	for h.Buckets() > n {
		if h.Schema <= minSchema {
			return false
		}
		h.reduce(1)
	}
	return true
}

// Buckets is the number of buckets which h has.
func (h *Histogram) Buckets() int {
	return len(h.PositiveDeltas) + len(h.NegativeDeltas) + len(h.PositiveCounts) + len(h.NegativeCounts)
}

// reduce puts 2^shift buckets into one, and leaves out buckets and spans which are empty.
func (h *Histogram) reduce(shift uint) {
	h.Schema -= int32(shift)
	if h.IsFloat {
		h.PositiveSpans, h.PositiveCounts = merge(h.PositiveSpans, &h.spareSpans, h.PositiveCounts, shift)
		h.NegativeSpans, h.NegativeCounts = merge(h.NegativeSpans, &h.spareSpans, h.NegativeCounts, shift)
		return
	}
	integrate(h.PositiveDeltas)
	integrate(h.NegativeDeltas)
	h.PositiveSpans, h.PositiveDeltas = merge(h.PositiveSpans, &h.spareSpans, h.PositiveDeltas, shift)
	h.NegativeSpans, h.NegativeDeltas = merge(h.NegativeSpans, &h.spareSpans, h.NegativeDeltas, shift)
	differentiate(h.PositiveDeltas)
	differentiate(h.NegativeDeltas)
}

// compact leaves out buckets and spans which are empty, as Prometheus does with what it reads.
func (h *Histogram) compact() {
	if isCompact(h.PositiveSpans, h.PositiveDeltas, h.PositiveCounts) && isCompact(h.NegativeSpans, h.NegativeDeltas, h.NegativeCounts) {
		return
	}
	h.reduce(0)
}

func isCompact(spans []Span, deltas []int64, counts []float64) bool {
	for i, s := range spans {
		if s.Length == 0 || i > 0 && s.Offset == 0 {
			return false
		}
	}
	count := int64(0)
	for _, d := range deltas {
		if count += d; count == 0 {
			return false
		}
	}
	for _, c := range counts {
		if c == 0 {
			return false
		}
	}
	return true
}

func integrate(list []int64) {
	for i := 1; i < len(list); i++ {
		list[i] += list[i-1]
	}
}

func differentiate(list []int64) {
	for i := len(list) - 1; i > 0; i-- {
		list[i] -= list[i-1]
	}
}

// merge puts 2^shift buckets into one. It writes counts in place, and the spans to spare, which gets the old ones for the
// next time. There are as many counts as the spans have buckets.
func merge[N int64 | float64](spans []Span, spare *[]Span, counts []N, shift uint) ([]Span, []N) {
	merged := (*spare)[:0]
	kept := counts[:0]
	var index, last int64 // of the next bucket, and of the last one kept
	next := 0
	for _, s := range spans {
		index += int64(s.Offset)
		for range s.Length {
			count := counts[next]
			next++
			at := (index-1)>>shift + 1
			index++
			switch {
			case count == 0:
			case len(kept) > 0 && at == last:
				kept[len(kept)-1] += count
			default:
				switch {
				case len(kept) == 0:
					merged = append(merged, Span{Offset: int32(at), Length: 1})
				case at == last+1:
					merged[len(merged)-1].Length++
				default:
					merged = append(merged, Span{Offset: int32(at - last - 1), Length: 1})
				}
				kept = append(kept, count)
				last = at
			}
		}
	}
	*spare = spans
	return merged, kept
}
