package conformance

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"

	"scraper/bufpool"
	"scraper/streamparse"
)

// theirLimit is what Prometheus does for native_histogram_bucket_limit and, before it, native_histogram_min_bucket_factor.
func theirLimit(h *histogram.Histogram, fh *histogram.FloatHistogram, schema int32, limit int) bool {
	size := func() (int, int32) {
		if h != nil {
			return len(h.PositiveBuckets) + len(h.NegativeBuckets), h.Schema
		}
		return len(fh.PositiveBuckets) + len(fh.NegativeBuckets), fh.Schema
	}
	reduce := func(to int32) {
		var err error
		if h != nil {
			err = h.ReduceResolution(to)
		} else {
			err = fh.ReduceResolution(to)
		}
		if err != nil {
			panic(err)
		}
	}
	if _, s := size(); s > schema {
		reduce(schema)
	}
	for {
		n, s := size()
		if n <= limit {
			return true
		}
		if s <= -4 {
			return false
		}
		reduce(s - 1)
	}
}

func TestLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := streamparse.New(streamparse.Options{Pool: pool})
	defer p.Close()
	what := streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true}
	refused := 0
	for range 2000 {
		h := randomHistogram(rng)
		h.ZeroThreshold = 1 // it is native
		for i := range h.PositiveCount {
			h.PositiveCount[i]++
		}
		for i := range h.PositiveDelta { // counts are not negative
			h.PositiveDelta[i] = max(0, h.PositiveDelta[i])
		}
		for i := range h.NegativeDelta {
			h.NegativeDelta[i] = max(0, h.NegativeDelta[i])
		}
		body := delimited(t, &dto.MetricFamily{Name: "m", Type: dto.MetricType_HISTOGRAM, Metric: []dto.Metric{{Histogram: h}}})
		theirs := theirProtobuf(body, what)
		for range 3 { // help, type, histogram
			if _, err := theirs.Next(); err != nil {
				t.Fatal(err)
			}
		}
		_, _, ih, fh := theirs.Histogram()
		schema, limit := rng.Int32N(13)-4, rng.IntN(12)
		fits := theirLimit(ih, fh, schema, limit)
		p.ResetBody(bytes.NewReader(body), what)
		for range 3 {
			if _, err := p.Next(); err != nil {
				t.Fatal(err)
			}
		}
		ours := p.Histogram()
		ours.LimitSchema(schema)
		if got := ours.LimitBuckets(limit); got != fits {
			t.Fatalf("LimitBuckets(%d) of %+v = %v, want %v", limit, h, got, fits)
		}
		if !fits {
			refused++
			continue
		}
		if got, want := describeOurs(t, ours), describe(ih, fh); got != want {
			t.Fatalf("%+v with schema %d and %d buckets is\n%s, want\n%s", h, schema, limit, got, want)
		}
	}
	if refused == 0 || refused > 1000 {
		t.Errorf("%d of 2000 did not fit", refused)
	}
}

func TestSchemaFor(t *testing.T) {
	for factor, want := range map[float64]int32{0: 8, 1: 8, 1.00271: 8, 1.0027: 8, 1.1: 2, 1.2: 1, 2: 0, 4: -1, 65536: -4, math.Inf(1): -4} {
		if got := streamparse.SchemaFor(factor); got != want {
			t.Errorf("SchemaFor(%v) = %d, want %d", factor, got, want)
		}
	}
}

// TestValidate compares our verdict about native histograms with theirs, about good ones and such as are a little wrong.
func TestValidate(t *testing.T) {
	rng := rand.New(rand.NewPCG(53, 54))
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := streamparse.New(streamparse.Options{Pool: pool})
	defer p.Close()
	what := streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true}
	good, bad := 0, 0
	for range 4000 {
		h := randomHistogram(rng)
		h.ZeroCount = 1 + rng.Uint64N(2)
		if rng.IntN(2) == 0 {
			h.ZeroThreshold = 1
		}
		isNegative := false
		switch rng.IntN(12) {
		case 0:
			h.Schema = rng.Int32N(120) - 60
		case 1:
			h.Schema = -53
		case 2:
			if len(h.PositiveSpan) > 1 {
				h.PositiveSpan[1].Offset -= 3
				isNegative = h.PositiveSpan[1].Offset < 0
			}
		}
		if h.SampleCountFloat == 0 && rng.IntN(3) > 0 { // the count is right
			h.SampleCount = h.ZeroCount
			for _, deltas := range [][]int64{h.PositiveDelta, h.NegativeDelta} {
				count := int64(0)
				for i := range deltas {
					deltas[i] = max(deltas[i], -count)
					count += deltas[i]
					h.SampleCount += uint64(count)
				}
			}
		}
		body := delimited(t, &dto.MetricFamily{Name: "m", Type: dto.MetricType_HISTOGRAM, Metric: []dto.Metric{{Histogram: h}}})
		theirs := theirProtobuf(body, what)
		for range 3 { // help, type, histogram
			if _, err := theirs.Next(); err != nil {
				t.Fatal(err)
			}
		}
		_, _, ih, fh := theirs.Histogram()
		var want error
		if ih != nil {
			want = ih.Validate()
		} else {
			want = fh.Validate()
		}
		p.ResetBody(bytes.NewReader(body), what)
		for range 3 {
			if _, err := p.Next(); err != nil {
				t.Fatal(err)
			}
		}
		// They leave empty spans out first, so that some negative offsets get away.
		if got := p.Histogram().Validate(); (got != nil) != (want != nil) && !(got != nil && isNegative) {
			t.Fatalf("Validate of %+v = %v, want %v", h, got, want)
		}
		if want == nil {
			good++
		} else {
			bad++
		}
	}
	if good < 400 || bad < 400 {
		t.Errorf("%d good and %d bad histograms, want many of both", good, bad)
	}
}
