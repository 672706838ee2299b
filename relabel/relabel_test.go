package relabel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// str returns a pointer to s, for Config.
func str(s string) *string { return &s }

// labelsOf makes a set out of name, value, name, value, …
func labelsOf(pairs ...string) *Labels {
	ls := &Labels{}
	for i := 0; i < len(pairs); i += 2 {
		ls.L = append(ls.L, Label{pairs[i], pairs[i+1]})
	}
	return ls
}

// show writes a set down, sorted by name.
func show(l []Label) string {
	ls := Labels{L: append([]Label(nil), l...)}
	ls.Sort()
	var b strings.Builder
	for _, l := range ls.L {
		fmt.Fprintf(&b, "%s=%q ", l.Name, l.Value)
	}
	return strings.TrimSuffix(b.String(), " ")
}

func mustCompile(t testing.TB, o Options, cfgs ...Config) *Rules {
	t.Helper()
	r, err := Compile(cfgs, o)
	if err != nil {
		t.Fatalf("Compile(%v) = %v, want no error", cfgs, err)
	}
	return r
}

func TestNilRulesKeepEverything(t *testing.T) {
	var r *Rules
	ls := labelsOf("a", "1")
	if !r.Apply(ls) || !r.Trace(ls, func(int, []Label, []Label, bool) { t.Error("nil.Trace called step, want no call") }) {
		t.Error("nil.Apply or nil.Trace = false, want true")
	}
	if got := show(ls.L); got != `a="1"` {
		t.Errorf("after nil.Apply: %s, want a=\"1\"", got)
	}
	if r.Len() != 0 || r.Configs() != nil || r.String() != "[]" {
		t.Errorf("nil: Len %d, Configs %v, String %s; want 0, nil, []", r.Len(), r.Configs(), r.String())
	}
}

func TestRulesRunInOrderAndADropStopsThem(t *testing.T) {
	r := mustCompile(t, Options{},
		Config{TargetLabel: "a", Replacement: str("x")},
		Config{SourceLabels: []string{"a"}, TargetLabel: "b"},
		Config{SourceLabels: []string{"b"}, Regex: str("x"), Action: "drop"},
		Config{TargetLabel: "c", Replacement: str("never")},
	)
	var steps []string
	kept := r.Trace(labelsOf("a", "1"), func(rule int, before, after []Label, kept bool) {
		steps = append(steps, fmt.Sprintf("%d: %s -> %s %v", rule, show(before), show(after), kept))
	})
	want := []string{
		`0: a="1" -> a="x" true`,
		`1: a="x" -> a="x" b="x" true`,
		`2: a="x" b="x" -> a="x" b="x" false`,
	}
	if diff := cmp.Diff(want, steps); diff != "" || kept {
		t.Errorf("Trace = %v, want false; steps (-want +got):\n%s", kept, diff)
	}
}

// Trace and Apply must never tell different stories.
func TestTraceDoesWhatApplyDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var cfgs []Config
		for range 1 + rng.IntN(5) {
			cfgs = append(cfgs, randomConfig(rng))
		}
		r, err := Compile(cfgs, Options{Hash: Hash(rng.IntN(2))})
		if err != nil {
			continue
		}
		applied := randomLabels(rng)
		traced := &Labels{L: append([]Label(nil), applied.L...)}
		first, last, steps := "", show(traced.L), 0
		kept := r.Trace(traced, func(rule int, before, after []Label, kept bool) {
			first = show(before)
			if first != last || rule != steps {
				t.Errorf("%v: step %d begins as rule %d with %s, want %s", r, steps, rule, first, last)
			}
			last = show(after)
			steps++
		})
		if got := r.Apply(applied); got != kept {
			t.Fatalf("%v: Apply = %v, Trace = %v", r, got, kept)
		}
		if got := show(applied.L); kept && (got != show(traced.L) || got != last || steps != r.Len()) {
			t.Fatalf("%v: Apply makes %s, Trace %s, its last step %s", r, got, show(traced.L), last)
		}
	}
}

func randomConfig(rng *rand.Rand) Config {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	c := Config{Action: pick("replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop",
		"labelkeep", "lowercase", "uppercase")}
	switch c.Action {
	case "labelmap", "labeldrop", "labelkeep":
	default:
		for range rng.IntN(4) {
			c.SourceLabels = append(c.SourceLabels, pick("a", "b", "Ab", "none", "abc"))
		}
		c.TargetLabel = pick("a", "b", "t", "${1}", "t$2")
	}
	switch c.Action {
	case "keepequal", "dropequal":
	default:
		c.Regex = str(pick("(.*)", "(.+)", "a|b|abc", "a(.*)", "(.*);(.*)", "(.)(.*)", "x?(a|b)(c*)", "", "[^a]+", "(.*)b(.*)?"))
	}
	switch c.Action {
	case "hashmod":
		c.Modulus = 1 + rng.Uint64N(100)
	case "replace", "labelmap":
		c.Replacement = str(pick("$1", "x", "${1}_$2", "m_$0", "$2"))
	}
	return c
}

func randomLabels(rng *rand.Rand) *Labels {
	ls := &Labels{}
	for _, name := range []string{"a", "b", "Ab", "abc", "t"} {
		if rng.IntN(3) > 0 {
			ls.L = append(ls.L, Label{name, []string{"", "a", "b", "abc", "ABC", "x;y"}[rng.IntN(6)]})
		}
	}
	return ls
}

func TestEqualComparesMeaning(t *testing.T) {
	base := Config{SourceLabels: []string{"a"}, TargetLabel: "b", Line: 3}
	same := []Config{
		{SourceLabels: []string{"a"}, TargetLabel: "b", Line: 99},
		{Action: "Replace", SourceLabels: []string{"a"}, TargetLabel: "b"},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Separator: str(";"), Regex: str("(.*)"), Replacement: str("$1")},
	}
	other := []Config{
		{SourceLabels: []string{"a", "a"}, TargetLabel: "b"},
		{SourceLabels: []string{"a"}, TargetLabel: "c"},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Separator: str("")},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Regex: str("")},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Replacement: str("")},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Action: "lowercase"},
		{SourceLabels: []string{"a"}, TargetLabel: "b", Modulus: 3},
	}
	r := mustCompile(t, Options{}, base)
	for _, c := range same {
		if !r.Equal(mustCompile(t, Options{}, c)) {
			t.Errorf("%v.Equal(%v) = false, want true", r, c)
		}
	}
	for _, c := range other {
		if r.Equal(mustCompile(t, Options{}, c)) {
			t.Errorf("%v.Equal(%v) = true, want false", r, c)
		}
	}
	if r.Equal(mustCompile(t, Options{Hash: HashXXHash}, base)) {
		t.Error("Equal of rules with another hash = true, want false")
	}
	var none *Rules
	if r.Equal(none) || none.Equal(r) || !none.Equal(none) || !none.Equal(mustCompile(t, Options{})) {
		t.Error("Equal with nil: a nil *Rules must equal empty lists, and only them")
	}
}

func TestCompileKeepsNothingOfItsArgument(t *testing.T) {
	cfgs := []Config{{SourceLabels: []string{"a"}, Regex: str("x"), Action: "drop"}}
	r := mustCompile(t, Options{}, cfgs...)
	cfgs[0].SourceLabels[0], *cfgs[0].Regex, cfgs[0].Action = "b", "y", "keep"
	if r.Apply(labelsOf("a", "x")) {
		t.Error("Apply = true, want false: the rule as it was compiled")
	}
	want := `[{action: drop, source_labels: ["a"], regex: "x"}]`
	if got := r.String(); got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	got := r.Configs()
	got[0].Action = "keep"
	if r.Configs()[0].Action != "drop" {
		t.Error("Configs() returned the rules' own slice, want a copy")
	}
}

func TestRulesAreSafeForConcurrentUse(t *testing.T) {
	r := mustCompile(t, Options{},
		Config{SourceLabels: []string{"a", "b"}, Regex: str("([a-z]+);(.*)"), TargetLabel: "c", Replacement: str("$2-$1")},
		Config{Regex: str("(a)"), Action: "labelmap", Replacement: str("m_$1")},
		Config{SourceLabels: []string{"a", "b"}, TargetLabel: "h", Modulus: 10, Action: "hashmod"},
	)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				ls := labelsOf("a", "x", "b", "y")
				want := `a="x" b="y" c="y-x" h="8" m_a="x"`
				if kept := r.Apply(ls); !kept || show(ls.L) != want {
					t.Errorf("Apply = %v, %s, want true, %s", kept, show(ls.L), want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsNameRuleLineAndReason(t *testing.T) {
	_, err := Compile([]Config{{TargetLabel: "a", Line: 7}, {Action: "drop", Regex: str("(a"), Line: 9}}, Options{})
	want := `relabel: rule 2 (line 9): regex "(a": missing closing ) at "(a"`
	if err == nil || err.Error() != want {
		t.Errorf("Compile = %v, want %s", err, want)
	}
	re, ok := errors.AsType[*RuleError](err)
	if !ok || re.Index != 1 || re.Line != 9 {
		t.Errorf("Compile = %#v, want a *RuleError with index 1 and line 9", err)
	}
	_, err = Compile([]Config{{}}, Options{})
	want = `relabel: rule 1: action replace: target_label is required`
	if err == nil || err.Error() != want {
		t.Errorf("Compile = %v, want %s", err, want)
	}
}

// TestLabelMapOfMany compares the way which large sets take with that of small ones.
func TestLabelMapOfMany(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		pattern := []string{"(.*)", "a(.*)", "a.*", "(a|b)(.*)", "x"}[rnd.IntN(5)]
		replacement := []string{"$1", "a$1", "x", "$2$1"}[rnd.IntN(4)]
		r := mustCompile(t, Options{}, Config{Action: "labelmap", Regex: &pattern, Replacement: &replacement})
		few, many := new(Labels), new(Labels)
		set := map[string]string{}
		for _, name := range []string{"", "a", "aa", "ab", "b", "ba", "x", "xa", "y"} {
			switch value := []string{"", "1", "2"}[rnd.IntN(3)]; rnd.IntN(3) {
			case 0:
				few.L = append(few.L, Label{name, value})
			case 1:
				set[name] = value
			}
		}
		for name, value := range set {
			few.Set(name, value)
		}
		many.L, many.set = slices.Clone(few.L), few.set
		r.Apply(few)
		many.snapshot = slices.Clone(many.L)
		r.rules[0].labelMapMany(many)
		if show(few.L) != show(many.L) || few.set != many.set || !slices.Equal(few.L, many.L) {
			t.Fatalf("labelmap of %s to %s: %s (%d set), want %s (%d set)", pattern, replacement, show(many.L), many.set, show(few.L), few.set)
		}
	}
}
