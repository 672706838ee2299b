package relabel

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// template is a text with references to groups of a regular expression, `$1`, `${1}`, `$name` or `${name}`, compiled
// from the form that regexp.Expand understands. It means what Expand makes of it.
type template struct {
	lit   string // the whole text, when parts is nil
	parts []part
	// litBytes is the length of all literals, and refs the number of references.
	litBytes, refs int
}

// part is a literal, or a reference to the first of its groups that takes part in the match. Only groups that share a
// name are more than one.
type part struct {
	lit    string
	groups []int
}

// compileTemplate compiles text. names are the names of the groups by number, that of the whole match included.
// References to groups that there are not stand for nothing.
func compileTemplate(text string, names []string) template {
	var t template
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			t.parts = append(t.parts, part{lit: lit.String()})
			lit.Reset()
		}
	}
	for {
		before, after, ok := strings.Cut(text, "$")
		lit.WriteString(before)
		if !ok {
			break
		}
		if strings.HasPrefix(after, "$") {
			lit.WriteByte('$')
			text = after[1:]
			continue
		}
		name, rest, ok := cutReference(after)
		if !ok {
			lit.WriteByte('$')
			text = after
			continue
		}
		text = rest
		if groups := groupsOf(name, names); groups != nil {
			flush()
			t.parts = append(t.parts, part{groups: groups})
		}
	}
	if len(t.parts) == 0 {
		return template{lit: lit.String()}
	}
	flush()
	for i := range t.parts {
		t.litBytes += len(t.parts[i].lit)
		t.refs += min(1, len(t.parts[i].groups))
	}
	return t
}

// cutReference cuts the reference off text, which followed a dollar sign.
func cutReference(text string) (name, rest string, ok bool) {
	text, braced := strings.CutPrefix(text, "{")
	end := 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		end += size
	}
	name, rest = text[:end], text[end:]
	if name == "" {
		return "", "", false
	}
	if braced {
		if rest, ok = strings.CutPrefix(rest, "}"); !ok {
			return "", "", false
		}
	}
	return name, rest, true
}

// groupsOf returns the numbers of the groups that a reference means, nil for none. Up to nine ASCII digits are a number,
// unless they have a leading zero.
func groupsOf(name string, names []string) []int {
	if name == "0" || name[0] != '0' && len(name) <= 9 && strings.Trim(name, "0123456789") == "" {
		n, err := strconv.Atoi(name)
		if err != nil || n >= len(names) {
			return nil
		}
		return []int{n}
	}
	var groups []int
	for i, n := range names {
		if n == name {
			groups = append(groups, i)
		}
	}
	return groups
}

// constant reports whether the template refers to no group; lit is then its text.
func (t *template) constant() bool { return t.parts == nil }

// single returns the group when the template is nothing but a reference to one.
func (t *template) single() (group int, ok bool) {
	if len(t.parts) == 1 && len(t.parts[0].groups) == 1 {
		return t.parts[0].groups[0], true
	}
	return 0, false
}

// maxBytes is how long the template's text can be for a match of a text of n bytes.
func (t *template) maxBytes(n int) int64 { return int64(t.litBytes) + int64(t.refs)*int64(n) }

// bytes is how long the template's text is, with the groups' bounds.
func (t *template) bytes(groups []int) int64 {
	n := int64(t.litBytes)
	for i := range t.parts {
		for _, g := range t.parts[i].groups {
			if from := groups[2*g]; from >= 0 {
				n += int64(groups[2*g+1] - from)
				break
			}
		}
	}
	return n
}

// appendTo appends the template's text to b, with references replaced by parts of s. groups holds the groups' bounds as
// regexp returns them.
func (t *template) appendTo(b []byte, s string, groups []int) []byte {
	if t.constant() {
		return append(b, t.lit...)
	}
	for i := range t.parts {
		p := &t.parts[i]
		b = append(b, p.lit...)
		for _, g := range p.groups {
			if from := groups[2*g]; from >= 0 {
				b = append(b, s[from:groups[2*g+1]]...)
				break
			}
		}
	}
	return b
}
