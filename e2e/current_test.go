package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestCurrentReceivers pushes what a Go program shows in protocol buffers, with exemplars, native histograms and metadata,
// into current versions of Prometheus and VictoriaMetrics, and asks them what they hold. Prometheus is spoken to in 2.0 and
// VictoriaMetrics in its own form, without anybody having said so. bench/peers.sh builds them.
func TestCurrentReceivers(t *testing.T) {
	t.Parallel()
	peer(t, "victoria-metrics-latest")
	dir := t.TempDir()
	conf := configFile(t, "global: {scrape_interval: 1m}\n")
	_, prom := startServer(t, peer(t, "prometheus-3"), "/-/ready", func(address string) []string {
		return []string{
			"--config.file=" + conf, "--web.enable-remote-write-receiver", "--web.listen-address=" + address,
			"--storage.tsdb.path=" + filepath.Join(dir, "prometheus"), "--log.level=warn", "--enable-feature=exemplar-storage",
		}
	})
	_, victoria := startServer(t, peer(t, "victoria-metrics-latest"), "/health", func(address string) []string {
		return []string{
			"-httpListenAddr=" + address, "-storageDataPath=" + filepath.Join(dir, "victoria"), "-enableMetadata",
			"-search.latencyOffset=0s", "-search.disableCache", "-loggerLevel=WARN",
		}
	})
	target := busyProgram(t)
	config := fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
- job_name: program
  scrape_native_histograms: true
  static_configs: [{targets: [%q]}]
`, strings.TrimPrefix(target, "http://"))
	a := startAgent(t, "-promscrape.config="+configFile(t, config), "-promscrape.dialect=prometheus",
		"-remoteWrite.url=http://"+prom+"/api/v1/write,http://"+victoria+"/api/v1/write", "-remoteWrite.name=prometheus,victoria")

	p := &store{name: "Prometheus", url: "http://" + prom}
	v := &store{name: "VictoriaMetrics", url: "http://" + victoria, roundsValues: true}
	for _, s := range []*store{p, v} {
		waitFor(t, s.name+" to hold some scrapes", func() bool {
			for _, n := range s.query(t, "count_over_time(app_requests_total[1m])") {
				return n >= 5
			}
			return false
		})
	}
	for _, n := range p.query(t, "histogram_count(app_latency_seconds)") {
		if n < 1 {
			t.Errorf("Prometheus holds a native histogram of %v observations", n)
		}
	}
	if len(p.query(t, "histogram_count(app_latency_seconds)")) != 1 {
		t.Error("Prometheus holds no native histogram")
	}
	for _, series := range []string{"app_requests_total", "app_latency_seconds"} {
		if n := exemplarsOf(t, p, series); n < 3 {
			t.Errorf("Prometheus holds %d exemplars of %s, want one of each scrape", n, series)
		}
	}
	waitFor(t, "VictoriaMetrics to have metadata", func() bool {
		_, text := fetch(t, http.MethodGet, v.url+"/api/v1/metadata?metric=app_requests_total")
		return strings.Contains(text, "Requests of the app.")
	})

	metrics := a.metrics(t)
	for name, want := range map[string]string{"1:prometheus": "2.0", "2:victoria": "vm"} {
		for _, protocol := range []string{"1.0", "2.0", "vm"} {
			n := metrics[fmt.Sprintf(`scraper_remotewrite_delivered_blocks_total{destination=%q,protocol=%q}`, name, protocol)]
			if (n > 0) != (protocol == want) {
				t.Errorf("%v blocks went to %s in %s, want all in %s", n, name, protocol, want)
			}
		}
	}
	for _, name := range []string{"scraper_remotewrite_refused_samples_total", "scraper_remotewrite_dropped_samples_total", "scraper_books_unbalanced_samples"} {
		if n := sum(metrics, name); n != 0 {
			t.Errorf("%s is %v, want 0", name, n)
		}
	}
	for name, n := range metrics {
		if strings.HasPrefix(name, "scraper_remotewrite_requests_total{code=\"4xx\"") && n > 0 {
			t.Errorf("%s is %v: a receiver took something amiss", name, n)
		}
	}
	a.terminate(t)
}

// peer returns where a program is which bench/peers.sh builds, or skips the test.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "bench", "peers", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no %s here; bench/peers.sh builds it", name)
	}
	return path
}

// busyProgram serves a program which counts with exemplars, and shows its metrics in every format. It returns the URL.
func busyProgram(t *testing.T) string {
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: "app_requests_total", Help: "Requests of the app."})
	still := prometheus.NewCounter(prometheus.CounterOpts{Name: "app_starts_total", Help: "Has one exemplar, for ever."})
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "app_latency_seconds", Help: "Latency of the app.", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1,
	})
	reg.MustRegister(requests, still, latency)
	still.(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"trace_id": "start"})
	scrapes := 0
	show := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scrapes++
		of := prometheus.Labels{"trace_id": fmt.Sprint(scrapes)}
		requests.(prometheus.ExemplarAdder).AddWithExemplar(1, of)
		// Not in the order of time: a later observation may be in an earlier bucket.
		latency.(prometheus.ExemplarObserver).ObserveWithExemplar(float64(7*scrapes%5), of)
		show.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// exemplarsOf is how many exemplars a store holds of a series.
func exemplarsOf(t *testing.T, s *store, series string) (n int) {
	t.Helper()
	now := time.Now()
	q := url.Values{
		"query": {series}, "start": {fmt.Sprint(now.Add(-10 * time.Minute).Unix())}, "end": {fmt.Sprint(now.Add(time.Minute).Unix())},
	}
	status, text := fetch(t, http.MethodGet, s.url+"/api/v1/query_exemplars?"+q.Encode())
	var answer struct {
		Data []struct{ Exemplars []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: exemplars of %s = %d %.300s, %v", s.name, series, status, text, err)
	}
	for _, d := range answer.Data {
		n += len(d.Exemplars)
	}
	return n
}
