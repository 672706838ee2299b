package conformance

import (
	"math/rand/v2"
	"strings"
	"testing"

	"scraper/relabel"
)

// Every action, with whatever expressions, templates and labels, does what it does in Prometheus; and rules which
// Prometheus refuses are refused.
func TestRelabelDoesWhatPrometheusDoes(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	n := 15000
	if testing.Short() {
		n = 2000
	}
	compiled, refused := 0, 0
	for range n {
		var cfgs []relabel.Config
		for range 1 + g.IntN(4) {
			cfgs = append(cfgs, g.config())
		}
		if diff := outcome(cfgs, g.labels(), g.labels()); diff != "" {
			t.Fatal(diff)
		}
		if _, err := relabel.Compile(cfgs, relabel.Options{}); err != nil {
			refused++
		} else {
			compiled++
		}
	}
	// The test is worth something only while it makes enough of both.
	if compiled < n/4 || refused < n/20 {
		t.Errorf("of %d lists of rules %d were valid and %d were not, want more of the rarer", n, compiled, refused)
	}
}

// The same with one rule at a time and one label, so that fast paths see every text.
func TestRelabelExpressionsMatchWhatPrometheusMatches(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(7, 8))}
	n := 6000
	if testing.Short() {
		n = 1000
	}
	for range n {
		expr := g.regex(3)
		values := []relabel.Label{{Name: "a", Value: g.value()}, {Name: "b", Value: g.value()}}
		for _, c := range []relabel.Config{
			{Action: "keep", SourceLabels: []string{"a"}, Regex: &expr},
			{SourceLabels: []string{"a", "b"}, Regex: &expr, TargetLabel: "t", Replacement: ptr("<$0|$1|$2|$n>")},
			{Action: "labelmap", Regex: &expr, Replacement: ptr("<$0|$1|$2>")},
		} {
			if diff := outcome([]relabel.Config{c}, values, nil); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func FuzzRelabel(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(9, 10))}
	for range 200 {
		c := g.config()
		var flags byte
		text := func(p *string, bit byte) string {
			if p == nil {
				return ""
			}
			flags |= bit
			return *p
		}
		sep, regex, replacement := text(c.Separator, 1), text(c.Regex, 2), text(c.Replacement, 4)
		f.Add(c.Action, strings.Join(c.SourceLabels, ","), sep, regex, c.TargetLabel, replacement, c.Modulus, flags, g.value(), g.value(), g.name())
	}
	f.Fuzz(func(t *testing.T, action, sources, sep, regex, target, replacement string, modulus uint64, flags byte, a, b, name string) {
		if len(regex) > 100 || len(a)+len(b) > 500 {
			return
		}
		c := relabel.Config{Action: action, TargetLabel: target, Modulus: modulus}
		if sources != "" {
			c.SourceLabels = strings.Split(sources, ",")
		}
		for bit, p := range map[byte]*string{1: &sep, 2: &regex, 4: &replacement} {
			if flags&bit != 0 {
				switch bit {
				case 1:
					c.Separator = p
				case 2:
					c.Regex = p
				case 4:
					c.Replacement = p
				}
			}
		}
		base := []relabel.Label{{Name: "a", Value: a}, {Name: "b", Value: b}}
		if name != "a" && name != "b" && name != "" {
			base = append(base, relabel.Label{Name: name, Value: "v"})
		}
		if diff := outcome([]relabel.Config{c}, base, nil); diff != "" {
			t.Fatal(diff)
		}
	})
}
