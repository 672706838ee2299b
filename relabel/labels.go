package relabel

import (
	"slices"
	"strings"
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

	// set is the number of labels at the end of L which Set put there.
	set int
	// Scratch memory of rules. Strings which view it never outlive the rule that made them.
	joined   []byte
	out      []byte
	snapshot []Label
}

// Reset empties the set for reuse, and lets go of every string it held.
func (ls *Labels) Reset() {
	clear(ls.L[:cap(ls.L)])
	ls.L = ls.L[:0]
	ls.set = 0
	clear(ls.snapshot[:cap(ls.snapshot)])
	ls.snapshot = ls.snapshot[:0]
	if cap(ls.joined) > maxScratch {
		ls.joined = nil
	}
	if cap(ls.out) > maxScratch {
		ls.out = nil
	}
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
	i, n := ls.index(name), len(ls.L)
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

// setBytes is Set with a value which it copies, unless the label has it already.
func (ls *Labels) setBytes(name string, value []byte) {
	v := ls.Get(name)
	if v != string(value) {
		v = string(value)
	}
	ls.Set(name, v)
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
	kept, filled := 0, len(ls.L)-ls.set
	for i := range ls.L {
		if p.match(subject{s: ls.L[i].Name}) == matches {
			if i >= filled {
				ls.set--
			}
			continue
		}
		if kept != i {
			ls.L[kept] = ls.L[i]
		}
		kept++
	}
	clear(ls.L[kept:])
	ls.L = ls.L[:kept]
}

// Sort orders the labels by name, bytewise.
func (ls *Labels) Sort() {
	slices.SortFunc(ls.L, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	ls.set = 0
}

// appendJoined appends the values of the labels called names to b, with sep between them.
func (ls *Labels) appendJoined(b []byte, names []string, sep string) []byte {
	for i, name := range names {
		if i > 0 {
			b = append(b, sep...)
		}
		b = append(b, ls.Get(name)...)
	}
	return b
}

// join returns what a rule with these source labels looks at. The result is valid until the following join.
func (ls *Labels) join(names []string, sep string) subject {
	switch len(names) {
	case 0:
		return subject{}
	case 1:
		return subject{s: ls.Get(names[0])}
	}
	ls.joined = ls.appendJoined(ls.joined[:0], names, sep)
	return subject{s: viewString(ls.joined), b: ls.joined}
}

// subject is a text that a pattern is matched against: a string of the label set, or, when b is not nil, a view of
// scratch memory, which must be copied to be kept.
type subject struct {
	s string
	b []byte
}

// assign gives the label called name the value sub.s[from:to].
func (ls *Labels) assign(name string, sub subject, from, to int) {
	if sub.b != nil {
		ls.setBytes(name, sub.b[from:to])
		return
	}
	ls.Set(name, sub.s[from:to])
}
