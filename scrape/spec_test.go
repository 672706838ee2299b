package scrape

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"scraper/config"
	"scraper/relabel"
)

// labelsOf reads name=value pairs.
func labelsOf(pairs ...string) (ls []relabel.Label) {
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		ls = append(ls, relabel.Label{Name: name, Value: value})
	}
	return ls
}

func text(ls []relabel.Label) string {
	var parts []string
	for _, l := range ls {
		parts = append(parts, l.Name+"="+l.Value)
	}
	return strings.Join(parts, " ")
}

func rulesOf(t *testing.T, cfgs ...relabel.Config) *relabel.Rules {
	t.Helper()
	r, err := relabel.Compile(cfgs, relabel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNewSpec pins what a discovered target becomes, in both dialects.
func TestNewSpec(t *testing.T) {
	job := func() *config.Job {
		return &config.Job{Name: "j", Scheme: "http", MetricsPath: "/metrics", ScrapeInterval: time.Minute, ScrapeTimeout: 10 * time.Second}
	}
	type result struct {
		url, labels string
		err         string // a part of it
		interval    time.Duration
		timeout     time.Duration
	}
	both := []config.Dialect{config.VMAgent, config.Prometheus}
	vm, prom := both[:1], both[1:]
	f := func(name string, dialects []config.Dialect, j *config.Job, group, own string, want result) {
		t.Helper()
		if want.interval == 0 {
			want.interval, want.timeout = time.Minute, 10*time.Second
		}
		for _, d := range dialects {
			s, kept, err := newSpec(j, d, origin{labelsOf(strings.Fields(group)...), labelsOf(strings.Fields(own)...)})
			if want.err != "" {
				if err == nil || !strings.Contains(err.Error(), want.err) || kept {
					t.Errorf("%s, %s: newSpec = %v, kept %v, want an error with %q", name, d, err, kept, want.err)
				}
				if s == nil || len(s.origin.discovered(j, config.Prometheus)) == 0 {
					t.Errorf("%s, %s: a target which cannot be made has no discovered labels", name, d)
				}
				continue
			}
			if err != nil || !kept {
				t.Errorf("%s, %s: newSpec = %v, kept %v", name, d, err, kept)
				continue
			}
			if got := (result{s.url, text(s.labels), "", s.interval, s.timeout}); got != want {
				t.Errorf("%s, %s: newSpec =\n%+v, want\n%+v", name, d, got, want)
			}
		}
	}
	f("plain", both, job(), "", "__address__=a:9100", result{url: "http://a:9100/metrics", labels: "instance=a:9100 job=j"})
	f("the target's labels win over the group's", both, job(), "x=group y=group", "__address__=a:1 x=own",
		result{url: "http://a:1/metrics", labels: "instance=a:1 job=j x=own y=group"})
	f("a group may name job and instance", both, job(), "job=other instance=i", "__address__=a:1",
		result{url: "http://a:1/metrics", labels: "instance=i job=other"})
	f("meta labels go", both, job(), "__meta_x=1 __tmp=2", "__address__=a:1", result{url: "http://a:1/metrics", labels: "instance=a:1 job=j"})
	f("labels steer", both, job(), "__scheme__=https __metrics_path__=/m __scrape_interval__=30s __scrape_timeout__=7s", "__address__=a:1",
		result{url: "https://a:1/m", labels: "instance=a:1 job=j", interval: 30 * time.Second, timeout: 7 * time.Second})
	f("a path without a slash", both, job(), "__metrics_path__=m", "__address__=a:1", result{url: "http://a:1/m", labels: "instance=a:1 job=j"})

	f("no port, as it is", prom, job(), "", "__address__=a", result{url: "http://a/metrics", labels: "instance=a job=j"})
	f("no port", vm, job(), "", "__address__=a", result{url: "http://a/metrics", labels: "instance=a:80 job=j"})
	f("no port, https", vm, job(), "__scheme__=https", "__address__=a", result{url: "https://a/metrics", labels: "instance=a:443 job=j"})
	f("IPv6 without a port", vm, job(), "", "__address__=[::1]", result{url: "http://[::1]/metrics", labels: "instance=[::1]:80 job=j"})
	f("IPv6 with a port", both, job(), "", "__address__=[::1]:8", result{url: "http://[::1]:8/metrics", labels: "instance=[::1]:8 job=j"})
	f("a path in the address", prom, job(), "", "__address__=a:1/x", result{err: `"a:1/x" is not a valid hostname`})
	f("a path in the address", vm, job(), "", "__address__=a:1/x", result{url: "http://a:1/x", labels: "instance=a:1 job=j"})
	f("a URL as address", vm, job(), "", "__address__=https://a/x/y?q=1", result{url: "https://a/x/y?q=1", labels: "instance=a:443 job=j"})
	f("a URL as address", prom, job(), "", "__address__=https://a", result{err: "is not a valid hostname"})
	f("empty scheme and path", vm, job(), "", "__address__=a:1 __scheme__= __metrics_path__=", result{url: "http://a:1/metrics", labels: "instance=a:1 job=j"})
	f("no address", both, job(), "", "x=y", result{err: "no address"})
	f("no host", vm, job(), "", "__address__=/x", result{err: "no address"})
	f("scheme", both, job(), "__scheme__=ftp", "__address__=a:1", result{err: `scheme "ftp"`})
	f("no URL", both, job(), "", "__address__=a:port", result{err: "make no URL"})

	f("interval is no duration", both, job(), "__scrape_interval__=often", "__address__=a:1", result{err: `scrape interval "often"`})
	f("interval is zero", both, job(), "__scrape_interval__=0s", "__address__=a:1", result{err: "scrape interval is zero"})
	f("timeout is no duration", both, job(), "__scrape_timeout__=1", "__address__=a:1", result{err: `scrape timeout "1"`})
	f("timeout is negative", both, job(), "__scrape_timeout__=-1s", "__address__=a:1", result{err: `scrape timeout "-1s"`})
	f("timeout beyond the interval", prom, job(), "__scrape_interval__=5s", "__address__=a:1", result{err: "scrape timeout 10s is greater than the scrape interval 5s"})
	f("timeout beyond the interval", vm, job(), "__scrape_interval__=5s", "__address__=a:1",
		result{url: "http://a:1/metrics", labels: "instance=a:1 job=j", interval: 5 * time.Second, timeout: 5 * time.Second})
	f("durations of Prometheus", both, job(), "__scrape_interval__=1h30m", "__address__=a:1",
		result{url: "http://a:1/metrics", labels: "instance=a:1 job=j", interval: 90 * time.Minute, timeout: 10 * time.Second})
	f("invalid UTF-8", both, job(), "x=a\xffb", "__address__=a:1", result{err: `label "x" is not valid UTF-8`})
	f("invalid UTF-8 which goes", both, job(), "__meta_x=a\xffb", "__address__=a:1", result{url: "http://a:1/metrics", labels: "instance=a:1 job=j"})
	f("user info is not shown", both, job(), "", "__address__=u:secret@a:port", result{err: `address "a:port"`})

	j := job()
	j.Params = url.Values{"a": {"1", "2"}, "b": {""}, "c": {"3"}, "none": {}}
	f("params", both, j, "", "__address__=a:1", result{url: "http://a:1/metrics?a=1&a=2&b=&c=3", labels: "instance=a:1 job=j"})
	f("params by label", both, j, "__param_a=x __param_d=y&z", "__address__=a:1",
		result{url: "http://a:1/metrics?a=x&a=2&b=&c=3&d=y%26z", labels: "instance=a:1 job=j"})
	f("params behind a query", vm, j, "", "__address__=a:1/p?q=1", result{url: "http://a:1/p?q=1&a=1&a=2&b=&c=3", labels: "instance=a:1 job=j"})
	f("a question mark in the path", prom, job(), "__metrics_path__=/p?q", "__address__=a:1", result{url: "http://a:1/p%3Fq", labels: "instance=a:1 job=j"})
	j.Relabel = rulesOf(t, relabel.Config{Action: "labeldrop", Regex: new("__param_[ac]")})
	f("a rule drops params", vm, j, "", "__address__=a:1", result{url: "http://a:1/metrics?b=", labels: "instance=a:1 job=j"})
	f("a rule drops params", prom, j, "", "__address__=a:1", result{url: "http://a:1/metrics?a=1&a=2&b=&c=3", labels: "instance=a:1 job=j"})
	if got := text(mustSpec(t, j).origin.discovered(j, config.Prometheus)); !strings.Contains(got, "__param_a=xxx __param_c=xxx") {
		t.Errorf("the discovered labels are %s, want those of params, hidden", got)
	}

	j = job()
	j.Relabel = rulesOf(t, relabel.Config{SourceLabels: []string{"__meta_addr"}, TargetLabel: "__address__"},
		relabel.Config{TargetLabel: "job", Replacement: new("")}, relabel.Config{TargetLabel: "instance", Replacement: new("i")},
		relabel.Config{TargetLabel: "__scrape_interval__", Replacement: new("20s")})
	f("rules decide", both, j, "__meta_addr=b:2", "__address__=a:1", result{url: "http://b:2/metrics", labels: "instance=i", interval: 20 * time.Second, timeout: 10 * time.Second})
}

func mustSpec(t *testing.T, j *config.Job) *spec {
	t.Helper()
	s, _, err := newSpec(j, config.VMAgent, origin{own: labelsOf("__address__=a:1")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDroppedByRelabeling: the labels before relabeling are what the pages show of such a target.
func TestDroppedByRelabeling(t *testing.T) {
	j := &config.Job{Name: "j", Scheme: "http", MetricsPath: "/metrics", ScrapeInterval: time.Minute, ScrapeTimeout: 10 * time.Second,
		Relabel: rulesOf(t, relabel.Config{Action: "drop", SourceLabels: []string{"x"}, Regex: new("y")})}
	s, kept, err := newSpec(j, config.Prometheus, origin{labelsOf("x=y"), labelsOf("__address__=a:1")})
	want := "__address__=a:1 __always_scrape_classic_histograms__=false __convert_classic_histograms_to_nhcb__=false __metrics_path__=/metrics" +
		" __scheme__=http __scrape_interval__=1m __scrape_native_histograms__=false __scrape_timeout__=10s job=j x=y"
	if kept || err != nil || text(s.origin.discovered(j, config.Prometheus)) != want {
		t.Errorf("newSpec = %s, kept %v, error %v, want %s, dropped", text(s.origin.discovered(j, config.Prometheus)), kept, err, want)
	}
}

// TestSpecKey: what makes two targets of a job one.
func TestSpecKey(t *testing.T) {
	specs := []*spec{
		{url: "http://a/", labels: labelsOf("x=1")},
		{url: "http://a/", labels: labelsOf("x=2")},
		{url: "http://b/", labels: labelsOf("x=1")},
		{url: "http://a/", labels: labelsOf("x=1", "y=1")},
		{url: "http://a/"},
	}
	seen := make(map[specKey]int)
	for i, s := range specs {
		if k, ok := seen[s.key()]; ok {
			t.Errorf("targets %d and %d have the same key", k, i)
		}
		seen[s.key()] = i
	}
	if a, b := (&spec{url: "u", labels: labelsOf("x=1"), interval: 1, origin: origin{own: labelsOf("m=1")}}), (&spec{url: "u", labels: labelsOf("x=1")}); a.key() != b.key() {
		t.Error("interval or discovered labels make another target")
	}
}

func TestShownURL(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := shownURL(in); got != want {
			t.Errorf("shownURL(%q) = %q, want %q", in, got, want)
		}
	}
	f("http://a:1/metrics", "http://a:1/metrics")
	f("http://user:pass@a:1/metrics", "http://a:1/metrics")
	f("https://a/m?token=secret&b=2&token=other", "https://a/m?b=xxx&token=xxx")
	f("https://a/m?only-a-name", "https://a/m?only-a-name=xxx")
	f("https://a/m?b%20c=d", "https://a/m?b+c=xxx")
	f("http://a:port/?token=secret", "(not a URL)")
	for in, want := range map[string]string{
		"a:1": "a:1", "u:p@a:1": "a:1", "https://u:p@a/x@y": "https://a/x@y", "https://a/p?t=secret": "https://a/p?xxx", "/m?x@y": "/m?xxx",
	} {
		if got := shownAddress(in); got != want {
			t.Errorf("shownAddress(%q) = %q, want %q", in, got, want)
		}
	}
	for _, c := range []string{"x", strings.Repeat("é", 100)} {
		if got := cut(c, 51); len(got) > 51+3 || !strings.HasPrefix(got, c[:1]) {
			t.Errorf("cut(%q, 51) = %q", c, got)
		}
	}
}

// TestDroppedSampleIsBounded: pages show some of the dropped targets, and all are counted.
func TestDroppedSampleIsBounded(t *testing.T) {
	w := newWorld(t, Options{})
	var addresses []string
	for i := range 2 * maxDroppedShown {
		addresses = append(addresses, fmt.Sprintf("a%d:80", i))
	}
	w.apply("scrape_configs: [{job_name: j, relabel_configs: [{action: drop, regex: '', source_labels: [x]}], static_configs: [{targets: [" +
		strings.Join(addresses, ",") + "]}]}]\n")
	s := w.m.Snapshot()
	if n := len(w.dropped()); n != maxDroppedShown || s.Jobs[0].Dropped != 2*maxDroppedShown || w.metric("scraper_scrape_targets_dropped") != 2*maxDroppedShown {
		t.Errorf("%d dropped targets are shown, %d counted, want %d and %d", n, s.Jobs[0].Dropped, maxDroppedShown, 2*maxDroppedShown)
	}
}
