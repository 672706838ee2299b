package streamparse

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestLineLimitIsExact: a line of as many bytes as the limit is good and one more is too long, however the body arrives,
// and whether the caller knows the series or not.
func TestLineLimitIsExact(t *testing.T) {
	const limit = 300
	pad := func(before, after string, n int) string {
		return before + strings.Repeat("x", n-len(before)-len(after)) + after
	}
	for n := limit - 85; n <= limit+85; n++ {
		for kind, line := range map[string]string{
			"a value":    pad(`m{a="`, "\"} 1\n", n),
			"newlines":   pad("m{a=\"\n", "\n\"} 1 17\n", n),
			"a name":     pad("", " 1\n", n),
			"blanks":     pad("m{a=\"", "\"}"+strings.Repeat(" ", 100)+"1\n", n),
			"a comment":  pad("# ", "\n", n),
			"bad at end": pad(`m{a="`, "\"} !\n", n),
			"bad value":  pad(`m{a="\xff`, "\"} 1\n", n),
			"bad token":  pad("m 1", "\n", n),
			"no end":     pad("m{a=\"", "", n),
		} {
			for _, skip := range []bool{false, true} {
				p := newParser(t, Options{MaxLineBytes: limit, SkipBadLines: skip})
				body := "before 1\n" + line + "after 2\n"
				want, wantErr := parseAll(p, strings.NewReader(body))
				wantBad, _ := p.Bad()
				if tooLong := errors.Is(wantErr, ErrLineTooLong); n <= limit && tooLong && kind != "no end" ||
					n > limit && !tooLong && wantErr == nil && wantBad == 0 && kind != "a comment" {
					t.Fatalf("%s, a line of %d bytes under a limit of %d: error %v", kind, n, limit, wantErr)
				}
				for _, chunk := range []int{1, 2, 7, 64, 97, 299, 300, 301} {
					got, err := parseAll(p, &chunkReader{[]byte(body), chunk})
					bad, _ := p.Bad()
					compare(t, fmt.Sprintf("%s, a line of %d bytes in chunks of %d", kind, n, chunk), got, err, want, wantErr)
					if bad != wantBad {
						t.Fatalf("%s, a line of %d bytes in chunks of %d: %d bad lines, want %d", kind, n, chunk, bad, wantBad)
					}
				}
			}
		}
	}
}

// TestTakeKeepsTheLimit: a known series whose value makes its line too long is not taken, and one that fits is.
func TestTakeKeepsTheLimit(t *testing.T) {
	const limit = 300
	series := "m{a=\"" + strings.Repeat("x", limit-20) + "\"}"
	for n := 1; n < 40; n++ {
		value := strings.Repeat("1", n)
		p := newParser(t, Options{MaxLineBytes: limit})
		p.Reset(strings.NewReader(series + " " + value + "\nafter 2\n" + strings.Repeat("m 1\n", 200)))
		fits := len(series)+1+n+1 <= limit
		if got := p.Peek(len(series)) != nil && p.Take(len(series)); got != fits {
			t.Errorf("Take of a line of %d bytes = %v, want %v", len(series)+2+n, got, fits)
		} else if got {
			continue
		}
		if _, err := p.Next(); !errors.Is(err, ErrLineTooLong) {
			t.Errorf("Next of a line of %d bytes = %v, want %v", len(series)+2+n, err, ErrLineTooLong)
		}
	}
}
