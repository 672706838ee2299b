package relabel

import "strings"

// glob is a branch put in order: literals with wildcards between them. A text matches if it begins with the first
// literal, ends with the last one, and holds the others in order in between.
type glob struct {
	lits []string // one more than there are wildcards; the outer ones may be empty, and so may a literal without wildcards
	min  []int    // of each wildcard: 0, or 1 if it must match something
	// least is the length in bytes of the shortest text which matches.
	least int
	// fold says that the only literal matches in whatever case.
	fold bool
	// lazy and greedy tell what wildcards there are.
	lazy, greedy bool
	groups       []group // by number, from 1
}

// group says where a group's text begins and ends.
type group struct{ from, to mark }

// mark is a place in a text: off bytes after the beginning of a literal.
type mark struct{ lit, off int }

// newGlob puts a branch in order. It returns false for branches which are no globs: with an anchor in their middle, with
// wildcards that demand two runes, or which ignore the case of a part.
func newGlob(b branch) (glob, bool) {
	g := glob{lits: []string{""}}
	ended := false
	here := func() mark { last := len(g.lits) - 1; return mark{last, len(g.lits[last])} }
	for _, e := range b {
		if ended && (e.op == elemWild || e.op == elemBegin || e.lit != "") {
			return glob{}, false
		}
		last := len(g.lits) - 1
		switch e.op {
		case elemLiteral, elemFold:
			if g.fold || e.op == elemFold && (last > 0 || g.lits[0] != "") {
				return glob{}, false
			}
			g.fold = e.op == elemFold
			g.lits[last] += e.lit
			g.least += len(e.lit)
		case elemWild:
			g.lazy = g.lazy || e.lazy
			g.greedy = g.greedy || !e.lazy
			if last > 0 && g.lits[last] == "" {
				// Two wildcards in a row match what one matches, but their groups are another matter.
				g.min[last-1] += e.min
				if g.min[last-1] > 1 {
					return glob{}, false
				}
				g.lazy, g.greedy = true, true
			} else {
				g.lits = append(g.lits, "")
				g.min = append(g.min, e.min)
			}
			g.least += e.min
		case elemOpen:
			g.group(e.group).from = here()
		case elemClose:
			g.group(e.group).to = here()
		case elemBegin:
			if last > 0 || g.lits[0] != "" {
				return glob{}, false
			}
		case elemEnd:
			ended = true
		}
	}
	if g.fold && len(g.lits) > 1 {
		return glob{}, false
	}
	return g, true
}

// group returns the group with a number, which is not 0.
func (g *glob) group(n int) *group {
	for len(g.groups) < n {
		g.groups = append(g.groups, group{})
	}
	return &g.groups[n-1]
}

// literal reports whether the glob matches one text only.
func (g *glob) literal() bool { return len(g.lits) == 1 && !g.fold }

// prefix reports whether the glob is a literal followed by a wildcard.
func (g *glob) prefix() bool { return len(g.lits) == 2 && g.lits[1] == "" }

// match reports whether s matches.
func (g *glob) match(s string) bool {
	if g.fold {
		return strings.EqualFold(s, g.lits[0])
	}
	last := len(g.lits) - 1
	if last == 0 {
		return s == g.lits[0]
	}
	if len(s) < g.least || !strings.HasPrefix(s, g.lits[0]) || !strings.HasSuffix(s, g.lits[last]) {
		return false
	}
	s = s[len(g.lits[0]) : len(s)-len(g.lits[last])]
	// The leftmost place of each literal leaves most room for the others.
	for i := 1; i < last; i++ {
		if len(s) < g.min[i-1] {
			return false
		}
		s = s[g.min[i-1]:]
		at := strings.Index(s, g.lits[i])
		if at < 0 {
			return false
		}
		s = s[at+len(g.lits[i]):]
	}
	return len(s) >= g.min[last-1]
}

// maxFindable is how many literals a glob may have whose groups find can tell.
const maxFindable = 6

// findable reports whether find works: if all wildcards want as much as they can get, or all as little, it is clear which
// one gets what.
func (g *glob) findable() bool {
	return !g.fold && len(g.lits) <= maxFindable && !(g.lazy && g.greedy)
}

// find returns the bounds of the whole match and of the groups as a view of space, or nil if s does not match.
func (g *glob) find(s string, space *groupSpace) []int {
	var at [maxFindable]int // where the literals begin
	last := len(g.lits) - 1
	switch {
	case last == 0:
		if s != g.lits[0] {
			return nil
		}
	case len(s) < g.least || !strings.HasPrefix(s, g.lits[0]) || !strings.HasSuffix(s, g.lits[last]):
		return nil
	default:
		at[last] = len(s) - len(g.lits[last])
		if !g.locate(s, &at) {
			return nil
		}
	}
	space[0], space[1] = 0, len(s)
	for i := range g.groups {
		gr := &g.groups[i]
		space[2*i+2] = at[gr.from.lit] + gr.from.off
		space[2*i+3] = at[gr.to.lit] + gr.to.off
	}
	return space[:2*len(g.groups)+2]
}

// locate finds the inner literals' places, and reports whether there are such. The outer ones' are known.
func (g *glob) locate(s string, at *[maxFindable]int) bool {
	last := len(g.lits) - 1
	if g.lazy {
		from := len(g.lits[0])
		for i := 1; i < last; i++ {
			from += g.min[i-1]
			if from > at[last] {
				return false
			}
			n := strings.Index(s[from:at[last]], g.lits[i])
			if n < 0 {
				return false
			}
			at[i] = from + n
			from = at[i] + len(g.lits[i])
		}
		return at[last]-from >= g.min[last-1]
	}
	// Wildcards which want much are served from the left, so each literal stands as far to the right as it can: found
	// from the right.
	first := len(g.lits[0])
	to := at[last]
	for i := last - 1; i > 0; i-- {
		to -= g.min[i]
		if to < first {
			return false
		}
		n := strings.LastIndex(s[first:to], g.lits[i])
		if n < 0 {
			return false
		}
		at[i] = first + n
		to = at[i]
	}
	return to-first >= g.min[0]
}
