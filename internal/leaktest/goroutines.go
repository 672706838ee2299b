package leaktest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ignored are frames of goroutines which belong to nobody's test: the runtime starts them when it needs them, and they
// stay.
var ignored = []string{
	"runtime.runFinalizers(",
	"runtime.runCleanups(",
	"runtime.ensureSigM",
	"os/signal.signal_recv(",
	"os/signal.loop(",
	"internal/fuzz.",
	"testing.runFuzzTests(",
	"testing.tRunner(", // a test's own goroutine: Check may run beside its parents
	"testing.(*T).Run(",
}

// snapshot returns the stacks of all goroutines but the caller's, by their number.
func snapshot() map[string]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for i, s := range bytes.Split(buf, []byte("\n\n")) {
		if i == 0 { // the caller's own
			continue
		}
		head, frames, _ := strings.Cut(string(s), "\n")
		id, state, _ := strings.Cut(strings.TrimPrefix(head, "goroutine "), " ")
		if slices.ContainsFunc(ignored, func(f string) bool { return strings.Contains(frames, f) }) {
			continue
		}
		all[id] = state + "\n" + frames
	}
	return all
}

// wait returns the stacks of the goroutines which are not in before, once there are none or patience is over.
func wait(before map[string]string, patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		now := snapshot()
		maps.DeleteFunc(now, func(id, _ string) bool { return before[id] != "" })
		if len(now) == 0 || !time.Now().Before(deadline) {
			return slices.Collect(maps.Values(now))
		}
		runtime.Gosched()
		time.Sleep(pause)
	}
}

// describe lists stacks, the most frequent first, equal ones once.
func describe(stacks []string) string {
	type group struct {
		stack string
		n     int
	}
	groups := make(map[string]*group)
	for _, s := range stacks {
		k := place(s)
		if groups[k] == nil {
			groups[k] = &group{stack: s}
		}
		groups[k].n++
	}
	sorted := slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.stack, b.stack))
	})
	var out strings.Builder
	for _, g := range sorted {
		fmt.Fprintf(&out, "%d × %s\n\n", g.n, g.stack)
	}
	return out.String()
}

// place is what two goroutines at the same place have in common: the lines of source of their stacks.
func place(stack string) string {
	var lines []string
	for l := range strings.Lines(stack) {
		if strings.HasPrefix(l, "\t") {
			l, _, _ = strings.Cut(strings.TrimSpace(l), " +0x")
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}
