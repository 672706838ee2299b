package receiver

import (
	"math"
	"slices"
	"time"
)

// Sample is a value at a time.
type Sample struct {
	TimestampMillis int64
	Value           float64
}

// IsStale reports whether the sample is a staleness marker. Ordinary NaNs are not.
func (s Sample) IsStale() bool { return s.bits() == staleBits }

func (s Sample) bits() uint64 { return math.Float64bits(s.Value) }

// StaleMarker returns the staleness marker at a time.
func StaleMarker(tsMillis int64) Sample { return Sample{tsMillis, math.Float64frombits(staleBits)} }

// Series is what is kept of one series.
type Series struct {
	Labels  []Label  // sorted by name, NameLabel among them
	Samples []Sample // in the order of arrival; never empty unless the sender sent no sample
	Arrived time.Time

	Received   uint64 // all samples which arrived, whether kept or not
	OutOfOrder uint64 // those which were older than the newest before them
	Duplicates uint64 // those with the timestamp of one that is kept; they are not kept themselves
	Conflicts  uint64 // duplicates with another value
}

// Name is the metric's name.
func (s Series) Name() string { return s.Label(NameLabel) }

// Label returns the value of a label, or "".
func (s Series) Label(name string) string { return valueOf(s.Labels, name) }

func valueOf(labels []Label, name string) string {
	for _, l := range labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// String renders the labels as the text format does.
func (s Series) String() string { return textOf(s.Labels) }

// Last is the sample with the highest timestamp, or the zero Sample if there is none.
func (s Series) Last() Sample {
	var last Sample
	for i, x := range s.Samples {
		if i == 0 || x.TimestampMillis >= last.TimestampMillis {
			last = x
		}
	}
	return last
}

// Stale reports whether the newest sample is a staleness marker.
func (s Series) Stale() bool { return s.Last().IsStale() }

// Gap is a time without samples.
type Gap struct {
	FromMillis, ToMillis int64 // of the samples around the gap
	Missing              int   // samples that would have fitted in
}

// Gaps returns where samples are further apart than one and a half intervals. A time after a staleness marker is no
// gap: the sender said that there would be nothing.
func (s Series) Gaps(interval time.Duration) []Gap {
	step := interval.Milliseconds()
	if step <= 0 {
		return nil
	}
	sorted := slices.Clone(s.Samples)
	slices.SortStableFunc(sorted, func(a, b Sample) int {
		switch {
		case a.TimestampMillis < b.TimestampMillis:
			return -1
		case a.TimestampMillis > b.TimestampMillis:
			return 1
		}
		return 0
	})
	var gaps []Gap
	for i := range len(sorted) - 1 {
		from, to := sorted[i].TimestampMillis, sorted[i+1].TimestampMillis
		if d := to - from; d > step+step/2 && !sorted[i].IsStale() {
			gaps = append(gaps, Gap{from, to, int((d+step/2)/step) - 1})
		}
	}
	return gaps
}
