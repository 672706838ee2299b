package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scraper/config"
	"scraper/internal/leaktest"
	"scraper/relabel"
	"scraper/remotewrite"
	"scraper/scrape"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	local  = "127.0.0.1:40000"
	remote = "192.0.2.7:40000"
)

// labels makes labels of pairs.
func labels(kv ...string) (ls []relabel.Label) {
	for i := 0; i < len(kv); i += 2 {
		ls = append(ls, relabel.Label{Name: kv[i], Value: kv[i+1]})
	}
	return ls
}

// target is a target which is up.
func target(id int, job, url string) scrape.TargetStatus {
	return scrape.TargetStatus{
		ID: uint64(id), Job: job, URL: url, Labels: labels("instance", "host"+strconv.Itoa(id), "job", job),
		Discovered: discovered("__address__", "host"+strconv.Itoa(id), "job", job),
		Health:     scrape.HealthUp, LastScrape: time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC), LastScrapeDuration: 12500 * time.Microsecond,
		Interval: time.Minute + 30*time.Second, Timeout: 10 * time.Second, Samples: 100, Series: 101, BodyBytes: 2048, MemoryBytes: 512, Scrapes: 3,
	}
}

// discovered are labels which are made when somebody looks.
func discovered(pairs ...string) scrape.Discovered {
	return func() []relabel.Label { return labels(pairs...) }
}

// dropped is one dropped target of a job.
func dropped(job, reason string, ls []relabel.Label) scrape.DroppedTargets {
	one := []scrape.DroppedStatus{{Discovered: ls, Reason: reason}}
	return scrape.DroppedTargets{Job: job, Count: 1, Each: slices.Values(one)}
}

// snapshot is two jobs: one target up, one down, one dropped.
func snapshot() scrape.Snapshot {
	up, down := target(1, "node", "http://host1:9100/metrics"), target(2, "app", "http://localhost:8080/metrics?x=%3Chidden%3E")
	down.Health, down.LastError, down.Failed = scrape.HealthDown, `read body: "<b>"`, 2
	return scrape.Snapshot{
		Jobs:    []scrape.JobStatus{{Job: "node", Active: 1, Up: 1}, {Job: "app", Active: 1, Dropped: 7}},
		Targets: []scrape.TargetStatus{up, down},
		Dropped: []scrape.DroppedTargets{dropped("app", "relabeling", labels("__address__", "gone:1", "job", "app"))},
	}
}

// options are a server's with something to show.
func options() Options {
	return Options{
		Version: "1.2.3", Revision: "abc", Gather: prometheus.NewRegistry(),
		Targets: snapshot,
		Destinations: func() []remotewrite.DestinationStatus {
			return []remotewrite.DestinationStatus{{Name: "1:main", Healthy: true, SentSamples: 4242, PendingSamples: 17}}
		},
		Config: func() string { return "scrape_configs: []\n" },
		Flags: func() []Flag {
			return []Flag{{"--agent", "true"}, {"-httpListenAddr", ":8429"}, {"-remoteWrite.url", "secret"}}
		},
		Reload: func(context.Context) error { return nil },
		Latest: func(limit int, filter string) []LatestValue {
			all := []LatestValue{{Labels: labels("__name__", "temperature", "room", "kitchen"), Value: 21.5, At: time.UnixMilli(1700000000500)}}
			if !strings.Contains("temperature", filter) {
				return nil
			}
			return all[:min(limit, 1)]
		},
	}
}

func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request without a network. Headers are pairs.
func ask(t testing.TB, s *Server, peer, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = peer, "127.0.0.1:8429"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOptionsAreChecked(t *testing.T) {
	f := func(want string, o Options) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want an error which names %s", o, err, want)
		}
	}
	f("-tlsKeyFile", Options{TLSCertFile: "x"})
	f("-tlsCertFile", Options{TLSKeyFile: "x"})
	f("-httpAuth.username", Options{BasicAuth: BasicAuth{Password: "x"}})
	f("Options.MaxConnections", Options{MaxConnections: -1})
	f("Options.DrainTimeout", Options{DrainTimeout: -1})
	if _, err := New(Options{}); err != nil {
		t.Errorf("New(Options{}) = %v, want a server", err)
	}
}

// TestEmpty asks for everything of a server which has nothing to show.
func TestEmpty(t *testing.T) {
	for _, dialect := range []config.Dialect{config.VMAgent, config.Prometheus} {
		s := newServer(t, Options{Dialect: dialect, Latest: func(int, string) []LatestValue { return nil }})
		for _, path := range []string{"/", "/targets", "/service-discovery", "/config", "/flags", "/api/v1/targets", "/api/v1/latest", "/metrics"} {
			if res := ask(t, s, local, "GET", path, "", "Accept", "text/html"); res.StatusCode != 200 {
				t.Errorf("GET %s = %d, want 200", path, res.StatusCode)
			}
		}
	}
}

// TestRoutes asks for every path in both dialects.
func TestRoutes(t *testing.T) {
	const both, vm, prom = "both", "vmagent", "prometheus"
	for _, c := range []struct {
		dialect, method, path string
		code                  int
		kind, contains        string // of the answer
	}{
		{both, "GET", "/health", 200, "text/plain", "OK"},
		{both, "HEAD", "/health", 200, "text/plain", ""},
		{both, "GET", "/ping", 204, "", ""},
		{both, "GET", "/ready", 200, "text/plain", "OK"},
		{both, "GET", "/-/healthy", 200, "text/plain", "Healthy"},
		{both, "GET", "/-/ready", 200, "text/plain", "Ready"},
		{both, "GET", "/", 200, "text/html", "1:main"},
		{both, "GET", "/prometheus/", 200, "text/html", "1:main"},
		{both, "GET", "/targets", 200, "text/plain", `job="node" (1/1 up)`},
		{both, "GET", "/targets?format=html", 200, "text/html", "http://host1:9100/metrics"},
		{both, "GET", "/prometheus/targets", 200, "text/plain", `job="node" (1/1 up)`},
		{both, "GET", "/service-discovery", 200, "text/plain", `reason="relabeling"`},
		{both, "GET", "/service-discovery?format=html", 200, "text/html", "relabeling"},
		{both, "GET", "/config", 200, "text/plain", "scrape_configs"},
		{both, "GET", "/flags", 200, "text/plain", "--agent=\"true\"\n-httpListenAddr=\":8429\"\n"},
		{both, "GET", "/version", 200, "application/json", `"1.2.3"`},
		{both, "GET", "/favicon.ico", 204, "", ""},
		{both, "GET", "/assets/app.js", 200, "text/javascript", "use strict"},
		{both, "GET", "/assets/app.css", 200, "text/css", "prefers-color-scheme"},
		{both, "GET", "/assets/layout.html", 404, "text/plain", ""},
		{both, "GET", "/api/v1/targets", 200, "application/json", `"activeTargets"`},
		{both, "GET", "/prometheus/api/v1/targets", 200, "application/json", `"activeTargets"`},
		{both, "GET", "/api/v1/scrape_pools", 200, "application/json", `{"scrapePools":["app","node"]}`},
		{both, "GET", "/api/v1/latest", 200, "application/json", `"value":"21.5"`},
		{both, "GET", "/api/v1/latest?limit=-1", 400, "application/json", "limit"},
		{both, "GET", "/api/v1/status/config", 200, "application/json", `{"yaml":"scrape_configs: []\n"}`},
		{both, "GET", "/api/v1/status/flags", 200, "application/json", `"agent":"true","httpListenAddr":":8429"`},
		{both, "GET", "/api/v1/status/buildinfo", 200, "application/json", `"goVersion":"go1.`},
		{both, "GET", "/api/v1/query", 404, "application/json", `"errorType":"not_found"`},
		{both, "POST", "/api/v1/write", 404, "application/json", ""},
		{both, "GET", "/metrics", 200, "text/plain", ""},
		{both, "GET", "/debug/pprof/", 200, "text/html", "goroutine"},
		{both, "GET", "/debug/pprof/goroutine?debug=1", 200, "text/plain", "goroutine profile"},
		{both, "GET", "/debug/pprof/heap", 200, "application/octet-stream", ""},
		{both, "GET", "/debug/pprof/cmdline", 404, "", ""},
		{both, "GET", "/debug/pprof/nothing", 404, "", ""},
		{both, "GET", "/debug/pprof/profile?seconds=1e9", 400, "", "seconds"},
		{both, "GET", "/debug/vars", 404, "", ""},
		{both, "GET", "/nothing", 404, "", ""},
		{both, "POST", "/nothing", 404, "", ""},
		{vm, "POST", "/-/reload", 200, "", ""},
		{vm, "PUT", "/-/reload", 200, "", ""},
		{vm, "POST", "/-/quit", 404, "", ""},
		{vm, "GET", "/agent", 404, "", ""},
		{prom, "POST", "/-/reload", 403, "text/plain", "--web.enable-lifecycle"},
		{prom, "POST", "/-/quit", 403, "text/plain", "--web.enable-lifecycle"},
		{prom, "GET", "/agent", 302, "", ""},
	} {
		for _, dialect := range []config.Dialect{config.VMAgent, config.Prometheus} {
			if c.dialect == vm && dialect != config.VMAgent || c.dialect == prom && dialect != config.Prometheus {
				continue
			}
			o := options()
			o.Dialect = dialect
			res := ask(t, newServer(t, o), local, c.method, c.path, "")
			body := text(t, res)
			if res.StatusCode != c.code || !strings.HasPrefix(res.Header.Get("Content-Type"), c.kind) || !strings.Contains(body, c.contains) {
				t.Errorf("%s %s (dialect %d) = %d %s %.200q, want %d %s with %q", c.method, c.path, dialect, res.StatusCode, res.Header.Get("Content-Type"), body, c.code, c.kind, c.contains)
			}
			if c.kind == "text/html" && strings.Contains(body, "<script>") {
				t.Errorf("%s %s has an inline script", c.method, c.path)
			}
		}
	}
}

// TestMethods: nothing changes state by GET, and nothing else takes a POST.
func TestMethods(t *testing.T) {
	f := func(o Options, method, path string, code int, allow string) {
		t.Helper()
		quit := func() { t.Errorf("%s %s made the agent quit", method, path) }
		o.Reload = func(context.Context) error { t.Errorf("%s %s reloaded", method, path); return nil }
		o.Quit = quit
		res := ask(t, newServer(t, o), local, method, path, "")
		if res.StatusCode != code || res.Header.Get("Allow") != allow {
			t.Errorf("%s %s = %d Allow %q, want %d Allow %q", method, path, res.StatusCode, res.Header.Get("Allow"), code, allow)
		}
	}
	prom := Options{Dialect: config.Prometheus, EnableLifecycle: true}
	for _, method := range []string{"GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		f(Options{}, method, "/-/reload", 405, "POST, PUT")
		f(prom, method, "/-/reload", 405, "POST, PUT")
		f(prom, method, "/-/quit", 405, "POST, PUT")
	}
	for _, path := range []string{"/", "/targets", "/config", "/metrics", "/health", "/api/v1/targets", "/debug/pprof/"} {
		f(Options{}, "POST", path, 405, "GET, HEAD")
	}
}

func TestReload(t *testing.T) {
	calls := 0
	o := options()
	o.Dialect, o.EnableLifecycle = config.Prometheus, true
	o.Reload = func(context.Context) error {
		if calls++; calls > 1 {
			return errors.New("prometheus.yml: line 3: unknown key")
		}
		return nil
	}
	s := newServer(t, o)
	if res := ask(t, s, local, "POST", "/-/reload", ""); res.StatusCode != 200 || calls != 1 || text(t, res) != "" {
		t.Errorf("POST /-/reload = %d after %d calls, want 200 after 1", res.StatusCode, calls)
	}
	res := ask(t, s, local, "POST", "/-/reload", "")
	if body := text(t, res); res.StatusCode != 500 || body != "failed to reload config: prometheus.yml: line 3: unknown key\n" {
		t.Errorf("POST /-/reload = %d %q, want 500 and the reason", res.StatusCode, body)
	}
}

func TestQuit(t *testing.T) {
	quit := false
	s := newServer(t, Options{Dialect: config.Prometheus, EnableLifecycle: true, Quit: func() { quit = true }})
	if res := ask(t, s, local, "POST", "/-/quit", ""); res.StatusCode != 200 || !quit {
		t.Errorf("POST /-/quit = %d, quit %t, want 200, true", res.StatusCode, quit)
	}
}

func TestReadiness(t *testing.T) {
	f := func(dialect config.Dialect, path string, code int, stopping string) {
		t.Helper()
		s := newServer(t, Options{Dialect: dialect, Ready: func() error { return errors.New("discovering targets") }})
		res := ask(t, s, remote, "GET", path, "")
		if body := text(t, res); res.StatusCode != code || !strings.Contains(body, "discovering targets") || res.Header.Get("X-Prometheus-Stopping") != stopping {
			t.Errorf("GET %s = %d %q, want %d and the reason", path, res.StatusCode, body, code)
		}
		if res := ask(t, s, remote, "GET", "/-/healthy", ""); res.StatusCode != 200 {
			t.Errorf("GET /-/healthy = %d, want 200 though it is not ready", res.StatusCode)
		}
	}
	f(config.VMAgent, "/-/ready", 503, "")
	f(config.VMAgent, "/ready", 425, "")
	f(config.Prometheus, "/-/ready", 503, "false")
	f(config.Prometheus, "/ready", 503, "false")
}

func TestHeaders(t *testing.T) {
	s := newServer(t, options())
	for _, path := range []string{"/", "/targets", "/api/v1/targets", "/config", "/health", "/nothing", "/assets/app.js"} {
		h := ask(t, s, local, "GET", path, "").Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Access-Control-Allow-Origin": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("GET %s: %s = %q, want %q", path, name, got, want)
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy = %q, want one which allows nothing inline", path, csp)
		}
	}
}

// TestAssetsMayBeKept: an asset's link changes with its content, so it is cached; without the version it is not.
func TestAssetsMayBeKept(t *testing.T) {
	s := newServer(t, options())
	page := text(t, ask(t, s, local, "GET", "/", ""))
	_, rest, _ := strings.Cut(page, `<script src="./`)
	link, _, _ := strings.Cut(rest, `"`)
	if res := ask(t, s, local, "GET", "/"+link, ""); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("GET /%s = %d, Cache-Control %q, want 200, immutable", link, res.StatusCode, res.Header.Get("Cache-Control"))
	}
	if res := ask(t, s, local, "GET", "/assets/app.js?v=old", ""); res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an asset's old link has Cache-Control %q, want no-store", res.Header.Get("Cache-Control"))
	}
}

// TestPanicIsAnswered: a bug in one page costs that page.
func TestPanicIsAnswered(t *testing.T) {
	o := options()
	o.Targets = func() scrape.Snapshot { panic("bug") }
	s := newServer(t, o)
	for range maxRenders + 1 { // the turn to render is given back
		if res := ask(t, s, local, "GET", "/targets", ""); res.StatusCode != 500 || strings.Contains(text(t, res), "bug") {
			t.Fatalf("GET /targets = %d, want 500 without details", res.StatusCode)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := options()
	o.Metrics, o.Gather = NewMetrics(reg), reg
	NewMetrics(prometheus.NewRegistry()) // two in one process
	s := newServer(t, o)
	for _, path := range []string{"/targets", "/prometheus/targets", "/a", "/b", "/debug/pprof/x", "/assets/y"} {
		ask(t, s, local, "GET", path, "")
	}
	ask(t, s, remote, "POST", "/-/reload", "")
	got := text(t, ask(t, s, local, "GET", "/metrics", ""))
	for _, want := range []string{
		`scraper_web_requests_total{code="200",path="/targets"} 2`,
		`scraper_web_requests_total{code="404",path="other"} 2`,
		`scraper_web_requests_total{code="404",path="/debug/pprof/"} 1`,
		`scraper_web_requests_total{code="404",path="/assets/"} 1`,
		`scraper_web_requests_total{code="403",path="/-/reload"} 1`,
		`scraper_web_connections 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("/metrics has no line %s:\n%s", want, got)
		}
	}
}
