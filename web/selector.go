package web

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"scraper/relabel"
)

// matcher is one condition of a selector.
type matcher struct {
	name  string
	value string         // for = and !=
	re    *regexp.Regexp // for =~ and !~
	not   bool
}

// parseSelector reads {name="value", …} with the operators =, !=, =~ and !~, as Prometheus' API takes it of targets.
func parseSelector(text string) (ms []matcher, err error) {
	if len(text) > maxQuery {
		return nil, fmt.Errorf("bad selector: it is longer than %d bytes", maxQuery)
	}
	rest, left := strings.TrimSpace(text), maxPattern
	fail := func(what string) ([]matcher, error) {
		return nil, fmt.Errorf("bad selector: %s at %q", what, rest)
	}
	if rest == "" || rest[0] != '{' {
		return fail("no {")
	}
	rest = strings.TrimSpace(rest[1:])
	for !strings.HasPrefix(rest, "}") {
		end := strings.IndexAny(rest, "=!")
		if end <= 0 {
			return fail("no label name and operator")
		}
		m := matcher{name: strings.TrimSpace(rest[:end])}
		if name, err := strconv.Unquote(m.name); err == nil {
			m.name = name
		}
		rest = rest[end:]
		op, ok := "", false
		for _, op = range []string{"=~", "!~", "!=", "="} {
			if ok = strings.HasPrefix(rest, op); ok {
				break
			}
		}
		if !ok {
			return fail("no operator")
		}
		rest = strings.TrimSpace(rest[len(op):])
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return fail("no quoted value")
		}
		if m.value, err = strconv.Unquote(quoted); err != nil {
			return fail("no quoted value")
		}
		rest = strings.TrimSpace(rest[len(quoted):])
		m.not = op[0] == '!'
		if strings.HasSuffix(op, "~") {
			if m.re, err = compile("^(?s:"+m.value+")$", &left); err != nil {
				return nil, fmt.Errorf("bad selector: %w", err)
			}
		}
		ms = append(ms, m)
		if !strings.HasPrefix(rest, ",") {
			break
		}
		rest = strings.TrimSpace(rest[1:])
	}
	if rest != "}" {
		return fail("no } at the end")
	}
	if len(ms) == 0 {
		return nil, errors.New("bad selector: no condition in {}")
	}
	return ms, nil
}

// matches reports whether all conditions hold; a label which is not there is empty.
func matches(ms []matcher, labels []relabel.Label) bool {
	for _, m := range ms {
		value := ""
		for _, l := range labels {
			if l.Name == m.name {
				value = l.Value
			}
		}
		met := value == m.value
		if m.re != nil {
			met = m.re.MatchString(value)
		}
		if met == m.not {
			return false
		}
	}
	return true
}
