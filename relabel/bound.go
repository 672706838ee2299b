package relabel

import (
	"fmt"
	"math"
)

// Rules multiply: one whose replacement is $1$1 doubles a value, and a list of them does so again and again, of values which
// somebody else sends. So what they make of one set is bounded by Labels.MaxBytes. A rule knows how long its text would be
// before it takes memory for it, and refuses the set where that is too long.

// refusal is which rule refused a set.
type refusal struct {
	rule  *rule // nil: none did
	bytes int64 // that rules would have made
}

// Err tells why Apply did not keep the set: nil where a rule dropped it, a *RuleError where a rule would have made more than
// MaxBytes of it.
func (ls *Labels) Err() error {
	r := ls.refused.rule
	if r == nil {
		return nil
	}
	return &RuleError{Index: r.index, Line: r.line, Err: fmt.Errorf("with it, the rules make %d bytes of labels, more than %d", ls.refused.bytes, ls.MaxBytes)}
}

// refuse notes that rule r would bring what rules made of the set to so many bytes, and returns false.
func (ls *Labels) refuse(r *rule, bytes int64) bool {
	ls.refused = refusal{r, bytes}
	return false
}

// most is how long one text may be.
func (ls *Labels) most() int {
	if ls.MaxBytes <= 0 {
		return math.MaxInt
	}
	return ls.MaxBytes
}

// room is how many bytes rules may still make.
func (ls *Labels) room() int { return ls.most() - ls.taken }

// hasRoom reports whether r may make n bytes; if not, it refuses the set.
func (ls *Labels) hasRoom(r *rule, n int) bool {
	return n <= ls.room() || ls.refuse(r, int64(ls.taken)+int64(n))
}
