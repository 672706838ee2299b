package streamparse

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// OpenMetrics 0.0.1 and 1.0.0, as Prometheus' lexer reads them: one blank where text may have many, no comments, no blank
// lines, and "# EOF" at the end. What belongs to which family, suffixes and values which a type forbids are not looked at;
// an exemplar's labels keep their escapes. docs/formats.md has the few places where we differ on purpose.

// scanOpenMetrics is scan for OpenMetrics.
func (p *Parser) scanOpenMetrics(b []byte) (n int, kind Kind, f fault) {
	switch c := b[0]; {
	case c == '#':
		return p.scanMetadata(b)
	case isNameStart(c) || c == '{':
		return p.scanOpenMetricsSample(b)
	default:
		return 0, 0, fault{"expected a metric name or metadata", 0}
	}
}

// scanMetadata parses the line whose # is b[0].
func (p *Parser) scanMetadata(b []byte) (n int, kind Kind, f fault) {
	const eof = "# EOF"
	if bytes.HasPrefix(b, []byte(eof)) {
		switch {
		case len(b) == len(eof) && !p.eof:
			return 0, 0, fault{}
		case len(b) == len(eof):
			n = len(eof)
		case b[len(eof)] == '\n':
			n = len(eof) + 1
		default:
			return 0, 0, fault{"data after # EOF", 0}
		}
		p.ended = true
		p.line++
		return n, KindNone, fault{}
	}
	for _, m := range [...]struct {
		begin string
		kind  Kind
	}{{"# HELP ", KindHelp}, {"# TYPE ", KindType}, {"# UNIT ", KindUnit}} {
		if bytes.HasPrefix(b, []byte(m.begin)) {
			return p.scanMetadataText(b, len(m.begin), m.kind)
		}
		if len(b) < len(m.begin) && m.begin[:len(b)] == string(b) {
			return 0, 0, fault{}
		}
	}
	if len(b) < len(eof) && eof[:len(b)] == string(b) {
		return 0, 0, fault{}
	}
	return 0, 0, fault{"expected HELP, TYPE, UNIT or EOF after #", 0}
}

// scanMetadataText parses what begins with the family's name at b[k].
func (p *Parser) scanMetadataText(b []byte, k int, kind Kind) (int, Kind, fault) {
	if k == len(b) {
		return 0, 0, fault{}
	}
	var raw []byte
	escaped := false
	lines := 1
	end := k
	if b[k] == '"' {
		var st int
		end, escaped, st = scanQuoted(b, k)
		if st != quotedWhole {
			return 0, 0, quotedFault(st, k)
		}
		if hasNUL(b[k:end]) {
			return 0, 0, fault{"NUL in a name", k}
		}
		lines += countNewlines(b[k:end])
		raw = b[k+1 : end-1]
	} else {
		for end < len(b) && isNameByte(b[end]) {
			end++
		}
		if end == k || !isNameStart(b[k]) {
			return 0, 0, fault{"expected a metric name", k}
		}
		raw = b[k:end]
	}
	if end == len(b) {
		return 0, 0, fault{}
	}
	if b[end] != ' ' {
		return 0, 0, fault{"expected a blank and a text after the name", end}
	}
	nl := indexNewline(b[end:])
	if nl < 0 {
		return 0, 0, fault{}
	}
	text := b[end+1 : end+nl]
	switch kind {
	case KindHelp:
		if !utf8.Valid(text) {
			return 0, 0, fault{"help text is not valid UTF-8", end}
		}
		if b[k] != '"' && end+nl+1 > p.longComment() {
			p.line++
			return end + nl + 1, KindNone, fault{}
		}
		p.help = text
	case KindType:
		typ, ok := openMetricsType(text)
		if !ok {
			return 0, 0, fault{"invalid metric type", end}
		}
		p.typ = typ
	case KindUnit:
		if n := len(raw) - len(text); len(text) > 0 && (n < 1 || raw[n-1] != '_' || !bytes.HasSuffix(raw, text)) {
			return 0, 0, fault{"the unit is not the end of the metric's name", end}
		}
		p.unit = text
	}
	p.created.familyBytes = len(raw)
	p.family = raw
	if escaped {
		p.unescaped = appendUnescaped(p.unescaped[:0], raw)
		p.family = p.unescaped
	}
	p.line += lines
	return end + nl + 1, kind, fault{}
}

func openMetricsType(b []byte) (Type, bool) {
	switch string(b) {
	case "unknown":
		return TypeUntyped, true
	case "untyped":
		return 0, false
	case "gaugehistogram":
		return TypeGaugeHistogram, true
	case "info":
		return TypeInfo, true
	case "stateset":
		return TypeStateset, true
	}
	return typeOf(b)
}

// scanOpenMetricsSample parses the sample which starts at b[0].
func (p *Parser) scanOpenMetricsSample(b []byte) (n int, kind Kind, f fault) {
	p.labels = p.labels[:0]
	p.name = span{}
	named := false
	end := 0
	if b[0] != '{' {
		for end < len(b) && isNameByte(b[end]) {
			end++
		}
		if end == len(b) {
			return 0, 0, fault{}
		}
		p.name = span{end: uint32(end)}
		named = true
	}
	newlines := 0
	if b[end] == '{' {
		var whole bool
		end, newlines, f, whole = p.scanStrictLabels(b, end+1, &named)
		if !whole {
			return 0, 0, f
		}
		if !named {
			return 0, 0, fault{"metric name not set", 0}
		}
	}
	used, f := p.tailOpenMetricsSlow(b[end:])
	if used == 0 {
		f.at += end
		return 0, 0, f
	}
	p.series = b[:end]
	p.text = b
	p.line += 1 + newlines
	return end + used, KindSample, fault{}
}

// scanStrictLabels parses what follows an opening brace up to and with the closing one, like scanLabels. With named nil
// the labels are an exemplar's, which has no name.
func (p *Parser) scanStrictLabels(b []byte, i int, named *bool) (end, newlines int, f fault, whole bool) {
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
			if named == nil && hasNewline(b, i, e, st) {
				return 0, 0, fault{"a raw newline in an exemplar's label name", i}, false
			}
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
		if i == len(b) {
			return 0, 0, fault{}, false
		}
		if name.start == name.end && named != nil {
			return 0, 0, fault{"empty name in braces", int(name.start)}, false
		}
		if c := b[i]; quoted && named != nil && (c == ',' || c == '}') { // a quoted string alone is the metric's name
			if *named {
				return 0, 0, fault{"metric name already set", int(name.start)}, false
			}
			*named = true
			p.name = name
			if c == '}' {
				return i + 1, newlines, fault{}, true
			}
			i++
			continue
		}
		if b[i] != '=' {
			return 0, 0, fault{"expected = after the label name", i}, false
		}
		if i++; i == len(b) {
			return 0, 0, fault{}, false
		}
		if b[i] != '"' {
			return 0, 0, fault{"expected a quoted label value", i}, false
		}
		e, escaped, st := scanQuoted(b, i)
		if hasNewline(b, i, e, st) {
			return 0, 0, fault{"a raw newline in a label value", i}, false
		}
		if st != quotedWhole {
			return 0, 0, fault{}, false
		}
		if !utf8.Valid(b[i+1 : e-1]) {
			return 0, 0, fault{"label value is not valid UTF-8", i}, false
		}
		if len(p.labels) == MaxLabels || len(p.exemplars.labels) == MaxLabels {
			return 0, 0, fault{manyLabels, i}, false
		}
		if named == nil {
			if hasNUL(b[i:e]) {
				return 0, 0, fault{"NUL in an exemplar", i}, false
			}
			p.exemplars.labels = append(room(p.exemplars.labels), Label{b[name.start:name.end:name.end], b[i+1 : e-1 : e-1]})
		} else {
			p.labels = append(room(p.labels), labelSpan{name, span{uint32(i + 1), uint32(e - 1), escaped}})
		}
		if i = e; i == len(b) {
			return 0, 0, fault{}, false
		}
		if b[i] == ',' {
			i++
		} else if b[i] != '}' {
			return 0, 0, fault{"expected a comma or a brace after the label", i}, false
		}
	}
}

// hasNewline reports whether the quoted string at b[i], for which scanQuoted returned end and st, holds a raw newline; for
// one which is cut, as far as it is there.
func hasNewline(b []byte, i, end, st int) bool {
	switch st {
	case quotedWhole:
		return indexNewline(b[i:end]) >= 0
	case quotedCut:
		return indexNewline(b[i:]) >= 0
	}
	return true
}

// tailOpenMetrics parses what follows a series, like tail: quickly without an exemplar.
func (p *Parser) tailOpenMetrics(b []byte) int {
	if len(b) < 3 || b[0] != ' ' {
		return 0
	}
	if v, i := decimal(b[1:]); i > 0 {
		i++
		if b[i] == '\n' {
			p.value, p.hasTS = v, false
			p.current = nil
			return i + 1
		}
		if b[i] == ' ' {
			seconds, n := decimal(b[i+1:])
			if i += 1 + n; n > 0 && b[i] == '\n' {
				p.value, p.ts, p.hasTS = v, int64(seconds*1000), true
				p.current = nil
				return i + 1
			}
		}
	}
	used, _ := p.tailOpenMetricsSlow(b)
	return used
}

// tailOpenMetricsSlow parses what follows a series: value, timestamp, exemplar, newline. It returns how many bytes that
// is, or 0, with a reason, or with none where b ends before it.
func (p *Parser) tailOpenMetricsSlow(b []byte) (used int, f fault) {
	p.exemplars.reset()
	if len(b) == 0 {
		return 0, fault{}
	}
	v, ts, hasTS, i, f := valueAndTime(b, 0)
	if i == 0 {
		return 0, f
	}
	if b[i] == ' ' { // valueAndTime saw what follows
		i += len(beforeExemplar)
		var whole bool
		if i, _, f, whole = p.scanStrictLabels(b, i, nil); !whole {
			return 0, f
		}
		e := Exemplar{to: len(p.exemplars.labels)}
		if i == len(b) {
			return 0, fault{}
		}
		if e.Value, e.TimestampMillis, e.HasTimestamp, i, f = valueAndTime(b, i); i == 0 {
			return 0, f
		}
		if b[i] != '\n' {
			return 0, fault{"expected the line's end after the exemplar", i}
		}
		p.exemplars.list = append(p.exemplars.list, e)
	}
	p.value, p.ts, p.hasTS = v, ts, hasTS
	p.current = p.exemplars.list
	return i + 1, fault{}
}

// beforeExemplar is what stands between a sample and its exemplar.
const beforeExemplar = " # {"

// valueAndTime parses a blank, a value, and perhaps another blank and a timestamp in seconds, at b[i]. It returns where
// the newline or beforeExemplar begins which follows, or 0, with a reason, or with none where b ends before that.
func valueAndTime(b []byte, i int) (v float64, ts int64, hasTS bool, end int, f fault) {
	if b[i] != ' ' {
		return 0, 0, false, 0, fault{"expected a blank and a value", i}
	}
	tok, i := token(b, i+1)
	if i == len(b) {
		return 0, 0, false, 0, fault{}
	}
	v, ok := parseValue(tok)
	if !ok {
		return 0, 0, false, 0, fault{"invalid value", i - len(tok)}
	}
	for {
		if b[i] == '\n' {
			return v, ts, hasTS, i, fault{}
		}
		rest := b[i:min(len(b), i+len(beforeExemplar))]
		if len(rest) < len(beforeExemplar) && beforeExemplar[:len(rest)] == string(rest) {
			return 0, 0, false, 0, fault{}
		}
		if string(rest) == beforeExemplar {
			return v, ts, hasTS, i, fault{}
		}
		if hasTS {
			return 0, 0, false, 0, fault{"expected the line's end or an exemplar after the timestamp", i}
		}
		if tok, i = token(b, i+1); i == len(b) {
			return 0, 0, false, 0, fault{}
		}
		seconds, ok := parseValue(tok)
		if !ok || seconds != seconds || math.IsInf(seconds, 0) {
			return 0, 0, false, 0, fault{"invalid timestamp", i - len(tok)}
		}
		ts, hasTS = int64(seconds*1000), true
	}
}

// token returns what is at b[i] up to a blank or a newline, and where that stands.
func token(b []byte, i int) ([]byte, int) {
	start := i
	for i < len(b) && b[i] != ' ' && b[i] != '\n' {
		i++
	}
	return b[start:i], i
}
