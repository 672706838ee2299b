package relabel

import (
	"errors"
	"fmt"

	"github.com/grafana/regexp"
	"github.com/grafana/regexp/syntax"
)

// pattern is a regular expression which must match a whole text: `^(?s:RE)$`. Most of those that people write need no
// engine: compilePattern finds out what an expression means, and picks the cheapest way to decide it. The engine is the
// judge of all these ways: they are tested against it.
//
// All the ways compare bytes, and are right also for texts that are not valid UTF-8, which the engine reads as U+FFFD,
// byte by byte: a valid literal can only begin where the engine, too, sees a rune begin, and a literal which holds U+FFFD
// is left to the engine.
type pattern struct {
	kind patternKind
	lit  string        // of matchLiteral
	alts *alternatives // of matchAlternatives
	// one is the only alternative, when its groups can be found without the engine.
	one *glob
	// re is the engine. It stays where neither kind nor one will do.
	re *regexp.Regexp

	// unanchored tells of an expression that closes the group which anchors it, as `a)|(b` does: it may match a part
	// of a text, and Prometheus lets it. unanchoredReplacement is what labelmap puts in place of each such part.
	unanchored            bool
	unanchoredReplacement string
}

type patternKind uint8

const (
	matchEngine       patternKind = iota
	matchAny                      // every text
	matchNonEmpty                 // every text but the empty one
	matchLiteral                  // one text
	matchAlternatives             // see alternatives
)

// compilePattern compiles an expression, and returns the names of its groups by number as regexp.SubexpNames does.
func compilePattern(expr string) (pattern, []string, error) {
	inner, innerErr := syntax.Parse(expr, syntax.Perl|syntax.DotNL)
	re, err := regexp.Compile("^(?s:" + expr + ")$")
	if err != nil {
		if innerErr != nil {
			err = innerErr // it shows what the user wrote, without the anchors
		}
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			return pattern{}, nil, fmt.Errorf("regex %q: %s at %q", expr, e.Code, e.Expr)
		}
		return pattern{}, nil, fmt.Errorf("regex %q: %w", expr, err)
	}
	p := pattern{re: re, unanchored: innerErr != nil}
	if !p.unanchored {
		p.simplify(inner, len(expr))
	}
	return p, re.SubexpNames(), nil
}

// simplify looks for a way to do without the engine. exprBytes is the length of the expression.
func (p *pattern) simplify(inner *syntax.Regexp, exprBytes int) {
	branches, ok := expand(inner, exprBytes)
	if !ok {
		return
	}
	globs := make([]glob, 0, len(branches))
	for _, b := range branches {
		g, ok := newGlob(b)
		if !ok {
			return
		}
		globs = append(globs, g)
	}
	if n := inner.MaxCap(); len(globs) == 1 && globs[0].findable() && len(globs[0].groups) == n && n <= maxGroups {
		p.one = &globs[0]
	}
	a := newAlternatives(globs)
	switch {
	case a.any():
		p.kind = matchAny
	case a.nonEmpty():
		p.kind = matchNonEmpty
	case len(globs) == 1 && globs[0].literal():
		p.kind, p.lit = matchLiteral, globs[0].lits[0]
	default:
		p.kind, p.alts = matchAlternatives, a
	}
}

// prepare lets go of the engine where it is not needed. find says whether groups will be asked for.
func (p *pattern) prepare(find bool) {
	if p.kind != matchEngine && (!find || p.one != nil) {
		p.re = nil
	}
}

// matchText is match for a string.
func (p *pattern) matchText(s string) bool {
	if p.kind == matchAlternatives {
		return p.alts.match(s)
	}
	return p.match(subject{s: s})
}

// match reports whether the pattern matches sub.
func (p *pattern) match(sub subject) bool {
	switch p.kind {
	case matchAny:
		return true
	case matchNonEmpty:
		return sub.s != ""
	case matchLiteral:
		return sub.s == p.lit
	case matchAlternatives:
		return p.alts.match(sub.s)
	}
	if sub.b != nil {
		return p.re.Match(sub.b)
	}
	return p.re.MatchString(sub.s)
}

// maxGroups is how many groups, beside the whole match, are found without the engine. Not larger, since the space for
// them is cleared for each match; rules with more groups are rare.
const maxGroups = 7

// groupSpace is where find puts the groups' bounds, if they fit.
type groupSpace [2 * (maxGroups + 1)]int

// find returns the bounds of the whole match and of each group, as regexp.FindStringSubmatchIndex does: nil if the
// pattern does not match. The result may be a view of space.
func (p *pattern) find(sub subject, space *groupSpace) []int {
	if p.one != nil {
		return p.one.find(sub.s, space)
	}
	if p.kind != matchEngine && !p.match(sub) {
		return nil
	}
	if sub.b != nil {
		return p.re.FindSubmatchIndex(sub.b)
	}
	return p.re.FindStringSubmatchIndex(sub.s)
}
