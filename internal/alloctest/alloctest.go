// Package alloctest gates how often a function allocates.
//
// It is for tests alone, and for steady states: warm up what is tested before. It counts the allocations of the whole
// process, so a test that uses it must not be parallel, nor leave goroutines busy.
package alloctest

import (
	"runtime"
	"testing"
)

const (
	// rounds: other goroutines and the runtime allocate now and then, never less than nothing. So the least of a few
	// rounds is what f does.
	rounds = 5
	// runsPerRound: growth which is amortized over as many calls shows as a fraction of an allocation.
	runsPerRound = 100
)

// WantAllocs fails the test when f allocates more than n times per call, on average. Builds which allocate on their own
// account (-race, -tags bufcheck, coverage) call f, but do not count.
func WantAllocs(t testing.TB, n float64, f func()) {
	t.Helper()
	if reason := uncounted(); reason != "" {
		f()
		t.Logf("allocations are not counted in builds with %s", reason)
		return
	}
	if got := measure(f); got > n {
		t.Errorf("%v allocations per call, want at most %v", got, n)
	}
}

func uncounted() string {
	switch {
	case instrumented:
		return "-race or -tags bufcheck"
	case testing.CoverMode() != "":
		return "coverage"
	}
	return ""
}

// measure returns the allocations per call of f. Unlike testing.AllocsPerRun it does not round down, which would hide
// one allocation in every second call.
func measure(f func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f()
	least := ^uint64(0)
	var before, after runtime.MemStats
	for range rounds {
		runtime.ReadMemStats(&before)
		for range runsPerRound {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	return float64(least) / runsPerRound
}
