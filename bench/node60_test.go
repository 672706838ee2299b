package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
	"scraper/bench/sampler"
	"scraper/bench/sink"
)

// newNode builds the load of a node, without an agent.
func newNode(t *testing.T, rules relabeling, bodies *body.Captured) (*measurement, *node, *sink.Certificate) {
	t.Helper()
	cert, err := sink.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	m := &measurement{token: "secret", samples: &sampler.Sampler{}, bodies: bodies, config: agent.Config{Dir: t.TempDir()}}
	m.farm = farm.New(farm.Options{TLS: cert.Config(), Token: m.token})
	t.Cleanup(m.farm.Close)
	n, err := buildNode(t.Context(), m, rules)
	if err != nil {
		t.Fatal(err)
	}
	return m, n, cert
}

// The numbers of a node: what there is of each kind, how often, and how much that is in all.
func TestNodeLoad(t *testing.T) {
	t.Run("made", func(t *testing.T) { testNodeLoad(t, nil) })
	t.Run("captured", func(t *testing.T) {
		bodies, err := body.ReadCaptured("../../shared/corpus")
		if err != nil {
			t.Skip("there are no captured bodies beside the project")
		}
		testNodeLoad(t, bodies)
	})
}

func testNodeLoad(t *testing.T, bodies *body.Captured) {
	m, _, cert := newNode(t, relabelA, bodies)
	type kind struct {
		path, period string
		tls          bool
		samples      int
	}
	got := make(map[kind]int)
	total, perSecond, openMetrics := 0, 0.0, 0
	var infrastructure int
	for _, target := range m.farm.Targets() {
		n := target.Source.Samples()
		total += n
		perSecond += float64(n) / target.Period.Seconds()
		if target.OpenMetrics != nil {
			openMetrics++
			if o := target.OpenMetrics.Samples(); o != n {
				t.Errorf("a pod has %d samples as OpenMetrics and %d as text", o, n)
			}
		}
		if n > 600 && n < 700 {
			infrastructure += n
			n = 0 // they differ by a few
		}
		if target.Path == "/metrics/cadvisor" {
			n = n / 1000 * 1000
		}
		if !target.Gzip {
			t.Errorf("%s%s is not compressed", target.Address(), target.Path)
		}
		got[kind{target.Path, target.Period.String(), target.TLS, n}]++
	}
	want := map[kind]int{
		{"/metrics", "30s", true, 3000}:           1,
		{"/metrics/probes", "30s", true, 250}:     1,
		{"/metrics/cadvisor", "30s", true, 14000}: 1,
		{"/metrics", "15s", true, 2500}:           1,
		{"/metrics", "30s", false, 0}:             7,
		{"/metrics", "30s", false, 400}:           20,
		{"/metrics", "15s", false, 400}:           10,
		{"/metrics", "30s", false, 1500}:          8,
		{"/metrics", "30s", false, 8000}:          2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("the node has %v, want %v", got, want)
	}
	if targets := len(m.farm.Targets()); targets < 50 || targets > 54 || total < 60_000 || total > 66_000 || perSecond < 2100 || perSecond > 2500 {
		t.Errorf("%d targets, %d series, %.0f samples a second, want about 52, 63,000 and 2,200", targets, total, perSecond)
	}
	if infrastructure < 4450 || infrastructure > 4550 {
		t.Errorf("infrastructure pods have %d series in all, want 4,500", infrastructure)
	}
	if openMetrics < 12 || openMetrics > 14 {
		t.Errorf("%d of 40 pods speak OpenMetrics, want a third", openMetrics)
	}

	// What comes over the wire: TLS, a token, gzip, values which move, explicit timestamps near to now.
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: cert.Pool(), ServerName: sink.ServerName}}}
	defer client.CloseIdleConnections()
	for _, target := range m.farm.Targets() {
		if target.Path != "/metrics/cadvisor" {
			continue
		}
		url := "https://" + target.Address() + target.Path
		if status, _, _ := fetch(t, client, url, ""); status != http.StatusUnauthorized {
			t.Errorf("status without a token = %d, want 401", status)
		}
		_, zipped, first := fetch(t, client, url, m.token)
		_, _, second := fetch(t, client, url, m.token)
		if ratio := float64(len(first)) / float64(zipped); ratio < 19 || ratio > 25 {
			t.Errorf("gzip makes cAdvisor's text smaller by %.1f, want about 22", ratio)
		}
		if first == second {
			t.Error("the values of cAdvisor do not move")
		}
	}
}

// fetch returns a text, and how long it was on the wire.
func fetch(t *testing.T, client *http.Client, url, token string) (status, zipped int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.StatusCode, len(raw), string(raw)
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, len(raw), string(plain)
}

// Bodies of pods have the same metrics, but not the same series once their targets' labels are there, and no two targets
// have the same labels.
func TestNodeLabelsDiffer(t *testing.T) {
	m, _, _ := newNode(t, relabelA, nil)
	seen := make(map[string]bool)
	for _, job := range m.config.Jobs {
		if secure := job.Name == roleKubelet || job.Name == roleCAdvisor || job.Name == roleProbes; secure != job.HonorLabels || !job.HonorTimes {
			t.Errorf("job %s: honor_labels %v, honor_timestamps %v", job.Name, job.HonorLabels, job.HonorTimes)
		}
		if job.TLS != (job.Token != "") {
			t.Errorf("job %s has TLS or a token, but not both", job.Name)
		}
		for _, g := range job.Groups {
			if key := job.Path + g.Targets[0]; seen[key] || len(g.Labels) < 10 {
				t.Errorf("job %s: target %s is there twice, or has too few labels (%d)", job.Name, key, len(g.Labels))
			} else {
				seen[key] = true
			}
		}
	}
	if len(seen) != len(m.farm.Targets()) {
		t.Errorf("%d targets are scraped, want %d", len(seen), len(m.farm.Targets()))
	}
}

// Run A gives eight labels to each target and drops a dozen metrics, run B gives 25 and drops two labels.
func TestRelabelings(t *testing.T) {
	targetLabels := func(rules []agent.Rule, discovered map[string]string) int {
		labels := make(map[string]bool)
		for _, r := range rules {
			if r.Action == "replace" && !strings.HasPrefix(r.TargetLabel, "__") {
				labels[r.TargetLabel] = true
			}
			if r.Action == "labelmap" {
				re := regexp.MustCompile("^(?:" + r.Regex + ")$")
				for name := range discovered {
					if match := re.FindStringSubmatch(name); match != nil {
						labels[match[1]] = true
					}
				}
			}
		}
		return len(labels)
	}
	count := func(rules []agent.Rule, action string) (n int) {
		for _, r := range rules {
			if r.Action == action {
				n++
			}
		}
		return n
	}
	drops := 0
	for _, role := range []string{roleKubelet, roleCAdvisor, roleProbes, roleNode, rolePod} {
		rules, metricRules, discovered := relabelA(role)
		drops += count(metricRules, "drop")
		if got := targetLabels(rules, discovered); got != 8 {
			t.Errorf("run A gives a %s %d labels, want 8", role, got)
		}
		rules, metricRules, discovered = relabelB(role)
		if role == roleNode || role == rolePod {
			continue
		}
		if got := count(metricRules, "labeldrop"); got != 2 {
			t.Errorf("run B drops %d labels of a %s, want 2", got, role)
		}
		// Beside those of the node: metrics_path, job, node.
		if got := targetLabels(rules, discovered); got != 25+3 {
			t.Errorf("run B gives a %s %d labels, want 28", role, got)
		}
	}
	if drops < 12 || drops > 16 {
		t.Errorf("run A has %d rules which drop metrics, want about a dozen", drops)
	}
	// The rules have to do something.
	_, metricRules, _ := relabelA(roleCAdvisor)
	text := string(body.NewCAdvisor([]body.Pod{newPod(0)}).Next(time.Now()))
	dropped := regexp.MustCompile(metricRules[0].Regex)
	if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		name, _, _ := strings.Cut(line, "{")
		return dropped.MatchString(name)
	}) {
		t.Error("run A drops nothing of cAdvisor's")
	}
}

// What happens on a node in ten minutes: four short jobs a minute which live for 20 s, two restarts whose old container is
// still shown, and one deployment, of which agents are told.
func TestNodeChurn(t *testing.T) {
	m, n, _ := newNode(t, relabelA, nil)
	ctx, cancel := context.WithCancel(t.Context())
	watched := func() string {
		var all []byte
		for _, name := range []string{"targets-applications-15s.json", "targets-applications-30s.json"} {
			text, err := os.ReadFile(filepath.Join(m.config.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		return string(all)
	}
	if err := m.config.Write(agent.Prometheus); err != nil {
		t.Fatal(err)
	}
	before := watched()
	jobs, targets := make(map[int]int), len(m.farm.Targets()) // seconds of life by number
	first := n.next
	for sec := 1; sec <= 600; sec++ {
		n.step(ctx, sec, relabelA)
		for _, j := range n.shortJobs {
			jobs[j.number]++
		}
		if alive := len(n.pods); alive < 59 || alive > 61 {
			t.Fatalf("%d pods after %d s, want 59 and one or two short jobs", alive, sec)
		}
	}
	if len(jobs) != 40 {
		t.Errorf("%d short jobs in ten minutes, want 40", len(jobs))
	}
	lives := 0
	for number, seconds := range jobs {
		if number < first || seconds > 20 {
			t.Errorf("job %d lived for %d s, want 20", number, seconds)
		}
		if seconds == 20 {
			lives++
		}
	}
	if lives < 38 {
		t.Errorf("%d of %d short jobs lived for 20 s", lives, len(jobs))
	}
	restarts := 0
	for _, p := range n.pods {
		restarts += p.Restarts
		if p.Lingering != (p.Restarts > 0) {
			t.Errorf("pod %s: %d restarts, lingering %v", p.Name, p.Restarts, p.Lingering)
		}
	}
	if restarts != 2 {
		t.Errorf("%d restarts in ten minutes, want 2", restarts)
	}
	if got := len(m.farm.Targets()) - targets; got != 5 {
		t.Errorf("a deployment added %d targets, want 5", got)
	}
	after := watched()
	var groups []agent.Group
	if err := json.Unmarshal([]byte(strings.ReplaceAll(after, "][", ",")), &groups); err != nil || len(groups) != 40 || after == before {
		t.Errorf("agents are told of %d applications after a deployment (%v), want 40, five of them others", len(groups), err)
	}
	cancel()
	m.beside.Wait()
}
