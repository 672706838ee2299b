package e2e

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"

	"scraper/config"
	"scraper/receiver"
)

// TestDocumentedMetricsExist compares the metrics which the documentation names with those of a running agent.
func TestDocumentedMetricsExist(t *testing.T) {
	t.Parallel()
	f := startFarm(t, 1)
	x := f.add("x", counting(10))
	s := startSink(t, receiver.Options{CountOnly: true})
	a := startAgent(t, "-promscrape.config="+scrapeConfig(t, f, time.Second, x), "-remoteWrite.url="+s.url, "-memory.limit=256MiB")
	waitFor(t, "a scrape", func() bool { return s.Len() > 0 || s.Totals().Samples > 0 })
	exported := make(map[string]bool)
	for series := range a.metrics(t) {
		name, _, _ := strings.Cut(series, "{")
		exported[name] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			exported[strings.TrimSuffix(name, suffix)] = true
		}
	}
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:scraper|process_resident)_[a-z0-9_]+[a-z0-9]\b`)
	n := 0
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			if n++; !exported[name] && strings.HasPrefix(name, "scraper_") {
				t.Errorf("%s names %s, which the agent does not export", file, name)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d names were found in the documentation, want those of the guide to memory at least", n)
	}
}

// guide returns the guide to memory, and its YAML block which begins so.
func guide(t *testing.T, begins string) (text, block string) {
	t.Helper()
	return yamlBlock(t, "../docs/memory.md", begins)
}

// yamlBlock returns a page, and its YAML block which begins so.
func yamlBlock(t *testing.T, page, begins string) (text, block string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(b), "```yaml\n"+begins)
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("%s has no YAML block which begins with %q", page, begins)
	}
	return string(b), begins + block
}

// TestAlertRules pins that the alert rules of the documentation are such rules: to a reader, and to Prometheus.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	_, block := guide(t, "groups:")
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For string
				Annotations      map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(block), &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 5 {
		t.Fatalf("rules %+v, want a group of several", rules)
	}
	seen := make(map[string]bool)
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || r.Expr == "" {
			t.Errorf("alert %+v, want a name of its own, an expression and a summary", r)
		}
		seen[r.Alert] = true
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool, which Debian's package prometheus has")
	}
	dir := t.TempDir()
	// An agent whose memory was short for a moment an hour ago, one which never was short of it, and one which leaks. Of three
	// pods one is killed for memory after an hour, which its status says from then on, one exits again and again, and one was
	// killed before.
	test := `
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'scraper_memlimit_level{instance="tight"}', values: '0x59 1 0x600'}
  - {series: 'scraper_memlimit_budget_bytes{instance="tight"}', values: '67108864x2000'}
  - {series: 'scraper_memlimit_recommended_bytes{instance="tight"}', values: '67108864x59 100663296x1941'}
  - {series: 'scraper_scrape_memory_held_targets{instance="tight",reason="shed"}', values: '0x59 2x30 0x600'}
  - {series: 'scraper_memlimit_level{instance="wide"}', values: '0x2000'}
  - {series: 'scraper_memlimit_budget_bytes{instance="wide"}', values: '67108864x2000'}
  - {series: 'scraper_memlimit_recommended_bytes{instance="wide"}', values: '33554432x2000'}
  - {series: 'scraper_scrape_memory_held_targets{instance="wide",reason="shed"}', values: '0x2000'}
  - {series: 'scraper_memlimit_live_bytes{instance="leaks"}', values: '10000000+20000x2000'}
  - {series: 'scraper_labelcompress_items{instance="leaks"}', values: '5000x2000'}
  - {series: 'scraper_memlimit_live_bytes{instance="wide"}', values: '10000000+20000x2000'}
  - {series: 'scraper_labelcompress_items{instance="wide"}', values: '5000+10x2000'}
  - {series: 'kube_pod_container_status_last_terminated_reason{namespace="m",pod="killed",container="scraper",reason="OOMKilled"}', values: '_x60 1x1940'}
  - {series: 'kube_pod_container_status_restarts_total{namespace="m",pod="killed",container="scraper"}', values: '3x59 4x1940'}
  - {series: 'kube_pod_container_status_last_terminated_reason{namespace="m",pod="exits",container="scraper",reason="Error"}', values: '1x2000'}
  - {series: 'kube_pod_container_status_restarts_total{namespace="m",pod="exits",container="scraper"}', values: '0+1x2000'}
  - {series: 'kube_pod_container_status_last_terminated_reason{namespace="m",pod="older",container="scraper",reason="OOMKilled"}', values: '1x2000'}
  - {series: 'kube_pod_container_status_restarts_total{namespace="m",pod="older",container="scraper"}', values: '1x2000'}
  alert_rule_test:
  - {eval_time: 1h10m, alertname: ScraperTargetsHeldBack, exp_alerts: [{exp_labels: {instance: tight, reason: shed}}]}
  - {eval_time: 2h, alertname: ScraperTargetsHeldBack, exp_alerts: []}
  - {eval_time: 3h, alertname: ScraperMemoryLimitTooSmall, exp_alerts: [{exp_labels: {instance: tight}}]}
  - {eval_time: 30h, alertname: ScraperMemoryLimitTooSmall, exp_alerts: []}
  - {eval_time: 30h, alertname: ScraperMemoryGrows, exp_alerts: [{exp_labels: {instance: leaks}}]}
  - {eval_time: 50m, alertname: ScraperKilledForMemory, exp_alerts: []}
  - {eval_time: 1h30m, alertname: ScraperKilledForMemory, exp_alerts: [{exp_labels: {namespace: m, pod: killed, container: scraper, reason: OOMKilled}}]}
  - {eval_time: 4h, alertname: ScraperKilledForMemory, exp_alerts: []}
`
	// What the alerts say is not compared.
	bare := regexp.MustCompile(`(?m)^ *annotations:.*\n`).ReplaceAllString(block, "")
	for name, text := range map[string]string{"rules.yml": bare, "whole.yml": block, "test.yml": test} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"check", "rules", "whole.yml"}, {"test", "rules", "test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestManifest: the container of the guide's manifest has a limit of memory, requests all of it, and has what its arguments
// need: each path in them is mounted, and each mount has its volume.
func TestManifest(t *testing.T) {
	_, block := guide(t, "containers:")
	type mount struct {
		Name string
		Path string `yaml:"mountPath"`
	}
	var pod struct {
		Containers []struct {
			Image        string
			Args         []string
			Env          []struct{ Name string }
			Resources    struct{ Requests, Limits map[string]string }
			VolumeMounts []mount `yaml:"volumeMounts"`
		}
		Volumes []struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(block), &pod); err != nil || len(pod.Containers) != 1 {
		t.Fatalf("the manifest: %v, %d containers", err, len(pod.Containers))
	}
	c := pod.Containers[0]
	if m := c.Resources.Limits["memory"]; m == "" || c.Resources.Requests["memory"] != m || len(c.Args) == 0 || c.Image == "" {
		t.Errorf("the manifest's container is %+v, want an image, arguments, a limit of memory, and a request of as much", c)
	}
	if len(c.Env) != 1 || c.Env[0].Name != "NODE_NAME" {
		t.Errorf("the manifest sets %v, want NODE_NAME, which the documented configurations use", c.Env)
	}
	volumes := make(map[string]bool)
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("the manifest mounts %s, which is no volume", m.Name)
		}
	}
	for _, arg := range c.Args {
		_, path, _ := strings.Cut(arg, "=")
		holds := func(m mount) bool { return strings.HasPrefix(path+"/", m.Path+"/") }
		if strings.HasPrefix(path, "/") && !slices.ContainsFunc(c.VolumeMounts, holds) {
			t.Errorf("%s is in no volume of the manifest", arg)
		}
	}
}

// TestDocumentedConfigurations reads the configurations of the documentation in either dialect.
func TestDocumentedConfigurations(t *testing.T) {
	for page, begins := range map[string]string{"../README.md": "global:", "../docs/memory.md": "scrape_configs:"} {
		_, block := yamlBlock(t, page, begins)
		for _, dialect := range []config.Dialect{config.VMAgent, config.Prometheus} {
			asked := ""
			getenv := func(name string) (string, bool) { asked += name; return "node-7", true }
			cfg, err := config.Parse([]byte(block), config.Options{Dialect: dialect, Getenv: getenv})
			if err != nil || len(cfg.Warnings) > 0 || asked != "NODE_NAME" {
				t.Errorf("%s in the dialect %v: %v, %+v, asks the environment for %q; want a good one, which asks for NODE_NAME", page, dialect, err, cfg, asked)
			}
		}
	}
}

// TestSizingRule compares the rule of the guide with its table: it gives no less than what was recommended for a measured
// load, and not much more.
func TestSizingRule(t *testing.T) {
	text, _ := guide(t, "containers:")
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		if err != nil {
			t.Fatalf("the guide: %v", err)
		}
		return n
	}
	rule := regexp.MustCompile(`limit = ([\d.]+) × \(([\d.]+) MiB \+ ([\d.]+) B × series \+ ([\d.]+) KiB × targets \+ ([\d.]+) B × series of the largest target\) \+ ([\d.]+) MiB`).FindStringSubmatch(text)
	if rule == nil {
		t.Fatal("the guide has no rule of the form which is known")
	}
	rows := regexp.MustCompile(`(?m)^\| ([\d,]+) × ([\d,]+) \| .* \| (\d+) MiB \|$`).FindAllStringSubmatch(text, -1)
	if len(rows) < 8 {
		t.Errorf("%d rows of the table were found, want all", len(rows))
	}
	for _, r := range rows {
		targets, each, recommended := number(r[1]), number(r[2]), number(r[3])
		limit := number(rule[1])*(number(rule[2])+(number(rule[3])*targets*each+number(rule[4])*1024*targets+number(rule[5])*each)/(1<<20)) + number(rule[6])
		limit = max(32, 16*math.Ceil(limit/16))
		t.Logf("%s × %s: %.0f MiB by the rule, %.0f were recommended", r[1], r[2], limit, recommended)
		if limit < recommended || limit > 1.35*recommended+16 {
			t.Errorf("%s × %s: the rule gives %.0f MiB, and %.0f were recommended", r[1], r[2], limit, recommended)
		}
	}
}
