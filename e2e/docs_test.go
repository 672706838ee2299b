package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"

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

// TestAlertRules pins that the alert rules of the documentation are such rules.
func TestAlertRules(t *testing.T) {
	text, err := os.ReadFile("../docs/memory.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
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
		if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || !strings.Contains(r.Expr, "scraper_") ||
			strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
			t.Errorf("alert %+v, want a name of its own, an expression and a summary", r)
		}
		seen[r.Alert] = true
		if r.For != "" {
			if _, err := time.ParseDuration(r.For); err != nil {
				t.Errorf("alert %s: for: %v", r.Alert, err)
			}
		}
	}
}
