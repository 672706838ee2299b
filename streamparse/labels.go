package streamparse

import "slices"

// AppendLabels appends the current sample's labels to dst, with the metric's name as __name__ first, unescaped, in the
// order in which they were written; names may repeat, and values may be empty. The views are valid like Series.
func (p *Parser) AppendLabels(dst []Label) []Label {
	if p.format == FormatProtobuf {
		return p.appendProtobufLabels(dst)
	}
	if p.convert.emitted {
		return p.convert.appendLabels(dst, p.nameLabel[:])
	}
	size := 0
	for _, l := range p.labels {
		if l.name.escaped || l.value.escaped {
			size += int(l.name.end-l.name.start) + int(l.value.end-l.value.start)
		}
	}
	if p.name.escaped {
		size += int(p.name.end - p.name.start)
	}
	if cap(p.unescaped) < size { // in one piece: views into it must not move
		p.unescaped = make([]byte, 0, size)
	}
	p.unescaped = p.unescaped[:0]
	dst = slices.Grow(dst, 1+len(p.labels))
	dst = append(dst, Label{p.nameLabel[:], p.view(p.name)})
	for _, l := range p.labels {
		dst = append(dst, Label{p.view(l.name), p.view(l.value)})
	}
	return dst
}

// room returns list with room for another element. Where there is none it doubles: append's steps of a quarter would leave
// several times as much garbage behind a list which becomes long.
func room[T any](list []T) []T {
	if len(list) < cap(list) {
		return list
	}
	return doubled(list)
}

func doubled[T any](list []T) []T {
	if len(list) < 256 { // where append doubles
		return list
	}
	return slices.Grow(list, len(list))
}

func (p *Parser) view(s span) []byte {
	b := p.text[s.start:s.end:s.end]
	if !s.escaped {
		return b
	}
	n := len(p.unescaped)
	p.unescaped = appendUnescaped(p.unescaped, b)
	return p.unescaped[n:len(p.unescaped):len(p.unescaped)]
}

// appendUnescaped appends b to dst with \\, \" and \n resolved; any other backslash stays.
func appendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case '\\', '"':
				i++
				c = b[i]
			case 'n':
				i++
				c = '\n'
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// appendUnescapedHelp is appendUnescaped for help texts in text format, where a quote needs no backslash.
func appendUnescapedHelp(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case '\\':
				i++
			case 'n':
				i++
				c = '\n'
			}
		}
		dst = append(dst, c)
	}
	return dst
}
