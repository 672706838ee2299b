package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"scraper/streamparse"
)

// conversions are the ways to convert classic histograms in a format.
func conversions(format streamparse.Format) []streamparse.Body {
	var all []streamparse.Body
	for way := range 8 {
		all = append(all, streamparse.Body{
			Format: format, ConvertClassic: true, ClassicHistograms: way&1 != 0,
			NativeHistograms: format == streamparse.FormatProtobuf && way&2 != 0,
			StartTimestamps:  format == streamparse.FormatOpenMetrics && way&2 != 0,
		})
	}
	return slices.Compact(all)
}

// theirConversion is Prometheus' parser which does the same.
func theirConversion(t testing.TB, body []byte, what streamparse.Body) textparse.Parser {
	t.Helper()
	p, err := textparse.New(bytes.Clone(body), map[streamparse.Format]string{
		streamparse.FormatText: "text/plain", streamparse.FormatOpenMetrics: "application/openmetrics-text;version=1.0.0",
		streamparse.FormatProtobuf: "application/vnd.google.protobuf",
	}[what.Format], labels.NewSymbolTable(), textparse.ParserOptions{
		IgnoreNativeHistograms: !what.NativeHistograms, ConvertClassicHistogramsToNHCB: true,
		KeepClassicOnClassicAndNativeHistograms: what.ClassicHistograms, OpenMetricsSkipSTSeries: what.StartTimestamps,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// convertCases are families whose samples do not make it easy; each is read as text and as OpenMetrics.
var convertCases = []string{
	"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
	"# TYPE h histogram\nh_count 2\nh_sum 3\nh_bucket{le=\"+Inf\"} 2\nh_bucket{le=\"1\"} 1\n",
	"# TYPE h histogram\nh_bucket{le=\"1\",a=\"x\"} 1\nh_count{a=\"x\"} 1\nh_bucket{a=\"y\",le=\"1\"} 1\nh_count{a=\"y\"} 1\nother 1\n",
	// Labels in another order, and between them one of another histogram.
	"# TYPE h histogram\nh_bucket{a=\"x\",b=\"y\",le=\"1\"} 1\nh_bucket{b=\"y\",le=\"2\",a=\"x\"} 2\nh_count{b=\"y\",a=\"x\"} 2\n",
	"# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 1\nh_bucket{a=\"y\",le=\"1\"} 1\nh_bucket{a=\"x\",le=\"2\"} 2\nh_count{a=\"x\"} 2\n",
	// Not cumulative, negative, no number at all, counts which differ.
	"# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 1\nh_count 2\nafter 1\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} -1\nh_count 2\n# TYPE after gauge\nafter 1\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} NaN\nh_count NaN\n",
	"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 3\n",
	"# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_bucket{le=\"NaN\"} 1\nh_bucket 1\nh_bucket{le=\"\"} 1\nh_count 1\n",
	"# TYPE h histogram\nh_sum 1\n",
	"# TYPE h histogram\nh_count 0\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_count 1.5\nh_sum NaN\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 9\nh_count 1\n",
	// What is no part of it.
	"# TYPE h histogram\nh 1\nh_bucket{le=\"1\"} 1\nh 2\nh_count 1\nh_total 3\nh_sum 3\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\nh_created 12\nh_bucket{a=\"b\",le=\"1\"} 1\nh_created{a=\"b\"} 12\n",
	"# TYPE h gauge\nh_bucket{le=\"1\"} 1\nh_count 1\n",
	"h_bucket{le=\"1\"} 1\nh_count 1\n",
	"# TYPE h histogram\nhh_bucket{le=\"1\"} 1\nh_bucket_count 1\nh_bucket_bucket{le=\"1\"} 1\n",
	"# TYPE h_bucket histogram\nh_bucket{le=\"1\"} 1\nh_bucket_bucket{le=\"1\"} 1\nh_bucket_count 1\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# HELP h Late.\nh_count 1\n# TYPE h histogram\nh_count 2\n",
	"# TYPE h histogram\n# TYPE i histogram\nh_bucket{le=\"1\"} 1\ni_bucket{le=\"1\"} 1\ni_count 1\n",
	"# TYPE \"a b\" histogram\n{\"a b_bucket\",le=\"1\"} 1\n{\"a b_count\"} 1\n",
	"# TYPE h histogram\nh_bucket{x=\"\\\\\\\"\\n\",le=\"1\"} 1\nh_count{x=\"\\\\\\\"\\n\"} 1\n",
	"# TYPE h histogram\nh_bucket{x=\"\",le=\"1\"} 1\nh_count 1\n",
	"# TYPE h histogram\nh_bucket{le=\"1\",le=\"2\"} 1\nh_count 1\n",
}

func TestConvertClassicCases(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 72))
	for _, format := range []streamparse.Format{streamparse.FormatText, streamparse.FormatOpenMetrics} {
		for _, text := range convertCases {
			if format == streamparse.FormatOpenMetrics {
				text += "# EOF\n"
			}
			for _, what := range conversions(format) {
				checkEvents(t, fmt.Sprintf("%+v", what), what, []byte(text), theirConversion(t, []byte(text), what), rng)
			}
		}
	}
}

// randomHistograms makes a body of histograms in text or OpenMetrics, which mostly make sense.
func randomHistograms(rng *rand.Rand, isOpenMetrics bool) []byte {
	var b strings.Builder
	ts, timed := "", rng.IntN(2) == 0
	if rng.IntN(3) == 0 {
		ts = " 17000"
	}
	for f := range 1 + rng.IntN(4) {
		name := fmt.Sprintf("family_%d", f)
		if rng.IntN(6) > 0 {
			fmt.Fprintf(&b, "# TYPE %s histogram\n", name)
		}
		for m := range rng.IntN(5) {
			line := func(suffix string, le string, v float64) {
				list := []string{fmt.Sprintf("a=\"%d\"", m), "b=\"é\\n\""}
				if le != "" {
					list = append(list, "le=\""+le+"\"")
				}
				if rng.IntN(4) == 0 {
					rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				}
				exemplar := ""
				if isOpenMetrics && rng.IntN(3) == 0 {
					exemplar = fmt.Sprintf(" # {id=\"%d\",x=\"\\\"\"} 1", rng.IntN(100))
					if timed { // all or none: theirs mixes them up
						exemplar += fmt.Sprintf(" %d.5", rng.IntN(100))
					}
				}
				if rng.IntN(60) > 0 {
					fmt.Fprintf(&b, "%s%s{%s} %v%s%s\n", name, suffix, strings.Join(list, ","), v, ts, exemplar)
				}
			}
			count := 0.0
			for i := range rng.IntN(6) {
				if count += float64(rng.IntN(3)); rng.IntN(20) == 0 {
					count += 0.5
				}
				if rng.IntN(60) == 0 {
					count--
				}
				line("_bucket", fmt.Sprint(float64(i)/2), count)
			}
			if rng.IntN(5) > 0 {
				line("_bucket", "+Inf", count)
			}
			line("_sum", "", rng.NormFloat64())
			line("_count", "", count)
			if rng.IntN(2) == 0 && isOpenMetrics {
				line("_created", "", 17e8)
			}
			if rng.IntN(8) == 0 {
				fmt.Fprintf(&b, "other{a=\"%d\"} 1%s\n", m, ts)
			}
			if rng.IntN(20) == 0 && !isOpenMetrics {
				b.WriteString([]string{"\n", "# a comment\n", "broken\n"}[rng.IntN(3)])
			}
		}
	}
	if isOpenMetrics && rng.IntN(20) > 0 {
		b.WriteString("# EOF\n")
	}
	return []byte(b.String())
}

func TestConvertClassicText(t *testing.T) {
	rng := rand.New(rand.NewPCG(73, 74))
	n := 16
	if testing.Short() {
		n = 8
	}
	for range n {
		for _, format := range []streamparse.Format{streamparse.FormatText, streamparse.FormatOpenMetrics} {
			body := randomHistograms(rng, format == streamparse.FormatOpenMetrics)
			for _, what := range conversions(format) {
				checkEvents(t, fmt.Sprintf("%+v", what), what, body, theirConversion(t, body, what), rng)
			}
			if t.Failed() {
				return
			}
		}
	}
}

func TestConvertClassicProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(75, 76))
	n := 40
	if testing.Short() {
		n = 20
	}
	good := 0
	for range n {
		f := randomFamily(rng)
		for i := range f.Metric { // most are cumulative
			h := f.Metric[i].Histogram
			if h == nil || rng.IntN(15) == 0 {
				continue
			}
			for k := range h.Bucket {
				h.Bucket[k].CumulativeCount, h.Bucket[k].CumulativeCountFloat, h.Bucket[k].UpperBound = uint64(2*k), 0, float64(k)
			}
			h.SampleCountFloat = 0
		}
		body := delimited(t, f)
		for _, what := range conversions(streamparse.FormatProtobuf) {
			if _, err := theirEvents(theirConversion(t, body, what), false); err == nil && f.Type == 4 {
				good++
			}
			checkEvents(t, fmt.Sprintf("%+v", what), what, body, theirConversion(t, body, what), rng)
		}
		if t.Failed() {
			return
		}
	}
	if good == 0 {
		t.Error("no family of histograms was taken")
	}
}

// TestConvertClassicBodies converts the histograms of real bodies.
func TestConvertClassicBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(77, 78))
	for _, b := range bodies(t) {
		if len(b.text) > 1_000_000 || !bytes.Contains(b.text, []byte(" histogram\n")) {
			continue
		}
		what := streamparse.Body{ConvertClassic: true}
		checkEvents(t, b.name, what, b.text, theirConversion(t, b.text, what), rng)
	}
}

// blankFirst reports whether a line begins with a blank, which the oracle takes for a part of a name.
func blankFirst(body []byte) bool {
	for line := range bytes.Lines(body) {
		if line[0] == ' ' || line[0] == '\t' {
			return true
		}
	}
	return false
}

func FuzzConvertClassic(f *testing.F) {
	rng := rand.New(rand.NewPCG(79, 80))
	for i := range 20 {
		f.Add(randomHistograms(rng, i%2 == 0), uint8(i), uint64(0))
	}
	for i, text := range convertCases {
		f.Add([]byte(text), uint8(i), uint64(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, way uint8, seed uint64) {
		if len(body) > 1000 || bytes.IndexByte(body, 0) >= 0 || blankFirst(body) {
			return
		}
		format := streamparse.FormatText
		if way&1 != 0 {
			format = streamparse.FormatOpenMetrics
		}
		ways := conversions(format)
		what := ways[int(way>>1)%len(ways)]
		checkEvents(t, "fuzz", what, body, theirConversion(t, body, what), rand.New(rand.NewPCG(seed, 0)))
	})
}
