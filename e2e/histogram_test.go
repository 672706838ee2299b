package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// instrumented starts a program's page with Prometheus' client library: a native histogram, a classic one and a counter,
// each with an exemplar.
func instrumented(t *testing.T) (address string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	native := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "native_seconds", Help: "A native histogram.", NativeHistogramBucketFactor: 1.1,
	})
	classic := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "classic_seconds", Help: "A classic histogram.", Buckets: []float64{0.1, 0.5, 1, 5},
	}, []string{"path"})
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: "requests_total", Help: "Requests so far."})
	reg.MustRegister(native, classic, requests)
	for i := range 1000 {
		v := float64(i+1) / 1000
		native.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": fmt.Sprint("native-", i)})
		classic.WithLabelValues("/a").(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": fmt.Sprint("classic-", i)})
	}
	requests.(prometheus.ExemplarAdder).AddWithExemplar(17, prometheus.Labels{"trace_id": "requests"})
	s := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestNativeHistograms takes a client's native histograms, exemplars and metadata through the agent into Prometheus, and
// asks it for them.
func TestNativeHistograms(t *testing.T) {
	t.Parallel()
	needProgram(t, "prometheus")
	dir := t.TempDir()
	conf := configFile(t, "global: {scrape_interval: 1m}\n")
	_, address := startServer(t, "prometheus", "/-/ready", func(address string) []string {
		return []string{
			"--config.file=" + conf, "--web.enable-remote-write-receiver", "--enable-feature=native-histograms,exemplar-storage",
			"--web.listen-address=" + address, "--storage.tsdb.path=" + filepath.Join(dir, "prometheus"), "--log.level=warn",
		}
	})
	db := &store{name: "Prometheus", url: "http://" + address}
	target := instrumented(t)
	a := startAgent(t, "--config.file="+configFile(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: native
  scrape_native_histograms: true
  static_configs: [{targets: [%[1]q]}]
- job_name: both
  always_scrape_classic_histograms: true
  scrape_native_histograms: true
  native_histogram_bucket_limit: 4
  static_configs: [{targets: [%[1]q]}]
- job_name: openmetrics
  scrape_protocols: [OpenMetricsText1.0.0]
  static_configs: [{targets: [%[1]q]}]
- job_name: vetoed
  scrape_native_histograms: true
  static_configs: [{targets: [%[1]q], labels: {__scrape_native_histograms__: "false"}}]
remote_write:
- url: %[2]s/api/v1/write
  send_exemplars: true
  send_native_histograms: true
`, target, db.url)), "--agent", "--web.listen-address=127.0.0.1:0", "--storage.agent.path", t.TempDir())
	one := func(q string) float64 {
		t.Helper()
		for _, v := range db.query(t, q) {
			return v
		}
		return math.NaN()
	}
	waitFor(t, "Prometheus to have a native histogram of each job", func() bool {
		return one(`count(histogram_count(native_seconds))`) == 2 && one("count(requests_total)") == 4
	})
	for q, want := range map[string]struct{ value, off float64 }{
		`histogram_quantile(0.5, native_seconds{job="native"})`: {0.5, 0.05},
		`histogram_quantile(0.9, native_seconds{job="native"})`: {0.9, 0.09},
		`histogram_quantile(0.5, native_seconds{job="both"})`:   {0.5, 0.5}, // four buckets are a coarse view
		`histogram_count(native_seconds{job="both"})`:           {1000, 0},
		`histogram_sum(native_seconds{job="native"})`:           {500.5, 1e-6},
		// The classic ones: of a histogram which has no native form, and beside one where that is asked for.
		`histogram_quantile(0.5, classic_seconds_bucket{job="native"})`: {0.5, 1e-6},
		`classic_seconds_bucket{job="openmetrics",le="1.0"}`:            {1000, 0},
		`native_seconds_count{job="vetoed"}`:                            {1000, 0},
		`count(native_seconds_bucket{job="native"}) or vector(0)`:       {0, 0},
		`min(up)`: {1, 0},
	} {
		if got := one(q); !(math.Abs(got-want.value) <= want.off) {
			t.Errorf("%s = %v, want %v within %v", q, got, want.value, want.off)
		}
	}
	traces := exemplars(t, db, `{__name__=~".+"}`)
	for _, want := range []struct{ name, job, le, path, trace string }{
		{"native_seconds", "native", "", "", "native-"},
		{"requests_total", "native", "", "", "requests"},
		{"requests_total", "openmetrics", "", "", "requests"},
		{"classic_seconds_bucket", "openmetrics", "0.5", "/a", "classic-"},
		{"classic_seconds_bucket", "native", "0.5", "/a", "classic-"},
	} {
		labels := map[string]string{"__name__": want.name, "instance": target, "job": want.job}
		if want.le != "" {
			labels["le"], labels["path"] = want.le, want.path
		}
		if got := traces[key(labels)]; !strings.HasPrefix(got, want.trace) {
			t.Errorf("%s has an exemplar with trace_id %q, want %s…", key(labels), got, want.trace)
		}
	}
	// Prometheus keeps no metadata that is pushed to it.
	status, text := fetch(t, http.MethodGet, a.url+"/api/v1/metadata?metric=native_seconds")
	if status != http.StatusOK || !strings.Contains(text, `"help":"A native histogram."`) || !strings.Contains(text, `"type":"histogram"`) {
		t.Errorf("GET /api/v1/metadata = %d %s", status, text)
	}
	a.terminate(t)
}

// exemplars returns by series the trace_id of one exemplar.
func exemplars(t *testing.T, db *store, query string) map[string]string {
	t.Helper()
	now := time.Now()
	status, text := fetch(t, http.MethodGet, fmt.Sprintf("%s/api/v1/query_exemplars?query=%s&start=%d&end=%d", db.url,
		url.QueryEscape(query), now.Add(-time.Hour).Unix(), now.Add(time.Hour).Unix()))
	var answer struct {
		Data []struct {
			SeriesLabels map[string]string
			Exemplars    []struct{ Labels map[string]string }
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("query_exemplars = %d %.300s, %v", status, text, err)
	}
	all := make(map[string]string)
	for _, s := range answer.Data {
		for _, e := range s.Exemplars {
			all[key(s.SeriesLabels)] = e.Labels["trace_id"]
		}
	}
	return all
}

// written is what requests of remote write 2.0 held last, by series: name, job, le.
type written struct {
	mu     sync.Mutex
	series map[string]point
	broken error
}

// point is a sample or a histogram.
type point struct {
	isHistogram bool
	value       float64 // of a histogram, its count
	schema      int64
	bounds      int
	start       int64
	help        string
}

func (w *written) ServeHTTP(rw http.ResponseWriter, rq *http.Request) {
	body, err := io.ReadAll(rq.Body)
	if err == nil {
		body, err = snappy.Decode(nil, body)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && strings.Contains(rq.Header.Get("Content-Type"), "io.prometheus.write.v2.Request") {
		var samples, histograms int
		samples, histograms, err = w.take(body)
		rw.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(samples))
		rw.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(histograms))
		rw.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	if err != nil {
		w.broken = err
	}
	rw.WriteHeader(http.StatusNoContent)
}

// fields calls f with each field of a message of protocol buffers.
func fields(msg []byte, f func(num, number uint64, bytes []byte)) error {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 {
			return errMessage
		}
		msg = msg[n:]
		var number uint64
		var bytes []byte
		switch tag & 7 {
		case 0:
			if number, n = binary.Uvarint(msg); n <= 0 {
				return errMessage
			}
		case 1:
			if n = 8; len(msg) < n {
				return errMessage
			}
			number = binary.LittleEndian.Uint64(msg)
		case 2:
			size, k := binary.Uvarint(msg)
			if n = k + int(size); k <= 0 || n > len(msg) {
				return errMessage
			}
			bytes = msg[k:n]
		default:
			return errMessage
		}
		msg = msg[n:]
		f(tag>>3, number, bytes)
	}
	return nil
}

var errMessage = errors.New("not a message of protocol buffers")

// take counts what a request holds.
func (w *written) take(body []byte) (samples, histograms int, err error) {
	var symbols []string
	var series [][]byte
	err = fields(body, func(num, _ uint64, b []byte) {
		switch num {
		case 4:
			symbols = append(symbols, string(b))
		case 5:
			series = append(series, b)
		}
	})
	for _, s := range series {
		labels := make(map[string]string)
		var p point
		found := false
		e := fields(s, func(num, _ uint64, b []byte) {
			switch num {
			case 1:
				for len(b) > 0 {
					name, n := binary.Uvarint(b)
					value, k := binary.Uvarint(b[n:])
					labels[symbols[name]] = symbols[value]
					b = b[n+k:]
				}
			case 2:
				found = true
				_ = fields(b, func(num, v uint64, _ []byte) {
					switch num {
					case 1:
						p.value = math.Float64frombits(v)
					case 3:
						p.start = int64(v)
					}
				})
			case 3:
				found, p.isHistogram = true, true
				_ = fields(b, func(num, v uint64, b []byte) {
					switch num {
					case 1:
						p.value = float64(v)
					case 4:
						p.schema = int64(v>>1) ^ -int64(v&1)
					case 16:
						p.bounds = len(b) / 8
					case 17:
						p.start = int64(v)
					}
				})
			case 5:
				_ = fields(b, func(num, v uint64, _ []byte) {
					if num == 3 {
						p.help = symbols[v]
					}
				})
			}
		})
		if e != nil {
			return 0, 0, e
		}
		if found {
			k := labels["job"] + " " + labels["__name__"] + " " + labels["le"]
			if p.help == "" { // metadata come once a minute
				p.help = w.series[k].help
			}
			w.series[k] = p
			if p.isHistogram {
				histograms++
			} else {
				samples++
			}
		}
	}
	return samples, histograms, err
}

// TestConvertedHistograms reads the same client in text, OpenMetrics and protobuf, has its classic histograms converted, and
// looks at what remote write 2.0 carries of them.
func TestConvertedHistograms(t *testing.T) {
	t.Parallel()
	w := &written{series: make(map[string]point)}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	target := instrumented(t)
	before := time.Now().Add(-time.Minute).UnixMilli()
	var jobs strings.Builder
	protocols := map[string]string{"text": "PrometheusText0.0.4", "openmetrics": "OpenMetricsText1.0.0", "protobuf": "PrometheusProto"}
	for name, protocol := range protocols {
		for suffix, keys := range map[string]string{"": "", "_both": "  always_scrape_classic_histograms: true\n"} {
			fmt.Fprintf(&jobs, "- job_name: %s%s\n  scrape_protocols: [%s]\n  convert_classic_histograms_to_nhcb: true\n%s  static_configs: [{targets: [%q]}]\n",
				name, suffix, protocol, keys, target)
		}
	}
	a := startAgent(t, "--config.file="+configFile(t, "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"+jobs.String()+
		"remote_write:\n- {url: "+s.URL+", protobuf_message: io.prometheus.write.v2.Request, send_native_histograms: true}\n"),
		"--agent", "--web.listen-address=127.0.0.1:0", "--storage.agent.path", t.TempDir(), "--enable-feature=st-storage")
	waitFor(t, "samples of all jobs, twice", func() bool {
		return a.metrics(t)[`scraper_scrape_scrapes_total{result="up"}`] >= float64(4*len(protocols))
	})
	waitFor(t, "a converted histogram of each job", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for k := range w.series {
			if strings.Contains(k, " classic_seconds ") {
				n++
			}
		}
		return n == 2*len(protocols)
	})
	a.terminate(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		t.Error(w.broken)
	}
	for name := range protocols {
		for _, suffix := range []string{"", "_both"} {
			job := name + suffix
			h := w.series[job+" classic_seconds "]
			if h.schema != -53 || h.bounds != 4 || h.value != 1000 || !h.isHistogram || h.help != "A classic histogram." {
				t.Errorf("%s: the histogram is %+v, want one of 1000 observations with 4 custom bounds, and its help", job, h)
			}
			_, classic := w.series[job+" classic_seconds_count "]
			if classic != (suffix != "") {
				t.Errorf("%s: there is a classic series = %v", job, classic)
			}
			if c := w.series[job+" requests_total "]; c.value != 17 || c.help != "Requests so far." {
				t.Errorf("%s: the counter is %+v", job, c)
			}
			for _, series := range []string{" classic_seconds ", " requests_total "} {
				if start := w.series[job+series].start; name == "text" && start != 0 || name != "text" && start < before {
					t.Errorf("%s: %s began at %s", job, series, strconv.FormatInt(start, 10))
				}
			}
			for k := range w.series {
				if strings.HasPrefix(k, job+" ") && strings.Contains(k, "_created") {
					t.Errorf("%s is sent, though its time is a start timestamp", k)
				}
			}
		}
	}
}
