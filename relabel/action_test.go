package relabel

import (
	"strings"
	"testing"
)

// checkRule checks what one rule makes of a set: want is the set that is left, or "dropped".
func checkRule(t *testing.T, c Config, o Options, in *Labels, want string) {
	t.Helper()
	r := mustCompile(t, o, c)
	before := show(in.L)
	got := "dropped"
	if r.Apply(in) {
		got = show(in.L)
	}
	if got != want {
		t.Errorf("%v on %s = %s, want %s", r, before, got, want)
	}
}

func TestReplace(t *testing.T) {
	f := func(name string, c Config, in *Labels, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) { t.Helper(); checkRule(t, c, Options{}, in, want) })
	}
	f("defaults copy the source", Config{SourceLabels: []string{"a"}, TargetLabel: "b"},
		labelsOf("a", "x"), `a="x" b="x"`)
	f("action is case-insensitive", Config{Action: "RePlace", SourceLabels: []string{"a"}, TargetLabel: "b"},
		labelsOf("a", "x"), `a="x" b="x"`)
	f("sources are joined by the separator", Config{SourceLabels: []string{"a", "none", "b"}, TargetLabel: "c"},
		labelsOf("a", "x", "b", "y"), `a="x" b="y" c="x;;y"`)
	f("separator may be empty", Config{SourceLabels: []string{"a", "b"}, Separator: str(""), TargetLabel: "c"},
		labelsOf("a", "x", "b", "y"), `a="x" b="y" c="xy"`)
	f("no source, constant replacement", Config{TargetLabel: "b", Replacement: str("k")},
		labelsOf("a", "x"), `a="x" b="k"`)
	f("empty source overwrites and so deletes the target", Config{SourceLabels: []string{"none"}, TargetLabel: "a"},
		labelsOf("a", "x", "b", "y"), `b="y"`)
	f("empty replacement deletes the target", Config{TargetLabel: "a", Replacement: str("")},
		labelsOf("a", "x", "b", "y"), `b="y"`)
	f("no match changes nothing", Config{SourceLabels: []string{"a"}, Regex: str("y"), TargetLabel: "a", Replacement: str("")},
		labelsOf("a", "x"), `a="x"`)
	f("regex is anchored at both ends", Config{SourceLabels: []string{"a"}, Regex: str("f|o"), TargetLabel: "b"},
		labelsOf("a", "foo"), `a="foo"`)
	f("dot matches newline", Config{SourceLabels: []string{"a"}, Regex: str("line1.*line2"), TargetLabel: "b", Replacement: str("m$$")},
		labelsOf("a", "line1\nline2"), `a="line1\nline2" b="m$"`)
	f("empty regex matches the empty string only", Config{SourceLabels: []string{"a"}, Regex: str(""), TargetLabel: "b", Replacement: str("k")},
		labelsOf("a", "x"), `a="x"`)
	f("empty regex matches an absent source", Config{SourceLabels: []string{"none"}, Regex: str(""), TargetLabel: "b", Replacement: str("k")},
		labelsOf("a", "x"), `a="x" b="k"`)
	f("groups", Config{SourceLabels: []string{"a"}, Regex: str("f(.*);(.*)r"), TargetLabel: "b", Replacement: str("b${1}${2}m")},
		labelsOf("a", "foo;bar"), `a="foo;bar" b="boobam"`)
	f("joined groups", Config{SourceLabels: []string{"a", "b"}, Regex: str("(.*);(.*)"), TargetLabel: "c", Replacement: str("$2")},
		labelsOf("a", "x", "b", "y"), `a="x" b="y" c="y"`)
	f("named groups", Config{SourceLabels: []string{"a"}, Regex: str("some-([^-]+)-(?P<second>[^-]+)"), TargetLabel: "b", Replacement: str("${second}")},
		labelsOf("a", "some-x-y"), `a="some-x-y" b="y"`)
	f("groups in the target", Config{SourceLabels: []string{"a"}, Regex: str("some-([^-]+)-([^-]+)"), TargetLabel: "${1}", Replacement: str("$2")},
		labelsOf("a", "some-name-value"), `a="some-name-value" name="value"`)
	f("target without its group is no name", Config{SourceLabels: []string{"a"}, Regex: str("x(-.+)?"), TargetLabel: "$1", Replacement: str("v")},
		labelsOf("a", "x"), `a="x"`)
	f("target with a group that is not there", Config{SourceLabels: []string{"a"}, TargetLabel: "$9", Replacement: str("v")},
		labelsOf("a", "x"), `a="x"`)
	f("target that is no UTF-8", Config{SourceLabels: []string{"a"}, TargetLabel: "$1", Replacement: str("v")},
		labelsOf("a", "\xff"), `a="\xff"`)
	f("UTF-8 names", Config{SourceLabels: []string{"a.b"}, TargetLabel: "0 ü"},
		labelsOf("a.b", "x"), `0 ü="x" a.b="x"`)
	f("group that took no part is empty and deletes", Config{SourceLabels: []string{"a"}, Regex: str("(b)?x"), TargetLabel: "a"},
		labelsOf("a", "x"), ``)
	f("reference without braces takes all it can", Config{SourceLabels: []string{"a"}, TargetLabel: "b", Replacement: str("$1_$1")},
		labelsOf("a", "x"), `a="x" b="x"`)
	f("target is a source", Config{SourceLabels: []string{"a", "b"}, Regex: str("(.+);(.+)"), TargetLabel: "a", Replacement: str("$2$1")},
		labelsOf("a", "x", "b", "y"), `a="yx" b="y"`)
	f("expression that breaks out of its group", Config{SourceLabels: []string{"a"}, Regex: str("x)|(y"), TargetLabel: "b", Replacement: str("[$0]")},
		labelsOf("a", "xz"), `a="xz" b="[x]"`)
}

func TestKeepAndDrop(t *testing.T) {
	f := func(action string, sources []string, regex string, want bool) {
		t.Helper()
		in := labelsOf("a", "foo", "b", "bar")
		r := mustCompile(t, Options{}, Config{Action: action, SourceLabels: sources, Regex: &regex})
		if got := r.Apply(in); got != want {
			t.Errorf("%v on a=foo b=bar = %v, want %v", r, got, want)
		}
		if got := show(in.L); want && got != `a="foo" b="bar"` {
			t.Errorf("%v changed the set to %s", r, got)
		}
	}
	f("keep", []string{"a"}, "foo", true)
	f("keep", []string{"a"}, "fo", false)
	f("keep", []string{"a"}, "no-match", false)
	f("keep", []string{"a", "b"}, "foo;bar", true)
	f("keep", nil, ".*", true)
	f("keep", nil, ".+", false)
	f("keep", []string{"none"}, "", true)
	f("drop", []string{"a"}, "foo", false)
	f("drop", []string{"a"}, "f|o", true)
	f("drop", []string{"a"}, ".*o.*", false)
	f("drop", []string{"a", "b"}, "[a-z]+;[a-z]+", false)
	f("drop", []string{"none"}, ".+", true)
}

func TestKeepEqualAndDropEqual(t *testing.T) {
	f := func(action string, sources []string, target string, want bool) {
		t.Helper()
		r := mustCompile(t, Options{}, Config{Action: action, SourceLabels: sources, TargetLabel: target})
		if got := r.Apply(labelsOf("a", "x", "b", "x", "c", "y", "ac", "x;y")); got != want {
			t.Errorf("%v = %v, want %v", r, got, want)
		}
	}
	f("keepequal", []string{"a"}, "b", true)
	f("keepequal", []string{"a"}, "c", false)
	f("keepequal", []string{"a", "c"}, "ac", true)
	f("keepequal", []string{"none"}, "none2", true)
	f("dropequal", []string{"a"}, "b", false)
	f("dropequal", []string{"a"}, "c", true)
	f("dropequal", []string{"a", "c"}, "ac", false)
	f("dropequal", nil, "a", true)
}

func TestHashMod(t *testing.T) {
	f := func(h Hash, modulus uint64, value, want string) {
		t.Helper()
		checkRule(t, Config{Action: "hashmod", SourceLabels: []string{"c"}, TargetLabel: "d", Modulus: modulus},
			Options{Hash: h}, labelsOf("c", value), show(labelsOf("c", value, "d", want).L))
	}
	f(HashMD5, 1000, "baz", "976")
	f(HashMD5, 1000, "foo\nbar", "734")
	f(HashMD5, 1, "baz", "0")
	// xxhash64 with seed 0, as its reference vectors have it: "" is 0xef46db3751d8e999, "a" 0xd24ec4f1a98c6e5b,
	// "abc" 0x44bc2cf5ad770999.
	const a, abc = 0xd24ec4f1a98c6e5b, 0x44bc2cf5ad770999
	f(HashXXHash, 1<<63, "a", "5930894301504237147")
	f(HashXXHash, 1000, "a", u64(a%1000))
	f(HashXXHash, 1000, "abc", u64(abc%1000))
	f(HashXXHash, 7, "abc", u64(abc%7))

	checkRule(t, Config{Action: "hashmod", SourceLabels: []string{"none"}, TargetLabel: "d", Modulus: 1000},
		Options{Hash: HashXXHash}, labelsOf(), `d="`+u64(0xef46db3751d8e999%1000)+`"`)
	checkRule(t, Config{Action: "hashmod", SourceLabels: []string{"x", "y"}, Separator: str("\n"), TargetLabel: "d", Modulus: 1000},
		Options{}, labelsOf("x", "foo", "y", "bar"), `d="734" x="foo" y="bar"`)
}

func TestLabelMap(t *testing.T) {
	f := func(name, regex, replacement string, in *Labels, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			checkRule(t, Config{Action: "labelmap", Regex: &regex, Replacement: &replacement}, Options{}, in, want)
		})
	}
	f("copies what matches", "__meta_(.+)", "$1", labelsOf("__meta_a", "1", "__meta_", "2", "b", "3"), `__meta_="2" __meta_a="1" a="1" b="3"`)
	f("overwrites", "__meta_(.+)", "$1", labelsOf("__meta_a", "1", "a", "0"), `__meta_a="1" a="1"`)
	f("constant name", "a", "b", labelsOf("a", "1"), `a="1" b="1"`)
	f("looks at a snapshot", "(.*)", "x$1", labelsOf("a", "1", "xa", "2"), `a="1" xa="1" xxa="2"`)
	f("last one wins", "(a|b)", "c", labelsOf("a", "1", "b", "2"), `a="1" b="2" c="2"`)
	f("an absent label is not copied", "(a)", "b", labelsOf("a", "", "b", "2"), `a="" b="2"`)
	f("several groups", "(.)_(.+)", "$2.$1", labelsOf("a_b", "1"), `a_b="1" b.a="1"`)
	f("engine", "([^_]+)_([a-z]+)", "${2}_$1", labelsOf("a_b", "1", "_x", "2"), `_x="2" a_b="1" b_a="1"`)
	f("expression that breaks out of its group", "a)|(b", "[$0]", labelsOf("axb", "1", "bxb", "2"), `[a]x[b]="1" axb="1" bx[b]="2" bxb="2"`)

	// The later label wins, and a label that was set stands after those that were not.
	r := mustCompile(t, Options{}, Config{TargetLabel: "a", Replacement: str("3")}, Config{Action: "labelmap", Regex: str("a|b"), Replacement: str("c")})
	ls := labelsOf("a", "1", "b", "2")
	if r.Apply(ls); ls.Get("c") != "3" {
		t.Errorf("c = %q, want 3", ls.Get("c"))
	}
}

func TestLabelDropAndLabelKeep(t *testing.T) {
	f := func(action, regex, want string) {
		t.Helper()
		checkRule(t, Config{Action: action, Regex: &regex}, Options{}, labelsOf("a", "1", "b1", "2", "b2", "3", "c", "4"), want)
	}
	f("labeldrop", "b.*", `a="1" c="4"`)
	f("labeldrop", "b", `a="1" b1="2" b2="3" c="4"`)
	f("labeldrop", "a|c", `b1="2" b2="3"`)
	f("labelkeep", "b.*", `b1="2" b2="3"`)
	f("labelkeep", "[ac]", `a="1" c="4"`)
	f("labelkeep", "x", ``)
	checkRule(t, Config{Action: "labeldrop"}, Options{}, labelsOf("a", "1"), ``)
	checkRule(t, Config{Action: "labelkeep", Regex: str("a")}, Options{}, labelsOf("__name__", "m", "a", "1"), `a="1"`)
}

func TestLowercaseAndUppercase(t *testing.T) {
	f := func(action string, sources []string, in *Labels, want string) {
		t.Helper()
		checkRule(t, Config{Action: action, SourceLabels: sources, TargetLabel: "t"}, Options{}, in, want)
	}
	f("lowercase", []string{"a"}, labelsOf("a", "fOO bAR BaZ"), `a="fOO bAR BaZ" t="foo bar baz"`)
	f("uppercase", []string{"a"}, labelsOf("a", "fOO bAR ü"), `a="fOO bAR ü" t="FOO BAR Ü"`)
	f("lowercase", []string{"a", "b"}, labelsOf("a", "X", "b", "y"), `a="X" b="y" t="x;y"`)
	f("uppercase", []string{"a", "b"}, labelsOf("a", "X", "b", "Y"), `a="X" b="Y" t="X;Y"`)
	f("lowercase", []string{"none"}, labelsOf("t", "x"), ``)
}

func TestValidationErrors(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		r, err := Compile([]Config{c}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile(%v) = %v, %v, want an error with %q", c, r, err, want)
		}
	}
	f(Config{Action: "graft"}, `unknown action "graft"`)
	for _, a := range notYet {
		f(Config{Action: strings.ToUpper(string(a))}, `"`+string(a)+`" is not supported yet`)
	}
	for _, a := range []string{"replace", "lowercase", "uppercase", "keepequal", "dropequal", "Replace"} {
		f(Config{Action: a}, "target_label is required")
		f(Config{Action: a, TargetLabel: "\xff"}, `target_label "\xff" is not a label name`)
	}
	f(Config{Action: "replace", TargetLabel: "$1\xff"}, "is not a label name")
	f(Config{Action: "hashmod", TargetLabel: "a"}, "modulus is required")
	f(Config{Action: "hashmod", Modulus: 1}, "target_label is required")
	f(Config{Action: "hashmod", Modulus: 1, TargetLabel: "\xff"}, "is not a label name")
	f(Config{Action: "keep", SourceLabels: []string{""}}, `"" in source_labels`)
	for _, a := range []string{"lowercase", "uppercase"} {
		f(Config{Action: a, TargetLabel: "a", Replacement: str("")}, "no replacement")
	}
	for _, a := range []string{"keepequal", "dropequal"} {
		f(Config{Action: a, TargetLabel: "a", Replacement: str("x")}, "nothing else")
		f(Config{Action: a, TargetLabel: "a", Modulus: 1}, "nothing else")
		f(Config{Action: a, TargetLabel: "a", Separator: str(",")}, "nothing else")
		f(Config{Action: a, TargetLabel: "a", Regex: str("(.*)")}, "nothing else")
	}
	for _, a := range []string{"labeldrop", "labelkeep"} {
		f(Config{Action: a, SourceLabels: []string{}}, "nothing else")
		f(Config{Action: a, TargetLabel: "a"}, "nothing else")
		f(Config{Action: a, Modulus: 1}, "nothing else")
		f(Config{Action: a, Separator: str(",")}, "nothing else")
		f(Config{Action: a, Replacement: str("x")}, "nothing else")
	}
	f(Config{Action: "labelmap", Replacement: str("")}, "makes no label name")
	f(Config{Action: "labelmap", Replacement: str("\xff")}, "makes no label name")
	f(Config{Action: "drop", Regex: str("a**")}, "invalid nested repetition operator")
	f(Config{Action: "drop", Regex: str("a\\")}, "trailing backslash")
	f(Config{Action: "drop", Regex: str("\xff")}, "invalid UTF-8")
	f(Config{Action: "drop", Regex: str("(?=a)")}, "(?=")
	if _, err := Compile([]Config{{TargetLabel: "a"}}, Options{Hash: 9}); err == nil {
		t.Error("Compile with an unknown hash = nil, want an error")
	}
}

func TestValidRules(t *testing.T) {
	for _, c := range []Config{
		{TargetLabel: "0${3}"},
		{TargetLabel: "a b"},
		{Action: "lowercase", TargetLabel: "${3}", Replacement: str("$1"), Regex: str("x")},
		{Action: "keepequal", TargetLabel: "a", Separator: str(";"), Replacement: str("$1")},
		{Action: "labeldrop", Separator: str(";"), Replacement: str("$1")},
		{Action: "labelmap", SourceLabels: []string{"a"}, TargetLabel: "b", Modulus: 3},
		{Action: "hashmod", TargetLabel: "a", Modulus: 1, Replacement: str("x")},
		{Action: "keep"},
	} {
		mustCompile(t, Options{}, c)
	}
}
