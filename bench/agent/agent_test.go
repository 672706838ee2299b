package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseVersion(t *testing.T) {
	f := func(out, version string, modern bool) {
		t.Helper()
		if v, m := parseVersion(out); v != version || m != modern {
			t.Errorf("parseVersion(%q) = %q, %v, want %q, %v", out, v, m, version, modern)
		}
	}
	f("prometheus, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5+deb12u1)\n  go version: go1.19.8\n", "2.42.0+ds", false)
	f("prometheus, version 3.14.0 (branch: HEAD)\n", "3.14.0", true)
	f("vmagent-20240101-101010-tags-v1.150.0-0-gabcdef\n", "1.150.0-0-gabcdef", false)
	f("scraper dev go1.26.8 linux/amd64\n", "scraper dev go1.26.8 linux/amd64", false)
	f("\n", "", false)
}

func TestKindOf(t *testing.T) {
	for name, want := range map[string]Kind{"vmagent-1.150": VMAgent, "prometheus3": Prometheus, "ours": Ours, "ours-prometheus": OursPrometheus, "floor-push": FloorPush} {
		if got, err := KindOf(name); err != nil || got != want {
			t.Errorf("KindOf(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := KindOf("grafana"); err == nil {
		t.Errorf("KindOf(grafana) = %q, want an error", got)
	}
}

// Prometheus 2 and 3 have different names for the agent's mode, and vmagent has its remote write on the command line.
func TestArgs(t *testing.T) {
	c := Config{Dir: "/d", WriteURL: "https://127.0.0.1:1/w", WriteToken: "t", CAFile: "/ca", ServerName: "x"}
	for _, tc := range []struct {
		agent Agent
		want  string
	}{
		{Agent{Kind: Prometheus}, "--enable-feature=agent"},
		{Agent{Kind: Prometheus, modern: true}, "--agent"},
		{Agent{Kind: OursPrometheus}, "--agent"},
		{Agent{Kind: VMAgent}, "-remoteWrite.bearerToken=t"},
		{Agent{Kind: Ours}, "-remoteWrite.tlsServerName=x"},
		{Agent{Kind: Ours, Name: "ours-snappy"}, "-remoteWrite.protocol=1.0"},
		{Agent{Kind: Ours, Name: "ours-2.0"}, "-remoteWrite.protocol=2.0"},
		{Agent{Kind: PrometheusV2, modern: true}, "--agent"},
	} {
		if got := tc.agent.Args(c); !slices.Contains(got, tc.want) {
			t.Errorf("Args of %s = %q, want %q among them", tc.agent.Kind, got, tc.want)
		}
	}
}

// Prometheus 3 can be told to use remote write 2.0; older ones, and others, cannot.
func TestWithVersion2(t *testing.T) {
	a := &Agent{Name: "prometheus-3", Kind: Prometheus, modern: true}
	two := a.WithVersion2()
	if two == nil || two.Name != "prometheus-3-2.0" || !two.Version2() || !two.Variant() || a.Version2() || a.Variant() {
		t.Fatalf("WithVersion2() = %+v", two)
	}
	c := Config{Dir: t.TempDir(), WriteURL: "http://127.0.0.1:1/w"}
	for kind, want := range map[Kind]bool{Prometheus: false, PrometheusV2: true} {
		if err := c.Write(kind); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(c.file())
		if err != nil || strings.Contains(string(text), "io.prometheus.write.v2.Request") != want {
			t.Errorf("%s: configuration %s, %v, want version 2: %v", kind, text, err, want)
		}
	}
	for _, other := range []*Agent{{Name: "prometheus", Kind: Prometheus}, {Name: "vmagent", Kind: VMAgent}} {
		if got := other.WithVersion2(); got != nil {
			t.Errorf("WithVersion2() of %s = %+v, want nil", other.Name, got)
		}
	}
}

func TestWriteConfig(t *testing.T) {
	c := Config{Dir: t.TempDir(), WriteURL: "https://127.0.0.1:1/w", WriteToken: "t", CAFile: "/ca", ServerName: "x", Jobs: []Job{
		{Name: "plain", Interval: 5 * time.Second, Groups: []Group{{Targets: []string{"127.1.0.2:9100"}}}},
		{Name: "secure", Interval: time.Minute, TLS: true, Token: "s", Watched: true, Groups: []Group{{Targets: []string{"127.1.0.3:9100"}}}},
	}}
	if err := c.Write(Prometheus); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.Dir, "scrape.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scrape []map[string]any `json:"scrape_configs"`
		Remote []map[string]any `json:"remote_write"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Remote) != 1 || got.Remote[0]["url"] != c.WriteURL || got.Remote[0]["tls_config"] == nil {
		t.Errorf("remote_write = %v, want the URL with TLS", got.Remote)
	}
	if len(got.Scrape) != 2 || got.Scrape[0]["scrape_timeout"] != "5s" || got.Scrape[0]["static_configs"] == nil ||
		got.Scrape[1]["file_sd_configs"] == nil || got.Scrape[1]["scheme"] != "https" {
		t.Errorf("scrape_configs = %v", got.Scrape)
	}
	targets, err := os.ReadFile(filepath.Join(c.Dir, "targets-secure.json"))
	if err != nil || !strings.Contains(string(targets), "127.1.0.3:9100") {
		t.Errorf("the watched file has %s, %v, want the target", targets, err)
	}
}

// A program which ends at once, one that ends when asked to, and one which does not.
func TestProcess(t *testing.T) {
	script := func(text string) *Agent {
		path := filepath.Join(t.TempDir(), "agent.sh")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return &Agent{Name: "vmagent", Kind: VMAgent, Path: path}
	}
	c := Config{Dir: t.TempDir()}
	p, err := script("echo bad flag >&2; exit 3").Start(c, Launcher{}, "")
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Ended() != "exit status 3" || p.Log() != "bad flag\n" {
		t.Errorf("ended with %q and wrote %q, want exit status 3 and bad flag", p.Ended(), p.Log())
	}
	p, err = script("exec sleep 60").Start(c, Launcher{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if p.Ended() != "" {
		t.Errorf("Ended() = %q while it runs", p.Ended())
	}
	p.Stop(10 * time.Second)
	if want := "signal: " + syscall.SIGTERM.String(); p.Ended() != want {
		t.Errorf("Ended() = %q, want %q", p.Ended(), want)
	}
	p, err = script(`trap "" TERM; while :; do sleep 0.05; done`).Start(c, Launcher{}, "")
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(100 * time.Millisecond)
	if p.Ended() == "" {
		t.Error("an agent which ignores SIGTERM was not killed")
	}
}
