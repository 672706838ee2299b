package relabel

import (
	"cmp"
	"slices"
)

// maxScratch is what a Reset set keeps of each of its scratch buffers, in bytes. Label values are short; one huge value must
// not stay with a set that is reused for years. Not smaller, since a join of a dozen long Kubernetes labels needs a few
// KiB, and would be allocated anew each time.
const maxScratch = 16 << 10

// Labels is a mutable label set which rules work on. The zero value is empty and ready for use. Names are unique: who
// fills L directly sees to that. An empty value means that the label is absent. Look-ups are linear, which is the
// fastest way at the 10 to 30 labels that series have.
//
// The order is that of filling until Sort. Set appends, also when it replaces a label that was there when the set was
// filled: two labels which one labelmap rule maps to the same name are taken in this order, and the later one wins, as
// it does in Prometheus, where a set is filled in the order of names.
//
// Not for concurrent use.
type Labels struct {
	L []Label
	// Transient says that the set's strings are not needed for longer than until Reset. What rules make then lies in memory of
	// the set, which the following strings overwrite; so a set that is reused works without allocations whatever it meets.
	Transient bool
	// MaxBytes is how many bytes of text rules may make of the set until Reset, 0 for no limit. It is checked before memory
	// is taken for them. A view of a value is not made, and counts nothing.
	MaxBytes int

	// set is the number of labels at the end of L which Set put there.
	set int
	// Scratch memory of rules. Strings which view it never outlive the rule that made them, but for those in made.
	joined   []byte
	out      []byte
	snapshot []Label
	// made holds what rules made of a Transient set.
	made []byte
	// taken is how many bytes rules made since Reset, whether the set is Transient or not.
	taken int
	// refused is what Err tells of.
	refused refusal
	// verdict is what Rules.Apply knows of the metric's name.
	verdict verdict
}

// Reset empties the set for reuse, and lets go of every string it held; a Transient one may hold on to them until Forget.
func (ls *Labels) Reset() {
	if !ls.Transient {
		ls.clear()
	}
	ls.L = ls.L[:0]
	ls.set = 0
	ls.snapshot = ls.snapshot[:0]
	for _, b := range [...]*[]byte{&ls.joined, &ls.out, &ls.made} {
		if cap(*b) > maxScratch {
			*b = nil
		}
	}
	if cap(ls.verdict.name) > maxScratch {
		ls.verdict = verdict{}
	}
	ls.made = ls.made[:0]
	ls.taken, ls.refused = 0, refusal{}
}

// Forget is Reset which lets go of everything but scratch memory, also of the rules that were applied.
func (ls *Labels) Forget() {
	ls.clear()
	ls.verdict = verdict{}
	ls.Reset()
}

func (ls *Labels) clear() {
	clear(ls.L[:cap(ls.L)])
	clear(ls.snapshot[:cap(ls.snapshot)])
}

// index returns the position of the label called name, or -1.
func (ls *Labels) index(name string) int {
	for i := range ls.L {
		if ls.L[i].Name == name {
			return i
		}
	}
	return -1
}

// Get returns the value of the label called name, "" if there is none.
func (ls *Labels) Get(name string) string {
	for i := range ls.L {
		if ls.L[i].Name == name {
			return ls.L[i].Value
		}
	}
	return ""
}

// Has reports whether there is a label called name with a value that is not empty.
func (ls *Labels) Has(name string) bool { return ls.Get(name) != "" }

// Set gives the label called name a value, and adds it if it is not there. An empty value deletes it.
func (ls *Labels) Set(name, value string) {
	if value == "" {
		ls.Del(name)
		return
	}
	ls.setAt(ls.index(name), name, value)
}

// setAt is Set of a value which is not empty, of the label at i, or of a new one if that is -1.
func (ls *Labels) setAt(i int, name, value string) {
	n := len(ls.L)
	switch {
	case i < 0:
		ls.L = append(ls.L, Label{name, value})
		ls.set++
	case i >= n-ls.set:
		ls.L[i].Value = value
	default:
		copy(ls.L[i:], ls.L[i+1:])
		ls.L[n-1] = Label{name, value}
		ls.set++
	}
}

// SetNew is Set for each of labels, whose values are not empty, and whose names the set does not have.
func (ls *Labels) SetNew(labels []Label) {
	ls.L = append(ls.L, labels...)
	ls.set += len(labels)
}

// setBytes is Set with a value which it copies, unless the label has it already.
func (ls *Labels) setBytes(name string, value []byte) {
	if len(value) == 0 {
		ls.Del(name)
		return
	}
	i := ls.index(name)
	if i >= 0 && ls.L[i].Value == string(value) {
		ls.setAt(i, name, ls.L[i].Value)
		return
	}
	ls.setAt(i, name, ls.text(value))
}

// text returns b as a string that may get into the set.
func (ls *Labels) text(b []byte) string {
	ls.taken += len(b)
	if !ls.Transient {
		return string(b)
	}
	n := len(ls.made)
	ls.made = append(ls.made, b...) // where it moves, former strings keep the former memory
	return viewString(ls.made[n:])
}

// Del deletes the label called name, if it is there.
func (ls *Labels) Del(name string) {
	if i := ls.index(name); i >= 0 {
		if i >= len(ls.L)-ls.set {
			ls.set--
		}
		ls.L = slices.Delete(ls.L, i, i+1)
	}
}

// deleteIf deletes the labels whose names match p, or do not.
func (ls *Labels) deleteIf(p *pattern, matches bool) {
	kept := 0
	for kept < len(ls.L) && p.matchText(ls.L[kept].Name) != matches {
		kept++
	}
	if kept == len(ls.L) { // the usual case
		return
	}
	filled := len(ls.L) - ls.set
	for i := kept; i < len(ls.L); i++ {
		if i > kept && p.matchText(ls.L[i].Name) != matches {
			ls.L[kept] = ls.L[i]
			kept++
		} else if i >= filled {
			ls.set--
		}
	}
	clear(ls.L[kept:])
	ls.L = ls.L[:kept]
}

// maxInsertion is the largest set which is sorted by insertion. Sets are mostly sorted but for a few labels at their end,
// for which nothing is faster; what a hostile target can make of more labels is.
const maxInsertion = 64

// Sort orders the labels by name, bytewise.
func (ls *Labels) Sort() {
	ls.set = 0
	if len(ls.L) > maxInsertion {
		slices.SortStableFunc(ls.L, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
		return
	}
	for i := 1; i < len(ls.L); i++ {
		x := ls.L[i]
		k := i
		for ; k > 0 && x.Name < ls.L[k-1].Name; k-- {
			ls.L[k] = ls.L[k-1]
		}
		if k < i {
			ls.L[k] = x
		}
	}
}

// join puts the values of the source labels of r, with its separator between them, into joined, unless they are too long.
func (ls *Labels) join(r *rule) (ok bool) {
	most := ls.most()
	b := ls.joined[:0]
	for i, name := range r.source {
		if i > 0 {
			b = append(b, r.sep...)
		}
		v := ls.Get(name)
		if len(v) > most-len(b) {
			ls.joined = b
			return ls.refuse(r, ls.joinedBytes(r))
		}
		b = append(b, v...)
	}
	ls.joined = b
	return true
}

func (ls *Labels) joinedBytes(r *rule) int64 {
	n := int64(len(r.sep)) * int64(len(r.source)-1)
	for _, name := range r.source {
		n += int64(len(ls.Get(name)))
	}
	return n
}

// subject is a text that a pattern is matched against: a string of the label set, or, when b is not nil, a view of
// scratch memory, which must be copied to be kept.
type subject struct {
	s string
	b []byte
}
