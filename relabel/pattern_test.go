package relabel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/regexp"
)

// patternTests are expressions, and how they must be matched: it is a matter of speed alone, so a change here is no
// fault, but should be meant.
var patternTests = []struct {
	expr string
	kind patternKind
	one  bool // groups are found without the engine
}{
	{"", matchLiteral, true},
	{"(.*)", matchAny, true},
	{".*", matchAny, true},
	{".*?", matchAny, true},
	{"^.*$", matchAny, true},
	{"(.+)", matchNonEmpty, true},
	{".+|a", matchNonEmpty, false},
	{".+|", matchAny, false},
	{".+.*", matchNonEmpty, false},
	{"foo", matchLiteral, true},
	{"^foo$", matchLiteral, true},
	{"(f(o)o)", matchLiteral, true},
	{"ü.*", matchAlternatives, true},
	{"foo|bar", matchAlternatives, false},
	{"(?:foo|bar|)", matchAlternatives, false},
	{"go_gc_.*|go_memstats_.+|process_.*|up", matchAlternatives, false},
	{"foo.*|foobar.*|fo.+|foo", matchAlternatives, false},
	{"foo(.*)", matchAlternatives, true},
	{"foo(.+)bar", matchAlternatives, true},
	{"(.+)bar", matchAlternatives, true},
	{".*foo.*", matchAlternatives, true},
	{"(.*);(.*)", matchAlternatives, true},
	{"(.+?);(.+?);x", matchAlternatives, true},
	{"(.+);(.*?)", matchAlternatives, false},
	{"(.*)(.*)a", matchAlternatives, false},
	{"a(.*)b(.+)c(.*)d(.+)e(.*)f(.*)", matchAlternatives, false},
	{"(((((((((.*)))))))))", matchAny, false},
	{"foo[0-9]", matchAlternatives, false},
	{"fo?o(bar)?", matchAlternatives, false},
	{"(?i)foo", matchAlternatives, false},
	{"(?i)foo|bar", matchAlternatives, false},
	{"(?i)f\\.1", matchAlternatives, false},
	{"(?i)1-2", matchLiteral, true},
	{"(?i)é", matchEngine, false},
	{"a?b", matchAlternatives, false},
	{"[^\\x00-\\x{10FFFF}]", matchAlternatives, false},

	{"[a-z]+", matchEngine, false},
	{"(?i)foo.*", matchEngine, false},
	{"(?i)books", matchEngine, false},
	{"(?i)éa", matchEngine, false},
	{"a(?i)b", matchEngine, false},
	{"..*", matchEngine, false},
	{".+.+", matchEngine, false},
	{".", matchEngine, false},
	{"(?-s).*", matchEngine, false},
	{"(?m)^a$", matchEngine, false},
	{"a\\b", matchEngine, false},
	{"a$b", matchEngine, false},
	{"\\x{FFFD}", matchEngine, false},
	{"a[^b]", matchEngine, false},
	{"a)|(b", matchEngine, false},
	{"a{2}", matchEngine, false},
	{"(a*)*", matchEngine, false},
}

func TestHowPatternsAreMatched(t *testing.T) {
	for _, tt := range patternTests {
		p, _, err := compilePattern(tt.expr)
		if err != nil {
			t.Errorf("compilePattern(%q) = %v, want no error", tt.expr, err)
			continue
		}
		if p.kind != tt.kind || (p.one != nil) != tt.one {
			t.Errorf("compilePattern(%q) has kind %d, finds groups alone %v; want %d, %v", tt.expr, p.kind, p.one != nil, tt.kind, tt.one)
		}
	}
}

func TestExpansionIsBounded(t *testing.T) {
	// Each would make a list which is much longer than itself.
	for _, expr := range []string{
		strings.Repeat("[0-9]", 12),
		strings.Repeat("(a|b)", 30),
		strings.Repeat("a?", 40),
		strings.Repeat("(ab?|c", 200) + strings.Repeat(")", 200),
		strings.Repeat("x", 20000) + "[0-9][0-9]",
	} {
		p, _, err := compilePattern(expr)
		if err != nil {
			t.Errorf("compilePattern(%.30q…) = %v, want no error", expr, err)
		} else if p.kind != matchEngine {
			t.Errorf("compilePattern(%.30q…) has kind %d, want the engine", expr, p.kind)
		}
	}
	// A long list of names is not a long expansion.
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("metric_of_some_length_number_%d", i)
	}
	p, _, err := compilePattern(strings.Join(names, "|"))
	if err != nil || p.kind != matchAlternatives || !p.match(subject{s: names[4321]}) || p.match(subject{s: names[4321] + "x"}) {
		t.Errorf("compilePattern of %d names: kind %d, error %v; want a list which matches them", len(names), p.kind, err)
	}
}

// checkPattern compares every way of matching with the plain engine.
func checkPattern(t *testing.T, expr, s string) {
	t.Helper()
	p, _, err := compilePattern(expr)
	re, wantErr := regexp.Compile("^(?s:" + expr + ")$")
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("compilePattern(%q) = %v, the engine says %v", expr, err, wantErr)
	}
	if err != nil {
		return
	}
	want := re.FindStringSubmatchIndex(s)
	for _, sub := range []subject{{s: s}, {s: s, b: []byte(s)}} {
		if got := p.match(sub); got != (want != nil) {
			t.Errorf("%q matches %q = %v, want %v", expr, s, got, want != nil)
		}
		var space groupSpace
		if got := p.find(sub, &space); !slices.Equal(got, want) {
			t.Errorf("%q finds in %q = %v, want %v", expr, s, got, want)
		}
	}
	q, _, _ := compilePattern(expr)
	q.prepare(false)
	if got := q.match(subject{s: s}); got != (want != nil) {
		t.Errorf("%q without the engine matches %q = %v, want %v", expr, s, got, want != nil)
	}
	r, _, _ := compilePattern(expr)
	r.prepare(true)
	var space groupSpace
	if got := r.find(subject{s: s}, &space); !slices.Equal(got, want) {
		t.Errorf("%q without the engine finds in %q = %v, want %v", expr, s, got, want)
	}
}

// patternTexts are tried with every expression of the tests.
var patternTexts = []string{
	"", "a", "b", "ab", "aXb", "foo", "FOO", "fOo", "foobar", "fooXbar", "foo\nbar", "barfoo", "xfoox", "a;b", ";", "a;b;c", "x;y;x", ";;x",
	"up", "go_gc_", "go_gc_duration_seconds", "go_memstats_", "go_memstats_x", "process", "process_", "fo", "fox", "foo7", "fo7", "bar",
	"ü", "üx", "\xc3", "\xbc", "\xff", "a\xff", "\xfffoo", "foo\xff", "foo\xc3bar", "\ufffd", "ſ", "\u212a", "1-2", "f.1", "F.1", "aXbXcXdXeXf", "ab\nc", "no\nmatch",
}

func TestFastPathsEqualTheEngine(t *testing.T) {
	for _, tt := range patternTests {
		for _, s := range patternTexts {
			checkPattern(t, tt.expr, s)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	n := 6000
	if testing.Short() {
		n = 2000
	}
	for range n {
		expr := randomExpr(rng, 3)
		for range 4 {
			checkPattern(t, expr, randomText(rng))
		}
		if t.Failed() {
			return
		}
	}
}

// randomExpr makes an expression of the kind which fast paths are for, and some beside.
func randomExpr(rng *rand.Rand, depth int) string {
	atoms := []string{"a", "b", "ab", "ba", "é", ";", ".*", ".+", ".*?", ".+?", "[ab]", "", "(.*)", "(.+)", "(a)", "(.+?)", "^", "$", ".", "\\.", "k", "(?i:ks)", "(?i:a)", "(?i:ab)", "a*", "\\xff", "\\x{fffd}", "(?:)"}
	if depth == 0 || rng.IntN(3) == 0 {
		return atoms[rng.IntN(len(atoms))]
	}
	a, b := randomExpr(rng, depth-1), randomExpr(rng, depth-1)
	switch rng.IntN(8) {
	case 0:
		return a + "|" + b
	case 1:
		return "(" + a + "|" + b + ")"
	case 2:
		return "(?:" + a + ")?" + b
	case 3:
		return "(" + a + ")" + b
	case 4:
		return "(?i)" + a + b
	default:
		return a + b
	}
}

func randomText(rng *rand.Rand) string {
	atoms := []string{"a", "b", "ab", "é", "\xc3", "\xa9", ";", ".", "k", "K", "\u212a", "s", "ſ", "A", "\n", "\xff", "\ufffd", "aa"}
	var s strings.Builder
	for range rng.IntN(7) {
		s.WriteString(atoms[rng.IntN(len(atoms))])
	}
	return s.String()
}

func FuzzPattern(f *testing.F) {
	for _, tt := range patternTests {
		for _, s := range patternTexts[:12] {
			f.Add(tt.expr, s)
		}
	}
	f.Fuzz(func(t *testing.T, expr, s string) {
		if len(expr) < 200 && len(s) < 500 {
			checkPattern(t, expr, s)
		}
	})
}

func checkTemplate(t *testing.T, text, expr, s string) {
	t.Helper()
	re, err := regexp.Compile("^(?s:" + expr + ")$")
	if err != nil {
		return
	}
	groups := re.FindStringSubmatchIndex(s)
	if groups == nil {
		return
	}
	tmpl := compileTemplate(text, re.SubexpNames())
	want := string(re.ExpandString(nil, text, s, groups))
	if got := string(tmpl.appendTo(nil, s, groups)); got != want {
		t.Errorf("template %q with %q on %q = %q, want %q", text, expr, s, got, want)
	}
	if n, most := tmpl.bytes(groups), tmpl.maxBytes(len(s)); !tmpl.constant() && (n != int64(len(want)) || most < n) {
		t.Errorf("template %q with %q on %q has %d bytes, %d at most, want %d", text, expr, s, n, most, len(want))
	}
	if tmpl.constant() && tmpl.lit != want {
		t.Errorf("template %q with %q is constant %q, want %q", text, expr, tmpl.lit, want)
	}
}

// templateTests are templates with every oddity that expansion knows.
var templateTests = []string{
	"", "x", "$", "$$", "$$1", "$1", "${1}", "a$1b", "a${1}b", "$1$2", "$0", "$9", "${9}x", "$name", "${name}", "$name_x", "${name", "${", "${}", "$}", "$-",
	"$01", "$00", "${01}", "$é", "${n é}", "$1é", "$999999999999999999999", "$1234567890", "$123456789", "${name}${1}$$", "$_", "$1_", "a$", "\xff$1\xff", "$\xff", "${\xff}", "$٣",
}

func TestTemplatesEqualExpand(t *testing.T) {
	for _, text := range templateTests {
		for _, expr := range []string{"(.*)", "(?P<name>.)(.*)", "(x)?(?P<name>.*)", "(?P<_>a)|(b)", "(?P<name>a)|(?P<name>.*)", "(?P<1234567890>.*)", "(?P<01>.*)", "abc"} {
			for _, s := range []string{"", "a", "b", "abc", "xabc"} {
				checkTemplate(t, text, expr, s)
			}
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, text := range templateTests {
		f.Add(text, "(?P<name>.)(.*)", "abc")
	}
	f.Fuzz(func(t *testing.T, text, expr, s string) {
		if len(expr) < 200 && len(s) < 500 {
			checkTemplate(t, text, expr, s)
		}
	})
}
