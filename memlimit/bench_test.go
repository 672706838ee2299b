package memlimit

import (
	"testing"
	"time"
)

// BenchmarkCheck is what the agent pays each second, its accounts aside; every sixtieth asks the kernel, too.
func BenchmarkCheck(b *testing.B) {
	k := New(Options{Budget: 1 << 30})
	k.Register(Account{Name: "a", Bytes: func() int64 { return 1 << 20 }})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		k.check(now)
	}
}

// BenchmarkBreakdown is what a look at /debug/memory costs.
func BenchmarkBreakdown(b *testing.B) {
	k := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Breakdown(); err != nil {
			b.Skip(err)
		}
	}
}
