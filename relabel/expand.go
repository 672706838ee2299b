package relabel

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/grafana/regexp/syntax"
)

// elem is one step of a branch.
type elem struct {
	op    elemOp
	lit   string // of elemLiteral and elemFold
	min   int    // of elemWild: 0 or 1 runes at least
	lazy  bool   // of elemWild
	group int    // of elemOpen and elemClose
}

type elemOp uint8

const (
	elemLiteral elemOp = iota
	elemFold           // a literal in whatever case
	elemWild           // any runes
	elemOpen           // a group begins
	elemClose          // a group ends
	elemBegin          // the text begins
	elemEnd            // the text ends
)

// branch is a sequence of steps without a choice.
type branch []elem

// expander turns an expression into the list of its branches, in order of preference. Expansion multiplies: what it may
// make is bounded by the length of the expression, so that a short one cannot make a long list.
type expander struct {
	branches int // how many one list may have
	elems    int // how many may be made in total
	bytes    int // of literals in total
}

// maxClass is the largest character class that is expanded into its runes: `[0-9]` is, `[a-z]` is not.
const maxClass = 10

// expand returns the branches of re, or false if it is made of more than literals, wildcards, groups, choices, and
// anchors, or is too large. exprBytes is the length of its text.
func expand(re *syntax.Regexp, exprBytes int) ([]branch, bool) {
	x := expander{branches: 64 + exprBytes, elems: 1024 + 16*exprBytes, bytes: 4096 + 16*exprBytes}
	return x.expand(re)
}

func (x *expander) expand(re *syntax.Regexp) ([]branch, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []branch{nil}, true
	case syntax.OpBeginText:
		return []branch{{{op: elemBegin}}}, true
	case syntax.OpEndText:
		return []branch{{{op: elemEnd}}}, true
	case syntax.OpLiteral:
		return x.literal(re)
	case syntax.OpCharClass:
		return x.class(re)
	case syntax.OpStar, syntax.OpPlus:
		if re.Sub[0].Op != syntax.OpAnyChar {
			return nil, false
		}
		e := elem{op: elemWild, lazy: re.Flags&syntax.NonGreedy != 0}
		if re.Op == syntax.OpPlus {
			e.min = 1
		}
		return []branch{{e}}, true
	case syntax.OpQuest:
		some, ok := x.expand(re.Sub[0])
		if !ok {
			return nil, false
		}
		if re.Flags&syntax.NonGreedy != 0 {
			return x.bounded(slices.Insert(some, 0, nil))
		}
		return x.bounded(append(some, nil))
	case syntax.OpCapture:
		inner, ok := x.expand(re.Sub[0])
		if !ok {
			return nil, false
		}
		inner, ok = x.cross([]branch{{{op: elemOpen, group: re.Cap}}}, inner)
		if !ok {
			return nil, false
		}
		return x.cross(inner, []branch{{{op: elemClose, group: re.Cap}}})
	case syntax.OpConcat:
		all := []branch{nil}
		for _, sub := range re.Sub {
			next, ok := x.expand(sub)
			if !ok {
				return nil, false
			}
			if all, ok = x.cross(all, next); !ok {
				return nil, false
			}
		}
		return all, true
	case syntax.OpAlternate:
		var all []branch
		for _, sub := range re.Sub {
			next, ok := x.expand(sub)
			if !ok {
				return nil, false
			}
			if all, ok = x.bounded(append(all, next...)); !ok {
				return nil, false
			}
		}
		return all, true
	}
	return nil, false
}

func (x *expander) literal(re *syntax.Regexp) ([]branch, bool) {
	e := elem{op: elemLiteral, lit: string(re.Rune)}
	for _, r := range re.Rune {
		if !plainRune(r) {
			return nil, false
		}
		if re.Flags&syntax.FoldCase != 0 && unicode.SimpleFold(r) != r {
			if !asciiFold(r) {
				return nil, false
			}
			e.op = elemFold
		}
	}
	return []branch{{e}}, true
}

func (x *expander) class(re *syntax.Regexp) ([]branch, bool) {
	var all []branch
	for i := 0; i+1 < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		if int(hi-lo) >= maxClass-len(all) {
			return nil, false
		}
		for r := lo; r <= hi; r++ {
			if !plainRune(r) {
				return nil, false
			}
			all = append(all, branch{{op: elemLiteral, lit: string(r)}})
		}
	}
	return all, true
}

// plainRune reports whether r in an expression matches the UTF-8 encoding of r and nothing else. U+FFFD also matches bytes
// that are no UTF-8, and what is no valid rune has no encoding.
func plainRune(r rune) bool { return r != utf8.RuneError && utf8.ValidRune(r) }

// asciiFold reports whether r is a letter with two forms, both ASCII. K and S have a third one each, which is longer in
// UTF-8, and which the engine accepts or not depending on what stands around it.
func asciiFold(r rune) bool {
	other := unicode.SimpleFold(r)
	return r < utf8.RuneSelf && other < utf8.RuneSelf && unicode.SimpleFold(other) == r
}

func (x *expander) bounded(list []branch) ([]branch, bool) {
	return list, len(list) <= x.branches
}

// cross returns every branch of a followed by every branch of b.
func (x *expander) cross(a, b []branch) ([]branch, bool) {
	if len(a)*len(b) > x.branches {
		return nil, false
	}
	all := make([]branch, 0, len(a)*len(b))
	for _, first := range a {
		for _, second := range b {
			joined := slices.Concat(first, second)
			x.elems -= len(joined)
			for i := range joined {
				x.bytes -= len(joined[i].lit)
			}
			if x.elems < 0 || x.bytes < 0 {
				return nil, false
			}
			all = append(all, joined)
		}
	}
	return all, true
}
