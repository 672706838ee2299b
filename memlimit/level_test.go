package memlimit

import (
	"testing"
	"time"
)

// TestLadder pins where levels begin, that they rise at once, and that they fall step by step after a calm time.
func TestLadder(t *testing.T) {
	var l ladder
	now := time.Unix(0, 0)
	step := func(after time.Duration, fill float64, collecting bool, want Level) {
		t.Helper()
		now = now.Add(after)
		if got := l.step(now, fill, collecting); got != want {
			t.Errorf("at %v with %.0f %%, collecting %v: %v, want %v", now.Sub(time.Unix(0, 0)), 100*fill, collecting, got, want)
		}
	}
	step(0, 0, false, Normal)
	step(time.Second, 0.59, false, Normal)
	step(time.Second, 0.60, false, Elevated)
	step(time.Second, 0.75, false, High)
	step(time.Second, 0.91, false, Critical)
	step(time.Second, 0.86, false, Critical) // within the margin
	step(time.Hour, 0.86, false, Critical)
	step(time.Second, 0.30, false, Critical) // not calm yet
	step(9*time.Second, 0.30, false, Critical)
	step(time.Second, 0.30, false, High)
	step(5*time.Second, 0.30, false, High)
	step(time.Second, 0.71, false, High) // not calm
	step(time.Second, 0.30, false, High)
	step(10*time.Second, 0.30, false, Elevated)
	step(time.Second, 0.95, false, Critical) // past all levels between
	step(time.Second, 0.10, false, Critical)
	step(10*time.Second, 0.10, false, High)
	step(10*time.Second, 0.10, false, Elevated)
	step(10*time.Second, 0.10, false, Normal)
	step(10*time.Second, 0.10, false, Normal)
	// A collector which is at work all the time counts for a level.
	step(time.Second, 0.10, true, Elevated)
	step(time.Second, 0.65, true, High)
	step(time.Second, 0.95, true, Critical)
	step(time.Second, 0.10, true, Critical)
	step(10*time.Second, 0.10, true, High)
	step(10*time.Second, 0.10, true, Elevated)
	step(time.Hour, 0.10, true, Elevated)
	step(time.Second, 0.10, false, Elevated)
	step(10*time.Second, 0.10, false, Normal)
}
