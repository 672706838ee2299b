package relabel

import (
	"cmp"
	"slices"
	"strings"
)

// alternatives is a choice of globs, sorted by what it takes to look for them.
type alternatives struct {
	// lengths has a bit for each length of a literal, the last one for all that are longer: most texts that match no
	// literal have the length of none.
	lengths uint64
	// firsts has a bit for each byte which the texts that match may begin with.
	firsts   [256 / 64]uint64
	few      []string            // the literals, if there are at most maxFew of them, or
	many     map[string]struct{} // else
	prefixes []prefix            // sorted, and none is a prefix of another
	globs    []glob              // what is neither
}

// prefix matches texts that begin with lit, and have at least min bytes more.
type prefix struct {
	lit string
	min int
}

// maxFew is how many literals are compared one by one. Not larger: from there on a map is faster when the lengths are
// alike, see BenchmarkApply.
const maxFew = 8

func newAlternatives(globs []glob) *alternatives {
	a := &alternatives{}
	for _, g := range globs {
		a.addFirst(&g)
		switch {
		case g.literal():
			a.few = append(a.few, g.lits[0])
			a.lengths |= lengthBit(g.lits[0])
		case g.prefix():
			a.prefixes = append(a.prefixes, prefix{g.lits[0], g.min[0]})
		default:
			a.globs = append(a.globs, g)
		}
	}
	if len(a.few) > maxFew {
		a.many = make(map[string]struct{}, len(a.few))
		for _, s := range a.few {
			a.many[s] = struct{}{}
		}
		a.few = nil
	}
	slices.SortFunc(a.prefixes, func(x, y prefix) int {
		return cmp.Or(strings.Compare(x.lit, y.lit), cmp.Compare(x.min, y.min))
	})
	// What a prefix of a prefix matches includes what the latter matches. It is the last one kept, since whatever
	// stands between the two in order begins with the former.
	kept := a.prefixes[:0]
	for _, p := range a.prefixes {
		if len(kept) == 0 || !strings.HasPrefix(p.lit, kept[len(kept)-1].lit) {
			kept = append(kept, p)
		}
	}
	a.prefixes = slices.Clip(kept)
	return a
}

// addFirst notes what the texts that g matches begin with.
func (a *alternatives) addFirst(g *glob) {
	add := func(c byte) { a.firsts[c/64] |= 1 << (c % 64) }
	switch lit := g.lits[0]; {
	case lit == "" && len(g.lits) > 1:
		for c := range 256 {
			add(byte(c))
		}
	case lit == "": // the empty text alone
	case g.fold && 'a' <= lit[0]|0x20 && lit[0]|0x20 <= 'z':
		add(lit[0] | 0x20)
		add(lit[0] &^ 0x20)
	default:
		add(lit[0])
	}
}

func lengthBit(s string) uint64 { return 1 << min(len(s), 63) }

// any reports whether every text matches.
func (a *alternatives) any() bool {
	return len(a.prefixes) == 1 && a.prefixes[0].lit == "" && (a.prefixes[0].min == 0 || a.match(""))
}

// nonEmpty reports whether every text but the empty one matches.
func (a *alternatives) nonEmpty() bool {
	return len(a.prefixes) == 1 && a.prefixes[0].lit == "" && !a.any()
}

// match reports whether s matches one of the alternatives.
func (a *alternatives) match(s string) bool {
	if len(s) > 0 && a.firsts[s[0]/64]&(1<<(s[0]%64)) == 0 {
		return false
	}
	if a.lengths&lengthBit(s) != 0 {
		for _, l := range a.few {
			if s == l {
				return true
			}
		}
		if a.many != nil {
			if _, ok := a.many[s]; ok {
				return true
			}
		}
	}
	if len(a.prefixes) > 0 && a.matchPrefix(s) {
		return true
	}
	for i := range a.globs {
		if a.globs[i].match(s) {
			return true
		}
	}
	return false
}

// matchPrefix looks for the last prefix which does not come after s. No other one can be a prefix of s.
func (a *alternatives) matchPrefix(s string) bool {
	lo, hi := 0, len(a.prefixes)
	if hi == 1 {
		lo = 1 // the usual case: no need to order what will be compared anyway
	}
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if a.prefixes[mid].lit <= s {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return false
	}
	p := &a.prefixes[lo-1]
	return len(s) >= len(p.lit)+p.min && strings.HasPrefix(s, p.lit)
}
