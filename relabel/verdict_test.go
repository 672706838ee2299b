package relabel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scraper/internal/alloctest"
)

// TestApplyIsTrace runs random lists of rules on one set after the other, through memory that is used again, and compares
// with Trace, which runs every rule in order on a set of its own.
func TestApplyIsTrace(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	name := []string{metricName}
	choice := []Config{
		{Action: "drop", SourceLabels: name, Regex: str("go_.*|up")},
		{Action: "drop", SourceLabels: name, Regex: str("")},
		{Action: "keep", SourceLabels: name, Regex: str(".*_total|up|[a-z]+")},
		{Action: "keep", SourceLabels: name, Regex: str(".+")},
		{Action: "drop", SourceLabels: []string{metricName, "pod"}, Regex: str("a_total;.*")},
		{Action: "keep", SourceLabels: []string{metricName, metricName}, Regex: str("(?s).*")},
		{TargetLabel: metricName, SourceLabels: []string{"pod"}, Regex: str("p.(.*)")},
		{TargetLabel: metricName, SourceLabels: name, Regex: str("(.*)_total"), Replacement: str("go_$1")},
		{TargetLabel: "__${1}__", SourceLabels: []string{"to"}, Regex: str("(.*)"), Replacement: str("x$1")},
		{Action: "labelmap", Regex: str("_(.*)"), Replacement: str("_$1")},
		{Action: "labelmap", Regex: str("pod"), Replacement: str(metricName)},
		{Action: "labelmap", Regex: str("(n)(s)?"), Replacement: str("$2$1")},
		{Action: "labeldrop", Regex: str("__.*|(?i)POD")},
		{Action: "labeldrop", Regex: str("(?i)1a|ns|")},
		{Action: "labelkeep", Regex: str("pod|__name__")},
		{Action: "labelkeep", Regex: str("pod|ns")},
		{Action: "uppercase", SourceLabels: name, TargetLabel: metricName},
		{Action: "lowercase", SourceLabels: []string{"ns", "pod"}, TargetLabel: "ns"},
		{Action: "hashmod", SourceLabels: name, TargetLabel: "shard", Modulus: 7},
		{SourceLabels: []string{"ns", "pod"}, TargetLabel: "both", Regex: str("(.+);(.+)"), Replacement: str("$2/$1")},
		{Action: "keepequal", SourceLabels: []string{"ns"}, TargetLabel: "pod"},
	}
	values := map[string][]string{
		metricName: {"up", "go_gc", "a_total", "b_total", "", strings.Repeat("n", maxScratch+1)},
		"pod":      {"p-1", "p-2", "", "go_x"},
		"ns":       {"n1", "", "p-1"},
		"to":       {"name", "na", ""},
	}
	for _, transient := range []bool{false, true} {
		got := &Labels{Transient: transient, MaxBytes: 1 << 20}
		for range 400 {
			cfgs := make([]Config, 1+rnd.IntN(5))
			for i := range cfgs {
				cfgs[i] = choice[rnd.IntN(len(choice))]
			}
			r := mustCompile(t, Options{}, cfgs...)
			for range 6 {
				want := &Labels{}
				got.Reset()
				for _, n := range []string{metricName, "ns", "pod", "to"} {
					if v := values[n][rnd.IntN(len(values[n]))]; v != "" {
						want.L = append(want.L, Label{n, v})
						got.L = append(got.L, Label{n, v})
					}
				}
				in := fmt.Sprint(want.L)
				wantKept := r.Trace(want, func(int, []Label, []Label, bool) {})
				if kept := r.Apply(got); kept != wantKept || kept && !slices.Equal(got.L, want.L) {
					t.Fatalf("Transient %v, %v: Apply(%.200s) = %v, %v, want %v, %v", transient, r, in, kept, got.L, wantKept, want.L)
				}
			}
		}
	}
}

// TestTransientSetsAllocateNothing pins that a set which is used again costs no allocation, though each series is new.
func TestTransientSetsAllocateNothing(t *testing.T) {
	if viewsAreCopies {
		t.Skip("views are copies")
	}
	r := mustCompile(t, Options{},
		Config{SourceLabels: []string{"namespace", "pod"}, TargetLabel: "owner", Regex: str("(.+);(.+)"), Replacement: str("$2/$1")},
		Config{TargetLabel: "x_$1", SourceLabels: []string{"pod"}, Regex: str("(.+)-.*")},
		Config{Action: "labelmap", Regex: str("na(.+)"), Replacement: str("x_${1}_y")},
		hashModRule,
	)
	base := sampleLabels()
	pods := []string{"a-1", "b-2", "c-3"}
	ls, i := &Labels{Transient: true}, 0
	alloctest.WantAllocs(t, 0, func() {
		ls.Reset()
		ls.L = append(ls.L, base.L...)
		ls.Set("pod", pods[i%len(pods)])
		i++
		r.Apply(ls)
	})
}
