package streamparse

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// longComment is the length of a comment, with its newline, beyond which it is read past and not kept.
func (p *Parser) longComment() int { return min(chunkBytes/2, p.opts.MaxLineBytes) }

// inLongComment reports whether the unread bytes are a comment, or a HELP line, of which there is more than is worth
// keeping. A quoted name may hold newlines, so that a line which has one is kept, like a TYPE line.
func (p *Parser) inLongComment() bool {
	b := p.w[p.pos:p.end]
	if len(b) < p.longComment() {
		return false
	}
	if p.format == FormatOpenMetrics { // it has no comments but HELP
		const help = "# HELP "
		return bytes.HasPrefix(b, []byte(help)) && b[len(help)] != '"'
	}
	i := skipBlanks(b, 0)
	if i == len(b) || b[i] != '#' || isMetadataLine(b, "TYPE") {
		return false
	}
	if isHelpLine(b) {
		name := skipBlanks(b, skipBlanks(b, i+1)+len("HELP"))
		return name < len(b) && b[name] != '"'
	}
	return true
}

// skipLine drops the unread bytes up to and with the next newline, reading on as it must.
func (p *Parser) skipLine() {
	for p.err == nil {
		if i := indexNewline(p.w[p.pos:p.end]); i >= 0 {
			p.pos += i + 1
			p.line++
			return
		}
		p.pos = p.end
		if p.eof {
			return
		}
		p.fill()
	}
}

// skipComment drops a comment which is longer than the window. A HELP text is still checked, piece by piece.
func (p *Parser) skipComment() {
	isHelp := isHelpLine(p.w[p.pos:p.end])
	var carry [utf8.UTFMax]byte
	carried := 0
	for p.err == nil {
		b := p.w[p.pos:p.end]
		i := indexNewline(b)
		if i >= 0 {
			b = b[:i]
		}
		if isHelp && !validPiece(b, &carry, &carried, i >= 0) {
			p.badLine("help text is not valid UTF-8", nil)
			return
		}
		if i >= 0 {
			p.pos += i + 1
			p.line++
			return
		}
		p.pos = p.end
		if p.eof {
			return
		}
		p.fill()
	}
}

// validPiece checks one piece of a text for UTF-8. The bytes of a rune which the piece cuts are carried to the next.
func validPiece(b []byte, carry *[utf8.UTFMax]byte, carried *int, last bool) bool {
	for *carried > 0 && len(b) > 0 && !utf8.FullRune(carry[:*carried]) {
		carry[*carried] = b[0]
		*carried++
		b = b[1:]
	}
	if *carried > 0 {
		if utf8.FullRune(carry[:*carried]) {
			if !utf8.Valid(carry[:*carried]) {
				return false
			}
			*carried = 0
		} else {
			return !last
		}
	}
	for k := 1; k < utf8.UTFMax && k <= len(b) && !last; k++ {
		if c := b[len(b)-k]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-k:]) {
				*carried = copy(carry[:], b[len(b)-k:])
				b = b[:len(b)-k]
			}
			break
		}
	}
	return utf8.Valid(b)
}

// fill reads more bytes behind the unread ones, which it moves to the front. It reads at least half as many as there are
// unread, so that a long line which arrives byte by byte is not scanned again for each of them.
func (p *Parser) fill() {
	unread := p.end - p.pos
	if unread >= p.opts.MaxLineBytes {
		p.err = fmt.Errorf("line %d: %w: more than %d bytes; -promscrape.maxLineSize would allow more", p.line+1, ErrLineTooLong, p.opts.MaxLineBytes)
		return
	}
	p.makeRoom(unread)
	want := max(1, unread/2)
	for empty := 0; want > 0 && !p.eof; {
		if p.end == len(p.w)-1 {
			break
		}
		// One byte stays free for the newline that ends a body without one.
		n, err := p.r.Read(p.w[p.end : len(p.w)-1])
		p.end += n
		p.bytes += int64(n)
		want -= n
		if err == io.EOF {
			p.eof = true
			if p.format == FormatText && p.end > p.pos && p.w[p.end-1] != '\n' {
				p.w[p.end] = '\n'
				p.end++
			}
			return
		}
		if err != nil {
			p.err = err
			return
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty > maxEmptyReads {
			p.err = io.ErrNoProgress
			return
		}
	}
}

// makeRoom moves the unread bytes to the front of the window, in a larger one if they fill more than half of it, or if
// the body keeps filling the first one.
func (p *Parser) makeRoom(unread int) {
	size := len(p.w)
	switch {
	case size == 0:
		size = firstWindowBytes
	case size < chunkBytes && p.end >= size-1:
		size = chunkBytes
	case unread > size/2:
		size *= 2
	}
	if size == len(p.w) {
		copy(p.w, p.w[p.pos:p.end])
	} else {
		b := p.opts.Pool.Get(size)
		b.B = b.B[:cap(b.B)]
		copy(b.B, p.w[p.pos:p.end])
		if p.buf != nil {
			p.buf.Release()
		}
		p.buf, p.w = b, b.B
	}
	p.pos, p.end = 0, unread
}
