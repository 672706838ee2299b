package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gogo/protobuf/types"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"

	"scraper/bufpool"
	"scraper/streamparse"
)

// protobufBodies are the ways to read a body in protobuf.
func protobufBodies() []streamparse.Body {
	var all []streamparse.Body
	for _, native := range []bool{false, true} {
		for _, classic := range []bool{false, true} {
			all = append(all, streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: native, ClassicHistograms: classic})
		}
	}
	return all
}

func theirProtobuf(body []byte, what streamparse.Body) textparse.Parser {
	return textparse.NewProtobufParser(bytes.Clone(body), !what.NativeHistograms, what.ClassicHistograms, false, false, labels.NewSymbolTable())
}

func delimited(t testing.TB, families ...*dto.MetricFamily) []byte {
	t.Helper()
	var body []byte
	for _, f := range families {
		b, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		body = append(binary.AppendUvarint(body, uint64(len(b))), b...)
	}
	return body
}

// randomFamily makes a family of any type, whose parts are there or not.
func randomFamily(rng *rand.Rand) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: fmt.Sprintf("family_%d", rng.IntN(100)), Type: dto.MetricType(rng.IntN(6))}
	if rng.IntN(10) == 0 {
		f.Name = "with blanks, é"
	}
	if rng.IntN(3) > 0 {
		f.Help = strings.Repeat("Help\n\\n\"é ", rng.IntN(5))
	}
	if rng.IntN(3) == 0 {
		f.Unit = "seconds"
	}
	for range rng.IntN(5) {
		f.Metric = append(f.Metric, randomMetric(rng, f.Type))
	}
	return f
}

func number(rng *rand.Rand) float64 {
	switch rng.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(1 - 2*rng.IntN(2))
	case 2:
		return 0
	case 3, 4:
		return float64(rng.IntN(1000))
	}
	return rng.NormFloat64() * 1e6
}

func maybeStamp(rng *rand.Rand) *types.Timestamp {
	if rng.IntN(2) == 0 {
		return nil
	}
	return &types.Timestamp{Seconds: rng.Int64N(1 << 32), Nanos: rng.Int32N(1e9)}
}

func maybeExemplar(rng *rand.Rand) *dto.Exemplar {
	if rng.IntN(2) == 0 {
		return nil
	}
	e := &dto.Exemplar{Value: number(rng), Timestamp: maybeStamp(rng)}
	for i := range rng.IntN(3) {
		e.Label = append(e.Label, dto.LabelPair{Name: fmt.Sprintf("id%d", i), Value: fmt.Sprint(rng.IntN(1e9))})
	}
	return e
}

func randomMetric(rng *rand.Rand, typ dto.MetricType) dto.Metric {
	var m dto.Metric
	for i := range rng.IntN(4) {
		m.Label = append(m.Label, dto.LabelPair{Name: fmt.Sprintf("label%d", i), Value: strings.Repeat("väl", rng.IntN(4))})
	}
	if rng.IntN(3) == 0 {
		m.TimestampMs = rng.Int64N(1 << 42)
	}
	if rng.IntN(20) == 0 {
		typ = dto.MetricType(rng.IntN(6)) // of another type than its family
	}
	switch typ {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: number(rng), Exemplar: maybeExemplar(rng), StartTimestamp: maybeStamp(rng)}
	case dto.MetricType_GAUGE:
		m.Gauge = &dto.Gauge{Value: number(rng)}
	case dto.MetricType_UNTYPED:
		m.Untyped = &dto.Untyped{Value: number(rng)}
	case dto.MetricType_SUMMARY:
		s := &dto.Summary{SampleCount: rng.Uint64N(1000), SampleSum: number(rng), StartTimestamp: maybeStamp(rng)}
		for range rng.IntN(4) {
			s.Quantile = append(s.Quantile, dto.Quantile{Quantile: rng.Float64(), Value: number(rng)})
		}
		m.Summary = s
	default:
		m.Histogram = randomHistogram(rng)
	}
	return m
}

func randomHistogram(rng *rand.Rand) *dto.Histogram {
	h := &dto.Histogram{SampleCount: rng.Uint64N(1000), SampleSum: number(rng), StartTimestamp: maybeStamp(rng)}
	if rng.IntN(4) == 0 {
		h.SampleCountFloat = rng.Float64() * 100
	}
	if rng.IntN(3) > 0 {
		for i := range rng.IntN(5) {
			b := dto.Bucket{CumulativeCount: rng.Uint64N(1000), UpperBound: float64(i) - 0.5*float64(rng.IntN(2)), Exemplar: maybeExemplar(rng)}
			if rng.IntN(5) == 0 {
				b.CumulativeCountFloat = rng.Float64()
			}
			if rng.IntN(8) == 0 {
				b.UpperBound = math.Inf(1)
			}
			h.Bucket = append(h.Bucket, b)
		}
	}
	if rng.IntN(2) == 0 {
		return h
	}
	h.Schema = rng.Int32N(13) - 4
	h.ZeroThreshold = rng.Float64() * float64(rng.IntN(2))
	isFloat := rng.IntN(2) == 0
	side := func() (spans []dto.BucketSpan, deltas []int64, counts []float64) {
		for range rng.IntN(4) {
			s := dto.BucketSpan{Offset: rng.Int32N(5), Length: rng.Uint32N(4)}
			if len(spans) == 0 {
				s.Offset -= 3
			}
			spans = append(spans, s)
			for range s.Length {
				deltas = append(deltas, rng.Int64N(7)-3)
				counts = append(counts, float64(rng.IntN(3)))
			}
		}
		if isFloat {
			return spans, nil, counts
		}
		return spans, deltas, nil
	}
	h.PositiveSpan, h.PositiveDelta, h.PositiveCount = side()
	h.NegativeSpan, h.NegativeDelta, h.NegativeCount = side()
	if isFloat {
		h.SampleCountFloat = rng.Float64() * 10
		h.ZeroCountFloat = rng.Float64() * 10
	} else {
		h.SampleCountFloat = 0
		h.ZeroCount = rng.Uint64N(10)
	}
	for range rng.IntN(3) {
		if e := maybeExemplar(rng); e != nil {
			h.Exemplars = append(h.Exemplars, e)
		}
	}
	return h
}

func TestProtobufFamilies(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	n := 60
	if testing.Short() {
		n = 20
	}
	for range n {
		var families []*dto.MetricFamily
		for range rng.IntN(5) {
			families = append(families, randomFamily(rng))
		}
		body := delimited(t, families...)
		for _, what := range protobufBodies() {
			checkProtobuf(t, fmt.Sprintf("%v", what), what, body, rng)
		}
		if t.Failed() {
			return
		}
	}
}

func checkProtobuf(t *testing.T, name string, what streamparse.Body, body []byte, rng *rand.Rand) {
	t.Helper()
	checkEvents(t, name, what, body, theirProtobuf(body, what), rng)
}

// TestProtobufBodies reads real bodies, in text, which were written again in protobuf.
func TestProtobufBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	read := 0
	for _, b := range bodies(t) {
		if len(b.text) > 1_000_000 {
			continue // it takes seconds
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(b.text))
		if err != nil {
			continue
		}
		read++
		var body bytes.Buffer
		e := expfmt.NewEncoder(&body, expfmt.NewFormat(expfmt.TypeProtoDelim))
		for _, f := range families {
			if err := e.Encode(f); err != nil {
				t.Fatal(err)
			}
		}
		checkProtobuf(t, b.name, streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true}, body.Bytes(), rng)
	}
	if read == 0 {
		t.Error("no body could be written in protobuf")
	}
}

// unlike reports whether a body is one of those which we refuse on purpose: see the table in streamparse.
func unlike(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "follows its metrics") || strings.Contains(err.Error(), "spans of"))
}

// helps returns the HELP entries among events.
func helps(all []event) []event {
	return slices.DeleteFunc(slices.Clone(all), func(e event) bool { return !strings.HasPrefix(e.text, "HELP ") })
}

// checkAnyProtobuf is checkProtobuf for bodies which chance made.
func checkAnyProtobuf(t *testing.T, name string, what streamparse.Body, body []byte, rng *rand.Rand) {
	t.Helper()
	whole, err := eventsOf(t, what, nil)(bytes.NewReader(body))
	theirs, theirErr := theirEvents(theirProtobuf(body, what), true)
	late := err == nil && theirErr == nil && !slices.Equal(helps(whole), helps(theirs)) // behind a metric: ours leaves it out
	if !late && !unlike(err) && !slices.ContainsFunc(whole, func(e event) bool { return strings.Contains(e.text, oddSpans) }) {
		checkProtobuf(t, name, what, body, rng)
		return
	}
	for how, r := range splits(body, rng) {
		got, gotErr := eventsOf(t, what, nil)(r)
		if d := differEvents(got, whole); d != "" || fmt.Sprint(gotErr) != fmt.Sprint(err) {
			t.Fatalf("%s, %s: %x: %s, %v, want %v", name, how, body, d, gotErr, err)
		}
	}
}

func TestProtobufDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(35, 36))
	n := 150
	if testing.Short() {
		n = 100
	}
	ways := protobufBodies()
	for range n {
		body := delimited(t, randomFamily(rng), randomFamily(rng))
		for range 1 + rng.IntN(3) {
			if len(body) == 0 {
				break
			}
			i := rng.IntN(len(body))
			switch rng.IntN(3) {
			case 0:
				body[i] ^= 1 << rng.IntN(8)
			case 1:
				body[i] = byte(rng.Uint32())
			default:
				body = body[:i]
			}
		}
		checkAnyProtobuf(t, "damaged", ways[rng.IntN(len(ways))], body, rng)
		if t.Failed() {
			return
		}
	}
}

func FuzzProtobuf(f *testing.F) {
	rng := rand.New(rand.NewPCG(37, 38))
	for range 50 {
		f.Add(delimited(f, randomFamily(rng), randomFamily(rng)), uint8(rng.Uint32()), uint64(0))
	}
	ways := protobufBodies()
	f.Fuzz(func(t *testing.T, body []byte, way uint8, seed uint64) {
		if len(body) > 500 {
			return
		}
		checkAnyProtobuf(t, "fuzz", ways[int(way)%len(ways)], body, rand.New(rand.NewPCG(seed, 0)))
	})
}

// exemplarsOf returns what a native histogram's exemplars are: its own which have a timestamp, and if it has none at all of
// its own, those of its buckets. Prometheus' parser forgets where it was from the family's second metric on, so that only
// the first one's can be compared with it.
func exemplarsOf(h *dto.Histogram) (text string) {
	list := h.Exemplars
	if len(list) == 0 {
		for i := range h.Bucket {
			if e := h.Bucket[i].Exemplar; e != nil {
				list = append(list, e)
			}
		}
	}
	for _, e := range list {
		if e.Timestamp == nil {
			continue
		}
		var pairs []Label
		for _, l := range e.Label {
			pairs = append(pairs, Label{l.Name, l.Value})
		}
		text += describeExemplar(pairs, e.Value, e.Timestamp.Seconds*1000+int64(e.Timestamp.Nanos/1e6), true)
	}
	return text
}

func TestProtobufNativeExemplars(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := streamparse.New(streamparse.Options{Pool: pool})
	defer p.Close()
	compared := 0
	for range 300 {
		f := &dto.MetricFamily{Name: "m", Type: dto.MetricType_HISTOGRAM}
		var want []string
		for range 1 + rng.IntN(4) {
			h := randomHistogram(rng)
			h.ZeroThreshold = 1 // it is native
			f.Metric = append(f.Metric, dto.Metric{Histogram: h})
			want = append(want, exemplarsOf(h))
		}
		p.ResetBody(bytes.NewReader(delimited(t, f)), streamparse.Body{Format: streamparse.FormatProtobuf, NativeHistograms: true})
		for n := 0; ; {
			kind, err := p.Next()
			if err != nil {
				t.Fatal(err)
			}
			if kind == streamparse.KindNone {
				if n != len(want) {
					t.Fatalf("%d histograms, want %d", n, len(want))
				}
				break
			}
			if kind != streamparse.KindHistogram {
				continue
			}
			if got := ourExemplars(p); got != want[n] {
				t.Fatalf("exemplars of histogram %d are %s, want %s", n, got, want[n])
			}
			n++
			compared++
		}
	}
	if compared < 300 {
		t.Errorf("compared %d histograms", compared)
	}
}
