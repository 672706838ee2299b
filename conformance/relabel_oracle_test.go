package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promrelabel "github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v2"

	"scraper/relabel"
)

// theirs reads a rule as Prometheus does: from YAML, with its checks.
func theirs(c relabel.Config) (*promrelabel.Config, error) {
	keys := map[string]any{}
	if c.Action != "" {
		keys["action"] = c.Action
	}
	if c.SourceLabels != nil {
		keys["source_labels"] = c.SourceLabels
	}
	if c.Separator != nil {
		keys["separator"] = *c.Separator
	}
	if c.TargetLabel != "" {
		keys["target_label"] = c.TargetLabel
	}
	if c.Regex != nil {
		keys["regex"] = *c.Regex
		if *c.Regex == "~" || *c.Regex == "null" {
			// Read from YAML these would overwrite Prometheus' default expression, for every rule in the process.
			keys["regex"] = "(?:" + *c.Regex + ")"
		}
	}
	if c.Modulus != 0 {
		keys["modulus"] = c.Modulus
	}
	if c.Replacement != nil {
		keys["replacement"] = *c.Replacement
	}
	text, err := yaml.Marshal(keys)
	if err != nil {
		return nil, err
	}
	var p promrelabel.Config
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		return nil, err
	}
	return &p, p.Validate(model.UTF8Validation)
}

// outcome compiles the rules with both, and runs them on the same labels. Then each of set is set, as a target's labels
// are, and the rules run again. It returns what differs, or "".
func outcome(cfgs []relabel.Config, base, set []relabel.Label) string {
	ours, ourErr := relabel.Compile(cfgs, relabel.Options{})
	var rules []*promrelabel.Config
	var theirErr error
	for i, c := range cfgs {
		r, err := theirs(c)
		if err != nil {
			theirErr = fmt.Errorf("rule %d: %w", i+1, err)
			break
		}
		rules = append(rules, r)
	}
	if (ourErr == nil) != (theirErr == nil) {
		return fmt.Sprintf("rules %s\nours:   %v\ntheirs: %v", write(cfgs), ourErr, theirErr)
	}
	if ourErr != nil {
		return ""
	}

	var sb labels.ScratchBuilder
	for _, l := range base {
		sb.Add(l.Name, l.Value)
	}
	sb.Sort()
	lb := labels.NewBuilder(sb.Labels())
	ls := &relabel.Labels{L: append([]relabel.Label(nil), base...)}
	ls.Sort()
	for range 2 {
		theirsKept := promrelabel.ProcessBuilder(lb, rules...)
		oursKept := ours.Apply(ls)
		if oursKept != theirsKept {
			return fmt.Sprintf("rules %v on %v\nours:   kept %v\ntheirs: kept %v", ours, base, oursKept, theirsKept)
		}
		if !oursKept {
			return ""
		}
		if a, b := ourLabels(ls), theirLabels(lb); a != b {
			return fmt.Sprintf("rules %v on %v and then %v\nours:   %s\ntheirs: %s", ours, base, set, a, b)
		}
		for _, l := range set {
			lb.Set(l.Name, l.Value)
			ls.Set(l.Name, l.Value)
		}
	}
	return ""
}

func write(cfgs []relabel.Config) string {
	var all []string
	for _, c := range cfgs {
		s := fmt.Sprintf("{%s %q -> %q mod %d", c.Action, c.SourceLabels, c.TargetLabel, c.Modulus)
		for name, p := range map[string]*string{"separator": c.Separator, "regex": c.Regex, "replacement": c.Replacement} {
			if p != nil {
				s += fmt.Sprintf(" %s=%q", name, *p)
			}
		}
		all = append(all, s+"}")
	}
	return strings.Join(all, ", ")
}

// ourLabels writes a set down by name; what is empty is absent.
func ourLabels(ls *relabel.Labels) string {
	sorted := relabel.Labels{L: append([]relabel.Label(nil), ls.L...)}
	sorted.Sort()
	var b strings.Builder
	for _, l := range sorted.L {
		if l.Value != "" {
			fmt.Fprintf(&b, "%q=%q ", l.Name, l.Value)
		}
	}
	return b.String()
}

// theirLabels does not use Builder.Labels, which would sort what was set, and so change what labelmap makes of it later.
func theirLabels(lb *labels.Builder) string {
	var ls relabel.Labels
	lb.Range(func(l labels.Label) { ls.L = append(ls.L, relabel.Label{Name: l.Name, Value: l.Value}) })
	return ourLabels(&ls)
}

// generator makes rules and labels which meet each other often.
type generator struct{ *rand.Rand }

func (g generator) pick(list ...string) string { return list[g.IntN(len(list))] }

var actions = []string{
	"", "replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase",
	"uppercase", "Replace", "KEEP", "hashMod",
}

func (g generator) name() string {
	return g.pick("a", "b", "ab", "ba", "__name__", "__meta_a", "__meta_ab", "x.y", "é", "A")
}

func (g generator) value() string {
	switch g.IntN(8) {
	case 0:
		return ""
	case 1:
		return g.pick("\xff", "a\xff", "é\xc3", "\ufffd", "a\nb", "İ", "ſ", "\x00", "a;b;c", "10.0.0.1:9100", "ÀÉ")
	}
	var s strings.Builder
	for range 1 + g.IntN(4) {
		s.WriteString(g.pick("a", "b", "ab", "A", ";", "-", "é", "1", ":", "_total"))
	}
	return s.String()
}

func (g generator) regex(depth int) string {
	if depth == 0 || g.IntN(3) == 0 {
		return g.pick("a", "b", "ab", "é", ";", "-", "A", "1", "_total", "", ".*", ".+", "(.*)", "(.+)", ".*?", ".+?", "(.+?)",
			".", "[ab]", "[^;]+", "([^:]+)", "\\d", "(a)", "(?P<n>b)", "(?P<n>.*)", "^", "$", "\\b", "(?i)", "(?i:a)", "(?i:ks)", "(?-s:.*)", "(?m)",
			"a*", "b{2}", "(a|b)", "__meta_", "__.*", "\\xff", "\\x{fffd}", "\\Q.*\\E", "[[:alpha:]]", "\\pL", "(?s).", "(?U)a+", "[^a]", "(", ")", ")|(", "[", "\\", "*", "a**")
	}
	a, b := g.regex(depth-1), g.regex(depth-1)
	switch g.IntN(7) {
	case 0, 1:
		return a + "|" + b
	case 2:
		return "(" + a + "|" + b + ")"
	case 3:
		return "(?:" + a + ")?" + b
	case 4:
		return "(" + a + ")" + b
	}
	return a + b
}

func (g generator) template() string {
	var s strings.Builder
	for range 1 + g.IntN(3) {
		s.WriteString(g.pick("$1", "${1}", "$2", "$0", "$3", "${n}", "$n", "a", "b", "x", "_", "$", "$$", "${", "é", "", "${2}", "-"))
	}
	if g.IntN(50) == 0 {
		s.WriteString("\xff")
	}
	return s.String()
}

// config makes a rule. Most are valid; with wild, any field may come with any action.
func (g generator) config() relabel.Config {
	c := relabel.Config{Action: g.pick(actions...)}
	if g.IntN(100) == 0 {
		c.Action = g.pick("graph", "replaceall", "keep ", "ſ")
	}
	wild := g.IntN(8) == 0
	action := strings.ToLower(c.Action)
	onlyRegex := !wild && (action == "labeldrop" || action == "labelkeep")
	onlyNames := !wild && (action == "keepequal" || action == "dropequal")
	if !onlyRegex {
		if g.IntN(6) > 0 {
			for range g.IntN(4) {
				c.SourceLabels = append(c.SourceLabels, g.name())
			}
		} else if wild {
			c.SourceLabels = []string{}
			if g.IntN(3) == 0 {
				c.SourceLabels = append(c.SourceLabels, g.pick("", "\xff"))
			}
		}
		c.TargetLabel = g.name()
		if action == "" || action == "replace" || wild {
			c.TargetLabel = g.pick(g.name(), g.name(), g.template())
		}
		if !onlyNames && g.IntN(3) == 0 {
			c.Separator = ptr(g.pick("", "-", ";", "é", "a"))
		}
	}
	if !onlyNames && g.IntN(6) > 0 {
		c.Regex = ptr(g.regex(2))
	}
	switch {
	case action == "hashmod" && g.IntN(20) > 0:
		c.Modulus = 1 + g.Uint64N(20)
	case wild && g.IntN(4) == 0:
		c.Modulus = 3
	}
	switch action {
	case "", "replace", "labelmap":
		if g.IntN(4) > 0 {
			c.Replacement = ptr(g.template())
		}
	default:
		if wild && g.IntN(3) == 0 {
			c.Replacement = ptr(g.pick("$1", "", "x"))
		}
	}
	return c
}

func (g generator) labels() []relabel.Label {
	var l []relabel.Label
	seen := map[string]bool{}
	for range g.IntN(8) {
		if n := g.name(); !seen[n] {
			seen[n] = true
			l = append(l, relabel.Label{Name: n, Value: g.value()})
		}
	}
	return l
}

func ptr(s string) *string { return &s }
