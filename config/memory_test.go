package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestParseMemory holds what a large file takes to a multiple of its size: 33 when this was written, mostly the library's
// nodes. A second tree, or an encoder's events, would be many times that.
func TestParseMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("scrape_configs:\n- job_name: x\n  static_configs:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "  - targets: ['127.0.0.1:%d']\n    labels:\n      host: 'host-%d'\n      zone: 'zone-%d'\n", i, i, i%7)
	}
	text := []byte(b.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := Parse(text, Options{})
	runtime.ReadMemStats(&after)
	if err != nil || len(c.Jobs[0].Static) != 5000 {
		t.Fatalf("Parse = %+v, %v", c, err)
	}
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(48*len(text)); got > most {
		t.Errorf("Parse of %d bytes took %d, want at most %d", len(text), got, most)
	}
	if len(c.source) > len(text)/2 {
		t.Errorf("%d bytes are kept of a file of %d", len(c.source), len(text))
	}
}
