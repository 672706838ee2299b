package scrape

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestNamesOfJobsAreNotKept pins that a renamed job leaves nothing in the library whose client jobs with a proxy have: it
// keeps what it counts by a client's name for the life of the process.
func TestNamesOfJobsAreNotKept(t *testing.T) {
	w := newWorld(t, Options{})
	for _, name := range []string{"renamed-1", "renamed-2"} {
		w.apply("scrape_configs:\n- job_name: " + name + "\n  proxy_url: http://proxy:3128\n")
	}
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "renamed-") {
					t.Errorf("%s has %v", f.GetName(), m)
				}
			}
		}
	}
}
