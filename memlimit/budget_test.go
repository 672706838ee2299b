package memlimit

import (
	"slices"
	"testing"
)

// TestSmallest pins that the smallest limit counts, whose it is, and that larger ones are named.
func TestSmallest(t *testing.T) {
	flag, env, cgroup := "flag", "variable", "container"
	for _, c := range []struct {
		name   string
		limits []Limit
		want   Limit
		larger []Limit
	}{
		{"none", []Limit{{flag, 0}, {env, 0}, {cgroup, 0}}, Limit{}, nil},
		{"one", []Limit{{flag, 0}, {env, 5}, {cgroup, 0}}, Limit{env, 5}, nil},
		{"flag below the container", []Limit{{flag, 4}, {env, 0}, {cgroup, 9}}, Limit{flag, 4}, []Limit{{cgroup, 9}}},
		{"flag above the container", []Limit{{flag, 12}, {env, 10}, {cgroup, 9}}, Limit{cgroup, 9}, []Limit{{flag, 12}, {env, 10}}},
		{"equal", []Limit{{flag, 9}, {env, 9}, {cgroup, 9}}, Limit{flag, 9}, nil},
	} {
		least, larger := Smallest(c.limits...)
		if least != c.want || !slices.Equal(larger, c.larger) {
			t.Errorf("%s: Smallest(%v) = %v, %v, want %v, %v", c.name, c.limits, least, larger, c.want, c.larger)
		}
	}
}

// TestRecommend pins that a recommended budget is one in which the use is normal, and the smallest step that is.
func TestRecommend(t *testing.T) {
	const mib = 1 << 20
	for _, used := range []int64{0, mib, 7 * mib, 20 * mib, 42 * mib, 100 * mib, 611 * mib, 5 << 30, 1 << 40} {
		got := recommend(used)
		fill := func(budget int64) float64 { return float64(used) / float64(budget-Reserve(budget)) }
		if levelOf(fill(got)) != Normal {
			t.Errorf("recommend(%d) = %d, of which %.2f are used", used, got, fill(got))
		}
		if less := got - recommendStep; less >= LeastRecommended && levelOf(fill(less)) == Normal {
			t.Errorf("recommend(%d) = %d, and %d would do", used, got, less)
		}
	}
	if got := recommend(42 * mib); got != 80*mib {
		t.Errorf("recommend(42 MiB) = %d MiB, want 80", got/mib)
	}
}

// TestSoftLimit pins that the soft limit leaves room for the reserve and for what is off the heap, and stays above what
// would have the collector run for nothing.
func TestSoftLimit(t *testing.T) {
	const mib = 1 << 20
	for _, budget := range []int64{1, 8 * mib, 48 * mib, 64 * mib, 512 * mib, 4 << 30, 1 << 40} {
		reserve := Reserve(budget)
		if reserve < budget/32 && budget < 1<<30 || reserve > budget/4 {
			t.Errorf("Reserve(%d) = %d, want a small part", budget, reserve)
		}
		for _, off := range []int64{0, budget / 10, budget / 2, budget, 3 * budget} {
			got := softLimit(budget, off)
			if got > budget-reserve || got < (budget-reserve)/4 {
				t.Errorf("softLimit(%d, %d) = %d, want at most %d and a quarter at least", budget, off, got, budget-reserve)
			}
			if off <= budget/2 && got+off+reserve > budget {
				t.Errorf("softLimit(%d, %d) = %d: with the reserve of %d that is more than the budget", budget, off, got, reserve)
			}
		}
	}
	if got, want := softLimit(64*mib, 0), int64(56*mib); got != want {
		t.Errorf("softLimit(64 MiB, 0) = %d, want %d", got, want)
	}
}
