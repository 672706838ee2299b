package scrape

import (
	"fmt"
	"strings"
	"testing"
)

// TestLargestTargets pins that those come first which take most, and that no more are told of than asked for.
func TestLargestTargets(t *testing.T) {
	w := newWorld(t, Options{})
	if got := w.m.LargestTargets(3); len(got) != 0 {
		t.Errorf("LargestTargets(3) = %v without targets, want none", got)
	}
	config := "scrape_configs:\n"
	for i := range 5 {
		addr := fmt.Sprintf("t%d:80", i)
		var body strings.Builder
		for n := range 100 * (i%3 + 1) {
			fmt.Fprintf(&body, "m%d{t=\"%d\"} 1\n", n, i)
		}
		w.export(addr, body.String())
		config += fmt.Sprintf("- job_name: j%d\n  static_configs: [{targets: ['%s']}]\n", i, addr)
	}
	w.apply(config)
	w.scrapeNow()
	got := w.m.LargestTargets(3)
	if len(got) != 3 || got[0].Job != "j2" || got[0].Series < 300 || got[1].Series < 200 || got[2].Series < 200 || got[0].MemoryBytes == 0 {
		t.Errorf("LargestTargets(3) = %+v, want the largest, and then the two of 200 series", got)
	}
	if got := w.m.LargestTargets(9); len(got) != 5 {
		t.Errorf("LargestTargets(9) has %d targets, want all 5", len(got))
	}
}
