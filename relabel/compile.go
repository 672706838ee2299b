package relabel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// action returns the action's name in lower case, and replace for none. There may be no such action.
func (c *Config) action() action {
	if c.Action == "" {
		return actionReplace
	}
	return action(strings.ToLower(c.Action))
}

// notYet are actions which only vmagent has.
var notYet = [...]action{
	"replace_all", "keep_if_equal", "drop_if_equal", "keep_if_contains", "drop_if_contains", "keep_metrics",
	"drop_metrics", "labelmap_all", "graphite",
}

// compileRule checks and compiles one rule. It takes ownership of what c points to.
func compileRule(c *Config, o Options) (rule, error) {
	a := c.action()
	run := runOf(a)
	if run == nil {
		if slices.Contains(notYet[:], a) {
			return rule{}, fmt.Errorf("action %q is not supported yet", a)
		}
		return rule{}, fmt.Errorf("unknown action %q", c.Action)
	}
	p, names, err := compilePattern(c.regex())
	if err != nil {
		return rule{}, err
	}
	if err := c.validate(a); err != nil {
		return rule{}, fmt.Errorf("action %s: %w", a, err)
	}
	if o.Hash > HashXXHash {
		return rule{}, fmt.Errorf("unknown hash %d", o.Hash)
	}
	r := rule{
		run:     run,
		source:  c.SourceLabels,
		sep:     c.separator(),
		target:  template{lit: c.TargetLabel},
		modulus: c.Modulus,
		hash:    o.Hash,
	}
	switch a {
	case actionReplace:
		r.target = compileTemplate(c.TargetLabel, names)
		r.replacement = compileTemplate(c.replacement(), names)
		if r.target.constant() && !validName(r.target.lit) {
			// Only references to groups that there are not: no match can make a name of them.
			r.run = func(*rule, *Labels) bool { return true }
		}
		p.prepare(!r.target.constant() || !r.replacement.constant())
	case actionLabelMap:
		r.replacement = compileTemplate(c.replacement(), names)
		p.unanchoredReplacement = c.replacement()
		p.prepare(!r.replacement.constant())
	default:
		p.prepare(false)
	}
	r.pattern = p
	return r, nil
}

// validName reports whether s may be a label's name: any text which is not empty and is valid UTF-8.
func validName(s string) bool { return s != "" && utf8.ValidString(s) }

// validate checks what an action needs and what it does not take.
func (c *Config) validate(a action) error {
	for _, name := range c.SourceLabels {
		if !validName(name) {
			return fmt.Errorf("%q in source_labels is not a label name", name)
		}
	}
	switch a {
	case actionHashMod:
		if c.Modulus == 0 {
			return errors.New("modulus is required, and must not be 0")
		}
		return c.validateTarget()
	case actionReplace:
		return c.validateTarget()
	case actionLowercase, actionUppercase:
		if err := c.validateTarget(); err != nil {
			return err
		}
		if c.replacement() != defaultReplacement {
			return errors.New("it takes no replacement")
		}
	case actionKeepEqual, actionDropEqual:
		if err := c.validateTarget(); err != nil {
			return err
		}
		// A regex is refused even if it is the default one, as Prometheus does.
		if c.Regex != nil || c.Modulus != 0 || c.separator() != defaultSeparator || c.replacement() != defaultReplacement {
			return errors.New("it takes source_labels and target_label, and nothing else")
		}
	case actionLabelMap:
		if !validName(c.replacement()) {
			return fmt.Errorf("replacement %q makes no label name", c.replacement())
		}
	case actionLabelDrop, actionLabelKeep:
		if c.SourceLabels != nil || c.TargetLabel != "" || c.Modulus != 0 ||
			c.separator() != defaultSeparator || c.replacement() != defaultReplacement {
			return errors.New("it takes regex, and nothing else")
		}
	}
	return nil
}

func (c *Config) validateTarget() error {
	if c.TargetLabel == "" {
		return errors.New("target_label is required")
	}
	if !validName(c.TargetLabel) {
		return fmt.Errorf("target_label %q is not a label name", c.TargetLabel)
	}
	return nil
}
