package main

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"

	cgroup "github.com/KimMachineGun/automemlimit/memlimit"

	"scraper/memlimit"
)

// TestMemoryBudget pins which limit counts, that it is said once and from where, and that who asked for more is told.
func TestMemoryBudget(t *testing.T) {
	const mib = 1 << 20
	with := func(n uint64, err error) func() (memlimit.CgroupLimits, error) {
		return (&container{library: func() (uint64, error) { return n, err }}).limits
	}
	none := with(0, cgroup.ErrNoLimit)
	of := func(n uint64) func() (memlimit.CgroupLimits, error) { return with(n, nil) }
	high := func(most, high int64) func() (memlimit.CgroupLimits, error) {
		return func() (memlimit.CgroupLimits, error) { return memlimit.CgroupLimits{Max: most, High: high}, nil }
	}
	for _, c := range []struct {
		name           string
		flag, variable int64
		container      func() (memlimit.CgroupLimits, error)
		want           memlimit.Limit
		says, warns    string // in the log; no warning: none at all
	}{
		{"nothing", 0, math.MaxInt64, none, memlimit.Limit{}, "memory is not limited", ""},
		{"outside of a container", 0, math.MaxInt64, with(0, cgroup.ErrNoCgroup), memlimit.Limit{}, "memory is not limited", ""},
		{"another system", 0, math.MaxInt64, with(0, cgroup.ErrCgroupsNotSupported), memlimit.Limit{}, "memory is not limited", ""},
		{"flag", 64 * mib, math.MaxInt64, none, memlimit.Limit{Source: fromFlag, Bytes: 64 * mib}, "budget_bytes=67108864 source=-memory.limit", ""},
		{"variable", 0, 64 * mib, none, memlimit.Limit{Source: fromVariable, Bytes: 64 * mib}, "source=GOMEMLIMIT", ""},
		{"container", 0, math.MaxInt64, of(64 * mib), memlimit.Limit{Source: fromContainer, Bytes: 64 * mib}, `source="the container's limit"`, ""},
		{"flag below the container", 32 * mib, math.MaxInt64, of(64 * mib), memlimit.Limit{Source: fromFlag, Bytes: 32 * mib}, "source=-memory.limit", ""},
		{"flag above the container", 128 * mib, math.MaxInt64, of(64 * mib), memlimit.Limit{Source: fromContainer, Bytes: 64 * mib}, "container", "by=-memory.limit asked_bytes=134217728 budget_bytes=67108864"},
		{"variable above the container", 0, 128 * mib, of(64 * mib), memlimit.Limit{Source: fromContainer, Bytes: 64 * mib}, "container", "by=GOMEMLIMIT asked_bytes=134217728"},
		{"container without an end", 0, math.MaxInt64, of(math.MaxUint64), memlimit.Limit{Source: fromContainer, Bytes: math.MaxInt64}, "container", ""},
		{"memory.high below the limit", 0, math.MaxInt64, high(64*mib, 56*mib), memlimit.Limit{Source: fromHigh, Bytes: 56 * mib}, `source="the container's memory.high"`, ""},
		{"memory.high alone", 0, math.MaxInt64, high(0, 56*mib), memlimit.Limit{Source: fromHigh, Bytes: 56 * mib}, "memory.high", ""},
		{"memory.high above the limit", 0, math.MaxInt64, high(64*mib, 80*mib), memlimit.Limit{Source: fromContainer, Bytes: 64 * mib}, `source="the container's limit"`, ""},
		{"flag above memory.high", 60 * mib, math.MaxInt64, high(64*mib, 56*mib), memlimit.Limit{Source: fromHigh, Bytes: 56 * mib}, "memory.high", "by=-memory.limit asked_bytes=62914560 budget_bytes=58720256"},
		{"unreadable", 64 * mib, math.MaxInt64, with(0, errors.New("broken")), memlimit.Limit{Source: fromFlag, Bytes: 64 * mib}, "source=-memory.limit", "err=broken"},
		{"too small", 1024, math.MaxInt64, none, memlimit.Limit{Source: fromFlag, Bytes: 1024}, "", "less than an idle agent needs"},
	} {
		var log bytes.Buffer
		got := findBudget(c.flag, c.variable, c.container)
		if got.Limit != c.want {
			t.Errorf("%s: budget %v, want %v", c.name, got.Limit, c.want)
		}
		got.tell(slog.New(slog.NewTextHandler(&log, nil)))
		warned := strings.Contains(log.String(), "level=WARN")
		if !strings.Contains(log.String(), c.says) || warned != (c.warns != "") || !strings.Contains(log.String(), c.warns) {
			t.Errorf("%s: log\n%swant %q and the warning %q", c.name, log.String(), c.says, c.warns)
		}
	}
}

// TestIdleBytes pins that small budgets bound what lies idle, and large ones do not.
func TestIdleBytes(t *testing.T) {
	const mib = 1 << 20
	for budget, want := range map[int64]int64{0: 0, 1024: mib, 48 * mib: 3 * mib, 64 * mib: 4 * mib, 128 * mib: 0, 1 << 40: 0} {
		if got := idleBytes(budget); got != want {
			t.Errorf("idleBytes(%d) = %d, want %d", budget, got, want)
		}
	}
}

// TestLabelBytes pins the bound of the dictionary: what the flag says, else half of the budget, else none.
func TestLabelBytes(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ flag, budget, want int64 }{
		{0, 0, 0},
		{5, 0, 5},
		{5, 64 * mib, 5},
		{0, 64 * mib, 28 * mib},
		{0, 1024, 2 * mib},
	} {
		if got := labelBytes(c.flag, c.budget); got != c.want {
			t.Errorf("labelBytes(%d, %d) = %d, want %d", c.flag, c.budget, got, c.want)
		}
	}
}

// TestBlockBytes pins that small budgets bound blocks, and never allow more than was asked for.
func TestBlockBytes(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		flag, budget int64
		want         int
	}{
		{8 * mib, 0, 8 * mib},
		{8 * mib, 1024, mib},
		{8 * mib, 64 * mib, 2 * mib},
		{mib / 2, 64 * mib, mib / 2},
		{8 * mib, 1 << 40, 8 * mib},
	} {
		if got := blockBytes(c.flag, c.budget); got != c.want {
			t.Errorf("blockBytes(%d, %d) = %d, want %d", c.flag, c.budget, got, c.want)
		}
	}
}

// TestPendingBytes pins that small budgets bound what waits in memory for a destination.
func TestPendingBytes(t *testing.T) {
	const mib = 1 << 20
	for budget, want := range map[int64]int64{0: 0, 1024: 2 * mib, 48 * mib: 6 * mib, 256 * mib: 32 * mib, 512 * mib: 0, 1 << 40: 0} {
		if got := pendingBytes(budget, 2); got != want {
			t.Errorf("pendingBytes(%d, 2) = %d, want %d", budget, got, want)
		}
	}
}
