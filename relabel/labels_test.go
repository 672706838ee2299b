package relabel

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func u64(n uint64) string { return strconv.FormatUint(n, 10) }

func TestLabelsSetGetDel(t *testing.T) {
	var ls Labels
	if ls.Get("a") != "" || ls.Has("a") {
		t.Error("the zero value has a label, want none")
	}
	ls.Set("b", "1")
	ls.Set("a", "2")
	ls.Set("b", "3")
	if diff := cmp.Diff([]Label{{"b", "3"}, {"a", "2"}}, ls.L); diff != "" {
		t.Errorf("after Set b, a, b (-want +got):\n%s", diff)
	}
	ls.Set("b", "")
	ls.Del("none")
	if ls.Has("b") || !ls.Has("a") || len(ls.L) != 1 {
		t.Errorf("after Set(b, \"\"): %v, want a alone", ls.L)
	}
	ls.Del("a")
	if len(ls.L) != 0 {
		t.Errorf("after Del(a): %v, want none", ls.L)
	}
}

func TestLabelsSetMovesFilledLabelsToTheEnd(t *testing.T) {
	ls := labelsOf("a", "1", "b", "2", "c", "3")
	ls.Set("b", "4")
	ls.Set("d", "5")
	ls.Set("b", "6")
	want := []Label{{"a", "1"}, {"c", "3"}, {"b", "6"}, {"d", "5"}}
	if diff := cmp.Diff(want, ls.L); diff != "" {
		t.Errorf("after Set b, d, b (-want +got):\n%s", diff)
	}
	ls.Sort()
	want = []Label{{"a", "1"}, {"b", "6"}, {"c", "3"}, {"d", "5"}}
	if diff := cmp.Diff(want, ls.L); diff != "" {
		t.Errorf("after Sort (-want +got):\n%s", diff)
	}
}

func TestLabelsResetLetsGo(t *testing.T) {
	r := mustCompile(t, Options{},
		Config{Action: "labelmap", Regex: str("(.*)"), Replacement: str("x$1")},
		Config{SourceLabels: []string{"a", "b"}, TargetLabel: "c"})
	ls := labelsOf("a", strings.Repeat("v", 2*maxScratch), "b", "2")
	r.Apply(ls)
	ls.Del("a")
	ls.Reset()
	if len(ls.L) != 0 || cap(ls.joined) > maxScratch || cap(ls.out) > maxScratch {
		t.Errorf("after Reset: %d labels, scratch of %d and %d bytes; want 0, at most %d", len(ls.L), cap(ls.joined), cap(ls.out), maxScratch)
	}
	for _, l := range append(ls.L[:cap(ls.L)], ls.snapshot[:cap(ls.snapshot)]...) {
		if l != (Label{}) {
			t.Errorf("after Reset the memory still holds %v", l)
		}
	}
}

// A value that a rule made of joined sources must not change when the scratch memory is used again.
func TestResultsDoNotShareScratchMemory(t *testing.T) {
	ls := labelsOf("a", "FOO", "b", "bar")
	for _, c := range []Config{
		{SourceLabels: []string{"a", "b"}, TargetLabel: "copy"},
		{SourceLabels: []string{"a", "b"}, Regex: str("(.+);(.+)"), TargetLabel: "group", Replacement: str("$2")},
		{SourceLabels: []string{"a", "b"}, Regex: str("([A-Z]+);([a-z]+)"), TargetLabel: "engine", Replacement: str("$2$1")},
		{SourceLabels: []string{"a", "b"}, Regex: str("(.+);(.+)"), TargetLabel: "$2", Replacement: str("x")},
		{SourceLabels: []string{"b", "b"}, TargetLabel: "lower", Action: "lowercase"},
		{SourceLabels: []string{"a", "a"}, TargetLabel: "upper", Action: "uppercase"},
		{SourceLabels: []string{"a", "b"}, TargetLabel: "hash", Action: "hashmod", Modulus: 1000},
		{SourceLabels: []string{"hash", "hash", "hash"}, TargetLabel: "last", Action: "lowercase"},
	} {
		mustCompile(t, Options{}, c).Apply(ls)
	}
	got := show(ls.L)
	mustCompile(t, Options{}, Config{SourceLabels: []string{"x", "x"}, Separator: str(strings.Repeat("#", 100)), Action: "drop", Regex: str("nothing")}).Apply(ls)
	for i := range ls.out[:cap(ls.out)] {
		ls.out[:cap(ls.out)][i] = '!'
	}
	if again := show(ls.L); again != got {
		t.Errorf("labels changed from %s to %s", got, again)
	}
	want := `a="FOO" b="bar" bar="x" copy="FOO;bar" engine="barFOO" group="bar" hash="` + ls.Get("hash") + `" last="` +
		strings.Join([]string{ls.Get("hash"), ls.Get("hash"), ls.Get("hash")}, ";") + `" lower="bar;bar" upper="FOO;FOO"`
	if got != want {
		t.Errorf("labels are %s, want %s", got, want)
	}
}
