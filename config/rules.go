package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"scraper/relabel"
)

// relabelConfigs decodes and compiles a list of relabeling rules; nil when there are none. Each wrong rule is reported
// with its own line.
func (d *decoder) relabelConfigs(v value) *relabel.Rules {
	var rules []relabel.Config
	var values []value // of rules
	for _, e := range d.list(v) {
		before := len(d.problems) + d.dropped
		rule := d.relabelConfig(e)
		if len(d.problems)+d.dropped == before {
			rules = append(rules, rule)
			values = append(values, e)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	o := relabel.Options{Hash: relabel.HashMD5}
	if d.dialect == VMAgent {
		o.Hash = relabel.HashXXHash
	}
	for {
		compiled, err := relabel.Compile(rules, o)
		if err == nil {
			return compiled
		}
		wrong, ok := errors.AsType[*relabel.RuleError](err)
		if !ok || wrong.Index >= len(rules) {
			d.errorf(v, "%v", err)
			return nil
		}
		d.errorf(values[wrong.Index], "%v", wrong.Err)
		rules = slices.Delete(rules, wrong.Index, wrong.Index+1)
		values = slices.Delete(values, wrong.Index, wrong.Index+1)
	}
}

// relabelConfig decodes one rule.
//
// A key whose value is null is absent for vmagent, while for Prometheus separator, regex and replacement are empty
// then.
func (d *decoder) relabelConfig(v value) relabel.Config {
	c := relabel.Config{Line: d.lines.original(v.node.Line)}
	if d.dialect == Prometheus && v.node.Kind == yaml.MappingNode {
		for _, p := range d.pairs(v) {
			if !isNull(p.value) {
				continue
			}
			switch p.key.Value {
			case "separator":
				c.Separator = new(string)
			case "regex":
				c.Regex = new(string)
			case "replacement":
				c.Replacement = new(string)
			}
		}
	}
	text := func(v value) *string { s := d.text(v); return &s }
	d.mapping(v, v.String(), keys{
		"action":        func(v value) { c.Action = d.text(v) },
		"source_labels": func(v value) { c.SourceLabels = append([]string{}, d.texts(v)...) },
		"target_label":  func(v value) { c.TargetLabel = d.text(v) },
		"modulus":       func(v value) { c.Modulus = d.modulus(v) },
		"separator":     func(v value) { c.Separator = text(v) },
		"regex":         func(v value) { s := d.regex(v); c.Regex = &s },
		"replacement": func(v value) {
			c.Replacement = text(v)
			if d.dialect == VMAgent && strings.Contains(*c.Replacement, "{{") && strings.Contains(*c.Replacement, "}}") {
				d.errorf(v, "{{label}} is not supported yet")
			}
		},
	}, peerRelabel)
	return c
}

// regex decodes a regular expression: any scalar as it is written, or vmagent's list of alternatives.
func (d *decoder) regex(v value) string {
	if v.node.Kind == yaml.SequenceNode {
		return strings.Join(d.texts(v), "|")
	}
	return d.text(v)
}

func (d *decoder) modulus(v value) uint64 {
	s, ok := d.scalar(v, "a whole number")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		d.errorf(v, "want a whole number, got %q", cut(s))
	}
	return n
}
