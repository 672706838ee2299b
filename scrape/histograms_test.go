package scrape

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"scraper/batch"
	"scraper/config"
	"scraper/labelset"
)

const classicBody = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 7\nh_count 4\n# TYPE g gauge\ng 1\n"

// TestConvertClassicHistograms pins what is sent of a classic histogram, alone and beside the classic series, in both
// dialects; that a body is taken whole or not at all; and that the series which are gone end.
func TestConvertClassicHistograms(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", classicBody)
		const convert, both = "convert_classic_histograms_to_nhcb: true", "always_scrape_classic_histograms: true"
		w.apply(oneJob(convert))
		for round := range 3 {
			wantSamples(t, fmt.Sprint("converted, round ", round), w.scrapeNow(), "g 1")
			if got := w.sink.takeSpecial(); len(got) != 1 || !strings.HasPrefix(got[0], "h histogram ") {
				t.Errorf("round %d: %q, want one histogram", round, got)
			}
		}
		if v := value(w.scrapeNow(), "scrape_samples_scraped"); v != 2 {
			t.Errorf("scrape_samples_scraped = %v, want the histogram and the gauge", v)
		}
		w.sink.takeSpecial()
		e.set(strings.Replace(classicBody, "# TYPE g gauge", "# TYPE g nonsense\ng{", 1))
		if w.dialect == config.Prometheus {
			wantSamples(t, "a mistake behind the histogram", w.scrapeNow(), "g stale", "h stale")
			if got := w.sink.takeSpecial(); len(got) != 0 {
				t.Errorf("%q is sent of a body with a mistake", got)
			}
		}
		e.set(strings.Replace(classicBody, "} 3\n", "} 0\n", 1))
		unconverted := w.metric("scraper_scrape_histograms_unconverted_total")
		got := own(w.scrapeNow())
		if special := w.sink.takeSpecial(); len(special) != 0 || !slices.Contains(got, "g 1") {
			t.Errorf("a histogram which is not cumulative: %q, %q", got, special)
		}
		if n := w.metric("scraper_scrape_histograms_unconverted_total"); n != unconverted+1 {
			t.Errorf("%v histograms are counted as left out, want %v", n, unconverted+1)
		}
		e.set(classicBody)
		w.apply(oneJob(convert, both))
		bound := "1.0"
		second := "2.0"
		if w.dialect == config.VMAgent {
			bound, second = "1", "2"
		}
		classic := []string{"g 1", "h_count 4", "h_sum 7", `h_bucket{le="+Inf"} 4`, `h_bucket{le="` + bound + `"} 1`, `h_bucket{le="` + second + `"} 3`}
		for round := range 2 {
			wantSamples(t, fmt.Sprint("both, round ", round), w.scrapeNow(), slices.Clone(classic)...)
			if got := w.sink.takeSpecial(); len(got) != 1 {
				t.Errorf("both, round %d: %q, want one histogram", round, got)
			}
		}
		w.apply(oneJob())
		wantSamples(t, "classic again", w.scrapeNow(), append(slices.Clone(classic), "h stale")...)
		checkBooks(w)
	})
}

// TestConvertOneOfManyBuckets: a histogram of 10,000 buckets is one series.
func TestConvertOneOfManyBuckets(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
		var b strings.Builder
		b.WriteString("# TYPE h histogram\n")
		for i := range 10_000 {
			fmt.Fprintf(&b, "h_bucket{le=\"%d\"} %d\n", i, i)
		}
		w.export("a:80", b.String()+"h_count 9999\nh_sum 1\n")
		w.apply(oneJob("convert_classic_histograms_to_nhcb: true", "sample_limit: 1"))
		wantSamples(t, "one histogram", w.scrapeNow())
		if got := w.sink.takeSpecial(); len(got) != 1 {
			t.Errorf("%d histograms, want one", len(got))
		}
	})
}

// TestHistogramLimits pins what happens to native histograms beyond their limits.
func TestHistogramLimits(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
		e := w.export("a:80", classicBody)
		f := func(want string, keys ...string) {
			t.Helper()
			w.apply(oneJob(append(keys, "convert_classic_histograms_to_nhcb: true")...))
			got := w.scrapeNow()
			if up := value(got, "up"); (up == 1) != (want == "") || !strings.Contains(w.only().LastError, want) {
				t.Errorf("%v: up = %v, error %q, want %q", keys, up, w.only().LastError, want)
			}
			if special := w.sink.takeSpecial(); (len(special) == 1) != (want == "") {
				t.Errorf("%v: %q", keys, special)
			}
			if want != "" && value(got, "scrape_samples_post_metric_relabeling") != 2 {
				t.Errorf("%v: the rest of the body is not counted", keys)
			}
		}
		f("", "native_histogram_bucket_limit: 3")
		f("native_histogram_bucket_limit exceeded: 3, the limit is 2", "native_histogram_bucket_limit: 2")
		f("sample_limit exceeded: 2, the limit is 1", "native_histogram_bucket_limit: 2", "sample_limit: 1")
		// The factor is none of those with custom bounds.
		f("", "native_histogram_min_bucket_factor: 10")
		w.apply(oneJob("native_histogram_bucket_limit: 2", "convert_classic_histograms_to_nhcb: true",
			"metric_relabel_configs: [{source_labels: [__name__], regex: h, action: drop}]"))
		wantSamples(t, "one which relabeling drops", w.scrapeNow(), "g 1", "h stale")
		e.set("g 1\n")
		checkBooks(w)
	})
}

// TestReduceHistograms pins that histograms of a client with finer buckets are reduced to the limit, and to the factor.
func TestReduceHistograms(t *testing.T) {
	f := func(schema int32, buckets int, keys ...string) {
		t.Helper()
		bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
			h := &dto.Histogram{SampleCount: new(uint64(8)), SampleSum: new(float64(8)), Schema: new(int32(3)),
				ZeroThreshold: new(float64(1e-9)), PositiveSpan: []*dto.BucketSpan{{Offset: new(int32(1)), Length: new(uint32(8))}},
				PositiveDelta: []int64{1, 0, 0, 0, 0, 0, 0, 0}}
			w.exportProtobuf("a:80", &dto.MetricFamily{Name: new("h"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: h}}})
			w.apply(oneJob(append(keys, "scrape_native_histograms: true")...))
			w.scrapeNow()
			got := w.sink.takeSpecial()
			want := fmt.Sprintf("schema %d of %d buckets", schema, buckets)
			if len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("%v: %q, error %q, want %s", keys, got, w.only().LastError, want)
			}
		})
	}
	f(3, 8)
	f(3, 8, "native_histogram_bucket_limit: 8")
	f(2, 4, "native_histogram_bucket_limit: 7")
	f(0, 1, "native_histogram_bucket_limit: 1")
	f(3, 8, "native_histogram_min_bucket_factor: 1.09")
	f(2, 4, "native_histogram_min_bucket_factor: 1.1")
	f(0, 1, "native_histogram_min_bucket_factor: 2")
	f(0, 1, "native_histogram_bucket_limit: 3", "native_histogram_min_bucket_factor: 2")
}

// exportProtobuf serves families in protobuf.
func (w *world) exportProtobuf(addr string, families ...*dto.MetricFamily) {
	w.serve(addr, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		format := expfmt.NewFormat(expfmt.TypeProtoDelim)
		rw.Header().Set("Content-Type", string(format))
		enc := expfmt.NewEncoder(rw, format)
		for _, f := range families {
			_ = enc.Encode(f) // the scrape may have failed
		}
	}))
}

// TestHistogramLabels: a target says for itself what is made of its histograms, and says it well or is not scraped.
func TestHistogramLabels(t *testing.T) {
	const label = "__convert_classic_histograms_to_nhcb__"
	bothDialects(t, func(w *world) {
		w.export("a:80", classicBody)
		targets := func(job, value string) string {
			return "global: {scrape_interval: 10s, scrape_timeout: 5s}\nscrape_configs: [{job_name: j, convert_classic_histograms_to_nhcb: " + job +
				", static_configs: [{targets: ['a:80'], labels: {" + label + ": '" + value + "'}}]}]\n"
		}
		for _, c := range []struct {
			job, value string
			converted  bool
		}{{"true", "", true}, {"true", "false", false}, {"false", "1", true}, {"false", "F", false}, {"false", "", false}} {
			w.apply(targets(c.job, c.value))
			w.sink.takeSpecial()
			w.scrapeNow()
			if got := w.sink.takeSpecial(); (len(got) == 1) != c.converted {
				t.Errorf("the job says %s, the target %q: %q", c.job, c.value, got)
			}
			if c.value == "" && w.dialect == config.Prometheus { // rules may look at it
				for _, l := range w.only().Discovered.Labels() {
					if l.Name == label && l.Value != c.job {
						t.Errorf("the job says %s, the discovered label %q", c.job, l.Value)
					}
				}
			}
		}
		w.apply(targets("false", "maybe"))
		if s, dropped := w.m.Snapshot(), w.dropped(); len(s.Targets) != 0 || len(dropped) != 1 || !strings.Contains(dropped[0].Reason, label+`="maybe" is neither`) {
			t.Errorf("targets %+v, dropped %+v", s.Targets, dropped)
		}
	})
}

// TestTargetLimit pins that a job with more targets than it may have asks none of them, until it has fewer.
func TestTargetLimit(t *testing.T) {
	bothDialects(t, func(w *world) {
		e := w.export("a:80", "m 1\n")
		w.export("b:80", "m 1\n")
		apply := func(limit int) {
			w.apply(strings.Replace(oneJob(fmt.Sprint("target_limit: ", limit)), "['a:80']", "['a:80', 'b:80']", 1))
		}
		apply(2)
		wantSamples(t, "as many as there may be", w.scrapeNow(), "m 1", "m 1")
		asked := e.served()
		apply(1)
		got := w.scrapeNow()
		wantSamples(t, "one too many", got, "m stale", "m stale")
		for _, s := range got {
			if s.name == "up" && s.value != 0 {
				t.Errorf("%s, want 0", s)
			}
		}
		for _, s := range w.m.Snapshot().Targets {
			if want := "target_limit exceeded: 2, the limit is 1"; s.LastError != want {
				t.Errorf("%s: %q, want %q", s.URL, s.LastError, want)
			}
		}
		if n := e.served(); n != asked {
			t.Errorf("a target beyond the limit was asked %d times", n-asked)
		}
		apply(0)
		wantSamples(t, "no limit", w.scrapeNow(), "m 1", "m 1")
	})
}

// TestStartTimestamps pins where a sample's start comes from, and that by default _created is a series like others.
func TestStartTimestamps(t *testing.T) {
	const began = int64(1_700_000_000)
	f := func(o Options, keys string, want map[string]int64, series ...string) {
		t.Helper()
		o.Dialect = config.Prometheus
		synctest.Test(t, func(t *testing.T) {
			starts := make(map[string]int64)
			w := newWorld(t, o)
			w.sink.before = func(b *batch.Batch) {
				for c := b.Cursor(); c.Next(); {
					if c.StartMillis != 0 {
						starts[nameOf(b, c.Set)] = c.StartMillis
					}
				}
			}
			w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
				if !strings.Contains(rq.Header.Get("Accept"), "protobuf") {
					rw.Header().Set("Content-Type", "application/openmetrics-text")
					fmt.Fprintf(rw, "# TYPE c counter\nc_total 1\nc_created %d\n# TYPE g gauge\ng 1\n# EOF\n", began)
					return
				}
				rw.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
				value := append([]byte{1<<3 | 1}, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f)
				created := message(3, binary.AppendUvarint([]byte{1 << 3}, uint64(began)))
				_, _ = rw.Write(message(0, message(1, []byte("c_total")), message(4, message(3, value, created))))
				_, _ = rw.Write(message(0, message(1, []byte("g")), []byte{3 << 3, 1}, message(4, message(2, value))))
			}))
			w.apply(oneJob(keys))
			for round := range 3 {
				clear(starts)
				wantSamples(t, fmt.Sprint(keys, ", round ", round), w.scrapeNow(), slices.Clone(series)...)
				if !maps.Equal(starts, want) {
					t.Errorf("%s, round %d: starts are %v, want %v", keys, round, starts, want)
				}
			}
			checkBooks(w)
		})
	}
	const text, protobuf = "scrape_protocols: [OpenMetricsText1.0.0]", "scrape_protocols: [PrometheusProto]"
	starts := map[string]int64{"c_total": began * 1000}
	f(Options{}, text, nil, "c_total 1", fmt.Sprintf("c_created %v", float64(began)), "g 1")
	f(Options{StartTimestamps: true}, text, starts, "c_total 1", "g 1")
	f(Options{}, protobuf, starts, "c_total 1", "g 1")
	f(Options{StartTimestamps: true}, protobuf, starts, "c_total 1", "g 1")
}

// message is a field of protocol buffers with its parts as content; without a number, its length and the content.
func message(num int, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	var b []byte
	if num > 0 {
		b = []byte{byte(num<<3 | 2)}
	}
	return append(binary.AppendUvarint(b, uint64(len(content))), content...)
}

// nameOf is the name of a label set's metric.
func nameOf(b *batch.Batch, set labelset.ID) string {
	for _, ref := range b.Sets.AppendRefs(nil, set) {
		if name, value := b.Sets.Dict().Label(ref); string(name) == nameLabel {
			return string(value)
		}
	}
	return ""
}

// TestUnitsOfProtobuf: there a family's unit stands behind its samples, and is its all the same.
func TestUnitsOfProtobuf(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true}, func(w *world) {
		gauge := func(name, unit string) *dto.MetricFamily {
			f := &dto.MetricFamily{Name: &name, Help: new("Help."), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{}}}}
			if unit != "" {
				f.Unit = &unit
			}
			return f
		}
		var families []*dto.MetricFamily
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			format := expfmt.NewFormat(expfmt.TypeProtoDelim)
			rw.Header().Set("Content-Type", string(format))
			for _, f := range families {
				_ = expfmt.NewEncoder(rw, format).Encode(f)
			}
		}))
		w.apply(oneJob("scrape_protocols: [PrometheusProto]"))
		w.run()
		check := func(when string, sent int, want ...string) {
			t.Helper()
			w.scrapeNow()
			if got := w.sink.takeFamilies(); len(got) != sent {
				t.Errorf("%s: %q is sent, want %d", when, got, sent)
			}
			var got []string
			for _, m := range w.metadata() {
				got = append(got, m.Family+" "+m.Unit)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		families = []*dto.MetricFamily{gauge("a_s", "s"), gauge("b", ""), gauge("c_b", "b")}
		// Of each unit there is a second row, but the sink shows those only behind which samples stand.
		check("first", 4, "a_s s", "b ", "c_b b")
		check("again", 0, "a_s s", "b ", "c_b b")
		families[0], families[2] = gauge("a_s", ""), gauge("c_b", "")
		check("without units", 2, "a_s ", "b ", "c_b ")
		families[1] = gauge("b", "b")
		check("another", 1, "a_s ", "b b", "c_b ")
		check("again", 0, "a_s ", "b b", "c_b ")
		w.pass(metadataEvery + 10*time.Second)
		if got := w.sink.takeFamilies(); len(got) != 3 || !strings.Contains(strings.Join(got, "\n"), `b gauge "b" "Help." before b`) {
			t.Errorf("after a minute %q is sent", got)
		}
	})
}

// TestBoundsOfProtobuf: they are numbers there, and become the text that the dialect has for them in other formats.
func TestBoundsOfProtobuf(t *testing.T) {
	bothDialects(t, func(w *world) {
		h := &dto.Histogram{SampleCount: new(uint64(3)), SampleSum: new(float64(4)), Bucket: []*dto.Bucket{{CumulativeCount: new(uint64(2)), UpperBound: new(float64(1))}}}
		s := &dto.Summary{SampleCount: new(uint64(3)), SampleSum: new(float64(4)), Quantile: []*dto.Quantile{{Quantile: new(float64(0)), Value: new(float64(5))}}}
		w.exportProtobuf("a:80", &dto.MetricFamily{Name: new("h"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: h}}},
			&dto.MetricFamily{Name: new("s"), Type: dto.MetricType_SUMMARY.Enum(), Metric: []*dto.Metric{{Summary: s}}})
		w.apply(oneJob("scrape_protocols: [PrometheusProto]"))
		le, quantile := "1.0", "0.0"
		if w.dialect == config.VMAgent {
			le, quantile = "1", "0"
		}
		wantSamples(t, "in protobuf", w.scrapeNow(), `h_bucket{le="`+le+`"} 2`, `h_bucket{le="+Inf"} 3`, "h_count 3", "h_sum 4",
			`s{quantile="`+quantile+`"} 5`, "s_count 3", "s_sum 4")
	})
}

// TestLimitsHoldForKnownSeries: a limit which a reload lowers, or lifts, holds for series that were learnt before.
func TestLimitsHoldForKnownSeries(t *testing.T) {
	bothDialects(t, func(w *world) {
		w.export("a:80", "m{long_name=\"12345678901234567\"} 1\n")
		for _, limit := range []string{"label_limit: 2", "label_name_length_limit: 8", "label_value_length_limit: 16"} {
			w.apply(oneJob())
			wantSamples(t, "without a limit", w.scrapeNow(), `m{long_name="12345678901234567"} 1`)
			w.apply(oneJob(limit))
			name, _, _ := strings.Cut(limit, ":")
			if up := value(w.scrapeNow(), "up"); up != 0 || !strings.Contains(w.only().LastError, name+" exceeded") {
				t.Errorf("%s: up = %v, error %q", limit, up, w.only().LastError)
			}
		}
	})
}
