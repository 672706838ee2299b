package scrape

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"scraper/config"
	"scraper/relabel"
)

// TestRulesWhichMultiply: a target whose labels metric relabeling multiplies beyond bounds fails, for that reason, and takes
// no memory for it.
func TestRulesWhichMultiply(t *testing.T) {
	bothDialects(t, func(w *world) {
		double := "{source_labels: [a], target_label: a, replacement: '$1$1'}"
		w.apply(oneJob("metric_relabel_configs:\n  - {source_labels: [a], regex: x, action: drop}\n" + strings.Repeat("  - "+double+"\n", 10)))
		e := w.export("a:80", "good 1\nm{a=\"b\"} 2\n")
		w.run()
		if got := w.pass(tick); value(got, "up") != 1 {
			t.Fatalf("up is %v, want 1: %s", value(got, "up"), w.only().LastError)
		}
		e.set("good 1\nm{a=\"" + strings.Repeat("y", 900_000) + "\"} 2\n")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := w.pass(tick)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%d bytes were allocated", n)
		}
		const part = "with it, the rules make 1800000 bytes of labels, more than 1048576; -promscrape.maxLineSize would allow more"
		if err := w.only().LastError; value(got, "up") != 0 || !strings.HasPrefix(err, "line 2: metric_relabel_configs: rule 2 (line ") || !strings.HasSuffix(err, part) {
			t.Errorf("up is %v, and the error %q, want %q for rule 2", value(got, "up"), err, part)
		}
		e.set("good 1\nm{a=\"c\"} 2\n")
		if got := w.pass(tick); value(got, "up") != 1 || len(own(got)) == 0 {
			t.Errorf("afterwards up is %v, want 1: %s", value(got, "up"), w.only().LastError)
		}
	})
}

// TestTargetRulesWhichMultiply: so is a target whose own labels do so.
func TestTargetRulesWhichMultiply(t *testing.T) {
	double := relabel.Config{SourceLabels: []string{"a"}, TargetLabel: "a", Replacement: new("$1$1"), Line: 7}
	j := &config.Job{Name: "j", Scheme: "http", MetricsPath: "/metrics", ScrapeInterval: time.Minute, ScrapeTimeout: 10 * time.Second,
		Relabel: rulesOf(t, double, double, double, double, double, double, double, double)}
	for size, want := range map[int]string{
		10:      "<nil>",
		100_000: "relabel_configs: rule 3 (line 7): with it, the rules make 1400000 bytes of labels, more than 1048576",
	} {
		s, kept, err := newSpec(j, config.Prometheus, origin{own: labelsOf("__address__=a:1", "a="+strings.Repeat("y", size))})
		if got := fmt.Sprint(err); got != want || kept != (err == nil) || s == nil {
			t.Errorf("a label of %d bytes: newSpec = kept %v, %s, want %s", size, kept, got, want)
		}
	}
}
