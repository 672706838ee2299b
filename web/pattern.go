package web

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

// maxPattern is how many instructions the regular expressions of one request may become, each of which is 40 bytes, and as much
// while it matches. The package itself allows 128 MiB, for which a few kilobytes of a{1000} are enough.
const maxPattern = 4000

// compile compiles a pattern from outside, of maxQuery bytes at the most. It takes from left about how many instructions that
// becomes, and fails where there are not as many.
func compile(pattern string, left *int) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if *left -= instructions(parsed); *left < 0 {
		return nil, errors.New("the regular expression is too large: what is repeated counts as often")
	}
	return regexp.Compile(pattern)
}

// instructions is about how many re becomes, rather more than fewer: a class counts by its ranges.
func instructions(re *syntax.Regexp) int {
	n := 2 + len(re.Rune)
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}
