// Command client writes what a program with client_golang exposes, in each format, to files in the directory that is its
// argument: all types, exemplars, native histograms, timestamps, start timestamps, UTF-8 names. It does the same on each run.
package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var began = time.Unix(1_700_000_000, 123_000_000)

func run() error {
	reg := prometheus.NewRegistry()
	if err := reg.Register(constant{}); err != nil {
		return err
	}
	observe(reg)
	handler := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true, DisableCompression: true})
	for file, accept := range map[string]string{
		"go_client.txt":    "text/plain;version=0.0.4",
		"go_client.om.txt": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
		"go_client.pb":     "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			return fmt.Errorf("%s: %d: %s", file, w.Code, w.Body)
		}
		if err := os.WriteFile(filepath.Join(os.Args[1], file), w.Body.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// observe registers metrics as programs have them.
func observe(reg *prometheus.Registry) {
	rng := rand.New(rand.NewPCG(1, 2))
	trace := func(i int) prometheus.Labels { return prometheus.Labels{"trace_id": fmt.Sprintf("%032x", i)} }

	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "app_requests_total", Help: "Requests, with \\ and\na newline."}, []string{"path", "code"})
	plain := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "app_duration_seconds", Help: "Classic."}, []string{"path"})
	native := prometheus.HistogramOpts{Name: "app_native_seconds", Help: "Native alone.", NativeHistogramBucketFactor: 1.1,
		NativeHistogramMaxExemplars: 3}
	nativeAlone := prometheus.NewHistogramVec(native, []string{"path"})
	native.Name, native.Help, native.Buckets = "app_both_seconds", "Native, with classic buckets.", prometheus.DefBuckets
	both := prometheus.NewHistogramVec(native, []string{"path"})
	sizes := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "app_size_bytes", Help: "With quantiles.",
		Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001, 1: 0}}, []string{"path"})
	bare := prometheus.NewSummary(prometheus.SummaryOpts{Name: "app_bare_bytes", Help: "Without quantiles."})
	temperature := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "app_temperature_celsius", Help: ""}, []string{"room"})
	utf8 := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "app.requêtes en cours", Help: "A name in UTF-8."}, []string{"http.method"})
	never := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "app_never_total", Help: "No child."}, []string{"a"})
	reg.MustRegister(requests, plain, nativeAlone, both, sizes, bare, temperature, utf8, never)

	for i, path := range []string{"/", "/a\"b\\c\nd", "/é"} {
		for _, code := range []string{"200", "404", "500"} {
			c := requests.WithLabelValues(path, code)
			c.Add(float64(rng.IntN(1000)))
			if code == "500" {
				c.(prometheus.ExemplarAdder).AddWithExemplar(1, trace(i))
			}
		}
		for n := range 500 {
			v := math.Exp(rng.NormFloat64()*2 - 3)
			for _, h := range []*prometheus.HistogramVec{plain, nativeAlone, both} {
				o := h.WithLabelValues(path)
				if n%100 == 0 {
					o.(prometheus.ExemplarObserver).ObserveWithExemplar(v, trace(n))
				} else {
					o.Observe(v)
				}
			}
			sizes.WithLabelValues(path).Observe(v * 1e6)
		}
		nativeAlone.WithLabelValues(path).Observe(0)
		nativeAlone.WithLabelValues(path).Observe(-float64(i) - 0.5)
		bare.Observe(float64(i))
		temperature.WithLabelValues(path).Set([]float64{math.NaN(), math.Inf(-1), -1e-9}[i])
		utf8.WithLabelValues([]string{"GET", "", "POST"}[i]).Set(float64(i))
	}
	both.WithLabelValues("/none")
	nativeAlone.WithLabelValues("/none")
	plain.WithLabelValues("/none")
	sizes.WithLabelValues("/none")
}

// constant collects metrics which say when they were measured and when they began.
type constant struct{}

func (constant) Describe(chan<- *prometheus.Desc) {}

func (constant) Collect(ch chan<- prometheus.Metric) {
	at := func(m prometheus.Metric) prometheus.Metric {
		return prometheus.NewMetricWithTimestamp(began.Add(time.Hour), m)
	}
	desc := func(name string) *prometheus.Desc { return prometheus.NewDesc(name, "Constant.", []string{"a"}, nil) }
	ch <- at(prometheus.MustNewConstMetric(desc("constant_gauge"), prometheus.GaugeValue, 1.5, "b"))
	ch <- at(prometheus.MustNewConstMetric(desc("constant_untyped"), prometheus.UntypedValue, math.MaxFloat64, "b"))
	ch <- at(prometheus.MustNewConstMetricWithCreatedTimestamp(desc("constant_total"), prometheus.CounterValue, 1e15, began, "b"))
	ch <- at(prometheus.MustNewConstHistogramWithCreatedTimestamp(desc("constant_histogram"), 10, 2.5, map[float64]uint64{1: 3, 2.5: 7}, began, "b"))
	ch <- at(prometheus.MustNewConstSummaryWithCreatedTimestamp(desc("constant_summary"), 10, 2.5, map[float64]float64{0.5: 3, 1: math.NaN()}, began, "b"))
	ch <- prometheus.MustNewConstNativeHistogram(desc("constant_native"), 12, 7.25, map[int]int64{-2: 1, 0: 3, 7: 2}, map[int]int64{1: 4}, 2, 3, 1e-6, began, "b")
}
