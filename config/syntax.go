package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
)

// checkText finds what the YAML parser would refuse without saying where: bytes which are not UTF-8, and control
// characters. The line is 0 and the problem empty when there is none.
func checkText(text []byte) (line int, problem string) {
	line = 1
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			return line, "not valid UTF-8"
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return line, fmt.Sprintf("control character %U", r)
		}
		rest = rest[n:]
	}
	return 0, ""
}

var (
	syntaxLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem says where a text is not YAML, and why, without quoting the text: it may be a secret's.
//
// The parser in use tells where the surrounding block begins, not where it goes wrong. Its predecessor, which is linked
// anyway, knows that, so it is asked for the line.
func syntaxProblem(text []byte, err error) (line int, problem string) {
	line, problem = splitSyntaxError(err)
	if m := unknownAnchor.FindStringSubmatch(problem); m != nil {
		return lineOf(text, "*"+m[1]), "a value starts with * but no anchor of this name was set before (quote the value if it is text)"
	}
	switch problem {
	case "found unexpected end of stream", "could not find expected ':'":
		// The beginning of the open quote, or of the key, says more than the end of the file.
	default:
		var discard any
		v2err := yamlv2.Unmarshal(text, &discard)
		if v2err == nil {
			break
		}
		v2line, v2problem := splitSyntaxError(v2err)
		if v2problem != problem {
			break
		}
		line = v2line
		if strings.HasPrefix(problem, "did not find expected") && strings.Contains(v2err.Error(), "line ") {
			line++ // errors of the grammar count lines from 0, those of the tokens from 1
		}
	}
	line = min(line, max(1, bytes.Count(text, []byte("\n"))))
	if bytes.Contains(lineText(text, line), []byte("%{")) {
		problem += " (a %{NAME} whose environment variable is not set stays as it is: set it, or quote the value)"
	}
	return line, problem
}

func splitSyntaxError(err error) (line int, problem string) {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, "not valid YAML"
	}
	line = 1
	if n, err := strconv.Atoi(m[1]); err == nil {
		line = n
	}
	return line, m[2]
}

// lineOf is the line of the first occurrence of s, 1 if there is none.
func lineOf(text []byte, s string) int {
	i := max(0, bytes.Index(text, []byte(s)))
	return 1 + bytes.Count(text[:i], []byte("\n"))
}

// lineText is the text of a line, counted from 1; a view of text.
func lineText(text []byte, line int) []byte {
	n := 1
	for l := range bytes.Lines(text) {
		if n == line {
			return l
		}
		n++
	}
	return nil
}
