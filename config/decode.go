package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxProblems bounds the problems that are reported of one file.
	maxProblems = 50
	// maxAliasNodes bounds the nodes that aliases may add to a file: far above any file written by a person, far below
	// what a few nested aliases can grow to.
	maxAliasNodes = 1 << 20
	// maxMergeDepth bounds how deep merge keys may be nested; an anchor may contain itself.
	maxMergeDepth = 32
)

// Error is one problem of a file.
type Error struct {
	File    string
	Line    int // counted from 1
	Problem string
}

// Error is "file:line: problem".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem) }

// decoder turns the nodes of one file into values. It collects problems and goes on. Not for concurrent use.
//
// Nodes are decoded by hand, not by reflection, since the library neither refuses unknown keys within custom types, nor
// keeps values out of its error texts.
type decoder struct {
	name          string
	lines         lineMap
	dialect       Dialect
	protobufFirst bool // Options.ProtobufFirst
	getenv        func(string) (string, bool)
	baseDir       string
	budget        int // nodes which may still be looked at; aliases could multiply them without end
	problems      []*Error
	dropped       int // problems beyond maxProblems
	warnings      []string
	// globalFormats is what the global section says of formats; it holds for jobs which say nothing.
	globalFormats formats
}

// value is a node, and how to call it in errors.
type value struct {
	node  *yaml.Node // no alias; nil: absent
	key   string     // "scrape_interval", "targets[2]"
	where string     // what has the key: "global", `job "x"`; empty for a file's root
	line  int        // of the key, for values which have no text of their own
}

// String is "key of where".
func (v value) String() string { return v.key + of(v.where) }

func of(where string) string {
	if where == "" {
		return ""
	}
	return " of " + where
}

func (d *decoder) report(line int, problem string) {
	e := &Error{File: d.name, Line: d.lines.original(line), Problem: problem}
	// A bad node behind an anchor is met as often as it is used.
	if slices.ContainsFunc(d.problems, func(p *Error) bool { return *p == *e }) {
		return
	}
	if len(d.problems) == maxProblems {
		d.dropped++
		return
	}
	d.problems = append(d.problems, e)
}

// errorf reports "file:line: key of where: problem". The text must not hold the value of a key for secrets.
func (d *decoder) errorf(v value, format string, args ...any) {
	d.report(v.problemLine(), v.String()+": "+fmt.Sprintf(format, args...))
}

func (d *decoder) warnf(v value, format string, args ...any) {
	e := Error{File: d.name, Line: d.lines.original(v.problemLine()), Problem: v.String() + ": " + fmt.Sprintf(format, args...)}
	d.warnings = append(d.warnings, e.Error())
}

// problemLine is the line of a scalar, which may be below its key, and else the key's.
func (v value) problemLine() int {
	if v.line > 0 && (v.node == nil || v.node.Kind != yaml.ScalarNode || isNull(v.node)) {
		return v.line
	}
	return v.node.Line
}

// err joins the problems in the order of their lines; nil if there are none.
func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	var errs []error
	for _, p := range d.problems {
		errs = append(errs, p)
	}
	if d.dropped > 0 {
		errs = append(errs, fmt.Errorf("%s: and %d more problems", d.name, d.dropped))
	}
	return errors.Join(errs...)
}

// visit takes one node from the budget, and reports false when nothing is left.
func (d *decoder) visit(n *yaml.Node) bool {
	d.budget--
	if d.budget < 0 {
		d.report(n.Line, "aliases make the file too large")
		return false
	}
	return true
}

// keys are the keys that a mapping may have, and what to do with each. A key whose value is null counts as absent.
type keys map[string]func(value)

// mapping decodes a mapping. Where says what it is: it becomes part of the names of its values. Peer are the keys which
// vmagent or Prometheus know and Scraper does not.
func (d *decoder) mapping(v value, where string, known keys, peer peerKeys) {
	for _, p := range d.pairs(v) {
		name := p.key.Value
		pv := value{node: p.value, key: name, where: where, line: p.key.Line}
		if decode, ok := known[name]; ok {
			if !isNull(p.value) {
				decode(pv)
			}
			continue
		}
		if harmless, ok := peer[name]; ok {
			if !isHarmless(p.value, harmless) {
				d.report(p.key.Line, fmt.Sprintf("key %q%s is not supported yet", name, of(where)))
			}
			continue
		}
		problem := fmt.Sprintf("unknown key %s%s", quoteKey(name), of(where))
		if s := suggest(name, known, peer); s != "" {
			problem += fmt.Sprintf(", did you mean %q?", s)
		}
		d.report(p.key.Line, problem)
	}
}

// pair is a key, which is a scalar, and its value, which is no alias.
type pair struct{ key, value *yaml.Node }

// pairs returns what a mapping holds in the order of the file, what it merges (<<) last. Keys are unique.
func (d *decoder) pairs(v value) []pair {
	if v.node == nil {
		return nil
	}
	n := v.node
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.errorf(v, "want a mapping, got %s", kindOf(n))
		return nil
	}
	return d.appendPairs(nil, map[string]int{}, n, 0)
}

// appendPairs appends the pairs of n whose keys are not among those seen: own keys win over merged ones.
func (d *decoder) appendPairs(dst []pair, seen map[string]int, n *yaml.Node, depth int) []pair {
	if depth > maxMergeDepth {
		d.report(n.Line, "merge keys (<<) are nested too deep")
		return dst
	}
	own := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := resolve(n.Content[i]), resolve(n.Content[i+1])
		switch first, twice := own[k.Value]; {
		case !d.visit(val):
			return dst
		case k.Kind != yaml.ScalarNode:
			d.report(k.Line, "a key must be text, got "+kindOf(k))
		case k.ShortTag() == "!!merge":
			merged = append(merged, val)
		case twice:
			d.report(k.Line, fmt.Sprintf("key %s is given twice, first in line %d", quoteKey(k.Value), d.lines.original(first)))
		default:
			own[k.Value] = k.Line
			if _, ok := seen[k.Value]; !ok {
				seen[k.Value] = k.Line
				dst = append(dst, pair{k, val})
			}
		}
	}
	for _, m := range merged {
		list := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			list = m.Content
		}
		for _, m := range list {
			m = resolve(m)
			if m.Kind != yaml.MappingNode {
				d.report(m.Line, "a merge key (<<) wants a mapping or a list of mappings")
				continue
			}
			dst = d.appendPairs(dst, seen, m, depth+1)
		}
	}
	return dst
}

// list returns the elements of a list; null elements are reported and left out.
func (d *decoder) list(v value) []value {
	if v.node == nil {
		return nil
	}
	n := v.node
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.errorf(v, "want a list, got %s", kindOf(n))
		return nil
	}
	elems := make([]value, 0, len(n.Content))
	for i, e := range n.Content {
		if !d.visit(e) {
			return nil
		}
		ev := value{node: resolve(e), key: fmt.Sprintf("%s[%d]", v.key, i), where: v.where, line: e.Line}
		if isNull(ev.node) {
			d.errorf(ev, "a list element must not be null")
			continue
		}
		elems = append(elems, ev)
	}
	return elems
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isEmpty reports whether a node says nothing: null, or a list or mapping without elements.
func isEmpty(n *yaml.Node) bool { return isNull(n) || n.Kind != yaml.ScalarNode && len(n.Content) == 0 }

func countNodes(n *yaml.Node) int {
	count := 1
	for _, c := range n.Content {
		count += countNodes(c)
	}
	return count
}

// kindOf names what a node is, never what it says.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	}
	return "text"
}

// quoteKey quotes a key that nobody knows. It is cut at the first character that no known key has: it may be
// `password:secret`, written without the blank that would end the key.
func quoteKey(key string) string {
	end := strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if end < 0 {
		end = len(key)
	}
	end = min(end, 64)
	if end < len(key) {
		return fmt.Sprintf("%q", key[:end]+"…")
	}
	return fmt.Sprintf("%q", key)
}
