package scrape

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"scraper/batch"
	"scraper/config"
)

// TestAccept pins the header, which exporters choose by.
func TestAccept(t *testing.T) {
	const (
		proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
		om1   = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"
		text1 = "text/plain;version=1.0.0;escaping=allow-utf-8"
	)
	f := func(d config.Dialect, keys, want string) {
		t.Helper()
		w := &world{t: t, dialect: d}
		if got := acceptOf(w.parse("scrape_configs: [{job_name: j, " + keys + "}]").Jobs[0].Formats); got != want {
			t.Errorf("{%s}:\n got %s\nwant %s", keys, got, want)
		}
	}
	f(config.VMAgent, "", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
	f(config.Prometheus, "", om1+";q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"+text1+";q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
	f(config.Prometheus, "scrape_native_histograms: true",
		proto+";q=0.6,"+om1+";q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"+text1+";q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1")
	f(config.VMAgent, "scrape_protocols: [PrometheusText0.0.4]", "text/plain;version=0.0.4;q=0.6,*/*;q=0.5")
	f(config.Prometheus, "scrape_protocols: [OpenMetricsText1.0.0], metric_name_validation_scheme: legacy",
		"application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5")
}

// instrumented is a target of Prometheus' client library, which answers in what it is asked for.
func (w *world) instrumented(addr string) (asked func() string) {
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, []string{"code"})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "size_bytes", Help: "Sizes.", Buckets: []float64{1, 2.5}})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "latency_seconds", Help: "Latency.", Buckets: []float64{1}, NativeHistogramBucketFactor: 1.1,
	})
	reg.MustRegister(counter, classic, native)
	counter.WithLabelValues("200").(prometheus.ExemplarAdder).AddWithExemplar(3, prometheus.Labels{"trace_id": "abc"})
	classic.Observe(2)
	native.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"trace_id": "def"})
	accept := ""
	w.serve(addr, http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
		accept = rq.Header.Get("Accept")
		families, err := reg.Gather()
		if err != nil {
			w.t.Error(err)
		}
		format := expfmt.NegotiateAccept(rq.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
		var b bytes.Buffer
		enc := expfmt.NewEncoder(&b, format)
		for _, f := range families {
			if err := enc.Encode(f); err != nil {
				w.t.Error(err)
			}
		}
		if c, ok := enc.(expfmt.Closer); ok {
			_ = c.Close()
		}
		rw.Header().Set("Content-Type", string(format))
		_, _ = rw.Write(b.Bytes())
	}))
	return func() string { return accept }
}

// TestFormats scrapes one target in each format, twice, and once more in the next one: the series are the same, so none is
// ended but those that a format does not have.
func TestFormats(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true}, func(w *world) {
		w.instrumented("a:80")
		floats := []string{
			`latency_seconds_bucket{le="+Inf"} 1`, `latency_seconds_bucket{le="1.0"} 1`, "latency_seconds_count 1", "latency_seconds_sum 0.5",
			`requests_total{code="200"} 3`,
			`size_bytes_bucket{le="+Inf"} 1`, `size_bytes_bucket{le="1.0"} 0`, `size_bytes_bucket{le="2.5"} 1`, "size_bytes_count 1", "size_bytes_sum 2",
		}
		for _, c := range []struct {
			keys      string
			exemplars int
			created   bool
		}{
			{"scrape_protocols: [PrometheusText0.0.4]", 0, false},
			{"scrape_protocols: [PrometheusText1.0.0]", 0, false},
			{"scrape_protocols: [OpenMetricsText1.0.0]", 2, false},
			{"scrape_protocols: [OpenMetricsText0.0.1]", 2, false},
			{"scrape_protocols: [PrometheusProto]", 2, false},
		} {
			w.apply("scrape_configs: []\n") // what follows is a target which was never scraped
			w.pass(0)
			w.apply(oneJob(c.keys))
			for round := range 2 {
				w.sink.takeSpecial()
				got := w.scrapeNow()
				if err := w.only().LastError; err != "" {
					t.Fatalf("%s: %s", c.keys, err)
				}
				wantSamples(t, fmt.Sprint(c.keys, ", round ", round), got, slices.Clone(floats)...)
				special := w.sink.takeSpecial()
				want := c.exemplars
				if round > 0 {
					want = 0 // each is sent once
				}
				if len(special) != want {
					t.Errorf("%s, round %d: exemplars are %q, want %d", c.keys, round, special, want)
				} else if want > 0 && !slices.ContainsFunc(special, func(s string) bool {
					return strings.HasPrefix(s, `requests_total{code="200"} exemplar {trace_id="abc"} 3 @`)
				}) {
					t.Errorf("%s: the exemplars are %q", c.keys, special)
				}
			}
			if all := w.metadata(); len(all) != 3 || all[0].Help != "Latency." || all[0].Type != "histogram" {
				t.Errorf("%s: metadata %+v", c.keys, all)
			}
		}
		// Native histograms instead of the classic ones, where there are any.
		w.apply("scrape_configs: []\n")
		w.pass(0)
		w.apply(oneJob("scrape_protocols: [PrometheusText0.0.4]"))
		w.scrapeNow()
		w.apply(oneJob("scrape_native_histograms: true"))
		for round := range 2 {
			w.sink.takeSpecial()
			got := w.scrapeNow()
			want := slices.Clone(floats[4:])
			if round == 0 {
				for _, s := range floats[:4] {
					want = append(want, s[:strings.LastIndexByte(s, ' ')]+" stale")
				}
			}
			wantSamples(t, fmt.Sprint("native, round ", round), got, want...)
			special := w.sink.takeSpecial()
			if n := len(special); n != 3-2*round || !slices.ContainsFunc(special, func(s string) bool { return strings.HasPrefix(s, "latency_seconds histogram ") }) {
				t.Errorf("native, round %d: %q, want a histogram, and at first two exemplars", round, special)
			}
		}
		w.apply(oneJob("scrape_native_histograms: true", "always_scrape_classic_histograms: true"))
		wantSamples(t, "both", w.scrapeNow(), slices.Clone(floats)...)
		checkBooks(w)
	})
}

// TestExemplarsHaveTimesOfTheirOwn: a series which a body repeats is compared with its samples, whatever the times of their
// exemplars are.
func TestExemplarsHaveTimesOfTheirOwn(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus, Metadata: true}, func(w *world) {
		now := time.Now().Unix()
		body := fmt.Sprintf("# TYPE a counter\na_total 1 %d # {trace_id=\"x\"} 1 %d\na_total 2 %d\na_total 3 %[3]d\n# EOF\n", now-20, now-1, now-10)
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
			_, _ = rw.Write([]byte(body))
		}))
		w.apply(oneJob())
		wantSamples(t, "a series with three samples, one of them again", w.scrapeNow(), "a_total 1", "a_total 2")
		if got := w.sink.takeSpecial(); len(got) != 1 {
			t.Errorf("exemplars are %q, want one", got)
		}
	})
}

// TestLongExemplarsAreDropped: with more than 128 runes in its labels an exemplar goes, and its sample stays.
func TestLongExemplarsAreDropped(t *testing.T) {
	for runes, want := range map[int]int{128: 1, 129: 0, 5000: 0} {
		bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
			body := fmt.Sprintf("a_total 1 # {id=\"%s\"} 1\n# EOF\n", strings.Repeat("é", runes-len("id")))
			w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
				_, _ = rw.Write([]byte(body))
			}))
			w.apply(oneJob())
			wantSamples(t, "a sample with an exemplar", w.scrapeNow(), "a_total 1")
			if got := w.sink.takeSpecial(); len(got) != want {
				t.Errorf("of an exemplar of %d runes %q are sent, want %d", runes, got, want)
			}
		})
	}
}

// TestLegacyNames pins what metric_name_validation_scheme refuses.
func TestLegacyNames(t *testing.T) {
	f := func(line, scheme string, ok bool) {
		bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
			w.export("a:80", line+"\n")
			w.apply(oneJob("metric_name_validation_scheme: " + scheme))
			if up := value(w.scrapeNow(), "up"); (up == 1) != ok {
				t.Errorf("%s with %s: up = %v, error %q", line, scheme, up, w.only().LastError)
			}
		})
	}
	f(`{"a.b",c="d"} 1`, "utf8", true)
	f(`{"a.b",c="d"} 1`, "legacy", false)
	f(`{"ab","c.d"="e"} 1`, "utf8", true)
	f(`{"ab","c.d"="e"} 1`, "legacy", false)
	f(`a:b{c="d.e"} 1`, "legacy", true)
}

// describe writes a row which is no float sample.
func describe(c *batch.Cursor, series string) string {
	switch c.Kind {
	case batch.KindExemplar:
		return fmt.Sprintf("%s exemplar %s %v @%d", series, labelsText(c.Payload), c.Value, c.TimestampMillis)
	case batch.KindHistogram:
		schema, buckets := shape(c.Payload)
		return fmt.Sprintf("%s histogram of schema %d of %d buckets @%d", series, schema, buckets, c.TimestampMillis)
	}
	return fmt.Sprint(series, " of kind ", c.Kind)
}

// shape reads the schema of a histogram of integers, and how many buckets it has, from its wire form.
func shape(wire []byte) (schema int64, buckets int) {
	for len(wire) > 0 {
		tag, n := binary.Uvarint(wire)
		wire = wire[n:]
		v, n := binary.Uvarint(wire)
		switch tag & 7 {
		case 0:
			if tag>>3 == 4 {
				schema = int64(v>>1) ^ -int64(v&1)
			}
		case 1:
			n = 8
		default:
			n += int(v)
			if field := tag >> 3; field == 9 || field == 12 {
				for _, b := range wire[n-int(v) : n] {
					if b < 0x80 {
						buckets++
					}
				}
			}
		}
		wire = wire[n:]
	}
	return schema, buckets
}

// TestExemplarsOfABurstAreForgotten: what is known of exemplars goes with their series where many leave at once.
func TestExemplarsOfABurstAreForgotten(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
		series := 500
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
			_, _ = fmt.Fprintln(rw, "# TYPE a counter")
			for i := range series {
				_, _ = fmt.Fprintf(rw, "a_total{n=\"%d\"} 1 # {id=\"x\"} 1\n", i)
			}
			_, _ = fmt.Fprintln(rw, "# EOF")
		}))
		w.apply(oneJob())
		bytes := func() int64 {
			w.scrapeNow()
			w.sink.takeSpecial()
			return w.m.Bytes()
		}
		bytes()
		usual := bytes()
		series = 20_000
		most := bytes()
		series = 500
		bytes()
		if got := bytes(); got > usual+usual/10 || most < 20*usual {
			t.Errorf("%d bytes are taken after a burst which took %d, and %d before it", got, most, usual)
		}
	})
}

// TestExemplarsAreSentOnce: a target shows exemplars until there are others, and receivers answer old ones by 400.
func TestExemplarsAreSentOnce(t *testing.T) {
	bubble(t, Options{Dialect: config.Prometheus}, func(w *world) {
		body := ""
		w.serve("a:80", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
			_, _ = rw.Write([]byte(body))
		}))
		now := time.Now().Unix()
		exemplar := func(id string, v float64, at int64) string { return fmt.Sprintf(" # {id=%q} %v %d", id, v, now+at) }
		f := func(what, of string, want ...string) {
			t.Helper()
			body = "# TYPE a counter\na_total 1" + of + "\n# EOF\n"
			w.sink.takeSpecial()
			w.scrapeNow()
			var got []string
			for _, s := range w.sink.takeSpecial() {
				got = append(got, regexp.MustCompile(`id="(\w+)"`).FindStringSubmatch(s)[1])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: exemplars %q are sent, want %q", what, got, want)
			}
		}
		w.apply(oneJob())
		f("a first one", exemplar("a", 1, -100), "a")
		f("the same", exemplar("a", 1, -100))
		f("an older one", exemplar("b", 2, -101))
		f("a newer one", exemplar("c", 1, -99), "c")
		f("of the same time, and larger", exemplar("d", 2, -99), "d")
		f("of the same time, and smaller", exemplar("c", 1, -99))
		f("none", "")
		f("the same after none", exemplar("d", 2, -99))
		f("without a time", ` # {id="e"} 3`, "e")
		f("the same without a time", ` # {id="e"} 3`)
		f("another one without a time", ` # {id="f"} 3`, "f")
		good := body
		body = strings.Replace(good, `id="f"`, `id="g"`, 1) + "not a line\n"
		w.scrapeNow()
		f("what came with a failed scrape", ` # {id="g"} 3`, "g")
		checkBooks(w)
	})
}
