package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// needProgram returns where a program is, or skips the test.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("there is no %s here; e2e/install.sh installs it where it may", name)
	}
	return path
}

// startServer starts a program which listens on a free port of its own, and returns its address when it answers path.
// Another process may take the port in between: then it is tried again with another one.
func startServer(t *testing.T, name, path string, args func(address string) []string) (*process, string) {
	t.Helper()
	program := needProgram(t, name)
	for range 3 {
		address := freeAddress(t)
		p := start(t, program, args(address)...)
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if status, _, err := try(http.MethodGet, "http://"+address+path); err == nil && status == http.StatusOK {
				return p, address
			}
			select {
			case <-p.done:
				deadline = time.Time{}
			default:
			}
		}
		t.Logf("%s does not answer at %s: %s", filepath.Base(program), address, tail(p.stderr.String()))
		p.kill()
	}
	t.Fatalf("%s does not start", filepath.Base(program))
	return nil, ""
}

// store is a database which was pushed to, as its query API shows it.
type store struct {
	name string
	url  string
	// roundsValues: it keeps fewer digits than a float64 has, and no NaN.
	roundsValues bool
}

// query returns the result of an instant query: a value per label set.
func (s *store) query(t *testing.T, q string) map[string]float64 {
	t.Helper()
	if s.roundsValues {
		fetch(t, http.MethodGet, s.url+"/internal/force_flush") // what was just written cannot be found otherwise
	}
	status, text := fetch(t, http.MethodGet, s.url+"/api/v1/query?nocache=1&query="+url.QueryEscape(q))
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: query %s = %d %.300s, %v", s.name, q, status, text, err)
	}
	result := make(map[string]float64)
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatalf("%s: query %s: %v", s.name, q, err)
		}
		result[key(r.Metric)] = v
	}
	return result
}

func (s *store) same(a, b float64) bool {
	if s.roundsValues {
		return math.Abs(a-b) <= 1e-12*math.Abs(a)
	}
	return a == b || math.IsNaN(a) && math.IsNaN(b)
}

// realTarget is a program which is scraped.
type realTarget struct {
	job, address string
	said         map[string]float64 // when it was last asked
	moving       map[string]bool    // series whose value was not always the same
}

// readersOwn are gauges which differ between the agent, which keeps its connection, and the test, which opens one.
var readersOwn = []string{
	"go_", "process_", "promhttp_", "node_sockstat_", "node_netstat_", "node_filefd_",
}

func isReadersOwn(s sample) bool {
	return s.typ != "counter" && slices.ContainsFunc(readersOwn, func(prefix string) bool {
		return strings.HasPrefix(s.labels["__name__"], prefix)
	})
}

// read returns what the target itself says now, as it should arrive: by final label set.
func (r *realTarget) read(t *testing.T, dialect string) map[string]sample {
	t.Helper()
	status, text := fetch(t, http.MethodGet, "http://"+r.address+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("GET /metrics of %s = %d, want 200", r.job, status)
	}
	all := make(map[string]sample)
	for _, s := range parseText(t, text) {
		if dialect == "prometheus" {
			normalizeBounds(t, s)
		}
		s.labels["job"], s.labels["instance"], s.labels["via"] = r.job, r.address, dialect
		k := key(s.labels)
		all[k] = s
		if v, ok := r.said[k]; ok && v != s.value {
			r.moving[k] = true
		}
		r.said[k] = s.value
	}
	return all
}

// normalizeBounds writes the bounds of histograms and summaries as Prometheus does.
func normalizeBounds(t *testing.T, s sample) {
	t.Helper()
	name := map[string]string{"histogram": "le", "summary": "quantile"}[s.typ]
	v, ok := s.labels[name]
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil {
		t.Fatalf("%s: %v", s.text, err)
	}
	if v = strconv.FormatFloat(f, 'g', -1, 64); !strings.ContainsAny(v, ".eI") {
		v += ".0"
	}
	s.labels[name] = v
}

// automatic returns the names of the automatic series of a dialect.
func automatic(dialect string) []string {
	names := []string{
		"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added",
	}
	if dialect == "vmagent" {
		names = append(names, "scrape_response_size_bytes", "scrape_timeout_seconds")
	}
	return names
}

// compare returns how what a store holds differs from what the target said before and after it was asked. Both are asked
// again if there is a difference, since some values go up and down in between.
func (r *realTarget) compare(t *testing.T, s *store, dialect string) (problems []string, series int) {
	t.Helper()
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	before := r.read(t, dialect)
	asked := time.Now()
	match := fmt.Sprintf(`{job=%q,instance=%q,via=%q}`, r.job, r.address, dialect)
	waitFor(t, s.name+" to hold a scrape of "+r.job, func() bool {
		times := s.query(t, "timestamp(up"+match+")")
		for _, at := range times {
			return at*1e3 > float64(asked.UnixMilli())
		}
		return false
	})
	got := s.query(t, match)
	after := r.read(t, dialect)

	for _, name := range automatic(dialect) {
		k := key(map[string]string{"__name__": name, "job": r.job, "instance": r.address, "via": dialect})
		v, ok := got[k]
		if !ok {
			report("no %s", k)
		}
		delete(got, k)
		switch {
		case name == "up" && v != 1:
			report("%s= %v, want 1", k, v)
		case name == "scrape_samples_scraped" && (v < float64(min(len(before), len(after))) || v > float64(max(len(before), len(after)))):
			report("%s= %v, want %d to %d", k, v, len(before), len(after))
		}
	}
	for k, b := range before {
		a, stays := after[k]
		if !stays {
			continue
		}
		v, ok := got[k]
		switch {
		case !ok && s.roundsValues && (math.IsNaN(a.value) || math.IsNaN(b.value)):
		case !ok:
			report("no %s", k)
		case !r.moving[k] && !isReadersOwn(a) && !s.same(a.value, v):
			report("%s= %v, want %v", k, v, a.value)
		case a.typ == "counter" && a.value >= b.value && (v < b.value-1e-9 || v > a.value+1e-9):
			report("%s= %v, want %v to %v, since it is a counter", k, v, b.value, a.value)
		}
	}
	for k := range got {
		_, was := before[k]
		_, is := after[k]
		if !was && !is {
			report("%s is not what the target said", k)
		}
	}
	return problems, len(got)
}

// TestRealPrograms scrapes node_exporter and Prometheus, pushes into Prometheus and VictoriaMetrics at once, and asks both
// what they hold.
func TestRealPrograms(t *testing.T) {
	t.Parallel()
	needProgram(t, "prometheus-node-exporter")
	conf := configFile(t, "global: {scrape_interval: 1m}\n")
	dir := t.TempDir()
	_, prometheus := startServer(t, "prometheus", "/-/ready", func(address string) []string {
		return []string{
			"--config.file=" + conf, "--web.enable-remote-write-receiver", "--web.listen-address=" + address,
			"--storage.tsdb.path=" + filepath.Join(dir, "prometheus"), "--log.level=warn",
		}
	})
	_, victoria := startServer(t, "victoria-metrics", "/health", func(address string) []string {
		return []string{
			"-httpListenAddr=" + address, "-storageDataPath=" + filepath.Join(dir, "victoria"),
			"-search.latencyOffset=0s", "-search.disableCache", "-loggerLevel=WARN",
		}
	})
	stores := []*store{
		{name: "Prometheus", url: "http://" + prometheus},
		{name: "VictoriaMetrics", url: "http://" + victoria, roundsValues: true},
	}
	const scrapes = `scrape_configs:
- job_name: node
  static_configs: [{targets: [%q]}]
- job_name: prometheus
  static_configs: [{targets: [%q]}]
`
	for _, dialect := range []string{"vmagent", "prometheus"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			exporter, address := startServer(t, "prometheus-node-exporter", "/", func(address string) []string {
				return []string{"--web.listen-address=" + address, "--log.level=warn"}
			})
			text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {via: %s}}\n"+scrapes, dialect, address, prometheus)
			var args []string
			if dialect == "vmagent" {
				args = []string{"-promscrape.config=" + configFile(t, text)}
				for _, s := range stores {
					args = append(args, "-remoteWrite.url="+s.url+"/api/v1/write")
				}
			} else {
				text += "remote_write:\n"
				for _, s := range stores {
					text += "- url: " + s.url + "/api/v1/write\n"
				}
				args = []string{
					"--config.file=" + configFile(t, text), "--agent", "--web.listen-address=127.0.0.1:0",
					"--storage.agent.path", t.TempDir(), "--log.level=debug", "--web.enable-lifecycle",
				}
			}
			a := startAgent(t, args...)
			var targets []*realTarget
			for job, address := range map[string]string{"node": address, "prometheus": prometheus} {
				targets = append(targets, &realTarget{job, address, make(map[string]float64), make(map[string]bool)})
			}
			for _, s := range stores {
				for _, target := range targets {
					var problems []string
					var series int
					for range 10 {
						if problems, series = target.compare(t, s, dialect); len(problems) == 0 {
							break
						}
					}
					if len(problems) > 0 {
						t.Errorf("%s holds of %s what differs from the target's text:\n%s", s.name, target.job, strings.Join(problems[:min(len(problems), 20)], "\n"))
					}
					t.Logf("figure: %s, dialect %s: %d series of %s as it says itself", s.name, dialect, series, target.job)
				}
			}
			exporter.kill()
			for i, s := range stores {
				// Debian's are so old that they know remote write 1.0 alone, and take requests of 2.0 for empty ones.
				const want = `protocol="1.0"`
				for name, n := range a.metrics(t) {
					if strings.HasPrefix(name, fmt.Sprintf(`scraper_remotewrite_delivered_blocks_total{destination="%d:`, i+1)) && !strings.Contains(name, want) {
						t.Errorf("%s is %v: %s is to be spoken to in %s", name, n, s.name, want)
					}
				}
				match := fmt.Sprintf(`{job="node",instance=%q,via=%q}`, address, dialect)
				waitFor(t, "up to be 0 at "+s.name, func() bool {
					for _, v := range s.query(t, "up"+match) {
						return v == 0
					}
					return false
				})
				// All other series are over at once, not after the minutes for which a database looks back.
				if got := s.query(t, match); len(got) != len(automatic(dialect)) {
					t.Errorf("%s shows %d series of a target that is gone, want %d automatic ones: %v", s.name, len(got), len(automatic(dialect)), got)
				}
				for k, n := range s.query(t, "count_over_time(node_boot_time_seconds"+match+"[10m])") {
					if n < 2 {
						t.Errorf("%s kept %v samples of %s, want several", s.name, n, k)
					}
				}
			}
			if dialect == "prometheus" {
				a.mustReload(t)
			}
			a.terminate(t)
		})
	}
}
