package main

import (
	"fmt"
	"slices"
	"strings"

	"scraper/config"
)

// usageError is a command line that cannot be understood, or asks for what there is not. It is one line which names the
// flag; main prints it and exits with 2.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// flagValue is a flag as pages show it: with its dashes, and secrets hidden.
type flagValue struct{ name, value string }

// parseFlags reads the command line without the program's name. Flags of vmagent and of Prometheus are understood,
// mixed too; which of the two configuration flags is given says how Scraper is started. Values on the command line win
// over those of the environment. Warnings are sentences for the log; errors are of type *usageError.
func parseFlags(args []string, getenv func(string) (string, bool)) (*Settings, []string, error) {
	p := &parser{s: &Settings{}, l: &lists{}, getenv: getenv, foreign: foreignFlags(), byName: make(map[string]*flagDef), setBy: make(map[string]*flagDef)}
	p.flags = newFlags(p.s, p.l)
	for _, d := range p.flags {
		p.byName[d.name] = d
	}
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
		switch command {
		case "demo":
			p.demo = true
		case "queue":
			return parseQueueCommand(args)
		default:
			return nil, nil, usagef("unknown command %q; the commands are: demo, queue", command)
		}
	}
	p.s.Command = command
	if err := p.parseArgs(args); err != nil {
		return nil, nil, err
	}
	if p.s.ShowHelp || p.s.ShowVersion {
		return p.s, nil, nil
	}
	if p.l.envEnable {
		if err := p.parseEnv(); err != nil {
			return nil, nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, nil, err
	}
	return p.s, p.warnings, nil
}

// parser is one command line on its way to Settings.
type parser struct {
	s       *Settings
	l       *lists
	getenv  func(string) (string, bool)
	flags   []*flagDef
	byName  map[string]*flagDef
	foreign map[string]*foreignFlag
	demo    bool

	setBy    map[string]*flagDef // by setting: the flag that set it
	warnings []string
}

func (p *parser) warnf(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(p.warnings, w) {
		p.warnings = append(p.warnings, w)
	}
}

func (p *parser) parseArgs(args []string) error {
	var last *flagDef // the flag before, if it was a boolean without a value
	for len(args) > 0 && !p.s.ShowHelp && !p.s.ShowVersion {
		arg := args[0]
		args = args[1:]
		if arg == "--" && len(args) == 0 {
			return nil
		}
		body, ok := strings.CutPrefix(arg, "-")
		body = strings.TrimPrefix(body, "-")
		if !ok || body == "" || body[0] == '-' || body[0] == '=' {
			if last != nil {
				return usagef("unexpected argument %q after %s, which takes no value without =: write %s=%s", arg, last, last, arg)
			}
			return usagef("unexpected argument %q; flags begin with -", arg)
		}
		name, text, hasValue := strings.Cut(body, "=")
		last = nil
		if d, negated := p.lookup(name); d != nil {
			switch {
			case negated && hasValue:
				return usagef("%s%s takes no value", d.family.dashes(), name)
			case negated:
				text = "false"
			case d.isBool() && !hasValue:
				text, last = "true", d
			case !hasValue:
				if len(args) == 0 {
					return usagef("%s needs a value", d)
				}
				text, args = args[0], args[1:]
			}
			if err := p.set(d, text, d.String()); err != nil {
				return err
			}
			continue
		}
		f, negated := p.lookupForeign(name)
		if f == nil {
			return p.unknown(arg, name)
		}
		switch {
		case negated:
			text = "false"
		case f.isBool && !hasValue:
			text = "true"
		case !hasValue:
			if len(args) == 0 {
				return usagef("%s needs a value", f)
			}
			text, args = args[0], args[1:]
		}
		if err := p.setForeign(f, text, f.String()); err != nil {
			return err
		}
	}
	return nil
}

// lookup finds a flag that we have. Negated means that it was found behind Prometheus' "no-".
func (p *parser) lookup(name string) (d *flagDef, negated bool) {
	if name == "h" {
		name = "help"
	}
	if d := p.byName[name]; d != nil {
		return d, false
	}
	if rest, ok := strings.CutPrefix(name, "no-"); ok {
		if d := p.byName[rest]; d != nil && d.family == ofPrometheus && d.isBool() {
			return d, true
		}
	}
	return nil, false
}

func (p *parser) lookupForeign(name string) (f *foreignFlag, negated bool) {
	if f := p.foreign[name]; f != nil {
		return f, false
	}
	if rest, ok := strings.CutPrefix(name, "no-"); ok {
		if f := p.foreign[rest]; f != nil && f.family == ofPrometheus && f.isBool {
			return f, true
		}
	}
	return nil, false
}

// set gives a flag a value as it was written. From is what errors call the flag: itself, or an environment variable.
func (p *parser) set(d *flagDef, text, from string) error {
	if p.demo && !d.demo {
		return usagef("%s is no flag of scraper demo, which needs none", from)
	}
	if other := p.setBy[d.setting]; d.setting != "" && other != nil && other != d {
		return usagef("%s and %s both set %s: give one of them", other, d, d.setting)
	}
	if _, isList := d.value.(*list); d.isSet && d.family == ofPrometheus && !d.repeated && !isList {
		return usagef("%s is given twice", from)
	}
	text, err := p.expand(text, from)
	if err != nil {
		return err
	}
	if err := d.value.set(text); err != nil {
		shown := fmt.Sprintf("%q", text)
		if d.secret {
			shown = "(hidden)"
		}
		return usagef("%s=%s: %v", from, shown, err)
	}
	d.isSet = true
	if d.setting != "" {
		p.setBy[d.setting] = d
	}
	return nil
}

// expand replaces %{NAME} by the environment variable of that name.
func (p *parser) expand(text, from string) (string, error) {
	expanded, err := config.ExpandEnv([]byte(text), p.getenv)
	if err != nil {
		return "", usagef("%s: %v", from, err)
	}
	return string(expanded), nil
}

// setForeign accepts or refuses a flag that we do not have.
func (p *parser) setForeign(f *foreignFlag, text, from string) error {
	if p.demo {
		return usagef("%s is no flag of scraper demo, which needs none", from)
	}
	text, err := p.expand(text, from)
	if err != nil {
		return err
	}
	if f.isBool {
		for _, item := range splitList(text) {
			if _, err := parseBool(item); err != nil {
				return usagef("%s=%q: %v", from, text, err)
			}
		}
	}
	switch {
	case !f.refused:
		p.warnf("%s has no effect: %s", from, f.why)
	case f.asksForNothing(text):
		p.warnf("%s has no effect: it asks for what Scraper does anyway", from)
	default:
		return usagef("%s is refused: %s", from, f.why)
	}
	return nil
}

// unknown is the error about a flag that no one has.
func (p *parser) unknown(arg, name string) error {
	written, _, _ := strings.Cut(arg, "=")
	var own, foreign []string
	for _, d := range p.flags {
		own = append(own, d.name)
	}
	for n := range p.foreign {
		foreign = append(foreign, n)
	}
	if near := closest(name, own); near != "" {
		return usagef("unknown flag %s; did you mean %s?", written, p.byName[near])
	}
	if near := closest(name, foreign); near != "" {
		return usagef("unknown flag %s; did you mean %s?", written, p.foreign[near])
	}
	return usagef("unknown flag %s; -help lists all", written)
}

// parseEnv takes the flags which the command line did not set from the environment, as vmagent does: dots in names are
// underscores there. Prometheus' flags cannot be set that way.
func (p *parser) parseEnv() error {
	lookup := func(name string) (text, variable string, ok bool) {
		variable = p.l.envPrefix + strings.ReplaceAll(name, ".", "_")
		text, ok = p.getenv(variable)
		return text, "environment variable " + variable, ok
	}
	for _, d := range p.flags {
		if d.family == ofPrometheus || d.isSet || p.demo && !d.demo || strings.HasPrefix(d.name, "envflag.") {
			continue
		}
		if other := p.setBy[d.setting]; d.setting != "" && other != nil {
			continue // the command line wins
		}
		if text, from, ok := lookup(d.name); ok {
			if err := p.set(d, text, from); err != nil {
				return err
			}
		}
	}
	if p.demo {
		return nil
	}
	names := make([]string, 0, len(p.foreign))
	for name, f := range p.foreign {
		if f.family != ofPrometheus {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the first error must not be another at each start
	for _, name := range names {
		if text, from, ok := lookup(name); ok {
			if err := p.setForeign(p.foreign[name], text, from); err != nil {
				return err
			}
		}
	}
	return nil
}
