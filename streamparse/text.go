package streamparse

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Text format 0.0.4 and 1.0.0, as Prometheus' lexer reads them; docs/formats.md has the few places where we differ on
// purpose, in all formats, and TestDifferences a line for each. With Options.SkipBadLines a bad line is skipped where
// Prometheus refuses the body; and "\r\n" ends a line, "#" after the value begins an exemplar which is ignored, and a timestamp may have a minus sign
// and a fraction, and counts seconds below 2^31: TestSkipBadLines.

// fault is why and where a line is not in the format. The zero value stands for a line whose end is not known yet.
type fault struct {
	reason string
	at     int // where in the scanned bytes
}

// MaxLabels is how many labels a sample, or an exemplar, may have beside the name. They take many times the memory of their
// line, and nothing which is a series has as many.
const MaxLabels = 30_000

const manyLabels = "more than 30000 labels"

// shownBytes is how much of a bad line an error shows.
const shownBytes = 80

// scan parses the entry at the start of b, a line's start, and returns its length with the newline. A length of 0 means
// that b ends before the entry does, or, with a reason, that it is not in the format. KindNone with a length is a blank
// line. The current entry is set only where a length is returned.
func (p *Parser) scan(b []byte) (n int, kind Kind, f fault) {
	i := skipBlanks(b, 0)
	if i == len(b) {
		return 0, 0, fault{}
	}
	switch c := b[i]; {
	case c == '\n':
		p.line++
		return i + 1, KindNone, fault{}
	case c == '\r' && p.lenient && i+1 < len(b) && b[i+1] == '\n':
		p.line++
		return i + 2, KindNone, fault{}
	case c == '#':
		return p.scanComment(b, i)
	case isNameStart(c) || c == '{':
		return p.scanSample(b, i)
	default:
		return 0, 0, fault{"expected a metric name", i}
	}
}

// scanComment parses the line whose # is b[i].
func (p *Parser) scanComment(b []byte, i int) (n int, kind Kind, f fault) {
	nl := indexNewline(b[i:])
	if nl < 0 {
		// A quoted name may hold newlines, so this cut is only a guess: what follows decides.
		return 0, 0, fault{}
	}
	nl += i
	j := skipBlanks(b, i+1)
	if j == i+1 {
		return p.comment(nl)
	}
	isHelp, isType := false, false
	switch {
	case bytes.HasPrefix(b[j:], []byte("HELP")):
		isHelp = true
	case bytes.HasPrefix(b[j:], []byte("TYPE")):
		isType = true
	default:
		return p.comment(nl)
	}
	k := skipBlanks(b, j+4)
	if k == j+4 {
		return p.comment(nl)
	}
	var family []byte
	lines := 1
	isQuoted := b[k] == '"'
	if isQuoted {
		end, escaped, st := scanQuoted(b, k)
		if st != quotedWhole {
			return 0, 0, quotedFault(st, k)
		}
		if hasNUL(b[k:end]) {
			return 0, 0, fault{"NUL in a name", k}
		}
		lines += bytes.Count(b[k:end], []byte{'\n'})
		family = b[k+1 : end-1]
		if escaped {
			p.unescaped = appendUnescaped(p.unescaped[:0], family)
			family = p.unescaped
		}
		k = end
	} else {
		end := k
		for end < len(b) && isNameByte(b[end]) {
			end++
		}
		if end == k || !isNameStart(b[k]) {
			return 0, 0, fault{"expected a metric name after HELP or TYPE", k}
		}
		family = b[k:end]
		k = end
	}
	nl = indexNewline(b[k:])
	if nl < 0 {
		return 0, 0, fault{}
	}
	text := b[k : k+nl]
	if len(text) > 0 {
		text = text[1:]
	}
	if p.lenient {
		text = bytes.TrimSuffix(text, []byte{'\r'})
	}
	if isHelp && !utf8.Valid(text) {
		return 0, 0, fault{"help text is not valid UTF-8", k}
	}
	if isType {
		typ, ok := typeOf(text)
		if !ok {
			return 0, 0, fault{"invalid metric type", k}
		}
		p.typ = typ
		p.family = family
		p.line += lines
		return k + nl + 1, KindType, fault{}
	}
	p.line += lines
	if !isQuoted && k+nl+1 > p.longComment() {
		return k + nl + 1, KindNone, fault{}
	}
	p.family, p.help = family, text
	return k + nl + 1, KindHelp, fault{}
}

func (p *Parser) comment(nl int) (int, Kind, fault) {
	p.line++
	if nl+1 > p.longComment() {
		return nl + 1, KindNone, fault{}
	}
	return nl + 1, KindComment, fault{}
}

func typeOf(b []byte) (Type, bool) {
	switch string(b) {
	case "counter":
		return TypeCounter, true
	case "gauge":
		return TypeGauge, true
	case "histogram":
		return TypeHistogram, true
	case "summary":
		return TypeSummary, true
	case "untyped":
		return TypeUntyped, true
	}
	return 0, false
}

// isHelpLine reports whether b begins a HELP line.
func isHelpLine(b []byte) bool { return isMetadataLine(b, "HELP") }

// isMetadataLine reports whether b begins a line with that word behind its #.
func isMetadataLine(b []byte, word string) bool {
	hash := skipBlanks(b, 0)
	i := skipBlanks(b, hash+1)
	return i > hash+1 && bytes.HasPrefix(b[i:], []byte(word)) && skipBlanks(b, i+len(word)) > i+len(word)
}

// scanSample parses the sample whose series starts at b[start].
func (p *Parser) scanSample(b []byte, start int) (n int, kind Kind, f fault) {
	p.labels = p.labels[:0]
	p.name = span{}
	named := false
	i := start
	if b[i] != '{' {
		for i < len(b) && isNameByte(b[i]) {
			i++
		}
		p.name = span{start: uint32(start), end: uint32(i)}
		named = true
	}
	end := i
	newlines := 0
	j := skipBlanks(b, i)
	if j == len(b) {
		return 0, 0, fault{}
	}
	if b[j] == '{' {
		var whole bool
		end, newlines, f, whole = p.scanLabels(b, j+1, &named)
		if !whole {
			return 0, 0, f
		}
		if !named {
			return 0, 0, fault{"metric name not set", start}
		}
	}
	used, f := p.tailSlow(b[end:])
	if used == 0 {
		f.at += end
		return 0, 0, f
	}
	p.series = b[start:end]
	p.text = b
	p.line += 1 + newlines
	return end + used, KindSample, fault{}
}

// scanLabels parses what follows an opening brace up to and with the closing one. whole is false where b ends before it
// does, or, with a reason, where it is not in the format.
func (p *Parser) scanLabels(b []byte, i int, named *bool) (end, newlines int, f fault, whole bool) {
	i = skipBlanks(b, i)
	for {
		if i == len(b) {
			return 0, 0, fault{}, false
		}
		var name span
		quoted := false
		switch c := b[i]; {
		case c == '}':
			return i + 1, newlines, fault{}, true
		case c == '"':
			e, escaped, st := scanQuoted(b, i)
			if st != quotedWhole {
				return 0, 0, quotedFault(st, i), false
			}
			if hasNUL(b[i:e]) {
				return 0, 0, fault{"NUL in a name", i}, false
			}
			newlines += countNewlines(b[i:e])
			name = span{uint32(i + 1), uint32(e - 1), escaped}
			quoted = true
			i = e
		case isLabelStart(c):
			e := i + 1
			for e < len(b) && isLabelByte(b[e]) {
				e++
			}
			name = span{start: uint32(i), end: uint32(e)}
			i = e
		default:
			return 0, 0, fault{"expected a label name", i}, false
		}
		if i = skipBlanks(b, i); i == len(b) {
			return 0, 0, fault{}, false
		}
		if name.start == name.end {
			return 0, 0, fault{"empty name in braces", int(name.start)}, false
		}
		if c := b[i]; quoted && (c == ',' || c == '}') { // a quoted string alone is the metric's name
			if *named {
				return 0, 0, fault{"metric name already set", int(name.start)}, false
			}
			*named = true
			p.name = name
			if c == '}' {
				return i + 1, newlines, fault{}, true
			}
			i = skipBlanks(b, i+1)
			continue
		}
		if b[i] != '=' {
			return 0, 0, fault{"expected = after the label name", i}, false
		}
		if i = skipBlanks(b, i+1); i == len(b) {
			return 0, 0, fault{}, false
		}
		if b[i] != '"' {
			return 0, 0, fault{"expected a quoted label value", i}, false
		}
		e, escaped, st := scanQuoted(b, i)
		if st != quotedWhole {
			return 0, 0, quotedFault(st, i), false
		}
		newlines += countNewlines(b[i:e])
		if !utf8.Valid(b[i+1 : e-1]) {
			return 0, 0, fault{"label value is not valid UTF-8", i}, false
		}
		if len(p.labels) == MaxLabels {
			return 0, 0, fault{manyLabels, i}, false
		}
		p.labels = append(room(p.labels), labelSpan{name, span{uint32(i + 1), uint32(e - 1), escaped}})
		// A comma is optional: Prometheus' parser takes two labels which only a blank separates.
		if i = skipBlanks(b, e); i < len(b) && b[i] == ',' {
			i = skipBlanks(b, i+1)
			if i < len(b) && b[i] == ',' {
				return 0, 0, fault{"expected a label name", i}, false
			}
		}
	}
}

// What scanQuoted found.
const (
	quotedWhole = iota
	quotedCut   // b ends before the string does
	quotedBad   // a backslash before a raw newline
)

// scanQuoted finds the end of the quoted string which begins at b[i], behind its closing quote. It looks at each byte for a quote
// once, and for a backslash once: a string may be nothing but escapes.
func scanQuoted(b []byte, i int) (end int, escaped bool, st int) {
	quote := i // the next one which may be the end, if it is not before j
	for j := i + 1; j < len(b); {
		if quote < j {
			k := bytes.IndexByte(b[j:], '"')
			if k < 0 {
				break
			}
			quote = j + k
		}
		e := bytes.IndexByte(b[j:quote], '\\')
		if e < 0 {
			return quote + 1, escaped, quotedWhole
		}
		escaped = true
		j += e + 2
		if b[j-1] == '\n' {
			return 0, false, quotedBad
		}
	}
	return 0, false, quotedCut
}

// quotedFault is what is wrong with the quoted string at b[i], if anything: of a cut one only more bytes can tell.
func quotedFault(st, i int) fault {
	if st == quotedBad {
		return fault{"a backslash before a raw newline", i}
	}
	return fault{}
}

// tailSlow parses what follows a series: value, timestamp, newline. It returns how many bytes that is, or 0, with a
// reason, or with none where b ends before it.
func (p *Parser) tailSlow(b []byte) (used int, f fault) {
	i := skipBlanks(b, 0)
	j := i
	for j < len(b) && b[j] != ' ' && b[j] != '\t' && b[j] != '\n' && b[j] != '{' {
		j++
	}
	if j == len(b) {
		return 0, fault{}
	}
	tok := b[i:j]
	if p.lenient && b[j] == '\n' {
		tok = bytes.TrimSuffix(tok, []byte{'\r'})
	}
	if len(tok) == 0 {
		return 0, fault{"expected a value", j}
	}
	v, ok := parseValue(tok)
	if !ok {
		return 0, fault{"invalid value", i}
	}
	i = skipBlanks(b, j)
	ts, hasTS := int64(0), false
	if i < len(b) && (isDigit(b[i]) || p.lenient && b[i] == '-') {
		j = i + 1
		for j < len(b) && (isDigit(b[j]) || p.lenient && (b[j] == '.' || b[j] == 'e' || b[j] == '+' || b[j] == '-')) {
			j++
		}
		if j == len(b) {
			return 0, fault{}
		}
		if ts, ok = p.parseTimestamp(b[i:j]); !ok {
			return 0, fault{"invalid timestamp", i}
		}
		hasTS = true
		i = skipBlanks(b, j)
	}
	if i == len(b) {
		return 0, fault{}
	}
	if p.lenient && b[i] != '\n' {
		switch {
		case b[i] == '#':
			nl := indexNewline(b[i:])
			if nl < 0 {
				return 0, fault{}
			}
			i += nl
		case b[i] == '\r' && i+1 == len(b):
			return 0, fault{}
		case b[i] == '\r' && b[i+1] == '\n':
			i++
		}
	}
	if b[i] != '\n' {
		if hasTS {
			return 0, fault{"expected the line's end after the timestamp", i}
		}
		return 0, fault{"expected a timestamp or the line's end", i}
	}
	p.value, p.ts, p.hasTS = v, ts, hasTS
	return i + 1, fault{}
}

func (p *Parser) parseTimestamp(b []byte) (int64, bool) {
	ts, err := strconv.ParseInt(string(b), 10, 64)
	if !p.lenient {
		return ts, err == nil
	}
	f := float64(ts)
	if err != nil {
		if f, err = strconv.ParseFloat(string(b), 64); err != nil {
			return 0, false
		}
	}
	if f >= -secondsBelow && f < secondsBelow {
		return int64(f * 1000), true
	}
	if f >= 1<<63 || f < -1<<63 {
		return 0, false
	}
	if ts == 0 {
		ts = int64(f)
	}
	return ts, true
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

func indexNewline(b []byte) int  { return bytes.IndexByte(b, '\n') }
func countNewlines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

func hasNUL(b []byte) bool { return bytes.IndexByte(b, 0) >= 0 }

func isDigit(c byte) bool      { return c-'0' < 10 }
func isLabelStart(c byte) bool { return c|0x20-'a' < 26 || c == '_' }
func isLabelByte(c byte) bool  { return isLabelStart(c) || isDigit(c) }
func isNameStart(c byte) bool  { return isLabelStart(c) || c == ':' }
func isNameByte(c byte) bool   { return isNameStart(c) || isDigit(c) }

// quoteLine quotes b up to its first newline, cut to what fits into a log line.
func quoteLine(b []byte) string {
	if i := indexNewline(b); i >= 0 {
		b = b[:i]
	}
	if len(b) > shownBytes {
		return fmt.Sprintf("%q...", b[:shownBytes])
	}
	return fmt.Sprintf("%q", b)
}
