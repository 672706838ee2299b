package config

import (
	"bytes"
	"fmt"
	"slices"
)

// maxEnvDepth bounds how deep the values of environment variables may refer to further ones.
const maxEnvDepth = 16

// ExpandEnv replaces each %{NAME} in text by what getenv says, and does the same in what that returns. A name that
// getenv does not know, or which stands within its own value, stays as it is. It borrows text, and returns it when
// there is nothing to replace.
func ExpandEnv(text []byte, getenv func(string) (string, bool)) ([]byte, error) {
	out, _, err := expandEnv(text, getenv)
	return out, err
}

// lineMap says from which line of a file each line of its expanded text comes: a value may hold line breaks. Nil is the
// identity.
type lineMap []int

// original is the line of the file, both counted from 1.
func (m lineMap) original(line int) int {
	if m == nil || line < 1 {
		return max(1, line)
	}
	return m[min(line, len(m))-1]
}

func expandEnv(text []byte, getenv func(string) (string, bool)) ([]byte, lineMap, error) {
	if getenv == nil || !bytes.Contains(text, []byte("%{")) {
		return text, nil, nil
	}
	e := &envExpander{getenv: getenv, line: 1, lines: lineMap{1}}
	if !e.expand(text) {
		return nil, nil, fmt.Errorf("larger than %d bytes when %%{NAME} is replaced", maxFileBytes)
	}
	return e.out, e.lines, nil
}

// envExpander writes an expanded text.
type envExpander struct {
	getenv  func(string) (string, bool)
	out     []byte
	lines   lineMap
	line    int      // of the file
	visited int      // references, which may be many even where the values are empty
	within  []string // the names whose values are being written
}

// expand writes text, and reports false when it becomes too large.
func (e *envExpander) expand(text []byte) bool {
	for len(text) > 0 {
		before, name, after := cutReference(text)
		if !e.write(before) {
			return false
		}
		if name == nil {
			return true
		}
		text = after
		val, ok := "", false
		if len(e.within) < maxEnvDepth && !slices.Contains(e.within, string(name)) {
			val, ok = e.getenv(string(name))
		}
		if e.visited++; e.visited > maxFileBytes/64 {
			return false
		}
		if !ok {
			if !e.write(fmt.Appendf(nil, "%%{%s}", name)) {
				return false
			}
			continue
		}
		e.within = append(e.within, string(name))
		ok = e.expand([]byte(val))
		e.within = e.within[:len(e.within)-1]
		if !ok {
			return false
		}
	}
	return true
}

// write appends text, and keeps account of the lines.
func (e *envExpander) write(text []byte) bool {
	if len(e.out)+len(text) > maxFileBytes {
		return false
	}
	e.out = append(e.out, text...)
	for range bytes.Count(text, []byte("\n")) {
		if len(e.within) == 0 {
			e.line++
		}
		e.lines = append(e.lines, e.line)
	}
	return true
}

// cutReference cuts text around its first %{NAME}; name is nil when there is none. A name has letters, digits and
// underscores.
func cutReference(text []byte) (before, name, after []byte) {
	for start := 0; ; {
		i := bytes.Index(text[start:], []byte("%{"))
		if i < 0 {
			return text, nil, nil
		}
		start += i + 2
		n := 0
		for start+n < len(text) && isNameByte(text[start+n]) {
			n++
		}
		if end := start + n; n > 0 && end < len(text) && text[end] == '}' {
			return text[:start-2], text[start:end], text[end+1:]
		}
	}
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
