package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// addFiles makes seeds of the configurations in testdata.
func addFiles(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true)
		f.Add(text, false)
	}
}

// FuzzParse checks that no text makes Parse panic, that it either fails or fills in defaults, and that the
// same text gives the same again. Run it with -fuzzminimizetime=10x: the seeds are long.
func FuzzParse(f *testing.F) {
	addFiles(f)
	for _, place := range secretPlaces {
		f.Add([]byte(place), false)
	}
	for _, text := range []string{"", "a: &a [*a]", "<<: {a: b}", "? [a]\n: b", "global: {scrape_interval: 1.5s}", "%{A}: %{B}", "--- a\n--- b", "a: !!binary x"} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, prometheus bool) {
		o := Options{Getenv: env(map[string]string{"A": "a", "B": "%{A}\n- b"}), BaseDir: "/base"}
		if prometheus {
			o.Dialect = Prometheus
		}
		c, err := Parse(text, o)
		if err != nil {
			if c != nil {
				t.Error("Parse returned both a configuration and an error")
			}
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "config:") {
					t.Errorf("the error line %q names no file", line)
				}
			}
			return
		}
		for _, j := range c.Jobs {
			if j.Name == "" || j.ScrapeInterval <= 0 || j.ScrapeTimeout <= 0 || j.ScrapeTimeout > j.ScrapeInterval ||
				j.Scheme == "" || j.SampleLimit < 0 || j.LabelLimit < 0 || j.MaxScrapeBytes < 0 {
				t.Errorf("Parse() accepted the job %+v", j)
			}
			if !j.Equal(j) {
				t.Error("a job does not equal itself")
			}
		}
		again, err := Parse(text, o)
		if err != nil || again.Text() != c.Text() || len(again.Jobs) != len(c.Jobs) {
			t.Errorf("Parse() is not repeatable: %v", err)
		}
	})
}

// FuzzParseTargetGroups checks that no text makes it panic.
func FuzzParseTargetGroups(f *testing.F) {
	for _, text := range []string{
		"", "[]", "- targets: [a]\n  labels: {b: c}\n", `[{"targets": ["a"], "labels": {"b": "c"}}]`, "[null]", `[{"targets": [null]}]`, "null", "[1,]",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, json bool) {
		name := "f.yml"
		if json {
			name = "f.json"
		}
		groups, err := ParseTargetGroups(text, name)
		if err != nil && groups != nil {
			t.Error("ParseTargetGroups returned both groups and an error")
		}
		for _, g := range groups {
			if g == nil {
				t.Error("ParseTargetGroups returned a nil group")
			}
		}
	})
}
