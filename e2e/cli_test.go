package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const goodConfig = `scrape_configs:
- job_name: nobody
  scrape_interval: 1h
  static_configs: [{targets: ['127.0.0.1:1']}]
`

// TestExitCodes runs what a user gets wrong, and what ends by itself.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := writeFile(t, filepath.Join(dir, "good.yml"), goodConfig)
	badYAML := writeFile(t, filepath.Join(dir, "bad.yml"), "scrape_configs:\n- job_name: a\n  static_configs: [\n")
	badKey := writeFile(t, filepath.Join(dir, "key.yml"), "scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n")
	badValue := writeFile(t, filepath.Join(dir, "value.yml"), "scrape_configs:\n- job_name: a\n  scrape_interval: soon\n")
	twice := writeFile(t, filepath.Join(dir, "twice.yml"), "scrape_configs:\n- job_name: a\n- job_name: a\n")
	badURL := writeFile(t, filepath.Join(dir, "url.yml"), "remote_write:\n- url: 'ftp://127.0.0.1/x'\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	const url = "-remoteWrite.url=http://127.0.0.1:1/api/v1/write"

	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stderr []string // which it must contain
		stdout []string
	}{
		{"unknown flag", []string{"-promscrape.conifg=x"}, 2, []string{"-promscrape.conifg"}, nil},
		{"flag without value", []string{url, "-promscrape.config"}, 2, []string{"-promscrape.config"}, nil},
		{"bad duration", []string{"-promscrape.config=" + good, url, "-remoteWrite.flushInterval=soon"}, 2, []string{"-remoteWrite.flushInterval", "soon"}, nil},
		{"bad size", []string{"-promscrape.config=" + good, url, "-promscrape.maxScrapeSize=big"}, 2, []string{"-promscrape.maxScrapeSize", "big"}, nil},
		{"bad level", []string{"-promscrape.config=" + good, url, "-loggerLevel=loud"}, 2, []string{"-loggerLevel", "loud"}, nil},
		{"bad dialect", []string{"-promscrape.config=" + good, url, "-promscrape.dialect=other"}, 2, []string{"-promscrape.dialect", "other"}, nil},
		{"argument", []string{"config.yml"}, 2, []string{"config.yml"}, nil},
		{"both ways to start", []string{"-promscrape.config=" + good, "--config.file=" + good, url}, 2, []string{"-promscrape.config", "--config.file"}, nil},
		{"flag which would change data", []string{"-promscrape.config=" + good, url, "-remoteWrite.streamAggr.config=x"}, 2, []string{"-remoteWrite.streamAggr.config"}, nil},
		{"URL which is none", []string{"-promscrape.config=" + good, "-remoteWrite.url=nowhere"}, 2, []string{"-remoteWrite.url"}, nil},

		{"missing file", []string{"-promscrape.config=" + dir + "/none.yml", url}, 1, []string{dir + "/none.yml"}, nil},
		{"missing file, Prometheus", []string{"--config.file=" + dir + "/none.yml", "--agent"}, 1, []string{dir + "/none.yml"}, nil},
		{"bad YAML", []string{"-promscrape.config=" + badYAML, url}, 1, []string{badYAML + ":3"}, nil},
		{"unknown key", []string{"-promscrape.config=" + badKey, url}, 1, []string{badKey + ":3", "scrape_intervall"}, nil},
		{"bad value", []string{"-promscrape.config=" + badValue, url}, 1, []string{badValue + ":3", "scrape_interval"}, nil},
		{"job twice", []string{"-promscrape.config=" + twice, url}, 1, []string{twice + ":3", `"a"`}, nil},
		{"nowhere to send to", []string{"-promscrape.config=" + good}, 1, []string{"-remoteWrite.url"}, nil},
		{"bad URL", []string{"--config.file=" + badURL, "--agent"}, 1, []string{badURL + ":2"}, nil},
		{"port in use", []string{"-promscrape.config=" + good, url, "-httpListenAddr=" + taken.Addr().String()}, 1, []string{taken.Addr().String(), "-httpListenAddr"}, nil},
		{"port in use and bad file", []string{"-promscrape.config=" + badKey, url, "-httpListenAddr=" + taken.Addr().String()}, 1, []string{badKey + ":3"}, nil},

		{"no certificate", []string{"-promscrape.config=" + good, url, "-tls", "-tlsCertFile=" + dir + "/none.crt", "-tlsKeyFile=" + dir + "/none.key"}, 1, []string{dir + "/none.crt", "-tlsCertFile"}, nil},
		{"no authority's certificate", []string{"-promscrape.config=" + good, url, "-remoteWrite.tlsCAFile=" + dir + "/none.crt"}, 1, []string{dir + "/none.crt"}, nil},

		{"help", []string{"-help"}, 0, nil, []string{"-promscrape.config", "-remoteWrite.url", "--config.file", "demo", "default 1s"}},
		{"help, two dashes", []string{"--help"}, 0, nil, []string{"-promscrape.config"}},
		{"version", []string{"-version"}, 0, nil, []string{"scraper"}},
		{"version, two dashes", []string{"--version"}, 0, nil, []string{"scraper"}},
		{"dry run", []string{"-promscrape.config=" + good, url, "-dryRun"}, 0, nil, nil},
		{"dry run without a receiver", []string{"-promscrape.config=" + good, "-dryRun"}, 0, nil, nil},
		{"dry run of the configuration", []string{"-promscrape.config=" + good, "-promscrape.config.dryRun"}, 0, nil, nil},
		{"dry run, bad", []string{"-promscrape.config=" + badKey, url, "-dryRun"}, 1, []string{badKey + ":3"}, nil},
		{"dry run of the configuration, bad", []string{"-promscrape.config=" + badKey, "-promscrape.config.dryRun"}, 1, []string{badKey + ":3"}, nil},
		{"dry run while it runs elsewhere", []string{"-promscrape.config=" + good, url, "-dryRun", "-httpListenAddr=" + taken.Addr().String()}, 0, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := tt.args
			if !strings.Contains(strings.Join(args, " "), "-httpListenAddr") {
				args = append([]string{"-httpListenAddr=127.0.0.1:0"}, args...) // for those which start by mistake
			}
			code, stdout, stderr := run(t, args...)
			if code != tt.code {
				t.Errorf("scraper %q: exit code = %d, want %d", tt.args, code, tt.code)
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("scraper %q: standard error is %q, want it to name %q", tt.args, stderr, want)
				}
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("scraper %q: standard output is %q, want it to contain %q", tt.args, stdout, want)
				}
			}
			if tt.code == 0 {
				return
			}
			// What goes wrong at the start is one line, and nothing else.
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "scraper: ") {
				t.Errorf("scraper %q: standard error is %q, want one line which begins with scraper:", tt.args, stderr)
			}
		})
	}
}

// TestReloadRefused gives a running agent a configuration which is wrong, in both ways to reload.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	conf := configFile(t, goodConfig)
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url=http://127.0.0.1:1/api/v1/write")
	const gauge = "scraper_config_last_reload_successful"
	want := func(want float64) {
		t.Helper()
		waitFor(t, gauge, func() bool { return a.metrics(t)[gauge] == want })
	}
	want(1)

	writeFile(t, conf, strings.Replace(goodConfig, "1h", "soon", 1))
	status, text := a.reload(t)
	if status != http.StatusInternalServerError || !strings.Contains(text, conf+":3") {
		t.Errorf("POST /-/reload of a bad file = %d %q, want 500 and the line", status, text)
	}
	want(0)
	if _, text := fetch(t, http.MethodGet, a.url+"/config"); !strings.Contains(text, "scrape_interval: 1h") {
		t.Errorf("/config after a refused reload = %q, want the one which runs", text)
	}
	if _, text := fetch(t, http.MethodGet, a.url+"/api/v1/targets"); !strings.Contains(text, "127.0.0.1:1/") {
		t.Errorf("/api/v1/targets after a refused reload = %s, want the target which was there", text)
	}

	writeFile(t, conf, goodConfig)
	a.mustReload(t)
	want(1)

	writeFile(t, conf, "scrape_configs: 5\n")
	a.signal(t, syscall.SIGHUP)
	want(0)
	writeFile(t, conf, strings.Replace(goodConfig, "1h", "2h", 1))
	a.signal(t, syscall.SIGHUP)
	want(1)
	if _, text := fetch(t, http.MethodGet, a.url+"/config"); !strings.Contains(text, "scrape_interval: 2h") {
		t.Errorf("/config after a reload = %q, want the new one", text)
	}
	if status, _ := fetch(t, http.MethodGet, a.url+"/-/reload"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /-/reload = %d, want 405", status)
	}
	for _, path := range []string{"/-/healthy", "/-/ready", "/health", "/targets", "/flags", "/", "/debug/pprof/"} {
		if status, _ := fetch(t, http.MethodGet, a.url+path); status != http.StatusOK {
			t.Errorf("GET %s = %d, want 200", path, status)
		}
	}
	a.terminate(t)
}
