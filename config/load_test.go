package config

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commoncfg "github.com/prometheus/common/config"

	"scraper/relabel"
)

// env answers like an environment with these variables.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func mustLoad(t *testing.T, path string, o Options) *Config {
	t.Helper()
	c, err := Load(path, o)
	if err != nil {
		t.Fatalf("Load(%s) = %v", path, err)
	}
	return c
}

func mustParse(t *testing.T, text string, o Options) *Config {
	t.Helper()
	c, err := Parse([]byte(text), o)
	if err != nil {
		t.Fatalf("Parse(%q) = %v", text, err)
	}
	return c
}

// wantSame compares configurations; rules are compared by their meaning.
func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer((*relabel.Rules).Equal), cmp.AllowUnexported(commoncfg.ProxyConfig{})); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

func compile(t *testing.T, h relabel.Hash, rules ...relabel.Config) *relabel.Rules {
	t.Helper()
	r, err := relabel.Compile(rules, relabel.Options{Hash: h})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ptr[T any](v T) *T { return &v }

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func TestLoadPrometheus(t *testing.T) {
	c := mustLoad(t, "testdata/prometheus.yml", Options{Dialect: Prometheus, Getenv: env(map[string]string{"CLUSTER": "eu"})})

	external := []relabel.Label{
		{Name: "cluster", Value: "eu"}, {Name: "price", Value: "$5"}, {Name: "prometheus", Value: "monitoring/k8s"},
		{Name: "prometheus_replica", Value: "$(POD_NAME)"},
	}
	wantSame(t, "Global", c.Global, Global{
		ScrapeInterval: 30 * time.Second, ScrapeTimeout: 10 * time.Second,
		ExternalLabels: external, SampleLimit: 500000, MaxScrapeBytes: 100 << 20,
	})
	wantSame(t, "Warnings", c.Warnings, []string{
		"testdata/prometheus.yml:13: rule_files: an agent does not run this section, it has no effect",
		"testdata/prometheus.yml:15: alerting: an agent does not run this section, it has no effect",
		"testdata/prometheus.yml:25: storage: an agent does not run this section, it has no effect",
	})

	usual := Formats{Protocols: protocols()[1:], Escaping: "allow-utf-8"}
	drop := relabel.Config{
		SourceLabels: []string{"__name__"}, Action: "drop",
		Regex: ptr("container_(network_tcp_usage_total|network_udp_usage_total|tasks_state)"),
	}
	kubelet := &Job{
		Name: "serviceMonitor/monitoring/kubelet/0", ScrapeInterval: 15 * time.Second, ScrapeTimeout: 10 * time.Second,
		MetricsPath: "/metrics/cadvisor", Scheme: "https", HonorLabels: true, EnableCompression: true, Formats: usual,
		MaxScrapeBytes: 100 << 20, SampleLimit: 500000, ExternalLabels: external, Line: 29,
		HTTP: commoncfg.HTTPClientConfig{
			FollowRedirects: true, EnableHTTP2: true,
			TLSConfig:     commoncfg.TLSConfig{InsecureSkipVerify: true, CAFile: "/etc/prometheus/certs/ca.crt"},
			Authorization: &commoncfg.Authorization{Type: "Bearer", CredentialsFile: absolute(t, "testdata/token")},
		},
		FileSD: []*FileSD{{
			Files:           []string{absolute(t, "testdata/targets/kubelet-*.json"), "/etc/prometheus/more.yml"},
			RefreshInterval: 5 * time.Minute,
		}},
		Relabel: compile(t, relabel.HashMD5,
			relabel.Config{SourceLabels: []string{"job"}, TargetLabel: "__tmp_prometheus_job_name"},
			relabel.Config{
				Action: "keep", Regex: ptr("(kubelet);true"),
				SourceLabels: []string{"__meta_kubernetes_service_label_k8s_app", "__meta_kubernetes_service_labelpresent_k8s_app"},
			},
			relabel.Config{SourceLabels: []string{"__address__", "__tmp_hash"}, TargetLabel: "__tmp_hash", Regex: ptr("(.+);")},
			relabel.Config{SourceLabels: []string{"__tmp_hash"}, TargetLabel: "__tmp_hash", Modulus: 1, Action: "hashmod"},
			relabel.Config{SourceLabels: []string{"__tmp_hash"}, Regex: ptr("0"), Action: "keep"},
		),
		MetricRelabel: compile(t, relabel.HashMD5, drop, relabel.Config{Action: "labeldrop", Regex: ptr("id")}),
	}
	blackbox := &Job{
		Name: "blackbox", ScrapeInterval: time.Minute, ScrapeTimeout: 30 * time.Second,
		MetricsPath: "/probe", Scheme: "http", HonorTimestamps: true, EnableCompression: true, Formats: usual,
		Params:         url.Values{"module": {"http_2xx"}, "token": {"s3cret", "other"}},
		MaxScrapeBytes: 100 << 20, SampleLimit: 500000, LabelLimit: 64, ExternalLabels: external, Line: 69,
		HTTP: commoncfg.DefaultHTTPClientConfig,
		Static: []*StaticGroup{{
			Targets: []string{"https://prometheus.io", "https://user:s3cret@example.org/?key=s3cret"},
			Labels:  []relabel.Label{{Name: "shard", Value: "1"}, {Name: "team", Value: "web"}},
		}},
		Relabel: compile(t, relabel.HashMD5,
			relabel.Config{SourceLabels: []string{"__address__"}, TargetLabel: "__param_target"},
			relabel.Config{TargetLabel: "__address__", Replacement: ptr("127.0.0.1:9115")},
		),
		MetricRelabel: compile(t, relabel.HashMD5, drop),
	}
	node := &Job{
		Name: "node", ScrapeInterval: 30 * time.Second, ScrapeTimeout: 10 * time.Second,
		MetricsPath: "/metrics", Formats: usual, Scheme: "http", HonorTimestamps: true,
		MaxScrapeBytes: 16 << 20, SampleLimit: 2000, ExternalLabels: external, Line: 89,
		Static: []*StaticGroup{{Targets: []string{"localhost:9100"}}},
		HTTP: commoncfg.HTTPClientConfig{
			FollowRedirects: true, EnableHTTP2: true,
			BasicAuth: &commoncfg.BasicAuth{Username: "scraper", Password: "s3cret"},
			ProxyConfig: commoncfg.ProxyConfig{
				ProxyURL:           commoncfg.URL{URL: &url.URL{Scheme: "http", User: url.UserPassword("user", "s3cret"), Host: "proxy:3128"}},
				ProxyConnectHeader: commoncfg.ProxyHeader{"Proxy-Authorization": {"s3cret"}},
			},
			HTTPHeaders: &commoncfg.Headers{Headers: map[string]commoncfg.Header{
				"X-Scope": {Values: []string{"s3cret"}, Files: []string{absolute(t, "testdata/scope")}},
			}},
		},
	}
	if len(c.Jobs) != 3 {
		t.Fatalf("%d jobs, want 3", len(c.Jobs))
	}
	for i, want := range []*Job{kubelet, blackbox, node} {
		wantSame(t, want.Name, c.Jobs[i], want)
	}

	wantSame(t, "RemoteWrites", c.RemoteWrites, []*RemoteWrite{
		{
			URL: "https://user:s3cret@tsdb.example.org/api/v1/write?tenant=s3cret", Name: "main", Timeout: 20 * time.Second,
			Headers: map[string]string{"X-Scope-OrgID": "s3cret"}, Line: 109,
			Relabel: compile(t, relabel.HashMD5, relabel.Config{SourceLabels: []string{"__name__"}, Regex: ptr("go_.*"), Action: "drop"}),
			Queue: QueueConfig{
				Capacity: 10000, MaxShards: 10, MinShards: 2, MaxSamplesPerSend: 5000, BatchSendDeadline: 5 * time.Second,
				MinBackoff: 30 * time.Millisecond, MaxBackoff: 5 * time.Second, RetryOnHTTP429: ptr(true),
			},
			HTTP: commoncfg.HTTPClientConfig{
				FollowRedirects: true,
				OAuth2: &commoncfg.OAuth2{
					ClientID: "scraper", ClientSecret: "s3cret", TokenURL: "https://auth.example.org/token?realm=s3cret",
					Scopes: []string{"write"}, EndpointParams: map[string]string{"resource": "s3cret"},
				},
				TLSConfig: commoncfg.TLSConfig{
					Key:  "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
					Cert: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
				},
			},
		},
		{
			URL: "http://localhost:8428/api/v1/write", Timeout: 30 * time.Second, Line: 143, NoMetadata: true,
			HTTP: commoncfg.HTTPClientConfig{FollowRedirects: true},
		},
	})
}

func TestLoadVMAgent(t *testing.T) {
	usual := Formats{Escaping: "allow-utf-8"}
	c := mustLoad(t, "testdata/vmagent.yml", Options{
		Getenv: env(map[string]string{"NODE_NAME": "node-1", "PASSWORD": "s3cret"}),
	})
	external := []relabel.Label{{Name: "dollar", Value: "${NODE_NAME}"}, {Name: "node", Value: "node-1"}}
	wantSame(t, "Global", c.Global, Global{
		ScrapeInterval: 20 * time.Second, ScrapeTimeout: 20 * time.Second, ExternalLabels: external,
	})
	wantSame(t, "Warnings", c.Warnings, []string{
		"testdata/vmagent.yml:3: scrape_timeout of global: 1m is more than the scrape_interval of 20s, which is used instead",
		`testdata/vmagent.yml:11: scrape_timeout of job "kubelet": 10s is more than the scrape_interval of 7s500ms, which is used instead`,
	})
	wantSame(t, "Jobs", c.Jobs, []*Job{
		{
			Name: "kubelet", ScrapeInterval: 7500 * time.Millisecond, ScrapeTimeout: 7500 * time.Millisecond,
			MetricsPath: "/metrics", Formats: usual, Scheme: "https", MaxScrapeBytes: 16_000_000, ExternalLabels: external, Line: 8,
			HTTP: commoncfg.HTTPClientConfig{
				FollowRedirects: true, EnableHTTP2: true,
				Authorization: &commoncfg.Authorization{Type: "Bearer", CredentialsFile: "/var/run/secrets/kubernetes.io/serviceaccount/token"},
				TLSConfig:     commoncfg.TLSConfig{CAFile: absolute(t, "testdata/ca.crt"), ServerName: "kubelet"},
				HTTPHeaders: &commoncfg.Headers{Headers: map[string]commoncfg.Header{
					"Authorization": {Secrets: []commoncfg.Secret{"Custom s3cret"}},
					"X-Scope":       {Secrets: []commoncfg.Secret{"s3cret"}},
				}},
			},
			Static: []*StaticGroup{{Targets: []string{"node-1:10250", "https://node-1:10250/metrics/cadvisor?x=s3cret"}}},
			Relabel: compile(t, relabel.HashXXHash,
				relabel.Config{Action: "labelmap", Regex: ptr("__meta_kubernetes_node_label_(.+)")},
				relabel.Config{SourceLabels: []string{"__address__"}, Modulus: 4, TargetLabel: "shard", Action: "hashmod"},
				relabel.Config{SourceLabels: []string{"shard"}, Regex: ptr("0|2|3"), TargetLabel: "part"},
			),
			MetricRelabel: compile(t, relabel.HashXXHash,
				relabel.Config{SourceLabels: []string{"__name__"}, Regex: ptr("true"), Action: "drop"}),
		},
		{
			Name: "files", ScrapeInterval: 20 * time.Second, ScrapeTimeout: 20 * time.Second,
			MetricsPath: "/metrics", Scheme: "http", HonorTimestamps: true, EnableCompression: true, Formats: usual, ExternalLabels: external, Line: 43,
			HTTP: commoncfg.HTTPClientConfig{
				FollowRedirects: true, EnableHTTP2: true,
				BasicAuth: &commoncfg.BasicAuth{Username: "u", Password: "s3cret"},
			},
			FileSD: []*FileSD{{Files: []string{absolute(t, "testdata/sd/*.yml"), "/etc/sd/targets"}}},
		},
	})
}

func TestEmptyFiles(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "# nothing\n", "---\n", "--- # a document\n...\n", "{}", "global:\n", "scrape_configs:\n",
		"global: {}\nscrape_configs: []\nremote_write: []\nrule_files: []\nalerting:\n",
	} {
		c := mustParse(t, text, Options{})
		want := Global{ScrapeInterval: time.Minute, ScrapeTimeout: 10 * time.Second}
		wantSame(t, text, c.Global, want)
		if len(c.Jobs)+len(c.RemoteWrites)+len(c.Warnings) > 0 {
			t.Errorf("Parse(%q) = %+v, want nothing but defaults", text, c)
		}
	}
}

// TestIntervals pins which interval and timeout hold, in both dialects.
func TestIntervals(t *testing.T) {
	f := func(global, job string, interval, timeout time.Duration) {
		t.Helper()
		for _, dialect := range []Dialect{VMAgent, Prometheus} {
			c := mustParse(t, "global: {"+global+"}\nscrape_configs: [{job_name: x, "+job+"}]", Options{Dialect: dialect})
			if j := c.Jobs[0]; j.ScrapeInterval != interval || j.ScrapeTimeout != timeout || len(c.Warnings) > 0 {
				t.Errorf("%s, {%s} and {%s} = %s and %s, %q, want %s and %s",
					dialect, global, job, j.ScrapeInterval, j.ScrapeTimeout, c.Warnings, interval, timeout)
			}
		}
	}
	s := time.Second
	f("", "", 60*s, 10*s)
	f("scrape_interval: 5s", "", 5*s, 5*s)
	f("scrape_timeout: 30s", "", 60*s, 30*s)
	f("scrape_timeout: 30s", "scrape_interval: 15s", 15*s, 15*s)
	f("scrape_interval: 15s", "scrape_interval: 2m", 120*s, 10*s)
	f("scrape_interval: 15s", "scrape_interval: 2m, scrape_timeout: 90s", 120*s, 90*s)
	f("scrape_interval: 5s", "scrape_interval: 1m", 60*s, 5*s)
	f("scrape_interval: 0s, scrape_timeout: 0", "scrape_interval: 0, scrape_timeout: 0s", 60*s, 10*s)
	f("scrape_interval: ", "scrape_timeout: null", 60*s, 10*s)
}

// TestDialects pins the contradictions which a configuration file decides.
func TestDialects(t *testing.T) {
	const text = `
global: {external_labels: {l: "$X ${X} $$"}}
scrape_configs:
- job_name: x
  relabel_configs:
  - {source_labels: [a], target_label: b, regex: null, separator: null, replacement: null}
  - {source_labels: [a], target_label: b, modulus: 8, action: hashmod}
`
	getenv := env(map[string]string{"X": "x"})
	vm := mustParse(t, text, Options{Getenv: getenv}).Jobs[0]
	prom := mustParse(t, text, Options{Dialect: Prometheus, Getenv: getenv}).Jobs[0]

	if vm.HonorTimestamps || !prom.HonorTimestamps {
		t.Errorf("honor_timestamps = %v and %v, want false and true", vm.HonorTimestamps, prom.HonorTimestamps)
	}
	wantSame(t, "vmagent's external labels", vm.ExternalLabels, []relabel.Label{{Name: "l", Value: "$X ${X} $$"}})
	wantSame(t, "Prometheus' external labels", prom.ExternalLabels, []relabel.Label{{Name: "l", Value: "x x $"}})

	rule := relabel.Config{SourceLabels: []string{"a"}, TargetLabel: "b"}
	hashmod := relabel.Config{SourceLabels: []string{"a"}, TargetLabel: "b", Modulus: 8, Action: "hashmod"}
	wantSame(t, "vmagent's rules", vm.Relabel, compile(t, relabel.HashXXHash, rule, hashmod))
	rule.Regex, rule.Separator, rule.Replacement = ptr(""), ptr(""), ptr("")
	wantSame(t, "Prometheus' rules", prom.Relabel, compile(t, relabel.HashMD5, rule, hashmod))
}

func TestUnsetExternalLabelVariableWarns(t *testing.T) {
	c := mustParse(t, "global:\n  external_labels:\n    a: x${NO}y", Options{Dialect: Prometheus})
	wantSame(t, "labels", c.Global.ExternalLabels, []relabel.Label{{Name: "a", Value: "xy"}})
	wantSame(t, "warnings", c.Warnings, []string{
		`config:3: label "a" of external_labels of global: the environment variable "NO" is not set, it counts as empty`,
	})
}

// A name that is not set stays, as vmagent leaves it, but not in silence. Comments may name whatever they like.
func TestUnsetReferenceWarns(t *testing.T) {
	text := "# %{COMMENT}\nglobal:\n  external_labels: {a: '%{SET}', b: 'x%{NO}y%{NO}'}\nscrape_configs:\n- job_name: '%{NO}'\n" +
		"  static_configs:\n  - targets: ['%{NODE}:1']\n  basic_auth: {username: u, password: 'a%{geheim}'}\n"
	for _, dialect := range []Dialect{VMAgent, Prometheus} {
		c := mustParse(t, text, Options{Dialect: dialect, Getenv: env(map[string]string{"SET": "1"})})
		wantSame(t, "labels", c.Global.ExternalLabels, []relabel.Label{{Name: "a", Value: "1"}, {Name: "b", Value: "x%{NO}y%{NO}"}})
		wantSame(t, "warnings", c.Warnings, []string{
			"config:3: %{NO} stays as it is: there is no such environment variable",
			"config:7: %{NODE} stays as it is: there is no such environment variable",
			"config:8: %{NAME} stays as it is: there is no such environment variable",
		})
	}
}

func TestVMAgentTargetMayHaveSchemeAndPath(t *testing.T) {
	c := mustParse(t, "scrape_configs: [{job_name: x, static_configs: [{targets: ['http://h:1/p?q=1']}]}]", Options{})
	wantSame(t, "targets", c.Jobs[0].Static, []*StaticGroup{{Targets: []string{"http://h:1/p?q=1"}}})
}

func TestCompression(t *testing.T) {
	f := func(keys string, want bool) {
		t.Helper()
		c := mustParse(t, "scrape_configs: [{job_name: x, "+keys+"}]", Options{})
		if got := c.Jobs[0].EnableCompression; got != want {
			t.Errorf("EnableCompression with {%s} = %v, want %v", keys, got, want)
		}
	}
	f("", true)
	f("enable_compression: false", false)
	f("disable_compression: true", false)
	f("disable_compression: false", true)
	f("disable_compression: true, enable_compression: true", true)
	f("enable_compression: false, disable_compression: false", false)
}

func TestMergeKeysAndAnchors(t *testing.T) {
	c := mustParse(t, `
scrape_configs:
- &base
  job_name: a
  scrape_interval: 5s
  tls_config: &tls {insecure_skip_verify: true}
  static_configs: [{targets: [a:1]}]
- <<: *base
  job_name: b
  scrape_timeout: 2s
- <<: [{job_name: c, metrics_path: /c}, *base]
  tls_config: {<<: *tls, server_name: c}
`, Options{})
	a, b, cc := c.Jobs[0], c.Jobs[1], c.Jobs[2]
	if b.Name != "b" || b.ScrapeInterval != 5*time.Second || b.ScrapeTimeout != 2*time.Second || !b.Static[0].Equal(a.Static[0]) {
		t.Errorf("job b = %+v", b)
	}
	if cc.Name != "c" || cc.MetricsPath != "/c" || cc.ScrapeInterval != 5*time.Second ||
		!cc.HTTP.TLSConfig.InsecureSkipVerify || cc.HTTP.TLSConfig.ServerName != "c" {
		t.Errorf("job c = %+v", cc)
	}
}

// TestLoadKeepsNothingOfTheText checks that the caller may reuse what it passed to Parse.
func TestLoadKeepsNothingOfTheText(t *testing.T) {
	text := []byte("scrape_configs: [{job_name: name, static_configs: [{targets: [target]}]}]")
	c, err := Parse(text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shown := c.Text()
	for i := range text {
		text[i] = 'x'
	}
	if j := c.Jobs[0]; j.Name != "name" || j.Static[0].Targets[0] != "target" || c.Text() != strings.Clone(shown) || strings.Contains(c.Text(), "xxx") {
		t.Errorf("the configuration changed with the text: %+v", c)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.yml")
	if _, err := Load(missing, Options{}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("Load(missing) = %v, want an error which names the file", err)
	}
	if _, err := Load("http://localhost/scrape.yml", Options{}); err == nil {
		t.Error("Load(URL) = nil, want an error")
	}
	large := filepath.Join(dir, "large.yml")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large, Options{}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("Load(large) = %v, want an error about its size", err)
	}
}

func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("scrape_configs:\n- job_name: x\n  static_configs:\n  - &g\n    targets: &t [")
	b.WriteString(strings.Repeat("a,", 10000) + "a]\n")
	b.WriteString(strings.Repeat("  - *g\n", 10000))
	_, err := Parse([]byte(b.String()), Options{})
	if err == nil || !strings.Contains(err.Error(), "aliases make the file too large") {
		t.Errorf("Parse(alias bomb) = %v, want an error about aliases", cutError(err))
	}
	for _, text := range []string{
		"a: &a [*a]", "scrape_configs: &a [*a]", "scrape_configs: [&a {<<: *a, job_name: x}]", "global: &a {external_labels: *a}",
		"scrape_configs: [{job_name: x, oauth2: {claims: &c {c: *c}}}]",
	} {
		if _, err := Parse([]byte(text), Options{}); err == nil {
			t.Errorf("Parse(%q) = nil, want an error", text)
		}
	}
}

func cutError(err error) string {
	if err == nil {
		return "nil"
	}
	return cut(err.Error())
}

func TestProblemsAreBoundedAndSorted(t *testing.T) {
	var b strings.Builder
	b.WriteString("scrape_configs:\n")
	for range 1000 {
		b.WriteString("- job_name: x\n")
	}
	b.WriteString("zzz: 1\n")
	_, err := Parse([]byte(b.String()), Options{})
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxProblems+1 || lines[len(lines)-1] != "config: and 950 more problems" {
		t.Errorf("%d problems, the last is %q", len(lines), lines[len(lines)-1])
	}
	if _, err := Parse([]byte("b: 1\na: 2\nscrape_configs: 1\nglobal: 1\n"), Options{}); !slices.IsSorted(strings.Split(err.Error(), "\n")) {
		t.Errorf("problems are not in the order of their lines:\n%v", err)
	}
}
