// Package relabel applies relabeling rules to label sets, with the meaning that Prometheus gives them.
//
// It compiles rules ([Compile]), runs them ([Rules.Apply]) and shows their steps ([Rules.Trace]), all through one
// evaluator. Where labels come from, which stage a list of rules belongs to, and whether the labels that come out are
// acceptable to anyone are the callers' business: labelmap, for one, may make a label whose name is empty, as it does
// in Prometheus.
//
// [Rules] are immutable and safe for concurrent use; [Labels] belong to one goroutine at a time, and hold the scratch
// memory that rules need, so that a reused set makes steady work free of allocations.
//
// The strings of a label set are ordinary Go strings, shared and never changed. A value made from a part of another one
// keeps the whole of it alive. Nothing in a label set refers to the scratch memory, unless the set is Transient: then its
// strings are good until its Reset.
//
// Read rule.go first (what the actions do), then pattern.go (how a regular expression is matched without one).
package relabel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Label is one name and value.
type Label struct{ Name, Value string }

// Hash selects what the hashmod action hashes with: the two peers contradict each other.
type Hash uint8

// The hashes of hashmod.
const (
	HashMD5    Hash = iota // Prometheus: the last 8 bytes of the MD5 sum
	HashXXHash             // vmagent: xxhash64
)

// Config is one rule as it is written, with defaults not yet filled in. Pointers tell "absent" from "empty".
type Config struct {
	Action       string   // "" means replace; upper and lower case are the same
	SourceLabels []string // nil means absent; labeldrop and labelkeep refuse even an empty list
	Separator    *string  // nil means ";"
	TargetLabel  string
	Regex        *string // nil means "(.*)"; "" matches the empty string only, which is what `regex:` without a value means
	Modulus      uint64
	Replacement  *string // nil means "$1"
	// Line is the rule's line in its file, 0 if unknown; errors name it.
	Line int
}

const (
	defaultSeparator   = ";"
	defaultRegex       = "(.*)"
	defaultReplacement = "$1"
)

func (c *Config) separator() string   { return valueOr(c.Separator, defaultSeparator) }
func (c *Config) regex() string       { return valueOr(c.Regex, defaultRegex) }
func (c *Config) replacement() string { return valueOr(c.Replacement, defaultReplacement) }

func valueOr(p *string, def string) string {
	if p == nil {
		return def
	}
	return *p
}

// Options says how rules are to be understood.
type Options struct {
	Hash Hash
}

// Rules is a compiled list of rules: immutable, and safe for concurrent use. A nil *Rules keeps everything unchanged.
type Rules struct {
	rules []rule
	// byName and others are rules: those which a metric's name decides alone, and the rest. See verdict.go.
	byName, others []*rule
	cfgs           []Config
	opts           Options
}

// RuleError says which rule of a list is wrong, or refused a label set, and why.
type RuleError struct {
	Index int // from 0
	Line  int // in the file, 0 if unknown
	Err   error
}

// Error counts rules from 1, as people do.
func (e *RuleError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("rule %d (line %d): %v", e.Index+1, e.Line, e.Err)
	}
	return fmt.Sprintf("rule %d: %v", e.Index+1, e.Err)
}

// Unwrap returns the reason.
func (e *RuleError) Unwrap() error { return e.Err }

// Compile checks and compiles rules. It copies what it needs of cfgs. The error wraps a *RuleError about the first rule
// which is wrong, and names it by its number and line.
func Compile(cfgs []Config, o Options) (*Rules, error) {
	r := &Rules{
		rules: make([]rule, 0, len(cfgs)),
		cfgs:  make([]Config, 0, len(cfgs)),
		opts:  o,
	}
	for i := range cfgs {
		c := cfgs[i].clone()
		compiled, err := compileRule(&c, o)
		if err != nil {
			return nil, fmt.Errorf("relabel: %w", &RuleError{Index: i, Line: c.Line, Err: err})
		}
		compiled.index, compiled.line = i, c.Line
		r.rules = append(r.rules, compiled)
		r.cfgs = append(r.cfgs, c)
	}
	r.split()
	return r, nil
}

// Apply runs the rules on ls in order, and reports whether the set is kept. Of a dropped set nothing may be assumed. One of
// which rules would make more than it may hold is not kept either: ls.Err tells.
func (r *Rules) Apply(ls *Labels) bool {
	if r == nil {
		return true
	}
	if len(r.byName) > 0 && !r.keepsName(ls) {
		return false
	}
	for _, x := range r.others {
		if !x.apply(ls) {
			return false
		}
	}
	return true
}

// Trace is Apply which calls step after each rule that ran, with the rule's index, the labels before and after it, and
// whether the set was kept. The slices may be kept, but must not be changed. After a drop no rule runs any more.
func (r *Rules) Trace(ls *Labels, step func(rule int, before, after []Label, kept bool)) bool {
	if r == nil {
		return true
	}
	before := slices.Clone(ls.L)
	for i := range r.rules {
		kept := r.rules[i].apply(ls)
		after := slices.Clone(ls.L)
		step(i, before, after, kept)
		if !kept {
			return false
		}
		before = after
	}
	return true
}

// Len is the number of rules.
func (r *Rules) Len() int {
	if r == nil {
		return 0
	}
	return len(r.rules)
}

// Configs returns the rules as they were written. The slice is the caller's, what its elements point to must not be
// changed.
func (r *Rules) Configs() []Config {
	if r == nil {
		return nil
	}
	return slices.Clone(r.cfgs)
}

// Equal reports whether both lists mean the same, whatever lines they stand on and whether defaults are spelled out. A
// nil *Rules equals an empty list.
func (r *Rules) Equal(o *Rules) bool {
	if r.Len() != o.Len() {
		return false
	}
	if r.Len() == 0 {
		return true
	}
	return r.opts == o.opts && slices.EqualFunc(r.cfgs, o.cfgs, func(a, b Config) bool { return a.equal(&b) })
}

// String shows the rules on one line, for people: what is absent is left out.
func (r *Rules) String() string {
	var b strings.Builder
	b.WriteByte('[')
	if r != nil {
		for i := range r.cfgs {
			if i > 0 {
				b.WriteString(", ")
			}
			r.cfgs[i].describe(&b)
		}
	}
	b.WriteByte(']')
	return b.String()
}

func (c *Config) clone() Config {
	d := *c
	d.SourceLabels = slices.Clone(c.SourceLabels)
	d.Separator = clonePtr(c.Separator)
	d.Regex = clonePtr(c.Regex)
	d.Replacement = clonePtr(c.Replacement)
	return d
}

func clonePtr(p *string) *string {
	if p == nil {
		return nil
	}
	s := *p
	return &s
}

func (c *Config) equal(o *Config) bool {
	return c.action() == o.action() &&
		slices.Equal(c.SourceLabels, o.SourceLabels) &&
		c.separator() == o.separator() &&
		c.TargetLabel == o.TargetLabel &&
		c.regex() == o.regex() &&
		c.Modulus == o.Modulus &&
		c.replacement() == o.replacement()
}

func (c *Config) describe(b *strings.Builder) {
	b.WriteString("{action: ")
	b.WriteString(string(c.action()))
	if c.SourceLabels != nil {
		fmt.Fprintf(b, ", source_labels: %q", c.SourceLabels)
	}
	quoted := func(key string, p *string) {
		if p != nil {
			b.WriteString(", " + key + ": " + strconv.Quote(*p))
		}
	}
	quoted("separator", c.Separator)
	quoted("regex", c.Regex)
	if c.Modulus != 0 {
		fmt.Fprintf(b, ", modulus: %d", c.Modulus)
	}
	if c.TargetLabel != "" {
		quoted("target_label", &c.TargetLabel)
	}
	quoted("replacement", c.Replacement)
	b.WriteByte('}')
}
