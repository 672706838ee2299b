package main

import (
	"fmt"
	"strings"
	"testing"
)

// Whatever comes and goes between two texts, each sample is found or learnt, and no series is learnt twice.
func TestLearnt(t *testing.T) {
	var l learnt
	to := &target{job: "load", addr: "127.0.0.1:1"}
	out := newPusher("", "")
	scrape := func(series ...string) {
		t.Helper()
		l.next = 0
		b := out.batch()
		before := b.samples
		b = l.lines([]byte("# HELP x\n"+strings.Join(series, " 1\n")+" 1\n"), to, out, b, 1)
		if got := b.samples - before; got != len(series) {
			t.Errorf("%d samples of %q", got, series)
		}
		out.done(b)
	}
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprintf(`a{x="%d"}`, i))
	}
	scrape(all...)
	scrape(all...)
	scrape(append(all[:3:3], all[5:]...)...)
	scrape(append(append(all[:3:3], `new{y="1"}`, "bare"), all[3:]...)...)
	scrape(append(append(all[:3:3], `new{y="1"}`, "bare"), all[3:]...)...)
	if got := len(l.series); got != 12 {
		t.Errorf("%d series are known, want 12", got)
	}
}
