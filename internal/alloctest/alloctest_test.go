package alloctest

import (
	"strings"
	"testing"
)

// recorder is a testing.TB which notes failures.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Logf(string, ...any)   {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestWantAllocs(t *testing.T) {
	var sink *[64]byte
	var some []*[64]byte
	calls := 0
	f := func(n float64, wantFail bool, f func()) {
		t.Helper()
		r := &recorder{TB: t}
		WantAllocs(r, n, func() { calls++; f() })
		if uncounted() != "" {
			wantFail = false
		}
		if r.failed != wantFail {
			t.Errorf("WantAllocs(%v) failed: %t, want %t", n, r.failed, wantFail)
		}
	}
	f(0, false, func() {})
	f(0, true, func() { sink = new([64]byte) })
	f(1, false, func() { sink = new([64]byte) })
	f(1, true, func() { sink = new([64]byte); some = append(some[:0:0], sink) })
	f(0, true, func() { // every second call
		if calls%2 == 0 {
			sink = new([64]byte)
		}
	})
	_, _ = sink, some
	if calls == 0 {
		t.Error("WantAllocs did not call its function")
	}
	if reason := uncounted(); instrumented && !strings.Contains(reason, "race") {
		t.Errorf("uncounted() = %q in an instrumented build", reason)
	}
}
