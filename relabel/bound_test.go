package relabel

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestMaxBytes has rules which multiply a value of 900 KB, and looks what is refused, by which rule, and at which cost.
func TestMaxBytes(t *testing.T) {
	const size = 900_000
	times := func(n int, s string) []string { return strings.Fields(strings.Repeat(s+" ", n)) }
	chain := func(n int, c Config) []Config {
		var cfgs []Config
		for i := range n {
			c.Line = 10 + i
			cfgs = append(cfgs, c)
		}
		return cfgs
	}
	a := []string{"a"}
	f := func(name string, maxBytes int, want string, cfgs ...Config) {
		t.Run(name, func(t *testing.T) {
			r := mustCompile(t, Options{}, cfgs...)
			fill := func(ls *Labels, size int) {
				ls.Reset()
				ls.L = append(ls.L, Label{"a", strings.Repeat("x", size)}, Label{strings.Repeat("n", size), "v"})
			}
			for _, transient := range []bool{false, true} {
				ls := &Labels{Transient: transient, MaxBytes: maxBytes}
				for range 2 { // the second time, what is remembered of the first does not hide the reason
					fill(ls, size)
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					kept := r.Apply(ls)
					runtime.ReadMemStats(&after)
					if got := fmt.Sprint(ls.Err()); got != want || kept != (want == "<nil>") {
						t.Errorf("Transient %v: Apply = %v, %s, want %s", transient, kept, got, want)
					}
					if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
						t.Errorf("Transient %v: %d bytes were allocated", transient, n)
					}
				}
				fill(ls, 10)
				r.Apply(ls)
				if err := ls.Err(); err != nil {
					t.Errorf("Transient %v: after Reset a small set is refused: %v", transient, err)
				}
			}
		})
	}
	const most = 1 << 20
	double := Config{SourceLabels: a, TargetLabel: "a", Replacement: str("$1$1")}
	f("one replacement", most, "rule 1: with it, the rules make 900000000 bytes of labels, more than 1048576",
		Config{SourceLabels: a, TargetLabel: "b", Replacement: str(strings.Repeat("$1", 1000))})
	f("a chain", 4<<20, "rule 2 (line 11): with it, the rules make 5400000 bytes of labels, more than 4194304", chain(9, double)...)
	f("just enough", 2*size, "<nil>", double)
	f("one byte too many", 2*size, "rule 1: with it, the rules make 1800001 bytes of labels, more than 1800000",
		Config{SourceLabels: a, TargetLabel: "a", Replacement: str("$1${1}x")})
	f("one byte too many of two rules", 2*size, "rule 2: with it, the rules make 1800005 bytes of labels, more than 1800000",
		Config{SourceLabels: []string{"none"}, TargetLabel: "b", Replacement: str("1234$1")}, Config{SourceLabels: a, TargetLabel: "a", Replacement: str("$1${1}x")})
	f("source labels", most, "rule 1: with it, the rules make 1800001 bytes of labels, more than 1048576",
		Config{SourceLabels: []string{"a", "a"}, TargetLabel: "a"})
	f("a chain of source labels", 4<<20, "rule 2 (line 11): with it, the rules make 5400004 bytes of labels, more than 4194304",
		chain(9, Config{SourceLabels: []string{"a", "a"}, TargetLabel: "a"})...)
	f("in upper case", 4<<20, "rule 2 (line 11): with it, the rules make 5400004 bytes of labels, more than 4194304",
		chain(9, Config{Action: "uppercase", SourceLabels: []string{"a", "a"}, TargetLabel: "a"})...)
	f("in upper case, one label", most, "rule 2: with it, the rules make 1800000 bytes of labels, more than 1048576",
		Config{Action: "uppercase", SourceLabels: a, TargetLabel: "b"}, Config{Action: "uppercase", SourceLabels: a, TargetLabel: "c"})
	for _, action := range []string{"keep", "drop", "keepequal", "dropequal", "hashmod"} {
		c := Config{Action: action, SourceLabels: times(1000, "a")}
		switch action {
		case "keep", "drop":
			c.Regex = str("yy(.*)")
		case "hashmod":
			c.TargetLabel, c.Modulus = "b", 7
		default:
			c.TargetLabel = "b"
		}
		f(action, most, "rule 1: with it, the rules make 900000999 bytes of labels, more than 1048576", c)
	}
	f("a name", most, "rule 1: with it, the rules make 1800002 bytes of labels, more than 1048576",
		Config{SourceLabels: a, TargetLabel: "b_$1$1"})
	f("a name and a value", most, "rule 1: with it, the rules make 1800002 bytes of labels, more than 1048576",
		Config{SourceLabels: a, TargetLabel: "b$1", Replacement: str("c$1")})
	f("labelmap", most, "rule 1: with it, the rules make 900001000 bytes of labels, more than 1048576",
		Config{Action: "labelmap", Regex: str("(.*)"), Replacement: str(strings.Repeat("$1", 1000))})
	f("views", 1, "<nil>", chain(9, Config{SourceLabels: a, TargetLabel: "b"})...)
	f("no limit", 0, "<nil>", double)
	r := mustCompile(t, Options{}, Config{Action: "keep", SourceLabels: times(1000, metricName)})
	ls := &Labels{MaxBytes: most}
	for range 2 {
		ls.Reset()
		ls.Set(metricName, strings.Repeat("n", size))
		if kept := r.Apply(ls); kept || ls.Err() == nil {
			t.Errorf("Apply of a rule by name = %v, %v, want an error", kept, ls.Err())
		}
	}
}

// TestMaxBytesOfParts: where a labelmap rule replaces parts of a name, what it makes at most counts.
func TestMaxBytesOfParts(t *testing.T) {
	c := Config{Action: "labelmap", Regex: str(".)|(x"), Replacement: str("$1" + strings.Repeat("y", 998))}
	r := mustCompile(t, Options{}, c)
	for _, tt := range []struct {
		name string
		kept bool
	}{{"n", true}, {strings.Repeat("n", 2000), false}} {
		ls := &Labels{MaxBytes: 1 << 20, L: []Label{{tt.name, "v"}}}
		if kept := r.Apply(ls); kept != tt.kept || kept != (ls.Err() == nil) {
			t.Errorf("a name of %d bytes: Apply = %v, %v, want %v", len(tt.name), kept, ls.Err(), tt.kept)
		}
	}
}

// TestMaxBytesOfManyLabels: names which a labelmap rule makes count together.
func TestMaxBytesOfManyLabels(t *testing.T) {
	r := mustCompile(t, Options{}, Config{Action: "labelmap", Regex: str("(.*)"), Replacement: str(strings.Repeat("$1", 100))})
	for _, n := range []int{manyLabels / 2, 2 * manyLabels} {
		ls := &Labels{MaxBytes: n * 500}
		for i := range n {
			ls.L = append(ls.L, Label{fmt.Sprintf("l%05d", i), "v"}) // which becomes 600 bytes
		}
		if kept := r.Apply(ls); kept || ls.Err() == nil {
			t.Errorf("%d labels: Apply = %v, %v, want an error", n, kept, ls.Err())
		}
	}
}
