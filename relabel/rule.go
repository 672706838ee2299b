package relabel

import (
	"crypto/md5"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// action is what a rule does, by its name in lower case.
type action string

const (
	actionReplace   action = "replace"
	actionKeep      action = "keep"
	actionDrop      action = "drop"
	actionKeepEqual action = "keepequal"
	actionDropEqual action = "dropequal"
	actionHashMod   action = "hashmod"
	actionLabelMap  action = "labelmap"
	actionLabelDrop action = "labeldrop"
	actionLabelKeep action = "labelkeep"
	actionLowercase action = "lowercase"
	actionUppercase action = "uppercase"
)

// rule is a compiled rule, immutable after compileRule. Its actions read the source labels' values, joined by the
// separator; a label that is absent counts as empty.
type rule struct {
	run     func(*rule, *Labels) bool // the action; it reports whether the set is kept
	source  []string
	sep     string
	pattern pattern
	target  template // without references, but for replace
	// replacement is for replace and labelmap.
	replacement template
	modulus     uint64
	hash        Hash
	// index and line are where the rule stands, for errors.
	index, line int
}

func (r *rule) apply(ls *Labels) bool { return r.run(r, ls) }

// runOf maps an action to what does it; nil if there is no such action.
func runOf(a action) func(*rule, *Labels) bool {
	switch a {
	case actionReplace:
		return (*rule).replace
	case actionKeep:
		return (*rule).keep
	case actionDrop:
		return (*rule).drop
	case actionKeepEqual:
		return (*rule).keepEqual
	case actionDropEqual:
		return (*rule).dropEqual
	case actionHashMod:
		return (*rule).hashMod
	case actionLabelMap:
		return (*rule).labelMap
	case actionLabelDrop:
		return (*rule).labelDrop
	case actionLabelKeep:
		return (*rule).labelKeep
	case actionLowercase:
		return (*rule).lowercase
	case actionUppercase:
		return (*rule).uppercase
	}
	return nil
}

// subject returns what the rule looks at, which is valid until the following rule. It is not ok where that is too long.
func (r *rule) subject(ls *Labels) (sub subject, ok bool) {
	switch len(r.source) {
	case 0:
		return subject{}, true
	case 1:
		return subject{s: ls.Get(r.source[0])}, true
	}
	if !ls.join(r) {
		return subject{}, false
	}
	return subject{s: viewString(ls.joined), b: ls.joined}, true
}

func (r *rule) keep(ls *Labels) bool {
	sub, ok := r.subject(ls)
	return ok && r.pattern.match(sub)
}

func (r *rule) drop(ls *Labels) bool {
	sub, ok := r.subject(ls)
	return ok && !r.pattern.match(sub)
}

func (r *rule) keepEqual(ls *Labels) bool {
	sub, ok := r.subject(ls)
	return ok && sub.s == ls.Get(r.target.lit)
}

func (r *rule) dropEqual(ls *Labels) bool {
	sub, ok := r.subject(ls)
	return ok && sub.s != ls.Get(r.target.lit)
}

// expand puts the text that t makes of a match of s into ls.out, unless it is too long.
func (r *rule) expand(ls *Labels, t *template, s string, groups []int) (ok bool) {
	if room := int64(ls.room()); t.maxBytes(len(s)) > room {
		if n := t.bytes(groups); n > room {
			return ls.refuse(r, int64(ls.taken)+n)
		}
	}
	ls.out = t.appendTo(ls.out[:0], s, groups)
	return true
}

// replace sets the target to the expanded replacement if the pattern matches. An empty result deletes the target; a
// target which expands to no valid name leaves the set as it was.
func (r *rule) replace(ls *Labels) bool {
	sub, ok := r.subject(ls)
	if !ok {
		return false
	}
	if r.target.constant() && r.replacement.constant() {
		if r.pattern.match(sub) {
			ls.Set(r.target.lit, r.replacement.lit)
		}
		return true
	}
	var space groupSpace
	groups := r.pattern.find(sub, &space)
	if groups == nil {
		return true
	}
	target := r.target.lit
	if !r.target.constant() {
		if !r.expand(ls, &r.target, sub.s, groups) {
			return false
		}
		target = ls.text(ls.out)
		if !validName(target) {
			return true
		}
	}
	if g, ok := r.replacement.single(); ok {
		from, to := groups[2*g], groups[2*g+1]
		switch {
		case from < 0:
			ls.Del(target)
		case sub.b == nil:
			ls.Set(target, sub.s[from:to])
		case !ls.hasRoom(r, to-from):
			return false
		default:
			ls.setBytes(target, sub.b[from:to])
		}
		return true
	}
	if !r.expand(ls, &r.replacement, sub.s, groups) {
		return false
	}
	ls.setBytes(target, ls.out)
	return true
}

func (r *rule) hashMod(ls *Labels) bool {
	if !ls.join(r) {
		return false
	}
	var h uint64
	if r.hash == HashXXHash {
		h = xxhash.Sum64(ls.joined)
	} else {
		sum := md5.Sum(ls.joined)
		h = binary.BigEndian.Uint64(sum[8:])
	}
	ls.out = strconv.AppendUint(ls.out[:0], h%r.modulus, 10)
	ls.setBytes(r.target.lit, ls.out)
	return true
}

// labelMap copies each label whose name matches to the name that the replacement makes of it. It looks at the set as it
// was before the rule.
func (r *rule) labelMap(ls *Labels) bool {
	first := 0
	for ; first < len(ls.L); first++ {
		if r.pattern.match(subject{s: ls.L[first].Name}) {
			break
		}
	}
	ls.snapshot = append(ls.snapshot[:0], ls.L[first:]...)
	if len(ls.snapshot) > manyLabels {
		return r.labelMapMany(ls)
	}
	for i := range ls.snapshot {
		l := &ls.snapshot[i]
		if l.Value == "" || i > 0 && !r.pattern.match(subject{s: l.Name}) {
			continue
		}
		name, ok := r.mapName(ls, l.Name)
		if !ok {
			return false
		}
		ls.Set(name, l.Value)
	}
	return true
}

// manyLabels is the size from which on a labelmap rule looks labels up in a map. In smaller sets that is slower; in one of
// thousands of labels, which a hostile target may send, it alone is linear.
const manyLabels = 256

// labelMapMany is labelMap of the snapshot, in time which is linear in the number of labels.
func (r *rule) labelMapMany(ls *Labels) bool {
	filled := len(ls.L) - ls.set
	set := slices.Clone(ls.L[filled:]) // what Set put there, and will
	at := make(map[string]int, len(ls.snapshot))
	for i, l := range set {
		at[l.Name] = i
	}
	for i := range ls.snapshot {
		l := &ls.snapshot[i]
		if l.Value == "" || !r.pattern.match(subject{s: l.Name}) {
			continue
		}
		name, ok := r.mapName(ls, l.Name)
		if !ok {
			return false
		}
		if i, ok := at[name]; ok {
			set[i].Value = l.Value
			continue
		}
		at[name] = len(set)
		set = append(set, Label{name, l.Value})
	}
	kept := slices.DeleteFunc(ls.L[:filled], func(l Label) bool { _, ok := at[l.Name]; return ok })
	ls.L = append(kept, set...)
	ls.set = len(set)
	return true
}

// mapName returns what a labelmap rule makes of a name of ls which the pattern matches. It is not ok where that is too long.
func (r *rule) mapName(ls *Labels, name string) (mapped string, ok bool) {
	if r.pattern.unanchored {
		return r.mapParts(ls, name)
	}
	if r.replacement.constant() {
		return r.replacement.lit, true
	}
	var space groupSpace
	groups := r.pattern.find(subject{s: name}, &space)
	if g, ok := r.replacement.single(); ok {
		if from := groups[2*g]; from >= 0 {
			return name[from:groups[2*g+1]], true
		}
		return "", true
	}
	if !r.expand(ls, &r.replacement, name, groups) {
		return "", false
	}
	return ls.text(ls.out), true
}

// mapParts is mapName for a pattern which may match a part of a name, and several ones.
func (r *rule) mapParts(ls *Labels, name string) (mapped string, ok bool) {
	// A byte of the replacement is a literal, which may stand once before each byte of the name and once at its end, or
	// part of a reference, and all that one stands for is not longer than the name.
	n := int64(len(name))
	if most := n + (n+1)*int64(len(r.pattern.unanchoredReplacement)); most > int64(ls.room()) {
		return "", ls.refuse(r, int64(ls.taken)+most)
	}
	mapped = r.pattern.re.ReplaceAllString(name, r.pattern.unanchoredReplacement)
	ls.taken += len(mapped)
	return mapped, true
}

func (r *rule) labelDrop(ls *Labels) bool { ls.deleteIf(&r.pattern, true); return true }
func (r *rule) labelKeep(ls *Labels) bool { ls.deleteIf(&r.pattern, false); return true }

func (r *rule) lowercase(ls *Labels) bool { return r.mapValue(ls, strings.ToLower) }
func (r *rule) uppercase(ls *Labels) bool { return r.mapValue(ls, strings.ToUpper) }

// mapValue sets the target to f of the source. f may return its argument, and nothing longer than three times that.
func (r *rule) mapValue(ls *Labels, f func(string) string) bool {
	sub, ok := r.subject(ls)
	if !ok {
		return false
	}
	v := f(sub.s)
	if sub.b != nil {
		if !ls.hasRoom(r, len(v)) {
			return false
		}
		// v may be a view of scratch memory that the next rule overwrites.
		ls.out = append(ls.out[:0], v...)
		ls.setBytes(r.target.lit, ls.out)
		return true
	}
	if v != sub.s {
		if !ls.hasRoom(r, len(v)) {
			return false
		}
		ls.taken += len(v)
	}
	ls.Set(r.target.lit, v)
	return true
}
